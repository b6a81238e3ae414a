//! What upstreams have answered, for as long as they allow.

use std::time::Duration;

use hickory_proto::op::{Message, OpCode};

use super::answer::{Answer, whole};
use super::believed::Believed;
use super::bounded_map::BoundedMap;

/// How many answers are kept.
pub const MOST_ANSWERS: usize = 10_000;
/// How much memory they take at the most, in bytes, all told.
pub const MOST_BYTES: usize = 3 * 1024 * 1024;

/// Answers by question. They are kept as messages: a tenth of what they take as records.
#[derive(Debug)]
pub struct Cache(BoundedMap);

/// An answer from the cache, with the time that is left to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Cached {
    pub answer: Answer,
    /// Until then it's said in the same words: then a second less is left to it.
    pub until: Duration,
}

impl Default for Cache {
    fn default() -> Self {
        Self(BoundedMap::new(MOST_ANSWERS, MOST_BYTES))
    }
}

impl Cache {
    /// Keeps an answer for as long as it may be kept.
    pub fn insert(&mut self, key: &[u8], believed: &Believed, now: Duration) {
        let Answer { code, answers, authorities, .. } = &believed.answer;
        let mut message = Message::response(0, OpCode::Query);
        message.metadata.response_code = *code;
        message.answers.clone_from(answers);
        message.authorities.clone_from(authorities);
        let Some(bytes) = whole(&message) else { return };
        let until = now.saturating_add(Duration::from_secs(believed.ttl.into()));
        self.0.insert(key, bytes, now, until);
    }

    // ANCHOR: get
    /// What is known, with as much less to live as it has been here.
    pub fn get(&mut self, key: &[u8], now: Duration) -> Option<Cached> {
        let entry = self.0.get(key, now)?;
        let age = now.saturating_sub(entry.stored).as_secs();
        let mut message = Message::from_vec(entry.value).ok()?;
        for record in message.answers.iter_mut().chain(&mut message.authorities) {
            record.decrement_ttl(age.try_into().unwrap_or(u32::MAX));
        }
        let mut answer = Answer::of_code(message.metadata.response_code);
        answer.answers = message.answers;
        answer.authorities = message.authorities;
        Some(Cached { answer, until: entry.stored + Duration::from_secs(age + 1) })
    }
    // ANCHOR_END: get

    /// How many answers are kept.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes they take, all told.
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }
}
