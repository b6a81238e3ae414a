//! `epoll(7)` behind the seam: the kernel keeps the list, and is told what changes.

use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{self, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use ch07_callbacks::backend::{Asked, Backend, rounded_up};
use ch07_callbacks::readiness::{Interest, Readiness};
use ch07_callbacks::slots::Token;

/// How many are reported in one turn. With more than that ready, the rest comes in the
/// next ones: the kernel begins where it has stopped.
const AT_ONCE: usize = 1024;

/// Waits in `epoll_wait`.
#[derive(Debug)]
pub struct Epoll {
    list: epoll::Epoll,
    events: Vec<EpollEvent>,
}

impl Epoll {
    /// An empty list.
    ///
    /// # Errors
    /// When the kernel has no descriptor for it.
    pub fn new() -> io::Result<Self> {
        let list = epoll::Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Self { list, events: vec![EpollEvent::empty(); AT_ONCE] })
    }
}

impl Backend for Epoll {
    // ANCHOR: change
    fn change(&mut self, asked: Asked<'_>, from: Interest) -> io::Result<()> {
        let Asked { token, descriptor, interest } = asked;
        // The kernel keeps the token for us, and gives it back with the
        // news.
        let mut event = EpollEvent::new(flags(interest), token.to_bits());
        match (from, interest) {
            (Interest::NONE, _) => self.list.add(descriptor, event)?,
            (_, Interest::NONE) => self.list.delete(descriptor)?,
            _ => self.list.modify(descriptor, &mut event)?,
        }
        Ok(())
    }
    // ANCHOR_END: change

    // ANCHOR: wait
    fn wait(
        &mut self,
        _all: &mut dyn Iterator<Item = Asked<'_>>,
        at_most: Option<Duration>,
        ready: &mut Vec<(Token, Readiness)>,
    ) -> io::Result<()> {
        let began = Instant::now();
        // waits: until anybody at all has something for us
        let mut count = self.list.wait(&mut self.events, rounded_up(at_most));
        // A signal. It may have stopped us for long: what has come
        // meanwhile goes before deadlines that have passed meanwhile.
        let is_over = || at_most.is_some_and(|at_most| began.elapsed() >= at_most);
        if count == Err(Errno::EINTR) && is_over() {
            count = self.list.wait(&mut self.events, EpollTimeout::ZERO);
        }
        let count = match count {
            Err(Errno::EINTR) => 0, // nothing was reported
            count => count?,
        };
        for event in &self.events[..count] {
            ready.push((Token::from_bits(event.data()), readiness(event.events())));
        }
        Ok(())
    }
    // ANCHOR_END: wait
}

fn flags(interest: Interest) -> EpollFlags {
    let mut flags = EpollFlags::empty();
    flags.set(EpollFlags::EPOLLIN, interest.read);
    flags.set(EpollFlags::EPOLLOUT, interest.write);
    flags
}

fn readiness(events: EpollFlags) -> Readiness {
    Readiness {
        // After a hang-up, a read tells the end, and a write that it's of no use.
        read: events.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP),
        write: events.intersects(EpollFlags::EPOLLOUT | EpollFlags::EPOLLHUP),
        error: events.intersects(EpollFlags::EPOLLERR),
    }
}
