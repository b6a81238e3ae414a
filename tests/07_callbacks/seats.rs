//! The checks of 07-seats: callbacks that outlive what they were about.

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
        stays
            .hears(&left.repeat(delivered), "at the ring after the one in which seat 2 was closed");
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
                guest.exchanges(sent.as_bytes(), format!("seat {seat}\nkept\nkept\n").as_bytes());
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
    let mut all: Vec<_> =
        (1..=COUNT).map(|seat| Some(seated(&server, &format!("visitor {seat}"), seat))).collect();
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
                &format!("from {place}: I am {place}\nseat {} has left\n", (place + 1) % COUNT + 1),
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
