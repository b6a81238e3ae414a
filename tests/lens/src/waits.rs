//! A lens on a program that runs already, for tests: where has it waited since?

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use visitors::calls::family;
use visitors::program::Program;

use crate::Blind;
use crate::record::{Call, HARDLY_A_WAIT};

/// Nor is a single one that is shorter than this: on a busy machine whoever slept for a lock gets no processor
/// when it's free.
const ONCE_IS_NONE: Duration = Duration::from_millis(5);

/// So many calls are kept. A test that needs more is no test of waiting.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MOST_KEPT: usize = 100_000;

/// A lens on a program. It looks until the program ends.
pub struct Lens {
    calls: Arc<Mutex<Vec<Call>>>,
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    inside: crate::tracer::AllInside,
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    origin: std::time::Instant,
}

impl fmt::Debug for Lens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lens").finish_non_exhaustive()
    }
}

impl Lens {
    /// Looks at `program` from now on.
    ///
    /// # Errors
    /// Why nothing can be seen here.
    pub fn on(program: &Program) -> Result<Self, Blind> {
        Self::look(program, false)
    }

    /// Looks at `program` from now on, and lies to it: whenever its `select`, `poll` or `epoll_wait` reports
    /// somebody, all whom it asked about seem to be ready. Readiness is a hint, and a program that doesn't
    /// take its word for it goes on as if nothing had been said. The number that `select` and `poll` return
    /// stays the true one; that of `epoll_wait` grows, as far as the program has room. (The lens can change
    /// it on x86-64 and ARM64. Elsewhere `epoll_wait` tells the truth.)
    ///
    /// # Errors
    /// Why nothing can be seen here.
    pub fn that_lies_to(program: &Program) -> Result<Self, Blind> {
        Self::look(program, true)
    }

    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    fn look(_: &Program, _: bool) -> Result<Self, Blind> {
        Err(Blind::NotLinux)
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn look(program: &Program, lies: bool) -> Result<Self, Blind> {
        use std::os::unix::process::ExitStatusExt;
        use std::process::ExitStatus;
        use std::sync::mpsc::channel;

        use nix::errno::Errno;
        use nix::unistd::Pid;
        use visitors::program::EndedElsewhere;

        use crate::tracer::{Seen, Tracer, lock};

        let calls = Arc::new(Mutex::new(Vec::new()));
        let ended = EndedElsewhere::default();
        let pid = Pid::from_raw(program.pid());
        let (heard, told) = channel();
        let (kept, end) = (Arc::clone(&calls), Arc::clone(&ended));
        let trace = move || {
            let mut tracer = match Tracer::attach(pid) {
                Ok(tracer) => tracer,
                Err(blind) => {
                    let _ = heard.send(Err(blind));
                    return;
                }
            };
            if lies {
                tracer.lie();
            }
            let _ = heard.send(Ok((tracer.inside(), tracer.origin())));
            let mut keep = |_: &Tracer, seen| {
                if let Seen::Call(call) = seen {
                    let mut kept = lock(&kept);
                    if kept.len() < MOST_KEPT {
                        kept.push(call);
                    }
                }
            };
            tracer.run(&mut keep, &mut |status| {
                // Once: a process ends once.
                let _ = end.set(ExitStatus::from_raw(status));
            });
        };
        let thread = std::thread::Builder::new().name("lens".to_owned()).spawn(trace);
        thread.map_err(|_| Blind::Failed(Errno::EAGAIN))?;
        let (inside, origin) = told.recv().unwrap_or(Err(Blind::Gone))?;
        program.is_waited_for_elsewhere(ended);
        Ok(Self { calls, inside, origin })
    }

    /// All calls that could wait, those that go on still at the end.
    pub fn calls(&self) -> Vec<Call> {
        let mut calls =
            self.calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        calls.extend(self.unfinished());
        calls
    }

    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    fn unfinished(&self) -> Vec<Call> {
        Vec::new()
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn unfinished(&self) -> Vec<Call> {
        let inside = crate::tracer::lock(&self.inside);
        let now = std::time::Instant::now();
        let end = |inside: &crate::tracer::Inside| {
            crate::tracer::unfinished(inside, None, self.origin, now, "it goes on")
        };
        inside.values().map(end).collect()
    }

    /// One line waits: since the lens was put on, the program was blocked in these calls and in no
    /// others. They go by their common names: `select` is `pselect6` as well, `read` is `recvfrom`.
    ///
    /// # Errors
    /// Where else it waited, how long, and for whom.
    pub fn waits_only_in(&self, allowed: &[&str]) -> Result<(), String> {
        waits_only_in(&self.calls(), allowed)
    }

    /// The same for the first thread alone, where others are there to wait.
    ///
    /// # Errors
    /// Where else it waited, how long, and for whom.
    pub fn first_thread_waits_only_in(&self, allowed: &[&str]) -> Result<(), String> {
        let mut calls = self.calls();
        calls.retain(|call| call.thread == 1);
        waits_only_in(&calls, allowed)
    }
}

/// Whoever asks for a sleep waits, however short it is: no lock and no disk makes a program do that.
fn is_sleep(call: &str) -> bool {
    family(call) == "sleep"
}

fn waits_only_in(calls: &[Call], allowed: &[&str]) -> Result<(), String> {
    let mut elsewhere: BTreeMap<(&str, Option<&str>), (u32, Duration)> = BTreeMap::new();
    for call in calls {
        let waits = call.blocked() >= HARDLY_A_WAIT || is_sleep(&call.call);
        if waits && !allowed.contains(&family(&call.call)) {
            let entry = elsewhere.entry((&call.call, call.what.as_deref())).or_default();
            entry.0 += 1;
            entry.1 += call.blocked();
        }
    }
    elsewhere.retain(|(call, _), (count, blocked)| {
        *count > 1 || *blocked >= ONCE_IS_NONE || is_sleep(call)
    });
    if elsewhere.is_empty() {
        return Ok(());
    }
    let mut elsewhere: Vec<_> = elsewhere.into_iter().collect();
    elsewhere.sort_by_key(|(_, (_, blocked))| std::cmp::Reverse(*blocked));
    let waits = elsewhere.iter().map(|((call, what), (count, blocked))| {
        let times = if *count == 1 { "once".to_owned() } else { format!("{count} times") };
        let what = what.map_or(String::new(), |what| format!(" on {what}"));
        format!("{times} in {call}{what}, {} ms in all", blocked.as_millis())
    });
    let waits: Vec<String> = waits.collect();
    let allowed = match allowed {
        [others @ .., one, last] => [others, &[&format!("{one} and {last}")]].concat().join(", "),
        allowed => allowed.join(", "),
    };
    Err(format!("besides {allowed}, it waited {}", waits.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Outcome;

    fn call(name: &str, milliseconds: u64, waited: bool) -> Call {
        Call {
            thread: 1,
            call: name.to_owned(),
            descriptor: Some(4),
            what: Some("the silent visitor".to_owned()),
            watched: None,
            began_us: 0,
            took_us: milliseconds * 1000,
            waited,
            outcome: Outcome::Result(0),
            accepted: None,
            ready: Vec::new(),
        }
    }

    #[test]
    fn a_name_stands_for_all_the_calls_of_its_family() {
        let calls = [call("pselect6", 500, true), call("recvfrom", 0, false)];
        assert_eq!(waits_only_in(&calls, &["select"]), Ok(()));
        assert!(waits_only_in(&calls, &["poll"]).is_err());
    }

    #[test]
    fn the_allowed_ones_are_told_as_a_list() {
        let said = |allowed: &[&str]| waits_only_in(&[call("read", 9, true)], allowed).unwrap_err();
        assert!(said(&["select"]).starts_with("besides select, it waited once in read"));
        assert!(said(&["select", "poll"]).starts_with("besides select and poll, it"));
        assert!(said(&["a", "b", "c"]).starts_with("besides a, b and c, it"));
    }

    #[test]
    fn a_long_call_that_never_slept_is_no_wait() {
        assert_eq!(waits_only_in(&[call("sendto", 30, false)], &["select"]), Ok(()));
    }

    #[test]
    fn a_short_one_is_a_wait_when_it_comes_again() {
        let waits = [call("futex", 2, true), call("futex", 3, true)];
        assert_eq!(waits_only_in(&waits[1..], &["select"]), Ok(()));
        assert!(waits_only_in(&waits, &["select"]).is_err());
        assert_eq!(
            waits_only_in(&[call("futex", 1, true), call("futex", 1, true)], &["select"]),
            Ok(())
        );
    }

    #[test]
    fn a_sleep_is_a_wait_however_short() {
        assert!(waits_only_in(&[call("clock_nanosleep", 0, true)], &["select"]).is_err());
        assert_eq!(waits_only_in(&[call("nanosleep", 1, true)], &["sleep"]), Ok(()));
    }

    #[test]
    fn what_waited_elsewhere_is_said_with_the_longest_first() {
        let calls =
            [call("accept4", 30, true), call("recvfrom", 100, true), call("recvfrom", 50, true)];
        let said = waits_only_in(&calls, &["select"]).unwrap_err();
        assert_eq!(
            said,
            "besides select, it waited 2 times in recvfrom on the silent visitor, 150 ms in all; \
             once in accept4 on the silent visitor, 30 ms in all"
        );
    }
}
