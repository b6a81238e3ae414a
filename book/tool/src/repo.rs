//! Where things lie in a copy of this repository.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Error, Result};
use visitors::chapters;
use visitors::files::is_an_editors;

/// A copy of the repository.
#[derive(Clone)]
pub struct Repo {
    root: PathBuf,
}

impl Repo {
    /// The copy in which we are called.
    ///
    /// # Errors
    /// If that is in none.
    pub fn this() -> Result<Repo> {
        let root = chapters::checkout().map_err(Error::msg)?;
        Ok(Repo::at(&root))
    }

    /// The copy at `root`.
    pub fn at(root: &Path) -> Repo {
        // Without `canonicalize`, paths would be shown with `..` in their middle, and the same
        // file could have two names. A folder that isn't there is found out soon enough.
        Repo { root: fs::canonicalize(root).unwrap_or_else(|_| root.to_path_buf()) }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of `book.toml`.
    pub fn book(&self) -> PathBuf {
        self.root.join("book")
    }

    /// The folder of the pages.
    pub fn src(&self) -> PathBuf {
        self.root.join("book/src")
    }

    /// The folder of the scripts and styles that the pages have besides mdBook's own.
    pub fn theme(&self) -> PathBuf {
        self.root.join("book/theme")
    }

    pub fn transcripts(&self) -> PathBuf {
        self.root.join("book/transcripts")
    }

    /// The folder of what was measured.
    pub fn figures(&self) -> PathBuf {
        self.root.join("book/figures")
    }

    pub fn pictures(&self) -> PathBuf {
        self.root.join("book/pictures")
    }

    /// The folder of the chapters' timelines: runs, and the pictures of them.
    pub fn timelines(&self) -> PathBuf {
        self.root.join("book/timelines")
    }

    /// `path` as it is told to people: from the top of the repository.
    pub fn shown(&self, path: &Path) -> String {
        let path = tidy(path);
        path.strip_prefix(&self.root).unwrap_or(&path).display().to_string()
    }
}

/// `path` without `.` and `..`, worked out on its names alone, so that it need not exist.
pub fn tidy(path: &Path) -> PathBuf {
    use std::path::Component;

    let mut tidy = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            // A `..` too many stays, so that a link that leads out of the book is seen to.
            Component::ParentDir if tidy.file_name().is_some() => {
                tidy.pop();
            }
            other => tidy.push(other),
        }
    }
    tidy
}

/// The files in `folder`, in order of their names, without what an editor puts beside them; none if there is no
/// such folder.
pub fn files_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| !is_an_editors(path));
    files.sort();
    files
}

/// The files in `folder` and in all folders below it.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let (below, here): (Vec<_>, Vec<_>) =
            files_in(&folder).into_iter().partition(|path| path.is_dir());
        folders.extend(below);
        files.extend(here);
    }
    files
}
