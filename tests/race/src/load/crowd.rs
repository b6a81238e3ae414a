//! The crowd: very many who connect, say nothing, and stay.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ch07_callbacks::{Ending, EventLoop, Token};

use super::visits::{Pace, Visits, visit};

/// So many knock at the same time: a server's queue has room for 128 at least, and who doesn't fit is turned away by
/// the kernel, and tries again only after a second (listen(2), tcp(7)).
const AT_THE_DOOR: usize = 64;

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
    /// Hung up on, refused, or sent away.
    lost: Cell<usize>,
    /// Why, the last time.
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
            let pace = Pace::Closed { at_once: 1, a_second: Some(1) };
            let lasting = Duration::from_millis(1);
            let one = Visits { pace, lasting, patience, ..asks.clone() };
            if visit(event_loop, one)?.unanswered > 0 {
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
            door.lost.set(door.lost.get() + 1);
            let why = match ending {
                Ending::Failed(error) => error.to_string(),
                _ => "hung up on".to_owned(),
            };
            door.why.borrow_mut().get_or_insert(why);
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

    /// All go. (Call it when the server has ended: who hangs up first keeps the port for a minute, and there are some
    /// 28,000 of them.)
    ///
    /// # Errors
    /// Those of the loop.
    pub fn leave(self, event_loop: &mut EventLoop) -> io::Result<()> {
        for member in self.members {
            event_loop.close(member);
        }
        event_loop.turn(Some(Duration::ZERO)).map(drop)
    }
}
