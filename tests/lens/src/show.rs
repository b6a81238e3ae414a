//! What becomes of all that the tracer sees: lines in the terminal, figures, files.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use lens::lines;
use lens::picture;
use lens::record::{self, Call, Line, Outcome, microseconds};
use lens::summary::Summary;
use lens::tracer::{AllInside, Seen};

use visitors::{tell, warn};

use crate::succession::Overheard;
use crate::{Arguments, FAILURE, Failed};

/// A call that has waited so long is told of before it's over: it may never be.
const A_LONG_WAIT: Duration = Duration::from_millis(500);

/// How often it's looked for such calls.
const LOOK: Duration = Duration::from_millis(100);

/// So many visitors are told of at the end.
const MOST_VISITORS: usize = 20;

/// So many waits that are alike are printed, one after the other.
const MOST_ALIKE: u32 = 3;

/// So many calls are kept for a picture: more than it has room to show, and memory has an end.
const MOST_DRAWN: usize = 10_000;

/// One program was to replace another, and that isn't what was seen.
const NOT_UNDERSTOOD: &str =
    "what the two programs said to each other isn't what is said at a hand-over";

/// What is shown, and where it is written.
#[derive(Debug)]
pub struct Show {
    out: Out,
    command: Vec<String>,
    all: bool,
    quiet: bool,
    headed: bool,
    json: Option<(PathBuf, BufWriter<File>)>,
    svg: Option<PathBuf>,
    drawn: Vec<Line>,
    left_out: bool,
    summary: Summary,
    /// How each visitor fared.
    visitors: Vec<(String, String)>,
    origin: Instant,
    /// What went wrong with a file, once.
    trouble: Option<String>,
    /// Calls of which it has been told that they wait: thread and beginning.
    told: Vec<(u32, Instant)>,
    /// Waits that are alike, one after the other.
    alike: Alike,
    /// Where one program replaces another.
    overheard: Option<Overheard>,
}

/// Waits of one thread on one descriptor in the same call, with nothing between them to be shown.
#[derive(Debug, Default)]
struct Alike {
    /// The thread, the call, and the descriptor.
    of: Option<(u32, String, Option<i64>)>,
    count: u32,
    /// Of those that weren't printed.
    untold: u32,
    blocked: Duration,
}

/// A file that can be written to: better said now than after a long run. What is in it stays until
/// there is something to write.
fn writable(path: &Path) -> Result<File, Failed> {
    let file = File::options().write(true).create(true).truncate(false).open(path);
    file.map_err(|error| Failed(FAILURE, format!("can't write {}: {error}", path.display())))
}

/// Where the lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Out {
    /// The program has stdout for itself.
    Stderr,
    /// There is no other program here.
    Stdout,
}

impl Show {
    /// Opens the files, and begins with what is run.
    pub fn new(arguments: &Arguments, command: Vec<String>, out: Out) -> Result<Self, Failed> {
        let json = match &arguments.json {
            None => None,
            Some(path) => Some((path.clone(), BufWriter::new(writable(path)?))),
        };
        if let Some(path) = &arguments.svg {
            writable(path)?;
        }
        Ok(Self {
            out,
            command,
            all: arguments.all,
            quiet: arguments.quiet,
            headed: false,
            json,
            svg: arguments.svg.clone(),
            drawn: Vec::new(),
            left_out: false,
            summary: Summary::default(),
            visitors: Vec::new(),
            origin: Instant::now(),
            trouble: None,
            told: Vec::new(),
            alike: Alike::default(),
            overheard: None,
        })
    }

    /// The program begins now: times are counted from here.
    pub fn begin(&mut self, origin: Instant) {
        self.origin = origin;
        if let Some((path, file)) = &mut self.json
            && let Err(error) = file.get_ref().set_len(0)
            // What isn't a file, such as a pipe, has no length to cut.
            && file.get_ref().metadata().is_ok_and(|file| file.is_file())
        {
            self.trouble = Some(format!("can't write {}: {error}", path.display()));
        }
        let command = std::mem::take(&mut self.command);
        self.keep(Line::Run(record::Run { lens: record::VERSION, command }));
    }

    /// Times are counted from here.
    pub fn origin(&self) -> Instant {
        self.origin
    }

    /// From now on it's listened to what one program says to another that replaces it.
    pub fn overhear(&mut self) {
        self.overheard = Some(Overheard::default());
    }

    /// Whether one program was to replace another.
    pub fn is_of_two(&self) -> bool {
        self.overheard.is_some()
    }

    /// Takes in what the tracer has seen.
    pub fn see(&mut self, seen: Seen) {
        if let Some(overheard) = &mut self.overheard {
            overheard.hear(&seen);
        }
        match seen {
            Seen::Begun => {}
            Seen::Call(call) => {
                self.summary.add(&call);
                if self.all {
                    self.print(&lines::call(&call));
                } else if call.waited {
                    self.print_unless_alike(&call);
                }
                self.keep(Line::Call(call));
            }
            Seen::Thread(thread) => {
                self.summary.end(&thread);
                self.keep(Line::Thread(thread));
            }
            Seen::Signal(signal) => {
                self.print(&lines::signal(&signal));
                self.keep(Line::Signal(signal));
            }
        }
    }

    /// Writes a line down, and keeps it for the picture.
    pub fn keep(&mut self, line: Line) {
        if let Some((path, file)) = &mut self.json
            && let Err(error) = line.write(&mut *file)
        {
            self.trouble = Some(format!("can't write {}: {error}", path.display()));
            self.json = None;
        }
        if let Line::Visitor(visitor) = &line
            && self.visitors.len() <= MOST_VISITORS
        {
            self.visitors.push((visitor.name.clone(), visitor.ending.clone()));
        }
        if self.svg.is_some() {
            match &line {
                // They leave no mark that can be seen.
                Line::Call(call) if !call.waited => {}
                Line::Signal(_) => {}
                Line::Call(_) | Line::Thread(_) if self.drawn.len() >= MOST_DRAWN => {
                    self.left_out = true;
                }
                _ => self.drawn.push(line),
            }
        }
    }

    /// Tells of the calls that have been waiting for long.
    fn tell_of_long_waits(&mut self, inside: &AllInside) {
        let inside: Vec<_> = {
            let inside = inside.lock().unwrap_or_else(PoisonError::into_inner);
            inside.values().cloned().collect()
        };
        self.told.retain(|(thread, since)| {
            inside.iter().any(|inside| inside.thread == *thread && inside.since == *since)
        });
        for inside in inside {
            let new = !self.told.contains(&(inside.thread, inside.since));
            if new && inside.since.elapsed() > A_LONG_WAIT {
                self.told.push((inside.thread, inside.since));
                let what = inside.what.map(|what| what.to_string());
                let since = inside.since.saturating_duration_since(self.origin);
                let call = lines::name(inside.call, inside.descriptor);
                let line = lines::still(since, inside.thread, &call, inside.kind, what.as_deref());
                self.print(&line);
            }
        }
    }

    /// Somebody who dictates a request letter by letter would fill the screen.
    fn print_unless_alike(&mut self, call: &Call) {
        let of = (call.thread, call.call.clone(), call.descriptor);
        if self.alike.of.as_ref() != Some(&of) {
            self.tell_of_those_alike();
            self.alike.of = Some(of);
        }
        self.alike.count += 1;
        // The end of it all is news, and so is each who comes.
        let news = !matches!(call.outcome, Outcome::Result(1..)) || call.accepted.is_some();
        if self.alike.count <= MOST_ALIKE || news {
            self.print(&lines::call(call));
            return;
        }
        self.alike.untold += 1;
        self.alike.blocked += call.took();
    }

    fn tell_of_those_alike(&mut self) {
        let alike = std::mem::take(&mut self.alike);
        if alike.untold > 0 && !self.quiet {
            let blocked = lines::time(alike.blocked);
            self.say(&format!("{:32}{:>9}  {} more like these", "", blocked, alike.untold));
        }
    }

    fn print(&mut self, line: &str) {
        if self.quiet {
            return;
        }
        if self.alike.untold > 0 {
            self.tell_of_those_alike();
        }
        if !self.headed {
            self.headed = true;
            self.say(lines::HEADING);
        }
        self.say(line);
    }

    /// Prints a line. Nobody may be there to read it any more: that's no reason to end the program.
    pub fn say(&self, line: &str) {
        match self.out {
            Out::Stderr => warn!("{line}"),
            Out::Stdout => tell!("{line}"),
        }
    }

    /// The end: the summary, and the files.
    pub fn end(mut self, status: String) -> Result<(), Failed> {
        self.tell_of_those_alike();
        let said = self.overheard.take().map(Overheard::lines);
        if said == Some(None) {
            self.trouble = Some(NOT_UNDERSTOOD.to_owned());
        }
        let said = said.flatten().unwrap_or_default();
        let marks: Vec<String> = said.iter().filter_map(lines::mark).collect();
        said.into_iter().for_each(|line| self.keep(line));
        let at_us = microseconds(self.origin.elapsed());
        self.keep(Line::End(record::End { at_us, status }));
        if self.headed || self.out == Out::Stderr {
            // What was printed before may be the program's.
            self.say("");
        }
        for line in self.summary.lines() {
            self.say(&line);
        }
        self.tell_of_visitors();
        if !marks.is_empty() {
            self.say("");
        }
        marks.iter().for_each(|mark| self.say(mark));
        if let Some((path, file)) = &mut self.json
            && let Err(error) = file.flush()
        {
            self.trouble = Some(format!("can't write {}: {error}", path.display()));
        }
        if let Some(path) = &self.svg {
            let drawn = picture::svg(&self.drawn, &picture::id_of(path));
            if let Err(error) = std::fs::write(path, drawn) {
                self.trouble = Some(format!("can't write {}: {error}", path.display()));
            }
            if self.left_out {
                self.say(&format!("the picture shows only the first {MOST_DRAWN} waits"));
            }
        }
        self.trouble.map_or(Ok(()), |trouble| Err(Failed(FAILURE, trouble)))
    }
}

impl Show {
    fn tell_of_visitors(&self) {
        let width = self.visitors.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        if width > 0 {
            self.say("");
        }
        for (name, ending) in self.visitors.iter().take(MOST_VISITORS) {
            self.say(&format!("  {name:width$}  {ending}"));
        }
        if self.visitors.len() > MOST_VISITORS {
            self.say("  and more");
        }
    }
}

/// A show that the tracer's thread and others share.
pub type Shared = Arc<Mutex<Show>>;

/// The show, whatever became of the others who had it.
pub fn lock(show: &Shared) -> MutexGuard<'_, Show> {
    show.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells of long waits while they last, until it's dropped.
#[derive(Debug)]
pub struct Teller {
    over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Teller {
    /// Begins. Without a thread to do it, long waits are told of when they are over.
    pub fn start(show: &Shared, inside: AllInside) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (ends, show) = (Arc::clone(&over), Arc::clone(show));
        let tell = move || {
            while !ends.load(Ordering::Relaxed) {
                thread::park_timeout(LOOK);
                lock(&show).tell_of_long_waits(&inside);
            }
        };
        Self { over, thread: thread::Builder::new().name("teller".to_owned()).spawn(tell).ok() }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}
