//! Makes the pages: mdBook's own HTML, nothing added, so that `mdbook build book` gives the same.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use mdbook_driver::MDBook;
use mdbook_driver::config::Config;
use mdbook_summary::{SummaryItem, parse_summary};
use tempfile::TempDir;
use visitors::files::is_an_editors;

use crate::log::listening;
use crate::repo::Repo;

/// Builds the book where `book.toml` says, and returns the path of its first page.
///
/// # Errors
/// If mdBook fails, and also if it warned: what it warns of, a reader stumbles over.
pub fn build(repo: &Repo) -> Result<PathBuf> {
    let mut config = Config::from_disk(repo.book().join("book.toml")).context(CANNOT)?;
    config.update_from_env().context(CANNOT)?;
    config.build.build_dir = repo.book().join(config.build.build_dir);
    without_complaint(of_the_pages_alone(repo, |book| {
        let book = MDBook::load_with_config(book, config.clone())?;
        book.build()?;
        Ok(book.build_dir_for("html").join("index.html"))
    }))
}

/// Builds the same book into `folder`.
///
/// # Errors
/// As above. In the folder is then what mdBook had made by that time.
pub fn build_into(repo: &Repo, folder: &Path) -> Result<()> {
    without_complaint(of_the_pages_alone(repo, |book| {
        MDBook::load_with_config(book, config(repo, folder)?)?.build()
    }))
}

const CANNOT: &str = "mdBook can't build the book";

fn without_complaint<T>((built, complaints): (Result<T>, Vec<String>)) -> Result<T> {
    let built = built.context(CANNOT)?;
    if !complaints.is_empty() {
        bail!(
            "mdBook complains of the book; `cargo book check` may say more:\n{}",
            complaints.join("\n")
        );
    }
    Ok(built)
}

/// Has `build` build the book that lies in the folder it's given: `book/` itself, or, while an editor has a file of
/// its own beside the pages, or a link leads nowhere, a mirror of it without these. mdBook takes all that lies
/// there for a part of the book, and stops at a link that leads nowhere, such as Emacs' lock. Returns, with the
/// result, what mdBook complained of.
fn of_the_pages_alone<T>(
    repo: &Repo,
    build: impl Fn(&Path) -> Result<T>,
) -> (Result<T>, Vec<String>) {
    if !has_strangers(&repo.src()) {
        let built = listening(|| build(&repo.book()));
        // One may have come meanwhile.
        if built.0.is_ok() || !has_strangers(&repo.src()) {
            return built;
        }
    }
    let (folder, book) = match mirror(repo).context("the pages can't be copied") {
        Ok(mirror) => mirror,
        Err(error) => return (Err(error), Vec::new()),
    };
    let (built, complaints) = listening(|| build(&book));
    // The reader knows the pages by where they are.
    let (here, there) = (folder.path().display().to_string(), repo.root().display().to_string());
    let complaints = complaints.iter().map(|complaint| complaint.replace(&here, &there));
    let built = built.map_err(|error| anyhow!(format!("{error:#}").replace(&here, &there)));
    (built, complaints.collect())
}

/// Whether anything lies in `folder`, or below, that is no part of the book.
fn has_strangers(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .any(|path| is_a_stranger(&path) || path.is_dir() && has_strangers(&path))
}

/// Whether it's an editor's own file, or a link to nowhere.
fn is_a_stranger(path: &Path) -> bool {
    is_an_editors(path) || !path.exists()
}

/// Makes a folder that looks like the repository, and gives the path of its `book/` as well. All in it are links
/// to the repository's own, but for the pages, which are copied: paths that lead from one to the other are the same.
fn mirror(repo: &Repo) -> io::Result<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let book = folder.path().join("book");
    fs::create_dir(&book)?;
    link_all(repo.root(), folder.path(), &repo.book())?;
    link_all(&repo.book(), &book, &repo.src())?;
    copy_pages(&repo.src(), &book.join("src"))?;
    Ok((folder, book))
}

/// Makes a link in `to` to each that is in `from`, but for `left_out`.
fn link_all(from: &Path, to: &Path, left_out: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.path() != left_out {
            symlink(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn copy_pages(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if is_a_stranger(&path) {
            continue;
        }
        match path.is_dir() {
            true => copy_pages(&path, &copy)?,
            false => drop(fs::copy(&path, &copy)?),
        }
    }
    Ok(())
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
    of_the_pages_alone(repo, |book| {
        let config = config(repo, folder)?;
        let text = fs::read_to_string(repo.src().join("SUMMARY.md"))
            .context("book/src/SUMMARY.md can't be read")?;
        let mut summary = parse_summary(&text)?;
        leave_out_missing(&mut summary.prefix_chapters, &repo.src());
        leave_out_missing(&mut summary.numbered_chapters, &repo.src());
        leave_out_missing(&mut summary.suffix_chapters, &repo.src());

        MDBook::load_with_config_and_summary(book, config, summary)?.build()
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
