//! SIGTERM, once and twice, and SIGHUP.

use std::ffi::OsString;
use std::fs;
use std::thread;

use nix::sys::signal::Signal::{SIGHUP, SIGINT, SIGTERM};
use rstest::rstest;
use visitors::program::Start;

use crate::house::{End, House, MIB, PROGRAM, Visitor, log_of};
use visitors::setup::until;

#[rstest]
#[case::one_worker("1")]
#[case::two_workers("2")]
fn what_was_begun_is_finished(#[case] workers: &str) {
    const EACH: usize = 8;
    let house = House::open(&["--workers", workers]);
    let large = house.file("large", 6 * MIB);
    let mut idle: Vec<Visitor> = (0..EACH).map(|_| house.visitor()).collect();
    for visitor in &mut idle {
        visitor.get("/hello", "User-Agent: idle\r\n");
        assert_eq!(visitor.answer().text(), "Hello, World!");
    }
    let mut downloads: Vec<Visitor> =
        (0..EACH).map(|_| Visitor::with_little_room(house.address, 32 * 1024)).collect();
    for visitor in &mut downloads {
        visitor.get("/large", "User-Agent: download\r\n");
        // And another one behind it, which isn't begun.
        visitor.get("/hello", "User-Agent: behind\r\n");
        visitor.stream.peek(&mut [0]).expect("it has begun");
    }
    let mut asking: Vec<Visitor> = (0..EACH).map(|_| house.visitor()).collect();
    for (place, visitor) in asking.iter_mut().enumerate() {
        // To the middle of its head, or of its body.
        let text = "POST /echo HTTP/1.1\r\nUser-Agent: asking\r\nHost: here\r\nContent-Length: 8\r\n\r\npati";
        visitor.say(&text[..[30, text.len()][place % 2]]);
    }
    house.program.settled().expect("it rests");
    house.stop();
    for visitor in &mut idle {
        visitor.is_hung_up_on();
    }
    until("nobody is let in any more", || Visitor::try_call(house.address).is_err().then_some(()));
    assert!(house.program.exit_status().is_none(), "somebody is being served");
    for (place, visitor) in asking.iter_mut().enumerate() {
        visitor.say(
            ["t: asking\r\nHost: here\r\nContent-Length: 8\r\n\r\npatience", "ence"][place % 2],
        );
    }
    for (place, visitor) in asking.iter_mut().enumerate() {
        let answer = visitor.answer();
        assert_eq!(
            (answer.text().as_str(), answer.field("Connection")),
            ("patience", Some("close")),
            "{place}"
        );
        visitor.is_hung_up_on();
    }
    for visitor in &mut downloads {
        assert!(visitor.answer().body == large, "not whole");
        assert_eq!(visitor.rest().0, b"", "what wasn't begun isn't answered");
    }
    house.has_ended();
    house.program.says(|line| line == "stopped").unwrap();
    let log = house.log();
    let count =
        |agent: &str| log.iter().filter(|line| line.agent == agent && line.status == 200).count();
    assert_eq!(
        [count("idle"), count("download"), count("asking"), log.len()],
        [EACH, EACH, EACH, 3 * EACH]
    );
    assert!(log.iter().all(|line| line.agent != "download" || line.bytes == large.len() as u64));
}

/// Streams that have an end are finished, too, whoever reads them: as fast as they come, or slowly.
#[rstest]
#[case::read_fast(usize::MAX)]
#[case::read_slowly(16 * 1024)]
fn a_large_page_that_was_begun_is_finished(#[case] room: usize) {
    let start = Start::new(PROGRAM).arg("127.0.0.1:0").arg("--workers").arg("1");
    let start = ["--grace", "300", "--answer", "300"].iter().fold(start, Start::arg);
    let program = start.start().unwrap();
    let address = program.listening().unwrap();
    let mut visitors: Vec<Visitor> = match room {
        usize::MAX => (0..20).map(|_| Visitor::call(address)).collect(),
        room => (0..20).map(|_| Visitor::with_little_room(address, room)).collect(),
    };
    for visitor in &mut visitors {
        visitor.get("/large", "");
        visitor.stream.peek(&mut [0]).expect("it has begun");
    }
    let readers: Vec<_> = visitors
        .into_iter()
        .map(|mut visitor| thread::spawn(move || visitor.answer().body.len()))
        .collect();
    program.signal(SIGTERM);
    let lengths: Vec<usize> =
        readers.into_iter().map(|reader| reader.join().expect("it's whole")).collect();
    assert!(
        lengths.iter().all(|length| *length >= 8 * MIB && *length == lengths[0]),
        "{lengths:?}"
    );
    let status = until("it ends", || program.exit_status());
    assert!(status.success(), "{status}");
}

/// Those who listen for ever are told to leave: it would be no end.
#[test]
fn listeners_do_not_keep_it() {
    let house = House::open(&[]);
    let mut listening: Vec<Visitor> = (0..5).map(|_| house.visitor()).collect();
    for visitor in &mut listening {
        visitor.get("/live", "");
        visitor.stream.peek(&mut [0]).expect("it has begun");
    }
    house.program.signal(SIGTERM);
    house.has_ended();
    for visitor in &mut listening {
        assert_eq!(visitor.rest().1, End::Closed);
    }
    let log = house.log();
    assert_eq!(log.len(), 5);
    assert!(log.iter().all(|line| line.status == 200 && line.bytes >= 11), "{log:?}");
}

#[rstest]
#[case::one_worker("1")]
#[case::two_workers("2")]
fn a_second_signal_ends_it_at_once(#[case] workers: &str) {
    let house = House::open(&["--workers", workers, "--grace", "600", "--answer", "600"]);
    house.sparse("large", 100 << 20);
    let mut stuck: Vec<Visitor> =
        (0..6).map(|_| Visitor::with_little_room(house.address, 16 * 1024)).collect();
    for visitor in &mut stuck {
        visitor.get("/large", "");
        visitor.stream.peek(&mut [0]).expect("it has begun");
    }
    house.stop();
    house.program.settled().expect("it waits for those who read");
    assert!(house.program.exit_status().is_none(), "somebody is being served");
    house.program.signal(SIGINT);
    house.has_ended();
    for visitor in &mut stuck {
        assert!(visitor.skip(usize::MAX) < 100 << 20);
    }
    // What was cut off is in the log, as far as it got.
    let log = house.log();
    assert_eq!(log.len(), stuck.len(), "lines in the log");
    assert!(log.iter().all(|line| line.status == 200 && line.bytes < 100 << 20), "{log:?}");
}

#[test]
fn who_does_not_come_to_an_end_is_cut_off() {
    let house = House::open(&["--workers", "2", "--grace", "0.5"]);
    let mut never: Vec<Visitor> = (0..6).map(|_| house.visitor()).collect();
    for visitor in &mut never {
        visitor.say("GET / HTTP/1.1\r\n");
    }
    house.quick();
    house.program.settled().expect("it rests");
    house.stop();
    house.has_ended();
    for visitor in &mut never {
        assert!(visitor.rest().0.is_empty());
    }
}

/// Somebody moves the log away, as is done each night. No line is lost, and none is torn.
#[test]
fn sighup_opens_the_log_anew() {
    let house = House::open(&["--workers", "2"]);
    let old = house.beside("log.old");
    let mut visitors = [house.visitor(), house.visitor(), house.visitor()];
    let mut ask = |agent: &str| {
        for visitor in &mut visitors {
            for _ in 0..50 {
                visitor.get(
                    "/hello",
                    &format!("User-Agent: {agent}\r\nReferer: a \"quoted\" \\ one\r\n"),
                );
                visitor.answer();
            }
        }
    };
    ask("before");
    fs::rename(house.beside("log"), &old).unwrap();
    ask("between");
    house.program.signal(SIGHUP);
    until("the log is there again", || house.beside("log").exists().then_some(()));
    ask("after");
    house.stop();
    house.has_ended();
    let (old, new) = (log_of(&old), house.log());
    let count = |log: &[crate::house::LogLine], agent: &str| {
        let lines = log.iter().filter(|line| line.agent == agent);
        lines
            .filter(|line| line.status == 200 && line.bytes == 13 && !line.referer.contains('"'))
            .count()
    };
    assert_eq!(
        (count(&old, "before"), count(&old, "between"), count(&new, "after")),
        (150, 150, 150)
    );
    assert_eq!((old.len(), new.len()), (300, 150));
}

/// Whatever a visitor says, a line of the log is a line, and says it.
#[test]
fn every_answer_has_its_line() {
    let house = House::open(&["--workers", "1"]);
    house.file("large", 3 * MIB);
    let mut visitor = house.visitor();
    let long = "x".repeat(20_000);
    visitor.get(
        "/hello?a=%0a%22",
        "User-Agent: one\" 200 \\ \"two\tthree\r\nReferer: http://there/\r\n",
    );
    visitor.answer();
    visitor.say("HEAD /large HTTP/1.1\r\nHost: here\r\n\r\n");
    visitor.answer_to_head();
    visitor.get("/large", "Range: bytes=5-14\r\n");
    visitor.answer();
    visitor.get("http://there/nowhere", "User-Agent: \u{fc}\r\n");
    visitor.answer();
    visitor.say("OPTIONS * HTTP/1.1\r\nHost: here\r\n\r\n");
    visitor.answer();
    visitor.get("/hello", &format!("X: {long}\r\n"));
    assert_eq!(visitor.answer().status, 431);
    house.stop();
    house.has_ended();
    let log = house.log();
    let said: Vec<_> = log
        .iter()
        .map(|line| {
            format!(
                "{} {} {} {} {}",
                line.request, line.status, line.bytes, line.referer, line.agent
            )
        })
        .collect();
    assert_eq!(
        said[0],
        "GET /hello?a=%0a%22 HTTP/1.1 200 13 http://there/ one\\x22 200 \\x5C \\x22two\\x09three"
    );
    assert_eq!(said[1], "HEAD /large HTTP/1.1 200 0 - -");
    assert_eq!(said[2], "GET /large HTTP/1.1 206 10 - -");
    assert!(said[3].starts_with("GET http://there/nowhere HTTP/1.1 404 "), "{}", said[3]);
    assert!(said[3].ends_with(" - \\xC3\\xBC"), "{}", said[3]);
    assert_eq!(said[4], "OPTIONS * HTTP/1.1 204 0 - -");
    assert!(said[5].starts_with("- 431 "), "{}", said[5]);
    assert_eq!(said.len(), 6);
}

/// Which descriptors are the folder that is served.
fn roots(house: &House) -> Vec<OsString> {
    let all = fs::read_dir(format!("/proc/{}/fd", house.program.pid())).expect("it runs").flatten();
    let root = house.path("").canonicalize().unwrap();
    all.filter(|file| fs::read_link(file.path()).is_ok_and(|link| link == root))
        .map(|file| file.file_name())
        .collect()
}

/// Even where nothing tells that it's another one.
#[test]
fn sighup_opens_the_root_anew() {
    if !cfg!(target_os = "linux") {
        return visitors::skipped("this system doesn't tell which descriptors a program has");
    }
    let house = House::open(&["--workers", "1"]);
    house.quick();
    let before = roots(&house);
    assert_eq!(before.len(), 1);
    house.quick();
    assert_eq!(roots(&house), before);
    house.program.signal(SIGHUP);
    until("it's opened anew", || {
        house.quick();
        (roots(&house) != before).then_some(())
    });
    assert_eq!(roots(&house).len(), 1);
}

/// Without a log there is nothing to open anew, and a terminal that is closed ends what runs in it: politely.
#[rstest]
#[case::one_worker("1")]
#[case::two_workers("2")]
fn a_closed_terminal_ends_it(#[case] workers: &str) {
    let start = Start::new(PROGRAM).arg("127.0.0.1:0").arg("--workers").arg(workers);
    let start = ["--grace", "300", "--answer", "300"].iter().fold(start, Start::arg);
    let program = start.start().unwrap();
    let address = program.listening().unwrap();
    let mut begun = Visitor::with_little_room(address, 16 * 1024);
    begun.get("/large", "");
    begun.stream.peek(&mut [0]).expect("it has begun");
    program.signal(SIGHUP);
    program.says(|line| line.starts_with("stopping")).expect("it stops");
    // The shell tells it as well as the kernel: that isn't "at once".
    program.signal(SIGHUP);
    until("nobody is let in any more", || Visitor::try_call(address).is_err().then_some(()));
    assert!(begun.answer().body.len() >= 8 * MIB, "it's cut off");
    let status = until("it ends", || program.exit_status());
    assert!(status.success(), "{status}");
}

/// Unless it was started to outlive it.
#[test]
fn nohup_is_respected() {
    if !cfg!(target_os = "linux") {
        return visitors::skipped("this system doesn't tell what a program ignores");
    }
    let script = "trap '' HUP; exec \"$@\"";
    let start = Start::new("/bin/sh").arg("-c").arg(script).arg("sh").arg(PROGRAM);
    let program = start.arg("127.0.0.1:0").start().unwrap();
    let address = program.listening().unwrap();
    program.settled().expect("it rests");
    program.signal(SIGHUP);
    program.settled().expect("it goes on");
    let mut visitor = Visitor::call(address);
    visitor.get("/hello", "");
    let answer = visitor.answer();
    assert_eq!(answer.text(), "Hello, World!");
    assert_eq!(answer.field("Connection"), None, "it's stopping");
    program.signal(SIGTERM);
    let status = until("it ends", || program.exit_status());
    assert!(status.success(), "{status}");
}
