//! The rounds: each server once, then each again, so that what changes on the machine meanwhile changes for all of them.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use nix::errno::Errno;

use crate::load::nanos;
use crate::measure::contestant::{Contestant, Place};
use crate::measure::machine;
use crate::measure::progress::Progress;
use crate::measure::round::{self, Course};
use crate::plot::words::{cut, number, plain};
use crate::result::{Plan, Race, Server, VERSION};

/// How much of a name the line of progress has room for.
const LONGEST_NAME: usize = 14;

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
    for round in 1..=rounds {
        // Calls are the same each time.
        let course = &Course { counts: course.counts && round == 1, ..course.clone() };
        for (contestant, server) in contestants.iter().zip(&mut servers) {
            if ends() {
                break;
            }
            let mut step = begun * sizes;
            begun += 1;
            let goes_on = |size| {
                let title = short(contestant);
                let crowd = number(size as f64);
                progress.show(step, &format!("round {round} of {rounds}, {title}, {crowd} silent"));
                step += 1;
                !ends()
            };
            let built = contestant.program().and_then(|program| built.get(&program));
            match round::run(contestant, built.map(PathBuf::as_path), course, goes_on) {
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
    cut(&plain(name), LONGEST_NAME)
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
