//! Runs graded checks, each in a process of its own, a few at a time.

use std::io::{self, Read};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than any check waits by itself: this ends one that hangs because of a bug of its own.
const CHECK_AT_MOST: Duration = Duration::from_secs(120);

/// How often it's looked whether a check has ended. With many checks at a time, more often costs more than it brings.
const LOOK_EVERY: Duration = Duration::from_millis(8);

/// One check, to be run on one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The test program that holds the check.
    pub checks: PathBuf,
    /// The check's name there: `head::in_pieces::case_2_two`.
    pub name: String,
    /// The program to judge.
    pub program: PathBuf,
    /// What else is in the check's environment.
    pub environment: Vec<(&'static str, &'static str)>,
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The program does what is asked.
    Passed,
    /// It doesn't: the check's message.
    Failed(String),
}

/// The names of all checks of one module of a test program, in the order in which they stand in its source.
///
/// # Errors
/// When the test program can't be run.
pub fn list(checks: &Path, module: &str, source: &str) -> io::Result<Vec<String>> {
    let listed = Command::new(checks).args(["--list", "--format", "terse"]).output()?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let names = listed.lines().filter_map(|line| line.strip_suffix(": test"));
    let begin = format!("{module}::");
    let names = names.filter(|name| name.starts_with(&begin));
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    // A test program lists by the alphabet; its source goes from the easy to the hard.
    let place = |name: &str| {
        let check = name.split("::").nth(1)?;
        source.find(&format!("fn {check}("))
    };
    names.sort_by_key(|name| (place(name).unwrap_or(usize::MAX), case_number(name)));
    Ok(names)
}

/// The check's name for people: `in pieces: two`.
pub fn in_words(name: &str) -> String {
    let mut parts = name.split("::").skip(1);
    let check = parts.next().unwrap_or(name).replace('_', " ");
    match parts.next() {
        None => check,
        Some(case) => {
            let words = case.splitn(3, '_').nth(2).unwrap_or(case);
            format!("{check}: {}", words.replace('_', " "))
        }
    }
}

/// Runs all jobs, at most `most` at a time. The outcomes are in the order of the jobs.
pub fn run_all(jobs: &[Job], most: usize) -> Vec<Outcome> {
    by_workers(jobs, most, |_, job| run(job))
}

/// Does `work` with all items, by at most `most` workers with a number, from 0 on: each does it with one item at a time. The results
/// are in the order of the items.
pub fn by_workers<T: Sync, R: Send>(
    items: &[T],
    most: usize,
    work: impl Fn(usize, &T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work = |worker| {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return done };
            done.push((index, work(worker, item)));
        }
    };
    let mut results: Vec<(usize, R)> = thread::scope(|threads| {
        let workers: Vec<_> =
            (0..most.min(items.len())).map(|n| threads.spawn(move || work(n))).collect();
        let joined = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        joined.flatten().collect()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// How many checks to run at a time: they wait more than they work.
pub fn how_many() -> usize {
    4 * thread::available_parallelism().map_or(2, usize::from)
}

/// Runs one job.
pub fn run(job: &Job) -> Outcome {
    match run_process(job) {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Failed(format!("the check can't be run: {error}")),
    }
}

fn run_process(job: &Job) -> io::Result<Outcome> {
    let mut child = Command::new(&job.checks)
        .args(["--exact", &job.name, "--nocapture", "--test-threads=1"])
        .env("ANSWER", &job.program)
        .env("RUST_BACKTRACE", "0")
        .envs(job.environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let read = |pipe: Option<Box<dyn Read + Send>>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            // A pipe that breaks has nothing more to say.
            let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let stdout = read(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let stderr = read(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let deadline = Instant::now() + CHECK_AT_MOST;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                child.kill()?;
                break child.wait()?;
            }
            None => thread::sleep(LOOK_EVERY),
        }
    };
    let (stdout, stderr) = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
    if status.success() && stdout.contains("1 passed") {
        return Ok(Outcome::Passed);
    }
    if status.success() {
        return Ok(Outcome::Failed(format!("there is no check called {}", job.name)));
    }
    Ok(Outcome::Failed(message(&stderr)))
}

/// The check's own words out of what a panicking test prints.
fn message(stderr: &str) -> String {
    let Some(start) = stderr.find("\nsaw:") else {
        return stderr.trim().to_owned();
    };
    let text = &stderr[start + 1..];
    let end = text.find("\nnote: run with").unwrap_or(text.len());
    text[..end].trim_end().to_owned()
}

fn case_number(name: &str) -> u32 {
    let digits = name.rsplit_once("::case_").and_then(|(_, case)| case.split('_').next());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("head::stops_there", "stops there")]
    #[case("head::in_pieces::case_2_two_at_a_time", "in pieces: two at a time")]
    #[case("head::in_pieces::case_03_three", "in pieces: three")]
    fn names_for_people(#[case] name: &str, #[case] words: &str) {
        assert_eq!(in_words(name), words);
    }

    #[test]
    fn the_message_is_cut_out_of_what_a_test_prints() {
        let printed = "thread 'x' panicked at y:\n\nsaw:      a\n          b\nlikely:   c\n\
                       note: run with `RUST_BACKTRACE=1`\n";
        assert_eq!(message(printed), "saw:      a\n          b\nlikely:   c");
        assert_eq!(message("thread 'x' panicked: oh\n"), "thread 'x' panicked: oh");
    }
}
