//! Where connections come in.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::event_loop::EventLoop;
use crate::readiness::{Interest, now};
use crate::slots::Token;
use crate::source::Source;

/// How many are let in during one turn: those who are here already want to be served
/// too.
const AT_ONCE: usize = 64;
/// How long to let things calm down when the kernel has no descriptor left for us.
const PAUSE: Duration = Duration::from_millis(100);

// ANCHOR: listener
/// A listener, in the loop.
pub struct Listener {
    socket: TcpListener,
    /// Until then nobody is let in. Without a descriptor to give, the kernel lets
    /// nobody in, and the listener stays ready: asked about, it would make a loop that
    /// never waits.
    shut_until: Option<Instant>,
}

impl Source for Listener {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn interest(&self) -> Interest {
        Interest { read: self.shut_until.is_none(), write: false }
    }

    fn patience(&self) -> Option<Duration> {
        Some(self.shut_until?.saturating_duration_since(Instant::now()))
    }
}
// ANCHOR_END: listener

impl Listener {
    /// Of a socket that doesn't wait.
    ///
    /// # Errors
    /// When it can't be told so.
    pub fn new(socket: TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket, shut_until: None })
    }

    /// The next one who is there; `None` when there is nobody, or it's shut.
    ///
    /// # Errors
    /// When somebody can't be let in. Unless it was they who left, it's shut for a
    /// moment.
    pub fn accept(&mut self) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        if let Some(left) = self.patience() {
            // Open again, the next wait tells whether anybody is there.
            self.shut_until = self.shut_until.filter(|_| !left.is_zero());
            return Ok(None);
        }
        let accepted = now(self.socket.accept());
        // Somebody who has left again while we came to the door (not on Linux) is no
        // reason to shut it.
        let is_trouble = |error: &io::Error| error.kind() != ErrorKind::ConnectionAborted;
        if accepted.as_ref().is_err_and(is_trouble) {
            self.shut_until = Some(Instant::now() + PAUSE);
        }
        accepted
    }
}

impl EventLoop {
    /// Takes over a listener. `came` is called for each connection that comes in, and
    /// for each that couldn't: then nobody is let in for a moment.
    ///
    /// # Errors
    /// When it can't be told not to wait.
    pub fn listen(
        &mut self,
        listener: TcpListener,
        mut came: impl FnMut(&mut Self, io::Result<(Token, SocketAddr)>) + 'static,
    ) -> io::Result<Token> {
        Ok(self.add(Listener::new(listener)?, move |event_loop, me, _| {
            for _ in 0..AT_ONCE {
                // It may have been closed by whoever it has let in.
                let Some(listener) = event_loop.get_mut::<Listener>(me) else { break };
                let accepted = listener.accept();
                let Some(accepted) = accepted.transpose() else { break };
                let added =
                    accepted.and_then(|(socket, from)| Ok((event_loop.add_socket(socket)?, from)));
                let failed = added.is_err();
                // If it panics, that is the end of the new one, and not of the door.
                let answerable = added.as_ref().ok().map(|(connection, _)| *connection);
                event_loop.guard(answerable, |event_loop| came(event_loop, added));
                if failed {
                    break;
                }
            }
            Ok(())
        }))
    }
}
