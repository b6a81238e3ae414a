//! The graded checks of chapter 7. The judged program is the server; the check plays its visitors.

use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use grader::check;
use grader::check::Server;
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
}

impl<'a> Visitor<'a> {
    #[track_caller]
    fn new(server: &'a Server<'a>, name: &str) -> Self {
        Self { server, connection: server.visitor(name).connection }
    }

    /// A visitor with little room in the kernel, on both sides: a few dozen KiB in place of several MiB.
    /// Where that can't be had, it is one like all others.
    #[track_caller]
    fn narrow(server: &'a Server<'a>, name: &str) -> Self {
        match connect_narrowly(server).map(|stream| Connection::new(stream, name)) {
            Some(Ok(connection)) => Self { server, connection },
            _ => Self::new(server, name),
        }
    }

    fn name(&self) -> &str {
        self.connection.name()
    }

    #[track_caller]
    fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.connection.send(bytes) {
            self.server.fail_seeing(&format!("the {} couldn't send: {error}", self.name()));
        }
    }

    /// Sends `bytes` in about so many pieces, each after the one before has been read.
    #[track_caller]
    fn send_in_pieces(&mut self, bytes: &[u8], pieces: usize) {
        let sent = self.connection.send_in_pieces(bytes, pieces, &self.server.program);
        if let Err(error) = sent {
            self.server.fail_seeing(&format!(
                "the {} sent {} in {pieces} pieces, and couldn't send all: {error}",
                self.name(),
                shown(bytes)
            ));
        }
    }

    /// Has to get just these bytes next. `when` says what has happened before.
    #[track_caller]
    fn expect(&mut self, expected: &[u8], when: &str) {
        let enough = |bytes: &[u8]| bytes.len() >= expected.len();
        let name = self.name().to_owned();
        match self.connection.receive_while_missing(&self.server.program, enough) {
            Ok(Ok(bytes)) => {
                let (next, more) = bytes.split_at(expected.len());
                self.compare(next, expected, when);
                self.connection.give_back(more);
            }
            Ok(Err(Received { bytes, end })) => {
                let ended = match end {
                    End::Closed => "was hung up on",
                    End::Reset => "got a reset",
                };
                let (came, expected) = (shown(&bytes), shown(expected));
                self.server.fail_seeing(&format!(
                    "{when}, the {name} {ended}: {came} came, and {expected} was to come"
                ));
            }
            Err((trouble, bytes)) => {
                let (came, expected) = (shown(&bytes), shown(expected));
                let expected = format!("{when}, the {name} waits for {expected} ({came} has come)");
                self.server.check.fail_for(&expected, &trouble);
            }
        }
    }

    #[track_caller]
    fn compare(&self, came: &[u8], expected: &[u8], when: &str) {
        let Some(at) = came.iter().zip(expected).position(|(came, expected)| came != expected)
        else {
            return;
        };
        let name = self.name();
        if expected.len() <= 200 {
            let (came, expected) = (shown(came), shown(expected));
            self.server.fail_seeing(&format!("{when}, the {name} got {came}, and not {expected}"));
        }
        let from = at.saturating_sub(20);
        let part = |bytes: &[u8]| shown(&bytes[from..bytes.len().min(at + 40)]);
        let (came, expected) = (part(came), part(expected));
        self.server.fail_seeing(&format!(
            "{when}, what the {name} got is wrong from byte {at} on: {came}, and not {expected}"
        ));
    }

    /// Nothing may have come that wasn't expected, although the server has done all that it can do.
    #[track_caller]
    fn nothing_more(&mut self, when: &str) {
        settle(self.server, when);
        if !self.connection.readable_within(Duration::ZERO) {
            return;
        }
        let some = |bytes: &[u8]| !bytes.is_empty();
        let (name, server) = (self.name().to_owned(), self.server);
        let came = match self.connection.receive_while_missing(&server.program, some) {
            Ok(Ok(bytes)) => shown(&bytes),
            Ok(Err(Received { end: End::Closed, .. })) => "the end".to_owned(),
            Ok(Err(Received { end: End::Reset, .. })) => "a reset".to_owned(),
            Err((trouble, _)) => server.check.fail_for(when, &trouble),
        };
        server
            .fail_seeing(&format!("{when}, nothing was to come to the {name}, and it got {came}"));
    }

    /// Has to get just these bytes, and then a proper end.
    #[track_caller]
    fn expect_end(&mut self, expected: &[u8], when: &str) {
        self.expect(expected, when);
        let name = self.name().to_owned();
        match self.connection.receive_all(&self.server.program) {
            Ok(Received { bytes, end: End::Closed }) if bytes.is_empty() => {}
            Ok(Received { bytes, end: End::Closed }) => {
                let (came, expected) = (shown(&bytes), shown(expected));
                self.server.fail_seeing(&format!("{when}, the {name} got {came} after {expected}"));
            }
            Ok(_) => self.server.fail_seeing(&format!("{when}, the {name} got a reset")),
            Err((trouble, _)) => {
                let expected = format!("{when}, the {name} waits for the server to hang up");
                self.server.check.fail_for(&expected, &trouble);
            }
        }
    }

    /// Leaves in one way or another, and waits until the server has done what it does then.
    #[track_caller]
    fn leave(mut self, how: Leaving) {
        let server = self.server;
        match how {
            Leaving::Finishing => {
                self.connection.finish_sending();
                // What comes to it is no matter here; the end is.
                let name = self.name().to_owned();
                if let Err((trouble, _)) = self.connection.receive_all(&server.program) {
                    let expected = format!(
                        "after it had finished sending, the {name} waits for the server to hang up"
                    );
                    server.check.fail_for(&expected, &trouble);
                }
            }
            Leaving::HangingUp => drop(self),
            Leaving::Reset => self.connection.reset(),
        }
        settle(server, &format!("after somebody had left by {how:?}"));
    }
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

const ALL_WAYS: [Leaving; 3] = [Leaving::Finishing, Leaving::HangingUp, Leaving::Reset];

/// As in chapter 6's checks.
#[cfg(target_os = "linux")]
fn connect_narrowly(server: &Server<'_>) -> Option<TcpStream> {
    use std::net::SocketAddr;
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{
        AddressFamily, SockFlag, SockType, SockaddrIn, connect, setsockopt, socket, sockopt,
    };

    let SocketAddr::V4(address) = server.address else { return None };
    let stream = SockType::Stream;
    let socket = socket(AddressFamily::Inet, stream, SockFlag::SOCK_CLOEXEC, None).ok()?;
    setsockopt(&socket, sockopt::RcvBuf, &4096).ok()?;
    setsockopt(&socket, sockopt::SndBuf, &8192).ok()?;
    // The kernel of a sender reckons in segments: where they are small, so is the room for them.
    setsockopt(&socket, sockopt::TcpMaxSeg, &1400).ok()?;
    connect(socket.as_raw_fd(), &SockaddrIn::from(address)).ok()?;
    Some(socket.into())
}

#[cfg(not(target_os = "linux"))]
fn connect_narrowly(_: &Server<'_>) -> Option<TcpStream> {
    None
}

/// Waits until the server has done all that it can do with the visitors that it has.
#[track_caller]
fn settle(server: &Server<'_>, when: &str) {
    if let Err(trouble) = server.program.settled() {
        server.check.fail_for(&format!("{when}, your program was to wait"), &trouble);
    }
}

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

    #[rstest]
    #[case::a_byte_too_long("16385:")]
    #[case::much_too_long("99999:")]
    #[case::too_long_without_a_colon("99999")]
    #[case::a_length_without_an_end("11111111111111111111111111111111111111111111111111")]
    #[case::longer_than_any_memory("18446744073709551617:a,")]
    #[case::no_digits(":hello,")]
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
             refused, as soon as it's certain: before the bytes have come, if their number is too large",
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

    #[test]
    fn frames_before_it_are_answered() {
        let check = check!("07-frames");
        check.likely(
            "what was queued for the visitor is lost: `close` throws it away, `finish` sends it first. And behind a refusal nothing \
             is answered any more",
            "07-callbacks.html#exercise-07-frames",
        );
        let server = check.server(&[]);
        let mut visitor = Visitor::new(&server, "visitor");
        visitor.send(b"1:a,2:bc,3:defg,1:h,");
        let when = "after it sent two frames, something that is none, and one more";
        visitor.expect_end(&[b"1:a,2:cb,", REFUSAL].concat(), when);
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
        let (mut one, mut other) = (visitor(&server, "one"), visitor(&server, "other"));
        let pairs = [
            ("5", "1"),
            (":he", "1:ahoy"),
            ("l", " there "),
            ("lo", "al"),
            (",3", "l,"),
            (":abc,", "1:x,"),
        ];
        for (its, others) in pairs {
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
            let when = format!("after somebody had sent {part:?} and left by {leaving:?}");
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
        let server = check.server(&[]);
        let lens = server.lens();
        let mut half = visitor(&server, "visitor with half a frame");
        half.send_in_pieces(b"5:hel", 1);
        let mut quick = visitor(&server, "quick visitor");
        for _ in 0..20 {
            quick.send(b"2:ab,");
            quick.expect(b"2:ba,", "with somebody there in the middle of a frame");
        }
        half.send(b"lo,");
        half.expect(b"5:olleh,", "after it sent the other half of its frame");
        settle(&server, "with two visitors who were answered");
        let when = "with a visitor in the middle of a frame, and a quick one";
        server.waits_only_in(lens.as_ref(), &["poll"], when);
    }
}
