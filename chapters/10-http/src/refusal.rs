//! What a request gets that isn't taken.

use std::fmt;

use crate::exchange::Exchange;
use crate::status::Status;

// ANCHOR: refusal
/// Why a request isn't taken, and what it gets for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: Status,
    /// The connection must close: nobody knows where the next request
    /// begins.
    pub close: bool,
    /// What is wrong, in words: for people.
    pub why: &'static str,
    /// What the framing of the answer depends on.
    pub exchange: Exchange,
}
// ANCHOR_END: refusal

impl Refusal {
    pub(crate) const fn new(status: Status, why: &'static str) -> Self {
        Self { status, close: true, why, exchange: Exchange::UNKNOWN }
    }

    pub(crate) const fn bad(why: &'static str) -> Self {
        Self::new(Status::BAD_REQUEST, why)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status.code(), self.why)
    }
}

impl std::error::Error for Refusal {}
