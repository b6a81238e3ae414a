//! Programs of all kinds under the lens: they do what they do without it, and end as they end.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod shared;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lens::record::{Line, Outcome};
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rstest::rstest;
use shared::{LENS, WAITER, calls, can_look, look, of_thread, threads};
use visitors::calls::family;

/// How long anything here may take: generous, and never waited for when all is well.
const PATIENCE: Duration = Duration::from_secs(30);

fn blocked_in(lines: &[Line], call: &str) -> Duration {
    calls(lines).iter().filter(|seen| seen.call == call).map(|seen| seen.blocked()).sum()
}

fn status_words(lines: &[Line]) -> String {
    let Some(Line::End(end)) = lines.last() else { panic!("the last line is the end: {lines:?}") };
    end.status.clone()
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("a process id"))
}

#[test]
fn one_that_forks_is_followed_into_its_children() {
    if !can_look() {
        return;
    }
    let (output, lines) = look(&[], &["sh", "-c", "sleep 0.1 & (exit 3); wait; exit 5"]);
    assert_eq!(output.status.code(), Some(5));
    assert_eq!(threads(&lines), 3, "{lines:?}");
    assert!(blocked_in(&lines, "clock_nanosleep") >= Duration::from_millis(100), "{lines:?}");
    // Shells wait for their children in one way or the other.
    let waited = blocked_in(&lines, "wait4") + blocked_in(&lines, "rt_sigsuspend");
    assert!(waited >= Duration::from_millis(50), "{lines:?}");
}

#[test]
fn each_thread_is_seen_for_itself() {
    if !can_look() {
        return;
    }
    let (output, lines) = look(&[], &[WAITER, "threads", "3"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(threads(&lines), 4);
    for (thread, milliseconds) in [(2, 40), (3, 80), (4, 120)] {
        let calls = of_thread(&lines, thread);
        let naps: Vec<_> = calls.iter().filter(|call| call.call == "clock_nanosleep").collect();
        assert_eq!(naps.len(), 1, "thread {thread}: {calls:?}");
        assert!(naps[0].blocked() >= Duration::from_millis(milliseconds), "{naps:?}");
    }
    let joins =
        of_thread(&lines, 1).iter().filter(|call| call.call == "futex" && call.waited).count();
    // On a busy machine it comes late to some, and they have ended.
    assert!((1..=3).contains(&joins), "{joins}");
}

#[test]
fn one_that_becomes_another_program_is_still_the_same_process() {
    if !can_look() {
        return;
    }
    let (output, lines) = look(&[], &["sh", "-c", "exec sleep 0.1"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(threads(&lines), 1);
    assert!(blocked_in(&lines, "clock_nanosleep") >= Duration::from_millis(100));
}

#[test]
fn one_whose_second_thread_becomes_another_program_is_followed() {
    if !can_look() {
        return;
    }
    let (output, lines) = look(&[], &[WAITER, "execs-from-a-thread"]);
    assert_eq!(output.status.code(), Some(7));
    assert!(blocked_in(&lines, "clock_nanosleep") < Duration::from_secs(30), "{lines:?}");
    let unfinished = |call: &&&lens::record::Call| matches!(call.outcome, Outcome::Unfinished(_));
    assert!(calls(&lines).iter().any(|call| unfinished(&call)), "the other threads were waiting");
}

#[rstest]
#[case::politely("TERM", 143)]
#[case::by_a_fault_of_its_own("SEGV", 139)]
#[case::at_once("KILL", 137)]
fn one_that_dies_of_a_signal_is_said_to(#[case] signal: &str, #[case] status: i32) {
    if !can_look() {
        return;
    }
    let (output, lines) = look(&[], &["sh", "-c", &format!("kill -{signal} $$")]);
    assert_eq!(output.status.code(), Some(status));
    assert_eq!(status_words(&lines), format!("killed by SIG{signal}"));
}

#[test]
fn one_that_gets_a_real_time_signal_goes_on_or_dies_as_without_the_lens() {
    if !can_look() {
        return;
    }
    let script = "trap 'echo heard' RTMIN; kill -RTMIN $$; exit 4";
    let bash = Command::new("bash").args(["-c", script]).output();
    if !bash.is_ok_and(|output| output.status.code() == Some(4)) {
        visitors::skipped("there is no bash here that can send a real-time signal");
        return;
    }
    let (output, _) = look(&["--quiet"], &["bash", "-c", script]);
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(output.stdout, b"heard\n");
}

#[test]
fn sigpipe_is_what_it_is_without_the_lens() {
    if !can_look() {
        return;
    }
    // Rust's programs ignore it: the write fails.
    let (output, lines) = look(&[], &[WAITER, "broken-pipe"]);
    assert_eq!(output.status.code(), Some(33));
    let error = Outcome::Error("EPIPE".to_owned());
    assert!(calls(&lines).iter().any(|call| call.call == "write" && call.outcome == error));
    // Others die of it.
    let (output, _) = look(&["--quiet"], &["sh", "-c", "(yes; echo status $? >&2) | head -n 1"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("status 141"), "{said}");
}

/// The lens on a program that stays, which has said so.
fn staying(command: &mut Command) -> Child {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    let stdout = child.stdout.as_mut().expect("it's piped");
    BufReader::with_capacity(1, stdout).read_line(&mut first).expect("it's read");
    assert_eq!(first.trim_end(), "here");
    child
}

fn output_in_time(mut child: Child) -> Output {
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("it's ours").is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("it goes on, {PATIENCE:?} later");
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("it has ended")
}

#[test]
fn ctrl_c_at_the_terminal_ends_the_program_and_then_comes_the_summary() {
    if !can_look() {
        return;
    }
    // script(1) gives it a terminal; what we write is typed there. Whoever has started us in the background may
    // have us ignore what Ctrl-C sends, and what we start would, too: env(1) sees to that.
    let in_terminal = ["--default-signal=INT", "script"];
    let mut version = Command::new("env");
    if !version.args(in_terminal).arg("--version").output().is_ok_and(|it| it.status.success()) {
        visitors::skipped(
            "there is no `script` here to make a terminal, or no `env` to start it with",
        );
        return;
    }
    let command = format!("{LENS} -- {WAITER} stays");
    let mut child =
        staying(Command::new("env").args(in_terminal).args(["-qec", &command, "/dev/null"]));
    child.stdin.as_mut().expect("it's piped").write_all(b"\x03").expect("it's typed");
    let output = output_in_time(child);
    let screen = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(130), "{screen}");
    assert!(screen.contains("-- SIGINT --"), "{screen}");
    assert!(screen.contains("1 thread, blocked"), "{screen}");
}

#[test]
fn a_signal_sent_to_the_lens_is_passed_on_to_the_program() {
    if !can_look() {
        return;
    }
    let child = staying(Command::new(LENS).args(["--", WAITER, "stays"]));
    kill(pid(&child), Signal::SIGTERM).expect("it's ours");
    let output = output_in_time(child);
    assert_eq!(output.status.code(), Some(143));
    assert!(String::from_utf8_lossy(&output.stderr).contains("-- SIGTERM --"), "{output:?}");
}

/// The process that the lens has become or started.
fn traced_by(lens: &Child) -> Option<i32> {
    let of = lens.id().to_string();
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        let status = fs::read_to_string(entry.path().join("status")).ok()?;
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
        (tracer.trim() == of).then_some(number)
    })
}

fn traced_count(lens: &Child) -> usize {
    let of = format!("TracerPid:\t{}\n", lens.id());
    let statuses = fs::read_dir("/proc").into_iter().flatten().flatten();
    let traced = |entry: fs::DirEntry| {
        fs::read_to_string(entry.path().join("status")).is_ok_and(|status| status.contains(&of))
    };
    statuses.map(traced).filter(|traced| *traced).count()
}

fn state(process: i32) -> Option<char> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("State:"))?.trim().chars().next()
}

fn is_inside(process: i32, call: i64) -> bool {
    let inside = fs::read_to_string(format!("/proc/{process}/syscall")).unwrap_or_default();
    inside.split(' ').next() == Some(&call.to_string())
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not in {PATIENCE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn whoever_kills_the_lens_leaves_no_program_behind() {
    if !can_look() {
        return;
    }
    let mut child = staying(Command::new(LENS).args(["--", WAITER, "stays"]));
    let program = traced_by(&child).expect("it's traced");
    child.kill().expect("it's ours");
    child.wait().expect("it's ours");
    wait_until("the program is gone", || state(program).is_none_or(|state| state == 'Z'));
}

#[test]
fn one_that_is_stopped_stays_so_until_it_may_go_on() {
    if !can_look() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.jsonl");
    let child = staying(Command::new(LENS).arg("--json").arg(&file).args(["--", WAITER, "stays"]));
    let program = traced_by(&child).expect("it's traced");
    wait_until("it naps", || is_inside(program, libc::SYS_clock_nanosleep));
    kill(Pid::from_raw(program), Signal::SIGSTOP).expect("it's ours");
    wait_until("it stops", || matches!(state(program), Some('t' | 'T')));
    // Whoever let it go on at once would be seen to: it's asleep again then.
    for _ in 0..20 {
        assert!(matches!(state(program), Some('t' | 'T')));
        thread::sleep(Duration::from_millis(5));
    }
    kill(Pid::from_raw(program), Signal::SIGCONT).expect("it's ours");
    wait_until("it goes on", || state(program) == Some('S'));
    kill(Pid::from_raw(program), Signal::SIGTERM).expect("it's ours");
    assert_eq!(output_in_time(child).status.code(), Some(143));
    // The kernel began the sleep again under another name: the lens keeps the one that it had.
    let lines = shared::read(&file);
    let naps: Vec<_> = calls(&lines).into_iter().filter(|c| c.call == "clock_nanosleep").collect();
    assert!(naps.len() >= 2, "{naps:?}");
    assert!(matches!(naps[0].outcome, Outcome::Interrupted(_)), "{naps:?}");
}

#[test]
fn a_long_call_that_never_slept_did_not_wait() {
    if !can_look() {
        return;
    }
    let (output, lines) = look(&[], &[WAITER, "hard-at-work", "128"]);
    assert_eq!(output.status.code(), Some(0));
    let long = |call: &&lens::record::Call| call.call == "write" && call.took_us > 2000;
    let writes: Vec<_> = calls(&lines).into_iter().filter(long).collect();
    assert!(!writes.is_empty(), "128 MiB take their time: {:?}", calls(&lines));
    assert!(writes.iter().all(|call| !call.waited), "{writes:?}");
}

#[test]
fn a_wait_for_a_lock_is_one_and_the_other_things_that_fcntl_does_are_none() {
    if !can_look() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("locked");
    let file = file.to_str().unwrap();
    let mut first = Command::new(WAITER);
    let first = first.args(["locks", file]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut first = first.spawn().unwrap();
    let mut said = [0; 6];
    first.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    let run = folder.path().join("run.jsonl");
    let mut second = Command::new(LENS);
    let second = second.arg("--json").arg(&run).args(["--quiet", "--", WAITER, "locks", file]);
    let second = second.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::null());
    let second = second.spawn().unwrap();
    wait_until("it waits for the lock", || {
        traced_by(&second).is_some_and(|program| {
            is_inside(program, libc::SYS_fcntl) && state(program) == Some('S')
        })
    });
    drop(first.stdin.take());
    first.wait().unwrap();
    assert!(output_in_time(second).status.success());
    let lines = shared::read(&run);
    let locks: Vec<_> = calls(&lines).into_iter().filter(|call| call.call == "fcntl").collect();
    assert_eq!(locks.len(), 1, "{locks:?}");
    assert!(locks[0].waited, "{locks:?}");
    assert_eq!(locks[0].what.as_deref(), Some(file));
}

#[test]
fn when_the_program_has_ended_a_signal_ends_the_lens_and_what_it_left_behind() {
    if !can_look() {
        return;
    }
    let child = staying(Command::new(LENS).args(["--", "sh", "-c", "sleep 60 & echo here"]));
    wait_until("the shell has ended", || {
        traced_by(&child).is_some_and(|traced| state(traced) == Some('S'))
            && fs::read_to_string(format!("/proc/{}/comm", traced_by(&child).unwrap_or(0)))
                .is_ok_and(|name| name == "sleep\n")
            && traced_count(&child) == 1
    });
    let left_behind = traced_by(&child).expect("it's traced");
    kill(pid(&child), Signal::SIGTERM).expect("it's ours");
    assert_eq!(output_in_time(child).status.code(), Some(143));
    wait_until("it's gone", || state(left_behind).is_none_or(|state| state == 'Z'));
}

#[test]
fn a_call_of_another_architecture_passes_unseen() {
    if !can_look() {
        return;
    }
    // int 0x80 is the way of 32 bits into the kernel; it needs a compiler to be tried.
    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join("old.c"), folder.path().join("old"));
    fs::write(
        &source,
        "int main(void) { long got; __asm__ volatile(\"int $0x80\" : \"=a\"(got) : \"a\"(20L)); return got <= 0; }",
    )
    .unwrap();
    let compiled = Command::new("cc").arg(&source).arg("-o").arg(&program).output();
    let runs = || Command::new(&program).status().is_ok_and(|status| status.success());
    if !cfg!(target_arch = "x86_64")
        || !compiled.is_ok_and(|output| output.status.success())
        || !runs()
    {
        visitors::skipped("no compiler here, or no calls of 32 bits");
        return;
    }
    for option in ["--quiet", "--every-call"] {
        let (output, lines) = look(&[option], &[program.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{option}: {output:?}");
        assert!(
            calls(&lines).iter().all(|call| call.call != "writev"),
            "20 is getpid there: {lines:?}"
        );
    }
}

#[test]
fn a_descriptor_is_what_it_is_now_not_what_it_was() {
    if !can_look() {
        return;
    }
    let (_, lines) = look(&[], &[WAITER, "reuses"]);
    let waits: Vec<_> = of_thread(&lines, 1).into_iter().filter(|call| call.waited).collect();
    let pipe = waits.iter().find(|call| call.call == "read").expect("it waited for the pipe");
    assert_eq!(pipe.what.as_deref(), Some("a pipe"), "{waits:?}");
    let accept = waits.iter().find(|call| call.call == "accept4").expect("it waited to accept");
    assert_eq!(accept.what.as_deref(), Some("the listener"), "{waits:?}");
    assert_eq!(accept.descriptor, pipe.descriptor, "the same number");
}

#[rstest]
#[case::stopped_where_it_may_wait(&["--quiet"])]
#[case::stopped_at_every_call(&["--quiet", "--every-call"])]
fn of_epoll_it_is_told_who_was_ready_whatever_becomes_of_its_list(#[case] options: &[&str]) {
    if !can_look() {
        return;
    }
    let (output, lines) = look(options, &[WAITER, "watches"]);
    let told = String::from_utf8_lossy(&output.stdout);
    let expected: [(&str, &[&str]); 9] = [
        ("both: [1, 2]", &["a pipe", "a socket"]),
        ("pipe, marked anew: [2]", &["a pipe"]),
        ("event in the pipe's place: [2]", &["eventfd"]),
        ("listener in the place of the event, which was closed: [2]", &["the listener"]),
        // Which of them can't be told.
        ("listener and pipe, marked alike: [2, 2]", &[]),
        ("event, by way of a duplicate of epoll's descriptor: [3]", &["eventfd"]),
        ("event, closed but for a duplicate: [3]", &["a closed descriptor"]),
        ("the same, while another one has its number: [3]", &[]),
        ("listener and event, of a new epoll: [1, 2]", &["the listener", "eventfd"]),
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected.map(|(told, _)| told));
    let waits: Vec<_> = epoll_waits(&lines).into_iter().map(|call| call.ready.clone()).collect();
    assert_eq!(waits, expected.map(|(_, ready)| ready));
}

fn epoll_waits(lines: &[Line]) -> Vec<&lens::record::Call> {
    calls(lines).into_iter().filter(|call| family(&call.call) == "epoll_wait").collect()
}

#[rstest]
#[case::one_has_room("1", [&[0][..], &[1], &[3], &[0]])]
#[case::two_have_room("2", [&[0, 1][..], &[0, 1], &[0, 3], &[0, 1]])]
// 3 is heard of once, be it a lie, and then only after it was asked for again.
#[case::all_have_room("8", [&[0, 1, 3][..], &[0, 1], &[0, 1, 3], &[0, 1]])]
fn a_lie_of_epoll_is_about_all_of_whom_something_is_asked(
    #[case] room: &str,
    #[case] lies: [&[u64]; 4],
) {
    if !can_look() {
        return;
    }
    let speakers = [0, 1, 3, 0];
    let truth: [&[u64]; 4] = [&[0], &[1], &[3], &[0]];
    for (options, told_of) in [(&["--quiet"][..], truth), (&["--quiet", "--lie"], lies)] {
        let (output, lines) = look(options, &[WAITER, "tries", room]);
        let said = String::from_utf8_lossy(&output.stdout);
        let expected = speakers.iter().zip(told_of).flat_map(|(speaker, told_of)| {
            told_of.iter().map(move |mark| match mark == speaker {
                true => format!("{speaker} speaks: {mark} Ok(1)"),
                // Whoever was lied about has nothing to say.
                false => format!("{speaker} speaks: {mark} Err(WouldBlock)"),
            })
        });
        assert_eq!(said.lines().collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{options:?}");
        // The lens itself tells the truth.
        let waits = epoll_waits(&lines);
        assert_eq!(waits.len(), speakers.len(), "{waits:?}");
        for wait in waits {
            assert_eq!(
                (&wait.outcome, &*wait.ready),
                (&Outcome::Result(1), &["a socket".to_owned()][..])
            );
        }
    }
}

#[test]
fn stopping_at_every_call_shows_the_same() {
    if !can_look() {
        return;
    }
    let names = |lines: &[Line]| {
        let names = of_thread(lines, 1).into_iter().map(|call| call.call.clone());
        names.collect::<Vec<_>>()
    };
    let (_, filtered) = look(&["--quiet"], &[WAITER, "converses"]);
    let (_, every) = look(&["--quiet", "--every-call"], &[WAITER, "converses"]);
    assert_eq!(names(&filtered), names(&every));
    assert!(names(&every).len() > 10);
}

/// The most memory that a process has used so far, in KiB.
fn height(process: &Path) -> Option<u64> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    let field = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    field.trim().strip_suffix(" kB")?.parse().ok()
}

#[test]
fn a_long_run_takes_little_memory() {
    if !can_look() {
        return;
    }
    // All of it: written down, drawn, and every wait shown; the program's calls are many.
    let run = |way: &str, count: &str| {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(LENS)
            .args(["--quiet", "--json"])
            .arg(folder.path().join("run.jsonl"))
            .arg("--svg")
            .arg(folder.path().join("run.svg"))
            .args(["--", WAITER, way, count])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let process = format!("/proc/{}", child.id());
        let mut highest = 0;
        while child.try_wait().unwrap().is_none() {
            highest = height(Path::new(&process)).unwrap_or(highest);
            thread::sleep(Duration::from_millis(2));
        }
        let written = fs::read_to_string(folder.path().join("run.jsonl")).unwrap();
        let calls = written.lines().filter(|line| line.contains("\"kind\":\"call\"")).count();
        (highest, calls)
    };
    let ((low, few), (high, many)) = (run("chatters", "1000"), run("chatters", "20000"));
    assert!(few > 2000 && many > 40_000, "{few}, {many}");
    assert!(low > 0 && high < low + 2048, "{low} KiB for {few} calls, {high} KiB for {many}");
    // Waits are kept to be drawn, up to a bound.
    let (high, many) = run("ping-pongs", "12000");
    assert!(many > 48_000 && high < 16 * 1024, "{high} KiB for {many} calls");
}

#[test]
fn the_program_has_the_lens_s_input_output_and_environment() {
    if !can_look() {
        return;
    }
    let script = "cat; echo $OF_OURS; ls /proc/self/fd; grep Sig[BI] /proc/self/status";
    let run = |command: &mut Command| {
        let mut child = command
            .args(["-c", script])
            .env("OF_OURS", "passed on")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"typed\n").unwrap();
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        child.wait().unwrap();
        said
    };
    // The same descriptors, and the same signals blocked and ignored.
    let said = run(Command::new(LENS).args(["--quiet", "--", "sh"]));
    assert_eq!(
        said,
        run(&mut Command::new("sh")),
        "on the left under the lens, on the right without"
    );
    assert!(said.starts_with("typed\npassed on\n0\n1\n"), "{said}");
    assert!(said.contains("SigBlk") && said.contains("SigIgn"), "{said}");
}
