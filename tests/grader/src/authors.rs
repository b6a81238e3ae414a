//! What authors of exercises ask: are all wrong answers caught, and told their own cause? Which small change is seen by no check?

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use grader::causes::Causes;
use grader::course::{Course, Exercise, Lessons};
use grader::evidence::{self, Cases, Known};
use grader::mutants::{self, AllExcused};
use grader::trial::{self, WORKED};
use grader::workshop::{self, Made};
use grader::wrong::{Edit, Wrong};
use serde::Deserialize;
use visitors::tell;

use crate::explain;

/// What came of the diagnosis of many wrong answers.
#[derive(Default)]
struct Shares {
    all: usize,
    alone: usize,
    shown: usize,
    left_out_alone: usize,
    left_out_shown: usize,
}

impl Shares {
    fn print(&self, of: &str) {
        let share = |count: usize| 100 * count / self.all.max(1);
        tell!(
            "{of}: of {} wrong answers, {} of 100 are told their own cause alone, {} among others; as if each were \
             unknown: {} and {}",
            self.all,
            share(self.alone),
            share(self.shown),
            share(self.left_out_alone),
            share(self.left_out_shown)
        );
    }
}

/// Grades all wrong answers wholly, of a chapter, an exercise, or `EXERCISE:NAME`, and writes down what was seen. `Ok(false)`: not
/// all are caught and told their cause.
pub fn wrong(course: &Course, what: Option<&str>) -> Result<bool, String> {
    let (what, only) = match what.and_then(|what| what.split_once(':')) {
        Some((exercise, name)) => (Some(exercise), Some(name)),
        None => (what, None),
    };
    let mut good = true;
    for (lessons, exercises) in chosen(course, what)? {
        let wrong_answers = trial::wrong_answers(lessons)?;
        let causes = Causes::read(&course.root, &lessons.place.folder)?;
        let wanted: Vec<&Wrong> = wrong_answers
            .iter()
            .filter(|wrong| exercises.iter().any(|exercise| exercise.name == wrong.exercise))
            .filter(|wrong| only.is_none_or(|only| wrong.name == only))
            .collect();
        let mut made = Vec::new();
        for exercise in &exercises {
            let mut programs = trial::made(exercise, &wanted)?;
            let source = fs::read_to_string(&exercise.answer);
            let source =
                source.map_err(|error| format!("{}: {error}", exercise.answer.display()))?;
            programs.push(Made { name: WORKED.to_owned(), source });
            made.push((*exercise, programs));
        }
        let workshop = workshop::build(course, lessons, "wrong", &made)?;
        for ((exercise, name), words) in &workshop.refused {
            good = false;
            tell!("{exercise}:{name} doesn't compile:\n{words}\n");
        }
        let folder = &lessons.place.folder;
        let mut known = evidence::read(folder).map_err(|error| error.to_string())?;
        for (exercise, _) in &made {
            let compiles = |wrong: &&&Wrong| {
                wrong.exercise == exercise.name
                    && workshop.programs.contains_key(&(exercise.name.clone(), wrong.name.clone()))
            };
            let its_own: Vec<&Wrong> = wanted.iter().filter(compiles).copied().collect();
            let names: Vec<&String> = its_own.iter().map(|wrong| &wrong.name).collect();
            let checks = trial::checks_of(lessons, &workshop, exercise)?;
            let heavy = trial::heavy(&workshop, exercise, &checks);
            let seen = trial::whole(&workshop, exercise, &its_own, &checks, &heavy);
            match only {
                None => known.retain(|known| known.exercise != exercise.name),
                Some(_) => known.retain(|known| {
                    known.exercise != exercise.name || !names.contains(&&known.name)
                }),
            }
            known.extend(seen.iter().cloned());
            let cases = Cases::new(&exercise.name, &known, &wrong_answers);
            good &=
                report(exercise, &seen, &wrong_answers, &cases, &checks, &causes, only.is_some());
        }
        let place = |known: &Known| {
            wrong_answers
                .iter()
                .position(|wrong| wrong.exercise == known.exercise && wrong.name == known.name)
        };
        known.retain(|known| place(known).is_some());
        known.sort_by_key(place);
        evidence::write(folder, &known)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    Ok(good)
}

fn report(
    exercise: &Exercise,
    seen: &[Known],
    wrong_answers: &[Wrong],
    cases: &Cases,
    checks: &[String],
    causes: &Causes,
    in_detail: bool,
) -> bool {
    let mut good = true;
    let mut shares = Shares::default();
    let mut caught_by = BTreeSet::new();
    for known in seen {
        let wrong =
            wrong_answers.iter().find(|w| w.exercise == known.exercise && w.name == known.name);
        let Some(wrong) = wrong else { continue };
        let label = format!("{}:{}", exercise.id, wrong.name);
        if causes.get(&wrong.cause).is_none() {
            good = false;
            tell!("{label}: causes.toml has no cause {:?}", wrong.cause);
        }
        if known.seen.0.is_empty() {
            good = false;
            tell!("{label}: passes all checks");
            continue;
        }
        let check = wrong.caught_by.split_once("::").map_or("", |(_, check)| check);
        caught_by.extend(
            known
                .seen
                .0
                .keys()
                .map(|check| check.split("::").next().unwrap_or_default().to_owned()),
        );
        if !known.seen.0.contains_key(check) {
            good = false;
            tell!("{label}: passes {}, and fails {:?}", wrong.caught_by, known.seen.0.keys());
        }
        let told = cases.diagnose(&known.seen, checks, None);
        let left_out = cases.diagnose(&known.seen, checks, Some(&wrong.name));
        shares.all += 1;
        shares.alone += usize::from(told.causes == [wrong.cause.clone()]);
        shares.shown += usize::from(told.causes.contains(&wrong.cause));
        shares.left_out_alone += usize::from(left_out.causes == [wrong.cause.clone()]);
        shares.left_out_shown += usize::from(left_out.causes.contains(&wrong.cause));
        if in_detail || !told.causes.contains(&wrong.cause) {
            tell!("{label}: has {}; told: {:?}, by {}", wrong.cause, told.causes, told.check);
            tell!("    if it were unknown: {:?}, by {}", left_out.causes, left_out.check);
        }
        if in_detail {
            for (check, failure) in &known.seen.0 {
                tell!("    {check} ({}): {}", failure.suspect, failure.saw);
            }
        }
    }
    if !in_detail {
        let mut functions: Vec<&str> =
            checks.iter().filter_map(|check| check.split("::").nth(1)).collect();
        functions.dedup();
        for function in functions.iter().filter(|function| !caught_by.contains(**function)) {
            good = false;
            tell!("{}: no wrong answer fails {function}", exercise.id);
        }
        shares.print(&exercise.id);
    }
    good
}

/// A wrong answer that isn't in any `wrong.toml` yet. Whatever else stands beside it in the file is for people.
#[derive(Deserialize)]
struct Untried {
    exercise: String,
    name: String,
    edit: Vec<Edit>,
}

/// Those of a file.
#[derive(Deserialize)]
struct AllUntried {
    wrong: Vec<Untried>,
}

/// Tries wrong answers that nothing is known of: which are caught, and what would somebody who wrote them be told? `Ok(false)`: not
/// all are caught, or compile.
pub fn try_file(course: &Course, file: &Path) -> Result<bool, String> {
    let said = |error: String| format!("{}: {error}", file.display());
    let text = fs::read_to_string(file).map_err(|error| said(error.to_string()))?;
    let AllUntried { wrong } = toml::from_str(&text).map_err(|error| said(error.to_string()))?;
    let named = |Untried { exercise, name, edit }| {
        let exercise = course.exercise(exercise.as_str())?.name.clone();
        let (cause, caught_by, says) = Default::default();
        Ok(Wrong { exercise, name, cause, caught_by, says, edit })
    };
    let all = wrong.into_iter().map(named).collect::<Result<Vec<_>, _>>().map_err(said)?;
    let mut caught = 0;
    for (lessons, exercises) in chosen(course, None)? {
        let here = exercises.into_iter().filter(|it| all.iter().any(|w| w.exercise == it.name));
        let here: Vec<&Exercise> = here.collect();
        if !here.is_empty() {
            caught += try_those(course, lessons, &here, &all)?;
        }
    }
    tell!("{caught} of {} are caught", all.len());
    Ok(caught == all.len())
}

/// Tries those of a chapter's exercises, and gives how many are caught.
fn try_those(
    course: &Course,
    lessons: &Lessons,
    exercises: &[&Exercise],
    all: &[Wrong],
) -> Result<usize, String> {
    let all: Vec<&Wrong> = all.iter().collect();
    let make = |exercise: &&'_ Exercise| trial::made(exercise, &all);
    let made = exercises.iter().map(make).collect::<Result<Vec<_>, _>>()?;
    let made: Vec<_> = exercises.iter().copied().zip(made).collect();
    let workshop = workshop::build(course, lessons, "try", &made)?;
    for ((exercise, name), words) in &workshop.refused {
        tell!("{exercise}:{name} doesn't compile:\n{words}\n");
    }
    let mut caught = 0;
    for (exercise, made) in &made {
        let checks = trial::checks_of(lessons, &workshop, exercise)?;
        let program =
            |made: &Made| workshop.programs.get(&(exercise.name.clone(), made.name.clone()));
        let programs: Vec<_> =
            made.iter().filter_map(|made| Some((made, program(made)?))).collect();
        let results = trial::judge(&programs, |(_, program)| {
            trial::until_enough_fail(&workshop, &checks, program)
        });
        for ((made, _), results) in programs.iter().zip(&results) {
            let label = format!("{}:{}", exercise.id, made.name);
            match explain::failure(course, lessons, exercise, results) {
                None => tell!("{label} passes all {} checks", checks.len()),
                Some((check, lines)) => {
                    caught += 1;
                    tell!("{label} fails {check}:\n    {}", lines.join("\n    "));
                }
            }
        }
    }
    Ok(caught)
}

/// Mutates worked answers, and says which mutants pass all checks without an excuse.
pub fn mutants(course: &Course, what: Option<&str>) -> Result<bool, String> {
    let mut good = true;
    for (lessons, exercises) in chosen(course, what)? {
        let file = lessons.place.contracts.with_extension("mutants.toml");
        let text = fs::read_to_string(&file).unwrap_or_default();
        let excused: AllExcused =
            toml::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut all = Vec::new();
        for exercise in &exercises {
            let answer = fs::read_to_string(&exercise.answer);
            let answer =
                answer.map_err(|error| format!("{}: {error}", exercise.answer.display()))?;
            all.push((*exercise, mutants::of(&grader::markers::without_hints(&answer))));
        }
        let made: Vec<(&Exercise, Vec<Made>)> = all
            .iter()
            .map(|(exercise, mutants)| {
                let numbered = (0..).zip(mutants);
                let made = numbered.map(|(n, mutant)| Made {
                    name: format!("n{n}"),
                    source: mutant.source.clone(),
                });
                (*exercise, made.collect())
            })
            .collect();
        let workshop = workshop::build(course, lessons, "mutants", &made)?;
        for (exercise, mutants) in &all {
            let name = |n: usize| format!("n{n}");
            let compiles =
                |n: &usize| workshop.programs.contains_key(&(exercise.name.clone(), name(*n)));
            let names: Vec<String> = (0..mutants.len()).filter(compiles).map(name).collect();
            let checks = trial::checks_of(lessons, &workshop, exercise)?;
            let passing = trial::passing(&workshop, exercise, &names, &checks);
            let excuses = excused.get(&exercise.name).map_or(&[][..], Vec::as_slice);
            let mut excused_here = 0;
            for name in &passing {
                let mutant = &mutants[name[1..].parse::<usize>().unwrap_or_default()];
                if excuses.iter().any(|excuse| excuse.was == mutant.was && excuse.is == mutant.is) {
                    excused_here += 1;
                    continue;
                }
                good = false;
                tell!(
                    "\n[[{}]]\nwas = {:?}\nis = {:?}\nwhy = \"\"",
                    exercise.name,
                    mutant.was,
                    mutant.is
                );
            }
            tell!(
                "\n# {}: {} mutants, {} don't compile, {} pass, {excused_here} of these with a reason",
                exercise.id,
                mutants.len(),
                mutants.len() - names.len(),
                passing.len(),
            );
        }
    }
    Ok(good)
}

/// The chapters and exercises that are meant.
fn chosen<'a>(
    course: &'a Course,
    what: Option<&str>,
) -> Result<Vec<(&'a Lessons, Vec<&'a Exercise>)>, String> {
    if let Some(exercise) = what.and_then(|what| course.exercise(what).ok()) {
        let holds = |lessons: &&Lessons| lessons.exercises.iter().any(|e| e.id == exercise.id);
        return Ok(course
            .lessons
            .iter()
            .filter(holds)
            .map(|lessons| (lessons, vec![exercise]))
            .collect());
    }
    let lessons = course.chosen(what)?;
    let all = lessons.into_iter().filter(|lessons| !lessons.exercises.is_empty());
    Ok(all.map(|lessons| (lessons, lessons.exercises.iter().collect())).collect())
}
