//! Answers, as bytes.

use std::fmt;

use crate::date::Date;
use crate::exchange::{Exchange, Version};
use crate::status::Status;
use crate::token::is_token;

/// Tells a visitor that waits for it to send the body (RFC 9110, section 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// So many bytes.
    Known(u64),
    /// Nobody knows before it's sent.
    Unknown,
}

/// How a body goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It doesn't: the next answer begins right behind the head.
    None,
    /// As it is: as many bytes as the head says.
    Plain,
    /// In chunks: [`chunk`], and [`last_chunk`].
    Chunked,
    /// As it is, and the connection closes at its end.
    UntilClose,
}

/// Writes the head of an answer. What comes back: how its body goes out, and whether the
/// connection stays open behind it.
///
/// To HEAD it says what GET would get. 304 says nothing about the length: it would have to
/// be that of the page (RFC 9110, section 8.6), which who asks has already. A
/// `content_type` with a control character in it is left out; `fields` were checked when
/// they were put in.
pub fn head(
    to: &mut Vec<u8>,
    exchange: Exchange,
    status: Status,
    date: &Date,
    content_type: Option<&str>,
    fields: &Fields,
    size: Size,
) -> (Delivery, bool) {
    // Nothing can be the content of 205, but only a length says so (RFC 9110, 15.3.6).
    let is_reset = status == Status::RESET_CONTENT;
    let size = if is_reset { Size::Known(0) } else { size };
    // ANCHOR: delivery
    let delivery = match size {
        _ if exchange.is_head || status.has_no_body() || is_reset => Delivery::None,
        Size::Known(_) => Delivery::Plain,
        Size::Unknown if exchange.version == Version::Http11 => Delivery::Chunked,
        Size::Unknown => Delivery::UntilClose,
    };
    let stays = exchange.keep_alive && delivery != Delivery::UntilClose;
    // ANCHOR_END: delivery

    status_line(to, status);
    to.extend_from_slice(b"Date: ");
    to.extend_from_slice(date.as_bytes());
    if let Some(content_type) = content_type.filter(|it| is_value(it)) {
        to.extend_from_slice(b"\r\nContent-Type: ");
        to.extend_from_slice(content_type.as_bytes());
    }
    match size {
        _ if status.has_no_body() => {}
        Size::Known(length) => {
            to.extend_from_slice(b"\r\nContent-Length: ");
            decimal(to, length);
        }
        Size::Unknown if delivery == Delivery::Chunked => {
            to.extend_from_slice(b"\r\nTransfer-Encoding: chunked");
        }
        Size::Unknown => {}
    }
    if !stays {
        to.extend_from_slice(b"\r\nConnection: close");
    } else if exchange.version == Version::Http10 {
        to.extend_from_slice(b"\r\nConnection: keep-alive");
    }
    to.extend_from_slice(b"\r\n");
    to.extend_from_slice(&fields.0);
    to.extend_from_slice(b"\r\n");
    (delivery, stays)
}

/// Always 1.1, to 1.0 as well: it's what we speak (RFC 9110, section 6.2).
fn status_line(to: &mut Vec<u8>, status: Status) {
    to.extend_from_slice(b"HTTP/1.1 ");
    decimal(to, status.code().into());
    // The space belongs there even before no reason at all (RFC 9112, section 4).
    to.push(b' ');
    to.extend_from_slice(status.reason().as_bytes());
    to.extend_from_slice(b"\r\n");
}

/// Writes a piece of a body as a chunk. An empty one is nothing: an empty chunk would be
/// the end.
pub fn chunk(to: &mut Vec<u8>, piece: &[u8]) {
    if piece.is_empty() {
        return;
    }
    hexadecimal(to, piece.len());
    to.extend_from_slice(b"\r\n");
    to.extend_from_slice(piece);
    to.extend_from_slice(b"\r\n");
}

/// Writes the chunk that ends a body.
pub fn last_chunk(to: &mut Vec<u8>) {
    to.extend_from_slice(b"0\r\n\r\n");
}

// ANCHOR: ours
/// Fields that [`head`] alone may write: twice, they could be read in
/// two ways.
const RESERVED: [&str; 4] = ["Connection", "Content-Length", "Date", "Transfer-Encoding"];
// ANCHOR_END: ours

/// Fields for an answer, each checked when it's put in: what a visitor sent may come back
/// in a value, but not with a line break in it, behind which it could put fields, or an
/// answer, of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<u8>);

impl Fields {
    /// No fields.
    pub const NONE: Self = Self(Vec::new());

    // ANCHOR: add
    /// Adds a field, with the blanks around its value taken away.
    ///
    /// # Errors
    /// When it would be read as something else, or says what only [`head`]
    /// may say.
    pub fn add(&mut self, name: &str, value: &str) -> Result<(), BadField> {
        if !is_token(name.as_bytes()) {
            return Err(BadField::Name);
        }
        if RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name)) {
            return Err(BadField::Reserved);
        }
        if !is_value(value) {
            return Err(BadField::Value);
        }
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
        self.0.extend_from_slice(value.trim_matches([' ', '\t']).as_bytes());
        self.0.extend_from_slice(b"\r\n");
        Ok(())
    }
    // ANCHOR_END: add

    /// The value of the first field of this name, in upper or lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let lines = self.0.split(|byte| *byte == b'\n');
        let mut fields = lines.filter_map(|line| std::str::from_utf8(line).ok()?.split_once(": "));
        let (_, value) = fields.find(|(other, _)| other.eq_ignore_ascii_case(name))?;
        value.strip_suffix('\r')
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why a field can't be put into an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadField {
    /// The name is no token.
    Name,
    /// There is a control character in the value.
    Value,
    /// [`head`] says that, and twice could be read in two ways.
    Reserved,
}

impl fmt::Display for BadField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "a field's name must be a token",
            Self::Value => "a field's value can't have control characters",
            Self::Reserved => "this field is written by the encoder alone",
        })
    }
}

impl std::error::Error for BadField {}

/// Whether it can stand in a field: no control characters but the tab (RFC 9110, section
/// 5.5).
fn is_value(text: &str) -> bool {
    text.bytes().fold(true, |valid, byte| valid & (byte >= b' ' || byte == b'\t') & (byte != 0x7f))
}

fn decimal(to: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20]; // as many as u64::MAX has
    let mut begin = digits.len();
    loop {
        begin -= 1;
        digits[begin] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    to.extend_from_slice(&digits[begin..]);
}

fn hexadecimal(to: &mut Vec<u8>, number: usize) {
    let digits = (number.max(1).ilog2() / 4 + 1) as usize;
    for place in (0..digits).rev() {
        to.push(b"0123456789abcdef"[(number >> (4 * place)) & 0xf]);
    }
}
