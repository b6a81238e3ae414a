//! The new program's side: it takes over from the one that runs.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::program::raise_limit;
use nix::unistd::dup2_stdin;

use crate::channel::Channel;
use crate::message::Message;
use crate::peer::Peer;
use crate::state::{self, Detached, Incoming, OLDEST, VERSION};

/// How long the old program may be silent. It has less patience with us.
const PATIENCE: Duration = Duration::from_secs(30);

/// All that the old program has had.
pub struct Inheritance {
    peer: RefCell<Peer>,
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    /// Of the old one.
    generation: u64,
    /// The old one has said go.
    is_ours: Cell<bool>,
}

impl Inheritance {
    /// Receives it. The channel is our standard input, until the old program's takes its place.
    ///
    /// # Errors
    /// When it can't be had, or be read. The old program has been told why.
    pub fn receive() -> io::Result<Self> {
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        // What finds no free place is lost.
        raise_limit();
        let mut peer = Peer::new(Rc::new(Channel::from(stdin)), PATIENCE)?;
        let received = receive(&mut peer);
        if let Err(error) = &received {
            // If it's gone, nobody needs to know.
            let _ = refuse(&mut peer, &error.to_string());
        }
        let (generation, bytes, descriptors) = received?;
        let (peer, is_ours) = (RefCell::new(peer), Cell::new(false));
        Ok(Self { peer, bytes, descriptors, generation, is_ours })
    }

    /// Which generation we are.
    pub fn generation(&self) -> u64 {
        self.generation + 1
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

    /// We can't go on, and the old program is told why: it does. False: it's too late for that, or
    /// it's gone.
    pub fn refuse(&self, why: &str) -> bool {
        !self.is_ours.get() && refuse(&mut self.peer.borrow_mut(), why).is_ok()
    }

    // ANCHOR: ready
    /// We have all of it, and have touched nothing. Returns when it's ours.
    ///
    /// # Errors
    /// When the old program has thought better of it.
    pub fn ready(&self) -> io::Result<()> {
        let mut peer = self.peer.borrow_mut();
        unless_gone(peer.send(&Message::Ready, &[]))?;
        match peer.receive()? {
            Some((Message::Go, _)) => {}
            // It was killed, and nobody but us has what it had. (If it had
            // changed its mind, it would have killed us.)
            None => {}
            Some(_) => return Err(io::Error::other("the old program says something else than go")),
        }
        self.is_ours.set(true);
        unless_gone(peer.send(&Message::Serving, &[]))
    }
    // ANCHOR_END: ready
}

type Received = (u64, Vec<u8>, Vec<OwnedFd>);

fn receive(peer: &mut Peer) -> io::Result<Received> {
    unless_gone(peer.send(&Message::Hello { oldest: OLDEST, newest: VERSION }, &[]))?;
    let gone = || io::Error::other("the old program is gone");
    let (message, mut came) = peer.receive()?.ok_or_else(gone)?;
    let Message::State { version, generation, descriptors: wanted } = message else {
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
    Ok((generation, bytes, descriptors))
}

fn refuse(peer: &mut Peer, why: &str) -> io::Result<()> {
    peer.send(&Message::Refused(why.to_owned()), &[])
}

/// Whether the old program still listens doesn't matter: in one that has become this one, nobody
/// does.
fn unless_gone(sent: io::Result<()>) -> io::Result<()> {
    match sent {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        sent => sent,
    }
}
