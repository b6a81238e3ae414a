//! For the chapter whose program is replaced by another one: the moment at which that is asked for, and what the
//! two say to each other.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use lens::record::{Call, Line, Mark, Outcome, Program, Thread};
use lens::tracer::Seen;
use tempfile::TempDir;
use visitors::chapters::Chapter;

/// The chapter whose program is replaced.
const REPLACED: u32 = 13;
/// When, after the first visitor has come: somebody is in the middle of a request then, and somebody else in the middle
/// of a download.
pub const WHEN: Duration = Duration::from_millis(150);
/// What the greedy visitor asks for is a file. (A stream that a function makes could not be handed over.)
const LARGE: u64 = 8 << 20;
const LINE: &[u8] = b"Good things come to those who wait.\n";

/// What the program needs for that.
#[derive(Debug)]
pub struct Succession {
    folder: TempDir,
}

impl Succession {
    /// For the chapter whose program can be replaced.
    ///
    /// # Errors
    /// When there's no folder to be had.
    pub fn of(chapter: &Chapter) -> io::Result<Option<Self>> {
        if chapter.number != REPLACED {
            return Ok(None);
        }
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("index.html"), "<h1>The Waiting Game</h1>\n")?;
        let mut large = BufWriter::new(File::create(folder.path().join("large"))?);
        for _ in 0..LARGE / LINE.len() as u64 {
            large.write_all(LINE)?;
        }
        large.flush()?;
        Ok(Some(Self { folder }))
    }

    /// What the program is told, besides where it listens: one loop is enough to see it.
    pub fn arguments(&self) -> Vec<String> {
        let root = self.folder.path().display().to_string();
        ["--workers", "1", "--root", &root].map(str::to_owned).to_vec()
    }
}

/// What was seen of the two programs, as far as it's needed to tell what they have said. That is read off the calls
/// alone: who has sent how many bytes, in which order.
#[derive(Debug, Default)]
pub struct Overheard {
    sent: Vec<Sent>,
    threads: Vec<Thread>,
}

/// A packet that was sent on a socket that leads to no other machine.
#[derive(Clone, Copy, Debug)]
struct Sent {
    thread: u32,
    at_us: u64,
    bytes: i64,
}

/// What is said, from the old program's side (0) and the new one's (1), and how many bytes that is. Of
/// descriptors there may be several packets, and they belong to the state.
const WORDS: [(usize, i64, &str); 5] =
    [(1, 32, "hello"), (0, 40, "state"), (1, 8, "ready"), (0, 8, "go"), (1, 8, "serving")];
const DESCRIPTORS: i64 = 8;

impl Overheard {
    /// Takes note of what the tracer has seen.
    pub fn hear(&mut self, seen: &Seen) {
        match seen {
            Seen::Call(Call {
                thread,
                call,
                what: Some(what),
                began_us,
                outcome: Outcome::Result(bytes),
                ..
            }) if call == "sendmsg" && what == "a socket" => {
                self.sent.push(Sent { thread: *thread, at_us: *began_us, bytes: *bytes });
            }
            Seen::Thread(thread) => self.threads.push(thread.clone()),
            _ => {}
        }
    }

    /// The programs by their generations, and what they have said. `None`: what was seen isn't what one program
    /// says to another that takes its place.
    pub fn lines(mut self) -> Option<Vec<Line>> {
        self.threads.sort_by_key(|thread| thread.began_us);
        let mut programs: Vec<i32> = Vec::new();
        for thread in &self.threads {
            if !programs.contains(&thread.pid) {
                programs.push(thread.pid);
            }
        }
        let side = |pid: i32| programs.iter().position(|program| *program == pid);
        let sides: HashMap<u32, usize> = self
            .threads
            .iter()
            .filter_map(|thread| Some((thread.thread, side(thread.pid)?)))
            .collect();
        let said = words(&mut self.sent, &sides)?;
        let generations = programs.iter().zip(1..).map(|(pid, number)| {
            Line::Program(Program { pid: *pid, name: format!("generation {number}") })
        });
        Some(generations.chain(said.into_iter().map(Line::Mark)).collect())
    }
}

fn words(sent: &mut [Sent], sides: &HashMap<u32, usize>) -> Option<Vec<Mark>> {
    sent.sort_by_key(|sent| sent.at_us);
    let mut words = WORDS.iter().peekable();
    let mut said = Vec::new();
    for Sent { thread, at_us, bytes } in sent {
        let side = *sides.get(thread)?;
        match words.peek() {
            Some((speaks, length, word)) if (side, *bytes) == (*speaks, *length) => {
                said.push(Mark { thread: *thread, at_us: *at_us, says: (*word).to_owned() });
                words.next();
            }
            Some((1, _, "ready")) if (side, *bytes) == (0, DESCRIPTORS) => {}
            _ => return None,
        }
    }
    words.next().is_none().then_some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The old program is thread 1, the new one thread 2.
    fn heard(said: &[(u32, i64)]) -> Option<Vec<String>> {
        let mut overheard = Overheard::default();
        for ((thread, bytes), at_us) in said.iter().zip(10..) {
            overheard.sent.push(Sent { thread: *thread, at_us, bytes: *bytes });
        }
        for (thread, pid) in [(2, 70), (1, 50)] {
            let (name, began_us) = ("program".to_owned(), u64::from(thread));
            let thread = Thread { thread, tid: pid, pid, name, began_us, ended_us: 100 };
            overheard.hear(&Seen::Thread(thread));
        }
        let lines = overheard.lines()?;
        Some(
            lines
                .iter()
                .map(|line| match line {
                    Line::Program(program) => format!("{}: {}", program.pid, program.name),
                    Line::Mark(mark) => format!("{} at {}: {}", mark.thread, mark.at_us, mark.says),
                    other => format!("{other:?}"),
                })
                .collect(),
        )
    }

    #[test]
    fn what_is_said_is_told_by_who_says_it_and_its_length() {
        let said = heard(&[(2, 32), (1, 40), (1, 8), (1, 8), (2, 8), (1, 8), (2, 8)]);
        let expected = [
            "50: generation 1",
            "70: generation 2",
            "2 at 10: hello",
            "1 at 11: state",
            "2 at 14: ready",
            "1 at 15: go",
            "2 at 16: serving",
        ];
        assert_eq!(said, Some(expected.map(str::to_owned).to_vec()));
    }

    #[test]
    fn anything_else_is_no_hand_over() {
        assert_eq!(heard(&[]), None, "nothing was said");
        assert_eq!(heard(&[(2, 32), (1, 40), (2, 8), (1, 8)]), None, "it wasn't serving");
        assert_eq!(heard(&[(2, 32), (1, 40), (2, 21)]), None, "it refused");
        assert_eq!(heard(&[(1, 32), (2, 40), (1, 8), (2, 8), (1, 8)]), None, "the wrong way round");
        assert_eq!(
            heard(&[(2, 32), (1, 40), (2, 8), (1, 8), (2, 8), (1, 8)]),
            None,
            "and something else"
        );
        assert_eq!(heard(&[(3, 32)]), None, "nobody knows who said it");
    }
}
