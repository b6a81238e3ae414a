//! The state that is handed over: bytes, and descriptors that the bytes speak of by number.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::format::{Malformed, Reader, Writer};

/// The version of the state that this program writes, and the oldest that it reads. Who changes
/// what is written counts it up, and goes on reading the one before.
pub const VERSION: u64 = 1;
pub const OLDEST: u64 = 1;
/// No state is longer than that, in bytes.
const LONGEST: u64 = 1 << 30;

/// State to be handed over. The descriptors are lent: whoever has them keeps them.
#[derive(Default)]
pub struct Outgoing<'l> {
    pub writer: Writer,
    descriptors: Vec<BorrowedFd<'l>>,
    numbers: BTreeMap<RawFd, u64>,
}

impl<'l> Outgoing<'l> {
    // ANCHOR: gives
    /// Hands over a descriptor, too. One that many have, such as a file's, goes once.
    pub fn descriptor(&mut self, descriptor: BorrowedFd<'l>) {
        let next = self.descriptors.len() as u64;
        let number = *self.numbers.entry(descriptor.as_raw_fd()).or_insert(next);
        if number == next {
            self.descriptors.push(descriptor);
        }
        self.writer.number(number);
    }
    // ANCHOR_END: gives

    /// The bytes, and the descriptors.
    pub fn finish(self) -> (Vec<u8>, Vec<BorrowedFd<'l>>) {
        (self.writer.finish(), self.descriptors)
    }
}

/// State that has been handed over.
pub struct Incoming<'a> {
    pub reader: Reader<'a>,
    descriptors: Vec<Option<OwnedFd>>,
    files: BTreeMap<u64, Rc<File>>,
}

impl<'a> Incoming<'a> {
    pub fn new(bytes: &'a [u8], descriptors: Vec<OwnedFd>) -> Self {
        let descriptors = descriptors.into_iter().map(Some).collect();
        Self { reader: Reader::new(bytes), descriptors, files: BTreeMap::new() }
    }

    // ANCHOR: gets
    /// A descriptor that is one's own.
    ///
    /// # Errors
    /// When there is none of that number, or somebody has it already.
    pub fn descriptor(&mut self) -> Result<OwnedFd, Malformed> {
        let number = self.reader.number()?;
        self.take(number)
    }
    // ANCHOR_END: gets

    /// A file that others may have, too.
    ///
    /// # Errors
    /// When there is none of that number, or it's somebody's own.
    pub fn file(&mut self) -> Result<Rc<File>, Malformed> {
        let number = self.reader.number()?;
        if let Some(file) = self.files.get(&number) {
            return Ok(Rc::clone(file));
        }
        let file = Rc::new(File::from(self.take(number)?));
        self.files.insert(number, Rc::clone(&file));
        Ok(file)
    }

    fn take(&mut self, number: u64) -> Result<OwnedFd, Malformed> {
        let place = usize::try_from(number).ok().and_then(|at| self.descriptors.get_mut(at));
        place.and_then(Option::take).ok_or(Malformed)
    }

    /// The rest of it, to be read by another thread.
    pub fn detach(self) -> Detached {
        Detached { bytes: self.reader.rest().to_vec(), descriptors: self.descriptors }
    }

    // ANCHOR: end
    /// That was all.
    ///
    /// # Errors
    /// When there are more bytes, or descriptors that nobody has asked for.
    pub fn end(self) -> Result<(), Malformed> {
        self.reader.end()?;
        if self.descriptors.iter().all(Option::is_none) { Ok(()) } else { Err(Malformed) }
    }
    // ANCHOR_END: end
}

/// State that was handed over, and is read by whoever it's for.
#[derive(Default)]
pub struct Detached {
    bytes: Vec<u8>,
    descriptors: Vec<Option<OwnedFd>>,
}

impl Detached {
    /// To be read, once.
    pub fn attach(&mut self) -> Incoming<'_> {
        let descriptors = std::mem::take(&mut self.descriptors);
        Incoming { reader: Reader::new(&self.bytes), descriptors, files: BTreeMap::new() }
    }
}

/// Bytes in a file that lies in memory, and has no name (memfd_create(2)).
///
/// # Errors
/// When there is no memory for it.
pub fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("state", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

/// All that such a file has.
///
/// # Errors
/// When it's longer than any state.
pub fn from_memory(mut file: File) -> io::Result<Vec<u8>> {
    if file.metadata()?.len() > LONGEST {
        return Err(io::Error::other("the state is too long"));
    }
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl<'l> Outgoing<'l> {
    /// What somebody has gathered for themselves, under a name. Its numbers begin at 0.
    pub fn section(&mut self, name: &str, bytes: &[u8], descriptors: &[BorrowedFd<'l>]) {
        self.writer.text(name);
        self.writer.number(descriptors.len() as u64);
        for descriptor in descriptors {
            self.descriptor(*descriptor);
        }
        self.writer.bytes(bytes);
    }
}

impl<'a> Incoming<'a> {
    /// The next one: its name, and what is in it. None: there is none.
    ///
    /// # Errors
    /// When this is none.
    pub fn section(&mut self) -> Result<Option<(&'a str, Self)>, Malformed> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        let name = self.reader.text()?;
        let count = self.reader.number()?;
        let descriptors = (0..count).map(|_| self.descriptor()).collect::<Result<_, _>>()?;
        Ok(Some((name, Self::new(self.reader.bytes()?, descriptors))))
    }
}
