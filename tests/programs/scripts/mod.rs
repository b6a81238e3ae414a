//! Random scripts played to an event loop, and what must be true after each scene of them.
//!
//! Peers connect, send, half-close, close and reset. Inside, callbacks close each other, send, take in new
//! ones, replace themselves, panic, and set and cancel timers. What they do is written down as it
//! happens, and from that it follows who must be there still, who has heard what, and who was told of his
//! end: that is the model. A script follows from its seed, which is printed.
#![allow(dead_code, reason = "a chapter without timers doesn't use all of it")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ch07_callbacks::{Connection, Ending, EventLoop, Input, Token};
use fastrand::Rng;
use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};

/// So many scripts, each of so many scenes.
pub const SCRIPTS: u64 = 150;
const SCENES: usize = 25;
/// A loop that is right gets there at once. On a machine that is busy with something else it may take a while.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a callback leaves when it isn't the end: it takes out so many bytes at a time, or none.
const BITE: usize = 3;

/// Timers, for chapters that have them.
pub trait Time {
    /// Sets a timer by the clock that stands, in milliseconds from now. Its number counts up from 0.
    fn after(&self, event_loop: &mut EventLoop, delay: u64, callback: Box<dyn FnOnce(&mut EventLoop)>);
    /// Cancels the timer with this number; whether it was there.
    fn cancel(&self, event_loop: &mut EventLoop, number: usize) -> bool;
    /// Turns the clock.
    fn turn(&self, milliseconds: u64);
    /// How many are set.
    fn count(&self, event_loop: &EventLoop) -> usize;
}

/// What somebody inside does.
#[derive(Clone, Debug)]
enum Act {
    Close(usize),
    Send(usize, usize),
    Finish(usize),
    FinishSending(usize),
    TakeIn,
    ReplaceItself,
    After(u64, Vec<Act>),
    Cancel(usize),
    Panic,
}

/// How far a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Open,
    /// It has finished sending, and reads on.
    HalfClosed,
    Gone,
    Reset,
}

/// One connection, with what has happened to it.
struct Member {
    token: Token,
    // Outside.
    socket: Option<TcpStream>,
    peer: Peer,
    /// It had finished sending before it was reset.
    ended_before: bool,
    sent: usize,
    received: usize,
    // Inside.
    plans: VecDeque<Vec<Act>>,
    heard: usize,
    ends_heard: usize,
    queued: usize,
    closed_by: Option<&'static str>,
    finished: bool,
    deaf: bool,
    told: Vec<&'static str>,
}

/// A timer that was set.
#[derive(Debug)]
struct Alarm {
    due: u64,
    called: bool,
    cancelled: bool,
}

#[derive(Default)]
struct World {
    members: Vec<Member>,
    /// Sockets that wait to be taken in, and their peers.
    spare: Vec<(TcpStream, TcpStream)>,
    alarms: Vec<Alarm>,
    last_called: Option<(u64, usize)>,
    now: u64,
    time: Option<Rc<dyn Time>>,
    /// What was wrong at the moment at which it happened.
    wrong: Option<String>,
}

type Shared = Rc<RefCell<World>>;

/// Plays the script of this seed to a loop.
pub fn play(seed: u64, mut event_loop: EventLoop, time: Option<Rc<dyn Time>>) {
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let world = Shared::new(RefCell::new(World { time, ..World::default() }));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    for scene in 0..SCENES {
        for _ in 0..random.usize(1..6) {
            outside(&mut random, &world, &mut event_loop, &listener);
        }
        let began = Instant::now();
        loop {
            event_loop.turn(Some(Duration::from_millis(1))).unwrap();
            let fault = check(&world, &event_loop);
            assert!(world.borrow().wrong.is_none(), "{:?}, scene {scene}", world.borrow().wrong);
            match fault {
                Ok(()) => break,
                Err(fault) => assert!(began.elapsed() < PATIENCE, "{fault}, scene {scene}"),
            }
        }
    }
    // At the end everybody leaves, and nothing is left.
    for member in &mut world.borrow_mut().members {
        member.socket = None;
    }
    let tokens: Vec<Token> = world.borrow().members.iter().map(|member| member.token).collect();
    for token in tokens {
        event_loop.close(token);
    }
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    for (number, member) in world.borrow().members.iter().enumerate() {
        assert_eq!(member.told.len(), 1, "member {number} was told {:?}", member.told);
    }
}

/// Something happens outside, or is planned for the inside.
fn outside(random: &mut Rng, world: &Shared, event_loop: &mut EventLoop, listener: &TcpListener) {
    let count = world.borrow().members.len();
    let choice = if count == 0 { 0 } else { random.u8(0..100) };
    let who = random.usize(0..count.max(1));
    match choice {
        0..15 => {
            let (ours, theirs) = pair(listener);
            take_in(world, event_loop, ours, theirs);
        }
        15..22 => world.borrow_mut().spare.push(pair(listener)),
        22..62 => send(&mut world.borrow_mut().members[who], random.usize(1..40)),
        62..68 => {
            let member = &mut world.borrow_mut().members[who];
            if member.peer == Peer::Open && let Some(socket) = &member.socket {
                // It may have been closed from here already.
                let _ = socket.shutdown(Shutdown::Write);
                member.peer = Peer::HalfClosed;
            }
        }
        68..72 => leave(&mut world.borrow_mut().members[who], false),
        72..75 => leave(&mut world.borrow_mut().members[who], true),
        75..95 => {
            let has_time = world.borrow().time.is_some();
            let plan = acts(random, count, has_time, 2);
            world.borrow_mut().members[who].plans.push_back(plan);
        }
        _ => {
            let time = world.borrow().time.clone();
            if let Some(time) = time {
                let by = random.u64(1..30);
                time.turn(by);
                world.borrow_mut().now += by;
            }
        }
    }
}

fn acts(random: &mut Rng, count: usize, has_time: bool, depth: u32) -> Vec<Act> {
    let mut acts = Vec::new();
    for _ in 0..random.usize(1..4) {
        // Now and then somebody who isn't here yet.
        let who = random.usize(0..count + 2);
        acts.push(match random.u8(0..if has_time { 100 } else { 75 }) {
            0..15 => Act::Close(who),
            15..40 => Act::Send(who, random.usize(1..200)),
            40..48 => Act::Finish(who),
            48..53 => Act::FinishSending(who),
            53..65 => Act::TakeIn,
            65..70 => Act::ReplaceItself,
            70..75 => Act::Panic,
            75..92 if depth > 0 => {
                Act::After(random.u64(0..25), self::acts(random, count, has_time, depth - 1))
            }
            _ => Act::Cancel(random.usize(0..20)),
        });
    }
    acts
}

fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    theirs.set_nonblocking(true).unwrap();
    (ours, theirs)
}

/// The byte at this place of what a member's peer sends, or is sent.
fn byte(member: usize, place: usize, outward: bool) -> u8 {
    let mixed = member * 31 + place * 7 + place / 251 + if outward { 101 } else { 0 };
    (mixed % 256) as u8
}

fn send(member: &mut Member, count: usize) {
    let Some(socket) = member.socket.as_mut().filter(|_| member.peer == Peer::Open) else { return };
    let number = usize::from(member.number());
    let bytes: Vec<u8> = (member.sent..member.sent + count).map(|at| byte(number, at, false)).collect();
    // Closed from here, it may fail; what arrives is a beginning of it in any case.
    if socket.write_all(&bytes).is_ok() {
        member.sent += count;
    } else {
        member.peer = Peer::Gone;
        member.socket = None;
    }
}

fn leave(member: &mut Member, by_reset: bool) {
    let Some(socket) = member.socket.take() else { return };
    member.ended_before = member.peer == Peer::HalfClosed;
    if by_reset {
        setsockopt(&socket, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 }).unwrap();
    }
    member.peer = if by_reset { Peer::Reset } else { Peer::Gone };
}
