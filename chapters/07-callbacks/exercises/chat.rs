//! Exercise 07-chat: a room that remembers who is in it.
//!
//! A chat: you say a name, and from then on each of your lines reaches all the others. Ten or three
//! hundred people share what is in [`Room`], and every one of them may be gone at any moment: they
//! hang up, are reset, don't read, or run into a bug of ours. Nobody may stay behind as a ghost. That is what
//! the close callback is for: it is called once, whatever it was that ended the connection.
//!
//! Naming and talking are two read callbacks. The first puts the second in its own place, and what it
//! has left untaken is handed to the second.
//!
//! Run it:      cargo run -p ex07-callbacks --bin ex07-chat      and, in two more terminals,
//!              nc 127.0.0.1 7007                                and type
//! Be graded:   cargo grade 7

// Until you have written your part, much is unused here. Take these lines out when you have.
#![allow(clippy::ptr_arg, dead_code, unreachable_code)]
#![allow(unused_imports, unused_mut, unused_variables)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;

use ch07_callbacks::program::{self, log};
use ch07_callbacks::{EventLoop, Input, Poll, Token};

const NAME: &str = "ex07-chat";
const HELP: &str = "ex07-chat [ADDRESS]

A room in which everybody who has given a name (1 to 20 letters and digits) hears everybody else.
ADDRESS is 127.0.0.1:7007 where not given; port 0 means any free one.";

/// Longest accepted line, in bytes, without its end: a visitor must not fill our memory.
const LONGEST_LINE: usize = 1000;
/// Longest accepted name, in bytes.
const LONGEST_NAME: usize = 20;
/// How much may be queued for a visitor, in bytes: one that doesn't read must not fill our memory
/// either. Nothing is sent before a callback returns. So it's more than what one piece of input can
/// become, or a burst would cost us those who do read: 16 KiB of short lines under a long name are
/// 192 KiB, and 16 KiB of empty lines, each a bad name, are 240 KiB of answers.
const MOST_QUEUED: usize = 256 * 1024;
/// How many may be connected, with a name or without: each costs a descriptor.
const MOST_VISITORS: usize = 400;

const ASK: &str = "name?\n";
const BAD_NAME: &str = "bad name\n";
const TAKEN: &str = "that name is taken\n";
const TOO_LONG: &str = "that line is too long\n";
const FULL: &str = "the room is full\n";

/// What the callbacks of all visitors share.
#[derive(Default)]
struct Room {
    /// How many are connected.
    visitors: usize,
    /// Those who have a name, by the tokens of their connections.
    members: BTreeMap<Token, String>,
}

type Shared = Rc<RefCell<Room>>;

/// What there is to be heard from a visitor.
enum Said {
    /// A line, without its end.
    Line(Vec<u8>),
    /// Nothing yet.
    NotYet,
    /// Nothing more, ever; and what to tell it before we hang up.
    Over(&'static str),
}

/// Takes the next line out of the input. It ends with `\n` or `\r\n`; at the end of what is sent, a line
/// without an end is none. (There is a bug in here, so that you can see what it does: say `/panic`.)
fn next_line(input: &mut Input) -> Said {
    let end = input.bytes.iter().position(|byte| *byte == b'\n');
    let bytes = &input.bytes[..end.unwrap_or(input.bytes.len())];
    let line = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    if line.len() > LONGEST_LINE {
        return Said::Over(TOO_LONG);
    }
    let line = line.to_vec();
    match end {
        Some(end) => {
            assert!(line != b"/panic", "somebody has found the bug that is there to be found");
            input.bytes.drain(..=end);
            Said::Line(line)
        }
        None if input.ended => Said::Over(""),
        None => Said::NotYet,
    }
}

/// The line as a name, if it can be one.
fn as_name(line: &[u8]) -> Option<String> {
    let good =
        (1..=LONGEST_NAME).contains(&line.len()) && line.iter().all(u8::is_ascii_alphanumeric);
    good.then(|| String::from_utf8_lossy(line).into_owned())
}

/// Somebody has connected. If MOST_VISITORS are connected already, it's told FULL and hung up on, and
/// doesn't count. Else it counts as one of them until its connection is closed, and is asked for its name.
fn welcome(event_loop: &mut EventLoop, visitor: Token, number: u64, room: &Shared) {
    // your turn: ask for the name, and set the callbacks for what comes and for the end
    todo!("ask for the name, and set the callbacks for what comes and for the end")
    // end
}

/// The read callback of a visitor without a name. A line that is no name is answered with BAD_NAME, a name
/// that a member has with TAKEN, and each time the name is asked for again. With a good one the visitor becomes
/// a member: it's told `hello NAME`, the others `* NAME is here`, and its next lines are for them, even
/// those that have come together with the name. Whoever has more than MOST_QUEUED bytes of such answers
/// queued doesn't read them: its connection is closed, and the rest of its lines isn't looked at.
fn name_available(event_loop: &mut EventLoop, me: Token, input: &mut Input, room: &Shared) {
    // your turn: take lines until one is a name; then let `lines_available` hear the rest
    todo!("take lines until one is a name; then let `lines_available` hear the rest")
    // end
}

/// The read callback of a member: tells the others `NAME: LINE` for each of its lines. An empty line
/// says nothing, and nobody hears of it.
fn lines_available(event_loop: &mut EventLoop, me: Token, input: &mut Input, room: &Shared) {
    // your turn: tell the others all lines that have come
    todo!("tell the others all lines that have come")
    // end
}

/// Nothing more is heard from this one: it has finished, or has said too much. It is told `why`, and
/// still gets all that is queued for it, however long that takes; what it still sends is thrown away. It
/// has left now, and it counts until its connection is closed.
fn hang_up(event_loop: &mut EventLoop, me: Token, why: &str, room: &Shared) {
    // your turn: say why, hang up behind what is queued, and let it leave
    todo!("say why, hang up behind what is queued, and let it leave")
    // end
}

/// Takes the member off the list, if it's on it, and only then tells the others `* NAME has left`. So they
/// hear it once, although this is called both when somebody is hung up on and when the connection is closed.
fn leave(event_loop: &mut EventLoop, me: Token, room: &Shared) {
    // your turn: take the member off the list, and tell the others
    todo!("take the member off the list, and tell the others")
    // end
}

/// Tells all members but `me`. Whoever has more than MOST_QUEUED bytes queued then reads too slowly: its
/// connection is closed, what is queued is lost, and the others hear that it has left.
fn tell_others(event_loop: &mut EventLoop, me: Token, text: &[u8], room: &Shared) {
    // your turn: send it to all others, and close the connections of those who are too slow
    todo!("send it to all others, and close the connections of those who are too slow")
    // end
}

fn main() {
    let address = program::address_from_args(NAME, HELP, "127.0.0.1:7007");
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
    let room = Shared::default();
    let mut last = 0;
    event_loop.listen(listener, move |event_loop, came| match came {
        Ok((visitor, from)) => {
            last += 1;
            log(last, &format!("connected from {from}"));
            welcome(event_loop, visitor, last, &room);
        }
        Err(error) => log(last + 1, &format!("not accepted: {error}")),
    })
}
