//! Servers that are measured beside each other: started, watched and ended here.

mod peers;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
pub use peers::{PATIENCE, free, installed};

/// A server that was started here, and is ended here.
pub struct Running {
    pub name: &'static str,
    pub address: SocketAddr,
    child: Child,
}

impl Running {
    /// Starts it, and waits until it `answers`.
    ///
    /// # Errors
    /// When it can't be started, or doesn't answer in time.
    pub fn start(
        name: &'static str,
        mut command: Command,
        address: SocketAddr,
        mut answers: impl FnMut() -> bool,
    ) -> io::Result<Self> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let running = Self { name, address, child: command.spawn()? };
        let began = Instant::now();
        while !answers() {
            if began.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("{name} doesn't answer")));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(running)
    }

    /// Of all its threads, and of the processes that it has started: some servers have one that
    /// answers and one that sees to it.
    pub fn cpu_time(&self) -> Duration {
        let mut processes = vec![self.child.id()];
        let mut place = 0;
        while let Some(process) = processes.get(place) {
            let path = format!("/proc/{process}/task/{process}/children");
            let children = fs::read_to_string(path).unwrap_or_default();
            processes
                .extend(children.split_whitespace().filter_map(|word| word.parse::<u32>().ok()));
            place += 1;
        }
        let tasks = |process: &u32| {
            fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten()
        };
        let nanoseconds = |task: fs::DirEntry| -> Option<u64> {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse().ok()
        };
        Duration::from_nanos(processes.iter().flat_map(tasks).filter_map(nanoseconds).sum())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It's our child, and not waited for yet: the number can't be somebody else's.
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _ = self.child.wait();
    }
}

/// The one in the middle, of an odd number of figures.
pub fn middle(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
