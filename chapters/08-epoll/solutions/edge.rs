//! Exercise 08-edge: told only once.
//!
//! Chapter 6's echo again: whatever a visitor sends comes back, and never more than [`QUEUE`] bytes are
//! kept for it. This time everybody is put on the kernel's list once, edge-triggered, for reading and for
//! writing, and nothing is ever changed there. The price: what is told is told once. If a visitor has sent
//! more than we took, we aren't told of it again. We have to remember it, and to be fair.
//!
//! Run it:      cargo run -p ex08-epoll --bin ex08-edge      and, in a second terminal,
//!              nc 127.0.0.1 7008
//! Be graded:   cargo grade 8

#[cfg(target_os = "linux")]
fn main() {
    room::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("ex08-edge: this needs epoll, and so Linux");
    std::process::exit(1);
}

#[cfg(target_os = "linux")]
mod room {
    use std::collections::{BTreeMap, BTreeSet};
    use std::io::{self, ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};

    use nix::errno::Errno;
    use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

    use ch07_callbacks::program::{address_from_args, complain, listen_or_exit, log, raise_limit};

    const NAME: &str = "ex08-edge";
    const HELP: &str = "ex08-edge [ADDRESS]\n\nSends back what comes, byte for byte.
ADDRESS is 127.0.0.1:7008 where not given; port 0 means any free one.";
    /// How much is kept for a visitor, in bytes: one that doesn't read must not fill our memory.
    const QUEUE: usize = 64 * 1024;
    /// How much is read or written in one step, in bytes: the others want their turns too.
    const PIECE: usize = 4 * 1024;
    /// How many are told of in one turn, at the most.
    const AT_ONCE: usize = 64;
    /// The listener's number on the kernel's list. Visitors are numbered from 1.
    const DOOR: u64 = 0;

    struct Visitor {
        number: u64,
        /// In non-blocking mode.
        socket: TcpStream,
        /// What has come and hasn't been sent back yet, the oldest byte first: at most [`QUEUE`] bytes.
        queued: Vec<u8>,
        /// It has finished sending. What is queued still goes to it.
        finished: bool,
        /// There may be something to read: we were told so, and since then no read has said that there is nothing.
        may_read: bool,
        /// There may be room to send: we were told so, and since then no write has said that there is none.
        /// (A write that took only a part has found no more room either, and we'll be told when there is. You
        /// may count it as "not now", or leave that to the next write.)
        may_write: bool,
    }

    impl Visitor {
        /// Whether the next step would be worth trying. If not, we'll be told when it is.
        fn can_go_on(&self) -> bool {
            // your turn: say whether a step is worth trying before there is other news
            // hint: Two questions, and one yes is enough. May we read, and is there room for it in the queue, and
            //   has it not finished? May we write, and is there anything to be sent?
            let reads = self.may_read && !self.finished && self.queued.len() < QUEUE;
            let writes = self.may_write && !self.queued.is_empty();
            reads || writes
            // end
        }

        /// One step: one read, if that's worth trying, and one write, if that's worth trying, of at most PIECE
        /// bytes each.
        ///
        /// # Errors
        /// The connection is lost.
        fn step(&mut self) -> io::Result<()> {
            // your turn: read once and write once, where that's worth trying
            // hint: Only "not now" says that we'll be told again: `now`, further below, gives `None` for it. A read
            //   that has brought something, a full queue, a write that took everything say nothing of the kind:
            //   `may_read` and `may_write` stay as they are.
            // hint: The read must not take more than there is room for in the queue. And don't read when there's
            //   none at all: 0 bytes would look like the end.
            if self.may_read && !self.finished && self.queued.len() < QUEUE {
                let mut piece = [0; PIECE];
                let room = PIECE.min(QUEUE - self.queued.len());
                match now(|| self.socket.read(&mut piece[..room]))? {
                    None => self.may_read = false,
                    Some(0) => self.finished = true,
                    Some(count) => self.queued.extend_from_slice(&piece[..count]),
                }
            }
            if self.may_write && !self.queued.is_empty() {
                let piece = &self.queued[..PIECE.min(self.queued.len())];
                match now(|| self.socket.write(piece))? {
                    None => self.may_write = false,
                    Some(count) => drop(self.queued.drain(..count)),
                }
            }
            Ok(())
            // end
        }
    }

    /// One turn: hears the news, and takes one step with each who is on the `list`. Whoever can go on after
    /// that stays on it, and then the next turn doesn't wait for news.
    ///
    /// # Errors
    /// When the kernel can't wait.
    fn turn(room: &mut Room, list: &mut BTreeSet<u64>) -> io::Result<()> {
        // your turn: hear who has news, put them on the list, and go on with everybody who is on it
        // hint: `room.news` needs a time. With nobody on the list there is nothing to be done until somebody has
        //   news: EpollTimeout::NONE. Else it's only to look whether there are any: EpollTimeout::ZERO.
        // hint: Nearly the answer:
        //       turn:  let at_most = …;
        //              list.extend(room.news(at_most)?);
        //              list.retain(|number| room.goes_on(*number));
        //       step:  if self.may_read && … {
        //                  match now(|| self.socket.read(…))? { None => self.may_read = false, Some(0) => …, … }
        //              }
        //              if self.may_write && … { match now(|| self.socket.write(…))? { … } }
        let at_most = if list.is_empty() { EpollTimeout::NONE } else { EpollTimeout::ZERO };
        list.extend(room.news(at_most)?); // waits: until anybody has news, if nobody is on the list
        list.retain(|number| room.goes_on(*number));
        Ok(())
        // end
    }

    /// Everybody, by number.
    struct Room {
        kernel: Kernel,
        listener: TcpListener,
        /// No descriptor is left for anybody new: nobody is let in until somebody leaves.
        shut: bool,
        visitors: BTreeMap<u64, Visitor>,
        last: u64,
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
        let kernel = Kernel { list: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?, calls: 0 };
        let mut room = Room { kernel, listener, shut: true, visitors: BTreeMap::new(), last: 0 };
        room.open_the_door()?;
        let mut list = BTreeSet::new();
        loop {
            turn(&mut room, &mut list)?; // waits: for all of them
        }
    }

    impl Room {
        /// Waits at most so long for news, and says whom they are of: their `may_read` and `may_write` are
        /// set accordingly. Interrupted by a signal, that is nobody. (Lets newcomers in, too. The door stays
        /// level-triggered: one comes in, and the next one is told of in the next turn.)
        ///
        /// # Errors
        /// When the kernel can't wait.
        fn news(&mut self, at_most: EpollTimeout) -> io::Result<Vec<u64>> {
            let mut events = [EpollEvent::empty(); AT_ONCE];
            // waits: until anybody has something for us, or room for what we have for it
            let count = match self.kernel.list.wait(&mut events, at_most) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(error) => return Err(error.into()),
            };
            let mut told = Vec::new();
            for event in &events[..count] {
                if event.data() == DOOR {
                    self.let_in()?;
                } else if let Some(visitor) = self.visitors.get_mut(&event.data()) {
                    // A hang-up, or an error, is told by the read that looks for it.
                    visitor.may_read |= event.events() != EpollFlags::EPOLLOUT;
                    visitor.may_write |= event.events().intersects(EpollFlags::EPOLLOUT);
                    told.push(visitor.number);
                }
            }
            Ok(told)
        }

        /// One step with a visitor, if it's there still. Whether it can go on after that.
        fn goes_on(&mut self, number: u64) -> bool {
            let Some(visitor) = self.visitors.get_mut(&number) else { return false };
            match visitor.step() {
                Ok(()) if visitor.finished && visitor.queued.is_empty() => {
                    self.leaves(number, "got all back");
                }
                Ok(()) => return visitor.can_go_on(),
                Err(error) => self.leaves(number, &format!("lost: {error}")),
            }
            false
        }

        /// Lets somebody in, if anybody is there.
        fn let_in(&mut self) -> io::Result<()> {
            let number = self.last + 1;
            match now(|| self.listener.accept()).and_then(|new| self.welcome(number, new)) {
                Ok(()) => {}
                // Nobody is there who could leave: there will never be room.
                Err(error) if self.visitors.is_empty() => return Err(error),
                Err(error) => {
                    log(number, &format!("not let in: {error}"));
                    self.kernel.change(|list| list.delete(&self.listener))?;
                    self.shut = true;
                }
            }
            Ok(())
        }

        fn welcome<A>(&mut self, number: u64, new: Option<(TcpStream, A)>) -> io::Result<()> {
            let Some((socket, _)) = new else { return Ok(()) };
            socket.set_nonblocking(true)?;
            let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
            self.kernel.change(|list| list.add(&socket, EpollEvent::new(flags, number)))?;
            log(number, "is in");
            let (queued, finished) = (Vec::new(), false);
            let (may_read, may_write) = (false, false);
            let visitor = Visitor { number, socket, queued, finished, may_read, may_write };
            self.visitors.insert(number, visitor);
            self.last = number;
            Ok(())
        }

        fn leaves(&mut self, number: u64, why: &str) {
            let Some(visitor) = self.visitors.remove(&number) else { return };
            // Before it's closed, as ever. It fails only for one who isn't on the list.
            let _ = self.kernel.change(|list| list.delete(&visitor.socket));
            log(number, &format!("{why} ({} epoll_ctl calls so far)", self.kernel.calls));
            if let Err(error) = self.open_the_door() {
                log(number, &format!("left, and the door stays shut: {error}"));
            }
        }

        fn open_the_door(&mut self) -> io::Result<()> {
            if self.shut {
                let event = EpollEvent::new(EpollFlags::EPOLLIN, DOOR);
                self.kernel.change(|list| list.add(&self.listener, event))?;
                self.shut = false;
            }
            Ok(())
        }
    }

    /// The kernel's list, which counts the calls that change it.
    struct Kernel {
        list: Epoll,
        calls: usize,
    }

    impl Kernel {
        /// One call to `epoll_ctl`: `change(|list| list.add(…))`.
        fn change(&mut self, call: impl FnOnce(&Epoll) -> nix::Result<()>) -> nix::Result<()> {
            self.calls += 1;
            call(&self.list)
        }
    }

    /// The result of a call that refuses to wait; `None`: not now. What was interrupted is tried again: taken
    /// for "not now", it would be forgotten, for nobody tells us twice.
    fn now<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<Option<T>> {
        loop {
            match call() {
                Ok(value) => return Ok(Some(value)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
