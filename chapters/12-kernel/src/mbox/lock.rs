//! Who may write to an mbox, and what has become of one who was killed.
//!
//! Mail programs lock an mbox in one of two ways, or in both: by the kernel (`fcntl`), and by a
//! file beside it, `NAME.lock`. Debian asks for both, in this order (Policy Manual, section 11.6).
//! Postfix takes both, and so does Python's `mailbox`; `dotlockfile` makes the file. `flock`, which
//! BSD's programs use, is a third lock on Linux, and none of those looks at it.
//!
//! The kernel takes its lock back from a program that is killed. The other one stays, which is a
//! nuisance with most programs. Here it's of use: it says how long the mbox was, and how long it
//! was to become. So the next one finds out what to cut off.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process;

use ch07_callbacks::program::say;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// What stands behind the process's number in a lock of ours.
const MARK: &str = "grows: ";

/// Held, nobody else writes to the mbox who asks for leave. Dropped, it's given back.
#[derive(Debug)]
pub struct Lock<'a> {
    file: &'a File,
    /// The file beside it, once it's there.
    beside: PathBuf,
    is_there: bool,
}

impl<'a> Lock<'a> {
    // ANCHOR: take
    /// Locks `file`, which is at `path`, for all who ask the kernel, and cuts off what somebody has
    /// left there who was killed.
    ///
    /// # Errors
    /// `WouldBlock`: somebody else has it.
    pub fn take(file: &'a File, path: &Path) -> io::Result<Self> {
        let whole = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        match fcntl(file, lock(&whole)) {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => return Err(ErrorKind::WouldBlock.into()),
            Err(error) => return Err(error.into()),
        }
        let lock = Self { file, beside: with(path, ".lock"), is_there: false };
        lock.mend()?;
        Ok(lock)
    }

    /// Whoever makes a lock such as ours has the kernel's too. As that is ours now, they are dead.
    fn mend(&self) -> io::Result<()> {
        let noted = match fs::read(&self.beside) {
            Ok(text) => noted(&text).ok_or(ErrorKind::WouldBlock)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let (begin, end) = noted;
        let length = self.file.metadata()?.len();
        // As long as it was to become, it's whole: only its lock was left.
        if begin < length && length < end {
            self.file.set_len(begin)?;
            self.file.sync_data()?;
            let left = length - begin;
            say(&format!("mbox: cut off {left} bytes of a message that was never whole"));
        }
        fs::remove_file(&self.beside)
    }
    // ANCHOR_END: take

    // ANCHOR: note
    /// Locks it for all the others, before it grows.
    ///
    /// # Errors
    /// `WouldBlock`: somebody else has it, or has had it just now.
    pub fn note(&mut self, begin: u64, end: u64) -> io::Result<()> {
        let new = with(&self.beside, ".new");
        // Somebody who was killed may have left one. It's no way to another file, either: what is
        // made below is new, or isn't made.
        let _ = fs::remove_file(&new);
        let made = self.make(&new, &format!("{}\n{MARK}{begin} {end}\n", process::id()));
        let _ = fs::remove_file(&new);
        made?;
        self.is_there = true;
        match self.file.metadata()?.len() == begin {
            true => Ok(()),
            false => Err(ErrorKind::WouldBlock.into()),
        }
    }

    /// It's there with all that it says, or it isn't there. On the disk it's there before the mbox
    /// grows: a machine can lose its power, too.
    fn make(&self, new: &Path, text: &str) -> io::Result<()> {
        let mut file = File::create_new(new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::hard_link(new, &self.beside).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => ErrorKind::WouldBlock.into(),
            _ => error,
        })
    }
    // ANCHOR_END: note

    /// Unless the mbox was cut back, what is noted is still needed.
    pub fn keep_unless(&mut self, cut: io::Result<()>) {
        self.is_there &= cut.is_ok();
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        if self.is_there {
            // If it can't be removed now, it's done by whoever comes next.
            let _ = fs::remove_file(&self.beside);
        }
    }
}

/// Two files of one program are two owners.
#[cfg(target_os = "linux")]
fn lock(whole: &libc::flock) -> FcntlArg<'_> {
    FcntlArg::F_OFD_SETLK(whole)
}

/// The program is the owner: two servers in one mustn't share an mbox.
#[cfg(not(target_os = "linux"))]
fn lock(whole: &libc::flock) -> FcntlArg<'_> {
    FcntlArg::F_SETLK(whole)
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

/// How long the mbox was, and was to become, in bytes. None: it's no lock of ours.
fn noted(text: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(text).ok()?;
    let (begin, end) = text.lines().nth(1)?.strip_prefix(MARK)?.split_once(' ')?;
    Some((begin.parse().ok()?, end.parse().ok()?))
}
