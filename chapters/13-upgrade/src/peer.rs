//! Speaks with the other side, and does nothing else: in a loop of its own, in which nobody but
//! the other side is waited for, and not for ever.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ch07_callbacks::{EventLoop, Interest, Source, Token};

use crate::channel::Channel;
use crate::message::Message;

/// The other side, and the loop.
pub struct Peer {
    event_loop: EventLoop,
    channel: Rc<Channel>,
    token: Token,
}

/// What the loop waits for.
struct Waiting {
    channel: Rc<Channel>,
    interest: Interest,
    until: Instant,
}

impl Source for Waiting {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.channel.as_fd())
    }

    fn interest(&self) -> Interest {
        self.interest
    }

    fn patience(&self) -> Option<Duration> {
        Some(self.until.saturating_duration_since(Instant::now()))
    }
}

impl Peer {
    /// For so long, it's waited for; see [`allow`](Self::allow).
    ///
    /// # Errors
    /// When the kernel has no descriptor for the loop.
    pub fn new(channel: Rc<Channel>, time: Duration) -> io::Result<Self> {
        let mut event_loop = ch08_epoll::event_loop()?;
        let interest = Interest { read: false, write: false };
        let until = Instant::now() + time;
        let waiting = Waiting { channel: Rc::clone(&channel), interest, until };
        let token = event_loop.add(waiting, |_, _, _| Ok(()));
        Ok(Self { event_loop, channel, token })
    }

    /// From now on it's waited for so long.
    pub fn allow(&mut self, time: Duration) {
        if let Some(waiting) = self.event_loop.get_mut::<Waiting>(self.token) {
            waiting.until = Instant::now() + time;
        }
    }

    /// # Errors
    /// When it's gone (`BrokenPipe`), or has taken nothing for too long.
    pub fn send(&mut self, message: &Message, with: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = message.to_bytes();
        loop {
            match self.channel.send(&bytes, with) {
                Ok(true) => return Ok(()),
                Ok(false) => self.wait(Interest { read: false, write: true })?,
                // It has had something from us before that it won't read any more.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return Err(ErrorKind::BrokenPipe.into());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What it says next, and the descriptors that came with it. None: it's gone.
    ///
    /// # Errors
    /// When it has said nothing for too long, or nothing that can be read.
    pub fn receive(&mut self) -> io::Result<Option<(Message, Vec<OwnedFd>)>> {
        loop {
            match self.channel.receive() {
                Ok(Some(packet)) if packet.bytes.is_empty() => return Ok(None),
                Ok(Some(packet)) => {
                    let message = Message::from_bytes(&packet.bytes).map_err(io::Error::other)?;
                    return Ok(Some((message, packet.descriptors)));
                }
                Ok(None) => self.wait(Interest { read: true, write: false })?,
                // It's gone, and has left something from us unread. That's told once, and before
                // what it has said last.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Lets so much time pass.
    ///
    /// # Errors
    /// When waiting fails.
    pub fn idle(&mut self, time: Duration) -> io::Result<()> {
        if let Some(waiting) = self.event_loop.get_mut::<Waiting>(self.token) {
            waiting.interest = Interest { read: false, write: false };
            waiting.until = Instant::now() + time;
        }
        self.event_loop.turn(Some(time)).map(drop)
    }

    fn wait(&mut self, interest: Interest) -> io::Result<()> {
        let Some(waiting) = self.event_loop.get_mut::<Waiting>(self.token) else {
            return Err(io::Error::other("the channel is broken"));
        };
        if waiting.patience() == Some(Duration::ZERO) {
            return Err(ErrorKind::TimedOut.into());
        }
        waiting.interest = interest;
        self.event_loop.turn(None).map(drop)
    }
}
