//! The graded checks of chapter 1. The judged program is the visitor; the check is the server.

use grader::check;
use grader::check::Check;
use rstest::rstest;
use visitors::connection::Connection;
use visitors::hosts::Host;
use visitors::program::Program;

/// Not all of it is text: a head is bytes.
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nServer: caf\xe9\r\nContent-Length: 11\r\n\r\n";
/// Eleven bytes which aren't text, and which look like the end of a head.
const BODY: &[u8] = b"hi\xff\0\r\n\r\nyou";
/// The longest head that 01-head accepts, and the longest answer of 01-length, in bytes.
const LONGEST_HEAD: usize = 16 * 1024;
const LONGEST_ANSWER: usize = 1024 * 1024;

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
        Err(trouble) => check.fail_for("your program was to connect to the server", &trouble),
    };
    let whole = |bytes: &[u8]| bytes.ends_with(b"\r\n\r\n");
    if let Err((trouble, _)) = server.receive_while_missing(&program, whole) {
        check.fail_for("your program was to send its request", &trouble);
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
            Err(trouble) => {
                self.check.fail_for(&format!("{when}, your program was to end"), &trouble);
            }
            Ok(status) if !status.success() => {
                let trouble = self.program.ended_with().expect("it has ended");
                if trouble.to_string().contains("end of file") {
                    self.check.likely(
                        "`read` gave 0 although the server hasn't hung up: then the buffer had no room. A \
                         `Vec::with_capacity` has room for later, but its length is 0",
                        "01-blocking-read.html#nothing-is-an-answer-too",
                    );
                }
                let expected = format!("{when}, your program was to end with status 0");
                self.check.fail_for(&expected, &trouble);
            }
            Ok(_) => {}
        }
        let printed = self.program.stdout();
        if printed == expected {
            return;
        }
        let book = "01-blocking-read.html#a-read-is-not-a-message";
        if printed.contains(&0) && !expected.contains(&0) {
            self.check
                .likely("of the buffer, only the first `count` bytes were read: use no more", book);
        } else if printed.len() > expected.len() && printed.ends_with(expected) {
            self.check.likely(
                "more is printed than was asked for: to look at things, use eprintln!",
                book,
            );
        }
        let (printed, expected) = (shown(&printed), shown(expected));
        self.check.fail(format!("{when}, your program printed\n{printed}\nand not\n{expected}"));
    }

    /// The program has to end with status 1 and a word on stderr, and to have printed nothing.
    #[track_caller]
    fn complains(&self, when: &str) {
        let expected = format!("{when}, your program was to end with status 1");
        let status = match self.program.ended() {
            Err(trouble) => self.check.fail_for(&expected, &trouble),
            Ok(status) => status,
        };
        let printed = self.program.stdout();
        if !printed.is_empty() {
            let printed = shown(&printed);
            self.check
                .fail(format!("{when}, your program printed this as if it were whole:\n{printed}"));
        }
        if status.code() != Some(1) || self.program.stderr().is_empty() {
            let trouble = self.program.ended_with().expect("it has ended");
            self.check.fail_for(&expected, &trouble);
        }
    }
}

/// The first and the last of `bytes`, readable.
fn shown(bytes: &[u8]) -> String {
    let text = |bytes| format!("{:?}", String::from_utf8_lossy(bytes));
    match bytes.len() {
        0..=200 => text(bytes),
        count => {
            let (first, last) = (text(&bytes[..80]), text(&bytes[count - 80..]));
            format!("{first} … {last} ({count} bytes)")
        }
    }
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
            "if it printed too little, it takes what one `read` brought for the whole head; if it waits on, \
             it looks for the empty line in the newest piece alone",
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

    #[rstest]
    #[case::without_a_word(0)]
    #[case::in_the_empty_line(HEAD.len() - 2)]
    fn the_server_hangs_up_halfway(#[case] after: usize) {
        let check = check!("01-head");
        check.likely(
            "a `read` that gives 0 is the end for ever: without the empty line it's an error, not a head",
            "01-blocking-read.html#nothing-is-an-answer-too",
        );
        let mut call = called(&check);
        call.send(&HEAD[..after], 1);
        call.server.finish_sending();
        call.complains("after a server that hung up in the middle of the head");
    }

    #[test]
    fn a_long_head() {
        let check = check!("01-head");
        check.likely(
            "the head doesn't fit into a buffer of one size: keep what came in a Vec that grows, up to LONGEST_HEAD",
            "01-blocking-read.html#where-does-it-end",
        );
        let mut call = called(&check);
        let head = head_of(LONGEST_HEAD);
        call.send(&[&head, BODY].concat(), 1);
        call.prints(&head, "after a head of 16 KiB");
    }

    #[rstest]
    #[case::a_byte_too_much(head_of(LONGEST_HEAD + 1))]
    #[case::and_on_and_on(b"X-Long: and so on\r\n".repeat(1100))]
    fn a_head_without_an_end(#[case] head: Vec<u8>) {
        let check = check!("01-head");
        check.likely(
            "it keeps whatever comes: a server that never sends the empty line fills its memory. The limit is \
             LONGEST_HEAD bytes, the empty line included",
            "01-blocking-read.html#where-does-it-end",
        );
        let mut call = called(&check);
        call.send(&head, 1);
        call.complains(&format!(
            "after {} bytes, and no empty line in the first 16 KiB",
            head.len()
        ));
    }

    /// A head of just so many bytes.
    fn head_of(length: usize) -> Vec<u8> {
        let (start, end) = ("HTTP/1.1 200 OK\r\nX: ", "\r\n\r\n");
        let filling = "x".repeat(length - start.len() - end.len());
        format!("{start}{filling}{end}").into_bytes()
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
        let next = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext";
        call.send(&[&answer(), next.as_slice()].concat(), 1);
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
        call.send(b"HTTP/1.1 200 OK\r\n\r\n", 1);
        call.send(&BODY[..5], 1);
        call.send(&BODY[5..], 1);
        call.server.finish_sending();
        call.prints(BODY, "after an answer without a length and the connection's end");
    }

    #[rstest]
    #[case::without_a_word(0)]
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

    #[test]
    fn a_long_body() {
        let check = check!("01-length");
        check.likely(
            "the body doesn't fit into a buffer of one size: keep what came in a Vec that grows",
            "01-blocking-read.html#where-does-it-end",
        );
        let mut call = called(&check);
        let body = BODY.repeat(10_000);
        call.send(
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(),
            1,
        );
        call.send(&body, 3);
        call.prints(&body, "after a body of 110,000 bytes");
    }

    #[rstest]
    #[case::a_promise_of_2_mb("Content-Length: 2000000\r\n", 0)]
    #[case::a_promise_of_the_largest_number("Content-Length: 18446744073709551615\r\n", 0)]
    #[case::no_promise_and_no_end("", LONGEST_ANSWER + 10_000)]
    fn an_answer_that_is_too_long(#[case] field: &str, #[case] count: usize) {
        let check = check!("01-length");
        check.likely(
            "it keeps whatever comes, or believes any promise: more than LONGEST_ANSWER bytes are an error, before \
             they are kept",
            "01-blocking-read.html#where-does-it-end",
        );
        let mut call = called(&check);
        call.send(format!("HTTP/1.1 200 OK\r\n{field}\r\n").as_bytes(), 1);
        call.send(&vec![b'x'; count], 1);
        call.complains("after an answer that is longer than 1 MiB");
    }
}
