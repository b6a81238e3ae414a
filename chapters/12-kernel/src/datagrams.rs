//! Datagrams as callbacks see them: each comes whole or cut short, from anybody, and goes
//! to anybody. A [`Source`] of chapter 7's loop.
//!
//! A connection ends; a socket for datagrams doesn't. One that is empty, one that didn't fit,
//! the news that nobody has the port that we sent to: all of these are [`Arrival`]s.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::{Ending, EventLoop, Interest, Readiness, Source, Token};
use nix::errno::Errno;

use crate::gathering::Gathering;
#[cfg(target_os = "linux")]
use by_batches::Calls;
#[cfg(not(target_os = "linux"))]
use one_by_one::Calls;

/// How many are received in one turn, and how many are sent: the others want their turns too. It's
/// also as many as Linux takes in one piece (UDP_MAX_SEGMENTS).
pub const BATCH: usize = 64;
/// The longest that we take, in bytes; of a longer one this much arrives, and that it was cut.
/// More than Ethernet carries in one piece (1,500), which is what everybody keeps to.
pub const LONGEST: usize = 2048;
/// With so many queued, or so many bytes, what is sent next is dropped, as the network does with
/// what it has no room for: whoever sends datagrams must expect that anyway.
pub const MOST_QUEUED: usize = 4096;
/// The same, in bytes.
pub const MOST_QUEUED_BYTES: usize = 2 * 1024 * 1024;
/// A byte more tells that there was more.
const PIECE: usize = LONGEST + 1;
/// A queue with more room than that, in bytes, is given back when it's empty.
const KEPT: usize = 64 * 1024;

// ANCHOR: arrival
/// What comes out of a socket for datagrams.
#[derive(Debug)]
pub enum Arrival<'a> {
    /// A datagram; it may be empty.
    Datagram { bytes: &'a [u8], from: SocketAddr },
    /// One that was longer than [`LONGEST`]; this is how it begins. The
    /// rest is lost.
    CutShort { bytes: &'a [u8], from: SocketAddr },
    /// The network has brought one of ours back: nobody has that port,
    /// or there is no way to it. Only connected sockets hear of it
    /// (udp(7)).
    Undeliverable(io::Error),
}
// ANCHOR_END: arrival

type Callback = Box<dyn FnMut(&mut EventLoop, Token, Arrival<'_>)>;

/// How many have come.
type Count = io::Result<usize>;

// ANCHOR: datagrams
/// A socket for datagrams, in the loop.
pub struct Datagrams {
    socket: UdpSocket,
    is_v6: bool,
    buffers: Buffers,
    queue: Queue,
    /// While it's called, the handler has it.
    came: Option<Callback>,
    /// Sending has told what receiving should have.
    bad_news: Option<Errno>,
    /// With it, a crowd is let gather.
    gathering: Option<Gathering>,
    /// Nothing is received any more; when the queue is empty, it's over.
    finishing: bool,
    lost: u64,
}
// ANCHOR_END: datagrams

/// A socket for datagrams in plain data, besides the socket itself and its callback: to be handed to
/// another process, which goes on with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// What is to be sent, and to whom; on a connected socket without an address.
    pub queued: Vec<(Option<SocketAddr>, Vec<u8>)>,
    /// What the callback is still to be told: the kernel's number of an error (errno(3)).
    pub bad_news: Option<i32>,
}

impl Datagrams {
    /// Takes over a socket. `came` is called with all that arrives. The buffers are lent, for
    /// as long as it's called: so a thousand sockets need no more of them than one.
    ///
    /// # Errors
    /// When the socket can't be told not to wait.
    pub fn add(
        event_loop: &mut EventLoop,
        socket: UdpSocket,
        buffers: &Buffers,
        came: impl FnMut(&mut EventLoop, Token, Arrival<'_>) + 'static,
    ) -> io::Result<Token> {
        Self::add_parts(event_loop, socket, &Parts::default(), buffers, came)
    }

    /// The same, with one that another process has had until now.
    ///
    /// # Errors
    /// When the socket can't be told not to wait.
    pub fn add_parts(
        event_loop: &mut EventLoop,
        socket: UdpSocket,
        parts: &Parts,
        buffers: &Buffers,
        came: impl FnMut(&mut EventLoop, Token, Arrival<'_>) + 'static,
    ) -> io::Result<Token> {
        socket.set_nonblocking(true)?;
        let mut queue = Queue::default();
        for (to, bytes) in &parts.queued {
            // There was room for it there, and the room is the same here; what has none is lost.
            queue.push(*to, bytes);
        }
        let datagrams = Self {
            is_v6: socket.local_addr()?.is_ipv6(),
            socket,
            buffers: buffers.clone(),
            queue,
            came: Some(Box::new(came)),
            bad_news: parts.bad_news.map(Errno::from_raw),
            gathering: None,
            finishing: false,
            lost: 0,
        };
        Ok(event_loop.add(datagrams, ready))
    }

    /// Its socket, and all else, as it is now. A pause in which a crowd gathers isn't handed over:
    /// whoever goes on with the socket looks at once. `None`: it's finishing.
    pub fn parts(&self) -> Option<(BorrowedFd<'_>, Parts)> {
        if self.finishing {
            return None;
        }
        let all = self.queue.datagrams.iter();
        let queued = all.map(|queued| (queued.to, self.queue.bytes_of(queued).to_vec())).collect();
        let bad_news = self.bad_news.map(|error| error as i32);
        Some((self.socket.as_fd(), Parts { queued, bad_news }))
    }

    /// From now on the datagrams of a crowd are let [gather](crate::gathering).
    ///
    /// # Errors
    /// When the kernel has no descriptor for the timer.
    pub fn gather(event_loop: &mut EventLoop, socket: Token) -> io::Result<()> {
        let over = move |event_loop: &mut EventLoop| pause_is_over(event_loop, socket);
        let gathering = Gathering::new(event_loop, over)?;
        if let Some(datagrams) = event_loop.get_mut::<Self>(socket) {
            datagrams.gathering = Some(gathering);
        }
        Ok(())
    }

    /// Queues a datagram; on a connected socket without an address. It's sent before the loop
    /// waits, or as soon as there is room. False: it was dropped, there is no room.
    pub fn send(
        event_loop: &mut EventLoop,
        socket: Token,
        to: Option<SocketAddr>,
        bytes: &[u8],
    ) -> bool {
        let Some(datagrams) = event_loop.get_mut::<Self>(socket) else { return false };
        let queued = datagrams.queue.push(to, bytes);
        datagrams.lost += u64::from(!queued);
        queued
    }

    /// Receives nothing any more, and is closed when what is queued is sent.
    pub fn finish(event_loop: &mut EventLoop, socket: Token) {
        if let Some(datagrams) = event_loop.get_mut::<Self>(socket) {
            datagrams.finishing = true;
        }
    }

    /// How many were dropped: they had no room, or the kernel refused them.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// How many are queued, and not yet with the kernel.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }
}

impl Source for Datagrams {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn interest(&self) -> Interest {
        let pausing = self.gathering.as_ref().is_some_and(Gathering::is_pausing);
        Interest { read: !self.finishing && !pausing, write: self.queue.len() > 0 }
    }

    fn patience(&self) -> Option<Duration> {
        self.bad_news.map(|_| Duration::ZERO)
    }

    // ANCHOR: flush
    /// One call, for as many as it takes. Whatever becomes of them, it's
    /// no reason to end: to the next one the way may be clear.
    fn flush(&mut self) -> io::Result<()> {
        while self.queue.len() > 0 {
            let calls = &mut self.buffers.0.borrow_mut().calls;
            match calls.send(&self.socket, &mut self.queue) {
                Ok(sent) => {
                    self.queue.forget(sent);
                    break;
                }
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                // It's about an earlier one. This one hasn't been tried yet (udp(7)).
                Err(error) if self.bad_news.is_none() && is_of_the_network(error) => {
                    self.bad_news = Some(error);
                }
                Err(_) => {
                    self.lost += 1;
                    self.queue.forget(1);
                }
            }
        }
        Ok(())
    }
    // ANCHOR_END: flush

    fn is_over(&self) -> bool {
        self.finishing && self.queue.len() == 0
    }

    fn closed(self: Box<Self>, event_loop: &mut EventLoop, _: Token, ending: Ending) {
        if let Some(gathering) = self.gathering {
            gathering.close(event_loop);
        }
        if let Ending::Failed(error) = ending {
            ch07_callbacks::program::say(&format!("a socket for datagrams is lost: {error}"));
        }
    }
}

/// The handler of all sockets for datagrams.
fn ready(event_loop: &mut EventLoop, me: Token, readiness: Readiness) -> io::Result<()> {
    let Some(datagrams) = event_loop.get_mut::<Datagrams>(me) else { return Ok(()) };
    let Some(mut came) = datagrams.came.take() else { return Ok(()) };
    if let Some(error) = datagrams.bad_news.take() {
        event_loop.guard(None, |event_loop| {
            came(event_loop, me, Arrival::Undeliverable(error.into()));
        });
    }
    let outcome =
        if readiness.read || readiness.error { receive(event_loop, me, &mut came) } else { Ok(0) };
    let turn = event_loop.turns();
    let Some(datagrams) = event_loop.get_mut::<Datagrams>(me) else { return Ok(()) };
    datagrams.came = Some(came);
    let count = outcome?;
    if let Some(gathering) = &mut datagrams.gathering {
        gathering.have_come(count, count == BATCH, turn);
    }
    Ok(())
}

/// Those who have gathered meanwhile are taken at once.
fn pause_is_over(event_loop: &mut EventLoop, socket: Token) {
    let Some(datagrams) = event_loop.get_mut::<Datagrams>(socket) else { return };
    if let Some(gathering) = &mut datagrams.gathering {
        gathering.is_over();
    }
    if datagrams.interest().read {
        // If it fails, it does so once more when the loop finds it ready.
        let _ = ready(event_loop, socket, Readiness { read: true, ..Readiness::NONE });
    }
}

// ANCHOR: receive
/// Takes one batch, and no more: with a flood at this socket, there is
/// still a turn for everybody else.
fn receive(event_loop: &mut EventLoop, me: Token, came: &mut Callback) -> Count {
    let Some(datagrams) = event_loop.get_mut::<Datagrams>(me) else { return Ok(0) };
    let buffers = datagrams.buffers.clone();
    // Taken out while we call: the callback may get here again, through
    // another socket.
    let mut batch = buffers.lend();
    let Datagrams { socket, is_v6, .. } = datagrams;
    let received = buffers.0.borrow_mut().calls.receive(socket, *is_v6, &mut batch);
    if let Err(error) = received {
        buffers.take_back(batch);
        return match error {
            Errno::EAGAIN | Errno::EINTR => Ok(0),
            error if is_of_the_network(error) => {
                event_loop.guard(None, |event_loop| {
                    came(event_loop, me, Arrival::Undeliverable(error.into()));
                });
                Ok(0)
            }
            error => Err(error.into()),
        };
    }
    for (arrived, piece) in batch.arrived.iter().zip(batch.bytes.chunks(PIECE)) {
        let bytes = piece.get(..arrived.length.min(LONGEST)).unwrap_or_default();
        let Some(from) = arrived.from else { continue };
        let arrival = if arrived.length > LONGEST {
            Arrival::CutShort { bytes, from }
        } else {
            Arrival::Datagram { bytes, from }
        };
        // Closed by an earlier one, it hears no more.
        if event_loop.get::<Datagrams>(me).is_none() {
            break;
        }
        // If it panics, that is the end of this datagram, and not of
        // the socket.
        event_loop.guard(None, |event_loop| came(event_loop, me, arrival));
    }
    let count = batch.arrived.len();
    buffers.take_back(batch);
    Ok(count)
}
// ANCHOR_END: receive

/// The network's errors, which come with a datagram that was sent earlier (icmp(7), ip(7)), and
/// the kernel's when it's short of memory for one. All others are ours.
fn is_of_the_network(error: Errno) -> bool {
    use Errno::{
        EACCES, ECONNREFUSED, ECONNRESET, EHOSTDOWN, EHOSTUNREACH, EMSGSIZE, ENETDOWN, ENETUNREACH,
        ENOBUFS, ENOMEM, ENOPROTOOPT, EOPNOTSUPP, EPERM, EPROTO, ETIMEDOUT,
    };
    matches!(
        error,
        EACCES
            | ECONNREFUSED
            | ECONNRESET
            | EHOSTDOWN
            | EHOSTUNREACH
            | EMSGSIZE
            | ENETDOWN
            | ENETUNREACH
            | ENOBUFS
            | ENOMEM
            | ENOPROTOOPT
            | EOPNOTSUPP
            | EPERM
            | EPROTO
            | ETIMEDOUT
    )
}

/// What is to be sent: the bytes of all datagrams, one behind the other, and where each lies.
/// So a queue needs no memory for each.
#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    datagrams: VecDeque<Queued>,
}

#[derive(Clone, Copy, Debug)]
struct Queued {
    to: Option<SocketAddr>,
    start: usize,
    end: usize,
}

impl Queue {
    fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// False: there is no room.
    fn push(&mut self, to: Option<SocketAddr>, bytes: &[u8]) -> bool {
        let (start, end) = (self.bytes.len(), self.bytes.len() + bytes.len());
        if self.len() >= MOST_QUEUED || end > MOST_QUEUED_BYTES {
            return false;
        }
        self.bytes.extend_from_slice(bytes);
        self.datagrams.push_back(Queued { to, start, end });
        true
    }

    /// The first ones; their bytes are in `bytes`.
    fn front(&self) -> &[Queued] {
        let (front, _) = self.datagrams.as_slices();
        front.get(..BATCH).unwrap_or(front)
    }

    fn bytes_of(&self, queued: &Queued) -> &[u8] {
        self.bytes.get(queued.start..queued.end).unwrap_or_default()
    }

    /// The first ones have been sent, or are lost.
    fn forget(&mut self, count: usize) {
        self.datagrams.drain(..count.min(self.datagrams.len()));
        // While something is left, so are the bytes of what went before it: that is bounded.
        if self.datagrams.is_empty() {
            self.bytes.clear();
            if self.bytes.capacity() > KEPT {
                *self = Self::default();
            }
        }
    }
}

/// Where datagrams arrive. Clones are the same buffers.
#[derive(Clone)]
pub struct Buffers(Rc<RefCell<Shared>>);

struct Shared {
    calls: Calls,
    free: Option<Batch>,
}

impl Default for Buffers {
    fn default() -> Self {
        Self(Rc::new(RefCell::new(Shared { calls: Calls::new(), free: None })))
    }
}

impl Buffers {
    fn lend(&self) -> Batch {
        self.0.borrow_mut().free.take().unwrap_or_else(Batch::new)
    }

    fn take_back(&self, batch: Batch) {
        self.0.borrow_mut().free = Some(batch);
    }
}

/// One turn's datagrams.
struct Batch {
    /// [`PIECE`] for each.
    bytes: Vec<u8>,
    arrived: Vec<Arrived>,
}

struct Arrived {
    length: usize,
    from: Option<SocketAddr>,
}

impl Batch {
    fn new() -> Self {
        // Zeros from the kernel cost no memory until they are written over.
        Self { bytes: vec![0; BATCH * PIECE], arrived: Vec::with_capacity(BATCH) }
    }
}

/// On Linux one call moves many: recvmmsg(2) and sendmmsg(2).
#[cfg(target_os = "linux")]
mod by_batches {
    use std::array;
    use std::cmp::Reverse;
    use std::io::{IoSlice, IoSliceMut};
    use std::net::{SocketAddr, UdpSocket};
    use std::os::fd::AsRawFd;

    use nix::cmsg_space;
    use nix::errno::Errno;
    use nix::sys::socket::{
        ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg,
    };

    use super::{Arrived, BATCH, Batch, PIECE, Queue, Queued};

    /// The longest that are sent in one piece, in bytes: a batch of them is still one datagram of
    /// the kernel's (65,507 bytes), and each fits into the shortest frame that IPv6 allows.
    const LONGEST_GROUPED: usize = 1000;

    /// What the kernel is handed with each call.
    pub struct Calls {
        /// One for each family: the kernel leaves behind how long an address was, and takes that
        /// for the room there is the next time.
        of_v4: MultiHeaders<SockaddrStorage>,
        of_v6: MultiHeaders<SockaddrStorage>,
        single: MultiHeaders<SockaddrStorage>,
        grouped: MultiHeaders<SockaddrStorage>,
        addresses: Vec<Option<SockaddrStorage>>,
        /// The kernel, and the way to whom we send, can take several in one piece.
        can_group: bool,
    }

    impl Calls {
        pub fn new() -> Self {
            Self {
                of_v4: MultiHeaders::preallocate(BATCH, None),
                of_v6: MultiHeaders::preallocate(BATCH, None),
                single: MultiHeaders::preallocate(BATCH, None),
                grouped: MultiHeaders::preallocate(BATCH, Some(cmsg_space!(u16))),
                addresses: Vec::with_capacity(BATCH),
                can_group: true,
            }
        }

        /// Takes what is there. A pending error comes first, and alone.
        pub fn receive(
            &mut self,
            socket: &UdpSocket,
            is_v6: bool,
            batch: &mut Batch,
        ) -> Result<(), Errno> {
            batch.arrived.clear();
            let headers = if is_v6 { &mut self.of_v6 } else { &mut self.of_v4 };
            let mut pieces = batch.bytes.chunks_mut(PIECE);
            let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
                array::from_fn(|_| [IoSliceMut::new(pieces.next().unwrap_or_default())]);
            let descriptor = socket.as_raw_fd();
            let flags = MsgFlags::MSG_DONTWAIT;
            let received = recvmmsg(descriptor, headers, &mut slices, flags, None)?;
            batch.arrived.extend(received.map(|message| Arrived {
                length: message.bytes,
                from: message.address.and_then(address),
            }));
            Ok(())
        }

        // ANCHOR: send
        /// Sends the first ones of the queue; how many. Those of one length
        /// that go to one address are one piece on their way through the
        /// kernel, which cuts it at the very end (UDP_SEGMENT, udp(7)): most
        /// of what a datagram costs is that way.
        pub fn send(&mut self, socket: &UdpSocket, queue: &mut Queue) -> Result<usize, Errno> {
            let longest = sort_front(queue);
            let front = queue.front();
            let mut bytes = front.iter().map(|queued| queue.bytes_of(queued));
            let slices: [IoSlice<'_>; BATCH] =
                array::from_fn(|_| IoSlice::new(bytes.next().unwrap_or_default()));
            let pieces = self.pieces(front, &slices, longest);
            let is_piece = pieces[0].len() > 1;
            match self.hand_over(socket, &pieces, longest) {
                // Not every way out of a machine can do it.
                Err(Errno::EIO | Errno::EINVAL | Errno::EMSGSIZE) if is_piece => {
                    self.can_group = false;
                    self.send(socket, queue)
                }
                sent => sent.map(|sent| pieces.iter().take(sent).map(|piece| piece.len()).sum()),
            }
        }
        // ANCHOR_END: send

        /// What goes in one piece, and to whom.
        fn pieces<'a>(
            &mut self,
            front: &[Queued],
            slices: &'a [IoSlice<'a>],
            longest: usize,
        ) -> [&'a [IoSlice<'a>]; BATCH] {
            let may_group = self.can_group && (1..=LONGEST_GROUPED).contains(&longest);
            let mut groups = front
                .chunk_by(|one, next| may_group && one.to == next.to && length(one) == longest);
            let mut rest = slices;
            self.addresses.clear();
            array::from_fn(|_| {
                let Some(group @ [first, ..]) = groups.next() else { return &[][..] };
                self.addresses.push(first.to.map(Into::into));
                let (piece, behind) = rest.split_at_checked(group.len()).unwrap_or_default();
                rest = behind;
                piece
            })
        }

        /// How many pieces the kernel has taken.
        fn hand_over<'a>(
            &'a mut self,
            socket: &UdpSocket,
            pieces: &'a [&'a [IoSlice<'a>]; BATCH],
            longest: usize,
        ) -> Result<usize, Errno> {
            let descriptor = socket.as_raw_fd();
            let flags = MsgFlags::MSG_DONTWAIT;
            let addresses = &self.addresses;
            let sent = if pieces.iter().all(|piece| piece.len() <= 1) {
                sendmmsg(descriptor, &mut self.single, pieces, addresses, [], flags)?.count()
            } else {
                // At most LONGEST_GROUPED.
                let length = longest as u16;
                let cut = [ControlMessage::UdpGsoSegments(&length)];
                sendmmsg(descriptor, &mut self.grouped, pieces, addresses, cut, flags)?.count()
            };
            Ok(sent)
        }
    }

    /// Puts those together that go to one address, the longest first: it's only the last of a
    /// piece that may be shorter. How long the longest of all is. (Datagrams may overtake each
    /// other: nobody is promised an order.)
    fn sort_front(queue: &mut Queue) -> usize {
        let front = queue.datagrams.make_contiguous();
        let count = front.len().min(BATCH);
        let front = front.get_mut(..count).unwrap_or_default();
        front.sort_unstable_by_key(|queued| (queued.to, Reverse(length(queued))));
        front.iter().map(length).max().unwrap_or(0)
    }

    fn length(queued: &Queued) -> usize {
        queued.end - queued.start
    }

    fn address(storage: SockaddrStorage) -> Option<SocketAddr> {
        let v4 = storage.as_sockaddr_in().map(|address| SocketAddr::V4((*address).into()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|address| SocketAddr::V6((*address).into())))
    }
}

/// Elsewhere each has a call of its own.
#[cfg(not(target_os = "linux"))]
mod one_by_one {
    use std::io;
    use std::net::UdpSocket;

    use nix::errno::Errno;

    use super::{Arrived, BATCH, Batch, PIECE, Queue};

    pub struct Calls;

    impl Calls {
        pub fn new() -> Self {
            Self
        }

        /// Takes what is there.
        pub fn receive(
            &mut self,
            socket: &UdpSocket,
            _is_v6: bool,
            batch: &mut Batch,
        ) -> Result<(), Errno> {
            batch.arrived.clear();
            for piece in batch.bytes.chunks_mut(PIECE).take(BATCH) {
                match socket.recv_from(piece) {
                    Ok((length, from)) => {
                        batch.arrived.push(Arrived { length, from: Some(from) });
                    }
                    Err(error) if batch.arrived.is_empty() => return Err(errno(&error)),
                    // If it's an error, it's lost, as a datagram may be.
                    Err(_) => break,
                }
            }
            Ok(())
        }

        /// Sends the first ones of the queue; how many.
        pub fn send(&mut self, socket: &UdpSocket, queue: &mut Queue) -> Result<usize, Errno> {
            let mut sent = 0;
            for queued in queue.front() {
                let bytes = queue.bytes_of(queued);
                let outcome = match queued.to {
                    Some(address) => socket.send_to(bytes, address),
                    None => socket.send(bytes),
                };
                match outcome {
                    Ok(_) => sent += 1,
                    Err(error) if sent == 0 => return Err(errno(&error)),
                    Err(_) => break,
                }
            }
            Ok(sent)
        }
    }

    fn errno(error: &io::Error) -> Errno {
        error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)
    }
}
