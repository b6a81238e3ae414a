//! `cargo race` as somebody calls it. Nothing is compiled for speed here: what it measures isn't looked at, but that it
//! does, and what becomes of it.

#![cfg(target_os = "linux")]

mod slow;

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use assert_cmd::Command;
use nix::sys::signal::Signal;
use race::figures::Figure;
use race::result::{Pace, Race, Role, VERSION};
use rstest::rstest;
use slow::slow_server;
use visitors::program::Start;
use visitors::setup::{by_the_clock, until};
use visitors::skipped;

const SHORT: [&str; 8] =
    ["--unoptimized", "--rounds", "1", "--window", "50", "--rush", "20", "--crowd=0,3"];

fn race() -> Command {
    Command::new(env!("CARGO_BIN_EXE_race"))
}

/// Whether programs that we start can be looked at here: found out without the race.
#[cfg(target_env = "gnu")]
fn can_count() -> bool {
    let stdin = std::process::Stdio::piped();
    let mut cat = std::process::Command::new("cat").stdin(stdin).spawn().expect("there is cat");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(cat.id()).unwrap());
    let counting = lens::count::Counting::on(&[pid]).map(drop);
    drop(cat.stdin.take());
    cat.wait().expect("it ends with its input");
    match counting {
        Ok(()) => true,
        Err(blind) => {
            skipped(blind);
            false
        }
    }
}

#[cfg(not(target_env = "gnu"))]
fn can_count() -> bool {
    skipped("the lens needs glibc");
    false
}

fn read(path: &std::path::Path) -> Race {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn two_chapters_run_and_what_was_measured_is_written_down() {
    by_the_clock(|| {
        let folder = tempfile::tempdir().unwrap();
        let json = folder.path().join("race.json");
        let output =
            race().args(SHORT).args(["8", "2", "3", "--json"]).arg(&json).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let can_count = can_count();
        let race = read(&json);
        assert_eq!((race.version, race.cut_short), (VERSION, false));
        assert_eq!(race.plan.pace, Pace::Open { a_second: 500 });
        let names: Vec<&str> = race.servers.iter().map(|server| server.name.as_str()).collect();
        assert_eq!(names, ["8", "2", "3", "8 again", "load"]);
        for server in &race.servers {
            assert_eq!(server.rounds.len(), 1, "{}: {said}", server.name);
            for cell in &server.rounds[0].cells {
                assert_eq!(cell.window.due, 25, "{}", server.name);
                let all = cell.window.answered + cell.window.failed();
                assert_eq!(all, 25, "each has one outcome");
            }
            let [alone, crowded] = server.rounds[0].cells.as_slice() else { panic!("two sizes") };
            assert_eq!((alone.crowd, alone.inside, alone.window.answered), (0, 0, 25));
            assert!(alone.window.cpu > Some(0) && alone.memory > Some(1 << 19));
            assert_eq!(alone.threads, Some(1));
            assert!(alone.rush.as_ref().unwrap().answered > 0);
            if can_count {
                let counted = alone.counted.expect("programs can be looked at here");
                let each = |count: u64| count as f64 / counted.answers as f64;
                let (calls, turns) = (each(counted.calls), each(counted.turns));
                // Of threads, those that begin meanwhile count as well.
                let (least, most, has_a_loop) = match server.name.as_str() {
                    "2" => (8.5, 10.5, false),
                    "3" => (18.0, 40.0, false),
                    "load" => (7.0, 10.0, true),
                    _ => (13.0, 17.5, true),
                };
                assert!((least..most).contains(&calls), "{}: {counted:?}", server.name);
                assert_eq!(turns > 0.0, has_a_loop, "{}: {counted:?}", server.name);
                assert!(turns <= 3.5, "{}: {counted:?}", server.name);
            }
            // Chapter 2's server waits for the first of the crowd.
            let served = if server.name == "2" { 0 } else { 25 };
            assert_eq!((crowded.inside, crowded.window.answered), (3, served), "{}", server.name);
            assert_eq!(crowded.rush.is_some(), served > 0);
        }
        assert_eq!(race.servers[4].role, Role::Limit);
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(shown.contains("8 again") && shown.contains('×'), "{shown}");
    });
}

#[test]
fn ctrl_c_keeps_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("race.json");
    let mut start = Start::new(env!("CARGO_BIN_EXE_race"));
    for argument in ["--unoptimized", "8", "--rounds", "100", "--window", "50", "--crowd=0,1"] {
        start = start.arg(argument);
    }
    let race = start.arg("--json").arg(&json).apart().start().unwrap();
    let pid = race.pid();
    // Three servers are started in each round, one after the other: with the fourth, there has been a round.
    let mut servers = BTreeSet::new();
    until("the second round", || {
        let path = format!("/proc/{pid}/task/{pid}/children");
        let children = fs::read_to_string(path).unwrap();
        let is_server = |child: &&str| {
            let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
            name.starts_with("ch08") || name.starts_with("race")
        };
        servers.extend(children.split_whitespace().filter(is_server).map(str::to_owned));
        (servers.len() >= 4).then_some(())
    });
    race.signal(Signal::SIGINT);
    assert_eq!(race.ended().unwrap().code(), Some(130));
    let race = read(&json);
    assert!(race.cut_short);
    let rounds = race.servers[0].rounds.len();
    assert!((1..100).contains(&rounds), "{rounds} rounds");
}

#[test]
fn what_was_written_down_is_shown_again() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("race.json");
    let first = race().args(SHORT).args(["127.0.0.1:1", "--json"]).arg(&json).output().unwrap();
    let again = race().arg("--from").arg(&json).output().unwrap();
    assert!(again.status.success());
    assert_eq!(String::from_utf8_lossy(&again.stdout), String::from_utf8_lossy(&first.stdout));
}

#[test]
fn the_books_tables_are_those_of_its_race() {
    let figures = visitors::chapters::root().join("book/figures");
    let shown = race().arg("--from").arg(figures.join("race.json")).output().unwrap();
    let committed = fs::read_to_string(figures.join("race.txt")).unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout);
    let differs =
        shown.lines().zip(committed.lines()).find(|(shown, committed)| shown != committed);
    assert_eq!(differs, None, "race.txt isn't what `race --from` prints");
    assert_eq!(shown.len(), committed.len());
}

/// The book's race, and what its page says of it.
#[test]
fn what_the_page_says_is_so() {
    let race = read(&visitors::chapters::root().join("book/figures/race.json"));
    // As the page says it was called: `--window 1000 --rush 300`.
    assert_eq!((race.plan.window, race.plan.rush), (1_000_000_000, 300_000_000));
    let each = |figure: Figure, name: &str, crowd| {
        let server = race.servers.iter().find(|server| server.name == name).unwrap();
        figure.of(server, crowd).unwrap_or_else(|| panic!("{name} with {crowd}")).median
    };
    let calls = |name| each(Figure::Calls, name, 0);
    let others = ["3", "4", "5", "6", "7", "8", "9"];
    assert!(others.iter().all(|name| calls("2") < calls(name)));
    assert!(["2", "4", "5", "6", "7", "8", "9", "11"].iter().all(|name| calls("3") > calls(name)));
    assert!(calls("5") < calls("6") && calls("7") < calls("8"));
    assert!(calls("11") < calls("2"));
    for name in ["4", "5", "6", "7", "8", "9"] {
        assert_eq!(each(Figure::Turns, name, 0).round(), 3.0, "{name}");
    }
    // They hardly grow, but for chapter 7's.
    for name in ["5", "6", "8", "9"] {
        let [none, many] = [0, 5000].map(|crowd| each(Figure::Calls, name, crowd));
        assert!((many - none).abs() < 1.0, "{name}: {none} {many}");
    }
    assert!(each(Figure::Calls, "7", 5000) > calls("7") + 2.0);
    // What else the page says of its pictures.
    let cpu = |name, crowd| each(Figure::Cpu, name, crowd);
    assert!(cpu("5", 10) < 1.25 * cpu("8", 10), "with ten, poll costs no more than epoll");
    assert!((1.5..3.0).contains(&(cpu("3", 10) / cpu("8", 10))), "a thread costs about twice that");
    for name in ["5", "6", "7"] {
        assert!(
            (1.8e6..2.2e6).contains(&cpu(name, 5000)),
            "two milliseconds, a whole core: {name}"
        );
        assert!(each(Figure::Usual, name, 5000) > 5.0 * each(Figure::Usual, "8", 5000), "{name}");
    }
    for name in ["3", "8", "9"] {
        let [none, many] = [0, 10_000].map(|crowd| each(Figure::Usual, name, crowd));
        assert!(many < 1.5 * none, "nobody looks at those who say nothing: {name}");
    }
    let slowest = |name| each(Figure::Slowest, name, 10_000);
    assert!(slowest("5") > 5.0 * slowest("6") && slowest("5") > 5.0 * slowest("7"));
    assert!(each(Figure::Failures, "5", 10_000) > 0.0);
    assert!(each(Figure::Most, "6", 1000) > 3.0 * each(Figure::Most, "5", 1000));
    let visitor = |name| each(Figure::Visitor, name, 10_000);
    assert!(["5", "6", "7", "8", "9", "11"].iter().all(|name| visitor("3") > 20.0 * visitor(name)));
    assert!(visitor("7") > visitor("6"), "callbacks take memory");
    let agreement = visitors::chapters::root().join("book/figures/race-agreement.txt");
    let agreement = fs::read_to_string(agreement).unwrap();
    assert!(agreement.contains("Pairs of servers") && agreement.contains("first.json"));
}

/// A page that names other times than `--help` does, and a default race that takes longer than is promised.
#[test]
fn the_defaults_are_those_of_the_page_and_take_less_than_three_minutes() {
    let help = race().arg("--help").output().unwrap();
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let default = |option: &str| {
        let (_, behind) = help.split_once(&format!("--{option} ")).expect(option);
        let (_, behind) = behind.split_once("[default: ").expect(option);
        behind.split(']').next().unwrap().to_owned()
    };
    let page = visitors::chapters::root().join("book/src/race.md");
    let page = fs::read_to_string(page).unwrap();
    let [window, rate, rush] = ["window", "rate", "rush"].map(default);
    for part in [
        format!("In the *window*, for {window} ms, {rate} requests a second are sent."),
        format!("In the *rush*, for {rush} ms,"),
    ] {
        assert!(page.contains(&part), "{part} isn't on the page");
    }
    assert_eq!(default("rounds"), "5");
    // What is told beforehand, as far as that is true: it was within a tenth of what it took. It's ended as soon as it's said.
    let started = Start::new(env!("CARGO_BIN_EXE_race")).arg("--unoptimized").apart().start();
    let started = started.unwrap();
    let told = started.says(|line| line.contains("minutes")).unwrap();
    // It ends its servers, too.
    started.signal(Signal::SIGINT);
    started.ended().unwrap();
    assert!(told.contains("11 servers, 5 rounds: about 2:"), "{told}");
}

#[test]
fn several_races_are_compared() {
    let race_json = visitors::chapters::root().join("book/figures/race.json");
    let compare = |last: &[&str]| {
        race().arg("--from").arg(&race_json).arg(&race_json).args(last).output().unwrap()
    };
    let output = compare(&[]);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}");
    let told = shown.lines().find(|line| line.starts_with("  CPU time")).unwrap();
    let figures: Vec<&str> = told.split_whitespace().rev().take(2).collect();
    // The same one twice agrees with itself.
    assert!(figures[0] == "0" && figures[1].parse::<u32>().unwrap() > 50, "{shown}");
    let refused = compare(&["--svg", "/tmp/curves-of-two"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("give one file"));
}

#[rstest]
#[case(&["10"], "chapter 10 has no server")]
#[case(&["selekt"], "did you mean 04-select?")]
#[case(&["--crowd", "18446744073709551615"], "ulimit -Hn")]
#[case(&["--target", "hello"], "begins with a slash")]
#[case(&["--from", "nowhere.json"], "nowhere.json: No such file")]
#[case(&["--rate", "0"], "--rate")]
#[case(&["--at-once", "3"], "--closed")]
#[case(&["--closed", "--no-rate", "--rate", "5"], "cannot be used with")]
fn what_cannot_be_done_is_said(#[case] arguments: &[&str], #[case] why: &str) {
    let output = race().arg("--unoptimized").args(arguments).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(why), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn those_that_are_installed_run_with_the_chapters() {
    let is_installed = |program: &str| {
        let places = std::env::var_os("PATH").unwrap_or_default();
        let places = std::env::split_paths(&places).chain(["/usr/sbin".into()]);
        places.map(|place| place.join(program)).any(|path| path.is_file())
    };
    let (there, absent): (Vec<_>, Vec<_>) =
        ["nginx", "python3"].into_iter().partition(|program| is_installed(program));
    for program in absent {
        skipped(format!("no {program} here"));
    }
    by_the_clock(|| {
        let folder = tempfile::tempdir().unwrap();
        let json = folder.path().join("race.json");
        let mut race_of_them = race();
        let output = race_of_them.args(SHORT).args(["8", "--peers", "--json"]).arg(&json);
        let output = output.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let race = read(&json);
        let names: Vec<&str> = race.servers.iter().map(|server| server.name.as_str()).collect();
        assert_eq!(names, [&["8"], &there[..], &["8 again", "load"]].concat(), "{said}");
        for server in race.servers.iter().filter(|server| there.contains(&server.name.as_str())) {
            let cells = &server.rounds.first().expect("it ran").cells;
            let sizes: Vec<usize> = cells.iter().map(|cell| cell.inside).collect();
            assert_eq!(sizes, [0, 3], "{}: {said}", server.name);
            for cell in cells {
                assert_eq!(cell.window.answered, 25, "{}: {cell:?}", server.name);
                assert!(cell.window.cpu > Some(0) && cell.threads > Some(0), "{cell:?}");
                if server.name == "nginx" && can_count() {
                    // Its worker's, which waits in epoll.
                    let counted = cell.counted.expect("programs can be looked at here");
                    let turns = counted.turns as f64 / counted.answers as f64;
                    assert!((1.0..=4.0).contains(&turns), "{counted:?}");
                }
                // A program in C or Python, with all of its processes.
                assert!(cell.memory > Some(1 << 20), "{}: {cell:?}", server.name);
            }
        }
    });
}

#[test]
fn nobody_is_there() {
    // The port of a service that nobody has (RFC 1078).
    let output = race().args(SHORT).arg("127.0.0.1:1").output().unwrap();
    assert!(output.status.success());
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("refused"), "{shown}");
}

#[test]
fn the_closed_loop_sends_less_when_less_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("race.json");
    let slow = slow_server(Duration::from_millis(25));
    let closed = ["--closed", "--rate", "1000", &slow, "--json"];
    race().args(SHORT).args(closed).arg(&json).assert().success();
    let cell = &read(&json).servers[0].rounds[0].cells[0];
    assert!(cell.window.due <= 3, "{} in 50 ms", cell.window.due);
}
