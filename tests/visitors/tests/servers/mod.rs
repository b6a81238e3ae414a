//! Small servers for the visitors' own tests: each does one thing, right or wrong.

#![allow(dead_code, reason = "each test file is a program of its own, and uses some of these")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::libc;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, setsockopt, socket, sockopt,
};

/// A whole answer, with its length.
pub const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nfrom tests\n";

/// No test waits longer: paid only where something is wrong.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Serves each connection in a thread of its own, from the first byte on.
pub fn concurrent(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let serve = Arc::new(serve);
    each(move |stream| {
        let serve = Arc::clone(&serve);
        thread::spawn(move || serve(stream));
    })
}

/// Serves one connection after the other, to its end.
pub fn sequential(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    each(serve)
}

fn each(serve: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port of one's own");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
            stream.set_write_timeout(Some(PATIENCE)).expect("not zero");
            serve(stream);
        }
    });
    address
}

/// Reads up to the blank line, or to the end: what came, and how many reads it took.
pub fn read_request(stream: &mut TcpStream) -> (Vec<u8>, usize) {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    let mut reads = 0;
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => {
                reads += 1;
                request.extend_from_slice(&buffer[..count]);
            }
            _ => break,
        }
    }
    (request, reads)
}

/// As a good server does: the request up to its blank line, the answer, the end.
pub fn good(mut stream: TcpStream) {
    let (request, _) = read_request(&mut stream);
    if request.ends_with(b"\r\n\r\n") {
        // A visitor that has left is no concern of a good server.
        let _ = stream.write_all(ANSWER);
    }
}

/// Ends a connection by a reset.
pub fn reset(stream: TcpStream) {
    let now = libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(&stream, sockopt::Linger, &now).expect("an open socket");
}

/// An address where nobody listens, as long as the descriptor is kept: the port is taken, so that
/// no other test can come to listen there.
pub fn nobody() -> (SocketAddr, OwnedFd) {
    let socket =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).expect("a socket");
    bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).expect("a port");
    let bound: SockaddrIn = getsockname(socket.as_raw_fd()).expect("it is bound");
    let address = SocketAddr::from(([127, 0, 0, 1], bound.port()));
    (address, socket)
}
