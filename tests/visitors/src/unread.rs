//! How much of what was sent a program on this machine hasn't read yet.
//!
//! The kernel is asked for the one socket at the other end (sock_diag(7), Linux), which takes
//! microseconds. The table in /proc/net/tcp tells the same; reading it takes milliseconds.

use std::net::SocketAddr;
#[cfg(target_os = "linux")]
use std::net::SocketAddrV4;

use crate::doing;

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
        && let Ok(answer) = ask_kernel(here, there)
    {
        return answer;
    }
    doing::connections()
        .iter()
        .find(|c| c.local_port == here.port() && c.remote_port == there.port())
        .map(|c| c.socket)
}

/// `Ok(None)`: no such socket. An error: the kernel doesn't answer this kind of question.
#[cfg(target_os = "linux")]
fn ask_kernel(here: SocketAddrV4, there: SocketAddrV4) -> nix::Result<Option<Socket>> {
    use std::os::fd::AsRawFd;

    use nix::errno::Errno;
    use nix::libc;
    use nix::sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
    };

    /// `SOCK_DIAG_BY_FAMILY` in linux/sock_diag.h.
    const BY_FAMILY: u16 = 20;
    /// Lengths of `struct nlmsghdr` and `struct inet_diag_req_v2`, in bytes.
    const HEADER: usize = 16;
    const REQUEST: usize = 56;
    /// Where `idiag_rqueue` lies in `struct inet_diag_msg`: after four bytes (family, state, timer, retransmits), the socket's
    /// identity, a time. `idiag_wqueue` follows, the user, the inode.
    const UNREAD_AT: usize = HEADER + 4 + 48 + 4;

    let length = u32::try_from(HEADER + REQUEST).unwrap_or(u32::MAX);
    let mut question = Vec::with_capacity(HEADER + REQUEST);
    // struct nlmsghdr: length, type, flags, sequence, sender
    question.extend_from_slice(&length.to_ne_bytes());
    question.extend_from_slice(&BY_FAMILY.to_ne_bytes());
    question.extend_from_slice(&(libc::NLM_F_REQUEST as u16).to_ne_bytes());
    question.extend_from_slice(&[0; 8]);
    // struct inet_diag_req_v2: family, protocol, extensions, padding, states
    question.extend_from_slice(&[libc::AF_INET as u8, libc::IPPROTO_TCP as u8, 0, 0]);
    question.extend_from_slice(&u32::MAX.to_ne_bytes());
    // struct inet_diag_sockid: ports, addresses (16 bytes each), interface, and "no cookie"
    question.extend_from_slice(&here.port().to_be_bytes());
    question.extend_from_slice(&there.port().to_be_bytes());
    for address in [here.ip(), there.ip()] {
        question.extend_from_slice(&address.octets());
        question.extend_from_slice(&[0; 12]);
    }
    question.extend_from_slice(&[0; 4]);
    question.extend_from_slice(&[0xff; 8]);

    let kernel = socket(
        AddressFamily::Netlink,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )?;
    send(kernel.as_raw_fd(), &question, MsgFlags::empty())?;
    let mut answer = [0; 1024];
    let count = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    let answer = &answer[..count];
    let number = |at: usize| {
        let bytes = answer.get(at..at + 4)?;
        Some(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    let kind = answer.get(4..6).map(|bytes| u16::from_ne_bytes([bytes[0], bytes[1]]));
    if kind == Some(BY_FAMILY) {
        let socket = || {
            Some(Socket {
                unread: number(UNREAD_AT)?.into(),
                under_way: number(UNREAD_AT + 4)?.into(),
                state: *answer.get(HEADER + 1)?,
                timer: *answer.get(HEADER + 2)?,
                inode: number(UNREAD_AT + 12)?.into(),
            })
        };
        return Ok(socket());
    }
    // An error: its number follows the header, negative.
    match number(HEADER).map(|error| Errno::from_raw((error as i32).wrapping_neg())) {
        Some(Errno::ENOENT) => Ok(None),
        Some(error) => Err(error),
        None => Err(Errno::EBADMSG),
    }
}
