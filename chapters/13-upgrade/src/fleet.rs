//! Loops that serve together, and are handed over together.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ch07_callbacks::EventLoop;
use ch07_callbacks::program::say;
use ch09_timers::{Clock, Timers};
use ch11_http_server::listen::listen_together;
use ch11_http_server::log::Log;
use ch11_http_server::mailbox::{Sender, mailbox};
use ch11_http_server::metrics::{AllCounters, Counters, sum};
use ch11_http_server::{Routes, Server, Settings};

use crate::countdown::countdown;
use crate::format::Malformed;
use crate::http;
use crate::state::{Detached, Outgoing};
use crate::upgrade::Give;

/// What a server is called in the state.
const SECTION: &str = "http";
/// Says that the doors were given to the program.
const GIVEN: &str = "given";
/// How long another loop may take to finish its turn, or to begin.
const TO_GATHER: Duration = Duration::from_secs(1);

/// What each loop begins with.
#[derive(Default)]
pub struct Berth {
    listeners: Vec<TcpListener>,
    /// Those whose ports nobody wants any more. Whoever is at these doors is let in, and then
    /// they're closed.
    closing: Vec<TcpListener>,
    /// Visitors of another program.
    visitors: Vec<Detached>,
    /// Its doors were given to the program, and aren't its own to close.
    given: bool,
}

impl Berth {
    /// Where its door is.
    ///
    /// # Errors
    /// When it has none, or the kernel can't tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        let door = self.listeners.first();
        door.ok_or_else(|| io::Error::other("there is no door"))?.local_addr()
    }
}

/// Opens the door, so many times.
///
/// # Errors
/// When the address is taken, or can't be had.
pub fn open(address: SocketAddr, count: usize) -> io::Result<Vec<Berth>> {
    let listeners = listen_together(address, count)?;
    let berth = |listener| Berth { listeners: vec![listener], ..Berth::default() };
    Ok(listeners.into_iter().map(berth).collect())
}

/// With doors that somebody else has opened. They stay open, whatever address is asked for.
///
/// # Errors
/// When they can't be shared.
pub fn with_doors(doors: Vec<TcpListener>, count: usize) -> io::Result<Vec<Berth>> {
    let mut berths: Vec<Berth> =
        (0..count).map(|_| Berth { given: true, ..Berth::default() }).collect();
    for (at, door) in doors.into_iter().enumerate() {
        berths[at % count].listeners.push(door);
    }
    share(&mut berths)?;
    Ok(berths)
}

/// Goes on with what another program has had, in so many loops. A port that is new is opened.
///
/// # Errors
/// When this is no state, or the port can't be had. Then nothing was touched.
pub fn inherit(mut state: Detached, address: SocketAddr, count: usize) -> io::Result<Vec<Berth>> {
    let mut state = state.attach();
    let mut berths: Vec<Berth> = (0..count).map(|_| Berth::default()).collect();
    let mut at = 0;
    while let Some((name, mut section)) = state.section()? {
        if name == GIVEN {
            berths.iter_mut().for_each(|berth| berth.given = true);
            continue;
        }
        if name != SECTION {
            return Err(io::Error::other(format!("the state has {name:?}, and we don't know it")));
        }
        let berth = &mut berths[at % count];
        at += 1;
        match http::read_listener(&mut section)? {
            Some(listener) if berth.given || is_at(&listener, address) => {
                berth.listeners.push(listener);
            }
            Some(listener) => berth.closing.push(listener),
            None => {}
        }
        berth.visitors.push(section.detach());
    }
    state.end()?;
    if berths.iter().all(|berth| berth.listeners.is_empty()) {
        let listeners = listen_together(address, count).map_err(|error| {
            io::Error::new(error.kind(), format!("can't listen on {address}: {error}"))
        })?;
        for (berth, listener) in berths.iter_mut().zip(listeners) {
            berth.listeners.push(listener);
        }
    }
    share(&mut berths)?;
    Ok(berths)
}

/// Port 0 is any, and so the one that there is.
pub(crate) fn is_at(listener: &TcpListener, address: SocketAddr) -> bool {
    listener.local_addr().is_ok_and(|here| {
        here.ip() == address.ip() && (address.port() == 0 || here.port() == address.port())
    })
}

/// Loops without a door of their own share somebody's. (A socket more on the port would get its
/// part of the visitors, and lose them when it's closed.)
fn share(berths: &mut [Berth]) -> io::Result<()> {
    let Some(door) = berths.iter().find_map(|berth| berth.listeners.first()) else {
        return Ok(());
    };
    let door = door.try_clone()?;
    for berth in berths.iter_mut().filter(|berth| berth.listeners.is_empty()) {
        berth.listeners.push(door.try_clone()?);
    }
    Ok(())
}

/// What all loops are started with.
pub struct Plan {
    pub settings: Settings,
    pub log: Option<Log>,
    pub routes: MakeRoutes,
}

/// Each loop has routes of its own, made in its thread.
type MakeRoutes = Box<dyn Fn(&AllCounters) -> io::Result<Routes> + Send + Sync>;

/// The loops, as the first of them sees them. Clones are the same.
#[derive(Clone)]
pub struct Fleet(Rc<Inner>);

struct Inner {
    given: bool,
    servers: Vec<Server>,
    all: AllCounters,
    others: Vec<Sender<Order>>,
    /// Where the other loops wait to hear what has become of what they had.
    verdicts: RefCell<Vec<Sender<bool>>>,
    /// How many loops haven't ended, this one among them.
    running: Cell<usize>,
    stops: Cell<u32>,
    failed: Cell<Option<io::Error>>,
}

/// What the first loop says to another one.
enum Order {
    Stop,
    /// Say what you have, and touch none of it, unless nobody wants to know any more.
    HandOver(Sender<Gathered>, Arc<Claim>),
}

/// Whether a loop still answers, or nobody waits for its answer any more: the first of the two that
/// says so has it. (A loop that answered nobody would wait for ever for what has become of it.)
#[derive(Default)]
struct Claim(AtomicBool);

impl Claim {
    /// Whether it's ours.
    fn is_first(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }
}

/// Another loop is ready: it has touched nothing, and waits for a word.
struct Ready {
    orders: Sender<Order>,
    go: Sender<()>,
}

/// What another loop has; and where it waits for a word.
struct Gathered {
    sections: io::Result<Vec<Section>>,
    verdict: Sender<bool>,
}

struct Section {
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Fleet {
    /// Makes all loops ready: this one, and a thread for each of the others. Then calls `go`; until
    /// that has returned, no visitor is touched.
    ///
    /// # Errors
    /// When a loop can't be started, and when `go` fails.
    pub fn start(
        event_loop: &mut EventLoop,
        timers: Timers,
        berths: Vec<Berth>,
        plan: Plan,
        go: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<Self> {
        let all: AllCounters = berths.iter().map(|_| Arc::new(Counters::default())).collect();
        let given = berths.iter().any(|berth| berth.given);
        let plan = Arc::new(plan);
        let mut berths = berths.into_iter().zip(all.iter().cloned());
        let Some((first, counters)) = berths.next() else {
            return Err(io::Error::other("no loop is wanted"));
        };
        let (servers, closing) = moor(event_loop, timers, first, &plan, &all, &counters)?;
        let told: Rc<OnceCell<Self>> = Rc::default();
        let hears = Rc::clone(&told);
        let (_, to_first) = mailbox(event_loop, move |event_loop, done| {
            if let Some(fleet) = hears.get() {
                fleet.another_has_ended(event_loop, done);
            }
        })?;
        let mut others = Vec::new();
        for (berth, counters) in berths {
            let (plan, all, to_first) =
                (Arc::clone(&plan), AllCounters::clone(&all), to_first.clone());
            let ready = hear_within(
                Some(TO_GATHER),
                || true,
                move |ready| {
                    let work = move || match run(berth, &plan, &all, &counters, &ready) {
                        Ok(done) => to_first.send(done),
                        Err(error) => ready.send(Err(error)),
                    };
                    thread::Builder::new().name("worker".to_owned()).spawn(work).map(drop)
                },
            )?;
            others.push(ready?);
        }
        go()?;
        close_doors(event_loop, &servers, closing)?;
        let orders = others.into_iter().map(|Ready { orders, go }| {
            go.send(());
            orders
        });
        let fleet = Self(Rc::new(Inner {
            given,
            servers,
            running: Cell::new(all.len()),
            others: orders.collect(),
            all,
            verdicts: RefCell::default(),
            stops: Cell::new(0),
            failed: Cell::default(),
        }));
        Ok(told.get_or_init(|| fleet).clone())
    }

    fn another_has_ended(&self, event_loop: &mut EventLoop, done: io::Result<()>) {
        self.one_has_ended(event_loop);
        if let Err(error) = done {
            self.0.failed.set(Some(error));
            if self.0.stops.get() == 0 {
                self.stop(event_loop);
            }
        }
    }

    /// How many visitors are here.
    pub fn visitors(&self) -> u64 {
        sum(&self.0.all, |counters| &counters.open)
    }

    /// Whether it has been told to stop.
    pub fn is_stopping(&self) -> bool {
        self.0.stops.get() > 0
    }

    /// Ends when what was begun is done; the second time, at once.
    pub fn stop(&self, event_loop: &mut EventLoop) {
        let inner = &self.0;
        inner.stops.set(inner.stops.get() + 1);
        inner.others.iter().for_each(|other| other.send(Order::Stop));
        let is_first = inner.stops.get() == 1;
        let fleet = self.clone();
        stop_all(&inner.servers, event_loop, stop, move |event_loop| {
            // Told to stop twice, it has ended once.
            if is_first {
                fleet.one_has_ended(event_loop);
            }
        });
    }

    fn one_has_ended(&self, event_loop: &mut EventLoop) {
        self.0.running.set(self.0.running.get() - 1);
        if self.0.running.get() == 0 {
            event_loop.stop();
        }
    }

    /// What has made a loop end, if anything has.
    pub fn failure(&self) -> Option<io::Error> {
        self.0.failed.take()
    }

    /// Gathers what all loops have, and gives it on. From here on they touch none of it, until
    /// they're [told](Self::tell) what has become of it.
    ///
    /// # Errors
    /// When a loop doesn't answer in time, or what it has can't be had.
    pub fn gather(
        &self,
        event_loop: &mut EventLoop,
        state: Outgoing<'_>,
        give: Give<'_>,
    ) -> io::Result<()> {
        let gathered = self.of_the_others()?;
        for server in &self.0.servers {
            server.prepare(event_loop);
        }
        let event_loop = &*event_loop;
        let ours: Vec<_> =
            self.0.servers.iter().map(|server| server.visitors_and_sockets(event_loop)).collect();
        let mut state: Outgoing<'_> = state;
        if self.0.given {
            state.section(GIVEN, b"", &[]);
        }
        for server in &ours {
            let mut section = Outgoing::default();
            http::write(&mut section, server);
            let (bytes, descriptors) = section.finish();
            state.section(SECTION, &bytes, &descriptors);
        }
        for Section { bytes, descriptors } in &gathered {
            let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
            state.section(SECTION, bytes, &descriptors);
        }
        give(state)
    }

    /// What the other loops have. It's waited for in a loop of its own: in ours nobody is served.
    fn of_the_others(&self) -> io::Result<Vec<Section>> {
        let mut all = Vec::new();
        let others = self.0.others.iter();
        // One after the other: so one can't have been served while another waits.
        for other in others {
            let claim = Arc::new(Claim::default());
            let gives_up = Arc::clone(&claim);
            let ask = |reply| {
                other.send(Order::HandOver(reply, claim));
                Ok(())
            };
            let Gathered { sections, verdict } =
                hear_within(Some(TO_GATHER), || gives_up.is_first(), ask)?;
            self.0.verdicts.borrow_mut().push(verdict);
            all.extend(sections?);
        }
        Ok(all)
    }

    /// What has become of what was gathered. If somebody else has it, the loops end when those
    /// who stayed are served.
    pub fn tell(&self, event_loop: &mut EventLoop, is_taken: bool) {
        for verdict in self.0.verdicts.take() {
            verdict.send(is_taken);
        }
        if is_taken {
            self.0.stops.set(self.0.stops.get() + 1);
            let fleet = self.clone();
            stop_all(&self.0.servers, event_loop, leave, move |event_loop| {
                fleet.one_has_ended(event_loop);
            });
        }
    }
}

/// All that a thread does. The error is one before it was ready.
fn run(
    berth: Berth,
    plan: &Plan,
    all: &AllCounters,
    counters: &Arc<Counters>,
    ready: &Sender<io::Result<Ready>>,
) -> io::Result<io::Result<()>> {
    let mut event_loop = ch08_epoll::event_loop()?;
    let timers = Timers::start(&mut event_loop, Clock::system());
    let (servers, closing) = moor(&mut event_loop, timers, berth, plan, all, counters)?;
    let servers: Rc<[Server]> = servers.into();
    let told = Rc::clone(&servers);
    let (_, orders) = mailbox(&mut event_loop, move |event_loop, order| match order {
        Order::Stop => stop_all(&told, event_loop, stop, EventLoop::stop),
        Order::HandOver(_, claim) if !claim.is_first() => {}
        Order::HandOver(reply, _) => match hand_over(&told, event_loop, &reply) {
            Ok(false) => {}
            Ok(true) => stop_all(&told, event_loop, leave, EventLoop::stop),
            Err(error) => say(&format!("a loop can't be handed over: {error}")),
        },
    })?;
    hear(|go| {
        ready.send(Ok(Ready { orders, go }));
        Ok(())
    })?;
    close_doors(&mut event_loop, &servers, closing)?;
    Ok(event_loop.run())
}

/// Says what this loop has, and waits for what becomes of it. Whether somebody else has it.
fn hand_over(
    servers: &[Server],
    event_loop: &mut EventLoop,
    reply: &Sender<Gathered>,
) -> io::Result<bool> {
    let sections = sections(servers, event_loop);
    hear(|verdict| {
        reply.send(Gathered { sections, verdict });
        Ok(())
    })
}

/// Waits for one word of another thread's, in a loop of its own. `ask` says where it's waited for.
fn hear<T: Send + 'static>(ask: impl FnOnce(Sender<T>) -> io::Result<()>) -> io::Result<T> {
    hear_within(None, || false, ask)
}

/// The same; and when so much time is over, `may_give_up` is asked.
fn hear_within<T: Send + 'static>(
    time: Option<Duration>,
    may_give_up: impl Fn() -> bool,
    ask: impl FnOnce(Sender<T>) -> io::Result<()>,
) -> io::Result<T> {
    let mut waiting = ch08_epoll::event_loop()?;
    let came: Rc<RefCell<Option<T>>> = Rc::default();
    let comes = Rc::clone(&came);
    let (_, sender) = mailbox(&mut waiting, move |_, word| _ = comes.replace(Some(word)))?;
    ask(sender)?;
    let mut until = time.map(|time| Instant::now() + time);
    loop {
        if let Some(word) = came.take() {
            return Ok(word);
        }
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            if may_give_up() {
                return Err(io::Error::other("a loop has no time"));
            }
            // It answers.
            until = None;
        } else {
            waiting.turn(left)?;
        }
    }
}

fn stop(server: &Server, event_loop: &mut EventLoop, stopped: Stopped) {
    server.stop(event_loop, stopped);
}

fn leave(server: &Server, event_loop: &mut EventLoop, stopped: Stopped) {
    server.leave(event_loop, stopped);
}

/// With duplicates of the descriptors: they're passed on by another thread.
fn sections(servers: &[Server], event_loop: &mut EventLoop) -> io::Result<Vec<Section>> {
    let mut sections = Vec::new();
    for server in servers {
        server.prepare(event_loop);
        let handed_over = server.visitors_and_sockets(event_loop);
        let mut section = Outgoing::default();
        http::write(&mut section, &handed_over);
        let (bytes, descriptors) = section.finish();
        let descriptors =
            descriptors.iter().map(BorrowedFd::try_clone_to_owned).collect::<Result<_, _>>()?;
        sections.push(Section { bytes, descriptors });
    }
    Ok(sections)
}

/// Starts a loop's servers, one for each of its doors, and lets in those who come from another
/// program. The doors that are to be closed are given back.
fn moor(
    event_loop: &mut EventLoop,
    timers: Timers,
    berth: Berth,
    plan: &Plan,
    all: &AllCounters,
    counters: &Arc<Counters>,
) -> io::Result<(Vec<Server>, Vec<TcpListener>)> {
    let Berth { listeners, closing, visitors, given: _ } = berth;
    let mut servers = Vec::new();
    for listener in listeners {
        let routes = (plan.routes)(all)?;
        let (settings, log) = (plan.settings, plan.log.clone());
        let counters = Arc::clone(counters);
        let server =
            Server::start_with(event_loop, timers, listener, settings, routes, counters, log)?;
        servers.push(server);
    }
    if let Some(server) = servers.first() {
        for mut visitors in visitors {
            for (socket, visitor) in http::read_visitors(visitors.attach())? {
                server.adopt(event_loop, socket, visitor);
            }
        }
    }
    Ok((servers, closing))
}

/// Whoever is at a door that nobody wants any more is let in, before it's closed. Not before they
/// are ours.
fn close_doors(
    event_loop: &mut EventLoop,
    servers: &[Server],
    closing: Vec<TcpListener>,
) -> io::Result<()> {
    let Some(server) = servers.first() else { return Ok(()) };
    closing.into_iter().try_for_each(|door| server.let_in_all(event_loop, door))
}

type Stopped = Box<dyn FnOnce(&mut EventLoop)>;
type StopOne = fn(&Server, &mut EventLoop, Stopped);

/// Calls `stopped` when all have.
fn stop_all(
    servers: &[Server],
    event_loop: &mut EventLoop,
    stop: StopOne,
    stopped: impl FnOnce(&mut EventLoop) + 'static,
) {
    let one_less = countdown(servers.len(), stopped);
    for server in servers {
        stop(server, event_loop, Box::new(one_less.clone()));
    }
}

impl From<Malformed> for io::Error {
    fn from(malformed: Malformed) -> Self {
        Self::other(malformed)
    }
}
