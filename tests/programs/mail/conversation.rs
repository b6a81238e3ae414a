//! What is said, without a socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, UNIX_EPOCH};

use ch12_kernel::line_server::Event;
use ch12_kernel::lines::Lines;
use ch12_kernel::mail::message::Message;
use ch12_kernel::mail::path::LONGEST_PATH;
use ch12_kernel::mail::session::{
    COMMAND_TIME, DATA_TIME, DISK_TIME, Failure, LONGEST_LINE, MOST_ERRORS, MOST_RECIPIENTS,
    Outcome, Session, Terms, Then,
};
use rstest::rstest;

const FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const TERMS: Terms<'_> =
    Terms { host: "mx.example", largest: 1000, room: 100_000, generation: None };

/// A conversation: a client's bytes go in, as pieces of any size.
struct Conversation {
    session: Session,
    lines: Lines,
    input: Vec<u8>,
    terms: Terms<'static>,
    /// Line by line.
    replies: Vec<String>,
    kept: Vec<Message>,
    /// What the disk says.
    disk: Result<(), Failure>,
    is_over: bool,
    most_held: usize,
}

impl Conversation {
    fn new(terms: Terms<'static>) -> Self {
        let mut it = Self {
            session: Session::new(FROM),
            lines: Lines::new(LONGEST_LINE),
            input: Vec::new(),
            terms,
            replies: Vec::new(),
            kept: Vec::new(),
            disk: Ok(()),
            is_over: false,
            most_held: 0,
        };
        it.happens(Event::Connected);
        it
    }

    fn happens(&mut self, event: Event<'_>) {
        let room = self.terms.room - self.session.holds();
        let outcome = self.session.receive(event, Terms { room, ..self.terms });
        self.carry_out(outcome);
    }

    fn carry_out(&mut self, outcome: Outcome) {
        let Outcome { reply, then, .. } = outcome;
        self.most_held = self.most_held.max(self.session.holds());
        self.replies.extend(reply.split("\r\n").filter(|it| !it.is_empty()).map(str::to_owned));
        match then {
            Then::GoOn => {}
            Then::ExpectData => self.lines.expect_data(),
            Then::HangUp => self.is_over = true,
            Then::Keep(message) => {
                if self.disk.is_ok() {
                    self.kept.push(message);
                }
                let outcome = self.session.kept(self.disk);
                self.carry_out(outcome);
            }
        }
    }

    fn hears(&mut self, bytes: &[u8]) {
        let mut input = std::mem::take(&mut self.input);
        input.extend_from_slice(bytes);
        let mut rest = input.as_slice();
        while !self.is_over {
            let mut lines = self.lines.clone();
            let Some(piece) = lines.next(&mut rest) else {
                self.lines = lines;
                break;
            };
            self.lines = lines;
            self.happens(piece.into());
        }
        self.input = if self.is_over { Vec::new() } else { rest.to_vec() };
    }

    /// The replies since the last time: their first words, which are codes.
    fn codes(&mut self) -> Vec<String> {
        let code = |reply: String| {
            let is_code = |word: &&str| word.bytes().all(|it| it.is_ascii_digit() || it == b'.');
            reply.split(' ').take_while(is_code).collect::<Vec<_>>().join(" ")
        };
        std::mem::take(&mut self.replies).into_iter().map(code).collect()
    }
}

fn whole(text: &[u8]) -> Conversation {
    let mut it = Conversation::new(TERMS);
    it.hears(text);
    it
}

/// What leads to each state.
const NEW: &str = "";
const GREETED: &str = "EHLO client.example\r\n";
const SENDER: &str = "EHLO client.example\r\nMAIL FROM:<a@b>\r\n";
const RECIPIENT: &str = "EHLO client.example\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n";
/// And back again.
const RESET: &str = "EHLO client.example\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRSET\r\n";

#[rstest]
#[case::helo("HELO x", ["250"; 5])]
#[case::helo_without_a_name("HELO", ["501"; 5])]
#[case::a_name_of_two_words("HELO x y", ["250"; 5])]
#[case::a_name_that_is_more("HELO x(y)", ["250"; 5])]
#[case::a_name_of_255(&format!("HELO {}", "x".repeat(255)), ["250"; 5])]
#[case::a_name_of_256(&format!("HELO {}", "x".repeat(256)), ["501"; 5])]
#[case::an_address_for_a_name("HELO [127.0.0.1]", ["250"; 5])]
#[case::mail("MAIL FROM:<a@b>", ["503 5.5.1", "250 2.1.0", "503 5.5.1", "503 5.5.1", "250 2.1.0"])]
#[case::null_sender("MAIL FROM:<>", ["503 5.5.1", "250 2.1.0", "503 5.5.1", "503 5.5.1", "250 2.1.0"])]
#[case::small_letters("mail from:<a@b> size=1000 body=8bitmime", ["503 5.5.1", "250 2.1.0", "503 5.5.1", "503 5.5.1", "250 2.1.0"])]
#[case::blanks("MAIL  FROM: <a@b>  SIZE=1 \t", ["503 5.5.1", "250 2.1.0", "503 5.5.1", "503 5.5.1", "250 2.1.0"])]
#[case::too_large("MAIL FROM:<a@b> SIZE=1001", ["503 5.5.1", "552 5.3.4", "503 5.5.1", "503 5.5.1", "552 5.3.4"])]
#[case::much_too_large("MAIL FROM:<a@b> SIZE=99999999999999999999", ["503 5.5.1", "552 5.3.4", "503 5.5.1", "503 5.5.1", "552 5.3.4"])]
#[case::no_sender("MAIL", ["501 5.5.4"; 5])]
#[case::no_from("MAIL <a@b>", ["501 5.5.4"; 5])]
#[case::no_brackets("MAIL FROM:a@b", ["501 5.1.7"; 5])]
#[case::something_behind_the_brackets("MAIL FROM:<a@b>x", ["501 5.1.7"; 5])]
#[case::postmaster_sends_nothing("MAIL FROM:<postmaster>", ["501 5.1.7"; 5])]
#[case::size_of_nothing("MAIL FROM:<a@b> SIZE=", ["501 5.5.4"; 5])]
#[case::size_that_is_none("MAIL FROM:<a@b> SIZE=+1", ["501 5.5.4"; 5])]
#[case::size_of_21_digits("MAIL FROM:<a@b> SIZE=100000000000000000000", ["501 5.5.4"; 5])]
#[case::size_twice("MAIL FROM:<a@b> SIZE=1 SIZE=1", ["501 5.5.4"; 5])]
#[case::another_body("MAIL FROM:<a@b> BODY=BINARYMIME", ["501 5.5.4"; 5])]
#[case::another_parameter("MAIL FROM:<a@b> RET=HDRS", ["555 5.5.4"; 5])]
#[case::other_letters("MAIL FROM:<\u{e9}@b>", ["553 5.6.7"; 5])]
#[case::rcpt("RCPT TO:<c@d>", ["503 5.5.1", "503 5.5.1", "250 2.1.5", "250 2.1.5", "503 5.5.1"])]
#[case::rcpt_postmaster("rcpt to:<Postmaster>", ["503 5.5.1", "503 5.5.1", "250 2.1.5", "250 2.1.5", "503 5.5.1"])]
#[case::rcpt_nobody("RCPT TO:<>", ["501 5.1.3"; 5])]
#[case::rcpt_no_address("RCPT TO:<c>", ["501 5.1.3"; 5])]
#[case::rcpt_no_to("RCPT FROM:<c@d>", ["501 5.5.4"; 5])]
#[case::rcpt_parameter("RCPT TO:<c@d> NOTIFY=NEVER", ["555 5.5.4"; 5])]
#[case::data("DATA", ["503 5.5.1", "503 5.5.1", "554 5.5.1", "354", "503 5.5.1"])]
#[case::data_and_more("DATA x", ["501 5.5.4"; 5])]
#[case::rset("RSET", ["250 2.0.0"; 5])]
#[case::noop("NOOP", ["250 2.0.0"; 5])]
#[case::noop_and_more("NOOP and more", ["250 2.0.0"; 5])]
#[case::vrfy("VRFY you", ["252 2.0.0"; 5])]
#[case::vrfy_nobody("VRFY", ["501 5.5.4"; 5])]
#[case::expn("EXPN all", ["502 5.5.1"; 5])]
#[case::help("HELP", ["214 2.0.0"; 5])]
#[case::quit("QUIT", ["221 2.0.0"; 5])]
#[case::nothing("", ["500 5.5.2"; 5])]
#[case::a_verb_without_its_blank("MAILFROM:<a@b>", ["500 5.5.2"; 5])]
#[case::unknown("STARTTLS", ["500 5.5.2"; 5])]
#[case::from_a_browser("GET / HTTP/1.1", ["500 5.5.2"; 5])]
#[case::nul("NO\0OP", ["500 5.5.2"; 5])]
fn each_command_in_each_state(#[case] line: &str, #[case] expected: [&str; 5]) {
    for (before, expected) in [NEW, GREETED, SENDER, RECIPIENT, RESET].iter().zip(expected) {
        let mut it = whole(before.as_bytes());
        it.codes();
        it.hears(format!("{line}\r\n").as_bytes());
        assert_eq!(it.codes(), [expected], "{line:?} behind {before:?}");
        assert_eq!(it.is_over, line == "QUIT");
    }
}

#[test]
fn who_comes_is_told_by_which_generation() {
    let it = Conversation::new(Terms { generation: Some(7), ..TERMS });
    assert_eq!(it.replies[..], ["220 mx.example ESMTP at your service, generation 7"]);
}

#[test]
fn hello_says_what_is_offered() {
    let mut it = whole(b"EHLO client.example\r\n");
    let offered = ["PIPELINING", "SIZE 1000", "8BITMIME"].map(|it| format!("250-{it}"));
    assert_eq!(it.replies[0], "220 mx.example ESMTP at your service");
    assert_eq!(it.replies[1], "250-mx.example greets client.example");
    assert_eq!(it.replies[2..5], offered);
    assert_eq!(it.replies[5..], ["250 ENHANCEDSTATUSCODES"]);
    it.replies.clear();
    it.hears(b"HELO a (gain);\x1b\xff\r\n");
    assert_eq!(it.replies, ["250 mx.example greets a??gain????"]);
}

#[rstest]
#[case::rset("RSET")]
#[case::ehlo("EHLO x")]
#[case::helo("HELO x")]
fn what_was_under_way_is_forgotten(#[case] line: &str) {
    let mut it = whole(format!("{RECIPIENT}{line}\r\n").as_bytes());
    it.codes();
    it.hears(b"DATA\r\nRCPT TO:<e@f>\r\nMAIL FROM:<g@h>\r\nDATA\r\n");
    assert_eq!(it.codes(), ["503 5.5.1", "503 5.5.1", "250 2.1.0", "554 5.5.1"]);
}

#[test]
fn after_a_message_comes_another_and_nothing_is_left_of_the_first() {
    let message = "DATA\r\none\r\n.\r\nRCPT TO:<c@d>\r\nMAIL FROM:<>\r\nRCPT TO:<e@f>\r\nRCPT TO:<g@h>\r\nDATA\r\n.\r\n";
    let mut it = whole(format!("{RECIPIENT}{message}").as_bytes());
    let tail = it.codes().split_off(8);
    let expected = "354|250 2.0.0|503 5.5.1|250 2.1.0|250 2.1.5|250 2.1.5|354|250 2.0.0";
    assert_eq!(tail.join("|"), expected);
    let [first, second] = it.kept.as_slice() else { panic!("{:?}", it.kept) };
    assert_eq!((first.envelope.sender.as_str(), first.data.as_slice()), ("a@b", &b"one\r\n"[..]));
    assert!(second.envelope.sender.is_null() && second.data.is_empty());
    let recipients: Vec<_> =
        second.envelope.recipients.iter().map(ch12_kernel::mail::path::Path::as_str).collect();
    assert_eq!(recipients, ["e@f", "g@h"]);
}

/// A bare LF, or a bare CR, ends no data: what looks like commands behind it is part of the message.
#[rstest]
#[case("\n.\n")]
#[case("\n.\r\n")]
#[case("\r\n.\n")]
#[case("\r.\r")]
#[case("\r\n.\r")]
#[case("\r.\r\n")]
fn nothing_is_smuggled_in(#[case] end: &str) {
    let inside = format!("one{end}MAIL FROM:<evil@x>\r\nRCPT TO:<c@d>\r\nDATA\r\ntwo");
    let mut it = whole(format!("{RECIPIENT}DATA\r\n{inside}\r\n.\r\nNOOP\r\n").as_bytes());
    assert_eq!(it.codes().split_off(8), ["354", "250 2.0.0", "250 2.0.0"]);
    assert_eq!(it.kept.len(), 1);
    // All but the dot that was at the beginning of a line.
    let kept = inside.replace("\r\n.", "\r\n") + "\r\n";
    assert_eq!(String::from_utf8_lossy(&it.kept[0].data), kept);
}

#[test]
fn any_cut_of_the_input_says_the_same() {
    let long = "x".repeat(LONGEST_LINE + 1);
    let text = format!(
        "NOOP\r\n{long}\r\nEHLO x\nMAIL FROM:<a@b> SIZE=4\r\nRCPT TO:<c@d>\r\nrcpt to:<\"e f\"@g>\r\n\
         DATA\r\n..one\r\n.two\r\n\r.\n.\r\r\n.\r\nMAIL FROM:<h@i>\r\nRCPT TO:<j@k>\r\nDATA\r\n{}\r\n.\r\n\
         MAIL FROM:<\r\nRSET\r\nMAIL FROM:<h@i>\r\nRCPT TO:<j@k>\r\nDATA\r\n.\r\nVRFY x\r\nQUIT\r\nNOOP\r\n",
        "y".repeat(1001)
    );
    let text = text.as_bytes();
    let expected = whole(text);
    assert_eq!(expected.kept.len(), 2);
    assert_eq!(expected.kept[0].data, b".one\r\ntwo\r\n\r.\n.\r\r\n");
    assert!(expected.replies.iter().any(|it| it.starts_with("552")) && expected.is_over);
    let same = |parts: &[&[u8]], how: &str| {
        let mut it = Conversation::new(TERMS);
        parts.iter().for_each(|part| it.hears(part));
        assert_eq!(it.replies, expected.replies, "{how}");
        // Memory is reserved in other steps.
        assert_eq!(it.kept, expected.kept, "{how}");
    };
    for cut in 0..=text.len() {
        let (first, second) = text.split_at(cut);
        same(&[first, second], &format!("cut at {cut}"));
    }
    same(&text.chunks(1).collect::<Vec<_>>(), "byte by byte");
}

#[test]
fn so_many_recipients_and_no_more() {
    let mut it = whole(SENDER.as_bytes());
    it.codes();
    for _ in 0..MOST_RECIPIENTS {
        it.hears(b"RCPT TO:<c@d>\r\n");
    }
    assert_eq!(it.codes(), ["250 2.1.5"; MOST_RECIPIENTS]);
    it.hears(b"RCPT TO:<c@d>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n");
    assert_eq!(it.codes(), ["452 4.5.3", "452 4.5.3", "354", "250 2.0.0"]);
    assert_eq!(it.kept[0].envelope.recipients.len(), MOST_RECIPIENTS);
}

#[test]
fn who_only_guesses_is_hung_up_on() {
    let mut it = whole(GREETED.as_bytes());
    for _ in 1..MOST_ERRORS {
        it.hears(b"XYZZY\r\n");
    }
    assert!(!it.is_over);
    it.codes();
    it.hears(b"XYZZY\r\nNOOP\r\n");
    assert_eq!(it.codes(), ["421 4.7.0"]);
    assert!(it.is_over);
}

#[test]
fn after_a_message_its_errors_are_forgotten() {
    let mut it = whole(RECIPIENT.as_bytes());
    for _ in 1..MOST_ERRORS {
        it.hears(b"XYZZY\r\n");
    }
    it.hears(b"DATA\r\n.\r\nXYZZY\r\n");
    assert!(!it.is_over && it.replies.last().unwrap().starts_with("500"));
}

#[test]
fn lines_have_an_end() {
    let longest = format!("NOOP {}\r\n", "x".repeat(LONGEST_LINE - 5));
    assert_eq!(whole(longest.as_bytes()).codes()[1..], ["250 2.0.0"]);
    let longer = format!("NOOP {}\r\nNOOP\r\n", "x".repeat(LONGEST_LINE - 4));
    assert_eq!(whole(longer.as_bytes()).codes()[1..], ["500 5.5.2", "250 2.0.0"]);
    let path = format!("<{}@b>", "a".repeat(LONGEST_PATH - 4));
    let parameters = "SIZE=00000000000000001000 BODY=8BITMIME";
    let longest = format!("{GREETED}MAIL FROM:{path} {parameters}\r\n");
    assert_eq!(whole(longest.as_bytes()).codes().last().unwrap(), "250 2.1.0");
}

#[test]
fn a_message_that_is_too_large_is_read_and_thrown_away() {
    let of = |length: usize| format!("{RECIPIENT}DATA\r\n{}\r\n.\r\nNOOP\r\n", "x".repeat(length));
    let mut it = whole(of(998).as_bytes());
    assert_eq!(it.codes().split_off(8), ["354", "250 2.0.0", "250 2.0.0"]);
    assert_eq!(it.kept[0].data.len(), 1000, "with its line's end");
    let mut it = whole(of(999).as_bytes());
    assert_eq!(it.codes().split_off(8), ["354", "552 5.3.4", "250 2.0.0"]);
    assert!(it.kept.is_empty() && it.session.holds() == 0);
    let mut it = whole(b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n");
    it.hears(&[b'x'; 1001]);
    assert_eq!(it.session.holds(), 0, "it's given back before the end");
}

#[test]
fn memory_for_all_is_bounded() {
    let mut it = Conversation::new(Terms { largest: 100_000, room: 10_000, ..TERMS });
    it.hears(format!("{GREETED}MAIL FROM:<a@b> SIZE=10001\r\nMAIL FROM:<a@b>\r\n").as_bytes());
    assert_eq!(it.codes().split_off(6), ["452 4.3.1", "250 2.1.0"]);
    it.hears(b"RCPT TO:<c@d>\r\nDATA\r\n");
    it.hears(&[b'x'; 10_000]);
    assert_eq!(it.session.holds(), 10_000);
    it.hears(b"x");
    assert_eq!(it.session.holds(), 0);
    it.hears(b"\r\n.\r\n");
    assert_eq!(it.codes(), ["250 2.1.5", "354", "452 4.3.1"]);
    assert_eq!(it.most_held, 10_000);
}

#[rstest]
#[case(Failure::Full, "452 4.3.1")]
#[case(Failure::Other, "451 4.3.0")]
fn the_disk_fails_and_the_next_is_tried_anew(#[case] failure: Failure, #[case] code: &str) {
    let mut it = whole(RECIPIENT.as_bytes());
    it.disk = Err(failure);
    it.codes();
    it.hears(b"DATA\r\n.\r\nDATA\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n");
    assert_eq!(it.codes(), ["354", code, "503 5.5.1", "250 2.1.0", "250 2.1.5"]);
    it.disk = Ok(());
    it.hears(b"DATA\r\n.\r\n");
    assert_eq!(it.codes(), ["354", "250 2.0.0"]);
}

#[rstest]
#[case::new(NEW, "a command", COMMAND_TIME)]
#[case::greeted(GREETED, "a command", COMMAND_TIME)]
#[case::recipient(RECIPIENT, "a command", COMMAND_TIME)]
#[case::data(&format!("{RECIPIENT}DATA\r\nx"), "the rest of a message", DATA_TIME)]
#[case::refused(&format!("{RECIPIENT}DATA\r\n{}", "x".repeat(1001)), "the rest of a message", DATA_TIME)]
fn nobody_is_waited_for_for_ever(
    #[case] before: &str,
    #[case] what: &str,
    #[case] at_most: Duration,
) {
    let mut it = whole(before.as_bytes());
    let waits = it.session.waits();
    assert_eq!((waits.what, waits.at_most), (what, Some(at_most)));
    it.codes();
    it.happens(Event::Late);
    assert_eq!(it.codes(), ["421 4.4.2"]);
    assert!(it.is_over && it.session.holds() == 0);
}

#[test]
fn the_disk_is_waited_for_too() {
    let mut it = whole(format!("{RECIPIENT}DATA\r\n").as_bytes());
    let outcome = it.session.receive(Event::EndOfData, TERMS);
    assert!(matches!(outcome.then, Then::Keep(_)) && outcome.reply.is_empty());
    let waits = it.session.waits();
    assert_eq!((waits.what, waits.at_most), ("the disk", Some(DISK_TIME)));
}

#[rstest]
#[case::new(NEW, "", "421 4.3.2")]
#[case::greeted(GREETED, "", "421 4.3.2")]
#[case::reset(RECIPIENT, "RSET\r\n", "250 2.0.0|421 4.3.2")]
#[case::hello_again(SENDER, "HELO x\r\n", "250|421 4.3.2")]
#[case::whole(
    RECIPIENT,
    "NOOP\r\nDATA\r\nx\r\n.\r\nMAIL FROM:<a@b>\r\n",
    "250 2.0.0|354|250 2.0.0|421 4.3.2"
)]
#[case::too_large(RECIPIENT, &format!("DATA\r\n{}\r\n.\r\n", "x".repeat(1000)), "354|552 5.3.4|421 4.3.2")]
#[case::quit(RECIPIENT, "QUIT\r\n", "221 2.0.0")]
fn stopping_it_ends_behind_what_is_under_way(
    #[case] before: &str,
    #[case] after: &str,
    #[case] expected: &str,
) {
    let mut it = whole(before.as_bytes());
    it.codes();
    it.happens(Event::Stopping);
    it.hears(after.as_bytes());
    assert_eq!(it.codes().join("|"), expected);
    assert!(it.is_over);
}

#[test]
fn who_finishes_sending_has_said_goodbye() {
    for before in [NEW, GREETED, RECIPIENT, &format!("{RECIPIENT}DATA\r\nx\r\n")] {
        let mut it = whole(before.as_bytes());
        it.codes();
        it.happens(Event::Ended);
        assert!(it.is_over && it.replies.is_empty() && it.kept.is_empty());
    }
}

#[test]
fn a_message_says_which_way_it_came() {
    let mut it = whole(format!("{RECIPIENT}DATA\r\n.\r\nHELO y\r\nMAIL FROM:<>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nDATA\r\n.\r\n").as_bytes());
    let at = UNIX_EPOCH + Duration::from_secs(1_791_590_400);
    assert_eq!(
        it.kept[0].trace("mx.example", at),
        "Return-Path: <a@b>\r\nReceived: from client.example ([192.0.2.1])\r\n\tby mx.example with ESMTP\r\n\
         \tfor <c@d>;\r\n\tSat, 10 Oct 2026 00:00:00 +0000\r\n"
    );
    it.kept[1].from = Ipv6Addr::LOCALHOST.into();
    assert_eq!(
        it.kept[1].trace("mx.example", at),
        "Return-Path: <>\r\nReceived: from y ([IPv6:::1])\r\n\tby mx.example with SMTP;\r\n\
         \tSat, 10 Oct 2026 00:00:00 +0000\r\n"
    );
}

/// Bytes of all sorts, in which commands occur. Whatever comes, the replies are replies, and memory is bounded.
#[test]
fn any_bytes_at_all() {
    const WORDS: [&[u8]; 28] = [
        b"EHLO x",
        b"HELO",
        b"MAIL FROM:",
        b"MAIL FROM:<a@b>\r\n",
        b"RCPT TO:<c@d>\r\n",
        b"DATA\r\n",
        b"\r\n.\r\n",
        b"RCPT TO:",
        b"<a@b>",
        b"<\"",
        b"\\",
        b"@",
        b">",
        b"<>",
        b"DATA",
        b"RSET",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b".",
        b" SIZE=",
        b"9",
        b" BODY=8BITMIME",
        b"\0",
        b"\xff",
        &[b'x'; 120],
    ];
    const PREFIXES: [&str; 3] =
        [NEW, RECIPIENT, "HELO y\r\nMAIL FROM:<>\r\nRCPT TO:<z@z>\r\nDATA\r\n"];
    let mut kept = 0;
    for seed in 0..3000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let terms = Terms {
            host: "mx.example",
            largest: random.usize(0..3000),
            room: random.usize(0..3000),
            generation: None,
        };
        let mut it = Conversation::new(terms);
        it.hears(PREFIXES[random.usize(..PREFIXES.len())].as_bytes());
        for _ in 0..random.usize(..200) {
            match random.u8(..20) {
                0 => it.disk = [Ok(()), Err(Failure::Full), Err(Failure::Other)][random.usize(..3)],
                1 if random.u8(..10) == 0 => it.happens(Event::Stopping),
                2..5 => {
                    it.hears(
                        &std::iter::repeat_with(|| random.u8(..)).take(10).collect::<Vec<_>>(),
                    );
                }
                _ => it.hears(WORDS[random.usize(..WORDS.len())]),
            }
            assert!(it.input.len() <= LONGEST_LINE + 1, "seed {seed}");
        }
        assert!(it.most_held <= terms.largest.min(terms.room), "seed {seed}: {}", it.most_held);
        for reply in &it.replies {
            is_a_reply(reply);
        }
        for message in &it.kept {
            assert!(message.data.len() <= terms.largest);
            for path in message.envelope.recipients.iter().chain([&message.envelope.sender]) {
                assert!(path.as_str().bytes().all(|it| (b' '..0x7f).contains(&it)), "{path}");
            }
            assert!(message.hello.name.bytes().all(|it| it.is_ascii_graphic()));
        }
        kept += it.kept.len();
    }
    assert!(kept > 100, "only {kept} messages in all that: it proves nothing");
}

/// As RFC 5321 and RFC 2034 have it: its class in both codes, and no second code in answers to hello.
#[track_caller]
fn is_a_reply(line: &str) {
    assert!(line.len() <= 510 && line.bytes().all(|it| (b' '..0x7f).contains(&it)), "{line:?}");
    let (code, text) = line.split_at(3);
    assert!(code.bytes().all(|it| it.is_ascii_digit()) && text.starts_with([' ', '-']), "{line:?}");
    let enhanced = text[1..].split(' ').next().unwrap_or_default();
    let is_enhanced = enhanced.split('.').count() == 3 && enhanced.starts_with(&code[..1]);
    let is_plain = code == "220"
        || code == "354"
        || line.starts_with("250-")
        || line == "250 ENHANCEDSTATUSCODES"
        || line.contains(" greets ")
        || line == "501 Give your name";
    assert!(is_enhanced != is_plain, "{line:?}");
}
