//! Chapter 13's server: chapter 11's, with all its options, which is replaced by another version of
//! itself while it serves.

#[cfg(target_os = "linux")]
#[path = "program/server.rs"]
mod server;

#[cfg(target_os = "linux")]
fn main() {
    server::main();
}

/// What it needs is there, or nearly so; but nobody has written it down.
#[cfg(not(target_os = "linux"))]
fn main() {
    ch07_callbacks::program::complain("ch13-upgrade", 1, "this chapter's programs need Linux");
}
