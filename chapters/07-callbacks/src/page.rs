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
const TOO_LONG: &str = "431 Request Header Fields Too Large";
/// How much of an answer is made at a time, in bytes, and so in one turn.
const QUEUE: usize = 64 * 1024;
const LINE: &str = "Good things come to those who wait.\n";
/// How many lines the large page has: 8 MiB, and a few bytes.
const LARGE: usize = (8_usize << 20).div_ceil(LINE.len());

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

/// Takes out the request when it's whole, and answers. "Not yet" is to do nothing.
fn data_available(event_loop: &mut EventLoop, me: Token, input: &mut Input, visitor: Visitor) {
    let end = input.bytes.windows(4).position(|four| four == b"\r\n\r\n");
    match end.map(|start| start + 4) {
        Some(length) if length <= LONGEST_REQUEST => {
            let request: Vec<u8> = input.bytes.drain(..length).collect();
            answer(event_loop, me, &request, visitor);
        }
        None if input.bytes.len() < LONGEST_REQUEST => {
            if input.ended {
                log(visitor.number, &format!("hung up after {} bytes", input.bytes.len()));
                event_loop.close(me);
            }
        }
        _ => {
            event_loop.send(me, &head(TOO_LONG, 0));
            goodbye(event_loop, me, visitor, "asked too much");
        }
    }
}
// ANCHOR_END: serve

fn answer(event_loop: &mut EventLoop, me: Token, request: &[u8], visitor: Visitor) {
    if request.starts_with(b"GET /large ") {
        event_loop.send(me, &head("200 OK", LARGE * LINE.len()));
        send_lines(event_loop, me, visitor);
        return;
    }
    let page = format!("{LINE}Served by chapter {}.\n", visitor.chapter);
    event_loop.send(me, &head("200 OK", page.len()));
    event_loop.send(me, page.as_bytes());
    goodbye(event_loop, me, visitor, "answered");
}

// ANCHOR: large
/// Makes the large page, a queue at a time: more when there is room for more.
fn send_lines(event_loop: &mut EventLoop, me: Token, visitor: Visitor) {
    let mut left = LARGE;
    event_loop.set_write_callback(me, move |event_loop, me| {
        let lines = left.min(QUEUE / LINE.len());
        left -= lines;
        event_loop.send(me, LINE.repeat(lines).as_bytes());
        if left == 0 {
            goodbye(event_loop, me, visitor, "answered");
        }
    });
}
// ANCHOR_END: large

fn goodbye(event_loop: &mut EventLoop, me: Token, visitor: Visitor, outcome: &str) {
    event_loop.finish(me);
    log(visitor.number, outcome);
}

fn head(status: &str, length: usize) -> Vec<u8> {
    format!("HTTP/1.0 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n")
        .into_bytes()
}
