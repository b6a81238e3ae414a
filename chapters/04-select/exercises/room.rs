//! Exercise 04-room: a room in which everybody hears everybody.
//!
//! Guests type lines, and each line reaches all the others as `guest N: LINE`. The loop is written
//! here: it waits, greets who comes, and tells you for whom a `read` won't wait. You write what
//! happens to them in a turn. (A guest that doesn't read holds up everybody here. Chapter 6 is about
//! that.) The rules are on the book's page.
//!
//! Run it:      cargo run -p ex04-select --bin ex04-room      and, in two more terminals,
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
/// Longest accepted line, in bytes, without its end: a guest must not fill our memory.
const LONGEST_LINE: usize = 1024;

/// Somebody in the room.
struct Guest {
    /// Nobody else has it, not even afterwards.
    number: u64,
    socket: TcpStream,
    /// What has come of its next line.
    heard: Vec<u8>,
}

impl Guest {
    /// Sends it something.
    ///
    /// # Errors
    /// When it's gone. Then the next read from it tells as much.
    fn tell(&mut self, text: &[u8]) -> io::Result<()> {
        self.socket.write_all(text) // waits: until the guest has made room
    }
}

/// One turn: `ready[i]` says that one read from `guests[i]` won't wait.
///
/// Reads once from each guest that is ready, and keeps what has come of a line with the guest whose
/// line it is. Each whole line reaches all other guests as `guest N: LINE` and `\n`; it ends with `\n`
/// or `\r\n`, and may hold any bytes. A guest that has hung up or was reset is taken off the list: the
/// others hear what it had said without a line end, if that is anything, and then `guest N left`.
/// A guest whose line has more than LONGEST_LINE bytes, its end not counted, is thrown out: the others
/// hear the lines before that one, nothing of that one, and then `guest N left`.
fn take_turns(guests: &mut Vec<Guest>, ready: &[bool]) {
    // your turn: read once from each who is ready, pass on whole lines, see off those who leave
    todo!("read once from each who is ready, pass on whole lines, see off those who leave")
    // end
}

/// The loop: one line waits.
fn keep_room(listener: &TcpListener) -> io::Result<()> {
    let mut guests: Vec<Guest> = Vec::new();
    let mut last = 0;
    loop {
        let mut readable = FdSet::new();
        readable.insert(listener.as_fd());
        for guest in &guests {
            readable.insert(guest.socket.as_fd());
        }
        // waits: until anybody at all has something for us
        let selected = select(None, &mut readable, None, None, None);
        match selected {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        }

        let somebody_new = readable.contains(listener.as_fd());
        let is_ready = |guest: &Guest| readable.contains(guest.socket.as_fd());
        let ready: Vec<bool> = guests.iter().map(is_ready).collect();

        take_turns(&mut guests, &ready);
        if somebody_new {
            last += 1;
            let_in(listener, last, &mut guests);
        }
    }
}

/// Lets in one guest, says its number to it, and to all others that it came.
fn let_in(listener: &TcpListener, number: u64, guests: &mut Vec<Guest>) {
    let socket = match listener.accept() {
        Ok((socket, _)) => socket,
        Err(error) => return log(number, &format!("not accepted: {error}")),
    };
    if usize::try_from(socket.as_raw_fd()).is_ok_and(|descriptor| descriptor >= FD_SETSIZE) {
        return log(number, "hung up on: no set has room for it");
    }
    log(number, "came");
    let mut new = Guest { number, socket, heard: Vec::new() };
    // Here as well: who is gone already is noticed when it's read.
    let _ = new.tell(format!("you are guest {number}\n").as_bytes());
    for guest in guests.iter_mut() {
        let _ = guest.tell(format!("guest {number} came\n").as_bytes());
    }
    guests.push(new);
}

fn main() -> io::Result<()> {
    let listener = listen(7004)?;
    raise_limit();
    keep_room(&listener)
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
    let _ = io::stderr().write_all(format!("guest {number}: {event}\n").as_bytes());
}

/// The server's socket: on the address given, or on 127.0.0.1 and `port`.
fn listen(port: u16) -> io::Result<TcpListener> {
    let mut arguments = std::env::args().skip(1);
    let address = match (arguments.next().map(|address| address.parse()), arguments.next()) {
        (None, _) => SocketAddr::from(([127, 0, 0, 1], port)),
        (Some(Ok(address)), None) => address,
        _ => {
            eprintln!("ex04-room: give one ADDRESS, such as 127.0.0.1:{port}");
            exit(2);
        }
    };
    let listener = TcpListener::bind(address).unwrap_or_else(|error| {
        eprintln!(
            "ex04-room: can't listen on {address}: {error}; is another server still running there?"
        );
        exit(1);
    });
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    Ok(listener)
}
