//! An alarm that rings on time.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::{EventLoop, Interest, Source, Token};
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// A timer of the kernel's, as a descriptor that becomes readable (timerfd_create(2)).
///
/// Chapter 9's timers ring when the wait is over, and a wait is a whole number of milliseconds. For a deadline that
/// is good enough. Whoever measures answers that take a tenth of that needs a finer one.
pub struct Alarm {
    timer: Rc<TimerFd>,
    token: Token,
}

struct Ringing(Rc<TimerFd>);

impl Source for Ringing {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    fn interest(&self) -> Interest {
        Interest::READ
    }
}

impl Alarm {
    /// Calls `rings` each time it rings.
    ///
    /// # Errors
    /// When the kernel has no descriptor for it.
    pub fn new(
        event_loop: &mut EventLoop,
        mut rings: impl FnMut(&mut EventLoop) + 'static,
    ) -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = Rc::new(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?);
        let rung = Rc::clone(&timer);
        let token = event_loop.add(Ringing(Rc::clone(&timer)), move |event_loop, _, _| {
            // Or it stays readable.
            match rung.wait() {
                // Set anew in this turn, by somebody called before us: it will ring again.
                Err(Errno::EAGAIN) => return Ok(()),
                rung => rung?,
            }
            rings(event_loop);
            Ok(())
        });
        Ok(Self { timer, token })
    }

    /// It rings once, so far from now: at once is a nanosecond, because nothing means never.
    ///
    /// # Errors
    /// None that could be named (timerfd_settime(2)).
    pub fn ring_after(&self, delay: Duration) -> io::Result<()> {
        let delay = TimeSpec::from_duration(delay.max(Duration::from_nanos(1)));
        Ok(self.timer.set(Expiration::OneShot(delay), TimerSetTimeFlags::empty())?)
    }

    /// It doesn't ring any more.
    pub fn close(self, event_loop: &mut EventLoop) {
        event_loop.close(self.token);
    }
}
