//! What the loop owns, and how it ends.

use std::any::Any;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::event_loop::EventLoop;
use crate::readiness::{Interest, Readiness};
use crate::slots::Token;

// ANCHOR: source
/// Something that can be waited for. The loop owns it, and with it its
/// descriptor.
pub trait Source: Any {
    /// What the kernel is asked about: the same one for as long as the
    /// loop owns the source. `None` for a source that has only
    /// [patience](Self::patience).
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;

    /// What it waits for now.
    fn interest(&self) -> Interest;

    // ANCHOR: patience
    /// How long it is willing to wait at the most; then its handler is
    /// called in any case. `None`: for as long as it takes.
    fn patience(&self) -> Option<Duration> {
        None
    }
    // ANCHOR_END: patience

    /// Sends what has been queued, as far as there is room: called
    /// before a wait, when the source may have changed.
    ///
    /// # Errors
    /// Those that end the source.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Whether nothing will ever happen to it again.
    fn is_over(&self) -> bool {
        false
    }

    /// It's no longer in the loop, and its token names nobody any more.
    /// Called once, whatever ended it, and never in the middle of
    /// another callback.
    fn closed(self: Box<Self>, _event_loop: &mut EventLoop, _token: Token, _ending: Ending) {}
}
// ANCHOR_END: source

/// Why a source isn't in the loop any more.
#[derive(Debug)]
pub enum Ending {
    /// It was over: on a connection, both sides have finished.
    Finished,
    /// Somebody here called [`EventLoop::close`].
    Closed,
    /// A call on its descriptor failed.
    Failed(io::Error),
    /// Its callback panicked.
    Panicked,
}

/// What is called when a source is ready. An error ends the source.
pub type Handler = Box<dyn FnMut(&mut EventLoop, Token, Readiness) -> io::Result<()>>;
