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
            "it takes each `read` for a request: read on until the empty line has come",
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
    fn a_hundred_at_once() {
        let check = check!("02-pieces");
        check.likely(
            "requests are lost, or joined, where the end of a buffer cuts through one",
            "02-blocking-server.html#exercise-02-pieces",
        );
        let server = check.server(&[]);
        let mut eager = server.visitor("eager visitor");
        let all: Vec<u8> = (1..=100).flat_map(|number| request(&format!("/{number}"))).collect();
        eager.send(&all);
        for number in 1..=100 {
            expect(
                &check,
                &mut eager,
                number,
                &format!("/{number}"),
                "after a hundred requests at once",
            );
        }
    }

    #[rstest]
    #[case::politely(false)]
    #[case::by_reset(true)]
    fn the_visitor_hangs_up_halfway(#[case] by_reset: bool) {
        let check = check!("02-pieces");
        check.likely(
            "a `read` that gives 0 means that this visitor is gone for good: say so, and the next has its turn",
            "02-blocking-server.html#the-rude-visitor",
        );
        let server = check.server(&[]);
        let mut rude = server.visitor("rude visitor");
        rude.send_in_pieces(&REQUEST[..20], 1);
        match by_reset {
            true => rude.connection.reset(),
            false => drop(rude),
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
            "it keeps whatever comes: a visitor who never sends the empty line fills the server's memory",
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
    use std::time::Duration;

    /// So short that a check is soon done, so long that a slow machine can't make an honest visitor late for it.
    const SHORT: &str = "300";
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
            "`read` waits for ever if it isn't told how long: set a receive timeout, and answer when it's over",
            "02-blocking-server.html#exercise-02-patience",
        );
        let server = check.server(&[SHORT]);
        let mut silent = server.visitor("silent visitor");
        silent.send_in_pieces(&REQUEST[..after], 1);
        let answer = silent.answer("with a patience of 300 ms, after it fell silent");
        if answer.status != 408 {
            check.fail(format!("the visitor who fell silent got {} and not 408", answer.status));
        }
        silent.end("after its 408");
        drop(silent); // it has been told, and leaves
        server.still_serves("after a silent visitor was sent away");
    }

    #[test]
    fn a_byte_now_and_then_buys_no_time() {
        let check = check!("02-patience");
        check.likely(
            "each `read` gets the whole time anew: note a deadline first, and give each `read` what is left",
            "02-blocking-server.html#exercise-02-patience",
        );
        let server = check.server(&[SHORT]);
        let mut dripping = server.visitor("dripping visitor");
        for _ in 0..60 {
            // Once it has been answered, it may be unable to send.
            let _ = dripping.connection.send(b"x");
            if dripping.connection.readable_within(Duration::from_millis(50)) {
                let answer =
                    dripping.answer("with a patience of 300 ms, sending a byte every 50 ms");
                if answer.status != 408 {
                    check.fail(format!("the dripping visitor got {} and not 408", answer.status));
                }
                drop(dripping); // it has been told, and leaves
                return server.still_serves("after a dripping visitor was sent away");
            }
        }
        check.fail(
            "with a patience of 300 ms, a visitor sent a byte every 50 ms for 3 s, and was let to",
        );
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
        for mut visitor in silent {
            let answer = visitor.answer("with a patience of 300 ms, two silent visitors");
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
            "a `read` that gives 0 means that this visitor is gone for good: the next has its turn at once",
            "02-blocking-server.html#the-rude-visitor",
        );
        let server = check.server(&[LONG]);
        let mut rude = server.visitor("rude visitor");
        rude.send_in_pieces(&REQUEST[..20], 1);
        drop(rude);
        let mut rude = server.visitor("ruder visitor");
        rude.send_in_pieces(&REQUEST[..20], 1);
        rude.connection.reset();
        server.still_serves("after two rude visitors");
    }

    #[test]
    fn a_request_without_an_end() {
        let check = check!("02-patience");
        check.likely(
            "it keeps whatever comes, as long as there is time: that can be a lot",
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
