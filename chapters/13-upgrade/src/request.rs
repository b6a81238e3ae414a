//! Asks another process to be replaced.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ch09_timers::signals::is_in;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long the other one may take. It has ten seconds to hear from its successor, and some more.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Has a process replaced, and waits until it is.
///
/// # Errors
/// When it can't be asked, or goes on.
pub fn replace(pid: i32) -> io::Result<()> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .map_err(|_| io::Error::other(format!("there is no process {pid}")))?;
    // Whoever hears of signals by a descriptor has blocked them (signalfd(2)). To any other this one
    // would be the end.
    if !is_in(&status, "SigBlk:", Signal::SIGUSR2) {
        return Err(io::Error::other(format!("process {pid} isn't one that can be replaced")));
    }
    kill(Pid::from_raw(pid), Signal::SIGUSR2)?;
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if has_ended(pid) {
            return Ok(());
        }
        // waits: this program has nothing else to do
        thread::sleep(LOOK_EVERY);
    }
    Err(io::Error::other(format!("process {pid} goes on; it has said why")))
}

/// It's gone, or only its parent doesn't know yet (proc_pid_stat(5)).
fn has_ended(pid: i32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    let state = stat.ok().and_then(|stat| stat.rsplit_once(") ")?.1.chars().next());
    matches!(state, None | Some('Z' | 'X'))
}
