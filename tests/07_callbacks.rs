//! The graded checks of chapter 7. The judged program is the server; the check plays its visitors.

use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use grader::bytes::{Between, between_when_still, both_ends, narrow_visitor, read_exactly, settle};
use grader::check;
use grader::check::{Check, Server};
use rstest::rstest;
use visitors::connection::{Connection, End, Received};
use visitors::crowd::make_room;
use visitors::program::{LOOK_EVERY, PATIENCE, Watch};
use visitors::tcp;

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

    /// Waits until all that it sent is in the server's kernel, where that can be seen. Nobody may read it meanwhile.
    fn has_arrived(&self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        let is_there = || match both_ends(self.server, &self.connection) {
            Some((there, _)) => there.unread >= count,
            None => true,
        };
        while !is_there() && Instant::now() < deadline {
            thread::sleep(LOOK_EVERY / 10);
        }
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

/// One of thousands who come and go. It costs this side as little as may be.
struct Passer<'a> {
    server: &'a Server<'a>,
    stream: TcpStream,
}

impl<'a> Passer<'a> {
    #[track_caller]
    fn new(server: &'a Server<'a>) -> Self {
        let connected = TcpStream::connect(server.address);
        let patient = connected.and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(stream)
        });
        match patient {
            Ok(stream) => Self { server, stream },
            Err(error) => server.fail_seeing(&format!("one of many couldn't connect: {error}")),
        }
    }

    /// Sends one thing, and has to get another.
    #[track_caller]
    fn exchanges(&mut self, sent: &[u8], expected: &[u8]) {
        let mut came = vec![0; expected.len()];
        let exchanged =
            self.stream.write_all(sent).and_then(|()| self.stream.read_exact(&mut came));
        if exchanged.is_err() || came != expected {
            let (sent, came, expected) = (shown(sent), shown(&came), shown(expected));
            self.server.fail_seeing(&format!(
                "one of many sent {sent}, and got {came}, and not {expected}"
            ));
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
    while tcp::accepted(server.address.port()).is_some_and(|accepted| accepted > count) {
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

/// Waits until the server has no more descriptors open than before anybody came.
#[track_caller]
fn all_have_left(server: &Server<'_>, before: Option<usize>) {
    if before.is_none() {
        return settle(server, "after all had left");
    }
    let mut watch = Watch::new(&server.program);
    while descriptors(server) > before {
        if let Some(trouble) = watch.trouble() {
            let expected = "all have left, and their connections were to be closed";
            server.check.fail_for(expected, &trouble);
        }
        thread::sleep(LOOK_EVERY / 10);
    }
}

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

    /// So many bytes, not two of them alike for a while.
    fn many(length: usize) -> Vec<u8> {
        (0..length).map(|byte| (byte * 7 % 251) as u8).collect()
    }

    /// A visitor who has been answered once already.
    #[track_caller]
    fn visitor<'a>(server: &'a Server<'a>, name: &str) -> Visitor<'a> {
        let mut visitor = Visitor::new(server, name);
        visitor.send(b"5:hello,");
        visitor.expect(b"5:olleh,", "after it sent the frame 5:hello,");
        visitor
    }

    /// It gets these answers, REFUSAL behind them, and a proper end.
    #[track_caller]
    fn refused_behind(visitor: &mut Visitor<'_>, answers: &[u8], when: &str) {
        visitor.expect(&[answers, REFUSAL].concat(), when);
        visitor.server.check.suspect("refusal-is-not-the-end");
        visitor.expect_end(b"", &format!("{when}, and was told that it is no frame"));
    }

    #[rstest]
    #[case::in_one_piece("answers-at-the-end-only", 1)]
    #[case::in_three_pieces("half-is-lost", 3)]
    #[case::byte_by_byte("half-is-lost", usize::MAX)]
    fn a_frame_is_answered(#[case] cause: &'static str, #[case] pieces: usize) {
        let check = check!("07-frames");
        check.suspect(cause);
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
    #[case::none("empty-frame-is-not-answered", b"")]
    #[case::commas_and_colons("looks-for-the-comma", b"a,b:c,,:,")]
    #[case::line_ends("what-is-in-it-matters", b"\r\n\n,\n")]
    #[case::blanks("blanks-are-dropped", b"  a  b\t ")]
    #[case::digits("what-is-in-it-matters", b"0123456789")]
    #[case::what_looks_like_a_frame("looks-for-the-comma", b"3:abc,")]
    #[case::letters_of_two_bytes("text-not-bytes", "größer, 世界".as_bytes())]
    #[case::zeros("what-is-in-it-matters", b"\0\0a\0")]
    #[case::all_there_are("text-not-bytes", &ALL_BYTES)]
    fn any_bytes_may_be_in_it(#[case] cause: &'static str, #[case] bytes: &[u8]) {
        let check = check!("07-frames");
        check.suspect(cause);
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

    #[test]
    fn of_any_length() {
        let check = check!("07-frames");
        check.suspect("wrong-length");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        let some = [255, 256, 257, 999, 1000, 1001, 4095, 4096, 8191, 9999, 10_000, 10_001, 16_000];
        for length in (0..=101).chain(some) {
            visitor.send(&frame(&many(length)));
            visitor.expect(
                &answer(&many(length)),
                &format!("after it sent a frame of {length} bytes"),
            );
        }
    }

    #[rstest]
    #[case::two(2)]
    #[case::a_hundred(100)]
    #[case::four_thousand(4000)]
    fn all_in_one_piece_are_answered(#[case] count: usize) {
        let check = check!("07-frames");
        check.suspect("one-a-call");
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
    fn as_many_as_one_read_gives() {
        /// Of three bytes each, they are 16 KiB.
        const COUNT: usize = LONGEST / 3;
        let check = check!("07-frames");
        check.suspect("so-many-a-call");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        server.program.stop();
        visitor.send(&b"0:,".repeat(COUNT));
        server.program.go_on();
        let when = format!("after it sent {COUNT} empty frames in one piece");
        visitor.expect(&b"0:,".repeat(COUNT), &when);
        visitor.nothing_more(&when);
    }

    #[test]
    fn one_and_a_half() {
        let check = check!("07-frames");
        check.suspect("takes-out-too-much");
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
        check.suspect("limit-is-off");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        for length in [LONGEST - 1, LONGEST] {
            let bytes = many(length);
            let three = [frame(&bytes), frame(b"in between"), frame(&bytes)].concat();
            visitor.send_in_pieces(&three, pieces);
            let answers = [answer(&bytes), answer(b"in between"), answer(&bytes)].concat();
            visitor.expect(&answers, &format!("after it sent frames of {length} bytes"));
        }
    }

    #[test]
    fn frames_before_a_wrong_one_are_answered() {
        let check = check!("07-frames");
        check.suspect("answers-lost-at-a-refusal");
        let server = check.server(&[]);
        let mut visitor = Visitor::new(&server, "visitor");
        visitor.send(b"1:a,2:bc,3:defg,1:h,");
        let when = "after it sent two frames, something that is none, and one more";
        refused_behind(&mut visitor, b"1:a,2:cb,", when);
    }

    /// What can't be the beginning of a frame, and nothing behind it.
    #[rstest]
    #[case::a_byte_too_long("too-long-is-refused-late", b"16385")]
    #[case::a_byte_too_long_with_a_colon("too-long-is-refused-late", b"16385:")]
    #[case::much_too_long("too-long-is-refused-late", b"99999")]
    #[case::a_length_without_an_end("number-overflows", &[b'1'; 50])]
    #[case::longer_than_any_memory("number-overflows", b"18446744073709551617:a,")]
    #[case::longer_than_memory_by_a_little("number-overflows", b"18446744073709551621:hello,")]
    #[case::more_than_four_gibibytes("number-overflows", b"4294967301:hello,")]
    #[case::no_digits("no-digits-is-a-length", b":")]
    #[case::a_plus_sign("parse-takes-more", b"+5:hello,")]
    #[case::a_minus_sign("parse-takes-more", b"-0:,")]
    #[case::a_zero_in_front("zero-in-front-is-taken", b"05:hello,")]
    #[case::a_zero_in_front_without_a_colon("zero-in-front-is-refused-late", b"05")]
    #[case::two_zeros("zero-in-front-is-refused-late", b"00")]
    #[case::many_zeros("zero-in-front-is-taken", b"0000000000000000000000000001:a,")]
    #[case::a_blank("blanks-are-skipped", b" 5:hello,")]
    #[case::a_blank_before_the_colon("blanks-are-skipped", b"5 :hello,")]
    #[case::a_line_end("blanks-are-skipped", b"\n")]
    #[case::a_return_and_a_line_end("blanks-are-skipped", b"\r\n")]
    #[case::a_line_end_behind_a_frame("blanks-are-skipped", b"5:hello,\n")]
    #[case::hexadecimal("parse-takes-more", b"a:0123456789,")]
    #[case::hexadecimal_as_in_rust("parse-takes-more", b"0x5:hello,")]
    #[case::an_underscore("parse-takes-more", b"1_0:0123456789,")]
    #[case::digits_of_another_script("parse-takes-more", "٥:hello,".as_bytes())]
    #[case::a_comma_too_late("comma-is-not-looked-at", b"5:hello!,")]
    #[case::a_comma_too_early("comma-is-not-looked-at", b"5:hell,x")]
    #[case::no_comma("comma-is-not-looked-at", b"5:hello5:hello,")]
    #[case::a_request("refusal-is-not-sent", b"GET / HTTP/1.0\r\n\r\n")]
    #[case::only_zeros("zero-in-front-is-taken", b"00:,")]
    fn refused(#[case] cause: &'static str, #[case] sent: &[u8]) {
        let check = check!("07-frames");
        check.suspect(cause);
        let server = check.server(&[]);
        let mut bystander = visitor(&server, "bystander");
        bystander.send_in_pieces(b"5:hel", 1);
        let mut visitor = visitor(&server, "visitor");
        visitor.send(sent);
        let when = format!("after it sent {}", shown(sent));
        let answers: &[u8] = if sent.starts_with(b"5:hello,") { b"5:olleh," } else { b"" };
        refused_behind(&mut visitor, answers, &when);
        check.suspect("a-refusal-ends-others");
        bystander.send(b"lo,");
        let when = format!("after somebody else had sent {}", shown(sent));
        bystander.expect(b"5:olleh,", &when);
    }

    /// Behind a beginning that is fine, each byte that can't follow, by itself: it is refused as soon as it comes, and not
    /// before.
    #[rstest]
    #[case::at_the_beginning("no-digits-is-a-length", "", "0123456789")]
    #[case::behind_a_digit("parse-takes-more", "5", "0123456789:")]
    #[case::behind_a_zero("zero-in-front-is-refused-late", "0", ":")]
    #[case::behind_1638("too-long-is-refused-late", "1638", "01234:")]
    #[case::behind_the_largest_length("too-long-is-refused-late", "16384", ":")]
    #[case::behind_four_digits("too-long-is-refused-late", "1639", ":")]
    #[case::in_place_of_a_comma("comma-is-not-looked-at", "5:hello", ",")]
    #[case::in_place_of_an_empty_ones_comma("comma-is-not-looked-at", "0:", ",")]
    fn refused_at_once(#[case] cause: &'static str, #[case] begin: &str, #[case] fine: &str) {
        let check = check!("07-frames");
        let server = check.server(&[]);
        for byte in (0..=255).filter(|byte| !fine.as_bytes().contains(byte)) {
            let mut visitor = Visitor::new(&server, "visitor");
            if !begin.is_empty() {
                check.suspect("half-is-refused");
                visitor.send_in_pieces(begin.as_bytes(), 1);
                if visitor.has_more() {
                    visitor.nothing_more(&format!(
                        "after it sent {begin:?}, which may become a frame"
                    ));
                }
            }
            check.suspect(cause);
            visitor.send(&[byte]);
            let whole = [begin.as_bytes(), &[byte]].concat();
            refused_behind(&mut visitor, b"", &format!("after it sent {}", shown(&whole)));
            // Hundreds of connections that were closed politely would stay in the kernel's table for a minute.
            visitor.connection.reset();
        }
    }

    #[rstest]
    #[case::behind_its_frame(b"7:refused!", b"1:a,2:bc,")]
    #[case::without_any(b"x", b"5:hello,")]
    fn a_refused_one_may_go_on_sending(#[case] wrong: &[u8], #[case] more: &[u8]) {
        let check = check!("07-frames");
        check.suspect("finish-sending-still-hears");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor who was refused and went on sending");
        visitor.send(wrong);
        refused_behind(&mut visitor, b"", &format!("after it sent {}", shown(wrong)));
        check.suspect("finish-sending-still-hears");
        visitor.send_in_pieces(more, 1);
        visitor.goes_on_sending();
        visitor.leave(Leaving::HangingUp);
    }

    #[test]
    fn much_may_come_behind_a_wrong_one() {
        let check = check!("07-frames");
        check.suspect("close-loses-what-is-queued");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        server.program.stop();
        visitor.send(&[b"1:a,no frame".as_slice(), &b"1:x,".repeat(15_000)].concat());
        server.program.go_on();
        let when = "after it sent a frame, something that is none, and 60,000 bytes in one piece";
        refused_behind(&mut visitor, b"1:a,", when);
        visitor.leave(Leaving::HangingUp);
    }

    #[rstest]
    #[case::after_nothing("", "")]
    #[case::after_one("5:hello,", "5:olleh,")]
    #[case::after_three("1:a,2:bc,3:def,", "1:a,2:cb,3:fed,")]
    fn the_end_after_a_frame(#[case] sent: &str, #[case] expected: &str) {
        let check = check!("07-frames");
        check.suspect("end-is-not-looked-at");
        let server = check.server(&[]);
        let mut visitor = Visitor::new(&server, "visitor");
        server.program.stop();
        visitor.send(sent.as_bytes());
        visitor.connection.finish_sending();
        server.program.go_on();
        let when = format!("after it sent {sent:?}, and its end");
        check.suspect("close-loses-what-is-queued");
        visitor.expect(expected.as_bytes(), &when);
        check.suspect("end-is-not-looked-at");
        visitor.expect_end(b"", &when);
        if !only_so_many_stay(&server, 0) {
            check.fail("the visitor is gone, and your program keeps its connection");
        }
        // Whoever does nothing at all has closed that connection, too.
        let mut next = Visitor::new(&server, "next visitor");
        next.send(b"2:ab,");
        next.expect(b"2:ba,", &format!("{when}, when the next one had come"));
    }

    /// More than any kernel takes for somebody who has asked it to take little.
    const FRAMES_UNREAD: usize = 200;

    /// So many frames, and the answers to them.
    fn more_than_the_kernel_takes() -> (Vec<u8>, Vec<u8>) {
        let bytes = |number: usize| format!("{number:0>8000}").into_bytes();
        let all = (0..FRAMES_UNREAD).flat_map(|number| frame(&bytes(number))).collect();
        let answers = (0..FRAMES_UNREAD).flat_map(|number| answer(&bytes(number))).collect();
        (all, answers)
    }

    #[rstest]
    #[case::and_stays(b"")]
    #[case::and_is_refused(b"5:close?,")]
    fn who_sends_much_may_read_later(#[case] more: &[u8]) {
        let check = check!("07-frames");
        check.suspect("slow-reader-is-given-up");
        let server = check.server(&[]);
        let mut visitor = Visitor::narrow(&server, "slow reader");
        let (all, answers) = more_than_the_kernel_takes();
        visitor.send(&[&all, more].concat());
        settle(&server, "with a visitor who has sent 200 frames, and reads nothing");
        if more.is_empty() {
            visitor.expect(&answers, "after it had sent 200 frames, and began to read");
            visitor.send(b"1:x,");
            visitor.expect(b"1:x,", "after it had read 200 answers");
        } else {
            check.suspect("close-loses-what-is-queued");
            let when = "after it had sent 200 frames and one that is none, and began to read";
            refused_behind(&mut visitor, &answers, when);
        }
    }

    #[test]
    fn the_last_answers_are_sent() {
        let check = check!("07-frames");
        check.suspect("close-loses-what-is-queued");
        let server = check.server(&[]);
        let mut visitor = Visitor::narrow(&server, "slow reader");
        let (all, answers) = more_than_the_kernel_takes();
        visitor.send(&all);
        visitor.connection.finish_sending();
        settle(&server, "with a visitor who has sent 200 frames and its end, and reads nothing");
        let when = "after it had finished sending, and began to read";
        visitor.expect(&answers, when);
        check.suspect("end-waits-for-an-empty-queue");
        visitor.expect_end(b"", &format!("{when}, and had read all"));
    }

    #[rstest]
    #[case::in_its_length("5")]
    #[case::in_a_length_that_is_none("0")]
    #[case::after_the_colon("5:")]
    #[case::in_its_bytes("5:hel")]
    #[case::before_the_comma("5:hello")]
    fn the_end_in_a_frame(#[case] part: &str) {
        let check = check!("07-frames");
        check.suspect("half-at-the-end-is-waited-for");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        visitor.send(format!("3:abc,{part}").as_bytes());
        visitor.connection.finish_sending();
        let when = format!("after it sent 3:abc, and {part:?} and its end");
        visitor.expect(b"3:cba,", &when);
        visitor.expect_end(b"", &when);
        if !only_so_many_stay(&server, 0) {
            check.fail(format!(
                "{when}, the visitor is gone, and your program keeps its connection"
            ));
        }
    }

    #[test]
    fn pieces_of_two_visitors() {
        let check = check!("07-frames");
        check.suspect("one-buffer-for-all");
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
        check.suspect("buffer-outlives-its-visitor");
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
        check.suspect("spins-in-a-callback");
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
    fn nothing_is_kept_of_who_has_left() {
        const VISITS: usize = 1000;
        let check = check!("07-frames");
        check.suspect("half-is-lost");
        let server = check.server(&[]);
        let before = descriptors(&server);
        let text = format!("{:0>100}", "what somebody has sent");
        let sent = [&frame(text.as_bytes()), b"30:and ha".as_slice()].concat();
        server.keeps_nothing(VISITS, "visits", |_| {
            for number in 0..VISITS {
                let mut passer = Passer::new(&server);
                match number % 4 {
                    0 => passer.exchanges(b"no frame", REFUSAL),
                    _ => passer.exchanges(&sent, &answer(text.as_bytes())),
                }
            }
            all_have_left(&server, before);
        });
    }

    #[test]
    fn who_is_not_heard_costs_nothing() {
        let check = check!("07-frames");
        check.suspect("looks-again-and-again");
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
        check.suspect("naps-in-a-callback");
        check.suspect_where("a loop that never waits", "spins-in-a-callback");
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
                // With nobody who hears it, the program may not have read it yet.
                settle(self.server, "with bob there, who doesn't read");
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
    #[case::in_one_piece("ask-is-missing", "ann\n", 1)]
    #[case::byte_by_byte("half-is-lost", "ann\n", usize::MAX)]
    #[case::as_telnet_sends_it("good-name-is-refused", "ann\r\n", 1)]
    fn who_comes_is_asked(#[case] cause: &'static str, #[case] line: &str, #[case] pieces: usize) {
        let check = check!("07-chat");
        check.suspect("ask-is-missing");
        let server = check.server(&[]);
        let mut ann = asked(&server, "ann").person();
        check.suspect("asks-at-each-piece");
        ann.nothing_more("before it has said a name");
        check.suspect(cause);
        ann.send_in_pieces(line.as_bytes(), pieces);
        ann.expect(b"hello ann\n", &format!("after it sent {line:?}"));
        check.suspect("speaker-hears-itself");
        ann.nothing_more("with nobody else in the room");
    }

    #[test]
    fn all_others_hear() {
        let check = check!("07-chat");
        check.suspect("not-all-others-hear");
        let server = check.server(&[]);
        check.suspect("coming-is-not-told");
        let mut party = Party::of(&server, &["ann", "bob", "Cid3"]);
        check.suspect("speaker-hears-itself");
        party.silence("after three had come");
        check.suspect("not-all-others-hear");
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
        check.suspect(if pieces == 1 { "one-a-call" } else { "half-is-lost" });
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
        check.suspect("empty-line-is-told");
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "bob"]);
        let when = "after ann had sent two lines, and three empty ones, in one piece";
        server.program.stop();
        party.members[0].send(b"\none\n\r\n\ntwo\n");
        server.program.go_on();
        party.members[1].expect(b"ann: one\nann: two\n", when);
        party.silence(when);
    }

    #[rstest]
    #[case::utf_8("grüße, 世界".as_bytes())]
    #[case::no_utf_8(b"gr\xfc\xdfe")]
    #[case::half_a_letter(b"a\xc3")]
    #[case::zeros_and_controls(b"\x00\x01\x1b[2J\x7f\xff")]
    #[case::a_return_in_it(b"a\rb")]
    #[case::two_returns_at_its_end(b"a\r\r")]
    fn lines_are_bytes(#[case] line: &[u8]) {
        let check = check!("07-chat");
        check.suspect("text-not-bytes");
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "bob"]);
        // With two returns, the last one is a part of the line's end.
        let heard = line.strip_suffix(b"\r").unwrap_or(line);
        party.members[0].send(&[line, b"\n"].concat());
        let when = format!("after ann had sent the line {}", shown(line));
        party.members[1].expect(&[b"ann: ", heard, b"\n"].concat(), &when);
        party.silence(&when);
    }

    #[rstest]
    #[case::a_blank(" ")]
    #[case::blanks_and_tabs(" \t  ")]
    #[case::in_front(" \ta")]
    #[case::at_the_end("a \t ")]
    #[case::two_in_it("a  b")]
    fn blanks_are_said(#[case] line: &str) {
        let check = check!("07-chat");
        check.suspect("blanks-are-dropped");
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "bob"]);
        party.members[0].send(format!("{line}\none\n").as_bytes());
        let heard = format!("ann: {line}\nann: one\n");
        party.members[1].expect(heard.as_bytes(), &format!("after ann had sent the line {line:?}"));
        party.silence("after two lines");
    }

    #[test]
    fn the_same_again() {
        let check = check!("07-chat");
        check.suspect("same-line-is-dropped");
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "bob"]);
        for speaker in [0, 0, 1, 1, 0] {
            party.says(speaker, "again", "after somebody had said what was said before");
        }
        party.members[0].send(b"twice\ntwice\n");
        party.members[1].expect(b"ann: twice\nann: twice\n", "after ann had said the same twice");
        party.silence("after the same had been said again and again");
    }

    #[test]
    fn what_looks_like_an_announcement() {
        let check = check!("07-chat");
        check.suspect("line-is-changed");
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "bob"]);
        for text in ["* bob has left", "bob: hello", ":", "/quit", "hello ann", "name?", "ann"] {
            party.says(0, text, &format!("after ann had said {text:?}"));
        }
        party.silence("after seven lines");
    }

    #[rstest]
    #[case::by_finishing(Leaving::Finishing)]
    #[case::by_hanging_up(Leaving::HangingUp)]
    #[case::by_a_reset(Leaving::Reset)]
    fn who_leaves_has_left(#[case] leaving: Leaving) {
        let check = check!("07-chat");
        check.suspect("leaves-only-politely");
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "bob", "cid"]);
        for _ in 0..2 {
            check.suspect("leaves-only-politely");
            party.members.remove(1).leave(leaving);
            party.all_hear("* bob has left\n", &format!("after bob had left by {leaving}"));
            check.suspect("name-is-never-free");
            party.says(0, "he is gone", "after somebody had left");
            // Another one may have the name now.
            party.joined_by(Visitor::new(&server, "bob"));
            party.members.swap(1, 2);
            party.says(1, "here I am", "after another bob had come");
        }
        party.silence(&format!("after two had left by {leaving}"));
    }

    #[test]
    fn two_leave_at_once() {
        let check = check!("07-chat");
        check.suspect("leaves-only-politely");
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "bob", "cid"]);
        let (cid, bob) = (party.members.remove(2), party.members.remove(1));
        server.program.stop();
        bob.connection.reset();
        drop(cid);
        server.program.go_on();
        let when = "after bob and cid had left at the same moment";
        let (_, mut notices) = listen(&mut party.members[0], 0, 2, when);
        notices.sort();
        party.members[0].compare(&notices.concat(), b"* bob has left\n* cid has left\n", when);
        party.joined_by(Visitor::new(&server, "cid"));
        party.silence(when);
    }

    #[test]
    fn half_a_line_at_the_end() {
        let check = check!("07-chat");
        check.suspect("half-at-the-end-is-told");
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "bob"]);
        let mut bob = party.members.remove(1);
        bob.send(b"whole\nhalf a li");
        bob.connection.finish_sending();
        bob.expect_end(b"", "after he had sent a line, half a line, and his end");
        let when = "after bob had sent a line, half a line, and his end";
        party.all_hear("bob: whole\n* bob has left\n", when);
        let mut unnamed = asked(&server, "unnamed visitor");
        unnamed.send(b"cid");
        unnamed.connection.finish_sending();
        unnamed.expect_end(b"", "after it had sent a name without the line's end, and its end");
        party.silence("after an unnamed visitor had sent half a line, and its end");
    }

    #[test]
    fn lines_of_two_in_turns() {
        let check = check!("07-chat");
        check.suspect("one-buffer-for-all");
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
        check.suspect("takes-out-too-much");
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
    #[case::of_one_letter("a")]
    #[case::of_one_digit("7")]
    #[case::capitals("ANN")]
    #[case::of_digits("00000")]
    #[case::of_twenty_letters("abcdefghijKLMNOPQR01")]
    #[case::a_word_of_the_room("name")]
    fn good_names(#[case] name: &str) {
        let check = check!("07-chat");
        check.suspect("good-name-is-refused");
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann"]);
        party.joined_by(Visitor::new(&server, name));
        party.says(1, "hello", &format!("after somebody called {name} had come"));
        party.members.remove(1).leave(Leaving::HangingUp);
        party.all_hear(&format!("* {name} has left\n"), &format!("after {name} had left"));
        party.silence("after somebody had come and gone");
    }

    #[rstest]
    #[case::empty(b"")]
    #[case::too_long(b"abcdefghijklmnopqrstu")]
    #[case::as_long_as_a_line(&[b'a'; LONGEST_LINE])]
    #[case::two_words(b"ann bob")]
    #[case::a_blank_in_front(b" dan")]
    #[case::a_blank_at_the_end(b"dan ")]
    #[case::a_blank(b" ")]
    #[case::a_return_at_the_end(b"dan\r\r")]
    #[case::with_a_colon(b"ann:")]
    #[case::with_a_hyphen(b"ann-bob")]
    #[case::with_an_underscore(b"ann_bob")]
    #[case::with_a_zero(b"dan\0")]
    #[case::no_ascii("ännchen".as_bytes())]
    #[case::no_utf_8(b"d\xe4n")]
    fn bad_names_are_refused(#[case] bad: &[u8]) {
        let check = check!("07-chat");
        check.suspect("bad-name-is-taken");
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann"]);
        let mut visitor = asked(&server, "visitor");
        visitor.send(&[bad, b"\n"].concat());
        let when = format!("after it had given the name {}", shown(bad));
        visitor.expect(b"bad name\n", &when);
        check.suspect("bad-name-is-not-asked-again");
        visitor.expect(ASK, &format!("{when}, and was told that it's bad"));
        // And two more, and then a good one, in one piece.
        check.suspect("one-a-call");
        server.program.stop();
        visitor.send(&[bad, b"\n", bad, b"\nabcdefghijklmnopqrst\nhello\n"].concat());
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
        check.suspect("two-of-the-same-name");
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "bob"]);
        let mut second = asked(&server, "second ann");
        for taken in ["ann", "bob", "ann"] {
            second.send(format!("{taken}\n").as_bytes());
            check.suspect("two-of-the-same-name");
            let when = format!("after it wanted to be {taken}, who is there already");
            second.expect(b"that name is taken\n", &when);
            check.suspect("bad-name-is-not-asked-again");
            second.expect(ASK, &format!("{when}, and was told so"));
        }
        check.suspect("one-a-call");
        server.program.stop();
        second.send(b"bob\nann\ndan\nhello\n");
        server.program.go_on();
        second.expect(
            &[TAKEN, TAKEN, b"hello dan\n"].concat(),
            "after it wanted to be bob, ann, and dan, in one piece",
        );
        party.all_hear("* dan is here\ndan: hello\n", "after dan had come");
        party.silence("after names were refused");
    }

    #[test]
    fn capitals_make_another_name() {
        let check = check!("07-chat");
        check.suspect("capitals-are-the-same");
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann"]);
        for name in ["Ann", "ANN", "anN"] {
            party.joined_by(Visitor::new(&server, name));
        }
        check.suspect("two-of-the-same-name");
        let mut second = asked(&server, "second Ann");
        second.send(b"Ann\n");
        second.expect(TAKEN, "after it wanted to be Ann, who is there already");
        // A part of a name isn't the name.
        check.suspect("part-of-a-name-is-the-name");
        for name in ["an", "Ann1"] {
            party.joined_by(Visitor::new(&server, name));
        }
        party.silence("after names were given");
    }

    #[test]
    fn one_name_for_one() {
        let check = check!("07-chat");
        check.suspect("two-of-the-same-name");
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann"]);
        let mut two = ["first", "second"].map(|name| asked(&server, name));
        server.program.stop();
        two.iter_mut().for_each(|visitor| visitor.send(b"dan\n"));
        server.program.go_on();
        let when = "after two wanted to be dan at the same moment";
        party.all_hear("* dan is here\n", when);
        party.silence(when);
        let mut told: Vec<Vec<u8>> = Vec::new();
        for visitor in &mut two {
            let whole = |bytes: &[u8]| bytes.ends_with(b"\n") && !bytes.ends_with(b"taken\n");
            match visitor.connection.receive_while_missing(&server.program, whole) {
                Ok(Ok(bytes)) => told.push(bytes),
                Ok(Err(_)) => server.fail_seeing(&format!("{when}, one of them was hung up on")),
                Err((trouble, _)) => {
                    check.fail_for(&format!("{when}, each waits for an answer"), &trouble);
                }
            }
        }
        told.sort();
        if told != [b"hello dan\n", TAKEN] {
            let (one, other) = (shown(&told[0]), shown(&told[1]));
            check.fail(format!("{when}, one was told {one}, and the other {other}"));
        }
    }

    #[test]
    fn the_unnamed_hear_nothing() {
        let check = check!("07-chat");
        check.suspect("unnamed-are-members");
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
        check.suspect("leaving-is-told-twice");
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

    #[rstest]
    #[case::in_a_line("/panic\n", "")]
    #[case::behind_a_line("one\n/panic\ntwo\n", "bob: one\n")]
    fn a_bug_ends_one_visitor(#[case] said: &str, #[case] heard: &str) {
        let check = check!("07-chat");
        check.suspect("panic-is-no-ending");
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "bob", "cid"]);
        let mut unlucky = party.members.remove(1);
        unlucky.send(said.as_bytes());
        let ended = unlucky.connection.receive_all(&server.program);
        if let Err((trouble, _)) = ended {
            let expected = "after bob had run into a bug, he waits for his connection to be closed";
            check.fail_for(expected, &trouble);
        }
        let when = format!("after bob had run into a bug with {said:?}");
        party.all_hear(&format!("{heard}* bob has left\n"), &when);
        party.says(1, "what was that", &when);
        party.joined_by(Visitor::new(&server, "bob"));
        party.silence("after another bob had come");
    }

    #[test]
    fn a_bug_without_a_name() {
        let check = check!("07-chat");
        check.suspect("panic-is-no-ending");
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann"]);
        let mut unnamed = asked(&server, "unnamed visitor");
        unnamed.send(b"/panic\ndan\n");
        if let Err((trouble, _)) = unnamed.connection.receive_all(&server.program) {
            let expected = "after it had run into a bug, it waits for its connection to be closed";
            check.fail_for(expected, &trouble);
        }
        party.silence("after an unnamed visitor had run into a bug");
        party.says(0, "hello", "after an unnamed visitor had run into a bug");
        party.joined_by(Visitor::new(&server, "dan"));
    }

    #[rstest]
    #[case::with_its_end("limit-is-off", "y".repeat(LONGEST_LINE + 1) + "\n")]
    #[case::before_its_end("too-long-is-not-the-end", "y".repeat(LONGEST_LINE + 2))]
    #[case::with_lines_behind_it("too-long-is-not-the-end", "y".repeat(LONGEST_LINE + 1) + "\nzoe\nand more\n")]
    #[case::of_letters_of_two_bytes("counts-letters", "ü".repeat(LONGEST_LINE / 2) + "y\n")]
    #[case::very_long("too-long-is-not-the-end", "y".repeat(100 * 1024))]
    fn long_lines(#[case] cause: &'static str, #[case] line: String) {
        let check = check!("07-chat");
        check.suspect(cause);
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "bob"]);
        let mut long = party.members.remove(0);
        let when = "after she had sent a line that is too long";
        long.send(format!("short\n{line}").as_bytes());
        long.expect(TOO_LONG, when);
        check.suspect("too-long-is-not-the-end");
        long.expect_end(b"", &format!("{when}, and was told so"));
        check.suspect("has-left-when-connection-closes");
        let what = shown(&line.as_bytes()[..LONGEST_LINE + 1]);
        party.all_hear("ann: short\n* ann has left\n", &format!("after ann had sent {what}"));
        // She is still connected, and her name is free all the same.
        party.joined_by(Visitor::new(&server, "ann"));
        let mut unnamed = asked(&server, "unnamed visitor");
        unnamed.send(line.as_bytes());
        check.suspect("too-long-is-not-the-end");
        unnamed.expect_end(TOO_LONG, "after it had sent a name that is too long for a line");
        long.leave(Leaving::HangingUp);
        party.silence("after two had said too much");
    }

    #[rstest]
    #[case::of_letters("x".repeat(LONGEST_LINE))]
    #[case::of_letters_of_two_bytes("ü".repeat(LONGEST_LINE / 2))]
    #[case::with_a_return("x".repeat(LONGEST_LINE) + "\r")]
    fn the_longest_line(#[case] line: String) {
        let check = check!("07-chat");
        check.suspect("limit-is-off");
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann", "bob"]);
        party.members[0].send(format!("{line}\n{line}\n").as_bytes());
        let heard = format!("ann: {}\n", line.trim_end()).repeat(2);
        party.members[1].expect(heard.as_bytes(), "after ann had sent lines of 1000 bytes");
        party.silence("after two lines of 1000 bytes");
    }

    #[rstest]
    #[case::as_a_member("ann\n", "hello ann\n")]
    #[case::without_a_name("", "")]
    fn who_has_said_too_much_may_go_on_sending(#[case] name: &str, #[case] hello: &str) {
        let check = check!("07-chat");
        check.suspect("finish-sending-still-hears");
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
        check.suspect("has-left-when-connection-closes");
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
        check.suspect("queue-limit-too-low");
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
        check.suspect("so-many-a-call");
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
        check.suspect("slow-are-not-closed");
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

    /// Two speak in the same turn, and nothing is sent before it's over. So it's known to the byte what is queued for the third.
    #[rstest]
    #[case::as_much_as_may_be(0)]
    #[case::a_byte_more(1)]
    #[case::a_few_bytes_more(17)]
    fn queued_to_the_byte(#[case] more: usize) {
        const SPEAKERS: [&str; 2] = ["abcdefghijklmnopqrst", "bcdefghijklmnopqrstu"];
        let check = check!("07-chat");
        check.suspect(match more {
            0 => "queue-limit-too-low",
            1 => "queue-limit-too-high",
            _ => "looks-before-it-sends",
        });
        let server = check.server(&[]);
        let mut party = Party::of(&server, &SPEAKERS);
        party.joined_by(Visitor::new(&server, "cid"));
        settle(&server, "with three in the room");
        let short = format!("{}: x\n", SPEAKERS[0]).len();
        let lines = MOST_QUEUED as usize / 2 / short;
        let rest = MOST_QUEUED as usize - 2 * lines * short + more;
        let said = [vec!["x".to_owned(); lines], {
            let mut lines = vec!["x".to_owned(); lines];
            lines[0] = "x".repeat(1 + rest);
            lines
        }];
        server.program.stop();
        for (speaker, lines) in said.iter().enumerate() {
            party.members[speaker].send((lines.join("\n") + "\n").as_bytes());
            party.members[speaker].has_arrived(lines.iter().map(|line| line.len() + 1).sum());
        }
        server.program.go_on();
        let heard = |speaker: usize| -> Vec<u8> {
            let say = |line: &String| format!("{}: {line}\n", SPEAKERS[speaker]).into_bytes();
            said[speaker].iter().flat_map(say).collect()
        };
        let mut cid = party.members.pop().expect("he has joined");
        if more == 0 {
            let when = "after two had said so much at once that just MOST_QUEUED bytes were queued for cid";
            // Whoever comes first in the loop's list.
            let first = |bytes: &[u8]| !bytes.is_empty();
            let began = match cid.connection.receive_while_missing(&server.program, first) {
                Ok(Ok(bytes)) => bytes,
                _ => {
                    server.fail_seeing(&format!("{when}, he was closed: a queue may hold as much"))
                }
            };
            cid.connection.give_back(&began);
            let order = if began[0] == b'a' { [0, 1] } else { [1, 0] };
            cid.expect(&order.map(heard).concat(), when);
            for speaker in [0, 1] {
                party.members[speaker].expect(&heard(1 - speaker), when);
            }
            party.members.push(cid);
            party.says(2, "that was a lot", when);
            return party.silence(when);
        }
        let when = "after two had said so much at once that a little more than MOST_QUEUED bytes were queued for cid";
        settle(&server, when);
        match cid.connection.receive_all(&server.program) {
            Ok(Received { bytes, .. }) if bytes.is_empty() => {}
            Ok(Received { bytes, .. }) => {
                check.suspect("slow-are-finished");
                check.fail(format!(
                    "{when}, he was to be closed at once, with what was queued, and he got {} bytes before the end",
                    bytes.len()
                ));
            }
            Err((_, bytes)) => check.fail(format!(
                "{when}, he was to be closed at once, and he is still there ({} bytes have come)",
                bytes.len()
            )),
        }
        check.suspect("slow-are-not-missed");
        for speaker in [0, 1] {
            let left = b"* cid has left\n".to_vec();
            party.members[speaker].expect(&[heard(1 - speaker), left].concat(), when);
        }
        party.silence(when);
    }

    /// Somebody without a name who reads little of what it's answered.
    struct Unnamed<'a> {
        visitor: Visitor<'a>,
        /// All answers to what it has sent, behind the first question.
        answers: Vec<u8>,
        /// How many bytes of them it has read.
        read: usize,
    }

    impl<'a> Unnamed<'a> {
        #[track_caller]
        fn new(server: &'a Server<'a>) -> Self {
            // It doesn't read what it's asked, either.
            let visitor = Visitor::narrow(server, "unnamed visitor");
            Self { visitor, answers: ASK.to_vec(), read: 0 }
        }

        /// What lies in the kernel. Where it doesn't tell, `None`.
        fn look(&self) -> Option<Between> {
            between_when_still(self.visitor.server, &self.visitor.connection)
        }

        #[track_caller]
        fn reads(&mut self, count: usize) {
            let Self { visitor, answers, read } = self;
            let expected = &answers[*read..*read + count];
            read_exactly(visitor.server, &visitor.connection, expected, "after many bad names");
            *read += count;
        }

        /// Sends lines whose answers are so many bytes long, a multiple of 5, and `more` behind them. All in one piece.
        #[track_caller]
        fn sends(&mut self, answered: usize, more: &str) {
            let rest = |taken| answered - taken * TAKEN.len();
            let taken = (0..3).find(|taken| rest(*taken).is_multiple_of(BAD_NAME.len()));
            let taken = taken.unwrap_or_default();
            let bad = rest(taken) / BAD_NAME.len();
            self.answers.extend([BAD_NAME.repeat(bad), TAKEN.repeat(taken)].concat());
            let lines = "\n".repeat(bad) + &"a\n".repeat(taken) + more;
            let program = &self.visitor.server.program;
            program.stop();
            self.visitor.send(lines.as_bytes());
            self.visitor.has_arrived(lines.len());
            program.go_on();
        }
    }

    /// What is queued for somebody without a name is known to the byte once the kernel has no more room. But each answer is 15
    /// or 25 bytes long: what the kernel has must be right up to a multiple of 5. That depends on how it cuts them into
    /// segments. With several who read a part now and then, it's right for one of them before long.
    #[rstest]
    #[case::as_much_as_may_be(0)]
    #[case::a_byte_more(1)]
    fn answers_queued_to_the_byte(#[case] more: usize) {
        /// How many have no name, and how often one looks at all of them.
        const UNNAMED: usize = 8;
        const LOOKS: usize = 40;
        /// So many empty lines come in a piece, and so much is queued, in bytes, before the last piece. Then that one is no
        /// longer than what is read at once, and none of the others is too much.
        const LINES: usize = 10_000;
        const LEAST: usize = 20_000;
        let check = check!("07-chat");
        check.suspect("queue-limit-too-low");
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["a"]);
        let mut all: Vec<_> = (0..UNNAMED).map(|_| Unnamed::new(&server)).collect();
        for _ in 0..LOOKS {
            settle(&server, "with some unnamed visitors who read little");
            for (number, unnamed) in all.iter_mut().enumerate() {
                let Some(between) = unnamed.look() else { return };
                // Where all is right.
                let most = LEAST + LINES * BAD_NAME.len();
                if !between.open {
                    check.fail(format!(
                        "an unnamed visitor who reads little was closed, with less than {most} bytes of answers queued for it: \
                         {MOST_QUEUED} are allowed"
                    ));
                }
                let told = unnamed.read + between.to_visitor;
                let queued = unnamed.answers.len().saturating_sub(told).min(most);
                let missing = MOST_QUEUED as usize + more - queued;
                if queued < LEAST {
                    unnamed.sends(LINES * BAD_NAME.len(), "");
                } else if !missing.is_multiple_of(5) {
                    unnamed.reads((9000 + 3000 * number).min(between.to_visitor));
                } else if more == 0 {
                    return just_enough(&mut party, unnamed, missing);
                } else {
                    return a_little_too_much(&mut party, unnamed, missing, between.to_visitor);
                }
            }
        }
        visitors::skipped("the kernel never has the right number of bytes");
    }

    /// With `missing` bytes of answers more, just as much is queued as may be.
    #[track_caller]
    fn just_enough(party: &mut Party<'_>, unnamed: &mut Unnamed<'_>, missing: usize) {
        let server = party.server;
        let when = format!(
            "with just {MOST_QUEUED} bytes of answers queued for an unnamed visitor who reads little"
        );
        unnamed.sends(missing, "");
        settle(server, &when);
        if unnamed.look().is_some_and(|between| !between.open) {
            server.check.fail(format!("{when}, it was closed: as much is allowed"));
        }
        server.check.suspect("slow-lose-lines");
        let when = format!("{when}, when it reads at last");
        unnamed.visitor.expect(&unnamed.answers[unnamed.read..], &when);
        unnamed.visitor.send(b"zoe\n");
        unnamed.visitor.expect(b"hello zoe\n", &when);
        party.all_hear("* zoe is here\n", &when);
        party.silence(&when);
    }

    /// With `missing` bytes of answers more, a little more is queued than may be. So much has been in the kernel before.
    #[track_caller]
    fn a_little_too_much(
        party: &mut Party<'_>,
        unnamed: &mut Unnamed<'_>,
        missing: usize,
        in_the_kernel: usize,
    ) {
        let server = party.server;
        let when = format!(
            "with a little more than {MOST_QUEUED} bytes of answers queued for an unnamed visitor who reads little, and a good \
             name behind its bad ones"
        );
        unnamed.sends(missing, "zoe\n");
        settle(server, &when);
        let Some(between) = unnamed.look() else { return };
        // Then it wasn't too much.
        if between.open && between.to_visitor > in_the_kernel {
            return visitors::skipped("the kernel has taken more at the last moment");
        }
        server.check.suspect("queue-limit-too-high");
        if between.open {
            server.check.fail(format!("{when}, it was to be closed, and it's still there"));
        }
        party.silence(&when);
    }

    #[rstest]
    #[case::with_bad_names("\n")]
    #[case::with_taken_names("a\n")]
    fn the_unnamed_may_be_slow_too(#[case] line: &str) {
        /// More than the kernel takes, even where it hasn't been asked to take little.
        const PIECES: usize = 60;
        let check = check!("07-chat");
        check.suspect("unnamed-queue-is-not-looked-at");
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["a", "bob"]);
        let mut unnamed = Visitor::narrow(&server, "unnamed visitor");
        unnamed.expect(ASK, "after it connected");
        let before = memory(&server);
        let piece = line.repeat(16 * 1024 / line.len());
        let sent = (0..PIECES).find(|_| {
            let sent = unnamed.connection.send_in_pieces(piece.as_bytes(), 1, &server.program);
            sent.is_err() || memory(&server).saturating_sub(before) > 16 * MOST_QUEUED
        });
        let more = memory(&server).saturating_sub(before);
        if sent.is_none() || more > 16 * MOST_QUEUED {
            server.fail_seeing(&format!(
                "an unnamed visitor sends the line {line:?} again and again, and reads none of the answers: it's still connected, and \
                 your program has taken {more} bytes more"
            ));
        }
        party.says(0, "who was that", "after an unnamed visitor had been closed");
        party.silence("after an unnamed visitor had been closed");
    }

    #[rstest]
    #[case::of_bad_names("\n", BAD_NAME, "zoe\nhello\n")]
    #[case::of_taken_names("a\n", TAKEN, "zoe\nhello\n")]
    #[case::not_even_the_bug_in_it("\n", BAD_NAME, "/panic\n")]
    fn the_rest_is_not_looked_at(#[case] line: &str, #[case] answer: &[u8], #[case] rest: &str) {
        let check = check!("07-chat");
        check.suspect("unnamed-queue-is-looked-at-once");
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["a", "bob"]);
        let mut unnamed = Visitor::narrow(&server, "unnamed visitor");
        // It doesn't read what it's asked, either.
        settle(&server, "with an unnamed visitor");
        let count = 16_000 / line.len();
        let mut answered = ASK.len();
        let each = count * answer.len();
        loop {
            let Some(between) = between_when_still(&server, &unnamed.connection) else { return };
            let queued = answered.saturating_sub(between.to_visitor);
            if queued > MOST_QUEUED as usize {
                server.fail_seeing(&format!(
                    "an unnamed visitor reads nothing, {queued} bytes of answers are queued for it, and it's still connected"
                ));
            }
            // The next piece is too much before its last line.
            if queued + each > MOST_QUEUED as usize + 8 * answer.len() {
                break;
            }
            unnamed.send_in_pieces(line.repeat(count).as_bytes(), 1);
            settle(&server, "with an unnamed visitor who reads nothing");
            answered += each;
        }
        unnamed.send_in_pieces((line.repeat(count) + rest).as_bytes(), 1);
        let when = format!(
            "after an unnamed visitor who reads nothing had sent more bad names than may be answered, and {rest:?} behind them"
        );
        party.silence(&when);
        // What the bug says comes before what is said of the next one.
        let next = Visitor::new(&server, "next visitor");
        if let Err(trouble) = server.program.says(|line| line.starts_with("visitor 4: connected")) {
            check.fail_for("a visitor was to be let in", &trouble);
        }
        drop(next);
        if server.program.stderr().iter().any(|line| line.contains(" panicked at ")) {
            server.fail_seeing(&format!("{when}, your program came upon the bug"));
        }
        if only_so_many_stay(&server, 2) {
            return;
        }
        check.suspect("unnamed-queue-is-not-looked-at");
        server.fail_seeing(
            "an unnamed visitor who reads no answers was to be closed, and it's still there",
        );
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
        UnnamedBug,
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
                Self::UnnamedBug => "after it had run into a bug without a name",
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
    #[case::after_a_bug_without_a_name(Stage::UnnamedBug, Leaving::HangingUp)]
    #[case::after_too_much(Stage::AfterTooMuch, Leaving::HangingUp)]
    fn they_come_and_go(#[case] stage: Stage, #[case] leaving: Leaving) {
        let check = check!("07-chat");
        check.suspect("gone-are-counted");
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
                Stage::UnnamedBug => guest.send(b"/panic\n"),
                Stage::AfterABug => guest.send(b"guest\n/panic\n"),
                Stage::AfterTooMuch => {
                    guest.send(format!("guest\n{}", "x".repeat(LONGEST_LINE + 2)).as_bytes());
                }
            }
            let had_a_name =
                !matches!(stage, Stage::Unnamed | Stage::InItsName | Stage::UnnamedBug);
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

    /// As many as may be connected.
    #[track_caller]
    fn four_hundred<'a>(server: &'a Server<'a>) -> Vec<Visitor<'a>> {
        server.check.suspect("limit-of-visitors");
        (1..=MOST_VISITORS).map(|number| asked(server, &format!("visitor {number}"))).collect()
    }

    /// One more is told that it's full.
    #[track_caller]
    fn one_too_many<'a>(server: &'a Server<'a>, when: &str) -> Visitor<'a> {
        let mut too_many = Visitor::new(server, "visitor 401");
        too_many.expect(FULL, when);
        server.check.suspect("full-is-not-the-end");
        too_many.expect_end(b"", &format!("{when}, after it was told that it's full"));
        too_many
    }

    #[test]
    fn the_room_is_full() {
        let check = check!("07-chat");
        room_for(MOST_VISITORS);
        let server = check.server(&[]);
        let mut all = four_hundred(&server);
        check.suspect("limit-of-visitors");
        one_too_many(&server, "with four hundred connected who have no name");
        for (name, place) in [("ann", 200), ("bob", 399)] {
            all[place].send(format!("{name}\n").as_bytes());
            all[place].expect(format!("hello {name}\n").as_bytes(), "with four hundred connected");
        }
        all[200].expect(b"* bob is here\n", "with four hundred connected");
        check.suspect("counts-members-only");
        one_too_many(&server, "with four hundred connected, of whom two have a name");
        all[200].nothing_more("after two were told that the room is full");
    }

    #[rstest]
    #[case::and_leaves(false)]
    #[case::and_stays(true)]
    fn who_is_told_full_does_not_count(#[case] stays: bool) {
        let check = check!("07-chat");
        room_for(MOST_VISITORS);
        let server = check.server(&[]);
        let mut all = four_hundred(&server);
        let mut stay = Vec::new();
        let when = match stays {
            true => {
                "with four hundred connected, of whom one had left, and others who were told that it's full, and stay"
            }
            false => {
                "with four hundred connected, of whom one had left, after others were told that it's full, and had left"
            }
        };
        check.suspect("full-ones-are-counted");
        for leaving in ALL_WAYS {
            check.suspect("full-ones-are-counted");
            let too_many = one_too_many(&server, "with four hundred connected");
            match stays {
                true => stay.push(too_many),
                false => too_many.leave(leaving),
            }
            check.suspect("full-ones-are-counted");
            one_too_many(
                &server,
                "with four hundred connected, after others were told that it's full",
            )
            .leave(leaving);
            check.suspect("full-ones-are-counted");
            all.remove(100).leave(leaving);
            let mut next = Visitor::new(&server, "next visitor");
            next.expect(ASK, when);
            all.push(next);
        }
    }

    #[test]
    fn who_is_told_full_may_go_on_sending() {
        let check = check!("07-chat");
        room_for(MOST_VISITORS);
        let server = check.server(&[]);
        let mut all = four_hundred(&server);
        check.suspect("full-is-not-the-end");
        for name in [&b""[..], b"ann\nhello\n"] {
            server.program.stop();
            let mut too_many = Visitor::new(&server, "visitor 401");
            too_many.send(name);
            server.program.go_on();
            too_many.expect_end(
                FULL,
                &format!("with four hundred connected, after it sent {}", shown(name)),
            );
            check.suspect("finish-sending-still-hears");
            too_many.goes_on_sending();
            too_many.leave(Leaving::HangingUp);
        }
        all[0].send(b"ann\n");
        all[0].expect(b"hello ann\n", "after somebody called ann was told that the room is full");
    }

    #[test]
    fn who_was_hung_up_on_still_counts() {
        let check = check!("07-chat");
        room_for(MOST_VISITORS);
        let server = check.server(&[]);
        let mut all = four_hundred(&server);
        check.suspect("counts-until-it-leaves-the-room");
        for (place, name) in [(300, "bob\n"), (350, "")] {
            let one = &mut all[place];
            one.send(format!("{name}{}\n", "x".repeat(LONGEST_LINE + 1)).as_bytes());
            let hello = if name.is_empty() { "" } else { "hello bob\n" };
            let expected = [hello.as_bytes(), TOO_LONG].concat();
            one.expect_end(&expected, "after it had sent a line that is too long");
            let when = "with four hundred connected, of whom one was hung up on, and stays";
            check.suspect("counts-until-it-leaves-the-room");
            one_too_many(&server, when).leave(Leaving::HangingUp);
        }
        all.remove(350).leave(Leaving::HangingUp);
        asked(&server, "next visitor");
    }

    #[test]
    fn three_hundred_hear_each_line() {
        const COUNT: usize = 300;
        let check = check!("07-chat");
        check.suspect("not-all-others-hear");
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
    fn nothing_is_kept_of_who_has_left() {
        const VISITS: usize = 700;
        let check = check!("07-chat");
        check.suspect("leaving-is-not-told");
        let server = check.server(&[]);
        let mut party = Party::of(&server, &["ann"]);
        let before = descriptors(&server);
        server.keeps_nothing(VISITS, "visits", |lot| {
            for number in 0..VISITS {
                let name = format!("guestnumbr{lot:0>2}x{number:0>7}");
                let mut guest = Passer::new(&server);
                let sent = format!("bad name\n{name}\nthis is what I say\nhalf");
                let answers = [ASK, BAD_NAME, format!("hello {name}\n").as_bytes()].concat();
                guest.exchanges(sent.as_bytes(), &answers);
                drop(guest);
                let heard =
                    format!("* {name} is here\n{name}: this is what I say\n* {name} has left\n");
                party.all_hear(&heard, "after a guest had come and gone");
            }
            all_have_left(&server, before);
        });
    }

    #[test]
    fn a_quiet_room_costs_nothing() {
        let check = check!("07-chat");
        check.suspect("looks-again-and-again");
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
        check.suspect("naps-in-a-callback");
        check.suspect_where("a loop that never waits", "spins-in-a-callback");
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

    /// As in the exercise.
    const LONGEST_ORDER: usize = 1000;
    const MOST_KEPT: usize = 250;
    const MOST_QUEUED: usize = MOST_KEPT * (LONGEST_ORDER + 100);
    const FULL: &str = "too much is kept already\n";

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
        check.suspect("seat-is-not-the-lowest");
        let server = check.server(&[]);
        let mut all: Vec<_> =
            (1..=5).map(|seat| seated(&server, &format!("visitor {seat}"), seat)).collect();
        nobody_hears_more(&mut all, "after five had come");
    }

    #[test]
    fn hundreds_have_a_seat() {
        const COUNT: usize = 600;
        let check = check!("07-seats");
        check.suspect("too-few-seats");
        room_for(COUNT);
        let server = check.server(&[]);
        let mut all: Vec<_> =
            (1..=COUNT).map(|seat| seated(&server, &format!("visitor {seat}"), seat)).collect();
        all[0].says(&format!("post {COUNT} hello"), "kept\n");
        all[COUNT - 1].says("post 1 hello back", "kept\n");
        let heard = format!("from {COUNT}: hello back\n");
        all[0].says("ring", &format!("{heard}rung 2\n"));
        all[COUNT - 1].hears("from 1: hello\n", "after somebody had rung");
    }

    #[rstest]
    #[case::by_finishing(Leaving::Finishing)]
    #[case::by_hanging_up(Leaving::HangingUp)]
    #[case::by_a_reset(Leaving::Reset)]
    fn the_lowest_free_seat(#[case] leaving: Leaving) {
        let check = check!("07-seats");
        check.suspect("seat-is-not-freed");
        let server = check.server(&[]);
        let mut all: Vec<_> =
            (1..=5).map(|seat| Some(seated(&server, &format!("visitor {seat}"), seat))).collect();
        for seats in [&[3][..], &[4, 2], &[1, 5, 3]] {
            for seat in seats {
                let leaves = all[seat - 1].take().expect("there is one on each seat");
                leaves.leave(leaving);
            }
            // Whoever is still there is told that nobody has these seats.
            check.suspect("seat-is-not-freed");
            let stays = all.iter_mut().flatten().next().expect("somebody stays");
            for seat in seats {
                stays.says(&format!("post {seat} hello"), "nobody there\n");
            }
            check.suspect("seat-is-not-the-lowest");
            let mut free = seats.to_vec();
            free.sort_unstable();
            for seat in free {
                all[seat - 1] = Some(seated(&server, &format!("next visitor {seat}"), seat));
            }
            seated(&server, "one more", 6).leave(leaving);
        }
    }

    #[test]
    fn who_is_hung_up_on_keeps_its_seat() {
        let check = check!("07-seats");
        check.suspect("seat-is-freed-too-early");
        let server = check.server(&[]);
        let mut poster = seated(&server, "poster", 1);
        let mut long = seated(&server, "visitor who says too much", 2);
        long.send(&[b'x'; LONGEST_ORDER]);
        let when = "after it had said too much";
        long.expect_end(b"", when);
        let when = "with somebody on seat 2 who was hung up on, and is still connected";
        let next = seated(&server, "next visitor", 3);
        // Whoever is connected is there. It gets nothing more, and nobody is told that it has left.
        poster.says("post 2 hello", "kept\n");
        poster.says("ring", "rung 1\n");
        let mut both = [poster, next];
        nobody_hears_more(&mut both, when);
        long.leave(Leaving::HangingUp);
        seated(&server, "visitor who comes when it has left", 2).leave(Leaving::HangingUp);
        let [mut poster, _next] = both;
        poster.says("post 2 hello", "nobody there\n");
    }

    #[test]
    fn two_seats_are_free_at_once() {
        let check = check!("07-seats");
        check.suspect("seat-is-not-freed");
        let server = check.server(&[]);
        let mut all: Vec<_> =
            (1..=4).map(|seat| seated(&server, &format!("visitor {seat}"), seat)).collect();
        let (three, two) = (all.remove(2), all.remove(1));
        server.program.stop();
        three.connection.reset();
        drop(two);
        server.program.go_on();
        if !only_so_many_stay(&server, 2) {
            check.fail("two have left, and your program keeps their connections");
        }
        all.push(seated(&server, "next visitor", 2));
        all.push(seated(&server, "visitor after the next", 3));
        all.push(seated(&server, "one more", 5));
        nobody_hears_more(&mut all, "after two had left at the same moment, and three had come");
    }

    #[rstest]
    #[case::in_one_piece(1)]
    #[case::byte_by_byte(usize::MAX)]
    fn delivered_at_the_ring(#[case] pieces: usize) {
        let check = check!("07-seats");
        check.suspect("kept-is-not-said");
        let server = check.server(&[]);
        let mut poster = seated(&server, "poster", 1);
        let mut other = seated(&server, "addressee", 2);
        let mut third = seated(&server, "third one", 3);
        poster.send_in_pieces(b"post 2 hello, you\n", pieces);
        poster.hears("kept\n", "after it had said \"post 2 hello, you\"");
        check.suspect("delivered-before-the-ring");
        other.nothing_more("before anybody has rung");
        check.suspect("count-is-wrong");
        third.send_in_pieces(b"ring\n", pieces);
        third.hears("rung 1\n", "after it had said \"ring\"");
        check.suspect("wrong-seat-is-named");
        other.hears("from 1: hello, you\n", "after somebody had rung");
        nobody_hears_more(&mut [poster, other, third], "after a text was delivered");
    }

    #[rstest]
    #[case::utf_8("text-not-bytes", "grüße, 世界".as_bytes())]
    #[case::no_utf_8("text-not-bytes", b"gr\xfc\xdfe")]
    #[case::half_a_letter("text-not-bytes", b"a\xc3")]
    #[case::zeros_and_controls("text-not-bytes", b"\x00\x01\x1b[2J\x7f\xff")]
    #[case::blanks_in_front_and_in_it("blanks-are-dropped", b" \t a  b")]
    #[case::a_return_in_it("text-not-bytes", b"a\rb")]
    #[case::an_order("text-not-bytes", b"post 1 ring")]
    #[case::a_letter("text-not-bytes", b"x")]
    #[case::the_longest("limit-is-off", &[b'z'; LONGEST_ORDER - b"again 2 \n".len()])]
    fn texts_are_bytes(#[case] cause: &'static str, #[case] text: &[u8]) {
        let check = check!("07-seats");
        check.suspect(cause);
        check.suspect_where("got \"rung ", "count-is-wrong");
        let server = check.server(&[]);
        let mut poster = seated(&server, "poster", 1);
        let mut other = seated(&server, "addressee", 2);
        let when = format!("after somebody had posted {}, and rung", shown(text));
        for order in [&b"post 2 "[..], b"again 2 "] {
            poster.send(&[order, text, b"\n"].concat());
            poster.hears("kept\n", &format!("after it had posted {}", shown(text)));
        }
        let delivered = [b"from 1: ", text, b"\n"].concat();
        poster.says("ring", "rung 2\n");
        other.expect(&delivered.repeat(2), &when);
        poster.says("ring", "rung 1\n");
        other.expect(&delivered, &format!("{when} twice"));
        nobody_hears_more(&mut [poster, other], &when);
    }

    #[test]
    fn the_same_again() {
        let check = check!("07-seats");
        check.suspect("same-text-is-dropped");
        let server = check.server(&[]);
        let mut poster = seated(&server, "poster", 1);
        let mut second = seated(&server, "second poster", 2);
        let mut other = seated(&server, "addressee", 3);
        for order in ["post 3 hello", "again 3 hello", "post 3 hello", "again 3 hello"] {
            poster.says(order, "kept\n");
        }
        second.says("post 3 hello", "kept\n");
        second.says("ring", "rung 5\n");
        let mine = "from 1: hello\n";
        let when = "after the same had been posted five times, and somebody had rung";
        other.hears(&(mine.repeat(4) + "from 2: hello\n"), when);
        second.says("ring", "rung 2\n");
        other.hears(&mine.repeat(2), when);
        nobody_hears_more(&mut [poster, second, other], when);
    }

    #[test]
    fn once() {
        let check = check!("07-seats");
        check.suspect("stays-registered");
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
        check.suspect("order-of-the-ring");
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
        check.suspect("borrowed-while-it-calls");
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
        check.suspect("nobody-is-not-said");
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
        check.suspect("not-to-oneself");
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
        check.suspect("remembers-the-seat");
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
        check.suspect("poster-is-taken-for-granted");
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
    fn a_note_to_oneself_is_forgotten() {
        let check = check!("07-seats");
        check.suspect("tells-whoever-has-the-seat");
        let server = check.server(&[]);
        let mut ringer = seated(&server, "ringer", 1);
        let mut alone = seated(&server, "lonely visitor", 2);
        alone.says("post 2 note to self", "kept\n");
        alone.says("again 2 and again", "kept\n");
        alone.leave(Leaving::HangingUp);
        let mut next = seated(&server, "next tenant", 2);
        let when = "after somebody had posted to its own seat and had left, and somebody had rung";
        ringer.says("ring", "rung 2\n");
        next.nothing_more(when);
        ringer.says("ring", "rung 0\n");
        nobody_hears_more(&mut [ringer, next], when);
    }

    #[test]
    fn each_poster_is_told() {
        let check = check!("07-seats");
        check.suspect("poster-is-not-told");
        let server = check.server(&[]);
        let mut posters: Vec<_> =
            (1..=3).map(|seat| seated(&server, &format!("poster {seat}"), seat)).collect();
        let leaves = seated(&server, "addressee who leaves", 4);
        let mut stays = seated(&server, "addressee who stays", 5);
        let orders =
            [(0, "post 4 a"), (0, "again 4 b"), (1, "post 5 c"), (1, "again 4 d"), (2, "post 4 e")];
        for (poster, order) in orders {
            posters[poster].says(order, "kept\n");
        }
        leaves.leave(Leaving::Reset);
        stays.says("ring", "from 2: c\nrung 5\n");
        let when = "after the addressee had left, and somebody had rung";
        for (poster, times) in [2, 1, 1].into_iter().enumerate() {
            posters[poster].hears(&"seat 4 has left\n".repeat(times), when);
        }
        stays.says("ring", "rung 0\n");
        posters.push(stays);
        nobody_hears_more(&mut posters, when);
    }

    #[test]
    fn again_among_others() {
        let check = check!("07-seats");
        check.suspect("again-registers-wrong");
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
    fn as_many_as_are_kept() {
        let check = check!("07-seats");
        check.suspect("so-many-a-ring");
        let server = check.server(&[]);
        let mut poster = seated(&server, "poster", 1);
        let mut other = seated(&server, "addressee", 2);
        let half = MOST_KEPT / 2;
        let orders = |order: &str, from: usize| -> String {
            (from..from + half).map(|number| format!("{order} 2 {number}\n")).collect()
        };
        let texts = |from: usize| -> String {
            (from..from + half).map(|number| format!("from 1: {number}\n")).collect()
        };
        poster.send((orders("again", 0) + &orders("post", half)).as_bytes());
        poster.hears(&"kept\n".repeat(2 * half), "after it had posted as much as is kept");
        for order in ["post 2 one more", "again 1 one more"] {
            poster.says(order, FULL);
        }
        poster.says("ring", &format!("rung {MOST_KEPT}\n"));
        let when = "after somebody had rung for as many texts as are kept";
        other.hears(&(texts(0) + &texts(half)), when);
        // Half of them are kept again. There is room for as many.
        poster.send(orders("post", half).as_bytes());
        poster.hears(&"kept\n".repeat(half), "after it had rung, and posted half as much");
        poster.says("post 2 one more", FULL);
        poster.says("ring", &format!("rung {MOST_KEPT}\n"));
        other.hears(&(texts(0) + &texts(half)), when);
        nobody_hears_more(&mut [poster, other], when);
    }

    /// Rings twice in one piece, so that nothing is sent in between. Then it's known to the text when the addressee has more queued
    /// than it may have.
    #[rstest]
    #[case::to_somebody_else(2)]
    #[case::to_oneself(1)]
    fn closed_in_the_middle_of_a_ring(#[case] to: usize) {
        let check = check!("07-seats");
        let server = check.server(&[]);
        let mut poster = seated(&server, "poster", 1);
        let mut addressee = seated(&server, "addressee", 2);
        let mut ringer = seated(&server, "ringer", 3);
        let text = "z".repeat(900);
        poster.send(format!("again {to} {text}\n").repeat(MOST_KEPT).as_bytes());
        poster.hears(&"kept\n".repeat(MOST_KEPT), "after it had posted as much as is kept");
        settle(&server, "with as much as is kept");
        let each = format!("from 1: {text}\n").len();
        // The last one is too much. It's queued, and kept for the next ring, before that is noticed.
        let delivered = MOST_QUEUED / each + 1 - MOST_KEPT;
        check.suspect("asks-its-own-list");
        ringer.send(b"ring\nring\n");
        let when = format!(
            "after two rings in one piece, in the middle of which seat {to} had too much queued, and was closed"
        );
        ringer.hears(&format!("rung {MOST_KEPT}\n").repeat(2), &when);
        let left = format!("seat {to} has left\n");
        let (gone, stays) =
            if to == 1 { (&mut poster, &mut addressee) } else { (&mut addressee, &mut poster) };
        match gone.connection.receive_all(&server.program) {
            Ok(Received { bytes, .. }) if bytes.is_empty() => {}
            Ok(Received { bytes, .. }) => check.fail(format!("{when}, it got {}", shown(&bytes))),
            Err((trouble, _)) => check.fail_for(&format!("{when}, it waits for its end"), &trouble),
        }
        if to == 2 {
            stays.hears(
                &left.repeat(MOST_KEPT - delivered),
                &format!("{when}, before the rest of that ring"),
            );
        }
        stays.nothing_more(&when);
        check.suspect("again-registers-wrong");
        ringer.says("ring", &format!("rung {delivered}\n"));
        if to == 2 {
            stays.hears(
                &left.repeat(delivered),
                "at the ring after the one in which seat 2 was closed",
            );
        }
        ringer.says("ring", "rung 0\n");
        nobody_hears_more(std::slice::from_mut(stays), "after all texts were forgotten");
        seated(&server, "next visitor", to);
    }

    #[test]
    fn nothing_is_kept_of_what_was_delivered() {
        const VISITS: usize = 800;
        const AT_ONCE: usize = 100;
        let check = check!("07-seats");
        check.suspect("count-is-wrong");
        room_for(AT_ONCE);
        let server = check.server(&[]);
        let mut ringer = seated(&server, "ringer", 1);
        let before = descriptors(&server);
        server.keeps_nothing(VISITS, "visits, with texts that were delivered,", |_| {
            for _ in 0..VISITS / AT_ONCE {
                let mut all = Vec::new();
                for seat in 2..AT_ONCE + 2 {
                    let mut guest = Passer::new(&server);
                    let sent = format!("post {seat} note\nagain {seat} note\n");
                    guest.exchanges(
                        sent.as_bytes(),
                        format!("seat {seat}\nkept\nkept\n").as_bytes(),
                    );
                    all.push(guest);
                }
                ringer.says("ring", &format!("rung {}\n", 2 * AT_ONCE));
                for (seat, mut guest) in (2..).zip(all) {
                    guest.exchanges(b"", format!("from {seat}: note\n").repeat(2).as_bytes());
                }
                all_have_left(&server, before);
                ringer.says("ring", &format!("rung {AT_ONCE}\n"));
            }
        });
    }

    #[test]
    fn two_hundred() {
        const COUNT: usize = 200;
        let check = check!("07-seats");
        check.suspect("order-of-the-ring");
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
        check.suspect("looks-again-and-again");
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
        check.suspect("naps-in-a-callback");
        check.suspect_where("a loop that never waits", "spins-in-a-callback");
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
