//! Exercise 05-both: hear two pipes at once.
//!
//! A command has two ways to speak: stdout and stderr, a pipe each. This program runs a command, puts
//! `out: ` or `err: ` before each line that it writes, passes the line on as soon as it is whole, and
//! ends with the command's status. Whoever reads one pipe to its end first hears the other too late,
//! or never: a pipe holds 64 KiB, and a command that has filled the one that nobody reads waits for
//! ever. `poll` isn't for sockets alone.
//!
//! Run it:      cargo run -p ex05-poll --bin ex05-both -- sh -c 'echo one; echo two >&2; sleep 2; echo three'
//! Be graded:   cargo grade 5

// Until you have written your part, much is unused here. Take these lines out when you have.
#![allow(clippy::ptr_arg, dead_code, unreachable_code)]
#![allow(unused_imports, unused_mut, unused_variables)]

use std::io::{self, ErrorKind, PipeReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio, exit};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// One of the command's two pipes, at the end from which we read.
struct Pipe {
    /// What its lines begin with: `out` or `err`.
    name: &'static str,
    source: PipeReader,
    /// What has come of a line that isn't whole yet. (Without a limit: a command is one that you have
    /// chosen yourself. A visitor wouldn't be trusted with our memory like that.)
    begun: Vec<u8>,
    /// Whether nothing will ever come again.
    ended: bool,
}

impl Pipe {
    fn new(name: &'static str, source: PipeReader) -> Self {
        Self { name, source, begun: Vec::new(), ended: false }
    }
}

/// Passes on, line by line with [`say`], what comes out of both pipes, until both have ended. A line is
/// passed on as soon as its `\n` has come, and what is left at a pipe's end is a line too.
///
/// # Errors
/// What `poll`, reading and `say` give, save `EINTR`: a signal changes nothing.
fn hear_both(out: PipeReader, err: PipeReader) -> io::Result<()> {
    // your turn: wait for both pipes at once, pass on whole lines, leave out of the list who has ended
    todo!("wait for both pipes at once, pass on whole lines, leave out of the list who has ended")
    // end
}

/// Writes `NAME: LINE` and a line end on our own stdout, at once. `line` comes without a line end, and
/// needn't be text.
///
/// # Errors
/// When whoever reads our stdout is gone.
fn say(name: &str, line: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let whole = [name.as_bytes(), b": ", line, b"\n"].concat();
    stdout.write_all(&whole)?; // waits: until whoever reads our stdout has made room
    stdout.flush()
}

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let Some(name) = arguments.next() else {
        complain(2, "give a COMMAND, and its ARGUMENTs");
    };
    let mut command = Command::new(&name);
    command.args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        // The status that shells give for this.
        Err(error) => complain(127, &format!("can't run {}: {error}", name.display())),
    };
    if let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) {
        let (out, err) = (OwnedFd::from(out), OwnedFd::from(err));
        if let Err(error) = hear_both(out.into(), err.into()) {
            complain(1, &format!("can't go on: {error}"));
        }
    }
    // waits: until the command has ended, which is most often when it closes its pipes
    match child.wait() {
        Ok(status) => exit(status_of(status)),
        Err(error) => complain(1, &format!("can't tell how it ended: {error}")),
    }
}

/// The command's status, or, where a signal ended it, 128 and the signal's number, as shells say it.
fn status_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

fn complain(status: i32, message: &str) -> ! {
    let _ = writeln!(io::stderr(), "ex05-both: {message}");
    exit(status)
}
