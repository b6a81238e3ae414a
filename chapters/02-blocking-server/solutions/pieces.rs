//! Exercise 02-pieces: answer each request of a connection, whatever pieces it comes in.
//!
//! A visitor may send several requests on one connection, and needn't wait for an answer before it
//! sends the next (RFC 9112, section 9.3.2: pipelining). So one `read` may bring half a request, or
//! two and a half. This server answers each of them, in order, with its number and the request's own
//! bytes, until the visitor hangs up. Then it serves the next visitor.
//!
//! Run it:      cargo run -p ex02-blocking-server --bin ex02-pieces      and, in a second terminal,
//!              cargo visit 127.0.0.1:7002 quick slow rude quick
//! Be graded:   cargo grade 2

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::exit;
use std::time::{Duration, Instant};

/// Longest accepted request, in bytes, its empty line included: a visitor must not fill our memory.
const LONGEST_REQUEST: usize = 8 * 1024;
/// How long a visitor that has its answers may take to hang up.
const GOODBYE: Duration = Duration::from_secs(1);

/// What comes next from a visitor.
enum Next {
    /// A whole request, up to and with its empty line.
    Request(Vec<u8>),
    /// A request that is longer than `LONGEST_REQUEST`, or will be: so many bytes have come without an empty line.
    TooLong,
    /// The visitor has hung up, after so many bytes of a request that isn't whole.
    HungUp(usize),
}

/// Reads until the next request is whole. `kept` belongs to this visitor and is empty at first:
/// whatever came of later requests stays in it for the next call.
///
/// # Errors
/// What `read_some` gives: the connection was reset.
fn next_request(visitor: &TcpStream, kept: &mut Vec<u8>) -> io::Result<Next> {
    // your turn: give back the next whole request, and keep what came after it
    // hint: Add each piece to `kept` (`extend_from_slice`) and look for \r\n\r\n in all of it: the four
    //   bytes may lie across two pieces. If they aren't there yet, read again.
    // hint: Look before you read: `kept` may hold a whole request already, left from the last call. If
    //   you `read` first, you wait for bytes that the visitor has sent long ago.
    // hint: Once they are there, `kept.drain(..end).collect()` takes the request out and leaves the rest.
    //   The limit counts the empty line too, and applies to a request that is whole as well.
    // hint: Nearly the answer:
    //       loop {
    //           let end = kept.windows(4).position(…).map(|start| start + 4);
    //           match end {
    //               Some(end) if end <= LONGEST_REQUEST => return Ok(Next::Request(…)),
    //               None if kept.len() < LONGEST_REQUEST => {}
    //               _ => return Ok(Next::TooLong),
    //           }
    //           …read a piece; 0 is Next::HungUp(kept.len()); add it to `kept`…
    //       }
    let mut piece = [0; 1024];
    let mut seen = 0;
    loop {
        let end = kept[seen..].windows(4).position(|four| four == b"\r\n\r\n");
        match end.map(|start| seen + start + 4) {
            Some(end) if end <= LONGEST_REQUEST => {
                return Ok(Next::Request(kept.drain(..end).collect()));
            }
            None if kept.len() < LONGEST_REQUEST => {}
            _ => return Ok(Next::TooLong),
        }
        // The empty line may begin in what is there already.
        seen = kept.len().saturating_sub(3);
        // waits: until the visitor sends, or hangs up
        let count = read_some(visitor, &mut piece)?;
        if count == 0 {
            return Ok(Next::HungUp(kept.len()));
        }
        kept.extend_from_slice(&piece[..count]);
    }
    // end
}

fn main() -> io::Result<()> {
    let listener = listen(7002)?;
    for number in 1.. {
        let accepted = listener.accept(); // waits: until somebody connects
        let Ok((visitor, _)) = accepted else { continue };
        let outcome = serve(&visitor);
        log(number, &outcome.unwrap_or_else(|error| format!("lost: {error}")));
    }
    Ok(())
}

/// Answers a visitor's requests until it hangs up. Each answer has its number, and then the whole request.
fn serve(mut visitor: &TcpStream) -> io::Result<String> {
    let mut kept = Vec::new();
    for number in 1.. {
        match next_request(visitor, &mut kept)? {
            Next::Request(request) => {
                let body = [format!("{number}: ").as_bytes(), &request].concat();
                visitor.write_all(&answer("200 OK", &body))?;
            }
            Next::TooLong => {
                visitor.write_all(&answer("431 Request Header Fields Too Large", b""))?;
                say_goodbye(visitor)?;
                return Ok(format!("asked too much in request {number}"));
            }
            Next::HungUp(0) => return Ok(format!("answered {} times", number - 1)),
            Next::HungUp(count) => {
                return Ok(format!("hung up after {count} bytes of request {number}"));
            }
        }
    }
    Ok(String::new())
}

/// Reads what there is, as `read` does. A signal in between changes nothing.
fn read_some(mut visitor: &TcpStream, piece: &mut [u8]) -> io::Result<usize> {
    loop {
        match visitor.read(piece) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => return result,
        }
    }
}

/// Ends a conversation so that the answer arrives: see chapter 2, "The answer that is eaten".
fn say_goodbye(visitor: &TcpStream) -> io::Result<()> {
    visitor.shutdown(Shutdown::Write)?;
    let deadline = Instant::now() + GOODBYE;
    let mut rest = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        visitor.set_read_timeout(Some(left))?;
        match read_some(visitor, &mut rest) {
            Ok(0) | Err(_) => return Ok(()),
            Ok(_) => {}
        }
    }
}

fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}");
    [head.as_bytes(), b"\r\n\r\n", body].concat()
}

/// One line an event. A closed stderr ends no server.
fn log(number: u64, event: &str) {
    // In one piece: stderr keeps nothing back, and would write each part by itself.
    let _ = io::stderr().write_all(format!("visitor {number}: {event}\n").as_bytes());
}

/// The server's socket: on the address given, or on 127.0.0.1 and `port`.
fn listen(port: u16) -> io::Result<TcpListener> {
    let address = match std::env::args().nth(1).map(|address| address.parse()) {
        None => SocketAddr::from(([127, 0, 0, 1], port)),
        Some(Ok(address)) => address,
        Some(Err(_)) => {
            eprintln!("ex02-pieces: give an ADDRESS such as 127.0.0.1:{port}");
            exit(2);
        }
    };
    let listener = TcpListener::bind(address).unwrap_or_else(|error| {
        eprintln!("ex02-pieces: can't listen on {address}: {error}; is another server still running there?");
        exit(1);
    });
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    Ok(listener)
}
