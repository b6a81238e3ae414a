//! Builds many answers to an exercise at the price of one: all of them are modules of one program, which looks at the name it
//! was started by. (Each a program of its own, the wrong answers of a chapter took twenty times as long: most of it the linker's.)

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::cargo;
use crate::course::{Course, Exercise, Lessons};

/// An answer to be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// A name of letters, digits and hyphens, unique among the exercise's.
    pub name: String,
    /// Its source.
    pub source: String,
}

/// What came of a chapter's answers.
#[derive(Debug)]
pub struct Workshop {
    /// The chapter's test program with its graded checks.
    pub checks: PathBuf,
    /// The programs, by exercise and name.
    pub programs: BTreeMap<(String, String), PathBuf>,
    /// What the compiler said of those that it refused, in the same way.
    pub refused: BTreeMap<(String, String), String>,
    /// Nobody else builds here while the programs are used.
    _ours: Flock<File>,
}

/// How often what the compiler refuses is left out, and the rest tried again: names, types and lifetimes are looked at one after
/// the other.
const ROUNDS: usize = 8;

/// Builds the chapter's checks, and all answers that are given with their exercises.
///
/// # Errors
/// When cargo can't be run, the checks don't compile, or the answers can't be told apart from what the compiler says.
pub fn build(
    course: &Course,
    lessons: &Lessons,
    place: &str,
    made: &[(&Exercise, Vec<Made>)],
) -> Result<Workshop, String> {
    let arguments = ["-p", &lessons.place.package, "--test", &lessons.place.checks_target];
    let built = cargo::build(&course.root, &arguments.map(str::to_owned)).map_err(in_cargo)?;
    let Some(checks) = built.executables.get(&lessons.place.checks_target).cloned() else {
        return Err(format!("the checks can't be built:\n{:#?}\n{}", built.errors, built.said));
    };
    // target/debug/deps/checks03-…: what is compiled lies above, for this build and for the next.
    let between = checks.ancestors().nth(3).unwrap_or(&course.root).to_owned();
    let folder = between.join("workshop").join(format!("{place}{}", lessons.place.label));
    let ours = lock(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let _ = fs::remove_dir_all(folder.join("src"));
    let _ = fs::remove_dir_all(folder.join("programs"));

    let mut left: Vec<(&Exercise, Vec<&Made>)> =
        made.iter().map(|(exercise, made)| (*exercise, made.iter().collect())).collect();
    let mut refused = BTreeMap::new();
    for _ in 0..ROUNDS {
        write(course, lessons, &folder, &left)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        let built = compile(&folder, &between)?;
        if built.complete {
            let programs = name_them(&folder, &left, &built).map_err(in_cargo)?;
            return Ok(Workshop { checks, programs, refused, _ours: ours });
        }
        let said = built.errors.values().cloned().collect::<String>();
        let before = refused.len();
        for (exercise, made) in &mut left {
            made.retain(|made| {
                let file = format!("src/{}/{}.rs:", exercise.name, module(&made.name));
                let Some(at) = said.find(&file) else { return true };
                let words: String = said[at..].lines().take(4).collect::<Vec<_>>().join("\n");
                refused.insert((exercise.name.clone(), made.name.clone()), words);
                false
            });
        }
        if refused.len() == before {
            return Err(format!("these answers can't be built:\n{said}{}", built.said));
        }
    }
    Err(format!("after {ROUNDS} rounds the compiler still refuses some"))
}

/// Waits until whoever builds or uses programs in this folder has ended.
fn lock(folder: &Path) -> std::io::Result<Flock<File>> {
    fs::create_dir_all(folder)?;
    let file = File::create(folder.join("lock"))?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
}

fn in_cargo(error: std::io::Error) -> String {
    format!("can't run cargo: {error}")
}

fn module(name: &str) -> String {
    format!("m_{}", name.replace('-', "_"))
}

fn compile(folder: &Path, between: &Path) -> Result<cargo::Built, String> {
    // With the same folder for what is in between, the dependencies are compiled already.
    let between = format!("build.build-dir={:?}", between.display().to_string());
    let target = folder.join("target").display().to_string();
    let arguments = ["--offline", "--config", &between, "--target-dir", &target].map(str::to_owned);
    cargo::build(folder, &arguments).map_err(in_cargo)
}

/// Writes the package: a program for each exercise, a module for each answer.
fn write(
    course: &Course,
    lessons: &Lessons,
    folder: &Path,
    made: &[(&Exercise, Vec<&Made>)],
) -> Result<(), String> {
    let said = |error: std::io::Error| error.to_string();
    for (exercise, made) in made {
        let source = folder.join("src").join(&exercise.name);
        fs::create_dir_all(&source).map_err(said)?;
        let mut main = "use std::process::{ExitCode, Termination};\n\n".to_owned();
        let mut arms = String::new();
        for Made { name, source: text } in made {
            let module = module(name);
            main.push_str(&format!("mod {module};\n"));
            arms.push_str(&format!("        {name:?} => {module}::main().report(),\n"));
            write_if_new(
                &source.join(format!("{module}.rs")),
                &text.replace("\nfn main()", "\npub fn main()"),
            )?;
        }
        main.push_str(&format!(
            "\nfn main() -> ExitCode {{\n    let path = std::env::args().next().unwrap_or_default();\n    \
             match path.rsplit('/').next().unwrap_or_default() {{\n{arms}        \
             other => panic!(\"there is no answer called {{other}}\"),\n    }}\n}}\n"
        ));
        write_if_new(&source.join("main.rs"), &main)?;
    }
    // Cargo keeps what it has compiled by a package's name, and not by where it lies.
    let place = folder.file_name().unwrap_or_default().to_string_lossy();
    write_if_new(&folder.join("Cargo.toml"), &manifest(course, lessons, &place, made)?)?;
    fs::copy(course.root.join("Cargo.lock"), folder.join("Cargo.lock")).map_err(said)?;
    Ok(())
}

fn write_if_new(path: &Path, text: &str) -> Result<(), String> {
    if fs::read_to_string(path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    fs::write(path, text).map_err(|error| error.to_string())
}

/// A workspace of its own, with the chapter's dependencies and the course's profiles.
fn manifest(
    course: &Course,
    lessons: &Lessons,
    place: &str,
    made: &[(&Exercise, Vec<&Made>)],
) -> Result<String, String> {
    let read = |path: &Path| -> Result<toml::Table, String> {
        let said = |error: &dyn Display| format!("{}: {error}", path.display());
        let text = fs::read_to_string(path).map_err(|error| said(&error))?;
        toml::from_str(&text).map_err(|error| said(&error))
    };
    let root = read(&course.root.join("Cargo.toml"))?;
    let chapter = read(&lessons.place.folder.join("Cargo.toml"))?;
    let mut text = format!(
        "[package]\nname = \"workshop-{place}\"\nversion = \"0.0.0\"\nedition = \"2024\"\nautobins = false\n\n[workspace]\n\n",
    );
    for (exercise, _) in made {
        let name = &exercise.name;
        text.push_str(&format!(
            "[[bin]]\nname = \"all-{name}\"\npath = \"src/{name}/main.rs\"\n\n"
        ));
    }
    let mut rest = toml::Table::new();
    let mut dependencies = toml::Table::new();
    let wanted = chapter.get("dependencies").and_then(toml::Value::as_table);
    for name in wanted.into_iter().flat_map(toml::Table::keys) {
        let mut dependency = root["workspace"]["dependencies"][name].clone();
        if let Some(path) = dependency.get_mut("path") {
            let folder = course.root.join(path.as_str().unwrap_or_default());
            *path = folder.display().to_string().into();
        }
        dependencies.insert(name.clone(), dependency);
    }
    // From chapter 7 on, a chapter is a library, and its worked answers use it.
    if chapter.contains_key("lib") {
        let path = lessons.place.folder.display().to_string();
        let itself = toml::Table::from_iter([("path".to_owned(), path.into())]);
        dependencies.insert(lessons.place.package.clone(), itself.into());
    }
    rest.insert("dependencies".to_owned(), dependencies.into());
    rest.insert("profile".to_owned(), root["profile"].clone());
    let rest = toml::to_string(&rest).map_err(|error| error.to_string())?;
    Ok(text + &rest)
}

/// Gives each answer a name that the program can be started by.
fn name_them(
    folder: &Path,
    made: &[(&Exercise, Vec<&Made>)],
    built: &cargo::Built,
) -> std::io::Result<BTreeMap<(String, String), PathBuf>> {
    let mut programs = BTreeMap::new();
    for (exercise, made) in made {
        let all = &built.executables[&format!("all-{}", exercise.name)];
        let names = folder.join("programs").join(&exercise.name);
        fs::create_dir_all(&names)?;
        let mut here = BTreeSet::new();
        for Made { name, .. } in made {
            let path = names.join(name);
            if here.insert(name) {
                let _ = fs::remove_file(&path);
                symlink(all, &path)?;
            }
            programs.insert((exercise.name.clone(), name.clone()), path);
        }
    }
    Ok(programs)
}
