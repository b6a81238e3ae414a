//! Exercise 01-length: read as much of an answer as its head promises.
//!
//! This program asks for a page and prints the body alone: as many bytes as `Content-Length`
//! says, although the server keeps the connection open. Where the head gives no length, the body
//! ends where the connection ends (RFC 9112, section 6.3).
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
/// How long the server may say nothing, in seconds.
const PATIENCE: i64 = 60;

/// What [`read_some`] tells.
enum Came {
    /// A piece of the answer.
    Piece(Vec<u8>),
    /// The server has hung up: nothing will ever come again.
    End,
}

/// Reads the answer from `socket` and gives its body: as many bytes as the head's `Content-Length`
/// says, or, where it says nothing, all until the server hangs up.
///
/// The name of a header field is the same in capitals and small letters (RFC 9110, section 5.1),
/// and its value may stand between spaces.
///
/// # Errors
/// - `ErrorKind::UnexpectedEof` when the server hangs up before the head or the promised body is whole,
/// - `ErrorKind::InvalidData` when the length is no number, or the answer longer than `LONGEST_ANSWER`,
/// - what `read_some` gives.
fn read_body(socket: &OwnedFd) -> io::Result<Vec<u8>> {
    // your turn: read the head, find out how long the body is, and read that much of it
    // hint: Two stages share one buffer. First read until the empty line, as in 01-head. What has come
    //   after it is the beginning of the body already: keep it.
    // hint: The head's lines are separated by \r\n. In each, what stands before the first `:` is the
    //   field's name. `eq_ignore_ascii_case` compares names, `trim` takes the spaces off the value.
    // hint: Read on until the body has as many bytes as promised. More than that isn't yours: it may be
    //   the beginning of the next answer, so cut it off. Less than that and then the end is an error,
    //   except where no length was given: there the end is just the end.
    // hint: And mind LONGEST_ANSWER, which counts the head too: a length that is larger, or an answer
    //   without a length that doesn't end by then, is an error.
    // hint: Nearly the answer:
    //       let start = loop { …position of \r\n\r\n, plus 4; else read more… };
    //       let length: Option<usize> = …;
    //       let mut body = came.split_off(start);
    //       loop {
    //           if let Some(length) = length && body.len() >= length {
    //               body.truncate(length);
    //               return Ok(body);
    //           }
    //           match read_some(socket)? {
    //               Came::Piece(piece) => body.extend(piece),
    //               Came::End if length.is_none() => return Ok(body),
    //               Came::End => …
    //           }
    //       }
    /// Adds the next piece to `came`.
    fn read_more(socket: &OwnedFd, came: &mut Vec<u8>) -> io::Result<()> {
        match read_some(socket)? {
            Came::Piece(piece) => came.extend_from_slice(&piece),
            Came::End => return Err(ErrorKind::UnexpectedEof.into()),
        }
        if came.len() > LONGEST_ANSWER {
            return Err(io::Error::new(ErrorKind::InvalidData, "the answer is too long"));
        }
        Ok(())
    }

    /// The value of the head's field `Content-Length`, if it has one.
    fn content_length(head: &[u8]) -> io::Result<Option<usize>> {
        for line in String::from_utf8_lossy(head).split("\r\n") {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                let length = value.trim().parse();
                let no_number =
                    |_| io::Error::new(ErrorKind::InvalidData, "the length is no number");
                return Ok(Some(length.map_err(no_number)?));
            }
        }
        Ok(None)
    }

    let mut came = Vec::new();
    let start = loop {
        if let Some(start) = came.windows(4).position(|four| four == b"\r\n\r\n") {
            break start + 4;
        }
        read_more(socket, &mut came)?;
    };
    let length = content_length(&came[..start])?;
    if length.is_some_and(|length| length > LONGEST_ANSWER.saturating_sub(start)) {
        return Err(io::Error::new(ErrorKind::InvalidData, "the answer is too long"));
    }
    let mut body = came.split_off(start);
    loop {
        match length {
            Some(length) if body.len() >= length => {
                body.truncate(length);
                return Ok(body);
            }
            Some(_) => read_more(socket, &mut body)?,
            None => match read_more(socket, &mut body) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(body),
                result => result?,
            },
        }
    }
    // end
}

/// Reads what there is. A signal in between changes nothing.
fn read_some(socket: &OwnedFd) -> io::Result<Came> {
    let mut piece = [0; 1024];
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
    let Some(address) = address else {
        eprintln!("ex01-length: give the server's address, such as 127.0.0.1:7001");
        return ExitCode::from(2);
    };
    let body = ask(address).and_then(|socket| read_body(&socket));
    match body.and_then(|body| io::stdout().write_all(&body)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ex01-length: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Connects, and sends a request after which the server may keep the connection open.
fn ask(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Stream, SockFlag::empty(), None)?;
    // A server that says nothing for this long is given up: `read` fails with EAGAIN then.
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(PATIENCE))?;
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
