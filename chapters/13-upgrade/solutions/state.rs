//! Exercise 13-state: a conversation as bytes.
//!
//! Whoever takes a program's place goes on with its visitors where they are. So the old one says all that it knows of each,
//! as bytes. What lies in its memory isn't what is to be said: of what has come, a part is done with; of what is to be sent, the
//! kernel has a part; and its clock isn't the other one's. And whoever reads believes nothing: it may be another version that has
//! written this, and it may be broken. Here both sides are one program, and lines ask for what they do.
//!
//! Run it:      cargo run -p ex13-upgrade --bin ex13-state      and, in a second terminal,
//!              echo 'write 5000 3 body:10 6500 68656c6c6f 2 6f6b 1' | nc -N 127.0.0.1 7013
//! Be graded:   cargo grade 13

use std::fmt::{self, Write as _};
use std::io;
use std::net::TcpListener;

use ch07_callbacks::program::{self, log};
use ch07_callbacks::{EventLoop, Input, Poll, Token};

const NAME: &str = "ex13-state";
const HELP: &str = "ex13-state [ADDRESS]

Writes conversations, and reads them. Each line asks for one of these:

    write NOW ANSWERED PLACE DEADLINE INPUT USED OUTPUT SENT      is answered with the state
    read NOW STATE                                                is answered with the conversation

NOW and DEADLINE are in milliseconds, DEADLINE may be `never`. PLACE is `head`, `body:LEFT` or `closing`. Bytes are in
hexadecimal; `-` is none. ADDRESS is 127.0.0.1:7013 where not given; port 0 means any free one.";

/// The version of the state that `write` writes.
const VERSION: u8 = 2;
/// The one before, which had no deadlines. Whoever comes from there has so much time, in milliseconds.
const FIRST_DEADLINE: u64 = 30_000;
/// Longest line that is read, in bytes.
const LONGEST_LINE: usize = 256 * 1024;
/// Whoever has more answers queued than that, in bytes, asks and doesn't read.
const MOST_QUEUED: usize = 1024 * 1024;

/// What the next byte of the input belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A request's head.
    Head,
    /// Its body, of which so many bytes are still to come.
    Body { left: u64 },
    /// Nothing: it ends when all is sent.
    Closing,
}

/// What is known of a visitor.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Conversation {
    /// How many requests have been answered.
    answered: u64,
    place: Place,
    /// When it's over, by this process's clock, in milliseconds. `None`: never.
    deadline: Option<u64>,
    /// What has come. The first `used` bytes of it are done with.
    input: Vec<u8>,
    used: usize,
    /// What is to be sent. The kernel has the first `sent` bytes of it.
    output: Vec<u8>,
    sent: usize,
}

/// Why a state isn't read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// Nobody here knows this version.
    Version(u8),
    /// It isn't what `write` writes.
    Malformed,
}

/// A number, in eight bytes, the smallest part first.
fn put_number(state: &mut Vec<u8>, number: u64) {
    state.extend_from_slice(&number.to_le_bytes());
}

/// Bytes, behind their length.
fn put_bytes(state: &mut Vec<u8>, bytes: &[u8]) {
    put_number(state, bytes.len() as u64);
    state.extend_from_slice(bytes);
}

impl Conversation {
    /// All that another process has to know. It's `now` by our clock.
    fn write(&self, now: u64) -> Vec<u8> {
        // your turn: write the version, and then one after the other
        // hint: The order is that of the page: version, `answered`, place, deadline, input, output. `put_number` and `put_bytes`
        //   write the longer ones, and `state.push` a byte.
        // hint: What the other one needs of the input is what stands behind the first `used` bytes, and of the output what
        //   stands behind the first `sent`. Bytes that the kernel has will arrive, whoever lives then.
        // hint: The other one's clock began at another time. So the deadline goes as the time that is left. It may be over
        //   already: `saturating_sub` gives 0 then, which is something else than none.
        let mut state = vec![VERSION];
        put_number(&mut state, self.answered);
        match self.place {
            Place::Head => state.push(0),
            Place::Body { left } => {
                state.push(1);
                put_number(&mut state, left);
            }
            Place::Closing => state.push(2),
        }
        match self.deadline {
            None => state.push(0),
            Some(deadline) => {
                state.push(1);
                put_number(&mut state, deadline.saturating_sub(now));
            }
        }
        put_bytes(&mut state, &self.input[self.used..]);
        put_bytes(&mut state, &self.output[self.sent..]);
        state
        // end
    }

    /// What another process has written. It's `now` by our clock.
    ///
    /// # Errors
    /// Why it can't be read.
    fn read(state: &[u8], now: u64) -> Result<Self, Refused> {
        // your turn: look at the version first, then read what it has, and nothing may be left
        // hint: The first byte decides. `match` it: 1, 2, and all others, which are refused by their number.
        // hint: Of version 1, two things aren't there: the number is 0, and the deadline is FIRST_DEADLINE from now. And its place
        //   can't be 2.
        // hint: `now + left` may be more than a u64 holds, and so may `now + FIRST_DEADLINE`. `checked_add` says so.
        // hint: Nearly the answer:
        //       let mut reader = Reader(state);
        //       let version = reader.byte()?;
        //       let (answered, place, deadline) = match version {
        //           1 => (0, …, …),
        //           2 => (reader.number()?, …, …),
        //           other => return Err(Refused::Version(other)),
        //       };
        //       let (input, output) = (reader.bytes()?, reader.bytes()?);
        //       …is anything left?…
        let mut reader = Reader(state);
        let version = reader.byte()?;
        let answered = match version {
            1 => 0,
            2 => reader.number()?,
            other => return Err(Refused::Version(other)),
        };
        let place = match reader.byte()? {
            0 => Place::Head,
            1 => Place::Body { left: reader.number()? },
            2 if version >= 2 => Place::Closing,
            _ => return Err(Refused::Malformed),
        };
        let left = match version {
            1 => Some(FIRST_DEADLINE),
            _ => match reader.byte()? {
                0 => None,
                1 => Some(reader.number()?),
                _ => return Err(Refused::Malformed),
            },
        };
        let deadline = match left {
            Some(left) => Some(now.checked_add(left).ok_or(Refused::Malformed)?),
            None => None,
        };
        let (input, output) = (reader.bytes()?, reader.bytes()?);
        if !reader.0.is_empty() {
            return Err(Refused::Malformed);
        }
        Ok(Self { answered, place, deadline, input, used: 0, output, sent: 0 })
        // end
    }
}

/// Goes through a state. What it holds isn't read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next `count` bytes.
    ///
    /// # Errors
    /// There aren't so many.
    fn take(&mut self, count: u64) -> Result<&'a [u8], Refused> {
        // your turn: take them off the front, if they're there
        // hint: `split_at_checked` gives both parts, or `None`. `self.0` is the second one then.
        // hint: `as usize` cuts a number that is too large where a usize is smaller, and `as u32` does it everywhere.
        //   `usize::try_from` says that it doesn't fit.
        let count = usize::try_from(count).map_err(|_| Refused::Malformed)?;
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Refused::Malformed)?;
        self.0 = rest;
        Ok(taken)
        // end
    }

    /// Bytes that stand behind their length.
    ///
    /// # Errors
    /// There aren't so many.
    fn bytes(&mut self) -> Result<Vec<u8>, Refused> {
        // your turn: read the length, and then so many bytes
        // hint: The length is a number that somebody wrote. Make no room for so many bytes before you know that they're there:
        //   `take` first, and `to_vec` what it gives.
        let length = self.number()?;
        self.take(length).map(<[u8]>::to_vec)
        // end
    }

    /// A byte.
    ///
    /// # Errors
    /// There is none.
    fn byte(&mut self) -> Result<u8, Refused> {
        self.take(1)?.first().copied().ok_or(Refused::Malformed)
    }

    /// A number, in eight bytes, the smallest part first.
    ///
    /// # Errors
    /// There aren't so many.
    fn number(&mut self) -> Result<u64, Refused> {
        let bytes = self.take(8)?.try_into().map_err(|_| Refused::Malformed)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

/// What a line asks for, done.
fn answer(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["write", now, answered, place, deadline, input, used, output, sent] => {
            let conversation = Conversation {
                answered: answered.parse().ok()?,
                place: parse_place(place)?,
                deadline: if deadline == "never" { None } else { Some(deadline.parse().ok()?) },
                input: from_hex(input)?,
                used: used.parse().ok()?,
                output: from_hex(output)?,
                sent: sent.parse().ok()?,
            };
            let Conversation { input, used, output, sent, .. } = &conversation;
            let is_one = *used <= input.len() && *sent <= output.len();
            is_one.then_some(())?;
            Some(to_hex(&conversation.write(now.parse().ok()?)))
        }
        ["read", now, state] => {
            let read = Conversation::read(&from_hex(state)?, now.parse().ok()?);
            Some(read.map_or_else(|refused| refused.to_string(), |it| it.to_string()))
        }
        _ => None,
    }
}

fn parse_place(word: &str) -> Option<Place> {
    match (word, word.strip_prefix("body:")) {
        ("head", _) => Some(Place::Head),
        ("closing", _) => Some(Place::Closing),
        (_, Some(left)) => Some(Place::Body { left: left.parse().ok()? }),
        _ => None,
    }
}

fn from_hex(word: &str) -> Option<Vec<u8>> {
    if word == "-" {
        return Some(Vec::new());
    }
    let digits = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok();
    if word.len() % 2 == 1 {
        return None;
    }
    word.as_bytes().chunks(2).map(digits).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a text never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl fmt::Display for Conversation {
    /// As `write` in a line wants it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answered, place, deadline, input, used, output, sent } = self;
        write!(f, "{answered} ")?;
        match place {
            Place::Head => write!(f, "head")?,
            Place::Body { left } => write!(f, "body:{left}")?,
            Place::Closing => write!(f, "closing")?,
        }
        match deadline {
            Some(deadline) => write!(f, " {deadline}")?,
            None => write!(f, " never")?,
        }
        write!(f, " {} {used} {} {sent}", to_hex(input), to_hex(output))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "refused: version {version}"),
            Self::Malformed => write!(f, "refused: malformed"),
        }
    }
}

/// The read callback.
fn data_available(event_loop: &mut EventLoop, me: Token, input: &mut Input) {
    while let Some(end) = input.bytes.iter().position(|byte| *byte == b'\n') {
        let line: Vec<u8> = input.bytes.drain(..=end).collect();
        let line = String::from_utf8_lossy(&line);
        let answer = answer(line.trim_end()).unwrap_or_else(|| "see --help".to_owned());
        event_loop.send(me, format!("{answer}\n").as_bytes());
    }
    if input.ended || input.bytes.len() > LONGEST_LINE {
        event_loop.finish(me);
    } else if event_loop.queued(me) > MOST_QUEUED {
        event_loop.close(me);
    }
}

fn main() {
    let address = program::address_from_args(NAME, HELP, "127.0.0.1:7013");
    let listener = program::listen_or_exit(NAME, address);
    let mut event_loop = EventLoop::new(Poll);
    // waits: inside of `run`, in poll, for all of them
    let ran = serve(&mut event_loop, listener).and_then(|_| event_loop.run());
    if let Err(error) = ran {
        program::complain(NAME, 1, &format!("the loop failed: {error}"));
    }
}

fn serve(event_loop: &mut EventLoop, listener: TcpListener) -> io::Result<Token> {
    let mut last = 0;
    event_loop.listen(listener, move |event_loop, came| match came {
        Ok((visitor, _)) => {
            last += 1;
            let number = last;
            event_loop.set_read_callback(visitor, data_available);
            event_loop.set_close_callback(visitor, move |_, _, ending| {
                log(number, &format!("gone: {ending:?}"));
            });
        }
        Err(error) => log(last + 1, &format!("not accepted: {error}")),
    })
}
