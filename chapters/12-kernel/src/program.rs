//! What a program with all services says and does, besides serving.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;

use ch07_callbacks::program::say;
use ch07_callbacks::{EventLoop, Token};

use crate::console::Command;
use crate::options::Room;
use crate::presence::Services;
use crate::window;

/// Says where everything listens, a line for each.
///
/// # Errors
/// When it can't.
pub fn announce(listening: &[(&str, SocketAddr)]) -> io::Result<()> {
    let line = |(name, address): &(&str, SocketAddr)| format!("listening on {address} ({name})\n");
    let lines: String = listening.iter().map(line).collect();
    io::stdout().write_all(lines.as_bytes()).map_err(|error| {
        io::Error::new(error.kind(), format!("can't tell where it listens: {error}"))
    })
}

/// Opens the window, or says why not.
pub fn open_window(event_loop: &mut EventLoop, services: &Services) -> Option<Token> {
    match window::start(event_loop, Services::clone(services)) {
        Ok(window) => Some(window),
        Err(error) => {
            say(&format!("no window: {error}; the rest goes on"));
            None
        }
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
