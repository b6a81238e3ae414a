//! A connection that is handed to another process, and one that has been.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use ch07_callbacks::{EventLoop, Token};

use super::Connection;
use crate::answer::Ticket;
use crate::conversation::Conversation;
use crate::conversation::parts::Parts;
use crate::log::Line;
use crate::shared::{Admission, Shared};

/// What there is to know of a connection besides its socket.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub from: SocketAddr,
    pub parts: Parts,
    /// What the log will say of its last request.
    pub line: Option<Line>,
    /// What its answer's stream is [called](crate::answer::Stream::named).
    pub stream: Option<String>,
}

impl Connection {
    /// Has a stream say what it has to say: what is queued is handed over, and what the stream
    /// keeps for itself isn't.
    pub(crate) fn prepare(event_loop: &mut EventLoop, me: Token) {
        let Some(connection) = event_loop.get_mut::<Self>(me) else { return };
        let is_named = connection.stream.as_ref().is_some_and(|stream| stream.name.is_some());
        if is_named && Self::pull(event_loop, me).is_err() {
            event_loop.close(me);
        }
    }

    /// Its socket, and all else. None: somebody in this process has its answer, or it's only told
    /// that there is no room.
    pub(crate) fn visitor_and_socket(
        &self,
        shared: &Shared,
        event_loop: &EventLoop,
    ) -> Option<(BorrowedFd<'_>, Visitor)> {
        if self.admission == Admission::TurnedAway {
            return None;
        }
        let stream = self.stream.as_ref();
        let name = stream.and_then(|stream| stream.name);
        if stream.is_some() && name.is_none() {
            return None;
        }
        let parts = self.conversation.parts(shared.now(event_loop))?;
        let line = self.line.as_deref().cloned();
        let visitor = Visitor { from: self.from, parts, line, stream: name.map(str::to_owned) };
        Some((self.socket.as_fd(), visitor))
    }

    /// If another process has it now, it's none of ours.
    pub(crate) fn leave(event_loop: &mut EventLoop, me: Token, shared: &Shared) {
        let Some(connection) = event_loop.get::<Self>(me) else { return };
        if connection.visitor_and_socket(shared, event_loop).is_none() {
            return;
        }
        if let Some(connection) = event_loop.get_mut::<Self>(me) {
            // Its line is written by whoever ends its answer.
            connection.line = None;
        }
        event_loop.close(me);
    }

    /// Goes on with one that has come from another process.
    pub(crate) fn adopt(
        event_loop: &mut EventLoop,
        shared: &Rc<Shared>,
        socket: TcpStream,
        visitor: Visitor,
    ) -> Token {
        let Visitor { from, parts, line, stream } = visitor;
        let now = shared.now(event_loop);
        let common = Rc::clone(&shared.common);
        let request = parts.request;
        let conversation = Conversation::from_parts(common, parts, now);
        let admission = shared.take_over();
        let mut connection = Self::with(Rc::clone(shared), socket, from, admission, conversation);
        connection.line = line.map(Box::new);
        // What has come with it is looked at as soon as the loop turns.
        connection.again = true;
        let of_connection = Rc::clone(shared);
        let token = event_loop.add(connection, move |event_loop, me, readiness| {
            Self::ready(event_loop, me, readiness, &of_connection)
        });
        if let Some(name) = stream {
            let ticket = Ticket { connection: token, request };
            match shared.resume(event_loop, &name, ticket) {
                Some(stream) => {
                    if let Some(connection) = event_loop.get_mut::<Self>(token) {
                        connection.stream = Some(stream);
                    }
                }
                // Nobody knows it any more. Cut, its client comes again.
                None => event_loop.close(token),
            }
        }
        token
    }
}
