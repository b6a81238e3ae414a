//! State as bytes: numbers in eight bytes, little-endian; bytes and texts behind their length.
//!
//! Whoever reads trusts nothing: a length may be longer than what is there, and a number may
//! stand for nothing.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Writes state.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    pub fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub fn flag(&mut self, flag: bool) {
        self.0.push(u8::from(flag));
    }

    /// One of those that have a number each, by their places.
    pub fn one_of<T: PartialEq>(&mut self, all: &[T], one: T) {
        let place = all.iter().position(|it| *it == one);
        self.number(place.unwrap_or_default() as u64);
    }

    /// In nanoseconds.
    pub fn time(&mut self, time: Duration) {
        self.number(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Whether it's there, and if so, what `write` writes.
    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// How many there are, and what `write` writes of each.
    pub fn all<T>(&mut self, values: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.number(values.len() as u64);
        for value in values {
            write(self, value);
        }
    }

    /// All that was written.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads state.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

/// This isn't what [`Writer`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the state can't be read")
    }
}

impl std::error::Error for Malformed {}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    // ANCHOR: reader
    fn take(&mut self, count: u64) -> Result<&'a [u8], Malformed> {
        let count = usize::try_from(count).map_err(|_| Malformed)?;
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn number(&mut self) -> Result<u64, Malformed> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(bytes.try_into().map_err(|_| Malformed)?))
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.number()?;
        self.take(length)
    }

    // ANCHOR_END: reader

    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    pub fn flag(&mut self) -> Result<bool, Malformed> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Malformed),
        }
    }

    /// What a text stands for.
    pub fn parsed<T: FromStr>(&mut self) -> Result<T, Malformed> {
        self.text()?.parse().map_err(|_| Malformed)
    }

    /// A number of things, or of bytes.
    pub fn size(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.number()?).map_err(|_| Malformed)
    }

    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> Result<T, Malformed> {
        all.get(self.size()?).copied().ok_or(Malformed)
    }

    pub fn time(&mut self) -> Result<Duration, Malformed> {
        self.number().map(Duration::from_nanos)
    }

    pub fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }

    /// A number that is none of those that are too large for its type.
    pub fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Malformed> {
        T::try_from(self.number()?).map_err(|_| Malformed)
    }

    /// As many as there are. (One that can't be true ends where the bytes do.)
    pub fn all<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.number()?;
        (0..count).map(|_| read(self)).collect()
    }

    /// What isn't read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// That was all.
    pub fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Vec<u8> {
        let mut writer = Writer::default();
        writer.number(7);
        writer.bytes(b"\0\xff");
        writer.text("caf\u{e9}");
        writer.flag(true);
        writer.time(Duration::from_millis(1500));
        writer.option(Some(9), Writer::number);
        writer.option(None, Writer::number);
        writer.finish()
    }

    type All<'a> = (u64, &'a [u8], &'a str, bool, Duration, Option<u64>, Option<u64>);

    fn read(bytes: &[u8]) -> Result<All<'_>, Malformed> {
        let mut reader = Reader::new(bytes);
        let all = (
            reader.number()?,
            reader.bytes()?,
            reader.text()?,
            reader.flag()?,
            reader.time()?,
            reader.option(Reader::number)?,
            reader.option(Reader::number)?,
        );
        reader.end().map(|()| all)
    }

    #[test]
    fn what_is_written_is_read() {
        let (bytes, time) = (&b"\0\xff"[..], Duration::from_millis(1500));
        assert_eq!(read(&written()), Ok((7, bytes, "caf\u{e9}", true, time, Some(9), None)));
    }

    #[test]
    fn what_is_cut_short_or_longer_is_refused() {
        let written = written();
        for length in 0..written.len() {
            assert_eq!(read(&written[..length]), Err(Malformed), "{length}");
        }
        assert_eq!(read(&[&written[..], b"x"].concat()), Err(Malformed));
    }

    /// A length that can't be true makes no memory of that size, and no panic.
    #[test]
    fn no_length_is_trusted() {
        for length in [3, u64::from(u32::MAX), u64::MAX] {
            let mut writer = Writer::default();
            writer.number(length);
            let bytes = [&writer.finish()[..], b"ab"].concat();
            assert_eq!(Reader::new(&bytes).bytes(), Err(Malformed), "{length}");
        }
        assert_eq!(Reader::new(&[2]).flag(), Err(Malformed));
        assert_eq!(Reader::new(b"\x01\0\0\0\0\0\0\0\xff").text(), Err(Malformed));
    }
}
