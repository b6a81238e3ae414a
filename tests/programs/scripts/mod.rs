//! Random scripts played to an event loop, and what must be true after each scene of them.
//!
//! Peers connect, send, half-close, close and reset. Inside, callbacks close each other, send, take in new
//! ones, replace themselves, panic, and set and cancel timers. What they do is written down as it
//! happens, and from that it follows who must be there still, who has heard what, and who was told of his
//! end: that is the model. A script follows from its seed, which is printed.
#![allow(dead_code, reason = "a chapter without timers doesn't use all of it")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
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
    fn after(
        &self,
        event_loop: &mut EventLoop,
        delay: u64,
        callback: Box<dyn FnOnce(&mut EventLoop)>,
    );
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
    number: usize,
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
    canceled: bool,
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
            if member.peer == Peer::Open
                && let Some(socket) = &member.socket
            {
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
    let number = member.number;
    let bytes: Vec<u8> =
        (member.sent..member.sent + count).map(|at| byte(number, at, false)).collect();
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

/// A new member: its socket goes into the loop.
fn take_in(world: &Shared, event_loop: &mut EventLoop, ours: TcpStream, theirs: TcpStream) {
    let token = event_loop.add_socket(ours).unwrap();
    let number = world.borrow().members.len();
    world.borrow_mut().members.push(Member {
        number,
        token,
        socket: Some(theirs),
        peer: Peer::Open,
        ended_before: false,
        sent: 0,
        received: 0,
        plans: VecDeque::new(),
        heard: 0,
        ends_heard: 0,
        queued: 0,
        closed_by: None,
        finished: false,
        deaf: false,
        told: Vec::new(),
    });
    listen_to(world, event_loop, token, number);
    let world = Rc::clone(world);
    event_loop.set_close_callback(token, move |event_loop, me, ending| {
        let told = match ending {
            Ending::Finished => "finished",
            Ending::Closed => "closed",
            Ending::Failed(_) => "failed",
            Ending::Panicked => "panicked",
        };
        let world = &mut *world.borrow_mut();
        let member = &mut world.members[number];
        member.told.push(told);
        if me != member.token || event_loop.get::<Connection>(me).is_some() {
            world.wrong = Some(format!("member {number}, told of its end, is still there"));
        }
    });
}

fn listen_to(world: &Shared, event_loop: &mut EventLoop, token: Token, number: usize) {
    let world = Rc::clone(world);
    event_loop.set_read_callback(token, move |event_loop, me, input| {
        hear(&world, event_loop, me, number, input);
    });
}

/// A member's read callback.
fn hear(world: &Shared, event_loop: &mut EventLoop, me: Token, number: usize, input: &mut Input) {
    let plan = {
        let world = &mut *world.borrow_mut();
        let member = &mut world.members[number];
        let is_right = me == member.token && member.told.is_empty() && !member.deaf;
        if !is_right || member.closed_by.is_some() || member.ends_heard > 0 {
            world.wrong = Some(format!("member {number} was called after its end"));
            return;
        }
        let length = input.bytes.len();
        let count = if input.ended { length } else { length - length % BITE };
        for heard in input.bytes.drain(..count) {
            if heard != byte(number, member.heard, false) {
                world.wrong =
                    Some(format!("member {number} has heard something else than was said"));
                return;
            }
            member.heard += 1;
        }
        member.ends_heard += usize::from(input.ended);
        member.plans.pop_front()
    };
    for act in plan.into_iter().flatten() {
        carry_out(world, event_loop, Some(number), act);
    }
}

/// Carries out one act, and writes down what it has changed. `who` does it; a timer is nobody.
fn carry_out(world: &Shared, event_loop: &mut EventLoop, who: Option<usize>, act: Act) {
    let token = |number: usize| world.borrow().members.get(number).map(|member| member.token);
    let is_here = |event_loop: &EventLoop, token| event_loop.get::<Connection>(token).is_some();
    match act {
        Act::Close(number) => {
            let Some(token) = token(number) else { return };
            if is_here(event_loop, token) {
                world.borrow_mut().members[number].closed_by = Some("closed");
            }
            event_loop.close(token);
        }
        Act::Send(number, count) => {
            let Some(token) = token(number) else { return };
            let member = &mut world.borrow_mut().members[number];
            let bytes: Vec<u8> =
                (member.queued..member.queued + count).map(|at| byte(number, at, true)).collect();
            if is_here(event_loop, token) && !member.finished {
                member.queued += count;
            }
            event_loop.send(token, &bytes);
        }
        Act::Finish(number) | Act::FinishSending(number) => {
            let Some(token) = token(number) else { return };
            let deaf = matches!(act, Act::Finish(_));
            if is_here(event_loop, token) {
                let member = &mut world.borrow_mut().members[number];
                member.finished = true;
                member.deaf |= deaf;
            }
            if deaf { event_loop.finish(token) } else { event_loop.finish_sending(token) }
        }
        Act::TakeIn => {
            let spare = world.borrow_mut().spare.pop();
            if let Some((ours, theirs)) = spare {
                take_in(world, event_loop, ours, theirs);
            }
        }
        Act::ReplaceItself => {
            let Some(number) = who else { return };
            if let Some(token) = token(number) {
                // The new one hears of the end as well.
                world.borrow_mut().members[number].ends_heard = 0;
                listen_to(world, event_loop, token, number);
            }
        }
        Act::Panic => {
            // In a timer's callback it's the end of nobody.
            if let Some(number) = who
                && token(number).is_some_and(|token| is_here(event_loop, token))
            {
                world.borrow_mut().members[number].closed_by = Some("panicked");
            }
            // Without the message that `panic!` prints: there are thousands of them.
            std::panic::resume_unwind(Box::new("planned"));
        }
        Act::After(delay, acts) => {
            let Some(time) = world.borrow().time.clone() else { return };
            let number = world.borrow().alarms.len();
            let due = world.borrow().now + delay;
            world.borrow_mut().alarms.push(Alarm { due, called: false, canceled: false });
            let world = Rc::clone(world);
            let callback = move |event_loop: &mut EventLoop| {
                world.borrow_mut().called(number);
                for act in acts {
                    carry_out(&world, event_loop, None, act);
                }
            };
            time.after(event_loop, delay, Box::new(callback));
        }
        Act::Cancel(number) => {
            let Some(time) = world.borrow().time.clone() else { return };
            if number >= world.borrow().alarms.len() {
                return;
            }
            let was_there = time.cancel(event_loop, number);
            let world = &mut *world.borrow_mut();
            let alarm = &mut world.alarms[number];
            if was_there == (alarm.called || alarm.canceled) {
                world.wrong = Some(format!("alarm {number}, canceled, was there: {was_there}"));
            }
            world.alarms[number].canceled |= was_there;
        }
    }
}

impl World {
    fn called(&mut self, number: usize) {
        let alarm = &mut self.alarms[number];
        if alarm.called || alarm.canceled || alarm.due > self.now {
            self.wrong = Some(format!("alarm {number} rings at {}: {alarm:?}", self.now));
        }
        alarm.called = true;
        let this = (alarm.due, number);
        if self.last_called.replace(this).is_some_and(|last| last > this) {
            self.wrong = Some(format!("alarm {number} rings after one that is due later"));
        }
    }
}

/// What must be true when nothing goes on: of every member, and of the timers.
fn check(world: &Shared, event_loop: &EventLoop) -> Result<(), String> {
    let world = &mut *world.borrow_mut();
    for member in &mut world.members {
        let number = member.number;
        check_member(member, event_loop).map_err(|fault| format!("member {number}: {fault}"))?;
    }
    let late = |alarm: &&Alarm| !alarm.called && !alarm.canceled;
    let waiting: Vec<&Alarm> = world.alarms.iter().filter(late).collect();
    if waiting.iter().any(|alarm| alarm.due <= world.now) {
        return Err(format!("at {}, {waiting:?} wait", world.now));
    }
    if let Some(time) = &world.time
        && time.count(event_loop) != waiting.len()
    {
        return Err("there are other timers than those that wait".to_owned());
    }
    Ok(())
}

fn check_member(member: &mut Member, event_loop: &EventLoop) -> Result<(), String> {
    let here = event_loop.get::<Connection>(member.token);
    let told = member.told.as_slice();
    if told.len() != usize::from(here.is_none()) {
        return Err(format!("here: {}, told: {told:?}", here.is_some()));
    }
    let ended = member.peer != Peer::Open;
    // How it may have ended; and whether it may still be here.
    let (endings, may_stay): (&[&str], bool) = match (member.closed_by, member.peer) {
        (Some("closed"), _) => (&["closed"], false),
        (Some(_), _) => (&["panicked"], false),
        // If it has heard the end before, or sent nothing since, nobody notices a reset.
        (None, Peer::Reset) => (&["failed", "finished"], member.ended_before),
        (None, Peer::Gone) => (&["failed", "finished"], !member.finished),
        (None, Peer::HalfClosed) if member.finished => (&["finished"], false),
        (None, _) => (&[], true),
    };
    if !told.iter().all(|told| endings.contains(told)) || here.is_some() && !may_stay {
        return Err(format!(
            "{:?} by {:?}, finished: {}, peer {:?}, here: {}, told {told:?}",
            member.closed_by,
            member.closed_by,
            member.finished,
            member.peer,
            here.is_some()
        ));
    }
    if let Some(here) = here
        && !member.deaf
        && member.peer != Peer::Reset
    {
        let (left, ends) = (here.input.bytes.len(), member.ends_heard);
        let most = if ended { 0 } else { BITE - 1 };
        if member.heard + left != member.sent || left > most || ends != usize::from(ended) {
            return Err(format!(
                "{} bytes said, {} heard and {left} left, {ends} ends heard, peer {:?}",
                member.sent, member.heard, member.peer
            ));
        }
    }
    check_what_came_out(member, here.is_some())
}

/// Reads what the peer was sent.
fn check_what_came_out(member: &mut Member, is_here: bool) -> Result<(), String> {
    let Some(socket) = &mut member.socket else { return Ok(()) };
    let mut piece = [0; 4096];
    let end = loop {
        match socket.read(&mut piece) {
            Ok(0) => break true,
            Ok(count) => {
                for received in &piece[..count] {
                    if *received != byte(member.number, member.received, true) {
                        return Err("it was sent something that was for somebody else".to_owned());
                    }
                    member.received += 1;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A close with something unread is a reset.
            Err(_) => break true,
        }
    };
    let (received, queued) = (member.received, member.queued);
    // Closed from here, what was queued is lost; but nothing else than that was sent.
    let all = is_here || member.told == ["finished"];
    if received > queued || all && received < queued {
        return Err(format!("{queued} bytes were queued for it, {received} came"));
    }
    if end == (is_here && !member.finished) {
        return Err(format!("here: {is_here}, finished: {}, end: {end}", member.finished));
    }
    Ok(())
}
