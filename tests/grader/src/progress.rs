//! What the grader remembers: a plain text file, `.progress` at the top of the repository, which git ignores.
//!
//! One line an exercise: `pieces: best 5 of 7, hints 2`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use visitors::files::Beside;

/// What is remembered of one exercise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// The most checks that passed at one time.
    pub best: usize,
    /// How many checks there were then.
    pub of: usize,
    /// How many hints have been read.
    pub hints: usize,
}

/// The file's contents.
#[derive(Debug)]
pub struct Progress {
    path: PathBuf,
    exercises: BTreeMap<String, Remembered>,
    /// Lines that aren't understood are kept: they may be a person's notes, or a newer version's.
    other_lines: Vec<String>,
}

impl Progress {
    /// Reads the file under `root`. Where there is none, nothing is remembered.
    ///
    /// # Errors
    /// When there is a file that can't be read.
    pub fn read(root: &Path) -> io::Result<Self> {
        let path = root.join(".progress");
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            result => result?,
        };
        let mut exercises = BTreeMap::new();
        let mut other_lines = Vec::new();
        for line in text.lines() {
            match parse(line) {
                Some((name, remembered)) => {
                    exercises.insert(name, remembered);
                }
                None => other_lines.push(line.to_owned()),
            }
        }
        Ok(Self { path, exercises, other_lines })
    }

    /// What is remembered of an exercise.
    pub fn of(&self, exercise: &str) -> Remembered {
        self.exercises.get(exercise).copied().unwrap_or_default()
    }

    /// Takes note that `passed` of `all` checks passed.
    pub fn note_score(&mut self, exercise: &str, passed: usize, all: usize) {
        let remembered = self.exercises.entry(exercise.to_owned()).or_default();
        if passed >= remembered.best || all != remembered.of {
            (remembered.best, remembered.of) = (passed, all);
        }
    }

    /// Takes note that one more hint has been read, if there is one more; gives how many were read before.
    pub fn note_hint(&mut self, exercise: &str, all: usize) -> usize {
        let remembered = self.exercises.entry(exercise.to_owned()).or_default();
        let before = remembered.hints.min(all);
        remembered.hints = (before + 1).min(all);
        before
    }

    /// Forgets an exercise.
    pub fn forget(&mut self, exercise: &str) {
        self.exercises.remove(exercise);
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// What writing gives. Then the old file is as it was.
    pub fn write(&self) -> io::Result<()> {
        self.prepare()?.put()
    }

    /// Writes the file beside the old one, which stays until it's put in its place.
    ///
    /// # Errors
    /// What writing gives.
    pub fn prepare(&self) -> io::Result<Beside> {
        let mut text = String::new();
        for line in &self.other_lines {
            text.push_str(&format!("{line}\n"));
        }
        for (name, Remembered { best, of, hints }) in &self.exercises {
            text.push_str(&format!("{name}: best {best} of {of}, hints {hints}\n"));
        }
        Beside::write(&self.path, &text)
    }
}

fn parse(line: &str) -> Option<(String, Remembered)> {
    let (name, rest) = line.split_once(": best ")?;
    let (best, rest) = rest.split_once(" of ")?;
    let (of, hints) = rest.split_once(", hints ")?;
    let remembered =
        Remembered { best: best.parse().ok()?, of: of.parse().ok()?, hints: hints.parse().ok()? };
    Some((name.to_owned(), remembered))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_other_lines_stay() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".progress"), "a note of mine\nhead: best 1 of 6, hints 0\n")
            .unwrap();
        let mut progress = Progress::read(folder.path()).unwrap();
        progress.note_score("head", 4, 6);
        progress.note_score("head", 2, 6);
        assert_eq!(progress.note_hint("head", 2), 0);
        assert_eq!(progress.note_hint("head", 2), 1);
        assert_eq!(progress.note_hint("head", 2), 2);
        progress.write().unwrap();
        let text = fs::read_to_string(folder.path().join(".progress")).unwrap();
        assert_eq!(text, "a note of mine\nhead: best 4 of 6, hints 2\n");
        let again = Progress::read(folder.path()).unwrap();
        assert_eq!(again.of("head"), Remembered { best: 4, of: 6, hints: 2 });
    }
}
