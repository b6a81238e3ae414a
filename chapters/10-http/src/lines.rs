//! Where a line ends, in bytes that come in pieces.

use std::ops::Range;

use crate::refusal::Refusal;
use crate::status::Status;

// ANCHOR: seen
/// Finds lines, one after the other. CRLF ends a line and nothing else
/// does: a lone CR or LF, which RFC 9112 (section 2.2) lets us take for
/// one, is where two programs that read the same bytes begin to
/// disagree.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lines {
    /// Where the line begins that isn't whole yet.
    pub start: usize,
    /// How far it was looked for its end. Without this, a line that
    /// comes byte by byte would be searched from its beginning for each
    /// of them.
    seen: usize,
}
// ANCHOR_END: seen

impl Lines {
    /// Lines that begin there.
    pub const fn from(start: usize) -> Self {
        Self { start, seen: start }
    }

    /// Nothing was looked at yet.
    pub const fn are_untouched(&self) -> bool {
        self.seen == 0
    }

    /// Where in `bytes` the next line is, without its CRLF. None: it isn't whole. Called
    /// again, it gets the same bytes and more behind them.
    ///
    /// # Errors
    /// 400 for a CR or LF that stands alone, 414 for a line of more than `longest` bytes:
    /// whichever is said by the earlier byte, so that it doesn't depend on the pieces.
    pub fn next(&mut self, bytes: &[u8], longest: usize) -> Result<Option<Range<usize>>, Refusal> {
        let new = bytes.get(self.seen..).unwrap_or_default();
        let end = new.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        self.seen += end.unwrap_or(new.len());
        if self.seen - self.start > longest {
            return Err(Refusal::new(Status::URI_TOO_LONG, "the request line is too long"));
        }
        // ANCHOR: crlf
        match bytes.get(self.seen..).unwrap_or_default() {
            [] | [b'\r'] => Ok(None),
            [b'\r', b'\n', ..] => {
                let line = self.start..self.seen;
                *self = Self::from(self.seen + 2);
                Ok(Some(line))
            }
            [b'\r', ..] => Err(Refusal::bad("a CR without an LF behind it")),
            _ => Err(Refusal::bad("an LF without a CR before it")),
        }
        // ANCHOR_END: crlf
    }
}
