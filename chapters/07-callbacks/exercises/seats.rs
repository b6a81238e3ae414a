//! Exercise 07-seats: callbacks that outlive what they were about.
//!
//! Whoever comes gets a seat: the lowest number that is free. What is posted to a seat is kept until
//! somebody rings, and delivered then. Meanwhile whoever sat there may have left, and somebody else may have got
//! the seat: the text isn't for them. A number is given again; a token never is. So what is to be done
//! at the next ring is a callback that remembers a token. Each is called once, and forgotten, which is
//! what `FnOnce` says. One that wants to be called again registers itself anew while it runs.
//!
//! Run it:      cargo run -p ex07-callbacks --bin ex07-seats      and, in two more terminals,
//!              nc 127.0.0.1 7007      and type `post 1 hello`, `again 1 and again`, `ring`
//! Be graded:   cargo grade 7

// Until you have written your part, much is unused here. Take these lines out when you have.
#![allow(clippy::ptr_arg, dead_code, unreachable_code)]
#![allow(unused_imports, unused_mut, unused_variables)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::net::TcpListener;
use std::rc::Rc;

use ch07_callbacks::program::{self, log};
use ch07_callbacks::{Connection, EventLoop, Input, Poll, Token};

const NAME: &str = "ex07-seats";
const HELP: &str = "ex07-seats [ADDRESS]

Gives everybody a seat. `post SEAT TEXT` keeps a text until somebody says `ring`, and delivers
it then; `again SEAT TEXT` delivers it at every ring.
ADDRESS is 127.0.0.1:7007 where not given; port 0 means any free one.";

/// Longest accepted order, in bytes, with its end: a visitor must not fill our memory.
const LONGEST_ORDER: usize = 1000;
/// How many texts are kept: visitors must not fill it together, either.
const MOST_KEPT: usize = 250;
/// How much may be queued for a visitor, in bytes. All that is kept fits: nothing is sent before a
/// callback returns, and who reads well must not lose its seat to one ring.
const MOST_QUEUED: usize = MOST_KEPT * (LONGEST_ORDER + 100);

const KEPT: &str = "kept\n";
const NOBODY: &str = "nobody there\n";

/// Something to be done at the next ring, once.
type Callback = Box<dyn FnOnce(&mut EventLoop)>;

/// What is waiting for somebody to ring. A clone is the same bell.
#[derive(Clone, Default)]
struct Bell {
    waiting: Rc<RefCell<Vec<Callback>>>,
}

impl Bell {
    /// `callback` will be called at the next ring, behind those that are registered already.
    fn register(&self, callback: Callback) {
        // your turn: keep the callback until the next ring
        todo!("keep the callback until the next ring")
        // end
    }

    /// Calls all that were registered when it began, in their order, and says how many those were. They
    /// are forgotten. What they register meanwhile is for the next ring.
    fn ring(&self, event_loop: &mut EventLoop) -> usize {
        // your turn: call all that are registered, once
        todo!("call all that are registered, once")
        // end
    }

    fn is_full(&self) -> bool {
        self.waiting.borrow().len() >= MOST_KEPT
    }
}

/// Who sits where. A clone is the same seats.
#[derive(Clone, Default)]
struct Seats {
    taken: Rc<RefCell<BTreeMap<usize, Token>>>,
}

impl Seats {
    /// Who has that seat. Somebody who was closed a moment ago still has it, until the close callback is
    /// called: never while another callback runs.
    fn tenant(&self, seat: usize) -> Option<Token> {
        self.taken.borrow().get(&seat).copied()
    }

    /// Gives the visitor the seat with the lowest number that is free, from 1 on, until its connection
    /// is closed.
    fn give(&self, event_loop: &mut EventLoop, visitor: Token) -> usize {
        // your turn: find the lowest free number, and see to it that it's free again afterwards
        todo!("find the lowest free number, and see to it that it's free again afterwards")
        // end
    }
}

/// A text to be delivered.
#[derive(Clone)]
struct Note {
    /// Who has posted it.
    poster: Token,
    /// The poster's seat.
    from: usize,
    /// The seat that it's for.
    to: usize,
    text: Vec<u8>,
    /// To be delivered at every ring, not at one.
    again: bool,
}

/// What all visitors share.
#[derive(Clone, Default)]
struct Hall {
    seats: Seats,
    bell: Bell,
}

/// Somebody has posted a note. If nobody sits there, the poster is told NOBODY. Else it's told KEPT, and
/// the note is delivered at the next ring, to whoever sits there now.
fn post(event_loop: &mut EventLoop, note: Note, hall: &Hall) {
    // your turn: register the delivery, or say that nobody is there
    todo!("register the delivery, or say that nobody is there")
    // end
}

/// What is to be done at the next ring. If the addressee is still there, it's told `from SEAT: TEXT`, and
/// nobody else is; the note is kept for the ring after that if it's to be delivered `again`, whether the
/// poster is still there or not. If the addressee has left, the poster is told `seat SEAT has left`, unless the
/// poster has left too, and that is all. The addressee may have left in this very ring: see [`tell`].
fn delivery(note: Note, addressee: Token, hall: Hall) -> Callback {
    // your turn: a callback that delivers the note, if the addressee is still there
    todo!("a callback that delivers the note, if the addressee is still there")
    // end
}

/// Sends it something, if it's still there. Who doesn't read what is sent is hung up on at once.
fn tell(event_loop: &mut EventLoop, visitor: Token, text: &[u8]) {
    event_loop.send(visitor, text);
    if event_loop.queued(visitor) > MOST_QUEUED {
        event_loop.close(visitor);
    }
}

/// The read callback: does what is said in each line.
fn data_available(
    event_loop: &mut EventLoop,
    me: Token,
    input: &mut Input,
    seat: usize,
    hall: &Hall,
) {
    while let Some(end) = input.bytes.iter().take(LONGEST_ORDER).position(|byte| *byte == b'\n') {
        let line: Vec<u8> = input.bytes.drain(..=end).collect();
        let line = line.trim_ascii_end();
        let note = note(line).map(|(again, to, text)| {
            let text = text.to_vec();
            Note { poster: me, from: seat, to, text, again }
        });
        match note {
            _ if line == b"ring" => {
                let count = hall.bell.ring(event_loop);
                tell(event_loop, me, format!("rung {count}\n").as_bytes());
            }
            None => tell(event_loop, me, b"say: post SEAT TEXT, again SEAT TEXT, or ring\n"),
            Some(_) if hall.bell.is_full() => tell(event_loop, me, b"too much is kept already\n"),
            Some(note) => post(event_loop, note, hall),
        }
    }
    if input.ended || input.bytes.len() >= LONGEST_ORDER {
        event_loop.finish(me);
    }
}

/// `post SEAT TEXT` or `again SEAT TEXT`: whether it is `again`, the seat, and the text.
fn note(line: &[u8]) -> Option<(bool, usize, &[u8])> {
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let again = match words.next()? {
        b"post" => false,
        b"again" => true,
        _ => return None,
    };
    let seat = str::from_utf8(words.next()?).ok()?.parse().ok()?;
    Some((again, seat, words.next()?))
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
    let hall = Hall::default();
    let mut last = 0;
    event_loop.listen(listener, move |event_loop, came| match came {
        Ok((visitor, from)) => {
            last += 1;
            let seat = hall.seats.give(event_loop, visitor);
            log(last, &format!("connected from {from}, seat {seat}"));
            tell(event_loop, visitor, format!("seat {seat}\n").as_bytes());
            let hall = hall.clone();
            event_loop.set_read_callback(visitor, move |event_loop, me, input| {
                data_available(event_loop, me, input, seat, &hall);
            });
        }
        Err(error) => log(last + 1, &format!("not accepted: {error}")),
    })
}
