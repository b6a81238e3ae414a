//! What exercises belong to: a chapter of the book, or a tool that has some of its own.

use std::io;
use std::path::{Path, PathBuf};

use visitors::chapters::{self, Chapter};
use visitors::names::nearest;

/// The tools in `tests/` that have exercises.
const TOOLS: &[&str] = &["race"];

/// A chapter or a tool, and what everything about its exercises is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number, if it's a chapter.
    pub number: Option<u32>,
    /// The folder's name, which is its page's name, too: `02-blocking-server`, `race`.
    pub name: String,
    /// The folder itself, with `solutions`, `exercises` and `wrong.toml` in it.
    pub folder: PathBuf,
    /// What `cargo grade` calls it: `2`, `race`.
    pub short: String,
    /// What its exercises' names begin with: `02`, `race`.
    pub label: String,
    /// Its title in words: `blocking server`, `race`.
    pub title: String,
    /// The package in which the worked answers are: `ch02-blocking-server`, `race`.
    pub package: String,
    /// The package with what the learner writes: `ex02-blocking-server`, `ex-race`.
    pub exercises_package: String,
    /// The test target with the checks, in the first of these packages: `checks02`, `checks-race`.
    pub checks_target: String,
    /// Where the graded checks are: this folder, or a file of that name.
    pub checks: PathBuf,
    /// What the exercises promise: `tests/contracts/02_blocking_server.toml`, `tests/contracts/race.toml`.
    pub contracts: PathBuf,
}

impl Place {
    fn chapter(root: &Path, chapter: Chapter) -> Self {
        let label = format!("{:02}", chapter.number);
        let in_tests = chapter.name.replace('-', "_");
        Self {
            number: Some(chapter.number),
            short: chapter.number.to_string(),
            title: chapter.title(),
            package: chapter.package(),
            exercises_package: chapter.exercises_package(),
            checks_target: format!("checks{label}"),
            checks: root.join("tests").join(&in_tests),
            contracts: root.join("tests/contracts").join(format!("{in_tests}.toml")),
            label,
            name: chapter.name,
            folder: chapter.folder,
        }
    }

    fn tool(root: &Path, name: &str) -> Self {
        let folder = root.join("tests").join(name);
        Self {
            number: None,
            name: name.to_owned(),
            short: name.to_owned(),
            label: name.to_owned(),
            title: name.to_owned(),
            package: name.to_owned(),
            exercises_package: format!("ex-{name}"),
            checks_target: format!("checks-{name}"),
            checks: folder.join("checks"),
            contracts: root.join("tests/contracts").join(format!("{name}.toml")),
            folder,
        }
    }

    /// An exercise's program, by the exercise's name: `ex02-pieces`, `race-due`.
    pub fn program(&self, exercise: &str) -> String {
        let id = self.id(exercise);
        if self.number.is_some() { format!("ex{id}") } else { id }
    }

    /// An exercise's name with what it begins with: `02-pieces`, `race-due`.
    pub fn id(&self, exercise: &str) -> String {
        format!("{}-{exercise}", self.label)
    }

    /// In a message: `chapter 2`, `the race`.
    pub fn in_words(&self) -> String {
        match self.number {
            Some(number) => format!("chapter {number}"),
            None => format!("the {}", self.title),
        }
    }

    /// Whether somebody who says `2`, `02` or `02-blocking-server` means this one.
    pub fn is_called(&self, wanted: &str) -> bool {
        let is_number = self.number.is_some() && wanted.parse().ok() == self.number;
        is_number || self.name == wanted
    }
}

/// All that there are under `root`: the chapters in order, and behind them the tools that have exercises.
///
/// # Errors
/// What reading the folder `chapters` gives.
pub fn all(root: &Path) -> io::Result<Vec<Place>> {
    let chapters = chapters::all(root)?.into_iter().map(|chapter| Place::chapter(root, chapter));
    let tools = TOOLS.iter().map(|name| Place::tool(root, name));
    let tools = tools.filter(|tool| tool.folder.join("exercises").is_dir());
    Ok(chapters.chain(tools).collect())
}

/// The one whose name somebody has most likely misspelled, with its number or without.
pub fn nearest_of<'a>(
    places: impl Iterator<Item = &'a Place> + Clone,
    misspelled: &str,
) -> Option<&'a Place> {
    let without_number = |place: &'a Place| match place.number {
        Some(_) => &place.name[3..],
        None => place.name.as_str(),
    };
    let names = places.clone().flat_map(|place| [place.name.as_str(), without_number(place)]);
    let near = nearest(misspelled, names)?;
    places.clone().find(|place| place.name == near || without_number(place) == near)
}
