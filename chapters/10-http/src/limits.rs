//! Where a request is too long.

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
    /// So many fields, and no more than [`MOST_FIELDS`](crate::head::MOST_FIELDS). More get 431.
    pub fields: usize,
    /// Longest accepted body, in bytes. Longer ones get 413 (RFC 9110, section 15.5.14).
    pub body: u64,
}

impl Limits {
    /// What most servers give: RFC 9112 (section 3) wants 8,000 bytes of request line.
    pub const USUAL: Self = Self { line: 8 << 10, head: 16 << 10, fields: 100, body: 1 << 20 };
}
