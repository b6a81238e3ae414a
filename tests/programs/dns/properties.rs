//! What holds for whatever bytes there are.

use std::time::Duration;

use ch12_kernel::dns::question::Transport;
use ch12_kernel::dns::responder::Said;
use ch12_kernel::dns::{Responder, Times};
use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;

use crate::house::{address, alias, answer_to, bytes, question, soa, with_edns, zone};
use crate::responder::{Desk, Got, whom};

/// Messages with something wrong in them.
fn spoiled(random: &mut fastrand::Rng, mut message: Vec<u8>) -> Vec<u8> {
    for _ in 0..random.usize(0..4) {
        match random.u8(0..5) {
            0 => {
                message.truncate(random.usize(0..=message.len()));
            }
            1 => message.extend((0..random.usize(0..20)).map(|_| random.u8(..))),
            2 => {
                // Pointers, counts, lengths: bytes that mean much.
                let at = random.usize(0..=message.len());
                if let Some(byte) = message.get_mut(at) {
                    *byte = *random.choice(&[0, 1, 12, 0x3f, 0x40, 0xc0, 0xff]).unwrap();
                }
            }
            3 => {
                let at = random.usize(0..=message.len());
                message.insert(at, random.u8(..));
            }
            _ => {
                let at = random.usize(0..=message.len());
                if let Some(byte) = message.get_mut(at) {
                    *byte ^= 1 << random.u8(0..8);
                }
            }
        }
    }
    message
}

fn names() -> [&'static str; 14] {
    [
        "web.example.test.",
        "www.example.test.",
        "nobody.example.test.",
        "out.example.test.",
        "any.wild.example.test.",
        "loop.example.test.",
        "x.sub.example.test.",
        "example.test.",
        "WEB.example.test.",
        "a.other.test.",
        "nx.other.test.",
        "chain.other.test.",
        "lost.example.test.",
        "long.other.test.",
    ]
}

fn kinds() -> [RecordType; 6] {
    [
        RecordType::A,
        RecordType::AAAA,
        RecordType::MX,
        RecordType::ANY,
        RecordType::CNAME,
        RecordType::Unknown(999),
    ]
}

fn a_question(random: &mut fastrand::Rng) -> Message {
    let (of, kind) = (*random.choice(&names()).unwrap(), *random.choice(&kinds()).unwrap());
    let mut message = question(random.u16(..), of, kind);
    message.metadata.recursion_desired = random.u8(0..8) > 0;
    message.metadata.checking_disabled = random.u8(0..8) == 0;
    if random.bool() {
        message = with_edns(message, *random.choice(&[0, 512, 700, 1232, 4096]).unwrap());
        message.edns.as_mut().unwrap().flags_mut().dnssec_ok = random.u8(0..8) == 0;
    }
    message
}

/// What an upstream might answer.
fn an_answer(random: &mut fastrand::Rng, asked: &Message) -> Message {
    let own = asked.queries[0].name().clone();
    let mut answer = answer_to(asked);
    match random.u8(0..6) {
        0 => {
            answer.add_answer(alias(own, random.u32(0..9), "end.other.test."));
            answer.add_answer(address("end.other.test.", random.u32(0..9), 1));
        }
        1 => {
            answer.add_authority(soa("other.test.", 9, random.u32(0..9)));
        }
        2 => {
            for last in 0..random.u8(0..90) {
                answer.add_answer(address(own.clone(), random.u32(0..9), last));
            }
        }
        3 => answer.metadata.response_code = random.u16(0..24).into(),
        _ => {
            answer.add_answer(address(own, random.u32(0..9), 1));
        }
    }
    answer
}

/// Nothing that anybody sends makes it panic, and what it answers can be read, is an answer, has
/// the number of its question, and is no longer than it may be.
#[test]
fn whatever_bytes_come() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut desk = Desk::new();
    let mut answers = 0;
    for _ in 0..12_000 {
        desk.turn(0.01);
        let message = match random.u8(0..10) {
            0 => (0..random.usize(0..80)).map(|_| random.u8(..)).collect(),
            _ => {
                let message = bytes(&a_question(&mut random));
                spoiled(&mut random, message)
            }
        };
        let transport = *random.choice(&[Transport::Udp, Transport::Tcp]).unwrap();
        match desk.responder.hear(&message, transport, whom(random.u16(..)), desk.now) {
            Said::Answer(said) => {
                answers += 1;
                assert_eq!(said[..2], message[..2]);
                assert!(said[2] & 0x80 != 0);
                Message::from_vec(said).expect("it can be read");
                assert!(transport == Transport::Tcp || said.len() <= 1232);
            }
            Said::Ask(token) => {
                let asked = desk.asked(token);
                let answer = bytes(&an_answer(&mut random, &asked));
                let answer = spoiled(&mut random, answer);
                let by = *random.choice(&[Transport::Udp, Transport::Tcp]).unwrap();
                if let ch12_kernel::dns::forwarder::Step::Over(ended) =
                    desk.responder.heard(token, &answer, by, desk.now)
                {
                    for delivery in desk.responder.over(&ended, desk.now) {
                        Message::from_vec(&delivery.bytes).expect("it can be read");
                    }
                } else {
                    let deadline = desk.now + Duration::from_secs(4);
                    let step = desk.responder.forwarder().late(token, deadline);
                    desk.over(step);
                }
            }
            Said::Nothing | Said::Later => {}
        }
        assert_eq!(desk.responder.forwarder().len(), 0);
    }
    assert!(answers > 4_000, "{answers}");
}

/// An answer that is remembered by the bytes of its question is, to the byte, what would have
/// been worked out. Two servers get the same messages; one forgets its packets each time.
#[test]
fn what_is_remembered_is_what_would_be_said() {
    let mut random = fastrand::Rng::with_seed(2);
    let (mut quick, mut slow) = (Desk::new(), Desk::new());
    let questions: Vec<Vec<u8>> = (0..300).map(|_| bytes(&a_question(&mut random))).collect();
    let (mut compared, mut asked) = (0, 0);
    for _ in 0..12_000 {
        let step = random.f64() * 0.02;
        quick.turn(step);
        slow.now = quick.now;
        // The zone again: it forgets the packets, and nothing else.
        slow.responder.set_zone(Some(zone()));
        let mut message = random.choice(&questions).unwrap().clone();
        message[..2].copy_from_slice(&random.u16(..).to_be_bytes());
        if random.u8(0..20) == 0 {
            message = spoiled(&mut random, message);
        }
        let (one, other) = (
            said(&mut quick.responder, &message, quick.now),
            said(&mut slow.responder, &message, slow.now),
        );
        assert_eq!(one, other);
        compared += usize::from(one.is_some());
        if let (Got::Ask(token), Got::Ask(same)) = (quick.hear(&message, 1), slow.hear(&message, 1))
        {
            let question = quick.asked(token);
            assert_eq!(question, slow.asked(same));
            let answer = an_answer(&mut random, &question);
            let (one, other) = (
                quick.responder.heard(token, &bytes(&answer), Transport::Udp, quick.now),
                slow.responder.heard(same, &bytes(&answer), Transport::Udp, slow.now),
            );
            assert_eq!(finish(&mut quick, token, one), finish(&mut slow, same, other));
            asked += 1;
        }
    }
    assert!(compared > 4_000 && asked > 100, "{compared}, {asked}");
}

fn finish(
    desk: &mut Desk,
    token: ch07_callbacks::Token,
    step: ch12_kernel::dns::forwarder::Step,
) -> Vec<ch12_kernel::dns::responder::Delivery> {
    use ch12_kernel::dns::forwarder::Step;
    match step {
        Step::Over(ended) => desk.responder.over(&ended, desk.now),
        _ => {
            let deadline = desk.now + Duration::from_secs(4);
            let step = desk.responder.forwarder().late(token, deadline);
            desk.over(step)
        }
    }
}

/// What it says at once. What it doesn't is put back as it was.
fn said(responder: &mut Responder, message: &[u8], now: Duration) -> Option<Vec<u8>> {
    match responder.hear(message, Transport::Udp, whom(1), now) {
        Said::Answer(bytes) => Some(bytes.to_vec()),
        Said::Ask(token) => {
            // Nobody waits for it: as if it had never been asked.
            responder.forwarder().late(token, now + Duration::from_secs(600));
            None
        }
        _ => None,
    }
}

/// Questions that differ in one bit get what they ask for, and not what another one got.
#[test]
fn a_bit_makes_another_question() {
    let asked = with_edns(question(1, "web.example.test.", RecordType::A), 1232);
    let asked = bytes(&asked);
    for bit in 0..asked.len() * 8 {
        let mut other = asked.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        let fresh = |first: &[&[u8]]| {
            let mut responder = Responder::new(Some(zone()), false, Times::USUAL);
            for message in first {
                said(&mut responder, message, Duration::ZERO);
            }
            said(&mut responder, &other, Duration::ZERO)
        };
        assert_eq!(fresh(&[&asked, &asked]), fresh(&[]), "bit {bit}");
    }
}
