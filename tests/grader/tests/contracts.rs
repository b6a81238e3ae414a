//! Each sentence of each exercise has a check that fails if it isn't done, or a reason why there is none.

use std::fs;
use std::path::{Path, PathBuf};

use grader::contract::{self, Clause, Contracts};
use grader::course::{Course, Exercise, Lessons};
use grader::markers;
use grader::mutants::{self, AllExcused};
use visitors::chapters;
use visitors::files::is_an_editors;

#[test]
fn every_sentence_has_its_check() {
    let course = Course::read(&chapters::root()).unwrap();
    // A chapter may have no exercises, and then there is nothing to be said.
    let lessons = course.lessons.iter().filter(|lessons| !lessons.exercises.is_empty());
    let faults: Vec<String> = lessons.flat_map(|lessons| faults(&course, lessons)).collect();
    assert!(faults.is_empty(), "{} faults:\n\n{}\n", faults.len(), faults.join("\n"));
}

/// A file that was left behind when a folder took its place would be read by somebody, and by no test.
#[test]
fn all_checks_are_those_of_a_chapter() {
    let course = Course::read(&chapters::root()).unwrap();
    let checks = |lessons: &Lessons| lessons.checks_file();
    let checks: Vec<PathBuf> = course.lessons.iter().map(checks).collect();
    for entry in fs::read_dir(course.root.join("tests")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if name.starts_with(|first: char| first.is_ascii_digit()) && !is_an_editors(&path) {
            let is_checks = checks.iter().any(|file| *file == path || file.parent() == Some(&path));
            assert!(is_checks, "tests/{name} holds the checks of no chapter");
        }
    }
}

/// What is wrong with what is said of a chapter's exercises.
fn faults(course: &Course, lessons: &Lessons) -> Vec<String> {
    let file = lessons.place.contracts.clone();
    let written = fs::read_to_string(&file).unwrap_or_default();
    let mut contracts: Contracts = toml::from_str(&written).unwrap();

    let mut faults = Vec::new();
    for exercise in &lessons.exercises {
        let page = fs::read_to_string(lessons.page(&course.root, exercise)).unwrap();
        let answer = fs::read_to_string(&exercise.answer).unwrap();
        let sentences = contract::sentences(&page, &exercise.id, &answer);
        let clauses = contracts.remove(&exercise.name).unwrap_or_default();
        for sentence in &sentences {
            if !clauses.iter().any(|clause| clause.says == *sentence) {
                faults.push(format!(
                    "nothing is said in {} of:\n\n[[{}]]\nsays = {sentence:?}\nchecks = []\n",
                    file.display(),
                    exercise.name
                ));
            }
        }
        for (place, clause) in clauses.iter().enumerate() {
            if clauses[..place].iter().any(|before| before.says == clause.says) {
                faults.push(format!("{}: said twice: {}", exercise.id, clause.says));
            }
        }
        let source = lessons.checks_source(exercise).unwrap();
        faults.extend(
            clauses.iter().filter_map(|clause| fault(clause, exercise, &sentences, &source)),
        );
    }
    faults.extend(stale_excuses(&file.with_extension("mutants.toml"), &lessons.exercises));
    let stale = |name| format!("{}: there is no exercise {name}", file.display());
    faults.extend(contracts.keys().map(stale));
    faults
}

/// What is wrong with a clause, if anything is. `source` is that of the exercise's checks.
fn fault(
    clause: &Clause,
    exercise: &Exercise,
    sentences: &[String],
    source: &str,
) -> Option<String> {
    let Clause { says, checks, why } = clause;
    if !sentences.contains(says) {
        return Some(format!("{}: neither the page nor the answer says: {says}", exercise.id));
    }
    if checks.is_empty() == why.is_empty() {
        return Some(format!("{}: either checks or why, and not both: {says}", exercise.id));
    }
    let missing = checks.iter().find(|check| !source.contains(&format!("fn {check}(")))?;
    Some(format!("{}: there is no check {missing}: {says}", exercise.id))
}

/// Reasons why a mutant may pass, of which there is no such mutant any more, or which say nothing.
fn stale_excuses(file: &Path, exercises: &[Exercise]) -> Vec<String> {
    let written = fs::read_to_string(file).unwrap_or_default();
    let excused: AllExcused = toml::from_str(&written).unwrap();
    let mut faults = Vec::new();
    for (name, excuses) in excused {
        let Some(exercise) = exercises.iter().find(|exercise| exercise.name == name) else {
            faults.push(format!("a reason for an exercise that there isn't: {name}"));
            continue;
        };
        let answer = fs::read_to_string(&exercise.answer).unwrap();
        let all = mutants::of(&markers::without_hints(&answer));
        for excuse in excuses {
            let is_one =
                all.iter().any(|mutant| mutant.was == excuse.was && mutant.is == excuse.is);
            if !is_one || excuse.why.trim().is_empty() {
                faults.push(format!("{name}: no such mutant, or no reason: {excuse:?}"));
            }
        }
    }
    faults
}
