//! The graded checks of chapter 4. The judged program is the server; the check plays its visitors.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use grader::check;
use grader::check::{Check, Guest, Server, so_far};
use rstest::rstest;
use visitors::calls::family;
use visitors::connection::{End, Received};
use visitors::program::{LOOK_EVERY, PATIENCE};

/// Waits until the server has done all that it can do with the visitors that it has.
#[track_caller]
fn settle(check: &Check, server: &Server<'_>, when: &str) {
    if let Err(trouble) = server.program.settled() {
        check.fail_for(&format!("{when}, your program was to wait"), &trouble);
    }
}

/// Bytes in words, be they text or not.
fn quote(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
    format!("{text:?}{}", if bytes.len() > 60 { " …" } else { "" })
}

/// From where on to show two texts that differ: the line in which they do. And in words, what comes before.
fn where_they_differ(one: &[u8], other: &[u8]) -> (usize, String) {
    let same = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    let line = one[..same].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let from = if same - line > 40 { same } else { line };
    match from {
        0 => (0, String::new()),
        _ => (from, format!(" after {from} bytes that were as they should be")),
    }
}

/// The visitor has to receive just these bytes next.
#[track_caller]
fn receives(server: &Server<'_>, visitor: &mut Guest<'_>, expected: &[u8], when: &str) {
    let name = visitor.connection.name().to_owned();
    let enough = |bytes: &[u8]| bytes.len() >= expected.len() || !expected.starts_with(bytes);
    let waits = format!("{when}, the {name} waits for {}", quote(expected));
    match visitor.connection.receive_while_missing(&server.program, enough) {
        Ok(Ok(bytes)) if bytes.starts_with(expected) => {
            visitor.connection.give_back(&bytes[expected.len()..]);
        }
        Ok(Ok(bytes)) => {
            let (from, after) = where_they_differ(&bytes, expected);
            let (got, wanted) = (quote(&bytes[from..]), quote(&expected[from..]));
            server.check.fail(format!("{when}, the {name} received {got} and not {wanted}{after}"));
        }
        Ok(Err(Received { bytes, end })) => {
            let how = match end {
                End::Closed => "the server hung up",
                End::Reset => "there was a reset",
            };
            server.fail_seeing(&format!("{waits}, and {how} ({})", so_far(&bytes)));
        }
        Err((trouble, bytes)) => {
            server.check.fail_for(&format!("{waits} ({})", so_far(&bytes)), &trouble);
        }
    }
}

/// Nothing may have come for the visitor that it hasn't received yet, although the server has done all
/// that it can do.
#[track_caller]
fn nothing_more(server: &Server<'_>, visitor: &mut Guest<'_>, when: &str) {
    settle(server.check, server, when);
    let name = visitor.connection.name().to_owned();
    let is_there = visitor.connection.readable_within(Duration::ZERO);
    let enough = |bytes: &[u8]| !is_there || !bytes.is_empty();
    match visitor.connection.receive_while_missing(&server.program, enough) {
        Ok(Ok(bytes)) if bytes.is_empty() => {}
        Ok(Ok(bytes)) => {
            let got = quote(&bytes);
            server.check.fail(format!("{when}, the {name} received {got}, which isn't for it"));
        }
        Ok(Err(_)) => server.fail_seeing(&format!("{when}, the server hung up on the {name}")),
        Err((trouble, _)) => server.check.fail_for(&format!("{when}, the {name} waits"), &trouble),
    }
}

/// The server has to end this connection, be it by a reset: what the visitor sent may lie unread.
#[track_caller]
fn is_hung_up_on(server: &Server<'_>, visitor: &mut Guest<'_>, when: &str) {
    let name = visitor.connection.name().to_owned();
    match visitor.connection.receive_all(&server.program) {
        Ok(Received { bytes, .. }) if bytes.is_empty() => {}
        Ok(Received { bytes, .. }) => {
            let got = quote(&bytes);
            server.check.fail(format!("{when}, the {name} received {got} before the end"));
        }
        Err((trouble, _)) => {
            let expected = format!("{when}, the {name} waits for the server to hang up");
            server.check.fail_for(&expected, &trouble);
        }
    }
}

/// Between two calls that ask who is ready, the program may read once from each, and accept once. Each of
/// `calls` is a call's name, its descriptor, and what that is.
#[track_caller]
fn one_step_each(
    server: &Server<'_>,
    calls: impl Iterator<Item = (String, Option<i64>, Option<String>)>,
    when: &str,
) {
    let mut steps: BTreeMap<Option<i64>, usize> = BTreeMap::new();
    for (call, descriptor, what) in calls {
        let did = match family(&call) {
            "select" | "poll" | "epoll_wait" => {
                steps.clear();
                continue;
            }
            "read" => "read twice from",
            "accept" => "accepted twice from",
            _ => continue,
        };
        let count = steps.entry(descriptor).or_default();
        *count += 1;
        if *count > 1 {
            let whom = what.unwrap_or_default();
            server.check.fail(format!("{when}, it {did} {whom} without asking in between"));
        }
    }
}

/// How somebody leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaves {
    Politely,
    ByReset,
}

impl Leaves {
    fn now(self, visitor: Guest<'_>) {
        match self {
            Self::Politely => drop(visitor),
            Self::ByReset => visitor.connection.reset(),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Politely => "hung up",
            Self::ByReset => "was reset",
        }
    }
}

/// Somebody talks, others leave, and all of it happens while the server can't look: it finds everything in the
/// same turn. Numbers from 1.
struct Turn {
    talk: &'static [usize],
    leave: &'static [usize],
}

/// So many are there in a turn.
const IN_A_TURN: usize = 8;
const FIRST_LEAVES: Turn = Turn { talk: &[2, 4, 8], leave: &[1] };
const LAST_LEAVES: Turn = Turn { talk: &[1, 2, 7], leave: &[8] };
const THREE_LEAVE: Turn = Turn { talk: &[1, 3, 6], leave: &[2, 5, 7] };
const NEIGHBORS_LEAVE: Turn = Turn { talk: &[4, 7], leave: &[2, 3, 5, 6] };
const ALL_BUT_TWO_LEAVE: Turn = Turn { talk: &[8], leave: &[1, 2, 3, 4, 6, 7] };

mod echo {
    use super::*;
    use std::io::Write;

    const THE_LOOP: &str = "04-select.html#the-loop";
    const ONE_READ_EACH: &str = "04-select.html#one-read-each";
    const WHAT_COMES_BACK: &str = "04-select.html#what-comes-back";
    const WHO_HAS_LEFT: &str = "04-select.html#who-has-left";
    const DESCRIPTOR_1024: &str = "04-select.html#descriptor-1024";

    /// The visitor says something, and gets just that back.
    #[track_caller]
    fn echoes(server: &Server<'_>, visitor: &mut Guest<'_>, bytes: &[u8], when: &str) {
        visitor.send(bytes);
        receives(server, visitor, bytes, when);
    }

    /// Somebody new is served. It hangs up when it's dropped.
    #[track_caller]
    fn still_echoes<'a>(server: &'a Server<'_>, when: &str) -> Guest<'a> {
        let mut quick = server.visitor("quick visitor");
        echoes(server, &mut quick, b"anybody there?\n", when);
        quick
    }

    /// Bytes of all kinds, in an order of which no two pieces look alike.
    fn bytes_of_all_kinds(count: usize) -> Vec<u8> {
        (0..count).map(|at| (at ^ (at >> 8).wrapping_mul(31)) as u8).collect()
    }

    #[test]
    fn what_is_sent_comes_back() {
        let check = check!("04-echo");
        check.likely(
            "`select` isn't asked about everybody: the listener goes into the set, and each visitor. Or more \
             comes back than has been read: send the part of the buffer that `read` has filled",
            "04-select.html#ask-the-kernel",
        );
        let server = check.server(&[]);
        let mut visitor = server.visitor("visitor");
        echoes(&server, &mut visitor, b"hello, is anybody there?\n", "after its first words");
        echoes(&server, &mut visitor, b"and now?\n", "after its second words");
        echoes(&server, &mut visitor, &bytes_of_all_kinds(256), "after bytes that are no text");
        nothing_more(&server, &mut visitor, "after everything had come back");
    }

    #[rstest]
    #[case::two(2)]
    #[case::byte_by_byte(usize::MAX)]
    fn it_comes_back_at_once(#[case] pieces: usize) {
        let check = check!("04-echo");
        check.likely(
            "it waits for more than has come: a line, a full buffer. Send back what one `read` gives",
            ONE_READ_EACH,
        );
        let server = check.server(&[]);
        let mut slow = server.visitor("slow visitor");
        let text = b"a word without an end";
        for piece in text.chunks(text.len().div_ceil(pieces)) {
            echoes(&server, &mut slow, piece, "after a piece of what it has to say");
        }
        nothing_more(&server, &mut slow, "after everything had come back");
    }

    #[rstest]
    #[case::without_a_word(b"")]
    #[case::after_a_word(b"hm")]
    fn a_silent_visitor_holds_up_nobody(#[case] word: &[u8]) {
        let check = check!("04-echo");
        check.likely(
            "it reads from, or accepts, somebody whom `select` hasn't named, or reads again after the first time: \
             that read waits, and everybody with it",
            ONE_READ_EACH,
        );
        let server = check.server(&[]);
        let mut silent = server.visitor("silent visitor");
        echoes(&server, &mut silent, word, "before it fell silent");
        settle(&check, &server, "with a silent visitor");
        // They stay: to leave is another matter.
        let _quick = still_echoes(&server, "with a silent visitor");
        let _another = still_echoes(&server, "with a silent visitor, and after a quick one");
        nothing_more(&server, &mut silent, "although it had said nothing more");
        echoes(&server, &mut silent, b"here I am\n", "when it said something after all");
    }

    #[test]
    fn two_hundred_in_reverse_order() {
        let check = check!("04-echo");
        check.likely(
            "not everybody whom it has let in is in the set: make a new one in each turn, of all who are there",
            WHAT_COMES_BACK,
        );
        let server = check.server(&[]);
        // Half of them stand at the door together, and the others come one by one.
        server.program.stop();
        let name = |number| format!("visitor {number}");
        let mut visitors: Vec<_> = (1..=100).map(|number| server.visitor(&name(number))).collect();
        server.program.go_on();
        for number in 101..=200 {
            let mut visitor = server.visitor(&name(number));
            echoes(&server, &mut visitor, b"hello", "with many visitors");
            visitors.push(visitor);
        }
        for (index, visitor) in visitors.iter_mut().enumerate().rev() {
            let number = index + 1;
            let words = format!("I am number {number}\n");
            echoes(&server, visitor, words.as_bytes(), "with two hundred visitors");
        }
        settle(&check, &server, "with two hundred visitors who have said everything");
    }

    #[test]
    fn nobody_hears_another() {
        let check = check!("04-echo");
        check.likely(
            "what one visitor sends is sent to others too: it is for the one from whom it came. If your program is inside \
             recvfrom, it reads somebody who isn't ready: the visitors and what `select` said must stay in step",
            "04-select.html#exercise-04-echo",
        );
        let server = check.server(&[]);
        let mut silent = server.visitor("silent visitor");
        let mut one = server.visitor("visitor 1");
        let mut other = server.visitor("visitor 2");
        for (number, byte) in b"a few letters".iter().enumerate() {
            echoes(&server, &mut one, &[*byte], "while another visitor talks too");
            let words = format!("word {number}, ");
            echoes(&server, &mut other, words.as_bytes(), "while another visitor talks too");
        }
        for visitor in [&mut silent, &mut one, &mut other] {
            nothing_more(&server, visitor, "while others talked");
        }
    }

    #[test]
    fn silent_visitors_cost_no_processor_time() {
        let check = check!("04-echo");
        check.likely(
            "it asks again and again who is ready: let `select` do the waiting, without a time after which it returns",
            THE_LOOP,
        );
        let server = check.server(&[]);
        settle(&check, &server, "with nobody there");
        let silent: Vec<_> = (0..20).map(|_| server.visitor("silent visitor")).collect();
        settle(&check, &server, "with twenty silent visitors");
        let _quick = still_echoes(&server, "with twenty silent visitors");
        settle(&check, &server, "with twenty silent visitors, after a quick one");
        let lens = server.lens();
        server.takes_no_naps(lens.as_ref(), "with twenty silent visitors");
        drop(silent);
    }

    #[rstest]
    #[case::without_a_word(b"")]
    #[case::with_last_words(b"that was all")]
    fn who_finishes_sending_gets_everything_and_the_end(#[case] last_words: &[u8]) {
        let check = check!("04-echo");
        check.likely(
            "a `read` that gives 0 says that nothing will come any more: close that connection, after \
             everything has been sent back",
            WHO_HAS_LEFT,
        );
        let server = check.server(&[]);
        let mut visitor = server.visitor("visitor");
        echoes(&server, &mut visitor, b"hello", "before it finished");
        server.program.stop();
        visitor.send(last_words);
        visitor.connection.finish_sending();
        server.program.go_on();
        let when = "after it had finished sending, and stayed to hear the rest";
        receives(&server, &mut visitor, last_words, when);
        let more = visitor.end(when);
        if !more.is_empty() {
            check.fail(format!("{when}, the visitor received {} too", quote(&more)));
        }
        settle(&check, &server, "after a visitor had finished");
        still_echoes(&server, "after a visitor had finished");
    }

    #[rstest]
    #[case::hangs_up_without_a_word(b"", Leaves::Politely)]
    #[case::hangs_up_after_a_word(b"hm", Leaves::Politely)]
    #[case::is_reset_without_a_word(b"", Leaves::ByReset)]
    #[case::is_reset_after_a_word(b"hm", Leaves::ByReset)]
    fn who_leaves_is_forgotten(#[case] word: &[u8], #[case] leaves: Leaves) {
        let check = check!("04-echo");
        check.likely(
            "who has left is ready in every turn until you close the socket: take it off the list when `read` \
             gives 0 or an error, and hand that error on to nobody. Or what `select` is asked about \
             depends on how many are there, and not on who: give it None",
            WHO_HAS_LEFT,
        );
        let server = check.server(&[]);
        let mut rude = server.visitor("rude visitor");
        echoes(&server, &mut rude, word, "before it left");
        let mut bystander = server.visitor("bystander");
        echoes(&server, &mut bystander, b"hello", "before another visitor left");
        leaves.now(rude);
        let when = format!("after a visitor {}", leaves.word());
        settle(&check, &server, &when);
        echoes(&server, &mut bystander, b"still here?", &when);
        still_echoes(&server, &when);
    }

    #[rstest]
    #[case::hangs_up(Leaves::Politely)]
    #[case::is_reset(Leaves::ByReset)]
    fn who_leaves_before_the_echo_ends_nothing(#[case] leaves: Leaves) {
        let check = check!("04-echo");
        check.likely(
            "there is nobody any more to whom its words could be sent back: a write that fails ends that visit \
             and nothing else, as does a read",
            WHO_HAS_LEFT,
        );
        let server = check.server(&[]);
        let mut bystander = server.visitor("bystander");
        echoes(&server, &mut bystander, b"hello", "at the beginning");
        let mut rude: Vec<_> = (0..3).map(|_| server.visitor("rude visitor")).collect();
        for visitor in &mut rude {
            echoes(&server, visitor, b"hm", "before it left");
        }
        server.program.stop();
        for mut visitor in rude {
            visitor.send(b"this is never heard again");
            leaves.now(visitor);
        }
        server.program.go_on();
        let when = format!("after a visitor had said something and {}", leaves.word());
        settle(&check, &server, &when);
        echoes(&server, &mut bystander, b"still here?", &when);
        still_echoes(&server, &when);
    }

    #[rstest]
    #[case::hung_up(b"", Leaves::Politely)]
    #[case::hung_up_after_a_word(b"hm", Leaves::Politely)]
    #[case::was_reset(b"", Leaves::ByReset)]
    #[case::was_reset_after_a_word(b"hm", Leaves::ByReset)]
    fn who_is_gone_before_it_is_let_in(#[case] word: &[u8], #[case] leaves: Leaves) {
        let check = check!("04-echo");
        check.likely(
            "a visitor may be gone when `accept` gives its socket: whatever fails with it then ends that visit \
             and nothing else",
            WHO_HAS_LEFT,
        );
        let server = check.server(&[]);
        let mut bystander = server.visitor("bystander");
        echoes(&server, &mut bystander, b"hello", "at the beginning");
        server.program.stop();
        for _ in 0..3 {
            let mut gone = server.visitor("visitor who is gone at once");
            gone.send(word);
            leaves.now(gone);
        }
        server.program.go_on();
        let when =
            format!("after three visitors of whom each {} before it was let in", leaves.word());
        settle(&check, &server, &when);
        echoes(&server, &mut bystander, b"still here?", &when);
        still_echoes(&server, &when);
    }

    #[rstest]
    #[case::the_first_leaves(FIRST_LEAVES)]
    #[case::the_last_leaves(LAST_LEAVES)]
    #[case::three_leave(THREE_LEAVE)]
    #[case::neighbors_leave(NEIGHBORS_LEAVE)]
    #[case::all_but_two_leave(ALL_BUT_TWO_LEAVE)]
    fn several_in_the_same_turn(#[case] turn: Turn) {
        let check = check!("04-echo");
        check.likely(
            "who is ready is looked up by position, and taking somebody off the list moves those behind: the list \
             and what `select` said must stay in step",
            THE_LOOP,
        );
        let server = check.server(&[]);
        let mut visitors: BTreeMap<usize, Guest<'_>> = BTreeMap::new();
        for number in 1..=IN_A_TURN {
            let mut visitor = server.visitor(&format!("visitor {number}"));
            echoes(&server, &mut visitor, b"hello", "at the beginning");
            visitors.insert(number, visitor);
        }
        settle(&check, &server, "with eight visitors");
        server.program.stop();
        let words = |number| format!("I am number {number}\n");
        for number in turn.talk {
            visitors.get_mut(number).expect("it's there").send(words(number).as_bytes());
        }
        for number in turn.leave {
            Leaves::Politely.now(visitors.remove(number).expect("it's there"));
        }
        let mut new = server.visitor("new visitor");
        server.program.go_on();
        let when = "when some talked, some hung up and one came, all in the same turn";
        for number in turn.talk {
            let visitor = visitors.get_mut(number).expect("it's there");
            receives(&server, visitor, words(number).as_bytes(), when);
        }
        for visitor in visitors.values_mut() {
            nothing_more(&server, visitor, when);
            echoes(&server, visitor, b"still here?", &format!("in the turn after the one {when}"));
        }
        echoes(&server, &mut new, b"am I in?", &format!("in the turn after the one {when}"));
    }

    #[test]
    fn just_a_buffers_worth() {
        let check = check!("04-echo");
        check.likely(
            "it reads until less comes than the buffer can hold: if just as much as that has come, the next read \
             waits. One read each; `select` says who has more",
            ONE_READ_EACH,
        );
        let server = check.server(&[]);
        let mut talkative: Vec<_> = (6..=15)
            .map(|power| {
                let size = 1 << power;
                (server.visitor(&format!("visitor with {size} bytes")), size)
            })
            .collect();
        settle(&check, &server, "with ten silent visitors");
        server.program.stop();
        for (visitor, size) in &mut talkative {
            visitor.send(&bytes_of_all_kinds(*size));
        }
        server.program.go_on();
        for (visitor, size) in &mut talkative {
            let bytes = bytes_of_all_kinds(*size);
            receives(
                &server,
                visitor,
                &bytes,
                "after sending 64 bytes, 128, 256 and so on at once",
            );
        }
        still_echoes(&server, "after ten visitors sent 64 bytes, 128, 256 and so on at once");
    }

    #[test]
    fn a_large_amount_comes_back_in_order() {
        let check = check!("04-echo");
        check.likely(
            "bytes are lost, changed or mixed up on their way through: send back just the bytes that came, all \
             of them, before the next read",
            ONE_READ_EACH,
        );
        let server = check.server(&[]);
        let mut talkative = server.visitor("talkative visitor");
        let bytes = bytes_of_all_kinds(300 * 1024);
        // For its first read the server finds more than any buffer is likely to hold.
        let (first, rest) = bytes.split_at(32 * 1024);
        server.program.stop();
        talkative.send(first);
        server.program.go_on();
        let stream = talkative.connection.stream().try_clone();
        let mut stream = stream.expect("this process has room for one more descriptor");
        let rest = rest.to_vec();
        // If it fails, the bytes are missing below.
        let sending = thread::spawn(move || stream.write_all(&rest));
        receives(&server, &mut talkative, &bytes, "while it sent 300 KiB, and read what came back");
        let _ = sending.join();
        nothing_more(&server, &mut talkative, "after 300 KiB had come back");
        still_echoes(&server, "after a talkative visitor");
    }

    #[test]
    fn a_signal_changes_nothing() {
        let check = check!("04-echo");
        check.likely(
            "`select` gives EINTR when a signal has come: nobody is known to be ready then, so begin a new turn",
            THE_LOOP,
        );
        let server = check.server(&[]);
        let mut visitor = server.visitor("visitor");
        echoes(&server, &mut visitor, b"hello", "before a signal");
        settle(&check, &server, "with a silent visitor");
        // Each signal ends the `select` during which it was handled. (A program that handles none goes on.)
        while server.program.handles_a_signal() {
            let when = "after a signal came while it waited";
            settle(&check, &server, when);
            still_echoes(&server, when);
            echoes(&server, &mut visitor, b"still here?", when);
        }
    }

    #[test]
    fn one_line_waits() {
        let check = check!("04-echo");
        check.likely(
            "it naps, or reads and accepts without having asked: only `select` may wait",
            THE_LOOP,
        );
        let server = check.server(&[]);
        let lens = server.lens();
        let _silent: Vec<_> = (0..3).map(|_| server.visitor("silent visitor")).collect();
        still_echoes(&server, "with three silent visitors");
        settle(&check, &server, "with three silent visitors");
        let mut slow = server.visitor("slow visitor");
        for byte in b"slow" {
            echoes(&server, &mut slow, &[*byte], "after one more byte");
        }
        for leaves in [Leaves::Politely, Leaves::ByReset] {
            let mut rude = server.visitor("rude visitor");
            echoes(&server, &mut rude, b"hm", "before it left");
            leaves.now(rude);
        }
        let crowd: Vec<_> = (0..50).map(|_| server.visitor("one of a crowd")).collect();
        settle(&check, &server, "with a crowd");
        drop(crowd);
        settle(&check, &server, "after a crowd has left");
        still_echoes(&server, "after the whole cast");
        server.waits_only_in(
            lens.as_ref(),
            &["select"],
            "with the whole cast but the greedy visitor",
        );
    }

    #[test]
    fn one_read_each() {
        let check = check!("04-echo");
        check.likely(
            "it reads until nothing is left, or accepts until nobody is at the door: whoever is faster than that has \
             the server for itself. Or it serves one a turn, always the first. One step for each who is ready; `select` \
             will name them again",
            ONE_READ_EACH,
        );
        let server = check.server(&[]);
        let lens = server.lens();
        let mut talkative = server.visitor("talkative visitor");
        let mut quick = server.visitor("quick visitor");
        echoes(&server, &mut talkative, b"hello", "at the beginning");
        echoes(&server, &mut quick, b"hello", "at the beginning");
        settle(&check, &server, "with two silent visitors");
        let bytes = bytes_of_all_kinds(32 * 1024);
        server.program.stop();
        talkative.send(&bytes);
        quick.send(b"and I?");
        let _new: Vec<_> = (1..=3).map(|_| server.visitor("new visitor")).collect();
        server.program.go_on();
        let when = "after 32 KiB at once from one visitor, a few bytes from another, and with three at the door";
        receives(&server, &mut quick, b"and I?", when);
        receives(&server, &mut talkative, &bytes, when);
        settle(&check, &server, when);
        let Some(lens) = lens else {
            return eprintln!("only played: there is no lens here to look through");
        };
        let calls = lens.calls().into_iter().map(|call| (call.call, call.descriptor, call.what));
        one_step_each(&server, calls, when);
        // Both were ready in the same turn. The first words told which descriptor is whose.
        let read_from = lens.calls().into_iter().filter(|call| family(&call.call) == "read");
        let read_from: Vec<_> = read_from.map(|call| call.descriptor).collect();
        let Some(first_of_quick) = read_from.iter().position(|from| *from != read_from[0]) else {
            return;
        };
        let (of_talkative, of_quick) = (read_from[0], read_from[first_of_quick]);
        let later = read_from[first_of_quick + 1..].iter().take_while(|from| **from != of_quick);
        let before = later.filter(|from| **from == of_talkative).count();
        if before > 1 {
            check.fail(format!(
                "{when}, it read {before} times from the talkative visitor before it read from the quick one"
            ));
        }
        // The door was ready in that turn as well.
        let calls = lens.calls();
        let is_select = |name: &str| family(name) == "select";
        let all = calls.iter().position(|call| is_select(&call.call) && call.ready.len() >= 3);
        let turn = calls[all.map_or(calls.len(), |all| all + 1)..].iter();
        let mut turn = turn.take_while(|call| !is_select(&call.call));
        if all.is_some() && !turn.any(|call| family(&call.call) == "accept") {
            check.fail(format!(
                "{when}, it served those inside, and let nobody in: with somebody who never stops talking nobody will ever come in"
            ));
        }
    }

    #[test]
    fn beyond_descriptor_1024() {
        let check = check!("04-echo");
        check.likely(
            "no set has room for a descriptor of FD_SETSIZE or more, and nix panics: look at the number before the \
             visitor comes onto the list, and close its socket if it's too high. The number counts, and not how many \
             are there; and nobody is left at the door",
            DESCRIPTOR_1024,
        );
        if let Err(reason) = visitors::crowd::make_room(1100) {
            return eprintln!("skipped: {reason}");
        }
        // Somebody who counts visitors is wrong by these.
        let server = check.server_with_open_files();
        let when = "with about as many visitors as a set has room for";
        let mut inside: Vec<Guest<'_>> = Vec::new();
        // It has a few descriptors of its own: from some visitor on, the next ones don't fit.
        loop {
            let number = inside.len() + 1;
            let mut visitor = server.visitor(&format!("visitor {number}"));
            // The server may have hung up already.
            let _ = visitor.connection.send(b"hi");
            let enough = |bytes: &[u8]| bytes.len() >= 2;
            match visitor.connection.receive_while_missing(&server.program, enough) {
                Ok(Ok(_)) if number < 1100 => inside.push(visitor),
                Ok(Ok(_)) => {
                    check.fail(format!("{number} visitors are served, in a set for 1,024"))
                }
                Ok(Err(_)) => break,
                Err((trouble, _)) => {
                    let expected = format!(
                        "{when}, the visitor {number} waits to be served, or to be hung up on"
                    );
                    check.fail_for(&expected, &trouble);
                }
            }
        }
        settle(&check, &server, "after it hung up on the first visitor who was one too many");
        let count = inside.len();
        if !(900..1024).contains(&count) {
            check.fail(format!("with {count} visitors inside, the next one was hung up on"));
        }
        for number in 1..=20 {
            let mut late = server.visitor(&format!("late visitor {number}"));
            is_hung_up_on(&server, &mut late, when);
        }
        let when = "after it hung up on those who were too many";
        settle(&check, &server, when);
        let (first, last) = (0, count - 1);
        echoes(&server, &mut inside[first], b"still here?", when);
        echoes(&server, &mut inside[last], b"still here?", when);
        inside.truncate(500);
        // Many hang-ups take a while to arrive. (Where the system can't tell who is there, the rest below must do.)
        let deadline = Instant::now() + PATIENCE;
        while visitors::doing::accepted(server.address.port()).is_some_and(|there| there > 500)
            && server.program.exit_status().is_none()
            && Instant::now() < deadline
        {
            thread::sleep(LOOK_EVERY);
        }
        settle(&check, &server, "after most of a large crowd had left");
        still_echoes(&server, "after most of a large crowd had left");
    }
}

mod room {
    use super::*;

    const EXERCISE: &str = "04-select.html#exercise-04-room";
    const MANY_BUFFERS: &str = "04-select.html#many-buffers";
    const ONE_READ_EACH: &str = "04-select.html#one-read-each";
    const THE_LOOP: &str = "04-select.html#the-loop";
    const WHO_HAS_LEFT: &str = "04-select.html#who-has-left";

    /// As in the exercise.
    const LONGEST_LINE: usize = 1024;

    /// Guest `number` comes in, and is greeted. Whoever is there already hears that.
    #[track_caller]
    fn comes<'a>(server: &'a Server<'_>, room: &mut [Guest<'a>], number: usize) -> Guest<'a> {
        let mut new = server.visitor(&format!("guest {number}"));
        let greeting = format!("you are guest {number}\n");
        receives(server, &mut new, greeting.as_bytes(), "after it came in");
        all_hear(server, room, &format!("guest {number} came\n"), "after somebody had come in");
        new
    }

    /// A room with so many guests who have been greeted. Guest `n` is the one at `n - 1`.
    #[track_caller]
    fn room_of<'a>(server: &'a Server<'_>, count: usize) -> Vec<Guest<'a>> {
        let mut room = Vec::new();
        for number in 1..=count {
            let new = comes(server, &mut room, number);
            room.push(new);
        }
        room
    }

    #[track_caller]
    fn hears(server: &Server<'_>, guest: &mut Guest<'_>, text: &str, when: &str) {
        receives(server, guest, text.as_bytes(), when);
    }

    #[track_caller]
    fn all_hear(server: &Server<'_>, guests: &mut [Guest<'_>], text: &str, when: &str) {
        for guest in guests {
            hears(server, guest, text, when);
        }
    }

    #[track_caller]
    fn all_hear_nothing_more(server: &Server<'_>, guests: &mut [Guest<'_>], when: &str) {
        for guest in guests {
            nothing_more(server, guest, when);
        }
    }

    /// The guest hears these lines, in whatever order, and nothing else.
    #[track_caller]
    fn hears_in_any_order(
        server: &Server<'_>,
        guest: &mut Guest<'_>,
        mut lines: Vec<String>,
        when: &str,
    ) {
        let name = guest.connection.name().to_owned();
        while !lines.is_empty() {
            let whole = |bytes: &[u8]| bytes.contains(&b'\n');
            let waits = format!("{when}, the {name} waits for {:?}", lines[0]);
            let bytes = match guest.connection.receive_while_missing(&server.program, whole) {
                Ok(Ok(bytes)) => bytes,
                Ok(Err(Received { bytes, .. })) => server.fail_seeing(&format!(
                    "{waits}, and its connection ended ({})",
                    so_far(&bytes)
                )),
                Err((trouble, bytes)) => {
                    server.check.fail_for(&format!("{waits} ({})", so_far(&bytes)), &trouble)
                }
            };
            let end =
                bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
            guest.connection.give_back(&bytes[end..]);
            match lines.iter().position(|line| line.as_bytes() == &bytes[..end]) {
                Some(index) => drop(lines.remove(index)),
                None => {
                    let got = quote(&bytes[..end]);
                    server.check.fail(format!(
                        "{when}, the {name} received {got}, which is not among {lines:?}"
                    ));
                }
            }
        }
        nothing_more(server, guest, when);
    }

    #[test]
    fn a_line_reaches_all_others() {
        let check = check!("04-room");
        check.likely(
            "a line is to reach each guest once, as `guest N: LINE` with N for the one who said it; but that \
             one knows already",
            EXERCISE,
        );
        let server = check.server(&[]);
        let mut room = room_of(&server, 3);
        room[1].send(b"good things come\n");
        hears(&server, &mut room[0], "guest 2: good things come\n", "after a line from guest 2");
        hears(&server, &mut room[2], "guest 2: good things come\n", "after a line from guest 2");
        room[0].send(b"to whom?\n");
        hears(&server, &mut room[1], "guest 1: to whom?\n", "after a line from guest 1");
        hears(&server, &mut room[2], "guest 1: to whom?\n", "after a line from guest 1");
        all_hear_nothing_more(&server, &mut room, "after a line from guest 2 and one from guest 1");
    }

    #[rstest]
    #[case::two(2)]
    #[case::byte_by_byte(usize::MAX)]
    fn a_line_in_pieces(#[case] pieces: usize) {
        let check = check!("04-room");
        check.likely(
            "it takes each `read` for a line: keep what comes until there is a line end in it",
            MANY_BUFFERS,
        );
        let server = check.server(&[]);
        let mut room = room_of(&server, 2);
        for _ in 0..2 {
            room[0].send_in_pieces(b"good things come", pieces);
            nothing_more(&server, &mut room[1], "after a line from guest 1, all but its end");
            room[0].send(b"\n");
            hears(
                &server,
                &mut room[1],
                "guest 1: good things come\n",
                "after a line from guest 1 in pieces",
            );
        }
        all_hear_nothing_more(&server, &mut room, "after two lines in pieces");
    }

    #[test]
    fn several_lines_in_one_piece() {
        let check = check!("04-room");
        check.likely(
            "it takes one line out of a piece, and loses the others, or leaves them until more comes: take all \
             that are whole, and keep what follows the last line end",
            MANY_BUFFERS,
        );
        let server = check.server(&[]);
        let mut room = room_of(&server, 2);
        room[0].send(b"one\ntwo\n\nand a ha");
        let when = "after three lines and a part of the next, in one piece from guest 1";
        hears(&server, &mut room[1], "guest 1: one\nguest 1: two\nguest 1: \n", when);
        nothing_more(&server, &mut room[1], when);
        room[0].send(b"lf\nfive\n");
        hears(
            &server,
            &mut room[1],
            "guest 1: and a half\nguest 1: five\n",
            "after the rest of that line, and one more",
        );
        all_hear_nothing_more(&server, &mut room, "after five lines");
    }

    #[test]
    fn many_short_lines_are_no_long_one() {
        let check = check!("04-room");
        check.likely(
            "LONGEST_LINE is meant for one line, and it is held against all that has come: first take out the \
             lines that are whole",
            EXERCISE,
        );
        let server = check.server(&[]);
        let mut room = room_of(&server, 2);
        server.program.stop();
        let lines: Vec<String> = (1..=400).map(|number| format!("line {number}\n")).collect();
        room[0].send(lines.concat().as_bytes());
        server.program.go_on();
        let heard: Vec<String> = lines.iter().map(|line| format!("guest 1: {line}")).collect();
        let when = "after 400 short lines at once from guest 1";
        hears(&server, &mut room[1], &heard.concat(), when);
        all_hear_nothing_more(&server, &mut room, when);
    }

    #[test]
    fn line_ends_of_both_kinds() {
        let check = check!("04-room");
        check.likely(
            "a line ends with \\n, and one \\r right before that belongs to its end; any other byte belongs to the line",
            EXERCISE,
        );
        let server = check.server(&[]);
        let mut room = room_of(&server, 2);
        room[0].send(b"from telnet\r\n from nc, with spaces \na\rb\r\r\n\r\n");
        let when = "after four lines from guest 1, with line ends of both kinds";
        let heard =
            "guest 1: from telnet\nguest 1:  from nc, with spaces \nguest 1: a\rb\r\nguest 1: \n";
        hears(&server, &mut room[1], heard, when);
        room[0].send_in_pieces(b"cut\r", 1);
        nothing_more(&server, &mut room[1], "after a line from guest 1 without its last byte");
        room[0].send(b"\n");
        let when = "after a line from guest 1 whose end came in two pieces";
        hears(&server, &mut room[1], "guest 1: cut\n", when);
        all_hear_nothing_more(&server, &mut room, when);
    }

    #[test]
    fn not_everything_is_text() {
        let check = check!("04-room");
        check.likely(
            "it insists that a line is text, or makes text of it: pass on the bytes that came",
            EXERCISE,
        );
        let server = check.server(&[]);
        let mut room = room_of(&server, 2);
        let mut line: Vec<u8> = (0..=255).filter(|byte| !b"\r\n".contains(byte)).collect();
        line.extend_from_slice(b"\xc3\n");
        room[0].send_in_pieces(&line, line.len() / 7);
        let heard = [b"guest 1: ", &line[..]].concat();
        let when = "after a line of bytes that are no text";
        receives(&server, &mut room[1], &heard, when);
        all_hear_nothing_more(&server, &mut room, when);
    }

    #[test]
    fn two_type_at_the_same_time() {
        let check = check!("04-room");
        check.likely(
            "what has come of a line is kept in one place for all: each guest has its own `heard`",
            MANY_BUFFERS,
        );
        let server = check.server(&[]);
        let mut room = room_of(&server, 3);
        for (of_one, of_other) in b"good things".chunks(2).zip(b"come slowly".chunks(2)) {
            room[0].send_in_pieces(of_one, 1);
            room[1].send_in_pieces(of_other, 1);
        }
        nothing_more(
            &server,
            &mut room[2],
            "while guests 1 and 2 typed, two letters each in turns",
        );
        let when = "after guests 1 and 2 had typed, two letters each in turns";
        room[0].send(b"\n");
        hears(&server, &mut room[2], "guest 1: good things\n", when);
        room[1].send(b"\n");
        hears(&server, &mut room[2], "guest 2: come slowly\n", when);
    }

    #[test]
    fn half_a_line_holds_up_nobody() {
        let check = check!("04-room");
        check.likely(
            "it reads on until a line is whole: a second read waits, and everybody with it. Keep what has come, \
             and return",
            ONE_READ_EACH,
        );
        let server = check.server(&[]);
        let mut room = room_of(&server, 3);
        room[0].send_in_pieces(b"let me thi", 1);
        settle(&check, &server, "with guest 1 in the middle of a line");
        room[1].send(b"hello\n");
        let when = "after a line from guest 2, with guest 1 in the middle of one";
        hears(&server, &mut room[0], "guest 2: hello\n", when);
        hears(&server, &mut room[2], "guest 2: hello\n", when);
        room[0].send(b"nk\n");
        let when = "when guest 1 had finished its line";
        hears(&server, &mut room[1], "guest 1: let me think\n", when);
        hears(&server, &mut room[2], "guest 1: let me think\n", when);
    }

    #[rstest]
    #[case::hangs_up(Leaves::Politely)]
    #[case::is_reset(Leaves::ByReset)]
    fn leaving_is_told_once(#[case] leaves: Leaves) {
        let check = check!("04-room");
        check.likely(
            "a guest who has left is ready in every turn: take it off the list when `read` gives 0 or an error, \
             and tell the others once. If your program is inside recvfrom, it reads a guest who isn't ready: `ready` goes \
             by position, and taking somebody off the list moves those behind",
            WHO_HAS_LEFT,
        );
        let server = check.server(&[]);
        let mut room = room_of(&server, 3);
        leaves.now(room.remove(1));
        let when = format!("after guest 2 {}", leaves.word());
        all_hear(&server, &mut room, "guest 2 left\n", &when);
        all_hear_nothing_more(&server, &mut room, &when);
        room[0].send(b"who was that?\n");
        hears(&server, &mut room[1], "guest 1: who was that?\n", &when);
        all_hear_nothing_more(&server, &mut room, &when);
        let mut new = comes(&server, &mut room, 4);
        new.send(b"hello\n");
        all_hear(&server, &mut room, "guest 4: hello\n", &when);
    }

    #[rstest]
    #[case::half_a_line_before("bye", false)]
    #[case::half_a_line_together("bye", true)]
    #[case::a_whole_line_together("bye\n", true)]
    #[case::a_line_and_a_half_together("well\nbye", true)]
    #[case::nothing("", true)]
    fn last_words_are_heard(#[case] words: &str, #[case] together: bool) {
        let check = check!("04-room");
        check.likely(
            "what a guest has said without a line end lies in `heard` when it leaves: that is its last line, if it \
             isn't empty. The others hear it, and then that the guest left",
            WHO_HAS_LEFT,
        );
        let server = check.server(&[]);
        let mut room = room_of(&server, 3);
        let mut leaving = room.remove(0);
        if together {
            server.program.stop();
            leaving.send(words.as_bytes());
        } else {
            leaving.send_in_pieces(words.as_bytes(), 1);
            settle(&check, &server, "with guest 1 in the middle of a line");
        }
        drop(leaving);
        server.program.go_on();
        let when = format!("after guest 1 said {words:?} and hung up");
        let mut heard = String::new();
        for line in words.lines() {
            heard.push_str(&format!("guest 1: {line}\n"));
        }
        heard.push_str("guest 1 left\n");
        all_hear(&server, &mut room, &heard, &when);
        all_hear_nothing_more(&server, &mut room, &when);
    }

    #[test]
    fn who_finishes_sending_has_left() {
        let check = check!("04-room");
        check.likely(
            "a guest that has finished sending is to leave the room, and so its socket is to be closed: is it kept \
             somewhere else?",
            WHO_HAS_LEFT,
        );
        let server = check.server(&[]);
        let mut room = room_of(&server, 3);
        let mut leaving = room.remove(0);
        leaving.send(b"that was all");
        leaving.connection.finish_sending();
        let when = "after guest 1 said something and finished sending";
        all_hear(&server, &mut room, "guest 1: that was all\nguest 1 left\n", when);
        let heard = leaving.end(when);
        if !heard.is_empty() {
            check.fail(format!("{when}, it received {} before the end", quote(&heard)));
        }
        all_hear_nothing_more(&server, &mut room, when);
    }

    #[test]
    fn a_reset_in_the_middle_of_a_line() {
        let check = check!("04-room");
        check.likely(
            "after a reset `read` gives an error: it ends that guest's visit, as a hang-up does, and nothing else",
            WHO_HAS_LEFT,
        );
        let server = check.server(&[]);
        let mut room = room_of(&server, 3);
        let mut rude = room.remove(1);
        rude.send_in_pieces(b"I was about to sa", 1);
        settle(&check, &server, "with guest 2 in the middle of a line");
        rude.connection.reset();
        let when = "after a reset in the middle of a line from guest 2";
        all_hear(&server, &mut room, "guest 2: I was about to sa\nguest 2 left\n", when);
        all_hear_nothing_more(&server, &mut room, when);
        room[1].send(b"what?\n");
        hears(&server, &mut room[0], "guest 3: what?\n", when);
    }

    #[rstest]
    #[case::hung_up(Leaves::Politely)]
    #[case::was_reset(Leaves::ByReset)]
    fn a_guest_who_is_gone_before_it_is_greeted(#[case] leaves: Leaves) {
        let check = check!("04-room");
        check.likely(
            "a guest may be gone when it comes onto the list: whatever fails with its socket ends its visit and \
             nothing else",
            WHO_HAS_LEFT,
        );
        let server = check.server(&[]);
        let mut room = room_of(&server, 2);
        server.program.stop();
        leaves.now(server.visitor("guest 3"));
        server.program.go_on();
        let when = format!("after guest 3 {} before it was greeted", leaves.word());
        all_hear(&server, &mut room, "guest 3 came\nguest 3 left\n", &when);
        all_hear_nothing_more(&server, &mut room, &when);
        room[0].send(b"who was that?\n");
        hears(&server, &mut room[1], "guest 1: who was that?\n", &when);
    }

    #[test]
    fn a_guest_who_is_gone_while_others_talk() {
        let check = check!("04-room");
        check.likely(
            "telling something to a guest who is gone fails: that must end nothing, and it hasn't left before a \
             read from it has said so",
            WHO_HAS_LEFT,
        );
        let server = check.server(&[]);
        let mut room = room_of(&server, 3);
        // In one turn guest 2 has said something, and is there for all one knows. The first line that it is told
        // brings a reset, and the second fails.
        server.program.stop();
        room[0].send(&b"do you hear me?\n".repeat(50));
        let mut gone = room.remove(1);
        gone.send(b"bye");
        drop(gone);
        server.program.go_on();
        let when = "after 50 lines from guest 1, to a guest 2 who said \"bye\" and hung up";
        let mut lines = vec!["guest 1: do you hear me?\n".to_owned(); 50];
        lines.extend(["guest 2: bye\n".to_owned(), "guest 2 left\n".to_owned()]);
        hears_in_any_order(&server, &mut room[1], lines, when);
        let lines = vec!["guest 2: bye\n".to_owned(), "guest 2 left\n".to_owned()];
        hears_in_any_order(&server, &mut room[0], lines, when);
    }

    #[test]
    fn a_guest_who_is_gone_while_another_is_told() {
        let check = check!("04-room");
        check.likely(
            "a guest who couldn't be told something was taken off the list, and the others don't know: it hasn't left \
             before a read from it has said so, and then they are told",
            WHO_HAS_LEFT,
        );
        let server = check.server(&[]);
        let mut room = room_of(&server, 4);
        // Guest 2 doesn't read: the server waits until it does, in the middle of telling everybody.
        let line = format!("{}\n", "x".repeat(LONGEST_LINE - 1));
        let lines = 8000;
        let mut speaker =
            room[0].connection.stream().try_clone().expect("there are descriptors left");
        let all = line.repeat(lines);
        let speaks =
            thread::spawn(move || drop(std::io::Write::write_all(&mut speaker, all.as_bytes())));
        settle(&check, &server, "with a guest 2 that doesn't read what guest 1 says");
        let mut hearing = room.remove(3);
        room.remove(2).connection.reset();
        // Now guest 2 reads, as fast as it comes.
        let slow = room.remove(1).connection.stream().try_clone();
        let mut slow = slow.expect("there are descriptors left");
        slow.set_read_timeout(None).expect("it may wait");
        let reads = thread::spawn(move || drop(std::io::copy(&mut slow, &mut std::io::sink())));
        let when = "after a reset by guest 3, while guest 2 was being told something";
        let left = b"guest 3 left\n";
        let times = |bytes: &[u8]| bytes.windows(left.len()).filter(|words| words == left).count();
        // The last of the lines, and that somebody has left: in whatever order.
        let heard = format!("guest 1: {line}").len() * lines + left.len();
        let told = |bytes: &[u8]| bytes.len() >= heard;
        match hearing.connection.receive_while_missing(&server.program, told) {
            Ok(Ok(bytes)) if times(&bytes) == 1 => {}
            Ok(Ok(bytes)) => {
                let times = times(&bytes);
                check.fail(format!("{when}, guest 4 heard {times} times that guest 3 left"));
            }
            Ok(Err(_)) => server.fail_seeing(&format!("{when}, the server hung up on guest 4")),
            Err((trouble, bytes)) => {
                let count = bytes.len();
                let waits = format!(
                    "{when}, guest 4 waits to hear that guest 3 left ({count} bytes have come)"
                );
                check.fail_for(&waits, &trouble);
            }
        }
        drop(room);
        drop(server);
        let _ = reads.join();
        let _ = speaks.join();
    }

    #[rstest]
    #[case::the_first_leaves(FIRST_LEAVES)]
    #[case::the_last_leaves(LAST_LEAVES)]
    #[case::three_leave(THREE_LEAVE)]
    #[case::neighbors_leave(NEIGHBORS_LEAVE)]
    #[case::all_but_two_leave(ALL_BUT_TWO_LEAVE)]
    fn several_in_the_same_turn(#[case] turn: Turn) {
        let check = check!("04-room");
        check.likely(
            "`ready` goes by position, and taking a guest off the list moves those behind it: the two must stay in \
             step. Or a guest is given up because it couldn't be told something: a later read will say so",
            THE_LOOP,
        );
        let server = check.server(&[]);
        let room = room_of(&server, IN_A_TURN);
        settle(&check, &server, "with eight guests");
        server.program.stop();
        let mut stay = Vec::new();
        for (index, mut guest) in room.into_iter().enumerate() {
            let number = index + 1;
            if turn.talk.contains(&number) {
                guest.send(b"hello\n");
            }
            match turn.leave.contains(&number) {
                true => Leaves::Politely.now(guest),
                false => stay.push((number, guest)),
            }
        }
        server.program.go_on();
        let when = "when some talked and some hung up, all in the same turn";
        for (number, guest) in &mut stay {
            let others = turn.talk.iter().filter(|talker| *talker != number);
            let mut lines: Vec<String> =
                others.map(|talker| format!("guest {talker}: hello\n")).collect();
            lines.extend(turn.leave.iter().map(|leaver| format!("guest {leaver} left\n")));
            hears_in_any_order(&server, guest, lines, when);
        }
    }

    #[rstest]
    #[case::just_short_enough(b"\n")]
    #[case::just_short_enough_with_the_longer_end(b"\r\n")]
    fn a_long_line(#[case] end: &[u8]) {
        let check = check!("04-room");
        check.likely("LONGEST_LINE bytes are allowed, and the line's end isn't counted", EXERCISE);
        let server = check.server(&[]);
        let mut room = room_of(&server, 2);
        let text = "x".repeat(LONGEST_LINE);
        let when = format!("after a line of {LONGEST_LINE} bytes, which ends with {end:?}");
        let heard = format!("guest 1: {text}\n");
        room[0].send(&[text.as_bytes(), end].concat());
        hears(&server, &mut room[1], &heard, &when);
        // Once more, with a pause after each byte of the end.
        room[0].send_in_pieces(text.as_bytes(), 3);
        for byte in end {
            nothing_more(&server, &mut room[1], "after a long line from guest 1, all but its end");
            room[0].send_in_pieces(&[*byte], 1);
        }
        hears(&server, &mut room[1], &heard, &when);
        all_hear_nothing_more(&server, &mut room, &when);
    }

    #[rstest]
    #[case::with_its_end(LONGEST_LINE + 1, b"\n", 1)]
    #[case::without_its_end(LONGEST_LINE + 1, b"", 1)]
    #[case::far_too_long(3 * LONGEST_LINE, b"\nand more\n", 1)]
    #[case::in_pieces(LONGEST_LINE + 1, b"", 5)]
    #[case::of_returns(0, &[b'\r'; LONGEST_LINE + 2], 1)]
    fn a_line_too_long(#[case] length: usize, #[case] end: &[u8], #[case] pieces: usize) {
        let check = check!("04-room");
        check.likely(
            "it keeps whatever comes: a guest who sends more than LONGEST_LINE bytes of a line is to be thrown out, \
             whether its end has come or not. Nothing of that line is passed on, and the lines before it are",
            "04-select.html#many-buffers",
        );
        let server = check.server(&[]);
        let mut room = room_of(&server, 3);
        let mut talkative = room.remove(0);
        // A line before it is as good as any.
        let text = ["well\n".as_bytes(), &vec![b'x'; length], end].concat();
        talkative.send_in_pieces(&text, pieces);
        let when = match length {
            0 => "after more carriage returns from guest 1 than a line may have bytes".to_owned(),
            _ => format!("after {length} bytes of one line from guest 1"),
        };
        all_hear(&server, &mut room, "guest 1: well\nguest 1 left\n", &when);
        is_hung_up_on(&server, &mut talkative, &when);
        all_hear_nothing_more(&server, &mut room, &when);
        room[0].send(b"where were we?\n");
        hears(&server, &mut room[1], "guest 2: where were we?\n", &when);
    }

    #[test]
    fn who_comes_next_has_a_fresh_start() {
        let check = check!("04-room");
        check.likely(
            "the next guest's socket has the descriptor of the one who left: what is kept by that number belongs to \
             somebody else. Keep it in the guest",
            MANY_BUFFERS,
        );
        let server = check.server(&[]);
        let mut room = room_of(&server, 1);
        let rude = comes(&server, &mut room, 2);
        let (mut rude, mut number) = (rude, 2);
        for leaves in [Leaves::ByReset, Leaves::Politely] {
            rude.send_in_pieces(b"half a li", 1);
            settle(&check, &server, "with a guest in the middle of a line");
            leaves.now(rude);
            let heard = format!("guest {number}: half a li\nguest {number} left\n");
            let when = format!("after guest {number} {} in the middle of a line", leaves.word());
            hears(&server, &mut room[0], &heard, &when);
            number += 1;
            rude = comes(&server, &mut room, number);
            rude.send(b"good day\n");
            let when = "after the first line of the guest who came next";
            hears(&server, &mut room[0], &format!("guest {number}: good day\n"), when);
        }
        all_hear_nothing_more(&server, &mut room, "after all had said what they had to say");
    }

    #[test]
    fn one_line_waits() {
        let check = check!("04-room");
        check.likely(
            "it gives a guest some time to finish a line, or naps: only `select` may wait",
            THE_LOOP,
        );
        let server = check.server(&[]);
        let lens = server.lens();
        let mut room = room_of(&server, 3);
        room[0].send_in_pieces(b"good things", 4);
        settle(&check, &server, "with guest 1 in the middle of a line");
        room[1].send(b"hello\n");
        hears(&server, &mut room[2], "guest 2: hello\n", "after a line from guest 2");
        room[0].send(b"\n");
        hears(&server, &mut room[2], "guest 1: good things\n", "after a line from guest 1");
        let rude = room.remove(1);
        rude.connection.reset();
        settle(&check, &server, "after guest 2 was reset");
        drop(room.remove(0));
        settle(&check, &server, "after guest 1 hung up");
        hears(&server, &mut room[0], "guest 2 left\nguest 1 left\n", "after both others had left");
        server.waits_only_in(lens.as_ref(), &["select"], "with three guests, of whom two left");
    }

    #[test]
    fn one_read_each() {
        let check = check!("04-room");
        check.likely(
            "it reads until nothing is left: whoever sends faster than that has the room for itself. Read once; \
             `select` will name that guest again",
            ONE_READ_EACH,
        );
        let server = check.server(&[]);
        let lens = server.lens();
        let mut room = room_of(&server, 2);
        let line = format!("{}\n", "x".repeat(99));
        server.program.stop();
        room[0].send(line.repeat(300).as_bytes());
        server.program.go_on();
        let when = "after 300 long lines at once from guest 1";
        hears(&server, &mut room[1], &format!("guest 1: {line}").repeat(300), when);
        settle(&check, &server, when);
        let Some(lens) = lens else {
            return eprintln!("only played: there is no lens here to look through");
        };
        let calls = lens.calls().into_iter().map(|call| (call.call, call.descriptor, call.what));
        one_step_each(&server, calls, when);
    }
}
