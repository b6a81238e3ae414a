//! What visitors cost who take nothing.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit};
use rstest::rstest;
use visitors::program::Start;

use crate::house::{House, MIB, PROGRAM, Visitor};
use crate::tools::{PATIENCE, alone};
use visitors::setup::until;

const GREEDY: usize = 200;
const KIB: u64 = 1024;

fn there_is_room() -> bool {
    visitors::crowd::make_room(GREEDY * 2 + 100).is_ok()
        && getrlimit(Resource::RLIMIT_NOFILE).is_ok_and(|(soft, _)| soft > 500)
}

/// 200 visitors ask for something large, and read nothing of it.
#[rstest]
#[case::a_large_file("GET /large HTTP/1.1\r\nHost: here\r\n\r\n", 1, 12)]
#[case::a_kept_file("GET /kept HTTP/1.1\r\nHost: here\r\n\r\n", 30, 100)]
#[case::a_part_of_a_kept_file(
    "GET /kept HTTP/1.1\r\nHost: here\r\nRange: bytes=1-\r\n\r\n",
    30,
    100
)]
#[case::many_small_answers("GET /hello HTTP/1.1\r\nHost: here\r\n\r\n", 5000, 200)]
fn who_does_not_read_costs_little(#[case] ask: &str, #[case] times: usize, #[case] kib_each: u64) {
    let _alone = alone();
    if !there_is_room() {
        return visitors::skipped("too few descriptors");
    }
    let house = House::open(&["--workers", "1"]);
    house.sparse("large", 200 << 20);
    house.sparse("kept", 200 << 10);
    house.quick();
    // Once: what is kept in memory for all is there.
    let mut first = house.visitor();
    first.get("/kept", "");
    first.answer();
    let Some(before) = house.memory() else { return visitors::skipped("no memory to be seen") };
    let mut stuck = Vec::new();
    for _ in 0..GREEDY {
        let mut visitor = Visitor::with_little_room(house.address, 16 * 1024);
        // It may not be listened to any more: that's what is right.
        visitor.stream.set_nonblocking(true).unwrap();
        let all = ask.repeat(times);
        let _ = std::io::Write::write(&mut visitor.stream, all.as_bytes());
        visitor.stream.set_nonblocking(false).unwrap();
        stuck.push(visitor);
    }
    for visitor in &stuck {
        visitor.stream.peek(&mut [0]).expect("its answer has begun");
    }
    house.program.settled().expect("it rests");
    house.quick();
    let grown = house.memory().unwrap().saturating_sub(before) / KIB;
    let most = GREEDY as u64 * kib_each + KIB;
    assert!(grown <= most, "{grown} KiB for {GREEDY} who don't read: more than {most}");
    drop(stuck);
    drop(first);
    house.is_empty();
}

/// Nor does the kernel keep much for them: left alone, it would be megabytes for each.
#[test]
fn the_kernel_keeps_little_for_one_who_does_not_read() {
    let house = House::open(&["--workers", "1"]);
    house.sparse("large", 200 << 20);
    let mut stuck = house.visitor();
    stuck.get("/large", "");
    stuck.stream.peek(&mut [0]).expect("its answer has begun");
    house.program.settled().expect("it rests");
    let Ok(table) = std::fs::read_to_string("/proc/net/tcp") else {
        return visitors::skipped("the kernel doesn't tell what it keeps");
    };
    let ours = stuck.stream.local_addr().unwrap().port();
    let ports = (format!(":{:04X}", house.address.port()), format!(":{ours:04X}"));
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Address, the other one's address, state, what isn't confirmed (proc_net(5)).
    let line = lines.find(|it| it[1].ends_with(&ports.0) && it[2].ends_with(&ports.1));
    let line = line.expect("the connection is in the kernel's table");
    let (queue, _) = line[4].split_once(':').expect("two queues");
    let kept = u64::from_str_radix(queue, 16).expect("a number") / KIB;
    assert!((1..=256).contains(&kept), "{kept} KiB");
}

/// The page that is made while it's taken.
#[test]
fn a_stream_that_nobody_reads_is_not_made() {
    let _alone = alone();
    if !there_is_room() {
        return visitors::skipped("too few descriptors");
    }
    let start = Start::new(PROGRAM).arg("127.0.0.1:0").arg("--workers").arg("1");
    let program = start.start().unwrap();
    let address = program.listening().unwrap();
    Visitor::call(address).get("/hello", "");
    program.settled().expect("it rests");
    let resident = || program.usage().map(|usage| usage.resident);
    let Some(before) = resident() else { return visitors::skipped("no memory to be seen") };
    let mut stuck = Vec::new();
    for _ in 0..GREEDY {
        let mut visitor = Visitor::with_little_room(address, 16 * 1024);
        visitor.get("/large", "");
        stuck.push(visitor);
    }
    for visitor in &stuck {
        visitor.stream.peek(&mut [0]).expect("its answer has begun");
    }
    program.settled().expect("it rests");
    let grown = resident().unwrap().saturating_sub(before) / KIB;
    assert!(grown <= GREEDY as u64 * 68 + KIB, "{grown} KiB for {GREEDY} who don't read");
    let mut last = stuck.pop().unwrap();
    let all = last.answer().body;
    assert!(all.len() >= 8 * MIB && all.iter().filter(|byte| **byte == b'\n').count() > 1000);
}

/// One who takes nothing has to go, whatever it says meanwhile.
#[rstest]
#[case::and_says_nothing(b"")]
#[case::and_says_something_now_and_then(b"G")]
fn who_takes_nothing_is_shown_the_door(#[case] says: &[u8]) {
    let house = House::open(&["--workers", "1", "--answer", "1"]);
    house.sparse("large", 200 << 20);
    let mut stuck = Visitor::with_little_room(house.address, 16 * 1024);
    stuck.get("/large", "");
    stuck.stream.peek(&mut [0]).expect("its answer has begun");
    let began = Instant::now();
    let is_gone = || house.count("connections_open") == 1;
    while !is_gone() {
        assert!(began.elapsed() < PATIENCE / 4, "it's still here");
        // An error says that it's gone. We look for ourselves.
        let _ = std::io::Write::write(&mut stuck.stream, says);
        thread::sleep(Duration::from_millis(100));
    }
    assert!(began.elapsed() > Duration::from_millis(900), "{:?}", began.elapsed());
    assert!(stuck.skip(usize::MAX) < 200 << 20);
    let log = until("it's in the log", || {
        house.log().into_iter().find(|line| line.request.contains("/large"))
    });
    assert!(log.status == 200 && log.bytes < 200 << 20, "{log:?}");
}

/// One who takes some of it now and then may take as long as that takes: far longer than one who takes nothing
/// may stay.
#[test]
fn who_takes_some_now_and_then_gets_it_all() {
    let house = House::open(&["--workers", "1", "--answer", "2"]);
    let file = house.file("large", 6 * MIB);
    let mut slow = Visitor::with_little_room(house.address, 16 * 1024);
    slow.get("/large", "");
    let began = Instant::now();
    let answer = slow.answer_in_bites(128 * 1024, Duration::from_millis(100));
    assert!(answer.body == file);
    assert!(began.elapsed() > Duration::from_secs(4), "{:?}", began.elapsed());
}

/// What a visitor has asked for, and hasn't been answered, isn't kept for ever.
#[rstest]
#[case::a_large_body("POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 1048576\r\n\r\n", MIB / 2, 100)]
#[case::a_long_head("GET / HTTP/1.1\r\nHost: here\r\nX: ", 10_000, 500)]
fn what_was_begun_is_given_back(#[case] head: &str, #[case] more: usize, #[case] times: usize) {
    let _alone = alone();
    let house = House::open(&["--workers", "1"]);
    let begin = |house: &House| {
        let mut visitors = Vec::new();
        for _ in 0..times {
            let mut visitor = house.visitor();
            visitor.say(head);
            visitor.say(vec![b'x'; more]);
            visitors.push(visitor);
        }
        house.program.settled().expect("it rests");
        drop(visitors);
        house.is_empty();
        house.memory()
    };
    let Some(first) = begin(&house) else { return visitors::skipped("no memory to be seen") };
    let mut last = first;
    for _ in 0..3 {
        last = begin(&house).unwrap();
    }
    let grown = last.saturating_sub(first);
    // Were it all kept, that would be three times as much as was begun each time.
    let begun = (times * more) as u64;
    assert!(grown < begun, "{} KiB more, when {} were begun", grown / KIB, begun / KIB);
}
