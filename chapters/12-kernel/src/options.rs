//! The options of a program with all services, and the table of services that they make.

use std::cell::OnceCell;
use std::env;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ch07_callbacks::EventLoop;
use ch07_callbacks::program::{parse_address, raise_limit, say};
use ch09_timers::Timers;
use ch11_http_server::Settings;
use ch11_http_server::listen::listen_on;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::chat::{self, Chat};
use crate::dns::{self, Dns, Times, Zone};
use crate::http::{self, Http};
use crate::kernel::{Opened, Plan};
use crate::mail::{self, Mail};
use crate::mbox::Mbox;
use crate::presence::Service;

/// A zone to look around in, when none is given.
const EXAMPLE_ZONE: &str = include_str!("example.zone");
/// How many ports are tried, where any will do, until one is free for TCP and for UDP.
const ANY_PORT_TRIES: u32 = 32;
/// As many as may be asked for: no system gives a process more descriptors.
const MOST_CONNECTIONS: usize = 1 << 20;
/// Descriptors that aren't connections: files, listeners, the kernel's list.
const OTHERS: usize = 64;

/// Each service is an option.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The same as --http ADDRESS. An address is such as 127.0.0.1:7012, localhost:7012, 7012
    /// alone, or :7012 for all addresses of this machine; port 0 means any free one
    #[arg(value_parser = parse_address, conflicts_with = "http")]
    address: Option<SocketAddr>,

    /// Where to serve HTTP [7012]
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    pub http: Option<SocketAddr>,

    /// The folder that HTTP serves [without it: the same small page as every server of this book]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,

    /// Where to answer DNS, over UDP and TCP [7053]
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    pub dns: Option<SocketAddr>,

    /// A zone file: names that DNS knows itself [an example: www.example.test]
    #[arg(long, value_name = "FILE")]
    pub zone: Option<PathBuf>,

    /// Another DNS server, asked for all other names [without it they are refused]
    #[arg(long, value_name = "ADDRESS", value_parser = somebodys_address)]
    pub upstream: Option<SocketAddr>,

    /// Where to take mail [7025]
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    pub mail: Option<SocketAddr>,

    /// Where mail is kept [waiting-game.mbox in the folder for temporary files]
    #[arg(long, value_name = "FILE")]
    pub mbox: Option<PathBuf>,

    /// Where to chat over Telnet [7023]
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    pub chat: Option<SocketAddr>,

    /// A word that lets people into the chat (whoever sees your processes sees it, too)
    #[arg(long, value_name = "WORD", value_parser = NonEmptyStringValueParser::new())]
    pub key: Option<String>,

    /// Take commands from standard input: who, say, stop, help
    #[arg(long)]
    pub console: bool,

    /// Show who is here in a window
    #[arg(long)]
    pub window: bool,

    /// How many connections each service may have [default: its share of those that this
    /// process may have]
    #[arg(long, value_name = "NUMBER", value_parser = at_least_one)]
    pub connections: Option<usize>,
}

/// The chat, once it's started: the console talks to it.
pub type Room = Rc<OnceCell<Chat>>;

impl Options {
    /// With all that wasn't said.
    ///
    /// # Errors
    /// What is wrong, in one line.
    pub fn settled(mut self) -> Result<Self, String> {
        self.http = self.http.or(self.address);
        self.check()?;
        if !self.names_any() {
            let here = |port: u16| Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            self.http = here(7012);
            self.dns = here(7053);
            self.mail = here(7025);
            self.chat = here(7023);
            self.console = true;
            self.window = true;
        }
        Ok(self)
    }

    /// Whether any service is named.
    fn names_any(&self) -> bool {
        let ports = [self.http, self.dns, self.mail, self.chat];
        ports.iter().any(Option::is_some) || self.console || self.window
    }

    /// What belongs to a service that isn't started was meant otherwise.
    fn check(&self) -> Result<(), String> {
        for (option, given, service, named) in [
            ("--root", self.root.is_some(), "--http", self.http),
            ("--zone", self.zone.is_some(), "--dns", self.dns),
            ("--upstream", self.upstream.is_some(), "--dns", self.dns),
            ("--mbox", self.mbox.is_some(), "--mail", self.mail),
            ("--key", self.key.is_some(), "--chat", self.chat),
        ] {
            if given && named.is_none() && self.names_any() {
                return Err(format!("{option} is of no use without {service}; see --help"));
            }
        }
        Ok(())
    }

    /// How many connections HTTP may have, and how many mail, the chat and DNS (which may ask as
    /// many questions besides): half of those that there are, and an eighth. So a crowd at one of
    /// them leaves room for the others.
    pub fn shares(&self) -> [usize; 2] {
        let all = descriptors();
        [2, 8].map(|part| self.connections.unwrap_or(all / part).max(1))
    }

    // ANCHOR: table
    /// What is to be started.
    pub fn table(self, room: Room) -> Vec<Plan> {
        let [most, fewer] = self.shares();
        let Self { root, zone, upstream, mbox, key, .. } = self;
        let table = [
            plan("http", self.http, move |at| open_http(at, root, most)),
            plan("dns", self.dns, move |at| open_dns(at, zone, upstream, fewer)),
            plan("mail", self.mail, move |at| open_mail(at, mbox, fewer)),
            plan("chat", self.chat, move |at| open_chat(at, key, fewer, room)),
        ];
        table.into_iter().flatten().collect()
    }
    // ANCHOR_END: table
}

fn plan(
    name: &'static str,
    at: Option<SocketAddr>,
    open: impl FnOnce(SocketAddr) -> io::Result<Opened> + 'static,
) -> Option<Plan> {
    at.map(|at| Plan { name, open: Box::new(move || open(at)) })
}

/// What puts a service into a loop that has all it needs already. (Where programs take each other's
/// places, as chapter 13's do, each says of which generation it is; alone, it has none.)
pub type Start<S> = Box<dyn FnOnce(&mut EventLoop, Timers) -> io::Result<S>>;

fn opened<S: Service + 'static>(address: SocketAddr, start: Start<S>) -> Opened {
    let start = move |event_loop: &mut EventLoop, timers| -> io::Result<Rc<dyn Service>> {
        Ok(Rc::new(start(event_loop, timers)?))
    };
    Opened { address, start: Box::new(start) }
}

fn open_http(at: SocketAddr, root: Option<PathBuf>, most: usize) -> io::Result<Opened> {
    let listener = listen_for_requests(at)?;
    let address = listener.local_addr()?;
    Ok(opened(address, prepare_http(listener, root.as_deref(), most, None)?))
}

/// HTTP at this door: takes what else it needs.
///
/// # Errors
/// When it can't be had.
pub fn prepare_http(
    listener: TcpListener,
    root: Option<&Path>,
    most: usize,
    generation: Option<u64>,
) -> io::Result<Start<Http>> {
    let files = root.map(|root| {
        http::files(root)
            .map_err(|error| because(format!("can't serve {}", root.display()), &error))
    });
    let files = files.transpose()?;
    let settings = Settings { max_connections: most, ..Settings::USUAL };
    Ok(Box::new(move |event_loop, timers| {
        Http::start(event_loop, timers, listener, files, settings, generation)
    }))
}

fn open_dns(
    at: SocketAddr,
    zone: Option<PathBuf>,
    upstream: Option<SocketAddr>,
    most: usize,
) -> io::Result<Opened> {
    let options = dns_options(zone.as_deref(), upstream, None)?;
    let (tcp, udp) = listen_twice(at)?;
    Ok(opened(tcp.local_addr()?, prepare_dns(tcp, udp, options, most)?))
}

/// What DNS is told.
///
/// # Errors
/// When the zone can't be had.
pub fn dns_options(
    zone: Option<&Path>,
    upstream: Option<SocketAddr>,
    generation: Option<u64>,
) -> io::Result<dns::Options> {
    let zone = match zone {
        Some(path) => Zone::from_file(path),
        None => Zone::from_text(EXAMPLE_ZONE),
    };
    let zone = zone.map_err(io::Error::other)?;
    Ok(dns::Options { zone: Some(zone), upstream, times: Times::USUAL, generation })
}

/// DNS at these doors.
///
/// # Errors
/// When the kernel can't tell where they are.
pub fn prepare_dns(
    tcp: TcpListener,
    udp: UdpSocket,
    options: dns::Options,
    most: usize,
) -> io::Result<Start<Dns>> {
    if tcp.local_addr()?.ip().is_unspecified() {
        // The kernel chooses from which address a datagram leaves.
        say("dns: answers by UDP leave from one address of this machine, whichever was asked");
    }
    Ok(Box::new(move |event_loop, timers| {
        let dns = dns::serve(event_loop, timers, udp, tcp, options)?;
        dns.allow(most);
        Ok(dns)
    }))
}

fn open_mail(at: SocketAddr, mbox: Option<PathBuf>, most: usize) -> io::Result<Opened> {
    let listener = listen(at)?;
    Ok(opened(listener.local_addr()?, prepare_mail(listener, mbox, most, None)?))
}

/// Mail at this door: takes what else it needs.
///
/// # Errors
/// When it can't be had.
pub fn prepare_mail(
    listener: TcpListener,
    mbox: Option<PathBuf>,
    most: usize,
    generation: Option<u64>,
) -> io::Result<Start<Mail>> {
    let mbox = mbox.unwrap_or_else(|| env::temp_dir().join("waiting-game.mbox"));
    let kept = || format!("can't keep mail in {}", mbox.display());
    // waits: for the disk, before anybody is here
    let mbox = Mbox::open(&mbox).map_err(|error| because(kept(), &error))?;
    let options = mail::Options { most, generation, ..mail::Options::new(mbox, host_name()) };
    Ok(Box::new(move |event_loop, timers| mail::serve(event_loop, timers, listener, options)))
}

fn open_chat(at: SocketAddr, key: Option<String>, most: usize, room: Room) -> io::Result<Opened> {
    let listener = listen(at)?;
    Ok(opened(listener.local_addr()?, prepare_chat(listener, key, most, None, room)))
}

/// The chat at this door. Started, it's put into `room`, too.
pub fn prepare_chat(
    listener: TcpListener,
    key: Option<String>,
    most: usize,
    generation: Option<u64>,
    room: Room,
) -> Start<Chat> {
    let options = chat::Options { key, most, generation };
    Box::new(move |event_loop, timers| {
        let chat = chat::serve(event_loop, timers, listener, options)?;
        Ok(room.get_or_init(|| chat).clone())
    })
}

/// A listener for those who speak first.
///
/// # Errors
/// When the address can't be had.
pub fn listen_for_requests(at: SocketAddr) -> io::Result<TcpListener> {
    listen_on(at, false).map_err(|error| because(format!("can't listen on {at}"), &error))
}

/// The same port for both. If any will do, one that both can have.
///
/// # Errors
/// When the address can't be had.
pub fn listen_twice(at: SocketAddr) -> io::Result<(TcpListener, UdpSocket)> {
    let mut tries = if at.port() == 0 { ANY_PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let tcp = listen(at)?;
        let here = tcp.local_addr()?;
        match UdpSocket::bind(here) {
            Ok(udp) => return Ok((tcp, udp)),
            Err(_) if tries > 0 => {}
            Err(error) => {
                return Err(because(format!("can't receive datagrams on {here}"), &error));
            }
        }
    }
}

/// A listener where the server may speak first: it lets people in as soon as they are there,
/// whether they have said something or not.
///
/// # Errors
/// When the address can't be had.
pub fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(at).map_err(|error| because(format!("can't listen on {at}"), &error))
}

fn because(what: String, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// What this machine calls itself.
fn host_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}

/// How many connections this process may have.
fn descriptors() -> usize {
    let all = usize::try_from(raise_limit()).unwrap_or(usize::MAX);
    all - OTHERS.min(all / 2)
}

/// Somebody else's address: port 0 is nobody's.
fn somebodys_address(word: &str) -> Result<SocketAddr, String> {
    let address = parse_address(word)?;
    let is_somebodys = address.port() != 0 && !address.ip().is_unspecified();
    is_somebodys.then_some(address).ok_or_else(|| "give one such as 192.0.2.1:53".to_owned())
}

fn at_least_one(word: &str) -> Result<usize, String> {
    let number = word.parse().ok().filter(|number| (1..=MOST_CONNECTIONS).contains(number));
    number.ok_or_else(|| format!("give a number from 1 to {MOST_CONNECTIONS}"))
}
