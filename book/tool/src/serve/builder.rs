//! Builds the book again and again, each time into a folder of its own.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow};
use ch07_callbacks::program::say;
use visitors::files::is_an_editors;

use crate::build::build_into;
use crate::includes::read_page;
use crate::repo::{Repo, files_below};

/// A build that went well.
pub struct Built {
    pub folder: PathBuf,
    /// No other build has the same, of this run or another.
    pub mark: String,
}

/// Whoever builds.
pub struct Builder {
    repo: Repo,
    /// Where the builds' folders are.
    room: PathBuf,
    count: usize,
    /// The folders of the last build and of the one before, which may still be served until the
    /// last has come to the loop.
    kept: Vec<PathBuf>,
    /// What the pages include, as of the last build.
    included: BTreeSet<PathBuf>,
}

impl Builder {
    /// One who builds the book of `repo` into folders in `room`.
    pub fn new(repo: &Repo, room: &Path) -> Self {
        let (repo, room) = (repo.clone(), room.to_path_buf());
        Self { repo, room, count: 0, kept: Vec::new(), included: BTreeSet::new() }
    }

    /// Builds the book.
    ///
    /// # Errors
    /// If mdBook fails, or complains.
    pub fn build(&mut self) -> Result<Built> {
        // Before mdBook reads them: what changes from now on is worth another build.
        self.included = included(&self.repo);
        self.count += 1;
        let folder = self.room.join(self.count.to_string());
        // A page that mdBook panics at must be mended like any other.
        let built = catch_unwind(AssertUnwindSafe(|| build_into(&self.repo, &folder)))
            .unwrap_or_else(|_| Err(anyhow!("mdBook panicked")));
        if let Err(error) = built {
            put_away(&folder);
            return Err(error);
        }
        self.kept.push(folder.clone());
        if self.kept.len() > 2 {
            put_away(&self.kept.remove(0));
        }
        Ok(Built { folder, mark: mark() })
    }

    /// Builds it because files have changed, and says how that went.
    pub fn build_after(&mut self, changed: &BTreeSet<PathBuf>) -> Option<Built> {
        let began = Instant::now();
        let built = self.build();
        let first = changed.first().map(|path| self.repo.shown(path)).unwrap_or_default();
        let what = match changed.len() {
            0 | 1 => format!("{first} has changed"),
            count => format!("{first} and {} more have changed", count - 1),
        };
        match built {
            Ok(built) => {
                say(&format!("{what}: built again in {:.1} s", began.elapsed().as_secs_f64()));
                Some(built)
            }
            Err(error) => {
                say(&format!("{what}: not built, the pages stay as they were.\n{error:#}"));
                None
            }
        }
    }

    /// Whether the book would be another one if this file, or folder, were.
    pub fn reads(&self, path: &Path) -> bool {
        let (src, theme) = (self.repo.src(), self.repo.theme());
        if path.starts_with(&src) || path.starts_with(&theme) {
            return !path_below(path, &src).chain(path_below(path, &theme)).any(is_an_editors);
        }
        path == self.repo.book().join("book.toml")
            || src.starts_with(path)
            || theme.starts_with(path)
            // Those below it may have come or gone with a folder.
            || self.included.iter().any(|included| included.starts_with(path))
    }
}

/// The parts of `path` below `folder`: a file may be in a folder that is an editor's.
fn path_below<'a>(path: &'a Path, folder: &Path) -> impl Iterator<Item = &'a Path> {
    path.strip_prefix(folder).ok().into_iter().flat_map(Path::iter).map(Path::new)
}

/// All files that pages include, or would, were they there.
fn included(repo: &Repo) -> BTreeSet<PathBuf> {
    let mut included = BTreeSet::new();
    for path in files_below(&repo.src()) {
        if path.extension().is_some_and(|extension| extension == "md") {
            // What is wrong with it, mdBook says, or `cargo book check`.
            let page = read_page(repo, &path, &mut Vec::new());
            included.extend(page.into_iter().flat_map(|page| page.wanted));
        }
    }
    included
}

fn mark() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:x}", now.as_nanos())
}

/// What can't be removed is removed with the room it's in, when all is over.
fn put_away(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
}
