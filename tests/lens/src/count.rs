//! Counts the system calls that programs make for a while, and lets go of them again.
//!
//! The lens proper looks at calls that can wait, and stays until the program ends. Here each call counts, what it's about
//! doesn't; and afterwards the program goes on alone.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace;
use nix::unistd::Pid;
use visitors::calls::{self, Kind};
use visitors::doing::Snapshot;

use crate::Blind;
use crate::kernel::{self, At, News, Onward};
use crate::tracer::{is_stop, is_traced, options, tasks};

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
    /// They were quiet when it began: what is counted was begun since.
    began_quiet: bool,
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
    /// A call wasn't seen: the kernel is too old, or the program is of another architecture.
    is_blind: AtomicBool,
    /// The programs that ended meanwhile, and their status, as wait(2) gives it. Nobody else will be told.
    ended: Mutex<Vec<(Pid, i32)>>,
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
        let mut counting = Self { began_quiet: false, programs, shared, thread: Some(thread) };
        told.recv().unwrap_or(Err(Blind::Gone))?;
        counting.began_quiet = counting.is_quiet_soon();
        counting.shared.calls.store(0, Ordering::Relaxed);
        counting.shared.turns.store(0, Ordering::Relaxed);
        Ok(counting)
    }

    /// What they have done since, once they are quiet again. `None`: they never were, or their calls can't be told.
    pub fn counts(&self) -> Option<Counts> {
        let is_known = self.began_quiet
            && self.is_quiet_soon()
            && !self.shared.is_blind.load(Ordering::Relaxed);
        is_known.then(|| Counts {
            calls: self.shared.calls.load(Ordering::Relaxed),
            turns: self.shared.turns.load(Ordering::Relaxed),
        })
    }

    /// Lets go of them. Gives those that have ended meanwhile, and how, as wait(2) says it: whoever waits for them isn't told
    /// any more.
    pub fn finish(mut self) -> Vec<(Pid, i32)> {
        self.let_go();
        let ended = self.shared.ended.lock();
        ended.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn let_go(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        // If it has panicked, the kernel has let go of them all the same.
        let _ = self.thread.take().map(JoinHandle::join);
    }

    /// Looked at one after the other, they may have been asleep in turns: so it's looked twice.
    fn is_quiet_soon(&self) -> bool {
        let began = Instant::now();
        let are_asleep = || {
            let looks = self.programs.iter().map(|program| Snapshot::of(program.as_raw()));
            // Of one that has ended, there is none.
            looks.flatten().all(|look| look.asleep())
        };
        loop {
            self.shared.has_news.store(false, Ordering::Relaxed);
            let were_asleep = are_asleep();
            thread::sleep(QUIET);
            let had_news = || self.shared.has_news.load(Ordering::Relaxed);
            if were_asleep && are_asleep() && !had_news() {
                return true;
            }
            if began.elapsed() > NEVER_QUIET {
                return false;
            }
        }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.let_go();
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
                            let ended = self.ended.lock();
                            ended.unwrap_or_else(PoisonError::into_inner).push((thread, status));
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

    /// It's stopped where a call begins or ends.
    fn look_at(&self, thread: Pid) {
        match kernel::at(thread) {
            Ok(At::Entry { number, .. }) => {
                self.calls.fetch_add(1, Ordering::Relaxed);
                let call = i64::try_from(number).ok().and_then(calls::find);
                if call.is_some_and(|call| call.kind == Kind::Ready) {
                    self.turns.fetch_add(1, Ordering::Relaxed);
                }
            }
            // Killed meanwhile: that is the next news.
            Ok(At::Exit(_)) | Err(Errno::ESRCH) => {}
            Ok(At::Elsewhere) | Err(_) => self.is_blind.store(true, Ordering::Relaxed),
        }
    }

    fn stopped(&self, thread: Pid, signal: i32, event: i32) -> (Onward, i32) {
        match event {
            0 if signal == libc::SIGTRAP | 0x80 => {
                self.look_at(thread);
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
                    // It has ended meanwhile.
                    Err(Errno::ESRCH) => continue,
                    // The one that began it is held, and has brought it along.
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
