//! Chapter 12: one loop, every protocol. UDP and DNS, servers that speak lines, a console and a
//! window, beside chapter 11's HTTP, in one thread.
//!
//! Read [`options`] first, from its table on: it's the program's list of services. [`kernel`]
//! opens all of them or none, runs them in one loop, and ends them. [`presence`] is what each has to
//! tell of itself: who is here. [`http`] is chapter 11's server as one of them. `door.rs` closes a
//! service's door when it ends.
//!
//! [`datagrams`] are UDP in the loop. [`dns`] answers names of its own at once and others later: its
//! own map is in that file.
//!
//! [`lines`] cuts bytes into lines, and [`line_server`] is what every protocol made of lines needs
//! of the loop. Two are built on it. [`mail`]: `mail/session.rs` is what is said, `mail/server.rs`
//! puts it into the loop, [`mbox`] is the file, with a thread that may wait for the disk, and
//! [`date`] writes dates. [`chat`]: [`room`] is who says what to whom, [`telnet`] what else is among
//! the bytes.
//!
//! [`console`] takes commands from standard input, [`commands`] are what they mean. [`window`] shows
//! who is here: [`table`] makes lines of text, [`screen`] lays them out, [`paint`] draws them, and
//! [`wire`] sees to it that drawing never waits, and [`sequence`] counts for a library that hasn't
//! been there from the beginning. [`program`] is what else a program with all of them
//! has.
//!
//! What a protocol says stands in files without a socket, a clock or a loop: `dns/responder.rs`,
//! `dns/forwarder.rs`, `mail/session.rs`, `room.rs`, `telnet.rs`, `lines.rs`, `screen.rs`.
//!
//! Files called `handover.rs` take a service apart while it runs, and put it together in another
//! process: chapter 13 does that.
//!
//! The story is told on the book's pages `12-kernel` and `12-1-lines`. Lines that can wait say so, in
//! a comment that begins `waits:`.

pub mod chat;
pub mod commands;
pub mod console;
pub mod datagrams;
pub mod date;
pub mod dns;
mod door;
pub mod gathering;
pub mod http;
pub mod kernel;
pub mod line_server;
pub mod lines;
pub mod mail;
pub mod mbox;
pub mod options;
pub mod paint;
pub mod presence;
pub mod program;
pub mod room;
pub mod screen;
pub mod sequence;
pub mod table;
pub mod telnet;
pub mod window;
pub mod wire;
