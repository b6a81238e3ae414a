//! Chapter 6: calls that refuse to wait.
//!
//! Read `State` first, then `serve_everybody`. The story is told on the book's page `06-nonblocking`.
//! Lines that can wait say so, in a comment that begins `waits:`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::exit;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

const HELP: &str = "ch06-nonblocking [ADDRESS]

Answers many visitors at once, in one thread that waits in poll() only, however slowly they
read: a small page (GET /large: 8 MiB).
ADDRESS is 127.0.0.1:7006 where not given; port 0 means any free one.";

/// Longest accepted request, in bytes: a visitor must not fill our memory.
const LONGEST_REQUEST: usize = 8 * 1024;
/// What longer ones get (RFC 6585, section 5).
const TOO_LONG: &str = "431 Request Header Fields Too Large";
/// How much of an answer is made and kept for a visitor, in bytes, and sent to it in one turn: one
/// that doesn't read must neither fill our memory nor have us for itself.
const QUEUE: usize = 64 * 1024;
/// How many visitors are let in during one turn: those who are here already want to be served too.
const AT_ONCE: usize = 64;
/// How long, in milliseconds, to let things calm down when the kernel has no descriptor left for us.
const PAUSE: u16 = 100;

fn main() {
    let address = address_from_args();
    let listener = match listen(address) {
        Ok(listener) => listener,
        Err(error) => complain(1, &format!("can't listen on {address}: {error}")),
    };
    raise_limit();
    if let Err(error) = serve_everybody(&listener) {
        complain(1, &format!("poll failed: {error}"));
    }
}

// ANCHOR: limit
/// Asks for as many descriptors as this process may have. Most Linux systems give it 1,024
/// at first, for the sake of programs that use `select`.
fn raise_limit() {
    let limit = getrlimit(Resource::RLIMIT_NOFILE);
    // Where that is refused, what we have must do.
    let _ = limit.and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
}
// ANCHOR_END: limit

// ANCHOR: loop
/// One line waits, for all of them.
fn serve_everybody(listener: &TcpListener) -> io::Result<()> {
    let mut visitors: Vec<Visitor> = Vec::new();
    let mut door = Door::default();
    loop {
        let mut list: Vec<PollFd<'_>> = Vec::new();
        for visitor in &visitors {
            list.push(PollFd::new(visitor.socket.as_fd(), visitor.interest()));
        }
        let mut at_most = PollTimeout::NONE;
        if door.shut {
            at_most = PollTimeout::from(PAUSE);
        } else {
            list.push(PollFd::new(listener.as_fd(), PollFlags::POLLIN));
        }
        // waits: until anybody at all has something for us
        let polled = poll(&mut list, at_most);
        match polled {
            Ok(0) => door.shut = false,
            Ok(_) => {}
            // A signal: nothing was reported.
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        }

        // The list borrows the sockets: it has to be gone before one of them is closed.
        let events: Vec<PollFlags> = list.iter().map(what_happened).collect();

        let before = visitors.len();
        let mut events = events.into_iter();
        let mut next = || events.next().unwrap_or(PollFlags::empty());
        visitors.retain_mut(|visitor| visitor.goes_on(next()));
        let somebody_new = !next().is_empty();
        door.shut &= visitors.len() == before;
        if somebody_new {
            visitors.extend(door.accept(listener));
        }
    }
}

/// What poll says of one descriptor, asked for or not. A flag that nix doesn't know
/// counts as an error: passed over, it would be reported again at once, for ever.
fn what_happened(entry: &PollFd<'_>) -> PollFlags {
    entry.revents().unwrap_or(PollFlags::POLLERR)
}
// ANCHOR_END: loop

/// A visitor, and how far we are with it.
struct Visitor {
    number: u64,
    socket: TcpStream,
    state: State,
}

// ANCHOR: state
/// What we wait for a visitor to do.
enum State {
    /// To send the rest of its request. This is what has come.
    Asking(Vec<u8>),
    /// To read: then there is room for more of its answer.
    Answering(Answer),
    /// To hang up: it has its answer. What it sends meanwhile is thrown away.
    Leaving,
}
// ANCHOR_END: state

impl Visitor {
    // ANCHOR: new
    /// A connection doesn't take it over from its listener to refuse to wait: it's told.
    fn new(number: u64, socket: TcpStream) -> Option<Self> {
        match socket.set_nonblocking(true) {
            Ok(()) => Some(Self { number, socket, state: State::Asking(Vec::new()) }),
            Err(error) => {
                log(number, &format!("lost: {error}"));
                None
            }
        }
    }
    // ANCHOR_END: new

    // ANCHOR: interest
    /// What to ask poll about. It follows from the state, and is found anew each turn.
    fn interest(&self) -> PollFlags {
        match self.state {
            State::Asking(_) | State::Leaving => PollFlags::POLLIN,
            State::Answering(_) => PollFlags::POLLOUT,
        }
    }
    // ANCHOR_END: interest

    // ANCHOR: attend
    /// Whatever has happened to it, and what follows. False when we are done with it.
    fn goes_on(&mut self, events: PollFlags) -> bool {
        let goes_on = if events.contains(PollFlags::POLLERR) {
            self.error()
        } else if events.intersects(self.interest()) {
            // Before the hang-up: what it sent last is still to be read.
            self.attend()
        } else {
            Ok(!events.contains(PollFlags::POLLHUP))
        };
        goes_on.unwrap_or_else(|error| {
            log(self.number, &format!("lost: {error}"));
            false
        })
    }

    /// The connection's error. The kernel keeps it until it's asked for (socket(7)).
    fn error(&self) -> io::Result<bool> {
        match self.socket.take_error()? {
            Some(error) => Err(error),
            None => Ok(false), // nobody can name it, and it would be reported for ever
        }
    }

    /// One step: a read or a write, neither of which waits, and what follows from it.
    fn attend(&mut self) -> io::Result<bool> {
        if let State::Answering(_) = self.state {
            return self.send();
        }
        let mut piece = [0; 4096];
        let Some(count) = now(self.socket.read(&mut piece))? else { return Ok(true) };
        match &mut self.state {
            State::Asking(request) if count == 0 => {
                log(self.number, &format!("hung up after {} bytes", request.len()));
            }
            State::Asking(request) => {
                request.extend_from_slice(&piece[..count]);
                if let Some(answer) = answer_to(request, count) {
                    self.state = State::Answering(answer);
                    return self.send(); // most likely there is room for all of it
                }
            }
            State::Answering(_) | State::Leaving => {}
        }
        Ok(count > 0)
    }
    // ANCHOR_END: attend

    // ANCHOR: send
    /// Sends as much of the answer as the kernel takes now.
    fn send(&mut self) -> io::Result<bool> {
        let State::Answering(answer) = &mut self.state else { return Ok(true) };
        answer.fill();
        let taken = now(self.socket.write(&answer.queued))?;
        answer.queued.drain(..taken.unwrap_or(0));
        if answer.is_sent() {
            self.socket.shutdown(Shutdown::Write)?;
            log(self.number, answer.outcome);
            self.state = State::Leaving;
        }
        Ok(true)
    }
    // ANCHOR_END: send
}

// ANCHOR: now
/// The result of a call that refuses to wait. `None`: not now. What poll said was a hint,
/// and it will say so again.
fn now<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    use ErrorKind::{Interrupted, WouldBlock};
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), WouldBlock | Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}
// ANCHOR_END: now

// ANCHOR: answer
/// An answer on its way.
struct Answer {
    /// Made, and not sent yet: at most `QUEUE` bytes.
    queued: Vec<u8>,
    /// How many lines are still to be made.
    lines: usize,
    /// What came of the visitor, once all is sent.
    outcome: &'static str,
}

impl Answer {
    fn new(status: &str, body: &str, lines: usize, outcome: &'static str) -> Self {
        let length = body.len() + lines * LINE.len();
        let head = format!("HTTP/1.0 {status}\r\nContent-Type: text/plain\r\n");
        let queued = format!("{head}Content-Length: {length}\r\n\r\n{body}").into_bytes();
        Self { queued, lines, outcome }
    }

    /// Makes more of it, as far as there is room in the queue.
    fn fill(&mut self) {
        while self.lines > 0 && self.queued.len() + LINE.len() <= QUEUE {
            self.queued.extend_from_slice(LINE.as_bytes());
            self.lines -= 1;
        }
    }

    fn is_sent(&self) -> bool {
        self.queued.is_empty() && self.lines == 0
    }
}
// ANCHOR_END: answer

/// The answer, when enough has come. "Not yet" is `None`. `new` tells how many of the
/// bytes have just come.
fn answer_to(request: &[u8], new: usize) -> Option<Answer> {
    // The empty line may have begun in the piece before this one.
    let from = request.len().saturating_sub(new + 3);
    let found = request[from..].windows(4).position(|four| four == b"\r\n\r\n");
    match found.map(|start| from + start + 4) {
        Some(length) if length <= LONGEST_REQUEST => Some(page(request)),
        None if request.len() < LONGEST_REQUEST => None,
        _ => Some(Answer::new(TOO_LONG, "", 0, "asked too much")),
    }
}

// ANCHOR: door
/// Where visitors come in.
#[derive(Default)]
struct Door {
    /// Whether the listener is left out. Without a descriptor to give, the kernel lets
    /// nobody in, and the listener stays ready: asked about, it would make a loop that
    /// never waits.
    shut: bool,
    /// The last visitor's number.
    last: u64,
}

impl Door {
    /// Lets in who is there, until the kernel says that it's nobody any more.
    fn accept(&mut self, listener: &TcpListener) -> Vec<Visitor> {
        let mut new = Vec::new();
        while new.len() < AT_ONCE {
            match now(listener.accept()) {
                Ok(Some((socket, from))) => {
                    self.last += 1;
                    log(self.last, &format!("connected from {from}"));
                    new.extend(Visitor::new(self.last, socket));
                }
                Ok(None) => break,
                Err(error) => {
                    log(self.last + 1, &format!("not accepted: {error}"));
                    self.shut = true;
                    break;
                }
            }
        }
        new
    }
}
// ANCHOR_END: door

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    // socket, setsockopt, bind and listen, as in chapter 2
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
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

const LINE: &str = "Good things come to those who wait.\n";

/// The page that every server in this book gives, or the large one.
fn page(request: &[u8]) -> Answer {
    match request.starts_with(b"GET /large ") {
        true => Answer::new("200 OK", "", (8_usize << 20).div_ceil(LINE.len()), "answered"),
        false => Answer::new("200 OK", &format!("{LINE}Served by chapter 6.\n"), 0, "answered"),
    }
}

/// One line an event. A closed stderr ends no server.
fn log(number: u64, event: &str) {
    // In one piece: stderr keeps nothing back, and would write each part by itself.
    // waits: if nobody takes what we say (a terminal that was stopped, a full pipe)
    let _ = io::stderr().write_all(format!("visitor {number}: {event}\n").as_bytes());
}

fn address_from_args() -> SocketAddr {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7006".to_owned());
    if address == "-h" || address == "--help" {
        let _ = writeln!(io::stdout(), "{HELP}");
        exit(0);
    }
    match address.parse() {
        Ok(address) if arguments.next().is_none() => address,
        _ => complain(2, "give one ADDRESS, such as 127.0.0.1:7006; see --help"),
    }
}

fn complain(status: i32, message: &str) -> ! {
    let _ = writeln!(io::stderr(), "ch06-nonblocking: {message}");
    exit(status)
}
