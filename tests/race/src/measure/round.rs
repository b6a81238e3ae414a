//! One server in one round: it's started, the crowd grows, and at each size it's asked.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ch07_callbacks::EventLoop;

use crate::load::crowd::Crowd;
use crate::load::visits::{self, Heard, Pace, Visits};
use crate::measure::contestant::Contestant;
use crate::measure::machine::Busy;
use crate::measure::meanwhile;
use crate::measure::started::{Cores, Started};
use crate::result::{Answers, Cell, QUANTILES, Round};

/// How long it's waited until some of the crowd are in.
const FOR_THE_CROWD: Duration = Duration::from_secs(1);
/// How long it's waited for the last answers.
const FOR_ANSWERS: Duration = Duration::from_millis(500);
/// How many ask at once in the rush.
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
    pub cores: Option<Cores>,
}

impl Course {
    /// How long a server's round takes, roughly: the start, the crowd (a tenth of a millisecond for each at the most), and the
    /// windows.
    pub fn estimate(&self) -> Duration {
        let crowd = self.crowds.iter().max().copied().unwrap_or(0);
        let crowd = Duration::from_micros(50) * u32::try_from(crowd).unwrap_or(u32::MAX);
        let windows = u32::try_from(self.crowds.len()).unwrap_or(u32::MAX);
        Duration::from_millis(150) + crowd + (self.window + self.rush) * windows
    }

    /// Those of the window.
    fn visits(&self, address: SocketAddr) -> Visits {
        let Self { pace, window: lasting, stays, ref target, .. } = *self;
        let connection = if stays { "keep-alive" } else { "close" };
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: {connection}\r\n\r\n");
        let request = request.into_bytes().into();
        Visits { address, request, pace, lasting, patience: FOR_ANSWERS, stays }
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
    let server = Started::start(contestant, built, folder.path(), course.cores)?;
    let mut event_loop = ch08_epoll::event_loop()?;
    let mut crowd = Crowd::new(server.address);
    let visits = course.visits(server.address);
    let mut cells: Vec<Cell> = Vec::new();
    for size in &course.crowds {
        if !goes_on(*size) {
            break;
        }
        crowd.grow(&mut event_loop, *size, &visits, FOR_THE_CROWD)?;
        let cell = measure(&mut event_loop, &server, &crowd, *size, course, &visits)?;
        // Nobody was answered: with more of a crowd, nobody will be.
        let is_last = cell.window.answered == 0 || server.has_ended();
        cells.push(cell);
        if is_last {
            break;
        }
    }
    let mut ours = vec![i32::try_from(std::process::id()).unwrap_or_default()];
    ours.extend(server.processes().iter().map(|pid| pid.as_raw()));
    let others = others.since(&ours);
    // The server goes first: see `leave`.
    drop(server);
    crowd.leave(&mut event_loop)?;
    Ok(Round { cells, others })
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
    let window = timed(event_loop, server, visits.clone())?;
    let (memory, threads, inside) = (server.memory(), server.threads(), crowd.inside());
    let is_rushed = course.rush > Duration::ZERO && window.answered > 0;
    let rush = if is_rushed {
        let pace = Pace::Closed { at_once: IN_THE_RUSH, a_second: None };
        let visits = Visits { pace, lasting: course.rush, ..visits.clone() };
        Some(timed(event_loop, server, visits)?)
    } else {
        None
    };
    let why = (inside < size).then(|| crowd.why()).flatten();
    Ok(Cell { crowd: size, inside, why, window, rush, memory, threads })
}

fn timed(event_loop: &mut EventLoop, server: &Started, visits: Visits) -> io::Result<Answers> {
    let before = server.cpu_time();
    let heard = visits::visit(event_loop, visits)?;
    let after = server.cpu_time();
    let cpu = before.zip(after).map(|(before, after)| after.saturating_sub(before));
    Ok(answers(&heard, cpu))
}

fn answers(heard: &Heard, cpu: Option<Duration>) -> Answers {
    let latency = match heard.answered {
        0 => Vec::new(),
        _ => QUANTILES.iter().map(|part| heard.latency.value_at_quantile(*part)).collect(),
    };
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
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
