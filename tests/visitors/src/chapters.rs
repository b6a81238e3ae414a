//! Where the chapters lie, and what their packages are called.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

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

    /// The package with what the learner writes: `ex02-blocking-server`.
    pub fn exercises_package(&self) -> String {
        format!("ex{}", self.name)
    }

    /// The title in words: `blocking server`.
    pub fn title(&self) -> String {
        self.name[3..].replace('-', " ")
    }
}

/// The folder of the workspace that this tool was built in.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
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
        let numbers: Vec<String> = chapters.iter().map(|c| c.number.to_string()).collect();
        format!("there is no chapter {wanted}; there are {}", numbers.join(", "))
    })
}
