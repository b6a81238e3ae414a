//! A connection's life: from one request to the next, until one of both has enough.
//!
//! Read [`Stage`] first, then [`serve`].

use std::borrow::Cow;
use std::io;
use std::mem;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use ch07_callbacks::program::say;
use ch07_callbacks::{Ending, EventLoop, Interest, Readiness, Source, Token};
use ch09_timers::Timer;
use ch10_http::{
    CONTINUE, Delivery, Event, Exchange, Framing, Head, Parser, Refusal, Size, Status,
};
use ch10_http::{chunk, last_chunk};
use nix::sys::socket::{MsgFlags, recv};

use crate::answer::{Answer, Body, Flow, Response, Ticket};
use crate::log::Line;
use crate::output::{Length, Output, Sent};
use crate::server::{Desk, House};

// ANCHOR: ahead
/// How much may lie here unread by us, in bytes, while an answer is
/// under way. Whoever sends more has to wait: a visitor mustn't fill
/// our memory.
const MOST_AHEAD: usize = 32 * 1024;
// ANCHOR_END: ahead
// ANCHOR: a_turn
/// How many requests are answered in one turn: the others want their
/// turns too.
const ANSWERS_A_TURN: usize = 64;
/// With so much to be sent, in bytes, that is enough for one turn.
const OUTPUT_A_TURN: usize = 64 * 1024;
// ANCHOR_END: a_turn
/// When one who found no room may try again, in seconds (RFC 9110, section 10.2.3).
const RETRY_AFTER: &str = "1";
/// So much of a body must come within [`Settings::body`](crate::Settings::body), in
/// bytes: one who sends a byte now and then mustn't stay for ever.
const PROGRESS: usize = 1024;

// ANCHOR: stage
/// What a connection waits for. Each stage has its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// For the first byte of a request, the first one or the next.
    Idle,
    /// For the rest of a request's head.
    Head,
    /// For the rest of its body.
    Body,
    /// For a handler that has the answer later.
    Handler,
    /// For the visitor to take more of the answer.
    Sending,
    /// For a stream that has nothing to say at the moment.
    Stream,
    /// For the visitor to hang up: all is said, and what still comes is
    /// thrown away.
    Leaving,
}
// ANCHOR_END: stage

// ANCHOR: connection
/// A connection. Its memory is what stands here, and what is under way: between two
/// requests that is nothing.
pub struct Connection {
    socket: TcpStream,
    house: Rc<House>,
    from: SocketAddr,
    stage: Stage,
    /// When the stage has lasted too long, by the timers' clock.
    due: Option<Duration>,
    /// The timer that is set, and for when. It may ring early: a deadline that moves with
    /// each request isn't set anew each time.
    timer: Option<(Duration, Timer)>,
    parser: Parser,
    /// What has come, and isn't used yet.
    input: Vec<u8>,
    /// The visitor has finished sending.
    ended: bool,
    /// A request whose body isn't whole.
    asking: Option<Box<Asking>>,
    output: Output,
    /// What is being answered.
    exchange: Exchange,
    /// Counts requests.
    request: u64,
    /// An answer that somebody has given: a handler, later, or a deadline.
    given: Option<Box<Response>>,
    /// A handler has the answer later.
    later: bool,
    /// This answer is the last one.
    last: bool,
    /// Something may come that nobody will read: a close would be a reset, which can eat
    /// the answer.
    lingers: bool,
    /// There is more to be done, without waiting for anything.
    again: bool,
    /// It's to be hung up on.
    over: bool,
    /// The stream wants to be called when there is room.
    wanted: bool,
    /// There was no room for it: it isn't counted.
    pub(crate) turned_away: bool,
    /// For the access log.
    line: Option<Box<Line>>,
}

/// A request whose body isn't whole.
struct Asking {
    /// The head's bytes.
    head: Vec<u8>,
    body: Vec<u8>,
    /// How long the body was when its time was last renewed.
    seen: usize,
}
// ANCHOR_END: connection

impl Connection {
    /// Whether it's one of this server: there may be several in one loop.
    pub(crate) fn is_of(&self, house: &House) -> bool {
        std::ptr::eq(Rc::as_ptr(&self.house), house)
    }

    pub(crate) fn new(
        house: Rc<House>,
        socket: TcpStream,
        from: SocketAddr,
        now: Duration,
    ) -> Self {
        let due = house.limit(Stage::Idle).map(|limit| now + limit);
        Self {
            parser: Parser::new(house.settings.limits),
            house,
            socket,
            from,
            stage: Stage::Idle,
            due,
            timer: None,
            input: Vec::new(),
            ended: false,
            asking: None,
            output: Output::default(),
            exchange: Exchange::UNKNOWN,
            request: 0,
            given: None,
            later: false,
            last: false,
            lingers: false,
            again: false,
            over: false,
            wanted: false,
            turned_away: false,
            line: None,
        }
    }

    /// Whether the next request may be looked at.
    fn is_free(&self) -> bool {
        !self.later && matches!(self.stage, Stage::Idle | Stage::Head | Stage::Body)
    }

    /// It's a stream that pauses, perhaps for ever; and the server is being stopped, or
    /// nobody will tell whether somebody who has finished sending still listens.
    fn pauses_for_nobody(&self) -> bool {
        let pauses = self.stage == Stage::Stream && !self.wanted;
        pauses && (self.ended || self.house.is_stopping())
    }

    /// It's over, or nobody will look at its deadline in time.
    fn is_unsettled(&self) -> bool {
        let rings = self.timer.map(|(rings, _)| rings);
        self.over || self.due.is_some_and(|due| rings.is_none_or(|rings| rings > due))
    }

    /// A stage begins, or begins anew: so does its time.
    fn enter(&mut self, stage: Stage, now: Duration) {
        self.stage = stage;
        self.due = self.house.limit(stage).map(|limit| now + limit);
    }
}

// ANCHOR: source
impl Source for Connection {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn interest(&self) -> Interest {
        // No head is longer than that: one that isn't whole always finds room for the rest.
        let most = MOST_AHEAD.max(self.house.settings.limits.head);
        let room = self.input.len() <= most;
        Interest { read: !self.ended && room, write: self.stage == Stage::Sending }
    }

    /// With more to do there is nothing to wait for.
    fn patience(&self) -> Option<Duration> {
        let has_answer = self.given.is_some() && self.stage != Stage::Sending;
        (self.again || has_answer).then_some(Duration::ZERO)
    }

    fn closed(self: Box<Self>, event_loop: &mut EventLoop, _: Token, ending: Ending) {
        if let Some((_, timer)) = self.timer {
            self.house.timers.cancel(event_loop, timer);
        }
        if let Ending::Panicked = ending {
            self.house.counters.panics.add(1);
            say(&format!("a stream for {} panicked", self.from));
        }
        let Self { house, socket, output, turned_away, mut line, .. } = *self;
        // An answer that didn't get through is logged as far as it got.
        if let (Some(mut line), Some(log)) = (line.take(), &house.log) {
            line.bytes = line.bytes.saturating_sub(output.left());
            log.write(&line, &house.counters);
        }
        drop(socket);
        house.is_gone(event_loop, turned_away);
    }
}
// ANCHOR_END: source

/// The handler of all connections.
pub(crate) fn ready(
    event_loop: &mut EventLoop,
    me: Token,
    readiness: Readiness,
    house: &House,
) -> io::Result<()> {
    let mut desk = house.take_desk();
    let served = serve(event_loop, me, readiness, house, &mut desk);
    house.leave_desk(desk);
    if served? {
        settle(event_loop, me, house);
    }
    Ok(())
}

// ANCHOR: serve
/// One turn of one connection: receives, goes on with what is under
/// way, and answers whatever is whole. Whether something is to be
/// [settled](settle) then.
fn serve(
    event_loop: &mut EventLoop,
    me: Token,
    readiness: Readiness,
    house: &House,
    desk: &mut Desk,
) -> io::Result<bool> {
    let now = house.now(event_loop);
    let Desk { input, output: front } = desk;
    let Some(mut connection) = event_loop.get_mut::<Connection>(me) else { return Ok(false) };
    connection.again = false;
    let came = connection.receive(readiness, input)?;
    // What is under way comes first.
    if !connection.is_free() {
        if connection.stage == Stage::Sending {
            connection.send(front, now)?;
        }
        pull(event_loop, me, front, now)?;
        let Some(still_here) = event_loop.get_mut(me) else { return Ok(false) };
        connection = still_here;
        connection.answer_what_was_given(front, now)?;
        if !connection.is_free() {
            connection.is_told_more(came);
            return Ok(connection.is_unsettled());
        }
    }
    let before = (connection.stage, connection.request);
    let bytes = connection.behind_what_was_kept(came);
    let (mut used, mut answers) = (0, 0);
    // ANCHOR: enough
    loop {
        if answers == ANSWERS_A_TURN || front.len() >= OUTPUT_A_TURN {
            connection.again = true;
            break;
        }
        // ANCHOR_END: enough
        let mut whole = None;
        let goes_on = match connection.find(&bytes, &mut used, &mut whole, front) {
            Found::Nothing => break,
            Found::Refused { goes_on } => goes_on,
            Found::Request(head, body) => {
                answers += 1;
                let (ticket, from) = connection.begin(me, &head);
                let answer = house.ask(event_loop, ticket, &head, body, from);
                let Some(still_here) = event_loop.get_mut(me) else { return Ok(false) };
                connection = still_here;
                connection.take(answer, front, now)
            }
        };
        if !goes_on {
            // What is behind it isn't known to be whole, or not.
            connection.again = used < bytes.len();
            break;
        }
    }
    connection.keep(bytes, used);
    if !front.is_empty() {
        connection.send(front, now)?;
    }
    connection.waits_for_more(before, now);
    Ok(connection.is_unsettled())
}
// ANCHOR_END: serve

impl Connection {
    /// What has come. None of it waits: it's there, or it isn't.
    fn receive<'d>(&mut self, readiness: Readiness, to: &'d mut [u8]) -> io::Result<&'d [u8]> {
        if readiness.error && !readiness.read {
            let error = self.socket.take_error()?;
            return Err(error.unwrap_or_else(|| io::Error::other("an error that nobody can name")));
        }
        if !readiness.read || !self.interest().read {
            return Ok(&[]);
        }
        // No wait, without having told the socket so by a call of its own.
        let received = recv(self.socket.as_raw_fd(), to, MsgFlags::MSG_DONTWAIT);
        let Some(count) = ch07_callbacks::now(received.map_err(io::Error::from))? else {
            return Ok(&[]);
        };
        self.ended = count == 0;
        self.over |= self.ended && self.stage == Stage::Leaving;
        self.house.counters.received.add(count as u64);
        Ok(&to[..count])
    }

    /// Both in a row. As a rule nothing was kept, and nothing is copied.
    fn behind_what_was_kept<'b>(&mut self, came: &'b [u8]) -> Cow<'b, [u8]> {
        if self.input.is_empty() {
            return Cow::Borrowed(came);
        }
        let mut all = mem::take(&mut self.input);
        all.extend_from_slice(came);
        Cow::Owned(all)
    }

    /// Keeps what isn't used.
    fn keep(&mut self, bytes: Cow<'_, [u8]>, used: usize) {
        if used < bytes.len() {
            self.input = match bytes {
                Cow::Borrowed(bytes) => bytes[used..].to_vec(),
                Cow::Owned(mut bytes) => {
                    bytes.drain(..used);
                    bytes
                }
            };
        }
    }

    // ANCHOR: has_sent
    /// Sends `front` and what was put behind it, or what is left, as far as there is
    /// room; and sees what the connection waits for then.
    fn send(&mut self, front: &mut Vec<u8>, now: Duration) -> io::Result<()> {
        let mut taken = 0;
        let sent = self.output.send(&self.socket, front, &mut taken)?;
        front.clear();
        self.house.counters.sent.add(taken);
        match sent {
            Sent::NoRoom | Sent::Enough => {
                // Its time begins anew when it has taken something, and for nothing else.
                if taken > 0 || self.stage != Stage::Sending {
                    self.enter(Stage::Sending, now);
                }
                self.again = sent == Sent::Enough;
            }
            // What was sent were the answers before that one.
            Sent::All if self.later => self.enter(Stage::Handler, now),
            Sent::All if self.output.is_stream() => {
                self.enter(Stage::Stream, now);
                self.again = self.wanted;
                self.over |= self.pauses_for_nobody();
            }
            Sent::All => {
                self.write_line();
                if self.last {
                    self.say_goodbye(now);
                } else {
                    self.enter(Stage::Idle, now);
                }
            }
        }
        Ok(())
    }
    // ANCHOR_END: has_sent

    // ANCHOR: goodbye
    /// All is said.
    fn say_goodbye(&mut self, now: Duration) {
        let lingers = self.lingers || !self.input.is_empty();
        let hangs_up = self.ended || !lingers || self.socket.shutdown(Shutdown::Write).is_err();
        self.over |= hangs_up;
        self.input = Vec::new();
        self.asking = None;
        self.enter(Stage::Leaving, now);
    }
    // ANCHOR_END: goodbye

    /// Sends what a handler has given later, or a deadline at once.
    fn answer_what_was_given(&mut self, front: &mut Vec<u8>, now: Duration) -> io::Result<()> {
        // The answers before it go first.
        if self.stage == Stage::Sending {
            return Ok(());
        }
        let Some(response) = self.given.take() else { return Ok(()) };
        self.later = false;
        self.respond(*response, front);
        self.send(front, now)
    }
}

// ANCHOR: pull
/// Has a stream say more, if it wants to, now that there is room.
fn pull(
    event_loop: &mut EventLoop,
    me: Token,
    front: &mut Vec<u8>,
    now: Duration,
) -> io::Result<()> {
    let Some(connection) = event_loop.get_mut::<Connection>(me) else { return Ok(()) };
    if connection.stage != Stage::Stream || !mem::take(&mut connection.wanted) {
        return Ok(());
    }
    let Some((mut stream, length)) = connection.output.take_stream() else { return Ok(()) };
    let mut piece = Vec::new();
    let mut flow = stream(event_loop, &mut piece);
    let Some(connection) = event_loop.get_mut::<Connection>(me) else { return Ok(()) };
    let length = match length {
        Length::Left(left) => {
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            let left = left - piece.len() as u64;
            match (left, flow) {
                (0, _) => flow = Flow::End,
                (_, Flow::End) => return Err(io::Error::other("a stream has ended too early")),
                _ => {}
            }
            Length::Left(left)
        }
        other => other,
    };
    match length {
        Length::InChunks => chunk(front, &piece),
        Length::Left(_) | Length::UntilClose => front.extend_from_slice(&piece),
    }
    if let Some(line) = &mut connection.line {
        line.bytes += piece.len() as u64;
    }
    match flow {
        Flow::End if length == Length::InChunks => last_chunk(front),
        Flow::End => {}
        Flow::More | Flow::Pause => connection.output.put_back(stream, length),
    }
    connection.wanted |= flow == Flow::More;
    connection.send(front, now)
}
// ANCHOR_END: pull

/// What was found in what has come.
enum Found<'b> {
    /// Nothing that is whole.
    Nothing,
    /// A request, and its body.
    Request(Head<'b>, &'b [u8]),
    /// One that is refused. Whether the next one may be looked at.
    Refused { goes_on: bool },
}

impl Connection {
    // ANCHOR: find
    /// Looks for the next whole request, behind those bytes that are used. One that has come
    /// in pieces is put together in `whole`.
    #[inline]
    fn find<'b>(
        &mut self,
        bytes: &'b [u8],
        used: &mut usize,
        whole: &'b mut Option<Box<Asking>>,
        front: &mut Vec<u8>,
    ) -> Found<'b> {
        loop {
            let rest = &bytes[*used..];
            if rest.is_empty() && self.parser.is_between() {
                return Found::Nothing; // as a rule
            }
            let (event, length) = match self.parser.next(rest) {
                Ok(None) => return Found::Nothing,
                Ok(Some(next)) => next,
                Err(refusal) => return Found::Refused { goes_on: self.refuse(refusal, front) },
            };
            *used += length;
            match event {
                Event::Head(head) if has_body(&head) => {
                    let waits = head.expects_continue && length == rest.len();
                    if waits && !self.house.routes.has(&head) {
                        // It gets its answer without having sent the body.
                        self.lingers = true;
                        return Found::Request(head, b"");
                    }
                    if waits {
                        front.extend_from_slice(CONTINUE);
                    }
                    let head = head.raw().to_vec();
                    self.asking = Some(Box::new(Asking { head, body: Vec::new(), seen: 0 }));
                }
                Event::Head(head) => {
                    // It's whole. Its end takes no bytes.
                    let _ = self.parser.next(&rest[length..]);
                    return Found::Request(head, b"");
                }
                Event::Body(piece) => {
                    if let Some(asking) = &mut self.asking {
                        asking.body.extend_from_slice(piece);
                    }
                }
                Event::End => {
                    // Or else it was the end of one that was refused.
                    if let Some(asking) = self.asking.take() {
                        let Asking { head, body, .. } = &**whole.insert(asking);
                        return match Head::of(head) {
                            Some(head) => Found::Request(head, body),
                            None => Found::Nothing, // it was read before
                        };
                    }
                }
            }
        }
    }
    // ANCHOR_END: find

    /// By somebody who must wait.
    fn is_told_more(&mut self, came: &[u8]) {
        // Of one who is to leave it's thrown away.
        if self.stage != Stage::Leaving {
            self.input.extend_from_slice(came);
            self.over |= self.pauses_for_nobody();
        }
    }

    /// What a connection waits for that may ask again.
    fn waits_for_more(&mut self, (before, request): (Stage, u64), now: Duration) {
        if !self.is_free() || self.again {
            return;
        }
        if self.ended {
            self.over = true;
            return;
        }
        let stage = match &self.asking {
            _ if self.parser.is_between() && self.input.is_empty() => Stage::Idle,
            _ if self.parser.is_between() => Stage::Head,
            _ => Stage::Body,
        };
        let brought = match &mut self.asking {
            Some(asking) if asking.body.len() >= asking.seen + PROGRESS => {
                asking.seen = asking.body.len();
                true
            }
            _ => false,
        };
        // A head's time isn't renewed by a byte more of it.
        if stage != before || self.request != request || brought {
            self.enter(stage, now);
        } else {
            self.stage = stage;
        }
    }

    // ANCHOR: one
    /// A request is being answered. From now on its ticket is good.
    fn begin(&mut self, me: Token, head: &Head<'_>) -> (Ticket, SocketAddr) {
        let house = &self.house;
        house.counters.requests.add(1);
        self.request += 1;
        self.exchange = head.exchange();
        self.exchange.keep_alive &= !house.is_stopping() && !self.lingers;
        self.line = house.log.as_ref().map(|_| Box::new(Line::of(self.from, head)));
        self.later = true;
        (Ticket { connection: me, request: self.request }, self.from)
    }

    /// What has become of it. Whether the next one may be looked at.
    #[inline]
    fn take(&mut self, answer: thread::Result<Answer>, front: &mut Vec<u8>, now: Duration) -> bool {
        let response = match answer {
            Ok(Answer::Now(response)) => response,
            Ok(Answer::Later) => {
                self.enter(Stage::Handler, now);
                return false;
            }
            Err(_) => {
                self.house.counters.panics.add(1);
                self.exchange.keep_alive = false;
                Response::error(Status::INTERNAL_SERVER_ERROR, "Something went wrong here.")
            }
        };
        // This is the answer, and there is no other.
        self.given = None;
        self.later = false;
        self.respond(response, front)
    }
    // ANCHOR_END: one
}

fn has_body(head: &Head<'_>) -> bool {
    !matches!(head.body, Framing::None | Framing::Length(0))
}

impl Connection {
    // ANCHOR: respond
    /// Puts an answer into `front`, and what is too large for that behind it. Whether the
    /// next request may be looked at.
    fn respond(&mut self, response: Response, front: &mut Vec<u8>) -> bool {
        let Response { status, content_type, fields, body } = response;
        let size = body.size();
        let named = content_type.as_deref().unwrap_or_default();
        let (delivery, stays) =
            self.house.write_head(front, self.exchange, status, named, &fields, size);
        self.last = !stays;
        self.house.counters.answers[usize::from(status.code() / 100) % 6].add(1);
        if let Some(line) = &mut self.line {
            line.status = status.code();
            line.bytes = match (size, &body) {
                // Counted as it's sent.
                (_, Body::Stream { .. }) => 0,
                (Size::Known(size), _) if delivery != Delivery::None => size,
                _ => 0,
            };
        }
        if delivery != Delivery::None {
            self.wanted = true;
            self.output.put(front, body, delivery == Delivery::Chunked);
        }
        let is_all_in_front = self.output.is_nothing();
        if is_all_in_front {
            self.write_line();
        }
        is_all_in_front && stays
    }
    // ANCHOR_END: respond

    /// What can't be read, or won't be.
    fn refuse(&mut self, refusal: Refusal, front: &mut Vec<u8>) -> bool {
        let Refusal { status, close, why, exchange } = refusal;
        let stays = exchange.keep_alive && !close && !self.house.is_stopping();
        self.exchange = Exchange { keep_alive: stays, ..exchange };
        self.lingers |= !stays;
        self.line = self.house.log.as_ref().map(|_| Box::new(Line::unread(self.from)));
        self.respond(Response::error(status, why), front)
    }

    /// A word that nobody has asked for, and the end.
    fn give_up(&mut self, response: Response) {
        self.exchange = Exchange::UNKNOWN;
        self.lingers = true;
        self.asking = None;
        self.later = true;
        self.stage = Stage::Handler;
        self.line = self.house.log.as_ref().map(|_| Box::new(Line::unread(self.from)));
        self.given = Some(Box::new(response));
    }

    fn write_line(&mut self) {
        if let (Some(line), Some(log)) = (self.line.take(), &self.house.log) {
            log.write(&line, &self.house.counters);
        }
    }
}

/// The answer that was to come later.
pub(crate) fn give(event_loop: &mut EventLoop, ticket: Ticket, response: Response) -> bool {
    let connection = event_loop.get_mut::<Connection>(ticket.connection);
    let waits = |connection: &&mut Connection| {
        connection.request == ticket.request && connection.later && connection.given.is_none()
    };
    let Some(connection) = connection.filter(waits) else { return false };
    connection.given = Some(Box::new(response));
    true
}

/// A stream that paused wants to go on.
pub(crate) fn resume(event_loop: &mut EventLoop, ticket: Ticket) -> bool {
    let connection = event_loop.get_mut::<Connection>(ticket.connection);
    let has_it = |connection: &&mut Connection| {
        let is_answered = connection.is_free() || connection.stage == Stage::Leaving;
        connection.request == ticket.request && !is_answered
    };
    let Some(connection) = connection.filter(has_it) else { return false };
    connection.wanted = true;
    connection.again |= connection.stage == Stage::Stream;
    true
}

/// There is no room for it.
pub(crate) fn turn_away(event_loop: &mut EventLoop, me: Token) {
    let Some(connection) = event_loop.get_mut::<Connection>(me) else { return };
    let mut response = Response::error(Status::SERVICE_UNAVAILABLE, "There is no room just now.");
    let added = response.fields.add("Retry-After", RETRY_AFTER);
    debug_assert!(added.is_ok());
    connection.turned_away = true;
    connection.give_up(response);
}

// ANCHOR: last_orders
/// The server is being stopped: what was begun is finished, and nothing
/// else.
pub(crate) fn last_orders(event_loop: &mut EventLoop, me: Token, house: &House) {
    // It may have asked already. (Not the one whose handler says that
    // this is the end.)
    let is_free = event_loop.get::<Connection>(me).is_some_and(Connection::is_free);
    let readiness = Readiness { read: true, ..Readiness::NONE };
    if is_free && ready(event_loop, me, readiness, house).is_err() {
        return event_loop.close(me);
    }
    let Some(connection) = event_loop.get_mut::<Connection>(me) else { return };
    match connection.stage {
        Stage::Idle if !connection.again => event_loop.close(me),
        Stage::Stream if connection.pauses_for_nobody() => event_loop.close(me),
        Stage::Handler => connection.exchange.keep_alive = false,
        Stage::Sending | Stage::Stream => {
            connection.exchange.keep_alive = false;
            connection.last |= !connection.later;
            connection.lingers = true;
        }
        Stage::Idle | Stage::Head | Stage::Body | Stage::Leaving => {}
    }
}
// ANCHOR_END: last_orders

// ANCHOR: timer
// ANCHOR: rings
/// Hangs up on a connection that is over. Sees to it that somebody
/// looks at the deadline of any other. A timer that rings too early
/// looks, and is set again: cheaper than to set it anew with each
/// request.
fn settle(event_loop: &mut EventLoop, me: Token, house: &House) {
    let Some(connection) = event_loop.get_mut::<Connection>(me) else { return };
    if !connection.is_unsettled() {
        return;
    }
    let (over, due, before) = (connection.over, connection.due, connection.timer.take());
    if let Some((_, timer)) = before {
        house.timers.cancel(event_loop, timer);
    }
    let Some(due) = due.filter(|_| !over) else { return event_loop.close(me) };
    let timer = house.timers.at(event_loop, due, move |event_loop| rings(event_loop, me));
    if let Some(connection) = event_loop.get_mut::<Connection>(me) {
        connection.timer = Some((due, timer));
    }
}

fn rings(event_loop: &mut EventLoop, me: Token) {
    let Some(connection) = event_loop.get_mut::<Connection>(me) else { return };
    connection.timer = None;
    let house = Rc::clone(&connection.house);
    let is_late = connection.due.is_some_and(|due| due <= house.now(event_loop));
    if is_late {
        house.counters.late.add(1);
        has_no_more_time(event_loop, me);
    }
    settle(event_loop, me, &house);
}
// ANCHOR_END: rings

// ANCHOR: late
fn has_no_more_time(event_loop: &mut EventLoop, me: Token) {
    let Some(connection) = event_loop.get_mut::<Connection>(me) else { return };
    connection.due = None;
    match connection.stage {
        Stage::Idle | Stage::Sending | Stage::Leaving => connection.over = true,
        Stage::Head | Stage::Body => {
            let why = "The request didn't become whole in time.";
            connection.give_up(Response::error(Status::REQUEST_TIMEOUT, why));
        }
        Stage::Handler => {
            let why = "The answer wasn't there in time.";
            connection.given = Some(Box::new(Response::error(Status::GATEWAY_TIMEOUT, why)));
        }
        Stage::Stream => {}
    }
}
// ANCHOR_END: late
// ANCHOR_END: timer
