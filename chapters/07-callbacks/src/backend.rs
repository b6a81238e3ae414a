//! The seam between the loop and the system call in which it waits.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::poll::PollTimeout;

use crate::readiness::{Interest, Readiness};
use crate::slots::Token;

// ANCHOR: backend
/// A way to wait for many descriptors at once.
pub trait Backend {
    /// What is waited for on a descriptor becomes something else: told
    /// once for each change, and for the last time (the interest is
    /// none) before the descriptor is closed.
    ///
    /// # Errors
    /// When the kernel can't wait for this one. Its source is closed
    /// then.
    fn change(&mut self, asked: Asked<'_>, from: Interest) -> io::Result<()>;

    /// Waits until one of them is ready, at most so long, and adds who
    /// is to `ready`. Interrupted by a signal, or after a time, that
    /// may be nobody.
    ///
    /// # Errors
    /// When nobody can be waited for any more.
    fn wait(
        &mut self,
        all: &mut dyn Iterator<Item = Asked<'_>>,
        at_most: Option<Duration>,
        ready: &mut Vec<(Token, Readiness)>,
    ) -> io::Result<()>;
}

/// What the loop asks about: who, on which descriptor, and what.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub token: Token,
    pub descriptor: BorrowedFd<'a>,
    pub interest: Interest,
}
// ANCHOR_END: backend

// ANCHOR: rounded
/// A time in whole milliseconds, as poll(2) and epoll_wait(2) want it, never less than
/// `at_most`: half a millisecond cut to none would make a loop that asks again and
/// again until it's over.
pub fn rounded_up(at_most: Option<Duration>) -> PollTimeout {
    let Some(at_most) = at_most else { return PollTimeout::NONE };
    let milliseconds = at_most.as_nanos().div_ceil(1_000_000);
    // Whoever wants more than 24 days is woken in between.
    i32::try_from(milliseconds)
        .ok()
        .and_then(|milliseconds| PollTimeout::try_from(milliseconds).ok())
        .unwrap_or(PollTimeout::MAX)
}
// ANCHOR_END: rounded

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up() {
        let milliseconds = |time| rounded_up(Some(time)).as_millis();
        assert_eq!(rounded_up(None), PollTimeout::NONE);
        assert_eq!(milliseconds(Duration::ZERO), Some(0));
        assert_eq!(milliseconds(Duration::from_nanos(1)), Some(1));
        assert_eq!(milliseconds(Duration::from_millis(1)), Some(1));
        assert_eq!(milliseconds(Duration::from_micros(1001)), Some(2));
        assert_eq!(milliseconds(Duration::MAX), Some(i32::MAX as u32));
    }
}
