//! Places of the book that the graded checks and their hints name, such as
//! `"02-blocking-server.html#pieces"`: a reader who is stuck is sent there.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use crate::fault::{Fault, line_at};
use crate::links::Site;
use crate::repo::{Repo, files_in};

static PLACE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#""([a-z0-9-]+\.html(?:#[a-z0-9-]+)?)""#)
        .expect("the expression for a place is right")
});

/// Checks that all places exist; returns how many there are.
pub fn check(repo: &Repo, site: &Site, faults: &mut Vec<Fault>) -> usize {
    let mut count = 0;
    for path in files_that_name_places(repo) {
        // What isn't a text names no places.
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        for place in PLACE.captures_iter(&text) {
            let place = place.get(1).expect("the expression has this group");
            count += 1;
            if let Some(why) = site.missing(place.as_str(), Path::new("")) {
                let line = line_at(&text, place.start());
                let message = format!("`{}`: {why}", place.as_str());
                faults.push(Fault::new(repo.shown(&path), line, message));
            }
        }
    }
    count
}

fn files_that_name_places(repo: &Repo) -> Vec<PathBuf> {
    // A chapter's checks are a file, or a folder of files, called by its number.
    let tests = repo.root().join("tests");
    let mut files = rust_files_in(&tests);
    let folders = files_in(&tests).into_iter().filter(|path| is_numbered(path));
    files.extend(folders.flat_map(|folder| rust_files_in(&folder)));
    for chapter in files_in(&repo.root().join("chapters")) {
        files.extend(["wrong.toml", "causes.toml"].map(|name| chapter.join(name)));
        files.extend(rust_files_in(&chapter.join("solutions")));
    }
    files
}

fn is_numbered(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with(|first: char| first.is_ascii_digit())
}

fn rust_files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files = files_in(folder);
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files
}
