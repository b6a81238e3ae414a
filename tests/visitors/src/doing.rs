//! What a process is doing at this moment, and what it has used, from its entry in /proc (Linux;
//! proc(5), proc_pid_syscall(5)). Elsewhere there is less to tell, and it is said so.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::calls::{self, Call};
use crate::tcp::{self, Endpoint};

/// How often to look at a process that doesn't stand still, before it is described as it seemed.
const LOOKS: u32 = 10;

/// Visitors and hosts by the ports of their connection, their own first, so that a report can name them. Both are needed: the kernel
/// gives a port to several visitors at once, if their servers aren't the same.
static NAMES: Mutex<BTreeMap<(u16, u16), String>> = Mutex::new(BTreeMap::new());

/// Instead of the other end's port: whoever it is.
pub const ANYBODY: u16 = 0;

/// From now on whoever talks from port `own` to port `other` is called `name` in reports.
pub fn call(own: u16, other: u16, name: &str) {
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    names.insert((own, other), name.to_owned());
}

/// Who talks from port `own` to port `other`, if somebody of ours does.
pub fn name_of(own: u16, other: u16) -> Option<String> {
    let names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    names.get(&(own, other)).or_else(|| names.get(&(own, ANYBODY))).cloned()
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time of all its threads, in user code and in the kernel.
    pub cpu: Duration,
    /// Threads alive now.
    pub threads: usize,
    /// Memory in use now (resident set), in bytes.
    pub resident: u64,
}

/// The state of all threads of a process at one moment. Two that are equal, and asleep, are the same sleep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    threads: Vec<Thread>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Thread {
    /// `R` running, `S` asleep until something happens, `D` asleep in the disk, `T` stopped, …
    state: char,
    /// How often it was given or took away the CPU: unchanged means that it never ran in between.
    switches: u64,
    call: Option<Inside>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inside {
    number: i64,
    first_argument: u64,
}

impl Snapshot {
    /// Looks at a process. `None` where /proc can't tell.
    pub fn of(pid: i32) -> Option<Self> {
        let mut threads = Vec::new();
        for entry in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
            let path = entry.ok()?.path();
            // A thread that has ended between the listing and the look isn't there any more.
            let Ok(status) = fs::read_to_string(path.join("status")) else {
                continue;
            };
            let syscall = fs::read_to_string(path.join("syscall")).unwrap_or_default();
            threads.push(Thread {
                state: field(&status, "State:")?.chars().next()?,
                switches: count(&status, "voluntary_ctxt_switches:")
                    + count(&status, "nonvoluntary_ctxt_switches:"),
                call: parse_call(&syscall),
            });
        }
        Some(Self { threads })
    }

    /// True when a signal has stopped it.
    pub fn stopped(&self) -> bool {
        self.threads.iter().all(|thread| matches!(thread.state, 'T' | 't'))
    }

    /// True when each of its threads is asleep.
    pub fn asleep(&self) -> bool {
        !self.threads.is_empty() && self.threads.iter().all(|thread| thread.state == 'S')
    }
}

/// How many descriptors a process has open. (With thousands it takes milliseconds to count them.)
pub fn descriptors(pid: i32) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

/// What a process has used. `None` where /proc can't tell.
pub fn usage(pid: i32) -> Option<Usage> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets, and may hold anything: count from its end.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let ticks_a_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK);
    let ticks_a_second = u64::try_from(ticks_a_second.ok()??).ok()?;
    Some(Usage {
        cpu: Duration::from_millis(ticks * 1000 / ticks_a_second.max(1)),
        threads: usize::try_from(count(&status, "Threads:")).ok()?,
        resident: count(&status, "VmRSS:") * 1024,
    })
}

/// What a process is doing, in words without a subject: `is inside read(5): it waits for the
/// silent visitor to send, or to hang up`.
pub fn describe(pid: i32) -> String {
    let mut looks = 0;
    loop {
        let Some(snapshot) = Snapshot::of(pid) else {
            return "is still running (only Linux's /proc could tell what it is doing)".to_owned();
        };
        let words = describe_snapshot(pid, &snapshot);
        // Several looks make one description: it holds only if nothing moved between them.
        looks += 1;
        if Snapshot::of(pid).as_ref() == Some(&snapshot) || looks == LOOKS {
            return words;
        }
    }
}

fn describe_snapshot(pid: i32, snapshot: &Snapshot) -> String {
    let connections = tcp::all();
    let mut groups: Vec<(String, usize)> = Vec::new();
    for thread in &snapshot.threads {
        let words = describe_thread(pid, thread, &connections);
        match groups.iter_mut().find(|(known, _)| *known == words) {
            Some((_, count)) => *count += 1,
            None => groups.push((words, 1)),
        }
    }
    if let [(words, 1)] = groups.as_slice() {
        return words.clone();
    }
    // The order of threads is chance.
    groups.sort();
    let mut text = format!("has {} threads:", snapshot.threads.len());
    for (words, count) in groups {
        match count {
            1 => text.push_str(&format!("\n  one {words}")),
            count => text.push_str(&format!("\n  each of {count} {words}")),
        }
    }
    text
}

fn describe_thread(pid: i32, thread: &Thread, connections: &[Endpoint]) -> String {
    match (thread.state, &thread.call) {
        ('T' | 't', _) => "is stopped by a signal".to_owned(),
        ('S', None) => "is asleep (this system doesn't tell in which call)".to_owned(),
        ('R', _) | (_, None) => {
            "is running, not waiting: perhaps a loop that never waits".to_owned()
        }
        (_, Some(call)) => describe_call(pid, call, connections),
    }
}

fn describe_call(pid: i32, call: &Inside, connections: &[Endpoint]) -> String {
    let Some(Call { name, kind, .. }) = calls::find(call.number) else {
        return format!("is inside system call {}", call.number);
    };
    if kind.names_a_descriptor() {
        let descriptor = call.first_argument;
        let peer = peer(pid, descriptor, connections);
        return format!("is inside {name}({descriptor}): it waits {}", kind.waits(&peer));
    }
    format!("is inside {name}: it waits {}", kind.waits(""))
}

fn peer(pid: i32, descriptor: u64, connections: &[Endpoint]) -> String {
    let link = fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).unwrap_or_default();
    let link = link.to_string_lossy();
    let Some(inode) = link.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')) else {
        return match descriptor {
            0 => "its standard input".to_owned(),
            // Closed between the two looks.
            _ if link.is_empty() => "a descriptor that is closed by now".to_owned(),
            _ if link.starts_with("pipe:") => "a pipe".to_owned(),
            _ => format!("{link}, which is no socket"),
        };
    };
    let inode = inode.parse().unwrap_or(0);
    let Some(connection) = connections.iter().find(|c| c.socket.inode == inode) else {
        return "its socket's other end".to_owned();
    };
    match name_of(connection.remote.port(), connection.port) {
        Some(name) => format!("the {name}"),
        None => format!("port {} at the other end", connection.remote.port()),
    }
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| Some(line.strip_prefix(name)?.trim()))
}

fn count(status: &str, name: &str) -> u64 {
    let digits = field(status, name).and_then(|text| text.split_whitespace().next());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn parse_call(text: &str) -> Option<Inside> {
    // `running`, or `0 0x5 0x7ff… …`: the call's number and its arguments. -1 is a sleep outside of any call.
    let mut words = text.split_whitespace();
    let number = words.next()?.parse().ok().filter(|number| *number >= 0)?;
    let first_argument = words.next()?.strip_prefix("0x")?;
    Some(Inside { number, first_argument: u64::from_str_radix(first_argument, 16).ok()? })
}
