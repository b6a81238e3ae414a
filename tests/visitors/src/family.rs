//! A program, and whoever takes its place: all processes that come of one start, whatever group or session they are in.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// In the environment of all of them. Who starts another process passes it on, unless it means not to.
const NAME: &str = "WAITING_GAME_FAMILY";

/// What all of them have in their environment, and nobody else.
///
/// Where there is no /proc, nobody is found.
pub struct Family {
    value: String,
}

impl Family {
    /// The program that `command` starts is the first one.
    pub fn begin(command: &mut Command) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let value = format!("{}-{number}", std::process::id());
        command.env(NAME, &value);
        Self { value }
    }

    /// Those who are there at this moment.
    pub fn members(&self) -> Vec<Pid> {
        let mark = format!("{NAME}={}", self.value);
        let has_mark = |pid: &i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
        };
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(has_mark).map(Pid::from_raw).collect()
    }

    /// Sends a signal to each of them.
    pub fn signal(&self, signal: Signal) {
        for pid in self.members() {
            // It fails if that one has ended meanwhile.
            let _ = kill(pid, signal);
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::setup::until;

    #[test]
    fn who_takes_over_belongs_to_it_and_nobody_else_does() {
        let mut command = Command::new("sh");
        command.args(["-c", "setsid sleep 100 & sleep 100"]);
        let family = Family::begin(&mut command);
        let mut other = Command::new("sleep");
        let _others = Family::begin(other.arg("100"));
        let mut other = other.spawn().expect("sleep can be started");
        let mut first = command.spawn().expect("sh can be started");

        until("three of them", || (family.members().len() == 3).then_some(()));
        family.signal(Signal::SIGKILL);
        first.wait().expect("it's our child");
        until("nobody", || family.members().is_empty().then_some(()));
        assert!(matches!(other.try_wait(), Ok(None)), "the other one was ended, too");
        other.kill().and_then(|()| other.wait()).expect("it's our child");
    }
}
