//! A visitor's part: what can be seen of it from outside, while it plays in a thread of its own.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a visitor is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It waits to be connected.
    Connecting,
    /// It sends its request.
    Sending,
    /// It has sent all, and waits for the answer.
    Waiting,
    /// It is connected, says nothing, and waits for nothing.
    Silent,
    /// It receives the answer.
    Receiving,
    /// Over: it has the answer, whole.
    Answered,
    /// Over: nobody let it in.
    Refused,
    /// Over: the server hung up, or the connection broke, before the answer was whole.
    CutOff,
    /// Over: it has no more time.
    GaveUp,
    /// Over: it went on purpose.
    Left,
}

/// What can be seen of a visitor from outside while it plays.
#[derive(Debug)]
pub(crate) struct Part {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    track: Vec<(Instant, Doing)>,
    /// When anything last went on.
    progress: Instant,
    /// It has its place in the server's queue, or it will never have one.
    in_line: bool,
    over: bool,
}

impl Part {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            state: Mutex::new(State {
                track: vec![(now, Doing::Connecting)],
                progress: now,
                in_line: false,
                over: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// From now on it is doing this.
    pub(crate) fn now(&self, doing: Doing) {
        let mut state = self.state();
        if state.track.last().is_none_or(|(_, last)| *last != doing) {
            state.track.push((Instant::now(), doing));
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Something has gone on, although it is doing the same as before.
    pub(crate) fn goes_on(&self) {
        self.state().progress = Instant::now();
    }

    /// The next visitor may come: this one stands before it, for certain.
    pub(crate) fn is_in_line(&self) {
        self.state().in_line = true;
        self.changed.notify_all();
    }

    /// Waits until it has been doing something of which `wanted` says yes. False when it has ended
    /// without that.
    pub(crate) fn wait_until(&self, wanted: impl Fn(Doing) -> bool) -> bool {
        let mut state = self.state();
        loop {
            if state.track.iter().any(|(_, doing)| wanted(*doing)) {
                return true;
            }
            if state.over {
                return false;
            }
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until it stands in line, or has ended. False when `patience` has passed since
    /// something went on.
    pub(crate) fn wait_in_line(&self, patience: Duration) -> bool {
        let mut state = self.state();
        while !state.in_line && !state.over {
            let left = patience.saturating_sub(state.progress.elapsed());
            if left.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Waits until it has ended, at the longest for `time`.
    pub(crate) fn wait_over(&self, time: Duration) {
        let state = self.state();
        let waited = self.changed.wait_timeout_while(state, time, |state| !state.over);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state().over
    }

    pub(crate) fn track(&self) -> Vec<(Instant, Doing)> {
        self.state().track.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever waits for a part must not wait for ever for one that panicked.
pub(crate) struct OverAtLast<'a>(pub(crate) &'a Part);

impl Drop for OverAtLast<'_> {
    fn drop(&mut self) {
        self.0.state().over = true;
        self.0.changed.notify_all();
    }
}
