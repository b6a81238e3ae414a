//! The graded checks of chapter 2. The judged program is the server; the check plays its visitors.

use grader::check;
use grader::check::REQUEST;
use rstest::rstest;

/// The longest request that the exercises accept, in bytes.
const LONGEST_REQUEST: usize = 8 * 1024;

/// A request of just so many bytes.
fn request_of(length: usize) -> Vec<u8> {
    let (start, end) = ("GET /long HTTP/1.1\r\nX: ", "\r\n\r\n");
    let filling = "x".repeat(length - start.len() - end.len());
    format!("{start}{filling}{end}").into_bytes()
}

mod pieces {
    use super::*;
    use grader::check::{Check, Guest};

    fn request(path: &str) -> Vec<u8> {
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
    }

    /// The next answer has to be the `number`th on this connection, and to the request for `path`.
    #[track_caller]
    fn expect(check: &Check, guest: &mut Guest<'_>, number: usize, path: &str, when: &str) {
        let answer = guest.answer(when);
        let expected = format!("{number}: GET {path} HTTP/1.1\n");
        let body = String::from_utf8_lossy(&answer.body);
        if answer.status != 200 || body != expected {
            let status = answer.status;
            check.fail(format!(
                "{when}, answer {number} was {status} {body:?} and not 200 {expected:?}"
            ));
        }
    }

    #[test]
    fn a_request_in_one_piece() {
        let check = check!("02-pieces");
        check.likely(
            "it waits for more after the empty line; or the request isn't taken out of `kept` whole",
            "02-blocking-server.html#where-a-request-ends",
        );
        let server = check.server(&[]);
        let mut quick = server.visitor("quick visitor");
        quick.send(&request("/"));
        expect(&check, &mut quick, 1, "/", "after a request in one piece");
        quick.send(&request("/again"));
        expect(&check, &mut quick, 2, "/again", "after a second request on the same connection");
        quick.no_answer_yet("after two requests and two answers");
    }

    #[rstest]
    #[case::two(2)]
    #[case::seven(7)]
    #[case::byte_by_byte(usize::MAX)]
    fn a_request_in_pieces(#[case] pieces: usize) {
        let check = check!("02-pieces");
        check.likely(
            "if it answered early, it takes each `read` for a request; if it never answers, it looks for \
             the empty line in the newest piece alone",
            "02-blocking-server.html#where-a-request-ends",
        );
        let server = check.server(&[]);
        let mut slow = server.visitor("slow visitor");
        let request = request("/slow");
        let (all_but_a_byte, last_byte) = request.split_at(request.len() - 1);
        slow.send_in_pieces(all_but_a_byte, pieces);
        slow.no_answer_yet("after all but the last byte of its request");
        slow.send(last_byte);
        expect(&check, &mut slow, 1, "/slow", "after a request in pieces");
    }

    #[rstest]
    #[case::after_one_byte(1)]
    #[case::after_two_bytes(2)]
    #[case::after_three_bytes(3)]
    fn the_empty_line_is_cut(#[case] after: usize) {
        let check = check!("02-pieces");
        check.likely(
            "it looks for the four bytes in the newest piece alone; they may lie across two",
            "02-blocking-server.html#where-a-request-ends",
        );
        let server = check.server(&[]);
        let mut slow = server.visitor("slow visitor");
        let request = request("/cut");
        let (start, end) = request.split_at(request.len() - 4 + after);
        slow.send_in_pieces(start, 1);
        slow.no_answer_yet("after a part of the last four bytes");
        slow.send(end);
        expect(
            &check,
            &mut slow,
            1,
            "/cut",
            "after a request whose last four bytes came in two pieces",
        );
    }

    #[test]
    fn two_requests_in_one_piece() {
        let check = check!("02-pieces");
        check.likely(
            "it throws away what came after the first request, or waits for more instead of looking at it",
            "02-blocking-server.html#exercise-02-pieces",
        );
        let server = check.server(&[]);
        let mut quick = server.visitor("quick visitor");
        quick.send(&[request("/one"), request("/two")].concat());
        expect(&check, &mut quick, 1, "/one", "after two requests in one piece");
        expect(&check, &mut quick, 2, "/two", "after two requests in one piece");
    }

    #[rstest]
    #[case::one_byte(1)]
    #[case::the_first_line(20)]
    #[case::all_but_a_byte(35)]
    fn one_and_a_part_of_the_next(#[case] part: usize) {
        let check = check!("02-pieces");
        check.likely(
            "what comes after a request is the beginning of the next: it must stay in `kept`, all of it",
            "02-blocking-server.html#exercise-02-pieces",
        );
        let server = check.server(&[]);
        let mut slow = server.visitor("slow visitor");
        let second = request("/two");
        slow.send_in_pieces(&[&request("/one"), &second[..part]].concat(), 1);
        expect(&check, &mut slow, 1, "/one", "after one request and a part of the next");
        slow.send(&second[part..]);
        expect(&check, &mut slow, 2, "/two", "after the rest of the second request");
    }

    #[test]
    fn four_hundred_at_once() {
        let check = check!("02-pieces");
        check.likely(
            "requests are lost or joined where the end of a buffer cuts through one, or the limit is \
             counted over all that has come and not over each request",
            "02-blocking-server.html#exercise-02-pieces",
        );
        let server = check.server(&[]);
        // The server sleeps until everything is there: its first read can have as much as it likes.
        server.program.stop();
        let mut eager = server.visitor("eager visitor");
        let all: Vec<u8> = (1..=400).flat_map(|number| request(&format!("/{number}"))).collect();
        eager.send(&all);
        server.program.go_on();
        for number in 1..=400 {
            expect(&check, &mut eager, number, &format!("/{number}"), "after 400 requests at once");
        }
    }

    #[rstest]
    #[case::in_two(27)]
    #[case::byte_by_byte(1)]
    fn bytes_are_not_characters(#[case] size: usize) {
        let check = check!("02-pieces");
        check.likely(
            "it makes text of each piece, and a character may be cut in two: keep bytes, and make text of \
             what is whole",
            "02-blocking-server.html#where-a-request-ends",
        );
        let server = check.server(&[]);
        let mut visitor = server.visitor("visitor from abroad");
        // The é of /café is two bytes, and the first case cuts between them.
        let request = "GET /and/then/a/small/caf\u{e9} HTTP/1.1\r\n\r\n".as_bytes();
        visitor.send_in_pieces(request, request.len().div_ceil(size));
        let path = "/and/then/a/small/caf\u{e9}";
        expect(&check, &mut visitor, 1, path, "after a request with an \u{e9} in it, cut in two");
    }

    #[test]
    fn not_everything_is_text() {
        let check = check!("02-pieces");
        check.likely(
            "it insists that a request is text: what isn't must end nothing",
            "02-blocking-server.html#where-a-request-ends",
        );
        let server = check.server(&[]);
        let mut visitor = server.visitor("visitor from far abroad");
        visitor.send(b"GET /\xff\xfe HTTP/1.1\r\n\r\n");
        let when = "after a request with bytes in it that are no text";
        let answer = visitor.answer(when);
        if answer.status != 200 {
            check.fail(format!("{when}, the answer was {}", answer.status));
        }
    }

    #[test]
    fn the_visitor_hangs_up_halfway() {
        let check = check!("02-pieces");
        check.likely(
            "a `read` that gives 0 means that nothing will come any more: half a request gets no answer, \
             and the next visitor has its turn",
            "02-blocking-server.html#the-rude-visitor",
        );
        let server = check.server(&[]);
        let mut rude = server.visitor("rude visitor");
        rude.send_in_pieces(&REQUEST[..20], 1);
        rude.connection.finish_sending();
        let when = "after it hung up in the middle of its request";
        let answer = rude.end(when);
        if !answer.is_empty() {
            check.fail(format!(
                "{when}, the rude visitor was sent {:?}",
                String::from_utf8_lossy(&answer)
            ));
        }
        let mut quick = server.visitor("quick visitor");
        quick.send(&request("/next"));
        expect(
            &check,
            &mut quick,
            1,
            "/next",
            "after a rude visitor hung up in the middle of its request",
        );
    }

    #[test]
    fn the_visitor_resets_halfway() {
        let check = check!("02-pieces");
        check.likely(
            "a reset makes `read` fail: hand the error on with `?`, it ends this visitor's turn and nothing else",
            "02-blocking-server.html#the-rude-visitor",
        );
        let server = check.server(&[]);
        let mut rude = server.visitor("rude visitor");
        rude.send_in_pieces(&REQUEST[..20], 1);
        rude.connection.reset();
        let mut quick = server.visitor("quick visitor");
        quick.send(&request("/next"));
        expect(&check, &mut quick, 1, "/next", "after a reset in the middle of a request");
    }

    #[rstest]
    #[case::just_short_enough(LONGEST_REQUEST, 200)]
    #[case::a_byte_too_long(LONGEST_REQUEST + 1, 431)]
    #[case::far_too_long(3 * LONGEST_REQUEST, 431)]
    fn a_long_request(#[case] length: usize, #[case] status: u16) {
        let check = check!("02-pieces");
        check.likely(
            "the limit is LONGEST_REQUEST bytes, empty line included: no less, no more, in whatever pieces",
            "02-blocking-server.html#how-much-is-too-much",
        );
        let server = check.server(&[]);
        let mut visitor = server.visitor("talkative visitor");
        visitor.send(&request_of(length));
        let when = format!("after a request of {length} bytes");
        let answer = visitor.answer(&when);
        if answer.status != status {
            check.fail(format!("{when}, the answer was {} and not {status}", answer.status));
        }
    }

    #[test]
    fn a_request_without_an_end() {
        let check = check!("02-pieces");
        check.likely(
            "it keeps whatever comes, or wants a byte more than LONGEST_REQUEST: after that many bytes without \
             an empty line there can be no request",
            "02-blocking-server.html#how-much-is-too-much",
        );
        let server = check.server(&[]);
        let mut visitor = server.visitor("talkative visitor");
        visitor.send(&vec![b'x'; LONGEST_REQUEST]);
        let when = "after 8 KiB without an empty line";
        let answer = visitor.answer(when);
        if answer.status != 431 {
            check.fail(format!("{when}, the answer was {} and not 431", answer.status));
        }
    }
}

mod patience {
    use super::*;
    use std::time::{Duration, Instant};

    use grader::check::{Check, Guest, Server};

    /// So short that a check is soon done. Whoever must be served has sent everything before its turn begins.
    const SHORT: &str = "150";
    /// For visitors who must be served, however slow the machine.
    const LONG: &str = "30000";

    #[test]
    fn a_quick_visitor_is_served() {
        let check = check!("02-patience");
        check.likely(
            "the request was whole: there is nothing to wait for",
            "02-blocking-server.html#exercise-02-patience",
        );
        let server = check.server(&[LONG]);
        server.still_serves("with all the patience in the world");
    }

    #[test]
    fn more_comes_behind_the_request() {
        let check = check!("02-patience");
        check.likely(
            "it wants the empty line to be the last that came: look for it in all of it",
            "02-blocking-server.html#where-a-request-ends",
        );
        let server = check.server(&[LONG]);
        let mut eager = server.visitor("eager visitor");
        eager.send(&[REQUEST, b"and some more"].concat());
        let answer = eager.answer("after a request and some more, in one piece");
        if answer.status != 200 {
            check.fail(format!(
                "the eager visitor's request was whole, and it got {}",
                answer.status
            ));
        }
    }

    #[rstest]
    #[case::two(2)]
    #[case::byte_by_byte(usize::MAX)]
    fn a_slow_but_honest_visitor_is_served(#[case] pieces: usize) {
        let check = check!("02-patience");
        check.likely(
            "a request in pieces is a request: read on until the empty line, as long as there is time",
            "02-blocking-server.html#where-a-request-ends",
        );
        let server = check.server(&[LONG]);
        let mut slow = server.visitor("slow visitor");
        slow.send_in_pieces(REQUEST, pieces);
        let answer = slow.answer("after a request in pieces, in time");
        if answer.status != 200 {
            check.fail(format!("the slow visitor was in time, and got {}", answer.status));
        }
    }

    #[rstest]
    #[case::without_a_word(0)]
    #[case::in_the_middle(20)]
    #[case::before_the_last_byte(REQUEST.len() - 1)]
    fn a_visitor_falls_silent(#[case] after: usize) {
        let check = check!("02-patience");
        check.likely(
            "`read` isn't told how long it may wait, or is told PATIENCE and not `patience`; or the end of the \
             time is handed on as an error, and not as TooSlow",
            "02-blocking-server.html#the-answer-that-is-eaten",
        );
        let server = check.server(&[SHORT]);
        let mut silent = server.visitor("silent visitor");
        silent.send_in_pieces(&REQUEST[..after], 1);
        let answer = silent.answer("with a patience of 150 ms, after it fell silent");
        if answer.status != 408 {
            check.fail(format!("the visitor who fell silent got {} and not 408", answer.status));
        }
        silent.end("after its 408");
        drop(silent); // it has been told, and leaves
        server.still_serves("after a silent visitor was sent away");
    }

    #[test]
    fn a_silent_visitor_costs_no_processor_time() {
        let check = check!("02-patience");
        check.likely(
            "it asks again and again whether something has come: let `read` do the waiting",
            "02-blocking-server.html#the-answer-that-is-eaten",
        );
        let server = check.server(&[LONG]);
        let silent = server.visitor("silent visitor");
        if let Err(trouble) = server.program.settled() {
            check.fail_for("with a silent visitor, your program was to wait", &trouble);
        }
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
            let server = check.server(&[&patience.to_string()]);
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
            let answer = visitor.answer(&when);
            if answer.status != 408 {
                check.fail(format!("{when}, the visitor got {} and not 408", answer.status));
            }
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
        check.likely(
            "if the visitor still has its turn, each `read` gets the whole time anew: note a deadline first, and give \
             each `read` what is left. If your program hung up without 408: a time of zero is refused as an error",
            "02-blocking-server.html#the-answer-that-is-eaten",
        );
        // Once it has been answered, it may be unable to send.
        is_sent_away(&check, "a byte", |_, visitor| drop(visitor.connection.send(b"x")));
    }

    #[test]
    fn a_signal_buys_no_time() {
        let check = check!("02-patience");
        check.likely(
            "after a signal, `read` gets the same time again: work out anew what is left, each time",
            "02-blocking-server.html#the-answer-that-is-eaten",
        );
        is_sent_away(&check, "a signal", |server, _| server.program.interrupt());
    }

    #[test]
    fn the_last_byte_before_the_end_buys_no_time() {
        let check = check!("02-patience");
        check.likely(
            "it looks at the clock between two reads, and then lets the next `read` wait for the whole time: give it \
             what is left",
            "02-blocking-server.html#the-answer-that-is-eaten",
        );
        // A byte that comes just in time, and then silence. Whoever waits once more for the whole time answers
        // no sooner than that after the byte.
        for patience in [300, 1200, 4800] {
            let time = Duration::from_millis(patience);
            let server = check.server(&[&patience.to_string()]);
            let began = Instant::now();
            let mut visitor = server.visitor("late visitor");
            visitor.send(b"G");
            let when = format!("with a patience of {patience} ms, and a byte just before its end");
            if visitor.connection.readable_within(time * 85 / 100) {
                let early = began.elapsed() < time;
                visitor.answer(&when);
                if early {
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
        check.fail("after a byte just before the end of its patience, your program waited for all of it once more");
    }

    #[test]
    fn silent_visitors_in_a_row() {
        let check = check!("02-patience");
        check.likely(
            "each visitor has its own time, and it begins when the visitor's turn begins",
            "02-blocking-server.html#exercise-02-patience",
        );
        let server = check.server(&[SHORT]);
        let silent =
            [server.visitor("first silent visitor"), server.visitor("second silent visitor")];
        let mut quick = server.visitor("quick visitor");
        quick.send(REQUEST);
        server.program.go_on();
        for mut visitor in silent {
            let answer = visitor.answer("with a patience of 150 ms, two silent visitors");
            if answer.status != 408 {
                check.fail(format!("a silent visitor got {} and not 408", answer.status));
            }
        }
        let answer = quick.answer("behind two silent visitors");
        if answer.status != 200 {
            check.fail(format!("behind two silent visitors, the quick one got {}", answer.status));
        }
    }

    #[test]
    fn a_signal_changes_nothing() {
        let check = check!("02-patience");
        check.likely(
            "a `read` with a timeout fails with `Interrupted` when a signal comes: that's neither an error nor the end of the time",
            "02-blocking-server.html#exercise-02-patience",
        );
        let server = check.server(&[LONG]);
        let mut visitor = server.visitor("interrupted visitor");
        visitor.send_in_pieces(&REQUEST[..20], 1);
        server.program.interrupt();
        visitor.send(&REQUEST[20..]);
        let answer = visitor.answer("after a signal in the middle of the request");
        if answer.status != 200 {
            check.fail(format!(
                "after a signal in the middle of its request, a visitor got {}",
                answer.status
            ));
        }
    }

    #[test]
    fn the_visitor_hangs_up_halfway() {
        let check = check!("02-patience");
        check.likely(
            "a `read` that gives 0 means that this visitor is gone for good, and one that fails, too: the next has its \
             turn at once",
            "02-blocking-server.html#the-rude-visitor",
        );
        let server = check.server(&[LONG]);
        let mut rude = server.visitor("rude visitor");
        rude.send_in_pieces(&REQUEST[..20], 1);
        drop(rude);
        let mut rude = server.visitor("second rude visitor");
        rude.send_in_pieces(&REQUEST[..20], 1);
        rude.connection.reset();
        server.still_serves("after two rude visitors");
    }

    #[test]
    fn a_request_without_an_end() {
        let check = check!("02-patience");
        check.likely(
            "it keeps whatever comes, or wants a byte more than LONGEST_REQUEST: after that many bytes without \
             an empty line there can be no request",
            "02-blocking-server.html#how-much-is-too-much",
        );
        let server = check.server(&[LONG]);
        let mut visitor = server.visitor("talkative visitor");
        visitor.send(&vec![b'x'; LONGEST_REQUEST]);
        let answer = visitor.answer("after 8 KiB without an empty line");
        if answer.status != 431 {
            check.fail(format!(
                "after 8 KiB without an empty line the answer was {}",
                answer.status
            ));
        }
        drop(visitor); // it has been told, and leaves
        server.still_serves("after a talkative visitor");
    }
}
