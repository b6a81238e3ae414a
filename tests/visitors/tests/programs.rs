//! A program seen from outside: what it's waiting for, and whether it's any use to wait for it.

mod servers;

use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use servers::{ANSWER, PATIENCE, read_request};
use visitors::connection::Connection;
use visitors::hosts::Host;
use visitors::program::{Start, Trouble};

const HOST: &str = env!("CARGO_BIN_EXE_host");
const VISIT: &str = env!("CARGO_BIN_EXE_visit");

#[test]
fn a_program_that_ends_too_early_is_reported_with_its_last_words() {
    let program = Start::new(HOST).arg("polite").start().expect("it starts");
    let trouble = program.listening().expect_err("there is no such host");
    let Trouble::Ended { status, last_words } = trouble else {
        panic!("{trouble:?}");
    };
    assert_eq!(status.code(), Some(2));
    assert!(last_words.contains("--help"), "{last_words}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_program_that_sleeps_is_reported_soon_and_for_whom_it_waits() {
    let start = Start::new(HOST).arg("silent").arg("127.0.0.1:0");
    let program = start.start().expect("it starts");
    let address = program.listening().expect("it listens");
    let mut visitor = Connection::connect(address, "silent visitor").expect("it listens");
    let began = Instant::now();
    let (trouble, bytes) = visitor.receive_all(&program).expect_err("it never answers");
    // Without the look into /proc it would take all the patience there is.
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    assert!(matches!(trouble, Trouble::Asleep { .. }), "{trouble:?}");
    assert!(bytes.is_empty());
    let words = trouble.to_string();
    let reads = "it waits for the silent visitor to send, or to hang up";
    assert!(words.contains(reads), "{words}");
    assert!(words.contains("it waits for the next visitor to connect"), "{words}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_program_that_spins_is_told_from_one_that_sleeps() {
    let start = Start::new("/bin/sh").arg("-c").arg("while :; do :; done");
    let program = start.start().expect("there is a shell");
    let trouble = program.listening().expect_err("it does nothing of the kind");
    assert!(matches!(trouble, Trouble::Spinning), "{trouble:?}");
    assert!(trouble.to_string().contains("loop"), "{trouble}");
}

#[test]
fn a_host_that_is_driven_step_by_step_serves_a_program() {
    let host = Host::bind().expect("a port");
    let start = Start::new(VISIT).arg(host.address().to_string()).arg("quick");
    let program = start.arg("--seconds").arg("60").start().expect("it starts");
    let mut connection = host.accept(&program, "host").expect("it comes");
    let blank_line = |bytes: &[u8]| bytes.ends_with(b"\r\n\r\n");
    let request = connection.receive_while_missing(&program, blank_line);
    let request = request.expect("it asks").expect("and doesn't hang up");
    assert!(request.starts_with(b"GET / HTTP/1.1\r\n"));
    connection.send(ANSWER).expect("it reads");
    let status = program.ended().expect("it has what it wants");
    assert_eq!(status.code(), Some(0));
    let text = String::from_utf8(program.stdout()).expect("text");
    assert!(text.contains("from tests"), "{text}");
}

#[test]
fn a_host_isn_t_kept_waiting_by_a_program_that_ends_without_calling() {
    let host = Host::bind().expect("a port");
    let program = Start::new(VISIT).arg("99").start().expect("it starts");
    let trouble = host.accept(&program, "host").expect_err("it doesn't come");
    assert!(matches!(trouble, Trouble::Ended { .. }), "{trouble:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_host_isn_t_kept_waiting_by_a_program_that_sleeps_elsewhere() {
    let host = Host::bind().expect("a port");
    let start = Start::new(HOST).arg("quick").arg("127.0.0.1:0");
    let program = start.start().expect("it starts");
    let trouble = host.accept(&program, "host").expect_err("it doesn't come");
    assert!(matches!(trouble, Trouble::Asleep { .. }), "{trouble:?}");
    assert!(trouble.to_string().contains("it waits for the next visitor"), "{trouble}");
}

#[test]
fn who_called_and_ended_before_the_host_looked_is_still_accepted() {
    let host = Host::bind().expect("a port");
    let start = Start::new(VISIT).arg(host.address().to_string()).arg("silent");
    let program = start.arg("--seconds").arg("1").start().expect("it starts");
    program.ended().expect("its second is over");
    let mut connection = host.accept(&program, "host").expect("it stands in the queue");
    let received = connection.receive_all(&program).expect("it has hung up");
    assert!(received.bytes.is_empty());
}

/// The kernel glues together what it may: pieces that are sent without waiting are read at once.
#[test]
#[cfg(target_os = "linux")]
fn what_is_sent_in_pieces_is_read_in_pieces() {
    let request = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let (said, heard) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the test calls");
        said.send(read_request(&mut stream)).expect("the test listens");
    });
    let mut visitor = Connection::connect(address, "visitor").expect("it listens");
    for byte in request {
        visitor.send(&[*byte]).expect("it listens");
        assert!(visitor.wait_until_read(PATIENCE), "it reads");
    }
    let (came, reads) = heard.recv_timeout(PATIENCE).expect("it has read all");
    assert_eq!(came, request);
    // A reader that is interrupted in the middle of its call may find the next piece there already:
    // that is one piece less, now and then. Without the waiting, there are a handful.
    assert!(reads * 5 >= request.len() * 4, "{reads} reads of {} pieces", request.len());
}

/// Whoever it has started may hold its output open for as long as they like: what it wrote itself is there all the same.
#[test]
fn a_grandchild_that_stays_holds_nobody_up() {
    let began = Instant::now();
    let start = Start::new("/bin/sh").arg("-c").arg("sleep 20 & echo $!; echo here");
    let program = start.start().unwrap();
    assert!(program.ended().unwrap().success());
    let said = String::from_utf8(program.stdout()).unwrap();
    let (sleeper, rest) = said.split_once('\n').unwrap();
    assert_eq!(rest, "here\n");
    let _ = kill(Pid::from_raw(sleeper.parse().unwrap()), Signal::SIGKILL);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}
