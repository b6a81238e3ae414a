//! The whole server in a loop, and clients of all sorts.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use ch12_kernel::mail::session::{COMMAND_TIME, DATA_TIME, LONGEST_LINE, MESSAGE_TIME};
use ch12_kernel::presence::Service;
use rstest::rstest;

use crate::house::{Client, House, PATIENCE, program};
use visitors::setup::until;

const MIB: usize = 1 << 20;

#[test]
fn all_in_one_segment() {
    let house = House::open();
    let mut client = Client::call(house.address);
    client.send(
        "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\none\r\n..\r\n.\r\n\
         MAIL FROM:<e@f>\r\nRCPT TO:<bad>\r\nRCPT TO:<g@h>\r\nRCPT TO:<i@j>\r\nDATA\r\ntwo\r\n.\r\nNOOP\r\nQUIT\r\n",
    );
    client.finish_sending();
    for code in "250 250 250 354 250 250 501 250 250 354 250 250 221".split(' ') {
        client.hears(code);
    }
    client.is_hung_up_on();
    let messages = house.messages();
    let [first, second] = messages.as_slice() else { panic!("{messages:?}") };
    assert!(first.from.starts_with("From a@b ") && second.from.starts_with("From e@f "));
    assert_eq!((first.sent(), second.sent()), ("one\n.\n", "two\n"));
    assert!(
        first
            .text
            .starts_with("Return-Path: <a@b>\nReceived: from x ([127.0.0.1])\n\tby mx.example ")
    );
    assert!(first.text.contains("for <c@d>;") && !second.text.contains("for <"));
}

/// What somebody sees as the end of a message where others see the middle of it.
#[rstest]
#[case("\n.\n")]
#[case("\n.\r\n")]
#[case("\r\n.\n")]
#[case("\r.\r")]
#[case("\r\n.\r")]
#[case("\r.\r\n")]
fn nothing_is_smuggled_in(#[case] end: &str) {
    let house = House::open();
    let mut client = house.client();
    client.begins("a@b");
    client.send(format!(
        "one{end}MAIL FROM:<evil@x>\r\nRCPT TO:<c@d>\r\nDATA\r\nFrom evil\r\n.\r\nNOOP\r\n"
    ));
    client.hears("250 2.0.0 Kept");
    client.hears("250 2.0.0 OK");
    let messages = house.messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0].sent().contains("MAIL FROM:<evil@x>"));
}

/// And in the mbox neither: a line behind a bare LF is a line there.
#[test]
fn nor_is_a_line_forged_that_begins_a_message() {
    let house = House::open();
    let text = "one\n\nFrom evil@x Thu Jan  1 00:00:00 1970\nSubject: forged\n\ntwo\r\n\nFrom \n\n>From \r\n";
    house.client().sends("a@b", text);
    house.client().sends("\"From \n\"@x".replace('\n', " ").as_str(), "three\r\n");
    let messages = house.messages();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert_eq!(messages[0].sent(), text.replace("\r\n", "\n"));
    assert!(messages[1].from.starts_with("From \"From--\"@x "), "{}", messages[1].from);
}

#[rstest]
#[case::before_hello("", "")]
#[case::in_a_line("EHL", "")]
#[case::behind_hello("EHLO x\r\n", "")]
#[case::behind_mail("EHLO x\r\nMAIL FROM:<a@b>\r\n", "")]
#[case::behind_rcpt("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", "")]
#[case::in_the_data("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx", "")]
#[case::before_the_dot("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n", "")]
#[case::in_the_end("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r", "")]
#[case::behind_it("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n", "x\n")]
fn who_is_reset_disturbs_nobody(#[case] said: &str, #[case] kept: &str) {
    // So much that a message fits in once, and not twice.
    let house = House::with(|options| (options.memory, options.largest) = (150_000, 100_000));
    let filled = said.replace("DATA\r\n", &format!("DATA\r\n{}\r\n", "x".repeat(90_000)));
    for said in [said, &filled] {
        let mut client = Client::call(house.address);
        client.send(said);
        if said.ends_with(".\r\n") {
            // It may have been kept, or not: nobody can tell whom to ask.
            until("it's kept", || (!house.messages().is_empty()).then_some(()));
        }
        client.reset();
        house.comes_to_wait_for(&[]);
    }
    if !kept.is_empty() {
        assert_eq!(house.messages()[0].sent(), kept);
    }
    // What the disk still has of those who have gone takes room, too.
    let mut client = house.client();
    until("there is room", || {
        client.send("MAIL FROM:<a@b> SIZE=90000\r\nRSET\r\n");
        let reply = client.reply();
        client.hears("250 2.0.0 OK");
        reply.starts_with("250").then_some(())
    });
    client.sends("a@b", &("y".repeat(90_000) + "\r\n"));
}

#[test]
fn a_message_that_comes_slowly_holds_nobody_up() {
    let house = House::open();
    let (mut slow, mut quick) = (house.client(), house.client());
    slow.begins("slow@x");
    let line = "x".repeat(78) + "\r\n";
    let piece = line.repeat(MIB / 2 / line.len());
    for turn in 1..=20 {
        slow.send(&piece);
        quick.sends("quick@x", "quick\r\n");
        assert_eq!(house.messages().len(), turn);
    }
    slow.says(".", "250 2.0.0");
    let last = house.messages().pop().expect("it's there");
    assert_eq!(last.sent(), piece.repeat(20).replace("\r\n", "\n"));
}

#[test]
fn memory_is_for_all_together_and_given_back() {
    let house = House::with(|options| (options.memory, options.largest) = (100_000, 80_000));
    let (mut first, mut second) = (house.client(), house.client());
    let text = "x".repeat(70_000) + "\r\n";
    for _ in 0..3 {
        first.begins("a@b");
        first.send(&text);
        // When that is there, there is no room for another.
        until("there is no room", || {
            let reply = {
                second.send("MAIL FROM:<a@b> SIZE=50000\r\nRSET\r\n");
                let reply = second.reply();
                second.hears("250 2.0.0 OK");
                reply
            };
            reply.starts_with("452 4.3.1").then_some(())
        });
        second.begins("a@b");
        second.send(&text);
        second.says(".", "452 4.3.1");
        first.says(".", "250 2.0.0");
        second.sends("a@b", &text);
    }
    assert_eq!(house.messages().len(), 6);
}

#[test]
fn each_time_comes_to_an_end() {
    let house = House::open();
    let mut new = Client::call(house.address);
    let mut data = house.client();
    data.begins("a@b");
    house.comes_to_wait_for(&["a command", "the rest of a message"]);
    house.passes(DATA_TIME - Duration::from_secs(1));
    data.send("x\r\n");
    new.hears_nothing();
    // The time of the data has begun anew.
    house.ask(|_, _, _| ());
    data.hears_nothing();
    house.passes(Duration::from_secs(2));
    data.hears_nothing();
    house.passes(COMMAND_TIME - DATA_TIME);
    new.hears("421 4.4.2");
    new.is_hung_up_on();
    house.passes(DATA_TIME);
    data.hears("421 4.4.2");
    data.is_hung_up_on();
    house.works();
}

/// Who sends a byte now and then holds no memory without end.
#[test]
fn a_message_as_a_whole_comes_to_an_end_too() {
    let house = House::with(|options| (options.memory, options.largest) = (100_000, 80_000));
    let has_room = |client: &mut Client| {
        client.send("MAIL FROM:<a@b> SIZE=50000\r\nRSET\r\n");
        let reply = client.reply();
        client.hears("250 2.0.0 OK");
        reply.starts_with("250")
    };
    let (mut slow, mut other) = (house.client(), house.client());
    // Its first message takes its time, and takes none from the second.
    slow.begins("a@b");
    house.passes(DATA_TIME - Duration::from_secs(1));
    slow.says("x\r\n.", "250 2.0.0");
    slow.begins("a@b");
    slow.send("x".repeat(70_000));
    until("there is no room", || (!has_room(&mut other)).then_some(()));
    let step = MESSAGE_TIME / 5;
    assert!(step < DATA_TIME);
    for _ in 0..4 {
        house.passes(step);
        slow.hears_nothing();
        slow.send("x");
        // What it has sent has been heard of, and others have their own times.
        assert!(!has_room(&mut other));
        assert!(!has_room(&mut other));
    }
    house.passes(step - Duration::from_secs(1));
    slow.send("x");
    slow.hears_nothing();
    house.passes(Duration::from_secs(1));
    slow.hears("421 4.4.2");
    slow.is_hung_up_on();
    assert!(has_room(&mut other));
}

#[test]
fn a_line_without_an_end_costs_nothing() {
    let house = House::open();
    let mut client = house.client();
    for _ in 0..50 {
        client.send(vec![b'x'; 100_000]);
    }
    client.says("", "500 5.5.2 That line");
    client.says(&"x".repeat(LONGEST_LINE), "500 5.5.2 Unknown");
    client.sends("a@b", "x\r\n");
}

#[test]
fn so_many_and_no_more() {
    let house = House::with(|options| options.most = 2);
    let inside = [house.client(), house.client()];
    let mut late = TcpStream::connect(house.address).unwrap();
    late.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = String::new();
    Read::read_to_string(&mut late, &mut said).unwrap();
    assert!(said.starts_with("421 ") && said.ends_with("\r\n"), "{said:?}");
    drop(late);
    for mut client in inside {
        client.sends("a@b", "x\r\n");
        client.says("QUIT", "221");
    }
    until("there is room", || house.waits_for().is_empty().then_some(()));
    house.works();
}

/// There isn't even time to tell so many that there is no room.
#[test]
fn a_crowd_that_there_is_no_room_for() {
    let house = House::with(|options| options.most = 2);
    let _inside = [house.client(), house.client()];
    let hears = || {
        let mut stream = TcpStream::connect(house.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut said = Vec::new();
        // A reset, or an end; either says it.
        let _ = Read::read_to_end(&mut stream, &mut said);
        (stream, String::from_utf8(said).unwrap())
    };
    let told = [hears(), hears()];
    assert!(told.iter().all(|(_, said)| said.starts_with("421 ")), "{told:?}");
    assert_eq!(hears().1, "");
}

/// Whoever has said QUIT has a moment to hang up.
#[test]
fn who_stays_is_shown_the_door() {
    let house = House::open();
    let mut client = house.client();
    client.says("QUIT", "221");
    house.comes_to_wait_for(&["it to hang up"]);
    house.passes(Duration::from_secs(1));
    house.ask(|_, _, _| ());
    house.comes_to_wait_for(&["it to hang up"]);
    house.passes(Duration::from_secs(2));
    house.comes_to_wait_for(&[]);
}

/// What the documentation promises, and what a client is told of it.
#[test]
fn the_usual_limits() {
    let mut limits = (0, 0, 0);
    let house = House::with(|options| {
        limits = (options.largest, options.memory, options.most);
    });
    assert_eq!(limits, (16 * MIB, 64 * MIB, 256));
    let reply = Client::call(house.address).says("EHLO x", "250-");
    assert!(reply.contains("\n250-SIZE 16777216\n"), "{reply}");
}

/// Ten seconds for those who are in the middle of something, whether they read what they are told or not.
#[test]
fn stopping_it_waits_for_nobody_for_long() {
    let house = House::open();
    let (mut slow, mut deaf) = (house.client(), house.client());
    slow.begins("a@b");
    deaf.says("MAIL FROM:<a@b>", "250");
    deaf.pours(&b"HELP\r\n".repeat(1000));
    let stopped = house.stop();
    house.passes(Duration::from_secs(9));
    house.ask(|_, _, _| ());
    assert_eq!(house.waits_for().len(), 2);
    house.passes(Duration::from_secs(2));
    slow.hears("421 4.4.2");
    slow.is_hung_up_on();
    drop(slow);
    assert!(stopped.try_recv().is_err(), "one is here that reads nothing");
    // A moment more, to hang up.
    house.passes(Duration::from_secs(3));
    stopped.recv_timeout(PATIENCE).expect("it stops");
}

#[test]
fn stopping_it_finishes_what_is_under_way() {
    let house = House::open();
    let (mut idle, mut busy, mut at_it) = (house.client(), house.client(), house.client());
    busy.says("MAIL FROM:<a@b>", "250");
    at_it.begins("c@d");
    let stopped = house.stop();
    idle.hears("421 4.3.2");
    idle.is_hung_up_on();
    TcpStream::connect(house.address).expect_err("nobody is let in");
    at_it.send("x\r\n");
    at_it.says(".", "250 2.0.0");
    at_it.hears("421 4.3.2");
    at_it.is_hung_up_on();
    busy.says("RCPT TO:<c@d>", "250");
    busy.says("DATA", "354");
    assert!(stopped.try_recv().is_err(), "somebody is here");
    busy.says("y\r\n.", "250 2.0.0");
    busy.hears("421 4.3.2");
    busy.is_hung_up_on();
    drop((idle, busy, at_it));
    stopped.recv_timeout(PATIENCE).expect("it stops");
    assert_eq!(house.messages().len(), 2);
}

/// They have been told by the kernel that they're in.
#[test]
fn stopping_it_greets_who_is_at_the_door() {
    let house = House::open();
    let address = house.address;
    let at_the_door = house.ask(move |event_loop, mail, _| {
        // More than are let in in one turn.
        let clients: Vec<_> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
        mail.stop(event_loop, Box::new(|_| {}));
        clients
    });
    for mut client in at_the_door {
        let mut heard = String::new();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.read_to_string(&mut heard).unwrap();
        let lines: Vec<&str> = heard.lines().map(|line| &line[..4]).collect();
        assert_eq!(lines, ["220 ", "421 "], "{heard}");
    }
    TcpStream::connect(address).expect_err("nobody is let in");
}

#[test]
fn stopping_it_twice_ends_at_once() {
    let house = House::open();
    let mut at_it = house.client();
    at_it.begins("c@d");
    let stopped = house.stop();
    assert!(stopped.try_recv().is_err(), "somebody is here");
    house.stop().recv_timeout(PATIENCE).expect("it stops");
    at_it.is_hung_up_on();
    assert!(house.messages().is_empty());
}

/// Whoever has said QUIT may leave as it likes: smtp-source doesn't even hear the answer.
#[test]
fn who_has_said_goodbye_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let program = program(&folder.path().join("mbox"));
    let address = program.listening().unwrap();
    let mut polite = Client::hello(address);
    polite.says("QUIT", "221 2.0.0");
    polite.reset();
    program.says(|line| line == "mail 2: gone").expect("it's gone");
    let rude = Client::hello(address);
    rude.reset();
    program.says(|line| line.starts_with("mail 3: lost: ")).expect("it's lost");
}

/// Nothing that a client says ends a line of the log, or looks like something else there.
#[test]
fn nobody_writes_into_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let program = program(&folder.path().join("mbox"));
    let address = program.listening().unwrap();
    let mut client = Client::call(address);
    let greeting = client.says("EHLO \u{1b}[31mx", "250-");
    assert!(greeting.contains(" greets ?[31mx"), "{greeting}");
    let greeting = client.says("EHLO x\rmail 9: kept", "250-");
    assert!(greeting.contains(" greets x?mail?9:?kept"), "{greeting}");
    client.says("\u{1b}[31mred\u{7}", "500");
    client.says("HELO x", "250");
    client.says("MAIL FROM:<\"a\u{1b}\"@b>", "501");
    client.says("MAIL FROM:<\"a b\"@b>", "250");
    client.says("RCPT TO:<c@d>", "250");
    client.says("DATA", "354");
    client.says("\u{1b}[31mx\r\n.", "250");
    program.says(|line| line == "mail 2: kept 8 bytes from <\"a b\"@b> for 1").expect("it's kept");
    for line in program.stderr() {
        assert!(line.bytes().all(|it| (b' '..0x7f).contains(&it)), "{line:?}");
    }
}
