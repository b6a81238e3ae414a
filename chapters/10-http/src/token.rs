//! Tokens: methods, names of fields and names of codings are written in them.

/// A name (RFC 9110, section 5.6.2).
pub(crate) fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| is_token_byte(*byte))
}

pub(crate) const fn is_token_byte(byte: u8) -> bool {
    IN_TOKEN[byte as usize]
}

static IN_TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = is_in_token(byte as u8);
        byte += 1;
    }
    table
};

const fn is_in_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+')
        || matches!(byte, b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}
