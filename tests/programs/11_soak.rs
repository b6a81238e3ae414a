//! Chapter 11's server for a while with all sorts of visitors: what it keeps for one it gives back, so its memory
//! and its descriptors are at the end what they were soon after the beginning.

#![allow(dead_code, reason = "it uses a part of what the strangers are made of")]

#[path = "strangers/house.rs"]
mod house;
#[path = "strangers/tools.rs"]
mod tools;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use house::{House, MIB, Visitor, noise};

/// By then all that it keeps for good has been made: buffers for as many as are ever here, its log's, its files'.
const WARM: Duration = Duration::from_secs(6);
/// What leaks for each visitor has leaked for many thousands by then.
const SOAKED: Duration = Duration::from_secs(24);
/// So many are here at a time.
const TOGETHER: u64 = 16;
/// An allocator keeps a little for itself, now here and now there, in bytes. Lost would be at least a hundred bytes
/// for each of so many visitors.
const A_LITTLE: u64 = 512 << 10;
const ENOUGH_VISITS: usize = 10_000;

/// One visit, of any kind.
fn visit(house: &House, random: &mut Rng) {
    let mut visitor = match random.u8(..4) {
        0 => Visitor::with_little_room(house.address, 4096),
        _ => house.visitor(),
    };
    for _ in 0..random.usize(0..4) {
        match random.u8(..6) {
            0 => {
                visitor.get("/hello", "");
                assert_eq!(visitor.answer().text(), "Hello, World!");
            }
            1 => {
                visitor.get("/page", "");
                assert_eq!(visitor.answer().body.len(), MIB);
            }
            2 => {
                let body = noise(random.usize(..20_000));
                let head =
                    format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}", body.len());
                visitor.say(format!("{head}\r\n\r\n"));
                visitor.say(&body);
                assert!(visitor.answer().body == body);
            }
            3 => {
                visitor.get(&format!("/nowhere/{}", random.u32(..)), "");
                assert_eq!(visitor.answer().status, 404);
            }
            4 => {
                visitor.say("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20));
                for _ in 0..20 {
                    assert_eq!(visitor.answer().text(), "Hello, World!");
                }
            }
            _ => {
                visitor.get("/page", "Range: bytes=5-14\r\n");
                assert_eq!(visitor.answer().body.len(), 10);
            }
        }
    }
    // How it leaves.
    match random.u8(..5) {
        0 => visitor.say("GET /pa"),
        1 => {
            visitor.get("/page", "");
            visitor.skip(random.usize(..100_000));
        }
        2 => visitor.get("/live", ""),
        3 => {
            visitor.say("NO\r\n\r\n");
            visitor.skip(usize::MAX);
        }
        _ => {}
    }
    if random.bool() {
        visitor.reset();
    }
}

/// Visits, many at a time, for so long. How many there were.
fn visits(house: &House, time: Duration, seed: u64) -> usize {
    let until = Instant::now() + time;
    let visitors = |number| {
        move || {
            let mut random = Rng::with_seed(seed + number);
            let mut count = 0;
            while Instant::now() < until {
                visit(house, &mut random);
                count += 1;
            }
            count
        }
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..TOGETHER).map(|number| scope.spawn(visitors(number))).collect();
        all.into_iter().map(|one| one.join().expect("all visits went well")).sum()
    })
}

fn descriptors(house: &House) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{}/fd", house.program.pid())).ok()?.count())
}

/// When everybody has gone.
fn kept(house: &House) -> Option<(u64, usize)> {
    house.is_empty();
    house.program.settled().expect("it rests");
    Some((house.memory()?, descriptors(house)?))
}

#[test]
fn memory_and_descriptors_stay_as_they_are() {
    let house = House::open(&["--workers", "2"]);
    house.file("page", MIB);
    visits(&house, WARM, 0);
    let Some((memory, open)) = kept(&house) else {
        return visitors::skipped("this system doesn't tell what a program uses");
    };
    let count = visits(&house, SOAKED, 1000);
    let (memory_now, open_now) = kept(&house).expect("it was told before");
    eprintln!("{count} visits; {memory} and {memory_now} bytes, {open} and {open_now} descriptors");
    assert_eq!(open_now, open, "descriptors, after {count} visits");
    let grown = memory_now.saturating_sub(memory);
    assert!(grown < A_LITTLE, "{grown} bytes more, after {count} visits");
    assert_eq!(house.count("panics_total"), 0);
    if count < ENOUGH_VISITS {
        visitors::skipped(format!("this machine was too busy: {count} visits would hide a leak"));
    }
}
