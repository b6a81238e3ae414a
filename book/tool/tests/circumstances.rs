//! `cargo book` where something about the place is unusual: nobody reads what it prints, an editor has files of its
//! own beside the pages, the checkout was moved or copied.

mod served;
mod small_book;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use book::build::build_into;
use book::repo::{Repo, files_below};
use rstest::rstest;
use served::Served;
use small_book::SmallBook;

const BOOK: &str = env!("CARGO_BIN_EXE_book");

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn cargo_book(arguments: &[&str]) -> (Option<i32>, String, String) {
    said(&Command::new(BOOK).args(arguments).output().expect("it starts"))
}

#[rstest]
#[case::build("build")]
#[case::check("check")]
fn root_may_stand_before_the_job_and_after_it(#[case] job: &str) {
    let book = SmallBook::new();
    let root = book.root().to_str().expect("a plain path");
    for arguments in [["--root", root, job], [job, "--root", root]] {
        let (status, _, stderr) = cargo_book(&arguments);
        assert_eq!(status, Some(0), "{arguments:?}: {stderr}");
    }
}

#[rstest]
#[case(&["--open", "build"], "--open is for serving the book: build doesn't serve it")]
#[case(&["--port", "7300", "check"], "--port is for serving")]
#[case(&["--address", "127.0.0.1:7000", "check"], "--address is for serving")]
fn what_is_for_serving_alone_is_refused_elsewhere(#[case] arguments: &[&str], #[case] words: &str) {
    let (status, _, stderr) = cargo_book(arguments);
    assert_eq!(status, Some(2));
    assert!(stderr.contains(words), "{stderr}");
}

#[rstest]
#[case::build("build", 0)]
#[case::check("check", 0)]
#[case::help("--help", 0)]
fn where_nobody_reads_the_work_is_done_and_nothing_is_said(#[case] job: &str, #[case] status: i32) {
    let book = SmallBook::new();
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let output = Command::new(BOOK).arg("--root").arg(book.root()).arg(job).stdout(writer).output();
    let (code, _, stderr) = said(&output.expect("it starts"));
    assert_eq!((code, &*stderr), (Some(status), ""));
    assert_eq!(job == "build", book.root().join("book/book/index.html").exists());
}

#[test]
fn a_full_disk_is_said_and_is_a_failure() {
    let Ok(full) = fs::File::options().write(true).open("/dev/full") else {
        println!("skipped: there is no /dev/full here");
        return;
    };
    let book = SmallBook::new();
    let output =
        Command::new(BOOK).arg("--root").arg(book.root()).arg("check").stdout(full).output();
    let (code, _, stderr) = said(&output.expect("it starts"));
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("cargo book: not all could be printed: "), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

/// One program, as cargo leaves it where two checkouts share a folder for what is compiled.
#[test]
fn the_book_is_that_of_the_checkout_in_which_it_is_called() {
    let book = SmallBook::new();
    book.write("tests/visitors/here", "");
    let both = tempfile::tempdir().expect("a folder can be made");
    let [moved, copied] = ["moved", "copied"].map(|name| both.path().join(name));
    for copy in [&moved, &copied] {
        let done = Command::new("cp").arg("-a").args([book.root(), copy]).status();
        assert!(done.expect("there is a cp").success());
    }
    let title = |root: &Path, words: &str| {
        fs::write(root.join("book/src/README.md"), format!("# {words}\n")).expect("it's ours");
    };
    title(&moved, "Moved");
    title(&copied, "Copied");

    let build = |place: &Path, package: Option<&Path>| {
        let mut command = Command::new(BOOK);
        command.arg("build").current_dir(place).env_remove("CARGO_MANIFEST_DIR");
        if let Some(package) = package {
            command.env("CARGO_MANIFEST_DIR", package);
        }
        said(&command.output().expect("it starts"))
    };
    let index =
        |root: &Path| fs::read_to_string(root.join("book/book/index.html")).unwrap_or_default();
    // From a folder below it.
    assert_eq!(build(&moved.join("book/src"), None).0, Some(0));
    assert!(index(&moved).contains("Moved"));
    assert_eq!(index(&copied), "");
    // As `cargo run` says it.
    assert_eq!(build(Path::new("/"), Some(&copied.join("book/tool"))).0, Some(0));
    assert!(index(&copied).contains("Copied"));

    let away = both.path().join("away");
    fs::rename(&moved, &away).expect("it can be moved");
    title(&away, "Away");
    assert_eq!(build(&away, Some(&moved.join("book/tool"))).0, Some(0), "what cargo said is gone");
    assert!(index(&away).contains("Away"));

    let (status, _, stderr) = build(both.path(), None);
    assert_eq!(status, Some(1));
    assert!(stderr.contains("is in no checkout of The Waiting Game"), "{stderr}");
    assert!(stderr.contains("call it there"), "{stderr}");
}

/// An editor's files beside the pages, and a link that leads nowhere.
fn strangers_in(book: &SmallBook) {
    an_editor_in(book);
    for folder in ["book/src", "book/src/deep"] {
        let link = book.root().join(folder).join("gone.svg");
        symlink("/nowhere", link).expect("a link can be made");
    }
}

fn an_editor_in(book: &SmallBook) {
    let src = book.root().join("book/src");
    for folder in [src.clone(), src.join("deep")] {
        symlink("you@here.4711:1", folder.join(".#two.md")).expect("a link can be made");
        for name in ["#two.md#", "two.md~", ".two.md.swp", "4913", "two.md___jb_tmp___"] {
            fs::write(folder.join(name), "half of it").expect("it can be written");
        }
    }
}

fn pages(repo: &Repo) -> BTreeMap<PathBuf, Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    build_into(repo, folder.path()).expect("the book can be built");
    let all = Command::new("find").arg(folder.path()).args(["-type", "f"]).output();
    let all = String::from_utf8(all.expect("there is a find").stdout).expect("plain names");
    let file = |path: &str| {
        let path = Path::new(path);
        let name = path.strip_prefix(folder.path()).expect("it's there").to_owned();
        (name, fs::read(path).expect("it can be read"))
    };
    all.lines().map(file).collect()
}

#[test]
fn an_editors_files_and_links_to_nowhere_are_no_part_of_the_book() {
    let book = SmallBook::new();
    let before = pages(&book.repo());
    strangers_in(&book);
    let after = pages(&book.repo());
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (name, bytes) in &before {
        assert!(bytes == &after[name], "{} isn't the same", name.display());
    }
    assert_eq!(book.faults(), [""; 0]);
    let root = book.root().to_str().expect("a plain path");
    let (status, stdout, stderr) = cargo_book(&["build", "--root", root]);
    assert_eq!(status, Some(0), "{stderr}");
    let repo = Repo::at(book.root());
    let index = repo.book().join("book/index.html");
    assert_eq!(stdout, format!("the book lies at {}\n", index.display()));
    assert!(files_below(&repo.src()).iter().all(|path| !path.to_string_lossy().contains('#')));
}

#[test]
fn a_fault_is_told_with_the_pages_own_place_whoever_else_is_there() {
    let book = SmallBook::new();
    strangers_in(&book);
    book.remove("book/code.rs");
    let root = book.root().to_str().expect("a plain path");
    let (status, _, stderr) = cargo_book(&["build", "--root", root]);
    assert_eq!(status, Some(1));
    let missing = Repo::at(book.root()).src().join("../code.rs");
    assert!(stderr.contains(&missing.display().to_string()), "{stderr}");
}

#[test]
fn while_an_editor_holds_a_lock_nothing_is_built_until_a_save_and_then_it_is() {
    let book = SmallBook::new();
    let served = Served::start(book.root());
    let built = || served.program.stderr().iter().filter(|line| line.contains("built")).count();
    an_editor_in(&book);
    // Where these were a reason, it would have begun within 50 ms.
    thread::sleep(Duration::from_millis(600));
    assert_eq!(built(), 0, "{:?}", served.program.stderr());
    book.replace("book/src/one.md", "# One", "# Won");
    served.says("one.md has changed: built again");
    assert!(served.get("/one.html").body.contains("Won"));
    assert_eq!(built(), 1, "{:?}", served.program.stderr());
}
