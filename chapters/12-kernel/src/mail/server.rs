//! Mail in the loop: [`Session`]s on connections, and a thread that has the disk.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::SystemTime;

use ch07_callbacks::program::say;
use ch07_callbacks::{EventLoop, Token};
use ch09_timers::Timers;
use ch11_http_server::mailbox::mailbox;

use crate::line_server::{self, Event, LineServer, Talk, Waits};
use crate::mail::message::Message;
use crate::mail::path::Path;
use crate::mail::session::{Failure, LONGEST_LINE, MESSAGE_TIME, Outcome, Session, Terms, Then};
use crate::mbox::writer::{NotWritten, Told, Writer};
use crate::mbox::{Entry, Mbox};
use crate::presence::{Row, Service, Stopped};

/// The largest message, in bytes, where nothing else is said: with its attachments, most are far
/// smaller.
const LARGEST: usize = 16 << 20;
/// So much memory messages have that are under way, in bytes, all together: four of the largest.
const MEMORY: usize = 4 * LARGEST;
/// How many connections there are at the most, where nothing else is said.
const MOST_CLIENTS: usize = 256;
/// How many messages may wait for the disk, at the most: their places are made at once.
const MOST_WAITING: usize = 1024;
/// What one client too many is told.
const FULL: &str = "421 Too many are here: come again\r\n";

/// What a mail server is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where messages are kept.
    pub mbox: Mbox,
    /// What the server calls itself.
    pub host: String,
    /// The largest message, in bytes.
    pub largest: usize,
    /// How much memory all messages have together that are under way, in bytes.
    pub memory: usize,
    /// How many connections at the most.
    pub most: usize,
}

impl Options {
    /// With the usual limits: 16 MiB a message, 64 MiB for all, 256 connections.
    pub fn new(mbox: Mbox, host: String) -> Self {
        Self { mbox, host, largest: LARGEST, memory: MEMORY, most: MOST_CLIENTS }
    }
}

/// A mail server in the loop. Clones of it are the same server.
#[derive(Clone)]
pub struct Mail(Rc<Shared>);

struct Shared {
    options: Options,
    /// How much of the memory is taken, in bytes.
    taken: Cell<usize>,
    /// None when it has been told to end.
    writer: RefCell<Option<Writer<Ticket>>>,
    lines: OnceCell<LineServer<Client>>,
    stopping: Cell<bool>,
    stopped: RefCell<Vec<Stopped>>,
}

/// What the loop has to know of a message when it's on the disk.
#[derive(Debug)]
struct Ticket {
    client: Token,
    /// How much memory it takes, in bytes.
    holds: usize,
    length: usize,
    sender: Path,
    recipients: usize,
}

/// One connection.
struct Client {
    session: Session,
    shared: Rc<Shared>,
    /// How much of the memory it has, in bytes.
    holds: usize,
}

// ANCHOR: serve
/// Takes mail for anybody, from all who come to `listener`.
///
/// # Errors
/// When no thread can be started, or the listener can't be told what it must know.
pub fn serve(
    event_loop: &mut EventLoop,
    timers: Timers,
    listener: TcpListener,
    options: Options,
) -> io::Result<Mail> {
    let mbox = options.mbox.clone();
    // Each client waits for one at the most. But some don't wait, and leave theirs behind.
    let most_waiting = options.most.min(MOST_WAITING);
    let limits = line_server::Options {
        protocol: "mail",
        longest_line: LONGEST_LINE,
        most: options.most,
        full: FULL,
    };
    let shared = Rc::new(Shared {
        options,
        taken: Cell::new(0),
        writer: RefCell::default(),
        lines: OnceCell::new(),
        stopping: Cell::new(false),
        stopped: RefCell::default(),
    });
    let hears = Rc::clone(&shared);
    let (_, to_us) = mailbox(event_loop, move |event_loop, told| hears.told(event_loop, told))?;
    let writer = Writer::start(mbox, most_waiting, move |told| to_us.send(told))?;
    shared.writer.replace(Some(writer));
    let welcomes = Rc::clone(&shared);
    let lines = LineServer::start(event_loop, timers, listener, limits, move |from| Client {
        session: Session::new(from.ip()),
        shared: Rc::clone(&welcomes),
        holds: 0,
    })?;
    shared.lines.get_or_init(|| lines);
    Ok(Mail(shared))
}
// ANCHOR_END: serve

impl Service for Mail {
    fn rows(&self, event_loop: &EventLoop) -> Vec<Row> {
        self.0.lines.get().map(|lines| lines.rows(event_loop)).unwrap_or_default()
    }

    /// What was promised is on the disk already: the thread has nothing left to do but what
    /// clients have given up waiting for.
    fn stop(&self, event_loop: &mut EventLoop, stopped: Stopped) {
        let shared = Rc::clone(&self.0);
        let again = shared.stopping.replace(true);
        shared.stopped.borrow_mut().push(stopped);
        let Some(lines) = self.0.lines.get() else { return };
        lines.stop(event_loop, Box::new(move |_| drop(shared.writer.take())));
        if again {
            self.0.ended(event_loop);
        }
    }
}

impl Shared {
    // ANCHOR: told
    /// The thread has news.
    fn told(&self, event_loop: &mut EventLoop, told: Told<Ticket>) {
        match told {
            Told::Written(ticket, result) => self.written(event_loop, &ticket, result),
            Told::Ended => self.ended(event_loop),
        }
    }

    fn written(&self, event_loop: &mut EventLoop, ticket: &Ticket, result: Result<(), NotWritten>) {
        self.taken.set(self.taken.get().saturating_sub(ticket.holds));
        let line = ticket.line(&result);
        let is_here = Cell::new(false);
        if let Some(lines) = self.lines.get() {
            lines.resume(event_loop, ticket.client, |client, talk| {
                is_here.set(true);
                talk.log(&line);
                client.answer(result, talk);
            });
        }
        if !is_here.get() {
            say(&format!("mail: {line}, who didn't wait for it"));
        }
    }
    // ANCHOR_END: told

    fn ended(&self, event_loop: &mut EventLoop) {
        for callback in self.stopped.take() {
            callback(event_loop);
        }
    }

    fn terms(&self) -> Terms<'_> {
        let Options { host, largest, memory, .. } = &self.options;
        Terms { host, largest: *largest, room: memory.saturating_sub(self.taken.get()) }
    }

    fn write(&self, client: Token, message: Message) -> Result<(), NotWritten> {
        let at = SystemTime::now();
        let fields = message.trace(&self.options.host, at);
        let Message { envelope, data, .. } = message;
        let ticket = Ticket {
            client,
            holds: data.capacity(),
            length: data.len(),
            sender: envelope.sender,
            recipients: envelope.recipients.len(),
        };
        let (holds, sender) = (ticket.holds, ticket.sender.as_str().to_owned());
        let entry = Entry { sender, at, fields, text: data };
        let writer = self.writer.borrow();
        let gone = || NotWritten { is_full: false, why: "the server has stopped".to_owned() };
        writer.as_ref().ok_or_else(gone)?.write(entry, ticket)?;
        self.taken.set(self.taken.get() + holds);
        Ok(())
    }
}

impl Ticket {
    fn line(&self, result: &Result<(), NotWritten>) -> String {
        let Self { length, sender, recipients, .. } = self;
        match result {
            Ok(()) => format!("kept {length} bytes from {sender} for {recipients}"),
            Err(error) => format!("not kept, from {sender}: {}", error.why),
        }
    }
}

impl line_server::Session for Client {
    fn receive(&mut self, event: Event<'_>, talk: &mut Talk<'_>) {
        let outcome = self.session.receive(event, self.shared.terms());
        self.carry_out(outcome, talk);
    }

    fn waits(&self) -> Waits {
        self.session.waits()
    }

    fn closed(&mut self, _: &mut EventLoop, _: Token) {
        self.account(0);
    }
}

impl Client {
    // ANCHOR: carry_out
    fn carry_out(&mut self, outcome: Outcome, talk: &mut Talk<'_>) {
        let Outcome { reply, then, note } = outcome;
        self.account(self.session.holds());
        if let Some(note) = note {
            talk.log(note);
        }
        if !reply.is_empty() {
            talk.say(format!("{reply}\r\n").as_bytes());
        }
        match then {
            Then::GoOn => {}
            Then::ExpectData => talk.expect_data(MESSAGE_TIME),
            Then::Keep(message) => self.keep(message, talk),
            Then::HangUp => talk.hang_up(),
        }
    }

    /// It's answered later, when it's on the disk.
    fn keep(&mut self, message: Message, talk: &mut Talk<'_>) {
        match self.shared.write(talk.me, message) {
            Ok(()) => talk.pause(),
            Err(error) => {
                talk.log(&format!("not kept: {}", error.why));
                self.answer(Err(error), talk);
            }
        }
    }
    // ANCHOR_END: carry_out

    fn answer(&mut self, result: Result<(), NotWritten>, talk: &mut Talk<'_>) {
        let failure = |error: NotWritten| match error.is_full {
            true => Failure::Full,
            false => Failure::Other,
        };
        let outcome = self.session.kept(result.map_err(failure));
        self.carry_out(outcome, talk);
    }

    /// It has so much of the memory now.
    fn account(&mut self, holds: usize) {
        let others = self.shared.taken.get().saturating_sub(self.holds);
        self.shared.taken.set(others + holds);
        self.holds = holds;
    }
}
