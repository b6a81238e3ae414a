//! The checks of 07-chat: a room that remembers who is in it.

use std::time::Instant;

use grader::bytes::{Between, between_when_still, both_ends, read_exactly};

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

const ALL_WAYS: [Leaving; 3] = [Leaving::Finishing, Leaving::HangingUp, Leaving::Reset];

impl Visitor<'_> {
    /// One with a name of its own.
    fn person(mut self) -> Self {
        self.the = "";
        self
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
}

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
    // Somebody who has come and hasn't said who it is hears nothing either.
    let dan = Visitor::new(&server, "dan");
    settle(&server, "after an unnamed visitor had run into a bug");
    party.says(0, "hello", "after an unnamed visitor had run into a bug");
    settle(&server, "after an unnamed visitor had run into a bug");
    party.joined_by(dan);
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
    unnamed.expect(&BAD_NAME.repeat(16_000), "after it had sent 16000 empty lines in one piece");
    unnamed.send(b"dan\n");
    unnamed.expect(b"hello dan\n", "after it had read all that it was answered");
    party.all_hear("* dan is here\n", "after somebody had given 16000 bad names and a good one");
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
        check.fail(format!("{when}, your program took {most} bytes more: {allowed} are allowed"));
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
            server.fail_seeing(&format!("the others heard that {name} has left, and it hasn't"));
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
        let when =
            "after two had said so much at once that just MOST_QUEUED bytes were queued for cid";
        // Whoever comes first in the loop's list.
        let first = |bytes: &[u8]| !bytes.is_empty();
        let began = match cid.connection.receive_while_missing(&server.program, first) {
            Ok(Ok(bytes)) => bytes,
            _ => server.fail_seeing(&format!("{when}, he was closed: a queue may hold as much")),
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
            let waits =
                format!("{when}, {name} waits for what is said, or who has left ({came} has come)");
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
        let had_a_name = !matches!(stage, Stage::Unnamed | Stage::InItsName | Stage::UnnamedBug);
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
        one_too_many(&server, "with four hundred connected, after others were told that it's full")
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
