//! Exercise 01-head: read the head of an answer, and stop there.
//!
//! This program asks for a page, prints the head of the answer, and ends. A server may keep the
//! connection open after its answer, so "read until the end" can wait for ever: the end of the head
//! has to be found in the bytes.
//!
//! Run it:      cargo host holding      and, in a second terminal,
//!              cargo run -p ex01-blocking-read --bin ex01-head -- 127.0.0.1:7001
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

/// Longest head that is accepted, in bytes. A server that never sends the empty line must not fill our memory.
const LONGEST_HEAD: usize = 16 * 1024;
/// How long the server may say nothing, unless the second argument says otherwise, in milliseconds.
const PATIENCE: i64 = 60_000;

/// Reads from `socket` until the empty line that ends the head has come, and gives the head, up to
/// and including that line. What comes after it is not part of the head.
///
/// # Errors
/// - `ErrorKind::UnexpectedEof` when the server hangs up before the empty line,
/// - `ErrorKind::InvalidData` as soon as `LONGEST_HEAD` bytes have come and the empty line isn't among them,
/// - what `read` gives, save `EINTR`: a signal changes nothing.
fn read_head(socket: &OwnedFd) -> io::Result<Vec<u8>> {
    // your turn: read until the empty line has come, and give back the head alone
    todo!("read until the empty line has come, and give back the head alone")
    // end
}

fn main() -> ExitCode {
    let address = std::env::args().nth(1).and_then(|address| address.parse().ok());
    let patience = std::env::args().nth(2).map_or(Ok(PATIENCE), |number| number.parse());
    let (Some(address), Ok(patience)) = (address, patience) else {
        eprintln!(
            "ex01-head: give the server's address, such as 127.0.0.1:7001, and a patience in milliseconds if you like"
        );
        return ExitCode::from(2);
    };
    let head = ask(address, patience).and_then(|socket| read_head(&socket));
    match head.and_then(|head| io::stdout().write_all(&head)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ex01-head: {error} ({:?})", error.kind());
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
