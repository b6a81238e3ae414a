//! One end of a connection, held by a visitor or a host that acts step by step: what a check drives.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};

use crate::doing;
use crate::program::{LOOK_EVERY, PATIENCE, Program, Trouble, Watch};
use crate::tcp::{find, unread};

/// The state of a connection whose other end has said nothing of an end (tcp_states.h).
const ESTABLISHED: u8 = 1;
/// On one machine, a packet is at its other end by then.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// Waits until the other end's kernel knows of this end's end. Two processors that are busy deliver two packets in any order: what
/// another visitor sends afterwards could be there before it.
fn has_arrived(own: SocketAddr, other: SocketAddr) {
    let began = Instant::now();
    let is_there = || find(other, own).is_none_or(|socket| socket.state != ESTABLISHED);
    // An end that stands behind bytes for which there is no room stays there. (It counts as a byte itself.)
    let is_held_up = || find(own, other).is_some_and(|socket| socket.under_way > 1);
    while !is_there() && !is_held_up() && began.elapsed() < ON_ITS_WAY {
        thread::sleep(Duration::from_micros(50));
    }
}

/// How a connection came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The other side finished properly: all that it sent has arrived.
    Closed,
    /// The other side's kernel said: reset. What was on its way may be lost.
    Reset,
}

/// What arrived before a connection's end.
#[derive(Clone, Debug)]
pub struct Received {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// And how it ended.
    pub end: End,
}

/// One end of a connection, with a name by which reports call it.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    name: String,
    /// Received, but not yet handed out.
    pending: Vec<u8>,
}

impl Connection {
    /// Connects, as the visitor called `name`.
    ///
    /// # Errors
    /// What connecting gives; refused above all.
    pub fn connect(address: SocketAddr, name: &str) -> io::Result<Self> {
        Self::new(TcpStream::connect_timeout(&address, PATIENCE)?, name)
    }

    /// Takes a connection that exists, as the visitor or host called `name`.
    ///
    /// # Errors
    /// When its options can't be set: it has been reset already.
    pub fn new(stream: TcpStream, name: &str) -> io::Result<Self> {
        // Each piece goes out at once, by itself: without this the kernel glues small ones together.
        stream.set_nodelay(true)?;
        // A program that never reads must not hold up the one that checks it.
        stream.set_write_timeout(Some(PATIENCE))?;
        let own = stream.local_addr()?.port();
        // One that has been reset has nobody at its other end, and nobody asks for its name.
        if let Ok(other) = stream.peer_addr() {
            doing::call(own, other.port(), name);
        }
        Ok(Self { stream, name: name.to_owned(), pending: Vec::new() })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The socket itself, for what isn't offered here.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// Reset, most often; a time-out when the other side doesn't read.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends all of `bytes`, as long as there is hope that `program` takes them.
    ///
    /// # Errors
    /// As [`Connection::send`]; and as soon as the program sleeps over something else, or turns in a loop.
    pub fn send_to(&mut self, program: &Program, bytes: &[u8]) -> io::Result<()> {
        self.stream.set_write_timeout(Some(LOOK_EVERY))?;
        let sent = self.send_watching(program, bytes);
        self.stream.set_write_timeout(Some(PATIENCE)).and(sent)
    }

    fn send_watching(&mut self, program: &Program, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        let mut watch = Watch::new(program);
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    rest = &rest[count..];
                    watch = Watch::new(program);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                        if let Some(trouble) = watch.trouble() {
                            let (sent, all) = (bytes.len() - rest.len(), bytes.len());
                            return Err(io::Error::other(format!(
                                "{sent} of {all} bytes found room, and your program {}",
                                trouble.to_string().trim_start_matches("it ")
                            )));
                        }
                    }
                    _ => return Err(error),
                },
            }
        }
        Ok(())
    }

    /// Sends `bytes` in about `pieces` pieces, each only when `program` has read the one before, or when
    /// it's no use to wait for that: it has ended, sleeps over something else, or turns in a loop.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub fn send_in_pieces(
        &mut self,
        bytes: &[u8],
        pieces: usize,
        program: &Program,
    ) -> io::Result<()> {
        let size = bytes.len().div_ceil(pieces.max(1)).max(1);
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(size.min(rest.len()));
            self.send(piece)?;
            rest = later;
            let mut watch = Watch::new(program);
            while !self.wait_until_read(LOOK_EVERY) {
                if watch.trouble().is_some() {
                    return self.send(rest);
                }
            }
        }
        Ok(())
    }

    /// Waits until the other program has read all that was sent, or has closed its end, at the most `limit`.
    /// True if so.
    ///
    /// On Linux the kernel's table of connections tells. Elsewhere a pause has to do, after which nobody knows.
    pub fn wait_until_read(&self, limit: Duration) -> bool {
        let (Ok(here), Ok(there)) = (self.stream.local_addr(), self.stream.peer_addr()) else {
            return false;
        };
        if !cfg!(target_os = "linux") {
            thread::sleep(Duration::from_millis(5).min(limit));
            return true;
        }
        let began = Instant::now();
        loop {
            match unread(there, here) {
                // There is no such socket any more: nobody will read it.
                None => return true,
                Some(0) => return true,
                Some(_) if began.elapsed() > limit => return false,
                Some(_) => thread::sleep(Duration::from_micros(50)),
            }
        }
    }

    /// Waits at the most `time` until something has come, or the connection has ended. True if so, and true at once where
    /// something was given back.
    pub fn readable_within(&self, time: Duration) -> bool {
        if !self.pending.is_empty() {
            return true;
        }
        let mut list = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        let time = u16::try_from(time.as_millis()).unwrap_or(u16::MAX);
        matches!(poll(&mut list, PollTimeout::from(time)), Ok(count) if count > 0)
    }

    /// Says that nothing more will be sent (half-close); the other direction stays open.
    pub fn finish_sending(&self) {
        // Fails only where the connection is gone, and then there's nothing left to finish.
        let _ = self.stream.shutdown(Shutdown::Write);
        if let (Ok(own), Ok(other)) = (self.stream.local_addr(), self.stream.peer_addr()) {
            has_arrived(own, other);
        }
    }

    /// Hangs up as rudely as TCP allows: the other side gets a reset.
    pub fn reset(self) {
        let now = libc::linger { l_onoff: 1, l_linger: 0 };
        // Should it fail, the close below is a polite one: the other side sees a hang-up all the same.
        let _ = setsockopt(&self.stream, sockopt::Linger, &now);
        let ends = (self.stream.local_addr(), self.stream.peer_addr());
        drop(self.stream);
        if let (Ok(own), Ok(other)) = ends {
            has_arrived(own, other);
        }
    }

    /// Receives until the other side has finished, or until it's no use to wait for `program` any more.
    ///
    /// A program that has ended is no trouble here: what it sent before is received.
    ///
    /// # Errors
    /// The trouble, and what had arrived before it.
    pub fn receive_all(&mut self, program: &Program) -> Result<Received, (Trouble, Vec<u8>)> {
        let end = self.receive_until(program, |_| false);
        let bytes = std::mem::take(&mut self.pending);
        match end {
            Ok(end) => Ok(Received { bytes, end: end.unwrap_or(End::Closed) }),
            Err(trouble) => Err((trouble, bytes)),
        }
    }

    /// Receives until `enough` says that what has arrived is enough, and hands it out.
    ///
    /// # Errors
    /// `Ok(Err(received))` when the connection ended before; the trouble when it's no use to wait.
    pub fn receive_while_missing(
        &mut self,
        program: &Program,
        enough: impl Fn(&[u8]) -> bool,
    ) -> Result<Result<Vec<u8>, Received>, (Trouble, Vec<u8>)> {
        let end = self.receive_until(program, enough);
        let bytes = std::mem::take(&mut self.pending);
        match end {
            Ok(None) => Ok(Ok(bytes)),
            Ok(Some(end)) => Ok(Err(Received { bytes, end })),
            Err(trouble) => Err((trouble, bytes)),
        }
    }

    /// Puts bytes back that were received and not needed yet: they come first the next time.
    pub fn give_back(&mut self, bytes: &[u8]) {
        self.pending.splice(..0, bytes.iter().copied());
    }

    /// `Ok(None)`: it's enough. `Ok(Some(end))`: the connection has ended.
    fn receive_until(
        &mut self,
        program: &Program,
        enough: impl Fn(&[u8]) -> bool,
    ) -> Result<Option<End>, Trouble> {
        let mut watch = Watch::new(program);
        let mut buffer = [0; 16 * 1024];
        // Fails only for a time of zero.
        let _ = self.stream.set_read_timeout(Some(LOOK_EVERY));
        loop {
            if enough(&self.pending) {
                return Ok(None);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(Some(End::Closed)),
                Ok(count) => self.pending.extend_from_slice(&buffer[..count]),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                        if let Some(trouble) = watch.trouble() {
                            return Err(trouble);
                        }
                    }
                    io::ErrorKind::Interrupted => {}
                    _ => return Ok(Some(End::Reset)),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{
        AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket,
        sockopt,
    };

    use super::Connection;
    use crate::doing::{ANYBODY, call, name_of};

    /// Connects from `own`, which another connection may have too.
    fn connect_from(own: SocketAddr, other: SocketAddr) -> TcpStream {
        let kind = (AddressFamily::Inet, SockType::Stream);
        let socket = socket(kind.0, kind.1, SockFlag::empty(), None).unwrap();
        setsockopt(&socket, sockopt::ReuseAddr, &true).unwrap();
        bind(socket.as_raw_fd(), &SockaddrStorage::from(own)).unwrap();
        connect(socket.as_raw_fd(), &SockaddrStorage::from(other)).unwrap();
        TcpStream::from(socket)
    }

    #[test]
    fn two_visitors_with_the_same_port_keep_their_names() {
        let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (one, other) = (listener(), listener());
        let address = |it: &TcpListener| it.local_addr().unwrap();
        let first = connect_from("127.0.0.1:0".parse().unwrap(), address(&one));
        let own = first.local_addr().unwrap();
        let second = connect_from(own, address(&other));
        let _first = Connection::new(first, "first visitor").unwrap();
        let _second = Connection::new(second, "second visitor").unwrap();

        let name = |other: &TcpListener| name_of(own.port(), address(other).port());
        assert_eq!(name(&one).as_deref(), Some("first visitor"));
        assert_eq!(name(&other).as_deref(), Some("second visitor"));
        assert_eq!(name_of(own.port(), own.port()), None);
        // Whoever listens has one name for all.
        call(address(&one).port(), ANYBODY, "host");
        assert_eq!(name_of(address(&one).port(), own.port()).as_deref(), Some("host"));
    }
}
