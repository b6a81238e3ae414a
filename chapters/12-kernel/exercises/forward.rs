//! Exercise 12-forward: ask somebody else, and wait without waiting.
//!
//! A forwarder knows no names. It passes each question on to its upstream, and goes on with the next one; the
//! answer comes later, or never. Datagrams say nothing of what they answer but a number of 16 bits, and anybody may
//! send one. Whoever guesses the number puts an address of their own behind your bank's name, and the memory
//! of the forwarder keeps it for all who ask (RFC 5452). What is under way, who waits for what, what is remembered and
//! what has taken too long is a value without a socket and without a clock.
//!
//! Run it:      cargo run -p ex12-kernel --bin ex12-forward 7012 9.9.9.9:53      and, in a second terminal, twice:
//!              dig -p 7012 @127.0.0.1 +nocookie example.org
//! Be graded:   cargo grade 12

// Until you have written your part, much is unused here. Take these lines out when you have.
#![allow(clippy::ptr_arg, dead_code, unreachable_code)]
#![allow(unused_imports, unused_mut, unused_variables)]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::program::{self, say};
use ch07_callbacks::{EventLoop, Token};
use ch09_timers::{Clock, Timer, Timers};
use ch12_kernel::datagrams::{Arrival, Buffers, Datagrams};

const NAME: &str = "ex12-forward";
const HELP: &str = "ex12-forward ADDRESS UPSTREAM [MILLISECONDS]

Passes the questions that come to ADDRESS on to the DNS server at UPSTREAM, and its answers back.
MILLISECONDS is how long it waits for an answer; 4000 where not given. Port 0 means any free one.";

/// How many may wait for an answer at the same time, for all questions together. Each costs memory, and an upstream
/// that says nothing lets them pile up.
const MOST_WAITING: usize = 1000;
/// How many answers are remembered: there are more names than memory.
const MOST_REMEMBERED: usize = 500;
/// How long an answer is waited for where nothing else is said: a second less than `dig` waits for ours, so that it hears
/// of the failure.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long a message's head is, in bytes: number, flags, and four counts (RFC 1035, section 4.1.1).
const HEAD: usize = 12;
/// Longest name, in bytes, with the lengths of its labels (RFC 1035, section 3.1).
const LONGEST_NAME: usize = 255;
/// The type of a record that is none: what should be its TTL are flags (RFC 6891, section 6.1.3).
const OPT: [u8; 2] = [0, 41];
/// The response code of a server that has failed to find out (RFC 1035, section 4.1.1).
const SERVFAIL: u8 = 2;

/// A message, as far as a forwarder looks into it.
struct Message<'a> {
    bytes: &'a [u8],
    number: u16,
    is_answer: bool,
    /// The name that it's about, in labels, each behind its length. Capitals and small letters mean the same.
    name: &'a [u8],
    /// What is asked about the name: the type and the class, two bytes each.
    kind: &'a [u8],
}

impl<'a> Message<'a> {
    /// Takes a message apart. `None` if it's torn, or isn't about just one name.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        let &[high, low, flags, _, 0, 1, ..] = head else { return None };
        let (name, rest) = rest.split_at_checked(name_length(rest)?)?;
        let (number, is_answer) = (u16::from_be_bytes([high, low]), flags & 0x80 != 0);
        Some(Self { bytes, number, is_answer, name, kind: rest.get(..4)? })
    }

    /// What is the same if two ask the same: all of the message but its number, with the name in small letters.
    fn key(&self) -> Vec<u8> {
        let (head, rest) = self.bytes.split_at(HEAD);
        let rest = &rest[self.name.len()..];
        [&head[2..], &self.name.to_ascii_lowercase(), rest].concat()
    }

    /// The message under another number.
    fn numbered(&self, number: u16) -> Vec<u8> {
        [&number.to_be_bytes()[..], &self.bytes[2..]].concat()
    }
}

/// How long the name is that `bytes` begin with, the empty label at its end with it. A question's isn't
/// compressed: there is nothing before it to point to.
fn name_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let label = bytes.get(at).filter(|length| **length < 64)?;
        at += 1 + usize::from(*label);
        if *label == 0 {
            return (at <= LONGEST_NAME).then_some(at);
        }
    }
}

/// Where the TTLs of all records stand. `None` if the message is torn.
fn ttls(message: &Message<'_>) -> Option<Vec<usize>> {
    let bytes = message.bytes;
    let counts =
        bytes[6..HEAD].chunks(2).map(|count| usize::from(count[0]) << 8 | usize::from(count[1]));
    let mut at = HEAD + message.name.len() + 4;
    let mut found = Vec::new();
    for _ in 0..counts.sum() {
        // A name's labels, up to the empty one or to the pointer to the rest of it.
        loop {
            let length = usize::from(*bytes.get(at)?);
            at += if length < 64 { 1 + length } else { 2 };
            if length == 0 || length >= 64 {
                break;
            }
        }
        let record = bytes.get(at..at + 10)?;
        if record[..2] != OPT {
            found.push(at + 4);
        }
        at += 10 + (usize::from(record[8]) << 8 | usize::from(record[9]));
    }
    (at <= bytes.len()).then_some(found)
}

/// The TTL that stands there, in seconds. A negative one counts as 0 (RFC 2181, section 8).
fn ttl_at(bytes: &[u8], at: usize) -> u32 {
    let ttl = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    ttl.filter(|ttl| *ttl <= i32::MAX as u32).unwrap_or_default()
}

/// How long an answer holds, in seconds: the least TTL of its records. `None` if it mustn't be remembered at all: it's
/// torn or cut short, it has failed, or has no records.
fn least_ttl(answer: &Message<'_>) -> Option<u32> {
    let is_cut_short = answer.bytes[2] & 2 != 0;
    let has_failed = answer.bytes[3] & 15 != 0;
    if is_cut_short || has_failed {
        return None;
    }
    ttls(answer)?.into_iter().map(|at| ttl_at(answer.bytes, at)).min()
}

/// The answer, so many seconds later: each TTL is less by that.
fn aged(answer: &[u8], seconds: u64) -> Vec<u8> {
    let mut aged = answer.to_vec();
    for at in Message::parse(answer).and_then(|message| ttls(&message)).unwrap_or_default() {
        let left = u64::from(ttl_at(answer, at)).saturating_sub(seconds) as u32;
        aged[at..at + 4].copy_from_slice(&left.to_be_bytes());
    }
    aged
}

/// Somebody who waits for an answer.
#[derive(Clone)]
struct Asker {
    from: SocketAddr,
    /// The question's head, its name and its kind, as they were asked.
    question: Vec<u8>,
}

impl Asker {
    fn new(from: SocketAddr, question: &Message<'_>) -> Self {
        let length = HEAD + question.name.len() + question.kind.len();
        Self { from, question: question.bytes[..length].to_vec() }
    }

    /// This answer, for this asker: under their number, and with the name as they have spelled it.
    fn answer(&self, answer: &[u8]) -> Packet {
        let question = &self.question;
        let end = question.len().min(answer.len());
        let bytes =
            [&question[..2], &answer[2..HEAD], &question[HEAD..end], &answer[end..]].concat();
        Packet::Answer(self.from, bytes)
    }

    /// That we have failed to find out.
    fn failure(&self) -> Packet {
        let mut bytes = self.question.clone();
        bytes[2] |= 0x80; // an answer
        bytes[3] = 0x80 | SERVFAIL; // from somebody whom one may ask
        bytes[6..HEAD].fill(0); // and no records
        Packet::Answer(self.from, bytes)
    }
}

/// What is to be sent.
enum Packet {
    /// To the upstream.
    Question(Vec<u8>),
    /// To somebody who has asked.
    Answer(SocketAddr, Vec<u8>),
}

/// A number that nobody can guess.
///
/// # Panics
/// When the kernel has none.
fn random() -> u16 {
    // waits: never, but for the first moments after a machine was switched on (getrandom(2))
    getrandom::u32().expect("the kernel has random numbers") as u16
}

/// A question that the upstream was asked.
struct UnderWay {
    key: Vec<u8>,
    /// Who waits for the answer, in the order in which they came. There is one at least.
    askers: Vec<Asker>,
    /// Until when.
    deadline: Duration,
}

/// An answer that is remembered.
struct Remembered {
    answer: Vec<u8>,
    since: Duration,
    until: Duration,
}

/// All that a forwarder knows. Moments are durations since the program's start. (The fields below the first two are
/// a proposal: change them as you like.)
struct Forwarder {
    upstream: SocketAddr,
    /// How long an answer is waited for.
    patience: Duration,
    /// By the number under which the upstream was asked.
    under_way: BTreeMap<u16, UnderWay>,
    /// The number, by the question's key.
    numbers: BTreeMap<Vec<u8>, u16>,
    /// When each of these numbers is late, the first one first.
    deadlines: BTreeSet<(Duration, u16)>,
    /// How many askers wait, for all questions together.
    waiting: usize,
    /// By the question's key.
    remembered: BTreeMap<Vec<u8>, Remembered>,
}

impl Forwarder {
    fn new(upstream: SocketAddr, patience: Duration) -> Self {
        Self {
            upstream,
            patience,
            under_way: BTreeMap::new(),
            numbers: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            waiting: 0,
            remembered: BTreeMap::new(),
        }
    }

    /// A message has come from somebody who may be anybody. Gives what is to be sent, if anything is.
    fn asked(&mut self, from: SocketAddr, bytes: &[u8], now: Duration) -> Option<Packet> {
        // your turn: answer from memory, or let it wait for what is under way, or ask the upstream
        todo!("answer from memory, or let it wait for what is under way, or ask the upstream")
        // end
    }

    /// A message has come to the socket from which the upstream is asked. It may be from anybody. Gives what is to be
    /// sent.
    fn answered(&mut self, from: SocketAddr, bytes: &[u8], now: Duration) -> Vec<Packet> {
        // your turn: see whether it's to be believed, tell all who wait for it, and remember it
        todo!("see whether it's to be believed, tell all who wait for it, and remember it")
        // end
    }

    /// Takes out a question that is over, however it ended.
    fn take(&mut self, number: u16) -> Option<UnderWay> {
        // your turn: see to it that nothing is left of it
        todo!("see to it that nothing is left of it")
        // end
    }

    /// Remembers what this question was answered, for so long.
    fn remember(&mut self, key: Vec<u8>, answer: &[u8], now: Duration, ttl: Duration) {
        // your turn: keep it, and make room for it first
        todo!("keep it, and make room for it first")
        // end
    }

    /// When `late` is to be called: at the first deadline. `None`: there is none.
    fn due(&self) -> Option<Duration> {
        // your turn: tell the first deadline of all questions that are under way
        todo!("tell the first deadline of all questions that are under way")
        // end
    }

    /// It's so late now. Gives what is to be sent to those who have waited too long.
    fn late(&mut self, now: Duration) -> Vec<Packet> {
        // your turn: give up each question whose deadline has come, and tell all who wait for it
        todo!("give up each question whose deadline has come, and tell all who wait for it")
        // end
    }
}

/// The forwarder in its loop.
struct Service {
    forwarder: RefCell<Forwarder>,
    upstream: SocketAddr,
    timers: Timers,
    /// Where questions come in.
    door: Cell<Option<Token>>,
    /// From where the upstream is asked.
    back: Cell<Option<Token>>,
    /// The one that is set, and for when.
    timer: Cell<Option<(Duration, Timer)>>,
}

impl Service {
    fn start(
        event_loop: &mut EventLoop,
        door: UdpSocket,
        upstream: SocketAddr,
        patience: Duration,
    ) -> io::Result<()> {
        let any: IpAddr = match upstream {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let back = UdpSocket::bind((any, 0))?;
        let service = Rc::new(Self {
            forwarder: RefCell::new(Forwarder::new(upstream, patience)),
            upstream,
            timers: Timers::start(event_loop, Clock::system()),
            door: Cell::default(),
            back: Cell::default(),
            timer: Cell::default(),
        });
        let (buffers, at_door, at_back) =
            (Buffers::default(), Rc::clone(&service), Rc::clone(&service));
        let door = Datagrams::add(event_loop, door, &buffers, move |event_loop, _, arrival| {
            // What is cut short is lost, as a datagram may be; that is said nowhere.
            let Arrival::Datagram { bytes, from } = arrival else { return };
            let now = at_door.timers.now(event_loop);
            let packet = at_door.forwarder.borrow_mut().asked(from, bytes, now);
            at_door.send(event_loop, packet);
        })?;
        let back = Datagrams::add(event_loop, back, &buffers, move |event_loop, _, arrival| {
            let Arrival::Datagram { bytes, from } = arrival else { return };
            let now = at_back.timers.now(event_loop);
            let packets = at_back.forwarder.borrow_mut().answered(from, bytes, now);
            at_back.send(event_loop, packets);
        })?;
        service.door.set(Some(door));
        service.back.set(Some(back));
        Ok(())
    }

    /// What has no room is lost: who asks by datagrams asks again.
    fn send(
        self: &Rc<Self>,
        event_loop: &mut EventLoop,
        packets: impl IntoIterator<Item = Packet>,
    ) {
        for packet in packets {
            let (socket, to, bytes) = match packet {
                Packet::Question(bytes) => (&self.back, self.upstream, bytes),
                Packet::Answer(to, bytes) => (&self.door, to, bytes),
            };
            if let Some(socket) = socket.get() {
                Datagrams::send(event_loop, socket, Some(to), &bytes);
            }
        }
        self.set_timer(event_loop);
    }

    /// There is one timer: for the first deadline, whichever that is now.
    fn set_timer(self: &Rc<Self>, event_loop: &mut EventLoop) {
        let due = self.forwarder.borrow().due();
        if due == self.timer.get().map(|(due, _)| due) {
            return;
        }
        if let Some((_, before)) = self.timer.take() {
            self.timers.cancel(event_loop, before);
        }
        let Some(due) = due else { return };
        let service = Rc::clone(self);
        let timer = self.timers.at(event_loop, due, move |event_loop| {
            service.timer.take();
            let now = service.timers.now(event_loop);
            let packets = service.forwarder.borrow_mut().late(now);
            say(&format!("no answer from {}", service.upstream));
            service.send(event_loop, packets);
        });
        self.timer.set(Some((due, timer)));
    }
}

fn main() {
    let words = program::arguments(HELP);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (address, upstream, patience) = match words.as_slice() {
        [address, upstream] => (*address, *upstream, PATIENCE),
        [address, upstream, milliseconds] => match milliseconds.parse() {
            Ok(milliseconds) => (*address, *upstream, Duration::from_millis(milliseconds)),
            Err(_) => program::complain(NAME, 2, "MILLISECONDS is a number; see --help"),
        },
        _ => program::complain(NAME, 2, "give an ADDRESS and an UPSTREAM; see --help"),
    };
    let address = program::address(NAME, address);
    let upstream = program::address(NAME, upstream);
    if let Err(error) = serve(address, upstream, patience) {
        program::complain(NAME, 1, &format!("can't serve on {address}: {error}"));
    }
}

fn serve(address: SocketAddr, upstream: SocketAddr, patience: Duration) -> io::Result<()> {
    let door = UdpSocket::bind(address)?;
    let mut event_loop = ch08_epoll::event_loop()?;
    let listening = door.local_addr()?;
    Service::start(&mut event_loop, door, upstream, patience)?;
    writeln!(io::stdout(), "listening on {listening}")?;
    event_loop.run() // waits: inside, for all of them
}
