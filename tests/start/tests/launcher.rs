//! What stands before each tool, in small workspaces that have the real one, the real aliases, and a tool that takes no
//! time to compile.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;
use visitors::setup::by_the_clock;

/// Its words are there within so long, with two programs to be compiled before.
const SOON: Duration = Duration::from_secs(10);

const TOOL: &str = r#"
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    println!("WORD: {arguments:?} in {}", std::env::var("CARGO_MANIFEST_DIR").unwrap());
    std::process::exit(i32::try_from(arguments.len()).unwrap());
}
"#;

/// A workspace with the launcher, and a tool called `visit` in the folder `tests/visitors`.
struct Copy {
    folder: TempDir,
}

impl Copy {
    fn new() -> Self {
        let copy = Self { folder: tempfile::tempdir().expect("a folder can be made") };
        let original = Path::new(env!("CARGO_MANIFEST_DIR"));
        for file in ["Cargo.toml", "src/main.rs", "src/artifact.rs", "src/place.rs"] {
            let text = fs::read_to_string(original.join(file)).expect("it's ours");
            // Its own tests are not here.
            let text = text.split("# Part of the proof").next().expect("a first part").to_owned();
            copy.write(&format!("tests/start/{file}"), &text);
        }
        let aliases = fs::read_to_string(original.join("../../.cargo/config.toml"));
        copy.write(".cargo/config.toml", &aliases.expect("it's ours"));
        copy.write("Cargo.toml", WORKSPACE);
        copy.write("tests/visitors/Cargo.toml", PACKAGE);
        copy.say("here");
        copy
    }

    fn root(&self) -> PathBuf {
        fs::canonicalize(self.folder.path()).expect("it's there")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
        fs::write(path, text).expect("it can be written");
    }

    /// What the tool says.
    fn say(&self, word: &str) {
        self.write("tests/visitors/src/main.rs", &TOOL.replace("WORD", word));
    }

    /// `cargo visit`, in a folder below.
    fn visit(&self, below: &str) -> Command {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(self.root().join(below)).arg("visit");
        // Not where these tests themselves are compiled.
        for name in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "CARGO_BUILD_BUILD_DIR"] {
            command.env_remove(name);
        }
        command.env("CARGO_TERM_COLOR", "never").stdin(Stdio::null());
        command
    }

    fn is_right(&self, output: &Output, word: &str, arguments: &[&str]) {
        let package = self.root().join("tests/visitors");
        let expected = format!("{word}: {arguments:?} in {}\n", package.display());
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{output:?}");
        assert_eq!(output.status.code(), i32::try_from(arguments.len()).ok());
    }
}

const WORKSPACE: &str = r#"
[workspace]
resolver = "3"
members = ["tests/start", "tests/visitors"]

[workspace.package]
version = "0.1.0"
edition = "2024"
rust-version = "1.88"
license = "MIT"
publish = false

[workspace.lints.rust]
unsafe_code = "forbid"

[profile.start]
inherits = "dev"
"#;

const PACKAGE: &str = r#"
[package]
name = "visitors"
version = "0.1.0"
edition = "2024"

[[bin]]
name = "visit"
path = "src/main.rs"
"#;

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_first_time_it_says_what_takes_so_long_and_then_nothing() {
    let copy = Copy::new();
    let first = copy.visit("").args(["a", "--help"]).output().expect("cargo is here");
    copy.is_right(&first, "here", &["a", "--help"]);
    let said = errors(&first);
    assert!(said.starts_with("compiling `cargo visit`"), "{said}");
    assert!(said.contains("Compiling visitors"), "{said}");
    // From anywhere below, and with whatever is said to it.
    let next = copy.visit("tests/visitors/src").args(["--", "-q"]).output().expect("cargo is here");
    copy.is_right(&next, "here", &["--", "-q"]);
    let said = errors(&next);
    // On a very busy machine cargo may take longer than a second.
    assert!(said.is_empty() || said.contains("Blocking"), "{said}");
}

#[test]
fn what_has_changed_is_compiled_again() {
    let copy = Copy::new();
    copy.is_right(&copy.visit("").output().expect("cargo is here"), "here", &[]);
    copy.say("there");
    copy.is_right(&copy.visit("").output().expect("cargo is here"), "there", &[]);
}

#[test]
fn a_tool_that_does_not_compile_is_told_of_as_by_cargo() {
    let copy = Copy::new();
    for first in [true, false] {
        copy.write("tests/visitors/src/main.rs", "fn main() { nonsense }");
        let output = copy.visit("").output().expect("cargo is here");
        assert_eq!(output.status.code(), Some(101), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        let said = errors(&output);
        assert!(said.contains("cannot find value `nonsense`"), "{first}: {said}");
        assert!(said.contains("could not compile `visitors`"), "{first}: {said}");
        // And then one that has been there before.
        copy.say("here");
        copy.is_right(&copy.visit("").output().expect("cargo is here"), "here", &[]);
    }
}

/// Another cargo compiles, and holds the lock of the folder.
#[test]
fn while_another_cargo_compiles_it_says_that_it_waits() {
    by_the_clock(it_waits);
}

fn it_waits() {
    for built_before in [false, true] {
        let copy = Copy::new();
        if built_before {
            copy.is_right(&copy.visit("").output().expect("cargo is here"), "here", &[]);
        }
        let folder = copy.root().join("target/debug");
        fs::create_dir_all(&folder).expect("it can be made");
        let lock = File::create(folder.join(".cargo-lock")).expect("it can be made");
        let lock = Flock::lock(lock, FlockArg::LockExclusive).expect("nobody else is here");
        let began = Instant::now();
        let mut waiting = copy.visit("").stderr(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let waiting = waiting.as_mut().expect("cargo is here");
        let mut words = BufReader::new(waiting.stderr.take().expect("a pipe")).lines();
        let blocking = words.find(|line| line.as_ref().is_ok_and(|line| line.contains("Blocking")));
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        let blocking = blocking.expect("it says so").expect("it's text");
        assert!(blocking.contains("file lock"), "{blocking}");
        drop(lock);
        // Or it would wait for us to read on.
        for word in words {
            word.expect("it's text");
        }
        assert_eq!(waiting.wait().expect("it's ours").code(), Some(0));
    }
}

/// Two copies of the repository share a folder for what is compiled: each has its own tool.
#[test]
fn two_copies_with_one_target_folder_have_a_tool_each() {
    let target = tempfile::tempdir().expect("a folder can be made");
    let copies = [Copy::new(), Copy::new()];
    copies[1].say("other");
    for _ in 0..2 {
        for (copy, word) in copies.iter().zip(["here", "other"]) {
            let mut visit = copy.visit("tests");
            let output = visit.env("CARGO_TARGET_DIR", target.path()).output();
            copy.is_right(&output.expect("cargo is here"), word, &[]);
        }
    }
}

#[test]
fn without_an_alias_it_says_what_it_is_for() {
    let output = Command::new(env!("CARGO_BIN_EXE_start")).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(errors(&output).contains("cargo visit"), "{output:?}");
}
