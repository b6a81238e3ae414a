//! What a mail server says to whom, without a socket, a clock or a disk in sight.
//!
//! [`Session`] is plain data. Events go in, and what is to be done about each comes out.

use std::borrow::Cow;
use std::mem;
use std::net::IpAddr;
use std::time::Duration;

use crate::line_server::{Event, Waits};
use crate::mail::command::{Command, parse};
use crate::mail::message::{Envelope, Hello, Message};
use crate::mail::path::Path;

/// The longest line of a command, in bytes, without its end: 512 with it (RFC 5321, section
/// 4.5.3.1.4), and so much more for SIZE= (RFC 1870, section 3) and BODY= (RFC 6152, section 2).
pub const LONGEST_LINE: usize = 512 - 2 + 26 + 17;
/// So many recipients a message may have. No server may take fewer (RFC 5321, section 4.5.3.1.8).
pub const MOST_RECIPIENTS: usize = 100;
/// With so many errors since the last message, a client is only guessing.
pub const MOST_ERRORS: u32 = 20;
/// How long a client may take to its next command (RFC 5321, section 4.5.3.2.7).
pub const COMMAND_TIME: Duration = Duration::from_secs(5 * 60);
/// How long it may take to send some more of a message: so long it waits itself until the
/// network takes the next piece (section 4.5.3.2.5).
pub const DATA_TIME: Duration = Duration::from_secs(3 * 60);
/// How long it may take to send all of a message, however it comes; so long it would wait itself for
/// the answer to the end (section 4.5.3.2.6). A byte now and then would hold the memory of all.
pub const MESSAGE_TIME: Duration = Duration::from_secs(10 * 60);
/// How long the disk may take: so long the client waits for the answer (section 4.5.3.2.6).
pub const DISK_TIME: Duration = Duration::from_secs(10 * 60);
/// The least that is reserved for a message, in bytes: most are smaller.
const FIRST_ROOM: usize = 4 * 1024;

// ANCHOR: session
/// One client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub from: IpAddr,
    pub hello: Option<Hello>,
    pub stage: Stage,
    /// Since the last message.
    pub errors: u32,
    /// The server is being stopped.
    pub stopping: bool,
}

/// What is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing. Waits for a command.
    Idle,
    /// MAIL was said. Waits for recipients, and for DATA.
    Envelope(Envelope),
    /// Waits for the rest of the message.
    Data(Message),
    /// Waits for its rest too, but throws it away: it won't be kept.
    Refused(Refused),
    /// The message is whole. Waits for the disk.
    Disk,
}
// ANCHOR_END: session

/// Why a message isn't kept that is still being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    TooLarge,
    NoMemory,
}

/// Why a message wasn't kept that was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There is no room for it now.
    Full,
    /// Something else is wrong.
    Other,
}

/// What the server has to offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms<'a> {
    /// What it calls itself.
    pub host: &'a str,
    /// The largest message that it keeps, in bytes.
    pub largest: usize,
    /// How much memory there is now for messages, in bytes.
    pub room: usize,
    /// Which of several that take each other's places it is.
    pub generation: Option<u64>,
}

// ANCHOR: outcome
/// What is to be done about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What is said, without the last line's end. Empty: nothing.
    pub reply: Cow<'static, str>,
    pub then: Then,
    /// What the log says of it.
    pub note: Option<&'static str>,
}

/// What happens after the reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// The next line is a command.
    GoOn,
    /// What follows is data, until a dot.
    ExpectData,
    /// The message is kept. Until [`Session::kept`] has said what became
    /// of it, nothing else is looked at.
    Keep(Message),
    HangUp,
}
// ANCHOR_END: outcome

const OK: &str = "250 2.0.0 OK";
const SENDER_OK: &str = "250 2.1.0 OK";
const RECIPIENT_OK: &str = "250 2.1.5 OK";
const KEPT: &str = "250 2.0.0 Kept";
const GOODBYE: &str = "221 2.0.0 Goodbye";
const HELP: &str = "214 2.0.0 EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT: see RFC 5321";
const MAYBE: &str = "252 2.0.0 Whoever it is gets mail here";
const SEND_IT: &str = "354 Send it, and a line with a dot";
const TOO_SLOW: &str = "421 4.4.2 That took too long";
const STOPPING: &str = "421 4.3.2 The server is being stopped";
const TOO_MANY_ERRORS: &str = "421 4.7.0 Too many errors";
const NOT_KEPT: &str = "451 4.3.0 It can't be kept now";
const NO_ROOM: &str = "452 4.3.1 There is no room for it now";
const TOO_MANY_RECIPIENTS: &str = "452 4.5.3 Too many recipients";
const LINE_TOO_LONG: &str = "500 5.5.2 That line is too long";
const HELLO_FIRST: &str = "503 5.5.1 Say EHLO first";
const MAIL_FIRST: &str = "503 5.5.1 Say MAIL first";
const ONE_AT_A_TIME: &str = "503 5.5.1 One at a time: you have said MAIL";
const TOO_LARGE: &str = "552 5.3.4 That is too large";
const NO_RECIPIENTS: &str = "554 5.5.1 It has no recipients";

impl Terms<'_> {
    fn greeting(&self) -> String {
        let Self { host, generation, .. } = self;
        let generation = generation.map(|number| format!(", generation {number}"));
        format!("220 {host} ESMTP at your service{}", generation.unwrap_or_default())
    }
}

impl Session {
    /// One that has come from this address.
    pub fn new(from: IpAddr) -> Self {
        Self { from, hello: None, stage: Stage::Idle, errors: 0, stopping: false }
    }

    // ANCHOR: receive
    /// Something has happened.
    pub fn receive(&mut self, event: Event<'_>, terms: Terms<'_>) -> Outcome {
        let outcome = match event {
            Event::Connected => terms.greeting().into(),
            Event::Line(line) => self.line(line, terms),
            Event::TooLong => LINE_TOO_LONG.into(),
            Event::Data(data) => self.data(data, terms),
            Event::EndOfData => self.end_of_data(),
            Event::Ended => self.ended(),
            Event::Late => self.late(),
            Event::Stopping => self.stop(),
        };
        self.end_if_all_is_said(outcome)
    }

    /// The disk's answer. What the client hears of it is a promise.
    pub fn kept(&mut self, result: Result<(), Failure>) -> Outcome {
        self.stage = Stage::Idle;
        let outcome = match result {
            Ok(()) => {
                self.errors = 0;
                KEPT.into()
            }
            Err(Failure::Full) => NO_ROOM.into(),
            Err(Failure::Other) => NOT_KEPT.into(),
        };
        self.end_if_all_is_said(outcome)
    }
    // ANCHOR_END: receive

    /// What is waited for, and for how long at the most.
    pub fn waits(&self) -> Waits {
        let (what, at_most) = match self.stage {
            Stage::Idle | Stage::Envelope(_) => ("a command", COMMAND_TIME),
            Stage::Data(_) | Stage::Refused(_) => ("the rest of a message", DATA_TIME),
            Stage::Disk => ("the disk", DISK_TIME),
        };
        Waits { what, at_most: Some(at_most) }
    }

    /// How much memory its message takes, in bytes. (Its envelope takes 25 KB at the most.)
    pub fn holds(&self) -> usize {
        match &self.stage {
            Stage::Data(message) => message.data.capacity(),
            _ => 0,
        }
    }

    fn line(&mut self, line: &[u8], terms: Terms<'_>) -> Outcome {
        match parse(line) {
            Ok(command) => self.carry_out(command, terms),
            Err(refusal) => refusal.into(),
        }
    }

    // ANCHOR: carry_out
    fn carry_out(&mut self, command: Command, terms: Terms<'_>) -> Outcome {
        match command {
            Command::Hello { name, extended } => self.hello(Hello { name, extended }, terms),
            Command::Mail { sender, size } => self.mail(sender, size, terms),
            Command::Rcpt(recipient) => self.rcpt(recipient),
            Command::Data => self.begin_data(),
            Command::Rset => {
                self.stage = Stage::Idle;
                OK.into()
            }
            Command::Noop => OK.into(),
            Command::Vrfy => MAYBE.into(),
            Command::Help => HELP.into(),
            Command::Quit => Outcome::last(GOODBYE, None),
        }
    }
    // ANCHOR_END: carry_out

    /// Begins anew, whatever was under way (RFC 5321, section 4.1.4).
    fn hello(&mut self, hello: Hello, terms: Terms<'_>) -> Outcome {
        let Terms { host, largest, .. } = terms;
        let reply = match hello.extended {
            true => format!(
                "250-{host} greets {}\r\n250-PIPELINING\r\n250-SIZE {largest}\r\n\
                 250-8BITMIME\r\n250 ENHANCEDSTATUSCODES",
                hello.name
            ),
            false => format!("250 {host} greets {}", hello.name),
        };
        self.hello = Some(hello);
        self.stage = Stage::Idle;
        reply.into()
    }

    fn mail(&mut self, sender: Path, size: Option<u64>, terms: Terms<'_>) -> Outcome {
        if self.hello.is_none() {
            return HELLO_FIRST.into();
        }
        if self.stage != Stage::Idle {
            return ONE_AT_A_TIME.into();
        }
        let size = size.map_or(0, |size| usize::try_from(size).unwrap_or(usize::MAX));
        if size > terms.largest {
            return TOO_LARGE.into();
        }
        if size > terms.room {
            return NO_ROOM.into();
        }
        self.stage = Stage::Envelope(Envelope { sender, recipients: Vec::new() });
        SENDER_OK.into()
    }

    fn rcpt(&mut self, recipient: Path) -> Outcome {
        let Stage::Envelope(envelope) = &mut self.stage else { return MAIL_FIRST.into() };
        if envelope.recipients.len() >= MOST_RECIPIENTS {
            return TOO_MANY_RECIPIENTS.into();
        }
        envelope.recipients.push(recipient);
        RECIPIENT_OK.into()
    }

    // ANCHOR: data
    fn begin_data(&mut self) -> Outcome {
        let Stage::Envelope(envelope) = &self.stage else { return MAIL_FIRST.into() };
        let Some(hello) = &self.hello else { return HELLO_FIRST.into() };
        if envelope.recipients.is_empty() {
            return NO_RECIPIENTS.into();
        }
        self.stage = Stage::Data(Message {
            from: self.from,
            hello: hello.clone(),
            envelope: envelope.clone(),
            data: Vec::new(),
        });
        Outcome { then: Then::ExpectData, ..SEND_IT.into() }
    }

    /// Some of the message. A client that sends it can't be interrupted:
    /// what won't be kept is read all the same, and thrown away.
    fn data(&mut self, data: &[u8], terms: Terms<'_>) -> Outcome {
        if let Stage::Data(message) = &mut self.stage
            && let Err(refused) = append(&mut message.data, data, terms)
        {
            // The memory is given back now, and not when it's all been sent.
            self.stage = Stage::Refused(refused);
        }
        Outcome::NOTHING
    }

    fn end_of_data(&mut self) -> Outcome {
        match mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Data(message) => {
                self.stage = Stage::Disk;
                Outcome { then: Then::Keep(message), ..Outcome::NOTHING }
            }
            Stage::Refused(Refused::TooLarge) => {
                Outcome { note: Some("refused a message: too large"), ..TOO_LARGE.into() }
            }
            Stage::Refused(Refused::NoMemory) => {
                Outcome { note: Some("refused a message: no memory"), ..NO_ROOM.into() }
            }
            // There was no data.
            other => {
                self.stage = other;
                Outcome::NOTHING
            }
        }
    }
    // ANCHOR_END: data

    /// No more commands: as if it had said QUIT. But nobody may be listening.
    fn ended(&mut self) -> Outcome {
        let note = match mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Idle => None,
            _ => Some("left in the middle of a message"),
        };
        Outcome::last("", note)
    }

    fn late(&mut self) -> Outcome {
        self.stage = Stage::Idle;
        Outcome::last(TOO_SLOW, Some("took too long"))
    }

    /// What is under way is finished first.
    fn stop(&mut self) -> Outcome {
        self.stopping = true;
        Outcome::NOTHING
    }

    fn end_if_all_is_said(&mut self, mut outcome: Outcome) -> Outcome {
        if outcome.reply.starts_with('5') {
            self.errors = self.errors.saturating_add(1);
        }
        if outcome.then != Then::GoOn {
            return outcome;
        }
        if self.errors >= MOST_ERRORS {
            self.stage = Stage::Idle;
            return Outcome::last(TOO_MANY_ERRORS, Some("made too many errors"));
        }
        if self.stopping && self.stage == Stage::Idle {
            if !outcome.reply.is_empty() {
                outcome.reply.to_mut().push_str("\r\n");
            }
            outcome.reply.to_mut().push_str(STOPPING);
            outcome.then = Then::HangUp;
        }
        outcome
    }
}

/// Puts data behind what is there: at most as much as one message may have, and as there is
/// room for all of them.
fn append(to: &mut Vec<u8>, data: &[u8], terms: Terms<'_>) -> Result<(), Refused> {
    let (has, needs) = (to.capacity(), to.len() + data.len());
    if needs > terms.largest {
        return Err(Refused::TooLarge);
    }
    if needs > has {
        // Twice as much each time: else it would be copied anew for each piece.
        let wants = needs.max(2 * has).max(FIRST_ROOM).min(terms.largest).min(has + terms.room);
        if wants < needs {
            return Err(Refused::NoMemory);
        }
        to.reserve_exact(wants - to.len());
    }
    to.extend_from_slice(data);
    Ok(())
}

impl Outcome {
    const NOTHING: Self = Self { reply: Cow::Borrowed(""), then: Then::GoOn, note: None };

    fn last(reply: &'static str, note: Option<&'static str>) -> Self {
        Self { reply: reply.into(), then: Then::HangUp, note }
    }
}

impl From<&'static str> for Outcome {
    fn from(reply: &'static str) -> Self {
        Self { reply: reply.into(), ..Self::NOTHING }
    }
}

impl From<String> for Outcome {
    fn from(reply: String) -> Self {
        Self { reply: reply.into(), ..Self::NOTHING }
    }
}
