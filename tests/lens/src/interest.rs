//! What a program's epolls watch: for each the interest list, as the kernel keeps it (epoll(7)).
//!
//! The kernel is asked for a list once, when an epoll first reports somebody: /proc shows it. So it doesn't
//! matter who has put what there before. From then on `epoll_ctl` and `close` change it, each in little
//! time, however long it is.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;

use nix::libc;
use nix::unistd::Pid;

use crate::descriptors::descriptor;
use crate::memory::{self, EpollEvent};

/// For these a lie says that somebody is ready, where they were asked for.
const LIES: u32 = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP) as u32;
/// What is asked with this is told once. Then the descriptor is disarmed: nothing is asked any more.
const ONCE: u32 = libc::EPOLLONESHOT as u32;

/// The lists that are known: of each process, by the epoll's descriptor.
#[derive(Debug, Default)]
pub struct Interests {
    known: HashMap<Pid, BTreeMap<i64, List>>,
}

/// An interest list.
#[derive(Debug, Default)]
struct List {
    /// What was asked about each descriptor.
    asked: BTreeMap<i64, EpollEvent>,
    /// The same by the program's marks, of which one may stand for several descriptors.
    marks: BTreeSet<(u64, i64)>,
}

impl Interests {
    /// The descriptors for which `epoll` has reported these events. `None` where that can't be told: the
    /// program has marked several alike, or one isn't on the list any more.
    pub fn reported(
        &mut self,
        process: Pid,
        epoll: i64,
        events: &[EpollEvent],
    ) -> Option<Vec<i64>> {
        let list = self.list(process, epoll)?;
        if events.iter().any(|event| list.marked(event.data).is_empty()) {
            // It was changed in a way that we don't see: by another process that has it too, or by
            // another descriptor of the same epoll.
            *list = List::read(process, epoll)?;
        }
        let marked: Vec<Vec<i64>> = events.iter().map(|event| list.marked(event.data)).collect();
        marked.iter().flatten().for_each(|descriptor| list.told(*descriptor));
        let only = |marked: Vec<i64>| <[i64; 1]>::try_from(marked).ok().map(|[only]| only);
        marked.into_iter().map(only).collect()
    }

    /// For a lie: all others that `epoll` watches, up to `most`, ready for what was asked. `events` are those
    /// that it has reported.
    pub fn others(
        &mut self,
        process: Pid,
        epoll: i64,
        events: &[EpollEvent],
        most: usize,
    ) -> Vec<EpollEvent> {
        let Some(list) = self.list(process, epoll) else { return Vec::new() };
        let reported: HashSet<u64> = events.iter().map(|event| event.data).collect();
        let others = list.asked.iter().filter_map(|(descriptor, asked)| {
            let lie = EpollEvent { events: asked.events & LIES, ..*asked };
            (lie.events != 0 && !reported.contains(&lie.data)).then_some((*descriptor, lie))
        });
        let others: Vec<(i64, EpollEvent)> = others.take(most).collect();
        others.iter().for_each(|(descriptor, _)| list.told(*descriptor));
        others.into_iter().map(|(_, lie)| lie).collect()
    }

    /// A thread's `epoll_ctl` has succeeded.
    pub fn changed(&mut self, process: Pid, thread: Pid, arguments: &[u64; 6]) {
        let [epoll, operation, changed] = [0, 1, 2].map(|index| descriptor(arguments[index]));
        let Some(lists) = self.known.get_mut(&process) else { return };
        let Some(list) = lists.get_mut(&epoll) else { return };
        if operation == i64::from(libc::EPOLL_CTL_DEL) {
            list.remove(changed);
            return;
        }
        match memory::epoll_event(thread, arguments[3]) {
            Some(event) => list.insert(changed, event),
            None => drop(lists.remove(&epoll)),
        }
    }

    /// A descriptor was closed: an epoll's, or one that is watched. (The kernel watches on where there is a
    /// duplicate. When that is reported, the list is read again.)
    pub fn closed(&mut self, process: Pid, descriptor: i64) {
        let Some(lists) = self.known.get_mut(&process) else { return };
        lists.remove(&descriptor);
        lists.values_mut().for_each(|list| list.remove(descriptor));
    }

    /// All of a process may have changed: its lists are read again when they're needed.
    pub fn forget_all(&mut self, process: Pid) {
        self.known.remove(&process);
    }

    fn list(&mut self, process: Pid, epoll: i64) -> Option<&mut List> {
        match self.known.entry(process).or_default().entry(epoll) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(unknown) => Some(unknown.insert(List::read(process, epoll)?)),
        }
    }
}

impl List {
    /// What the kernel says (proc_pid_fdinfo(5)): `tfd: 5 events: 19 data: 7`, and more, a line for each.
    fn read(process: Pid, epoll: i64) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{process}/fdinfo/{epoll}")).ok()?;
        let mut list = Self::default();
        let mut twice = Vec::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let ["tfd:", descriptor, "events:", events, "data:", data, ..] = words[..] {
                let events = u32::from_str_radix(events, 16).ok()?;
                let data = u64::from_str_radix(data, 16).ok()?;
                let descriptor = descriptor.parse().ok()?;
                if list.asked.contains_key(&descriptor) {
                    twice.push(descriptor);
                }
                list.insert(descriptor, EpollEvent { events, data });
            }
        }
        // A number that was closed and is used again, while a duplicate of what it was is open: whichever
        // of the two is reported can't be named.
        twice.into_iter().for_each(|descriptor| list.remove(descriptor));
        Some(list)
    }

    fn insert(&mut self, descriptor: i64, event: EpollEvent) {
        self.remove(descriptor);
        self.asked.insert(descriptor, event);
        self.marks.insert((event.data, descriptor));
    }

    fn remove(&mut self, descriptor: i64) {
        if let Some(event) = self.asked.remove(&descriptor) {
            self.marks.remove(&(event.data, descriptor));
        }
    }

    /// The descriptors that the program has marked so.
    fn marked(&self, data: u64) -> Vec<i64> {
        let range = (data, i64::MIN)..=(data, i64::MAX);
        self.marks.range(range).map(|(_, descriptor)| *descriptor).collect()
    }

    /// The program is told that this one is ready.
    fn told(&mut self, descriptor: i64) {
        match self.asked.get_mut(&descriptor) {
            Some(asked) if asked.events & ONCE != 0 => asked.events = 0,
            _ => {}
        }
    }
}
