//! A mail server that is handed to another process, and one that has been.
//!
//! Its mbox is locked while a message is written, and at no other time. So the other process needs
//! neither the file nor its lock from us: only that nothing is with the disk while it takes over.
//! Messages that are whole by then are held back, and written by whoever has them afterwards.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::EventLoop;

use super::{Client, HOLD, Held, Mail, Shared};
use crate::line_server;
use crate::mail::session::{Session, Stage};
use crate::mbox::Entry;
use crate::presence::Stopped;

/// A mail server in plain data. `D`: its descriptors, lent or one's own.
#[derive(Debug)]
pub struct HandedOver<D> {
    pub lines: line_server::handover::HandedOver<D, Visit>,
    /// Messages whose clients didn't wait for them.
    pub left_behind: Vec<Held>,
}

/// One client in plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    pub session: Session,
    /// The message that it waits for, if its [stage](Session::stage) is [`Stage::Disk`].
    pub message: Option<Held>,
}

impl Mail {
    /// Prepares for [`visitors`](Self::visitors): from now on no message goes to the disk, until
    /// somebody [goes on](Self::go_on), or for two seconds.
    pub fn hold(&self, event_loop: &mut EventLoop) {
        self.0.held.borrow_mut().get_or_insert_default();
        self.go_on_after(event_loop, HOLD);
    }

    /// Messages go to the disk again, first those that were held back.
    pub fn go_on(&self, event_loop: &mut EventLoop) {
        let shared = &self.0;
        shared.forget_hold(event_loop);
        for message in shared.held.take().into_iter().flatten() {
            let ticket = message.ticket();
            if let Err(error) = shared.give(message) {
                shared.written(event_loop, &ticket, Err(error));
            }
        }
    }

    fn go_on_after(&self, event_loop: &mut EventLoop, time: Duration) {
        let (shared, mail) = (&self.0, self.clone());
        shared.forget_hold(event_loop);
        let timer = shared.timers.after(event_loop, time, move |event_loop| mail.go_on(event_loop));
        shared.holds_until.set(Some(timer));
    }

    /// All that it has, as it is now: nothing changes here.
    ///
    /// # Errors
    /// `WouldBlock`: a message is with the disk. When it's written, the next one isn't there if
    /// they were [held back](Self::hold).
    pub fn visitors<'l>(
        &self,
        event_loop: &'l EventLoop,
    ) -> io::Result<HandedOver<BorrowedFd<'l>>> {
        let shared = &self.0;
        let Some(lines) = shared.lines.get().filter(|_| shared.at_disk.get() == 0) else {
            return Err(ErrorKind::WouldBlock.into());
        };
        let held = shared.held.borrow();
        let left_behind: RefCell<Vec<&Held>> = RefCell::new(held.iter().flatten().collect());
        let lines = lines.visitors(event_loop, |me, client: &Client| {
            let session = client.session.clone();
            if session.stage != Stage::Disk {
                return Visit { session, message: None };
            }
            let mut others = left_behind.borrow_mut();
            let place = others.iter().position(|message| message.client == Some(me));
            let message = place.map(|place| others.swap_remove(place).clone());
            Visit { session, message }
        })?;
        let left_behind = left_behind.into_inner().into_iter().cloned().collect();
        Ok(HandedOver { lines, left_behind })
    }

    /// Goes on with what another process has had until now. Nothing is read, said or written
    /// before the loop turns.
    ///
    /// # Errors
    /// When it isn't what a server can have.
    pub fn adopt(&self, event_loop: &mut EventLoop, state: HandedOver<OwnedFd>) -> io::Result<()> {
        let shared = &self.0;
        let HandedOver { lines: state, left_behind } = state;
        let Some(lines) = shared.lines.get() else { return Ok(()) };
        lines.count_from(state.last);
        let mut held = left_behind;
        for (socket, visitor) in state.visitors {
            let is_at_disk = visitor.session.session.stage == Stage::Disk;
            if is_at_disk != visitor.session.message.is_some() {
                return Err(ErrorKind::InvalidData.into());
            }
            let mut message = None;
            let me = lines.adopt(event_loop, socket, visitor, |_, visit: Visit| {
                message = visit.message;
                Client::adopt(visit.session, shared)
            })?;
            held.extend(message.map(|message| Held { client: Some(me), ..message }));
        }
        let takes: usize = held.iter().map(Held::takes).sum();
        shared.taken.set(shared.taken.get() + takes);
        // The other process may still be the one to write them, if this one can't begin.
        shared.held.replace(Some(held));
        self.go_on_after(event_loop, Duration::ZERO);
        Ok(())
    }

    /// Another process has all of it now: it's let go of here, and nobody is told anything.
    /// `stopped` is called when the thread has ended.
    pub fn leave(&self, event_loop: &mut EventLoop, stopped: Stopped) {
        let shared = &self.0;
        shared.forget_hold(event_loop);
        drop(shared.held.take());
        if let Some(lines) = shared.lines.get() {
            lines.leave(event_loop);
        }
        shared.stopped.borrow_mut().push(stopped);
        drop(shared.writer.take());
    }
}

impl Shared {
    fn forget_hold(&self, event_loop: &mut EventLoop) {
        if let Some(timer) = self.holds_until.take() {
            self.timers.cancel(event_loop, timer);
        }
    }
}

impl Client {
    fn adopt(session: Session, shared: &Rc<Shared>) -> Self {
        let mut client = Self { session, shared: Rc::clone(shared), holds: 0 };
        client.account(client.session.holds());
        client
    }
}

impl Held {
    /// One that has come from another process.
    pub fn of(entry: Entry, recipients: usize) -> Self {
        Self { entry, recipients, client: None }
    }
}
