//! Exercise 09-ping: ticks that don't drift.
//!
//! A metronome for everybody. Whoever says `every 500` is sent a line every 500 milliseconds from then on:
//! `tick 1`, `tick 2`, … Tick N comes N intervals after that line was heard, or somewhat later, never
//! sooner. However late one tick was, the next is due at its own time: a clock that loses a millisecond
//! with each tick is an hour behind after a few weeks. When this program was held up for longer than an
//! interval, the ticks that it has missed are left out: a burst of old ticks helps nobody. Another `every`
//! takes the place of the one before, and `stop` ends it.
//!
//! Run it:      cargo run -p ex09-timers --bin ex09-ping      and, in a second terminal,
//!              nc 127.0.0.1 7009      and type `every 500`
//! Be graded:   cargo grade 9

// Until you have written your part, much is unused here. Take these lines out when you have.
#![allow(clippy::ptr_arg, dead_code, unreachable_code)]
#![allow(unused_imports, unused_mut, unused_variables)]

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::program::{self, log};
use ch07_callbacks::{EventLoop, Input, Token};
use ch09_timers::{Clock, Timer, Timers};

const NAME: &str = "ex09-ping";
const HELP: &str = "ex09-ping [ADDRESS]

Ticks: `every MILLISECONDS` begins it, `stop` ends it.
ADDRESS is 127.0.0.1:7009 where not given; port 0 means any free one.";

/// The longest interval, in milliseconds: a day.
const LONGEST: u64 = 24 * 60 * 60 * 1000;
/// Longest accepted line, in bytes, with its end: a visitor must not fill our memory.
const LONGEST_LINE: usize = 100;
/// How much may be queued for a visitor, in bytes: one that doesn't read must not fill it either.
const MOST_QUEUED: usize = 64 * 1024;

/// A visitor, as its callbacks know it.
struct Visitor {
    number: u64,
    socket: Token,
    timers: Timers,
    /// The timer that is set for its next tick.
    next: Cell<Option<Timer>>,
}

impl Visitor {
    /// Begins to tick, every `interval` milliseconds from now on (at least 1). If it was ticking before, no
    /// tick of that comes any more. Tick 1 is the first.
    fn every(self: &Rc<Self>, event_loop: &mut EventLoop, interval: u64) {
        // your turn: begin to tick, in place of what it did before
        todo!("begin to tick, in place of what it did before")
        // end
    }

    /// Sets the timer for tick `number`, which is due `number` times `interval` milliseconds after
    /// `began`. When it's called, it tells the number of the tick whose time it is by then, and sets the
    /// timer for the next one. `began` is what the timers' clock said when it all began.
    fn set(
        self: &Rc<Self>,
        event_loop: &mut EventLoop,
        began: Duration,
        interval: u64,
        number: u64,
    ) {
        // your turn: set a timer that tells `tick N` and sets the next one
        todo!("set a timer that tells `tick N` and sets the next one")
        // end
    }

    /// Ends the ticks, if there are any. No timer is left behind.
    fn stop(&self, event_loop: &mut EventLoop) {
        // your turn: cancel the timer that is set
        todo!("cancel the timer that is set")
        // end
    }

    /// Its connection is closed. No timer is left behind: it would hold on to the visitor, and set itself
    /// again for ever.
    fn clean_up(&self, event_loop: &mut EventLoop) {
        // your turn: leave nothing behind
        todo!("leave nothing behind")
        // end
    }

    /// Sends it a line. Who doesn't read what is sent is hung up on.
    fn tell(&self, event_loop: &mut EventLoop, line: &str) {
        event_loop.send(self.socket, format!("{line}\n").as_bytes());
        if event_loop.queued(self.socket) > MOST_QUEUED {
            event_loop.close(self.socket);
        }
    }

    fn welcome(event_loop: &mut EventLoop, visitor: Self, from: SocketAddr) {
        let visitor = Rc::new(visitor);
        log(visitor.number, &format!("connected from {from}"));
        let hears = Rc::clone(&visitor);
        event_loop.set_read_callback(visitor.socket, move |event_loop, _, input| {
            hears.data_available(event_loop, input);
        });
        event_loop.set_close_callback(visitor.socket, move |event_loop, _, ending| {
            visitor.clean_up(event_loop);
            visitor.report(event_loop, &format!("gone: {ending:?}"));
        });
    }

    /// The read callback: does what is said in each line.
    fn data_available(self: &Rc<Self>, event_loop: &mut EventLoop, input: &mut Input) {
        while let Some(end) = input.bytes.iter().take(LONGEST_LINE).position(|byte| *byte == b'\n')
        {
            let line: Vec<u8> = input.bytes.drain(..=end).collect();
            self.obey(event_loop, String::from_utf8_lossy(&line).trim());
        }
        if input.ended || input.bytes.len() >= LONGEST_LINE {
            event_loop.finish(self.socket);
        }
    }

    fn obey(self: &Rc<Self>, event_loop: &mut EventLoop, line: &str) {
        let interval = line.strip_prefix("every ").and_then(|text| text.trim().parse().ok());
        match interval {
            Some(interval @ 1..=LONGEST) => {
                self.tell(event_loop, &format!("every {interval} ms"));
                self.every(event_loop, interval);
            }
            None if line == "stop" => {
                self.stop(event_loop);
                self.tell(event_loop, "stopped");
                self.report(event_loop, "stopped");
            }
            _ => self.tell(event_loop, "say: every MILLISECONDS (up to a day), or stop"),
        }
    }

    /// Says on stderr what has happened, and how many timers are set, of all visitors together.
    fn report(&self, event_loop: &EventLoop, event: &str) {
        let count = self.timers.count(event_loop);
        log(self.number, &format!("{event}; timers set: {count}"));
    }
}

fn main() {
    let address = program::address_from_args(NAME, HELP, "127.0.0.1:7009");
    let listener = program::listen_or_exit(NAME, address);
    program::raise_limit();
    if let Err(error) = serve(listener) {
        program::complain(NAME, 1, &format!("the loop failed: {error}"));
    }
}

fn serve(listener: TcpListener) -> io::Result<()> {
    let mut event_loop = ch08_epoll::event_loop()?;
    let timers = Timers::start(&mut event_loop, Clock::system());
    let mut last = 0;
    event_loop.listen(listener, move |event_loop, came| match came {
        Ok((socket, from)) => {
            last += 1;
            let visitor = Visitor { number: last, socket, timers, next: Cell::new(None) };
            Visitor::welcome(event_loop, visitor, from);
        }
        Err(error) => log(last + 1, &format!("not accepted: {error}")),
    })?;
    event_loop.run() // waits: inside, for all of them, and until the next tick
}
