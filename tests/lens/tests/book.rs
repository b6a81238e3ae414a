//! The timelines that the book shows are drawn from the runs beside them, and a run of today tells the
//! same story.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use lens::record::{self, Line};
use lens::{HARDLY_A_WAIT, picture};
use shared::{LENS, calls, calmly, can_look};
use visitors::calls::family;
use visitors::chapters::{self, Chapter};

/// Whoever was waited for so long in all is in the story; less is how it went that day. In microseconds.
const LONG: u64 = 100_000;

/// So often it's tried until the stories are the same.
const TRIES: usize = 8;
/// Another story that was seen so often, while the machine was calm, is how it goes today.
const STAYS: usize = 3;

fn folder() -> PathBuf {
    chapters::root().join("book/timelines")
}

fn recorded(name: &str) -> Vec<Line> {
    let file = folder().join(format!("{name}.jsonl"));
    let text = fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; run cargo book pictures", file.display()));
    record::read(&text).expect("it's in the lens's format")
}

/// Where nobody can be waited for there is none.
fn with_a_timeline() -> Vec<Chapter> {
    let mut chapters = chapters::all(&chapters::root()).expect("there are chapters");
    chapters.retain(Chapter::has_socket);
    chapters
}

#[test]
fn each_picture_is_what_the_run_beside_it_draws() {
    let mut drawn = 0;
    for entry in fs::read_dir(folder()).expect("the book has timelines") {
        let path = entry.expect("a file").path();
        if path.extension().is_some_and(|extension| extension == "svg") {
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a plain name");
            let now = picture::svg(&recorded(name), &picture::id_of(&path));
            let then = fs::read_to_string(&path).expect("it's there");
            assert!(now == then, "{name}: the drawing has changed; run cargo book pictures");
            drawn += 1;
        }
    }
    let chapters = with_a_timeline().len();
    assert!(drawn >= chapters, "{drawn} pictures for {chapters} chapters");
}

/// Who was waited for, while the visitors were there, how each visit ended, and what one program said to another that
/// took its place: without the figures.
fn story(lines: &[Line]) -> (BTreeSet<String>, Vec<String>) {
    let play = lines.iter().find_map(|line| match line {
        Line::Play(play) => Some(play.began_us..play.ended_us),
        _ => None,
    });
    let play = play.unwrap_or(0..u64::MAX);
    let mut waits: BTreeMap<String, u64> = BTreeMap::new();
    for call in calls(lines).into_iter().filter(|call| call.waited) {
        let what = call.what.as_deref().unwrap_or("nobody");
        let (began, ended) = (call.began_us, call.began_us + call.took_us);
        let there = ended.min(play.end).saturating_sub(began.max(play.start));
        *waits.entry(format!("{} on {what}", family(&call.call))).or_default() += there;
    }
    waits.retain(|_, time| *time >= LONG);
    let visitors = lines.iter().filter_map(|line| match line {
        Line::Visitor(visitor) => {
            let ending: String =
                visitor.ending.chars().filter(|letter| !letter.is_ascii_digit()).collect();
            Some(format!("{}: {ending}", visitor.name))
        }
        Line::Mark(mark) => Some(format!("thread {} says {}", mark.thread, mark.says)),
        _ => None,
    });
    (waits.into_keys().collect(), visitors.collect())
}

#[test]
fn a_run_of_today_tells_the_story_of_the_one_in_the_book() {
    if !can_look() {
        return;
    }
    for chapter in with_a_timeline() {
        compare_stories(&chapter.name);
    }
}

/// One program takes over from another while it's looked at: both are seen from their first instruction to their last,
/// and but for the loop's one line they wait only where a process is started. (To load a program may take a disk.)
#[test]
fn one_line_waits_in_a_program_and_in_the_one_that_takes_its_place() {
    if !can_look() {
        return;
    }
    let mut always: Option<BTreeSet<String>> = None;
    for _ in 0..TRIES {
        let lines = run("13-upgrade");
        let threads: Vec<_> = lines
            .iter()
            .filter_map(|line| if let Line::Thread(thread) = line { Some(thread) } else { None })
            .collect();
        let [old, new] = threads[..] else { panic!("not two threads: {threads:?}") };
        assert_ne!(old.pid, new.pid, "two programs");
        let (first, last) = (calls(&lines)[0], lines.last());
        assert!(old.began_us == 0 && first.began_us < new.began_us, "{old:?} {first:?}");
        assert!(new.began_us < old.ended_us && old.ended_us < new.ended_us, "{old:?} {new:?}");
        assert!(matches!(last, Some(Line::End(_))), "{last:?}");
        let elsewhere = calls(&lines).into_iter().filter(|call| {
            let starts = ["clone", "clone3", "vfork"].contains(&call.call.as_str());
            call.blocked() >= HARDLY_A_WAIT && call.call != "epoll_wait" && !starts
        });
        let elsewhere: BTreeSet<String> =
            elsewhere.map(|call| format!("thread {} in {}", call.thread, call.call)).collect();
        if elsewhere.is_empty() {
            return;
        }
        always = Some(match always {
            None => elsewhere,
            Some(always) => &always & &elsewhere,
        });
    }
    let always = always.unwrap_or_default();
    assert!(always.is_empty(), "it waits elsewhere, each time: {always:?}");
    visitors::skipped(
        "each time they waited elsewhere, and never at the same place: this machine is too busy",
    );
}

fn compare_stories(chapter: &str) {
    let then = story(&recorded(chapter));
    let mut others = Vec::new();
    for _ in 0..TRIES {
        let (lines, calm) = calmly(|| run(chapter));
        match story(&lines) {
            now if now == then => return,
            now if calm => others.push(now),
            // Half a second isn't long: on a busy machine somebody is late for it.
            _ => {}
        }
    }
    if others.len() < STAYS {
        return visitors::skipped(format!(
            "{chapter}'s story wasn't compared: this machine was too busy, {TRIES} times"
        ));
    }
    panic!(
        "{chapter}: today it's {others:#?}, in the book {then:#?}; cargo book pictures draws it anew"
    );
}

fn run(chapter: &str) -> Vec<Line> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("run.jsonl");
    let output = Command::new(LENS)
        .args([chapter, "--quiet", "--json"])
        .arg(&file)
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{chapter}: {output:?}");
    shared::read(&file)
}
