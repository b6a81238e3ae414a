//! The graded checks of chapter 2. The judged program is the server; the check plays its visitors.

use grader::bytes::{self, all_are_in, in_lines};
use grader::check;
use grader::check::{Check, Guest, REQUEST, Server};
use rstest::rstest;
use visitors::answer::Answer;

/// The longest request that the exercises accept, in bytes.
const LONGEST_REQUEST: usize = 8 * 1024;

/// What stands between two lines, and ends nothing.
const ODD: [&[u8]; 6] = [b"\n\n", b"\n\r\n", b"\r\n\n", b"\r\n\r", b"\r\r\r\r", b"\r\n\r\r\n"];

/// The server, and what its reports mean wherever they come.
#[track_caller]
fn server<'a>(check: &'a Check, arguments: &[&str]) -> Server<'a> {
    check.suspect_where("panicked at", "ends-with-its-visitor");
    check.suspect_where("a loop that never waits", "does-not-sleep-in-read");
    check.suspect_where("nanosleep", "does-not-sleep-in-read");
    check.server(arguments)
}

/// A request of just so many bytes.
fn request_of(length: usize) -> Vec<u8> {
    let (start, end) = ("GET /long HTTP/1.1\r\nX: ", "\r\n\r\n");
    let filling = "x".repeat(length - start.len() - end.len());
    format!("{start}{filling}{end}").into_bytes()
}

/// Sends `bytes` in pieces that end at `cuts`, each after the one before has been read.
#[track_caller]
fn send_cut(guest: &mut Guest<'_>, bytes: &[u8], cuts: &[usize]) {
    let mut from = 0;
    for to in cuts.iter().copied().chain([bytes.len()]) {
        if to > from {
            guest.send_in_pieces(&bytes[from..to], 1);
            from = to;
        }
    }
}

/// What the program says on stderr of this visitor has to be just this.
#[track_caller]
fn says(server: &Server<'_>, number: usize, expected: &str, when: &str) {
    let of_this_one = format!("visitor {number}: ");
    match server.program.says(|line| line.starts_with(&of_this_one)) {
        Err(trouble) => {
            let expected = format!("{when}, it was to say \"{of_this_one}{expected}\" on stderr");
            server.check.fail_for(&expected, &trouble);
        }
        Ok(line) if line == format!("{of_this_one}{expected}") => {}
        Ok(line) => server.check.fail(format!(
            "{when}, your program said of the visitor: \"{}\", and not: \"{expected}\"",
            line.trim_start_matches(&of_this_one)
        )),
    }
}

/// The program has to sleep in `read` now, with one visitor, and nowhere else.
#[track_caller]
fn sleeps_in_read(server: &Server<'_>, when: &str) {
    // On a busy machine somebody may be connected long before the server hears of it.
    all_are_in(server, 1);
    bytes::sleeps_in_read(server.check, &server.program, when);
}

/// The next answer has to have this status.
#[track_caller]
fn expect_status(server: &Server<'_>, guest: &mut Guest<'_>, status: u16, when: &str) {
    let answer = guest.answer(when);
    if answer.status != status {
        let name = guest.connection.name();
        server.check.fail(format!("{when}, the {name} got {} and not {status}", answer.status));
    }
}

mod pieces {
    use super::*;

    fn request(path: &str) -> Vec<u8> {
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
    }

    /// The next answer has to be the `number`th on this connection, and to this request.
    #[track_caller]
    fn expect(
        server: &Server<'_>,
        guest: &mut Guest<'_>,
        number: usize,
        request: &[u8],
        when: &str,
    ) {
        let check = server.check;
        let answer = guest.answer(when);
        let name = guest.connection.name().to_owned();
        if answer.status != 200 {
            let status = answer.status;
            check.fail(format!("{when}, answer {number} to the {name} was {status} and not 200"));
        }
        let expected = [format!("{number}: ").as_bytes(), request].concat();
        if answer.body == expected {
            return;
        }
        let begin = expected.len() - request.len();
        let came = answer.body.get(begin..).unwrap_or_default();
        let as_text = String::from_utf8_lossy(request).into_owned().into_bytes();
        let (how, cause) = if came == as_text {
            ("the answer holds text in place of the request's bytes", Some("makes-text-of-bytes"))
        } else if came.len() < request.len()
            && request.starts_with(came)
            && request.len() - came.len() <= 4
        {
            ("the answer holds the request without its empty line", Some("empty-line-left-out"))
        } else if came.len() < request.len() && request.starts_with(came) {
            ("the answer holds a part of the request", Some("another-mark"))
        } else if came.len() < request.len() && request.ends_with(came) {
            ("the answer holds the end of the request alone", None)
        } else if came.starts_with(request) {
            ("the answer holds the request, and what came after it", Some("requests-joined"))
        } else if came.ends_with(request) {
            (
                "the answer holds the request, and before it something else",
                Some("leaves-something-behind"),
            )
        } else if came.iter().filter(|byte| **byte == 0).count() > 8 {
            ("the answer holds zeros that nobody sent", Some("whole-buffer-used"))
        } else {
            ("the answer holds something else than the request", None)
        };
        let leaves_it = cause == Some("empty-line-left-out")
            && begins_with_what_is_left(server, guest, request);
        if let Some(cause) = if leaves_it { Some("leaves-something-behind") } else { cause } {
            check.suspect(cause);
        }
        check.fail(format!(
            "{when}, {how}. Answer {number} to the {name}: {}\nIt was to be: {}",
            in_lines(&answer.body),
            in_lines(&expected)
        ));
    }

    /// Whether the next answer begins in the request before it. Asked when a check has failed, to tell why.
    fn begins_with_what_is_left(
        server: &Server<'_>,
        guest: &mut Guest<'_>,
        request: &[u8],
    ) -> bool {
        let _ = guest.connection.send(request);
        let whole = |bytes: &[u8]| Answer::parse(bytes, false).is_some();
        let Ok(Ok(bytes)) = guest.connection.receive_while_missing(&server.program, whole) else {
            return false;
        };
        let body = Answer::parse(&bytes, false).map(|(answer, _)| answer.body).unwrap_or_default();
        let from = body.windows(2).position(|two| two == b": ").map_or(0, |at| at + 2);
        !body[from..].starts_with(&request[..4])
    }

    #[test]
    fn a_request_in_one_piece() {
        let check = check!("02-pieces");
        check.suspect("waits-for-more-than-a-request");
        let server = server(&check, &[]);
        let mut quick = server.visitor("quick visitor");
        quick.send(&request("/"));
        expect(&server, &mut quick, 1, &request("/"), "after a request in one piece");
        check.suspect("leaves-something-behind");
        quick.send(&request("/again"));
        let when = "after a second request on the same connection";
        expect(&server, &mut quick, 2, &request("/again"), when);
        quick.no_answer_yet("after two requests and two answers");
    }

    #[rstest]
    #[case::two(2)]
    #[case::three(3)]
    #[case::seven(7)]
    #[case::byte_by_byte(usize::MAX)]
    fn a_request_in_pieces(#[case] pieces: usize) {
        let check = check!("02-pieces");
        check.suspect("piece-taken-for-a-request");
        let server = server(&check, &[]);
        check.suspect_where("the end of the request alone", "beginning-lost");
        check.suspect_where("waits for an answer", "beginning-lost");
        let mut slow = server.visitor("slow visitor");
        let request = request("/slow");
        let (all_but_a_byte, last_byte) = request.split_at(request.len() - 1);
        slow.send_in_pieces(all_but_a_byte, pieces);
        slow.no_answer_yet("after all but the last byte of its request");
        slow.send(last_byte);
        expect(&server, &mut slow, 1, &request, "after a request in pieces");
    }

    #[rstest]
    #[case::after_one_byte(1)]
    #[case::after_two_bytes(2)]
    #[case::after_three_bytes(3)]
    fn the_empty_line_is_cut(#[case] after: usize) {
        let check = check!("02-pieces");
        check.suspect("mark-sought-in-the-newest-piece");
        let server = server(&check, &[]);
        check.suspect_where("and what came after it", "mark-sought-in-the-newest-piece");
        let mut slow = server.visitor("slow visitor");
        let first = request("/cut");
        let both = [first.clone(), request("/behind")].concat();
        send_cut(&mut slow, &both, &[first.len() - 4 + after]);
        let when =
            "after a request whose last four bytes came in two pieces, and another behind it";
        expect(&server, &mut slow, 1, &first, when);
        expect(&server, &mut slow, 2, &request("/behind"), when);
    }

    #[test]
    fn nothing_else_ends_it() {
        let check = check!("02-pieces");
        check.suspect("another-mark");
        let server = server(&check, &[]);
        let mut odd_one = server.visitor("odd visitor");
        for (number, odd) in (1..).zip(ODD) {
            let request = [b"GET /odd HTTP/1.1\r\nX: a", odd, b"b\r\nY: c\r\n\r\n"].concat();
            odd_one.send(&request);
            let when = format!("after a request with \"{}\" in it", odd.escape_ascii());
            expect(&server, &mut odd_one, number, &request, &when);
        }
        odd_one.no_answer_yet("after six odd requests and six answers");
    }

    #[rstest]
    #[case::in_one_piece(1)]
    #[case::byte_by_byte(usize::MAX)]
    fn as_short_as_may_be(#[case] pieces: usize) {
        let check = check!("02-pieces");
        check.suspect("shortest-not-minded");
        let server = server(&check, &[]);
        let mut visitor = server.visitor("visitor of few words");
        // The second begins with a line end, and the third is an empty line alone.
        let all: [&[u8]; 4] = [b"\r\n\r\n", b"\r\nGET / HTTP/1.1\r\n\r\n", b"\r\n\r\n", REQUEST];
        visitor.send_in_pieces(&all.concat(), pieces);
        for (number, request) in (1..).zip(all) {
            let when = "after four requests, two of them an empty line alone";
            expect(&server, &mut visitor, number, request, when);
        }
    }

    #[rstest]
    #[case::two(2)]
    #[case::three(3)]
    #[case::ten(10)]
    fn several_requests_in_one_piece(#[case] count: usize) {
        let check = check!("02-pieces");
        check.suspect("reads-before-it-looks");
        let server = server(&check, &[]);
        check.suspect_where("something else than the request", "wrong-order");
        let mut quick = server.visitor("quick visitor");
        let all: Vec<Vec<u8>> = (1..=count).map(|number| request(&format!("/{number}"))).collect();
        quick.send(&all.concat());
        for (number, request) in (1..).zip(&all) {
            let when = format!("after {count} requests in one piece");
            expect(&server, &mut quick, number, request, &when);
        }
        quick.no_answer_yet("after as many answers as requests");
    }

    #[rstest]
    #[case::one_byte(1)]
    #[case::the_first_line(20)]
    #[case::within_the_empty_line(36)]
    #[case::all_but_a_byte(37)]
    fn one_and_a_part_of_the_next(#[case] part: usize) {
        let check = check!("02-pieces");
        check.suspect("rest-thrown-away");
        let server = server(&check, &[]);
        let mut slow = server.visitor("slow visitor");
        let second = request("/two");
        slow.send_in_pieces(&[&request("/one"), &second[..part]].concat(), 1);
        let when = format!("after one request and {part} bytes of the next");
        expect(&server, &mut slow, 1, &request("/one"), &when);
        slow.no_answer_yet(&when);
        slow.send(&[&second[part..], &*request("/three")].concat());
        let when = "after the rest of the second request, and a third";
        expect(&server, &mut slow, 2, &second, when);
        expect(&server, &mut slow, 3, &request("/three"), when);
    }

    #[test]
    fn four_hundred_at_once() {
        let check = check!("02-pieces");
        check.suspect("requests-joined");
        let server = server(&check, &[]);
        // The server sleeps until everything is there: its first read can have as much as it likes.
        server.program.stop();
        let mut eager = server.visitor("eager visitor");
        let all: Vec<Vec<u8>> = (1..=400).map(|number| request(&format!("/{number}"))).collect();
        eager.send(&all.concat());
        server.program.go_on();
        for (number, request) in (1..).zip(&all) {
            expect(&server, &mut eager, number, request, "after 400 requests at once");
        }
    }

    #[test]
    fn requests_of_many_lengths() {
        let check = check!("02-pieces");
        check.suspect("requests-joined");
        let server = server(&check, &[]);
        check.suspect_where("was 431 and not 200", "limit-for-all-that-came");
        let mut visitor = server.visitor("visitor with many questions");
        // Around what buffers hold: their end cuts through the empty line, and lies right behind it.
        let around = |length: usize| length - 5..=length + 5;
        let lengths = (30..40).chain(around(1024)).chain(around(2048)).chain(around(4096));
        for (number, length) in (1..).zip(lengths) {
            let request = request_of(length);
            visitor.send(&request);
            let when = format!("after a request of {length} bytes, the {number}th of this visitor");
            expect(&server, &mut visitor, number, &request, &when);
        }
    }

    #[rstest]
    #[case::in_one_piece(200)]
    #[case::in_two(24)]
    #[case::byte_by_byte(1)]
    fn bytes_are_not_characters(#[case] size: usize) {
        let check = check!("02-pieces");
        check.suspect("makes-text-of-bytes");
        let server = server(&check, &[]);
        let mut visitor = server.visitor("visitor from abroad");
        // The é of /café is two bytes, and the second case cuts between them.
        let request = "GET /then/a/small/caf\u{e9} HTTP/1.1\r\n\r\n".as_bytes();
        visitor.send_in_pieces(request, request.len().div_ceil(size));
        expect(&server, &mut visitor, 1, request, "after a request with an \u{e9} in it");
    }

    #[test]
    fn any_byte_may_be_in_it() {
        let check = check!("02-pieces");
        check.suspect("insists-on-text");
        let server = server(&check, &[]);
        check.suspect_where("panicked at", "insists-on-text");
        check.suspect_where("something else than the request", "not-given-back-as-it-came");
        let mut visitor = server.visitor("visitor from far abroad");
        let all: Vec<u8> = (0..=255).collect();
        let request = [b"GET /\xff\xfe HTTP/1.1\r\nX: ", &*all, b"\xc3\r\n\r\n"].concat();
        visitor.send(&[&*request, &request].concat());
        let when = "after two requests with all 256 bytes in them";
        expect(&server, &mut visitor, 1, &request, when);
        expect(&server, &mut visitor, 2, &request, when);
    }

    /// A next visitor has to be served as if nobody had been there.
    #[track_caller]
    fn the_next_is_served(server: &Server<'_>, when: &str) {
        let mut quick = server.visitor("quick visitor");
        quick.send(&request("/next"));
        expect(server, &mut quick, 1, &request("/next"), when);
    }

    #[rstest]
    #[case::without_a_word(0, 0, "answered 0 times")]
    #[case::after_a_byte(0, 1, "hung up after 1 bytes of request 1")]
    #[case::in_the_middle(0, 20, "hung up after 20 bytes of request 1")]
    #[case::before_the_last_byte(0, 37, "hung up after 37 bytes of request 1")]
    #[case::between_two_requests(2, 0, "answered 2 times")]
    #[case::in_the_third(2, 20, "hung up after 20 bytes of request 3")]
    fn the_visitor_hangs_up(#[case] whole: usize, #[case] part: usize, #[case] words: &str) {
        let check = check!("02-pieces");
        check.suspect(match part {
            0 => "end-told-wrongly",
            _ => "half-taken-for-whole",
        });
        let server = server(&check, &[]);
        check.suspect_where("a loop that never waits", "end-taken-for-not-yet");
        check.suspect_where("without a whole answer", "end-before-what-came");
        check.suspect_where("before it something else", "kept-for-another-visitor");
        // Everything is there at once, the end too, when the program goes on.
        server.program.stop();
        let mut rude = server.visitor("rude visitor");
        let one = request("/one");
        rude.send(&[one.repeat(whole), one[..part].to_vec()].concat());
        rude.connection.finish_sending();
        server.program.go_on();
        let when = format!("after {whole} whole requests, {part} bytes of another, and a hang-up");
        for number in 1..=whole {
            expect(&server, &mut rude, number, &one, &when);
        }
        let more = rude.end(&when);
        if !more.is_empty() {
            check.suspect_where("HTTP/1.1 431", "end-told-wrongly");
            check.fail(format!(
                "{when}, the rude visitor was sent an answer too many: {}",
                in_lines(&more)
            ));
        }
        drop(rude);
        check.suspect("end-told-wrongly");
        says(&server, 1, words, &when);
        check.suspect("ends-with-its-visitor");
        the_next_is_served(&server, &when);
    }

    #[rstest]
    #[case::without_a_word(b"")]
    #[case::halfway(&REQUEST[..20])]
    fn the_visitor_resets(#[case] sent: &[u8]) {
        let check = check!("02-pieces");
        check.suspect("ends-with-its-visitor");
        let server = server(&check, &[]);
        check.suspect_where("a loop that never waits", "error-swallowed");
        let mut rude = server.visitor("rude visitor");
        rude.send_in_pieces(sent, 1);
        // It has been let in: else it's gone before anybody reads.
        all_are_in(&server, 1);
        rude.connection.reset();
        let when = format!("after a reset behind {} bytes of a request", sent.len());
        the_next_is_served(&server, &when);
        check.suspect("error-swallowed");
        let lost = server.program.says(|line| line.starts_with("visitor 1: "));
        match lost {
            Ok(line) if line.starts_with("visitor 1: lost: ") && line.contains("reset") => {}
            Ok(line) => check
                .fail(format!("{when}, the visitor was lost, and your program said: \"{line}\"")),
            Err(trouble) => {
                check.fail_for(&format!("{when}, it was to say \"visitor 1: lost\""), &trouble)
            }
        }
    }

    /// The answers have to be 200 `before` times, and then 431.
    #[track_caller]
    fn is_too_long(
        server: &Server<'_>,
        visitor: &mut Guest<'_>,
        before: usize,
        length: usize,
        when: &str,
    ) {
        for number in 1..=before + 1 {
            let answer = visitor.answer(when);
            let expected = if number <= before { 200 } else { 431 };
            if answer.status == expected {
                continue;
            }
            let (status, count) = (answer.status, answer.body.len());
            if expected == 200 {
                server.check.suspect("limit-for-all-that-came");
            } else if status == 200 && count < length {
                server.check.suspect("limit-cuts");
            }
            server.check.fail(format!(
                "{when}, answer {number} was {status} and not {expected}. It has {count} bytes"
            ));
        }
    }

    /// Where the pieces end is counted from the request's end.
    #[rstest]
    #[case::in_one_piece(&[])]
    #[case::but_for_a_byte(&[1])]
    #[case::but_for_two_bytes(&[2])]
    #[case::but_for_three_bytes(&[3])]
    #[case::but_for_four_bytes(&[4])]
    #[case::a_first_byte_by_itself(&[LONGEST_REQUEST - 1])]
    #[case::a_hundred_bytes_first(&[LONGEST_REQUEST - 100])]
    fn as_long_as_may_be(#[case] cuts: &[usize]) {
        let check = check!("02-pieces");
        check.suspect("limit-too-strict");
        let server = server(&check, &[]);
        let mut visitor = server.visitor("talkative visitor");
        let request = request_of(LONGEST_REQUEST);
        let cuts: Vec<usize> = cuts.iter().map(|cut| request.len() - cut).collect();
        // The next one, behind it, is none of this one's bytes.
        send_cut(&mut visitor, &[&*request, &request].concat(), &cuts);
        let when = format!("after two requests of 8,192 bytes, cut at {cuts:?}");
        expect(&server, &mut visitor, 1, &request, &when);
        expect(&server, &mut visitor, 2, &request, &when);
        visitor.no_answer_yet(&when);
    }

    #[rstest]
    #[case::a_small_one(100)]
    #[case::one_of_seven_thousand(7_000)]
    #[case::one_as_long_as_may_be(LONGEST_REQUEST)]
    fn what_comes_before_and_after_does_not_count(#[case] length: usize) {
        let check = check!("02-pieces");
        check.suspect("limit-for-all-that-came");
        let server = server(&check, &[]);
        let mut visitor = server.visitor("visitor with long questions");
        let (one, other) = (request_of(length), request_of(8_100));
        let all = [&*one, &other, &one, &other, &other[..5_000]].concat();
        // All but the first byte are there at once, in case somebody reads much.
        visitor.send_in_pieces(&all[..1], 1);
        server.program.stop();
        visitor.send(&all[1..]);
        server.program.go_on();
        let when = format!(
            "after requests of {length} and 8,100 bytes in one piece, and more behind them"
        );
        for (number, request) in (1..).zip([&one, &other, &one, &other]) {
            expect(&server, &mut visitor, number, request, &when);
        }
    }

    /// A request that is too long, after `before` bytes of others, and its first piece by itself.
    #[rstest]
    #[case::a_byte_too_long(1, 0)]
    #[case::two_bytes_too_long(2, 0)]
    #[case::three_bytes_too_long(3, 0)]
    #[case::four_bytes_too_long(4, 0)]
    #[case::five_bytes_too_long(5, 0)]
    #[case::five_hundred_bytes_too_long(500, 0)]
    #[case::far_too_long(2 * LONGEST_REQUEST, 0)]
    #[case::a_byte_too_long_behind_another(1, 100)]
    #[case::five_hundred_bytes_too_long_behind_another(500, 100)]
    fn too_long(#[case] too_many: usize, #[case] before: usize) {
        let check = check!("02-pieces");
        check.suspect(match too_many {
            4 => "limit-without-the-empty-line",
            500 => "found-not-tested",
            _ => "limit-too-generous",
        });
        // Whoever reads a kilobyte at a time finds the last byte that may be and the empty line in the same one.
        let (length, first) = (LONGEST_REQUEST + too_many, if before == 0 { 1_000 } else { 0 });
        check.suspect_where("without a whole answer", "too-long-taken-for-an-error");
        check.suspect_where("panicked at", "ends-with-its-visitor");
        check.suspect_where("for an answer", "limit-cuts");
        let server = server(&check, &[]);
        let mut visitor = server.visitor("talkative visitor");
        let (others, count) = match before {
            0 => (Vec::new(), 0),
            before => (request_of(before), 1),
        };
        let all = [others, request_of(length)].concat();
        send_cut(&mut visitor, &all, &[first]);
        let when = format!(
            "after {before} bytes of another request, and one of {length} bytes, the first {first} by themselves"
        );
        is_too_long(&server, &mut visitor, count, length, &when);
        let more = visitor.end(&when);
        if !more.is_empty() {
            let more = in_lines(&more);
            check.fail(format!("{when}, it was told 431 and then something else: {more}"));
        }
        drop(visitor);
        says(&server, 1, &format!("asked too much in request {}", count + 1), &when);
        the_next_is_served(&server, &when);
    }

    #[rstest]
    #[case::as_much_as_may_be(LONGEST_REQUEST)]
    #[case::a_byte_more(LONGEST_REQUEST + 1)]
    #[case::and_on_and_on(5 * LONGEST_REQUEST)]
    fn without_an_end(#[case] length: usize) {
        let check = check!("02-pieces");
        check.suspect(if length == LONGEST_REQUEST { "limit-seen-late" } else { "no-limit" });
        let server = server(&check, &[]);
        check.suspect_where("without a whole answer", "too-long-taken-for-an-error");
        check.suspect_where("panicked at", "ends-with-its-visitor");
        let mut visitor = server.visitor("talkative visitor");
        visitor.send(&[&*request("/"), &vec![b'x'; length]].concat());
        let when = format!("after a request, and then {length} bytes without an empty line");
        is_too_long(&server, &mut visitor, 1, length, &when);
    }

    #[test]
    fn sleeps_while_nothing_comes() {
        let check = check!("02-pieces");
        check.suspect("does-not-sleep-in-read");
        let server = server(&check, &[]);
        let mut silent = server.visitor("silent visitor");
        silent.send_in_pieces(b"GET", 1);
        sleeps_in_read(&server, "with a visitor who has sent three bytes");
        silent.send(&REQUEST[3..]);
        expect(&server, &mut silent, 1, REQUEST, "after the rest of its request");
        sleeps_in_read(&server, "with a visitor who has its answer");
    }

    #[test]
    fn a_signal_changes_nothing() {
        let check = check!("02-pieces");
        check.suspect("signal-taken-for-failure");
        let server = server(&check, &[]);
        let mut visitor = server.visitor("interrupted visitor");
        visitor.send_in_pieces(&REQUEST[..20], 1);
        if let Err(trouble) = server.program.settled() {
            check.fail_for("in the middle of a request, your program was to wait", &trouble);
        }
        // With a handler, a call that waits fails; without one it's begun again by the kernel.
        server.program.handles_a_signal();
        server.program.interrupt();
        visitor.send(&REQUEST[20..]);
        expect(&server, &mut visitor, 1, REQUEST, "after signals in the middle of a request");
    }

    #[test]
    fn nothing_is_kept_of_visitors() {
        let check = check!("02-pieces");
        check.suspect("keeps-those-who-left");
        let server = server(&check, &[]);
        check.suspect_where("for the server to hang up", "leaves-descriptors-open");
        // Each leaves in the middle of its third request.
        let all =
            [request_of(2_000), request_of(300), request_of(4_000)[..3_000].to_vec()].concat();
        server.keeps_nothing(60, "visitors", |_| {
            for _ in 0..60 {
                let mut visitor = server.visitor("passing visitor");
                visitor.send(&all);
                visitor.connection.finish_sending();
                visitor.end("after two requests and a half");
            }
        });
    }

    #[test]
    fn nothing_is_kept_of_requests() {
        let check = check!("02-pieces");
        check.suspect("keeps-those-who-left");
        let server = server(&check, &[]);
        let mut visitor = server.visitor("visitor with many questions");
        // Always with a part of the next one.
        let one = request_of(3_000);
        let rest_and_part = [&one[100..], &one[..100]].concat();
        visitor.send(&one[..100]);
        server.keeps_nothing(100, "requests of one visitor", |_| {
            for _ in 0..100 {
                visitor.send(&rest_and_part);
                visitor.answer("after a request and a part of the next");
            }
        });
    }
}

mod patience {
    use super::*;
    use std::time::{Duration, Instant};

    /// So short that a check is soon done. Whoever must be served has sent everything before its turn begins.
    const SHORT: &str = "150";
    /// For visitors who must be served, however slow the machine.
    const LONG: &str = "30000";
    /// A wait with a limit may end so much sooner than asked: the kernel counts in ticks.
    const A_TICK: Duration = Duration::from_millis(15);

    #[test]
    fn a_quick_visitor_is_served() {
        let check = check!("02-patience");
        check.suspect("waits-for-more-than-a-request");
        let server = server(&check, &[LONG]);
        server.still_serves("with all the patience in the world");
        says(&server, 1, "answered", "after a quick visitor");
    }

    #[rstest]
    #[case::a_byte(b"x".to_vec())]
    #[case::some_words(b"and some more".to_vec())]
    #[case::another_request(REQUEST.to_vec())]
    #[case::more_than_any_request(vec![b'x'; 20_000])]
    fn more_comes_behind_the_request(#[case] more: Vec<u8>) {
        let check = check!("02-patience");
        check.suspect("mark-must-be-the-last");
        let server = server(&check, &[LONG]);
        let mut eager = server.visitor("eager visitor");
        eager.send(&[REQUEST, &more].concat());
        let when = format!("after a request and {} bytes more, in one piece", more.len());
        expect_status(&server, &mut eager, 200, &when);
    }

    #[rstest]
    #[case::in_one_piece(1)]
    #[case::byte_by_byte(4)]
    fn as_short_as_may_be(#[case] pieces: usize) {
        let check = check!("02-patience");
        check.suspect("shortest-not-minded");
        let server = server(&check, &[LONG]);
        let mut visitor = server.visitor("visitor of few words");
        visitor.send_in_pieces(b"\r\n\r\n", pieces);
        expect_status(&server, &mut visitor, 200, "after a request that is its empty line alone");
    }

    #[test]
    fn it_hangs_up_behind_its_request() {
        let check = check!("02-patience");
        check.suspect("reads-before-it-looks");
        let server = server(&check, &[LONG]);
        server.program.stop();
        let mut visitor = server.visitor("visitor who has said all");
        visitor.send(REQUEST);
        visitor.connection.finish_sending();
        server.program.go_on();
        let when = "after a whole request, and the end of all that it sends";
        expect_status(&server, &mut visitor, 200, when);
    }

    #[rstest]
    #[case::two(2)]
    #[case::three(3)]
    #[case::byte_by_byte(usize::MAX)]
    fn a_slow_but_honest_visitor_is_served(#[case] pieces: usize) {
        let check = check!("02-patience");
        check.suspect("piece-taken-for-a-request");
        let server = server(&check, &[LONG]);
        let mut slow = server.visitor("slow visitor");
        let (all_but_a_byte, last_byte) = REQUEST.split_at(REQUEST.len() - 1);
        slow.send_in_pieces(all_but_a_byte, pieces);
        slow.no_answer_yet("after all but the last byte of its request, in time");
        slow.send(last_byte);
        expect_status(&server, &mut slow, 200, "after a request in pieces, in time");
    }

    #[rstest]
    #[case::after_one_byte(1)]
    #[case::after_two_bytes(2)]
    #[case::after_three_bytes(3)]
    fn the_empty_line_is_cut(#[case] after: usize) {
        let check = check!("02-patience");
        check.suspect("mark-sought-in-the-newest-piece");
        let server = server(&check, &[LONG]);
        let mut slow = server.visitor("slow visitor");
        let request = [REQUEST, b"and more"].concat();
        send_cut(&mut slow, &request, &[REQUEST.len() - 4 + after]);
        let when = "after a request whose last four bytes came in two pieces, and more behind it";
        expect_status(&server, &mut slow, 200, when);
    }

    #[rstest]
    #[case::two_line_feeds(0)]
    #[case::three_of_the_four(1)]
    #[case::a_return_is_missing(2)]
    #[case::a_line_feed_is_missing(3)]
    #[case::returns_alone(4)]
    #[case::a_return_too_many(5)]
    fn nothing_else_ends_it(#[case] which: usize) {
        let check = check!("02-patience");
        check.suspect("another-mark");
        let server = server(&check, &[LONG]);
        for end in ["panicked at", "without a whole answer", "couldn't send"] {
            check.suspect_where(end, "insists-on-text");
        }
        let mut odd_one = server.visitor("odd visitor");
        let odd = ODD[which];
        odd_one.send_in_pieces(&[b"GET /\xff HTTP/1.1\r\nX: a\0", odd, b"b\r\nY: c"].concat(), 1);
        odd_one.no_answer_yet(&format!("after \"{}\" in a request", odd.escape_ascii()));
        odd_one.send(b"\r\n\r\n");
        let when = format!("after a request with \"{}\" in it", odd.escape_ascii());
        expect_status(&server, &mut odd_one, 200, &when);
    }

    #[rstest]
    #[case::without_a_word(0, SHORT)]
    #[case::in_the_middle(20, SHORT)]
    #[case::before_the_last_byte(REQUEST.len() - 1, SHORT)]
    #[case::with_a_patience_of_a_millisecond(0, "1")]
    #[case::with_no_patience_at_all(0, "0")]
    fn a_visitor_falls_silent(#[case] after: usize, #[case] patience: &str) {
        let check = check!("02-patience");
        check.suspect(if patience == SHORT { "read-not-told-how-long" } else { "zero-not-minded" });
        let server = server(&check, &[patience]);
        if patience == SHORT {
            check.suspect_where("without a whole answer", "silence-taken-for-an-error");
            check.suspect_where("and not 408", "silence-taken-for-an-error");
            check.suspect_where("panicked at", "ends-with-its-visitor");
        } else {
            check.suspect_where("panicked at", "zero-not-minded");
        }
        let mut silent = server.visitor("silent visitor");
        silent.send_in_pieces(&REQUEST[..after], 1);
        let when = format!(
            "with a patience of {patience} ms, and a visitor who fell silent after {after} bytes"
        );
        expect_status(&server, &mut silent, 408, &when);
        silent.end("after its 408");
        drop(silent); // it has been told, and leaves
        says(&server, 1, "took too long", &when);
        if patience == SHORT {
            check.suspect("ends-with-its-visitor");
            server.still_serves("after a silent visitor was sent away");
        }
    }

    #[rstest]
    #[case::with_a_request(REQUEST, false)]
    #[case::with_half_a_request_and_a_hang_up(&REQUEST[..20], true)]
    fn no_patience_at_all_is_over_at_once(#[case] sent: &[u8], #[case] hangs_up: bool) {
        let check = check!("02-patience");
        check.suspect("zero-made-longer");
        check.suspect_where("panicked at", "zero-not-minded");
        let server = server(&check, &["0"]);
        // All of it is there before the turn begins.
        server.program.stop();
        let mut quick = server.visitor("quick visitor");
        quick.send(sent);
        if hangs_up {
            quick.connection.finish_sending();
        }
        server.program.go_on();
        let count = sent.len();
        let when = format!("with a patience of 0 ms, and {count} bytes that were there already");
        expect_status(&server, &mut quick, 408, &when);
    }

    #[rstest]
    #[case::without_a_word(&[])]
    #[case::after_two_pieces(&[20, 30])]
    fn nobody_is_sent_away_too_soon(#[case] cuts: &[usize]) {
        let check = check!("02-patience");
        check.suspect("sent-away-too-soon");
        for patience in [400, 1_600, 6_400] {
            let time = Duration::from_millis(patience);
            let server = server(&check, &[&patience.to_string()]);
            let began = Instant::now();
            let mut silent = server.visitor("silent visitor");
            if !cuts.is_empty() {
                send_cut(&mut silent, &REQUEST[..30], cuts);
            }
            let when = format!("with a patience of {patience} ms, and a visitor who falls silent");
            // Asleep all the while, and rightly so.
            silent.connection.readable_within(time * 2);
            expect_status(&server, &mut silent, 408, &when);
            // Its turn began later than this, and nothing makes a clock too fast.
            let waited = began.elapsed();
            if waited + A_TICK < time {
                let waited = waited.as_millis();
                check.fail(format!("{when}, it was sent away after {waited} ms already"));
            }
            // On a machine so slow that nothing can be told, with more time.
            if waited < time * 4 / 3 {
                return;
            }
        }
    }

    #[test]
    fn whoever_is_done_in_time_is_served() {
        let check = check!("02-patience");
        check.suspect("sent-away-too-soon");
        for patience in [500_u32, 2_000, 8_000] {
            let time = Duration::from_millis(patience.into());
            let server = server(&check, &[&patience.to_string()]);
            let began = Instant::now();
            let mut late = server.visitor("late visitor");
            late.send_in_pieces(b"GET / ", 1);
            let when = format!(
                "with a patience of {patience} ms, and a request that is whole after two thirds of it"
            );
            // Who is sent away before its time is sent away too soon, on however slow a machine.
            if late.connection.readable_within(time * 2 / 3) {
                if began.elapsed() + A_TICK < time {
                    expect_status(&server, &mut late, 200, &when);
                    check.fail(format!("{when}, it was answered before its request was whole"));
                }
                continue; // this machine is too slow for so short a time
            }
            let sent = late.connection.send(b"HTTP/1.1\r\n\r\n").is_ok();
            let in_time = sent
                && late.connection.wait_until_read(time / 6)
                && began.elapsed() < time * 9 / 10;
            if in_time {
                expect_status(&server, &mut late, 200, &when);
                return;
            }
            // This machine is too slow for so short a time.
        }
    }

    #[test]
    fn a_silent_visitor_costs_no_processor_time() {
        let check = check!("02-patience");
        check.suspect("does-not-sleep-in-read");
        let server = server(&check, &[LONG]);
        let mut silent = server.visitor("silent visitor");
        sleeps_in_read(&server, "with a silent visitor");
        silent.send_in_pieces(&REQUEST[..20], 1);
        sleeps_in_read(&server, "with a visitor who fell silent in the middle of its request");
        drop(silent);
        server.still_serves("after a silent visitor has left");
    }

    /// Annoys a server again and again, until it has had enough.
    ///
    /// To whom each annoyance gives its whole time anew, that one answers no sooner than its patience after
    /// the last one. Whoever answers sooner counts right. A machine so slow that this can't be told gets more time.
    #[track_caller]
    fn is_sent_away(check: &Check, what: &str, annoy: impl Fn(&Server<'_>, &mut Guest<'_>)) {
        for patience in [200, 800, 3200] {
            let time = Duration::from_millis(patience);
            let server = server(check, &[&patience.to_string()]);
            let mut visitor = server.visitor("annoying visitor");
            let when = format!("with a patience of {patience} ms, and {what} every now and then");
            let began = Instant::now();
            let mut last;
            loop {
                last = Instant::now();
                annoy(&server, &mut visitor);
                if visitor.connection.readable_within(time / 8) {
                    break;
                }
                if began.elapsed() > 5 * time {
                    let elapsed = began.elapsed().as_millis();
                    check
                        .fail(format!("{when}, the visitor still has its turn after {elapsed} ms"));
                }
            }
            let sooner = last.elapsed() < time;
            expect_status(&server, &mut visitor, 408, &when);
            drop(visitor); // it has been told, and leaves
            server.still_serves("after an annoying visitor was sent away");
            if sooner {
                return;
            }
        }
        check.fail(format!(
            "{what} every now and then, and each time the whole patience begins anew"
        ));
    }

    #[test]
    fn a_byte_now_and_then_buys_no_time() {
        let check = check!("02-patience");
        check.suspect("each-read-has-the-whole-time");
        // Once it has been answered, it may be unable to send.
        is_sent_away(&check, "a byte", |_, visitor| drop(visitor.connection.send(b"x")));
    }

    #[test]
    fn a_signal_buys_no_time() {
        let check = check!("02-patience");
        check.suspect("signal-buys-time");
        is_sent_away(&check, "a signal", |server, _| server.program.interrupt());
    }

    /// A byte that comes just in time, and then silence. Whoever waits once more for the whole time answers
    /// no sooner than that after the byte.
    #[rstest]
    #[case::behind_an_early_one(true)]
    #[case::the_first_of_all(false)]
    fn the_last_byte_before_the_end_buys_no_time(#[case] begins_at_once: bool) {
        let check = check!("02-patience");
        check.suspect(match begins_at_once {
            true => "last-read-has-the-whole-time",
            false => "time-begins-too-late",
        });
        let before = if begins_at_once { "a byte at once" } else { "not a byte before" };
        for patience in [300, 1200, 4800] {
            let time = Duration::from_millis(patience);
            let server = server(&check, &[&patience.to_string()]);
            let began = Instant::now();
            let mut visitor = server.visitor("late visitor");
            if begins_at_once {
                visitor.send(b"G");
            }
            let when =
                format!("with a patience of {patience} ms, {before}, and one just before its end");
            if visitor.connection.readable_within(time * 85 / 100) {
                let early = began.elapsed() + A_TICK < time;
                visitor.answer(&when);
                if early {
                    check.suspect("sent-away-too-soon");
                    check.fail(format!(
                        "{when}, the late visitor was answered before its time was over"
                    ));
                }
                continue; // this machine is too slow for so short a time
            }
            // Before it is sent: were we held up after that, a whole wait would look shorter than it is.
            let byte = Instant::now();
            let sent = visitor.connection.send(b"E").is_ok();
            let left = time.saturating_sub(began.elapsed());
            // Who reads it too late finds its time over, and sends the visitor away at once, rightly or not.
            if !sent
                || !visitor.connection.wait_until_read(left)
                || began.elapsed() > time * 97 / 100
            {
                continue; // likewise
            }
            // Asleep all the while, and rightly so.
            visitor.connection.readable_within(time * 2);
            let sooner = byte.elapsed() < time * 9 / 10;
            visitor.answer(&when);
            if sooner {
                return;
            }
        }
        check.fail(format!(
            "with {before}, and one just before the end of its patience, your program waited for all of it once more"
        ));
    }

    #[test]
    fn silent_visitors_in_a_row() {
        let check = check!("02-patience");
        check.suspect("not-each-its-own-time");
        let patience = Duration::from_millis(300);
        let server = server(&check, &["300"]);
        let mut first = server.visitor("first silent visitor");
        let mut second = server.visitor("second silent visitor");
        let mut quick = server.visitor("quick visitor");
        quick.send(REQUEST);
        let when = "with a patience of 300 ms, and two silent visitors";
        expect_status(&server, &mut first, 408, when);
        // While the first is here, the second's turn doesn't begin.
        let began = Instant::now();
        drop(first);
        expect_status(&server, &mut second, 408, when);
        let waited = began.elapsed();
        if waited + A_TICK < patience {
            check.fail(format!(
                "{when}, the second had its turn for {} ms only: the time that it stood in the queue was counted",
                waited.as_millis()
            ));
        }
        drop(second);
        expect_status(&server, &mut quick, 200, "behind two silent visitors");
    }

    #[test]
    fn a_signal_changes_nothing() {
        let check = check!("02-patience");
        check.suspect("signal-taken-for-failure");
        let server = server(&check, &[LONG]);
        check.suspect_where("for the interrupted visitor to", "signal-loses-what-came");
        let mut visitor = server.visitor("interrupted visitor");
        // Not before it's in `read`.
        all_are_in(&server, 1);
        server.program.interrupt();
        visitor.no_answer_yet("after a signal before the first byte");
        // The rest of it alone is no request.
        let (most, rest) = REQUEST.split_at(REQUEST.len() - 2);
        visitor.send_in_pieces(most, 1);
        server.program.interrupt();
        server.program.interrupt();
        visitor.no_answer_yet("after two signals before the last bytes");
        visitor.send(rest);
        let when = "after signals before and in the middle of the request";
        expect_status(&server, &mut visitor, 200, when);
    }

    #[rstest]
    #[case::without_a_word(0)]
    #[case::after_a_byte(1)]
    #[case::in_the_middle(20)]
    #[case::before_the_last_byte(REQUEST.len() - 1)]
    fn the_visitor_hangs_up(#[case] after: usize) {
        let check = check!("02-patience");
        check.suspect("half-taken-for-whole");
        let server = server(&check, &[LONG]);
        check.suspect_where("a loop that never waits", "end-taken-for-not-yet");
        check.suspect_where("HTTP/1.1 408", "end-told-wrongly");
        check.suspect_where("HTTP/1.1 431", "end-told-wrongly");
        let mut rude = server.visitor("rude visitor");
        send_cut(&mut rude, &REQUEST[..after], &[after / 2]);
        rude.connection.finish_sending();
        let when = format!("after {after} bytes of a request and a hang-up");
        let came = rude.end(&when);
        if !came.is_empty() {
            check.fail(format!("{when}, the rude visitor was sent an answer: {}", in_lines(&came)));
        }
        drop(rude);
        check.suspect("end-told-wrongly");
        says(&server, 1, &format!("hung up after {after} bytes"), &when);
        check.suspect("ends-with-its-visitor");
        server.still_serves("after a rude visitor");
    }

    #[rstest]
    #[case::without_a_word(0)]
    #[case::in_the_middle(20)]
    fn the_visitor_resets(#[case] after: usize) {
        let check = check!("02-patience");
        check.suspect("ends-with-its-visitor");
        let server = server(&check, &[LONG]);
        check.suspect_where("a loop that never waits", "error-swallowed");
        let mut rude = server.visitor("rude visitor");
        rude.send_in_pieces(&REQUEST[..after], 1);
        // It has been let in: else it's gone before anybody reads.
        all_are_in(&server, 1);
        rude.connection.reset();
        let when = format!("after {after} bytes of a request and a reset");
        server.still_serves(&when);
        check.suspect("error-swallowed");
        match server.program.says(|line| line.starts_with("visitor 1: ")) {
            Ok(line) if line.starts_with("visitor 1: lost: ") && line.contains("reset") => {}
            Ok(line) => check
                .fail(format!("{when}, the visitor was lost, and your program said: \"{line}\"")),
            Err(trouble) => {
                check.fail_for(&format!("{when}, it was to say \"visitor 1: lost\""), &trouble)
            }
        }
    }

    /// Where the pieces end is counted from the request's end.
    #[rstest]
    #[case::in_one_piece(&[])]
    #[case::but_for_a_byte(&[1])]
    #[case::but_for_two_bytes(&[2])]
    #[case::but_for_four_bytes(&[4])]
    #[case::a_first_byte_by_itself(&[LONGEST_REQUEST - 1])]
    #[case::a_hundred_bytes_first(&[LONGEST_REQUEST - 100])]
    fn as_long_as_may_be(#[case] cuts: &[usize]) {
        let check = check!("02-patience");
        check.suspect("limit-too-strict");
        let server = server(&check, &[LONG]);
        let mut visitor = server.visitor("talkative visitor");
        let request = request_of(LONGEST_REQUEST);
        let cuts: Vec<usize> = cuts.iter().map(|cut| request.len() - cut).collect();
        send_cut(&mut visitor, &[&*request, &[b'y'; 3_000]].concat(), &cuts);
        let when = format!("after a request of 8,192 bytes with more behind it, cut at {cuts:?}");
        let status = visitor.answer(&when).status;
        if status == 200 {
            return;
        }
        // Is it the request that is too long for this program, or what comes behind it?
        drop(visitor);
        let mut brief = server.visitor("visitor with no more to say");
        send_cut(&mut brief, &request, &cuts);
        let alone = brief.answer(&format!("after such a request, cut at {cuts:?}")).status;
        if alone == 200 {
            check.suspect("limit-tested-before-the-mark");
        }
        check.fail(format!(
            "{when}, the talkative visitor got {status} and not 200; with nothing behind it, it's {alone}"
        ));
    }

    #[rstest]
    #[case::a_thousand(1_000, 10)]
    #[case::five_thousand(5_000, 7)]
    #[case::eight_thousand(8_000, 100)]
    #[case::two_bytes_less_than_may_be(8_190, 1)]
    fn what_comes_after_does_not_count(#[case] length: usize, #[case] first: usize) {
        let check = check!("02-patience");
        check.suspect("limit-tested-before-the-mark");
        let server = server(&check, &[LONG]);
        let mut visitor = server.visitor("visitor with more to say");
        let all = [&*request_of(length), &[b'y'; 20_000]].concat();
        visitor.send_in_pieces(&all[..first], 1);
        server.program.stop();
        visitor.send(&all[first..]);
        server.program.go_on();
        let when = format!(
            "after {first} bytes, and then the rest of a request of {length} bytes with 20,000 behind it"
        );
        expect_status(&server, &mut visitor, 200, &when);
    }

    #[rstest]
    #[case::a_byte_too_long(1)]
    #[case::two_bytes_too_long(2)]
    #[case::three_bytes_too_long(3)]
    #[case::four_bytes_too_long(4)]
    #[case::five_bytes_too_long(5)]
    #[case::five_hundred_bytes_too_long(500)]
    #[case::far_too_long(2 * LONGEST_REQUEST)]
    fn too_long(#[case] too_many: usize) {
        let check = check!("02-patience");
        check.suspect(match too_many {
            4 => "limit-without-the-empty-line",
            500 => "found-not-tested",
            _ => "limit-too-generous",
        });
        // Whoever reads a kilobyte at a time finds the last byte that may be and the empty line in the same one.
        let (length, first) = (LONGEST_REQUEST + too_many, 1_000);
        check.suspect_where("without a whole answer", "too-long-taken-for-an-error");
        check.suspect_where("panicked at", "ends-with-its-visitor");
        check.suspect_where("408 and not 431", "too-long-taken-for-an-error");
        let server = server(&check, &[LONG]);
        let mut visitor = server.visitor("talkative visitor");
        send_cut(&mut visitor, &request_of(length), &[first]);
        let when = format!("after a request of {length} bytes, the first {first} by themselves");
        expect_status(&server, &mut visitor, 431, &when);
        visitor.end(&when);
        drop(visitor); // it has been told, and leaves
        says(&server, 1, "asked too much", &when);
        server.still_serves(&when);
    }

    #[rstest]
    #[case::as_much_as_may_be(LONGEST_REQUEST)]
    #[case::a_byte_more(LONGEST_REQUEST + 1)]
    #[case::and_on_and_on(5 * LONGEST_REQUEST)]
    fn without_an_end(#[case] length: usize) {
        let check = check!("02-patience");
        check.suspect(if length == LONGEST_REQUEST { "limit-seen-late" } else { "no-limit" });
        let server = server(&check, &[LONG]);
        check.suspect_where("without a whole answer", "too-long-taken-for-an-error");
        check.suspect_where("panicked at", "ends-with-its-visitor");
        check.suspect_where("408 and not 431", "too-long-taken-for-an-error");
        let mut visitor = server.visitor("talkative visitor");
        visitor.send(&vec![b'x'; length]);
        let when = format!("after {length} bytes without an empty line");
        expect_status(&server, &mut visitor, 431, &when);
    }

    #[test]
    fn nothing_is_kept_of_visitors() {
        let check = check!("02-patience");
        check.suspect("keeps-those-who-left");
        let server = server(&check, &[LONG]);
        check.suspect_where("for the server to hang up", "leaves-descriptors-open");
        let half = &request_of(7_000)[..6_900];
        server.keeps_nothing(60, "visitors", |_| {
            for _ in 0..30 {
                let mut visitor = server.visitor("passing visitor");
                visitor.send(REQUEST);
                visitor.connection.finish_sending();
                visitor.end("after a request");
                let mut visitor = server.visitor("passing visitor");
                visitor.send(half);
                visitor.connection.finish_sending();
                visitor.end("after half a request");
            }
        });
    }
}
