//! The checks of 07-frames: frames out of pieces.

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
    for (sent, expected) in [("5:hello,", "5:olleh,"), ("12:twelve bytes,", "12:setyb evlewt,")] {
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
        visitor.expect(&answer(&many(length)), &format!("after it sent a frame of {length} bytes"));
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
                visitor.nothing_more(&format!("after it sent {begin:?}, which may become a frame"));
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
        check.fail(format!("{when}, the visitor is gone, and your program keeps its connection"));
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
    let mut all: Vec<_> = (0..COUNT).map(|number| Visitor::new(&server, &name(number))).collect();
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
