//! Exercise 09-idle: a room in which nobody sleeps.
//!
//! Each whole line that somebody says reaches all, the speaker too. A seat in the room costs a descriptor
//! and some memory, and many would keep it for ever without a word. So there are deadlines. Whoever begins
//! no line for IDLE milliseconds is told `idle` and hung up on. Whoever has begun one has LINE milliseconds
//! to end it, or is told `too slow`: a byte now and then buys no time, or anybody could stay for ever at
//! the price of a byte an hour. A whole line does buy time. What others say doesn't. A visitor that was told
//! goodbye and doesn't hang up has its connection closed IDLE milliseconds later.
//!
//! Run it:      cargo run -p ex09-timers --bin ex09-idle      and, in two more terminals,
//!              nc 127.0.0.1 7009      and type, or don't
//! Be graded:   cargo grade 9

// Until you have written your part, much is unused here. Take these lines out when you have.
#![allow(clippy::ptr_arg, dead_code, unreachable_code)]
#![allow(unused_imports, unused_mut, unused_variables)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::program::{self, log};
use ch07_callbacks::{EventLoop, Input, Token};
use ch09_timers::{Clock, Timer, Timers};

const NAME: &str = "ex09-idle";
const HELP: &str = "ex09-idle [ADDRESS [IDLE [LINE]]]

A room in which everybody hears everybody, and nobody may be silent for long.
ADDRESS is 127.0.0.1:7009 where not given; port 0 means any free one. IDLE is how long one may be
silent, LINE how long a line may take, both in milliseconds: 5000 and 3000 where not given.";

/// Longest accepted line, in bytes, with its end: a visitor must not fill our memory.
const LONGEST_LINE: usize = 1000;
/// How much may be queued for a visitor, in bytes: one that doesn't read must not fill it either.
const MOST_QUEUED: usize = 256 * 1024;

/// What all visitors share.
struct Room {
    timers: Timers,
    /// How long a visitor may take to begin a line; and to hang up, after a goodbye.
    idle: Duration,
    /// How long it may take to end a line, from the line's first byte on.
    line: Duration,
    visitors: RefCell<BTreeMap<Token, Rc<Visitor>>>,
}

/// A visitor, as its callbacks know it.
struct Visitor {
    number: u64,
    socket: Token,
    room: Rc<Room>,
    stage: Cell<Stage>,
    /// The timer for its deadline: one, not more, for as long as it's connected.
    deadline: Cell<Option<Timer>>,
}

/// What we wait for a visitor to do. Each stage has its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// To begin a line.
    Silent,
    /// To end it.
    InLine,
    /// To hang up: it has been told goodbye.
    Leaving,
}

impl Visitor {
    /// Something has come from it. `ended`: at least one whole line. `begun`: behind that, there is a
    /// line that has begun and hasn't ended. This is called in the stages Silent and InLine, and in either
    /// stage all of this may come as one piece.
    fn heard(self: &Rc<Self>, event_loop: &mut EventLoop, ended: bool, begun: bool) {
        // your turn: enter the stage that begins now, if one does
        todo!("enter the stage that begins now, if one does")
        // end
    }

    /// A stage begins, or begins anew: so does its time. When that is over, [`Visitor::is_late`] is
    /// called.
    fn enter(self: &Rc<Self>, event_loop: &mut EventLoop, stage: Stage) {
        // your turn: set the timer for this stage's deadline, in place of the one that is set
        todo!("set the timer for this stage's deadline, in place of the one that is set")
        // end
    }

    /// The stage's time is over. Says [goodbye](Visitor::goodbye) with `idle` to a visitor that began no line,
    /// with `too slow` to one that didn't end its line; and closes the connection of one that didn't hang up.
    fn is_late(self: &Rc<Self>, event_loop: &mut EventLoop) {
        // your turn: hang up, with a word if there is one left to say
        todo!("hang up, with a word if there is one left to say")
        // end
    }

    /// Cancels the timer that is set. Among other times, this is called when the connection is closed: a timer
    /// that was left behind would keep the visitor in memory until it's due.
    fn clean_up(&self, event_loop: &mut EventLoop) {
        // your turn: leave no timer behind
        todo!("leave no timer behind")
        // end
    }

    /// Tells it a last word, if there is one, and waits for it to hang up.
    fn goodbye(self: &Rc<Self>, event_loop: &mut EventLoop, word: &str) {
        log(self.number, &format!("goodbye {word}"));
        if !word.is_empty() {
            event_loop.send(self.socket, format!("{word}\n").as_bytes());
        }
        // What it says from now on, it says to nobody: its read callback is called no more.
        event_loop.finish(self.socket);
        self.enter(event_loop, Stage::Leaving);
    }

    fn welcome(event_loop: &mut EventLoop, visitor: Self, from: SocketAddr) {
        let visitor = Rc::new(visitor);
        log(visitor.number, &format!("connected from {from}"));
        visitor.room.visitors.borrow_mut().insert(visitor.socket, Rc::clone(&visitor));
        let hears = Rc::clone(&visitor);
        event_loop.set_read_callback(visitor.socket, move |event_loop, _, input| {
            hears.data_available(event_loop, input);
        });
        let leaves = Rc::clone(&visitor);
        event_loop.set_close_callback(visitor.socket, move |event_loop, _, ending| {
            leaves.room.visitors.borrow_mut().remove(&leaves.socket);
            leaves.clean_up(event_loop);
            let count = leaves.room.timers.count(event_loop);
            log(leaves.number, &format!("gone: {ending:?}; timers set: {count}"));
        });
        visitor.enter(event_loop, Stage::Silent);
    }

    /// The read callback: tells all what whole lines have come, and leaves the rest where it is.
    fn data_available(self: &Rc<Self>, event_loop: &mut EventLoop, input: &mut Input) {
        let whole = input.bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = input.bytes.drain(..whole).collect();
        self.room.tell_all(event_loop, &lines);
        if input.ended {
            self.goodbye(event_loop, "");
        } else if input.bytes.len() >= LONGEST_LINE {
            self.goodbye(event_loop, "too long");
        } else {
            self.heard(event_loop, !lines.is_empty(), !input.bytes.is_empty());
        }
    }
}

impl Room {
    /// Who doesn't read what is said has its connection closed.
    fn tell_all(&self, event_loop: &mut EventLoop, lines: &[u8]) {
        for visitor in self.visitors.borrow().values() {
            event_loop.send(visitor.socket, lines);
            if event_loop.queued(visitor.socket) > MOST_QUEUED {
                event_loop.close(visitor.socket);
            }
        }
    }
}

fn main() {
    let arguments = program::arguments(HELP);
    let (address, idle, line) = match arguments.as_slice() {
        [] => ("127.0.0.1:7009", "5000", "3000"),
        [address] => (address.as_str(), "5000", "3000"),
        [address, idle] => (address.as_str(), idle.as_str(), "3000"),
        [address, idle, line] => (address.as_str(), idle.as_str(), line.as_str()),
        _ => program::complain(NAME, 2, "give an ADDRESS, IDLE and LINE; see --help"),
    };
    let (idle, line) = (milliseconds(idle), milliseconds(line));
    let listener = program::listen_or_exit(NAME, program::address(NAME, address));
    program::raise_limit();
    if let Err(error) = serve(listener, idle, line) {
        program::complain(NAME, 1, &format!("the loop failed: {error}"));
    }
}

fn serve(listener: TcpListener, idle: Duration, line: Duration) -> io::Result<()> {
    let mut event_loop = ch08_epoll::event_loop()?;
    let timers = Timers::start(&mut event_loop, Clock::system());
    let room = Rc::new(Room { timers, idle, line, visitors: RefCell::default() });
    let mut last = 0;
    event_loop.listen(listener, move |event_loop, came| match came {
        Ok((socket, from)) => {
            last += 1;
            let (stage, deadline) = (Cell::new(Stage::Silent), Cell::new(None));
            let visitor = Visitor { number: last, socket, room: Rc::clone(&room), stage, deadline };
            Visitor::welcome(event_loop, visitor, from);
        }
        Err(error) => log(last + 1, &format!("not accepted: {error}")),
    })?;
    event_loop.run() // waits: inside, for all of them, and until the next deadline
}

fn milliseconds(word: &str) -> Duration {
    let count: u32 = word.parse().unwrap_or_else(|_| {
        let message = format!("{word:?} is no number of milliseconds such as 5000; see --help");
        program::complain(NAME, 2, &message)
    });
    Duration::from_millis(count.into())
}
