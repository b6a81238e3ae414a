//! An X server for tests.
#![allow(dead_code, reason = "no test uses all of it")]

pub mod glass;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use visitors::skipped;

/// An X server that shows nothing to anybody.
pub struct Display {
    pub server: Child,
    /// As DISPLAY names it.
    pub name: String,
}

impl Display {
    /// `None`, and that is said, where it can't be had, or the tools that look at it can't.
    pub fn start() -> Option<Self> {
        for tool in ["Xvfb", "xdotool", "xwd"] {
            let folders = std::env::var_os("PATH").unwrap_or_default();
            if !std::env::split_paths(&folders).any(|folder| folder.join(tool).exists()) {
                skipped(format!("{tool} isn't installed"));
                return None;
            }
        }
        let arguments = ["-displayfd", "1", "-nolisten", "tcp", "-screen", "0", "1600x1200x24"];
        let mut server = Command::new("Xvfb");
        // Left by its last client, it would begin anew: in the middle of our program's greeting, if
        // that last client was a tool that looked for a window too early.
        let server =
            server.arg("-noreset").args(arguments).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = server.spawn().unwrap();
        let mut number = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut number).unwrap();
        Some(Self { server, name: format!(":{}", number.trim()) })
    }

    pub fn signal(&self, signal: Signal) {
        signal_to(&self.server, signal);
    }

    /// What the tool prints, if it succeeds.
    pub fn tool(&self, name: &str, arguments: &[&str]) -> Option<Vec<u8>> {
        let out = Command::new(name).args(arguments).env("DISPLAY", &self.name).output().unwrap();
        out.status.success().then_some(out.stdout)
    }

    #[track_caller]
    pub fn hand(&self, orders: &str) {
        let orders: Vec<&str> = orders.split_whitespace().collect();
        assert!(self.tool("xdotool", &orders).is_some(), "xdotool {orders:?}");
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

pub fn signal_to(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}
