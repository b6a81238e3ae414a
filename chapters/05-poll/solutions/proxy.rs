//! Exercise 05-proxy: join two sockets.
//!
//! A proxy stands between a visitor and a server, and carries bytes both ways: load balancers, port
//! forwards and sidecars do nothing else all day. Each visitor has a thread here, and two directions
//! that must not wait for each other. Two threads a visitor could do that with read and write alone.
//! With poll, one can.
//!
//! Run it:      cargo run -p ch05-poll      and, in a second terminal,
//!              cargo run -p ex05-poll --bin ex05-proxy      and, in a third one,
//!              cargo visit 127.0.0.1:7055 quick silent slow quick
//! Be graded:   cargo grade 5

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::os::fd::AsFd;
use std::process::exit;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How much may be on its way in each direction, in bytes. It is small for a reason: on Linux POLLOUT
/// means that a third of the send buffer is free, which is more than this. So a write of it doesn't wait.
const PIECE: usize = 4 * 1024;
/// How long to let things calm down when the kernel has no descriptor left for us.
const PAUSE: Duration = Duration::from_millis(100);

/// One of the two directions: from one socket into the other.
struct Direction<'a> {
    source: &'a TcpStream,
    target: &'a TcpStream,
    piece: [u8; PIECE],
    /// Which bytes of `piece` have come from the source and are still to be written into the target.
    rest: Range<usize>,
    /// Whether the source has finished sending, and the target has been told.
    over: bool,
}

impl<'a> Direction<'a> {
    fn new(source: &'a TcpStream, target: &'a TcpStream) -> Self {
        Self { source, target, piece: [0; PIECE], rest: 0..0, over: false }
    }
}

/// Carries bytes from the visitor to the server, and from the server to the visitor, until both have
/// finished sending and all is delivered. When one of them has finished, the other is told so (`shutdown`),
/// and goes on as long as it likes. While a piece is on its way to one, nothing more is read from the other.
///
/// # Errors
/// What `poll`, reading and writing give, save `EINTR`. The caller then closes both sockets.
fn join(visitor: &TcpStream, server: &TcpStream) -> io::Result<()> {
    let mut directions = [Direction::new(visitor, server), Direction::new(server, visitor)];
    // your turn: carry bytes in both directions, and wait in poll alone
    // hint: What does one direction wait for? At each moment for one thing, and `rest` tells which: with nothing in
    //   it, until its source can be read (POLLIN); with something in it, until its target can be written
    //   (POLLOUT). Ask each direction anew before each poll.
    // hint: So the list has one entry for each direction; the same socket may stand in it twice. After poll, each
    //   direction whose entry says anything takes one step: one read from its source, or one write of what `rest`
    //   says into its target. One, because a second may wait. A write tells how much it took: `rest.start`
    //   moves by that.
    // hint: When a read gives 0, the source has finished sending: tell the target with `shutdown(Shutdown::Write)`.
    //   This direction is over, and must be left out of the list: its source stays readable for ever.
    //   The other direction may have much to carry still.
    // hint: Ask poll about nobody of whom you want nothing. A socket that has hung up says POLLHUP in each turn,
    //   with no events wanted as well. And look at the events no closer than "is there one": bytes may be left
    //   to read when POLLHUP is said; the read tells.
    // hint: Nearly the answer:
    //       loop {
    //           let mut list = Vec::new();
    //           for direction in directions.iter().filter(|direction| !direction.over) {
    //               list.push(… its source and POLLIN, or its target and POLLOUT …);
    //           }
    //           if list.is_empty() { return Ok(()); }
    //           … poll; EINTR: go on …
    //           let ready: Vec<bool> = … for each entry, whether revents() is more than nothing …
    //           let open = directions.iter_mut().filter(|direction| !direction.over);
    //           for (direction, ready) in open.zip(ready) { … one step … }
    //       }
    /// What it waits for follows from its state, and is asked anew in each turn.
    fn wanted<'a>(direction: &Direction<'a>) -> PollFd<'a> {
        match direction.rest.is_empty() {
            true => PollFd::new(direction.source.as_fd(), PollFlags::POLLIN),
            // Meanwhile the source isn't read: it must not send faster than the target reads.
            false => PollFd::new(direction.target.as_fd(), PollFlags::POLLOUT),
        }
    }

    /// One read, or one write: the one that poll has been asked about.
    fn step(direction: &mut Direction<'_>) -> io::Result<()> {
        if !direction.rest.is_empty() {
            let piece = &direction.piece[direction.rest.clone()];
            direction.rest.start += direction.target.write(piece)?;
            return Ok(());
        }
        let count = direction.source.read(&mut direction.piece)?;
        direction.rest = 0..count;
        if count == 0 {
            direction.over = true;
            direction.target.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }

    while directions.iter().any(|direction| !direction.over) {
        // Who is over isn't asked about: its source would be readable, or hung up, in each turn.
        let open = directions.iter().filter(|direction| !direction.over);
        let mut list: Vec<_> = open.map(wanted).collect();
        // waits: until one of the directions can take a step
        match poll(&mut list, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            result => result?,
        };
        // Asked for or not: at a hang-up there may be bytes left, and the step tells.
        let something = |entry: &PollFd<'_>| entry.revents() != Some(PollFlags::empty());
        let ready: Vec<bool> = list.iter().map(something).collect();
        let open = directions.iter_mut().filter(|direction| !direction.over);
        for (direction, _) in open.zip(ready).filter(|(_, ready)| *ready) {
            match step(direction) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => result?,
            }
        }
    }
    Ok(())
    // end
}

fn main() -> io::Result<()> {
    let target = address(2, 7005);
    let listener = listen(address(1, 7055))?;
    for number in 1_u64.. {
        let accepted = listener.accept(); // waits: until somebody connects
        let Ok((visitor, _)) = accepted else {
            thread::sleep(PAUSE);
            continue;
        };
        // If there is no thread to be had, this visitor is hung up on, and nothing else.
        drop(thread::Builder::new().spawn(move || serve(number, &visitor, target)));
    }
    Ok(())
}

/// Has one visitor served by the server at `target`.
fn serve(number: u64, visitor: &TcpStream, target: SocketAddr) {
    let connected = TcpStream::connect(target); // waits: until the server's kernel has answered
    let server = match connected {
        Ok(server) => server,
        Err(error) => return log(number, &format!("hung up on: {target}: {error}")),
    };
    // Without this the kernel holds a small piece back until the one before has been acknowledged.
    let _ = visitor.set_nodelay(true).and(server.set_nodelay(true));
    match join(visitor, &server) {
        Ok(()) => log(number, "both have finished"),
        Err(error) => log(number, &format!("lost: {error}")),
    }
}

/// One line an event. A closed stderr ends no server.
fn log(number: u64, event: &str) {
    // In one piece: stderr keeps nothing back, and would write each part by itself.
    let _ = io::stderr().write_all(format!("visitor {number}: {event}\n").as_bytes());
}

/// The address that is the argument with this number, or 127.0.0.1 and `port`.
fn address(argument: usize, port: u16) -> SocketAddr {
    match std::env::args().nth(argument).map(|address| address.parse()) {
        None => SocketAddr::from(([127, 0, 0, 1], port)),
        Some(Ok(address)) => address,
        Some(Err(_)) => {
            complain(2, "give an ADDRESS and a TARGET, such as 127.0.0.1:7055 127.0.0.1:7005")
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address).unwrap_or_else(|error| {
        complain(
            1,
            &format!("can't listen on {address}: {error}; is another proxy still running there?"),
        )
    });
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    Ok(listener)
}

fn complain(status: i32, message: &str) -> ! {
    let _ = writeln!(io::stderr(), "ex05-proxy: {message}");
    exit(status)
}
