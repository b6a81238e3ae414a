//! A program at a terminal: `script` makes one for it.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

use crate::house::PATIENCE;
use crate::tools::tool;

pub struct Terminal {
    script: Child,
    keys: ChildStdin,
    shows: Receiver<Vec<u8>>,
    shown: Vec<u8>,
    /// How much of that has been looked at.
    seen: usize,
    /// Where the terminal is: what the kernel calls it.
    device: String,
}

impl Terminal {
    /// Starts a shell's command at a terminal that is so wide. None: there is no `script`.
    pub fn open(columns: u16, command: &str) -> Option<Self> {
        let script = tool("script")?;
        // With no terminal of its own, it would give one that doesn't show what is typed.
        let command = format!("tty; stty sane iutf8 cols {columns} rows 24; exec {command}");
        let mut script = Command::new(script)
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .env("TERM", "dumb")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script can be started");
        let (keys, mut screen) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
        let (show, shows) = channel();
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count) = screen.read(&mut piece) {
                if count == 0 || show.send(piece[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let device = String::new();
        let mut terminal = Self { script, keys, shows, shown: Vec::new(), seen: 0, device };
        terminal.device = terminal.expect("\n").trim().to_owned();
        Some(terminal)
    }

    pub fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until that is shown, and gives all up to its end.
    #[track_caller]
    pub fn expect(&mut self, what: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let new = &self.shown[self.seen..];
            let found = new.windows(what.len()).position(|bytes| bytes == what.as_bytes());
            if let Some(start) = found {
                let text = new[..start + what.len()].to_vec();
                self.seen += text.len();
                return String::from_utf8_lossy(&text).into_owned();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.shows.recv_timeout(left) {
                Ok(bytes) => self.shown.extend(bytes),
                Err(RecvTimeoutError::Timeout) => panic!("{what:?} isn't shown, but {self}"),
                Err(RecvTimeoutError::Disconnected) => panic!("it has ended after {self}"),
            }
        }
    }

    /// All that has been shown up to now.
    pub fn all(&self) -> &[u8] {
        &self.shown
    }

    pub fn resize(&self, columns: u16) {
        let status = Command::new("stty")
            .args(["-F", &self.device, "cols", &columns.to_string()])
            .status()
            .expect("stty can be started");
        assert!(status.success());
    }
}

impl std::fmt::Display for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.shown.escape_ascii())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // With it the terminal is gone, and what runs there is hung up on.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}
