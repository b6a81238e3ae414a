//! Chapter 12's program: six protocols, one loop, one line that waits.

use std::rc::Rc;

use ch07_callbacks::program::{complain, say};
use ch11_http_server::command_line::no_options;
use ch12_kernel::console::{self, Command};
use ch12_kernel::kernel::{self, Kernel, Opened};
use ch12_kernel::options::{Options, Room};
use ch12_kernel::program::{announce, open_window, say_command, stop_command};
use clap::Parser;

const NAME: &str = "ch12-kernel";

/// Serves HTTP, DNS, mail and chat, from one thread in one loop.
///
/// Each service is an option. With any of them only those that are named are started; without
/// one all are, on 127.0.0.1. SIGTERM or Ctrl-C stops it when what was begun is done, a second
/// one at once.
#[derive(Parser)]
#[command(name = NAME, version, about, long_about)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

fn main() {
    let Arguments { options } =
        Arguments::try_parse().unwrap_or_else(|error| no_options(NAME, &error));
    let options = options.settled().unwrap_or_else(|wrong| complain(NAME, 2, &wrong));
    let (with_console, with_window) = (options.console, options.window);
    let room = Room::default();
    let opened = kernel::open(options.table(Rc::clone(&room))).unwrap_or_else(|wrong| {
        complain(NAME, 1, &wrong.join(&format!("\n{NAME}: ")));
    });
    let at = |(name, Opened { address, .. }): &(&'static str, Opened)| (*name, *address);
    let listening: Vec<_> = opened.iter().map(at).collect();
    let done = Kernel::start(opened).and_then(|mut kernel| {
        if with_window {
            open_window(&mut kernel.event_loop, &kernel.services);
        }
        kernel.hear_signals()?;
        announce(&listening).unwrap_or_else(|error| complain(NAME, 1, &error.to_string()));
        if with_console {
            let commands = commands(&kernel, &room);
            console::start(&mut kernel.event_loop, commands)?;
        }
        kernel.run()
    });
    match done {
        Ok(()) => say("stopped"),
        Err(error) => complain(NAME, 1, &format!("the loop failed: {error}")),
    }
}

// ANCHOR: commands
/// What can be typed at the console.
fn commands(kernel: &Kernel, room: &Room) -> Vec<Command> {
    vec![Command::who(&kernel.services), say_command(room), stop_command(kernel.stopper())]
}
// ANCHOR_END: commands
