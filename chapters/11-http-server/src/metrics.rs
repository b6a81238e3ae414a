//! What a server counts, and how it tells it.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread changes, and others read.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Only ever called by one thread: nothing needs to be locked.
    pub(crate) fn add(&self, count: u64) {
        self.set(self.get() + count);
    }

    pub(crate) fn set(&self, count: u64) {
        self.0.store(count, Ordering::Relaxed);
    }

    /// What it is, or was a moment ago.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one loop counts.
#[derive(Debug, Default)]
pub struct Counters {
    pub turns: Count,
    /// Connections that are open now.
    pub open: Count,
    /// Connections that have come.
    pub accepted: Count,
    /// Those that found no room.
    pub turned_away: Count,
    pub failed_accepts: Count,
    /// Those whose time was over.
    pub late: Count,
    /// Requests that were read, and could be.
    pub requests: Count,
    /// Answers, by the first digit of their status.
    pub answers: [Count; 6],
    /// Handlers that panicked.
    pub panics: Count,
    /// Bytes that were received, and sent.
    pub received: Count,
    pub sent: Count,
    /// Lines that the access log had no room for.
    pub unlogged: Count,
}

/// The counters of all loops.
pub type AllCounters = Arc<[Arc<Counters>]>;

/// The sum of one count.
pub fn sum(all: &AllCounters, count: impl Fn(&Counters) -> &Count) -> u64 {
    all.iter().map(|counters| count(counters).get()).sum()
}

/// All of them in Prometheus's text format, version 0.0.4.
pub fn text(all: &AllCounters) -> String {
    type Reads = fn(&Counters) -> &Count;
    let counts: [(&str, &str, &str, Reads); 11] = [
        ("connections_open", "gauge", "Connections that are open.", |c| &c.open),
        ("connections_total", "counter", "Connections that have come.", |c| &c.accepted),
        ("connections_refused_total", "counter", "Those that found no room.", |c| &c.turned_away),
        ("accepts_failed_total", "counter", "Calls to accept that failed.", |c| &c.failed_accepts),
        ("timeouts_total", "counter", "Visitors whose time was over.", |c| &c.late),
        ("requests_total", "counter", "Requests.", |c| &c.requests),
        ("panics_total", "counter", "Handlers that panicked.", |c| &c.panics),
        ("received_bytes_total", "counter", "Bytes received.", |c| &c.received),
        ("sent_bytes_total", "counter", "Bytes sent.", |c| &c.sent),
        ("unlogged_total", "counter", "Lines that the log had no room for.", |c| &c.unlogged),
        ("turns_total", "counter", "Turns of the loops.", |c| &c.turns),
    ];
    let mut text = String::new();
    for (name, kind, help, count) in counts {
        let value = sum(all, count);
        let name = format!("waiting_game_{name}");
        // Writing to a string can't fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
    }
    let name = "waiting_game_answers_total";
    let _ = write!(text, "# HELP {name} Answers, by status.\n# TYPE {name} counter\n");
    for class in 1..6 {
        let value = sum(all, |counters| &counters.answers[class]);
        let _ = writeln!(text, "{name}{{status=\"{class}xx\"}} {value}");
    }
    text
}
