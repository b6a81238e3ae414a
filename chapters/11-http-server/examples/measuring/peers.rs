//! Other people's servers, and where one may listen.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

/// How long a server may take until it answers.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Where servers lie, if not in the PATH.
const USUAL: &str = "/usr/sbin";

/// A program that may be installed.
pub fn installed(name: &str) -> Option<PathBuf> {
    let places = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&places)
        .chain([PathBuf::from(USUAL)])
        .map(|place| place.join(name))
        .find(|path| path.is_file())
}

/// An address that is free at the moment.
///
/// # Errors
/// When none is.
pub fn free() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
