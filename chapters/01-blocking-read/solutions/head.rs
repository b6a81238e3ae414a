//! Exercise 01-head: read the head of an answer, and stop there.
//!
//! This program asks for a page, prints the head of the answer, and ends. A server may keep the
//! connection open after its answer, so "read until the end" can wait for ever: the end of the head
//! has to be found in the bytes.
//!
//! Run it:      cargo host holding      and, in a second terminal,
//!              cargo run -p ex01-blocking-read --bin ex01-head -- 127.0.0.1:7001
//! Be graded:   cargo grade 1

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
    // hint: One `read` gives what has come so far: perhaps a byte, perhaps everything. Nobody promises
    //   that it is the head. So there must be a loop, and a place outside of it that keeps what came.
    // hint: After each `read`, look for the four bytes \r\n\r\n in all that has come, not in the last
    //   piece alone: the server may well have sent \r\n\r in one piece and \n in the next.
    // hint: `read` giving 0 means that the server has hung up and nothing will ever come again. Without
    //   a branch for it your loop turns for ever. It is an error here: the head isn't whole.
    // hint: Two things besides. A signal may interrupt `read`: it fails with EINTR, and you ask again. And
    //   a head is at most LONGEST_HEAD bytes, its empty line included: more is an error, so that a
    //   server can't fill your memory.
    // hint: Nearly the answer:
    //       let mut came = Vec::new();
    //       let mut piece = [0; 1024];
    //       loop {
    //           let end = came.windows(4).position(|four| four == b"\r\n\r\n");
    //           match end.map(|start| start + 4) {
    //               Some(end) if end <= LONGEST_HEAD => … cut off what comes after, and return it
    //               None if came.len() < LONGEST_HEAD => {}
    //               _ => … an error
    //           }
    //           match read(socket, &mut piece) {
    //               Err(Errno::EINTR) => continue,
    //               … 0 is an error, any other count is added to `came`
    //           }
    //       }
    let mut came = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let end = came.windows(4).position(|four| four == b"\r\n\r\n");
        match end.map(|start| start + 4) {
            Some(end) if end <= LONGEST_HEAD => {
                came.truncate(end);
                return Ok(came);
            }
            None if came.len() < LONGEST_HEAD => {}
            _ => return Err(io::Error::new(ErrorKind::InvalidData, "the head is too long")),
        }
        // waits: until the server sends, or hangs up
        match read(socket, &mut piece) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => came.extend_from_slice(&piece[..count]),
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        }
    }
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
