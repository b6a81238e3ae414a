//! An HTTP server's state: its listener, and its visitors' conversations.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use ch10_http::Status;
use ch11_http_server::connection::handover::Visitor;
use ch11_http_server::conversation::parts::{Parts, Place};
use ch11_http_server::conversation::wait::Wait;
use ch11_http_server::conversation::{Answered, Length};
use ch11_http_server::log::Line;
use ch11_http_server::queue::FilePart;
use ch11_http_server::server::HandedOver;

use crate::format::{Malformed, Reader, Writer, parsed};
use crate::state::{Incoming, Outgoing};

/// A visitor that has come from another process.
pub type Taken = (TcpStream, Visitor);

/// Writes a server: what [`read_listener`] reads, and then [`read_visitors`].
pub fn write<'l>(to: &mut Outgoing<'l>, server: &'l HandedOver<'_>) {
    to.writer.flag(server.listener.is_some());
    if let Some(listener) = server.listener {
        to.descriptor(listener);
    }
    to.writer.number(server.visitors.len() as u64);
    for (socket, visitor) in &server.visitors {
        write_visitor(to, *socket, visitor);
    }
}

/// Its listener, if it lets anybody in.
///
/// # Errors
/// When this is no server.
pub fn read_listener(from: &mut Incoming<'_>) -> Result<Option<TcpListener>, Malformed> {
    match from.reader.flag()? {
        true => from.descriptor().map(|listener| Some(listener.into())),
        false => Ok(None),
    }
}

/// Its visitors.
///
/// # Errors
/// When these are none.
pub fn read_visitors(mut from: Incoming<'_>) -> Result<Vec<Taken>, Malformed> {
    let count = from.reader.number()?;
    let visitors = (0..count).map(|_| read_visitor(&mut from)).collect::<Result<_, _>>()?;
    from.end()?;
    Ok(visitors)
}

fn write_visitor<'l>(to: &mut Outgoing<'l>, socket: BorrowedFd<'l>, visitor: &'l Visitor) {
    let Visitor { from, parts, line, stream } = visitor;
    to.descriptor(socket);
    to.writer.text(&from.to_string());
    write_parts(to, parts);
    to.writer.option(line.as_ref(), write_line);
    to.writer.option(stream.as_deref(), Writer::text);
}

fn read_visitor(from: &mut Incoming<'_>) -> Result<(TcpStream, Visitor), Malformed> {
    let socket = TcpStream::from(from.descriptor()?);
    let address: SocketAddr = parsed(from.reader.text()?)?;
    let parts = read_parts(from)?;
    let line = from.reader.option(read_line)?;
    let stream = from.reader.option(|reader| reader.text().map(str::to_owned))?;
    Ok((socket, Visitor { from: address, parts, line, stream }))
}

fn write_parts<'l>(to: &mut Outgoing<'l>, parts: &'l Parts) {
    let Parts { input, input_ended, output, file, request, answered, place, wait, time_left } =
        parts;
    to.writer.bytes(input);
    to.writer.flag(*input_ended);
    to.writer.bytes(output);
    to.writer.flag(file.is_some());
    if let Some(FilePart { file, at, left }) = file {
        to.descriptor(file.as_fd());
        to.writer.number(*at);
        to.writer.number(*left);
    }
    to.writer.number(*request);
    to.writer.option(*answered, |writer, Answered { status, bytes }| {
        writer.number(status.code().into());
        writer.number(bytes);
    });
    write_place(&mut to.writer, *place);
    let wait = WAITS.iter().position(|known| known == wait).unwrap_or_default();
    to.writer.number(wait as u64);
    to.writer.option(*time_left, Writer::time);
}

fn read_parts(from: &mut Incoming<'_>) -> Result<Parts, Malformed> {
    let input = from.reader.bytes()?.to_vec();
    let input_ended = from.reader.flag()?;
    let output = from.reader.bytes()?.to_vec();
    let file = match from.reader.flag()? {
        true => {
            let file = from.file()?;
            Some(FilePart { file, at: from.reader.number()?, left: from.reader.number()? })
        }
        false => None,
    };
    let reader = &mut from.reader;
    let request = reader.number()?;
    let answered = reader.option(|reader| {
        let code = u16::try_from(reader.number()?).map_err(|_| Malformed)?;
        let status = Status::of(code).ok_or(Malformed)?;
        Ok(Answered { status, bytes: reader.number()? })
    })?;
    let place = read_place(reader)?;
    let wait = usize::try_from(reader.number()?).ok().and_then(|at| WAITS.get(at).copied());
    let wait = wait.ok_or(Malformed)?;
    let time_left = reader.option(Reader::time)?;
    Ok(Parts { input, input_ended, output, file, request, answered, place, wait, time_left })
}

/// By their numbers in the state. New ones come at the end.
const WAITS: [Wait; 8] = [
    Wait::Nothing,
    Wait::Idle,
    Wait::Head,
    Wait::Body,
    Wait::Handler,
    Wait::Send,
    Wait::Stream,
    Wait::Linger,
];

fn write_place(writer: &mut Writer, place: Place) {
    match place {
        Place::Reading => writer.number(1),
        Place::Receiving => writer.number(2),
        Place::Streaming { length, closes } => {
            writer.number(3);
            match length {
                Length::InChunks => writer.number(1),
                Length::UntilClose => writer.number(2),
                Length::Left(left) => {
                    writer.number(3);
                    writer.number(left);
                }
            }
            writer.option(closes, Writer::flag);
        }
        Place::Closing { lingers } => {
            writer.number(4);
            writer.flag(lingers);
        }
        Place::Lingering { told } => {
            writer.number(5);
            writer.flag(told);
        }
    }
}

fn read_place(reader: &mut Reader<'_>) -> Result<Place, Malformed> {
    Ok(match reader.number()? {
        1 => Place::Reading,
        2 => Place::Receiving,
        3 => {
            let length = match reader.number()? {
                1 => Length::InChunks,
                2 => Length::UntilClose,
                3 => Length::Left(reader.number()?),
                _ => return Err(Malformed),
            };
            Place::Streaming { length, closes: reader.option(Reader::flag)? }
        }
        4 => Place::Closing { lingers: reader.flag()? },
        5 => Place::Lingering { told: reader.flag()? },
        _ => return Err(Malformed),
    })
}

fn write_line(writer: &mut Writer, line: &Line) {
    let Line { from, request, referer, agent } = line;
    writer.text(&from.to_string());
    for text in [request, referer, agent] {
        writer.text(text);
    }
}

fn read_line(reader: &mut Reader<'_>) -> Result<Line, Malformed> {
    let from: IpAddr = parsed(reader.text()?)?;
    let mut text = || reader.text().map(str::to_owned);
    Ok(Line { from, request: text()?, referer: text()?, agent: text()? })
}
