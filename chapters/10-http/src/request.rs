//! Requests, one after the other, out of bytes that come in any pieces.

use crate::body::Body;
use crate::event::Event;
use crate::exchange::Exchange;
use crate::framing::Framing;
use crate::head::{self, Head, MOST_FIELDS};
use crate::limits::Limits;
use crate::lines::Lines;
use crate::refusal::Refusal;
use crate::status::Status;
use crate::token::is_token_byte;

/// So many empty lines before a request are forgiven: RFC 9112 (section 2.2) asks for one,
/// since some send one behind a body.
pub const MOST_EMPTY_LINES: usize = 4;

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
    Body { body: Body, exchange: Exchange },
    /// Nothing any more.
    Refused(Refusal),
}

// There is one for each of ten thousand connections.
const _: () = assert!(size_of::<Parser>() <= 72);

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
            State::Body { body, exchange } => match body.next(bytes, &self.limits) {
                Ok(Some((Event::End, took))) => {
                    self.state = State::BETWEEN;
                    Ok(Some((Event::End, took)))
                }
                Err(refusal) => {
                    let exchange = Exchange { keep_alive: false, ..*exchange };
                    self.refuse(Refusal { exchange, ..refusal })
                }
                next => next,
            },
            State::Refused(refusal) => Err(*refusal),
        }
    }

    /// How many bytes are to come of the chunk in whose middle it is. None: it isn't in a body
    /// at all.
    pub const fn left_of_chunk(&self) -> Option<u64> {
        match &self.state {
            State::Body { body, .. } => Some(body.left_of_chunk()),
            State::Head { .. } | State::Refused(_) => None,
        }
    }

    /// Nothing of a request has been taken. If no bytes are left either, whoever hangs up
    /// now does so politely.
    pub const fn is_between(&self) -> bool {
        matches!(self.state, State::Head { .. })
    }

    /// Nothing of a request has even been looked at.
    pub const fn is_untouched(&self) -> bool {
        matches!(&self.state, State::Head { lines, .. } if lines.are_untouched())
    }
}

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
            Err(refusal) => {
                // Its method may be all that could be read of it. To HEAD no body goes back, not
                // even with a refusal (RFC 9110, section 9.3.2).
                let exchange = Exchange { is_head: is_head(bytes), ..refusal.exchange };
                self.refuse(Refusal { exchange, ..refusal })
            }
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
            let refusal = Refusal::new(Status::CONTENT_TOO_LARGE, "the body is too long");
            let exchange = Exchange { keep_alive: false, ..head.exchange() };
            return self.refuse(Refusal { exchange, ..refusal });
        }
        let exchange = head.exchange();
        let took = begin + head.raw().len();
        if head.expects_other {
            // A refusal doesn't say how many bytes it took. So the next event
            // counts the head's bytes along with its own.
            let body = Body::of(head.body, took, &self.limits);
            self.state = State::Body { body, exchange };
            return Err(Refusal {
                status: Status::EXPECTATION_FAILED,
                close: false,
                why: "it expects what we can't promise",
                exchange,
            });
        }
        self.state = State::Body { body: Body::of(head.body, 0, &self.limits), exchange };
        Ok(Some((Event::Head(head), took)))
    }

    #[cold]
    fn refuse<'b>(&mut self, refusal: Refusal) -> Result<Option<(Event<'b>, usize)>, Refusal> {
        self.state = State::Refused(refusal);
        Err(refusal)
    }
}

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
    is_token_byte(byte) || matches!(byte, b'\r' | b'\n')
}

/// Whether a request for a head begins here, behind no more empty lines than may be.
pub fn is_head(bytes: &[u8]) -> bool {
    let (before, request) = bytes.split_at(begin_of_head(bytes));
    let empty = before.chunks(2).all(|line| line == b"\r\n");
    empty && before.len() <= 2 * MOST_EMPTY_LINES && request.starts_with(b"HEAD ")
}

fn begin_of_head(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len())
}
