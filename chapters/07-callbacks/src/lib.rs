//! Chapter 7: don't call us, we call you. An event loop as a library.
//!
//! Read [`event_loop`] first: it owns everything that is waited for, waits in one line,
//! and calls whoever has news. [`connection`] is what most programs see of it:
//! `set_read_callback`. The rest is small: [`slots`] are where the loop keeps what it
//! owns, [`readiness`] is what is asked and what is answered, [`backend`] the seam to
//! the call that waits, [`poll`] the first such call. [`page`] is the book's server, as
//! callbacks.
//!
//! A server that sends everything back, in one thread:
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! use std::net::TcpListener;
//!
//! use ch07_callbacks::{EventLoop, Poll};
//!
//! let mut event_loop = EventLoop::new(Poll);
//! let listener = TcpListener::bind("127.0.0.1:7007")?;
//! event_loop.listen(listener, |event_loop, came| {
//!     let Ok((visitor, _)) = came else { return };
//!     event_loop.set_read_callback(visitor, |event_loop, me, input| {
//!         event_loop.send(me, &std::mem::take(&mut input.bytes));
//!         if input.ended {
//!             event_loop.finish(me);
//!         }
//!     });
//! })?;
//! event_loop.run()
//! # }
//! ```
//!
//! The story is told on the book's page `07-callbacks`. Lines that can wait say so, in
//! a comment that begins `waits:`.

pub mod backend;
pub mod connection;
pub mod event_loop;
pub mod listener;
pub mod page;
pub mod poll;
pub mod program;
pub mod readiness;
pub mod slots;
pub mod source;

pub use backend::Backend;
pub use connection::{Connection, Input};
pub use event_loop::EventLoop;
pub use listener::Listener;
pub use poll::Poll;
pub use readiness::{Interest, Readiness, now};
pub use slots::Token;
pub use source::{Ending, Source};
