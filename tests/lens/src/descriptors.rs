//! What a program's descriptors are, in words: `the listener`, `the silent visitor`, `a pipe`.
//!
//! The kernel is asked once for each; what `close` and its kin name is forgotten again.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;

use nix::libc;
use nix::unistd::Pid;

use visitors::doing;
use visitors::tcp::{self, Kind};

const CLOSED: &str = "a closed descriptor";

/// The calls that make descriptors mean something else, or to an epoll. `close` apart, they don't wait. (The
/// kernel can be asked what a socket is, and what an epoll watches, but it takes long to say so where there are many.)
pub const NAMING: [i64; 5] =
    [libc::SYS_close, libc::SYS_close_range, libc::SYS_dup3, libc::SYS_epoll_ctl, libc::SYS_listen];

/// What is known so far.
#[derive(Debug, Default)]
pub struct Descriptors {
    known: HashMap<(Pid, i64), Thing>,
}

/// What a descriptor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A TCP socket that listens, at this port (0: not known).
    Listener(u16),
    /// One end of a TCP connection: its port (0: not known), and the other end. That gets its name when somebody asks: whoever is
    /// there may be known by one only a moment later.
    Peer(u16, SocketAddr),
    /// Anything else.
    Other(String),
}

impl std::fmt::Display for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listener(_) => f.write_str("the listener"),
            Self::Peer(port, address) => match doing::name_of(address.port(), *port) {
                Some(name) if address.ip().is_loopback() => write!(f, "the {name}"),
                _ => write!(f, "{address}"),
            },
            Self::Other(words) => f.write_str(words),
        }
    }
}

impl Descriptors {
    /// What `descriptor` of a process is.
    pub fn get(&mut self, process: Pid, descriptor: i64) -> Thing {
        if let Some(thing) = self.known.get(&(process, descriptor)) {
            return thing.clone();
        }
        let thing = look_up(process, descriptor);
        // Something may be opened under that number, and we don't see it.
        if thing != Thing::Other(CLOSED.to_owned()) {
            self.learn(process, descriptor, thing.clone());
        }
        thing
    }

    /// What `descriptor` is, if that has been asked before.
    pub fn known(&self, process: Pid, descriptor: i64) -> Option<Thing> {
        self.known.get(&(process, descriptor)).cloned()
    }

    /// `descriptor` is a new one, and this is what it is.
    pub fn learn(&mut self, process: Pid, descriptor: i64, thing: Thing) {
        self.known.insert((process, descriptor), thing);
    }

    /// `descriptor` was closed, or became something else.
    pub fn forget(&mut self, process: Pid, descriptor: i64) {
        self.known.remove(&(process, descriptor));
    }

    /// All of a process may have changed: it runs another program, or has ended.
    pub fn forget_all(&mut self, process: Pid) {
        self.known.retain(|(known, _), _| *known != process);
    }
}

fn look_up(process: Pid, descriptor: i64) -> Thing {
    let link = fs::read_link(format!("/proc/{process}/fd/{descriptor}")).unwrap_or_default();
    let link = link.to_string_lossy();
    let inode = link.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
    if let Some(inode) = inode.and_then(|digits| digits.parse().ok()) {
        return match tcp::kind(inode) {
            Some(Kind::Listener(port)) => Thing::Listener(port),
            Some(Kind::Connected(port, address)) => Thing::Peer(port, address),
            None => Thing::Other("a socket".to_owned()),
        };
    }
    let standard = match descriptor {
        0 => Some("its standard input"),
        1 => Some("its standard output"),
        2 => Some("its standard error"),
        _ => None,
    };
    let words = match (standard, &*link) {
        (Some(words), _) => words,
        (None, "") => CLOSED,
        (None, link) if link.starts_with("pipe:") => "a pipe",
        (None, link) => match link.strip_prefix("anon_inode:") {
            Some(kind) => kind.trim_matches(['[', ']']),
            None => link,
        },
    };
    Thing::Other(words.to_owned())
}

/// A descriptor as the program means it: `int`, in the argument's lower half.
pub(crate) fn descriptor(argument: u64) -> i64 {
    let bytes = argument.to_le_bytes();
    i64::from(i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// Whether a descriptor is in non-blocking mode, as the kernel says it (proc_pid_fdinfo(5)): `flags: 0104002`.
/// One that is closed isn't.
pub fn refuses_to_wait(process: Pid, descriptor: i64) -> bool {
    let text = fs::read_to_string(format!("/proc/{process}/fdinfo/{descriptor}"));
    let flags = text.ok().and_then(|text| {
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
        i32::from_str_radix(flags.trim(), 8).ok()
    });
    flags.is_some_and(|flags| flags & libc::O_NONBLOCK != 0)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn who_refuses_to_wait_is_known() {
        let (one, other) = UnixStream::pair().unwrap();
        one.set_nonblocking(true).unwrap();
        let refuses = |number: i32| refuses_to_wait(Pid::this(), number.into());
        assert!(refuses(one.as_raw_fd()));
        assert!(!refuses(other.as_raw_fd()));
        assert!(!refuses(-1), "there is no such descriptor");
    }
}
