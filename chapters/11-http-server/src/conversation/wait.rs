//! What there is to wait for.

use std::time::Duration;

// ANCHOR: wait
/// What a conversation waits for. Each has its own limit in the
/// [`Settings`](crate::Settings).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The first byte of a request, the first one or the next.
    Idle,
    /// The rest of a request's head.
    Head,
    /// More of its body.
    Body,
    /// An answer that comes later.
    Handler,
    /// The client to take more of what is queued.
    Send,
    /// A stream that has nothing to say at the moment. It may be silent
    /// for as long as it likes.
    Stream,
    /// The client to hang up.
    Linger,
    /// Nothing: there is something to be done at once.
    Nothing,
}
// ANCHOR_END: wait

/// A wait, and when it has lasted too long.
#[derive(Clone, Copy)]
pub(super) struct Waits {
    pub what: Wait,
    /// By the caller's clock.
    pub deadline: Option<Duration>,
    /// The request during which it began.
    pub request: u64,
    /// Since it was last looked at, something was sent, or a good piece of a body came.
    pub progress: bool,
}
