//! A silent visitor, who comes in the middle of it all, and is in the way.

use std::net::SocketAddr;
use std::time::Duration;

use ch07_callbacks::EventLoop;
use ch09_timers::{Clock, Timers};

/// Has one come after a third of `window`, say nothing, and go after two thirds.
pub fn invite(event_loop: &mut EventLoop, address: SocketAddr, window: Duration) {
    let timers = Timers::start(event_loop, Clock::system());
    timers.after(event_loop, window / 3, move |event_loop| {
        // If it can't come, it isn't in the way, and that's to be seen.
        let Ok(visitor) = event_loop.connect(address) else { return };
        timers.after(event_loop, window / 3, move |event_loop| event_loop.close(visitor));
    });
}
