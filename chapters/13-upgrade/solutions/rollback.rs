//! Exercise 13-rollback: the child that may fail.
//!
//! A program is to be replaced by another one, which it starts beside itself. Much can go wrong with that one, and
//! whatever does, the old one must be there as if nothing had been: it serves all the time, says in a line why it wasn't
//! replaced, leaves nothing behind, and can be asked again. The two speak in lines: the new one says `ready` when it could take
//! over; it's told `go`; and when it says `serving`, the old one ends. What it would be given with that is left out here.
//!
//! Run it:      cargo run -p ex13-upgrade --bin ex13-rollback -- 7013 sh -c 'echo ready; read go; exit 1'
//!              and, in a second terminal,      pkill -USR2 -f 'ex13-rollback 7013'
//! Be graded:   cargo grade 13

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, Read, Write};
use std::mem;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::program::{self, log, say};
use ch07_callbacks::{EventLoop, Input, Interest, Source, Token, now};
use ch09_timers::{Clock, Timer, Timers, signals};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal::{SIGCHLD, SIGUSR2};

const NAME: &str = "ex13-rollback";
const HELP: &str = "ex13-rollback ADDRESS PROGRAM [ARGUMENT]...

Sends each line back. At SIGUSR2 it starts PROGRAM, to be replaced by it. ADDRESS may be 127.0.0.1:7013, or 7013; port 0
means any free one.";

/// How long the new program may take, from its start until it serves.
const TO_TAKE_OVER: Duration = Duration::from_secs(3);
/// Longest line that it may say, in bytes, without its end.
const LONGEST_LINE: usize = 100;
/// What is said to whoever asks while one is under way already.
const UNDER_WAY: &str = "an upgrade is under way: ask again when it has ended";

/// The new program, while it hasn't taken over.
struct Attempt {
    child: Child,
    /// Where it's told something.
    to_child: ChildStdin,
    /// What it says, in the loop.
    ear: Token,
    /// What has come of a line that isn't whole.
    line: Vec<u8>,
    /// It has said `ready`, and was told `go`.
    is_ready: bool,
    deadline: Timer,
    /// Why it comes to nothing. `None`: it may still take over.
    failed: Option<Why>,
}

/// Why the program isn't replaced.
#[derive(Debug)]
enum Why {
    CantRun(io::Error),
    Ended(ExitStatus),
    Late,
    /// This line. Of one that is too long, the beginning is shown.
    Said(Vec<u8>),
}

/// What replaces this program.
struct Upgrade {
    timers: Timers,
    /// The new program and its arguments.
    command: Vec<String>,
    attempt: RefCell<Option<Attempt>>,
    /// The new program serves. This one still ends its turn, and starts no other.
    is_replaced: Cell<bool>,
}

impl Upgrade {
    /// SIGUSR2 has come.
    fn begin(self: &Rc<Self>, event_loop: &mut EventLoop) {
        // your turn: start the new program, unless one is under way already
        // hint: `self.attempt` says whether one is under way. If it is, `say(UNDER_WAY)`, and nothing else happens.
        // hint: `self.start` gives the attempt, to be kept, or an error: that's `Why::CantRun`, and all is over already.
        // hint: A loop that is stopped finishes its turn, and SIGUSR2 may come in it: when `self.is_replaced`, nothing happens here.
        if self.is_replaced.get() {
            return;
        }
        if self.attempt.borrow().is_some() {
            return say(UNDER_WAY);
        }
        match self.start(event_loop) {
            Ok(attempt) => *self.attempt.borrow_mut() = Some(attempt),
            Err(error) => say(&not_replaced(&Why::CantRun(error))),
        }
        // end
    }

    /// The new program has said this. It may be a part of a line, or several of them.
    fn heard(&self, event_loop: &mut EventLoop, piece: &[u8]) {
        // your turn: go through the lines, as far as they're whole
        // hint: A piece is no line. Put it behind what is there already, and take lines off the front while there is an LF.
        // hint: Two lines have a meaning, and each at its own time: `ready` while it isn't ready, and `serving` when it is. Any other
        //   line, and these at any other time, are `Why::Said`.
        // hint: `attempt.to_child` is where `go` and an LF are written. If that fails, it hasn't heard it, and won't serve:
        //   we'll see that.
        // hint: Once it has failed, nothing counts that it says. And a line without an end is none: when more than LONGEST_LINE
        //   bytes have come of it, it's enough.
        // hint: `succeeded` wants the attempt itself. So take it out of `self.attempt`, and put it back at the end, unless it has
        //   succeeded: what isn't there any more, nobody can end, however late. But then nothing says any more that one is
        //   under way: set `self.is_replaced`, and ask for it in `begin`.
        // hint: Whoever has ended doesn't serve, whatever was said before: ask `attempt.has_ended()`. There is nothing to be done then:
        //   SIGCHLD comes for that, too.
        let Some(mut attempt) = self.attempt.take() else { return };
        attempt.line.extend_from_slice(piece);
        while attempt.failed.is_none()
            && let Some(end) = attempt.line.iter().position(|byte| *byte == b'\n')
        {
            let mut line: Vec<u8> = attempt.line.drain(..=end).collect();
            line.pop();
            match (line.as_slice(), attempt.is_ready) {
                (b"ready", false) => {
                    attempt.is_ready = true;
                    let _ = attempt.to_child.write_all(b"go\n");
                }
                // SIGCHLD tells of that, or has told of it.
                (b"serving", true) if attempt.has_ended() => {}
                (b"serving", true) => {
                    self.is_replaced.set(true);
                    return succeeded(event_loop, attempt);
                }
                _ => attempt.fail(Why::Said(line)),
            }
        }
        if attempt.line.len() > LONGEST_LINE {
            let line = mem::take(&mut attempt.line);
            attempt.fail(Why::Said(line));
        }
        *self.attempt.borrow_mut() = Some(attempt);
        // end
    }

    /// TO_TAKE_OVER has passed.
    fn is_late(&self) {
        // your turn: it's too late now
        // hint: If there is an attempt, it fails: `Why::Late`. All else follows from that.
        if let Some(attempt) = self.attempt.borrow_mut().as_mut() {
            attempt.fail(Why::Late);
        }
        // end
    }

    /// SIGCHLD has come: a child has ended, or was stopped.
    fn a_child_has_changed(&self, event_loop: &mut EventLoop) {
        // your turn: if it has ended, all of it is over; say why
        // hint: `try_wait` says how it has ended, if it has, and doesn't wait for that. It's also what takes it out of the kernel's
        //   table: whoever never asks leaves a zombie.
        // hint: What it said last may not have been heard yet: nobody knows which of the two the loop tells first.
        //   `self.listen` hears that, and it mustn't find the attempt borrowed.
        // hint: Then nothing is left to do but to take the attempt out of `self.attempt`, and to give back what the loop has of
        //   it: its ear (`event_loop.close`) and its deadline (`self.timers.cancel`). Who forgets those hears of this
        //   attempt in the middle of the next one.
        // hint: Why? If it had failed before, because of that. We've killed it ourselves then, and the status says nothing.
        let (status, ear) = match self.attempt.borrow_mut().as_mut() {
            Some(attempt) => (attempt.child.try_wait(), attempt.ear),
            None => return,
        };
        let Ok(Some(status)) = status else { return };
        self.listen(event_loop, ear);
        let Some(attempt) = self.attempt.take() else { return };
        event_loop.close(attempt.ear);
        self.timers.cancel(event_loop, attempt.deadline);
        say(&not_replaced(&attempt.failed.unwrap_or(Why::Ended(status))));
        // end
    }

    /// Starts the new program, and listens to it.
    ///
    /// # Errors
    /// When it can't be run. Then there is nothing of it.
    fn start(self: &Rc<Self>, event_loop: &mut EventLoop) -> io::Result<Attempt> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(to_child), Some(from_child)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        // Somebody else may have its other end open, and say nothing.
        fcntl(&from_child, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let hears = Rc::clone(self);
        let ear = event_loop.add(Ear(from_child), move |event_loop, me, _| {
            hears.listen(event_loop, me);
            Ok(())
        });
        let late = Rc::clone(self);
        let deadline = self.timers.after(event_loop, TO_TAKE_OVER, move |_| late.is_late());
        let (line, is_ready, failed) = (Vec::new(), false, None);
        Ok(Attempt { child, to_child, ear, line, is_ready, deadline, failed })
    }

    /// Hears what the new program has said by now, if it has said anything. That's one read, which takes more than all that a
    /// good one ever says: to call this once is enough.
    fn listen(&self, event_loop: &mut EventLoop, ear: Token) {
        let mut piece = [0; 4096];
        let Some(Ear(from_child)) = event_loop.get_mut(ear) else { return };
        match now(from_child.read(&mut piece)) {
            Ok(None) => {}
            // It says nothing more. That's no end: it may live on.
            Ok(Some(0)) | Err(_) => event_loop.close(ear),
            Ok(Some(count)) => self.heard(event_loop, &piece[..count]),
        }
    }
}

impl Attempt {
    /// It won't take over, whatever it does from now on.
    fn fail(&mut self, why: Why) {
        // your turn: remember the first reason, and end the child
        // hint: `child.kill` sends SIGKILL, which nobody can ignore. It may have ended already: then there is nobody to kill, and
        //   nothing is wrong with that.
        // hint: It has not ended when `kill` comes back. The kernel tells when it has, by SIGCHLD. So nothing is said here yet, and
        //   nothing is waited for. Until then it's still under way.
        self.failed.get_or_insert(why);
        let _ = self.child.kill();
        // end
    }

    /// By now. It may end the moment after this.
    fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }
}

/// It serves: this program isn't needed any more.
fn succeeded(event_loop: &mut EventLoop, attempt: Attempt) {
    say(&format!("replaced by {}", attempt.child.id()));
    event_loop.stop();
}

/// The one line that says why.
fn not_replaced(why: &Why) -> String {
    format!("not replaced: {why}")
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CantRun(error) => write!(f, "it can't be run: {error}"),
            Self::Ended(status) => write!(f, "it ended before it was serving ({status})"),
            Self::Late => write!(f, "it wasn't serving within {} s", TO_TAKE_OVER.as_secs()),
            Self::Said(line) => {
                let shown = &line[..line.len().min(LONGEST_LINE)];
                write!(f, "it said \"{}\"", shown.escape_ascii())
            }
        }
    }
}

/// What the new program says.
struct Ear(ChildStdout);

impl Source for Ear {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    fn interest(&self) -> Interest {
        Interest::READ
    }
}

/// Whoever sends a longer line, in bytes, or doesn't read what is queued, has been here long enough.
const MOST_KEPT: usize = 64 * 1024;

/// The read callback: each line is sent back.
fn data_available(event_loop: &mut EventLoop, me: Token, input: &mut Input) {
    if let Some(end) = input.bytes.iter().rposition(|byte| *byte == b'\n') {
        let lines: Vec<u8> = input.bytes.drain(..=end).collect();
        event_loop.send(me, &lines);
    }
    if input.ended || input.bytes.len() > MOST_KEPT {
        event_loop.finish(me);
    } else if event_loop.queued(me) > MOST_KEPT {
        event_loop.close(me);
    }
}

fn main() {
    let arguments = program::arguments(HELP);
    let (address, command) = match arguments.as_slice() {
        [address, command @ ..] if !command.is_empty() => (address, command.to_vec()),
        _ => program::complain(NAME, 2, "give an ADDRESS and a PROGRAM; see --help"),
    };
    let address = program::address(NAME, address);
    if let Err(error) = run(|| program::listen_or_exit(NAME, address), command) {
        program::complain(NAME, 1, &format!("the loop failed: {error}"));
    }
}

fn run(listen: impl FnOnce() -> TcpListener, command: Vec<String>) -> io::Result<()> {
    let mut event_loop = ch08_epoll::event_loop()?;
    let timers = Timers::start(&mut event_loop, Clock::system());
    let (attempt, is_replaced) = (RefCell::new(None), Cell::new(false));
    let upgrade = Rc::new(Upgrade { timers, command, attempt, is_replaced });
    // Before anybody can know that we're here: without this, SIGUSR2 ends a program.
    signals::on_signals(
        &mut event_loop,
        &[SIGUSR2, SIGCHLD],
        move |event_loop, signal| match signal {
            SIGUSR2 => upgrade.begin(event_loop),
            _ => upgrade.a_child_has_changed(event_loop),
        },
    )?;
    serve(&mut event_loop, listen())?;
    event_loop.run() // waits: inside, for all of them
}

fn serve(event_loop: &mut EventLoop, listener: TcpListener) -> io::Result<Token> {
    let mut last = 0;
    event_loop.listen(listener, move |event_loop, came| match came {
        Ok((visitor, _)) => {
            last += 1;
            let number = last;
            event_loop.set_read_callback(visitor, data_available);
            event_loop.set_close_callback(visitor, move |_, _, ending| {
                log(number, &format!("gone: {ending:?}"));
            });
        }
        Err(error) => log(last + 1, &format!("not accepted: {error}")),
    })
}
