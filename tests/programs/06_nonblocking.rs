//! What chapter 6's program must do, besides its exercises.

#[path = "serving/hangs_up.rs"]
mod hangs_up;
#[path = "serving/never_waits.rs"]
mod never_waits;
#[path = "serving/promises.rs"]
mod promises;
mod serving;

use serving::Server;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ch06-nonblocking");
const CHAPTER: u32 = 6;
/// The one call in which it waits.
const WAITS_IN: &str = "poll";
/// So many silent visitors it must be able to keep.
const SILENT: usize = 5000;

fn start() -> Server {
    Server::start(PROGRAM, CHAPTER)
}
