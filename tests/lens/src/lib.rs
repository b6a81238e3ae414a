//! The lens: it shows where any program waits.
//!
//! A program is run under ptrace(2). At each system call that can wait, the lens notes when it began,
//! how long the thread was blocked in it, what came of it, and which descriptor it was about.
//!
//! - [`Lens`] looks at a program that runs already: for tests, [`Lens::waits_only_in`].
//! - [`count`]: how many calls programs make meanwhile, and no more than that.
//! - [`record`]: what was seen, and the format in which it's written down.
//! - [`picture`]: a run drawn as a timeline.
//! - [`summary`]: a run in figures. [`lines`]: a call in words.
//! - [`tracer`] does the looking, [`launch`] starts a program so that nothing of it is missed,
//!   [`kernel`] is what nix can't do yet; [`memory`], [`descriptors`] and [`interest`] find out what a
//!   call is about.
//!
//! The book's page `watching` tells how it's used, and what it costs. Linux only; elsewhere everything
//! that would look says [`Blind`].

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub mod count;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub mod descriptors;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub mod interest;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub mod kernel;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub mod launch;
pub mod lines;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub mod memory;
pub mod picture;
pub mod record;
pub mod summary;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub mod tracer;
mod waits;

use std::fmt;

use nix::errno::Errno;

pub use record::HARDLY_A_WAIT;
pub use waits::Lens;

/// Why nothing can be seen here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blind {
    /// This system isn't Linux, or its C library isn't glibc.
    NotLinux,
    /// The system doesn't let a program trace its own child.
    Forbidden,
    /// The program was over before it could be looked at.
    Gone,
    /// Something else that ptrace(2) said.
    Failed(Errno),
}

impl fmt::Display for Blind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLinux => f.write_str(
                "the lens looks through Linux's ptrace, and this system isn't Linux with glibc. \
                 The book's timelines show what it sees; to look yourself, use a Linux machine, a \
                 virtual one, or WSL",
            ),
            Self::Forbidden => f.write_str(
                "this system doesn't let a program look at another's system calls (ptrace: EPERM). \
                 In a container, start it with --cap-add=SYS_PTRACE. Elsewhere, look at \
                 /proc/sys/kernel/yama/ptrace_scope: with 0 or 1 in it, the lens works; \
                 `sudo sysctl kernel.yama.ptrace_scope=1` sets it. Under strace, gdb or another lens \
                 a program can't be looked at by a second one",
            ),
            Self::Gone => f.write_str("the program was over before it could be looked at"),
            Self::Failed(Errno::EIO | Errno::EINVAL) => {
                f.write_str("this kernel can't tell what the lens asks: it takes Linux 5.3 or later")
            }
            Self::Failed(errno) => write!(f, "ptrace failed: {}", errno.desc()),
        }
    }
}

impl From<Errno> for Blind {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::EPERM | Errno::EACCES => Self::Forbidden,
            Errno::ESRCH => Self::Gone,
            other => Self::Failed(other),
        }
    }
}
