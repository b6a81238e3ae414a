//! `cargo host`: each manner, as a program that calls on it sees it.

mod servers;

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use assert_cmd::prelude::*;
use rstest::rstest;

use servers::PATIENCE;
use visitors::cast::Who;
use visitors::connection::{Connection, End};
use visitors::hosts::Manner;
use visitors::program::{Program, Start};
use visitors::visit::{Ending, visit};

const HOST: &str = env!("CARGO_BIN_EXE_host");
const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

fn host(manner: &str) -> (Program, SocketAddr) {
    let start = Start::new(HOST).arg(manner).arg("127.0.0.1:0");
    let program = start.start().expect("the host starts");
    let address = program.listening().expect("the host listens");
    (program, address)
}

/// All that a visitor gets who asks properly, and how it ends.
fn ask(manner: &str) -> (Vec<u8>, End, Program) {
    let (program, address) = host(manner);
    let mut visitor = Connection::connect(address, "visitor").expect("it listens");
    visitor.send(REQUEST).expect("it reads");
    let received = visitor.receive_all(&program).expect("it hangs up at last");
    (received.bytes, received.end, program)
}

/// The body's length as the head says, and the bytes of body that came. `None`: the head isn't whole.
fn body(answer: &[u8]) -> Option<(usize, usize)> {
    let text = String::from_utf8(answer.to_vec()).expect("plain text");
    let (head, body) = text.split_once("\r\n\r\n")?;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    Some((length?.parse().ok()?, body.len()))
}

#[rstest]
fn an_answer_is_whole_and_ends_politely(#[values("quick", "slow")] manner: &str) {
    let (answer, end, program) = ask(manner);
    let (length, came) = body(&answer).expect("a whole head");
    assert_eq!(came, length);
    assert!(came > 0);
    assert_eq!(end, End::Closed);
    assert!(program.says(|line| line == "visitor 1 asked: GET / HTTP/1.0").is_ok());
}

#[test]
fn the_slow_host_takes_about_two_seconds_from_the_first_piece_to_the_last() {
    let (_program, address) = host("slow");
    let visit = visit(Who::Quick, address, PATIENCE).expect("a thread").end();
    let (first, last) = (visit.first_byte.expect("some"), visit.last_byte.expect("some"));
    assert!(last - first > Duration::from_millis(1500), "{visit:?}");
    assert_eq!(visit.ending, Ending::Answered { status: 200 });
}

#[test]
fn the_rude_host_hangs_up_in_the_middle_of_the_body() {
    let (answer, end, _) = ask("rude");
    let (length, came) = body(&answer).expect("a whole head");
    assert!(0 < came && came < length, "{came} of {length}");
    assert_eq!(end, End::Closed, "a reset could eat the half that is to be seen");
}

#[test]
fn the_headless_host_hangs_up_in_the_middle_of_the_head() {
    let (answer, end, _) = ask("headless");
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert_eq!(body(&answer), None);
    assert_eq!(end, End::Closed);
}

#[test]
fn the_holding_host_answers_and_holds_the_line_for_the_next_request() {
    let (program, address) = host("holding");
    let mut visitor = Connection::connect(address, "visitor").expect("it listens");
    let whole = |answer: &[u8]| body(answer).is_some_and(|(length, came)| came == length);
    for _ in 0..3 {
        visitor.send(REQUEST).expect("it still reads");
        let answer = visitor.receive_while_missing(&program, whole).expect("it answers");
        answer.expect("it doesn't hang up");
    }
    drop(visitor);
    assert!(program.says(|line| line == "visitor 1 hung up").is_ok());
}

#[test]
fn the_silent_host_says_nothing_even_if_asked_and_notices_the_end() {
    let (program, address) = host("silent");
    let visit = visit(Who::Quick, address, Duration::from_secs(1)).expect("a thread").end();
    assert_eq!((visit.ending, visit.received), (Ending::GaveUp, 0));
    assert!(program.says(|line| line == "visitor 1 hung up").is_ok());
}

#[test]
fn no_answer_before_the_blank_line() {
    let (program, address) = host("quick");
    let mut visitor = Connection::connect(address, "visitor").expect("it listens");
    let (most, last) = REQUEST.split_at(REQUEST.len() - 1);
    visitor.send_in_pieces(most, 5, &program).expect("it reads");
    // By now an answer that came too early would have been sent.
    assert!(!program.stderr().iter().any(|line| line.contains("sent")));
    visitor.send(last).expect("it reads");
    let received = visitor.receive_all(&program).expect("it hangs up at last");
    assert!(body(&received.bytes).is_some());
}

#[test]
fn a_rude_visitor_ends_nothing_but_its_own_connection() {
    let (program, address) = host("quick");
    let mut rude = Connection::connect(address, "rude visitor").expect("it listens");
    rude.send(b"GET / HT").expect("it reads");
    rude.reset();
    assert!(program.says(|line| line.starts_with("visitor 1 is gone")).is_ok());
    let next = visit(Who::Quick, address, PATIENCE).expect("a thread").end();
    assert_eq!(next.ending, Ending::Answered { status: 200 });
}

#[test]
fn a_silent_visitor_doesn_t_keep_the_next_one_waiting() {
    let (program, address) = host("quick");
    let _silent = Connection::connect(address, "silent visitor").expect("it listens");
    assert!(program.says(|line| line.starts_with("visitor 1 connected")).is_ok());
    let next = visit(Who::Quick, address, PATIENCE).expect("a thread").end();
    assert_eq!(next.ending, Ending::Answered { status: 200 });
}

#[test]
fn a_port_that_is_taken_is_said_to_be() {
    let (_program, address) = host("quick");
    let began = Instant::now();
    let output = Command::new(HOST).args(["quick", &address.to_string()]).unwrap_err();
    let output = output.as_output().expect("it ended by itself");
    assert!(began.elapsed() < PATIENCE);
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains(&format!("{address} is taken")), "{words}");
    assert_eq!(words.lines().count(), 1, "{words}");
    assert!(output.stdout.is_empty(), "it doesn't listen");
}

#[rstest]
#[case(&["polite"], "quick, slow, silent, holding, rude, headless")]
#[case(&["quick", "7001"], "7001")]
#[case(&["quick", "127.0.0.1:0", "more"], "more")]
fn bad_usage(#[case] arguments: &[&str], #[case] mentioned: &str) {
    let output = Command::new(HOST).args(arguments).assert().code(2).get_output().clone();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains(mentioned), "{words}");
}

#[test]
fn every_manner_has_its_word() {
    for (manner, word, _) in visitors::hosts::MANNERS {
        assert_eq!(word.parse(), Ok(manner));
        assert_eq!(manner.to_string(), word);
    }
    assert!("".parse::<Manner>().is_err());
}
