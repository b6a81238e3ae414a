//! A connection of chapter 7's, in bytes.

use ch07_callbacks::connection::{Ours, Parts};

use crate::format::{Malformed, Reader, Writer};

/// By their numbers in the state. New ones come at the end.
const OURS: [Ours; 3] = [Ours::Open, Ours::Ending, Ours::Ended];

/// Writes what [`read_connection`] reads.
pub fn write_connection(writer: &mut Writer, connection: &Parts) {
    let Parts { input, ended, deaf, output, ours } = connection;
    writer.bytes(input);
    writer.flag(*ended);
    writer.flag(*deaf);
    writer.bytes(output);
    writer.one_of(&OURS, *ours);
}

/// # Errors
/// When this is none.
pub fn read_connection(reader: &mut Reader<'_>) -> Result<Parts, Malformed> {
    Ok(Parts {
        input: reader.bytes()?.to_vec(),
        ended: reader.flag()?,
        deaf: reader.flag()?,
        output: reader.bytes()?.to_vec(),
        ours: reader.one_of(&OURS)?,
    })
}
