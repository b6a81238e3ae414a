//! The TCP sockets of this machine, as its kernel knows them.
//!
//! The kernel is asked (sock_diag(7), Linux): for one socket that takes microseconds, and it leaves out those that are only
//! remembered because they have been closed (TIME_WAIT), of which a busy machine has tens of thousands. The tables in /proc/net tell
//! the same, with those; reading them takes up to a tenth of a second.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

/// A socket as its kernel knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Socket {
    /// Received, and not read by its program, in bytes.
    pub unread: u64,
    /// Sent, and not acknowledged by the other end, in bytes.
    pub under_way: u64,
    /// Its state (tcp_states.h): 8 is CLOSE_WAIT.
    pub state: u8,
    /// Which timer runs: 4 does while the other end has no room, and nothing is on its way to it.
    pub timer: u8,
    /// Its number. 0: its program has closed it.
    pub inode: u64,
}

/// One end of a connection, or a listener.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// The port at this end.
    pub port: u16,
    /// The other end. Its port is 0 where this one listens.
    pub remote: SocketAddr,
    /// What is known of this end.
    pub socket: Socket,
}

/// What a TCP socket is: one that listens has nobody at its other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// People connect to it, at this port.
    Listener(u16),
    /// It is one end of a connection: here is its port, and the other end.
    Connected(u16, SocketAddr),
}

/// What the socket whose own address is `theirs` hasn't read of what `ours` sent, in bytes.
/// `None`: there is no such socket, so nobody will read it.
pub(crate) fn unread(theirs: SocketAddr, ours: SocketAddr) -> Option<u64> {
    // In this order. While the other program is in the middle of a read, its kernel puts what arrives
    // aside: it isn't acknowledged then, and isn't counted as unread either.
    let under_way = find(ours, theirs)?.under_way;
    let unread = find(theirs, ours)?.unread;
    Some(under_way + unread)
}

/// The socket whose own address is `here`, connected to `there`. `None`: there is no such socket.
pub fn find(here: SocketAddr, there: SocketAddr) -> Option<Socket> {
    #[cfg(target_os = "linux")]
    if let (SocketAddr::V4(here), SocketAddr::V4(there)) = (here, there)
        && let Ok(answer) = kernel::one(here, there)
    {
        return answer;
    }
    let found = of_port(here.port()).into_iter().find(|c| c.remote.port() == there.port());
    found.map(|connection| connection.socket)
}

/// How many connections a server on `port` has accepted and not closed. `None` where the system can't tell.
pub fn accepted(port: u16) -> Option<usize> {
    fs::metadata("/proc/net/tcp").ok()?;
    let accepted = |c: &Endpoint| c.remote.port() != 0 && c.socket.inode != 0;
    // While it changes, the table may show a row twice.
    let accepted: BTreeSet<u64> =
        of_port(port).iter().filter(|c| accepted(c)).map(|c| c.socket.inode).collect();
    Some(accepted.len())
}

/// What the TCP socket is that is known to the kernel by this number, if there is one.
///
/// A socket's number is its own for as long as it lives, and so are its ends. So what was found once is kept.
pub fn kind(inode: u64) -> Option<Kind> {
    static FOUND: Mutex<BTreeMap<u64, Kind>> = Mutex::new(BTreeMap::new());
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if !found.contains_key(&inode) {
        let kind = |connection: Endpoint| match connection.remote.port() {
            0 => Kind::Listener(connection.port),
            _ => Kind::Connected(connection.port, connection.remote),
        };
        *found = all().into_iter().map(|c| (c.socket.inode, kind(c))).collect();
    }
    found.get(&inode).copied()
}

/// All TCP sockets of this machine that haven't been closed at both ends. Empty where the system can't tell.
pub fn all() -> Vec<Endpoint> {
    of_port(0)
}

/// Those whose own port is `port`; with 0, all.
pub fn of_port(port: u16) -> Vec<Endpoint> {
    #[cfg(target_os = "linux")]
    if let Ok(found) = kernel::all(port) {
        return found;
    }
    tables().into_iter().filter(|c| port == 0 || c.port == port).collect()
}

/// Keeps of `visitors`, connections to the server at `port` by their own ports, those that the server's end
/// takes for established. All of them, where this machine's tables don't tell: the server is on another.
pub(crate) fn keep_established(port: u16, visitors: &mut BTreeSet<u16>) {
    let mut missing = visitors.clone();
    // While it changes, the table may leave a row out.
    for _ in 0..TABLE_LOOKS {
        let connections = of_port(port);
        if !connections.iter().any(|connection| connection.remote.port() == 0) {
            return;
        }
        for connection in connections.iter().filter(|c| c.socket.state != HALF_WAY) {
            missing.remove(&connection.remote.port());
        }
        if missing.is_empty() {
            return;
        }
    }
    visitors.retain(|visitor| !missing.contains(visitor));
}

/// How often a table that may be wrong is read.
const TABLE_LOOKS: u32 = 3;

/// How the table says that the last word of the greeting hasn't been heard (`TCP_SYN_RECV`): no program has been told of it.
const HALF_WAY: u8 = 3;

/// What the tables in /proc/net tell.
fn tables() -> Vec<Endpoint> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| table.lines().skip(1).filter_map(parse_row).collect::<Vec<_>>())
        .collect()
}

fn parse_row(row: &str) -> Option<Endpoint> {
    let fields: Vec<&str> = row.split_whitespace().collect();
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    Some(Endpoint {
        port: parse_address(fields.get(1)?)?.port(),
        remote: parse_address(fields.get(2)?)?,
        socket: Socket {
            unread: hex(fields.get(4)?.split_once(':')?.1)?,
            under_way: hex(fields.get(4)?.split_once(':')?.0)?,
            state: u8::from_str_radix(fields.get(3)?, 16).ok()?,
            timer: u8::from_str_radix(fields.get(5)?.split_once(':')?.0, 16).ok()?,
            inode: fields.get(9)?.parse().ok()?,
        },
    })
}

/// `0100007F:1B58`: the address as the kernel stores it, in words of this machine's byte order.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |from: usize| {
        let word = u32::from_str_radix(address.get(from..from + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    if address.len() == 8 {
        return Some(SocketAddr::from((word(0)?, port)));
    }
    let words = [word(0)?, word(8)?, word(16)?, word(24)?];
    let bytes: [u8; 16] = words.concat().try_into().ok()?;
    Some(SocketAddr::from((bytes, port)))
}

/// Questions to the kernel. The layouts are those of linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h.
#[cfg(target_os = "linux")]
mod kernel {
    use std::net::SocketAddrV4;
    use std::os::fd::{AsRawFd, OwnedFd};

    use nix::errno::Errno;
    use nix::libc;
    use nix::sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
    };

    use super::{Endpoint, IpAddr, Ipv4Addr, Ipv6Addr, Socket, SocketAddr};

    /// `SOCK_DIAG_BY_FAMILY`.
    const BY_FAMILY: u16 = 20;
    /// Lengths of `struct nlmsghdr` and `struct inet_diag_req_v2`, in bytes.
    const HEADER: usize = 16;
    const REQUEST: usize = 56;
    /// Every state but `TCP_TIME_WAIT`.
    const NOT_OVER: u32 = !(1 << 6);
    /// The most that the kernel puts into one answer, in bytes.
    const ANSWER: usize = 64 * 1024;

    /// Which socket is meant: of `struct inet_diag_sockid`, the ports and the addresses.
    type Ends = [u8; 36];

    /// The socket with these two ends. `Ok(None)`: there is none. An error: the kernel doesn't answer this kind of question.
    pub(super) fn one(here: SocketAddrV4, there: SocketAddrV4) -> nix::Result<Option<Socket>> {
        let mut ends = [0; 36];
        ends[0..2].copy_from_slice(&here.port().to_be_bytes());
        ends[2..4].copy_from_slice(&there.port().to_be_bytes());
        ends[4..8].copy_from_slice(&here.ip().octets());
        ends[20..24].copy_from_slice(&there.ip().octets());
        let kernel = ask(libc::NLM_F_REQUEST, libc::AF_INET, u32::MAX, &ends)?;
        let mut found = Vec::new();
        match hear(&kernel, &mut found) {
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error),
            Ok(_) => Ok(found.first().map(|connection| connection.socket)),
        }
    }

    /// All sockets whose own port it is, or with 0 all that there are.
    pub(super) fn all(port: u16) -> nix::Result<Vec<Endpoint>> {
        let mut ends = [0; 36];
        ends[0..2].copy_from_slice(&port.to_be_bytes());
        let mut found = Vec::new();
        for family in [libc::AF_INET, libc::AF_INET6] {
            let kernel = ask(libc::NLM_F_REQUEST | libc::NLM_F_DUMP, family, NOT_OVER, &ends)?;
            while !hear(&kernel, &mut found)? {}
        }
        Ok(found)
    }

    fn ask(flags: i32, family: i32, states: u32, ends: &Ends) -> nix::Result<OwnedFd> {
        let mut question = Vec::with_capacity(HEADER + REQUEST);
        // struct nlmsghdr: length, type, flags, sequence, sender
        question.extend_from_slice(&((HEADER + REQUEST) as u32).to_ne_bytes());
        question.extend_from_slice(&BY_FAMILY.to_ne_bytes());
        question.extend_from_slice(&(flags as u16).to_ne_bytes());
        question.extend_from_slice(&[0; 8]);
        // struct inet_diag_req_v2: family, protocol, extensions, padding, states
        question.extend_from_slice(&[family as u8, libc::IPPROTO_TCP as u8, 0, 0]);
        question.extend_from_slice(&states.to_ne_bytes());
        // struct inet_diag_sockid: the ends, interface, and "no cookie"
        question.extend_from_slice(ends);
        question.extend_from_slice(&[0; 4]);
        question.extend_from_slice(&[0xff; 8]);
        let kernel = socket(
            AddressFamily::Netlink,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkSockDiag,
        )?;
        send(kernel.as_raw_fd(), &question, MsgFlags::empty())?;
        Ok(kernel)
    }

    /// Takes one answer, which holds any number of sockets. `Ok(true)`: it was the last.
    fn hear(kernel: &OwnedFd, found: &mut Vec<Endpoint>) -> nix::Result<bool> {
        let mut answer = vec![0; ANSWER];
        let count = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        let mut rest = &answer[..count];
        while rest.len() >= HEADER {
            let length = number(rest, 0).ok_or(Errno::EBADMSG)? as usize;
            let message = rest.get(..length).filter(|_| length >= HEADER).ok_or(Errno::EBADMSG)?;
            match i32::from(u16::from_ne_bytes([message[4], message[5]])) {
                libc::NLMSG_DONE => return Ok(true),
                // Its number follows the header, negative.
                libc::NLMSG_ERROR => {
                    let error = number(message, HEADER).ok_or(Errno::EBADMSG)? as i32;
                    return Err(Errno::from_raw(error.wrapping_neg()));
                }
                kind if kind == i32::from(BY_FAMILY) => {
                    found.push(connection(&message[HEADER..]).ok_or(Errno::EBADMSG)?);
                }
                _ => return Err(Errno::EBADMSG),
            }
            // Each begins at a multiple of four bytes (netlink(7)).
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(false)
    }

    /// `struct inet_diag_msg`: four bytes (family, state, timer, retransmits), the socket's identity (48 bytes), a time, and then
    /// what is received and not read, what is sent and not acknowledged, the user, the inode.
    fn connection(message: &[u8]) -> Option<Endpoint> {
        let port = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
        let address = message.get(24..40)?;
        let address: IpAddr = match i32::from(*message.first()?) {
            libc::AF_INET => Ipv4Addr::from(<[u8; 4]>::try_from(&address[..4]).ok()?).into(),
            _ => Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?).into(),
        };
        Some(Endpoint {
            port: port(4)?,
            remote: SocketAddr::from((address, port(6)?)),
            socket: Socket {
                unread: number(message, 56)?.into(),
                under_way: number(message, 60)?.into(),
                state: *message.get(1)?,
                timer: *message.get(2)?,
                inode: number(message, 68)?.into(),
            },
        })
    }

    fn number(message: &[u8], at: usize) -> Option<u32> {
        let bytes = message.get(at..at + 4)?;
        Some(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    /// All that both know, told alike: a listener, and both ends of a connection, with a few bytes that nobody has read.
    #[cfg(target_os = "linux")]
    #[rstest::rstest]
    #[case::ipv4("127.0.0.1:0")]
    #[case::ipv6("[::1]:0")]
    fn the_kernel_says_what_its_tables_say(#[case] address: &str) {
        use std::io::Write;

        /// `TCP_TIME_WAIT`.
        const OVER: u8 = 6;

        let Ok(listener) = TcpListener::bind(address) else {
            return crate::skipped(format!("nobody can listen at {address} here"));
        };
        let port = listener.local_addr().unwrap().port();
        let mut visitor = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        visitor.write_all(b"hello").unwrap();
        let (accepted, from) = listener.accept().unwrap();
        let waits = TcpStream::connect(listener.local_addr().unwrap()).unwrap();

        // The same numbers may be in use elsewhere, or have been a moment ago.
        let theirs = [0, from.port(), waits.local_addr().unwrap().port()];
        let is_ours = |c: &Endpoint| {
            let ends = [(c.port, c.remote.port()), (c.remote.port(), c.port)];
            c.socket.state != OVER && ends.iter().any(|(a, b)| *a == port && theirs.contains(b))
        };
        let rows = |all: Vec<Endpoint>| {
            let mut rows: Vec<_> = all
                .into_iter()
                .filter(&is_ours)
                .map(|c| (c.port, c.remote, c.socket.unread, c.socket.state, c.socket.inode))
                .collect();
            rows.sort();
            rows
        };
        let told = rows(kernel::all(0).unwrap());
        assert_eq!(told, rows(tables()));
        assert_eq!(told.len(), 5, "{told:?}");
        assert_eq!(of_port(port).into_iter().filter(&is_ours).count(), 3);
        assert_eq!(unread(listener.local_addr().unwrap(), from), Some(5));
        assert_eq!(super::accepted(port), Some(1));
        let inode = |of_theirs: bool| {
            let of_port = of_port(port);
            let wanted = |c: &&Endpoint| (c.remote == from) == of_theirs && c.socket.inode != 0;
            of_port.iter().find(wanted).unwrap().socket.inode
        };
        assert_eq!(kind(inode(true)), Some(Kind::Connected(port, from)));
        assert_eq!(kind(inode(false)), Some(Kind::Listener(port)));
        drop(accepted);
        assert_eq!(super::accepted(port), Some(0));
    }
}
