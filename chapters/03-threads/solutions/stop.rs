//! Exercise 03-stop: an orderly stop.
//!
//! Whoever runs a server stops it with SIGTERM: `kill PID`, a service manager, a shutdown. If a
//! program makes no arrangements, the kernel ends it on the spot, and whoever is being served is cut
//! off. This server takes no new visitors after SIGTERM, lets the present ones finish, and ends with
//! status 0. The rules are on the book's page.
//!
//! Run it:      cargo run -p ex03-threads --bin ex03-stop      and, in a second terminal,
//!              cargo visit 127.0.0.1:7003 silent --seconds 9   and, meanwhile, in a third one,
//!              pkill -TERM ex03-stop
//! Be graded:   cargo grade 3

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

/// Longest accepted request, in bytes: a visitor must not fill our memory.
const LONGEST_REQUEST: usize = 8 * 1024;
/// How long to let things calm down when the kernel has no descriptor left for us.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a visitor may say nothing: without a limit, a silent one keeps the server from stopping.
const PATIENCE: Duration = Duration::from_secs(10);

/// Has each visitor served by `serve`, in a thread of its own, until SIGTERM comes. From then on nobody
/// new can connect. Returns when the last of the present visitors has been served. A visitor for whom
/// there is no thread is sent away. An `accept` that fails is tried again after `PAUSE`, unless SIGTERM
/// has come meanwhile.
///
/// # Errors
/// When the signal can't be blocked, or the thread that waits for it can't be started.
fn serve_until_told(listener: TcpListener) -> io::Result<()> {
    // your turn: serve in threads until SIGTERM, then close the listener and wait for the visitors
    // hint: A signal needn't interrupt anybody: it can be waited for like a visitor. Block SIGTERM with
    //   `SigSet::thread_block` before any thread is started (threads inherit the mask), and start one
    //   thread that waits in `SigSet::wait`.
    // hint: That thread can set an `AtomicBool`. But `accept` doesn't look at it while it waits. Someone
    //   has to connect to wake it, and that can be the same thread: `TcpStream::connect` to the
    //   listener's own address. Set the flag first, then connect. Look at the flag after each `accept`,
    //   also after one that has failed. The visitors may have all descriptors: keep one back
    //   (`try_clone`), and close it right before you connect.
    // hint: `thread::scope` returns only when all threads started in it have ended: that is the waiting
    //   for the present visitors. Drop the listener before its end, inside the scope, or new visitors
    //   can still connect (to the kernel's backlog) and will never be served.
    // hint: Nearly the answer:
    //       static STOPPING: AtomicBool = AtomicBool::new(false);
    //       let mut told = SigSet::empty();
    //       told.add(Signal::SIGTERM);
    //       told.thread_block()?;
    //       let address = listener.local_addr()?;
    //       let spare = listener.try_clone()?;
    //       thread::Builder::new().spawn(move || { … wait, store, drop(spare), connect … })?;
    //       thread::scope(move |present| {
    //           loop { … accept; break if STOPPING; present.spawn(move || serve(&visitor)); … }
    //           drop(listener);
    //       });
    static STOPPING: AtomicBool = AtomicBool::new(false);
    let mut told = SigSet::empty();
    told.add(Signal::SIGTERM);
    told.thread_block()?;
    let address = listener.local_addr()?;
    // Gives its place to the connection below: visitors may have all the other descriptors.
    let spare = listener.try_clone()?;
    thread::Builder::new().spawn(move || {
        // It can only fail for a signal that doesn't exist.
        let _ = told.wait(); // waits: until SIGTERM is sent
        STOPPING.store(true, Ordering::SeqCst);
        drop(spare);
        // Wakes `accept`. If it fails, the listener is gone, and nobody sleeps in `accept`.
        let _ = TcpStream::connect(address);
    })?;
    thread::scope(move |present| {
        loop {
            let accepted = listener.accept(); // waits: until somebody connects
            if STOPPING.load(Ordering::SeqCst) {
                break;
            }
            match accepted {
                // If there is no thread to be had, this visitor is sent away, and nothing else.
                Ok((visitor, _)) => {
                    let serving = move || serve(&visitor);
                    drop(thread::Builder::new().spawn_scoped(present, serving));
                }
                Err(_) => thread::sleep(PAUSE),
            }
        }
        drop(listener);
    }); // waits: until the last of those threads has ended
    Ok(())
    // end
}

/// Answers one visitor. (Without chapter 2's goodbye: whoever sends more than a request may miss the answer.)
fn serve(mut visitor: &TcpStream) {
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    if visitor.set_read_timeout(Some(PATIENCE)).is_err() {
        return log("was gone at once");
    }
    while !request.windows(4).any(|four| four == b"\r\n\r\n") {
        if request.len() >= LONGEST_REQUEST {
            return log("asked too much");
        }
        // waits: until the visitor sends, or hangs up, or PATIENCE is over
        match visitor.read(&mut piece) {
            Ok(count) if count > 0 => request.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => return log("hung up, or was silent for too long"),
        }
    }
    let body = "Good things come to those who wait.\n";
    let answer = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    match visitor.write_all(answer.as_bytes()) {
        Ok(()) => log("was answered"),
        Err(error) => log(&format!("was lost: {error}")),
    }
}

fn main() -> io::Result<()> {
    let listener = listen(7003)?;
    serve_until_told(listener)
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
            eprintln!("ex03-stop: give an ADDRESS such as 127.0.0.1:{port}");
            exit(2);
        }
    };
    let listener = TcpListener::bind(address).unwrap_or_else(|error| {
        eprintln!(
            "ex03-stop: can't listen on {address}: {error}; is another server still running there?"
        );
        exit(1);
    });
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    Ok(listener)
}
