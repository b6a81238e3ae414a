//! Exercise 04-echo: an echo for everybody.
//!
//! Whatever a visitor sends is sent back to that visitor, at once. A server can hardly do less, so
//! nothing here distracts from the loop around it: one thread, many visitors, and one line that waits.
//! It is the loop of every program from here on. (`write_all` waits too, for a visitor that doesn't
//! read what comes back. Let it wait: chapter 6 is about that.) The rules are on the book's page.
//!
//! Run it:      cargo run -p ex04-select --bin ex04-echo      and, in two more terminals,
//!              nc 127.0.0.1 7004                             and type
//! Be graded:   cargo grade 4

// Until you have written your part, much is unused here. Take these lines out when you have.
#![allow(clippy::ptr_arg, dead_code, unreachable_code)]
#![allow(unused_imports, unused_mut, unused_variables)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::process::exit;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::select::{FD_SETSIZE, FdSet, select};

/// How much is read at a time, in bytes, at the most.
const PIECE: usize = 4096;

/// A visitor.
struct Visitor {
    number: u64,
    socket: TcpStream,
}

/// Sends back to each visitor what comes from it, for ever.
///
/// In each turn: waits in `select`; reads once from each visitor that is ready, and sends back what
/// came; forgets who has finished sending, and who was reset; lets in one visitor, if somebody is at
/// the door. Whoever gets a descriptor for which no set has room is hung up on. No visitor ends more
/// than its own visit, and a signal ends nothing. (An `accept` that fails for want of a descriptor is
/// no concern here: see [`raise_limit`].)
///
/// # Errors
/// When `select` fails for another reason than a signal.
fn echo_all(listener: &TcpListener) -> io::Result<()> {
    // your turn: the loop: fill the set, select, serve who is ready, let one in
    todo!("the loop: fill the set, select, serve who is ready, let one in")
    // end
}

fn main() -> io::Result<()> {
    let listener = listen(7004)?;
    raise_limit();
    echo_all(&listener)
}

/// Asks for as many descriptors as this process may have: more than there is room for in a set, as a
/// rule. So nobody needs to be turned away for want of a descriptor.
fn raise_limit() {
    let limit = getrlimit(Resource::RLIMIT_NOFILE);
    // Where that is refused, what we have must do.
    let _ = limit.and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
}

/// One line an event. A closed stderr ends no server.
fn log(number: u64, event: &str) {
    // In one piece: stderr keeps nothing back, and would write each part by itself.
    let _ = io::stderr().write_all(format!("visitor {number}: {event}\n").as_bytes());
}

/// The server's socket: on the address given, or on 127.0.0.1 and `port`.
fn listen(port: u16) -> io::Result<TcpListener> {
    let mut arguments = std::env::args().skip(1);
    let address = match (arguments.next().map(|address| address.parse()), arguments.next()) {
        (None, _) => SocketAddr::from(([127, 0, 0, 1], port)),
        (Some(Ok(address)), None) => address,
        _ => {
            eprintln!("ex04-echo: give one ADDRESS, such as 127.0.0.1:{port}");
            exit(2);
        }
    };
    let listener = TcpListener::bind(address).unwrap_or_else(|error| {
        eprintln!(
            "ex04-echo: can't listen on {address}: {error}; is another server still running there?"
        );
        exit(1);
    });
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    Ok(listener)
}
