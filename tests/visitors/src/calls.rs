//! The system calls that can wait: their names, and what each waits for (Linux; syscalls(2)).

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
}

impl Kind {
    /// Whether a call's first argument is the descriptor that it waits for.
    pub fn names_a_descriptor(self) -> bool {
        use Kind::{Accept, Connect, Disk, Lock, Read, Write};
        matches!(self, Read | Write | Accept | Connect | Disk | Lock)
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
        "futex_waitv" => "futex",
        "nanosleep" | "clock_nanosleep" => "sleep",
        "wait4" | "waitid" => "wait",
        "openat" | "openat2" => "open",
        other => other,
    }
}

#[cfg(target_os = "linux")]
const fn call(number: libc::c_long, name: &'static str, kind: Kind) -> Call {
    // As wide as the kernel says it; on a 32-bit machine libc's type is narrower.
    #[allow(clippy::unnecessary_cast)]
    Call { number: number as i64, name, kind }
}

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
    call(libc::SYS_futex_waitv, "futex_waitv", Kind::Threads),
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
    call(libc::SYS_sendfile, "sendfile", Kind::Copy),
    call(libc::SYS_splice, "splice", Kind::Copy),
    call(libc::SYS_tee, "tee", Kind::Copy),
    call(libc::SYS_copy_file_range, "copy_file_range", Kind::Copy),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_open, "open", Kind::Open),
    call(libc::SYS_openat, "openat", Kind::Open),
    call(libc::SYS_openat2, "openat2", Kind::Open),
    call(libc::SYS_fsync, "fsync", Kind::Disk),
    call(libc::SYS_fdatasync, "fdatasync", Kind::Disk),
    call(libc::SYS_flock, "flock", Kind::Lock),
    call(libc::SYS_fcntl, "fcntl", Kind::Lock),
    call(libc::SYS_semop, "semop", Kind::Others),
    call(libc::SYS_semtimedop, "semtimedop", Kind::Others),
    call(libc::SYS_msgsnd, "msgsnd", Kind::Others),
    call(libc::SYS_msgrcv, "msgrcv", Kind::Others),
    call(libc::SYS_mq_timedsend, "mq_timedsend", Kind::Write),
    call(libc::SYS_mq_timedreceive, "mq_timedreceive", Kind::Read),
    call(libc::SYS_io_getevents, "io_getevents", Kind::Ready),
];

/// What `fcntl` is told where it waits, for a lock. It does many other things, and waits for none of them.
#[cfg(target_os = "linux")]
pub const FCNTL_THAT_WAITS: [i32; 2] = [libc::F_SETLKW, libc::F_OFD_SETLKW];

/// Elsewhere nothing tells which call a program is inside.
#[cfg(not(target_os = "linux"))]
pub const CALLS: &[Call] = &[];
