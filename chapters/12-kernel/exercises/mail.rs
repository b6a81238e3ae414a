//! Exercise 12-mail: commands, and then data until a dot.
//!
//! Somebody who brings mail speaks two languages on one connection. Commands are lines. Behind DATA comes the
//! message, up to a line that is a dot and nothing else; then it's commands again. Nobody says beforehand where
//! a message ends, and the bytes come in pieces. Whoever sees an end where others see the middle takes a part of the
//! message for commands, and that's how mail is sent in somebody else's name. (It's called SMTP smuggling, and in
//! 2023 it worked with Postfix, Sendmail and Exim.) Each message that is kept is printed, as one line.
//!
//! Run it:      cargo run -p ex12-kernel --bin ex12-mail      and, in a second terminal,
//!              printf 'MAIL FROM:<ann>\r\nRCPT TO:<bob>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n' | nc 127.0.0.1 7012
//! Be graded:   cargo grade 12

// Until you have written your part, much is unused here. Take these lines out when you have.
#![allow(clippy::ptr_arg, dead_code, unreachable_code)]
#![allow(unused_imports, unused_mut, unused_variables)]

use std::io::{self, Write};
use std::mem;
use std::net::TcpListener;

use ch07_callbacks::program::{self, log};
use ch07_callbacks::{EventLoop, Input, Poll, Token};

const NAME: &str = "ex12-mail";
const HELP: &str = "ex12-mail [ADDRESS]

Takes mail, and prints each message on a line: from whom, to whom, and its bytes, escaped.
ADDRESS is 127.0.0.1:7012 where not given; port 0 means any free one.";

/// Longest command line, in bytes, without its end: it's kept until it's whole. With CR LF that makes 512 (RFC
/// 5321, section 4.5.3.1.4).
const LONGEST_LINE: usize = 510;
/// Most recipients of a message: they are kept, too. A server must take so many (RFC 5321, section 4.5.3.1.8).
const MOST_RECIPIENTS: usize = 100;
/// Longest message, in bytes, as it's kept: without the dots that are taken away.
const LONGEST_MESSAGE: usize = 100 * 1024;
/// Whoever has more replies queued than that, in bytes, sends commands and doesn't read.
const MOST_QUEUED: usize = 1024 * 1024;

/// What is answered, with its line's end.
type Reply = &'static str;

const GREETING: Reply = "220 ex12-mail\r\n";
const HELO: Reply = "250 hello\r\n";
const EHLO: Reply = "250-hello\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 102400\r\n";
const OK: Reply = "250 ok\r\n";
const KEPT: Reply = "250 kept\r\n";
const GO_ON: Reply = "354 go on, and end with a dot\r\n";
const BYE: Reply = "221 bye\r\n";
const TOO_MANY: Reply = "452 too many recipients\r\n";
const UNKNOWN: Reply = "500 that is no command\r\n";
const LINE_TOO_LONG: Reply = "500 that line is too long\r\n";
const NO_ADDRESS: Reply = "501 that is no address\r\n";
const NOT_NOW: Reply = "503 not now\r\n";
const MESSAGE_TOO_LONG: Reply = "552 that message is too long\r\n";

/// A command.
enum Command {
    Helo,
    Ehlo,
    /// A message begins. This is its sender, who may be nobody: an empty one.
    Mail(Vec<u8>),
    /// And this a recipient.
    Rcpt(Vec<u8>),
    /// What follows is the message.
    Data,
    Rset,
    Noop,
    Quit,
}

/// The command that a line is. The line's end isn't a part of it.
///
/// # Errors
/// It's none: what is answered to that.
fn parse(line: &[u8]) -> Result<Command, Reply> {
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let (verb, rest) = line.split_at(end);
    match verb.to_ascii_uppercase().as_slice() {
        b"HELO" => Ok(Command::Helo),
        b"EHLO" => Ok(Command::Ehlo),
        b"MAIL" => address(rest, b"FROM:").map(Command::Mail).ok_or(NO_ADDRESS),
        b"RCPT" => match address(rest, b"TO:") {
            Some(recipient) if !recipient.is_empty() => Ok(Command::Rcpt(recipient)),
            _ => Err(NO_ADDRESS),
        },
        b"DATA" => Ok(Command::Data),
        b"RSET" => Ok(Command::Rset),
        b"NOOP" => Ok(Command::Noop),
        b"QUIT" => Ok(Command::Quit),
        _ => Err(UNKNOWN),
    }
}

/// What stands behind `keyword`, between `<` and `>`.
fn address(rest: &[u8], keyword: &[u8]) -> Option<Vec<u8>> {
    let (begin, rest) = rest.trim_ascii_start().split_at_checked(keyword.len())?;
    let rest = rest.trim_ascii_start().strip_prefix(b"<")?;
    let end = rest.iter().position(|byte| *byte == b'>')?;
    begin.eq_ignore_ascii_case(keyword).then(|| rest[..end].to_vec())
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reading {
    /// A command line.
    #[default]
    Command,
    /// Data, and it's the first byte of a line.
    LineOfData,
    /// Behind a dot, which was the first byte of a line of data.
    Dot,
    /// Behind such a dot and a CR: with an LF now, the message is over.
    DotCr,
    /// Data, further on in a line.
    Data,
    /// Behind a CR in the data: with an LF now, the line is over.
    Cr,
    /// Nothing: QUIT was the last that is read.
    Nothing,
}

/// A message that is kept.
struct Message {
    sender: Vec<u8>,
    recipients: Vec<Vec<u8>>,
    data: Vec<u8>,
}

/// What is known of one who brings mail.
#[derive(Default)]
struct Session {
    reading: Reading,
    /// What has come of a command line. Of one that is too long, no more than it takes to see that.
    line: Vec<u8>,
    /// `None`: no message has begun.
    sender: Option<Vec<u8>>,
    recipients: Vec<Vec<u8>>,
    /// What has come of the message. Of one that is too long, no more than [`LONGEST_MESSAGE`].
    data: Vec<u8>,
    /// How long the message is so far, in bytes, kept or not.
    length: usize,
}

impl Session {
    /// Another piece has come. Adds what is answered to `replies`, and the messages that are whole to `kept`. It
    /// doesn't matter how the bytes are cut into pieces.
    fn receive(&mut self, piece: &[u8], replies: &mut Vec<u8>, kept: &mut Vec<Message>) {
        // your turn: go through the piece: commands are lines, and `data` knows the rest
        todo!("go through the piece: commands are lines, and `data` knows the rest")
        // end
    }

    /// Does what a command says, and gives the reply to it.
    fn obey(&mut self, command: Command) -> Reply {
        // your turn: one arm for each command
        todo!("one arm for each command")
        // end
    }

    /// The next byte behind DATA. With the last one of the dot's line it gives the message; until then, `None`.
    ///
    /// # Errors
    /// The message is over, and isn't kept: what is answered.
    fn data(&mut self, byte: u8) -> Option<Result<Message, Reply>> {
        // your turn: say what this byte is, and keep it if it's the message's
        todo!("say what this byte is, and keep it if it's the message's")
        // end
    }

    /// The dot was there: gives the message, and forgets it, whether it's kept or not.
    ///
    /// # Errors
    /// It's too long.
    fn finish(&mut self) -> Result<Message, Reply> {
        // your turn: make the message out of what is there, and forget that
        todo!("make the message out of what is there, and forget that")
        // end
    }

    /// There is no message any more, and no part of one.
    fn forget(&mut self) {
        self.sender = None;
        self.recipients = Vec::new();
        self.data = Vec::new();
        self.length = 0;
    }
}

/// The read callback.
fn data_available(event_loop: &mut EventLoop, me: Token, input: &mut Input, session: &mut Session) {
    let (mut replies, mut kept) = (Vec::new(), Vec::new());
    session.receive(&mem::take(&mut input.bytes), &mut replies, &mut kept);
    // Before it's answered: who was told that a message is kept may forget it.
    kept.iter().for_each(print);
    event_loop.send(me, &replies);
    if session.reading == Reading::Nothing || input.ended {
        event_loop.finish(me);
    } else if event_loop.queued(me) > MOST_QUEUED {
        event_loop.close(me);
    }
}

/// A message in a line: what isn't plain text is escaped.
fn print(message: &Message) {
    let recipients: Vec<String> =
        message.recipients.iter().map(|to| format!("<{}>", to.escape_ascii())).collect();
    let (sender, recipients) = (message.sender.escape_ascii(), recipients.join(" "));
    // waits: if nobody takes what we print
    let _ =
        writeln!(io::stdout(), "from <{sender}> to {recipients}: {}", message.data.escape_ascii());
}

fn main() {
    let address = program::address_from_args(NAME, HELP, "127.0.0.1:7012");
    let listener = program::listen_or_exit(NAME, address);
    program::raise_limit();
    let mut event_loop = EventLoop::new(Poll);
    // waits: inside of `run`, in poll, for all of them
    let ran = serve(&mut event_loop, listener).and_then(|_| event_loop.run());
    if let Err(error) = ran {
        program::complain(NAME, 1, &format!("the loop failed: {error}"));
    }
}

fn serve(event_loop: &mut EventLoop, listener: TcpListener) -> io::Result<Token> {
    let mut last = 0;
    event_loop.listen(listener, move |event_loop, came| match came {
        Ok((visitor, from)) => {
            last += 1;
            log(last, &format!("connected from {from}"));
            welcome(event_loop, visitor, last);
        }
        Err(error) => log(last + 1, &format!("not accepted: {error}")),
    })
}

fn welcome(event_loop: &mut EventLoop, visitor: Token, number: u64) {
    let mut session = Session::default();
    event_loop.set_read_callback(visitor, move |event_loop, me, input| {
        data_available(event_loop, me, input, &mut session);
    });
    event_loop.set_close_callback(visitor, move |_, _, ending| {
        log(number, &format!("gone: {ending:?}"));
    });
    event_loop.send(visitor, GREETING.as_bytes());
}
