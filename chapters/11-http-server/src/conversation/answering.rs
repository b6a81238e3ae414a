//! How answers get into the queue: at once, later, refusals, and those that come bit by bit.

use ch10_http::request::is_head;
use ch10_http::{Delivery, Exchange, Refusal, Size, Status, chunk, last_chunk};

use super::{
    After, Answered, Conversation, EndedTooEarly, Handling, Length, NotWaitedFor, State, Streaming,
};
use crate::response::{Body, Flow, Response};

impl Conversation {
    /// Answers the request of this number. Gives what makes the rest of the answer, if
    /// that is a stream which is to be asked.
    ///
    /// # Errors
    /// When that request isn't waiting for one: it has got one already.
    #[inline]
    pub fn answer<S>(
        &mut self,
        request: u64,
        response: Response<S>,
    ) -> Result<Option<S>, NotWaitedFor> {
        match self.state {
            State::Handling(handling) if request == self.request => {
                Ok(self.respond(handling, response))
            }
            _ => Err(NotWaitedFor),
        }
    }

    /// Puts an answer into the queue. This is the only place that does: head and body
    /// come from the same decision.
    #[inline]
    pub(super) fn respond<S>(
        &mut self,
        handling: Handling,
        mut response: Response<S>,
    ) -> Option<S> {
        if response.status.code() < 200 {
            // It would be taken for a word in between, and the answer waited for.
            response = broken();
        }
        let Response { status, content_type, fields, body } = response;
        let Handling { exchange, lingers } = handling;
        let size = body.size();
        let (delivery, stays) = self.common.heads.borrow_mut().write(
            &mut self.queue.bytes,
            exchange,
            status,
            content_type.as_deref().filter(|it| !it.is_empty()),
            &fields,
            size,
        );
        let after = if stays { After::Next } else { After::Close { lingers } };
        self.state = after.state();
        let mut bytes = 0;
        let mut stream = None;
        if delivery != Delivery::None {
            if let Body::Stream { length, .. } = &body {
                let length = match length {
                    Some(length) => Length::Left(*length),
                    None if delivery == Delivery::Chunked => Length::InChunks,
                    None => Length::UntilClose,
                };
                self.state = State::Streaming(Streaming { length, flow: Flow::More, after });
            } else if let Size::Known(size) = size {
                bytes = size;
            }
            stream = self.queue.push(body);
        }
        self.answered = Some(Answered { status, bytes });
        stream
    }

    /// What can't be read, or won't be.
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        let Refusal { status, close, why, mut exchange } = refusal;
        exchange.keep_alive &= !close && !self.stopping;
        let handling = Handling { exchange, lingers: !exchange.keep_alive };
        self.respond(handling, Response::<()>::error(status, why));
    }

    /// Says something that nobody has asked for, and that is the end.
    pub fn decline<S>(&mut self, response: Response<S>) {
        let to_head = match &self.state {
            State::Receiving(upload) => upload.exchange.is_head,
            _ => is_head(&self.input),
        };
        let exchange = Exchange { is_head: to_head, ..Exchange::UNKNOWN };
        self.respond(Handling { exchange, lingers: true }, response);
    }

    /// Whether more of a stream is wanted now.
    pub fn wants_stream(&self) -> bool {
        let wants = matches!(self.state, State::Streaming(Streaming { flow: Flow::More, .. }));
        wants && self.queue.is_empty()
    }

    /// Whether an answer comes bit by bit, and more of it is to come.
    pub fn is_streaming(&self) -> bool {
        matches!(self.state, State::Streaming(_))
    }

    /// More is on its way: whether it's wanted again is said with it, or by
    /// [`resume`](Self::resume) meanwhile.
    pub fn pause(&mut self) {
        if let State::Streaming(streaming) = &mut self.state {
            streaming.flow = Flow::Pause;
        }
    }

    /// More of a stream, and how it goes on.
    ///
    /// # Errors
    /// When that was the end, and isn't what was promised.
    pub fn stream(&mut self, piece: &[u8], mut flow: Flow) -> Result<(), EndedTooEarly> {
        let State::Streaming(Streaming { mut length, flow: before, after }) = self.state else {
            return Ok(());
        };
        if flow == Flow::Pause {
            flow = before;
        }
        let mut piece = piece;
        if let Length::Left(left) = &mut length {
            let most = usize::try_from(*left).unwrap_or(usize::MAX);
            piece = &piece[..piece.len().min(most)];
            *left -= piece.len() as u64;
            match (*left, flow) {
                (0, _) => flow = Flow::End,
                (_, Flow::End) => return Err(EndedTooEarly),
                _ => {}
            }
        }
        match length {
            Length::InChunks => chunk(&mut self.queue.bytes, piece),
            Length::Left(_) | Length::UntilClose => self.queue.bytes.extend_from_slice(piece),
        }
        if let Some(answered) = &mut self.answered {
            answered.bytes += piece.len() as u64;
        }
        self.state = match flow {
            Flow::End => {
                if length == Length::InChunks {
                    last_chunk(&mut self.queue.bytes);
                }
                after.state()
            }
            Flow::More | Flow::Pause => State::Streaming(Streaming { length, flow, after }),
        };
        Ok(())
    }

    /// Somebody says that the stream of this request has more. False: it's gone. One that
    /// hasn't begun will be asked anyway.
    pub fn resume(&mut self, request: u64) -> bool {
        match &mut self.state {
            State::Streaming(streaming) if request == self.request => {
                streaming.flow = Flow::More;
                true
            }
            State::Handling(_) => request == self.request,
            _ => false,
        }
    }
}

/// What a client gets when something here is wrong.
#[cold]
fn broken<S>() -> Response<S> {
    Response::error(Status::INTERNAL_SERVER_ERROR, "Something went wrong here.")
}
