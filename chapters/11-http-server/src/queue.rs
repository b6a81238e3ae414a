//! What is queued to be sent on a connection: bytes, and behind them what needn't be copied.

use std::fs::File;
use std::ops::Range;
use std::rc::Rc;

use crate::response::Body;

/// A body up to so many bytes is copied behind its head: one buffer is cheaper to send
/// than two. A longer one is sent from where it is.
pub const COPIED: usize = 8 * 1024;

/// Bytes to be sent, and behind them one body that isn't copied.
#[derive(Default)]
pub(crate) struct Queue {
    /// Heads, and small bodies.
    pub bytes: Vec<u8>,
    /// How much of them is sent.
    sent: usize,
    then: Then,
}

#[derive(Default)]
enum Then {
    #[default]
    Nothing,
    Bytes {
        bytes: Bytes,
        sent: usize,
    },
    File(FilePart),
}

/// What is to be sent next: these bytes, one slice behind the other, and then a part of a
/// file.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    pub bytes: [&'a [u8]; 2],
    pub file: Option<&'a FilePart>,
}

impl Outgoing<'_> {
    /// A part of a file is next.
    pub fn is_file(&self) -> bool {
        self.bytes.iter().all(|bytes| bytes.is_empty()) && self.file.is_some()
    }
}

/// A part of a file, to be sent from where it lies.
#[derive(Clone, Debug)]
pub struct FilePart {
    pub file: Rc<File>,
    /// Where it begins, in bytes.
    pub at: u64,
    /// How many bytes of it are to be sent.
    pub left: u64,
}

/// Bytes that aren't copied.
enum Bytes {
    Static(&'static [u8]),
    Made(Vec<u8>),
    Shared(Rc<[u8]>, Range<usize>),
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Static(bytes) => bytes,
            Self::Made(bytes) => bytes,
            Self::Shared(bytes, part) => bytes.get(part.clone()).unwrap_or_default(),
        }
    }
}

impl Queue {
    /// Of these bytes, and a part of a file behind them.
    pub fn of(bytes: Vec<u8>, file: Option<FilePart>) -> Self {
        Self { bytes, sent: 0, then: file.map_or(Then::Nothing, Then::File) }
    }

    /// Nothing is to be sent.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.is_small() && self.sent == self.bytes.len()
    }

    /// Nothing but bytes that were copied.
    #[inline]
    pub fn is_small(&self) -> bool {
        matches!(self.then, Then::Nothing)
    }

    /// How much is to be sent, in bytes.
    #[inline]
    pub fn len(&self) -> u64 {
        let behind = match &self.then {
            Then::Nothing => 0,
            Then::Bytes { bytes, sent } => (bytes.as_slice().len() - sent) as u64,
            Then::File(part) => part.left,
        };
        (self.bytes.len() - self.sent) as u64 + behind
    }

    /// Puts a body behind what is there. Gives what makes it, if it's a stream.
    pub fn push<S>(&mut self, body: Body<S>) -> Option<S> {
        let bytes = match body {
            Body::Static(bytes) => Bytes::Static(bytes),
            Body::Made(bytes) => Bytes::Made(bytes),
            Body::Shared(bytes, part) => Bytes::Shared(bytes, part),
            Body::File { file, start, length } => {
                if length > 0 {
                    self.then = Then::File(FilePart { file, at: start, left: length });
                }
                return None;
            }
            Body::Stream { stream, .. } => return Some(stream),
        };
        if bytes.as_slice().len() <= COPIED {
            self.bytes.extend_from_slice(bytes.as_slice());
        } else {
            self.then = Then::Bytes { bytes, sent: 0 };
        }
        None
    }

    /// What is to be sent next.
    #[inline]
    pub fn outgoing(&self) -> Outgoing<'_> {
        let (second, file): (&[u8], _) = match &self.then {
            Then::Nothing => (b"", None),
            Then::Bytes { bytes, sent } => (&bytes.as_slice()[*sent..], None),
            Then::File(part) => (b"", Some(part)),
        };
        Outgoing { bytes: [&self.bytes[self.sent..], second], file }
    }

    /// So many bytes of it are sent.
    #[inline]
    pub fn sent(&mut self, count: u64) {
        let left = self.bytes.len() - self.sent;
        let of_first = usize::try_from(count).map_or(left, |count| count.min(left));
        self.sent += of_first;
        if self.sent == self.bytes.len() {
            // Its memory is used again: as a rule it's lent.
            self.bytes.clear();
            self.sent = 0;
        }
        let count = count - of_first as u64;
        let ends = match &mut self.then {
            Then::Nothing => false,
            Then::Bytes { bytes, sent } => {
                *sent += usize::try_from(count).unwrap_or(usize::MAX);
                *sent >= bytes.as_slice().len()
            }
            Then::File(part) => {
                part.at += count;
                part.left -= count;
                part.left == 0
            }
        };
        if ends {
            self.then = Then::Nothing;
        }
    }

    /// Works with this memory until [`give_back`](Self::give_back), if there is nothing to
    /// be sent as yet.
    #[inline]
    pub fn lend(&mut self, buffer: &mut Vec<u8>) {
        if self.bytes.is_empty() {
            self.bytes = std::mem::take(buffer);
        }
    }

    /// Gives back what was lent, and keeps a copy of what isn't sent.
    #[inline]
    pub fn give_back(&mut self, buffer: &mut Vec<u8>) {
        if buffer.capacity() > 0 {
            return; // nothing was lent
        }
        let rest = self.bytes[self.sent..].to_vec();
        *buffer = std::mem::replace(&mut self.bytes, rest);
        buffer.clear();
        self.sent = 0;
    }
}
