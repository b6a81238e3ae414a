//! Messages in a file: an mbox, as most mail programs read it (RFC 4155; `mboxrd`).
//!
//! Each message stands behind a line that begins with `From `, and lines of its own that look like
//! one have a `>` in front. [`Mbox::append`] writes all of a message or nothing.
//!
//! Everything here may wait for the disk: see [`writer`] for who calls it.

mod lock;
pub mod writer;

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ch07_callbacks::program::say;

use crate::date;
use crate::mbox::lock::Lock;

/// Mail is for its owner to read, and for nobody else.
const MODE: u32 = 0o600;
/// How much is written in one call, in bytes.
const PIECE: usize = 64 * 1024;
/// How the line in front of a message begins.
const FROM: &[u8] = b"From ";
/// What the line in front of a message says where it has no sender.
const NO_SENDER: &str = "MAILER-DAEMON";

/// A message, as it's to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whom to answer, without brackets. Empty: nobody.
    pub sender: String,
    /// When it has come.
    pub at: SystemTime,
    /// Fields in front of its own. Each ends in CR LF.
    pub fields: String,
    /// The message. Lines end in CR LF.
    pub text: Vec<u8>,
}

/// A file of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mbox {
    path: PathBuf,
}

impl Mbox {
    /// The file of this name; it's made if there is none. If a program was killed while it wrote a
    /// message there, what it has left of that is cut off.
    ///
    /// # Errors
    /// When it can't be written to, isn't a file, or no lock can be made beside it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mbox = Self { path: path.to_owned() };
        // Somebody else may be writing. That is no reason not to start.
        mbox.append(&[]).or_else(|error| match error.kind() {
            ErrorKind::WouldBlock => {
                let path = path.display();
                say(&format!(
                    "mail: another program has locked {path}: nothing is kept until it's done"
                ));
                Ok(())
            }
            _ => Err(error),
        })?;
        Ok(mbox)
    }

    // ANCHOR: append
    /// Puts messages behind those that are there: all of them, or none.
    /// When it returns they are on the disk.
    ///
    /// # Errors
    /// When the disk is full, or fails. `WouldBlock`: another program has
    /// locked the file.
    pub fn append(&self, entries: &[Entry]) -> io::Result<()> {
        let file = self.file()?;
        let mut lock = Lock::take(&file, &self.path)?;
        self.is_still(&file)?;
        let begin = file.metadata()?.len();
        let separator = if entries.is_empty() { b"" } else { separator(&file, begin)? };
        let mut length = Length(0);
        write(&mut length, separator, entries)?;
        lock.note(begin, begin + length.0)?;
        let written = write_to(&file, separator, entries);
        let synced = written.and_then(|()| self.sync(&file, begin));
        if let Err(error) = synced {
            // Cut back, or the half of it would be the beginning of the
            // next message. If that fails too, the lock stays, and says
            // where to cut.
            lock.keep_unless(file.set_len(begin).and_then(|()| file.sync_data()));
            return Err(error);
        }
        Ok(())
    }
    // ANCHOR_END: append

    /// Opened anew each time: the one that was there may have been moved away.
    fn file(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).mode(MODE).open(&self.path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it's not a file"));
        }
        Ok(file)
    }

    /// What we have locked is what others see under that name.
    fn is_still(&self, file: &File) -> io::Result<()> {
        let (ours, theirs) = (file.metadata()?, std::fs::metadata(&self.path)?);
        if (ours.dev(), ours.ino()) != (theirs.dev(), theirs.ino()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(())
    }

    fn sync(&self, file: &File, begin: u64) -> io::Result<()> {
        file.sync_data()?;
        if begin == 0 {
            // The file may be new: then its name isn't on the disk either.
            File::open(folder_of(&self.path))?.sync_all()?;
        }
        Ok(())
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// What is missing of the empty line in front of a message: others may have left the file without.
fn separator(file: &File, length: u64) -> io::Result<&'static [u8]> {
    // In front of the first message there is nothing, which will do.
    let mut last = [b'\n'; 2];
    let (from, missing) = (length.saturating_sub(2), 2_usize.saturating_sub(length as usize));
    file.read_exact_at(last.split_at_mut(missing).1, from)?;
    Ok(match last {
        [b'\n', b'\n'] => b"",
        [_, b'\n'] => b"\n",
        _ => b"\n\n",
    })
}

/// What it couldn't write is tried once more when it ends: so it ends before the rest is cut off.
fn write_to(file: &File, separator: &[u8], entries: &[Entry]) -> io::Result<()> {
    write(&mut BufWriter::with_capacity(PIECE, file), separator, entries)
}

fn write(to: &mut impl Write, separator: &[u8], entries: &[Entry]) -> io::Result<()> {
    to.write_all(separator)?;
    entries.iter().try_for_each(|entry| entry.write(to))?;
    to.flush()
}

impl Entry {
    // ANCHOR: write
    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        writeln!(to, "From {} {}", self.author(), date::of_an_mbox(self.at))?;
        write_lines(to, self.fields.as_bytes())?;
        write_lines(to, &self.text)?;
        // An empty line, behind the last one, whole or not.
        let ends = if self.text.ends_with(b"\n") || self.text.is_empty() { "\n" } else { "\n\n" };
        to.write_all(ends.as_bytes())
    }
    // ANCHOR_END: write

    /// In one word: a blank is where the date begins.
    fn author(&self) -> String {
        match self.sender.as_str() {
            "" => NO_SENDER.to_owned(),
            sender => sender.replace(|letter: char| !letter.is_ascii_graphic(), "-"),
        }
    }
}

// ANCHOR: lines
/// With line ends as files have them. A bare LF is one too, once it's in
/// the file: what comes behind it is looked at like any line.
fn write_lines(to: &mut impl Write, text: &[u8]) -> io::Result<()> {
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let marks = line.iter().take_while(|&&byte| byte == b'>').count();
        if line.iter().skip(marks).take(FROM.len()).eq(FROM) {
            to.write_all(b">")?;
        }
        match line.strip_suffix(b"\r\n") {
            Some(line) => {
                to.write_all(line)?;
                to.write_all(b"\n")?;
            }
            None => to.write_all(line)?,
        }
    }
    Ok(())
}
// ANCHOR_END: lines

/// Counts what is written, and throws it away.
struct Length(u64);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
