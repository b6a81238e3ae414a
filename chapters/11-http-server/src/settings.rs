//! What a server allows, and for how long it waits.

use std::time::Duration;

use ch10_http::Limits;

/// What a server allows.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Longest heads and bodies of requests, in bytes.
    pub limits: Limits,
    /// How many connections at the most, in each loop. More get 503 (RFC 9110, section
    /// 15.6.4).
    pub max_connections: usize,
    /// To say something, at first and between two requests.
    pub idle_timeout: Duration,
    /// To send the whole head of a request, from its first byte on. Late ones get 408.
    pub head_timeout: Duration,
    /// To send some more of a request's body.
    pub body_timeout: Duration,
    /// For a handler to give the answer that it gives later. Late ones: 504.
    pub handler_timeout: Duration,
    /// To take some more of an answer.
    pub send_timeout: Duration,
    /// To hang up, when all is said.
    pub linger_timeout: Duration,
    /// For all that was begun, when the server is stopped.
    pub shutdown_timeout: Duration,
}

impl Settings {
    // ANCHOR: usual
    /// Good for a server on the internet.
    pub const USUAL: Self = Self {
        limits: Limits::USUAL,
        max_connections: 10_000,
        idle_timeout: Duration::from_secs(60),
        head_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(20),
        handler_timeout: Duration::from_secs(60),
        send_timeout: Duration::from_secs(30),
        linger_timeout: Duration::from_secs(2),
        shutdown_timeout: Duration::from_secs(10),
    };
    // ANCHOR_END: usual
}
