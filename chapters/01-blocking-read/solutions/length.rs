//! Exercise 01-length: read as much of an answer as its head promises.
//!
//! This program asks for a page, prints the body of the answer, and ends. The server may keep the
//! connection open, so the head's field `Content-Length` has to tell how long the body is. Where the
//! head gives no length, the body ends where the connection ends (RFC 9112, section 6.3).
//!
//! Run it:      cargo host holding      and, in a second terminal,
//!              cargo run -p ex01-blocking-read --bin ex01-length -- 127.0.0.1:7001
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
    // hint: Two stages share one buffer. First read until the empty line, as in 01-head. What has come
    //   after it is the beginning of the body already: keep it.
    // hint: The head's lines are separated by \r\n. In each, what stands before the first `:` is the
    //   field's name. `eq_ignore_ascii_case` compares names, `trim_matches` takes blanks off the value. `parse`
    //   takes a number with a plus sign too, so look whether there are digits alone.
    // hint: Read on until the body has as many bytes as promised. More than that isn't yours: it may be
    //   the beginning of the next answer, so cut it off. Less than that and then the end is an error,
    //   except where no length was given: there the end is just the end.
    // hint: And mind LONGEST_ANSWER, which counts the head too: an answer whose length says that it will be
    //   longer is an error before its body is read, and one without a length when more has come.
    // hint: Nearly the answer:
    //       let start = loop { …position of \r\n\r\n, plus 4; else read more… };
    //       let length: Option<usize> = …;
    //       let end = length.map(|length| …start and length, if that isn't too much…);
    //       loop {
    //           match end {
    //               Some(end) if came.len() >= end => return Ok(came[start..end].to_vec()),
    //               None if came.len() > LONGEST_ANSWER => return Err(…),
    //               _ => {}
    //           }
    //           match read_some(socket)? {
    //               Came::Piece(piece) => came.extend(piece),
    //               Came::End if end.is_none() => return Ok(…),
    //               Came::End => …
    //           }
    //       }
    fn invalid(what: &str) -> io::Error {
        io::Error::new(ErrorKind::InvalidData, what)
    }

    /// The value of the head's field `Content-Length`, if it has one.
    fn content_length(head: &[u8]) -> io::Result<Option<usize>> {
        let mut length = None;
        for line in String::from_utf8_lossy(head).split("\r\n") {
            let Some((name, value)) = line.split_once(':') else { continue };
            if !name.eq_ignore_ascii_case("content-length") {
                continue;
            }
            let value = value.trim_matches([' ', '\t']);
            // `parse` alone would take a plus sign.
            let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
            let number = value.parse().ok().filter(|_| is_number);
            let number = number.ok_or_else(|| invalid("the length is no number"))?;
            if length.is_some_and(|before| before != number) {
                return Err(invalid("there are two lengths, and they differ"));
            }
            length = Some(number);
        }
        Ok(length)
    }

    let mut came = Vec::new();
    let mut seen = 0;
    let start = loop {
        if let Some(at) = came[seen..].windows(4).position(|four| four == b"\r\n\r\n") {
            break seen + at + 4;
        }
        if came.len() >= LONGEST_ANSWER {
            return Err(invalid("the head is too long"));
        }
        // The empty line may begin in what is there already.
        seen = came.len().saturating_sub(3);
        match read_some(socket)? {
            Came::Piece(piece) => came.extend(piece),
            Came::End => return Err(ErrorKind::UnexpectedEof.into()),
        }
    };
    let length = content_length(&came[..start])?;
    let end = length.map(|length| start.saturating_add(length));
    if end.is_some_and(|end| end > LONGEST_ANSWER) {
        return Err(invalid("the answer is going to be too long"));
    }
    loop {
        match end {
            Some(end) if came.len() >= end => return Ok(came[start..end].to_vec()),
            None if came.len() > LONGEST_ANSWER => return Err(invalid("the answer is too long")),
            _ => {}
        }
        match read_some(socket)? {
            Came::Piece(piece) => came.extend(piece),
            Came::End if end.is_none() => return Ok(came.split_off(start)),
            Came::End => return Err(ErrorKind::UnexpectedEof.into()),
        }
    }
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
