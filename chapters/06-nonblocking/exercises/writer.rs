//! Exercise 06-writer: a writer that never waits.
//!
//! This program is a loudspeaker: what one visitor sends reaches all others, byte for byte. Sooner or
//! later one of them doesn't read, and that must hold up nobody. So each visitor has an outbox for
//! what the kernel doesn't take at once, and whoever would need more than [`OUTBOX`] is hung up on.
//!
//! Run it:      cargo run -p ex06-nonblocking --bin ex06-writer      and, in two more terminals,
//!              nc 127.0.0.1 7006
//! Be graded:   cargo grade 6

// Until you have written your part, much is unused here. Take these lines out when you have.
#![allow(clippy::ptr_arg, dead_code, unreachable_code)]
#![allow(unused_imports, unused_mut, unused_variables)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::exit;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How much is kept for a visitor, in bytes: one that doesn't read must not fill our memory.
const OUTBOX: usize = 64 * 1024;
/// How long, in milliseconds, to let things calm down when the kernel has no descriptor left for us.
const PAUSE: u16 = 100;

/// What is still to be sent to one visitor.
#[derive(Default)]
struct Outbox {
    /// What the kernel hasn't taken yet, the oldest byte first.
    queued: Vec<u8>,
}

/// More would have to be kept for a visitor than [`OUTBOX`].
struct TooSlow;

impl Outbox {
    /// Keeps `bytes`, behind those that it has. They are sent by [`Outbox::flush`], which is called next.
    ///
    /// # Errors
    /// [`TooSlow`] if it would hold more than [`OUTBOX`] bytes. The visitor is hung up on then.
    fn push(&mut self, bytes: &[u8]) -> Result<(), TooSlow> {
        // your turn: keep the bytes, unless they are more than there is room for
        todo!("keep the bytes, unless they are more than there is room for")
        // end
    }

    /// Sends as much of what is kept as the kernel takes now, and keeps the rest. Never waits: that
    /// there is no room isn't an error. It may be called when nothing is kept. `socket` is in
    /// non-blocking mode.
    ///
    /// # Errors
    /// The connection is lost.
    fn flush(&mut self, mut socket: &TcpStream) -> io::Result<()> {
        // your turn: write what the kernel takes now, and keep the rest
        todo!("write what the kernel takes now, and keep the rest")
        // end
    }

    /// Whether poll is to be asked for room: only while something is kept. There is nearly always
    /// room, and whoever asks for it without need is told so at once, in every turn.
    fn wants_room(&self) -> bool {
        // your turn: say whether there is anything to send
        todo!("say whether there is anything to send")
        // end
    }
}

fn main() -> io::Result<()> {
    let listener = listen(7006)?;
    serve_everybody(&listener)
}

/// One line waits, for all of them.
fn serve_everybody(listener: &TcpListener) -> io::Result<()> {
    let mut visitors: Vec<Visitor> = Vec::new();
    let mut last = 0;
    // The listener is left out for a while when the kernel has no descriptor left for us.
    let mut shut = false;
    loop {
        let mut list: Vec<PollFd<'_>> = Vec::new();
        for visitor in &visitors {
            list.push(PollFd::new(visitor.socket.as_fd(), visitor.interest()));
        }
        if !shut {
            list.push(PollFd::new(listener.as_fd(), PollFlags::POLLIN));
        }
        let at_most = if shut { PollTimeout::from(PAUSE) } else { PollTimeout::NONE };
        // waits: until anybody at all has something for us, or has room for what we kept for it
        match poll(&mut list, at_most) {
            Ok(0) => shut = false,
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        }
        // A flag that nix doesn't know counts as an error: passed over, it would be reported again at once.
        let what_happened = |entry: &PollFd<'_>| entry.revents().unwrap_or(PollFlags::POLLERR);
        let events: Vec<PollFlags> = list.iter().map(what_happened).collect();

        let before = visitors.len();
        for speaker in 0..before {
            let said = visitors[speaker].goes_on(events[speaker]);
            if said.is_empty() {
                continue;
            }
            for (listener, visitor) in visitors.iter_mut().enumerate() {
                if listener != speaker {
                    visitor.is_told(&said);
                }
            }
        }
        visitors.retain(|visitor| !visitor.gone);
        shut &= visitors.len() == before;
        if events.get(before).is_some_and(|events| !events.is_empty()) {
            match accept(listener, last + 1) {
                Ok(new) => {
                    last += u64::from(new.is_some());
                    visitors.extend(new);
                }
                Err(error) => {
                    log(last + 1, &format!("not accepted: {error}"));
                    shut = true;
                }
            }
        }
    }
}

struct Visitor {
    number: u64,
    socket: TcpStream,
    outbox: Outbox,
    /// Whether we are done with it.
    gone: bool,
}

impl Visitor {
    /// What to ask poll about. It follows from the state, and is asked anew for each turn.
    fn interest(&self) -> PollFlags {
        match self.outbox.wants_room() {
            true => PollFlags::POLLIN | PollFlags::POLLOUT,
            false => PollFlags::POLLIN,
        }
    }

    /// Whatever has happened to it. Gives what it said.
    fn goes_on(&mut self, events: PollFlags) -> Vec<u8> {
        if self.gone || events.is_empty() {
            return Vec::new();
        }
        if events.contains(PollFlags::POLLOUT) {
            self.flush();
        }
        let mut piece = [0; 4096];
        match now(self.socket.read(&mut piece)) {
            Ok(None) => return Vec::new(),
            Ok(Some(0)) => self.leaves("hung up"),
            Ok(Some(count)) => return piece[..count].to_vec(),
            Err(error) => self.leaves(&format!("lost: {error}")),
        }
        Vec::new()
    }

    /// Somebody else said this.
    fn is_told(&mut self, bytes: &[u8]) {
        if self.gone {
            return;
        }
        match self.outbox.push(bytes) {
            Ok(()) => self.flush(),
            Err(TooSlow) => self.leaves("too slow: hung up on"),
        }
    }

    fn flush(&mut self) {
        if let Err(error) = self.outbox.flush(&self.socket) {
            self.leaves(&format!("lost: {error}"));
        }
    }

    fn leaves(&mut self, why: &str) {
        if !self.gone {
            log(self.number, why);
        }
        self.gone = true;
    }
}

/// What a call gave that refuses to wait. `None`: not now. Whatever poll said was a hint, and it will
/// say so again.
fn now<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Lets one visitor in, if somebody is there.
fn accept(listener: &TcpListener, number: u64) -> io::Result<Option<Visitor>> {
    let Some((socket, from)) = now(listener.accept())? else { return Ok(None) };
    socket.set_nonblocking(true)?;
    log(number, &format!("connected from {from}"));
    Ok(Some(Visitor { number, socket, outbox: Outbox::default(), gone: false }))
}

/// One line an event. A closed stderr ends no server.
fn log(number: u64, event: &str) {
    // In one piece: stderr keeps nothing back, and would write each part by itself.
    let _ = io::stderr().write_all(format!("visitor {number}: {event}\n").as_bytes());
}

/// The server's socket, in non-blocking mode: on the address given, or on 127.0.0.1 and `port`.
fn listen(port: u16) -> io::Result<TcpListener> {
    let address = match std::env::args().nth(1).map(|address| address.parse()) {
        None => SocketAddr::from(([127, 0, 0, 1], port)),
        Some(Ok(address)) => address,
        Some(Err(_)) => {
            eprintln!("ex06-writer: give an ADDRESS such as 127.0.0.1:{port}");
            exit(2);
        }
    };
    let listener = TcpListener::bind(address).unwrap_or_else(|error| {
        eprintln!(
            "ex06-writer: can't listen on {address}: {error}; is another server still running there?"
        );
        exit(1);
    });
    listener.set_nonblocking(true)?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    Ok(listener)
}
