//! The cast: who the visitors are, and how they are asked for in words.

use std::fmt;
use std::str::FromStr;

/// How many a `crowd` is when no number is given: more than a sequential server serves in a
/// lifetime, fewer than any system forbids.
pub const CROWD: usize = 100;

/// The largest crowd. One address can be called from about 28,000 ports (Linux's
/// ip_local_port_range), and others need some too.
pub const LARGEST_CROWD: usize = 20_000;

/// The most visitors besides the crowd's: each has a thread of its own.
pub const MOST_VISITORS: usize = 500;

/// A visitor: the same ones call on every server in the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Connects, sends a whole request, expects the answer at once.
    Quick,
    /// Sends its request a byte at a time, over about a second.
    Slow,
    /// Connects, and says nothing.
    Silent,
    /// Asks for a large page, and reads it slowly.
    Greedy,
    /// Calls twice. Hangs up in the middle of its request, then in the middle of the answer.
    Rude,
    /// Connects so many times, and says nothing.
    Crowd(usize),
}

/// Every visitor's word.
pub const WORDS: [&str; 6] = ["quick", "slow", "silent", "greedy", "rude", "crowd"];

impl Who {
    /// Its word, without a crowd's number.
    pub fn word(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Slow => "slow",
            Self::Silent => "silent",
            Self::Greedy => "greedy",
            Self::Rude => "rude",
            Self::Crowd(_) => "crowd",
        }
    }

    /// Whether a play goes on for its sake: the silent and the crowd wait for nothing.
    pub fn wants_an_answer(self) -> bool {
        !matches!(self, Self::Silent | Self::Crowd(_))
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crowd(size) => write!(f, "crowd={size}"),
            _ => f.write_str(self.word()),
        }
    }
}

/// The visitors of a play, in the order in which they come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cast(pub Vec<Who>);

impl Cast {
    /// Reads words such as `quick`, `quick=20`, `crowd=1000`.
    ///
    /// # Errors
    /// A sentence that says which word is wrong, and what would be right.
    pub fn from_words<W: AsRef<str>>(words: &[W]) -> Result<Self, String> {
        let mut cast = Vec::new();
        for word in words {
            cast.extend(word.as_ref().parse::<Self>()?.0);
        }
        let crowd: usize = cast.iter().map(|who| sockets(*who)).sum();
        if cast.len() > MOST_VISITORS {
            return Err(format!(
                "that makes {} visitors, and each needs a thread: at most {MOST_VISITORS}, please (a crowd needs only one)",
                cast.len()
            ));
        }
        if crowd > LARGEST_CROWD {
            return Err(format!("that makes {crowd} connections: at most {LARGEST_CROWD}, please"));
        }
        Ok(Self(cast))
    }

    /// What each is called: its word, with a number where there are several of a kind.
    pub fn names(&self) -> Vec<String> {
        let alike = |all: &[Who], who: &Who| all.iter().filter(|w| w.word() == who.word()).count();
        let name = |(index, who): (usize, &Who)| match alike(&self.0, who) {
            1 => who.word().to_owned(),
            _ => format!("{} {}", who.word(), alike(&self.0[..index], who) + 1),
        };
        self.0.iter().enumerate().map(name).collect()
    }

    /// How many sockets they need at the same time.
    pub fn sockets(&self) -> usize {
        self.0.iter().map(|who| sockets(*who)).sum()
    }
}

impl FromStr for Cast {
    type Err = String;

    /// One word: one visitor, or several of a kind.
    fn from_str(text: &str) -> Result<Self, String> {
        let (word, number) = match text.split_once('=') {
            Some((word, number)) => (word, Some(parse_number(text, number)?)),
            None => (text, None),
        };
        let who = match word {
            "quick" => Who::Quick,
            "slow" => Who::Slow,
            "silent" => Who::Silent,
            "greedy" => Who::Greedy,
            "rude" => Who::Rude,
            "crowd" => return Ok(Self(vec![Who::Crowd(number.unwrap_or(CROWD))])),
            _ => {
                return Err(format!(
                    "there is no visitor {word:?}: there are {}; with a number, such as quick=20 or crowd=1000, there are as many",
                    WORDS.join(", ")
                ));
            }
        };
        Ok(Self(vec![who; number.unwrap_or(1)]))
    }
}

impl fmt::Display for Cast {
    /// As the words that give it: neighbors of a kind are counted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A crowd's number is its size: two crowds aren't one with a number.
        let alike = |one: &Who, next: &Who| one == next && sockets(*one) == 1;
        for (index, group) in self.0.chunk_by(alike).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match (group.len(), group[0]) {
                (1, who) => write!(f, "{comma}{who}")?,
                (count, who) => write!(f, "{comma}{who}={count}")?,
            }
        }
        Ok(())
    }
}

fn sockets(who: Who) -> usize {
    match who {
        Who::Crowd(size) => size,
        _ => 1,
    }
}

fn parse_number(text: &str, number: &str) -> Result<usize, String> {
    let number = number.parse().ok();
    number.filter(|number| (1..=LARGEST_CROWD).contains(number)).ok_or_else(|| {
        format!("in {text:?}, what follows the = is no number from 1 to {LARGEST_CROWD}")
    })
}
