//! Exercise 12-telnet: commands in the middle of the text.
//!
//! Telnet is text both ways, and commands between any two bytes of it, behind a byte 255 (RFC 854). With them
//! the two sides agree on options: one says WILL (I want to do that) or DO (please do that), and the other
//! agrees or refuses. If both answer every answer, they never stop. This server sends each line back, with the
//! size of the visitor's window before it, if that is known (RFC 1073).
//!
//! Run it:      cargo run -p ex12-kernel --bin ex12-telnet      and, in a second terminal,
//!              plink -telnet -P 7012 127.0.0.1
//! Be graded:   cargo grade 12

use std::collections::BTreeSet;
use std::io;
use std::mem;
use std::net::TcpListener;

use ch07_callbacks::program::{self, log};
use ch07_callbacks::{EventLoop, Input, Poll, Token};

const NAME: &str = "ex12-telnet";
const HELP: &str = "ex12-telnet [ADDRESS]

Sends each line back, over Telnet, with the size of the window before it: 80x24: hello
ADDRESS is 127.0.0.1:7012 where not given; port 0 means any free one.";

/// Interpret as command: what stands before each command (RFC 854). Twice, it's a byte 255 of the text.
const IAC: u8 = 255;
/// I won't let you; please stop; don't begin.
const DONT: u8 = 254;
/// Please do; yes, do.
const DO: u8 = 253;
/// I won't; I have stopped.
const WONT: u8 = 252;
/// I want to; yes, I will.
const WILL: u8 = 251;
/// What follows is about an option (a subnegotiation), until IAC SE.
const SB: u8 = 250;
const SE: u8 = 240;

/// Whoever has it on sends back what the other side types (RFC 857). We send back whole lines.
const ECHO: u8 = 1;
/// Nobody says "your turn" (RFC 858).
const SUPPRESS_GO_AHEAD: u8 = 3;
/// Whoever has it on tells how large its window is (RFC 1073).
const NAWS: u8 = 31;

/// What we do if we are asked to.
const OURS: [u8; 2] = [ECHO, SUPPRESS_GO_AHEAD];
/// What the other side may do.
const THEIRS: [u8; 1] = [NAWS];

/// Longest line, in bytes. What comes behind so many is left out of what is sent back.
const LONGEST_LINE: usize = 1000;
/// Most bytes of a subnegotiation that are kept. NAWS has 4.
const MOST_KEPT: usize = 64;
/// Whoever has more queued than that, in bytes, sends and doesn't read.
const MOST_QUEUED: usize = 1024 * 1024;

/// What the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Text, or an IAC.
    #[default]
    Text,
    /// Behind an IAC: a command.
    Command,
    /// Behind this one of WILL, WONT, DO and DONT: the option.
    Option(u8),
    /// Behind SB: the option that it's about.
    About,
    /// What is said about this option, or an IAC.
    Said(u8),
    /// Behind an IAC in there: SE, another IAC, or something that doesn't belong there.
    SaidCommand(u8),
}

/// One visitor's side of Telnet, and ours.
#[derive(Default)]
struct Telnet {
    state: State,
    /// The text's last byte was a CR.
    after_cr: bool,
    /// The options that are on, on our side.
    ours: BTreeSet<u8>,
    /// And on theirs.
    theirs: BTreeSet<u8>,
    /// What has been said about an option, no more than [`MOST_KEPT`] bytes.
    said: Vec<u8>,
    /// The window's width and height, in characters, if they are known.
    size: Option<(u16, u16)>,
    /// What has been typed of the line.
    line: Vec<u8>,
}

impl Telnet {
    /// Bytes have come. Takes the commands out, and adds to `reply` what is answered to them and the lines that
    /// are sent back. The bytes may be cut anywhere.
    fn receive(&mut self, bytes: &[u8], reply: &mut Vec<u8>) {
        // your turn: go through the bytes, from state to state
        // hint: `self.state = match (self.state, byte) { … }`, for each byte. The state is all that is left of the bytes
        //   before it, and it's still there at the next call. Each arrow of the drawing that you make first is a line.
        // hint: Behind an IAC there are four kinds: another IAC, which is text; WILL, WONT, DO and DONT, behind which an
        //   option stands; SB; and all others, which have no third byte.
        // hint: In what is said about an option an SE alone is a byte like any other, and so is 255, which comes as IAC IAC.
        //   It must begin empty each time. And who says too much isn't kept: look at how long `self.said` is before you
        //   push.
        // hint: Nearly the answer:
        //       (State::Text, IAC) => State::Command,
        //       (State::Text, _) => { self.typed(byte, reply); State::Text }
        //       (State::Command, WILL | WONT | DO | DONT) => State::Option(byte),
        //       (State::Option(verb), option) => { …self.negotiate(verb, option)… State::Text }
        //       (State::About, option) => { …empty… State::Said(option) }
        //       (State::SaidCommand(option), SE) => { self.was_said(option); State::Text }
        for &byte in bytes {
            self.state = match (self.state, byte) {
                (State::Text, IAC) => State::Command,
                (State::Text, _) | (State::Command, IAC) => {
                    self.typed(byte, reply);
                    State::Text
                }
                (State::Command, WILL | WONT | DO | DONT) => State::Option(byte),
                (State::Command, SB) => State::About,
                (State::Command, _) => State::Text,
                (State::Option(verb), option) => {
                    if let Some(answer) = self.negotiate(verb, option) {
                        reply.extend([IAC, answer, option]);
                    }
                    State::Text
                }
                (State::About, option) => {
                    self.said.clear();
                    State::Said(option)
                }
                (State::Said(option), IAC) => State::SaidCommand(option),
                (State::Said(option), _) | (State::SaidCommand(option), IAC) => {
                    if self.said.len() < MOST_KEPT {
                        self.said.push(byte);
                    }
                    State::Said(option)
                }
                (State::SaidCommand(option), SE) => {
                    self.was_said(option);
                    State::Text
                }
                (State::SaidCommand(option), _) => State::Said(option),
            };
        }
        // end
    }

    /// They say WILL, WONT, DO or DONT (`verb`) about an option. Gives the verb that is answered, if any is.
    fn negotiate(&mut self, verb: u8, option: u8) -> Option<u8> {
        // your turn: agree, refuse, or say nothing
        // hint: DO and DONT are about our side, and answered with WILL or WONT. WILL and WONT are about theirs, and
        //   answered with DO or DONT. One option may be on here and off there.
        // hint: An answer is sent where something changes, or where a change is refused. `insert` and `remove` of a set tell
        //   whether it has changed, and `bool::then_some` makes an answer of that.
        // hint: Who says WONT about NAWS has no size any more.
        match verb {
            DO if OURS.contains(&option) => self.ours.insert(option).then_some(WILL),
            DO => Some(WONT),
            DONT => self.ours.remove(&option).then_some(WONT),
            WILL if THEIRS.contains(&option) => self.theirs.insert(option).then_some(DO),
            WILL => Some(DONT),
            _ => {
                if option == NAWS {
                    self.size = None;
                }
                self.theirs.remove(&option).then_some(DONT)
            }
        }
        // end
    }

    /// All of `said` was said about this option.
    fn was_said(&mut self, option: u8) {
        // your turn: if it's the size of their window, remember it
        // hint: Three questions: is it about NAWS, is NAWS on, and are there four bytes? A pattern asks the last one:
        //   `if let [a, b, c, d] = self.said[..]`.
        // hint: Width and height are two bytes each, the larger part first: `u16::from_be_bytes([a, b])`.
        if let [a, b, c, d] = self.said[..]
            && option == NAWS
            && self.theirs.contains(&NAWS)
        {
            self.size = Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])));
        }
        // end
    }

    /// A byte of the text.
    fn typed(&mut self, byte: u8, reply: &mut Vec<u8>) {
        // your turn: add it to the line (`add`), or end the line (`end_line`)
        // hint: A CR ends the line at once: nobody knows whether anything comes behind it, and when. What is left to
        //   remember is that an LF or a NUL right behind it is nothing. `mem::replace(&mut self.after_cr, …)` tells what
        //   was before, and says what is now.
        let after_cr = mem::replace(&mut self.after_cr, byte == b'\r');
        match byte {
            b'\n' | 0 if after_cr => {}
            b'\r' | b'\n' => self.end_line(reply),
            _ => self.add(byte),
        }
        // end
    }

    /// Another byte of the line.
    fn add(&mut self, byte: u8) {
        if self.line.len() < LONGEST_LINE {
            self.line.push(byte);
        }
    }

    /// The line is whole: it's sent back.
    fn end_line(&mut self, reply: &mut Vec<u8>) {
        if let Some((width, height)) = self.size {
            reply.extend_from_slice(format!("{width}x{height}: ").as_bytes());
        }
        for byte in mem::take(&mut self.line) {
            reply.push(byte);
            if byte == IAC {
                reply.push(IAC);
            }
        }
        reply.extend_from_slice(b"\r\n");
    }
}

/// The read callback.
fn data_available(event_loop: &mut EventLoop, me: Token, input: &mut Input, telnet: &mut Telnet) {
    let mut reply = Vec::new();
    telnet.receive(&mem::take(&mut input.bytes), &mut reply);
    event_loop.send(me, &reply);
    if input.ended {
        event_loop.finish(me);
    } else if event_loop.queued(me) > MOST_QUEUED {
        event_loop.close(me);
    }
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
    let mut telnet = Telnet::default();
    event_loop.set_read_callback(visitor, move |event_loop, me, input| {
        data_available(event_loop, me, input, &mut telnet);
    });
    event_loop.set_close_callback(visitor, move |_, _, ending| {
        log(number, &format!("gone: {ending:?}"));
    });
}
