//! A listening socket, with all that those who come in by it inherit.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket,
    sockopt,
};

#[cfg(target_os = "linux")]
use crate::options;

/// How many the kernel keeps at the door. Linux takes no more than its
/// `net.core.somaxconn`, usually 4,096.
const BACKLOG: i32 = 4096;

/// Listens. `shared`: several sockets on the same port, of which the
/// kernel chooses one for each who comes (SO_REUSEPORT, socket(7)).
///
/// # Errors
/// When the address is taken, or can't be had.
pub fn listen_on(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket = socket(family, SockType::Stream, close_on_exec(), None)?;
    if address.is_ipv6() {
        // `[::]` is all addresses, IPv4's too, on every system.
        setsockopt(&socket, sockopt::Ipv6V6Only, &false)?;
    }
    // ANCHOR: listen
    // A server that is started again isn't kept out by what is left of
    // its last run.
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    if shared {
        setsockopt(&socket, sockopt::ReusePort, &true)?;
    }
    // An answer's last piece doesn't wait for the visitor to confirm
    // the one before.
    setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
    limit_unsent(&socket)?;
    accept_with_a_request(&socket)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&socket, Backlog::new(BACKLOG)?)?;
    Ok(TcpListener::from(socket))
    // ANCHOR_END: listen
}

/// Several listeners on one port.
///
/// # Errors
/// When the address is taken, or can't be had.
pub fn listen_together(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    if count == 1 {
        return Ok(vec![listen_on(address, false)?]);
    }
    // A shared port would be shared with somebody else's server too, if that shares.
    drop(listen_on(address, false)?);
    let first = listen_on(address, true)?;
    let address = first.local_addr()?;
    let others = (1..count).map(|_| listen_on(address, true));
    std::iter::once(Ok(first)).chain(others).collect()
}

/// With it the first read finds something: one wait less for each connection.
#[cfg(target_os = "linux")]
fn accept_with_a_request(socket: &std::os::fd::OwnedFd) -> io::Result<()> {
    Ok(setsockopt(socket, options::DeferAccept, &1)?)
}

// ANCHOR: unsent
/// So much may lie in a connection's send buffer that can't be sent yet,
/// in bytes. How much may be on its way is another thing: that depends
/// on the road, and the kernel knows.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 * 1024;

#[cfg(target_os = "linux")]
fn limit_unsent(socket: &std::os::fd::OwnedFd) -> io::Result<()> {
    Ok(setsockopt(socket, options::NotSentLowat, &UNSENT)?)
}
// ANCHOR_END: unsent

#[cfg(not(target_os = "linux"))]
fn limit_unsent(_: &std::os::fd::OwnedFd) -> io::Result<()> {
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn accept_with_a_request(_: &std::os::fd::OwnedFd) -> io::Result<()> {
    Ok(())
}

#[cfg(target_os = "linux")]
fn close_on_exec() -> SockFlag {
    SockFlag::SOCK_CLOEXEC
}

#[cfg(not(target_os = "linux"))]
fn close_on_exec() -> SockFlag {
    SockFlag::empty()
}
