//! A chat's state: its connections, each with who that is in the room, and how far the two sides
//! have agreed about Telnet.

use std::os::fd::{BorrowedFd, OwnedFd};

use ch12_kernel::chat::handover::{Guest, HandedOver};
use ch12_kernel::room::{Member, Stage};
use ch12_kernel::telnet::{Agreement, Reading, Side, Telnet, Verb, Window};

use crate::format::{Malformed, Reader, Writer};
use crate::lines;
use crate::state::{Incoming, Outgoing};

/// By their numbers in the state. New ones come at the end.
const AGREEMENTS: [Agreement; 6] = [
    Agreement::Off,
    Agreement::On,
    Agreement::AskedForOn,
    Agreement::AskedForOff,
    Agreement::AskedForOnThenOff,
    Agreement::AskedForOffThenOn,
];
const SIDES: [Side; 2] = [Side::Ours, Side::Theirs];

/// Writes a chat: what [`read`] reads.
pub fn write<'l>(to: &mut Outgoing<'l>, chat: &HandedOver<BorrowedFd<'l>>) {
    lines::write(to, chat, |writer, Guest { member, lines }| {
        writer.number(*lines as u64);
        writer.option(member.as_ref(), write_member);
    });
}

/// # Errors
/// When this is no chat.
pub fn read(mut from: Incoming<'_>) -> Result<HandedOver<OwnedFd>, Malformed> {
    let chat = lines::read(&mut from, |reader, _, number| {
        let lines = reader.size()?;
        let member = reader.option(|reader| read_member(reader, number))?;
        Ok(Guest { member, lines })
    })?;
    from.end()?;
    Ok(chat)
}

fn write_member(writer: &mut Writer, member: &Member) {
    let Member { number: _, telnet, stage, knows_key, tries, interrupted } = member;
    write_telnet(writer, telnet);
    match stage {
        Stage::Name => writer.number(1),
        Stage::Key { name } => {
            writer.number(2);
            writer.text(name);
        }
        Stage::Here { name } => {
            writer.number(3);
            writer.text(name);
        }
    }
    writer.flag(*knows_key);
    writer.number((*tries).into());
    writer.flag(*interrupted);
}

fn read_member(reader: &mut Reader<'_>, number: u64) -> Result<Member, Malformed> {
    let telnet = read_telnet(reader)?;
    let stage = match reader.number()? {
        1 => Stage::Name,
        2 => Stage::Key { name: reader.text()?.to_owned() },
        3 => Stage::Here { name: reader.text()?.to_owned() },
        _ => return Err(Malformed),
    };
    let knows_key = reader.flag()?;
    let tries = u8::try_from(reader.number()?).map_err(|_| Malformed)?;
    Ok(Member { number, telnet, stage, knows_key, tries, interrupted: reader.flag()? })
}

fn write_telnet(writer: &mut Writer, telnet: &Telnet) {
    let Telnet { reading, subnegotiation, is_spoken, hides, window, answers, .. } = telnet;
    let Telnet { echo, sends_binary, suppresses_go_ahead, tells_window, .. } = telnet;
    match reading {
        Reading::Text => writer.number(1),
        Reading::Cr => writer.number(2),
        Reading::Command => writer.number(3),
        Reading::Option(Verb { whose, on }) => {
            writer.number(4);
            writer.one_of(&SIDES, *whose);
            writer.flag(*on);
        }
        Reading::Subnegotiation => writer.number(5),
        Reading::CommandInSubnegotiation => writer.number(6),
    }
    writer.bytes(subnegotiation);
    writer.flag(*is_spoken);
    writer.flag(*hides);
    for agreement in [echo, sends_binary, suppresses_go_ahead, tells_window] {
        writer.one_of(&AGREEMENTS, *agreement);
    }
    writer.option(*window, |writer, Window { columns, rows }| {
        writer.number(columns.into());
        writer.number(rows.into());
    });
    writer.number((*answers).into());
}

fn read_telnet(reader: &mut Reader<'_>) -> Result<Telnet, Malformed> {
    let reading = match reader.number()? {
        1 => Reading::Text,
        2 => Reading::Cr,
        3 => Reading::Command,
        4 => Reading::Option(Verb { whose: reader.one_of(&SIDES)?, on: reader.flag()? }),
        5 => Reading::Subnegotiation,
        6 => Reading::CommandInSubnegotiation,
        _ => return Err(Malformed),
    };
    Ok(Telnet {
        reading,
        subnegotiation: reader.bytes()?.to_vec(),
        is_spoken: reader.flag()?,
        hides: reader.flag()?,
        echo: reader.one_of(&AGREEMENTS)?,
        sends_binary: reader.one_of(&AGREEMENTS)?,
        suppresses_go_ahead: reader.one_of(&AGREEMENTS)?,
        tells_window: reader.one_of(&AGREEMENTS)?,
        window: reader
            .option(|reader| Ok(Window { columns: small(reader)?, rows: small(reader)? }))?,
        answers: small(reader)?,
    })
}

fn small(reader: &mut Reader<'_>) -> Result<u16, Malformed> {
    u16::try_from(reader.number()?).map_err(|_| Malformed)
}
