//! What a handler gives back: an answer, now or later, whole or in pieces.

use std::borrow::Cow;
use std::fs::File;
use std::ops::Range;
use std::rc::Rc;

use ch07_callbacks::{EventLoop, Token};
use ch10_http::{BadField, Fields, Size, Status};

use crate::connection;

// ANCHOR: answer
/// What a handler gives back.
pub enum Answer {
    /// This.
    Now(Response),
    /// Something, through the request's [`Ticket`], when it's there.
    Later,
}
// ANCHOR_END: answer

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Now(response)
    }
}

// ANCHOR: response
/// An answer: its status, its fields, its body. Framing, `Date` and
/// `Connection` are not its business: they depend on the request, and
/// on what becomes of the connection.
pub struct Response {
    pub status: Status,
    pub content_type: Option<Cow<'static, str>>,
    pub fields: Fields,
    pub body: Body,
}

/// The body of an answer.
pub enum Body {
    /// Bytes that the program always has.
    Static(&'static [u8]),
    /// Bytes made for this answer.
    Made(Vec<u8>),
    /// A part of bytes that others may be sent too.
    Shared(Rc<[u8]>, Range<usize>),
    /// `length` bytes of a file, from `start` on.
    File { file: Rc<File>, start: u64, length: u64 },
    /// Bytes that come bit by bit. `length` is how many, if that is
    /// known.
    Stream { stream: Stream, length: Option<u64> },
}
// ANCHOR_END: response

// ANCHOR: stream
/// Puts the next bytes of a body behind those that are there. It's
/// called when the visitor has taken all there was: one who reads
/// slowly makes it slow, and not the queue long.
pub type Stream = Box<dyn FnMut(&mut EventLoop, &mut Vec<u8>) -> Flow>;

/// How a stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// As soon as there is room again.
    More,
    /// When somebody calls [`Ticket::resume`]. There is nothing at the
    /// moment.
    Pause,
    /// Not at all: that was the end.
    End,
}
// ANCHOR_END: stream

impl Body {
    /// How many bytes it has.
    pub fn size(&self) -> Size {
        match self {
            Self::Static(bytes) => Size::Known(bytes.len() as u64),
            Self::Made(bytes) => Size::Known(bytes.len() as u64),
            Self::Shared(bytes, part) => {
                Size::Known(bytes.get(part.clone()).map_or(0, <[u8]>::len) as u64)
            }
            Self::File { length, .. } => Size::Known(*length),
            Self::Stream { length: Some(length), .. } => Size::Known(*length),
            Self::Stream { length: None, .. } => Size::Unknown,
        }
    }
}

impl Response {
    /// An answer with nothing in it.
    pub fn new(status: Status) -> Self {
        Self { status, content_type: None, fields: Fields::NONE, body: Body::Static(b"") }
    }

    /// 200, and a text that the program always has.
    pub fn text(text: &'static str) -> Self {
        Self::new(Status::OK)
            .with_type("text/plain; charset=utf-8")
            .with(Body::Static(text.as_bytes()))
    }

    /// 200, and bytes made for it.
    pub fn made(content_type: impl Into<Cow<'static, str>>, bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(Status::OK).with_type(content_type).with(Body::Made(bytes.into()))
    }

    /// 200, and bytes that come bit by bit. Where it's known how many, say so:
    /// [`of_length`](Self::of_length).
    pub fn stream(
        content_type: impl Into<Cow<'static, str>>,
        stream: impl FnMut(&mut EventLoop, &mut Vec<u8>) -> Flow + 'static,
    ) -> Self {
        Self::new(Status::OK)
            .with_type(content_type)
            .with(Body::Stream { stream: Box::new(stream), length: None })
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

    /// A small page that says what is wrong.
    pub fn error(status: Status, why: &str) -> Self {
        let (code, reason) = (status.code(), status.reason());
        let page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{code} {reason}</title>\n<h1>{code} {reason}</h1>\n<p>{}</p>\n</html>\n",
            escaped(why)
        );
        Self { status, ..Self::made("text/html; charset=utf-8", page) }
    }

    /// The same, of another type.
    #[must_use]
    pub fn with_type(mut self, content_type: impl Into<Cow<'static, str>>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// The same, with another body.
    #[must_use]
    pub fn with(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// The same, with a field more.
    ///
    /// # Errors
    /// When that can't be a field: a value with a line break in it would be two.
    pub fn field(mut self, name: &str, value: &str) -> Result<Self, BadField> {
        self.fields.add(name, value)?;
        Ok(self)
    }
}

/// What is markup in a page, as text.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

// ANCHOR: ticket
/// Names one request, for whoever has its answer later. It can be
/// copied, and sent to another thread and back (see
/// [`mailbox`](crate::mailbox)). A ticket whose visitor has left, or
/// whose request was answered, is good for nothing, and does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub(crate) connection: Token,
    /// Counts the requests on that connection: one that comes late
    /// mustn't get the answer to the next.
    pub(crate) request: u64,
}

impl Ticket {
    /// Gives the answer. False: nobody is waiting for it.
    pub fn answer(self, event_loop: &mut EventLoop, response: Response) -> bool {
        connection::give(event_loop, self, response)
    }

    /// The stream that paused is called again. False: it's gone.
    pub fn resume(self, event_loop: &mut EventLoop) -> bool {
        connection::resume(event_loop, self)
    }
}
// ANCHOR_END: ticket
