//! A connection: moves bytes between a [`Conversation`] and the kernel, and asks it what to
//! wait for. How a request gets its answer is in `handling`, its timer in `deadline`, and
//! what becomes of it when the program is replaced in [`handover`].

mod deadline;
mod handling;
pub mod handover;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::program::say;
use ch07_callbacks::{Ending, EventLoop, Interest, Readiness, Source, Token};
use ch09_timers::Timer;
use ch10_http::Head;

use crate::answer::{Response, Stream};
use crate::conversation::{Conversation, Next};
use crate::log::Line;
use crate::shared::{Admission, Buffers, Shared};
use crate::socket::Socket;

// ANCHOR: a_turn
/// How many requests are answered in one turn: others want theirs too.
const ANSWERS_A_TURN: usize = 64;
/// How much of a file goes out in one turn, in bytes.
const FILE_A_TURN: u64 = 1 << 20;
// ANCHOR_END: a_turn

/// A connection: a socket, and what is said on it.
pub struct Connection {
    socket: Socket,
    shared: Rc<Shared>,
    from: SocketAddr,
    admission: Admission,
    conversation: Conversation,
    /// What makes the rest of an answer.
    stream: Option<Stream>,
    /// The timer that is set, and for when. It may ring early: a deadline that moves with
    /// each request isn't set anew each time.
    timer: Option<(Duration, Timer)>,
    /// There is more to be done, without waiting for anything.
    again: bool,
    /// How much of a file may still go out in this turn, in bytes.
    file_left: u64,
    /// A handler runs; and what has been given meanwhile for its request.
    handling: Option<Option<Box<Response>>>,
    /// For the access log.
    line: Option<Box<Line>>,
}

impl Source for Connection {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    /// With more to do, the kernel needn't say when there is room.
    fn interest(&self) -> Interest {
        let write = self.conversation.wants_write() && !self.again;
        Interest { read: self.conversation.wants_read(), write }
    }

    /// With more to do there is nothing to wait for.
    fn patience(&self) -> Option<Duration> {
        self.again.then_some(Duration::ZERO)
    }

    fn closed(self: Box<Self>, event_loop: &mut EventLoop, _: Token, ending: Ending) {
        let Self { shared, socket, from, admission, conversation, timer, line, .. } = *self;
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
        shared.release(event_loop, admission);
    }
}

// ANCHOR: serve_begin
/// One turn of one connection: receives, sends what is under way, and
/// answers whatever is whole. True: its timer is to be set, or it's to
/// be closed.
fn serve(
    event_loop: &mut EventLoop,
    me: Token,
    readiness: Readiness,
    shared: &Shared,
    buffers: &mut Buffers,
) -> io::Result<bool> {
    let now = shared.now(event_loop);
    let found = event_loop.get_mut::<Connection>(me);
    let Some(mut connection) = found else { return Ok(false) };
    connection.again = false;
    connection.file_left = FILE_A_TURN;
    let came = connection.receive(readiness, &mut buffers.input)?;
    let mut input = connection.conversation.receive(came);
    connection.conversation.lend(&mut buffers.output);
    // What is under way comes first.
    if connection.conversation.wants_write() {
        connection.send()?;
    }
    if connection.conversation.wants_stream() {
        Connection::pull(event_loop, me)?;
        let Some(still_here) = event_loop.get_mut(me) else { return Ok(false) };
        connection = still_here;
    }
    // ANCHOR_END: serve_begin
    // ANCHOR: serve_answers
    let accepts = |head: &Head<'_>| shared.routes.has(head);
    let mut answers = 0;
    let goes_on = loop {
        if answers == ANSWERS_A_TURN {
            break true;
        }
        let (head, body) = match connection.conversation.next(&mut input, accepts) {
            Next::Request(head, body) => (head, body),
            Next::Refused => {
                connection.answered_itself();
                continue;
            }
            Next::NotYet => break false,
            Next::Busy => break true,
        };
        answers += 1;
        let (ticket, from) = connection.begin(me, &head);
        let answer = shared.handle(event_loop, ticket, &head, body, from);
        let Some(still_here) = event_loop.get_mut(me) else { return Ok(false) };
        connection = still_here;
        connection.answer(ticket, answer);
    };
    // ANCHOR_END: serve_answers
    // ANCHOR: serve_end
    connection.conversation.keep(input);
    connection.send()?;
    connection.conversation.give_back(&mut buffers.output);
    connection.finish_turn(goes_on, now);
    Ok(connection.needs_attention())
}
// ANCHOR_END: serve_end

impl Connection {
    pub(crate) fn new(
        shared: Rc<Shared>,
        socket: TcpStream,
        from: SocketAddr,
        admission: Admission,
        now: Duration,
    ) -> Self {
        let mut conversation = Conversation::new(Rc::clone(&shared.common), now);
        if admission == Admission::TurnedAway {
            Self::turn_away(&mut conversation);
        }
        Self::with(shared, socket, from, admission, conversation)
    }

    fn with(
        shared: Rc<Shared>,
        socket: TcpStream,
        from: SocketAddr,
        admission: Admission,
        conversation: Conversation,
    ) -> Self {
        Self {
            socket: Socket::new(socket),
            shared,
            from,
            admission,
            conversation,
            stream: None,
            timer: None,
            again: false,
            file_left: FILE_A_TURN,
            handling: None,
            line: None,
        }
    }

    /// The callback of all connections.
    pub(crate) fn ready(
        event_loop: &mut EventLoop,
        me: Token,
        readiness: Readiness,
        shared: &Shared,
    ) -> io::Result<()> {
        let mut buffers = shared.take_buffers();
        let served = serve(event_loop, me, readiness, shared, &mut buffers);
        shared.put_back(buffers);
        if served? {
            Self::set_timer(event_loop, me, shared);
        }
        Ok(())
    }

    /// What has come. None of it waits: it's there, or it isn't.
    fn receive<'b>(&mut self, readiness: Readiness, to: &'b mut [u8]) -> io::Result<&'b [u8]> {
        if readiness.error && !readiness.read {
            return Err(self.socket.error());
        }
        if !readiness.read || !self.conversation.wants_read() {
            return Ok(&[]);
        }
        let Some(count) = self.socket.receive(to)? else { return Ok(&[]) };
        if count == 0 {
            self.conversation.receive_end();
        }
        self.shared.counters.received.add(count as u64);
        Ok(&to[..count])
    }

    /// Sends what is queued, as far as there is room.
    fn send(&mut self) -> io::Result<()> {
        while self.conversation.wants_write() && self.file_left > 0 {
            let outgoing = self.conversation.outgoing();
            let is_file = outgoing.is_file();
            let (count, has_room) =
                self.socket.send(outgoing, self.file_left, &self.shared.send_buffers)?;
            self.conversation.sent(count);
            self.shared.counters.sent.add(count);
            if is_file {
                self.file_left -= count;
            }
            if !has_room {
                break;
            }
        }
        if self.line.is_some() {
            self.log_if_finished();
        }
        Ok(())
    }

    /// Sees what the connection waits for now.
    fn finish_turn(&mut self, goes_on: bool, now: Duration) {
        let conversation = &mut self.conversation;
        self.again = match conversation.wants_write() {
            // The kernel says when there is room, unless there is some.
            true => self.file_left == 0,
            false => goes_on && conversation.is_free() || conversation.wants_stream(),
        };
        conversation.finish_turn(now, self.again);
        if conversation.wants_shutdown() {
            conversation.shut_down(self.socket.shut_down());
        }
    }
}
