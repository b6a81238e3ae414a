//! The strict check: everything that a reader would stumble over, in one run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context, Result};
use mdbook_driver::config::Config;
use regex::Regex;

use crate::fault::Fault;
use crate::includes::Page;
use crate::links::Site;
use crate::markdown::{Markdown, Options};
use crate::pictures::Ids;
use crate::repo::Repo;
use crate::transcripts::scripts;
use crate::{build, includes, links, markdown, pictures, places, summary};

static PAGE_NAME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[\w./-]+\.md\b").expect("the expression for a page is right"));

static LINE_NUMBER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"line (\d+)").expect("the expression for a line is right"));

/// What the check looked at, and what it found.
pub struct Report {
    /// In order of files and lines.
    pub faults: Vec<Fault>,
    pages: usize,
    includes: usize,
    links: usize,
    places: usize,
}

impl Report {
    /// The last line of `cargo book check`.
    pub fn summary(&self) -> String {
        let looked_at = format!(
            "{} pages, {} includes, {} links, {} places that checks and hints name",
            self.pages, self.includes, self.links, self.places
        );
        match self.faults.len() {
            0 => format!("the book is well: {looked_at}"),
            1 => format!("1 fault in {looked_at}"),
            count => format!("{count} faults in {looked_at}"),
        }
    }
}

/// Checks the whole book. It is built into a folder of its own, so that the reader's pages stay.
///
/// # Errors
/// If there is nothing to check: no SUMMARY.md, or a page that can't be read.
pub fn check(repo: &Repo) -> Result<Report> {
    let mut faults = Vec::new();
    let names = summary::pages(repo, &mut faults)?;
    let pages = read_pages(repo, &names, &mut faults)?;
    let included: BTreeSet<PathBuf> =
        pages.iter().flat_map(|page| page.included.iter().cloned()).collect();
    faults.extend(scripts::faults(repo, &included));

    let options = markdown_options(repo)?;
    let markdowns: Vec<Markdown> =
        pages.iter().map(|page| markdown::read(&page.text, &options)).collect();
    let mut ids = Ids::new();
    for (page, markdown) in pages.iter().zip(&markdowns) {
        pictures::check(page, markdown, &mut ids, &mut faults);
    }

    let folder = tempfile::tempdir().context("there is no room for a copy of the book")?;
    let (built, complaints) = build::build_what_there_is(repo, folder.path());
    faults.extend(from_mdbook(repo, &pages, &complaints));

    let mut links_seen = 0;
    let mut places_seen = 0;
    match built {
        Err(error) => faults.push(from_failure(&format!("{error:#}"))),
        Ok(()) => {
            let site = Site::at(folder.path());
            places_seen = places::check(repo, &site, &mut faults);
            for ((name, page), markdown) in names.iter().zip(&pages).zip(&markdowns) {
                let rendered = rendered_name(name);
                links_seen += links::check(&site, page, markdown, &rendered, &mut faults);
            }
        }
    }

    faults.sort();
    faults.dedup();
    Ok(Report {
        faults,
        pages: pages.len(),
        includes: pages.iter().map(|page| page.includes).sum(),
        links: links_seen,
        places: places_seen,
    })
}

fn read_pages(repo: &Repo, names: &[PathBuf], faults: &mut Vec<Fault>) -> Result<Vec<Page>> {
    names
        .iter()
        .map(|name| {
            let path = repo.src().join(name);
            includes::read_page(repo, &path, faults)
                .with_context(|| format!("{} can't be read", repo.shown(&path)))
        })
        .collect()
}

/// As `book.toml` has them, so that our parser sees what mdBook's sees.
fn markdown_options(repo: &Repo) -> Result<Options> {
    let html = Config::from_disk(repo.book().join("book.toml"))?.html_config().unwrap_or_default();
    let mut options = Options::default();
    options.smart_punctuation = html.smart_punctuation;
    options.definition_lists = html.definition_lists;
    options.admonitions = html.admonitions;
    Ok(options)
}

/// mdBook makes `index.html` of a README.
fn rendered_name(page: &Path) -> PathBuf {
    let is_readme = page.file_stem().is_some_and(|stem| stem.eq_ignore_ascii_case("readme"));
    if is_readme { page.with_file_name("index.html") } else { page.with_extension("html") }
}

/// mdBook's own complaints, without those about a directive that we tell of with its line.
fn from_mdbook(repo: &Repo, pages: &[Page], complaints: &[String]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut is_told = false;
    for complaint in complaints {
        // "Caused By" goes on with what the complaint before it was about.
        if !complaint.starts_with("Caused By") {
            is_told = pages
                .iter()
                .flat_map(|page| &page.bad_directives)
                .any(|directive| complaint.contains(directive.as_str()));
        }
        if is_told {
            continue;
        }
        let page = PAGE_NAME
            .find_iter(complaint)
            .map(|name| repo.src().join(name.as_str()))
            .find(|path| path.is_file());
        let complaint = complaint.split_whitespace().collect::<Vec<_>>().join(" ");
        let file = page.map_or("book/book.toml".to_string(), |path| repo.shown(&path));
        faults.push(Fault::new(file, 1, format!("mdBook says: {complaint}")));
    }
    faults
}

/// What stopped mdBook: most often it can't understand SUMMARY.md, and says in which line.
fn from_failure(message: &str) -> Fault {
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = LINE_NUMBER.captures(&message).and_then(|found| found[1].parse().ok());
    let file =
        if message.contains("SUMMARY.md") { "book/src/SUMMARY.md" } else { "book/book.toml" };
    let message = format!("mdBook can't build the book: {message}");
    Fault::new(file, line.unwrap_or(1), message)
}
