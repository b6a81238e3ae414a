//! The load: a client on chapter 9's loop, in one thread. The loop is the server's; only who begins is turned around.
//!
//! - [`schedule`]: when each request is due.
//! - [`visits`]: those who ask, and are timed. Read this first.
//! - [`crowd`]: those who are there, and say nothing.
//! - [`alarm`]: what tells the load that a request is due.
//! - [`answer`]: where an answer ends.

pub mod alarm;
pub mod answer;
pub mod crowd;
pub mod schedule;
pub mod visits;

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// How much CPU time this process has used.
pub fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// In ns, as far as a u64 goes.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
