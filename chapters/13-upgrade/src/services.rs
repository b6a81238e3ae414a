//! The table of services: each of them is begun, or gone on with.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ch07_callbacks::EventLoop;
use ch09_timers::Timers;
use ch12_kernel::dns;
use ch12_kernel::kernel::Plan;
use ch12_kernel::options::{
    Options, Room, dns_options, listen, listen_for_requests, listen_twice, prepare_chat,
    prepare_dns, prepare_http, prepare_mail,
};
use ch12_kernel::presence::{Service, Stopped};

use crate::fleet::is_at;
use crate::given::Given;
use crate::movable::Movable;
use crate::state::Detached;
use crate::{chat as chat_state, dns as dns_state, http, mail as mail_state};

/// What another program has had, by the names of its sections.
#[derive(Default)]
pub struct Sections(BTreeMap<String, Detached>);

impl Sections {
    /// # Errors
    /// When this is no state, or has a section that we don't know.
    pub fn of(mut state: Detached) -> io::Result<Self> {
        let mut state = state.attach();
        let mut sections = BTreeMap::new();
        while let Some((name, section)) = state.section()? {
            if !SECTIONS.contains(&name) {
                let why = format!("the state has {name:?}, and we don't know it");
                return Err(io::Error::other(why));
            }
            if sections.insert(name.to_owned(), section.detach()).is_some() {
                return Err(io::Error::other(format!("the state has {name:?} twice")));
            }
        }
        state.end()?;
        Ok(Self(sections))
    }

    /// Takes one out. None: the other program hasn't had it.
    pub fn take(&mut self, name: &str) -> Option<Detached> {
        self.0.remove(name)
    }
}

const SECTIONS: [&str; 7] = ["given", "http", "dns", "mail", "chat", "console", "window"];

/// A service that has all it needs, and waits for a loop.
pub struct Opened {
    pub address: SocketAddr,
    /// It's been opened just now: nobody has listened there before.
    pub is_new: bool,
    pub start: Start,
}

/// Puts a service into the loop, with all who have been with another program. It touches nobody.
pub type Start = Box<dyn FnOnce(&mut EventLoop, Timers) -> io::Result<Started>>;

/// A service in the loop.
pub struct Started {
    pub service: Rc<dyn Service>,
    /// None: nobody wants it any more. It's done when those who are with it have got what was
    /// begun, and isn't handed over again.
    pub part: Option<Rc<dyn Movable>>,
    /// What is to be done as soon as it's ours.
    pub then: Then,
}

pub type Then = Box<dyn FnOnce(&mut EventLoop)>;

/// Where a service's door is to be.
struct Wanted<P> {
    at: Option<SocketAddr>,
    /// What somebody else has opened there.
    given: Option<P>,
}

/// Where a service's door comes from.
struct Door<P> {
    open: P,
    is_new: bool,
    /// One where nobody wants us any more: whoever is there is let in, and then it's closed.
    closing: Option<P>,
    /// The whole service isn't wanted any more.
    is_last: bool,
}

impl<P> Door<P> {
    /// The one that there is, if that is where it's wanted; or a new one: the one that was given, or
    /// one that is opened now. None: none is wanted, and there was none.
    fn find(
        Wanted { at, given }: Wanted<P>,
        old: Option<P>,
        is_there: impl Fn(&P, SocketAddr) -> bool,
        listen: impl FnOnce(SocketAddr) -> io::Result<P>,
    ) -> io::Result<Option<Self>> {
        let (is_new, closing, is_last) = (false, None, false);
        Ok(match (at, old) {
            (Some(at), Some(old)) if is_there(&old, at) => {
                Some(Self { open: old, is_new, closing, is_last })
            }
            (Some(at), old) => {
                let open = given.map_or_else(|| listen(at), Ok)?;
                Some(Self { open, is_new: true, closing: old, is_last })
            }
            (None, Some(old)) => Some(Self { open: old, is_new, closing, is_last: true }),
            (None, None) => None,
        })
    }
}

// ANCHOR: table
/// What is to be begun, or gone on with.
pub fn table(
    options: &Options,
    generation: u64,
    given: Given,
    sections: &mut Sections,
    room: &Room,
) -> Vec<Plan<Option<Opened>>> {
    let ([most, fewer], generation) = (options.shares(), Some(generation));
    let Options { root, zone, upstream, mbox, key, .. } = options.clone();
    let http = Wanted { at: options.http, given: given.http };
    let dns = Wanted { at: options.dns, given: given.dns };
    let mail = Wanted { at: options.mail, given: given.mail };
    let chat = Wanted { at: options.chat, given: given.chat };
    let room = Rc::clone(room);
    vec![
        plan("http", sections, move |old| open_http(http, old, root.as_deref(), most, generation)),
        plan("dns", sections, move |old| {
            let options = dns_options(zone.as_deref(), upstream, generation)?;
            open_dns(dns, old, options, fewer)
        }),
        plan("mail", sections, move |old| open_mail(mail, old, mbox, fewer, generation)),
        plan("chat", sections, move |old| open_chat(chat, old, key, fewer, generation, room)),
    ]
}
// ANCHOR_END: table

fn plan(
    name: &'static str,
    sections: &mut Sections,
    open: impl FnOnce(Option<Detached>) -> io::Result<Option<Opened>> + 'static,
) -> Plan<Option<Opened>> {
    let old = sections.take(name);
    Plan { name, open: Box::new(move || open(old)) }
}

fn open_http(
    wanted: Wanted<TcpListener>,
    old: Option<Detached>,
    root: Option<&Path>,
    most: usize,
    generation: Option<u64>,
) -> io::Result<Option<Opened>> {
    let (mut listener, mut visitors) = (None, Vec::new());
    if let Some(mut old) = old {
        let mut old = old.attach();
        listener = http::read_listener(&mut old)?;
        visitors = http::read_visitors(old)?;
    }
    let door = Door::find(wanted, listener, is_at, listen_for_requests)?;
    let Some(Door { open, is_new, closing, is_last }) = door else { return Ok(None) };
    let address = open.local_addr()?;
    let start = prepare_http(open, root, most, generation)?;
    let start = move |event_loop: &mut EventLoop, timers| {
        let http = Rc::new(start(event_loop, timers)?);
        for (socket, visitor) in visitors {
            http.server().adopt(event_loop, socket, visitor);
        }
        let server = http.server().clone();
        let let_in = move |event_loop: &mut EventLoop, door| server.let_in_all(event_loop, door);
        Ok(started(http, is_last, Box::new(move |event_loop| close(event_loop, closing, let_in))))
    };
    Ok(Some(Opened { address, is_new, start: Box::new(start) }))
}

fn open_dns(
    wanted: Wanted<(TcpListener, UdpSocket)>,
    old: Option<Detached>,
    options: dns::Options,
    most: usize,
) -> io::Result<Option<Opened>> {
    let mut state = old.map(|mut old| dns_state::read(old.attach())).transpose()?;
    let doors = state
        .as_ref()
        .map(|old| old.listener.try_clone().map(|it| Doors::Old(it.into())))
        .transpose()?;
    let new = |(tcp, udp)| Doors::New(tcp, udp);
    let listen = |at| listen_twice(at).map(new);
    let is_there = |doors: &Doors, at| is_at(doors.tcp(), at);
    let wanted = Wanted { at: wanted.at, given: wanted.given.map(new) };
    let door = Door::find(wanted, doors, is_there, listen)?;
    let Some(Door { open, is_new, is_last, .. }) = door else { return Ok(None) };
    let address = open.tcp().local_addr()?;
    let new = match open {
        Doors::Old(_) => None,
        Doors::New(tcp, udp) => Some(prepare_dns(tcp, udp, options.clone(), most)?),
    };
    let start = move |event_loop: &mut EventLoop, timers| {
        let adopt = |event_loop: &mut EventLoop, state| {
            dns::handover::adopt(event_loop, timers, state, options.clone())
        };
        let service = match new {
            Some(start) => start(event_loop, timers)?,
            None => {
                let state = state.take().ok_or_else(|| io::Error::other("there is no state"))?;
                let service = adopt(event_loop, state)?;
                service.allow(most);
                service
            }
        };
        // Those who have asked at another door get their answers there.
        let other = state.take().map(|state| adopt(event_loop, state)).transpose()?;
        let then: Then = Box::new(move |event_loop| {
            if let Some(other) = other {
                other.stop(event_loop, Box::new(|_| {}));
            }
        });
        Ok(started(Rc::new(service), is_last, then))
    };
    Ok(Some(Opened { address, is_new, start: Box::new(start) }))
}

/// A name server's, by TCP and UDP.
enum Doors {
    /// The others are in the state.
    Old(TcpListener),
    New(TcpListener, UdpSocket),
}

impl Doors {
    fn tcp(&self) -> &TcpListener {
        match self {
            Self::Old(tcp) | Self::New(tcp, _) => tcp,
        }
    }
}

fn open_mail(
    wanted: Wanted<TcpListener>,
    old: Option<Detached>,
    mbox: Option<PathBuf>,
    most: usize,
    generation: Option<u64>,
) -> io::Result<Option<Opened>> {
    let mut state = old.map(|mut old| mail_state::read(old.attach())).transpose()?;
    let listener = state.as_mut().and_then(|state| state.lines.listener.take());
    let door = Door::find(wanted, listener.map(TcpListener::from), is_at, listen)?;
    let Some(Door { open, is_new, closing, is_last }) = door else { return Ok(None) };
    let address = open.local_addr()?;
    let start = prepare_mail(open, mbox, most, generation)?;
    let start = move |event_loop: &mut EventLoop, timers| {
        let mail = start(event_loop, timers)?;
        if let Some(state) = state {
            mail.adopt(event_loop, state)?;
        }
        let server = mail.clone();
        let let_in = move |event_loop: &mut EventLoop, door| server.let_in_all(event_loop, door);
        Ok(started(
            Rc::new(mail),
            is_last,
            Box::new(move |event_loop| close(event_loop, closing, let_in)),
        ))
    };
    Ok(Some(Opened { address, is_new, start: Box::new(start) }))
}

fn open_chat(
    wanted: Wanted<TcpListener>,
    old: Option<Detached>,
    key: Option<String>,
    most: usize,
    generation: Option<u64>,
    room: Room,
) -> io::Result<Option<Opened>> {
    let mut state = old.map(|mut old| chat_state::read(old.attach())).transpose()?;
    let listener = state.as_mut().and_then(|state| state.listener.take());
    let door = Door::find(wanted, listener.map(TcpListener::from), is_at, listen)?;
    let Some(Door { open, is_new, closing, is_last }) = door else { return Ok(None) };
    let address = open.local_addr()?;
    let start = prepare_chat(open, key, most, generation, room);
    let start = move |event_loop: &mut EventLoop, timers| {
        let chat = start(event_loop, timers)?;
        if let Some(state) = state {
            chat.adopt(event_loop, state)?;
        }
        let server = chat.clone();
        let let_in = move |event_loop: &mut EventLoop, door| server.let_in_all(event_loop, door);
        Ok(started(
            Rc::new(chat),
            is_last,
            Box::new(move |event_loop| close(event_loop, closing, let_in)),
        ))
    };
    Ok(Some(Opened { address, is_new, start: Box::new(start) }))
}

/// Closes a door where nobody wants us any more, behind all who are there.
fn close(
    event_loop: &mut EventLoop,
    door: Option<TcpListener>,
    let_in_all: impl FnOnce(&mut EventLoop, TcpListener) -> io::Result<()>,
) {
    if let Some(door) = door {
        // If it can't be told not to wait, whoever is there comes again.
        let _ = let_in_all(event_loop, door);
    }
}

fn started<S: Service + Movable + 'static>(service: Rc<S>, is_last: bool, then: Then) -> Started {
    let part: Rc<dyn Movable> = Rc::<S>::clone(&service);
    Started { service, part: (!is_last).then_some(part), then }
}

/// Services that nobody wants any more, until those who are with them have got what was begun.
/// Clones are the same.
#[derive(Clone, Default)]
pub struct LastVisits(Rc<Running>);

#[derive(Default)]
struct Running {
    count: Cell<usize>,
    over: RefCell<Option<Stopped>>,
}

impl LastVisits {
    /// Stops one.
    pub fn of(&self, event_loop: &mut EventLoop, service: &dyn Service) {
        self.0.count.set(self.0.count.get() + 1);
        let all = self.clone();
        service.stop(
            event_loop,
            Box::new(move |event_loop| {
                all.0.count.set(all.0.count.get() - 1);
                all.look(event_loop);
            }),
        );
    }

    /// Calls `over` when there are none any more.
    pub fn when_over(
        &self,
        event_loop: &mut EventLoop,
        over: impl FnOnce(&mut EventLoop) + 'static,
    ) {
        self.0.over.replace(Some(Box::new(over)));
        self.look(event_loop);
    }

    fn look(&self, event_loop: &mut EventLoop) {
        if self.0.count.get() == 0
            && let Some(over) = self.0.over.take()
        {
            over(event_loop);
        }
    }
}
