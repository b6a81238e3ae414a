//! The files of a crate stand on floors: each uses only what is below it. So they can be read from the top to the bottom,
//! and one can be changed without a look at those below it.
//!
//! This reads what the files of each chapter and of each tool name with `use crate::…`, with other paths that begin so,
//! with `super::…`, and by their own modules' names; in code for tests as well. Where they go round in a circle, it says
//! so. What two files share belongs in a third one, below both.
//!
//! A crate's root, `lib.rs` or `main.rs`, is on no floor: it names all the others. A name that it passes on with
//! `pub use` counts as what it stands for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::fs;
use std::path::Path;

use visitors::chapters;

/// A circle that may be: these files of this folder, no more and no fewer, and the reason.
struct Exception {
    folder: &'static str,
    files: &'static [&'static str],
    why: &'static str,
}

const EXCEPTIONS: &[Exception] = &[Exception {
    folder: "chapters/07-callbacks/src",
    files: &["event_loop.rs", "source.rs"],
    why: "the loop calls its sources, and what they are called with is the loop: that's what callbacks are",
}];

#[test]
fn files_use_each_other_downwards_only() {
    let root = chapters::root();
    let mut folders = vec!["book/tool/src".to_owned()];
    for parent in ["chapters", "tests"] {
        for entry in fs::read_dir(root.join(parent)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            folders.push(format!("{parent}/{name}/src"));
        }
    }
    folders.retain(|folder| root.join(folder).is_dir());
    folders.sort();

    let mut faults = Vec::new();
    let mut edges = 0;
    for folder in &folders {
        let mut files = Vec::new();
        read(&root.join(folder), "", &mut files);
        let graph = Graph::of(&files);
        edges += graph.uses.values().map(BTreeMap::len).sum::<usize>();
        let exceptions: Vec<_> = EXCEPTIONS.iter().filter(|it| it.folder == folder).collect();
        faults.extend(judge(folder, &graph.circles(), &exceptions));
    }
    for exception in EXCEPTIONS.iter().filter(|it| !folders.iter().any(|f| f == it.folder)) {
        faults.push(format!("{}: isn't there, but is an exception\n", exception.folder));
    }
    assert!(faults.is_empty(), "\n\n{}", faults.join("\n"));
    assert!(edges > 100, "there is more to see than {edges} files that use another one");
}

/// All sources in a folder and those below it, by their names from there.
fn read(folder: &Path, prefix: &str, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
        if entry.path().is_dir() {
            read(&entry.path(), &format!("{name}/"), files);
        } else if name.ends_with(".rs") {
            files.push((name, fs::read_to_string(entry.path()).unwrap()));
        }
    }
}

/// What is wrong with the circles that there are in a folder.
fn judge(folder: &str, circles: &[Circle], exceptions: &[&Exception]) -> Vec<String> {
    let is = |circle: &Circle, exception: &Exception| {
        circle.files.iter().map(String::as_str).eq(exception.files.iter().copied())
    };
    let new = circles.iter().filter(|circle| !exceptions.iter().any(|it| is(circle, it)));
    let stale = exceptions.iter().filter(|it| !circles.iter().any(|circle| is(circle, it)));
    let new = new.map(|circle| format!("{folder}: files use each other in a circle\n{circle}"));
    let stale = stale.map(|Exception { files, why, .. }| {
        let files = files.join(", ");
        format!("{folder}: an exception is no circle any more, or another one: {files} ({why})\n")
    });
    new.chain(stale).collect()
}

/// Files that all use each other, at some distance.
struct Circle {
    files: BTreeSet<String>,
    /// The shortest way round, from each file to the next one, and from the last to the first.
    ring: Vec<(String, Use)>,
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (file, Use { line, text })) in self.ring.iter().enumerate() {
            let (next, _) = &self.ring[(number + 1) % self.ring.len()];
            writeln!(f, "    {file} uses {next}, line {line}: {text}")?;
        }
        Ok(())
    }
}

/// Where a file uses another one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Use {
    line: usize,
    text: String,
}

/// Which files of a crate use which, and where they do it first.
struct Graph {
    uses: BTreeMap<String, BTreeMap<String, Use>>,
}

impl Graph {
    /// From the names and the texts of all files of a crate. (Where there is a library and a program in one folder, the
    /// two are taken for one.)
    fn of(files: &[(String, String)]) -> Self {
        let is_root = |name: &str| matches!(name, "lib.rs" | "main.rs");
        let (roots, files): (Vec<_>, Vec<_>) = files.iter().partition(|(name, _)| is_root(name));
        let modules: BTreeMap<String, &str> =
            files.iter().map(|(name, _)| (module(name), name.as_str())).collect();

        let mut passed_on = BTreeMap::new();
        for (_, text) in roots {
            for named in names(text, "", &modules).into_iter().filter(|named| named.is_use) {
                if let Some(file) = find(&named.path, &modules) {
                    passed_on.insert(named.name, file);
                }
            }
        }
        let mut uses = BTreeMap::new();
        for (name, text) in files {
            let used: &mut BTreeMap<String, Use> = uses.entry(name.clone()).or_default();
            for Named { path, at, .. } in names(text, &module(name), &modules) {
                let passed_on = || passed_on.get(path.first()?).copied();
                match find(&path, &modules).or_else(passed_on) {
                    Some(other) if other != name => {
                        used.entry(other.to_owned()).or_insert_with(|| line(text, at));
                    }
                    _ => {}
                }
            }
        }
        Self { uses }
    }

    fn circles(&self) -> Vec<Circle> {
        let mut circles: Vec<Circle> = Vec::new();
        for file in self.uses.keys() {
            if circles.iter().any(|circle| circle.files.contains(file)) {
                continue;
            }
            let comes_back = |other: &&String| self.reaches(other, file);
            let files: BTreeSet<String> =
                self.reached(file).keys().filter(comes_back).cloned().collect();
            let rings = files.iter().filter_map(|file| self.ring(file));
            if let Some(ring) = rings.min_by_key(Vec::len) {
                circles.push(Circle { files, ring });
            }
        }
        circles
    }

    /// The files that `from` uses, at any distance, each with the one before it on the shortest way.
    fn reached(&self, from: &str) -> BTreeMap<String, String> {
        let mut before = BTreeMap::new();
        let mut next = VecDeque::from([from.to_owned()]);
        while let Some(file) = next.pop_front() {
            for other in self.uses[&file].keys() {
                if !before.contains_key(other) {
                    before.insert(other.clone(), file.clone());
                    next.push_back(other.clone());
                }
            }
        }
        before
    }

    fn reaches(&self, from: &str, to: &str) -> bool {
        self.reached(from).contains_key(to)
    }

    /// The shortest way from a file to itself.
    fn ring(&self, file: &str) -> Option<Vec<(String, Use)>> {
        let before = self.reached(file);
        let mut ring = Vec::new();
        let mut to = file;
        loop {
            let from = before.get(to)?;
            ring.push((from.clone(), self.uses[from][to].clone()));
            to = from;
            if to == file {
                break;
            }
        }
        ring.reverse();
        Some(ring)
    }
}

/// `serve/pages.rs` is `serve::pages`.
fn module(file: &str) -> String {
    let path = file.strip_suffix(".rs").unwrap_or(file);
    path.strip_suffix("/mod").unwrap_or(path).replace('/', "::")
}

/// The file in which a path ends: that of the longest part of it that is a module.
fn find<'f>(path: &[String], modules: &BTreeMap<String, &'f str>) -> Option<&'f str> {
    (1..=path.len()).rev().find_map(|length| modules.get(&path[..length].join("::")).copied())
}

fn line(text: &str, at: usize) -> Use {
    let begin = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let whole = text[begin..].lines().next().unwrap_or_default();
    Use { line: text[..at].matches('\n').count() + 1, text: whole.trim().to_owned() }
}

/// A path in a file, from the crate's root on.
struct Named {
    path: Vec<String>,
    /// What it's called in that file.
    name: String,
    is_use: bool,
    /// Where it ends, in bytes.
    at: usize,
}

/// All paths in a text that lead into this crate.
fn names(text: &str, module: &str, modules: &BTreeMap<String, &str>) -> Vec<Named> {
    let tokens = tokens(text);
    let token = |index: usize| tokens.get(index).map_or("", |(_, token)| *token);
    let mut here: Vec<String> = module.split("::").map(str::to_owned).collect();
    here.retain(|name| !name.is_empty());
    // The modules that begin and end in this text, and how deep in braces each of them stands.
    let mut inner = Vec::new();
    let mut depth = 0_usize;
    let mut is_use = false;
    let mut found = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let begins = token(index + 1) == "::" && (index == 0 || token(index - 1) != "::");
        let leads_here = |name: &str| {
            let child = here.iter().map(String::as_str).chain([name]).collect::<Vec<_>>();
            matches!(name, "crate" | "self" | "super") || modules.contains_key(&child.join("::"))
        };
        match token(index) {
            "mod" if token(index + 2) == "{" => {
                here.push(token(index + 1).to_owned());
                inner.push(depth);
                index += 1;
            }
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if inner.last() == Some(&depth) {
                    inner.pop();
                    here.pop();
                }
            }
            "use" => is_use = true,
            ";" => is_use = false,
            name if begins && leads_here(name) => {
                let first = found.len();
                index = branch(&tokens, index, here.clone(), &mut found);
                found[first..].iter_mut().for_each(|named| named.is_use = is_use);
                continue;
            }
            _ => {}
        }
        index += 1;
    }
    found
}

/// The paths that begin at a token: several if there are braces. Gives the token behind them.
fn branch(
    tokens: &[(usize, &str)],
    index: usize,
    mut path: Vec<String>,
    found: &mut Vec<Named>,
) -> usize {
    let token = |index: usize| tokens.get(index).map_or("", |(_, token)| *token);
    match token(index) {
        "{" => {
            let mut next = index + 1;
            while !matches!(token(next), "}" | "") {
                next = match token(next) {
                    "," => next + 1,
                    _ => branch(tokens, next, path.clone(), found),
                };
            }
            return next + 1;
        }
        "crate" => path.clear(),
        "super" => drop(path.pop()),
        "self" => {}
        name => path.push(name.to_owned()),
    }
    let goes_on = token(index + 1) == "::" && !matches!(token(index + 2), "<" | "");
    if goes_on {
        return branch(tokens, index + 2, path, found);
    }
    let is_renamed = token(index + 1) == "as";
    let last = if is_renamed { index + 2 } else { index };
    let name =
        if is_renamed { token(last).to_owned() } else { path.last().cloned().unwrap_or_default() };
    found.push(Named { path, name, is_use: false, at: tokens[index].0 });
    last + 1
}

/// Rust's tokens, as far as it matters here, and where each begins: names, `::`, and single characters. No comments,
/// no text in quotes.
fn tokens(text: &str) -> Vec<(usize, &str)> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_of_name = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => comment(rest),
            '"' => quoted(rest, '"'),
            '\'' if is_character(rest) => quoted(rest, '\''),
            // A lifetime or a label; its name is none that is looked for.
            '\'' => 1,
            _ if first.is_whitespace() => first.len_utf8(),
            _ => {
                let name = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
                let raw = if matches!(&rest[..name], "r" | "br" | "cr") {
                    raw(&rest[name..])
                } else {
                    None
                };
                let length = match name {
                    0 if rest.starts_with("::") => 2,
                    0 => first.len_utf8(),
                    _ => name,
                };
                if raw.is_none() {
                    tokens.push((text.len() - rest.len(), &rest[..length]));
                }
                length + raw.unwrap_or(0)
            }
        };
        rest = &rest[length..];
    }
    tokens
}

/// How long a comment is that may have others in it.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// How long a text in quotes is.
fn quoted(text: &str, quote: char) -> usize {
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        if character == '\\' {
            characters.next();
        } else if character == quote {
            return at + 1;
        }
    }
    text.len()
}

/// How long a raw text is, without the `r` before it. None: it's none.
fn raw(text: &str) -> Option<usize> {
    let marks = text.len() - text.trim_start_matches('#').len();
    let inside = text[marks..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(marks));
    let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    Some(marks + 1 + length)
}

/// Whether a character stands in these quotes. Otherwise it's a lifetime.
fn is_character(text: &str) -> bool {
    text[1..].starts_with('\\') || text.chars().nth(2) == Some('\'')
}

mod tests {
    use super::*;

    fn graph(files: &[(&str, &str)]) -> Graph {
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        Graph::of(&files.iter().map(owned).collect::<Vec<_>>())
    }

    /// What is said of the only circle.
    fn circle(files: &[(&str, &str)]) -> String {
        let circles = graph(files).circles();
        assert_eq!(circles.len(), 1);
        circles[0].to_string()
    }

    fn no_circle(files: &[(&str, &str)]) {
        let circles = graph(files).circles();
        assert!(circles.is_empty(), "{}", circles[0]);
    }

    #[test]
    fn two_files() {
        let a = "//! A.\n\nuse crate::b::B;\n";
        let b = "use std::fs;\nuse crate::a;\nuse crate::c::C;\n";
        let said =
            circle(&[("lib.rs", "mod a; mod b; mod c;"), ("a.rs", a), ("b.rs", b), ("c.rs", "")]);
        assert_eq!(
            said,
            "    a.rs uses b.rs, line 3: use crate::b::B;\n    b.rs uses a.rs, line 2: use crate::a;\n"
        );
    }

    #[test]
    fn three_files_over_a_name_that_one_passes_on() {
        let a = "use crate::b::C;\n";
        let b = "pub(crate) use crate::c::C;\n";
        let c = "pub struct C(crate::a::A);\n";
        let said = circle(&[("a.rs", a), ("b.rs", b), ("c.rs", c), ("d.rs", a)]);
        assert_eq!(
            said,
            "    a.rs uses b.rs, line 1: use crate::b::C;\n    \
             b.rs uses c.rs, line 1: pub(crate) use crate::c::C;\n    \
             c.rs uses a.rs, line 1: pub struct C(crate::a::A);\n"
        );
    }

    #[test]
    fn several_names_in_braces() {
        let a = "use crate::{\n    b::{self, B as Other},\n    c::d::{D, E},\n};\n";
        let graph =
            graph(&[("a.rs", a), ("b.rs", ""), ("c.rs", ""), ("c/d.rs", "use crate::a::A;")]);
        let used: Vec<_> =
            graph.uses["a.rs"].iter().map(|(file, it)| (file.as_str(), it.line)).collect();
        assert_eq!(used, [("b.rs", 2), ("c/d.rs", 3)]);
        assert_eq!(graph.circles()[0].files, ["a.rs".to_owned(), "c/d.rs".to_owned()].into());
    }

    #[test]
    fn neighbors_parents_and_children() {
        circle(&[("a/b.rs", "use super::c::C;"), ("a/c.rs", "fn c() { super::b::b() }")]);
        circle(&[("a.rs", "mod b; use b::B;"), ("a/b.rs", "use super::A;")]);
        circle(&[("a.rs", "mod b; pub use self::b::B;"), ("a/b.rs", "use crate::a::A;")]);
        circle(&[("a/mod.rs", "mod b; fn a() { b::b() }"), ("a/b.rs", "use super::*;")]);
        no_circle(&[("a.rs", "mod b; use b::B;"), ("a/b.rs", "mod tests { use super::*; }")]);
    }

    #[test]
    fn code_for_tests() {
        let a =
            "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n    use crate::b::B;\n}\n";
        circle(&[("a.rs", a), ("b.rs", "use crate::a::a;")]);
        let after = format!("{a}use super::c::C;");
        circle(&[("d/a.rs", &after), ("d/c.rs", "use super::a;"), ("b.rs", "")]);
    }

    #[test]
    fn names_that_the_root_passes_on() {
        let root = "mod a; mod b;\npub use b::{B, C as D};\nfn root() { a::run() }\n";
        circle(&[("lib.rs", root), ("a.rs", "use crate::D;"), ("b.rs", "use crate::a::A;")]);
        let a = "use crate::{C, E, run};";
        no_circle(&[("main.rs", root), ("a.rs", a), ("b.rs", "use crate::a::A;")]);
    }

    #[test]
    fn no_circle_in_comments_and_quotes_and_other_crates() {
        let a = "use crate::b;\nuse crate::c;";
        let b = "use crate::c;";
        let c = r####"
            //! [`a`](crate::a)
            /* crate::a /* crate::a */ crate::a */
            use other::a::A;
            pub(crate) fn c<'a>(text: &'a str) -> char {
                let texts = ["crate::a", "\"crate::a", r#""crate::a"#, r"crate::a\"];
                self.crate_a::<'a>('"', '\'', b'"', other::crate_a::A)
            }
            // crate::a
        "####;
        no_circle(&[("a.rs", a), ("b.rs", b), ("c.rs", c)]);
    }

    #[test]
    fn of_several_ways_round_the_shortest_is_told() {
        let files = [
            ("a.rs", "use crate::b;"),
            ("b.rs", "use crate::c;"),
            ("c.rs", "use crate::{a, d};"),
            ("d.rs", "use crate::c;"),
            ("e.rs", "use crate::f;"),
            ("f.rs", "use crate::e;"),
        ];
        let circles = graph(&files).circles();
        let files: Vec<Vec<_>> = circles
            .iter()
            .map(|circle| circle.files.iter().map(String::as_str).collect())
            .collect();
        assert_eq!(files, [vec!["a.rs", "b.rs", "c.rs", "d.rs"], vec!["e.rs", "f.rs"]]);
        assert_eq!(
            circles[0].to_string(),
            "    c.rs uses d.rs, line 1: use crate::{a, d};\n    d.rs uses c.rs, line 1: use crate::c;\n"
        );
    }

    #[test]
    fn an_exception_is_that_circle_and_no_other() {
        let exception = Exception { folder: "x/src", files: &["a.rs", "b.rs"], why: "so it is" };
        let said = |files: &[(&str, &str)]| judge("x/src", &graph(files).circles(), &[&exception]);
        let (a, b) = (("a.rs", "use crate::b;"), ("b.rs", "use crate::a;"));
        assert_eq!(said(&[a, b]), [""; 0]);

        let gone = said(&[a, ("b.rs", "")]);
        assert_eq!(gone.len(), 1);
        assert!(
            gone[0].contains("no circle any more") && gone[0].contains("so it is"),
            "{}",
            gone[0]
        );

        let other = said(&[a, ("b.rs", "use crate::c;"), ("c.rs", "use crate::a;")]);
        assert_eq!(other.len(), 2, "the circle, and the exception");

        let more = said(&[a, b, ("c.rs", "use crate::d;"), ("d.rs", "use crate::c;")]);
        assert_eq!(more.len(), 1);
        assert!(more[0].contains("c.rs uses d.rs"), "{}", more[0]);
    }
}
