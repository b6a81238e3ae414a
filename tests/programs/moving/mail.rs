//! Mail: every reply and every message must be the same, wherever the server moves, and each message
//! is in the mbox once.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use ch12_kernel::mail::Mail;
use ch12_kernel::mail::server::handover::HandedOver;
use ch12_kernel::mail::session::{COMMAND_TIME, DATA_TIME, MESSAGE_TIME};
use nix::sys::socket::{setsockopt, sockopt};
use rstest::rstest;
use tempfile::TempDir;

use crate::house::{
    Client, House, Moves, Step, When, cuts, make_large, owned, panics, play, step,
    survives_anything,
};

const GREETING: &str = "220 mx.example";

fn steps() -> Vec<Step> {
    let long = "x".repeat(600);
    let body = "x".repeat(5000);
    vec![
        step(
            0,
            "EHLO zero\r\nMAIL FROM:<zero@x>\r\nRCPT TO:<a@b>\r\nDATA\r\nbegun here, ",
            &[(0, b"354 ")],
        ),
        step(
            1,
            format!(
                "HELO one\r\n{long}\r\nNOPE\r\nMAIL FROM:<a@b> SIZE=100 BODY=8BITMIME\r\n\
                 RCPT TO:<c@d>\r\nRCPT TO:<\"q q\"@d>\r\nRCPT TO:<@r.example:e@f>\r\nDATA\r\n\
                 one\r\n..\r\n...a\r\nFrom me\r\nb\r\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<g@h>\r\n\
                 DATA\r\n\r\n{body}\r.\r\n.\n\r\n.\r\nMAIL FROM:<never@x>\r\nRCPT TO:<i@j>\r\n\
                 RSET\r\nQUIT\r\nNOOP\r\n"
            ),
            &[(1, b"221 2.0.0 Goodbye\r\n")],
        ),
        step(0, "and ended there\r\n.\r\nQUIT\r\n", &[(0, b"250 2.0.0 Kept\r\n221 ")]),
    ]
}

/// All messages, without the times.
fn kept(mbox: &Path) -> Vec<String> {
    let text = fs::read_to_string(mbox).unwrap();
    let is_time = |line: &&str| line.starts_with('\t') && line.ends_with(" +0000");
    let without_time = |line: &str| match line.split(' ').collect::<Vec<_>>().as_slice() {
        ["From", sender, _, ..] => format!("From {sender}"),
        _ => line.to_owned(),
    };
    text.lines().filter(|line| !is_time(line)).map(without_time).collect()
}

fn plays(when: When) -> (Vec<String>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let heard = play::<Mail>(&folder, GREETING, &steps(), when);
    assert!(!folder.path().join("mbox.lock").exists());
    (heard, kept(&folder.path().join("mbox")))
}

/// In parts, which can be played side by side.
#[rstest]
fn wherever_it_moves_replies_and_messages_are_the_same(#[values(0, 1, 2, 3)] part: usize) {
    let usual = plays(When::Never);
    assert_eq!(usual.1.iter().filter(|line| line.starts_with("From ")).count(), 3, "{usual:?}");
    for cut in cuts(&steps()).into_iter().filter(|cut| cut % 4 == part) {
        assert_eq!(plays(When::Behind(cut)), usual, "{cut}");
    }
}

fn short() -> Vec<Step> {
    let text = "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\none\r\n..\r\n.\r\n\
                MAIL FROM:<e@f>\r\nRCPT TO:<g@h>\r\nDATA\r\ntwo\r\n.\r\nQUIT\r\n";
    vec![step(0, text, &[(0, b"221 ")])]
}

#[rstest]
fn at_each_byte_too(#[values(When::Always, When::NeverCan)] when: When) {
    let [usual, moved] = [When::Never, when].map(|when| {
        let folder = tempfile::tempdir().unwrap();
        let heard = play::<Mail>(&folder, GREETING, &short(), when);
        (heard, kept(&folder.path().join("mbox")))
    });
    assert_eq!(moved, usual);
}

fn open() -> (TempDir, House<Mail>, impl Fn(&mut House<Mail>) -> Client) {
    let folder = tempfile::tempdir().unwrap();
    let (house, address) = House::<Mail>::open(&folder);
    (folder, house, move |house| {
        let mut client = Client::at(address);
        client.hears(house, GREETING);
        client.send(b"EHLO x\r\n");
        client.hears(house, "ENHANCEDSTATUSCODES\r\n");
        client
    })
}

fn message(from: &str) -> String {
    format!("MAIL FROM:<{from}@x>\r\nRCPT TO:<a@b>\r\nDATA\r\nfrom {from}\r\n.\r\n")
}

/// What is with the disk can't be taken back. What isn't goes with the rest, also that of one who
/// hasn't waited; and each is kept once.
#[rstest]
fn the_disk_is_waited_for(#[values(true, false)] can: bool) {
    let (folder, mut house, call) = open();
    let [mut first, mut second, mut third] = [(); 3].map(|()| call(&mut house));
    let (mbox, lock) = (folder.path().join("mbox"), folder.path().join("mbox.lock"));
    // Some other program's.
    fs::write(&lock, "1\n").unwrap();
    first.send(message("first").as_bytes());
    first.hears(&mut house, "354 ");
    house.turn();
    house.server.hold(&mut house.event_loop);
    let error = house.server.gather(&house.event_loop).expect_err("the disk has one");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    for (client, name) in [(&mut second, "second"), (&mut third, "third")] {
        client.send(message(name).as_bytes());
        client.hears(&mut house, "354 ");
        house.turn();
    }
    let now = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(third.socket(), sockopt::Linger, &now).unwrap();
    drop(third);
    let mut fourth = call(&mut house);
    assert!(fs::read(&mbox).unwrap().is_empty());
    fs::remove_file(&lock).unwrap();
    let (bytes, _) = house.gather();
    assert_eq!(kept(&mbox).iter().filter(|line| line.starts_with("From ")).count(), 1);
    for name in ["from second", "from third"] {
        assert!(bytes.windows(name.len()).any(|it| it == name.as_bytes()), "{name}");
    }
    // Whoever else has it meanwhile: nobody removes that, nor cuts anything off.
    fs::write(&lock, "1\n").unwrap();
    let length = fs::metadata(&mbox).unwrap().len();
    let mut house = match can {
        true => house.moves(),
        false => {
            house.stays();
            house
        }
    };
    assert_eq!(
        (fs::read(&lock).unwrap(), fs::metadata(&mbox).unwrap().len()),
        (b"1\n".to_vec(), length)
    );
    fs::remove_file(&lock).unwrap();
    first.hears(&mut house, "250 2.0.0 Kept\r\n");
    second.hears(&mut house, "250 2.0.0 Kept\r\n");
    fourth.send(message("fourth").as_bytes());
    fourth.hears(&mut house, "250 2.0.0 Kept\r\n");
    let kept = kept(&mbox);
    for name in ["first", "second", "third", "fourth"] {
        let line = format!("from {name}");
        assert_eq!(kept.iter().filter(|it| **it == line).count(), 1, "{name}: {kept:?}");
    }
}

/// Messages that are held back aren't for ever, if nobody comes for them.
#[test]
fn who_holds_goes_on() {
    let (folder, mut house, call) = open();
    let mut client = call(&mut house);
    house.server.hold(&mut house.event_loop);
    client.send(message("held").as_bytes());
    client.hears(&mut house, "250 2.0.0 Kept\r\n");
    assert!(kept(&folder.path().join("mbox")).contains(&"from held".to_owned()));
}

/// Of two servers that have it, one writes it: the one that goes on.
#[rstest]
fn what_is_held_back_is_written_once(#[values(false, true)] moves: bool) {
    let (folder, mut house, call) = open();
    let mut client = call(&mut house);
    house.server.hold(&mut house.event_loop);
    client.send(message("held").as_bytes());
    client.hears(&mut house, "354 ");
    house.turn_until("it's whole", |house| {
        let state = house.server.visitors(&house.event_loop).unwrap();
        state
            .lines
            .visitors
            .iter()
            .any(|(_, visitor)| visitor.session.message.is_some())
            .then_some(())
    });
    match moves {
        true => house = house.moves(),
        false => house.stays(),
    }
    client.hears(&mut house, "250 2.0.0 Kept\r\n");
    let kept = kept(&folder.path().join("mbox"));
    assert_eq!(kept.iter().filter(|line| *line == "from held").count(), 1, "{kept:?}");
}

/// Sixteen MiB of a message, and what they take of the memory of all.
#[test]
fn a_large_message_moves_and_its_memory_is_counted() {
    let (folder, mut house, call) = open();
    let mut clients: Vec<Client> = (0..5).map(|_| call(&mut house)).collect();
    let line = "x".repeat(78) + "\r\n";
    let part = line.repeat(8 * 1024);
    let (last, others) = clients.split_last_mut().unwrap();
    for client in &mut *others {
        client.send(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n");
        client.hears(&mut house, "354 ");
        for _ in 0..25 {
            pours(client, &mut house, part.as_bytes());
        }
        house = house.moves();
    }
    // Four have nearly all of it.
    last.send(b"MAIL FROM:<a@b> SIZE=16000000\r\n");
    last.hears(&mut house, "452 4.3.1");
    // One is held back, and then the disk has it.
    let lock = folder.path().join("mbox.lock");
    fs::write(&lock, "1\n").unwrap();
    house.server.hold(&mut house.event_loop);
    others[0].send(b".\r\n");
    house.turn();
    house = house.moves();
    last.send(b"MAIL FROM:<a@b> SIZE=16000000\r\n");
    last.hears(&mut house, "452 4.3.1");
    fs::remove_file(&lock).unwrap();
    others[0].hears(&mut house, "250 2.0.0 Kept\r\n");
    for client in &mut others[1..] {
        client.send(b".\r\n");
        client.hears(&mut house, "250 2.0.0 Kept\r\n");
        house = house.moves();
    }
    last.send(b"MAIL FROM:<a@b> SIZE=16000000\r\n");
    last.hears(&mut house, "250 2.1.0");
    let mbox = fs::metadata(folder.path().join("mbox")).unwrap().len();
    let text = 4 * 25 * 8 * 1024 * 79;
    assert!((text..text + 2000).contains(&mbox), "{mbox}");
}

fn pours(client: &mut Client, house: &mut House<Mail>, bytes: &[u8]) {
    let mut sent = 0;
    house.turn_until("it's all sent", |_| {
        sent += client.send_some(&bytes[sent..]);
        (sent == bytes.len()).then_some(())
    });
}

/// With replies that it doesn't read, a client isn't read; afterwards it is, and gets each once.
#[test]
fn one_who_doesnt_read_loses_nothing() {
    let (_folder, mut house, call) = open();
    let mut client = call(&mut house);
    setsockopt(client.socket(), sockopt::RcvBuf, &(32 * 1024)).unwrap();
    let lines: String = (0..1000).map(|number| format!("HELO n{number}\r\n")).collect();
    let (mut sent, mut asked) = (0, 0);
    house.turn_until("it isn't read any more", |house| {
        if sent < 400 * lines.len() {
            let part = &lines.as_bytes()[sent % lines.len()..];
            sent += client.send_some(part);
        }
        let state = house.server.visitors(&house.event_loop).unwrap();
        let waits = |connection: &ch07_callbacks::connection::Parts| {
            connection.output.len() >= 64 * 1024 && connection.input.len() > 1000
        };
        asked += 1;
        state.lines.visitors.iter().any(|(_, visitor)| waits(&visitor.connection)).then_some(())
    });
    let mut house = house.moves().moves();
    setsockopt(client.socket(), sockopt::RcvBuf, &(1 << 20)).unwrap();
    // The rest of the last line.
    let rest = lines.as_bytes()[sent % lines.len()..].split_inclusive(|it| *it == b'\n').next();
    let rest = [rest.unwrap_or_default(), b"QUIT\r\n"].concat();
    let mut to_send = rest.as_slice();
    house.turn_until("the last reply", |_| {
        to_send = &to_send[client.send_some(to_send)..];
        client.has_heard(b"221 2.0.0 Goodbye\r\n").then_some(())
    });
    let heard = String::from_utf8_lossy(&client.heard).into_owned();
    let numbers: Vec<usize> = heard
        .lines()
        .filter_map(|line| line.strip_prefix("250 mx.example greets n")?.parse().ok())
        .collect();
    let wrong = numbers.iter().enumerate().find(|(at, number)| at % 1000 != **number);
    assert_eq!(wrong, None, "of {}", numbers.len());
    assert!(numbers.len() > 3000, "{}", numbers.len());
}

/// A client has no more time, and no less, because the server has moved.
#[test]
fn time_goes_on() {
    let (_folder, mut house, call) = open();
    let (mut idle, mut slow) = (call(&mut house), call(&mut house));
    slow.send(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n");
    slow.hears(&mut house, "354 ");
    let second = Duration::from_secs(1);
    let (mut passed, step) = (Duration::ZERO, DATA_TIME - 10 * second);
    let mut is_idle = true;
    while passed + step < MESSAGE_TIME {
        slow.send(b"x");
        for _ in 0..3 {
            house.turn();
        }
        house.clock.turn(step);
        passed += step;
        house = house.moves();
        if is_idle && passed > COMMAND_TIME {
            idle.hears(&mut house, "421 4.4.2");
            is_idle = false;
        }
        for _ in 0..3 {
            house.turn();
        }
        assert!(!idle.has_heard(b"421") && !slow.has_heard(b"421"), "after {passed:?}");
    }
    assert!(!is_idle);
    slow.send(b"x");
    house.turn();
    house.clock.turn(MESSAGE_TIME - passed);
    slow.hears(&mut house, "421 4.4.2");
}

#[test]
fn an_altered_state_is_refused_or_works() {
    let (folder, mut house, call) = open();
    let mut clients: Vec<Client> = (0..5).map(|_| call(&mut house)).collect();
    house.server.hold(&mut house.event_loop);
    let held = message("held");
    let said = [
        ("MAIL FROM:<\"q q\"@b>\r\nRCPT TO:<c@d>\r\n", "2.1.5"),
        ("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nDATA\r\nhalf\r", "354"),
        (held.as_str(), "354"),
        ("QUIT\r\n", "221"),
        ("NOPE\r\nHEL", "500"),
    ];
    for (client, (said, heard)) in clients.iter_mut().zip(said) {
        client.send(said.as_bytes());
        client.hears(&mut house, heard);
    }
    let state = house.gather();
    survives_anything::<Mail>(&folder, &state, GREETING);
}

/// A number that nobody counts to is one, too.
#[test]
fn no_number_is_too_large() {
    let before = panics();
    let (folder, mut house, call) = open();
    let mut client = call(&mut house);
    let (mut other, address) = House::<Mail>::open(&folder);
    let state = house.server.visitors(&house.event_loop).unwrap();
    let mut lines = owned(state.lines);
    lines.last = u64::MAX;
    for (_, visitor) in &mut lines.visitors {
        make_large(visitor);
        visitor.session.session.errors = u32::MAX;
    }
    let state = HandedOver { lines, left_behind: Vec::new() };
    other.server.adopt(&mut other.event_loop, state).unwrap();
    client.send(b"NOPE\r\n");
    client.hears(&mut other, "421 4.7.0 Too many errors\r\n");
    Client::at(address).hears(&mut other, GREETING);
    assert_eq!(panics(), before);
}

/// Who reads slowly before the server moves isn't taken for one who doesn't read.
#[test]
fn what_it_has_read_counts() {
    let (_folder, mut house, call) = open();
    let mut client = call(&mut house);
    setsockopt(client.socket(), sockopt::RcvBuf, &(32 * 1024)).unwrap();
    let help = b"HELP\r\n".repeat(100);
    // Behind a line's end it's sent from the first again.
    let mut at = 0;
    house.turn_until("it isn't read any more", |house| {
        at = (at + client.send_some(&help[at..])) % help.len();
        (outgoing(house).0 >= 64 * 1024).then_some(())
    });
    house.turn_until("it has read some", |house| {
        client.listen_to(1000);
        let (left, queued) = outgoing(house);
        (left < queued).then_some(())
    });
    let mut house = house.moves();
    house.clock.turn(COMMAND_TIME);
    for _ in 0..3 {
        house.turn();
    }
    client.hears(&mut house, "214 ");
    house.turn_until("all the rest", |house| {
        client.listen();
        (outgoing(house).0 == 0).then_some(())
    });
    let rest = help[at..].split_inclusive(|it| *it == b'\n').next().unwrap_or_default();
    client.send(&[rest, b"QUIT\r\n"].concat());
    client.hears(&mut house, "221 ");
}

/// How much is queued for the only client; and how much that was when it began to be waited for.
fn outgoing(house: &House<Mail>) -> (usize, usize) {
    let state = house.server.visitors(&house.event_loop).unwrap();
    let (_, visitor) = state.lines.visitors.first().expect("it's here");
    (visitor.connection.output.len(), visitor.queued)
}
