//! The way to the program: the lens starts itself once more, takes hold of that process, and it
//! then becomes the program. So nothing of the program's life is missed.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, parent_id};
use std::process::{Command, exit};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, raise};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter, sock_filter,
};

use visitors::calls;

use crate::descriptors::NAMING;

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

/// Our own program, even where its file has been replaced meanwhile, as cargo does it.
const OURSELVES: &str = "/proc/self/exe";

/// What to start, and with which arguments, to trace a program. `blocked` are those of [`OURS`] that were
/// blocked before the lens did it.
pub fn command(filtered: bool, blocked: &[Signal]) -> (&'static str, [String; 3]) {
    let word = if filtered { FILTERED } else { UNFILTERED };
    let blocked: Vec<&str> = blocked.iter().map(|signal| signal.as_str()).collect();
    (OURSELVES, [WORD.to_owned(), word.to_owned(), blocked.join(",")])
}

/// If we were started to become a program: waits for the tracer, and becomes it. To be called first
/// of all.
pub fn become_if_told() {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_none_or(|word| word != WORD) {
        return;
    }
    let filtered = arguments.next().is_some_and(|word| word == FILTERED);
    let blocked = arguments.next().unwrap_or_default().to_string_lossy().into_owned();
    let command: Vec<OsString> = arguments.collect();
    let Some((program, arguments)) = command.split_first() else { exit(NOT_FOUND) };
    wait_for_tracer();
    if filtered && filter().is_none_or(|filter| apply_filter(&filter).is_err()) {
        exit(NO_FILTER);
    }
    // The lens blocks these for itself, and we are its child. Those that were blocked before stay so.
    let ours = OURS.into_iter().filter(|signal| !blocked.split(',').any(|b| b == signal.as_str()));
    let _ = ours.collect::<SigSet>().thread_unblock();
    let error = Command::new(program).args(arguments).exec();
    let _ = writeln!(io::stderr(), "cargo lens: can't run {}: {error}", program.display());
    exit(match error.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_RUNNABLE,
    });
}

/// Whoever runs before it is traced can't be seen; and one with a filter and without a tracer
/// would have its calls fail.
fn wait_for_tracer() {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        // Somebody else may trace our parent and so us: then the lens will be told that it may not.
        let tracer = field("/proc/self/status", "TracerPid:").filter(|tracer| tracer != "0");
        let process = tracer.and_then(|tracer| field(&format!("/proc/{tracer}/status"), "Tgid:"));
        if process.is_some_and(|process| process == parent_id().to_string()) {
            // The tracer may have been so quick that it has seen us begin: what follows is the program.
            let ready: SigSet = [READY].into_iter().collect();
            let before = ready.thread_swap_mask(SigmaskHow::SIG_UNBLOCK);
            let _ = raise(READY);
            if let Ok(before) = before {
                let _ = before.thread_set_mask();
            }
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    let _ = writeln!(io::stderr(), "cargo lens: nobody traces the program");
    exit(NOT_RUNNABLE);
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let field = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(field.trim().to_owned())
}

/// Whether this kind of processor can have a filter at all.
pub fn can_filter() -> bool {
    filter().is_some()
}

/// The filter: the kernel stops the program at the calls that can wait and at those that name
/// descriptors, and lets all others pass (seccomp(2), `SECCOMP_RET_TRACE`).
fn filter() -> Option<BpfProgram> {
    let looked_for = calls::CALLS.iter().map(|call| call.number).chain(NAMING).chain(DUP2);
    // No conditions: each of them, whatever its arguments. But for those that mostly do other things.
    let mut rules: BTreeMap<i64, Vec<_>> = looked_for.map(|number| (number, Vec::new())).collect();
    for only in calls::ONLY {
        let waits = |value: &u32| {
            let has_it = SeccompCmpOp::MaskedEq(only.mask.into());
            let (argument, value) = (only.argument, u64::from(*value));
            let has_it = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, has_it, value);
            SeccompRule::new(vec![has_it.ok()?]).ok()
        };
        rules.insert(only.number, only.values.iter().map(waits).collect::<Option<_>>()?);
    }
    let arch = env::consts::ARCH.try_into().ok()?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Trace(0), arch);
    let filter: BpfProgram = filter.ok()?.try_into().ok()?;
    // It begins with a look at the call's architecture, and ends the program where that isn't ours. A
    // program of 32 bits may live: its calls pass unseen.
    let (load, check) = (filter.first()?.clone(), filter.get(1)?.clone());
    let let_pass = (libc::BPF_RET | libc::BPF_K) as u16;
    let pass = sock_filter { code: let_pass, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW };
    let ours_or_pass = [load, sock_filter { jt: 1, jf: 0, ..check }, pass];
    Some(ours_or_pass.into_iter().chain(filter).collect())
}

#[cfg(target_arch = "x86_64")]
const DUP2: Option<i64> = Some(libc::SYS_dup2);
#[cfg(not(target_arch = "x86_64"))]
const DUP2: Option<i64> = None;
