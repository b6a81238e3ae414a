//! A mail server's state: its connections, each with what it has said and sent of a message, and
//! messages that nobody has written yet.

use std::net::IpAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use ch12_kernel::mail::message::{Envelope, Hello, Message};
use ch12_kernel::mail::path::Path;
use ch12_kernel::mail::server::Held;
use ch12_kernel::mail::server::handover::{HandedOver, Visit};
use ch12_kernel::mail::session::{Refused, Session, Stage};
use ch12_kernel::mbox::Entry;

use crate::format::{Malformed, Reader, Writer};
use crate::lines;
use crate::state::{Incoming, Outgoing};

/// By their numbers in the state. New ones come at the end.
const REFUSED: [Refused; 2] = [Refused::TooLarge, Refused::NoMemory];

/// Writes a server: what [`read`] reads.
pub fn write<'l>(to: &mut Outgoing<'l>, mail: &HandedOver<BorrowedFd<'l>>) {
    lines::write(to, &mail.lines, |writer, Visit { session, message }| {
        write_session(writer, session);
        writer.option(message.as_ref(), write_message);
    });
    to.writer.number(mail.left_behind.len() as u64);
    for message in &mail.left_behind {
        write_message(&mut to.writer, message);
    }
}

/// # Errors
/// When this is no server.
pub fn read(mut from: Incoming<'_>) -> Result<HandedOver<OwnedFd>, Malformed> {
    let lines = lines::read(&mut from, |reader, client, _| {
        let session = read_session(reader, client.ip())?;
        Ok(Visit { session, message: reader.option(read_message)? })
    })?;
    let count = from.reader.number()?;
    let left_behind =
        (0..count).map(|_| read_message(&mut from.reader)).collect::<Result<_, _>>()?;
    from.end()?;
    Ok(HandedOver { lines, left_behind })
}

/// Nobody is handed over by a server that is being stopped.
fn write_session(writer: &mut Writer, session: &Session) {
    let Session { from: _, hello, stage, errors, stopping: _ } = session;
    writer.option(hello.as_ref(), |writer, Hello { name, extended }| {
        writer.text(name);
        writer.flag(*extended);
    });
    writer.number((*errors).into());
    match stage {
        Stage::Idle => writer.number(1),
        Stage::Envelope(envelope) => {
            writer.number(2);
            write_envelope(writer, envelope);
        }
        Stage::Data(Message { from: _, hello: _, envelope, data }) => {
            writer.number(3);
            write_envelope(writer, envelope);
            writer.bytes(data);
        }
        Stage::Refused(why) => {
            writer.number(4);
            writer.one_of(&REFUSED, *why);
        }
        Stage::Disk => writer.number(5),
    }
}

fn read_session(reader: &mut Reader<'_>, from: IpAddr) -> Result<Session, Malformed> {
    let hello = reader
        .option(|reader| Ok(Hello { name: reader.text()?.to_owned(), extended: reader.flag()? }))?;
    let errors = u32::try_from(reader.number()?).map_err(|_| Malformed)?;
    let stage = match reader.number()? {
        1 => Stage::Idle,
        2 => Stage::Envelope(read_envelope(reader)?),
        3 => Stage::Data(Message {
            from,
            // Without it, nobody comes as far.
            hello: hello.clone().ok_or(Malformed)?,
            envelope: read_envelope(reader)?,
            data: reader.bytes()?.to_vec(),
        }),
        4 => Stage::Refused(reader.one_of(&REFUSED)?),
        5 => Stage::Disk,
        _ => return Err(Malformed),
    };
    Ok(Session { from, hello, stage, errors, stopping: false })
}

fn write_envelope(writer: &mut Writer, Envelope { sender, recipients }: &Envelope) {
    writer.text(sender.as_str());
    writer.number(recipients.len() as u64);
    for recipient in recipients {
        writer.text(recipient.as_str());
    }
}

fn read_envelope(reader: &mut Reader<'_>) -> Result<Envelope, Malformed> {
    let sender = read_path(reader)?;
    let count = reader.number()?;
    let recipients = (0..count).map(|_| read_path(reader)).collect::<Result<_, _>>()?;
    Ok(Envelope { sender, recipients })
}

fn read_path(reader: &mut Reader<'_>) -> Result<Path, Malformed> {
    Path::of(reader.text()?).ok_or(Malformed)
}

fn write_message(writer: &mut Writer, message: &Held) {
    let Entry { sender, at, fields, text } = &message.entry;
    writer.text(sender);
    // A clock that is before 1970 is wrong.
    writer.time(at.duration_since(UNIX_EPOCH).unwrap_or_default());
    writer.text(fields);
    writer.bytes(text);
    writer.number(message.recipients as u64);
}

fn read_message(reader: &mut Reader<'_>) -> Result<Held, Malformed> {
    let sender = read_path(reader)?.as_str().to_owned();
    let at: SystemTime = UNIX_EPOCH.checked_add(reader.time()?).ok_or(Malformed)?;
    let fields = reader.text()?.to_owned();
    let text = reader.bytes()?.to_vec();
    Ok(Held::of(Entry { sender, at, fields, text }, reader.size()?))
}
