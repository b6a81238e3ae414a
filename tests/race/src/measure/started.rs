//! A server while it's measured: started on a core of its own, watched, and ended.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::{Signal, killpg};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, SysconfVar, sysconf};
use visitors::destination::Destination;
use visitors::program::Program;

use crate::measure::contestant::{self, Contestant, Place};

/// How long a server may take until it answers, if it doesn't say that it listens.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it's waited for each of several addresses that one name stands for.
const FOR_AN_ADDRESS: Duration = Duration::from_secs(1);
/// How often it's looked.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Two cores that this process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    pub server: usize,
    pub load: usize,
    /// They share nothing: neither is a hyperthread of the other's core.
    pub are_apart: bool,
}

impl Cores {
    /// Two that are apart, if there are; or else the first two.
    pub fn of_this_machine() -> Option<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).ok()?;
        let all = (0..CpuSet::count()).filter(|core| allowed.is_set(*core) == Ok(true));
        Self::among(all, |core| {
            // Documentation/admin-guide/cputopology.rst; where it isn't told, each is its own.
            let path = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
            fs::read_to_string(path).unwrap_or_default().trim().to_owned()
        })
    }

    /// The first, and the first that isn't on a list with it; or else the second.
    fn among(
        cores: impl Iterator<Item = usize>,
        siblings: impl Fn(usize) -> String,
    ) -> Option<Self> {
        let cores: Vec<usize> = cores.collect();
        let (server, others) = cores.split_first()?;
        let beside = siblings(*server);
        let is_apart = |core: &&usize| beside.is_empty() || siblings(**core) != beside;
        let apart = others.iter().find(is_apart);
        let load = apart.or(others.first())?;
        Some(Self { server: *server, load: *load, are_apart: apart.is_some() })
    }
}

/// Keeps this thread, and what it starts from now on, to one core.
///
/// # Errors
/// When the system doesn't allow it.
pub fn stay_on(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// A server that was started here, or one that was there already.
pub struct Started {
    program: Option<Program>,
    pub address: SocketAddr,
    /// As requests name it.
    pub host: String,
    /// What is asked for there, where that was said with the address.
    pub path: Option<String>,
    /// It, and those that it has started: some servers have one process that answers and one that sees to it.
    processes: Vec<Pid>,
}

impl Started {
    /// Starts it on its core, and waits until somebody can connect.
    ///
    /// # Errors
    /// When it can't be started, ends, or doesn't listen in time.
    pub fn start(
        contestant: &Contestant,
        built: Option<&Path>,
        folder: &Path,
        cores: Option<Cores>,
    ) -> io::Result<Self> {
        if let Place::Address(destination) = &contestant.place {
            return Self::found(destination);
        }
        let (start, address) = contestant::start(&contestant.place, built, folder)?;
        // What it says of its visitors is thrown away: nobody is to wait for us.
        let nowhere = File::options().write(true).open("/dev/null")?;
        if let Some(cores) = cores {
            stay_on(cores.server)?;
        }
        // Ctrl-C reaches us alone: we end it.
        let program = start.stderr_to(nowhere).apart().start();
        if let Some(cores) = cores {
            stay_on(cores.load)?;
        }
        let program = program?;
        let address = match address {
            Some(address) => wait_for(address, &program)?,
            None => program.listening().map_err(|trouble| io::Error::other(trouble.to_string()))?,
        };
        let processes = family(Pid::from_raw(program.pid()));
        let host = address.to_string();
        Ok(Self { program: Some(program), address, host, path: None, processes })
    }

    /// Somebody has started it. Of several addresses, it's the first at which somebody listens.
    fn found(destination: &Destination) -> io::Result<Self> {
        let addresses = destination.addresses();
        let listens =
            |address: &&SocketAddr| TcpStream::connect_timeout(address, FOR_AN_ADDRESS).is_ok();
        let address = addresses.iter().find(listens).or(addresses.first());
        let address = *address.ok_or_else(|| io::Error::other("it has no address"))?;
        let path = Some(destination.path("")).filter(|path| !path.is_empty()).map(str::to_owned);
        let host = destination.host().to_owned();
        Ok(Self { program: None, address, host, path, processes: Vec::new() })
    }

    /// Whether it's still there, if it was started here.
    pub fn has_ended(&self) -> bool {
        self.program.as_ref().is_some_and(|program| program.exit_status().is_some())
    }

    /// The CPU time of all of its threads, also of those that have ended, and of its processes.
    pub fn cpu_time(&self) -> Option<Duration> {
        let of_one = |pid: &Pid| {
            let clock = ClockId::pid_cpu_clock_id(*pid).ok()?;
            clock_gettime(clock).ok().map(Duration::from)
        };
        self.sum(of_one)
    }

    /// What it has of memory, resident, in bytes (proc_pid_statm(5)).
    pub fn memory(&self) -> Option<u64> {
        let page = u64::try_from(sysconf(SysconfVar::PAGE_SIZE).ok()??).ok()?;
        let of_one = |pid: &Pid| {
            let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
            let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
            // One that has ended, and isn't asked how yet, has none.
            (pages > 0).then_some(pages * page)
        };
        self.sum(of_one)
    }

    pub fn threads(&self) -> Option<u64> {
        let of_one = |pid: &Pid| {
            let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            text.lines().find_map(|line| line.strip_prefix("Threads:"))?.trim().parse::<u64>().ok()
        };
        self.sum(of_one)
    }

    /// `None` where nothing is known: it wasn't started here.
    fn sum<T: std::iter::Sum>(&self, of_one: impl Fn(&Pid) -> Option<T>) -> Option<T> {
        if self.processes.is_empty() {
            return None;
        }
        self.processes.iter().map(of_one).sum()
    }

    /// One of its processes has ended while its calls were counted: nobody else is told.
    pub fn has_ended_with(&self, pid: Pid, status: i32) {
        if let Some(program) = self.program.as_ref().filter(|program| program.pid() == pid.as_raw())
        {
            program.is_waited_for_elsewhere(Arc::new(ExitStatus::from_raw(status).into()));
        }
    }

    /// Its processes.
    pub fn processes(&self) -> &[Pid] {
        &self.processes
    }
}

impl Drop for Started {
    /// Those that it has started go with it: some outlive it otherwise.
    fn drop(&mut self) {
        if let Some(program) = &self.program {
            // It's the first of a group of its own. If all of them have ended, there's nobody to tell.
            let _ = killpg(Pid::from_raw(program.pid()), Signal::SIGKILL);
        }
    }
}

/// Until somebody answers there: who listens may not have started yet who answers.
fn wait_for(address: SocketAddr, program: &Program) -> io::Result<SocketAddr> {
    let began = Instant::now();
    let answers = || -> io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        Ok(stream.read(&mut [0])? > 0)
    };
    while !answers().unwrap_or(false) {
        if program.exit_status().is_some() || began.elapsed() > PATIENCE {
            return Err(io::Error::other("it doesn't answer"));
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(address)
}

/// A process, and all that come of it.
fn family(first: Pid) -> Vec<Pid> {
    let mut found = vec![first];
    let mut place = 0;
    while let Some(pid) = found.get(place) {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        found.extend(
            children.split_whitespace().filter_map(|word| word.parse().ok()).map(Pid::from_raw),
        );
        place += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::each_is_its_own(&[0, 1], &["0", "1"], Some((0, 1, true)))]
    #[case::neighbors_share_a_core(&[0, 1, 2, 3], &["0-1", "0-1", "2-3", "2-3"], Some((0, 2, true)))]
    #[case::halves_share_a_core(&[1, 2, 3], &["0,2", "1,3", "0,2", "1,3"], Some((1, 2, true)))]
    #[case::one_core_with_two_threads(&[0, 1], &["0-1", "0-1"], Some((0, 1, false)))]
    #[case::nobody_tells(&[2, 3], &["", "", "", ""], Some((2, 3, true)))]
    #[case::only_one(&[0], &["0"], None)]
    fn server_and_load_share_no_core_where_there_are_two(
        #[case] allowed: &[usize],
        #[case] lists: &[&str],
        #[case] found: Option<(usize, usize, bool)>,
    ) {
        let cores = Cores::among(allowed.iter().copied(), |core| lists[core].to_owned());
        let cores = cores.map(|cores| (cores.server, cores.load, cores.are_apart));
        assert_eq!(cores, found);
    }
}
