//! The state of a server whose clients speak lines: its listener, and its connections.

use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::str::FromStr;

use ch07_callbacks::connection::{Ours, Parts};
use ch12_kernel::line_server::{HandedOver, Next, Visitor};
use ch12_kernel::lines::Reading;

use crate::format::{Malformed, Reader, Writer};
use crate::state::{Incoming, Outgoing};

/// By their numbers in the state. New ones come at the end.
const READINGS: [Reading; 4] =
    [Reading::Line, Reading::LongLine, Reading::LineOfData, Reading::Data];
const NEXT: [Next; 3] = [Next::Read, Next::Wait, Next::Leave];
const OURS: [Ours; 3] = [Ours::Open, Ours::Ending, Ours::Ended];

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
    write_one_of(writer, &READINGS, *reading);
    write_one_of(writer, &NEXT, *next);
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
    let (from, number) = (parsed(reader.text()?)?, reader.number()?);
    Ok(Visitor {
        from,
        number,
        connection: read_connection(reader)?,
        reading: read_one_of(reader, &READINGS)?,
        next: read_one_of(reader, &NEXT)?,
        decoded: size(reader)?,
        told_of_end: reader.flag()?,
        data_left: reader.time()?,
        time_left: reader.option(Reader::time)?,
        queued: size(reader)?,
        session: read_session(reader, from, number)?,
    })
}

/// Writes a connection of chapter 7's.
pub fn write_connection(writer: &mut Writer, connection: &Parts) {
    let Parts { input, ended, deaf, output, ours } = connection;
    writer.bytes(input);
    writer.flag(*ended);
    writer.flag(*deaf);
    writer.bytes(output);
    write_one_of(writer, &OURS, *ours);
}

/// # Errors
/// When this is none.
pub fn read_connection(reader: &mut Reader<'_>) -> Result<Parts, Malformed> {
    Ok(Parts {
        input: reader.bytes()?.to_vec(),
        ended: reader.flag()?,
        deaf: reader.flag()?,
        output: reader.bytes()?.to_vec(),
        ours: read_one_of(reader, &OURS)?,
    })
}

/// One of those that have a number each, by their places.
pub(crate) fn write_one_of<T: PartialEq>(writer: &mut Writer, all: &[T], one: T) {
    let place = all.iter().position(|it| *it == one);
    writer.number(place.unwrap_or_default() as u64);
}

pub(crate) fn read_one_of<T: Copy>(reader: &mut Reader<'_>, all: &[T]) -> Result<T, Malformed> {
    all.get(size(reader)?).copied().ok_or(Malformed)
}

pub(crate) fn size(reader: &mut Reader<'_>) -> Result<usize, Malformed> {
    usize::try_from(reader.number()?).map_err(|_| Malformed)
}

pub(crate) fn parsed<T: FromStr>(text: &str) -> Result<T, Malformed> {
    text.parse().map_err(|_| Malformed)
}
