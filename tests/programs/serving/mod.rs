//! What the programs from chapter 4 on must all do: one thread serves everybody, and one line waits.
//!
//! `promises`, `hangs_up` and `never_waits` are the tests, the same for each that has them. Here is what they are made of.
#![allow(dead_code, reason = "no chapter uses all of it")]

use std::cell::Cell;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use lens::Lens;
use visitors::answer::Answer;
use visitors::connection::{Connection, End};
use visitors::crowd;
use visitors::program::{Program, Start};

pub const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
pub const LARGE: &[u8] = b"GET /large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/// Longest request that is accepted, in bytes.
const LONGEST_REQUEST: usize = 8 * 1024;
/// A server that does nothing uses no CPU time. So long it's looked at, and one tick of the kernel's
/// clock, by which CPU time is counted, may be somebody else's.
const DOING_NOTHING: Duration = Duration::from_secs(1);
const A_TICK: Duration = Duration::from_millis(10);
/// How many come at a time: about half of a backlog.
const AT_THE_DOOR: usize = 64;

/// A chapter's program, serving.
#[derive(Debug)]
pub struct Server {
    pub program: Program,
    pub address: SocketAddr,
    chapter: u32,
    /// How many visitors have come.
    come: Cell<usize>,
}

impl Server {
    pub fn start(path: &str, chapter: u32) -> Self {
        Self::start_with(path, chapter, &[])
    }

    /// With more arguments behind its address.
    pub fn start_with(path: &str, chapter: u32, arguments: &[&str]) -> Self {
        let start = Start::new(path).arg("127.0.0.1:0");
        Self::started(arguments.iter().fold(start, Start::arg), chapter)
    }

    /// With at most so many descriptors, and no way to get more.
    pub fn start_with_few_descriptors(path: &str, chapter: u32, count: u32) -> Self {
        // From chapter 11 on they would say 503 before they have none left.
        let more = match chapter {
            11 => "--workers 1 --connections 1000",
            12 => "--connections 1000",
            _ => "",
        };
        let script = format!("ulimit -n {count} && exec {path} 127.0.0.1:0 {more}");
        Self::started(Start::new("/bin/sh").arg("-c").arg(script), chapter)
    }

    fn started(start: Start, chapter: u32) -> Self {
        let program = start.start().expect("it can be started");
        let address = program.listening().expect("it says where it listens");
        Self { program, address, chapter, come: Cell::new(0) }
    }

    #[track_caller]
    pub fn visitor(&self, name: &str) -> Connection {
        self.come.set(self.come.get() + 1);
        Connection::connect(self.address, name).expect("it listens")
    }

    /// So many visitors who say nothing.
    #[track_caller]
    pub fn silent(&self, count: usize) -> Vec<Connection> {
        self.visitors("silent visitor", count, b"")
    }

    /// So many visitors who have sent so much.
    #[track_caller]
    pub fn visitors(&self, name: &str, count: usize, sent: &[u8]) -> Vec<Connection> {
        let mut visitors = Vec::new();
        for number in 1..=count {
            let mut visitor = self.visitor(&format!("{name} {number}"));
            visitor.send(sent).expect("it goes on");
            visitors.push(visitor);
            if number % AT_THE_DOOR == 0 {
                self.all_are_let_in();
            }
        }
        visitors
    }

    /// Waits until all who have come are accepted: who comes when the backlog is full has to try again, and
    /// does so after seconds only.
    #[track_caller]
    fn all_are_let_in(&self) {
        // Chapter 11's door has room for all, and it tells nothing of those who are let in.
        if self.chapter > 9 {
            return;
        }
        let line = format!("visitor {}: connected", self.come.get());
        self.program.says(|said| said.starts_with(&line)).expect("it lets them in");
    }

    /// The whole answer to what has been sent, up to the connection's proper end.
    #[track_caller]
    pub fn answer(&self, visitor: &mut Connection) -> Answer {
        let received = visitor.receive_all(&self.program).expect("no trouble");
        assert_eq!(received.end, End::Closed);
        let (answer, length) = Answer::parse(&received.bytes, true).expect("a whole answer");
        assert_eq!(length, received.bytes.len(), "nothing comes after the answer");
        answer
    }

    #[track_caller]
    pub fn expect_page(&self, visitor: &mut Connection) {
        let answer = self.answer(visitor);
        assert_eq!(answer.status, 200);
        let page =
            format!("Good things come to those who wait.\nServed by chapter {}.\n", self.chapter);
        assert_eq!(String::from_utf8_lossy(&answer.body), page);
    }

    #[track_caller]
    pub fn still_serves(&self) {
        let mut quick = self.visitor("quick visitor");
        quick.send(REQUEST).expect("it reads");
        self.expect_page(&mut quick);
    }

    #[track_caller]
    pub fn settled(&self) {
        self.program.settled().expect("it rests when it has nothing to do");
    }

    /// It's asleep, and stays so: it uses no CPU time.
    #[track_caller]
    pub fn does_nothing(&self) {
        let mut used = Vec::new();
        // On a busy machine what was done to it before may reach it only now. What it does by itself
        // it does each time.
        for _ in 0..3 {
            self.settled();
            let Some(before) = self.program.usage() else { return };
            thread::sleep(DOING_NOTHING);
            let now = self.program.usage().expect("it runs");
            used.push(now.cpu.saturating_sub(before.cpu));
            if used.last() <= Some(&A_TICK) {
                return;
            }
        }
        panic!("{used:?} of CPU time, in {DOING_NOTHING:?} each");
    }

    /// A lens on it, or `None` where this system has none.
    pub fn lens(&self) -> Option<Lens> {
        Lens::on(&self.program).map_err(visitors::skipped).ok()
    }
}

pub fn a_request_in_pieces_gets_the_same_answer(server: &Server, pieces: usize) {
    let mut slow = server.visitor("slow visitor");
    slow.send_in_pieces(REQUEST, pieces, &server.program).unwrap();
    server.expect_page(&mut slow);
}

/// All are in the middle of their requests at the same time, and the one who came last finishes first.
pub fn visitors_are_served_in_reverse_order(server: &Server, count: usize) {
    crowd::make_room(count).unwrap();
    let mut visitors = server.visitors("visitor", count, &REQUEST[..20]);
    for visitor in visitors.iter_mut().rev() {
        visitor.send(&REQUEST[20..]).unwrap();
        server.expect_page(visitor);
    }
}

/// Two visitors' pieces in turns: each has a buffer of its own.
pub fn requests_are_not_mixed_up(server: &Server) {
    let mut one = server.visitor("visitor 1");
    let mut other = server.visitor("visitor 2");
    let (plain, large) = (REQUEST.chunks(7), LARGE.chunks(7));
    for (of_one, of_other) in plain.zip(large) {
        one.send(of_one).unwrap();
        one.wait_until_read(Duration::from_secs(5));
        other.send(of_other).unwrap();
        other.wait_until_read(Duration::from_secs(5));
    }
    let sent = LARGE.len().min(REQUEST.len().div_ceil(7) * 7);
    other.send(&LARGE[sent..]).unwrap();
    server.expect_page(&mut one);
    expect_large_page(server, &mut other);
}

/// A visitor that has finished sending before it is answered gets its answer all the same.
pub fn who_has_finished_sending_is_answered(server: &Server) {
    let mut visitor = server.visitor("visitor");
    server.program.stop();
    visitor.send(REQUEST).unwrap();
    visitor.finish_sending();
    server.program.go_on();
    server.expect_page(&mut visitor);
}

/// At each stage of its visit, politely and by reset; and before it is even accepted.
pub fn who_leaves_at_any_stage_leaves_alone(server: &Server) {
    let mut bystander = server.visitor("bystander");
    bystander.send_in_pieces(&REQUEST[..20], 1, &server.program).unwrap();
    for by_reset in [true, false] {
        for sent in [&b""[..], &REQUEST[..20], REQUEST, LARGE] {
            let mut rude = server.visitor("rude visitor");
            rude.send_in_pieces(sent, 1, &server.program).unwrap();
            if sent == LARGE {
                let some = |bytes: &[u8]| bytes.len() > 100_000;
                let received = rude.receive_while_missing(&server.program, some);
                received.expect("no trouble").expect("a large page");
            }
            match by_reset {
                true => rude.reset(),
                false => drop(rude),
            }
            server.still_serves();
        }
        // With its answer, and without having hung up.
        let mut leaving = server.visitor("leaving visitor");
        leaving.send(REQUEST).unwrap();
        server.expect_page(&mut leaving);
        match by_reset {
            true => leaving.reset(),
            false => drop(leaving),
        }
        server.program.stop();
        for _ in 0..3 {
            let mut gone = server.visitor("visitor who is gone at once");
            gone.send(&REQUEST[..20]).unwrap();
            match by_reset {
                true => gone.reset(),
                false => drop(gone),
            }
        }
        server.program.go_on();
        server.still_serves();
    }
    server.does_nothing();
    bystander.send(&REQUEST[20..]).unwrap();
    server.expect_page(&mut bystander);
}

/// Somebody with an answer may stay as long as it likes, and may go on talking.
pub fn who_stays_after_its_answer_is_no_burden(server: &Server) {
    let mut staying = server.visitor("staying visitor");
    staying.send(REQUEST).unwrap();
    server.expect_page(&mut staying);
    server.does_nothing();
    staying.send(&[b'x'; 10_000]).unwrap();
    assert!(staying.wait_until_read(Duration::from_secs(5)), "what it says is read");
    server.does_nothing();
    server.still_serves();
}

/// Held by a test with so many visitors that two of them at the same time wouldn't fit into one process.
pub fn room_for_a_crowd() -> MutexGuard<'static, ()> {
    static ROOM: Mutex<()> = Mutex::new(());
    // Whoever failed in it has left it.
    ROOM.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn idle_visitors_cost_no_cpu_time(server: &Server, count: usize) {
    let _room = room_for_a_crowd();
    if let Err(reason) = crowd::make_room(count + 10) {
        return visitors::skipped(reason);
    }
    let silent = server.silent(count);
    server.does_nothing();
    server.still_serves();
    drop(silent);
    server.does_nothing();
}

/// So many connect, send their requests, and hang up all at once; while the server can't look.
pub fn many_at_the_same_moment(server: &Server, count: usize) {
    server.program.stop();
    let mut visitors = Vec::new();
    for number in 0..count {
        let mut visitor = server.visitor(&format!("visitor {number}"));
        visitor.send(REQUEST).unwrap();
        visitors.push(visitor);
    }
    server.program.go_on();
    for visitor in &mut visitors {
        server.expect_page(visitor);
    }
    server.program.stop();
    drop(visitors);
    server.program.go_on();
    server.still_serves();
    server.does_nothing();
}

#[track_caller]
pub fn expect_large_page(server: &Server, visitor: &mut Connection) {
    let body = server.answer(visitor).body;
    let line = b"Good things come to those who wait.\n";
    assert!(body.len() >= 8 << 20, "{} bytes", body.len());
    assert!(body.chunks(line.len()).all(|chunk| chunk == line));
}

/// Most of a request that is far too long lies unread at the end: a plain close would send a reset.
pub fn a_request_is_at_most_8_kib(server: &Server) {
    for (length, status) in [(LONGEST_REQUEST, 200), (LONGEST_REQUEST + 1, 431), (60 * 1024, 431)] {
        let mut visitor = server.visitor("talkative visitor");
        let (begin, end) = ("GET / HTTP/1.1\r\nX: ", "\r\n\r\n");
        let filling = "x".repeat(length - begin.len() - end.len());
        visitor.send(format!("{begin}{filling}{end}").as_bytes()).unwrap();
        assert_eq!(server.answer(&mut visitor).status, status, "{length} bytes");
    }
    let mut endless = server.visitor("talkative visitor");
    endless.send(&[b'x'; LONGEST_REQUEST]).unwrap();
    assert_eq!(server.answer(&mut endless).status, 431);
}

/// One line waits, whoever comes: all of the cast but the greedy one.
pub fn one_line_waits(server: &Server, call: &str) {
    let Some(lens) = server.lens() else { return };
    let _silent = server.silent(3);
    server.still_serves();
    server.settled();
    let mut slow = server.visitor("slow visitor");
    slow.send_in_pieces(REQUEST, REQUEST.len(), &server.program).unwrap();
    server.expect_page(&mut slow);
    for sent in [20, REQUEST.len()] {
        let mut rude = server.visitor("rude visitor");
        rude.send_in_pieces(&REQUEST[..sent], 1, &server.program).unwrap();
        rude.reset();
    }
    let crowd = server.silent(50);
    server.settled();
    drop(crowd);
    server.settled();
    server.still_serves();
    assert_eq!(lens.waits_only_in(&[call]), Ok(()));
}

/// A greedy visitor makes a blocking server wait in its write, and everybody with it.
pub fn a_greedy_visitor_stops_everybody(server: &Server) {
    // What these chapters end with. If this fails, their pages tell a tale.
    let Some(lens) = server.lens() else { return };
    let mut greedy = server.visitor("greedy visitor");
    greedy.send(LARGE).unwrap();
    server.settled();
    let mut quick = server.visitor("quick visitor");
    quick.send(REQUEST).unwrap();
    assert!(!quick.readable_within(Duration::from_millis(100)), "nobody serves it");
    let elsewhere = lens.waits_only_in(&["select", "poll"]).expect_err("it waits in a write");
    assert!(elsewhere.contains("once in sendto"), "{elsewhere}");
    expect_large_page(server, &mut greedy);
    server.expect_page(&mut quick);
}

/// When the kernel has no descriptor left, visitors wait at the door, and the server doesn't spin.
/// When somebody leaves, the next one is let in.
pub fn without_descriptors_it_waits(server: &Server) {
    let mut inside = server.silent(30);
    server.program.says(|line| line.contains("not accepted: ")).expect("a line says so");
    // It looks again, ten times a second. That's all.
    let before = server.program.usage();
    thread::sleep(DOING_NOTHING);
    if let (Some(before), Some(now)) = (before, server.program.usage()) {
        let used = now.cpu.saturating_sub(before.cpu);
        assert!(used <= 5 * A_TICK, "{used:?} of CPU time in {DOING_NOTHING:?}");
    }
    // Who comes first isn't always let in first: chapter 11's kernel waits for a first word.
    let mut last = server.visitor("last visitor");
    last.send(REQUEST).unwrap();
    assert!(!last.readable_within(Duration::from_millis(50)), "it isn't in yet");
    inside.clear();
    server.expect_page(&mut last);
    server.still_serves();
    server.does_nothing();
}

/// A signal that is handled ends the wait with EINTR, and nothing else.
pub fn a_signal_changes_nothing(server: &Server) {
    let mut visitor = server.visitor("visitor");
    visitor.send_in_pieces(&REQUEST[..20], 1, &server.program).unwrap();
    server.settled();
    let mut signals = 0;
    while server.program.handles_a_signal() {
        signals += 1;
        server.settled();
        server.still_serves();
    }
    assert!(signals > 0 || !cfg!(target_os = "linux"), "nothing has interrupted it");
    visitor.send(&REQUEST[20..]).unwrap();
    server.expect_page(&mut visitor);
}

/// A false readiness: `poll` or `select` says that a silent visitor has something to say.
pub fn under_a_lens_that_lies(server: &Server) -> Option<(Lens, Vec<Connection>)> {
    let silent = server.silent(3);
    server.settled();
    let lens = Lens::that_lies_to(&server.program);
    let lens = lens.map_err(visitors::skipped).ok()?;
    Some((lens, silent))
}

/// `listens_at` it listens; anywhere, if that's empty. By 127.0.0.1 it's always reached.
pub fn addresses_may_be_short(path: &str, word: &str, listens_at: &str) {
    let program = Start::new(path).arg(word).start().expect("it can be started");
    let address = program.listening().expect("it says where it listens");
    match listens_at {
        "" => assert!(address.ip().is_unspecified(), "{address}"),
        ip => assert_eq!(address.ip().to_string(), ip),
    }
    let here = SocketAddr::from(([127, 0, 0, 1], address.port()));
    Connection::connect(here, "visitor").expect("it listens there, too");
}

pub fn bad_arguments_get_one_line_and_status_2(path: &str) {
    for arguments in [&["somewhere"][..], &["127.0.0.1:0", "more"], &["--quietly"], &[""]] {
        let output = Command::new(path).args(arguments).assert().code(2);
        let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("--help"), "{said}");
    }
    let help = Command::new(path).arg("--help").assert().success();
    assert!(String::from_utf8_lossy(&help.get_output().stdout).contains("ADDRESS"));
}

pub fn a_port_that_is_taken_gets_one_line_and_status_1(path: &str) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(path).arg(&address).assert().code(1);
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(&format!("can't listen on {address}")), "{said}");
}

pub fn who_can_not_say_where_it_listens_says_that(path: &str) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = std::process::Command::new(path).arg("127.0.0.1:0").stdout(writer).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("can't tell where it listens: Broken pipe"), "{said}");
}

/// How long a quick visitor waits for its page.
#[track_caller]
pub fn time_for_a_quick_one(server: &Server) -> Duration {
    let began = Instant::now();
    server.still_serves();
    began.elapsed()
}

/// A program that the compiler refuses, with the error that the page shows.
#[track_caller]
pub fn is_refused_as_shown(program: &str, shown: &str) {
    let said = std::process::Command::new(env!("CARGO"))
        .args(["check", "--quiet", "--offline", "--bin", program])
        .args(["--features", "shows-an-error", "--message-format", "short"])
        .current_dir(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo test says it"))
        .output()
        .expect("cargo is there");
    assert!(!said.status.success(), "it compiles");
    let said = String::from_utf8_lossy(&said.stderr);
    let error = shown.lines().next().expect("the page shows an error");
    assert!(error.starts_with("error[E"), "{error}");
    assert!(said.contains(error), "{said}");
}
