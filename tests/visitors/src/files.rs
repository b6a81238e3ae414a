//! Files that stay whole whatever happens, and files that are an editor's and nobody else's.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;

/// A file's new contents, written beside it. [`Beside::put`] puts them in its place, in one step: whoever is
/// interrupted, or finds the disk full, leaves the old file as it was.
#[derive(Debug)]
pub struct Beside {
    beside: PathBuf,
    path: PathBuf,
}

impl Beside {
    /// Writes `text` beside `path`, in a file with a name of this process's own: `.NAME.PID.new`.
    ///
    /// # Errors
    /// What writing gives. Then nothing is left of it.
    pub fn write(path: &Path, text: &str) -> io::Result<Self> {
        let written = Self::new(path);
        let mut file = File::create(&written.beside)?;
        file.write_all(text.as_bytes())?;
        if let Ok(old) = fs::metadata(&written.path) {
            file.set_permissions(old.permissions())?;
        }
        // Else a machine that goes down now may have the new name, and none of the text.
        file.sync_all()?;
        Ok(written)
    }

    /// Copies the file `from` beside `path`.
    ///
    /// # Errors
    /// What copying gives. Then nothing is left of it.
    pub fn copy(from: &Path, path: &Path) -> io::Result<Self> {
        let written = Self::new(path);
        fs::copy(from, &written.beside)?;
        File::open(&written.beside)?.sync_all()?;
        Ok(written)
    }

    fn new(path: &Path) -> Self {
        // Through a link: what it leads to is replaced, and not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!(".{}.{}.new", name.trim_start_matches('.'), process::id());
        Self { beside: path.with_file_name(name), path }
    }

    /// Puts the new contents in the old ones' place.
    ///
    /// # Errors
    /// What renaming gives. Then the old ones are still there.
    pub fn put(self) -> io::Result<()> {
        fs::rename(&self.beside, &self.path)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // After `put` there is none: it has the other name.
        let _ = fs::remove_file(&self.beside);
    }
}

/// Writes a file, whole or not at all.
///
/// # Errors
/// What writing or renaming gives. Then the old file, if there was one, is as it was.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    Beside::write(path, text)?.put()
}

/// What editors call their copies and half-written files, behind the last dot.
const ENDINGS: [&str; 7] = ["bak", "bck", "new", "swo", "swp", "swx", "tmp"];

/// Whether this is a file that an editor puts beside the one that somebody writes: a lock, a backup, what it is
/// just writing. They come and go at every key, may be links to nowhere, and nothing is made of them.
pub fn is_an_editors(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    // Emacs: `.#a.rs` is a lock, `#a.rs#` what isn't saved yet. vim: `.a.rs.swp`. gedit, Kate: `.` and more.
    name.starts_with(['.', '#'])
        // A backup: `a.rs~`.
        || name.ends_with('~')
        || ENDINGS.contains(&&*ending)
        // JetBrains: `a.rs___jb_tmp___`, `a.rs___jb_old___`.
        || name.contains("___jb_")
        // vim tries whether it may write to the folder: `4913`, and other numbers where that is taken.
        || !name.is_empty() && name.chars().all(|letter| letter.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(".#pieces.rs")]
    #[case("#pieces.rs#")]
    #[case("pieces.rs~")]
    #[case(".pieces.rs.swp")]
    #[case(".pieces.rs.swx")]
    #[case("4913")]
    #[case("5036")]
    #[case("pieces.rs___jb_tmp___")]
    #[case("pieces.rs___jb_old___")]
    #[case(".goutputstream-A1B2C3")]
    #[case("pieces.rsAbC123.bck")]
    #[case(".pieces.rs.77.new")]
    fn these_are_an_editors(#[case] name: &str) {
        assert!(is_an_editors(&Path::new("/home/you/exercises").join(name)));
    }

    #[rstest]
    #[case("pieces.rs")]
    #[case("04-select.md")]
    #[case("dot.svg")]
    #[case("404.md")]
    #[case("a#b.rs")]
    fn these_are_not(#[case] name: &str) {
        assert!(!is_an_editors(&Path::new("/home/.you/#1").join(name)));
    }

    #[test]
    fn what_is_not_put_leaves_the_old_file_and_nothing_beside_it() {
        let folder = std::env::temp_dir().join(format!("files-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("kept.txt");
        fs::write(&path, "old").unwrap();
        let new = Beside::write(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old", "an interruption would leave it so");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        drop(new);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        write(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }
}
