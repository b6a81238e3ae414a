//! Files that change while they are served.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use rstest::rstest;
use visitors::setup::by_the_clock;

use crate::house::{House, MIB, PAGE, Visitor};
use crate::tools::{LOOK, PATIENCE};

/// A change is seen within so long.
const A_SECOND: Duration = Duration::from_secs(1);
/// A file that was changed longer ago than that isn't changed again in the same tick.
const SETTLES: Duration = Duration::from_secs(2);

/// How long the server goes on giving what isn't there any more. `None`: it's to be gone.
#[track_caller]
fn until_seen(house: &House, path: &str, expected: Option<&[u8]>) -> Duration {
    until_seen_at(house, path, expected).1
}

/// After how long it was last asked and gave the old one, and first the new one.
#[track_caller]
fn until_seen_at(house: &House, path: &str, expected: Option<&[u8]>) -> (Duration, Duration) {
    let mut visitor = house.visitor();
    let began = Instant::now();
    let mut wrong = Duration::ZERO;
    loop {
        // Counted is when we asked: what is asked after a second must be answered rightly.
        let asked = began.elapsed();
        visitor.get(path, "");
        let answer = visitor.answer();
        let is_right = match expected {
            Some(bytes) => answer.status == 200 && answer.body == bytes,
            None => answer.status == 404,
        };
        if is_right {
            return (wrong, asked);
        }
        wrong = asked;
        assert!(asked < PATIENCE, "the change is never seen");
        thread::sleep(LOOK);
    }
}

#[rstest]
#[case::small(1000)]
#[case::large(MIB)]
fn a_change_is_seen_within_a_second(#[case] length: usize) {
    by_the_clock(|| a_change_is_seen(length));
}

fn a_change_is_seen(length: usize) {
    let house = House::open(&["--workers", "1"]);
    let path = house.path("page.txt");
    // Written in its place, as long as before; put into its place; appended to; and gone.
    type Change = fn(&Path, &[u8]);
    let changes: [Change; 3] = [
        |path, bytes| {
            let mut file = fs::File::options().write(true).open(path).unwrap();
            file.write_all(bytes).unwrap();
        },
        |path, bytes| {
            let other = path.with_extension("new");
            fs::write(&other, bytes).unwrap();
            fs::rename(other, path).unwrap();
        },
        |path, bytes| fs::write(path, [bytes, b"more"].concat()).unwrap(),
    ];
    let mut content = vec![0; length];
    fs::write(&path, &content).unwrap();
    until_seen(&house, "/page.txt", Some(&content));
    for (number, change) in changes.iter().enumerate() {
        // The best of three: we may come late ourselves.
        let mut took = Vec::new();
        for turn in 1..=3 {
            let letter = u8::try_from(number * 3 + turn).unwrap();
            content = vec![letter; length];
            change(&path, &content);
            if number == 2 {
                content.extend_from_slice(b"more");
            }
            took.push(until_seen(&house, "/page.txt", Some(&content)));
        }
        assert!(took.iter().min() <= Some(&A_SECOND), "change {number} is seen after {took:?}");
    }
    fs::remove_file(&path).unwrap();
    let gone = until_seen(&house, "/page.txt", None);
    fs::write(&path, b"again").unwrap();
    let again = until_seen(&house, "/page.txt", Some(b"again"));
    assert!(gone.min(again) <= A_SECOND, "{gone:?}, {again:?}");
}

/// Two releases, packed so that all files have the same date, are unpacked one after the other over the same folder.
/// The second is seen, and nobody who has the first is told that it's still the same.
#[rstest]
#[case::small_and_written_in_its_place(1000, in_its_place)]
#[case::small_and_made_anew(1000, made_anew)]
#[case::large_and_written_in_its_place(MIB, in_its_place)]
#[case::large_and_made_anew(MIB, made_anew)]
fn another_content_with_the_same_date_is_seen(#[case] length: usize, #[case] unpack: Unpack) {
    let house = House::open(&["--workers", "1"]);
    let path = house.path("page.txt");
    let mut wrong = Vec::new();
    for turn in 0..3 {
        let (old, new) = (vec![b'a' + turn; length], vec![b'A' + turn; length]);
        unpack(&path, &old);
        until_seen(&house, "/page.txt", Some(&old));
        // Another second, for those who have but a date; and old enough to be trusted, the second time.
        thread::sleep(A_SECOND + SETTLES * u32::from(turn % 2));
        until_seen(&house, "/page.txt", Some(&old));
        let mut visitor = house.visitor();
        visitor.get("/page.txt", "");
        let before = visitor.answer();
        let (tag, date) = (before.field("ETag").unwrap(), before.field("Last-Modified").unwrap());
        unpack(&path, &new);
        wrong.push(until_seen_at(&house, "/page.txt", Some(&new)).0);
        for fields in [
            format!("If-None-Match: {tag}\r\n"),
            format!("If-Modified-Since: {date}\r\n"),
            format!("Range: bytes=500-\r\nIf-Range: {tag}\r\n"),
            format!("Range: bytes=500-\r\nIf-Range: {date}\r\n"),
        ] {
            visitor.get("/page.txt", &fields);
            let answer = visitor.answer();
            assert_eq!(answer.status, 200, "{fields}: {}", answer.head);
            assert!(answer.body == new, "{fields}");
            assert_ne!(answer.field("ETag"), Some(tag));
        }
    }
    // The best of three: a machine may stop the server between its clock and its answer.
    assert!(wrong.iter().min() <= Some(&A_SECOND), "asked after {wrong:?}, it gives the old one");
}

type Unpack = fn(&Path, &[u8]);

fn in_its_place(path: &Path, bytes: &[u8]) {
    let mut file = fs::File::options().create(true).truncate(false).write(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
    file.set_modified(UNIX_EPOCH + A_SECOND).unwrap();
}

/// As `tar` does it. The new one often gets the old one's number.
fn made_anew(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    in_its_place(path, bytes);
}

/// Many a file system's clock stands still for some milliseconds at a time. Whoever looks at a file between two
/// changes in the same moment mustn't take it for unchanged for ever.
#[rstest]
#[case::one_worker("1")]
#[case::two_workers("2")]
fn two_changes_in_a_moment_are_seen(#[case] workers: &str) {
    const FILES: usize = 20;
    let house = House::open(&["--workers", workers]);
    let mut visitor = house.visitor();
    for number in 0..FILES {
        let path = house.path(&format!("file{number}"));
        fs::write(&path, b"before").unwrap();
        let moment = fs::metadata(&path).unwrap().modified().unwrap();
        visitor.get(&format!("/file{number}"), "");
        assert_eq!(visitor.answer().text(), "before");
        // As long, and at the same time, whatever this file system's clock can do.
        fs::write(&path, b"behind").unwrap();
        fs::File::options().append(true).open(&path).unwrap().set_modified(moment).unwrap();
    }
    for number in 0..FILES {
        until_seen(&house, &format!("/file{number}"), Some(b"behind"));
    }
}

/// What is promised can't be kept any more. What can't be is to be seen as such.
#[test]
fn a_file_that_becomes_shorter_ends_the_connection() {
    let house = House::open(&["--workers", "1"]);
    house.sparse("page", 50 << 20);
    let mut visitor = Visitor::with_little_room(house.address, 32 * 1024);
    visitor.get("/page", "Connection: close\r\n");
    visitor.skip(1000);
    fs::File::options().write(true).open(house.path("page")).unwrap().set_len(1 << 20).unwrap();
    let (rest, _) = visitor.rest();
    assert!(rest.len() < 50 << 20, "{} bytes", rest.len());
    house.quick();
    house.is_empty();
}

/// It has no parts: all of it is nothing, and that's what is sent (RFC 9110, section 14.2).
#[test]
fn a_range_of_an_empty_file_is_ignored() {
    let house = House::open(&["--workers", "1"]);
    house.file("empty", 0);
    let mut visitor = house.visitor();
    for range in ["0-", "0-0", "-5", "-0", "5-9", "99999999999999999999-"] {
        visitor.get("/empty", &format!("Range: bytes={range}\r\n"));
        let answer = visitor.answer();
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{range}: {}", answer.head);
        assert_eq!(answer.field("Content-Range"), None, "{range}");
    }
}

/// Dots that stay inside are refused as well as those that lead out: clients take them away before they send (RFC
/// 3986, section 5.2.4).
#[test]
fn dots_that_stay_inside_lead_nowhere() {
    let house = House::open(&["--workers", "1"]);
    fs::create_dir(house.path("sub")).unwrap();
    fs::write(house.path("sub/page"), "a page").unwrap();
    let mut visitor = house.visitor();
    let paths = [
        "/sub/../index.html",
        "/sub/..",
        "/sub/.",
        "/./sub/page",
        "/sub/./page",
        "/sub/%2e%2e/sub/page",
    ];
    for path in paths {
        visitor.get(path, "");
        assert_eq!(visitor.answer().status, 404, "{path}");
    }
    visitor.get("/sub/page", "");
    assert_eq!(visitor.answer().text(), "a page");
}

/// What the server has said of the folder that it serves.
fn said(house: &House) -> Vec<String> {
    let root = house.path("").to_string_lossy().trim_end_matches('/').to_owned();
    let lines = house.program.stderr().into_iter();
    lines.filter_map(|line| line.strip_prefix(&root).map(str::to_owned)).collect()
}

/// It says so much, each once, and this at last.
fn says_at_last(house: &House, count: usize, last: &str) {
    let began = Instant::now();
    let mut visitors: Vec<Visitor> = (0..16).map(|_| house.visitor()).collect();
    loop {
        let lines = said(house);
        if lines.len() >= count || began.elapsed() > PATIENCE {
            assert_eq!(lines.len(), count, "each is said once: {lines:?}");
            return assert!(lines[count - 1].starts_with(last), "{lines:?}");
        }
        // It looks when somebody asks.
        for visitor in &mut visitors {
            visitor.get("/nothing", "");
            visitor.answer();
        }
        thread::sleep(LOOK);
    }
}

/// Several visitors: each loop has some.
fn all_see(house: &House, path: &str, expected: Option<&[u8]>) {
    let mut visitors: Vec<Visitor> = (0..16).map(|_| house.visitor()).collect();
    let mut last = 0;
    let began = Instant::now();
    while last < visitors.len() {
        let visitor = &mut visitors[last];
        visitor.get(path, "");
        let answer = visitor.answer();
        match expected {
            Some(bytes) if answer.status == 200 && answer.body == bytes => last += 1,
            None if answer.status == 404 => last += 1,
            _ => thread::sleep(LOOK),
        }
        assert!(began.elapsed() < PATIENCE, "it's never seen: {}", answer.head);
    }
}

/// The folder is removed and made anew, as by somebody who builds a site. While it's away there is nothing.
#[rstest]
#[case::one_worker("1")]
#[case::two_workers("2")]
fn a_root_that_is_made_anew_is_served(#[case] workers: &str) {
    let house = House::open(&["--workers", workers]);
    let root = house.path("");
    house.file("large", MIB);
    fs::write(house.path("404.html"), "its own page").unwrap();
    let mut begun = Visitor::with_little_room(house.address, 16 * 1024);
    let large = fs::read(house.path("large")).unwrap();
    begun.get("/large", "Connection: close\r\n");
    begun.skip(1);
    all_see(&house, "/", Some(PAGE.as_bytes()));
    assert_eq!(said(&house), [""; 0]);
    for turn in 1..=2 {
        fs::remove_dir_all(&root).unwrap();
        all_see(&house, "/", None);
        all_see(&house, "/large", None);
        // A loop that has looked a moment ago finds nothing in what it has, and doesn't know yet why.
        says_at_last(&house, 2 * turn - 1, " is gone (");
        let page = format!("page {turn}");
        fs::create_dir(&root).unwrap();
        fs::write(house.path("index.html"), &page).unwrap();
        all_see(&house, "/", Some(page.as_bytes()));
        says_at_last(&house, 2 * turn, " is there again");
    }
    // What was begun is the old one's, to its end.
    assert!(begun.rest().0.ends_with(&large));
}

/// It's a link, which is switched to the next release: no moment without one.
#[rstest]
#[case::one_worker("1")]
#[case::two_workers("2")]
fn a_root_that_is_a_link_may_be_switched(#[case] workers: &str) {
    let house = House::open(&["--workers", workers]);
    let link = house.path("").parent().unwrap().join("root");
    let switch = |release: &str| {
        let new = house.beside("new");
        std::os::unix::fs::symlink(release, &new).unwrap();
        fs::rename(new, &link).unwrap();
    };
    fs::rename(&link, house.beside("release0")).unwrap();
    switch("release0");
    // The same folder by another way: nothing to be told.
    all_see(&house, "/", Some(PAGE.as_bytes()));
    for release in 1..=3 {
        let (name, page) = (format!("release{release}"), format!("page {release}"));
        fs::create_dir(house.beside(&name)).unwrap();
        // Of the same date and length.
        in_its_place(&house.beside(&name).join("index.html"), page.as_bytes());
        switch(&name);
        all_see(&house, "/", Some(page.as_bytes()));
    }
    says_at_last(&house, 3, " is another folder now");
    assert_eq!(said(&house), [" is another folder now: opened anew"; 3]);
}
