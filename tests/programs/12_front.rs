//! The console and the window in front of a stand-in for the chapter's services: a listener whose
//! visitors are let in, and kept. For the tests, and to be played with:
//!
//! ```sh
//! cargo run -p ch12-kernel --bin front12 -- --window
//! ```
//!
//! It says on its first line where it listens. `--rows N` makes N rows up, for looking at.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::{Connection, EventLoop, Token, program};
use ch09_timers::{Clock, Timers};
use ch12_kernel::console::{self, Command};
use ch12_kernel::presence::{Row, Service, Services, Stopped};
use ch12_kernel::window;
use nix::sys::signal::Signal;

const NAME: &str = "front12";
/// It ends by itself: a test that failed may have left it behind.
const LONGEST: Duration = Duration::from_secs(600);
/// What the made-up rows wait for, in turns.
const MADE_UP: [(&str, &str); 5] = [
    ("http", "a request"),
    ("chat", "a line from Zoë, who has been silent for a while and whose nick is long ☺"),
    ("dns", "the rest of a question"),
    ("mail", "MAIL FROM"),
    ("finger", "nothing in particular"),
];

fn main() -> io::Result<()> {
    let arguments = program::arguments("front12 [--window] [--rows N]: see the source");
    let listener = program::listen_or_exit(NAME, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let mut event_loop = ch08_epoll::event_loop()?;
    let rows = arguments.iter().skip_while(|word| *word != "--rows").nth(1);
    let rows = rows.and_then(|count| count.parse().ok()).unwrap_or(0);
    let services: Services = Rc::new([Rc::new(Lobby::open(&mut event_loop, listener, rows)?)]);
    ch09_timers::signals::on_signals(&mut event_loop, &[Signal::SIGINT], |event_loop, _| {
        program::say("stopping");
        event_loop.stop();
    })?;
    if arguments.iter().any(|word| word == "--window")
        && let Err(error) = window::start(&mut event_loop, Services::clone(&services))
    {
        program::say(&format!("no window: {error}; the rest goes on"));
    }
    let commands = vec![
        Command::who(&services),
        Command::new("say", "TEXT", "says TEXT to everybody who is here", say(&services)),
        Command::new("turns", "", "shows how often the loop has turned", |event_loop, _| {
            format!("{} turns\n", event_loop.turns())
        }),
        Command::new("panic", "", "panics", |_, _| panic!("as was asked for")),
        Command::new("stop", "", "ends the program", |event_loop, _| {
            event_loop.stop();
            "stopping\n".to_owned()
        }),
    ];
    console::start(&mut event_loop, commands)?;
    let timers = Timers::start(&mut event_loop, Clock::system());
    timers.after(&mut event_loop, LONGEST, EventLoop::stop);
    event_loop.run()
}

/// Whoever comes is let in.
struct Lobby {
    made_up: Vec<Row>,
    here: Rc<RefCell<Vec<(Token, SocketAddr)>>>,
}

impl Lobby {
    fn open(event_loop: &mut EventLoop, listener: TcpListener, rows: u16) -> io::Result<Self> {
        let here = Rc::new(RefCell::new(Vec::new()));
        let list = Rc::clone(&here);
        event_loop.listen(listener, move |event_loop, came| {
            let Ok((visitor, from)) = came else { return };
            list.borrow_mut().push((visitor, from));
            event_loop.set_read_callback(visitor, |event_loop, me, input| {
                input.bytes.clear();
                if input.ended {
                    event_loop.finish(me);
                }
            });
            let list = Rc::clone(&list);
            event_loop.set_close_callback(visitor, move |_, me, _| {
                list.borrow_mut().retain(|(token, _)| *token != me);
            });
        })?;
        let made_up = (0..rows).map(row).collect();
        Ok(Self { made_up, here })
    }
}

/// One who isn't here: closing it closes nobody.
fn row(number: u16) -> Row {
    let token = Token::from_bits(u64::from(u32::MAX - u32::from(number)) << 32);
    let kinds = MADE_UP.iter().cycle().nth(usize::from(number));
    let (protocol, waits_for) = *kinds.unwrap_or(&("", ""));
    let from = match number % 3 {
        0 => SocketAddr::from(([192, 0, 2, (number % 200) as u8], 40_000 + number)),
        1 => SocketAddr::from(([127, 0, 0, 1], 1024 + number)),
        _ => SocketAddr::from(([0x2001, 0xdb8, number, 0xfeed, 0xbeef, 1, 2, 3], 65_000)),
    };
    Row { token, protocol, from, waits_for: waits_for.into() }
}

impl Service for Lobby {
    fn rows(&self, event_loop: &EventLoop) -> Vec<Row> {
        let here = self.here.borrow();
        let is_open =
            |(token, _): &&(Token, SocketAddr)| event_loop.get::<Connection>(*token).is_some();
        let real = here.iter().filter(is_open).map(|(token, from)| Row {
            token: *token,
            protocol: "chat",
            from: *from,
            waits_for: "a line".into(),
        });
        real.chain(self.made_up.iter().cloned()).collect()
    }

    fn stop(&self, event_loop: &mut EventLoop, stopped: Stopped) {
        stopped(event_loop);
    }
}

fn say(services: &Services) -> impl FnMut(&mut EventLoop, &str) -> String + 'static {
    let services = Services::clone(services);
    move |event_loop, text| {
        let rows = ch12_kernel::presence::rows(&services, event_loop);
        for row in &rows {
            event_loop.send(row.token, format!("{text}\r\n").as_bytes());
        }
        format!("said to {}\n", rows.len())
    }
}
