//! A response: its status, its fields and its content, without the connection it goes out on.

use std::borrow::Cow;
use std::fs::File;
use std::ops::Range;
use std::rc::Rc;

use ch10_http::{BadField, Fields, Size, Status};

// ANCHOR: response
/// A response: its status, its fields, its content. Framing, `Date` and
/// `Connection` are not its business: they depend on the request, and
/// on what becomes of the connection.
///
/// `S` is what makes a stream's bytes: the conversation doesn't care.
pub struct Response<S> {
    pub status: Status,
    pub content_type: Option<Cow<'static, str>>,
    pub fields: Fields,
    pub body: Body<S>,
}

/// The content of a response (RFC 9110, section 6.4).
pub enum Body<S> {
    /// Bytes that the program always has.
    Static(&'static [u8]),
    /// Bytes made for this response.
    Made(Vec<u8>),
    /// A part of bytes that others may be sent too.
    Shared(Rc<[u8]>, Range<usize>),
    /// `length` bytes of a file, from `start` on.
    File { file: Rc<File>, start: u64, length: u64 },
    /// Bytes that come bit by bit. `length` is how many, if that is
    /// known.
    Stream { stream: S, length: Option<u64> },
}
// ANCHOR_END: response

// ANCHOR: flow
/// How a stream goes on, when it has given some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// As soon as there is room again.
    More,
    /// When somebody says so. There is nothing at the moment.
    Pause,
    /// Not at all: that was the end.
    End,
}
// ANCHOR_END: flow

impl<S> Body<S> {
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

impl<S> Response<S> {
    /// A response with nothing in it.
    pub fn new(status: Status) -> Self {
        Self { status, content_type: None, fields: Fields::NONE, body: Body::Static(b"") }
    }

    /// 200, and a text that the program always has.
    pub fn text(text: &'static str) -> Self {
        Self::of("text/plain; charset=utf-8".into(), Body::Static(text.as_bytes()))
    }

    /// 200, and bytes made for it.
    pub fn made(content_type: impl Into<Cow<'static, str>>, bytes: impl Into<Vec<u8>>) -> Self {
        Self::of(content_type.into(), Body::Made(bytes.into()))
    }

    fn of(content_type: Cow<'static, str>, body: Body<S>) -> Self {
        let fields = Fields::NONE;
        Self { status: Status::OK, content_type: Some(content_type), fields, body }
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
    pub fn with(mut self, body: Body<S>) -> Self {
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
