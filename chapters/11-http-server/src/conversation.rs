//! A server's side of one HTTP connection, as a value: no socket, no clock, no loop.
//!
//! Bytes go in, and requests come out; answers go in, and bytes come out. Whoever has the
//! socket moves the bytes, and asks what to wait for. Read [`State`] first, then
//! [`Conversation::next`] and [`Conversation::settle`].

use std::borrow::Cow;
use std::cell::RefCell;
use std::mem;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use ch10_http::{
    CONTINUE, Delivery, Event, Exchange, Framing, Head, Parser, Refusal, Size, Status,
};
use ch10_http::{chunk, last_chunk};

use crate::heads::Heads;
use crate::queue::{Outgoing, Queue};
use crate::response::{Body, Flow, Response};
use crate::settings::Settings;

// ANCHOR: ahead
/// How much may lie here unread by us, in bytes, while an answer is
/// under way. Whoever sends more has to wait: a client mustn't fill
/// our memory.
const MOST_AHEAD: usize = 32 * 1024;
/// With so much to be sent, in bytes, no further request is looked at.
const MOST_QUEUED: u64 = 64 * 1024;
// ANCHOR_END: ahead
/// So much of a body must come within [`Settings::body`], in bytes: one who sends a byte
/// now and then mustn't stay for ever.
const PROGRESS: usize = 1024;

/// What all conversations of one server share.
pub struct Common {
    pub settings: Settings,
    heads: RefCell<Heads>,
}

impl Common {
    /// With the date of this moment.
    pub fn new(settings: Settings, time: SystemTime) -> Self {
        Self { settings, heads: RefCell::new(Heads::new(time)) }
    }

    /// From now on responses say this date.
    pub fn set_date(&self, time: SystemTime) {
        self.heads.borrow_mut().set_date(time);
    }
}

// ANCHOR: conversation
/// A server's side of one HTTP connection (RFC 9112). It takes bytes as they come, gives
/// out requests, takes their answers, and says what is to be sent, what to wait for and
/// until when. The caller has the socket and the clock.
///
/// Between two requests its memory is what stands here.
pub struct Conversation {
    common: Rc<Common>,
    parser: Parser,
    state: State,
    /// What has come, and isn't used yet.
    input: Vec<u8>,
    /// The client has finished sending.
    input_ended: bool,
    queue: Queue,
    /// The number of the request that was given out last. They count from 1.
    request: u64,
    /// The last answer, until the caller asks for it.
    answered: Option<Answered>,
    /// No further request is taken: the server is being stopped.
    stopping: bool,
    waits: Waits,
}
// ANCHOR_END: conversation

// ANCHOR: state
/// Where a conversation is. What is queued is sent in any of these
/// states, and nothing further happens before it's nearly all gone.
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
    Over,
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
enum Length {
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

// ANCHOR: wait
/// What a conversation waits for. Each has its own limit in the [`Settings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The first byte of a request, the first one or the next.
    Idle,
    /// The rest of a request's head.
    Head,
    /// The rest of its body.
    Body,
    /// An answer that comes later.
    Handler,
    /// The client to take more of what is queued.
    Send,
    /// A stream that has nothing to say at the moment. It may be silent
    /// for as long as it likes.
    Stream,
    /// The client to hang up.
    Linger,
    /// Nothing: there is something to be done at once.
    Nothing,
}
// ANCHOR_END: wait

/// A wait, and when it has lasted too long.
#[derive(Clone, Copy)]
struct Waits {
    what: Wait,
    /// By the caller's clock.
    deadline: Option<Duration>,
    /// The request during which it began.
    request: u64,
    /// Since it was last looked at, something was sent, or a good piece of a body came.
    progress: bool,
}

/// What has come on a connection, while it's being looked through.
pub struct Input<'a> {
    bytes: Cow<'a, [u8]>,
    used: usize,
}

impl Input<'_> {
    fn is_empty(&self) -> bool {
        self.used == self.bytes.len()
    }
}

/// A whole request.
pub enum Request<'i> {
    /// As it lies in what has come.
    Whole(Head<'i>),
    /// One whose body came in pieces.
    Assembled(Box<Assembled>),
}

/// The bytes of a head, and of a body.
pub struct Assembled {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Request<'_> {
    /// Its head and its body.
    pub fn parts(&self) -> Option<(Head<'_>, &[u8])> {
        match self {
            Self::Whole(head) => Some((*head, b"")),
            // It was read before, so there is one.
            Self::Assembled(it) => Some((Head::of(&it.head)?, &it.body)),
        }
    }
}

/// What was found in what has come.
pub enum Next<'i> {
    /// A request. It's answered by [`Conversation::answer`], or later.
    Request(Request<'i>),
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
        let deadline = Some(now + common.settings.idle);
        Self {
            parser: Parser::new(common.settings.limits),
            common,
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

    // ANCHOR: receive
    /// These bytes have come. As a rule none were kept from before, and nothing is copied.
    /// What isn't used must be [kept](Self::keep).
    pub fn receive<'a>(&mut self, came: &'a [u8]) -> Input<'a> {
        let bytes = match &self.state {
            // Thrown away.
            State::Lingering { .. } | State::Over => Cow::Borrowed(&b""[..]),
            _ if self.input.is_empty() => Cow::Borrowed(came),
            _ => {
                let mut all = mem::take(&mut self.input);
                all.extend_from_slice(came);
                Cow::Owned(all)
            }
        };
        Input { bytes, used: 0 }
    }

    /// Nothing will come any more.
    pub fn receive_end(&mut self) {
        self.input_ended = true;
    }

    /// Keeps what isn't used.
    pub fn keep(&mut self, input: Input<'_>) {
        let Input { bytes, used } = input;
        if used < bytes.len() && !matches!(self.state, State::Lingering { .. } | State::Over) {
            self.input = match bytes {
                Cow::Borrowed(bytes) => bytes[used..].to_vec(),
                Cow::Owned(mut bytes) => {
                    bytes.drain(..used);
                    bytes
                }
            };
        }
    }
    // ANCHOR_END: receive

    // ANCHOR: next
    /// Looks for the next whole request. `accepts` is asked whether somebody would take a
    /// request whose client waits for a word before it sends the body.
    #[inline]
    pub fn next<'i>(
        &mut self,
        input: &'i mut Input<'_>,
        accepts: impl Fn(&Head<'_>) -> bool,
    ) -> Next<'i> {
        if !self.is_free() {
            return if input.is_empty() { Next::NotYet } else { Next::Busy };
        }
        let Input { bytes, used } = input;
        let bytes: &'i [u8] = bytes;
        loop {
            let rest = &bytes[*used..];
            if rest.is_empty() && self.parser.is_between() {
                return Next::NotYet; // as a rule
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
                        return Next::Request(Request::Whole(head));
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
                    self.begin(head.exchange(), false);
                    return Next::Request(Request::Whole(head));
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
                    if let State::Receiving(upload) = mem::replace(&mut self.state, State::Reading)
                    {
                        let Upload { exchange, head, body, .. } = *upload;
                        self.begin(exchange, false);
                        return Next::Request(Request::Assembled(Box::new(Assembled {
                            head,
                            body,
                        })));
                    }
                }
            }
        }
    }
    // ANCHOR_END: next

    /// The request that was given out last is the last one: its answer says so.
    pub fn closes(&mut self) {
        if let State::Handling(handling) = &mut self.state {
            handling.exchange.keep_alive = false;
        }
    }

    /// Whether the next request may be looked at.
    pub fn is_free(&self) -> bool {
        matches!(self.state, State::Reading | State::Receiving(_))
            && self.queue.is_small()
            && self.queue.len() < MOST_QUEUED
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

    // ANCHOR: answer
    /// Answers the request of this number. Gives what makes the rest of the answer, if
    /// that is a stream which is to be asked.
    ///
    /// # Errors
    /// When that request isn't waiting for one: it has got one already.
    #[inline]
    pub fn answer<S>(
        &mut self,
        request: u64,
        response: Response<S>,
    ) -> Result<Option<S>, NotWaitedFor> {
        match self.state {
            State::Handling(handling) if request == self.request => {
                Ok(self.respond(handling, response))
            }
            _ => Err(NotWaitedFor),
        }
    }

    /// Puts an answer into the queue. This is the only place that does: head and body
    /// come from the same decision.
    fn respond<S>(&mut self, handling: Handling, response: Response<S>) -> Option<S> {
        if response.status.code() < 200 {
            // It would be taken for a word in between, and the answer waited for.
            let why = "Something went wrong here.";
            return self.respond(handling, Response::error(Status::INTERNAL_SERVER_ERROR, why));
        }
        let Response { status, content_type, fields, body } = response;
        let Handling { exchange, lingers } = handling;
        let size = body.size();
        let (delivery, stays) = self.common.heads.borrow_mut().write(
            &mut self.queue.bytes,
            exchange,
            status,
            content_type.as_deref().filter(|it| !it.is_empty()),
            &fields,
            size,
        );
        let after = if stays { After::Next } else { After::Close { lingers } };
        self.state = after.state();
        let mut bytes = 0;
        let mut stream = None;
        if delivery != Delivery::None {
            if let Body::Stream { length, .. } = &body {
                let length = match length {
                    Some(length) => Length::Left(*length),
                    None if delivery == Delivery::Chunked => Length::InChunks,
                    None => Length::UntilClose,
                };
                self.state = State::Streaming(Streaming { length, flow: Flow::More, after });
            } else if let Size::Known(size) = size {
                bytes = size;
            }
            stream = self.queue.put(body);
        }
        self.answered = Some(Answered { status, bytes });
        stream
    }
    // ANCHOR_END: answer

    /// What can't be read, or won't be.
    fn refuse(&mut self, refusal: Refusal) {
        let Refusal { status, close, why, mut exchange } = refusal;
        exchange.keep_alive &= !close && !self.stopping;
        if let State::Receiving(upload) = &self.state {
            exchange.is_head |= upload.exchange.is_head;
        }
        let handling = Handling { exchange, lingers: !exchange.keep_alive };
        self.respond(handling, Response::<()>::error(status, why));
    }

    /// Says something that nobody has asked for, and that is the end.
    pub fn decline<S>(&mut self, response: Response<S>) {
        let is_head = match &self.state {
            State::Receiving(upload) => upload.exchange.is_head,
            _ => self.input.starts_with(b"HEAD "),
        };
        let exchange = Exchange { is_head, ..Exchange::UNKNOWN };
        self.respond(Handling { exchange, lingers: true }, response);
    }

    // ANCHOR: streaming
    /// Whether more of a stream is wanted now.
    pub fn wants_stream(&self) -> bool {
        let wants = matches!(self.state, State::Streaming(Streaming { flow: Flow::More, .. }));
        wants && self.queue.is_empty()
    }

    /// Whether an answer comes bit by bit, and more of it is to come.
    pub fn is_streaming(&self) -> bool {
        matches!(self.state, State::Streaming(_))
    }

    /// More is on its way: whether it's wanted again is said with it, or by
    /// [`resume`](Self::resume) meanwhile.
    pub fn pause(&mut self) {
        if let State::Streaming(streaming) = &mut self.state {
            streaming.flow = Flow::Pause;
        }
    }

    /// More of a stream, and how it goes on.
    ///
    /// # Errors
    /// When that was the end, and isn't what was promised.
    pub fn stream(&mut self, piece: &[u8], mut flow: Flow) -> Result<(), EndedTooEarly> {
        let State::Streaming(Streaming { mut length, flow: before, after }) = self.state else {
            return Ok(());
        };
        if flow == Flow::Pause {
            flow = before;
        }
        let mut piece = piece;
        if let Length::Left(left) = &mut length {
            let most = usize::try_from(*left).unwrap_or(usize::MAX);
            piece = &piece[..piece.len().min(most)];
            *left -= piece.len() as u64;
            match (*left, flow) {
                (0, _) => flow = Flow::End,
                (_, Flow::End) => return Err(EndedTooEarly),
                _ => {}
            }
        }
        match length {
            Length::InChunks => chunk(&mut self.queue.bytes, piece),
            Length::Left(_) | Length::UntilClose => self.queue.bytes.extend_from_slice(piece),
        }
        if let Some(answered) = &mut self.answered {
            answered.bytes += piece.len() as u64;
        }
        self.state = match flow {
            Flow::End => {
                if length == Length::InChunks {
                    last_chunk(&mut self.queue.bytes);
                }
                after.state()
            }
            Flow::More | Flow::Pause => State::Streaming(Streaming { length, flow, after }),
        };
        Ok(())
    }

    /// Somebody says that the stream of this request has more. False: it's gone. One that
    /// hasn't begun will be asked anyway.
    pub fn resume(&mut self, request: u64) -> bool {
        match &mut self.state {
            State::Streaming(streaming) if request == self.request => {
                streaming.flow = Flow::More;
                true
            }
            State::Handling(_) => request == self.request,
            _ => false,
        }
    }
    // ANCHOR_END: streaming

    /// What is to be sent.
    pub fn outgoing(&self) -> Outgoing<'_> {
        self.queue.outgoing()
    }

    /// So many bytes of it were sent.
    pub fn sent(&mut self, count: u64) {
        self.waits.progress |= count > 0;
        self.queue.took(count);
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
    pub fn borrow(&mut self, buffer: &mut Vec<u8>) {
        self.queue.borrow(buffer);
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
    pub fn wants_write(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether the client is to be told that nothing more comes, by half a close.
    pub fn wants_shutdown(&self) -> bool {
        matches!(self.state, State::Lingering { told: false })
    }

    /// It has been told; or it couldn't be.
    pub fn shut_down(&mut self, told: bool) {
        self.state = if told { State::Lingering { told } } else { State::Over };
    }

    /// Whether the connection is to be closed.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Whether it may be looked at now, without waiting.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Reading | State::Receiving(_)) && self.queue.is_empty()
    }

    /// When it has waited too long, by the caller's clock.
    pub fn deadline(&self) -> Option<Duration> {
        self.waits.deadline
    }

    // ANCHOR: settle
    /// To be called when all is done that can be: sees what comes next, and for how long to
    /// wait for it. `again`: there is more to be done, without waiting for anything.
    pub fn settle(&mut self, now: Duration, again: bool) {
        if self.queue.is_empty() {
            self.move_on(again);
        }
        let what = if again { Wait::Nothing } else { self.waits_for() };
        let Waits { what: before, request, progress, .. } = self.waits;
        // A head's time isn't renewed by a byte more of it.
        if what != before || request != self.request || progress {
            let deadline = self.limit(what).map(|limit| now + limit);
            self.waits = Waits { what, deadline, request: self.request, progress: false };
        }
    }

    /// All is sent.
    fn move_on(&mut self, again: bool) {
        let ends = self.input_ended || self.stopping;
        match &self.state {
            State::Reading | State::Receiving(_) if self.input_ended && !again => {
                self.state = State::Over;
            }
            State::Reading if self.stopping && !again && self.waits_for() == Wait::Idle => {
                self.state = State::Over;
            }
            // It pauses, perhaps for ever; and the server is being stopped, or nobody will tell
            // whether somebody who has finished sending still listens.
            State::Streaming(Streaming { flow: Flow::Pause, .. }) if ends => {
                self.state = State::Over;
            }
            State::Closing { lingers } => {
                let lingers = *lingers || !self.input.is_empty();
                self.state = match lingers && !self.input_ended {
                    true => State::Lingering { told: false },
                    false => State::Over,
                };
                self.input = Vec::new();
            }
            State::Lingering { .. } if self.input_ended => self.state = State::Over,
            _ => {}
        }
    }
    // ANCHOR_END: settle

    fn waits_for(&self) -> Wait {
        if !self.queue.is_empty() {
            return Wait::Send;
        }
        match &self.state {
            State::Reading if self.parser.is_between() && self.input.is_empty() => Wait::Idle,
            State::Reading if self.parser.is_between() => Wait::Head,
            State::Reading | State::Receiving(_) => Wait::Body,
            State::Handling(_) => Wait::Handler,
            State::Streaming(Streaming { flow: Flow::Pause, .. }) => Wait::Stream,
            State::Lingering { .. } => Wait::Linger,
            State::Streaming(_) | State::Closing { .. } | State::Over => Wait::Nothing,
        }
    }

    fn limit(&self, what: Wait) -> Option<Duration> {
        let Settings { idle, head, body, handler, answer, leave, .. } = self.common.settings;
        match what {
            Wait::Idle => Some(idle),
            Wait::Head => Some(head),
            Wait::Body => Some(body),
            Wait::Handler => Some(handler),
            Wait::Send => Some(answer),
            Wait::Linger => Some(leave),
            Wait::Stream | Wait::Nothing => None,
        }
    }

    // ANCHOR: late
    /// Whether it has waited too long. If so, it's over, or the client gets an answer that
    /// says so.
    pub fn look_at_clock(&mut self, now: Duration) -> bool {
        if self.waits.deadline.is_none_or(|deadline| deadline > now) {
            return false;
        }
        self.waits.deadline = None;
        match (self.waits.what, &self.state) {
            (Wait::Head | Wait::Body, _) => {
                let why = "The request didn't become whole in time.";
                self.decline(Response::<()>::error(Status::REQUEST_TIMEOUT, why));
            }
            (Wait::Handler, State::Handling(handling)) => {
                let why = "The answer wasn't there in time.";
                let response = Response::<()>::error(Status::GATEWAY_TIMEOUT, why);
                self.respond(*handling, response);
            }
            (Wait::Idle | Wait::Send | Wait::Linger, _) => {
                self.state = State::Over;
            }
            (Wait::Handler | Wait::Stream | Wait::Nothing, _) => {}
        }
        true
    }
    // ANCHOR_END: late

    // ANCHOR: stop
    /// The server is being stopped: what was begun is finished, and nothing else. To be
    /// called when all that has come was looked through.
    pub fn stop(&mut self) {
        self.stopping = true;
        match &mut self.state {
            State::Handling(handling) => handling.exchange.keep_alive = false,
            State::Streaming(streaming) => streaming.after = After::Close { lingers: true },
            // It was told that the connection stays. It may have sent something meanwhile.
            State::Reading | State::Receiving(_) if !self.queue.is_empty() => {
                self.state = State::Closing { lingers: true };
            }
            State::Closing { lingers } => *lingers = true,
            _ => {}
        }
    }
    // ANCHOR_END: stop
}

fn has_body(head: &Head<'_>) -> bool {
    !matches!(head.body, Framing::None | Framing::Length(0))
}
