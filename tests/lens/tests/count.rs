//! Counting the calls of a program that runs already.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod shared;

use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;

use lens::Blind;
use lens::count::{Counting, Counts};
use nix::unistd::Pid;
use shared::{WAITER, can_look};
use visitors::program::{Program, Start};

/// A program that takes pieces on its standard input, and where it takes them.
fn passes_on() -> (Program, impl FnMut(&str)) {
    let (stdin, mut pieces) = io::pipe().expect("a pipe");
    let start = Start::new(WAITER).arg("passes-on").stdin(stdin);
    let program = start.start().expect("it can be started");
    program.settled().expect("it waits for a piece");
    (program, move |piece| pieces.write_all(piece.as_bytes()).expect("it takes it"))
}

#[test]
fn each_call_of_each_thread_counts_once_and_the_program_goes_on_alone_afterwards() {
    if !can_look() {
        return;
    }
    let (program, mut give) = passes_on();
    let pid = Pid::from_raw(program.pid());
    for round in 0..3 {
        // Where the program `cargo lens` can look, this can as well.
        let counting = Counting::on(&[pid]).expect("programs can be looked at here");
        let nothing = Some(Counts::default());
        assert_eq!(counting.counts(), nothing, "what it's waiting in counts for nothing");
        for pieces in 1..=10 {
            give("a piece\n");
            // poll, read, write; and the thread's read and write.
            let expected = Counts { calls: 5 * pieces, turns: pieces };
            assert_eq!(counting.counts(), Some(expected));
        }
        assert_eq!(counting.finish(), []);
        let word = format!("alone, {round}");
        give(&format!("{word}\n"));
        program.prints(|line| line == word).expect("it goes on");
    }
    assert!(program.exit_status().is_none(), "it goes on");
}

#[test]
fn a_program_that_ends_meanwhile_is_told_here() {
    if !can_look() {
        return;
    }
    let (program, give) = passes_on();
    let pid = Pid::from_raw(program.pid());
    let counting = Counting::on(&[pid]).expect("programs can be looked at here");
    drop(give);
    // poll, read, and the call with which it ends, at least.
    let counts = counting.counts().expect("who has ended is quiet");
    assert!(counts.calls >= 3, "{counts:?}");
    assert_eq!(counting.finish(), [(pid, 0)]);
    program.is_waited_for_elsewhere(Arc::new(ExitStatus::from_raw(0).into()));
}

#[test]
fn of_one_that_is_never_quiet_nothing_is_told() {
    if !can_look() {
        return;
    }
    // It calls something all the time.
    let program = Start::new(WAITER).arg("chatters").arg("1000000000").start();
    let program = program.expect("it can be started");
    let pid = Pid::from_raw(program.pid());
    let counting = Counting::on(&[pid]).expect("programs can be looked at here");
    assert_eq!(counting.counts(), None);
}

#[test]
fn whoever_is_not_there_is_gone() {
    if !can_look() {
        return;
    }
    let nobody = Pid::from_raw(i32::MAX - 1);
    assert_eq!(Counting::on(&[nobody]).map(drop), Err(Blind::Gone));
}
