//! A chat over Telnet: a [`Room`] in the loop.

pub mod handover;

use std::cell::{OnceCell, RefCell};
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::program::say;
use ch07_callbacks::{EventLoop, Token};
use ch09_timers::Timers;
use nix::sys::socket::{setsockopt, sockopt};

use crate::line_server::{self, Event, LineServer, MOST_QUEUED, Session, Talk, Waits};
use crate::presence::{Row, Service, Stopped};
use crate::room::{Effect, LONGEST_LINE, Room, Stage};

const PROTOCOL: &str = "chat";
/// How many may be connected at the most: each line is sent to all of them, and if none of them
/// reads, all their queues are 250 MiB.
pub const MOST: usize = 1000;
const FULL: &str = "The room is full. Come back later.\r\n";
/// How long somebody may take to give a name, or the key.
const AT_THE_DOOR: Duration = Duration::from_secs(60);
/// With so much queued, in bytes, somebody who doesn't read is dropped. It's four times what
/// its own questions can bring it: so it's the others' talk that it doesn't take.
const MOST_UNHEARD: usize = 4 * MOST_QUEUED;
/// How many lines somebody may say at a stretch. Nothing is sent before all who are ready have
/// been heard: were each heard for longer, a few who pour in text would fill the queues of those
/// who do read.
const LINES_AT_A_STRETCH: usize = 8;
/// The same in a full room, where each line is sent to many: so many times a line is sent for one
/// who speaks at a stretch.
const SENT_AT_A_STRETCH: usize = 1024;
/// How long they are not listened to then: no longer than it takes to type a letter.
const BREATH: Duration = Duration::from_millis(50);
/// How much the kernel keeps for one who doesn't read, in bytes (Linux takes twice that). Let it
/// grow, and it takes megabytes.
const SEND_BUFFER: usize = 64 * 1024;

/// A chat in the loop. Clones of it are the same one.
#[derive(Clone)]
pub struct Chat {
    server: LineServer<Visit>,
    room: Shared,
    timers: Timers,
}

type Shared = Rc<RefCell<Room>>;

/// One connection, as the line server knows it.
struct Visit {
    room: Shared,
    server: Rc<OnceCell<LineServer<Visit>>>,
    timers: Timers,
    me: Option<Token>,
    /// How many lines it has said since it last took breath.
    lines: usize,
}

/// What a chat is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Without it nobody gets in, if there is one.
    pub key: Option<String>,
    /// How many may be connected; never more than [`MOST`].
    pub most: usize,
    /// Whoever comes is told which generation this is.
    pub generation: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { key: None, most: MOST, generation: None }
    }
}

// ANCHOR: serve
/// Opens a chat room for all who come to `listener`.
///
/// # Errors
/// When the listener can't be told what it must know.
pub fn serve(
    event_loop: &mut EventLoop,
    timers: Timers,
    listener: TcpListener,
    options: Options,
) -> io::Result<Chat> {
    tell_kernel(&listener)?;
    let Options { key, most, generation } = options;
    let room = Rc::new(RefCell::new(Room::new(key).of_generation(generation)));
    let server = Rc::new(OnceCell::new());
    let (of_visits, by_visits) = (Rc::clone(&room), Rc::clone(&server));
    let options = line_server::Options {
        protocol: PROTOCOL,
        longest_line: LONGEST_LINE,
        most: most.min(MOST),
        full: FULL,
    };
    let started = LineServer::start(event_loop, timers, listener, options, move |_| Visit {
        room: Rc::clone(&of_visits),
        server: Rc::clone(&by_visits),
        timers,
        me: None,
        lines: 0,
    })?;
    server.get_or_init(|| started.clone());
    Ok(Chat { server: started, room, timers })
}

/// What each connection has from its listener (socket(7), tcp(7)).
fn tell_kernel(listener: &TcpListener) -> io::Result<()> {
    // A Telnet client that wants to be heard at once marks one byte of IAC DM as urgent, which
    // is usually kept out of line. The other byte would be a letter too many, or eat the next.
    setsockopt(listener, sockopt::OobInline, &true)?;
    // A line isn't kept back until the one before has been confirmed.
    setsockopt(listener, sockopt::TcpNoDelay, &true)?;
    // Somebody whose machine was switched off says nothing, and would be here for ever.
    setsockopt(listener, sockopt::KeepAlive, &true)?;
    Ok(setsockopt(listener, sockopt::SndBuf, &SEND_BUFFER)?)
}
// ANCHOR_END: serve

impl Chat {
    /// Says something to all who are in the room.
    pub fn say(&self, event_loop: &mut EventLoop, text: &str) {
        self.room.borrow_mut().announce(text);
        carry_out(&self.room, event_loop);
    }

    /// Lets in all who are at another door, and closes that.
    ///
    /// # Errors
    /// When it can't be told not to wait.
    pub fn let_in_all(&self, event_loop: &mut EventLoop, door: TcpListener) -> io::Result<()> {
        self.server.let_in_all(event_loop, door)
    }
}

impl Service for Chat {
    fn rows(&self, event_loop: &EventLoop) -> Vec<Row> {
        self.server.rows(event_loop)
    }

    fn stop(&self, event_loop: &mut EventLoop, stopped: Stopped) {
        self.server.stop(event_loop, stopped);
    }
}

impl Session for Visit {
    fn receive(&mut self, event: Event<'_>, talk: &mut Talk<'_>) {
        let me = talk.me;
        let mut room = self.room.borrow_mut();
        match event {
            Event::Connected => {
                self.me = Some(me);
                room.arrives(me, talk.number());
            }
            Event::Line(line) => room.line(me, line),
            Event::TooLong => room.too_long(me),
            Event::Data(_) | Event::EndOfData => {}
            // One who has only finished sending can't be told from one who has hung up: not
            // before we send it something, and until then there would be a ghost in the room.
            Event::Ended => room.leaves(me),
            Event::Late => room.late(me),
            Event::Stopping => room.closes(me),
        }
        let is_over = room.stage(me).is_none();
        drop(room);
        carry_out(&self.room, talk.event_loop);
        if is_over {
            talk.hang_up();
        } else if matches!(event, Event::Line(_) | Event::TooLong) {
            self.take_breath(talk);
        }
    }

    fn waits(&self) -> Waits {
        let room = self.room.borrow();
        let (what, at_most) = match self.me.and_then(|me| room.stage(me)) {
            Some(Stage::Key { .. }) => ("the key", Some(AT_THE_DOOR)),
            Some(Stage::Here { .. }) => ("a line", None),
            Some(Stage::Name) | None => ("a name", Some(AT_THE_DOOR)),
        };
        Waits { what, at_most }
    }

    fn decode(&mut self, bytes: &mut Vec<u8>, talk: &mut Talk<'_>) {
        self.room.borrow_mut().decode(talk.me, bytes);
        carry_out(&self.room, talk.event_loop);
    }

    fn closed(&mut self, event_loop: &mut EventLoop, me: Token) {
        self.room.borrow_mut().leaves(me);
        carry_out(&self.room, event_loop);
    }
}

impl Visit {
    // ANCHOR: breath
    /// After a few lines the others' turn comes. What more it has sent
    /// waits where it is: nothing is lost, and TCP slows its sender down.
    fn take_breath(&mut self, talk: &mut Talk<'_>) {
        self.lines = self.lines.saturating_add(1);
        let members = self.room.borrow().count().max(1);
        if self.lines < (SENT_AT_A_STRETCH / members).clamp(1, LINES_AT_A_STRETCH) {
            return;
        }
        self.lines = 0;
        talk.pause();
        if let Some(server) = self.server.get() {
            go_on_after_breath(server, self.timers, talk.event_loop, talk.me);
        }
    }
    // ANCHOR_END: breath
}

fn go_on_after_breath(
    server: &LineServer<Visit>,
    timers: Timers,
    event_loop: &mut EventLoop,
    who: Token,
) {
    let server = server.clone();
    timers.after(event_loop, BREATH, move |event_loop| {
        server.resume(event_loop, who, |_, _| {});
    });
}

// ANCHOR: carry_out
/// Does what the room wants done. Nobody waits for one who doesn't
/// read: there is so much room in its queue, and then it's out. That is
/// told to the others, and may be one thing too many for the next.
fn carry_out(room: &Shared, event_loop: &mut EventLoop) {
    loop {
        let effect = room.borrow_mut().next_effect();
        match effect {
            Some(Effect::Send { to, bytes }) => {
                if event_loop.queued(to) + bytes.len() <= MOST_UNHEARD {
                    event_loop.send(to, &bytes);
                } else {
                    room.borrow_mut().shut_out(to);
                    event_loop.close(to);
                }
            }
            Some(Effect::Log { number, event }) => say(&format!("{PROTOCOL} {number}: {event}")),
            None => return,
        }
    }
}
// ANCHOR_END: carry_out
