//! The state of a server whose clients speak lines: its listener, and its connections.

use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

use ch12_kernel::line_server::Next;
use ch12_kernel::line_server::handover::{HandedOver, Visitor};
use ch12_kernel::lines::Reading;

use crate::connection::{read_connection, write_connection};
use crate::format::{Malformed, Reader, Writer};
use crate::state::{Incoming, Outgoing};

/// By their numbers in the state. New ones come at the end.
const READINGS: [Reading; 4] =
    [Reading::Line, Reading::LongLine, Reading::LineOfData, Reading::Data];
const NEXT: [Next; 3] = [Next::Read, Next::Wait, Next::Leave];

/// Writes a server. `session` writes what a connection's session is.
pub fn write<'l, P>(
    to: &mut Outgoing<'l>,
    server: &HandedOver<BorrowedFd<'l>, P>,
    session: impl Fn(&mut Writer, &P),
) {
    let HandedOver { listener, last, visitors } = server;
    to.writer.flag(listener.is_some());
    if let Some(listener) = listener {
        to.descriptor(*listener);
    }
    to.writer.number(*last);
    to.writer.number(visitors.len() as u64);
    for (socket, visitor) in visitors {
        to.descriptor(*socket);
        write_visitor(&mut to.writer, visitor, &session);
    }
}

/// Reads one. `session` reads what [`write()`]'s has written, of one that has come from there, and
/// has this number.
///
/// # Errors
/// When this is no server.
pub fn read<P>(
    from: &mut Incoming<'_>,
    session: impl Fn(&mut Reader<'_>, SocketAddr, u64) -> Result<P, Malformed>,
) -> Result<HandedOver<OwnedFd, P>, Malformed> {
    let listener = match from.reader.flag()? {
        true => Some(from.descriptor()?),
        false => None,
    };
    let last = from.reader.number()?;
    let count = from.reader.number()?;
    let read_one = |_| Ok((from.descriptor()?, read_visitor(&mut from.reader, &session)?));
    let visitors = (0..count).map(read_one).collect::<Result<_, _>>()?;
    Ok(HandedOver { listener, last, visitors })
}

fn write_visitor<P>(
    writer: &mut Writer,
    visitor: &Visitor<P>,
    write_session: impl Fn(&mut Writer, &P),
) {
    let Visitor { from, number, connection, reading, next, decoded, told_of_end, .. } = visitor;
    let Visitor { data_left, time_left, queued, session, .. } = visitor;
    writer.text(&from.to_string());
    writer.number(*number);
    write_connection(writer, connection);
    writer.one_of(&READINGS, *reading);
    writer.one_of(&NEXT, *next);
    writer.number(*decoded as u64);
    writer.flag(*told_of_end);
    writer.time(*data_left);
    writer.option(*time_left, Writer::time);
    writer.number(*queued as u64);
    write_session(writer, session);
}

fn read_visitor<P>(
    reader: &mut Reader<'_>,
    read_session: impl Fn(&mut Reader<'_>, SocketAddr, u64) -> Result<P, Malformed>,
) -> Result<Visitor<P>, Malformed> {
    let (from, number) = (reader.parsed()?, reader.number()?);
    Ok(Visitor {
        from,
        number,
        connection: read_connection(reader)?,
        reading: reader.one_of(&READINGS)?,
        next: reader.one_of(&NEXT)?,
        decoded: reader.size()?,
        told_of_end: reader.flag()?,
        data_left: reader.time()?,
        time_left: reader.option(Reader::time)?,
        queued: reader.size()?,
        session: read_session(reader, from, number)?,
    })
}
