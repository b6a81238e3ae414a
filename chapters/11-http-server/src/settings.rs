//! What a server allows, and for how long it waits.

use std::time::Duration;

use ch10_http::Limits;

// ANCHOR: settings
/// What a server allows.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Longest heads and bodies of requests, in bytes.
    pub limits: Limits,
    /// How many connections at the most, in each loop. More get 503 (RFC 9110, section
    /// 15.6.4).
    pub connections: usize,
    /// To say something, at first and between two requests.
    pub idle: Duration,
    /// To send the whole head of a request, from its first byte on. Late ones get 408.
    pub head: Duration,
    /// To send some more of a request's body.
    pub body: Duration,
    /// For a handler to give the answer that it gives later. Late ones: 504.
    pub handler: Duration,
    /// To take some more of an answer.
    pub answer: Duration,
    /// To hang up, when all is said.
    pub leave: Duration,
    /// For all that was begun, when the server is stopped.
    pub grace: Duration,
}

impl Settings {
    // ANCHOR: usual
    /// Good for a server on the internet.
    pub const USUAL: Self = Self {
        limits: Limits::USUAL,
        connections: 10_000,
        idle: Duration::from_secs(60),
        head: Duration::from_secs(10),
        body: Duration::from_secs(20),
        handler: Duration::from_secs(60),
        answer: Duration::from_secs(30),
        leave: Duration::from_secs(2),
        grace: Duration::from_secs(10),
    };
    // ANCHOR_END: usual
}
// ANCHOR_END: settings
