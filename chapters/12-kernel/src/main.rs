//! Chapter 12's program: six protocols, one loop, one line that waits.

mod options;

use std::io::{self, Write};
use std::rc::Rc;

use ch07_callbacks::program::{complain, say};
use ch12_kernel::console::{self, Command};
use ch12_kernel::kernel::{self, Kernel, Opened};
use ch12_kernel::window;

use options::{NAME, Options, Room};

fn main() {
    let options = Options::from_args();
    let (with_console, with_window) = (options.console, options.window);
    let room = Room::default();
    let opened = kernel::open(options.table(Rc::clone(&room))).unwrap_or_else(|wrong| {
        complain(NAME, 1, &wrong.join(&format!("\n{NAME}: ")));
    });
    let listening = listening(&opened);
    let done = Kernel::start(opened).and_then(|mut kernel| {
        if with_window {
            open_window(&mut kernel);
        }
        kernel.hear_signals()?;
        announce(&listening);
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

/// Where everything listens, a line for each.
fn listening(opened: &[(&str, Opened)]) -> String {
    let line = |(name, Opened { address, .. }): &(&str, Opened)| {
        format!("listening on {address} ({name})\n")
    };
    opened.iter().map(line).collect()
}

fn announce(listening: &str) {
    if let Err(error) = io::stdout().write_all(listening.as_bytes()) {
        complain(NAME, 1, &format!("can't tell where it listens: {error}"));
    }
}

fn open_window(kernel: &mut Kernel) {
    let services = Rc::clone(&kernel.services);
    if let Err(error) = window::start(&mut kernel.event_loop, services) {
        say(&format!("no window: {error}; the rest goes on"));
    }
}

// ANCHOR: commands
/// What can be typed at the console.
fn commands(kernel: &Kernel, room: &Room) -> Vec<Command> {
    let (stop, room) = (kernel.stopper(), Rc::clone(room));
    vec![
        Command::who(&kernel.services),
        Command::new("say", "TEXT", "says TEXT to all in the chat", move |event_loop, text| {
            match room.get() {
                Some(chat) => chat.say(event_loop, text),
                None => return "there is no chat: start it with --chat\n".to_owned(),
            }
            String::new()
        }),
        Command::new("stop", "", "ends the program; twice: at once", move |event_loop, _| {
            stop(event_loop);
            String::new()
        }),
    ]
}
// ANCHOR_END: commands
