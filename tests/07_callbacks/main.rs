//! The graded checks of chapter 7. The judged program is the server; the check plays its visitors.
//!
//! Each exercise's checks are a file beside this one. What they share stands here.

mod chat;
mod frames;
mod seats;

use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use grader::bytes::{narrow_visitor, settle};
use grader::check;
use grader::check::{Check, Server};
use rstest::rstest;
use visitors::connection::{Connection, End, Received};
use visitors::crowd::make_room;
use visitors::program::{LOOK_EVERY, PATIENCE, Watch};
use visitors::tcp;

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
    /// What stands before its name: nothing, where the name is a person's.
    the: &'static str,
}

impl<'a> Visitor<'a> {
    #[track_caller]
    fn new(server: &'a Server<'a>, name: &str) -> Self {
        Self { server, connection: server.visitor(name).connection, the: "the " }
    }

    /// A visitor with little room in the kernel, on both sides: a few dozen KiB in place of several MiB.
    /// Where that can't be had, it is one like all others.
    #[track_caller]
    fn narrow(server: &'a Server<'a>, name: &str) -> Self {
        Self { server, connection: narrow_visitor(server, name), the: "the " }
    }

    /// As reports call it: `the visitor`, `ann`.
    fn name(&self) -> String {
        format!("{}{}", self.the, self.connection.name())
    }

    #[track_caller]
    fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.connection.send(bytes) {
            self.server.fail_seeing(&format!("{} couldn't send: {error}", self.name()));
        }
    }

    /// Sends `bytes` in about so many pieces, each after the one before has been read.
    #[track_caller]
    fn send_in_pieces(&mut self, bytes: &[u8], pieces: usize) {
        let sent = self.connection.send_in_pieces(bytes, pieces, &self.server.program);
        if let Err(error) = sent {
            self.server.fail_seeing(&format!(
                "{} sent {} in {pieces} pieces, and couldn't send all: {error}",
                self.name(),
                shown(bytes)
            ));
        }
    }

    /// Has to get just these bytes next. `when` says what has happened before.
    #[track_caller]
    fn expect(&mut self, expected: &[u8], when: &str) {
        let name = self.name();
        let enough = |bytes: &[u8]| bytes.len() >= expected.len() || !expected.starts_with(bytes);
        match self.connection.receive_while_missing(&self.server.program, enough) {
            Ok(Ok(bytes)) => {
                self.compare(&bytes, expected, when);
                self.connection.give_back(&bytes[expected.len()..]);
            }
            Ok(Err(Received { bytes, end })) => {
                self.compare(&bytes, expected, when);
                let ended = match end {
                    End::Closed => "was hung up on",
                    End::Reset => "got a reset",
                };
                let (came, expected) = (shown(&bytes), shown(expected));
                self.server.fail_seeing(&format!(
                    "{when}, {name} {ended}: {came} came, and {expected} was to come"
                ));
            }
            Err((trouble, bytes)) => {
                let (came, expected) = (shown(&bytes), shown(expected));
                let expected = format!("{when}, {name} waits for {expected} ({came} has come)");
                self.server.check.fail_for(&expected, &trouble);
            }
        }
    }

    /// Fails if what came is wrong as far as it goes. (More may be right, or on its way.)
    #[track_caller]
    fn compare(&self, came: &[u8], expected: &[u8], when: &str) {
        self.server.compare(&self.name(), came, expected, when);
    }

    /// Whether anything has come, or the end.
    fn has_more(&mut self) -> bool {
        // What came together with something that was expected is at hand already.
        let received = self.connection.receive_while_missing(&self.server.program, |_| true);
        let Ok(Ok(at_hand)) = received else { return true };
        self.connection.give_back(&at_hand);
        !at_hand.is_empty() || self.connection.readable_within(Duration::ZERO)
    }

    /// Nothing may have come that wasn't expected, although the server has done all that it can do.
    #[track_caller]
    fn nothing_more(&mut self, when: &str) {
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
            Err((trouble, _)) => server.check.fail_for(when, &trouble),
        };
        server.fail_seeing(&format!("{when}, nothing was to come to {name}, and it got {came}"));
    }

    /// Has to get just these bytes, and then a proper end.
    #[track_caller]
    fn expect_end(&mut self, expected: &[u8], when: &str) {
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
                self.server.check.fail_for(&expected, &trouble);
            }
        }
    }

    /// Goes on sending, more than anybody keeps who doesn't listen any more.
    fn goes_on_sending(&mut self) {
        // Whoever takes no more, or hangs up, is found out when this one leaves.
        let _ = self.connection.send_in_pieces(&[b'x'; 192 * 1024], 12, &self.server.program);
    }

    /// Leaves in one way or another, and waits until the server has closed its end, too.
    #[track_caller]
    fn leave(mut self, how: Leaving) {
        let (server, name) = (self.server, self.name());
        let before = descriptors(server);
        match how {
            Leaving::Finishing => {
                self.connection.finish_sending();
                // What comes to it is no matter here; the end is.
                if let Err((trouble, _)) = self.connection.receive_all(&server.program) {
                    let expected = format!(
                        "after it had finished sending, {name} waits for the server to hang up"
                    );
                    server.check.fail_for(&expected, &trouble);
                }
            }
            Leaving::HangingUp => drop(self),
            Leaving::Reset => self.connection.reset(),
        }
        if before.is_none() {
            settle(server, "after somebody had left");
            return;
        }
        let mut watch = Watch::new(&server.program);
        while descriptors(server) >= before {
            if let Some(trouble) = watch.trouble() {
                let expected = format!("{name} has left, and its connection was to be closed");
                server.check.fail_for(&expected, &trouble);
            }
            thread::sleep(LOOK_EVERY / 10);
        }
    }
}

/// One of thousands who come and go. It costs this side as little as may be.
struct Passer<'a> {
    server: &'a Server<'a>,
    stream: TcpStream,
}

impl<'a> Passer<'a> {
    #[track_caller]
    fn new(server: &'a Server<'a>) -> Self {
        let connected = TcpStream::connect(server.address);
        let patient = connected.and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(stream)
        });
        match patient {
            Ok(stream) => Self { server, stream },
            Err(error) => server.fail_seeing(&format!("one of many couldn't connect: {error}")),
        }
    }

    /// Sends one thing, and has to get another.
    #[track_caller]
    fn exchanges(&mut self, sent: &[u8], expected: &[u8]) {
        let mut came = vec![0; expected.len()];
        let exchanged =
            self.stream.write_all(sent).and_then(|()| self.stream.read_exact(&mut came));
        if exchanged.is_err() || came != expected {
            let (sent, came, expected) = (shown(sent), shown(&came), shown(expected));
            self.server.fail_seeing(&format!(
                "one of many sent {sent}, and got {came}, and not {expected}"
            ));
        }
    }
}

/// How many descriptors the program has open. `None` where the system can't tell.
fn descriptors(server: &Server<'_>) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{}/fd", server.program.pid())).ok()?.count())
}

/// How somebody leaves.
#[derive(Clone, Copy, Debug)]
enum Leaving {
    /// It says that nothing more will be sent, and waits for the server's end.
    Finishing,
    /// It closes the connection.
    HangingUp,
    Reset,
}

impl fmt::Display for Leaving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finishing => "finishing",
            Self::HangingUp => "hanging up",
            Self::Reset => "a reset",
        })
    }
}

/// Waits until the server has no more connections than that. False if it keeps them.
#[track_caller]
fn only_so_many_stay(server: &Server<'_>, count: usize) -> bool {
    let mut watch = Watch::new(&server.program);
    while tcp::accepted(server.address.port()).is_some_and(|accepted| accepted > count) {
        if watch.trouble().is_some() {
            return false;
        }
        thread::sleep(LOOK_EVERY / 10);
    }
    true
}

/// Has a new server go through `scenario`, and fails if it waits anywhere but in `poll`. If it seems to, then once more
/// with another one: on a busy machine the kernel may hold up a call for a moment, and whoever waits does so each time.
#[track_caller]
fn waits_only_in_poll(check: &Check, when: &str, scenario: impl Fn(&Server<'_>)) {
    let server = check.server(&[]);
    let lens = server.lens();
    scenario(&server);
    let elsewhere = lens.as_ref().is_some_and(|lens| lens.waits_only_in(&["poll"]).is_err());
    if elsewhere {
        let server = check.server(&[]);
        let lens = server.lens();
        scenario(&server);
        server.waits_only_in(lens.as_ref(), &["poll"], when);
    }
}

/// Waits until the server has no more descriptors open than before anybody came.
#[track_caller]
fn all_have_left(server: &Server<'_>, before: Option<usize>) {
    if before.is_none() {
        return settle(server, "after all had left");
    }
    let mut watch = Watch::new(&server.program);
    while descriptors(server) > before {
        if let Some(trouble) = watch.trouble() {
            let expected = "all have left, and their connections were to be closed";
            server.check.fail_for(expected, &trouble);
        }
        thread::sleep(LOOK_EVERY / 10);
    }
}

/// What a process of this check may hold: the system's limit may be lower at first.
fn room_for(server_and_visitors: usize) {
    if let Err(error) = make_room(server_and_visitors) {
        panic!("{error}");
    }
}
