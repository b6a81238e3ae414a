//! What the lens has seen, and how it is written down: JSON Lines, one object a line. The book's
//! page `watching` describes the format for its readers.
//!
//! Times are in microseconds since the program began. Readers must skip objects of a kind, and
//! fields, that they don't know; anything else that changes raises [`VERSION`].

use std::io::{self, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The format's version: the field `lens` of the first line.
pub const VERSION: u32 = 1;

/// Shorter waits aren't held against a program: a lock inside the kernel, a page that came from the disk.
pub const HARDLY_A_WAIT: Duration = Duration::from_millis(2);

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// The first line.
    Run(Run),
    /// A system call that could have waited, written when it was over.
    Call(Call),
    /// A thread, written when it was over.
    Thread(Thread),
    /// A signal that the program was given.
    Signal(Signal),
    /// The time in which visitors (or a host) were there, if they were ours.
    Play(Play),
    /// One of them.
    Visitor(Visitor),
    /// What a process is called, where one program has replaced another.
    Program(Program),
    /// What one of the two has said to the other.
    Mark(Mark),
    /// The last line.
    End(End),
}

/// What was run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// [`VERSION`].
    pub lens: u32,
    /// The program and its arguments.
    pub command: Vec<String>,
}

/// A system call that could have waited.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The thread that made it: threads are numbered from 1, in the order of their beginning.
    pub thread: u32,
    /// The kernel's name for it.
    pub call: String,
    /// The descriptor that it waited for, if it is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub descriptor: Option<i64>,
    /// What that descriptor is, in words: `the listener`, `the silent visitor`, `127.0.0.1:7001`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub what: Option<String>,
    /// How many descriptors it asked about: select, poll.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub watched: Option<u64>,
    /// When it began.
    pub began_us: u64,
    /// How long the thread was inside it.
    pub took_us: u64,
    /// Whether the kernel put the thread to sleep in it: it was blocked.
    pub waited: bool,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Who connected: accept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub accepted: Option<String>,
    /// Which descriptors were ready, in words: select, poll, epoll_wait. For the last, nothing where the
    /// program's marks don't tell them apart.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub ready: Vec<String>,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// What it returned: bytes, a descriptor, a count.
    Result(i64),
    /// The error, by its name: `EAGAIN`.
    Error(String),
    /// A signal came in between; this is what the program is told, if it's told at all: `ERESTARTSYS`.
    Interrupted(String),
    /// The thread, the program or the run was over before the call was.
    Unfinished(String),
}

/// A thread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thread {
    /// Its number.
    pub thread: u32,
    /// The kernel's number for it.
    pub tid: i32,
    /// Its process's.
    pub pid: i32,
    /// Its name, as the program set it.
    pub name: String,
    /// When it began.
    pub began_us: u64,
    /// When it ended.
    pub ended_us: u64,
}

/// A signal that the program was given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// The thread that got it.
    pub thread: u32,
    /// Its name.
    pub signal: String,
    /// When.
    pub at_us: u64,
}

/// The time in which visitors were there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Play {
    /// When it began.
    pub began_us: u64,
    /// When it ended.
    pub ended_us: u64,
}

/// One of the visitors, or the host that a visiting program talked to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Visitor {
    /// What it's called: `quick 2`.
    pub name: String,
    /// What it was doing, each with the time since when.
    pub track: Vec<(u64, String)>,
    /// When it ended.
    pub ended_us: u64,
    /// How, in words.
    pub ending: String,
}

/// A program that has replaced another one, or was replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// The kernel's number for its process.
    pub pid: i32,
    /// What it's called: `generation 2`.
    pub name: String,
}

/// A word that a program says to the one that takes its place, or the other way round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// The thread that says it.
    pub thread: u32,
    /// When.
    pub at_us: u64,
    /// What: `ready`.
    pub says: String,
}

/// The end of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// When.
    pub at_us: u64,
    /// How the program ended, in words.
    pub status: String,
}

impl Call {
    /// When it began.
    pub fn began(&self) -> Duration {
        Duration::from_micros(self.began_us)
    }

    /// How long the thread was inside it.
    pub fn took(&self) -> Duration {
        Duration::from_micros(self.took_us)
    }

    /// When it ended, in microseconds. A file may say anything: there is a latest moment.
    pub fn ended_us(&self) -> u64 {
        self.began_us.saturating_add(self.took_us)
    }

    /// How long the thread was blocked in it: nothing, where it was never put to sleep.
    pub fn blocked(&self) -> Duration {
        if self.waited { self.took() } else { Duration::ZERO }
    }
}

impl Line {
    /// Writes it, with the line's end.
    ///
    /// # Errors
    /// What writing gives.
    pub fn write(&self, mut out: impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut out, self)?;
        out.write_all(b"\n")
    }
}

/// Reads a run that was written down. What this version doesn't know is skipped.
///
/// # Errors
/// A sentence that says what is wrong, and in which line.
pub fn read(text: &str) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let value: serde_json::Value = serde_json::from_str(line)
            .map_err(|error| format!("line {number} is no JSON object: {error}"))?;
        if index == 0 && value["lens"] != VERSION {
            return Err(format!(
                "it isn't a run in this lens's format: line 1 has to say \"lens\":{VERSION}"
            ));
        }
        const KINDS: [&str; 9] =
            ["run", "call", "thread", "signal", "play", "visitor", "program", "mark", "end"];
        if value["kind"].as_str().is_some_and(|kind| KINDS.contains(&kind)) {
            let line = serde_json::from_value(value)
                .map_err(|error| format!("line {number} isn't in the lens's format: {error}"))?;
            lines.push(line);
        }
    }
    if lines.is_empty() {
        return Err("it's empty".to_owned());
    }
    Ok(lines)
}

/// So much is shown besides: before the new program begins, and after the last word, until whoever came meanwhile is
/// served.
const BEFORE_US: u64 = 1500;
/// See [`BEFORE_US`].
const AFTER_US: u64 = 2500;

/// The moment in which one program takes over from another: of a run, what happened meanwhile. `None`: there is no
/// such moment in it.
pub fn hand_over(lines: &[Line]) -> Option<Vec<Line>> {
    let first = lines.iter().find_map(|line| match line {
        Line::Mark(mark) => Some(mark),
        _ => None,
    })?;
    let last = lines.iter().rev().find_map(|line| match line {
        Line::Mark(mark) => Some(mark.at_us),
        _ => None,
    })?;
    // The first word is the new program's.
    let began = lines.iter().find_map(|line| match line {
        Line::Thread(thread) if thread.thread == first.thread => Some(thread.began_us),
        _ => None,
    })?;
    let (from, to) = (began.saturating_sub(BEFORE_US), last.saturating_add(AFTER_US));
    let play = Line::Play(Play { began_us: from, ended_us: to });
    let shown = lines.iter().filter_map(|line| match line {
        Line::Play(_) => Some(play.clone()),
        Line::Call(call) if call.began_us > to || call.ended_us() < from => None,
        Line::Visitor(visitor) => {
            let came = visitor.track.first().map_or(visitor.ended_us, |(moment, _)| *moment);
            (came <= to && visitor.ended_us >= from).then(|| line.clone())
        }
        other => Some(other.clone()),
    });
    Some(shown.collect())
}

/// As the format counts time.
pub fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(thread: u32, at_us: u64) -> Line {
        Line::Mark(Mark { thread, at_us, says: "a word".to_owned() })
    }

    fn visitor(from: u64, to: u64) -> Line {
        let track = vec![(from, "silent".to_owned())];
        Line::Visitor(Visitor { name: String::new(), track, ended_us: to, ending: String::new() })
    }

    fn call(began_us: u64, took_us: u64) -> Line {
        Line::Call(Call {
            thread: 1,
            call: "read".to_owned(),
            descriptor: None,
            what: None,
            watched: None,
            began_us,
            took_us,
            waited: true,
            outcome: Outcome::Result(0),
            accepted: None,
            ready: Vec::new(),
        })
    }

    #[test]
    fn of_a_hand_over_what_happens_meanwhile_is_taken() {
        let name = String::new();
        let thread = Line::Thread(Thread {
            thread: 2,
            tid: 1,
            pid: 1,
            name,
            began_us: 50_000,
            ended_us: 99_000,
        });
        let play = |began_us, ended_us| Line::Play(Play { began_us, ended_us });
        let (from, to) = (50_000 - BEFORE_US, 61_000 + AFTER_US);
        let (here, across) = (call(55_000, 10), call(10_000, 80_000));
        let lines = [
            call(10_000, 10),
            here.clone(),
            across.clone(),
            call(80_000, 10),
            play(0, 90_000),
            visitor(100, 200),
            visitor(100, 55_000),
            visitor(80_000, 90_000),
            thread.clone(),
            mark(2, 60_000),
            mark(1, 61_000),
        ];
        let taken = [here, across, play(from, to), visitor(100, 55_000), thread];
        let taken = [&taken[..], &[mark(2, 60_000), mark(1, 61_000)]].concat();
        assert_eq!(hand_over(&lines), Some(taken));
        assert_eq!(hand_over(&lines[..9]), None, "nobody takes over");
    }
}
