//! Messages in a stream: two bytes that say how long it is, then the message (RFC 1035, section
//! 4.2.2).

/// How many bytes say how long a message is.
pub const PREFIX: usize = 2;

/// The first message, when it's whole.
pub fn first(stream: &[u8]) -> Option<&[u8]> {
    let (prefix, rest) = stream.split_first_chunk::<PREFIX>()?;
    rest.get(..usize::from(u16::from_be_bytes(*prefix)))
}

/// How long the first message is, in bytes, whether it's whole or not.
pub fn announced(stream: &[u8]) -> Option<usize> {
    stream.first_chunk::<PREFIX>().map(|prefix| usize::from(u16::from_be_bytes(*prefix)))
}

/// What goes before a message. `None` when it's too long for a stream.
pub fn prefix(message: &[u8]) -> Option<[u8; PREFIX]> {
    u16::try_from(message.len()).ok().map(u16::to_be_bytes)
}
