//! Timers: what is to be done later, and how long the loop may wait until then.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use ch07_callbacks::{EventLoop, Interest, Source, Token};

use crate::clock::Clock;

type Callback = Box<dyn FnOnce(&mut EventLoop)>;

// ANCHOR: queue
/// Names one timer. They are ordered by when they are due, and those
/// due at the same moment by when they were set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    due: Duration,
    number: u64,
}

/// All timers that are set. A source without a descriptor: it has
/// nothing but patience.
struct Queue {
    clock: Clock,
    waiting: BTreeMap<Timer, Callback>,
    last: u64,
}

impl Source for Queue {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn interest(&self) -> Interest {
        Interest::NONE
    }

    /// Until the first one is due.
    fn patience(&self) -> Option<Duration> {
        let (first, _) = self.waiting.first_key_value()?;
        Some(first.due.saturating_sub(self.clock.now()))
    }
}
// ANCHOR_END: queue

/// A loop's timers. Copies of it are the same timers.
#[derive(Clone, Copy, Debug)]
pub struct Timers(Token);

impl Timers {
    /// Timers for this loop, by this clock.
    pub fn start(event_loop: &mut EventLoop, clock: Clock) -> Self {
        let queue = Queue { clock, waiting: BTreeMap::new(), last: 0 };
        Self(event_loop.add(queue, |event_loop, me, _| {
            call_who_is_due(event_loop, me);
            Ok(())
        }))
    }

    /// Calls `callback` once, `delay` from now or somewhat later, never earlier.
    pub fn after(
        self,
        event_loop: &mut EventLoop,
        delay: Duration,
        callback: impl FnOnce(&mut EventLoop) + 'static,
    ) -> Timer {
        let due = self.now(event_loop).saturating_add(delay);
        self.at(event_loop, due, callback)
    }

    /// The same, at a moment of the timers' clock. What is to be done again and again
    /// is set for the last moment and an interval: `after` would begin each interval
    /// late, and so would drift.
    pub fn at(
        self,
        event_loop: &mut EventLoop,
        due: Duration,
        callback: impl FnOnce(&mut EventLoop) + 'static,
    ) -> Timer {
        let Some(queue) = event_loop.get_mut::<Queue>(self.0) else {
            // The timers were closed: nothing is called any more.
            return Timer { due, number: 0 };
        };
        queue.last += 1;
        // Passed already, it's due now, and comes after the next wait.
        let due = due.max(queue.clock.now());
        let timer = Timer { due, number: queue.last };
        queue.waiting.insert(timer, Box::new(callback));
        timer
    }

    /// The callback won't be called. One that has been called, or is being called,
    /// stays so: false then.
    pub fn cancel(self, event_loop: &mut EventLoop, timer: Timer) -> bool {
        let queue = event_loop.get_mut::<Queue>(self.0);
        queue.is_some_and(|queue| queue.waiting.remove(&timer).is_some())
    }

    /// What the timers' clock says.
    pub fn now(self, event_loop: &EventLoop) -> Duration {
        event_loop.get::<Queue>(self.0).map_or(Duration::ZERO, |queue| queue.clock.now())
    }

    /// How many are set.
    pub fn count(self, event_loop: &EventLoop) -> usize {
        event_loop.get::<Queue>(self.0).map_or(0, |queue| queue.waiting.len())
    }
}

// ANCHOR: due
/// Calls those that are due by now, in their order. One taken out at a
/// time: a callback may cancel the next one, and set new ones, whose
/// turn comes after the next wait.
fn call_who_is_due(event_loop: &mut EventLoop, me: Token) {
    let Some(queue) = event_loop.get::<Queue>(me) else { return };
    let until = Timer { due: queue.clock.now(), number: queue.last };
    while let Some(queue) = event_loop.get_mut::<Queue>(me) {
        let Some(first) = queue.waiting.first_entry().filter(|first| *first.key() <= until) else {
            return;
        };
        let callback = first.remove();
        // If it panics, that is the end of this one, and not of all
        // timers.
        event_loop.guard(None, callback);
    }
}
// ANCHOR_END: due
