//! How a head says where its body ends; and what else in it is meant for the connection.

use crate::exchange::Version;
use crate::refusal::Refusal;
use crate::status::Status;
use crate::target::{Target, is_host};
use crate::token::is_token;

/// How a request's body is told from what follows it (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body. A request that doesn't say otherwise has none, whatever its
    /// method.
    None,
    /// So many bytes. They may be none.
    Length(u64),
    /// In chunks, each with its size before it.
    Chunked,
}

/// What the fields of a head say that concerns HTTP itself.
#[derive(Clone, Copy, Default)]
pub(crate) struct Facts<'b> {
    host: Option<&'b [u8]>,
    length: Option<u64>,
    chunked: bool,
    /// A transfer coding that we can't undo.
    other_coding: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    /// An expectation that we don't know.
    pub expects_other: bool,
    /// Something that the client must keep to itself.
    pub has_secret: bool,
    /// A condition, or the wish for a part (RFC 9110, sections 13.1 and 14.2).
    pub has_conditions: bool,
}

impl<'b> Facts<'b> {
    /// Notes one field. Most are none of ours: a look at the name's length tells.
    ///
    /// # Errors
    /// 400 for what could be read in two ways.
    #[inline]
    pub fn note(&mut self, name: &str, value: &'b [u8]) -> Result<(), Refusal> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match name.len() {
            4 if is("Host") => self.note_host(value)?,
            5 if is("Range") => self.has_conditions = true,
            6 if is("Expect") => self.note_expect(value)?,
            6 if is("Cookie") => self.has_secret = true,
            10 if is("Connection") => self.note_connection(value)?,
            13 if is("Authorization") => self.has_secret = true,
            14 if is("Content-Length") => self.note_length(value)?,
            17 if is("Transfer-Encoding") => self.note_codings(value)?,
            19 if is("Proxy-Authorization") => self.has_secret = true,
            8 | 13 | 17 | 19 if is_condition(name) => self.has_conditions = true,
            _ => {}
        }
        Ok(())
    }

    fn note_host(&mut self, value: &'b [u8]) -> Result<(), Refusal> {
        if self.host.replace(value).is_some() {
            return Err(Refusal::bad("two Host fields"));
        }
        Ok(())
    }

    // ANCHOR: two_lengths
    /// RFC 9110 (section 8.6) would let "5, 5" pass for 5. A program before
    /// us may have taken the first number, or the last, or both of them for
    /// one: refused.
    fn note_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let Some(length) = number(value) else {
            return Err(Refusal::bad("a Content-Length that is no number"));
        };
        if self.length.replace(length).is_some() {
            return Err(Refusal::bad("two Content-Length fields"));
        }
        Ok(())
    }
    // ANCHOR_END: two_lengths

    /// The body's codings, in the order in which they were applied. `chunked` must be the
    /// last one: without it the body has no end. An empty member is no coding either:
    /// lists may have them, but somebody might take this for `chunked` and somebody not.
    fn note_codings(&mut self, value: &[u8]) -> Result<(), Refusal> {
        for coding in members(value) {
            if self.chunked {
                return Err(Refusal::bad("chunked must come once, as the last coding"));
            }
            let end = coding.iter().position(|byte| *byte == b';').unwrap_or(coding.len());
            let (name, parameters) = coding.split_at(end);
            if !is_token(name.trim_ascii_end()) {
                return Err(Refusal::bad("a Transfer-Encoding that names no coding"));
            }
            if !name.trim_ascii_end().eq_ignore_ascii_case(b"chunked") {
                self.other_coding = true;
            } else if parameters.is_empty() {
                self.chunked = true;
            } else {
                return Err(Refusal::bad("chunked has no parameters"));
            }
        }
        Ok(())
    }

    fn note_connection(&mut self, value: &[u8]) -> Result<(), Refusal> {
        for option in members(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
        Ok(())
    }

    fn note_expect(&mut self, value: &[u8]) -> Result<(), Refusal> {
        for expectation in members(value).filter(|member| !member.is_empty()) {
            let is_known = expectation.eq_ignore_ascii_case(b"100-continue");
            self.expects_continue |= is_known;
            self.expects_other |= !is_known;
        }
        Ok(())
    }

    // ANCHOR: framing
    /// Where the body ends.
    ///
    /// # Errors
    /// 400 for what could be read in two ways, 501 for a coding that isn't
    /// `chunked` (RFC 9112, section 6.1). If that is the only one, section
    /// 6.3 would have 400 as well; 501 says what would help.
    pub fn framing(&self, version: Version) -> Result<Framing, Refusal> {
        let is_coded = self.chunked || self.other_coding;
        match self.length {
            Some(_) if is_coded => {
                Err(Refusal::bad("both a Content-Length and a Transfer-Encoding"))
            }
            Some(length) => Ok(Framing::Length(length)),
            None if !is_coded => Ok(Framing::None),
            // A program before us that speaks 1.0 passed it on without
            // knowing it.
            None if version == Version::Http10 => {
                Err(Refusal::bad("a Transfer-Encoding in HTTP/1.0"))
            }
            None if self.other_coding => {
                Err(Refusal::new(Status::NOT_IMPLEMENTED, "a coding that is unknown"))
            }
            None => Ok(Framing::Chunked),
        }
    }
    // ANCHOR_END: framing

    /// Exactly one host on 1.1 and a valid one on both (RFC 9112, section 3.2). An empty
    /// one says that there is none to tell: not beside a target that tells it.
    ///
    /// # Errors
    /// 400 otherwise.
    pub fn check_host(&self, version: Version, target: &Target<'_>) -> Result<(), Refusal> {
        match self.host {
            None if version == Version::Http10 => Ok(()),
            None => Err(Refusal::bad("no Host field")),
            Some([]) if target.authority().is_none() => Ok(()),
            Some(host) if is_host(host) => Ok(()),
            Some(_) => Err(Refusal::bad("a Host field that is no host")),
        }
    }

    /// Whether another request may follow this one (RFC 9112, section 9.3).
    pub fn keeps_alive(&self, version: Version) -> bool {
        !self.close && (self.keep_alive || version == Version::Http11)
    }

    /// Whether the visitor waits for a word before it sends the body (RFC 9110, section
    /// 10.1.1). One of 1.0 doesn't, whatever it says.
    pub fn awaits_continue(&self, version: Version, framing: Framing) -> bool {
        let body_follows = !matches!(framing, Framing::None | Framing::Length(0));
        self.expects_continue && body_follows && version == Version::Http11
    }
}

/// `If-Match`, `If-None-Match`, `If-Range` and the two with dates.
fn is_condition(name: &str) -> bool {
    name.get(..3).is_some_and(|begin| begin.eq_ignore_ascii_case("If-"))
}

/// What a list is made of, without the blanks around it.
fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Digits, at least one, and nothing else. `parse` would take a sign.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
