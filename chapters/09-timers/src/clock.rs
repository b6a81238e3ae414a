//! What tells the time: a clock that can't jump.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

// ANCHOR: clock
/// A clock. It tells how much time has passed since it was started, and
/// never goes back.
///
/// The time of day won't do: it's set, by people and by programs, an
/// hour forward or some seconds back. [`Instant`] is the kernel's
/// `CLOCK_MONOTONIC` (clock_gettime(2)).
#[derive(Clone, Debug)]
pub enum Clock {
    /// The system's.
    System(Instant),
    /// One that stands still until somebody turns it: for tests.
    Turned(Rc<Cell<Duration>>),
}
// ANCHOR_END: clock

impl Clock {
    /// The system's clock, started now.
    pub fn system() -> Self {
        Self::System(Instant::now())
    }

    /// One that stands at zero. Its clones are the same clock.
    pub fn standing() -> Self {
        Self::Turned(Rc::default())
    }

    /// How much time has passed since it was started.
    pub fn now(&self) -> Duration {
        match self {
            Self::System(started) => started.elapsed(),
            Self::Turned(passed) => passed.get(),
        }
    }

    /// Turns a clock that stands by so much. The system's goes its own way.
    pub fn turn(&self, by: Duration) {
        if let Self::Turned(passed) = self {
            passed.set(passed.get() + by);
        }
    }
}
