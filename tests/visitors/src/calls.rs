//! The system calls that can wait: their names, and what each waits for (Linux; syscalls(2)).
//!
//! A call is here when it can sleep until somebody else does something, or a disk has written what it was told to.
//! Left out are those that may find a file's name or contents not in memory yet (`stat`, `rename`, `execve`, a
//! page that is touched): whoever looks for waits in them has a slow disk. And those that move the machine itself
//! (`mount`, `swapoff`, `reboot`).

#[cfg(target_os = "linux")]
use nix::libc;

/// A system call that can wait.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Its number on this kind of processor.
    pub number: i64,
    /// The kernel's name for it.
    pub name: &'static str,
    /// What it waits for.
    pub kind: Kind,
    /// It's made all the time, and waits hardly ever: worth a word only where it did.
    pub seldom: bool,
}

/// What a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// For bytes to come. The descriptor is the first argument.
    Read,
    /// For room to send. The descriptor is the first argument.
    Write,
    /// For someone to connect. The listener is the first argument.
    Accept,
    /// To be connected. The descriptor is the first argument.
    Connect,
    /// Until one of many descriptors is ready.
    Ready,
    /// For another thread: a lock, a channel, a join.
    Threads,
    /// For time to pass.
    Time,
    /// For a signal.
    Signal,
    /// For a child to end.
    Child,
    /// Moves bytes from one descriptor to another: for bytes here, or for room there.
    Copy,
    /// Until a file is opened: a named pipe's other end, a slow disk.
    Open,
    /// For a disk. The descriptor is the first argument.
    Disk,
    /// For whoever holds a lock on a file. The descriptor is the first argument.
    Lock,
    /// For another process: a semaphore, a message.
    Others,
    /// For the other end to take what was sent to it, although the descriptor is being closed (`SO_LINGER`).
    /// The descriptor is the first argument.
    Linger,
    /// For all disks, or for the one that a piece of memory is of.
    Disks,
    /// Until a child runs its own program, or has ended: so long it has our memory.
    Begin,
    /// For a number that nobody can guess: the system must have gathered some chance first.
    Chance,
}

impl Kind {
    /// Whether a call's first argument is the descriptor that it waits for.
    pub fn names_a_descriptor(self) -> bool {
        use Kind::{Accept, Connect, Disk, Linger, Lock, Read, Write};
        matches!(self, Read | Write | Accept | Connect | Disk | Lock | Linger)
    }

    /// What it waits for, after `it waits`. `peer` is who is at the descriptor's other end.
    pub fn waits(self, peer: &str) -> String {
        // Nobody sends or reads there of whom we would know.
        let is_thing = peer.starts_with("its standard") || peer.starts_with(['a', '/']);
        match self {
            Self::Read if is_thing => format!("for something to read from {peer}"),
            Self::Write if is_thing => format!("for room to write to {peer}"),
            Self::Read => format!("for {peer} to send, or to hang up"),
            Self::Write => format!("for {peer} to read"),
            Self::Accept => "for the next visitor to connect".to_owned(),
            Self::Connect => "to be connected".to_owned(),
            Self::Ready => "until one of its descriptors is ready".to_owned(),
            Self::Threads => "for another of its threads (a lock, a channel, a join)".to_owned(),
            Self::Time => "for time to pass".to_owned(),
            Self::Signal => "for a signal".to_owned(),
            Self::Child => "for a child to end".to_owned(),
            Self::Copy => "for bytes to copy, or for room to put them".to_owned(),
            Self::Open => "for a file to be opened".to_owned(),
            Self::Disk => "for the disk".to_owned(),
            Self::Lock => "for whoever holds the lock".to_owned(),
            Self::Others => "for another process (a semaphore, a message)".to_owned(),
            Self::Linger => format!("for {peer} to take what was sent (SO_LINGER)"),
            Self::Disks => "for a disk".to_owned(),
            Self::Begin => "for a child to begin its program, or to end".to_owned(),
            Self::Chance => "for the system to have gathered random numbers".to_owned(),
        }
    }
}

/// The call with this number, if it is one that can wait.
pub fn find(number: i64) -> Option<&'static Call> {
    CALLS.iter().find(|call| call.number == number)
}

/// The name that programs and books use for a call, where the kernel has several under that roof:
/// `read` for `recvfrom`, `select` for `pselect6`.
pub fn family(name: &str) -> &str {
    match name {
        "pread64" | "readv" | "preadv" | "preadv2" | "recvfrom" | "recvmsg" | "recvmmsg" => "read",
        "pwrite64" | "writev" | "pwritev" | "pwritev2" | "sendto" | "sendmsg" | "sendmmsg" => {
            "write"
        }
        "accept4" => "accept",
        "pselect6" => "select",
        "ppoll" => "poll",
        "epoll_pwait" | "epoll_pwait2" => "epoll_wait",
        "futex_wait" | "futex_waitv" => "futex",
        "io_pgetevents" => "io_getevents",
        "nanosleep" | "clock_nanosleep" => "sleep",
        "wait4" | "waitid" => "wait",
        "openat" | "openat2" | "creat" => "open",
        other => other,
    }
}

#[cfg(target_os = "linux")]
const fn call(number: libc::c_long, name: &'static str, kind: Kind) -> Call {
    // As wide as the kernel says it; on a 32-bit machine libc's type is narrower.
    #[allow(clippy::unnecessary_cast)]
    Call { number: number as i64, name, kind, seldom: false }
}

/// One that is made all the time, and waits hardly ever.
#[cfg(target_os = "linux")]
const fn seldom(number: libc::c_long, name: &'static str, kind: Kind) -> Call {
    Call { seldom: true, ..call(number, name, kind) }
}

/// The kernel has it since Linux 6.7, under the same number on all kinds of processors that we run on.
#[cfg(target_os = "linux")]
const SYS_FUTEX_WAIT: libc::c_long = 455;
/// libc has no name for it.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
const SYS_IO_PGETEVENTS: libc::c_long = 333;
/// See above.
#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
const SYS_IO_PGETEVENTS: libc::c_long = 292;

/// All of them. The numbers differ from one kind of processor to the next: libc knows them.
#[cfg(target_os = "linux")]
pub const CALLS: &[Call] = &[
    call(libc::SYS_read, "read", Kind::Read),
    call(libc::SYS_pread64, "pread64", Kind::Read),
    call(libc::SYS_readv, "readv", Kind::Read),
    call(libc::SYS_preadv, "preadv", Kind::Read),
    call(libc::SYS_preadv2, "preadv2", Kind::Read),
    call(libc::SYS_recvfrom, "recvfrom", Kind::Read),
    call(libc::SYS_recvmsg, "recvmsg", Kind::Read),
    call(libc::SYS_recvmmsg, "recvmmsg", Kind::Read),
    call(libc::SYS_write, "write", Kind::Write),
    call(libc::SYS_pwrite64, "pwrite64", Kind::Write),
    call(libc::SYS_writev, "writev", Kind::Write),
    call(libc::SYS_pwritev, "pwritev", Kind::Write),
    call(libc::SYS_pwritev2, "pwritev2", Kind::Write),
    call(libc::SYS_sendto, "sendto", Kind::Write),
    call(libc::SYS_sendmsg, "sendmsg", Kind::Write),
    call(libc::SYS_sendmmsg, "sendmmsg", Kind::Write),
    call(libc::SYS_accept, "accept", Kind::Accept),
    call(libc::SYS_accept4, "accept4", Kind::Accept),
    call(libc::SYS_connect, "connect", Kind::Connect),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_select, "select", Kind::Ready),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_poll, "poll", Kind::Ready),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_epoll_wait, "epoll_wait", Kind::Ready),
    call(libc::SYS_pselect6, "pselect6", Kind::Ready),
    call(libc::SYS_ppoll, "ppoll", Kind::Ready),
    call(libc::SYS_epoll_pwait, "epoll_pwait", Kind::Ready),
    call(libc::SYS_epoll_pwait2, "epoll_pwait2", Kind::Ready),
    call(libc::SYS_io_uring_enter, "io_uring_enter", Kind::Ready),
    call(libc::SYS_futex, "futex", Kind::Threads),
    call(SYS_FUTEX_WAIT, "futex_wait", Kind::Threads),
    call(libc::SYS_futex_waitv, "futex_waitv", Kind::Threads),
    seldom(libc::SYS_membarrier, "membarrier", Kind::Threads),
    // A call with a time limit, begun again by the kernel after a stop.
    call(libc::SYS_restart_syscall, "restart_syscall", Kind::Time),
    call(libc::SYS_nanosleep, "nanosleep", Kind::Time),
    call(libc::SYS_clock_nanosleep, "clock_nanosleep", Kind::Time),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_pause, "pause", Kind::Signal),
    call(libc::SYS_rt_sigtimedwait, "rt_sigtimedwait", Kind::Signal),
    call(libc::SYS_rt_sigsuspend, "rt_sigsuspend", Kind::Signal),
    call(libc::SYS_wait4, "wait4", Kind::Child),
    call(libc::SYS_waitid, "waitid", Kind::Child),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_vfork, "vfork", Kind::Begin),
    call(libc::SYS_clone, "clone", Kind::Begin),
    call(libc::SYS_clone3, "clone3", Kind::Begin),
    call(libc::SYS_sendfile, "sendfile", Kind::Copy),
    call(libc::SYS_splice, "splice", Kind::Copy),
    call(libc::SYS_tee, "tee", Kind::Copy),
    call(libc::SYS_vmsplice, "vmsplice", Kind::Copy),
    call(libc::SYS_copy_file_range, "copy_file_range", Kind::Copy),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_open, "open", Kind::Open),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_creat, "creat", Kind::Open),
    call(libc::SYS_openat, "openat", Kind::Open),
    call(libc::SYS_openat2, "openat2", Kind::Open),
    call(libc::SYS_fsync, "fsync", Kind::Disk),
    call(libc::SYS_fdatasync, "fdatasync", Kind::Disk),
    call(libc::SYS_syncfs, "syncfs", Kind::Disk),
    call(libc::SYS_sync_file_range, "sync_file_range", Kind::Disk),
    call(libc::SYS_fallocate, "fallocate", Kind::Disk),
    call(libc::SYS_readahead, "readahead", Kind::Disk),
    call(libc::SYS_sync, "sync", Kind::Disks),
    call(libc::SYS_msync, "msync", Kind::Disks),
    call(libc::SYS_io_submit, "io_submit", Kind::Disks),
    call(libc::SYS_io_destroy, "io_destroy", Kind::Disks),
    seldom(libc::SYS_close, "close", Kind::Linger),
    call(libc::SYS_flock, "flock", Kind::Lock),
    call(libc::SYS_fcntl, "fcntl", Kind::Lock),
    call(libc::SYS_ioctl, "ioctl", Kind::Write),
    call(libc::SYS_semop, "semop", Kind::Others),
    call(libc::SYS_semtimedop, "semtimedop", Kind::Others),
    call(libc::SYS_msgsnd, "msgsnd", Kind::Others),
    call(libc::SYS_msgrcv, "msgrcv", Kind::Others),
    call(libc::SYS_mq_timedsend, "mq_timedsend", Kind::Write),
    call(libc::SYS_mq_timedreceive, "mq_timedreceive", Kind::Read),
    call(libc::SYS_io_getevents, "io_getevents", Kind::Ready),
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    call(SYS_IO_PGETEVENTS, "io_pgetevents", Kind::Ready),
    seldom(libc::SYS_io_uring_register, "io_uring_register", Kind::Ready),
    seldom(libc::SYS_getrandom, "getrandom", Kind::Chance),
];

/// A call that does many things, and waits in a few of them: those in which an argument is, or has in it, this.
#[derive(Clone, Copy, Debug)]
pub struct Only {
    /// The call's number.
    pub number: i64,
    /// Which of its arguments, from 0.
    pub argument: u8,
    /// Of that argument's lower half, the bits that are looked at.
    pub mask: u32,
    /// Any of these.
    pub values: &'static [u32],
}

/// The calls of which only some can wait.
#[cfg(target_os = "linux")]
#[allow(
    clippy::unnecessary_cast,
    reason = "libc's types differ from one kind of processor to the next"
)]
pub const ONLY: [Only; 3] = [
    // For a lock.
    Only {
        number: libc::SYS_fcntl as i64,
        argument: 1,
        mask: u32::MAX,
        values: &[libc::F_SETLKW as u32, libc::F_OFD_SETLKW as u32],
    },
    // Until a terminal has sent all: tcdrain, tcsetattr.
    Only {
        number: libc::SYS_ioctl as i64,
        argument: 1,
        mask: u32::MAX,
        values: &[
            libc::TCSBRK as u32,
            libc::TCSBRKP as u32,
            libc::TCSETSW as u32,
            libc::TCSETSF as u32,
        ],
    },
    // Where the child has our memory for a while: vfork, posix_spawn.
    Only {
        number: libc::SYS_clone as i64,
        argument: 0,
        mask: libc::CLONE_VFORK as u32,
        values: &[libc::CLONE_VFORK as u32],
    },
];

/// The flag in the first word of `clone3`'s argument, a structure, with which it waits.
#[cfg(target_os = "linux")]
pub const CLONE3_THAT_WAITS: u64 = libc::CLONE_VFORK as u64;

/// Whether a call with these arguments is one that can wait, as far as they tell.
#[cfg(target_os = "linux")]
pub fn can_wait(number: i64, arguments: &[u64; 6]) -> bool {
    let only = ONLY.iter().find(|only| only.number == number);
    only.is_none_or(|only| {
        let argument = arguments[usize::from(only.argument)] & u64::from(only.mask);
        only.values.iter().any(|value| u64::from(*value) == argument)
    })
}

/// Elsewhere nothing tells which call a program is inside.
#[cfg(not(target_os = "linux"))]
pub const CALLS: &[Call] = &[];
