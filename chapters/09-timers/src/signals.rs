//! Signals as events in the loop, instead of interruptions of whatever line is running.

use std::io;

use ch07_callbacks::{EventLoop, Token};
use nix::sys::signal::{SigSet, Signal};

// ANCHOR: signals
/// From now on, `came` is called when one of these signals comes. They
/// no longer interrupt anything, and no longer end the program. To be
/// called before the program starts threads: those begun earlier would
/// still be interrupted.
///
/// # Errors
/// When the kernel has no descriptor for it.
pub fn on_signals(
    event_loop: &mut EventLoop,
    signals: &[Signal],
    mut came: impl FnMut(&mut EventLoop, Signal) + 'static,
) -> io::Result<Token> {
    let set = SigSet::from_iter(signals.iter().copied());
    set.thread_block()?;
    let arrivals = Arrivals::of(set)?;
    Ok(event_loop.add(arrivals, move |event_loop, me, _| {
        while let Some(arrivals) = event_loop.get_mut::<Arrivals>(me) {
            let Some(signal) = arrivals.next()? else { break };
            event_loop.guard(None, |event_loop| came(event_loop, signal));
        }
        Ok(())
    }))
}
// ANCHOR_END: signals

/// Whether a signal is in a set that `/proc/PID/status` tells of, such as `SigIgn:`, those that are
/// ignored (proc_pid_status(5)). Bit 0 is signal 1.
pub fn is_in(status: &str, set: &str, signal: Signal) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix(set));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal as i32 - 1)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_a_bit_for_each_signal() {
        let status = "Name:\tx\nSigBlk:\t0000000000000800\nSigIgn:\t00000000000007ff\n";
        assert!(is_in(status, "SigBlk:", Signal::SIGUSR2));
        assert!(!is_in(status, "SigIgn:", Signal::SIGUSR2));
        assert!(is_in(status, "SigIgn:", Signal::SIGHUP));
        assert!(!is_in("", "SigBlk:", Signal::SIGUSR2));
    }
}

#[cfg(not(target_os = "linux"))]
use by_pipe::Arrivals;
#[cfg(target_os = "linux")]
use by_signalfd::Arrivals;

/// On Linux a descriptor becomes readable when a signal has come (signalfd(2)).
#[cfg(target_os = "linux")]
mod by_signalfd {
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd};

    use ch07_callbacks::{Interest, Source, now};
    use nix::sys::signal::{SigSet, Signal};
    use nix::sys::signalfd::{SfdFlags, SignalFd};

    pub struct Arrivals(SignalFd);

    impl Arrivals {
        pub fn of(set: SigSet) -> io::Result<Self> {
            let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
            Ok(Self(SignalFd::with_flags(&set, flags)?))
        }

        /// The next one that has come.
        pub fn next(&mut self) -> io::Result<Option<Signal>> {
            let arrival = now(self.0.read_signal().map_err(io::Error::from))?.flatten();
            let Some(arrival) = arrival else { return Ok(None) };
            let number = i32::try_from(arrival.ssi_signo).unwrap_or_default();
            Ok(Signal::try_from(number).ok())
        }
    }

    impl Source for Arrivals {
        fn descriptor(&self) -> Option<BorrowedFd<'_>> {
            Some(self.0.as_fd())
        }

        fn interest(&self) -> Interest {
            Interest::READ
        }
    }
}

/// Elsewhere a thread waits for the signals, and writes each into a pipe: the old trick
/// of the self-pipe, without a signal handler.
#[cfg(not(target_os = "linux"))]
mod by_pipe {
    use std::io::{self, Read, Write};
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::net::UnixStream;
    use std::thread;

    use ch07_callbacks::{Interest, Source, now};
    use nix::sys::signal::{SigSet, Signal};

    pub struct Arrivals(UnixStream);

    impl Arrivals {
        pub fn of(set: SigSet) -> io::Result<Self> {
            let (ours, mut to_us) = UnixStream::pair()?;
            ours.set_nonblocking(true)?;
            let tell = move || {
                // waits: until one of the signals comes; then, if we don't read, for room
                while let Ok(signal) = set.wait() {
                    let number = u8::try_from(signal as i32).unwrap_or_default();
                    if to_us.write_all(&[number]).is_err() {
                        return; // the loop is gone
                    }
                }
            };
            thread::Builder::new().name("signals".to_owned()).spawn(tell)?;
            Ok(Self(ours))
        }

        pub fn next(&mut self) -> io::Result<Option<Signal>> {
            let mut number = [0];
            let count = now(self.0.read(&mut number))?.unwrap_or(0);
            Ok(Signal::try_from(i32::from(number[0])).ok().filter(|_| count > 0))
        }
    }

    impl Source for Arrivals {
        fn descriptor(&self) -> Option<BorrowedFd<'_>> {
            Some(self.0.as_fd())
        }

        fn interest(&self) -> Interest {
            Interest::READ
        }
    }
}
