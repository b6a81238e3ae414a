//! Grading: builds what has been started, runs its checks, and shows the score.

use std::collections::BTreeMap;

use grader::cargo::{self, Built};
use grader::course::{Course, Exercise, Lessons};
use grader::place::Place;
use grader::progress::Progress;
use grader::run::{self, Job, Outcome};
use visitors::{tell, warn};

use crate::exercises::shown;
use crate::explain;

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

/// What is to be graded.
pub struct Asked<'a> {
    lessons: Vec<&'a Lessons>,
    /// One exercise alone.
    only: Option<&'a Exercise>,
    /// Each check with its result, instead of the score at a glance.
    in_detail: bool,
}

/// How an exercise stands.
enum Standing {
    NotStarted,
    Missing,
    DoesNotCompile(String),
    Graded(Vec<(String, Outcome)>),
}

impl<'a> Asked<'a> {
    /// All chapters, one chapter, or one exercise.
    ///
    /// # Errors
    /// A sentence that says what there is.
    pub fn parse(course: &'a Course, what: Option<&str>) -> Result<Self, String> {
        let Some(what) = what else {
            return Ok(Self { lessons: course.chosen(None)?, only: None, in_detail: false });
        };
        if let Ok(exercise) = course.exercise(what) {
            let holds = |lessons: &&Lessons| lessons.exercises.iter().any(|e| e.id == exercise.id);
            let lessons = course.lessons.iter().filter(holds).collect();
            return Ok(Self { lessons, only: Some(exercise), in_detail: true });
        }
        match course.chosen(Some(what)) {
            Ok(lessons) => Ok(Self { lessons, only: None, in_detail: true }),
            Err(no_chapter) => {
                if course.nearest_place(what).is_some() {
                    return Err(no_chapter);
                }
                let no_exercise = course.exercise(what).err().unwrap_or_default();
                match course.nearest_exercise(what) {
                    Some(_) => Err(no_exercise),
                    None => Err(format!("{no_chapter}; and {no_exercise}")),
                }
            }
        }
    }

    /// The folders in which a change is a reason to grade again.
    pub fn folders(&self) -> Vec<std::path::PathBuf> {
        let folder = |lessons: &&Lessons| lessons.place.folder.join("exercises");
        self.lessons.iter().map(folder).collect()
    }

    fn exercises(&self) -> impl Iterator<Item = (&'a Lessons, &'a Exercise)> {
        let only = self.only.map(|exercise| exercise.id.as_str());
        let pairs = |&lessons: &&'a Lessons| lessons.exercises.iter().map(move |e| (lessons, e));
        let pairs: Vec<_> = self.lessons.iter().flat_map(pairs).collect();
        pairs.into_iter().filter(move |(_, exercise)| only.is_none_or(|id| id == exercise.id))
    }
}

/// Grades, and shows what came of it. `Ok(true)` when all that was asked for passed.
///
/// # Errors
/// When something besides the learner's programs is broken.
pub fn grade(course: &Course, asked: &Asked<'_>) -> Result<bool, String> {
    let standings = judge(course, asked)?;
    remember(course, &standings);
    match asked.in_detail {
        true => show_in_detail(course, asked, &standings),
        false => show_at_a_glance(course, asked, &standings),
    }
    Ok(!standings.is_empty() && standings.values().all(has_passed))
}

/// How each exercise stands, by its id.
fn judge(course: &Course, asked: &Asked<'_>) -> Result<BTreeMap<String, Standing>, String> {
    let mut standings = BTreeMap::new();
    let mut started = Vec::new();
    for (lessons, exercise) in asked.exercises() {
        if exercise.is_untouched() {
            standings.insert(exercise.id.clone(), Standing::NotStarted);
        } else if exercise.file.exists() {
            started.push((lessons, exercise));
        } else {
            standings.insert(exercise.id.clone(), Standing::Missing);
        }
    }
    if started.is_empty() {
        return Ok(standings);
    }

    let built = build(course, &started)?;
    let mut jobs = Vec::new();
    let mut owners = Vec::new();
    for (lessons, exercise) in &started {
        let program = &exercise.program;
        let Some(path) = built.executables.get(program) else {
            let no_words = || format!("cargo didn't build {program}:\n{}", built.said);
            let message = built.errors.get(program).cloned().unwrap_or_else(no_words);
            standings.insert(exercise.id.clone(), Standing::DoesNotCompile(message));
            continue;
        };
        let target = &lessons.place.checks_target;
        let Some(checks) = built.executables.get(target) else {
            let words = built.errors.get(target).unwrap_or(&built.said);
            let place = lessons.place.in_words();
            return Err(format!("the checks of {place} can't be built:\n{words}"));
        };
        let source = lessons.checks_source(exercise)?;
        let names = run::list(checks, &exercise.module(), &source)
            .map_err(|error| format!("{}: {error}", checks.display()))?;
        standings.insert(exercise.id.clone(), Standing::Graded(Vec::new()));
        for name in names {
            owners.push(exercise.id.clone());
            let (checks, program) = (checks.clone(), path.clone());
            jobs.push(Job { checks, name, program, environment: Vec::new() });
        }
    }
    let outcomes = run::run_all(&jobs, run::how_many());
    for ((owner, job), outcome) in owners.iter().zip(jobs).zip(outcomes) {
        if let Some(Standing::Graded(results)) = standings.get_mut(owner) {
            results.push((job.name, outcome));
        }
    }
    Ok(standings)
}

/// Builds the started exercises, and the checks of their chapters, in one go.
fn build(course: &Course, started: &[(&Lessons, &Exercise)]) -> Result<Built, String> {
    let mut arguments: Vec<String> = Vec::new();
    for (lessons, exercise) in started {
        let place = &lessons.place;
        let wanted = [
            ("-p", &place.package),
            ("-p", &place.exercises_package),
            ("--bin", &exercise.program),
            ("--test", &place.checks_target),
        ];
        arguments
            .extend(wanted.iter().flat_map(|(what, name)| [what.to_string(), name.to_string()]));
    }
    let built = cargo::build(&course.root, &arguments);
    let built = built.map_err(|error| format!("can't run cargo: {error}"))?;
    if !built.complete && built.executables.is_empty() && built.errors.is_empty() {
        return Err(format!("cargo could build nothing:\n{}", built.said));
    }
    Ok(built)
}

fn remember(course: &Course, standings: &BTreeMap<String, Standing>) {
    let noted = Progress::read(&course.root).and_then(|mut progress| {
        for (id, standing) in standings {
            let name = id.split_once('-').map_or(id.as_str(), |(_, name)| name);
            if let Standing::Graded(results) = standing {
                progress.note_score(name, passed(results), results.len());
            }
        }
        progress.write()
    });
    if let Err(error) = noted {
        warn!("cargo grade: the score can't be kept in .progress: {error}");
    }
}

fn passed(results: &[(String, Outcome)]) -> usize {
    results.iter().filter(|(_, outcome)| *outcome == Outcome::Passed).count()
}

/// No checks at all is no pass: it would hide that they are gone.
fn has_passed(standing: &Standing) -> bool {
    matches!(standing, Standing::Graded(results) if !results.is_empty() && passed(results) == results.len())
}

fn show_at_a_glance(course: &Course, asked: &Asked<'_>, standings: &BTreeMap<String, Standing>) {
    let progress = Progress::read(&course.root).ok();
    let mut shown = None;
    for (lessons, exercise) in asked.exercises() {
        if shown != Some(&lessons.place) {
            shown = Some(&lessons.place);
            tell!("{}", heading(&lessons.place));
        }
        let best = progress.as_ref().map_or(0, |progress| progress.of(&exercise.name).best);
        let words = match &standings[&exercise.id] {
            Standing::NotStarted => format!("{DIM}not started{PLAIN}"),
            Standing::Missing => format!("{RED}its file is gone{PLAIN}"),
            Standing::DoesNotCompile(_) => format!("{RED}does not compile{PLAIN}"),
            Standing::Graded(results) => {
                let (count, all) = (passed(results), results.len());
                let color = if count == all { GREEN } else { RED };
                let best = if best > count { format!(", {best} before") } else { String::new() };
                format!("{color}{} {count} of {all}{PLAIN}{best}", bar(count, all))
            }
        };
        tell!("    {:<15} {words}", exercise.id);
    }
    let done = standings.values().filter(|standing| has_passed(standing)).count();
    tell!("\n{done} of {} exercises passed.", standings.len());
    let next = asked.exercises().find(|(_, exercise)| !has_passed(&standings[&exercise.id]));
    if let Some((lessons, _)) = next {
        tell!("Next: cargo grade {}", lessons.place.short);
    }
}

fn show_in_detail(course: &Course, asked: &Asked<'_>, standings: &BTreeMap<String, Standing>) {
    for lessons in &asked.lessons {
        tell!("{}", heading(&lessons.place));
    }
    for (_, exercise) in asked.exercises() {
        tell!("\n{BOLD}{}{PLAIN}  {}", exercise.id, exercise.source.title);
        match &standings[&exercise.id] {
            Standing::NotStarted => tell!("  {DIM}not started{PLAIN}"),
            Standing::Missing => tell!("  {RED}its file is gone{PLAIN}"),
            Standing::DoesNotCompile(_) => tell!("  {RED}does not compile{PLAIN}"),
            Standing::Graded(results) => {
                for (name, outcome) in results {
                    let words = run::in_words(name);
                    match outcome {
                        Outcome::Passed => tell!("  {GREEN}✓{PLAIN} {words}"),
                        Outcome::Failed(_) => tell!("  {RED}✗ {words}{PLAIN}"),
                    }
                }
                tell!("  {} of {} checks passed", passed(results), results.len());
            }
        }
    }
    let open = asked.exercises().filter(|(_, exercise)| !has_passed(&standings[&exercise.id]));
    let open: Vec<_> = open.collect();
    // Exercises may be done in any order: who has written one wants to hear of that one.
    let is_begun = |(_, exercise): &&(&Lessons, &Exercise)| {
        !matches!(standings[&exercise.id], Standing::NotStarted)
    };
    let begun: Vec<_> = open.iter().filter(is_begun).collect();
    let Some((lessons, exercise)) = begun.first().copied().or(open.first()) else {
        let progress = Progress::read(&course.root).ok();
        return tell!(
            "\n{GREEN}All passed.{PLAIN} {}",
            what_is_next(course, asked, progress.as_ref())
        );
    };
    explain(course, lessons, exercise, &standings[&exercise.id]);
    if begun.len() > 1 {
        let others = begun[1..].iter().map(|(_, it)| format!("cargo grade {}", it.id));
        let others = others.collect::<Vec<_>>().join(", ");
        tell!("{}", wrapped_by(&format!("What else is wrong: {others}"), "  "));
    }
}

/// What a chapter's or a tool's scores stand below.
fn heading(place: &Place) -> String {
    let number = place.number.map_or(String::new(), |number| number.to_string());
    format!("{BOLD}{number:>2}  {}{PLAIN}", place.title)
}

/// What is said when all that was asked for has passed.
fn what_is_next(course: &Course, asked: &Asked<'_>, progress: Option<&Progress>) -> String {
    let here = asked.lessons.first().map(|lessons| &lessons.place);
    let next = progress.and_then(|progress| next_place(course, asked, progress));
    match (here, next) {
        // The chapters don't go on behind a tool, and whoever uses it may be anywhere in the book.
        (Some(tool), next) if tool.number.is_none() && next != Some(tool) => {
            format!("No chapter follows {}: cargo grade shows how far you are", tool.in_words())
        }
        (_, Some(next)) => format!("Next: cargo grade {}", next.short),
        (_, None) => "Next: cargo grade".to_owned(),
    }
}

/// The chapter to be graded next (or the tool), one with an exercise of which it isn't known that it has passed: the one
/// that was asked for, or the first behind it, or the first of all.
fn next_place<'a>(course: &'a Course, asked: &Asked<'_>, progress: &Progress) -> Option<&'a Place> {
    let passed = |exercise: &Exercise| {
        let remembered = progress.of(&exercise.name);
        remembered.of > 0 && remembered.best == remembered.of
    };
    let first = asked.lessons.first()?;
    let is_first = |lessons: &Lessons| lessons.place == first.place;
    let from = course.lessons.iter().position(is_first).unwrap_or_default();
    let in_order = course.lessons.iter().skip(from).chain(course.lessons.iter().take(from));
    let mut open = in_order.filter(|lessons| !lessons.exercises.iter().all(passed));
    open.next().map(|lessons| &lessons.place)
}

/// Explains what stands in the way first, and says what to do.
fn explain(course: &Course, lessons: &Lessons, exercise: &Exercise, standing: &Standing) {
    let file = shown(course, &exercise.file);
    let page = lessons.page(&course.root, exercise);
    let page = page.file_stem().unwrap_or_default().to_string_lossy();
    let page = format!("book/build/{page}.html");
    let again = format!("cargo grade {}", lessons.place.short);
    tell!("");
    match standing {
        Standing::NotStarted => {
            tell!("Next: read {page} (cargo book build makes it), write your part of");
            tell!("{file}, and then {again}");
            return;
        }
        Standing::Missing => {
            tell!("Next: cargo grade reset {} puts {file} back", exercise.id);
            return;
        }
        Standing::DoesNotCompile(message) => tell!("{}", message.trim_end()),
        Standing::Graded(results) => match explain::failure(course, lessons, exercise, results) {
            Some((name, lines)) => {
                let words = run::in_words(name);
                tell!("{RED}✗ {words}{PLAIN}  {DIM}({}){PLAIN}", exercise.id);
                for line in lines {
                    tell!("{}", wrapped(&line));
                }
            }
            None => tell!("There are no checks for {}.", exercise.id),
        },
    }
    tell!("\nNext: mend {file}, then {again}. A hint: cargo grade hint {}", exercise.id);
}

/// A line of a check's message, indented.
fn wrapped(line: &str) -> String {
    wrapped_by(&format!("  {line}"), "            ")
}

/// A line, on a terminal no wider than that: cut between words, and what follows is indented so.
fn wrapped_by(line: &str, indent: &str) -> String {
    let width = terminal_size::terminal_size().map_or(usize::MAX, |(width, _)| width.0.into());
    let options = textwrap::Options::new(width).subsequent_indent(indent).break_words(false);
    textwrap::fill(line, options)
}

/// How much of it is done, in ten cells.
fn bar(count: usize, all: usize) -> String {
    let full = (count * 10).checked_div(all).unwrap_or(0);
    format!("{}{}", "■".repeat(full), "□".repeat(10 - full))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use visitors::chapters;

    use super::*;

    #[rstest]
    #[case::a_chapter("1", &["head", "length"], "Next: cargo grade 2")]
    #[case::one_exercise_of_two("01-head", &["head"], "Next: cargo grade 1")]
    #[case::one_exercise_of_a_tool("race-due", &["due"], "Next: cargo grade race")]
    #[case::a_tool("race", &["due", "percentile"], "No chapter follows the race: cargo grade shows how far you are")]
    fn what_comes_behind_what_has_passed(
        #[case] what: &str,
        #[case] passed: &[&str],
        #[case] words: &str,
    ) {
        let course = Course::read(&chapters::root()).unwrap();
        let asked = Asked::parse(&course, Some(what)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut progress = Progress::read(folder.path()).unwrap();
        passed.iter().for_each(|name| progress.note_score(name, 7, 7));
        assert_eq!(what_is_next(&course, &asked, Some(&progress)), words);
    }

    #[rstest]
    #[case::a_chapter("1", "Next: cargo grade")]
    #[case::a_tool("race", "No chapter follows the race: cargo grade shows how far you are")]
    fn what_comes_behind_all_of_them(#[case] what: &str, #[case] words: &str) {
        let course = Course::read(&chapters::root()).unwrap();
        let asked = Asked::parse(&course, Some(what)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut progress = Progress::read(folder.path()).unwrap();
        for exercise in course.lessons.iter().flat_map(|lessons| &lessons.exercises) {
            progress.note_score(&exercise.name, 7, 7);
        }
        assert_eq!(what_is_next(&course, &asked, Some(&progress)), words);
    }
}
