//! Whatever interrupts `cargo grade` (a reader who leaves, a full disk, Ctrl-C, a kill), exercises and score stay
//! whole. On a course of one small exercise, which is never compiled.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rstest::rstest;
use tempfile::TempDir;
use visitors::program::{PATIENCE, Program, Start};

const GRADE: &str = env!("CARGO_BIN_EXE_grade");
const MINE: &str = "fn main() {\n    // what I wrote\n}\n";
const SCORE: &str = "a note of mine\nhead: best 3 of 6, hints 1\n";
const NO_SCORE: &str = "a note of mine\n";

/// A course with one exercise, `01-head`, that somebody has begun.
struct Course(TempDir);

impl Course {
    fn begun() -> Self {
        let course = Self(tempfile::tempdir().unwrap());
        course.write("chapters/01-one/exercises/Cargo.toml", "[[bin]]\nname = \"ex01-head\"\n");
        course.write(
            "chapters/01-one/solutions/head.rs",
            "//! Exercise 01-head: the head\n\nfn main() {\n    // your turn: do it\n    // hint: so\n    // hint: or so\n    done();\n    // end\n}\n",
        );
        course.write("tests/visitors/here", "");
        course.begin();
        course
    }

    fn begin(&self) {
        self.write("chapters/01-one/exercises/head.rs", MINE);
        self.write(".progress", SCORE);
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn exercise(&self) -> String {
        fs::read_to_string(self.path("chapters/01-one/exercises/head.rs")).unwrap()
    }

    fn score(&self) -> String {
        fs::read_to_string(self.path(".progress")).unwrap()
    }

    fn copies(&self) -> Vec<String> {
        let folder = fs::read_dir(self.path("chapters/01-one/exercises/kept"));
        let copies = folder.into_iter().flatten().map(|entry| entry.unwrap());
        // What a kill left unfinished has no name that anybody would take for a copy's.
        let copies = copies.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
        copies.map(|entry| fs::read_to_string(entry.path()).unwrap()).collect()
    }

    /// `cargo grade`, called in this course; `shell` runs it as `"$@"`.
    fn grade(&self, shell: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", shell, "sh", GRADE]).args(arguments);
        command.current_dir(self.0.path()).env_remove("CARGO_MANIFEST_DIR");
        command
    }

    fn run(&self, shell: &str, arguments: &[&str]) -> (Output, String) {
        let output = self.grade(shell, arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("panicked"), "{said}");
        (output, said)
    }

    /// Runs it with a pipe for its stdout that nobody reads; gives its status, and what it said on stderr.
    fn run_for_nobody(&self, arguments: &[&str]) -> (i32, String) {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let output = self.grade(AS_IT_IS, arguments).stdout(writer).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), said)
    }
}

const AS_IT_IS: &str = "exec \"$@\"";
const FULL: &str = "\"$@\" > /dev/full";
/// No file may grow: as on a full disk, writing fails. (The limit's signal would end the program before that.)
const NO_ROOM: &str = "trap '' XFSZ; ulimit -f 0; \"$@\"";

#[test]
fn a_reset_that_nobody_reads_of_is_a_whole_one() {
    let course = Course::begun();
    let (status, said) = course.run_for_nobody(&["reset", "01-head"]);
    assert_eq!((status, &*said), (0, ""));
    assert!(course.exercise().contains("todo!"), "{}", course.exercise());
    assert_eq!(course.score(), NO_SCORE);
    assert_eq!(course.copies(), [MINE]);
}

#[rstest]
#[case::look(&[], 1)]
#[case::hint(&["hint", "head"], 0)]
#[case::starters(&["starters"], 0)]
#[case::watch(&["--watch"], 0)]
fn where_nobody_reads_the_status_is_that_of_the_work(
    #[case] arguments: &[&str],
    #[case] expected: i32,
) {
    let course = Course::begun();
    course.write("chapters/01-one/exercises/head.rs", "");
    fs::remove_file(course.path("chapters/01-one/exercises/head.rs")).unwrap();
    let (status, said) = course.run_for_nobody(arguments);
    assert_eq!((status, &*said), (expected, ""));
}

#[test]
#[cfg(target_os = "linux")]
fn what_cannot_be_printed_is_a_failure_that_is_said_and_the_work_is_done() {
    let course = Course::begun();
    let (output, said) = course.run(FULL, &["reset", "01-head"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.starts_with("cargo grade: not all could be printed: No space left"), "{said}");
    assert_eq!(said.lines().count(), 1, "once: {said}");
    assert!(course.exercise().contains("todo!"));
    assert_eq!(course.score(), NO_SCORE);
}

#[rstest]
#[case::reset(&["reset", "01-head"])]
#[case::starters(&["starters"])]
#[case::hint(&["hint", "01-head"])]
fn on_a_full_disk_all_stays_as_it_was(#[case] arguments: &[&str]) {
    let course = Course::begun();
    let (output, said) = course.run(NO_ROOM, arguments);
    assert!(said.starts_with("cargo grade: "), "{said}");
    // The hint was shown: only that it was isn't remembered.
    assert_eq!(output.status.code(), Some(i32::from(arguments[0] != "hint")));
    assert_eq!(course.exercise(), MINE);
    assert_eq!(course.score(), SCORE);
    assert_eq!(course.copies(), [""; 0]);
    let left = fs::read_dir(course.path("chapters/01-one/exercises")).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = left.filter(|name| name.ends_with(".new")).collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn a_reset_that_is_killed_leaves_whole_files_and_the_next_one_finishes_it() {
    let course = Course::begun();
    course.run(AS_IT_IS, &["reset", "01-head"]);
    let starter = course.exercise();
    let mut killed = 0;
    for try_number in 0..60 {
        course.begin();
        let before = course.copies().len();
        let mut reset = course.grade(AS_IT_IS, &["reset", "01-head"]);
        let mut reset = reset.stdout(Stdio::null()).spawn().unwrap();
        // At another moment each time, from before it has begun until it has ended.
        thread::sleep(Duration::from_micros(250 * try_number));
        let _ = reset.kill();
        let status = reset.wait().unwrap();
        killed += u32::from(status.signal() == Some(Signal::SIGKILL as i32));

        let (exercise, score) = (course.exercise(), course.score());
        assert!(exercise == MINE || exercise == starter, "{exercise}");
        assert!(score == SCORE || score == NO_SCORE, "{score}");
        if exercise == starter {
            assert_eq!(course.copies().len(), before + 1, "what was written is kept first");
        }
        assert!(course.copies().iter().all(|copy| copy == MINE));

        course.run(AS_IT_IS, &["reset", "01-head"]);
        assert_eq!(course.exercise(), starter);
        assert_eq!(course.score(), NO_SCORE);
    }
    assert!(killed > 0, "it was never killed before it had ended");
}

#[test]
fn the_checkout_is_the_one_in_which_it_is_called() {
    let course = Course::begun();
    let (one, _) = course.run("cd chapters/01-one/solutions && \"$@\"", &["hint", "head"]);
    assert!(String::from_utf8_lossy(&one.stdout).starts_with("01-head: the head"));

    // As `cargo run` says it, from wherever that was called.
    let said = course
        .grade("cd / && \"$@\"", &["hint", "head"])
        .env("CARGO_MANIFEST_DIR", course.path("tests/grader"))
        .output();
    assert!(String::from_utf8_lossy(&said.unwrap().stdout).starts_with("01-head: the head"));

    let (lost, said) = course.run("cd / && \"$@\"", &["hint", "head"]);
    assert_eq!(lost.status.code(), Some(1));
    assert!(said.contains("/ is in no checkout of The Waiting Game"), "{said}");
    assert!(said.contains("go to the folder"), "{said}");
}

#[rstest]
#[case(&["01-haed"], "there is no exercise 01-haed; did you mean 01-head? `cargo grade` lists all")]
#[case(&["hint", "heed"], "there is no exercise heed; did you mean 01-head? `cargo grade` lists all")]
#[case(&["01-noe"], "there is no chapter 01-noe; did you mean 01-one?")]
#[case(&["nothing"], "there is no chapter nothing; there are 1; and there is no exercise nothing; `cargo grade` lists all")]
fn who_misspells_a_name_is_told_which_was_meant(#[case] arguments: &[&str], #[case] words: &str) {
    let course = Course::begun();
    let (output, said) = course.run(AS_IT_IS, arguments);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(said, format!("cargo grade: {words}\n"));
}

#[test]
fn an_editors_own_files_are_no_save() {
    let course = Course::begun();
    fs::remove_file(course.path("chapters/01-one/exercises/head.rs")).unwrap();
    let watching = Start::new(GRADE).arg("--watch").env("CARGO_MANIFEST_DIR", course.0.path());
    let watching = watching.start().unwrap();
    wait_for_gradings(&watching, 1);

    let exercises = course.path("chapters/01-one/exercises");
    symlink("you@here.77:1", exercises.join(".#head.rs")).unwrap();
    for name in
        ["#head.rs#", "head.rs~", ".head.rs.swp", "4913", "head.rs___jb_tmp___", ".head.7.rs"]
    {
        fs::write(exercises.join(name), "half of it").unwrap();
    }
    fs::remove_file(exercises.join(".#head.rs")).unwrap();
    // Where these were a reason, it would have begun within 30 ms.
    thread::sleep(Duration::from_millis(500));
    assert_eq!(gradings(&watching), 1, "{}", String::from_utf8_lossy(&watching.stdout()));

    // A save is one: nothing else has to be believed of the half-second.
    let starter = course.run(AS_IT_IS, &["starters"]);
    assert!(starter.0.status.success());
    wait_for_gradings(&watching, 2);
}

fn gradings(watching: &Program) -> usize {
    String::from_utf8_lossy(&watching.stdout()).matches("Waiting for a save").count()
}

#[track_caller]
fn wait_for_gradings(watching: &Program, count: usize) {
    let began = Instant::now();
    while gradings(watching) < count {
        assert!(began.elapsed() < PATIENCE, "{}", String::from_utf8_lossy(&watching.stdout()));
        thread::sleep(Duration::from_millis(10));
    }
}
