//! Those who ask by TCP.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use ch12_kernel::presence::Service;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use rstest::rstest;

use crate::house::{House, PATIENCE, Upstream, addresses, bytes, framed, hear_framed, question};

#[track_caller]
pub fn until(mut is_so: impl FnMut() -> bool) {
    visitors::setup::until("so", || is_so().then_some(()));
}

fn asks(id: u16, of: &str) -> Vec<u8> {
    framed(&bytes(&question(id, of, RecordType::A)))
}

#[test]
fn questions_one_behind_the_other_are_answered_as_soon_as_can_be() {
    let upstream = Upstream::open();
    let house = House::open(Some(upstream.address));
    let mut stream = house.connect();
    let all = [asks(1, "slow.other.test."), asks(2, "web.example.test."), asks(3, "a.other.test.")];
    stream.write_all(&all.concat()).unwrap();
    let order: Vec<u16> = (0..3).map(|_| hear_framed(&mut stream).unwrap().metadata.id).collect();
    assert_eq!(order, [2, 3, 1]);
}

#[test]
fn a_question_in_single_bytes() {
    let house = House::open(None);
    let mut stream = house.connect();
    for byte in asks(6, "web.example.test.") {
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(hear_framed(&mut stream).unwrap().answers.len(), 2);
}

/// Whoever has sent its end still gets its answers, and then ours.
#[test]
fn half_closed() {
    let upstream = Upstream::open();
    let house = House::open(Some(upstream.address));
    let mut stream = house.connect();
    stream
        .write_all(&[asks(1, "slow.other.test."), asks(2, "web.example.test.")].concat())
        .unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(hear_framed(&mut stream).unwrap().metadata.id, 2);
    assert_eq!(hear_framed(&mut stream).unwrap().metadata.id, 1);
    let begun = Instant::now();
    assert!(hear_framed(&mut stream).is_none());
    // And not because it did nothing for too long.
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    until(|| house.order(|event_loop, dns| dns.rows(event_loop)).is_empty());
}

/// Whoever is at the door when it's closed is let in, and what has come by then is answered.
#[test]
fn stopping_it_answers_who_is_at_the_door() {
    let house = House::open(None);
    let (address, by_udp) = (house.address, house.asker());
    // Timers are looked at in each turn while somebody's time runs.
    let _early = house.connect();
    until(|| house.order(|event_loop, dns| dns.rows(event_loop)).len() == 1);
    let asker = by_udp.try_clone().unwrap();
    let mut at_the_door = house.order(move |event_loop, dns| {
        let connect = |id| {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(&asks(id, "web.example.test.")).unwrap();
            stream
        };
        // More than are let in in one turn.
        let streams: Vec<_> = (0..100).map(connect).collect();
        asker.send(&bytes(&question(100, "web.example.test.", RecordType::A))).unwrap();
        dns.stop(event_loop, Box::new(|_| {}));
        streams
    });
    assert_eq!(crate::house::hear(&by_udp).metadata.id, 100);
    for (id, stream) in at_the_door.iter_mut().enumerate() {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(usize::from(hear_framed(stream).unwrap().metadata.id), id);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
    assert!(std::net::TcpStream::connect(address).is_err());
}

/// More than are taken at a time: the rest waits in the stream, and all are answered.
#[test]
fn many_questions_at_once() {
    let upstream = Upstream::open();
    let house = House::open_with(ch12_kernel::dns::Options {
        zone: Some(crate::house::zone()),
        upstream: Some(upstream.address),
        times: ch12_kernel::dns::Times { deadline: PATIENCE, ..crate::house::QUICK },
        generation: None,
    });
    let mut stream = house.connect();
    let mut all = Vec::new();
    for id in 0..300 {
        all.extend(asks(id, &format!("slow.n{id}.test.")));
        all.extend(asks(1000 + id, "web.example.test."));
    }
    stream.write_all(&all).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut ids: Vec<u16> = Vec::new();
    while let Some(answer) = hear_framed(&mut stream) {
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
        ids.push(answer.metadata.id);
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..300).chain(1000..1300).collect::<Vec<u16>>());
}

#[rstest]
#[case::half_a_length(&[0])]
#[case::half_a_message(&[0, 40, 1, 2, 3])]
fn half_a_message_and_the_end(#[case] said: &[u8]) {
    let house = House::open(None);
    let mut stream = house.connect();
    stream.write_all(said).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(hear_framed(&mut stream).is_none());
    house.is_well();
}

#[rstest]
#[case::no_length(&[0, 0])]
#[case::less_than_a_header(&[0, 11, 1, 2])]
#[case::more_than_any_question(&[0xff, 0xff, 1, 2])]
#[case::http(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")]
fn what_is_no_dns_is_hung_up_on(#[case] said: &[u8]) {
    let house = House::open(None);
    let mut stream = house.connect();
    stream.write_all(said).unwrap();
    let mut rest = Vec::new();
    // A reset, or an end; either says it.
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty());
    house.is_well();
}

#[test]
fn resets_with_questions_under_way() {
    let upstream = Upstream::open();
    let house = House::open(Some(upstream.address));
    for number in 0..20 {
        let mut stream = house.connect();
        stream.write_all(&asks(1, &format!("slow.r{number}.test."))).unwrap();
        if number % 2 == 0 {
            // Closed with something unread, it's a reset.
            stream.write_all(&asks(2, "web.example.test.")).unwrap();
            until(|| stream.peek(&mut [0]).is_ok_and(|count| count > 0));
        }
    }
    until(|| house.order(|event_loop, dns| dns.rows(event_loop)).is_empty());
    until(|| house.order(|_, dns| dns.under_way()) == 0);
    house.is_well();
}

/// It asks and asks, and reads nothing: nobody else notices, and nothing grows.
#[test]
fn somebody_who_never_reads() {
    let house = House::open(None);
    let mut stream = house.connect();
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let many = asks(1, "web.example.test.").repeat(1000);
    let mut sent = 0;
    // On a busy machine it may only be slow.
    until(|| {
        while let Ok(count) = stream.write(&many) {
            sent += count;
            assert!(sent < 200_000_000, "it takes whatever it's given");
        }
        house.order(|event_loop, dns| dns.rows(event_loop)[0].waits_for == "room to send")
    });
    house.is_well();
    // What it was asked it answers, when it's read.
    assert_eq!(hear_framed(&mut stream).unwrap().answers.len(), 2);
}

#[test]
fn a_row_says_what_is_waited_for() {
    let upstream = Upstream::open();
    let house = House::open_with(ch12_kernel::dns::Options {
        zone: None,
        upstream: Some(upstream.address),
        times: ch12_kernel::dns::Times::USUAL,
        generation: None,
    });
    let mut stream = house.connect();
    let waits_for = |what: &'static str| {
        until(|| {
            let rows = house.order(|event_loop, dns| dns.rows(event_loop));
            rows.len() == 1 && rows[0].waits_for == what && rows[0].protocol == "dns"
        });
    };
    waits_for("a question");
    let question = asks(1, "silent.other.test.");
    stream.write_all(&question[..10]).unwrap();
    waits_for("the rest of a question");
    stream.write_all(&question[10..]).unwrap();
    waits_for("the upstream's answer");
    let row = house.order(|event_loop, dns| dns.rows(event_loop)).remove(0);
    assert_eq!(row.from, stream.local_addr().unwrap());
    house.order(move |event_loop, _| event_loop.close(row.token));
    assert!(hear_framed(&mut stream).is_none());
}

#[test]
fn so_many_connections_and_no_more() {
    let house = House::open(None);
    let all: Vec<_> = (0..256).map(|_| house.connect()).collect();
    until(|| house.order(|event_loop, dns| dns.rows(event_loop).len()) == 256);
    let mut late = house.connect();
    assert!(hear_framed(&mut late).is_none());
    drop(all);
    until(|| house.order(|event_loop, dns| dns.rows(event_loop)).is_empty());
    let mut stream = house.connect();
    stream.write_all(&asks(5, "web.example.test.")).unwrap();
    assert_eq!(addresses(&hear_framed(&mut stream).unwrap()).len(), 2);
}

/// Ten seconds, by a clock that is turned: a byte now and then buys no time, a question does.
#[test]
fn who_does_nothing_has_to_go() {
    use ch09_timers::{Clock, Timers};
    let clock = Clock::standing();
    let mut event_loop = crate::house::ch08_epoll_or_poll().unwrap();
    let timers = Timers::start(&mut event_loop, clock.clone());
    let (udp, tcp) = crate::house::same_port();
    let address = tcp.local_addr().unwrap();
    let options = ch12_kernel::dns::Options {
        zone: Some(crate::house::zone()),
        upstream: None,
        times: ch12_kernel::dns::Times::USUAL,
        generation: None,
    };
    let dns = ch12_kernel::dns::serve(&mut event_loop, timers, udp, tcp, options).unwrap();
    let mut idle = std::net::TcpStream::connect(address).unwrap();
    let mut busy = std::net::TcpStream::connect(address).unwrap();
    let turns = |event_loop: &mut ch07_callbacks::EventLoop| {
        for _ in 0..20 {
            event_loop.turn(Some(Duration::from_millis(2))).unwrap();
        }
    };
    let leaves = std::net::TcpStream::connect(address).unwrap();
    turns(&mut event_loop);
    assert_eq!((dns.rows(&event_loop).len(), timers.count(&event_loop)), (3, 3));
    // Nothing is left of who is gone.
    drop(leaves);
    turns(&mut event_loop);
    assert_eq!((dns.rows(&event_loop).len(), timers.count(&event_loop)), (2, 2));
    let question = asks(1, "web.example.test.");
    for second in 0..9 {
        clock.turn(Duration::from_secs(1));
        idle.write_all(&question[second..=second]).unwrap();
        turns(&mut event_loop);
    }
    busy.write_all(&question).unwrap();
    turns(&mut event_loop);
    assert_eq!(dns.rows(&event_loop).len(), 2);
    clock.turn(Duration::from_secs(2));
    turns(&mut event_loop);
    let rows = dns.rows(&event_loop);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].from, busy.local_addr().unwrap());
    clock.turn(Duration::from_secs(9));
    turns(&mut event_loop);
    assert_eq!(dns.rows(&event_loop).len(), 0);
}

/// Each question on a connection has its answer, even one that was asked twice in the same words; and a connection whose
/// questions are all answered isn't kept for ever.
#[test]
fn a_question_asked_twice_is_answered_twice() {
    let upstream = Upstream::open();
    let house = House::open(Some(upstream.address));
    let mut stream = house.connect();
    stream.write_all(&asks(7, "slow.other.test.").repeat(2)).unwrap();
    for _ in 0..2 {
        assert_eq!(hear_framed(&mut stream).unwrap().metadata.id, 7);
    }
    stream.shutdown(Shutdown::Write).unwrap();
    until(|| house.order(|event_loop, dns| dns.rows(event_loop).is_empty()));
}

/// Somebody with more questions under way than may be waits, and costs nothing; and goes on when there are answers.
#[test]
fn too_many_questions_under_way_cost_no_turns() {
    let upstream = Upstream::open();
    let house = House::open(Some(upstream.address));
    let mut stream = house.connect();
    let all: Vec<u8> = (0..80).flat_map(|id| asks(id, &format!("silent.n{id}.test."))).collect();
    stream.write_all(&all).unwrap();
    until(|| house.order(|_, dns| dns.under_way()) == 64);
    let turns = || house.order(|event_loop, _| event_loop.turns());
    let before = turns();
    std::thread::sleep(Duration::from_millis(300));
    let made = turns() - before;
    assert!(made < 300, "{made} turns, and nothing has come");
    let mut heard: Vec<u16> =
        (0..80).map(|_| hear_framed(&mut stream).unwrap().metadata.id).collect();
    heard.sort_unstable();
    assert_eq!(heard, (0..80).collect::<Vec<u16>>());
}

/// However many questions somebody has sent, after some of them the others' turn comes.
#[test]
fn one_who_asks_a_lot_is_answered_turn_by_turn() {
    use ch09_timers::{Clock, Timers};
    let mut event_loop = crate::house::ch08_epoll_or_poll().unwrap();
    let timers = Timers::start(&mut event_loop, Clock::standing());
    let (udp, tcp) = crate::house::same_port();
    let mut stream = std::net::TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
    let options = ch12_kernel::dns::Options {
        zone: Some(crate::house::zone()),
        upstream: None,
        times: ch12_kernel::dns::Times::USUAL,
        generation: None,
    };
    let _dns = ch12_kernel::dns::serve(&mut event_loop, timers, udp, tcp, options).unwrap();
    const QUESTIONS: usize = 1000;
    stream.write_all(&asks(1, "web.example.test.").repeat(QUESTIONS)).unwrap();
    stream.set_nonblocking(true).unwrap();
    let (mut heard, mut counted, mut most_in_a_turn) = (Vec::new(), 0, 0);
    let begun = Instant::now();
    while counted < QUESTIONS {
        assert!(begun.elapsed() < PATIENCE, "{counted} are answered");
        event_loop.turn(Some(Duration::from_millis(1))).unwrap();
        // Till there is nothing more.
        let _ = stream.read_to_end(&mut heard);
        let length = heard.first_chunk().map_or(0, |length| u16::from_be_bytes(*length));
        let count = heard.len() / (2 + usize::from(length));
        most_in_a_turn = most_in_a_turn.max(count - counted);
        counted = count;
    }
    // Called twice in a turn at the most: for what has come, and for what was left.
    assert!((64..=2 * 64).contains(&most_in_a_turn), "{most_in_a_turn} in one turn");
}

/// A thousand who ask the same are all told.
#[test]
fn a_thousand_questions_in_one_piece_are_answered() {
    let house = House::open(None);
    let mut stream = house.connect();
    let all: Vec<u8> = (0..1000).flat_map(|id| asks(id, "web.example.test.")).collect();
    stream.write_all(&all).unwrap();
    let heard: Vec<u16> =
        (0..1000).map(|_| hear_framed(&mut stream).unwrap().metadata.id).collect();
    assert_eq!(heard, (0..1000).collect::<Vec<u16>>());
}
