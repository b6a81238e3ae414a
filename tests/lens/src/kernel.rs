//! What ptrace(2) and wait(2) can do and nix has no safe way for yet: all of the project's `unsafe`.
//!
//! nix reads a stop's `ptrace_syscall_info`, but leaves its union to us; it can't name real-time
//! signals, neither in a wait's status nor to pass one on; and it has no `PTRACE_LISTEN`.
#![expect(unsafe_code, reason = "see above: three calls, each with its reason")]

use std::ptr;

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace;
use nix::unistd::Pid;

/// What a thread of the program is stopped at.
#[derive(Clone, Copy, Debug)]
pub enum At {
    /// The beginning of a system call.
    Entry {
        /// Which one.
        number: u64,
        /// Its arguments.
        arguments: [u64; 6],
    },
    /// Its end, with its result or the negative errno.
    Exit(i64),
    /// Something else.
    Elsewhere,
}

/// What a stopped thread is at (`PTRACE_GET_SYSCALL_INFO`, Linux 5.3).
///
/// # Errors
/// `ESRCH` when the thread has been killed meanwhile; `EIO` where the kernel is too old.
pub fn at(thread: Pid) -> nix::Result<At> {
    let info = ptrace::syscall_info(thread)?;
    if OURS.is_some_and(|ours| info.arch != ours) {
        // A call of another architecture, such as a program of 32 bits makes: its numbers mean other calls.
        return Ok(At::Elsewhere);
    }
    // SAFETY: `op` says which of the union's fields the kernel has filled; all of them are integers.
    Ok(unsafe {
        match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY => {
                At::Entry { number: info.u.entry.nr, arguments: info.u.entry.args }
            }
            libc::PTRACE_SYSCALL_INFO_SECCOMP => {
                At::Entry { number: info.u.seccomp.nr, arguments: info.u.seccomp.args }
            }
            libc::PTRACE_SYSCALL_INFO_EXIT => At::Exit(info.u.exit.sval),
            _ => At::Elsewhere,
        }
    })
}

/// How the kernel calls our architecture (linux/audit.h), where we know it.
const OURS: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0xc000_003e)
} else if cfg!(target_arch = "aarch64") {
    Some(0xc000_00b7)
} else {
    None
};

/// How a stopped thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onward {
    /// Until something happens that is looked for.
    ToNextEvent,
    /// The same, and it stops where a system call begins or ends.
    ToNextCall,
    /// It stays stopped, as a signal asked, and it is heard when it may go on.
    Stopped,
}

/// Lets a stopped thread go on, and gives it `signal`, unless that is 0.
///
/// # Errors
/// `ESRCH` when the thread has been killed meanwhile.
pub fn resume(thread: Pid, onward: Onward, signal: i32) -> nix::Result<()> {
    let request = match onward {
        Onward::ToNextEvent => libc::PTRACE_CONT,
        Onward::ToNextCall => libc::PTRACE_SYSCALL,
        Onward::Stopped => libc::PTRACE_LISTEN,
    };
    // SAFETY: these requests take a signal's number where others take a pointer, and touch no
    // memory of ours.
    let result = unsafe {
        libc::ptrace(
            request,
            thread.as_raw(),
            ptr::null_mut::<libc::c_void>(),
            ptr::without_provenance_mut::<libc::c_void>(signal.unsigned_abs() as usize),
        )
    };
    Errno::result(result).map(drop)
}

/// What has happened to a thread.
#[derive(Clone, Copy, Debug)]
pub enum News {
    /// It is gone: the status as wait(2) gives it.
    Gone(i32),
    /// It is stopped. `event` is 0 or a `PTRACE_EVENT_…`.
    Stopped {
        /// The signal that wait(2) gives; `SIGTRAP | 0x80` at a system call.
        signal: i32,
        /// Why, if it isn't a signal's doing.
        event: i32,
    },
}

/// What has happened to a thread that this thread traces, if anything has. Others' children stay theirs.
///
/// # Errors
/// `ECHILD` when there is none any more.
pub fn news() -> nix::Result<Option<(Pid, News)>> {
    wait(libc::WNOHANG)
}

/// The same, and waits until something happens.
///
/// # Errors
/// As above.
pub fn next_news() -> nix::Result<(Pid, News)> {
    // Without WNOHANG it doesn't come back with nothing.
    wait(0)?.ok_or(Errno::ECHILD)
}

fn wait(options: i32) -> nix::Result<Option<(Pid, News)>> {
    let mut status = 0;
    let options = options | libc::__WALL | libc::__WNOTHREAD;
    // SAFETY: the status is ours to write to.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, options) };
    let pid = Errno::result(pid)?;
    let news = if libc::WIFSTOPPED(status) {
        News::Stopped { signal: libc::WSTOPSIG(status), event: status >> 16 }
    } else {
        News::Gone(status)
    };
    Ok((pid != 0).then(|| (Pid::from_raw(pid), news)))
}
