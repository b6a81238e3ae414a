//! A socket that is never waited for: each call does what it can at once.

use std::fs::File;
use std::io::{self, IoSlice};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use ch07_callbacks::now;
#[cfg(target_os = "linux")]
use nix::sys::socket::getsockopt;
use nix::sys::socket::{MsgFlags, recv, send, sendmsg, setsockopt, sockopt};

#[cfg(target_os = "linux")]
use crate::options;
use crate::queue::Outgoing;
use crate::send_buffer::{self, SendBuffers, Way};

pub(crate) struct Socket {
    stream: TcpStream,
    /// It was told so, once and for all: recv(2) and send(2) have a flag for that, and
    /// sendfile(2) has none.
    is_nonblocking: bool,
    way: Way,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Socket {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, is_nonblocking: false, way: Way::default() }
    }

    /// What the kernel has to say about it.
    pub fn error(&self) -> io::Error {
        let error = self.stream.take_error().unwrap_or_else(Some);
        error.unwrap_or_else(|| io::Error::other("an error that nobody can name"))
    }

    /// How many bytes have come, at most as many as there is room for. 0: nothing more
    /// will come. None: nothing has.
    pub fn receive(&self, to: &mut [u8]) -> io::Result<Option<usize>> {
        let received = recv(self.stream.as_raw_fd(), to, MsgFlags::MSG_DONTWAIT);
        now(received.map_err(io::Error::from))
    }

    /// Tells the other side that nothing more will be sent. Whether that went well.
    pub fn shut_down(&self) -> bool {
        self.stream.shutdown(Shutdown::Write).is_ok()
    }

    /// Sends what comes next of this, in one call, and of a file at most `most` bytes. How
    /// many bytes the kernel has taken, and whether there may be room for more.
    ///
    /// # Errors
    /// When nothing can be sent any more, and when a file has become too short: what was
    /// promised can't be kept.
    pub fn send(
        &mut self,
        outgoing: Outgoing<'_>,
        most: u64,
        buffers: &SendBuffers,
    ) -> io::Result<(u64, bool)> {
        let Outgoing { bytes: [first, second], file } = outgoing;
        if let Some(part) = file
            && first.is_empty()
        {
            self.prepare_for_files(buffers)?;
            let wanted = part.left.min(most);
            let began = Instant::now();
            let sent = send_file(&self.stream, &part.file, part.at, wanted)?;
            let Some(count) = sent else { return Ok((0, false)) };
            buffers.add(self.way, count, began.elapsed());
            if count == 0 {
                return Err(io::Error::other("the file has become shorter meanwhile"));
            }
            return Ok((count, count == wanted && count < most));
        }
        let count = match (first, second) {
            (_, []) if file.is_some() => send_now(&self.stream, first, more_to_come())?,
            (_, []) => send_now(&self.stream, first, MsgFlags::empty())?,
            ([], _) => send_now(&self.stream, second, MsgFlags::empty())?,
            // In one call: two would be two packets.
            _ => send_both(&self.stream, first, second)?,
        };
        Ok((count as u64, count == first.len() + second.len()))
    }

    fn prepare_for_files(&mut self, buffers: &SendBuffers) -> io::Result<()> {
        if !self.is_nonblocking {
            self.stream.set_nonblocking(true)?;
            self.is_nonblocking = true;
        }
        if self.way == Way::Undecided {
            self.way = buffers.decide(round_trip(&self.stream));
            if self.way == Way::Fixed {
                setsockopt(&self.stream, sockopt::SndBuf, &send_buffer::SIZE)?;
            }
        }
        Ok(())
    }
}

// ANCHOR: round_trip
/// How long a packet and its confirmation take, as the kernel has
/// measured it (TCP_INFO, tcp(7)).
#[cfg(target_os = "linux")]
fn round_trip(stream: &TcpStream) -> Duration {
    let info = getsockopt(stream, options::TcpInfo);
    info.map_or(Duration::MAX, |info| Duration::from_micros(info.tcpi_rtt.into()))
}
// ANCHOR_END: round_trip

#[cfg(not(target_os = "linux"))]
fn round_trip(_: &TcpStream) -> Duration {
    Duration::MAX
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
