//! What a conversation waits for, for how long, and what follows if that was too long.

use std::time::Duration;

use ch10_http::Status;

use super::wait::{Wait, Waits};
use super::{After, Conversation, State, Streaming};
use crate::response::{Flow, Response};

impl Conversation {
    /// When it has waited too long, by the caller's clock.
    pub fn deadline(&self) -> Option<Duration> {
        self.waits.deadline
    }

    /// What it has been waiting for since the last turn was finished.
    pub fn waiting(&self) -> Wait {
        self.waits.what
    }

    /// To be called when all is done that can be: sees what comes next, and for how long to
    /// wait for it. `again`: there is more to be done, without waiting for anything.
    pub fn finish_turn(&mut self, now: Duration, again: bool) {
        if self.queue.is_empty() {
            self.move_on(again);
        }
        let what = if again { Wait::Nothing } else { self.waits_for() };
        let Waits { what: before, request, progress, .. } = self.waits;
        // `progress`: bytes were sent, or a body has grown. A byte more of a head is none.
        if what != before || request != self.request || progress {
            let deadline = self.limit(what).map(|limit| now + limit);
            self.waits = Waits { what, deadline, request: self.request, progress: false };
        }
    }

    /// All is sent.
    fn move_on(&mut self, again: bool) {
        let ends = self.input_ended || self.stopping;
        match &self.state {
            State::Reading | State::Receiving(_) if self.input_ended && !again => {
                self.state = State::Done;
            }
            State::Reading if self.stopping && !again && self.waits_for() == Wait::Idle => {
                self.state = State::Done;
            }
            // It pauses, perhaps for ever; and the server is being stopped, or nobody will tell
            // whether somebody who has finished sending still listens.
            State::Streaming(Streaming { flow: Flow::Pause, .. }) if ends => {
                self.state = State::Done;
            }
            // ANCHOR: closing
            State::Closing { lingers } => {
                let lingers = *lingers || !self.input.is_empty();
                self.state = match lingers && !self.input_ended {
                    true => State::Lingering { told: false },
                    false => State::Done,
                };
                self.input = Vec::new();
            }
            // ANCHOR_END: closing
            State::Lingering { .. } if self.input_ended => self.state = State::Done,
            _ => {}
        }
    }

    fn waits_for(&self) -> Wait {
        if !self.queue.is_empty() {
            return Wait::Send;
        }
        match &self.state {
            State::Reading if self.is_between() => Wait::Idle,
            State::Reading if self.parser.is_between() => Wait::Head,
            State::Reading | State::Receiving(_) => Wait::Body,
            State::Handling(_) => Wait::Handler,
            State::Streaming(Streaming { flow: Flow::Pause, .. }) => Wait::Stream,
            State::Lingering { .. } => Wait::Linger,
            State::Streaming(_) | State::Closing { .. } | State::Done => Wait::Nothing,
        }
    }

    fn limit(&self, what: Wait) -> Option<Duration> {
        let settings = &self.common.settings;
        match what {
            Wait::Idle => Some(settings.idle_timeout),
            Wait::Head => Some(settings.head_timeout),
            Wait::Body => Some(settings.body_timeout),
            Wait::Handler => Some(settings.handler_timeout),
            Wait::Send => Some(settings.send_timeout),
            Wait::Linger => Some(settings.linger_timeout),
            Wait::Stream | Wait::Nothing => None,
        }
    }

    // ANCHOR: late
    /// Whether it has waited too long. If so, it's over, or the client
    /// gets an answer that says so.
    pub fn check_deadline(&mut self, now: Duration) -> bool {
        if self.waits.deadline.is_none_or(|deadline| deadline > now) {
            return false;
        }
        self.waits.deadline = None;
        match (self.waits.what, &self.state) {
            (Wait::Head | Wait::Body, _) => {
                let why = "The request didn't become whole in time.";
                self.decline(Response::<()>::error(Status::REQUEST_TIMEOUT, why));
            }
            (Wait::Handler, State::Handling(handling)) => {
                let why = "The answer wasn't there in time.";
                let response = Response::<()>::error(Status::GATEWAY_TIMEOUT, why);
                self.respond(*handling, response);
            }
            (Wait::Idle | Wait::Send | Wait::Linger, _) => {
                self.state = State::Done;
            }
            // The answer came at the last moment: what comes next is seen when it has its turn.
            (Wait::Handler, _) | (Wait::Stream | Wait::Nothing, _) => return false,
        }
        true
    }
    // ANCHOR_END: late

    // ANCHOR: stop
    /// The server is being stopped: what was begun is finished, and
    /// nothing else. To be called when all that has come was looked
    /// through.
    pub fn stop(&mut self) {
        self.stopping = true;
        match &mut self.state {
            State::Handling(handling) => handling.exchange.keep_alive = false,
            State::Streaming(streaming) => streaming.after = After::Close { lingers: true },
            // It was told that the connection stays, and may have asked
            // for more: that isn't begun.
            State::Reading if !self.queue.is_empty() => {
                self.state = State::Closing { lingers: true };
            }
            State::Closing { lingers } => *lingers = true,
            _ => {}
        }
    }
    // ANCHOR_END: stop
}
