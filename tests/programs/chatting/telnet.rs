//! Telnet as a value: bytes in, text and replies out.

use ch12_kernel::telnet::{Telnet, Window, encode};
use rstest::rstest;

const SE: u8 = 240;
const SB: u8 = 250;
const WILL: u8 = 251;
const WONT: u8 = 252;
const DO: u8 = 253;
const DONT: u8 = 254;
const IAC: u8 = 255;
const BINARY: u8 = 0;
const ECHO: u8 = 1;
const NAWS: u8 = 31;

/// What becomes of bytes that come in these pieces.
fn of_pieces<'a>(
    telnet: &mut Telnet,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<u8>, Vec<u8>) {
    let (mut text, mut reply) = (Vec::new(), Vec::new());
    for piece in pieces {
        telnet.receive(piece, &mut text, &mut reply);
    }
    (text, reply)
}

/// The same for all ways to cut them in two, and for single bytes.
#[track_caller]
fn of(start: &Telnet, bytes: &[u8]) -> (Telnet, Vec<u8>, Vec<u8>) {
    let all = |pieces: Vec<&[u8]>| {
        let mut telnet = start.clone();
        let (text, reply) = of_pieces(&mut telnet, pieces);
        (telnet, text, reply)
    };
    let whole = all(vec![bytes]);
    for cut in 0..=bytes.len() {
        let (first, second) = bytes.split_at(cut);
        assert_eq!(all(vec![first, second]), whole, "cut at {cut}");
    }
    assert_eq!(all(bytes.chunks(1).collect()), whole, "byte by byte");
    whole
}

/// One who is known to speak Telnet, and has nothing open.
fn speaker() -> Telnet {
    let (telnet, ..) = of(&Telnet::default(), &[IAC, 241, IAC, WONT, NAWS, IAC, WONT, BINARY]);
    telnet
}

#[rstest]
#[case::lf(b"a\nb\n", b"a\nb\n")]
#[case::cr_lf(b"a\r\nb\r\n", b"a\nb\n")]
#[case::cr_nul(b"a\r\0b\r\0", b"a\nb\n")]
#[case::cr(b"a\rb\r", b"a\nb\n")]
#[case::all_of_them(b"\r\r\n\n\r\0\0\r", b"\n\n\n\n\0\n")]
#[case::byte_255(b"a\xff\xffb", b"a\xffb")]
#[case::interrupt(b"a\xff\xf4b", b"a\x03\nb")]
#[case::pause_key(b"a\xff\xf3b", b"a\x03\nb")]
#[case::abort(b"a\xff\xeeb", b"a\x03\nb")]
#[case::ctrl_c(b"a\x03b", b"a\x03\nb")]
#[case::end_of_file(b"a\xff\xecb", b"a\x04\nb")]
#[case::ctrl_d(b"a\x04b", b"a\x04\nb")]
#[case::erase_character(b"a\xff\xf7b", b"a\x7fb")]
#[case::erase_line(b"a\xff\xf8b", b"a\x15b")]
#[case::nothing(b"a\xff\xf1b\xff\xf2c\xff\xf5d\xff\xf9e", b"abcde")]
#[case::what_is_no_command(b"a\xff\x00b\xffcd", b"abd")]
#[case::a_subnegotiation(b"a\xff\xfa\x18\x00xterm\xff\xf0b", b"ab")]
#[case::a_255_in_it(b"a\xff\xfa\x18\xff\xff\xf0\xff\xf0b", b"ab")]
#[case::one_without_an_end(b"a\xff\xfa\x18xx\xff\xf4b", b"a\x03\nb")]
#[case::one_in_another(b"a\xff\xfa\x18xx\xff\xfa\x18y\xff\xf0b", b"ab")]
#[case::utf8("é日\n".as_bytes(), "é日\n".as_bytes())]
fn text_is_told_from_commands(#[case] bytes: &[u8], #[case] expected: &[u8]) {
    let (_, text, _) = of(&Telnet::default(), bytes);
    assert_eq!(text.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

#[rstest]
#[case::lf(b"Ada\n", false)]
#[case::cr(b"Ada\rBob\r", false)]
#[case::latin_1(b"\xff\xe9\xffa\n", false)]
#[case::a_255(b"\xff\xff", false)]
#[case::cr_lf(b"Ada\r\n", true)]
#[case::cr_nul(b"Ada\r\0", true)]
#[case::a_command(b"\xff\xf1", true)]
#[case::an_option(b"\xff\xfb\x18", true)]
#[case::a_subnegotiation(b"\xff\xfa\x18\xff\xf0", true)]
fn nothing_is_said_to_one_who_does_not_speak_it(#[case] bytes: &[u8], #[case] speaks: bool) {
    let mut start = Telnet::default();
    let mut reply = Vec::new();
    start.hide(true, &mut reply);
    assert_eq!(reply, b"");
    let (telnet, _, reply) = of(&start, bytes);
    assert_eq!(telnet.is_spoken, speaks);
    let asked = reply.starts_with(&[IAC, DO, BINARY, IAC, DO, NAWS, IAC, WILL, ECHO]);
    assert_eq!((asked, reply.is_empty()), (speaks, !speaks), "{reply:?}");
}

#[test]
fn a_window_is_remembered_when_it_was_agreed_about() {
    let size = [IAC, SB, NAWS, 0, 80, 1, 24, IAC, SE];
    let (telnet, _, _) = of(&speaker(), &size);
    assert_eq!(telnet.window, None, "nobody asked");
    let (telnet, _, reply) = of(&Telnet::default(), &[&[IAC, WILL, NAWS][..], &size].concat());
    assert_eq!(reply, [IAC, DO, BINARY, IAC, DO, NAWS]);
    assert_eq!(telnet.window, Some(Window { columns: 80, rows: 280 }));
    // 255 columns are two bytes 255; the last one counts.
    let (telnet, _, reply) = of(&telnet, &[IAC, SB, NAWS, 0, IAC, IAC, 0, 50, IAC, SE]);
    assert_eq!((telnet.window, reply.len()), (Some(Window { columns: 255, rows: 50 }), 0));
    for wrong in [&[0, 9, 0][..], &[0, 9, 0, 9, 9], &[0, 9, 0, 9, 9, 9, 9, 9]] {
        let (telnet, ..) = of(&telnet, &[&[IAC, SB, NAWS], wrong, &[IAC, SE]].concat());
        assert_eq!(telnet.window, Some(Window { columns: 255, rows: 50 }), "{wrong:?}");
    }
}

#[rstest]
#[case::we_do_not_echo(&[IAC, DO, ECHO], &[IAC, WONT, ECHO])]
#[case::we_do_not_send_each_key(&[IAC, DO, 3], &[IAC, WONT, 3])]
#[case::they_may(&[IAC, WILL, 3], &[IAC, DO, 3])]
#[case::but_not_echo(&[IAC, WILL, ECHO], &[IAC, DONT, ECHO])]
#[case::linemode(&[IAC, WILL, 34, IAC, DO, 34], &[IAC, DONT, 34, IAC, WONT, 34])]
#[case::timing_mark(&[IAC, 244, IAC, DO, 6], &[IAC, WONT, 6])]
#[case::a_no_is_no_question(&[IAC, WONT, 3, IAC, DONT, ECHO, IAC, DONT, 99], &[])]
#[case::nor_is_the_same_again(&[IAC, WILL, 3, IAC, WILL, 3], &[IAC, DO, 3])]
#[case::there_and_back(&[IAC, WILL, 3, IAC, WONT, 3], &[IAC, DO, 3, IAC, DONT, 3])]
#[case::are_you_there(&[IAC, 246], b"[yes]\r\n")]
fn requests_are_answered(#[case] bytes: &[u8], #[case] expected: &[u8]) {
    let (_, text, reply) = of(&speaker(), bytes);
    assert_eq!(reply, expected);
    assert!(text.is_empty() || text == b"\x03\n");
}

#[test]
fn who_plink_is_gets_what_it_needs() {
    // As plink 0.78 begins, on any port.
    let begins = b"\xff\xfb\x1f\xff\xfb \xff\xfb\x18\xff\xfb'\xff\xfd\x01\xff\xfb\x03\xff\xfd\x03";
    let (telnet, _, reply) = of(&Telnet::default(), begins);
    let expected =
        b"\xff\xfd\x00\xff\xfd\x1f\xff\xfe \xff\xfe\x18\xff\xfe'\xff\xfc\x01\xff\xfd\x03\xff\xfc\x03";
    assert_eq!(reply.escape_ascii().to_string(), expected.escape_ascii().to_string());
    assert!(telnet.is_spoken);
}

#[test]
fn one_who_asks_again_and_again_is_not_answered_for_ever() {
    let mut telnet = Telnet::default();
    let (mut asked, mut answered) = (0, 0);
    for _ in 0..100 {
        for option in 0..=255 {
            for verb in [WILL, DO, WONT, DONT] {
                let (_, reply) = of_pieces(&mut telnet, [&[IAC, verb, option][..]]);
                asked += 1;
                answered += reply.len() / 3;
            }
        }
        assert!(answered <= asked + 2 && answered <= 1002, "{answered} answers to {asked}");
    }
    assert!(answered >= 512, "each was answered the first time");
}

#[rstest]
#[case::one_wants_it(&[true], &[])]
#[case::both_want_it(&[true], &[true])]
#[case::on_and_off_before_the_answer(&[true, false], &[])]
#[case::many_times(&[true, false, true, false, true], &[true, false])]
fn two_of_us_come_to_an_end(#[case] one: &[bool], #[case] other: &[bool]) {
    let (mut a, mut b) = (speaker(), speaker());
    let (mut to_a, mut to_b) = (Vec::new(), vec![IAC, DO, ECHO, IAC, WILL, 3, IAC, WILL, NAWS]);
    one.iter().for_each(|&on| a.hide(on, &mut to_b));
    other.iter().for_each(|&on| b.hide(on, &mut to_a));
    let mut said = to_a.len() + to_b.len();
    while !to_a.is_empty() || !to_b.is_empty() {
        let (at_a, at_b) = (std::mem::take(&mut to_a), std::mem::take(&mut to_b));
        a.receive(&at_a, &mut Vec::new(), &mut to_b);
        b.receive(&at_b, &mut Vec::new(), &mut to_a);
        said += to_a.len() + to_b.len();
        assert!(said < 100, "it goes on and on");
    }
    assert!(!a.is_hidden(), "the other one of us doesn't agree");
}

#[test]
fn what_was_hidden_is_shown_again() {
    let (mut telnet, mut reply) = (speaker(), Vec::new());
    telnet.hide(true, &mut reply);
    assert_eq!(reply, [IAC, WILL, ECHO]);
    // Shown again before the answer is there: that is said behind it.
    telnet.hide(false, &mut reply);
    assert_eq!(reply.len(), 3);
    let (telnet, _, reply) = of(&telnet, &[IAC, DO, ECHO]);
    assert_eq!(reply, [IAC, WONT, ECHO]);
    let (telnet, _, reply) = of(&telnet, &[IAC, DONT, ECHO]);
    assert_eq!((reply.len(), telnet.is_hidden()), (0, false));
}

#[test]
fn a_subnegotiation_without_end_costs_nothing() {
    let mut telnet = speaker();
    let (mut text, mut reply) = (Vec::new(), Vec::new());
    telnet.receive(&[IAC, SB, NAWS], &mut text, &mut reply);
    for _ in 0..1000 {
        telnet.receive(&[b'x'; 4096], &mut text, &mut reply);
    }
    assert!(text.is_empty() && reply.is_empty());
    let size = format!("{telnet:?}").len();
    assert!(size < 1000, "it keeps {size} characters");
    telnet.receive(&[IAC, SE, b'a'], &mut text, &mut reply);
    assert_eq!(text, b"a");
}

/// Bytes of which many mean something.
fn any_bytes(random: &mut fastrand::Rng) -> Vec<u8> {
    let telling = [IAC, IAC, IAC, SB, SE, WILL, WONT, DO, DONT, NAWS, ECHO, 3, b'\r', b'\n', 0];
    let byte = |random: &mut fastrand::Rng| match random.bool() {
        true => telling[random.usize(..telling.len())],
        false => random.u8(..),
    };
    (0..random.usize(..60)).map(|_| byte(random)).collect()
}

#[test]
fn any_bytes_mean_the_same_however_they_are_cut() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..3000 {
        let bytes = any_bytes(&mut random);
        let start = if random.bool() { Telnet::default() } else { speaker() };
        let mut wishes = start.clone();
        wishes.hide(random.bool(), &mut Vec::new());
        println!("seed {seed}, round {round}: {}", bytes.escape_ascii());
        let (_, text, reply) = of(&wishes, &bytes);
        assert!(text.len() <= 2 * bytes.len(), "{} bytes of text", text.len());
        assert!(reply.len() <= 9 + 4 * bytes.len(), "{} bytes of replies", reply.len());
        assert!(!text.contains(&b'\r'));
    }
}

#[test]
fn what_is_sent_is_read_as_it_was_meant() {
    assert_eq!(encode(b"a\nb\rc\xff\n"), b"a\r\nb\r\0c\xff\xff\r\n");
    let (_, text, reply) = of(&Telnet::default(), &encode(b"x\xff\xc3\xa9\n"));
    assert_eq!(text, b"x\xff\xc3\xa9\n");
    assert_eq!(reply, [IAC, DO, BINARY, IAC, DO, NAWS], "which the end of its line has brought");
}
