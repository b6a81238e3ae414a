//! Chapter 12's program, which is replaced by another version of itself while it serves.

#[cfg(target_os = "linux")]
#[path = "program/kernel.rs"]
mod kernel;

#[cfg(target_os = "linux")]
fn main() {
    kernel::main();
}

/// What it needs is there, or nearly so; but nobody has written it down.
#[cfg(not(target_os = "linux"))]
fn main() {
    ch07_callbacks::program::complain("ch13-kernel", 1, "this chapter's programs need Linux");
}
