//! Does each link of the rendered pages lead somewhere?
//!
//! The rendered pages are the truth: an id that mdBook made up, of a heading, a footnote or a
//! glossary term, is there with its suffix and all. The Markdown tells the line to report.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::fault::Fault;
use crate::html;
use crate::includes::Page;
use crate::markdown::Markdown;
use crate::repo::tidy;

/// The rendered book.
pub struct Site {
    folder: PathBuf,
    /// The ids of each page that was asked for.
    ids: RefCell<HashMap<PathBuf, Rc<HashSet<String>>>>,
}

impl Site {
    pub fn at(folder: &Path) -> Site {
        Site { folder: folder.to_path_buf(), ids: RefCell::default() }
    }

    /// Why `page.html` or `page.html#id`, seen from the folder `from`, leads nowhere.
    pub fn missing(&self, target: &str, from: &Path) -> Option<String> {
        let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
        let path = path.split('?').next().unwrap_or(path);
        let path = tidy(&from.join(path));
        if path.starts_with("..") {
            return Some(
                "it leads out of the book, and who has only the pages can't follow: link to the \
                 repository's web page"
                    .to_string(),
            );
        }
        let mut file = self.folder.join(&path);
        if file.is_dir() {
            file.push("index.html");
        }
        if !file.is_file() {
            return Some("there is no such page or file in the book: correct the link".to_string());
        }
        if fragment.is_empty() || self.ids(&file).contains(fragment) {
            return None;
        }
        Some(format!(
            "`{}` has no id `{fragment}`: correct the fragment, or give the heading `{{#{fragment}}}`",
            path.display()
        ))
    }

    fn ids(&self, file: &Path) -> Rc<HashSet<String>> {
        let mut known = self.ids.borrow_mut();
        let ids = known.entry(file.to_path_buf()).or_insert_with(|| {
            // Not a text: then nothing in it has an id.
            let page = std::fs::read_to_string(file).unwrap_or_default();
            Rc::new(html::tags(&page).filter_map(|tag| tag.attribute("id")).collect())
        });
        Rc::clone(ids)
    }

    /// The links in the text of a rendered page, without those that mdBook puts around headings.
    fn links(&self, page: &Path) -> BTreeSet<Target> {
        let html = std::fs::read_to_string(self.folder.join(page)).unwrap_or_default();
        let start = html.find("<main>").unwrap_or(0);
        let end = html.rfind("</main>").unwrap_or(html.len());
        html::tags(&html[start..end])
            .filter(|tag| tag.attribute("class").as_deref() != Some("header"))
            .filter_map(|tag| {
                Some(Target { to: tag.target()?, is_part_of_the_page: tag.name != "a" })
            })
            .collect()
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Target {
    to: String,
    /// An image, which is loaded with the page, and not only when someone clicks.
    is_part_of_the_page: bool,
}

/// Checks all links of the page that was rendered to `rendered`; returns how many there are.
pub fn check(
    site: &Site,
    page: &Page,
    markdown: &Markdown,
    rendered: &Path,
    faults: &mut Vec<Fault>,
) -> usize {
    for (offset, link) in &markdown.undefined {
        let message = format!("`{link}`: no line says where it leads: add `[NAME]: page.md`");
        faults.push(page.fault(*offset, &message));
    }

    let links = site.links(rendered);
    for target in &links {
        let Some(why) = what_is_wrong(site, target, rendered) else {
            continue;
        };
        let mut written =
            markdown.links.iter().filter(|link| link.rendered == target.to).peekable();
        if written.peek().is_none() {
            faults.push(page.fault(0, &format!("`{}`: {why}", target.to)));
        }
        for link in written {
            faults.push(page.fault(link.offset, &format!("`{}`: {why}", link.written)));
        }
    }
    links.len()
}

fn what_is_wrong(site: &Site, target: &Target, page: &Path) -> Option<String> {
    let to = target.to.as_str();
    if to.is_empty() {
        return Some("a link to nothing: say where it leads".to_string());
    }
    if to.starts_with('/') {
        let why = "it starts at the top of the web server, which needn't be the book's: write it \
                   from this page's folder";
        return Some(why.to_string());
    }
    if let Some(scheme) = scheme(to) {
        return what_is_wrong_outside(scheme, to, target.is_part_of_the_page);
    }
    if let Some(fragment) = to.strip_prefix('#') {
        let name = page.file_name().unwrap_or_default().to_string_lossy();
        return site.missing(&format!("{name}#{fragment}"), page.parent()?);
    }
    site.missing(to, page.parent()?)
}

fn what_is_wrong_outside(scheme: &str, to: &str, is_part_of_the_page: bool) -> Option<String> {
    // The reader's own programs, which speak plain HTTP.
    let is_this_machine = ["127.0.0.1", "localhost", "[::1]"].iter().any(|host| {
        to.strip_prefix("http://")
            .and_then(|rest| rest.strip_prefix(host))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    });
    match scheme {
        "data" if is_part_of_the_page => None,
        _ if is_part_of_the_page => {
            Some("the page would need a network: put the file into book/src".to_string())
        }
        "https" | "mailto" => None,
        "http" if is_this_machine => None,
        "http" => Some("an external link that isn't https: write https://".to_string()),
        other => Some(format!("`{other}:` is no link for a book: write https://")),
    }
}

/// The scheme that `to` starts with, if any.
fn scheme(to: &str) -> Option<&str> {
    let (scheme, _) = to.split_once(':')?;
    let right = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c));
    right.then_some(scheme)
}
