//! The crowd: very many who connect, say nothing, and stay.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ch07_callbacks::{Ending, EventLoop, Token};

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

    /// More come, until there have been so many. It's waited for them as long as `patience` lasts and nobody gets in.
    ///
    /// # Errors
    /// When the load itself can't go on.
    pub fn grow(
        &mut self,
        event_loop: &mut EventLoop,
        size: usize,
        patience: Duration,
    ) -> io::Result<()> {
        let (mut seen, mut last) = (self.progress(), Instant::now());
        loop {
            while self.members.len() < size && self.door.knocking.get() < AT_THE_DOOR {
                self.knock(event_loop)?;
            }
            let all_came = self.members.len() >= size;
            if all_came && self.door.knocking.get() == 0 {
                return Ok(());
            }
            if self.progress() != seen {
                (seen, last) = (self.progress(), Instant::now());
            } else if last.elapsed() >= patience {
                return self.give_up(event_loop);
            }
            event_loop.turn(Some(patience.saturating_sub(last.elapsed())))?;
        }
    }

    fn progress(&self) -> (usize, usize) {
        (self.door.inside.get(), self.door.lost.get())
    }

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

    /// Nobody gets in any more: those who knock go home.
    fn give_up(&mut self, event_loop: &mut EventLoop) -> io::Result<()> {
        self.door.why.replace(Some("not let in".to_owned()));
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
