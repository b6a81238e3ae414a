//! The checks of 12-telnet: commands in the middle of the text.

use super::*;

const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const SB: u8 = 250;
const SE: u8 = 240;

const ECHO: u8 = 1;
const SUPPRESS_GO_AHEAD: u8 = 3;
const TERMINAL_TYPE: u8 = 24;
const NAWS: u8 = 31;

/// Memory that nobody needs for a subnegotiation, in bytes.
const PLENTY: u64 = 3 << 20;
/// And more than that, to be sent.
const VERY_LONG: usize = 16 << 20;

/// What is told of an option.
fn about(option: u8, said: &[u8]) -> Vec<u8> {
    [&[IAC, SB, option], said, &[IAC, SE]].concat()
}

/// What comes before a window's size may be told.
const SIZES_ON: [u8; 3] = [IAC, WILL, NAWS];
const SIZES_ON_REPLY: [u8; 3] = [IAC, DO, NAWS];

/// The name of a command or an option, as reports call it.
fn named(byte: u8) -> String {
    match byte {
        IAC => "IAC".to_owned(),
        DONT => "DONT".to_owned(),
        DO => "DO".to_owned(),
        WONT => "WONT".to_owned(),
        WILL => "WILL".to_owned(),
        SB => "SB".to_owned(),
        SE => "SE".to_owned(),
        _ => byte.to_string(),
    }
}

/// Bytes, readable: commands by their names.
fn in_words(bytes: &[u8]) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut text = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != IAC {
            text.push(bytes[at]);
            at += 1;
            continue;
        }
        if !text.is_empty() {
            words.push(shown(&text));
            text.clear();
        }
        let length = match bytes.get(at + 1).copied() {
            Some(WILL | WONT | DO | DONT | SB) => 3,
            _ => 2,
        };
        let command = &bytes[at..bytes.len().min(at + length)];
        words.extend(command.iter().copied().map(named));
        at += length;
    }
    if !text.is_empty() || words.is_empty() {
        words.push(shown(&text));
    }
    // A long one by its beginning.
    let more = if words.len() > 24 { " …" } else { "" };
    words.truncate(24);
    words.join(" ") + more
}

impl Visitor<'_> {
    /// Has to get just this next: answers and lines, in their order.
    #[track_caller]
    fn hears(&mut self, expected: &[u8], when: &str) {
        let name = self.name();
        let enough = |bytes: &[u8]| bytes.len() >= expected.len() || !expected.starts_with(bytes);
        let server = self.server;
        let seen = |bytes: &[u8]| {
            let (came, expected) = (in_words(bytes), in_words(expected));
            format!("{name} got\n  {came}\nand not\n  {expected}\n{when}")
        };
        match self.connection.receive_while_missing(&server.program, enough) {
            Ok(Ok(bytes)) if bytes.starts_with(expected) => {
                self.connection.give_back(&bytes[expected.len()..]);
            }
            Ok(Ok(bytes)) => server.fail_seeing(&seen(&bytes)),
            Ok(Err(Received { bytes, .. })) => {
                server.fail_seeing(&format!("{}, and was hung up on", seen(&bytes)))
            }
            Err((trouble, bytes)) => {
                server.fail_for(&format!("{}, and waits for more", seen(&bytes)), &trouble)
            }
        }
    }

    /// Sends this and a line, and has to hear just that, with the line behind it.
    #[track_caller]
    fn exchanges(&mut self, sent: &[u8], expected: &[u8]) {
        self.send(&[sent, b"end\r\n"].concat());
        let when = format!("after {} and the line \"end\"", in_words(sent));
        self.hears(&[expected, b"end\r\n"].concat(), &when);
    }
}

/// Sends this at once, in pieces of several sizes, and in two pieces cut at every place: each time, a new visitor
/// has to hear the same, and nothing else.
#[track_caller]
fn however_it_is_cut(server: &Server<'_>, sent: &[u8], expected: &[u8]) {
    let what = in_words(sent);
    for size in [sent.len().max(1), 1, 2, 3] {
        let mut visitor = Visitor::new(server, "visitor");
        visitor.send_cut(sent, size);
        let when = match size {
            _ if size == sent.len() => format!("after {what}"),
            _ => format!("after {what}, in pieces of {size}"),
        };
        visitor.hears(expected, &when);
        if size <= 1 {
            visitor.nothing_more(&when);
        }
        visitor.connection.reset();
    }
    for cut in 1..sent.len() {
        let mut visitor = Visitor::new(server, "visitor");
        let (first, rest) = sent.split_at(cut);
        visitor.send_each(&[first, rest]);
        let when = format!("after {what}, cut after {cut} of {} bytes", sent.len());
        visitor.hears(expected, &when);
        visitor.connection.reset();
    }
}

#[rstest]
#[case::one("hello\r\n", "hello\r\n")]
#[case::several("one\r\ntwo\r\n\r\nthree\r\n", "one\r\ntwo\r\n\r\nthree\r\n")]
#[case::with_bytes_that_are_no_text("\u{80}\u{fe}\u{1}\r\n", "\u{80}\u{fe}\u{1}\r\n")]
fn a_line_is_sent_back(#[case] sent: &str, #[case] expected: &str) {
    let bytes = |text: &str| text.chars().map(|it| it as u8).collect::<Vec<u8>>();
    let check = check!("12-telnet");
    check.suspect("text-is-changed");
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "visitor");
    visitor.nothing_more("after it connected");
    visitor.send_at_once(&bytes(sent));
    let when = format!("after {}", shown(&bytes(sent)));
    visitor.hears(&bytes(expected), &when);
    visitor.nothing_more(&when);
}

#[rstest]
#[case::crlf("cr-and-lf-are-two-ends", "a\r\nb\r\n", "a\r\nb\r\n")]
#[case::cr_nul("a-nul-behind-a-cr-is-text", "a\r\0b\r\0", "a\r\nb\r\n")]
#[case::lf("an-lf-alone-ends-nothing", "a\nb\n", "a\r\nb\r\n")]
#[case::cr("waits-behind-a-cr", "a\rb\r", "a\r\nb\r\n")]
#[case::two_crs("the-second-cr-is-nothing", "a\r\rb\n", "a\r\n\r\nb\r\n")]
#[case::two_lfs("an-lf-alone-ends-nothing", "a\n\nb\n", "a\r\n\r\nb\r\n")]
#[case::lf_cr("lf-cr-is-one-end", "a\n\rb\n", "a\r\n\r\nb\r\n")]
#[case::two_crs_and_an_lf("the-second-cr-is-nothing", "a\r\r\nb\n", "a\r\n\r\nb\r\n")]
#[case::crlf_lf("still-behind-a-cr", "a\r\n\nb\n", "a\r\n\r\nb\r\n")]
#[case::cr_nul_lf("still-behind-a-cr", "a\r\0\nb\n", "a\r\n\r\nb\r\n")]
#[case::crlf_nul("still-behind-a-cr", "a\r\n\0b\n", "a\r\n\0b\r\n")]
#[case::cr_nul_nul("still-behind-a-cr", "a\r\0\0b\n", "a\r\n\0b\r\n")]
#[case::lf_nul("every-nul-is-nothing", "a\n\0b\n", "a\r\n\0b\r\n")]
#[case::nul("every-nul-is-nothing", "a\0b\n", "a\0b\r\n")]
#[case::nul_at_the_beginning("every-nul-is-nothing", "\0a\n", "\0a\r\n")]
#[case::all_of_them("cr-and-lf-are-two-ends", "\r\n\r\0\r\n\n\r\r\n", "\r\n\r\n\r\n\r\n\r\n\r\n")]
fn lines_end(#[case] cause: &'static str, #[case] sent: &str, #[case] expected: &str) {
    let check = check!("12-telnet");
    check.suspect(cause);
    let server = check.server(&[]);
    however_it_is_cut(&server, sent.as_bytes(), expected.as_bytes());
}

#[test]
fn a_line_ends_with_its_cr() {
    let check = check!("12-telnet");
    check.suspect("waits-behind-a-cr");
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "visitor");
    visitor.send(b"one\r");
    visitor.hears(b"one\r\n", "after \"one\\r\", with nothing behind it");
    visitor.send(b"\ntwo\r");
    visitor.hears(b"two\r\n", "after \"one\\r\", and then \"\\ntwo\\r\"");
    visitor.send(b"\0three\r");
    visitor.hears(b"three\r\n", "after \"two\\r\", and then \"\\0three\\r\"");
    visitor.nothing_more("after three lines");
}

#[rstest]
#[case::one(&[IAC, IAC, b'\n'], &[IAC, IAC, b'\r', b'\n'])]
#[case::two(&[b'a', IAC, IAC, IAC, IAC, b'b', b'\n'], &[b'a', IAC, IAC, IAC, IAC, b'b', b'\r', b'\n'])]
#[case::before_what_looks_like_a_command(&[IAC, IAC, DO, ECHO, b'\n'], &[IAC, IAC, DO, ECHO, b'\r', b'\n'])]
#[case::before_a_command(&[IAC, IAC, IAC, DO, 99, b'\n'], &[IAC, WONT, 99, IAC, IAC, b'\r', b'\n'])]
#[case::behind_a_cr(&[b'\r', IAC, IAC, b'\n'], &[b'\r', b'\n', IAC, IAC, b'\r', b'\n'])]
#[case::what_is_a_command_elsewhere(&[SE, SB, WILL, DONT, b'\n'], &[SE, SB, WILL, DONT, b'\r', b'\n'])]
fn a_byte_255(#[case] sent: &[u8], #[case] expected: &[u8]) {
    let check = check!("12-telnet");
    check.suspect(match sent.contains(&SB) {
        true => "commands-without-an-iac",
        false => "doubled-iac-is-dropped",
    });
    if sent.len() == 3 {
        check.suspect_where("IAC IAC IAC IAC", "doubled-iac-stays-double");
    }
    let server = check.server(&[]);
    however_it_is_cut(&server, sent, expected);
}

#[rstest]
#[case::nop(241)]
#[case::data_mark(242)]
#[case::interrupt(244)]
#[case::are_you_there(246)]
#[case::erase_line(248)]
#[case::go_ahead(249)]
#[case::the_end_of_nothing(SE)]
#[case::end_of_record(239)]
#[case::nobody_knows(100)]
#[case::zero(0)]
#[case::a_cr(b'\r')]
#[case::a_lf(b'\n')]
fn two_bytes_are_a_command(#[case] command: u8) {
    let check = check!("12-telnet");
    check.suspect(match command {
        241.. => "short-commands-eat-a-byte",
        _ => "unknown-commands-are-text",
    });
    let server = check.server(&[]);
    let sent = [b'a', IAC, command, b'b', IAC, command, IAC, command, b'\r', b'\n'];
    however_it_is_cut(&server, &sent, b"ab\r\n");
}

#[rstest]
#[case::nop(&[IAC, 241], &[])]
#[case::an_option(&[IAC, DO, 99], &[IAC, WONT, 99])]
#[case::a_subnegotiation(&[IAC, SB, TERMINAL_TYPE, b'\r', b'x', IAC, SE], &[])]
fn a_command_between_cr_and_lf(#[case] command: &[u8], #[case] answer: &[u8]) {
    let check = check!("12-telnet");
    check.suspect("command-separates-cr-and-lf");
    let server = check.server(&[]);
    for behind in [b"\n", b"\0"] {
        let sent = [b"a\r", command, behind, b"b\n"].concat();
        however_it_is_cut(&server, &sent, &[b"a\r\n", answer, b"b\r\n"].concat());
    }
}

#[rstest]
#[case::will(WILL, &[NAWS], DO, DONT)]
#[case::do_(DO, &[ECHO, SUPPRESS_GO_AHEAD], WILL, WONT)]
fn every_option(#[case] verb: u8, #[case] agreed: &[u8], #[case] yes: u8, #[case] no: u8) {
    let check = check!("12-telnet");
    check.suspect("agrees-to-something-else");
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "visitor");
    for option in 0..=u8::MAX {
        let answer = if agreed.contains(&option) { yes } else { no };
        visitor.exchanges(&[IAC, verb, option], &[IAC, answer, option]);
    }
}

#[test]
fn cut_commands() {
    let check = check!("12-telnet");
    check.suspect("forgets-between-pieces");
    let server = check.server(&[]);
    let sent = [
        b"he",
        &[IAC, DO, SUPPRESS_GO_AHEAD][..],
        b"l",
        &SIZES_ON,
        &about(NAWS, &[0, 80, 0, 24]),
        b"lo\r",
        &[IAC, WILL, 99, IAC, 241],
        b"\nthere",
        &[IAC, IAC, IAC, DONT, ECHO],
        b"\r\0",
    ];
    let expected = [
        &[IAC, WILL, SUPPRESS_GO_AHEAD],
        &SIZES_ON_REPLY[..],
        b"80x24: hello\r\n",
        &[IAC, DONT, 99],
        b"80x24: there",
        &[IAC, IAC],
        b"\r\n",
    ];
    however_it_is_cut(&server, &sent.concat(), &expected.concat());
}

#[rstest]
#[case::their_naws(WILL, NAWS, DO)]
#[case::our_echo(DO, ECHO, WILL)]
#[case::our_suppress_go_ahead(DO, SUPPRESS_GO_AHEAD, WILL)]
fn what_is_on_is_not_answered(#[case] verb: u8, #[case] option: u8, #[case] answer: u8) {
    let check = check!("12-telnet");
    check.suspect("answers-what-is-so-already");
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "visitor");
    visitor.exchanges(&[IAC, verb, option], &[IAC, answer, option]);
    visitor.exchanges(&[IAC, verb, option], b"");
    visitor.exchanges(&[IAC, verb, option].repeat(3), b"");
    // And switched off it is answered once.
    let (off, confirmed) = if verb == WILL { (WONT, DONT) } else { (DONT, WONT) };
    check.suspect("does-not-switch-off");
    visitor.exchanges(&[IAC, off, option], &[IAC, confirmed, option]);
    check.suspect("answers-what-is-so-already");
    visitor.exchanges(&[IAC, off, option].repeat(2), b"");
    check.suspect("does-not-switch-off");
    visitor.exchanges(&[IAC, verb, option], &[IAC, answer, option]);
}

#[rstest]
#[case::wont(WONT)]
#[case::dont(DONT)]
fn what_is_off_is_not_answered(#[case] verb: u8) {
    let check = check!("12-telnet");
    check.suspect("answers-what-is-so-already");
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "visitor");
    for option in [0, ECHO, SUPPRESS_GO_AHEAD, TERMINAL_TYPE, NAWS, 99, 255] {
        visitor.exchanges(&[IAC, verb, option], b"");
        visitor.exchanges(&[IAC, verb, option], b"");
    }
}

#[rstest]
#[case::will(WILL, DONT)]
#[case::do_(DO, WONT)]
fn what_is_refused_stays_off(#[case] verb: u8, #[case] refusal: u8) {
    let check = check!("12-telnet");
    check.suspect("refuses-once");
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "visitor");
    let off = if verb == WILL { WONT } else { DONT };
    for option in [TERMINAL_TYPE, 99] {
        visitor.exchanges(&[IAC, verb, option], &[IAC, refusal, option]);
        visitor.exchanges(&[IAC, off, option], b"");
        visitor.exchanges(&[IAC, verb, option].repeat(2), &[IAC, refusal, option].repeat(2));
    }
}

#[test]
fn two_sides() {
    let check = check!("12-telnet");
    check.suspect("one-table-for-both-sides");
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "visitor");
    visitor.exchanges(&[IAC, DO, ECHO], &[IAC, WILL, ECHO]);
    visitor.exchanges(&[IAC, WONT, ECHO], b"");
    visitor.exchanges(&[IAC, WILL, ECHO], &[IAC, DONT, ECHO]);
    visitor.exchanges(&[IAC, DO, ECHO], b"");
    visitor.exchanges(&SIZES_ON, &SIZES_ON_REPLY);
    visitor.exchanges(&[IAC, DONT, NAWS], b"");
    visitor.exchanges(&[IAC, DO, NAWS], &[IAC, WONT, NAWS]);
    visitor.exchanges(&SIZES_ON, b"");
    visitor.exchanges(&[IAC, DONT, ECHO], &[IAC, WONT, ECHO]);
    visitor.exchanges(&[IAC, WONT, NAWS], &[IAC, DONT, NAWS]);
    // Somebody else's are others again.
    let mut other = Visitor::new(&server, "other visitor");
    other.exchanges(&[IAC, DO, ECHO], &[IAC, WILL, ECHO]);
}

/// A client that answers all that it gets, and not only what is new to it.
#[test]
fn a_client_that_answers_everything() {
    /// Far more than it takes.
    const MOST_ANSWERS: usize = 40;
    let check = check!("12-telnet");
    check.suspect("answers-what-is-so-already");
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "visitor who answers everything");
    let asked = [IAC, WILL, NAWS, IAC, DO, ECHO, IAC, WILL, 99, IAC, DO, 98, IAC, WONT, 97];
    visitor.send(&asked);
    let mut answers = 0;
    loop {
        settle(&server, "after some answers");
        if !visitor.has_more() {
            break;
        }
        let whole = |bytes: &[u8]| bytes.len() >= 3;
        let Ok(Ok(came)) = visitor.connection.receive_while_missing(&server.program, whole) else {
            server.fail_seeing("a visitor who answers everything was hung up on");
        };
        visitor.connection.give_back(&came[3..]);
        let opposite = match came[1] {
            WILL => DO,
            DO => WILL,
            WONT => DONT,
            _ => WONT,
        };
        answers += 1;
        if answers > MOST_ANSWERS {
            server.fail_seeing(&format!(
                "a visitor who answers everything has answered {MOST_ANSWERS} times, and there is more: {}",
                in_words(&came)
            ));
        }
        visitor.send(&[IAC, opposite, came[2]]);
    }
    if answers == 0 {
        server.fail_seeing(&format!("after {}, nothing came", in_words(&asked)));
    }
    visitor.exchanges(b"", b"");
}

#[rstest]
#[case::usual(&[0, 80, 0, 24], "80x24")]
#[case::large(&[1, 44, 2, 88], "300x600")]
#[case::nothing(&[0, 0, 0, 0], "0x0")]
#[case::a_width_of_255(&[0, IAC, IAC, 0, 24], "255x24")]
#[case::a_height_of_255(&[0, 80, 0, IAC, IAC], "80x255")]
#[case::all_of_it_255(&[IAC; 8], "65535x65535")]
#[case::a_width_of_240(&[0, SE, 0, SE], "240x240")]
#[case::what_looks_like_an_end(&[0, IAC, IAC, SE, 0], "255x61440")]
#[case::line_ends(&[b'\r', b'\n', 0, b'\r'], "3338x13")]
#[case::what_looks_like_commands(&[WILL, DO, WONT, DONT], "64509x64766")]
fn a_windows_size(#[case] told: &[u8], #[case] size: &str) {
    let check = check!("12-telnet");
    check.suspect(match told {
        _ if told.contains(&IAC) => "iac-in-what-is-said",
        _ if told.contains(&SE) => "an-se-alone-ends-what-is-said",
        _ => "size-is-read-otherwise",
    });
    let server = check.server(&[]);
    let sent = [&SIZES_ON[..], b"a", &about(NAWS, told), b"b\r\n"].concat();
    let expected = [&SIZES_ON_REPLY[..], size.as_bytes(), b": ab\r\n"].concat();
    however_it_is_cut(&server, &sent, &expected);
}

#[test]
fn the_newest_size_counts() {
    let check = check!("12-telnet");
    check.suspect("the-first-size-counts");
    check.suspect_where("one\\r\\ntwo", "what-was-said-stays");
    let server = check.server(&[]);
    let sent = [
        &SIZES_ON[..],
        &about(TERMINAL_TYPE, &[0]),
        b"one\r\n",
        &about(NAWS, &[0, 80, 0, 24]),
        b"two\r\n",
        &about(NAWS, &[0, 100, 0, 50]),
        b"three\r\nfour\r\n",
        &about(NAWS, &[0, 81, 0, 25]),
        b"five\r\n",
    ];
    let expected = [
        &SIZES_ON_REPLY[..],
        b"one\r\n80x24: two\r\n100x50: three\r\n100x50: four\r\n81x25: five\r\n",
    ];
    however_it_is_cut(&server, &sent.concat(), &expected.concat());
}

#[test]
fn a_size_without_naws() {
    let check = check!("12-telnet");
    check.suspect("size-without-naws");
    let server = check.server(&[]);
    let size = about(NAWS, &[0, 80, 0, 24]);
    let sent = [
        &size[..],
        b"one\r\n",
        &[IAC, DO, NAWS],
        &size,
        b"two\r\n",
        &SIZES_ON,
        b"three\r\n",
        &[IAC, WONT, NAWS],
        &size,
        b"four\r\n",
        &SIZES_ON,
        b"five\r\n",
    ];
    let expected = [
        &b"one\r\n"[..],
        &[IAC, WONT, NAWS],
        b"two\r\n",
        &SIZES_ON_REPLY,
        b"three\r\n",
        &[IAC, DONT, NAWS],
        b"four\r\n",
        &SIZES_ON_REPLY,
        b"five\r\n",
    ];
    however_it_is_cut(&server, &sent.concat(), &expected.concat());
}

#[test]
fn a_size_is_forgotten() {
    let check = check!("12-telnet");
    check.suspect("size-outlives-naws");
    let server = check.server(&[]);
    let sent = [
        &SIZES_ON[..],
        &about(NAWS, &[0, 80, 0, 24]),
        b"one\r\n",
        &[IAC, WONT, 99, IAC, DONT, NAWS, IAC, WILL, NAWS],
        b"two\r\n",
        &[IAC, WONT, NAWS],
        b"three\r\n",
        &SIZES_ON,
        b"four\r\n",
        &about(NAWS, &[0, 81, 0, 25]),
        b"five\r\n",
    ];
    let expected = [
        &SIZES_ON_REPLY[..],
        b"80x24: one\r\n80x24: two\r\n",
        &[IAC, DONT, NAWS],
        b"three\r\n",
        &SIZES_ON_REPLY,
        b"four\r\n81x25: five\r\n",
    ];
    however_it_is_cut(&server, &sent.concat(), &expected.concat());
}

#[rstest]
#[case::nothing(&[])]
#[case::three_bytes(&[0, 1, 0])]
#[case::five_bytes(&[0, 1, 0, 1, 0])]
#[case::eight_bytes(&[0, 1, 0, 1, 0, 1, 0, 1])]
#[case::five_with_a_255(&[0, IAC, IAC, 0, 1, 0])]
#[case::three_with_a_255(&[0, IAC, IAC, 0])]
#[case::four_more_than_are_kept(&[1; 68])]
#[case::four_more_than_a_byte_counts(&[1; 260])]
#[case::very_many(&[1; 5000])]
fn a_size_of_another_length(#[case] told: &[u8]) {
    let check = check!("12-telnet");
    check.suspect("size-of-another-length-is-taken");
    let server = check.server(&[]);
    for size in [told.len() + 5, 1] {
        let mut visitor = Visitor::new(&server, "visitor");
        visitor.send(&[&SIZES_ON[..], &about(NAWS, &[0, 80, 0, 24])].concat());
        visitor.hears(&SIZES_ON_REPLY, "after WILL NAWS");
        visitor.send_cut(&about(NAWS, told), size);
        visitor.send(b"a\r\n");
        let when = format!("after a size of 80x24, and one of {} bytes", told.len());
        visitor.hears(b"80x24: a\r\n", &when);
        // The next one begins anew.
        visitor.send(&[&about(NAWS, &[0, 81, 0, 25])[..], b"b\r\n"].concat());
        visitor.hears(b"81x25: b\r\n", &format!("{when}, and one of 81x25"));
    }
}

#[rstest]
#[case::of_a_terminal(&about(TERMINAL_TYPE, b"\0xterm"))]
#[case::with_nothing_in_it(&about(99, b""))]
#[case::with_lines(&about(99, b"one\r\ntwo\r\n"))]
#[case::with_a_doubled_255(&about(99, &[1, IAC, IAC, 2]))]
#[case::with_a_255_before_its_end(&about(99, &[IAC, IAC]))]
#[case::with_two_of_them(&about(99, &[IAC; 4]))]
#[case::with_what_ends_it_in_it(&about(99, &[IAC, IAC, SE, 1]))]
#[case::with_an_se(&about(99, &[SE, b'x', SE]))]
#[case::with_a_size(&about(99, &[0, 80, 0, 24]))]
#[case::of_naws_on_our_side(&about(ECHO, &[0, 80, 0, 24]))]
#[case::two(&[about(98, b"x"), about(99, b"y")].concat())]
fn subnegotiations_are_skipped(#[case] sent: &[u8]) {
    let check = check!("12-telnet");
    check.suspect(match sent {
        _ if sent[3..sent.len() - 2].contains(&IAC) => "iac-in-what-is-said",
        _ if sent[3..].contains(&80) => "any-option-has-a-size",
        _ => "what-is-said-is-text",
    });
    let server = check.server(&[]);
    let sent = [&SIZES_ON[..], b"a", sent, b"b\r\n"].concat();
    however_it_is_cut(&server, &sent, &[&SIZES_ON_REPLY[..], b"ab\r\n"].concat());
}

/// What has no business in a subnegotiation.
#[rstest]
#[case::nop(&[IAC, 241])]
#[case::will(&[IAC, WILL])]
#[case::a_beginning(&[IAC, SB])]
#[case::a_byte(&[IAC, 7])]
fn what_does_not_belong_there(#[case] command: &[u8]) {
    let check = check!("12-telnet");
    check.suspect("stray-command-in-what-is-said");
    let server = check.server(&[]);
    for option in [NAWS, 99] {
        let told = [&[0, 80], command, &[0, 24]].concat();
        let sent = [&SIZES_ON[..], b"a", &about(option, &told), b"b\r\n"].concat();
        let size: &[u8] = if option == NAWS { b"80x24: " } else { b"" };
        let expected = [&SIZES_ON_REPLY[..], size, b"ab\r\n"].concat();
        however_it_is_cut(&server, &sent, &expected);
    }
}

#[rstest]
#[case::of_a_size(NAWS)]
#[case::of_something_else(99)]
fn a_subnegotiation_without_an_end(#[case] option: u8) {
    let check = check!("12-telnet");
    check.suspect("what-is-said-has-no-limit");
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "visitor");
    visitor.exchanges(&SIZES_ON, &SIZES_ON_REPLY);
    let before = server.peak();
    visitor.send(&[IAC, SB, option]);
    // In long lines: if they are taken for text, the beginning of each comes back.
    let line = [&[b'x'; 32 << 10][..], b"\r\n"].concat();
    visitor.send(&line.repeat(VERY_LONG / line.len()));
    visitor.connection.wait_until_read(PATIENCE);
    let when = "after 16 MiB of a subnegotiation";
    server.needs_little_memory(before, PLENTY, when);
    check.suspect("too-much-ends-what-is-said");
    visitor.nothing_more(when);
    visitor.send(&[IAC, SE]);
    visitor.exchanges(b"", b"");
    visitor.exchanges(&[IAC, DO, ECHO], &[IAC, WILL, ECHO]);
}
