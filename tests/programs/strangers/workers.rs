//! Several loops on one port.

use std::fs;

use crate::house::{House, Visitor};
use visitors::setup::until;

/// How often each thread of the program has been woken: the first one, and its workers.
fn turns(house: &House) -> Vec<u64> {
    let tasks = format!("/proc/{}/task", house.program.pid());
    let mut threads = Vec::new();
    for task in fs::read_dir(tasks).expect("it runs").flatten() {
        let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let status = read("status");
        let switches =
            status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        if read("comm").trim() != "log" {
            threads.push(switches.and_then(|count| count.trim().parse().ok()).unwrap_or(0));
        }
    }
    threads
}

/// The kernel gives a worker what it has chosen for it: each of them answers somebody, and nobody is forgotten.
#[test]
fn two_workers_share_the_visitors() {
    if !cfg!(target_os = "linux") {
        return visitors::skipped("this system doesn't tell what threads do");
    }
    let house = House::open(&["--workers", "2"]);
    let inodes = fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!("0100007F:{:04X} 00000000:0000 0A", house.address.port());
    assert_eq!(inodes.matches(&port).count(), 2, "listeners on the one port");
    house.program.settled().expect("it rests");
    let before = turns(&house);
    assert_eq!(before.len(), 2, "threads besides the log's");
    // A lone one of 64 is one of 2^63.
    let mut visitors: Vec<Visitor> = (0..64).map(|_| house.visitor()).collect();
    for _ in 0..20 {
        for visitor in &mut visitors {
            visitor.get("/hello", "");
            assert_eq!(visitor.answer().text(), "Hello, World!");
        }
    }
    let woken: Vec<u64> =
        turns(&house).iter().zip(before).map(|(now, before)| now - before).collect();
    // Each visitor's 20 requests come one after the other: most of them wake somebody who sleeps.
    assert!(woken.iter().all(|count| *count >= 20), "woken: {woken:?}");
    assert!(house.count("connections_total") >= 64);
    drop(visitors);
    house.is_empty();
    // One by one, too: nobody waits at the door of one who sleeps.
    for _ in 0..50 {
        house.quick();
    }
}

/// What all of them count is told by any of them.
#[test]
fn the_numbers_are_those_of_all() {
    let house = House::open(&["--workers", "2"]);
    let mut visitors: Vec<Visitor> = (0..32).map(|_| house.visitor()).collect();
    for visitor in &mut visitors {
        visitor.get("/hello", "");
        visitor.answer();
    }
    // Whichever of them is asked.
    for asked in 1..=20 {
        assert_eq!(house.count("requests_total"), 32 + asked);
    }
    until("32 are here, and the one who asks", || {
        (house.count("connections_open") == 33).then_some(())
    });
    assert_eq!(house.count("panics_total"), 0);
}
