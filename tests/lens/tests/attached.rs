//! A lens on a program that runs already.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod shared;

use std::time::Duration;

use lens::Lens;
use shared::{WAITER, can_look};
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
    let sleeps: Duration = lens.calls().iter().map(lens::record::Call::blocked).sum();
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
