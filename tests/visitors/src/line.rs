//! A visitor's line to the server, on which nothing waits longer than it may: neither past the
//! visitor's time, nor past the end of the play.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};

use crate::doing;

/// Falls at the end of a play, and wakes everyone who waits: it's a pipe that all look at, whose
/// other end is closed then.
#[derive(Debug)]
pub(crate) struct Curtain {
    seen: PipeReader,
    rope: Mutex<Option<PipeWriter>>,
}

impl Curtain {
    pub(crate) fn up() -> io::Result<Self> {
        let (seen, rope) = io::pipe()?;
        let rope = Mutex::new(Some(rope));
        Ok(Self { seen, rope })
    }

    pub(crate) fn fall(&self) {
        let mut rope = self.rope.lock().unwrap_or_else(PoisonError::into_inner);
        drop(rope.take());
    }

    pub(crate) fn has_fallen(&self) -> bool {
        let rope = self.rope.lock().unwrap_or_else(PoisonError::into_inner);
        rope.is_none()
    }
}

/// How long a visitor may stay, and how quickly it lives.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub(crate) deadline: Instant,
    pub(crate) curtain: Arc<Curtain>,
    /// Its rests are so many times shorter than usual.
    pub(crate) tempo: u32,
}

/// Why something on a line came to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The visitor's time is over, or the play is.
    Over,
    /// What the system said.
    Io(io::Error),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Bounds {
    pub(crate) fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    pub(crate) fn are_over(&self) -> bool {
        self.time_left().is_zero() || self.curtain.has_fallen()
    }

    /// A visitor's rest, at this tempo.
    pub(crate) fn hurried(&self, rest: Duration) -> Duration {
        rest / self.tempo.max(1)
    }

    /// Lets `time` pass.
    pub(crate) fn pause(&self, time: Duration) -> Result<(), Failure> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.wait(&[], left)?;
        }
    }

    /// Waits until one of `sockets` is ready for what it is wanted for, at the longest for `time`,
    /// and says what each is ready for. It may come back with nothing.
    pub(crate) fn wait(
        &self,
        sockets: &[(BorrowedFd<'_>, PollFlags)],
        time: Duration,
    ) -> Result<Vec<PollFlags>, Failure> {
        if self.are_over() {
            return Err(Failure::Over);
        }
        let mut list = Vec::with_capacity(1 + sockets.len());
        list.push(PollFd::new(self.curtain.seen.as_fd(), PollFlags::POLLIN));
        list.extend(sockets.iter().map(|(fd, wanted)| PollFd::new(*fd, *wanted)));
        match poll(&mut list, milliseconds(self.time_left().min(time))) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let mut ready = list.iter().map(|entry| entry.revents().unwrap_or(PollFlags::POLLERR));
        // The end of the play comes before all else: a server that sends for ever must not outlast it.
        if ready.next().is_some_and(|flags| !flags.is_empty()) {
            return Err(Failure::Over);
        }
        Ok(ready.collect())
    }
}

/// Rounded up: a rest below a millisecond, cut to 0, would spin until it's over.
fn milliseconds(time: Duration) -> PollTimeout {
    let rounded = time.as_nanos().div_ceil(1_000_000);
    // Longer than a minute isn't needed: whoever waits asks again.
    PollTimeout::from(u16::try_from(rounded).unwrap_or(60_000))
}

/// Room for what has arrived and isn't read yet, where the visitor reads slowly: the smallest
/// that systems allow, so that the server feels soon that nobody reads.
const SMALL_WINDOW: usize = 4096;

/// A visitor's end of a connection.
#[derive(Debug)]
pub(crate) struct Line {
    stream: TcpStream,
}

impl Line {
    /// Connects, and is called `name` in reports from the beginning on: the server may have it before
    /// we do. With a `small` window, little fits between the server and a visitor who doesn't read.
    pub(crate) fn connect(
        address: SocketAddr,
        small: bool,
        name: &str,
        bounds: &Bounds,
    ) -> Result<Self, Failure> {
        let line = Self::begin_as(address, small, Some(name))?;
        while !line.is_connected_after(
            &bounds.wait(&[(line.descriptor(), PollFlags::POLLOUT)], bounds.time_left())?,
        )? {}
        Ok(line)
    }

    /// Begins to connect, and doesn't wait for the outcome.
    pub(crate) fn begin(address: SocketAddr) -> io::Result<Self> {
        Self::begin_as(address, false, None)
    }

    fn begin_as(address: SocketAddr, small: bool, name: Option<&str>) -> io::Result<Self> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::Inet,
            SocketAddr::V6(_) => AddressFamily::Inet6,
        };
        let socket = new_socket(family)?;
        if small {
            // Before connecting: afterwards a large window has been promised already.
            setsockopt(&socket, sockopt::RcvBuf, &SMALL_WINDOW)?;
        }
        let stream = TcpStream::from(socket);
        stream.set_nonblocking(true)?;
        // Each byte of a slow request goes out by itself: the kernel would glue them together.
        stream.set_nodelay(true)?;
        let call = |name| {
            if let Ok(local) = stream.local_addr() {
                doing::call(local.port(), address.port(), name);
            }
        };
        if let Some(name) = name {
            // The system would pick a port while it connects: too late to tell anyone before the server.
            let any = match address.ip() {
                IpAddr::V4(ip) if ip.is_loopback() => Some(Ipv4Addr::LOCALHOST.into()),
                IpAddr::V6(ip) if ip.is_loopback() => Some(Ipv6Addr::LOCALHOST.into()),
                _ => None,
            };
            let any = any.map(|ip: IpAddr| SockaddrStorage::from(SocketAddr::new(ip, 0)));
            if any.is_some_and(|any| bind(stream.as_raw_fd(), &any).is_ok()) {
                call(name);
            }
        }
        match connect(stream.as_raw_fd(), &SockaddrStorage::from(address)) {
            Ok(()) | Err(Errno::EINPROGRESS | Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        // Where it couldn't be bound, it has a port only now.
        if let Some(name) = name {
            call(name);
        }
        Ok(Self { stream })
    }

    /// Whether what `poll` says means that the line is up. If it never will be, that is the error.
    pub(crate) fn is_connected_after(&self, ready: &[PollFlags]) -> io::Result<bool> {
        if ready.iter().all(PollFlags::is_empty) {
            return Ok(false);
        }
        self.stream.take_error()?.map_or(Ok(true), Err)
    }

    /// The port at this end.
    pub(crate) fn port(&self) -> Option<u16> {
        self.stream.local_addr().ok().map(|address| address.port())
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Sends all of `bytes`.
    pub(crate) fn send(&mut self, mut bytes: &[u8], bounds: &Bounds) -> Result<(), Failure> {
        while !bytes.is_empty() {
            if bounds.are_over() {
                return Err(Failure::Over);
            }
            match self.stream.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) => self.wait_after(error, PollFlags::POLLOUT, bounds)?,
            }
        }
        Ok(())
    }

    /// Receives what there is, as soon as there is something. 0: the server has finished.
    pub(crate) fn receive(&mut self, buffer: &mut [u8], bounds: &Bounds) -> Result<usize, Failure> {
        loop {
            if bounds.are_over() {
                return Err(Failure::Over);
            }
            match self.stream.read(buffer) {
                Ok(count) => return Ok(count),
                Err(error) => self.wait_after(error, PollFlags::POLLIN, bounds)?,
            }
        }
    }

    /// Receives what there is now. `None`: nothing yet.
    pub(crate) fn receive_now(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.stream.read(buffer) {
            Ok(count) => Ok(Some(count)),
            Err(error) if would_wait(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Hangs up as rudely as TCP allows: the server gets a reset.
    pub(crate) fn reset(self) {
        let now = libc::linger { l_onoff: 1, l_linger: 0 };
        // Should it fail, the close is a polite one: the server sees a hang-up all the same.
        let _ = setsockopt(&self.stream, sockopt::Linger, &now);
    }

    fn wait_after(
        &self,
        error: io::Error,
        wanted: PollFlags,
        bounds: &Bounds,
    ) -> Result<(), Failure> {
        if !would_wait(&error) {
            return Err(Failure::Io(error));
        }
        bounds.wait(&[(self.descriptor(), wanted)], bounds.time_left())?;
        Ok(())
    }
}

fn would_wait(error: &io::Error) -> bool {
    let kind = error.kind();
    kind == io::ErrorKind::WouldBlock || kind == io::ErrorKind::Interrupted
}

/// Whether the other side has ended the connection: it was one until then.
pub(crate) fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected)
}

/// A socket that no program started meanwhile inherits: that one would hold the connection open
/// after the visitor has left.
fn new_socket(family: AddressFamily) -> nix::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    return socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None);
    #[cfg(not(target_os = "linux"))]
    {
        use nix::fcntl::{FcntlArg, FdFlag, fcntl};
        let socket = socket(family, SockType::Stream, SockFlag::empty(), None)?;
        fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        Ok(socket)
    }
}
