//! The book's table of contents, and the pages that it should name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::fault::{Fault, line_at};
use crate::markdown::{self, Options};
use crate::repo::{Repo, files_below, tidy};

/// The pages that SUMMARY.md names and that exist, in the reader's order, as paths from `src`.
///
/// # Errors
/// If there is no SUMMARY.md.
pub fn pages(repo: &Repo, faults: &mut Vec<Fault>) -> Result<Vec<PathBuf>> {
    let path = repo.src().join("SUMMARY.md");
    let file = repo.shown(&path);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("{file} can't be read: without it there is no book"))?;

    let mut pages = Vec::new();
    for link in markdown::read(&text, &Options::default()).links {
        let line = line_at(&text, link.offset);
        // mdBook takes the links of SUMMARY.md as paths, with this one escape.
        let page = tidy(Path::new(&link.written.replace("%20", " ")));
        if link.written.is_empty() {
            let message = "a draft: write the page and name it here, or take the entry out";
            faults.push(Fault::new(&file, line, message));
        } else if !repo.src().join(&page).is_file() {
            let shown = page.display();
            let message = format!("`{shown}` doesn't exist: write it, or take the entry out");
            faults.push(Fault::new(&file, line, message));
        } else {
            pages.push(page);
        }
    }
    find_orphans(repo, &pages, faults);
    Ok(pages)
}

/// A page that no entry leads to is built into nothing: mdBook copies its source.
fn find_orphans(repo: &Repo, pages: &[PathBuf], faults: &mut Vec<Fault>) {
    let named: BTreeSet<PathBuf> = pages.iter().map(|page| repo.src().join(page)).collect();
    for path in files_below(&repo.src()) {
        let is_page = path.extension().is_some_and(|extension| extension == "md");
        if is_page && !path.ends_with("SUMMARY.md") && !named.contains(&path) {
            let message = "an orphan: name it in SUMMARY.md, or move it out of book/src";
            faults.push(Fault::new(repo.shown(&path), 1, message));
        }
    }
}
