//! A program of chapter 13, through all its generations, and somebody who talks to it.
#![allow(dead_code, reason = "no test uses all of it")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;
use visitors::setup::until;

/// How long anything may take that takes no time.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// All generations. Their last words are in one file.
pub struct Family {
    first: Child,
    folder: TempDir,
    pub address: SocketAddr,
    generation: u64,
    pid: i32,
}

impl Family {
    pub fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments);
        Self::of(command)
    }

    pub fn of(command: Command) -> Self {
        Self::of_with_stdin(command, Stdio::null())
    }

    pub fn of_with_stdin(mut command: Command, stdin: Stdio) -> Self {
        let folder = TempDir::new().unwrap();
        let open = |name| File::create(folder.path().join(name)).unwrap();
        // A group of their own: whoever is left at the end is in it.
        command.process_group(0).stdin(stdin);
        command.stdout(open("stdout")).stderr(open("stderr"));
        let first = command.spawn().unwrap();
        let pid = i32::try_from(first.id()).unwrap();
        let address = until("it says where it listens", || {
            let said = fs::read_to_string(folder.path().join("stdout")).unwrap();
            let line = said.lines().next().filter(|_| said.contains('\n'))?;
            line.split_whitespace().nth(2)?.parse().ok()
        });
        Self { first, folder, address, generation: 1, pid }
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn printed(&self) -> String {
        fs::read_to_string(self.folder.path().join("stdout")).unwrap()
    }

    pub fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap()
    }

    /// The line that has it, when it has been said.
    #[track_caller]
    pub fn says(&self, wanted: &str) -> String {
        until(&format!("it says {wanted:?}"), || {
            self.said().lines().find(|line| line.contains(wanted)).map(str::to_owned)
        })
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid), signal).unwrap();
    }

    /// The next generation takes over.
    #[track_caller]
    pub fn upgrade(&mut self) {
        self.signal(Signal::SIGUSR2);
        self.has_been_replaced();
    }

    #[track_caller]
    pub fn has_been_replaced(&mut self) {
        let next = self.generation + 1;
        let line = self.says(&format!("is replaced by generation {next} (pid "));
        self.pid = line.split(['(', ')']).nth(1).unwrap()[4..].parse().unwrap();
        self.generation = next;
    }

    /// It refuses to be replaced, says why, and goes on.
    #[track_caller]
    pub fn goes_on(&self, why: &str) {
        let line = self.says(why);
        assert!(line.starts_with("not replaced: "), "{line:?}");
        let goes_on = format!("generation {} goes on", self.generation);
        assert!(line.ends_with(&goes_on), "{line:?}");
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// How many descriptors it has, when it has begun and rests.
    pub fn descriptors(&self) -> usize {
        let count = || fs::read_dir(format!("/proc/{}/fd", self.pid)).unwrap().count();
        let mut before = [0; 10];
        until("its descriptors are the same for a while", || {
            before.rotate_left(1);
            before[9] = count();
            before.iter().all(|it| *it == before[9]).then_some(before[9])
        })
    }

    /// Its own memory, in KiB.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        line.unwrap().trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[track_caller]
    pub fn has_ended(&self) {
        until("it ends", || is_gone(self.pid).then_some(()));
    }
}

/// A program that ends with the test, however that ends.
pub struct Bounded(pub Child);

impl Drop for Bounded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn is_gone(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    state.is_none_or(|state| state == 'Z' || state == 'X')
}

impl Drop for Family {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(i32::try_from(self.first.id()).unwrap()), Signal::SIGKILL);
        let _ = self.first.wait();
        if std::thread::panicking() {
            eprintln!("it said:\n{}", self.said());
        }
    }
}

/// Somebody who talks to it, byte for byte.
pub struct Client {
    pub stream: TcpStream,
    came: Vec<u8>,
}

/// What came.
#[derive(Debug)]
pub struct Answer {
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// Which generation has given it.
    pub fn generation(&self) -> u64 {
        self.field("Generation").expect("it says which").parse().unwrap()
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, came: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// One more piece of what comes. False: that was the end.
    #[track_caller]
    fn receive(&mut self) -> bool {
        let mut piece = [0; 64 * 1024];
        let count = self.stream.read(&mut piece).expect("it's neither silent nor reset");
        self.came.extend_from_slice(&piece[..count]);
        count > 0
    }

    /// All that comes up to this, and with it.
    #[track_caller]
    pub fn until(&mut self, mark: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.came.windows(mark.len()).position(|window| window == mark) {
                return self.came.drain(..at + mark.len()).collect();
            }
            assert!(self.receive(), "it has hung up; what came is {:?}", text(&self.came));
        }
    }

    #[track_caller]
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        while self.came.len() < count {
            assert!(self.receive(), "it has hung up; {} of {count} bytes came", self.came.len());
        }
        self.came.drain(..count).collect()
    }

    /// A head.
    #[track_caller]
    pub fn head(&mut self) -> Answer {
        let head = String::from_utf8(self.until(b"\r\n\r\n")).unwrap();
        Answer { head, body: Vec::new() }
    }

    /// A whole answer, whose length is said.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        let Answer { head, .. } = self.head();
        let answer = Answer { head, body: Vec::new() };
        let length = answer.field("Content-Length").expect("its length is said").parse().unwrap();
        Answer { body: self.take(length), ..answer }
    }

    #[track_caller]
    pub fn ask(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n"));
        self.answer()
    }

    /// Nothing more comes, and the connection ends properly.
    #[track_caller]
    pub fn is_at_its_end(&mut self) {
        while self.receive() {}
        assert_eq!(text(&self.came), "");
    }

    /// The connection is gone, properly or not. What has come before that.
    #[track_caller]
    pub fn has_lost_it(mut self) -> String {
        match self.stream.read_to_end(&mut self.came) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
        text(&self.came)
    }

    /// Nothing has come that wasn't asked for, and it's still there.
    #[track_caller]
    pub fn has_heard_nothing(&mut self) {
        self.stream.set_nonblocking(true).unwrap();
        let read = self.stream.read(&mut [0; 99]);
        self.stream.set_nonblocking(false).unwrap();
        let error = read.expect_err("nothing should have come, and no end");
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Where a service listens, by what the program has printed.
pub fn address(family: &Family, service: &str) -> SocketAddr {
    let end = format!("({service})");
    until(service, || {
        let printed = family.printed();
        let line = printed.lines().find(|line| line.ends_with(&end))?;
        line.split_whitespace().nth(2)?.parse().ok()
    })
}

/// A question for an address, with this number.
pub fn question(id: u16, name: &str) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

/// The same question, of one who wants to know as well who answers (RFC 6891, RFC 5001).
pub fn question_to_whom(id: u16, name: &str) -> Vec<u8> {
    let mut bytes = question(id, name);
    bytes[11] = 1;
    bytes.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 4, 0, 3, 0, 0]);
    bytes
}

/// Asks it by TCP (RFC 1035, section 4.2.2), and gives the answer.
#[track_caller]
pub fn answer_by_tcp(client: &mut Client, id: u16, name: &str) -> Vec<u8> {
    client.send(framed(&question(id, name)));
    message(client)
}

/// A message as it goes by TCP.
pub fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

/// The next message that comes by TCP.
#[track_caller]
pub fn message(client: &mut Client) -> Vec<u8> {
    let length = client.take(2);
    client.take(usize::from(u16::from_be_bytes([length[0], length[1]])))
}

/// A folder with some files.
pub fn site(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

/// A program that is this script.
pub fn script(at: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;

    // Renamed into its place: while it's being written, nobody runs it.
    let new = at.with_extension("new");
    fs::write(&new, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, at).unwrap();
}
