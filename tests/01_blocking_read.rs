//! The graded checks of chapter 1. The judged program is the visitor; the check is the server.

use grader::bytes::{self, in_lines};
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
    server: Option<Connection>,
    /// All that the server has sent.
    sent: Vec<u8>,
    /// What the server has done, in words: `a head and a body in one piece`.
    what: String,
}

/// Starts the program, and waits until its request has come. `what` says what the server is going to do.
fn called<'a>(check: &'a Check, what: impl Into<String>) -> Call<'a> {
    called_with(check, what, &[])
}

fn called_with<'a>(check: &'a Check, what: impl Into<String>, arguments: &[&str]) -> Call<'a> {
    check.suspect_where("panicked at", "panics");
    check.suspect_where("(Interrupted)", "signal-taken-for-failure");
    check.suspect_where("a loop that never waits", "does-not-sleep-in-read");
    check.suspect_where("is inside clock_nanosleep", "does-not-sleep-in-read");
    let host = Host::bind().expect("a port of this machine is free");
    let address = host.address().to_string();
    let program = check.start(&[&[address.as_str()], arguments].concat());
    let mut server = match host.accept(&program, "server") {
        Ok(server) => server,
        Err(trouble) => check.fail_for("your program was to connect to the server", &trouble),
    };
    let whole = |bytes: &[u8]| bytes.ends_with(b"\r\n\r\n");
    if let Err((trouble, _)) = server.receive_while_missing(&program, whole) {
        check.fail_for("your program was to send its request", &trouble);
    }
    Call { check, program, server: Some(server), sent: Vec::new(), what: what.into() }
}

impl Call<'_> {
    /// Sends in about `pieces` pieces. A program that has had enough may be gone: what it printed tells.
    fn send(&mut self, bytes: &[u8], pieces: usize) {
        self.sent.extend_from_slice(bytes);
        if let Some(server) = &mut self.server {
            let _ = server.send_in_pieces(bytes, pieces, &self.program);
        }
    }

    fn hangs_up(&self) {
        self.check.suspect_where("a loop that never waits", "end-taken-for-not-yet");
        if let Some(server) = &self.server {
            server.finish_sending();
        }
    }

    fn resets(&mut self) {
        self.check.suspect_where("a loop that never waits", "error-swallowed");
        self.check.suspect_where("as if all were there", "half-taken-for-whole-after-an-error");
        if let Some(server) = self.server.take() {
            server.reset();
        }
    }

    /// The program has to sleep in `read` now, and nowhere else.
    #[track_caller]
    fn sleeps_in_read(&self) {
        bytes::sleeps_in_read(self.check, &self.program, &format!("after {}", self.what));
    }

    /// The program has to end well now, and to have printed just `expected`.
    #[track_caller]
    fn prints(&self, expected: &[u8]) {
        let what = &self.what;
        match self.program.ended() {
            Err(trouble) => {
                let saw = format!("after {what}, your program was to end");
                self.check
                    .fail_for(&format!("{saw} (the server had sent {})", self.sent()), &trouble)
            }
            Ok(status) if !status.success() => {
                let trouble = self.program.ended_with().expect("it has ended");
                let saw = format!("after {what}, your program was to end with status 0");
                self.check.fail_for(&saw, &trouble)
            }
            Ok(_) => {}
        }
        let printed = self.program.stdout();
        if printed != expected {
            self.differs(&printed, expected);
        }
    }

    fn sent(&self) -> String {
        format!("{} bytes: {}", self.sent.len(), in_lines(&self.sent))
    }

    /// Says how what was printed differs from what was to be printed, as closely as can be told.
    #[track_caller]
    fn differs(&self, printed: &[u8], expected: &[u8]) -> ! {
        let as_text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned().into_bytes();
        let before = self.sent.windows(expected.len().max(1)).position(|w| w == expected);
        let before = before.filter(|_| !expected.is_empty()).unwrap_or(0);
        let ends_early = expected.starts_with(printed);
        let (how, cause) = if printed.is_empty() {
            ("printed nothing".to_owned(), None)
        } else if printed == as_text(expected) {
            ("printed text in place of bytes".to_owned(), Some("makes-text-of-bytes"))
        } else if ends_early
            && [2, 4].contains(&(expected.len() - printed.len()))
            && expected.ends_with(b"\r\n\r\n")
        {
            ("left out the empty line".to_owned(), Some("empty-line-left-out"))
        } else if ends_early {
            let missing = expected.len() - printed.len();
            (format!("stopped {missing} bytes too early"), None)
        } else if printed.contains(&0) && printed.iter().filter(|b| **b == 0).count() > 8 {
            ("printed zeros that nobody sent".to_owned(), Some("whole-buffer-used"))
        } else if printed.starts_with(expected) && self.sent[before..].starts_with(printed) {
            let more = printed.len() - expected.len();
            (
                format!("printed {more} bytes too many, of what came afterwards"),
                Some("prints-what-came-after"),
            )
        } else if printed.len() > expected.len()
            && printed.ends_with(expected)
            && self.sent.ends_with(printed)
        {
            ("printed the head with the body".to_owned(), Some("counts-the-head-as-body"))
        } else if printed.len() > expected.len() && printed.ends_with(expected) {
            ("printed more than was asked for".to_owned(), Some("prints-more-than-asked"))
        } else if let Some(at) = self.sent.windows(printed.len()).position(|w| w == printed) {
            let cause = match at {
                0 => "counts-the-head-as-body",
                _ => "body-begins-elsewhere",
            };
            (format!("printed what begins at byte {at}, and not at {before}"), Some(cause))
        } else {
            let at = printed.iter().zip(expected).take_while(|(one, other)| one == other).count();
            (format!("printed something else from byte {at} on"), None)
        };
        if let Some(cause) = cause {
            self.check.suspect(cause);
        }
        self.check.fail(format!(
            "after {}, your program {how}. It printed {} bytes: {}\nIt was to print {} bytes: {}\nThe server had sent {}",
            self.what,
            printed.len(),
            in_lines(printed),
            expected.len(),
            in_lines(expected),
            self.sent()
        ))
    }

    /// The program has to end with status 1 and an error of this kind on stderr, and to have printed nothing.
    #[track_caller]
    fn complains(&self, kind: &str) {
        let what = &self.what;
        let expected = format!("after {what}, your program was to end with an error ({kind})");
        let status = match self.program.ended() {
            Err(trouble) => self.check.fail_for(&expected, &trouble),
            Ok(status) => status,
        };
        let ended = || self.program.ended_with().expect("it has ended");
        if status.success() {
            let printed = self.program.stdout();
            self.check.fail(format!(
                "after {what}, your program ended well, as if all were there, and printed {} bytes: {}\nIt was to end with an error ({kind}). The server had sent {}",
                printed.len(),
                in_lines(&printed),
                self.sent()
            ));
        }
        if status.code() != Some(1) {
            self.check.fail_for(&expected, &ended());
        }
        let printed = self.program.stdout();
        if !printed.is_empty() {
            self.check.suspect("prints-before-it-is-whole");
            self.check.fail(format!(
                "after {what}, your program ended with an error, rightly, and had printed this before: {}",
                in_lines(&printed)
            ));
        }
        let words = self.program.stderr();
        let last = words.last().map_or("", String::as_str);
        if !last.ends_with(&format!("({kind})")) {
            // With no line of its own it died in some other way.
            let found =
                last.rsplit_once('(').map_or("none", |(_, kind)| kind.trim_end_matches(')'));
            self.check.suspect(match kind {
                "UnexpectedEof" | "InvalidData" => "error-of-another-kind",
                _ => "error-swallowed",
            });
            self.check.fail(format!(
                "after {what}, the error's kind was to be {kind}, and it was {found}. Your program said: {last}"
            ));
        }
    }
}

/// A head of just so many bytes.
fn head_of(length: usize) -> Vec<u8> {
    let (start, end) = ("HTTP/1.1 200 OK\r\nX: ", "\r\n\r\n");
    let filling = "x".repeat(length - start.len() - end.len());
    format!("{start}{filling}{end}").into_bytes()
}

/// Every byte there is, and after each carriage return not a line feed.
fn all_bytes() -> Vec<u8> {
    (0..=255).collect()
}

mod head {
    use super::*;

    #[test]
    fn prints_the_head_and_ends() {
        let check = check!("01-head");
        check.suspect("reads-until-the-end");
        let mut call = called(&check, "a whole head, on a connection that stays open");
        check.suspect_where("(UnexpectedEof)", "buffer-without-room");
        check.suspect_where("(InvalidData)", "insists-on-text");
        check.suspect_where("too early", "another-mark");
        call.send(HEAD, 1);
        call.prints(HEAD);
    }

    #[rstest]
    #[case::two(2)]
    #[case::three(3)]
    #[case::seven(7)]
    #[case::byte_by_byte(usize::MAX)]
    fn the_head_comes_in_pieces(#[case] pieces: usize) {
        let check = check!("01-head");
        check.suspect("one-read-taken-for-all");
        let mut call = called(&check, "a head in pieces");
        call.send(HEAD, pieces);
        call.prints(HEAD);
    }

    #[rstest]
    #[case::after_one_byte(1)]
    #[case::after_two_bytes(2)]
    #[case::after_three_bytes(3)]
    fn the_empty_line_is_cut(#[case] after: usize) {
        let check = check!("01-head");
        check.suspect("mark-sought-in-the-newest-piece");
        check.suspect_where("too many", "mark-sought-in-the-newest-piece");
        let what =
            format!("a head that was cut {after} bytes into its last four, with a body behind it");
        let mut call = called(&check, what);
        let cut = HEAD.len() - 4 + after;
        call.send(&HEAD[..cut], 1);
        call.send(&[&HEAD[cut..], BODY].concat(), 1);
        call.prints(HEAD);
    }

    #[rstest]
    #[case::a_body(BODY.to_vec())]
    #[case::a_body_that_ends_like_a_head([BODY, b"\r\n\r\n"].concat())]
    #[case::a_byte(b"x".to_vec())]
    #[case::a_line_end(b"\r\n".to_vec())]
    #[case::another_head(HEAD.to_vec())]
    #[case::more_than_any_head(vec![b'x'; 20_000])]
    fn more_comes_in_the_same_piece(#[case] more: Vec<u8>) {
        let check = check!("01-head");
        check.suspect("prints-what-came-after");
        check.suspect_where("waits for the server", "mark-must-be-the-last");
        let what = format!("a head and {} bytes more in one piece", more.len());
        let mut call = called(&check, what);
        call.send(&[HEAD, &more].concat(), 1);
        call.prints(HEAD);
    }

    #[rstest]
    #[case::two_line_feeds(b"\n\n")]
    #[case::three_of_the_four(b"\n\r\n")]
    #[case::a_return_is_missing(b"\r\n\n")]
    #[case::a_line_feed_is_missing(b"\r\n\r")]
    #[case::returns_alone(b"\r\r\r\r")]
    #[case::a_return_too_many(b"\r\n\r\r\n")]
    fn nothing_else_ends_it(#[case] odd: &[u8]) {
        let check = check!("01-head");
        check.suspect("another-mark");
        let head = [b"HTTP/1.1 200 OK\r\nX: a", odd, b"b\r\nY: c\r\n\r\n"].concat();
        let what = format!("a head with \"{}\" in it", odd.escape_ascii());
        let mut call = called(&check, what);
        call.send(&head, 1);
        call.prints(&head);
    }

    #[rstest]
    #[case::a_return(b"\r")]
    #[case::a_line_end_and_a_return(b"\r\n\r")]
    fn half_of_it_may_stand_before_it(#[case] half: &[u8]) {
        let check = check!("01-head");
        check.suspect("half-a-mark-forgotten");
        let head = [b"HTTP/1.1 200 OK\r\nX: a", half, b"\r\n\r\n"].concat();
        let what = format!("a head that ends with \"{}\\r\\n\\r\\n\"", half.escape_ascii());
        let mut call = called(&check, what);
        call.send(&head, 1);
        call.prints(&head);
    }

    #[rstest]
    #[case::in_one_piece(5)]
    #[case::in_pieces(3)]
    fn as_short_as_may_be(#[case] cut: usize) {
        let check = check!("01-head");
        check.suspect("shortest-not-minded");
        let mut call = called(&check, "a head that is its empty line alone");
        call.send(&b"\r\n\r\nhi"[..cut], 1);
        call.send(&b"\r\n\r\nhi"[cut..], 1);
        call.prints(b"\r\n\r\n");
    }

    #[test]
    fn any_byte_may_be_in_it() {
        let check = check!("01-head");
        check.suspect("makes-text-of-bytes");
        check.suspect_where("too early", "not-given-back-as-it-came");
        check.suspect_where("something else", "not-given-back-as-it-came");
        check.suspect_where("waits for the server", "not-given-back-as-it-came");
        let head = [b"HTTP/1.1 200 OK\r\nX: ", &*all_bytes(), b"\xc3\r\n\r\n"].concat();
        let mut call = called(&check, "a head with all 256 bytes in it");
        call.send(&head[..120], 1);
        call.send(&head[120..], 1);
        call.prints(&head);
    }

    #[rstest]
    #[case::without_a_word(0)]
    #[case::after_a_byte(1)]
    #[case::in_a_line(20)]
    #[case::at_the_end_of_a_line(17)]
    #[case::in_the_empty_line(HEAD.len() - 2)]
    #[case::before_the_last_byte(HEAD.len() - 1)]
    fn the_server_hangs_up_halfway(#[case] after: usize) {
        let check = check!("01-head");
        check.suspect("half-taken-for-whole");
        let mut call = called(&check, format!("{after} bytes of a head and a hang-up"));
        call.send(&HEAD[..after], 1);
        call.hangs_up();
        call.complains("UnexpectedEof");
    }

    #[test]
    fn the_server_hangs_up_behind_it() {
        let check = check!("01-head");
        check.suspect("end-taken-for-an-error");
        let mut call = called(&check, "a whole head and a hang-up at the same moment");
        // It finds both when it goes on.
        call.program.stop();
        call.sent.extend_from_slice(HEAD);
        if let Some(server) = &mut call.server {
            let _ = server.send(HEAD);
            server.finish_sending();
        }
        call.program.go_on();
        call.prints(HEAD);
    }

    #[rstest]
    #[case::without_a_word(0)]
    #[case::in_the_middle(30)]
    #[case::before_the_last_byte(HEAD.len() - 1)]
    fn the_server_resets(#[case] after: usize) {
        let check = check!("01-head");
        check.suspect("error-swallowed");
        let mut call = called(&check, format!("{after} bytes of a head and a reset"));
        call.send(&HEAD[..after], 1);
        call.resets();
        call.complains("ConnectionReset");
    }

    #[rstest]
    #[case::without_a_word(0)]
    #[case::in_the_middle(30)]
    fn the_server_falls_silent(#[case] after: usize) {
        let check = check!("01-head");
        check.suspect("error-swallowed");
        let what = format!(
            "{after} bytes of a head, and then nothing for longer than its patience of 200 ms"
        );
        let mut call = called_with(&check, what, &["200"]);
        check.suspect("error-swallowed");
        check.suspect_where("as if all were there", "half-taken-for-whole-after-an-error");
        call.send(&HEAD[..after], 1);
        call.complains("WouldBlock");
    }

    /// The head and a body; where the pieces end is counted from the head's end.
    #[rstest]
    #[case::in_one_piece(&[])]
    #[case::but_for_a_byte(&[-1])]
    #[case::but_for_two_bytes(&[-2])]
    #[case::but_for_three_bytes(&[-3])]
    #[case::but_for_four_bytes(&[-4])]
    #[case::a_first_byte_by_itself(&[-16_383])]
    #[case::a_hundred_bytes_first(&[-16_284])]
    fn as_long_as_may_be(#[case] cuts: &[isize]) {
        let check = check!("01-head");
        check.suspect("limit-too-strict");
        let head = head_of(LONGEST_HEAD);
        let what =
            format!("a head of 16,384 bytes with a body of 50,000 behind it, cut at {cuts:?}");
        let mut call = called(&check, what);
        let all = [&*head, &[b'y'; 50_000]].concat();
        let mut from = 0;
        for cut in cuts {
            let cut = head.len().checked_add_signed(*cut).expect("a place in the head");
            call.send(&all[from..cut], 1);
            from = cut;
        }
        call.send(&all[from..], 1);
        call.prints(&head);
    }

    #[rstest]
    #[case::a_thousand(1_000, 10)]
    #[case::four_thousand(4_100, 7)]
    #[case::sixteen_thousand(16_000, 100)]
    #[case::two_bytes_less_than_may_be(16_382, 1)]
    fn what_comes_after_does_not_count(#[case] length: usize, #[case] first: usize) {
        let check = check!("01-head");
        check.suspect(match length {
            ..8_000 => "buffer-of-one-size",
            _ => "limit-tested-before-the-mark",
        });
        let head = head_of(length);
        let what = format!(
            "{first} bytes, and then the rest of a head of {length} bytes with a long body in one piece"
        );
        let mut call = called(&check, what);
        let all = [&*head, &[b'y'; 50_000]].concat();
        call.send(&all[..first], 1);
        call.send(&all[first..], 1);
        call.prints(&head);
    }

    #[rstest]
    #[case::a_byte_too_long(1)]
    #[case::two_bytes_too_long(2)]
    #[case::three_bytes_too_long(3)]
    #[case::four_bytes_too_long(4)]
    #[case::five_bytes_too_long(5)]
    #[case::five_hundred_bytes_too_long(500)]
    #[case::twice_as_long(LONGEST_HEAD)]
    fn too_long(#[case] too_many: usize) {
        let check = check!("01-head");
        check.suspect(match too_many {
            4 => "limit-without-the-empty-line",
            500 => "found-not-tested",
            _ => "limit-too-generous",
        });
        // Whoever reads a kilobyte at a time finds the last byte that may be and the empty line in the same one.
        let (head, first) = (head_of(LONGEST_HEAD + too_many), 1000);
        let what = format!("a head of {} bytes, the first {first} by themselves", head.len());
        let mut call = called(&check, what);
        call.send(&head[..first], 1);
        call.send(&head[first..], 1);
        call.complains("InvalidData");
    }

    #[rstest]
    #[case::as_much_as_may_be(LONGEST_HEAD)]
    #[case::a_byte_more(LONGEST_HEAD + 1)]
    #[case::and_on_and_on(5 * LONGEST_HEAD)]
    fn without_an_end(#[case] length: usize) {
        let check = check!("01-head");
        check.suspect(if length == LONGEST_HEAD { "limit-seen-late" } else { "no-limit" });
        let mut call = called(&check, format!("{length} bytes without an empty line"));
        let line = b"X-Long: and so on\r\n".iter().copied().cycle();
        call.send(&line.take(length).collect::<Vec<u8>>(), 1);
        call.complains("InvalidData");
    }

    #[test]
    fn sleeps_while_nothing_comes() {
        let check = check!("01-head");
        check.suspect("does-not-sleep-in-read");
        let mut call = called(&check, "a request, and no answer yet");
        call.sleeps_in_read();
        call.what = "20 bytes of a head".to_owned();
        call.send(&HEAD[..20], 1);
        call.sleeps_in_read();
        call.send(&HEAD[20..], 1);
        call.prints(HEAD);
    }

    #[test]
    fn a_signal_changes_nothing() {
        let check = check!("01-head");
        check.suspect("signal-taken-for-failure");
        let mut call = called(&check, "signals before, in and near the end of the head");
        check.suspect_where("(UnexpectedEof)", "signal-taken-for-the-end");
        check.suspect_where("too early", "signal-taken-for-the-end");
        check.suspect_where("printed nothing", "signal-taken-for-the-end");
        check.suspect_where("waits for the server", "signal-loses-what-came");
        check.suspect_where("something else", "signal-loses-what-came");
        check.suspect_where("what begins at", "signal-loses-what-came");
        call.program.interrupt();
        call.send(&HEAD[..20], 1);
        call.program.interrupt();
        call.send(&HEAD[20..HEAD.len() - 2], 1);
        call.program.interrupt();
        call.program.interrupt();
        call.send(&HEAD[HEAD.len() - 2..], 1);
        call.prints(HEAD);
    }
}

mod length {
    use super::*;

    fn answer() -> Vec<u8> {
        [HEAD, BODY].concat()
    }

    /// A head with these lines after its first one.
    fn head_with(lines: &str) -> Vec<u8> {
        format!("HTTP/1.1 200 OK\r\n{lines}\r\n").into_bytes()
    }

    /// An answer of just so many bytes, head and body, and how long its body is. With a length, or without.
    fn answer_of(total: usize, with_a_length: bool) -> (Vec<u8>, usize) {
        let head = match with_a_length {
            false => head_with(""),
            true => {
                let head = head_with(&format!("Content-Length: {total}\r\n"));
                // As many digits as it takes.
                head_with(&format!(
                    "Content-Length: {:0>1$}\r\n",
                    total - head.len(),
                    total.to_string().len()
                ))
            }
        };
        let count = total - head.len();
        ([head, BODY.iter().copied().cycle().take(count).collect()].concat(), count)
    }

    #[test]
    fn prints_the_body_and_ends() {
        let check = check!("01-length");
        check.suspect("reads-until-the-end");
        check.suspect_where("(InvalidData)", "insists-on-text");
        let mut call = called(&check, "a head and then its body, on a connection that stays open");
        call.send(HEAD, 1);
        call.send(BODY, 1);
        call.prints(BODY);
    }

    #[rstest]
    #[case::one(1)]
    #[case::two(2)]
    #[case::seven(7)]
    #[case::byte_by_byte(usize::MAX)]
    fn the_answer_comes_in_pieces(#[case] pieces: usize) {
        let check = check!("01-length");
        check.suspect(if pieces == 1 {
            "beginning-of-the-body-lost"
        } else {
            "one-read-taken-for-all"
        });
        let what = if pieces == 1 { "an answer in one piece" } else { "an answer in pieces" };
        let mut call = called(&check, what);
        call.send(&answer(), pieces);
        call.prints(BODY);
    }

    #[rstest]
    #[case::in_the_empty_line(HEAD.len() - 2)]
    #[case::before_its_last_byte(HEAD.len() - 1)]
    #[case::after_a_byte_of_the_body(HEAD.len() + 1)]
    #[case::before_the_last_byte(HEAD.len() + BODY.len() - 1)]
    fn the_answer_is_cut(#[case] at: usize) {
        let check = check!("01-length");
        check.suspect(match at {
            _ if at < HEAD.len() => "mark-sought-in-the-newest-piece",
            _ if at == HEAD.len() + 1 => "mark-must-be-the-last",
            _ => "beginning-of-the-body-lost",
        });
        let head = HEAD.len();
        let what = format!(
            "an answer that was cut after {at} bytes, {head} of them head, and another behind it"
        );
        // Whoever has lost the beginning of the body takes what comes after it.
        check.suspect_where("printed what begins at byte", "beginning-of-the-body-lost");
        let mut call = called(&check, what);
        call.send(&answer()[..at], 1);
        call.send(&[&answer()[at..], HEAD].concat(), 1);
        call.prints(BODY);
    }

    #[rstest]
    #[case::small("content-length:11\r\n")]
    #[case::capital("CONTENT-LENGTH: 11\r\n")]
    #[case::mixed("cOnTeNt-LeNgTh: 11\r\n")]
    fn its_name_in_other_letters(#[case] lines: &str) {
        let check = check!("01-length");
        check.suspect("name-compared-letter-by-letter");
        finds_it(&check, lines);
    }

    #[rstest]
    #[case::blanks_and_tabs("Content-Length: \t 11 \t\r\n")]
    #[case::none("Content-Length:11\r\n")]
    #[case::blanks_behind_it("Content-Length: 11   \r\n")]
    fn blanks_around_the_number(#[case] lines: &str) {
        let check = check!("01-length");
        check.suspect("blanks-taken-for-digits");
        finds_it(&check, lines);
    }

    #[rstest]
    #[case::a_longer_name_that_ends_so("X-Content-Length: 3\r\nContent-Length: 11\r\n")]
    #[case::a_longer_name_that_begins_so("Content-Length-Of-It: 3\r\nContent-Length: 11\r\n")]
    #[case::a_shorter_name("Content: 3\r\nLength: 3\r\nContent-Length: 11\r\n")]
    #[case::a_value("X-Note: Content-Length: 3\r\nContent-Length: 11\r\n")]
    #[case::behind_it(
        "Content-Length: 11\r\nX-Content-Length: 3\r\nContent-Length-Of-It: 3\r\nX-Note: content-length: 3\r\n"
    )]
    #[case::a_blank_behind_its_name("Content-Length : 3\r\nContent-Length: 11\r\n")]
    #[case::a_tab_behind_its_name("Content-Length\t: 3\r\nContent-Length: 11\r\n")]
    #[case::a_blank_before_its_name("X-Note: a\r\n Content-Length: 3\r\nContent-Length: 11\r\n")]
    fn another_field_looks_like_it(#[case] lines: &str) {
        let check = check!("01-length");
        let with_blanks = [" :", "\t:", "\n Content"].iter().any(|odd| lines.contains(odd));
        check.suspect(match with_blanks {
            true => "blanks-taken-off-the-name",
            false => "another-field-taken-for-it",
        });
        finds_it(&check, lines);
    }

    #[rstest]
    #[case::a_line_feed("X-Note: a\nContent-Length: 3\r\nContent-Length: 11\r\n")]
    #[case::a_return("X-Note: a\rContent-Length: 3\r\nContent-Length: 11\r\n")]
    fn nothing_else_ends_a_line(#[case] lines: &str) {
        let check = check!("01-length");
        check.suspect("another-line-end");
        finds_it(&check, lines);
    }

    #[rstest]
    #[case::first(
        "Content-Length: 11\r\nServer: a\r\nDate: 12:00:00\r\nX-Empty:\r\nno field at all\r\n"
    )]
    #[case::last(
        "Server: a\r\nDate: 12:00:00\r\nX-Empty:\r\nno field at all\r\nContent-Length: 11\r\n"
    )]
    #[case::in_the_middle(
        "Server: a\r\nDate: 12:00:00\r\nContent-Length: 11\r\nX-Empty:\r\nno field at all\r\n"
    )]
    fn wherever_it_stands_in_the_head(#[case] lines: &str) {
        let check = check!("01-length");
        check.suspect("not-all-lines-looked-at");
        finds_it(&check, lines);
    }

    #[rstest]
    #[case::two_zeros("Content-Length: 0011\r\n")]
    #[case::very_many("Content-Length: 0000000000000000000000000000000011\r\n")]
    fn zeros_in_front(#[case] lines: &str) {
        let check = check!("01-length");
        check.suspect("zeros-in-front-refused");
        finds_it(&check, lines);
    }

    /// The body has eleven bytes, whatever else these lines say.
    #[track_caller]
    fn finds_it(check: &Check, lines: &str) {
        let mut call =
            called(check, format!("an answer with the lines \"{}\"", lines.escape_debug()));
        call.send(&head_with(lines), 1);
        call.send(BODY, 1);
        call.send(b"and more than 11 bytes", 1);
        call.prints(BODY);
    }

    #[test]
    fn a_head_is_not_all_text() {
        let check = check!("01-length");
        check.suspect("makes-text-of-bytes");
        let lines = [b"X: \xe9", &*all_bytes(), b"\xc3\r\nContent-Length: 256\r\n\r\n"].concat();
        let mut call = called(&check, "an answer with all 256 bytes in its head, and in its body");
        call.send(&[b"HTTP/1.1 200 OK\r\n", &*lines, &all_bytes(), b"more"].concat(), 1);
        call.prints(&all_bytes());
    }

    #[test]
    fn the_same_length_twice() {
        let check = check!("01-length");
        check.suspect("same-length-twice-refused");
        finds_it(
            &check,
            "Content-Length: 11\r\nServer: a\r\ncontent-length: 11\r\nContent-Length: 011\r\n",
        );
    }

    #[rstest]
    #[case::the_smaller_first("Content-Length: 3\r\nContent-Length: 11\r\n")]
    #[case::the_larger_first("Content-Length: 11\r\nServer: a\r\ncontent-length: 3\r\n")]
    #[case::the_third_differs("Content-Length: 5\r\nContent-Length: 5\r\nContent-Length: 4\r\n")]
    #[case::the_second_is_none("Content-Length: 5\r\nContent-Length: x\r\n")]
    fn two_lengths_that_differ(#[case] lines: &str) {
        let check = check!("01-length");
        check.suspect("one-of-two-lengths-taken");
        let mut call =
            called(&check, format!("an answer with the lines \"{}\"", lines.escape_debug()));
        call.send(&[head_with(lines), b"hello and so on".to_vec()].concat(), 1);
        call.complains("InvalidData");
    }

    #[rstest]
    #[case::a_word("soon")]
    #[case::nothing("")]
    #[case::blanks("  \t ")]
    #[case::negative("-11")]
    #[case::nothing_with_a_minus("-0")]
    #[case::with_a_plus("+5")]
    #[case::with_a_word("5 bytes")]
    #[case::two_numbers("5, 5")]
    #[case::with_a_blank("1 1")]
    #[case::with_a_fraction("5.0")]
    #[case::hexadecimal("0x5")]
    #[case::hexadecimal_digits("a")]
    #[case::digits_from_elsewhere("\u{665}")]
    #[case::with_a_form_feed("5\u{c}")]
    #[case::with_a_blank_from_elsewhere("\u{2003}5")]
    fn the_length_is_no_number(#[case] length: &str) {
        let check = check!("01-length");
        check.suspect(match length.contains(['\u{c}', '\u{2003}']) {
            true => "trims-more-than-blanks",
            false => "length-guessed",
        });
        let what = format!("an answer with a length of \"{}\"", length.escape_debug());
        let mut call = called(&check, what);
        // It's plain as soon as the head is there.
        call.send(&head_with(&format!("Content-Length: {length}\r\n")), 1);
        call.send(b"hello and so on", 1);
        call.complains("InvalidData");
    }

    #[rstest]
    #[case::in_one_piece(true)]
    #[case::later(false)]
    fn more_comes_than_was_promised(#[case] in_one_piece: bool) {
        let check = check!("01-length");
        check.suspect("prints-what-came-after");
        check.suspect_where("status 0", "more-taken-for-an-error");
        check.suspect_where("waits for the server", "more-taken-for-an-error");
        let next = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext";
        match in_one_piece {
            true => {
                let mut call = called(&check, "two answers in one piece");
                call.send(&[&answer(), next.as_slice()].concat(), 1);
                call.prints(BODY);
            }
            false => {
                let mut call =
                    called(&check, "a head, then its body and another answer in one piece");
                call.send(HEAD, 1);
                call.send(&[BODY, next].concat(), 1);
                call.prints(BODY);
            }
        }
    }

    #[rstest]
    #[case::and_no_more(b"")]
    #[case::and_another_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext")]
    fn an_empty_body(#[case] more: &[u8]) {
        let check = check!("01-length");
        check.suspect("zero-taken-for-no-length");
        let what = format!("a head with a length of 0, and {} bytes behind it", more.len());
        let mut call = called(&check, what);
        call.send(&[&*head_with("Content-Length: 0\r\n"), more].concat(), 1);
        call.prints(b"");
    }

    #[rstest]
    #[case::a_body(b"hello, ", b"you")]
    #[case::nothing(b"", b"")]
    #[case::bytes(BODY, BODY)]
    #[case::a_line_like_the_field(b"Content-Length: 3\r\n\r\nabcdef", b"")]
    #[case::a_line_like_the_field_behind_a_line(b"\r\nContent-Length: 3\r\n\r\n", b"abcdef")]
    fn no_length_means_until_the_end(#[case] first: &[u8], #[case] second: &[u8]) {
        let check = check!("01-length");
        let looks_like_it = first.windows(8).any(|bytes| bytes == b"Content-");
        check.suspect(match looks_like_it {
            true => "field-sought-in-the-body",
            false => "no-length-taken-for-an-error",
        });
        let body = [first, second].concat();
        let what = format!("a head without a length, {} bytes, and a hang-up", body.len());
        let mut call = called(&check, what);
        // Lines in which the length is looked for, and isn't.
        let head = head_with("Server: a\r\nX-Content-Length: 3\r\nX-Note: Content-Length: 3\r\n");
        call.send(&[&head, first].concat(), 1);
        call.send(second, 1);
        call.hangs_up();
        call.prints(&body);
    }

    #[test]
    fn no_length_means_no_sooner_than_the_end() {
        let check = check!("01-length");
        check.suspect("no-length-taken-for-an-empty-body");
        let mut call = called(&check, "a head without a length, and a part of a body");
        call.send(&head_with(""), 1);
        call.sleeps_in_read();
        call.send(BODY, 1);
        call.sleeps_in_read();
        call.send(BODY, 1);
        call.hangs_up();
        call.prints(&[BODY, BODY].concat());
    }

    #[test]
    fn the_body_holds_a_line_like_the_field() {
        let check = check!("01-length");
        check.suspect("field-sought-in-the-body");
        let body = b"\r\nContent-Length: 3\r\n\r\nabc";
        let mut call = called(&check, "an answer whose body holds the line \"Content-Length: 3\"");
        let head = head_with(&format!("Content-Length: {}\r\n", body.len()));
        call.send(&[&*head, body, b"and more"].concat(), 1);
        call.prints(body);
    }

    #[rstest]
    #[case::without_a_word(0)]
    #[case::in_the_head(HEAD.len() - 1)]
    #[case::after_the_head(HEAD.len())]
    #[case::after_a_byte_of_the_body(HEAD.len() + 1)]
    #[case::in_the_body(HEAD.len() + 10)]
    fn the_server_hangs_up_halfway(#[case] after: usize) {
        let check = check!("01-length");
        check.suspect("half-taken-for-whole");
        let what = format!(
            "{after} bytes of an answer, {} of them head, and a hang-up",
            after.min(HEAD.len())
        );
        let mut call = called(&check, what);
        call.send(&answer()[..after], 1);
        call.hangs_up();
        call.complains("UnexpectedEof");
    }

    #[test]
    fn the_server_hangs_up_in_a_head_without_a_length() {
        let check = check!("01-length");
        check.suspect("half-taken-for-whole");
        let mut call =
            called(&check, "a head without a length and without its empty line, and a hang-up");
        call.send(b"HTTP/1.1 200 OK\r\nServer: a\r\n", 1);
        call.hangs_up();
        call.complains("UnexpectedEof");
    }

    #[rstest]
    #[case::in_the_head(HEAD, HEAD.len() - 10)]
    #[case::in_a_promised_body(HEAD, HEAD.len() + 5)]
    #[case::in_a_body_without_a_length(b"HTTP/1.1 200 OK\r\n\r\n", 24)]
    fn the_server_resets(#[case] head: &[u8], #[case] after: usize) {
        let check = check!("01-length");
        check.suspect("error-swallowed");
        let head_bytes = after.min(head.len());
        let mut call = called(
            &check,
            format!("{after} bytes of an answer, {head_bytes} of them head, and a reset"),
        );
        call.send(&[head, BODY].concat()[..after], 1);
        call.resets();
        call.complains("ConnectionReset");
    }

    #[rstest]
    #[case::in_the_head(HEAD, HEAD.len() - 10)]
    #[case::in_a_body_without_a_length(b"HTTP/1.1 200 OK\r\n\r\n", 24)]
    fn the_server_falls_silent(#[case] head: &[u8], #[case] after: usize) {
        let check = check!("01-length");
        check.suspect("error-swallowed");
        let what = format!(
            "{after} bytes of an answer, and then nothing for longer than its patience of 200 ms"
        );
        let mut call = called_with(&check, what, &["200"]);
        check.suspect("error-swallowed");
        check.suspect_where("as if all were there", "half-taken-for-whole-after-an-error");
        call.send(&[head, BODY].concat()[..after], 1);
        call.complains("WouldBlock");
    }

    #[test]
    fn a_long_head_and_a_long_body() {
        let check = check!("01-length");
        check.suspect("buffer-of-one-size");
        let body = BODY.repeat(10_000);
        let filling = "x".repeat(40_000);
        let head = head_with(&format!("X: {filling}\r\nContent-Length: {}\r\n", body.len()));
        let mut call = called(&check, "a head of 40,000 bytes and a body of 110,000");
        call.send(&[&*head, &body, b"more"].concat(), 3);
        call.prints(&body);
    }

    #[rstest]
    #[case::with_a_length(true, b"")]
    #[case::with_a_length_and_more_behind_it(true, &[b'z'; 5_000])]
    #[case::without_a_length(false, b"")]
    fn as_long_as_may_be(#[case] with_a_length: bool, #[case] more: &[u8]) {
        let check = check!("01-length");
        check.suspect(match more.is_empty() {
            true => "limit-too-strict",
            false => "limit-counts-what-came-after",
        });
        let (answer, count) = answer_of(LONGEST_ANSWER, with_a_length);
        let kind = if with_a_length { "with a length" } else { "without a length" };
        let what = format!("an answer of 1,048,576 bytes {kind}, and {} behind it", more.len());
        let mut call = called(&check, what);
        // The last bytes that may be come with those that are none of it.
        let (most, last) = answer.split_at(answer.len() - 10);
        call.send(most, 1);
        call.send(&[last, more].concat(), 1);
        call.hangs_up();
        call.prints(&answer[answer.len() - count..]);
    }

    #[rstest]
    #[case::a_byte_too_much(LONGEST_ANSWER + 1)]
    #[case::its_body_alone_is_as_long_as_may_be(LONGEST_ANSWER + 44)]
    #[case::twice_as_long(2 * LONGEST_ANSWER)]
    fn more_is_promised_than_may_be(#[case] total: usize) {
        let check = check!("01-length");
        check.suspect(match total - LONGEST_ANSWER {
            1 => "limit-too-generous",
            44 => "limit-without-the-head",
            _ => "promise-not-tested",
        });
        let (answer, count) = answer_of(total, true);
        let what = format!("a head that promises {count} bytes, {total} with the head");
        let mut call = called(&check, what);
        call.send(&answer[..total - count], 1);
        call.complains("InvalidData");
    }

    #[rstest]
    #[case::of_64_bits("18446744073709551615")]
    #[case::of_63_bits("9223372036854775807")]
    #[case::of_32_bits_and_5("4294967301")]
    #[case::of_64_bits_and_5("18446744073709551621")]
    #[case::of_forty_digits("1000000000000000000000000000000000000005")]
    fn a_very_large_number_is_promised(#[case] length: &str) {
        let check = check!("01-length");
        check.suspect("large-number-not-minded");
        let mut call = called(&check, format!("a head that promises {length} bytes"));
        check.suspect_where("panicked at", "large-number-not-minded");
        call.send(&head_with(&format!("Content-Length: {length}\r\n")), 1);
        call.send(b"hello and so on", 1);
        call.complains("InvalidData");
    }

    #[rstest]
    #[case::a_byte_too_much(LONGEST_ANSWER + 1)]
    #[case::ten_bytes_too_much(LONGEST_ANSWER + 10)]
    #[case::its_body_alone_is_too_long(LONGEST_ANSWER + 60)]
    fn more_comes_than_may_be(#[case] total: usize) {
        let check = check!("01-length");
        check.suspect(match total - LONGEST_ANSWER {
            1 => "limit-too-generous",
            10 => "limit-without-the-head",
            _ => "no-limit",
        });
        check.suspect_where("as if all were there", "limit-cuts");
        let (answer, _) = answer_of(total, false);
        let mut call =
            called(&check, format!("{total} bytes of an answer without a length, and no end"));
        call.send(&answer, 1);
        call.complains("InvalidData");
    }

    #[test]
    fn a_head_without_an_end() {
        let check = check!("01-length");
        check.suspect("no-limit-for-the-head");
        let mut call = called(&check, "1,048,576 bytes without an empty line");
        let line = b"X-Long: and so on, and so on\r\n".iter().copied().cycle();
        call.send(&line.take(LONGEST_ANSWER).collect::<Vec<u8>>(), 1);
        call.complains("InvalidData");
    }

    #[test]
    fn sleeps_while_nothing_comes() {
        let check = check!("01-length");
        check.suspect("does-not-sleep-in-read");
        let mut call = called(&check, "a part of a head");
        call.send(&HEAD[..20], 1);
        call.sleeps_in_read();
        call.what = "a part of a promised body".to_owned();
        call.send(&answer()[20..HEAD.len() + 3], 1);
        call.sleeps_in_read();
        call.send(&answer()[HEAD.len() + 3..], 1);
        call.prints(BODY);
    }

    #[test]
    fn a_signal_changes_nothing() {
        let check = check!("01-length");
        check.suspect("signal-taken-for-failure");
        let mut call = called(&check, "signals before and in the head, and in the body");
        check.suspect_where("(UnexpectedEof)", "signal-taken-for-the-end");
        call.program.interrupt();
        call.send(&HEAD[..20], 1);
        call.program.interrupt();
        call.send(&answer()[20..HEAD.len() + 3], 1);
        call.program.interrupt();
        call.send(&answer()[HEAD.len() + 3..], 1);
        call.prints(BODY);
    }
}
