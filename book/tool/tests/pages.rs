//! `cargo book build` and `check`: they build the pages that stock mdBook builds, say where, and say
//! what went wrong.

mod small_book;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use book::repo::Repo;
use regex::Regex;
use rstest::rstest;
use small_book::SmallBook;

fn cargo_book(book: &SmallBook, arguments: &[&str]) -> Assert {
    Command::new(env!("CARGO_BIN_EXE_book")).args(arguments).arg("--root").arg(book.root()).assert()
}

fn said(assert: &Assert) -> (String, String) {
    let output = assert.get_output();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn says_in_one_line_where_the_book_lies() {
    let book = SmallBook::new();
    let (stdout, stderr) = said(&cargo_book(&book, &["build"]).success());
    let index = fs::canonicalize(book.root()).expect("it is there").join("book/book/index.html");
    assert_eq!(stdout, format!("the book lies at {}\n", index.display()));
    assert_eq!(stderr, "");
    assert!(index.is_file());
}

#[test]
fn search_is_on() {
    let book = SmallBook::new();
    cargo_book(&book, &["build"]).success();
    let page = book.read("book/book/index.html");
    assert!(page.contains("id=\"mdbook-searchbar\""), "there is no search bar");
}

#[rstest]
#[case::a_warning("\n<div>\n", "unclosed HTML tag `<div>`")]
#[case::an_error("\n{{#include nowhere.rs}}\n", "nowhere.rs")]
fn a_build_that_mdbook_complains_of_fails(#[case] addition: &str, #[case] message: &str) {
    let book = SmallBook::new();
    book.add("book/src/one.md", addition);
    let (stdout, stderr) = said(&cargo_book(&book, &["build"]).code(1));
    assert_eq!(stdout, "");
    assert!(stderr.contains("mdBook complains of the book"), "{stderr}");
    assert!(stderr.contains(message), "{stderr}");
}

#[test]
fn a_book_that_is_not_there() {
    let book = SmallBook::new();
    book.remove("book/src/SUMMARY.md");
    let (_, stderr) = said(&cargo_book(&book, &["build"]).code(1));
    assert!(stderr.contains("SUMMARY.md"), "{stderr}");
    let (_, stderr) = said(&cargo_book(&book, &["check"]).code(1));
    assert!(stderr.contains("book/src/SUMMARY.md can't be read"), "{stderr}");
}

#[test]
fn check_prints_a_line_for_each_fault_and_fails() {
    let book = SmallBook::new();
    let line = book.add("book/src/one.md", "\n[a](#no)\n") + 1;
    let (stdout, _) = said(&cargo_book(&book, &["check"]).code(1));
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{stdout}");
    assert!(lines[0].starts_with(&format!("book/src/one.md:{line}: ")), "{stdout}");
    assert!(lines[1].starts_with("1 fault in 3 pages"), "{stdout}");
}

#[test]
fn check_counts_what_it_looked_at_and_leaves_the_built_book_alone() {
    let book = SmallBook::new();
    book.write("book/book/index.html", "mine");
    let (stdout, _) = said(&cargo_book(&book, &["check"]).success());
    // Six includes; in README.md one link, in two.md two, in one.md twelve different ones.
    let counted =
        "the book is well: 3 pages, 6 includes, 15 links, 4 places that checks and hints name\n";
    assert_eq!(stdout, counted);
    assert_eq!(book.read("book/book/index.html"), "mine");
}

#[rstest]
#[case(&["chek"])]
#[case(&["check", "--all"])]
#[case(&["--open", "check"])]
#[case(&["--open", "build"])]
#[case(&["build", "--port", "7300"])]
#[case(&["--port", "70000"])]
#[case(&["--address", "here"])]
#[case(&["--address", "127.0.0.1:0", "--port", "0"])]
#[case(&["7300"])]
fn bad_usage(#[case] arguments: &[&str]) {
    Command::new(env!("CARGO_BIN_EXE_book")).args(arguments).assert().code(2);
}

/// Both books as stock mdBook makes them and as we do, file by file.
#[rstest]
#[case::small(false)]
#[case::ours(true)]
fn stock_mdbook_gives_the_same_pages(#[case] ours: bool) {
    let Some(mdbook) = stock_mdbook() else {
        return;
    };
    let small = SmallBook::new();
    let this = Repo::this().expect("tests run in a checkout");
    let repo = if ours { this } else { small.repo() };

    // Ours is built in a copy, because someone may be reading the book.
    let ours = copy_of_book(&repo);
    let index = book::build::build(&Repo::at(ours.path())).expect("the book can be built");
    let theirs = copy_of_book(&repo);
    let theirs_built = theirs.path().join("built");
    Command::new(mdbook)
        .arg("build")
        .arg("--dest-dir")
        .arg(&theirs_built)
        .arg(theirs.path().join("book"))
        .assert()
        .success();

    let ours = files_below(index.parent().expect("a file is in a folder"));
    let theirs = files_below(&theirs_built);
    // How the search's index is packed depends on the version of elasticlunr-rs that either was
    // built with; its file's name, and so the pages' link to it, follow from that.
    let (ours, theirs) = (without_search_index(ours), without_search_index(theirs));
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs));
    for (name, bytes) in &ours {
        assert!(bytes == &theirs[name], "{} isn't the same", name.display());
    }
}

/// The `mdbook` that `MDBOOK` names, or that is on the PATH, if it is of our version: another
/// version's pages are bound to differ.
fn stock_mdbook() -> Option<OsString> {
    let mdbook = std::env::var_os("MDBOOK").unwrap_or("mdbook".into());
    let Ok(output) = std::process::Command::new(&mdbook).arg("--version").output() else {
        visitors::skipped("there is no mdbook on the PATH, nor in MDBOOK");
        return None;
    };
    let version = String::from_utf8_lossy(&output.stdout).trim().replace("mdbook v", "");
    if version != our_version() {
        visitors::skipped(format!(
            "this mdbook is {version}, and our library is {}",
            our_version()
        ));
        return None;
    }
    Some(mdbook)
}

/// The version of mdbook-driver, from the lock file.
fn our_version() -> String {
    let repo = Repo::this().expect("tests run in a checkout");
    let lock = fs::read_to_string(repo.root().join("Cargo.lock")).expect("Cargo.lock can be read");
    let (_, rest) =
        lock.split_once("name = \"mdbook-driver\"\nversion = \"").expect("it is locked");
    rest.split('"').next().unwrap_or_default().to_string()
}

/// A copy of what the book is made of: its own folder, and the sources that it shows.
fn copy_of_book(repo: &Repo) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    for part in ["book", "chapters", "tests"] {
        copy(&repo.root().join(part), &folder.path().join(part));
    }
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("the folder is there").flatten() {
        let target = to.join(entry.file_name());
        // What somebody has written there is no part of the book.
        if entry.file_name() == "exercises" {
            continue;
        }
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a file can be copied");
        }
    }
}

fn without_search_index(files: BTreeMap<PathBuf, Vec<u8>>) -> BTreeMap<PathBuf, Vec<u8>> {
    let name_of_index = Regex::new(r"searchindex-[0-9a-f]+").expect("it is right");
    let mut kept = BTreeMap::new();
    for (name, bytes) in files {
        if name_of_index.is_match(&name.to_string_lossy()) {
            kept.insert(PathBuf::from("searchindex"), Vec::new());
            continue;
        }
        let bytes = match String::from_utf8(bytes) {
            Ok(text) => name_of_index.replace_all(&text, "searchindex").into_owned().into_bytes(),
            Err(no_text) => no_text.into_bytes(),
        };
        kept.insert(name, bytes);
    }
    kept
}

fn files_below(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("the folder is there").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("it is below").to_path_buf();
                files.insert(name, fs::read(&path).expect("the file can be read"));
            }
        }
    }
    files
}
