//! A visitor of a judged server, for checks that say what it sends and what it has to get, byte for byte.
//!
//! Compiled into the checks of chapters 12 and 13, which teach it what they need besides.
#![allow(dead_code, reason = "no chapter uses all of it")]

use std::time::Duration;

use visitors::connection::{Connection, End, Received};
use visitors::program::PATIENCE;

use grader::check::Server;

/// What came, readable: a long one by its beginning and its end.
pub fn shown(bytes: &[u8]) -> String {
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
pub struct Visitor<'a> {
    pub server: &'a Server<'a>,
    pub connection: Connection,
}

impl<'a> Visitor<'a> {
    /// Who has just come.
    #[track_caller]
    pub fn new(server: &'a Server<'a>, name: &str) -> Self {
        Self { server, connection: server.visitor(name).connection }
    }

    /// As reports call it.
    pub fn name(&self) -> String {
        format!("the {}", self.connection.name())
    }

    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.connection.send_to(&self.server.program, bytes) {
            self.server.fail_seeing(&format!("{} couldn't send: {error}", self.name()));
        }
    }

    /// Sends all of it while the program sleeps: then it's there all at once.
    #[track_caller]
    pub fn send_at_once(&mut self, bytes: &[u8]) {
        self.server.program.stop();
        let sent = self.connection.send(bytes);
        self.server.program.go_on();
        if let Err(error) = sent {
            self.server.fail_seeing(&format!("{} couldn't send: {error}", self.name()));
        }
    }

    /// Sends `bytes` in pieces of so many, each after the one before has been read.
    #[track_caller]
    pub fn send_cut(&mut self, bytes: &[u8], size: usize) {
        let pieces = bytes.len().div_ceil(size);
        let sent = self.connection.send_in_pieces(bytes, pieces, &self.server.program);
        if let Err(error) = sent {
            self.server.fail_seeing(&format!(
                "{} sent {} in {pieces} pieces, and couldn't send all: {error}",
                self.name(),
                shown(bytes)
            ));
        }
    }

    /// Sends these, one after the other: each when the one before has been read.
    #[track_caller]
    pub fn send_each(&mut self, pieces: &[&[u8]]) {
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            self.send(piece);
            self.connection.wait_until_read(PATIENCE);
        }
    }

    /// Has to get just these bytes next. `when` says what has happened before.
    #[track_caller]
    pub fn expect(&mut self, expected: &[u8], when: &str) {
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

    /// Whether anything has come, or the end.
    pub fn has_more(&mut self) -> bool {
        // What came together with something that was expected is at hand already.
        let received = self.connection.receive_while_missing(&self.server.program, |_| true);
        let Ok(Ok(at_hand)) = received else { return true };
        self.connection.give_back(&at_hand);
        !at_hand.is_empty() || self.connection.readable_within(Duration::ZERO)
    }

    /// Nothing may have come that wasn't expected, although the server has done all that it can do.
    #[track_caller]
    pub fn nothing_more(&mut self, when: &str) {
        settle(self.server, when);
        if !self.has_more() {
            return;
        }
        let some = |bytes: &[u8]| !bytes.is_empty();
        let (name, server) = (self.name(), self.server);
        let came = match self.connection.receive_while_missing(&server.program, some) {
            Ok(Ok(bytes)) => shown(&bytes),
            Ok(Err(Received { end: End::Closed, .. })) => "the end".to_owned(),
            Ok(Err(Received { end: End::Reset, .. })) => "a reset".to_owned(),
            Err((trouble, _)) => server.fail_for(when, &trouble),
        };
        server.fail_seeing(&format!("{when}, nothing was to come to {name}, and it got {came}"));
    }

    /// Has to get just these bytes, and then a proper end.
    #[track_caller]
    pub fn expect_end(&mut self, expected: &[u8], when: &str) {
        self.expect(expected, when);
        let name = self.name();
        match self.connection.receive_all(&self.server.program) {
            Ok(Received { bytes, end: End::Closed }) if bytes.is_empty() => {}
            Ok(Received { bytes, end: End::Closed }) => {
                let (came, expected) = (shown(&bytes), shown(expected));
                self.server.fail_seeing(&format!("{when}, {name} got {came} after {expected}"));
            }
            Ok(_) => self.server.fail_seeing(&format!("{when}, {name} got a reset")),
            Err((trouble, _)) => {
                let expected = format!("{when}, {name} waits for the server to hang up");
                self.server.fail_for(&expected, &trouble);
            }
        }
    }
}

/// Waits until the server has done all that it can do for now.
#[track_caller]
pub fn settle(server: &Server<'_>, when: &str) {
    if let Err(trouble) = server.program.settled() {
        server.fail_for(&format!("{when}, your program was to wait"), &trouble);
    }
}
