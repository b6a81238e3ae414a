//! The console: commands that are typed at the program itself.
//!
//! Standard input is a source like any other, whatever it is: a terminal, a pipe, a socket or a
//! file. What its bytes mean stands in [`commands`](crate::commands).

use std::fs::{File, OpenOptions, metadata};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::time::{Duration, Instant};

use ch07_callbacks::program::say;
use ch07_callbacks::{Ending, EventLoop, Interest, Readiness, Source, Token, now};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{getpgrp, tcgetpgrp};

use crate::commands::{self, Asked, LONGEST, Line, Typed, Usage, look_up};
use crate::presence::{Services, rows};
use crate::table;

/// How much is read at a time, in bytes, and so in one turn. A terminal gives a line.
const PIECE: usize = 4 * 1024;
/// How many commands are obeyed in one turn: a file full of them mustn't keep the others waiting.
const AT_ONCE: usize = 16;
/// How long to look away from a terminal that somebody else reads.
const PAUSE: Duration = Duration::from_secs(1);
/// Who has taken over from another process looks whether the terminal is still theirs: after so
/// long, and then each [`PAUSE`].
const FIRST_LOOK: Duration = Duration::from_millis(200);
/// How wide `who` is, in characters: a terminal has at least so many.
const WIDTH: usize = 80;
/// How many rows `who` shows, at most: a few screens full. Nobody reads more, and all is printed
/// in one turn.
const MOST_ROWS: usize = 100;
/// Stands where the next command is to be typed.
const PROMPT: &str = "> ";

// ANCHOR: command
/// A command: how it's typed, and what it does. What it gives back is printed.
pub struct Command {
    usage: Usage,
    run: Run,
}

type Run = Box<dyn FnMut(&mut EventLoop, &str) -> String>;

impl Command {
    /// A line of the program's table. `argument` is what has to follow the name, such as `TEXT`,
    /// or empty; `run` is called with it.
    pub fn new(
        name: &'static str,
        argument: &'static str,
        does: &'static str,
        run: impl FnMut(&mut EventLoop, &str) -> String + 'static,
    ) -> Self {
        Self { usage: Usage { name, argument, does }, run: Box::new(run) }
    }

    /// `who`: who is here.
    pub fn who(services: &Services) -> Self {
        let services = Services::clone(services);
        Self::new("who", "", "shows who is here, and what each waits for", move |event_loop, _| {
            table::text(&rows(&services, event_loop), WIDTH, MOST_ROWS)
        })
    }
}
// ANCHOR_END: command

/// Standard input, in the loop.
struct Console {
    input: File,
    /// Whether the kernel can be asked when there is something to read. Of a file on a disk it
    /// can't: that is always ready, and epoll refuses it (epoll_ctl(2), EPERM).
    can_be_asked: bool,
    is_terminal: bool,
    typed: Typed,
    /// Until then nothing is read.
    shut_until: Option<Instant>,
    prompts: bool,
    /// When to look whether the terminal is still ours.
    next_look: Option<Instant>,
    /// The prompt is shown when that is known.
    prompt_is_due: bool,
}

/// Takes commands from standard input. `None`: there is none, or only `/dev/null`, which never
/// says anything.
///
/// # Errors
/// When the system can't tell what standard input is.
pub fn start(event_loop: &mut EventLoop, commands: Vec<Command>) -> io::Result<Option<Token>> {
    // A duplicate is ours to close. (Where descriptor 0 was closed, Rust has opened /dev/null in
    // its place before `main`.)
    match io::stdin().as_fd().try_clone_to_owned() {
        Ok(input) => start_on(event_loop, input, commands),
        Err(error) if error.raw_os_error() == Some(Errno::EBADF as i32) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The same, from another descriptor.
///
/// # Errors
/// When the system can't tell what it is.
pub fn start_on(
    event_loop: &mut EventLoop,
    input: OwnedFd,
    mut commands: Vec<Command>,
) -> io::Result<Option<Token>> {
    let Some(console) = Console::new(File::from(input))? else { return Ok(None) };
    console.prompt();
    Ok(Some(event_loop.add(console, move |event_loop, me, readiness| {
        ready(event_loop, me, readiness, &mut commands)
    })))
}

/// What there is to know of a console besides its input. `None`: it's over, or there was none.
pub fn parts(event_loop: &EventLoop, me: Token) -> Option<commands::Parts> {
    event_loop.get::<Console>(me).map(|console| console.typed.parts())
}

/// Goes on with a console that another process has had until now. Its input is ours already.
///
/// # Errors
/// When the system can't tell what standard input is.
pub fn adopt(
    event_loop: &mut EventLoop,
    parts: commands::Parts,
    mut commands: Vec<Command>,
) -> io::Result<Option<Token>> {
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    let Some(mut console) = Console::new(File::from(input))? else { return Ok(None) };
    console.typed = Typed::from_parts(parts);
    console.next_look = console.is_terminal.then(|| Instant::now() + FIRST_LOOK);
    console.prompt_is_due = true;
    Ok(Some(event_loop.add(console, move |event_loop, me, readiness| {
        ready(event_loop, me, readiness, &mut commands)
    })))
}

/// Another process has it now.
pub fn leave(event_loop: &mut EventLoop, me: Token) {
    if let Some(console) = event_loop.get_mut::<Console>(me) {
        console.prompts = false;
    }
    event_loop.close(me);
}

/// Prints a line in the place of the prompt: of something that a command has begun. (The console
/// may be closed since.)
pub fn tell(event_loop: &EventLoop, me: Option<Token>, line: &str) {
    let console = me.and_then(|me| event_loop.get::<Console>(me));
    let prompts = console.is_some_and(|console| console.prompts);
    print(&format!("{}{line}\n", if prompts { "\r" } else { "" }));
}

/// Shows the prompt again.
pub fn prompt_again(event_loop: &EventLoop, me: Token) {
    if let Some(console) = event_loop.get::<Console>(me) {
        console.prompt();
    }
}

impl Console {
    fn new(input: File) -> io::Result<Option<Self>> {
        let about = input.metadata()?;
        let kind = about.file_type();
        if kind.is_char_device()
            && metadata("/dev/null").is_ok_and(|null| null.rdev() == about.rdev())
        {
            return Ok(None);
        }
        let is_terminal = input.is_terminal();
        let can_be_asked = is_terminal || kind.is_fifo() || kind.is_socket();
        if is_terminal {
            // As a job in the background, we aren't stopped for reading from the terminal: the
            // read fails instead (termios(3), and read(2): EIO).
            SigSet::from_iter([Signal::SIGTTIN]).thread_block()?;
        }
        let input = if can_be_asked { without_waiting(input) } else { input };
        let prompts = is_terminal && io::stdout().is_terminal();
        Ok(Some(Self {
            input,
            can_be_asked,
            is_terminal,
            typed: Typed::default(),
            shut_until: None,
            prompts,
            next_look: None,
            prompt_is_due: false,
        }))
    }

    // ANCHOR: still_ours
    /// The shell that has started the first of us waits for that one to
    /// end, and takes the terminal back then. It knows nothing of us, and
    /// never gives it to us.
    fn look_whether_it_is_still_ours(&mut self) -> io::Result<()> {
        let now = Instant::now();
        if self.next_look.take_if(|next| *next <= now).is_none() {
            return Ok(());
        }
        self.next_look = Some(now + PAUSE);
        // Where the terminal itself is gone, a read says so.
        if tcgetpgrp(&self.input).is_ok_and(|theirs| theirs != getpgrp()) {
            // It's nobody's place any more to show a prompt.
            self.prompts = false;
            return Err(io::Error::other("the shell has its terminal back"));
        }
        if std::mem::take(&mut self.prompt_is_due) {
            self.prompt();
        }
        Ok(())
    }
    // ANCHOR_END: still_ours

    /// One read, if there is a reason for one.
    fn read(&mut self, readiness: Readiness) -> io::Result<()> {
        if self.shut_until.take_if(|until| *until <= Instant::now()).is_some() {
            return Ok(()); // the next wait tells whether there is anything
        }
        if self.typed.has_line() || (self.can_be_asked && !readiness.read) {
            return Ok(());
        }
        let mut piece = [0; PIECE];
        // waits: only if somebody else who has the same input has just taken what was there, and
        // it's one that can't be opened a second time
        match now(self.input.read(&mut piece)) {
            Ok(None) => {}
            // On a terminal this is Ctrl-D, or that it's gone.
            Ok(Some(0)) => self.typed.end(),
            Ok(Some(count)) => self.typed.put(piece.get(..count).unwrap_or_default()),
            Err(error) if self.is_terminal && error.raw_os_error() == Some(Errno::EIO as i32) => {
                // We are a job in the background, and what is typed is for somebody else. As long
                // as it isn't read, the terminal is ready: asked about, it would make a loop that
                // never waits.
                self.shut_until = Some(Instant::now() + PAUSE);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// So that somebody who looks at the screen sees that something can be typed.
    fn prompt(&self) {
        if self.prompts && !self.typed.has_line() && !self.typed.is_over() {
            print(PROMPT);
        }
    }
}

impl Source for Console {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.can_be_asked.then(|| self.input.as_fd())
    }

    fn interest(&self) -> Interest {
        Interest { read: self.shut_until.is_none() && !self.typed.has_line(), write: false }
    }

    // ANCHOR: patience
    /// Lines that lie here aren't in the kernel any more, and it can't tell
    /// of them. Nor does it tell of a file on a disk.
    fn patience(&self) -> Option<Duration> {
        if self.typed.has_line() || !self.can_be_asked {
            return Some(Duration::ZERO);
        }
        let first = [self.shut_until, self.next_look].into_iter().flatten().min()?;
        Some(first.saturating_duration_since(Instant::now()))
    }
    // ANCHOR_END: patience

    fn is_over(&self) -> bool {
        self.typed.is_over()
    }

    fn closed(self: Box<Self>, _: &mut EventLoop, _: Token, ending: Ending) {
        drop(self);
        match ending {
            Ending::Finished => say("console: its input has ended; the rest goes on"),
            Ending::Failed(error) => say(&format!("console: lost: {error}; the rest goes on")),
            Ending::Panicked => say("console: lost: it panicked; the rest goes on"),
            Ending::Closed => {}
        }
    }
}

impl Drop for Console {
    /// What the shell prints next would stand behind our prompt.
    fn drop(&mut self) {
        if self.prompts {
            print("\n");
        }
    }
}

// ANCHOR: ready
fn ready(
    event_loop: &mut EventLoop,
    me: Token,
    readiness: Readiness,
    commands: &mut [Command],
) -> io::Result<()> {
    let Some(console) = event_loop.get_mut::<Console>(me) else { return Ok(()) };
    console.look_whether_it_is_still_ours()?;
    console.read(readiness)?;
    let mut obeyed = 0;
    while let Some(console) = event_loop.get_mut::<Console>(me) {
        let Some(line) = console.typed.take() else { break };
        // A command that panics ends neither the console nor those behind it.
        event_loop.guard(None, |event_loop| print(&obey(event_loop, &line, commands)));
        obeyed += 1;
        if obeyed == AT_ONCE {
            break;
        }
    }
    if obeyed > 0
        && let Some(console) = event_loop.get_mut::<Console>(me)
    {
        console.prompt_is_due = false;
        console.prompt();
    }
    Ok(())
}
// ANCHOR_END: ready

/// Does what the line asks for, and gives what is to be printed.
fn obey(event_loop: &mut EventLoop, line: &Line, commands: &mut [Command]) -> String {
    let Line::Text(line) = line else {
        return format!("a line of more than {LONGEST} bytes: dropped\n");
    };
    let table: Vec<Usage> = commands.iter().map(|command| command.usage).collect();
    match look_up(line, &table) {
        Asked::Nothing => String::new(),
        Asked::Help(text) | Asked::Unclear(text) => text,
        Asked::Command(number, argument) => commands
            .get_mut(number)
            .map_or_else(String::new, |command| (command.run)(event_loop, argument)),
    }
}

// ANCHOR: without_waiting
/// The same terminal or pipe, so that a read never waits: somebody may
/// take what was there between the wait and the read, or flush it with
/// Ctrl-C.
///
/// It's opened a second time for that. `O_NONBLOCK` belongs to what was
/// opened, and all duplicates share it: standard output, and the shell
/// that started us (fcntl(2)). Where it can't be opened again (a
/// socket; a terminal of another user's; not on Linux), what there is
/// has to do.
fn without_waiting(input: File) -> File {
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let path = format!("/proc/self/fd/{}", input.as_raw_fd());
    OpenOptions::new().read(true).custom_flags(flags).open(path).unwrap_or(input)
}
// ANCHOR_END: without_waiting

/// On standard output. A closed one ends no program.
fn print(text: &str) {
    let mut out = io::stdout();
    // waits: if nobody takes what we print (a terminal that was stopped, a full pipe)
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// Whom the kernel has told of a line that somebody else has taken meanwhile.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_read_never_waits_even_if_nothing_is_there() {
        let (ours, _theirs) = io::pipe().unwrap();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let mut console = Console::new(File::from(OwnedFd::from(ours))).unwrap().unwrap();
            console.read(Readiness { read: true, ..Readiness::NONE }).unwrap();
            tell.send(console.typed.is_over()).unwrap();
        });
        assert_eq!(told.recv_timeout(Duration::from_secs(30)), Ok(false));
    }
}
