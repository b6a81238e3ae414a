//! Chapter 13's server: chapter 11's, with all its options, which is replaced by another version of
//! itself while it serves.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};

use ch07_callbacks::EventLoop;
use ch07_callbacks::program::{complain, make_room, parse_address, raise_limit, say};
use ch09_timers::{Clock, Timers};
use ch11_http_server::command_line::{ServerOptions, no_options};
use ch11_http_server::log::{Log, Opened, Writer};
use ch11_http_server::{Files, Folder, site, workers};
use ch13_upgrade::activation::{self, Door, Socket};
use ch13_upgrade::fleet::{self, Berth, Fleet, Plan};
use ch13_upgrade::given;
use ch13_upgrade::succession::{self, Commander, Inherited, Succession, Successor, on_stderr};
use ch13_upgrade::upgrade::{Outcome, Program, Upgrade};
use clap::Parser;
use nix::sys::signal::Signal;
use nix::sys::signal::Signal::{SIGHUP, SIGINT, SIGTERM, SIGUSR2};

const NAME: &str = "ch13-upgrade";
/// In which field an answer says which generation has given it.
const GENERATION: &str = "Generation";
/// What a door may be called that is given to us.
const HTTP: &str = given::UNNAMED;
/// Whose page it is.
const CHAPTER: u32 = 13;
/// Descriptors that aren't connections: files, listeners, the kernel's lists.
const OTHERS: usize = 128;

/// Serves a folder over HTTP, and is replaced by another version of itself without anybody
/// noticing.
///
/// It's the server of chapter 11, with all its options. SIGUSR2 makes it start its own program, as
/// that lies there now, and hand over the port, all visitors, and whatever is under way.
#[derive(Parser)]
#[command(name = NAME, version, about, long_about)]
struct Options {
    /// Where to listen: such as 127.0.0.1:7013, localhost:7013, 7013 alone, or :7013 for all
    /// addresses of this machine; port 0 means any free one
    #[arg(default_value = "127.0.0.1:7013", value_parser = parse_address)]
    address: SocketAddr,

    #[command(flatten)]
    server: ServerOptions,

    #[command(flatten)]
    succession: Succession,
}

pub fn main() {
    let options = Options::try_parse().unwrap_or_else(|error| no_options(NAME, &error));
    options.succession.ask_or_go_on(NAME);
    let served = options.succession.program().and_then(|program| {
        if options.succession.takes_over {
            succession::take_over(|inherited| take_over(&options, program, inherited))
        } else {
            begin(&options, program)
        }
    });
    match served {
        // The one that has taken its place has nothing to say either.
        Ok(Ended::Replaced) => {}
        Ok(Ended::Stopped) => say("stopped"),
        Err(error) => complain(NAME, 1, &error.to_string()),
    }
}

/// How it has ended.
enum Ended {
    Stopped,
    Replaced,
}

/// The first generation.
fn begin(options: &Options, program: Program) -> io::Result<Ended> {
    let address = options.address;
    let given = given().unwrap_or_else(|wrong| complain(NAME, 2, &wrong));
    let berths = match given.is_empty() {
        true => fleet::open(address, options.loops())
            .map_err(|error| because(&format!("can't listen on {address}"), &error))?,
        false => fleet::with_doors(given, options.loops())?,
    };
    let ready = Ready::prepare(options)?;
    let at = berths[0].address()?;
    // When signals are heard: whoever reads it may send one.
    serve(options, program, 1, berths, ready, || {
        let said = writeln!(io::stdout(), "listening on {at}");
        said.map_err(|error| because("can't tell where it listens", &error))
    })
}

/// Doors that whoever has started us has opened.
fn given() -> Result<Vec<TcpListener>, String> {
    let listener = |Door { name, socket }| match (name.as_deref(), socket) {
        (None | Some(HTTP), Socket::Tcp(listener)) => Ok(listener),
        (None | Some(HTTP), Socket::Udp(_)) => Err(given::not_by_udp(HTTP)),
        (Some(name), _) => Err(given::unknown(name, "http is")),
    };
    activation::doors()?.into_iter().map(listener).collect()
}

fn because(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// Any other one.
fn take_over(options: &Options, program: Program, inherited: Inherited) -> io::Result<Ended> {
    let (generation, go) = (inherited.generation, inherited.go());
    let ready = Ready::prepare(options)?;
    let berths = fleet::inherit(inherited.state, options.address, options.loops())?;
    serve(options, program, generation, berths, ready, go)
}

/// What can go wrong, and so is done before anything else.
struct Ready {
    folder: Option<Folder>,
    log: Option<Opened>,
}

impl Ready {
    fn prepare(options: &Options) -> io::Result<Self> {
        let folder = options.server.root.as_ref().map(|root| {
            let folder = Folder::new(root);
            let opened = Files::of(&folder).map(drop);
            opened.map(|()| folder).map_err(|error| {
                io::Error::other(format!("can't serve {}: {error}", root.display()))
            })
        });
        let log = options.server.log.as_deref().map(|path| {
            Opened::open(path).map_err(|error| {
                io::Error::other(format!("can't log to {}: {error}", path.display()))
            })
        });
        Ok(Self { folder: folder.transpose()?, log: log.transpose()? })
    }
}

fn serve(
    options: &Options,
    program: Program,
    generation: u64,
    berths: Vec<Berth>,
    ready: Ready,
    go: impl FnOnce() -> io::Result<()>,
) -> io::Result<Ended> {
    let Ready { folder, log } = ready;
    let most = raise_limit();
    make_room(most);
    let descriptors = usize::try_from(most).unwrap_or(usize::MAX);
    let room = descriptors - OTHERS.min(descriptors / 2);
    let settings = options.server.settings(berths.len(), room);
    let mut event_loop = ch08_epoll::event_loop()?;
    let timers = Timers::start(&mut event_loop, Clock::system());
    // Before there are threads: they mustn't be interrupted either.
    let heard =
        [Some(SIGTERM), Some(SIGINT), Some(SIGUSR2), may_hear_hangup(&log).then_some(SIGHUP)];
    let heard: Vec<Signal> = heard.into_iter().flatten().collect();
    let successor = Successor::default();
    let commander = Commander::hear(&mut event_loop, &heard, &successor)?;
    let writer = log.map(Opened::start).transpose()?;
    let log = writer.as_ref().map(Writer::log);
    let of_routes = folder.clone();
    let plan = Plan {
        settings,
        log: log.clone(),
        routes: Box::new(move |all| {
            let routes = site::routes(CHAPTER, of_routes.as_ref(), all)?;
            Ok(routes.marked(GENERATION, generation.to_string()))
        }),
    };
    let fleet = Fleet::start(&mut event_loop, timers, berths, plan, go)?;
    let (gathers, told) = (fleet.clone(), fleet.clone());
    let flushed = log.clone();
    let upgrade = successor.upgrade(
        &mut event_loop,
        timers,
        program,
        generation,
        Box::new(move |event_loop, state, give| {
            // Of a program that becomes another one, no thread is left that could write.
            if let Some(log) = &flushed {
                log.flush();
            }
            gathers.gather(event_loop, state, give)
        }),
        move |event_loop, outcome| told.tell(event_loop, matches!(outcome, Outcome::Taken(_))),
    )?;
    let orders = Orders { fleet: fleet.clone(), upgrade, log, folder };
    commander.obey(move |event_loop, signal| orders.on_signal(event_loop, signal));
    event_loop.run()?;
    if let Some(writer) = writer {
        writer.finish();
    }
    match fleet.failure() {
        Some(error) => Err(error),
        None if successor.is_there() => Ok(Ended::Replaced),
        None => Ok(Ended::Stopped),
    }
}

/// What signals do.
struct Orders {
    fleet: Fleet,
    upgrade: Upgrade,
    log: Option<Log>,
    folder: Option<Folder>,
}

impl Orders {
    fn on_signal(&self, event_loop: &mut EventLoop, signal: Signal) {
        match (signal, &self.log) {
            (SIGUSR2, _) if self.fleet.is_stopping() => say("not replaced: it's being stopped"),
            (SIGUSR2, _) => self.upgrade.begin(event_loop, on_stderr()),
            (SIGHUP, Some(log)) => {
                log.reopen();
                if let Some(folder) = &self.folder {
                    folder.renew();
                }
            }
            // A shell and the kernel both tell that a terminal was closed: once is enough.
            (SIGHUP, None) if self.fleet.is_stopping() => {}
            _ => self.stop(event_loop),
        }
    }

    fn stop(&self, event_loop: &mut EventLoop) {
        if !self.fleet.is_stopping() {
            say(&format!("stopping; visitors here: {}", self.fleet.visitors()));
        }
        self.upgrade.cancel(event_loop, "it's being stopped");
        self.fleet.stop(event_loop);
    }
}

/// Started by nohup, it's to outlive its terminal.
fn may_hear_hangup(log: &Option<Opened>) -> bool {
    log.is_some() || !workers::is_ignored(SIGHUP)
}

impl Options {
    fn loops(&self) -> usize {
        self.server.workers.unwrap_or_else(workers::cores)
    }
}
