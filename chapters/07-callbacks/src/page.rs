//! The book's server, as callbacks: the small page, and the large one.

use std::io;
use std::net::{SocketAddr, TcpListener};

use crate::connection::Input;
use crate::event_loop::EventLoop;
use crate::program::log;
use crate::slots::Token;
use crate::source::Ending;

/// Longest accepted request, in bytes: a visitor must not fill our memory.
pub const LONGEST_REQUEST: usize = 8 * 1024;
/// What longer ones get (RFC 6585, section 5).
pub const TOO_LONG: &str = "431 Request Header Fields Too Large";
/// How much of an answer is made at a time, in bytes, and so in one turn.
const QUEUE: usize = 64 * 1024;
/// What the pages are made of.
pub const LINE: &str = "Good things come to those who wait.\n";
/// How many lines the large page has: 8 MiB, and a few bytes.
pub const LARGE: usize = (8_usize << 20).div_ceil(LINE.len());

// ANCHOR: serve
/// Serves `chapter`'s page to all who come to `listener`.
///
/// # Errors
/// When the listener can't be told not to wait.
pub fn serve(event_loop: &mut EventLoop, listener: TcpListener, chapter: u32) -> io::Result<Token> {
    let mut last = 0;
    event_loop.listen(listener, move |event_loop, came| match came {
        Ok((visitor, from)) => {
            last += 1;
            welcome(event_loop, visitor, from, Visitor { number: last, chapter });
        }
        Err(error) => log(last + 1, &format!("not accepted: {error}")),
    })
}

/// What the callbacks of one visitor remember.
#[derive(Clone, Copy, Debug)]
struct Visitor {
    number: u64,
    chapter: u32,
}

fn welcome(event_loop: &mut EventLoop, socket: Token, from: SocketAddr, visitor: Visitor) {
    log(visitor.number, &format!("connected from {from}"));
    event_loop.set_read_callback(socket, move |event_loop, me, input| {
        data_available(event_loop, me, input, visitor);
    });
    event_loop.set_close_callback(socket, move |_, _, ending| match ending {
        Ending::Failed(error) => log(visitor.number, &format!("lost: {error}")),
        Ending::Panicked => log(visitor.number, "lost: a callback panicked"),
        Ending::Finished | Ending::Closed => {}
    });
}

/// Takes out the request when it's whole, and answers. "Not yet" is to
/// do nothing.
fn data_available(event_loop: &mut EventLoop, me: Token, input: &mut Input, visitor: Visitor) {
    let goodbye = move |event_loop: &mut EventLoop, outcome: &str| {
        event_loop.finish(me);
        log(visitor.number, outcome);
    };
    match request(input) {
        Request::NotYet if input.ended => {
            log(visitor.number, &format!("hung up after {} bytes", input.bytes.len()));
            event_loop.close(me);
        }
        Request::NotYet => {}
        Request::TooLong => {
            event_loop.send(me, &head(TOO_LONG, 0));
            goodbye(event_loop, "asked too much");
        }
        Request::Page => {
            event_loop.send(me, &page(visitor.chapter));
            goodbye(event_loop, "answered");
        }
        Request::Large => send_large(event_loop, me, move |event_loop, left| {
            if left == 0 {
                goodbye(event_loop, "answered");
            }
        }),
    }
}
// ANCHOR_END: serve

/// What somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// It isn't whole.
    NotYet,
    /// Longer than [`LONGEST_REQUEST`].
    TooLong,
    /// The small page.
    Page,
    /// The large one.
    Large,
}

/// Takes out the request, when it's whole.
pub fn request(input: &mut Input) -> Request {
    let end = input.bytes.windows(4).position(|four| four == b"\r\n\r\n");
    match end.map(|start| start + 4) {
        Some(length) if length <= LONGEST_REQUEST => {
            let is_large = input.bytes.starts_with(b"GET /large ");
            input.bytes.drain(..length);
            if is_large { Request::Large } else { Request::Page }
        }
        None if input.bytes.len() < LONGEST_REQUEST => Request::NotYet,
        _ => Request::TooLong,
    }
}

/// The page that every server in this book gives.
pub fn page(chapter: u32) -> Vec<u8> {
    let body = format!("{LINE}Served by chapter {chapter}.\n");
    let mut answer = head("200 OK", body.len());
    answer.extend_from_slice(body.as_bytes());
    answer
}

/// An answer's head, for a body of so many bytes.
pub fn head(status: &str, length: usize) -> Vec<u8> {
    format!("HTTP/1.0 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n")
        .into_bytes()
}

// ANCHOR: large
/// Sends the large page, a queue at a time: more is made when there is
/// room for more. `told` hears how many lines are left, whenever some
/// have been queued.
pub fn send_large(
    event_loop: &mut EventLoop,
    to: Token,
    mut told: impl FnMut(&mut EventLoop, usize) + 'static,
) {
    // One answer at a time: parsed, what comes meanwhile would be
    // answered in the middle of this one, and its end would be taken
    // for a hang-up.
    event_loop.set_read_callback(to, |_, _, input| input.bytes.clear());
    event_loop.send(to, &head("200 OK", LARGE * LINE.len()));
    let mut left = LARGE;
    event_loop.set_write_callback(to, move |event_loop, to| {
        let lines = left.min(QUEUE / LINE.len());
        left -= lines;
        event_loop.send(to, LINE.repeat(lines).as_bytes());
        told(event_loop, left);
    });
}
// ANCHOR_END: large
