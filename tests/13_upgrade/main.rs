//! The graded checks of chapter 13. The judged programs are servers; the checks play visitors, and whoever replaces a
//! program: they send it signals, bring it children that fail, and look at what it leaves behind.
//!
//! Each exercise's checks are a file beside this one. What they share stands here.

mod hand;
mod rollback;
mod state;
#[path = "../visiting/mod.rs"]
mod visiting;

use std::fs;
use std::path::Path;
use std::time::Duration;

use grader::check;
use grader::check::Server;
use rstest::rstest;
use visiting::{Visitor, settle, shown};
use visitors::connection::{Connection, Received};

/// What a process does, and whose child it is.
fn look(pid: i32) -> Option<(char, i32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets, and may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}

/// All processes in whose command line a path stands. Where the system can't tell, none.
fn named_after(path: &Path) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let path = path.to_string_lossy().into_owned();
    let is_named = |entry: fs::DirEntry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        String::from_utf8_lossy(&line).contains(&path).then_some(pid)
    };
    entries.filter_map(is_named).collect()
}

/// The children that a process has, with what they do (proc_pid_stat(5)). Where the system can't tell, none.
fn children(of: i32) -> Vec<(i32, char)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let child = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let (state, parent) = look(pid)?;
        (parent == of).then_some((pid, state))
    };
    entries.filter_map(child).collect()
}
