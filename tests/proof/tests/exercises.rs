//! Plain `cargo test` is green whatever a learner has written: in a copy of the repository, with all exercises broken,
//! untouched, half done, and solved.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use grader::course::{Course, Exercise};
use visitors::chapters;

/// A copy of what `cargo test` needs, with no exercise in it yet.
struct Copy {
    workspace: PathBuf,
    root: PathBuf,
}

impl Copy {
    fn make() -> Self {
        // One folder deeper than in the repository: cargo tells the packages of two workspaces apart by their paths below
        // the workspace, and these share a folder for what is in between.
        let workspace = Path::new(env!("CARGO_TARGET_TMPDIR")).join("exercises");
        let root = workspace.join("copy");
        // What an earlier run left, save for what it compiled.
        let _ = fs::remove_dir_all(&root);
        let original = chapters::root();
        for folder in ["book", "chapters", "tests"] {
            copy(&original.join(folder), &root.join(folder));
        }
        copy(&original.join(".cargo"), &workspace.join(".cargo"));
        let manifest = fs::read_to_string(original.join("Cargo.toml")).expect("it's there");
        let manifest =
            ["chapters/", "tests/", "book/tool"].iter().fold(manifest, |text, member| {
                text.replace(&format!("\"{member}"), &format!("\"copy/{member}"))
            });
        fs::write(workspace.join("Cargo.toml"), manifest).expect("there is room");
        fs::copy(original.join("Cargo.lock"), workspace.join("Cargo.lock")).expect("there is room");
        Self { workspace, root }
    }

    /// Writes each exercise's file.
    fn write(&self, text: impl Fn(usize, &Exercise) -> String) {
        let course = Course::read(&self.root).expect("the course can be read");
        let exercises = course.lessons.iter().flat_map(|lessons| &lessons.exercises);
        let mut count = 0;
        for (number, exercise) in exercises.enumerate() {
            fs::write(&exercise.file, text(number, exercise)).expect("there is room");
            count += 1;
        }
        assert!(count > 20, "{count} exercises");
    }

    fn cargo(&self, arguments: &[&str]) -> Output {
        // With the same folder for what is in between, the dependencies are compiled already.
        let between = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp");
        Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .current_dir(&self.workspace)
            .env("CARGO_BUILD_BUILD_DIR", between)
            .env("CARGO_TARGET_DIR", self.workspace.join("target"))
            .env("CARGO_NET_OFFLINE", "true")
            .env_remove("PROOF_SKIPPED")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("cargo is here")
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("there is room");
    for entry in fs::read_dir(from).expect("it's there") {
        let entry = entry.expect("it's there");
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let is_exercises = from.file_name().is_some_and(|name| name == "exercises");
        match entry.file_type().expect("it's there").is_dir() {
            // Built books, kept exercises, and what the fuzzer compiles.
            true if ["build", "kept", "target"].iter().any(|name| entry.file_name() == *name) => {}
            true => copy(&path, &target),
            // What the one who runs this has written.
            false if is_exercises && entry.file_name() != "Cargo.toml" => {}
            false => {
                fs::copy(&path, &target).expect("there is room");
            }
        }
    }
}

fn answer(exercise: &Exercise) -> String {
    fs::read_to_string(&exercise.answer).expect("there is a worked answer")
}

#[track_caller]
fn is_green(output: &Output, state: &str) {
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "with all exercises {state}:\n{said}\n{errors}");
    assert!(said.contains("test result: ok. "), "{said}\n{errors}");
}

#[test]
fn cargo_test_is_green_whatever_is_in_them() {
    let copy = Copy::make();
    // Whoever read one of these, or compiled it, would see it.
    copy.write(|_, _| "this is (no Rust at all".to_owned());
    is_green(&copy.cargo(&["test"]), "broken");
    // The chapters' own tests have been shown to read none. The tools know of exercises: they are tried with all else
    // that may be in them.
    let tools = ["book", "grade", "lens", "visit"].map(|program| ["--bin", program]);
    let tools =
        [&["test", "--lib", "--test", "works", "--test", "your_setup"], &tools.concat()[..]]
            .concat();
    copy.write(|_, exercise| exercise.source.starter.clone());
    is_green(&copy.cargo(&tools), "untouched");
    copy.write(|number, exercise| match number % 3 {
        0 => answer(exercise),
        1 => exercise.source.starter.clone(),
        _ => answer(exercise).replacen(';', "", 1),
    });
    is_green(&copy.cargo(&tools), "half done");
    copy.write(|_, exercise| answer(exercise));
    is_green(&copy.cargo(&tools), "solved");
}
