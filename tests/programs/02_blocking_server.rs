//! What chapter 2's program must do, besides its exercises.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use assert_cmd::Command;
use lens::record::Outcome;
use lens::{Blind, Lens};
use rstest::rstest;
use visitors::answer::Answer;
use visitors::connection::{Connection, End};
use visitors::doing;
use visitors::program::{Program, Start};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ch02-blocking-server");
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const LONGEST_REQUEST: usize = 8 * 1024;

fn start() -> (Program, SocketAddr) {
    let program = Start::new(PROGRAM).arg("127.0.0.1:0").start().expect("it can be started");
    let address = program.listening().expect("it says where it listens");
    (program, address)
}

/// The whole answer to what has been sent, up to the connection's proper end.
#[track_caller]
fn answer(program: &Program, visitor: &mut Connection) -> Answer {
    let received = visitor.receive_all(program).expect("no trouble");
    assert_eq!(received.end, End::Closed);
    let (answer, length) = Answer::parse(&received.bytes, true).expect("a whole answer");
    assert_eq!(length, received.bytes.len(), "nothing comes after the answer");
    answer
}

#[track_caller]
fn still_serves(program: &Program, address: SocketAddr) {
    let mut quick = Connection::connect(address, "quick visitor").expect("it listens");
    quick.send(REQUEST).expect("it reads");
    let answer = answer(program, &mut quick);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, b"Good things come to those who wait.\nServed by chapter 2.\n");
}

#[rstest]
#[case::one(1)]
#[case::two(2)]
#[case::byte_by_byte(usize::MAX)]
fn a_request_in_pieces_gets_the_same_answer(#[case] pieces: usize) {
    let (program, address) = start();
    let mut visitor = Connection::connect(address, "slow visitor").unwrap();
    visitor.send_in_pieces(REQUEST, pieces, &program).unwrap();
    assert_eq!(answer(&program, &mut visitor).body.len(), 57);
}

#[rstest]
#[case::in_the_request_politely(20, false)]
#[case::in_the_request_by_reset(20, true)]
#[case::without_a_word(0, false)]
#[case::in_the_answer_by_reset(REQUEST.len(), true)]
fn a_rude_visitor_changes_nothing_for_the_next(#[case] after: usize, #[case] by_reset: bool) {
    let (program, address) = start();
    let mut rude = Connection::connect(address, "rude visitor").unwrap();
    rude.send_in_pieces(&REQUEST[..after], 1, &program).unwrap();
    match by_reset {
        true => rude.reset(),
        false => drop(rude),
    }
    still_serves(&program, address);
    let said =
        program.says(|line| line.starts_with("visitor 1: ") && !line.contains("connected from"));
    said.expect("a line says what came of the rude visitor");
}

#[test]
fn a_visitor_who_leaves_in_the_middle_of_the_large_page_changes_nothing() {
    let (program, address) = start();
    let mut rude = Connection::connect(address, "rude visitor").unwrap();
    rude.send(b"GET /large HTTP/1.1\r\n\r\n").unwrap();
    let some = |bytes: &[u8]| bytes.len() > 100_000;
    rude.receive_while_missing(&program, some).expect("no trouble").expect("a large page");
    rude.reset();
    still_serves(&program, address);
    program.says(|line| line.starts_with("visitor 1: lost: ")).expect("a line says so");
}

#[test]
fn the_large_page_arrives_whole() {
    let (program, address) = start();
    let mut visitor = Connection::connect(address, "greedy visitor").unwrap();
    visitor.send(b"GET /large HTTP/1.1\r\n\r\n").unwrap();
    let body = answer(&program, &mut visitor).body;
    let line = b"Good things come to those who wait.\n";
    assert_eq!(body.len(), (8_usize << 20).div_ceil(line.len()) * line.len());
    assert!(body.chunks(line.len()).all(|chunk| chunk == line));
}

#[rstest]
#[case::at_the_limit(LONGEST_REQUEST, 200)]
#[case::over_the_limit(LONGEST_REQUEST + 1, 431)]
#[case::far_over_the_limit(60 * 1024, 431)]
fn a_request_is_at_most_8_kib_and_the_answer_is_not_eaten(
    #[case] length: usize,
    #[case] status: u16,
) {
    // Far over the limit most of what was sent lies unread at the end: a plain close would send a reset.
    let (program, address) = start();
    let mut visitor = Connection::connect(address, "talkative visitor").unwrap();
    let (begin, end) = ("GET / HTTP/1.1\r\nX: ", "\r\n\r\n");
    let filling = "x".repeat(length - begin.len() - end.len());
    visitor.send(format!("{begin}{filling}{end}").as_bytes()).unwrap();
    assert_eq!(answer(&program, &mut visitor).status, status);
}

#[test]
fn one_silent_visitor_stops_everybody_until_it_leaves() {
    // What the chapter is about. If this fails, its page tells a tale.
    let (program, address) = start();
    let silent = Connection::connect(address, "silent visitor").unwrap();
    program.says(|line| line.starts_with("visitor 1: connected")).unwrap();
    let mut quick = Connection::connect(address, "quick visitor").unwrap();
    quick.send(REQUEST).unwrap();
    assert!(!quick.readable_within(Duration::from_millis(200)));
    if cfg!(target_os = "linux") {
        let doing = doing::describe(program.pid());
        assert!(
            doing.contains("it waits for the silent visitor to send, or to hang up"),
            "{doing}"
        );
    }
    drop(silent);
    assert_eq!(answer(&program, &mut quick).status, 200);
}

#[test]
fn who_has_its_answer_and_stays_holds_up_the_next_for_a_second_at_the_most() {
    let (program, address) = start();
    let mut staying = Connection::connect(address, "staying visitor").unwrap();
    staying.send(REQUEST).unwrap();
    answer(&program, &mut staying);
    still_serves(&program, address);
    drop(staying);
}

#[test]
fn waits_without_using_the_processor() {
    let (program, address) = start();
    let _silent = Connection::connect(address, "silent visitor").unwrap();
    program.settled().unwrap();
    let before = program.usage().unwrap_or_default().cpu;
    thread::sleep(Duration::from_millis(300));
    let used = program.usage().unwrap_or_default().cpu - before;
    assert!(used <= Duration::from_millis(10), "{used:?}");
}

#[test]
fn a_taken_address_is_one_clear_line() {
    let (_program, address) = start();
    let output = Command::new(PROGRAM).arg(address.to_string()).assert().code(1);
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.starts_with(&format!("ch02-blocking-server: can't listen on {address}: ")),
        "{said}"
    );
}

#[rstest]
#[case::no_address(&["somewhere"])]
#[case::two_addresses(&["127.0.0.1:0", "127.0.0.1:0"])]
#[case::an_option(&["--nonsense"])]
fn bad_arguments_get_one_line_and_status_2(#[case] arguments: &[&str]) {
    let output = Command::new(PROGRAM).args(arguments).assert().code(2);
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("--help"), "{said}");
}

#[test]
fn it_waits_in_two_places_and_each_excludes_the_other() {
    // The contrary of what holds from chapter 4 on.
    let (program, address) = start();
    let lens = match Lens::on(&program) {
        Ok(lens) => lens,
        Err(blind) => return visitors::skipped(blind),
    };
    program.settled().unwrap();
    let silent = Connection::connect(address, "silent visitor").unwrap();
    program.settled().unwrap();
    drop(silent);
    still_serves(&program, address);
    assert_eq!(lens.waits_only_in(&["accept", "read", "write"]), Ok(()));
    let elsewhere = lens.waits_only_in(&["accept"]).expect_err("it waits for its visitor, too");
    assert!(elsewhere.contains("in recvfrom on the silent visitor"), "{elsewhere}");
    let elsewhere = lens.waits_only_in(&["read"]).expect_err("it waits for the next one, too");
    assert!(elsewhere.contains("in accept4 on the listener"), "{elsewhere}");
}

#[test]
fn a_signal_in_the_goodbye_changes_nothing() {
    // With a time limit set, a read that is stopped and goes on fails with EINTR (signal(7)). On a busy
    // machine the goodbye's second may be over before the signal comes.
    for _ in 0..10 {
        let outcomes = match reads_of_a_goodbye_with_a_signal() {
            Ok(outcomes) => outcomes,
            Err(blind) => return visitors::skipped(blind),
        };
        let interrupted = outcomes.iter().position(|o| *o == Outcome::Error("EINTR".to_owned()));
        if let Some(interrupted) = interrupted {
            // It has read again, and found the end.
            assert_eq!(outcomes.get(interrupted + 1), Some(&Outcome::Result(0)), "{outcomes:?}");
            return;
        }
    }
    panic!("in ten goodbyes no read was interrupted: this proves nothing");
}

/// What came of each read of a visitor who has its answer and stays, while a signal comes.
fn reads_of_a_goodbye_with_a_signal() -> Result<Vec<Outcome>, Blind> {
    let (program, address) = start();
    let lens = Lens::on(&program)?;
    let mut staying = Connection::connect(address, "staying visitor").unwrap();
    staying.send(REQUEST).unwrap();
    answer(&program, &mut staying);
    program.interrupt();
    drop(staying);
    still_serves(&program, address);
    program.says(|line| line == "visitor 1: answered").expect("nothing was lost");
    let reads = lens.calls().into_iter().filter(|call| call.call == "recvfrom");
    let of_the_staying = reads.filter(|call| call.what.as_deref() == Some("the staying visitor"));
    Ok(of_the_staying.map(|call| call.outcome).collect())
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
