//! Finds a port to listen on.

use std::io::ErrorKind;
use std::iter;
use std::net::{SocketAddr, TcpListener};
use std::ops::RangeInclusive;

use anyhow::{Context, Result, bail};
use ch07_callbacks::program::say;
use ch11_http_server::listen::listen_on;

/// The ports of the chapters' programs. Whoever reads the book wants to run them meanwhile.
const CHAPTERS: RangeInclusive<u16> = 7001..=7014;
/// So many ports are tried. When as many are taken, something else is wrong.
const TRIED: usize = 100;

/// Listens at `wanted`, or, if that port is taken, at the next one that isn't.
///
/// # Errors
/// If all of them are taken, or the address isn't ours.
pub fn listen(wanted: SocketAddr) -> Result<TcpListener> {
    for port in ports(wanted.port()) {
        let address = SocketAddr::new(wanted.ip(), port);
        match listen_on(address, false) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => return Err(error).with_context(|| format!("can't listen on {address}")),
            Ok(listener) => {
                if address != wanted {
                    say(&format!("{wanted} is taken: port {port} is the next that is free"));
                }
                return Ok(listener);
            }
        }
    }
    bail!("{wanted} is taken, and so are the ports after it: give another with --port");
}

fn ports(wanted: u16) -> impl Iterator<Item = u16> {
    let next = (wanted..=u16::MAX).skip(1).filter(|port| !CHAPTERS.contains(port));
    iter::once(wanted).chain(next).take(TRIED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chapters_ports_are_left_to_them() {
        assert_eq!(ports(7000).take(3).collect::<Vec<_>>(), [7000, 7015, 7016]);
        assert_eq!(ports(7005).take(2).collect::<Vec<_>>(), [7005, 7015], "asked for by name");
        assert_eq!(ports(65534).collect::<Vec<_>>(), [65534, 65535]);
        assert_eq!(ports(8000).count(), TRIED);
    }
}
