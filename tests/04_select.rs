//! The graded checks of chapter 4. The judged program is the server; the check plays its visitors.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use grader::bytes::{expect_end, narrow_visitor};
use grader::check;
use grader::check::{Check, Guest, Server, so_far};
use nix::sys::socket::{MsgFlags, send};
use rstest::rstest;
use visitors::calls::family;
use visitors::connection::{Connection, End, Received};
use visitors::program::{LOOK_EVERY, PATIENCE, Trouble};

/// Waits until the server has done all that it can do with the visitors that it has.
#[track_caller]
fn settle(check: &Check, server: &Server<'_>, when: &str) {
    if let Err(trouble) = server.program.settled() {
        if let Trouble::Spinning = trouble {
            check.suspect("waits-for-a-while-only");
        }
        check.fail_for(&format!("{when}, your program was to wait"), &trouble);
    }
}

/// The same after somebody has left, `by_reset` or politely.
#[track_caller]
fn settle_without(check: &Check, server: &Server<'_>, by_reset: bool, when: &str) {
    if let Err(trouble) = server.program.settled() {
        check.suspect(match trouble {
            Trouble::Ended { .. } if by_reset => "failed-read-ends-everything",
            _ => "end-not-noticed",
        });
        check.fail_for(&format!("{when}, your program was to wait"), &trouble);
    }
}

/// So many visits are one lot, when what is left of them is looked for.
const A_LOT: usize = 600;

/// A visit as short as can be, for when thousands are needed: the visitor says something, finishes sending, and has to get
/// `expected` and the end.
#[track_caller]
fn a_short_visit(server: &Server<'_>, words: &[u8], expected: impl Fn(&[u8]) -> bool) {
    let visit = || -> io::Result<Vec<u8>> {
        let visitor = Connection::connect(server.address, "one of many visitors")?;
        let mut stream = visitor.stream();
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(words)?;
        visitor.finish_sending();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard)?;
        Ok(heard)
    };
    match visit() {
        Ok(heard) if expected(&heard) => {}
        Ok(heard) => {
            server.fail_seeing(&format!("one of many visitors received {}", quote(&heard)))
        }
        Err(error) => server.fail_seeing(&format!("one of many visitors failed: {error}")),
    }
}

/// Each who is ready has to be read from, or accepted, before the program asks again who is ready. (That it's
/// done once only is what [`one_step_each`] looks at.) Each of `calls` is a call's name, its descriptor, and how
/// many were ready.
#[track_caller]
fn all_who_are_ready(
    check: &Check,
    calls: impl Iterator<Item = (String, Option<i64>, usize)>,
    when: &str,
) {
    let mut ready = 0;
    let (mut read, mut accepted) = (BTreeSet::new(), BTreeSet::new());
    for (call, descriptor, now_ready) in calls {
        match family(&call) {
            "select" | "poll" | "epoll_wait" => {
                let (from, of_the_door) = (read.len(), accepted.len());
                if from + of_the_door < ready {
                    check.suspect("serves-not-all-who-are-ready");
                    check.fail(format!(
                        "{when}, in one turn {ready} descriptors were ready, and your program read from {from} of them \
                         and accepted from {of_the_door}"
                    ));
                }
                ready = now_ready;
                read.clear();
                accepted.clear();
            }
            "read" => drop(read.insert(descriptor)),
            "accept" => drop(accepted.insert(descriptor)),
            _ => {}
        }
    }
}

/// Sends one byte out of band, as Telnet does when somebody presses its key for an interruption.
fn send_urgently(visitor: &Guest<'_>, byte: u8) {
    // Where it can't be sent, nobody is disturbed by it.
    let _ = send(visitor.connection.stream().as_raw_fd(), &[byte], MsgFlags::MSG_OOB);
}

/// Bytes in words, be they text or not.
fn quote(bytes: &[u8]) -> String {
    let text = bytes[..bytes.len().min(60)].escape_ascii();
    format!("\"{text}\"{}", if bytes.len() > 60 { " …" } else { "" })
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
            if server.check.exercise() == "04-echo" {
                let is_there = bytes.windows(expected.len()).any(|words| words == expected);
                server.check.suspect(if is_there { "more-than-was-read" } else { "bytes-changed" });
            }
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
    nothing_is_there(server, visitor, when);
}

/// As [`nothing_more`], where the program is known to have done what it can.
#[track_caller]
fn nothing_is_there(server: &Server<'_>, visitor: &mut Guest<'_>, when: &str) {
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
            if did.starts_with("accepted") {
                server.check.suspect("accepts-more-than-once");
            }
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
        check.suspect("not-everybody-in-the-set");
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
        check.suspect("waits-for-more-than-has-come");
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
        check.suspect("reads-who-is-not-ready");
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
        check.suspect("set-not-made-anew");
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
        check.suspect("sent-to-others");
        server.program.stop();
        let words = |index: usize| format!("all at once: number {}\n", index + 1);
        for (index, visitor) in visitors.iter_mut().enumerate() {
            visitor.send(words(index).as_bytes());
        }
        server.program.go_on();
        for (index, visitor) in visitors.iter_mut().enumerate() {
            let when = "when two hundred visitors spoke in the same turn";
            receives(&server, visitor, words(index).as_bytes(), when);
        }
        settle(&check, &server, "after two hundred visitors spoke in the same turn");
        for visitor in &mut visitors {
            nothing_is_there(&server, visitor, "after two hundred visitors spoke in the same turn");
        }
    }

    #[test]
    fn nobody_hears_another() {
        let check = check!("04-echo");
        check.suspect("sent-to-others");
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
        check.suspect("waits-for-a-while-only");
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
    #[case::with_many_last_words(&[b'z'; 20_000])]
    fn who_finishes_sending_gets_everything_and_the_end(#[case] last_words: &[u8]) {
        let check = check!("04-echo");
        check.suspect("end-not-noticed");
        let server = check.server(&[]);
        let mut visitor = server.visitor("visitor");
        echoes(&server, &mut visitor, b"hello", "before it finished");
        server.program.stop();
        visitor.send(last_words);
        visitor.connection.finish_sending();
        server.program.go_on();
        let when = "after it had finished sending, and stayed to hear the rest";
        receives(&server, &mut visitor, last_words, when);
        if server.program.settled().is_ok() && !visitor.connection.readable_within(Duration::ZERO) {
            // It knows that this one has left, or it would find it ready again and again.
            check.suspect("leaves-descriptors-open");
        }
        let more = visitor.end(when);
        if !more.is_empty() {
            check.suspect("more-than-was-read");
            check.fail(format!("{when}, the visitor received {} too", quote(&more)));
        }
        settle(&check, &server, "after a visitor had finished");
        check.suspect("end-not-noticed");
        still_echoes(&server, "after a visitor had finished");
    }

    #[rstest]
    #[case::hangs_up_without_a_word(b"", Leaves::Politely)]
    #[case::hangs_up_after_a_word(b"hm", Leaves::Politely)]
    #[case::is_reset_without_a_word(b"", Leaves::ByReset)]
    #[case::is_reset_after_a_word(b"hm", Leaves::ByReset)]
    fn who_leaves_is_forgotten(#[case] word: &[u8], #[case] leaves: Leaves) {
        let check = check!("04-echo");
        check.suspect("stays-on-the-list");
        let server = check.server(&[]);
        let mut rude = server.visitor("rude visitor");
        echoes(&server, &mut rude, word, "before it left");
        let mut bystander = server.visitor("bystander");
        echoes(&server, &mut bystander, b"hello", "before another visitor left");
        leaves.now(rude);
        let when = format!("after a visitor {}", leaves.word());
        settle_without(&check, &server, leaves == Leaves::ByReset, &when);
        echoes(&server, &mut bystander, b"still here?", &when);
        still_echoes(&server, &when);
    }

    #[rstest]
    #[case::hangs_up(Leaves::Politely)]
    #[case::is_reset(Leaves::ByReset)]
    fn who_leaves_before_the_echo_ends_nothing(
        #[case] leaves: Leaves,
        #[values(1, 800)] times: usize,
    ) {
        let check = check!("04-echo");
        check.suspect("failed-write-ends-everything");
        let server = check.server(&[]);
        let mut bystander = server.visitor("bystander");
        echoes(&server, &mut bystander, b"hello", "at the beginning");
        let mut rude: Vec<_> = (0..3).map(|_| server.visitor("rude visitor")).collect();
        for visitor in &mut rude {
            echoes(&server, visitor, b"hm", "before it left");
        }
        server.program.stop();
        for mut visitor in rude {
            visitor.send(&b"this is never heard again".repeat(times));
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
        check.suspect("gone-visitor-ends-it");
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
        check.suspect("out-of-step");
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
        check.suspect("reads-more-than-once");
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
        check.suspect("bytes-changed");
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
        check.suspect("signal-taken-for-an-error");
        let server = check.server(&[]);
        let mut visitor = server.visitor("visitor");
        echoes(&server, &mut visitor, b"hello", "before a signal");
        settle(&check, &server, "with a silent visitor");
        // Each signal ends the `select` during which it was handled. (A program that handles none goes on.)
        while server.program.handles_a_signal() {
            let when = "after a signal came while it waited";
            check.suspect("signal-taken-for-an-error");
            settle(&check, &server, when);
            check.suspect("signal-taken-for-news");
            still_echoes(&server, when);
            echoes(&server, &mut visitor, b"still here?", when);
        }
    }

    #[test]
    fn one_line_waits() {
        let check = check!("04-echo");
        check.suspect("waits-elsewhere");
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
        check.suspect("reads-more-than-once");
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
            return visitors::skipped("there is no lens here to look through");
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
            check.suspect("serves-not-all-who-are-ready");
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
            check.suspect("serves-not-all-who-are-ready");
            check.fail(format!(
                "{when}, it served those inside, and let nobody in: with somebody who never stops talking nobody will ever come in"
            ));
        }
    }

    #[test]
    fn everybody_in_each_turn() {
        let check = check!("04-echo");
        check.suspect("serves-not-all-who-are-ready");
        let server = check.server(&[]);
        let lens = server.lens();
        let mut visitors: Vec<_> =
            (1..=7).map(|number| server.visitor(&format!("visitor {number}"))).collect();
        for visitor in &mut visitors {
            echoes(&server, visitor, b"hello", "at the beginning");
        }
        let leaving = visitors.remove(0);
        settle(&check, &server, "with seven silent visitors");
        server.program.stop();
        let bytes = bytes_of_all_kinds(12_000);
        for visitor in &mut visitors {
            visitor.send(&bytes);
        }
        Leaves::Politely.now(leaving);
        let mut new: Vec<_> =
            (1..=3).map(|number| server.visitor(&format!("new visitor {number}"))).collect();
        server.program.go_on();
        let when = "after 12,000 bytes from each of six, with one gone and three at the door";
        for visitor in &mut visitors {
            receives(&server, visitor, &bytes, when);
        }
        for visitor in &mut new {
            echoes(&server, visitor, b"am I in?", when);
        }
        settle(&check, &server, when);
        let Some(lens) = lens else {
            return visitors::skipped("there is no lens here to look through");
        };
        let calls = lens.calls().into_iter();
        let calls = calls.map(|call| (call.call, call.descriptor, call.ready.len()));
        all_who_are_ready(&check, calls, when);
    }

    #[test]
    fn who_reads_late_gets_everything() {
        let check = check!("04-echo");
        check.suspect("gives-up-a-slow-reader");
        let server = check.server(&[]);
        let mut late = narrow_visitor(&server, "visitor who reads late");
        let bytes = bytes_of_all_kinds(600 * 1024);
        let mut stream = late.stream().try_clone().expect("there are descriptors left");
        let all = bytes.clone();
        // If it fails, the bytes are missing below.
        let sending = thread::spawn(move || {
            let _ = stream.write_all(&all);
            let _ = stream.shutdown(std::net::Shutdown::Write);
        });
        settle(&check, &server, "with a visitor who sends and doesn't read");
        // Who is stopped in the middle of a write goes on with the rest of it.
        server.program.interrupt();
        let when = "after it had sent what it could of 600 KiB, and began to read only then";
        expect_end(&server, &mut late, &bytes, when);
        let _ = sending.join();
        still_echoes(&server, "after a visitor who read late");
    }

    #[test]
    fn an_urgent_byte_disturbs_nobody() {
        let check = check!("04-echo");
        check.suspect("asks-for-exceptions-too");
        let server = check.server(&[]);
        let mut urgent = server.visitor("urgent visitor");
        let mut bystander = server.visitor("bystander");
        echoes(&server, &mut urgent, b"hello", "at the beginning");
        echoes(&server, &mut bystander, b"hello", "at the beginning");
        send_urgently(&urgent, b'!');
        let when = "after another visitor had sent a byte out of band";
        settle(&check, &server, when);
        echoes(&server, &mut bystander, b"still here?", when);
        still_echoes(&server, when);
        // Whether the urgent byte comes back with the others is left to the kernel.
        urgent.send(b"and on");
        let enough = |bytes: &[u8]| bytes.ends_with(b"and on");
        let heard = urgent.connection.receive_while_missing(&server.program, enough);
        if !matches!(heard, Ok(Ok(_))) {
            server.fail_seeing(
                "after a byte out of band and some words, the urgent visitor waits for them",
            );
        }
        settle(&check, &server, "after a byte out of band and some words");
    }

    #[test]
    fn nothing_is_kept() {
        let check = check!("04-echo");
        check.suspect("keeps-those-who-left");
        let server = check.server(&[]);
        server.keeps_nothing(A_LOT, "visitors", |_| {
            for _ in 0..A_LOT {
                a_short_visit(&server, b"hello", |heard| heard == b"hello");
            }
            for _ in 0..5 {
                let mut rude = server.visitor("rude visitor");
                rude.send(b"hm");
                rude.connection.reset();
            }
        });
    }

    #[rstest]
    #[case::with_files_open(true)]
    #[case::with_no_files_open(false)]
    fn beyond_descriptor_1024(#[case] files: bool) {
        let check = check!("04-echo");
        check.suspect("descriptor-not-looked-at");
        if let Err(reason) = visitors::crowd::make_room(1100) {
            return visitors::skipped(reason);
        }
        // Somebody who counts visitors is wrong by these files.
        let server = if files { check.server_with_open_files() } else { check.server(&[]) };
        let when = "with about as many visitors as a set has room for";
        settle(&check, &server, "with nobody there");
        // A descriptor is the lowest number that is free.
        let own = visitors::doing::descriptors(server.program.pid());
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
            check.suspect("door-shut-too-early");
            check.fail(format!("with {count} visitors inside, the next one was hung up on"));
        }
        if let Some(own) = own
            && own + count < 1024
        {
            check.suspect("door-shut-too-early");
            check.fail(format!(
                "descriptors 0 to 1,023 have room in a set; with {own} of its own and {count} visitors inside, your \
                 program hung up on the one who got descriptor {}",
                own + count
            ));
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
        // A hang-up may take a while to arrive, and many do. (Where the system can't tell who is there, the program's sleep
        // must do.)
        let until_no_more_are_there = |most: usize| {
            let deadline = Instant::now() + PATIENCE;
            while visitors::tcp::accepted(server.address.port()).is_some_and(|there| there > most)
                && server.program.exit_status().is_none()
                && Instant::now() < deadline
            {
                thread::sleep(LOOK_EVERY);
            }
        };
        // Whoever leaves makes room for one, and not for two.
        check.suspect("never-room-again");
        for index in [count / 2, 3, count - 3] {
            drop(inside.remove(index));
            until_no_more_are_there(inside.len());
            let when = "after one of those inside had left, and another one had come";
            settle(&check, &server, "after one of those inside had left");
            let mut new = server.visitor("visitor who comes when there is room for one");
            echoes(&server, &mut new, b"is there room?", when);
            inside.push(new);
            check.suspect("descriptor-not-looked-at");
            is_hung_up_on(&server, &mut server.visitor("visitor who is one too many"), when);
            check.suspect("never-room-again");
        }
        inside.truncate(500);
        until_no_more_are_there(500);
        settle(&check, &server, "after most of a large crowd had left");
        still_echoes(&server, "after most of a large crowd had left");
    }
}

mod room {
    use super::*;

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
    ) -> Vec<String> {
        let mut heard = Vec::new();
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
                Some(index) => heard.push(lines.remove(index)),
                None => {
                    let got = quote(&bytes[..end]);
                    server.check.fail(format!(
                        "{when}, the {name} received {got}, which is not among {lines:?}"
                    ));
                }
            }
        }
        nothing_more(server, guest, when);
        heard
    }

    #[test]
    fn a_line_reaches_all_others() {
        let check = check!("04-room");
        check.suspect("wrong-hearers");
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
        check.suspect("each-read-a-line");
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
        check.suspect("one-line-of-a-piece");
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
        check.suspect("limit-against-everything");
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
        check.suspect("line-ends");
        check.suspect_where(r#"received "guest 1: from nc"#, "trims-the-line");
        check.suspect_where(r#"received "guest 1: a\rb\n"#, "trims-the-line");
        check.suspect_where(r#"received "guest 1: \x00\n"#, "drops-empty-lines");
        let server = check.server(&[]);
        let mut room = room_of(&server, 2);
        let said =
            b"from telnet\r\n from nc, with spaces \na\rb\r\r\n\r\n\n  \n\t\r\n\r\r\n\0\nguest 2 left\n";
        room[0].send(said);
        let when = "after ten lines from guest 1, with line ends of both kinds";
        let lines = [
            "from telnet",
            " from nc, with spaces ",
            "a\rb\r",
            "",
            "",
            "  ",
            "\t",
            "\r",
            "\0",
            "guest 2 left",
        ];
        let heard = lines.map(|line| format!("guest 1: {line}\n")).concat();
        let heard = heard.as_str();
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
        check.suspect("insists-on-text");
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
        check.suspect("one-buffer-for-all");
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
        check.suspect("reads-on-for-the-line");
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
        check.suspect("stays-on-the-list");
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
    #[case::half_a_line_end("bye\r", true)]
    #[case::half_a_line_end_alone("\r", false)]
    #[case::a_return_that_is_none("by\re", false)]
    #[case::blanks("  ", true)]
    #[case::no_ascii("adi\u{f3}s \u{1f44b}", false)]
    #[case::as_much_as_can_be(&("w".repeat(LONGEST_LINE) + "\r"), true)]
    fn last_words_are_heard(#[case] words: &str, #[case] together: bool) {
        let check = check!("04-room");
        check.suspect("last-words-lost");
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
        let when = format!("after guest 1 said {} and hung up", quote(words.as_bytes()));
        let mut heard = String::new();
        // With half of a line end behind them, and if there are any.
        let words = words.strip_suffix('\r').unwrap_or(words);
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
        check.suspect("leaves-descriptors-open");
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
        check.suspect("failed-read-ends-everything");
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
        check.suspect("gone-visitor-ends-it");
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
        check.suspect("given-up-by-a-failed-tell");
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
        check.suspect("given-up-by-a-failed-tell");
        let server = check.server(&[]);
        let mut room = room_of(&server, 4);
        // Guest 2 doesn't read: the server waits until it does, in the middle of telling everybody.
        let line = format!("{}\n", "x".repeat(LONGEST_LINE - 1));
        let lines = 8000;
        let mut speaker =
            room[0].connection.stream().try_clone().expect("there are descriptors left");
        let all = line.repeat(lines);
        let speaks = thread::spawn(move || drop(Write::write_all(&mut speaker, all.as_bytes())));
        settle(&check, &server, "with a guest 2 that doesn't read what guest 1 says");
        let mut hearing = room.remove(3);
        room.remove(2).connection.reset();
        // Now guest 2 reads, as fast as it comes.
        let slow = room.remove(1).connection.stream().try_clone();
        let mut slow = slow.expect("there are descriptors left");
        slow.set_read_timeout(None).expect("it may wait");
        let reads = thread::spawn(move || drop(io::copy(&mut slow, &mut io::sink())));
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
        check.suspect("out-of-step");
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
    #[case::just_short_enough(b"x", b"\n")]
    #[case::just_short_enough_with_the_longer_end(b"x", b"\r\n")]
    #[case::of_letters_that_take_two_bytes("\u{e9}".as_bytes(), b"\n")]
    #[case::of_bytes_that_are_no_text(b"\xff", b"\r\n")]
    #[case::of_blanks(b" ", b"\n")]
    #[case::of_returns(b"\r", b"\r\n")]
    fn a_long_line(#[case] letter: &[u8], #[case] end: &[u8]) {
        let check = check!("04-room");
        check.suspect(match (letter, end) {
            (b"x", b"\n") => "limit-off-by-one",
            ([0xc3 | 0xff, ..], _) => "limit-counts-letters",
            _ => "limit-counts-the-line-end",
        });
        let server = check.server(&[]);
        let mut room = room_of(&server, 2);
        let text = letter.repeat(LONGEST_LINE / letter.len());
        let what = format!("{} times {}", text.len() / letter.len(), quote(letter));
        let when =
            format!("after a line of {LONGEST_LINE} bytes, {what}, which ends with {}", quote(end));
        let heard = [b"guest 1: ", &text[..], b"\n"].concat();
        room[0].send(&[&text[..], end].concat());
        receives(&server, &mut room[1], &heard, &when);
        // Once more, with a pause after each byte of the end.
        room[0].send_in_pieces(&text, 3);
        for byte in end {
            nothing_more(&server, &mut room[1], "after a long line from guest 1, all but its end");
            room[0].send_in_pieces(&[*byte], 1);
        }
        receives(&server, &mut room[1], &heard, &when);
        all_hear_nothing_more(&server, &mut room, &when);
    }

    #[test]
    fn a_line_far_too_long() {
        let check = check!("04-room");
        check.suspect("no-limit");
        check.suspect_where(r#"received "guest 1 left\n" and not"#, "lines-before-it-lost");
        let server = check.server(&[]);
        let mut room = room_of(&server, 3);
        let long = [b"well\n", &[b'x'; 3 * LONGEST_LINE][..]].concat();
        for (number, end) in [(1, ""), (2, "\n")] {
            let mut talkative = room.remove(0);
            talkative.send(&[&long, end.as_bytes()].concat());
            let (length, end) = (3 * LONGEST_LINE, quote(end.as_bytes()));
            let when =
                format!("after {length} letters of one line from guest {number}, and then {end}");
            let heard = format!("guest {number}: well\nguest {number} left\n");
            all_hear(&server, &mut room, &heard, &when);
            is_hung_up_on(&server, &mut talkative, &when);
        }
    }

    #[rstest]
    #[case::with_its_end(LONGEST_LINE + 1, b"\n", 1)]
    #[case::without_its_end(LONGEST_LINE + 1, b"", 1)]
    #[case::far_too_long(3 * LONGEST_LINE, b"\nand more\n", 1)]
    #[case::in_pieces(LONGEST_LINE + 1, b"", 5)]
    #[case::of_returns(0, &[b'\r'; LONGEST_LINE + 2], 1)]
    #[case::with_the_longer_end(LONGEST_LINE + 1, b"\r\n", 1)]
    #[case::by_a_return_that_is_none(LONGEST_LINE, b"\rx", 1)]
    #[case::by_a_second_return(LONGEST_LINE, b"\r\r", 2)]
    #[case::of_letters_that_take_two_bytes(0, "\u{e9}".repeat(600).leak().as_bytes(), 1)]
    #[case::of_blanks(0, &[b' '; LONGEST_LINE + 1], 1)]
    fn a_line_too_long(#[case] length: usize, #[case] end: &[u8], #[case] pieces: usize) {
        let check = check!("04-room");
        check.suspect(match end {
            _ if length > LONGEST_LINE => "limit-off-by-one",
            [0xc3, ..] => "limit-counts-letters",
            _ => "limit-counts-no-blanks",
        });
        check.suspect_where(r#"received "guest 1 left\n" and not"#, "lines-before-it-lost");
        check.suspect_where(r#"received "guest 1: and more"#, "too-long-and-still-there");
        let server = check.server(&[]);
        let mut room = room_of(&server, 3);
        let mut talkative = room.remove(0);
        // A line before it is as good as any.
        let text = ["well\n".as_bytes(), &vec![b'x'; length], end].concat();
        talkative.send_in_pieces(&text, pieces);
        let when = match length {
            0 => {
                let (count, letter) = (end.len(), quote(&end[..2]));
                format!("after a line of {count} bytes from guest 1, {letter} and so on")
            }
            _ => {
                let end = quote(end);
                format!("after {length} letters of one line from guest 1, and then {end}")
            }
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
        check.suspect("kept-by-descriptor");
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
    fn several_talk_in_the_same_turn() {
        let check = check!("04-room");
        check.suspect("who-talks-does-not-hear");
        let server = check.server(&[]);
        let mut room = room_of(&server, 4);
        settle(&check, &server, "with four guests");
        server.program.stop();
        let line = |speaker: usize, number: usize| format!("line {number} of {speaker}\n");
        for (index, guest) in room.iter_mut().enumerate() {
            let lines: String = (1..=3).map(|number| line(index + 1, number)).collect();
            guest.send(lines.as_bytes());
        }
        server.program.go_on();
        let when = "when four guests said three lines each, all in the same turn";
        for (index, guest) in room.iter_mut().enumerate() {
            let others = (1..=4).filter(|other| *other != index + 1);
            let lines = |speaker| {
                (1..=3).map(move |number| format!("guest {speaker}: {}", line(speaker, number)))
            };
            let heard = hears_in_any_order(&server, guest, others.flat_map(lines).collect(), when);
            for speaker in 1..=4 {
                let begin = format!("guest {speaker}: ");
                let of_one: Vec<_> = heard.iter().filter(|line| line.starts_with(&begin)).collect();
                if !of_one.is_sorted() {
                    check.suspect("order-not-kept");
                    let name = guest.connection.name();
                    check.fail(format!("{when}, the {name} heard of guest {speaker}: {of_one:?}"));
                }
            }
        }
    }

    #[test]
    fn everybody_in_each_turn() {
        let check = check!("04-room");
        check.suspect("serves-not-all-who-are-ready");
        let server = check.server(&[]);
        let lens = server.lens();
        let mut room = room_of(&server, 5);
        settle(&check, &server, "with five guests");
        server.program.stop();
        for guest in &mut room {
            guest.send(&b"one of many lines that are said at the same time\n".repeat(120));
        }
        server.program.go_on();
        let when = "after 120 lines at once from each of five guests";
        settle(&check, &server, when);
        for guest in &mut room {
            let count = 4 * 120;
            let enough =
                |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count() >= count;
            if guest.connection.receive_while_missing(&server.program, enough).is_err() {
                let name = guest.connection.name();
                server.fail_seeing(&format!("{when}, the {name} waits for {count} lines"));
            }
        }
        settle(&check, &server, when);
        let Some(lens) = lens else {
            return visitors::skipped("there is no lens here to look through");
        };
        let calls = lens.calls().into_iter();
        let calls = calls.map(|call| (call.call, call.descriptor, call.ready.len()));
        all_who_are_ready(&check, calls, when);
    }

    #[test]
    fn an_urgent_byte_disturbs_nobody() {
        let check = check!("04-room");
        check.suspect("asks-for-exceptions-too");
        let server = check.server(&[]);
        let mut room = room_of(&server, 3);
        send_urgently(&room[0], b'!');
        let when = "after guest 1 had sent a byte out of band";
        if let Err(trouble) = server.program.settled() {
            check.fail_for(&format!("{when}, your program was to wait"), &trouble);
        }
        room[1].send(b"still here?\n");
        hears(&server, &mut room[0], "guest 2: still here?\n", when);
        hears(&server, &mut room[2], "guest 2: still here?\n", when);
        let new = comes(&server, &mut room, 4);
        room.push(new);
        room[0].send(b"and on\n");
        let when = "after a byte out of band and a line from guest 1";
        for guest in &mut room[1..] {
            let line = |bytes: &[u8]| bytes.ends_with(b"\n");
            let name = guest.connection.name().to_owned();
            match guest.connection.receive_while_missing(&server.program, line) {
                // Whether the urgent byte comes with the others is left to the kernel.
                Ok(Ok(line)) if line == b"guest 1: and on\n" || line == b"guest 1: !and on\n" => {}
                Ok(Ok(line)) => {
                    check.fail(format!("{when}, the {name} received {}", quote(&line)));
                }
                _ => server.fail_seeing(&format!("{when}, the {name} waits for that line")),
            }
        }
        all_hear_nothing_more(&server, &mut room, when);
    }

    #[test]
    fn nothing_is_kept() {
        let check = check!("04-room");
        check.suspect("keeps-those-who-left");
        let server = check.server(&[]);
        server.keeps_nothing(A_LOT, "guests", |_| {
            for _ in 0..A_LOT {
                a_short_visit(&server, b"well\nhalf a li", |heard| {
                    heard.starts_with(b"you are guest ") && heard.ends_with(b"\n")
                });
            }
            for _ in 0..5 {
                let mut rude = server.visitor("rude guest");
                rude.send(b"hm");
                rude.connection.reset();
            }
        });
    }

    #[test]
    fn one_line_waits() {
        let check = check!("04-room");
        check.suspect("waits-elsewhere");
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
        check.suspect("reads-more-than-once");
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
            return visitors::skipped("there is no lens here to look through");
        };
        let calls = lens.calls().into_iter().map(|call| (call.call, call.descriptor, call.what));
        one_step_each(&server, calls, when);
    }
}
