//! The way to the program: the lens starts itself once more, takes hold of that process, and it
//! then becomes the program. So nothing of the program's life is missed.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, exit};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::{SigSet, Signal, raise};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

use visitors::calls;

use crate::tracer::NAMING;

/// The first argument of a lens that is to become a program.
pub const WORD: &str = "--become";
/// The next one, where it's to stop at the calls that are looked for, and at no others.
const FILTERED: &str = "filtered";
/// The same, where it stops at every call.
const UNFILTERED: &str = "unfiltered";

/// The exit status of one that couldn't get its filter.
pub const NO_FILTER: i32 = 96;
/// As a shell says it: it's there, but can't be run.
const NOT_RUNNABLE: i32 = 126;
/// As a shell says it: there is no such program.
const NOT_FOUND: i32 = 127;

/// How long it waits to be taken hold of: the lens does that at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// The signals that a lens hears and passes on: it has them blocked.
pub const OURS: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// What a traced process gives itself when the next program that it becomes is the one to look at. The
/// tracer keeps it; anybody else passes it over.
pub const READY: Signal = Signal::SIGCONT;

/// What to start, and with which arguments, to trace `command`.
///
/// # Errors
/// When the system doesn't tell where our own program lies.
pub fn command(filtered: bool) -> std::io::Result<(PathBuf, [&'static str; 2])> {
    let word = if filtered { FILTERED } else { UNFILTERED };
    Ok((env::current_exe()?, [WORD, word]))
}

/// If we were started to become a program: waits for the tracer, and becomes it. To be called first
/// of all.
pub fn become_if_told() {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_none_or(|word| word != WORD) {
        return;
    }
    let filtered = arguments.next().is_some_and(|word| word == FILTERED);
    let command: Vec<OsString> = arguments.collect();
    let Some((program, arguments)) = command.split_first() else { exit(NOT_FOUND) };
    wait_for_tracer();
    if filtered && filter().is_none_or(|filter| apply_filter(&filter).is_err()) {
        exit(NO_FILTER);
    }
    // The lens blocks these for itself, and we are its child.
    let _ = OURS.into_iter().collect::<SigSet>().thread_unblock();
    let error = Command::new(program).args(arguments).exec();
    eprintln!("cargo lens: can't run {}: {error}", program.display());
    exit(match error.kind() {
        std::io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_RUNNABLE,
    });
}

/// Whoever runs before it is traced can't be seen; and one with a filter and without a tracer
/// would have its calls fail.
fn wait_for_tracer() {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
        if tracer.is_some_and(|tracer| tracer.trim() != "0") {
            // The tracer may have been so quick that it has seen us begin: what follows is the program.
            let _ = raise(READY);
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    eprintln!("cargo lens: nobody traces the program");
    exit(NO_FILTER);
}

/// Whether this kind of processor can have a filter at all.
pub fn can_filter() -> bool {
    filter().is_some()
}

/// The filter: the kernel stops the program at the calls that can wait and at those that name
/// descriptors, and lets all others pass (seccomp(2), `SECCOMP_RET_TRACE`).
fn filter() -> Option<BpfProgram> {
    let looked_for = calls::CALLS.iter().map(|call| call.number).chain(NAMING).chain(DUP2);
    // No conditions: each of them, whatever its arguments.
    let rules: BTreeMap<i64, Vec<_>> = looked_for.map(|number| (number, Vec::new())).collect();
    let arch = env::consts::ARCH.try_into().ok()?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Trace(0), arch);
    filter.ok()?.try_into().ok()
}

#[cfg(target_arch = "x86_64")]
const DUP2: Option<i64> = Some(libc::SYS_dup2);
#[cfg(not(target_arch = "x86_64"))]
const DUP2: Option<i64> = None;
