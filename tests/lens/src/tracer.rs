//! The tracer: it stops the program where a call that can wait begins and ends, looks at the clock,
//! and lets it go on (ptrace(2)).
//!
//! [`Tracer::run`] is the whole of it: the next piece of news, one step for each kind. All of it
//! happens on one thread, because the kernel knows a tracer by its thread.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use visitors::calls::{self, Kind};

use crate::Blind;
use crate::descriptors::{self, Descriptors, NAMING, Thing, descriptor};
use crate::interest::Interests;
use crate::kernel::{self, At, News, Onward};
use crate::launch::READY;
use crate::memory::{self, EpollEvent};
use crate::record::{self, Call, HARDLY_A_WAIT, Outcome, microseconds};

/// A call that is over in less didn't wait. So long we look for its end without going to sleep: to be
/// woken would take longer, and the program would stand still meanwhile.
const AT_ONCE: Duration = Duration::from_micros(50);

/// How long it's let be, when it was seen awake in a call.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// A call that took so long and wasn't seen asleep may have been, while we were kept from looking: then the
/// kernel's count says so. For shorter ones it would take a sleep before the call for one in it.
const OVERLOOKED: Duration = Duration::from_millis(1);

/// What a tracer tells whoever runs it.
#[derive(Clone, Debug)]
pub enum Seen {
    /// The program has begun. What was before was the way there.
    Begun,
    /// A call is over.
    Call(Call),
    /// A thread is over.
    Thread(record::Thread),
    /// A signal was given to the program.
    Signal(record::Signal),
}

/// A call that a thread is inside.
#[derive(Clone, Debug)]
pub struct Inside {
    /// The thread's number.
    pub thread: u32,
    /// The call's name.
    pub call: &'static str,
    /// What it waits for.
    pub kind: Kind,
    /// The descriptor that it waits for.
    pub descriptor: Option<i64>,
    /// What that is.
    pub what: Option<Thing>,
    /// Since when.
    pub since: Instant,
    /// Whether it was seen asleep.
    pub slept: bool,
}

/// The calls that the program's threads are inside, by the thread's number: to be looked at from other threads.
pub type AllInside = Arc<Mutex<BTreeMap<u32, Inside>>>;

/// Traces a program: its threads, and the processes that it starts.
#[derive(Debug)]
pub struct Tracer {
    main: Pid,
    /// Times are counted from here.
    origin: Instant,
    /// A filter in the kernel stops the program at the calls that are looked for. Without one it
    /// stops at each.
    filtered: bool,
    /// The next program that it becomes is the one that was asked for.
    ready: bool,
    /// That one runs.
    begun: bool,
    threads: HashMap<Pid, Thread>,
    last_number: u32,
    descriptors: Descriptors,
    interests: Interests,
    inside: AllInside,
    /// The threads inside calls that may turn out to take longer than [`AT_ONCE`], in the order of their
    /// entry.
    fresh: VecDeque<(Instant, Pid)>,
    /// Those among them that were seen awake: when, and since when they are inside.
    awake: VecDeque<(Instant, Instant, Pid)>,
    /// How the main process ended, as wait(2) says it.
    status: Option<i32>,
    /// `select`, `poll` and `epoll_wait` tell the program that everybody is ready whom it asked about,
    /// whenever somebody is.
    lies: bool,
}

#[derive(Debug)]
struct Thread {
    number: u32,
    tid: Pid,
    process: Pid,
    name: String,
    began: Duration,
    call: Option<Entered>,
    /// The call that the kernel will begin again under the name `restart_syscall`.
    to_restart: Option<(&'static calls::Call, [u64; 6])>,
    /// For a lie: the sets that select was given.
    asked: Vec<(u64, Vec<u8>)>,
    /// How often it had been put to sleep when we last looked, when that was, and how often we have
    /// stopped it since.
    counted: Option<u64>,
    counted_at: Option<Instant>,
    stops: u64,
}

/// A call that has begun.
#[derive(Clone, Copy, Debug)]
struct Entered {
    /// `None` for one of [`NAMING`] that doesn't wait.
    call: Option<&'static calls::Call>,
    number: i64,
    arguments: [u64; 6],
    watched: Option<u64>,
    began: Instant,
    /// It was seen asleep.
    slept: bool,
}

impl Entered {
    /// The descriptor that it's for, if that can be told to refuse to wait.
    fn may_refuse(&self) -> Option<i64> {
        let waits = matches!(self.call?.kind, Kind::Read | Kind::Write | Kind::Accept);
        waits.then(|| descriptor(self.arguments[0]))
    }
}

impl Tracer {
    /// Takes hold of a program that waits for it (see [`crate::launch`]). With `filtered`, it has
    /// a filter.
    ///
    /// # Errors
    /// Why it can't be done here.
    pub fn seize(main: Pid, filtered: bool) -> Result<Self, Blind> {
        let mut options = options();
        // Whoever ends the lens ends the program: it could not go on with a filter and no tracer.
        options |= Options::PTRACE_O_EXITKILL;
        if filtered {
            options |= Options::PTRACE_O_TRACESECCOMP;
        }
        ptrace::seize(main, options)?;
        Ok(Self::new(main, filtered, false))
    }

    /// Takes hold of a program that runs, with all its threads. Calls that wait are begun again by
    /// the kernel; `epoll_wait` fails with EINTR, once.
    ///
    /// # Errors
    /// Why it can't be done here.
    pub fn attach(main: Pid) -> Result<Self, Blind> {
        let mut tracer = Self::new(main, false, true);
        let mut held = Vec::new();
        // Threads begin while others are taken hold of: until no new one is found.
        loop {
            let new: Vec<Pid> = tasks(main).into_iter().filter(|t| !held.contains(t)).collect();
            if new.is_empty() {
                break;
            }
            for thread in new {
                held.push(thread);
                match ptrace::seize(thread, options()) {
                    // It may have ended meanwhile.
                    Err(Errno::ESRCH) => continue,
                    Err(Errno::EPERM) if thread != main && is_traced(thread) => continue,
                    result => result?,
                }
                tracer.meet(thread);
                if let Some(met) = tracer.threads.get_mut(&thread) {
                    // Begun again, it may be called otherwise.
                    met.to_restart = inside_now(main, thread);
                }
                // Its calls are seen from its next stop on: this is one.
                let _ = ptrace::interrupt(thread);
            }
        }
        Ok(tracer)
    }

    fn new(main: Pid, filtered: bool, begun: bool) -> Self {
        Self {
            main,
            origin: Instant::now(),
            filtered,
            ready: begun,
            begun,
            threads: HashMap::new(),
            last_number: 0,
            descriptors: Descriptors::default(),
            interests: Interests::default(),
            inside: AllInside::default(),
            fresh: VecDeque::new(),
            awake: VecDeque::new(),
            status: None,
            lies: false,
        }
    }

    /// From now on `select`, `poll` and `epoll_wait` lie to the program: whenever somebody is ready, all
    /// whom it asked about seem to be. (The number that `select` and `poll` return stays the true one.)
    pub fn lie(&mut self) {
        self.lies = true;
    }

    /// The calls that its threads are inside.
    pub fn inside(&self) -> AllInside {
        Arc::clone(&self.inside)
    }

    /// Runs the program to its end, with all that it started, and tells what it sees. Gives the
    /// main process's status, as wait(2) says it; `ended` hears of that as soon as it's known.
    pub fn run(&mut self, tell: &mut dyn FnMut(&Self, Seen), ended: &mut dyn FnMut(i32)) -> i32 {
        loop {
            match self.next_news() {
                Ok((thread, News::Gone(status))) => {
                    self.lose(thread, "the thread ended", tell);
                    if thread == self.main {
                        self.status = Some(status);
                        ended(status);
                    }
                }
                Ok((thread, News::Stopped { signal, event })) => {
                    self.meet(thread);
                    let (onward, signal) = self.stopped(thread, signal, event, tell);
                    // It may have been killed meanwhile: then that is the next news.
                    let _ = kernel::resume(thread, onward, signal);
                }
                Err(Errno::EINTR) => {}
                // Nobody is left.
                Err(_) => return self.status.unwrap_or(0),
            }
        }
    }

    /// What happens next. If it doesn't at once, there is time to look who sleeps.
    fn next_news(&mut self) -> nix::Result<(Pid, News)> {
        let quiet_from = Instant::now() + AT_ONCE;
        loop {
            if let Some(news) = kernel::news()? {
                // Where there is always news, there is never time: then it's taken.
                self.look_who_sleeps();
                return Ok(news);
            }
            if Instant::now() < quiet_from {
                // The program may be waiting for this very processor.
                thread::yield_now();
                continue;
            }
            self.look_who_sleeps();
            if self.awake.is_empty() {
                return kernel::next_news();
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Looks at the calls that aren't over at once: has the kernel put the thread to sleep?
    fn look_who_sleeps(&mut self) {
        while self.fresh.front().is_some_and(|(since, _)| since.elapsed() > AT_ONCE) {
            let Some((since, tid)) = self.fresh.pop_front() else { return };
            self.look_whether_it_sleeps(since, tid);
        }
        while self.awake.front().is_some_and(|(seen, ..)| seen.elapsed() > LOOK_AGAIN) {
            let Some((_, since, tid)) = self.awake.pop_front() else { return };
            self.look_whether_it_sleeps(since, tid);
        }
    }

    fn look_whether_it_sleeps(&mut self, since: Instant, tid: Pid) {
        let Some(thread) = self.threads.get_mut(&tid) else { return };
        if thread.call.is_none_or(|call| call.began != since) {
            return;
        }
        let slept = match thread.look() {
            Some(('S' | 'D', _)) => true,
            // It's at a stop that we haven't heard of yet: the count has it already.
            Some(('t', sleeps)) => {
                thread.has_slept(sleeps.saturating_sub(1)) && since.elapsed() > OVERLOOKED
            }
            // Gone, or out of descriptors to look with.
            None => return,
            Some(_) => {
                // At work in the call; or it waits for a processor, and then it may go to sleep yet.
                self.awake.push_back((Instant::now(), since, tid));
                return;
            }
        };
        if let Some(call) = &mut thread.call {
            call.slept = slept;
        }
        if let Some(inside) = lock(&self.inside).get_mut(&thread.number) {
            inside.slept = slept;
        }
    }

    /// When the run began.
    pub fn origin(&self) -> Instant {
        self.origin
    }

    /// A thread has stopped: what for, and how does it go on?
    fn stopped(
        &mut self,
        tid: Pid,
        signal: i32,
        event: i32,
        tell: &mut dyn FnMut(&Self, Seen),
    ) -> (Onward, i32) {
        let seen = Instant::now();
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.stops += 1;
        }
        match event {
            libc::PTRACE_EVENT_SECCOMP => self.look_at_call(tid, seen, tell),
            libc::PTRACE_EVENT_EXEC => {
                self.executed(tid, tell);
                (self.onward(tid), 0)
            }
            libc::PTRACE_EVENT_STOP if is_stop(signal) => (Onward::Stopped, 0),
            0 if signal == libc::SIGTRAP | 0x80 => self.look_at_call(tid, seen, tell),
            0 if !self.begun => {
                self.ready |= signal == READY as i32;
                (self.onward(tid), if signal == READY as i32 { 0 } else { signal })
            }
            0 => {
                self.tell_of_signal(tid, signal, tell);
                (self.onward(tid), signal)
            }
            libc::PTRACE_EVENT_CLONE | libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK => {
                // Met here, threads are numbered in the order in which they were started.
                if let Ok(new) = ptrace::getevent(tid) {
                    self.meet(Pid::from_raw(i32::try_from(new).unwrap_or(0)));
                }
                (self.onward(tid), 0)
            }
            // A thread's first stop.
            _ => {
                if let Some(thread) = self.threads.get_mut(&tid) {
                    // It may have begun to wait since we looked, and before we stopped it.
                    let inside = || inside_now(thread.process, tid);
                    thread.to_restart = thread.to_restart.take().or_else(inside);
                }
                (self.onward(tid), 0)
            }
        }
    }

    fn onward(&self, tid: Pid) -> Onward {
        let inside = self.threads.get(&tid).is_some_and(|thread| thread.call.is_some());
        match self.begun && (inside || !self.filtered) {
            true => Onward::ToNextCall,
            false => Onward::ToNextEvent,
        }
    }

    /// It's stopped where a call begins or ends.
    fn look_at_call(
        &mut self,
        tid: Pid,
        seen: Instant,
        tell: &mut dyn FnMut(&Self, Seen),
    ) -> (Onward, i32) {
        match kernel::at(tid) {
            Ok(At::Entry { number, arguments }) => self.enter(tid, number, arguments),
            Ok(At::Exit(result)) => self.leave(tid, result, seen, tell),
            _ => {}
        }
        if let Some(call) = self.threads.get_mut(&tid).and_then(|thread| thread.call.as_mut()) {
            // As late as can be: what we did meanwhile isn't the program's waiting.
            call.began = Instant::now();
            self.fresh.push_back((call.began, tid));
        }
        (self.onward(tid), 0)
    }

    fn enter(&mut self, tid: Pid, number: u64, arguments: [u64; 6]) {
        let Some(thread) = self.threads.get_mut(&tid) else { return };
        let number = i64::try_from(number).unwrap_or(-1);
        let mut arguments = arguments;
        let call = match (calls::find(number), thread.to_restart.take()) {
            (Some(_), Some((call, begun_with))) if number == libc::SYS_restart_syscall => {
                arguments = begun_with;
                Some(call)
            }
            (call, _) => call,
        };
        if call.is_none() && !NAMING.contains(&number) && !is_dup2(number) {
            return;
        }
        if !calls::can_wait(number, &arguments) {
            return;
        }
        if number == libc::SYS_clone3
            && memory::word(tid, arguments[0])
                .is_none_or(|flags| flags & calls::CLONE3_THAT_WAITS == 0)
        {
            return;
        }
        let process = thread.process;
        if thread.counted_at.is_none_or(|counted| counted.elapsed() > OVERLOOKED) {
            // It may have slept in a call that isn't looked for: this one mustn't be blamed for that.
            let sleeps = thread.look().map(|(_, sleeps)| sleeps);
            let _ = sleeps.map(|sleeps| thread.has_slept(sleeps));
        }
        let watched = call.and_then(|call| watched(tid, call.name, &arguments));
        thread.call =
            Some(Entered { call, number, arguments, watched, began: Instant::now(), slept: false });
        let Some(call) = call else { return };
        if self.lies && calls::family(call.name) == "select" {
            let sets = arguments[1..4].iter();
            thread.asked =
                sets.filter_map(|set| memory::bytes_of_set(tid, *set, arguments[0])).collect();
        }
        let descriptor = call.kind.names_a_descriptor().then(|| descriptor(arguments[0]));
        if call.kind == Kind::Connect {
            // Before, the socket had nobody at its other end; now it has, or it will never have.
            if let Some(address) = memory::socket_address(tid, arguments[1]) {
                self.descriptors.learn(process, descriptor.unwrap_or(-1), Thing::Peer(0, address));
            }
        }
        let inside = Inside {
            thread: thread.number,
            call: call.name,
            kind: call.kind,
            descriptor,
            what: descriptor.and_then(|number| match call.kind {
                // So many are closed that it isn't found out for all; and the kernel has forgotten it already.
                Kind::Linger => self.descriptors.known(process, number),
                _ => Some(self.descriptors.get(process, number)),
            }),
            since: Instant::now(),
            slept: false,
        };
        lock(&self.inside).insert(inside.thread, inside);
    }

    fn leave(&mut self, tid: Pid, result: i64, seen: Instant, tell: &mut dyn FnMut(&Self, Seen)) {
        let Some(thread) = self.threads.get_mut(&tid) else { return };
        let Some(entered) = thread.call.take() else { return };
        let process = thread.process;
        let took = seen.saturating_duration_since(entered.began);
        // Counted even where it was seen asleep: or the next call would be taken for the sleeper.
        let counted =
            took > AT_ONCE && thread.look().is_some_and(|(_, sleeps)| thread.has_slept(sleeps));
        // A descriptor that refuses to wait can't have been waited for. What looks like it is a lock inside
        // the kernel, or a page that wasn't there, on a machine that has a lot to do.
        let slept = (entered.slept || counted && took > OVERLOOKED)
            && !entered.may_refuse().is_some_and(|it| descriptors::refuses_to_wait(process, it));
        let number = thread.number;
        if result == -RESTART_BLOCK {
            thread.to_restart = entered.call.map(|call| (call, entered.arguments));
        }
        if NAMING.contains(&entered.number) || is_dup2(entered.number) {
            self.renamed(tid, process, &entered, result);
        }
        let Some(call) = entered.call else { return };
        let inside = lock(&self.inside).remove(&number);
        if call.seldom && !(slept && took >= HARDLY_A_WAIT) {
            return;
        }
        let outcome = outcome(result);
        let what = inside.as_ref().and_then(|inside| inside.what.clone());
        let accepted = (call.kind == Kind::Accept && result >= 0).then(|| {
            let thing = match (memory::socket_address(tid, entered.arguments[1]), &what) {
                (Some(address), Some(Thing::Listener(port))) => Thing::Peer(*port, address),
                _ => {
                    self.descriptors.forget(process, result);
                    self.descriptors.get(process, result)
                }
            };
            self.descriptors.learn(process, result, thing.clone());
            thing.to_string()
        });
        let ready = self.ready(tid, process, call.name, &entered.arguments, result);
        if self.lies && result > 0 {
            self.tell_a_lie(tid, process, call.name, &entered.arguments, result);
        }
        let call = Call {
            thread: number,
            call: call.name.to_owned(),
            descriptor: inside.and_then(|inside| inside.descriptor),
            what: what.map(|what| what.to_string()),
            watched: entered.watched,
            began_us: microseconds(entered.began.saturating_duration_since(self.origin)),
            took_us: microseconds(took),
            waited: slept,
            outcome,
            accepted,
            ready,
        };
        self.tell_if_begun(Seen::Call(call), tell);
    }

    /// Who was ready, after select, poll or epoll_wait. Nobody, where it can't be told.
    fn ready(
        &mut self,
        tid: Pid,
        process: Pid,
        name: &str,
        arguments: &[u64; 6],
        result: i64,
    ) -> Vec<String> {
        if result <= 0 {
            return Vec::new();
        }
        let mut descriptors = match calls::family(name) {
            "poll" => memory::ready_of_poll(tid, arguments[0], arguments[1]),
            "select" => members_of_sets(tid, arguments),
            "epoll_wait" => {
                let events = events_of_epoll(tid, arguments, result);
                let epoll = descriptor(arguments[0]);
                let reported = self.interests.reported(process, epoll, &events);
                reported.filter(|all| all.len() <= memory::MOST).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        descriptors.sort_unstable();
        descriptors.dedup();
        descriptors
            .into_iter()
            .map(|descriptor| self.descriptors.get(process, descriptor).to_string())
            .collect()
    }

    /// Everybody is ready, the program is told.
    fn tell_a_lie(
        &mut self,
        tid: Pid,
        process: Pid,
        name: &str,
        arguments: &[u64; 6],
        result: i64,
    ) {
        match calls::family(name) {
            "poll" => memory::report_everybody(tid, arguments[0], arguments[1]),
            "select" => {
                let asked =
                    self.threads.get_mut(&tid).map(|thread| std::mem::take(&mut thread.asked));
                asked.iter().flatten().for_each(|set| memory::put_back_set(tid, set));
            }
            "epoll_wait" if memory::CAN_CHANGE_RESULTS => {
                let events = events_of_epoll(tid, arguments, result);
                if events.is_empty() {
                    return;
                }
                let (epoll, most) = (descriptor(arguments[0]), descriptor(arguments[2]));
                let room = usize::try_from(most - result).unwrap_or(0);
                let others = self.interests.others(process, epoll, &events, room);
                memory::report_more(tid, arguments[1], events.len(), &others);
            }
            _ => {}
        }
    }

    /// A call has made descriptors mean something else.
    fn renamed(&mut self, tid: Pid, process: Pid, entered: &Entered, result: i64) {
        let first = descriptor(entered.arguments[0]);
        match entered.number {
            libc::SYS_listen | libc::SYS_epoll_ctl if result < 0 => {}
            libc::SYS_listen => {
                self.descriptors.forget(process, first);
                if !matches!(self.descriptors.get(process, first), Thing::Listener(_)) {
                    self.descriptors.learn(process, first, Thing::Listener(0));
                }
            }
            libc::SYS_epoll_ctl => self.interests.changed(process, tid, &entered.arguments),
            libc::SYS_close => {
                self.descriptors.forget(process, first);
                self.interests.closed(process, first);
            }
            libc::SYS_close_range => self.forget_all(process),
            // A duplicate takes another one's place.
            _ => {
                self.descriptors.forget(process, descriptor(entered.arguments[1]));
                self.interests.forget_all(process);
            }
        }
    }

    /// All of a process may have changed.
    fn forget_all(&mut self, process: Pid) {
        self.descriptors.forget_all(process);
        self.interests.forget_all(process);
    }

    /// A process runs another program. All its other threads are gone.
    fn executed(&mut self, tid: Pid, tell: &mut dyn FnMut(&Self, Seen)) {
        if let Ok(former) = ptrace::getevent(tid) {
            let former = Pid::from_raw(i32::try_from(former).unwrap_or(0));
            let others: Vec<Pid> = self
                .threads
                .iter()
                .filter(|(other, thread)| thread.process == tid && **other != former)
                .map(|(other, _)| *other)
                .collect();
            for other in others {
                self.lose(other, "another thread has replaced the program", tell);
            }
            // The thread that did it goes on under the process's number.
            if let Some(thread) = self.threads.remove(&former) {
                self.threads.insert(tid, Thread { tid, call: None, ..thread });
            }
        }
        self.meet(tid);
        self.forget_all(tid);
        if self.ready && !self.begun && tid == self.main {
            self.begun = true;
            self.origin = Instant::now();
            if let Some(thread) = self.threads.get_mut(&tid) {
                thread.began = Duration::ZERO;
            }
            tell(self, Seen::Begun);
        }
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.name = name(tid, tid);
        }
    }

    /// A thread that we haven't seen before.
    fn meet(&mut self, tid: Pid) {
        if self.threads.contains_key(&tid) {
            return;
        }
        let process = process_of(tid);
        self.last_number += 1;
        let thread = Thread {
            number: self.last_number,
            tid,
            process,
            name: name(process, tid),
            began: self.origin.elapsed(),
            call: None,
            to_restart: None,
            asked: Vec::new(),
            counted: None,
            counted_at: None,
            stops: 0,
        };
        self.threads.insert(tid, thread);
    }

    /// A thread is gone.
    fn lose(&mut self, tid: Pid, why: &str, tell: &mut dyn FnMut(&Self, Seen)) {
        let Some(mut thread) = self.threads.remove(&tid) else { return };
        let now = Instant::now();
        let inside = lock(&self.inside).remove(&thread.number);
        if let (Some(entered), Some(inside)) = (thread.call.take(), inside) {
            let call = unfinished(&inside, entered.watched, self.origin, now, why);
            if entered.call.is_none_or(|of| !of.seldom) || call.blocked() >= HARDLY_A_WAIT {
                self.tell_if_begun(Seen::Call(call), tell);
            }
        }
        if tid == thread.process {
            self.forget_all(tid);
        }
        let thread = record::Thread {
            thread: thread.number,
            tid: tid.as_raw(),
            pid: thread.process.as_raw(),
            name: thread.name,
            began_us: microseconds(thread.began),
            ended_us: microseconds(now.saturating_duration_since(self.origin)),
        };
        self.tell_if_begun(Seen::Thread(thread), tell);
    }

    fn tell_of_signal(&mut self, tid: Pid, signal: i32, tell: &mut dyn FnMut(&Self, Seen)) {
        let thread = self.threads.get(&tid).map_or(0, |thread| thread.number);
        let at_us = microseconds(self.origin.elapsed());
        let signal = signal_name(signal);
        self.tell_if_begun(Seen::Signal(record::Signal { thread, signal, at_us }), tell);
    }

    fn tell_if_begun(&self, seen: Seen, tell: &mut dyn FnMut(&Self, Seen)) {
        if self.begun {
            tell(self, seen);
        }
    }
}

impl Thread {
    /// What it does now, as /proc says it, and how often it has been put to sleep: how often it gave the
    /// CPU away of its own accord.
    fn look(&self) -> Option<(char, u64)> {
        let (process, tid) = (self.process, self.tid);
        let text = fs::read_to_string(format!("/proc/{process}/task/{tid}/status")).ok()?;
        let field = |name| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let state = field("State:")?.chars().next()?;
        Some((state, field("voluntary_ctxt_switches:")?.parse().ok()?))
    }

    /// Whether it was put to sleep since the last time that this was asked, besides our stops: each of
    /// these counts as one sleep. `sleeps` is the count now.
    fn has_slept(&mut self, sleeps: u64) -> bool {
        let stops = std::mem::take(&mut self.stops);
        let before = self.counted.replace(sleeps);
        self.counted_at = Some(Instant::now());
        before.is_some_and(|before| sleeps > before + stops)
    }
}

/// The kernel's word for: begin me again, in a way that only I know (ERESTART_RESTARTBLOCK).
const RESTART_BLOCK: i64 = 516;

fn outcome(result: i64) -> Outcome {
    // The kernel's own, never told to programs: the call is begun again, or fails with EINTR.
    let interrupted = match -result {
        512 => "ERESTARTSYS",
        513 => "ERESTARTNOINTR",
        514 => "ERESTARTNOHAND",
        RESTART_BLOCK => "ERESTART_RESTARTBLOCK",
        1..=4095 => {
            let number = i32::try_from(-result).unwrap_or(0);
            return Outcome::Error(match Errno::from_raw(number) {
                Errno::UnknownErrno => format!("errno {number}"),
                known => format!("{known:?}"),
            });
        }
        _ => return Outcome::Result(result),
    };
    Outcome::Interrupted(interrupted.to_owned())
}

/// A call that was still going on at the end.
pub fn unfinished(
    inside: &Inside,
    watched: Option<u64>,
    origin: Instant,
    now: Instant,
    why: &str,
) -> Call {
    Call {
        thread: inside.thread,
        call: inside.call.to_owned(),
        descriptor: inside.descriptor,
        what: inside.what.as_ref().map(ToString::to_string),
        watched,
        began_us: microseconds(inside.since.saturating_duration_since(origin)),
        took_us: microseconds(now.saturating_duration_since(inside.since)),
        waited: inside.slept,
        outcome: Outcome::Unfinished(why.to_owned()),
        accepted: None,
        ready: Vec::new(),
    }
}

/// A signal's name. nix knows none for the real-time signals.
pub fn signal_name(number: i32) -> String {
    match Signal::try_from(number) {
        Ok(signal) => signal.as_str().to_owned(),
        Err(_) => format!("signal {number}"),
    }
}

fn watched(tid: Pid, name: &str, arguments: &[u64; 6]) -> Option<u64> {
    match calls::family(name) {
        "poll" => Some(arguments[1]),
        "select" => u64::try_from(members_of_sets(tid, arguments).len()).ok(),
        _ => None,
    }
}

/// What epoll_wait has reported.
fn events_of_epoll(tid: Pid, arguments: &[u64; 6], result: i64) -> Vec<EpollEvent> {
    memory::epoll_events(tid, arguments[1], usize::try_from(result).unwrap_or(0))
}

/// The descriptors in select's three sets.
fn members_of_sets(tid: Pid, arguments: &[u64; 6]) -> Vec<i64> {
    let limit = arguments[0];
    let mut members: Vec<i64> =
        arguments[1..4].iter().flat_map(|set| memory::members_of_set(tid, *set, limit)).collect();
    members.sort_unstable();
    members.dedup();
    members
}

#[cfg(target_arch = "x86_64")]
fn is_dup2(number: i64) -> bool {
    number == libc::SYS_dup2
}

#[cfg(not(target_arch = "x86_64"))]
fn is_dup2(_: i64) -> bool {
    false
}

/// Whether whoever gets this signal stops, until it's told to go on.
pub(crate) fn is_stop(signal: i32) -> bool {
    [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].contains(&signal)
}

/// What a traced thread tells, besides its calls: that it begins others, or becomes another program.
pub(crate) fn options() -> Options {
    Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
}

/// The threads of a process.
pub(crate) fn tasks(process: Pid) -> Vec<Pid> {
    let entries = fs::read_dir(format!("/proc/{process}/task"));
    let numbers = entries.into_iter().flatten().flatten();
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    numbers.filter_map(number).map(Pid::from_raw).collect()
}

/// The call that a thread is inside, as /proc says it: its number, then its arguments.
fn inside_now(process: Pid, tid: Pid) -> Option<(&'static calls::Call, [u64; 6])> {
    let text = fs::read_to_string(format!("/proc/{process}/task/{tid}/syscall")).ok()?;
    let mut words = text.split_whitespace();
    let call = calls::find(words.next()?.parse().ok()?)?;
    let mut arguments = [0; 6];
    for (argument, word) in arguments.iter_mut().zip(words) {
        *argument = u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()?;
    }
    Some((call, arguments))
}

fn status_field(process: Pid, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let field = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(field.trim().to_owned())
}

pub(crate) fn is_traced(thread: Pid) -> bool {
    status_field(thread, "TracerPid:").is_some_and(|tracer| tracer != "0")
}

/// The process that a thread is of.
fn process_of(tid: Pid) -> Pid {
    let number = status_field(tid, "Tgid:").and_then(|text| text.parse().ok());
    number.map_or(tid, Pid::from_raw)
}

fn name(process: Pid, tid: Pid) -> String {
    let name = fs::read_to_string(format!("/proc/{process}/task/{tid}/comm"));
    name.unwrap_or_default().trim_end().to_owned()
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
