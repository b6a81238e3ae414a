//! How the tools print. Nobody may be there to read it any more (`| head`, a terminal that was closed), or
//! there is no room for it (a full disk): that ends no work half-way. What was lost is asked for at the end.
//!
//! [`tell!`](crate::tell) prints a line on stdout, [`warn!`](crate::warn) one on stderr. They take what `println!` takes, and
//! leave out colors where there is no terminal to show them.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

/// Why stdout took something no more: the first reason.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Prints a line on stdout, as `println!` does, but doesn't panic where that can't be done.
#[macro_export]
macro_rules! tell {
    ($($words:tt)*) => { $crate::printing::line_on_stdout(format_args!($($words)*)) };
}

/// Prints a line on stderr, as `eprintln!` does, but doesn't panic where that can't be done.
#[macro_export]
macro_rules! warn {
    ($($words:tt)*) => { $crate::printing::line_on_stderr(format_args!($($words)*)) };
}

/// See [`tell!`](crate::tell).
pub fn line_on_stdout(words: fmt::Arguments<'_>) {
    let mut stdout = anstream::stdout().lock();
    note(writeln!(stdout, "{words}").and_then(|()| stdout.flush()));
}

/// See [`warn!`](crate::warn).
pub fn line_on_stderr(words: fmt::Arguments<'_>) {
    // There is no other place to say that this failed.
    let _ = writeln!(anstream::stderr().lock(), "{words}");
}

/// Takes note of whether something could be written to stdout.
pub fn note(written: io::Result<()>) {
    if let Err(error) = written {
        // The first reason is kept: those after it follow from it.
        let _ = LOST.set(error);
    }
}

/// Whether nobody reads stdout any more: for whoever goes on only for its reader's sake.
pub fn nobody_reads() -> bool {
    LOST.get().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The exit status of the program called `name`, which is `status` if all that it printed could be written. A
/// reader who has left had enough: that's no failure. Anything else is one, and is said.
pub fn exit(name: &str, status: u8) -> ExitCode {
    match LOST.get() {
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            warn!("{name}: not all could be printed: {error}");
            ExitCode::from(status.max(1))
        }
        _ => ExitCode::from(status),
    }
}
