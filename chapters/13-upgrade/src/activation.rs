//! Socket activation: doors that whoever has started the program has opened for it, such as
//! systemd (sd_listen_fds(3)). They are descriptors, one behind the other, and each may have a name.

use std::env;
use std::net::{TcpListener, UdpSocket};

use listenfd::ListenFd;
use nix::sys::socket::{getsockopt, sockopt};

/// The variables that tell of them, and of what a descriptor for the process itself is called: they
/// are meant for this process, and not for one that takes its place.
pub const VARIABLES: [&str; 4] = ["LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", NAMES];
const NAMES: &str = "LISTEN_FDNAMES";
/// What systemd calls a door without a name.
const UNKNOWN: &str = "unknown";
/// The end of the name that it gives to a door, if nobody has given one: its unit's.
const UNIT: &str = ".socket";

/// A door.
#[derive(Debug)]
pub struct Door {
    pub name: Option<String>,
    pub socket: Socket,
}

/// What it's for. It may wait, until somebody tells it not to.
#[derive(Debug)]
pub enum Socket {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

/// All that this process was given. To be called once: they are given away.
///
/// # Errors
/// When one of them is something else, in one line.
pub fn doors() -> Result<Vec<Door>, String> {
    let mut given = ListenFd::from_env();
    let names = env::var_os(NAMES).unwrap_or_default().to_string_lossy().into_owned();
    let names = names.split(':').map(Some).chain(std::iter::repeat(None));
    (0..given.len())
        .zip(names)
        .map(|(at, name)| {
            let name = name.filter(|name| is_name(name)).map(str::to_owned);
            let number = at + 1;
            let strange = || format!("LISTEN_FDS: number {number} is no door for TCP or UDP");
            let socket = take(&mut given, at).ok_or_else(strange)?;
            Ok(Door { name, socket })
        })
        .collect()
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name != UNKNOWN && !name.ends_with(UNIT)
}

fn take(given: &mut ListenFd, at: usize) -> Option<Socket> {
    if let Ok(Some(listener)) = given.take_tcp_listener(at) {
        // Somebody who has come in by a door is a socket of TCP, too.
        let listens = getsockopt(&listener, sockopt::AcceptConn) == Ok(true);
        return listens.then_some(Socket::Tcp(listener));
    }
    given.take_udp_socket(at).ok().flatten().map(Socket::Udp)
}
