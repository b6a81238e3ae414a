//! `cargo proof`: runs all tests that plain `cargo test` leaves out, and says at its end what was skipped and why.
//!
//! [`targets`] finds them: they are the test targets that say `test = false`, so that nobody has to keep a list.
//! [`run`] has cargo build them, runs one after the other, and counts.

mod run;
mod targets;

use std::process::ExitCode;

use clap::Parser;

/// Runs the proof: all tests that plain `cargo test` leaves out.
#[derive(Parser)]
#[command(bin_name = "cargo proof")]
struct Arguments {
    /// Only these: a test program (strace), all of a package's (lens), or one of a package's (lens/strace) [default: all]
    names: Vec<String>,
    /// Only say which test programs there are
    #[arg(long)]
    list: bool,
    /// For each test program: the tests that are meant, --nocapture, …
    #[arg(last = true)]
    rest: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match prove(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(Trouble::Usage(message)) => {
            eprintln!("cargo proof: {message}");
            ExitCode::from(2)
        }
        Err(Trouble::Other(message)) => {
            eprintln!("cargo proof: {message}");
            ExitCode::from(1)
        }
    }
}

/// Why nothing could be proved.
enum Trouble {
    /// It was asked for in a way that makes no sense.
    Usage(String),
    /// Anything else.
    Other(String),
}

fn prove(arguments: &Arguments) -> Result<bool, Trouble> {
    let all = targets::all().map_err(Trouble::Other)?;
    let targets = targets::chosen(&all, &arguments.names).map_err(Trouble::Usage)?;
    if arguments.list {
        for target in targets {
            println!("{}", target.name());
        }
        return Ok(true);
    }
    let programs = run::build(&targets).map_err(Trouble::Other)?;
    let sum = run::run(&programs, &arguments.rest).map_err(Trouble::Other)?;
    println!("\n{sum}");
    Ok(sum.is_well())
}
