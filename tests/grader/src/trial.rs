//! Tries a chapter's wrong answers: all checks on each of them, or the first check that one fails.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use visitors::program::BUSY_FOR_NOTHING_MS;

use crate::course::{Exercise, Lessons};
use crate::evidence::{ENOUGH, Known, Seen};
use crate::run::{self, Job, Outcome};
use crate::workshop::{Made, Workshop};
use crate::wrong::{self, Wrong};

/// Wrong programs wait far more than they work.
pub const AT_ONCE: usize = 24;

/// How much CPU time they may use for nothing, in milliseconds. (A learner's program has more: nobody knows yet that it's wrong.)
const PATIENCE_WITH_LOOPS: &str = "500";

/// A check that takes more than this of a processor, in milliseconds, is a heavy one.
const LIGHT_MS: i64 = 150;

/// The worked answer's name among an exercise's programs. No wrong answer is called that.
pub const WORKED: &str = "worked-answer";

/// A chapter's wrong answers. None where it has none.
///
/// # Errors
/// When they can't be read or understood.
pub fn wrong_answers(lessons: &Lessons) -> Result<Vec<Wrong>, String> {
    let file = lessons.place.folder.join("wrong.toml");
    if !file.exists() {
        return Ok(Vec::new());
    }
    let said = |error: String| format!("{}: {error}", file.display());
    let text = fs::read_to_string(&file).map_err(|error| said(error.to_string()))?;
    wrong::parse(&text).map_err(said)
}

/// The wrong answers of an exercise as sources to be built.
///
/// # Errors
/// When an edit doesn't fit the worked answer.
pub fn made(exercise: &Exercise, wrong: &[&Wrong]) -> Result<Vec<Made>, String> {
    let answer = fs::read_to_string(&exercise.answer);
    let answer = answer.map_err(|error| format!("{}: {error}", exercise.answer.display()))?;
    let its_own = wrong.iter().filter(|wrong| wrong.exercise == exercise.name);
    let make = |wrong: &&Wrong| {
        let source =
            wrong::apply(&answer, wrong).map_err(|error| format!("{}: {error}", exercise.id))?;
        Ok(Made { name: wrong.name.clone(), source })
    };
    its_own.map(make).collect()
}

/// The checks of an exercise, in the order of their source.
///
/// # Errors
/// When the checks can't be listed.
pub fn checks_of(
    lessons: &Lessons,
    workshop: &Workshop,
    exercise: &Exercise,
) -> Result<Vec<String>, String> {
    let source = lessons.checks_source(exercise)?;
    let names = run::list(&workshop.checks, &exercise.module(), &source);
    names.map_err(|error| format!("{}: {error}", workshop.checks.display()))
}

/// Does `work` with all items, some at a time: no more on this machine than [`AT_ONCE`], whoever else judges, and in whatever
/// checkout. Many more would only disturb each other.
pub fn judge<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    run::by_workers(items, AT_ONCE, |worker, item| {
        // Where it can't be locked, it's slower, and no less true.
        let _place = place(worker).ok();
        work(item)
    })
}

/// One of the places for those who judge.
fn place(number: usize) -> io::Result<Flock<File>> {
    let path = env::temp_dir().join(format!("waiting-game-judging.{number}.lock"));
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
}

/// Whether it's a check without cases, or the first of its cases: the others say the same of most programs.
fn is_first_case(check: &str) -> bool {
    let case = check.rsplit_once("::case_").and_then(|(_, case)| case.split('_').next());
    case.is_none_or(|number| number.parse() == Ok(1))
}

/// Which of `checks` take long: so much CPU time on the worked answer, which passes them. A crowd that comes and goes, a
/// flood, a look through the lens.
pub fn heavy(workshop: &Workshop, exercise: &Exercise, checks: &[String]) -> Vec<String> {
    let Some(program) = workshop.programs.get(&(exercise.name.clone(), WORKED.to_owned())) else {
        return Vec::new();
    };
    let used = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok();
        usage.map_or(0, |usage| (usage.user_time() + usage.system_time()).num_milliseconds())
    };
    let is_heavy = |check: &&String| {
        let before = used();
        let _ = run::run(&job(workshop, check, program));
        used() - before > LIGHT_MS
    };
    checks.iter().filter(is_heavy).cloned().collect()
}

/// Runs `checks` on each of an exercise's wrong answers, in order, until enough have failed, and the one that it names in any case.
/// Those that are `heavy`, and all cases of a check but the first, are tried only where one is named: there are hundreds of wrong
/// answers.
/// What was seen of each, in the order of `wrong`.
pub fn whole(
    workshop: &Workshop,
    exercise: &Exercise,
    wrong: &[&Wrong],
    checks: &[String],
    heavy: &[String],
) -> Vec<Known> {
    judge(wrong, |wrong| {
        let program = &workshop.programs[&(exercise.name.clone(), wrong.name.clone())];
        let mut seen = Seen::default();
        for check in checks {
            let worth_it = seen.0.len() < ENOUGH && !heavy.contains(check) && is_first_case(check);
            if worth_it || *check == wrong.caught_by {
                seen.note(check, &run::run(&job(workshop, check, program)));
            }
        }
        Known { exercise: exercise.name.clone(), name: wrong.name.clone(), seen }
    })
}

/// Runs checks on a program in their order, until so many have failed that the others would say little more.
pub fn until_enough_fail(
    workshop: &Workshop,
    checks: &[String],
    program: &Path,
) -> Vec<(String, Outcome)> {
    let mut results: Vec<(String, Outcome)> = Vec::new();
    for check in checks {
        let failed = results.iter().filter(|(_, outcome)| *outcome != Outcome::Passed).count();
        if failed == ENOUGH {
            break;
        }
        results.push((check.clone(), run::run(&job(workshop, check, program))));
    }
    results
}

/// Which of the programs pass all checks. One is done with when a check has failed.
pub fn passing(
    workshop: &Workshop,
    exercise: &Exercise,
    names: &[String],
    checks: &[String],
) -> Vec<String> {
    let passes = judge(names, |name| {
        let program = &workshop.programs[&(exercise.name.clone(), name.clone())];
        checks.iter().all(|check| run::run(&job(workshop, check, program)) == Outcome::Passed)
    });
    names.iter().zip(passes).filter(|(_, passes)| *passes).map(|(name, _)| name.clone()).collect()
}

/// A check on a program that is known to be wrong.
pub fn job(workshop: &Workshop, check: &str, program: &Path) -> Job {
    let environment = vec![(BUSY_FOR_NOTHING_MS, PATIENCE_WITH_LOOPS)];
    Job {
        checks: workshop.checks.clone(),
        name: check.to_owned(),
        program: program.to_owned(),
        environment,
    }
}
