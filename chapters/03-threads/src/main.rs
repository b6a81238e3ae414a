//! Chapter 3: a thread for each visitor, then a pool of them.
//!
//! Read `thread_for_each` and `pool` first; how one visitor is served has hardly changed since
//! chapter 2. The story is told on the book's page `03-threads`.
//! Lines that can wait say so, in a comment that begins `waits:`.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::exit;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const HELP: &str = "ch03-threads [ADDRESS] [--pool WORKERS]

Answers every visitor in a thread of its own, or, with --pool, in one of WORKERS threads.
GET /large is a page of 8 MiB, GET /panic a bug in the server.
ADDRESS is 127.0.0.1:7003 where not given; port 0 means any free one.";

/// Longest accepted request, in bytes: a visitor must not fill our memory.
const LONGEST_REQUEST: usize = 8 * 1024;
/// What longer ones get (RFC 6585, section 5).
const TOO_LONG: &str = "431 Request Header Fields Too Large";
/// How long a visitor that has its answer may take to hang up.
const GOODBYE: Duration = Duration::from_secs(1);
/// How many accepted visitors may wait for a worker. More of them wait in the kernel, unaccepted.
const QUEUE: usize = 16;
/// How long to let things calm down when the kernel has no descriptor or no thread left for us.
const PAUSE: Duration = Duration::from_millis(100);

fn main() {
    let (address, workers) = parse_args();
    let listener = match listen(address) {
        Ok(listener) => listener,
        Err(error) => complain(1, &format!("can't listen on {address}: {error}")),
    };
    match workers {
        None => thread_for_each(&listener),
        Some(workers) => pool(&listener, workers),
    }
}

// ANCHOR: accept
/// The next visitor, and its number.
fn accept(listener: &TcpListener, number: &mut u64) -> (u64, TcpStream) {
    loop {
        // waits: until somebody connects
        let accepted = listener.accept();
        match accepted {
            Ok((visitor, from)) => {
                *number += 1;
                log(*number, &format!("connected from {from}"));
                return (*number, visitor);
            }
            Err(error) => {
                // Out of descriptors, most likely. Trying again at once
                // would burn CPU time.
                log(*number + 1, &format!("not accepted: {error}"));
                thread::sleep(PAUSE);
            }
        }
    }
}
// ANCHOR_END: accept

// ANCHOR: thread_for_each
/// Somebody else waits: each visitor has a thread, and only that thread
/// waits for it.
fn thread_for_each(listener: &TcpListener) {
    let mut last = 0;
    loop {
        let (number, visitor) = accept(listener, &mut last);
        let thread = thread::Builder::new().spawn(move || attend(number, &visitor));
        if let Err(error) = thread {
            log(number, &format!("sent away, no thread for it: {error}"));
        }
    }
}
// ANCHOR_END: thread_for_each

// ANCHOR: pool
/// So many threads and no more. Who comes when all are busy waits in a
/// queue, which has an end too.
fn pool(listener: &TcpListener, workers: usize) {
    let (queue, arrivals) = sync_channel(QUEUE);
    let arrivals = Arc::new(Mutex::new(arrivals));
    for _ in 0..workers {
        let arrivals = Arc::clone(&arrivals);
        let worker = thread::Builder::new().spawn(move || work(&arrivals));
        worker.unwrap_or_else(|error| {
            complain(1, &format!("can't start {workers} workers: {error}"))
        });
    }
    let mut last = 0;
    loop {
        let visitor = accept(listener, &mut last);
        // waits: until there is room in the queue
        let sent = queue.send(visitor);
        if sent.is_err() {
            return; // no worker is left
        }
    }
}

/// One worker's life.
fn work(arrivals: &Mutex<Receiver<(u64, TcpStream)>>) {
    loop {
        // waits: until no other worker stands at the queue
        let Ok(queue) = arrivals.lock() else { return };
        // waits: until there is a visitor in it
        let next = queue.recv();
        // Without this, nobody else could take a visitor while this one
        // is served.
        drop(queue);
        let Ok((number, visitor)) = next else { return };
        attend(number, &visitor);
    }
}
// ANCHOR_END: pool

// ANCHOR: attend
/// Serves one visitor, and says what came of it. A bug met on the way
/// loses this visitor, not the thread.
fn attend(number: u64, visitor: &TcpStream) {
    let outcome = catch_unwind(AssertUnwindSafe(|| serve(visitor)));
    match outcome {
        Ok(Ok(outcome)) => log(number, &outcome),
        Ok(Err(error)) => log(number, &format!("lost: {error}")),
        Err(_) => log(number, "lost: a bug of ours, see above"),
    }
}
// ANCHOR_END: attend

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    // socket, setsockopt, bind and listen, as in chapter 2
    let listener = TcpListener::bind(address)?;
    announce(&listener);
    Ok(listener)
}

/// Says where it listens, for whoever has started us; or why it can't, and ends the program.
fn announce(listener: &TcpListener) {
    let address = listener.local_addr();
    let said = address.and_then(|address| writeln!(io::stdout(), "listening on {address}"));
    if let Err(error) = said {
        complain(1, &format!("can't tell where it listens: {error}"));
    }
}

/// All that one visitor gets. What it does is an outcome; only a broken connection is
/// an error.
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

/// How the reading of a request can end.
enum Request {
    Whole(Vec<u8>),
    TooLong,
    HungUp(usize),
}

/// Reads until the empty line that ends a request (RFC 9112, section 2.1), in however
/// many pieces it comes.
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

/// Reads what there is, as `read` does. A signal in between changes nothing.
fn read_some(mut visitor: &TcpStream, piece: &mut [u8]) -> io::Result<usize> {
    loop {
        match visitor.read(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => return result,
        }
    }
}

/// Ends a conversation so that the answer arrives. Closing while bytes of the visitor
/// lie unread makes our kernel send a reset, and what is on its way may be lost.
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

/// The page that every server in this book gives, or the large one.
fn page(request: &[u8]) -> Vec<u8> {
    let line = b"Good things come to those who wait.\n";
    match request.split(|byte| *byte == b' ').nth(1) {
        Some(b"/large") => line.repeat((8_usize << 20).div_ceil(line.len())),
        Some(b"/panic") => panic!("a bug, for you to see what it does"),
        _ => [line, b"Served by chapter 3.\n".as_slice()].concat(),
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

fn parse_args() -> (SocketAddr, Option<usize>) {
    let mut address = SocketAddr::from(([127, 0, 0, 1], 7003));
    let mut workers = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-h" | "--help" => {
                let _ = writeln!(io::stdout(), "{HELP}");
                exit(0);
            }
            "--pool" => match arguments.next().map(|count| count.parse()) {
                Some(Ok(count @ 1..=10_000)) => workers = Some(count),
                _ => complain(2, "--pool needs a number of WORKERS, 1 to 10000; see --help"),
            },
            other => match other.parse() {
                Ok(parsed) => address = parsed,
                Err(_) => complain(2, "give an ADDRESS such as 127.0.0.1:7003; see --help"),
            },
        }
    }
    (address, workers)
}

fn complain(status: i32, message: &str) -> ! {
    let _ = writeln!(io::stderr(), "ch03-threads: {message}");
    exit(status)
}
