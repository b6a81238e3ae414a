//! What chapter 9's programs must do, besides its exercises.

#[path = "serving/never_waits.rs"]
mod never_waits;
mod serving;

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
