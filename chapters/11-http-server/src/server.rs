//! A server in one loop: what all of its connections share, and how it ends.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use ch07_callbacks::program::say;
use ch07_callbacks::{EventLoop, Listener, Readiness, Token};
use ch09_timers::Timers;
use ch10_http::{Asked, Date, Delivery, Fields, Head, Limits, Size, Status};

use crate::answer::{Answer, Ticket};
use crate::connection::{self, Connection, Stage};
use crate::log::Log;
use crate::metrics::Counters;
use crate::routes::{Context, Routes};

/// How much is read at a time, in bytes, and so from one visitor in one turn.
const PIECE: usize = 64 * 1024;
/// So many more than [`Settings::connections`] are told that there is no room. Beyond
/// that there is no time even for that.
const TURNED_AWAY: usize = 256;

// ANCHOR: settings
/// What a server allows.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Longest heads and bodies of requests, in bytes.
    pub limits: Limits,
    /// How many connections at the most, in each loop. More get 503 (RFC 9110, section
    /// 15.6.4).
    pub connections: usize,
    /// To say something, at first and between two requests.
    pub idle: Duration,
    /// To send the whole head of a request, from its first byte on. Late ones get 408.
    pub head: Duration,
    /// To send some more of a request's body.
    pub body: Duration,
    /// For a handler to give the answer that it gives later. Late ones: 504.
    pub handler: Duration,
    /// To take some more of an answer.
    pub answer: Duration,
    /// To hang up, when all is said.
    pub leave: Duration,
    /// For all that was begun, when the server is stopped.
    pub grace: Duration,
}

impl Settings {
    // ANCHOR: usual
    /// Good for a server on the internet.
    pub const USUAL: Self = Self {
        limits: Limits::USUAL,
        connections: 10_000,
        idle: Duration::from_secs(60),
        head: Duration::from_secs(10),
        body: Duration::from_secs(20),
        handler: Duration::from_secs(60),
        answer: Duration::from_secs(30),
        leave: Duration::from_secs(2),
        grace: Duration::from_secs(10),
    };
    // ANCHOR_END: usual
}
// ANCHOR_END: settings

type Stopped = Box<dyn FnOnce(&mut EventLoop)>;

// ANCHOR: server
/// A server in the loop. Clones of it are the same server.
#[derive(Clone)]
pub struct Server(Rc<House>);

/// What all of a server's connections share.
pub(crate) struct House {
    pub settings: Settings,
    pub routes: Routes,
    pub timers: Timers,
    pub counters: Arc<Counters>,
    pub log: Option<Log>,
    /// One for all: whoever is being served has it.
    desk: Cell<Option<Box<Desk>>>,
    time: RefCell<Time>,
    head: RefCell<LastHead>,
    open: Cell<usize>,
    /// Those who are told that there is no room.
    turned_away: Cell<usize>,
    listener: Cell<Option<Token>>,
    stopping: Cell<bool>,
    /// The last attempt to let somebody in has failed.
    shut: Cell<bool>,
    when_stopped: RefCell<Vec<Stopped>>,
}

/// Memory to work with. None of the connections that do nothing needs any.
pub(crate) struct Desk {
    /// What has come.
    pub input: Vec<u8>,
    /// What is to go out.
    pub output: Vec<u8>,
}
// ANCHOR_END: server

impl Default for Desk {
    fn default() -> Self {
        Self { input: vec![0; PIECE], output: Vec::with_capacity(PIECE) }
    }
}

/// The head that was written last. As a rule the next one is the same, and copied.
#[derive(Default)]
struct LastHead {
    /// What it was written from, and in which second; none has more fields.
    from: Option<(Asked, Status, Size, u64)>,
    content_type: String,
    bytes: Vec<u8>,
    how: Option<(Delivery, bool)>,
}

/// What the clocks have said in this turn.
struct Time {
    turn: u64,
    now: Duration,
    second: u64,
    date: Date,
}

impl Server {
    /// Serves `routes` to all who come to `listener`.
    ///
    /// # Errors
    /// When the listener can't be told what it must know.
    pub fn start(
        event_loop: &mut EventLoop,
        timers: Timers,
        listener: TcpListener,
        settings: Settings,
        routes: Routes,
    ) -> io::Result<Self> {
        Self::start_with(event_loop, timers, listener, settings, routes, Arc::default(), None)
    }

    /// The same, with counters that others read, and with an access log.
    ///
    /// # Errors
    /// When the listener can't be told what it must know.
    pub fn start_with(
        event_loop: &mut EventLoop,
        timers: Timers,
        listener: TcpListener,
        settings: Settings,
        routes: Routes,
        counters: Arc<Counters>,
        log: Option<Log>,
    ) -> io::Result<Self> {
        let time = Time {
            turn: event_loop.turns(),
            now: timers.now(event_loop),
            second: timers.now(event_loop).as_secs(),
            date: Date::of(SystemTime::now()),
        };
        let house = Rc::new(House {
            settings,
            routes,
            timers,
            counters,
            log,
            desk: Cell::default(),
            time: RefCell::new(time),
            head: RefCell::default(),
            open: Cell::new(0),
            turned_away: Cell::new(0),
            listener: Cell::new(None),
            stopping: Cell::new(false),
            shut: Cell::new(false),
            when_stopped: RefCell::default(),
        });
        let server = Self(Rc::clone(&house));
        let listener = event_loop.add(Listener::new(listener)?, move |event_loop, me, _| {
            // One in each turn: a call that finds nobody at the door costs more than a turn.
            house.let_one_in(event_loop, me);
            Ok(())
        });
        server.0.listener.set(Some(listener));
        Ok(server)
    }

    // ANCHOR: stop
    /// Lets nobody in any more, and calls `stopped` when all that was begun is done, or
    /// its time is over. The second time, it calls it at once.
    pub fn stop(&self, event_loop: &mut EventLoop, stopped: impl FnOnce(&mut EventLoop) + 'static) {
        let house = &self.0;
        house.when_stopped.borrow_mut().push(Box::new(stopped));
        if house.stopping.get() {
            return house.is_stopped(event_loop);
        }
        // Whoever is at the door has been told by the kernel that they're in.
        if let Some(listener) = house.listener.take() {
            while house.let_one_in(event_loop, listener) {}
            event_loop.close(listener);
        }
        house.stopping.set(true);
        for connection in house.connections(event_loop) {
            connection::last_orders(event_loop, connection, house);
        }
        let late = Rc::clone(house);
        house.timers.after(event_loop, house.settings.grace, move |event_loop| {
            late.is_stopped(event_loop);
        });
        house.look_whether_all_are_gone(event_loop);
    }
    // ANCHOR_END: stop

    /// How many connections it has.
    pub fn connections(&self) -> usize {
        self.0.open.get()
    }
}

impl House {
    // ANCHOR: let_in
    /// Lets in one who is at the door. Whether there was one.
    fn let_one_in(self: &Rc<Self>, event_loop: &mut EventLoop, door: Token) -> bool {
        let Some(listener) = event_loop.get_mut::<Listener>(door) else { return false };
        match listener.accept() {
            Ok(Some((socket, from))) => {
                self.shut.set(false);
                // To a listener of both kinds, 127.0.0.1 is ::ffff:127.0.0.1 (RFC 4291,
                // section 2.5.5.2): to those who read the log it isn't.
                let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                self.welcome(event_loop, socket, from);
                true
            }
            Ok(None) => false,
            Err(error) => {
                self.counters.failed_accepts.add(1);
                // It's tried again ten times a second, and said once.
                if !self.shut.replace(true) {
                    say(&format!("not accepted: {error}"));
                }
                false
            }
        }
    }

    fn welcome(self: &Rc<Self>, event_loop: &mut EventLoop, socket: TcpStream, from: SocketAddr) {
        self.counters.accepted.add(1);
        let is_full = self.open.get() >= self.settings.connections;
        let counted = if is_full { &self.turned_away } else { &self.open };
        if is_full {
            self.counters.turned_away.add(1);
            if counted.get() >= TURNED_AWAY {
                return; // which closes it
            }
        }
        counted.set(counted.get() + 1);
        self.counters.open.set(self.open.get() as u64);
        let now = self.now(event_loop);
        let connection = Connection::new(Rc::clone(self), socket, from, now);
        let house = Rc::clone(self);
        let token = event_loop.add(connection, move |event_loop, me, readiness| {
            connection::ready(event_loop, me, readiness, &house)
        });
        if is_full {
            connection::turn_away(event_loop, token);
        }
        // Most have said already what they want.
        event_loop.guard(Some(token), |event_loop| {
            let readiness = Readiness { read: true, ..Readiness::NONE };
            if connection::ready(event_loop, token, readiness, self).is_err() {
                event_loop.close(token);
            }
        });
    }
    // ANCHOR_END: let_in

    pub fn is_gone(&self, event_loop: &mut EventLoop, was_turned_away: bool) {
        let counted = if was_turned_away { &self.turned_away } else { &self.open };
        counted.set(counted.get() - 1);
        self.counters.open.set(self.open.get() as u64);
        self.look_whether_all_are_gone(event_loop);
    }

    fn connections(&self, event_loop: &EventLoop) -> Vec<Token> {
        let is_ours = |token: &Token| {
            event_loop.get::<Connection>(*token).is_some_and(|connection| connection.is_of(self))
        };
        event_loop.tokens::<Connection>().into_iter().filter(is_ours).collect()
    }

    fn look_whether_all_are_gone(&self, event_loop: &mut EventLoop) {
        if self.stopping.get() && self.open.get() + self.turned_away.get() == 0 {
            self.is_stopped(event_loop);
        }
    }

    fn is_stopped(&self, event_loop: &mut EventLoop) {
        // Whoever is still here is told so, and logged.
        for connection in self.connections(event_loop) {
            event_loop.close(connection);
        }
        for callback in self.when_stopped.take() {
            callback(event_loop);
        }
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    pub fn take_desk(&self) -> Box<Desk> {
        self.desk.take().unwrap_or_default()
    }

    pub fn leave_desk(&self, mut desk: Box<Desk>) {
        desk.output.clear();
        self.desk.set(Some(desk));
    }

    // ANCHOR: time
    /// What the timers' clock says. It's looked at once in a turn, and the calendar once
    /// in a second.
    pub fn now(&self, event_loop: &EventLoop) -> Duration {
        let mut time = self.time.borrow_mut();
        if time.turn != event_loop.turns() {
            time.turn = event_loop.turns();
            time.now = self.timers.now(event_loop);
            if time.second != time.now.as_secs() {
                time.second = time.now.as_secs();
                time.date = Date::of(SystemTime::now());
            }
            self.counters.turns.set(time.turn);
        }
        time.now
    }
    // ANCHOR_END: time

    /// Has the handler answer one request.
    #[inline]
    pub fn ask(
        &self,
        event_loop: &mut EventLoop,
        ticket: Ticket,
        head: &Head<'_>,
        body: &[u8],
        from: SocketAddr,
    ) -> thread::Result<Answer> {
        let mut context = Context { event_loop, timers: self.timers, ticket };
        let handle = || self.routes.answer(&mut context, head, body, from);
        // Asserted: what a handler leaves half done is its own.
        catch_unwind(AssertUnwindSafe(handle))
    }

    // ANCHOR: head
    /// Writes the head of an answer. Served the same thing as the one before, a visitor
    /// gets a copy of its head: in a long row of small answers, writing it anew shows.
    pub fn write_head(
        &self,
        to: &mut Vec<u8>,
        asked: Asked,
        status: Status,
        content_type: &str,
        fields: &Fields,
        size: Size,
    ) -> (Delivery, bool) {
        let time = self.time.borrow();
        let from = Some((asked, status, size, time.second)).filter(|_| fields.is_empty());
        let mut last = self.head.borrow_mut();
        if let Some(how) = last.how
            && from.is_some()
            && last.from == from
            && last.content_type == content_type
        {
            to.extend_from_slice(&last.bytes);
            return how;
        }
        let begin = to.len();
        let named = Some(content_type).filter(|name| !name.is_empty());
        let how = ch10_http::head(to, asked, status, &time.date, named, fields, size);
        last.from = from;
        last.how = Some(how);
        last.content_type.clear();
        last.content_type.push_str(content_type);
        last.bytes.clear();
        last.bytes.extend_from_slice(&to[begin..]);
        how
    }
    // ANCHOR_END: head

    pub fn limit(&self, stage: Stage) -> Option<Duration> {
        let Settings { idle, head, body, handler, answer, leave, .. } = self.settings;
        match stage {
            Stage::Idle => Some(idle),
            Stage::Head => Some(head),
            Stage::Body => Some(body),
            Stage::Handler => Some(handler),
            Stage::Sending => Some(answer),
            // A stream may be silent for as long as it likes.
            Stage::Stream => None,
            Stage::Leaving => Some(leave),
        }
    }
}
