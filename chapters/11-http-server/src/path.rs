//! From a path in a request to a file below a folder, and never to one elsewhere.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use percent_encoding::percent_decode_str;

// ANCHOR: names
/// The names that a request's path is made of, percent-decoded, and
/// whether it ends with a slash. None: it isn't one that we look for.
///
/// Each name is looked at after it was decoded: before, `%2e%2e` isn't
/// `..` yet. One that begins with a dot is refused: `.` and `..` are
/// among those, and files that somebody has hidden. Only a path's first
/// name may be `.well-known`: what lies there is meant for strangers
/// (RFC 8615).
pub fn names(path: &str) -> Option<(Vec<Vec<u8>>, bool)> {
    let path = path.strip_prefix('/')?;
    let (path, is_folder) = match path.strip_suffix('/') {
        Some(path) => (path, true),
        None => (path, path.is_empty()),
    };
    if path.is_empty() {
        return Some((Vec::new(), is_folder));
    }
    let is_good = |name: &Vec<u8>| {
        // A slash in a name would be two names, on Windows a backslash,
        // too, and at a NUL the kernel would stop reading.
        let is_odd = |byte: &u8| matches!(byte, b'/' | b'\\' | 0..=0x1f | 0x7f);
        !name.is_empty() && name[0] != b'.' && !name.iter().any(is_odd)
    };
    let names = path.split('/').map(|name| percent_decode_str(name).collect::<Vec<u8>>());
    let names: Vec<_> = names.collect();
    let first = usize::from(names[0] == b".well-known");
    names[first..].iter().all(is_good).then_some((names, is_folder))
}
// ANCHOR_END: names

/// A folder, held open: what is below it is found from there, whatever becomes of its
/// name.
#[derive(Debug)]
pub struct Root(OwnedFd);

impl Root {
    /// Opens a folder.
    ///
    /// # Errors
    /// When it can't be opened, or isn't a folder.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(open(
            path,
            OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?))
    }

    /// Device and inode.
    pub(crate) fn identity(&self) -> io::Result<(u64, u64)> {
        let metadata = File::from(self.0.try_clone()?).metadata()?;
        Ok((metadata.dev(), metadata.ino()))
    }

    /// The file of these names. One step at a time, and none by a link: wherever a link
    /// leads, it isn't followed. None: there is none that may be read.
    ///
    /// # Errors
    /// When it can't be told, for want of descriptors, say.
    pub fn find(&self, names: &[Vec<u8>]) -> io::Result<Option<File>> {
        let mut folder: Option<OwnedFd> = None;
        // ANCHOR: step
        for (step, name) in names.iter().enumerate() {
            let mut flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            // Opened to be read, a named pipe would wait for somebody to write.
            flags |= OFlag::O_NONBLOCK;
            if step + 1 < names.len() {
                flags |= OFlag::O_DIRECTORY;
            }
            let within = folder.as_ref().unwrap_or(&self.0);
            folder = match openat(within.as_fd(), name.as_slice(), flags, Mode::empty()) {
                Ok(descriptor) => Some(descriptor),
                // ANCHOR_END: step
                Err(
                    Errno::ENOENT
                    | Errno::ENOTDIR
                    | Errno::ELOOP
                    | Errno::EACCES
                    | Errno::EPERM
                    | Errno::ENAMETOOLONG
                    | Errno::EMLINK
                    | Errno::ENXIO
                    | Errno::EINVAL,
                ) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
        }
        match folder {
            Some(descriptor) => Ok(Some(File::from(descriptor))),
            None => Ok(Some(File::from(self.0.try_clone()?))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_with_a_dot_is_meant_for_strangers() {
        let found = |path| names(path).map(|(names, _)| names.len());
        assert_eq!(found("/.well-known"), Some(1));
        assert_eq!(found("/.well-known/"), Some(1));
        assert_eq!(found("/.well-known/security.txt"), Some(2));
        // Decoded, it's the same name.
        assert_eq!(found("/%2Ewell-known/acme-challenge/a"), Some(3));
        for hidden in [
            "/.well-known/.hidden",
            "/.well-known/../secret",
            "/.well-known/.well-known",
            "/.well-known//a",
            "/sub/.well-known/a",
            "//.well-known/a",
            "/.well-known.txt",
            "/.Well-Known/a",
            "/.well",
            "/.",
            "/..",
            "/.git/config",
        ] {
            assert_eq!(found(hidden), None, "{hidden}");
        }
    }
}
