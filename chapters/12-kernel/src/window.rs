//! A window that shows who is here.
//!
//! What it shows is worked out in [`screen`](crate::screen), without X; [`paint`](crate::paint)
//! makes requests of it, and [`wire`](crate::wire) sees to it that none of them waits. Here it
//! becomes a source in the loop.

use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use ch07_callbacks::program::say;
use ch07_callbacks::{Ending, EventLoop, Interest, Source, Token};
use x11rb::connection::{Connection, RequestConnection};
use x11rb::errors::ConnectionError;
use x11rb::properties::WmSizeHints;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    AtomEnum, ClientMessageEvent, ConfigureWindowAux, ConnectionExt, CreateWindowAux, EventMask,
    Keycode, PropMode, Screen, Setup, Visibility, Window as WindowId, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;
use x11rb::x11_utils::{Serialize, TryParse};

use crate::paint::{self, Paint};
use crate::presence::{Row, Services, rows};
use crate::screen::{Line, Step, at, lay_out, step};
use crate::wire::{self, Wire, connect, resume};

/// How often the window looks who is here, while it can be seen. The loop has no news of that: each
/// connection would have to tell of everything that happens to it.
const EVERY: Duration = Duration::from_millis(100);
/// No two pictures come sooner after each other: nobody sees more, and whoever drags a window's
/// corner makes hundreds of events a second.
const SOON: Duration = Duration::from_millis(20);
/// With very many here, looking takes long. The window takes no more than this part of the time.
const SHARE: u32 = 20;
/// How many events are heard in one turn.
const AT_ONCE: usize = 32;
/// The window's first size, in lines and characters; and its least.
const FIRST_SIZE: (u16, u16) = (20, 80);
const LEAST_SIZE: (u16, u16) = (4, 24);
/// In the title bar, and for the window manager.
const NAME: &str = "who is here";
const CLASS: &[u8] = b"ch12-kernel\0ch12-kernel\0";

/// The mouse button that closes, as the X server numbers them.
const LEFT: u8 = 1;
/// Keys with a meaning, by their key symbols (X11/keysymdef.h).
const KEYS: [(u32, Key); 4] = [
    (0xff52, Key::Step(Step::Up)),
    (0xff54, Key::Step(Step::Down)),
    (0xffff, Key::Close),
    (b'q' as u32, Key::Quit),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Step(Step),
    /// Closes the selected connection.
    Close,
    /// Closes the window.
    Quit,
}

// ANCHOR: window
/// The window, in the loop.
struct Window {
    x: RustConnection<Wire>,
    id: WindowId,
    atoms: Atoms,
    keys: Vec<(Keycode, Key)>,
    paint: Paint,
    /// In pixels.
    size: (u16, u16),
    /// Somebody might see it.
    is_mapped: bool,
    is_covered: bool,
    /// What is on the glass, for all we know. A click means what was there when it was made.
    picture: Vec<Line>,
    /// The picture that is on its way to the glass.
    under_way: Option<Vec<Line>>,
    /// The glass must be drawn anew, all of it.
    is_blank: bool,
    /// Whom the mouse was pressed on.
    pressed: Option<Token>,
    selected: Option<Token>,
    /// There may be events in the library's memory.
    has_more: bool,
    /// When to look who is here. `None`: not before something happens.
    next_look: Option<Instant>,
    /// Events that were taken out of the library's memory, to be handed over: they come first.
    events: VecDeque<Vec<u8>>,
    /// How many requests the library had made when they were.
    requests: u64,
    /// Another process has it now.
    is_left: bool,
}
// ANCHOR_END: window

/// Somebody whom a line shows. In another process they have another token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    pub protocol: String,
    pub from: SocketAddr,
}

/// What there is to know of a window besides its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    pub wire: wire::Parts,
    /// What the X server has said of itself, as it says it; but for the first number that we may
    /// give to something new.
    pub setup: Vec<u8>,
    pub id: u32,
    /// WM_PROTOCOLS, WM_DELETE_WINDOW, and that of our own message.
    pub atoms: [u32; 3],
    /// Keys with a meaning, and their symbols.
    pub keys: Vec<(u8, u32)>,
    pub paint: paint::Parts,
    pub size: (u16, u16),
    pub is_mapped: bool,
    pub is_covered: bool,
    /// Whom each line shows that is on the glass, and those that are on their way there.
    pub picture: Vec<Option<Who>>,
    pub under_way: Option<Vec<Option<Who>>>,
    pub pressed: Option<Who>,
    pub selected: Option<Who>,
    /// What has come, and hasn't been heard.
    pub events: Vec<Vec<u8>>,
}

#[derive(Clone, Copy)]
struct Atoms {
    protocols: u32,
    delete_window: u32,
    /// Names our own message: everything before it has been drawn.
    drawn: u32,
}

/// What an event makes us do.
enum Wish {
    Nothing,
    Select(Step),
    /// Close a connection.
    Close(Token),
    /// Close the window.
    Quit,
}

/// Opens the window. It's closed by itself, by its user or by its X server, and the rest goes on.
/// To be called before the loop runs: it waits for the X server's answers.
///
/// # Errors
/// When there is no display, or it refuses.
pub fn start(event_loop: &mut EventLoop, services: Services) -> io::Result<Token> {
    let window = Window::open().map_err(|error| io::Error::other(error.to_string()))?;
    Ok(event_loop.add(window, move |event_loop, me, _| ready(event_loop, me, &services)))
}

/// Readies it to be handed over: what is in the library's memory is taken out.
pub fn prepare(event_loop: &mut EventLoop, me: Token) {
    if let Some(window) = event_loop.get_mut::<Window>(me) {
        // If that fails, the next turn finds out, whoever has it.
        let _ = window.empty_the_library();
    }
}

/// Its socket, and all else. None: it's closed. To be called behind [`prepare`].
///
/// # Errors
/// When the library has no more numbers for new things.
pub fn parts<'l>(
    event_loop: &'l EventLoop,
    me: Token,
    services: &Services,
) -> io::Result<Option<(BorrowedFd<'l>, Parts)>> {
    let Some(window) = event_loop.get::<Window>(me) else { return Ok(None) };
    let rows = rows(services, event_loop);
    Ok(Some((window.x.stream().as_fd(), window.parts(&rows)?)))
}

/// Another process has it now.
pub fn leave(event_loop: &mut EventLoop, me: Token) {
    if let Some(window) = event_loop.get_mut::<Window>(me) {
        window.is_left = true;
    }
    event_loop.close(me);
}

/// Goes on with a window that another process has had until now. All services must be there
/// already, with those who are connected. Nothing is sent before the loop turns.
///
/// # Errors
/// When we can't go on with it: then a new one may be opened.
pub fn adopt(
    event_loop: &mut EventLoop,
    services: Services,
    socket: OwnedFd,
    parts: Parts,
) -> io::Result<Token> {
    let window = Window::from_parts(socket, parts, &rows(&services, event_loop))?;
    Ok(event_loop.add(window, move |event_loop, me, _| ready(event_loop, me, &services)))
}

impl Source for Window {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.x.stream().as_fd())
    }

    fn interest(&self) -> Interest {
        Interest { read: true, write: self.x.stream().queued() > 0 }
    }

    // ANCHOR: patience
    /// Events that lie in the library's memory have left the kernel, and it won't tell of them.
    fn patience(&self) -> Option<Duration> {
        if self.has_more {
            return Some(Duration::ZERO);
        }
        Some(self.next_look?.saturating_duration_since(Instant::now()))
    }
    // ANCHOR_END: patience

    fn flush(&mut self) -> io::Result<()> {
        // To the wire, which has room for all of it; and from there as much as the kernel takes.
        self.x.flush().map_err(to_io)?;
        self.x.stream().send()
    }

    fn closed(self: Box<Self>, _: &mut EventLoop, _: Token, ending: Ending) {
        if self.is_left {
            return;
        }
        match ending {
            Ending::Failed(error) => say(&format!("window: lost: {error}; the rest goes on")),
            Ending::Panicked => say("window: lost: it panicked; the rest goes on"),
            Ending::Finished | Ending::Closed => say("window: closed; the rest goes on"),
        }
    }
}

// ANCHOR: ready
/// Hears what has happened, and looks who is here if it's time.
fn ready(event_loop: &mut EventLoop, me: Token, services: &Services) -> io::Result<()> {
    let Some(window) = event_loop.get_mut::<Window>(me) else { return Ok(()) };
    window.x.stream().begin_turn();
    for _ in 0..AT_ONCE {
        let Some(window) = event_loop.get_mut::<Window>(me) else { return Ok(()) };
        let event = window.next_event().map_err(to_io)?;
        window.has_more = event.is_some();
        let Some(event) = event else { break };
        match window.hear(&event)? {
            Wish::Nothing => {}
            Wish::Select(way) => {
                let rows = rows(services, event_loop);
                if let Some(window) = event_loop.get_mut::<Window>(me) {
                    window.selected = step(&rows, window.selected, way);
                }
            }
            Wish::Close(connection) => event_loop.close(connection),
            Wish::Quit => event_loop.close(me),
        }
    }
    look(event_loop, me, services)
}

/// Draws who is here, if it's time for that.
fn look(event_loop: &mut EventLoop, me: Token, services: &Services) -> io::Result<()> {
    let began = Instant::now();
    let is_time = |window: &Window| window.next_look.is_some_and(|time| time <= began);
    if !event_loop.get::<Window>(me).is_some_and(is_time) {
        return Ok(());
    }
    let rows = rows(services, event_loop);
    let Some(window) = event_loop.get_mut::<Window>(me) else { return Ok(()) };
    window.draw(&rows).map_err(to_io)?;
    let pause = EVERY.max(began.elapsed() * SHARE);
    // The next one when this one is on the glass.
    window.next_look = window.under_way.is_none().then(|| began + pause);
    Ok(())
}
// ANCHOR_END: ready

/// Handing over.
impl Window {
    fn empty_the_library(&mut self) -> Result<(), ConnectionError> {
        // Nothing more comes into it meanwhile.
        self.x.stream().end_turn();
        while let Some(event) = self.x.poll_for_raw_event()? {
            self.events.push_back(event);
        }
        self.has_more = !self.events.is_empty();
        // One that does nothing: the library tells nobody its count otherwise.
        self.requests = self.x.no_operation()?.sequence_number();
        self.x.flush()
    }

    fn parts(&self, rows: &[Row]) -> io::Result<Parts> {
        let who = |token: Token| {
            let row = rows.iter().find(|row| row.token == token)?;
            Some(Who { protocol: row.protocol.to_owned(), from: row.from })
        };
        let picture = |lines: &[Line]| {
            lines.iter().map(|line| line.shows.and_then(|shown| who(shown.token))).collect()
        };
        let Atoms { protocols, delete_window, drawn } = self.atoms;
        let symbol = |(code, key): &(Keycode, Key)| {
            let (symbol, _) = KEYS.iter().find(|(_, of)| of == key)?;
            Some((*code, *symbol))
        };
        let mut setup = self.x.setup().clone();
        setup.resource_id_base = self.x.generate_id().map_err(io::Error::other)?;
        Ok(Parts {
            wire: self.x.stream().parts(self.requests),
            setup: setup.serialize(),
            id: self.id,
            atoms: [protocols, delete_window, drawn],
            keys: self.keys.iter().filter_map(symbol).collect(),
            paint: self.paint.parts(),
            size: self.size,
            is_mapped: self.is_mapped,
            is_covered: self.is_covered,
            picture: picture(&self.picture),
            under_way: self.under_way.as_deref().map(picture),
            pressed: self.pressed.and_then(who),
            selected: self.selected.and_then(who),
            events: self.events.iter().cloned().collect(),
        })
    }

    fn from_parts(socket: OwnedFd, parts: Parts, rows: &[Row]) -> io::Result<Self> {
        let (setup, rest) = Setup::try_parse(&parts.setup).map_err(io::Error::other)?;
        if !rest.is_empty() {
            return Err(io::Error::other("what the X server has said of itself is too long"));
        }
        let paint = Paint::from_parts(parts.id, &parts.paint);
        let paint = paint.ok_or_else(|| io::Error::other("it has other colors"))?;
        let x = resume(socket, parts.wire, setup);
        let x = x.map_err(|error| io::Error::other(error.to_string()))?;
        let find =
            |who: Who| rows.iter().find(|row| row.protocol == who.protocol && row.from == who.from);
        let picture = |lines: Vec<Option<Who>>| {
            lines.into_iter().map(|who| Line::of(who.and_then(find))).collect()
        };
        let [protocols, delete_window, drawn] = parts.atoms;
        let meaning = |(code, symbol): (Keycode, u32)| {
            let (_, key) = KEYS.iter().find(|(of, _)| *of == symbol)?;
            Some((code, *key))
        };
        let token = |who: Option<Who>| who.and_then(find).map(|row| row.token);
        // No picture is sent while another is on its way; and none that nobody sees.
        let may_look = parts.is_mapped && !parts.is_covered && parts.under_way.is_none();
        Ok(Self {
            x,
            id: parts.id,
            atoms: Atoms { protocols, delete_window, drawn },
            keys: parts.keys.into_iter().filter_map(meaning).collect(),
            paint,
            size: parts.size,
            is_mapped: parts.is_mapped,
            is_covered: parts.is_covered,
            picture: picture(parts.picture),
            under_way: parts.under_way.map(picture),
            // What is on the glass is somebody else's work.
            is_blank: true,
            pressed: token(parts.pressed),
            selected: token(parts.selected),
            has_more: true,
            next_look: may_look.then(Instant::now),
            events: parts.events.into(),
            requests: 0,
            is_left: false,
        })
    }
}

impl Window {
    fn next_event(&mut self) -> Result<Option<Event>, ConnectionError> {
        match self.events.pop_front() {
            Some(event) => Ok(Some(self.x.parse_event(&event)?)),
            None => self.x.poll_for_event(),
        }
    }

    fn is_visible(&self) -> bool {
        self.is_mapped && !self.is_covered
    }

    /// Something has changed that should be seen soon.
    fn look_soon(&mut self, delay: Duration) {
        if self.is_visible() && self.under_way.is_none() {
            let soon = Instant::now() + delay;
            self.next_look = Some(self.next_look.map_or(soon, |next| next.min(soon)));
        }
    }

    // ANCHOR: draw
    /// Sends the lines that have changed, and behind them a message to
    /// ourselves. The server does what it's asked in order: when the
    /// message comes back, the picture is on the glass. No other is sent
    /// before that. A server that has stopped reading costs the memory of
    /// one picture.
    fn draw(&mut self, rows: &[Row]) -> Result<(), ConnectionError> {
        let picture = lay_out(rows, self.selected, self.paint.room(self.size));
        if picture == self.picture && !self.is_blank {
            return Ok(());
        }
        for (number, line) in picture.iter().enumerate() {
            if self.is_blank || self.picture.get(number) != Some(line) {
                self.paint.line(&self.x, line, number, self.size.0)?;
            }
        }
        if picture.len() < self.picture.len() || self.is_blank {
            self.paint.clear_from(&self.x, picture.len())?;
        }
        let drawn = ClientMessageEvent::new(32, self.id, self.atoms.drawn, [0; 5]);
        self.x.send_event(false, self.id, EventMask::NO_EVENT, drawn)?;
        self.is_blank = false;
        self.under_way = Some(picture);
        Ok(())
    }
    // ANCHOR_END: draw

    // ANCHOR: hear
    fn hear(&mut self, event: &Event) -> io::Result<Wish> {
        match event {
            Event::ClientMessage(message) if message.type_ == self.atoms.drawn => {
                // Anybody may send us such a message.
                if let Some(picture) = self.under_way.take() {
                    self.picture = picture;
                }
                self.look_soon(if self.is_blank { SOON } else { EVERY });
            }
            Event::ClientMessage(message) if message.type_ == self.atoms.protocols => {
                let [protocol, ..] = message.data.as_data32();
                if protocol == self.atoms.delete_window {
                    return Ok(Wish::Quit);
                }
            }
            Event::Expose(_) => self.is_blank = true,
            Event::ConfigureNotify(now) if (now.width, now.height) != self.size => {
                self.size = (now.width, now.height);
                self.is_blank = true;
            }
            Event::MapNotify(_) => self.is_mapped = true,
            Event::UnmapNotify(_) => self.is_mapped = false,
            Event::VisibilityNotify(now) => {
                self.is_covered = now.state == Visibility::FULLY_OBSCURED;
            }
            // Moved between press and release, a row isn't the one that was meant.
            Event::ButtonPress(press) if press.detail == LEFT => {
                self.pressed = at(&self.picture, press.event_y, self.paint.line_height());
            }
            Event::ButtonRelease(release) if release.detail == LEFT => {
                let released = at(&self.picture, release.event_y, self.paint.line_height());
                let pressed = self.pressed.take().filter(|pressed| Some(*pressed) == released);
                self.look_soon(SOON);
                return Ok(pressed.map_or(Wish::Nothing, Wish::Close));
            }
            Event::KeyPress(press) => {
                self.look_soon(SOON);
                return Ok(self.key(press.detail));
            }
            Event::DestroyNotify(_) => return Ok(Wish::Quit),
            Event::Error(error) => {
                let kind = error.error_kind;
                return Err(io::Error::other(format!("the X server refuses: {kind:?}")));
            }
            _ => {}
        }
        if self.is_blank || self.next_look.is_none() {
            self.look_soon(SOON);
        }
        if !self.is_visible() {
            self.next_look = None;
        }
        Ok(Wish::Nothing)
    }
    // ANCHOR_END: hear

    fn key(&self, code: Keycode) -> Wish {
        let key = self.keys.iter().find(|(of, _)| *of == code).map(|(_, key)| *key);
        match key {
            Some(Key::Step(way)) => Wish::Select(way),
            Some(Key::Close) => self.selected.map_or(Wish::Nothing, Wish::Close),
            Some(Key::Quit) => Wish::Quit,
            None => Wish::Nothing,
        }
    }
}

/// What is done once, before the loop runs. Here the X server is waited for.
impl Window {
    fn open() -> Result<Self, Box<dyn Error>> {
        let (x, screen) = connect()?;
        let screen =
            x.setup().roots.get(screen).cloned().ok_or("the display has no such screen")?;
        let id = create(&x, &screen)?;
        let atoms = Atoms {
            protocols: atom(&x, "WM_PROTOCOLS")?,
            delete_window: atom(&x, "WM_DELETE_WINDOW")?,
            drawn: atom(&x, "_WAITING_GAME_DRAWN")?,
        };
        let paint = Paint::new(&x, &screen, id)?;
        let keys = keys(&x)?;
        name(&x, id, atoms)?;
        let (lines, characters) = FIRST_SIZE;
        let size = paint.size(lines, characters);
        let (lines, characters) = LEAST_SIZE;
        let least = paint.size(lines, characters);
        let hints = WmSizeHints {
            min_size: Some((least.0.into(), least.1.into())),
            ..WmSizeHints::default()
        };
        hints.set_normal_hints(&x, id)?;
        let (width, height) = size;
        let configured =
            ConfigureWindowAux::new().width(u32::from(width)).height(u32::from(height));
        x.configure_window(id, &configured)?;
        // What it refuses, it says now.
        x.map_window(id)?.check()?;
        x.stream().begin_turn();
        Ok(Self {
            x,
            id,
            atoms,
            keys,
            paint,
            size,
            is_mapped: false,
            is_covered: false,
            picture: Vec::new(),
            under_way: None,
            is_blank: true,
            pressed: None,
            selected: None,
            // Events have come with the answers.
            has_more: true,
            next_look: None,
            events: VecDeque::new(),
            requests: 0,
            is_left: false,
        })
    }
}

/// As small as can be: how large it must be depends on the font.
fn create(x: &RustConnection<Wire>, screen: &Screen) -> Result<WindowId, Box<dyn Error>> {
    let events = EventMask::EXPOSURE
        | EventMask::STRUCTURE_NOTIFY
        | EventMask::VISIBILITY_CHANGE
        | EventMask::BUTTON_PRESS
        | EventMask::BUTTON_RELEASE
        | EventMask::KEY_PRESS;
    let values = CreateWindowAux::new().event_mask(events).background_pixel(screen.white_pixel);
    let id = x.generate_id()?;
    let class = WindowClass::INPUT_OUTPUT;
    x.create_window(screen.root_depth, id, screen.root, 0, 0, 1, 1, 0, class, 0, &values)?;
    Ok(id)
}

fn atom(x: &RustConnection<Wire>, name: &str) -> Result<u32, Box<dyn Error>> {
    Ok(x.intern_atom(false, name.as_bytes())?.reply()?.atom)
}

/// What window managers ask for (ICCCM, section 4.1.2, and the EWMH's `_NET_WM_NAME`).
fn name(x: &RustConnection<Wire>, id: WindowId, atoms: Atoms) -> Result<(), Box<dyn Error>> {
    let (new, string) = (PropMode::REPLACE, AtomEnum::STRING);
    x.change_property8(new, id, AtomEnum::WM_NAME, string, NAME.as_bytes())?;
    x.change_property8(new, id, AtomEnum::WM_CLASS, string, CLASS)?;
    let (net_name, utf8) = (atom(x, "_NET_WM_NAME")?, atom(x, "UTF8_STRING")?);
    x.change_property8(new, id, net_name, utf8, NAME.as_bytes())?;
    // Without it, a click on the title bar's cross would break the connection.
    x.change_property32(new, id, atoms.protocols, AtomEnum::ATOM, &[atoms.delete_window])?;
    Ok(())
}

/// Which keys of this keyboard have a meaning.
fn keys(x: &RustConnection<Wire>) -> Result<Vec<(Keycode, Key)>, Box<dyn Error>> {
    let (first, last) = (x.setup().min_keycode, x.setup().max_keycode);
    let count = last.saturating_sub(first).saturating_add(1);
    let map = x.get_keyboard_mapping(first, count)?.reply()?;
    let of_each = map.keysyms.chunks(usize::from(map.keysyms_per_keycode).max(1));
    let meaning = |symbol: &u32| KEYS.iter().find(|(of, _)| of == symbol).map(|(_, key)| *key);
    // The first symbol of a key is what it means by itself, without Shift.
    let with_meaning = of_each
        .zip(first..=last)
        .filter_map(|(symbols, code)| Some((code, symbols.first().and_then(meaning)?)));
    Ok(with_meaning.collect())
}

fn to_io(error: ConnectionError) -> io::Error {
    match error {
        ConnectionError::IoError(error) => error,
        other => io::Error::other(other),
    }
}
