//! Exercise 06-flow: an echo that holds on to little.
//!
//! Whatever a visitor sends comes back to it, byte for byte. Some send and send, and read nothing. This
//! server never keeps more than [`QUEUE`] bytes for anybody: while a visitor has that much coming, nothing
//! is read from it. Then the kernel's buffers fill up, and in the end the visitor's own `write` waits.
//! That is called back-pressure, and all that it takes is not to read.
//!
//! Run it:      cargo run -p ex06-nonblocking --bin ex06-flow      and, in a second terminal,
//!              nc 127.0.0.1 7006
//! Be graded:   cargo grade 6

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::exit;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How much is kept for a visitor, in bytes: one that doesn't read must not fill our memory.
const QUEUE: usize = 64 * 1024;
/// How long, in milliseconds, to let things calm down when the kernel has no descriptor left for us.
const PAUSE: u16 = 100;

/// A visitor, and how far we are with it.
struct Visitor {
    number: u64,
    /// In non-blocking mode.
    socket: TcpStream,
    /// What has come and hasn't been sent back yet, the oldest byte first: at most [`QUEUE`] bytes.
    queued: Vec<u8>,
    /// Whether it has finished sending. What is queued still goes to it.
    finished: bool,
}

impl Visitor {
    /// What to ask poll about, before each wait: POLLIN where we would read, POLLOUT where we would
    /// write. It's never empty: [`Visitor::goes_on`] says when we are done with a visitor.
    fn interest(&self) -> PollFlags {
        // your turn: say what this visitor is to be waited for
        // hint: Two questions, each with an answer of its own. Is there anything to send? Then POLLOUT. May
        //   we read? Then POLLIN. Both can be true at the same time.
        // hint: We may read while fewer than QUEUE bytes are queued, and until it has finished sending. Whoever asks
        //   for POLLIN without reading then is told at once, in every turn: that's a loop that never waits.
        let mut interest = PollFlags::empty();
        if self.queued.len() < QUEUE && !self.finished {
            interest |= PollFlags::POLLIN;
        }
        if !self.queued.is_empty() {
            interest |= PollFlags::POLLOUT;
        }
        interest
        // end
    }

    /// Goes on with this visitor, after poll has reported `events`. They needn't be true: only the calls
    /// themselves tell what has happened, a reset too. Never waits. Gives false when we are done with the
    /// visitor: it has finished sending, and all has been sent back.
    ///
    /// # Errors
    /// The connection is lost.
    fn goes_on(&mut self, events: PollFlags) -> io::Result<bool> {
        // your turn: read if there is room in the queue, write if anything is in it; neither waits
        // hint: One read and one write will do: what is left over is reported again in the next turn, and until
        //   then others have theirs. poll may report POLLHUP or POLLERR as well, unasked. You needn't find out what
        //   they mean: the next read or write tells.
        // hint: The read must not take more than there is room for: with a buffer of QUEUE bytes, that is
        //   `&mut piece[..QUEUE - self.queued.len()]`. Don't read when that is empty: 0 bytes would look like the end.
        //   The function `now`, further below, tells "not now" (`None`) from the end (`Some(0)`).
        // hint: Nearly the answer:
        //       let something = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR;
        //       if events.intersects(something) && self.interest().contains(PollFlags::POLLIN) {
        //           let mut piece = [0; QUEUE];
        //           match now(self.socket.read(…))? { None => {}  Some(0) => …  Some(count) => … }
        //       }
        //       if !self.queued.is_empty() && let Some(count) = now(self.socket.write(…))? { … drain … }
        //       Ok(…)      // false: it has finished, and the queue is empty
        let something = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR;
        if events.intersects(something) && self.interest().contains(PollFlags::POLLIN) {
            let mut piece = [0; QUEUE];
            let room = QUEUE - self.queued.len();
            match now(self.socket.read(&mut piece[..room]))? {
                None => {}
                Some(0) => self.finished = true,
                Some(count) => self.queued.extend_from_slice(&piece[..count]),
            }
        }
        if !self.queued.is_empty()
            && let Some(count) = now(self.socket.write(&self.queued))?
        {
            self.queued.drain(..count);
        }
        Ok(!(self.finished && self.queued.is_empty()))
        // end
    }

    /// As [`Visitor::goes_on`], and says what came of it.
    fn stays(&mut self, events: PollFlags) -> bool {
        match self.goes_on(events) {
            Ok(true) => return true,
            Ok(false) => log(self.number, "got all back"),
            Err(error) => log(self.number, &format!("lost: {error}")),
        }
        false
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
        // waits: until anybody at all has something for us, or room for what we have for it
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
        let somebody_new = events.get(before).is_some_and(|events| !events.is_empty());
        let mut events = events.into_iter();
        visitors.retain_mut(|visitor| {
            let events = events.next().unwrap_or(PollFlags::empty());
            events.is_empty() || visitor.stays(events)
        });
        shut &= visitors.len() == before;
        if somebody_new {
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
    Ok(Some(Visitor { number, socket, queued: Vec::new(), finished: false }))
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
            eprintln!("ex06-flow: give an ADDRESS such as 127.0.0.1:{port}");
            exit(2);
        }
    };
    let listener = TcpListener::bind(address).unwrap_or_else(|error| {
        eprintln!(
            "ex06-flow: can't listen on {address}: {error}; is another server still running there?"
        );
        exit(1);
    });
    listener.set_nonblocking(true)?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    Ok(listener)
}
