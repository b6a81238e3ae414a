//! Exercise 13-hand: hand over the door, and those who are inside.
//!
//! At SIGUSR2 the program starts itself anew, whatever lies under its name now, and hands it all that it has: the listener, with
//! those who wait there and weren't let in yet; and each visitor, with what was read of it and isn't used, and what is to be
//! sent to it. A descriptor that is handed over is the same socket in both processes, and it lives for as long as one of them has
//! it. So nobody notices anything, if the old one keeps all until the new one is ready, and touches nothing from then on. Each
//! answer begins with the generation that gave it.
//!
//! Run it:      cargo run -p ex13-upgrade --bin ex13-hand      and, in more terminals,
//!              nc 127.0.0.1 7013      and type some lines, before and after
//!              kill -USR2 PID      with the number that it has said
//! Be graded:   cargo grade 13

// Until you have written your part, much is unused here. Take these lines out when you have.
#![allow(clippy::ptr_arg, dead_code, unreachable_code)]
#![allow(unused_imports, unused_mut, unused_variables)]
#![cfg_attr(not(target_os = "linux"), no_main)]
#![cfg(target_os = "linux")]

use std::cell::{Cell, OnceCell, RefCell};
use std::fs::File;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ch07_callbacks::connection::{Ours, Parts};
use ch07_callbacks::program::{self, say};
use ch07_callbacks::{Connection, EventLoop, Input, Interest, Readiness, Source, Token, now};
use ch09_timers::signals;
use ch13_upgrade::channel::{Channel, MOST_DESCRIPTORS, Packet};
use ch13_upgrade::state::{Incoming, Outgoing, from_memory, in_memory};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal::SIGUSR2;

const NAME: &str = "ex13-hand";
const HELP: &str = "ex13-hand [ADDRESS]

Sends each line back, behind the number of the generation that does. At SIGUSR2 it starts itself anew, and hands all that
it has to the new one. ADDRESS is 127.0.0.1:7013 where not given; port 0 means any free one.";

/// What tells a program that it takes over. Its standard input is the channel then.
const TAKE_OVER: &str = "--take-over";
/// What the new one says when it has started: from then on it's given all.
const HELLO: &[u8] = b"hello";
/// What it says when it has all, and can serve.
const READY: &[u8] = b"ready";
/// How long each waits for the other's next word. Until HELLO has come everybody is served meanwhile, and from then on nobody.
const TO_ANSWER: Duration = Duration::from_secs(3);
/// With so many visitors nobody else is let in: they wait at the door, in the kernel.
const MOST_VISITORS: usize = 300;
/// Longest line, in bytes.
const LONGEST_LINE: usize = 1000;
/// Whoever has more queued than that, in bytes, doesn't read.
const MOST_QUEUED: usize = 32 << 20;

/// A server. Clones of an `Rc` are the same.
struct House {
    generation: u64,
    door: OnceCell<Token>,
    /// How many visitors are inside.
    inside: Cell<usize>,
    /// The new program, until it has taken over, or failed.
    successor: RefCell<Option<Child>>,
}

impl House {
    /// The new one has said hello: it gets all that we have, by this channel.
    ///
    /// # Errors
    /// It isn't ready, for whatever reason. Then all of it is still ours, as it was.
    fn hand_over(&self, event_loop: &EventLoop, channel: &Channel) -> io::Result<()> {
        // your turn: write all down, send it, and wait until the new one is ready
        todo!("write all down, send it, and wait until the new one is ready")
        // end
    }

    /// The new one has taken over, or failed. To end, end the process; or stop the loop, which still finishes this turn, and so
    /// close the door and all visitors first.
    fn has_handed_over(&self, event_loop: &mut EventLoop, handed: io::Result<()>) {
        // your turn: leave, or go on as if nothing had been
        todo!("leave, or go on as if nothing had been")
        // end
    }

    /// We're the new one: gets all that the old one has, by this channel, and says that we're ready.
    ///
    /// # Errors
    /// It can't be had. Then the old one goes on.
    fn take_over(event_loop: &mut EventLoop, channel: &Channel) -> io::Result<Rc<Self>> {
        // your turn: say HELLO, receive all, go on with it, and say READY at the end
        todo!("say HELLO, receive all, go on with it, and say READY at the end")
        // end
    }

    /// Opens the door.
    ///
    /// # Errors
    /// When the listener can't be told not to wait.
    fn open(
        event_loop: &mut EventLoop,
        listener: TcpListener,
        generation: u64,
    ) -> io::Result<Rc<Self>> {
        listener.set_nonblocking(true)?;
        let (door, inside, successor) = (OnceCell::new(), Cell::new(0), RefCell::new(None));
        let house = Rc::new(Self { generation, door, inside, successor });
        let lets_in = Rc::clone(&house);
        let door = event_loop.add(
            Door { listener, house: Rc::clone(&house) },
            move |event_loop, me, _| {
                while let Some(door) = event_loop.get::<Door>(me)
                    && door.interest().read
                {
                    // Who has left again at the door is no trouble of ours.
                    let Ok(Some((socket, _))) = now(door.listener.accept()) else { break };
                    let visitor = event_loop.add_socket(socket)?;
                    lets_in.welcome(event_loop, visitor);
                }
                Ok(())
            },
        );
        let _ = house.door.set(door);
        Ok(house)
    }

    /// A visitor is inside: each of its lines is sent back.
    fn welcome(self: &Rc<Self>, event_loop: &mut EventLoop, visitor: Token) {
        self.inside.set(self.inside.get() + 1);
        let generation = self.generation;
        event_loop.set_read_callback(visitor, move |event_loop, me, input| {
            data_available(event_loop, me, input, generation);
        });
        let leaves = Rc::clone(self);
        event_loop.set_close_callback(visitor, move |event_loop, _, _| {
            leaves.inside.set(leaves.inside.get() - 1);
            // There is room for another one: what the door waits for is asked anew.
            leaves.door.get().and_then(|door| event_loop.get_mut::<Door>(*door));
        });
    }

    /// SIGUSR2 has come. All else follows when the new one has said hello.
    fn begin(self: &Rc<Self>, event_loop: &mut EventLoop) {
        if self.successor.borrow().is_some() {
            return say("an upgrade is under way: ask again when it has ended");
        }
        if let Err(error) = self.start(event_loop) {
            say(&format!("not replaced: {error}"));
        }
    }

    fn start(self: &Rc<Self>, event_loop: &mut EventLoop) -> io::Result<()> {
        let (ours, theirs) = Channel::pair()?;
        let child = Command::new(std::env::args_os().next().unwrap_or_default())
            .arg(TAKE_OVER)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        self.successor.replace(Some(child));
        let channel = Rc::new(ours);
        let (hears, of_channel) = (Rc::clone(self), Rc::clone(&channel));
        let until = Instant::now() + TO_ANSWER;
        event_loop.add(Ear { channel, until }, move |event_loop, me, readiness| {
            event_loop.close(me);
            let heard = match readiness {
                Readiness::NONE => Err(io::Error::other("it doesn't say a thing")),
                _ => receive(&of_channel),
            };
            let handed = heard.and_then(|packet| match packet.bytes == HELLO {
                true => hears.hand_over(event_loop, &of_channel),
                false => Err(io::Error::other("it doesn't say hello")),
            });
            hears.has_handed_over(event_loop, handed);
            Ok(())
        });
        Ok(())
    }
}

/// How far we are with sending, as a number.
fn ours_to_number(ours: Ours) -> u64 {
    match ours {
        Ours::Open => 0,
        Ours::Ending => 1,
        Ours::Ended => 2,
    }
}

/// And back.
///
/// # Errors
/// When it stands for nothing.
fn number_to_ours(number: u64) -> io::Result<Ours> {
    match number {
        0 => Ok(Ours::Open),
        1 => Ok(Ours::Ending),
        2 => Ok(Ours::Ended),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Sends the state: its bytes in a file that lies in memory, and its descriptors behind them, some at a time.
///
/// # Errors
/// When the other side is gone, or takes nothing.
fn send_state(channel: &Channel, state: Outgoing<'_>) -> io::Result<()> {
    let (bytes, descriptors) = state.finish();
    let file = in_memory(&bytes)?;
    send(channel, &(descriptors.len() as u64).to_le_bytes(), &[file.as_fd()])?;
    for some in descriptors.chunks(MOST_DESCRIPTORS) {
        send(channel, b"descriptors", some)?;
    }
    Ok(())
}

/// What [`send_state`] has sent.
///
/// # Errors
/// When the other side is gone, or sends nothing, or something else.
fn receive_state(channel: &Channel) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let Packet { bytes, descriptors } = receive(channel)?;
    let malformed = |_| io::Error::from(io::ErrorKind::InvalidData);
    let count = u64::from_le_bytes(bytes.try_into().map_err(malformed)?);
    let [file] = <[OwnedFd; 1]>::try_from(descriptors).map_err(malformed_too)?;
    let bytes = from_memory(File::from(file))?;
    let mut all = Vec::new();
    while (all.len() as u64) < count {
        all.extend(receive(channel)?.descriptors);
    }
    Ok((bytes, all))
}

fn malformed_too(_: Vec<OwnedFd>) -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// Sends a packet.
///
/// # Errors
/// When the other side is gone, or takes nothing.
fn send(channel: &Channel, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    while !channel.send(bytes, descriptors)? {
        wait(channel, PollFlags::POLLOUT)?;
    }
    Ok(())
}

/// The next packet.
///
/// # Errors
/// When the other side is gone, or says nothing.
fn receive(channel: &Channel) -> io::Result<Packet> {
    loop {
        match channel.receive()? {
            Some(packet) if packet.bytes.is_empty() => {
                return Err(io::Error::other("it's gone"));
            }
            Some(packet) => return Ok(packet),
            None => wait(channel, PollFlags::POLLIN)?,
        }
    }
}

fn wait(channel: &Channel, what: PollFlags) -> io::Result<()> {
    let until = Instant::now() + TO_ANSWER;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        // waits: until the other side has said something, or taken something, and not for ever
        match poll(&mut [PollFd::new(channel.as_fd(), what)], left) {
            Ok(0) => return Err(io::Error::other("it says nothing")),
            Ok(_) => return Ok(()),
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Where visitors come in.
struct Door {
    listener: TcpListener,
    house: Rc<House>,
}

impl Source for Door {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.listener.as_fd())
    }

    fn interest(&self) -> Interest {
        Interest { read: self.house.inside.get() < MOST_VISITORS, write: false }
    }
}

/// The new program, until it says hello.
struct Ear {
    channel: Rc<Channel>,
    /// It isn't waited for any longer.
    until: Instant,
}

impl Source for Ear {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.channel.as_fd())
    }

    fn interest(&self) -> Interest {
        Interest::READ
    }

    fn patience(&self) -> Option<Duration> {
        Some(self.until.saturating_duration_since(Instant::now()))
    }
}

/// The read callback.
fn data_available(event_loop: &mut EventLoop, me: Token, input: &mut Input, generation: u64) {
    while let Some(end) = input.bytes.iter().position(|byte| *byte == b'\n') {
        event_loop.send(me, format!("{generation} ").as_bytes());
        let line: Vec<u8> = input.bytes.drain(..=end).collect();
        event_loop.send(me, &line);
    }
    if input.ended || input.bytes.len() > LONGEST_LINE {
        event_loop.finish(me);
    } else if event_loop.queued(me) > MOST_QUEUED {
        event_loop.close(me);
    }
}

fn main() {
    let arguments = program::arguments(HELP);
    let served = match arguments.first().is_some_and(|word| word == TAKE_OVER) {
        true => go_on(),
        false => begin(),
    };
    if let Err(error) = served {
        program::complain(NAME, 1, &error.to_string());
    }
}

/// The first generation.
fn begin() -> io::Result<()> {
    let address = program::address_from_args(NAME, HELP, "127.0.0.1:7013");
    program::raise_limit();
    serve(|event_loop| House::open(event_loop, program::listen_or_exit(NAME, address), 1))
}

/// Any other one.
fn go_on() -> io::Result<()> {
    program::raise_limit();
    let channel = Channel::from(io::stdin().as_fd().try_clone_to_owned()?);
    serve(|event_loop| House::take_over(event_loop, &channel))
}

fn serve(open: impl FnOnce(&mut EventLoop) -> io::Result<Rc<House>>) -> io::Result<()> {
    let mut event_loop = ch08_epoll::event_loop()?;
    let house = Rc::<OnceCell<Rc<House>>>::default();
    let asked = Rc::clone(&house);
    // Before anybody can know that we're here: without this, SIGUSR2 ends a program.
    signals::on_signals(&mut event_loop, &[SIGUSR2], move |event_loop, _| {
        asked.get().into_iter().for_each(|house| house.begin(event_loop));
    })?;
    let opened = open(&mut event_loop)?;
    say(&format!("generation {} serves (pid {})", opened.generation, std::process::id()));
    let _ = house.set(opened);
    event_loop.run() // waits: inside, for all of them
}
