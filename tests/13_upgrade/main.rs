//! The graded checks of chapter 13. The judged programs are servers; the checks play visitors, and whoever replaces a
//! program: they send it signals, bring it children that fail, and look at what it leaves behind.
//!
//! Each exercise's checks are a file beside this one. What they share stands here.

mod hand;
mod rollback;
mod state;

use std::fs;
use std::time::Duration;

use grader::check;
use grader::check::Server;
use rstest::rstest;
use visitors::connection::{Connection, End, Received};

/// What came, readable: a long one by its beginning and its end.
fn shown(bytes: &[u8]) -> String {
    let text = |bytes: &[u8]| format!("\"{}\"", bytes.escape_ascii());
    match bytes.len() {
        0 => "nothing".to_owned(),
        1..=200 => text(bytes),
        count => {
            let (first, last) = (text(&bytes[..60]), text(&bytes[count - 60..]));
            format!("{first} … {last} ({count} bytes)")
        }
    }
}

/// A visitor of the judged server. Whatever goes wrong fails the check.
struct Visitor<'a> {
    server: &'a Server<'a>,
    connection: Connection,
}

impl<'a> Visitor<'a> {
    #[track_caller]
    fn new(server: &'a Server<'a>, name: &str) -> Self {
        Self { server, connection: server.visitor(name).connection }
    }

    /// As reports call it.
    fn name(&self) -> String {
        format!("the {}", self.connection.name())
    }

    #[track_caller]
    fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.connection.send_to(&self.server.program, bytes) {
            self.server.fail_seeing(&format!("{} couldn't send: {error}", self.name()));
        }
    }

    /// Has to get just these bytes next. `when` says what has happened before.
    #[track_caller]
    fn expect(&mut self, expected: &[u8], when: &str) {
        let name = self.name();
        let enough = |bytes: &[u8]| bytes.len() >= expected.len() || !expected.starts_with(bytes);
        match self.connection.receive_while_missing(&self.server.program, enough) {
            Ok(Ok(bytes)) => {
                self.server.compare(&name, &bytes, expected, when);
                self.connection.give_back(&bytes[expected.len()..]);
            }
            Ok(Err(Received { bytes, end })) => {
                self.server.compare(&name, &bytes, expected, when);
                let ended = match end {
                    End::Closed => "was hung up on",
                    End::Reset => "got a reset",
                };
                let (came, expected) = (shown(&bytes), shown(expected));
                self.server.fail_seeing(&format!(
                    "{when}, {name} got {came}, and {ended}: {expected} was to come"
                ));
            }
            Err((trouble, bytes)) => {
                let (came, expected) = (shown(&bytes), shown(expected));
                let expected = format!("{when}, {name} got {came}, and waits for {expected}");
                self.server.fail_for(&expected, &trouble);
            }
        }
    }
}

/// Waits until the server has done all that it can do for now.
#[track_caller]
fn settle(server: &Server<'_>, when: &str) {
    if let Err(trouble) = server.program.settled() {
        server.fail_for(&format!("{when}, your program was to wait"), &trouble);
    }
}

/// What a process does, and whose child it is.
fn look(pid: i32) -> Option<(char, i32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets, and may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}

/// The children that a process has, with what they do (proc_pid_stat(5)). Where the system can't tell, none.
fn children(of: i32) -> Vec<(i32, char)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let child = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let (state, parent) = look(pid)?;
        (parent == of).then_some((pid, state))
    };
    entries.filter_map(child).collect()
}
