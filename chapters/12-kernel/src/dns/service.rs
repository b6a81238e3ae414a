//! The DNS server in the loop.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::{EventLoop, Token};
use ch09_timers::Timers;

use super::asking;
use super::clients;
use super::forwarder::{Times, Whom};
use super::question::Transport;
use super::responder::{Responder, Said};
use super::shared::{Notices, Shared};
use super::zone::Zone;
use crate::datagrams::{Arrival, Buffers, Datagrams, Parts};
use crate::door;
use crate::presence::{Row, Service, Stopped};

/// What a DNS server is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The names that it knows itself.
    pub zone: Option<Zone>,
    /// Whom it asks about all others. Without one they are refused.
    pub upstream: Option<SocketAddr>,
    /// How long the upstream may take.
    pub times: Times,
    /// Who asks who has answered is told which generation this is (RFC 5001).
    pub generation: Option<u64>,
}

/// A DNS server in the loop. Clones of it are the same server.
#[derive(Clone)]
pub struct Dns(pub(super) Rc<Shared>);

// ANCHOR: serve
/// Answers all who ask by UDP or by TCP.
///
/// # Errors
/// When a socket can't be told not to wait.
pub fn serve(
    event_loop: &mut EventLoop,
    timers: Timers,
    udp: UdpSocket,
    tcp: TcpListener,
    options: Options,
) -> io::Result<Dns> {
    serve_with(event_loop, timers, udp, &Parts::default(), tcp, options)
}

/// The same, by a socket that may have had another process before.
pub(super) fn serve_with(
    event_loop: &mut EventLoop,
    timers: Timers,
    udp: UdpSocket,
    parts: &Parts,
    tcp: TcpListener,
    options: Options,
) -> io::Result<Dns> {
    let Options { zone, upstream, times, generation } = options;
    let responder = Responder::new(zone, upstream.is_some(), times).of_generation(generation);
    let shared = Rc::new(Shared {
        timers,
        upstream,
        responder: RefCell::new(responder),
        buffers: Buffers::default(),
        udp: Cell::new(None),
        listener: Cell::new(None),
        clients: RefCell::default(),
        links: RefCell::default(),
        most_clients: Cell::new(clients::MOST_CLIENTS),
        closing: Cell::new(false),
        stopping: Cell::new(false),
        when_stopped: RefCell::default(),
        notices: Notices::default(),
    });
    let by_udp = Rc::clone(&shared);
    let hears = move |event_loop: &mut EventLoop, me, arrival: Arrival<'_>| {
        // One that is cut short is no question, and nobody hears of our answers' fates.
        if let Arrival::Datagram { bytes, from } = arrival {
            datagram_has_come(event_loop, &by_udp, me, bytes, from);
        }
    };
    let udp = Datagrams::add_parts(event_loop, udp, parts, &shared.buffers, hears)?;
    Datagrams::gather(event_loop, udp)?;
    shared.udp.set(Some(udp));
    let by_tcp = Rc::clone(&shared);
    let listener = event_loop.listen(tcp, move |event_loop, came| {
        clients::came(event_loop, &by_tcp, came);
    })?;
    shared.listener.set(Some(listener));
    Ok(Dns(shared))
}
// ANCHOR_END: serve

// ANCHOR: heard
fn datagram_has_come(
    event_loop: &mut EventLoop,
    shared: &Rc<Shared>,
    me: Token,
    message: &[u8],
    from: SocketAddr,
) {
    // While stopping, no new question is taken: or it might never be
    // done.
    if shared.stopping.get() {
        return;
    }
    let now = shared.now(event_loop);
    let mut responder = shared.responder.borrow_mut();
    match responder.hear(message, Transport::Udp, Whom::Address(from), now) {
        Said::Answer(bytes) => {
            Datagrams::send(event_loop, me, Some(from), bytes);
        }
        Said::Nothing | Said::Later => {}
        Said::Ask(question) => {
            drop(responder);
            asking::begin(event_loop, shared, question);
        }
    }
}
// ANCHOR_END: heard

impl Dns {
    /// Another zone takes the place of the one before.
    pub fn set_zone(&self, zone: Option<Zone>) {
        self.0.responder.borrow_mut().set_zone(zone);
    }

    /// From now on so many may be connected, and so many questions be under way: the descriptors
    /// are shared with others.
    pub fn allow(&self, most: usize) {
        self.0.most_clients.set(most.min(clients::MOST_CLIENTS));
        self.0.responder.borrow_mut().forwarder().allow(most);
    }

    /// How many questions have been asked of the upstream and wait for its answer.
    pub fn under_way(&self) -> usize {
        self.0.responder.borrow_mut().forwarder().len()
    }

    /// How many answers the cache has, and how many bytes they take.
    pub fn cached(&self) -> (usize, usize) {
        let responder = self.0.responder.borrow();
        (responder.cache().len(), responder.cache().bytes())
    }
}

impl Service for Dns {
    /// Those who have a connection. Who asks by datagram is gone as soon as it has come.
    fn rows(&self, event_loop: &EventLoop) -> Vec<Row> {
        let clients = self.0.clients.borrow();
        let row = |(token, client): (&Token, &super::shared::Client)| Row {
            token: *token,
            protocol: "dns",
            from: client.from,
            waits_for: clients::waits_for(event_loop, *token, client).into(),
        };
        clients.iter().map(row).collect()
    }

    fn stop(&self, event_loop: &mut EventLoop, stopped: Stopped) {
        let shared = &self.0;
        shared.when_stopped.borrow_mut().push(stopped);
        if shared.closing.replace(true) {
            return self.end(event_loop);
        }
        if let Some(listener) = shared.listener.take() {
            door::close(event_loop, listener, |event_loop, came| {
                clients::came(event_loop, shared, came);
            });
        }
        let shared = Rc::clone(shared);
        after_a_turn(event_loop, shared.timers, move |event_loop| {
            shared.stopping.set(true);
            shared.end_if_idle(event_loop);
        });
    }
}

/// When all who are ready now have been called. A timer that is due is called behind those: the first
/// one in this turn perhaps, the second one in the next.
fn after_a_turn(
    event_loop: &mut EventLoop,
    timers: Timers,
    callback: impl FnOnce(&mut EventLoop) + 'static,
) {
    timers.after(event_loop, Duration::ZERO, move |event_loop| {
        timers.after(event_loop, Duration::ZERO, callback);
    });
}

impl Dns {
    /// Whoever still waits gets nothing.
    pub(super) fn end(&self, event_loop: &mut EventLoop) {
        let shared = &self.0;
        let links = std::mem::take(&mut *shared.links.borrow_mut());
        for link in links.into_values() {
            if let Some(socket) = link.socket {
                event_loop.close(socket);
            }
            if let Some(timer) = link.timer {
                shared.timers.cancel(event_loop, timer);
            }
        }
        let clients: Vec<Token> = shared.clients.borrow().keys().copied().collect();
        for token in shared.udp.take().into_iter().chain(clients) {
            event_loop.close(token);
        }
        shared.call_stopped(event_loop);
    }
}
