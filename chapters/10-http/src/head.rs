//! What a request's head says.

use std::mem::MaybeUninit;

use crate::exchange::{Exchange, Version};
use crate::framing::{Facts, Framing};
use crate::refusal::Refusal;
use crate::status::Status;
use crate::target::Target;

/// No head has more fields, whatever its [`Limits`](crate::Limits) say: there is no room
/// for them while it's read.
pub const MOST_FIELDS: usize = 100;

/// A request's head. It borrows the bytes that it was read from, and copies none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'b> {
    /// A token. Which ones there are isn't ours to say.
    pub method: &'b str,
    pub target: Target<'b>,
    pub version: Version,
    /// Where the body ends.
    pub body: Framing,
    /// Whether another request may follow. If not, what does follow isn't to be read.
    pub keep_alive: bool,
    /// Whether the visitor waits for [`CONTINUE`](crate::CONTINUE) before it sends the body.
    pub expects_continue: bool,
    /// Whether there may be a field that makes the answer depend on what the visitor has: a
    /// condition, or a Range (RFC 9110, sections 13.1 and 14.2).
    pub has_conditions: bool,
    /// An expectation that we can't meet.
    pub(crate) expects_other: bool,
    /// Its fields mean the same in any request, and none of them is secret.
    pub(crate) may_be_kept: bool,
    raw: &'b [u8],
    /// Where in `raw` the first field begins.
    fields: usize,
}

impl<'b> Head<'b> {
    /// Reads the head that `bytes` begin with, and how long it is. None: it isn't whole,
    /// or empty lines stand before it.
    ///
    /// # Errors
    /// What is wrong with it. If there is more than one thing, any of them: which one is
    /// first doesn't show here while bytes are missing.
    // A head is a hundred bytes of pointers and lengths. Moved from function to function, they
    // cost as much time as reading them.
    #[inline(always)]
    pub(crate) fn read(bytes: &'b [u8], most_fields: usize) -> Result<Option<Self>, Refusal> {
        if matches!(bytes, [b'\r' | b'\n', ..]) {
            return Ok(None);
        }
        // Nothing is written to it but the fields that are found: no time for clearing it.
        let mut room = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let mut request = httparse::Request::new(&mut []);
        let read =
            request.parse_with_uninit_headers(bytes, &mut room[..most_fields.min(MOST_FIELDS)]);
        let read = match read {
            Ok(read) => read,
            Err(error) => return Self::read_otherwise(error, bytes, most_fields),
        };
        let (httparse::Status::Complete(length), Some(method), Some(path), Some(minor)) =
            (read, request.method, request.path, request.version)
        else {
            return Ok(None);
        };
        let raw = &bytes[..length];
        let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
        let target = Target::of(method, path)?;
        let mut facts = Facts::default();
        let mut lines_end_well = raw.ends_with(b"\r\n\r\n");
        for field in request.headers.iter() {
            lines_end_well &= raw[..offset(field.name, raw)].ends_with(b"\r\n");
            facts.note(field.name, field.value)?;
        }
        // httparse lets an LF do where CRLF belongs.
        if !lines_end_well {
            return Err(Refusal::bad("an LF without a CR before it"));
        }
        facts.check_host(version, &target)?;
        let body = facts.framing(version)?;
        Ok(Some(Self {
            method,
            target,
            version,
            body,
            keep_alive: facts.keeps_alive(version),
            expects_continue: facts.awaits_continue(version, body),
            has_conditions: facts.has_conditions,
            expects_other: facts.expects_other,
            may_be_kept: matches!(
                (target, version, body),
                (Target::Origin(_), Version::Http11, Framing::None)
            ) && !facts.has_secret
                && !facts.expects_other,
            raw,
            fields: method.len() + " ".len() + path.len() + " HTTP/1.1\r\n".len(),
        }))
    }

    /// One whose fields were read before: it has no body, and expects nothing. `line` is how long
    /// its request line is, in bytes, with its CRLF.
    #[inline(always)]
    pub(crate) const fn with_known_fields(
        method: &'b str,
        path: &'b str,
        raw: &'b [u8],
        line: usize,
        keep_alive: bool,
        has_conditions: bool,
    ) -> Self {
        Self {
            method,
            target: Target::Origin(path),
            version: Version::Http11,
            body: Framing::None,
            keep_alive,
            expects_continue: false,
            has_conditions,
            expects_other: false,
            may_be_kept: true,
            raw,
            fields: line,
        }
    }

    /// httparse wouldn't read it. One of HTTP/1.2 it would, if that were 1.1: who speaks 1.1
    /// understands it (RFC 9110, section 2.5).
    #[cold]
    fn read_otherwise(
        error: httparse::Error,
        bytes: &'b [u8],
        most_fields: usize,
    ) -> Result<Option<Self>, Refusal> {
        let Some(copy) = as_1_1(bytes) else { return Err(refusal(error, bytes)) };
        let Some(head) = Head::read(&copy, most_fields)? else { return Ok(None) };
        // The same, where it stands in the bytes that aren't a copy.
        let here = |part: &str| {
            let begin = offset(part, &copy);
            std::str::from_utf8(&bytes[begin..begin + part.len()]).unwrap_or_default()
        };
        let target = match head.target {
            Target::Origin(path) => Target::Origin(here(path)),
            Target::Absolute { authority, path } => {
                Target::Absolute { authority: here(authority), path: here(path) }
            }
            Target::Authority(authority) => Target::Authority(here(authority)),
            Target::Asterisk => Target::Asterisk,
        };
        let raw = &bytes[..head.raw.len()];
        Ok(Some(Self { method: here(head.method), target, raw, ..head }))
    }

    /// The head again, from bytes that [`raw`](Self::raw) gave. None for any others.
    pub fn of(raw: &'b [u8]) -> Option<Self> {
        Self::read(raw, MOST_FIELDS).ok()?.filter(|head| head.raw.len() == raw.len())
    }

    /// Its bytes, from the method to the empty line: to be kept when the buffer goes.
    pub fn raw(&self) -> &'b [u8] {
        self.raw
    }

    /// Its fields' bytes, with the empty line.
    pub(crate) fn raw_fields(&self) -> &'b [u8] {
        &self.raw[self.fields..]
    }

    /// Its request line's length, in bytes, without the CRLF.
    pub(crate) fn line(&self) -> usize {
        self.fields - "\r\n".len()
    }

    /// The target's path, as it was sent, without the query: `/` where an absolute form
    /// has none, `*` for the asterisk form, empty for the authority form.
    pub fn path(&self) -> &'b str {
        let path = match self.target {
            Target::Origin(path) | Target::Absolute { path, .. } => path,
            Target::Asterisk => return "*",
            Target::Authority(_) => return "",
        };
        let query = path.bytes().position(|byte| byte == b'?');
        let path = query.map_or(path, |query| &path[..query]);
        if path.is_empty() { "/" } else { path }
    }

    /// What stands behind the target's first question mark, if it has one.
    pub fn query(&self) -> Option<&'b str> {
        match self.target {
            Target::Origin(path) | Target::Absolute { path, .. } => {
                path.split_once('?').map(|(_, query)| query)
            }
            Target::Asterisk | Target::Authority(_) => None,
        }
    }

    /// Who is asked, with the port if it was given. Where the target says it, it's that
    /// and not the Host field (RFC 9112, section 3.2.2).
    pub fn host(&self) -> Option<&'b str> {
        self.target.authority().or_else(|| self.field("Host"))
    }

    /// All fields, in order: their names, and their values without the blanks around
    /// them.
    pub fn fields(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> + use<'b> {
        let lines = self.raw_fields().split(|byte| *byte == b'\n');
        // The head was read: each line has its colon, and a name of ASCII before it.
        lines.filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = std::str::from_utf8(&line[..colon]).ok()?;
            Some((name, line[colon + 1..].trim_ascii()))
        })
    }

    /// The value of the first field of this name, in upper or lower case. None if there is
    /// none, or if it isn't UTF-8.
    pub fn field(&self, name: &str) -> Option<&'b str> {
        let mut named = self.fields().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.next().and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// What its answer's framing depends on.
    pub fn exchange(&self) -> Exchange {
        let is_head = self.method == "HEAD";
        Exchange { is_head, version: self.version, keep_alive: self.keep_alive }
    }
}

/// Judges a request line, with its CRLF, before there is more.
///
/// # Errors
/// 400 if it's broken; 505 for a version that we don't speak.
pub(crate) fn check_request_line(line: &[u8]) -> Result<(), Refusal> {
    let mut request = httparse::Request::new(&mut []);
    if let Err(error) = request.parse(line) {
        let copy = as_1_1(line).ok_or_else(|| refusal(error, line))?;
        return check_request_line(&copy);
    }
    let target = Target::of(request.method.unwrap_or_default(), request.path.unwrap_or_default());
    target.map(drop)
}

/// What httparse's error is, as a refusal.
#[cold]
fn refusal(error: httparse::Error, bytes: &[u8]) -> Refusal {
    use httparse::Error::{HeaderName, HeaderValue, TooManyHeaders, Version};
    match error {
        Version if names_a_version(bytes) => {
            Refusal::new(Status::VERSION_NOT_SUPPORTED, "neither HTTP/1.0 nor HTTP/1.1")
        }
        TooManyHeaders => Refusal::new(Status::HEADERS_TOO_LARGE, "too many fields"),
        HeaderName => Refusal::bad("a field must be a name, a colon right behind it, a value"),
        HeaderValue => Refusal::bad("a control character in a field's value"),
        _ => Refusal::bad("the first line must be METHOD TARGET HTTP/1.1"),
    }
}

/// Whether the first line's third word is `HTTP/`, a digit, a dot and a digit.
fn names_a_version(bytes: &[u8]) -> bool {
    let version = first_line(bytes).split(|byte| *byte == b' ').nth(2);
    let version = version.and_then(|it| it.strip_prefix(b"HTTP/"));
    matches!(version, Some([b'0'..=b'9', b'.', b'0'..=b'9']))
}

/// A copy that says HTTP/1.1, of one that says HTTP/1.2 or a later 1.
fn as_1_1(bytes: &[u8]) -> Option<Vec<u8>> {
    let line = first_line(bytes);
    let is_later =
        matches!(line, [.., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9']);
    let mut copy = is_later.then(|| bytes.to_vec())?;
    copy[line.len() - 1] = b'1';
    Some(copy)
}

fn first_line(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == b'\r').next().unwrap_or_default()
}

/// Where in `bytes` a part of them begins.
fn offset(part: &str, bytes: &[u8]) -> usize {
    part.as_ptr().addr() - bytes.as_ptr().addr()
}
