//! A machine that lacks something is told of it: by the first test of all, and by any other that fails there.
//!
//! The tests break their own surroundings, and run themselves in these.

use std::env;
use std::process::{Command, Output};

use rstest::rstest;
use visitors::program::Start;
use visitors::setup;

/// What is to be done in the surroundings that another test has broken.
const TASK: &str = "IN_BROKEN_SURROUNDINGS";

#[test]
fn in_these_surroundings() {
    match env::var(TASK).as_deref() {
        Ok("look") => println!("{:#?}", setup::faults()),
        Ok(_) => {
            drop(Start::new("true").start());
            panic!("something has failed");
        }
        // Nobody has broken them.
        Err(_) => assert_eq!(setup::faults(), [""; 0]),
    }
}

/// Has that done behind a shell's words that break something.
fn run(words: &str, task: &str) -> Output {
    let us = env::current_exe().expect("we are somewhere");
    let script = format!("{words} \"$0\" --exact in_these_surroundings --nocapture");
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(script)
        .arg(us)
        .env(TASK, task)
        .env("RUST_BACKTRACE", "0")
        .env_remove("ANSWER");
    shell.output().expect("there is a shell")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[rstest]
#[case::descriptors("ulimit -n 20;", "a process may have 20 descriptors here")]
#[case::room("TMPDIR=/nonexistent", "can't be written into /nonexistent")]
#[case::a_shell("PATH=/nonexistent", "there is no shell")]
#[case::loopback("unshare --user --map-root-user --net", "can't call another one at 127.0.0.1")]
fn what_is_missing_is_said(#[case] words: &str, #[case] expected: &str) {
    if words.starts_with("unshare") {
        let can = Command::new("sh").arg("-c").arg(format!("{words} true")).output();
        if !can.is_ok_and(|output| output.status.success()) {
            return visitors::skipped("this system gives nobody a network of their own");
        }
    }
    for task in ["look", "fail"] {
        let said = said(&run(words, task));
        assert!(said.contains(expected), "{task}: {said}");
        assert!(!said.contains("fault of ours"), "{task}: {said}");
    }
}

#[test]
fn where_nothing_is_it_is_a_fault_of_ours_unless_the_machine_is_busy() {
    setup::by_the_clock(|| {
        let output = run("", "fail");
        assert!(!output.status.success());
        let said = said(&output);
        let (_, behind) = said.split_once("something has failed").expect("its own words first");
        assert!(behind.contains("this is likely a fault of ours"), "{said}");
    });
}

/// Who grades what a learner has written explains that itself.
#[test]
fn a_judge_says_nothing_of_it() {
    let said = said(&run("ANSWER=/some/program", "fail"));
    assert!(said.contains("something has failed") && !said.contains("fault of ours"), "{said}");
}
