//! The signals that end programs, as things that can be waited for (signalfd(2)).

use lens::launch::OURS;
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// They are blocked while this lives: they end nothing by themselves.
#[derive(Debug)]
pub struct Signals {
    heard: SignalFd,
    /// Those that were blocked already.
    pub blocked: Vec<Signal>,
}

impl Signals {
    /// Blocks them, for this thread and those that it starts from now on. To be called before any is.
    pub fn block() -> nix::Result<Self> {
        let set: SigSet = OURS.into_iter().collect();
        let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let blocked = OURS.into_iter().filter(|signal| before.contains(*signal)).collect();
        // The program must not inherit it: its own descriptors would have other numbers than usual.
        let heard = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { heard, blocked })
    }

    /// Waits for the next one; and says whether the terminal sent it, which sends it to the whole
    /// group of processes, our program among them.
    pub fn next(&self) -> Option<(Signal, bool)> {
        let info = loop {
            match self.heard.read_signal() {
                Err(Errno::EINTR) => {}
                read => break read.ok().flatten()?,
            }
        };
        let signal = Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok()?;
        Some((signal, info.ssi_code == libc::SI_KERNEL))
    }
}
