//! Counts the system calls that programs make for a while, and lets go of them again.
//!
//! The lens proper looks at calls that can wait, and stays until the program ends. Here each call counts, what it's about
//! doesn't, and the program goes on without us.

use std::collections::HashSet;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace;
use nix::unistd::Pid;
use visitors::calls::{self, Kind};

use crate::Blind;
use crate::kernel::{self, At, News, Onward};
use crate::tracer::{is_traced, options, tasks};

/// All of them were seen asleep, and for so long nothing has happened: whatever was begun is over.
const QUIET: Duration = Duration::from_millis(1);
/// A program that isn't quiet by then never will be.
const NEVER_QUIET: Duration = Duration::from_secs(1);
/// How often it's looked whether anything has happened.
const LOOK_EVERY: Duration = Duration::from_micros(50);

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// System calls that were begun.
    pub calls: u64,
    /// Those among them that ask who is ready: `select`, `poll`, `epoll_wait` and their like.
    pub turns: u64,
}

/// Programs whose calls are counted, with all of their threads, until this is dropped.
#[derive(Debug)]
pub struct Counting {
    programs: Vec<Pid>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    calls: AtomicU64,
    turns: AtomicU64,
    /// Something has happened since this was last taken.
    has_news: AtomicBool,
    ends: AtomicBool,
    /// One of the programs ended meanwhile: its status, as wait(2) gives it. Nobody else will be told.
    ended: OnceLock<(Pid, i32)>,
}

impl Counting {
    /// Takes hold of `programs`. Calls in which they wait are begun again by the kernel (`epoll_wait` fails with EINTR,
    /// once), and count for nothing. While it counts, nobody else in this process may ask for their end: two who wait for
    /// the same process take each other's news away (ptrace(2)).
    ///
    /// # Errors
    /// Why nothing can be counted here.
    pub fn on(programs: &[Pid]) -> Result<Self, Blind> {
        let shared = Arc::new(Shared::default());
        let (tell, told) = channel();
        let (of_thread, all) = (Arc::clone(&shared), programs.to_vec());
        // The kernel knows a tracer by its thread. When that ends, all that it held go on alone.
        let count = move || {
            let held = hold(&all);
            let is_held = held.is_ok();
            let _ = tell.send(held);
            if is_held {
                of_thread.count(&all);
            }
        };
        let thread = thread::Builder::new().name("count".to_owned()).spawn(count);
        let thread = thread.map_err(|_| Blind::Failed(Errno::EAGAIN))?;
        let programs = programs.to_vec();
        let counting = Self { programs, shared, thread: Some(thread) };
        told.recv().unwrap_or(Err(Blind::Gone))?;
        counting.until_quiet();
        counting.shared.calls.store(0, Ordering::Relaxed);
        counting.shared.turns.store(0, Ordering::Relaxed);
        Ok(counting)
    }

    /// What they have done since, once they are quiet again.
    pub fn counts(&self) -> Counts {
        self.until_quiet();
        Counts {
            calls: self.shared.calls.load(Ordering::Relaxed),
            turns: self.shared.turns.load(Ordering::Relaxed),
        }
    }

    /// One of them that has ended meanwhile, and how, as wait(2) says it: whoever waits for it isn't told any more.
    pub fn ended(&self) -> Option<(Pid, i32)> {
        self.shared.ended.get().copied()
    }

    /// Looked at one after the other, they may have been asleep in turns: so it's looked twice.
    fn until_quiet(&self) {
        let began = Instant::now();
        let are_asleep = || self.programs.iter().flat_map(|program| tasks(*program)).all(is_asleep);
        loop {
            self.shared.has_news.store(false, Ordering::Relaxed);
            let were_asleep = are_asleep();
            thread::sleep(QUIET);
            let had_news = || self.shared.has_news.load(Ordering::Relaxed);
            if were_asleep && are_asleep() && !had_news() || began.elapsed() > NEVER_QUIET {
                return;
            }
        }
    }
}

/// Or has ended.
fn is_asleep(thread: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{thread}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, behind)| behind.chars().next());
    state.is_none_or(|state| matches!(state, 'S' | 'Z' | 'X'))
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        // If it has panicked, the kernel has let go of them all the same.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Shared {
    /// Until it's told to end, or nobody is left.
    fn count(&self, programs: &[Pid]) {
        while !self.ends.load(Ordering::Relaxed) {
            match kernel::news() {
                Ok(None) => thread::sleep(LOOK_EVERY),
                Ok(Some((thread, news))) => {
                    self.has_news.store(true, Ordering::Relaxed);
                    match news {
                        News::Gone(status) if programs.contains(&thread) => {
                            let _ = self.ended.set((thread, status));
                        }
                        News::Gone(_) => {}
                        News::Stopped { signal, event } => {
                            let (onward, signal) = self.stopped(thread, signal, event);
                            // It may have been killed meanwhile: then that is the next news.
                            let _ = kernel::resume(thread, onward, signal);
                        }
                    }
                }
                Err(Errno::EINTR) => {}
                // Nobody is left.
                Err(_) => return,
            }
        }
    }

    fn stopped(&self, thread: Pid, signal: i32, event: i32) -> (Onward, i32) {
        let is_stop =
            |signal| [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].contains(&signal);
        match event {
            0 if signal == libc::SIGTRAP | 0x80 => {
                if let Ok(At::Entry { number, .. }) = kernel::at(thread) {
                    self.calls.fetch_add(1, Ordering::Relaxed);
                    let call = i64::try_from(number).ok().and_then(calls::find);
                    if call.is_some_and(|call| call.kind == Kind::Ready) {
                        self.turns.fetch_add(1, Ordering::Relaxed);
                    }
                }
                (Onward::ToNextCall, 0)
            }
            0 => (Onward::ToNextCall, signal),
            libc::PTRACE_EVENT_STOP if is_stop(signal) => (Onward::Stopped, 0),
            _ => (Onward::ToNextCall, 0),
        }
    }
}

/// All of their threads. Some begin while others are taken hold of: until no new one is found.
fn hold(programs: &[Pid]) -> Result<(), Blind> {
    let mut held = HashSet::new();
    for program in programs {
        loop {
            let new: Vec<Pid> =
                tasks(*program).into_iter().filter(|thread| held.insert(*thread)).collect();
            if new.is_empty() {
                break;
            }
            for thread in new {
                match ptrace::seize(thread, options()) {
                    // It has ended meanwhile, or the one that began it, which is held, has brought it along.
                    Err(Errno::ESRCH) => continue,
                    Err(Errno::EPERM) if thread != *program && is_traced(thread) => continue,
                    result => result?,
                }
                // Its calls are seen from its next stop on: this is one.
                let _ = ptrace::interrupt(thread);
            }
        }
    }
    if held.is_empty() { Err(Blind::Gone) } else { Ok(()) }
}
