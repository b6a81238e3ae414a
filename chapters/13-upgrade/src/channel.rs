//! The channel between a program and the one that takes its place: packets of bytes, and
//! descriptors with them (unix(7), `SCM_RIGHTS`).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ch07_callbacks::now;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// How many descriptors one packet may have: the kernel takes no more (SCM_MAX_FD).
pub const MOST_DESCRIPTORS: usize = 253;
/// The longest packet, in bytes. All that is long goes in a file (see [`crate::state`]).
pub const LONGEST: usize = 4096;

/// What a packet with all of them needs besides its bytes.
const SPACE: usize = rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS));
const NO_ROOM: &str = "there was no room for all descriptors (ulimit -n)";

/// One end. None of its calls waits.
#[derive(Debug)]
pub struct Channel(OwnedFd);

/// What has come.
#[derive(Debug)]
pub struct Packet {
    pub bytes: Vec<u8>,
    pub descriptors: Vec<OwnedFd>,
}

impl Channel {
    /// Both ends. No other program has them by accident: they're closed where another program is
    /// started, unless they're given to it.
    ///
    /// # Errors
    /// When the kernel has no descriptors for them.
    pub fn pair() -> io::Result<(Self, Self)> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        Ok((Self(ours), Self(theirs)))
    }

    /// Sends a packet, whole or not at all. False: there is no room.
    ///
    /// # Errors
    /// When nobody is there any more, or the kernel won't pass these descriptors on.
    pub fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<bool> {
        let mut space = [MaybeUninit::uninit(); SPACE];
        let mut with = SendAncillaryBuffer::new(&mut space);
        let too_many = descriptors.len() > MOST_DESCRIPTORS;
        let rights = SendAncillaryMessage::ScmRights(descriptors);
        if too_many || !descriptors.is_empty() && !with.push(rights) {
            return Err(io::Error::other("too many descriptors for one packet"));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let sent = sendmsg(&self.0, &[IoSlice::new(bytes)], &mut with, flags);
        Ok(now(sent.map_err(io::Error::from))?.is_some())
    }

    // ANCHOR: receive
    /// The next packet. None: there is none yet. An empty one without
    /// descriptors is the end: the other side is gone.
    ///
    /// # Errors
    /// When not all of its descriptors have come: those that found no
    /// free place here have been closed by the kernel, without a word but
    /// a flag.
    pub fn receive(&self) -> io::Result<Option<Packet>> {
        let mut space = [MaybeUninit::uninit(); SPACE];
        let mut with = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = vec![0; LONGEST];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let into = &mut [IoSliceMut::new(&mut bytes)];
        let received = recvmsg(&self.0, into, &mut with, flags);
        let received = now(received.map_err(io::Error::from))?;
        let Some(message) = received else { return Ok(None) };
        let mut descriptors = Vec::new();
        for came in with.drain() {
            if let RecvAncillaryMessage::ScmRights(these) = came {
                descriptors.extend(these);
            }
        }
        if message.flags.contains(ReturnFlags::CTRUNC) {
            return Err(io::Error::other(NO_ROOM));
        }
        if message.flags.contains(ReturnFlags::TRUNC) {
            return Err(io::Error::other("a packet is too long"));
        }
        bytes.truncate(message.bytes);
        Ok(Some(Packet { bytes, descriptors }))
    }
    // ANCHOR_END: receive
}

impl From<OwnedFd> for Channel {
    fn from(socket: OwnedFd) -> Self {
        Self(socket)
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.0
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
