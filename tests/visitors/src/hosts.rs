//! The hosts: servers with manners, for the chapters whose program is the visitor.
//!
//! A check drives a [`Host`] step by step. `cargo host` plays a [`Manner`] for ever ([`serve`]),
//! to be called on by hand.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::str::FromStr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::connection::Connection;
use crate::doing;
use crate::program::{LOOK_EVERY, Program, Trouble, Watch};

/// A listener that a check drives: it accepts when it's told to.
#[derive(Debug)]
pub struct Host {
    listener: TcpListener,
    address: SocketAddr,
}

impl Host {
    /// Listens on a port of 127.0.0.1 that the system picks.
    ///
    /// # Errors
    /// What listening gives.
    pub fn bind() -> io::Result<Self> {
        Self::bind_to(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Listens on `address`, such as one of IPv6.
    ///
    /// # Errors
    /// What listening gives.
    pub fn bind_to(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        // Between poll and accept a visitor may be gone again: accept must not wait for the next one then.
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until `program` connects. From now on reports call this host `name`, such as `silent host`.
    ///
    /// # Errors
    /// Why it's no use to wait for the program any longer.
    pub fn accept(&self, program: &Program, name: &str) -> Result<Connection, Trouble> {
        // The program may be talking to the kernel's queue already: it waits for us all the same.
        doing::call(self.address.port(), doing::ANYBODY, name);
        let mut watch = Watch::new(program);
        loop {
            if let Some(connection) = self.accept_now(name) {
                return Ok(connection);
            }
            // It may have connected, sent and ended before we looked: ask the queue once more, after the watch.
            if let Some(trouble) = watch.trouble() {
                return self.accept_now(name).ok_or(trouble);
            }
            let mut list = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
            let time = u16::try_from(LOOK_EVERY.as_millis()).unwrap_or(u16::MAX);
            // Interrupted or not: the queue is looked at next.
            let _ = poll(&mut list, PollTimeout::from(time));
        }
    }

    /// Who stands first in the queue, if anyone does, and if it hasn't hung up already.
    fn accept_now(&self, name: &str) -> Option<Connection> {
        let (stream, _) = self.listener.accept().ok()?;
        // Not on Linux, but elsewhere the listener's refusal to wait is inherited.
        stream.set_nonblocking(false).ok()?;
        Connection::new(stream, name).ok()
    }
}

/// How a host treats its visitors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Answers at once, and closes.
    Quick,
    /// Answers in pieces, over about two seconds, and closes.
    Slow,
    /// Says nothing.
    Silent,
    /// Answers at once, and holds the connection open for the next request, as real servers do.
    Holding,
    /// Hangs up in the middle of the body.
    Rude,
    /// Hangs up in the middle of the head.
    Headless,
}

/// All of them, with what they do.
pub const MANNERS: [(Manner, &str, &str); 6] = [
    (Manner::Quick, "quick", "answers at once, and closes"),
    (Manner::Slow, "slow", "answers in pieces, over about two seconds, and closes"),
    (Manner::Silent, "silent", "accepts, and says nothing"),
    (Manner::Holding, "holding", "answers at once, and holds the connection open"),
    (Manner::Rude, "rude", "hangs up in the middle of the body"),
    (Manner::Headless, "headless", "hangs up in the middle of the head"),
];

impl Manner {
    /// Its word.
    pub fn word(self) -> &'static str {
        let found = MANNERS.iter().find(|(manner, ..)| *manner == self);
        found.map_or("", |(_, word, _)| *word)
    }
}

impl fmt::Display for Manner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Manner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = MANNERS.iter().find(|(_, word, _)| *word == text);
        found.map(|(manner, ..)| *manner).ok_or_else(|| {
            let words: Vec<&str> = MANNERS.iter().map(|(_, word, _)| *word).collect();
            format!("there is no host {text:?}: there are {}", words.join(", "))
        })
    }
}

/// The longest request head that a host reads, in bytes: as in the book's servers.
pub const MOST_REQUEST: usize = 8 * 1024;

/// How long a host waits for a request. It is there for programs, which have it ready; but a
/// person may be typing it.
const REQUEST_PATIENCE: Duration = Duration::from_secs(60);

/// How long a host reads on after it has finished, so that no reset eats its answer.
const FAREWELL: Duration = Duration::from_secs(1);

/// The rest between two pieces of a slow host's answer, and how many pieces there are:
/// six rests make about two seconds.
const SLOW_REST: Duration = Duration::from_millis(300);
const SLOW_PIECES: usize = 7;

/// The rest after an accept that failed: out of descriptors, it would fail again at once, and spin.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Serves visitors in this manner for ever, each in a thread of its own. `tell` hears what happens:
/// the visitor's number, from 1, and the words.
pub fn serve(
    listener: &TcpListener,
    manner: Manner,
    tell: impl Fn(u64, &str) + Send + Sync + 'static,
) {
    serve_hurried(listener, manner, 1, tell);
}

/// The same, with rests that are `tempo` times shorter.
pub fn serve_hurried(
    listener: &TcpListener,
    manner: Manner,
    tempo: u32,
    tell: impl Fn(u64, &str) + Send + Sync + 'static,
) {
    let tell: Arc<Tell> = Arc::new(tell);
    for number in 1.. {
        let (stream, address) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                tell(number, &format!("could not be let in: {error}"));
                thread::sleep(ACCEPT_REST);
                continue;
            }
        };
        tell(number, &format!("connected from {address}"));
        let for_visitor = Arc::clone(&tell);
        let attend = move || {
            let tell = |words: &str| for_visitor(number, words);
            match attend(stream, manner, tempo, &tell) {
                Ok(()) => {}
                Err(error) => tell(&format!("is gone: {error}")),
            }
        };
        if let Err(error) = thread::Builder::new().spawn(attend) {
            tell(number, &format!("was sent away: no thread for it: {error}"));
        }
    }
}

type Tell = dyn Fn(u64, &str) + Send + Sync;

/// One visitor, from its request to the end.
fn attend(
    mut stream: TcpStream,
    manner: Manner,
    tempo: u32,
    tell: &dyn Fn(&str),
) -> io::Result<()> {
    // The pieces of an answer go out each by itself.
    stream.set_nodelay(true)?;
    if manner == Manner::Silent {
        return keep_silent(stream, tell);
    }
    while read_request(&mut stream, tell)? {
        let (answer, head) = answer(manner);
        match manner {
            Manner::Slow => {
                let size = answer.len().div_ceil(SLOW_PIECES);
                for (index, piece) in answer.as_bytes().chunks(size).enumerate() {
                    if index > 0 {
                        thread::sleep(SLOW_REST / tempo.max(1));
                    }
                    stream.write_all(piece)?;
                    tell(&format!("was sent {} bytes", piece.len()));
                }
            }
            Manner::Rude => {
                let middle = head + (answer.len() - head) / 2;
                stream.write_all(&answer.as_bytes()[..middle])?;
                tell("was hung up on in the middle of the body");
            }
            Manner::Headless => {
                stream.write_all(&answer.as_bytes()[..head / 2])?;
                tell("was hung up on in the middle of the head");
            }
            Manner::Quick | Manner::Silent => {
                stream.write_all(answer.as_bytes())?;
                tell(&format!("was sent {} bytes, and that is all", answer.len()));
            }
            Manner::Holding => {
                stream.write_all(answer.as_bytes())?;
                tell(&format!("was sent {} bytes, and may ask again", answer.len()));
                continue;
            }
        }
        return say_farewell(stream);
    }
    Ok(())
}

/// An answer, and how long its head is.
fn answer(manner: Manner) -> (String, usize) {
    let body = format!("You have been served by the {manner} host.\n");
    let connection = match manner {
        Manner::Holding => "keep-alive",
        _ => "close",
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
        body.len()
    );
    (format!("{head}{body}"), head.len())
}

/// Reads a request up to its blank line. False when the visitor hung up without one.
fn read_request(stream: &mut TcpStream, tell: &dyn Fn(&str)) -> io::Result<bool> {
    let deadline = Instant::now() + REQUEST_PATIENCE;
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.windows(4).any(|four| four == b"\r\n\r\n") {
        let left = deadline.saturating_duration_since(Instant::now());
        // A time of zero would mean: for ever.
        stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match stream.read(&mut buffer) {
            Ok(0) => {
                tell(if request.is_empty() {
                    "hung up"
                } else {
                    "hung up in the middle of its request"
                });
                return Ok(false);
            }
            Ok(count) => request.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_time_out(&error) => {
                let asked = REQUEST_PATIENCE.as_secs();
                tell(&format!("asked for nothing in {asked} s: hung up on it"));
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        if request.len() > MOST_REQUEST {
            tell("sent too long a request: hung up on it");
            return Ok(false);
        }
    }
    let line = String::from_utf8_lossy(&request);
    let line = line.lines().next().unwrap_or_default().escape_debug();
    tell(&format!("asked: {line}"));
    Ok(true)
}

/// Says nothing until the visitor hangs up.
fn keep_silent(mut stream: TcpStream, tell: &dyn Fn(&str)) -> io::Result<()> {
    let mut buffer = [0; 1024];
    let mut said_something = false;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => {
                tell("hung up");
                return Ok(());
            }
            Ok(_) if !said_something => {
                said_something = true;
                tell("said something, and gets no answer");
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Finishes sending, then reads what is still on its way. Closed with bytes unread, the kernel
/// would send a reset, and that can eat the answer.
fn say_farewell(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let deadline = Instant::now() + FAREWELL;
    let mut buffer = [0; 1024];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Err(error) if is_time_out(&error) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
}

fn is_time_out(error: &io::Error) -> bool {
    // Which of the two it is differs from one system to the next.
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
