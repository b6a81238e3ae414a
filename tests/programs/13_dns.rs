//! A DNS server that is handed over from one loop to another, in the middle of whatever is under
//! way: everybody gets exactly one answer.
//!
//! The clocks are turned by hand, so nothing is late unless a test says so. Each process has one
//! of its own.

#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "dns/house.rs"]
mod house;

use std::cell::Cell;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ch07_callbacks::{EventLoop, Token};
use ch09_timers::{Clock, Timers};
use ch12_kernel::dns::forwarder::handover::{Parts, Place, Waiting};
use ch12_kernel::dns::forwarder::{ENOUGH, Forwarder};
use ch12_kernel::dns::handover::{HandedOver, Way};
use ch12_kernel::dns::question::Transport;
use ch12_kernel::dns::{self, Dns, Options};
use ch12_kernel::presence::Service;
use ch13_upgrade::dns::{read, write};
use ch13_upgrade::state::{Incoming, Outgoing};
use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::EdnsOption;
use house::{
    PATIENCE, QUICK, address, addresses, answer_to, bytes, framed, name, question, same_port, zone,
};
use nix::sys::socket::{Backlog, listen};
use rstest::rstest;

const MILLISECOND: Duration = Duration::from_millis(1);

/// A server in a loop of its own, as a process has it.
struct Process {
    event_loop: EventLoop,
    clock: Clock,
    dns: Dns,
}

type State = (Vec<u8>, Vec<OwnedFd>);

impl Process {
    fn new(start: impl FnOnce(&mut EventLoop, Timers) -> io::Result<Dns>) -> io::Result<Self> {
        let mut event_loop = ch08_epoll::event_loop()?;
        let clock = Clock::standing();
        let timers = Timers::start(&mut event_loop, clock.clone());
        let dns = start(&mut event_loop, timers)?;
        Ok(Self { event_loop, clock, dns })
    }

    /// All that it has, as it's sent to another process: each descriptor there is another one of
    /// the same socket.
    fn state(&self) -> State {
        let server = self.dns.parts_and_sockets(&self.event_loop).expect("it isn't stopping");
        let mut to = Outgoing::default();
        write(&mut to, &server);
        let (bytes, lent) = to.finish();
        (bytes, lent.iter().map(|lent| lent.try_clone_to_owned().unwrap()).collect())
    }

    fn from_state((bytes, descriptors): State, options: Options) -> io::Result<Self> {
        let handed_over = read(Incoming::new(&bytes, descriptors)).map_err(io::Error::other)?;
        Self::new(|event_loop, timers| {
            dns::handover::adopt(event_loop, timers, handed_over, options)
        })
    }

    fn turn(&mut self) {
        self.event_loop.turn(Some(5 * MILLISECOND)).unwrap();
    }

    /// Another one goes on with all of it.
    fn leave(mut self) {
        let left = Rc::new(Cell::new(false));
        let has_left = Rc::clone(&left);
        self.dns.leave(&mut self.event_loop, Box::new(move |_| has_left.set(true)));
        self.turn();
        assert!(left.get());
        assert!(self.dns.rows(&self.event_loop).is_empty());
    }
}

/// What becomes of an attempt to hand it over.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Attempt {
    Succeeds,
    /// The new process ends before it's let go.
    Fails,
    /// And the next one, too, before it has done anything.
    SucceedsTwice,
}

/// A server, now in this process, now in that, and the upstream that it asks.
struct World {
    process: Process,
    address: SocketAddr,
    upstream: UdpSocket,
    upstream_tcp: TcpListener,
}

impl World {
    fn open() -> Self {
        let (upstream, upstream_tcp) = same_port();
        upstream.set_nonblocking(true).unwrap();
        upstream_tcp.set_nonblocking(true).unwrap();
        let (udp, tcp) = same_port();
        let address = udp.local_addr().unwrap();
        let options = options(Some(upstream.local_addr().unwrap()));
        let process =
            Process::new(|event_loop, timers| dns::serve(event_loop, timers, udp, tcp, options));
        Self { process: process.unwrap(), address, upstream, upstream_tcp }
    }

    fn attempt(&mut self, attempt: Attempt) {
        match attempt {
            Attempt::Succeeds => self.hand_over(self.options()),
            Attempt::Fails => {
                let new = Process::from_state(self.process.state(), self.options()).unwrap();
                drop(new);
            }
            Attempt::SucceedsTwice => {
                self.hand_over(self.options());
                self.hand_over(self.options());
            }
        }
    }

    fn options(&self) -> Options {
        options(Some(self.upstream.local_addr().unwrap()))
    }

    fn hand_over(&mut self, options: Options) {
        let new = Process::from_state(self.process.state(), options).unwrap();
        std::mem::replace(&mut self.process, new).leave();
    }

    /// Turns the loop until there is something.
    #[track_caller]
    fn until<T>(&mut self, mut there: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(there) = there(self) {
                return there;
            }
            assert!(Instant::now() < deadline, "it never came");
            self.process.turn();
        }
    }

    #[track_caller]
    fn until_under_way(&mut self, count: usize) {
        self.until(|world| (world.process.dns.under_way() == count).then_some(()));
    }

    fn asker(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.address).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    }

    fn client(&self) -> Stream {
        Stream::new(TcpStream::connect(self.address).unwrap())
    }

    /// The next question that the upstream is asked, and whose port it comes from.
    #[track_caller]
    fn asked(&mut self) -> (Message, SocketAddr) {
        self.until(|world| heard(&world.upstream))
    }

    /// The next connection to the upstream.
    #[track_caller]
    fn connected(&mut self) -> Stream {
        let (socket, _) = self.until(|world| world.upstream_tcp.accept().ok());
        Stream::new(socket)
    }

    #[track_caller]
    fn hears(&mut self, asker: &UdpSocket) -> Message {
        self.until(|_| heard(asker)).0
    }

    #[track_caller]
    fn hears_framed(&mut self, stream: &mut Stream) -> Message {
        self.until(|_| stream.next())
    }

    fn says(&self, to: SocketAddr, message: &Message) {
        self.upstream.send_to(&bytes(message), to).unwrap();
    }

    /// Had there been another answer for them, it would come before this one.
    #[track_caller]
    fn nothing_more(&mut self, asker: &UdpSocket) {
        asker.send(&bytes(&ours(999))).unwrap();
        let next = self.hears(asker);
        assert_eq!((next.metadata.id, addresses(&next)), (999, vec![1, 2]));
    }

    #[track_caller]
    fn nothing_more_framed(&mut self, client: &mut Stream) {
        client.say(&framed(&bytes(&ours(999))));
        let next = self.hears_framed(client);
        assert_eq!((next.metadata.id, addresses(&next)), (999, vec![1, 2]));
    }

    /// What is under way, looked at from outside.
    fn look<T>(&self, look: impl FnOnce(HandedOver<BorrowedFd<'_>>) -> T) -> T {
        look(self.process.dns.parts_and_sockets(&self.process.event_loop).unwrap())
    }

    /// How many bytes have come on the connection that asks the one question, and how many are
    /// still to be sent.
    fn on_the_way(&self) -> Option<(usize, usize)> {
        self.look(|server| match &server.questions[..] {
            [(Some(Way::Tcp(_, parts)), _)] => Some((parts.input.len(), parts.output.len())),
            _ => None,
        })
    }
}

fn options(upstream: Option<SocketAddr>) -> Options {
    Options { zone: Some(zone()), upstream, times: QUICK, generation: None }
}

fn heard(socket: &UdpSocket) -> Option<(Message, SocketAddr)> {
    let mut buffer = [0; 4096];
    let (count, from) = socket.recv_from(&mut buffer).ok()?;
    Some((Message::from_vec(&buffer[..count]).expect("it can be read"), from))
}

/// A connection, of whoever it is.
struct Stream {
    socket: TcpStream,
    bytes: Vec<u8>,
    ended: bool,
}

impl Stream {
    fn new(socket: TcpStream) -> Self {
        socket.set_nonblocking(true).unwrap();
        Self { socket, bytes: Vec::new(), ended: false }
    }

    fn say(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    fn look(&mut self) {
        let mut piece = [0; 4096];
        match self.socket.read(&mut piece) {
            Ok(count) => {
                self.ended = count == 0;
                self.bytes.extend_from_slice(&piece[..count]);
            }
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }

    /// The next message, when it's whole.
    fn next(&mut self) -> Option<Message> {
        self.look();
        let (length, rest) = self.bytes.split_first_chunk()?;
        let message = rest.get(..usize::from(u16::from_be_bytes(*length)))?;
        let read = Message::from_vec(message).expect("it can be read");
        self.bytes.drain(..2 + message.len());
        Some(read)
    }

    fn has_ended(&mut self) -> Option<()> {
        self.look();
        self.ended.then_some(())
    }
}

/// A question that the zone answers.
fn ours(id: u16) -> Message {
    question(id, "web.example.test.", RecordType::A)
}

fn theirs(id: u16, of: &str) -> Message {
    question(id, of, RecordType::A)
}

/// What an upstream that means it says to a question: an address that ends with this number.
fn answer(asked: &Message, last: u8) -> Message {
    let mut answer = answer_to(asked);
    answer.add_answer(address(asked.queries[0].name().clone(), 300, last));
    answer
}

fn truncated(asked: &Message) -> Message {
    let mut answer = answer_to(asked);
    answer.metadata.truncation = true;
    answer
}

#[track_caller]
fn is_answer(message: &Message, id: u16, last: u8) {
    assert_eq!(message.metadata.response_code, ResponseCode::NoError);
    assert_eq!((message.metadata.id, addresses(message)), (id, vec![last]));
}

#[track_caller]
fn is_failure(message: &Message, id: u16) {
    assert_eq!(message.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(message.metadata.id, id);
}

#[rstest]
fn who_has_asked_gets_the_answer(
    #[values(Attempt::Succeeds, Attempt::Fails, Attempt::SucceedsTwice)] attempt: Attempt,
    #[values(false, true)] sent: bool,
) {
    let mut world = World::open();
    let (asker, mut client) = (world.asker(), world.client());
    asker.send(&bytes(&theirs(7, "A.other.test."))).unwrap();
    client.say(&framed(&bytes(&theirs(8, "b.other.test."))));
    world.until_under_way(2);
    // What the second one asks hasn't left yet.
    let mut asked = Vec::new();
    if sent {
        asked.extend([world.asked(), world.asked()]);
    }
    world.attempt(attempt);
    while asked.len() < 2 {
        asked.push(world.asked());
    }
    for (message, port) in &asked {
        let is_first = *message.queries[0].name() == name("a.other.test.");
        world.says(*port, &answer(message, if is_first { 1 } else { 2 }));
    }
    let to_asker = world.hears(&asker);
    is_answer(&to_asker, 7, 1);
    // Its own spelling.
    assert_eq!(to_asker.queries[0].name().to_ascii(), "A.other.test.");
    is_answer(&world.hears_framed(&mut client), 8, 2);
    world.nothing_more(&asker);
    world.nothing_more_framed(&mut client);
    assert!(heard(&world.upstream).is_none(), "nobody asked again");
}

#[rstest]
fn what_was_asked_twice_is_asked_again_when_it_is_due(
    #[values(Attempt::Succeeds, Attempt::Fails, Attempt::SucceedsTwice)] attempt: Attempt,
) {
    let mut world = World::open();
    let asker = world.asker();
    asker.send(&bytes(&theirs(7, "a.other.test."))).unwrap();
    let first = world.asked();
    world.process.clock.turn(QUICK.retry);
    assert_eq!(world.asked(), first, "the same message from the same port");
    // The next try has twice the time.
    let next = 2 * QUICK.retry;
    world.process.clock.turn(MILLISECOND);
    world.attempt(attempt);
    world.process.clock.turn(next - 2 * MILLISECOND);
    world.nothing_more(&asker);
    assert!(heard(&world.upstream).is_none(), "too early");
    world.process.clock.turn(MILLISECOND);
    let (message, port) = world.asked();
    assert_eq!((&message, port), (&first.0, first.1));
    world.process.clock.turn(2 * next - MILLISECOND);
    world.nothing_more(&asker);
    assert!(heard(&world.upstream).is_none(), "too early");
    world.process.clock.turn(MILLISECOND);
    let (message, port) = world.asked();
    assert_eq!((&message, port), (&first.0, first.1));
    world.says(port, &answer(&message, 3));
    world.says(port, &answer(&message, 4));
    is_answer(&world.hears(&asker), 7, 3);
    world.nothing_more(&asker);
}

#[rstest]
fn a_connection_to_the_upstream_goes_on_being_made(
    #[values(Attempt::Succeeds, Attempt::Fails, Attempt::SucceedsTwice)] attempt: Attempt,
) {
    let mut world = World::open();
    // One waits at the door, and there is no room for another.
    listen(&world.upstream_tcp, Backlog::new(0).unwrap()).unwrap();
    let in_the_way = TcpStream::connect(world.upstream.local_addr().unwrap()).unwrap();
    let asker = world.asker();
    asker.send(&bytes(&theirs(7, "a.other.test."))).unwrap();
    let (message, port) = world.asked();
    world.says(port, &truncated(&message));
    let length = framed(&bytes(&message)).len();
    world.until(|world| world.on_the_way());
    world.nothing_more(&asker);
    assert_eq!(world.on_the_way(), Some((0, length)));
    world.attempt(attempt);
    world.nothing_more(&asker);
    assert_eq!(world.on_the_way(), Some((0, length)));
    let first = world.connected();
    assert_eq!(first.socket.peer_addr().unwrap(), in_the_way.local_addr().unwrap());
    // The kernel knocks again after a second.
    let mut upstream = world.connected();
    let asked = world.hears_framed(&mut upstream);
    assert_eq!(asked, message);
    upstream.say(&framed(&bytes(&answer(&asked, 5))));
    is_answer(&world.hears(&asker), 7, 5);
    world.nothing_more(&asker);
    world.until(|_| upstream.has_ended());
    assert!(world.upstream_tcp.accept().is_err(), "one connection is enough");
}

#[rstest]
fn a_connection_that_is_refused_after_it_was_handed_over_is_tried_again(
    #[values(Attempt::Succeeds, Attempt::Fails)] attempt: Attempt,
) {
    let mut world = World::open();
    let there = world.upstream.local_addr().unwrap();
    let asker = world.asker();
    asker.send(&bytes(&theirs(7, "a.other.test."))).unwrap();
    let (message, port) = world.asked();
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    drop(std::mem::replace(&mut world.upstream_tcp, elsewhere));
    world.says(port, &truncated(&message));
    world.until(|world| world.on_the_way());
    world.attempt(attempt);
    // Refused, it pauses.
    world.until(|world| world.on_the_way().is_none().then_some(()));
    world.upstream_tcp = TcpListener::bind(there).unwrap();
    world.upstream_tcp.set_nonblocking(true).unwrap();
    world.attempt(attempt);
    world.process.clock.turn(QUICK.pause);
    let mut upstream = world.connected();
    let asked = world.hears_framed(&mut upstream);
    upstream.say(&framed(&bytes(&answer(&asked, 5))));
    is_answer(&world.hears(&asker), 7, 5);
    world.nothing_more(&asker);
}

#[rstest]
fn half_an_answer_is_made_whole(
    #[values(Attempt::Succeeds, Attempt::Fails, Attempt::SucceedsTwice)] attempt: Attempt,
    #[values(1, 2, 30, 61)] cut: usize,
) {
    let mut world = World::open();
    let mut client = world.client();
    client.say(&framed(&bytes(&theirs(7, "a.other.test."))));
    let (message, port) = world.asked();
    world.says(port, &truncated(&message));
    let mut upstream = world.connected();
    let asked = world.hears_framed(&mut upstream);
    // First a lie, which may be the one that is cut.
    let mut lie = answer(&asked, 66);
    lie.metadata.id ^= 1;
    let stream = [framed(&bytes(&lie)), framed(&bytes(&answer(&asked, 5)))].concat();
    let lie = framed(&bytes(&lie)).len();
    upstream.say(&stream[..cut]);
    let left = if cut < lie { cut } else { cut - lie };
    world.until(|world| (world.on_the_way() == Some((left, 0))).then_some(()));
    world.attempt(attempt);
    assert_eq!(world.on_the_way(), Some((left, 0)));
    world.nothing_more_framed(&mut client);
    upstream.say(&stream[cut..]);
    is_answer(&world.hears_framed(&mut client), 7, 5);
    world.nothing_more_framed(&mut client);
}

/// Four who ask the same, by both ways; and one who asks again and again, with a cookie.
#[rstest]
fn all_who_have_asked_the_same_get_the_answer(
    #[values(Attempt::Succeeds, Attempt::Fails, Attempt::SucceedsTwice)] attempt: Attempt,
) {
    let mut world = World::open();
    let (one, other, mut client) = (world.asker(), world.asker(), world.client());
    let mut with_cookie = theirs(1, "a.other.test.");
    let mut edns = Edns::new();
    edns.set_max_payload(4000);
    edns.options_mut().insert(EdnsOption::Unknown(10, b"12345678".to_vec()));
    with_cookie.edns = Some(edns);
    one.send(&bytes(&with_cookie)).unwrap();
    let (message, port) = world.asked();
    other.send(&bytes(&theirs(2, "a.OTHER.test."))).unwrap();
    let both = [theirs(3, "a.other.test."), theirs(4, "a.other.test.")];
    client.say(&both.iter().flat_map(|one| framed(&bytes(one))).collect::<Vec<_>>());
    let mut leaves = world.client();
    leaves.say(&framed(&bytes(&theirs(5, "a.other.test."))));
    let waiting = |world: &World| world.look(|server| server.questions[0].1.waiting.len());
    world.until(|world| (waiting(world) == 5).then_some(()));
    // Whoever leaves is no client any more.
    drop(leaves.socket.shutdown(Shutdown::Both));
    drop(leaves);
    world.attempt(attempt);
    one.send(&bytes(&with_cookie)).unwrap();
    world.nothing_more(&one);
    world.says(port, &answer(&message, 9));
    is_answer(&world.hears(&one), 1, 9);
    is_answer(&world.hears(&other), 2, 9);
    let mut ids =
        [world.hears_framed(&mut client), world.hears_framed(&mut client)].map(|message| {
            assert_eq!(addresses(&message), [9]);
            message.metadata.id
        });
    ids.sort_unstable();
    assert_eq!(ids, [3, 4]);
    world.nothing_more(&one);
    world.nothing_more(&other);
    world.nothing_more_framed(&mut client);
}

/// An asker whose connection is gone waits for nothing, and its question is answered all the same.
#[test]
fn a_question_whose_asker_is_gone_goes_on_without() {
    let mut world = World::open();
    let mut asks = world.client();
    asks.say(&framed(&bytes(&theirs(5, "a.other.test."))));
    let (message, port) = world.asked();
    // Reset: with an answer unread, closing is that.
    asks.say(&framed(&bytes(&ours(6))));
    world.until(|_| {
        let mut one = [0];
        (asks.socket.peek(&mut one).ok()? > 0).then_some(())
    });
    drop(asks);
    world.until(|world| world.look(|server| server.clients.is_empty()).then_some(()));
    world.attempt(Attempt::SucceedsTwice);
    let late = world.asker();
    late.send(&bytes(&theirs(8, "a.other.test."))).unwrap();
    world
        .until(|world| world.look(|server| server.questions[0].1.waiting.len() == 1).then_some(()));
    world.says(port, &answer(&message, 9));
    is_answer(&world.hears(&late), 8, 9);
    world.nothing_more(&late);
}

/// More questions than may be under way, half a question behind them, and then the end.
#[rstest]
fn who_is_held_back_goes_on(
    #[values(Attempt::Succeeds, Attempt::Fails, Attempt::SucceedsTwice)] attempt: Attempt,
    #[values(false, true)] ends: bool,
) {
    const COUNT: u16 = 70;
    let mut world = World::open();
    let mut client = world.client();
    let asked = |id| framed(&bytes(&theirs(id, &format!("n{}.other.test.", id % 2))));
    let all: Vec<u8> = (0..COUNT).flat_map(asked).collect();
    let cut = all.len() - 9;
    client.say(&all[..cut]);
    let upstream = [world.asked(), world.asked()];
    // Of the rest some bytes are still to come, or have come and aren't looked at.
    let untaken = |world: &World| world.look(|server| server.clients[0].1.connection.input.len());
    let whole: usize = (0..64).map(|id| asked(id).len()).sum();
    world.until(|world| (untaken(world) == cut - whole).then_some(()));
    if ends {
        client.say(&all[cut..]);
        client.socket.shutdown(Shutdown::Write).unwrap();
        world
            .until(|world| world.look(|server| server.clients[0].1.connection.ended).then_some(()));
    }
    world.attempt(attempt);
    let asker = world.asker();
    world.nothing_more(&asker);
    let there = if ends { all.len() } else { cut };
    assert_eq!(untaken(&world), there - whole, "it's held back as before");
    if !ends {
        client.say(&all[cut..]);
    }
    for (message, port) in &upstream {
        world.says(*port, &answer(message, 1));
    }
    let mut ids: Vec<u16> =
        (0..COUNT).map(|_| world.hears_framed(&mut client).metadata.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..COUNT).collect::<Vec<_>>());
    if ends {
        world.until(|_| client.has_ended());
        assert_eq!(client.bytes, b"");
        world.until(|world| world.look(|server| server.clients.is_empty()).then_some(()));
    } else {
        world.nothing_more_framed(&mut client);
    }
}

/// It has said that it asks nothing more, and waits.
#[rstest]
fn who_has_ended_gets_the_answer_and_then_the_end(
    #[values(Attempt::Succeeds, Attempt::Fails, Attempt::SucceedsTwice)] attempt: Attempt,
) {
    let mut world = World::open();
    let mut client = world.client();
    client.say(&framed(&bytes(&theirs(7, "a.other.test."))));
    client.socket.shutdown(Shutdown::Write).unwrap();
    let (message, port) = world.asked();
    world.until(|world| world.look(|server| server.clients[0].1.connection.ended).then_some(()));
    world.attempt(attempt);
    let other = world.asker();
    world.nothing_more(&other);
    assert_eq!(client.has_ended(), None, "not before it has its answer");
    world.says(port, &answer(&message, 1));
    is_answer(&world.hears_framed(&mut client), 7, 1);
    world.until(|_| client.has_ended());
    world.until(|world| world.look(|server| server.clients.is_empty()).then_some(()));
}

#[rstest]
fn a_lie_that_comes_afterwards_is_not_believed(
    #[values(Attempt::Succeeds, Attempt::Fails, Attempt::SucceedsTwice)] attempt: Attempt,
) {
    let mut world = World::open();
    let asker = world.asker();
    asker.send(&bytes(&theirs(7, "a.other.test."))).unwrap();
    let (message, port) = world.asked();
    world.attempt(attempt);
    let mut wrong_number = answer(&message, 66);
    wrong_number.metadata.id ^= 0x100;
    let mut wrong_name = answer(&message, 66);
    wrong_name.queries[0].set_name(name("b.other.test."));
    world.says(port, &wrong_number);
    world.says(port, &wrong_name);
    let elsewhere = UdpSocket::bind("127.0.0.1:0").unwrap();
    elsewhere.send_to(&bytes(&answer(&message, 66)), port).unwrap();
    world.nothing_more(&asker);
    world.says(port, &answer(&message, 1));
    is_answer(&world.hears(&asker), 7, 1);
    world.nothing_more(&asker);
}

#[rstest]
fn deadlines_go_on(
    #[values(Attempt::Succeeds, Attempt::Fails, Attempt::SucceedsTwice)] attempt: Attempt,
    #[values(false, true)] by_tcp: bool,
) {
    let mut world = World::open();
    let asker = world.asker();
    asker.send(&bytes(&theirs(7, "a.other.test."))).unwrap();
    let (message, port) = world.asked();
    if by_tcp {
        world.says(port, &truncated(&message));
        world.until(|world| (world.on_the_way()?.1 == 0).then_some(()));
    }
    world.process.clock.turn(QUICK.deadline - 20 * MILLISECOND);
    world.nothing_more(&asker);
    world.attempt(attempt);
    world.process.clock.turn(19 * MILLISECOND);
    world.nothing_more(&asker);
    assert_eq!(world.process.dns.under_way(), 1);
    world.process.clock.turn(MILLISECOND);
    is_failure(&world.hears(&asker), 7);
    world.nothing_more(&asker);
    assert_eq!(world.process.dns.under_way(), 0);
}

/// How long it has been under way is known, though the new process's clock has only begun.
#[rstest]
fn who_has_waited_long_enough_makes_room_for_another(
    #[values(Attempt::Succeeds, Attempt::Fails, Attempt::SucceedsTwice)] attempt: Attempt,
) {
    let mut world = World::open();
    let (old, new) = (world.asker(), world.asker());
    old.send(&bytes(&theirs(7, "a.other.test."))).unwrap();
    world.asked();
    world.process.clock.turn(ENOUGH + MILLISECOND);
    world.asked();
    world.attempt(attempt);
    world.process.dns.allow(1);
    new.send(&bytes(&theirs(8, "b.other.test."))).unwrap();
    let (message, port) = world.asked();
    is_failure(&world.hears(&old), 7);
    world.says(port, &answer(&message, 1));
    is_answer(&world.hears(&new), 8, 1);
}

#[rstest]
fn a_refused_question_is_asked_again_by_its_port(
    #[values(Attempt::Succeeds, Attempt::Fails, Attempt::SucceedsTwice)] attempt: Attempt,
) {
    let mut world = World::open();
    let there = world.upstream.local_addr().unwrap();
    world.upstream = UdpSocket::bind("127.0.0.1:0").unwrap();
    world.upstream.set_nonblocking(true).unwrap();
    let asker = world.asker();
    asker.send(&bytes(&theirs(7, "a.other.test."))).unwrap();
    let refused =
        |world: &World| world.look(|server| server.questions.first()?.1.refused.then_some(()));
    world.until(|world| refused(world));
    world.upstream = UdpSocket::bind(there).unwrap();
    world.upstream.set_nonblocking(true).unwrap();
    world.attempt(attempt);
    world.process.clock.turn(QUICK.pause);
    let (message, port) = world.asked();
    world.says(port, &answer(&message, 1));
    is_answer(&world.hears(&asker), 7, 1);
    world.nothing_more(&asker);
}

/// An alias of our own that leads elsewhere: what is asked isn't what was asked.
#[rstest]
fn an_alias_leads_to_the_same_place(
    #[values(Attempt::Succeeds, Attempt::Fails, Attempt::SucceedsTwice)] attempt: Attempt,
) {
    let mut world = World::open();
    let asker = world.asker();
    asker.send(&bytes(&theirs(7, "out.example.test."))).unwrap();
    let (message, port) = world.asked();
    world.attempt(attempt);
    world.says(port, &answer(&message, 1));
    let heard = world.hears(&asker);
    is_answer(&heard, 7, 1);
    assert_eq!(heard.answers.len(), 2);
    assert!(heard.metadata.authoritative);
    world.nothing_more(&asker);
}

/// How long an answer somebody takes is remembered.
#[rstest]
#[case::anybody(None, true)]
#[case::a_little(Some(600), true)]
#[case::enough(Some(1000), false)]
fn everybody_gets_what_they_can_take(#[case] takes: Option<u16>, #[case] is_too_long: bool) {
    let mut world = World::open();
    let asker = world.asker();
    let asks = theirs(7, "a.other.test.");
    let asks = takes.map_or(asks.clone(), |takes| house::with_edns(asks, takes));
    asker.send(&bytes(&asks)).unwrap();
    let (message, port) = world.asked();
    world.attempt(Attempt::SucceedsTwice);
    let mut long = answer_to(&message);
    for last in 0..50 {
        long.add_answer(address(name("a.other.test."), 300, last));
    }
    assert!((601..1000).contains(&bytes(&long).len()));
    world.says(port, &long);
    let heard = world.hears(&asker);
    assert_eq!((heard.metadata.id, heard.metadata.truncation), (7, is_too_long));
    assert_eq!(heard.answers.len(), if is_too_long { 0 } else { 50 });
    assert_eq!(heard.edns.is_some(), takes.is_some());
    world.nothing_more(&asker);
}

/// Both sides speak without EDNS from now on; that signatures were wanted is remembered all the
/// same.
#[test]
fn an_upstream_without_edns_is_asked_without() {
    let mut world = World::open();
    let asker = world.asker();
    let mut asks = theirs(7, "a.other.test.");
    let mut edns = Edns::new();
    edns.flags_mut().dnssec_ok = true;
    asks.edns = Some(edns);
    asker.send(&bytes(&asks)).unwrap();
    let (message, port) = world.asked();
    assert!(message.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok));
    let mut refusal = answer_to(&message);
    refusal.edns = None;
    refusal.metadata.response_code = ResponseCode::FormErr;
    world.says(port, &refusal);
    let (message, _) = world.asked();
    assert!(message.edns.is_none());
    world.attempt(Attempt::SucceedsTwice);
    world.process.clock.turn(2 * QUICK.retry);
    let (again, port) = world.asked();
    assert_eq!(again, message);
    asker.send(&bytes(&asks)).unwrap();
    world.nothing_more(&asker);
    world.says(port, &answer(&again, 1));
    let heard = world.hears(&asker);
    is_answer(&heard, 7, 1);
    assert!(heard.edns.is_some_and(|edns| edns.flags().dnssec_ok));
    world.nothing_more(&asker);
}

#[rstest]
#[case::the_answer(false)]
#[case::too_long_for_a_datagram(true)]
fn without_an_upstream_what_was_begun_is_finished(#[case] is_truncated: bool) {
    let mut world = World::open();
    let asker = world.asker();
    asker.send(&bytes(&theirs(7, "a.other.test."))).unwrap();
    let first = world.asked();
    world.hand_over(options(None));
    // Also asked again.
    world.process.clock.turn(QUICK.retry);
    let (message, port) = world.asked();
    assert_eq!((&message, port), (&first.0, first.1));
    if is_truncated {
        world.says(port, &truncated(&message));
        world.until(|world| world.look(|server| server.questions[0].1.refused).then_some(()));
        world.process.clock.turn(QUICK.pause);
        is_failure(&world.hears(&asker), 7);
    } else {
        world.says(port, &answer(&message, 1));
        is_answer(&world.hears(&asker), 7, 1);
    }
    world.nothing_more(&asker);
    asker.send(&bytes(&theirs(8, "b.other.test."))).unwrap();
    assert_eq!(world.hears(&asker).metadata.response_code, ResponseCode::Refused);
}

#[rstest]
fn who_does_nothing_is_hung_up_on_when_the_time_is_over(
    #[values(Attempt::Succeeds, Attempt::Fails, Attempt::SucceedsTwice)] attempt: Attempt,
) {
    let mut world = World::open();
    let mut client = world.client();
    world.nothing_more_framed(&mut client);
    let second = Duration::from_secs(1);
    world.process.clock.turn(6 * second);
    world.attempt(attempt);
    world.process.clock.turn(4 * second - MILLISECOND);
    let asker = world.asker();
    world.nothing_more(&asker);
    assert_eq!(client.has_ended(), None);
    world.process.clock.turn(MILLISECOND);
    world.until(|_| client.has_ended());
}

/// A crowd is let gather, and whoever has the socket then hears it.
#[rstest]
fn a_pause_leaves_nobody_deaf(
    #[values(Attempt::Succeeds, Attempt::Fails, Attempt::SucceedsTwice)] attempt: Attempt,
) {
    let mut world = World::open();
    let askers: Vec<_> = (0..20).map(|_| world.asker()).collect();
    for asker in &askers {
        asker.send(&bytes(&ours(1))).unwrap();
    }
    // One turn, and it pauses; what it has to say isn't sent yet.
    world.process.turn();
    let queued = world.look(|server| server.udp.1.queued.len());
    assert_eq!(queued, askers.len());
    let late = world.asker();
    late.send(&bytes(&ours(2))).unwrap();
    world.attempt(attempt);
    assert_eq!(world.hears(&late).metadata.id, 2);
    for asker in &askers {
        assert_eq!(world.hears(asker).metadata.id, 1);
        world.nothing_more(asker);
    }
}

/// Queued for somebody who doesn't read: they get all of it, once.
#[rstest]
fn what_is_queued_on_a_connection_is_sent_once(
    #[values(Attempt::Succeeds, Attempt::Fails, Attempt::SucceedsTwice)] attempt: Attempt,
) {
    const COUNT: u16 = 20_000;
    let mut world = World::open();
    let mut client = world.client();
    let all: Vec<u8> = (0..COUNT).flat_map(|id| framed(&bytes(&ours(id)))).collect();
    let mut said = 0;
    // Until it's held back by what it doesn't read, and can say no more.
    world.until(|world| {
        while let Ok(count) = client.socket.write(&all[said..]) {
            said += count;
            if count == 0 {
                return Some(());
            }
        }
        let (input, output) = world.look(|server| {
            let connection = &server.clients.first()?.1.connection;
            Some((connection.input.len(), connection.output.len()))
        })?;
        (input > 0 && output > 64 * 1024).then_some(())
    });
    world.attempt(attempt);
    let mut next = 0;
    world.until(|_| {
        if let Ok(count) = client.socket.write(&all[said..]) {
            said += count;
        }
        while let Some(message) = client.next() {
            assert_eq!(message.metadata.id, next);
            next += 1;
        }
        (next == COUNT).then_some(())
    });
    world.nothing_more_framed(&mut client);
}

#[test]
fn who_is_stopping_hands_nothing_over() {
    let mut world = World::open();
    let asker = world.asker();
    asker.send(&bytes(&theirs(7, "a.other.test."))).unwrap();
    world.until_under_way(1);
    let Process { event_loop, dns, .. } = &mut world.process;
    dns.stop(event_loop, Box::new(|_| {}));
    assert!(dns.parts_and_sockets(event_loop).is_none());
}

/// A server with a bit of everything.
struct Full {
    world: World,
    askers: [UdpSocket; 2],
    clients: [Stream; 2],
    /// The one that asks the upstream by TCP, and the rest of the answer.
    upstream: Stream,
    rest: Vec<u8>,
}

fn full() -> Full {
    let mut world = World::open();
    let askers = [world.asker(), world.asker()];
    let mut clients = [world.client(), world.client()];
    askers[0].send(&bytes(&theirs(1, "a.other.test."))).unwrap();
    let (message, port) = world.asked();
    world.says(port, &truncated(&message));
    let mut upstream = world.connected();
    let asked = world.hears_framed(&mut upstream);
    let mut whole = framed(&bytes(&answer(&asked, 1)));
    let rest = whole.split_off(20);
    upstream.say(&whole);
    world.until(|world| (world.on_the_way() == Some((20, 0))).then_some(()));
    askers[1].send(&bytes(&theirs(2, "a.other.test."))).unwrap();
    clients[0].say(&framed(&bytes(&theirs(3, "a.other.test."))));
    clients[0].say(&framed(&bytes(&theirs(4, "b.other.test.")))[..9]);
    clients[1].say(&framed(&bytes(&theirs(5, "c.other.test."))));
    world.until(|world| {
        let is_full = |server: HandedOver<BorrowedFd<'_>>| {
            server.questions.len() == 2
                && server.questions[0].1.waiting.len() == 3
                && server.clients[0].1.connection.input.len() == 9
        };
        world.look(is_full).then_some(())
    });
    Full { world, askers, clients, upstream, rest }
}

/// What the kernel calls a descriptor's socket (proc_pid_fd(5)).
fn socket_of(descriptor: RawFd) -> Option<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{descriptor}")).ok()
}

/// All of this program's descriptors, those of other tests included.
fn sockets() -> Vec<PathBuf> {
    let all = fs::read_dir("/proc/self/fd").unwrap();
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    all.filter_map(|entry| socket_of(number(entry.ok()?)?)).collect()
}

#[test]
fn a_hundred_times_leave_no_descriptor_behind() {
    let Full { mut world, askers, mut clients, mut upstream, rest } = full();
    let ours: Vec<PathBuf> = {
        let (_, descriptors) = world.process.state();
        descriptors.iter().filter_map(|one| socket_of(one.as_raw_fd())).collect()
    };
    assert_eq!(ours.len(), 6, "datagrams, listener, two clients, two questions");
    for number in 0..100 {
        world.attempt(if number % 3 == 0 { Attempt::Fails } else { Attempt::Succeeds });
    }
    let all = sockets();
    for socket in &ours {
        assert_eq!(all.iter().filter(|one| *one == socket).count(), 1, "{socket:?}");
    }
    assert_eq!(world.process.dns.under_way(), 2);
    upstream.say(&rest);
    is_answer(&world.hears(&askers[0]), 1, 1);
    is_answer(&world.hears(&askers[1]), 2, 1);
    is_answer(&world.hears_framed(&mut clients[0]), 3, 1);
}

fn again((bytes, descriptors): &State) -> State {
    let again = |descriptor: &OwnedFd| descriptor.try_clone().unwrap();
    (bytes.clone(), descriptors.iter().map(again).collect())
}

#[test]
fn a_state_that_is_cut_short_is_refused() {
    let Full { world, .. } = full();
    let state = world.process.state();
    assert!(Process::from_state(again(&state), world.options()).is_ok());
    for length in 0..state.0.len() {
        let mut cut = again(&state);
        cut.0.truncate(length);
        assert!(Process::from_state(cut, world.options()).is_err(), "{length}");
    }
    let mut longer = again(&state);
    longer.0.push(0);
    assert!(Process::from_state(longer, world.options()).is_err());
    // A descriptor that nobody asks for.
    let mut more = again(&state);
    more.1.push(more.1[0].try_clone().unwrap());
    assert!(Process::from_state(more, world.options()).is_err());
    let mut fewer = again(&state);
    fewer.1.pop();
    assert!(Process::from_state(fewer, world.options()).is_err());
}

/// Read without an error, it may still be no question under way.
#[test]
fn what_is_no_question_is_not_adopted() {
    let parts = |message: &Message, waiting: Waiting| Parts {
        message: bytes(message),
        edns: true,
        by: Transport::Udp,
        refused: false,
        patience: QUICK.retry,
        due: QUICK.retry,
        time_left: Duration::MAX,
        waiting: vec![waiting],
    };
    let asks = theirs(7, "a.other.test.");
    let waits =
        |place, message: &Message| Waiting { place, message: bytes(message), is_plain: true };
    let here = Place::Connection(0);
    let mut forwarder = Forwarder::new(QUICK);
    let token = Token::from_bits(7);
    let mut adopt = |parts: &Parts| {
        let adopted =
            forwarder.adopt(parts, Duration::ZERO, |number| (number == 0).then_some(token));
        (adopted.is_some(), forwarder.len(), forwarder.waiting())
    };
    let no_question = answer(&asks, 1);
    assert_eq!(adopt(&parts(&no_question, waits(here, &asks))), (false, 0, 0));
    assert_eq!(adopt(&parts(&asks, waits(here, &no_question))), (false, 0, 0));
    assert_eq!(adopt(&parts(&asks, waits(Place::Connection(1), &asks))), (false, 0, 0));
    assert_eq!(adopt(&parts(&asks, waits(here, &asks))), (true, 1, 1));
    let twice = theirs(8, "A.other.test.");
    assert_eq!(adopt(&parts(&twice, waits(here, &twice))), (false, 1, 1));
    // Nobody waits for longer than anybody may.
    let (question, parts) = forwarder.parts(Duration::ZERO, |_| Some(0)).pop().unwrap();
    assert_eq!(parts.time_left, QUICK.deadline);
    assert_eq!(forwarder.due(question), Some(QUICK.retry));
}

/// Whatever it is: it's refused, or it's a server.
#[test]
fn a_state_that_was_altered_makes_no_trouble() {
    let Full { mut world, .. } = full();
    let state = world.process.state();
    let mut random = fastrand::Rng::with_seed(13);
    let (mut refused, mut served) = (0, 0);
    for _ in 0..1500 {
        let mut altered = again(&state);
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..altered.0.len());
            altered.0[at] = match random.u8(..3) {
                0 => random.u8(..),
                1 => altered.0[at] ^ 1 << random.u8(..8),
                _ => *random.choice([0, 1, 2, 3, 0x7f, 0x80, 0xff].iter()).unwrap(),
            };
        }
        let Ok(process) = Process::from_state(altered, world.options()) else {
            refused += 1;
            continue;
        };
        served += 1;
        let before = std::mem::replace(&mut world.process, process);
        let (asker, mut client) = (world.asker(), world.client());
        world.nothing_more(&asker);
        world.nothing_more_framed(&mut client);
        // Nobody waits for ever.
        world.process.clock.turn(QUICK.deadline);
        world.until_under_way(0);
        world.process = before;
    }
    assert!(refused > 100 && served > 100, "{refused} refused, {served} served");
}
