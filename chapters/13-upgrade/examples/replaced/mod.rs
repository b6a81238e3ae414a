//! A server of this chapter's that is replaced again and again, and ended here.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// All of its generations, one after the other.
pub struct Server {
    first: Child,
    pub address: SocketAddr,
    /// The process that serves now.
    pid: i32,
    said: BufReader<File>,
}

impl Server {
    /// Starts it, and waits until it listens.
    ///
    /// # Errors
    /// When it can't be started, or doesn't say where it listens.
    pub fn start(program: &str, arguments: &[&str]) -> io::Result<Self> {
        let (said, stderr) = io::pipe()?;
        let mut first = Command::new(program)
            .args(arguments)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = first.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line.split_whitespace().nth(2).and_then(|word| word.parse().ok());
        let address = address.ok_or_else(|| io::Error::other("it doesn't listen"))?;
        let pid = i32::try_from(first.id()).map_err(io::Error::other)?;
        Ok(Self { first, address, pid, said: BufReader::new(File::from(OwnedFd::from(said))) })
    }

    /// Has it replaced by itself, and waits until that has happened: for so many ms, nobody was
    /// served.
    ///
    /// # Errors
    /// When it isn't replaced.
    pub fn replace(&mut self) -> io::Result<f64> {
        kill(Pid::from_raw(self.pid), Signal::SIGUSR2)?;
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        let words: Vec<&str> = line.split([' ', '(', ')', '\n']).collect();
        let behind = |word| {
            let at = words.iter().rposition(|it| *it == word)?;
            words.get(at + 1)
        };
        let pid = behind("pid").and_then(|word| word.parse().ok());
        let frozen = behind("in").and_then(|word| word.parse().ok());
        let (Some(pid), Some(frozen)) = (pid, frozen) else {
            return Err(io::Error::other(format!("it says {line:?}")));
        };
        self.pid = pid;
        Ok(frozen)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // All generations are in the first one's group.
        if let Ok(group) = i32::try_from(self.first.id()) {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        let _ = self.first.wait();
    }
}
