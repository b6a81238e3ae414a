//! The checks of 12-fair: so much in a turn, and no more. Judged by counts and by order: how long a word takes says more
//! about the machine.

use super::udp::Peer;
use super::*;

/// As in the exercise.
const WORDS_A_TURN: usize = 32;
const LONGEST: usize = 65_507;

/// Seconds of work.
const MANY: usize = 5000;
/// How often somebody has to be answered while that is done.
const FEW: usize = 3;
/// How often to try again where this machine was too slow for what was to be seen.
const TRIES: usize = 5;
/// Memory that nobody needs for a datagram, in bytes.
const PLENTY: u64 = 1 << 20;

fn words(count: usize) -> Vec<u8> {
    b"word ".repeat(count)
}

/// What `count` is answered: how many words are done, and how many at the most in a turn.
#[track_caller]
fn count(visitor: &mut Visitor<'_>, when: &str) -> (usize, usize) {
    visitor.send(b"count\n");
    let name = visitor.name();
    let is_line = |bytes: &[u8]| bytes.ends_with(b"\n");
    let server = visitor.server;
    let line = match visitor.connection.receive_while_missing(&server.program, is_line) {
        Ok(Ok(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
        Ok(Err(_)) => server.fail_seeing(&format!("{when}, {name} was hung up on")),
        Err((trouble, _)) => {
            let trouble = trouble.to_string();
            let trouble = trouble.strip_prefix("it ").unwrap_or(&trouble);
            server.fail_seeing(&format!(
                "{when}, {name} waits for a count, but your program {trouble}"
            ))
        }
    };
    let numbers: Vec<usize> = line
        .split(|character: char| !character.is_ascii_digit())
        .filter_map(|n| n.parse().ok())
        .collect();
    let [done, most] = numbers[..] else {
        server.fail_seeing(&format!("{when}, {name} got {line:?} for `count`"))
    };
    (done, most)
}

/// The sender has to get just this next.
#[track_caller]
fn expect_done(server: &Server<'_>, sender: &Peer, count: usize, when: &str) {
    let expected = format!("done {count}\n");
    let what = format!("{when}, {} waits for `done {count}`", sender.name);
    let (came, _) = sender.receive_worked_for(server, &what);
    if came != expected.as_bytes() {
        let (name, came) = (&sender.name, shown(&came));
        server.fail_seeing(&format!(
            "{when}, {name} got {came}, and not {}",
            shown(expected.as_bytes())
        ));
    }
}

/// So many words are done, by the program's own count.
#[track_caller]
fn all_are_done(visitor: &mut Visitor<'_>, expected: usize, when: &str) -> usize {
    let (done, most) = count(visitor, when);
    if done != expected {
        visitor.server.fail_seeing(&format!("{when}, {done} words are done, and not {expected}"));
    }
    most
}

#[rstest]
#[case::one(b"word", 1)]
#[case::three(b"to be done", 3)]
#[case::the_same_twice(b"tick tick", 2)]
#[case::of_one_letter(b"a b c d e", 5)]
#[case::several_blanks(b"a  b    c", 3)]
#[case::blanks_around(b"  a b   ", 2)]
#[case::a_blank_behind(b"a b ", 2)]
#[case::blanks_alone(b"     ", 0)]
#[case::lines(b"a\nb\tc\r\nd e\n", 2)]
#[case::a_line_end_between_blanks(b"a \n b", 3)]
#[case::no_text(b"\xff\xfe \x80 \0\0", 3)]
#[case::half_a_letter(b"caf\xc3 \xa9", 2)]
#[case::other_blanks(b"a\xc2\xa0b\xe2\x80\x83c", 1)]
fn words_are_counted(#[case] datagram: &[u8], #[case] expected: usize) {
    let check = check!("12-fair");
    check.suspect(match datagram {
        [b'\xff', ..] | [b'c', ..] => "takes-bytes-for-text",
        _ => "cuts-words-elsewhere",
    });
    let server = check.server(&[]);
    let (sender, mut visitor) = (Peer::of(&server, "sender"), Visitor::new(&server, "visitor"));
    sender.send(&server, server.address, datagram);
    let when = format!("after the datagram {}", shown(datagram));
    expect_done(&server, &sender, expected, &when);
    all_are_done(&mut visitor, expected, &when);
    sender.nothing_more(&server, &when);
}

#[test]
fn an_empty_datagram() {
    let check = check!("12-fair");
    check.suspect("empty-datagram-is-the-end");
    let server = check.server(&[]);
    let (sender, mut visitor) = (Peer::of(&server, "sender"), Visitor::new(&server, "visitor"));
    for _ in 0..2 {
        sender.send(&server, server.address, b"");
        expect_done(&server, &sender, 0, "after an empty datagram");
    }
    sender.send(&server, server.address, b"a word");
    expect_done(&server, &sender, 2, "after two empty datagrams and one with two words");
    all_are_done(&mut visitor, 2, "after two empty datagrams and one with two words");
    sender.nothing_more(&server, "after three datagrams");
}

#[rstest]
#[case::a_turn_but_one(WORDS_A_TURN - 1)]
#[case::a_turn(WORDS_A_TURN)]
#[case::a_turn_and_one(WORDS_A_TURN + 1)]
#[case::two_turns(2 * WORDS_A_TURN)]
#[case::two_turns_and_one(2 * WORDS_A_TURN + 1)]
#[case::ten_turns(10 * WORDS_A_TURN)]
fn so_many_in_a_turn(#[case] number: usize) {
    let check = check!("12-fair");
    check.suspect(match number {
        ..=WORDS_A_TURN => "other-number-of-words-a-turn",
        _ => "what-is-left-waits-for-a-datagram",
    });
    let server = check.server(&[]);
    let (sender, mut visitor) = (Peer::of(&server, "sender"), Visitor::new(&server, "visitor"));
    sender.send(&server, server.address, &words(number));
    let when = format!("after a datagram of {number} words");
    expect_done(&server, &sender, number, &when);
    check.suspect("counts-are-wrong");
    let most = all_are_done(&mut visitor, number, &when);
    let expected = number.min(WORDS_A_TURN);
    check.suspect(if most > expected { "too-many-words-a-turn" } else { "too-few-words-a-turn" });
    if most != expected {
        server.fail_seeing(&format!(
            "{when}, at most {most} words were done in a turn, and not {expected}"
        ));
    }
    sender.nothing_more(&server, &when);
}

#[test]
fn a_line_beside_many_words() {
    let check = check!("12-fair");
    check.suspect("a-datagram-in-one-go");
    let server = check.server(&[]);
    let (sender, mut visitor) = (Peer::of(&server, "sender"), Visitor::new(&server, "visitor"));
    count(&mut visitor, "before any datagram");
    let when = format!("while a datagram of {MANY} words is worked on");
    for attempt in 1.. {
        sender.send(&server, server.address, &words(MANY));
        let mut between = 0;
        loop {
            let (done, _) = count(&mut visitor, &when);
            if done == attempt * MANY {
                break;
            }
            between += usize::from(done > (attempt - 1) * MANY);
        }
        expect_done(&server, &sender, MANY, &when);
        if between >= FEW {
            break;
        }
        if attempt == TRIES {
            server.fail_seeing(&format!(
                "{when}, a visitor asked for the count again and again, and was answered {between} times before all were done"
            ));
        }
    }
    let (_, most) = count(&mut visitor, "after a long datagram");
    if most > WORDS_A_TURN {
        server.fail_seeing(&format!("{when}, {most} were done in one turn"));
    }
}

/// What came before it is there at once, when the program goes on.
#[rstest]
#[case::of_twenty_words(&[20; 12])]
#[case::of_one_word(&[1; 50])]
#[case::of_many_sizes(&[100, 1, 32, 0, 33, 64, 5, 200, 31])]
fn in_their_order(#[case] sizes: &[usize]) {
    let check = check!("12-fair");
    check.suspect("the-rest-is-lost");
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "visitor");
    let senders = [Peer::of(&server, "first sender"), Peer::of(&server, "second sender")];
    server.program.stop();
    for (size, sender) in sizes.iter().zip(senders.iter().cycle()) {
        sender.send(&server, server.address, &words(*size));
    }
    server.program.go_on();
    let when = format!("after datagrams of {sizes:?} words from two senders in turn");
    for (size, sender) in sizes.iter().zip(senders.iter().cycle()) {
        expect_done(&server, sender, *size, &when);
    }
    check.suspect("counts-are-wrong");
    let most = all_are_done(&mut visitor, sizes.iter().sum(), &when);
    check.suspect("more-than-one-datagram-a-turn");
    let largest = sizes.iter().max().copied().unwrap_or_default();
    if most > largest.min(WORDS_A_TURN) {
        server.fail_seeing(&format!("{when}, {most} words were done in one turn"));
    }
    for sender in &senders {
        sender.nothing_more(&server, &when);
    }
}

/// Their senders hear of it in the order in which they came, whoever is longer.
#[test]
fn the_first_is_done_first() {
    let check = check!("12-fair");
    check.suspect("the-last-is-done-first");
    let server = check.server(&[]);
    let sender = Peer::of(&server, "sender");
    server.program.stop();
    for size in [200, 2, 100, 1, 0] {
        sender.send(&server, server.address, &words(size));
    }
    server.program.go_on();
    for size in [200, 2, 100, 1, 0] {
        expect_done(&server, &sender, size, "after datagrams of 200, 2, 100, 1, and 0 words");
    }
}

#[test]
fn another_comes_meanwhile() {
    let check = check!("12-fair");
    check.suspect("the-rest-is-lost");
    let server = check.server(&[]);
    let (first, second) = (Peer::of(&server, "first sender"), Peer::of(&server, "second sender"));
    let mut visitor = Visitor::new(&server, "visitor");
    first.send(&server, server.address, &words(1000));
    let mut done = 0;
    while done == 0 {
        done = count(&mut visitor, "after a datagram of 1000 words").0;
    }
    second.send(&server, server.address, &words(3));
    let when = "when a second datagram comes while the first is worked on";
    expect_done(&server, &first, 1000, when);
    expect_done(&server, &second, 3, when);
    all_are_done(&mut visitor, 1003, when);
}

#[test]
fn they_are_done_when_it_says_so() {
    let check = check!("12-fair");
    check.suspect("answers-before-the-work");
    let server = check.server(&[]);
    let (sender, mut visitor) = (Peer::of(&server, "sender"), Visitor::new(&server, "visitor"));
    for times in 1..=5 {
        sender.send(&server, server.address, &words(300));
        expect_done(&server, &sender, 300, "after a datagram of 300 words");
        // While it sleeps it can't catch up.
        server.program.stop();
        let asked = visitor.connection.send(b"count\n");
        server.program.go_on();
        if asked.is_err() {
            server.fail_seeing("the visitor couldn't send");
        }
        let is_line = |bytes: &[u8]| bytes.ends_with(b"\n");
        let line = match visitor.connection.receive_while_missing(&server.program, is_line) {
            Ok(Ok(line)) => line,
            _ => server.fail_seeing("after `done 300`, a visitor got no count"),
        };
        let expected = format!("{} done, ", times * 300);
        if !line.starts_with(expected.as_bytes()) {
            let (line, expected) = (shown(&line), 300 * times);
            server.fail_seeing(&format!(
                "after `done 300`, the count is {line}, and {expected} were to be done"
            ));
        }
    }
}

#[rstest]
#[case::one_word(1)]
#[case::a_thousand_words(1000)]
#[case::as_many_as_there_is_room(LONGEST.div_ceil(2))]
fn the_longest_datagram(#[case] number: usize) {
    let check = check!("12-fair");
    check.suspect("the-end-of-a-datagram-is-lost");
    let server = check.server(&[]);
    let (sender, mut visitor) = (Peer::of(&server, "sender"), Visitor::new(&server, "visitor"));
    // The last word is at the very end.
    let mut datagram = vec![b' '; LONGEST];
    let datagram_words = if number > 1000 { 1000 } else { number };
    let part = LONGEST / datagram_words;
    for word in 1..=datagram_words {
        let end = LONGEST - (datagram_words - word) * part;
        let length = if number == LONGEST.div_ceil(2) { 1 } else { part / 2 };
        datagram[end - length..end].fill(b'x');
    }
    sender.send(&server, server.address, &datagram);
    let when = format!("after a datagram of {LONGEST} bytes with {datagram_words} words");
    expect_done(&server, &sender, datagram_words, &when);
    all_are_done(&mut visitor, datagram_words, &when);
}

#[test]
fn nothing_is_received_meanwhile() {
    let check = check!("12-fair");
    check.suspect("receives-while-words-are-left");
    let server = check.server(&[]);
    let (sender, flood) = (Peer::of(&server, "sender"), Peer::of(&server, "flood"));
    let mut visitor = Visitor::new(&server, "visitor");
    // Its buffer is there once it has received one.
    flood.send(&server, server.address, &[b'x'; LONGEST]);
    expect_done(&server, &flood, 1, "after a long word");
    let before = server.peak();
    sender.send(&server, server.address, &words(3000));
    let when = "when datagrams of 65,507 bytes come while 3,000 words are worked on";
    let mut done = 1;
    while done < 2500 {
        for _ in 0..3 {
            flood.send(&server, server.address, &[b'x'; LONGEST]);
        }
        done = count(&mut visitor, when).0;
    }
    server.needs_little_memory(before, PLENTY, when);
    let most = count(&mut visitor, when).1;
    if most > WORDS_A_TURN {
        server.fail_seeing(&format!("{when}, {most} words were done in one turn"));
    }
    expect_done(&server, &sender, 3000, when);
}

#[test]
fn it_sleeps() {
    let check = check!("12-fair");
    check.suspect("never-sleeps");
    let server = check.server(&[]);
    let (sender, mut visitor) = (Peer::of(&server, "sender"), Visitor::new(&server, "visitor"));
    settle(&server, "before anything comes");
    let lens = server.lens();
    server.takes_no_naps(lens.as_ref(), "before anything comes");
    for size in [1, 32, 40, 0] {
        sender.send(&server, server.address, &words(size));
        let when = format!("after a datagram of {size} words");
        expect_done(&server, &sender, size, &when);
        count(&mut visitor, &when);
        check.suspect("never-sleeps");
        settle(&server, &when);
        server.takes_no_naps(lens.as_ref(), &when);
    }
    check.suspect("waits-elsewhere");
    server.waits_only_in(lens.as_ref(), &["epoll_wait", "poll"], "after some datagrams");
}

#[test]
fn nothing_is_kept() {
    let check = check!("12-fair");
    let server = check.server(&[]);
    let sender = Peer::of(&server, "sender");
    server.keeps_nothing(200, "datagrams", |_| {
        for _ in 0..200 {
            sender.send(&server, server.address, b"two words");
            expect_done(&server, &sender, 2, "after a datagram of two words");
        }
    });
}
