//! A console's state: what was typed and hasn't been used. Its input is handed over in any case.

use ch12_kernel::commands::Parts;

use crate::format::{Malformed, Reader, Writer};

/// Writes it. None: it's over.
pub fn write(to: &mut Writer, console: Option<&Parts>) {
    to.option(console, |to, Parts { bytes, is_dropping, ended }| {
        to.bytes(bytes);
        to.flag(*is_dropping);
        to.flag(*ended);
    });
}

/// Reads it.
///
/// # Errors
/// When this is none.
pub fn read(mut from: Reader<'_>) -> Result<Option<Parts>, Malformed> {
    let console = from.option(|from| {
        let bytes = from.bytes()?.to_vec();
        Ok(Parts { bytes, is_dropping: from.flag()?, ended: from.flag()? })
    })?;
    from.end().map(|()| console)
}
