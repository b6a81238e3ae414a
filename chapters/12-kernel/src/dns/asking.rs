//! Asking the upstream: for each question a socket of its own, and with it a port of its own.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::rc::Rc;

use ch07_callbacks::{EventLoop, Token};

use super::forwarder::{Ended, Step};
use super::framing;
use super::question::Transport;
use super::shared::{Link, Shared};
use crate::datagrams::{Arrival, Datagrams, Parts};

// ANCHOR: begin
/// Asks a question for the first time.
pub fn begin(event_loop: &mut EventLoop, shared: &Rc<Shared>, question: Token) {
    let now = shared.now(event_loop);
    let jostled = shared.responder.borrow_mut().forwarder().jostle(now);
    if let Some((oldest, step)) = jostled {
        take(event_loop, shared, oldest, step);
    }
    shared.links.borrow_mut().insert(question, Link::default());
    let step = match random() {
        Ok(id) => match shared.responder.borrow_mut().forwarder().ask(question, id, now) {
            Some(bytes) => Step::Ask(Transport::Udp, bytes),
            None => Step::Wait,
        },
        Err(error) => no_way(event_loop, shared, question, &error),
    };
    take(event_loop, shared, question, step);
}

/// Does what is to be done about a question.
fn take(event_loop: &mut EventLoop, shared: &Rc<Shared>, question: Token, step: Step) {
    match step {
        Step::Wait => {}
        Step::Ignore => {
            let what = "an answer that wasn't asked for, or a lie: ignored";
            shared.tell(event_loop, &shared.notices.lies, what);
        }
        Step::Pause => set_timer(event_loop, shared, question),
        Step::Ask(by, bytes) => {
            set_timer(event_loop, shared, question);
            if let Err(error) = send(event_loop, shared, question, by, &bytes) {
                let step = no_way(event_loop, shared, question, &error);
                take(event_loop, shared, question, step);
            }
        }
        Step::Over(ended) => over(event_loop, shared, question, &ended),
    }
}
// ANCHOR_END: begin

fn send(
    event_loop: &mut EventLoop,
    shared: &Rc<Shared>,
    question: Token,
    by: Transport,
    bytes: &[u8],
) -> io::Result<()> {
    let socket = shared.links.borrow().get(&question).and_then(|link| link.socket);
    // A question that another process has begun goes on by the socket that it has.
    let upstream = || shared.upstream.ok_or_else(|| io::Error::other("there is none any more"));
    match (by, socket) {
        (Transport::Udp, Some(socket)) => {
            Datagrams::send(event_loop, socket, None, bytes);
        }
        (Transport::Udp, None) => {
            let socket = open_datagrams(upstream()?)?;
            let socket = hear_datagrams(event_loop, shared, question, socket, &Parts::default())?;
            Datagrams::send(event_loop, socket, None, bytes);
            set_socket(event_loop, shared, question, socket);
        }
        (Transport::Tcp, _) => {
            let socket = event_loop.connect(upstream()?)?;
            hear_connection(event_loop, shared, question, socket);
            event_loop.send(socket, &framing::prefix(bytes).unwrap_or_default());
            event_loop.send(socket, bytes);
            set_socket(event_loop, shared, question, socket);
        }
    }
    Ok(())
}

// ANCHOR: socket
/// The kernel chooses the port, at random; and connected, the socket
/// hears nobody but the upstream (udp(7)).
fn open_datagrams(upstream: SocketAddr) -> io::Result<UdpSocket> {
    let socket = match upstream {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?,
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?,
    };
    socket.connect(upstream)?;
    Ok(socket)
}
// ANCHOR_END: socket

/// What comes on a socket is about this question.
pub fn hear_datagrams(
    event_loop: &mut EventLoop,
    shared: &Rc<Shared>,
    question: Token,
    socket: UdpSocket,
    parts: &Parts,
) -> io::Result<Token> {
    let of_question = Rc::clone(shared);
    let hears = move |event_loop: &mut EventLoop, _, arrival: Arrival<'_>| {
        let shared = &of_question;
        let now = shared.now(event_loop);
        let mut responder = shared.responder.borrow_mut();
        let step = match arrival {
            Arrival::Datagram { bytes, .. } => {
                responder.heard(question, bytes, Transport::Udp, now)
            }
            // We said how much we take, and it's less.
            Arrival::CutShort { .. } => Step::Ignore,
            Arrival::Undeliverable(_) => responder.forwarder().refused(question, now),
        };
        drop(responder);
        take(event_loop, shared, question, step);
    };
    Datagrams::add_parts(event_loop, socket, parts, &shared.buffers, hears)
}

/// What comes on a connection is about this question.
pub fn hear_connection(
    event_loop: &mut EventLoop,
    shared: &Rc<Shared>,
    question: Token,
    socket: Token,
) {
    let (hears, of_question) = (Rc::clone(shared), Rc::clone(shared));
    event_loop.set_read_callback(socket, move |event_loop, me, input| {
        if let Some(link) = hears.links.borrow_mut().get_mut(&question) {
            link.stream.append(&mut input.bytes);
        }
        while let Some(step) = next_step(event_loop, &hears, question) {
            take(event_loop, &hears, question, step);
        }
        if input.ended {
            event_loop.close(me);
        }
    });
    event_loop.set_close_callback(socket, move |event_loop, me, _| {
        connection_is_gone(event_loop, &of_question, question, me);
    });
}

/// What the next message says, if it's whole. Once the question is over, there is none.
fn next_step(event_loop: &EventLoop, shared: &Shared, question: Token) -> Option<Step> {
    let now = shared.now(event_loop);
    let mut links = shared.links.borrow_mut();
    let stream = &mut links.get_mut(&question)?.stream;
    let message = framing::first(stream)?;
    let length = framing::PREFIX + message.len();
    let step = shared.responder.borrow_mut().heard(question, message, Transport::Tcp, now);
    stream.drain(..length);
    Some(step)
}

/// If it's the one that the question goes by, there won't be an answer on it.
fn connection_is_gone(
    event_loop: &mut EventLoop,
    shared: &Rc<Shared>,
    question: Token,
    socket: Token,
) {
    let mut links = shared.links.borrow_mut();
    let Some(link) = links.get_mut(&question).filter(|link| link.socket == Some(socket)) else {
        return;
    };
    link.socket = None;
    link.stream = Vec::new();
    drop(links);
    let now = shared.now(event_loop);
    let step = shared.responder.borrow_mut().forwarder().refused(question, now);
    take(event_loop, shared, question, step);
}

/// The new socket takes the place of the one before, which is closed.
fn set_socket(event_loop: &mut EventLoop, shared: &Shared, question: Token, socket: Token) {
    let mut links = shared.links.borrow_mut();
    let Some(link) = links.get_mut(&question) else { return };
    let before = link.socket.replace(socket);
    link.stream = Vec::new();
    drop(links);
    if let Some(before) = before {
        event_loop.close(before);
    }
}

/// Something is to be done when the question is due.
pub fn set_timer(event_loop: &mut EventLoop, shared: &Rc<Shared>, question: Token) {
    let Some(due) = shared.responder.borrow_mut().forwarder().due(question) else { return };
    let of_question = Rc::clone(shared);
    let timer = shared.timers.at(event_loop, due, move |event_loop| {
        let shared = &of_question;
        let now = shared.now(event_loop);
        let step = shared.responder.borrow_mut().forwarder().late(question, now);
        take(event_loop, shared, question, step);
    });
    let mut links = shared.links.borrow_mut();
    let before = links.get_mut(&question).and_then(|link| link.timer.replace(timer));
    drop(links);
    if let Some(before) = before {
        shared.timers.cancel(event_loop, before);
    }
}

/// We can't ask: there is no descriptor left, no way to the upstream, no chance to be had.
fn no_way(
    event_loop: &mut EventLoop,
    shared: &Rc<Shared>,
    question: Token,
    error: &io::Error,
) -> Step {
    shared.tell(event_loop, &shared.notices.trouble, &format!("can't ask the upstream: {error}"));
    let now = shared.now(event_loop);
    shared.responder.borrow_mut().forwarder().refused(question, now)
}

/// The question is over: its socket is closed, and all who have waited get their answers.
fn over(event_loop: &mut EventLoop, shared: &Rc<Shared>, question: Token, ended: &Ended) {
    let link = shared.links.borrow_mut().remove(&question).unwrap_or_default();
    if let Some(socket) = link.socket {
        event_loop.close(socket);
    }
    if let Some(timer) = link.timer {
        shared.timers.cancel(event_loop, timer);
    }
    if ended.silent
        && let Some(upstream) = shared.upstream
    {
        let what = format!("no answer from the upstream, {upstream}");
        shared.tell(event_loop, &shared.notices.silence, &what);
    }
    let now = shared.now(event_loop);
    let deliveries = shared.responder.borrow_mut().over(ended, now);
    for delivery in &deliveries {
        shared.deliver(event_loop, delivery);
    }
    shared.end_if_idle(event_loop);
}

/// A number that nobody can guess, from the kernel.
fn random() -> io::Result<u16> {
    // waits: never, but for the first moments after a machine was switched on (getrandom(2))
    let number = getrandom::u32().map_err(io::Error::other)?;
    Ok(number as u16)
}
