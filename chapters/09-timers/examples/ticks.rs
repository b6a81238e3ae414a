//! Something that is to be done again and again: each second a line, for ten seconds.

use std::io;
use std::time::Duration;

use ch07_callbacks::EventLoop;
use ch09_timers::{Clock, Timers};

const SECOND: Duration = Duration::from_secs(1);

fn main() -> io::Result<()> {
    let mut event_loop = ch08_epoll::event_loop()?;
    let timers = Timers::start(&mut event_loop, Clock::system());
    let first = timers.now(&event_loop) + SECOND;
    tick(&mut event_loop, timers, first);
    timers.after(&mut event_loop, 11 * SECOND, EventLoop::stop);
    event_loop.run()
}

// ANCHOR: ticks
/// Ticks when `due`, and each second from then on.
fn tick(event_loop: &mut EventLoop, timers: Timers, due: Duration) {
    timers.at(event_loop, due, move |event_loop| {
        // waits: if nobody takes what we say
        println!("due at {due:?}, called at {:?}", timers.now(event_loop));
        tick(event_loop, timers, due + SECOND);
    });
}
// ANCHOR_END: ticks
