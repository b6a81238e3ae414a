//! A DNS server that is handed to another process, and one that has been.
//!
//! What was learned from upstreams isn't handed over: a cache that begins empty costs a question
//! for each name, and nobody an answer.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::connection::{self, Ours};
use ch07_callbacks::{Connection, EventLoop, Listener, Source, Token};
use ch09_timers::Timers;

use super::asking::{hear_connection, hear_datagrams, set_timer};
use super::clients;
use super::forwarder::handover::{Parts, Place};
use super::framing;
use super::service::{Dns, Options, serve_with};
use super::shared::{IDLE, Link, Shared};
use crate::datagrams::{self, Datagrams};
use crate::presence::Stopped;

/// All that a DNS server has, in plain data. Its descriptors are lent, or one's own.
#[derive(Debug)]
pub struct HandedOver<D> {
    pub udp: (D, datagrams::Parts),
    pub listener: D,
    pub clients: Vec<(D, Client)>,
    /// The questions under way, and how each is asked of the upstream: not at all while it's
    /// between two tries.
    pub questions: Vec<(Option<Way<D>>, Parts)>,
}

/// Somebody who asks by TCP. How many of their questions are under way is known from those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    pub from: SocketAddr,
    pub connection: connection::Parts,
    /// Until it has done nothing for too long.
    pub time_left: Duration,
}

/// A socket that asks the upstream.
#[derive(Debug)]
pub enum Way<D> {
    Udp(D, datagrams::Parts),
    /// It may still be connecting: then whoever goes on with it finds no room in it.
    Tcp(D, connection::Parts),
}

// ANCHOR: lend
impl Dns {
    /// All that it has, as it is now: nothing changes here. `None`: it's stopping, and lets nobody
    /// go on.
    pub fn parts_and_sockets<'l>(
        &self,
        event_loop: &'l EventLoop,
    ) -> Option<HandedOver<BorrowedFd<'l>>> {
        let shared = &self.0;
        let udp = event_loop.get::<Datagrams>(shared.udp.get()?)?.parts()?;
        let listener = event_loop.get::<Listener>(shared.listener.get()?)?.descriptor()?;
        let clients = shared.lend_clients(event_loop);
        let (tokens, clients): (Vec<Token>, Vec<_>) = clients.into_iter().unzip();
        // They come out of a map, and so in order.
        let number_of = |token| tokens.binary_search(&token).ok();
        let now = shared.now(event_loop);
        let questions = shared.responder.borrow_mut().forwarder().parts(now, number_of);
        let with_way = |(token, parts)| (shared.lend_way(event_loop, token), parts);
        let questions = questions.into_iter().map(with_way).collect();
        Some(HandedOver { udp, listener, clients, questions })
    }

    /// Another process has all of it: it's let go of here, untouched.
    pub fn leave(&self, event_loop: &mut EventLoop, stopped: Stopped) {
        let shared = &self.0;
        shared.when_stopped.borrow_mut().push(stopped);
        shared.stopping.set(true);
        if let Some(listener) = shared.listener.take() {
            event_loop.close(listener);
        }
        // Closed, and not finished: what is queued isn't ours to send any more.
        self.end(event_loop);
    }
}
// ANCHOR_END: lend

impl Shared {
    fn lend_clients<'l>(
        &self,
        event_loop: &'l EventLoop,
    ) -> Vec<(Token, (BorrowedFd<'l>, Client))> {
        let now = self.now(event_loop);
        let clients = self.clients.borrow();
        let lend = |(token, client): (&Token, &super::shared::Client)| {
            let (socket, connection) = event_loop.get::<Connection>(*token)?.parts()?;
            let time_left = client.idle.saturating_sub(now);
            Some((*token, (socket, Client { from: client.from, connection, time_left })))
        };
        clients.iter().filter_map(lend).collect()
    }

    fn lend_way<'l>(
        &self,
        event_loop: &'l EventLoop,
        question: Token,
    ) -> Option<Way<BorrowedFd<'l>>> {
        let links = self.links.borrow();
        let link = links.get(&question)?;
        let socket = link.socket?;
        if let Some(datagrams) = event_loop.get::<Datagrams>(socket) {
            let (socket, parts) = datagrams.parts()?;
            return Some(Way::Udp(socket, parts));
        }
        let connection = event_loop.get::<Connection>(socket)?;
        let (socket, mut parts) = match connection.parts() {
            Some(connected) => connected,
            None => (connection.descriptor()?, self.unsent(question)?),
        };
        // Whoever goes on with it hears of all that has come as if it came now.
        parts.input.splice(0..0, link.stream.iter().copied());
        Some(Way::Tcp(socket, parts))
    }

    /// While it connects nothing was sent, and the question is all that there is to send.
    fn unsent(&self, question: Token) -> Option<connection::Parts> {
        let message = self.responder.borrow_mut().forwarder().message(question)?;
        let output = [&framing::prefix(&message)?, &message[..]].concat();
        let (input, ours) = (Vec::new(), Ours::Open);
        Some(connection::Parts { input, ended: false, deaf: false, output, ours })
    }

    /// Whatever held it back holds it back again, as soon as it's looked at.
    fn adopt_client(
        self: &Rc<Self>,
        event_loop: &mut EventLoop,
        socket: OwnedFd,
        client: Client,
    ) -> io::Result<Token> {
        let Client { from, connection, time_left } = client;
        let token = event_loop.add_parts(TcpStream::from(socket), connection)?;
        clients::serve(event_loop, self, token, from, time_left.min(IDLE));
        Ok(token)
    }

    fn adopt_question(
        self: &Rc<Self>,
        event_loop: &mut EventLoop,
        clients: &[Token],
        way: Option<Way<OwnedFd>>,
        parts: &Parts,
    ) -> io::Result<()> {
        let now = self.now(event_loop);
        let token_of = |number: usize| clients.get(number).copied();
        let question = self.responder.borrow_mut().forwarder().adopt(parts, now, token_of);
        let Some(question) = question else {
            return Err(io::Error::new(ErrorKind::InvalidData, "that is no question under way"));
        };
        for waiting in &parts.waiting {
            self.has_asked(clients, waiting.place);
        }
        self.links.borrow_mut().insert(question, Link::default());
        let socket = match way {
            None => None,
            Some(Way::Udp(socket, parts)) => {
                Some(hear_datagrams(event_loop, self, question, socket.into(), &parts)?)
            }
            Some(Way::Tcp(socket, parts)) => {
                let socket = event_loop.add_parts(TcpStream::from(socket), parts)?;
                hear_connection(event_loop, self, question, socket);
                Some(socket)
            }
        };
        if let Some(link) = self.links.borrow_mut().get_mut(&question) {
            link.socket = socket;
        }
        set_timer(event_loop, self, question);
        Ok(())
    }

    /// One more of a client's questions is under way.
    fn has_asked(&self, tokens: &[Token], place: Place) {
        let Place::Connection(number) = place else { return };
        let mut clients = self.clients.borrow_mut();
        if let Some(client) = tokens.get(number).and_then(|token| clients.get_mut(token)) {
            client.under_way += 1;
        }
    }
}

// ANCHOR: adopt
/// Goes on with a server that another process has had until now, with a
/// zone, an upstream and times of its own. Nothing is sent or received
/// before the loop turns. A question under way goes on by the socket that
/// it has, whoever our upstream is.
///
/// # Errors
/// When a socket can't be told not to wait, or something isn't what a
/// server says of itself.
pub fn adopt(
    event_loop: &mut EventLoop,
    timers: Timers,
    handed_over: HandedOver<OwnedFd>,
    options: Options,
) -> io::Result<Dns> {
    let HandedOver { udp: (udp, parts), listener, clients, questions } = handed_over;
    let dns = serve_with(event_loop, timers, udp.into(), &parts, listener.into(), options)?;
    let shared = &dns.0;
    let mut tokens = Vec::new();
    for (socket, client) in clients {
        tokens.push(shared.adopt_client(event_loop, socket, client)?);
    }
    for (way, parts) in questions {
        shared.adopt_question(event_loop, &tokens, way, &parts)?;
    }
    Ok(dns)
}
// ANCHOR_END: adopt
