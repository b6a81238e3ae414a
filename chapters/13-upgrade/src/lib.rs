//! Chapter 13: a program that is replaced by another one, and nobody notices.
//!
//! Read [`message`] first: what the two say to each other. [`upgrade`] is the old program's side,
//! [`inherit`] the new one's. [`format`](mod@format) and [`state`] are what is handed over; [`http`],
//! [`dns`], [`mail`] and [`chat`] are a service's, and [`lines`] what the last two have in common.
//! [`channel`] moves it, and [`peer`] waits for the other side. [`in_place`] is the short way.
//! [`watch`](mod@watch) and [`request`] are who asks for it; [`activation`] is who has opened the
//! doors, if it wasn't us. [`fleet`] is chapter 11's server with all its loops, which can be handed
//! over.
//!
//! Chapter 12's program: [`movable`] is what its services must be able to do for that, and
//! [`services`] the table of them; [`console`] and [`window`] are those of its own, and [`given`] are
//! the doors that it was given. [`succession`] is what both programs have in common.
//!
//! The story is told on the book's page `13-upgrade`. Lines that can wait say so, in a comment that
//! begins `waits:`.
#![cfg(target_os = "linux")]

pub mod activation;
pub mod channel;
pub mod chat;
mod command;
pub mod connection;
pub mod console;
mod countdown;
pub mod dns;
pub mod fleet;
pub mod format;
pub mod given;
pub mod http;
pub mod in_place;
pub mod inherit;
pub mod lines;
pub mod mail;
pub mod message;
pub mod movable;
pub mod peer;
pub mod request;
pub mod services;
pub mod state;
pub mod succession;
pub mod upgrade;
pub mod watch;
pub mod window;

/// What tells a program that it takes over: its first argument.
pub const TAKE_OVER: &str = "--take-over";
