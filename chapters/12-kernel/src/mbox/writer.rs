//! The thread that writes: a disk that is slow stops no loop.

use std::io::{self, ErrorKind};
use std::iter;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;

use crate::mbox::{Entry, Mbox};

/// How long another program may have the mbox locked. Most take a moment.
const LOCKED: Duration = Duration::from_secs(5);
/// How often it's tried: no lock of the two tells when it's given back.
const AGAIN: Duration = Duration::from_millis(20);

/// Where messages go that are to be written. Dropped, what waits is still written.
#[derive(Debug)]
pub struct Writer<T>(SyncSender<Job<T>>);

/// A message, and whose it is.
#[derive(Debug)]
struct Job<T> {
    entry: Entry,
    ticket: T,
}

type Jobs<T> = Receiver<Job<T>>;

/// What the thread tells.
#[derive(Debug)]
pub enum Told<T> {
    /// This message is on the disk, or isn't and won't be.
    Written(T, Result<(), NotWritten>),
    /// All is written, and the thread ends.
    Ended,
}

/// Why a message isn't written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotWritten {
    /// There is no room for it.
    pub is_full: bool,
    /// In words.
    pub why: String,
}

impl<T: Send + 'static> Writer<T> {
    /// Starts the thread. `most`: how many messages may wait. `tell` is called in the thread.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        mbox: Mbox,
        most: usize,
        tell: impl Fn(Told<T>) + Send + 'static,
    ) -> io::Result<Self> {
        let (to, jobs) = sync_channel(most);
        let work = move || {
            // Signals are for the loop. And a file that may not grow any further (`ulimit -f`)
            // would end the program by SIGXFSZ; blocked, it's an error like any other.
            let _ = SigSet::all().thread_block();
            write(&mbox, &jobs, most, &tell);
            tell(Told::Ended);
        };
        thread::Builder::new().name("mbox".to_owned()).spawn(work)?;
        Ok(Self(to))
    }

    /// Has a message written. It never waits.
    ///
    /// # Errors
    /// When too many wait already.
    pub fn write(&self, entry: Entry, ticket: T) -> Result<(), NotWritten> {
        self.0.try_send(Job { entry, ticket }).map_err(|error| match error {
            TrySendError::Full(_) => NotWritten::new(true, "the disk can't keep up"),
            TrySendError::Disconnected(_) => NotWritten::new(false, "nobody writes any more"),
        })
    }
}

// ANCHOR: write
/// What the thread does. It takes all that wait at once: however many
/// they are, the disk is waited for once.
fn write<T>(mbox: &Mbox, jobs: &Jobs<T>, most: usize, tell: &impl Fn(Told<T>)) {
    // waits: for a message. This thread may: nobody waits for it
    while let Ok(first) = jobs.recv() {
        let all = iter::once(first).chain(jobs.try_iter().take(most));
        let (entries, tickets): (Vec<Entry>, Vec<T>) = all.map(Job::apart).unzip();
        let together = append(mbox, &entries);
        let is_full = together.as_ref().is_err_and(|error| error.is_full);
        let by_itself = is_full && entries.len() > 1;
        for (entry, ticket) in entries.into_iter().zip(tickets) {
            // One that is too large for what is left of the disk is no
            // reason to refuse the others.
            let result = match by_itself {
                true => append(mbox, &[entry]),
                false => together.clone(),
            };
            tell(Told::Written(ticket, result));
        }
    }
}
// ANCHOR_END: write

fn append(mbox: &Mbox, entries: &[Entry]) -> Result<(), NotWritten> {
    let until = Instant::now() + LOCKED;
    loop {
        // waits: for the disk
        match mbox.append(entries) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            result => return result.map_err(|error| NotWritten::from(&error)),
        }
        if Instant::now() >= until {
            return Err(NotWritten::new(false, "another program has locked the mbox"));
        }
        // waits: for the other program
        thread::sleep(AGAIN);
    }
}

impl<T> Job<T> {
    fn apart(self) -> (Entry, T) {
        (self.entry, self.ticket)
    }
}

impl NotWritten {
    fn new(is_full: bool, why: &str) -> Self {
        Self { is_full, why: why.to_owned() }
    }
}

impl From<&io::Error> for NotWritten {
    fn from(error: &io::Error) -> Self {
        let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge];
        Self { is_full: full.contains(&error.kind()), why: error.to_string() }
    }
}
