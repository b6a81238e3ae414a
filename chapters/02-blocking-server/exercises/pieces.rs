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

// Until you have written your part, much is unused here. Take these lines out when you have.
#![allow(clippy::ptr_arg, dead_code, unreachable_code)]
#![allow(unused_imports, unused_mut, unused_variables)]

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
    todo!("give back the next whole request, and keep what came after it")
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
