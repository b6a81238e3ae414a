//! What all of a server's connections share.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use ch07_callbacks::EventLoop;
use ch09_timers::Timers;
use ch10_http::Head;

use crate::answer::{Answer, Stream, Ticket};
use crate::conversation::Common;
use crate::log::Log;
use crate::metrics::Counters;
use crate::routes::{Context, Routes};
use crate::send_buffer::SendBuffers;
use crate::settings::Settings;

/// How much is read at a time, in bytes, and so from one client in one turn.
const PIECE: usize = 64 * 1024;

type Stopped = Box<dyn FnOnce(&mut EventLoop)>;

/// What all of a server's connections share.
pub(crate) struct Shared {
    pub common: Rc<Common>,
    pub routes: Routes,
    pub timers: Timers,
    pub counters: Arc<Counters>,
    pub log: Option<Log>,
    pub send_buffers: SendBuffers,
    /// One for all: whoever is being served has them.
    buffers: Cell<Option<Box<Buffers>>>,
    time: Cell<Time>,
    open: Cell<usize>,
    /// Those who are told that there is no room. They aren't among the open ones.
    turned_away: Cell<usize>,
    /// What is called when nobody is left: while the server is being stopped.
    when_empty: RefCell<Vec<Stopped>>,
}

/// Memory to work with. None of the connections that do nothing needs any.
pub(crate) struct Buffers {
    /// What has come.
    pub input: Vec<u8>,
    /// What is to be sent.
    pub output: Vec<u8>,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { input: vec![0; PIECE], output: Vec::with_capacity(PIECE) }
    }
}

/// What the clock has said in this turn.
#[derive(Clone, Copy)]
struct Time {
    turn: u64,
    now: Duration,
}

impl Shared {
    pub fn new(
        event_loop: &EventLoop,
        timers: Timers,
        settings: Settings,
        routes: Routes,
        counters: Arc<Counters>,
        log: Option<Log>,
    ) -> Self {
        Self {
            common: Rc::new(Common::new(settings, SystemTime::now())),
            routes,
            timers,
            counters,
            log,
            send_buffers: SendBuffers::default(),
            buffers: Cell::default(),
            time: Cell::new(Time { turn: event_loop.turns(), now: timers.now(event_loop) }),
            open: Cell::new(0),
            turned_away: Cell::new(0),
            when_empty: RefCell::default(),
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.common.settings
    }

    pub fn take_buffers(&self) -> Box<Buffers> {
        self.buffers.take().unwrap_or_default()
    }

    pub fn put_back(&self, buffers: Box<Buffers>) {
        self.buffers.set(Some(buffers));
    }

    /// What the timers' clock says. It's looked at once in a turn, and the calendar once
    /// in a second.
    pub fn now(&self, event_loop: &EventLoop) -> Duration {
        let Time { turn, now: before } = self.time.get();
        if turn == event_loop.turns() {
            return before;
        }
        let now = self.timers.now(event_loop);
        if now.as_secs() != before.as_secs() {
            self.common.set_date(SystemTime::now());
        }
        self.time.set(Time { turn: event_loop.turns(), now });
        self.counters.turns.set(event_loop.turns());
        now
    }

    /// Has the handler answer one request.
    #[inline]
    pub fn handle(
        &self,
        event_loop: &mut EventLoop,
        ticket: Ticket,
        head: &Head<'_>,
        body: &[u8],
        from: SocketAddr,
    ) -> thread::Result<Answer> {
        let now = self.time.get().now;
        let mut context = Context { event_loop, timers: self.timers, now, ticket };
        let handle = || self.routes.answer(&mut context, head, body, from);
        // Asserted: what a handler leaves half done is its own.
        catch_unwind(AssertUnwindSafe(handle))
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.open.get()
    }

    /// Counts somebody who has come. None: there are too many even to be told so.
    pub fn admit(&self) -> Option<Admission> {
        let is_full = self.open.get() >= self.settings().max_connections;
        self.counters.accepted.add(1);
        let (admission, count) = match is_full {
            false => (Admission::Open, &self.open),
            true => (Admission::TurnedAway, &self.turned_away),
        };
        if is_full {
            self.counters.turned_away.add(1);
            if count.get() >= turned_away(self.settings().max_connections) {
                return None;
            }
        }
        count.set(count.get() + 1);
        self.counters.open.set(self.open.get() as u64);
        Some(admission)
    }

    /// Counts somebody who was somebody else's visitor, and is let in whoever is here.
    pub fn take_over(&self) -> Admission {
        self.open.set(self.open.get() + 1);
        self.counters.open.set(self.open.get() as u64);
        Admission::Open
    }

    /// What goes on with a stream of this name.
    pub fn resume(&self, event_loop: &mut EventLoop, name: &str, ticket: Ticket) -> Option<Stream> {
        let now = self.time.get().now;
        let mut context = Context { event_loop, timers: self.timers, now, ticket };
        self.routes.go_on(&mut context, name)
    }

    /// Somebody has left.
    pub fn release(&self, event_loop: &mut EventLoop, admission: Admission) {
        let count = match admission {
            Admission::Open => &self.open,
            Admission::TurnedAway => &self.turned_away,
        };
        count.set(count.get() - 1);
        self.counters.open.set(self.open.get() as u64);
        self.call_if_empty(event_loop);
    }

    /// Calls this when nobody is left.
    pub fn when_empty(&self, callback: Stopped) {
        self.when_empty.borrow_mut().push(callback);
    }

    pub fn call_if_empty(&self, event_loop: &mut EventLoop) {
        if self.open.get() + self.turned_away.get() == 0 {
            self.call(event_loop);
        }
    }

    /// Calls it whoever is left.
    pub fn call(&self, event_loop: &mut EventLoop) {
        for callback in self.when_empty.take() {
            callback(event_loop);
        }
    }
}

/// So many more than [`Settings::max_connections`] are told that there is no room: a quarter of
/// those who may be here, but some, and no more than there is time for. They need descriptors, too.
fn turned_away(max_connections: usize) -> usize {
    (max_connections / 4).clamp(16, 256)
}

/// Among whom a connection is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Open,
    /// There was no room for it.
    TurnedAway,
}
