//! A program that is being run for a transcript.

use std::io::{BufRead, BufReader, PipeReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use visitors::family::Family;

/// How long a program may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(3);

/// How often we look whether a program that has closed its output has ended: that is at most a
/// few times, and no event tells it without a thread more.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How much a program may be given to read, in bytes: every pipe has room for that much
/// (pipe(7)), so nobody waits until some of it is read.
const MOST_INPUT: usize = 4096;

/// A program, and what it has said so far.
pub struct Running {
    child: Child,
    /// It, and whoever has taken its place (chapter 13).
    family: Family,
    lines: Receiver<String>,
    said: String,
}

impl Running {
    /// Starts `executable`. Its stdout and stderr are one pipe, so that their lines come in the
    /// order in which a terminal would show them. `input` is all there is on its stdin.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn start(
        executable: &Path,
        arguments: &[String],
        folder: &Path,
        input: &[u8],
    ) -> Result<Running> {
        if input.len() > MOST_INPUT {
            bail!("{} bytes of input don't fit into a pipe for sure", input.len());
        }
        let (stdin, mut its_writer) = std::io::pipe().context("no pipe can be had")?;
        its_writer.write_all(input).context("nothing can be put into a pipe")?;
        drop(its_writer);
        let (reader, writer) = std::io::pipe().context("no pipe can be had")?;
        let mut command = Command::new(executable);
        let family = Family::begin(&mut command);
        let child = command
            .args(arguments)
            .current_dir(folder)
            // As `cargo run` would say it: the tools look for the checkout they work on there.
            .env("CARGO_MANIFEST_DIR", folder)
            // Colors, backtraces and the terminal's width would be in the transcript, as whoever
            // runs this likes them.
            .env("NO_COLOR", "1")
            .env("COLUMNS", "80")
            .env_remove("CLICOLOR_FORCE")
            .env_remove("RUST_BACKTRACE")
            .stdin(stdin)
            .stdout(writer.try_clone().context("no pipe can be had")?)
            .stderr(writer)
            .spawn()
            .with_context(|| format!("{} can't be started", executable.display()))?;
        let (sender, lines) = channel();
        thread::spawn(move || pass_on(reader, &sender));
        Ok(Running { child, family, lines, said: String::new() })
    }

    /// Waits until the program says `listening on ADDRESS`, and returns the address.
    ///
    /// # Errors
    /// If it ends, or the time is over, before it does.
    pub fn listening(&mut self, timeout: Duration) -> Result<String> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.lines.recv_timeout(until(deadline)) {
                Ok(line) => {
                    self.said.push_str(&line);
                    // Where it speaks more than one protocol, which one follows.
                    let said = line.strip_prefix("listening on ");
                    if let Some(address) = said.and_then(|said| said.split_whitespace().next()) {
                        return Ok(address.to_string());
                    }
                }
                Err(_) => bail!(
                    "it didn't start: it never said `listening on …`. It said:\n{}",
                    self.said
                ),
            }
        }
    }

    /// # Errors
    /// If it can't be sent.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).context("it has a process number")?;
        kill(Pid::from_raw(pid), signal).context("it can't be sent a signal")
    }

    /// Takes in lines while `wanted`, which is asked with what was said so far; until the program
    /// has been silent for `silence`, or ends.
    pub fn listen_while(&mut self, silence: Duration, wanted: impl Fn(&str) -> bool) {
        while wanted(&self.said) {
            match self.lines.recv_timeout(silence) {
                Ok(line) => self.said.push_str(&line),
                Err(_) => return,
            }
        }
    }

    /// Waits until the program ends; returns how, and what it said.
    ///
    /// # Errors
    /// If it takes longer than `timeout`.
    pub fn finish(mut self, timeout: Duration) -> Result<(ExitStatus, String)> {
        let deadline = Instant::now() + timeout;
        match self.wait(deadline) {
            Some(status) => Ok((status, std::mem::take(&mut self.said))),
            None => bail!(
                "it isn't done after {} s: if it needs longer, say so with `timeout_seconds`. It said:\n{}",
                timeout.as_secs(),
                self.stop()
            ),
        }
    }

    /// Ends the program, with SIGTERM, or SIGKILL if that doesn't do, and returns what it said.
    pub fn stop(mut self) -> String {
        let ended = matches!(self.child.try_wait(), Ok(Some(_)));
        if ended {
            // Another one may have taken its place.
            self.family.signal(Signal::SIGTERM);
        } else {
            // It fails if the program has ended meanwhile, which is what we want.
            let _ = self.signal(Signal::SIGTERM);
        }
        self.wait(Instant::now() + GRACE);
        std::mem::take(&mut self.said)
        // and if it still runs, `drop` kills it
    }

    /// Takes in all that the program says until it ends.
    fn wait(&mut self, deadline: Instant) -> Option<ExitStatus> {
        // The pipe's end comes when the program ends, and those that it started.
        while let Ok(line) = self.lines.recv_timeout(until(deadline)) {
            self.said.push_str(&line);
        }
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for Running {
    /// No program stays behind, whatever went wrong.
    fn drop(&mut self) {
        self.family.signal(Signal::SIGKILL);
        // Both fail if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// Sends each line of the pipe, until its end or until nobody listens.
fn pass_on(reader: PipeReader, sender: &Sender<String>) {
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        match reader.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let line = String::from_utf8_lossy(&line).into_owned();
                if sender.send(line).is_err() {
                    return;
                }
            }
        }
    }
}
