//! Visitors who ask, are answered, and leave, or ask again; and how long each has waited.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ch07_callbacks::{Ending, EventLoop, Input, Token};
use ch09_timers::Clock;
use hdrhistogram::Histogram;

use super::alarm::Alarm;
use super::answer::{self, Body, Head};
use super::schedule::Schedule;
use super::{cpu_time, nanos};
use crate::result::Pace;

/// Latencies are kept in ns, with three digits each, and none is longer than this.
const LONGEST: u64 = 3_600_000_000_000;
const DIGITS: u8 = 3;
/// So many requests are sent before anybody is heard. A load that is behind would send and send otherwise, and take none of
/// the answers that are there.
const IN_A_TURN: usize = 64;

/// What they do.
#[derive(Clone, Debug)]
pub struct Visits {
    pub address: SocketAddr,
    /// The whole request.
    pub request: Rc<[u8]>,
    pub pace: Pace,
    /// How long requests are begun.
    pub lasting: Duration,
    /// How long it's waited for the last answers behind that.
    pub patience: Duration,
    /// They ask again on the same connection, where the server lets them.
    pub stays: bool,
    /// Somebody wants it to end now.
    pub ends: Arc<AtomicBool>,
}

/// How they have fared.
#[derive(Clone, Debug)]
pub struct Heard {
    /// How many requests were due.
    pub due: u64,
    /// How many were answered, with 200 and to the last byte.
    pub answered: u64,
    /// Nobody listened.
    pub refused: u64,
    /// Hung up on, before the answer was whole.
    pub hung_up: u64,
    /// Answered with another status, or with something that isn't understood.
    pub wrong: u64,
    /// Why something wasn't understood, the first time.
    pub why: Option<String>,
    /// Not answered when patience had come to its end.
    pub unanswered: u64,
    /// From when a request was due (open) or was sent (closed) to its last byte, in ns.
    pub latency: Histogram<u64>,
    /// By how much this load was late itself: from when a request was due to when it was begun, in ns.
    pub late: Histogram<u64>,
    /// From the first request to the last answer, and at least as long as requests were to be begun.
    pub lasted: Duration,
    /// The CPU time that this load has used meanwhile.
    pub cpu: Duration,
}

impl Heard {
    fn nothing() -> Self {
        Self {
            due: 0,
            answered: 0,
            refused: 0,
            hung_up: 0,
            wrong: 0,
            why: None,
            unanswered: 0,
            latency: histogram(),
            late: histogram(),
            lasted: Duration::ZERO,
            cpu: Duration::ZERO,
        }
    }

    /// How many weren't answered as they should.
    pub fn failed(&self) -> u64 {
        self.refused + self.hung_up + self.wrong + self.unanswered
    }
}

/// An empty one, as wide as all others.
pub fn histogram() -> Histogram<u64> {
    // Both are constants that it can do.
    Histogram::new_with_max(LONGEST, DIGITS).expect("a histogram with three digits for an hour")
}

// ANCHOR: visit
/// Has them all come, and waits until the last one is answered, or until
/// patience has come to its end.
///
/// # Errors
/// When the load itself can't go on: it has no descriptor left, or no port.
pub fn visit(event_loop: &mut EventLoop, visits: Visits) -> io::Result<Heard> {
    let (end, patience, used) = (visits.lasting, visits.patience, cpu_time());
    let desk = Rc::new(Desk::new(visits));
    let at_alarm = Rc::clone(&desk);
    let alarm = Alarm::new(event_loop, move |event_loop| {
        at_alarm.send_who_is_due(event_loop);
    })?;
    alarm.ring_after(Duration::ZERO)?;
    *desk.alarm.borrow_mut() = Some(alarm);
    loop {
        let now = desk.clock.now();
        let has_sent_all = desk.has_sent_all(now);
        let limit = if has_sent_all { end + patience } else { end.max(now) };
        if desk.has_to_end() || has_sent_all && (desk.waiting.get() == 0 || now >= limit) {
            return desk.close(event_loop, used);
        }
        // waits: until a request is due, or anybody is answered
        event_loop.turn(Some(limit - now))?;
    }
}
// ANCHOR_END: visit

// ANCHOR: desk
/// What all of them share.
struct Desk {
    visits: Visits,
    clock: Clock,
    alarm: RefCell<Option<Alarm>>,
    next: RefCell<Next>,
    /// Those who are answered, and may ask again.
    idle: RefCell<Vec<Visitor>>,
    /// All connections.
    open: RefCell<HashSet<Token>>,
    /// How many have asked, and aren't answered.
    waiting: Cell<u64>,
    heard: RefCell<Heard>,
    /// Patience has come to its end.
    is_over: Cell<bool>,
    /// What has gone wrong on our own side.
    trouble: RefCell<Option<io::Error>>,
}

/// A visitor's connection, and what it waits for.
type Visitor = (Token, Rc<Waits>);

/// What a visitor waits for.
#[derive(Default)]
struct Waits {
    /// What its latency is counted from. `None`: it has asked for
    /// nothing at the moment.
    since: Cell<Option<Duration>>,
    /// The answer's head has come, and this much of its body hasn't.
    body: RefCell<Option<(Head, Body)>>,
}
// ANCHOR_END: desk

// ANCHOR: next
/// Whose turn it is.
enum Next {
    /// At fixed times.
    Open(Schedule),
    /// When each may ask again, the earliest first; until when; and how long
    /// it is at least from one request of the same visitor to the next.
    Closed { queue: BinaryHeap<Reverse<Duration>>, end: Duration, apart: Duration },
}

enum Turn {
    /// A request is due; its latency is counted from this moment.
    Now(Duration),
    At(Duration),
    /// None is, unless somebody is answered.
    Nobodys,
}

impl Next {
    fn take(&mut self, now: Duration) -> Turn {
        match self {
            Self::Open(schedule) => match schedule.take(now) {
                // However late it's sent.
                Some(due) => Turn::Now(due),
                None => schedule.due().map_or(Turn::Nobodys, Turn::At),
            },
            Self::Closed { queue, end, .. } => match queue.peek().copied() {
                Some(Reverse(due)) if due.max(now) < *end => {
                    if due > now {
                        return Turn::At(due);
                    }
                    queue.pop();
                    // Counted from now: what would have been due meanwhile
                    // is never asked.
                    Turn::Now(now)
                }
                _ => Turn::Nobodys,
            },
        }
    }
    // ANCHOR_END: next

    fn has_sent_all(&self, now: Duration) -> bool {
        match self {
            Self::Open(schedule) => schedule.due().is_none(),
            Self::Closed { end, .. } => now >= *end,
        }
    }

    /// One who asked at `sent` is answered, or has failed, and may ask again.
    fn again(&mut self, sent: Duration, now: Duration) {
        if let Self::Closed { queue, apart, .. } = self {
            queue.push(Reverse(now.max(sent + *apart)));
        }
    }
}

impl Desk {
    fn new(visits: Visits) -> Self {
        let end = visits.lasting;
        let next = match visits.pace {
            Pace::Open { a_second } => Next::Open(Schedule::new(Duration::ZERO, a_second, end)),
            Pace::Closed { at_once, a_second } => {
                let all = u32::try_from(at_once).unwrap_or(u32::MAX);
                let apart = a_second.map(|a_second| Duration::from_secs(1) * all / a_second.max(1));
                // All of them at once would be a burst.
                let first =
                    |place| apart.map_or(Duration::ZERO, |apart| apart * place / all.max(1));
                let queue = (0..all).map(|place| Reverse(first(place))).collect();
                Next::Closed { queue, end, apart: apart.unwrap_or_default() }
            }
        };
        Self {
            visits,
            clock: Clock::system(),
            alarm: RefCell::default(),
            next: RefCell::new(next),
            idle: RefCell::default(),
            open: RefCell::default(),
            waiting: Cell::default(),
            heard: RefCell::new(Heard::nothing()),
            is_over: Cell::default(),
            trouble: RefCell::default(),
        }
    }

    fn has_sent_all(&self, now: Duration) -> bool {
        self.next.borrow().has_sent_all(now)
    }

    fn has_to_end(&self) -> bool {
        self.trouble.borrow().is_some() || self.visits.ends.load(Ordering::Relaxed)
    }

    // ANCHOR: send
    /// Sends requests that are due by now, and sets the alarm for the next
    /// one.
    fn send_who_is_due(self: &Rc<Self>, event_loop: &mut EventLoop) {
        for _ in 0..IN_A_TURN {
            if self.is_over.get() || self.has_to_end() {
                return;
            }
            let now = self.clock.now();
            let turn = self.next.borrow_mut().take(now);
            let sent = match turn {
                Turn::Now(since) => self.send(event_loop, since, now),
                Turn::At(due) => return self.set_the_alarm(due - now),
                Turn::Nobodys => return,
            };
            if let Err(error) = sent {
                *self.trouble.borrow_mut() = Some(error);
            }
        }
        // More are due. Those who are answered have their turn first.
        self.set_the_alarm(Duration::ZERO);
    }

    /// One request: on a connection that is there already, or on a new one.
    fn send(
        self: &Rc<Self>,
        event_loop: &mut EventLoop,
        since: Duration,
        now: Duration,
    ) -> io::Result<()> {
        let mut heard = self.heard.borrow_mut();
        heard.due += 1;
        heard.late.saturating_record(nanos(now.saturating_sub(since)));
        drop(heard);
        let idle = self.idle.borrow_mut().pop();
        let (visitor, waits) = match idle {
            Some(idle) => idle,
            None => self.arrive(event_loop)?,
        };
        waits.since.set(Some(since));
        self.waiting.set(self.waiting.get() + 1);
        event_loop.send(visitor, &self.visits.request);
        Ok(())
    }

    /// A visitor, who calls us when something has come.
    fn arrive(self: &Rc<Self>, event_loop: &mut EventLoop) -> io::Result<Visitor> {
        let visitor = event_loop.connect(self.visits.address)?;
        self.open.borrow_mut().insert(visitor);
        let waits = Rc::<Waits>::default();
        let (desk, its) = (Rc::clone(self), Rc::clone(&waits));
        event_loop.set_read_callback(visitor, move |event_loop, me, input| {
            desk.hear(event_loop, me, &its, input);
        });
        let (desk, its) = (Rc::clone(self), Rc::clone(&waits));
        event_loop.set_close_callback(visitor, move |event_loop, _, ending| {
            desk.has_gone(event_loop, visitor, &its, ending);
        });
        Ok((visitor, waits))
    }
    // ANCHOR_END: send

    // ANCHOR: hear
    /// Something has come. If it's the rest of an answer, that counts, and
    /// the next one may be asked for.
    fn hear(
        self: &Rc<Self>,
        event_loop: &mut EventLoop,
        me: Token,
        waits: &Rc<Waits>,
        input: &mut Input,
    ) {
        let answer = match waits.take(input) {
            Ok(Some(answer)) => Ok(answer),
            // Not yet. If it has ended, there is no more to come.
            Ok(None) if !input.ended => return,
            Ok(None) => return event_loop.close(me),
            Err(error) => Err(error),
        };
        // Unasked, it says something: whatever that is, it's nobody's answer.
        let Some(since) = waits.since.take() else { return event_loop.close(me) };
        let now = self.clock.now();
        let stays = matches!(&answer, Ok(head) if head.stays) && self.visits.stays;
        self.count(answer, since, now);
        if stays && !input.ended {
            self.idle.borrow_mut().push((me, Rc::clone(waits)));
        } else {
            event_loop.close(me);
        }
        self.next.borrow_mut().again(since, now);
        self.send_if_closed(event_loop);
    }
    // ANCHOR_END: hear

    fn count(&self, answer: io::Result<Head>, since: Duration, now: Duration) {
        self.waiting.set(self.waiting.get() - 1);
        let mut heard = self.heard.borrow_mut();
        heard.lasted = now;
        match answer {
            Ok(Head { status: 200, .. }) => {
                heard.answered += 1;
                heard.latency.saturating_record(nanos(now - since));
            }
            Ok(_) => heard.wrong += 1,
            Err(error) => {
                heard.wrong += 1;
                heard.why.get_or_insert(error.to_string());
            }
        }
    }

    /// A closed loop goes on where somebody is answered. An open one goes on when it's time.
    fn send_if_closed(self: &Rc<Self>, event_loop: &mut EventLoop) {
        if let Pace::Closed { .. } = self.visits.pace {
            self.send_who_is_due(event_loop);
        }
    }

    fn has_gone(
        self: &Rc<Self>,
        event_loop: &mut EventLoop,
        me: Token,
        waits: &Waits,
        ending: Ending,
    ) {
        self.open.borrow_mut().remove(&me);
        let Some(since) = waits.since.take() else {
            self.idle.borrow_mut().retain(|(idle, _)| *idle != me);
            return;
        };
        self.waiting.set(self.waiting.get() - 1);
        let mut heard = self.heard.borrow_mut();
        match ending {
            _ if self.is_over.get() => heard.unanswered += 1,
            Ending::Failed(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                heard.refused += 1;
            }
            Ending::Panicked => {
                *self.trouble.borrow_mut() = Some(io::Error::other("the load has panicked"));
            }
            _ => heard.hung_up += 1,
        }
        drop(heard);
        self.next.borrow_mut().again(since, self.clock.now());
        self.send_if_closed(event_loop);
    }

    fn set_the_alarm(&self, delay: Duration) {
        let outcome = self.alarm.borrow().as_ref().map(|alarm| alarm.ring_after(delay));
        if let Some(Err(error)) = outcome {
            *self.trouble.borrow_mut() = Some(error);
        }
    }

    /// Ends it: who isn't answered by now hasn't been answered.
    fn close(self: &Rc<Self>, event_loop: &mut EventLoop, used: Duration) -> io::Result<Heard> {
        self.is_over.set(true);
        let open: Vec<Token> = self.open.borrow().iter().copied().collect();
        for visitor in open {
            event_loop.close(visitor);
        }
        if let Some(alarm) = self.alarm.take() {
            alarm.close(event_loop);
        }
        // They are told.
        event_loop.turn(Some(Duration::ZERO))?;
        if let Some(error) = self.trouble.take() {
            return Err(error);
        }
        let mut heard = self.heard.replace(Heard::nothing());
        heard.lasted = heard.lasted.max(self.visits.lasting.min(self.clock.now()));
        heard.cpu = cpu_time().saturating_sub(used);
        Ok(heard)
    }
}

impl Waits {
    /// Takes out what has come of the answer. `None`: not all of it.
    fn take(&self, input: &mut Input) -> io::Result<Option<Head>> {
        let (head, mut body) = match self.body.take() {
            Some(begun) => begun,
            None => {
                let Some(head) = answer::head(&input.bytes)? else { return Ok(None) };
                input.bytes.drain(..head.length);
                (head, Body::of(head.body)?)
            }
        };
        // Not kept: a page may be larger than what a connection keeps for us.
        if body.take(&mut input.bytes, input.ended)? {
            return Ok(Some(head));
        }
        self.body.replace(Some((head, body)));
        Ok(None)
    }
}
