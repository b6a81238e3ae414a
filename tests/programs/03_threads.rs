//! What chapter 3's program must do, besides its exercises: with a thread for each visitor, and with a pool.

use std::net::SocketAddr;
use std::time::Duration;

use assert_cmd::Command;
use lens::Lens;
use rstest::rstest;
use visitors::answer::Answer;
use visitors::connection::{Connection, End};
use visitors::program::{Program, Start};
use visitors::tcp;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ch03-threads");
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const THREADS: &[&str] = &[];
const POOL: &[&str] = &["--pool", "3"];
/// As in the program.
const QUEUE: usize = 16;

fn start(arguments: &[&str]) -> (Program, SocketAddr) {
    let start = arguments.iter().fold(Start::new(PROGRAM).arg("127.0.0.1:0"), Start::arg);
    let program = start.start().expect("it can be started");
    let address = program.listening().expect("it says where it listens");
    (program, address)
}

/// The whole answer to what has been sent, up to the connection's proper end.
#[track_caller]
fn answer(program: &Program, visitor: &mut Connection) -> Answer {
    let received = visitor.receive_all(program).expect("no trouble");
    assert_eq!(received.end, End::Closed);
    Answer::parse(&received.bytes, true).expect("a whole answer").0
}

#[track_caller]
fn still_serves(program: &Program, address: SocketAddr) {
    let mut quick = Connection::connect(address, "quick visitor").expect("it listens");
    quick.send(REQUEST).expect("it reads");
    let answer = answer(program, &mut quick);
    assert_eq!(answer.body, b"Good things come to those who wait.\nServed by chapter 3.\n");
}

/// `count` visitors in the middle of their requests at once, served in reverse order.
#[track_caller]
fn serves_at_once(program: &Program, address: SocketAddr, count: usize) {
    let connect = |_| Connection::connect(address, "visitor").expect("it listens");
    let mut visitors: Vec<Connection> = (0..count).map(connect).collect();
    for visitor in &mut visitors {
        visitor.send(&REQUEST[..20]).unwrap();
    }
    for visitor in visitors.iter_mut().rev() {
        visitor.send(&REQUEST[20..]).unwrap();
        assert_eq!(answer(program, visitor).status, 200);
    }
}

#[rstest]
#[case::threads(THREADS, 50)]
#[case::pool(POOL, 3)]
fn visitors_are_served_at_once(#[case] arguments: &[&str], #[case] count: usize) {
    let (program, address) = start(arguments);
    serves_at_once(&program, address, count);
}

#[rstest]
#[case::threads(THREADS)]
#[case::pool(POOL)]
fn a_request_in_pieces_gets_the_same_answer(#[case] arguments: &[&str]) {
    let (program, address) = start(arguments);
    let mut slow = Connection::connect(address, "slow visitor").unwrap();
    slow.send_in_pieces(REQUEST, usize::MAX, &program).unwrap();
    assert_eq!(answer(&program, &mut slow).body.len(), 57);
}

#[rstest]
#[case::threads(THREADS)]
#[case::pool(POOL)]
fn a_bug_loses_one_visitor_and_no_worker(#[case] arguments: &[&str]) {
    let (program, address) = start(arguments);
    for _ in 0..6 {
        let mut unlucky = Connection::connect(address, "unlucky visitor").unwrap();
        unlucky.send(b"GET /panic HTTP/1.1\r\n\r\n").unwrap();
        let received = unlucky.receive_all(&program).expect("no trouble");
        assert!(received.bytes.is_empty());
    }
    serves_at_once(&program, address, 3);
    program
        .says(|line| line == "visitor 6: lost: a bug of ours, see above")
        .expect("a line says so");
}

#[rstest]
#[case::threads(THREADS)]
#[case::pool(POOL)]
fn rude_visitors_change_nothing(#[case] arguments: &[&str]) {
    let (program, address) = start(arguments);
    for after in [0, 20, REQUEST.len()] {
        let mut rude = Connection::connect(address, "rude visitor").unwrap();
        rude.send(&REQUEST[..after]).unwrap();
        rude.reset();
        drop(Connection::connect(address, "rude visitor").unwrap());
    }
    // Gone before they are accepted.
    program.stop();
    for _ in 0..3 {
        Connection::connect(address, "rude visitor").unwrap().reset();
    }
    program.go_on();
    serves_at_once(&program, address, 3);
}

#[test]
fn each_silent_visitor_costs_a_thread() {
    // What the chapter is about. If this fails, its page tells a tale.
    let (program, address) = start(THREADS);
    let silent: Vec<_> =
        (0..40).map(|_| Connection::connect(address, "silent visitor").unwrap()).collect();
    program.settled().unwrap();
    still_serves(&program, address);
    if let Some(usage) = program.usage() {
        assert!(usage.threads > silent.len(), "{usage:?}");
    }
}

#[test]
fn a_pool_keeps_its_size_and_its_queue_has_an_end() {
    let (program, address) = start(POOL);
    let silent: Vec<_> =
        (0..60).map(|_| Connection::connect(address, "silent visitor").unwrap()).collect();
    program.settled().unwrap();
    if let Some(usage) = program.usage() {
        assert_eq!(usage.threads, 1 + 3);
    }
    if let Some(accepted) = tcp::accepted(address.port()) {
        // With each worker, in the queue, and in the hand of the one that accepts.
        assert_eq!(accepted, 3 + QUEUE + 1);
    }
    let mut quick = Connection::connect(address, "quick visitor").unwrap();
    quick.send(REQUEST).unwrap();
    assert!(!quick.readable_within(Duration::from_millis(100)), "nobody is free to serve it");
    drop(silent);
    assert_eq!(answer(&program, &mut quick).status, 200);
}

#[rstest]
#[case::no_address(&["somewhere"])]
#[case::no_number(&["--pool"])]
#[case::no_workers(&["--pool", "0"])]
#[case::a_word(&["--pool", "many"])]
fn bad_arguments_get_one_line_and_status_2(#[case] arguments: &[&str]) {
    let output = Command::new(PROGRAM).args(arguments).assert().code(2);
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("--help"), "{said}");
}

#[test]
fn each_thread_waits_for_somebody_of_its_own() {
    // The contrary of what holds from chapter 4 on: the waiting is done, by many.
    let (program, address) = start(&[]);
    let lens = match Lens::on(&program) {
        Ok(lens) => lens,
        Err(blind) => return visitors::skipped(blind),
    };
    program.settled().unwrap();
    let _silent: Vec<_> = (1..=3)
        .map(|number| Connection::connect(address, &format!("silent visitor {number}")).unwrap())
        .collect();
    program.settled().unwrap();
    let elsewhere = lens.waits_only_in(&["accept"]).expect_err("its threads wait for the visitors");
    for number in 1..=3 {
        let wait = format!("once in recvfrom on the silent visitor {number}");
        assert!(elsewhere.contains(&wait), "{elsewhere}");
    }
    let waiting = lens.calls().into_iter().filter(|call| call.blocked() > Duration::ZERO);
    let threads: std::collections::BTreeSet<u32> = waiting.map(|call| call.thread).collect();
    assert_eq!(threads.len(), 4, "the one that accepts, and one for each visitor");
}

#[test]
fn who_can_not_say_where_it_listens_says_that() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = std::process::Command::new(PROGRAM).arg("127.0.0.1:0").stdout(writer).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("can't tell where it listens: Broken pipe"), "{said}");
}
