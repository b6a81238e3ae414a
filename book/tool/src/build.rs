//! Makes the pages: mdBook's own HTML, nothing added, so that `mdbook build book` gives the same.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use mdbook_driver::MDBook;
use mdbook_driver::config::Config;
use mdbook_summary::{SummaryItem, parse_summary};

use crate::log::listening;
use crate::repo::Repo;

/// Builds the book where `book.toml` says, and returns the path of its first page.
///
/// # Errors
/// If mdBook fails, and also if it warned: what it warns of, a reader stumbles over.
pub fn build(repo: &Repo) -> Result<PathBuf> {
    without_complaint(|| {
        let book = MDBook::load(repo.book())?;
        book.build()?;
        Ok(book.build_dir_for("html").join("index.html"))
    })
}

/// Builds the same book into `folder`.
///
/// # Errors
/// As above. In the folder is then what mdBook had made by that time.
pub fn build_into(repo: &Repo, folder: &Path) -> Result<()> {
    without_complaint(|| MDBook::load_with_config(repo.book(), config(repo, folder)?)?.build())
}

fn without_complaint<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let (built, complaints) = listening(work);
    let built = built.context("mdBook can't build the book")?;
    if !complaints.is_empty() {
        bail!(
            "mdBook complains of the book; `cargo book check` may say more:\n{}",
            complaints.join("\n")
        );
    }
    Ok(built)
}

/// As `book.toml` has it, but for the folder that it's built into.
fn config(repo: &Repo, folder: &Path) -> Result<Config> {
    let mut config = Config::from_disk(repo.book().join("book.toml"))?;
    config.update_from_env()?;
    config.build.build_dir = folder.to_path_buf();
    Ok(config)
}

/// Builds the book into `folder`, leaving out the pages of SUMMARY.md that don't exist, so that
/// the others can be checked in the same run. Returns what mdBook complained of.
pub fn build_what_there_is(repo: &Repo, folder: &Path) -> (Result<()>, Vec<String>) {
    listening(|| {
        let config = config(repo, folder)?;
        let text = std::fs::read_to_string(repo.src().join("SUMMARY.md"))
            .context("book/src/SUMMARY.md can't be read")?;
        let mut summary = parse_summary(&text)?;
        leave_out_missing(&mut summary.prefix_chapters, &repo.src());
        leave_out_missing(&mut summary.numbered_chapters, &repo.src());
        leave_out_missing(&mut summary.suffix_chapters, &repo.src());

        MDBook::load_with_config_and_summary(repo.book(), config, summary)?.build()
    })
}

fn leave_out_missing(items: &mut Vec<SummaryItem>, src: &Path) {
    items.retain(|item| match item {
        SummaryItem::Link(link) => match &link.location {
            Some(page) => src.join(page).is_file(),
            None => true,
        },
        _ => true,
    });
    for item in items {
        if let SummaryItem::Link(link) = item {
            leave_out_missing(&mut link.nested_items, src);
        }
    }
}
