//! A server in one loop: lets people in, and ends.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::Arc;

use ch07_callbacks::program::say;
use ch07_callbacks::{EventLoop, Listener, Readiness, Source, Token};
use ch09_timers::Timers;

use crate::connection::Connection;
use crate::connection::handover::Visitor;
use crate::conversation::wait::Wait;
use crate::log::Log;
use crate::metrics::Counters;
use crate::routes::Routes;
use crate::settings::Settings;
use crate::shared::Shared;

/// A server in the loop. Clones of it are the same server.
#[derive(Clone)]
pub struct Server(Rc<Inner>);

/// What of a server another process can have.
pub struct HandedOver<'l> {
    /// None: it lets nobody in any more.
    pub listener: Option<BorrowedFd<'l>>,
    pub visitors: Vec<(BorrowedFd<'l>, Visitor)>,
    /// How many others there are.
    pub staying: usize,
}

struct Inner {
    shared: Rc<Shared>,
    listener: Cell<Option<Token>>,
    stopping: Cell<bool>,
    /// The last attempt to let somebody in has failed.
    accept_failed: Cell<bool>,
}

impl Server {
    /// Serves `routes` to all who come to `listener`.
    ///
    /// # Errors
    /// When the listener can't be told what it must know.
    pub fn start(
        event_loop: &mut EventLoop,
        timers: Timers,
        listener: TcpListener,
        settings: Settings,
        routes: Routes,
    ) -> io::Result<Self> {
        Self::start_with(event_loop, timers, listener, settings, routes, Arc::default(), None)
    }

    /// The same, with counters that others read, and with an access log.
    ///
    /// # Errors
    /// When the listener can't be told what it must know.
    pub fn start_with(
        event_loop: &mut EventLoop,
        timers: Timers,
        listener: TcpListener,
        settings: Settings,
        routes: Routes,
        counters: Arc<Counters>,
        log: Option<Log>,
    ) -> io::Result<Self> {
        let shared = Shared::new(event_loop, timers, settings, routes, counters, log);
        let server = Self(Rc::new(Inner {
            shared: Rc::new(shared),
            listener: Cell::new(None),
            stopping: Cell::new(false),
            accept_failed: Cell::new(false),
        }));
        let accepts = server.clone();
        let listener = event_loop.add(Listener::new(listener)?, move |event_loop, me, _| {
            // One in each turn: a call that finds nobody at the door costs more than a turn.
            accepts.accept_one(event_loop, me);
            Ok(())
        });
        server.0.listener.set(Some(listener));
        Ok(server)
    }

    /// Lets in one who is at the door. Whether there was one.
    fn accept_one(&self, event_loop: &mut EventLoop, door: Token) -> bool {
        let Inner { shared, accept_failed, .. } = &*self.0;
        let Some(listener) = event_loop.get_mut::<Listener>(door) else { return false };
        match listener.accept() {
            Ok(Some((socket, from))) => {
                accept_failed.set(false);
                // To a listener of both kinds, 127.0.0.1 is ::ffff:127.0.0.1 (RFC 4291,
                // section 2.5.5.2): to those who read the log it isn't.
                let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                Self::welcome(shared, event_loop, socket, from);
                true
            }
            Ok(None) => false,
            Err(error) => {
                shared.counters.failed_accepts.add(1);
                // It's tried again ten times a second, and said once.
                if !accept_failed.replace(true) {
                    say(&format!("not accepted: {error}"));
                }
                false
            }
        }
    }

    fn welcome(
        shared: &Rc<Shared>,
        event_loop: &mut EventLoop,
        socket: TcpStream,
        from: SocketAddr,
    ) {
        // Dropped, the socket is closed.
        let Some(admission) = shared.admit() else { return };
        let now = shared.now(event_loop);
        let connection = Connection::new(Rc::clone(shared), socket, from, admission, now);
        let of_connection = Rc::clone(shared);
        let token = event_loop.add(connection, move |event_loop, me, readiness| {
            Connection::ready(event_loop, me, readiness, &of_connection)
        });
        // Most have said already what they want.
        event_loop.guard(Some(token), |event_loop| {
            let readiness = Readiness { read: true, ..Readiness::NONE };
            if Connection::ready(event_loop, token, readiness, shared).is_err() {
                event_loop.close(token);
            }
        });
    }

    /// Lets nobody in any more, and calls `stopped` when all that was begun is done, or
    /// its time is over. The second time, it calls it at once.
    pub fn stop(&self, event_loop: &mut EventLoop, stopped: impl FnOnce(&mut EventLoop) + 'static) {
        let Inner { shared, listener, stopping, .. } = &*self.0;
        shared.when_empty(Box::new(stopped));
        if stopping.replace(true) {
            return self.end(event_loop);
        }
        // Whoever is at the door has been told by the kernel that they're in.
        if let Some(listener) = listener.take() {
            while self.accept_one(event_loop, listener) {}
            event_loop.close(listener);
        }
        for connection in self.all(event_loop) {
            Connection::stop(event_loop, connection, shared);
        }
        let late = self.clone();
        let grace = shared.settings().shutdown_timeout;
        shared.timers.after(event_loop, grace, move |event_loop| late.end(event_loop));
        shared.call_if_empty(event_loop);
    }

    /// Whoever is still here is hung up on, and logged.
    fn end(&self, event_loop: &mut EventLoop) {
        for connection in self.all(event_loop) {
            event_loop.close(connection);
        }
        self.0.shared.call(event_loop);
    }

    fn all(&self, event_loop: &EventLoop) -> Vec<Token> {
        let is_ours = |token: &Token| {
            let connection = event_loop.get::<Connection>(*token);
            connection.is_some_and(|connection| connection.is_of(&self.0.shared))
        };
        event_loop.tokens::<Connection>().into_iter().filter(is_ours).collect()
    }

    /// Readies its connections to be handed to another process: see
    /// [`visitors_and_sockets`](Self::visitors_and_sockets).
    pub fn prepare(&self, event_loop: &mut EventLoop) {
        for connection in self.all(event_loop) {
            Connection::prepare(event_loop, connection);
        }
    }

    /// The listener, and all connections that another process could go on with, as they are now:
    /// nothing changes here. Those that are left out are answered by somebody in this process.
    pub fn visitors_and_sockets<'l>(&self, event_loop: &'l EventLoop) -> HandedOver<'l> {
        let listener = self.0.listener.get().and_then(|token| event_loop.get::<Listener>(token));
        let listener = listener.and_then(Source::descriptor);
        let all = self.all(event_loop);
        let count = all.len();
        let visitors: Vec<_> = all
            .into_iter()
            .filter_map(|token| event_loop.get::<Connection>(token))
            .filter_map(|connection| connection.visitor_and_socket(&self.0.shared, event_loop))
            .collect();
        HandedOver { staying: count - visitors.len(), listener, visitors }
    }

    /// Another process has all that was handed over: it's let go of here, untouched. `stopped` is
    /// called when those who stayed have got what was begun.
    pub fn leave(
        &self,
        event_loop: &mut EventLoop,
        stopped: impl FnOnce(&mut EventLoop) + 'static,
    ) {
        if let Some(listener) = self.0.listener.take() {
            event_loop.close(listener);
        }
        for connection in self.all(event_loop) {
            Connection::leave(event_loop, connection, &self.0.shared);
        }
        self.stop(event_loop, stopped);
    }

    /// Lets in all who are at another door, and closes that.
    ///
    /// # Errors
    /// When it can't be told not to wait.
    pub fn let_in_all(&self, event_loop: &mut EventLoop, door: TcpListener) -> io::Result<()> {
        let door = event_loop.add(Listener::new(door)?, |_, _, _| Ok(()));
        while self.accept_one(event_loop, door) {}
        event_loop.close(door);
        Ok(())
    }

    /// Goes on with a connection that another process has had until now.
    pub fn adopt(&self, event_loop: &mut EventLoop, socket: TcpStream, visitor: Visitor) {
        Connection::adopt(event_loop, &self.0.shared, socket, visitor);
    }

    /// Who is connected, from where, and what is waited for.
    pub fn visitors(&self, event_loop: &EventLoop) -> Vec<(Token, SocketAddr, Wait)> {
        let all = self.all(event_loop).into_iter();
        let visitor = |token| {
            let (from, wait) = event_loop.get::<Connection>(token)?.visitor();
            Some((token, from, wait))
        };
        all.filter_map(visitor).collect()
    }

    /// How many connections it has.
    pub fn connections(&self) -> usize {
        self.0.shared.open()
    }
}
