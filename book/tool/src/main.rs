//! `cargo book`: builds the book, serves it, checks it, and records its transcripts.
//!
//! The work is done in the library beside this file; its first page is a map.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use book::repo::Repo;
use book::transcripts::{self, Mode};
use book::{build, check, curves, serve, timelines};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use visitors::{printing, tell, warn};

/// Build The Waiting Game's book, and serve it with the server that the book ends with.
///
/// At each change it's built again, and the page that you have open shows it. Ctrl-C ends it.
#[derive(Parser)]
#[command(bin_name = "cargo book")]
struct Arguments {
    /// Open the book in your browser
    #[arg(long)]
    open: bool,

    /// Where to serve it; if the port is taken, at the next free one
    #[arg(long, value_name = "ADDRESS", default_value_t = USUAL)]
    address: SocketAddr,

    /// The same, on this machine alone; port 0 means any that is free
    #[arg(long, value_name = "PORT", conflicts_with = "address")]
    port: Option<u16>,

    /// Work on another copy of this repository [default: the one that it's called in]
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,

    #[command(subcommand)]
    job: Option<Job>,
}

/// One below the chapters' servers, which have 7000 and their number.
const USUAL: SocketAddr = on_this_machine(7000);

const fn on_this_machine(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

#[derive(Subcommand)]
enum Job {
    /// Build the book and say where it lies: that, and nothing else
    Build,
    /// Look for every fault that a reader would stumble over: one line each, with page and line
    Check,
    /// Draw tables of figures that were measured, and races, as curves
    #[command(alias = "curve")]
    Curves {
        /// Only these, such as 08-turns or race-latency [default: all]
        names: Vec<String>,
    },
    /// Run programs under the lens, each chapter's among them, and draw their timelines anew (Linux)
    Pictures {
        /// Only these, such as 02-blocking-server [default: all]
        names: Vec<String>,
    },
    /// Run the commands whose output the book shows, and record that output anew
    Transcripts {
        /// Change nothing: fail if a command says something else than the book does
        #[arg(long)]
        check: bool,
        /// Only these, by their file's name, such as 02-quick [default: all]
        names: Vec<String>,
    },
}

fn main() -> ExitCode {
    let status = match run(arguments()) {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => {
            warn!("error: {error:#}");
            1
        }
    };
    printing::exit("cargo book", status)
}

/// What the command line says. `--root` is for all jobs; the other options are for serving alone.
fn arguments() -> Arguments {
    let matches = Arguments::command().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let given = |option: &&&str| matches.value_source(option) == Some(ValueSource::CommandLine);
    if let (Some(job), Some(option)) =
        (matches.subcommand_name(), ["open", "address", "port"].iter().find(given))
    {
        let message = format!("--{option} is for serving the book: {job} doesn't serve it");
        Arguments::command().error(ErrorKind::ArgumentConflict, message).exit();
    }
    arguments
}

/// Does what is asked. `Ok(false)`: there are faults, and they have been told.
fn run(arguments: Arguments) -> Result<bool> {
    let repo = match &arguments.root {
        Some(root) => Repo::at(root),
        None => Repo::this()?,
    };
    match arguments.job {
        None => {
            let address = arguments.port.map_or(arguments.address, on_this_machine);
            serve::serve(&repo, address, arguments.open).map(|()| true)
        }
        Some(Job::Build) => build_the_book(&repo),
        Some(Job::Check) => check_the_book(&repo),
        Some(Job::Curves { names }) => draw_the_curves(&repo, &names),
        Some(Job::Pictures { names }) => draw_the_timelines(&repo, &names),
        Some(Job::Transcripts { check, names }) => play_the_transcripts(&repo, check, &names),
    }
}

fn build_the_book(repo: &Repo) -> Result<bool> {
    let index = build::build(repo)?;
    tell!("the book lies at {}", index.display());
    Ok(true)
}

fn check_the_book(repo: &Repo) -> Result<bool> {
    let report = check::check(repo)?;
    for fault in &report.faults {
        tell!("{fault}");
    }
    tell!("{}", report.summary());
    Ok(report.faults.is_empty())
}

fn draw_the_curves(repo: &Repo, names: &[String]) -> Result<bool> {
    let drawn = curves::draw(repo, names)?;
    for picture in &drawn.pictures {
        tell!("drawn: {}", repo.shown(picture));
    }
    for missing in &drawn.missing {
        tell!("not drawn: {missing}");
    }
    Ok(true)
}

fn draw_the_timelines(repo: &Repo, names: &[String]) -> Result<bool> {
    for drawn in timelines::draw(repo, names)? {
        tell!("drawn: {}", drawn.files.map(|file| repo.shown(&file)).join(", "));
    }
    Ok(true)
}

fn play_the_transcripts(repo: &Repo, check: bool, names: &[String]) -> Result<bool> {
    let mode = if check { Mode::Compare } else { Mode::Record };
    let outcomes = transcripts::all(repo, mode, names)?;
    for outcome in &outcomes {
        tell!("{outcome}");
    }
    Ok(outcomes.iter().all(transcripts::Outcome::is_well))
}
