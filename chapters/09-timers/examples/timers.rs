//! What timers cost: one is set and cancelled, while more and more others wait.
//!
//! `just timers` writes the result into the book. A figure is the time for one `after` with its
//! `cancel`, delays in no order; it contains the box for the callback, and the look at the clock.

use std::io;
use std::time::{Duration, Instant};

use ch09_timers::{Clock, Timers};

const WAITING: [u32; 4] = [0, 1000, 10_000, 100_000];
/// So many make one figure, and of so many figures the middle one counts.
const TIMES: u32 = 20_000;
const FIGURES: usize = 9;

fn main() -> io::Result<()> {
    let mut event_loop = ch08_epoll::event_loop()?;
    let timers = Timers::start(&mut event_loop, Clock::system());
    let mut set = 0;
    println!("{:>16}{:>18}", "timers waiting", "set and cancel");
    for waiting in WAITING {
        while set < waiting {
            timers.after(&mut event_loop, delay(set), |_| {});
            set += 1;
        }
        let mut figures = Vec::new();
        for _ in 0..FIGURES {
            let began = Instant::now();
            for number in 0..TIMES {
                let timer = timers.after(&mut event_loop, delay(number), |_| {});
                assert!(timers.cancel(&mut event_loop, timer), "it was set a moment ago");
            }
            figures.push(began.elapsed() / TIMES);
        }
        figures.sort();
        let nanoseconds = figures[FIGURES / 2].as_nanos();
        println!("{waiting:>16}{:>18}", format!("{nanoseconds} ns"));
    }
    Ok(())
}

/// Between a second and a minute, in no order.
fn delay(number: u32) -> Duration {
    Duration::from_millis(1000 + u64::from(number) * 7919 % 59_000)
}
