//! A DNS server's state: its sockets, who asks by TCP, and the questions under way.

use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

use ch12_kernel::datagrams;
use ch12_kernel::dns::forwarder::handover::{Parts, Place, Waiting};
use ch12_kernel::dns::handover::{Client, HandedOver, Way};
use ch12_kernel::dns::question::Transport;
use nix::sys::socket::{SockType, getsockopt, sockopt};

use crate::connection::{read_connection, write_connection};
use crate::format::{Malformed, Reader, Writer};
use crate::state::{Incoming, Outgoing};

/// Writes a server: what [`read`] reads.
pub fn write<'l>(to: &mut Outgoing<'l>, server: &HandedOver<BorrowedFd<'l>>) {
    let HandedOver { udp: (udp, parts), listener, clients, questions } = server;
    to.descriptor(*udp);
    write_datagrams(&mut to.writer, parts);
    to.descriptor(*listener);
    to.writer.number(clients.len() as u64);
    for (socket, client) in clients {
        to.descriptor(*socket);
        write_client(&mut to.writer, client);
    }
    to.writer.number(questions.len() as u64);
    for (way, parts) in questions {
        write_way(to, way.as_ref());
        write_question(&mut to.writer, parts);
    }
}

/// A server.
///
/// # Errors
/// When this is none.
pub fn read(mut from: Incoming<'_>) -> Result<HandedOver<OwnedFd>, Malformed> {
    let udp = socket(&mut from, SockType::Datagram)?;
    let parts = read_datagrams(&mut from.reader)?;
    let listener = socket(&mut from, SockType::Stream)?;
    let count = from.reader.number()?;
    let clients = (0..count).map(|_| {
        let socket = socket(&mut from, SockType::Stream)?;
        Ok((socket, read_client(&mut from.reader)?))
    });
    let clients = clients.collect::<Result<_, _>>()?;
    let count = from.reader.number()?;
    let questions =
        (0..count).map(|_| Ok((read_way(&mut from)?, read_question(&mut from.reader)?)));
    let questions = questions.collect::<Result<_, _>>()?;
    from.end()?;
    Ok(HandedOver { udp: (udp, parts), listener, clients, questions })
}

/// A socket that carries what it must: a server that waits for datagrams at a socket without any
/// would never wait.
fn socket(from: &mut Incoming<'_>, carries: SockType) -> Result<OwnedFd, Malformed> {
    let socket = from.descriptor()?;
    match getsockopt(&socket, sockopt::SockType) {
        Ok(kind) if kind == carries => Ok(socket),
        _ => Err(Malformed),
    }
}

fn write_client(writer: &mut Writer, client: &Client) {
    let Client { from, connection, time_left } = client;
    writer.text(&from.to_string());
    write_connection(writer, connection);
    writer.time(*time_left);
}

fn read_client(reader: &mut Reader<'_>) -> Result<Client, Malformed> {
    let from = read_address(reader)?;
    let connection = read_connection(reader)?;
    Ok(Client { from, connection, time_left: reader.time()? })
}

fn write_way<'l>(to: &mut Outgoing<'l>, way: Option<&Way<BorrowedFd<'l>>>) {
    match way {
        None => to.writer.number(0),
        Some(Way::Udp(socket, parts)) => {
            to.writer.number(1);
            to.descriptor(*socket);
            write_datagrams(&mut to.writer, parts);
        }
        Some(Way::Tcp(socket, parts)) => {
            to.writer.number(2);
            to.descriptor(*socket);
            write_connection(&mut to.writer, parts);
        }
    }
}

fn read_way(from: &mut Incoming<'_>) -> Result<Option<Way<OwnedFd>>, Malformed> {
    Ok(match from.reader.number()? {
        0 => None,
        1 => {
            let socket = socket(from, SockType::Datagram)?;
            Some(Way::Udp(socket, read_datagrams(&mut from.reader)?))
        }
        2 => {
            let socket = socket(from, SockType::Stream)?;
            Some(Way::Tcp(socket, read_connection(&mut from.reader)?))
        }
        _ => return Err(Malformed),
    })
}

fn write_question(writer: &mut Writer, parts: &Parts) {
    let Parts { message, edns, by, refused, patience, due, time_left, waiting } = parts;
    writer.bytes(message);
    writer.flag(*edns);
    writer.flag(*by == Transport::Tcp);
    writer.flag(*refused);
    for time in [patience, due, time_left] {
        writer.time(*time);
    }
    writer.number(waiting.len() as u64);
    for Waiting { place, message, is_plain } in waiting {
        match place {
            Place::Address(address) => {
                writer.number(1);
                writer.text(&address.to_string());
            }
            Place::Connection(number) => {
                writer.number(2);
                writer.number(*number as u64);
            }
        }
        writer.bytes(message);
        writer.flag(*is_plain);
    }
}

fn read_question(reader: &mut Reader<'_>) -> Result<Parts, Malformed> {
    let message = reader.bytes()?.to_vec();
    let edns = reader.flag()?;
    let by = if reader.flag()? { Transport::Tcp } else { Transport::Udp };
    let refused = reader.flag()?;
    let (patience, due, time_left) = (reader.time()?, reader.time()?, reader.time()?);
    let count = reader.number()?;
    let waiting = (0..count).map(|_| read_waiting(reader)).collect::<Result<_, _>>()?;
    Ok(Parts { message, edns, by, refused, patience, due, time_left, waiting })
}

fn read_waiting(reader: &mut Reader<'_>) -> Result<Waiting, Malformed> {
    let place = match reader.number()? {
        1 => Place::Address(read_address(reader)?),
        2 => Place::Connection(reader.number()?.try_into().map_err(|_| Malformed)?),
        _ => return Err(Malformed),
    };
    Ok(Waiting { place, message: reader.bytes()?.to_vec(), is_plain: reader.flag()? })
}

fn write_datagrams(writer: &mut Writer, parts: &datagrams::Parts) {
    let datagrams::Parts { queued, bad_news } = parts;
    writer.number(queued.len() as u64);
    for (to, bytes) in queued {
        writer.option(to.as_ref(), |writer, to| writer.text(&to.to_string()));
        writer.bytes(bytes);
    }
    // The kernel's numbers are small, and none is below zero.
    writer.option(*bad_news, |writer, error| writer.number(error.unsigned_abs().into()));
}

fn read_datagrams(reader: &mut Reader<'_>) -> Result<datagrams::Parts, Malformed> {
    let count = reader.number()?;
    let queued = (0..count).map(|_| {
        let to = reader.option(read_address)?;
        Ok((to, reader.bytes()?.to_vec()))
    });
    let queued = queued.collect::<Result<_, _>>()?;
    let bad_news = reader.option(|reader| reader.number()?.try_into().map_err(|_| Malformed))?;
    Ok(datagrams::Parts { queued, bad_news })
}

fn read_address(reader: &mut Reader<'_>) -> Result<SocketAddr, Malformed> {
    reader.text()?.parse().map_err(|_| Malformed)
}
