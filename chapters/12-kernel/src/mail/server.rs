//! Mail in the loop: [`Session`]s on connections, and a thread that has the disk.

pub mod handover;

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use ch07_callbacks::program::say;
use ch07_callbacks::{EventLoop, Token};
use ch09_timers::{Timer, Timers};
use ch11_http_server::mailbox::mailbox;

use crate::line_server::{self, Event, LineServer, Talk, Waits};
use crate::mail::message::Message;
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
/// How long messages are held back at the most for somebody who wants to take over: longer than it
/// takes them to come again.
const HOLD: Duration = Duration::from_secs(2);
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
    /// Whoever comes is told which generation this is.
    pub generation: Option<u64>,
}

impl Options {
    /// With the usual limits: 16 MiB a message, 64 MiB for all, 256 connections.
    pub fn new(mbox: Mbox, host: String) -> Self {
        let (largest, memory, most) = (LARGEST, MEMORY, MOST_CLIENTS);
        Self { mbox, host, largest, memory, most, generation: None }
    }

    /// Each client waits for one at the most. But some don't wait, and leave theirs behind.
    fn most_waiting(&self) -> usize {
        self.most.min(MOST_WAITING)
    }
}

/// A mail server in the loop. Clones of it are the same server.
#[derive(Clone)]
pub struct Mail(Rc<Shared>);

struct Shared {
    options: Options,
    timers: Timers,
    /// How much of the memory is taken, in bytes.
    taken: Cell<usize>,
    /// How many messages the disk has. What is with it can't be taken back.
    at_disk: Cell<usize>,
    /// Those that are held back, while some are: another process may be the one to write them.
    held: RefCell<Option<Vec<Held>>>,
    holds_until: Cell<Option<Timer>>,
    /// None when it has been told to end.
    writer: RefCell<Option<Writer<Ticket>>>,
    lines: OnceCell<LineServer<Client>>,
    stopping: Cell<bool>,
    stopped: RefCell<Vec<Stopped>>,
}

/// A message that is whole, and isn't with the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub entry: Entry,
    /// How many it's for.
    pub recipients: usize,
    /// None: its client doesn't wait for it.
    client: Option<Token>,
}

/// What the loop has to know of a message when it's on the disk.
#[derive(Debug)]
struct Ticket {
    client: Option<Token>,
    /// How much memory it takes, in bytes.
    holds: usize,
    length: usize,
    sender: String,
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
    let most_waiting = options.most_waiting();
    let limits = line_server::Options {
        protocol: "mail",
        longest_line: LONGEST_LINE,
        most: options.most,
        full: FULL,
    };
    let shared = Rc::new(Shared {
        options,
        timers,
        taken: Cell::new(0),
        at_disk: Cell::new(0),
        held: RefCell::default(),
        holds_until: Cell::default(),
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

impl Mail {
    /// Lets in all who are at another door, and closes that.
    ///
    /// # Errors
    /// When it can't be told not to wait.
    pub fn let_in_all(&self, event_loop: &mut EventLoop, door: TcpListener) -> io::Result<()> {
        self.0.lines.get().map_or(Ok(()), |lines| lines.let_in_all(event_loop, door))
    }
}

impl Service for Mail {
    fn rows(&self, event_loop: &EventLoop) -> Vec<Row> {
        self.0.lines.get().map(|lines| lines.rows(event_loop)).unwrap_or_default()
    }

    /// What was promised is on the disk already: the thread has nothing left to do but what
    /// clients have given up waiting for.
    fn stop(&self, event_loop: &mut EventLoop, stopped: Stopped) {
        self.go_on(event_loop);
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
            Told::Written(ticket, result) => {
                self.at_disk.set(self.at_disk.get().saturating_sub(1));
                self.written(event_loop, &ticket, result);
            }
            Told::Ended => self.ended(event_loop),
        }
    }

    fn written(&self, event_loop: &mut EventLoop, ticket: &Ticket, result: Result<(), NotWritten>) {
        self.taken.set(self.taken.get().saturating_sub(ticket.holds));
        let line = ticket.line(&result);
        let is_here = Cell::new(false);
        if let (Some(lines), Some(client)) = (self.lines.get(), ticket.client) {
            lines.resume(event_loop, client, |client, talk| {
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
        let Options { host, largest, memory, generation, .. } = &self.options;
        let (largest, generation) = (*largest, *generation);
        Terms { host, largest, room: memory.saturating_sub(self.taken.get()), generation }
    }

    fn write(&self, client: Token, message: Message) -> Result<(), NotWritten> {
        let at = SystemTime::now();
        let fields = message.trace(&self.options.host, at);
        let Message { envelope, data, .. } = message;
        let (sender, recipients) = (envelope.sender.as_str().to_owned(), envelope.recipients.len());
        let entry = Entry { sender, at, fields, text: data };
        let message = Held { entry, recipients, client: Some(client) };
        let takes = message.takes();
        self.pass_on(message)?;
        self.taken.set(self.taken.get() + takes);
        Ok(())
    }

    /// To the disk, or to those that are held back.
    fn pass_on(&self, message: Held) -> Result<(), NotWritten> {
        let mut held = self.held.borrow_mut();
        let Some(held) = held.as_mut() else { return self.give(message) };
        // So there is room for all of them when they're written.
        if held.len() + self.at_disk.get() >= self.options.most_waiting() {
            return Err(NotWritten { is_full: true, why: "too many are held back".to_owned() });
        }
        held.push(message);
        Ok(())
    }

    fn give(&self, message: Held) -> Result<(), NotWritten> {
        let ticket = message.ticket();
        let writer = self.writer.borrow();
        let gone = || NotWritten { is_full: false, why: "the server has stopped".to_owned() };
        writer.as_ref().ok_or_else(gone)?.write(message.entry, ticket)?;
        self.at_disk.set(self.at_disk.get() + 1);
        Ok(())
    }
}

impl Held {
    /// How much memory it takes, in bytes.
    fn takes(&self) -> usize {
        self.entry.text.capacity()
    }

    fn ticket(&self) -> Ticket {
        Ticket {
            client: self.client,
            holds: self.takes(),
            length: self.entry.text.len(),
            sender: self.entry.sender.clone(),
            recipients: self.recipients,
        }
    }
}

impl Ticket {
    fn line(&self, result: &Result<(), NotWritten>) -> String {
        let Self { length, sender, recipients, .. } = self;
        match result {
            Ok(()) => format!("kept {length} bytes from <{sender}> for {recipients}"),
            Err(error) => format!("not kept, from <{sender}>: {}", error.why),
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
