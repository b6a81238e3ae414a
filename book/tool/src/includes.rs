//! A page as mdBook sees it once its `{{#include …}}` lines have been replaced, and where each
//! of its lines came from.
//!
//! The rules are mdBook's own (`links.rs` of mdbook-driver 0.5), with one difference: what mdBook
//! lets pass in silence is a fault here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use crate::fault::Fault;
use crate::repo::{Repo, tidy};

/// How deep mdBook goes where an included file includes another.
const DEEPEST: usize = 10;

/// mdBook's own expression: an escaped directive, or a directive's name and what follows it.
static DIRECTIVE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\\\{\{#.*\}\}|\{\{\s*#([a-zA-Z0-9_]+)\s+([^}]+)\}\}")
        .expect("the expression for a directive is right")
});

static ANCHOR: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"ANCHOR(_END)?:\s*([\w_-]+)").expect("the expression for an anchor is right")
});

/// A page with everything included.
pub struct Page {
    /// The page's own path, as it is told to people.
    pub file: String,
    pub text: String,
    /// For each line of `text`, where it came from.
    origins: Vec<Origin>,
    /// The files that were included.
    pub included: BTreeSet<PathBuf>,
    /// The files that were to be included, those among them that aren't there.
    pub wanted: BTreeSet<PathBuf>,
    /// How many directives there were.
    pub includes: usize,
    /// The directives that are faults: mdBook complains of some of them as well.
    pub bad_directives: Vec<String>,
}

#[derive(Clone)]
struct Origin {
    /// The page's line: where the directive stands, if the line was included.
    line: usize,
    /// The included file, and the line there.
    within: Option<(String, usize)>,
}

impl Page {
    /// A fault at the byte `offset` of the page's text.
    pub fn fault(&self, offset: usize, message: &str) -> Fault {
        let index = crate::fault::line_at(&self.text, offset) - 1;
        let nowhere = Origin { line: 1, within: None };
        let origin = self.origins.get(index).unwrap_or(&nowhere);
        origin.fault(&self.file, message)
    }
}

impl Origin {
    fn fault(&self, page: &str, message: &str) -> Fault {
        match &self.within {
            None => Fault::new(page, self.line, message),
            Some((file, line)) => {
                Fault::new(page, self.line, format!("{message} (included: {file}:{line})"))
            }
        }
    }
}

/// Reads the page at `path` and replaces its directives.
///
/// # Errors
/// If the page can't be read.
pub fn read_page(repo: &Repo, path: &Path, faults: &mut Vec<Fault>) -> anyhow::Result<Page> {
    let text = std::fs::read_to_string(path)?;
    let mut reader = Reader {
        repo,
        faults,
        page: Page {
            file: repo.shown(path),
            text: String::new(),
            origins: Vec::new(),
            included: BTreeSet::new(),
            wanted: BTreeSet::new(),
            includes: 0,
            bad_directives: Vec::new(),
        },
    };
    let whole = Piece { numbers: (1..=text.lines().count()).collect(), text, from: None };
    reader.replace(&whole, path, 0);
    Ok(reader.page)
}

/// Some lines of a file.
struct Piece {
    text: String,
    /// The number of each line in its file.
    numbers: Vec<usize>,
    /// For what was included: the file, and the page's line with the directive.
    from: Option<(String, usize)>,
}

impl Piece {
    fn origin(&self, index: usize) -> Origin {
        let number = self.numbers.get(index).copied().unwrap_or(1);
        match &self.from {
            None => Origin { line: number, within: None },
            Some((file, line)) => Origin { line: *line, within: Some((file.clone(), number)) },
        }
    }

    fn origin_at(&self, offset: usize) -> Origin {
        self.origin(crate::fault::line_at(&self.text, offset) - 1)
    }
}

struct Reader<'r> {
    repo: &'r Repo,
    faults: &'r mut Vec<Fault>,
    page: Page,
}

impl Reader<'_> {
    /// Appends `piece`, of the file at `path`, with its directives replaced.
    fn replace(&mut self, piece: &Piece, path: &Path, depth: usize) {
        let mut done = 0;
        for directive in DIRECTIVE.captures_iter(&piece.text) {
            let whole = directive.get(0).expect("there is always a whole match");
            self.push(piece, done, whole.start());
            done = whole.end();

            let (Some(name), Some(rest)) = (directive.get(1), directive.get(2)) else {
                // Escaped: shown as it is, without the backslash.
                self.push(piece, whole.start() + 1, whole.end());
                continue;
            };
            let origin = piece.origin_at(whole.start());
            let target = rest.as_str().split_whitespace().next().unwrap_or("");
            let included = match name.as_str() {
                "title" => continue,
                "include" | "rustdoc_include" => self.select(target, path),
                "playground" => self.select(target, path).map(fenced),
                other => Err(format!(
                    "mdBook knows no directive `{other}`: write include, rustdoc_include, \
                     playground or title, or `\\{{{{#` to show it as it is"
                )),
            };
            match included {
                Err(message) => {
                    self.faults.push(origin.fault(&self.page.file, &message));
                    self.page.bad_directives.push(whole.as_str().to_string());
                }
                Ok((file, mut included)) => {
                    self.page.includes += 1;
                    included.from = Some((self.repo.shown(&file), origin.line));
                    if depth < DEEPEST {
                        self.replace(&included, &file, depth + 1);
                    } // else mdBook says so itself
                    self.page.included.insert(file);
                }
            }
        }
        self.push(piece, done, piece.text.len());
    }

    /// Appends the bytes from `start` to `end` of `piece`, in which there is no directive.
    fn push(&mut self, piece: &Piece, start: usize, end: usize) {
        let text = &piece.text[start..end];
        if let Some(at) = text.find("{{#") {
            let escaped = start > 0 && piece.text.as_bytes()[start - 1] == b'\\';
            if !escaped {
                let message = "a directive without an end or without a file stays in the page as \
                               it is: write {{#include FILE}}";
                let origin = piece.origin_at(start + at);
                self.faults.push(origin.fault(&self.page.file, message));
            }
        }
        let first = crate::fault::line_at(&piece.text, start) - 1;
        for (index, line) in text.split_inclusive('\n').enumerate() {
            if self.page.text.is_empty() || self.page.text.ends_with('\n') {
                self.page.origins.push(piece.origin(first + index));
            }
            self.page.text.push_str(line);
        }
    }

    /// The lines that `target` (`FILE`, `FILE:ANCHOR`, `FILE:FIRST:LAST`) names, in a directive of
    /// the file at `path`.
    fn select(&mut self, target: &str, path: &Path) -> Result<(PathBuf, Piece), String> {
        let (name, which) = target.split_once(':').unwrap_or((target, ""));
        let folder = path.parent().unwrap_or(Path::new("."));
        let file = tidy(&folder.join(name));
        self.page.wanted.insert(file.clone());
        if !file.is_file() {
            return Err(format!(
                "the included file `{name}` doesn't exist: correct the path, which starts at this file's folder"
            ));
        }
        let text = std::fs::read_to_string(&file)
            .map_err(|error| format!("the included file `{name}` can't be read: {error}"))?;
        let shown = self.repo.shown(&file);
        let numbers = if which.is_empty() {
            (1..=text.lines().count()).collect()
        } else if let Some(range) = lines_asked_for(which) {
            let (first, last) = range?;
            within(&text, first, last, &shown)?
        } else {
            anchored(&text, which.split(':').next().unwrap_or(which), &shown)?
        };
        let all: Vec<&str> = text.lines().collect();
        let lines: Vec<&str> = numbers.iter().map(|number| all[number - 1]).collect();
        let text = lines.join("\n");
        let from = None;
        Ok((file, Piece { text, numbers, from }))
    }
}

/// A playground's file, as mdBook puts it into the page.
fn fenced((file, mut piece): (PathBuf, Piece)) -> (PathBuf, Piece) {
    piece.text = format!("```rust\n{}\n```\n", piece.text);
    piece.numbers.insert(0, 1);
    (file, piece)
}

/// The first and last line in `FIRST`, `FIRST:`, `FIRST:LAST` or `:LAST`; `None` if it's an anchor.
/// No last line means the file's.
fn lines_asked_for(which: &str) -> Option<Result<(usize, Option<usize>), String>> {
    let mut parts = which.splitn(3, ':');
    let first = match parts.next().unwrap_or("") {
        "" => 1,
        number => number.parse().ok()?,
    };
    Some(match parts.next() {
        None => Ok((first, Some(first))),
        Some("") => Ok((first, None)),
        // mdBook takes anything that isn't a number for "to the end".
        Some(number) => number.parse().map(|last| (first, Some(last))).map_err(|_| {
            format!("`{number}` is no line's number: write FILE:FIRST:LAST, or better an anchor")
        }),
    })
}

fn within(
    text: &str,
    first: usize,
    last: Option<usize>,
    shown: &str,
) -> Result<Vec<usize>, String> {
    let count = text.lines().count();
    let last = last.unwrap_or(count);
    if first == 0 || first > last || last > count {
        return Err(format!(
            "lines {first} to {last} aren't in {shown}, which has {count}: correct them, or better use an anchor"
        ));
    }
    Ok((first..=last).collect())
}

/// The numbers of the lines between the anchor's two comments, without other anchors' comments.
fn anchored(text: &str, anchor: &str, shown: &str) -> Result<Vec<usize>, String> {
    let mut numbers = Vec::new();
    let mut others = BTreeSet::new();
    let mut inside = false;
    let mut ended = false;
    let mut found = false;
    for (index, line) in text.lines().enumerate() {
        let Some(comment) = ANCHOR.captures(line) else {
            if inside {
                numbers.push(index + 1);
            }
            continue;
        };
        let ends = comment.get(1).is_some();
        if &comment[2] != anchor {
            others.insert(comment[2].to_string());
        } else if ends && inside {
            inside = false;
            ended = true;
        } else if !ends && !found {
            found = true;
            inside = true;
        }
    }

    if !found {
        let others: Vec<String> = others.into_iter().collect();
        let others = match others.as_slice() {
            [] => "it has none".to_string(),
            some => format!("it has {}", some.join(", ")),
        };
        return Err(format!(
            "no anchor `{anchor}` in {shown} ({others}): write `// ANCHOR: {anchor}` and \
             `// ANCHOR_END: {anchor}` around the lines"
        ));
    }
    if !ended {
        return Err(format!(
            "the anchor `{anchor}` in {shown} has no end: write `// ANCHOR_END: {anchor}` after its last line"
        ));
    }
    if numbers.is_empty() {
        return Err(format!(
            "there is nothing between the comments of the anchor `{anchor}` in {shown}: put them around some lines"
        ));
    }
    Ok(numbers)
}
