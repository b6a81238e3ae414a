//! A window's state: the socket to its X server, and all that the server doesn't know.

use std::os::fd::{BorrowedFd, OwnedFd};

use ch12_kernel::paint;
use ch12_kernel::sequence::Count;
use ch12_kernel::window::{Parts, Who};
use ch12_kernel::wire;

use crate::format::{Malformed, Reader, Writer};
use crate::state::{Incoming, Outgoing};

/// Writes it. None: it's closed.
pub fn write<'l>(to: &mut Outgoing<'l>, window: Option<&'l (BorrowedFd<'l>, Parts)>) {
    to.writer.flag(window.is_some());
    if let Some((socket, parts)) = window {
        to.descriptor(*socket);
        write_parts(&mut to.writer, parts);
    }
}

/// Reads it.
///
/// # Errors
/// When this is none.
pub fn read(mut from: Incoming<'_>) -> Result<Option<(OwnedFd, Parts)>, Malformed> {
    let window = match from.reader.flag()? {
        true => Some((from.descriptor()?, read_parts(&mut from.reader)?)),
        false => None,
    };
    from.end().map(|()| window)
}

fn write_parts(to: &mut Writer, parts: &Parts) {
    let wire::Parts { output, input, count: Count { before, last } } = &parts.wire;
    to.bytes(output);
    to.bytes(input);
    to.number((*before).into());
    to.number((*last).into());
    to.bytes(&parts.setup);
    to.number(parts.id.into());
    for atom in parts.atoms {
        to.number(atom.into());
    }
    to.all(&parts.keys, |to, (code, symbol)| {
        to.number((*code).into());
        to.number((*symbol).into());
    });
    let paint::Parts { shades, marks, cell } = &parts.paint;
    to.all(shades, |to, shade| shade.iter().for_each(|tool| to.number((*tool).into())));
    to.all(marks, |to, mark| to.number((*mark).into()));
    cell.iter().for_each(|pixels| to.number((*pixels).into()));
    let (width, height) = parts.size;
    to.number(width.into());
    to.number(height.into());
    to.flag(parts.is_mapped);
    to.flag(parts.is_covered);
    write_picture(to, &parts.picture);
    to.option(parts.under_way.as_ref(), |to, picture| write_picture(to, picture));
    to.option(parts.pressed.as_ref(), write_who);
    to.option(parts.selected.as_ref(), write_who);
    to.all(&parts.events, |to, event| to.bytes(event));
}

fn read_parts(from: &mut Reader<'_>) -> Result<Parts, Malformed> {
    let (output, input) = (from.bytes()?.to_vec(), from.bytes()?.to_vec());
    let count = Count { before: from.small()?, last: from.small()? };
    let wire = wire::Parts { output, input, count };
    Ok(Parts {
        wire,
        setup: from.bytes()?.to_vec(),
        id: from.small()?,
        atoms: [from.small()?, from.small()?, from.small()?],
        keys: from.all(|from| Ok((from.small()?, from.small()?)))?,
        paint: paint::Parts {
            shades: from.all(|from| Ok([from.small()?, from.small()?]))?,
            marks: from.all(Reader::small)?,
            cell: [from.small()?, from.small()?, from.small()?],
        },
        size: (from.small()?, from.small()?),
        is_mapped: from.flag()?,
        is_covered: from.flag()?,
        picture: read_picture(from)?,
        under_way: from.option(read_picture)?,
        pressed: from.option(read_who)?,
        selected: from.option(read_who)?,
        events: from.all(|from| from.bytes().map(<[u8]>::to_vec))?,
    })
}

fn write_picture(to: &mut Writer, picture: &[Option<Who>]) {
    to.all(picture, |to, who| to.option(who.as_ref(), write_who));
}

fn read_picture(from: &mut Reader<'_>) -> Result<Vec<Option<Who>>, Malformed> {
    from.all(|from| from.option(read_who))
}

fn write_who(to: &mut Writer, Who { protocol, from }: &Who) {
    to.text(protocol);
    to.text(&from.to_string());
}

fn read_who(from: &mut Reader<'_>) -> Result<Who, Malformed> {
    let protocol = from.text()?.to_owned();
    Ok(Who { protocol, from: from.parsed()? })
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::fd::AsFd;

    use super::*;

    fn parts() -> Parts {
        let who = Who { protocol: "http".to_owned(), from: "127.0.0.1:9".parse().unwrap() };
        Parts {
            wire: wire::Parts {
                output: vec![1, 2],
                input: vec![3],
                count: Count { before: 65_535, last: 65_530 },
            },
            setup: vec![4; 100],
            id: u32::MAX,
            atoms: [1, 2, 3],
            keys: vec![(255, 0xffff), (8, 0x71)],
            paint: paint::Parts { shades: vec![[1, 2]; 6], marks: vec![3; 5], cell: [9, 12, 3] },
            size: (u16::MAX, 0),
            is_mapped: true,
            is_covered: false,
            picture: vec![None, Some(who.clone()), None],
            under_way: Some(vec![Some(who.clone())]),
            pressed: None,
            selected: Some(who),
            events: vec![vec![12; 32], Vec::new()],
        }
    }

    fn incoming(bytes: &[u8]) -> Result<Option<(OwnedFd, Parts)>, Malformed> {
        let descriptor = io::stdin().as_fd().try_clone_to_owned().unwrap();
        read(Incoming::new(bytes, vec![descriptor]))
    }

    #[test]
    fn what_is_written_is_read_and_what_is_cut_short_is_refused() {
        let stdin = io::stdin();
        let window = (stdin.as_fd(), parts());
        let mut outgoing = Outgoing::default();
        write(&mut outgoing, Some(&window));
        let (bytes, _) = outgoing.finish();
        let (_, read) = incoming(&bytes).unwrap().unwrap();
        assert_eq!(read, parts());
        for length in 0..bytes.len() {
            assert!(incoming(&bytes[..length]).is_err(), "{length}");
        }
        assert!(incoming(&[&bytes[..], b"x"].concat()).is_err());
    }
}
