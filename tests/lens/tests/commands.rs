//! What the lens is told on its command line, and what it says.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod shared;

use std::fs;
use std::process::{Command, Output};

use lens::record::{Call, Line, Outcome, Visitor};
use rstest::rstest;
use shared::{LENS, WAITER, calls, can_look, look};
use visitors::calls::family;

/// A run in which no program takes another's place.
const WATCHING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../book/timelines/watching.jsonl");

fn lens(arguments: &[&str]) -> Output {
    Command::new(LENS).args(arguments).output().expect("it starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[rstest]
#[case::nothing(&[], "cargo lens 2")]
#[case::no_such_chapter(&["99"], "there is no chapter 99; there are 1, 2, 3")]
#[case::no_such_visitor(&["2", "--visitors", "loud"], "there is no visitor \"loud\"")]
#[case::no_such_host(&["1", "--visitors", "loud"], "there is no host \"loud\"")]
#[case::two_hosts(&["1", "--visitors", "slow,quick"], "one host")]
#[case::visitors_for_any_program(&["--visitors", "quick", "--", "true"], "required")]
#[case::too_long(&["2", "--visitors", "quick", "--seconds", "1000"], "1000")]
#[case::nothing_to_draw(&["--draw", "/nonexistent", "--svg", "/dev/null"], "can't read /nonexistent")]
#[case::drawn_nowhere(&["--draw", "/dev/null"], "--svg")]
#[case::no_hand_over(
    &["--draw", WATCHING, "--hand-over", "--svg", "/dev/null"],
    "nobody takes over in it"
)]
#[case::no_run(&["--draw", "/etc/passwd", "--svg", "/dev/null"], "/etc/passwd")]
fn bad_usage_is_said_in_a_line_with_status_2(#[case] arguments: &[&str], #[case] says: &str) {
    let output = lens(arguments);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(stderr(&output).contains(says), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
}

#[rstest]
#[case::no_such_program("/nonexistent/program", 127)]
#[case::no_program("/etc/passwd", 126)]
fn a_program_that_cannot_run_is_said_to_as_a_shell_says_it(
    #[case] program: &str,
    #[case] status: i32,
) {
    if !can_look() {
        return;
    }
    let output = lens(&["--", program]);
    assert_eq!(output.status.code(), Some(status));
    assert!(
        stderr(&output).starts_with(&format!("cargo lens: can't run {program}: ")),
        "{output:?}"
    );
    assert_eq!(stderr(&output).lines().count(), 1);
}

#[rstest]
#[case::json("--json")]
#[case::svg("--svg")]
fn a_file_that_cannot_be_written_is_said_before_anything_runs(#[case] option: &str) {
    let output = lens(&[option, "/nonexistent/file", "--", "sh", "-c", "echo ran"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("can't write /nonexistent/file"), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

#[test]
fn what_was_written_before_stays_when_nothing_can_be_run() {
    if !can_look() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for option in ["--json", "--svg"] {
        let file = folder.path().join(option);
        fs::write(&file, "a long run of yesterday\n".repeat(100)).unwrap();
        let path = file.to_str().unwrap();
        assert_eq!(lens(&[option, path, "--", "/nonexistent"]).status.code(), Some(127));
        assert!(
            fs::read_to_string(&file).unwrap().starts_with("a long run of yesterday"),
            "{option}"
        );
        assert_eq!(lens(&[option, path, "--", "true"]).status.code(), Some(0));
        let now = fs::read_to_string(&file).unwrap();
        assert!(!now.contains("yesterday") && !now.is_empty(), "{option}: {now}");
    }
}

#[test]
fn where_it_may_not_look_it_says_what_to_do() {
    if !can_look() {
        return;
    }
    // A program that is looked at already can't be looked at by a second lens: to this one it's forbidden.
    let output = lens(&["--quiet", "--", LENS, "--", "sh", "-c", "echo ran"]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("doesn't let a program look at another's system calls"), "{said}");
    assert!(said.contains("--cap-add=SYS_PTRACE") && said.contains("ptrace_scope"), "{said}");
    assert!(output.stdout.is_empty(), "what can't be looked at isn't run: {output:?}");
}

#[test]
fn a_line_for_each_wait_and_plain_text_only() {
    if !can_look() {
        return;
    }
    let output = lens(&["--", WAITER, "naps", "2"]);
    let said = stderr(&output);
    assert!(!said.contains('\x1b'), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].contains("time thread  call"), "{said}");
    assert_eq!(lines.iter().filter(|line| line.contains("time is over")).count(), 2, "{said}");
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{said}");
    assert!(said.contains("never waited: "), "{said}");
    // All of them, if asked for; none, if not.
    let all = stderr(&lens(&["--all", "--", WAITER, "naps", "2"]));
    assert!(all.lines().any(|line| line.contains("openat") && line.contains(" - ")), "{all}");
    let none = stderr(&lens(&["--quiet", "--", WAITER, "naps", "2"]));
    assert!(!none.contains("time is over"), "{none}");
    assert!(none.contains("1 thread, blocked"), "{none}");
}

#[test]
fn a_long_wait_is_told_of_while_it_lasts() {
    if !can_look() {
        return;
    }
    let said = stderr(&lens(&["--", "sleep", "0.9"]));
    let waits = said.lines().position(|line| line.contains("waits …  for time to pass"));
    let over = said.lines().position(|line| line.contains("time is over"));
    assert!(waits.is_some() && waits < over, "{said}");
}

fn visitors(lines: &[Line]) -> Vec<&Visitor> {
    lines
        .iter()
        .filter_map(|line| if let Line::Visitor(visitor) = line { Some(visitor) } else { None })
        .collect()
}

/// A chapter's program under the lens, and what was written down.
fn chapter(arguments: &[&str]) -> (Output, Vec<Line>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.jsonl");
    let output = Command::new(LENS).args(arguments).arg("--json").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    (output, shared::read(&file))
}

#[test]
fn a_chapter_s_program_is_shown_with_its_visitors_by_name() {
    if !can_look() {
        return;
    }
    let (output, lines) = chapter(&["2", "--visitors", "quick,silent,quick", "--seconds", "1"]);
    let names: Vec<_> = visitors(&lines).iter().map(|visitor| visitor.name.as_str()).collect();
    assert_eq!(names, ["quick 1", "silent", "quick 2"]);
    let endings: Vec<_> = visitors(&lines).iter().map(|visitor| visitor.ending.clone()).collect();
    assert!(endings[0].starts_with("answered after "), "{endings:?}");
    assert_eq!(endings[1..], ["left", "not served"]);
    let longest = calls(&lines).into_iter().max_by_key(|call| call.blocked()).unwrap();
    assert_eq!(
        (longest.call.as_str(), longest.what.as_deref()),
        ("recvfrom", Some("the silent visitor"))
    );
    assert!(longest.took_us > 700_000, "{longest:?}");
    let accepted: Vec<_> = calls(&lines).iter().filter_map(|call| call.accepted.clone()).collect();
    assert_eq!(accepted[..2], ["the quick visitor 1", "the silent visitor"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("it waited for") && said.contains("the silent visitor"), "{said}");
}

#[test]
fn chapter_1_s_program_is_shown_with_a_host() {
    if !can_look() {
        return;
    }
    let (_, lines) = chapter(&["1"]);
    let reads = |call: &&&Call| call.call == "read" && call.waited;
    let waits: Vec<_> = calls(&lines).into_iter().filter(|call| reads(&call)).collect();
    // Seven pieces, and a rest before each but the first; on a busy machine several come together.
    assert!(waits.len() >= 2, "{waits:?}");
    assert!(waits.iter().all(|call| call.what.as_deref() == Some("the slow host")), "{waits:?}");
    assert_eq!(visitors(&lines)[0].name, "the slow host");
}

#[test]
fn a_run_that_was_written_down_is_drawn_as_it_was() {
    if !can_look() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (run, first) = (folder.path().join("run.jsonl"), folder.path().join("picture.svg"));
    let (run, first) = (run.to_str().unwrap(), first.to_str().unwrap());
    lens(&["--json", run, "--svg", first, "--", WAITER, "converses"]);
    let drawn = fs::read_to_string(first).unwrap();
    assert!(drawn.contains("<title id=\"timeline-picture-title\">"), "{drawn}");
    assert!(drawn.contains("class=\"wait\""), "{drawn}");
    assert_eq!(lens(&["--draw", run, "--svg", first]).status.code(), Some(0));
    assert_eq!(fs::read_to_string(first).unwrap(), drawn);
}

#[test]
fn each_line_written_down_is_a_json_object_of_a_known_kind() {
    if !can_look() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.jsonl");
    lens(&["--quiet", "--json", file.to_str().unwrap(), "--", "sh", "-c", "kill -USR1 $$"]);
    let text = fs::read_to_string(&file).unwrap();
    let mut kinds = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(index == 0, value["lens"] == 1, "the first line says the version: {line}");
        if value["kind"] == "call" {
            for field in ["thread", "call", "began_us", "took_us", "waited"] {
                assert!(!value[field].is_null(), "{field}: {line}");
            }
            let outcomes = ["result", "error", "interrupted", "unfinished"];
            assert_eq!(
                outcomes.iter().filter(|name| !value[**name].is_null()).count(),
                1,
                "{line}"
            );
        }
        kinds.push(value["kind"].as_str().expect("a kind").to_owned());
    }
    assert_eq!((kinds.first().unwrap().as_str(), kinds.last().unwrap().as_str()), ("run", "end"));
    assert!(kinds.iter().any(|kind| kind == "signal") && kinds.iter().any(|kind| kind == "thread"));
    // A reader passes over what it doesn't know.
    let newer = text.replacen('\n', "\n{\"kind\":\"weather\",\"rain\":true}\n", 1);
    assert_eq!(lens::record::read(&newer).unwrap().len(), text.lines().count());
    let other = text.replacen("\"lens\":1", "\"lens\":2", 1);
    assert!(lens::record::read(&other).unwrap_err().contains("\"lens\":1"));
}

#[test]
fn of_poll_and_select_it_is_told_how_many_were_asked_about_and_who_was_ready() {
    if !can_look() {
        return;
    }
    let (_, lines) = look(&[], &[WAITER, "asks"]);
    let asked = calls(&lines).into_iter().filter(|call| call.thread == 1 && call.watched.is_some());
    // Rust's runtime looks at its three standard descriptors first.
    let asked: Vec<_> = asked.skip_while(|call| call.watched == Some(3)).collect();
    let told: Vec<_> = asked
        .iter()
        .map(|call| (family(&call.call), call.watched, call.waited, call.ready.join(", ")))
        .collect();
    let pipe = "a pipe".to_owned();
    let expected = [
        ("poll", Some(2), true, pipe.clone()),
        ("select", Some(2), false, pipe),
        ("poll", Some(1), true, String::new()),
    ];
    assert_eq!(told, expected);
    assert_eq!(asked[2].outcome, Outcome::Result(0));
}

#[test]
fn what_came_of_a_call_is_told() {
    if !can_look() {
        return;
    }
    let (_, lines) = look(&[], &[WAITER, "converses"]);
    let results: Vec<_> = calls(&lines)
        .into_iter()
        .filter(|call| call.call == "recvfrom")
        .map(|call| call.outcome.clone())
        .collect();
    assert_eq!(results, [5, 5, 0].map(Outcome::Result));
}

#[test]
fn where_nobody_reads_the_program_is_run_to_its_end() {
    if !can_look() {
        return;
    }
    let nobody = || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        writer
    };
    let output = Command::new(LENS)
        .args(["--all", "--", "sh", "-c", "sleep 0.05; exit 7"])
        .stdout(nobody())
        .stderr(nobody())
        .status();
    assert_eq!(output.expect("it starts").code(), Some(7));
    // Of a chapter's program, what is seen goes to stdout.
    let output = Command::new(LENS).args(["2", "--all"]).stdout(nobody()).output();
    let output = output.expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*said), (Some(0), ""));
    if let Ok(full) = fs::File::options().write(true).open("/dev/full") {
        let output = Command::new(LENS).args(["2", "--quiet"]).stdout(full).output();
        let output = output.expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(said.starts_with("cargo lens: not all could be printed: "), "{said}");
    }
}
