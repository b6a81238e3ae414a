//! Exercise 08-list: a list that the kernel keeps.
//!
//! This program is an office with a waiting room. It sends each line back, and knows three orders: `wait`
//! takes a visitor into the waiting room, where nothing that it says is read; `next` calls the one who
//! has been there for the longest time; `calls` tells how often `epoll_ctl` was called.
//!
//! Before each wait the loop says of everybody who had a turn what is to be waited for, changed or not. You
//! turn that into the calls that are needed, and wait. The rules are on the book's page.
//!
//! Run it:      cargo run -p ex08-epoll --bin ex08-list      and, in two more terminals,
//!              nc 127.0.0.1 7008
//! Be graded:   cargo grade 8

#[cfg(target_os = "linux")]
fn main() {
    office::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("ex08-list: this needs epoll, and so Linux");
    std::process::exit(1);
}

#[cfg(target_os = "linux")]
mod office {
    use std::collections::{HashMap, VecDeque};
    use std::io::{self, Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::{AsFd, BorrowedFd};

    use nix::errno::Errno;
    use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

    use ch07_callbacks::program::{address_from_args, complain, listen_or_exit, log, raise_limit};
    use ch07_callbacks::slots::Slots;
    use ch07_callbacks::{Interest, Token, now};

    const NAME: &str = "ex08-list";
    const HELP: &str =
        "ex08-list [ADDRESS]\n\nSends lines back. It knows `wait`, `next` and `calls`.
ADDRESS is 127.0.0.1:7008 where not given; port 0 means any free one.";
    /// For how many there is room when the kernel reports who is ready.
    const AT_ONCE: usize = 64;
    /// With so much to be sent to a visitor, in bytes, no more is read from it.
    const QUEUE: usize = 64 * 1024;
    /// The longest line, in bytes; a longer one counts as several. A visitor must not fill our memory.
    const LONGEST: usize = 8 * 1024;
    /// Of how many who have left there is still something.
    const LATELY: usize = 16;

    /// What waits, and for whom.
    struct List {
        kernel: Kernel,
        /// What the kernel was last told of each who is on its list. Nobody else is in here.
        told: HashMap<Token, Interest>,
    }

    impl List {
        /// From now on, `interest` is what to wait for on `descriptor`. This is called before each wait for
        /// everybody who may have changed, and so most often it's the same as before. For those who leave
        /// it's called with an interest in nothing, before their descriptors are closed.
        ///
        /// # Errors
        /// When the kernel refuses. The visitor is lost then.
        fn want(
            &mut self,
            token: Token,
            descriptor: BorrowedFd<'_>,
            interest: Interest,
        ) -> io::Result<()> {
            // your turn: tell the kernel what is new, in one call, or in none if nothing is
            // hint: What the kernel was last told of this one is in `told`. If it isn't in there, it's not on the
            //   kernel's list, which is the same as Interest::NONE. Compare that with `interest` first. From nothing
            //   to something, `self.kernel.add`; from something to nothing, `delete`; else `modify`. Then write
            //   into `told` what you have told.
            // hint: An `EpollEvent::new(flags, data)` is what you ask about, and a number that comes back with
            //   the news. `token.to_bits()` is one that no other visitor ever has; a descriptor is given again.
            //   Ask about EPOLLIN if interest.read, about EPOLLOUT if interest.write, and about nothing else.
            // hint: Don't tell the kernel "nothing" by `modify`: whoever is on its list is reported when it
            //   hangs up, asked for or not, in each turn, even when our descriptor is closed and somebody has a
            //   duplicate of it. Take it off.
            let from = self.told.get(&token).copied().unwrap_or(Interest::NONE);
            let mut flags = EpollFlags::empty();
            flags.set(EpollFlags::EPOLLIN, interest.read);
            flags.set(EpollFlags::EPOLLOUT, interest.write);
            let event = EpollEvent::new(flags, token.to_bits());
            match (from, interest) {
                _ if from == interest => return Ok(()),
                (Interest::NONE, _) => self.kernel.add(descriptor, event)?,
                (_, Interest::NONE) => self.kernel.delete(descriptor)?,
                _ => self.kernel.modify(descriptor, event)?,
            }
            if interest == Interest::NONE {
                self.told.remove(&token);
            } else {
                self.told.insert(token, interest);
            }
            Ok(())
            // end
        }

        /// Waits, however long it takes, until somebody is ready, and says who: at most AT_ONCE. If a signal
        /// interrupts it, that is nobody.
        ///
        /// # Errors
        /// When the kernel can't wait.
        fn wait(&mut self) -> io::Result<Vec<Token>> {
            // your turn: wait in `self.kernel.wait`, and give the tokens of those who are ready
            // hint: Make room for AT_ONCE events: `[EpollEvent::empty(); AT_ONCE]`. The call says how many it has
            //   filled in. If more are ready, they come in the next turn. With `EpollTimeout::NONE` it waits
            //   for as long as it takes.
            // hint: Nearly the answer:
            //       want:  let from = self.told.get(&token).copied().unwrap_or(Interest::NONE);
            //              … flags.set(EpollFlags::EPOLLIN, interest.read); …
            //              match (from, interest) {
            //                  _ if from == interest => return Ok(()),
            //                  (Interest::NONE, _) => self.kernel.add(…)?,  …
            //              }
            //              … told.remove(&token), or told.insert(token, interest) …
            //       wait:  let count = match self.kernel.wait(&mut events, EpollTimeout::NONE) {
            //                  Ok(count) => count,
            //                  Err(Errno::EINTR) => …          // nobody was reported
            //                  Err(error) => return Err(error.into()),
            //              };
            //              … events[..count] … Token::from_bits(event.data()) … collect()
            let mut events = [EpollEvent::empty(); AT_ONCE];
            // waits: until anybody at all has something for us, or room for what we have for it
            let count = match self.kernel.wait(&mut events, EpollTimeout::NONE) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(error) => return Err(error.into()),
            };
            Ok(events[..count].iter().map(|event| Token::from_bits(event.data())).collect())
            // end
        }
    }

    /// The kernel's list, which counts the calls that change it.
    struct Kernel {
        list: Epoll,
        added: usize,
        changed: usize,
        deleted: usize,
    }

    impl Kernel {
        /// Puts a descriptor on the list. One that is there already is refused (EEXIST).
        fn add(&mut self, descriptor: BorrowedFd<'_>, event: EpollEvent) -> nix::Result<()> {
            self.added += 1;
            self.list.add(descriptor, event)
        }

        /// Asks about something else. A descriptor that isn't on the list is refused (ENOENT).
        fn modify(&mut self, descriptor: BorrowedFd<'_>, mut event: EpollEvent) -> nix::Result<()> {
            self.changed += 1;
            self.list.modify(descriptor, &mut event)
        }

        /// Takes a descriptor off the list. One that isn't there is refused (ENOENT).
        fn delete(&mut self, descriptor: BorrowedFd<'_>) -> nix::Result<()> {
            self.deleted += 1;
            self.list.delete(descriptor)
        }

        /// Waits until somebody is ready, fills in who, and says how many.
        fn wait(&self, events: &mut [EpollEvent], at_most: EpollTimeout) -> nix::Result<usize> {
            self.list.wait(events, at_most) // waits: for all who are on the list
        }
    }

    /// Everybody, and where they are.
    struct Office {
        list: List,
        listener: TcpListener,
        /// No descriptor is left for anybody new: nobody is let in until somebody leaves.
        shut: bool,
        visitors: Slots<Visitor>,
        /// Who has been in the waiting room for the longest time comes first.
        waiting: VecDeque<Token>,
        /// Those who had a turn since the last wait. Only they can have changed.
        touched: Vec<Token>,
        /// The sockets of those who have left: duplicates, as a log may have them, or a child process.
        lately: VecDeque<TcpStream>,
        last: u64,
    }

    struct Visitor {
        number: u64,
        /// In non-blocking mode.
        socket: TcpStream,
        /// What has come, and hasn't been heard yet.
        said: Vec<u8>,
        /// What is to be sent, the oldest byte first.
        queued: Vec<u8>,
        /// It's in the waiting room.
        waits: bool,
        /// It has finished sending.
        finished: bool,
    }

    pub fn main() {
        let address = address_from_args(NAME, HELP, "127.0.0.1:7008");
        let listener = listen_or_exit(NAME, address);
        raise_limit();
        if let Err(error) = serve(listener) {
            complain(NAME, 1, &format!("can't go on: {error}"));
        }
    }

    fn serve(listener: TcpListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let list = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let kernel = Kernel { list, added: 0, changed: 0, deleted: 0 };
        let mut office = Office {
            list: List { kernel, told: HashMap::new() },
            listener,
            shut: false,
            visitors: Slots::default(),
            waiting: VecDeque::new(),
            touched: Vec::new(),
            lately: VecDeque::new(),
            last: 0,
        };
        loop {
            office.say_what_is_wanted()?;
            // waits: until anybody at all has something for us, or room for what we have for it
            for token in office.list.wait()? {
                if token == door() { office.let_in()? } else { office.turn_of(token) }
            }
        }
    }

    /// The listener's token: no visitor ever has it.
    fn door() -> Token {
        Token::from_bits(u64::MAX)
    }

    impl Office {
        /// Says it of everybody who had a turn, after all that could be done was done, and of the door.
        fn say_what_is_wanted(&mut self) -> io::Result<()> {
            while let Some(token) = self.touched.pop() {
                self.obey(token);
                let Some(visitor) = self.visitors.get_mut(token) else { continue };
                let done = visitor.flush().and_then(|()| {
                    self.list.want(token, visitor.socket.as_fd(), visitor.interest())
                });
                match done {
                    Ok(()) if visitor.is_over() => self.leaves(token, "has left"),
                    Ok(()) => {}
                    Err(error) => self.leaves(token, &format!("lost: {error}")),
                }
            }
            // Last: somebody may just have left, and that opens it.
            let for_door = if self.shut { Interest::NONE } else { Interest::READ };
            self.list.want(door(), self.listener.as_fd(), for_door)
        }

        /// Lets somebody in, if anybody is there.
        fn let_in(&mut self) -> io::Result<()> {
            match now(self.listener.accept()) {
                Ok(None) => {}
                Ok(Some((socket, from))) => {
                    socket.set_nonblocking(true)?;
                    self.last += 1;
                    log(self.last, &format!("connected from {from}"));
                    let visitor = Visitor {
                        number: self.last,
                        socket,
                        said: Vec::new(),
                        queued: Vec::new(),
                        waits: false,
                        finished: false,
                    };
                    self.touched.push(self.visitors.insert(visitor));
                }
                // That makes room, and whoever is at the door is told of again in the next turn.
                Err(_) if !self.lately.is_empty() => self.lately.clear(),
                // Nobody is there who could leave: there will never be room.
                Err(error) if self.visitors.iter().next().is_none() => return Err(error),
                Err(error) => {
                    log(self.last + 1, &format!("not let in: {error}"));
                    self.shut = true;
                }
            }
            Ok(())
        }

        /// A visitor has something for us, or room for what we have for it.
        fn turn_of(&mut self, token: Token) {
            // Whoever has left in this turn is meant no more.
            let Some(visitor) = self.visitors.get_mut(token) else { return };
            self.touched.push(token);
            if let Err(error) = visitor.receive() {
                self.leaves(token, &format!("lost: {error}"));
            }
        }

        /// Does what a visitor has said, line by line, unless it's in the waiting room.
        fn obey(&mut self, token: Token) {
            while let Some(visitor) = self.visitors.get_mut(token)
                && let Some(line) = visitor.next_line()
            {
                let Kernel { added, changed, deleted, .. } = self.list.kernel;
                match line.as_slice() {
                    b"calls\n" => visitor.queued.extend_from_slice(
                        format!("{added} added, {changed} changed, {deleted} deleted\n").as_bytes(),
                    ),
                    b"wait\n" => {
                        visitor.waits = true;
                        self.waiting.push_back(token);
                    }
                    b"next\n" => self.call_next(token),
                    line => visitor.queued.extend_from_slice(line),
                }
            }
        }

        fn call_next(&mut self, caller: Token) {
            let next = self.waiting.pop_front();
            if let Some(visitor) = next.and_then(|next| self.visitors.get_mut(next)) {
                visitor.waits = false;
                visitor.queued.extend_from_slice(b"your turn\n");
            }
            self.touched.extend(next);
            if let Some(caller) = self.visitors.get_mut(caller) {
                let answer: &[u8] = if next.is_some() { b"called\n" } else { b"nobody waits\n" };
                caller.queued.extend_from_slice(answer);
            }
        }

        fn leaves(&mut self, token: Token, why: &str) {
            let Some(visitor) = self.visitors.remove(token) else { return };
            log(visitor.number, why);
            self.waiting.retain(|waiting| *waiting != token);
            // Before it's closed: as long as there is a duplicate, the kernel would go on reporting it.
            if let Err(error) = self.list.want(token, visitor.socket.as_fd(), Interest::NONE) {
                log(visitor.number, &format!("can't be taken off the list: {error}"));
            }
            // With a duplicate somewhere, closing our descriptor isn't goodbye. (To one who is gone
            // it can't be said.)
            let _ = visitor.socket.shutdown(Shutdown::Both);
            self.lately.extend(visitor.socket.try_clone());
            if self.lately.len() > LATELY {
                self.lately.pop_front();
            }
            self.shut = false;
        }
    }

    impl Visitor {
        /// What it's to be waited for now. In the waiting room that is nothing at all.
        fn interest(&self) -> Interest {
            let read = !self.waits && !self.finished && self.queued.len() < QUEUE;
            Interest { read, write: !self.queued.is_empty() }
        }

        /// One read, if it may be read.
        fn receive(&mut self) -> io::Result<()> {
            let mut piece = [0; 4096];
            if self.interest().read
                && let Some(count) = now(self.socket.read(&mut piece))?
            {
                self.finished = count == 0;
                self.said.extend_from_slice(&piece[..count]);
            }
            Ok(())
        }

        /// The next line that it has said, if it's whole, and it's time to hear it.
        fn next_line(&mut self) -> Option<Vec<u8>> {
            let end = self.said.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let end = end.or((self.said.len() >= LONGEST).then_some(LONGEST))?;
            (!self.waits).then(|| self.said.drain(..end).collect())
        }

        /// One write, if there is anything to be sent.
        fn flush(&mut self) -> io::Result<()> {
            if !self.queued.is_empty() {
                let sent = now(self.socket.write(&self.queued))?.unwrap_or(0);
                self.queued.drain(..sent);
            }
            Ok(())
        }

        fn is_over(&self) -> bool {
            self.finished && !self.waits && self.queued.is_empty()
        }
    }
}
