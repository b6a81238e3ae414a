//! An answer that comes later, from another thread. Run it, and in a second terminal:
//!
//! ```console
//! $ curl 127.0.0.1:7011/primes/5000000
//! ```

use std::io;
use std::thread;

use ch09_timers::{Clock, Timers};
use ch10_http::Status;
use ch11_http_server::listen::listen_on;
use ch11_http_server::{Answer, Response, Routes, Server, Settings, Ticket, mailbox};

/// No more is counted for anybody: a minute is what a handler may take.
const MOST: usize = 10_000_000;

fn main() -> io::Result<()> {
    let mut event_loop = ch08_epoll::event_loop()?;
    let timers = Timers::start(&mut event_loop, Clock::system());
    let mut routes = Routes::new();
    // ANCHOR: later
    let (_, done) = mailbox(&mut event_loop, |event_loop, (ticket, count): (Ticket, usize)| {
        ticket.answer(event_loop, Response::made("text/plain", format!("{count}\n")));
    })?;
    routes.get("/primes/{below}", move |context, request| {
        let below = request.parameter("below").and_then(|word| word.parse().ok());
        let Some(below) = below.filter(|below| *below <= MOST) else {
            return Answer::Now(Response::error(Status::NOT_FOUND, "Below which number?"));
        };
        let (ticket, done) = (context.ticket, done.clone());
        thread::spawn(move || done.send((ticket, primes(below))));
        Answer::Later
    });
    // ANCHOR_END: later
    let address = "127.0.0.1:7011".parse().map_err(io::Error::other)?;
    let listener = listen_on(address, false)?;
    Server::start(&mut event_loop, timers, listener, Settings::USUAL, routes)?;
    println!("listening on {address}");
    event_loop.run()
}

/// How many there are below `end`.
fn primes(end: usize) -> usize {
    let mut is_prime = vec![true; end];
    let mut count = 0;
    for number in 2..end {
        if is_prime[number] {
            count += 1;
            (number * number..end).step_by(number).for_each(|multiple| is_prime[multiple] = false);
        }
    }
    count
}
