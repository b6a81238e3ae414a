//! What chapter 7's programs must do, besides its exercises.

#[path = "serving/never_waits.rs"]
mod never_waits;
mod scripts;
mod serving;

use ch07_callbacks::{EventLoop, Poll};
use serving::Server;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ch07-server");
const CHAPTER: u32 = 7;
/// The one call in which it waits.
const WAITS_IN: &str = "poll";
/// So many silent visitors it must be able to keep.
const SILENT: usize = 5000;

fn start() -> Server {
    Server::start(PROGRAM, CHAPTER)
}

#[test]
fn random_scripts_go_as_the_model_says() {
    for seed in 0..scripts::SCRIPTS {
        scripts::play(seed, EventLoop::new(Poll), None);
    }
}
