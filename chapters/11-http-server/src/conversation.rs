//! A server's side of one HTTP connection, as a value: no socket, no clock, no loop.
//!
//! Bytes go in, and requests come out; answers go in, and bytes come out. Whoever has the
//! socket moves the bytes, and asks what to wait for. Read `State` first, then
//! [`Conversation::next`] and [`Conversation::finish_turn`]. How answers get into the queue is in
//! `answering`, what is waited for in [`wait`] and `waiting`, and [`parts`] takes it apart.

mod answering;
pub mod parts;
pub mod wait;
mod waiting;

use std::borrow::Cow;
use std::cell::RefCell;
use std::mem;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use ch10_http::{CONTINUE, Event, Exchange, Framing, Head, KnownFields, Parser, Place, Status};

use crate::heads::Heads;
use crate::queue::{Outgoing, Queue};
use crate::response::Flow;
use crate::settings::Settings;

use wait::{Wait, Waits};

// ANCHOR: ahead
/// How much may lie here, not looked at yet, in bytes, while an answer
/// is under way. Whoever sends more has to wait: a client mustn't fill
/// our memory.
const MOST_AHEAD: usize = 32 * 1024;
/// With so much to be sent, in bytes, no further request is looked at.
const MOST_QUEUED: u64 = 64 * 1024;
// ANCHOR_END: ahead
/// So much of a body must come within [`Settings::body_timeout`], in bytes: one who sends a byte
/// now and then mustn't stay for ever.
const PROGRESS: usize = 1024;

/// What all conversations of one server share.
pub struct Common {
    pub settings: Settings,
    heads: RefCell<Heads>,
    known: RefCell<KnownFields>,
}

impl Common {
    /// With the date of this moment.
    pub fn new(settings: Settings, time: SystemTime) -> Self {
        Self { settings, heads: RefCell::new(Heads::new(time)), known: RefCell::default() }
    }

    /// From now on responses say this date.
    pub fn set_date(&self, time: SystemTime) {
        self.heads.borrow_mut().set_date(time);
    }
}

// ANCHOR: conversation
/// A server's side of one HTTP connection (RFC 9112). It takes bytes as
/// they come, gives out requests, takes their answers, and says what is
/// to be sent, what to wait for and until when. The caller has the
/// socket and the clock.
///
/// Between two requests its memory is what stands here.
pub struct Conversation {
    common: Rc<Common>,
    parser: Parser,
    /// Which fields its last request had.
    known: Place,
    state: State,
    /// What has come, and isn't used yet.
    input: Vec<u8>,
    /// The client has finished sending.
    input_ended: bool,
    queue: Queue,
    /// The number of the request that was given out last. They count
    /// from 1.
    request: u64,
    /// The last answer, until the caller asks for it.
    answered: Option<Answered>,
    /// No further request is taken: the server is being stopped.
    stopping: bool,
    waits: Waits,
}
// ANCHOR_END: conversation

// ANCHOR: state
/// Where a conversation is: what comes next. What is queued is sent in
/// any of these states.
enum State {
    /// Waits for the next request.
    Reading,
    /// Waits for the rest of a request's body.
    Receiving(Box<Upload>),
    /// Waits for the answer to a request, from whoever has it.
    Handling(Handling),
    /// Waits for more of an answer, from whoever makes it.
    Streaming(Streaming),
    /// Waits for the last answer to be sent.
    Closing { lingers: bool },
    /// Waits for the client to hang up: all is said, and what still
    /// comes is thrown away. A close would be a reset, which can eat
    /// the answer.
    Lingering { told: bool },
    /// Waits for nothing: the connection is to be closed.
    Done,
}
// ANCHOR_END: state

/// What of a request its answer depends on.
#[derive(Clone, Copy)]
struct Handling {
    exchange: Exchange,
    /// Something may come that nobody will read.
    lingers: bool,
}

/// A request whose body isn't whole.
struct Upload {
    exchange: Exchange,
    /// The head's bytes.
    head: Vec<u8>,
    body: Vec<u8>,
    /// How long the body was when its time was last renewed.
    seen: usize,
}

/// An answer that comes bit by bit.
#[derive(Clone, Copy)]
struct Streaming {
    length: Length,
    flow: Flow,
    after: After,
}

/// How the client tells where a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// After so many more bytes.
    Left(u64),
    InChunks,
    UntilClose,
}

/// What comes behind an answer.
#[derive(Clone, Copy)]
enum After {
    Next,
    Close { lingers: bool },
}

impl After {
    fn state(self) -> State {
        match self {
            Self::Next => State::Reading,
            Self::Close { lingers } => State::Closing { lingers },
        }
    }
}

/// What has come on a connection, while it's being looked through.
pub struct Input<'a> {
    bytes: Cow<'a, [u8]>,
    used: usize,
    /// The request that was given out last, if its body came in pieces.
    upload: Option<Box<Upload>>,
}

impl Input<'_> {
    fn is_empty(&self) -> bool {
        self.used == self.bytes.len()
    }
}

/// What was found in what has come.
pub enum Next<'i> {
    /// A whole request: its head, and its body. It's answered by
    /// [`Conversation::answer`], now or later.
    Request(Head<'i>, &'i [u8]),
    /// Something that isn't taken. It has got an answer that says so.
    Refused,
    /// Nothing that is whole.
    NotYet,
    /// There is something, and an answer has to go first.
    Busy,
}

/// An answer, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    pub status: Status,
    /// How long its content was, as it was sent, in bytes.
    pub bytes: u64,
}

/// Nobody waits for this answer, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotWaitedFor;

/// A stream has ended, and had promised more bytes: the client must not take what it has
/// for the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedTooEarly;

impl Conversation {
    /// With somebody who hasn't said anything yet.
    pub fn new(common: Rc<Common>, now: Duration) -> Self {
        let deadline = Some(now + common.settings.idle_timeout);
        Self {
            parser: Parser::new(common.settings.limits),
            common,
            known: Place::default(),
            state: State::Reading,
            input: Vec::new(),
            input_ended: false,
            queue: Queue::default(),
            request: 0,
            answered: None,
            stopping: false,
            waits: Waits { what: Wait::Idle, deadline, request: 0, progress: false },
        }
    }

    /// These bytes have come. As a rule none were kept from before, and nothing is copied.
    /// What isn't used must be [kept](Self::keep).
    #[inline]
    pub fn receive<'a>(&mut self, came: &'a [u8]) -> Input<'a> {
        let bytes = match &self.state {
            // Thrown away.
            State::Lingering { .. } | State::Done => Cow::Borrowed(&b""[..]),
            _ if self.input.is_empty() => Cow::Borrowed(came),
            _ => {
                let mut all = mem::take(&mut self.input);
                all.extend_from_slice(came);
                Cow::Owned(all)
            }
        };
        Input { bytes, used: 0, upload: None }
    }

    /// Nothing will come any more.
    pub fn receive_end(&mut self) {
        self.input_ended = true;
    }

    /// Keeps what isn't used.
    #[inline]
    pub fn keep(&mut self, input: Input<'_>) {
        let Input { bytes, used, .. } = input;
        if used < bytes.len() && !matches!(self.state, State::Lingering { .. } | State::Done) {
            self.input = match bytes {
                Cow::Borrowed(bytes) => bytes[used..].to_vec(),
                Cow::Owned(mut bytes) => {
                    bytes.drain(..used);
                    bytes
                }
            };
        }
    }

    /// Looks for the next whole request. `accepts` is asked whether somebody would take a
    /// request whose client waits for a word before it sends the body.
    #[inline]
    pub fn next<'i>(
        &mut self,
        input: &'i mut Input<'_>,
        accepts: impl Fn(&Head<'_>) -> bool,
    ) -> Next<'i> {
        if input.is_empty() && self.parser.is_between() {
            return Next::NotYet; // as a rule
        }
        if !self.is_free() {
            return if input.is_empty() { Next::NotYet } else { Next::Busy };
        }
        let Input { bytes, used, upload: assembled } = input;
        let bytes: &'i [u8] = bytes;
        loop {
            let rest = &bytes[*used..];
            if let Some(head) = self.read_known(rest) {
                *used += head.raw().len();
                self.begin(head.exchange(), false);
                return Next::Request(head, b"");
            }
            let (event, length) = match self.parser.next(rest) {
                Ok(None) => return Next::NotYet,
                Ok(Some(next)) => next,
                Err(refusal) => {
                    self.refuse(refusal);
                    return Next::Refused;
                }
            };
            *used += length;
            match event {
                Event::Head(head) if has_body(&head) => {
                    let waits = head.expects_continue && length == rest.len();
                    if waits && !accepts(&head) {
                        // It gets its answer without having sent the body.
                        self.begin(head.exchange(), true);
                        return Next::Request(head, b"");
                    }
                    if waits {
                        self.queue.bytes.extend_from_slice(CONTINUE);
                    }
                    let (exchange, head) = (head.exchange(), head.raw().to_vec());
                    let upload = Upload { exchange, head, body: Vec::new(), seen: 0 };
                    self.state = State::Receiving(Box::new(upload));
                }
                Event::Head(head) => {
                    // It's whole. Its end takes no bytes.
                    let _ = self.parser.next(&rest[length..]);
                    self.known = self.common.known.borrow_mut().note(&head);
                    self.begin(head.exchange(), false);
                    return Next::Request(head, b"");
                }
                Event::Body(piece) => {
                    if let State::Receiving(upload) = &mut self.state {
                        upload.body.extend_from_slice(piece);
                        if upload.body.len() >= upload.seen + PROGRESS {
                            upload.seen = upload.body.len();
                            self.waits.progress = true;
                        }
                    }
                }
                // If nothing was received, it was the end of one that was refused.
                Event::End => {
                    let State::Receiving(upload) = mem::replace(&mut self.state, State::Reading)
                    else {
                        continue;
                    };
                    self.begin(upload.exchange, false);
                    let upload = assembled.insert(upload);
                    // It was read once, and is the same.
                    let head = Head::of(&upload.head);
                    return head.map_or(Next::NotYet, |head| Next::Request(head, &upload.body));
                }
            }
        }
    }

    /// A whole request with the fields of the one before. As a rule it's
    /// one, and needn't be read.
    #[inline]
    fn read_known<'b>(&self, bytes: &'b [u8]) -> Option<Head<'b>> {
        if !self.parser.is_untouched() {
            return None;
        }
        let Common { known, settings, .. } = &*self.common;
        known.borrow().read(self.known, bytes, &settings.limits)
    }

    /// The request that was given out last is the last one: its answer says so.
    pub fn closes(&mut self) {
        if let State::Handling(handling) = &mut self.state {
            handling.exchange.keep_alive = false;
        }
    }

    /// Whether the next request may be looked at.
    #[inline]
    pub fn is_free(&self) -> bool {
        matches!(self.state, State::Reading | State::Receiving(_))
            && self.queue.is_small()
            && self.queue.len() < MOST_QUEUED
    }

    /// Nothing of a further request has come.
    fn is_between(&self) -> bool {
        self.parser.is_between() && self.input.is_empty()
    }

    /// A request is given out.
    fn begin(&mut self, mut exchange: Exchange, lingers: bool) {
        self.request += 1;
        self.answered = None;
        exchange.keep_alive &= !self.stopping && !lingers;
        self.state = State::Handling(Handling { exchange, lingers });
    }

    /// The number of the request that was given out last.
    pub fn request(&self) -> u64 {
        self.request
    }

    /// What is to be sent.
    pub fn outgoing(&self) -> Outgoing<'_> {
        self.queue.outgoing()
    }

    /// So many bytes of it were sent.
    #[inline]
    pub fn sent(&mut self, count: u64) {
        self.waits.progress |= count > 0;
        self.queue.sent(count);
    }

    /// How much is to be sent, in bytes.
    pub fn queued(&self) -> u64 {
        self.queue.len()
    }

    /// The last answer, if all of it is sent, or will be without any further doing.
    pub fn finished(&mut self) -> Option<Answered> {
        let under_way = matches!(self.state, State::Handling(_) | State::Streaming(_));
        if under_way || !self.queue.is_small() {
            return None;
        }
        self.answered.take()
    }

    /// The last answer, as far as it got.
    pub fn unfinished(&self) -> Option<Answered> {
        let answered = self.answered?;
        Some(Answered { bytes: answered.bytes.saturating_sub(self.queue.len()), ..answered })
    }

    /// Works with this memory until it's [given back](Self::give_back).
    pub fn lend(&mut self, buffer: &mut Vec<u8>) {
        self.queue.lend(buffer);
    }

    /// Gives back what was lent, and keeps what isn't sent.
    pub fn give_back(&mut self, buffer: &mut Vec<u8>) {
        self.queue.give_back(buffer);
    }

    /// Whether what comes would be read.
    pub fn wants_read(&self) -> bool {
        // No head is longer than that: one that isn't whole always finds room for the rest.
        let most = MOST_AHEAD.max(self.common.settings.limits.head);
        !self.input_ended && self.input.len() <= most
    }

    /// Whether something is to be sent.
    #[inline]
    pub fn wants_write(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether the client is to be told that nothing more comes, by half a close.
    pub fn wants_shutdown(&self) -> bool {
        matches!(self.state, State::Lingering { told: false })
    }

    /// It has been told; or it couldn't be.
    pub fn shut_down(&mut self, told: bool) {
        self.state = if told { State::Lingering { told } } else { State::Done };
    }

    /// Whether the connection is to be closed.
    pub fn wants_close(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether it may be looked at now, without waiting.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Reading | State::Receiving(_)) && self.queue.is_empty()
    }
}

fn has_body(head: &Head<'_>) -> bool {
    !matches!(head.body, Framing::None | Framing::Length(0))
}
