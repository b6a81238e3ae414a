//! What chapter 4's program must do, besides its exercises.

#[path = "serving/hangs_up.rs"]
mod hangs_up;
#[path = "serving/promises.rs"]
mod promises;
mod serving;

use serving::Server;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ch04-select");
const CHAPTER: u32 = 4;
/// The one call in which it waits.
const WAITS_IN: &str = "select";
/// So many silent visitors it must be able to keep.
const SILENT: usize = 900;

fn start() -> Server {
    Server::start(PROGRAM, CHAPTER)
}

#[test]
fn a_greedy_visitor_stops_everybody() {
    serving::a_greedy_visitor_stops_everybody(&start());
}

#[test]
fn a_false_readiness_makes_it_wait() {
    // Readiness is a hint, and here it's taken for a promise. Chapter 6 mends it.
    let server = start();
    let Some((_lens, _silent)) = serving::under_a_lens_that_lies(&server) else { return };
    let mut quick = server.visitor("quick visitor");
    quick.send(serving::REQUEST).unwrap();
    server.settled();
    let doing = server.program.doing();
    assert!(doing.starts_with("is inside recvfrom("), "{doing}");
    assert!(!quick.readable_within(std::time::Duration::from_millis(100)), "nobody serves it");
}

#[test]
fn descriptor_1024_is_turned_away_and_the_server_goes_on() {
    let server = start();
    visitors::crowd::make_room(1100).unwrap();
    let mut silent = Vec::new();
    // It has a few descriptors of its own: from some visitor on, the next ones don't fit.
    let first = loop {
        let mut visitor = server.visitor("visitor");
        visitor.send(&serving::REQUEST[..20]).unwrap();
        visitor.wait_until_read(std::time::Duration::from_millis(20));
        if silent.len() >= 1000 && visitor.readable_within(std::time::Duration::from_millis(200)) {
            break visitor;
        }
        silent.push(visitor);
    };
    assert!((1000..1024).contains(&silent.len()), "{} stay", silent.len());
    let mut turned_away = vec![first];
    // More of them than are kept open.
    for _ in 0..40 {
        let mut visitor = server.visitor("visitor");
        // It may be turned away, and let go of, before it has said a word.
        let _ = visitor.send(serving::REQUEST);
        turned_away.push(visitor);
    }
    for visitor in &mut turned_away {
        let whole = |bytes: &[u8]| visitors::answer::Answer::parse(bytes, false).is_some();
        let received = visitor.receive_while_missing(&server.program, whole);
        let bytes = received.expect("no trouble").expect("a whole answer");
        let answer = visitors::answer::Answer::parse(&bytes, false).unwrap().0;
        assert_eq!(answer.status, 503);
    }
    server.program.says(|line| line.ends_with("turned away: descriptor 1024")).expect("a line");
    server.does_nothing();
    // Those who are here are served, and when some have left there is room again.
    let mut last = silent.pop().expect("many are here");
    last.send(&serving::REQUEST[20..]).unwrap();
    server.expect_page(&mut last);
    silent.truncate(900);
    drop(last);
    server.settled();
    server.still_serves();
}

#[test]
fn the_compiler_refuses_the_first_attempt_as_the_page_says() {
    serving::is_refused_as_shown("ch04-attempt", include_str!("../../book/figures/04-borrow.txt"));
}

mod two {
    use std::process::Command;
    use std::time::Duration;

    use lens::Lens;
    use visitors::connection::Connection;
    use visitors::hosts::Host;
    use visitors::program::{Program, Start};

    const TWO: &str = env!("CARGO_BIN_EXE_ch04-two");
    const ANSWER: &[u8] = b"HTTP/1.0 200 OK\r\n\r\nhere";

    /// The program, with its two hosts, who have read its requests.
    fn start() -> (Program, [Host; 2], [Connection; 2]) {
        let hosts = [(); 2].map(|()| Host::bind().unwrap());
        let start = Start::new(TWO).arg(hosts[0].address().to_string());
        let program = start.arg(hosts[1].address().to_string()).start().unwrap();
        let connections = [0, 1].map(|index| {
            let mut connection = hosts[index].accept(&program, &format!("host {index}")).unwrap();
            let whole = |bytes: &[u8]| bytes.ends_with(b"\r\n\r\n");
            let received = connection.receive_while_missing(&program, whole);
            received.expect("no trouble").expect("a request");
            connection
        });
        (program, hosts, connections)
    }

    /// It says a line that begins like this.
    #[track_caller]
    fn says(program: &Program, start: &str) {
        program.prints(|line| line.starts_with(start)).expect("it says so");
    }

    #[test]
    fn who_finishes_first_is_heard_first() {
        let (program, hosts, [mut slow, mut quick]) = start();
        let lens = Lens::on(&program);
        slow.send(&ANSWER[..10]).unwrap();
        assert!(slow.wait_until_read(Duration::from_secs(20)));
        quick.send(ANSWER).unwrap();
        drop(quick);
        // The second one's end is told although the first goes on.
        says(&program, &format!("{}: the end after", hosts[1].address()));
        program.settled().unwrap();
        slow.send(&ANSWER[10..]).unwrap();
        drop(slow);
        says(&program, &format!("{}: the end after", hosts[0].address()));
        assert!(program.ended().unwrap().success());
        if let Ok(lens) = lens {
            assert_eq!(lens.waits_only_in(&["select"]), Ok(()));
        }
    }

    #[test]
    fn a_host_that_resets_ends_nothing_else() {
        let (program, hosts, [rude, mut other]) = start();
        rude.reset();
        says(&program, &format!("{}: Connection reset", hosts[0].address()));
        other.send(ANSWER).unwrap();
        drop(other);
        assert!(program.ended().unwrap().success());
        says(&program, &format!("{}: the end after", hosts[1].address()));
    }

    #[test]
    fn bad_arguments_get_one_line() {
        let cases: [(&[&str], i32); 4] = [
            (&["127.0.0.1:1"], 2),
            (&["here", "there"], 2),
            (&["127.0.0.1:1", "127.0.0.1:1"], 1),
            (&["127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:1"], 2),
        ];
        for (arguments, status) in cases {
            let output = Command::new(TWO).args(arguments).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(status), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }
}
