//! `poll(2)` behind the seam: the whole list, made anew for each wait.

use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::backend::{Asked, Backend, rounded_up};
use crate::readiness::{Interest, Readiness};
use crate::slots::Token;

/// Waits in `poll`.
#[derive(Debug, Default)]
pub struct Poll;

impl Backend for Poll {
    fn change(&mut self, _asked: Asked<'_>, _from: Interest) -> io::Result<()> {
        // The kernel forgets the list after each wait: there is nothing to tell it.
        Ok(())
    }

    fn wait(
        &mut self,
        all: &mut dyn Iterator<Item = Asked<'_>>,
        at_most: Option<Duration>,
        ready: &mut Vec<(Token, Readiness)>,
    ) -> io::Result<()> {
        let mut tokens = Vec::new();
        let mut list = Vec::new();
        for Asked { token, descriptor, interest } in all {
            tokens.push(token);
            list.push(PollFd::new(descriptor, flags(interest)));
        }
        let began = Instant::now();
        // waits: until anybody at all has something for us
        let mut result = poll(&mut list, rounded_up(at_most));
        // A signal. It may have stopped us for long: what has come meanwhile goes before deadlines
        // that have passed meanwhile.
        let is_over = || at_most.is_some_and(|at_most| began.elapsed() >= at_most);
        if result == Err(Errno::EINTR) && is_over() {
            result = poll(&mut list, PollTimeout::ZERO);
        }
        match result {
            Err(Errno::EINTR) => return Ok(()), // nothing was reported
            result => result?,
        };
        for (token, entry) in tokens.into_iter().zip(&list) {
            // A flag that nix doesn't know counts as an error: passed over, it would be
            // reported again at once, for ever.
            let events = entry.revents().unwrap_or(PollFlags::POLLERR);
            if !events.is_empty() {
                ready.push((token, readiness(events)));
            }
        }
        Ok(())
    }
}

fn flags(interest: Interest) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::POLLIN, interest.read);
    flags.set(PollFlags::POLLOUT, interest.write);
    flags
}

fn readiness(events: PollFlags) -> Readiness {
    Readiness {
        // After a hang-up, a read tells the end, and a write that it's of no use.
        read: events.intersects(PollFlags::POLLIN | PollFlags::POLLHUP),
        write: events.intersects(PollFlags::POLLOUT | PollFlags::POLLHUP),
        error: events.intersects(PollFlags::POLLERR | PollFlags::POLLNVAL),
    }
}
