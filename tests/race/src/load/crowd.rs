//! The crowd: very many who connect, say nothing, and stay.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ch07_callbacks::{Connection, Ending, EventLoop, Token};
use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};

use super::visits::{Visits, visit};
use crate::result::Pace;

/// So many knock at the same time: the queues of most servers have room for 128. Who doesn't fit is turned away by the
/// kernel, and tries again only after a second (listen(2), tcp(7)).
pub const AT_THE_DOOR: usize = 100;

/// One request, at once.
const ONE: (Pace, Duration) = (Pace::Open { a_second: 1_000_000 }, Duration::from_micros(1));

/// All of them.
pub struct Crowd {
    address: SocketAddr,
    door: Rc<Door>,
    members: Vec<Token>,
}

/// What its members have told.
#[derive(Default)]
struct Door {
    /// They have begun to connect.
    knocking: Cell<usize>,
    inside: Cell<usize>,
    /// Why somebody isn't there, or not any more: the last reason.
    why: RefCell<Option<String>>,
}

impl Crowd {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, door: Rc::default(), members: Vec::new() }
    }

    /// How many are inside at this moment, as far as they know: who is connected may still wait for being accepted.
    pub fn inside(&self) -> usize {
        self.door.inside.get()
    }

    /// Why somebody isn't.
    pub fn why(&self) -> Option<String> {
        self.door.why.borrow().clone()
    }

    // ANCHOR: grow
    /// More come, until there have been so many: some at a time, and then
    /// somebody who asks. When that one is answered, those before it have
    /// been let in. Nobody is waited for longer than `patience`.
    ///
    /// # Errors
    /// When the load itself can't go on.
    pub fn grow(
        &mut self,
        event_loop: &mut EventLoop,
        size: usize,
        asks: &Visits,
        patience: Duration,
    ) -> io::Result<()> {
        while self.members.len() < size {
            let some = AT_THE_DOOR.min(size - self.members.len());
            for _ in 0..some {
                self.knock(event_loop)?;
            }
            let began = Instant::now();
            while self.door.knocking.get() > 0 {
                let Some(left) = patience.checked_sub(began.elapsed()) else {
                    return self.give_up(event_loop, "not let in");
                };
                event_loop.turn(Some(left))?;
            }
            let (pace, lasting) = ONE;
            let one = visit(event_loop, Visits { pace, lasting, patience, ..asks.clone() })?;
            // Who is sent away has been heard.
            if one.answered + one.wrong + one.hung_up == 0 {
                return self.give_up(event_loop, "nobody is answered any more");
            }
        }
        Ok(())
    }
    // ANCHOR_END: grow

    fn knock(&mut self, event_loop: &mut EventLoop) -> io::Result<()> {
        let member = event_loop.connect(self.address)?;
        self.members.push(member);
        let is_inside = Rc::new(Cell::new(false));
        self.door.knocking.set(self.door.knocking.get() + 1);
        let (door, in_now) = (Rc::clone(&self.door), Rc::clone(&is_inside));
        event_loop.set_write_callback(member, move |_, _| {
            if !in_now.replace(true) {
                door.knocking.set(door.knocking.get() - 1);
                door.inside.set(door.inside.get() + 1);
            }
        });
        let door = Rc::clone(&self.door);
        event_loop.set_read_callback(member, move |event_loop, me, input| {
            // A word before the end says why: a status.
            let text = String::from_utf8_lossy(&input.bytes);
            if let Some(line) = text.lines().next().filter(|line| !line.is_empty()) {
                *door.why.borrow_mut() = Some(format!("sent away: {line}"));
            }
            event_loop.close(me);
        });
        let door = Rc::clone(&self.door);
        event_loop.set_close_callback(member, move |_, _, ending| {
            let count = if is_inside.get() { &door.inside } else { &door.knocking };
            count.set(count.get() - 1);
            let mut why = door.why.borrow_mut();
            match ending {
                Ending::Failed(error) => *why = Some(error.to_string()),
                // What it has said before says more.
                _ => _ = why.get_or_insert_with(|| "hung up on".to_owned()),
            }
        });
        Ok(())
    }

    /// Those who still knock go home.
    fn give_up(&mut self, event_loop: &mut EventLoop, why: &str) -> io::Result<()> {
        self.door.why.replace(Some(why.to_owned()));
        while self.door.knocking.get() > 0 {
            // They are the last who came, and some of them may be inside.
            let Some(member) = self.members.pop() else { break };
            event_loop.close(member);
            event_loop.turn(Some(Duration::ZERO))?;
        }
        Ok(())
    }

    /// All go, without a goodbye: who hangs up first keeps the port for a minute otherwise, and there are some 28,000 of
    /// them (SO_LINGER, socket(7)).
    ///
    /// # Errors
    /// Those of the loop.
    pub fn leave(self, event_loop: &mut EventLoop) -> io::Result<()> {
        let at_once = linger { l_onoff: 1, l_linger: 0 };
        for member in self.members {
            if let Some((socket, _)) = event_loop.get(member).and_then(Connection::parts) {
                // Where it can't be had, they keep their ports.
                let _ = setsockopt(&socket, sockopt::Linger, &at_once);
            }
            event_loop.close(member);
        }
        event_loop.turn(Some(Duration::ZERO)).map(drop)
    }
}
