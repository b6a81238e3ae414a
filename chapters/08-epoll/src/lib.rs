//! Chapter 8: let the kernel keep the list. `epoll` as a second way for chapter 7's
//! loop to wait.
//!
//! Read `epoll.rs` beside chapter 7's `poll.rs`: the same names in the same order.
//! [`event_loop`] gives a loop with the better of the two that the system has.
//!
//! The story is told on the book's page `08-epoll`. Lines that can wait say so, in a
//! comment that begins `waits:`.

use std::io;

use ch07_callbacks::EventLoop;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub mod epoll;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use epoll::Epoll;

// ANCHOR: event_loop
/// A loop that waits in `epoll_wait`.
///
/// # Errors
/// When the kernel has no descriptor for its list.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn event_loop() -> io::Result<EventLoop> {
    Ok(EventLoop::new(Epoll::new()?))
}

/// A loop that waits in `poll`: this system has no epoll.
///
/// # Errors
/// None here. Elsewhere there may be.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn event_loop() -> io::Result<EventLoop> {
    Ok(EventLoop::new(ch07_callbacks::Poll))
}
// ANCHOR_END: event_loop
