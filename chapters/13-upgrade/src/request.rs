//! Asks another process to be replaced.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

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
    // To any other, the signal would be the end.
    if !is_blocked(&status, Signal::SIGUSR2) {
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

/// Whoever hears of signals by a descriptor has blocked them (signalfd(2)). Bit 0 is signal 1.
fn is_blocked(status: &str, signal: Signal) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal as i32 - 1)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_that_waits_for_it_is_asked() {
        let status = |mask: &str| format!("Name:\tx\nSigBlk:\t{mask}\nSigIgn:\t{mask}\n");
        assert!(is_blocked(&status("0000000000000800"), Signal::SIGUSR2));
        assert!(!is_blocked(&status("00000000000007ff"), Signal::SIGUSR2));
        assert!(!is_blocked("", Signal::SIGUSR2));
    }
}
