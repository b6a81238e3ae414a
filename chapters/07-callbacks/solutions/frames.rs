//! Exercise 07-frames: frames out of pieces.
//!
//! TCP carries bytes, not messages: what is sent as one piece may come as three, and three as one. So
//! whoever sends messages has to say where each one ends. Here a message is a netstring: its length in
//! decimal, a colon, its bytes, a comma, as in `5:hello,`. This server sends each one back with its
//! bytes in reverse order: `5:olleh,`. The loop calls you when something has come. You take out the
//! frames that are whole, all of them, and leave the rest where it is until you are called again.
//! (Somebody who sends and never reads makes us keep all the answers: the next exercise is about that.)
//!
//! Run it:      cargo run -p ex07-callbacks --bin ex07-frames      and, in a second terminal,
//!              printf '5:hello,3:abc,end' | nc 127.0.0.1 7007
//! Be graded:   cargo grade 7

use std::io;
use std::net::{SocketAddr, TcpListener};

use ch07_callbacks::program::{self, log};
use ch07_callbacks::{EventLoop, Input, Poll, Token};

const NAME: &str = "ex07-frames";
const HELP: &str = "ex07-frames [ADDRESS]

Sends each netstring back, with its bytes in reverse order: 5:hello, becomes 5:olleh,
ADDRESS is 127.0.0.1:7007 where not given; port 0 means any free one.";

/// The most bytes that a frame may hold: a visitor must not fill our memory.
const LONGEST: usize = 16 * 1024;
/// What is sent, as a frame, to whoever sends something else.
const REFUSAL: &[u8] = b"that is no frame";

/// What has come is no frame, and never will be one.
#[derive(Debug)]
struct NoFrame;

/// These bytes as a frame: `frame(b"hello")` is `5:hello,`.
fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut frame = format!("{}:", bytes.len()).into_bytes();
    frame.extend_from_slice(bytes);
    frame.push(b',');
    frame
}

/// Takes the first frame out of `bytes`, and gives what it holds. `Ok(None)`: it isn't whole yet, and
/// nothing is taken. The length is written in decimal digits and nothing else, and begins with a zero
/// only if it is 0. The frame may hold any bytes, commas and colons too, and no bytes at all.
///
/// # Errors
/// [`NoFrame`] as soon as `bytes` can't be the beginning of a frame of at most [`LONGEST`] bytes,
/// whatever may come behind them.
fn next_frame(bytes: &mut Vec<u8>) -> Result<Option<Vec<u8>>, NoFrame> {
    // your turn: take out the first frame, if it is whole
    // hint: Three questions, in this order. How many digits are there at the beginning? Is there a colon behind
    //   them? Is there a comma behind as many bytes as they say? Wherever the answer is "that byte hasn't come",
    //   it's `Ok(None)`; where another byte is in its place, it's `Err(NoFrame)`. `bytes.get(index)` tells these
    //   two apart.
    // hint: `parse` takes more than digits, for example "+5" and "007". And more digits than a number can hold
    //   must not be a panic: with each digit look whether the length is over LONGEST already, and give up there.
    let mut digits = 0;
    let mut length = 0;
    while let Some(digit @ b'0'..=b'9') = bytes.get(digits) {
        length = 10 * length + usize::from(digit - b'0');
        digits += 1;
        if length > LONGEST || (bytes[0] == b'0' && digits > 1) {
            return Err(NoFrame);
        }
    }
    match bytes.get(digits) {
        None => return Ok(None),
        Some(b':') if digits > 0 => {}
        Some(_) => return Err(NoFrame),
    }
    let start = digits + 1;
    match bytes.get(start + length) {
        None => return Ok(None),
        Some(b',') => {}
        Some(_) => return Err(NoFrame),
    }
    let mut taken: Vec<u8> = bytes.drain(..start + length + 1).collect();
    taken.pop();
    Ok(Some(taken.split_off(start)))
    // end
}

/// The read callback. Answers each whole frame with one that has its bytes in reverse order, in the
/// order in which they came. At the first thing that is no frame it sends [`REFUSAL`] as a frame,
/// behind the answers, and hangs up. At the end of what is sent it hangs up too: a frame that isn't
/// whole then never will be, and gets no answer. To hang up is to `finish`: what is queued is still
/// sent, and what still comes is thrown away, however much that is.
fn data_available(event_loop: &mut EventLoop, me: Token, input: &mut Input, number: u64) {
    // your turn: answer each frame that is whole, and hang up when there will be no more
    // hint: You are called when bytes have come, not when a frame has. There may be half a frame in
    //   `input.bytes`, or three and a half, and nobody calls you again for the ones that are there already.
    //   So go on until `next_frame` says that there is no whole one.
    // hint: What you leave in `input.bytes` is there the next time, with more behind it. There is no need to keep
    //   anything yourself. `input.ended` says that nothing more will come.
    // hint: Nearly the answer:
    //       loop {
    //           match next_frame(&mut input.bytes) {
    //               Ok(Some(mut bytes)) => { bytes.reverse(); … send … frame … }
    //               Ok(None) => break,
    //               Err(NoFrame) => { … send … finish … return }
    //           }
    //       }
    //       if input.ended { … finish … }
    loop {
        match next_frame(&mut input.bytes) {
            Ok(Some(mut bytes)) => {
                bytes.reverse();
                event_loop.send(me, &frame(&bytes));
            }
            Ok(None) => break,
            Err(NoFrame) => {
                log(number, "sent something that is no frame");
                event_loop.send(me, &frame(REFUSAL));
                event_loop.finish(me);
                return;
            }
        }
    }
    if input.ended {
        let rest = input.bytes.len();
        log(number, &format!("finished, {rest} bytes after the last whole frame"));
        event_loop.finish(me);
    }
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
    let mut last = 0;
    event_loop.listen(listener, move |event_loop, came| match came {
        Ok((visitor, from)) => {
            last += 1;
            welcome(event_loop, visitor, from, last);
        }
        Err(error) => log(last + 1, &format!("not accepted: {error}")),
    })
}

fn welcome(event_loop: &mut EventLoop, visitor: Token, from: SocketAddr, number: u64) {
    log(number, &format!("connected from {from}"));
    event_loop.set_read_callback(visitor, move |event_loop, me, input| {
        data_available(event_loop, me, input, number);
    });
    event_loop.set_close_callback(visitor, move |_, _, ending| {
        log(number, &format!("gone: {ending:?}"));
    });
}
