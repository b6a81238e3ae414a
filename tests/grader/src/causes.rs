//! What can be wrong with an answer: a sentence for whoever wrote it, and the place in the book that explains it.
//!
//! Each chapter (and a tool that has exercises) has its own in `causes.toml`, beside its wrong answers; those that any chapter's answers can have
//! stand in `tests/grader/causes.toml`. A check names the cause that it speaks for, a wrong answer the one that it has,
//! and so each sentence is written once:
//!
//! ```toml
//! [lock-held-while-serving]
//! likely = "the lock is held while a visitor is served, so that all other workers wait for it: end it before"
//! book = "03-threads.html#so-many-and-no-more"
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;
use visitors::chapters;

use crate::place;

/// What a program that came upon its `todo!` has.
pub const NOT_WRITTEN_YET: &str = "not-written-yet";

/// What may be wrong.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// A sentence, without a full stop.
    pub likely: String,
    /// A page of the book with the fragment that explains it: `03-threads.html#so-many-and-no-more`. Nothing where
    /// there is nothing to explain.
    #[serde(default)]
    pub book: String,
}

/// All causes that an exercise's answers can have, by name.
#[derive(Clone, Debug, Default)]
pub struct Causes(BTreeMap<String, Cause>);

impl Causes {
    /// Those of the chapter in `folder`, and those that all chapters share, under the repository's `root`.
    ///
    /// # Errors
    /// Which file can't be read or understood, and why; which name stands in both.
    pub fn read(root: &Path, folder: &Path) -> Result<Self, String> {
        let mut all = parse(&root.join("tests/grader/causes.toml"))?;
        for (name, cause) in parse(&folder.join("causes.toml"))? {
            if all.insert(name.clone(), cause).is_some() {
                let folder = folder.display();
                return Err(format!("{folder}: {name} is a cause of all chapters already"));
            }
        }
        Ok(Self(all))
    }

    /// Those of the chapter or tool whose exercises' names begin with `label`: `02`, `race`. Asked by a check that has failed,
    /// which has enough to say: where they can't be read, it has none.
    pub fn of(label: &str) -> Self {
        let root = chapters::root();
        let places = place::all(&root).unwrap_or_default();
        let place = places.into_iter().find(|place| place.label == label);
        place.and_then(|place| Self::read(&root, &place.folder).ok()).unwrap_or_default()
    }

    /// The cause called `name`.
    pub fn get(&self, name: &str) -> Option<&Cause> {
        self.0.get(name)
    }

    /// All names, in the order of the alphabet.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

fn parse(path: &Path) -> Result<BTreeMap<String, Cause>, String> {
    let said = |error: String| format!("{}: {error}", path.display());
    let text = match fs::read_to_string(path) {
        // A chapter without exercises has none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        result => result.map_err(|error| said(error.to_string()))?,
    };
    toml::from_str(&text).map_err(|error| said(error.to_string()))
}
