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
    // hint: Read from everybody who is ready first, and only note down what is to be told, and by whom:
    //   a `Vec<(u64, Vec<u8>)>`. Then go through the notes, and tell each to everybody but that guest. Doing
    //   both at once, you would need one guest and the whole list at the same time.
    // hint: A piece may hold half a line, or three and a half. Put it behind what is in `heard`, and then
    //   take lines out of there as long as there is a `\n`: `heard.iter().position(…)` and
    //   `heard.drain(..=end)`. What remains is the beginning of the next line, and may be LONGEST_LINE
    //   bytes long; or one more, if the last is a `\r`, which may belong to the line's end.
    // hint: `read` gives 0, or an error, when a guest has left. Its last words are still in `heard`. Take it
    //   off the list in the same turn, or it's ready in every turn from now on. `guests.retain_mut` visits
    //   each once, in order, and so keeps in step with `ready`.
    // hint: Somebody you want to tell something may be gone as well. Then `tell` fails, and all there is to do
    //   is nothing: a read will say so, and only then has that guest left.
    // hint: Nearly the answer:
    //       let mut news: Vec<(u64, Vec<u8>)> = Vec::new();
    //       let mut ready = ready.iter();
    //       guests.retain_mut(|guest| {
    //           if ready.next() != Some(&true) { return true; }
    //           … read a piece; 0 or an error: note the last words and "left", return false …
    //           … append it to guest.heard; note each whole line; too long: note "left", return false …
    //       });
    //       for (number, text) in news {
    //           … guest.tell(&text) for each guest in the room whose number is another …
    //       }
    /// One read, and what follows from it. False when the guest is to leave.
    fn listen_to(guest: &mut Guest, news: &mut Vec<(u64, Vec<u8>)>) -> bool {
        let mut piece = [0; PIECE];
        let count = match guest.socket.read(&mut piece) {
            // It is still ready, and will be in the next turn.
            Err(error) if error.kind() == ErrorKind::Interrupted => return true,
            Err(error) => {
                log(guest.number, &format!("lost: {error}"));
                0
            }
            Ok(count) => count,
        };
        guest.heard.extend_from_slice(&piece[..count]);
        while let Some(end) = guest.heard.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = guest.heard.drain(..=end).collect();
            let line = without_return(&line[..end]);
            if line.len() > LONGEST_LINE {
                return false;
            }
            news.push((guest.number, said(guest.number, line)));
        }
        let begun = without_return(&guest.heard);
        if begun.len() > LONGEST_LINE {
            return false;
        }
        if count == 0 && !begun.is_empty() {
            news.push((guest.number, said(guest.number, begun)));
        }
        count > 0
    }

    /// A line may end with `\r\n`: then its last byte is no part of it.
    fn without_return(line: &[u8]) -> &[u8] {
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    fn said(number: u64, line: &[u8]) -> Vec<u8> {
        [format!("guest {number}: ").as_bytes(), line, b"\n"].concat()
    }

    let mut news: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut ready = ready.iter();
    guests.retain_mut(|guest| {
        let stays = ready.next() != Some(&true) || listen_to(guest, &mut news);
        if !stays {
            log(guest.number, "left");
            news.push((guest.number, format!("guest {} left\n", guest.number).into_bytes()));
        }
        stays
    });
    for (number, text) in news {
        for guest in guests.iter_mut().filter(|guest| guest.number != number) {
            // Who is gone is noticed when it's read.
            let _ = guest.tell(&text);
        }
    }
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
