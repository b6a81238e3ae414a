//! Chapter 2: a server that answers one visitor, then the next.
//!
//! Read `main` first, then `serve`. The story is told on the book's page `02-blocking-server`.
//! Lines that can wait say so, in a comment that begins `waits:`.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::exit;
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen as let_them_queue,
    setsockopt, socket, sockopt,
};

const HELP: &str = "ch02-blocking-server [ADDRESS]

Answers one visitor after the other with a small page (GET /large: with 8 MiB).
ADDRESS is 127.0.0.1:7002 where not given; port 0 means any free one.";

/// Longest accepted request, in bytes: a visitor must not fill our memory.
const LONGEST_REQUEST: usize = 8 * 1024;
/// What longer ones get (RFC 6585, section 5).
const TOO_LONG: &str = "431 Request Header Fields Too Large";
/// How many may wait in the kernel until we accept them.
const BACKLOG: i32 = 128;
/// How long a visitor that has its answer may take to hang up.
const GOODBYE: Duration = Duration::from_secs(1);

// ANCHOR: main
fn main() {
    let address = address_from_args();
    let listener = match listen(address) {
        Ok(listener) => listener,
        Err(error) => complain(1, &format!("can't listen on {address}: {error}")),
    };

    for number in 1.. {
        let accepted = listener.accept(); // waits: until somebody connects
        let outcome = accepted.and_then(|(visitor, from)| {
            log(number, &format!("connected from {from}"));
            serve(&visitor)
        });
        log(number, &outcome.unwrap_or_else(|error| format!("lost: {error}")));
    }
}
// ANCHOR_END: main

// ANCHOR: listen
/// A socket to which visitors can connect: four calls. None waits.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket = socket(family, SockType::Stream, SockFlag::empty(), None)?;
    // Without this the port stays taken for a minute after our end.
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    let_them_queue(&socket, Backlog::new(BACKLOG)?)?;
    let listener = TcpListener::from(socket);
    announce(&listener);
    Ok(listener)
}
// ANCHOR_END: listen

/// Says where it listens, for whoever has started us; or why it can't, and ends the program.
fn announce(listener: &TcpListener) {
    let address = listener.local_addr();
    let said = address.and_then(|address| writeln!(io::stdout(), "listening on {address}"));
    if let Err(error) = said {
        complain(1, &format!("can't tell where it listens: {error}"));
    }
}

// ANCHOR: serve
/// All that one visitor gets. What it does is an outcome; only a broken
/// connection is an error.
fn serve(mut visitor: &TcpStream) -> io::Result<String> {
    let (answer, outcome) = match read_request(visitor)? {
        Request::Whole(request) => (answer("200 OK", &page(&request)), "answered"),
        Request::TooLong => (answer(TOO_LONG, b""), "asked too much"),
        Request::HungUp(count) => return Ok(format!("hung up after {count} bytes")),
    };
    visitor.write_all(&answer)?; // waits: until the kernel has room for all of it
    say_goodbye(visitor)?;
    Ok(outcome.to_owned())
}
// ANCHOR_END: serve

// ANCHOR: read_request
/// How the reading of a request can end.
enum Request {
    Whole(Vec<u8>),
    TooLong,
    HungUp(usize),
}

/// Reads until the empty line that ends a request (RFC 9112, section
/// 2.1), in however many pieces it comes.
fn read_request(visitor: &TcpStream) -> io::Result<Request> {
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    loop {
        // waits: until the visitor sends, or hangs up
        let count = read_some(visitor, &mut piece)?;
        if count == 0 {
            break Ok(Request::HungUp(request.len()));
        }
        // The empty line may have begun in the piece before this one.
        let from = request.len().saturating_sub(3);
        request.extend_from_slice(&piece[..count]);
        let found = request[from..].windows(4).position(|four| four == b"\r\n\r\n");
        match found.map(|start| from + start + 4) {
            Some(length) if length <= LONGEST_REQUEST => break Ok(Request::Whole(request)),
            None if request.len() < LONGEST_REQUEST => {}
            _ => break Ok(Request::TooLong),
        }
    }
}
// ANCHOR_END: read_request

// ANCHOR: read_some
/// Reads what there is, as `read` does. A signal changes nothing.
fn read_some(mut visitor: &TcpStream, piece: &mut [u8]) -> io::Result<usize> {
    loop {
        match visitor.read(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => return result,
        }
    }
}
// ANCHOR_END: read_some

// ANCHOR: goodbye
/// Ends a conversation so that the answer arrives. Closing while bytes
/// of the visitor lie unread makes our kernel send a reset, and what is
/// on its way may be lost.
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
        // waits: until the visitor hangs up, at the most GOODBYE
        let read = read_some(visitor, &mut rest);
        if let Ok(0) | Err(_) = read {
            return Ok(());
        }
    }
}
// ANCHOR_END: goodbye

/// The page that every server in this book gives, or the large one.
fn page(request: &[u8]) -> Vec<u8> {
    let line = b"Good things come to those who wait.\n";
    match request.starts_with(b"GET /large ") {
        true => line.repeat((8_usize << 20).div_ceil(line.len())),
        false => [line, b"Served by chapter 2.\n".as_slice()].concat(),
    }
}

fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.0 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}");
    [head.as_bytes(), b"\r\n\r\n", body].concat()
}

/// One line an event. A closed stderr ends no server.
fn log(number: u64, event: &str) {
    // In one piece: stderr keeps nothing back, and would write each part by itself.
    let _ = io::stderr().write_all(format!("visitor {number}: {event}\n").as_bytes());
}

fn address_from_args() -> SocketAddr {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7002".to_owned());
    if address == "-h" || address == "--help" {
        let _ = writeln!(io::stdout(), "{HELP}");
        exit(0);
    }
    match address.parse() {
        Ok(address) if arguments.next().is_none() => address,
        _ => complain(2, "give one ADDRESS, such as 127.0.0.1:7002; see --help"),
    }
}

fn complain(status: i32, message: &str) -> ! {
    let _ = writeln!(io::stderr(), "ch02-blocking-server: {message}");
    exit(status)
}
