//! Chapter 4: one thread, and everybody in one `select`.
//!
//! Read `serve_everybody` first: it is the whole program. The story is told on the book's page
//! `04-select`, which begins with `two.rs`, a client that hears two servers at once.
//! Lines that can wait say so, in a comment that begins `waits:`.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::process::exit;

use nix::errno::Errno;
use nix::sys::select::{FD_SETSIZE, FdSet, select};
use nix::sys::time::{TimeVal, TimeValLike};

const HELP: &str = "ch04-select [ADDRESS]

Answers many visitors at once, in one thread, with select(): a small page (GET /large: 8 MiB).
ADDRESS is 127.0.0.1:7004 where not given; port 0 means any free one.";

/// Longest accepted request, in bytes: a visitor must not fill our memory.
const LONGEST_REQUEST: usize = 8 * 1024;
/// What longer ones get (RFC 6585, section 5).
const TOO_LONG: &str = "431 Request Header Fields Too Large";
/// What visitors get for whom no set has room (RFC 9110, section 15.6.4).
const FULL: &str = "503 Service Unavailable";
/// How many of those turned away are kept open, so that each can read why.
const KEPT: usize = 16;
/// How long, in milliseconds, to let things calm down when the kernel has no descriptor left for us.
const PAUSE: i64 = 100;

fn main() {
    let address = address_from_args();
    let listener = match listen(address) {
        Ok(listener) => listener,
        Err(error) => complain(1, &format!("can't listen on {address}: {error}")),
    };
    if let Err(error) = serve_everybody(&listener) {
        complain(1, &format!("select failed: {error}"));
    }
}

// ANCHOR: loop
/// One line waits, for all of them.
fn serve_everybody(listener: &TcpListener) -> io::Result<()> {
    let mut visitors: Vec<Visitor> = Vec::new();
    let mut door = Door::default();
    loop {
        let mut readable = FdSet::new();
        for visitor in &visitors {
            readable.insert(visitor.socket.as_fd());
        }
        let mut pause = TimeVal::milliseconds(PAUSE);
        let mut at_most = None;
        if door.shut {
            at_most = Some(&mut pause);
        } else {
            readable.insert(listener.as_fd());
        }
        // waits: until anybody at all has something for us
        let selected = select(None, &mut readable, None, None, at_most);
        match selected {
            Ok(0) => door.shut = false,
            Ok(_) => {}
            // A signal. The set says nothing now, and the next turn
            // makes a new one.
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        }

        // The set borrows the sockets: it has to be gone before one of
        // them is closed.
        let somebody_new = readable.contains(listener.as_fd());
        let is_ready = |visitor: &Visitor| readable.contains(visitor.socket.as_fd());
        let ready: Vec<bool> = visitors.iter().map(is_ready).collect();

        let before = visitors.len();
        let mut ready = ready.into_iter();
        visitors.retain_mut(|visitor| ready.next() != Some(true) || visitor.goes_on());
        door.shut &= visitors.len() == before;
        if somebody_new {
            visitors.extend(door.accept(listener));
        }
    }
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
    /// It's ready: what follows from that. False when we are done with it.
    fn goes_on(&mut self) -> bool {
        let goes_on = self.attend();
        goes_on.unwrap_or_else(|error| {
            log(self.number, &format!("lost: {error}"));
            false
        })
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
    /// Whether the listener is left out. Without a descriptor to give,
    /// the kernel lets nobody in, and the listener stays ready: asked
    /// about, it would make a loop that never waits.
    shut: bool,
    /// The last visitor's number.
    last: u64,
    /// The last ones who were turned away.
    turned_away: VecDeque<TcpStream>,
}

impl Door {
    /// Lets one visitor in, because one `accept` won't wait: somebody
    /// is there.
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
        if socket.as_raw_fd() as usize >= FD_SETSIZE {
            self.turn_away(socket);
            return None;
        }
        let state = State::Asking(Vec::new());
        Some(Visitor { number: self.last, socket, state })
    }

    /// Says why, and keeps the socket for a while. Closed now, with its
    /// request unread, it would be reset; and nobody can wait for it to
    /// hang up.
    fn turn_away(&mut self, mut socket: TcpStream) {
        let why = b"Everybody who fits into a set is here.\n";
        // Nothing was sent before, so there is room. Who is gone
        // already needs no answer.
        let _ = socket.write_all(&answer(FULL, why));
        let _ = socket.shutdown(Shutdown::Write);
        log(self.last, &format!("turned away: descriptor {}", socket.as_raw_fd()));
        self.turned_away.push_back(socket);
        if self.turned_away.len() > KEPT {
            self.turned_away.pop_front();
        }
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
        false => [line, b"Served by chapter 4.\n".as_slice()].concat(),
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
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7004".to_owned());
    if address == "-h" || address == "--help" {
        let _ = writeln!(io::stdout(), "{HELP}");
        exit(0);
    }
    match address.parse() {
        Ok(address) if arguments.next().is_none() => address,
        _ => complain(2, "give one ADDRESS, such as 127.0.0.1:7004; see --help"),
    }
}

fn complain(status: i32, message: &str) -> ! {
    let _ = writeln!(io::stderr(), "ch04-select: {message}");
    exit(status)
}
