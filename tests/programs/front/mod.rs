//! The stand-in for chapter 12's services, behind its console and its window: what both tests need of it.
#![allow(dead_code, reason = "neither test uses all of it")]

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use visitors::setup::until;

pub const PATH: &str = env!("CARGO_BIN_EXE_front12");

#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    until(what, || is_so().then_some(()));
}

/// The stand-in. It's killed when this is dropped.
pub struct Program {
    pub child: Child,
    pub stdin: Option<ChildStdin>,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

impl Program {
    /// Starts it as `command` says, and keeps what it says.
    pub fn start_as(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = keep(child.stdout.take().unwrap());
        let stderr = keep(child.stderr.take().unwrap());
        Self { child, stdin, stdout, stderr }
    }

    pub fn types(&mut self, bytes: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes.as_ref()).unwrap();
    }

    pub fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    #[track_caller]
    pub fn says(&self, text: &str) {
        wait_until(&format!("{text:?} on stderr"), || self.stderr().contains(text));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In the background, so that nobody waits for us.
pub fn keep(mut pipe: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let kept = Arc::new(Mutex::new(String::new()));
    let keeps = Arc::clone(&kept);
    thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut piece) {
            keeps.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..count]));
        }
    });
    kept
}
