//! Chapter 13's other program: chapter 12's, with all its protocols, which is replaced by another
//! version of itself while it serves.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use ch07_callbacks::EventLoop;
use ch07_callbacks::program::{complain, say};
use ch09_timers::{Clock, Timers};
use ch11_http_server::command_line::no_options;
use ch12_kernel::console::{self, Command};
use ch12_kernel::kernel::{self, Kernel};
use ch12_kernel::options::{Options, Room};
use ch12_kernel::presence::Services;
use ch12_kernel::program::{announce, open_window, say_command, stop_command};
use ch13_upgrade::movable::{self, Movable};
use ch13_upgrade::services::{self, LastVisits, Opened, Sections, Started};
use ch13_upgrade::succession::{self, Commander, Inherited, Program, Succession, Successor};
use ch13_upgrade::upgrade::{Outcome, Upgrade};
use clap::Parser;
use nix::sys::signal::Signal::{SIGINT, SIGTERM, SIGUSR2};

const NAME: &str = "ch13-kernel";

/// Serves HTTP, DNS, mail and chat from one loop, and is replaced by another version of itself
/// without anybody noticing.
///
/// It's the program of chapter 12, with all its options. SIGUSR2, or update at its console, makes
/// it start its own program, as that lies there now, and hand over all ports, all visitors, the
/// console, the window, and whatever is under way.
#[derive(Parser)]
#[command(name = NAME, version, about, long_about)]
struct Arguments {
    #[command(flatten)]
    options: Options,

    #[command(flatten)]
    succession: Succession,
}

fn main() {
    let Arguments { options, succession } =
        Arguments::try_parse().unwrap_or_else(|error| no_options(NAME, &error));
    let options = options.settled().unwrap_or_else(|wrong| complain(NAME, 2, &wrong));
    let served = succession.program().and_then(|program| {
        if succession.takes_over {
            succession::take_over(|inherited| serve(&options, program, Some(inherited)))
        } else {
            serve(&options, program, None)
        }
    });
    match served {
        Ok(()) => say("stopped"),
        Err(error) => complain(NAME, 1, &error.to_string()),
    }
}

fn serve(options: &Options, program: Program, inherited: Option<Inherited>) -> io::Result<()> {
    let generation = inherited.as_ref().map_or(1, |inherited| inherited.generation);
    let go = inherited.as_ref().map(Inherited::go);
    let sections = inherited.map(|inherited| Sections::of(inherited.state)).transpose()?;
    // One that has taken over says it to the old one, which has one line for it.
    let between = if go.is_some() { "; ".to_owned() } else { format!("\n{NAME}: ") };
    let mut sections = sections.unwrap_or_default();
    let room = Room::default();
    // All that are new are opened, or none.
    let opened = kernel::open(services::table(options, &mut sections, &room))
        .map_err(|wrong| io::Error::other(wrong.join(&between)))?;
    let opened: Vec<_> =
        opened.into_iter().filter_map(|(name, opened)| Some((name, opened?))).collect();
    let listening = new_ones(&opened);
    let mut event_loop = ch08_epoll::event_loop()?;
    let timers = Timers::start(&mut event_loop, Clock::system());
    let successor = Successor::default();
    let heard = [SIGTERM, SIGINT, SIGUSR2];
    let commander = Commander::hear(&mut event_loop, &heard, &successor)?;
    let started = start(&mut event_loop, timers, opened)?;
    let all: Services = started.iter().map(|started| Rc::clone(&started.service)).collect();
    let mut kernel = Kernel::with(event_loop, timers, all);
    if let Some(go) = go {
        go()?;
    }
    if options.window {
        open_window(&mut kernel.event_loop, &kernel.services);
    }
    announce(NAME, &listening);
    let (parts, last_visits) = begin(&mut kernel.event_loop, started);
    let parts_left = Rc::clone(&parts);
    let upgrade = successor.upgrade(
        timers,
        program,
        generation,
        Box::new(move |event_loop, state, give| movable::gather(&parts, event_loop, state, give)),
        move |event_loop, outcome| {
            if outcome != Outcome::Ours {
                let last_visits = last_visits.clone();
                movable::leave(&parts_left, event_loop, move |event_loop| {
                    last_visits.when_over(event_loop, EventLoop::stop);
                });
            }
        },
    );
    let orders = Rc::new(Orders::of(&kernel, upgrade));
    let obeys = Rc::clone(&orders);
    commander.obey(move |event_loop, signal| match signal {
        SIGUSR2 => obeys.update(event_loop),
        _ => obeys.stop(event_loop),
    });
    if options.console {
        let commands = commands(&kernel, &room, &orders);
        console::start(&mut kernel.event_loop, commands)?;
    }
    kernel.run()
}

/// Where nobody has listened before.
fn new_ones(opened: &[(&'static str, Opened)]) -> Vec<(&'static str, SocketAddr)> {
    let new = opened.iter().filter(|(_, opened)| opened.is_new);
    new.map(|(name, opened)| (*name, opened.address)).collect()
}

fn start(
    event_loop: &mut EventLoop,
    timers: Timers,
    opened: Vec<(&'static str, Opened)>,
) -> io::Result<Vec<Started>> {
    let start = |(name, opened): (&str, Opened)| {
        (opened.start)(event_loop, timers)
            .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))
    };
    opened.into_iter().map(start).collect()
}

/// From here on they're ours. Doors that nobody wants any more are closed; and services.
fn begin(event_loop: &mut EventLoop, started: Vec<Started>) -> (Rc<[Rc<dyn Movable>]>, LastVisits) {
    let (mut parts, last_visits) = (Vec::new(), LastVisits::default());
    for Started { service, part, then } in started {
        then(event_loop);
        match part {
            Some(part) => parts.push(part),
            None => last_visits.of(event_loop, &*service),
        }
    }
    (parts.into(), last_visits)
}

/// What it can be told to do, by a signal or at its console.
struct Orders {
    upgrade: Upgrade,
    stop: Box<dyn Fn(&mut EventLoop)>,
    is_stopping: Box<dyn Fn() -> bool>,
}

impl Orders {
    fn of(kernel: &Kernel, upgrade: Upgrade) -> Self {
        let (stop, is_stopping) = (Box::new(kernel.stopper()), Box::new(kernel.is_stopping()));
        Self { upgrade, stop, is_stopping }
    }

    fn update(&self, event_loop: &mut EventLoop) {
        match (self.is_stopping)() {
            true => say("not replaced: it's being stopped"),
            false => self.upgrade.begin(event_loop, Rc::new(|_, line| say(line))),
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
        move |event_loop, _| {
            updates.update(event_loop);
            String::new()
        },
    );
    vec![
        Command::who(&kernel.services),
        say_command(room),
        update,
        stop_command(move |event_loop| stops.stop(event_loop)),
    ]
}
