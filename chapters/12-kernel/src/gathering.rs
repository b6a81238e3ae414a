//! Letting a crowd gather: when many datagrams have come in one turn, their socket is left alone
//! for a moment. What has come by then is taken with one call, and answered with one.
//!
//! Network cards do the same with interrupts: "interrupt coalescing" (ethtool(8), `-C`).

use std::io;
use std::mem;
use std::time::Duration;

use ch07_callbacks::EventLoop;

use timer::Timer;

/// With so many in one turn, a pause is tried.
pub const CROWD: usize = 8;
/// How long the next ones are let gather.
pub const PAUSE: Duration = Duration::from_micros(200);
/// So many must have gathered by the end of a pause, or it wasn't worth it …
pub const WORTH_IT: usize = 24;
/// … and none is tried for so many turns.
pub const TURNS_WITHOUT: u64 = 1000;

// ANCHOR: gathering
/// When a socket is left alone, and when it isn't.
pub struct Gathering {
    timer: Timer,
    pausing: bool,
    /// What comes next has gathered in a pause.
    after_pause: bool,
    /// No pause is tried before this turn.
    not_before: u64,
}

impl Gathering {
    /// So many have come in this turn. Should the next ones gather?
    pub fn have_come(&mut self, count: usize, is_full: bool, turn: u64) {
        if mem::take(&mut self.after_pause) && count < WORTH_IT {
            // Those who would have come wait for our answers.
            self.not_before = turn + TURNS_WITHOUT;
        }
        // A full batch has gathered by itself.
        let is_crowd = count >= CROWD && !is_full;
        self.pausing = is_crowd && turn >= self.not_before && self.timer.set(PAUSE);
    }
}
// ANCHOR_END: gathering

impl Gathering {
    /// `over` is called whenever a pause is over.
    ///
    /// # Errors
    /// When the kernel has no descriptor for the timer.
    pub fn new(
        event_loop: &mut EventLoop,
        over: impl FnMut(&mut EventLoop) + 'static,
    ) -> io::Result<Self> {
        let timer = Timer::add(event_loop, over)?;
        Ok(Self { timer, pausing: false, after_pause: false, not_before: 0 })
    }

    /// A pause is over.
    pub fn is_over(&mut self) {
        self.pausing = false;
        self.after_pause = true;
    }

    /// The socket is to be left alone.
    pub fn is_pausing(&self) -> bool {
        self.pausing
    }

    /// The socket is gone.
    pub fn close(self, event_loop: &mut EventLoop) {
        self.timer.close(event_loop);
    }
}

/// The timeout of `epoll_wait(2)` is in whole milliseconds. A timer that is a descriptor is as
/// fine as the kernel's clock (timerfd_create(2)).
#[cfg(target_os = "linux")]
mod timer {
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd};
    use std::rc::Rc;
    use std::time::Duration;

    use ch07_callbacks::{EventLoop, Interest, Source, Token};
    use nix::sys::time::TimeSpec;
    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

    pub struct Timer {
        descriptor: Rc<TimerFd>,
        token: Token,
    }

    impl Timer {
        pub fn add(
            event_loop: &mut EventLoop,
            mut over: impl FnMut(&mut EventLoop) + 'static,
        ) -> io::Result<Self> {
            let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
            let descriptor = Rc::new(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?);
            let timer = Rc::clone(&descriptor);
            let token = event_loop.add(Ticking(Rc::clone(&timer)), move |event_loop, _, _| {
                // Read, it's silent until it's set again.
                if timer.wait().is_ok() {
                    over(event_loop);
                }
                Ok(())
            });
            Ok(Self { descriptor, token })
        }

        /// False: it can't be set.
        pub fn set(&self, length: Duration) -> bool {
            let once = Expiration::OneShot(TimeSpec::from_duration(length));
            self.descriptor.set(once, TimerSetTimeFlags::empty()).is_ok()
        }

        pub fn close(self, event_loop: &mut EventLoop) {
            event_loop.close(self.token);
        }
    }

    struct Ticking(Rc<TimerFd>);

    impl Source for Ticking {
        fn descriptor(&self) -> Option<BorrowedFd<'_>> {
            Some(self.0.as_fd())
        }

        fn interest(&self) -> Interest {
            Interest { read: true, write: false }
        }
    }
}

/// Elsewhere there is none, and so no pause.
#[cfg(not(target_os = "linux"))]
mod timer {
    use std::io;
    use std::time::Duration;

    use ch07_callbacks::EventLoop;

    pub struct Timer;

    impl Timer {
        pub fn add(_: &mut EventLoop, _: impl FnMut(&mut EventLoop) + 'static) -> io::Result<Self> {
            Ok(Self)
        }

        pub fn set(&self, _: Duration) -> bool {
            false
        }

        pub fn close(self, _: &mut EventLoop) {}
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Instant;

    use super::*;

    fn gathering() -> Gathering {
        let mut event_loop = ch08_epoll::event_loop().unwrap();
        Gathering::new(&mut event_loop, |_| {}).unwrap()
    }

    /// On a busy machine one may take longer; of several, at least one doesn't.
    #[test]
    fn a_pause_is_short() {
        let mut event_loop = ch08_epoll::event_loop().unwrap();
        let over = Rc::new(Cell::new(0));
        let is_over = Rc::clone(&over);
        let over_again = move |_: &mut EventLoop| is_over.set(is_over.get() + 1);
        let mut gathering = Gathering::new(&mut event_loop, over_again).unwrap();
        let pauses = (1..=10).map(|round| {
            let begun = Instant::now();
            gathering.have_come(CROWD, false, round);
            while over.get() < round {
                event_loop.turn(Some(Duration::from_secs(30))).unwrap();
            }
            begun.elapsed()
        });
        let shortest = pauses.min().unwrap();
        assert!(shortest >= PAUSE && shortest < Duration::from_millis(100), "{shortest:?}");
    }

    #[test]
    fn few_are_answered_at_once() {
        let mut gathering = gathering();
        for turn in 0..100 {
            gathering.have_come(CROWD - 1, false, turn);
            assert!(!gathering.is_pausing());
        }
    }

    #[test]
    fn a_crowd_gathers_and_a_full_batch_has_gathered() {
        let mut gathering = gathering();
        gathering.have_come(CROWD, false, 1);
        assert!(gathering.is_pausing());
        gathering.is_over();
        gathering.have_come(64, true, 2);
        assert!(!gathering.is_pausing());
        gathering.have_come(63, false, 3);
        assert!(gathering.is_pausing());
    }

    #[test]
    fn where_few_have_gathered_it_is_not_tried_again_for_a_while() {
        let mut gathering = gathering();
        gathering.have_come(CROWD, false, 1);
        gathering.is_over();
        gathering.have_come(WORTH_IT - 1, false, 2);
        assert!(!gathering.is_pausing());
        gathering.have_come(CROWD, false, 2 + TURNS_WITHOUT - 1);
        assert!(!gathering.is_pausing(), "too soon");
        gathering.have_come(CROWD, false, 2 + TURNS_WITHOUT);
        assert!(gathering.is_pausing());
        gathering.is_over();
        gathering.have_come(WORTH_IT, false, 3 + TURNS_WITHOUT);
        assert!(gathering.is_pausing(), "it was worth it");
    }
}
