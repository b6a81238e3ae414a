//! Everything that one program runs, in one loop: how it begins, all or nothing, and how it
//! ends.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use ch07_callbacks::EventLoop;
use ch07_callbacks::program::say;
use ch09_timers::{Clock, Timers, signals};
use nix::sys::signal::Signal::{SIGINT, SIGTERM};

use crate::presence::{self, Service, Services};

// ANCHOR: plan
/// A service that is to be started: one line of the program's table.
pub struct Plan<T = Opened> {
    pub name: &'static str,
    /// Takes what the service needs and others may have: its ports, its
    /// files.
    pub open: Box<dyn FnOnce() -> io::Result<T>>,
}

/// A service that has all it needs. Dropped, it gives that back.
pub struct Opened {
    pub address: SocketAddr,
    pub start: Start,
}

/// Puts a service into the loop.
pub type Start = Box<dyn FnOnce(&mut EventLoop, Timers) -> Started>;

/// The service, if it could be started.
pub type Started = io::Result<Rc<dyn Service>>;
// ANCHOR_END: plan

/// A program's services, and the loop that they share.
pub struct Kernel {
    pub event_loop: EventLoop,
    pub timers: Timers,
    pub services: Services,
    ending: Rc<Ending>,
}

/// How far the services are with ending.
struct Ending {
    services: Services,
    running: Cell<usize>,
    stopping: Cell<bool>,
}

/// Opens all of them, or none. What can't be had is said of each: whoever starts the program
/// wants to hear of all that is wrong at once.
///
/// # Errors
/// A line for each that can't be opened.
pub fn open<T>(plans: Vec<Plan<T>>) -> Result<Vec<(&'static str, T)>, Vec<String>> {
    let (mut opened, mut wrong) = (Vec::new(), Vec::new());
    for Plan { name, open } in plans {
        match open() {
            Ok(service) => opened.push((name, service)),
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    if wrong.is_empty() { Ok(opened) } else { Err(wrong) }
}

impl Kernel {
    /// Starts all that was opened.
    ///
    /// # Errors
    /// When a loop can't be had, or a service can't be started in it.
    pub fn start(opened: Vec<(&'static str, Opened)>) -> io::Result<Self> {
        let mut event_loop = ch08_epoll::event_loop()?;
        let timers = Timers::start(&mut event_loop, Clock::system());
        let start = |(name, Opened { start, .. }): (&str, Opened)| {
            start(&mut event_loop, timers)
                .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))
        };
        let services = opened.into_iter().map(start).collect::<io::Result<Services>>()?;
        Ok(Self::with(event_loop, timers, services))
    }

    /// The same, where they have been started in their loop already.
    pub fn with(event_loop: EventLoop, timers: Timers, services: Services) -> Self {
        let running = Cell::new(services.len());
        let ending =
            Rc::new(Ending { services: services.clone(), running, stopping: Cell::new(false) });
        Self { event_loop, timers, services, ending }
    }

    /// Whether it has been told to stop.
    pub fn is_stopping(&self) -> impl Fn() -> bool + 'static {
        let ending = Rc::clone(&self.ending);
        move || ending.stopping.get()
    }

    /// What stops it: to be called by whoever is told to.
    pub fn stopper(&self) -> impl Fn(&mut EventLoop) + 'static {
        let ending = Rc::clone(&self.ending);
        move |event_loop| ending.stop(event_loop)
    }

    /// From now on SIGTERM and SIGINT stop it, a second one at once. (Before, they end the program,
    /// as always: what is done till then may take its time.)
    ///
    /// # Errors
    /// When the kernel has no descriptor for it.
    pub fn hear_signals(&mut self) -> io::Result<()> {
        let ending = Rc::clone(&self.ending);
        let stop = move |event_loop: &mut EventLoop, _| ending.stop(event_loop);
        signals::on_signals(&mut self.event_loop, &[SIGTERM, SIGINT], stop).map(drop)
    }

    /// Waits, and calls whoever has news, until it's stopped.
    ///
    /// # Errors
    /// When waiting itself fails.
    pub fn run(mut self) -> io::Result<()> {
        self.event_loop.run()
    }
}

impl Ending {
    fn stop(self: &Rc<Self>, event_loop: &mut EventLoop) {
        if self.stopping.replace(true) {
            return event_loop.stop();
        }
        let here = presence::rows(&self.services, event_loop).len();
        say(&format!("stopping; visitors here: {here}"));
        for service in self.services.iter() {
            let ending = Rc::clone(self);
            let one_has_ended = move |event_loop: &mut EventLoop| ending.one_has_ended(event_loop);
            service.stop(event_loop, Box::new(one_has_ended));
        }
        if self.services.is_empty() {
            event_loop.stop();
        }
    }

    fn one_has_ended(&self, event_loop: &mut EventLoop) {
        self.running.set(self.running.get() - 1);
        if self.running.get() == 0 {
            event_loop.stop();
        }
    }
}
