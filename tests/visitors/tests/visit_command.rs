//! `cargo visit`, as it is without a terminal.

mod servers;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::mpsc;
use std::time::Instant;

use assert_cmd::prelude::*;
use nix::sys::signal::Signal;
use rstest::rstest;

use servers::{ANSWER, PATIENCE, concurrent, good, nobody, read_request, sequential};
use visitors::program::Start;

const VISIT: &str = env!("CARGO_BIN_EXE_visit");

fn visit(arguments: &[&str]) -> Output {
    let began = Instant::now();
    let assert = Command::new(VISIT).args(arguments).assert();
    assert!(began.elapsed() < PATIENCE);
    assert.get_output().clone()
}

/// Its stdout, with `TIME` for each time that was measured (they have a decimal).
fn transcript(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    let mut shown = String::new();
    let mut words = text.split_inclusive([' ', '\n', ':', ',']).peekable();
    while let Some(word) = words.next() {
        let measured = word.trim_end().contains('.') && word.trim_end().parse::<f64>().is_ok();
        match words.peek().map(|unit| unit.trim_end_matches([' ', '\n', ':', ','])) {
            Some("ms" | "s") if measured => shown.push_str("TIME "),
            _ => shown.push_str(word),
        }
    }
    shown.replace("TIME ms", "TIME").replace("TIME s", "TIME")
}

#[test]
fn each_fares_in_a_line_in_the_order_in_which_they_came() {
    let address = concurrent(good).to_string();
    let output = visit(&[&address, "quick", "silent", "slow", "crowd=3", "quick"]);
    assert_eq!(output.status.code(), Some(0));
    let expected = format!(
        "{address}, for at most 5 s: quick, silent, slow, crowd=3, quick\n\
         quick    answered 200 after TIME: from tests\n\
         silent   said nothing for TIME, and was left alone\n\
         slow     answered 200 after TIME: from tests\n\
         crowd=3  3 of 3 connected: 3 stayed for TIME\n\
         quick    answered 200 after TIME: from tests\n"
    );
    assert_eq!(transcript(&output), expected);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn who_stands_behind_the_silent_one_is_said_to_have_given_up() {
    let address = sequential(good).to_string();
    let output = visit(&[&address, "--seconds", "4"]);
    assert_eq!(output.status.code(), Some(0), "a bad server is no failure of the play");
    let expected = format!(
        "{address}, for at most 4 s: quick, slow, silent, quick, rude, quick\n\
         quick   answered 200 after TIME: from tests\n\
         slow    answered 200 after TIME: from tests\n\
         silent  said nothing for TIME, and was left alone\n\
         quick   no answer after TIME: gave up\n\
         rude    hung up in its request; then no answer after TIME: gave up\n\
         quick   no answer after TIME: gave up\n"
    );
    assert_eq!(transcript(&output), expected);
}

#[test]
fn a_rude_visitor_that_got_its_answer_has_hung_up_twice() {
    let address = concurrent(|mut stream| {
        let (request, _) = read_request(&mut stream);
        if request.ends_with(b"\r\n\r\n") {
            // It may have gone already.
            let _ = stream.write_all(ANSWER);
            drop(stream.read(&mut [0]));
        }
    });
    let output = visit(&[&address.to_string(), "rude"]);
    let text = transcript(&output);
    assert!(text.ends_with("rude  hung up in its request, then in the answer\n"), "{text}");
}

#[rstest]
#[case::none(b"", "no answer: hung up on after TIME")]
#[case::half(&ANSWER[..ANSWER.len() - 3], "answer broken off after TIME, at 73 bytes")]
#[case::other(b"220 mail\r\n", "no HTTP answer, but 10 bytes of something else")]
#[case::escapes(b"HTTP/1.0 200 OK\r\n\r\n\x1b[31mred", "answered 200 after TIME")]
#[case::long_line(&[b'x'; 3000], "no HTTP answer, but 2.9 KiB of something else")]
#[case::last_line(b"HTTP/1.0 404 Not Found\r\n\r\none\n two \n\n", "answered 404 after TIME: two")]
fn what_came_is_told_in_fixed_words(#[case] sent: &'static [u8], #[case] words: &str) {
    let address = concurrent(move |mut stream| {
        read_request(&mut stream);
        stream.write_all(sent).expect("the visitor listens");
    });
    let text = transcript(&visit(&[&address.to_string(), "quick"]));
    assert_eq!(text.lines().nth(1), Some(format!("quick  {words}").as_str()), "{text}");
    assert!(!text.contains('\x1b'), "{text:?}");
}

#[test]
fn a_bare_port_is_one_of_this_machine_and_a_name_is_looked_up() {
    let port = concurrent(good).port();
    for place in [port.to_string(), format!("localhost:{port}")] {
        let output = visit(&[&place, "quick"]);
        assert_eq!(output.status.code(), Some(0));
        let text = transcript(&output);
        assert!(text.starts_with(&format!("localhost:{port}, ")), "{text}");
        assert!(text.contains("answered 200"), "{text}");
    }
}

#[test]
fn the_sixth_version_of_addresses_is_one() {
    // Machines without it refuse, too: only that it's understood is of interest.
    let output = visit(&["[::1]:9", "quick"]);
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("[::1]:9, for at most"));
}

#[test]
fn where_nobody_listens_it_says_what_to_do() {
    let (address, _port) = nobody();
    let output = visit(&[&address.to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(transcript(&output).contains("\nslow    refused after TIME\n"));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains(&format!("does anything listen on {address}?")), "{words}");
    assert!(words.contains("Start the server first"), "{words}");
}

#[rstest]
#[case(&[], "CHAPTER|ADDRESS")]
#[case(&["127.0.0.1:7002", "quik"], "quick, slow, silent, greedy, rude, crowd")]
#[case(&["quick"], "there is no chapter quick")]
#[case(&["99"], "there is no chapter 99; there are 1, 2")]
#[case(&["0"], "there is no chapter 0")]
#[case(&["127.0.0.1:port"], "127.0.0.1:port")]
#[case(&["127.0.0.1:99999"], "127.0.0.1:99999")]
#[case(&["1"], "cargo host")]
#[case(&["7002", "--seconds", "0"], "--seconds")]
#[case(&["7002", "--seconds", "61"], "--seconds")]
#[case(&["7002", "quick", "--", "4"], "what follows --")]
fn bad_usage(#[case] arguments: &[&str], #[case] mentioned: &str) {
    let output = visit(arguments);
    assert_eq!(output.status.code(), Some(2));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains(mentioned), "{words}");
    assert!(output.stdout.is_empty(), "nobody has gone anywhere");
}

#[test]
fn ctrl_c_ends_the_play_and_says_how_it_was_so_far() {
    let (said, heard) = mpsc::channel();
    let address: SocketAddr = concurrent(move |mut stream| {
        said.send(()).expect("the test listens");
        // Without a word until the visitor goes.
        drop(stream.read_to_end(&mut Vec::new()));
    });
    let start = Start::new(VISIT).arg(address.to_string());
    let start = start.arg("silent").arg("quick").arg("--seconds").arg("60");
    let visit = start.start().expect("it starts");
    for _ in 0..2 {
        heard.recv_timeout(PATIENCE).expect("a visitor comes");
    }
    let began = Instant::now();
    visit.signal(Signal::SIGINT);
    let status = visit.ended().expect("it ends");
    assert!(began.elapsed() < PATIENCE);
    assert_eq!(status.code(), Some(130));
    let text = String::from_utf8(visit.stdout()).expect("text");
    assert!(text.contains("\nsilent  said nothing for "), "{text}");
    assert!(text.contains("\nquick   no answer after "), "{text}");
}
