//! One visitor's thousand requests, or one huge download, and the quick one.
//!
//! What is asked is an order, not a time: the access log has it.

use std::thread;

use rstest::rstest;

use crate::house::{End, House, LogLine, MIB, Visitor};
use crate::tools::alone;
use visitors::setup::until;

const MANY: usize = 1000;

/// So many requests, each with a number, and the last one says that it's the last.
fn requests(count: usize) -> Vec<u8> {
    let mut text = String::new();
    for number in 0..count {
        let close = if number + 1 == count { "Connection: close\r\n" } else { "" };
        let body = format!("number {number}");
        let length = body.len();
        text.push_str(&format!(
            "POST /echo HTTP/1.1\r\nHost: here\r\n{close}Content-Length: {length}\r\n\r\n{body}"
        ));
    }
    text.into_bytes()
}

#[rstest]
#[case::in_one_write(usize::MAX)]
#[case::in_small_pieces(777)]
fn a_thousand_requests_get_a_thousand_answers_in_their_order(#[case] piece: usize) {
    let house = House::open(&[]);
    let mut visitor = house.visitor();
    let requests = requests(MANY);
    for piece in requests.chunks(piece.min(requests.len())) {
        visitor.say(piece);
    }
    for number in 0..MANY {
        assert_eq!(visitor.answer().text(), format!("number {number}"));
    }
    visitor.is_hung_up_on();
}

/// The program stands still while both ask. When it goes on, the thousand are there first.
#[test]
fn a_thousand_requests_let_the_quick_one_pass() {
    let house = House::open(&["--workers", "1"]);
    let mut many = house.visitor();
    let mut quick = house.visitor();
    for visitor in [&mut many, &mut quick] {
        visitor.get("/hello", "");
        visitor.answer();
    }
    house.program.stop();
    many.say(requests(MANY));
    quick.get("/hello?quick", "");
    house.program.go_on();
    assert_eq!(quick.answer().text(), "Hello, World!");
    for number in 0..MANY {
        assert_eq!(many.answer().text(), format!("number {number}"));
    }
    let log = house.log_of(MANY + 3);
    let place = log.iter().position(|line| line.request.contains("quick")).expect("it's there");
    assert!(place < MANY / 5, "{place} were answered before the quick visitor");
}

/// Somebody who asks and asks, and reads it all, never has the server to itself; nor does it fill its memory.
#[test]
fn who_never_stops_asking_is_no_burden() {
    const EACH: usize = 200_000;
    let _alone = alone();
    let house = House::open(&["--workers", "1"]);
    house.quick();
    let before = house.memory();
    let mut asking = house.visitor();
    let mut says = asking.stream.try_clone().unwrap();
    let request = b"GET /hello HTTP/1.1\r\nHost: here\r\n\r\n";
    let text = request.repeat(EACH);
    let mut most = 0;
    thread::scope(|scope| {
        // It may be told to wait: that's what is right.
        scope.spawn(move || std::io::Write::write_all(&mut says, &text).unwrap());
        for number in 0..EACH {
            assert_eq!(asking.answer().body, b"Hello, World!", "answer {number}");
            if number % 5000 == 0 {
                house.quick();
                most = most.max(house.memory().unwrap_or(0));
            }
        }
    });
    if let Some(before) = before {
        let grown = most.saturating_sub(before) / 1024;
        assert!(grown < 2 * 1024, "{grown} KiB for one who asks {EACH} times");
    }
}

/// How many answers a quick visitor gets, on one connection, until `done`.
fn asks_until(house: &House, done: impl Fn() -> bool) -> usize {
    let mut quick = house.visitor();
    let mut answers = 0;
    while !done() {
        quick.get("/hello?quick", "");
        assert_eq!(quick.answer().text(), "Hello, World!");
        answers += 1;
    }
    answers
}

/// By somebody who reads as fast as it comes.
#[rstest]
#[case::ten_mib(10 * MIB)]
#[case::two_hundred_mib(200 * MIB)]
fn a_download_lets_the_quick_one_pass(#[case] length: usize) {
    let _alone = alone();
    let house = House::open(&["--workers", "1"]);
    house.sparse("large", length as u64);
    let mut most = 0;
    // It may happen that we are the ones who come too late. It doesn't happen all the time.
    for _ in 0..10 {
        let mut greedy = house.visitor();
        greedy.get("/large", "Connection: close\r\n");
        greedy.skip(1000);
        let greedy = thread::spawn(move || (greedy.skip(usize::MAX), greedy));
        asks_until(&house, || greedy.is_finished());
        let (read, mut greedy) = greedy.join().unwrap();
        assert!(read > length - 1000, "{read} bytes");
        assert_eq!(greedy.rest(), (Vec::new(), End::Closed));
        let passed = |log: &[LogLine]| {
            let end = log.iter().rposition(|line| line.request.contains("/large"));
            let end = end.expect("the download is in the log");
            let others = log[..end].iter().rev();
            others.take_while(|line| line.request.contains("quick")).count()
        };
        let log = until("the download is in the log", || {
            Some(house.log()).filter(|log| log.iter().any(|line| line.request.contains("/large")))
        });
        most = most.max(passed(&log));
        std::fs::write(house.beside("log"), "").unwrap();
        // A server that sends to the end before it looks at anybody lets one pass: who asked before.
        if most >= 3 {
            return;
        }
    }
    panic!("{most} answers at the most while it's under way");
}

/// By somebody who doesn't read at all.
#[rstest]
#[case::a_file("/large")]
#[case::what_it_sent("/echo")]
fn who_does_not_read_keeps_nobody_waiting(#[case] path: &str) {
    let house = House::open(&["--workers", "1"]);
    house.sparse("large", 200 << 20);
    let mut stuck = Visitor::with_little_room(house.address, 16 * 1024);
    match path {
        "/echo" => {
            let body = vec![b'x'; MIB];
            let head =
                format!("POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: {MIB}\r\n\r\n");
            stuck.say(head);
            stuck.say(&body);
        }
        path => stuck.get(path, ""),
    }
    let some = || {
        let mut one = [0];
        (stuck.stream.peek(&mut one).unwrap() == 1).then_some(())
    };
    until("its answer has begun", some);
    for _ in 0..100 {
        house.quick();
    }
    // It rests while there is no room.
    house.program.settled().expect("it rests");
    house.quick();
    let log = house.log_of(101);
    assert!(log.iter().all(|line| line.request.starts_with("GET / ")), "it can't be at its end");
    if path == "/echo" {
        assert_eq!(stuck.answer().body, vec![b'x'; MIB]);
    }
}

/// A visitor who says all it has to say, and then listens.
#[test]
fn who_has_finished_sending_gets_all() {
    let house = House::open(&["--workers", "1"]);
    let file = house.file("large", 5 * MIB);
    for _ in 0..5 {
        let mut visitor = Visitor::with_little_room(house.address, 16 * 1024);
        visitor.get("/large", "");
        visitor.get("/hello", "");
        visitor.finish_sending();
        assert!(visitor.answer().body == file);
        assert_eq!(visitor.answer().text(), "Hello, World!");
        visitor.is_hung_up_on();
    }
}
