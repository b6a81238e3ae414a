//! What a handler gives back: a response, now or later, whole or in pieces.

use std::borrow::Cow;

use ch07_callbacks::{EventLoop, Token};

pub use crate::response::{Flow, escaped};

use crate::response;

/// A response that goes out from the loop of chapter 7.
pub type Response = response::Response<Stream>;
/// Its content.
pub type Body = response::Body<Stream>;

/// What a handler gives back.
pub enum Answer {
    /// This.
    Now(Response),
    /// Something, through the request's [`Ticket`], when it's there.
    Later,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Now(response)
    }
}

// ANCHOR: stream
/// Puts the next bytes of a body behind those that are there. It's
/// called when the kernel has taken all there was: one who reads
/// slowly makes it slow, and not the queue long. Whether it's called
/// again, and when, is what it gives back.
pub type Pull = Box<dyn FnMut(&mut EventLoop, &mut Vec<u8>) -> Flow>;
// ANCHOR_END: stream

/// A body that comes bit by bit.
pub struct Stream {
    pub(crate) pull: Pull,
    /// Under which another process has it.
    pub(crate) name: Option<&'static str>,
}

impl Stream {
    /// Has this called for more.
    pub fn new(pull: impl FnMut(&mut EventLoop, &mut Vec<u8>) -> Flow + 'static) -> Self {
        Self { pull: Box::new(pull), name: None }
    }

    /// The same, for a server that is replaced while somebody listens: the next one goes on with
    /// what its routes have [under this name](crate::Routes::resume).
    #[must_use]
    pub fn named(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }
}

impl Response {
    /// 200, and bytes that come bit by bit. Where it's known how many, say so:
    /// [`of_length`](Self::of_length).
    pub fn stream(
        content_type: impl Into<Cow<'static, str>>,
        stream: impl FnMut(&mut EventLoop, &mut Vec<u8>) -> Flow + 'static,
    ) -> Self {
        Self::of_stream(content_type, Stream::new(stream))
    }

    /// The same, of a stream that there is already.
    pub fn of_stream(content_type: impl Into<Cow<'static, str>>, stream: Stream) -> Self {
        Self::new(ch10_http::Status::OK)
            .with_type(content_type)
            .with(Body::Stream { stream, length: None })
    }

    /// The same, with a stream's length: what it gives beyond that isn't sent, and if it
    /// ends before, so does the connection.
    #[must_use]
    pub fn of_length(mut self, bytes: u64) -> Self {
        if let Body::Stream { length, .. } = &mut self.body {
            *length = Some(bytes);
        }
        self
    }
}

// ANCHOR: ticket
/// Names one request, for whoever has its answer later. It can be
/// copied, and sent to another thread and back (see
/// [`mailbox`](mod@crate::mailbox)). A ticket whose client has left, or
/// whose request was answered, is good for nothing, and does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub(crate) connection: Token,
    /// Counts the requests on that connection: an answer that comes late
    /// mustn't become the answer to the next one.
    pub(crate) request: u64,
}
// ANCHOR_END: ticket
