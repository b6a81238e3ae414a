//! The server's program with a folder to serve, and a visitor who reads its answers to the byte.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, connect, setsockopt, socket, sockopt};
use tempfile::TempDir;
use visitors::cast::Who;
use visitors::program::{Program, Start};
use visitors::visit::{Ending, Visit, visit};

use crate::tools::PATIENCE;
use visitors::setup::until;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_ch11-http-server");
/// What the page says, for which the quick visitor asks.
pub const PAGE: &str =
    "<!doctype html>\n<title>Welcome</title>\n<p>Good things come to those who wait.\n";
pub const MIB: usize = 1 << 20;
const PATIENT: [&str; 4] = ["--idle", "--head", "--answer", "--grace"];

/// The server's program, serving a folder.
#[derive(Debug)]
pub struct House {
    pub program: Program,
    pub address: SocketAddr,
    folder: TempDir,
}

impl House {
    /// With these options besides the folder and a log.
    pub fn open(options: &[&str]) -> Self {
        Self::opened(options, None)
    }

    /// With at most so many descriptors, and no way to get more.
    pub fn open_with_few_descriptors(options: &[&str], count: u32) -> Self {
        Self::opened(options, Some(count))
    }

    fn opened(options: &[&str], descriptors: Option<u32>) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("index.html"), PAGE).unwrap();
        let start = match descriptors {
            Some(count) => {
                let script = format!("ulimit -n {count} && exec \"$@\"");
                Start::new("/bin/sh").arg("-c").arg(script).arg("sh").arg(PROGRAM)
            }
            None => Start::new(PROGRAM),
        };
        let start = start.arg("127.0.0.1:0").arg("--root").arg(&root);
        let start = start.arg("--log").arg(folder.path().join("log"));
        // Times that don't pass while a busy machine does other things, unless it's they that are looked at.
        let patient = PATIENT.iter().filter(|name| !options.contains(name));
        let start = patient.fold(start, |start, name| start.arg(name).arg("300"));
        let program = options.iter().fold(start, Start::arg).start().expect("it can be started");
        let address = program.listening().expect("it says where it listens");
        Self { program, address, folder }
    }

    /// Where a file of this name is served from.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("root").join(name)
    }

    /// A place beside the folder that is served.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A file with so many bytes, each run of which occurs once.
    pub fn file(&self, name: &str, length: usize) -> Vec<u8> {
        let bytes = noise(length);
        fs::write(self.path(name), &bytes).unwrap();
        bytes
    }

    /// A file with so many zeros, which takes no room on the disk.
    pub fn sparse(&self, name: &str, length: u64) {
        fs::File::create(self.path(name)).unwrap().set_len(length).unwrap();
    }

    #[track_caller]
    pub fn visitor(&self) -> Visitor {
        Visitor::call(self.address)
    }

    /// The book's quick visitor has its page, and says how it was.
    #[track_caller]
    pub fn quick(&self) -> Visit {
        let quick = visit(Who::Quick, self.address, PATIENCE).expect("it can start").end();
        assert_eq!(quick.ending, Ending::Answered { status: 200 }, "the quick visitor");
        assert_eq!(String::from_utf8_lossy(quick.body()), PAGE);
        quick
    }

    /// One of the server's numbers.
    #[track_caller]
    pub fn count(&self, name: &str) -> u64 {
        let mut visitor = self.visitor();
        visitor.get("/metrics", "Connection: close\r\n");
        let text = visitor.answer().text();
        let line =
            text.lines().find_map(|line| line.strip_prefix("waiting_game_")?.strip_prefix(name));
        let value = line.unwrap_or_else(|| panic!("no {name} in {text}"));
        value.trim().parse().expect("it's a number")
    }

    /// All visitors are gone, but for the one who asks.
    #[track_caller]
    pub fn is_empty(&self) {
        until("all visitors are gone", || (self.count("connections_open") == 1).then_some(()));
    }

    /// What the program has in memory, in bytes. None: this system can't tell.
    pub fn memory(&self) -> Option<u64> {
        self.program.usage().map(|usage| usage.resident)
    }

    /// Tells it to stop, and waits until it says that it does.
    #[track_caller]
    pub fn stop(&self) {
        self.program.signal(Signal::SIGTERM);
        self.program.says(|line| line.starts_with("stopping")).expect("it stops");
    }

    /// It ends, with status 0.
    #[track_caller]
    pub fn has_ended(&self) {
        let status = until("it ends", || self.program.exit_status());
        assert!(status.success(), "{status}: {:?}", self.program.stderr());
    }

    /// The lines of the log, of which each is whole and in the combined format.
    #[track_caller]
    pub fn log(&self) -> Vec<LogLine> {
        log_of(&self.beside("log"))
    }

    /// The log, when it has so many lines.
    #[track_caller]
    pub fn log_of(&self, lines: usize) -> Vec<LogLine> {
        let whole = || fs::read_to_string(self.beside("log")).unwrap().lines().count() >= lines;
        until("there are so many lines in the log", || whole().then_some(()));
        self.log()
    }
}

/// The lines of a log, each of which is whole and in the combined format.
#[track_caller]
pub fn log_of(path: &std::path::Path) -> Vec<LogLine> {
    let text = fs::read_to_string(path).expect("it's text");
    assert!(text.is_empty() || text.ends_with('\n'), "the last line isn't whole: {text:?}");
    text.lines().map(LogLine::of).collect()
}

/// A line of the log, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    pub request: String,
    pub status: u16,
    pub bytes: u64,
    pub referer: String,
    pub agent: String,
}

impl LogLine {
    /// Only what a strict reader of the combined format takes.
    #[track_caller]
    fn of(line: &str) -> Self {
        Self::parse(line).unwrap_or_else(|| panic!("that isn't the combined format: {line:?}"))
    }

    fn parse(line: &str) -> Option<Self> {
        let (from, rest) = line.split_once(" - - [")?;
        from.parse::<std::net::IpAddr>().ok()?;
        let (when, rest) = rest.split_once("] ")?;
        let shape: String =
            when.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        let month = shape.get(3..6)?.to_owned();
        let months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";
        if !months.split(' ').any(|one| one == month)
            || shape.replace(&month, "x") != "00/x/0000:00:00:00 +0000"
        {
            return None;
        }
        let (request, rest) = quoted(rest)?;
        let (status, rest) = rest.strip_prefix(' ')?.split_once(' ')?;
        let (bytes, rest) = rest.split_once(' ')?;
        let (referer, rest) = quoted(rest)?;
        let (agent, rest) = quoted(rest.strip_prefix(' ')?)?;
        let status: u16 = status.parse().ok().filter(|it| (100..600).contains(it))?;
        let bytes = bytes.parse().ok()?;
        rest.is_empty().then_some(Self { request, status, bytes, referer, agent })
    }
}

/// A quoted part, and what is behind it. Nothing in it ends it but the quote.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (inside, rest) = text.strip_prefix('"')?.split_once('"')?;
    let is_plain = inside.bytes().all(|byte| (b' '..0x7f).contains(&byte));
    is_plain.then(|| (inside.to_owned(), rest))
}

/// Bytes without a pattern, the same each time.
pub fn noise(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(length as u64);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

/// A whole answer, read to the letter.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// With its status line and the empty one.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a field that stands there once.
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

#[track_caller]
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
    let mut found = fields.filter(|(other, _)| other.eq_ignore_ascii_case(name));
    let value = found.next().map(|(_, value)| value);
    assert!(found.next().is_none(), "{name} twice: {head}");
    value
}

/// Whether an answer with a length is whole.
fn is_whole(bytes: &[u8]) -> bool {
    visitors::answer::Answer::parse(bytes, false).is_some()
}

/// How a connection came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Closed,
    Reset,
}

/// A visitor who says what the test says, and believes nothing that it's told.
#[derive(Debug)]
pub struct Visitor {
    pub stream: TcpStream,
    heard: Vec<u8>,
}

impl Visitor {
    #[track_caller]
    pub fn call(address: SocketAddr) -> Self {
        Self::try_call(address).expect("it listens")
    }

    pub fn try_call(address: SocketAddr) -> std::io::Result<Self> {
        Self::of(TcpStream::connect(address)?)
    }

    /// One whose kernel has room for so many bytes that it hasn't read, or about so many.
    #[track_caller]
    pub fn with_little_room(address: SocketAddr, room: usize) -> Self {
        let SocketAddr::V4(address) = address else { panic!("127.0.0.1 is version 4") };
        let it = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).unwrap();
        setsockopt(&it, sockopt::RcvBuf, &room).unwrap();
        let raw = std::os::fd::AsRawFd::as_raw_fd(&it);
        connect(raw, &nix::sys::socket::SockaddrIn::from(address)).expect("it listens");
        Self::of(TcpStream::from(it)).unwrap()
    }

    fn of(stream: TcpStream) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, heard: Vec::new() })
    }

    #[track_caller]
    pub fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("it's listened to");
    }

    /// Asks for a page, with more fields.
    #[track_caller]
    pub fn get(&mut self, path: &str, fields: &str) {
        self.say(format!("GET {path} HTTP/1.1\r\nHost: here\r\n{fields}\r\n"));
    }

    pub fn finish_sending(&self) {
        self.stream.shutdown(Shutdown::Write).expect("it's here");
    }

    /// Something more has come.
    #[track_caller]
    fn listen(&mut self, for_what: &str) {
        let mut piece = [0; 64 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) => panic!("hung up on, waiting for {for_what}, after {:?}", self.so_far()),
            Ok(count) => self.heard.extend_from_slice(&piece[..count]),
            Err(error) => panic!("{error}, waiting for {for_what}, after {:?}", self.so_far()),
        }
    }

    fn so_far(&self) -> String {
        let begin = &self.heard[..self.heard.len().min(400)];
        format!("{} bytes, {}", self.heard.len(), String::from_utf8_lossy(begin))
    }

    /// The next answer, to a request that isn't HEAD.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        self.next_answer(false)
    }

    /// The next answer, to HEAD: nothing follows its head.
    #[track_caller]
    pub fn answer_to_head(&mut self) -> Answer {
        self.next_answer(true)
    }

    #[track_caller]
    fn next_answer(&mut self, is_to_head: bool) -> Answer {
        let end = loop {
            let end = self.heard.windows(4).position(|four| four == b"\r\n\r\n");
            match end {
                Some(end) => break end + 4,
                None => self.listen("a head"),
            }
        };
        let head = String::from_utf8(self.heard.drain(..end).collect()).expect("a head is text");
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("that's no answer: {head:?}"));
        assert!(field(&head, "Date").is_some() || status == 100, "{head}");
        let coding = field(&head, "Transfer-Encoding");
        let length: Option<usize> = field(&head, "Content-Length").map(|it| it.parse().unwrap());
        assert!(coding.is_none() || length.is_none(), "both: {head}");
        let body = match (coding, length) {
            _ if is_to_head || matches!(status, 100 | 204 | 304) => Vec::new(),
            (Some(coding), _) => {
                assert_eq!(coding, "chunked");
                self.chunks()
            }
            (None, Some(length)) => self.take(length),
            (None, None) => {
                assert_eq!(field(&head, "Connection"), Some("close"), "it has no end: {head}");
                let (bytes, end) = self.rest();
                assert_eq!(end, End::Closed, "cut off");
                bytes
            }
        };
        Answer { status, head, body }
    }

    #[track_caller]
    fn take(&mut self, length: usize) -> Vec<u8> {
        while self.heard.len() < length {
            self.listen("a body");
        }
        let rest = self.heard.split_off(length);
        std::mem::replace(&mut self.heard, rest)
    }

    #[track_caller]
    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                match self.heard.windows(2).position(|two| two == b"\r\n") {
                    Some(end) => break end,
                    None => self.listen("a chunk's size"),
                }
            };
            let line = self.take(end + 2);
            let digits = std::str::from_utf8(&line[..end]).expect("digits are text");
            let size = usize::from_str_radix(digits, 16).expect("it's a number");
            body.extend(self.take(size));
            assert_eq!(self.take(2), b"\r\n", "behind a chunk of {size}");
            if size == 0 {
                return body;
            }
        }
    }

    /// The next answer, of which so much is read at a time, and then nothing for a while.
    #[track_caller]
    pub fn answer_in_bites(&mut self, bite: usize, rest: Duration) -> Answer {
        let mut eaten = 0;
        let mut piece = [0; 16 * 1024];
        loop {
            let count = self.stream.read(&mut piece).expect("there is more of it");
            self.heard.extend_from_slice(&piece[..count]);
            eaten += count;
            if count == 0 || is_whole(&self.heard) {
                return self.answer();
            }
            if eaten >= bite {
                std::thread::sleep(rest);
                eaten = 0;
            }
        }
    }

    /// So many bytes are read, and thrown away. Fewer: the answer has ended.
    pub fn skip(&mut self, count: usize) -> usize {
        let mut piece = vec![0; 64 * 1024];
        let mut skipped = self.heard.len().min(count);
        self.heard.drain(..skipped);
        while skipped < count {
            let most = piece.len().min(count - skipped);
            match self.stream.read(&mut piece[..most]) {
                Ok(0) | Err(_) => break,
                Ok(count) => skipped += count,
            }
        }
        skipped
    }

    /// Everything up to the end, which must come.
    #[track_caller]
    pub fn rest(&mut self) -> (Vec<u8>, End) {
        let mut bytes = std::mem::take(&mut self.heard);
        let mut piece = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return (bytes, End::Closed),
                Ok(count) => bytes.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return (bytes, End::Reset);
                }
                Err(error) => panic!("{error}: it isn't hung up on, after {} bytes", bytes.len()),
            }
        }
    }

    /// Nothing more comes, and the connection is closed.
    #[track_caller]
    pub fn is_hung_up_on(&mut self) {
        let (bytes, end) = self.rest();
        assert_eq!((String::from_utf8_lossy(&bytes).as_ref(), end), ("", End::Closed));
    }

    /// Nothing comes for a moment, and the connection stays. Proves nothing of a server that is slow.
    #[track_caller]
    pub fn hears_nothing(&mut self) {
        assert_eq!(String::from_utf8_lossy(&self.heard), "");
        self.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let read = self.stream.read(&mut [0; 64]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let error = read.expect_err("something has come, or it's hung up on");
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    }

    /// Hangs up as rudely as TCP allows.
    pub fn reset(self) {
        let now = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        let _ = setsockopt(&self.stream, sockopt::Linger, &now);
    }
}
