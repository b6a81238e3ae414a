//! What chapter 11's server must do, besides its exercises: the promises of all servers of this book, and
//! some of its own. What strangers make of it is looked at in `11_strangers.rs`.

#[path = "serving/never_waits.rs"]
mod never_waits;
#[path = "serving/promises.rs"]
mod promises;
mod serving;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rstest::rstest;
use serving::Server;
use visitors::{crowd, setup};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ch11-http-server");
const CHAPTER: u32 = 11;
/// The one call in which it waits.
const WAITS_IN: &str = if cfg!(target_os = "linux") { "epoll_wait" } else { "poll" };
/// So many silent visitors it must be able to keep.
const SILENT: usize = 10_000;
/// How long anything may take that takes no time.
const PATIENCE: Duration = Duration::from_secs(30);
const HELLO: &[u8] = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// With deadlines that don't pass while the promises are looked at.
fn start() -> Server {
    let patient = ["--workers", "1", "--idle", "600", "--head", "600", "--answer", "600"];
    Server::start_with(PROGRAM, CHAPTER, &patient)
}

/// The shared port isn't shared with another server that shares.
#[test]
fn a_port_of_another_one_is_taken() {
    let server = Server::start_with(PROGRAM, CHAPTER, &["--workers", "2"]);
    let address = server.address.to_string();
    let output = assert_cmd::Command::new(PROGRAM)
        .args([&address, "--workers", "2"])
        .timeout(PATIENCE)
        .assert()
        .code(1);
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(said.contains("can't listen on"), "{said}");
}

/// A visitor that stays, and asks one thing after the other.
struct Staying(TcpStream);

impl Staying {
    fn come(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// Asks for /hello, and reads the answer to its last byte.
    #[track_caller]
    fn hello(&mut self) {
        self.0.write_all(HELLO).unwrap();
        let mut answer = Vec::new();
        let mut piece = [0; 512];
        while !answer.ends_with(b"\r\n\r\nHello, World!") {
            let count = self.0.read(&mut piece).expect("an answer");
            assert_ne!(count, 0, "it's hung up on: {:?}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&piece[..count]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{answer:?}");
    }
}

#[test]
fn a_request_costs_two_calls_besides_the_wait() {
    const REQUESTS: usize = 100;
    let server = start();
    let mut visitor = Staying::come(&server);
    visitor.hello();
    server.settled();
    let Some(lens) = server.lens() else { return };
    let before = lens.calls().len();
    for _ in 0..REQUESTS {
        visitor.hello();
    }
    server.settled();
    let calls = lens.calls();
    let count = |name: &str| calls[before..].iter().filter(|call| call.call == name).count();
    assert_eq!((count("recvfrom"), count("sendto")), (REQUESTS, REQUESTS));
    let others = calls.len() - before - 2 * REQUESTS - count("epoll_wait");
    // A timer, or a look at the calendar, may come in between; one for each request doesn't.
    assert!(others <= 2, "{others} others: {:?}", &calls[before..]);
}

#[test]
fn who_stays_and_says_nothing_costs_less_than_a_kilobyte() {
    let _room = serving::room_for_a_crowd();
    if let Err(reason) = crowd::make_room(SILENT + 10) {
        return visitors::skipped(reason);
    }
    let server = start();
    Staying::come(&server).hello();
    server.settled();
    let Some(before) = server.program.usage() else {
        return visitors::skipped("this system doesn't tell what a program uses");
    };
    let mut staying = Vec::new();
    for _ in 0..SILENT {
        let mut visitor = Staying::come(&server);
        visitor.hello();
        staying.push(visitor);
    }
    server.settled();
    let now = server.program.usage().expect("it runs");
    let each = now.resident.saturating_sub(before.resident) / SILENT as u64;
    eprintln!("{each} bytes for each of {SILENT}");
    assert!(each < 1024, "{each} bytes for each");
    // They are still served.
    for visitor in staying.iter_mut().step_by(1000) {
        visitor.hello();
    }
    server.does_nothing();
}

#[test]
fn ten_thousand_silent_visitors_slow_nobody_down() {
    setup::by_the_clock(ten_thousand_silent_visitors);
}

fn ten_thousand_silent_visitors() {
    let _room = serving::room_for_a_crowd();
    if let Err(reason) = crowd::make_room(SILENT + 10) {
        return visitors::skipped(reason);
    }
    let server = start();
    let fastest = |server: &Server| {
        let times = (0..20).map(|_| serving::time_for_a_quick_one(server));
        times.min().unwrap_or_default()
    };
    let alone = fastest(&server);
    let silent = server.silent(SILENT);
    server.settled();
    let among_them = fastest(&server);
    // A machine that does other things may be late by some milliseconds, either time.
    let most = alone * 2 + Duration::from_millis(5);
    assert!(among_them <= most, "{alone:?} alone, {among_them:?} among {SILENT}");
    drop(silent);
}

/// A timer that rings early looks, and goes to sleep again: it doesn't spin, and it doesn't forget.
#[test]
fn a_deadline_that_moves_is_met() {
    let server = Server::start_with(PROGRAM, CHAPTER, &["--idle", "1", "--workers", "1"]);
    let mut visitor = Staying::come(&server);
    let began = Instant::now();
    // Each request moves it.
    let mut last = began;
    while last - began < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(50));
        last = Instant::now();
        visitor.hello();
    }
    let mut rest = Vec::new();
    visitor.0.read_to_end(&mut rest).expect("an end");
    let stayed = last.elapsed();
    assert_eq!(rest, b"", "nothing was asked");
    assert!(stayed >= Duration::from_secs(1), "it stayed {stayed:?}");
    server.does_nothing();
}

/// An answer that doesn't fit into one buffer with its head ends a batch. The requests behind it have come
/// already: nothing will tell again that they are there.
#[rstest]
#[case::from_memory(20_000)]
#[case::from_the_disk(300_000)]
fn requests_behind_a_larger_answer_are_answered(#[case] size: usize) {
    const REQUESTS: usize = 100;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), vec![b'X'; size]).unwrap();
    let root = folder.path().to_str().unwrap();
    let server = Server::start_with(PROGRAM, CHAPTER, &["--workers", "1", "--root", root]);
    let mut visitor = TcpStream::connect(server.address).unwrap();
    visitor.set_read_timeout(Some(PATIENCE)).unwrap();
    let both = [&b"GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], HELLO].concat();
    visitor.write_all(&both.repeat(REQUESTS)).unwrap();
    let mut all = Vec::new();
    let mut piece = vec![0; 1 << 20];
    while all.len() < REQUESTS * size || !all.ends_with(b"Hello, World!") {
        let count = visitor.read(&mut piece).expect("all answers come");
        assert_ne!(count, 0, "it's hung up on after {} bytes", all.len());
        all.extend_from_slice(&piece[..count]);
    }
    let hellos = all.windows(13).filter(|window| *window == b"Hello, World!").count();
    assert_eq!(hellos, REQUESTS);
    let xs = all.iter().filter(|byte| **byte == b'X').count();
    assert_eq!(xs, REQUESTS * size, "nobody else writes that letter");
}
