//! A server whose clients speak lines: what any such protocol needs of the loop, once.

pub mod handover;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::program::say;
use ch07_callbacks::{Ending, EventLoop, Input, Token};
use ch09_timers::{Timer, Timers};

use crate::door;
use crate::lines::{Lines, Piece};
use crate::presence::{Row, Service, Stopped};

/// With so much queued for a client, in bytes, none of its lines is read any more: who sends
/// commands and never reads the replies must not fill our memory.
pub const MOST_QUEUED: usize = 64 * 1024;
/// How many lines of one client are answered in one turn: others want theirs too.
const LINES_A_TURN: usize = 256;
/// How long those have who are in the middle of something, when the server is stopped.
const GRACE: Duration = Duration::from_secs(10);
/// How long to wait for a client to hang up, when all is said.
const LINGER: Duration = Duration::from_secs(2);

// ANCHOR: session
/// One connection of a line-based protocol. The value is the
/// connection's state.
pub trait Session: 'static {
    /// Something has happened. What is to be said goes to `talk`.
    fn receive(&mut self, event: Event<'_>, talk: &mut Talk<'_>);

    /// What is waited for now, and for how long at the most.
    fn waits(&self) -> Waits;

    /// Takes out of `bytes`, which have come, what isn't text.
    fn decode(&mut self, _bytes: &mut Vec<u8>, _talk: &mut Talk<'_>) {}

    /// The connection is closed. What has to be cleaned up is cleaned
    /// up here.
    fn closed(&mut self, _event_loop: &mut EventLoop, _me: Token) {}
}

/// What can happen on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// It's there. Most protocols have the server speak first.
    Connected,
    /// A line, without its end.
    Line(&'a [u8]),
    /// A line was too long, and thrown away.
    TooLong,
    /// Some of the data that [`Talk::expect_data`] has asked for.
    Data(&'a [u8]),
    /// That was all of it.
    EndOfData,
    /// The other side has finished sending. What isn't a whole line is
    /// lost.
    Ended,
    /// It has taken longer than [`Waits::at_most`], or all of the data
    /// longer than it may.
    Late,
    /// The server is being stopped.
    Stopping,
}

/// What a session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// In words that complete "it waits for".
    pub what: &'static str,
    /// None: for as long as it takes.
    pub at_most: Option<Duration>,
}
// ANCHOR_END: session

// ANCHOR: talk
/// What a session can do.
pub struct Talk<'a> {
    pub event_loop: &'a mut EventLoop,
    /// The connection.
    pub me: Token,
    lines: &'a mut Lines,
    next: &'a Cell<Next>,
    name: &'a Name,
    timers: Timers,
    data_until: &'a Cell<Duration>,
}

impl Talk<'_> {
    /// Queues bytes to be sent.
    pub fn say(&mut self, bytes: &[u8]) {
        self.event_loop.send(self.me, bytes);
    }

    /// What comes next is data, until a dot; all of it within so long.
    pub fn expect_data(&mut self, within: Duration) {
        self.lines.expect_data();
        self.data_until.set(self.timers.now(self.event_loop).saturating_add(within));
    }

    /// The next line isn't read before [`LineServer::resume`] is
    /// called: the answer to this one comes later.
    pub fn pause(&mut self) {
        self.next.set(Next::Wait);
    }

    /// What is queued is the last.
    pub fn hang_up(&mut self) {
        self.next.set(Next::Leave);
    }

    /// A line on stderr, with the connection's name.
    pub fn log(&self, event: &str) {
        self.name.log(event);
    }

    /// The connection's number, by which the log knows it.
    pub fn number(&self) -> u64 {
        self.name.number
    }
}
// ANCHOR_END: talk

/// What becomes of the lines that come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// They are read.
    Read,
    /// They wait until somebody resumes the session.
    Wait,
    /// None is read any more: all is said.
    Leave,
}

/// What a server of lines is made of.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Its name, such as `mail`.
    pub protocol: &'static str,
    /// The longest line, in bytes, without its end.
    pub longest_line: usize,
    /// How many connections at the most.
    pub most: usize,
    /// What one more is told.
    pub full: &'static str,
}

/// A server in the loop. Clones of it are the same server.
pub struct LineServer<S>(Rc<Inner<S>>);

struct Inner<S> {
    options: Options,
    /// Makes the state of a connection that comes from there.
    session: Box<dyn Fn(SocketAddr) -> S>,
    timers: Timers,
    listener: Cell<Option<Token>>,
    /// The number of the connection that came last.
    last: Cell<u64>,
    visits: RefCell<BTreeMap<Token, Rc<Visit<S>>>>,
    stopping: Cell<bool>,
    when_empty: RefCell<Vec<Stopped>>,
}

/// One connection.
struct Visit<S> {
    me: Token,
    from: SocketAddr,
    name: Name,
    timers: Timers,
    session: RefCell<S>,
    lines: RefCell<Lines>,
    next: Cell<Next>,
    /// How much of the input is text already, in bytes.
    decoded: Cell<usize>,
    told_of_end: Cell<bool>,
    /// While data is expected: when all of it must be there, by the timers' clock.
    data_until: Cell<Duration>,
    deadline: Cell<Option<Deadline>>,
}

/// Until when the other side has time.
#[derive(Clone, Copy, Debug)]
struct Deadline {
    timer: Timer,
    /// By the timers' clock.
    due: Duration,
    /// How many bytes were queued when the wait began.
    queued: usize,
}

/// What a connection is called in the log.
#[derive(Clone, Copy, Debug)]
struct Name {
    protocol: &'static str,
    number: u64,
}

/// What a connection waits for whose session is over.
const GOODBYE: Waits = Waits { what: "it to hang up", at_most: Some(LINGER) };

impl<S: Session> LineServer<S> {
    /// Serves all who come to `listener`; `session` makes the state of each connection.
    ///
    /// # Errors
    /// When the listener can't be told what it must know.
    pub fn start(
        event_loop: &mut EventLoop,
        timers: Timers,
        listener: TcpListener,
        options: Options,
        session: impl Fn(SocketAddr) -> S + 'static,
    ) -> io::Result<Self> {
        let server = Self(Rc::new(Inner {
            options,
            session: Box::new(session),
            timers,
            listener: Cell::new(None),
            last: Cell::default(),
            visits: RefCell::default(),
            stopping: Cell::new(false),
            when_empty: RefCell::default(),
        }));
        let accepts = server.clone();
        let listener = event_loop.listen(listener, move |event_loop, came| {
            accepts.came(event_loop, came);
        })?;
        server.0.listener.set(Some(listener));
        Ok(server)
    }

    /// Somebody has come in, or couldn't.
    fn came(&self, event_loop: &mut EventLoop, came: io::Result<(Token, SocketAddr)>) {
        let Inner { options, session, last, .. } = &*self.0;
        let number = last.get().saturating_add(1);
        last.set(number);
        let name = Name { protocol: options.protocol, number };
        match came {
            Ok((socket, from)) => {
                // To a listener of both kinds, 127.0.0.1 is ::ffff:127.0.0.1.
                let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                self.welcome(event_loop, socket, from, name, session(from));
            }
            Err(error) => name.log(&format!("not accepted: {error}")),
        }
    }

    /// Lets in all who are at another door, and closes that.
    ///
    /// # Errors
    /// When it can't be told not to wait.
    pub fn let_in_all(&self, event_loop: &mut EventLoop, door: TcpListener) -> io::Result<()> {
        door::close_another(event_loop, door, |event_loop, came| self.came(event_loop, came))
    }

    fn welcome(
        &self,
        event_loop: &mut EventLoop,
        me: Token,
        from: SocketAddr,
        name: Name,
        session: S,
    ) {
        name.log(&format!("connected from {from}"));
        let Inner { options, timers, visits, .. } = &*self.0;
        let here = visits.borrow().len();
        let is_full = here >= options.most;
        if here >= 2 * options.most {
            // There isn't even time to tell so many that there is no room.
            return event_loop.close(me);
        }
        let visit = Rc::new(Visit {
            me,
            from,
            name,
            timers: *timers,
            session: RefCell::new(session),
            lines: RefCell::new(Lines::new(options.longest_line)),
            next: Cell::new(if is_full { Next::Leave } else { Next::Read }),
            decoded: Cell::new(0),
            told_of_end: Cell::new(false),
            data_until: Cell::default(),
            deadline: Cell::new(None),
        });
        self.enter(event_loop, &visit);
        match is_full {
            true => event_loop.send(me, options.full.as_bytes()),
            false => visit.tell(event_loop, Event::Connected),
        }
        visit.go_on(event_loop);
        visit.settle(event_loop);
    }

    /// A connection is here, until it's closed.
    fn enter(&self, event_loop: &mut EventLoop, visit: &Rc<Visit<S>>) {
        let (server, gone, me) = (self.clone(), Rc::clone(visit), visit.me);
        self.0.visits.borrow_mut().insert(me, Rc::clone(visit));
        event_loop.set_close_callback(me, move |event_loop, _, ending| {
            gone.closed(event_loop, ending);
            server.release(event_loop, me);
        });
    }

    /// A connection is gone.
    fn release(&self, event_loop: &mut EventLoop, me: Token) {
        self.0.visits.borrow_mut().remove(&me);
        self.call_if_empty(event_loop);
    }

    fn call_if_empty(&self, event_loop: &mut EventLoop) {
        if self.0.stopping.get() && self.0.visits.borrow().is_empty() {
            for callback in self.0.when_empty.take() {
                callback(event_loop);
            }
        }
    }

    /// The answer that a session has [paused](Talk::pause) for is there: `answer` gives it,
    /// and the session's lines are read again. Nothing happens if the connection is gone.
    pub fn resume(
        &self,
        event_loop: &mut EventLoop,
        connection: Token,
        answer: impl FnOnce(&mut S, &mut Talk<'_>),
    ) {
        let visit = self.0.visits.borrow().get(&connection).cloned();
        let Some(visit) = visit.filter(|visit| visit.next.get() == Next::Wait) else { return };
        visit.next.set(Next::Read);
        visit.have(event_loop, answer);
        visit.go_on(event_loop);
        visit.settle(event_loop);
    }

    fn visits(&self) -> Vec<Rc<Visit<S>>> {
        self.0.visits.borrow().values().cloned().collect()
    }
}

impl<S: Session> Service for LineServer<S> {
    fn rows(&self, event_loop: &EventLoop) -> Vec<Row> {
        let row = |visit: Rc<Visit<S>>| Row {
            token: visit.me,
            protocol: visit.name.protocol,
            from: visit.from,
            waits_for: match event_loop.queued(visit.me) {
                0 => visit.waits().what.into(),
                _ => "it to read".into(),
            },
        };
        self.visits().into_iter().map(row).collect()
    }

    fn stop(&self, event_loop: &mut EventLoop, stopped: Stopped) {
        self.0.when_empty.borrow_mut().push(stopped);
        let again = self.0.stopping.replace(true);
        if let Some(listener) = self.0.listener.take() {
            door::close(event_loop, listener, |event_loop, came| self.came(event_loop, came));
        }
        for visit in self.visits() {
            if again {
                event_loop.close(visit.me);
            } else if visit.next.get() != Next::Leave {
                visit.tell(event_loop, Event::Stopping);
                visit.settle(event_loop);
            }
        }
        let late = self.clone();
        self.0.timers.after(event_loop, GRACE, move |event_loop| late.end(event_loop));
        self.call_if_empty(event_loop);
    }
}

impl<S: Session> LineServer<S> {
    /// Whoever is still here has had the time to finish. Who waits for us may go on waiting.
    fn end(&self, event_loop: &mut EventLoop) {
        for visit in self.visits() {
            if visit.next.get() == Next::Read {
                visit.tell(event_loop, Event::Late);
                visit.settle(event_loop);
            }
        }
    }
}

impl<S: Session> Visit<S> {
    /// Has the session do something.
    fn have(&self, event_loop: &mut EventLoop, act: impl FnOnce(&mut S, &mut Talk<'_>)) {
        let (session, lines) = (self.session.try_borrow_mut(), self.lines.try_borrow_mut());
        let (Ok(mut session), Ok(mut lines)) = (session, lines) else { return };
        let Self { me, next, name, timers, data_until, .. } = self;
        let (me, timers, lines) = (*me, *timers, &mut *lines);
        act(&mut session, &mut Talk { event_loop, me, lines, next, name, timers, data_until });
    }

    fn tell(&self, event_loop: &mut EventLoop, event: Event<'_>) {
        self.have(event_loop, |session, talk| session.receive(event, talk));
    }

    /// The input that is there is looked at in the next turn, and whatever comes, too.
    fn go_on(self: &Rc<Self>, event_loop: &mut EventLoop) {
        let visit = Rc::clone(self);
        event_loop.set_read_callback(self.me, move |event_loop, _, input| {
            visit.data_available(event_loop, input);
        });
    }

    // ANCHOR: data
    /// Tells the session of each piece that is there.
    fn data_available(self: &Rc<Self>, event_loop: &mut EventLoop, input: &mut Input) {
        if self.is_reading(event_loop) {
            self.decode(event_loop, input);
        }
        let all = mem::take(&mut input.bytes);
        let mut rest = all.as_slice();
        let mut pieces = 0;
        while pieces < LINES_A_TURN && self.is_reading(event_loop) {
            let piece = self.lines.borrow_mut().next(&mut rest);
            let Some(piece) = piece else { break };
            self.tell(event_loop, piece.into());
            pieces += 1;
        }
        let taken = all.len() - rest.len();
        input.bytes = all;
        input.bytes.drain(..taken);
        self.decoded.set(self.decoded.get().saturating_sub(taken));
        let is_at_end = input.ended && self.is_reading(event_loop);
        if pieces == LINES_A_TURN {
            self.go_on(event_loop);
        } else if is_at_end && !self.told_of_end.replace(true) {
            self.tell(event_loop, Event::Ended);
            pieces += 1;
        }
        if pieces > 0 {
            self.settle(event_loop);
        } else {
            // What others have queued for it can have stopped us, too.
            self.wait_for_room(event_loop);
        }
    }
    // ANCHOR_END: data

    /// Whether its lines are read now.
    fn is_reading(&self, event_loop: &EventLoop) -> bool {
        self.next.get() == Next::Read && event_loop.queued(self.me) < MOST_QUEUED
    }

    /// Only what has come since the last time.
    fn decode(&self, event_loop: &mut EventLoop, input: &mut Input) {
        let mut new = input.bytes.split_off(self.decoded.get().min(input.bytes.len()));
        self.have(event_loop, |session, talk| session.decode(&mut new, talk));
        input.bytes.append(&mut new);
        self.decoded.set(input.bytes.len());
    }

    /// After something has happened: says goodbye if all is said, and sees how long to wait
    /// for what comes next.
    fn settle(self: &Rc<Self>, event_loop: &mut EventLoop) {
        if self.next.get() == Next::Leave {
            event_loop.finish(self.me);
        } else {
            self.wait_for_room(event_loop);
        }
        self.forget_deadline(event_loop);
        if let Some(at_most) = self.time_left(event_loop) {
            self.set_deadline(event_loop, at_most, event_loop.queued(self.me));
        }
    }

    fn set_deadline(self: &Rc<Self>, event_loop: &mut EventLoop, at_most: Duration, queued: usize) {
        let visit = Rc::clone(self);
        let late = move |event_loop: &mut EventLoop| visit.is_late(event_loop, queued);
        let due = self.timers.now(event_loop).saturating_add(at_most);
        let timer = self.timers.at(event_loop, due, late);
        self.deadline.set(Some(Deadline { timer, due, queued }));
    }

    fn forget_deadline(&self, event_loop: &mut EventLoop) {
        if let Some(deadline) = self.deadline.take() {
            self.timers.cancel(event_loop, deadline.timer);
        }
    }

    /// With too much queued, its lines are read when it has read that.
    fn wait_for_room(self: &Rc<Self>, event_loop: &mut EventLoop) {
        if event_loop.queued(self.me) >= MOST_QUEUED {
            let visit = Rc::clone(self);
            event_loop.set_write_callback(self.me, move |event_loop, _| visit.go_on(event_loop));
        }
    }

    fn waits(&self) -> Waits {
        match (self.next.get(), self.session.try_borrow()) {
            (Next::Read | Next::Wait, Ok(session)) => session.waits(),
            _ => GOODBYE,
        }
    }

    /// How long the other side has for what comes next.
    fn time_left(&self, event_loop: &EventLoop) -> Option<Duration> {
        let at_most = self.waits().at_most;
        let in_data = self.lines.try_borrow().is_ok_and(|lines| lines.expects_data());
        if self.next.get() != Next::Read || !in_data {
            return at_most;
        }
        // Data that comes buys time for more, but not without end.
        let left = self.data_until.get().saturating_sub(self.timers.now(event_loop));
        Some(at_most.map_or(left, |at_most| at_most.min(left)))
    }

    /// It has taken too long. `queued`: how many bytes were queued when the wait began.
    fn is_late(self: &Rc<Self>, event_loop: &mut EventLoop, queued: usize) {
        self.deadline.take();
        let left = event_loop.queued(self.me);
        let is_leaving = self.next.get() == Next::Leave;
        if left > 0 && left < queued {
            return self.settle(event_loop); // it reads, if slowly
        }
        if left > 0 || is_leaving {
            let says = if left > 0 { "it doesn't read" } else { "it didn't leave" };
            self.name.log(&format!("shown the door: {says}"));
            return event_loop.close(self.me);
        }
        self.tell(event_loop, Event::Late);
        self.settle(event_loop);
    }

    /// The one place to clean up.
    fn closed(&self, event_loop: &mut EventLoop, ending: Ending) {
        self.forget_deadline(event_loop);
        if let Ok(mut session) = self.session.try_borrow_mut() {
            session.closed(event_loop, self.me);
        }
        match ending {
            // When all is said, it may leave as it likes.
            Ending::Failed(error) if self.next.get() != Next::Leave => {
                self.name.log(&format!("lost: {error}"));
            }
            Ending::Failed(_) => self.name.log("gone"),
            Ending::Panicked => self.name.log("lost: its session panicked"),
            Ending::Finished | Ending::Closed => self.name.log("gone"),
        }
    }
}

impl Name {
    fn log(self, event: &str) {
        let Self { protocol, number } = self;
        say(&format!("{protocol} {number}: {event}"));
    }
}

impl<'a> From<Piece<'a>> for Event<'a> {
    fn from(piece: Piece<'a>) -> Self {
        match piece {
            Piece::Line(line) => Event::Line(line),
            Piece::TooLong => Event::TooLong,
            Piece::Data(data) => Event::Data(data),
            Piece::EndOfData => Event::EndOfData,
        }
    }
}

impl<S> Clone for LineServer<S> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}
