//! A lens on a program that runs already.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod shared;

use std::time::Duration;

use lens::Lens;
use lens::record::{Call, Outcome};
use rstest::rstest;
use shared::{LENS, WAITER, can_look};
use visitors::calls::family;
use visitors::connection::Connection;
use visitors::program::Start;

#[test]
fn a_sleep_that_goes_on_is_called_a_sleep_when_the_kernel_begins_it_again() {
    if !can_look() {
        return;
    }
    let program = Start::new(WAITER).arg("stays").start().expect("it can be started");
    program.settled().expect("it sleeps");
    // Where the program `cargo lens` can look, this can as well.
    let lens = Lens::on(&program).expect("programs can be looked at here");
    program.settled().expect("it sleeps on");
    let said = lens.waits_only_in(&["read"]).expect_err("it sleeps");
    assert!(said.starts_with("besides read, it waited once in clock_nanosleep, "), "{said}");
    assert_eq!(lens.waits_only_in(&["sleep"]), Ok(()));
    assert!(program.exit_status().is_none(), "it goes on");
    let sleeps: Duration = lens.calls().iter().map(Call::blocked).sum();
    assert!(sleeps >= lens::HARDLY_A_WAIT, "{sleeps:?}");
}

#[test]
fn how_a_watched_program_ends_is_heard_by_whoever_asks() {
    if !can_look() {
        return;
    }
    let program = Start::new(WAITER).arg("naps").arg("10").start().expect("it can be started");
    Lens::on(&program).expect("programs can be looked at here");
    let status = program.ended().expect("it ends");
    assert!(status.success(), "{status}");
}

/// Whether it's a call that asks who is ready.
fn asks(call: &Call) -> bool {
    ["select", "poll", "epoll_wait"].contains(&family(&call.call))
}

#[rstest]
#[case::of_select("believes-select")]
#[case::of_poll("believes-poll")]
#[case::of_epoll("believes-epoll")]
fn a_lie_makes_everybody_ready_and_an_honest_lens_changes_nothing(#[case] way: &str) {
    if !can_look() {
        return;
    }
    for (lies, expected) in [(true, "told: [true, true]"), (false, "told: [true, false]")] {
        let program = Start::new(WAITER).arg(way).start().expect("it can be started");
        let address = program.listening().expect("it listens");
        let mut talking = Connection::connect(address, "talking visitor").expect("it listens");
        let _silent = Connection::connect(address, "silent visitor").expect("it listens");
        // Asked already, before the lens is put on.
        program.settled().expect("it sleeps");
        let lens = if lies { Lens::that_lies_to(&program) } else { Lens::on(&program) };
        let lens = lens.expect("programs can be looked at here");
        program.settled().expect("it sleeps on");
        talking.send(b"x").expect("it's there");
        let told = program.prints(|line| line.starts_with("told: ")).expect("it says so");
        assert_eq!(told, expected);
        // The lens itself tells the truth.
        let calls = lens.calls();
        let told = calls.iter().find(|call| call.outcome == Outcome::Result(1) && asks(call));
        assert_eq!(told.expect("it was told").ready, ["the talking visitor"]);
    }
}

#[rstest]
#[case::of_select("believes-select")]
#[case::of_poll("believes-poll")]
#[case::of_epoll("believes-epoll")]
fn the_command_can_lie_too(#[case] way: &str) {
    if !can_look() {
        return;
    }
    for (more, expected) in [(vec!["--lie"], "told: [true, true]"), (vec![], "told: [true, false]")]
    {
        let words = [more, vec!["--quiet", "--", WAITER, way]].concat();
        let start = words.iter().fold(Start::new(LENS), Start::arg);
        let program = start.start().expect("it can be started");
        let address = program.listening().expect("it listens");
        let mut talking = Connection::connect(address, "talking visitor").expect("it listens");
        let _silent = Connection::connect(address, "silent visitor").expect("it listens");
        talking.send(b"x").expect("it's there");
        let told = program.prints(|line| line.starts_with("told: ")).expect("it says so");
        assert_eq!(told, expected);
    }
}
