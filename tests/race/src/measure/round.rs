//! One server in one round: it's started, the crowd grows, and at each size it's asked.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ch07_callbacks::EventLoop;

use crate::load::crowd::Crowd;
use crate::load::nanos;
use crate::load::visits::{self, Heard, Visits};
use crate::measure::contestant::{Contestant, Place};
use crate::measure::counted::{self, ONE_BY_ONE};
use crate::measure::machine::Busy;
use crate::measure::meanwhile;
use crate::measure::started::{Cores, Started};
use crate::result::{Answers, Cell, Pace, QUANTILES, Round};

/// How long it's waited until some of the crowd are in: the kernel knocks again after one second.
const FOR_THE_CROWD: Duration = Duration::from_millis(1100);
/// How long it's waited for the last answers: whoever waits longer hasn't been answered.
const FOR_ANSWERS: Duration = Duration::from_millis(500);
/// How many ask at once in the rush: enough to keep a server busy while the others' answers are on their way.
const IN_THE_RUSH: usize = 16;

/// What is done with each server.
#[derive(Clone, Debug)]
pub struct Course {
    pub crowds: Vec<usize>,
    pub pace: Pace,
    pub window: Duration,
    /// Nothing: it isn't rushed.
    pub rush: Duration,
    pub stays: bool,
    /// What is asked for.
    pub target: String,
    /// A silent visitor is there meanwhile.
    pub meanwhile: bool,
    /// System calls are counted, too.
    pub counts: bool,
    /// Somebody wants it to end now.
    pub ends: Arc<AtomicBool>,
    pub cores: Option<Cores>,
}

impl Course {
    /// How long it takes, roughly, with so many servers: each has to start, to let in the crowd, and to answer. Some let in
    /// one in each turn, and each turn costs as much as all who are there: that's the square.
    pub fn estimate(&self, servers: usize, rounds: usize) -> Duration {
        let crowd = self.crowds.iter().max().copied().unwrap_or(0) as f64;
        let grows = Duration::from_secs_f64(crowd * 40e-6 + crowd * crowd * 10e-9);
        let sizes = u32::try_from(self.crowds.len()).unwrap_or(u32::MAX);
        let one =
            Duration::from_millis(150) + grows + (self.window + self.rush) * sizes + self.rush;
        let counts = if self.counts { ONE_BY_ONE * sizes } else { Duration::ZERO };
        let servers = u32::try_from(servers).unwrap_or(u32::MAX);
        (one * u32::try_from(rounds).unwrap_or(u32::MAX) + counts) * servers
    }

    /// Those of the window.
    fn visits(&self, server: &Started) -> Visits {
        let Self { pace, window: lasting, stays, ref target, ref ends, .. } = *self;
        let Started { address, ref host, ref path, .. } = *server;
        let target = path.as_ref().unwrap_or(target);
        let connection = if stays { "keep-alive" } else { "close" };
        // The last field is the last: the canned server looks there.
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: {connection}\r\n\r\n");
        let (request, ends) = (request.into_bytes().into(), Arc::clone(ends));
        Visits { address, request, pace, lasting, patience: FOR_ANSWERS, stays, ends }
    }
}

/// Has one server run the course. `goes_on` is asked before each size.
///
/// # Errors
/// When the server can't be started, and when the load can't go on.
pub fn run(
    contestant: &Contestant,
    built: Option<&Path>,
    course: &Course,
    mut goes_on: impl FnMut(usize) -> bool,
) -> io::Result<Round> {
    let folder = tempfile::tempdir()?;
    let others = Busy::look();
    // Dropped after the server: whoever hangs up first keeps the port.
    let mut event_loop = ch08_epoll::event_loop()?;
    let server = Started::start(contestant, built, folder.path(), course.cores)?;
    let visits = course.visits(&server);
    let mut crowd = Crowd::new(server.address);
    let mut cells: Vec<Cell> = Vec::new();
    // What is needed once isn't charged to the first.
    rush(&mut event_loop, &server, course, &visits)?;
    for size in &course.crowds {
        if !goes_on(*size) {
            break;
        }
        crowd.grow(&mut event_loop, *size, &visits, FOR_THE_CROWD)?;
        let mut cell = measure(&mut event_loop, &server, &crowd, *size, course, &visits)?;
        if course.ends.load(Ordering::Relaxed) {
            // It's no whole one.
            break;
        }
        if server.has_ended() {
            cell.why = Some("it has ended".to_owned());
        }
        // Nobody was answered: with more of a crowd, nobody will be.
        let is_last = cell.window.answered == 0 || server.has_ended();
        cells.push(cell);
        if is_last {
            break;
        }
    }
    let others = match contestant.place {
        // It may be the server itself that is busy.
        Place::Address(_) => Vec::new(),
        _ => others.since(&ours(&server)),
    };
    // The server goes first, again.
    drop(server);
    crowd.leave(&mut event_loop)?;
    Ok(Round { cells, others })
}

/// This process, and the server's.
fn ours(server: &Started) -> Vec<i32> {
    let us = i32::try_from(std::process::id()).unwrap_or_default();
    std::iter::once(us).chain(server.processes().iter().map(|pid| pid.as_raw())).collect()
}

fn measure(
    event_loop: &mut EventLoop,
    server: &Started,
    crowd: &Crowd,
    size: usize,
    course: &Course,
    visits: &Visits,
) -> io::Result<Cell> {
    if course.meanwhile {
        meanwhile::invite(event_loop, server.address, course.window);
    }
    let (window, not_understood) = timed(event_loop, server, visits.clone())?;
    let rush = match window.answered {
        0 => None,
        _ => rush(event_loop, server, course, visits)?,
    };
    let (memory, threads, inside) = (server.memory(), server.threads(), crowd.inside());
    // It slows the server down: behind all that is timed.
    let counted = match course.counts && window.answered > 0 {
        true => counted::count(event_loop, server, visits)?,
        false => None,
    };
    let why = (inside < size).then(|| crowd.why()).flatten().or(not_understood);
    Ok(Cell { crowd: size, inside, why, window, rush, memory, threads, counted })
}

/// As fast as answers come; unless there's no time for it.
fn rush(
    event_loop: &mut EventLoop,
    server: &Started,
    course: &Course,
    visits: &Visits,
) -> io::Result<Option<Answers>> {
    if course.rush == Duration::ZERO {
        return Ok(None);
    }
    let pace = Pace::Closed { at_once: IN_THE_RUSH, a_second: None };
    let visits = Visits { pace, lasting: course.rush, ..visits.clone() };
    Ok(Some(timed(event_loop, server, visits)?.0))
}

/// What became of them, and why something that came wasn't understood.
fn timed(
    event_loop: &mut EventLoop,
    server: &Started,
    visits: Visits,
) -> io::Result<(Answers, Option<String>)> {
    let before = server.cpu_time();
    let heard = visits::visit(event_loop, visits)?;
    let after = server.cpu_time();
    let cpu = before.zip(after).map(|(before, after)| after.saturating_sub(before));
    Ok((answers(&heard, cpu), heard.why))
}

fn answers(heard: &Heard, cpu: Option<Duration>) -> Answers {
    let latency = match heard.answered {
        0 => Vec::new(),
        _ => QUANTILES.iter().map(|part| heard.latency.value_at_quantile(*part)).collect(),
    };
    Answers {
        due: heard.due,
        answered: heard.answered,
        refused: heard.refused,
        hung_up: heard.hung_up,
        wrong: heard.wrong,
        unanswered: heard.unanswered,
        latency,
        late: heard.late.value_at_quantile(0.99),
        lasted: nanos(heard.lasted),
        cpu: cpu.map(nanos),
        load_cpu: nanos(heard.cpu),
    }
}
