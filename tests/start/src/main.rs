//! What stands before each tool: `cargo visit` and the others are aliases for this (`.cargo/config.toml`).
//!
//! It has cargo build the tool, and becomes the tool. Cargo alone would do that too, but either says nothing
//! while it compiles (`--quiet`), or chatters before each answer that a tool gives. This says at once what is
//! going on where it takes time, and nothing where it doesn't.
//!
//! It's compiled with a profile of its own: a profile has a folder and a lock of its own, so this is there within
//! a second even while another cargo compiles for minutes.

mod artifact;
mod place;

use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use artifact::Artifact;
use place::Place;

/// What is built within this time needs no words.
const SILENT_FOR: Duration = Duration::from_secs(1);

/// As cargo's own, where something doesn't compile.
const DOES_NOT_COMPILE: u8 = 101;

fn main() -> ExitCode {
    let Some(tool) = Tool::from_arguments(env::args_os().skip(1)) else {
        eprintln!("this is what the aliases in .cargo/config.toml start; try: cargo visit --help");
        return ExitCode::from(2);
    };
    let Some(place) = Place::find() else {
        eprintln!("{}: cargo is to start this, by an alias", tool.name());
        return ExitCode::from(2);
    };
    let built = match tool.build(&place) {
        Ok(built) => built,
        Err(error) => {
            eprintln!("{}: can't run cargo: {error}", tool.name());
            return ExitCode::from(1);
        }
    };
    let Some(artifact) = Artifact::find(&built.messages, &tool.program) else {
        // Cargo has said why.
        return ExitCode::from(built.status.code().map_or(1, |_| DOES_NOT_COMPILE));
    };
    let error = tool.become_it(&artifact, &place);
    eprintln!("{}: can't run {}: {error}", tool.name(), artifact.executable.display());
    ExitCode::from(1)
}

/// A tool, and what it is to be told.
struct Tool {
    program: String,
    arguments: Vec<OsString>,
}

/// What came of building it.
struct Built {
    status: ExitStatus,
    /// A line of JSON for each thing built.
    messages: String,
}

impl Tool {
    /// Understands `PROGRAM ARGUMENTS`, as the aliases say it.
    fn from_arguments(mut arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let program = arguments.next()?.into_string().ok()?;
        Some(Self { program, arguments: arguments.collect() })
    }

    /// As the reader types it.
    fn name(&self) -> String {
        format!("cargo {}", self.program)
    }

    /// Has cargo build it. At the first time all that cargo says is shown, later only what takes its time.
    fn build(&self, place: &Place) -> io::Result<Built> {
        let mut command = Command::new(cargo());
        command.args(["build", "--message-format=json-render-diagnostics"]);
        // Without its package's name, cargo compiles what it needs with the features that any package here wants: just
        // what `cargo test` wants too, so that nothing is compiled twice.
        command.args(["--bin", &self.program]);
        command.arg("--manifest-path").arg(place.root.join("Cargo.toml"));
        if let Some(folder) = &place.of_our_own {
            command.arg("--target-dir").arg(folder);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        if place.has(&self.program) {
            // Through a pipe cargo would leave out the colors.
            let color = if io::stderr().is_terminal() { "always" } else { "never" };
            if env::var_os("CARGO_TERM_COLOR").is_none() {
                command.env("CARGO_TERM_COLOR", color);
            }
            let mut child = command.stderr(Stdio::piped()).spawn()?;
            let words = Words::hold_back(&mut child);
            let built = Built::wait_for(child)?;
            words.end(built.status.success());
            Ok(built)
        } else {
            eprintln!(
                "compiling `{}` and what it needs: a minute or two the first time, none later",
                self.name()
            );
            Built::wait_for(command.spawn()?)
        }
    }

    /// Becomes the tool, in the surroundings that `cargo run` would give it. Returns only if that fails.
    fn become_it(&self, artifact: &Artifact, place: &Place) -> io::Error {
        let mut command = Command::new(&artifact.executable);
        command.args(&self.arguments);
        // By this a tool finds the copy of the repository in which it's called.
        command.env("CARGO_MANIFEST_DIR", &artifact.package);
        command.env("CARGO", cargo());
        if let Some(folder) = &place.of_our_own {
            // What the tool has cargo build belongs there, too.
            command.env("CARGO_TARGET_DIR", folder);
        }
        command.exec()
    }
}

impl Built {
    fn wait_for(mut child: Child) -> io::Result<Self> {
        let mut messages = String::new();
        if let Some(stdout) = &mut child.stdout {
            stdout.read_to_string(&mut messages)?;
        }
        Ok(Self { status: child.wait()?, messages })
    }
}

/// What cargo says on stderr, held back until it's known whether that is worth anybody's attention.
struct Words {
    held: Arc<Mutex<Held>>,
    reader: Option<thread::JoinHandle<()>>,
}

/// The words so far; `None` once they are shown as they come.
type Held = Option<Vec<u8>>;

impl Words {
    fn hold_back(child: &mut Child) -> Self {
        let held = Arc::new(Mutex::new(Some(Vec::new())));
        let reader = child.stderr.take().map(|stderr| {
            let held = Arc::clone(&held);
            thread::spawn(move || read(BufReader::new(stderr), &held))
        });
        let later = Arc::clone(&held);
        thread::spawn(move || {
            thread::sleep(SILENT_FOR);
            release(&later);
        });
        Self { held, reader }
    }

    /// When cargo has ended. If it failed, all that it said is shown.
    fn end(self, well: bool) {
        if let Some(reader) = self.reader {
            // It doesn't panic; if it did, cargo's words would be all that is lost.
            let _ = reader.join();
        }
        if !well {
            release(&self.held);
        }
    }
}

fn read(mut stderr: impl BufRead, held: &Mutex<Held>) {
    let mut line = Vec::new();
    while matches!(stderr.read_until(b'\n', &mut line), Ok(1..)) {
        // That it's done is seen by what the tool says.
        let text = String::from_utf8_lossy(&line);
        let done = text.contains("Finished") && text.contains(" profile ");
        match &mut *held.lock().unwrap_or_else(PoisonError::into_inner) {
            _ if done => {}
            Some(held) => held.extend_from_slice(&line),
            None => show(&line),
        }
        line.clear();
    }
}

fn release(held: &Mutex<Held>) {
    let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
    show(&held.take().unwrap_or_default());
}

fn show(words: &[u8]) {
    // With nobody to read it, there is nobody to tell of that either.
    let _ = io::stderr().write_all(words);
}

/// The cargo that runs us, so that a chosen toolchain stays chosen.
fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
