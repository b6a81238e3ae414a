//! What is believed of an upstream's answer: what was asked for, and nothing else.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::answer::Answer;
use super::question::Question;
use super::zone::LONGEST_CHAIN;

/// The longest that an answer is kept, in seconds: a day. Others change their minds, too (RFC
/// 8767, section 4, has a week).
pub const LONGEST_TTL: u32 = 24 * 3600;
/// The longest that a no is kept, in seconds (RFC 2308, section 5: one to three hours).
pub const LONGEST_NO: u32 = 3 * 3600;
/// How long a failure is kept, in seconds (RFC 9520, section 3.2: at least one).
pub const FAILURE_TTL: u32 = 1;

/// An answer, and for how many seconds it may be kept: zero is not at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Believed {
    pub answer: Answer,
    pub ttl: u32,
}

impl Believed {
    /// We got no answer, or none that is one.
    pub fn failure() -> Self {
        Self { answer: Answer::of_code(ResponseCode::ServFail), ttl: FAILURE_TTL }
    }

    // ANCHOR: believed
    /// Follows the answer from the name that was asked for, alias by alias,
    /// and takes what lies on this way, in its order: some resolvers find
    /// an address only behind the alias that leads to it. What lies beside
    /// the way wasn't asked for; to keep it would be to let anybody fill
    /// our cache with anything.
    pub fn from_upstream(message: Message, question: &Question) -> Self {
        let code = message.metadata.response_code;
        if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
            return Self::failure();
        }
        let mut answer = Answer::of_code(code);
        let mut name = question.name.clone();
        for _ in 0..LONGEST_CHAIN {
            let here = wanted_of(&name, &message.answers, question);
            let is_data = |record: &Record| is_data(record, question.kind);
            if here.iter().any(is_data) {
                answer.answers.extend(here);
                return Self::yes(answer);
            }
            let alias = here.iter().find_map(|record| match &record.data {
                RData::CNAME(target) => Some(target.0.clone()),
                _ => None,
            });
            let Some(target) = alias else {
                // The way ends without what was asked for.
                return Self::no(answer, &message, &name, question);
            };
            answer.answers.extend(here);
            name = target;
        }
        Self::failure()
    }
    // ANCHOR_END: believed

    fn yes(mut answer: Answer) -> Self {
        // Whoever says that there is data says that there is the name.
        answer.code = ResponseCode::NoError;
        let ttl = level(&mut answer.answers, LONGEST_TTL);
        Self { answer, ttl }
    }

    /// Without an SOA nobody says how long a no holds, and it isn't kept (RFC 2308, section 5).
    fn no(mut answer: Answer, message: &Message, name: &Name, question: &Question) -> Self {
        let proves = |record: &&Record| {
            record.dns_class == DNSClass::IN
                && (is_soa_of(record, name) || is_proof(record, question))
        };
        answer.authorities = message.authorities.iter().filter(proves).cloned().collect();
        let minimum = answer.authorities.iter().find_map(|record| match &record.data {
            RData::SOA(soa) => Some(soa.minimum),
            _ => None,
        });
        let Some(minimum) = minimum else { return Self { answer, ttl: 0 } };
        let ttl = level(&mut answer.authorities, LONGEST_NO.min(minimum));
        let ttl = level(&mut answer.answers, LONGEST_TTL).min(ttl);
        Self { answer, ttl }
    }
}

/// Those that are of this name, in their order.
fn wanted_of(name: &Name, records: &[Record], question: &Question) -> Vec<Record> {
    let is_here = |record: &&Record| record.name == *name && is_wanted(record, question);
    records.iter().filter(is_here).cloned().collect()
}

fn is_wanted(record: &Record, question: &Question) -> bool {
    record.dns_class == DNSClass::IN
        && (is_data(record, question.kind)
            || record.record_type() == RecordType::CNAME
            || question.dnssec_ok && record.record_type() == RecordType::RRSIG)
}

fn is_data(record: &Record, kind: RecordType) -> bool {
    record.record_type() == kind || kind == RecordType::ANY
}

fn is_soa_of(record: &Record, name: &Name) -> bool {
    record.record_type() == RecordType::SOA && record.name.zone_of(name)
}

/// What shows those who check signatures that there is nothing (RFC 4035, section 3.1.3).
fn is_proof(record: &Record, question: &Question) -> bool {
    use RecordType::{NSEC, NSEC3, RRSIG};
    question.dnssec_ok && matches!(record.record_type(), NSEC | NSEC3 | RRSIG)
}

/// Gives all records the shortest time among them: then they end together. The time, at most
/// `longest`.
fn level(records: &mut [Record], longest: u32) -> u32 {
    // With the top bit set it counts as zero (RFC 2181, section 8).
    let ttl = |record: &Record| if record.ttl > i32::MAX as u32 { 0 } else { record.ttl };
    let least = records.iter().map(ttl).min().unwrap_or(longest).min(longest);
    for record in records {
        record.ttl = least;
    }
    least
}
