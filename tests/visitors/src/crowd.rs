//! The crowd: very many connections, held by one thread, that say nothing and stay.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::answer::status;
use crate::destination::Destination;
use crate::doing;
use crate::line::{Bounds, Failure, Line, is_hang_up};
use crate::part::{Doing, Part};
use crate::tcp;

/// How many of a crowd knock at the same time. A server's queue has room for 128 at least; who
/// doesn't fit is turned away by the kernel, and tries again only after a whole second.
const AT_THE_DOOR: usize = 64;

/// The rest before the next ones knock: who is let in by the kernel still stands in that queue,
/// until the server accepts.
const BETWEEN_KNOCKS: Duration = Duration::from_millis(10);

/// Descriptors that this process needs besides the visitors': its files, pipes, and some air.
const OTHER_DESCRIPTORS: usize = 64;

/// How each of a crowd fared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fared {
    /// How many there were.
    pub size: usize,
    /// How many were connected, be it for a short time: as the server's system sees it, where that is this one
    /// and tells (Linux), and else as the visitors' does.
    pub connected: usize,
    /// How many were connected until the end.
    pub stayed: usize,
    /// How many were refused: nobody listened.
    pub refused: usize,
    /// How many were sent away with an answer, for each status.
    pub sent_away: BTreeMap<u16, usize>,
    /// How many were hung up on, without an answer.
    pub hung_up_on: usize,
    /// How many were never connected, and never refused.
    pub left_outside: usize,
    /// When each had been connected, or refused, from the beginning on; or when the time was over.
    pub all_called: Duration,
    /// What went wrong on the visitors' own side, for the last one for which something did.
    pub error: Option<String>,
}

enum Member {
    /// At the address of this number.
    Knocking(Line, usize),
    Inside {
        line: Line,
        heard: Vec<u8>,
    },
    Gone,
}

/// A member's first bytes tell why it is sent away: `HTTP/1.1 503`.
const STATUS_LINE: usize = 16;

/// Connects a crowd and keeps it there until the bounds are over.
pub(crate) fn stay(size: usize, destination: &Destination, bounds: &Bounds, part: &Part) -> Fared {
    let began = Instant::now();
    let mut fared = Fared { size, ..Fared::default() };
    let mut members: Vec<Member> = Vec::new();
    let mut outside = size;
    let mut next_knock = began;
    loop {
        if Instant::now() >= next_knock {
            let room = AT_THE_DOOR.saturating_sub(count_knocking(&members));
            for _ in 0..outside.min(room) {
                outside -= 1;
                let (number, address) = destination.current();
                match Line::begin(address) {
                    Ok(line) => {
                        if let Some(port) = line.port() {
                            doing::call(port, address.port(), "crowd");
                        }
                        members.push(Member::Knocking(line, number));
                    }
                    Err(error) => match destination.next_after(number, error) {
                        Ok(()) => outside += 1,
                        Err(error) => fared.turn_away(&error),
                    },
                }
            }
            next_knock = Instant::now() + BETWEEN_KNOCKS;
        }
        if fared.all_called.is_zero() && outside == 0 && count_knocking(&members) == 0 {
            fared.all_called = began.elapsed();
            if fared.connected > 0 {
                part.now(Doing::Silent);
            }
            part.is_in_line();
        }
        // Nobody is left to stay, and nobody comes any more.
        if outside == 0 && members.iter().all(|m| matches!(m, Member::Gone)) {
            break;
        }
        let time = if outside > 0 { BETWEEN_KNOCKS } else { bounds.time_left() };
        match wait(&members, time, bounds) {
            Ok(ready) => {
                for (index, flags) in ready {
                    if members[index].look(flags, destination, &mut fared) {
                        outside += 1;
                    }
                    part.goes_on();
                }
            }
            Err(Failure::Over) => break,
            Err(Failure::Io(error)) => {
                fared.error = Some(error.to_string());
                break;
            }
        }
    }
    if fared.all_called.is_zero() {
        fared.all_called = began.elapsed();
    }
    let mut inside: BTreeSet<u16> = members.iter().filter_map(Member::inside_from).collect();
    fared.stayed = inside.len();
    fared.left_outside += outside + count_knocking(&members);
    tcp::keep_established(destination.current().1.port(), &mut inside);
    let half_way = fared.stayed - inside.len();
    fared.stayed -= half_way;
    fared.connected -= half_way;
    fared.left_outside += half_way;
    fared
}

fn count_knocking(members: &[Member]) -> usize {
    let knocking = |member: &&Member| matches!(member, Member::Knocking(..));
    members.iter().filter(knocking).count()
}

/// Waits until something happens to one of them, at the longest for `time`, and says to whom, and what.
fn wait(
    members: &[Member],
    time: Duration,
    bounds: &Bounds,
) -> Result<Vec<(usize, PollFlags)>, Failure> {
    let mut who = Vec::new();
    let mut sockets = Vec::new();
    for (index, member) in members.iter().enumerate() {
        let (line, wanted) = match member {
            Member::Knocking(line, _) => (line, PollFlags::POLLOUT),
            Member::Inside { line, .. } => (line, PollFlags::POLLIN),
            Member::Gone => continue,
        };
        who.push(index);
        sockets.push((line.descriptor(), wanted));
    }
    let ready = bounds.wait(&sockets, time)?;
    let ready = who.into_iter().zip(ready);
    Ok(ready.filter(|(_, flags)| !flags.is_empty()).collect())
}

impl Member {
    /// Its port, if it's inside as far as it knows.
    ///
    /// A full server may have it half-way in: the two systems have greeted each other, and then the server's had
    /// no room left in its queue, and dropped the last word. The visitor's own system calls that connected, the
    /// server's doesn't know of it. How many these are depends on how busy the machine is.
    fn inside_from(&self) -> Option<u16> {
        match self {
            Self::Inside { line, .. } => line.port(),
            Self::Knocking(..) | Self::Gone => None,
        }
    }

    /// Something has happened to it. True if it is to knock at another address.
    fn look(&mut self, flags: PollFlags, destination: &Destination, fared: &mut Fared) -> bool {
        let mut knocks_again = false;
        *self = match std::mem::replace(self, Self::Gone) {
            Self::Knocking(line, number) => match line.is_connected_after(&[flags]) {
                Ok(false) => Self::Knocking(line, number),
                Ok(true) => {
                    fared.connected += 1;
                    let heard = Vec::new();
                    Self::Inside { line, heard }
                }
                // Connected, and reset before we looked.
                Err(error) if is_hang_up(&error) => {
                    fared.connected += 1;
                    fared.hung_up_on += 1;
                    Self::Gone
                }
                Err(error) => {
                    match destination.next_after(number, error) {
                        Ok(()) => knocks_again = true,
                        Err(error) => fared.turn_away(&error),
                    }
                    Self::Gone
                }
            },
            Self::Inside { mut line, mut heard } => {
                let mut buffer = [0; 4096];
                match line.receive_now(&mut buffer) {
                    Ok(None) => Self::Inside { line, heard },
                    Ok(Some(count)) if count > 0 => {
                        let room = STATUS_LINE - heard.len();
                        heard.extend_from_slice(&buffer[..count.min(room)]);
                        Self::Inside { line, heard }
                    }
                    Ok(Some(_)) | Err(_) => {
                        match status(&heard) {
                            Some(status) => *fared.sent_away.entry(status).or_default() += 1,
                            None => fared.hung_up_on += 1,
                        }
                        Self::Gone
                    }
                }
            }
            Self::Gone => Self::Gone,
        };
        knocks_again
    }
}

impl Fared {
    fn turn_away(&mut self, error: &io::Error) {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            self.refused += 1;
        } else {
            self.left_outside += 1;
            self.error = Some(error.to_string());
        }
    }
}

/// Raises this process's limit on descriptors as far as it may, for so many visitors at once.
/// Programs started later inherit it.
///
/// # Errors
/// A sentence that says how to raise it, when it's still too low.
pub fn make_room(sockets: usize) -> Result<(), String> {
    let needed = (sockets + OTHER_DESCRIPTORS) as u64;
    let allowed = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if needed <= soft {
            return Ok(soft);
        }
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        Ok(hard)
    });
    match allowed {
        Ok(allowed) if needed <= allowed => Ok(()),
        Ok(allowed) => Err(format!(
            "so many visitors need {needed} descriptors, and a process may have {allowed} here: \
             raise that limit first (ulimit -n {needed}; it may need the administrator), or bring a smaller crowd"
        )),
        Err(errno) => Err(format!(
            "so many visitors need {needed} descriptors, and the limit can't be raised ({}): \
             try ulimit -n {needed} first, or bring a smaller crowd",
            errno.desc()
        )),
    }
}
