//! A program that is visited: started, listened to, watched from outside, and ended.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::doing::{self, Snapshot};
use crate::setup;

/// So many times as long is waited for a program that is awake: it may be waiting for a processor.
const AWAKE: u32 = 3;

/// What a program wrote before it ended is read by then, where somebody else holds its output open.
const WRITTEN_BEFORE: Duration = Duration::from_secs(1);

/// The longest that anything here waits for a program that sleeps, whatever it is doing. Generous, because
/// it is paid only where something is wrong and the program isn't asleep.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A program that has slept this long, while nothing is on its way to it, sleeps for ever.
pub const ASLEEP_FOR_GOOD: Duration = Duration::from_millis(1200);

/// A program that has used this much CPU time while something simple was expected of it turns in a loop.
pub const BUSY_FOR_NOTHING: Duration = Duration::from_secs(3);

/// In the environment: another limit for [`BUSY_FOR_NOTHING`], in milliseconds. For whoever judges hundreds of programs that
/// are known to be wrong, and doesn't want to see each of them turn for three seconds.
pub const BUSY_FOR_NOTHING_MS: &str = "BUSY_FOR_NOTHING_MS";

/// How much CPU time is too much, here and now.
fn busy_for_nothing() -> Duration {
    let given = std::env::var(BUSY_FOR_NOTHING_MS).ok().and_then(|given| given.parse().ok());
    given.map_or(BUSY_FOR_NOTHING, Duration::from_millis)
}

/// How often a waiting check looks at the program.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How much of a program's stdout is kept, in bytes. The rest is read and thrown away: it must not wait for us.
const MOST_KEPT: usize = 4 << 20;

/// A longer line on stderr counts as several. In bytes.
const LONGEST_LINE: u64 = 4096;

/// After so many looks at a program that was asleep each time, it naps: nothing keeps it busy.
const NAPS: u32 = 10;

/// How many of a program's last lines on stderr are kept for a report.
const LAST_WORDS: usize = 400;

/// A program about to be started.
#[derive(Debug)]
pub struct Start {
    path: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    apart: bool,
    stdin: Option<Stdio>,
    stderr: Option<File>,
}

/// A running program. It is killed when this is dropped.
#[derive(Debug)]
pub struct Program {
    child: Mutex<Child>,
    pid: Pid,
    output: Arc<Output>,
    /// Duplicates of our ends of its pipes.
    pipes: Vec<OwnedFd>,
    started: Instant,
    /// Where somebody else waits for its end, the end is found here.
    elsewhere: OnceLock<EndedElsewhere>,
}

/// Where somebody else puts how a program ended.
pub type EndedElsewhere = Arc<OnceLock<ExitStatus>>;

/// What the program has written so far, filled by two threads that read its pipes.
#[derive(Debug, Default)]
struct Output {
    state: Mutex<Written>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Written {
    stdout: Vec<u8>,
    stderr: VecDeque<String>,
    stdout_ended: bool,
    stderr_ended: bool,
}

/// Why it is no use to wait for a program any longer.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// It has ended.
    Ended {
        /// As the system reports it.
        status: ExitStatus,
        /// Its last lines on stderr.
        last_words: String,
    },
    /// It is asleep, and nothing is on its way that would wake it.
    Asleep {
        /// What it is doing, in a sentence without a subject: `is inside read(5): …`.
        doing: String,
    },
    /// It burns CPU time ([`BUSY_FOR_NOTHING`]) without getting anywhere.
    Spinning,
    /// [`PATIENCE`] is at an end, and the program is busy with something else.
    TooLong {
        /// What it is doing, as above.
        doing: String,
    },
}

impl Start {
    /// The program at `path`.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            apart: false,
            stdin: None,
            stderr: None,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds a variable to the program's environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let variable = (name.as_ref().to_owned(), value.as_ref().to_owned());
        self.environment.push(variable);
        self
    }

    /// Keeps it out of the terminal's reach: Ctrl-C ends whoever started it, who ends it in turn.
    #[must_use]
    pub fn apart(mut self) -> Self {
        self.apart = true;
        self
    }

    /// Has it read this, such as a pipe's end, as its standard input.
    #[must_use]
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = Some(stdin.into());
        self
    }

    /// Sends what it says on stderr into a file: then [`Program::stderr`] has none of it, and the program
    /// never waits for its reader.
    #[must_use]
    pub fn stderr_to(mut self, file: File) -> Self {
        self.stderr = Some(file);
        self
    }

    /// Starts it, with nothing on its standard input unless [`stdin`](Self::stdin) says so.
    ///
    /// # Errors
    /// What starting a process gives: the program isn't there, may not be executed, …
    pub fn start(self) -> io::Result<Program> {
        setup::explain_failures();
        let mut command = Command::new(&self.path);
        if self.apart {
            command.process_group(0);
        }
        let mut child = command
            .args(&self.arguments)
            .envs(self.environment)
            .stdin(self.stdin.unwrap_or_else(Stdio::null))
            .stdout(Stdio::piped())
            .stderr(self.stderr.map_or_else(Stdio::piped, Stdio::from))
            .spawn()?;
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        let output = Arc::new(Output::default());
        let mut pipes = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            pipes.extend(stdout.as_fd().try_clone_to_owned().ok());
            let output = Arc::clone(&output);
            thread::spawn(move || output.keep_stdout(stdout));
        }
        if let Some(stderr) = child.stderr.take() {
            pipes.extend(stderr.as_fd().try_clone_to_owned().ok());
            let output = Arc::clone(&output);
            thread::spawn(move || output.keep_stderr(stderr));
        } else {
            lock(&output.state).stderr_ended = true;
        }
        Ok(Program {
            child: Mutex::new(child),
            pid,
            output,
            pipes,
            started: Instant::now(),
            elsewhere: OnceLock::new(),
        })
    }
}

impl Program {
    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// How long ago it was started.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// The address in its first line on stdout: `listening on 127.0.0.1:7002`. What is spoken there may follow
    /// behind a blank, where a program speaks more than one protocol.
    ///
    /// # Errors
    /// When it ends, sleeps or takes its time without having said so.
    pub fn listening(&self) -> Result<SocketAddr, Trouble> {
        let address = |written: &Written| {
            let text = String::from_utf8_lossy(&written.stdout);
            let line = text.lines().next().filter(|_| text.contains('\n'))?;
            line.strip_prefix("listening on ")?.split_whitespace().next()?.parse().ok()
        };
        self.wait_for(address)
    }

    /// Waits until it has written a whole line on stderr of which `wanted` says yes, and gives the line.
    ///
    /// # Errors
    /// When that won't happen any more.
    pub fn says(&self, wanted: impl Fn(&str) -> bool) -> Result<String, Trouble> {
        self.wait_for(|written| written.stderr.iter().find(|line| wanted(line)).cloned())
    }

    /// Waits until it has written a whole line on stdout of which `wanted` says yes, and gives the line.
    ///
    /// # Errors
    /// When that won't happen any more.
    pub fn prints(&self, wanted: impl Fn(&str) -> bool) -> Result<String, Trouble> {
        self.wait_for(|written| {
            let whole = written.stdout.iter().rposition(|byte| *byte == b'\n')?;
            let text = String::from_utf8_lossy(&written.stdout[..whole]);
            text.lines().find(|line| wanted(line)).map(str::to_owned)
        })
    }

    /// Waits until it has ended and closed its output.
    ///
    /// # Errors
    /// When it sleeps, or takes too long.
    pub fn ended(&self) -> Result<ExitStatus, Trouble> {
        let mut watch = Watch::new(self);
        loop {
            if let Some(status) = self.exit_status() {
                self.wait_for_output_to_end();
                return Ok(status);
            }
            match watch.trouble() {
                None | Some(Trouble::Ended { .. }) => thread::sleep(LOOK_EVERY / 10),
                Some(trouble) => return Err(trouble),
            }
        }
    }

    /// How it ended, if it has.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.ended_now(&mut lock(&self.child))
    }

    fn ended_now(&self, child: &mut Child) -> Option<ExitStatus> {
        match self.elsewhere.get() {
            Some(ended) => ended.get().copied(),
            None => child.try_wait().ok().flatten(),
        }
    }

    /// From now on somebody else in this process waits for its end, and puts it into `ended`. A tracer
    /// must: two who wait for the same process take each other's news away (ptrace(2)).
    pub fn is_waited_for_elsewhere(&self, ended: EndedElsewhere) {
        // A second one can't be: a process has one tracer.
        let _ = self.elsewhere.set(ended);
    }

    /// How it ended and its last words, if it has ended.
    pub fn ended_with(&self) -> Option<Trouble> {
        let status = self.exit_status()?;
        Some(Trouble::Ended { status, last_words: self.last_words() })
    }

    /// All that it has written on stdout.
    pub fn stdout(&self) -> Vec<u8> {
        lock(&self.output.state).stdout.clone()
    }

    /// The lines that it has written on stderr, the last few hundred.
    pub fn stderr(&self) -> Vec<String> {
        lock(&self.output.state).stderr.iter().cloned().collect()
    }

    /// Sends it a signal. A program that has ended gets none.
    pub fn signal(&self, signal: Signal) {
        // The lock keeps the process from being reaped, and its number from being given away, meanwhile.
        let mut child = lock(&self.child);
        if self.ended_now(&mut child).is_none() {
            // It may have ended by itself at this moment: then there is nobody to tell.
            let _ = kill(self.pid, signal);
        }
    }

    /// Stops it with a signal and lets it go on: no signal may change what a program does.
    pub fn interrupt(&self) {
        // What has been read has been read, but the program may not be back in the call that waits.
        let _ = self.settled();
        self.stop();
        self.go_on();
    }

    /// Stops it, and waits until all its threads stand still: what comes from now on is there all at once
    /// when it goes on.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        // The signal reaches one thread, and that one stops the others. Where the system can't tell, or
        // the program has ended, there's nothing to wait for.
        let deadline = Instant::now() + PATIENCE;
        let runs = || Snapshot::of(self.pid()).is_some_and(|now| !now.stopped());
        while runs() && self.exit_status().is_none() && Instant::now() < deadline {
            thread::sleep(LOOK_EVERY / 10);
        }
    }

    /// Lets it go on after [`Program::stop`].
    pub fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Has it handle a signal, so that a call that waits fails with EINTR. True if it has; false when it has no
    /// handler left, or the system can't tell.
    ///
    /// Rust's runtime has a handler for SIGBUS and one for SIGSEGV, to recognize a stack overflow. When such a
    /// handler sees that this is none, it takes itself away and returns. So each works once.
    pub fn handles_a_signal(&self) -> bool {
        let handled = |signal: &Signal| {
            let status =
                fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
            let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
            mask.is_some_and(|mask| mask & (1 << (*signal as i32 - 1)) != 0)
        };
        let Some(signal) = [Signal::SIGBUS, Signal::SIGSEGV].into_iter().find(handled) else {
            return false;
        };
        self.signal(signal);
        let deadline = Instant::now() + PATIENCE;
        while handled(&signal) && self.exit_status().is_none() && Instant::now() < deadline {
            thread::sleep(LOOK_EVERY / 10);
        }
        true
    }

    /// Waits until all its threads are asleep and stay so for a moment: it has done what it can do
    /// with what it has been given. A program that only naps between two looks counts as asleep after a few
    /// of them. Where the system can't tell, a pause has to do.
    ///
    /// # Errors
    /// When it ends, or finds no rest.
    pub fn settled(&self) -> Result<(), Trouble> {
        let mut watch = Watch::new(self);
        let mut before = Snapshot::of(self.pid());
        let mut naps = 0;
        loop {
            thread::sleep(LOOK_EVERY * 2);
            if let Some(trouble) = watch.trouble() {
                return if let Trouble::Asleep { .. } = trouble { Ok(()) } else { Err(trouble) };
            }
            let now = Snapshot::of(self.pid());
            let asleep = now.as_ref().is_none_or(Snapshot::asleep);
            naps = if asleep { naps + 1 } else { 0 };
            if asleep && (now == before || naps == NAPS) {
                return Ok(());
            }
            before = now;
        }
    }

    /// What it is doing at this moment, in a sentence without a subject.
    pub fn doing(&self) -> String {
        doing::describe(self.pid())
    }

    /// What it has used, as far as this system tells.
    pub fn usage(&self) -> Option<doing::Usage> {
        doing::usage(self.pid())
    }

    fn wait_for<T>(&self, found: impl Fn(&Written) -> Option<T>) -> Result<T, Trouble> {
        let mut watch = Watch::new(self);
        loop {
            let written = lock(&self.output.state);
            if let Some(value) = found(&written) {
                return Ok(value);
            }
            let all_read = written.stdout_ended && written.stderr_ended;
            let waited = self.output.changed.wait_timeout(written, LOOK_EVERY);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            match watch.trouble() {
                // What it wrote before it ended may still be in the pipe.
                Some(Trouble::Ended { .. }) if !all_read => {}
                // On a busy machine it may have been written, and not been read by us, for all this time.
                Some(trouble) => {
                    thread::sleep(LOOK_EVERY);
                    return found(&lock(&self.output.state)).ok_or(trouble);
                }
                None => {}
            }
        }
    }

    fn wait_for_output_to_end(&self) {
        // A grandchild may hold the pipe open for ever: a second is enough for what was written. Where nobody does, the end comes
        // for certain, however long those who read it have to wait for a processor.
        let began = Instant::now();
        let mut written = lock(&self.output.state);
        while !(written.stdout_ended && written.stderr_ended) {
            let limit = if self.nobody_writes() { PATIENCE } else { WRITTEN_BEFORE };
            if began.elapsed() > limit {
                break;
            }
            let waited = self.output.changed.wait_timeout(written, LOOK_EVERY);
            written = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Nobody has the other ends of its pipes open, neither the program nor whoever it started.
    fn nobody_writes(&self) -> bool {
        self.pipes.iter().all(|pipe| {
            let mut list = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut list, PollTimeout::ZERO);
            list[0].revents().is_some_and(|found| found.contains(PollFlags::POLLHUP))
        })
    }

    fn last_words(&self) -> String {
        self.wait_for_output_to_end();
        let lines = self.stderr();
        let from = lines.len().saturating_sub(4);
        lines[from..].join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        if let Some(ended) = self.elsewhere.get() {
            if ended.get().is_none() {
                let _ = kill(self.pid, Signal::SIGKILL);
            }
            // Whoever waits for it hears of its end at once, unless that one has failed.
            let deadline = Instant::now() + Duration::from_secs(2);
            while ended.get().is_none() && Instant::now() < deadline {
                thread::sleep(LOOK_EVERY / 10);
            }
            if ended.get().is_some() {
                return;
            }
        }
        // Nothing can be done about a process that won't be killed; it has most often ended already.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Looks at a program again and again while something is expected of it.
#[derive(Debug)]
pub struct Watch<'a> {
    program: &'a Program,
    began: Instant,
    patience: Duration,
    cpu_before: Duration,
    seen: Option<Snapshot>,
    looked: Instant,
    /// For how long it has been asleep in the same sleep.
    asleep: Duration,
}

impl<'a> Watch<'a> {
    /// Begins to watch.
    pub fn new(program: &'a Program) -> Self {
        Self {
            program,
            began: Instant::now(),
            patience: PATIENCE,
            cpu_before: program.usage().unwrap_or_default().cpu,
            seen: None,
            looked: Instant::now(),
            asleep: Duration::ZERO,
        }
    }

    /// Why it's no use to wait any longer, if it isn't. To be asked every now and then.
    pub fn trouble(&mut self) -> Option<Trouble> {
        if let Some(ended) = self.program.ended_with() {
            return Some(ended);
        }
        // One that is awake may be about to do it, where many others want a processor.
        let patience = match Snapshot::of(self.program.pid()) {
            Some(now) if !now.asleep() => self.patience * AWAKE,
            _ => self.patience,
        };
        if self.began.elapsed() > patience {
            let doing = self.program.doing();
            return Some(Trouble::TooLong { doing });
        }
        let cpu = self.program.usage().unwrap_or_default().cpu;
        if cpu.saturating_sub(self.cpu_before) > busy_for_nothing() {
            return Some(Trouble::Spinning);
        }
        // Whatever holds us up between two looks must not count as the program's sleep: it may hold up as well
        // who is about to wake it.
        let since = self.looked.elapsed().min(2 * LOOK_EVERY);
        let same_sleep = self.is_in_the_same_sleep();
        self.looked = Instant::now();
        self.asleep = if same_sleep { self.asleep + since } else { Duration::ZERO };
        if self.asleep > ASLEEP_FOR_GOOD {
            let doing = self.program.doing();
            // It may have been woken meanwhile.
            if self.is_in_the_same_sleep() {
                return Some(Trouble::Asleep { doing });
            }
            self.asleep = Duration::ZERO;
        }
        None
    }

    /// Asleep in the same sleep as before: not once scheduled in between, whatever the machine's load.
    fn is_in_the_same_sleep(&mut self) -> bool {
        let now = Snapshot::of(self.program.pid());
        let same = now.as_ref().is_some_and(Snapshot::asleep) && now == self.seen;
        if !same {
            self.seen = now;
        }
        same
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ended { status, last_words } if last_words.is_empty() => {
                write!(f, "it ended ({status}) without a word")
            }
            Self::Ended { status, last_words } => {
                write!(f, "it ended ({status}); its last words:\n{last_words}")
            }
            Self::Asleep { doing } => write!(f, "it {doing}"),
            Self::Spinning => {
                let seconds = busy_for_nothing().as_secs_f64();
                write!(
                    f,
                    "it turns in a loop that never waits: {seconds} s of CPU time, for nothing"
                )
            }
            Self::TooLong { doing } => {
                write!(f, "it did nothing of the kind for {} s; it {doing}", PATIENCE.as_secs())
            }
        }
    }
}

impl Output {
    fn keep_stdout(&self, mut pipe: impl Read) {
        let mut buffer = [0; 4096];
        loop {
            match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    let stdout = &mut lock(&self.state).stdout;
                    let room = MOST_KEPT.saturating_sub(stdout.len());
                    stdout.extend_from_slice(&buffer[..count.min(room)]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            }
            self.changed.notify_all();
        }
        lock(&self.state).stdout_ended = true;
        self.changed.notify_all();
    }

    fn keep_stderr(&self, pipe: impl Read) {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while matches!((&mut pipe).take(LONGEST_LINE).read_until(b'\n', &mut line), Ok(count) if count > 0)
        {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            let mut written = lock(&self.state);
            if written.stderr.len() == LAST_WORDS {
                written.stderr.pop_front();
            }
            written.stderr.push_back(text);
            drop(written);
            self.changed.notify_all();
        }
        lock(&self.state).stderr_ended = true;
        self.changed.notify_all();
    }
}

/// A panicking check must still be able to end its program.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
