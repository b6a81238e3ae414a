//! Exercise 12-fair: so much in a turn, and no more.
//!
//! One loop, two protocols. Datagrams bring words, and each word is work: a fraction of a millisecond of
//! computing. On a connection somebody types `count`, and wants to know at once how many words have been done so far.
//! A datagram of five thousand words is more than a second of work, and whoever does it in one callback keeps everybody
//! waiting for so long. So it's done in portions, one in each turn of the loop. What is left lies in
//! memory, and the kernel knows nothing of it: asked to wait, it would wait until the next datagram comes.
//!
//! Run it:      cargo run -p ex12-kernel --bin ex12-fair      and, in two more terminals,
//!              nc 127.0.0.1 7012      and type `count`
//!              seq -s ' ' 3000 | nc -u -w 2 127.0.0.1 7012
//! Be graded:   cargo grade 12

// Until you have written your part, much is unused here. Take these lines out when you have.
#![allow(clippy::ptr_arg, dead_code, unreachable_code)]
#![allow(unused_imports, unused_mut, unused_variables)]

use std::cell::Cell;
use std::hint::black_box;
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::program::{self, log, say};
use ch07_callbacks::{Ending, EventLoop, Input, Interest, Readiness, Source, Token, now};

const NAME: &str = "ex12-fair";
const HELP: &str = "ex12-fair [ADDRESS]

Does the words of each datagram, and answers `done N`. On a connection, `count` tells how many are done.
ADDRESS is 127.0.0.1:7012 where not given, for both; port 0 means any free one.";

/// How many words are done in one turn: a few milliseconds of work. Nobody notices if they have to wait for so
/// long; and asking the kernel costs little beside that.
const WORDS_A_TURN: usize = 32;
/// The most that a datagram can hold, in bytes (RFC 768, and 28 bytes for the heads of IPv4 and UDP).
const LONGEST: usize = 65_507;
/// How much computing a word is.
const ROUNDS: u32 = 8_000;
/// Longest line that is typed, in bytes, with its end.
const LONGEST_LINE: usize = 100;
/// Whoever has more answers queued than that, in bytes, asks and doesn't read.
const MOST_QUEUED: usize = 64 * 1024;
/// How often to try for a port that is free for both protocols.
const TRIES: usize = 20;

/// What has been done.
#[derive(Default)]
struct Done {
    words: Cell<u64>,
    /// In which turn the last word was done, and how many were done in that turn.
    turn: Cell<(u64, usize)>,
    /// The most that were done in one turn.
    most: Cell<usize>,
}

impl Done {
    /// Does the work that a word is, and counts it.
    fn work(&self, event_loop: &EventLoop, word: &[u8]) {
        let mut sum = 0_u64;
        for round in 0..ROUNDS {
            let byte = word.get(round as usize % word.len().max(1)).copied().unwrap_or_default();
            sum = black_box(sum.rotate_left(5) ^ u64::from(byte));
        }
        self.words.set(self.words.get() + 1);
        let (turn, before) = self.turn.get();
        let words = if turn == event_loop.turns() { before + 1 } else { 1 };
        self.turn.set((event_loop.turns(), words));
        self.most.set(self.most.get().max(words));
    }
}

/// A datagram whose words are being done.
struct Job {
    from: SocketAddr,
    bytes: Vec<u8>,
    /// Where the next word is looked for.
    next: usize,
    /// How many words are done.
    done: usize,
}

impl Job {
    /// Where the next word stands, in `bytes`. `None`: there is none any more. Words are separated by
    /// blanks, which are bytes 32, and by nothing else.
    fn next_word(&mut self) -> Option<Range<usize>> {
        // your turn: skip blanks, and find the word's end
        todo!("skip blanks, and find the word's end")
        // end
    }
}

/// The socket for datagrams, in the loop.
struct Worker {
    socket: UdpSocket,
    done: Rc<Done>,
    /// What is being worked on. `None`: nothing, the next datagram may come.
    job: Option<Job>,
}

impl Worker {
    /// The next datagram; `None` if there is none now.
    ///
    /// # Errors
    /// When receiving fails: that is the end of the socket.
    fn receive(&self) -> io::Result<Option<Job>> {
        let mut bytes = vec![0; LONGEST];
        let received = now(self.socket.recv_from(&mut bytes))?;
        Ok(received.map(|(length, from)| {
            bytes.truncate(length);
            Job { from, bytes, next: 0, done: 0 }
        }))
    }

    /// Tells the sender that its words are done.
    fn answer(&self, job: &Job) {
        // If there's no room for it, it's lost, as a datagram may be.
        let _ = self.socket.send_to(format!("done {}\n", job.done).as_bytes(), job.from);
    }
}

impl Source for Worker {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    /// What the kernel is asked for: nothing while words are left.
    fn interest(&self) -> Interest {
        // your turn: say whether the next datagram may come
        todo!("say whether the next datagram may come")
        // end
    }

    /// How long it is willing to wait.
    fn patience(&self) -> Option<Duration> {
        // your turn: say how long the loop may wait, while words are left and while there are none
        todo!("say how long the loop may wait, while words are left and while there are none")
        // end
    }

    fn closed(self: Box<Self>, event_loop: &mut EventLoop, _: Token, ending: Ending) {
        say(&format!("no more datagrams: {ending:?}"));
        event_loop.stop();
    }
}

/// The handler: a datagram may be there, or words are left.
///
/// # Errors
/// Those of [`Worker::receive`].
fn ready(event_loop: &mut EventLoop, me: Token, _readiness: Readiness) -> io::Result<()> {
    // your turn: receive a datagram if there's none, do one turn's words, answer when all are done
    todo!("receive a datagram if there's none, do one turn's words, answer when all are done")
    // end
}

/// The read callback of a connection.
fn data_available(event_loop: &mut EventLoop, me: Token, input: &mut Input, done: &Done) {
    while let Some(end) = input.bytes.iter().take(LONGEST_LINE).position(|byte| *byte == b'\n') {
        let line: Vec<u8> = input.bytes.drain(..=end).collect();
        let answer = match line.trim_ascii_end() {
            b"count" => {
                format!("{} done, at most {} in a turn\n", done.words.get(), done.most.get())
            }
            _ => "say: count\n".to_owned(),
        };
        event_loop.send(me, answer.as_bytes());
    }
    if input.ended || input.bytes.len() >= LONGEST_LINE {
        event_loop.finish(me);
    } else if event_loop.queued(me) > MOST_QUEUED {
        event_loop.close(me);
    }
}

fn main() {
    let address = program::address_from_args(NAME, HELP, "127.0.0.1:7012");
    let (datagrams, listener) = sockets(address).unwrap_or_else(|error| {
        program::complain(NAME, 1, &format!("can't serve on {address}: {error}"))
    });
    if let Err(error) = serve(datagrams, listener) {
        program::complain(NAME, 1, &format!("the loop failed: {error}"));
    }
}

/// One for datagrams and one for connections, on the same port.
fn sockets(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = 0;
    loop {
        let listener = TcpListener::bind(address)?;
        let bound = UdpSocket::bind(listener.local_addr()?);
        tries += 1;
        match bound {
            Ok(datagrams) => return Ok((datagrams, listener)),
            // Any free port was asked for, and this one is free for connections only.
            Err(error)
                if error.kind() == ErrorKind::AddrInUse && address.port() == 0 && tries < TRIES => {
            }
            Err(error) => return Err(error),
        }
    }
}

fn serve(datagrams: UdpSocket, listener: TcpListener) -> io::Result<()> {
    let address = listener.local_addr()?;
    datagrams.set_nonblocking(true)?;
    let mut event_loop = ch08_epoll::event_loop()?;
    let done = Rc::<Done>::default();
    let worker = Worker { socket: datagrams, done: Rc::clone(&done), job: None };
    event_loop.add(worker, ready);
    listen(&mut event_loop, listener, done)?;
    writeln!(io::stdout(), "listening on {address}")?;
    event_loop.run() // waits: inside, for all of them
}

fn listen(event_loop: &mut EventLoop, listener: TcpListener, done: Rc<Done>) -> io::Result<Token> {
    let mut last = 0;
    event_loop.listen(listener, move |event_loop, came| match came {
        Ok((visitor, from)) => {
            last += 1;
            log(last, &format!("connected from {from}"));
            let (number, done) = (last, Rc::clone(&done));
            event_loop.set_read_callback(visitor, move |event_loop, me, input| {
                data_available(event_loop, me, input, &done);
            });
            event_loop.set_close_callback(visitor, move |_, _, ending| {
                log(number, &format!("gone: {ending:?}"));
            });
        }
        Err(error) => log(last + 1, &format!("not accepted: {error}")),
    })
}
