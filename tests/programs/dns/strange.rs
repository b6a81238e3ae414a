//! Strange questions, and what servers owe to those who ask them (RFC 8906).

use std::io::Write;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{DNSClass, RecordType};
use rstest::rstest;

use crate::house::{House, bytes, framed, hear, hear_framed, question, with_edns};
use crate::responder::{Desk, Got};

fn plain() -> Message {
    question(0x1234, "web.example.test.", RecordType::A)
}

#[rstest]
#[case::inverse(1)]
#[case::status(2)]
#[case::nobody_has_it(3)]
#[case::notify(4)]
#[case::update(5)]
#[case::the_last(15)]
fn an_operation_that_we_do_not_know(#[case] op_code: u8) {
    let mut asked = bytes(&plain());
    asked[2] = asked[2] & 0x87 | op_code << 3;
    for length in [asked.len(), 12] {
        let Got::Answer(answer) = Desk::new().hear(&asked[..length], 1) else {
            panic!("no answer")
        };
        assert_eq!(answer.metadata.response_code, ResponseCode::NotImp);
        assert_eq!(answer.metadata.op_code, OpCode::from_u8(op_code));
        assert_eq!(answer.metadata.id, 0x1234);
    }
}

#[rstest]
#[case::chaos(DNSClass::CH, ResponseCode::Refused)]
#[case::any(DNSClass::ANY, ResponseCode::Refused)]
#[case::none(DNSClass::NONE, ResponseCode::Refused)]
#[case::nobody_has_it(DNSClass::Unknown(0x1234), ResponseCode::Refused)]
fn a_class_that_we_do_not_know(#[case] class: DNSClass, #[case] code: ResponseCode) {
    let mut asked = with_edns(plain(), 1232);
    asked.queries[0].set_query_class(class);
    let answer = Desk::new().answer(&asked);
    assert_eq!(answer.metadata.response_code, code);
    assert_eq!(answer.queries, asked.queries);
    assert!(answer.edns.is_some());
}

#[rstest]
#[case::a_whole_zone(RecordType::AXFR, ResponseCode::Refused)]
#[case::what_is_new_in_it(RecordType::IXFR, ResponseCode::Refused)]
#[case::a_mailbox(RecordType::Unknown(253), ResponseCode::NotImp)]
#[case::a_key_for_a_message(RecordType::TSIG, ResponseCode::NotImp)]
#[case::no_question_of_data(RecordType::Unknown(200), ResponseCode::NotImp)]
#[case::nothing(RecordType::Unknown(0), ResponseCode::FormErr)]
#[case::part_of_a_message(RecordType::OPT, ResponseCode::FormErr)]
#[case::nobody_has_it(RecordType::Unknown(1000), ResponseCode::NoError)]
#[case::private(RecordType::Unknown(65_300), ResponseCode::NoError)]
fn a_type_that_is_none(#[case] kind: RecordType, #[case] code: ResponseCode) {
    let answer = Desk::new().answer(&question(3, "web.example.test.", kind));
    assert_eq!(answer.metadata.response_code, code);
    assert_eq!((answer.metadata.id, answer.answers.len()), (3, 0));
}

#[test]
fn a_version_of_edns_that_we_do_not_know() {
    let mut asked = with_edns(plain(), 1232);
    asked.edns.as_mut().unwrap().set_version(1);
    let answer = Desk::new().answer(&asked);
    // BADVERS; of a signature the same number means something else.
    assert_eq!(u16::from(answer.metadata.response_code), 16);
    let edns = answer.edns.unwrap();
    assert_eq!((edns.version(), edns.max_payload()), (0, 1232));
    assert!(answer.answers.is_empty());
}

/// An OPT record with whatever in it, behind the plain question.
fn with_opt(ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut asked = bytes(&plain());
    asked[11] = 1;
    asked.extend([0, 0, 41, 4, 208]);
    asked.extend(ttl.to_be_bytes());
    asked.extend((data.len() as u16).to_be_bytes());
    asked.extend(data);
    asked
}

#[rstest]
#[case::options(0, &[0xfd, 0xe9, 0, 3, 1, 2, 3])]
#[case::an_empty_option(0, &[0xfd, 0xe9, 0, 0])]
#[case::a_cookie(0, &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8])]
#[case::where_the_asker_is(0, &[0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2])]
#[case::flags(0x0000_7fff, &[])]
fn what_we_do_not_know_of_edns_is_ignored(#[case] ttl: u32, #[case] data: &[u8]) {
    let Got::Answer(answer) = Desk::new().hear(&with_opt(ttl, data), 1) else {
        panic!("no answer")
    };
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert_eq!(answer.answers.len(), 2);
    let edns = answer.edns.expect("it speaks EDNS too");
    assert_eq!((edns.flags().z, edns.options().as_ref().len()), (0, 0));
}

/// Asked which server answers (RFC 5001), it says which generation it is, whatever the answer; and nobody else is told.
#[rstest]
#[case::who_knows_it(Some(7), true, Some("generation 7"))]
#[case::who_knows_nothing(None, true, None)]
#[case::who_is_not_asked(Some(7), false, None)]
fn which_server_it_is_is_said(
    #[case] generation: Option<u64>,
    #[case] is_asked: bool,
    #[case] says: Option<&str>,
) {
    let nsid: &[u8] = if is_asked { &[0, 3, 0, 0] } else { &[] };
    let well = with_opt(0, nsid);
    let mut of_another_class = well.clone();
    let class = bytes(&plain()).len() - 1;
    of_another_class[class] = 3;
    for (asked, code) in [(well, ResponseCode::NoError), (of_another_class, ResponseCode::Refused)]
    {
        let mut desk = Desk::new();
        desk.responder = desk.responder.of_generation(generation);
        // Not even if somebody else has just been told.
        desk.hear(&with_opt(0, &[0, 3, 0, 0]), 2);
        let Got::Answer(answer) = desk.hear(&asked, 1) else { panic!("no answer") };
        assert_eq!(answer.metadata.response_code, code);
        let edns = answer.edns.expect("it speaks EDNS too");
        let server = edns.option(EdnsCode::NSID).map(|option| match option {
            EdnsOption::NSID(server) => String::from_utf8_lossy(server.as_ref()).into_owned(),
            other => panic!("{other:?}"),
        });
        assert_eq!(server.as_deref(), says);
    }
}

#[test]
fn half_an_option_or_two_opts_are_malformed() {
    let halves = with_opt(0, &[0xfd, 0xe9, 0, 9, 1]);
    let mut two = with_opt(0, &[]);
    two[11] = 2;
    two.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    for asked in [halves, two] {
        let Got::Answer(answer) = Desk::new().hear(&asked, 1) else { panic!("no answer") };
        assert_eq!(answer.metadata.response_code, ResponseCode::FormErr);
    }
}

/// The sizes that askers offer, and how much they get of an answer of 600 bytes.
#[rstest]
#[case::none(None, false)]
#[case::less_than_there_may_be(Some(100), false)]
#[case::the_least(Some(512), false)]
#[case::enough(Some(800), true)]
#[case::everything(Some(65_535), true)]
fn sizes(#[case] offered: Option<u16>, #[case] fits: bool) {
    let mut desk = Desk::new();
    let long: String = (0..4).map(|_| format!("\"{}\" ", "x".repeat(140))).collect();
    let text = format!("{}long TXT {long}\n", crate::house::ZONE);
    desk.responder.set_zone(Some(ch12_kernel::dns::Zone::from_text(&text).unwrap()));
    let asked = question(3, "long.example.test.", RecordType::TXT);
    let asked = match offered {
        Some(size) => with_edns(asked, size),
        None => asked,
    };
    let answer = desk.answer(&asked);
    assert_eq!(answer.metadata.truncation, !fits);
    assert_eq!(answer.answers.len(), usize::from(fits));
    assert_eq!(answer.edns.is_some(), offered.is_some());
}

/// However much somebody can take, they get no more than fits into one piece everywhere.
#[test]
fn no_datagram_is_longer_than_1232() {
    let mut desk = Desk::new();
    for strings in 1..12 {
        let long: String = (0..strings).map(|_| format!("\"{}\" ", "x".repeat(140))).collect();
        let text = format!("{}long TXT {long}\n", crate::house::ZONE);
        desk.responder.set_zone(Some(ch12_kernel::dns::Zone::from_text(&text).unwrap()));
        let asked = with_edns(question(3, "long.example.test.", RecordType::TXT), 4096);
        let answer = desk.answer(&asked);
        assert!(bytes(&answer).len() <= 1232);
        assert_eq!(answer.metadata.truncation, strings > 8, "{strings}");
    }
}

#[rstest]
#[case::no_questions(0)]
#[case::two_questions(2)]
#[case::more_than_there_are(0xffff)]
fn another_number_of_questions_than_one(#[case] count: u16) {
    let mut asked = bytes(&plain());
    asked[4..6].copy_from_slice(&count.to_be_bytes());
    let Got::Answer(answer) = Desk::new().hear(&asked, 1) else { panic!("no answer") };
    assert_eq!(answer.metadata.response_code, ResponseCode::FormErr);
}

#[rstest]
#[case::nothing(&[])]
#[case::a_byte(&[7])]
#[case::less_than_a_header(&[1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0])]
#[case::an_answer(&[1, 2, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1])]
fn what_gets_no_answer(#[case] said: &[u8]) {
    assert!(matches!(Desk::new().hear(said, 1), Got::Nothing));
}

#[rstest]
#[case::a_name_that_points_at_itself(&[0xc0, 12])]
#[case::a_name_that_points_ahead(&[0xc0, 40])]
#[case::two_that_point_at_each_other(&[1, b'a', 0xc0, 12])]
#[case::a_name_without_an_end(&[3, b'w', b'w'])]
#[case::a_label_of_another_kind(&[0x41, b'a', 0])]
#[case::no_name(&[])]
#[case::a_name_without_a_type(&[1, b'a', 0, 0])]
fn a_question_that_cannot_be_read(#[case] tail: &[u8]) {
    let mut asked = bytes(&plain());
    asked.truncate(12);
    asked.extend(tail);
    let Got::Answer(answer) = Desk::new().hear(&asked, 1) else { panic!("no answer") };
    assert_eq!(answer.metadata.response_code, ResponseCode::FormErr);
    assert_eq!(answer.metadata.id, 0x1234);
}

#[test]
fn a_name_that_is_longer_than_names_are() {
    let mut asked = bytes(&plain());
    asked.truncate(12);
    for _ in 0..5 {
        asked.push(63);
        asked.extend([b'a'; 63]);
    }
    asked.extend([0, 0, 1, 0, 1]);
    let Got::Answer(answer) = Desk::new().hear(&asked, 1) else { panic!("no answer") };
    assert_eq!(answer.metadata.response_code, ResponseCode::FormErr);
}

/// The same by sockets: who sends rubbish hurts nobody.
#[test]
fn rubbish_by_datagram_and_by_stream() {
    let house = House::open(None);
    let asker = house.asker();
    for rubbish in [&b""[..], &b"\0"[..], &[0xff; 3000][..], &[0; 12][..], &bytes(&plain())[..20]] {
        asker.send(rubbish).unwrap();
    }
    // An empty header is a question without a question; and half a question is one too.
    assert_eq!(hear(&asker).metadata.response_code, ResponseCode::FormErr);
    assert_eq!(hear(&asker).metadata.response_code, ResponseCode::FormErr);
    let mut stream = house.connect();
    stream.write_all(&framed(&bytes(&plain())[..20])).unwrap();
    stream.write_all(&framed(&bytes(&plain()))).unwrap();
    assert_eq!(hear_framed(&mut stream).unwrap().metadata.response_code, ResponseCode::FormErr);
    assert_eq!(hear_framed(&mut stream).unwrap().answers.len(), 2);
    house.is_well();
}
