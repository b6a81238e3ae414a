//! Answers by the very bytes of their question: for those who ask what others have asked.
//!
//! Of all that we do for an answer, reading the message and writing another one is most. Without
//! this file the server would say the same, and be slower.

use std::time::Duration;

use super::bounded_map::BoundedMap;

/// How many answers are kept.
pub const MOST_PACKETS: usize = 2048;
/// How much memory they take at the most, in bytes, all told.
pub const MOST_BYTES: usize = 768 * 1024;
/// The longest question that is kept, in bytes: a name of 255, and what EDNS adds.
const LONGEST_QUESTION: usize = 320;
/// How many bytes the number takes, at the front (RFC 1035, section 4.1.1): another one in each
/// question, and the only thing that is.
const ID: usize = 2;

/// Answers as they were sent, but for their number.
#[derive(Debug)]
pub struct Packets {
    table: BoundedMap,
    /// The last answer. Kept, so that one needs no new memory.
    answer: Vec<u8>,
}

impl Default for Packets {
    fn default() -> Self {
        Self { table: BoundedMap::new(MOST_PACKETS, MOST_BYTES), answer: Vec::new() }
    }
}

impl Packets {
    // ANCHOR: look
    /// Whether this question was asked before, in the same words, and the
    /// answer still holds. Then it's in [`answer`](Self::answer).
    pub fn look(&mut self, question: &[u8], now: Duration) -> bool {
        let Some((id, words)) = question.split_at_checked(ID) else { return false };
        let Some(entry) = self.table.get(words, now) else { return false };
        self.answer.clear();
        self.answer.extend_from_slice(id);
        self.answer.extend_from_slice(entry.value);
        true
    }
    // ANCHOR_END: look

    /// What was last found, or put.
    pub fn answer(&self) -> &[u8] {
        &self.answer
    }

    /// Keeps an answer here for as long as it takes to send it.
    pub fn put(&mut self, answer: Vec<u8>) -> &[u8] {
        self.answer = answer;
        &self.answer
    }

    /// Remembers what a question gets, until it would get something else.
    pub fn remember(&mut self, question: &[u8], answer: &[u8], now: Duration, until: Duration) {
        let Some((_, words)) = question.split_at_checked(ID) else { return };
        let Some((_, said)) = answer.split_at_checked(ID) else { return };
        if question.len() <= LONGEST_QUESTION {
            self.table.insert(words, said.to_vec(), now, until);
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.table.clear();
    }
}
