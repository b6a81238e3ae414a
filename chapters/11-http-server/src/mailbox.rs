//! Messages from other threads, as events in the loop.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ch07_callbacks::{EventLoop, Interest, Source, Token, now};

/// Where another thread puts its messages. Clones are the same box.
pub struct Sender<T>(Arc<Shared<T>>);

struct Shared<T> {
    letters: Mutex<Vec<T>>,
    /// A byte in it wakes the loop: it waits for descriptors, and not for memory to
    /// change.
    bell: UnixStream,
}

/// The loop's end.
struct Mailbox<T> {
    shared: Arc<Shared<T>>,
    bell: UnixStream,
}

/// A box that other threads put messages into. `came` is called with each, in this loop.
///
/// # Errors
/// When the kernel has no descriptors for it.
pub fn mailbox<T: Send + 'static>(
    event_loop: &mut EventLoop,
    mut came: impl FnMut(&mut EventLoop, T) + 'static,
) -> io::Result<(Token, Sender<T>)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    let shared = Arc::new(Shared { letters: Mutex::default(), bell: theirs });
    let mailbox = Mailbox { shared: Arc::clone(&shared), bell: ours };
    let token = event_loop.add(mailbox, move |event_loop, me, _| {
        let Some(mailbox) = event_loop.get_mut::<Mailbox<T>>(me) else { return Ok(()) };
        // First the bell, then the box: a letter that comes in between rings again.
        mailbox.hear()?;
        let letters = std::mem::take(&mut *mailbox.shared.open());
        for letter in letters {
            event_loop.guard(None, |event_loop| came(event_loop, letter));
        }
        Ok(())
    });
    Ok((token, Sender(shared)))
}

impl<T> Sender<T> {
    /// Puts a message in. It never waits for the loop.
    pub fn send(&self, letter: T) {
        let mut letters = self.0.open();
        letters.push(letter);
        // The loop has been woken for the others already.
        if letters.len() == 1 {
            // When there is no room, there are enough bytes in it to wake anybody; when the
            // loop is gone, nobody reads its letters.
            let _ = (&self.0.bell).write(&[1]);
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Shared<T> {
    /// A thread that panicked with it left a whole list.
    fn open(&self) -> MutexGuard<'_, Vec<T>> {
        // waits: for as long as somebody puts one letter in
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Mailbox<T> {
    fn hear(&mut self) -> io::Result<()> {
        let mut rings = [0; 64];
        while now(self.bell.read(&mut rings))?.is_some_and(|count| count == rings.len()) {}
        Ok(())
    }
}

impl<T: 'static> Source for Mailbox<T> {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.bell.as_fd())
    }

    fn interest(&self) -> Interest {
        Interest::READ
    }
}
