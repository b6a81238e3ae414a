//! What is asked of the kernel, and what it answers.

use std::io::{self, ErrorKind};

/// What a source waits for. It follows from its state, and is worked out anew before
/// each wait in which it may have become another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// For something to read, for the end, or for somebody at the door.
    pub read: bool,
    /// For room to send.
    pub write: bool,
}

impl Interest {
    /// The kernel isn't even asked: asked about nothing, it would still report a
    /// hang-up, for ever.
    pub const NONE: Self = Self { read: false, write: false };
    /// Something to read.
    pub const READ: Self = Self { read: true, write: false };
}

/// What the kernel says of a source: a hint. Only the call itself says what is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// A read is worth trying.
    pub read: bool,
    /// A write is worth trying.
    pub write: bool,
    /// There is an error to be asked for.
    pub error: bool,
}

impl Readiness {
    /// Nothing is known. A source that was called for its patience's sake is told so.
    pub const NONE: Self = Self { read: false, write: false, error: false };
}

/// The result of a call that refuses to wait, as in chapter 6. `None`: not now.
///
/// # Errors
/// Those of the call, but for `WouldBlock` and `Interrupted`.
pub fn now<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    use ErrorKind::{Interrupted, WouldBlock};
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), WouldBlock | Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}
