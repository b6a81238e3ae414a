//! The graded checks of chapter 10. The judged program reads bytes from its standard input, which is a pipe,
//! and tells what they are. No socket is in sight; what varies is how the bytes are cut into pieces.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{self, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use grader::check;
use grader::check::{Check, so_far};
use rstest::rstest;
use visitors::program::{Program, Start};

/// A judged program, and what it reads from.
struct Run<'a> {
    check: &'a Check,
    program: Program,
    /// The pipe's end to write to; `None` when nothing more will come.
    input: Option<File>,
}

/// A program that isn't given more than 50 MB of addresses: who makes room for what somebody claims doesn't
/// get it. Where a shell can't limit that, it's not limited.
const POOR_WITH_INPUT: &str = "ulimit -v 50000 2>/dev/null; exec \"$0\" \"$@\" <\"$PIPE\"";

/// Starts the program with `pieces` as its argument, and a pipe as its standard input.
#[track_caller]
fn run<'a>(check: &'a Check, pieces: Pieces) -> Run<'a> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("waiting-game-{}-{}-{count}", check.exercise(), process::id());
    let pipe = Pipe(std::env::temp_dir().join(name));
    match Command::new("mkfifo").arg(&pipe.0).status() {
        Ok(status) if status.success() => {}
        result => check.fail(format!("no pipe could be made at {}: {result:?}", pipe.0.display())),
    }
    // By a shell: it knows how to open a pipe as the standard input. It's gone when that is done.
    let start = Start::new("/bin/sh").arg("-c").arg(POOR_WITH_INPUT);
    let start = start.arg(check.program()).env("PIPE", &pipe.0).env("RUST_BACKTRACE", "0");
    let start = match pieces {
        Pieces::AsTheyCome => start,
        Pieces::Of(count) => start.arg(count.to_string()),
    };
    let program = match start.start() {
        Ok(program) => program,
        Err(error) => check.fail(format!("a shell can't be started: {error}")),
    };
    match File::options().write(true).open(&pipe.0) {
        Ok(input) => Run { check, program, input: Some(input) },
        Err(error) => check.fail(format!("the pipe can't be opened: {error}")),
    }
}

/// A named pipe. Its name isn't needed any more when both have opened it.
struct Pipe(PathBuf);

impl Drop for Pipe {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// How the bytes are cut.
#[derive(Clone, Copy, Debug)]
enum Pieces {
    /// As they come from the pipe: in one piece, if they are written at once.
    AsTheyCome,
    /// In pieces of so many bytes.
    Of(usize),
}

impl Run<'_> {
    /// A piece comes. A program that has had enough may be gone: what it said tells.
    fn send(&mut self, bytes: &[u8]) {
        if let Some(input) = &mut self.input {
            let _ = input.write_all(bytes);
        }
    }

    /// All comes that will ever come. A program that doesn't read it must not hold us up.
    fn send_all(&mut self, bytes: &[u8]) {
        if let Some(mut input) = self.input.take() {
            let bytes = bytes.to_vec();
            thread::spawn(move || {
                let _ = input.write_all(&bytes);
            });
        }
    }

    /// The program has done all that it can do with what has come.
    #[track_caller]
    fn settle(&self, when: &str) {
        if let Err(trouble) = self.program.settled() {
            self.check.fail_for(&format!("{when}, your program was to wait"), &trouble);
        }
    }

    /// The program has to end, with status 0 or 1. Which one, and what it has said, is for the exercise to judge.
    #[track_caller]
    fn ends(&self, when: &str) -> i32 {
        let status = match self.program.ended() {
            Ok(status) => status,
            Err(trouble) => {
                let said = so_far(&self.program.stdout()).replace("have come", "were printed");
                let said = said.replace("has come", "was printed");
                let expected = format!("{when}, your program was to end ({said})");
                self.check.fail_for(&expected, &trouble)
            }
        };
        match status.code() {
            Some(code @ (0 | 1)) => code,
            _ => {
                let trouble = self.program.ended_with().expect("it has ended");
                let expected = format!("{when}, your program was to end with status 0 or 1");
                self.check.fail_for(&expected, &trouble)
            }
        }
    }

    /// Its last line on stderr.
    fn last_word(&self) -> String {
        self.program.stderr().pop().unwrap_or_default()
    }
}

mod ends {
    use super::*;

    const LONGEST_HEAD: usize = 8 * 1024;
    const LONGEST_BODY: usize = 64 * 1024;
    const MOST_FIELDS: usize = 64;

    /// How it has to go out.
    #[derive(Clone, Copy, Debug)]
    enum End {
        /// Nothing is left.
        Well,
        /// So many bytes are left.
        LeftOver(usize),
        /// The next request is refused.
        Refused(u16),
    }

    /// A request's line, as the program prints it.
    fn line(method: &str, target: &str, head: usize, body: usize) -> String {
        format!("{method} {target}: head {head}, body {body}\n")
    }

    /// A request to /, and its line.
    fn request(method: &str, fields: &str, body: &str) -> (String, String) {
        let head = format!("{method} / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        let line = line(method, "/", head.len(), body.len());
        (head + body, line)
    }

    /// The program has to have told just these requests, and to end like this. `when` says what has come.
    #[track_caller]
    fn expect(run: &Run<'_>, lines: &str, end: End, when: &str) {
        let status = run.ends(when);
        let expected = match end {
            End::Refused(status) => format!("{lines}refused: {status}\n"),
            End::Well | End::LeftOver(_) => lines.to_owned(),
        };
        let printed = String::from_utf8_lossy(&run.program.stdout()).into_owned();
        if printed != expected {
            let (printed, expected) = (shown(&printed), shown(&expected));
            run.check.fail(format!("{when}, your program told\n{printed}\nand not\n{expected}"));
        }
        let left = match end {
            End::Well if status != 0 => "and nothing was to be left over",
            End::LeftOver(count) if !run.last_word().ends_with(&format!("left over: {count}")) => {
                &format!("and {count} bytes were to be left over")
            }
            _ => return,
        };
        let said = run.last_word();
        run.check.fail(format!("{when}, it ended with status {status}, {left}; it said: {said:?}"));
    }

    fn shown(lines: &str) -> String {
        match lines.lines().count() {
            0 => "  nothing".to_owned(),
            _ => lines.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"),
        }
    }

    /// Sends all at once, and in pieces of several sizes: each time the same has to be told.
    #[track_caller]
    fn however_it_is_cut(check: &Check, bytes: &[u8], lines: &str, end: End, what: &str) {
        let mut whole = run(check, Pieces::AsTheyCome);
        whole.send_all(bytes);
        expect(&whole, lines, end, &format!("after {what}"));
        for size in [1, 3] {
            let mut cut = run(check, Pieces::Of(size));
            cut.send_all(bytes);
            expect(&cut, lines, end, &format!("after {what}, in pieces of {size}"));
        }
    }

    #[test]
    fn a_request_without_a_body() {
        let check = check!("10-ends");
        check.likely(
            "the request is as long as its head: `parse` says how long that is when it's Complete. After it nothing is \
             left over, once it's taken out of `self.bytes`",
            "10-http.html#the-head",
        );
        let mut run = run(&check, Pieces::AsTheyCome);
        let head = "GET /index.html HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n";
        run.send_all(head.as_bytes());
        let line = line("GET", "/index.html", head.len(), 0);
        expect(&run, &line, End::Well, "after one request without a body");
    }

    #[rstest]
    #[case::of_a_post("POST", "Content-Length: 11\r\n", "hello world")]
    #[case::of_a_put("PUT", "Content-Length: 5\r\n", "hello")]
    #[case::of_a_get("GET", "Content-Length: 5\r\n", "hello")]
    #[case::of_a_head("HEAD", "Content-Length: 5\r\n", "hello")]
    #[case::of_what_nobody_knows("KNIT", "Content-Length: 5\r\n", "hello")]
    #[case::none_without_a_length("POST", "", "")]
    #[case::none_of_length_0("POST", "Content-Length: 0\r\n", "")]
    fn a_body_is_as_long_as_it_says(
        #[case] method: &str,
        #[case] fields: &str,
        #[case] body: &str,
    ) {
        let check = check!("10-ends");
        check.likely(
            "it guesses: whether there is a body, and how long it is, is said by Content-Length alone, whatever the \
             method is and however much has come. Without one there is none",
            "10-http.html#where-it-ends",
        );
        let (first, first_line) = request(method, fields, body);
        let (next, next_line) = request("GET", "", "");
        let mut run = run(&check, Pieces::AsTheyCome);
        run.send_all((first + &next).as_bytes());
        let when = format!("after {method} with {fields:?} and another request behind it");
        expect(&run, &(first_line + &next_line), End::Well, &when);
    }

    #[test]
    fn zeros_before_a_length() {
        let check = check!("10-ends");
        check.likely(
            "zeros before a number don't make it larger: what counts is its value, not how many digits it has",
            "10-http.html#where-it-ends",
        );
        let length = format!("{}5", "0".repeat(28));
        let (first, first_line) =
            request("POST", &format!("Content-Length: {length}\r\n"), "hello");
        let (next, next_line) = request("GET", "", "");
        let mut run = run(&check, Pieces::AsTheyCome);
        run.send_all((first + &next).as_bytes());
        let when = format!("after a request with a length of {length} and another one behind it");
        expect(&run, &(first_line + &next_line), End::Well, &when);
    }

    /// Four requests in a row, with bodies that look like something else; and their lines.
    fn a_row() -> (String, String) {
        let row = [
            request("GET", "", ""),
            request("POST", "Content-Length: 21\r\n", "GET /no HTTP/1.1\r\n\r\nX"),
            request("GET", "X-Empty: \r\n", ""),
            request("PUT", "Content-Length: 4\r\n", "\r\n\r\n"),
        ];
        row.into_iter().unzip()
    }

    #[test]
    fn a_row_of_requests_in_one_piece() {
        let check = check!("10-ends");
        check.likely(
            "what stands behind a request in the same piece is the next one: take out as many bytes as the request \
             has, keep the others, and ask again until the answer is \"not yet\"",
            "10-http.html#where-it-ends",
        );
        let (bytes, lines) = a_row();
        let mut run = run(&check, Pieces::AsTheyCome);
        run.send_all(bytes.as_bytes());
        expect(&run, &lines, End::Well, "after four requests in one piece");
    }

    #[rstest]
    #[case::byte_by_byte(1)]
    #[case::of_2(2)]
    #[case::of_3(3)]
    #[case::of_7(7)]
    #[case::of_50(50)]
    #[case::of_100(100)]
    fn a_row_of_requests_in_pieces(#[case] size: usize) {
        let check = check!("10-ends");
        check.likely(
            "a piece may end anywhere: Partial is no error, what has come before must be kept, and it's all of it \
             that is looked at, not the newest piece alone",
            "10-http.html#pieces",
        );
        let (bytes, lines) = a_row();
        let mut run = run(&check, Pieces::Of(size));
        run.send_all(bytes.as_bytes());
        expect(&run, &lines, End::Well, &format!("after four requests in pieces of {size}"));
    }

    #[test]
    fn told_as_soon_as_it_is_whole() {
        let check = check!("10-ends");
        let (first, first_line) = request("POST", "Content-Length: 5\r\n", "hello");
        let (but_one, last) = first.as_bytes().split_at(first.len() - 1);
        let mut run = run(&check, Pieces::AsTheyCome);
        for (piece, when) in [
            (&but_one[..but_one.len() - 4], "after a head whose body is to come"),
            (&but_one[but_one.len() - 4..], "after all of a request but its last byte"),
        ] {
            check.likely(
                "a request is whole when all of its body has come, and not before",
                "10-http.html#not-yet",
            );
            run.send(piece);
            run.settle(when);
            if !run.program.stdout().is_empty() {
                let printed = String::from_utf8_lossy(&run.program.stdout()).into_owned();
                check.fail(format!("{when}, your program told already\n{}", shown(&printed)));
            }
        }
        check.likely(
            "it waits for a byte more than the request has: with the last one it's whole",
            "10-http.html#not-yet",
        );
        run.send(last);
        if let Err(trouble) = run.program.prints(|line| line == first_line.trim_end()) {
            let when = "after the last byte of a request, on a pipe that stays open";
            check.fail_for(&format!("{when}, it was to be told"), &trouble);
        }
        let (next, next_line) = request("GET", "", "");
        run.send_all(next.as_bytes());
        expect(&run, &(first_line + &next_line), End::Well, "after two requests");
    }

    #[rstest]
    #[case::small("content-length:5")]
    #[case::capital("CONTENT-LENGTH: 5")]
    #[case::with_spaces("Content-Length: \t 5 ")]
    #[case::among_others("X-Content-Length: 3\r\nContent-Length: 5\r\nContent-Length-Was: 4")]
    fn the_field_is_written_in_another_way(#[case] field: &str) {
        let check = check!("10-ends");
        check.likely(
            "a field's name is the same in capitals and small letters, and the whole name counts (RFC 9110, \
             section 5.1)",
            "10-http.html#where-it-ends",
        );
        let (bytes, lines) = request("POST", &format!("{field}\r\n"), "hello");
        let mut run = run(&check, Pieces::AsTheyCome);
        run.send_all(bytes.as_bytes());
        expect(&run, &lines, End::Well, &format!("after a request with {field:?}"));
    }

    #[rstest]
    #[case::in_1_1("GET /a HTTP/1.1\r\nAccept: */*\r\n\r\n")]
    #[case::in_1_0("GET /a HTTP/1.0\r\n\r\n")]
    #[case::an_empty_one("GET /a HTTP/1.1\r\nHost:\r\n\r\n")]
    #[case::two("GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")]
    fn no_host_is_asked_for(#[case] head: &str) {
        let check = check!("10-ends");
        check.likely(
            "the chapter's parser wants one `Host`, in HTTP/1.1; here no Host is asked for, and any are let be: \
             what the fields say of the body is all that counts",
            "10-http.html#exercise-10-ends",
        );
        let lines = line("GET", "/a", head.len(), 0);
        however_it_is_cut(&check, head.as_bytes(), &lines, End::Well, &format!("{head:?}"));
    }

    #[rstest]
    #[case::one("\r\n")]
    #[case::several("\r\n\r\n\r\n\r\n\r\n\r\n")]
    #[case::of_lfs("\n\n")]
    fn empty_lines_before_a_request(#[case] empty: &str) {
        let check = check!("10-ends");
        check.likely(
            "empty lines before a request are left to httparse, which skips them and counts them as a part of the \
             head: what it gives with Complete is the head's length as it is, and nothing is to be taken away, \
             neither from the bytes before it nor from that number",
            "10-http.html#exercise-10-ends",
        );
        let (get, post) =
            ("GET /a HTTP/1.1\r\n\r\n", "POST /b HTTP/1.1\r\nContent-Length: 5\r\n\r\n");
        let bytes = format!("{empty}{get}{empty}{post}hello{empty}{get}");
        let get = line("GET", "/a", empty.len() + get.len(), 0);
        let post = line("POST", "/b", empty.len() + post.len(), 5);
        let what = format!("three requests with {empty:?} before each");
        however_it_is_cut(&check, bytes.as_bytes(), &format!("{get}{post}{get}"), End::Well, &what);
    }

    #[rstest]
    #[case::everywhere("GET /a HTTP/1.1\nA: b\n\n")]
    #[case::behind_the_request_line("GET /a HTTP/1.1\nA: b\r\n\r\n")]
    #[case::behind_a_field("GET /a HTTP/1.1\r\nA: b\nC: d\r\n\r\n")]
    #[case::as_the_empty_line("GET /a HTTP/1.1\r\nA: b\r\n\n")]
    fn a_lone_lf(#[case] head: &str) {
        let check = check!("10-ends");
        check.likely(
            "a lone LF is left to httparse, which takes it for a line's end, that of the empty line too. The \
             chapter's parser refuses it; here where a head ends is what `parse` says, and no search for \\r\\n\\r\\n",
            "10-http.html#exercise-10-ends",
        );
        let lines = line("GET", "/a", head.len(), 0).repeat(2);
        however_it_is_cut(
            &check,
            head.repeat(2).as_bytes(),
            &lines,
            End::Well,
            &format!("two times {head:?}"),
        );
    }

    #[rstest]
    #[case::in_a_head("GET / HTTP/1.1\r\nHost: localhost\r\n\r")]
    #[case::before_a_body("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n")]
    #[case::in_a_body("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhell")]
    fn the_end_comes_too_soon(#[case] half: &str) {
        let check = check!("10-ends");
        check.likely(
            "half a request is none, whatever ends there: what isn't whole stays in `self.bytes`",
            "10-http.html#not-yet",
        );
        let (first, lines) = request("GET", "", "");
        let (bytes, end) = (first + half, End::LeftOver(half.len()));
        let what = "a request, and half of another one";
        however_it_is_cut(&check, bytes.as_bytes(), &lines, end, what);
    }

    #[rstest]
    #[case::a_word("five")]
    #[case::with_a_plus("+5")]
    #[case::with_a_minus("-5")]
    #[case::two_numbers("5 5")]
    #[case::a_list("5, 5")]
    #[case::nothing("")]
    #[case::hexadecimal("0x5")]
    #[case::with_a_point("5.0")]
    #[case::with_a_letter("5a")]
    #[case::very_long_and_no_number("99999999999999999999999a")]
    #[case::in_another_script("\u{665}")]
    #[case::with_another_space("5\u{a0}")]
    fn a_length_that_is_no_number(#[case] length: &str) {
        let check = check!("10-ends");
        check.likely(
            "one or more digits are a length, and nothing else is: Rust's `parse` takes a `+` too. Guessing is worse \
             than refusing: the next reader guesses something else",
            "10-http.html#two-ways",
        );
        let (bytes, _) = request("POST", &format!("Content-Length: {length}\r\n"), "hello");
        let what = format!("a length of {length:?}");
        however_it_is_cut(&check, bytes.as_bytes(), "", End::Refused(400), &what);
    }

    #[rstest]
    #[case::the_shorter_one_first("Content-Length: 5\r\nContent-Length: 50\r\n")]
    #[case::the_longer_one_first("Content-Length: 50\r\nContent-Length: 5\r\n")]
    #[case::both_the_same("Content-Length: 5\r\ncontent-length: 5\r\n")]
    #[case::far_apart("CONTENT-LENGTH: 5\r\nAccept: */*\r\nX-Y: 1\r\ncontent-length: 0\r\n")]
    #[case::one_is_empty("Content-Length: 5\r\nContent-Length:\r\n")]
    #[case::the_first_is_too_long("Content-Length: 99999999\r\nContent-Length: 5\r\n")]
    #[case::the_last_is_too_long("Content-Length: 5\r\nContent-Length: 99999999\r\n")]
    fn two_lengths(#[case] fields: &str) {
        let check = check!("10-ends");
        check.likely(
            "with two lengths there are two places where the request may end. Who takes the first one and who takes \
             the last one don't agree: 400, whatever else is wrong with one of them",
            "10-http.html#two-ways",
        );
        let (bytes, _) = request("POST", fields, "hello");
        let what = format!("a request with {fields:?}");
        however_it_is_cut(&check, bytes.as_bytes(), "", End::Refused(400), &what);
    }

    #[rstest]
    #[case::the_length_first("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")]
    #[case::the_length_last("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n")]
    #[case::in_small_letters("content-length: 5\r\ntransfer-encoding: chunked\r\n")]
    #[case::not_even_chunked("Content-Length: 5\r\nTransfer-Encoding: identity\r\n")]
    #[case::no_length_at_all("Content-Length: five\r\nTransfer-Encoding: chunked\r\n")]
    #[case::too_long_as_well("Content-Length: 99999999\r\nTransfer-Encoding: chunked\r\n")]
    #[case::an_empty_encoding("Content-Length: 5\r\nTransfer-Encoding:\r\n")]
    fn a_length_and_an_encoding(#[case] fields: &str) {
        let check = check!("10-ends");
        check.likely(
            "with a length and an encoding there are two places where the request may end, and that is how a \
             request is smuggled past whoever takes the other one: 400, in either order, whatever their values are. \
             Count the fields before you read one",
            "10-http.html#two-ways",
        );
        let (bytes, _) = request("POST", fields, "0\r\n\r\n");
        let what = format!("a request with {fields:?}");
        however_it_is_cut(&check, bytes.as_bytes(), "", End::Refused(400), &what);
    }

    #[rstest]
    #[case::chunked("POST", "Transfer-Encoding: chunked\r\n")]
    #[case::in_small_letters("POST", "transfer-encoding:chunked\r\n")]
    #[case::something_else("POST", "Transfer-Encoding: gzip, CHUNKED\r\n")]
    #[case::on_a_get("GET", "Transfer-Encoding: chunked\r\n")]
    #[case::twice("POST", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n")]
    #[case::empty("POST", "Transfer-Encoding:\r\n")]
    fn an_encoding_alone(#[case] method: &str, #[case] fields: &str) {
        let check = check!("10-ends");
        check.likely(
            "a Transfer-Encoding says that a body follows, and its end isn't found by any length: here that is 501. \
             Passed over, the body is taken for the next request",
            "10-http.html#where-it-ends",
        );
        let (bytes, _) = request(method, fields, "0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n");
        let what = format!("{method} with {fields:?}");
        however_it_is_cut(&check, bytes.as_bytes(), "", End::Refused(501), &what);
    }

    #[rstest]
    #[case::chunked_in_1_0("HTTP/1.0", "chunked")]
    #[case::chunked_not_last("HTTP/1.1", "chunked, gzip")]
    #[case::no_coding("HTTP/1.1", "\"chunked\"")]
    fn an_encoding_alone_whatever_it_says(#[case] version: &str, #[case] encoding: &str) {
        let check = check!("10-ends");
        check.likely(
            "the chapter's parser has 400 for some of these. Here a Transfer-Encoding alone is 501, whatever it says, \
             and in HTTP/1.0 too",
            "10-http.html#exercise-10-ends",
        );
        let bytes = format!("POST / {version}\r\nTransfer-Encoding: {encoding}\r\n\r\n0\r\n\r\n");
        let what = format!("a request of {version} with the Transfer-Encoding {encoding:?}");
        however_it_is_cut(&check, bytes.as_bytes(), "", End::Refused(501), &what);
    }

    #[rstest]
    #[case::a_length_that_is_too_long("Content-Length: 65537\r\n", 413)]
    #[case::a_length_that_is_no_number("Content-Length: five\r\n", 400)]
    #[case::two_lengths("Content-Length: 5\r\nContent-Length: 5\r\n", 400)]
    #[case::both("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400)]
    #[case::an_encoding("Transfer-Encoding: chunked\r\n", 501)]
    fn what_the_fields_say_is_refused_when_the_head_ends(
        #[case] fields: &str,
        #[case] status: u16,
    ) {
        let check = check!("10-ends");
        check.likely(
            "with the head's last byte all is there that this answer needs. Whoever waits for a byte behind it may \
             wait in vain: a visitor who wants to hear first whether its body is welcome sends none",
            "10-http.html#exercise-10-ends",
        );
        let (head, _) = request("POST", fields, "");
        let mut run = run(&check, Pieces::AsTheyCome);
        run.send(head.as_bytes());
        let when = format!(
            "after a head with {fields:?}, and nothing behind it, on a pipe that stays open"
        );
        expect(&run, "", End::Refused(status), &when);
    }

    #[rstest]
    #[case::a_space_before_the_colon("POST / HTTP/1.1\r\nContent-Length : 5\r\n")]
    #[case::a_line_that_goes_on("GET / HTTP/1.1\r\nX: a\r\n b: c\r\n")]
    #[case::no_field("GET / HTTP/1.1\r\nno colon\r\n")]
    #[case::no_request("\u{1}\u{2}\u{3}")]
    #[case::another_protocol("SSH-2.0-OpenSSH_9.9\r\n")]
    fn what_is_no_request_is_refused_at_once(#[case] bytes: &str) {
        let check = check!("10-ends");
        check.likely(
            "Partial is \"not yet\", and an error is an error for ever: whoever waits for more then waits in vain",
            "10-http.html#not-yet",
        );
        let (first, lines) = request("GET", "", "");
        let mut run = run(&check, Pieces::AsTheyCome);
        run.send(first.as_bytes());
        run.send(bytes.as_bytes());
        let when = format!("after a request, and {bytes:?} on a pipe that stays open");
        expect(&run, &lines, End::Refused(400), &when);
    }

    #[rstest]
    #[case::a_byte_too_much("65537")]
    #[case::a_megabyte("1000000")]
    #[case::the_same_as_5_in_32_bits("4294967301")]
    #[case::the_largest_of_64_bits("18446744073709551615")]
    #[case::the_same_as_5_in_64_bits("18446744073709551621")]
    #[case::longer_than_any_number("99999999999999999999999999999999999999999")]
    fn a_body_that_is_too_long_is_refused_at_once(#[case] length: &str) {
        let check = check!("10-ends");
        check.likely(
            "what's all digits is a length, and may be larger than LONGEST_BODY, or than a usize: that is 413, as soon \
             as the head is there, and before anything is added to it",
            "10-http.html#where-it-ends",
        );
        let (head, _) = request("POST", &format!("Content-Length: {length}\r\n"), "");
        let mut run = run(&check, Pieces::AsTheyCome);
        run.send((head + "hello").as_bytes());
        let when = format!("after a head with a length of {length}, on a pipe that stays open");
        expect(&run, "", End::Refused(413), &when);
    }

    /// A head of just so many bytes.
    fn head_of(length: usize) -> String {
        let (start, end) = ("GET / HTTP/1.1\r\nX: ", "\r\n\r\n");
        format!("{start}{}{end}", "x".repeat(length - start.len() - end.len()))
    }

    #[test]
    fn the_longest_of_all() {
        let check = check!("10-ends");
        check.likely(
            "LONGEST_HEAD, LONGEST_BODY and MOST_FIELDS are still accepted; and the limit for a head counts nothing \
             that is behind it",
            "10-http.html#the-head",
        );
        let head = head_of(LONGEST_HEAD);
        let fields = "X: y\r\n".repeat(MOST_FIELDS - 2);
        let fields = format!("{fields}Content-Length: {LONGEST_BODY}\r\n");
        let (second, second_line) = request("POST", &fields, &"x".repeat(LONGEST_BODY));
        let lines = line("GET", "/", LONGEST_HEAD, 0) + &second_line;
        // A piece of the last size lacks one byte of the head, which may still end in time.
        for pieces in [Pieces::AsTheyCome, Pieces::Of(100), Pieces::Of(LONGEST_HEAD - 1)] {
            let mut run = run(&check, pieces);
            run.send_all((head.clone() + &second).as_bytes());
            let cut = match pieces {
                Pieces::AsTheyCome => String::new(),
                Pieces::Of(size) => format!(", in pieces of {size}"),
            };
            let when = format!("after the longest head, and the longest body{cut}");
            expect(&run, &lines, End::Well, &when);
        }
    }

    #[test]
    fn a_row_of_the_longest_bodies() {
        let check = check!("10-ends");
        check.likely(
            "LONGEST_HEAD and LONGEST_BODY are for one request. What has come may be the most of one, with a piece of \
             the next ones behind it: how much that is says nothing against any of them",
            "10-http.html#exercise-10-ends",
        );
        let fields = format!("Content-Length: {LONGEST_BODY}\r\n");
        let (post, post_line) = request("POST", &fields, &"x".repeat(LONGEST_BODY));
        let mut run = run(&check, Pieces::AsTheyCome);
        run.send_all(post.repeat(3).as_bytes());
        let when = "after three requests in a row with the longest bodies, in the largest pieces";
        expect(&run, &post_line.repeat(3), End::Well, when);
    }

    #[rstest]
    #[case::a_byte_too_much(head_of(LONGEST_HEAD + 1))]
    #[case::a_kilobyte_too_much(head_of(LONGEST_HEAD + 1024))]
    #[case::wrong_where_nobody_looks(head_of(LONGEST_HEAD + 100).replace("xx\r\n\r\n", "\r\nno colon\r\n\r\n"))]
    #[case::no_end(head_of(LONGEST_HEAD + 10).trim_end().to_owned())]
    fn a_head_that_is_too_long(#[case] head: String) {
        let check = check!("10-ends");
        check.likely(
            "a head must not fill our memory: when LONGEST_HEAD bytes have come without its end, it's a 431. Show \
             `parse` no more than so many, and it's the same in one piece as in many",
            "10-http.html#the-head",
        );
        let what = format!("a head that is too long ({} bytes)", head.len());
        however_it_is_cut(&check, head.as_bytes(), "", End::Refused(431), &what);
    }

    #[test]
    fn too_many_fields() {
        let check = check!("10-ends");
        check.likely(
            "httparse has an error of its own for more fields than there is room for in your array: TooManyHeaders. \
             That one is a 431, and all others are 400",
            "10-http.html#the-head",
        );
        let count = MOST_FIELDS + 1;
        let head = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(count));
        let what = format!("a head with {count} fields");
        however_it_is_cut(&check, head.as_bytes(), "", End::Refused(431), &what);
    }

    #[rstest]
    #[case::of_just_8_kib(LONGEST_HEAD)]
    #[case::of_more(LONGEST_HEAD + 6)]
    fn a_head_without_an_end_is_refused_at_once(#[case] length: usize) {
        let check = check!("10-ends");
        check.likely(
            "a head that hasn't ended with its LONGEST_HEADth byte is too long, whatever comes next: 431 when so many \
             bytes are there, and not when there's one more. Whoever waits keeps whatever comes, and this one \
             never ends",
            "10-http.html#the-head",
        );
        let mut run = run(&check, Pieces::AsTheyCome);
        run.send(&head_of(length + 4).as_bytes()[..length]);
        let when =
            format!("after {length} bytes of a head without an end, on a pipe that stays open");
        expect(&run, "", End::Refused(431), &when);
    }

    #[test]
    fn behind_a_refusal_nothing_is_looked_at() {
        let check = check!("10-ends");
        check.likely(
            "the requests before the refusal are to be told, in however many pieces they come; and with the refusal \
             it's over: nobody knows where the next request would begin",
            "10-http.html#two-ways",
        );
        let (good, line) = request("GET", "", "");
        let fields = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
        let (bad, _) = request("POST", fields, "0\r\n\r\n");
        let bytes = format!("{good}{good}{bad}{good}");
        let what = "two requests, one with both lengths, and another one";
        let lines = line.repeat(2);
        however_it_is_cut(&check, bytes.as_bytes(), &lines, End::Refused(400), what);
    }
}

mod chunks {
    use super::*;

    const MOST_BETWEEN: usize = 4 * 1024;

    /// How it has to go out.
    #[derive(Clone, Copy, Debug)]
    enum End {
        /// With so many chunks, and so many bytes that follow.
        Well(u64, usize),
        /// The input ends in the middle of the body.
        TooSoon,
        /// It's broken.
        Broken,
    }

    /// The program has to have written just this data, and to end like this. `when` says what has come.
    #[track_caller]
    fn expect(run: &Run<'_>, data: &[u8], end: End, when: &str) {
        let status = run.ends(when);
        let (written, said) = (run.program.stdout(), run.last_word());
        let refused = status == 1 && said.contains(": broken: ");
        let refused_but_lost = matches!(end, End::Broken) && refused && data.starts_with(&written);
        if written != data {
            let (written, data) = (shown(&written), shown(data));
            let said = match said.as_str() {
                "" => String::new(),
                said => format!("\nits last words: {said}"),
            };
            if refused_but_lost {
                run.check.likely(
                    "it's refused, as it must be, but what came before an error is passed on: it's in `data` when \
                     `decode` gives the error",
                    "10-http.html#exercise-10-chunks",
                );
            }
            run.check.fail(format!("{when}, the data was\n  {written}\nand not\n  {data}{said}"));
        }
        let (expected, ok) = match end {
            End::Well(chunks, following) => {
                let bytes = data.len();
                let line = format!("chunks: {chunks}, bytes: {bytes}, following: {following}");
                let ok = status == 0 && said == line;
                (line, ok)
            }
            End::TooSoon => {
                let line = "the input ends in the middle of the body";
                (line.to_owned(), status == 1 && said.ends_with(line))
            }
            End::Broken => ("broken: …".to_owned(), refused),
        };
        if !ok {
            run.check.fail(format!(
                "{when}, your program ended with status {status} and\n  {said}\nand not with\n  {expected}"
            ));
        }
    }

    fn shown(bytes: &[u8]) -> String {
        match bytes.len() {
            0..=80 => format!("{:?}", String::from_utf8_lossy(bytes)),
            count => format!("{:?} … ({count} bytes)", String::from_utf8_lossy(&bytes[..60])),
        }
    }

    /// Sends all at once.
    #[track_caller]
    fn in_one_piece(check: &Check, bytes: &[u8], data: &[u8], end: End, what: &str) {
        let mut run = run(check, Pieces::AsTheyCome);
        run.send_all(bytes);
        expect(&run, data, end, &format!("after {what}"));
    }

    /// Sends all at once, and in pieces of several sizes: each time it has to come to the same.
    #[track_caller]
    fn however_it_is_cut(check: &Check, bytes: &[u8], data: &[u8], end: End, what: &str) {
        in_one_piece(check, bytes, data, end, what);
        for size in [1, 2, 3] {
            let mut cut = run(check, Pieces::Of(size));
            cut.send_all(bytes);
            expect(&cut, data, end, &format!("after {what}, in pieces of {size}"));
        }
    }

    #[test]
    fn a_chunk_alone() {
        let check = check!("10-chunks");
        check.likely(
            "size, \\r\\n, data, \\r\\n; then a size of 0, \\r\\n, and the empty line. The last chunk isn't counted",
            "10-http.html#chunks",
        );
        let body = b"5\r\nhello\r\n0\r\n\r\n";
        in_one_piece(
            &check,
            body,
            b"hello",
            End::Well(1, 0),
            "a chunk of 5 bytes, and the last one",
        );
    }

    #[rstest]
    #[case::none("0\r\n\r\n", "", 0)]
    #[case::three("5\r\nhello\r\n2\r\n, \r\n5\r\nworld\r\n0\r\n\r\n", "hello, world", 3)]
    #[case::a_long_zero("1\r\nx\r\n00000\r\n\r\n", "x", 1)]
    fn several_chunks_in_one_piece(#[case] body: &str, #[case] data: &str, #[case] chunks: u64) {
        let check = check!("10-chunks");
        check.likely(
            "behind a chunk's data comes a line's end that belongs to nobody, then the next size. The body ends with \
             a size that is 0, however it's written",
            "10-http.html#chunks",
        );
        let end = End::Well(chunks, 0);
        in_one_piece(&check, body.as_bytes(), data.as_bytes(), end, &format!("{chunks} chunks"));
    }

    #[rstest]
    #[case::ten("10", 16)]
    #[case::a_small_letter("a", 10)]
    #[case::a_capital("B", 11)]
    #[case::several("1Fa", 506)]
    #[case::zeros_before("0005", 5)]
    #[case::many_zeros_before("0000000000000000000000000000c", 12)]
    fn sizes_are_hexadecimal(#[case] size: &str, #[case] count: usize) {
        let check = check!("10-chunks");
        check.likely(
            "a size is in hex, in capitals or small letters, with as many zeros before it as somebody likes",
            "10-http.html#chunks",
        );
        let data = "x".repeat(count);
        let body = format!("{size}\r\n{data}\r\n0\r\n\r\n");
        let what = format!("a chunk with the size {size}");
        in_one_piece(&check, body.as_bytes(), data.as_bytes(), End::Well(1, 0), &what);
    }

    #[rstest]
    #[case::line_ends("a\r\nb\r\n\r\nc\n")]
    #[case::the_last_chunk("\r\n0\r\n\r\n")]
    #[case::another_chunk("1\r\nx\r\n0\r\n\r\n")]
    fn data_is_counted(#[case] data: &str) {
        let check = check!("10-chunks");
        check.likely(
            "it looks for a line's end in the data, and data may hold any bytes: the size says where it ends",
            "10-http.html#chunks",
        );
        let body = format!("{:x}\r\n{data}\r\n0\r\n\r\n", data.len());
        let what = format!("a chunk with the data {data:?}");
        in_one_piece(&check, body.as_bytes(), data.as_bytes(), End::Well(1, 0), &what);
    }

    /// A body with everything, and its data, which came in so many chunks.
    const BODY: &[u8] =
        b"c\r\nhello, world\r\n1a;name=\"1;2\";b\r\n\r\nthe next lines,\r\nand 0\r\n\r\n\
        0002\r\n!\n\r\n00;last\r\nX-One: 1\r\nX-Two: 0\r\n\r\n";
    const DATA: &[u8] = b"hello, world\r\nthe next lines,\r\nand 0\r\n!\n";
    const CHUNKS: u64 = 3;

    #[rstest]
    fn a_body_in_pieces(#[values(1, 2, 3, 5, 9, 16)] size: usize) {
        let check = check!("10-chunks");
        check.likely(
            "a piece may end anywhere: in a size, between \\r and \\n, in the data. What a byte means depends on \
             those before it, so keep it in the state",
            "10-http.html#pieces",
        );
        let mut run = run(&check, Pieces::Of(size));
        run.send_all(BODY);
        expect(&run, DATA, End::Well(CHUNKS, 0), &format!("after a body in pieces of {size}"));
    }

    #[rstest]
    #[case::a_name(";a")]
    #[case::a_value(";a=b")]
    #[case::which_looks_like_a_size(";5=abc")]
    #[case::in_quotes(";a=\"x;y\"")]
    #[case::several(";a=b;c=d ; e")]
    fn extensions_are_skipped(#[case] extension: &str) {
        let check = check!("10-chunks");
        check.likely(
            "from a `;` behind the size to the line's end it's an extension: no error, and no part of the size, \
             even where it looks like digits. The last chunk may have one, too",
            "10-http.html#chunks",
        );
        let body = format!("5{extension}\r\nhello\r\n0{extension}\r\n\r\n");
        let what = format!("chunks with the extension {extension:?}");
        however_it_is_cut(&check, body.as_bytes(), b"hello", End::Well(1, 0), &what);
    }

    #[rstest]
    #[case::none("")]
    #[case::one("X-Sum: 12\r\n")]
    #[case::two("X-Sum: 12\r\nX-Two: 0\r\n")]
    #[case::a_short_one("a:\r\n")]
    fn trailers_are_skipped(#[case] trailers: &str) {
        let check = check!("10-chunks");
        check.likely(
            "behind the last chunk's line come trailers, none or some, a line each, and then the empty line: that is \
             the body's end. What is behind it follows, and nothing before",
            "10-http.html#chunks",
        );
        let body = format!("5\r\nhello\r\n0\r\n{trailers}\r\n");
        let what = format!("a body with the trailers {trailers:?}");
        however_it_is_cut(&check, body.as_bytes(), b"hello", End::Well(1, 0), &what);
    }

    /// Every byte but those of a line's end.
    fn any_bytes() -> Vec<u8> {
        (0..=u8::MAX).filter(|byte| !matches!(byte, b'\r' | b'\n')).collect()
    }

    #[rstest]
    #[case::a_control_character(b";a\x01", b"X: \x01\r\n")]
    #[case::no_ascii(b";a=\xc3\xa9", b"X: \xc3\xa9\r\n")]
    #[case::a_blank_first(b"; a", b" goes on\r\n")]
    #[case::no_name(b";", b": 1\r\n")]
    #[case::no_colon(b";;", b"X\r\n")]
    #[case::any_bytes(&[b";", &any_bytes()[..]].concat(), &[&any_bytes()[..], b"\r\n"].concat())]
    fn what_is_skipped_is_not_judged(#[case] extension: &[u8], #[case] trailers: &[u8]) {
        let check = check!("10-chunks");
        check.likely(
            "extensions and trailers are skipped, and nothing is asked of them: any byte may be in them but the \\r \
             and \\n that end their line. (The chapter's parser refuses some.)",
            "10-http.html#exercise-10-chunks",
        );
        let extended = [&b"5"[..], extension, b"\r\nhello\r\n0", extension, b"\r\n\r\n"].concat();
        let what = format!("chunks with the extension {}", shown(extension));
        however_it_is_cut(&check, &extended, b"hello", End::Well(1, 0), &what);
        let trailed = [&b"5\r\nhello\r\n0\r\n"[..], trailers, b"\r\n"].concat();
        let what = format!("a body with the trailers {}", shown(trailers));
        however_it_is_cut(&check, &trailed, b"hello", End::Well(1, 0), &what);
    }

    #[rstest]
    #[case::a_request("GET / HTTP/1.1\r\n\r\n")]
    #[case::another_body("5\r\nworld\r\n0\r\n\r\n")]
    #[case::an_empty_line("\r\n")]
    #[case::nonsense("\u{1}")]
    fn what_follows_is_left_alone(#[case] next: &str) {
        let check = check!("10-chunks");
        check.likely(
            "what comes behind the empty line is somebody else's: give back how many bytes of the piece belong to the \
             body, and look at no more",
            "10-http.html#chunks",
        );
        let bytes = [BODY, next.as_bytes()].concat();
        let what = format!("a body, and {next:?} behind it");
        however_it_is_cut(&check, &bytes, DATA, End::Well(CHUNKS, next.len()), &what);
    }

    #[test]
    fn data_is_passed_on_as_it_comes() {
        let check = check!("10-chunks");
        check.likely(
            "it keeps the data until the chunk, or the body, is whole: that costs memory, and who waits for the first \
             words gets them with the last. Add to `data` what has come",
            "10-http.html#not-yet",
        );
        let mut run = run(&check, Pieces::AsTheyCome);
        for (piece, line) in [
            (&b"7\r\nfirst\n"[..], "first"),
            (&b"x\r\n1000\r\n-second\n"[..], "x-second"),
            (&b"third\n"[..], "third"),
        ] {
            run.send(piece);
            if let Err(trouble) = run.program.prints(|printed| printed == line) {
                let expected = format!("{line:?} has come in the data, and was to be passed on");
                check.fail_for(&expected, &trouble);
            }
        }
        run.send(&b"x".repeat(0x1000 - 14));
        run.send_all(b"\r\n0\r\n\r\n");
        let data = [b"first\nx-second\nthird\n".to_vec(), b"x".repeat(0x1000 - 14)].concat();
        expect(&run, &data, End::Well(2, 0), "after two chunks in several pieces");
    }

    #[test]
    fn it_ends_too_soon() {
        let check = check!("10-chunks");
        check.likely(
            "a body is whole with its empty line, and not with the input's end, nor with the last chunk's line: up to \
             there the answer is `None`",
            "10-http.html#not-yet",
        );
        let body = b"5\r\nhello\r\n0;a\r\nX: 1\r\n\r\n";
        for cut in 1..body.len() {
            let data = &b"hello"[..cut.saturating_sub(3).min(5)];
            let what =
                format!("{:?}, and then nothing more", String::from_utf8_lossy(&body[..cut]));
            in_one_piece(&check, &body[..cut], data, End::TooSoon, &what);
        }
    }

    #[rstest]
    #[case::with_0x("0x5")]
    #[case::with_a_plus("+5")]
    #[case::with_a_minus("-5")]
    #[case::with_a_space_before(" 5")]
    #[case::with_a_space_behind("5 ")]
    #[case::nothing("")]
    #[case::only_an_extension(";a=b")]
    #[case::no_digit("5g")]
    #[case::an_underscore("0_5")]
    #[case::a_bare_cr("5\r")]
    #[case::with_a_space_before_an_extension("5 ;a=b")]
    fn a_size_that_is_none(#[case] size: &str) {
        let check = check!("10-chunks");
        check.likely(
            "hex digits are a size, one at least, and nothing else is: `from_str_radix` takes a `+` too, and `trim` \
             takes away what others may not. Guessing is worse than refusing",
            "10-http.html#two-ways",
        );
        let body = format!("2\r\nok\r\n{size}\r\nhello\r\n0\r\n\r\n");
        let what = format!("a second chunk with the size {size:?}");
        however_it_is_cut(&check, body.as_bytes(), b"ok", End::Broken, &what);
    }

    #[rstest]
    #[case::longer("5\r\nhello!\r\n0\r\n\r\n")]
    #[case::much_longer("5\r\nhello world\r\n5\r\nhello\r\n0\r\n\r\n")]
    #[case::shorter("5\r\nhell\r\n5\r\nhello\r\n0\r\n\r\n")]
    #[case::nothing_between("5\r\nhello5\r\nworld\r\n0\r\n\r\n")]
    #[case::half_a_lines_end("5\r\nhello\r5\r\nworld\r\n0\r\n\r\n")]
    #[case::something_else("5\r\nhelloXX5\r\nworld\r\n0\r\n\r\n")]
    fn data_that_is_longer_or_shorter(#[case] body: &str) {
        let check = check!("10-chunks");
        check.likely(
            "behind the data \\r\\n has to come, both of them. If something else is there, nobody knows where the next \
             chunk begins: it's broken, and nothing behind it is decoded",
            "10-http.html#two-ways",
        );
        let data = body.as_bytes()[3..8].to_vec();
        let what = format!("the body {body:?}");
        however_it_is_cut(&check, body.as_bytes(), &data, End::Broken, &what);
    }

    #[rstest]
    #[case::behind_a_size("2\nok\r\n0\r\n\r\n", "")]
    #[case::behind_a_size_of_0("0\n\n", "")]
    #[case::in_an_extension("2;a\nok\r\n0\r\n\r\n", "")]
    #[case::behind_data("2\r\nok\n0\r\n\r\n", "ok")]
    #[case::in_a_trailer("2\r\nok\r\n0\r\nX: 1\nY: 2\r\n\r\n", "ok")]
    #[case::as_the_empty_line("2\r\nok\r\n0\r\n\n", "ok")]
    #[case::a_cr_in_an_extension("2;a\rb\r\nok\r\n0\r\n\r\n", "")]
    #[case::a_cr_in_a_trailer("2\r\nok\r\n0\r\nX: 1\rY\r\n\r\n", "ok")]
    #[case::a_cr_as_the_empty_line("2\r\nok\r\n0\r\n\rGET / HTTP/1.1\r\n\r\n", "ok")]
    #[case::two_crs("2\r\nok\r\n0\r\n\r\r\n", "ok")]
    fn half_a_lines_end(#[case] body: &str, #[case] data: &str) {
        let check = check!("10-chunks");
        check.likely(
            "a \\r alone, or a \\n alone, is a line's end to some readers and not to others: to be safe from both, \
             it's an error everywhere but in the data",
            "10-http.html#two-ways",
        );
        let what = format!("the body {body:?}");
        however_it_is_cut(&check, body.as_bytes(), data.as_bytes(), End::Broken, &what);
    }

    #[rstest]
    #[case::of_32_bits("FFFFFFFF")]
    #[case::and_one_more("100000005")]
    #[case::of_63_bits("7FFFFFFFFFFFFFFF")]
    #[case::of_64_bits("FFFFFFFFFFFFFFFF")]
    fn a_size_that_is_only_claimed(#[case] size: &str) {
        let check = check!("10-chunks");
        check.likely(
            "a size is what somebody claims: make no room for it beforehand, and add nothing to it, for there may be \
             no room for that. What has come of the data is passed on",
            "10-http.html#chunks",
        );
        let body = format!("2\r\nok\r\n{size}\r\nhello\r\n0\r\n\r\n");
        let what = format!("the beginning of a chunk with the size {size}");
        let data = b"okhello\r\n0\r\n\r\n";
        let mut whole = run(&check, Pieces::AsTheyCome);
        whole.send_all(body.as_bytes());
        whole.ends(&format!("after {what}"));
        if whole.last_word().contains(": broken: ") {
            check.likely(
                "it's refused, and must be believed: a size may have up to 64 bits, so FFFFFFFFFFFFFFFF is one. Keep it \
                 in a u64, and let nothing but that be a limit",
                "10-http.html#exercise-10-chunks",
            );
        }
        however_it_is_cut(&check, body.as_bytes(), data, End::TooSoon, &what);
    }

    #[rstest]
    #[case::zero_in_64_bits("10000000000000000")]
    #[case::five_in_64_bits("10000000000000005")]
    #[case::of_40_digits("ffffffffffffffffffffffffffffffffffffffff")]
    fn a_size_that_is_too_large(#[case] size: &str) {
        let check = check!("10-chunks");
        check.likely(
            "a size that doesn't fit into 64 bits wraps around, or is cut off, and the body ends somewhere else: use \
             `checked_mul`",
            "10-http.html#two-ways",
        );
        let body = format!("2\r\nok\r\n{size}\r\nhello\r\n0\r\n\r\n");
        let what = format!("a second chunk with the size {size}");
        however_it_is_cut(&check, body.as_bytes(), b"ok", End::Broken, &what);
    }

    #[test]
    fn many_small_chunks() {
        let check = check!("10-chunks");
        check.likely(
            "what is no data is counted from the last data on: a body of many small chunks is none that goes \
             on for ever",
            "10-http.html#chunks",
        );
        let body = [b"1\r\nx\r\n".repeat(10_000), b"0\r\n\r\n".to_vec()].concat();
        let data = b"x".repeat(10_000);
        let end = End::Well(10_000, 0);
        in_one_piece(&check, &body, &data, end, "10,000 chunks of 1 byte");
    }

    /// A body with so many bytes in a row that are no data as are accepted; and one with one more.
    #[track_caller]
    fn the_most_between(check: &Check, before: &str, behind: &str, first: &str, then: &str) {
        let body = |zeros: usize| format!("{before}{}{behind}", "0".repeat(zeros));
        // What is counted: all that isn't the data before it, and ends where the data behind it begins.
        let begin = before.find(first).filter(|_| !first.is_empty());
        let begin = begin.map_or(0, |at| at + first.len());
        let end = behind.find(then).filter(|_| !then.is_empty()).unwrap_or(behind.len());
        let most = MOST_BETWEEN - (before.len() - begin) - end;
        let chunks = [first, then].iter().filter(|data| !data.is_empty()).count();
        let (data, end) = ([first, then].concat(), End::Well(chunks as u64, 0));
        let what = "4096 bytes that are no data";
        however_it_is_cut(check, body(most).as_bytes(), data.as_bytes(), end, what);
        let what = "4097 bytes in a row that are no data";
        let (body, data) = (body(most + 1), first.as_bytes());
        however_it_is_cut(check, body.as_bytes(), data, End::Broken, what);
    }

    #[rstest]
    #[case::an_extension("5;", "\r\nhello\r\n0\r\n\r\n")]
    #[case::zeros("", "5\r\nhello\r\n0\r\n\r\n")]
    fn too_much_between_the_data(#[case] before: &str, #[case] behind: &str) {
        let check = check!("10-chunks");
        check.likely(
            "what is skipped must be counted, in however many pieces it comes, or one can send for ever: \
             MOST_BETWEEN bytes in a row that are no data are accepted, and one more is an error",
            "10-http.html#chunks",
        );
        the_most_between(&check, before, behind, "", "hello");
    }

    #[test]
    fn the_lines_end_behind_data_counts() {
        let check = check!("10-chunks");
        check.likely(
            "the row of bytes that are no data begins right behind the data: the line's end there is its first two \
             bytes, and the next size doesn't begin the count anew",
            "10-http.html#exercise-10-chunks",
        );
        the_most_between(&check, "2\r\nok\r\n5;", "\r\nhello\r\n0\r\n\r\n", "ok", "hello");
    }

    #[rstest]
    #[case::one("0\r\nX: ", "")]
    #[case::several("0\r\nX: 1\r\nY: 2\r\nZ: ", "")]
    #[case::behind_data("2\r\nok\r\n0\r\nX: 1\r\nY: ", "ok")]
    fn trailers_are_in_one_row(#[case] before: &str, #[case] first: &str) {
        let check = check!("10-chunks");
        check.likely(
            "trailers have no count of their own: the last chunk's line, all trailers, and the empty line are one row \
             of bytes that are no data, and nothing in it begins the count anew",
            "10-http.html#exercise-10-chunks",
        );
        the_most_between(&check, before, "\r\n\r\n", first, "");
    }

    #[rstest]
    #[case::in_a_size("5\r\nhello\r\n5x", "hello")]
    #[case::as_a_size("5\r\nhello\r\n;", "hello")]
    #[case::behind_data("2\r\nokX", "ok")]
    #[case::behind_half_a_lines_end("2\r\nok\rX", "ok")]
    #[case::behind_a_size("2\rX", "")]
    #[case::an_lf_behind_a_size("2\n", "")]
    #[case::an_lf_in_an_extension("2;a\n", "")]
    #[case::behind_an_extension("2;a\rX", "")]
    #[case::an_lf_in_a_trailer("0\r\nX: 1\n", "")]
    #[case::behind_a_trailer("0\r\nX: 1\rX", "")]
    #[case::in_the_empty_line("0\r\n\rX", "")]
    #[case::a_digit_too_much("10000000000000000", "")]
    #[case::a_byte_too_much_between("0".repeat(MOST_BETWEEN + 1), "")]
    fn broken_is_said_at_once(#[case] body: impl AsRef<str>, #[case] data: &str) {
        let check = check!("10-chunks");
        check.likely(
            "an error is sure as soon as the first wrong byte is there: whoever waits for the line's end, or for one \
             more byte, waits in vain",
            "10-http.html#exercise-10-chunks",
        );
        let body = body.as_ref().as_bytes();
        let mut run = run(&check, Pieces::AsTheyCome);
        run.send(body);
        let when = format!("after {}, on a pipe that stays open", shown(body));
        expect(&run, data.as_bytes(), End::Broken, &when);
    }
}
