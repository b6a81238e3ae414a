//! Requests, one after the other, out of bytes that come in any pieces.

use std::fmt;

use crate::answer::Asked;
use crate::body::Body;
use crate::framing::Framing;
use crate::head::{self, Head, MOST_FIELDS};
use crate::lines::Lines;
use crate::status::Status;

/// So many empty lines before a request are forgiven: RFC 9112 (section 2.2) asks for one,
/// since some send one behind a body.
pub const MOST_EMPTY_LINES: usize = 4;

/// How much a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest accepted request line, in bytes, without its CRLF. Longer ones get 414
    /// (RFC 9110, section 15.5.15).
    pub line: usize,
    /// Longest accepted head, in bytes, with empty lines before it; and longest accepted
    /// trailers. Longer ones get 431 (RFC 6585, section 5). The caller's buffer must hold
    /// that much.
    pub head: usize,
    /// So many fields, and no more than [`MOST_FIELDS`]. More get 431.
    pub fields: usize,
    /// Longest accepted body, in bytes. Longer ones get 413 (RFC 9110, section 15.5.14).
    pub body: u64,
}

impl Limits {
    /// What most servers give: RFC 9112 (section 3) wants 8,000 bytes of request line.
    pub const USUAL: Self = Self { line: 8 << 10, head: 16 << 10, fields: 100, body: 1 << 20 };
}

// ANCHOR: event
/// What bytes begin with: always a head, then pieces of a body if there
/// is one, then the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'b> {
    Head(Head<'b>),
    /// Some bytes of the body, as many as are there. Never none.
    Body(&'b [u8]),
    /// The request is whole. What follows is another one.
    End,
}

/// Why a request isn't taken, and what it gets for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: Status,
    /// The connection must close: nobody knows where the next request
    /// begins.
    pub close: bool,
    /// What is wrong, in words: for people.
    pub why: &'static str,
    /// What the framing of the answer depends on.
    pub asked: Asked,
}
// ANCHOR_END: event

impl Refusal {
    pub(crate) const fn new(status: Status, why: &'static str) -> Self {
        Self { status, close: true, why, asked: Asked::UNKNOWN }
    }

    pub(crate) const fn bad(why: &'static str) -> Self {
        Self::new(Status::BAD_REQUEST, why)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status.code(), self.why)
    }
}

impl std::error::Error for Refusal {}

// ANCHOR: parser
/// Reads one connection's requests. It keeps none of their bytes.
#[derive(Clone, Copy, Debug)]
pub struct Parser {
    limits: Limits,
    state: State,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum State {
    /// A head. `number`: how many of its lines are whole, without empty ones before it.
    Head { lines: Lines, number: usize },
    /// The rest of a body, or the end.
    Body(Body),
    /// Nothing any more.
    Refused(Refusal),
}

// There is one for each of ten thousand connections.
const _: () = assert!(size_of::<Parser>() <= 64);

impl Parser {
    /// One that has read nothing yet.
    pub const fn new(limits: Limits) -> Self {
        Self { limits, state: State::BETWEEN }
    }

    /// What `bytes` begin with, and how many of them that took. The caller drops those, and
    /// gives the others again, with whatever has come meanwhile behind them.
    /// None: not yet.
    ///
    /// However the bytes are cut into pieces, the events are the same, but for where a
    /// body is cut; so is the refusal.
    ///
    /// # Errors
    /// What the request gets instead of being served. If that must be the last answer, it's
    /// the same for ever. Otherwise the rest of the request follows, to be ignored, and
    /// its end.
    #[inline]
    pub fn next<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<(Event<'b>, usize)>, Refusal> {
        match &mut self.state {
            State::Head { lines, .. } => match find_head(bytes, &self.limits, lines) {
                Some(head) => self.accept(head, 0),
                // If it isn't there, or isn't right, each line is judged as soon as it has come.
                None => self.next_by_lines(bytes),
            },
            State::Body(body) => match body.next(bytes, &self.limits) {
                Ok(Some((Event::End, took))) => {
                    self.state = State::BETWEEN;
                    Ok(Some((Event::End, took)))
                }
                Err(refusal) => self.refuse(refusal),
                next => next,
            },
            State::Refused(refusal) => Err(*refusal),
        }
    }

    /// Nothing of a request has been taken. If no bytes are left either, whoever hangs up
    /// now does so politely.
    pub const fn is_between(&self) -> bool {
        matches!(self.state, State::Head { .. })
    }
}
// ANCHOR_END: parser

impl State {
    const BETWEEN: Self = Self::Head { lines: Lines::from(0), number: 0 };
}

impl Parser {
    #[cold]
    fn next_by_lines<'b>(
        &mut self,
        bytes: &'b [u8],
    ) -> Result<Option<(Event<'b>, usize)>, Refusal> {
        let State::Head { lines, number } = &mut self.state else { return Ok(None) };
        match find_head_by_lines(bytes, &self.limits, lines, number) {
            Ok(Some((head, begin))) => self.accept(head, begin),
            Ok(None) => Ok(None),
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// The head stands behind `begin` bytes of empty lines.
    #[inline]
    fn accept<'b>(
        &mut self,
        head: Head<'b>,
        begin: usize,
    ) -> Result<Option<(Event<'b>, usize)>, Refusal> {
        if matches!(head.body, Framing::Length(length) if length > self.limits.body) {
            return self.refuse(Refusal::new(Status::CONTENT_TOO_LARGE, "the body is too long"));
        }
        let took = begin + head.raw().len();
        if head.expects_other {
            // A refusal takes no bytes: the head goes with what follows.
            self.state = State::Body(Body::of(head.body, took, &self.limits));
            return Err(Refusal {
                status: Status::EXPECTATION_FAILED,
                close: false,
                why: "it expects what we can't promise",
                asked: head.asked(),
            });
        }
        self.state = State::Body(Body::of(head.body, 0, &self.limits));
        Ok(Some((Event::Head(head), took)))
    }

    #[cold]
    fn refuse<'b>(&mut self, refusal: Refusal) -> Result<Option<(Event<'b>, usize)>, Refusal> {
        self.state = State::Refused(refusal);
        Err(refusal)
    }
}

// ANCHOR: find
/// The head that `bytes` begin with, if all of it has come at once and nothing is wrong
/// with it: as a rule.
#[inline(always)] // as in Head::read
fn find_head<'b>(bytes: &'b [u8], limits: &Limits, lines: &Lines) -> Option<Head<'b>> {
    if !lines.are_untouched() {
        return None;
    }
    let head = Head::read(&bytes[..bytes.len().min(limits.head)], limits.fields);
    head.ok().flatten().filter(|head| head.line() <= limits.line)
}

/// The head that `bytes` begin with, and how many bytes of empty lines stand before it.
/// None: not yet.
///
/// # Errors
/// Those of [`scan`], and when all of it has come, those of [`Head::read`].
fn find_head_by_lines<'b>(
    bytes: &'b [u8],
    limits: &Limits,
    lines: &mut Lines,
    number: &mut usize,
) -> Result<Option<(Head<'b>, usize)>, Refusal> {
    let Some((begin, end)) = scan(bytes, limits, lines, number)? else { return Ok(None) };
    let head = Head::read(&bytes[begin..end], MOST_FIELDS)?;
    Ok(head.map(|head| (head, begin)))
}
// ANCHOR_END: find

// ANCHOR: scan
/// Looks for the end of a head that comes in pieces. Gives where it
/// begins, behind empty lines, and where it ends. None: not yet.
///
/// What is wrong is found at one certain byte, and the bytes behind it
/// change nothing: so the answer doesn't depend on how many of them
/// have come.
///
/// # Errors
/// 414 and 431 for what is too long, 400 for what is no head, as far as
/// that shows by its lines; and what [`head::check_request_line`] says.
fn scan(
    bytes: &[u8],
    limits: &Limits,
    lines: &mut Lines,
    number: &mut usize,
) -> Result<Option<(usize, usize)>, Refusal> {
    let within = &bytes[..bytes.len().min(limits.head)];
    loop {
        let is_first = *number == 0;
        // Who speaks another protocol may wait for us to speak, and
        // would for ever.
        if is_first && within.get(lines.start).is_some_and(|byte| !may_begin(*byte)) {
            return Err(Refusal::bad("no method begins like this"));
        }
        let longest = if is_first { limits.line } else { usize::MAX };
        let Some(line) = lines.next(within, longest)? else { break };
        match (is_first, line.is_empty()) {
            (true, true) if lines.start > 2 * MOST_EMPTY_LINES => {
                return Err(Refusal::bad("nothing but empty lines"));
            }
            (true, true) => continue,
            (true, false) => head::check_request_line(&bytes[line.start..lines.start])?,
            (false, true) => return Ok(Some((begin_of_head(bytes), lines.start))),
            (false, false) if *number > limits.fields.min(MOST_FIELDS) => {
                return Err(Refusal::new(Status::HEADERS_TOO_LARGE, "too many fields"));
            }
            (false, false) => {}
        }
        *number += 1;
    }
    if within.len() == limits.head {
        return Err(Refusal::new(Status::HEADERS_TOO_LARGE, "the head is too long"));
    }
    Ok(None)
}
// ANCHOR_END: scan

/// A method, or an empty line.
const fn may_begin(byte: u8) -> bool {
    head::is_token_byte(byte) || matches!(byte, b'\r' | b'\n')
}

fn begin_of_head(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len())
}
