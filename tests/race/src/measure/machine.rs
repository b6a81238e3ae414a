//! The machine: what it is, and who else is busy on it.

use std::collections::HashMap;
use std::fs;
use std::time::Instant;

use nix::sys::utsname::uname;
use nix::unistd::{SysconfVar, sysconf};

use crate::result::Machine;

/// From so large a part of a core on, another program is named.
const BUSY: f64 = 0.1;

/// What is known of it.
pub fn this_one(pinned: bool) -> Machine {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = uname().map_or_else(
        |_| "unknown".to_owned(),
        |name| {
            let [system, release] = [name.sysname(), name.release()];
            format!("{} {}", system.display(), release.display())
        },
    );
    let cores = sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
    Machine {
        processor: model.map(|(_, model)| model.trim().to_owned()),
        // All of them: this process may have kept itself to one.
        cores: cores.and_then(|count| usize::try_from(count).ok()).unwrap_or(1),
        kernel,
        pinned,
    }
}

/// How much CPU time each program on this machine had used, at one moment.
pub struct Busy {
    seen: Instant,
    /// By process number: its name, and its time in ticks.
    used: HashMap<i32, (String, u64)>,
}

impl Busy {
    pub fn look() -> Self {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let used = pids.filter_map(|pid: i32| {
            let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, used(&text)?))
        });
        Self { seen: Instant::now(), used: used.collect() }
    }

    /// Those who have used more than a tenth of a core since then, without `ours`. Who came and went in between isn't
    /// seen.
    pub fn since(&self, ours: &[i32]) -> Vec<String> {
        let elapsed = self.seen.elapsed().as_secs_f64();
        let a_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100) as f64;
        let least = elapsed * a_second * BUSY;
        let now = Self::look();
        let mut busy: Vec<String> = Vec::new();
        for (pid, (name, ticks)) in &now.used {
            let before = self.used.get(pid).map_or(0, |(_, before)| *before);
            let is_ours = ours.contains(pid);
            if !is_ours && ticks.saturating_sub(before) as f64 > least && !busy.contains(name) {
                busy.push(name.clone());
            }
        }
        busy.sort();
        busy
    }
}

/// The kernel's own threads come of this one: what they do, they do for somebody.
const KERNEL: &str = "2";

/// A process's name and its CPU time in ticks, for user and system (proc_pid_stat(5)). `None` for the kernel's own.
fn used(stat: &str) -> Option<(String, u64)> {
    let (before, behind) = stat.rsplit_once(") ")?;
    let (_, name) = before.split_once('(')?;
    let fields: Vec<&str> = behind.split(' ').collect();
    if fields.get(1) == Some(&KERNEL) {
        return None;
    }
    let [user, system] = [11, 12].map(|place| fields.get(place)?.parse::<u64>().ok());
    Some((name.to_owned(), user? + system?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::panic;
    use std::process::Command;

    use visitors::setup::until;

    use super::*;

    #[test]
    fn a_name_may_have_blanks_and_parentheses() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 30 12 13 14 15";
        assert_eq!(used(stat), Some(("a) b (c".to_owned(), 42)));
        assert_eq!(used(&stat.replace("S 1", "S 2")), None);
        assert_eq!(used("7 (a"), None);
    }

    #[test]
    fn who_turns_in_a_loop_is_named_and_who_is_ours_is_not() {
        // A name that nobody else has.
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("turns-for-us");
        fs::copy("/bin/sh", &program).expect("there is a shell");
        let turning = Command::new(&program).arg0("sh").args(["-c", "while :; do :; done"]).spawn();
        let mut turning = turning.expect("it can be started");
        let pid = i32::try_from(turning.id()).expect("a process number");
        let busy = Busy::look();
        let count = |ours: &[i32]| {
            let names = busy.since(ours);
            names.iter().filter(|name| *name == "turns-for-us").count()
        };
        let named = panic::catch_unwind(panic::AssertUnwindSafe(|| {
            until("somebody is busy", || Some(count(&[])).filter(|count| *count > 0))
        }));
        let without = count(&[pid]);
        turning.kill().and_then(|()| turning.wait()).expect("it's our child");
        assert_eq!((named.ok(), without), (Some(1), 0));
    }
}
