//! Connections that are handed to another process, and those that have been.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::connection::Parts;
use ch07_callbacks::{Connection, EventLoop, Listener, Source, Token};

use super::{LineServer, Name, Next, Session, Visit};
use crate::lines::{Lines, Reading};

/// A server in plain data. `D`: its descriptors, lent or one's own; `P`: its sessions, in plain data.
#[derive(Debug)]
pub struct HandedOver<D, P> {
    /// None: nobody is let in any more.
    pub listener: Option<D>,
    /// The number of the connection that came last.
    pub last: u64,
    /// Each with its socket, in the order in which the loop has them.
    pub visitors: Vec<(D, Visitor<P>)>,
}

/// What there is to know of a connection besides its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor<P> {
    pub from: SocketAddr,
    /// By which the log knows it.
    pub number: u64,
    pub connection: Parts,
    pub reading: Reading,
    pub next: Next,
    /// How much of the input is text already, in bytes.
    pub decoded: usize,
    pub told_of_end: bool,
    /// While data is expected: how long it may take still, as a whole.
    pub data_left: Duration,
    /// How long the other side has still. None: for ever.
    pub time_left: Option<Duration>,
    /// How many bytes were queued when that time began: with fewer, it reads.
    pub queued: usize,
    pub session: P,
}

impl<S: Session> LineServer<S> {
    /// All that it has, as it is now: nothing changes here. `session`: a connection's session in
    /// plain data.
    ///
    /// # Errors
    /// `WouldBlock`: somebody is gone, and that isn't told yet; in the next turn it is.
    pub fn visitors<'l, P>(
        &self,
        event_loop: &'l EventLoop,
        session: impl Fn(Token, &S) -> P,
    ) -> io::Result<HandedOver<BorrowedFd<'l>, P>> {
        let listener = self.0.listener.get().and_then(|token| event_loop.get::<Listener>(token));
        let listener = listener.and_then(Source::descriptor);
        let visitors = self.visits().into_iter().map(|visit| visit.parts(event_loop, &session));
        let visitors = visitors.collect::<Option<_>>().ok_or(ErrorKind::WouldBlock)?;
        Ok(HandedOver { listener, last: self.0.last.get(), visitors })
    }

    /// Goes on with the numbers where another process has stopped.
    pub fn count_from(&self, last: u64) {
        self.0.last.set(last);
    }

    /// Goes on with a connection that another process has had until now. Nothing is read or said
    /// before the loop turns. `session` makes the connection's session of what it was there.
    ///
    /// # Errors
    /// When its socket can't be told not to wait.
    pub fn adopt<P>(
        &self,
        event_loop: &mut EventLoop,
        socket: OwnedFd,
        visitor: Visitor<P>,
        session: impl FnOnce(Token, P) -> S,
    ) -> io::Result<Token> {
        let Visitor { from, number, connection, reading, next, decoded, told_of_end, .. } = visitor;
        let Visitor { data_left, time_left, queued, session: plain, .. } = visitor;
        let (options, timers) = (self.0.options, self.0.timers);
        let me = event_loop.add_parts(TcpStream::from(socket), connection)?;
        let visit = Rc::new(Visit {
            me,
            from,
            name: Name { protocol: options.protocol, number },
            timers,
            session: RefCell::new(session(me, plain)),
            lines: RefCell::new(Lines::within(options.longest_line, reading)),
            next: Cell::new(next),
            decoded: Cell::new(decoded),
            told_of_end: Cell::new(told_of_end),
            data_until: Cell::new(timers.now(event_loop).saturating_add(data_left)),
            deadline: Cell::new(None),
        });
        self.enter(event_loop, &visit);
        // Its input may have whole lines, for which there was no time, or no room.
        visit.go_on(event_loop);
        // Not a new time: who is asked again and again must not have for ever.
        if let Some(left) = time_left {
            visit.set_deadline(event_loop, left, queued);
        }
        Ok(me)
    }

    /// Another process has all of it now: it's let go of here, and nobody is told anything.
    pub fn leave(&self, event_loop: &mut EventLoop) {
        if let Some(listener) = self.0.listener.take() {
            event_loop.close(listener);
        }
        for (me, visit) in self.0.visits.take() {
            visit.forget_deadline(event_loop);
            // Its visit goes on.
            event_loop.set_close_callback(me, |_, _, _| {});
            event_loop.close(me);
        }
    }
}

impl<S: Session> Visit<S> {
    /// None: it's gone, or its session is at work.
    fn parts<'l, P>(
        &self,
        event_loop: &'l EventLoop,
        session: impl Fn(Token, &S) -> P,
    ) -> Option<(BorrowedFd<'l>, Visitor<P>)> {
        let (socket, connection) = event_loop.get::<Connection>(self.me)?.parts()?;
        let (lines, of_here) = (self.lines.try_borrow().ok()?, self.session.try_borrow().ok()?);
        let (now, deadline) = (self.timers.now(event_loop), self.deadline.get());
        let visitor = Visitor {
            from: self.from,
            number: self.name.number,
            connection,
            reading: lines.reading(),
            next: self.next.get(),
            decoded: self.decoded.get(),
            told_of_end: self.told_of_end.get(),
            data_left: self.data_until.get().saturating_sub(now),
            time_left: deadline.map(|deadline| deadline.due.saturating_sub(now)),
            queued: deadline.map_or(0, |deadline| deadline.queued),
            session: session(self.me, &of_here),
        };
        Some((socket, visitor))
    }
}
