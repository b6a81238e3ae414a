//! `cargo grade` as a learner uses it, from the first look to the last check, on a copy of the
//! repository: nothing here touches the exercises of the one who runs the tests.

mod shared;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use grader::course::Course;
use visitors::chapters;
use visitors::program::{Program, Start};

/// A copy of what `cargo grade` needs, with every exercise as at the beginning.
struct Copy {
    root: PathBuf,
}

/// What a run printed, and how it ended.
struct Run {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Copy {
    fn make() -> Self {
        // One folder deeper than in the repository: cargo tells the packages of two workspaces apart by
        // their paths below the workspace, and they share a folder for what is in between (see `grade`).
        let workspace = Path::new(env!("CARGO_TARGET_TMPDIR")).join("learner");
        let root = workspace.join("copy");
        // What an earlier run left, save for what it compiled.
        for folder in ["chapters", "tests"] {
            let _ = fs::remove_dir_all(root.join(folder));
        }
        let _ = fs::remove_file(root.join(".progress"));
        let original = chapters::root();
        copy_folder(&original.join("chapters"), &root.join("chapters"));
        copy_folder(&original.join("tests"), &root.join("tests"));
        let manifest = fs::read_to_string(original.join("Cargo.toml")).unwrap();
        // Without the book's tool, which grading has no need of.
        let manifest = manifest.replace(", \"book/tool\"", "");
        let manifest = manifest.replace("\"chapters/", "\"copy/chapters/");
        let manifest = manifest.replace("\"tests/", "\"copy/tests/");
        fs::write(workspace.join("Cargo.toml"), manifest).unwrap();
        fs::copy(original.join("Cargo.lock"), workspace.join("Cargo.lock")).unwrap();
        let copy = Self { root };
        copy.grade(&["starters"]);
        copy
    }

    fn grade(&self, arguments: &[&str]) -> Run {
        // With the same folder for what is in between, the dependencies are compiled already.
        let between = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .current_dir(&self.root)
            .env("CARGO_BUILD_BUILD_DIR", between)
            .env("CARGO_TARGET_DIR", self.root.with_file_name("target"))
            .env("CARGO_NET_OFFLINE", "true")
            .args(["run", "--quiet", "--package", "grader", "--"])
            .args(arguments)
            .output()
            .unwrap();
        Run {
            status: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// `cargo grade EXERCISE --watch`, without cargo in between: what has been started is to be ended.
    fn watch(&self, exercise: &str) -> Program {
        let between = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let target = self.root.with_file_name("target");
        let start = Start::new(target.join("debug").join("grade")).arg(exercise).arg("--watch");
        let start = start.env("CARGO_MANIFEST_DIR", self.root.join("tests").join("grader"));
        let start = start.env("CARGO_BUILD_BUILD_DIR", between).env("CARGO_TARGET_DIR", target);
        start.env("CARGO_NET_OFFLINE", "true").start().unwrap()
    }

    fn exercise(&self, path: &str) -> PathBuf {
        self.root.join("chapters").join(path)
    }

    /// Replaces an exercise by its worked answer, changed by `change`.
    fn solve(&self, chapter: &str, name: &str, change: impl Fn(String) -> String) {
        let chapter = self.root.join("chapters").join(chapter);
        let answer =
            fs::read_to_string(chapter.join("solutions").join(format!("{name}.rs"))).unwrap();
        fs::write(chapter.join("exercises").join(format!("{name}.rs")), change(answer)).unwrap();
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().unwrap().is_dir() {
            true if entry.file_name() == "exercises" => copy_manifest(&path, &target),
            true => copy_folder(&path, &target),
            false => {
                fs::copy(&path, &target).unwrap();
            }
        }
    }
}

/// Of a chapter's exercises: which there are, and nothing that the one who runs the tests has written there.
fn copy_manifest(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::copy(from.join("Cargo.toml"), to.join("Cargo.toml")).unwrap();
}

#[track_caller]
fn assert_says(run: &Run, status: i32, parts: &[&str]) {
    let all = format!("{}{}", run.stdout, run.stderr);
    assert_eq!(run.status, status, "{all}");
    for part in parts {
        assert!(all.contains(part), "{part:?} is missing in:\n{all}");
    }
}

/// Waits until what is watched has been graded `times` times, the last time with `result`.
#[track_caller]
fn wait_for(watching: &Program, times: usize, result: &str) {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let said = String::from_utf8_lossy(&watching.stdout()).into_owned();
        let mut graded = said.split("Waiting for a save");
        if said.matches("Waiting for a save").count() == times {
            let last = graded.nth(times - 1).unwrap_or_default();
            assert!(last.contains(result), "{said}");
            return;
        }
        assert!(Instant::now() < deadline, "{result} never came:\n{said}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// One test, because all of it happens in one place, one after the other.
#[test]
fn from_the_first_look_to_the_last_check() {
    let _alone = shared::alone("learner");
    let copy = Copy::make();
    let course = Course::read(&copy.root).unwrap();
    let exercises = || course.lessons.iter().flat_map(|lessons| &lessons.exercises);
    let all = exercises().count();

    // The first look: nothing has been started, and that is no failure.
    let first = copy.grade(&[]);
    assert_says(
        &first,
        1,
        &[
            "01-head",
            "03-stop",
            "race-due",
            &format!("0 of {all} exercises passed"),
            "Next: cargo grade 1",
        ],
    );
    assert_eq!(first.stdout.matches("not started").count(), all, "{}", first.stdout);
    assert!(!first.stdout.contains("✗"), "{}", first.stdout);
    let chapter = copy.grade(&["1"]);
    assert_says(
        &chapter,
        1,
        &["not started", "read book/build/01-blocking-read.html", "exercises/head.rs"],
    );

    // Bad usage says what there is.
    assert_says(&copy.grade(&["99"]), 2, &["there is no chapter 99; there are 1, 2, 3"]);
    assert_says(
        &copy.grade(&["hint", "01-tail"]),
        2,
        &["there is no exercise 01-tail; `cargo grade` lists"],
    );
    assert_says(&copy.grade(&["--loudly"]), 2, &["--loudly"]);

    // Hints: one more each time, to the last.
    let one = copy.grade(&["hint", "01-head"]);
    assert_says(&one, 0, &["1. One `read` gives", "There are 4 more"]);
    assert!(!one.stdout.contains("2. "), "{}", one.stdout);
    assert_says(&copy.grade(&["hint", "head"]), 0, &["1. One `read`", "2. After each"]);
    assert_says(
        &copy.grade(&["hint", "head", "--again"]),
        0,
        &["2. After each", "There are 3 more"],
    );
    copy.grade(&["hint", "head"]);
    assert_says(&copy.grade(&["hint", "head"]), 0, &["4. Two things besides", "There is one more"]);
    let last = ["5. Nearly", "no more hints", "solutions/head.rs"];
    assert_says(&copy.grade(&["hint", "head"]), 0, &last);
    assert_says(&copy.grade(&["hint", "head"]), 0, &last);

    // Whoever begins with the second one hears of that one.
    let wrong_length =
        |answer: String| answer.replace("came[start..end].to_vec()", "came[start..].to_vec()");
    copy.solve("01-blocking-read", "length", wrong_length);
    let second = copy.grade(&["1"]);
    let explained =
        ["not started", "saw:", "Next: mend chapters/01-blocking-read/exercises/length.rs"];
    assert_says(&second, 1, &explained);
    assert!(!second.stdout.contains("What else"), "{}", second.stdout);

    // Watching: a save is graded at once, and how it goes is said each time.
    copy.solve("01-blocking-read", "head", |answer| {
        answer.replace("came.truncate(end);", "let _ = end;")
    });
    let watching = copy.watch("01-head");
    wait_for(&watching, 1, "✗ more comes in the same piece");
    // "45 of 54 checks passed"
    let said = String::from_utf8_lossy(&watching.stdout()).into_owned();
    let checks = said.split(" checks passed").next().and_then(|said| said.rsplit(' ').next());
    let checks = checks.unwrap().to_owned();
    let both = [
        "Next: mend chapters/01-blocking-read/exercises/head.rs",
        "What else is wrong: cargo grade 01-length",
    ];
    assert_says(&copy.grade(&["1"]), 1, &both);
    copy.solve("01-blocking-read", "head", |answer| answer);
    wait_for(&watching, 2, &format!("{checks} of {checks} checks passed"));
    drop(watching);

    // One is right, one has a mistake, one doesn't compile: each counts by itself.
    copy.solve("01-blocking-read", "head", |answer| answer);
    copy.solve("02-blocking-server", "pieces", |answer| {
        answer.replace("let mut seen = 0;", "let seen = 0;")
    });
    let glance = copy.grade(&[]);
    assert_says(&glance, 1, &[&format!("1 of {all} exercises passed"), "does not compile"]);
    let of_head = glance.stdout.lines().find(|line| line.contains("01-head")).unwrap();
    assert!(of_head.contains("■■■■■■■■■■"), "{of_head}");

    let chapter = copy.grade(&["1"]);
    assert_says(
        &chapter,
        1,
        &[
            "✗ more comes than was promised",
            "saw:      after an answer that was cut after 51 bytes",
            "what came after the end is given back too",
            "book/build/01-blocking-read.html#where-does-it-end",
            "Next: mend chapters/01-blocking-read/exercises/length.rs",
        ],
    );
    assert_eq!(chapter.stdout.matches("saw:").count(), 1, "one is explained: {}", chapter.stdout);
    let broken = copy.grade(&["02-pieces"]);
    assert_says(&broken, 1, &["does not compile", "cannot assign twice to immutable variable"]);

    // Mended: the score remembers nothing bad, and the exit status says so.
    copy.solve("01-blocking-read", "length", |answer| answer);
    assert_says(&copy.grade(&["1"]), 0, &["All passed. Next: cargo grade 2"]);
    let progress = fs::read_to_string(copy.root.join(".progress")).unwrap();
    assert!(
        progress.contains(&format!("head: best {checks} of {checks}, hints 5\n")),
        "{progress}"
    );

    // Whoever begins with chapter 3 isn't sent to chapter 1, of which nothing is known now.
    fs::remove_file(copy.root.join(".progress")).unwrap();
    copy.solve("03-threads", "stop", |answer| answer);
    assert_says(&copy.grade(&["03-stop"]), 0, &["All passed. Next: cargo grade 3"]);

    // Reset keeps what was written, and never over an earlier copy.
    let written =
        fs::read_to_string(copy.exercise("02-blocking-server/exercises/pieces.rs")).unwrap();
    assert_says(&copy.grade(&["reset", "02-pieces"]), 0, &["is kept in", "as at the beginning"]);
    let kept = copy.exercise("02-blocking-server/exercises/kept/pieces-1.rs");
    assert!(fs::read_to_string(kept).unwrap() == written, "what is kept isn't what was written");
    assert_says(&copy.grade(&["reset", "02-pieces"]), 0, &["already"]);
    copy.solve("02-blocking-server", "pieces", |answer| answer);
    copy.grade(&["reset", "02-pieces"]);
    assert!(copy.exercise("02-blocking-server/exercises/kept/pieces-2.rs").exists());

    // A file that is gone is said to be gone, and comes back.
    fs::remove_file(copy.exercise("03-threads/exercises/stop.rs")).unwrap();
    assert_says(&copy.grade(&["stop"]), 1, &["its file is gone", "cargo grade reset 03-stop"]);
    copy.grade(&["reset", "stop"]);
    assert_says(
        &copy.grade(&["starters", "--check"]),
        1,
        &["01-blocking-read/exercises/head.rs is not what"],
    );

    // All worked answers in place: everything passes.
    for exercise in exercises() {
        fs::copy(&exercise.answer, &exercise.file).unwrap();
    }
    let last = copy.grade(&[]);
    assert_says(&last, 0, &[&format!("{all} of {all} exercises passed")]);
}
