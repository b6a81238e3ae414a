//! Chapter 7: don't call us, we call you. An event loop as a library.
//!
//! Read [`event_loop`] first: it owns everything that is waited for, waits in one line,
//! and calls whoever has news. [`connection`] is what most programs see of it:
//! `set_read_callback`. The rest is small: [`slots`] are where the loop keeps what it
//! owns, [`readiness`] is what is asked and what is answered, [`backend`] the seam to
//! the call that waits, [`poll`] the first such call. [`page`] is the book's server, as
//! callbacks.
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
