//! The book shows `127.0.0.1:7002`; here the same program runs on whatever port is free.
//!
//! So a transcript never meets the server that the reader has running, nor another test's.

use std::net::{SocketAddr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, bail};

/// The first of the ports that are tried, and how many.
const PORTS: (u32, u32) = (8000, 2000);

/// What a program is given instead of the address that the book shows: one that is free now.
///
/// Its port has four digits, as those in the book. What a program counts, such as the bytes of a
/// request that names its server, would otherwise be another number than the reader gets.
///
/// # Errors
/// If every one of those ports is taken.
pub fn free() -> Result<String> {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let (first, count) = PORTS;
    for _ in 0..count {
        // Each process begins elsewhere, so that two seldom want the same port at the same time.
        let step =
            process::id().wrapping_mul(37).wrapping_add(LAST.fetch_add(1, Ordering::Relaxed));
        let address = format!("127.0.0.1:{}", first + step % count);
        if TcpListener::bind(&address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port from {first} to {} is free", first + count - 1);
}

pub fn is_address(text: &str) -> bool {
    text.parse::<SocketAddr>().is_ok()
}

/// Which address stands for which.
#[derive(Default)]
pub struct Addresses(Vec<Pair>);

struct Pair {
    shown: String,
    real: String,
}

impl Addresses {
    pub fn add(&mut self, shown: &str, real: &str) {
        // Who is told `localhost` must find the way as well.
        let by_name = |address: &str| {
            let port = address.rsplit(':').next().unwrap_or(address);
            format!("localhost:{port}")
        };
        self.0.push(Pair { shown: by_name(shown), real: by_name(real) });
        self.0.push(Pair { shown: shown.to_string(), real: real.to_string() });
    }

    pub fn to_real(&self, arguments: &[String]) -> Vec<String> {
        arguments
            .iter()
            .map(|argument| {
                self.0
                    .iter()
                    .fold(argument.clone(), |text, pair| replace(&text, &pair.shown, &pair.real))
            })
            .collect()
    }

    pub fn to_shown(&self, said: &str) -> String {
        self.0.iter().fold(said.to_string(), |text, pair| replace(&text, &pair.real, &pair.shown))
    }
}

/// Replaces `from` wherever no digit follows: port 4100 is not the start of port 41000.
fn replace(text: &str, from: &str, to: &str) -> String {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(from) {
        let (before, after) = (&rest[..at], &rest[at + from.len()..]);
        replaced.push_str(before);
        let is_longer = after.starts_with(|c: char| c.is_ascii_digit());
        replaced.push_str(if is_longer { from } else { to });
        rest = after;
    }
    replaced.push_str(rest);
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let mut addresses = Addresses::default();
        addresses.add("127.0.0.1:7002", "127.0.0.1:4100");
        let shown = ["127.0.0.1:7002", "http://localhost:7002/a", "127.0.0.1:70021"];
        let shown = shown.map(str::to_string);
        let real = addresses.to_real(&shown);
        assert_eq!(real, ["127.0.0.1:4100", "http://localhost:4100/a", "127.0.0.1:70021"]);
        assert_eq!(addresses.to_shown(&real.join(" ")), shown.join(" "));
        assert_eq!(addresses.to_shown("127.0.0.1:41000"), "127.0.0.1:41000");
    }
}
