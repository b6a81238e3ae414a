//! What chapter 9's programs must do, besides its exercises.

#[path = "serving/never_waits.rs"]
mod never_waits;
mod scripts;
mod serving;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::{EventLoop, Poll};
use ch09_timers::{Clock, Timer, Timers};
use rstest::rstest;
use serving::Server;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ch09-timers");
const CHAPTER: u32 = 9;
/// The one call in which it waits.
const WAITS_IN: &str = if cfg!(target_os = "linux") { "epoll_wait" } else { "poll" };
/// So many silent visitors it must be able to keep.
const SILENT: usize = 10_000;

/// With deadlines that don't pass while the other promises are looked at.
fn start() -> Server {
    Server::start_with(PROGRAM, CHAPTER, &["600"])
}

/// The loop's timers, by a clock that the script turns.
struct ByHand {
    clock: Clock,
    timers: Timers,
    set: RefCell<Vec<Timer>>,
}

impl scripts::Time for ByHand {
    fn after(
        &self,
        event_loop: &mut EventLoop,
        delay: u64,
        callback: Box<dyn FnOnce(&mut EventLoop)>,
    ) {
        let timer = self.timers.after(event_loop, Duration::from_millis(delay), callback);
        self.set.borrow_mut().push(timer);
    }

    fn cancel(&self, event_loop: &mut EventLoop, number: usize) -> bool {
        self.timers.cancel(event_loop, self.set.borrow()[number])
    }

    fn turn(&self, milliseconds: u64) {
        self.clock.turn(Duration::from_millis(milliseconds));
    }

    fn count(&self, event_loop: &EventLoop) -> usize {
        self.timers.count(event_loop)
    }
}

#[rstest]
#[case::on_poll(|| EventLoop::new(Poll))]
#[case::on_the_systems_best(|| ch08_epoll::event_loop().unwrap())]
fn random_scripts_go_as_the_model_says(#[case] new: fn() -> EventLoop) {
    // Other seeds than in chapter 7.
    for seed in 1000..1000 + scripts::SCRIPTS {
        let mut event_loop = new();
        let clock = Clock::standing();
        let timers = Timers::start(&mut event_loop, clock.clone());
        let time = ByHand { clock, timers, set: RefCell::default() };
        scripts::play(seed, event_loop, Some(Rc::new(time)));
    }
}
