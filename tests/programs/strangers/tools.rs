//! Programs that somebody else wrote, run with a time limit.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing takes as long as that, on however busy a machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often something is looked at that nobody tells of.
pub const LOOK: Duration = Duration::from_millis(10);

/// Where a program is installed. If it isn't, a word says that the test is skipped.
pub fn tool(name: &str) -> Option<PathBuf> {
    one_of(&[name])
}

/// The same, for one that has several names.
pub fn one_of(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Servers stand where only an administrator's PATH leads.
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let mut places = folders.flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    let found = places.find(|file| file.is_file());
    if found.is_none() {
        visitors::skipped(format!("there is no {} here", names[0]));
    }
    found
}

/// What a program has said, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub status: ExitStatus,
    pub bytes: Vec<u8>,
    pub errors: String,
}

impl Said {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    #[track_caller]
    pub fn well(self) -> Self {
        let said: String = self.text().chars().take(2000).collect();
        assert!(self.status.success(), "{}: {}\n{said}", self.status, self.errors);
        self
    }
}

/// Runs a program to its end.
#[track_caller]
pub fn run<W: AsRef<OsStr>>(program: &PathBuf, arguments: impl IntoIterator<Item = W>) -> Said {
    run_with(Command::new(program).args(arguments), b"")
}

/// Runs a program to its end, with something to read on its standard input.
#[track_caller]
pub fn run_with(command: &mut Command, input: &[u8]) -> Said {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("it can be started");
    let (mut stdin, mut stdout, mut stderr) =
        (child.stdin.take().unwrap(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let mut child = Ended(child);
    thread::scope(|scope| {
        // It may end without having read it all.
        scope.spawn(move || stdin.write_all(input).is_ok());
        let reads = scope.spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).map(|_| bytes).unwrap_or_default()
        });
        let errors = scope.spawn(move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).map(|_| bytes).unwrap_or_default()
        });
        let status = wait(&mut child.0);
        if status.is_none() {
            // Or its pipes would never end.
            let _ = child.0.kill();
        }
        let bytes = reads.join().unwrap();
        let errors = String::from_utf8_lossy(&errors.join().unwrap()).into_owned();
        match status {
            Some(status) => Said { status, bytes, errors },
            None => panic!("it never ends: {:?}: {errors}", String::from_utf8_lossy(&bytes)),
        }
    })
}

fn wait(child: &mut Child) -> Option<ExitStatus> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().expect("it's ours") {
            return Some(status);
        }
        thread::sleep(LOOK);
    }
    None
}

/// A program that is ended with the test, whatever becomes of that.
#[derive(Debug)]
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Most often it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Held by a test that measures, or has very many visitors: two of them at a time would measure each other.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // Whoever failed in it has left it.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
