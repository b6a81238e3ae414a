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
            if let Some(cause) = closer(&printed, lines, end) {
                run.check.suspect(cause);
            }
            let (printed, expected) = (shown(&printed), shown(&expected));
            run.check.fail(format!("{when}, your program told\n{printed}\nand not\n{expected}"));
        }
        if let End::LeftOver(_) = end {
            run.check.suspect("forgets-the-pieces-before");
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

    /// What is wrong with what was told, where that tells more than what was sent.
    fn closer(printed: &str, lines: &str, end: End) -> Option<&'static str> {
        let End::Refused(expected) = end else { return None };
        let refused = printed.lines().last().and_then(|line| line.strip_prefix("refused: "));
        match (refused?.parse::<u16>().ok()?, expected) {
            (got, _) if got == expected && printed.len() < lines.len() => {
                Some("loses-those-before")
            }
            (400, 501) => Some("encoding-is-400"),
            (400, 413) => Some("too-large-is-400"),
            (400 | 413, 431) => Some("wrong-status-for-a-large-head"),
            _ => None,
        }
    }

    /// How many lines are shown, at the most.
    const MOST_LINES: usize = 8;

    fn shown(lines: &str) -> String {
        let count = lines.lines().count();
        let mut shown: Vec<_> =
            lines.lines().take(MOST_LINES).map(|it| format!("  {it}")).collect();
        match count {
            0 => shown.push("  nothing".to_owned()),
            1..=MOST_LINES => {}
            _ => shown.push(format!("  … {count} lines in all")),
        }
        shown.join("\n")
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
        check.suspect("told-and-not-taken-out");
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
    #[case::of_a_delete("DELETE", "Content-Length: 5\r\n", "hello")]
    #[case::of_an_options("OPTIONS", "Content-Length: 5\r\n", "hello")]
    #[case::of_a_trace("TRACE", "Content-Length: 5\r\n", "hello")]
    #[case::of_a_post_in_small_letters("post", "Content-Length: 5\r\n", "hello")]
    #[case::none_of_a_put_without_a_length("PUT", "", "")]
    #[case::of_one_byte("POST", "Content-Length: 1\r\n", "x")]
    fn a_body_is_as_long_as_it_says(
        #[case] method: &str,
        #[case] fields: &str,
        #[case] body: &str,
    ) {
        let check = check!("10-ends");
        check.suspect("method-decides-on-the-body");
        let (first, first_line) = request(method, fields, body);
        let (next, next_line) = request("GET", "", "");
        let mut run = run(&check, Pieces::AsTheyCome);
        run.send_all((first + &next).as_bytes());
        let when = format!("after {method} with {fields:?} and another request behind it");
        expect(&run, &(first_line + &next_line), End::Well, &when);
    }

    #[rstest]
    #[case::one("05", "hello")]
    #[case::many("00000000000000000000000000005", "hello")]
    #[case::a_thousand(&format!("{}5", "0".repeat(1000)), "hello")]
    #[case::and_nothing_else("00", "")]
    #[case::very_many_and_nothing_else(&"0".repeat(40), "")]
    fn zeros_before_a_length(#[case] length: &str, #[case] body: &str) {
        let check = check!("10-ends");
        check.suspect("counts-the-digits-of-a-length");
        let (first, first_line) = request("POST", &format!("Content-Length: {length}\r\n"), body);
        let (next, next_line) = request("GET", "", "");
        let mut run = run(&check, Pieces::AsTheyCome);
        run.send_all((first + &next).as_bytes());
        let when = match length.len() {
            0..50 => format!("after a request with a length of {length} and another one behind it"),
            zeros => format!("after a length with {} zeros before it", zeros - 1),
        };
        expect(&run, &(first_line + &next_line), End::Well, &when);
    }

    #[rstest]
    #[case::in_small_letters("get", "/")]
    #[case::a_method_with_a_hyphen("M-SEARCH", "*")]
    #[case::the_server_itself("OPTIONS", "*")]
    #[case::with_a_host("GET", "http://example.org:80/a?b=c&d#e")]
    #[case::with_a_query("GET", "/a?b=c&d=%20")]
    #[case::with_dots("GET", "/../a/./b//c/")]
    #[case::a_host_alone("CONNECT", "example.org:443")]
    #[case::encoded("PUT", "/%2e%2E/a%20b%")]
    #[case::no_ascii("GET", "/t\u{fc}r")]
    fn told_as_it_was_sent(#[case] method: &str, #[case] target: &str) {
        let check = check!("10-ends");
        check.suspect("tells-other-words");
        let head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let lines = line(method, target, head.len(), 0);
        let mut run = run(&check, Pieces::AsTheyCome);
        run.send_all(head.as_bytes());
        let when = format!("after a request whose line is `{method} {target} HTTP/1.1`");
        expect(&run, &lines, End::Well, &when);
    }

    #[test]
    fn a_body_in_1_0() {
        let check = check!("10-ends");
        check.suspect("version-decides-on-the-body");
        let head = "POST /a HTTP/1.0\r\nContent-Length: 5\r\n\r\n";
        let next = "GET /b HTTP/1.0\r\nConnection: close\r\n\r\n";
        let lines = line("POST", "/a", head.len(), 5) + &line("GET", "/b", next.len(), 0);
        let bytes = format!("{head}hello{next}{next}");
        let lines = lines + &line("GET", "/b", next.len(), 0);
        let what = "a POST of HTTP/1.0 with a body, and two GETs behind it";
        however_it_is_cut(&check, bytes.as_bytes(), &lines, End::Well, what);
    }

    /// Every byte there is, in an order in which none belongs to the one before.
    fn all_bytes() -> Vec<u8> {
        (0..=u8::MAX).map(|byte| byte.wrapping_mul(167)).collect()
    }

    #[rstest]
    #[case::every_byte(&all_bytes())]
    #[case::no_text(b"\xff\xfe\xc3(\x80")]
    #[case::zeros(&[0; 9])]
    #[case::line_ends(b"\n\n\r\n\r\n\r\r\n\n")]
    #[case::fields(b"X\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n")]
    fn a_body_is_bytes(#[case] body: &[u8]) {
        let check = check!("10-ends");
        check.suspect("takes-bytes-for-text");
        let (head, first_line) =
            request("POST", &format!("Content-Length: {}\r\n", body.len()), "");
        let first_line = first_line.replace("body 0", &format!("body {}", body.len()));
        let (next, next_line) = request("GET", "", "");
        let bytes = [head.as_bytes(), body, next.as_bytes()].concat();
        let what = format!("a request with the body \"{}\"", body.escape_ascii());
        however_it_is_cut(&check, &bytes, &(first_line + &next_line), End::Well, &what);
    }

    #[test]
    fn a_fields_value_is_bytes() {
        let check = check!("10-ends");
        check.suspect("takes-bytes-for-text");
        let head = b"GET /a HTTP/1.1\r\nX: \xff\xfe\r\nContent-Length: 2\r\nY: t\xfcr\r\n\r\n";
        let lines = line("GET", "/a", head.len(), 2).repeat(2);
        let bytes = [head, &b"ok"[..]].concat().repeat(2);
        let what = "two requests with fields that aren't UTF-8";
        however_it_is_cut(&check, &bytes, &lines, End::Well, what);
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
        check.suspect("throws-away-what-is-behind");
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
        check.suspect("forgets-the-pieces-before");
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
            check.suspect("tells-before-it-is-whole");
            run.send(piece);
            run.settle(when);
            if !run.program.stdout().is_empty() {
                let printed = String::from_utf8_lossy(&run.program.stdout()).into_owned();
                check.fail(format!("{when}, your program told already\n{}", shown(&printed)));
            }
        }
        check.suspect("waits-for-more-than-the-request");
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
    #[case::no_body("GET", "", "", "")]
    #[case::a_body_of_length_0("POST", "Content-Length: 0\r\n", "", "")]
    #[case::a_body("POST", "Content-Length: 5\r\n", "hello", "")]
    #[case::half_a_line_behind_it("GET", "", "", "GET /b HT")]
    #[case::an_empty_line_behind_it("POST", "Content-Length: 5\r\n", "hello", "\r\n")]
    #[case::half_a_body_behind_it("GET", "", "", "POST /b HTTP/1.1\r\nContent-Length: 5\r\n\r\nhe")]
    fn told_with_its_last_byte(
        #[case] method: &str,
        #[case] fields: &str,
        #[case] body: &str,
        #[case] behind: &str,
    ) {
        let check = check!("10-ends");
        check.suspect("waits-for-more-than-the-request");
        let (first, first_line) = request(method, fields, body);
        let mut run = run(&check, Pieces::AsTheyCome);
        run.send((first + behind).as_bytes());
        if let Err(trouble) = run.program.prints(|line| line == first_line.trim_end()) {
            let when = format!(
                "after a whole {method} with {fields:?} and {behind:?} behind it, on a pipe that stays open"
            );
            check.fail_for(&format!("{when}, it was to be told"), &trouble);
        }
    }

    #[test]
    fn thousands_in_one_piece() {
        /// As many as go into the largest piece.
        const COUNT: usize = 3_600;
        let check = check!("10-ends");
        check.suspect("so-many-and-no-more-in-a-piece");
        let head = "GET / HTTP/1.1\r\n\r\n";
        let mut run = run(&check, Pieces::AsTheyCome);
        run.send_all(head.repeat(COUNT).as_bytes());
        let when = format!("after {COUNT} short requests at once");
        run.ends(&when);
        let printed = String::from_utf8_lossy(&run.program.stdout()).into_owned();
        let told = printed.lines().count();
        if printed != line("GET", "/", head.len(), 0).repeat(COUNT) {
            let last = run.last_word();
            check.fail(format!("{when}, your program told {told} lines; it said: {last:?}"));
        }
    }

    #[rstest]
    #[case::it_is_the_last("Connection: close")]
    #[case::it_wants_another_protocol("Connection: Upgrade\r\nUpgrade: websocket")]
    #[case::it_waits_for_an_answer("Expect: 100-continue")]
    #[case::it_says_of_what_it_is_a_part("Content-Range: bytes 0-1/2")]
    #[case::it_has_many_others(&format!("{}X: y", "X: y\r\n".repeat(40)))]
    fn other_fields_change_nothing(#[case] fields: &str) {
        let check = check!("10-ends");
        check.suspect("what-has-come-is-the-body");
        let (first, first_line) =
            request("POST", &format!("{fields}\r\nContent-Length: 5\r\n"), "hello");
        let (second, second_line) = request("GET", &format!("{fields}\r\n"), "");
        let (next, next_line) = request("GET", "", "");
        let bytes = first + &second + &next;
        let what =
            format!("two requests with {:?}, and another one", &fields[..fields.len().min(50)]);
        let lines = first_line + &second_line + &next_line;
        however_it_is_cut(&check, bytes.as_bytes(), &lines, End::Well, &what);
    }

    #[rstest]
    #[case::two_lengths("Content-Length: 5\r\nContent-Length: 6\r\n", 400)]
    #[case::a_length_and_an_encoding("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400)]
    #[case::no_number("Content-Length: +5\r\n", 400)]
    #[case::too_long("Content-Length: 65537\r\n", 413)]
    fn in_1_0_the_same_is_refused(#[case] fields: &str, #[case] status: u16) {
        let check = check!("10-ends");
        check.suspect("version-decides-on-the-body");
        let bytes = format!("POST / HTTP/1.0\r\n{fields}\r\nhello");
        let what = format!("a request of HTTP/1.0 with {fields:?}");
        however_it_is_cut(&check, bytes.as_bytes(), "", End::Refused(status), &what);
    }

    #[rstest]
    #[case::with_something_before_it("X-Transfer-Encoding: chunked")]
    #[case::with_something_behind_it("Transfer-Encoding-Was: chunked")]
    #[case::what_is_accepted("TE: chunked")]
    #[case::another_hyphen("Transfer_Encoding: chunked")]
    #[case::of_the_content("Content-Encoding: gzip")]
    #[case::in_a_value("X: Transfer-Encoding: chunked")]
    fn another_field_is_no_encoding(#[case] field: &str) {
        let check = check!("10-ends");
        check.suspect("a-part-of-a-name-will-do");
        let fields = format!("{field}\r\nContent-Length: 5\r\n");
        let (bytes, lines) = request("POST", &fields, "hello");
        let mut run = run(&check, Pieces::AsTheyCome);
        run.send_all(bytes.as_bytes());
        expect(&run, &lines, End::Well, &format!("after a request with {field:?}"));
    }

    #[rstest]
    #[case::small("content-length:5")]
    #[case::capital("CONTENT-LENGTH: 5")]
    #[case::with_spaces("Content-Length: \t 5 ")]
    #[case::among_others("X-Content-Length: 3\r\nContent-Length: 5\r\nContent-Length-Was: 4")]
    #[case::mixed("cONTENT-lENGTH: 5")]
    #[case::behind_what_is_no_length(
        "Content_Length: 3\r\nContent-Length: 5\r\nLength: 4\r\nContent: 2"
    )]
    fn the_field_is_written_in_another_way(#[case] field: &str) {
        let check = check!("10-ends");
        check.suspect("names-letter-by-letter");
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
        check.suspect("asks-for-a-host");
        let lines = line("GET", "/a", head.len(), 0);
        however_it_is_cut(&check, head.as_bytes(), &lines, End::Well, &format!("{head:?}"));
    }

    #[rstest]
    #[case::one("\r\n")]
    #[case::several("\r\n\r\n\r\n\r\n\r\n\r\n")]
    #[case::of_lfs("\n\n")]
    fn empty_lines_before_a_request(#[case] empty: &str) {
        let check = check!("10-ends");
        check.suspect("meddles-with-empty-lines");
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
        check.suspect("searches-line-ends-itself");
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
    #[case::in_a_method("G")]
    #[case::before_the_last_lf("GET /a HTTP/1.1\r\n\r")]
    #[case::in_empty_lines("\r\n\r\n")]
    #[case::behind_an_empty_line_and_a_half("\r\nGET /a")]
    fn the_end_comes_too_soon(#[case] half: &str) {
        let check = check!("10-ends");
        check.suspect("tells-before-it-is-whole");
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
    #[case::minus_zero("-0")]
    #[case::a_comma_behind("5,")]
    #[case::a_comma_before(",5")]
    #[case::an_exponent("5e0")]
    #[case::a_semicolon("5;")]
    #[case::two_zeros("0 0")]
    #[case::a_wide_digit("\u{ff15}")]
    #[case::a_raised_digit("\u{2075}")]
    #[case::a_sign_alone("-")]
    fn a_length_that_is_no_number(#[case] length: &str) {
        let check = check!("10-ends");
        check.suspect(match length {
            "+5" | "-5" | "-0" | "-" => "rust-parses-a-sign",
            "" => "no-digits-are-a-length",
            "five" => "no-number-is-0",
            "99999999999999999999999a" => "too-long-before-it-is-a-number",
            _ if !length.is_ascii() => "digits-of-other-scripts",
            _ => "guesses-at-a-length",
        });
        let (bytes, _) = request("POST", &format!("Content-Length: {length}\r\n"), "hello");
        let what = format!("a length of {length:?}");
        however_it_is_cut(&check, bytes.as_bytes(), "", End::Refused(400), &what);
    }

    #[rstest]
    #[case::alone(b"\xff")]
    #[case::behind_a_digit(b"5\xff")]
    #[case::before_a_digit(b"\xb55")]
    fn a_length_that_is_no_text(#[case] length: &[u8]) {
        let check = check!("10-ends");
        check.suspect("guesses-at-a-length");
        let start = b"POST / HTTP/1.1\r\nContent-Length: ";
        let bytes = [&start[..], length, b"\r\n\r\nhello"].concat();
        let what = format!("a length of \"{}\"", length.escape_ascii());
        however_it_is_cut(&check, &bytes, "", End::Refused(400), &what);
    }

    #[rstest]
    #[case::the_shorter_one_first("Content-Length: 5\r\nContent-Length: 50\r\n")]
    #[case::the_longer_one_first("Content-Length: 50\r\nContent-Length: 5\r\n")]
    #[case::both_the_same("Content-Length: 5\r\ncontent-length: 5\r\n")]
    #[case::far_apart("CONTENT-LENGTH: 5\r\nAccept: */*\r\nX-Y: 1\r\ncontent-length: 0\r\n")]
    #[case::one_is_empty("Content-Length: 5\r\nContent-Length:\r\n")]
    #[case::the_first_is_too_long("Content-Length: 99999999\r\nContent-Length: 5\r\n")]
    #[case::the_last_is_too_long("Content-Length: 5\r\nContent-Length: 99999999\r\n")]
    #[case::three_of_them("Content-Length: 5\r\nContent-Length: 5\r\nContent-Length: 5\r\n")]
    #[case::three_that_differ("Content-Length: 5\r\nContent-Length: 6\r\nContent-Length: 5\r\n")]
    #[case::two_zeros("Content-Length: 0\r\nContent-Length: 0\r\n")]
    #[case::the_same_with_a_zero_before("Content-Length: 5\r\nContent-Length: 05\r\n")]
    #[case::the_last_is_no_number("Content-Length: 5\r\nContent-Length: five\r\n")]
    #[case::both_are_too_long("Content-Length: 99999999\r\nContent-Length: 99999999\r\n")]
    #[case::with_many_fields_between(&format!("Content-Length: 5\r\n{}Content-Length: 6\r\n", "X: y\r\n".repeat(50)))]
    fn two_lengths(#[case] fields: &str) {
        let check = check!("10-ends");
        check.suspect(match fields.matches("ength:").count() {
            _ if fields.contains("X: y") => "field-limit-is-another",
            3 => "counts-up-to-two",
            _ if fields.contains("99999999") => "reads-before-it-counts",
            _ if fields.contains("50") => "chooses-one-of-two-lengths",
            _ => "forgives-a-second-length",
        });
        let (bytes, _) = request("POST", fields, "hello");
        let what = format!("a request with {:?}", &fields[..fields.len().min(100)]);
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
    #[case::a_length_of_0("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n")]
    #[case::an_empty_length("Content-Length:\r\nTransfer-Encoding: chunked\r\n")]
    #[case::two_encodings(
        "Content-Length: 5\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"
    )]
    #[case::a_length_between_two_encodings(
        "Transfer-Encoding: gzip\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
    )]
    #[case::two_lengths("Content-Length: 5\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n")]
    #[case::two_of_each(
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
    )]
    fn a_length_and_an_encoding(#[case] fields: &str) {
        let check = check!("10-ends");
        check.suspect(match fields.matches(":").count() {
            3 | 4 => "counts-up-to-two",
            _ if fields.contains("99999999") || fields.contains("five") => "reads-before-it-counts",
            _ if fields.contains("ncoding:\r\n") => "empty-encoding-is-none",
            _ if fields.contains("identity") => "minds-what-an-encoding-says",
            _ if fields.contains(": 0\r\n") => "a-length-of-0-is-none",
            _ => "chooses-between-length-and-encoding",
        });
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
    #[case::in_capitals("POST", "TRANSFER-ENCODING: chunked\r\n")]
    #[case::three_times(
        "POST",
        "Transfer-Encoding: a\r\nTransfer-Encoding: b\r\nTransfer-Encoding: chunked\r\n"
    )]
    #[case::identity("POST", "Transfer-Encoding: identity\r\n")]
    #[case::twice_chunked("POST", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")]
    fn an_encoding_alone(#[case] method: &str, #[case] fields: &str) {
        let check = check!("10-ends");
        check.suspect(match fields.matches(":").count() {
            3 => "counts-up-to-two",
            _ if method == "GET" => "method-decides-on-the-body",
            _ if fields.ends_with(":\r\n") => "empty-encoding-is-none",
            _ if fields.contains("gzip") || fields.contains("identity") => {
                "minds-what-an-encoding-says"
            }
            _ => "passes-over-an-encoding",
        });
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
        check.suspect("minds-what-an-encoding-says");
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
        check.suspect("refuses-too-late");
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
        check.suspect("an-error-is-not-yet");
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
    #[case::with_zeros_before_it("0000000000000000000000065537")]
    #[case::the_same_as_5_in_16_bits("65541")]
    #[case::the_largest_of_63_bits("9223372036854775807")]
    fn a_body_that_is_too_long_is_refused_at_once(#[case] length: &str) {
        let check = check!("10-ends");
        check.suspect(match length {
            "65537" => "body-limit-off-by-one",
            "65541" | "4294967301" | "18446744073709551621" => "length-in-too-few-bits",
            "18446744073709551615" | "9223372036854775807" => "adds-before-it-compares",
            _ if length.len() > 40 => "too-large-is-400",
            _ => "no-limit-for-a-body",
        });
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
        check.suspect("head-limit-counts-what-is-behind");
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
        check.suspect("head-limit-counts-what-is-behind");
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
        check.suspect(match head.len() - LONGEST_HEAD {
            1 => "head-limit-off-by-one",
            _ => "head-limit-depends-on-pieces",
        });
        let what = format!("a head that is too long ({} bytes)", head.len());
        however_it_is_cut(&check, head.as_bytes(), "", End::Refused(431), &what);
    }

    #[test]
    fn too_many_fields() {
        let check = check!("10-ends");
        check.suspect("wrong-status-for-a-large-head");
        let count = MOST_FIELDS + 1;
        let head = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(count));
        let what = format!("a head with {count} fields");
        however_it_is_cut(&check, head.as_bytes(), "", End::Refused(431), &what);
    }

    #[rstest]
    #[case::at_once(MOST_FIELDS + 1, "", 431)]
    #[case::two_lengths_among_the_most(MOST_FIELDS - 2, "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400)]
    fn a_field_too_many_is_refused_at_once(
        #[case] count: usize,
        #[case] behind: &str,
        #[case] status: u16,
    ) {
        let check = check!("10-ends");
        check.suspect("refuses-too-late");
        let mut run = run(&check, Pieces::AsTheyCome);
        let head = format!("GET / HTTP/1.1\r\n{}{behind}", "X: y\r\n".repeat(count));
        run.send(head.as_bytes());
        let when = format!("after {count} fields and {behind:?}, on a pipe that stays open");
        expect(&run, "", End::Refused(status), &when);
    }

    #[test]
    fn empty_lines_count_as_a_part_of_a_head() {
        let check = check!("10-ends");
        check.suspect("meddles-with-empty-lines");
        let (get, lines) = request("GET", "", "");
        let fits = format!("{get}\r\n{}", head_of(LONGEST_HEAD - 2));
        let two = lines.clone() + &line("GET", "/", LONGEST_HEAD, 0);
        let what = "a head that has 8192 bytes with the empty line before it";
        however_it_is_cut(&check, fits.as_bytes(), &two, End::Well, what);
        let too_long = format!("{get}\r\n{}", head_of(LONGEST_HEAD - 1));
        let what = "a head that has 8193 bytes with the empty line before it";
        however_it_is_cut(&check, too_long.as_bytes(), &lines, End::Refused(431), what);
        let mut run = run(&check, Pieces::AsTheyCome);
        run.send("\r\n".repeat(LONGEST_HEAD / 2).as_bytes());
        let when = "after 8192 bytes of empty lines, on a pipe that stays open";
        expect(&run, "", End::Refused(431), when);
    }

    #[rstest]
    #[case::at_the_beginning("\u{1}")]
    #[case::in_a_field("GET / HTTP/1.1\r\nno colon\r\n")]
    #[case::in_its_last_kilobyte(&head_of(LONGEST_HEAD - 100).replace("xx\r\n\r\n", "\r\nno colon\r\n"))]
    fn what_is_wrong_before_it_is_too_long(#[case] begin: &str) {
        let check = check!("10-ends");
        check.suspect("head-limit-before-httparse");
        let bytes = format!("{begin}{}", "x".repeat(LONGEST_HEAD));
        let what = format!("{} bytes, the first wrong one within the limit", bytes.len());
        however_it_is_cut(&check, bytes.as_bytes(), "", End::Refused(400), &what);
    }

    #[rstest]
    #[case::of_just_8_kib(LONGEST_HEAD)]
    #[case::of_more(LONGEST_HEAD + 6)]
    fn a_head_without_an_end_is_refused_at_once(#[case] length: usize) {
        let check = check!("10-ends");
        check.suspect("head-limit-off-by-one");
        let mut run = run(&check, Pieces::AsTheyCome);
        run.send(&head_of(length + 4).as_bytes()[..length]);
        let when =
            format!("after {length} bytes of a head without an end, on a pipe that stays open");
        expect(&run, "", End::Refused(431), &when);
    }

    #[rstest]
    #[case::of_two_ways(
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400
    )]
    #[case::of_no_request("no request\r\n\r\n", 400)]
    #[case::of_an_encoding("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501)]
    #[case::of_a_long_body("POST / HTTP/1.1\r\nContent-Length: 65537\r\n\r\n", 413)]
    #[case::of_many_fields(&format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(MOST_FIELDS + 1)), 431)]
    #[case::of_a_long_head(&head_of(LONGEST_HEAD + 1), 431)]
    fn behind_a_refusal_nothing_is_looked_at(#[case] bad: &str, #[case] status: u16) {
        let check = check!("10-ends");
        check.suspect("goes-on-behind-a-refusal");
        let (good, line) = request("GET", "", "");
        let bytes = format!("{good}{good}{bad}{good}");
        let what =
            format!("two requests, one that is to be refused with {status}, and another one");
        however_it_is_cut(&check, bytes.as_bytes(), &line.repeat(2), End::Refused(status), &what);
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
                run.check.suspect("loses-data-before-an-error");
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
            0..=80 => format!("\"{}\"", bytes.escape_ascii()),
            count => format!("\"{}\" … ({count} bytes)", bytes[..60].escape_ascii()),
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

    /// Whether it calls these bytes broken.
    fn is_refused(check: &Check, bytes: &[u8]) -> bool {
        let mut whole = run(check, Pieces::AsTheyCome);
        whole.send_all(bytes);
        whole.ends("after a whole body");
        whole.last_word().contains(": broken: ")
    }

    #[test]
    fn a_chunk_alone() {
        let check = check!("10-chunks");
        check.suspect("counts-the-last-chunk");
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
    #[case::a_very_long_zero("1\r\nx\r\n0000000000000000000000000000000000000000\r\n\r\n", "x", 1)]
    #[case::three_of_one_byte("1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n", "abc", 3)]
    #[case::a_size_that_ends_in_0(
        "20\r\n12345678901234567890123456789012\r\n0\r\n\r\n",
        "12345678901234567890123456789012",
        1
    )]
    fn several_chunks_in_one_piece(#[case] body: &str, #[case] data: &str, #[case] chunks: u64) {
        let check = check!("10-chunks");
        check.suspect("last-chunk-by-its-letters");
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
        check.suspect(match size {
            "a" | "B" => "knows-some-digits-alone",
            _ if size.starts_with('0') => "counts-the-digits-of-a-size",
            _ => "sizes-in-decimal",
        });
        let data = "x".repeat(count);
        let body = format!("{size}\r\n{data}\r\n0\r\n\r\n");
        let what = format!("a chunk with the size {size}");
        in_one_piece(&check, body.as_bytes(), data.as_bytes(), End::Well(1, 0), &what);
    }

    #[test]
    fn each_digit_has_its_value() {
        let check = check!("10-chunks");
        check.suspect("knows-some-digits-alone");
        let digits = "123456789abcdefABCDEF";
        let of = |digit: char| digit.to_digit(16).unwrap_or_default() as usize;
        let chunk = |digit: char| format!("{digit}\r\n{}\r\n", digit.to_string().repeat(of(digit)));
        let body = digits.chars().map(chunk).collect::<String>() + "0\r\n\r\n";
        let data: String =
            digits.chars().map(|digit| digit.to_string().repeat(of(digit))).collect();
        let end = End::Well(digits.len() as u64, 0);
        let what = "a chunk for each digit, of as many of them as it says";
        in_one_piece(&check, body.as_bytes(), data.as_bytes(), end, what);
    }

    #[rstest]
    #[case::of_16_bits(0xffff)]
    #[case::and_one_more(0x1_0000)]
    #[case::and_two(0x1_0001)]
    #[case::of_three_pieces(0x2_4321)]
    fn a_chunk_of_many_pieces(#[case] size: usize) {
        let check = check!("10-chunks");
        check.suspect("sizes-in-too-few-bits");
        let data: Vec<u8> = (0..size).map(|at| b'a' + (at % 23) as u8).collect();
        let body =
            [format!("{size:x}\r\n").as_bytes(), &data, b"\r\n2\r\nok\r\n0\r\n\r\n"].concat();
        let data = [&data[..], b"ok"].concat();
        for pieces in [Pieces::AsTheyCome, Pieces::Of(1000)] {
            let mut run = run(&check, pieces);
            run.send_all(&body);
            expect(
                &run,
                &data,
                End::Well(2, 0),
                &format!("after a chunk of {size} bytes and one of 2"),
            );
        }
    }

    #[rstest]
    #[case::every_byte(&(0..=u8::MAX).map(|byte| byte.wrapping_mul(167)).collect::<Vec<u8>>())]
    #[case::no_text(b"\xff\xfe\xc3(")]
    #[case::nuls(&[0; 5])]
    fn data_is_bytes(#[case] data: &[u8]) {
        let check = check!("10-chunks");
        check.suspect("takes-data-for-text");
        let size = format!("{:x}\r\n", data.len());
        let body = [size.as_bytes(), data, b"\r\n0\r\n\r\n"].concat();
        let what = format!("a chunk with the data {}", shown(data));
        however_it_is_cut(&check, &body, data, End::Well(1, 0), &what);
    }

    #[rstest]
    #[case::line_ends("a\r\nb\r\n\r\nc\n")]
    #[case::the_last_chunk("\r\n0\r\n\r\n")]
    #[case::another_chunk("1\r\nx\r\n0\r\n\r\n")]
    #[case::a_size_and_more("\r\n5\r\n0")]
    #[case::a_line_ends_half("a\r")]
    #[case::a_line_ends_other_half("\nb")]
    fn data_is_counted(#[case] data: &str) {
        let check = check!("10-chunks");
        check.suspect("searches-in-the-data");
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
        check.suspect("state-is-lost-between-pieces");
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
    #[case::an_open_quote(";a=\"")]
    #[case::two_semicolons(";;a;;")]
    #[case::a_tab(";\ta\t")]
    #[case::digits(";0")]
    #[case::a_long_one(&format!(";{}", "a".repeat(300)))]
    fn extensions_are_skipped(#[case] extension: &str) {
        let check = check!("10-chunks");
        check.suspect("reads-extensions");
        let body = format!("5{extension}\r\nhello\r\n0{extension}\r\n\r\n");
        let what = format!("chunks with the extension {extension:?}");
        if is_refused(&check, body.as_bytes()) {
            check.suspect("refuses-extensions");
        }
        however_it_is_cut(&check, body.as_bytes(), b"hello", End::Well(1, 0), &what);
    }

    #[rstest]
    #[case::none("")]
    #[case::one("X-Sum: 12\r\n")]
    #[case::two("X-Sum: 12\r\nX-Two: 0\r\n")]
    #[case::a_short_one("a:\r\n")]
    #[case::many(&"X: 1\r\n".repeat(200))]
    #[case::one_that_looks_like_a_size("5\r\n")]
    #[case::one_that_looks_like_the_last_chunk("0\r\n")]
    fn trailers_are_skipped(#[case] trailers: &str) {
        let check = check!("10-chunks");
        check.suspect("ends-before-the-empty-line");
        let body = format!("5\r\nhello\r\n0\r\n{trailers}\r\n");
        let what = format!("a body with the trailers {trailers:?}");
        if is_refused(&check, body.as_bytes()) {
            check.suspect("refuses-trailers");
        }
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
        check.suspect("judges-what-is-skipped");
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
    #[case::much(&"x".repeat(70_000))]
    #[case::a_cr("\r")]
    #[case::the_rest_of_a_chunk("0\r\n\r\n")]
    fn what_follows_is_left_alone(#[case] next: &str) {
        let check = check!("10-chunks");
        check.suspect("touches-what-follows");
        let bytes = [BODY, next.as_bytes()].concat();
        let what = format!("a body, and {next:?} behind it");
        however_it_is_cut(&check, &bytes, DATA, End::Well(CHUNKS, next.len()), &what);
    }

    #[test]
    fn data_is_passed_on_as_it_comes() {
        let check = check!("10-chunks");
        check.suspect("waits-for-a-whole-chunk");
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
        check.suspect("ends-before-the-empty-line");
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
    #[case::with_a_tab_before("\t5")]
    #[case::with_a_tab_behind("5\t")]
    #[case::a_blank_alone(" ")]
    #[case::with_an_h("5h")]
    #[case::a_list("5,5")]
    #[case::with_a_dollar("$5")]
    #[case::with_a_space_inside("1 0")]
    #[case::with_a_point("5.0")]
    fn a_size_that_is_none(#[case] size: &str) {
        let check = check!("10-chunks");
        check.suspect(match size {
            "" | ";a=b" => "no-size-is-0",
            "5\r" => "a-lone-cr-will-do",
            _ if size.contains([' ', '\t']) => "blanks-around-a-size",
            "5g" | "5h" | "5,5" | "5.0" => "reads-a-size-as-far-as-it-goes",
            _ => "takes-for-a-size-what-is-none",
        });
        let body = format!("2\r\nok\r\n{size}\r\nhello\r\n0\r\n\r\n");
        let what = format!("a second chunk with the size {size:?}");
        however_it_is_cut(&check, body.as_bytes(), b"ok", End::Broken, &what);
    }

    #[rstest]
    #[case::before_the_digits(b'/')]
    #[case::behind_the_digits(b':')]
    #[case::before_the_capitals(b'@')]
    #[case::behind_the_capitals(b'G')]
    #[case::before_the_small_letters(b'`')]
    #[case::behind_the_small_letters(b'g')]
    #[case::a_zero_but_for_a_bit(0x10)]
    #[case::a_nine_but_for_a_bit(0x19)]
    #[case::a_letter_but_for_a_bit(0x01)]
    #[case::a_five_with_a_bit_more(0xb5)]
    #[case::an_a_with_a_bit_more(0xe1)]
    #[case::a_nul(0)]
    #[case::a_delete(0x7f)]
    #[case::all_bits(0xff)]
    fn a_byte_that_is_no_digit(#[case] byte: u8) {
        let check = check!("10-chunks");
        check.suspect("takes-for-a-digit-what-is-none");
        for size in [[byte, b'5'], [b'0', byte]] {
            let body = [b"2\r\nok\r\n", &size[..], b"\r\nhello\r\n0\r\n\r\n"].concat();
            let what = format!("a second chunk with the size {}", shown(&size));
            in_one_piece(&check, &body, b"ok", End::Broken, &what);
        }
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
        check.suspect("takes-anything-behind-data");
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
        let lone_cr = body.replace("\r\n", "").contains('\r');
        check.suspect(if lone_cr { "a-lone-cr-will-do" } else { "a-lone-lf-will-do" });
        let what = format!("the body {body:?}");
        however_it_is_cut(&check, body.as_bytes(), data.as_bytes(), End::Broken, &what);
    }

    #[rstest]
    #[case::of_32_bits("FFFFFFFF")]
    #[case::and_one_more("100000005")]
    #[case::of_63_bits("7FFFFFFFFFFFFFFF")]
    #[case::of_64_bits("FFFFFFFFFFFFFFFF")]
    #[case::with_zeros_before_it("00000000FFFFFFFFFFFFFFFF")]
    #[case::of_8_gibibytes("200000000")]
    fn a_size_that_is_only_claimed(#[case] size: &str) {
        let check = check!("10-chunks");
        check.suspect("makes-room-for-a-claim");
        let body = format!("2\r\nok\r\n{size}\r\nhello\r\n0\r\n\r\n");
        let what = format!("the beginning of a chunk with the size {size}");
        let data = b"okhello\r\n0\r\n\r\n";
        if is_refused(&check, body.as_bytes()) {
            check.suspect("a-limit-of-its-own-for-sizes");
        }
        however_it_is_cut(&check, body.as_bytes(), data, End::TooSoon, &what);
    }

    #[rstest]
    #[case::zero_in_64_bits("10000000000000000")]
    #[case::five_in_64_bits("10000000000000005")]
    #[case::of_40_digits("ffffffffffffffffffffffffffffffffffffffff")]
    #[case::of_17_digits("FFFFFFFFFFFFFFFF0")]
    #[case::of_17_fs("FFFFFFFFFFFFFFFFF")]
    fn a_size_that_is_too_large(#[case] size: &str) {
        let check = check!("10-chunks");
        check.suspect("a-size-wraps-around");
        let body = format!("2\r\nok\r\n{size}\r\nhello\r\n0\r\n\r\n");
        let what = format!("a second chunk with the size {size}");
        however_it_is_cut(&check, body.as_bytes(), b"ok", End::Broken, &what);
    }

    #[test]
    fn many_small_chunks() {
        let check = check!("10-chunks");
        check.suspect("row-never-begins-anew");
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
        check.suspect("no-limit-between-data");
        the_most_between(&check, before, behind, "", "hello");
    }

    #[test]
    fn the_lines_end_behind_data_counts() {
        let check = check!("10-chunks");
        check.suspect("row-begins-too-late");
        the_most_between(&check, "2\r\nok\r\n5;", "\r\nhello\r\n0\r\n\r\n", "ok", "hello");
    }

    #[rstest]
    #[case::one("0\r\nX: ", "")]
    #[case::several("0\r\nX: 1\r\nY: 2\r\nZ: ", "")]
    #[case::behind_data("2\r\nok\r\n0\r\nX: 1\r\nY: ", "ok")]
    #[case::many_short_ones(&format!("0\r\n{}Z: ", "a\r\n".repeat(1000)), "")]
    #[case::behind_an_extension("2\r\nok\r\n0;a\r\nX: 1\r\nY: ", "ok")]
    #[case::in_the_last_chunks_extension("2\r\nok\r\n0;", "ok")]
    fn trailers_are_in_one_row(#[case] before: &str, #[case] first: &str) {
        let check = check!("10-chunks");
        check.suspect("trailers-have-a-count-of-their-own");
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
    #[case::a_blank_behind_a_size("2 ", "")]
    #[case::a_tab_behind_a_size("2\t", "")]
    #[case::a_blank_before_a_size(" ", "")]
    #[case::a_sign("+", "")]
    #[case::a_letter_behind_a_zero("0x", "")]
    #[case::an_lf_behind_data("2\r\nok\n", "ok")]
    #[case::a_second_cr("2\r\r", "")]
    #[case::no_size("2\r\nok\r\n\r", "ok")]
    fn broken_is_said_at_once(#[case] body: impl AsRef<str>, #[case] data: &str) {
        let check = check!("10-chunks");
        check.suspect("notices-an-error-too-late");
        let body = body.as_ref().as_bytes();
        let mut run = run(&check, Pieces::AsTheyCome);
        run.send(body);
        let when = format!("after {}, on a pipe that stays open", shown(body));
        expect(&run, data.as_bytes(), End::Broken, &when);
    }
}
