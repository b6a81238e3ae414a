//! Exercise 02-patience: give each visitor two seconds, so that silence can't stop the shop for ever.
//!
//! This server serves one visitor after the other, like chapter 2's. But a visitor has only so long
//! to send its whole request. Whoever isn't done by then is told 408 (RFC 9110, section 15.5.9), and
//! the next one has its turn.
//!
//! Run it:      cargo run -p ex02-blocking-server --bin ex02-patience      and, in a second terminal,
//!              cargo visit 127.0.0.1:7002 silent quick slow quick
//! Be graded:   cargo grade 2

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::exit;
use std::time::{Duration, Instant};

/// How long a visitor may take to send its request, unless the second argument says otherwise, in milliseconds.
const PATIENCE: u64 = 2000;
/// Longest accepted request, in bytes: a visitor must not fill our memory.
const LONGEST_REQUEST: usize = 8 * 1024;
/// How long a visitor that has its answer may take to hang up.
const GOODBYE: Duration = Duration::from_secs(1);

/// How the reading of a request can end.
enum Request {
    /// Its empty line has come.
    Whole,
    /// It is longer than `LONGEST_REQUEST`, or will be: so many bytes have come without an empty line.
    TooLong,
    /// The visitor's time was over before the request was whole.
    TooSlow,
    /// The visitor has hung up, after so many bytes.
    HungUp(usize),
}

/// Reads until the empty line that ends a request, for `patience` in all and no longer. The time begins
/// with the call.
///
/// # Errors
/// What `read` gives, save for two: a signal (`ErrorKind::Interrupted`) changes nothing, and the end
/// of the time is no error but `Request::TooSlow`.
fn read_request(mut visitor: &TcpStream, patience: Duration) -> io::Result<Request> {
    // your turn: read until the empty line, but wait no longer than `patience` in all
    // hint: `visitor.set_read_timeout(Some(time))` asks the kernel to let `read` wait no longer than that.
    //   When the time is over, `read` fails with the kind `WouldBlock` (on some systems `TimedOut`).
    // hint: That time is for one `read`. A visitor that sends a byte just before it ends gets all of it
    //   again, and again. So note a deadline at the beginning, and before each `read` set the time that
    //   is left of it.
    // hint: When nothing is left, don't read: a time of zero is refused as an error. And with a time-out
    //   set, a `read` that a signal interrupts isn't begun again by the kernel: it fails with the kind
    //   `Interrupted`, which is no reason to give up.
    // hint: Nearly the answer:
    //       let deadline = Instant::now() + patience;
    //       loop {
    //           let left = deadline.saturating_duration_since(Instant::now());
    //           if left.is_zero() { return Ok(Request::TooSlow); }
    //           visitor.set_read_timeout(Some(left))?;
    //           match visitor.read(&mut piece) {
    //               Ok(0) => …
    //               Ok(count) => …
    //               Err(error) => match error.kind() {
    //                   ErrorKind::WouldBlock | ErrorKind::TimedOut => …
    //                   …
    //               },
    //           }
    //           … the empty line? too long?
    //       }
    let deadline = Instant::now() + patience;
    let mut request = Vec::new();
    let mut seen = 0;
    let mut piece = [0; 1024];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Request::TooSlow);
        }
        visitor.set_read_timeout(Some(left))?;
        // waits: until the visitor sends, or hangs up, or nothing is left of its time
        match visitor.read(&mut piece) {
            Ok(0) => return Ok(Request::HungUp(request.len())),
            Ok(count) => request.extend_from_slice(&piece[..count]),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => return Ok(Request::TooSlow),
                ErrorKind::Interrupted => continue,
                _ => return Err(error),
            },
        }
        let end = request[seen..].windows(4).position(|four| four == b"\r\n\r\n");
        match end.map(|start| seen + start + 4) {
            Some(end) if end <= LONGEST_REQUEST => return Ok(Request::Whole),
            None if request.len() < LONGEST_REQUEST => {}
            _ => return Ok(Request::TooLong),
        }
        // The empty line may begin in what is there already.
        seen = request.len().saturating_sub(3);
    }
    // end
}

fn main() -> io::Result<()> {
    let listener = listen(7002)?;
    let patience = Duration::from_millis(patience_from_args());
    for number in 1.. {
        let accepted = listener.accept(); // waits: until somebody connects
        let Ok((visitor, _)) = accepted else { continue };
        let outcome = serve(&visitor, patience);
        log(number, &outcome.unwrap_or_else(|error| format!("lost: {error}")));
    }
    Ok(())
}

/// Answers one visitor.
fn serve(mut visitor: &TcpStream, patience: Duration) -> io::Result<String> {
    let (answer, outcome) = match read_request(visitor, patience)? {
        Request::Whole => (answer("200 OK", "Good things come to those who wait.\n"), "answered"),
        Request::TooLong => (answer("431 Request Header Fields Too Large", ""), "asked too much"),
        Request::TooSlow => (answer("408 Request Timeout", ""), "took too long"),
        Request::HungUp(count) => return Ok(format!("hung up after {count} bytes")),
    };
    visitor.write_all(answer.as_bytes())?; // waits: until the kernel has room for all of it
    say_goodbye(visitor)?;
    Ok(outcome.to_owned())
}

/// Ends a conversation so that the answer arrives: see chapter 2, "The answer that is eaten".
fn say_goodbye(mut visitor: &TcpStream) -> io::Result<()> {
    visitor.shutdown(Shutdown::Write)?;
    let deadline = Instant::now() + GOODBYE;
    let mut rest = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        visitor.set_read_timeout(Some(left))?;
        match visitor.read(&mut rest) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return Ok(()),
            Ok(_) => {}
        }
    }
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"
    )
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
            eprintln!("ex02-patience: give an ADDRESS such as 127.0.0.1:{port}");
            exit(2);
        }
    };
    let listener = TcpListener::bind(address).unwrap_or_else(|error| {
        eprintln!("ex02-patience: can't listen on {address}: {error}; is another server still running there?");
        exit(1);
    });
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    Ok(listener)
}

/// The second argument, in milliseconds.
fn patience_from_args() -> u64 {
    match std::env::args().nth(2).map(|number| number.parse()) {
        None => PATIENCE,
        Some(Ok(milliseconds)) => milliseconds,
        Some(Err(_)) => {
            eprintln!("ex02-patience: the second argument is a number of milliseconds");
            exit(2);
        }
    }
}
