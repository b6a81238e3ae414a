//! A connection: moves bytes between a [`Conversation`] and the kernel, and asks it what to
//! wait for.
//!
//! Read [`serve`] first.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use ch07_callbacks::program::say;
use ch07_callbacks::{Ending, EventLoop, Interest, Readiness, Source, Token};
use ch09_timers::Timer;
use ch10_http::{Head, Status};
use nix::sys::socket::{MsgFlags, recv};

use crate::answer::{Answer, Response, Stream, Ticket};
use crate::conversation::{Conversation, EndedTooEarly, Next};
use crate::log::Line;
use crate::shared::{Buffers, Place, Shared};
use crate::transmit::transmit;

// ANCHOR: a_turn
/// How many requests are answered in one turn: the others want their
/// turns too.
const ANSWERS_A_TURN: usize = 64;
/// How much of a file goes out in one turn, in bytes.
const FILE_A_TURN: u64 = 1 << 20;
// ANCHOR_END: a_turn
/// When one who found no room may try again, in seconds (RFC 9110, section 10.2.3).
const RETRY_AFTER: &str = "1";

// ANCHOR: connection
/// A connection: a socket, and what is said on it.
pub struct Connection {
    socket: TcpStream,
    shared: Rc<Shared>,
    from: SocketAddr,
    place: Place,
    conversation: Conversation,
    /// What makes the rest of an answer.
    stream: Option<Stream>,
    /// The timer that is set, and for when. It may ring early: a deadline that moves with
    /// each request isn't set anew each time.
    timer: Option<(Duration, Timer)>,
    /// There is more to be done, without waiting for anything.
    again: bool,
    /// A file needs a socket that doesn't wait (there is no flag for sendfile(2)).
    is_nonblocking: bool,
    /// A handler runs; and what has been given meanwhile for its request.
    handling: Option<Given>,
    /// For the access log.
    line: Option<Box<Line>>,
}

type Given = Option<Box<Response>>;
// ANCHOR_END: connection

// ANCHOR: source
impl Source for Connection {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn interest(&self) -> Interest {
        let Self { conversation, .. } = self;
        Interest { read: conversation.wants_read(), write: conversation.wants_write() }
    }

    /// With more to do there is nothing to wait for.
    fn patience(&self) -> Option<Duration> {
        self.again.then_some(Duration::ZERO)
    }

    fn closed(self: Box<Self>, event_loop: &mut EventLoop, _: Token, ending: Ending) {
        let Self { shared, socket, from, place, conversation, timer, line, .. } = *self;
        if let Some((_, timer)) = timer {
            shared.timers.cancel(event_loop, timer);
        }
        if let Ending::Panicked = ending {
            shared.counters.panics.add(1);
            say(&format!("a stream for {from} panicked"));
        }
        // An answer that didn't get through is logged as far as it got.
        if let (Some(line), Some(log)) = (line, &shared.log) {
            log.write(&line, conversation.unfinished(), &shared.counters);
        }
        drop(socket);
        shared.is_gone(event_loop, place);
    }
}
// ANCHOR_END: source

// ANCHOR: serve
/// One turn of one connection: receives, sends what is under way, and
/// answers whatever is whole.
fn serve(
    event_loop: &mut EventLoop,
    me: Token,
    readiness: Readiness,
    shared: &Shared,
    buffers: &mut Buffers,
) -> io::Result<()> {
    let now = shared.now(event_loop);
    let Some(mut connection) = event_loop.get_mut::<Connection>(me) else { return Ok(()) };
    connection.again = false;
    let came = connection.receive(readiness, &mut buffers.input)?;
    let mut input = connection.conversation.receive(came);
    connection.conversation.borrow(&mut buffers.output);
    // What is under way comes first.
    if connection.conversation.wants_write() {
        connection.send()?;
    }
    if connection.conversation.wants_stream() {
        pull(event_loop, me)?;
        let Some(still_here) = event_loop.get_mut(me) else { return Ok(()) };
        connection = still_here;
    }
    let mut answers = 0;
    let goes_on = loop {
        if answers == ANSWERS_A_TURN {
            break true;
        }
        let request = match connection.conversation.next(&mut input, |it| shared.routes.has(it)) {
            Next::Request(request) => request,
            Next::Refused(status) => {
                connection.has_refused(status);
                continue;
            }
            Next::NotYet => break false,
            Next::Busy => break true,
        };
        answers += 1;
        let Some((head, body)) = request.parts() else { continue };
        let (ticket, from) = connection.begin(me, &head);
        let answer = shared.handle(event_loop, ticket, &head, body, from);
        let Some(still_here) = event_loop.get_mut(me) else { return Ok(()) };
        connection = still_here;
        connection.answer(ticket, answer);
    };
    connection.conversation.keep(input);
    connection.send()?;
    connection.conversation.give_back(&mut buffers.output);
    connection.settle(goes_on, now);
    Ok(())
}
// ANCHOR_END: serve

impl Connection {
    pub(crate) fn new(
        shared: Rc<Shared>,
        socket: TcpStream,
        from: SocketAddr,
        place: Place,
        now: Duration,
    ) -> Self {
        let mut conversation = Conversation::new(Rc::clone(&shared.common), now);
        if place == Place::TurnedAway {
            let why = "There is no room just now.";
            let mut response = Response::error(Status::SERVICE_UNAVAILABLE, why);
            let added = response.fields.add("Retry-After", RETRY_AFTER);
            debug_assert!(added.is_ok());
            conversation.decline(response);
        }
        Self {
            socket,
            shared,
            from,
            place,
            conversation,
            stream: None,
            timer: None,
            again: false,
            is_nonblocking: false,
            handling: None,
            line: None,
        }
    }

    /// Whether it's one of this server: there may be several in one loop.
    pub(crate) fn is_of(&self, shared: &Shared) -> bool {
        std::ptr::eq(Rc::as_ptr(&self.shared), shared)
    }

    // ANCHOR: receive
    /// What has come. None of it waits: it's there, or it isn't.
    fn receive<'b>(&mut self, readiness: Readiness, to: &'b mut [u8]) -> io::Result<&'b [u8]> {
        if readiness.error && !readiness.read {
            let error = self.socket.take_error()?;
            return Err(error.unwrap_or_else(|| io::Error::other("an error that nobody can name")));
        }
        if !readiness.read || !self.conversation.wants_read() {
            return Ok(&[]);
        }
        // No wait, without having told the socket so by a call of its own.
        let received = recv(self.socket.as_raw_fd(), to, MsgFlags::MSG_DONTWAIT);
        let Some(count) = ch07_callbacks::now(received.map_err(io::Error::from))? else {
            return Ok(&[]);
        };
        if count == 0 {
            self.conversation.receive_end();
        }
        self.shared.counters.received.add(count as u64);
        Ok(&to[..count])
    }

    /// Sends what is queued, as far as there is room.
    fn send(&mut self) -> io::Result<()> {
        let mut file_left = FILE_A_TURN;
        while self.conversation.wants_write() && file_left > 0 {
            let outgoing = self.conversation.outgoing();
            let is_file = outgoing.is_file();
            if is_file && !self.is_nonblocking {
                self.socket.set_nonblocking(true)?;
                self.is_nonblocking = true;
            }
            let (count, has_room) = transmit(&self.socket, outgoing, file_left)?;
            self.conversation.sent(count);
            self.shared.counters.sent.add(count);
            if is_file {
                file_left -= count;
            }
            if !has_room {
                break;
            }
        }
        self.log_if_finished();
        Ok(())
    }
    // ANCHOR_END: receive

    /// A request is being answered. From now on its ticket is good.
    fn begin(&mut self, me: Token, head: &Head<'_>) -> (Ticket, SocketAddr) {
        let Self { shared, from, .. } = self;
        shared.counters.requests.add(1);
        self.line = shared.log.as_ref().map(|_| Box::new(Line::of(*from, head)));
        self.handling = Some(None);
        (Ticket { connection: me, request: self.conversation.request() }, *from)
    }

    /// What has become of it. What the handler gives back counts, whatever its ticket was
    /// used for meanwhile.
    #[inline]
    fn answer(&mut self, ticket: Ticket, answer: thread::Result<Answer>) {
        let given = self.handling.take().flatten();
        match answer {
            Ok(Answer::Now(response)) => _ = self.respond(ticket, response),
            Ok(Answer::Later) => {
                if let Some(response) = given {
                    self.respond(ticket, *response);
                }
            }
            Err(_) => {
                self.shared.counters.panics.add(1);
                self.conversation.closes();
                let why = "Something went wrong here.";
                self.respond(ticket, Response::error(Status::INTERNAL_SERVER_ERROR, why));
            }
        }
    }

    /// Whether the answer was the one that is waited for.
    fn respond(&mut self, ticket: Ticket, response: Response) -> bool {
        let status = response.status;
        let Ok(stream) = self.conversation.answer(ticket.request, response) else { return false };
        self.stream = stream;
        self.count(status);
        true
    }

    /// The conversation has given an answer by itself.
    fn has_refused(&mut self, status: Status) {
        let Self { shared, from, .. } = self;
        if self.line.is_none() {
            self.line = shared.log.as_ref().map(|_| Box::new(Line::unread(*from)));
        }
        self.count(status);
    }

    fn count(&mut self, status: Status) {
        self.shared.counters.answers[usize::from(status.code() / 100) % 6].add(1);
        self.log_if_finished();
    }

    fn log_if_finished(&mut self) {
        if let Some(answered) = self.conversation.finished()
            && let (Some(line), Some(log)) = (self.line.take(), &self.shared.log)
        {
            log.write(&line, Some(answered), &self.shared.counters);
        }
    }

    /// Sees what the connection waits for now.
    fn settle(&mut self, goes_on: bool, now: Duration) {
        let Self { conversation, .. } = self;
        // With something left to be sent, the kernel says when.
        let has_more = goes_on && conversation.is_free() || conversation.wants_stream();
        self.again = has_more && !conversation.wants_write();
        conversation.settle(now, self.again);
        if conversation.wants_shutdown() {
            conversation.shut_down(self.socket.shutdown(Shutdown::Write).is_ok());
        }
    }

    /// It's over, or nobody will look at its deadline in time.
    fn is_unsettled(&self) -> bool {
        let rings = self.timer.map(|(rings, _)| rings);
        let due = self.conversation.deadline();
        self.conversation.is_over() || due.is_some_and(|due| rings.is_none_or(|rings| rings > due))
    }
}

// ANCHOR: pull
/// Has a stream say more, now that there is room.
fn pull(event_loop: &mut EventLoop, me: Token) -> io::Result<()> {
    let Some(connection) = event_loop.get_mut::<Connection>(me) else { return Ok(()) };
    let Some(mut stream) = connection.stream.take() else { return Ok(()) };
    connection.conversation.pause();
    let mut piece = Vec::new();
    let flow = stream(event_loop, &mut piece);
    let Some(connection) = event_loop.get_mut::<Connection>(me) else { return Ok(()) };
    connection.stream = Some(stream);
    let streamed = connection.conversation.stream(&piece, flow);
    streamed.map_err(|EndedTooEarly| io::Error::other("a stream has ended too early"))?;
    connection.send()
}
// ANCHOR_END: pull

/// The handler of all connections.
pub(crate) fn ready(
    event_loop: &mut EventLoop,
    me: Token,
    readiness: Readiness,
    shared: &Shared,
) -> io::Result<()> {
    let mut buffers = shared.take_buffers();
    let served = serve(event_loop, me, readiness, shared, &mut buffers);
    shared.put_back(buffers);
    served?;
    set_timer(event_loop, me, shared);
    Ok(())
}

// ANCHOR: timer
/// Hangs up on a connection that is over. Sees to it that somebody
/// looks at the deadline of any other. A timer that rings too early
/// looks, and is set again: cheaper than to set it anew with each
/// request.
fn set_timer(event_loop: &mut EventLoop, me: Token, shared: &Shared) {
    let Some(connection) = event_loop.get_mut::<Connection>(me) else { return };
    if !connection.is_unsettled() {
        return;
    }
    let is_over = connection.conversation.is_over();
    let due = connection.conversation.deadline();
    if let Some((_, timer)) = connection.timer.take() {
        shared.timers.cancel(event_loop, timer);
    }
    let Some(due) = due.filter(|_| !is_over) else { return event_loop.close(me) };
    let timer = shared.timers.at(event_loop, due, move |event_loop| rings(event_loop, me));
    if let Some(connection) = event_loop.get_mut::<Connection>(me) {
        connection.timer = Some((due, timer));
    }
}

fn rings(event_loop: &mut EventLoop, me: Token) {
    let Some(connection) = event_loop.get_mut::<Connection>(me) else { return };
    connection.timer = None;
    let shared = Rc::clone(&connection.shared);
    let now = shared.now(event_loop);
    let Some(connection) = event_loop.get_mut::<Connection>(me) else { return };
    if let Some(told) = connection.conversation.look_at_clock(now) {
        shared.counters.late.add(1);
        if let Some(status) = told {
            connection.has_refused(status);
            connection.again = true;
        }
    }
    set_timer(event_loop, me, &shared);
}
// ANCHOR_END: timer

impl Ticket {
    /// Gives the answer. False: nobody is waiting for it.
    pub fn answer(self, event_loop: &mut EventLoop, response: Response) -> bool {
        let Some(connection) = event_loop.get_mut::<Connection>(self.connection) else {
            return false;
        };
        if let Some(given) = &mut connection.handling {
            let is_first = given.is_none() && connection.conversation.request() == self.request;
            if is_first {
                *given = Some(Box::new(response));
            }
            return is_first;
        }
        connection.again = true;
        connection.respond(self, response)
    }

    /// The stream that paused is called again. False: it's gone.
    pub fn resume(self, event_loop: &mut EventLoop) -> bool {
        let Some(connection) = event_loop.get_mut::<Connection>(self.connection) else {
            return false;
        };
        let has_it = connection.conversation.resume(self.request);
        connection.again |= connection.conversation.wants_stream();
        has_it
    }
}

// ANCHOR: stop
/// The server is being stopped.
pub(crate) fn stop(event_loop: &mut EventLoop, me: Token, shared: &Shared) {
    // It may have asked already. (Not the one whose handler says that
    // this is the end.)
    let readiness = Readiness { read: true, ..Readiness::NONE };
    let is_idle = |connection: &Connection| connection.conversation.is_idle();
    if event_loop.get::<Connection>(me).is_some_and(is_idle)
        && ready(event_loop, me, readiness, shared).is_err()
    {
        return event_loop.close(me);
    }
    let now = shared.now(event_loop);
    let Some(connection) = event_loop.get_mut::<Connection>(me) else { return };
    connection.conversation.stop();
    connection.settle(connection.again, now);
    set_timer(event_loop, me, shared);
}
// ANCHOR_END: stop
