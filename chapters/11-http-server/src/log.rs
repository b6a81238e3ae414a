//! The access log, in the combined format, written by a thread of its own: a disk that
//! is slow stops no loop.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use ch07_callbacks::program::say;
use ch10_http::{Date, Head, Version};

use crate::conversation::Answered;
use crate::metrics::Counters;

/// How many lines may wait to be written. When the disk can't keep up, lines are lost,
/// and counted: visitors don't wait for a log.
const WAITING: usize = 16 * 1024;

/// Said of a request whose visitor has left before there was an answer. It's nginx's
/// number for that, and no status that anybody is ever sent.
const LEFT: u16 = 499;

/// Where lines go. Clones write to the same log.
#[derive(Clone, Debug)]
pub struct Log(SyncSender<Message>);

#[derive(Debug)]
enum Message {
    Line(String),
    Reopen,
    /// Tell this one when all is written that came before.
    Flush(SyncSender<()>),
    End,
}

/// A log that is open, and to which nobody writes yet.
#[derive(Debug)]
pub struct Opened {
    path: PathBuf,
    file: Option<File>,
}

/// The thread that writes.
#[derive(Debug)]
pub struct Writer {
    log: Log,
    thread: JoinHandle<()>,
}

impl Opened {
    /// Opens a file, to append to it. `-` is stdout.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: open(path)?, path: path.to_owned() })
    }

    /// Starts the thread that writes.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(self) -> io::Result<Writer> {
        let (to, lines) = sync_channel(WAITING);
        let Self { path, file } = self;
        let write = move || write(&path, file, &lines);
        let thread = thread::Builder::new().name("log".to_owned()).spawn(write)?;
        Ok(Writer { log: Log(to), thread })
    }
}

impl Log {
    /// Writes a line when there is time for it.
    pub(crate) fn write(&self, line: &Line, answered: Option<Answered>, counters: &Counters) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.0.try_send(Message::Line(line.text(answered)))
        {
            counters.unlogged.add(1);
        }
    }

    /// Opens the file again: somebody has moved the one that it was.
    pub fn reopen(&self) {
        // waits: until there is room, if the disk is slow: hardly ever, and not in a request
        let _ = self.0.send(Message::Reopen);
    }
}

impl Log {
    /// Returns when all lines are written that are there.
    pub fn flush(&self) {
        let (tell, written) = sync_channel(1);
        // waits: for the disk
        if self.0.send(Message::Flush(tell)).is_ok() {
            let _ = written.recv();
        }
    }
}

impl Writer {
    /// What lines are written to.
    pub fn log(&self) -> Log {
        self.log.clone()
    }

    /// Writes what waits to be written, and ends.
    pub fn finish(self) {
        // waits: until all lines are written
        let _ = self.log.0.send(Message::End);
        let _ = self.thread.join();
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    if path == Path::new("-") {
        return Ok(None);
    }
    OpenOptions::new().create(true).append(true).open(path).map(Some)
}

/// What the thread does. It collects the lines that wait, and writes them in one call.
fn write(path: &Path, mut file: Option<File>, messages: &Receiver<Message>) {
    let mut failed = false;
    // waits: for a line. This thread may: nobody waits for it
    while let Ok(first) = messages.recv() {
        let mut text = String::new();
        let mut reopens = false;
        let mut ends = false;
        let mut flushed = Vec::new();
        for message in std::iter::once(first).chain(messages.try_iter()) {
            match message {
                Message::Line(line) => text.push_str(&line),
                Message::Reopen => reopens = true,
                Message::Flush(tell) => flushed.push(tell),
                Message::End => ends = true,
            }
        }
        // waits: for the disk
        let written = match &mut file {
            Some(file) => file.write_all(text.as_bytes()),
            None => io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()),
        };
        if let Err(error) = &written
            && !failed
        {
            say(&format!("the log can't be written: {error}"));
        }
        failed = written.is_err();
        for tell in flushed {
            let _ = tell.send(());
        }
        if reopens {
            match open(path) {
                Ok(other) => file = other,
                Err(error) => say(&format!("{} can't be opened again: {error}", path.display())),
            }
        }
        if ends {
            return;
        }
    }
}

/// What a line of the log says: the combined format, as Apache and nginx write it.
#[derive(Clone, Debug)]
pub struct Line {
    pub from: IpAddr,
    pub request: String,
    pub referer: String,
    pub agent: String,
}

impl Line {
    pub(crate) fn of(from: SocketAddr, head: &Head<'_>) -> Self {
        let version = if head.version == Version::Http10 { "1.0" } else { "1.1" };
        let target = first_word_after(head.raw(), head.method);
        let field = |name| quoted(head.field(name).unwrap_or("-"));
        Self {
            from: from.ip(),
            request: quoted(&format!("{} {target} HTTP/{version}", head.method)),
            referer: field("referer"),
            agent: field("user-agent"),
        }
    }

    /// Of one whose request wasn't read.
    pub(crate) fn unread(from: SocketAddr) -> Self {
        let nothing = || "-".to_owned();
        let (request, referer, agent) = (nothing(), nothing(), nothing());
        Self { from: from.ip(), request, referer, agent }
    }

    /// `answered`: what it got; none if it has left before.
    fn text(&self, answered: Option<Answered>) -> String {
        let Self { from, request, referer, agent } = self;
        let when = when(SystemTime::now());
        let status = answered.map_or(LEFT, |answered| answered.status.code());
        let bytes = answered.map_or(0, |answered| answered.bytes);
        format!("{from} - - [{when}] \"{request}\" {status} {bytes} \"{referer}\" \"{agent}\"\n")
    }
}

/// The target as it was sent.
fn first_word_after<'a>(raw: &'a [u8], method: &str) -> std::borrow::Cow<'a, str> {
    let start = raw.windows(method.len()).position(|word| word == method.as_bytes());
    let rest = start.map_or(&[][..], |start| &raw[start + method.len()..]);
    let mut words = rest.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    String::from_utf8_lossy(words.next().unwrap_or_default())
}

/// What a visitor sends can't end a line, nor a quoted part of it.
fn quoted(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f.. => {
                // Writing to a string can't fail.
                let _ = write!(safe, "\\x{byte:02X}");
            }
            _ => safe.push(char::from(byte)),
        }
    }
    safe
}

/// Such as `10/Oct/2000:13:55:36 +0000`: the parts of an HTTP date, in another order.
fn when(now: SystemTime) -> String {
    let date = Date::of(now);
    let mut words = date.as_str().split(' ').skip(1);
    let [day, month, year, time] = [(); 4].map(|()| words.next().unwrap_or_default());
    format!("{day}/{month}/{year}:{time} +0000")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_moment_is_written_as_apache_writes_it() {
        let at = |seconds| when(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "01/Jan/1970:00:00:00 +0000");
        assert_eq!(at(971_186_136), "10/Oct/2000:13:55:36 +0000");
        assert_eq!(at(951_782_400), "29/Feb/2000:00:00:00 +0000");
        assert_eq!(at(1_709_251_199), "29/Feb/2024:23:59:59 +0000");
        assert_eq!(at(1_704_067_199), "31/Dec/2023:23:59:59 +0000");
    }

    #[test]
    fn a_visitor_cannot_write_lines_of_its_own() {
        assert_eq!(quoted("a\"b\\c\r\nd\u{e9}"), "a\\x22b\\x5Cc\\x0D\\x0Ad\\xC3\\xA9");
    }
}
