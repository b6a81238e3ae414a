//! Has cargo build what is graded, and reads what it says about it.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// After this long a build is announced, so that nobody wonders whether anything happens.
const SILENT_FOR: Duration = Duration::from_millis(1500);

/// What a build brought.
#[derive(Debug, Default)]
pub struct Built {
    /// Programs and test programs by target name.
    pub executables: BTreeMap<String, PathBuf>,
    /// The compiler's words on each target that it couldn't compile.
    pub errors: BTreeMap<String, String>,
    /// What cargo itself said.
    pub said: String,
    /// True when all that was asked for was built.
    pub complete: bool,
}

/// Runs `cargo build` in `folder` with `arguments`. What doesn't compile keeps nothing else from being built.
///
/// # Errors
/// When cargo can't be run.
pub fn build(folder: &Path, arguments: &[String]) -> io::Result<Built> {
    let colors = match io::stderr().is_terminal() {
        true => "--message-format=json-diagnostic-rendered-ansi",
        false => "--message-format=json",
    };
    // `cargo` as found by the one that runs us, so that a chosen toolchain stays chosen.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut child = Command::new(cargo)
        .current_dir(folder)
        .args(["build", "--keep-going", colors])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;

    let (finished, waiting) = mpsc::channel::<()>();
    let announcer = thread::spawn(move || {
        if waiting.recv_timeout(SILENT_FOR) == Err(mpsc::RecvTimeoutError::Timeout) {
            visitors::warn!("compiling; the first time takes a while …");
        }
    });
    let mut stderr = child.stderr.take();
    let said = thread::spawn(move || {
        let mut said = String::new();
        if let Some(stderr) = &mut stderr {
            // What isn't text is no message of cargo's.
            let _ = stderr.read_to_string(&mut said);
        }
        said
    });
    let mut messages = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut messages)?;
    }
    let status = child.wait()?;
    drop(finished);
    // Neither thread panics; if one did, its words would be all that is missing.
    let _ = announcer.join();
    let said = said.join().unwrap_or_default();

    let mut built = Built { said, complete: status.success(), ..Built::default() };
    for line in messages.lines() {
        if let Ok(message) = serde_json::from_str(line) {
            built.take(&message);
        }
    }
    Ok(built)
}

impl Built {
    /// Takes note of one of cargo's messages (The Cargo Book, "External tools").
    fn take(&mut self, message: &Value) {
        let Some(target) = message["target"]["name"].as_str() else { return };
        match message["reason"].as_str() {
            Some("compiler-artifact") => {
                if let Some(executable) = message["executable"].as_str() {
                    self.executables.insert(target.to_owned(), executable.into());
                }
            }
            Some("compiler-message") if message["message"]["level"] == "error" => {
                let rendered = message["message"]["rendered"].as_str().unwrap_or_default();
                self.errors.entry(target.to_owned()).or_default().push_str(rendered);
            }
            _ => {}
        }
    }
}
