//! The room, through sockets.

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use ch07_callbacks::Token;
use ch09_timers::{Clock, Timers};
use ch12_kernel::chat;
use ch12_kernel::presence::Service;
use ch12_kernel::room::{Effect, Room};
use nix::sys::socket::{MsgFlags, send, setsockopt, sockopt};
use rstest::rstest;

use crate::house::{House, PATIENCE, Visitor};

#[test]
fn each_line_is_said_to_all_others() {
    let house = House::open(None);
    let (mut ada, mut bob) = (house.member("Ada"), house.member("Bob"));
    ada.expect("-- Bob is here.\r\n");
    ada.say(b"Hello\r\n/me waves\r\n");
    bob.expect("Ada: Hello\r\n* Ada waves\r\n");
    bob.say("Grüße 日本\n".as_bytes());
    let heard = ada.expect("Bob: Grüße 日本\r\n");
    assert!(!heard.contains("Hello"), "what one says oneself stands on the screen already");
    house.ask(|event_loop, chat| chat.say(event_loop, "Tea\x1b[2J\nis\x07 ready"));
    bob.expect("console: Tea[2Jis ready\r\n");
    assert_eq!(house.waits(), ["a line", "a line"]);
    bob.say(b"/quit\n");
    ada.expect("-- Bob has left.\r\n");
    assert!(bob.rest().ends_with("Goodbye.\r\n"));
}

#[rstest]
#[case::none("")]
#[case::blanks("   ")]
#[case::two_words("Ada Lovelace")]
#[case::too_long("AdaAdaAdaAdaAdaAdaAdaAdaAdaAdaAda")]
#[case::taken("Bob")]
#[case::taken_in_other_letters("bOB")]
#[case::ours("Console")]
#[case::of_us("--")]
#[case::no_letter_that_is_seen("Bob\u{200b}")]
#[case::written_from_right_to_left("\u{202e}boB")]
#[case::not_utf8("Andr\u{e9}")]
fn a_name_that_cannot_be(#[case] name: &str) {
    let house = House::open(None);
    let mut bob = house.member("Bob");
    let mut visitor = Visitor::at(house.address);
    visitor.expect("What is your name? ");
    assert_eq!(house.waits(), ["a line", "a name"]);
    // As Latin-1, where it may be.
    let bytes: Option<Vec<u8>> = name.chars().map(|letter| u8::try_from(letter).ok()).collect();
    visitor.say(&bytes.unwrap_or_else(|| name.as_bytes().to_vec()));
    visitor.say(b"\n");
    let fault = visitor.expect("What is your name? ");
    assert!(fault.contains("taken") || fault.contains("letters and digits"), "{fault}");
    visitor.say(b"\x1bA\x07dx\x08a\x00\n");
    visitor.expect("Here now: ");
    assert_eq!(bob.expect(" is here.\r\n"), "-- Ada is here.\r\n");
}

#[test]
fn there_are_only_so_many_tries() {
    let house = House::open(None);
    let mut visitor = Visitor::at(house.address);
    visitor.say(&b"!\n".repeat(5));
    assert!(visitor.rest().ends_with("at the most. Goodbye.\r\n"));
}

#[test]
fn another_name() {
    let house = House::open(None);
    let (mut ada, mut bob) = (house.member("Ada"), house.member("Bob"));
    ada.say(b"/name bob\n");
    ada.expect("-- That name is taken.\r\n");
    ada.say(b"/name ADA\n");
    bob.expect("-- Ada is ADA now.\r\n");
    bob.say(b"/who\n");
    bob.expect("-- Here now: ADA, Bob.\r\n");
    ada.say(b"/jump\n/help\n");
    ada.expect("-- There is no /jump here; /help tells what is.\r\n");
    ada.expect("/quit");
}

#[test]
fn nothing_that_a_terminal_would_obey_reaches_anybody() {
    let house = House::open(None);
    let (mut ada, mut bob) = (house.member("Ada"), house.member("Bob"));
    ada.say("a\u{1b}]0;title\u{7}b\u{9b}31mc\0d\te\u{85}f\u{7f}g\r".as_bytes());
    assert_eq!(bob.expect("\r\n"), "Ada: a]0;titleb31mcd eg\r\n");
    // Typed keys, of a terminal that sends each by itself.
    ada.say(b"wrong\x15Hellp\x7fo\r\0");
    assert_eq!(bob.expect("\r\n"), "Ada: Hello\r\n");
    ada.say(b"caf\xe9\n");
    ada.expect("-- That wasn't UTF-8, and wasn't said.\r\n");
    ada.say(&[b'x'; 64 * 1024]);
    ada.say(b"\nshort\n");
    ada.expect("-- Longer than 1000 bytes, that wasn't said.\r\n");
    assert_eq!(bob.expect("\r\n"), "Ada: short\r\n");
    ada.say(&[0; 64 * 1024]);
    ada.say(b"\n/quit\n");
    assert_eq!(bob.expect("\r\n"), "-- Ada has left.\r\n");
}

#[test]
fn who_comes_is_told_by_which_generation() {
    let mut room = Room::new(None).of_generation(Some(7));
    room.arrives(Token::from_bits(1), 1);
    let effects = std::iter::from_fn(|| room.next_effect());
    let said = effects.filter_map(|effect| match effect {
        Effect::Send { bytes, .. } => Some(bytes),
        Effect::Log { .. } => None,
    });
    let said = String::from_utf8(said.collect::<Vec<_>>().concat()).unwrap();
    assert!(said.contains("\r\n-- This is generation 7.\r\n"), "{said:?}");
}

#[test]
fn whatever_one_types_nobody_is_sent_more_than_text() {
    let (ada, bob) = (Token::from_bits(1), Token::from_bits(2));
    let mut room = Room::new(None);
    room.arrives(ada, 1);
    room.arrives(bob, 2);
    room.line(bob, b"Bob");
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut sent, mut logged) = (0, 0);
    for round in 0..5000 {
        let mut line: Vec<u8> = (0..random.usize(..20)).map(|_| random.u8(..)).collect();
        if random.bool() {
            line = String::from_utf8_lossy(&line).chars().rev().collect::<String>().into_bytes();
        }
        let start = ["", "x\u{9b}2J", "/name ", "/me \x1b", "/"][random.usize(..5)];
        room.line(ada, &[start.as_bytes(), &line].concat());
        if room.stage(ada).is_none() {
            room.arrives(ada, round);
            room.line(ada, b"Ada");
        }
        while let Some(effect) = room.next_effect() {
            let (text, ends) = match effect {
                Effect::Send { bytes, .. } => {
                    sent += 1;
                    (String::from_utf8(bytes).expect("it's UTF-8"), "\r\n")
                }
                Effect::Log { event, .. } => {
                    logged += 1;
                    (event, "")
                }
            };
            let obeyed = text.chars().find(|letter| letter.is_control() && !ends.contains(*letter));
            assert_eq!(obeyed, None, "{text:?}");
        }
    }
    assert!(sent > 1000 && logged > 2, "{sent} sent, {logged} logged");
}

#[test]
fn nobody_stands_at_the_door_for_ever_and_members_may_be_silent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut event_loop = ch08_epoll::event_loop().unwrap();
    let clock = Clock::standing();
    let timers = Timers::start(&mut event_loop, clock.clone());
    let chat = chat::serve(&mut event_loop, timers, listener, chat::Options::default()).unwrap();
    let mut member = Visitor::at(address);
    member.say(b"Ada\n");
    let door = Visitor::at(address);
    let waits = |event_loop: &_| {
        let mut waits: Vec<_> =
            chat.rows(event_loop).into_iter().map(|row| row.waits_for).collect();
        waits.sort();
        waits
    };
    let deadline = Instant::now() + PATIENCE;
    while waits(&event_loop) != ["a line", "a name"] {
        event_loop.turn(Some(Duration::from_millis(10))).unwrap();
        assert!(Instant::now() < deadline, "{:?}", waits(&event_loop));
    }
    clock.turn(Duration::from_secs(59));
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(waits(&event_loop), ["a line", "a name"]);
    clock.turn(Duration::from_secs(2));
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    // And what it was told is sent.
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(waits(&event_loop), ["a line", "it to hang up"]);
    // One that doesn't even hang up is hung up on.
    clock.turn(Duration::from_secs(3));
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(waits(&event_loop), ["a line"]);
    assert!(door.rest().contains("That took too long."));
    clock.turn(Duration::from_secs(100_000));
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(waits(&event_loop), ["a line"]);
}

#[test]
fn ctrl_c_forgets_the_line_and_twice_it_leaves() {
    let house = House::open(None);
    let (mut ada, mut bob) = (house.member("Ada"), house.member("Bob"));
    ada.expect("Bob is here.\r\n");
    ada.say(b"secr\xff\xf4\xff\xfd\x06");
    // In this order: until they are told, clients throw away what comes.
    ada.expect_bytes(b"\xff\xfc\x06");
    ada.expect("-- That line is forgotten.");
    ada.say(b"et\r\n\x03");
    assert_eq!(bob.expect("\r\n"), "Ada: et\r\n");
    ada.expect("-- That line is forgotten.");
    ada.say(b"\xff\xf3");
    assert_eq!(bob.expect("\r\n"), "-- Ada has left.\r\n");
    assert!(ada.rest().ends_with("Goodbye.\r\n"));
    // At the door, too.
    let mut eve = Visitor::at(house.address);
    eve.say(b"Eve\x03");
    eve.expect("leaves.\r\nWhat is your name? ");
    eve.say(b"\xac\n\x03");
    eve.expect("leaves.\r\nWhat is your name? ");
    eve.say(b"\x03");
    assert!(eve.rest().ends_with("Goodbye.\r\n"));
    // Ctrl-D hands over what there is, and with nothing leaves.
    bob.say(b"/who\x04\x04");
    assert!(bob.rest().ends_with("-- Here now: Bob.\r\n\r\nGoodbye.\r\n"));
}

#[test]
fn lines_are_cut_for_the_window() {
    let house = House::open(None);
    let (mut ada, mut bob) = (house.member("Ada"), house.member("Bob"));
    bob.say(b"\xff\xfb\x1f\xff\xfa\x1f\x00\x1e\x00\x18\xff\xf0");
    // So that the window is there before the line.
    bob.say(b"/who\n");
    bob.expect("Here now: Ada, Bob.\r\n");
    ada.say(b"One two three four five six seven eight nine ten.\n");
    bob.expect("Ada: One two three four five\r\n   six seven eight nine ten.\r\n");
    ada.say("日本日本日本日本日本日本日本日本日本日本\n".as_bytes());
    bob.expect("   日本日本日本日本日本日本日\r\n   本日本日本日本\r\n");
    bob.say(b"/help\n");
    bob.expect("\r\n--   /who          who is\r\n   here\r\n--   /me");
    // One column is as good as none.
    bob.say(b"\xff\xfa\x1f\x00\x01\x00\x18\xff\xf0/who\n");
    bob.expect("-- Here now: Ada,\r\n   Bob.\r\n");
    bob.say(b"\xff\xfa\x1f\x00\x00\x00\x00\xff\xf0/help\n");
    bob.expect("\r\n--   /who          who is here\r\n--   /me");
}

#[test]
fn the_key_is_asked_for_and_not_shown() {
    let house = House::open(Some("tüte"));
    let mut ada = Visitor::at(house.address);
    ada.expect("name? ");
    ada.say(b"Ada\r\n");
    ada.expect_bytes(b"\xff\xfd\x00\xff\xfd\x1f");
    ada.expect_bytes(b"\xff\xfb\x01");
    ada.expect("key to this room? ");
    assert_eq!(house.waits(), ["the key"]);
    ada.say(b"\xff\xfd\x01tute\r\n");
    ada.expect("\r\nThat isn't the key.\r\nAnd the key to this room? ");
    // Nobody has the name before they have the key.
    let mut other = Visitor::at(house.address);
    other.say("Ada\ntüte\n".as_bytes());
    let heard = other.expect("Hello, Ada.");
    assert!(!heard.contains('\u{fffd}'), "nothing of Telnet for one who ends lines with LF");
    ada.say("tüte\r\n".as_bytes());
    let heard = ada.expect_bytes(b"That name is taken.\r\nWhat is your name? ");
    assert!(heard.starts_with(b"\r\n\xff\xfc\x01"), "{}", heard.escape_ascii());
    ada.say(b"\xff\xfe\x01Bea\r\n");
    let heard = ada.expect_bytes(b"Here now: ");
    assert!(!heard.contains(&255), "{}", heard.escape_ascii());
    other.expect("Bea is here.");
}

#[test]
fn who_shows_the_key_all_the_same_has_ended_its_line() {
    let house = House::open(Some("sesame"));
    let mut ada = Visitor::at(house.address);
    ada.say(b"Ada\r\n");
    ada.expect("key to this room? ");
    // DONT ECHO, as of `nc -t`.
    ada.say(b"\xff\xfe\x01simsim\r\n");
    assert_eq!(ada.expect(" key.\r\n"), "That isn't the key.\r\n");
    ada.say(b"sesame\r\n");
    assert_eq!(ada.expect("Ada."), "And the key to this room? -- Hello, Ada.");
}

#[test]
fn a_wrong_key_opens_nothing() {
    let house = House::open(Some("sesame"));
    for wrong in [&b"Sesame\n"[..], b"\n", b"\xff\xfe\xfd\n", b"sesame \n"] {
        let mut visitor = Visitor::at(house.address);
        visitor.say(&[b"Ada\n", &wrong.repeat(5)[..]].concat());
        let said = visitor.rest();
        assert!(said.ends_with("That isn't the key. Goodbye.\r\n"), "{said}");
    }
    let mut visitor = Visitor::at(house.address);
    visitor.say(&[&b"Ada\n"[..], &[b'x'; 9000], b"\nsesame\n"].concat());
    visitor.expect("Hello, Ada.");
}

#[test]
fn one_who_does_not_read_is_dropped_and_nobody_waits() {
    let house = House::open(None);
    let (mut ada, mut bob) = (house.member("Ada"), house.member("Bob"));
    let slow = house.member("Slow");
    // Or the kernel here takes megabytes.
    setsockopt(&slow.socket, sockopt::RcvBuf, &4096).unwrap();
    let line = [&[b'x'; 900][..], b"\n"].concat();
    let start = Instant::now();
    for said in 0.. {
        ada.say(&line);
        let heard = bob.expect("\r\n");
        if heard.contains("-- Slow didn't listen, and is out.") {
            assert!(said > 100, "after {said} lines already");
            break;
        }
        assert!(said < 20_000, "it's never dropped");
        assert!(start.elapsed() < PATIENCE, "too slow: {said}");
    }
    ada.expect("-- Slow didn't listen, and is out.\r\n");
    // One is closed, and the other two are here.
    assert_eq!(house.waits().len(), 2);
}

#[test]
fn one_who_has_much_to_read_is_heard_when_it_has_read_that() {
    let house = House::open(None);
    let mut slow = house.member("Slow");
    setsockopt(&slow.socket, sockopt::RcvBuf, &4096).unwrap();
    // It is told more than the kernel takes, and less than it would be dropped for.
    let is_full = || {
        let text = "x".repeat(900);
        house.ask(move |event_loop, chat| {
            chat.say(event_loop, &text);
            let token = chat.rows(event_loop)[0].token;
            event_loop.queued(token) > 70 * 1024
        })
    };
    while !is_full() {}
    slow.say(b"/who\n");
    // It has been looked at when a later visitor has.
    let _later = house.member("Later");
    slow.expect("Here now: Slow");
}

#[test]
fn one_who_pours_in_text_is_slowed_down_and_loses_nothing() {
    let house = House::open(None);
    let (mut ada, mut bob) = (house.member("Ada"), house.member("Bob"));
    let start = Instant::now();
    for number in 0..200 {
        ada.say(format!("line {number}\n").as_bytes());
    }
    for number in 0..200 {
        bob.expect(&format!("Ada: line {number}\r\n"));
    }
    assert!(start.elapsed() >= Duration::from_secs(1), "in {:?}", start.elapsed());
}

/// A Synch (RFC 854). Clients don't agree about which of its bytes is the urgent one.
#[rstest]
#[case::as_inetutils_sends_it(b"\xff\xf4\xff\xfd\x06", b"\xff", b"\xf2")]
#[case::its_mark(b"\xff\xf4\xff", b"\xf2", b"")]
fn urgent_data_takes_no_letter_away(
    #[case] before: &[u8],
    #[case] urgent: &[u8],
    #[case] behind: &[u8],
) {
    let house = House::open(None);
    let (mut ada, mut bob) = (house.member("Ada"), house.member("Bob"));
    ada.say(before);
    send(ada.socket.as_raw_fd(), urgent, MsgFlags::MSG_OOB).unwrap();
    ada.say(behind);
    ada.say(b"Hello\n");
    assert_eq!(bob.expect("\r\n"), "Ada: Hello\r\n");
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Reset,
    Close,
    HalfClose,
}

#[rstest]
#[case::reset(Way::Reset)]
#[case::close(Way::Close)]
#[case::half_close(Way::HalfClose)]
fn there_are_no_ghosts(#[case] way: Way) {
    let house = House::open(Some("key"));
    let stages: [&[u8]; 5] = [b"", b"Bob", b"Bob\r\n", b"Bob\nkey\n", b"Bob\nkey\nfoo\xff\xfa"];
    let mut ada = Visitor::at(house.address);
    ada.say(b"Ada\nkey\n");
    ada.expect("Here now: Ada.\r\n");
    for stage in stages {
        let mut bob = Visitor::at(house.address);
        bob.say(stage);
        if stage.len() > 6 {
            ada.expect("-- Bob is here.\r\n");
        }
        match way {
            Way::Reset => setsockopt(
                &bob.socket,
                sockopt::Linger,
                &nix::libc::linger { l_onoff: 1, l_linger: 0 },
            )
            .unwrap(),
            Way::Close => {}
            Way::HalfClose => bob.socket.shutdown(Shutdown::Write).unwrap(),
        }
        if matches!(way, Way::HalfClose) {
            bob.rest();
        } else {
            drop(bob);
        }
        if stage.len() > 6 {
            assert_eq!(ada.expect("\r\n"), "-- Bob has left.\r\n");
        }
    }
    ada.say(b"/who\n");
    assert_eq!(ada.expect("\r\n"), "-- Here now: Ada.\r\n");
    let deadline = Instant::now() + PATIENCE;
    while house.waits() != ["a line"] {
        assert!(Instant::now() < deadline, "{:?}", house.waits());
    }
}

#[test]
fn all_are_told_when_it_closes() {
    let house = House::open(None);
    let (ada, mut bob) = (house.member("Ada"), house.member("Bob"));
    let mut door = Visitor::at(house.address);
    door.expect("name? ");
    let address = house.address;
    // She has knocked, and wasn't let in yet.
    let eve = house.ask(move |event_loop, chat| {
        let eve = Visitor::at(address);
        chat.stop(event_loop, Box::new(|_| {}));
        eve
    });
    bob.say(b"too late\n");
    for visitor in [ada, bob, door, eve] {
        let said = visitor.rest();
        assert!(said.ends_with("-- The room is closed. Goodbye.\r\n"), "{said}");
        assert!(!said.contains("has left"), "{said}");
    }
    assert!(TcpStream::connect(house.address).is_err());
}

#[test]
fn a_thousand_and_no_more() {
    ch07_callbacks::program::raise_limit();
    let house = House::open(None);
    let mut all: Vec<Visitor> = (0..1000).map(|_| Visitor::at(house.address)).collect();
    for (number, visitor) in all.iter_mut().enumerate() {
        visitor.say(format!("n{number}\n").as_bytes());
    }
    for visitor in &mut all {
        visitor.expect("Here now: ");
    }
    let one_more = Visitor::at(house.address);
    assert_eq!(one_more.rest(), "The room is full. Come back later.\r\n");
    all[7].say(b"Hello\n");
    for (number, visitor) in all.iter_mut().enumerate() {
        if number != 7 {
            visitor.expect("n7: Hello\r\n");
        }
    }
}

#[test]
fn any_bytes_end_at_most_one_visit() {
    let house = House::open(Some("key"));
    let mut ada = Visitor::at(house.address);
    ada.say(b"Ada\nkey\n");
    ada.expect("Here now: Ada.\r\n");
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..50 {
        let mut stranger = TcpStream::connect(house.address).unwrap();
        if random.bool() {
            let _ = stranger.write_all(b"Eve\nkey\n");
        }
        let bytes: Vec<u8> = (0..random.usize(..20_000)).map(|_| random.u8(..)).collect();
        // It may have been hung up on already.
        let _ = stranger.write_all(&bytes);
    }
    ada.say(b"/me listens\n/who\n");
    ada.expect("Here now: ");
    let mut bob = Visitor::at(house.address);
    bob.say(b"Bob\nkey\n");
    ada.expect("-- Bob is here.\r\n");
}
