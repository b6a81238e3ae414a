//! Against the tool that everyone trusts: the same programs under `strace -f -T` and under the lens
//! agree, call by call, in order and number, and in the time that each took.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod shared;

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rstest::rstest;
use shared::{WAITER, calls, calmly, can_look, look, threads};
use visitors::calls::CALLS;
use visitors::hosts::{self, Manner};

/// So far apart the two may be, whichever is more.
const MOST_APART: Duration = Duration::from_millis(5);
/// See [`MOST_APART`]; a share of what strace says.
const MOST_APART_SHARE: f64 = 0.05;

/// They are two runs on a machine that does other things as well: so often it's tried until they agree.
const TRIES: usize = 8;
/// A difference in time that was seen so often, while the machine was calm, is the lens's.
const STAYS: usize = 3;

/// Cargo sets this for tests. With it, each program that starts looks for its libraries in many places
/// first, and whoever waits for that program waits for the tracer's stops as well.
const WITHOUT_IT: [&str; 3] = ["env", "-u", "LD_LIBRARY_PATH"];

/// The calls of a thread, as either of the two saw them: the name, and how long it took.
type Seen = Vec<(String, Duration)>;

/// Skipped, with a word, where there is no strace.
fn has_strace() -> bool {
    let there =
        Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success());
    if !there {
        visitors::skipped("there is no strace here to compare with");
    }
    there
}

fn under_strace(command: &[&str]) -> Vec<Seen> {
    let folder = tempfile::tempdir().expect("a folder");
    // A `?` before a name: one that strace doesn't know on this machine is passed over.
    // Of some the lens tells only where they waited, or looks only at those that can.
    let names = CALLS.iter().filter(|call| !call.seldom);
    let names = names.filter(|call| !["fcntl", "ioctl", "clone", "clone3"].contains(&call.name));
    let names: Vec<String> = names.map(|call| format!("?{}", call.name)).collect();
    let output = Command::new("strace")
        .args(["-f", "-ff", "-T", "-qq", "-e", &format!("trace={}", names.join(","))])
        .args(["-e", "signal=none", "-o"])
        .arg(folder.path().join("of"))
        .args(WITHOUT_IT)
        .args(command)
        .output()
        .expect("it starts");
    assert!(output.status.success(), "strace {command:?}: {output:?}");
    // A file for each thread; their numbers grow.
    let mut files: Vec<(u32, String)> = fs::read_dir(folder.path())
        .expect("its files")
        .map(|entry| entry.expect("a file").path())
        .map(|path| {
            let number = path.extension().and_then(|number| number.to_str()?.parse().ok());
            (number.expect("a number"), fs::read_to_string(path).expect("its text"))
        })
        .collect();
    files.sort();
    files.into_iter().map(|(_, text)| text.lines().filter_map(parse).collect()).collect()
}

/// `read(3, "…", 5) = 5 <0.060103>`
fn parse(line: &str) -> Option<(String, Duration)> {
    let (name, _) = line.split_once('(')?;
    let (_, time) = line.rsplit_once(" <")?;
    let seconds: f64 = time.strip_suffix('>')?.parse().ok()?;
    Some((name.to_owned(), Duration::from_secs_f64(seconds)))
}

fn under_the_lens(command: &[&str]) -> Vec<Seen> {
    let (output, lines) = look(&["--quiet"], &[&WITHOUT_IT, command].concat());
    assert!(output.status.success(), "{output:?}");
    let count = threads(&lines);
    let mut threads = vec![Seen::new(); count];
    for call in calls(&lines) {
        threads[call.thread as usize - 1].push((call.call.clone(), call.took()));
    }
    threads
}

/// Where the two differ.
#[derive(Debug, PartialEq)]
enum Difference {
    Threads(usize, usize),
    Calls { thread: usize, strace: Vec<String>, lens: Vec<String> },
    Time(String),
}

/// The first difference.
fn difference(strace: &[Seen], lens: &[Seen]) -> Option<Difference> {
    if strace.len() != lens.len() {
        return Some(Difference::Threads(strace.len(), lens.len()));
    }
    let names = |seen: &Seen| seen.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    for (index, (one, other)) in strace.iter().zip(lens).enumerate() {
        let (strace, lens) = (names(one), names(other));
        if strace != lens {
            return Some(Difference::Calls { thread: index + 1, strace, lens });
        }
    }
    for ((name, one), (_, other)) in strace.iter().flatten().zip(lens.iter().flatten()) {
        if one.abs_diff(*other) > MOST_APART.max(one.mul_f64(MOST_APART_SHARE)) {
            return Some(Difference::Time(format!("{name}: strace {one:?}, lens {other:?}")));
        }
    }
    None
}

#[rstest]
#[case::one_that_sleeps(&[WAITER, "naps", "5"])]
#[case::threads(&[WAITER, "threads", "3"])]
#[case::a_conversation(&[WAITER, "converses"])]
#[case::children(&["sh", "-c", "sleep 0.1; (sleep 0.06; true); true"])]
#[case::a_pipeline(&["sh", "-c", "sleep 0.1 | sleep 0.15"])]
#[case::many_calls_that_do_not_wait(&[WAITER, "chatters", "200"])]
#[case::descriptors_used_again(&[WAITER, "reuses"])]
fn agrees_with_strace(#[case] command: &[&str]) {
    if has_strace() && can_look() {
        compare(|| (under_strace(command), under_the_lens(command)));
    }
}

#[test]
fn agrees_with_strace_on_chapter_1s_program_and_a_slow_host() {
    if !has_strace() || !can_look() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    // It serves for ever, and ends with the test's process.
    thread::spawn(move || hosts::serve_hurried(&listener, Manner::Slow, 4, |_, _| {}));
    let chapter = visitors::chapters::find(&visitors::chapters::root(), "1").expect("it's there");
    let program = visitors::chapters::build(&chapter).expect("it compiles");
    let command = [program.to_str().expect("a plain path"), address.as_str()];
    // It says how long each call took, in as many writes as the figure has parts: these differ each time.
    let without_writes = |mut threads: Vec<Seen>| {
        threads.iter_mut().for_each(|seen| seen.retain(|(name, _)| name != "write"));
        threads
    };
    compare(|| (without_writes(under_strace(&command)), without_writes(under_the_lens(&command))));
}

fn compare(run: impl Fn() -> (Vec<Seen>, Vec<Seen>)) {
    let mut differences = Vec::new();
    let mut agreed_in_all_but_time = false;
    for _ in 0..TRIES {
        let ((strace, lens), calm) = calmly(&run);
        assert!(strace.iter().map(Vec::len).sum::<usize>() > 5, "strace saw nothing: {strace:?}");
        match difference(&strace, &lens) {
            None => return,
            Some(Difference::Time(_)) if !calm => agreed_in_all_but_time = true,
            Some(difference) => differences.push(difference),
        }
    }
    // Whoever is kept waiting for a processor is late for the next call, which is then shorter: on a
    // machine that busy two runs can't be compared by the clock.
    let in_time = differences.iter().filter(|difference| matches!(difference, Difference::Time(_)));
    if agreed_in_all_but_time && in_time.count() < STAYS {
        visitors::skipped(format!(
            "the times weren't compared: this machine was too busy, {TRIES} times"
        ));
        return;
    }
    panic!("they differ, {TRIES} times out of {TRIES}: {differences:#?}");
}

#[test]
fn a_difference_is_found() {
    // A comparison that can't fail would be no proof.
    let ms = Duration::from_millis;
    let seen = |name: &str, took| (name.to_owned(), took);
    let one = vec![vec![seen("read", ms(100)), seen("write", ms(0))]];
    assert_eq!(difference(&one, &one), None);
    let slower = vec![vec![seen("read", ms(106)), seen("write", ms(0))]];
    assert!(
        matches!(difference(&one, &slower), Some(Difference::Time(said)) if said.contains("read"))
    );
    let shorter = vec![vec![seen("read", ms(100))]];
    assert!(matches!(difference(&one, &shorter), Some(Difference::Calls { .. })));
    let other = vec![vec![seen("write", ms(0)), seen("read", ms(100))]];
    assert!(matches!(difference(&one, &other), Some(Difference::Calls { .. })));
    let twice = [one.clone(), one.clone()].concat();
    assert_eq!(difference(&one, &twice), Some(Difference::Threads(1, 2)));
}
