//! `cargo lens`: runs a program, and shows where it waits.
//!
//! `main` reads the command line. `alone` runs any program; `visited` runs a chapter's, with the
//! visitors calling, and `protocols` has those who don't speak HTTP, `succession` what there is to see where one
//! program replaces another; `show` is what both do with what the tracer sees.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod alone;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod protocols;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod show;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod signals;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod succession;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod visited;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use visitors::play::{LIMIT, LONGEST};
use visitors::{printing, warn};

/// What it costs, as measured last: the same lines that the book shows.
const COST: &str = include_str!("../../../book/figures/lens-cost.txt");

const AFTER_HELP: &str = "  cargo lens 2                          chapter 2's program in the book's half-second\n  \
  cargo lens 2 --visitors silent,quick  these call on it, in this order\n  \
  cargo lens -- sleep 1                 any program; its exit status is passed on\n\n\
A line is printed for each call that waited, when it's over, and for each that has been waiting\n\
for a while. A program under the lens stops twice at each call that can wait, at each close, and at\n\
each epoll_ctl:";

/// Runs a program and shows each system call in which it waits.
#[derive(Debug, Parser)]
#[command(name = "cargo lens", bin_name = "cargo lens")]
struct Arguments {
    /// A chapter, by number or name: its program is run with the visitors calling
    #[arg(value_name = "CHAPTER")]
    chapter: Option<String>,

    /// Who calls on the chapter's program, in this order, as `cargo visit` names them; for chapter 1,
    /// which host it calls on. Without it: the book's half-second
    #[arg(long, value_name = "WHO,…", value_delimiter = ',', requires = "chapter")]
    visitors: Vec<String>,

    /// How long the visitors stay at the most
    #[arg(long, value_name = "N", default_value_t = LIMIT.as_secs(), requires = "visitors",
        value_parser = clap::value_parser!(u64).range(1..=LONGEST.as_secs()))]
    seconds: u64,

    /// Show the calls that didn't wait as well
    #[arg(long)]
    all: bool,

    /// Print no line for each call, only the summary
    #[arg(long, conflicts_with = "all")]
    quiet: bool,

    /// Write down each call, as JSON Lines: an object a line
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Draw a timeline
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Run nothing: draw the timeline of a run that --json wrote down
    #[arg(long, value_name = "FILE", requires = "svg", conflicts_with_all = ["chapter", "command"])]
    draw: Option<PathBuf>,

    /// With --draw: only the moment in which one program takes over from another (chapter 13). With --json, that
    /// part of the run is written down as well
    #[arg(long, requires = "draw")]
    hand_over: bool,

    /// Stop the program at every call, not only at those that can wait: for kernels that can't filter.
    /// The same calls are shown
    #[arg(long)]
    every_call: bool,

    /// Lie to the program: whenever its select, poll or epoll_wait reports somebody, all whom it asked
    /// about seem to be ready. Readiness is a hint, and this shows who takes it for a promise
    #[arg(long)]
    lie: bool,

    /// Any program, and its arguments; or, after a CHAPTER, what its program is told besides its address
    #[arg(last = true, value_name = "PROGRAM ARGS")]
    command: Vec<OsString>,
}

/// How a program is looked at.
#[cfg_attr(not(all(target_os = "linux", target_env = "gnu")), expect(dead_code))]
#[derive(Clone, Copy, Debug)]
struct Way {
    /// A filter in the kernel stops it only at the calls that are looked for.
    filtered: bool,
    /// `select`, `poll` and `epoll_wait` lie to it.
    lies: bool,
}

/// Why there is nothing to show, and the exit status that says so.
#[derive(Debug)]
struct Failed(u8, String);

const FAILURE: u8 = 1;
const BAD_USAGE: u8 = 2;

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    lens::launch::become_if_told();

    use clap::{CommandFactory, FromArgMatches};
    let help = format!("{AFTER_HELP}\n\n{COST}");
    let matches = Arguments::command().after_help(help).get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let status = run(&arguments).unwrap_or_else(|Failed(status, reason)| {
        warn!("cargo lens: {reason}");
        status
    });
    printing::exit("cargo lens", status)
}

fn run(arguments: &Arguments) -> Result<u8, Failed> {
    if let (Some(run), Some(picture)) = (&arguments.draw, &arguments.svg) {
        return draw(run, picture, arguments);
    }
    if arguments.chapter.is_none() && arguments.command.is_empty() {
        let reason = "what shall it look at? A chapter's program: cargo lens 2. Or any: cargo lens -- sleep 1";
        return Err(Failed(BAD_USAGE, reason.to_owned()));
    }
    look(arguments)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn look(arguments: &Arguments) -> Result<u8, Failed> {
    if arguments.lie && !lens::memory::CAN_CHANGE_RESULTS {
        warn!(
            "cargo lens: on this kind of processor only select and poll can lie, and epoll_wait tells the truth"
        );
    }
    match &arguments.chapter {
        Some(chapter) => visited::run(chapter, arguments),
        None => alone::run(arguments),
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn look(_: &Arguments) -> Result<u8, Failed> {
    Err(Failed(BAD_USAGE, lens::Blind::NotLinux.to_string()))
}

/// Draws a run that was written down.
fn draw(run: &Path, picture: &Path, arguments: &Arguments) -> Result<u8, Failed> {
    let text = std::fs::read_to_string(run)
        .map_err(|error| Failed(BAD_USAGE, format!("can't read {}: {error}", run.display())))?;
    let lines = lens::record::read(&text)
        .map_err(|reason| Failed(BAD_USAGE, format!("{}: {reason}", run.display())))?;
    let lines = match arguments.hand_over {
        true => lens::record::hand_over(&lines).ok_or_else(|| {
            Failed(BAD_USAGE, format!("{}: nobody takes over in it", run.display()))
        })?,
        false => lines,
    };
    let cant_write =
        |file: &Path, error| Failed(FAILURE, format!("can't write {}: {error}", file.display()));
    if let Some(json) = &arguments.json {
        let mut written = Vec::new();
        lines
            .iter()
            .try_for_each(|line| line.write(&mut written))
            .and_then(|()| std::fs::write(json, &written))
            .map_err(|error| cant_write(json, error))?;
    }
    let drawn = lens::picture::svg(&lines, &lens::picture::id_of(picture));
    std::fs::write(picture, drawn).map_err(|error| cant_write(picture, error))?;
    Ok(0)
}

impl Arguments {
    #[cfg_attr(not(all(target_os = "linux", target_env = "gnu")), expect(dead_code))]
    fn limit(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}
