//! What all callbacks of a DNS server share, and how an answer gets to whoever waited for it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use ch07_callbacks::program::say;
use ch07_callbacks::{EventLoop, Token};
use ch09_timers::{Timer, Timers};

use super::forwarder::Whom;
use super::framing;
use super::notice::Notice;
use super::responder::{Delivery, Responder};
use crate::datagrams::{Buffers, Datagrams};
use crate::presence::Stopped;

/// How long a connection may do nothing: send no whole question, get no answer (RFC 7766,
/// section 6.2.3: some seconds).
pub const IDLE: Duration = Duration::from_secs(10);
/// With so much on its way to a connection, in bytes, it gets nothing more: it doesn't read.
pub const MOST_UNSENT: usize = 256 * 1024;

pub struct Shared {
    pub timers: Timers,
    pub upstream: Option<SocketAddr>,
    pub responder: RefCell<Responder>,
    pub buffers: Buffers,
    pub udp: Cell<Option<Token>>,
    pub listener: Cell<Option<Token>>,
    pub clients: RefCell<BTreeMap<Token, Client>>,
    /// By question.
    pub links: RefCell<BTreeMap<Token, Link>>,
    /// How many may be connected.
    pub most_clients: Cell<usize>,
    /// Nobody is let in any more. What has come by then is still heard.
    pub closing: Cell<bool>,
    /// Nothing more is heard.
    pub stopping: Cell<bool>,
    pub when_stopped: RefCell<Vec<Stopped>>,
    pub notices: Notices,
}

/// Lets a connection go on.
pub type GoOn = Box<dyn FnOnce(&mut EventLoop)>;

/// Somebody who asks by TCP.
pub struct Client {
    pub from: SocketAddr,
    /// How many of its questions have been asked of the upstream.
    pub under_way: usize,
    /// What makes it be heard again, if it isn't because too many of its questions are under way.
    pub go_on: Option<GoOn>,
    /// Nothing more will come from it.
    pub has_ended: bool,
    /// When it has done nothing for too long, if it does nothing till then.
    pub idle: Duration,
    /// When it's looked after.
    pub timer: Option<Timer>,
}

/// How a question is asked of the upstream: by a socket of its own.
#[derive(Default)]
pub struct Link {
    pub socket: Option<Token>,
    /// What has come on it by TCP, and isn't a whole message yet: that may be longer than what a
    /// connection keeps for us.
    pub stream: Vec<u8>,
    pub timer: Option<Timer>,
}

#[derive(Default)]
pub struct Notices {
    pub lies: Cell<Notice>,
    pub silence: Cell<Notice>,
    pub crowd: Cell<Notice>,
    pub trouble: Cell<Notice>,
}

impl Shared {
    pub fn now(&self, event_loop: &EventLoop) -> Duration {
        self.timers.now(event_loop)
    }

    /// Says something to the operator, unless it was said a moment ago.
    pub fn tell(&self, event_loop: &EventLoop, notice: &Cell<Notice>, what: &str) {
        let mut kept = notice.get();
        match kept.happened(self.now(event_loop)) {
            Some(1) => say(&format!("dns: {what}")),
            Some(count) => say(&format!("dns: {what} ({count} times)")),
            None => {}
        }
        notice.set(kept);
    }

    /// Gives an answer to somebody who has waited for it, if they are still there.
    pub fn deliver(&self, event_loop: &mut EventLoop, delivery: &Delivery) {
        let Delivery { whom, bytes } = delivery;
        match *whom {
            Whom::Address(to) => {
                if let Some(udp) = self.udp.get() {
                    Datagrams::send(event_loop, udp, Some(to), bytes);
                }
            }
            Whom::Connection(token) => {
                let now = self.now(event_loop);
                let mut clients = self.clients.borrow_mut();
                let Some(client) = clients.get_mut(&token) else { return };
                client.under_way = client.under_way.saturating_sub(1);
                client.idle = now.saturating_add(IDLE);
                let go_on = client.go_on.take();
                send_framed(event_loop, token, bytes);
                if client.has_ended && client.under_way == 0 {
                    event_loop.finish(token);
                }
                drop(clients);
                if let Some(go_on) = go_on {
                    go_on(event_loop);
                }
            }
        }
    }

    /// Stopping is over when nobody waits for an answer.
    pub fn end_if_idle(&self, event_loop: &mut EventLoop) {
        if self.stopping.get() && !self.responder.borrow().is_busy() {
            if let Some(udp) = self.udp.take() {
                Datagrams::finish(event_loop, udp);
            }
            for token in self.clients.borrow().keys() {
                event_loop.finish(*token);
            }
            self.call_stopped(event_loop);
        }
    }

    pub fn call_stopped(&self, event_loop: &mut EventLoop) {
        for stopped in self.when_stopped.take() {
            stopped(event_loop);
        }
    }
}

/// Sends a message on a connection. Closes it if it has let too much lie already.
pub fn send_framed(event_loop: &mut EventLoop, connection: Token, message: &[u8]) {
    let Some(prefix) = framing::prefix(message) else { return event_loop.close(connection) };
    if event_loop.queued(connection) + message.len() > MOST_UNSENT {
        return event_loop.close(connection);
    }
    event_loop.send(connection, &prefix);
    event_loop.send(connection, message);
}
