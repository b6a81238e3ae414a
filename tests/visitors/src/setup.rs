//! What a machine must have before a test can tell anything: looked at before all tests (`tests/before`), and again
//! when one fails, so that the reason stands where somebody looks for it.

use std::env;
use std::fmt::{Display, Write as _};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::{TcpListener, TcpStream};
use std::panic;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::Signal;

/// So many descriptors a test may want for itself and its visitors.
const DESCRIPTORS: u64 = 4096;

/// So much a test may write into the folder for temporary files, in bytes.
const ROOM: usize = 16 << 20;

/// A machine whose timers are later than this has other things to do.
const LATE: Duration = Duration::from_millis(30);

/// What was seen is still so for this long: where very many fail, they don't all look.
const STILL_SO: Duration = Duration::from_secs(2);

/// How long something may take that is looked for: paid only where something is wrong.
pub const LOOKED_FOR: Duration = Duration::from_secs(60);
/// How often it's looked for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Where `cargo proof` wants to hear which tests were skipped.
const SKIPPED: &str = "PROOF_SKIPPED";

/// Says that the test which calls this shows nothing here, and why.
pub fn skipped(why: impl Display) {
    let why = why.to_string();
    let why = why.trim();
    eprintln!("skipped: {why}");
    let Some(file) = env::var_os(SKIPPED) else { return };
    let line = why.split_whitespace().collect::<Vec<_>>().join(" ");
    let here = thread::current();
    let line = format!("{}: {line}\n", here.name().unwrap_or("a test"));
    let file = OpenOptions::new().append(true).create(true).open(file);
    // Silence here would be counted as a pass.
    file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the proof hears of it");
}

/// Looks again and again until something is so, and gives what was found.
///
/// # Panics
/// When it takes longer than [`LOOKED_FOR`].
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LOOKED_FOR;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "it never comes to that: {what}");
        thread::sleep(LOOK_EVERY);
    }
}

/// Runs something, and measures beside it how late this machine's timers are at the worst: whoever is to be
/// punctual is no later than that by its own fault.
pub fn with_lateness<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    const NAP: Duration = Duration::from_millis(1);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut latest = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                let began = Instant::now();
                thread::sleep(NAP);
                latest = latest.max(began.elapsed().saturating_sub(NAP));
            }
            latest
        });
        let result = panic::catch_unwind(panic::AssertUnwindSafe(run));
        over.store(true, Ordering::Relaxed);
        let latest = watch.join().expect("it only sleeps");
        (result.unwrap_or_else(|panic| panic::resume_unwind(panic)), latest)
    })
}

/// Runs a test that depends on the clock: that measures how long something takes, or plays against a time limit. A
/// busy machine makes it fail by no fault of ours. So if it fails, it's run again once the machine is calm, and its
/// last word counts if it's calm behind it, too. On a machine that never is, the test is skipped, and says so.
pub fn by_the_clock(test: impl Fn()) {
    /// So long it's waited for calm, each time.
    const PATIENCE: Duration = Duration::from_secs(30);
    const TRIES: usize = 3;
    let attempt = || panic::catch_unwind(panic::AssertUnwindSafe(&test));
    let Err(mut last) = attempt() else { return };
    for _ in 0..TRIES {
        if let Err(busy) = calm(PATIENCE) {
            return skipped(format!("it failed, and {busy}"));
        }
        let Err(failed) = attempt() else { return };
        last = failed;
        if calm(Duration::ZERO).is_ok() {
            break;
        }
    }
    panic::resume_unwind(last);
}

/// Waits until this machine has a processor to spare: for half of a moment one was idle, and no timer was late.
///
/// # Errors
/// What it was like instead, if that didn't come within `patience`.
pub fn calm(patience: Duration) -> Result<(), String> {
    const MOMENT: Duration = Duration::from_millis(300);
    let began = Instant::now();
    loop {
        let before = idle();
        let ((), late) = with_lateness(|| thread::sleep(MOMENT));
        let idle = idle().zip(before).map(|(now, before)| now.saturating_sub(before));
        let enough = idle.is_none_or(|idle| idle >= MOMENT / 2);
        if enough && late < LATE {
            return Ok(());
        }
        if began.elapsed() >= patience {
            let idle = idle.map_or(String::new(), |idle| {
                format!(
                    ", and its processors rest for {} of {} ms",
                    idle.as_millis(),
                    MOMENT.as_millis()
                )
            });
            return Err(format!(
                "this machine is busy: a timer rings {} ms late{idle}",
                late.as_millis()
            ));
        }
    }
}

/// How long this machine's processors have been idle, all together, where the system tells (proc_stat(5): in
/// hundredths of a second).
fn idle() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let idle: u64 = stat.lines().next()?.split_whitespace().nth(4)?.parse().ok()?;
    Some(Duration::from_millis(10 * idle))
}

/// Whether what is started here begins with this signal ignored, as far as the system tells. A shell starts what it runs in the
/// background with `&` like that for SIGINT (POSIX.1, Shell Command Language, 2.11), and children inherit it (signal(7)).
pub fn ignores(signal: Signal) -> bool {
    is_ignored_in(&fs::read_to_string("/proc/self/status").unwrap_or_default(), signal)
}

/// What proc_pid_status(5) says of it: bit 0 is signal 1.
fn is_ignored_in(status: &str, signal: Signal) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal as i32 - 1)) != 0
}

/// What is missing on this machine, a sentence each, with what to do about it. Empty where all is well.
pub fn faults() -> Vec<String> {
    let looks = [loopback, descriptors, room, processes];
    looks.iter().filter_map(|look| look()).collect()
}

fn loopback() -> Option<String> {
    let called = TcpListener::bind("127.0.0.1:0").and_then(|listener| {
        let address = listener.local_addr()?;
        TcpStream::connect_timeout(&address, Duration::from_secs(5))
    });
    let error = called.err()?;
    Some(match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE | Errno::ENFILE) => return None, // said below
        Some(Errno::EADDRINUSE) => {
            "no port is free: too many connections are open or have just been. Try again in a minute".to_owned()
        }
        _ => format!(
            "a program here can't call another one at 127.0.0.1 ({error}): the loopback interface must be up, and a sandbox \
             or a firewall must allow it (ip link set lo up)"
        ),
    })
}

fn descriptors() -> Option<String> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let full = matches!(
        fs::File::open("/dev/null").map_err(|error| error.raw_os_error().map(Errno::from_raw)),
        Err(Some(Errno::EMFILE | Errno::ENFILE))
    );
    (full || hard < DESCRIPTORS).then(|| {
        format!(
            "a process may have {soft} descriptors here, {hard} at the most, and tests want up to {DESCRIPTORS}: raise the limit \
             (ulimit -Hn {DESCRIPTORS}; it may need the administrator)"
        )
    })
}

fn room() -> Option<String> {
    let folder = env::temp_dir();
    let file = folder.join(format!("waiting-game-{}", std::process::id()));
    let written = fs::write(&file, vec![0; ROOM]);
    // What was begun must go, too.
    let _ = fs::remove_file(&file);
    let error = written.err()?;
    if matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EMFILE | Errno::ENFILE)) {
        return None;
    }
    Some(format!(
        "{} MiB can't be written into {} ({error}): make room there, or name another folder (TMPDIR=/a/folder cargo test)",
        ROOM >> 20,
        folder.display()
    ))
}

fn processes() -> Option<String> {
    let quiet = Stdio::null;
    let started = Command::new("sh")
        .args(["-c", "exit 0"])
        .stdin(quiet())
        .stdout(quiet())
        .stderr(quiet())
        .status();
    let error = started.err()?;
    Some(match error.kind() {
        io::ErrorKind::NotFound => {
            "there is no shell (sh) here: tests start programs with it".to_owned()
        }
        _ if error.raw_os_error() == Some(Errno::EMFILE as i32) => return None,
        _ => format!("no program can be started ({error}): look at ulimit -u, and at the memory"),
    })
}

/// A word on what else is going on, if there is much.
fn business() -> Option<String> {
    let ((), late) = with_lateness(|| thread::sleep(Duration::from_millis(100)));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown").to_owned();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    (late > LATE).then(|| {
        format!(
            "this machine is busy: a timer rings {} ms late (load {load} on {cores} cores). Try again when it's quieter",
            late.as_millis()
        )
    })
}

/// From now on a test of this process that fails says what is likely the reason and what to do next, in its
/// last lines. Tools, and checks that judge what a learner has written, say what they have to say themselves.
pub fn explain_failures() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let Some(role) = Role::of_this_process() else { return };
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            before(panic);
            eprint!("{}", explanation(role));
        }));
    });
}

/// What a test program judges.
#[derive(Clone, Copy)]
enum Role {
    /// A worked answer.
    Answers,
    /// The book's own programs.
    Programs,
}

impl Role {
    fn of_this_process() -> Option<Self> {
        let program = env::current_exe().ok()?;
        // Where cargo puts test programs: `target/debug/deps/checks02-…`.
        let is_test = program.parent()?.ends_with("deps") || program.parent()?.ends_with("out");
        let name = program.file_name()?.to_str()?;
        match is_test && env::var_os("ANSWER").is_none() {
            true if name.starts_with("graded") => None,
            true if name.starts_with("checks") => Some(Self::Answers),
            true => Some(Self::Programs),
            false => None,
        }
    }
}

fn explanation(role: Role) -> String {
    let mut said = String::new();
    let line = |said: &mut String, text: &str| {
        // Writing into a text can't fail.
        let _ = writeln!(said, "{text}");
    };
    if let Role::Answers = role {
        line(
            &mut said,
            "the program that was judged here is the book's worked answer, and not what you wrote",
        );
    }
    let seen = seen();
    for fault in &seen {
        line(&mut said, &format!("likely the reason: {fault}"));
    }
    if seen.is_empty() {
        line(
            &mut said,
            "nothing is seen to be wrong with this machine, so this is likely a fault of ours: please report these lines, with \
             what `rustc --version` and `uname -a` say",
        );
    }
    said
}

/// What is wrong here, now or a moment ago.
fn seen() -> Vec<String> {
    static SEEN: Mutex<Option<(Instant, Vec<String>)>> = Mutex::new(None);
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((when, faults)) = &*seen
        && when.elapsed() < STILL_SO
    {
        return faults.clone();
    }
    let faults: Vec<String> = faults().into_iter().chain(business()).collect();
    *seen = Some((Instant::now(), faults.clone()));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::in_the_background("Name:\tsh\nSigIgn:\t0000000000000006\n", true)]
    #[case::one_before_and_one_behind("SigIgn:\t0000000000000005\n", false)]
    #[case::another_mask("SigBlk:\t0000000000000002\nSigIgn:\t0000000000000000\n", false)]
    #[case::a_system_that_does_not_tell("", false)]
    fn an_ignored_signal_is_seen(#[case] status: &str, #[case] ignored: bool) {
        assert_eq!(is_ignored_in(status, Signal::SIGINT), ignored);
    }
}
