//! What is said of a program that fails: the failure that shows best what is wrong, and the likely causes. A panic comes first.

use std::fs;

use grader::causes::{Cause, Causes, NOT_WRITTEN_YET};
use grader::course::{Course, Exercise, Lessons};
use grader::evidence::{self, Cases, Diagnosis, Seen};
use grader::panicked::Panic;
use grader::run::Outcome;
use grader::trial;

/// The check whose failure is explained, and the explanation, in lines. None where nothing has failed.
pub fn failure<'a>(
    course: &Course,
    lessons: &Lessons,
    exercise: &Exercise,
    results: &'a [(String, Outcome)],
) -> Option<(&'a str, Vec<String>)> {
    let seen = Seen::of(results.iter().map(|(name, outcome)| (name.as_str(), outcome)));
    let (told, causes) = diagnose(course, lessons, exercise, results, &seen).unwrap_or_default();
    let answer = fs::read_to_string(&exercise.answer).unwrap_or_default();
    let panic = |outcome| Panic::seen(outcome).filter(|panic| !panic.is_meant(&answer));
    let failed = results.iter().filter_map(|(name, outcome)| match outcome {
        Outcome::Failed(message) => Some((name.as_str(), message.as_str(), panic(outcome))),
        Outcome::Passed => None,
    });
    let failed: Vec<(&str, &str, Option<Panic>)> = failed.collect();
    let best = failed.iter().find(|(name, ..)| name.ends_with(&format!("::{}", told.check)));
    let best = best.or(failed.first())?;
    // Whatever else is wrong: a panic is seen at once, and mended first.
    let shown = [best].into_iter().chain(&failed).find(|(.., panic)| panic.is_some());
    let (name, message, panic) = shown.unwrap_or(best);
    let (saw, own) = message.split_once("\ncause:").unwrap_or((message, ""));
    let mut lines: Vec<String> = saw.lines().map(str::to_owned).collect();
    let likely: Vec<&Cause> = told.causes.iter().filter_map(|name| causes.get(name)).collect();
    match (panic, likely.as_slice()) {
        (Some(panic), [one]) => lines.extend(one_of(&[panic.likely(), in_a_line(one)])),
        // What several causes explain as well is explained by the panic alone.
        (Some(panic), _) => lines.push(format!("likely:   {}", panic.likely())),
        // What the check says by itself.
        (None, []) => lines.extend(own.lines().skip(1).map(str::to_owned)),
        (None, [one]) => {
            lines.push(format!("likely:   {}", one.likely));
            lines.extend(place(one).map(|place| format!("book:     {place}")));
        }
        (None, several) => {
            let several: Vec<String> = several.iter().map(|cause| in_a_line(cause)).collect();
            lines.extend(one_of(&several));
        }
    }
    Some((name, lines))
}

fn one_of(likely: &[String]) -> Vec<String> {
    let numbered = (1..).zip(likely).map(|(number, likely)| format!("       {number}. {likely}"));
    ["likely:   one of these".to_owned()].into_iter().chain(numbered).collect()
}

fn in_a_line(cause: &Cause) -> String {
    let place = place(cause).map_or(String::new(), |place| format!(" ({place})"));
    format!("{}{place}", cause.likely)
}

fn place(cause: &Cause) -> Option<String> {
    (!cause.book.is_empty()).then(|| format!("book/build/{}", cause.book))
}

/// The likely causes. An error is one of the course's own files, and no reason to say nothing: the check has its own opinion.
fn diagnose(
    course: &Course,
    lessons: &Lessons,
    exercise: &Exercise,
    results: &[(String, Outcome)],
    seen: &Seen,
) -> Result<(Diagnosis, Causes), String> {
    let folder = &lessons.place.folder;
    let causes = Causes::read(&course.root, folder)?;
    let unwritten = seen.0.iter().find(|(_, failure)| failure.suspect == NOT_WRITTEN_YET);
    if let Some((check, _)) = unwritten {
        let told = Diagnosis { causes: vec![NOT_WRITTEN_YET.to_owned()], check: check.clone() };
        return Ok((told, causes));
    }
    let known = evidence::read(folder).map_err(|error| error.to_string())?;
    let wrong_answers = trial::wrong_answers(lessons)?;
    let cases = Cases::new(&exercise.name, &known, &wrong_answers);
    let order: Vec<String> = results.iter().map(|(name, _)| name.clone()).collect();
    Ok((cases.diagnose(seen, &order, None), causes))
}
