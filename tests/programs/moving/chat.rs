//! Chat: what everybody hears must be the same to the byte, wherever the chat moves.

use std::io::ErrorKind;
use std::time::Duration;

use ch12_kernel::chat::Chat;
use ch12_kernel::presence::Service;
use rstest::rstest;

use crate::house::{
    Client, House, KEY, Step, When, cuts, make_large, owned, panics, play, step, survives_anything,
};

const GREETING: &str = "What is your name? ";
const ADA: usize = 0;
const BOB: usize = 1;
const CY: usize = 2;

/// Ada has no Telnet, Bob has all of it, and Cy wants none of it.
fn steps() -> Vec<Step> {
    let long = "x".repeat(1001) + "\n";
    let burst: String = (1..=20).map(|number| format!("{number} of 20\n")).collect();
    vec![
        step(ADA, "Ada\n", &[(ADA, b"And the key to this room? ")]),
        step(ADA, "sesame\n", &[(ADA, b"Here now: Ada.\r\n")]),
        // WILL NAWS, DO SUPPRESS-GO-AHEAD; and the window, of 40 columns.
        step(
            BOB,
            b"\xff\xfb\x1f\xff\xfd\x03\xff\xfa\x1f\0\x28\0\x18\xff\xf0",
            &[(BOB, b"\xff\xfc\x03")],
        ),
        step(BOB, "Bob\r\n", &[(BOB, b"And the key to this room? ")]),
        // DO ECHO: the key isn't shown.
        step(
            BOB,
            b"\xff\xfd\x01sesame\r\0",
            &[(BOB, b"Here now: Ada, Bob.\r\n"), (ADA, b"Bob is here.\r\n")],
        ),
        step(BOB, "\u{672c} hello\r\n", &[(ADA, "Bob: \u{672c} hello\r\n".as_bytes())]),
        step(BOB, b"\xff\xfe\x01again\r\0", &[(ADA, b"Bob: again\r\n")]),
        step(
            ADA,
            "words that are too many for a window of forty columns\n",
            &[(BOB, b"columns\r\n")],
        ),
        // 255 columns: the byte is said twice. So is that which is no letter.
        step(
            BOB,
            b"\xff\xfa\x1f\0\xff\xff\0\x18\xff\xf0caf\xc3\xa9 \xff\xff\r\n",
            &[(BOB, b"wasn't said.\r\n")],
        ),
        step(
            ADA,
            "words that are not too many for a window of many columns\n",
            &[(BOB, b"columns\r\n")],
        ),
        step(BOB, b"half a line\xff\xf4", &[(BOB, b"Ctrl-C once more leaves.\r\n")]),
        // ARE-YOU-THERE.
        step(BOB, b"\xff\xf6", &[(BOB, b"[yes]\r\n")]),
        // A subnegotiation that was never ended, in front of DO TIMING-MARK.
        step(BOB, b"\xff\xfa\x18\0xterm\xff\xfd\x06", &[(BOB, b"\xff\xfc\x06")]),
        step(ADA, burst, &[(BOB, b"Ada: 20 of 20\r\n")]),
        step(CY, "?\n", &[(CY, GREETING.as_bytes())]),
        // It shows that it speaks Telnet, and then wants none of it.
        step(CY, b"Ada\n", &[(CY, b"That name is taken."), (CY, GREETING.as_bytes())]),
        step(CY, b"\xff\xf1", &[(CY, b"\xff\xfd\0\xff\xfd\x1f")]),
        step(CY, "Cy\r\n", &[(CY, b"And the key to this room? ")]),
        step(CY, "wrong\r\n", &[(CY, b"And the key to this room? ")]),
        // WONT BINARY, WONT NAWS, DONT ECHO.
        step(
            CY,
            b"\xff\xfc\0\xff\xfc\x1f\xff\xfe\x01sesame\r\n",
            &[(CY, b"Here now: Ada, Bob, Cy.\r\n"), (ADA, b"Cy is here.\r\n")],
        ),
        step(ADA, long, &[(ADA, b"wasn't said.\r\n")]),
        step(
            BOB,
            "/name Robert\r\n/who\r\n",
            &[(BOB, b"Here now: Ada, Robert, Cy.\r\n"), (CY, b"Bob is Robert now.\r\n")],
        ),
        step(CY, "/quit\r\n", &[(CY, b"Goodbye.\r\n"), (BOB, b"Cy has left.\r\n")]),
        step(BOB, b"\x03\x03", &[(BOB, b"Goodbye.\r\n"), (ADA, b"Robert has left.\r\n")]),
        step(ADA, "alone\n/quit\n", &[(ADA, b"Goodbye.\r\n")]),
    ]
}

fn plays(when: When) -> Vec<String> {
    play::<Chat>(&tempfile::tempdir().unwrap(), GREETING, &steps(), when)
}

/// In parts, which can be played side by side.
#[rstest]
fn wherever_it_moves_everybody_hears_the_same(#[values(0, 1, 2, 3)] part: usize) {
    let usual = plays(When::Never);
    for cut in cuts(&steps()).into_iter().filter(|cut| cut % 4 == part) {
        assert_eq!(plays(When::Behind(cut)), usual, "{cut}");
    }
}

#[test]
fn if_it_moves_at_each_byte_too() {
    assert_eq!(plays(When::Always), plays(When::Never));
}

#[test]
fn if_it_never_can_it_goes_on_as_before() {
    assert_eq!(plays(When::NeverCan), plays(When::Never));
}

/// A chat with somebody in each state that there is.
fn full() -> (tempfile::TempDir, House<Chat>, Vec<Client>) {
    let folder = tempfile::tempdir().unwrap();
    let (mut house, address) = House::<Chat>::open(&folder);
    let mut clients: Vec<Client> = (0..6).map(|_| Client::at(address)).collect();
    for client in &mut clients {
        client.hears(&mut house, GREETING);
    }
    let key = format!("\n{KEY}\n");
    let said: [&[u8]; 6] = [
        b"Ada",
        b"Bob",
        b"Cy\r\n\xff\xfd\x01\xff",
        b"\xff\xfb\x1f\xff\xfa\x1f\0\x28\0\x18\xff\xf0Dot",
        b"\xff\xfb",
        b"Eve",
    ];
    for (client, said) in clients.iter_mut().zip(said) {
        client.send(said);
    }
    for who in [0, 1, 3] {
        clients[who].send(key.as_bytes());
        clients[who].hears(&mut house, "Here now: ");
    }
    clients[2].hears(&mut house, "And the key");
    clients[5].send(b"\xff\xfa\x18abcdefgh");
    clients[0].send(b"half a ");
    // So many that it takes breath, with more behind.
    clients[1].send("Bob's\n".repeat(30).as_bytes());
    clients[0].hears(&mut house, "Bob: Bob's");
    (folder, house, clients)
}

#[test]
fn an_altered_state_is_refused_or_works() {
    let (folder, mut house, _clients) = full();
    let state = house.gather();
    survives_anything::<Chat>(&folder, &state, GREETING);
}

/// Who takes breath goes on; and what is half said is said.
#[test]
fn nobody_is_forgotten() {
    let (_folder, house, mut clients) = full();
    let mut house = house.moves().moves();
    clients[0].send(b"line\n");
    clients[3].hears(&mut house, "Ada: half a line\r\n");
    house.turn_until("all of it", |_| {
        clients[0].listen();
        let heard = String::from_utf8_lossy(&clients[0].heard).matches("Bob: Bob's\r\n").count();
        assert!(heard <= 30, "{heard}");
        (heard == 30).then_some(())
    });
    clients[4].send(b"\x1f\xff\xfa\x1f\0\x28\0\x18\xff\xf0Fay\n");
    clients[4].hears(&mut house, "And the key");
}

/// What is queued for one who doesn't read isn't lost, and comes once.
#[test]
fn what_is_queued_arrives() {
    let (_folder, mut house, mut clients) = full();
    let mut said = 0;
    house.turn_until("much is queued", |house| {
        said += 1;
        clients[0].send(format!("{said} {}\n", "x".repeat(900)).as_bytes());
        clients[3].listen();
        let state = house.server.visitors(&house.event_loop).unwrap();
        let queued = state.visitors.iter().map(|(_, visitor)| visitor.connection.output.len());
        (queued.max() > Some(50_000)).then_some(())
    });
    let mut house = house.moves();
    house.turn();
    let mut house = house.moves();
    clients[0].send(b"the end\n");
    clients[1].hears(&mut house, "Ada: the end\r\n");
    let heard = String::from_utf8_lossy(&clients[1].heard).into_owned();
    let numbers: Vec<usize> = heard
        .lines()
        .filter_map(|line| {
            line.strip_prefix("Ada: ")?.split_once(" x")?.0.split(' ').next_back()?.parse().ok()
        })
        .collect();
    assert_eq!(numbers, (1..=said).collect::<Vec<_>>());
}

/// Times go on where they were, and nobody is told of those who are here still.
#[test]
fn time_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (mut house, address) = House::<Chat>::open(&folder);
    let mut late = Client::at(address);
    late.hears(&mut house, GREETING);
    house.clock.turn(Duration::from_secs(40));
    let mut house = house.moves();
    house.clock.turn(Duration::from_secs(15));
    house.turn();
    assert!(!late.has_heard(b"took too long"));
    let mut house = house.moves();
    let mut next = Client::at(address);
    next.hears(&mut house, GREETING);
    let state = house.server.visitors(&house.event_loop).unwrap();
    let numbers: Vec<u64> = state.visitors.iter().map(|(_, visitor)| visitor.number).collect();
    assert_eq!((numbers, state.last), (vec![1, 2], 2));
    house.clock.turn(Duration::from_secs(6));
    late.hears(&mut house, "took too long");
}

/// A number that nobody counts to is one, too.
#[test]
fn no_number_is_too_large() {
    let before = panics();
    let folder = tempfile::tempdir().unwrap();
    let (mut house, address) = House::<Chat>::open(&folder);
    let [mut first, mut second] = [(); 2].map(|()| Client::at(address));
    first.hears(&mut house, GREETING);
    second.hears(&mut house, GREETING);
    let mut other = House::<Chat>::open(&folder).0;
    let state = house.server.visitors(&house.event_loop).unwrap();
    let mut state = owned(state);
    state.last = u64::MAX;
    let [(_, one), (_, two)] = state.visitors.as_mut_slice() else { panic!("two are here") };
    make_large(one);
    make_large(two);
    one.session.member.as_mut().unwrap().tries = u8::MAX;
    (two.session.lines, two.decoded) = (usize::MAX, 0);
    two.session.member.as_mut().unwrap().telnet.answers = u16::MAX;
    other.server.adopt(&mut other.event_loop, state).unwrap();
    first.send(b"\n");
    first.hears(&mut other, "Goodbye.\r\n");
    second.send(b"\xff\xfd\x06Bob\n");
    second.hears(&mut other, "And the key");
    assert_eq!(panics(), before);
}

/// Who is gone in the very turn has left, and the others hear of it: once.
#[test]
fn who_is_gone_is_waited_for() {
    let (_folder, mut house, mut clients) = full();
    let row = house.server.rows(&house.event_loop).into_iter().nth(1).expect("Bob is here");
    house.event_loop.close(row.token);
    let error = house.server.visitors(&house.event_loop).expect_err("they haven't been told");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    let mut house = house.moves();
    clients[0].hears(&mut house, "-- Bob has left.\r\n");
    clients[3].send(b"and Bob?\n");
    clients[0].hears(&mut house, "Dot: and Bob?\r\n");
    let heard = String::from_utf8_lossy(&clients[0].heard).into_owned();
    assert_eq!(heard.matches("Bob has left").count(), 1);
}
