//! The book's server, which gives nobody more time than they need.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::page::{self, Request};
use ch07_callbacks::program::{log, say};
use ch07_callbacks::{Ending, EventLoop, Input, Token};
use nix::sys::socket::{setsockopt, sockopt};

use crate::timers::{Timer, Timers};

/// What a request gets that doesn't become whole in time (RFC 9110, section 15.5.9).
const TOO_SLOW: &str = "408 Request Timeout";
/// How much the kernel keeps for a visitor who doesn't read, in bytes (Linux takes
/// twice that, for its own needs). Let it grow, and it takes megabytes at once: then it
/// looks as if a slow reader did nothing for a long time.
const SEND_BUFFER: usize = 128 * 1024;
/// How long those who are being served have when the server is to stop.
const LAST_ORDERS: Duration = Duration::from_secs(5);

// ANCHOR: deadlines
/// How long a visitor may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// To say something at all; and to hang up, when it has its answer.
    pub idle: Duration,
    /// To send the whole request, from its first byte on. A byte now
    /// and then buys no time.
    pub request: Duration,
    /// To take some more of its answer. Each time it has, this begins
    /// anew. What counts is what the kernel takes from us, and that is
    /// no more before a third of its buffer is free: so a few KB a
    /// second look like nothing.
    pub answer: Duration,
}

impl Deadlines {
    /// Short, so that you can watch them pass. Servers on the internet
    /// give a minute.
    pub const USUAL: Self = Self {
        idle: Duration::from_secs(3),
        request: Duration::from_secs(4),
        answer: Duration::from_secs(5),
    };
}
// ANCHOR_END: deadlines

/// A server in the loop. Clones of it are the same server.
#[derive(Clone)]
pub struct Server(Rc<House>);

/// What all of a server's callbacks share.
struct House {
    timers: Timers,
    deadlines: Deadlines,
    listener: Cell<Option<Token>>,
    visitors: RefCell<BTreeMap<Token, Rc<Visitor>>>,
    stopping: Cell<bool>,
}

/// One visitor, as its callbacks know it.
struct Visitor {
    number: u64,
    socket: Token,
    house: Rc<House>,
    stage: Cell<Stage>,
    /// The deadline that runs.
    deadline: Cell<Option<Timer>>,
}

// ANCHOR: stage
/// What we wait for a visitor to do. Each stage has its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// To say something.
    Silent,
    /// To send the rest of its request.
    Asking,
    /// To take some more of its answer.
    Answering,
    /// To hang up.
    Leaving,
}
// ANCHOR_END: stage

/// Serves chapter 9's page to all who come.
///
/// # Errors
/// When the listener can't be told what it must know.
pub fn serve(
    event_loop: &mut EventLoop,
    timers: Timers,
    listener: TcpListener,
    deadlines: Deadlines,
) -> io::Result<Server> {
    // Whom the listener lets in has it from the listener.
    setsockopt(&listener, sockopt::SndBuf, &SEND_BUFFER)?;
    let house = Rc::new(House {
        timers,
        deadlines,
        listener: Cell::new(None),
        visitors: RefCell::default(),
        stopping: Cell::new(false),
    });
    let server = Server(Rc::clone(&house));
    let mut last = 0;
    let listener = event_loop.listen(listener, move |event_loop, came| match came {
        Ok((socket, from)) => {
            last += 1;
            Visitor::welcome(event_loop, &house, last, socket, from);
        }
        Err(error) => log(last + 1, &format!("not accepted: {error}")),
    })?;
    server.0.listener.set(Some(listener));
    Ok(server)
}

impl Server {
    // ANCHOR: stop
    /// Lets nobody in any more, and stops the loop as soon as all who are
    /// being served have been. The second time, it stops at once.
    pub fn stop(&self, event_loop: &mut EventLoop) {
        let house = &self.0;
        if house.stopping.replace(true) {
            return event_loop.stop();
        }
        if let Some(listener) = house.listener.take() {
            event_loop.close(listener);
        }
        let visitors: Vec<Rc<Visitor>> = house.visitors.borrow().values().cloned().collect();
        say(&format!("stopping; visitors here: {}", visitors.len()));
        for visitor in visitors.iter().filter(|visitor| visitor.stage.get() == Stage::Silent) {
            event_loop.close(visitor.socket);
        }
        house.timers.after(event_loop, LAST_ORDERS, EventLoop::stop);
        house.stop_if_empty(event_loop);
    }
    // ANCHOR_END: stop
}

impl House {
    fn stop_if_empty(&self, event_loop: &mut EventLoop) {
        if self.stopping.get() && self.visitors.borrow().is_empty() {
            event_loop.stop();
        }
    }
}

impl Visitor {
    // ANCHOR: welcome
    fn welcome(
        event_loop: &mut EventLoop,
        house: &Rc<House>,
        number: u64,
        socket: Token,
        from: SocketAddr,
    ) {
        log(number, &format!("connected from {from}"));
        let visitor = Rc::new(Self {
            number,
            socket,
            house: Rc::clone(house),
            stage: Cell::new(Stage::Silent),
            deadline: Cell::new(None),
        });
        visitor.enter(event_loop, Stage::Silent);
        house.visitors.borrow_mut().insert(socket, Rc::clone(&visitor));
        let hears = Rc::clone(&visitor);
        event_loop.set_read_callback(socket, move |event_loop, _, input| {
            hears.data_available(event_loop, input);
        });
        event_loop.set_close_callback(socket, move |event_loop, _, ending| {
            visitor.is_gone(event_loop, ending);
        });
    }

    /// The one place to clean up. A deadline that was left running would
    /// keep all this in memory until it's over.
    fn is_gone(&self, event_loop: &mut EventLoop, ending: Ending) {
        if let Some(timer) = self.deadline.take() {
            self.house.timers.cancel(event_loop, timer);
        }
        self.house.visitors.borrow_mut().remove(&self.socket);
        match ending {
            Ending::Failed(error) => log(self.number, &format!("lost: {error}")),
            Ending::Panicked => log(self.number, "lost: a callback panicked"),
            Ending::Finished | Ending::Closed => {}
        }
        self.house.stop_if_empty(event_loop);
    }
    // ANCHOR_END: welcome

    // ANCHOR: enter
    /// A stage begins, or begins anew: so does its time.
    fn enter(self: &Rc<Self>, event_loop: &mut EventLoop, stage: Stage) {
        let Deadlines { idle, request, answer } = self.house.deadlines;
        let within = match stage {
            Stage::Silent | Stage::Leaving => idle,
            Stage::Asking => request,
            Stage::Answering => answer,
        };
        let timers = self.house.timers;
        if let Some(before) = self.deadline.take() {
            timers.cancel(event_loop, before);
        }
        self.stage.set(stage);
        let queued = event_loop.queued(self.socket);
        let visitor = Rc::clone(self);
        let late = move |event_loop: &mut EventLoop| visitor.is_late(event_loop, queued);
        self.deadline.set(Some(timers.after(event_loop, within, late)));
    }

    /// A stage has lasted too long. `queued`: how many bytes were queued
    /// when it began.
    fn is_late(self: &Rc<Self>, event_loop: &mut EventLoop, queued: usize) {
        let left = event_loop.queued(self.socket);
        let took_some = left < queued;
        let stage = self.stage.get();
        let says = match stage {
            Stage::Answering if took_some => return self.enter(event_loop, stage),
            // When all is with the kernel, nobody tells what becomes of it.
            Stage::Leaving if took_some && left > 0 => return self.enter(event_loop, stage),
            Stage::Asking => {
                event_loop.send(self.socket, &page::head(TOO_SLOW, 0));
                let says = "shown the door: its request didn't become whole";
                return self.farewell(event_loop, says);
            }
            Stage::Silent => "shown the door: it said nothing",
            Stage::Answering => "shown the door: it doesn't read",
            Stage::Leaving => "shown the door: it didn't leave",
        };
        log(self.number, says);
        event_loop.close(self.socket);
    }
    // ANCHOR_END: enter

    // ANCHOR: data
    fn data_available(self: &Rc<Self>, event_loop: &mut EventLoop, input: &mut Input) {
        match page::request(input) {
            Request::NotYet if input.ended => {
                log(self.number, &format!("hung up after {} bytes", input.bytes.len()));
                event_loop.close(self.socket);
            }
            Request::NotYet => {
                // From its first byte on. The later ones buy no time.
                if self.stage.get() == Stage::Silent {
                    self.enter(event_loop, Stage::Asking);
                }
            }
            Request::TooLong => {
                event_loop.send(self.socket, &page::head(page::TOO_LONG, 0));
                self.farewell(event_loop, "asked too much");
            }
            Request::Page => {
                event_loop.send(self.socket, &page::page(9));
                self.farewell(event_loop, "answered");
            }
            Request::Large => self.send_large(event_loop),
        }
    }
    // ANCHOR_END: data

    fn send_large(self: &Rc<Self>, event_loop: &mut EventLoop) {
        let visitor = Rc::clone(self);
        page::send_large(event_loop, self.socket, move |event_loop, left| match left {
            0 => visitor.farewell(event_loop, "answered"),
            _ => visitor.enter(event_loop, Stage::Answering),
        });
        self.enter(event_loop, Stage::Answering);
    }

    fn farewell(self: &Rc<Self>, event_loop: &mut EventLoop, outcome: &str) {
        event_loop.finish(self.socket);
        log(self.number, outcome);
        self.enter(event_loop, Stage::Leaving);
    }
}
