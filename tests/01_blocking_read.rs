//! The graded checks of chapter 1. The judged program is the visitor; the check is the server.

use grader::check;
use grader::check::Check;
use rstest::rstest;
use visitors::connection::Connection;
use visitors::hosts::Host;
use visitors::program::Program;

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nServer: patience\r\nContent-Length: 11\r\n\r\n";
const BODY: &[u8] = b"hello there";

/// A conversation between the judged program and a server that the check plays.
struct Call<'a> {
    check: &'a Check,
    program: Program,
    server: Connection,
}

/// Starts the program, and waits until its request has come.
fn called(check: &Check) -> Call<'_> {
    let host = Host::bind().expect("a port of this machine is free");
    let program = check.start(&[&host.address().to_string()]);
    let mut server = match host.accept(&program, "server") {
        Ok(server) => server,
        Err(trouble) => check.fail_for("it was to connect to the server", &trouble),
    };
    let whole = |bytes: &[u8]| bytes.ends_with(b"\r\n\r\n");
    if let Err((trouble, _)) = server.receive_while_missing(&program, whole) {
        check.fail_for("it was to send its request", &trouble);
    }
    Call { check, program, server }
}

impl Call<'_> {
    /// Sends in about `pieces` pieces. A program that has had enough may be gone: what it printed tells.
    fn send(&mut self, bytes: &[u8], pieces: usize) {
        let _ = self.server.send_in_pieces(bytes, pieces, &self.program);
    }

    /// The program has to end well now, and to have printed just `expected`. `when` tells what was sent.
    #[track_caller]
    fn prints(&self, expected: &[u8], when: &str) {
        match self.program.ended() {
            Err(trouble) => self.check.fail_for(&format!("{when}, it was to end"), &trouble),
            Ok(status) if !status.success() => {
                let trouble = self.program.ended_with().expect("it has ended");
                self.check.fail_for(&format!("{when}, it was to end with status 0"), &trouble);
            }
            Ok(_) => {}
        }
        let printed = self.program.stdout();
        if printed != expected {
            let (printed, expected) = (shown(&printed), shown(expected));
            self.check.fail(format!("{when}, it printed\n{printed}\nand not\n{expected}"));
        }
    }

    /// The program has to end with status 1 and a word on stderr, and to have printed nothing.
    #[track_caller]
    fn complains(&self, when: &str) {
        let status = match self.program.ended() {
            Err(trouble) => {
                self.check.fail_for(&format!("{when}, it was to end with status 1"), &trouble)
            }
            Ok(status) => status,
        };
        if status.code() != Some(1) {
            let trouble = self.program.ended_with().expect("it has ended");
            self.check.fail_for(&format!("{when}, it was to end with status 1"), &trouble);
        }
        let printed = self.program.stdout();
        if !printed.is_empty() {
            self.check
                .fail(format!("{when}, it printed this as if it were whole:\n{}", shown(&printed)));
        }
    }
}

fn shown(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes))
}

mod head {
    use super::*;

    #[test]
    fn prints_the_head_and_ends() {
        let check = check!("01-head");
        check.likely(
            "it reads until the server hangs up, and this server doesn't: stop at the empty line",
            "01-blocking-read.html#where-does-it-end",
        );
        let mut call = called(&check);
        call.send(HEAD, 1);
        call.prints(HEAD, "after a whole head, on a connection that stays open");
    }

    #[rstest]
    #[case::two(2)]
    #[case::seven(7)]
    #[case::byte_by_byte(usize::MAX)]
    fn the_head_comes_in_pieces(#[case] pieces: usize) {
        let check = check!("01-head");
        check.likely(
            "it takes what one `read` brought for the whole head",
            "01-blocking-read.html#a-read-is-not-a-message",
        );
        let mut call = called(&check);
        call.send(HEAD, pieces);
        call.prints(HEAD, "after a head in pieces");
    }

    #[rstest]
    #[case::after_one_byte(1)]
    #[case::after_two_bytes(2)]
    #[case::after_three_bytes(3)]
    fn the_empty_line_is_cut(#[case] after: usize) {
        let check = check!("01-head");
        check.likely(
            "it looks for the four bytes in the newest piece alone; they may lie across two",
            "01-blocking-read.html#a-read-is-not-a-message",
        );
        let mut call = called(&check);
        let cut = HEAD.len() - 4 + after;
        call.send(&HEAD[..cut], 1);
        call.send(&HEAD[cut..], 1);
        call.prints(HEAD, "after a head whose last four bytes came in two pieces");
    }

    #[test]
    fn the_body_comes_in_the_same_piece() {
        let check = check!("01-head");
        check.likely(
            "it gives back all that the last `read` brought: cut it off after the empty line",
            "01-blocking-read.html#where-does-it-end",
        );
        let mut call = called(&check);
        call.send(&[HEAD, BODY, b"\r\n\r\n"].concat(), 1);
        call.prints(HEAD, "after a head and a body in one piece");
    }

    #[test]
    fn the_server_hangs_up_halfway() {
        let check = check!("01-head");
        check.likely(
            "a `read` that gives 0 is the end for ever: without the empty line it's an error, not a head",
            "01-blocking-read.html#nothing-is-an-answer-too",
        );
        let mut call = called(&check);
        call.send(&HEAD[..HEAD.len() - 2], 1);
        call.server.finish_sending();
        call.complains("after a server that hung up in the middle of the head");
    }

    #[test]
    fn a_head_without_an_end() {
        let check = check!("01-head");
        check.likely(
            "it keeps whatever comes: a server that never sends the empty line fills its memory",
            "01-blocking-read.html#where-does-it-end",
        );
        let mut call = called(&check);
        call.send(&b"X-Long: and so on\r\n".repeat(4000), 1);
        call.complains("after 76,000 bytes without an empty line");
    }

    #[test]
    fn a_signal_changes_nothing() {
        let check = check!("01-head");
        check.likely(
            "a `read` that a signal interrupts has not failed (EINTR): ask again",
            "01-blocking-read.html#a-signal-in-between",
        );
        let mut call = called(&check);
        call.send(&HEAD[..20], 1);
        call.program.interrupt();
        call.send(&HEAD[20..], 1);
        call.prints(HEAD, "after a signal in the middle of the head");
    }
}

mod length {
    use super::*;

    fn answer() -> Vec<u8> {
        [HEAD, BODY].concat()
    }

    #[test]
    fn prints_the_body_and_ends() {
        let check = check!("01-length");
        check.likely(
            "it reads until the server hangs up, and this server doesn't: count the body's bytes",
            "01-blocking-read.html#where-does-it-end",
        );
        let mut call = called(&check);
        call.send(HEAD, 1);
        call.send(BODY, 1);
        call.prints(BODY, "after a whole answer, on a connection that stays open");
    }

    #[rstest]
    #[case::one(1)]
    #[case::two(2)]
    #[case::seven(7)]
    #[case::byte_by_byte(usize::MAX)]
    fn the_answer_comes_in_pieces(#[case] pieces: usize) {
        let check = check!("01-length");
        check.likely(
            "what comes after the empty line in the same `read` is the beginning of the body: keep it, and count it",
            "01-blocking-read.html#a-read-is-not-a-message",
        );
        let mut call = called(&check);
        call.send(&answer(), pieces);
        call.prints(BODY, "after an answer in pieces");
    }

    #[rstest]
    #[case::small("content-length:11")]
    #[case::capital("CONTENT-LENGTH: 11")]
    #[case::with_spaces("Content-Length: \t 11 ")]
    fn the_field_is_written_in_another_way(#[case] field: &str) {
        let check = check!("01-length");
        check.likely(
            "it compares the field's name letter by letter, or takes spaces for a part of the number",
            "01-blocking-read.html#where-does-it-end",
        );
        let mut call = called(&check);
        call.send(
            format!("HTTP/1.1 200 OK\r\nX-Content-Length: 3\r\n{field}\r\n\r\n").as_bytes(),
            1,
        );
        call.send(BODY, 1);
        call.prints(BODY, &format!("after an answer with the line {field:?}"));
    }

    #[test]
    fn more_comes_than_was_promised() {
        let check = check!("01-length");
        check.likely(
            "it prints all that came: what lies beyond the promised length belongs to the next answer",
            "01-blocking-read.html#where-does-it-end",
        );
        let mut call = called(&check);
        call.send(&[answer(), answer()].concat(), 1);
        call.prints(BODY, "after two answers in one piece");
    }

    #[test]
    fn an_empty_body() {
        let check = check!("01-length");
        check.likely(
            "it reads before it looks whether the body is whole already: no bytes are a whole body here",
            "01-blocking-read.html#where-does-it-end",
        );
        let mut call = called(&check);
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 1);
        call.prints(b"", "after a head with a length of 0");
    }

    #[test]
    fn no_length_means_until_the_end() {
        let check = check!("01-length");
        check.likely(
            "without Content-Length the body ends where the connection ends: that is no error",
            "01-blocking-read.html#where-does-it-end",
        );
        let mut call = called(&check);
        call.send(b"HTTP/1.1 200 OK\r\n\r\nhello", 1);
        call.send(b" there", 1);
        call.server.finish_sending();
        call.prints(BODY, "after an answer without a length and the connection's end");
    }

    #[rstest]
    #[case::in_the_head(HEAD.len() - 1)]
    #[case::after_the_head(HEAD.len())]
    #[case::in_the_body(HEAD.len() + 10)]
    fn the_server_hangs_up_halfway(#[case] after: usize) {
        let check = check!("01-length");
        check.likely(
            "a `read` that gives 0 is the end for ever: fewer bytes than promised are an error, not an answer",
            "01-blocking-read.html#nothing-is-an-answer-too",
        );
        let mut call = called(&check);
        call.send(&answer()[..after], 1);
        call.server.finish_sending();
        call.complains("after a server that hung up halfway");
    }

    #[rstest]
    #[case::a_word("soon")]
    #[case::negative("-11")]
    #[case::nothing("")]
    fn the_length_is_no_number(#[case] length: &str) {
        let check = check!("01-length");
        check.likely(
            "a length that is no number is an error: nobody knows where this body ends",
            "01-blocking-read.html#where-does-it-end",
        );
        let mut call = called(&check);
        call.send(
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nhello").as_bytes(),
            1,
        );
        call.server.finish_sending();
        call.complains(&format!("after an answer with a length of {length:?}"));
    }
}
