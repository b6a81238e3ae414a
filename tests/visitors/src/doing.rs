//! What a process is doing at this moment, and what it has used, from its entry in /proc (Linux;
//! proc(5), proc_pid_syscall(5)). Elsewhere there is less to tell, and it is said so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

#[cfg(target_os = "linux")]
use nix::libc;

/// How often to look at a process that doesn't stand still, before it is described as it seemed.
const LOOKS: u32 = 10;

/// Visitors by the port at their end of the connection, so that a report can name them.
static NAMES: Mutex<BTreeMap<u16, String>> = Mutex::new(BTreeMap::new());

/// From now on whoever talks from (or listens on) `port` is called `name` in reports.
pub fn call_port(port: u16, name: &str) {
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    names.insert(port, name.to_owned());
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
    call: Option<Call>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
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
        self.threads.iter().all(|thread| thread.state == 'T')
    }

    /// True when each of its threads is asleep.
    pub fn asleep(&self) -> bool {
        !self.threads.is_empty() && self.threads.iter().all(|thread| thread.state == 'S')
    }
}

/// How many connections a server on `port` has accepted and not closed. `None` where the system can't tell.
pub fn accepted(port: u16) -> Option<usize> {
    fs::metadata("/proc/net/tcp").ok()?;
    let of_the_server =
        |c: &&Connection| c.local_port == port && c.remote_port != 0 && c.inode != 0;
    let connections = connections();
    // While it changes, the table may show a row twice.
    let accepted: BTreeSet<u64> =
        connections.iter().filter(of_the_server).map(|connection| connection.inode).collect();
    Some(accepted.len())
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
    let connections = connections();
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

fn describe_thread(pid: i32, thread: &Thread, connections: &[Connection]) -> String {
    match (thread.state, &thread.call) {
        ('T' | 't', _) => "is stopped by a signal".to_owned(),
        ('S', None) => "is asleep (this system doesn't tell in which call)".to_owned(),
        ('R', _) | (_, None) => {
            "is running, not waiting: perhaps a loop that never waits".to_owned()
        }
        (_, Some(call)) => describe_call(pid, call, connections),
    }
}

fn describe_call(pid: i32, call: &Call, connections: &[Connection]) -> String {
    let Some(&(_, name, kind)) = CALLS.iter().find(|(number, ..)| *number == call.number) else {
        return format!("is inside system call {}", call.number);
    };
    let descriptor = call.first_argument;
    let peer = || peer(pid, descriptor, connections);
    match kind {
        Kind::Read => format!(
            "is inside {name}({descriptor}): it waits for {} to send, or to hang up",
            peer()
        ),
        Kind::Write => format!("is inside {name}({descriptor}): it waits for {} to read", peer()),
        Kind::Accept => {
            format!("is inside {name}({descriptor}): it waits for the next visitor to connect")
        }
        Kind::Connect => format!("is inside {name}({descriptor}): it waits to be connected"),
        Kind::Ready => {
            format!("is inside {name}: it waits until one of its descriptors is ready")
        }
        Kind::Threads => {
            format!(
                "is inside {name}: it waits for another of its threads (a lock, a channel, a join)"
            )
        }
        Kind::Time => format!("is inside {name}: it waits for time to pass"),
        Kind::Signal => format!("is inside {name}: it waits for a signal"),
        Kind::Child => format!("is inside {name}: it waits for a child to end"),
    }
}

fn peer(pid: i32, descriptor: u64, connections: &[Connection]) -> String {
    let link = fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).unwrap_or_default();
    let link = link.to_string_lossy();
    let Some(inode) = link.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')) else {
        return match descriptor {
            0 => "its standard input".to_owned(),
            // Closed between the two looks.
            _ if link.is_empty() => "a descriptor that is closed by now".to_owned(),
            _ => format!("{link}, which is no socket"),
        };
    };
    let inode = inode.parse().unwrap_or(0);
    let Some(connection) = connections.iter().find(|c| c.inode == inode) else {
        return "its socket's other end".to_owned();
    };
    let names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    match names.get(&connection.remote_port) {
        Some(name) => format!("the {name}"),
        None => format!("port {} at the other end", connection.remote_port),
    }
}

/// A TCP connection as /proc/net/tcp shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    /// Bytes that have arrived and that the program hasn't read.
    pub(crate) unread: u64,
    /// Bytes that the program has sent and that the other end hasn't acknowledged.
    pub(crate) under_way: u64,
    inode: u64,
}

/// All TCP connections of this machine. Empty where /proc can't tell.
pub(crate) fn connections() -> Vec<Connection> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| table.lines().skip(1).filter_map(parse_row).collect::<Vec<_>>())
        .collect()
}

fn parse_row(row: &str) -> Option<Connection> {
    let fields: Vec<&str> = row.split_whitespace().collect();
    let port = |field: &str| u16::from_str_radix(field.rsplit_once(':')?.1, 16).ok();
    Some(Connection {
        local_port: port(fields.get(1)?)?,
        remote_port: port(fields.get(2)?)?,
        unread: u64::from_str_radix(fields.get(4)?.split_once(':')?.1, 16).ok()?,
        under_way: u64::from_str_radix(fields.get(4)?.split_once(':')?.0, 16).ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| Some(line.strip_prefix(name)?.trim()))
}

fn count(status: &str, name: &str) -> u64 {
    let digits = field(status, name).and_then(|text| text.split_whitespace().next());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn parse_call(text: &str) -> Option<Call> {
    // `running`, or `0 0x5 0x7ff… …`: the call's number and its arguments. -1 is a sleep outside of any call.
    let mut words = text.split_whitespace();
    let number = words.next()?.parse().ok().filter(|number| *number >= 0)?;
    let first_argument = words.next()?.strip_prefix("0x")?;
    Some(Call { number, first_argument: u64::from_str_radix(first_argument, 16).ok()? })
}

#[derive(Clone, Copy)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code))]
enum Kind {
    Read,
    Write,
    Accept,
    Connect,
    Ready,
    Threads,
    Time,
    Signal,
    Child,
}

/// The calls that can wait. The numbers differ from one kind of processor to the next: libc knows them.
#[cfg(target_os = "linux")]
const CALLS: &[(i64, &str, Kind)] = &[
    (libc::SYS_read, "read", Kind::Read),
    (libc::SYS_readv, "readv", Kind::Read),
    (libc::SYS_recvfrom, "recvfrom", Kind::Read),
    (libc::SYS_recvmsg, "recvmsg", Kind::Read),
    (libc::SYS_write, "write", Kind::Write),
    (libc::SYS_writev, "writev", Kind::Write),
    (libc::SYS_sendto, "sendto", Kind::Write),
    (libc::SYS_sendmsg, "sendmsg", Kind::Write),
    (libc::SYS_accept, "accept", Kind::Accept),
    (libc::SYS_accept4, "accept4", Kind::Accept),
    (libc::SYS_connect, "connect", Kind::Connect),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_select, "select", Kind::Ready),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_poll, "poll", Kind::Ready),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_epoll_wait, "epoll_wait", Kind::Ready),
    (libc::SYS_pselect6, "pselect6", Kind::Ready),
    (libc::SYS_ppoll, "ppoll", Kind::Ready),
    (libc::SYS_epoll_pwait, "epoll_pwait", Kind::Ready),
    (libc::SYS_epoll_pwait2, "epoll_pwait2", Kind::Ready),
    (libc::SYS_futex, "futex", Kind::Threads),
    // A call with a time limit, begun again by the kernel after a stop.
    (libc::SYS_restart_syscall, "restart_syscall", Kind::Time),
    (libc::SYS_nanosleep, "nanosleep", Kind::Time),
    (libc::SYS_clock_nanosleep, "clock_nanosleep", Kind::Time),
    (libc::SYS_rt_sigtimedwait, "sigwait", Kind::Signal),
    (libc::SYS_rt_sigsuspend, "sigsuspend", Kind::Signal),
    (libc::SYS_wait4, "wait4", Kind::Child),
    (libc::SYS_waitid, "waitid", Kind::Child),
];

#[cfg(not(target_os = "linux"))]
const CALLS: &[(i64, &str, Kind)] = &[];
