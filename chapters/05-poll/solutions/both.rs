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
    // hint: The shape is the chapter's loop: put both into a Vec of `Pipe`. While it isn't empty, make a list
    //   with one `PollFd` for each, `poll` it, write down what it says, let go of it, then do one read for
    //   each pipe that is ready.
    // hint: "Ready" is more than POLLIN. When the command has closed a pipe and nothing is left in it, poll
    //   says POLLHUP, alone; when something is left, POLLIN and POLLHUP together. Take any event as
    //   "read once": a read gives what is left first, and 0 after that, and waits for neither.
    // hint: A read that gives 0 is the end, and nothing else is. Take that pipe out of the Vec: it would
    //   say POLLHUP in each turn, and the loop would never wait again. Words without a line end may be in `begun`.
    // hint: One read isn't one line. It may bring half a line, or three and a half. `split_inclusive` cuts a
    //   piece after each line end; a part without one goes into `begun`, and waits there for the rest.
    // hint: Nearly the answer:
    //       let mut pipes = vec![Pipe::new("out", out), Pipe::new("err", err)];
    //       while !pipes.is_empty() {
    //           let mut list: Vec<_> = … a PollFd for each of `pipes`, with POLLIN …
    //           match poll(&mut list, PollTimeout::NONE) { … EINTR: go on … }
    //           let ready: Vec<bool> = … whether revents() of each is more than nothing …
    //           for (pipe, ready) in pipes.iter_mut().zip(ready) {
    //               … one read; 0: pipe.ended = true; otherwise for part in piece.split_inclusive(…) …
    //           }
    //           pipes.retain(|pipe| !pipe.ended);
    //       }
    let mut pipes = vec![Pipe::new("out", out), Pipe::new("err", err)];
    let mut piece = [0; 4096];
    while !pipes.is_empty() {
        let wanted = |pipe| PollFd::new(pipe, PollFlags::POLLIN);
        let mut list: Vec<_> = pipes.iter().map(|pipe| wanted(pipe.source.as_fd())).collect();
        // waits: until the command writes into one of them, or has closed it
        match poll(&mut list, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            result => result?,
        };
        // Whatever it is: bytes, the end, an error. In each case one read doesn't wait, and tells which.
        let something = |entry: &PollFd<'_>| entry.revents() != Some(PollFlags::empty());
        let ready: Vec<bool> = list.iter().map(something).collect();
        for (pipe, ready) in pipes.iter_mut().zip(ready) {
            if !ready {
                continue;
            }
            let count = match pipe.source.read(&mut piece) {
                // It is still ready, and will be in the next turn.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            };
            for part in piece[..count].split_inclusive(|byte| *byte == b'\n') {
                pipe.begun.extend_from_slice(part);
                if let Some(line) = pipe.begun.strip_suffix(b"\n") {
                    say(pipe.name, line)?;
                    pipe.begun.clear();
                }
            }
            pipe.ended = count == 0;
            if pipe.ended && !pipe.begun.is_empty() {
                say(pipe.name, &pipe.begun)?;
            }
        }
        // One that has ended would say so again in each turn: the loop would never wait.
        pipes.retain(|pipe| !pipe.ended);
    }
    Ok(())
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
