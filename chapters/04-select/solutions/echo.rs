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
    // hint: A turn begins with a new, empty `FdSet`: the kernel crosses out whoever isn't ready, so the
    //   old one is of no use. Into it go the listener and every visitor. `select(None, &mut set, None,
    //   None, None)` waits until one of them can be read, and for the listener this means: accepted.
    // hint: What comes back says for whom a `read` won't wait: for one `read` each. A second one may wait,
    //   and everybody with it. The same goes for `accept`: one a turn. Whoever has more is ready again in
    //   the next turn.
    // hint: The set borrows the sockets, and you can't take a visitor off a list that is borrowed. So write
    //   down first who is ready, as a `Vec<bool>`. Then mind that the two lists stay in step:
    //   `visitors.retain_mut` visits each once, in order, and takes out those for whom you say false.
    // hint: Who has left is ready too: `read` gives 0, or an error after a reset. Whoever stays on the list
    //   then is ready in every turn, and the loop never waits again. Two errors end nothing: select's
    //   `Errno::EINTR` (the set says nothing: begin a new turn) and read's `ErrorKind::Interrupted`.
    // hint: Nearly the answer:
    //       let mut visitors: Vec<Visitor> = Vec::new();
    //       loop {
    //           let mut readable = FdSet::new();
    //           … insert listener.as_fd(), and each visitor's socket.as_fd() …
    //           match select(None, &mut readable, None, None, None) { … }
    //           let somebody_new = readable.contains(listener.as_fd());
    //           let ready: Vec<bool> = visitors.iter().map(|visitor| …).collect();
    //           let mut ready = ready.into_iter();
    //           visitors.retain_mut(|visitor| ready.next() != Some(true) || …);
    //           if somebody_new { … accept; keep it if socket.as_raw_fd() < FD_SETSIZE … }
    //       }
    /// One read, and what came is sent back. False when the visitor has finished.
    fn echo(visitor: &mut Visitor) -> io::Result<bool> {
        let mut piece = [0; PIECE];
        let count = match visitor.socket.read(&mut piece) {
            // It is still ready, and will be in the next turn.
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            result => result?,
        };
        visitor.socket.write_all(&piece[..count])?; // waits: until the visitor has made room
        Ok(count > 0)
    }

    let mut visitors: Vec<Visitor> = Vec::new();
    let mut last = 0;
    loop {
        let mut readable = FdSet::new();
        readable.insert(listener.as_fd());
        for visitor in &visitors {
            readable.insert(visitor.socket.as_fd());
        }
        // waits: until anybody at all has something for us
        let selected = select(None, &mut readable, None, None, None);
        match selected {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        }

        let somebody_new = readable.contains(listener.as_fd());
        let is_ready = |visitor: &Visitor| readable.contains(visitor.socket.as_fd());
        let ready: Vec<bool> = visitors.iter().map(is_ready).collect();

        let mut ready = ready.into_iter();
        visitors.retain_mut(|visitor| {
            if ready.next() != Some(true) {
                return true;
            }
            let goes_on = echo(visitor);
            match &goes_on {
                Ok(true) => {}
                Ok(false) => log(visitor.number, "left"),
                Err(error) => log(visitor.number, &format!("lost: {error}")),
            }
            goes_on.unwrap_or(false)
        });
        if !somebody_new {
            continue;
        }
        last += 1;
        match listener.accept() {
            Ok((socket, _)) => {
                let descriptor = usize::try_from(socket.as_raw_fd());
                if descriptor.is_ok_and(|descriptor| descriptor < FD_SETSIZE) {
                    log(last, "came");
                    visitors.push(Visitor { number: last, socket });
                } else {
                    log(last, "hung up on: no set has room for it");
                }
            }
            Err(error) => log(last, &format!("not accepted: {error}")),
        }
    }
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
