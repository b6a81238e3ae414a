//! `cargo grade`: runs a chapter's checks on what the learner wrote, and keeps score.

mod authors;
mod exercises;
mod explain;
mod score;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use grader::course::Course;
use visitors::{chapters, printing, warn};

/// Grades the book's exercises.
#[derive(Parser)]
#[command(name = "cargo grade", bin_name = "cargo grade", args_conflicts_with_subcommands = true)]
struct Arguments {
    /// A chapter (2, 02-blocking-server), `race`, or an exercise (02-pieces, pieces). All, if not given
    #[arg(value_name = "CHAPTER|EXERCISE")]
    what: Option<String>,
    /// Grade again whenever an exercise is saved, until Ctrl-C
    #[arg(long)]
    watch: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Show one more hint for an exercise, from gentle to nearly the answer
    Hint {
        /// Such as 02-pieces
        exercise: String,
        /// Show those read so far, and no more
        #[arg(long)]
        again: bool,
    },
    /// Begin an exercise anew; what you wrote is kept beside it
    Reset {
        /// Such as 02-pieces
        exercise: String,
    },
    /// For authors: write every starter anew from its worked answer
    Starters {
        /// Write nothing; say which differ, and fail if any does
        #[arg(long)]
        check: bool,
    },
    /// For authors: grade every wrong answer wholly, and write down what the checks saw of each
    Wrong {
        /// A chapter, an exercise, or EXERCISE:NAME for one wrong answer in detail. All, if not given
        #[arg(value_name = "CHAPTER|EXERCISE|EXERCISE:NAME")]
        what: Option<String>,
    },
    /// For authors: try wrong answers that nothing is known of, and say what whoever wrote one would be told
    Try {
        /// Like wrong.toml; `exercise`, `name` and `edit` are enough
        file: PathBuf,
    },
    /// For authors: change worked answers mechanically, and say which changes no check sees
    Mutants {
        /// A chapter or an exercise. All, if not given
        #[arg(value_name = "CHAPTER|EXERCISE")]
        what: Option<String>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let status = match run(&arguments) {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(Trouble::Usage(message)) => {
            warn!("cargo grade: {message}");
            2
        }
        Err(Trouble::Other(message)) => {
            warn!("cargo grade: {message}");
            1
        }
    };
    printing::exit("cargo grade", status)
}

/// Why something couldn't be done.
enum Trouble {
    /// It was asked for in a way that makes no sense.
    Usage(String),
    /// Anything else.
    Other(String),
}

impl From<String> for Trouble {
    fn from(message: String) -> Self {
        Self::Other(message)
    }
}

/// Does what is asked. `Ok(false)`: not everything that was asked for passed.
fn run(arguments: &Arguments) -> Result<bool, Trouble> {
    let course = Course::read(&chapters::checkout()?)?;
    match &arguments.command {
        Some(Command::Hint { exercise, again }) => {
            let exercise = course.exercise(exercise).map_err(Trouble::Usage)?;
            exercises::hint(&course, exercise, *again)?;
        }
        Some(Command::Reset { exercise }) => {
            let exercise = course.exercise(exercise).map_err(Trouble::Usage)?;
            exercises::reset(&course, exercise)?;
        }
        Some(Command::Starters { check: true }) => return Ok(exercises::check_starters(&course)?),
        Some(Command::Starters { check: false }) => exercises::write_starters(&course)?,
        Some(Command::Wrong { what }) => return Ok(authors::wrong(&course, what.as_deref())?),
        Some(Command::Try { file }) => return Ok(authors::try_file(&course, file)?),
        Some(Command::Mutants { what }) => return Ok(authors::mutants(&course, what.as_deref())?),
        None => {
            let what = arguments.what.as_deref();
            let asked = score::Asked::parse(&course, what).map_err(Trouble::Usage)?;
            if arguments.watch {
                watch::watch(&course, &asked)?;
            } else {
                return Ok(score::grade(&course, &asked)?);
            }
        }
    }
    Ok(true)
}
