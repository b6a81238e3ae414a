//! A chat that is handed to another process, and one that has been.

use std::cell::OnceCell;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;

use ch07_callbacks::EventLoop;

use super::{Chat, Visit, go_on_after_breath};
use crate::line_server::{self, Next};
use crate::presence::Stopped;
use crate::room::Member;

/// A chat in plain data. `D`: its descriptors, lent or one's own.
pub type HandedOver<D> = line_server::handover::HandedOver<D, Guest>;

/// Somebody in plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// None: all is said to it.
    pub member: Option<Member>,
    /// How many lines it has said since it last took breath.
    pub lines: usize,
}

impl Chat {
    /// All that it has, as it is now: nothing changes here. (The room itself keeps nothing else
    /// between two events.)
    ///
    /// # Errors
    /// `WouldBlock`: somebody is gone, and the others haven't been told; in the next turn they are.
    pub fn visitors<'l>(
        &self,
        event_loop: &'l EventLoop,
    ) -> io::Result<HandedOver<BorrowedFd<'l>>> {
        let room = self.room.borrow();
        self.server.visitors(event_loop, |me, visit| Guest {
            member: room.member(me).cloned(),
            lines: visit.lines,
        })
    }

    /// Goes on with what another process has had until now. Nothing is read or said before the
    /// loop turns.
    ///
    /// # Errors
    /// When a socket can't be told not to wait.
    pub fn adopt(&self, event_loop: &mut EventLoop, state: HandedOver<OwnedFd>) -> io::Result<()> {
        self.server.count_from(state.last);
        let server = Rc::new(OnceCell::from(self.server.clone()));
        for (socket, visitor) in state.visitors {
            let next = visitor.next;
            let me = self.server.adopt(event_loop, socket, visitor, |me, guest: Guest| {
                if let Some(member) = guest.member {
                    self.room.borrow_mut().adopt(me, member);
                }
                let (room, server) = (Rc::clone(&self.room), Rc::clone(&server));
                Visit { room, server, timers: self.timers, me: Some(me), lines: guest.lines }
            })?;
            if next == Next::Wait {
                // Whoever was to wake it is in the other process.
                go_on_after_breath(&self.server, self.timers, event_loop, me);
            }
        }
        Ok(())
    }

    /// Another process has all of it now: it's let go of here, and nobody is told anything.
    pub fn leave(&self, event_loop: &mut EventLoop, stopped: Stopped) {
        self.server.leave(event_loop);
        stopped(event_loop);
    }
}
