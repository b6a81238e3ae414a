//! The graded checks of chapter 7. The judged program is the server; the check plays its visitors.

use std::fmt;
use std::fs;
use std::thread;
use std::time::Duration;

use grader::bytes::{between_when_still, narrow_visitor, settle};
use grader::check;
use grader::check::{Check, Server};
use rstest::rstest;
use visitors::connection::{Connection, End, Received};
use visitors::crowd::make_room;
use visitors::doing;
use visitors::program::{LOOK_EVERY, PATIENCE, Watch};

/// What came, readable: a long one by its beginning and its end.
fn shown(bytes: &[u8]) -> String {
    let text = |bytes: &[u8]| format!("\"{}\"", bytes.escape_ascii());
    match bytes.len() {
        0 => "nothing".to_owned(),
        1..=200 => text(bytes),
        count => {
            let (first, last) = (text(&bytes[..60]), text(&bytes[count - 60..]));
            format!("{first} … {last} ({count} bytes)")
        }
    }
}

/// A visitor of the judged server. Whatever goes wrong fails the check.
struct Visitor<'a> {
    server: &'a Server<'a>,
    connection: Connection,
    /// What stands before its name: nothing, where the name is a person's.
    the: &'static str,
}

impl<'a> Visitor<'a> {
    #[track_caller]
    fn new(server: &'a Server<'a>, name: &str) -> Self {
        Self { server, connection: server.visitor(name).connection, the: "the " }
    }

    /// A visitor with little room in the kernel, on both sides: a few dozen KiB in place of several MiB.
    /// Where that can't be had, it is one like all others.
    #[track_caller]
    fn narrow(server: &'a Server<'a>, name: &str) -> Self {
        Self { server, connection: narrow_visitor(server, name), the: "the " }
    }

    /// The same, with a name of its own.
    fn person(mut self) -> Self {
        self.the = "";
        self
    }

    /// As reports call it: `the visitor`, `ann`.
    fn name(&self) -> String {
        format!("{}{}", self.the, self.connection.name())
    }

    #[track_caller]
    fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.connection.send(bytes) {
            self.server.fail_seeing(&format!("{} couldn't send: {error}", self.name()));
        }
    }

    /// Sends `bytes` in about so many pieces, each after the one before has been read.
    #[track_caller]
    fn send_in_pieces(&mut self, bytes: &[u8], pieces: usize) {
        let sent = self.connection.send_in_pieces(bytes, pieces, &self.server.program);
        if let Err(error) = sent {
            self.server.fail_seeing(&format!(
                "{} sent {} in {pieces} pieces, and couldn't send all: {error}",
                self.name(),
                shown(bytes)
            ));
        }
    }

    /// Has to get just these bytes next. `when` says what has happened before.
    #[track_caller]
    fn expect(&mut self, expected: &[u8], when: &str) {
        let name = self.name();
        let enough = |bytes: &[u8]| bytes.len() >= expected.len() || !expected.starts_with(bytes);
        match self.connection.receive_while_missing(&self.server.program, enough) {
            Ok(Ok(bytes)) => {
                self.compare(&bytes, expected, when);
                self.connection.give_back(&bytes[expected.len()..]);
            }
            Ok(Err(Received { bytes, end })) => {
                self.compare(&bytes, expected, when);
                let ended = match end {
                    End::Closed => "was hung up on",
                    End::Reset => "got a reset",
                };
                let (came, expected) = (shown(&bytes), shown(expected));
                self.server.fail_seeing(&format!(
                    "{when}, {name} {ended}: {came} came, and {expected} was to come"
                ));
            }
            Err((trouble, bytes)) => {
                let (came, expected) = (shown(&bytes), shown(expected));
                let expected = format!("{when}, {name} waits for {expected} ({came} has come)");
                self.server.check.fail_for(&expected, &trouble);
            }
        }
    }

    /// Fails if what came is wrong as far as it goes. (More may be right, or on its way.)
    #[track_caller]
    fn compare(&self, came: &[u8], expected: &[u8], when: &str) {
        let differs = came.iter().zip(expected).position(|(came, expected)| came != expected);
        let Some(at) = differs else { return };
        let name = self.name();
        if expected.len() <= 200 {
            let (came, expected) = (shown(came), shown(expected));
            self.server.fail_seeing(&format!("{when}, {name} got {came}, and not {expected}"));
        }
        let from = at.saturating_sub(20);
        let part = |bytes: &[u8]| shown(&bytes[from..bytes.len().min(at + 40)]);
        let (came, expected) = (part(came), part(expected));
        self.server.fail_seeing(&format!(
            "{when}, what {name} got is wrong from byte {at} on: {came}, and not {expected}"
        ));
    }

    /// Whether anything has come, or the end.
    fn has_more(&mut self) -> bool {
        // What came together with something that was expected is at hand already.
        let received = self.connection.receive_while_missing(&self.server.program, |_| true);
        let Ok(Ok(at_hand)) = received else { return true };
        self.connection.give_back(&at_hand);
        !at_hand.is_empty() || self.connection.readable_within(Duration::ZERO)
    }

    /// Nothing may have come that wasn't expected, although the server has done all that it can do.
    #[track_caller]
    fn nothing_more(&mut self, when: &str) {
        settle(self.server, when);
        if !self.has_more() {
            return;
        }
        let some = |bytes: &[u8]| !bytes.is_empty();
        let (name, server) = (self.name(), self.server);
        let came = match self.connection.receive_while_missing(&server.program, some) {
            Ok(Ok(bytes)) => shown(&bytes),
            Ok(Err(Received { end: End::Closed, .. })) => "the end".to_owned(),
            Ok(Err(Received { end: End::Reset, .. })) => "a reset".to_owned(),
            Err((trouble, _)) => server.check.fail_for(when, &trouble),
        };
        server.fail_seeing(&format!("{when}, nothing was to come to {name}, and it got {came}"));
    }

    /// Has to get just these bytes, and then a proper end.
    #[track_caller]
    fn expect_end(&mut self, expected: &[u8], when: &str) {
        self.expect(expected, when);
        let name = self.name();
        match self.connection.receive_all(&self.server.program) {
            Ok(Received { bytes, end: End::Closed }) if bytes.is_empty() => {}
            Ok(Received { bytes, end: End::Closed }) => {
                let (came, expected) = (shown(&bytes), shown(expected));
                self.server.fail_seeing(&format!("{when}, {name} got {came} after {expected}"));
            }
            Ok(_) => self.server.fail_seeing(&format!("{when}, {name} got a reset")),
            Err((trouble, _)) => {
                let expected = format!("{when}, {name} waits for the server to hang up");
                self.server.check.fail_for(&expected, &trouble);
            }
        }
    }

    /// Goes on sending, more than anybody keeps who doesn't listen any more.
    fn goes_on_sending(&mut self) {
        // Whoever takes no more, or hangs up, is found out when this one leaves.
        let _ = self.connection.send_in_pieces(&[b'x'; 192 * 1024], 12, &self.server.program);
    }

    /// Leaves in one way or another, and waits until the server has closed its end, too.
    #[track_caller]
    fn leave(mut self, how: Leaving) {
        let (server, name) = (self.server, self.name());
        let before = descriptors(server);
        match how {
            Leaving::Finishing => {
                self.connection.finish_sending();
                // What comes to it is no matter here; the end is.
                if let Err((trouble, _)) = self.connection.receive_all(&server.program) {
                    let expected = format!(
                        "after it had finished sending, {name} waits for the server to hang up"
                    );
                    server.check.fail_for(&expected, &trouble);
                }
            }
            Leaving::HangingUp => drop(self),
            Leaving::Reset => self.connection.reset(),
        }
        if before.is_none() {
            settle(server, "after somebody had left");
            return;
        }
        let mut watch = Watch::new(&server.program);
        while descriptors(server) >= before {
            if let Some(trouble) = watch.trouble() {
                let expected = format!("{name} has left, and its connection was to be closed");
                server.check.fail_for(&expected, &trouble);
            }
            thread::sleep(LOOK_EVERY / 10);
        }
    }
}

/// How many descriptors the program has open. `None` where the system can't tell.
fn descriptors(server: &Server<'_>) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{}/fd", server.program.pid())).ok()?.count())
}

/// How somebody leaves.
#[derive(Clone, Copy, Debug)]
enum Leaving {
    /// It says that nothing more will be sent, and waits for the server's end.
    Finishing,
    /// It closes the connection.
    HangingUp,
    Reset,
}

impl fmt::Display for Leaving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finishing => "finishing",
            Self::HangingUp => "hanging up",
            Self::Reset => "a reset",
        })
    }
}

const ALL_WAYS: [Leaving; 3] = [Leaving::Finishing, Leaving::HangingUp, Leaving::Reset];

/// Waits until the server has no more connections than that. False if it keeps them.
#[track_caller]
fn only_so_many_stay(server: &Server<'_>, count: usize) -> bool {
    let mut watch = Watch::new(&server.program);
    while doing::accepted(server.address.port()).is_some_and(|accepted| accepted > count) {
        if watch.trouble().is_some() {
            return false;
        }
        thread::sleep(LOOK_EVERY / 10);
    }
    true
}

/// Has a new server go through `scenario`, and fails if it waits anywhere but in `poll`. If it seems to, then once more
/// with another one: on a busy machine the kernel may hold up a call for a moment, and whoever waits does so each time.
#[track_caller]
fn waits_only_in_poll(check: &Check, when: &str, scenario: impl Fn(&Server<'_>)) {
    let server = check.server(&[]);
    let lens = server.lens();
    scenario(&server);
    let elsewhere = lens.as_ref().is_some_and(|lens| lens.waits_only_in(&["poll"]).is_err());
    if elsewhere {
        let server = check.server(&[]);
        let lens = server.lens();
        scenario(&server);
        server.waits_only_in(lens.as_ref(), &["poll"], when);
    }
}

/// What is likely wrong when somebody who was hung up on stays.
const FINISHED_SENDING: &str = "after `finish_sending` what comes is still read, and kept for your callback, until there is too much of \
    it: then nobody hears any more that the visitor has gone. `finish` throws away what still comes";

/// What a process of this check may hold: the system's limit may be lower at first.
fn room_for(server_and_visitors: usize) {
    if let Err(error) = make_room(server_and_visitors) {
        panic!("{error}");
    }
}

mod frames {
    use super::*;

    /// As in the exercise.
    const LONGEST: usize = 16 * 1024;
    const REFUSAL: &[u8] = b"16:that is no frame,";

    fn frame(bytes: &[u8]) -> Vec<u8> {
        let length = format!("{}:", bytes.len());
        [length.as_bytes(), bytes, b","].concat()
    }

    /// What comes back for a frame with these bytes.
    fn answer(bytes: &[u8]) -> Vec<u8> {
        let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
        frame(&reversed)
    }

    /// A visitor who has been answered once already.
    #[track_caller]
    fn visitor<'a>(server: &'a Server<'a>, name: &str) -> Visitor<'a> {
        let mut visitor = Visitor::new(server, name);
        visitor.send(b"5:hello,");
        visitor.expect(b"5:olleh,", "after it sent the frame 5:hello,");
        visitor
    }

    #[rstest]
    #[case::in_one_piece(1)]
    #[case::in_three_pieces(3)]
    #[case::byte_by_byte(usize::MAX)]
    fn a_frame_is_answered(#[case] pieces: usize) {
        let check = check!("07-frames");
        check.likely(
            "what has come may be a part of a frame: leave it in `input.bytes`, and return. You are called again when there is \
             more",
            "07-callbacks.html#set-read-callback",
        );
        let server = check.server(&[]);
        let mut visitor = Visitor::new(&server, "visitor");
        for (sent, expected) in [("5:hello,", "5:olleh,"), ("12:twelve bytes,", "12:setyb evlewt,")]
        {
            visitor.send_in_pieces(sent.as_bytes(), pieces);
            visitor.expect(expected.as_bytes(), &format!("after it sent the frame {sent}"));
        }
        visitor.nothing_more("after two frames had been answered");
    }

    #[rstest]
    #[case::none(b"")]
    #[case::commas_and_colons(b"a,b:c,,:,")]
    #[case::line_ends(b"\r\n\n,\n")]
    #[case::what_looks_like_a_frame(b"3:abc,")]
    #[case::all_there_are(&ALL_BYTES)]
    fn any_bytes_may_be_in_it(#[case] bytes: &[u8]) {
        let check = check!("07-frames");
        check.likely(
            "where a frame ends is told by its length and by nothing else: what is in it may be commas, colons, any bytes \
             or none",
            "07-callbacks.html#exercise-07-frames",
        );
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        for pieces in [1, 2, usize::MAX] {
            visitor.send_in_pieces(&frame(bytes), pieces);
            let when = format!("after it sent the frame {}", shown(&frame(bytes)));
            visitor.expect(&answer(bytes), &when);
        }
        visitor.nothing_more("after three frames had been answered");
    }

    static ALL_BYTES: [u8; 256] = {
        let mut all = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            all[byte] = byte as u8;
            byte += 1;
        }
        all
    };

    #[rstest]
    #[case::two(2)]
    #[case::a_hundred(100)]
    #[case::four_thousand(4000)]
    fn all_in_one_piece_are_answered(#[case] count: usize) {
        let check = check!("07-frames");
        check.likely(
            "it takes one frame and waits for the next call. But you are called when bytes have come: for what is there \
             already, nobody calls again",
            "07-callbacks.html#set-read-callback",
        );
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        let number = |number: usize| number.to_string().into_bytes();
        let all: Vec<u8> = (0..count).flat_map(|n| frame(&number(n))).collect();
        let answers: Vec<u8> = (0..count).flat_map(|n| answer(&number(n))).collect();
        // It sleeps meanwhile, so that they are there all at once.
        server.program.stop();
        visitor.send(&all);
        server.program.go_on();
        visitor.expect(&answers, &format!("after it sent {count} frames in one piece"));
        visitor.nothing_more("after all its frames had been answered");
    }

    #[test]
    fn one_and_a_half() {
        let check = check!("07-frames");
        check.likely(
            "a half frame behind a whole one is lost, or spoils it: take out of `input.bytes` what you have used, and nothing else",
            "07-callbacks.html#set-read-callback",
        );
        let server = check.server(&[]);
        let second = b"6:friend,";
        for cut in 1..second.len() {
            let mut visitor = Visitor::new(&server, "visitor");
            let (half, rest) = second.split_at(cut);
            visitor.send(&[b"5:hello,", half].concat());
            let when = format!("after it sent a frame and {}", shown(half));
            visitor.expect(b"5:olleh,", &when);
            visitor.connection.wait_until_read(PATIENCE);
            visitor.send(&[rest, b"1:x,"].concat());
            visitor.expect(b"6:dneirf,1:x,", &format!("{when}, and then the rest and one more"));
        }
    }

    #[rstest]
    #[case::in_one_piece(1)]
    #[case::in_fifty_pieces(50)]
    fn the_longest(#[case] pieces: usize) {
        let check = check!("07-frames");
        check.likely(
            "a frame may hold just as many bytes as LONGEST says",
            "07-callbacks.html#exercise-07-frames",
        );
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        for length in [LONGEST - 1, LONGEST] {
            let bytes: Vec<u8> = (0..length).map(|byte| (byte * 7 % 251) as u8).collect();
            let three = [frame(&bytes), frame(b"in between"), frame(&bytes)].concat();
            visitor.send_in_pieces(&three, pieces);
            let answers = [answer(&bytes), answer(b"in between"), answer(&bytes)].concat();
            visitor.expect(&answers, &format!("after it sent frames of {length} bytes"));
        }
    }

    #[test]
    fn frames_before_a_wrong_one_are_answered() {
        let check = check!("07-frames");
        check.likely(
            "the answers come first, then REFUSAL, which is a frame itself, then the end. `close` would throw away what is queued, \
             `finish` sends it. And behind a refusal nothing is answered any more",
            "07-callbacks.html#exercise-07-frames",
        );
        let server = check.server(&[]);
        let mut visitor = Visitor::new(&server, "visitor");
        visitor.send(b"1:a,2:bc,3:defg,1:h,");
        let when = "after it sent two frames, something that is none, and one more";
        visitor.expect_end(&[b"1:a,2:cb,", REFUSAL].concat(), when);
    }

    #[rstest]
    #[case::a_byte_too_long("16385:")]
    #[case::much_too_long("99999:")]
    #[case::too_long_without_a_colon("99999")]
    #[case::a_length_without_an_end("11111111111111111111111111111111111111111111111111")]
    #[case::longer_than_any_memory("18446744073709551617:a,")]
    #[case::no_digits(":,")]
    #[case::a_plus_sign("+5:hello,")]
    #[case::a_minus_sign("-1:")]
    #[case::a_leading_zero("05:hello,")]
    #[case::many_zeros("00:,")]
    #[case::a_space(" 5:hello,")]
    #[case::a_space_before_the_colon("5 :hello,")]
    #[case::hexadecimal("a:0123456789,")]
    #[case::a_comma_too_late("5:hello!,")]
    #[case::a_comma_too_early("5:hell,x")]
    #[case::a_line_end("\n")]
    #[case::a_request("GET / HTTP/1.0\r\n\r\n")]
    fn refused(#[case] sent: &str) {
        let check = check!("07-frames");
        check.likely(
            "a frame is decimal digits (without a sign, or a zero in front), a colon, so many bytes, a comma. Anything else is \
             refused with REFUSAL as a frame, and `finish`, as soon as it's certain: before the bytes have come, if their number is \
             too large",
            "07-callbacks.html#exercise-07-frames",
        );
        let server = check.server(&[]);
        let mut bystander = visitor(&server, "bystander");
        let mut visitor = visitor(&server, "visitor");
        visitor.send(sent.as_bytes());
        let when = format!("after it sent {}", shown(sent.as_bytes()));
        visitor.expect_end(REFUSAL, &when);
        bystander.send(b"1:x,");
        bystander.expect(b"1:x,", &format!("after somebody had sent {}", shown(sent.as_bytes())));
    }

    #[rstest]
    #[case::behind_its_frame("7:refused")]
    #[case::without_any("x")]
    fn a_refused_one_may_go_on_sending(#[case] wrong: &str) {
        let check = check!("07-frames");
        check.likely(FINISHED_SENDING, "07-callbacks.html#room-to-send");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor who was refused and went on sending");
        visitor.send(format!("{wrong}!").as_bytes());
        visitor.expect_end(REFUSAL, &format!("after it sent \"{wrong}!\""));
        visitor.goes_on_sending();
        visitor.leave(Leaving::HangingUp);
    }

    #[rstest]
    #[case::after_one("5:hello,", "5:olleh,")]
    #[case::after_three("1:a,2:bc,3:def,", "1:a,2:cb,3:fed,")]
    fn the_end_after_a_frame(#[case] sent: &str, #[case] expected: &str) {
        let check = check!("07-frames");
        check.likely(
            "`input.ended` says that nothing more will come: then `finish`, so that the visitor gets its answers and a proper \
             end. `close` would throw the answers away",
            "07-callbacks.html#exercise-07-frames",
        );
        let server = check.server(&[]);
        let mut visitor = Visitor::new(&server, "visitor");
        server.program.stop();
        visitor.send(sent.as_bytes());
        visitor.connection.finish_sending();
        server.program.go_on();
        visitor.expect_end(expected.as_bytes(), &format!("after it sent {sent}, and its end"));
        if !only_so_many_stay(&server, 0) {
            check.fail("the visitor is gone, and your program keeps its connection");
        }
    }

    #[test]
    fn the_last_answers_are_sent() {
        let check = check!("07-frames");
        check.likely(
            "at the end of what comes, answers may still be queued: `finish` sends them, `close` throws them away",
            "07-callbacks.html#room-to-send",
        );
        let server = check.server(&[]);
        let mut visitor = Visitor::narrow(&server, "slow reader");
        let bytes = |number: usize| format!("{number:0>8000}").into_bytes();
        // More than the kernel takes for it, where it has been asked to take little.
        let all: Vec<u8> = (0..40).flat_map(|number| frame(&bytes(number))).collect();
        let answers: Vec<u8> = (0..40).flat_map(|number| answer(&bytes(number))).collect();
        visitor.send(&all);
        visitor.connection.finish_sending();
        settle(&server, "with a visitor who has sent forty frames and its end, and reads nothing");
        visitor.expect_end(&answers, "after it had finished sending, and began to read");
    }

    #[rstest]
    #[case::in_its_length("5")]
    #[case::after_the_colon("5:")]
    #[case::in_its_bytes("5:hel")]
    #[case::before_the_comma("5:hello")]
    fn the_end_in_a_frame(#[case] part: &str) {
        let check = check!("07-frames");
        check.likely(
            "a frame that isn't whole at the end gets no answer, and is no reason to refuse anything: `finish`, and that is all",
            "07-callbacks.html#exercise-07-frames",
        );
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        visitor.send(format!("3:abc,{part}").as_bytes());
        visitor.connection.finish_sending();
        let when = format!("after it sent 3:abc, and {part:?} and its end");
        visitor.expect_end(b"3:cba,", &when);
        if !only_so_many_stay(&server, 0) {
            check.fail(format!(
                "{when}, the visitor is gone, and your program keeps its connection"
            ));
        }
    }

    #[test]
    fn pieces_of_two_visitors() {
        let check = check!("07-frames");
        check.likely(
            "what has come of a frame is kept in one place for all: each connection's `input.bytes` keeps its own",
            "07-callbacks.html#who-is-called",
        );
        let server = check.server(&[]);
        let (mut one, mut other) =
            (visitor(&server, "first visitor"), visitor(&server, "second visitor"));
        let ones = ["5", ":he", "l", "lo", ",3", ":abc,"];
        let others = ["1", "4:ahoy", " there ", "al", "l,", "1:x,"];
        for (its, others) in ones.into_iter().zip(others) {
            one.send_in_pieces(its.as_bytes(), 1);
            other.send_in_pieces(others.as_bytes(), 1);
        }
        let when = "with the pieces of two visitors in turns";
        one.expect(b"5:olleh,3:cba,", when);
        other.expect(b"14:lla ereht yoha,1:x,", when);
    }

    #[rstest]
    #[case::by_finishing(Leaving::Finishing)]
    #[case::by_hanging_up(Leaving::HangingUp)]
    #[case::by_a_reset(Leaving::Reset)]
    fn the_next_one_starts_afresh(#[case] leaving: Leaving) {
        let check = check!("07-frames");
        check.likely(
            "something of a visitor who has left is kept, and the next one gets it: slots and descriptors are used again. What \
             is in `input.bytes` goes with its connection",
            "07-callbacks.html#token",
        );
        let server = check.server(&[]);
        for part in ["1", "9:abc", "5:hello"] {
            let mut first = visitor(&server, "visitor who left");
            first.send_in_pieces(part.as_bytes(), 1);
            first.leave(leaving);
            let mut next = Visitor::new(&server, "next visitor");
            next.send(b"5:world,");
            let when = format!("after somebody had sent {part:?} and left by {leaving}");
            next.expect(b"5:dlrow,", &when);
            next.leave(Leaving::HangingUp);
        }
    }

    #[test]
    fn five_hundred_in_reverse_order() {
        const COUNT: usize = 500;
        let check = check!("07-frames");
        check.likely(
            "it waits for the rest of one visitor's frame while others have something for it",
            "07-callbacks.html#set-read-callback",
        );
        room_for(COUNT);
        let server = check.server(&[]);
        let name = |number| format!("visitor {number}");
        let mut all: Vec<_> =
            (0..COUNT).map(|number| Visitor::new(&server, &name(number))).collect();
        let sent = |number: usize| frame(name(number).as_bytes());
        for (number, visitor) in all.iter_mut().enumerate() {
            visitor.send(&sent(number)[..number % 8 + 1]);
        }
        let when = "with five hundred visitors in their frames, the last one first";
        for (number, visitor) in all.iter_mut().enumerate().rev() {
            visitor.send(&sent(number)[number % 8 + 1..]);
            visitor.expect(&answer(name(number).as_bytes()), when);
        }
    }

    #[test]
    fn who_is_not_heard_costs_nothing() {
        let check = check!("07-frames");
        check.likely(
            "it looks again and again whether there is more. Return: the loop waits, and calls again by itself. (A callback that \
             is set anew hears at once of what is there still)",
            "07-callbacks.html#the-loop",
        );
        let server = check.server(&[]);
        settle(&server, "with nobody there");
        let mut half = visitor(&server, "visitor with half a frame");
        settle(&server, "with a visitor who says nothing more");
        half.send_in_pieces(b"5:hel", 1);
        settle(&server, "with a visitor who has sent half a frame");
        let mut refused = visitor(&server, "refused visitor");
        refused.send(b"no frame");
        refused.expect(REFUSAL, "after it sent something that is no frame");
        settle(&server, "with a visitor who was refused, and stays");
        half.send(b"lo,");
        half.expect(b"5:olleh,", "after it sent the other half of its frame");
    }

    #[test]
    fn one_line_waits() {
        let check = check!("07-frames");
        check.likely(
            "it waits, or naps, in a callback: everybody else waits with it. The loop waits, for all at once",
            "07-callbacks.html#the-loop",
        );
        waits_only_in_poll(
            &check,
            "with a visitor in the middle of a frame, and a quick one",
            |server| {
                let mut half = visitor(server, "visitor with half a frame");
                half.send_in_pieces(b"5:hel", 1);
                let mut quick = visitor(server, "quick visitor");
                for _ in 0..20 {
                    quick.send(b"2:ab,");
                    quick.expect(b"2:ba,", "with somebody there in the middle of a frame");
                }
                half.send(b"lo,");
                half.expect(b"5:olleh,", "after it sent the other half of its frame");
                settle(server, "with two visitors who were answered");
            },
        );
    }
}

mod chat {
    use super::*;

    const ASK: &[u8] = b"name?\n";
    const BAD_NAME: &[u8] = b"bad name\nname?\n";
    const TAKEN: &[u8] = b"that name is taken\nname?\n";
    const TOO_LONG: &[u8] = b"that line is too long\n";
    const FULL: &[u8] = b"the room is full\n";
    /// As in the exercise.
    const LONGEST_LINE: usize = 1000;
    const MOST_QUEUED: u64 = 256 * 1024;
    const MOST_VISITORS: usize = 400;
    /// A good deal for the program to keep, in bytes, and far from too much.
    const SOME_QUEUED: usize = 50 * 1024;
    /// So many lines of 1 KiB are said between two looks at what the kernel has.
    const LINES_AT_ONCE: usize = 25;
    /// So many where it doesn't tell.
    const LINES_UNSEEN: usize = 150;
    /// No kernel takes more.
    const MOST_LINES: usize = 8000;

    /// A visitor who has been asked for a name, and hasn't given one.
    #[track_caller]
    fn asked<'a>(server: &'a Server<'a>, name: &str) -> Visitor<'a> {
        let mut visitor = Visitor::new(server, name);
        visitor.expect(ASK, "after it connected");
        visitor
    }

    /// Those who are in the room, and are called so there.
    struct Party<'a> {
        server: &'a Server<'a>,
        members: Vec<Visitor<'a>>,
    }

    impl<'a> Party<'a> {
        #[track_caller]
        fn of(server: &'a Server<'a>, names: &[&str]) -> Self {
            let mut party = Self { server, members: Vec::new() };
            for name in names {
                party.joined_by(Visitor::new(server, name));
            }
            party
        }

        /// The visitor gives its name, and all others hear of it.
        #[track_caller]
        fn joined_by(&mut self, mut visitor: Visitor<'a>) {
            visitor.the = "";
            let name = visitor.name();
            visitor.expect(ASK, "after it connected");
            visitor.send(format!("{name}\n").as_bytes());
            let when = format!("after {name} had said who it is");
            visitor.expect(format!("hello {name}\n").as_bytes(), &when);
            self.all_hear(&format!("* {name} is here\n"), &when);
            self.members.push(visitor);
        }

        #[track_caller]
        fn all_hear(&mut self, text: &str, when: &str) {
            for member in &mut self.members {
                member.expect(text.as_bytes(), when);
            }
        }

        /// One of them says something, and all others hear it.
        #[track_caller]
        fn says(&mut self, speaker: usize, text: &str, when: &str) {
            let name = self.members[speaker].name();
            self.members[speaker].send(format!("{text}\n").as_bytes());
            for listener in (0..self.members.len()).filter(|listener| *listener != speaker) {
                self.members[listener].expect(format!("{name}: {text}\n").as_bytes(), when);
            }
        }

        /// They say it in turns, until the program has some of it for somebody who isn't among them and
        /// doesn't read. Gives how many lines that were. How much the kernel takes before depends on what it
        /// has seen that day.
        #[track_caller]
        fn says_more_than_the_kernel_takes(&mut self, text: &str, stuck: &Visitor<'_>) -> usize {
            let length = format!("{}: {text}\n", self.members[0].name()).len();
            for round in 1..=MOST_LINES {
                self.says(round % self.members.len(), text, "with bob there, who doesn't read");
                if round % LINES_AT_ONCE != 0 {
                    continue;
                }
                // Where nobody can tell, it's as many as are too much nowhere.
                let Some(between) = between_when_still(self.server, &stuck.connection) else {
                    if round >= LINES_UNSEEN {
                        return round;
                    }
                    continue;
                };
                if round * length >= between.to_visitor + SOME_QUEUED {
                    return round;
                }
            }
            MOST_LINES
        }

        /// Nobody hears anything more.
        #[track_caller]
        fn silence(&mut self, when: &str) {
            settle(self.server, when);
            for member in &mut self.members {
                if member.has_more() {
                    member.nothing_more(when);
                }
            }
        }
    }

    #[rstest]
    #[case::in_one_piece("ann\n", 1)]
    #[case::byte_by_byte("ann\n", usize::MAX)]
    #[case::as_telnet_sends_it("ann\r\n", 1)]
    fn who_comes_is_asked(#[case] line: &str, #[case] pieces: usize) {
        let check = check!("07-chat");
        check.likely(
            "the first line is the name: ask for it, take it when it's whole, say hello",
            "07-callbacks.html#exercise-07-chat",
        );
        let server = check.server(&[]);
        let mut ann = asked(&server, "ann").person();
        ann.nothing_more("before it has said a name");
        ann.send_in_pieces(line.as_bytes(), pieces);
        ann.expect(b"hello ann\n", &format!("after it sent {line:?}"));
        ann.nothing_more("with nobody else in the room");
    }

    #[test]
    fn all_others_hear() {
        let check = check!("07-chat");
        check.likely(
            "each line goes to all other members, and not to the one who said it. The same with who comes",
            "07-callbacks.html#exercise-07-chat",
        );
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "bob", "Cid3"]);
        party.silence("after three had come");
        for round in 0..2 {
            for speaker in 0..3 {
                party.says(speaker, &format!("it is round {round}"), "with three in the room");
            }
        }
        party.silence("after each of three had said something twice");
    }

    #[rstest]
    #[case::in_one_piece(1)]
    #[case::in_seven_pieces(7)]
    #[case::byte_by_byte(usize::MAX)]
    fn lines_in_pieces(#[case] pieces: usize) {
        let check = check!("07-chat");
        check.likely(
            "a piece may hold three lines, or a third of one: take out all that are whole, and leave the rest in the input",
            "07-callbacks.html#set-read-callback",
        );
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "bob"]);
        let lines = b"one\n and two \r\nthree: 3\nfour\n";
        server.program.stop();
        if pieces == 1 {
            party.members[0].send(lines);
        }
        server.program.go_on();
        if pieces > 1 {
            party.members[0].send_in_pieces(lines, pieces);
        }
        let heard = b"ann: one\nann:  and two \nann: three: 3\nann: four\n";
        party.members[1].expect(heard, "after ann had sent four lines");
        party.silence("after four lines");
    }

    #[test]
    fn empty_lines_say_nothing() {
        let check = check!("07-chat");
        check.likely(
            "nobody hears of an empty line. But it isn't the last one: go on with the next (`continue`; a `return` leaves lying what \
             has come already)",
            "07-callbacks.html#set-read-callback",
        );
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "bob"]);
        let when = "after ann had sent two lines, and three empty ones, in one piece";
        server.program.stop();
        party.members[0].send(b"\none\n\r\n\ntwo\n");
        server.program.go_on();
        party.members[1].expect(b"ann: one\nann: two\n", when);
        party.silence(when);
    }

    #[test]
    fn lines_are_bytes() {
        let check = check!("07-chat");
        check.likely(
            "lines are bytes, and need not be UTF-8: pass them on as they are. `from_utf8_lossy` puts other bytes in the place of some, \
             and `from_utf8` refuses the line",
            "07-callbacks.html#exercise-07-chat",
        );
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "bob"]);
        for line in [&b"gr\xfc\xdfe"[..], b"\x00\x01\xff", "grüße".as_bytes()] {
            party.members[0].send(&[line, b"\n"].concat());
            let when = format!("after ann had sent the line {}", shown(line));
            party.members[1].expect(&[b"ann: ", line, b"\n"].concat(), &when);
        }
        party.silence("after three lines");
    }

    #[rstest]
    #[case::by_finishing(Leaving::Finishing)]
    #[case::by_hanging_up(Leaving::HangingUp)]
    #[case::by_a_reset(Leaving::Reset)]
    fn who_leaves_has_left(#[case] leaving: Leaving) {
        let check = check!("07-chat");
        check.likely(
            "a connection can end without `ended`: a reset, an error, a bug. The close callback is called in any case; what is to be \
             cleaned up is cleaned up from there. And nothing may be borrowed to be changed while the others are told",
            "07-callbacks.html#once",
        );
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "bob", "cid"]);
        for _ in 0..2 {
            party.members.remove(1).leave(leaving);
            party.all_hear("* bob has left\n", &format!("after bob had left by {leaving}"));
            party.says(0, "he is gone", "after somebody had left");
            // Another one may have the name now.
            party.joined_by(Visitor::new(&server, "bob"));
            party.members.swap(1, 2);
            party.says(1, "here I am", "after another bob had come");
        }
        party.silence(&format!("after two had left by {leaving}"));
    }

    #[test]
    fn lines_of_two_in_turns() {
        let check = check!("07-chat");
        check.likely(
            "what has come of a line is kept in one place for all: each connection's `input.bytes` keeps its own",
            "07-callbacks.html#who-is-called",
        );
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "bob", "cid"]);
        party.members[0].send_in_pieces(b"hello ", 1);
        party.members[1].send_in_pieces(b"good ", 1);
        party.members[2].send_in_pieces(b"I am gone in the mid", 1);
        party.members.remove(2).leave(Leaving::HangingUp);
        let when = "after cid had left in the middle of a line";
        party.all_hear("* cid has left\n", when);
        party.joined_by(Visitor::new(&server, "dan"));
        party.says(2, "I am new here", when);
        let when = "with the pieces of two lines in turns";
        party.members[0].send_in_pieces(b"world\n", 1);
        party.members[1].send_in_pieces(b"evening\n", 1);
        party.members[0].expect(b"bob: good evening\n", when);
        party.members[1].expect(b"ann: hello world\n", when);
        party.members[2].expect(b"ann: hello world\nbob: good evening\n", when);
        party.silence(when);
    }

    #[rstest]
    #[case::and_stays(false)]
    #[case::and_has_finished(true)]
    fn name_and_lines_in_one_piece(#[case] finished: bool) {
        let check = check!("07-chat");
        check.likely(
            "what comes behind the name is lost, or left lying: take the name out of the input and nothing else, and set the second \
             callback; it hears the rest. What was said before the end was said, too",
            "07-callbacks.html#once",
        );
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann"]);
        let mut bob = asked(&server, "bob").person();
        server.program.stop();
        bob.send(b"bob\none\ntwo\nthree\n");
        if finished {
            bob.connection.finish_sending();
        }
        server.program.go_on();
        let when = "after bob had sent his name and three lines in one piece";
        party.all_hear("* bob is here\nbob: one\nbob: two\nbob: three\n", when);
        if finished {
            party.all_hear("* bob has left\n", "after bob had finished sending");
            bob.expect_end(b"hello bob\n", "after he had sent everything, and his end");
        } else {
            bob.expect(b"hello bob\n", when);
            party.members.push(bob);
            party.says(0, "welcome", when);
            party.says(1, "thank you", when);
        }
        party.silence(when);
    }

    #[rstest]
    #[case::empty("")]
    #[case::too_long("abcdefghijklmnopqrstu")]
    #[case::two_words("ann bob")]
    #[case::with_a_colon("ann:")]
    #[case::no_ascii("ännchen")]
    fn bad_names_are_refused(#[case] bad: &str) {
        let check = check!("07-chat");
        check.likely(
            "after a name that is none it asks again, and goes on with the next line, even if that has come already",
            "07-callbacks.html#exercise-07-chat",
        );
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann"]);
        let mut visitor = asked(&server, "visitor");
        visitor.send(format!("{bad}\n").as_bytes());
        let when = format!("after it had given the name {bad:?}");
        visitor.expect(BAD_NAME, &when);
        // And two more, and then a good one, in one piece.
        server.program.stop();
        visitor.send(format!("{bad}\n{bad}\nabcdefghijklmnopqrst\nhello\n").as_bytes());
        server.program.go_on();
        let answers = [BAD_NAME, BAD_NAME, b"hello abcdefghijklmnopqrst\n"].concat();
        visitor.expect(&answers, &format!("{when}, and two more, and then a good one"));
        let heard = "* abcdefghijklmnopqrst is here\nabcdefghijklmnopqrst: hello\n";
        party.all_hear(heard, "after somebody had found a name");
        party.silence("after somebody had found a name");
    }

    #[test]
    fn taken_names_are_refused() {
        let check = check!("07-chat");
        check.likely(
            "two members have the same name: look for it among the members first",
            "07-callbacks.html#exercise-07-chat",
        );
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "bob"]);
        let mut second = asked(&server, "second ann");
        let mut third = asked(&server, "third ann");
        for taken in ["ann", "bob", "ann"] {
            second.send(format!("{taken}\n").as_bytes());
            second.expect(TAKEN, &format!("after it wanted to be {taken}, who is there already"));
        }
        second.send(b"Ann\n");
        second.expect(b"hello Ann\n", "after it wanted to be Ann, with a large A");
        party.all_hear("* Ann is here\n", "after Ann had come");
        third.send(b"Ann\n");
        third.expect(TAKEN, "after it wanted to be Ann, who is there already");
        party.silence("after a name was refused");
    }

    #[test]
    fn the_unnamed_hear_nothing() {
        let check = check!("07-chat");
        check.likely(
            "who has no name isn't a member yet: it hears nothing, and nobody hears of it",
            "07-callbacks.html#exercise-07-chat",
        );
        let server = check.server(&[]);
        let mut unnamed = asked(&server, "unnamed visitor");
        let mut party = Party::of(&server, &["ann", "bob"]);
        party.says(0, "hello", "with an unnamed visitor there");
        unnamed.nothing_more("after two had come, and one had said something");
        unnamed.send_in_pieces(b"half a na", 1);
        party.says(1, "hello", "with an unnamed visitor there");
        unnamed.nothing_more("while it was giving its name");
        unnamed.leave(Leaving::HangingUp);
        for leaving in ALL_WAYS {
            asked(&server, "unnamed visitor").leave(leaving);
        }
        party.silence("after four had come and left without a name");
    }

    #[test]
    fn leaving_is_told_once() {
        let check = check!("07-chat");
        check.likely(
            "it is told when somebody has finished sending, and again when the connection is closed: tell it only if the name was \
             on the list, and take it off first",
            "07-callbacks.html#once",
        );
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "bob"]);
        let mut bob = party.members.remove(1);
        bob.connection.finish_sending();
        bob.expect_end(b"", "after he had finished sending");
        party.all_hear("* bob has left\n", "after bob had finished sending");
        party.silence("after bob had finished sending, and had left");
        drop(bob);
        party.silence("after bob had finished sending, and had hung up then");
    }

    #[test]
    fn a_bug_ends_one_visitor() {
        let check = check!("07-chat");
        check.likely(
            "the close callback is called after a panic, too: whatever the ending is, the member has left",
            "07-callbacks.html#once",
        );
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "bob", "cid"]);
        let mut unlucky = party.members.remove(1);
        unlucky.send(b"/panic\n");
        let ended = unlucky.connection.receive_all(&server.program);
        if let Err((trouble, _)) = ended {
            let expected = "after bob had run into a bug, he waits for his connection to be closed";
            check.fail_for(expected, &trouble);
        }
        party.all_hear("* bob has left\n", "after bob had run into a bug");
        party.says(1, "what was that", "after bob had run into a bug");
        party.joined_by(Visitor::new(&server, "bob"));
        party.silence("after another bob had come");
    }

    #[rstest]
    #[case::with_its_end(LONGEST_LINE + 1, "\n")]
    #[case::before_its_end(LONGEST_LINE + 2, "")]
    fn long_lines(#[case] length: usize, #[case] end: &str) {
        let check = check!("07-chat");
        check.likely(
            "whoever says too much is told so (`finish` sends what is queued, `close` throws it away), and has left at once, even if it \
             keeps its end of the connection open",
            "07-callbacks.html#exercise-07-chat",
        );
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "bob"]);
        party.says(0, &"x".repeat(LONGEST_LINE), "with a line of 1000 bytes");
        let mut long = party.members.remove(0);
        let line = "y".repeat(length);
        long.send(format!("short\n{line}{end}").as_bytes());
        party
            .all_hear("ann: short\n* ann has left\n", "after ann had sent a line that is too long");
        long.expect_end(TOO_LONG, "after she had sent a line that is too long");
        // She is still connected, and her name is free all the same.
        party.joined_by(Visitor::new(&server, "ann"));
        let mut unnamed = asked(&server, "unnamed visitor");
        unnamed.send(format!("{line}{end}").as_bytes());
        unnamed.expect_end(TOO_LONG, "after it had sent a name that is too long for a line");
        long.leave(Leaving::HangingUp);
        party.silence("after two had said too much");
    }

    #[rstest]
    #[case::as_a_member("ann\n", "hello ann\n")]
    #[case::without_a_name("", "")]
    fn who_has_said_too_much_may_go_on_sending(#[case] name: &str, #[case] hello: &str) {
        let check = check!("07-chat");
        check.likely(FINISHED_SENDING, "07-callbacks.html#room-to-send");
        let server = check.server(&[]);
        let mut visitor = asked(&server, "visitor who had said too much and went on");
        visitor.send(format!("{name}{}\n", "x".repeat(LONGEST_LINE + 1)).as_bytes());
        let expected = [hello.as_bytes(), TOO_LONG].concat();
        visitor.expect_end(&expected, "after it had sent a line that is too long");
        visitor.goes_on_sending();
        visitor.leave(Leaving::HangingUp);
    }

    #[test]
    fn who_finishes_gets_what_is_queued() {
        let check = check!("07-chat");
        check.likely(
            "whoever has finished sending has left at that moment, and not only when all is sent and the connection is closed. And \
             `finish` sends what is queued; `close` throws it away",
            "07-callbacks.html#room-to-send",
        );
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann"]);
        party.joined_by(Visitor::narrow(&server, "bob"));
        let mut bob = party.members.remove(1);
        let text = "z".repeat(993);
        let lines = party.says_more_than_the_kernel_takes(&text, &bob);
        let said = format!("ann: {text}\n").repeat(lines);
        settle(&server, "with bob there, who doesn't read");
        bob.connection.finish_sending();
        party.all_hear("* bob has left\n", "after bob had finished sending, and before he read");
        party.joined_by(Visitor::new(&server, "bob"));
        party.says(0, "he is gone", "after bob had finished sending");
        bob.expect_end(said.as_bytes(), "after he had finished sending, and began to read");
        drop(bob);
        party.silence("after bob had read everything, and had left");
    }

    #[test]
    fn a_burst_is_no_slowness() {
        let check = check!("07-chat");
        check.likely(
            "it takes somebody for slow who isn't: nothing is sent before the callback returns. Up to MOST_QUEUED bytes may be queued",
            "07-callbacks.html#room-to-send",
        );
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["abcdefghijklmnopqrst", "bob", "cid"]);
        server.program.stop();
        // What comes from one read, at the most.
        party.members[0].send(&b"x\n".repeat(8000));
        server.program.go_on();
        let heard = "abcdefghijklmnopqrst: x\n".repeat(8000);
        let (bob, cid) = (1, 2);
        for listener in [bob, cid] {
            party.members[listener]
                .expect(heard.as_bytes(), "after somebody had said 8000 short lines in one piece");
        }
        party.says(bob, "that was a lot", "after 8000 lines");
        party.silence("after 8000 lines");
        // And the same from somebody without a name.
        let mut unnamed = asked(&server, "unnamed visitor");
        server.program.stop();
        unnamed.send(&b"\n".repeat(16_000));
        server.program.go_on();
        unnamed
            .expect(&BAD_NAME.repeat(16_000), "after it had sent 16000 empty lines in one piece");
        unnamed.send(b"dan\n");
        unnamed.expect(b"hello dan\n", "after it had read all that it was answered");
        party
            .all_hear("* dan is here\n", "after somebody had given 16000 bad names and a good one");
        party.silence("after 16000 bad names");
    }

    #[test]
    fn the_slow_are_hung_up_on() {
        const SLOW: [&str; 5] = ["slow1", "slow2", "slow3", "slow4", "slow5"];
        let check = check!("07-chat");
        check.likely(
            "more is queued, and more, for somebody who doesn't read: look at `queued` after each `send`, and `close` when it's over \
             MOST_QUEUED. The others hear every line all the same",
            "07-callbacks.html#room-to-send",
        );
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann"]);
        for name in SLOW {
            party.joined_by(Visitor::narrow(&server, name));
        }
        party.joined_by(Visitor::new(&server, "cid"));
        let mut cid = party.members.pop().expect("he has joined");
        let mut slow = party.members.split_off(1);
        let mut ann = party.members.remove(0);
        let when = "with five there who don't read";

        let before = memory(&server);
        let (mut most, mut said) = (0, Vec::new());
        let mut notices: Vec<Vec<u8>> = Vec::new();
        let mut round = 0;
        while notices.len() < SLOW.len() {
            round += 1;
            if round > 512 {
                let left = shown(&notices.concat());
                server.fail_seeing(&format!(
                    "after 8 MiB that five in the room didn't read, cid was to have heard that they have left, and heard {left}"
                ));
            }
            let text = format!("{round:0>993}");
            ann.send(format!("{text}\n").repeat(16).as_bytes());
            let lines = format!("ann: {text}\n").repeat(16).into_bytes();
            let (heard, left) = listen(&mut cid, 16, 0, when);
            cid.compare(&heard, &lines, when);
            notices.extend(left);
            said.extend_from_slice(&lines);
            most = most.max(memory(&server).saturating_sub(before));
        }
        // Each queue may have been as large again, for a moment, when it grew.
        let allowed = 3 * MOST_QUEUED * SLOW.len() as u64 + (2 << 20);
        if most > allowed {
            check.fail(format!(
                "{when}, your program took {most} bytes more: {allowed} are allowed"
            ));
        }
        notices.sort();
        let expected: Vec<_> =
            SLOW.iter().map(|name| format!("* {name} has left\n").into_bytes()).collect();
        cid.compare(&notices.concat(), &expected.concat(), when);
        let (_, mut told) = listen(&mut ann, 0, SLOW.len(), when);
        told.sort();
        ann.compare(&told.concat(), &expected.concat(), when);

        for slow in &mut slow {
            let name = slow.name();
            let received = slow.connection.receive_all(&server.program);
            let Ok(Received { bytes, .. }) = received else {
                server
                    .fail_seeing(&format!("the others heard that {name} has left, and it hasn't"));
            };
            // Until then it got what was said, and who of the others had left.
            let heard: Vec<u8> = bytes
                .split_inclusive(|byte| *byte == b'\n')
                .filter(|line| !line.starts_with(b"*"))
                .flatten()
                .copied()
                .collect();
            slow.compare(&heard, &said, when);
        }
        party.members.extend([ann, cid]);
        party.says(0, "they are gone", "after five had been hung up on");
        party.joined_by(Visitor::new(&server, SLOW[2]));
        party.silence("after five had been hung up on");
    }

    #[test]
    fn not_a_line_too_late() {
        let check = check!("07-chat");
        check.likely(
            "look at `queued` behind `send`, not before it, or the closing comes a line late, and never if nobody says anything more. \
             The limit is MOST_QUEUED bytes, and they may be queued",
            "07-callbacks.html#room-to-send",
        );
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "cid"]);
        party.joined_by(Visitor::narrow(&server, "slow"));
        let mut slow = party.members.pop().expect("he has joined");
        let mut cid = party.members.pop().expect("he has joined");
        let mut ann = party.members.pop().expect("she has joined");
        let when = "with one there who doesn't read";
        let line = format!("ann: {}\n", "z".repeat(993)).into_bytes();
        let mut told = 0;
        // One line a callback. That somebody has left is told behind the line that was too much, and before the next.
        loop {
            ann.send(&line[b"ann: ".len()..]);
            let some = |bytes: &[u8]| !bytes.is_empty();
            let next = cid.connection.receive_while_missing(&server.program, some);
            if let Ok(Ok(bytes)) = next {
                cid.connection.give_back(&bytes);
                if bytes[0] == b'*' {
                    cid.expect(b"* slow has left\n", when);
                    break;
                }
            }
            cid.expect(&line, when);
            told += line.len() as u64;
            if told > 16 << 20 {
                server
                    .fail_seeing("somebody didn't read 16 MiB that were said, and is still there");
            }
        }
        // What he gets now had left the program: the rest was queued.
        let Ok(Received { bytes, end: End::Closed }) = slow.connection.receive_all(&server.program)
        else {
            return;
        };
        let queued = told - bytes.len() as u64;
        if queued > MOST_QUEUED + line.len() as u64 {
            check.fail(format!(
                "{when}, he was closed a line too late: {queued} bytes were queued for him, {MOST_QUEUED} are allowed, and a line \
                 has {}",
                line.len()
            ));
        }
        if queued <= MOST_QUEUED {
            check.fail(format!(
                "{when}, he was closed too early: {queued} bytes were queued for him, and {MOST_QUEUED} are allowed"
            ));
        }
    }

    #[test]
    fn the_unnamed_may_be_slow_too() {
        /// More than the kernel takes, even where it hasn't been asked to take little.
        const PIECES: usize = 60;
        let check = check!("07-chat");
        check.likely(
            "every bad name is answered, and the answers are queued for somebody who doesn't read: look at `queued` before each line, \
             and `close` when it's over MOST_QUEUED",
            "07-callbacks.html#room-to-send",
        );
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "bob"]);
        let mut unnamed = Visitor::narrow(&server, "unnamed visitor");
        unnamed.expect(ASK, "after it connected");
        let before = memory(&server);
        let piece = b"\n".repeat(16 * 1024);
        let sent = (0..PIECES).find(|_| {
            let sent = unnamed.connection.send_in_pieces(&piece, 1, &server.program);
            sent.is_err() || memory(&server).saturating_sub(before) > 16 * MOST_QUEUED
        });
        let more = memory(&server).saturating_sub(before);
        if sent.is_none() || more > 16 * MOST_QUEUED {
            server.fail_seeing(&format!(
                "an unnamed visitor sends one empty line after the other and reads none of the answers: it's still connected, and \
                 your program has taken {more} bytes more"
            ));
        }
        party.says(0, "who was that", "after an unnamed visitor had been closed");
        party.silence("after an unnamed visitor had been closed");
    }

    /// Receives until so many lines have been heard and so many announcements, and gives both.
    #[track_caller]
    fn listen(
        visitor: &mut Visitor<'_>,
        said: usize,
        announced: usize,
        when: &str,
    ) -> (Vec<u8>, Vec<Vec<u8>>) {
        let lines = |bytes: &[u8]| -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
            let whole = bytes.split_inclusive(|byte| *byte == b'\n');
            let whole = whole.filter(|line| line.ends_with(b"\n")).map(<[u8]>::to_vec);
            whole.partition(|line| line.starts_with(b"*"))
        };
        let enough = |bytes: &[u8]| {
            let (notices, heard) = lines(bytes);
            heard.len() >= said && notices.len() >= announced
        };
        let (name, server) = (visitor.name(), visitor.server);
        let bytes = match visitor.connection.receive_while_missing(&server.program, enough) {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(Received { bytes, .. })) => {
                let came = shown(&bytes);
                server.fail_seeing(&format!("{when}, {name} was hung up on, after {came}"));
            }
            Err((trouble, bytes)) => {
                let came = shown(&bytes);
                let waits = format!(
                    "{when}, {name} waits for what is said, or who has left ({came} has come)"
                );
                server.check.fail_for(&waits, &trouble);
            }
        };
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        visitor.connection.give_back(&bytes[whole..]);
        let (notices, heard) = lines(&bytes);
        (heard.concat(), notices)
    }

    /// The program's memory in use, in bytes. Where nobody can tell, 0.
    fn memory(server: &Server<'_>) -> u64 {
        server.program.usage().map_or(0, |usage| usage.resident)
    }

    /// What somebody does before it's gone.
    #[derive(Clone, Copy, Debug)]
    enum Stage {
        Unnamed,
        InItsName,
        Named,
        InALine,
        AfterABug,
        AfterTooMuch,
    }

    impl fmt::Display for Stage {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(match self {
                Self::Unnamed => "without a name",
                Self::InItsName => "in the middle of its name",
                Self::Named => "with a name",
                Self::InALine => "in the middle of a line",
                Self::AfterABug => "after it had run into a bug",
                Self::AfterTooMuch => "after it had said too much",
            })
        }
    }

    #[rstest]
    #[case::without_a_name(Stage::Unnamed, Leaving::Reset)]
    #[case::without_a_name_politely(Stage::Unnamed, Leaving::HangingUp)]
    #[case::in_its_name(Stage::InItsName, Leaving::Reset)]
    #[case::with_a_name(Stage::Named, Leaving::Reset)]
    #[case::with_a_name_politely(Stage::Named, Leaving::HangingUp)]
    #[case::in_a_line(Stage::InALine, Leaving::Reset)]
    #[case::after_a_bug(Stage::AfterABug, Leaving::HangingUp)]
    #[case::after_too_much(Stage::AfterTooMuch, Leaving::HangingUp)]
    fn they_come_and_go(#[case] stage: Stage, #[case] leaving: Leaving) {
        let check = check!("07-chat");
        check.likely(
            "visitors are counted when they come, and not when they are gone. The close callback counts them, and so it's set \
             before anything can end the connection, name or no name; and a panic in it is a panic in the middle of cleaning up",
            "07-callbacks.html#once",
        );
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann"]);
        // One more than there is room for, one after the other.
        for _ in 0..MOST_VISITORS {
            let mut guest = asked(&server, "guest");
            match stage {
                Stage::Unnamed => {}
                Stage::InItsName => guest.send_in_pieces(b"gue", 1),
                Stage::Named => guest.send(b"guest\n"),
                Stage::InALine => guest.send(b"guest\nhalf a li"),
                Stage::AfterABug => guest.send(b"guest\n/panic\n"),
                Stage::AfterTooMuch => {
                    guest.send(format!("guest\n{}", "x".repeat(LONGEST_LINE + 2)).as_bytes());
                }
            }
            let had_a_name = !matches!(stage, Stage::Unnamed | Stage::InItsName);
            if had_a_name {
                guest.expect(b"hello guest\n", "after it had said who it is");
                party.all_hear("* guest is here\n", "after somebody had come");
            }
            match leaving {
                Leaving::Reset => guest.connection.reset(),
                _ => drop(guest),
            }
            if had_a_name {
                party.all_hear("* guest has left\n", &format!("after a guest had gone, {stage}"));
            }
        }
        settle(&server, "after four hundred had come and gone");
        asked(&server, "next visitor");
        party.silence("after four hundred had come and gone");
    }

    #[test]
    fn the_room_is_full() {
        const COUNTED: &str = "four hundred may be connected, named or not, and no more. Whoever is told FULL doesn't count, even if it \
            stays connected. All others count until their connection is closed, and not only until they have left the room";
        let check = check!("07-chat");
        check.likely(COUNTED, "07-callbacks.html#exercise-07-chat");
        room_for(MOST_VISITORS);
        let server = check.server(&[]);
        let mut all: Vec<_> = (1..=MOST_VISITORS)
            .map(|number| asked(&server, &format!("visitor {number}")))
            .collect();
        for _ in 0..3 {
            check.likely(COUNTED, "07-callbacks.html#exercise-07-chat");
            let mut too_many = Visitor::new(&server, "visitor 401");
            too_many.expect_end(FULL, "with four hundred connected");
            check.likely(FINISHED_SENDING, "07-callbacks.html#room-to-send");
            too_many.goes_on_sending();
            too_many.leave(Leaving::HangingUp);
        }
        check.likely(COUNTED, "07-callbacks.html#exercise-07-chat");
        // Those who are told so may stay: their connections aren't among the four hundred.
        let mut stay = Vec::new();
        for leaving in ALL_WAYS {
            all.remove(100).leave(leaving);
            let mut next = Visitor::new(&server, "next visitor");
            let when = format!(
                "with four hundred connected, of whom one had left by {leaving}, and {} who were told that it's full, and stay",
                stay.len()
            );
            next.expect(ASK, &when);
            all.push(next);
            let mut too_many = Visitor::new(&server, "visitor 401");
            too_many.expect_end(FULL, "with four hundred connected");
            stay.push(too_many);
        }
        all[200].send(b"ann\n");
        all[200].expect(b"hello ann\n", "with four hundred connected");
        for (place, name) in [(200, ""), (300, "bob\n"), (350, "")] {
            let one = &mut all[place];
            one.send(format!("{name}{}\n", "x".repeat(LONGEST_LINE + 1)).as_bytes());
            let hello = if name.is_empty() { "" } else { "hello bob\n" };
            let expected = [hello.as_bytes(), TOO_LONG].concat();
            one.expect_end(&expected, "after it had sent a line that is too long");
            let mut too_many = Visitor::new(&server, "next visitor");
            let when = "with four hundred connected, of whom one was hung up on, and stays";
            too_many.expect_end(FULL, when);
            too_many.leave(Leaving::HangingUp);
        }
    }

    #[test]
    fn three_hundred_hear_each_line() {
        const COUNT: usize = 300;
        let check = check!("07-chat");
        check.likely(
            "somebody among many is left out, or waited for: `send` only queues, and the loop sends when the callback has returned",
            "07-callbacks.html#room-to-send",
        );
        room_for(COUNT);
        let server = check.server(&[]);
        let names: Vec<String> = (1..=COUNT).map(|number| format!("m{number}")).collect();
        let mut party = Party { server: &server, members: Vec::new() };
        for name in &names {
            let mut member = asked(&server, name).person();
            member.send(format!("{name}\n").as_bytes());
            member.expect(format!("hello {name}\n").as_bytes(), "after it had said who it is");
            party.members.push(member);
        }
        for (place, member) in party.members.iter_mut().enumerate() {
            let later: String =
                names[place + 1..].iter().map(|name| format!("* {name} is here\n")).collect();
            member.expect(later.as_bytes(), "after three hundred had come");
        }
        for speaker in [0, 299, 150] {
            party.says(speaker, "hello everybody", "with three hundred in the room");
        }
        party.silence("after three of three hundred had said something");
    }

    #[test]
    fn a_quiet_room_costs_nothing() {
        let check = check!("07-chat");
        check.likely(
            "it looks again and again whether there is more. Return: the loop waits, and calls again by itself. (A callback that \
             is set anew hears at once of what is there still)",
            "07-callbacks.html#the-loop",
        );
        let server = check.server(&[]);
        settle(&server, "with nobody there");
        let mut unnamed = asked(&server, "unnamed visitor");
        unnamed.send_in_pieces(b"half a na", 1);
        settle(&server, "with a visitor in the middle of its name");
        let mut party = Party::of(&server, &["ann", "bob"]);
        party.members[0].send_in_pieces(b"half a li", 1);
        settle(&server, "with a member in the middle of a line");
        party.members[0].send(b"ne\n");
        party.members[1].expect(b"ann: half a line\n", "after ann had sent a line in two pieces");
        settle(&server, "after a line that everybody heard");
    }

    #[test]
    fn one_line_waits() {
        let check = check!("07-chat");
        check.likely(
            "it waits, or naps, in a callback: everybody else waits with it. The loop waits, for all at once",
            "07-callbacks.html#the-loop",
        );
        waits_only_in_poll(&check, "with somebody there who doesn't read", |server| {
            let unnamed = asked(server, "unnamed visitor");
            let mut party = Party::of(server, &["ann"]);
            party.joined_by(Visitor::narrow(server, "bob"));
            party.joined_by(Visitor::new(server, "cid"));
            let bob = party.members.remove(1);
            party.says_more_than_the_kernel_takes(&"z".repeat(990), &bob);
            settle(server, "with bob there, who doesn't read");
            bob.connection.reset();
            party.all_hear("* bob has left\n", "after bob was reset");
            drop(unnamed);
        });
    }
}

mod seats {
    use super::*;

    /// A visitor who has got this seat.
    #[track_caller]
    fn seated<'a>(server: &'a Server<'a>, name: &str, seat: usize) -> Visitor<'a> {
        let mut visitor = Visitor::new(server, name);
        visitor.expect(format!("seat {seat}\n").as_bytes(), "after it connected");
        visitor
    }

    impl Visitor<'_> {
        /// Says something, and has to get just this.
        #[track_caller]
        fn says(&mut self, order: &str, expected: &str) {
            self.send(format!("{order}\n").as_bytes());
            self.expect(expected.as_bytes(), &format!("after it had said {order:?}"));
        }

        /// Has to hear just this.
        #[track_caller]
        fn hears(&mut self, expected: &str, when: &str) {
            self.expect(expected.as_bytes(), when);
        }
    }

    #[track_caller]
    fn nobody_hears_more(all: &mut [Visitor<'_>], when: &str) {
        settle(all[0].server, when);
        for visitor in all {
            if visitor.has_more() {
                visitor.nothing_more(when);
            }
        }
    }

    #[test]
    fn seats_are_given_in_order() {
        let check = check!("07-seats");
        check.likely(
            "each visitor gets the lowest number that nobody has, from 1 on",
            "07-callbacks.html#exercise-07-seats",
        );
        let server = check.server(&[]);
        let mut all: Vec<_> =
            (1..=5).map(|seat| seated(&server, &format!("visitor {seat}"), seat)).collect();
        nobody_hears_more(&mut all, "after five had come");
    }

    #[rstest]
    #[case::by_finishing(Leaving::Finishing)]
    #[case::by_hanging_up(Leaving::HangingUp)]
    #[case::by_a_reset(Leaving::Reset)]
    fn the_lowest_free_seat(#[case] leaving: Leaving) {
        let check = check!("07-seats");
        check.likely(
            "a seat is free again when its connection is gone, whatever ended it, and the lowest one is given first",
            "07-callbacks.html#once",
        );
        let server = check.server(&[]);
        let mut all: Vec<_> =
            (1..=5).map(|seat| Some(seated(&server, &format!("visitor {seat}"), seat))).collect();
        for seats in [&[3][..], &[4, 2], &[1, 5, 3]] {
            for seat in seats {
                let leaves = all[seat - 1].take().expect("there is one on each seat");
                leaves.leave(leaving);
            }
            let mut free = seats.to_vec();
            free.sort_unstable();
            for seat in free {
                all[seat - 1] = Some(seated(&server, &format!("next visitor {seat}"), seat));
            }
            seated(&server, "one more", 6).leave(leaving);
        }
    }

    #[rstest]
    #[case::in_one_piece(1)]
    #[case::byte_by_byte(usize::MAX)]
    fn delivered_at_the_ring(#[case] pieces: usize) {
        let check = check!("07-seats");
        check.likely(
            "`post` registers a callback, and says so; at the next ring it is called. Not before",
            "07-callbacks.html#exercise-07-seats",
        );
        let server = check.server(&[]);
        let mut poster = seated(&server, "poster", 1);
        let mut other = seated(&server, "addressee", 2);
        let mut third = seated(&server, "third one", 3);
        poster.send_in_pieces(b"post 2 hello, you\n", pieces);
        poster.hears("kept\n", "after it had said \"post 2 hello, you\"");
        other.nothing_more("before anybody has rung");
        third.send_in_pieces(b"ring\n", pieces);
        third.hears("rung 1\n", "after it had said \"ring\"");
        other.hears("from 1: hello, you\n", "after somebody had rung");
        nobody_hears_more(&mut [poster, other, third], "after a text was delivered");
    }

    #[test]
    fn once() {
        let check = check!("07-seats");
        check.likely(
            "what was called stays registered: a ring takes out all that is waiting, and then calls it",
            "07-callbacks.html#once",
        );
        let server = check.server(&[]);
        let mut poster = seated(&server, "poster", 1);
        let mut other = seated(&server, "addressee", 2);
        poster.says("ring", "rung 0\n");
        for text in ["one", "two"] {
            poster.says(&format!("post 2 {text}"), "kept\n");
            other.says("ring", &format!("from 1: {text}\nrung 1\n"));
            poster.says("ring", "rung 0\n");
            other.says("ring", "rung 0\n");
        }
        nobody_hears_more(&mut [poster, other], "after each text was delivered");
    }

    #[test]
    fn in_the_order_of_posting() {
        let check = check!("07-seats");
        check.likely(
            "one is passed over, or the order is another: call them all, the oldest first. (To take something out of a list while \
             you count along it moves the rest)",
            "07-callbacks.html#exercise-07-seats",
        );
        let server = check.server(&[]);
        let mut all: Vec<_> =
            (1..=4).map(|seat| seated(&server, &format!("visitor {seat}"), seat)).collect();
        let mut expected = String::new();
        for text in 0..7 {
            let poster = text % 3;
            all[poster].says(&format!("post 4 text {text}"), "kept\n");
            expected += &format!("from {}: text {text}\n", poster + 1);
        }
        all[0].says("ring", "rung 7\n");
        all[3].hears(&expected, "after somebody had rung for seven texts");
        nobody_hears_more(&mut all, "after seven texts were delivered");
    }

    #[test]
    fn again_at_every_ring() {
        let check = check!("07-seats");
        check.likely(
            "a callback that registers itself while it runs is for the next ring, not for this one. And nothing may be borrowed while \
             it runs: take out what is waiting, then call",
            "07-callbacks.html#once",
        );
        let server = check.server(&[]);
        let mut poster = seated(&server, "poster", 1);
        let mut other = seated(&server, "addressee", 2);
        poster.says("again 2 wake up", "kept\n");
        for _ in 0..50 {
            poster.says("ring", "rung 1\n");
            other.hears("from 1: wake up\n", "after somebody had rung once more");
        }
        nobody_hears_more(&mut [poster, other], "after fifty rings");
    }

    #[test]
    fn nobody_there() {
        let check = check!("07-seats");
        check.likely(
            "look who sits there when it's posted: if nobody does, say so, and register nothing",
            "07-callbacks.html#exercise-07-seats",
        );
        let server = check.server(&[]);
        let mut poster = seated(&server, "poster", 1);
        for seat in ["0", "2", "18446744073709551615"] {
            poster.says(&format!("post {seat} hello"), "nobody there\n");
            poster.says(&format!("again {seat} hello"), "nobody there\n");
        }
        seated(&server, "visitor who left", 2).leave(Leaving::HangingUp);
        poster.says("post 2 hello", "nobody there\n");
        let mut late = seated(&server, "late visitor", 2);
        poster.says("ring", "rung 0\n");
        nobody_hears_more(std::slice::from_mut(&mut late), "after nothing was posted to it");
    }

    #[test]
    fn to_oneself() {
        let check = check!("07-seats");
        check.likely(
            "one may post to one's own seat, and is told first `kept`, then at the ring the text, and last `rung`",
            "07-callbacks.html#exercise-07-seats",
        );
        let server = check.server(&[]);
        let mut alone = seated(&server, "lonely visitor", 1);
        alone.says("post 1 note to self", "kept\n");
        alone.says("again 1 and another", "kept\n");
        alone.says("ring", "from 1: note to self\nfrom 1: and another\nrung 2\n");
        alone.says("ring", "from 1: and another\nrung 1\n");
        // All at once, in one piece.
        server.program.stop();
        alone.send(b"post 1 a\nring\npost 1 b\nring\nring\n");
        server.program.go_on();
        alone.hears(
            "kept\nfrom 1: and another\nfrom 1: a\nrung 2\n\
             kept\nfrom 1: and another\nfrom 1: b\nrung 2\nfrom 1: and another\nrung 1\n",
            "after it had posted and rung in one piece",
        );
        nobody_hears_more(std::slice::from_mut(&mut alone), "after it had rung for itself");
    }

    #[rstest]
    #[case::by_finishing(Leaving::Finishing)]
    #[case::by_hanging_up(Leaving::HangingUp)]
    #[case::by_a_reset(Leaving::Reset)]
    fn not_for_the_next_tenant(#[case] leaving: Leaving) {
        let check = check!("07-seats");
        check.likely(
            "it looks who sits there when somebody rings. The text is for the one who sat there when it was posted: remember that one's \
             token, and compare. If it has left, tell the poster",
            "07-callbacks.html#token",
        );
        let server = check.server(&[]);
        let mut poster = seated(&server, "poster", 1);
        for order in ["post", "again"] {
            let first = seated(&server, "first tenant", 2);
            poster.says(&format!("{order} 2 for your eyes only"), "kept\n");
            first.leave(leaving);
            let mut next = seated(&server, "next tenant", 2);
            let when = format!("after the first tenant had left by {leaving}");
            next.nothing_more(&when);
            poster.says("post 2 and this is for you", "kept\n");
            poster.send(b"ring\n");
            next.hears("from 1: and this is for you\n", &when);
            poster.hears("seat 2 has left\nrung 2\n", &format!("{when}, and it had rung"));
            next.nothing_more(&when);
            poster.says("ring", "rung 0\n");
            next.leave(Leaving::HangingUp);
            // And nobody at all may sit there.
            poster.says("ring", "rung 0\n");
        }
        poster.nothing_more("after two rounds");
    }

    #[test]
    fn the_poster_may_leave() {
        let check = check!("07-seats");
        check.likely(
            "what is posted is delivered even if the poster has left. And what the poster was to be told isn't for its seat's next \
             tenant",
            "07-callbacks.html#token",
        );
        let server = check.server(&[]);
        let mut ringer = seated(&server, "ringer", 1);
        let mut stays = seated(&server, "addressee who stays", 2);
        let leaves = seated(&server, "addressee who leaves", 3);
        let mut poster = seated(&server, "poster", 4);
        poster.says("post 2 farewell", "kept\n");
        poster.says("again 2 and again", "kept\n");
        poster.says("post 3 farewell", "kept\n");
        poster.says("again 3 farewell", "kept\n");
        poster.leave(Leaving::Reset);
        leaves.leave(Leaving::Reset);
        let mut third = seated(&server, "next tenant of seat 3", 3);
        let mut fourth = seated(&server, "next tenant of seat 4", 4);
        let when = "after the poster had left, and somebody had rung";
        ringer.says("ring", "rung 4\n");
        stays.hears("from 4: farewell\nfrom 4: and again\n", when);
        third.nothing_more(when);
        fourth.nothing_more(when);
        for _ in 0..3 {
            fourth.says("ring", "rung 1\n");
            stays.hears("from 4: and again\n", &format!("{when} once more"));
        }
        let when = "after those were gone who had posted, and to whom";
        nobody_hears_more(&mut [stays, ringer], when);
        third.nothing_more(when);
        fourth.nothing_more(when);
    }

    #[test]
    fn again_among_others() {
        let check = check!("07-seats");
        check.likely(
            "what registers itself anew comes behind what is registered, and before what is posted later. Each is called once at a \
             ring",
            "07-callbacks.html#exercise-07-seats",
        );
        let server = check.server(&[]);
        let mut poster = seated(&server, "poster", 1);
        let mut other = seated(&server, "addressee", 2);
        let leaves = seated(&server, "addressee who leaves", 3);
        for order in ["again 2 a", "post 2 b", "again 3 c", "again 2 d", "post 2 e"] {
            poster.says(order, "kept\n");
        }
        poster.says("ring", "rung 5\n");
        let when = "after somebody had rung";
        other.hears("from 1: a\nfrom 1: b\nfrom 1: d\nfrom 1: e\n", when);
        leaves.leave(Leaving::HangingUp);
        poster.says("post 2 f", "kept\n");
        poster.says("ring", "seat 3 has left\nrung 4\n");
        other.hears("from 1: a\nfrom 1: d\nfrom 1: f\n", when);
        poster.says("ring", "rung 2\n");
        other.hears("from 1: a\nfrom 1: d\n", when);
        nobody_hears_more(&mut [poster, other], when);
    }

    #[test]
    fn closed_in_the_middle_of_a_ring() {
        const KEPT: usize = 250;
        let check = check!("07-seats");
        check.likely(
            "`close` is done at once, and the close callback comes later, when no callback runs. In between your own list still has a \
             token that names nobody. Ask the loop whether it does: `event_loop.get::<Connection>(token)`",
            "07-callbacks.html#once",
        );
        let server = check.server(&[]);
        // It may happen with the very last text of a ring, when nobody is left to be told of: then once more, with others.
        for length in [960, 941, 917] {
            let mut poster = seated(&server, "poster", 1);
            let mut slow = Visitor::narrow(&server, "slow addressee");
            slow.expect(b"seat 2\n", "after it connected");
            let text = "z".repeat(length);
            poster.send(format!("again 2 {text}\n").repeat(KEPT).as_bytes());
            poster.hears(&"kept\n".repeat(KEPT), "after it had posted as much as is kept");
            let told = (0..64).map(|_| ring_and_count(&mut poster, KEPT)).find(|told| *told > 0);
            let Some(told) = told else {
                server.fail_seeing(
                    "an addressee who doesn't read was to be closed after so many texts, and it wasn't: the poster heard nothing of it",
                );
            };
            // Those that had been delivered are kept for the next ring, and it's told of them there.
            if told < KEPT {
                let left = KEPT - told;
                let again = ring_and_count(&mut poster, left);
                if again != left {
                    check.fail(format!(
                        "after an addressee who didn't read had been closed in the middle of a ring, {left} texts were kept for the next \
                         one, and the poster was told of {again} that it has left"
                    ));
                }
                poster.says("ring", "rung 0\n");
                poster.nothing_more("after all texts were forgotten");
                return;
            }
            poster.says("ring", "rung 0\n");
            drop(slow);
            poster.leave(Leaving::HangingUp);
        }
        server.fail_seeing(&format!(
            "{KEPT} texts were kept for somebody who doesn't read, and it was closed in the middle of a ring: in that ring the poster was \
             told of none of the rest that seat 2 has left"
        ));
    }

    /// Rings, when so many texts are kept for seat 2. Of how many of them the ringer was told that it has left.
    #[track_caller]
    fn ring_and_count(ringer: &mut Visitor<'_>, kept: usize) -> usize {
        const LEFT: &[u8] = b"seat 2 has left\n";
        let last = format!("rung {kept}\n").into_bytes();
        ringer.send(b"ring\n");
        let whole = |bytes: &[u8]| bytes.ends_with(b"\n") && !bytes.ends_with(LEFT);
        let (server, when) = (ringer.server, "after it had rung for somebody who doesn't read");
        let received = ringer.connection.receive_while_missing(&server.program, whole);
        let bytes = match received {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(Received { bytes, .. })) => server.fail_seeing(&format!(
                "{when}, the poster was hung up on, and got {}",
                shown(&bytes)
            )),
            Err((trouble, bytes)) => {
                let waits = format!("{when}, the poster waits for the answer ({})", shown(&bytes));
                server.check.fail_for(&waits, &trouble);
            }
        };
        let told = bytes.strip_suffix(&last[..]).unwrap_or(&bytes);
        if told.len() == bytes.len() || told.chunks(LEFT.len()).any(|line| line != LEFT) {
            server.fail_seeing(&format!(
                "{when}, the poster got {}, and that was to end with {}",
                shown(&bytes),
                shown(&last)
            ));
        }
        told.len() / LEFT.len()
    }

    #[test]
    fn two_hundred() {
        const COUNT: usize = 200;
        let check = check!("07-seats");
        check.likely(
            "with many there somebody is passed over, or gets what isn't its own",
            "07-callbacks.html#exercise-07-seats",
        );
        room_for(COUNT);
        let server = check.server(&[]);
        let mut all: Vec<_> = (1..=COUNT)
            .map(|seat| Some(seated(&server, &format!("visitor {seat}"), seat)))
            .collect();
        // Each posts to the next one, and the last one to the first.
        for (place, visitor) in all.iter_mut().enumerate() {
            let order = format!("post {} I am {}", (place + 1) % COUNT + 1, place + 1);
            visitor.as_mut().expect("nobody has left").says(&order, "kept\n");
        }
        // Every tenth leaves, and somebody else comes.
        for place in (0..COUNT).step_by(10) {
            let leaves = all[place].take().expect("nobody has left");
            leaves.leave(Leaving::HangingUp);
        }
        for place in (0..COUNT).step_by(10) {
            all[place] = Some(seated(&server, "newcomer", place + 1));
        }
        let mut all: Vec<_> = all.into_iter().flatten().collect();
        // Those who were before somebody who has left are told so. It's the second one who rings.
        all[1].says("ring", &format!("from 1: I am 1\nrung {COUNT}\n"));
        let when = "after two hundred had posted, twenty had left, and somebody had rung";
        for (place, visitor) in all.iter_mut().enumerate().filter(|(place, _)| *place != 1) {
            match place % 10 {
                0 => {}
                9 => visitor.hears(
                    &format!(
                        "from {place}: I am {place}\nseat {} has left\n",
                        (place + 1) % COUNT + 1
                    ),
                    when,
                ),
                _ => visitor.hears(&format!("from {place}: I am {place}\n"), when),
            }
        }
        nobody_hears_more(&mut all, when);
    }

    #[test]
    fn what_is_kept_costs_nothing() {
        let check = check!("07-seats");
        check.likely(
            "it looks again and again, or never comes to an end with a ring: nothing is to be done until somebody rings",
            "07-callbacks.html#the-loop",
        );
        let server = check.server(&[]);
        settle(&server, "with nobody there");
        let mut poster = seated(&server, "poster", 1);
        poster.nothing_more("after it had got its seat");
        poster.says("post 1 something", "kept\n");
        poster.says("again 1 and again", "kept\n");
        settle(&server, "with two texts that are kept");
        poster.says("ring", "from 1: something\nfrom 1: and again\nrung 2\n");
        settle(&server, "after a ring, with one text that is kept again");
    }

    #[test]
    fn one_line_waits() {
        let check = check!("07-seats");
        check.likely(
            "it waits, or naps, in a callback: everybody else waits with it. The loop waits, for all at once",
            "07-callbacks.html#the-loop",
        );
        waits_only_in_poll(&check, "with texts delivered at twenty rings", |server| {
            let mut silent = seated(server, "silent visitor", 1);
            let mut poster = seated(server, "poster", 2);
            poster.says("again 1 wake up", "kept\n");
            for _ in 0..20 {
                poster.says("post 1 now", "kept\n");
                poster.says("ring", "rung 2\n");
            }
            settle(server, "after twenty rings");
            silent.hears("from 2: wake up\nfrom 2: now\n", "after somebody had rung");
        });
    }
}
