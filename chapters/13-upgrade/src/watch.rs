//! Notices when a file has been replaced (inotify(7)).

use std::cell::Cell;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::{EventLoop, Interest, Source, now};
use ch09_timers::{Timer, Timers};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// Whoever copies a file writes it piece by piece: so long nothing may happen to it.
const QUIET: Duration = Duration::from_millis(200);

struct Folder(Inotify);

/// Calls `replaced` when another file lies there, or another content, and nobody writes any more.
///
/// # Errors
/// When its folder can't be watched.
pub fn watch(
    event_loop: &mut EventLoop,
    timers: Timers,
    file: &Path,
    replaced: impl Fn(&mut EventLoop) + 'static,
) -> io::Result<()> {
    let name: OsString =
        file.file_name().ok_or_else(|| io::Error::other("it has no name"))?.to_owned();
    let folder = file.parent().unwrap_or(Path::new("/"));
    // The folder, and not the file: one that is put in its place is another file.
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    // Another name for a file that was written elsewhere is created, and no more: cargo's are.
    let events = AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_MODIFY
        | AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVED_TO;
    inotify.add_watch(folder, events)?;
    let replaced = Rc::new(replaced);
    let timer: Rc<Cell<Option<Timer>>> = Rc::default();
    event_loop.add(Folder(inotify), move |event_loop, me, _| {
        let Some(folder) = event_loop.get::<Folder>(me) else { return Ok(()) };
        let events = now(folder.0.read_events().map_err(io::Error::from))?.unwrap_or_default();
        if events.iter().all(|event| event.name.as_ref() != Some(&name)) {
            return Ok(());
        }
        if let Some(earlier) = timer.take() {
            timers.cancel(event_loop, earlier);
        }
        let replaced = Rc::clone(&replaced);
        timer.set(Some(timers.after(event_loop, QUIET, move |event_loop| replaced(event_loop))));
        Ok(())
    });
    Ok(())
}

impl Source for Folder {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    fn interest(&self) -> Interest {
        Interest::READ
    }
}
