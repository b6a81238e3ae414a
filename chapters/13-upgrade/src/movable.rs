//! What a program's parts must be able to do so that another process can go on with them.

use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use ch07_callbacks::{EventLoop, Token};
use ch11_http_server::server::HandedOver;
use ch12_kernel::chat::Chat;
use ch12_kernel::dns::Dns;
use ch12_kernel::http::Http;
use ch12_kernel::mail::Mail;
use ch12_kernel::presence::{Services, Stopped};
use ch12_kernel::{chat, commands, console, dns, mail, window};

use crate::countdown::countdown;
use crate::given::Places;
use crate::state::Outgoing;
use crate::upgrade::Give;
use crate::{
    chat as chat_state, console as console_state, dns as dns_state, http, mail as mail_state,
    window as window_state,
};

// ANCHOR: movable
/// A part of a program that another process can go on with.
pub trait Movable {
    /// What it's called in the state.
    fn name(&self) -> &'static str;

    /// Readies it: from here on until the verdict, nobody is served.
    ///
    /// # Errors
    /// When it can't be handed over; `WouldBlock` if it can be a moment later.
    fn prepare(&self, _: &mut EventLoop) -> io::Result<()> {
        Ok(())
    }

    /// All it has, as it is now: nothing changes here.
    ///
    /// # Errors
    /// Those of [`prepare`](Self::prepare).
    fn gather<'l>(&self, event_loop: &'l EventLoop) -> io::Result<Gathered<'l>>;

    /// It isn't handed over after all.
    fn stay(&self, _: &mut EventLoop) {}

    /// Another process has it: it's let go of here, untouched. `left` is called when those who
    /// had to stay are served.
    fn leave(&self, event_loop: &mut EventLoop, left: Stopped);
}

/// What one of them has.
pub enum Gathered<'l> {
    Http(HandedOver<'l>),
    Dns(Box<dns::handover::HandedOver<BorrowedFd<'l>>>),
    Mail(mail::server::handover::HandedOver<BorrowedFd<'l>>),
    Chat(chat::handover::HandedOver<BorrowedFd<'l>>),
    /// None: it's over.
    Console(Option<commands::Parts>),
    /// None: it's closed.
    Window(Option<Box<(BorrowedFd<'l>, window::Parts)>>),
    Given(Places),
}

impl Gathered<'_> {
    fn write<'s>(&'s self, to: &mut Outgoing<'s>) {
        match self {
            Self::Http(server) => http::write(to, server),
            Self::Dns(server) => dns_state::write(to, server),
            Self::Mail(server) => mail_state::write(to, server),
            Self::Chat(server) => chat_state::write(to, server),
            Self::Console(parts) => console_state::write(&mut to.writer, parts.as_ref()),
            Self::Window(window) => window_state::write(to, window.as_deref()),
            Self::Given(places) => places.write(&mut to.writer),
        }
    }
}
// ANCHOR_END: movable

/// Gathers what all of them have, each in a section of its own, and gives it on.
///
/// # Errors
/// When one of them can't be handed over now, and those of `give`.
pub fn gather(
    parts: &[Rc<dyn Movable>],
    event_loop: &mut EventLoop,
    state: Outgoing<'_>,
    give: Give<'_>,
) -> io::Result<()> {
    for part in parts {
        part.prepare(event_loop).map_err(|error| of(&**part, &error))?;
    }
    let event_loop = &*event_loop;
    let gathered = parts.iter().map(|part| {
        part.gather(event_loop).map(|it| (part.name(), it)).map_err(|error| of(&**part, &error))
    });
    let gathered = gathered.collect::<io::Result<Vec<_>>>()?;
    let mut state: Outgoing<'_> = state;
    for (name, part) in &gathered {
        let mut section = Outgoing::default();
        part.write(&mut section);
        let (bytes, descriptors) = section.finish();
        state.section(name, &bytes, &descriptors);
    }
    give(state)
}

fn of(part: &dyn Movable, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", part.name()))
}

/// Another process has all of them. `left` is called when all are let go of.
pub fn leave(
    parts: &[Rc<dyn Movable>],
    event_loop: &mut EventLoop,
    left: impl FnOnce(&mut EventLoop) + 'static,
) {
    // One more than there are: so it isn't called before all have been told.
    let one_less = countdown(parts.len() + 1, left);
    for part in parts {
        part.leave(event_loop, Box::new(one_less.clone()));
    }
    one_less(event_loop);
}

impl Movable for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    fn prepare(&self, event_loop: &mut EventLoop) -> io::Result<()> {
        self.server().prepare(event_loop);
        Ok(())
    }

    fn gather<'l>(&self, event_loop: &'l EventLoop) -> io::Result<Gathered<'l>> {
        Ok(Gathered::Http(self.server().visitors_and_sockets(event_loop)))
    }

    fn leave(&self, event_loop: &mut EventLoop, left: Stopped) {
        self.server().leave(event_loop, left);
    }
}

/// The console. None: it was over already when we began.
pub struct Console(pub Option<Token>);

impl Movable for Console {
    fn name(&self) -> &'static str {
        "console"
    }

    fn gather<'l>(&self, event_loop: &'l EventLoop) -> io::Result<Gathered<'l>> {
        Ok(Gathered::Console(self.0.and_then(|console| console::parts(event_loop, console))))
    }

    fn leave(&self, event_loop: &mut EventLoop, left: Stopped) {
        if let Some(console) = self.0 {
            console::leave(event_loop, console);
        }
        left(event_loop);
    }
}

/// The window. No token: it was closed already when we began.
pub struct Window {
    pub token: Option<Token>,
    /// Those whom it shows.
    pub services: Services,
}

impl Movable for Window {
    fn name(&self) -> &'static str {
        "window"
    }

    fn prepare(&self, event_loop: &mut EventLoop) -> io::Result<()> {
        if let Some(window) = self.token {
            window::prepare(event_loop, window);
        }
        Ok(())
    }

    fn gather<'l>(&self, event_loop: &'l EventLoop) -> io::Result<Gathered<'l>> {
        let Some(window) = self.token else { return Ok(Gathered::Window(None)) };
        let window = window::parts(event_loop, window, &self.services)?;
        Ok(Gathered::Window(window.map(Box::new)))
    }

    fn leave(&self, event_loop: &mut EventLoop, left: Stopped) {
        if let Some(window) = self.token {
            window::leave(event_loop, window);
        }
        left(event_loop);
    }
}

/// Which doors aren't ours to close: that is to be known in all generations.
impl Movable for Places {
    fn name(&self) -> &'static str {
        "given"
    }

    fn gather<'l>(&self, _: &'l EventLoop) -> io::Result<Gathered<'l>> {
        Ok(Gathered::Given(self.clone()))
    }

    fn leave(&self, event_loop: &mut EventLoop, left: Stopped) {
        left(event_loop);
    }
}

impl Movable for Dns {
    fn name(&self) -> &'static str {
        "dns"
    }

    fn gather<'l>(&self, event_loop: &'l EventLoop) -> io::Result<Gathered<'l>> {
        let server = self.parts_and_sockets(event_loop);
        let server = server.ok_or_else(|| io::Error::other("it's being stopped"))?;
        Ok(Gathered::Dns(Box::new(server)))
    }

    fn leave(&self, event_loop: &mut EventLoop, left: Stopped) {
        Self::leave(self, event_loop, left);
    }
}

impl Movable for Mail {
    fn name(&self) -> &'static str {
        "mail"
    }

    fn prepare(&self, event_loop: &mut EventLoop) -> io::Result<()> {
        self.hold(event_loop);
        Ok(())
    }

    fn gather<'l>(&self, event_loop: &'l EventLoop) -> io::Result<Gathered<'l>> {
        self.visitors(event_loop).map(Gathered::Mail)
    }

    fn stay(&self, event_loop: &mut EventLoop) {
        self.go_on(event_loop);
    }

    fn leave(&self, event_loop: &mut EventLoop, left: Stopped) {
        Self::leave(self, event_loop, left);
    }
}

impl Movable for Chat {
    fn name(&self) -> &'static str {
        "chat"
    }

    fn gather<'l>(&self, event_loop: &'l EventLoop) -> io::Result<Gathered<'l>> {
        self.visitors(event_loop).map(Gathered::Chat)
    }

    fn leave(&self, event_loop: &mut EventLoop, left: Stopped) {
        Self::leave(self, event_loop, left);
    }
}
