//! The way to an X server, for a library that would wait in it.
//!
//! x11rb waits in `poll` before each request, and waits in `flush` when the server doesn't read.
//! It does so through a [`Stream`], and that may be ours: in this one there is always room, because
//! what the kernel doesn't take yet is kept here, and the loop sends it when there is room.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use ch07_callbacks::now;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use x11rb::errors::DisplayParsingError;
use x11rb::protocol::xproto::{ConnectionExt, Setup};
use x11rb::reexports::x11rb_protocol::parse_display::{ConnectAddress, parse_display};
use x11rb::reexports::x11rb_protocol::xauth::{Family, get_auth};
use x11rb::rust_connection::{DefaultStream, PollMode, RustConnection, Stream};
use x11rb::utils::RawFdContainer;

use crate::sequence::{Count, Packets};

/// How long an X server may take before the loop starts, for all of its answers together. A stopped
/// one accepts connections, and says nothing; another may say a byte now and then.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much is read at a time, in bytes, and so in one turn. An event is 32 bytes.
const PIECE: usize = 16 * 1024;
/// A queue with more room than that, in bytes, is given back when it's empty.
const KEPT: usize = 4 * 1024;

/// A connection to an X server.
pub struct Wire {
    stream: DefaultStream,
    /// What is to be sent. Whoever uses the wire bounds it: no picture is sent before the one
    /// before has arrived.
    output: RefCell<VecDeque<u8>>,
    /// Until then the library may wait. None: the loop has started.
    may_wait: Cell<Option<Instant>>,
    /// How much may still be read in this turn, or before the next wait.
    left: Cell<usize>,
    /// What has come. None: the connection isn't set up yet, and what comes is no packet.
    input: RefCell<Option<Packets>>,
}

/// What there is to know of a wire besides its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    pub output: Vec<u8>,
    /// What has come of a packet.
    pub input: Vec<u8>,
    /// The server's count; [`before`](Count::before) is how many requests there have been, up to
    /// the last one in the output.
    pub count: Count,
}

/// Connects to the display that the environment names.
///
/// # Errors
/// When there is none, or it doesn't answer.
pub fn connect() -> Result<(RustConnection<Wire>, usize), Box<dyn Error>> {
    let display = parse_display(None).map_err(|error| match error {
        DisplayParsingError::DisplayNotSet => "DISPLAY isn't set".to_owned(),
        _ => format!("DISPLAY {:?} names none", std::env::var_os("DISPLAY").unwrap_or_default()),
    })?;
    let screen = usize::from(display.screen);
    let until = Instant::now() + PATIENCE;
    let mut last = None;
    for address in display.connect_instruction() {
        let (stream, (family, address)) = match reach(&address, until) {
            Ok(connected) => connected,
            Err(error) => {
                last = Some(error);
                continue;
            }
        };
        // A server may want none.
        let (name, data) =
            get_auth(family, &address, display.display).unwrap_or_default().unwrap_or_default();
        let wire = Wire::new(stream, until);
        let connection =
            RustConnection::connect_to_stream_with_auth_info(wire, screen, name, data)?;
        connection.stream().input.replace(Some(Packets::default()));
        return Ok((connection, screen));
    }
    let name = std::env::var("DISPLAY").unwrap_or_default();
    Err(last.map_or_else(|| name.clone(), |error| format!("display {name}: {error}")).into())
}

// ANCHOR: resume
/// Goes on with a connection that another process has had.
///
/// # Errors
/// When this is no socket, or a broken one.
pub fn resume(
    socket: OwnedFd,
    parts: Parts,
    setup: Setup,
) -> Result<RustConnection<Wire>, Box<dyn Error>> {
    let connection = RustConnection::for_connected_stream(Wire::adopt(socket, parts)?, setup)?;
    // The first request is one that is answered: whatever number the
    // answer has, it's the first one of ours. (If nothing came before the
    // numbers begin anew, it couldn't be told from those of before.)
    drop(connection.get_input_focus()?);
    Ok(connection)
}
// ANCHOR_END: resume

/// Connects to one address, before it's too late.
fn reach(
    address: &ConnectAddress<'_>,
    until: Instant,
) -> io::Result<(DefaultStream, (Family, Vec<u8>))> {
    let ConnectAddress::Hostname(host, port) = address else {
        // waits: before the loop starts, if more than its backlog want to connect to a server on
        // this machine, and it has been stopped
        return DefaultStream::connect(address);
    };
    let mut result = Err(ErrorKind::NotFound.into());
    // waits: before the loop starts, until the name has been looked up: for as long as resolv.conf(5)
    // says
    for address in (*host, *port).to_socket_addrs()? {
        // waits: before the loop starts, until the other machine answers
        match TcpStream::connect_timeout(&address, left(until)?) {
            Ok(stream) => return DefaultStream::from_tcp_stream(stream),
            Err(error) if error.kind() == ErrorKind::TimedOut => return Err(no_answer()),
            Err(error) => result = Err(error),
        }
    }
    result
}

/// How much time there is left: none is an error.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    Some(left).filter(|left| !left.is_zero()).ok_or_else(no_answer)
}

fn no_answer() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "the X server doesn't answer")
}

impl Wire {
    fn new(stream: DefaultStream, until: Instant) -> Self {
        Self {
            stream,
            output: RefCell::default(),
            may_wait: Cell::new(Some(until)),
            left: Cell::new(PIECE),
            input: RefCell::default(),
        }
    }

    fn adopt(socket: OwnedFd, parts: Parts) -> io::Result<Self> {
        let socket = UnixStream::from(socket);
        // To a server on another machine it's one of the other kind.
        let stream = match socket.local_addr() {
            Ok(_) => DefaultStream::from_unix_stream(socket)?.0,
            Err(_) => DefaultStream::from_tcp_stream(OwnedFd::from(socket).into())?.0,
        };
        let Parts { output, input, count } = parts;
        Ok(Self {
            stream,
            output: RefCell::new(output.into()),
            may_wait: Cell::new(None),
            left: Cell::new(0),
            input: RefCell::new(Some(Packets::resume(input, count))),
        })
    }

    /// What there is to know of it, when the library has made so many requests.
    pub fn parts(&self, requests: u64) -> Parts {
        let input = self.input.borrow();
        let (input, count) = input.as_ref().map(Packets::parts).unwrap_or_default();
        // Sixteen bits of it.
        let ours = u16::try_from(requests & u64::from(u16::MAX)).unwrap_or_default();
        Parts {
            output: self.output.borrow().iter().copied().collect(),
            input: input.to_vec(),
            count: Count { before: count.before.wrapping_add(ours), ..count },
        }
    }

    /// Until the next turn begins, nothing more is read.
    pub fn end_turn(&self) {
        self.left.set(0);
    }

    /// From now on nothing waits, and a turn reads no more than a piece. To be called at the
    /// beginning of each turn.
    pub fn begin_turn(&self) {
        self.may_wait.set(None);
        self.left.set(PIECE);
    }

    /// How many bytes are queued, and not yet with the kernel.
    pub fn queued(&self) -> usize {
        self.output.borrow().len()
    }

    /// One write, of what is queued.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn send(&self) -> io::Result<()> {
        let mut output = self.output.borrow_mut();
        let (front, _) = output.as_slices();
        if front.is_empty() {
            return Ok(());
        }
        let sent = now(self.stream.write(front, &mut Vec::new()))?.unwrap_or(0);
        output.drain(..sent);
        if output.is_empty() && output.capacity() > KEPT {
            *output = VecDeque::new();
        }
        Ok(())
    }

    /// One read, of no more than is left of this turn's piece.
    fn receive(
        &self,
        buffer: &mut [u8],
        descriptors: &mut Vec<RawFdContainer>,
    ) -> io::Result<usize> {
        let size = buffer.len().min(self.left.get());
        let Some(buffer) = buffer.get_mut(..size).filter(|buffer| !buffer.is_empty()) else {
            return Err(ErrorKind::WouldBlock.into());
        };
        let count = self.stream.read(buffer, descriptors)?;
        self.left.set(self.left.get() - count);
        Ok(count)
    }

    /// Until there is something to read. What is queued goes out meanwhile: the answer may be one
    /// to that.
    fn wait(&self, until: Instant) -> io::Result<()> {
        // However much there is, it looks at the time in between.
        self.left.set(PIECE);
        loop {
            self.send()?;
            let mut flags = PollFlags::POLLIN;
            flags.set(PollFlags::POLLOUT, self.queued() > 0);
            let mut asked = [PollFd::new(self.stream.as_fd(), flags)];
            let left = PollTimeout::try_from(left(until)?).unwrap_or(PollTimeout::MAX);
            // waits: before the loop starts, until the X server answers
            now(poll(&mut asked, left).map_err(io::Error::from))?;
            let [answer] = asked;
            let events = answer.revents().unwrap_or(PollFlags::empty());
            if events.intersects(!PollFlags::POLLOUT) {
                return Ok(()); // a read tells of errors, too
            }
        }
    }
}

// ANCHOR: stream
impl Stream for Wire {
    /// The library's wait. In the loop, there is always room to write; and to wait for something
    /// to read would be a mistake of ours.
    fn poll(&self, mode: PollMode) -> io::Result<()> {
        match mode {
            PollMode::Writable | PollMode::ReadAndWritable => Ok(()),
            PollMode::Readable => match self.may_wait.get() {
                Some(until) => self.wait(until),
                None => Err(io::Error::other("only the loop waits")),
            },
        }
    }

    fn read(&self, buffer: &mut [u8], descriptors: &mut Vec<RawFdContainer>) -> io::Result<usize> {
        // The library reads for as long as there is something: a server that never stops would
        // keep us here.
        let mut input = self.input.borrow_mut();
        let Some(packets) = input.as_mut() else { return self.receive(buffer, descriptors) };
        loop {
            // A packet that has begun stays here: in the library, nobody could hand it over.
            let taken = packets.take(buffer);
            if taken > 0 {
                return Ok(taken);
            }
            let mut piece = [0; PIECE];
            match self.receive(&mut piece, descriptors)? {
                0 => return Ok(0),
                count => packets.put(piece.get(..count).unwrap_or_default()),
            }
        }
    }

    fn write(&self, bytes: &[u8], _: &mut Vec<RawFdContainer>) -> io::Result<usize> {
        self.output.borrow_mut().extend(bytes);
        Ok(bytes.len())
    }
}
// ANCHOR_END: stream

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A wire, and the other end of it.
    fn wire() -> (Wire, UnixStream) {
        let (ours, server) = UnixStream::pair().unwrap();
        let (stream, _) = DefaultStream::from_unix_stream(ours).unwrap();
        (Wire::new(stream, Instant::now() + PATIENCE), server)
    }

    #[test]
    fn there_is_always_room_and_all_arrives_in_order() {
        let (wire, mut server) = wire();
        wire.begin_turn();
        let picture: Vec<u8> = (0..4_000_000_u32).map(|number| number as u8).collect();
        for piece in picture.chunks(20_000) {
            wire.poll(PollMode::ReadAndWritable).unwrap();
            assert_eq!(wire.write(piece, &mut Vec::new()).unwrap(), piece.len());
            wire.send().unwrap();
        }
        assert!(wire.queued() > 1_000_000, "the server has read nothing");
        let mut arrived = Vec::new();
        let mut piece = [0; 100_000];
        while arrived.len() < picture.len() {
            let count = server.read(&mut piece).unwrap();
            arrived.extend_from_slice(&piece[..count]);
            wire.send().unwrap();
        }
        assert!(arrived == picture);
        assert_eq!(wire.queued(), 0);
        assert!(wire.output.borrow().capacity() <= KEPT, "its memory is given back");
    }

    #[test]
    fn in_the_loop_it_never_waits_and_reads_no_more_than_a_piece_a_turn() {
        let (wire, server) = wire();
        wire.begin_turn();
        assert!(wire.poll(PollMode::Readable).is_err());
        io::Write::write_all(&mut &server, &[7; PIECE + 1]).unwrap();
        let read = || {
            let mut read = 0;
            while let Ok(count) = wire.read(&mut [0; 4096], &mut Vec::new()) {
                read += count;
            }
            read
        };
        assert_eq!(read(), PIECE);
        wire.begin_turn();
        assert_eq!(read(), 1);
    }

    #[test]
    fn what_comes_does_not_prolong_the_time_for_all_of_it() {
        let (ours, server) = UnixStream::pair().unwrap();
        let (stream, _) = DefaultStream::from_unix_stream(ours).unwrap();
        let wire = Wire::new(stream, Instant::now() + Duration::from_millis(50));
        let writes =
            std::thread::spawn(
                move || {
                    while io::Write::write_all(&mut &server, &[7; 1000]).is_ok() {}
                },
            );
        let error = loop {
            match wire.poll(PollMode::Readable) {
                // As the library does: for as long as there is something.
                Ok(()) => while wire.read(&mut [0; 1000], &mut Vec::new()).is_ok() {},
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(wire);
        writes.join().unwrap();
    }

    #[test]
    fn a_server_that_is_gone_is_an_error() {
        let (wire, server) = wire();
        drop(server);
        wire.write(b"hello", &mut Vec::new()).unwrap();
        assert!(wire.send().is_err());
    }
}
