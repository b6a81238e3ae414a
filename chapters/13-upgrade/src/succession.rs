//! What any program needs that can be replaced, whatever it serves: its arguments, and who gets its
//! signals.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::PathBuf;
use std::process::exit;
use std::rc::Rc;

use ch07_callbacks::EventLoop;
use ch07_callbacks::program::{complain, say};
use ch09_timers::{Timers, signals};
use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::inherit::{Failure, Inheritance};
use crate::state::Detached;
use crate::upgrade::{Gather, Outcome, Program, Tell, Upgrade, Way};
use crate::{TAKE_OVER, request, watch};

/// What such a program is told besides what it does.
#[derive(Args, Clone, Debug)]
pub struct Succession {
    /// What to be replaced by [default: this program, whatever lies there then]
    #[arg(long, value_name = "PROGRAM")]
    with: Option<PathBuf>,

    /// Become the new program in place (exec): the process stays, and if the new program fails, all
    /// is lost
    #[arg(long)]
    in_place: bool,

    /// Be replaced whenever that program's file is
    #[arg(long)]
    watch: bool,

    /// Have the process of this number replaced, as SIGUSR2 does, and do nothing else
    #[arg(long, value_name = "PID")]
    upgrade: Option<i32>,

    /// Take the place of the program that has started this one
    #[arg(long = "take-over", hide = true)]
    pub takes_over: bool,
}

impl Succession {
    /// What this program is replaced by: with the arguments that it has itself.
    ///
    /// # Errors
    /// When the kernel can't tell which program this is.
    pub fn program(&self) -> io::Result<Program> {
        let file = self.with.clone().map_or_else(std::env::current_exe, Ok);
        let file =
            file.map_err(|error| io::Error::other(format!("can't tell its own name: {error}")))?;
        let arguments = std::env::args_os().skip(1).filter(|argument| argument != TAKE_OVER);
        let way = if self.in_place { Way::InPlace } else { Way::ByChild };
        Ok(Program { file, arguments: arguments.collect(), way, is_watched: self.watch })
    }

    /// If this is only to ask another process: does so, and ends.
    pub fn ask_or_go_on(&self, name: &str) {
        if let Some(pid) = self.upgrade {
            match request::replace(pid) {
                Ok(()) => exit(0),
                Err(error) => complain(name, 1, &error.to_string()),
            }
        }
    }
}

/// What a program begins with that isn't the first one.
pub struct Inherited {
    pub generation: u64,
    pub state: Detached,
    inheritance: Rc<Inheritance>,
}

impl Inherited {
    /// What says that all is ready: see [`Inheritance::ready`].
    pub fn go(&self) -> impl FnOnce() -> io::Result<()> + 'static {
        let inheritance = Rc::clone(&self.inheritance);
        move || {
            inheritance.ready()?;
            // Of a child, the old program tells.
            if inheritance.is_in_place() {
                let generation = inheritance.generation();
                say(&format!("generation {} has become generation {generation}", generation - 1));
            }
            Ok(())
        }
    }
}

/// Takes over from the program that has started us: `serve` makes all ready, calls
/// [`go`](Inherited::go), and serves.
///
/// # Errors
/// Those of `serve`; and when there is nothing to take over. If the old program goes on, it says
/// why, and this one ends.
pub fn take_over<T>(serve: impl FnOnce(Inherited) -> io::Result<T>) -> io::Result<T> {
    let mut inheritance = Inheritance::receive().map_err(untold)?;
    let generation = inheritance.generation();
    let state = inheritance.state()?;
    let inheritance = Rc::new(inheritance);
    let served = serve(Inherited { generation, state, inheritance: Rc::clone(&inheritance) });
    served.map_err(|error| untold(inheritance.refuse(error)))
}

/// If the old one says why, that's enough.
fn untold(failure: Failure) -> io::Error {
    match failure {
        Failure::Told => exit(1),
        Failure::Untold(error) => error,
    }
}

/// The process that has taken our place, if one has. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Successor(Rc<Cell<Option<u32>>>);

impl Successor {
    /// What replaces this program by `program`; when that has happened, it's the successor.
    ///
    /// # Errors
    /// When its file is to be watched, and can't be.
    pub fn upgrade(
        &self,
        event_loop: &mut EventLoop,
        timers: Timers,
        program: Program,
        generation: u64,
        gather: Gather,
        over: impl Fn(&mut EventLoop, Outcome) + 'static,
    ) -> io::Result<Upgrade> {
        let (successor, is_watched, watched) =
            (self.clone(), program.is_watched, program.file.clone());
        let over = move |event_loop: &mut EventLoop, outcome| {
            if let Outcome::Taken(pid) = outcome {
                successor.0.set(Some(pid));
            }
            over(event_loop, outcome);
        };
        let upgrade = Upgrade::new(timers, program, generation, gather, over);
        if is_watched {
            let upgrade = upgrade.clone();
            let replaced = move |event_loop: &mut EventLoop| {
                upgrade.begin(event_loop, on_stderr());
            };
            watch::watch(event_loop, timers, &watched, replaced).map_err(|error| {
                io::Error::new(error.kind(), format!("can't watch {}: {error}", watched.display()))
            })?;
        }
        Ok(upgrade)
    }

    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        self.0.get().is_some()
    }

    /// Sends it a signal. False: there is no successor.
    fn forward(&self, signal: Signal) -> bool {
        let pid = self.0.get().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid {
            // It may be gone already.
            let _ = kill(Pid::from_raw(pid), signal);
        }
        pid.is_some()
    }
}

/// For those who have asked by a signal, or not at all.
pub fn on_stderr() -> Tell {
    Rc::new(|_, _, line| say(line))
}

/// What a program does when a signal comes.
pub type OnSignal = Box<dyn Fn(&mut EventLoop, Signal)>;

/// Where that is put, once there is something that can be told.
#[derive(Clone, Default)]
pub struct Commander(Rc<RefCell<Option<Rc<OnSignal>>>>);

impl Commander {
    /// From now on these signals are heard. Whoever has sent one meant the server: once that is
    /// somebody else, it's sent on. To be called before there are threads.
    ///
    /// # Errors
    /// When the kernel has no descriptor for it.
    pub fn hear(
        event_loop: &mut EventLoop,
        heard: &[Signal],
        successor: &Successor,
    ) -> io::Result<Self> {
        let commander = Self::default();
        let (told, successor) = (commander.clone(), successor.clone());
        signals::on_signals(event_loop, heard, move |event_loop, signal| {
            if successor.forward(signal) {
                return;
            }
            let on_signal = told.0.borrow().clone();
            if let Some(on_signal) = on_signal {
                on_signal(event_loop, signal);
            }
        })?;
        Ok(commander)
    }

    /// What to do.
    pub fn obey(&self, on_signal: impl Fn(&mut EventLoop, Signal) + 'static) {
        self.0.replace(Some(Rc::new(Box::new(on_signal))));
    }
}
