//! What the upstream does, and what becomes of those who wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ch12_kernel::dns::{Options, Times};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use rstest::rstest;

use crate::house::{
    House, QUICK, Upstream, addresses, bytes, hear, name, question, same_port, with_edns, zone,
};

fn open() -> (House, Upstream) {
    let upstream = Upstream::open();
    (House::open(Some(upstream.address)), upstream)
}

/// As long as on a busy machine nothing is taken for late.
fn open_patient() -> (House, Upstream) {
    let upstream = Upstream::open();
    let long = Duration::from_secs(20);
    let times = Times { retry: long, deadline: long, ..QUICK };
    let address = Some(upstream.address);
    (
        House::open_with(Options {
            zone: Some(zone()),
            upstream: address,
            times,
            generation: None,
        }),
        upstream,
    )
}

#[test]
fn what_we_do_not_know_is_answered_later() {
    let (house, upstream) = open_patient();
    let answer = house.ask(&question(4711, "A.Other.Test.", RecordType::A));
    assert_eq!(answer.metadata.id, 4711);
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert!(answer.metadata.recursion_available && !answer.metadata.authoritative);
    assert_eq!(addresses(&answer), [1]);
    // In the asker's own spelling, both times.
    assert_eq!(answer.queries[0].name().to_ascii(), "A.Other.Test.");
    assert_eq!(answer.answers[0].name.to_ascii(), "A.Other.Test.");
    // From the cache, now, and in another spelling.
    let answer = house.ask(&question(1, "a.other.TEST.", RecordType::A));
    assert_eq!(answer.answers[0].name.to_ascii(), "a.other.TEST.");
    assert_eq!(upstream.times("a.other.test."), 1);
}

/// A lie comes first, and isn't believed; the right answer comes behind it, and is.
#[rstest]
#[case::with_another_number("wrongid")]
#[case::about_another_name("wrongname")]
#[case::about_another_type("wrongtype")]
#[case::without_a_question("noquestion")]
#[case::that_is_a_question("echo")]
#[case::that_is_no_message("garbage")]
#[case::from_somebody_else("elsewhere")]
fn a_lie_is_not_believed(#[case] label: &str) {
    let (house, upstream) = open_patient();
    let answer = house.ask_for(&format!("{label}.other.test."));
    assert_eq!(addresses(&answer), [1]);
    let again = house.ask_for(&format!("{label}.other.test."));
    assert_eq!(addresses(&again), [1]);
    assert_eq!(upstream.times(&format!("{label}.other.test.")), 1);
}

#[test]
fn numbers_and_ports_are_by_chance() {
    let (house, upstream) = open_patient();
    for number in 0..40 {
        house.ask_for(&format!("a.number{number}.test."));
    }
    let heard = upstream.heard();
    let mut ids: Vec<u16> = heard.iter().map(|asked| asked.message.metadata.id).collect();
    let mut ports: Vec<u16> = heard.iter().map(|asked| asked.from.port()).collect();
    let steps = ids.windows(2).filter(|two| two[0].abs_diff(two[1]) < 16).count();
    assert!(steps < 5, "{ids:?}");
    for numbers in [&mut ids, &mut ports] {
        numbers.sort_unstable();
        numbers.dedup();
        assert!(numbers.len() > 30, "{numbers:?}");
    }
}

#[test]
fn a_hundred_ask_the_same_and_one_question_is_asked() {
    let (house, upstream) = open_patient();
    let askers: Vec<_> = (0..100).map(|_| house.asker()).collect();
    for (asker, id) in askers.iter().zip(1000..) {
        asker.send(&bytes(&question(id, "slow.other.test.", RecordType::A))).unwrap();
        // Asked again, it's still the same one.
        asker.send(&bytes(&question(id, "slow.other.test.", RecordType::A))).unwrap();
    }
    for (asker, id) in askers.iter().zip(1000..) {
        let answer = hear(asker);
        assert_eq!(answer.metadata.id, id);
        assert_eq!(addresses(&answer), [1]);
    }
    assert_eq!(upstream.times("slow.other.test."), 1);
    assert_eq!(house.order(|_, dns| dns.under_way()), 0);
}

#[test]
fn while_one_answer_is_awaited_others_are_given() {
    let (house, _upstream) = open_patient();
    let waits = house.asker();
    waits.send(&bytes(&question(1, "silent.other.test.", RecordType::A))).unwrap();
    for _ in 0..50 {
        assert_eq!(house.ask_for("web.example.test.").answers.len(), 2);
        assert_eq!(addresses(&house.ask_for("a.other.test.")), [1]);
    }
    assert_eq!(house.order(|_, dns| dns.under_way()), 1);
}

#[test]
fn a_lost_question_is_asked_again() {
    let upstream = Upstream::open();
    let times = Times { deadline: Duration::from_secs(20), ..QUICK };
    let address = Some(upstream.address);
    let house =
        House::open_with(Options { zone: None, upstream: address, times, generation: None });
    assert_eq!(addresses(&house.ask_for("second.other.test.")), [1]);
    let heard = upstream.heard();
    assert!(heard.len() >= 2);
    assert_eq!(heard[0].message, heard[1].message);
    assert_eq!(heard[0].from, heard[1].from);
}

#[test]
fn silence_is_a_failure_and_kept_for_a_second() {
    let (house, upstream) = open();
    let begun = Instant::now();
    let answer = house.ask_for("silent.other.test.");
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    assert!(begun.elapsed() >= QUICK.deadline, "{:?}", begun.elapsed());
    crate::streams::until(|| (2..=5).contains(&upstream.times("silent.other.test.")));
    // On a machine that needs a second for this, it's asked again.
    let is_kept = |number: u32| {
        let of = format!("silent.n{number}.test.");
        house.ask_for(&of);
        let begun = Instant::now();
        let again = house.ask_for(&of);
        assert_eq!(again.metadata.response_code, ResponseCode::ServFail);
        begun.elapsed() < QUICK.deadline
    };
    assert!((0..5).any(is_kept));
}

#[test]
fn nobody_at_the_upstreams_port_is_a_failure_at_once() {
    let (udp, tcp) = same_port();
    let address = udp.local_addr().unwrap();
    drop((udp, tcp));
    let times = Times { deadline: Duration::from_secs(600), ..QUICK };
    let house = House::open_with(Options {
        zone: Some(zone()),
        upstream: Some(address),
        times,
        generation: None,
    });
    let answer = house.ask_for("a.other.test.");
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    house.is_well();
}

#[test]
fn an_answer_that_is_too_long_comes_by_tcp() {
    let (house, upstream) = open_patient();
    let socket = house.asker();
    let asked = with_edns(question(9, "tc.other.test.", RecordType::A), 4096);
    socket.send(&bytes(&asked)).unwrap();
    let answer = hear(&socket);
    // It has 100 addresses, which is more than we send in a datagram.
    assert!(answer.metadata.truncation && answer.answers.is_empty());
    let heard = upstream.heard();
    assert_eq!(heard.iter().map(|asked| asked.by_tcp).collect::<Vec<_>>(), [false, true]);
    let mut stream = house.connect();
    std::io::Write::write_all(&mut stream, &crate::house::framed(&bytes(&asked))).unwrap();
    let answer = crate::house::hear_framed(&mut stream).unwrap();
    assert_eq!(addresses(&answer), (0..100).collect::<Vec<u8>>());
    assert_eq!(upstream.heard().len(), 2);
}

#[rstest]
#[case::does_not_answer("tcsilent")]
#[case::hangs_up("tcreset")]
fn an_upstream_that_does_not_keep_its_word_by_tcp(#[case] label: &str) {
    let (house, _upstream) = open();
    let answer = house.ask_for(&format!("{label}.other.test."));
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(house.order(|_, dns| dns.under_way()), 0);
    house.is_well();
}

#[test]
fn an_answer_is_put_into_the_order_of_its_aliases_and_what_was_not_asked_for_is_not_kept() {
    let (house, upstream) = open_patient();
    let answer = house.ask_for("chain.other.test.");
    let owners: Vec<String> = answer.answers.iter().map(|record| record.name.to_string()).collect();
    assert_eq!(owners, ["chain.other.test.", "middle.other.test.", "end.other.test."]);
    // All for as long as the shortest of them.
    assert!(answer.answers.iter().all(|record| record.ttl <= 100));
    assert_eq!(upstream.heard().len(), 1);
}

#[test]
fn a_no_is_passed_on_and_kept() {
    let (house, upstream) = open_patient();
    for _ in 0..3 {
        let answer = house.ask_for("nx.other.test.");
        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
        assert_eq!(answer.authorities.len(), 1);
        assert!((20..=30).contains(&answer.authorities[0].ttl), "{}", answer.authorities[0].ttl);
    }
    assert_eq!(upstream.times("nx.other.test."), 1);
}

#[test]
fn a_failure_upstream_is_a_failure_here() {
    let (house, _upstream) = open_patient();
    let answer = house.ask_for("servfail.other.test.");
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    assert!(answer.answers.is_empty());
}

#[test]
fn an_upstream_without_edns_is_asked_without() {
    let (house, upstream) = open_patient();
    assert_eq!(addresses(&house.ask_for("oldserver.other.test.")), [1]);
    let edns: Vec<bool> =
        upstream.heard().iter().map(|asked| asked.message.edns.is_some()).collect();
    assert_eq!(edns, [true, false]);
}

#[test]
fn an_alias_that_leads_out_of_the_zone_is_followed_upstream() {
    let (house, upstream) = open_patient();
    let answer = house.ask_for("out.example.test.");
    assert!(answer.metadata.authoritative);
    assert_eq!(answer.answers.len(), 2);
    assert_eq!(answer.answers[0].record_type(), RecordType::CNAME);
    assert_eq!(addresses(&answer), [1]);
    assert_eq!(*upstream.heard()[0].message.queries[0].name(), name("a.other.test."));
    let lost = house.ask_for("lost.example.test.");
    assert_eq!(lost.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!((lost.answers.len(), lost.authorities.len()), (1, 1));
}

#[test]
fn more_than_there_is_room_for_is_a_failure_and_our_own_names_are_none_the_worse() {
    let (house, _upstream) = open();
    let asker = house.asker();
    for number in 0..600 {
        let asked = question(number, &format!("silent.n{number}.test."), RecordType::A);
        asker.send(&bytes(&asked)).unwrap();
        if number % 50 == 0 {
            assert_eq!(house.ask_for("web.example.test.").answers.len(), 2);
        }
    }
    let answer = hear(&asker);
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    let under_way = house.order(|_, dns| dns.under_way());
    assert!(under_way <= 256, "{under_way}");
    house.is_well();
}

#[test]
fn many_names_that_nobody_answers_for_keep_nobody_from_theirs() {
    let (house, _upstream) = open_patient();
    let asker = house.asker();
    for number in 0..256 {
        asker
            .send(&bytes(&question(number, &format!("silent.n{number}.test."), RecordType::A)))
            .unwrap();
    }
    crate::streams::until(|| house.order(|_, dns| dns.under_way()) == 256);
    std::thread::sleep(Duration::from_millis(250)); // each is under way for longer than ENOUGH
    for number in 0..3 {
        assert_eq!(addresses(&house.ask_for(&format!("a.n{number}.test."))), [1]);
        let failure = hear(&asker);
        let oldest = (failure.metadata.id, failure.metadata.response_code);
        assert_eq!(oldest, (number, ResponseCode::ServFail));
        // The new one's place is free again.
        house.order(|_, dns| assert_eq!(dns.under_way(), 255));
        asker
            .send(&bytes(&question(300, &format!("silent.more{number}.test."), RecordType::A)))
            .unwrap();
        crate::streams::until(|| house.order(|_, dns| dns.under_way()) == 256);
    }
}

#[test]
fn it_stops_when_those_who_wait_have_their_answers() {
    use ch12_kernel::presence::Service;
    let (house, _upstream) = open();
    let asker = house.asker();
    asker.send(&bytes(&question(3, "silent.other.test.", RecordType::A))).unwrap();
    crate::streams::until(|| house.order(|_, dns| dns.under_way()) == 1);
    let stopped = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stopped);
    house.order(move |event_loop, dns| {
        dns.stop(event_loop, Box::new(move |_| told.store(true, Ordering::Relaxed)));
    });
    crate::streams::until(|| std::net::TcpStream::connect(house.address).is_err());
    // What comes now comes too late: two turns ago it would have been heard.
    (0..2).for_each(|_| house.order(|_, _| ()));
    asker.send(&bytes(&question(4, "web.example.test.", RecordType::A))).unwrap();
    asker.send(&bytes(&question(5, "silent.again.test.", RecordType::A))).unwrap();
    let answer = hear(&asker);
    assert_eq!((answer.metadata.id, answer.metadata.response_code), (3, ResponseCode::ServFail));
    crate::streams::until(|| std::net::UdpSocket::bind(house.address).is_ok());
    assert!(stopped.load(Ordering::Relaxed), "whoever has stopped it is told that it has ended");
}

/// A question's sockets go with it, whatever became of it: only the server's own one is left.
#[test]
fn nothing_is_left_of_a_question() {
    use ch07_callbacks::Connection;
    use ch12_kernel::datagrams::Datagrams;
    let (house, _upstream) = open();
    for label in ["a", "nx", "wrongid", "second", "silent", "tc", "tcsilent", "tcreset"] {
        house.ask_for(&format!("{label}.other.test."));
    }
    crate::streams::until(|| {
        house.order(|event_loop, dns| {
            let datagrams = event_loop.tokens::<Datagrams>().len();
            let connections = event_loop.tokens::<Connection>().len();
            (datagrams, connections, dns.under_way()) == (1, 0, 0)
        })
    });
}
