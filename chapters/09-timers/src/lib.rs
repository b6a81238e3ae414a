//! Chapter 9: waiting with a deadline. Timers and signals in the same wait.
//!
//! Read [`timers`] first: how a queue of deadlines becomes one number for the line that
//! waits. Then [`server`], which gives nobody more time than they need; [`signals`]
//! make a signal an event like any other. [`clock`] is what tells the time: the
//! system's, or in tests one that is turned by hand.
//!
//! The story is told on the book's page `09-timers`. Lines that can wait say so, in a
//! comment that begins `waits:`.

pub mod clock;
pub mod server;
pub mod signals;
pub mod timers;

pub use clock::Clock;
pub use server::Deadlines;
pub use timers::{Timer, Timers};
