//! Exercise 01-length: read as much of an answer as its head promises.
//!
//! This program asks for a page, prints the body of the answer, and ends. The server may keep the
//! connection open, so the head's field `Content-Length` has to tell how long the body is. Where the
//! head gives no length, the body ends where the connection ends (RFC 9112, section 6.3).
//!
//! Run it:      cargo host holding      and, in a second terminal,
//!              cargo run -p ex01-blocking-read --bin ex01-length -- 127.0.0.1:7001
//! Be graded:   cargo grade 1

// Until you have written your part, much is unused here. Take these lines out when you have.
#![allow(clippy::ptr_arg, dead_code, unreachable_code)]
#![allow(unused_imports, unused_mut, unused_variables)]

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::{read, write};

/// Longest answer that is accepted, head and body, in bytes: a server must not fill our memory.
const LONGEST_ANSWER: usize = 1024 * 1024;
/// How long the server may say nothing, unless the second argument says otherwise, in milliseconds.
const PATIENCE: i64 = 60_000;

/// What [`read_some`] tells.
enum Came {
    /// A piece of the answer.
    Piece(Vec<u8>),
    /// The server has hung up: nothing will ever come again.
    End,
}

/// Reads the answer from `socket` and gives its body: as many bytes as the head's `Content-Length`
/// says, or, where the head has no such field, all until the server hangs up.
///
/// # Errors
/// - `ErrorKind::UnexpectedEof` when the server hangs up before the head or the promised body is whole,
/// - `ErrorKind::InvalidData` when the length is no number, when two lengths differ, and as soon as it's
///   plain that head and body together are longer than `LONGEST_ANSWER`,
/// - what `read_some` gives.
fn read_body(socket: &OwnedFd) -> io::Result<Vec<u8>> {
    // your turn: read the head, find out how long the body is, and read that much of it
    todo!("read the head, find out how long the body is, and read that much of it")
    // end
}

/// Reads what there is. A signal in between changes nothing.
fn read_some(socket: &OwnedFd) -> io::Result<Came> {
    let mut piece = [0; 16 * 1024];
    loop {
        // waits: until the server sends, or hangs up
        match read(socket, &mut piece) {
            Ok(0) => return Ok(Came::End),
            Ok(count) => return Ok(Came::Piece(piece[..count].to_vec())),
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        }
    }
}

fn main() -> ExitCode {
    let address = std::env::args().nth(1).and_then(|address| address.parse().ok());
    let patience = std::env::args().nth(2).map_or(Ok(PATIENCE), |number| number.parse());
    let (Some(address), Ok(patience)) = (address, patience) else {
        eprintln!(
            "ex01-length: give the server's address, such as 127.0.0.1:7001, and a patience in milliseconds if you like"
        );
        return ExitCode::from(2);
    };
    let body = ask(address, patience).and_then(|socket| read_body(&socket));
    match body.and_then(|body| io::stdout().write_all(&body)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ex01-length: {error} ({:?})", error.kind());
            ExitCode::FAILURE
        }
    }
}

/// Connects, and sends a request after which the server may keep the connection open.
fn ask(address: SocketAddr, patience: i64) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Stream, SockFlag::empty(), None)?;
    // A server that says nothing for this long is given up: `read` fails with EAGAIN then.
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(patience))?;
    // waits: until the server's kernel has answered
    connect(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let mut rest = request.as_bytes();
    while !rest.is_empty() {
        // waits: until the kernel has room for some
        match write(&socket, rest) {
            Err(Errno::EINTR) => continue,
            result => rest = &rest[result?..],
        }
    }
    Ok(socket)
}
