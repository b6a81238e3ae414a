//! Any program, as the command line gives it: with our terminal, our input, and its own end.

use std::ffi::OsString;
use std::process::{Command, exit};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use lens::launch::{self, NO_FILTER};
use lens::tracer::{Seen, Tracer, signal_name};

use crate::show::{Out, Show, Teller, lock};
use crate::{Arguments, BAD_USAGE, FAILURE, Failed, Way, signals};

/// Runs it. Gives its own exit status, or 128 and the number of the signal that ended it.
pub fn run(arguments: &Arguments) -> Result<u8, Failed> {
    let signals = signals::Signals::block()
        .map_err(|errno| Failed(FAILURE, format!("can't listen for signals: {errno}")))?;
    let words = arguments.command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let show = Arc::new(Mutex::new(Show::new(arguments, words, Out::Stderr)?));

    let filtered = !arguments.every_call && launch::can_filter();
    let way = Way { filtered, lies: arguments.lie };
    let blocked = signals.blocked.clone();
    let (pid, mut tracer) = start(&arguments.command, way, &blocked)?;
    let passed_to = Arc::new(Mutex::new(Program::Runs(pid)));
    pass_on(signals, &passed_to);
    let mut begun = false;
    let status = loop {
        let teller = Teller::start(&show, tracer.inside());
        let mut see = |tracer: &Tracer, seen: Seen| {
            if matches!(seen, Seen::Begun) {
                begun = true;
                lock(&show).begin(tracer.origin());
            }
            lock(&show).see(seen);
        };
        // From then on its number may be somebody else's.
        let mut ended = |_| {
            *passed_to.lock().unwrap_or_else(PoisonError::into_inner) =
                Program::Ended(Instant::now());
        };
        let status = tracer.run(&mut see, &mut ended);
        drop(teller);
        if begun || exit_status(status) != u8::try_from(NO_FILTER).unwrap_or(FAILURE) {
            break status;
        }
        // This kernel has no filters to give: then at every call.
        let (pid, again) = start(&arguments.command, Way { filtered: false, ..way }, &blocked)?;
        tracer = again;
        *passed_to.lock().unwrap_or_else(PoisonError::into_inner) = Program::Runs(pid);
    };
    if begun {
        let show = Arc::into_inner(show).map(Mutex::into_inner);
        if let Some(Ok(show)) = show {
            show.end(ending(status))?;
        }
    }
    Ok(exit_status(status))
}

fn start(command: &[OsString], way: Way, blocked: &[Signal]) -> Result<(Pid, Tracer), Failed> {
    let failed = |error: std::io::Error| Failed(FAILURE, format!("can't start: {error}"));
    let (program, words) = launch::command(way.filtered, blocked);
    let mut child = Command::new(program).args(words).args(command).spawn().map_err(failed)?;
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    match Tracer::seize(pid, way.filtered) {
        Ok(mut tracer) => {
            if way.lies {
                tracer.lie();
            }
            Ok((pid, tracer))
        }
        Err(blind) => {
            // It waits for a tracer that won't come.
            let _ = child.kill();
            let _ = child.wait();
            Err(Failed(BAD_USAGE, blind.to_string()))
        }
    }
}

/// The program that signals are passed on to.
enum Program {
    Runs(Pid),
    Ended(Instant),
}

/// Within this time after the program's end, a signal of the terminal's is the one that it ended of.
const SAME_KEY: Duration = Duration::from_secs(1);

/// Passes on the signals that are sent to us. Those of the terminal the program gets by itself. When it has
/// ended, and others that it started live on, a signal ends us, and them.
fn pass_on(signals: signals::Signals, to: &Arc<Mutex<Program>>) {
    let to = Arc::clone(to);
    let pass = move || {
        while let Some((signal, from_terminal)) = signals.next() {
            match *to.lock().unwrap_or_else(PoisonError::into_inner) {
                Program::Runs(_) if from_terminal => {}
                // It may have ended by itself at this moment.
                Program::Runs(pid) => drop(kill(pid, signal)),
                // Most likely the very signal that has ended it, which came to us as well.
                Program::Ended(when) if from_terminal && when.elapsed() < SAME_KEY => {}
                Program::Ended(_) => exit(128 + signal as i32),
            }
        }
    };
    // Without this thread the signals would be lost; without threads there is no program either.
    drop(thread::Builder::new().name("signals".to_owned()).spawn(pass));
}

/// The exit status as a shell would give it.
pub fn exit_status(status: i32) -> u8 {
    let status = match libc::WIFSIGNALED(status) {
        true => 128 + libc::WTERMSIG(status),
        false => libc::WEXITSTATUS(status),
    };
    u8::try_from(status).unwrap_or(FAILURE)
}

/// How it ended, in words.
pub fn ending(status: i32) -> String {
    if libc::WIFSIGNALED(status) {
        return format!("killed by {}", signal_name(libc::WTERMSIG(status)));
    }
    format!("exit status {}", libc::WEXITSTATUS(status))
}
