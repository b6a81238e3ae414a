//! The folder that is served: its path may lead to another one tomorrow.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf, absolute};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ch07_callbacks::program::say;
use nix::errno::Errno;

use crate::path::Root;

// ANCHOR: fresh
/// For how long a file is taken for what it was: a change is seen
/// within a second.
pub(crate) const FRESH: Duration = Duration::from_millis(500);
// ANCHOR_END: fresh

/// A folder by its path, for all loops together. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Folder(Arc<Named>);

#[derive(Debug)]
struct Named {
    path: PathBuf,
    /// How often somebody has asked for it to be opened anew.
    renewals: AtomicU64,
    /// What was said of it last: each loop finds out for itself, and one of them tells.
    /// None: that it's gone.
    said: Mutex<Option<Identity>>,
}

/// Device and inode. No other folder gets the same, for as long as somebody has this one
/// open.
type Identity = (u64, u64);

/// What one loop has open of it.
#[derive(Debug)]
pub(crate) struct Held {
    folder: Folder,
    /// None: it's gone.
    root: Option<(Root, Identity)>,
    looked: Option<Duration>,
    renewals: u64,
}

impl Folder {
    /// Doesn't look yet whether there is one.
    pub fn new(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        // As it's called from here: if `.` is removed and made anew, `.` is still the old.
        let path = absolute(path).unwrap_or_else(|_| path.to_owned());
        Self(Arc::new(Named { path, renewals: AtomicU64::new(0), said: Mutex::default() }))
    }

    /// All loops open it anew, before they serve anything else of it.
    pub fn renew(&self) {
        self.0.renewals.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn open(&self) -> io::Result<Held> {
        let renewals = self.0.renewals.load(Ordering::Relaxed);
        let root = Root::open(&self.0.path)?;
        let identity = root.identity()?;
        *self.last_said() = Some(identity);
        Ok(Held { folder: self.clone(), root: Some((root, identity)), looked: None, renewals })
    }

    fn last_said(&self) -> std::sync::MutexGuard<'_, Option<Identity>> {
        self.0.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, now: Result<Identity, &io::Error>) {
        let path = self.0.path.display();
        let mut said = self.last_said();
        match (*said, now) {
            (Some(_), Err(error)) => say(&format!("{path} is gone ({error}): 404 for all")),
            (None, Ok(_)) => say(&format!("{path} is there again")),
            (Some(before), Ok(now)) if before != now => {
                say(&format!("{path} is another folder now: opened anew"));
            }
            _ => return,
        }
        *said = now.ok();
    }
}

impl Held {
    /// The folder. None: there is none.
    pub fn root(&self) -> Option<&Root> {
        self.root.as_ref().map(|(root, _)| root)
    }

    /// Looks where its path leads now, if that wasn't done a moment
    /// ago. True: somewhere else than before.
    ///
    /// # Errors
    /// When there is one that can't be opened just now, for want of
    /// descriptors, say.
    pub fn look(&mut self, now: Duration) -> io::Result<bool> {
        let path = &self.folder.0.path;
        let renewals = self.folder.0.renewals.load(Ordering::Relaxed);
        let is_asked = renewals != self.renewals;
        if !is_asked && self.looked.is_some_and(|looked| now < looked + FRESH) {
            return Ok(false);
        }
        // ANCHOR: look
        let before = self.root.as_ref().map(|(_, identity)| *identity);
        // waits: for the disk, at the most
        let there = fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
        let is_same = match &there {
            Ok(there) => !is_asked && before == Some(*there),
            // Where nobody can tell, it's what it was.
            Err(error) => !is_gone(error),
        };
        // ANCHOR_END: look
        if !is_same {
            self.root = match there.and_then(|_| Root::open(path)) {
                Ok(root) => {
                    let identity = root.identity()?;
                    self.folder.tell(Ok(identity));
                    Some((root, identity))
                }
                Err(error) if is_gone(&error) || is_closed(&error) => {
                    self.folder.tell(Err(&error));
                    None
                }
                Err(error) => return Err(error),
            };
        }
        (self.looked, self.renewals) = (Some(now), renewals);
        Ok(!is_same)
    }
}

/// There is no folder where the path leads.
fn is_gone(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP))
}

/// There is one, but not for us.
fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Later than any look before.
    fn later(now: &mut Duration) -> Duration {
        *now += FRESH;
        *now
    }

    #[test]
    fn it_is_opened_anew_when_it_is_another_one() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("root");
        fs::create_dir(&path).unwrap();
        let mut held = Folder::new(&path).open().unwrap();
        let mut now = Duration::ZERO;
        assert!(!held.look(now).unwrap(), "it's the same");
        fs::remove_dir(&path).unwrap();
        assert!(!held.look(now).unwrap(), "it was looked at a moment ago");
        assert!(held.look(later(&mut now)).unwrap());
        assert!(held.root().is_none());
        fs::write(&path, "no folder").unwrap();
        held.look(later(&mut now)).unwrap();
        assert!(held.root().is_none());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(held.look(later(&mut now)).unwrap());
        assert!(held.root().is_some());
        assert!(!held.look(later(&mut now)).unwrap());
        // Nobody has looked while it was away.
        fs::remove_dir(&path).unwrap();
        fs::create_dir(&path).unwrap();
        fs::write(path.join("page"), "new").unwrap();
        assert!(held.look(later(&mut now)).unwrap());
        assert!(held.root().unwrap().find(&[b"page".to_vec()]).unwrap().is_some());
    }

    #[test]
    fn asked_to_it_is_opened_anew_at_once() {
        let room = tempfile::tempdir().unwrap();
        let folder = Folder::new(room.path());
        let (mut one, mut other) = (folder.open().unwrap(), folder.open().unwrap());
        assert!(!one.look(Duration::ZERO).unwrap());
        folder.renew();
        for held in [&mut one, &mut other] {
            assert!(held.look(Duration::ZERO).unwrap());
            assert!(!held.look(Duration::ZERO).unwrap(), "once");
        }
    }

    #[test]
    fn a_path_is_what_it_was_when_it_was_given() {
        assert!(Folder::new(".").0.path.is_absolute());
    }
}
