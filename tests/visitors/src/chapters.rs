//! Where the chapters lie, and what their packages are called.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::slice;

use serde_json::Value;

use crate::names::nearest;

/// The chapter whose program reads its standard input.
const WITHOUT_SOCKET: u32 = 10;

/// A chapter of the book: a folder `chapters/NN-name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chapter {
    /// Its number, from 1.
    pub number: u32,
    /// The folder's name, such as `02-blocking-server`: also its page's name in the book.
    pub name: String,
    /// The folder itself.
    pub folder: PathBuf,
}

impl Chapter {
    /// The package, and the name of its program: `ch02-blocking-server`.
    pub fn package(&self) -> String {
        format!("ch{}", self.name)
    }

    /// The program that visitors call on: `ch07-server` where the package has one of that name, and else
    /// the chapter's program.
    pub fn server(&self) -> String {
        let server = format!("ch{:02}-server", self.number);
        let manifest = fs::read_to_string(self.folder.join("Cargo.toml")).unwrap_or_default();
        match manifest.lines().any(|line| line == format!("name = \"{server}\"")) {
            true => server,
            false => self.package(),
        }
    }

    /// The command that starts that program.
    pub fn run_server(&self) -> String {
        let (package, server) = (self.package(), self.server());
        match package == server {
            true => format!("cargo run -p {package}"),
            false => format!("cargo run -p {package} --bin {server}"),
        }
    }

    /// Whether anybody can call on its program, or be called on by it.
    pub fn has_socket(&self) -> bool {
        self.number != WITHOUT_SOCKET
    }

    /// The folder of the checkout that it's a chapter of.
    fn checkout(&self) -> &Path {
        self.folder.ancestors().nth(2).unwrap_or(&self.folder)
    }

    /// The package with what the learner writes: `ex02-blocking-server`.
    pub fn exercises_package(&self) -> String {
        format!("ex{}", self.name)
    }

    /// The title in words: `blocking server`.
    pub fn title(&self) -> String {
        self.name[3..].replace('-', " ")
    }
}

/// The folder of the checkout in which a tool is called: the one above the package that cargo runs or tests, or
/// above where we are. Asked at run time, because a checkout may be moved or copied together with what was
/// compiled in it, and two may share a folder for that.
///
/// # Errors
/// A sentence that says what to do: neither place is in a checkout.
pub fn checkout() -> Result<PathBuf, String> {
    let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let here = env::current_dir()
        .map_err(|error| format!("can't tell in which folder we are: {error}"))?;
    let places = package.as_deref().into_iter().chain([here.as_path()]);
    let found = places.flat_map(Path::ancestors).find(|folder| is_checkout(folder));
    found.map(Path::to_owned).ok_or_else(|| {
        format!(
            "{} is in no checkout of The Waiting Game, and nor is any folder above it: \
             go to the folder with the book's chapters, and call it there",
            here.display()
        )
    })
}

/// Two folders that no other project has side by side.
fn is_checkout(folder: &Path) -> bool {
    folder.join("chapters").is_dir() && folder.join("tests/visitors").is_dir()
}

/// The same, for tests: they run in a checkout.
///
/// # Panics
/// Where they don't.
pub fn root() -> PathBuf {
    checkout().unwrap_or_else(|reason| panic!("{reason}"))
}

/// All chapters under `root`, in order.
///
/// # Errors
/// What reading the folder `chapters` gives.
pub fn all(root: &Path) -> io::Result<Vec<Chapter>> {
    let mut chapters = Vec::new();
    for entry in fs::read_dir(root.join("chapters"))? {
        let folder = entry?.path();
        let Some(name) = folder.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let number = name.split_once('-').filter(|(digits, _)| digits.len() == 2);
        let Some(number) = number.and_then(|(digits, _)| digits.parse().ok()) else {
            continue;
        };
        chapters.push(Chapter { number, name: name.to_owned(), folder });
    }
    chapters.sort();
    Ok(chapters)
}

/// The chapter that `wanted` names: `2`, `02` or `02-blocking-server`.
///
/// # Errors
/// A sentence that says which chapters there are.
pub fn find(root: &Path, wanted: &str) -> Result<Chapter, String> {
    let chapters = all(root).map_err(|error| format!("can't read the folder chapters: {error}"))?;
    let number = wanted.parse::<u32>().ok();
    let found =
        chapters.iter().find(|chapter| Some(chapter.number) == number || chapter.name == wanted);
    found.cloned().ok_or_else(|| {
        if let Some(meant) = nearest_of(&chapters, wanted) {
            return format!("there is no chapter {wanted}; did you mean {}?", meant.name);
        }
        let numbers: Vec<String> = chapters.iter().map(|c| c.number.to_string()).collect();
        format!("there is no chapter {wanted}; there are {}", numbers.join(", "))
    })
}

/// The chapter whose name somebody has most likely misspelled, with its number or without.
fn nearest_of<'a>(
    chapters: impl IntoIterator<Item = &'a Chapter>,
    misspelled: &str,
) -> Option<&'a Chapter> {
    let chapters: Vec<&Chapter> = chapters.into_iter().collect();
    let names = chapters.iter().flat_map(|chapter| [chapter.name.as_str(), &chapter.name[3..]]);
    let near = nearest(misspelled, names)?;
    chapters.iter().find(|chapter| chapter.name == near || &chapter.name[3..] == near).copied()
}

/// Builds the program that visitors call on, and says where it lies. Cargo's own messages are shown.
///
/// # Errors
/// A sentence that says what is wrong: it doesn't compile, cargo isn't there.
pub fn build(chapter: &Chapter) -> Result<PathBuf, String> {
    let package = chapter.package();
    if !chapter.has_socket() {
        return Err(format!(
            "{package} has no socket that anybody could call on; try: cargo run -p {package} -- --help"
        ));
    }
    let program = (package, chapter.server());
    let mut paths = build_programs(chapter.checkout(), "dev", slice::from_ref(&program))?;
    Ok(paths.remove(0))
}

/// Builds programs, each told by its package and its name, and says where they lie, in the same order. Cargo's own
/// messages are shown.
///
/// # Errors
/// A sentence that says what is wrong: one doesn't compile, cargo isn't there.
pub fn build_programs(
    checkout: &Path,
    profile: &str,
    programs: &[(String, String)],
) -> Result<Vec<PathBuf>, String> {
    if programs.is_empty() {
        // Asked for nothing, cargo would build everything.
        return Ok(Vec::new());
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--message-format=json-render-diagnostics"]);
    command.args(["--profile", profile]);
    for (package, program) in programs {
        command.args(["--package", package, "--bin", program]);
    }
    let command = command.current_dir(checkout).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| format!("can't run cargo: {error}"))?;
    let names: Vec<&str> = programs.iter().map(|(_, program)| program.as_str()).collect();
    if !output.status.success() {
        let verb = if names.len() == 1 { "doesn't" } else { "don't all" };
        return Err(format!("{} {verb} compile", names.join(", ")));
    }
    // One line of JSON for each thing built; a program's tells its path.
    let lines = String::from_utf8_lossy(&output.stdout);
    let messages: Vec<Value> =
        lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let path = |program: &str| {
        let ours = messages.iter().filter(|message| message["target"]["name"] == program);
        ours.filter_map(|message| message["executable"].as_str()).next().map(PathBuf::from)
    };
    let found = names.iter().map(|program| {
        path(program).ok_or_else(|| format!("cargo built {program}, but doesn't say where"))
    });
    found.collect()
}
