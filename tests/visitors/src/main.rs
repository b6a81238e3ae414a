//! `cargo visit`: the visitors call on a server, side by side, and you watch.
//!
//! `main` reads the command line, `run` is the play from beginning to end; `start` builds and
//! starts a chapter's program, `draw` draws in the terminal, `summary` says how each fared.

mod draw;
mod start;
mod summary;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser;

use visitors::cast::Cast;
use visitors::chapters::{self, Chapter};
use visitors::destination::Destination;
use visitors::play::{LIMIT, LONGEST, Play};
use visitors::visit::Visit;
use visitors::{crowd, printing, tell, warn};

use draw::Screen;
use start::Server;

/// A silent visitor with others before it and behind: where a server can't serve these, one sees
/// at a glance whom it kept waiting.
const USUAL_CAST: [&str; 6] = ["quick", "slow", "silent", "quick", "rude", "quick"];

/// Twenty frames a second look alive; more would cost the servers CPU time.
const FRAME: Duration = Duration::from_millis(50);

/// Numbers from here on are ports, those below are chapters.
const FIRST_PORT: u16 = 100;

/// Chapters' servers listen, where not told otherwise, at this port and their number.
const FIRST_CHAPTERS_PORT: u16 = 7000;

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
    /// runs: 127.0.0.1:7002, [::1]:7002, localhost:7002, or only its port (a number from 100 on); or
    /// http://localhost:8080/page, and then all ask for that page
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
    let status = run(&arguments).unwrap_or_else(|NoPlay(status, reason)| {
        if status != INTERRUPTED {
            warn!("cargo visit: {reason}");
        }
        status
    });
    printing::exit("cargo visit", status)
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
    let mut heading = format!("{place}, for at most {} s", limit.as_secs());
    let (mut server, destination, nobody_there) = match place {
        Place::Running(destination) => {
            let nobody_there = nobody_listens(&destination);
            (None, destination, nobody_there)
        }
        Place::Chapter(chapter) => {
            let (server, address) = open(&chapter, &arguments.program_arguments, &interrupted)?;
            (Some(server), address.into(), format!("{} let nobody in", chapter.server()))
        }
    };
    let mut screen = Screen::of_stdout();
    if screen.is_none() {
        heading = format!("{heading}: {cast}");
    }
    print(&[heading]);

    let play = cast
        .play(destination, limit)
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
        return Err(NoPlay(NOBODY_CONNECTED, nobody_there));
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
    /// Some server that runs.
    Running(Destination),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Chapter(chapter) => write!(f, "chapter {}, {}", chapter.number, chapter.title()),
            Self::Running(destination) => write!(f, "{destination}"),
        }
    }
}

fn place(arguments: &Arguments) -> Result<Place, String> {
    let text = &arguments.place;
    let place = if text.contains(':') {
        Place::Running(Destination::parse(text)?)
    } else if let Some(port) = text.parse().ok().filter(|port| *port >= FIRST_PORT) {
        Place::Running(Destination::port(port))
    } else {
        let found = chapters::find(&chapters::checkout()?, text);
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
        Place::Running(_) if !arguments.program_arguments.is_empty() => {
            Err("what follows -- is for a chapter's program, and here is only an address"
                .to_owned())
        }
        _ => Ok(place),
    }
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

/// What to do where nobody listens: a chapter's own port says whose server it is that wasn't started.
fn nobody_listens(destination: &Destination) -> String {
    let addresses: Vec<String> = destination.addresses().iter().map(ToString::to_string).collect();
    let asked =
        format!("nobody could connect: does anything listen on {}?", addresses.join(" or "));
    let first = destination.addresses().first().filter(|address| address.ip().is_loopback());
    let number = first.and_then(|address| address.port().checked_sub(FIRST_CHAPTERS_PORT));
    let chapter = number.and_then(|number| {
        let root = chapters::checkout().ok()?;
        chapters::find(&root, &number.to_string()).ok()
    });
    match chapter {
        Some(chapter) if chapter.number == CLIENT => {
            format!("{asked} There `cargo host` listens, for chapter {CLIENT}'s program")
        }
        Some(chapter) if chapter.has_socket() => format!(
            "{asked} Chapter {}'s server does, when it's started with `{}`",
            chapter.number,
            chapter.run_server()
        ),
        _ => format!(
            "{asked} Start the server first. (`cargo visit CHAPTER` starts a chapter's by itself)"
        ),
    }
}

/// Prints lines on stdout.
fn print(lines: &[String]) {
    lines.iter().for_each(|line| tell!("{line}"));
}
