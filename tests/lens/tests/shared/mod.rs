//! What the lens's tests share: the lens on a program, and what it wrote down.
#![allow(dead_code, reason = "no test uses all of it")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use lens::record::{self, Call, Line};
use visitors::setup;

/// The program to look at.
pub const WAITER: &str = env!("CARGO_BIN_EXE_waiter");
/// The lens.
pub const LENS: &str = env!("CARGO_BIN_EXE_lens");

/// Whether programs can be looked at here. Where they can't, the tests that need it say so and do
/// nothing: the lens's own message is tested elsewhere.
pub fn can_look() -> bool {
    let tried = Command::new(LENS).args(["--quiet", "--", "true"]).output().expect("it starts");
    if tried.status.code() == Some(2) {
        let said = String::from_utf8_lossy(&tried.stderr);
        // Or a lens that always says so would pass all of its tests.
        let strace = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
        let strace_can = strace.is_ok_and(|output| output.status.success());
        assert!(!strace_can, "strace can look at programs here, and the lens can't: {said}");
        visitors::skipped(said);
        return false;
    }
    true
}

/// Runs `command` under the lens, with `options` for the lens.
pub fn look(options: &[&str], command: &[&str]) -> (Output, Vec<Line>) {
    let folder = tempfile::tempdir().expect("a folder for the run");
    let file = folder.path().join("run.jsonl");
    let output = Command::new(LENS)
        .arg("--json")
        .arg(&file)
        .args(options)
        .arg("--")
        .args(command)
        .output()
        .expect("it starts");
    (output, read(&file))
}

/// Reads what the lens wrote down.
pub fn read(file: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(file).expect("it was written");
    record::read(&text).expect("it's in the lens's format")
}

/// The calls in a run, in the order of their ends.
pub fn calls(lines: &[Line]) -> Vec<&Call> {
    lines
        .iter()
        .filter_map(|line| if let Line::Call(call) = line { Some(call) } else { None })
        .collect()
}

/// The calls of one thread, in their order.
pub fn of_thread(lines: &[Line], thread: u32) -> Vec<&Call> {
    let mut calls = calls(lines);
    calls.retain(|call| call.thread == thread);
    calls
}

/// How many threads there were.
pub fn threads(lines: &[Line]) -> usize {
    lines.iter().filter(|line| matches!(line, Line::Thread(_))).count()
}

/// Runs `run`, and says whether the machine had a processor to spare all the time: whether somebody who
/// slept for a millisecond was never woken a millisecond late.
pub fn calmly<T>(run: impl Fn() -> T) -> (T, bool) {
    let (result, late) = setup::with_lateness(run);
    (result, late < Duration::from_millis(1))
}
