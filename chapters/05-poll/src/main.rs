//! Chapter 5: one thread, and everybody in one `poll`.
//!
//! Read `serve_everybody` first: it is the whole program, and where it differs from chapter 4's.
//! The story is told on the book's page `05-poll`.
//! Lines that can wait say so, in a comment that begins `waits:`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::exit;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

const HELP: &str = "ch05-poll [ADDRESS]

Answers many visitors at once, in one thread, with poll(): a small page (GET /large: 8 MiB).
ADDRESS is 127.0.0.1:7005 where not given; port 0 means any free one.";

/// Longest accepted request, in bytes: a visitor must not fill our memory.
const LONGEST_REQUEST: usize = 8 * 1024;
/// What longer ones get (RFC 6585, section 5).
const TOO_LONG: &str = "431 Request Header Fields Too Large";
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
            list.push(PollFd::new(visitor.socket.as_fd(), PollFlags::POLLIN));
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
    /// To hang up: it has its answer. What it sends meanwhile is thrown
    /// away.
    Leaving,
}
// ANCHOR_END: state

impl Visitor {
    // ANCHOR: events
    /// Whatever has happened to it, and what follows. False when we are done with it.
    fn goes_on(&mut self, events: PollFlags) -> bool {
        let goes_on = if events.contains(PollFlags::POLLERR) {
            self.error()
        } else if events.contains(PollFlags::POLLIN) {
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

    // ANCHOR_END: events

    // ANCHOR: read
    /// One read, because one won't wait, and what follows from it.
    fn attend(&mut self) -> io::Result<bool> {
        let mut piece = [0; 4096];
        let count = match self.socket.read(&mut piece) {
            // It is still ready, and will be in the next turn.
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            result => result?,
        };
        match &mut self.state {
            State::Asking(request) if count == 0 => {
                log(self.number, &format!("hung up after {} bytes", request.len()));
            }
            State::Asking(request) => {
                request.extend_from_slice(&piece[..count]);
                if let Some((answer, outcome)) = answer_to(request, count) {
                    // waits: until the kernel has room for all of it
                    self.socket.write_all(&answer)?;
                    self.socket.shutdown(Shutdown::Write)?;
                    log(self.number, outcome);
                    self.state = State::Leaving;
                }
            }
            State::Leaving => {}
        }
        Ok(count > 0)
    }
    // ANCHOR_END: read
}

// ANCHOR: answer_to
/// The answer and the outcome, when enough has come. "Not yet" is
/// `None`. `new` tells how many of the bytes have just come.
fn answer_to(request: &[u8], new: usize) -> Option<(Vec<u8>, &'static str)> {
    // The empty line may have begun in the piece before this one.
    let from = request.len().saturating_sub(new + 3);
    let found = request[from..].windows(4).position(|four| four == b"\r\n\r\n");
    match found.map(|start| from + start + 4) {
        Some(length) if length <= LONGEST_REQUEST => {
            Some((answer("200 OK", &page(request)), "answered"))
        }
        None if request.len() < LONGEST_REQUEST => None,
        _ => Some((answer(TOO_LONG, b""), "asked too much")),
    }
}
// ANCHOR_END: answer_to

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
    /// Lets one visitor in, because one `accept` won't wait: somebody is there.
    fn accept(&mut self, listener: &TcpListener) -> Option<Visitor> {
        let (socket, from) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                log(self.last + 1, &format!("not accepted: {error}"));
                self.shut = true;
                return None;
            }
        };
        self.last += 1;
        log(self.last, &format!("connected from {from}"));
        let state = State::Asking(Vec::new());
        Some(Visitor { number: self.last, socket, state })
    }
}
// ANCHOR_END: door

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    // socket, setsockopt, bind and listen, as in chapter 2
    let listener = TcpListener::bind(address)?;
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

/// The page that every server in this book gives, or the large one.
fn page(request: &[u8]) -> Vec<u8> {
    let line = b"Good things come to those who wait.\n";
    match request.starts_with(b"GET /large ") {
        true => line.repeat((8_usize << 20).div_ceil(line.len())),
        false => [line, b"Served by chapter 5.\n".as_slice()].concat(),
    }
}

fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.0 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}");
    [head.as_bytes(), b"\r\n\r\n", body].concat()
}

/// One line an event. A closed stderr ends no server.
fn log(number: u64, event: &str) {
    // In one piece: stderr keeps nothing back, and would write each part by itself.
    // waits: if nobody takes what we say (a terminal that was stopped, a full pipe)
    let _ = io::stderr().write_all(format!("visitor {number}: {event}\n").as_bytes());
}

fn address_from_args() -> SocketAddr {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7005".to_owned());
    if address == "-h" || address == "--help" {
        let _ = writeln!(io::stdout(), "{HELP}");
        exit(0);
    }
    match address.parse() {
        Ok(address) if arguments.next().is_none() => address,
        _ => complain(2, "give one ADDRESS, such as 127.0.0.1:7005; see --help"),
    }
}

fn complain(status: i32, message: &str) -> ! {
    let _ = writeln!(io::stderr(), "ch05-poll: {message}");
    exit(status)
}
