//! What any program needs that can be replaced, whatever it serves: its arguments, and who gets its
//! signals.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::exit;
use std::rc::Rc;

use ch07_callbacks::EventLoop;
use ch09_timers::{Timers, signals};
use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::inherit::Inheritance;
use crate::state::Detached;
use crate::upgrade::{Gather, Outcome, TAKE_OVER, Upgrade};

/// What such a program is told besides what it does.
#[derive(Args, Clone, Debug)]
pub struct Succession {
    /// What to be replaced by [default: this program, whatever lies there then]
    #[arg(long, value_name = "PROGRAM")]
    with: Option<PathBuf>,

    /// Take the place of the program that has started this one
    #[arg(long = "take-over", hide = true)]
    pub takes_over: bool,
}

/// What a program is replaced by.
#[derive(Clone, Debug)]
pub struct Program {
    file: PathBuf,
    arguments: Vec<OsString>,
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
        Ok(Program { file, arguments: arguments.collect() })
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
        move || inheritance.ready()
    }
}

/// Takes over from the program that has started us: `serve` makes all ready, calls
/// [`go`](Inherited::go), and serves.
///
/// # Errors
/// Those of `serve`; and when there is nothing to take over. If the old program goes on, it says
/// why, and this one ends.
pub fn take_over(serve: impl FnOnce(Inherited) -> io::Result<()>) -> io::Result<()> {
    let mut inheritance = Inheritance::receive()?;
    let generation = inheritance.generation();
    let state = inheritance.state()?;
    let inheritance = Rc::new(inheritance);
    let served = serve(Inherited { generation, state, inheritance: Rc::clone(&inheritance) });
    if let Err(error) = &served
        && inheritance.refuse(&error.to_string())
    {
        // The old one says why, and once is enough.
        exit(1);
    }
    served
}

/// The process that has taken our place, if one has. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Successor(Rc<Cell<Option<u32>>>);

impl Successor {
    /// What replaces this program by `program`; when that has happened, it's the successor.
    pub fn upgrade(
        &self,
        timers: Timers,
        program: Program,
        generation: u64,
        gather: Gather,
        over: impl Fn(&mut EventLoop, Outcome) + 'static,
    ) -> Upgrade {
        let Program { file, arguments } = program;
        let successor = self.clone();
        Upgrade::new(timers, file, arguments, generation, gather, move |event_loop, outcome| {
            if let Outcome::Taken(pid) = outcome {
                successor.0.set(Some(pid));
            }
            over(event_loop, outcome);
        })
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
