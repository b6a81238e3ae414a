//! The new program's side: it takes over from the one that runs.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::process;
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::program::{make_room, raise_limit};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::dup2_stdin;

use crate::TAKE_OVER;
use crate::channel::Channel;
use crate::message::Message;
use crate::peer::Peer;
use crate::state::{self, Detached, Incoming, OLDEST, VERSION};

/// How long the old program may be silent. It has less patience with us.
const PATIENCE: Duration = Duration::from_secs(30);

const NOT_GO: &str = "the old program says something else than go";

/// All that the old program has had.
pub struct Inheritance {
    peer: RefCell<Peer>,
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    /// Of the old one.
    generation: u64,
    /// It was this process.
    in_place: bool,
    /// It has let go of it.
    is_ours: Cell<bool>,
}

impl Inheritance {
    /// Receives it. The channel is our standard input, until the old program's takes its place.
    ///
    /// # Errors
    /// When it can't be had, or be read. The old program has been told why.
    pub fn receive() -> Result<Self, Failure> {
        // Whoever asks for an upgrade by the program's name asks us, too. We aren't ready for that, and
        // it would be our end.
        SigSet::from_iter([Signal::SIGUSR2]).thread_block().map_err(io::Error::from)?;
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        // What finds no free place is lost.
        make_room(raise_limit());
        let mut peer = Peer::new(Rc::new(Channel::from(stdin)), PATIENCE)?;
        let Received { generation, in_place, bytes, descriptors } =
            receive(&mut peer).map_err(|error| refused(&mut peer, error))?;
        let (peer, is_ours) = (RefCell::new(peer), Cell::new(false));
        Ok(Self { peer, bytes, descriptors, generation, in_place, is_ours })
    }

    /// Which generation we are.
    pub fn generation(&self) -> u64 {
        self.generation + 1
    }

    /// Whether this process was the old program.
    pub fn is_in_place(&self) -> bool {
        self.in_place
    }

    /// Takes the state out: to be read.
    ///
    /// # Errors
    /// When it doesn't begin as any does.
    pub fn state(&mut self) -> io::Result<Detached> {
        let descriptors = std::mem::take(&mut self.descriptors);
        let mut incoming = Incoming::new(&self.bytes, descriptors);
        let stdin = incoming.descriptor().map_err(io::Error::other)?;
        dup2_stdin(stdin)?;
        Ok(incoming.detach())
    }

    /// We can't go on, and the old program is told why, if it isn't too late: it does.
    pub fn refuse(&self, why: io::Error) -> Failure {
        match self.is_ours.get() {
            true => Failure::Untold(why),
            false => refused(&mut self.peer.borrow_mut(), why),
        }
    }

    // ANCHOR: ready
    /// We have all of it, and have touched nothing. Returns when it's ours.
    ///
    /// # Errors
    /// When the old program says something else, or nothing for too long.
    pub fn ready(&self) -> io::Result<()> {
        let mut peer = self.peer.borrow_mut();
        unless_gone(peer.send(&Message::Ready, &[]))?;
        match peer.receive()? {
            Some((Message::Go, _)) => {}
            // It was killed, and nobody but us has what it had. (If it had
            // changed its mind, it would have killed us.)
            None => {}
            Some(_) => return Err(io::Error::other(NOT_GO)),
        }
        self.is_ours.set(true);
        unless_gone(peer.send(&Message::Serving, &[]))
    }
    // ANCHOR_END: ready
}

struct Received {
    generation: u64,
    in_place: bool,
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

fn receive(peer: &mut Peer) -> io::Result<Received> {
    let hello = Message::Hello { pid: process::id().into(), oldest: OLDEST, newest: VERSION };
    unless_gone(peer.send(&hello, &[]))?;
    let gone = || io::Error::other("the old program is gone");
    let (message, mut came) = peer.receive()?.ok_or_else(gone)?;
    let Message::State { pid, version, generation, descriptors: wanted } = message else {
        return Err(io::Error::other("the old program doesn't begin with its state"));
    };
    if !(OLDEST..=VERSION).contains(&version) {
        let why = format!("its state is of version {version}, and we read {OLDEST} to {VERSION}");
        return Err(io::Error::other(why));
    }
    let file = came.pop().filter(|_| came.is_empty());
    let file = file.ok_or_else(|| io::Error::other("the state's file is missing"))?;
    let bytes = state::from_memory(file.into())?;
    let mut descriptors = Vec::new();
    while (descriptors.len() as u64) < wanted {
        match peer.receive()?.ok_or_else(gone)? {
            (Message::Descriptors, mut came) if !came.is_empty() => descriptors.append(&mut came),
            _ => return Err(io::Error::other("descriptors are missing")),
        }
    }
    let in_place = pid == u64::from(process::id());
    Ok(Received { generation, in_place, bytes, descriptors })
}

fn refused(peer: &mut Peer, why: io::Error) -> Failure {
    if why.raw_os_error() == Some(Errno::ENOTSOCK as i32) {
        let why = format!("{TAKE_OVER} is for a program that another one starts in its place");
        return Failure::Untold(io::Error::other(why));
    }
    match peer.send(&Message::Refused(why.to_string()), &[]) {
        Ok(()) => Failure::Told,
        Err(_) => Failure::Untold(why),
    }
}

/// We can't take over.
#[derive(Debug)]
pub enum Failure {
    /// The old program knows why, and says so.
    Told,
    Untold(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Untold(error)
    }
}

/// Whether the old program still listens doesn't matter: in one that has become this one, nobody
/// does.
fn unless_gone(sent: io::Result<()>) -> io::Result<()> {
    match sent {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        sent => sent,
    }
}
