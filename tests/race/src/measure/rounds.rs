//! The rounds: each server once, then each again, so that what changes on the machine meanwhile changes for all of them.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;

use crate::about;
use crate::load::nanos;
use crate::measure::contestant::{Contestant, Place};
use crate::measure::machine;
use crate::measure::progress::Progress;
use crate::measure::round::{self, Course};
use crate::plot::words::number;
use crate::result::{Plan, Race, Server, VERSION};

/// A server that needs longer than this to let a crowd in is asked with it in the first [`ROUNDS_OF_SLOW`] rounds only: it would
/// take a third of the whole time otherwise.
const SLOW: Duration = Duration::from_secs(5);
/// As many as a median needs.
const ROUNDS_OF_SLOW: usize = 3;

/// Runs it. What was measured until it was to end is kept. A server that can't be started, or fails, has fewer rounds, and
/// it's said why.
pub fn run(
    contestants: &[Contestant],
    built: &HashMap<String, PathBuf>,
    course: &Course,
    rounds: usize,
) -> Race {
    let mut servers: Vec<Server> = contestants.iter().map(without_rounds).collect();
    let sizes = course.crowds.len();
    let estimate = course.estimate(servers.len(), rounds);
    let mut progress = Progress::new(rounds * servers.len() * sizes, estimate);
    let ends = || course.ends.load(Ordering::Relaxed);
    let mut begun = 0;
    let mut patiences = vec![Patience::default(); contestants.len()];
    for round in 1..=rounds {
        // Calls are the same each time.
        let course = &Course { counts: course.counts && round == 1, ..course.clone() };
        for ((contestant, server), patience) in
            contestants.iter().zip(&mut servers).zip(&mut patiences)
        {
            if ends() {
                break;
            }
            let mut step = begun * sizes;
            begun += 1;
            let goes_on = |size| {
                let is_too_long = round > ROUNDS_OF_SLOW && patience.has_ended_before(size);
                patience.begins(size, course);
                let title = short(contestant);
                let crowd = number(size as f64);
                progress.show(step, &format!("round {round} of {rounds}, {title}, {crowd} silent"));
                step += 1;
                !ends() && !is_too_long
            };
            let built = contestant.program().and_then(|program| built.get(&program));
            let outcome = round::run(contestant, built.map(PathBuf::as_path), course, goes_on);
            patience.ends(course);
            match outcome {
                Ok(round) => server.rounds.push(round),
                Err(error) => {
                    progress.say(&format!("{}: {error}", server.title));
                    // It would be so for every server.
                    if let Some(advice) = advice(&error) {
                        progress.say(advice);
                        course.ends.store(true, Ordering::Relaxed);
                    }
                }
            }
        }
    }
    progress.end();
    Race {
        version: VERSION,
        date: httpdate::fmt_http_date(SystemTime::now()),
        machine: machine::this_one(course.cores.is_some_and(|cores| cores.are_apart)),
        plan: plan(course, rounds),
        cut_short: ends(),
        servers,
    }
}

/// With which crowds a server takes too long.
#[derive(Clone, Debug, Default)]
struct Patience {
    /// The size that it's at, and since when.
    now: Option<(usize, Instant)>,
    /// The smallest one that it needed too long for.
    too_many: Option<usize>,
}

impl Patience {
    fn begins(&mut self, size: usize, course: &Course) {
        self.ends(course);
        self.now = Some((size, Instant::now()));
    }

    /// The crowd is there, and those who ask have been answered.
    fn ends(&mut self, course: &Course) {
        if let Some((size, since)) = self.now.take()
            && since.elapsed() > SLOW + course.window + course.rush
        {
            self.too_many.get_or_insert(size);
        }
    }

    fn has_ended_before(&self, size: usize) -> bool {
        self.too_many.is_some_and(|too_many| size >= too_many)
    }
}

fn plan(course: &Course, rounds: usize) -> Plan {
    Plan {
        crowds: course.crowds.clone(),
        rounds,
        pace: course.pace,
        window: nanos(course.window),
        rush: nanos(course.rush),
        stays: course.stays,
        meanwhile: course.meanwhile.then(|| "a silent visitor".to_owned()),
    }
}

fn without_rounds(contestant: &Contestant) -> Server {
    let Contestant { name, title, role, .. } = contestant.clone();
    Server { name, title, role, rounds: Vec::new() }
}

/// As much as fits into the line.
fn short(contestant: &Contestant) -> String {
    let name = match contestant.place {
        Place::Chapter(_) => contestant.title.split(',').next().unwrap_or(&contestant.title),
        _ => &contestant.name,
    };
    about::short(name)
}

/// What to do where the load itself can't go on: it has no descriptor, or no port left.
fn advice(error: &io::Error) -> Option<&'static str> {
    match Errno::from_raw(error.raw_os_error()?) {
        Errno::EMFILE | Errno::ENFILE => Some(
            "no descriptor is left: try a smaller --crowd, --rate or --window, or see ulimit -Hn",
        ),
        Errno::EADDRNOTAVAIL => Some(
            "no port is left: try a smaller --crowd or a shorter --rush, or see \
             /proc/sys/net/ipv4/ip_local_port_range",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_that_took_too_long_and_all_larger_ones_are_left_out() {
        let course = Course {
            crowds: vec![10, 100, 1000],
            pace: crate::result::Pace::Open { a_second: 1 },
            window: Duration::from_secs(60),
            rush: Duration::from_secs(5),
            stays: false,
            target: "/".to_owned(),
            meanwhile: false,
            counts: false,
            ends: std::sync::Arc::default(),
            cores: None,
        };
        let ago = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds));
        let after = |seconds| {
            // A machine that has just been started has no such moment.
            let since = ago(seconds)?;
            let mut patience = Patience { now: Some((100, since)), too_many: None };
            patience.begins(1000, &course);
            Some([10, 100, 1000].map(|size| patience.has_ended_before(size)))
        };
        // As long as it's asked, and five seconds.
        assert!(after(69).is_none_or(|left_out| left_out == [false; 3]));
        assert!(after(71).is_none_or(|left_out| left_out == [false, true, true]));
    }
}
