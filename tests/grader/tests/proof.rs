//! The checks are proved in both directions, chapter by chapter: the untouched starter fails every
//! one of them, and each wrong answer of `wrong.toml` is failed by the check that it names, with the
//! message that it names. (That the worked answers pass is what the chapters' own tests show.)

mod shared;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use grader::cargo;
use grader::course::{Course, Lessons};
use grader::run::{self, Job, Outcome};
use grader::wrong;
use rstest::rstest;
use visitors::chapters;

/// Wrong programs wait far more than they work.
const AT_ONCE: usize = 8;

/// Nobody waits longer than this to hear what is wrong, and this is for all wrong answers of a chapter together.
const ALL_CAUGHT_WITHIN: Duration = Duration::from_secs(180);

/// A program made from a worked answer, and what it is.
struct Made {
    /// Its name as a program: `head-reads-once-and-hopes`.
    name: String,
    source: String,
}

#[rstest]
fn starters_fail_every_check_and_wrong_answers_the_one_they_name(
    #[files("../../chapters/*/wrong.toml")] file: PathBuf,
) {
    let course = Course::read(&chapters::root()).unwrap();
    let folder = file.parent().unwrap();
    let lessons = course
        .chapters
        .iter()
        .find(|l| l.chapter.folder.ends_with(folder.file_name().unwrap()))
        .unwrap();
    let wrong_answers = wrong::parse(&fs::read_to_string(&file).unwrap()).unwrap();

    let mut made = Vec::new();
    for exercise in &lessons.exercises {
        let answer = fs::read_to_string(&exercise.answer).unwrap();
        let count = wrong_answers.iter().filter(|wrong| wrong.exercise == exercise.name).count();
        assert!(count >= 3, "{} has {count} wrong answers; three are the least", exercise.id);
        made.push(Made {
            name: format!("{}-starter", exercise.name),
            source: exercise.source.starter.clone(),
        });
        for wrong in wrong_answers.iter().filter(|wrong| wrong.exercise == exercise.name) {
            let source = wrong::apply(&answer, wrong).unwrap();
            made.push(Made { name: format!("{}-{}", exercise.name, wrong.name), source });
        }
    }
    let _alone = shared::alone(&format!("proof{:02}", lessons.chapter.number));
    let (checks, programs) = build(&course, lessons, &made);
    let names = run::list(&checks, &lessons.checks_file(&course.root)).unwrap();

    let mut jobs = Vec::new();
    for exercise in &lessons.exercises {
        let module = format!("{}::", exercise.module());
        let its_own = names.iter().filter(|name| name.starts_with(&module));
        let program = programs.join(format!("{}-starter", exercise.name));
        let starters = its_own.map(|name| Job {
            checks: checks.clone(),
            name: name.clone(),
            program: program.clone(),
        });
        jobs.extend(starters);
    }
    let of_starters = jobs.len();
    for wrong in &wrong_answers {
        let program = programs.join(format!("{}-{}", wrong.exercise, wrong.name));
        jobs.push(Job { checks: checks.clone(), name: wrong.caught_by.clone(), program });
    }
    // One chapter after the other: all of them at once are more than a small machine bears.
    let judging = shared::alone("judging");
    let began = Instant::now();
    let outcomes = run::run_all(&jobs, AT_ONCE);
    assert!(began.elapsed() < ALL_CAUGHT_WITHIN, "it took {:?}", began.elapsed());
    drop(judging);

    let mut faults = Vec::new();
    for (job, outcome) in jobs[..of_starters].iter().zip(&outcomes) {
        match outcome {
            Outcome::Passed => faults.push(format!("the untouched starter passes {}", job.name)),
            Outcome::Failed(message) if message.contains("isn't written yet") => {}
            Outcome::Failed(message) => {
                faults.push(format!("{} on the starter says:\n{message}", job.name));
            }
        }
    }
    for (wrong, outcome) in wrong_answers.iter().zip(&outcomes[of_starters..]) {
        let (exercise, name, check) = (&wrong.exercise, &wrong.name, &wrong.caught_by);
        match outcome {
            Outcome::Passed => faults.push(format!("{exercise}: {name} passes {check}")),
            Outcome::Failed(message) if message.contains(&wrong.says) => {}
            Outcome::Failed(message) => {
                faults.push(format!(
                    "{exercise}: {check} on {name} doesn't say {:?}, but:\n{message}",
                    wrong.says
                ));
            }
        }
    }
    faults.extend(checks_that_catch_nothing(&names, &wrong_answers));
    assert!(faults.is_empty(), "{} faults:\n\n{}\n", faults.len(), faults.join("\n\n"));
}

/// A check that no wrong answer fails proves nothing.
fn checks_that_catch_nothing(names: &[String], wrong_answers: &[wrong::Wrong]) -> Vec<String> {
    let without_case = |name: &str| name.split("::").take(2).collect::<Vec<_>>().join("::");
    let all: BTreeSet<String> = names.iter().map(|name| without_case(name)).collect();
    let catching: BTreeSet<String> =
        wrong_answers.iter().map(|wrong| without_case(&wrong.caught_by)).collect();
    all.difference(&catching).map(|name| format!("no wrong answer is caught by {name}")).collect()
}

/// Builds the chapter's checks, and a package with all that was made. Gives the test program and the programs' folder.
fn build(course: &Course, lessons: &Lessons, made: &[Made]) -> (PathBuf, PathBuf) {
    let arguments = ["-p", &lessons.chapter.package(), "--test", &lessons.checks_target()];
    let built = cargo::build(&course.root, &arguments.map(str::to_owned)).unwrap();
    assert!(built.complete, "{}", built.said);
    let checks = built.executables[&lessons.checks_target()].clone();

    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("proof{:02}", lessons.chapter.number));
    // Programs of an earlier run must not be judged in place of those that are missing now.
    let _ = fs::remove_dir_all(folder.join("target"));
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(folder.join("Cargo.toml"), manifest(course, lessons, made)).unwrap();
    fs::copy(course.root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    for Made { name, source } in made {
        fs::write(folder.join("src").join(format!("{name}.rs")), source).unwrap();
    }
    let target = folder.join("target");
    // With the same folder for what is in between, the dependencies are compiled already.
    let between = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let between = format!("build.build-dir={:?}", between.display().to_string());
    let target_dir = target.display().to_string();
    let arguments =
        ["--offline", "--config", &between, "--target-dir", &target_dir].map(str::to_owned);
    let built = cargo::build(&folder, &arguments).unwrap();
    let errors: Vec<&String> = built.errors.values().collect();
    assert!(built.complete, "{}\n{errors:#?}", built.said);
    let some_program = &built.executables[&made[0].name];
    (checks, some_program.parent().unwrap().to_owned())
}

/// A workspace of its own, with the chapter's dependencies and the course's profiles.
fn manifest(course: &Course, lessons: &Lessons, made: &[Made]) -> String {
    let read = |path: &Path| -> toml::Table {
        toml::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let root = read(&course.root.join("Cargo.toml"));
    let chapter = read(&lessons.chapter.folder.join("Cargo.toml"));
    let mut text = format!(
        "[package]\nname = \"proof{:02}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n",
        lessons.chapter.number
    );
    for Made { name, .. } in made {
        text.push_str(&format!("[[bin]]\nname = \"{name}\"\npath = \"src/{name}.rs\"\n\n"));
    }
    let mut rest = toml::Table::new();
    let mut dependencies = toml::Table::new();
    for name in chapter["dependencies"].as_table().unwrap().keys() {
        let mut dependency = root["workspace"]["dependencies"][name].clone();
        if let Some(path) = dependency.get_mut("path") {
            let folder = course.root.join(path.as_str().unwrap());
            *path = folder.display().to_string().into();
        }
        dependencies.insert(name.clone(), dependency);
    }
    // From chapter 7 on, a chapter is a library, and its worked answers use it.
    if chapter.contains_key("lib") {
        let path = lessons.chapter.folder.display().to_string();
        let itself = toml::Table::from_iter([("path".to_owned(), path.into())]);
        dependencies.insert(lessons.chapter.package(), itself.into());
    }
    rest.insert("dependencies".to_owned(), dependencies.into());
    rest.insert("profile".to_owned(), root["profile"].clone());
    text + &toml::to_string(&rest).unwrap()
}
