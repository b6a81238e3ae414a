//! What a program and its successor say to each other, from the top down:
//!
//! ```text
//! the old one                 the new one
//!                         <── Hello    which versions it reads
//! State, Descriptors …    ──>
//!                         <── Ready    it has all, and touches nothing
//! Go                      ──>          the old one touches nothing
//!                         <── Serving  the old one may end
//! ```
//!
//! Until Go is said, the old one can go on as if nothing had been. A successor that can't go on
//! says Refused, and why, instead of Ready.

use std::process;

use crate::format::{Malformed, Reader, Writer};
use crate::state::VERSION;

/// One packet's meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Which process it is, and the oldest and the newest version of the state that it reads.
    Hello {
        pid: u64,
        oldest: u64,
        newest: u64,
    },
    /// The state is in the file that comes with it, in this version, and so many descriptors
    /// follow. `pid` and `generation`: of the one who sends it.
    State {
        pid: u64,
        version: u64,
        generation: u64,
        descriptors: u64,
    },
    /// Some of them.
    Descriptors,
    Ready,
    Refused(String),
    Go,
    Serving,
}

impl Message {
    /// The first word of a hand-over: of this program, in the newest version.
    pub fn state(generation: u64, descriptors: usize) -> Self {
        let (pid, descriptors) = (process::id().into(), descriptors as u64);
        Self::State { pid, version: VERSION, generation, descriptors }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::Hello { pid, oldest, newest } => {
                writer.number(1);
                writer.number(*pid);
                writer.number(*oldest);
                writer.number(*newest);
            }
            Self::State { pid, version, generation, descriptors } => {
                writer.number(2);
                writer.number(*pid);
                writer.number(*version);
                writer.number(*generation);
                writer.number(*descriptors);
            }
            Self::Descriptors => writer.number(3),
            Self::Ready => writer.number(4),
            Self::Refused(why) => {
                writer.number(5);
                writer.text(why);
            }
            Self::Go => writer.number(6),
            Self::Serving => writer.number(7),
        }
        writer.finish()
    }

    /// # Errors
    /// When it's none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let message = match reader.number()? {
            1 => Self::Hello {
                pid: reader.number()?,
                oldest: reader.number()?,
                newest: reader.number()?,
            },
            2 => {
                let pid = reader.number()?;
                let (version, generation) = (reader.number()?, reader.number()?);
                Self::State { pid, version, generation, descriptors: reader.number()? }
            }
            3 => Self::Descriptors,
            4 => Self::Ready,
            5 => Self::Refused(reader.text()?.to_owned()),
            6 => Self::Go,
            7 => Self::Serving,
            _ => return Err(Malformed),
        };
        reader.end()?;
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_read_as_it_was_written() {
        let all = [
            Message::Hello { pid: 7, oldest: 1, newest: 2 },
            Message::State { pid: 5, version: 2, generation: 3, descriptors: 4 },
            Message::Descriptors,
            Message::Ready,
            Message::Refused("no room".to_owned()),
            Message::Go,
            Message::Serving,
        ];
        for message in all {
            let bytes = message.to_bytes();
            assert_eq!(Message::from_bytes(&bytes), Ok(message.clone()));
            for length in 0..bytes.len() {
                assert!(Message::from_bytes(&bytes[..length]).is_err(), "{message:?} {length}");
            }
            assert!(Message::from_bytes(&[&bytes[..], b"x"].concat()).is_err());
        }
    }
}
