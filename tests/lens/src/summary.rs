//! A run in figures: how long it was blocked, in which calls, and for whom.

use std::collections::BTreeMap;
use std::time::Duration;

use visitors::calls::family;

use crate::lines::{name, time};
use crate::record::{Call, Outcome, Thread};

/// So many descriptors are told apart: a server meets thousands, and memory has an end.
const MOST_DESCRIPTORS: usize = 1000;
/// So many of them are shown.
const MOST_SHOWN: usize = 12;

/// The figures so far.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    calls: BTreeMap<String, Figures>,
    descriptors: BTreeMap<String, Duration>,
    /// What the threads lived, together.
    lived: Duration,
    threads: u32,
    blocked: Duration,
    turns: u64,
    /// Each thread's number, with what it was blocked so far.
    by_thread: BTreeMap<u32, Duration>,
    /// Those that have ended: the first few.
    ended: Vec<Thread>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    calls: u64,
    waited: u64,
    blocked: Duration,
}

impl Summary {
    /// Counts a call.
    pub fn add(&mut self, call: &Call) {
        let blocked = call.blocked();
        let figures = self.calls.entry(call.call.clone()).or_default();
        figures.calls += 1;
        figures.waited += u64::from(call.waited);
        figures.blocked += blocked;
        self.blocked += blocked;
        *self.by_thread.entry(call.thread).or_default() += blocked;
        // One that found nothing and didn't wait was a look, not a turn: Rust's runtime has one at its start.
        let found = matches!(call.outcome, Outcome::Result(1..));
        if ["select", "poll", "epoll_wait"].contains(&family(&call.call)) && (call.waited || found)
        {
            self.turns += 1;
        }
        if !blocked.is_zero() {
            let what = call.what.clone().unwrap_or_else(|| waited_for(&call.call).to_owned());
            let known = self.descriptors.contains_key(&what);
            let what = if known || self.descriptors.len() < MOST_DESCRIPTORS {
                what
            } else {
                "others".to_owned()
            };
            *self.descriptors.entry(what).or_default() += blocked;
        }
    }

    /// Counts a thread that has ended.
    pub fn end(&mut self, thread: &Thread) {
        self.threads += 1;
        self.lived += Duration::from_micros(thread.ended_us.saturating_sub(thread.began_us));
        if self.ended.len() <= MOST_SHOWN {
            self.ended.push(thread.clone());
        }
    }

    /// How long all threads were blocked, together.
    pub fn blocked(&self) -> Duration {
        self.blocked
    }

    /// The lines to print.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.first_line()];
        let mut calls: Vec<_> = self.calls.iter().collect();
        calls.sort_by_key(|(_, figures)| std::cmp::Reverse((figures.blocked, figures.calls)));
        let (waited, others): (Vec<_>, Vec<_>) =
            calls.into_iter().partition(|(_, figures)| figures.waited > 0);
        if !waited.is_empty() {
            lines.push(String::new());
            lines.push("  call                blocked   share     calls    waited".to_owned());
        }
        for (call, figures) in waited {
            let (blocked, share) = (time(figures.blocked), self.share(figures.blocked));
            let (calls, waited) = (figures.calls, figures.waited);
            lines.push(format!("  {call:16} {blocked:>10} {share:>7} {calls:>9} {waited:>9}"));
        }
        if !others.is_empty() {
            let others = others.iter().map(|(call, figures)| format!("{} {call}", figures.calls));
            let others: Vec<String> = others.collect();
            lines.push(format!("  never waited: {}", others.join(", ")));
        }
        let mut descriptors: Vec<_> = self.descriptors.iter().collect();
        descriptors.sort_by_key(|(_, blocked)| std::cmp::Reverse(**blocked));
        let shown = &descriptors[..descriptors.len().min(MOST_SHOWN)];
        let width = shown.iter().map(|(what, _)| what.chars().count()).max().unwrap_or(0).max(30);
        if !descriptors.is_empty() {
            lines.push(String::new());
            lines.push(format!("  {:width$} {:>11}", "it waited for", "blocked"));
        }
        for (what, blocked) in shown {
            lines.push(format!("  {what:width$} {:>11}", time(**blocked)));
        }
        if let Some(more) = descriptors.len().checked_sub(MOST_SHOWN).filter(|more| *more > 0) {
            let blocked = descriptors[MOST_SHOWN..].iter().map(|(_, blocked)| **blocked).sum();
            lines.push(format!("  {:width$} {:>11}", format!("{more} more"), time(blocked)));
        }
        lines.extend(self.lines_of_threads());
        if self.turns > 0 {
            lines.push(String::new());
            lines.push(format!("  turns of its loop: {}", self.turns));
        }
        lines
    }

    /// What each thread had of it, if there are several and not too many.
    fn lines_of_threads(&self) -> Vec<String> {
        if self.ended.len() < 2 || self.ended.len() > MOST_SHOWN {
            return Vec::new();
        }
        let mut threads = self.ended.clone();
        threads.sort_by_key(|thread| thread.thread);
        let mut lines =
            vec![String::new(), "  thread                blocked      lived".to_owned()];
        for thread in threads {
            let blocked = self.by_thread.get(&thread.thread).copied().unwrap_or_default();
            let lived = Duration::from_micros(thread.ended_us.saturating_sub(thread.began_us));
            let name = format!("{} {}", thread.thread, thread.name);
            lines.push(format!("  {name:18} {:>10} {:>10}", time(blocked), time(lived)));
        }
        lines
    }

    fn first_line(&self) -> String {
        let threads = match self.threads {
            1 => "1 thread".to_owned(),
            count => format!("{count} threads"),
        };
        let (blocked, lived) = (time(self.blocked), time(self.lived));
        let in_all = if self.threads > 1 { " in all" } else { "" };
        let share = self.share(self.blocked);
        format!("{threads}, blocked {blocked} of {lived}{in_all}, {share}")
    }

    fn share(&self, part: Duration) -> String {
        let share = part.as_secs_f64() / self.lived.as_secs_f64().max(1e-9) * 100.0;
        format!("{share:.1} %")
    }
}

/// What a call without a descriptor waits for.
fn waited_for(call: &str) -> &'static str {
    match family(call) {
        "select" | "poll" | "epoll_wait" => "any of several",
        "futex" => "another thread",
        "sleep" => "time to pass",
        "wait" | "vfork" | "clone" | "clone3" => "a child",
        "pause" | "rt_sigsuspend" | "rt_sigtimedwait" => "a signal",
        "open" | "sync" | "msync" | "io_submit" | "io_destroy" => "the disk",
        "io_getevents" | "io_uring_register" => "any of several",
        "getrandom" => "random numbers",
        "close" => "a socket's other end",
        _ => "something else",
    }
}

/// A call's name in a picture or a table: `recvfrom(4)`.
pub fn title(call: &Call) -> String {
    name(&call.call, call.descriptor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, what: Option<&str>, took_us: u64, waited: bool) -> Call {
        Call {
            thread: 1,
            call: name.to_owned(),
            descriptor: None,
            what: what.map(str::to_owned),
            watched: None,
            began_us: 0,
            took_us,
            waited,
            outcome: Outcome::Result(1),
            accepted: None,
            ready: Vec::new(),
        }
    }

    fn summary(calls: &[Call], lived_us: u64) -> String {
        let mut summary = Summary::default();
        calls.iter().for_each(|call| summary.add(call));
        let name = String::new();
        summary.end(&Thread { thread: 1, tid: 1, pid: 1, name, began_us: 0, ended_us: lived_us });
        summary.lines().join("\n")
    }

    #[test]
    fn only_waits_count_as_blocked() {
        let calls = [
            call("read", Some("the slow visitor"), 300_000, true),
            call("read", Some("the slow visitor"), 100_000, true),
            call("write", Some("the slow visitor"), 90_000, false),
        ];
        let said = summary(&calls, 500_000);
        assert!(said.starts_with("1 thread, blocked 400 ms of 500 ms, 80.0 %"), "{said}");
        assert!(said.contains("  never waited: 1 write"), "{said}");
        assert!(said.contains("the slow visitor                    400 ms"), "{said}");
    }

    #[test]
    fn a_look_that_found_nobody_and_did_not_wait_is_no_turn() {
        let mut look = call("poll", None, 3, false);
        look.outcome = Outcome::Result(0);
        assert!(!summary(&[look.clone()], 1000).contains("turns"));
        let said =
            summary(&[look, call("poll", None, 500, true), call("ppoll", None, 3, false)], 1000);
        assert!(said.ends_with("turns of its loop: 2"), "{said}");
    }

    #[test]
    fn of_very_many_descriptors_those_waited_for_longest_are_shown() {
        let peer = |number: u64| call("read", Some(&format!("peer {number}")), number * 1000, true);
        let calls: Vec<Call> = (1..=3000).map(peer).collect();
        let said = summary(&calls, 5_000_000);
        assert_eq!(
            said.lines().filter(|line| line.contains("peer ")).count(),
            MOST_SHOWN - 1,
            "{said}"
        );
        assert!(said.contains("  others"), "{said}");
        assert!(said.contains(" more "), "{said}");
    }
}
