//! `cargo book`: it serves the book, and builds it again at each change.

mod served;
mod small_book;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use nix::sys::signal::Signal;
use rstest::rstest;
use served::Served;
use small_book::SmallBook;
use visitors::program::PATIENCE;

#[test]
fn a_port_that_is_taken_is_told_of_and_the_next_free_one_is_used() {
    let book = SmallBook::new();
    let other = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let taken = other.local_addr().expect("it has one").port();
    let served = Served::start_with(book.root(), &["--port", &taken.to_string()], |start| start);
    assert!(taken < served.port && served.port < taken + 100, "{taken} and {}", served.port);
    served.says(&format!("127.0.0.1:{taken} is taken"));
    assert!(served.get("/").body.contains("<h1 id=\"start\">"));
}

#[rstest]
#[case::not_ours(&["--address", "192.0.2.1:7000"], "can't listen on 192.0.2.1:7000")]
#[case::no_book(&["--port", "0", "--root", "/nowhere"], "mdBook can't build the book")]
fn what_can_not_be_served(#[case] arguments: &[&str], #[case] words: &str) {
    let book = SmallBook::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_book"));
    command.args(arguments);
    if !arguments.contains(&"--root") {
        command.arg("--root").arg(book.root());
    }
    let assert = command.timeout(PATIENCE).assert().code(1);
    let output = assert.get_output();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(words), "{said}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

/// Whatever a page is made of.
#[rstest]
#[case::a_page("book/src/one.md", "# One", "# Won", "/one.html", "Won")]
#[case::a_page_in_a_folder(
    "book/src/deep/two.md",
    "By hand",
    "By heart",
    "/deep/two.html",
    "heart"
)]
#[case::what_a_page_links_to("book/src/dot.svg", "<svg", "<svg id=\"dotty\"", "/dot.svg", "dotty")]
#[case::an_included_source("book/code.rs", "let a", "let abc", "/one.html", "abc")]
#[case::an_included_picture("book/pictures/ladder.svg", "Two", "Three", "/one.html", "Three rungs")]
#[case::the_title("book/book.toml", "Small", "Smaller", "/", "Smaller")]
#[case::the_order("book/src/SUMMARY.md", "Two", "Zwei", "/toc.html", "Zwei")]
#[case::a_script("book/theme/own.js", "mine", "yours", "/one.html", "own-")]
fn a_change_is_shown(
    #[case] file: &str,
    #[case] from: &str,
    #[case] to: &str,
    #[case] page: &str,
    #[case] text: &str,
) {
    let book = SmallBook::new();
    book.add("book/book.toml", "additional-js = [\"theme/own.js\"]\n");
    book.write("book/theme/own.js", "'mine';\n");
    let served = Served::start(book.root());
    let listener = Listener::of(&served);
    book.replace(file, from, to);
    served.says(&format!("{file} has changed: built again in"));
    served.wait_for(page, text);
    listener.hears_of_a_reload();
}

/// A chapter's source lies elsewhere, and most editors put a new file in the place of the old one.
#[test]
fn a_file_that_takes_another_s_place_is_a_change() {
    let book = SmallBook::new();
    book.write("chapters/01-one/src/main.rs", "fn before() {}\n");
    book.add("book/src/one.md", "\n```rust\n{{#include ../../chapters/01-one/src/main.rs}}\n```\n");
    let served = Served::start(book.root());
    served.wait_for("/one.html", "before()");
    for name in ["afterwards", "at_last"] {
        let new = book.root().join("chapters/01-one/src/.main.rs.new");
        fs::write(&new, format!("fn {name}() {{}}\n")).expect("it can be written");
        fs::rename(&new, book.root().join("chapters/01-one/src/main.rs")).expect("it can be");
        served.wait_for("/one.html", &format!("{name}()"));
    }
    // And a whole folder that takes another's, as with another branch.
    let (old, other) = (book.root().join("chapters/01-one"), book.root().join("chapters/other"));
    book.write("chapters/other/src/main.rs", "fn elsewhere() {}\n");
    fs::rename(&old, book.root().join("chapters/gone")).expect("it can be");
    fs::rename(&other, &old).expect("it can be");
    served.wait_for("/one.html", "elsewhere()");
    // Which is watched like the first.
    book.write("chapters/01-one/src/main.rs", "fn here_again() {}\n");
    served.wait_for("/one.html", "here_again()");
}

/// All of them have happened when it hears of the first.
#[test]
fn many_changes_at_once_are_one_build() {
    let book = SmallBook::new();
    let served = Served::start(book.root());
    served.program.settled().expect("it has nothing to do");
    served.program.stop();
    for time in 0..20 {
        book.add("book/src/one.md", &format!("\nTime {time}.\n"));
        book.write(&format!("book/src/other-{time}.svg"), "<svg/>");
    }
    served.program.go_on();
    served.wait_for("/one.html", "Time 19.");
    served.says("and 20 more have changed: built again in");
    served.program.settled().expect("it has nothing to do");
    assert_eq!(served.builds(), 1, "{:#?}", served.program.stderr());
}

#[test]
fn nothing_is_built_for_what_the_book_does_not_show() {
    let book = SmallBook::new();
    let served = Served::start(book.root());
    served.program.settled().expect("it has nothing to do");
    for path in [
        "book/src/.one.md.swp",
        "book/src/one.md~",
        "book/src/#one.md#",
        "book/book/index.html",
        "chapters/01-one/solutions/head.rs",
        "tests/01_one.rs",
        "README.md",
    ] {
        book.write(path, "changed");
    }
    served.program.settled().expect("it has nothing to do");
    // It has heard of those before it hears of this.
    book.replace("book/src/one.md", "# One", "# Won");
    served.wait_for("/one.html", "Won");
    served.says("book/src/one.md has changed: built again in");
    served.program.settled().expect("it has nothing to do");
    assert_eq!(served.builds(), 1, "{:#?}", served.program.stderr());
}

#[test]
fn a_book_that_can_not_be_built_stays_as_it_was_until_it_can() {
    let book = SmallBook::new();
    let served = Served::start(book.root());
    let before = served.get("/one.html");

    book.add("book/src/one.md", "\nNews.\n\n{{#include ../later.rs}}\n");
    served.says("book/src/one.md has changed: not built, the pages stay as they were.");
    served.says("later.rs");
    let after = served.get("/one.html");
    assert_eq!(after.body, before.body);
    // As a browser would ask that reads on.
    let script = before.body.split("src=\"").find_map(|rest| {
        rest.split('"').next().filter(|name| name.starts_with("book-") && name.ends_with(".js"))
    });
    let script = format!("/{}", script.expect("the page has mdBook's script"));
    assert!(served.get(&script).head.starts_with("HTTP/1.1 200 "), "{script}");

    // It was asked for, and wasn't there.
    book.write("book/later.rs", "fn late() {}\n");
    served.wait_for("/one.html", "late()");
    served.wait_for("/one.html", "News.");
    served.says("book/later.rs has changed: built again in");
}

/// A build takes the place of another between two answers, and not in the middle of one.
#[test]
fn nobody_sees_a_book_that_is_being_written() {
    let book = SmallBook::new();
    let long = "A line of a long page.\n\n".repeat(20_000);
    book.add("book/src/one.md", &format!("\n{long}\nThe end of it.\n"));
    let served = Served::start(book.root());
    let done = AtomicBool::new(false);
    let looked = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut looked = 0;
            while !done.load(Ordering::Relaxed) {
                for path in ["/one.html", "/print.html", "/deep/two.html"] {
                    let answer = served.get(path);
                    assert!(answer.head.starts_with("HTTP/1.1 200 "), "{path}: {}", answer.head);
                    assert!(answer.body.trim_end().ends_with("</html>"), "half of {path}");
                }
                looked += 1;
            }
            looked
        });
        for time in 0..4 {
            book.replace("book/src/deep/two.md", "# Two", &format!("# Two {time}"));
            served.wait_for("/deep/two.html", &format!("Two {time}"));
        }
        done.store(true, Ordering::Relaxed);
        reader.join().expect("it has seen whole pages")
    });
    assert!(looked > 0);
    let builds = fs::read_dir(served.room.path()).expect("it's there").flatten();
    let folders: usize =
        builds.map(|room| fs::read_dir(room.path()).map_or(0, Iterator::count)).sum();
    assert!(folders <= 3, "{folders} builds lie about");
}

#[rstest]
#[case::ctrl_c(Signal::SIGINT)]
#[case::sigterm(Signal::SIGTERM)]
#[case::the_terminal_is_gone(Signal::SIGHUP)]
fn a_signal_ends_it_and_nothing_is_left(#[case] signal: Signal) {
    let book = SmallBook::new();
    let served = Served::start(book.root());
    // Somebody has a page open, and would for hours.
    let listener = Listener::of(&served);
    assert_eq!(served.left().len(), 1, "its builds");
    served.program.signal(signal);
    let status = served.program.ended().expect("it ends");
    assert_eq!(status.code(), Some(0), "{status}");
    assert_eq!(served.left(), [""; 0]);
    listener.hears_the_end();
}

#[test]
fn a_signal_in_the_middle_of_a_build_ends_it_and_nothing_is_left() {
    let book = SmallBook::new();
    let served = Served::start(book.root());
    served.program.settled().expect("it has nothing to do");
    served.program.stop();
    // It will be at work on this when it's told to end.
    book.add("book/src/one.md", &"A line of a long page.\n\n".repeat(20_000));
    served.program.go_on();
    let until = Instant::now() + PATIENCE;
    let at_work = || {
        let room = served.left().pop().expect("it has one");
        served.room.path().join(room).join("2").is_dir()
    };
    while !at_work() {
        assert!(Instant::now() < until, "it never begins");
        thread::sleep(Duration::from_millis(1));
    }
    served.program.signal(Signal::SIGTERM);
    let status = served.program.ended().expect("it ends");
    assert_eq!(status.code(), Some(0), "{status}");
    assert_eq!(served.left(), [""; 0]);
}

/// Who waits isn't running: no thread of it was on a processor between two looks.
#[cfg(target_os = "linux")]
#[test]
fn it_sleeps_while_nobody_reads() {
    let book = SmallBook::new();
    let served = Served::start(book.root());
    sleeps(&served);
    book.replace("book/src/one.md", "# One", "# Won");
    served.wait_for("/one.html", "Won");
    sleeps(&served);
    // While somebody listens, it has something to do each second.
    let listener = Listener::of(&served);
    drop(listener);
    sleeps(&served);
}

/// Long enough for a timer that rings once a second to be seen.
#[cfg(target_os = "linux")]
#[track_caller]
fn sleeps(served: &Served) {
    const ASLEEP: Duration = Duration::from_millis(2500);
    let until = Instant::now() + 2 * PATIENCE;
    let mut last = switches(served.program.pid());
    let mut since = Instant::now();
    while since.elapsed() < ASLEEP {
        assert!(Instant::now() < until, "it never sleeps: {last:?}");
        thread::sleep(Duration::from_millis(20));
        let now = switches(served.program.pid());
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
}

/// How often each thread has been taken off a processor, and its name.
#[cfg(target_os = "linux")]
fn switches(pid: i32) -> BTreeMap<String, Vec<String>> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").flatten();
    let switches = |path: &Path| {
        let status = fs::read_to_string(path.join("status")).unwrap_or_default();
        let told = |line: &&str| line.starts_with("Name") || line.contains("ctxt_switches");
        status.lines().filter(told).map(str::to_owned).collect()
    };
    threads
        .map(|thread| (thread.file_name().to_string_lossy().into_owned(), switches(&thread.path())))
        .collect()
}

#[rstest]
#[case::it_opens(0)]
#[case::it_can_not(1)]
fn the_browser_is_told_the_address(#[case] status: i32) {
    let book = SmallBook::new();
    let tools = tempfile::tempdir().expect("a folder can be made");
    let told = tools.path().join("told");
    for name in ["open", "xdg-open", "wslview"] {
        let path = tools.path().join(name);
        let script = format!("#!/bin/sh\nprintf %s \"$1\" > {}\nexit {status}\n", told.display());
        fs::write(&path, script).expect("it can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it's ours");
    }
    let path = tools.path().to_str().expect("it's UTF-8").to_owned();
    let served = Served::start_with(book.root(), &["--port", "0", "--open"], |start| {
        start.env("PATH", path)
    });
    let until = Instant::now() + PATIENCE;
    while fs::read_to_string(&told).unwrap_or_default() != served.url("/") {
        assert!(Instant::now() < until, "it was never told");
        thread::sleep(Duration::from_millis(10));
    }
    if status != 0 {
        served.says(&format!("open {} in yours", served.url("/")));
    }
    assert!(served.get("/").body.contains("<h1 id=\"start\">"));
}

/// Somebody who has a page open.
struct Listener(BufReader<std::net::TcpStream>);

impl Listener {
    #[track_caller]
    fn of(served: &Served) -> Self {
        let mut listener = Self(BufReader::new(served.ask("/live")));
        // From here on nothing is missed.
        listener.hears(|line| line.contains("welcome"));
        listener
    }

    #[track_caller]
    fn hears_of_a_reload(mut self) {
        self.hears(|line| line.trim() == "event: reload");
    }

    #[track_caller]
    fn hears_the_end(mut self) {
        let mut line = String::new();
        while self.0.read_line(&mut line).expect("it isn't reset") > 0 {}
    }

    #[track_caller]
    fn hears(&mut self, wanted: impl Fn(&str) -> bool) {
        let mut all = String::new();
        let until = Instant::now() + PATIENCE;
        loop {
            let begin = all.len();
            assert!(self.0.read_line(&mut all).is_ok_and(|read| read > 0), "it heard {all}");
            assert!(Instant::now() < until, "it heard {all}");
            if wanted(&all[begin..]) {
                return;
            }
        }
    }
}
