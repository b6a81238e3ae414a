//! Exercise 03-pool: so many threads and no more.
//!
//! This server has a fixed number of worker threads and one queue for accepted visitors. Whoever comes
//! when the queue is full waits in the kernel's backlog. The rules are on the book's page.
//!
//! Run it:      cargo run -p ex03-threads --bin ex03-pool      and, in a second terminal,
//!              cargo visit 127.0.0.1:7003 quick silent quick slow quick
//! Be graded:   cargo grade 3

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::exit;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How many accepted visitors may wait for a worker.
const QUEUE: usize = 4;
/// How long to let things calm down when the kernel has no descriptor left for us.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest accepted request, in bytes: a visitor must not fill our memory.
const LONGEST_REQUEST: usize = 8 * 1024;

/// Accepts visitors for ever, and has each of them served by `serve` in one of `workers` threads.
/// At most `QUEUE` visitors wait in the queue for a worker, and the first to come is the first to be
/// served. No visitor ends more than its own visit, whatever it does and whatever happens to it.
/// An `accept` that fails is tried again after `PAUSE`.
///
/// # Errors
/// When one of the threads can't be started.
fn pool(listener: &TcpListener, workers: usize) -> io::Result<()> {
    // your turn: start the workers, and hand them each visitor through a queue that has an end
    // hint: `std::sync::mpsc::sync_channel(QUEUE)` is a queue that holds at most QUEUE: `send` waits
    //   while it is full. That is all that "bounded" takes: your loop won't accept the next visitor.
    // hint: A `Receiver` has one owner. For several workers, put it into `Arc<Mutex<…>>` and give each
    //   thread a clone of the Arc. A worker's life is: lock, `recv`, unlock, serve, and again.
    // hint: Unlock before you serve! In `while let Ok(v) = queue.lock().unwrap().recv() { serve(v) }` the
    //   lock lives until the end of the loop's body, so one worker serves while all others wait for it.
    //   Take the visitor out in a statement of its own.
    // hint: A panic ends the thread in which it happens. `catch_unwind(AssertUnwindSafe(|| serve(&visitor)))`
    //   ends it there, and the worker goes on with the next visitor.
    // hint: Nearly the answer:
    //       let (queue, arrivals) = sync_channel::<TcpStream>(QUEUE);
    //       let arrivals = Arc::new(Mutex::new(arrivals));
    //       for _ in 0..workers {
    //           let arrivals = Arc::clone(&arrivals);
    //           thread::Builder::new().spawn(move || loop {
    //               let next = …;        // lock and recv; the lock ends with this statement
    //               … serve it inside catch_unwind …
    //           })?;
    //       }
    //       loop { … accept, and queue.send(visitor); if it fails, sleep for PAUSE … }
    fn work(arrivals: &Mutex<Receiver<TcpStream>>) {
        loop {
            // waits: until no other worker stands at the queue
            let Ok(queue) = arrivals.lock() else { return };
            let next = queue.recv(); // waits: until there is a visitor in it
            drop(queue);
            let Ok(visitor) = next else { return };
            // What came of it is said in `serve`; what is caught here has been printed already.
            let _ = catch_unwind(AssertUnwindSafe(|| serve(&visitor)));
        }
    }

    let (queue, arrivals) = sync_channel(QUEUE);
    let arrivals = Arc::new(Mutex::new(arrivals));
    for _ in 0..workers {
        let arrivals = Arc::clone(&arrivals);
        thread::Builder::new().spawn(move || work(&arrivals))?;
    }
    loop {
        let accepted = listener.accept(); // waits: until somebody connects
        let Ok((visitor, _)) = accepted else {
            thread::sleep(PAUSE);
            continue;
        };
        // waits: until there is room in the queue
        if queue.send(visitor).is_err() {
            return Ok(());
        }
    }
    // end
}

/// Answers one visitor. `GET /panic` is a bug. (Without chapter 2's goodbye: whoever sends more than a
/// request may miss the answer.)
fn serve(mut visitor: &TcpStream) {
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    while !request.windows(4).any(|four| four == b"\r\n\r\n") {
        if request.len() >= LONGEST_REQUEST {
            return log("asked too much");
        }
        // waits: until the visitor sends, or hangs up
        match visitor.read(&mut piece) {
            Ok(count) if count > 0 => request.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => return log("hung up"),
        }
    }
    assert!(!request.starts_with(b"GET /panic "), "a bug, for you to see what it does");
    let body = "Good things come to those who wait.\n";
    let answer = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    match visitor.write_all(answer.as_bytes()) {
        Ok(()) => log("answered"),
        Err(error) => log(&format!("lost: {error}")),
    }
}

fn main() -> io::Result<()> {
    let listener = listen(7003)?;
    let workers = match std::env::args().nth(2).map(|number| number.parse()) {
        None => 4,
        Some(Ok(number @ 1..=1000)) => number,
        Some(_) => {
            eprintln!("ex03-pool: the second argument is a number of workers, 1 to 1000");
            exit(2);
        }
    };
    pool(&listener, workers)
}

/// One line an event. A closed stderr ends no server.
fn log(event: &str) {
    // In one piece: stderr keeps nothing back, and would write each part by itself.
    let _ = io::stderr().write_all(format!("a visitor {event}\n").as_bytes());
}

/// The server's socket: on the address given, or on 127.0.0.1 and `port`.
fn listen(port: u16) -> io::Result<TcpListener> {
    let address = match std::env::args().nth(1).map(|address| address.parse()) {
        None => SocketAddr::from(([127, 0, 0, 1], port)),
        Some(Ok(address)) => address,
        Some(Err(_)) => {
            eprintln!("ex03-pool: give an ADDRESS such as 127.0.0.1:{port}");
            exit(2);
        }
    };
    let listener = TcpListener::bind(address).unwrap_or_else(|error| {
        eprintln!(
            "ex03-pool: can't listen on {address}: {error}; is another server still running there?"
        );
        exit(1);
    });
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    Ok(listener)
}
