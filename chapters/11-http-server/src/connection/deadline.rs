//! A connection's timer, and its end when the server is stopped.

use std::net::SocketAddr;
use std::rc::Rc;

use ch07_callbacks::{EventLoop, Readiness, Token};

use super::Connection;
use crate::conversation::wait::Wait;
use crate::shared::Shared;

impl Connection {
    /// Hangs up on a connection that is over. Sees to it that somebody
    /// looks at the deadline of any other. A timer that rings too early
    /// looks, and is set again: cheaper than to set it anew with each
    /// request.
    pub(super) fn set_timer(event_loop: &mut EventLoop, me: Token, shared: &Shared) {
        let Some(connection) = event_loop.get_mut::<Connection>(me) else { return };
        if !connection.needs_attention() {
            return;
        }
        let is_over = connection.conversation.wants_close();
        let due = connection.conversation.deadline();
        if let Some((_, timer)) = connection.timer.take() {
            shared.timers.cancel(event_loop, timer);
        }
        let Some(due) = due.filter(|_| !is_over) else { return event_loop.close(me) };
        let timer =
            shared.timers.at(event_loop, due, move |event_loop| Self::rings(event_loop, me));
        if let Some(connection) = event_loop.get_mut::<Connection>(me) {
            connection.timer = Some((due, timer));
        }
    }

    // ANCHOR: rings
    /// The timer has rung.
    fn rings(event_loop: &mut EventLoop, me: Token) {
        let Some(connection) = event_loop.get_mut::<Connection>(me) else { return };
        connection.timer = None;
        let shared = Rc::clone(&connection.shared);
        let now = shared.now(event_loop);
        let Some(connection) = event_loop.get_mut::<Connection>(me) else { return };
        if connection.conversation.check_deadline(now) {
            shared.counters.late.add(1);
            if !connection.conversation.wants_close() {
                connection.answered_itself();
                connection.again = true;
            }
        }
        Self::set_timer(event_loop, me, &shared);
    }
    // ANCHOR_END: rings

    /// It's over, or nobody will look at its deadline in time.
    pub(super) fn needs_attention(&self) -> bool {
        let rings = self.timer.map(|(rings, _)| rings);
        let due = self.conversation.deadline();
        self.conversation.wants_close()
            || due.is_some_and(|due| rings.is_none_or(|rings| rings > due))
    }

    /// Whether it's one of this server: there may be several in one loop.
    pub(crate) fn is_of(&self, shared: &Shared) -> bool {
        std::ptr::eq(Rc::as_ptr(&self.shared), shared)
    }

    /// Where it comes from, and what it waits for.
    pub(crate) fn visitor(&self) -> (SocketAddr, Wait) {
        (self.from, self.conversation.waiting())
    }

    /// The server is being stopped.
    pub(crate) fn stop(event_loop: &mut EventLoop, me: Token, shared: &Shared) {
        // It may have asked already. (Not the one whose handler says that
        // this is the end.)
        let readiness = Readiness { read: true, ..Readiness::NONE };
        let is_idle = |connection: &Connection| connection.conversation.is_idle();
        if event_loop.get::<Connection>(me).is_some_and(is_idle)
            && Self::ready(event_loop, me, readiness, shared).is_err()
        {
            return event_loop.close(me);
        }
        let now = shared.now(event_loop);
        let Some(connection) = event_loop.get_mut::<Connection>(me) else { return };
        connection.conversation.stop();
        connection.finish_turn(connection.again, now);
        Self::set_timer(event_loop, me, shared);
    }
}
