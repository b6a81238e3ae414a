//! What a race has measured, as it's written down: JSON, described in the book's appendix `race-json`.
//!
//! All times are in ns, all sizes in bytes. What can't be had on a machine is `null`.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// Of the format. A reader refuses any other.
pub const VERSION: u32 = 1;

/// A whole race.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Race {
    pub version: u32,
    /// When it was over, as HTTP writes it: `Sun, 29 Nov 2026 13:00:00 GMT`.
    pub date: String,
    pub machine: Machine,
    pub plan: Plan,
    /// In the order in which they ran in each round.
    pub servers: Vec<Server>,
    /// Whether somebody ended it early: there are fewer rounds, then, or the last one isn't whole.
    pub cut_short: bool,
}

impl Race {
    /// By its short name.
    pub fn server(&self, name: &str) -> Option<&Server> {
        self.servers.iter().find(|server| server.name == name)
    }

    /// What stands in `json`.
    ///
    /// # Errors
    /// If that isn't a race, or one of another version.
    pub fn read(json: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        // Before all else: another version's fields may have other names.
        let Head { version } = serde_json::from_str(json)?;
        ensure!(
            version == VERSION,
            "it's written in version {version} of the format, and only version {VERSION} is known"
        );
        Ok(serde_json::from_str(json)?)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Machine {
    pub processor: Option<String>,
    pub cores: usize,
    /// `Linux 6.12.1`.
    pub kernel: String,
    /// Whether server and load had a core of their own each.
    pub pinned: bool,
}

/// What was done.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Plan {
    /// Sizes of the crowd, growing.
    pub crowds: Vec<usize>,
    pub rounds: usize,
    pub pace: Pace,
    /// How long requests were begun, at each size.
    pub window: u64,
    /// The same, where it was asked as fast as answers came. 0: it wasn't.
    pub rush: u64,
    /// Whether visitors asked again on the same connection.
    pub stays: bool,
    /// Who was there for the middle third of each window.
    pub meanwhile: Option<String>,
}

/// How it was asked in the window.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// At fixed times; latency counts from when a request was due.
    Open { a_second: u32 },
    /// The next one when the last is answered; latency counts from when a request was sent.
    Closed { at_once: usize, a_second: Option<u32> },
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Server {
    /// Short, as in a curve's label: `5`, `8 again`, `nginx`.
    pub name: String,
    /// `chapter 5, poll`.
    pub title: String,
    pub role: Role,
    pub rounds: Vec<Round>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It's measured.
    Measured,
    /// It's another one a second time: what differs between the two is noise.
    Again,
    /// It does next to nothing: what is measured is the load itself.
    Limit,
}

/// One server in one round: it's started, the crowd grows, it's ended.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Round {
    /// One for each size of the crowd, from the first on. Where the server failed altogether, that cell is the last.
    pub cells: Vec<Cell>,
    /// Programs that had nothing to do with it, and used more than a tenth of a core meanwhile.
    pub others: Vec<String>,
}

/// One size of the crowd.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Cell {
    /// How many should have been there.
    pub crowd: usize,
    /// How many were, in the end.
    pub inside: usize,
    /// What became of the others, in a few words.
    pub why: Option<String>,
    /// In the window.
    pub window: Answers,
    /// As fast as answers came.
    pub rush: Option<Answers>,
    /// What the server had of memory, resident.
    pub memory: Option<u64>,
    pub threads: Option<u64>,
    /// Its system calls, with visitors who came one after the other. `None`: nobody has counted, as in all rounds but the
    /// first.
    #[serde(default)]
    pub counted: Option<Counted>,
}

/// What the server did for some answers.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Counted {
    pub answers: u64,
    /// System calls of all of its threads.
    pub calls: u64,
    /// Those among them in which it asked who is ready: each begins a turn of its loop.
    pub turns: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Answers {
    /// How many requests there were.
    pub due: u64,
    /// With 200, and to the last byte.
    pub answered: u64,
    pub refused: u64,
    /// Hung up on before the answer was whole.
    pub hung_up: u64,
    /// Answered with another status, or with something that isn't understood.
    pub wrong: u64,
    /// Not answered when patience had come to its end.
    pub unanswered: u64,
    /// Latencies, at [`QUANTILES`]. Empty if nobody was answered.
    pub latency: Vec<u64>,
    /// By how much the load itself was late, for one in a hundred.
    pub late: u64,
    /// From the first request to the last answer, and at least as long as requests were begun.
    pub lasted: u64,
    /// The CPU time of the server, all of its processes and threads.
    pub cpu: Option<u64>,
    /// The CPU time of the load.
    pub load_cpu: u64,
}

/// At which parts of all answers latencies are kept: the last is the maximum.
pub const QUANTILES: [f64; 12] =
    [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 1.0];

/// A load that is busy for more than this part of the time may be the one that was measured.
pub const BUSY: f64 = 0.9;

impl Answers {
    /// The latency that so large a part of the answers doesn't exceed: one of [`QUANTILES`]. In ns.
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        let place = QUANTILES.iter().position(|known| *known == quantile)?;
        self.latency.get(place).copied()
    }

    pub fn failed(&self) -> u64 {
        let kinds = [self.refused, self.hung_up, self.wrong, self.unanswered];
        kinds.into_iter().fold(0, u64::saturating_add)
    }

    /// Answers a second.
    pub fn rate(&self) -> Option<f64> {
        (self.lasted > 0).then(|| self.answered as f64 * 1e9 / self.lasted as f64)
    }

    /// The server's CPU time for each answer, in ns.
    pub fn cpu_each(&self) -> Option<f64> {
        (self.answered > 0).then_some(self.cpu? as f64 / self.answered as f64)
    }

    /// Whether the load was the limit, and not the server.
    pub fn is_the_loads(&self) -> bool {
        self.answered > 0 && self.load_cpu as f64 > BUSY * self.lasted as f64
    }
}

/// What is drawn and printed of a server at one size of the crowd, in all rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub least: f64,
    /// The one in the middle.
    pub median: f64,
    pub most: f64,
}

impl Spread {
    /// `None`: there's nothing to spread.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let (least, most) = (*figures.first()?, *figures.last()?);
        // Of an even number, half-way between the two in the middle.
        let [lower, upper] = [(figures.len() - 1) / 2, figures.len() / 2].map(|at| figures[at]);
        Some(Self { least, median: lower + (upper - lower) / 2.0, most })
    }
}

impl Server {
    /// The cells of one size of the crowd, of all rounds that got so far.
    pub fn cells(&self, crowd: usize) -> impl Iterator<Item = &Cell> {
        self.rounds.iter().flat_map(|round| &round.cells).filter(move |cell| cell.crowd == crowd)
    }

    /// What `figure` is at one size, in all rounds that have it.
    pub fn spread(&self, crowd: usize, figure: impl Fn(&Cell) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.cells(crowd).filter_map(figure))
    }
}
