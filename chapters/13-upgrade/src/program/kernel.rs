//! Chapter 13's other program: chapter 12's, with all its protocols, which is replaced by another
//! version of itself while it serves.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use ch07_callbacks::program::{complain, say};
use ch07_callbacks::{EventLoop, Token};
use ch09_timers::{Clock, Timers};
use ch11_http_server::command_line::no_options;
use ch12_kernel::console::{self, Command};
use ch12_kernel::kernel::{self, Kernel, Plan};
use ch12_kernel::options::{Options, Room};
use ch12_kernel::presence::Services;
use ch12_kernel::program::{announce, open_window, say_command, stop_command};
use ch12_kernel::window;
use ch13_upgrade::activation;
use ch13_upgrade::format::Malformed;
use ch13_upgrade::given::{Given, Places};
use ch13_upgrade::movable::{self, Movable};
use ch13_upgrade::services::{self, LastVisits, Opened, Sections, Started};
use ch13_upgrade::state::Detached;
use ch13_upgrade::succession::{self, Commander, Inherited, Succession, Successor};
use ch13_upgrade::upgrade::{Outcome, Program, Upgrade};
use ch13_upgrade::{console as console_state, window as window_state};
use clap::Parser;
use nix::sys::signal::Signal::{SIGHUP, SIGINT, SIGTERM, SIGUSR2};

const NAME: &str = "ch13-kernel";
const BEING_STOPPED: &str = "not replaced: it's being stopped";

/// Serves HTTP, DNS, mail and chat from one loop, and is replaced by another version of itself
/// without anybody noticing.
///
/// It's the program of chapter 12, with all its options. SIGUSR2, or update at its console, makes
/// it start its own program, as that lies there now, and hand over all ports, all visitors, the
/// console, the window, and whatever is under way. Ports that somebody else has opened for it
/// (LISTEN_FDS) are told apart by their names: http, dns, mail and chat.
#[derive(Parser)]
#[command(name = NAME, version, about, long_about)]
struct Arguments {
    #[command(flatten)]
    options: Options,

    #[command(flatten)]
    succession: Succession,
}

pub fn main() {
    let Arguments { options, succession } =
        Arguments::try_parse().unwrap_or_else(|error| no_options(NAME, &error));
    succession.ask_or_go_on(NAME);
    let served = succession.program().and_then(|program| {
        if succession.takes_over {
            succession::take_over(|inherited| take_over(options, program, inherited))
        } else {
            begin(options, program)
        }
    });
    if let Err(error) = served {
        complain(NAME, 1, &error.to_string());
    }
}

/// The first generation.
fn begin(mut options: Options, program: Program) -> io::Result<()> {
    let given = activation::doors().and_then(Given::of);
    let given = given.unwrap_or_else(|wrong| complain(NAME, 2, &wrong));
    let places = given.places()?;
    places.settle(&mut options)?;
    let options = options.settled().unwrap_or_else(|wrong| complain(NAME, 2, &wrong));
    let start = Start { generation: 1, go: None, given, places, sections: Sections::default() };
    serve(&options, program, start)
}

/// Any other one.
fn take_over(mut options: Options, program: Program, inherited: Inherited) -> io::Result<()> {
    let (generation, go) = (inherited.generation, inherited.go());
    let mut sections = Sections::of(inherited.state)?;
    let places = sections.take("given").map(|mut it| Places::read(it.attach().reader));
    let places = places.transpose()?.unwrap_or_default();
    places.settle(&mut options)?;
    let options = options.settled().map_err(io::Error::other)?;
    let (go, given): (Option<Go>, _) = (Some(Box::new(go)), Given::default());
    serve(&options, program, Start { generation, go, given, places, sections })
}

/// What a generation begins with.
struct Start {
    generation: u64,
    /// None: nobody has to be asked.
    go: Option<Go>,
    given: Given,
    places: Places,
    sections: Sections,
}

/// Returns when all is ours.
type Go = Box<dyn FnOnce() -> io::Result<()>>;

fn serve(options: &Options, program: Program, start: Start) -> io::Result<()> {
    let Start { generation, go, given, places, mut sections } = start;
    let room = Room::default();
    let table = services::table(options, generation, given, &mut sections, &room);
    let opened = open(table, generation)?;
    let listening = new_ones(&opened);
    let mut event_loop = ch08_epoll::event_loop()?;
    let timers = Timers::start(&mut event_loop, Clock::system());
    let successor = Successor::default();
    let heard = [SIGTERM, SIGINT, SIGUSR2, SIGHUP];
    // A hangup ends the first one, as it ends any program.
    let heard = if generation == 1 { &heard[..3] } else { &heard };
    let commander = Commander::hear(&mut event_loop, heard, &successor)?;
    let started = start_all(&mut event_loop, timers, opened)?;
    let all: Services = started.iter().map(|started| Rc::clone(&started.service)).collect();
    let mut kernel = Kernel::with(event_loop, timers, all);
    let window = options.window.then(|| show(&mut kernel, sections.take("window")));
    if let Some(go) = go {
        go()?;
    }
    announce(&listening).or_else(|error| if generation == 1 { Err(error) } else { Ok(()) })?;
    let (mut parts, last_visits) = begin_all(&mut kernel.event_loop, started);
    if !places.is_empty() {
        parts.push(Rc::new(places));
    }
    if let Some(token) = window {
        let services = Services::clone(&kernel.services);
        parts.push(Rc::new(movable::Window { token, services }));
    }
    let parts = Parts::new(parts, last_visits);
    let (gathers, leaves) = (parts.clone(), parts.clone());
    let upgrade = successor.upgrade(
        &mut kernel.event_loop,
        timers,
        program,
        generation,
        Box::new(move |event_loop, state, give| {
            movable::gather(&gathers.all(), event_loop, state, give)
        }),
        move |event_loop, outcome| match outcome {
            Outcome::Taken(_) => leaves.leave(event_loop),
            Outcome::Ours => leaves.all().iter().for_each(|part| part.stay(event_loop)),
            Outcome::Later => {}
        },
    )?;
    let orders = Rc::new(Orders::of(&kernel, upgrade));
    if options.console {
        let commands = commands(&kernel, &room, &orders);
        let console = talk(&mut kernel.event_loop, sections.take("console"), commands);
        orders.console.set(console);
        parts.add(Rc::new(movable::Console(console)));
    }
    commander.obey(move |event_loop, signal| match signal {
        SIGUSR2 => orders.update(event_loop),
        SIGHUP => say("its terminal is gone; the rest goes on"),
        _ => orders.stop(event_loop),
    });
    kernel.run()?;
    if !successor.is_there() {
        say("stopped");
    }
    Ok(())
}

type AllOpened = Vec<(&'static str, Opened)>;

/// All that are new are opened, or none.
fn open(table: Vec<Plan<Option<Opened>>>, generation: u64) -> io::Result<AllOpened> {
    // One that takes over says it to the old one, which has one line for it.
    let between = if generation == 1 { format!("\n{NAME}: ") } else { "; ".to_owned() };
    let opened = kernel::open(table).map_err(|wrong| io::Error::other(wrong.join(&between)))?;
    Ok(opened.into_iter().filter_map(|(name, opened)| Some((name, opened?))).collect())
}

/// The old program's window; or, if it had none, or we can't go on with that, a new one. No token:
/// somebody has closed it.
fn show(kernel: &mut Kernel, old: Option<Detached>) -> Option<Token> {
    let Kernel { event_loop, services, .. } = kernel;
    let old = old.map(|mut old| window_state::read(old.attach()));
    let why = match old {
        Some(Ok(None)) => return None,
        Some(Ok(Some((socket, parts)))) => {
            match window::adopt(event_loop, Services::clone(services), socket, parts) {
                Ok(window) => return Some(window),
                Err(error) => Some(error.to_string()),
            }
        }
        Some(Err(Malformed)) => Some(Malformed.to_string()),
        None => None,
    };
    if let Some(why) = why {
        // The old one goes with the old program.
        say(&format!("window: another one: {why}"));
    }
    open_window(event_loop, services)
}

/// The old program's console, as far as it was, or a new one. No token: there is none, or its input
/// has ended.
fn talk(
    event_loop: &mut EventLoop,
    old: Option<Detached>,
    commands: Vec<Command>,
) -> Option<Token> {
    let console = match old.map(|mut old| console_state::read(old.attach().reader)) {
        Some(Ok(None)) => return None,
        Some(Ok(Some(parts))) => console::adopt(event_loop, parts, commands),
        Some(Err(Malformed)) | None => console::start(event_loop, commands),
    };
    console.unwrap_or_else(|error| {
        say(&format!("no console: {error}; the rest goes on"));
        None
    })
}

/// Where nobody has listened before.
fn new_ones(opened: &[(&'static str, Opened)]) -> Vec<(&'static str, SocketAddr)> {
    let new = opened.iter().filter(|(_, opened)| opened.is_new);
    new.map(|(name, opened)| (*name, opened.address)).collect()
}

fn start_all(
    event_loop: &mut EventLoop,
    timers: Timers,
    opened: AllOpened,
) -> io::Result<Vec<Started>> {
    let start = |(name, opened): (&str, Opened)| {
        (opened.start)(event_loop, timers)
            .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))
    };
    opened.into_iter().map(start).collect()
}

/// From here on they're ours. Doors that nobody wants any more are closed; and services.
fn begin_all(
    event_loop: &mut EventLoop,
    started: Vec<Started>,
) -> (Vec<Rc<dyn Movable>>, LastVisits) {
    let (mut parts, last_visits) = (Vec::new(), LastVisits::default());
    for Started { service, part, then } in started {
        then(event_loop);
        match part {
            Some(part) => parts.push(part),
            None => last_visits.of(event_loop, &*service),
        }
    }
    (parts, last_visits)
}

/// All that is handed over, and what isn't. Clones are the same.
#[derive(Clone)]
struct Parts {
    all: Rc<RefCell<Vec<Rc<dyn Movable>>>>,
    last_visits: LastVisits,
}

impl Parts {
    fn new(all: Vec<Rc<dyn Movable>>, last_visits: LastVisits) -> Self {
        Self { all: Rc::new(RefCell::new(all)), last_visits }
    }

    fn add(&self, part: Rc<dyn Movable>) {
        self.all.borrow_mut().push(part);
    }

    fn all(&self) -> Vec<Rc<dyn Movable>> {
        self.all.borrow().clone()
    }

    /// Another process has all of it. We end when those who had to stay are served.
    fn leave(&self, event_loop: &mut EventLoop) {
        let last_visits = self.last_visits.clone();
        movable::leave(&self.all(), event_loop, move |event_loop| {
            last_visits.when_over(event_loop, EventLoop::stop);
        });
    }
}

/// What it can be told to do, by a signal or at its console.
struct Orders {
    upgrade: Upgrade,
    stop: Box<dyn Fn(&mut EventLoop)>,
    is_stopping: Box<dyn Fn() -> bool>,
    console: Cell<Option<Token>>,
}

impl Orders {
    fn of(kernel: &Kernel, upgrade: Upgrade) -> Self {
        let (stop, is_stopping) = (Box::new(kernel.stopper()), Box::new(kernel.is_stopping()));
        Self { upgrade, stop, is_stopping, console: Cell::new(None) }
    }

    /// Says on stderr what has become of it.
    fn update(self: &Rc<Self>, event_loop: &mut EventLoop) {
        let tells = Rc::clone(self);
        let tell = move |event_loop: &mut EventLoop, outcome, line: &str| {
            say(line);
            tells.prompt_after(event_loop, outcome);
        };
        match (self.is_stopping)() {
            true => say(BEING_STOPPED),
            false => self.upgrade.begin(event_loop, Rc::new(tell)),
        }
    }

    /// Says it where it was asked for.
    fn update_from_console(self: &Rc<Self>, event_loop: &mut EventLoop) -> String {
        if (self.is_stopping)() {
            return format!("{BEING_STOPPED}\n");
        }
        let tells = Rc::clone(self);
        let tell = move |event_loop: &mut EventLoop, outcome, line: &str| {
            console::tell(event_loop, tells.console.get(), line);
            tells.prompt_after(event_loop, outcome);
        };
        self.upgrade.begin(event_loop, Rc::new(tell));
        String::new()
    }

    /// If the console is still ours.
    fn prompt_after(&self, event_loop: &EventLoop, outcome: Outcome) {
        if let (Outcome::Ours, Some(console)) = (outcome, self.console.get()) {
            console::prompt_again(event_loop, console);
        }
    }

    fn stop(&self, event_loop: &mut EventLoop) {
        self.upgrade.cancel(event_loop, "it's being stopped");
        (self.stop)(event_loop);
    }
}

/// What can be typed at the console.
fn commands(kernel: &Kernel, room: &Room, orders: &Rc<Orders>) -> Vec<Command> {
    let (updates, stops) = (Rc::clone(orders), Rc::clone(orders));
    let update = Command::new(
        "update",
        "",
        "has another version of the program take its place",
        move |event_loop, _| updates.update_from_console(event_loop),
    );
    vec![
        Command::who(&kernel.services),
        say_command(room),
        update,
        stop_command(move |event_loop| stops.stop(event_loop)),
    ]
}
