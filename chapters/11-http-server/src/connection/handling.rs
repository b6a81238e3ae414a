//! How requests get their answers, from a handler or later, and their lines in the log.

use std::io;
use std::net::SocketAddr;
use std::thread;

use ch07_callbacks::{EventLoop, Token};
use ch10_http::{Head, Status};

use super::Connection;
use crate::answer::{Answer, Response, Ticket};
use crate::conversation::{Conversation, EndedTooEarly};
use crate::log::Line;

/// When one who found no room may try again, in seconds (RFC 9110, section 10.2.3).
const RETRY_AFTER: &str = "1";

impl Connection {
    /// A request is being answered. From now on its ticket is good.
    pub(super) fn begin(&mut self, me: Token, head: &Head<'_>) -> (Ticket, SocketAddr) {
        let Self { shared, from, .. } = self;
        shared.counters.requests.add(1);
        self.line = shared.log.as_ref().map(|_| Box::new(Line::of(*from, head)));
        self.handling = Some(None);
        (Ticket { connection: me, request: self.conversation.request() }, *from)
    }

    /// What has become of it. What the handler gives back counts, whatever its ticket was
    /// used for meanwhile.
    #[inline]
    pub(super) fn answer(&mut self, ticket: Ticket, answer: thread::Result<Answer>) {
        let given = self.handling.take().flatten();
        match answer {
            Ok(Answer::Now(response)) => _ = self.respond(ticket, response),
            Ok(Answer::Later) => {
                if let Some(response) = given {
                    self.respond(ticket, *response);
                }
            }
            Err(_) => {
                self.shared.counters.panics.add(1);
                self.conversation.closes();
                let why = "Something went wrong here.";
                self.respond(ticket, Response::error(Status::INTERNAL_SERVER_ERROR, why));
            }
        }
    }

    /// Whether the answer was the one that is waited for.
    #[inline]
    fn respond(&mut self, ticket: Ticket, response: Response) -> bool {
        let Ok(stream) = self.conversation.answer(ticket.request, response) else { return false };
        self.stream = stream;
        self.count();
        true
    }

    /// The conversation has given an answer by itself.
    pub(super) fn answered_itself(&mut self) {
        let Self { shared, from, .. } = self;
        if self.line.is_none() {
            self.line = shared.log.as_ref().map(|_| Box::new(Line::unread(*from)));
        }
        self.count();
    }

    #[inline]
    fn count(&mut self) {
        if let Some(answered) = self.conversation.unfinished() {
            let class = usize::from(answered.status.code() / 100);
            self.shared.counters.answers[class % 6].add(1);
        }
        if self.line.is_some() {
            self.log_if_finished();
        }
    }

    /// Writes its line when an answer is sent, or small enough to be as good as sent.
    pub(super) fn log_if_finished(&mut self) {
        if let Some(answered) = self.conversation.finished()
            && let (Some(line), Some(log)) = (self.line.take(), &self.shared.log)
        {
            log.write(&line, Some(answered), &self.shared.counters);
        }
    }

    /// Has a stream say more, now that there is room.
    pub(super) fn pull(event_loop: &mut EventLoop, me: Token) -> io::Result<()> {
        let Some(connection) = event_loop.get_mut::<Connection>(me) else { return Ok(()) };
        let Some(mut stream) = connection.stream.take() else { return Ok(()) };
        connection.conversation.pause();
        let mut piece = Vec::new();
        let flow = (stream.pull)(event_loop, &mut piece);
        let Some(connection) = event_loop.get_mut::<Connection>(me) else { return Ok(()) };
        let streamed = connection.conversation.stream(&piece, flow);
        connection.stream = connection.conversation.is_streaming().then_some(stream);
        streamed.map_err(|EndedTooEarly| io::Error::other("a stream has ended too early"))?;
        connection.send()
    }

    /// There is no room for whoever has come.
    pub(super) fn turn_away(conversation: &mut Conversation) {
        let why = "There is no room just now.";
        let mut response = Response::error(Status::SERVICE_UNAVAILABLE, why);
        let added = response.fields.add("Retry-After", RETRY_AFTER);
        debug_assert!(added.is_ok());
        conversation.decline(response);
    }
}

impl Ticket {
    /// Gives the answer. False: nobody is waiting for it.
    pub fn answer(self, event_loop: &mut EventLoop, response: Response) -> bool {
        let Some(connection) = event_loop.get_mut::<Connection>(self.connection) else {
            return false;
        };
        if let Some(given) = &mut connection.handling {
            let is_first = given.is_none() && connection.conversation.request() == self.request;
            if is_first {
                *given = Some(Box::new(response));
            }
            return is_first;
        }
        connection.again = true;
        connection.respond(self, response)
    }

    /// The stream that paused is called again. False: it's gone.
    pub fn resume(self, event_loop: &mut EventLoop) -> bool {
        let Some(connection) = event_loop.get_mut::<Connection>(self.connection) else {
            return false;
        };
        let has_it = connection.conversation.resume(self.request);
        connection.again |= connection.conversation.wants_stream();
        has_it
    }
}
