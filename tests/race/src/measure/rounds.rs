//! The rounds: each server once, then each again, so that what changes on the machine meanwhile changes for all of them.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use crate::load::visits;
use crate::measure::contestant::{Contestant, Place};
use crate::measure::machine;
use crate::measure::progress::Progress;
use crate::measure::round::{self, Course};
use crate::plot::words::number;
use crate::result::{Pace, Plan, Race, Server, VERSION};

/// Runs it. What was measured until `ends` is told is kept.
///
/// # Errors
/// When the load can't go on. A server that can't be started, or fails, is no error: that's said, and it has fewer rounds.
pub fn run(
    contestants: &[Contestant],
    built: &HashMap<String, PathBuf>,
    course: &Course,
    rounds: usize,
    ends: &AtomicBool,
) -> io::Result<Race> {
    let mut servers: Vec<Server> = contestants.iter().map(without_rounds).collect();
    let sizes = course.crowds.len();
    let steps = rounds * servers.len() * sizes;
    let all = u32::try_from(rounds * servers.len()).unwrap_or(u32::MAX);
    let mut progress = Progress::new(steps, course.estimate() * all);
    let mut done = 0;
    for round in 1..=rounds {
        for (contestant, server) in contestants.iter().zip(&mut servers) {
            if ends.load(Ordering::Relaxed) {
                break;
            }
            let mut step = done;
            done += sizes;
            let goes_on = |size| {
                let title = short(contestant);
                let what =
                    format!("round {round} of {rounds}, {title}, {} silent", number(size as f64));
                progress.show(step, &what);
                step += 1;
                !ends.load(Ordering::Relaxed)
            };
            let built = built.get(&contestant.program()).map(PathBuf::as_path);
            match round::run(contestant, built, course, goes_on) {
                Ok(round) => server.rounds.push(round),
                Err(error) if is_our_own(&error) => {
                    progress.end();
                    return Err(error);
                }
                Err(error) => progress.say(&format!("{}: {error}", server.title)),
            }
        }
    }
    progress.end();
    let plan = Plan {
        crowds: course.crowds.clone(),
        rounds,
        pace: match course.pace {
            visits::Pace::Open { a_second } => Pace::Open { a_second },
            visits::Pace::Closed { at_once, a_second } => Pace::Closed { at_once, a_second },
        },
        window: nanos(course.window),
        rush: nanos(course.rush),
        stays: course.stays,
        meanwhile: course.meanwhile.then(|| "a silent visitor".to_owned()),
    };
    let date = httpdate::fmt_http_date(SystemTime::now());
    let cut_short = ends.load(Ordering::Relaxed);
    let machine = machine::this_one(course.cores.is_some());
    Ok(Race { version: VERSION, date, machine, plan, servers, cut_short })
}

fn without_rounds(contestant: &Contestant) -> Server {
    let Contestant { name, title, role, .. } = contestant.clone();
    Server { name, title, role, rounds: Vec::new() }
}

/// As much as fits into the line.
fn short(contestant: &Contestant) -> &str {
    match contestant.place {
        Place::Chapter(_) => contestant.title.split(',').next().unwrap_or(&contestant.title),
        _ => &contestant.name,
    }
}

/// No descriptor, no port, no memory: it would be so for every server.
fn is_our_own(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let number = error.raw_os_error().map(Errno::from_raw);
    matches!(number, Some(Errno::EMFILE | Errno::ENFILE | Errno::EADDRNOTAVAIL | Errno::ENOBUFS))
}

fn nanos(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
