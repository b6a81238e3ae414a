//! Builds the proof's test programs, runs them, and counts what they say.

use std::collections::BTreeSet;
use std::env;
use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::iter::once;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::targets::{self, Target};

/// In the environment of a test program: the file in which it writes a line for each test that it skips
/// (`visitors::skipped`).
const SKIPPED: &str = "PROOF_SKIPPED";

/// A test program that has been built.
pub struct Program {
    target: Target,
    path: PathBuf,
}

/// A line of what cargo tells while it builds (The Cargo Book, "External tools").
#[derive(Deserialize)]
struct Message {
    package_id: Option<String>,
    target: Option<Named>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    kind: Vec<String>,
}

/// Has cargo build them: as plain `cargo test` would, so that nothing is compiled in another way.
///
/// # Errors
/// A sentence on what isn't there. What doesn't compile, cargo has told.
pub fn build(targets: &[Target]) -> Result<Vec<Program>, String> {
    let mut cargo = targets::cargo_for_this_copy("test");
    cargo.args(["--no-run", "--message-format=json-render-diagnostics"]);
    for name in targets.iter().map(|target| &target.test).collect::<BTreeSet<_>>() {
        cargo.args(["--test", name]);
    }
    let output = cargo.output().map_err(|error| format!("can't run cargo: {error}"))?;
    if !output.status.success() {
        return Err("not all of it compiles".to_owned());
    }
    let lines = String::from_utf8_lossy(&output.stdout);
    let messages: Vec<Message> =
        lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let path = |wanted: &Target| {
        messages.iter().find_map(|message| {
            let target = message.target.as_ref()?;
            let is_it = message.package_id.as_deref() == Some(&wanted.id)
                && target.name == wanted.test
                && target.kind.iter().any(|kind| kind == "test");
            message.executable.clone().filter(|_| is_it)
        })
    };
    let programs = targets.iter().map(|target| {
        let path = path(target).ok_or_else(|| format!("cargo hasn't built {}", target.name()))?;
        Ok(Program { target: target.clone(), path })
    });
    programs.collect()
}

/// A test that failed is run again, by itself, unless so many more of its program failed too. If it passes then, that is said: it's
/// unsteady, as tests of races and of the clock can be on a busy machine, and it wants to be looked at.
const FAILURES_TO_RUN_AGAIN: usize = 2;

/// The proof fails nevertheless if there are more of these.
const MOST_UNSTEADY: usize = 3;

/// What came of all of them.
#[derive(Default)]
pub struct Sum {
    programs: usize,
    passed: usize,
    failed: usize,
    /// Who failed: a test, or a test program that didn't come to its end.
    failures: Vec<String>,
    /// Which failed, and passed when they were run again.
    unsteady: Vec<String>,
    /// Which tests showed nothing, and why.
    skipped: Vec<String>,
    took: Duration,
}

/// Runs them one after the other: many of them measure.
///
/// # Errors
/// A sentence on what can't be run.
pub fn run(programs: &[Program], arguments: &[String]) -> Result<Sum, String> {
    let began = Instant::now();
    let mut sum = Sum { programs: programs.len(), ..Sum::default() };
    let file = env::temp_dir().join(format!("proof-skipped-{}", std::process::id()));
    for program in programs {
        let name = program.target.name();
        println!("\n     Running {name} ({})", program.path.display());
        // What the one before has skipped.
        let _ = fs::remove_file(&file);
        let (status, said) = run_one(program, arguments, &file)
            .map_err(|error| format!("can't run {}: {error}", program.path.display()))?;
        let skipped = || fs::read_to_string(&file).unwrap_or_default();
        let failed = sum.add(&name, status, &said, &skipped());
        // Those that somebody chose are run as they chose them, and once.
        if arguments.is_empty() && (1..=FAILURES_TO_RUN_AGAIN).contains(&failed.len()) {
            println!("\n     Running {name} again: {}", failed.join(" "));
            let again: Vec<String> = once("--exact".to_owned()).chain(failed.clone()).collect();
            let (status, said) = run_one(program, &again, &file)
                .map_err(|error| format!("can't run {}: {error}", program.path.display()))?;
            sum.again(&name, &failed, status, &said);
        }
    }
    let _ = fs::remove_file(&file);
    sum.took = began.elapsed();
    Ok(sum)
}

/// Runs a test program as `cargo test` does, and gives what it printed, which is shown as it comes.
fn run_one(
    program: &Program,
    arguments: &[String],
    skipped: &Path,
) -> io::Result<(ExitStatus, String)> {
    let mut child = Command::new(&program.path)
        .args(arguments)
        .current_dir(&program.target.folder)
        .env("CARGO_MANIFEST_DIR", &program.target.folder)
        .env("CARGO", targets::cargo())
        .env(SKIPPED, skipped)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = String::new();
    if let Some(stdout) = child.stdout.take() {
        let mut stdout = BufReader::new(stdout);
        let mut line = Vec::new();
        while stdout.read_until(b'\n', &mut line)? > 0 {
            // If nobody reads it, the exit status still says how it went.
            let _ = io::stdout().write_all(&line);
            said.push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    }
    Ok((child.wait()?, said))
}

impl Sum {
    /// Counts what a test program said. Its tests print what they want in between, so only whole lines of the
    /// test runner's count, and its result is the last such line. Gives the names of the tests that failed.
    fn add(&mut self, program: &str, status: ExitStatus, said: &str, skipped: &str) -> Vec<String> {
        let result = said.lines().rev().find_map(|line| line.strip_prefix("test result: "));
        let count = |what: &str| -> usize {
            let counts = result.unwrap_or_default().split(['.', ';']);
            let mut counts =
                counts.filter_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok());
            counts.next().unwrap_or(0)
        };
        let (passed, failed) = (count(" passed"), count(" failed"));
        let ignored = count(" ignored");
        let mut tests = BTreeSet::new();
        for line in skipped.lines() {
            tests.insert(line.split(": ").next().unwrap_or_default());
            let line = format!("{program} {line}");
            if !self.skipped.contains(&line) {
                self.skipped.push(line);
            }
        }
        if ignored > 0 {
            self.skipped.push(format!("{program}: {ignored} ignored, as its source says"));
        }
        if result.is_some() && passed + failed + ignored + count(" filtered out") == 0 {
            self.skipped.push(format!("{program}: it has no test for this system"));
        }
        // A test that shows nothing passes, as far as the test runner knows.
        self.passed += passed.saturating_sub(tests.len());
        self.failed += failed;
        // Behind that line stands what the tests said, who may have run tests themselves.
        let names = said.lines().take_while(|line| *line != "failures:").filter_map(|line| {
            let rest = line.strip_prefix("test ")?;
            Some(rest.strip_suffix(" ... FAILED")?.to_owned())
        });
        let names: Vec<String> = names.collect();
        self.failures.extend(names.iter().map(|name| in_program(program, name)));
        if result.is_none() || (failed == 0 && !status.success()) {
            self.failed += 1;
            self.failures.push(format!("{program}: it didn't come to its end ({status})"));
        }
        names
    }

    /// These failed, and have been run again: here is what they said then.
    fn again(&mut self, program: &str, failed: &[String], status: ExitStatus, said: &str) {
        for name in failed {
            let passed = said.lines().any(|line| line == format!("test {name} ... ok"));
            // One of two may have failed again, and then the program has too.
            if !passed || (!status.success() && failed.len() == 1) {
                continue;
            }
            let name = in_program(program, name);
            self.failures.retain(|failure| *failure != name);
            self.failed -= 1;
            self.passed += 1;
            self.unsteady.push(name);
        }
    }

    /// Nothing failed, and few were unsteady.
    pub fn is_well(&self) -> bool {
        self.failed == 0 && self.unsteady.len() <= MOST_UNSTEADY
    }
}

/// As it's called among all of the proof's.
fn in_program(program: &str, test: &str) -> String {
    format!("{program} {test}")
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [
            ("skipped", &self.skipped),
            ("failed, and passed when run again (why?)", &self.unsteady),
            ("failed", &self.failures),
        ];
        for (what, lines) in lists {
            if !lines.is_empty() {
                writeln!(f, "{what}:")?;
            }
            for line in lines {
                writeln!(f, "    {line}")?;
            }
        }
        let seconds = self.took.as_secs();
        writeln!(f, "the proof: {} test programs in {seconds} s", self.programs)?;
        let (passed, failed, skipped) = (self.passed, self.failed, self.skipped.len());
        let again = match self.unsteady.len() {
            0 => String::new(),
            count => format!(" ({count} of them only when run again; at most {MOST_UNSTEADY} may)"),
        };
        write!(f, "{passed} passed{again}, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    const WELL: &str = "running 2 tests\ntest a ... ok\ntest b::c ... ok\n\n\
        test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n";

    fn sum_of(status: i32, said: &str, skipped: &str) -> Sum {
        let mut sum = Sum::default();
        // As wait(2) gives it.
        sum.add("lens/strace", ExitStatus::from_raw(status << 8), said, skipped);
        sum
    }

    fn counts(sum: &Sum) -> (usize, usize, usize) {
        (sum.passed, sum.failed, sum.skipped.len())
    }

    #[test]
    fn what_passed_is_counted() {
        assert_eq!(counts(&sum_of(0, WELL, "")), (2, 0, 0));
    }

    #[test]
    fn a_test_that_was_skipped_has_not_passed() {
        let sum = sum_of(0, WELL, "b::c: no strace here\nb::c: no strace here\n");
        assert_eq!(counts(&sum), (1, 0, 1));
        assert!(sum.to_string().contains("lens/strace b::c: no strace here"), "{sum}");
        assert!(sum.to_string().ends_with("1 passed, 0 failed, 1 skipped"), "{sum}");
    }

    #[test]
    fn a_failure_is_named() {
        let said = WELL.replace("b::c ... ok", "b::c ... FAILED").replace("ok. 2", "FAILED. 1");
        let sum = sum_of(101, &said.replace("0 failed", "1 failed"), "");
        assert_eq!(counts(&sum), (1, 1, 0));
        assert_eq!(sum.failures, ["lens/strace b::c"]);
        assert!(!sum.is_well());
    }

    #[test]
    fn what_fails_once_is_run_again_and_named() {
        let one = WELL.replace("b::c ... ok", "b::c ... FAILED").replace("ok. 2", "FAILED. 1");
        let one = one.replace("0 failed", "1 failed");
        let again = |said: &str, status: i32| {
            let mut sum = sum_of(101, &one, "");
            let failed = ["b::c".to_owned()];
            sum.again("lens/strace", &failed, ExitStatus::from_raw(status << 8), said);
            sum
        };
        let sum = again("running 1 test\ntest b::c ... ok\n", 0);
        assert_eq!(counts(&sum), (2, 0, 0));
        assert!(sum.is_well() && sum.failures.is_empty());
        let told = sum.to_string();
        assert!(told.contains("run again (why?):\n    lens/strace b::c\n"), "{told}");
        assert!(
            told.ends_with(
                "2 passed (1 of them only when run again; at most 3 may), 0 failed, 0 skipped"
            ),
            "{told}"
        );
        for (said, status) in [
            ("running 1 test\ntest b::c ... FAILED\n", 101),
            ("running 0 tests\n", 0),
            ("running 1 test\n", 134),
            ("running 1 test\ntest b::c ... ok\n", 101),
        ] {
            let sum = again(said, status);
            assert_eq!((counts(&sum), sum.is_well()), ((1, 1, 0), false), "{said}");
            assert_eq!(sum.failures, ["lens/strace b::c"]);
        }
    }

    #[test]
    fn many_that_are_unsteady_are_a_fault() {
        let name = "lens/strace b::c".to_owned();
        let sum = |count| Sum { unsteady: vec![name.clone(); count], ..Sum::default() };
        assert!(sum(MOST_UNSTEADY).is_well());
        assert!(!sum(MOST_UNSTEADY + 1).is_well());
    }

    #[test]
    fn a_program_that_dies_has_failed() {
        assert_eq!(counts(&sum_of(1, "running 2 tests\n", "")), (0, 1, 0));
        assert_eq!(counts(&sum_of(1, WELL, "")), (2, 1, 0));
    }

    #[test]
    fn a_program_without_a_test_is_no_pass_that_nobody_notices() {
        let said = WELL.replace("2 passed", "0 passed");
        assert_eq!(counts(&sum_of(0, &said, "")), (0, 0, 1));
        // But for one that was asked for other tests.
        let filtered = said.replace("0 filtered", "2 filtered");
        assert_eq!(counts(&sum_of(0, &filtered, "")), (0, 0, 0));
    }
}
