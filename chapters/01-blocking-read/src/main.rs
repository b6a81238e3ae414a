//! Chapter 1: an HTTP client from the system calls up, and where it waits.
//!
//! Read `fetch` first: it is the whole conversation. The story is told on the book's page
//! `01-blocking-read`. Lines that can wait say so, in a comment that begins `waits:`.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect as connect_socket, socket,
};
use nix::unistd::{read, write};

const HELP: &str = "\
ch01-blocking-read [HOST[:PORT]] [PATH]

Fetches a page over HTTP/1.0, with the system calls that it takes, one by one.
The page goes to stdout; stderr tells what is waited for, and how long.
HOST is a name or an address (IPv4, IPv6), PORT 80 where not given, PATH `/`.
Without arguments it asks 127.0.0.1:7001.";

/// The longest answer that is kept, in bytes: a server must not fill our memory.
const LONGEST_ANSWER: usize = 64 << 20;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (host, path) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["-h" | "--help"] => {
            let _ = writeln!(io::stdout(), "{HELP}");
            return ExitCode::SUCCESS;
        }
        [] => ("127.0.0.1:7001", "/"),
        [host] if !host.starts_with('-') => (host, "/"),
        [host, path] if !host.starts_with('-') && path.starts_with('/') => (host, path),
        _ => return complain(2, "give a HOST[:PORT], and a PATH that begins with /; see --help"),
    };
    match fetch(host, path) {
        Ok(answer) => match io::stdout().write_all(&answer) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(1, &format!("can't write to stdout: {error}")),
        },
        Err(error) => complain(1, &format!("{host}: {error}")),
    }
}

fn complain(status: u8, message: &str) -> ExitCode {
    eprintln!("ch01-blocking-read: {message}");
    ExitCode::from(status)
}

// ANCHOR: fetch
/// Connects, asks, and reads until the server has hung up.
fn fetch(host: &str, path: &str) -> io::Result<Vec<u8>> {
    let socket = connect_to_any(&addresses_of(host)?)?;

    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n");
    send_all(&socket, request.as_bytes())?;

    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        // ANCHOR: the_line
        // waits: until the server sends, or hangs up
        let count = timed("read", || read(&socket, &mut piece))?;
        // ANCHOR_END: the_line
        if count == 0 {
            return Ok(answer);
        }
        answer.extend_from_slice(&piece[..count]);
        if answer.len() > LONGEST_ANSWER {
            return Err(io::Error::other("the answer is longer than 64 MiB"));
        }
    }
}
// ANCHOR_END: fetch

// ANCHOR: send
/// Hands the kernel all of `bytes`. It may take fewer at a time.
fn send_all(socket: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        // waits: until the kernel has room for some
        let count = timed("write", || write(socket, bytes))?;
        bytes = &bytes[count..];
    }
    Ok(())
}
// ANCHOR_END: send

// ANCHOR: connect
/// A socket connected to the first of `addresses` that accepts.
fn connect_to_any(addresses: &[SocketAddr]) -> io::Result<OwnedFd> {
    let mut failure = io::Error::other("the name has no address");
    for address in addresses {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::Inet,
            SocketAddr::V6(_) => AddressFamily::Inet6,
        };
        let socket = match socket(family, SockType::Stream, SockFlag::empty(), None) {
            Ok(socket) => socket,
            // No IPv6 here, say: the next may be of the other kind.
            Err(error) => {
                failure = error.into();
                continue;
            }
        };
        let there = SockaddrStorage::from(*address);
        // waits: until the server's kernel has answered
        let connected = timed(&format!("connect {address}"), || {
            match connect_socket(socket.as_raw_fd(), &there) {
                // A signal came, and meanwhile it went through.
                Err(Errno::EISCONN) => Ok(0),
                result => result.map(|()| 0),
            }
        });
        match connected {
            Ok(_) => return Ok(socket),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}
// ANCHOR_END: connect

/// The addresses of `HOST` or `HOST:PORT`. An IPv6 address with a port stands in brackets: `[::1]:7001`.
fn addresses_of(host: &str) -> io::Result<Vec<SocketAddr>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, 80)]);
    }
    if let Ok(address) = host.parse::<SocketAddr>() {
        return Ok(vec![address]);
    }
    let with_port = match host.contains(':') {
        true => host.to_owned(),
        false => format!("{host}:80"),
    };
    eprint!("look up {with_port} … ");
    let began = Instant::now();
    // waits: for a name server, if HOST is a name
    let found = with_port.to_socket_addrs().map(Iterator::collect::<Vec<_>>);
    let waited = began.elapsed().as_secs_f64() * 1e3;
    eprintln!("returned {} after {waited:.1} ms", found.as_ref().map_or(0, Vec::len));
    found
}

// ANCHOR: timed
/// Says that a call is about to be made, makes it, and says how long
/// it took.
fn timed<F>(what: &str, mut call: F) -> io::Result<usize>
where
    F: FnMut() -> nix::Result<usize>,
{
    eprint!("{what} … ");
    let began = Instant::now();
    let result = loop {
        match call() {
            // A signal came. That is no answer: ask again.
            Err(Errno::EINTR) => continue,
            result => break result,
        }
    };
    let waited = began.elapsed().as_secs_f64() * 1e3;
    match result {
        Ok(value) => eprintln!("returned {value} after {waited:.1} ms"),
        Err(error) => eprintln!("failed after {waited:.1} ms: {}", error.desc()),
    }
    Ok(result?)
}
// ANCHOR_END: timed
