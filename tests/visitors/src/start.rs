//! A chapter's program: built, started, watched while the visitors are there.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use visitors::doing::Usage;
use visitors::play::{Play, Scene};
use visitors::program::{Program, Start, Trouble};
use visitors::visit::Doing;

use crate::summary;

/// How often it is looked at whether Ctrl-C was pressed.
const LOOK: Duration = Duration::from_millis(20);

/// Who has waited so long for an answer has been made to wait: what is the program doing meanwhile?
const A_LONG_WAIT: Duration = Duration::from_millis(500);

/// How often the program is asked that. The answer is searched in the kernel's tables, which takes
/// a while where it has a thousand threads.
const ASK_EVERY: Duration = Duration::from_millis(400);

/// A chapter's program, running.
#[derive(Debug)]
pub struct Server {
    program: Program,
    before: Option<Usage>,
    height: Usage,
    doing: Option<String>,
    asked: Instant,
}

impl Server {
    /// Starts a program that is to listen on a port that the system picks.
    pub fn start(path: PathBuf, arguments: &[String]) -> Result<Self, String> {
        let mut start = Start::new(&path).arg("127.0.0.1:0").apart();
        for argument in arguments {
            start = start.arg(argument);
        }
        let program =
            start.start().map_err(|error| format!("can't start {}: {error}", path.display()))?;
        Ok(Self {
            program,
            before: None,
            height: Usage::default(),
            doing: None,
            asked: Instant::now(),
        })
    }

    /// Waits until it listens, and says where. When `interrupted`, the program is ended.
    pub fn listening(&mut self, interrupted: &AtomicBool) -> Result<std::net::SocketAddr, Trouble> {
        let program = &self.program;
        let address = thread::scope(|scope| {
            let listening = scope.spawn(|| program.listening());
            while !listening.is_finished() {
                if interrupted.load(Ordering::Relaxed) {
                    // A program that has ended won't be waited for.
                    program.signal(Signal::SIGKILL);
                }
                thread::sleep(LOOK);
            }
            listening.join()
        });
        // It may still be starting threads. If it finds no rest, what it uses is said all the same.
        let _ = self.program.settled();
        self.before = self.program.usage();
        address.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Looks at what it uses, and, when somebody has waited for long, at what it's doing.
    pub fn look(&mut self, play: &Play) {
        if let Some(now) = self.program.usage() {
            self.height.threads = self.height.threads.max(now.threads);
            self.height.resident = self.height.resident.max(now.resident);
            self.height.cpu = now.cpu;
        }
        let waits = |scene: &Scene| match scene.track.last() {
            Some((since, Doing::Waiting)) => play.age().saturating_sub(*since) > A_LONG_WAIT,
            _ => false,
        };
        let somebody_waits = || play.scenes().iter().any(waits);
        if self.asked.elapsed() > ASK_EVERY && somebody_waits() {
            let doing = self.program.doing();
            self.asked = Instant::now();
            // If the play has ended meanwhile, what was seen may be half of one thing, half of the next.
            if somebody_waits() {
                self.doing = Some(doing);
            }
        }
    }

    /// What it uses and does now.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.before.is_some() {
            lines.push(format!("the program, with {}:", uses(&self.height)));
        }
        lines.extend(self.doing.iter().flat_map(|doing| doing.lines().next()).map(str::to_owned));
        lines
    }

    /// What it used in all, and what it did while visitors waited.
    pub fn summary(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(status) = self.program.exit_status() {
            lines.push(format!("the program ended during the play ({status})"));
            let words = self.program.stderr();
            let last = words.iter().rev().take(4).rev();
            lines.extend(last.map(|line| format!("  {line}")));
        }
        if let Some(before) = self.before {
            let cpu = self.height.cpu.saturating_sub(before.cpu);
            lines.push(format!(
                "the program at its height: {}; before: {}",
                uses(&self.height),
                uses(&before)
            ));
            // Counted in hundredths of a second: more digits would be a lie.
            lines.push(format!("its CPU time: {} ms", cpu.as_millis()));
        }
        if let Some(doing) = &self.doing {
            let doing = in_the_past(doing);
            // The call on one line, what it waits for on the next: each fits a terminal.
            let end = if doing.contains('\n') { ":\n" } else { ": " };
            let (call, why) = doing.split_once(end).unwrap_or((&doing, ""));
            lines.push(format!("while visitors waited, it {call}:"));
            lines.extend(why.lines().map(|line| format!("  {}", line.trim_start())));
        }
        lines
    }
}

/// `4 threads, 2.1 MiB`.
fn uses(usage: &Usage) -> String {
    let memory = summary::size(usage.resident);
    match usage.threads {
        1 => format!("1 thread, {memory}"),
        count => format!("{count} threads, {memory}"),
    }
}

/// `is inside read(4): …` is over by now.
fn in_the_past(doing: &str) -> String {
    match doing.split_once(' ') {
        Some(("is", rest)) => format!("was {rest}"),
        Some(("has", rest)) => format!("had {rest}"),
        _ => doing.to_owned(),
    }
}
