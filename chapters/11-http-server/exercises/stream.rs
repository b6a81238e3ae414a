//! Exercise 11-stream: an answer that is made as it's taken.
//!
//! `GET /count/9000000` is answered with nine million lines. To make them all first would fill the memory
//! with what a slow visitor takes an hour to read, and one who hangs up never takes. So the server asks for
//! the next piece when the last one is gone: a visitor who reads slowly makes you slow, and nothing grows. A
//! piece has LINES lines at the most. `GET /made` tells how many lines have been made so far, for all.
//!
//! `GET /ticks` goes on for ever: whoever listens gets the line `tick N` for each tick there is from then on,
//! all of them, in order, and none from before. N counts from the program's start: after five ticks, one who
//! comes hears `tick 6` first. Ticks are made by `POST /tick/N`, N at once. In between there
//! is nothing to say: the stream pauses, and costs no CPU time until somebody resumes it. A listener who
//! doesn't read costs no more memory than one who does, however many ticks there are. `GET /listeners` tells
//! how many there are; whoever has left isn't among them any more at the second tick after that, at the latest.
//!
//! Run it:      cargo run -p ex11-http-server --bin ex11-stream      and, in two more terminals,
//!              curl -N 127.0.0.1:7011/ticks
//!              curl -X POST 127.0.0.1:7011/tick/3
//! Be graded:   cargo grade 11

// Until you have written your part, much is unused here. Take these lines out when you have.
#![allow(clippy::ptr_arg, dead_code, unreachable_code)]
#![allow(unused_imports, unused_mut, unused_variables)]

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;

use ch07_callbacks::EventLoop;
use ch07_callbacks::program::{self, say};
use ch09_timers::{Clock, Timers};
use ch10_http::Status;
use ch11_http_server::listen::listen_on;
use ch11_http_server::{Context, Flow, Request, Response, Routes, Server, Settings, Ticket};

const NAME: &str = "ex11-stream";
const HELP: &str = "ex11-stream [ADDRESS]

Answers with streams: GET /count/N is N lines, GET /ticks a line for each tick of POST /tick/N.
GET /made tells how many lines were made for /count, GET /listeners how many listen to /ticks.
ADDRESS is 127.0.0.1:7011 where not given; port 0 means any free one.";

/// How many lines a piece has at the most: 8 KiB of /count. Each visitor has one piece in memory.
const LINES: u64 = 1024;
/// Most lines in an answer to /count, and most ticks at once.
const MOST: u64 = 9_999_999;

/// Makes the lines of /count, and counts them.
#[derive(Default)]
struct Maker {
    made: Cell<u64>,
}

impl Maker {
    /// Puts line `number` behind what is in `to`: seven digits and a line's end.
    fn line(&self, number: u64, to: &mut Vec<u8>) {
        self.made.set(self.made.get() + 1);
        // Writing into memory doesn't fail.
        let _ = writeln!(to, "{number:07}");
    }
}

/// Answers with the lines 1 to `last`, each made by `maker`.
fn count(_context: &mut Context<'_>, last: u64, maker: Rc<Maker>) -> Response {
    // your turn: answer with a stream that makes its lines as they are taken
    todo!("answer with a stream that makes its lines as they are taken")
    // end
}

/// Ticks, and who listens to them.
#[derive(Default)]
struct Ticks {
    /// How many there have been.
    count: Cell<u64>,
    /// What resumes each listener's stream.
    listeners: RefCell<Vec<Ticket>>,
}

impl Ticks {
    /// Answers a visitor who wants to listen, with a line for each tick from now on. `ticket` names its
    /// request.
    fn listen(self: &Rc<Self>, ticket: Ticket) -> Response {
        // your turn: answer with a stream that tells each tick, and pauses when all are told
        todo!("answer with a stream that tells each tick, and pauses when all are told")
        // end
    }

    /// There are so many more ticks: all who listen are to hear of them. Whoever has left is forgotten.
    fn tick(&self, event_loop: &mut EventLoop, more: u64) {
        // your turn: count, resume everybody's stream, and forget who has left
        todo!("count, resume everybody's stream, and forget who has left")
        // end
    }
}

/// The number in a request's path: from 0 to MOST.
fn number(request: &Request<'_>) -> Option<u64> {
    request.parameter("number")?.parse().ok().filter(|number| *number <= MOST)
}

fn no_number() -> Response {
    Response::error(Status::BAD_REQUEST, "Give a number from 0 to 9999999.")
}

fn line(number: impl ToString) -> Response {
    Response::made("text/plain", number.to_string() + "\n")
}

fn routes() -> Routes {
    let (maker, ticks) = (Rc::<Maker>::default(), Rc::<Ticks>::default());
    let mut routes = Routes::new();
    let counts = Rc::clone(&maker);
    routes.get("/count/{number}", move |context, request| match number(request) {
        Some(last) => count(context, last, Rc::clone(&counts)),
        None => no_number(),
    });
    routes.get("/made", move |_, _| line(maker.made.get()));
    let heard = Rc::clone(&ticks);
    routes.get("/ticks", move |context, _| heard.listen(context.ticket));
    let listeners = Rc::clone(&ticks);
    routes.get("/listeners", move |_, _| line(listeners.listeners.borrow().len()));
    routes.post("/tick/{number}", move |context, request| {
        let Some(more) = number(request) else { return no_number() };
        ticks.tick(context.event_loop, more);
        line(ticks.count.get())
    });
    routes
}

fn main() {
    let address = program::address_from_args(NAME, HELP, "127.0.0.1:7011");
    if let Err(error) = serve(address) {
        program::complain(NAME, 1, &format!("can't serve on {address}: {error}"));
    }
}

fn serve(address: SocketAddr) -> io::Result<()> {
    let listener = listen_on(address, false)?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    say("streams are at /count/N and /ticks");
    let mut event_loop = ch08_epoll::event_loop()?;
    let timers = Timers::start(&mut event_loop, Clock::system());
    Server::start(&mut event_loop, timers, listener, Settings::USUAL, routes())?;
    event_loop.run() // waits: inside, for all of them
}
