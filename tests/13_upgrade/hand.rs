//! The checks of 13-hand: hand over the door, and those who are inside.

use std::io::{ErrorKind, Read};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Instant;
#[cfg(target_os = "linux")]
use std::{
    io,
    net::TcpListener,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    process::{Child, Stdio},
};

#[cfg(target_os = "linux")]
use ch13_upgrade::{
    channel::{Channel, MOST_DESCRIPTORS},
    state::{from_memory, in_memory},
};
use grader::causes::NOT_WRITTEN_YET;
use grader::check::{Check, last_words};
use nix::sys::signal::{Signal, kill};
#[cfg(target_os = "linux")]
use nix::sys::socket::{MsgFlags, getsockopt, recv, sockopt};
use nix::unistd::Pid;
#[cfg(target_os = "linux")]
use tempfile::NamedTempFile;
use tempfile::TempDir;
use visitors::doing::{Snapshot, describe, descriptors};
use visitors::program::{LOOK_EVERY, PATIENCE, Start};

use super::*;

/// As in the exercise.
const MOST_VISITORS: usize = 300;
/// So many are at the door then, and can't get in.
const AT_THE_DOOR: usize = 5;
/// So many are inside, and so many of them send something, while the old one is handing over. The new one has to go through
/// all of them before it can hear any, and whoever is still awake in the old one hears them first.
const INSIDE: usize = 285;
const MEANWHILE: usize = 8;
/// How often that's tried: it's a race, which the new one may win.
const ROUNDS: usize = 3;
/// More than the kernel keeps on the way to somebody who doesn't read, in bytes.
const TOO_MUCH: usize = 8 << 20;
/// The first generation needs no channel, and may need a few descriptors less than the others.
const SOME_MORE: usize = 5;
/// How many times a program is replaced.
const UPGRADES: u64 = 100;
/// When all have slept in the same sleep for so long, nobody will say anything any more.
const ALL_ASLEEP: Duration = Duration::from_millis(1500);
/// And when nobody is left who could.
const IT_IS_OVER: Duration = Duration::from_millis(600);
/// What is said of whoever waits for a child.
const FOR_A_CHILD: &str = "waits for a child to end";
/// But the old one may wait for so long for the new one.
const TO_ANSWER: Duration = Duration::from_secs(4);

/// The judged server, by a name of its own, under which something else may lie later. Whatever has been started by that name
/// is ended with this.
struct House<'a> {
    server: Server<'a>,
    name: PathBuf,
    folder: TempDir,
}

impl<'a> House<'a> {
    #[track_caller]
    fn new(check: &'a Check) -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        let file = check.program().file_name().expect("a program has a name");
        let name = folder.path().join(file);
        let program = fs::canonicalize(check.program().parent().expect("it's in a folder"))
            .expect("it's there")
            .join(file);
        fs::create_dir(folder.path().join("real")).expect("there is room");
        symlink(&program, folder.path().join("real").join(file)).expect("there is room");
        symlink(&program, &name).expect("there is room");
        let start = Start::new(&name).arg("127.0.0.1:0").env("RUST_BACKTRACE", "0");
        let program = match start.start() {
            Ok(program) => program,
            Err(error) => check.fail(format!("it can't be started: {error}")),
        };
        let address = match program.listening() {
            Ok(address) => address,
            Err(trouble) => check
                .fail_for("the first line on stdout was to be `listening on ADDRESS`", &trouble),
        };
        Self { server: Server { check, program, address }, name, folder }
    }

    /// Where the program itself lies, whatever lies under its name.
    fn real(&self) -> PathBuf {
        self.folder.path().join("real").join(self.name.file_name().expect("it has one"))
    }

    /// From now on a script lies under its name.
    fn becomes(&self, script: &str) {
        fs::remove_file(&self.name).expect("it's there");
        // Written by somebody else: a file that we have open can't be run, nor while a child of ours has our descriptors.
        let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$2\" && chmod 755 \"$2\"";
        let written =
            Command::new("/bin/sh").args(["-c", write, "sh", script]).arg(&self.name).status();
        assert!(written.is_ok_and(|status| status.success()), "there is room");
    }

    /// And now itself again.
    fn is_itself_again(&self) {
        // It may be gone.
        let _ = fs::remove_file(&self.name);
        symlink(self.real(), &self.name).expect("there is room");
    }

    /// Fails, with what was said last by whatever generation.
    #[track_caller]
    fn fail(&self, saw: &str) -> ! {
        let check = self.server.check;
        // Whoever ends says why a moment later.
        thread::sleep(LOOK_EVERY * 5);
        let said = self.server.program.stderr();
        if said.iter().any(|line| line.contains("not yet implemented")) {
            check.suspect(NOT_WRITTEN_YET);
        }
        // Whoever says that, and lives on, is in the way of the new one.
        let first = &self.server.program;
        let sleeps = || Snapshot::of(first.pid()).is_some_and(|now| now.asleep());
        if said.iter().any(|line| line.starts_with("replaced by "))
            && first.exit_status().is_none()
            && sleeps()
        {
            check.suspect("the-old-one-stays");
        }
        let doing = describe(first.pid());
        let doing = match doing.contains(FOR_A_CHILD) {
            true => format!("\nyour program {doing}"),
            false => String::new(),
        };
        let last = last_words(&said).unwrap_or_default();
        check.fail(format!("{saw}{doing}\nyour program's last words: {last}"));
    }

    /// Waits until somebody has said a line like that, and gives what is found there.
    #[track_caller]
    fn hears<T>(&self, what: &str, found: impl Fn(&str) -> Option<T>) -> T {
        let mut quiet = Quiet::new(self);
        loop {
            let said = self.server.program.stderr();
            if let Some(found) = said.iter().rev().find_map(|line| found(line)) {
                return found;
            }
            if quiet.lasts(&said, TO_ANSWER) {
                self.fail(&format!("{what}, and nobody has said so"));
            }
            thread::sleep(LOOK_EVERY / 4);
        }
    }

    /// Nobody is there any more who could say something: it failed, or all have ended.
    fn is_over(&self, said: &[String]) -> bool {
        let trouble =
            |line: &String| line.contains("panicked at") || line.starts_with("not replaced");
        self.server.program.exit_status().is_some() && self.everybody().is_empty()
            || said.last().is_some_and(trouble)
            || said.iter().any(|line| line.contains("not yet implemented"))
    }

    /// The process that is this generation.
    #[track_caller]
    fn pid_of(&self, generation: u64) -> i32 {
        let begin = format!("generation {generation} serves (pid ");
        let found = |line: &str| line.strip_prefix(&begin)?.strip_suffix(')')?.parse().ok();
        self.hears(&format!("generation {generation} was to serve"), found)
    }

    /// Replaces the generation before this one by it. Gives its number as a process.
    #[track_caller]
    fn upgrade(&self, to: u64) -> i32 {
        // It has said so by now, or says it soon: whatever comes then is of this upgrade.
        let old = self.pid_of(to - 1);
        let before = Spoken::of(&self.server.program.stderr());
        let _ = kill(Pid::from_raw(old), Signal::SIGUSR2);
        let mut quiet = Quiet::new(self);
        loop {
            let said = self.server.program.stderr();
            let spoken = Spoken::of(&said).since(&before);
            if let Some(new) = self.is_replaced(to, &spoken) {
                return new;
            }
            if quiet.lasts(&said, TO_ANSWER) {
                self.isnt_replaced(to, &spoken);
            }
            thread::sleep(LOOK_EVERY / 4);
        }
    }

    /// The new one, if both have said what they should.
    #[track_caller]
    fn is_replaced(&self, to: u64, spoken: &Spoken) -> Option<i32> {
        let check = self.server.check;
        let (generation, pid) = spoken.serving.first()?;
        if *generation != to.to_string() {
            check.suspect("generations-arent-counted");
            self.fail(&format!(
                "generation {to} was to serve, and the new one said that it's generation {generation}"
            ));
        }
        let replaced_by = spoken.replaced_by.first()?;
        if replaced_by != pid {
            check.suspect("another-number");
            self.fail(&format!(
                "the old one said `replaced by {replaced_by}`, and the new one is process {pid}"
            ));
        }
        pid.parse().ok()
    }

    /// Nobody will say anything any more.
    #[track_caller]
    fn isnt_replaced(&self, to: u64, spoken: &Spoken) -> ! {
        let check = self.server.check;
        match (spoken.serving.is_empty(), spoken.replaced_by.is_empty()) {
            (true, false) => {
                check.suspect("it-isnt-waited-for");
                self.fail(&format!(
                    "the old one said that it's replaced, generation {to} was to serve, and nobody has said so"
                ))
            }
            (true, true) => {
                let malformed = ["can't be read", "invalid data"];
                let said = self.server.program.stderr();
                if said.iter().any(|line| malformed.iter().any(|words| line.contains(words))) {
                    check.suspect("read-in-another-order");
                }
                self.fail(&format!("generation {to} was to serve, and nobody has said so"))
            }
            (false, _) => {
                check.suspect(if spoken.failed > 0 { "isnt-ready" } else { "nobody-is-told" });
                self.fail(&format!(
                    "generation {} was to be replaced, and nobody has said so",
                    to - 1
                ))
            }
        }
    }

    /// All processes that have been started by its name, and live.
    fn everybody(&self) -> Vec<i32> {
        named_after(self.folder.path())
    }

    /// This generation has at most so many descriptors more than another one had. Where the system can't tell, nobody can.
    #[track_caller]
    fn needs_no_more(&self, before: Option<usize>, more: usize, pid: i32, when: &str) {
        let Some(before) = before else { return };
        let began = Instant::now();
        while let Some(after) = descriptors(pid)
            && after > before + more
        {
            if began.elapsed() > Duration::from_secs(2) {
                self.fail(&format!(
                    "{when}, {after} descriptors are open, and an earlier generation needed {before}"
                ));
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    #[track_caller]
    fn guest(&self, name: &str) -> Guest<'_, 'a> {
        match Connection::connect(self.server.address, name) {
            Ok(connection) => Guest { house: self, connection, pending: Vec::new() },
            Err(error) => self.fail(&format!("the {name} couldn't connect: {error}")),
        }
    }

    /// Somebody new comes, and is answered by this generation.
    #[track_caller]
    fn serves(&self, generation: u64, when: &str) {
        let mut guest = self.guest("new visitor");
        guest.send(b"new\n");
        guest.expect(format!("{generation} new\n").as_bytes(), when);
    }
}

impl Drop for House<'_> {
    fn drop(&mut self) {
        for pid in self.everybody() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// What all generations have said of upgrades so far.
#[derive(Default)]
struct Spoken {
    /// Who has said that it serves: the generation, and the process, as they said it.
    serving: Vec<(String, String)>,
    /// By whom somebody said that it's replaced.
    replaced_by: Vec<String>,
    /// How often somebody said that it isn't replaced.
    failed: usize,
}

impl Spoken {
    fn of(said: &[String]) -> Self {
        let mut spoken = Self::default();
        for line in said {
            let serves = || {
                let (generation, rest) =
                    line.strip_prefix("generation ")?.split_once(" serves (pid ")?;
                Some((generation.to_owned(), rest.strip_suffix(')')?.to_owned()))
            };
            spoken.serving.extend(serves());
            spoken.replaced_by.extend(line.strip_prefix("replaced by ").map(str::to_owned));
            spoken.failed += usize::from(line.starts_with("not replaced"));
        }
        spoken
    }

    /// What is new of it.
    fn since(mut self, before: &Self) -> Self {
        self.serving.drain(..before.serving.len());
        self.replaced_by.drain(..before.replaced_by.len());
        self.failed -= before.failed;
        self
    }
}

/// Looks whether anybody does anything.
struct Quiet<'h, 'a> {
    house: &'h House<'a>,
    seen: Vec<Option<Snapshot>>,
    since: Instant,
    /// Since when it has been over, each time that it was looked at.
    over: Option<Instant>,
    looked: Instant,
}

impl<'h, 'a> Quiet<'h, 'a> {
    fn new(house: &'h House<'a>) -> Self {
        let now = Instant::now();
        Self { house, seen: Vec::new(), since: now, over: None, looked: now }
    }

    /// All sleep, and nobody has run for so long; or it's over, and that a bit longer than a look takes. To be asked every now
    /// and then.
    fn lasts(&mut self, said: &[String], time: Duration) -> bool {
        let since_then = self.looked.elapsed();
        if since_then < LOOK_EVERY * 4 {
            return false;
        }
        // Whatever holds us up must not count as their sleep.
        if since_then > LOOK_EVERY * 20 {
            (self.since, self.over) = (Instant::now(), None);
        }
        let all: Vec<_> = self.house.everybody().into_iter().map(Snapshot::of).collect();
        let asleep = all.iter().all(|it| it.as_ref().is_none_or(Snapshot::asleep));
        if !asleep || all != self.seen {
            (self.seen, self.since) = (all, Instant::now());
        }
        self.over = match self.house.is_over(said) {
            true => self.over.or(Some(Instant::now())),
            false => None,
        };
        self.looked = Instant::now();
        self.since.elapsed() > time || self.over.is_some_and(|over| over.elapsed() > IT_IS_OVER)
    }
}

/// A visitor, whoever serves it.
struct Guest<'h, 'a> {
    house: &'h House<'a>,
    connection: Connection,
    pending: Vec<u8>,
}

impl Guest<'_, '_> {
    #[track_caller]
    fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.connection.send(bytes) {
            self.house.fail(&format!("the {} couldn't send: {error}", self.connection.name()));
        }
    }

    /// Sends it, and waits until it has been read.
    #[track_caller]
    fn send_and_wait(&mut self, bytes: &[u8]) {
        self.send(bytes);
        if !self.connection.wait_until_read(PATIENCE) {
            self.house.fail(&format!("nobody has read what the {} sent", self.connection.name()));
        }
    }

    /// Reads until it's enough, or until the end, and gives what has come.
    #[track_caller]
    fn receive(
        &mut self,
        when: &str,
        enough: impl Fn(&[u8]) -> bool,
    ) -> (Vec<u8>, Option<&'static str>) {
        let mut quiet = Quiet::new(self.house);
        let mut piece = vec![0; 64 * 1024];
        let mut end = None;
        let _ = self.connection.stream().set_read_timeout(Some(LOOK_EVERY));
        while !enough(&self.pending) && end.is_none() {
            match self.connection.stream().read(&mut piece) {
                Ok(0) => end = Some("was hung up on"),
                Ok(count) => self.pending.extend_from_slice(&piece[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {
                        let said = self.house.server.program.stderr();
                        if quiet.lasts(&said, ALL_ASLEEP) {
                            let (came, name) = (shown(&self.pending), self.connection.name());
                            self.house.fail(&format!(
                                "{when}, the {name} got {came}, and waits for more"
                            ));
                        }
                    }
                    _ => end = Some("got a reset"),
                },
            }
        }
        (std::mem::take(&mut self.pending), end)
    }

    /// Has to get just these bytes next.
    #[track_caller]
    fn expect(&mut self, expected: &[u8], when: &str) {
        let enough = |came: &[u8]| came.len() >= expected.len() || !expected.starts_with(came);
        let (mut came, end) = self.receive(when, enough);
        if came.len() > expected.len() {
            self.pending = came.split_off(expected.len());
        }
        let name = self.connection.name();
        if let Some(at) = came.iter().zip(expected).position(|(came, expected)| came != expected) {
            let from = at.saturating_sub(20);
            let part = |bytes: &[u8]| shown(&bytes[from..bytes.len().min(from + 80)]);
            let (came, expected) = (part(&came), part(expected));
            self.house.fail(&format!("{when}, the {name} got {came}, and not {expected}"));
        }
        if let Some(end) = end {
            let (came, expected) = (shown(&came), shown(expected));
            self.house
                .fail(&format!("{when}, the {name} got {came}, and {end}: {expected} was to come"));
        }
    }

    /// Has to get a proper end, and nothing before it.
    #[track_caller]
    fn expect_end(&mut self, when: &str) {
        let (came, end) = self.receive(when, |came| !came.is_empty());
        let name = self.connection.name();
        match end {
            Some("was hung up on") if came.is_empty() => {}
            Some(end) => self.house.fail(&format!("{when}, the {name} {end}")),
            None => self.house.fail(&format!("{when}, the {name} got {} more", shown(&came))),
        }
    }
}

#[test]
fn the_old_one_ends() {
    let check = check!("13-hand");
    check.suspect("isnt-ready");
    let house = House::new(&check);
    let new = house.upgrade(2);
    check.suspect("the-old-one-stays");
    match house.server.program.ended() {
        Ok(status) if status.success() => {}
        Ok(status) => house.fail(&format!("after an upgrade, the old one ended with {status}")),
        Err(trouble) => {
            let trouble = trouble.to_string();
            let trouble = trouble.strip_prefix("it ").unwrap_or(&trouble);
            house.fail(&format!("after an upgrade, the old one {trouble}"))
        }
    }
    let left = house.everybody();
    if !left.is_empty() && left != [new] {
        house.fail(&format!("after an upgrade, these processes are left: {left:?}"));
    }
    check.suspect("the-door-stays-here");
    house.serves(2, "after an upgrade");
}

#[test]
fn generations_are_counted() {
    let check = check!("13-hand");
    check.suspect("isnt-ready");
    let house = House::new(&check);
    for generation in 2..=5 {
        house.upgrade(generation);
    }
}

#[rstest]
#[case::who_has_said_nothing("visitors-are-lost", "", "hello\n")]
#[case::who_was_answered("visitors-are-lost", "first\n", "hello\n")]
#[case::with_half_a_line("half-a-line-is-lost", "hel", "lo\n")]
#[case::with_a_line_and_a_half("half-a-line-is-lost", "first\nhel", "lo\n")]
#[case::with_a_line_but_its_end("half-a-line-is-lost", "hello", "\n")]
fn one_visitor(#[case] cause: &'static str, #[case] before: &str, #[case] after: &str) {
    let check = check!("13-hand");
    check.suspect(cause);
    // What it has said is taken for what is to be said to it.
    check.suspect_where("the visitor got \"hel\",", "read-in-another-order");
    let house = House::new(&check);
    let mut guest = house.guest("visitor");
    if !before.is_empty() {
        guest.send_and_wait(before.as_bytes());
    }
    if before.contains('\n') {
        guest.expect(b"1 first\n", "before an upgrade");
    }
    house.upgrade(2);
    guest.send(after.as_bytes());
    guest.expect(b"2 hello\n", &format!("after it sent {before:?}, an upgrade, and {after:?}"));
    guest.send_and_wait(b"more\nhal");
    guest.expect(b"2 more\n", "after an upgrade");
    house.upgrade(3);
    guest.send(b"f\n");
    guest.expect(b"3 half\n", "after another upgrade");
}

#[test]
fn a_new_visitor() {
    let check = check!("13-hand");
    check.suspect("the-door-stays-here");
    let house = House::new(&check);
    house.serves(1, "before an upgrade");
    house.upgrade(2);
    house.serves(2, "after an upgrade");
    house.serves(2, "after an upgrade");
}

#[test]
fn many_visitors() {
    let check = check!("13-hand");
    check.suspect("visitors-are-mixed-up");
    let house = House::new(&check);
    let mut guests: Vec<_> = (1..=280).map(|n| house.guest(&format!("visitor {n}"))).collect();
    for (number, guest) in (1..=280).zip(&mut guests) {
        guest.send_and_wait(format!("I am {number}").as_bytes());
    }
    house.upgrade(2);
    for (number, guest) in guests.iter_mut().enumerate().rev() {
        let number = number + 1;
        guest.send(b"!\n");
        guest
            .expect(format!("2 I am {number}!\n").as_bytes(), "after an upgrade with 280 visitors");
    }
}

/// With so many inside, nobody else is let in: they have connected, and are in the kernel's queue.
#[test]
fn those_at_the_door() {
    let check = check!("13-hand");
    check.suspect("the-queue-is-lost");
    check.suspect_where("while 300 were inside", "visitors-arent-counted");
    let house = House::new(&check);
    let mut inside: Vec<_> =
        (1..=MOST_VISITORS).map(|n| house.guest(&format!("visitor {n}"))).collect();
    for guest in &mut inside {
        guest.send(b"in\n");
        guest.expect(b"1 in\n", "before an upgrade");
    }
    let mut outside: Vec<_> =
        (1..=AT_THE_DOOR).map(|n| house.guest(&format!("visitor {n} at the door"))).collect();
    for guest in &mut outside {
        guest.send(b"out\n");
    }
    house.upgrade(2);
    // Whoever would be let in would be before these have been served twice.
    for line in ["one\n", "two\n"] {
        for guest in &mut inside {
            guest.send(line.as_bytes());
        }
        for guest in &mut inside {
            guest.expect(format!("2 {line}").as_bytes(), "after an upgrade");
        }
    }
    for guest in &mut outside {
        if guest.connection.readable_within(Duration::ZERO) {
            let when = "after an upgrade, while 300 were inside";
            let (came, end) = guest.receive(when, |came| !came.is_empty());
            let name = guest.connection.name();
            match end {
                Some(end) => house.fail(&format!("after an upgrade, the {name} {end}")),
                None => house.fail(&format!("{when}, the {name} got {}", shown(&came))),
            }
        }
    }
    drop(inside.drain(..AT_THE_DOOR));
    for guest in &mut outside {
        guest.expect(b"2 out\n", "after an upgrade, when others had left");
    }
    for guest in &mut inside {
        guest.send(b"still\n");
        guest.expect(b"2 still\n", "after an upgrade with as many visitors as may be inside");
    }
}

/// So many lines that the kernel has no room for what comes back, as long as nobody reads.
fn too_much() -> (Vec<u8>, Vec<u8>) {
    let line = |number: usize| format!("{number} {}\n", "x".repeat(900));
    let lines: Vec<String> = (0..TOO_MUCH / 900).map(line).collect();
    let answers: String = lines.iter().map(|line| format!("1 {line}")).collect();
    (lines.concat().into_bytes(), answers.into_bytes())
}

#[test]
fn what_is_queued() {
    let check = check!("13-hand");
    check.suspect("what-is-queued-is-lost");
    let house = House::new(&check);
    let mut guest = house.guest("visitor who doesn't read");
    let (lines, answers) = too_much();
    guest.send_and_wait(&lines);
    settle(&house.server, "after many lines");
    house.upgrade(2);
    guest.send(b"last\n");
    let when = "after an upgrade, for somebody who hadn't read a thing";
    guest.expect(&[&answers[..], b"2 last\n"].concat(), when);
    guest.send(b"more\n");
    guest.expect(b"2 more\n", when);
}

/// The server has said goodbye, and it stands behind what is queued.
#[rstest]
#[case::who_has_finished(true)]
#[case::whose_line_is_too_long(false)]
fn an_end_behind_it(#[case] finishes: bool) {
    let check = check!("13-hand");
    check.suspect("an-end-is-forgotten");
    let house = House::new(&check);
    let mut guest = house.guest("visitor who doesn't read");
    let (lines, answers) = too_much();
    guest.send_and_wait(&lines);
    match finishes {
        true => guest.connection.finish_sending(),
        false => guest.send_and_wait(&[b'x'; 2000]),
    }
    settle(&house.server, "after many lines and their end");
    house.upgrade(2);
    let when = "after an upgrade, for somebody who was to be hung up on, and hadn't read a thing";
    guest.expect(&answers, when);
    guest.expect_end(when);
}

/// It has been told the end, and goes on. All of it is taken, and thrown away.
#[test]
fn who_goes_on_sending() {
    let check = check!("13-hand");
    check.suspect("an-end-is-forgotten");
    let house = House::new(&check);
    let mut guest = house.guest("visitor whose line was too long");
    guest.send_and_wait(&[b'x'; 2000]);
    guest.expect_end("after a line that is too long");
    house.upgrade(2);
    check.suspect("flags-are-mixed-up");
    // If its socket has been closed, the first of these is answered by a reset.
    for _ in 0..3 {
        guest.send(b"more\n");
        thread::sleep(LOOK_EVERY);
    }
}

#[rstest]
#[case::there_is_none(None)]
#[case::it_ends_at_once(Some("exit 1"))]
#[case::it_says_hello_and_ends(Some("printf hello >&0; exit 1"))]
#[case::it_ends_when_it_has_all(Some("printf hello >&0; head -c 9 <&0 >/dev/null; exit 1"))]
#[case::it_says_something_else(Some("printf hello >&0; printf steady >&0; exec sleep 20"))]
#[case::it_says_hello_twice(Some("printf hello >&0; printf hello >&0; exec sleep 20"))]
#[case::it_says_hello_and_hangs(Some("printf hello >&0; exec sleep 20"))]
#[case::it_hangs_before_hello(Some("exec sleep 20"))]
fn it_fails(#[case] script: Option<&str>) {
    let check = check!("13-hand");
    check.suspect("it-isnt-waited-for");
    check.suspect_where(FOR_A_CHILD, "its-child-is-left");
    let house = House::new(&check);
    let mut guest = house.guest("visitor");
    guest.send_and_wait(b"first\nhel");
    guest.expect(b"1 first\n", "before an upgrade");
    match script {
        Some(script) => house.becomes(script),
        None => fs::remove_file(&house.name).expect("it's there"),
    }
    house.server.program.signal(Signal::SIGUSR2);
    let when = match script {
        Some(script) => format!("when the new one does `{script}`"),
        None => "when there is no new one".to_owned(),
    };
    if script == Some("exec sleep 20") {
        house.serves(1, "while the new one hasn't said hello");
    }
    let what = format!("{when}, your program was to say that it's not replaced");
    house.hears(&what, |line| line.starts_with("not replaced: ").then_some(()));
    settle(&house.server, &when);
    check.suspect("closes-before-ready");
    guest.send(b"lo\n");
    guest.expect(b"1 hello\n", &when);
    house.serves(1, &when);
    let began = Instant::now();
    while let Some((pid, state)) = children(house.server.program.pid()).first() {
        if began.elapsed() > Duration::from_secs(2) {
            check.suspect("its-child-is-left");
            let what = if *state == 'Z' { "is a zombie" } else { "lives on" };
            house.fail(&format!("{when}, it failed, and its process {pid} {what}"));
        }
        thread::sleep(LOOK_EVERY);
    }
    check.suspect("another-cant-be-asked-for");
    house.is_itself_again();
    guest.send_and_wait(b"hal");
    house.upgrade(2);
    guest.send(b"f\n");
    guest.expect(b"2 half\n", "after one that failed, and one that didn't");
}

/// They send something, or come, after the new one has said hello, and the old one sees all of it in the same turn.
#[test]
fn in_the_same_turn() {
    let check = check!("13-hand");
    check.suspect("the-old-one-goes-on");
    for _ in 0..ROUNDS {
        in_one_turn(&check);
    }
}

#[track_caller]
fn in_one_turn(check: &Check) {
    let house = House::new(check);
    let mut guests: Vec<_> = (1..=INSIDE).map(|n| house.guest(&format!("visitor {n}"))).collect();
    for guest in &mut guests {
        guest.send(b"in\n");
        guest.expect(b"1 in\n", "before an upgrade");
    }
    house.becomes(&format!("sleep 0.5; exec nice -n 19 {} \"$@\"", house.real().display()));
    let old = &house.server.program;
    old.signal(Signal::SIGUSR2);
    let began = Instant::now();
    let real = house.real();
    let child = || children(old.pid()).first().map(|(pid, _)| *pid);
    while child().is_none() && began.elapsed() < PATIENCE {
        thread::sleep(LOOK_EVERY / 10);
    }
    old.stop();
    let is_waiting = |pid: i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let runs = String::from_utf8_lossy(&line).starts_with(&*real.to_string_lossy());
        runs && Snapshot::of(pid).is_some_and(|now| now.asleep())
    };
    let has_said_hello = || child().is_some_and(is_waiting);
    while !has_said_hello() && began.elapsed() < PATIENCE && house.said_nothing_is_written() {
        thread::sleep(LOOK_EVERY);
    }
    let mut new: Vec<_> = (1..=3).map(|n| house.guest(&format!("new visitor {n}"))).collect();
    for guest in new.iter_mut().chain(&mut guests[..MEANWHILE]) {
        guest.send(b"hel");
    }
    old.go_on();
    house.pid_of(2);
    let when = "after an upgrade, while which half a line had come";
    for guest in new.iter_mut().chain(&mut guests[..MEANWHILE]) {
        guest.send(b"lo\n");
        guest.expect(b"2 hello\n", when);
    }
}

impl House<'_> {
    /// Nobody has come upon a `todo!`.
    fn said_nothing_is_written(&self) -> bool {
        !self.server.program.stderr().iter().any(|line| line.contains("not yet implemented"))
    }
}

/// Each visitor is one descriptor, in whatever generation, and whoever leaves takes it along.
#[test]
fn one_descriptor_each() {
    let check = check!("13-hand");
    check.suspect("a-copy-is-left");
    let house = House::new(&check);
    let mut guests: Vec<_> = (1..=20).map(|n| house.guest(&format!("visitor {n}"))).collect();
    for guest in &mut guests {
        guest.send(b"hello\n");
        guest.expect(b"1 hello\n", "before an upgrade");
    }
    let before = descriptors(house.server.program.pid());
    house.upgrade(2);
    let pid = house.upgrade(3);
    house.needs_no_more(before, SOME_MORE, pid, "with 20 visitors");
    for guest in &mut guests[2..] {
        guest.connection.finish_sending();
        guest.expect_end("after two upgrades, when it has finished sending");
    }
    let before = before.map(|before| before - 18);
    house.needs_no_more(before, SOME_MORE, pid, "when 18 of 20 visitors had left");
    guests[0].send(b"hello\n");
    guests[0].expect(b"3 hello\n", "after others had left");
}

#[test]
fn a_hundred_upgrades() {
    let check = check!("13-hand");
    check.suspect("leaves-descriptors-open");
    let house = House::new(&check);
    let mut guests = [house.guest("first visitor"), house.guest("second visitor")];
    let mut before = None;
    for generation in 2..=UPGRADES + 1 {
        let pid = house.upgrade(generation);
        for guest in &mut guests {
            guest.send(b"hello\n");
            guest.expect(format!("{generation} hello\n").as_bytes(), "after an upgrade");
        }
        if generation == 3 {
            before = descriptors(pid);
        }
    }
    let last = house.pid_of(UPGRADES + 1);
    house.needs_no_more(before, 0, last, "after a hundred upgrades, with two visitors");
}

/// The new one alone: the check is the old one, at the other end of its channel.
#[cfg(target_os = "linux")]
struct Successor<'a> {
    check: &'a Check,
    child: Child,
    channel: Channel,
    stderr: NamedTempFile,
}

#[cfg(target_os = "linux")]
impl<'a> Successor<'a> {
    #[track_caller]
    fn new(check: &'a Check, ours: Channel, theirs: Channel) -> Self {
        let stderr = NamedTempFile::new().expect("there is room");
        let started = Command::new(check.program())
            .arg("--take-over")
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stderr(stderr.reopen().expect("it's there"))
            .spawn();
        match started {
            Ok(child) => Self { check, child, channel: ours, stderr },
            Err(error) => check.fail(format!("it can't be started: {error}")),
        }
    }

    /// The next packet. `None`: nothing will come any more.
    fn says(&mut self) -> Option<Vec<u8>> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            // Looked at first: what it said before its end has come then.
            let has_ended = !matches!(self.child.try_wait(), Ok(None));
            match self.channel.receive() {
                Ok(Some(packet)) => return Some(packet.bytes).filter(|it| !it.is_empty()),
                Ok(None) if has_ended => return None,
                Ok(None) => thread::sleep(LOOK_EVERY / 4),
                Err(_) => return None,
            }
        }
        None
    }

    #[track_caller]
    fn fail(&mut self, saw: &str) -> ! {
        // Whoever ends says why a moment later.
        thread::sleep(LOOK_EVERY * 5);
        let said = fs::read_to_string(self.stderr.path()).unwrap_or_default();
        if said.contains("not yet implemented") {
            self.check.suspect(NOT_WRITTEN_YET);
        }
        self.check.fail(format!("{saw}\nyour program's last words: {}", said.trim_end()));
    }

    #[track_caller]
    fn says_hello(&mut self) {
        let said = self.says();
        if said.as_deref() != Some(b"hello") {
            self.check.suspect("isnt-ready");
            let said = said.map_or("nothing".to_owned(), |said| shown(&said));
            self.fail(&format!("started with --take-over, the new one said {said}, and not HELLO"));
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Successor<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A state as one's program writes it.
#[cfg(target_os = "linux")]
struct Written {
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

#[cfg(target_os = "linux")]
impl Written {
    /// Sends it as the exercise's `send_state` does.
    fn send(&self, channel: &Channel) -> io::Result<()> {
        let file = in_memory(&self.bytes)?;
        let count = (self.descriptors.len() as u64).to_le_bytes();
        channel.send(&count, &[file.as_fd()])?;
        let descriptors: Vec<_> = self.descriptors.iter().map(AsFd::as_fd).collect();
        for some in descriptors.chunks(MOST_DESCRIPTORS) {
            channel.send(b"descriptors", some)?;
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
impl House<'_> {
    /// What the old one hands over, taken from the new one's hands. The old one stands still from then on. `None`: the system forbids
    /// that.
    #[track_caller]
    fn hands_over(&self) -> Option<Written> {
        let channel = self.channel()?;
        channel.send(b"hello", &[]).ok()?;
        let written = self.written(&channel);
        self.server.program.stop();
        // Only now: it mustn't see that nobody is there any more.
        drop(channel);
        Some(written)
    }

    /// An upgrade begins, and the new one's end of its channel is ours.
    #[track_caller]
    fn channel(&self) -> Option<Channel> {
        self.becomes("exec sleep 20");
        self.server.program.signal(Signal::SIGUSR2);
        let began = Instant::now();
        let sleeper = || {
            let (pid, _) = *children(self.server.program.pid()).first()?;
            let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            line.starts_with(b"sleep").then_some(pid)
        };
        let pid = loop {
            if let Some(pid) = sleeper() {
                break pid;
            }
            if began.elapsed() > PATIENCE {
                self.fail("after SIGUSR2, the new one was to be started");
            }
            thread::sleep(LOOK_EVERY / 4);
        };
        let taken = taken_from(pid, 0);
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        taken.map(Channel::from)
    }

    /// Has said HELLO, and receives all.
    #[track_caller]
    fn written(&self, channel: &Channel) -> Written {
        match Self::received(channel) {
            Some(written) => written,
            None => self.fail("when the new one had said HELLO, all was to be sent to it"),
        }
    }

    fn received(channel: &Channel) -> Option<Written> {
        let receive = || {
            let began = Instant::now();
            while began.elapsed() < PATIENCE {
                match channel.receive() {
                    Ok(Some(packet)) if packet.bytes.is_empty() => return None,
                    Ok(Some(packet)) => return Some(packet),
                    Ok(None) => thread::sleep(LOOK_EVERY / 10),
                    Err(_) => return None,
                }
            }
            None
        };
        let first = receive()?;
        let count = u64::from_le_bytes(first.bytes.try_into().ok()?);
        let file = first.descriptors.into_iter().next()?;
        let mut descriptors = Vec::new();
        while (descriptors.len() as u64) < count {
            descriptors.extend(receive()?.descriptors);
        }
        Some(Written { bytes: from_memory(fs::File::from(file)).ok()?, descriptors })
    }
}

/// A copy of a descriptor that another process has, where the system allows it (pidfd_getfd(2)).
#[cfg(target_os = "linux")]
fn taken_from(pid: i32, descriptor: i32) -> Option<OwnedFd> {
    use rustix::process::{self, PidfdFlags, PidfdGetfdFlags};
    let process = process::pidfd_open(process::Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    process::pidfd_getfd(process, descriptor, PidfdGetfdFlags::empty()).ok()
}

/// Whatever is missing, the new one never says that it has all.
#[cfg(target_os = "linux")]
#[rstest]
#[case::nothing_has_come(None)]
#[case::an_empty_state(Some(vec![]))]
#[case::nonsense(Some(vec![0xff; 64]))]
fn it_isnt_ready(#[case] state: Option<Vec<u8>>) {
    let check = check!("13-hand");
    let (ours, theirs) = Channel::pair().expect("there is room");
    let mut new = Successor::new(&check, ours, theirs);
    new.says_hello();
    check.suspect("ready-is-said-too-soon");
    let when = match &state {
        None => "and nothing was sent to it".to_owned(),
        Some(bytes) => format!("and got a state of {} bytes that mean nothing", bytes.len()),
    };
    if let Some(bytes) = state {
        // It may be gone already, and then it says nothing.
        let _ = Written { bytes, descriptors: Vec::new() }.send(&new.channel);
    }
    if let Some(said) = new.says() {
        new.fail(&format!("the new one said HELLO, {when}, and it said {}", shown(&said)));
    }
}

/// A real one, but not just as it was.
#[cfg(target_os = "linux")]
#[rstest]
#[case::breaks_off("ready-is-said-too-soon", "without its last byte", |state: &mut Written| {
    state.bytes.pop();
})]
#[case::has_a_byte_more("something-is-left", "with a byte more", |state: &mut Written| {
    state.bytes.push(0);
})]
#[case::has_a_descriptor_more("something-is-left", "with a descriptor more", |state: &mut Written| {
    let more = fs::File::open("/dev/null").expect("it's there");
    state.descriptors.push(more.into());
})]
fn a_state_that(#[case] cause: &'static str, #[case] how: &str, #[case] changed: fn(&mut Written)) {
    let check = check!("13-hand");
    check.suspect("isnt-ready");
    let house = House::new(&check);
    let mut guest = house.guest("visitor");
    guest.send_and_wait(b"hel");
    let Some(mut state) = house.hands_over() else { return house.is_replaced_all_the_same() };
    changed(&mut state);
    let (ours, theirs) = Channel::pair().expect("there is room");
    let mut new = Successor::new(&check, ours, theirs);
    new.says_hello();
    check.suspect(cause);
    // It may be gone already, and then it says nothing.
    let _ = state.send(&new.channel);
    if let Some(said) = new.says() {
        let said = shown(&said);
        new.fail(&format!("the new one said HELLO, and got a state {how}, and it said {said}"));
    }
}

/// Until it has said READY the old one may have to go on, with all that has come.
#[cfg(target_os = "linux")]
#[test]
fn nobody_is_touched_before() {
    let check = check!("13-hand");
    check.suspect("isnt-ready");
    let house = House::new(&check);
    let mut guest = house.guest("visitor");
    guest.send_and_wait(b"hel");
    let Some(state) = house.hands_over() else { return house.is_replaced_all_the_same() };
    guest.send(b"lo\n");
    let is_there = || state.descriptors.iter().any(has_something_to_read);
    let began = Instant::now();
    while !is_there() && began.elapsed() < PATIENCE {
        thread::sleep(LOOK_EVERY / 10);
    }
    // There is room in the channel for HELLO, and none for READY: so it waits there.
    let (ours, theirs) = Channel::pair().expect("there is room");
    let mut fills = 0;
    while theirs.send(b"hello", &[]).expect("we're here") {
        fills += 1;
    }
    ours.receive().expect("it's there");
    state.send(&ours).expect("it's there");
    let mut new = Successor::new(&check, ours, theirs);
    let pid = i32::try_from(new.child.id()).expect("it's a process number");
    let began = Instant::now();
    let mut before = None;
    while began.elapsed() < PATIENCE && matches!(new.child.try_wait(), Ok(None)) {
        let now = Snapshot::of(pid).filter(Snapshot::asleep);
        if now.is_some() && now == before {
            break;
        }
        before = now;
        thread::sleep(LOOK_EVERY);
    }
    check.suspect("touches-them-too-soon");
    if !is_there() {
        new.fail("before the new one had said READY, what a visitor had sent was read");
    }
    for _ in 1..fills {
        new.says();
    }
    check.suspect("isnt-ready");
    new.says_hello();
}

/// The old one sees in the same turn that the new one has said HELLO, that visitors have sent something, and that others are at
/// the door; and nobody is there who'd be quicker.
#[cfg(target_os = "linux")]
#[test]
fn nobody_is_touched_after() {
    let check = check!("13-hand");
    check.suspect("isnt-ready");
    let house = House::new(&check);
    let mut inside: Vec<_> =
        (1..=MEANWHILE).map(|n| house.guest(&format!("visitor {n}"))).collect();
    for guest in &mut inside {
        guest.send_and_wait(b"hel");
    }
    let Some(channel) = house.channel() else { return house.is_replaced_all_the_same() };
    let old = &house.server.program;
    old.stop();
    channel.send(b"hello", &[]).expect("it's there");
    let door: Vec<_> = (1..=AT_THE_DOOR).map(|n| house.guest(&format!("visitor {n}"))).collect();
    for guest in &mut inside {
        guest.send(b"lo\n");
    }
    old.go_on();
    let state = house.written(&channel);
    let to_read = || state.descriptors.iter().filter(|it| has_something_to_read(it)).count();
    let before = to_read();
    channel.send(b"ready", &[]).expect("it's there");
    house.hears("when the new one had said READY, your program was to be replaced", |line| {
        line.starts_with("replaced by ").then_some(())
    });
    check.suspect("the-old-one-stays");
    if old.ended().is_err() {
        house.fail("when the new one had said READY, the old one was to end");
    }
    check.suspect("the-old-one-goes-on");
    let (when, after) = ("when the new one had said READY, the old one", to_read());
    if after < before {
        let count = before - after;
        house.fail(&format!("{when} read what {count} visitors had sent"));
    }
    let is_door = |it: &&OwnedFd| getsockopt(it, sockopt::AcceptConn) == Ok(true);
    let listener = state.descriptors.iter().find(is_door).and_then(|it| it.try_clone().ok());
    let Some(listener) = listener.map(TcpListener::from) else { return };
    let _ = listener.set_nonblocking(true);
    let left = std::iter::from_fn(|| listener.accept().ok()).count();
    if left < door.len() {
        house.fail(&format!("{when} let in {} who were at the door", door.len() - left));
    }
}

#[cfg(target_os = "linux")]
impl House<'_> {
    /// Where nobody may look into it, it's at least one that can be replaced.
    fn is_replaced_all_the_same(&self) {
        self.hears("when the new one was killed, your program was to say why", |line| {
            line.starts_with("not replaced: ").then_some(())
        });
        self.is_itself_again();
        self.upgrade(2);
    }
}

#[cfg(target_os = "linux")]
fn has_something_to_read(socket: &OwnedFd) -> bool {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    recv(socket.as_raw_fd(), &mut [0], flags) == Ok(1)
}
