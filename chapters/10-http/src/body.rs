//! A body, taken apart.

use crate::event::Event;
use crate::framing::Framing;
use crate::limits::Limits;
use crate::lines::Lines;
use crate::refusal::Refusal;
use crate::status::Status;

/// Longest accepted line before a chunk, in bytes, with its extensions and its CRLF.
/// Nobody sends extensions; without a bound they would be a body that no limit counts.
pub const LONGEST_CHUNK_LINE: usize = 256;

// ANCHOR: body
/// What is left of a body. `skip` counts bytes that stand before what
/// we look for and are taken together with it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    /// So many bytes, and then the end.
    Length { left: u64, skip: usize },
    /// A chunk's line is next, but for the `first` one behind the end
    /// of the chunk before. `room`: how many bytes more the body may
    /// have.
    ChunkLine { room: u64, skip: usize, first: bool },
    /// So many bytes of a chunk.
    Chunk { left: u64, room: u64 },
    /// The lines behind the last chunk, the first of which begins at
    /// `begin`.
    Trailers { begin: usize, lines: Lines },
}
// ANCHOR_END: body

impl Body {
    /// How many bytes are to come of the chunk in whose middle it is.
    pub const fn left_of_chunk(&self) -> u64 {
        match self {
            Self::Chunk { left, .. } => *left,
            _ => 0,
        }
    }

    /// The body of a head. `skip`: how many bytes of the head weren't taken.
    pub const fn of(framing: Framing, skip: usize, limits: &Limits) -> Self {
        match framing {
            Framing::None => Self::Length { left: 0, skip },
            Framing::Length(left) => Self::Length { left, skip },
            Framing::Chunked => Self::ChunkLine { room: limits.body, skip, first: true },
        }
    }

    /// The next piece of the body, or its end, and how many bytes that takes.
    ///
    /// # Errors
    /// 400 for a broken chunk, 413 for a body that is too long, 431 for trailers that are.
    #[inline]
    pub fn next<'b>(
        &mut self,
        bytes: &'b [u8],
        limits: &Limits,
    ) -> Result<Option<(Event<'b>, usize)>, Refusal> {
        match *self {
            Self::Length { left: 0, skip } => Ok(Some((Event::End, skip))),
            Self::Length { left, skip } => {
                let Some(piece) = piece(bytes, skip, left) else { return Ok(None) };
                *self = Self::Length { left: left - piece.len() as u64, skip: 0 };
                Ok(Some((Event::Body(piece), skip + piece.len())))
            }
            _ => self.next_of_chunks(bytes, limits),
        }
    }

    fn next_of_chunks<'b>(
        &mut self,
        bytes: &'b [u8],
        limits: &Limits,
    ) -> Result<Option<(Event<'b>, usize)>, Refusal> {
        if let Self::Chunk { left: 0, room } = *self {
            *self = Self::ChunkLine { room, skip: 0, first: false };
        }
        if let Self::ChunkLine { room, skip, first } = *self {
            let Some((size, begin)) = chunk_line(bytes, skip, first)? else { return Ok(None) };
            let Some(room) = room.checked_sub(size) else {
                return Err(Refusal::new(Status::CONTENT_TOO_LARGE, "the body is too long"));
            };
            if size > 0 {
                // Until some of the chunk is there the line isn't taken. It's read again
                // then: it's short.
                let Some(piece) = piece(bytes, begin, size) else { return Ok(None) };
                *self = Self::Chunk { left: size - piece.len() as u64, room };
                return Ok(Some((Event::Body(piece), begin + piece.len())));
            }
            *self = Self::Trailers { begin, lines: Lines::from(begin) };
        }
        match self {
            Self::Chunk { left, .. } => {
                let Some(piece) = piece(bytes, 0, *left) else { return Ok(None) };
                *left -= piece.len() as u64;
                Ok(Some((Event::Body(piece), piece.len())))
            }
            Self::Trailers { begin, lines } => {
                let end = trailers(bytes, begin.saturating_add(limits.head), lines)?;
                Ok(end.map(|end| (Event::End, end)))
            }
            Self::Length { .. } | Self::ChunkLine { .. } => Ok(None),
        }
    }
}

/// What is there of a piece of so many bytes. None: nothing.
fn piece(bytes: &[u8], begin: usize, length: u64) -> Option<&[u8]> {
    let there = bytes.get(begin..).filter(|there| !there.is_empty())?;
    Some(&there[..there.len().min(usize::try_from(length).unwrap_or(usize::MAX))])
}

/// A chunk's size, and where its data begin (RFC 9112, section 7.1). None: the line isn't
/// whole. It's read byte by byte, from left to right: so what is wrong is found at the same
/// byte whether more have come or not.
///
/// # Errors
/// 400 for anything but a CRLF behind the chunk before, a number in hexadecimal digits,
/// extensions, and a CRLF.
fn chunk_line(bytes: &[u8], skip: usize, first: bool) -> Result<Option<(u64, usize)>, Refusal> {
    let mut rest = bytes.get(skip..).unwrap_or_default().iter();
    if !first {
        for wanted in b"\r\n" {
            match rest.next() {
                None => return Ok(None),
                Some(byte) if byte == wanted => {}
                Some(_) => return Err(Refusal::bad("no CRLF behind a chunk's data")),
            }
        }
    }
    let begin = bytes.len() - rest.len();
    let mut line = Line::Empty;
    while let Some(byte) = rest.next() {
        let length = bytes.len() - rest.len() - begin;
        line = line.next(*byte)?;
        if let Line::Whole(size) = line {
            return Ok(Some((size, begin + length)));
        }
        if length == LONGEST_CHUNK_LINE {
            return Err(Refusal::bad("a chunk's line is too long"));
        }
    }
    Ok(None)
}

// ANCHOR: line
/// How far a chunk's line is read, with the number that it began with.
#[derive(Clone, Copy)]
enum Line {
    Empty,
    Digits(u64),
    /// Blanks behind the number: only an extension may follow (RFC
    /// 9112, section 7.1.1).
    Blanks(u64),
    /// Extensions. What they say is for whoever sent them, but a lone
    /// CR or LF in them would be the end of the line for somebody.
    Extensions(u64),
    /// A CR.
    Ending(u64),
    Whole(u64),
}
// ANCHOR_END: line

impl Line {
    fn next(self, byte: u8) -> Result<Self, Refusal> {
        match (self, byte) {
            (Self::Empty, _) if byte.is_ascii_hexdigit() => Self::Digits(0).next(byte),
            (Self::Digits(size), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                let larger = size.checked_mul(16).map(|size| size + u64::from(digit));
                larger.map(Self::Digits).ok_or(Refusal::bad("a chunk's size is too large a number"))
            }
            (Self::Digits(size) | Self::Blanks(size), b' ' | b'\t') => Ok(Self::Blanks(size)),
            (Self::Digits(size) | Self::Blanks(size), b';') => Ok(Self::Extensions(size)),
            (Self::Digits(size) | Self::Extensions(size), b'\r') => Ok(Self::Ending(size)),
            (Self::Extensions(_), b'\t' | b' '..=b'~' | 0x80..) => Ok(self),
            (Self::Ending(size), b'\n') => Ok(Self::Whole(size)),
            (Self::Empty | Self::Digits(_), _) => Err(Refusal::bad("a chunk's size is no number")),
            _ => Err(Refusal::bad("a chunk's line is broken")),
        }
    }
}

/// Where the trailers end that must end before `limit`. None: not yet. They are read as
/// fields are, and thrown away: nobody who has begun to use a body waits for them.
///
/// # Errors
/// 400 for one that is no field, 431 if there is no end of them.
fn trailers(bytes: &[u8], limit: usize, lines: &mut Lines) -> Result<Option<usize>, Refusal> {
    let within = &bytes[..bytes.len().min(limit)];
    while let Some(line) = lines.next(within, usize::MAX)? {
        if line.is_empty() {
            return Ok(Some(lines.start));
        }
        let mut field = [httparse::EMPTY_HEADER];
        if httparse::parse_headers(&bytes[line.start..lines.start], &mut field).is_err() {
            return Err(Refusal::bad("a trailer that is no field"));
        }
    }
    if within.len() == limit {
        return Err(Refusal::new(Status::HEADERS_TOO_LARGE, "the trailers are too long"));
    }
    Ok(None)
}
