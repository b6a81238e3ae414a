//! The command line: what is asked for, and what becomes of it.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::about;
use crate::agreement;
use crate::measure::contestant::{self, Contestant, Place};
use crate::measure::round::Course;
use crate::measure::started::{Cores, stay_on};
use crate::measure::{canned, rounds};
use crate::result::{Pace, Race};
use crate::{pictures, table};
use visitors::{chapters, files, printing, tell, warn};

const NAME: &str = "cargo race";
/// Descriptors that this process needs besides its visitors': its files, pipes, and some air.
const OTHERS: u64 = 100;
/// As a shell says it of a program that Ctrl-C has ended: 128 and the signal's number.
const INTERRUPTED: u8 = 130;

/// Measures servers side by side: each with a growing crowd of silent visitors, while others ask.
#[derive(Debug, Parser)]
#[command(name = "cargo race", bin_name = "cargo race")]
struct Arguments {
    /// Chapters, by number or name, or addresses [without it: chapters 2 to 9, and 11]
    #[arg(value_name = "SERVER")]
    servers: Vec<String>,

    /// Sizes of the crowd
    #[arg(
        long,
        value_name = "N,…",
        value_delimiter = ',',
        default_value = "0,10,100,1000,5000,10000"
    )]
    crowd: Vec<usize>,

    /// How many requests are due each second
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,

    /// How often each server runs
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,

    /// How long it's asked at each size of the crowd, in ms
    #[arg(long, value_name = "MS", default_value_t = 160, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    window: u64,

    /// How long it's asked as fast as it answers, in ms; 0: it isn't
    #[arg(long, value_name = "MS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=600_000))]
    rush: u64,

    /// The other way to measure: each visitor asks again when the last answer is there, and the time counts from
    /// sending. See the book's page on what that hides
    #[arg(long)]
    closed: bool,

    /// How many ask at once, with --closed
    #[arg(long, value_name = "N", default_value_t = 1, requires = "closed", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    at_once: u32,

    /// With --closed, ask as fast as answers come, at no rate
    #[arg(long, requires = "closed", conflicts_with = "rate")]
    no_rate: bool,

    /// Visitors ask again on the same connection, where the server lets them
    #[arg(long)]
    stay: bool,

    /// A silent visitor is there for the middle third of each window
    #[arg(long)]
    silent: bool,

    /// What is asked for
    #[arg(long, value_name = "PATH", default_value = "/", value_parser = target)]
    target: String,

    /// Have nginx and python3's http.server run, too, where they are installed
    #[arg(long)]
    peers: bool,

    /// Write all that was measured into a file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Measure nothing: show what was written into this file. Of several files, say whether they agree
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["servers", "peers", "json"])]
    from: Vec<PathBuf>,

    /// Draw the curves into this folder, as SVG
    #[arg(long, value_name = "FOLDER")]
    svg: Option<PathBuf>,

    /// Nothing is compiled for speed: programs run as `cargo run` has them. It's quicker to begin, and measures
    /// something else
    #[arg(long)]
    unoptimized: bool,

    /// What the load is measured with
    #[arg(long, hide = true)]
    canned: bool,
}

/// Does what the command line says.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.canned {
        return match canned::serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("the canned server: {error}")),
        };
    }
    match race(&arguments) {
        Ok(status) => printing::exit(NAME, status),
        Err(error) => fail(&error),
    }
}

fn fail(why: &str) -> ExitCode {
    warn!("{NAME}: {why}");
    ExitCode::from(1)
}

fn race(arguments: &Arguments) -> Result<u8, String> {
    if let [_, _, ..] = arguments.from[..] {
        if arguments.svg.is_some() {
            return Err("--svg draws one race: give one file".to_owned());
        }
        let name = |path: &PathBuf| path.display().to_string();
        let races: Result<Vec<(String, Race)>, String> =
            arguments.from.iter().map(|path| Ok((name(path), read(path)?))).collect();
        tell!("{}", agreement::print(&races?).trim_end());
        return Ok(0);
    }
    // Before anything takes its time.
    if let Some(folder) = &arguments.svg {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let race = match arguments.from.first() {
        Some(path) => read(path)?,
        None => measure(arguments)?,
    };
    tell!("{}", table::print(&race).trim_end());
    if let Some(path) = &arguments.json {
        let json = serde_json::to_string_pretty(&race).map_err(|error| error.to_string())?;
        write(path, &(json + "\n"))?;
    }
    if let Some(folder) = &arguments.svg {
        for (name, svg) in pictures::all(&race) {
            write(&folder.join(format!("{name}.svg")), &svg)?;
        }
    }
    let was_interrupted = race.cut_short && arguments.from.is_empty();
    Ok(if was_interrupted { INTERRUPTED } else { 0 })
}

fn measure(arguments: &Arguments) -> Result<Race, String> {
    let root = chapters::checkout()?;
    let contestants = contestant::all(&root, &arguments.servers, arguments.peers)?;
    make_room(arguments)?;
    if let Some(path) = &arguments.json {
        write(path, "")?;
    }
    let built = build(&root, &contestants, arguments.unoptimized)?;
    let course = course(arguments);
    if let Some(cores) = course.cores {
        stay_on(cores.load).map_err(|error| format!("can't stay on one core: {error}"))?;
    }
    let ends = Arc::clone(&course.ends);
    ctrlc::set_handler(move || ends.store(true, Ordering::Relaxed))
        .map_err(|error| format!("can't hear signals: {error}"))?;

    let rounds = arguments.rounds as usize;
    let seconds = course.estimate(contestants.len(), rounds).as_secs();
    warn!(
        "{}, {}: about {}:{:02} minutes",
        about::counted(contestants.len(), "server"),
        about::counted(rounds, "round"),
        seconds / 60,
        seconds % 60
    );
    Ok(rounds::run(&contestants, &built, &course, rounds))
}

fn read(path: &Path) -> Result<Race, String> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    Race::read(&text).map_err(|error| format!("{shown}: {error:#}"))
}

fn course(arguments: &Arguments) -> Course {
    let mut crowds = arguments.crowd.clone();
    crowds.sort_unstable();
    crowds.dedup();
    let (rate, at_once) = (arguments.rate, arguments.at_once as usize);
    Course {
        crowds,
        pace: match arguments.closed {
            false => Pace::Open { a_second: rate },
            true => Pace::Closed { at_once, a_second: (!arguments.no_rate).then_some(rate) },
        },
        window: Duration::from_millis(arguments.window),
        rush: Duration::from_millis(arguments.rush),
        stays: arguments.stay,
        target: arguments.target.clone(),
        meanwhile: arguments.silent,
        counts: true,
        ends: Arc::default(),
        cores: Cores::of_this_machine(),
    }
}

/// Builds the servers, and this program with them; and becomes the one that was built, if that's another one.
fn build(
    root: &Path,
    contestants: &[Contestant],
    unoptimized: bool,
) -> Result<HashMap<String, PathBuf>, String> {
    let chapters = contestants.iter().filter_map(|one| match &one.place {
        Place::Chapter(chapter) => Some(chapter),
        _ => None,
    });
    let mut programs: Vec<(String, String)> =
        chapters.map(|chapter| (chapter.package(), chapter.server())).collect();
    programs.sort();
    programs.dedup();
    let profile = if unoptimized { "dev" } else { "release" };
    if !unoptimized {
        programs.push(("race".to_owned(), "race".to_owned()));
        // The one that was built says nothing: all is built.
        if cfg!(debug_assertions) {
            warn!("compiling for speed what isn't yet: some minutes the first time");
        }
    }
    let paths = chapters::build_programs(root, profile, &programs)?;
    let mut built: HashMap<String, PathBuf> =
        programs.into_iter().map(|(_, program)| program).zip(paths).collect();
    if let Some(race) = built.remove("race")
        && cfg!(debug_assertions)
    {
        let error = Command::new(race).args(env::args_os().skip(1)).exec();
        return Err(format!("can't become the one that was built: {error}"));
    }
    Ok(built)
}

/// For the crowd and for those who wait for an answer; and for the crowd in each server, which inherits the limit.
fn make_room(arguments: &Arguments) -> Result<(), String> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| error.to_string())?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(|error| error.to_string())?;
    let crowd = arguments.crowd.iter().max().copied().unwrap_or(0) as u64;
    // Where nobody is answered, each who asks stays.
    let asking = u64::from(arguments.rate).saturating_mul(arguments.window) / 1000;
    let others = asking.max(arguments.at_once.into()).saturating_add(OTHERS);
    let wanted = crowd.saturating_add(others);
    if wanted > most {
        return Err(format!(
            "a crowd of {crowd}, and those who ask, take {wanted} descriptors, and this process may have {most} \
             (ulimit -Hn): try --crowd 0,{}",
            most.saturating_sub(others)
        ));
    }
    Ok(())
}

/// What may stand in a request line (RFC 9112, section 3.2.1).
fn target(text: &str) -> Result<String, String> {
    if text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err("it begins with a slash, and has no blanks: such as /hello".to_owned())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    files::write(path, text).map_err(|error: io::Error| format!("{}: {error}", path.display()))
}
