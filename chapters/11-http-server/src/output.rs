//! What is to be sent on a connection, and how it gets to the kernel.

use std::fs::File;
use std::io::{self, IoSlice};
use std::mem;
use std::net::TcpStream;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use ch07_callbacks::now;
use nix::sys::socket::{MsgFlags, send, sendmsg};

use crate::answer::{Body, Stream};

/// A body up to so many bytes is copied behind its head: one buffer is cheaper to send
/// than two. A longer one is sent from where it is.
pub const COPIED: usize = 8 * 1024;
/// How much of a file goes out in one turn, in bytes: the others want their turns too.
const FILE_A_TURN: u64 = 1 << 20;

// ANCHOR: output
/// What is to be sent: bytes, and then what can be had without keeping it in memory.
#[derive(Default)]
pub struct Output {
    front: Vec<u8>,
    /// How much of it is sent.
    sent: usize,
    then: Then,
    /// A file needs a socket that doesn't wait (there is no flag for sendfile(2)). It
    /// has been made so.
    prepared: bool,
}

/// What comes behind the front.
#[derive(Default)]
pub enum Then {
    #[default]
    Nothing,
    Bytes {
        bytes: Bytes,
        sent: usize,
    },
    File {
        file: Rc<File>,
        at: u64,
        left: u64,
    },
    /// Fills the front, again and again.
    Stream {
        stream: Stream,
        length: Length,
    },
}
// ANCHOR_END: output

/// How the visitor tells where a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// After so many more bytes.
    Left(u64),
    InChunks,
    UntilClose,
}

/// Bytes that aren't copied.
pub enum Bytes {
    Static(&'static [u8]),
    Made(Vec<u8>),
    Shared(Rc<[u8]>, Range<usize>),
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Static(bytes) => bytes,
            Self::Made(bytes) => bytes,
            Self::Shared(bytes, part) => bytes.get(part.clone()).unwrap_or_default(),
        }
    }
}

/// What has become of an attempt to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// All is with the kernel.
    All,
    /// There is no room for more.
    NoRoom,
    /// There may be room, but it's the others' turn.
    Enough,
}

impl Output {
    /// Whether nothing was put behind the front.
    pub fn is_nothing(&self) -> bool {
        matches!(self.then, Then::Nothing)
    }

    /// How much of what was put is still to be sent, in bytes.
    pub fn left(&self) -> u64 {
        let front = (self.front.len() - self.sent) as u64;
        match &self.then {
            Then::Nothing | Then::Stream { .. } => front,
            Then::Bytes { bytes, sent } => front + (bytes.as_slice().len() - sent) as u64,
            Then::File { left, .. } => front + left,
        }
    }

    /// Whether a stream isn't at its end.
    pub fn is_stream(&self) -> bool {
        matches!(self.then, Then::Stream { .. })
    }

    /// The stream, to be called; [`put_back`](Self::put_back) it.
    pub fn take_stream(&mut self) -> Option<(Stream, Length)> {
        match mem::take(&mut self.then) {
            Then::Stream { stream, length } => Some((stream, length)),
            other => {
                self.then = other;
                None
            }
        }
    }

    /// It goes on.
    pub fn put_back(&mut self, stream: Stream, length: Length) {
        self.then = Then::Stream { stream, length };
    }

    /// Puts a body behind the head in `front`, which is sent next.
    pub fn put(&mut self, front: &mut Vec<u8>, body: Body, chunked: bool) {
        let bytes = match body {
            Body::Static(bytes) => Bytes::Static(bytes),
            Body::Made(bytes) => Bytes::Made(bytes),
            Body::Shared(bytes, part) => Bytes::Shared(bytes, part),
            Body::File { file, start, length } => {
                if length > 0 {
                    self.then = Then::File { file, at: start, left: length };
                }
                return;
            }
            Body::Stream { stream, length } => {
                let length = match length {
                    Some(length) => Length::Left(length),
                    None if chunked => Length::InChunks,
                    None => Length::UntilClose,
                };
                return self.put_back(stream, length);
            }
        };
        if bytes.as_slice().len() <= COPIED {
            front.extend_from_slice(bytes.as_slice());
        } else {
            self.then = Then::Bytes { bytes, sent: 0 };
        }
    }

    // ANCHOR: send
    /// Sends `front`, behind which comes what was [`put`](Self::put), as far as there is
    /// room. `taken` counts what the kernel takes.
    ///
    /// # Errors
    /// When nothing can be sent any more.
    pub fn send(&mut self, socket: &TcpStream, front: &[u8], taken: &mut u64) -> io::Result<Sent> {
        if front.is_empty() {
            return self.go_on(socket, taken);
        }
        let (all, count) = match &mut self.then {
            // In one call: two would be two packets.
            Then::Bytes { bytes, sent } => {
                let count = send_both(socket, front, bytes.as_slice())?;
                *sent = count.saturating_sub(front.len());
                (front.len() + bytes.as_slice().len(), count)
            }
            Then::File { .. } => (front.len(), send_now(socket, front, more_to_come())?),
            _ => (front.len(), send_now(socket, front, MsgFlags::empty())?),
        };
        *taken += count as u64;
        if count < front.len() {
            // Only now does it cost this connection any memory.
            self.front = front[count..].to_vec();
            return Ok(Sent::NoRoom);
        }
        match self.then {
            Then::Nothing | Then::Stream { .. } => Ok(Sent::All),
            Then::Bytes { .. } if count < all => Ok(Sent::NoRoom),
            Then::Bytes { .. } => {
                self.then = Then::Nothing;
                Ok(Sent::All)
            }
            Then::File { .. } => self.go_on(socket, taken),
        }
    }

    /// Sends what is left, as far as there is room.
    ///
    /// # Errors
    /// When nothing can be sent any more, and when a file has become too short: what was
    /// promised can't be kept.
    pub fn go_on(&mut self, socket: &TcpStream, taken: &mut u64) -> io::Result<Sent> {
        if !self.front.is_empty() {
            let rest = &self.front[self.sent..];
            let count = send_now(socket, rest, MsgFlags::empty())?;
            *taken += count as u64;
            self.sent += count;
            if self.sent < self.front.len() {
                return Ok(Sent::NoRoom);
            }
            self.front = Vec::new();
            self.sent = 0;
        }
        match &mut self.then {
            Then::Nothing | Then::Stream { .. } => return Ok(Sent::All),
            Then::Bytes { bytes, sent } => {
                let count = send_now(socket, &bytes.as_slice()[*sent..], MsgFlags::empty())?;
                *taken += count as u64;
                *sent += count;
                if *sent < bytes.as_slice().len() {
                    return Ok(Sent::NoRoom);
                }
            }
            Then::File { file, at, left } => {
                if !mem::replace(&mut self.prepared, true) {
                    socket.set_nonblocking(true)?;
                }
                let mut budget = FILE_A_TURN;
                while *left > 0 {
                    if budget == 0 {
                        return Ok(Sent::Enough);
                    }
                    let count = send_file(socket, file, *at, (*left).min(budget))?;
                    let Some(count) = count else { return Ok(Sent::NoRoom) };
                    if count == 0 {
                        return Err(io::Error::other("the file has become shorter meanwhile"));
                    }
                    *taken += count;
                    *at += count;
                    *left -= count;
                    budget -= count;
                }
            }
        }
        self.then = Then::Nothing;
        Ok(Sent::All)
    }
    // ANCHOR_END: send
}

/// How many bytes the kernel takes at once.
fn send_now(socket: &TcpStream, bytes: &[u8], more: MsgFlags) -> io::Result<usize> {
    let sent = send(socket.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | more);
    Ok(now(sent.map_err(io::Error::from))?.unwrap_or(0))
}

fn send_both(socket: &TcpStream, front: &[u8], rest: &[u8]) -> io::Result<usize> {
    let both = [IoSlice::new(front), IoSlice::new(rest)];
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use nix::sys::socket::{getsockopt, setsockopt, sockopt};

    use super::*;

    /// The send buffer usually ends a turn by itself. Here it has room for more.
    #[test]
    fn of_a_file_no_more_than_its_share_goes_out_in_a_turn() {
        const SIZE: usize = 3 << 20;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![b'x'; SIZE]).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut visitor = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        setsockopt(&socket, sockopt::SndBuf, &(2 * SIZE)).unwrap();
        if getsockopt(&socket, sockopt::SndBuf).unwrap() < 2 * SIZE {
            return visitors::skipped("this system gives no send buffer of that size");
        }
        let mut output = Output::default();
        let length = SIZE as u64;
        output.put(&mut Vec::new(), Body::File { file: Rc::new(file), start: 0, length }, false);
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            visitor.read_to_end(&mut all).map(|count| (count, all.iter().all(|byte| *byte == b'x')))
        });
        let mut turns = 0;
        loop {
            let mut taken = 0;
            let sent = output.go_on(&socket, &mut taken).unwrap();
            assert!(taken <= FILE_A_TURN, "{taken} bytes in one turn");
            turns += 1;
            match sent {
                Sent::All => break,
                Sent::Enough => assert_eq!(taken, FILE_A_TURN),
                Sent::NoRoom => thread::yield_now(),
            }
        }
        drop(socket);
        assert_eq!(reader.join().unwrap().unwrap(), (SIZE, true));
        assert!(turns >= 3, "{turns}");
    }
}
