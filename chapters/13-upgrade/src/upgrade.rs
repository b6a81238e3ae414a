//! The old program's side: it starts the new one, hands over all that it has, and ends; or goes
//! on as if nothing had been.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ch07_callbacks::{EventLoop, Interest, Source, Token};
use ch09_timers::{Timer, Timers};

use crate::channel::{Channel, MOST_DESCRIPTORS};
use crate::command::take_over;
use crate::in_place;
use crate::message::Message;
use crate::peer::Peer;
use crate::state::{self, Outgoing, VERSION};

/// How long the new program may take to say hello. Until then we serve.
const TO_START: Duration = Duration::from_secs(10);
/// How long it may take then, twice: to receive all and be ready, and to begin. Nobody is served
/// meanwhile.
const TO_TAKE_OVER: Duration = Duration::from_secs(2);
/// How often we look whether what can't be handed over now can be, and for how long.
const TRY_EVERY: Duration = Duration::from_millis(20);
const TO_SETTLE: Duration = Duration::from_secs(5);
/// How often we look whether a program that said nothing more has ended, and how many times.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const LOOKS: u32 = 20;

/// What is handed over: puts it behind what is in the [`Outgoing`], and gives it on. It's called
/// again a little later if it says that it would have to wait.
pub type Gather = Box<dyn Fn(&mut EventLoop, Outgoing<'_>, Give<'_>) -> io::Result<()>>;
/// Takes what was gathered, and returns when the new program has it, or doesn't want it.
pub type Give<'g> = &'g mut dyn FnMut(Outgoing<'_>) -> io::Result<()>;

/// What a program is replaced by.
#[derive(Clone, Debug)]
pub struct Program {
    pub file: PathBuf,
    pub arguments: Vec<OsString>,
    pub way: Way,
    /// It's replaced whenever that file is.
    pub is_watched: bool,
}

/// How this program is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By a child, which may fail.
    ByChild,
    /// It becomes the other one. That mustn't fail.
    InPlace,
}

/// What has become of what was gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This process has it.
    Taken(u32),
    /// It's still ours.
    Ours,
    /// The same; and a moment later it's tried again.
    Later,
}

type Over = Box<dyn Fn(&mut EventLoop, Outcome)>;

/// Tells whoever has asked for an upgrade what has become of it, in one line.
pub type Tell = Rc<dyn Fn(&mut EventLoop, Outcome, &str)>;

/// What replaces this program. Clones are the same.
#[derive(Clone)]
pub struct Upgrade(Rc<Inner>);

struct Inner {
    timers: Timers,
    program: Program,
    generation: u64,
    gather: Gather,
    over: Over,
    successor: RefCell<Option<Child>>,
    /// While the new program hasn't said a word: the channel to it, and when it's too late.
    hello: Cell<Option<(Token, Timer)>>,
    /// While it's tried again and again.
    again: Cell<Option<Timer>>,
    tell: RefCell<Option<Tell>>,
}

impl Upgrade {
    /// `gather` gives what is to be handed over. From then on it must not be touched, until `over`
    /// is called.
    pub fn new(
        timers: Timers,
        program: Program,
        generation: u64,
        gather: Gather,
        over: impl Fn(&mut EventLoop, Outcome) + 'static,
    ) -> Self {
        Self(Rc::new(Inner {
            timers,
            program,
            generation,
            gather,
            over: Box::new(over),
            successor: RefCell::default(),
            hello: Cell::default(),
            again: Cell::default(),
            tell: RefCell::default(),
        }))
    }

    /// Starts the new program. All else follows when it has said hello. `tell` is called once.
    pub fn begin(&self, event_loop: &mut EventLoop, tell: Tell) {
        if self.0.successor.borrow().is_some() {
            let line = "an upgrade is under way: ask again when it has ended";
            return tell(event_loop, Outcome::Ours, line);
        }
        self.0.tell.replace(Some(tell));
        let begun = match self.0.program.way {
            Way::ByChild => self.start(event_loop),
            Way::InPlace => self.become_it(event_loop),
        };
        if let Err(error) = begun {
            let program = self.0.program.file.display();
            self.tell_failure(event_loop, &format!("can't run {program}: {error}"));
        }
    }

    fn tell(&self, event_loop: &mut EventLoop, outcome: Outcome, line: &str) {
        if let Some(tell) = self.0.tell.take() {
            tell(event_loop, outcome, line);
        }
    }

    fn tell_failure(&self, event_loop: &mut EventLoop, why: &str) {
        let generation = self.0.generation;
        let line = format!("not replaced: {why}; generation {generation} goes on");
        self.tell(event_loop, Outcome::Ours, &line);
    }

    /// The short way. It comes back only if it fails.
    fn become_it(&self, event_loop: &mut EventLoop) -> io::Result<()> {
        let Inner { program: Program { file, arguments, .. }, generation, gather, over, .. } =
            &*self.0;
        let stdin = io::stdin();
        let mut state = Outgoing::default();
        state.descriptor(stdin.as_fd());
        let become_it =
            &mut |state: Outgoing<'_>| in_place::become_it(file, arguments, *generation, state);
        let failed = gather(event_loop, state, become_it);
        over(event_loop, Outcome::Ours);
        failed
    }

    /// Whatever is under way comes to nothing.
    pub fn cancel(&self, event_loop: &mut EventLoop, why: &str) {
        self.give_up(event_loop, why);
    }

    fn start(&self, event_loop: &mut EventLoop) -> io::Result<()> {
        let (ours, theirs) = Channel::pair()?;
        let Program { file, arguments, .. } = &self.0.program;
        let mut command = take_over(file, arguments);
        // waits: until that one runs its own program. Until then the two
        // share one memory
        let child = command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?;
        self.0.successor.replace(Some(child));
        let channel = Rc::new(ours);
        let (hears, late) = (self.clone(), self.clone());
        let of_channel = Rc::clone(&channel);
        let token = event_loop.add(Hearing(channel), move |event_loop, _, _| {
            hears.hear(event_loop, &of_channel);
            Ok(())
        });
        let timer = self.0.timers.after(event_loop, TO_START, move |event_loop| {
            late.forget_hello(event_loop);
            late.give_up(event_loop, &format!("it said nothing for {} s", TO_START.as_secs()));
        });
        self.0.hello.set(Some((token, timer)));
        Ok(())
    }

    /// The new program says hello, or is gone.
    fn hear(&self, event_loop: &mut EventLoop, channel: &Rc<Channel>) {
        let packet = match channel.receive() {
            Ok(None) => return,
            Ok(Some(packet)) => packet,
            Err(error) => return self.give_up(event_loop, &error.to_string()),
        };
        self.forget_hello(event_loop);
        if packet.bytes.is_empty() {
            return self.has_ended(event_loop, LOOKS);
        }
        let (pid, oldest, newest) = match Message::from_bytes(&packet.bytes) {
            Ok(Message::Hello { pid, oldest, newest }) => (pid, oldest, newest),
            Ok(Message::Refused(why)) => return self.give_up(event_loop, &why),
            Ok(_) | Err(_) => return self.give_up(event_loop, "it doesn't say hello"),
        };
        let started = self.0.successor.borrow().as_ref().map(|child| u64::from(child.id()));
        if started != Some(pid) {
            // We couldn't kill it.
            let why =
                format!("process {pid} isn't the one that was started: a script must exec it");
            return self.give_up(event_loop, &why);
        }
        if !(oldest..=newest).contains(&VERSION) {
            let why = format!(
                "it reads the versions {oldest} to {newest} of the state, and this is {VERSION}"
            );
            return self.give_up(event_loop, &why);
        }
        self.replace(event_loop, channel, TO_SETTLE);
    }

    /// It's there, and reads what we write. Now, or as soon as there is nothing any more that can't
    /// be handed over.
    fn replace(&self, event_loop: &mut EventLoop, channel: &Rc<Channel>, patience: Duration) {
        self.0.again.take();
        let began = Instant::now();
        let peer = Peer::new(Rc::clone(channel), TO_TAKE_OVER);
        let why = match peer.and_then(|mut peer| self.hand_over(event_loop, &mut peer)) {
            Ok(()) => return self.succeeded(event_loop, began.elapsed()),
            Err(why) => why,
        };
        if why.kind() == ErrorKind::WouldBlock && !patience.is_zero() {
            (self.0.over)(event_loop, Outcome::Later);
            let (again, channel) = (self.clone(), Rc::clone(channel));
            let patience = patience.saturating_sub(TRY_EVERY);
            let timer = self.0.timers.after(event_loop, TRY_EVERY, move |event_loop| {
                again.replace(event_loop, &channel, patience);
            });
            return self.0.again.set(Some(timer));
        }
        // Whatever it does: it must not begin now.
        self.kill();
        (self.0.over)(event_loop, Outcome::Ours);
        self.give_up(event_loop, &why.to_string());
    }

    fn forget_hello(&self, event_loop: &mut EventLoop) {
        if let Some((token, timer)) = self.0.hello.take() {
            event_loop.close(token);
            self.0.timers.cancel(event_loop, timer);
        }
    }

    // ANCHOR: hand_over
    /// From here on nobody is served, until the new program serves them,
    /// or we do again.
    fn hand_over(&self, event_loop: &mut EventLoop, peer: &mut Peer) -> io::Result<()> {
        let stdin = io::stdin();
        let mut state = Outgoing::default();
        state.descriptor(stdin.as_fd());
        let give = &mut |state: Outgoing<'_>| self.send(peer, state);
        let gathered = (self.0.gather)(event_loop, state, give);
        self.explain(gathered, peer, "it was ready")?;
        self.expect(peer, &Message::Ready, "it was ready")?;
        peer.allow(TO_TAKE_OVER);
        let told = peer.send(&Message::Go, &[]);
        self.explain(told, peer, "it served")?;
        self.expect(peer, &Message::Serving, "it served")
    }
    // ANCHOR_END: hand_over

    fn expect(&self, peer: &mut Peer, wanted: &Message, until: &str) -> io::Result<()> {
        let received = match peer.receive() {
            Ok(Some((message, _))) if message == *wanted => Ok(()),
            Ok(Some((Message::Refused(why), _))) => Err(io::Error::other(why)),
            Ok(Some(_)) => Err(io::Error::other("it doesn't say what it should")),
            Ok(None) => Err(ErrorKind::BrokenPipe.into()),
            Err(error) => Err(error),
        };
        self.explain(received, peer, until)
    }

    /// What of an error is the new program's doing, in words.
    fn explain(&self, said: io::Result<()>, peer: &mut Peer, until: &str) -> io::Result<()> {
        said.map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => io::Error::other(self.how_it_ended(peer, until)),
            ErrorKind::TimedOut => {
                let time = TO_TAKE_OVER.as_secs();
                io::Error::other(format!("it took longer than {time} s until {until}"))
            }
            _ => error,
        })
    }

    /// It has hung up. As a rule it's about to end.
    fn how_it_ended(&self, peer: &mut Peer, until: &str) -> String {
        for _ in 0..LOOKS {
            let status = self.0.successor.borrow_mut().as_mut().map(Child::try_wait);
            if let Some(Ok(Some(status))) = status {
                return format!("it ended before {until} ({status})");
            }
            if peer.idle(LOOK_EVERY).is_err() {
                break;
            }
        }
        format!("it hung up before {until}")
    }

    fn send(&self, peer: &mut Peer, state: Outgoing<'_>) -> io::Result<()> {
        let (bytes, descriptors) = state.finish();
        let file = state::in_memory(&bytes)?;
        let first = Message::state(self.0.generation, descriptors.len());
        peer.send(&first, &[file.as_fd()])?;
        for some in descriptors.chunks(MOST_DESCRIPTORS) {
            peer.send(&Message::Descriptors, some)?;
        }
        Ok(())
    }

    fn succeeded(&self, event_loop: &mut EventLoop, took: Duration) {
        let Some(child) = self.0.successor.take() else { return };
        let (ours, pid) = (self.0.generation, child.id());
        let (next, took) = (ours + 1, took.as_secs_f64() * 1000.0);
        let line = format!(
            "generation {ours} is replaced by generation {next} (pid {pid}) in {took:.1} ms"
        );
        self.tell(event_loop, Outcome::Taken(pid), &line);
        (self.0.over)(event_loop, Outcome::Taken(pid));
    }

    /// The new program says nothing more: how did it end?
    fn has_ended(&self, event_loop: &mut EventLoop, looks: u32) {
        let status = self.0.successor.borrow_mut().as_mut().map(Child::try_wait);
        match status {
            Some(Ok(Some(status))) => {
                self.give_up(event_loop, &format!("it ended before it was ready ({status})"));
            }
            Some(Ok(None)) if looks > 0 => {
                let again = self.clone();
                self.0.timers.after(event_loop, LOOK_EVERY, move |event_loop| {
                    again.has_ended(event_loop, looks - 1);
                });
            }
            _ => self.give_up(event_loop, "it hung up before it was ready"),
        }
    }

    /// Nothing has changed, and nothing will.
    fn give_up(&self, event_loop: &mut EventLoop, why: &str) {
        self.forget_hello(event_loop);
        if let Some(timer) = self.0.again.take() {
            self.0.timers.cancel(event_loop, timer);
        }
        self.kill();
        let Some(child) = self.0.successor.take() else { return };
        self.bury(event_loop, child);
        self.tell_failure(event_loop, why);
    }

    fn kill(&self) {
        if let Some(child) = &mut *self.0.successor.borrow_mut() {
            // It may be gone already.
            let _ = child.kill();
        }
    }

    /// Until somebody asks how it has ended, a process keeps its number.
    fn bury(&self, event_loop: &mut EventLoop, mut child: Child) {
        if let Ok(None) = child.try_wait() {
            let again = self.clone();
            self.0.timers.after(event_loop, LOOK_EVERY, move |event_loop| {
                again.bury(event_loop, child);
            });
        }
    }
}

/// The new program, until it has said hello.
struct Hearing(Rc<Channel>);

impl Source for Hearing {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    fn interest(&self) -> Interest {
        Interest::READ
    }
}
