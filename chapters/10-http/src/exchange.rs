//! What a request and its answer have in common.

/// The version of HTTP that a request is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    Http10,
    Http11,
}

/// A request and its answer (RFC 9110, section 3.4): what of the request decides how the answer is
/// framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The method is HEAD: the answer is its head alone.
    pub is_head: bool,
    pub version: Version,
    /// Another request may follow.
    pub keep_alive: bool,
}

impl Exchange {
    /// With somebody whose request couldn't be read: nothing can follow.
    pub const UNKNOWN: Self = Self { is_head: false, version: Version::Http11, keep_alive: false };
}
