//! Chapter 12's program with one service more, whose handler panics when it's asked to: for the tests.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::rc::Rc;

use ch12_kernel::console;
use ch12_kernel::kernel::{self, Kernel, Opened, Plan};
use ch12_kernel::line_server::{self, Event, LineServer, Session, Talk, Waits};
use ch12_kernel::options::{Options, Room};
use ch12_kernel::program::announce;
use clap::Parser;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

fn main() -> io::Result<()> {
    let options = Arguments::parse().options.settled().map_err(io::Error::other)?;
    let mut table = options.table(Room::default());
    table.push(Plan { name: "brittle", open: Box::new(open) });
    let opened = kernel::open(table).map_err(|wrong| io::Error::other(wrong.join("; ")))?;
    let listening: Vec<_> = opened.iter().map(|(name, it)| (*name, it.address)).collect();
    let mut kernel = Kernel::start(opened)?;
    kernel.hear_signals()?;
    announce(&listening)?;
    console::start(&mut kernel.event_loop, vec![console::Command::who(&kernel.services)])?;
    kernel.run()
}

fn open() -> io::Result<Opened> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let options =
        line_server::Options { protocol: "brittle", longest_line: 80, most: 10, full: "no\r\n" };
    Ok(Opened {
        address: listener.local_addr()?,
        start: Box::new(move |event_loop, timers| {
            let server = LineServer::start(event_loop, timers, listener, options, |_| Brittle)?;
            Ok(Rc::new(server))
        }),
    })
}

struct Brittle;

impl Session for Brittle {
    fn receive(&mut self, event: Event<'_>, talk: &mut Talk<'_>) {
        match event {
            Event::Line(b"break") => panic!("as was asked for"),
            Event::Line(_) => talk.say(b"fine\r\n"),
            Event::Ended => talk.hang_up(),
            _ => {}
        }
    }

    fn waits(&self) -> Waits {
        Waits { what: "a word", at_most: None }
    }
}
