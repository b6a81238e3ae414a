//! The server without its sockets, by a clock that is turned by hand.

use std::net::SocketAddr;
use std::time::Duration;

use ch07_callbacks::Token;
use ch12_kernel::dns::forwarder::{ENOUGH, Step, Whom};
use ch12_kernel::dns::question::Transport;
use ch12_kernel::dns::responder::{Delivery, Said};
use ch12_kernel::dns::{Responder, Times, Zone};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, RecordType};
use rstest::rstest;

use crate::house::{
    ZONE, address, addresses, alias, answer_to, bytes, name, question, soa, with_edns, zone,
};

/// A server, and what time it is.
pub struct Desk {
    pub responder: Responder,
    pub now: Duration,
}

/// What a message gets.
#[derive(Debug)]
pub enum Got {
    Answer(Message),
    Nothing,
    Later,
    Ask(Token),
}

pub fn whom(port: u16) -> Whom {
    Whom::Address(SocketAddr::from(([127, 0, 0, 1], port)))
}

impl Desk {
    pub fn new() -> Self {
        Self { responder: Responder::new(Some(zone()), true, Times::USUAL), now: Duration::ZERO }
    }

    pub fn turn(&mut self, seconds: f64) {
        self.now += Duration::from_secs_f64(seconds);
    }

    pub fn hear(&mut self, message: &[u8], port: u16) -> Got {
        match self.responder.hear(message, Transport::Udp, whom(port), self.now) {
            Said::Answer(bytes) => Got::Answer(Message::from_vec(bytes).unwrap()),
            Said::Nothing => Got::Nothing,
            Said::Later => Got::Later,
            Said::Ask(token) => Got::Ask(token),
        }
    }

    #[track_caller]
    pub fn answer(&mut self, message: &Message) -> Message {
        match self.hear(&bytes(message), 1) {
            Got::Answer(answer) => answer,
            other => panic!("no answer, but {other:?}"),
        }
    }

    #[track_caller]
    pub fn asks(&mut self, of: &str, port: u16) -> Token {
        match self.hear(&bytes(&question(port, of, RecordType::A)), port) {
            Got::Ask(token) => token,
            other => panic!("it isn't asked, but {other:?}"),
        }
    }

    /// What the upstream is asked.
    pub fn asked(&mut self, token: Token) -> Message {
        let asked = self.responder.forwarder().ask(token, 0xbeef, self.now).unwrap();
        Message::from_vec(&asked).unwrap()
    }

    #[track_caller]
    pub fn upstream_says(&mut self, token: Token, answer: &Message) -> Vec<Delivery> {
        let step = self.responder.heard(token, &bytes(answer), Transport::Udp, self.now);
        self.over(step)
    }

    #[track_caller]
    pub fn over(&mut self, step: Step) -> Vec<Delivery> {
        let Step::Over(ended) = step else { panic!("it isn't over: {step:?}") };
        self.responder.over(&ended, self.now)
    }

    /// Asked and answered.
    #[track_caller]
    pub fn learn(&mut self, of: &str, change: impl FnOnce(&mut Message)) -> Message {
        let token = self.asks(of, 9);
        let mut answer = answer_to(&self.asked(token));
        change(&mut answer);
        let deliveries = self.upstream_says(token, &answer);
        assert_eq!(deliveries.len(), 1);
        Message::from_vec(&deliveries[0].bytes).unwrap()
    }
}

fn kinds(answer: &Message) -> Vec<RecordType> {
    answer.answers.iter().map(hickory_proto::rr::Record::record_type).collect()
}

#[rstest]
#[case::itself("web.example.test.", RecordType::A, ResponseCode::NoError, &["A", "A"])]
#[case::in_capitals("WEB.EXAMPLE.TEST.", RecordType::A, ResponseCode::NoError, &["A", "A"])]
#[case::by_an_alias("www.example.test.", RecordType::A, ResponseCode::NoError, &["CNAME", "A", "A"])]
#[case::the_alias_itself("www.example.test.", RecordType::CNAME, ResponseCode::NoError, &["CNAME"])]
#[case::an_alias_to_no_such_type("www.example.test.", RecordType::MX, ResponseCode::NoError, &["CNAME"])]
#[case::an_alias_to_nobody("dangling.example.test.", RecordType::A, ResponseCode::NXDomain, &["CNAME"])]
#[case::no_such_type("web.example.test.", RecordType::AAAA, ResponseCode::NoError, &[])]
#[case::an_unknown_type("web.example.test.", RecordType::Unknown(65_400), ResponseCode::NoError, &[])]
#[case::no_such_name("nobody.example.test.", RecordType::A, ResponseCode::NXDomain, &[])]
#[case::below_a_name_that_has_records("x.web.example.test.", RecordType::A, ResponseCode::NXDomain, &[])]
#[case::a_wildcard("any.thing.wild.example.test.", RecordType::A, ResponseCode::NoError, &["A"])]
#[case::a_wildcard_without_that_type("any.wild.example.test.", RecordType::AAAA, ResponseCode::NoError, &[])]
#[case::a_name_beside_a_wildcard("here.wild.example.test.", RecordType::A, ResponseCode::NoError, &[])]
#[case::below_a_name_beside_a_wildcard("x.here.wild.example.test.", RecordType::A, ResponseCode::NXDomain, &[])]
#[case::above_a_wildcard("wild.example.test.", RecordType::A, ResponseCode::NoError, &[])]
#[case::the_asterisk_itself("*.wild.example.test.", RecordType::A, ResponseCode::NoError, &["A"])]
#[case::an_alias_for_all("any.alias.example.test.", RecordType::A, ResponseCode::NoError, &["CNAME", "A", "A"])]
#[case::nothing_but_names_below("ent.deep.example.test.", RecordType::A, ResponseCode::NoError, &[])]
#[case::nothing_but_names_below_that("deep.example.test.", RecordType::A, ResponseCode::NoError, &[])]
#[case::beside_it("x.deep.example.test.", RecordType::A, ResponseCode::NXDomain, &[])]
#[case::the_zone("example.test.", RecordType::SOA, ResponseCode::NoError, &["SOA"])]
#[case::everything("web.example.test.", RecordType::ANY, ResponseCode::NoError, &["HINFO"])]
#[case::everything_of_nobody("nobody.example.test.", RecordType::ANY, ResponseCode::NXDomain, &[])]
#[case::everything_of_names_below("ent.deep.example.test.", RecordType::ANY, ResponseCode::NoError, &[])]
fn a_name_of_the_zone(
    #[case] of: &str,
    #[case] kind: RecordType,
    #[case] code: ResponseCode,
    #[case] expected: &[&str],
) {
    let answer = Desk::new().answer(&question(7, of, kind));
    assert_eq!(answer.metadata.id, 7);
    assert!(answer.metadata.authoritative);
    assert_eq!(answer.metadata.response_code, code);
    let found: Vec<String> = kinds(&answer).iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
    // Whoever comes first is who was asked for, in these very letters.
    if let Some(first) = answer.answers.first() {
        assert_eq!(first.name.to_ascii(), of);
    }
    // With every no, how long it holds (RFC 2308, section 3: the lesser of 300 and 60).
    let is_no = answer.answers.iter().all(|record| record.record_type() == RecordType::CNAME)
        && kind != RecordType::CNAME;
    let soas: Vec<u32> = answer.authorities.iter().map(|record| record.ttl).collect();
    assert_eq!(soas, if is_no { vec![60] } else { vec![] });
}

#[test]
fn aliases_in_a_ring_are_a_failure() {
    let answer = Desk::new().answer(&question(7, "loop.example.test.", RecordType::A));
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
}

#[test]
fn addresses_come_along_where_there_is_room() {
    let mut desk = Desk::new();
    let answer = desk.answer(&question(7, "example.test.", RecordType::MX));
    assert_eq!(answer.additionals.len(), 1);
    let mut records = String::from(ZONE);
    for number in 0..18 {
        records += &format!("big MX {number} host{number}\n");
        records += &format!("host{number} A 192.0.2.{number}\n");
    }
    desk.responder.set_zone(Some(Zone::from_text(&records).unwrap()));
    let answer = desk.answer(&question(7, "big.example.test.", RecordType::MX));
    assert_eq!((answer.answers.len(), answer.additionals.len()), (18, 0));
    assert!(!answer.metadata.truncation);
    let asked = with_edns(question(7, "big.example.test.", RecordType::MX), 1232);
    assert_eq!(desk.answer(&asked).additionals.len(), 18);
}

#[test]
fn a_part_of_the_zone_that_others_have() {
    let mut desk = Desk::new();
    // Who wants us to find out has us ask.
    desk.asks("x.sub.example.test.", 5);
    // Others get to know whom to ask.
    let mut asked = question(7, "x.sub.example.test.", RecordType::A);
    asked.metadata.recursion_desired = false;
    let answer = desk.answer(&asked);
    assert!(!answer.metadata.authoritative);
    assert_eq!(
        (answer.answers.len(), answer.authorities.len(), answer.additionals.len()),
        (0, 1, 1)
    );
}

#[test]
fn what_is_not_ours_is_refused_without_an_upstream_and_to_those_who_do_not_mean_it() {
    let mut desk = Desk::new();
    let mut asked = question(7, "a.other.test.", RecordType::A);
    asked.metadata.recursion_desired = false;
    assert_eq!(desk.answer(&asked).metadata.response_code, ResponseCode::Refused);
    desk.responder = Responder::new(Some(zone()), false, Times::USUAL);
    let answer = desk.answer(&question(7, "a.other.test.", RecordType::A));
    assert_eq!(answer.metadata.response_code, ResponseCode::Refused);
    assert!(!answer.metadata.recursion_available);
    let out = desk.answer(&question(7, "out.example.test.", RecordType::A));
    assert_eq!(kinds(&out), [RecordType::CNAME]);
    assert!(out.metadata.authoritative);
}

#[test]
fn another_zone_takes_effect_at_once() {
    let mut desk = Desk::new();
    let asked = question(7, "web.example.test.", RecordType::A);
    assert_eq!(addresses(&desk.answer(&asked)), [1, 2]);
    let other = ZONE.replace("web A 192.0.2.1\n", "web A 192.0.2.3\n");
    desk.responder.set_zone(Some(Zone::from_text(&other).unwrap()));
    let mut found = addresses(&desk.answer(&asked));
    found.sort_unstable();
    assert_eq!(found, [2, 3]);
}

/// How much is left is less each second, and in the end it's asked again.
#[test]
fn the_time_to_live_is_counted_down() {
    let mut desk = Desk::new();
    desk.turn(1000.7);
    let asked = question(7, "a.other.test.", RecordType::A);
    desk.learn("a.other.test.", |answer| {
        answer.add_answer(address("a.other.test.", 5, 1));
    });
    let mut left = Vec::new();
    for _ in 0..14 {
        desk.turn(0.35);
        left.push(desk.answer(&asked).answers[0].ttl);
    }
    assert_eq!(left, [5, 5, 4, 4, 4, 3, 3, 3, 2, 2, 2, 1, 1, 1]);
    desk.turn(0.1);
    desk.asks("a.other.test.", 5);
}

#[rstest]
#[case::an_answer(0, 0)]
#[case::the_top_bit(0x8000_0005, 0)]
#[case::for_years(0x7fff_ffff, 24 * 3600)]
fn extreme_times_to_live(#[case] ttl: u32, #[case] kept: u64) {
    let mut desk = Desk::new();
    let answer = desk.learn("a.other.test.", |answer| {
        answer.add_answer(address("a.other.test.", ttl, 1));
    });
    assert_eq!(addresses(&answer), [1]);
    if kept > 0 {
        desk.turn(kept as f64 - 0.5);
        assert_eq!(desk.answer(&question(7, "a.other.test.", RecordType::A)).answers[0].ttl, 1);
        desk.turn(0.5);
    }
    desk.asks("a.other.test.", 5);
}

#[test]
fn a_no_is_kept_for_as_long_as_its_soa_says() {
    let mut desk = Desk::new();
    let answer = desk.learn("nx.other.test.", |answer| {
        answer.metadata.response_code = ResponseCode::NXDomain;
        answer.add_authority(soa("other.test.", 900, 30));
    });
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(answer.authorities[0].ttl, 30);
    desk.turn(29.5);
    let answer = desk.answer(&question(7, "nx.other.test.", RecordType::A));
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(answer.authorities[0].ttl, 1);
    desk.turn(0.5);
    desk.asks("nx.other.test.", 5);
}

#[rstest]
#[case::without_an_soa(None)]
#[case::with_one_of_somebody_else(Some("another.test."))]
fn a_no_that_is_not_kept(#[case] of: Option<&str>) {
    let mut desk = Desk::new();
    let answer = desk.learn("nx.other.test.", |answer| {
        answer.metadata.response_code = ResponseCode::NXDomain;
        answer.authorities.extend(of.map(|of| soa(of, 900, 30)));
    });
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    assert!(answer.authorities.is_empty());
    desk.asks("nx.other.test.", 5);
}

#[test]
fn what_was_not_asked_for_is_not_believed() {
    let mut desk = Desk::new();
    let answer = desk.learn("a.other.test.", |answer| {
        answer.add_answer(address("b.other.test.", 300, 66));
        answer.add_answer(alias("a.other.test.", 300, "b.another.test."));
        answer.add_answer(address("c.other.test.", 300, 66));
        answer.add_answer(address("b.another.test.", 300, 1));
        answer.add_authority(soa("other.test.", 300, 300));
        answer.add_additional(address("web.example.test.", 300, 66));
    });
    assert_eq!(kinds(&answer), [RecordType::CNAME, RecordType::A]);
    assert_eq!(addresses(&answer), [1]);
    assert!(answer.authorities.is_empty() && answer.additionals.is_empty());
    for of in ["b.other.test.", "c.other.test.", "b.another.test."] {
        desk.asks(of, 5);
    }
    assert_eq!(addresses(&desk.answer(&question(7, "web.example.test.", RecordType::A))), [1, 2]);
}

#[test]
fn aliases_in_a_ring_upstream_are_a_failure() {
    let mut desk = Desk::new();
    let answer = desk.learn("a.other.test.", |answer| {
        answer.add_answer(alias("a.other.test.", 300, "b.other.test."));
        answer.add_answer(alias("b.other.test.", 300, "a.other.test."));
    });
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
}

#[test]
fn each_has_its_own_number_spelling_and_size() {
    let mut desk = Desk::new();
    let token = desk.asks("a.other.test.", 1);
    let asked = desk.asked(token);
    let mut others = [
        with_edns(question(2, "A.OTHER.TEST.", RecordType::A), 1232),
        with_edns(question(3, "a.oTher.test.", RecordType::A), 100),
    ];
    others[0].metadata.checking_disabled = false;
    for (other, port) in others.iter().zip(2..) {
        assert!(matches!(desk.hear(&bytes(other), port), Got::Later));
    }
    let mut answer = answer_to(&asked);
    for last in 0..40 {
        answer.add_answer(address("a.other.test.", 300, last));
    }
    let deliveries = desk.upstream_says(token, &answer);
    let seen: Vec<_> = deliveries
        .iter()
        .map(|delivery| {
            let message = Message::from_vec(&delivery.bytes).unwrap();
            let spelling = message.queries[0].name().to_ascii();
            let size = message.answers.len();
            let edns = message.edns.is_some();
            (delivery.whom, message.metadata.id, spelling, message.metadata.truncation, size, edns)
        })
        .collect();
    let said = |text: &str| text.to_owned();
    assert_eq!(
        seen,
        [
            (whom(1), 1, said("a.other.test."), true, 0, false),
            (whom(2), 2, said("A.OTHER.TEST."), false, 40, true),
            (whom(3), 3, said("a.oTher.test."), true, 0, true),
        ]
    );
}

/// Whoever asks again because we take so long gets one answer, and takes one place.
#[test]
fn who_asks_again_is_still_the_same_one() {
    let mut desk = Desk::new();
    let token = desk.asks("a.other.test.", 1);
    for _ in 0..3 {
        let again = bytes(&question(1, "a.other.test.", RecordType::A));
        assert!(matches!(desk.hear(&again, 1), Got::Later));
    }
    // With another number it's another question.
    let other = bytes(&question(2, "a.other.test.", RecordType::A));
    assert!(matches!(desk.hear(&other, 1), Got::Later));
    assert_eq!(desk.responder.forwarder().waiting(), 2);
    let answer = answer_to(&desk.asked(token));
    assert_eq!(desk.upstream_says(token, &answer).len(), 2);
    assert_eq!(desk.responder.forwarder().waiting(), 0);
}

/// Those who want signatures get another answer, and so ask another question.
#[test]
fn who_wants_signatures_asks_another_question() {
    let mut desk = Desk::new();
    desk.learn("a.other.test.", |answer| {
        answer.add_answer(address("a.other.test.", 300, 1));
    });
    let mut wants = with_edns(question(2, "a.other.test.", RecordType::A), 1232);
    wants.edns.as_mut().unwrap().flags_mut().dnssec_ok = true;
    let Got::Ask(token) = desk.hear(&bytes(&wants), 2) else { panic!("it isn't asked") };
    assert!(desk.asked(token).edns.unwrap().flags().dnssec_ok);
    assert_eq!(addresses(&desk.answer(&question(7, "a.other.test.", RecordType::A))), [1]);
}

#[test]
fn retries_by_the_clock() {
    let mut desk = Desk::new();
    let begun = desk.now;
    let token = desk.asks("a.other.test.", 1);
    desk.asked(token);
    let mut moments = Vec::new();
    loop {
        let due = desk.responder.forwarder().due(token).unwrap();
        // A moment too early, nothing happens.
        let early = due - Duration::from_millis(1);
        assert_eq!(desk.responder.forwarder().late(token, early), Step::Pause);
        desk.now = due;
        moments.push((due - begun).as_millis());
        match desk.responder.forwarder().late(token, due) {
            Step::Ask(Transport::Udp, _) => {}
            step => {
                let deliveries = desk.over(step);
                let answer = Message::from_vec(&deliveries[0].bytes).unwrap();
                assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
                break;
            }
        }
    }
    assert_eq!(moments, [600, 1800, 4000]);
    assert_eq!(desk.responder.forwarder().len(), 0);
    // Its token means nobody now, whatever still comes.
    assert_eq!(desk.responder.forwarder().late(token, desk.now), Step::Wait);
    // For a second it isn't asked again (RFC 9520).
    desk.turn(0.9);
    let answer = desk.answer(&question(7, "a.other.test.", RecordType::A));
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    desk.turn(0.1);
    desk.asks("a.other.test.", 5);
}

#[test]
fn refused_once_is_a_pause_and_twice_is_the_end() {
    let mut desk = Desk::new();
    let token = desk.asks("a.other.test.", 1);
    desk.asked(token);
    assert_eq!(desk.responder.forwarder().refused(token, desk.now), Step::Pause);
    assert_eq!(desk.responder.forwarder().due(token), Some(Duration::from_millis(100)));
    desk.turn(0.1);
    assert!(matches!(desk.responder.forwarder().late(token, desk.now), Step::Ask(..)));
    let step = desk.responder.forwarder().refused(token, desk.now);
    assert_eq!(desk.over(step).len(), 1);
}

#[test]
fn questions_under_way_and_askers_are_bounded() {
    let mut desk = Desk::new();
    let mut full = 0;
    for number in 0..5000u16 {
        let of = format!("n{}.other.test.", number % 300);
        if let Got::Answer(answer) =
            desk.hear(&bytes(&question(number, &of, RecordType::A)), number)
        {
            assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
            full += 1;
        }
    }
    let forwarder = desk.responder.forwarder();
    assert_eq!(forwarder.len(), 256);
    assert!(forwarder.waiting() <= 4096, "{}", forwarder.waiting());
    assert!(full >= 900, "{full}");
    // And all that for one name.
    let mut desk = Desk::new();
    desk.asks("a.other.test.", 0);
    let mut waiting = 1;
    for port in 1..1500 {
        let got = desk.hear(&bytes(&question(port, "a.other.test.", RecordType::A)), port);
        waiting += usize::from(matches!(got, Got::Later));
    }
    assert_eq!(waiting, 1024);
}

/// What unbound calls jostling.
#[test]
fn a_new_question_takes_the_place_of_one_that_has_had_long_enough() {
    let mut desk = Desk::new();
    let first = desk.asks("silent0.other.test.", 1000);
    desk.turn(0.001);
    for number in 1..256 {
        desk.asks(&format!("silent{number}.other.test."), 1000 + number);
    }
    let refused = desk.answer(&question(1, "a.other.test.", RecordType::A));
    assert_eq!(refused.metadata.response_code, ResponseCode::ServFail, "none is that old");
    desk.now = ENOUGH + Duration::from_micros(1);
    assert!(desk.responder.forwarder().jostle(desk.now).is_none(), "nobody has come");
    let new = desk.asks("a.other.test.", 2);
    let (oldest, step) = desk.responder.forwarder().jostle(desk.now).unwrap();
    assert_eq!(oldest, first);
    let deliveries = desk.over(step);
    let [delivery] = deliveries.as_slice() else { panic!("{deliveries:?}") };
    assert_eq!(delivery.whom, whom(1000));
    let failure = Message::from_vec(&delivery.bytes).unwrap();
    assert_eq!(failure.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(desk.responder.forwarder().len(), 256);
    assert!(desk.responder.forwarder().jostle(desk.now).is_none(), "one for one");
    let refused = desk.answer(&question(1, "b.other.test.", RecordType::A));
    assert_eq!(
        refused.metadata.response_code,
        ResponseCode::ServFail,
        "the others aren't that old"
    );
    let answer = answer_to(&desk.asked(new));
    assert_eq!(desk.upstream_says(new, &answer).len(), 1);
    // It may be asked for again at once.
    desk.asks("silent0.other.test.", 1000);
}

/// Ten thousand names, and not one more, in the memory that they may have.
#[test]
fn the_cache_is_bounded() {
    let mut desk = Desk::new();
    for number in 0..10_500 {
        let of = format!("host{number}.a-middling-long-name.test.");
        desk.learn(&of, |answer| {
            answer.add_answer(address(of.as_str(), 3600, 1));
        });
        // This one is asked for all the time, and so it stays.
        if number % 100 == 0 {
            desk.answer(&question(7, "host0.a-middling-long-name.test.", RecordType::A));
            desk.turn(1.0);
        }
    }
    let cache = desk.responder.cache();
    assert_eq!(cache.len(), 10_000);
    assert!(cache.bytes() < 3 * 1024 * 1024, "{}", cache.bytes());
    desk.answer(&question(7, "host0.a-middling-long-name.test.", RecordType::A));
    desk.answer(&question(7, "host10499.a-middling-long-name.test.", RecordType::A));
    desk.asks("host1.a-middling-long-name.test.", 5);
    // Long ones are fewer.
    for number in 0..2000 {
        let of = format!("host{number}.long.test.");
        desk.learn(&of, |answer| {
            for last in 0..200 {
                answer.add_answer(address(of.as_str(), 3600, last));
            }
        });
    }
    let cache = desk.responder.cache();
    assert!(cache.len() < 1500 && cache.bytes() <= 3 * 1024 * 1024, "{}", cache.bytes());
}

/// A flood of questions that nobody repeats doesn't push out what is asked for all the time.
#[test]
fn a_flood_pushes_out_itself() {
    use ch12_kernel::dns::bounded_map::BoundedMap;
    let now = Duration::ZERO;
    let hour = Duration::from_secs(3600);
    let mut table = BoundedMap::new(100, 1_000_000);
    for number in 0..50u32 {
        table.insert(&number.to_be_bytes(), vec![1], now, hour);
    }
    for flood in 1000..20_000u32 {
        table.insert(&flood.to_be_bytes(), vec![2], now, hour);
        table.get(&(flood % 50).to_be_bytes(), now);
    }
    let left = (0..50u32).filter(|number| table.get(&number.to_be_bytes(), now).is_some()).count();
    assert_eq!((left, table.len()), (50, 100));
    // And its last ones are there.
    assert!(table.get(&19_999u32.to_be_bytes(), now).is_some());
    assert!(table.get(&19_999u32.to_be_bytes(), hour).is_none());
}

#[test]
fn an_answer_by_the_way_that_was_given_up_is_nothing() {
    let mut desk = Desk::new();
    let token = desk.asks("a.other.test.", 1);
    let asked = desk.asked(token);
    let mut cut = answer_to(&asked);
    cut.metadata.truncation = true;
    let step = desk.responder.heard(token, &bytes(&cut), Transport::Udp, desk.now);
    assert!(matches!(step, Step::Ask(Transport::Tcp, _)));
    let step = desk.responder.heard(token, &bytes(&cut), Transport::Udp, desk.now);
    assert_eq!(step, Step::Wait);
    let mut whole = answer_to(&asked);
    whole.add_answer(address("a.other.test.", 300, 1));
    let step = desk.responder.heard(token, &bytes(&whole), Transport::Tcp, desk.now);
    assert_eq!(desk.over(step).len(), 1);
}

#[test]
fn a_zone_says_what_is_wrong_with_it() {
    let complaint = |text: &str| Zone::from_text(text).unwrap_err();
    for (text, expected) in [
        ("a.test. 5 A 192.0.2.1", "there is no SOA"),
        ("a. 5 SOA b. c. 1 2 3 4 5\nd. 5 SOA b. c. 1 2 3 4 5", "two SOA"),
        ("a. 5 SOA b. c. 1 2 3 4 5\nb. 5 A 192.0.2.1", "b. isn't in the zone"),
        ("a. 5 SOA b. c. 1 2 3 4 5\nb.a. 5 CNAME c.\nb.a. 5 A 192.0.2.1", "b.a. is an alias"),
        ("a. 5 SOA b. c. 1 2 3 4 5\nb.a. 5 CH A 192.0.2.1", "of class CH"),
        ("a. 5 SOA b. c. 1 2 3 4 5\nb 5 A 192.0.2.1", "line 2: "),
        ("", "there is no SOA"),
    ] {
        let complaint = complaint(text);
        assert!(complaint.contains(expected), "{complaint}");
    }
    let missing = Zone::from_file(std::path::Path::new("/nowhere/at/all")).unwrap_err();
    assert!(missing.starts_with("/nowhere/at/all: "), "{missing}");
    let zone = zone();
    assert_eq!(*zone.apex(), name("example.test."));
    let found = zone.find(&name("web.example.test."), RecordType::A);
    let ch12_kernel::dns::zone::Found::Answer(answer) = found else { panic!("{found:?}") };
    assert!(matches!(answer.answers[0].data, RData::A(_)));
}
