//! What a program with all services says and does, besides serving.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;

use ch07_callbacks::EventLoop;
use ch07_callbacks::program::{complain, say};

use crate::console::Command;
use crate::options::Room;
use crate::presence::Services;
use crate::window;

/// Says where everything listens, a line for each; or says that it can't, and ends the program.
pub fn announce(program: &str, listening: &[(&str, SocketAddr)]) {
    let line = |(name, address): &(&str, SocketAddr)| format!("listening on {address} ({name})\n");
    let lines: String = listening.iter().map(line).collect();
    if let Err(error) = io::stdout().write_all(lines.as_bytes()) {
        complain(program, 1, &format!("can't tell where it listens: {error}"));
    }
}

/// Opens the window, or says why not.
pub fn open_window(event_loop: &mut EventLoop, services: &Services) {
    if let Err(error) = window::start(event_loop, Services::clone(services)) {
        say(&format!("no window: {error}; the rest goes on"));
    }
}

/// `say`: to all in the chat.
pub fn say_command(room: &Room) -> Command {
    let room = Rc::clone(room);
    Command::new("say", "TEXT", "says TEXT to all in the chat", move |event_loop, text| {
        match room.get() {
            Some(chat) => chat.say(event_loop, text),
            None => return "there is no chat: start it with --chat\n".to_owned(),
        }
        String::new()
    })
}

/// `stop`: ends the program.
pub fn stop_command(stop: impl Fn(&mut EventLoop) + 'static) -> Command {
    Command::new("stop", "", "ends the program; twice: at once", move |event_loop, _| {
        stop(event_loop);
        String::new()
    })
}
