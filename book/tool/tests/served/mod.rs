//! A running `cargo book`, and a plain visitor of it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use visitors::program::{PATIENCE, Program, Start};

/// How often a page is looked at while something is expected of it.
const LOOK: Duration = Duration::from_millis(20);

/// A running `cargo book`.
pub struct Served {
    pub program: Program,
    pub port: u16,
    /// Where it has its builds, and whatever else it wants to forget.
    pub room: TempDir,
}

/// An answer.
#[allow(dead_code, reason = "each test program uses a part of it")]
#[derive(Debug)]
pub struct Answer {
    pub head: String,
    pub body: String,
}

#[allow(dead_code, reason = "each test program uses a part of it")]
impl Served {
    /// Serves the book in the copy of the repository at `root`, on any port.
    #[track_caller]
    pub fn start(root: &Path) -> Self {
        Self::start_with(root, &["--port", "0"], |start| start)
    }

    /// The same, in another way.
    #[track_caller]
    pub fn start_with(
        root: &Path,
        arguments: &[&str],
        change: impl FnOnce(Start) -> Start,
    ) -> Self {
        let room = tempfile::tempdir().expect("a folder can be made");
        let mut start = Start::new(env!("CARGO_BIN_EXE_book")).arg("--root").arg(root);
        for argument in arguments {
            start = start.arg(argument);
        }
        let start = change(start.env("TMPDIR", room.path().to_str().expect("it's UTF-8")));
        let program = start.start().expect("it can be started");
        let line = program.prints(|line| line.starts_with("the book is at "));
        let line = line.unwrap_or_else(|trouble| panic!("no address: {trouble}"));
        let port = line
            .strip_prefix("the book is at http://127.0.0.1:")
            .and_then(|rest| rest.strip_suffix('/')?.parse().ok())
            .unwrap_or_else(|| panic!("it's no address: {line}"));
        Self { program, port, room }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Asks for a page, in a connection of its own.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        let mut socket = self.ask(path);
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).expect("it answers");
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").expect("the answer has a head");
        Answer { head: head.to_owned(), body: body.to_owned() }
    }

    /// Asks, and leaves the answer to be read.
    #[track_caller]
    pub fn ask(&self, path: &str) -> TcpStream {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).expect("it lets us in");
        socket.set_read_timeout(Some(PATIENCE)).expect("it can be set");
        let request = format!("GET {path} HTTP/1.1\r\nHost: book\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).expect("it listens");
        socket
    }

    /// Looks at a page until there is `text` in it.
    #[track_caller]
    pub fn wait_for(&self, path: &str, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.get(path).body.contains(text) {
            assert!(
                Instant::now() < until,
                "{path} never had {text:?}; it said {:#?}",
                self.program.stderr()
            );
            thread::sleep(LOOK);
        }
    }

    /// How often it has said that it was built again.
    pub fn builds(&self) -> usize {
        self.program.stderr().iter().filter(|line| line.contains(": built again in")).count()
    }

    /// Waits until it has said something.
    #[track_caller]
    pub fn says(&self, words: &str) {
        self.program.says(|line| line.contains(words)).unwrap_or_else(|trouble| {
            panic!("it never said {words:?}: {trouble}; it said {:#?}", self.program.stderr())
        });
    }

    /// What it has left of what it wanted to forget.
    pub fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.room.path()).expect("it's there").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}
