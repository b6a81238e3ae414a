//! Chapter 12's program, with all of its services.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// How long anything may take that takes no time.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The program. It's killed when this is dropped.
pub struct Kernel {
    child: Child,
    console: ChildStdin,
    lines: Receiver<String>,
    /// Where each service listens, by its name.
    addresses: BTreeMap<String, SocketAddr>,
}

impl Kernel {
    /// Starts `command`, which has been given its services, and waits until it listens.
    pub fn start(mut command: Command, services: usize) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it can be started");
        let console = child.stdin.take().expect("it's a pipe");
        let stdout = child.stdout.take().expect("it's a pipe");
        let (told, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if told.send(line).is_err() {
                    return;
                }
            }
        });
        let mut kernel = Self { child, console, lines, addresses: BTreeMap::new() };
        while kernel.addresses.len() < services {
            let line = kernel.line();
            let words = line.strip_prefix("listening on ").and_then(|rest| rest.split_once(' '));
            let (address, name) = words.unwrap_or_else(|| panic!("{line:?} says no address"));
            let name = name.trim_matches(['(', ')']).to_owned();
            kernel.addresses.insert(name, address.parse().expect("it's an address"));
        }
        kernel
    }

    pub fn address(&self, service: &str) -> SocketAddr {
        *self.addresses.get(service).unwrap_or_else(|| panic!("{service} isn't there"))
    }

    /// Types a line.
    pub fn types(&mut self, line: &str) {
        self.console.write_all(line.as_bytes()).expect("it reads");
    }

    /// The next line on its standard output.
    pub fn line(&mut self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("it says something")
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
