//! How queued bytes get to the kernel, as many as it has room for.

use std::fs::File;
use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::os::fd::AsRawFd;

use ch07_callbacks::now;
use nix::sys::socket::{MsgFlags, send, sendmsg};

use crate::queue::Outgoing;

/// Sends what comes next of this, in one call, and of a file at most `most` bytes. How many
/// bytes the kernel has taken, and whether there may be room for more.
///
/// # Errors
/// When nothing can be sent any more, and when a file has become too short: what was
/// promised can't be kept.
pub(crate) fn transmit(
    socket: &TcpStream,
    outgoing: Outgoing<'_>,
    most: u64,
) -> io::Result<(u64, bool)> {
    let Outgoing { bytes: [first, second], file } = outgoing;
    if let Some(part) = file
        && first.is_empty()
    {
        let wanted = part.left.min(most);
        let Some(count) = send_file(socket, &part.file, part.at, wanted)? else {
            return Ok((0, false));
        };
        if count == 0 {
            return Err(io::Error::other("the file has become shorter meanwhile"));
        }
        return Ok((count, count == wanted && count < most));
    }
    let count = match (first, second) {
        (_, []) if file.is_some() => send_now(socket, first, more_to_come())?,
        (_, []) => send_now(socket, first, MsgFlags::empty())?,
        ([], _) => send_now(socket, second, MsgFlags::empty())?,
        // In one call: two would be two packets.
        _ => send_both(socket, first, second)?,
    };
    Ok((count as u64, count == first.len() + second.len()))
}

/// How many bytes the kernel takes at once.
fn send_now(socket: &TcpStream, bytes: &[u8], more: MsgFlags) -> io::Result<usize> {
    let sent = send(socket.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | more);
    Ok(now(sent.map_err(io::Error::from))?.unwrap_or(0))
}

fn send_both(socket: &TcpStream, first: &[u8], second: &[u8]) -> io::Result<usize> {
    let both = [IoSlice::new(first), IoSlice::new(second)];
    let sent = sendmsg::<()>(socket.as_raw_fd(), &both, &[], MsgFlags::MSG_DONTWAIT, None);
    Ok(now(sent.map_err(io::Error::from))?.unwrap_or(0))
}

/// With it the kernel keeps a head back for the file behind it (send(2)); nix has no
/// name for it.
#[cfg(target_os = "linux")]
fn more_to_come() -> MsgFlags {
    MsgFlags::from_bits_retain(nix::libc::MSG_MORE)
}

#[cfg(not(target_os = "linux"))]
fn more_to_come() -> MsgFlags {
    MsgFlags::empty()
}

// ANCHOR: sendfile
/// From the file to the socket, without a copy in between
/// (sendfile(2)). None: no room.
#[cfg(target_os = "linux")]
fn send_file(socket: &TcpStream, file: &File, at: u64, length: u64) -> io::Result<Option<u64>> {
    use nix::sys::sendfile::sendfile64;

    let mut at = i64::try_from(at).map_err(io::Error::other)?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let sent = sendfile64(socket, file, Some(&mut at), length);
    Ok(now(sent.map_err(io::Error::from))?.map(|count| count as u64))
}
// ANCHOR_END: sendfile

/// Elsewhere it's read and sent, a piece at a time.
#[cfg(not(target_os = "linux"))]
fn send_file(socket: &TcpStream, file: &File, at: u64, length: u64) -> io::Result<Option<u64>> {
    use std::os::unix::fs::FileExt;

    let mut piece = [0; 16 * 1024];
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(piece.len());
    let count = file.read_at(&mut piece[..length], at)?;
    if count == 0 {
        return Ok(Some(0));
    }
    let sent = send_now(socket, &piece[..count], MsgFlags::empty())?;
    Ok((sent > 0).then_some(sent as u64))
}
