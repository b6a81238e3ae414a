//! What is printed and drawn of a race, worked out of what was measured.

use std::cmp::{Ordering, Reverse};

use crate::result::{Answers, Cell, Counted, Race, Role, Round, Server, Spread};
use crate::units::Unit;

/// What a row of a table and a curve of a picture are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// The latency that 99 of 100 answers don't exceed.
    Slowest,
    /// That which half of them don't exceed.
    Usual,
    /// That which 999 of 1,000 don't exceed, where there were so many.
    Rare,
    /// The longest.
    Longest,
    /// Requests that weren't answered rightly, in percent.
    Failures,
    /// The server's CPU time for each answer.
    Cpu,
    /// Its system calls for each answer, while visitors come one after the other.
    Calls,
    /// How often it asks who is ready, for each such answer.
    Turns,
    /// Answers a second, when it's asked as fast as it answers.
    Most,
    /// Resident.
    Memory,
    /// What memory grew by since there was nobody, for each of those inside.
    Visitor,
    Threads,
}

impl Figure {
    /// In the order in which they are printed.
    pub const ALL: [Self; 12] = [
        Self::Slowest,
        Self::Usual,
        Self::Rare,
        Self::Longest,
        Self::Failures,
        Self::Cpu,
        Self::Calls,
        Self::Turns,
        Self::Most,
        Self::Memory,
        Self::Visitor,
        Self::Threads,
    ];

    /// What it's called, in a few words.
    pub fn title(self) -> &'static str {
        match self {
            Figure::Slowest => "Latency: 99 of 100 took no longer",
            Figure::Usual => "Latency: the median",
            Figure::Rare => "Latency: 999 of 1,000 took no longer",
            Figure::Longest => "Latency: the longest",
            Figure::Failures => "Failures",
            Figure::Cpu => "CPU time for each answer",
            Figure::Calls => "System calls for each answer",
            Figure::Turns => "Turns of the loop for each answer",
            Figure::Most => "Answers a second, at most",
            Figure::Memory => "Memory",
            Figure::Visitor => "Memory for each silent visitor",
            Figure::Threads => "Threads",
        }
    }

    pub fn unit(self) -> Unit {
        match self {
            Figure::Slowest | Figure::Usual | Figure::Rare | Figure::Longest | Figure::Cpu => {
                Unit::Time
            }
            Figure::Failures => Unit::Percent,
            Figure::Most => Unit::Rate,
            Figure::Calls | Figure::Turns | Figure::Threads => Unit::Count,
            Figure::Memory | Figure::Visitor => Unit::Bytes,
        }
    }

    /// Of one server with one crowd, in all rounds. A server that failed altogether has neither latency nor answers,
    /// even if a few were answered in one round.
    pub fn of(self, server: &Server, crowd: usize) -> Option<Spread> {
        let is_of_answers =
            !matches!(self, Self::Failures | Self::Memory | Self::Visitor | Self::Threads);
        if is_of_answers && Fate::of(server, crowd).is_altogether() {
            return None;
        }
        let figure = |round: &Round| {
            let cell = round.cells.iter().find(|cell| cell.crowd == crowd)?;
            self.in_cell(cell, round)
        };
        Spread::of(server.rounds.iter().filter_map(figure))
    }

    fn in_cell(self, cell: &Cell, round: &Round) -> Option<f64> {
        let asked = &cell.window;
        match self {
            Figure::Slowest => asked.quantile(0.99).map(|latency| latency as f64),
            Figure::Usual => asked.quantile(0.5).map(|latency| latency as f64),
            // Of fewer it's the longest, under another name.
            Figure::Rare if asked.answered < 1000 => None,
            Figure::Rare => asked.quantile(0.999).map(|latency| latency as f64),
            Figure::Longest => asked.quantile(1.0).map(|latency| latency as f64),
            Figure::Failures => failures(asked),
            Figure::Cpu => asked.cpu_each(),
            Figure::Calls => for_each(cell, |counted| counted.calls),
            Figure::Turns => for_each(cell, |counted| counted.turns),
            Figure::Most => cell.rush.as_ref()?.rate(),
            Figure::Memory => cell.memory.map(|bytes| bytes as f64),
            Figure::Visitor => {
                let nobody = round.cells.iter().find(|cell| cell.crowd == 0)?.memory? as f64;
                // Memory that was given back meanwhile is nobody's.
                let grown = (cell.memory? as f64 - nobody).max(0.0);
                (cell.crowd > 0 && cell.inside > 0).then(|| grown / cell.inside as f64)
            }
            Figure::Threads => cell.threads.map(|threads| threads as f64),
        }
    }

    /// Whether the load was the limit, and not the server, in half of the rounds or more.
    pub fn is_the_loads(self, server: &Server, crowd: usize) -> bool {
        let of_the_load = |cell: &Cell| match self {
            Figure::Slowest | Figure::Usual | Figure::Rare | Figure::Longest | Figure::Failures => {
                cell.window.is_the_loads()
            }
            Figure::Most => cell.rush.as_ref().is_some_and(Answers::is_the_loads),
            // These hold however late the load asks.
            Figure::Cpu
            | Figure::Calls
            | Figure::Turns
            | Figure::Memory
            | Figure::Visitor
            | Figure::Threads => false,
        };
        in_half(server, crowd, of_the_load)
    }

    /// The largest ratio between a server and the same one again: what differs by less is noise.
    pub fn noise(self, race: &Race) -> Option<f64> {
        let ratio = |twin: &Server, again: &Server, crowd| {
            let (one, other) = (self.of(twin, crowd)?.median, self.of(again, crowd)?.median);
            (one > 0.0 && other > 0.0).then(|| apart(one, other))
        };
        let ratios = twins(race).flat_map(|(twin, again)| {
            crowds(race).into_iter().filter_map(move |crowd| ratio(twin, again, crowd))
        });
        ratios.max_by(f64::total_cmp)
    }
}

/// How far apart two servers are in one figure, with one crowd.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gap {
    /// Which of the medians is the lower one: `Less` if it's the first one's.
    pub order: Ordering,
    /// They are further apart than the noise, and their bars don't overlap.
    pub is_told: bool,
}

impl Gap {
    /// `noise` is [`Figure::noise`] of the same race. `None`: one of the two has no figure.
    pub fn of(
        figure: Figure,
        noise: Option<f64>,
        crowd: usize,
        one: &Server,
        other: &Server,
    ) -> Option<Self> {
        let (one, other) = (figure.of(one, crowd)?, figure.of(other, crowd)?);
        let is_beyond = noise.is_some_and(|noise| apart(one.median, other.median) > noise);
        let overlap = one.least <= other.most && other.least <= one.most;
        let order = one.median.total_cmp(&other.median);
        Some(Self { order, is_told: is_beyond && !overlap })
    }
}

/// The factor between two figures, however they are ordered.
fn apart(one: f64, other: f64) -> f64 {
    (one / other).max(other / one)
}

fn for_each(cell: &Cell, count: fn(&Counted) -> u64) -> Option<f64> {
    let counted = cell.counted.as_ref().filter(|counted| counted.answers > 0)?;
    Some(count(counted) as f64 / counted.answers as f64)
}

fn failures(asked: &Answers) -> Option<f64> {
    // Who wrote it down may count one twice: it isn't more than all.
    (asked.due > 0).then(|| (asked.failed() as f64 / asked.due as f64 * 100.0).min(100.0))
}

/// Each server that ran a second time, behind the one that it is: `8` and `8 again`.
pub fn twins(race: &Race) -> impl Iterator<Item = (&Server, &Server)> {
    race.servers.iter().filter(|server| server.role == Role::Again).filter_map(|again| {
        let is_it = |server: &&Server| {
            server.role == Role::Measured
                && again
                    .name
                    .strip_prefix(server.name.as_str())
                    .is_some_and(|rest| rest.trim() == "again")
        };
        Some((race.servers.iter().find(is_it)?, again))
    })
}

/// All sizes of the crowd, growing.
pub fn crowds(race: &Race) -> Vec<usize> {
    let mut crowds = race.plan.crowds.clone();
    crowds.sort_unstable();
    crowds.dedup();
    crowds
}

/// What became of a server with one crowd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It wasn't asked: the race was cut short, or the server had failed before.
    NotThere,
    Well,
    /// It answered, and not all of the crowd were inside.
    NotAll(String),
    /// It answered nobody; why.
    Altogether(String),
}

impl Fate {
    /// What became of it in half of the rounds or more.
    pub fn of(server: &Server, crowd: usize) -> Self {
        let Some(last) = server.cells(crowd).last() else { return Self::NotThere };
        if in_half(server, crowd, |cell| nobody_answered(&cell.window)) {
            return Self::Altogether(why_nobody(server.cells(crowd)));
        }
        if in_half(server, crowd, |cell| cell.inside < cell.crowd) {
            let why = server.cells(crowd).find_map(|cell| cell.why.clone());
            return Self::NotAll(why.unwrap_or_else(|| format!("{} inside", last.inside)));
        }
        Self::Well
    }

    pub fn is_altogether(&self) -> bool {
        matches!(self, Self::Altogether(_))
    }
}

pub fn nobody_answered(asked: &Answers) -> bool {
    asked.due > 0 && asked.answered == 0
}

fn in_half(server: &Server, crowd: usize, is_so: impl Fn(&Cell) -> bool) -> bool {
    let (so, all) = server
        .cells(crowd)
        .fold((0, 0), |(so, all), cell| (so + usize::from(is_so(cell)), all + 1));
    all > 0 && so * 2 >= all
}

/// What became of most requests.
fn why_nobody<'c>(cells: impl Iterator<Item = &'c Cell>) -> String {
    let mut counts = [0_u64; 4];
    for cell in cells {
        for (count, (some, _)) in counts.iter_mut().zip(kinds(&cell.window)) {
            *count = count.saturating_add(some);
        }
    }
    let worst = (0..counts.len()).max_by_key(|kind| (counts[*kind], Reverse(*kind)));
    let words = ["refused", "hung up on", "wrong answers", "nobody answered"];
    match worst {
        Some(kind) if counts[kind] > 0 => words[kind].to_owned(),
        _ => "nobody answered".to_owned(),
    }
}

/// How many requests failed, in each way.
pub fn kinds(asked: &Answers) -> [(u64, &'static str); 4] {
    [
        (asked.refused, "refused"),
        (asked.hung_up, "hung up on"),
        (asked.wrong, "answered wrongly"),
        (asked.unanswered, "not answered"),
    ]
}
