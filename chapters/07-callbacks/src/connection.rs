//! A connection, as callbacks see it: bytes that have come, and bytes to be sent.
//!
//! [`EventLoop::set_read_callback`] is the heart of it.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::mem;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, connect, socket};

use crate::event_loop::EventLoop;
use crate::readiness::{Interest, Readiness, now};
use crate::slots::Token;
use crate::source::{Ending, Source};

/// How much is read at a time, in bytes, and so in one turn: the others want their
/// turns too.
const PIECE: usize = 16 * 1024;
/// With so much untaken by its callback, in bytes, a connection isn't read any more, and
/// the other side has to wait: somebody who sends mustn't fill our memory.
pub const MOST_UNREAD: usize = 64 * 1024;
/// A queue with more room than that, in bytes, is given back when it's empty.
const KEPT: usize = 4 * 1024;

/// What has come on a connection, and hasn't been taken out yet.
#[derive(Debug, Default)]
pub struct Input {
    /// The bytes, in the order in which they were sent. Take out what you can use; the
    /// rest stays.
    pub bytes: Vec<u8>,
    /// The other side has finished sending: these were the last.
    pub ended: bool,
}

type ReadCallback = Box<dyn FnMut(&mut EventLoop, Token, &mut Input)>;
type WriteCallback = Box<dyn FnMut(&mut EventLoop, Token)>;
type CloseCallback = Box<dyn FnOnce(&mut EventLoop, Token, Ending)>;

/// One end of a TCP connection, in the loop.
pub struct Connection {
    socket: TcpStream,
    /// It isn't there yet: the other side hasn't answered.
    connecting: bool,
    /// What has come. While the read callback runs, it has it.
    pub input: Input,
    /// There is input that a new callback hasn't seen.
    unheard: bool,
    /// Nobody wants to know what comes: it's thrown away.
    deaf: bool,
    /// What is to be sent.
    output: VecDeque<u8>,
    /// There has been room since the write callback was last told so.
    roomy: bool,
    ours: Ours,
    read_callback: Option<ReadCallback>,
    write_callback: Option<WriteCallback>,
    close_callback: Option<CloseCallback>,
}

/// A connection in plain data, besides its socket and its callbacks: to be handed to another
/// process, which goes on with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// What has come, and hasn't been taken out.
    pub input: Vec<u8>,
    /// The other side has finished sending.
    pub ended: bool,
    /// Nobody wants to know what comes.
    pub deaf: bool,
    /// What is to be sent.
    pub output: Vec<u8>,
    pub ours: Ours,
}

/// How far we are with sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ours {
    /// More may be queued.
    Open,
    /// What is queued is the last.
    Ending,
    /// All is sent, and the end too.
    Ended,
}

impl Connection {
    fn new(socket: TcpStream, connecting: bool) -> Self {
        Self {
            socket,
            connecting,
            input: Input::default(),
            unheard: false,
            deaf: false,
            output: VecDeque::new(),
            roomy: true,
            ours: Ours::Open,
            read_callback: None,
            write_callback: None,
            close_callback: None,
        }
    }

    /// How many bytes are queued, and not yet with the kernel.
    pub fn queued(&self) -> usize {
        self.output.len()
    }

    /// Its socket, and all else, as it is now. `None`: it isn't connected yet.
    pub fn parts(&self) -> Option<(BorrowedFd<'_>, Parts)> {
        if self.connecting {
            return None;
        }
        let Self { input, deaf, output, ours, .. } = self;
        let output = output.iter().copied().collect();
        let (bytes, ended) = (input.bytes.clone(), input.ended);
        let parts = Parts { input: bytes, ended, deaf: *deaf, output, ours: *ours };
        Some((self.socket.as_fd(), parts))
    }

    /// One read. Whether it has brought anything that the callback should know.
    fn receive(&mut self) -> io::Result<bool> {
        let mut piece = [0; PIECE];
        let Some(count) = now(self.socket.read(&mut piece))? else { return Ok(false) };
        self.input.ended = count == 0;
        if !self.deaf {
            self.input.bytes.extend_from_slice(&piece[..count]);
        }
        Ok(!self.deaf)
    }

    fn wants_room(&self) -> bool {
        self.roomy && self.write_callback.is_some() && self.ours == Ours::Open
    }
}

impl Source for Connection {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    // ANCHOR: interest
    fn interest(&self) -> Interest {
        let room_to_read = self.input.bytes.len() < MOST_UNREAD;
        Interest {
            read: !self.connecting && !self.input.ended && room_to_read,
            write: self.connecting || !self.output.is_empty() || self.wants_room(),
        }
    }
    // ANCHOR_END: interest

    /// With input for a new callback there is nothing to wait for.
    fn patience(&self) -> Option<Duration> {
        (self.unheard && self.read_callback.is_some()).then_some(Duration::ZERO)
    }

    // ANCHOR: flush
    /// One write, of what has been queued by whomever, and the end behind
    /// the last byte.
    fn flush(&mut self) -> io::Result<()> {
        if self.connecting {
            return Ok(());
        }
        if !self.output.is_empty() {
            let (front, _) = self.output.as_slices();
            let sent = now(self.socket.write(front))?.unwrap_or(0);
            self.output.drain(..sent);
            self.roomy = self.output.is_empty();
            if self.roomy && self.output.capacity() > KEPT {
                self.output = VecDeque::new();
            }
        }
        if self.output.is_empty() && self.ours == Ours::Ending {
            self.socket.shutdown(Shutdown::Write)?;
            self.ours = Ours::Ended;
        }
        Ok(())
    }
    // ANCHOR_END: flush

    fn is_over(&self) -> bool {
        let is_told = !self.unheard || self.read_callback.is_none();
        self.ours == Ours::Ended && self.input.ended && is_told
    }

    fn closed(self: Box<Self>, event_loop: &mut EventLoop, token: Token, ending: Ending) {
        let Self { socket, close_callback, .. } = *self;
        drop(socket);
        if let Some(callback) = close_callback {
            callback(event_loop, token, ending);
        }
    }
}

/// The handler of all connections.
fn ready(event_loop: &mut EventLoop, me: Token, readiness: Readiness) -> io::Result<()> {
    let Some(connection) = event_loop.get_mut::<Connection>(me) else { return Ok(()) };
    let wanted = connection.interest();
    let can_read = readiness.read && wanted.read;
    if readiness.error && !can_read {
        // The kernel keeps it until it's asked for (socket(7)). Where there is something to
        // read, a read comes first: it tells the error behind the last byte.
        let error = connection.socket.take_error()?;
        return Err(error.unwrap_or_else(|| io::Error::other("an error that nobody can name")));
    }
    if readiness.write {
        connection.connecting = false;
    }
    let news = can_read && connection.receive()?;
    if news || connection.unheard {
        hear(event_loop, me);
    }
    if readiness.write {
        tell_of_room(event_loop, me);
    }
    Ok(())
}

/// Calls the read callback, which has the input meanwhile, and puts back what it has
/// left.
fn hear(event_loop: &mut EventLoop, me: Token) {
    let Some(connection) = event_loop.get_mut::<Connection>(me) else { return };
    // Who sets one later is told then.
    connection.unheard = connection.read_callback.is_none();
    let Some(mut callback) = connection.read_callback.take() else { return };
    let mut input = mem::take(&mut connection.input);
    callback(event_loop, me, &mut input);
    let Some(connection) = event_loop.get_mut::<Connection>(me) else { return };
    connection.input = input;
    if connection.deaf {
        connection.input.bytes = Vec::new();
        connection.unheard = false;
        return;
    }
    match connection.read_callback {
        // It has set another one in its place, which has to hear of the rest.
        Some(_) => connection.unheard = connection.input.is_news(),
        None => connection.read_callback = Some(callback),
    }
}

impl Input {
    fn is_news(&self) -> bool {
        self.ended || !self.bytes.is_empty()
    }
}

fn tell_of_room(event_loop: &mut EventLoop, me: Token) {
    let Some(connection) = event_loop.get_mut::<Connection>(me) else { return };
    if !connection.wants_room() || !connection.output.is_empty() {
        return;
    }
    connection.roomy = false;
    let Some(mut callback) = connection.write_callback.take() else { return };
    callback(event_loop, me);
    if let Some(connection) = event_loop.get_mut::<Connection>(me) {
        connection.write_callback.get_or_insert(callback);
    }
}

/// Connections, by their tokens. A token whose connection is gone means nobody: then
/// nothing happens.
impl EventLoop {
    /// Takes over a socket that is connected.
    ///
    /// # Errors
    /// When it can't be told not to wait.
    pub fn add_socket(&mut self, socket: TcpStream) -> io::Result<Token> {
        socket.set_nonblocking(true)?;
        Ok(self.add(Connection::new(socket, false), ready))
    }

    /// Goes on with a connection that another process has had until now. The next read callback
    /// is told of the input that has come with it, and of its end.
    ///
    /// # Errors
    /// When it can't be told not to wait.
    pub fn add_parts(&mut self, socket: TcpStream, parts: Parts) -> io::Result<Token> {
        socket.set_nonblocking(true)?;
        let Parts { input, ended, deaf, output, ours } = parts;
        let connection = Connection {
            input: Input { bytes: input, ended },
            deaf,
            output: output.into(),
            roomy: false,
            ours,
            ..Connection::new(socket, false)
        };
        Ok(self.add(connection, ready))
    }

    /// Begins to connect, and doesn't wait for it. If it fails later, the close
    /// callback is told why.
    ///
    /// # Errors
    /// What can be said at once: no descriptor is left, there is no way to that
    /// address.
    pub fn connect(&mut self, address: SocketAddr) -> io::Result<Token> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::Inet,
            SocketAddr::V6(_) => AddressFamily::Inet6,
        };
        let socket = socket(family, SockType::Stream, SockFlag::empty(), None)?;
        // Or a program that we start would have it too, and keep it open (fcntl(2)).
        fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        let socket = TcpStream::from(socket);
        socket.set_nonblocking(true)?;
        match connect(socket.as_raw_fd(), &SockaddrStorage::from(address)) {
            // Interrupted, it goes on all the same.
            Ok(()) | Err(Errno::EINPROGRESS | Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.add(Connection::new(socket, true), ready))
    }

    // ANCHOR: callbacks
    /// From now on, `data_available` is called when bytes have come, and
    /// once more at their end. It takes out what it can use, and returns
    /// when there isn't enough yet; what it leaves, it finds there the next
    /// time, with more behind it. It may set another callback in its own
    /// place.
    pub fn set_read_callback(
        &mut self,
        socket: Token,
        data_available: impl FnMut(&mut Self, Token, &mut Input) + 'static,
    ) {
        if let Some(connection) = self.get_mut::<Connection>(socket) {
            connection.read_callback = Some(Box::new(data_available));
            connection.unheard |= connection.input.is_news();
        }
    }

    /// From now on, `room` is called when there is room to send: nothing is
    /// queued, and the kernel takes more. What it queues then is sent
    /// before it's called again. If it queues nothing, it's called again
    /// after somebody has.
    pub fn set_write_callback(
        &mut self,
        socket: Token,
        room: impl FnMut(&mut Self, Token) + 'static,
    ) {
        if let Some(connection) = self.get_mut::<Connection>(socket) {
            connection.write_callback = Some(Box::new(room));
            connection.roomy = true;
        }
    }

    /// `gone` will be called when the connection is closed: once, and
    /// whatever it was that ended it. What has to be cleaned up is cleaned
    /// up there.
    pub fn set_close_callback(
        &mut self,
        socket: Token,
        gone: impl FnOnce(&mut Self, Token, Ending) + 'static,
    ) {
        if let Some(connection) = self.get_mut::<Connection>(socket) {
            connection.close_callback = Some(Box::new(gone));
        }
    }
    // ANCHOR_END: callbacks

    /// Queues bytes behind those that are queued. They are sent before the loop waits,
    /// or as soon as there is room. After [`finish`](Self::finish) it's too late.
    pub fn send(&mut self, socket: Token, bytes: &[u8]) {
        if let Some(connection) = self.get_mut::<Connection>(socket)
            && connection.ours == Ours::Open
        {
            connection.output.extend(bytes);
        }
    }

    /// How many bytes are queued, and not yet with the kernel. Whoever sends to
    /// somebody that reads slowly looks here, and sends no more for a while.
    pub fn queued(&self, socket: Token) -> usize {
        self.get::<Connection>(socket).map_or(0, Connection::queued)
    }

    /// After what is queued, the other side is told that nothing more will come. What
    /// it sends is still read. When it has finished too, the connection is closed.
    pub fn finish_sending(&mut self, socket: Token) {
        if let Some(connection) = self.get_mut::<Connection>(socket)
            && connection.ours == Ours::Open
        {
            connection.ours = Ours::Ending;
        }
    }

    /// Says goodbye: the same, and what still comes is thrown away (closed with
    /// something unread, a connection is reset, and the reset can eat what we sent
    /// last).
    pub fn finish(&mut self, socket: Token) {
        self.finish_sending(socket);
        if let Some(connection) = self.get_mut::<Connection>(socket) {
            connection.deaf = true;
            connection.unheard = false;
            connection.input.bytes = Vec::new();
        }
    }
}
