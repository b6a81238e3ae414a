//! The checks of 12-mail: commands, and then data until a dot.

use super::*;

/// As in the exercise.
const LONGEST_LINE: usize = 510;
const MOST_RECIPIENTS: usize = 100;
const LONGEST_MESSAGE: usize = 100 * 1024;

const GREETING: &str = "220 ex12-mail\r\n";
const HELO: &str = "250 hello\r\n";
const EHLO: &str = "250-hello\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 102400\r\n";
const OK: &str = "250 ok\r\n";
const KEPT: &str = "250 kept\r\n";
const GO_ON: &str = "354 go on, and end with a dot\r\n";
const BYE: &str = "221 bye\r\n";
const TOO_MANY: &str = "452 too many recipients\r\n";
const UNKNOWN: &str = "500 that is no command\r\n";
const LINE_TOO_LONG: &str = "500 that line is too long\r\n";
const NO_ADDRESS: &str = "501 that is no address\r\n";
const NOT_NOW: &str = "503 not now\r\n";
const MESSAGE_TOO_LONG: &str = "552 that message is too long\r\n";

/// What stands before the data of a message, and what is answered to it.
const ENVELOPE: &[u8] = b"MAIL FROM:<ann>\r\nRCPT TO:<bob>\r\nDATA\r\n";
const DOT: &[u8] = b".\r\n";

/// Memory that nobody needs for a message, or a line, in bytes.
const PLENTY: u64 = 3 << 20;
/// And more than that, to be sent.
const VERY_LONG: usize = 16 << 20;

fn envelope_replies() -> String {
    [OK, OK, GO_ON].concat()
}

/// A message as the program prints it.
fn line(sender: &str, recipients: &[&str], data: &[u8]) -> String {
    let recipients: Vec<String> = recipients.iter().map(|to| format!("<{to}>")).collect();
    format!("from <{sender}> to {}: {}", recipients.join(" "), data.escape_ascii())
}

/// One from ann to bob.
fn letter(data: &[u8]) -> String {
    line("ann", &["bob"], data)
}

#[track_caller]
fn greeted<'a>(server: &'a Server<'a>, name: &str) -> Visitor<'a> {
    let mut visitor = Visitor::new(server, name);
    visitor.expect(GREETING.as_bytes(), "after it connected");
    visitor
}

impl Visitor<'_> {
    /// Sends a command, and has to get this reply.
    #[track_caller]
    fn says(&mut self, command: &str, reply: &str) {
        self.send(format!("{command}\r\n").as_bytes());
        self.expect(reply.as_bytes(), &format!("after {}", shown(command.as_bytes())));
    }

    /// Goes as far as DATA, step by step.
    #[track_caller]
    fn begins(&mut self, sender: &str, recipient: &str) {
        self.says(&format!("MAIL FROM:<{sender}>"), OK);
        self.says(&format!("RCPT TO:<{recipient}>"), OK);
        self.says("DATA", GO_ON);
    }

    /// Sends data, the dot with it, and has to get this reply.
    #[track_caller]
    fn brings(&mut self, data: &[u8], reply: &str, when: &str) {
        self.send(&[data, DOT].concat());
        self.expect(reply.as_bytes(), when);
    }
}

/// Just these messages have to have been kept. Whatever was kept before a last one, of another visitor, is printed
/// before it.
#[track_caller]
fn were_kept(server: &Server<'_>, expected: &[String], when: &str) {
    let mut last = greeted(server, "last visitor");
    last.begins("last", "nobody");
    last.brings(b"", KEPT, &format!("{when}, for an empty message"));
    let printed = server.program.prints(|line| line.starts_with("from <last> "));
    if printed.is_err() {
        server.fail_seeing(&format!("{when}, a last message was kept, and isn't printed"));
    }
    let printed = server.program.stdout();
    let printed = String::from_utf8_lossy(&printed);
    let lines = printed.lines().skip(1);
    let kept: Vec<&str> = lines.take_while(|line| !line.starts_with("from <last> ")).collect();
    if kept == expected {
        return;
    }
    let differs = kept.iter().zip(expected).position(|(kept, expected)| kept != expected);
    match differs {
        Some(at) => {
            let (kept, expected) = (in_short(kept[at]), in_short(&expected[at]));
            server.fail_seeing(&format!("{when}, this was kept:\n  {kept}\nand not\n  {expected}"))
        }
        None if kept.len() < expected.len() => {
            let missing = in_short(&expected[kept.len()]);
            server.fail_seeing(&format!("{when}, this wasn't kept:\n  {missing}"))
        }
        None => {
            let more = in_short(kept[expected.len()]);
            server.fail_seeing(&format!("{when}, this was kept too:\n  {more}"))
        }
    }
}

/// A line, without the middle of a long one.
fn in_short(line: &str) -> String {
    match line.len() {
        0..300 => line.to_owned(),
        count => {
            format!("{} … {} ({count} characters)", &line[..120], &line[count - 120..])
        }
    }
}

#[rstest]
#[case::from_ann("changes-line-ends", "ann@example.org", &["bob@example.org"])]
#[case::from_nobody("nobody-is-no-sender", "", &["bob"])]
#[case::to_three("recipients-are-sorted-out", "ann", &["bob", "carl", "dora"])]
#[case::twice_to_the_same("recipients-are-sorted-out", "ann", &["bob", "bob"])]
fn a_message_is_kept(
    #[case] cause: &'static str,
    #[case] sender: &str,
    #[case] recipients: &[&str],
) {
    let check = check!("12-mail");
    check.suspect(cause);
    let server = check.server(&[]);
    let mut visitor = greeted(&server, "visitor");
    visitor.says("HELO here", HELO);
    visitor.says(&format!("MAIL FROM:<{sender}>"), OK);
    for recipient in recipients {
        visitor.says(&format!("RCPT TO:<{recipient}>"), OK);
    }
    visitor.says("DATA", GO_ON);
    let data = b"Subject: tea\r\n\r\nAt five?\r\n";
    let when = "after a message";
    visitor.brings(data, KEPT, when);
    visitor.says("NOOP", OK);
    visitor.nothing_more(when);
    were_kept(&server, &[line(sender, recipients, data)], when);
}

#[test]
fn a_command_is_a_line() {
    let check = check!("12-mail");
    check.suspect("another-end-of-a-command");
    let server = check.server(&[]);
    let mut visitor = greeted(&server, "visitor");
    for (line, reply) in [
        ("HELO here", HELO),
        ("ehlo here", EHLO),
        ("NOOP", OK),
        ("", UNKNOWN),
        ("KNIT", UNKNOWN),
        ("MAIL TO:<ann>", NO_ADDRESS),
        ("RCPT TO:<>", NO_ADDRESS),
        ("RSET", OK),
        ("NO\rOP", UNKNOWN),
        ("NOOP\r", UNKNOWN),
        ("\rNOOP", UNKNOWN),
    ] {
        for end in ["\r\n", "\n"] {
            // With that end it would be another line.
            if line.ends_with('\r') && end == "\n" {
                continue;
            }
            check.suspect(match line {
                "" => "empty-line-is-not-answered",
                _ if line.contains('\r') => "crs-in-a-command",
                _ => "another-end-of-a-command",
            });
            let sent = format!("{line}{end}");
            visitor.send(sent.as_bytes());
            visitor.expect(reply.as_bytes(), &format!("after {}", shown(sent.as_bytes())));
        }
    }
    visitor.nothing_more("after a row of commands");
}

/// Two messages and what else there is, in a row; what is answered; and what is kept.
fn a_row() -> (Vec<u8>, String, Vec<String>) {
    let row = [
        b"EHLO here\r\n",
        ENVELOPE,
        b"one.two.\r\n..dot\r\n.\r\n",
        b"NOOP\r\nMAIL FROM:<carl>\nRCPT TO:<dora>\nRCPT TO:<emil>\nDATA\n",
        b"MAIL FROM:<x>\r\n.\nQUIT\r\n.\r\n",
        b"KNIT\r\nRSET\r\n",
    ];
    let replies = [EHLO, OK, OK, GO_ON, KEPT, OK, OK, OK, OK, GO_ON, KEPT, UNKNOWN, OK];
    let second = line("carl", &["dora", "emil"], b"MAIL FROM:<x>\r\n\nQUIT\r\n");
    (row.concat(), replies.concat(), vec![letter(b"one.two.\r\n.dot\r\n"), second])
}

#[test]
fn a_row_in_one_piece() {
    let check = check!("12-mail");
    check.suspect("what-is-behind-is-lost");
    let server = check.server(&[]);
    let mut visitor = greeted(&server, "visitor");
    let (row, replies, kept) = a_row();
    visitor.send_at_once(&row);
    let when = "after two messages and other commands in one piece";
    visitor.expect(replies.as_bytes(), when);
    visitor.nothing_more(when);
    were_kept(&server, &kept, when);
}

#[rstest]
#[case::byte_by_byte(1)]
#[case::of_2(2)]
#[case::of_3(3)]
#[case::of_7(7)]
#[case::of_20(20)]
fn a_row_in_pieces(#[case] size: usize) {
    let check = check!("12-mail");
    check.suspect("forgets-half-a-command");
    let server = check.server(&[]);
    let mut visitor = greeted(&server, "visitor");
    let (row, replies, kept) = a_row();
    visitor.send_cut(&row, size);
    let when = format!("after two messages and other commands in pieces of {size}");
    visitor.expect(replies.as_bytes(), &when);
    visitor.nothing_more(&when);
    were_kept(&server, &kept, &when);
}

#[test]
fn the_end_in_two_pieces() {
    let check = check!("12-mail");
    check.suspect("forgets-the-state-of-the-data");
    let server = check.server(&[]);
    let data = b"hello\r\n..\r\n\r\r\n.\r\nNOOP\r\n";
    let mut kept = Vec::new();
    for cut in 1..data.len() {
        let mut visitor = greeted(&server, "visitor");
        visitor.begins("ann", "bob");
        let (first, rest) = data.split_at(cut);
        visitor.send_each(&[first, rest]);
        let when = format!("after {} and then {}", shown(first), shown(rest));
        visitor.expect([KEPT, OK].concat().as_bytes(), &when);
        visitor.connection.reset();
        kept.push(letter(b"hello\r\n.\r\n\r\r\n"));
    }
    were_kept(&server, &kept, "after messages whose end came in two pieces");
}

/// What others may take for an end, with somebody else's message behind it.
#[rstest]
#[case::lf_dot_lf("a-bare-lf-ends-a-line", "\n.\n", "\n.\n")]
#[case::lf_dot_crlf("a-bare-lf-ends-a-line", "\n.\r\n", "\n.\r\n")]
#[case::crlf_dot_lf("a-bare-lf-ends-the-dots-line", "\r\n.\n", "\r\n\n")]
#[case::cr_dot_cr("a-bare-cr-ends-a-line", "\r.\r", "\r.\r")]
#[case::cr_dot_crlf("a-bare-cr-ends-a-line", "\r.\r\n", "\r.\r\n")]
#[case::crlf_dot_cr("a-cr-behind-a-dot-is-lost", "\r\n.\r", "\r\n\r")]
#[case::lf_cr_dot("a-bare-lf-ends-a-line", "\n\r.\r\n", "\n\r.\r\n")]
#[case::crlf_dot_cr_cr_lf("what-follows-the-dots-cr", "\r\n.\r\r\n", "\r\n\r\r\n")]
#[case::two_lfs("a-bare-lf-ends-a-line", "\n\n.\r\n", "\n\n.\r\n")]
#[case::a_blank_behind("more-on-the-dots-line", "\r\n. \r\n", "\r\n \r\n")]
#[case::a_blank_before("more-on-the-dots-line", "\r\n .\r\n", "\r\n .\r\n")]
#[case::at_a_lines_end("more-on-the-dots-line", "\r\nend.\r\n", "\r\nend.\r\n")]
#[case::two_dots("more-on-the-dots-line", "\r\n..\r\n", "\r\n.\r\n")]
#[case::a_nul_behind("more-on-the-dots-line", "\r\n.\0\r\n", "\r\n\0\r\n")]
#[case::a_nul_between("more-on-the-dots-line", "\r\n\0.\r\n", "\r\n\0.\r\n")]
#[case::crlf_dot_cr_x_lf("what-follows-the-dots-cr", "\r\n.\rx\n", "\r\n\rx\n")]
#[case::crlf_dot_crlf_without_its_cr("a-bare-lf-ends-the-dots-line", "\r\n.\n\r\n", "\r\n\n\r\n")]
#[case::cr_nul_lf("more-on-the-dots-line", "\r\0\n.\r\n", "\r\0\n.\r\n")]
#[case::crlf_dot_cr_dot("a-cr-behind-a-dot-is-lost", "\r\n.\r.\r\n", "\r\n\r.\r\n")]
#[case::lf_on_its_first_line("a-bare-lf-ends-a-line", "\n.\r\n", "\n.\r\n")]
fn what_is_no_end(#[case] cause: &'static str, #[case] sent: &str, #[case] kept: &str) {
    let check = check!("12-mail");
    check.suspect(cause);
    let server = check.server(&[]);
    let hidden = "MAIL FROM:<boss>\r\nRCPT TO:<you>\r\nDATA\r\npay him\r\n";
    let begin = if sent.starts_with("\n.\r\n") { "" } else { "hello" };
    let data = format!("{begin}{sent}{hidden}");
    let expected = [letter(format!("{begin}{kept}{hidden}").as_bytes())];
    for size in [1, data.len() + DOT.len()] {
        let mut visitor = greeted(&server, "visitor");
        visitor.begins("ann", "bob");
        visitor.send_cut(&[data.as_bytes(), DOT].concat(), size);
        let when = format!("after {} in a message", shown(sent.as_bytes()));
        visitor.expect(KEPT.as_bytes(), &when);
        visitor.nothing_more(&when);
    }
    let expected = [&expected[..], &expected[..]].concat();
    were_kept(&server, &expected, &format!("after {} in a message", shown(sent.as_bytes())));
}

#[rstest]
#[case::a_bare_lf_before_it("a\n\r\n", "a\n\r\n")]
#[case::two_crs_before_it("a\r\r\n", "a\r\r\n")]
#[case::three_crs_before_it("a\r\r\r\n", "a\r\r\r\n")]
#[case::a_line_of_crs("\r\r\n", "\r\r\n")]
#[case::a_dot_and_two_crs(".\r\r\n", "\r\r\n")]
#[case::empty_lines("\r\n\r\n\r\n", "\r\n\r\n\r\n")]
#[case::a_dot_and_a_cr("..\r\n", ".\r\n")]
#[case::a_cr_and_a_dot_before_a_line_end("\r.\r\r\n", "\r.\r\r\n")]
fn what_is_an_end(#[case] sent: &str, #[case] kept: &str) {
    let check = check!("12-mail");
    check.suspect("the-second-cr-is-data");
    let server = check.server(&[]);
    let mut visitor = greeted(&server, "visitor");
    let when = format!("after the dot behind {}", shown(sent.as_bytes()));
    for _ in 0..2 {
        visitor.begins("ann", "bob");
        visitor.brings(sent.as_bytes(), KEPT, &when);
    }
    visitor.says("NOOP", OK);
    let kept = letter(kept.as_bytes());
    were_kept(&server, &[kept.clone(), kept], &when);
}

#[rstest]
#[case::in_one_piece(true)]
#[case::after_the_reply(false)]
fn an_empty_message(#[case] at_once: bool) {
    let check = check!("12-mail");
    check.suspect("a-dot-on-the-first-line");
    let server = check.server(&[]);
    let mut visitor = greeted(&server, "visitor");
    if at_once {
        visitor.send_at_once(&[ENVELOPE, DOT, b"NOOP\r\n"].concat());
        visitor.expect(envelope_replies().as_bytes(), "after DATA and a dot in one piece");
    } else {
        visitor.begins("ann", "bob");
        visitor.send(&[DOT, b"NOOP\r\n"].concat());
    }
    let when = "after DATA and a dot";
    visitor.expect([KEPT, OK].concat().as_bytes(), when);
    were_kept(&server, &[letter(b"")], when);
}

#[rstest]
#[case::one("..\r\n", ".\r\n")]
#[case::two("...\r\n", "..\r\n")]
#[case::of_a_word("..dot\r\n", ".dot\r\n")]
#[case::that_was_not_doubled(".dot\r\n", "dot\r\n")]
#[case::in_the_middle("a..b\r\nc.d\r\n", "a..b\r\nc.d\r\n")]
#[case::at_the_end("a.\r\nb..\r\n", "a.\r\nb..\r\n")]
#[case::behind_a_bare_lf("a\n..b\r\n", "a\n..b\r\n")]
#[case::behind_a_bare_cr("a\r..b\r\n", "a\r..b\r\n")]
#[case::on_many_lines("..a\r\n..b\r\nc\r\n..\r\n", ".a\r\n.b\r\nc\r\n.\r\n")]
#[case::apart(".a.b\r\n. .\r\n", "a.b\r\n .\r\n")]
#[case::behind_an_empty_line("\r\n..a\r\n", "\r\n.a\r\n")]
fn dots(#[case] sent: &str, #[case] kept: &str) {
    let check = check!("12-mail");
    check.suspect(match sent {
        "..\r\n" | "..dot\r\n" => "dots-are-not-taken-away",
        ".dot\r\n" | ".a.b\r\n. .\r\n" => "only-doubled-dots-are-taken-away",
        _ => "too-many-dots-are-taken-away",
    });
    let server = check.server(&[]);
    let mut visitor = greeted(&server, "visitor");
    let when = format!("after the message {}", shown(sent.as_bytes()));
    visitor.begins("ann", "bob");
    visitor.brings(sent.as_bytes(), KEPT, &when);
    were_kept(&server, &[letter(kept.as_bytes())], &when);
}

#[test]
fn any_bytes() {
    let check = check!("12-mail");
    check.suspect("bytes-are-taken-for-text");
    let server = check.server(&[]);
    let mut visitor = greeted(&server, "visitor");
    // In an order in which no CR stands before an LF.
    let all: Vec<u8> = (0..=u8::MAX).map(|byte| byte.wrapping_mul(167)).collect();
    let not_text = b"\xff\xfe\xc3(\x80 gr\xc3\xbc\xc3\x9fe\r\n".to_vec();
    let mut kept = Vec::new();
    for data in [[&all[..], b"\r\n"].concat(), not_text, b"\0\r\n".to_vec()] {
        visitor.begins("ann", "bob");
        let when = format!("after the message {}", shown(&data));
        visitor.brings(&data, KEPT, &when);
        kept.push(letter(&data));
    }
    visitor.send(b"N\xff\xfeOP\r\nMAIL FROM:<\xfc>\r\n");
    let when = "after commands that aren't UTF-8";
    visitor.expect([UNKNOWN, OK].concat().as_bytes(), when);
    visitor.says("RCPT TO:<bob>", OK);
    visitor.says("DATA", GO_ON);
    visitor.brings(b"", KEPT, when);
    kept.push(line("\\xfc", &["bob"], b""));
    were_kept(&server, &kept, when);
}

#[rstest]
#[case::longer_than_a_command(LONGEST_LINE + 1)]
#[case::of_1000(1000)]
#[case::of_60_000(60_000)]
#[case::all_of_it(LONGEST_MESSAGE - 2)]
fn a_long_line_of_data(#[case] length: usize) {
    let check = check!("12-mail");
    check.suspect("lines-of-data-have-a-limit");
    let server = check.server(&[]);
    let mut visitor = greeted(&server, "visitor");
    let data = [&vec![b'x'; length][..], b"\r\n"].concat();
    let when = format!("after a message with a line of {length} bytes");
    visitor.begins("ann", "bob");
    visitor.brings(&data, KEPT, &when);
    were_kept(&server, &[letter(&data)], &when);
}

#[rstest]
#[case::rset("RSET", OK)]
#[case::helo("HELO here", HELO)]
#[case::ehlo("EHLO here", EHLO)]
fn a_message_is_forgotten(#[case] command: &str, #[case] reply: &str) {
    let check = check!("12-mail");
    check.suspect("forgets-too-little");
    let server = check.server(&[]);
    let mut visitor = greeted(&server, "visitor");
    visitor.says("MAIL FROM:<old>", OK);
    visitor.says("RCPT TO:<old>", OK);
    visitor.says(command, reply);
    let when = format!("after MAIL, RCPT, and then {command}");
    visitor.send(b"DATA\r\n");
    visitor.expect(NOT_NOW.as_bytes(), &format!("{when}, for DATA"));
    visitor.send(b"RCPT TO:<bob>\r\n");
    visitor.expect(NOT_NOW.as_bytes(), &format!("{when}, for RCPT"));
    visitor.begins("ann", "bob");
    visitor.brings(b"", KEPT, &when);
    were_kept(&server, &[letter(b"")], &when);
}

#[test]
fn a_new_message_begins() {
    let check = check!("12-mail");
    check.suspect("mail-keeps-the-recipients");
    let server = check.server(&[]);
    let mut visitor = greeted(&server, "visitor");
    visitor.says("MAIL FROM:<old>", OK);
    visitor.says("RCPT TO:<old>", OK);
    visitor.says("MAIL FROM:<ann>", OK);
    let when = "after MAIL, RCPT, and MAIL once more";
    visitor.send(b"DATA\r\n");
    visitor.expect(NOT_NOW.as_bytes(), &format!("{when}, for DATA"));
    visitor.says("RCPT TO:<bob>", OK);
    visitor.says("DATA", GO_ON);
    visitor.brings(b"hello\r\n", KEPT, when);
    were_kept(&server, &[letter(b"hello\r\n")], when);
}

#[rstest]
#[case::that_was_kept(b"hello\r\n", KEPT)]
#[case::that_was_too_long(&[b'x'; LONGEST_MESSAGE + 1], MESSAGE_TOO_LONG)]
fn behind_a_message(#[case] data: &[u8], #[case] reply: &str) {
    let check = check!("12-mail");
    check.suspect("message-outlives-its-end");
    let server = check.server(&[]);
    let mut visitor = greeted(&server, "visitor");
    visitor.begins("old", "old");
    let end: &[u8] = if data.ends_with(b"\r\n") { b"" } else { b"\r\n" };
    let when = format!("after a message of {} bytes", data.len() + end.len());
    visitor.brings(&[data, end].concat(), reply, &when);
    visitor.send(b"DATA\r\n");
    visitor.expect(NOT_NOW.as_bytes(), &format!("{when}, for DATA"));
    visitor.send(b"RCPT TO:<bob>\r\n");
    visitor.expect(NOT_NOW.as_bytes(), &format!("{when}, for RCPT"));
    visitor.begins("ann", "bob");
    visitor.brings(b"next\r\n", KEPT, &format!("{when}, for the next one"));
    let first = (reply == KEPT).then(|| line("old", &["old"], data));
    let kept: Vec<String> = first.into_iter().chain([letter(b"next\r\n")]).collect();
    were_kept(&server, &kept, &when);
}

#[rstest]
#[case::no_command("KNIT", UNKNOWN)]
#[case::no_address("MAIL FROM:bob", NO_ADDRESS)]
#[case::no_recipient("RCPT TO:<>", NO_ADDRESS)]
#[case::noop("NOOP", OK)]
#[case::a_long_line(&"x".repeat(LONGEST_LINE + 1), LINE_TOO_LONG)]
fn what_changes_nothing(#[case] command: &str, #[case] reply: &str) {
    let check = check!("12-mail");
    check.suspect("forgets-too-much");
    let server = check.server(&[]);
    let mut visitor = greeted(&server, "visitor");
    visitor.says("MAIL FROM:<ann>", OK);
    visitor.says(command, reply);
    visitor.says("RCPT TO:<bob>", OK);
    visitor.says(command, reply);
    visitor.says("DATA", GO_ON);
    let when = format!("after MAIL and RCPT with {} between", shown(command.as_bytes()));
    visitor.brings(b"hello\r\n", KEPT, &when);
    were_kept(&server, &[letter(b"hello\r\n")], &when);
}

#[rstest]
#[case::nothing("")]
#[case::a_sender("MAIL FROM:<ann>\r\n")]
#[case::nobody("MAIL FROM:<>\r\n")]
fn data_needs_a_recipient(#[case] before: &str) {
    let check = check!("12-mail");
    check.suspect("refused-data-is-data");
    let server = check.server(&[]);
    let mut visitor = greeted(&server, "visitor");
    let all = format!("{before}DATA\r\nNOOP\r\nRCPT TO:<carl>\r\nRSET\r\n");
    visitor.send_at_once(&[all.as_bytes(), ENVELOPE, b"hello\r\n", DOT].concat());
    let (mail, rcpt) = if before.is_empty() { ("", NOT_NOW) } else { (OK, OK) };
    let replies = [mail, NOT_NOW, OK, rcpt, OK, &envelope_replies(), KEPT];
    let when = format!("after {} and DATA, and commands behind it", shown(before.as_bytes()));
    visitor.expect(replies.concat().as_bytes(), &when);
    were_kept(&server, &[letter(b"hello\r\n")], &when);
}

#[test]
fn too_many_recipients() {
    let check = check!("12-mail");
    check.suspect("limit-of-recipients-is-off");
    let server = check.server(&[]);
    let mut visitor = greeted(&server, "visitor");
    let names: Vec<String> = (1..=MOST_RECIPIENTS).map(|number| format!("r{number}")).collect();
    for _ in 0..2 {
        visitor.says("MAIL FROM:<ann>", OK);
        for name in &names {
            visitor.says(&format!("RCPT TO:<{name}>"), OK);
        }
        visitor.says("RCPT TO:<extra>", TOO_MANY);
        visitor.says("RCPT TO:<extra>", TOO_MANY);
        visitor.says("DATA", GO_ON);
        visitor.brings(b"", KEPT, "after a message to a hundred");
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let kept = line("ann", &names, b"");
    were_kept(&server, &[kept.clone(), kept], "after a message to a hundred, and two more");
}

#[rstest]
#[case::crlf(b"\r\n")]
#[case::lf(b"\n")]
fn the_longest_command(#[case] end: &[u8]) {
    let check = check!("12-mail");
    check.suspect("limit-of-a-line-is-off");
    let server = check.server(&[]);
    let mut visitor = greeted(&server, "visitor");
    let noop = |length: usize| format!("{:x<length$}", "NOOP ");
    for size in [LONGEST_LINE + 9, 100, 1] {
        for (length, reply) in [
            (LONGEST_LINE - 1, OK),
            (LONGEST_LINE, OK),
            (LONGEST_LINE + 1, LINE_TOO_LONG),
            (LONGEST_LINE + 2, LINE_TOO_LONG),
            (LONGEST_LINE + 3, LINE_TOO_LONG),
            (LONGEST_LINE, OK),
        ] {
            visitor.send_cut(&[noop(length).as_bytes(), end].concat(), size);
            let (end, count) = (end.escape_ascii(), length);
            visitor.expect(reply.as_bytes(), &format!("after {count} bytes and \"{end}\""));
        }
    }
    visitor.nothing_more("after a row of commands");
}

/// The CR is where a longer line would go on.
#[test]
fn a_cr_in_a_long_command() {
    let check = check!("12-mail");
    check.suspect("obeys-the-beginning-of-a-long-line");
    let server = check.server(&[]);
    let mut visitor = greeted(&server, "visitor");
    for before in LONGEST_LINE - 1..LONGEST_LINE + 3 {
        let noop = format!("{:x<before$}\rx", "NOOP ");
        visitor.says(&noop, LINE_TOO_LONG);
    }
    visitor.says("NOOP", OK);
}

#[test]
fn a_very_long_command() {
    let check = check!("12-mail");
    check.suspect("line-without-a-limit");
    let server = check.server(&[]);
    let mut visitor = greeted(&server, "visitor");
    visitor.says("MAIL FROM:<ann>", OK);
    let before = server.peak();
    visitor.send(&vec![b'x'; VERY_LONG]);
    visitor.connection.wait_until_read(PATIENCE);
    let when = "after 16 MiB without a line's end";
    server.needs_little_memory(before, PLENTY, when);
    check.suspect("long-line-is-answered-otherwise");
    visitor.nothing_more(when);
    visitor.send(b"\r\nRCPT TO:<bob>\r\n");
    let when = "after a line of 16 MiB, and a command";
    visitor.expect([LINE_TOO_LONG, OK].concat().as_bytes(), when);
    visitor.nothing_more(when);
}

#[rstest]
#[case::in_one_piece("limit-of-a-message-is-off", "x", LONGEST_MESSAGE * 2)]
#[case::in_pieces("limit-of-a-message-is-off", "x", 4000)]
#[case::with_dots("dots-count", "..", LONGEST_MESSAGE * 2)]
fn the_longest_message(#[case] cause: &'static str, #[case] begin: &str, #[case] size: usize) {
    let check = check!("12-mail");
    check.suspect(cause);
    let server = check.server(&[]);
    let mut visitor = greeted(&server, "visitor");
    // Kept, each is 100 bytes long: of two dots, one is taken away.
    let line_of_data = format!("{begin}{}\r\n", "x".repeat(97));
    let lines = LONGEST_MESSAGE / 100 - 1;
    let mut kept = Vec::new();
    for (length, reply) in [
        (LONGEST_MESSAGE - 1, KEPT),
        (LONGEST_MESSAGE, KEPT),
        (LONGEST_MESSAGE + 1, MESSAGE_TOO_LONG),
        (LONGEST_MESSAGE + 2, MESSAGE_TOO_LONG),
        (LONGEST_MESSAGE, KEPT),
    ] {
        let rest = "y".repeat(length - 100 * lines - 2);
        let data = format!("{}{rest}\r\n", line_of_data.repeat(lines));
        visitor.begins("ann", "bob");
        visitor.send_cut(&[data.as_bytes(), DOT].concat(), size);
        let when = format!("after a message of {length} bytes");
        visitor.expect(reply.as_bytes(), &when);
        if reply == KEPT {
            kept.push(letter(data.replace("..", ".").as_bytes()));
        }
    }
    were_kept(&server, &kept, "after messages of the longest, and longer ones");
}

#[test]
fn a_very_long_message() {
    let check = check!("12-mail");
    check.suspect("message-without-a-limit");
    let server = check.server(&[]);
    let mut visitor = greeted(&server, "visitor");
    visitor.begins("ann", "bob");
    let before = server.peak();
    // In long lines: if they are taken for commands, each is answered.
    let line = [&[b'x'; 8 << 10][..], b"\r\n\n.\n\r.\r..x\r\n"].concat();
    let lines = line.repeat(VERY_LONG / line.len());
    visitor.send(&lines);
    visitor.connection.wait_until_read(PATIENCE);
    let when = "after a message of 16 MiB, without its dot";
    server.needs_little_memory(before, PLENTY, when);
    check.suspect("long-message-is-not-read-to-its-dot");
    visitor.nothing_more(when);
    visitor.send(&[DOT, b"NOOP\r\n", ENVELOPE, b"hello\r\n", DOT].concat());
    let when = "after a message of 16 MiB, its dot, and another one";
    let replies = [MESSAGE_TOO_LONG, OK, &envelope_replies(), KEPT].concat();
    visitor.expect(replies.as_bytes(), when);
    were_kept(&server, &[letter(b"hello\r\n")], when);
}

#[rstest]
#[case::alone(b"QUIT\r\n")]
#[case::with_a_message_behind_it(
    b"QUIT\r\nMAIL FROM:<ann>\r\nRCPT TO:<bob>\r\nDATA\r\nhello\r\n.\r\nNOOP\r\n"
)]
#[case::in_a_message(b"MAIL FROM:<ann>\r\nRCPT TO:<bob>\r\nQUIT\r\nDATA\r\nhello\r\n.\r\n")]
fn nothing_behind_quit(#[case] sent: &[u8]) {
    let check = check!("12-mail");
    check.suspect("goes-on-behind-quit");
    let server = check.server(&[]);
    let mut visitor = greeted(&server, "visitor");
    visitor.send_at_once(sent);
    let when = format!("after {}", shown(sent));
    let before = if sent.starts_with(b"MAIL") { [OK, OK].concat() } else { String::new() };
    visitor.expect_end(format!("{before}{BYE}").as_bytes(), &when);
    were_kept(&server, &[], &when);
}

#[rstest]
#[case::in_a_line(b"hello\r\nhel")]
#[case::behind_a_line(b"hello\r\n")]
#[case::at_the_dot(b"hello\r\n.")]
#[case::in_the_dots_line(b"hello\r\n.\r")]
fn half_a_message(#[case] data: &[u8]) {
    let check = check!("12-mail");
    check.suspect("half-a-message-is-kept");
    let server = check.server(&[]);
    let mut visitor = greeted(&server, "visitor");
    visitor.begins("ann", "bob");
    visitor.send(data);
    visitor.connection.finish_sending();
    let when = format!("after {} and the end of what is sent", shown(data));
    visitor.expect_end(b"", &when);
    let mut rude = greeted(&server, "rude visitor");
    rude.begins("ann", "bob");
    rude.send(data);
    settle(&server, &when);
    rude.connection.reset();
    were_kept(&server, &[], &when);
}
