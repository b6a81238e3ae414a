//! Hears of changes to the files that the book is made of.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

use crate::repo::Repo;

/// An editor saves in several steps, and a tool may write many files: this long without another
/// change, and they are done.
const QUIET: Duration = Duration::from_millis(50);

/// What has changed, as it's heard of.
pub struct Changes(Receiver<Vec<PathBuf>>);

impl Changes {
    /// Watches all folders that pages can show something of. The changes end when the watcher is
    /// dropped.
    ///
    /// # Errors
    /// If the system watches nothing more.
    pub fn watch(repo: &Repo) -> notify::Result<(RecommendedWatcher, Self)> {
        let (heard, changes) = channel();
        let src = repo.src();
        // Called in a thread of notify's own.
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Some were lost: then anything may have changed. So too after an error.
            let is_all = event.as_ref().map_or(true, Event::need_rescan);
            let paths = match event {
                _ if is_all => vec![src.clone()],
                // A build reads all files, and isn't to be done again for it.
                Ok(event) if !event.kind.is_access() => event.paths,
                _ => return,
            };
            // The receiver is gone only when we are ending.
            let _ = heard.send(paths);
        })?;
        // Folders, and not files: most editors put a new file in an old one's place.
        for folder in [repo.book(), repo.root().join("chapters"), repo.root().join("tests")] {
            if folder.is_dir() {
                watcher.watch(&folder, RecursiveMode::Recursive)?;
            }
        }
        Ok((watcher, Self(changes)))
    }

    /// The files that have changed, of those that `matter`, once there is quiet again. None: that
    /// was all, nobody watches any more.
    pub fn next(&self, matter: impl Fn(&Path) -> bool) -> Option<BTreeSet<PathBuf>> {
        let mut changed = BTreeSet::new();
        loop {
            let paths = if changed.is_empty() {
                self.0.recv().ok()? // waits: for a change
            } else {
                // waits: for the next one, a moment
                match self.0.recv_timeout(QUIET) {
                    Ok(paths) => paths,
                    Err(RecvTimeoutError::Timeout) => return Some(changed),
                    Err(RecvTimeoutError::Disconnected) => return None,
                }
            };
            changed.extend(paths.into_iter().filter(|path| matter(path)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_change_is_told_of_when_there_is_quiet_and_with_all_before_it() {
        let (heard, changes) = channel();
        let changes = Changes(changes);
        let began = Instant::now();
        for path in ["a.md", "b.md", "a.md", "other.rs"] {
            heard.send(vec![PathBuf::from(path)]).expect("somebody listens");
        }
        let is_page = |path: &Path| path.extension().is_some_and(|extension| extension == "md");
        let changed = changes.next(is_page).expect("something has changed");
        assert!(began.elapsed() >= QUIET, "an editor isn't done yet");
        assert_eq!(changed, BTreeSet::from(["a.md", "b.md"].map(PathBuf::from)));

        heard.send(vec![PathBuf::from("other.rs")]).expect("somebody listens");
        drop(heard);
        assert_eq!(changes.next(is_page), None, "nothing that matters, and then the end");
    }
}
