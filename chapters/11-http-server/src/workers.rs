//! A loop for each core, all on one port.

use std::cell::{Cell, OnceCell, RefCell};
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use ch07_callbacks::EventLoop;
use ch07_callbacks::program::say;
use ch09_timers::{Clock, Timers, signals};
use nix::sys::signal::Signal::{self, SIGHUP, SIGINT, SIGTERM};

use crate::listen::listen_together;
use crate::log::{Log, Opened, Writer};
use crate::mailbox::{Sender, mailbox};
use crate::metrics::{AllCounters, Counters, sum};
use crate::routes::Routes;
use crate::server::Server;
use crate::settings::Settings;

/// Loops that serve together. They share the port, and nothing that has to be locked.
pub struct Workers {
    listeners: Vec<TcpListener>,
    renew: Box<dyn Fn()>,
    ready: Box<dyn FnOnce()>,
}

/// What the first loop hears from the others.
enum Message {
    /// It can be told to stop by this.
    Started(Sender<()>),
    Ended(io::Result<()>),
}

impl Workers {
    /// So many, each with a listener of its own.
    ///
    /// # Errors
    /// When the address is taken, or can't be had.
    pub fn bind(address: SocketAddr, count: usize) -> io::Result<Self> {
        let listeners = listen_together(address, count.max(1))?;
        Ok(Self { listeners, renew: Box::new(|| ()), ready: Box::new(|| ()) })
    }

    /// The same, and what SIGHUP does besides opening the log anew.
    #[must_use]
    pub fn renewing(mut self, renew: impl Fn() + 'static) -> Self {
        self.renew = Box::new(renew);
        self
    }

    /// The same, and what is done when all loops are ready, and signals are heard. (Before that, who
    /// comes waits at the door.)
    #[must_use]
    pub fn announcing(mut self, ready: impl FnOnce() + 'static) -> Self {
        self.ready = Box::new(ready);
        self
    }

    /// Where they listen.
    ///
    /// # Errors
    /// When the kernel can't tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listeners[0].local_addr()
    }

    /// Serves until SIGTERM or SIGINT comes, and then until what was begun is done. A
    /// second one ends it at once. Each loop has routes of its own, made in its thread by
    /// `routes`. SIGHUP opens the log anew. Without a log it ends the server as SIGTERM
    /// does, or a closed terminal would leave one behind that has the port.
    ///
    /// # Errors
    /// When a loop fails.
    pub fn run(
        self,
        settings: Settings,
        log: Option<Opened>,
        routes: impl Fn(&AllCounters) -> io::Result<Routes> + Send + Sync,
    ) -> io::Result<()> {
        let all: AllCounters =
            self.listeners.iter().map(|_| Arc::new(Counters::default())).collect();
        let mut event_loop = ch08_epoll::event_loop()?;
        // Before there are threads: they mustn't be interrupted either.
        let supervisor: Rc<OnceCell<Supervisor>> = Rc::default();
        let told = Rc::clone(&supervisor);
        let mut heard = vec![SIGTERM, SIGINT];
        // Started by nohup, it's to outlive its terminal.
        if log.is_some() || !is_ignored(SIGHUP) {
            heard.push(SIGHUP);
        }
        signals::on_signals(&mut event_loop, &heard, move |event_loop, signal| {
            if let Some(supervisor) = told.get() {
                supervisor.on_signal(event_loop, signal);
            }
        })?;
        let writer = log.map(Opened::start).transpose()?;
        let log = writer.as_ref().map(Writer::log);
        let mut jobs = self.listeners.into_iter().zip(all.iter()).map(|(listener, counters)| Job {
            listener,
            settings,
            counters: Arc::clone(counters),
            log: log.clone(),
        });
        let Some(first) = jobs.next() else { return Ok(()) };
        let server = first.start(&mut event_loop, routes(&all)?)?;
        let hears = Rc::clone(&supervisor);
        let (_, to_first) = mailbox(&mut event_loop, move |event_loop, message| {
            if let Some(supervisor) = hears.get() {
                supervisor.on_message(event_loop, message);
            }
        })?;
        let supervisor = supervisor.get_or_init(|| {
            let all = AllCounters::clone(&all);
            Supervisor::new(server, all, log.clone(), self.renew, self.ready)
        });
        supervisor.one_has_started();
        thread::scope(|scope| {
            for job in jobs {
                let (all, routes, to_first) = (&all, &routes, to_first.clone());
                let tell = to_first.clone();
                let work = move || {
                    let done = routes(all).and_then(|routes| job.run(routes, &to_first));
                    to_first.send(Message::Ended(done));
                };
                let thread = thread::Builder::new().name("worker".to_owned());
                if let Err(error) = thread.spawn_scoped(scope, work) {
                    tell.send(Message::Ended(Err(error)));
                }
            }
            // Without this loop nobody would tell the others.
            event_loop.run().inspect_err(|_| supervisor.tell_the_others())
        })?;
        if let Some(writer) = writer {
            writer.finish();
        }
        supervisor.failed.take().map_or(Ok(()), Err)
    }
}

/// What one loop needs to be started, in whatever thread.
struct Job {
    listener: TcpListener,
    settings: Settings,
    counters: Arc<Counters>,
    log: Option<Log>,
}

impl Job {
    fn start(self, event_loop: &mut EventLoop, routes: Routes) -> io::Result<Server> {
        let timers = Timers::start(event_loop, Clock::system());
        let Self { listener, settings, counters, log } = self;
        Server::start_with(event_loop, timers, listener, settings, routes, counters, log)
    }

    /// All that a thread does.
    fn run(self, routes: Routes, to_first: &Sender<Message>) -> io::Result<()> {
        let mut event_loop = ch08_epoll::event_loop()?;
        let server = self.start(&mut event_loop, routes)?;
        let (_, stop) = mailbox(&mut event_loop, move |event_loop, ()| {
            server.stop(event_loop, EventLoop::stop);
        })?;
        to_first.send(Message::Started(stop));
        event_loop.run()
    }
}

/// What the first loop knows of all.
struct Supervisor {
    /// Its own.
    server: Server,
    all: AllCounters,
    /// What the others are told to stop by.
    others: RefCell<Vec<Sender<()>>>,
    /// How many loops haven't ended, this one among them.
    running: Rc<Cell<usize>>,
    /// How many haven't started, and what is done when all have.
    starting: Cell<usize>,
    ready: Cell<Option<Box<dyn FnOnce()>>>,
    stops: Cell<u32>,
    failed: Cell<Option<io::Error>>,
    log: Option<Log>,
    renew: Box<dyn Fn()>,
}

impl Supervisor {
    fn new(
        server: Server,
        all: AllCounters,
        log: Option<Log>,
        renew: Box<dyn Fn()>,
        ready: Box<dyn FnOnce()>,
    ) -> Self {
        Self {
            server,
            running: Rc::new(Cell::new(all.len())),
            starting: Cell::new(all.len()),
            ready: Cell::new(Some(ready)),
            all,
            others: RefCell::default(),
            stops: Cell::new(0),
            failed: Cell::default(),
            log,
            renew,
        }
    }

    fn on_signal(&self, event_loop: &mut EventLoop, signal: Signal) {
        match (signal, &self.log) {
            (SIGHUP, Some(log)) => {
                log.reopen();
                (self.renew)();
            }
            // A shell and the kernel both tell that a terminal was closed: once is enough.
            (SIGHUP, None) if self.stops.get() > 0 => {}
            _ => self.stop(event_loop),
        }
    }

    fn on_message(&self, event_loop: &mut EventLoop, message: Message) {
        match message {
            Message::Started(other) => {
                // It may have missed the word.
                (0..self.stops.get()).for_each(|_| other.send(()));
                self.others.borrow_mut().push(other);
                self.one_has_started();
            }
            Message::Ended(done) => {
                one_has_ended(event_loop, &self.running);
                if let Err(error) = done {
                    self.failed.set(Some(error));
                    if self.stops.get() == 0 {
                        self.stop(event_loop);
                    }
                }
            }
        }
    }

    fn one_has_started(&self) {
        self.starting.set(self.starting.get() - 1);
        if self.starting.get() == 0
            && let Some(ready) = self.ready.take()
        {
            ready();
        }
    }

    fn tell_the_others(&self) {
        self.others.borrow().iter().for_each(|other| other.send(()));
    }

    fn stop(&self, event_loop: &mut EventLoop) {
        let is_first = self.stops.get() == 0;
        if is_first {
            let here = sum(&self.all, |counters| &counters.open);
            say(&format!("stopping; visitors here: {here}"));
        }
        self.stops.set(self.stops.get() + 1);
        self.tell_the_others();
        let running = Rc::clone(&self.running);
        self.server.stop(event_loop, move |event_loop| {
            // Told to stop twice, it has ended once.
            if is_first {
                one_has_ended(event_loop, &running);
            }
        });
    }
}

fn one_has_ended(event_loop: &mut EventLoop, running: &Cell<usize>) {
    running.set(running.get() - 1);
    if running.get() == 0 {
        event_loop.stop();
    }
}

/// Whether this process was started with that signal ignored, as far as the system tells.
pub fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    signals::is_in(&status, "SigIgn:", signal)
}

/// As many as this process may use at once.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
