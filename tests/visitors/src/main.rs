//! `cargo visit`: the visitors call on a server, side by side, and you watch.
//!
//! `main` reads the command line, `run` is the play from beginning to end; `start` builds and
//! starts a chapter's program, `draw` draws in the terminal, `summary` says how each fared.

mod draw;
mod start;
mod summary;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser;

use visitors::cast::Cast;
use visitors::chapters::{self, Chapter};
use visitors::crowd;
use visitors::play::{LIMIT, LONGEST, Play};
use visitors::visit::Visit;

use draw::Screen;
use start::Server;

/// A silent visitor with others before it and behind: where a server can't serve these, one sees
/// at a glance whom it kept waiting.
const USUAL_CAST: [&str; 6] = ["quick", "slow", "silent", "quick", "rude", "quick"];

/// Twenty frames a second look alive; more would cost the servers CPU time.
const FRAME: Duration = Duration::from_millis(50);

/// Numbers from here on are ports, those below are chapters.
const FIRST_PORT: u16 = 100;

/// The chapter whose program is a visitor itself.
const CLIENT: u32 = 1;

const NOBODY_CONNECTED: u8 = 1;
const BAD_USAGE: u8 = 2;
/// As a shell reports a program that was ended by Ctrl-C: 128 and the signal's number.
const INTERRUPTED: u8 = 130;

/// Sends visitors to a server, side by side, shows what each is doing, and says how each fared.
#[derive(Debug, Parser)]
#[command(
    name = "cargo visit",
    bin_name = "cargo visit",
    after_help = "The visitors, in the order in which they come (default: quick slow silent quick rude quick):\n  \
        quick   sends a whole request, expects the answer at once\n  \
        slow    sends its request a byte at a time, over about a second\n  \
        silent  connects, and says nothing\n  \
        greedy  asks for a large page, and reads it slowly\n  \
        rude    hangs up in the middle of its request, then calls again and hangs up in the answer\n  \
        crowd   connects 100 times, says nothing, and stays; crowd=1000: as many times\n\
        quick=20 is twenty of them. Try: cargo visit 2, and then: cargo visit 3"
)]
struct Arguments {
    /// A chapter, by number or name: its program is started, and ended afterwards. Or a server that
    /// runs: 127.0.0.1:7002, [::1]:7002, localhost:7002, or only its port (a number from 100 on)
    #[arg(value_name = "CHAPTER|ADDRESS")]
    place: String,

    /// Who comes, in this order
    #[arg(value_name = "WHO")]
    who: Vec<String>,

    /// How long it lasts at the most
    #[arg(long, value_name = "N", default_value_t = LIMIT.as_secs(),
        value_parser = clap::value_parser!(u64).range(1..=LONGEST.as_secs()))]
    seconds: u64,

    /// What the chapter's program is told besides its address
    #[arg(last = true, value_name = "PROGRAM ARGS")]
    program_arguments: Vec<String>,
}

/// Why there is no play, and the exit status that says so.
struct NoPlay(u8, String);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(status) => ExitCode::from(status),
        Err(NoPlay(status, reason)) => {
            if status != INTERRUPTED {
                eprintln!("cargo visit: {reason}");
            }
            ExitCode::from(status)
        }
    }
}

/// The whole of it: who comes, where to; the play; how it was.
fn run(arguments: &Arguments) -> Result<u8, NoPlay> {
    let bad = |reason| NoPlay(BAD_USAGE, reason);
    let cast = cast(&arguments.who).map_err(bad)?;
    let place = place(arguments).map_err(bad)?;
    let interrupted = listen_for_ctrl_c()?;
    // Before the program starts: it needs as many descriptors, and inherits the limit.
    crowd::make_room(cast.sockets()).map_err(|reason| NoPlay(NOBODY_CONNECTED, reason))?;

    let limit = Duration::from_secs(arguments.seconds);
    let (mut server, address) = match &place {
        Place::Address(address) => (None, *address),
        Place::Chapter(chapter) => {
            let (server, address) = open(chapter, &arguments.program_arguments, &interrupted)?;
            (Some(server), address)
        }
    };
    let mut screen = Screen::of_stdout();
    let mut heading = format!("{place}, for at most {} s", limit.as_secs());
    if screen.is_none() {
        heading = format!("{heading}: {cast}");
    }
    print(&[heading]);

    let play = cast
        .play(address, limit)
        .map_err(|error| NoPlay(NOBODY_CONNECTED, format!("can't begin: {error}")))?;
    watch(&play, server.as_mut(), screen.as_mut(), &interrupted);
    let visits = play.end();

    print(&summary::lines(&visits));
    if let Some(server) = server {
        print(&server.summary());
    }
    if interrupted.load(Ordering::Relaxed) {
        return Ok(INTERRUPTED);
    }
    if visits.iter().all(nobody_let_it_in) {
        return Err(NoPlay(NOBODY_CONNECTED, nobody_there(&place)));
    }
    Ok(0)
}

fn cast(words: &[String]) -> Result<Cast, String> {
    if words.is_empty() {
        return Cast::from_words(&USUAL_CAST);
    }
    Cast::from_words(words)
}

/// Where the visitors go.
enum Place {
    Chapter(Chapter),
    Address(SocketAddr),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Chapter(chapter) => write!(f, "chapter {}, {}", chapter.number, chapter.title()),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

fn place(arguments: &Arguments) -> Result<Place, String> {
    let text = &arguments.place;
    let place = if text.contains(':') {
        Place::Address(resolve(text)?)
    } else if let Some(port) = text.parse().ok().filter(|port| *port >= FIRST_PORT) {
        Place::Address(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    } else {
        let found = chapters::find(&chapters::root(), text);
        Place::Chapter(found.map_err(|error| {
            format!(
                "{error}. To visit a server that runs, give its address, such as 127.0.0.1:7002"
            )
        })?)
    };
    match &place {
        Place::Chapter(chapter) if chapter.number == CLIENT => Err(format!(
            "chapter {CLIENT}'s program is a visitor itself: nobody can call on it. \
             Start a server for it with `cargo host`, then run it with `cargo run -p {}`",
            chapter.server()
        )),
        Place::Address(_) if !arguments.program_arguments.is_empty() => {
            Err("what follows -- is for a chapter's program, and here is only an address"
                .to_owned())
        }
        _ => Ok(place),
    }
}

fn resolve(text: &str) -> Result<SocketAddr, String> {
    let addresses = text.to_socket_addrs().map_err(|error| {
        format!("{text:?} is no address: {error}; an address is such as 127.0.0.1:7002")
    })?;
    // The book's servers listen on IPv4's localhost; the name stands for IPv6's as well.
    let addresses: Vec<SocketAddr> = addresses.collect();
    let first = addresses.iter().find(|a| a.is_ipv4()).or(addresses.first());
    first.copied().ok_or_else(|| format!("{text:?} has no address"))
}

fn listen_for_ctrl_c() -> Result<Arc<AtomicBool>, NoPlay> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let heard = Arc::clone(&interrupted);
    ctrlc::set_handler(move || heard.store(true, Ordering::Relaxed))
        .map_err(|error| NoPlay(NOBODY_CONNECTED, format!("can't listen for Ctrl-C: {error}")))?;
    Ok(interrupted)
}

/// Builds and starts a chapter's program, and waits until it listens.
fn open(
    chapter: &Chapter,
    arguments: &[String],
    interrupted: &AtomicBool,
) -> Result<(Server, SocketAddr), NoPlay> {
    let failed = |reason| {
        // Ctrl-C ends cargo, too, and then what cargo did is no news.
        let interrupted = interrupted.load(Ordering::Relaxed);
        NoPlay(if interrupted { INTERRUPTED } else { NOBODY_CONNECTED }, reason)
    };
    let path = chapters::build(chapter).map_err(failed)?;
    let mut server = Server::start(path, arguments).map_err(failed)?;
    let address = server.listening(interrupted).map_err(|trouble| {
        failed(format!("{} doesn't say `listening on` and an address: {trouble}", chapter.server()))
    })?;
    Ok((server, address))
}

/// Watches until the play is over, drawing it if there is a terminal. Ctrl-C calls it off.
fn watch(
    play: &Play,
    mut server: Option<&mut Server>,
    mut screen: Option<&mut Screen>,
    interrupted: &AtomicBool,
) {
    loop {
        let over = play.wait(FRAME);
        if let Some(server) = &mut server {
            server.look(play);
        }
        if let Some(screen) = &mut screen {
            // Afterwards the summary says what the program used and did.
            let at_work = server.as_ref().filter(|_| !over);
            let program = at_work.map_or_else(Vec::new, |server| server.lines());
            // Should the terminal be gone, the play still comes to its end, and the program is ended.
            let _ = screen.draw(play, &program);
        }
        if over {
            break;
        }
        if interrupted.load(Ordering::Relaxed) {
            play.call_off();
        }
    }
    if screen.is_some() {
        print(&[String::new()]);
    }
}

fn nobody_let_it_in(visit: &Visit) -> bool {
    visit.connected.is_none()
}

fn nobody_there(place: &Place) -> String {
    match place {
        Place::Chapter(chapter) => format!("{} let nobody in", chapter.server()),
        Place::Address(address) => format!(
            "nobody could connect: does anything listen on {address}? \
             A chapter's server is started with `cargo run -p ch02-blocking-server {address}`, or by `cargo visit 2`"
        ),
    }
}

/// Prints lines on stdout. Nobody may be there to read them any more: that's no reason to panic.
fn print(lines: &[String]) {
    let mut stdout = io::stdout().lock();
    for line in lines {
        let _ = writeln!(stdout, "{line}");
    }
    let _ = stdout.flush();
}
