//! So many connections, and no more.

use rstest::rstest;

use crate::house::{End, House, MIB, Visitor};
use visitors::setup::until;

const CAP: usize = 10;

fn full_house() -> (House, Vec<Visitor>) {
    let house = House::open(&["--connections", "10", "--workers", "1"]);
    let inside: Vec<Visitor> = (0..CAP).map(|_| house.visitor()).map(is_served).collect();
    (house, inside)
}

#[track_caller]
fn is_served(mut visitor: Visitor) -> Visitor {
    visitor.get("/hello", "");
    assert_eq!(visitor.answer().text(), "Hello, World!");
    visitor
}

/// It's told when to come again, and that's the end.
#[track_caller]
fn is_turned_away(house: &House) {
    let mut late = house.visitor();
    late.get("/hello", "");
    let answer = late.answer();
    assert_eq!(answer.status, 503);
    let seconds = answer.field("Retry-After").expect("it says when");
    seconds.parse::<u32>().expect("it's a number of seconds");
    assert_eq!(answer.field("Connection"), Some("close"));
    late.is_hung_up_on();
}

#[test]
fn the_eleventh_is_told_to_come_again() {
    let (house, inside) = full_house();
    is_turned_away(&house);
    is_turned_away(&house);
    // Those who are in are none the worse for it.
    let mut inside: Vec<Visitor> = inside.into_iter().map(is_served).collect();
    drop(inside.pop());
    until("there is room", || {
        let mut visitor = house.visitor();
        visitor.get("/hello", "");
        (visitor.answer().status == 200).then(|| inside.push(visitor))
    });
    is_turned_away(&house);
    drop(inside);
    until("there is room for ten", || {
        let mut visitor = house.visitor();
        visitor.get("/hello", "");
        (visitor.answer().status == 200).then_some(())
    });
    assert!(house.count("connections_refused_total") >= 3);
    house.is_empty();
}

/// Whoever is told that there is no room hasn't got any: not even when it stays and listens.
#[test]
fn who_is_turned_away_takes_no_room() {
    let (house, mut inside) = full_house();
    let mut staying = Vec::new();
    for _ in 0..CAP {
        let mut late = house.visitor();
        late.get("/hello", "");
        assert_eq!(late.answer().status, 503);
        staying.push(late);
    }
    drop(inside.pop());
    // They would have to go in two seconds. This one is in before.
    let mut tried = 0;
    until("there is room", || {
        let mut visitor = house.visitor();
        visitor.get("/hello", "");
        tried += 1;
        let is_in = visitor.answer().status == 200;
        staying.push(visitor);
        is_in.then_some(())
    });
    // Each of those who try stays, and so there is never room where they count.
    assert!(tried < 100, "{tried}");
    for late in &mut staying[..CAP] {
        assert!(late.rest().0.is_empty());
    }
}

/// Whoever is in the middle of saying a lot when there is no room hears of it, and not of a reset; even if it
/// listens only when it has said everything, as many programs do.
#[test]
fn who_is_turned_away_while_it_talks_hears_of_it() {
    let (house, _inside) = full_house();
    for length in [10_000, 100_000, 8 * MIB] {
        let hears = || {
            house.program.stop();
            let mut late = house.visitor();
            let head = "POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: ";
            late.say(format!("{head}{length}\r\n\r\n"));
            let body = vec![b'x'; length];
            let (at_first, then) = body.split_at(length.min(100_000));
            late.say(at_first);
            house.program.go_on();
            let said = std::io::Write::write_all(&mut late.stream, then);
            let (answer, end) = late.rest();
            said.is_ok() && answer.starts_with(b"HTTP/1.1 503 ") && end == End::Closed
        };
        // It's listened to for two seconds: on a busy machine that may be too short now and then.
        assert!((0..5).any(|_| hears()), "of {length} bytes");
    }
}

/// When the kernel has no descriptor left, whoever comes waits, and gets in when somebody has left.
#[test]
fn without_descriptors_they_wait_at_the_door() {
    let options = ["--connections", "1000", "--workers", "1"];
    let house = House::open_with_few_descriptors(&options, 60);
    let mut inside = Vec::new();
    let mut waiting = loop {
        let mut visitor = house.visitor();
        visitor.get("/hello", "");
        if house.program.stderr().iter().any(|line| line.contains("not accepted")) {
            break visitor;
        }
        assert!(inside.len() < 60);
        // The one for whom there was no descriptor has no answer.
        let answered = until("it's answered, or there is no descriptor", || {
            let is_full = house.program.stderr().iter().any(|line| line.contains("not accepted"));
            let mut one = [0];
            let answered = visitor.stream.set_nonblocking(true).is_ok()
                && visitor.stream.peek(&mut one).is_ok_and(|count| count == 1);
            visitor.stream.set_nonblocking(false).unwrap();
            (is_full || answered).then_some(answered)
        });
        if !answered {
            break visitor;
        }
        inside.push(visitor);
    };
    drop(inside);
    assert_eq!(waiting.answer().text(), "Hello, World!");
    house.quick();
}

/// One file has many names: each letter may be sent as it is, or as a number. What the server keeps for each
/// of them mustn't be what it needs to let people in.
#[rstest]
#[case::a_large_file(512 * 1024)]
#[case::a_small_file(1000)]
fn a_file_of_many_spellings_locks_nobody_out(#[case] length: usize) {
    let house = House::open_with_few_descriptors(&["--workers", "1"], 200);
    let name = "abcdefghij";
    let file = house.file(name, length);
    let mut visitor = house.visitor();
    for number in 0..400_u32 {
        let spell = |(place, letter): (usize, char)| match number >> place & 1 {
            0 => letter.to_string(),
            _ => format!("%{:02x}", u32::from(letter)),
        };
        let path: String = name.chars().enumerate().map(spell).collect();
        visitor.get(&format!("/{path}"), "Range: bytes=5-14\r\n");
        let answer = visitor.answer();
        assert_eq!(
            (answer.status, &answer.body[..]),
            (206, &file[5..15]),
            "{path}, number {number}"
        );
    }
    for _ in 0..20 {
        house.quick();
    }
    assert_eq!(house.program.stderr(), [""; 0]);
}
