//! Exercise 09-later: the queue that the wait is derived from.
//!
//! An alarm clock for everybody. `in 1500000 tea` is answered with `set 1`, and one and a half seconds
//! later, or somewhat after that and never sooner, `tea` comes: times are in microseconds. `cancel 1` is
//! answered with `canceled` or, when it has rung or was canceled already, with `too late`. A text that
//! begins with `!` is a command, carried out when it's due: `in 1000000 !cancel 5`, or
//! `!snooze 1000000`, which sets the same alarm again.
//!
//! You write the queue. It gives the one number that the wait needs: how many milliseconds it may last.
//! With a wrong number, a program turns in a loop for the last half of a millisecond before each alarm, or
//! wakes up for nothing, or rings early, or sleeps through.
//!
//! Run it:      cargo run -p ex09-timers --bin ex09-later      and, in a second terminal,
//!              nc 127.0.0.1 7009      and type `in 1500000 tea`
//! Be graded:   cargo grade 9

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ch07_callbacks::program::{self, log};
use ch07_callbacks::{Connection, EventLoop, Input, Token};

const NAME: &str = "ex09-later";
const HELP: &str = "ex09-later [ADDRESS]

An alarm clock: `in MICROSECONDS TEXT` sets an alarm, `cancel ID` cancels it.
ADDRESS is 127.0.0.1:7009 where not given; port 0 means any free one.";

/// Longest accepted line, in bytes, with its end: a visitor must not fill our memory.
const LONGEST_LINE: usize = 1000;
/// How many alarms may be set: visitors must not fill it together, either.
const MOST_ALARMS: usize = 30_000;
/// How much may be queued for a visitor, in bytes.
const MOST_QUEUED: usize = 256 * 1024;

/// What is to be done at some moment. Moments are durations since the program's start.
struct Alarm {
    visitor: Token,
    text: String,
}

/// All alarms that are set. (These fields are a proposal: change them as you like.)
#[derive(Default)]
struct Queue {
    /// By when they are due, and those due at the same moment by their numbers.
    waiting: BTreeMap<(Duration, u64), Alarm>,
    /// When each is due, by its number: somebody who cancels it knows no more than that.
    due: BTreeMap<u64, Duration>,
    /// The number that was given last.
    last: u64,
}

impl Queue {
    fn is_full(&self) -> bool {
        self.waiting.len() >= MOST_ALARMS
    }

    /// Sets an alarm, and gives its number: 1, 2, 3, …
    fn insert(&mut self, due: Duration, alarm: Alarm) -> u64 {
        // your turn: keep the alarm until it's due, and give it a number
        // hint: A map whose key is the moment alone has room for one alarm at each moment. With the number behind
        //   it, the key is never there twice, and tuples are compared by their first part first.
        self.last += 1;
        self.waiting.insert((due, self.last), alarm);
        self.due.insert(self.last, due);
        self.last
        // end
    }

    /// The alarm won't ring, and takes no room any more: there's a limit to how many may be set. Says
    /// whether it came in time: false if the alarm has rung or was canceled already. It mustn't look at all
    /// alarms for that: there may be tens of thousands.
    fn cancel(&mut self, number: u64) -> bool {
        // your turn: take the alarm out
        let Some(due) = self.due.remove(&number) else { return false };
        self.waiting.remove(&(due, number)).is_some()
        // end
    }

    /// Takes out the alarm that was due first, if one is due by `now`, even if it's first by a microsecond only.
    /// Of those due at the same moment, it's the one that was set first.
    fn take_due(&mut self, now: Duration) -> Option<Alarm> {
        // your turn: take the first one out, if its time has come
        // hint: `first_entry()` of a BTreeMap is its least key, in place: look at `.key()`, and `.remove()` it if it's
        //   due. Its number is taken, it has rung: `cancel` must come too late now.
        let first = self.waiting.first_entry().filter(|first| first.key().0 <= now)?;
        self.due.remove(&first.key().1);
        Some(first.remove())
        // end
    }

    /// How long the wait may last, in whole milliseconds, so that the first alarm is due when it's over,
    /// and not before. 0 if it's due already, `None` if there is none: for as long as it takes.
    fn timeout(&self, now: Duration) -> Option<u64> {
        // your turn: say how many milliseconds are left until the first alarm is due, rounded up
        // hint: The first alarm may be overdue. `due - now` panics then; `saturating_sub` gives zero.
        // hint: With 10.4 ms left, `as_millis()` says 10, and 0.4 ms before the time it says 0: wait not at all, look
        //   again, wait not at all … `left.as_nanos().div_ceil(1_000_000)` is rounded up; give it as `u64`.
        let (&(due, _), _) = self.waiting.first_key_value()?;
        let left = due.saturating_sub(now);
        Some(left.as_nanos().div_ceil(1_000_000) as u64)
        // end
    }
}

/// The clock that all visitors share.
struct Clock {
    started: Instant,
    queue: RefCell<Queue>,
}

impl Clock {
    /// Rings all that are due by now, in their order. One that rings may cancel the next, which doesn't
    /// ring then; and what it sets anew, even for this very moment, rings after the next wait: else it
    /// could keep everybody waiting for ever. [`Clock::perform`] borrows the queue: while it's called,
    /// nobody else may hold a borrow of it.
    fn ring(&self, event_loop: &mut EventLoop) {
        // your turn: ring all that are due by now, one at a time
        // hint: Look at the clock once, at the beginning: whoever is due after that has time until the next turn.
        //   Then take out one and `perform` it, before you take out the next.
        // hint: `perform` borrows the queue. In `while let Some(alarm) = self.queue.borrow_mut().take_due(now)` it stays
        //   borrowed to the end of the body. Put what you take out into a variable of its own first.
        let now = self.started.elapsed();
        loop {
            let due = self.queue.borrow_mut().take_due(now);
            let Some(alarm) = due else { return };
            self.perform(event_loop, alarm);
        }
        // end
    }

    /// Does what is to be done at an alarm. An alarm of somebody who has left rings for nobody.
    fn perform(&self, event_loop: &mut EventLoop, alarm: Alarm) {
        let visitor = alarm.visitor;
        if event_loop.get::<Connection>(visitor).is_none() {
            return;
        }
        let Some(command) = alarm.text.strip_prefix('!') else {
            return tell(event_loop, visitor, &alarm.text);
        };
        let now = self.started.elapsed();
        match command.strip_prefix("snooze ").and_then(microseconds) {
            Some(delay) => drop(self.queue.borrow_mut().insert(now + delay, alarm)),
            None => {
                let answer = self.obey(visitor, command, now);
                tell(event_loop, visitor, &answer);
            }
        }
    }

    /// Carries out a command that was given at the moment `now`, and gives the answer.
    fn obey(&self, visitor: Token, command: &str, now: Duration) -> String {
        let mut queue = self.queue.borrow_mut();
        let mut words = command.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("in"), Some(delay), Some(text)) if microseconds(delay).is_some() => {
                if queue.is_full() {
                    return "too many alarms".to_owned();
                }
                let alarm = Alarm { visitor, text: text.to_owned() };
                let delay = microseconds(delay).unwrap_or_default();
                format!("set {}", queue.insert(now + delay, alarm))
            }
            (Some("cancel"), Some(number), None) => match number.parse() {
                Ok(number) if queue.cancel(number) => "canceled".to_owned(),
                _ => "too late".to_owned(),
            },
            _ => "say: in MICROSECONDS TEXT, or cancel ID".to_owned(),
        }
    }

    /// The read callback. Lines that came together were said at the same moment.
    fn data_available(&self, event_loop: &mut EventLoop, me: Token, input: &mut Input) {
        let now = self.started.elapsed();
        while let Some(end) = input.bytes.iter().take(LONGEST_LINE).position(|byte| *byte == b'\n')
        {
            let line: Vec<u8> = input.bytes.drain(..=end).collect();
            let answer = self.obey(me, String::from_utf8_lossy(&line).trim_end(), now);
            tell(event_loop, me, &answer);
        }
        if input.ended || input.bytes.len() >= LONGEST_LINE {
            event_loop.finish(me);
        }
    }
}

/// As many microseconds as fit into 32 bits: over an hour.
fn microseconds(word: &str) -> Option<Duration> {
    word.parse().ok().map(|count: u32| Duration::from_micros(count.into()))
}

/// Sends it a line. Who doesn't read what is sent is hung up on.
fn tell(event_loop: &mut EventLoop, visitor: Token, line: &str) {
    event_loop.send(visitor, format!("{line}\n").as_bytes());
    if event_loop.queued(visitor) > MOST_QUEUED {
        event_loop.close(visitor);
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
    let clock = Rc::new(Clock { started: Instant::now(), queue: RefCell::default() });
    let shared = Rc::clone(&clock);
    let mut last = 0;
    event_loop.listen(listener, move |event_loop, came| match came {
        Ok((visitor, from)) => {
            last += 1;
            let (number, clock) = (last, Rc::clone(&shared));
            log(number, &format!("connected from {from}"));
            event_loop.set_read_callback(visitor, move |event_loop, me, input| {
                clock.data_available(event_loop, me, input);
            });
            event_loop.set_close_callback(visitor, move |_, _, ending| {
                log(number, &format!("gone: {ending:?}"));
            });
        }
        Err(error) => log(last + 1, &format!("not accepted: {error}")),
    })?;
    loop {
        let timeout = clock.queue.borrow().timeout(clock.started.elapsed());
        event_loop.turn(timeout.map(Duration::from_millis))?; // waits: for all of them, or until an alarm
        clock.ring(&mut event_loop);
    }
}
