//! Chapter 11: all of it. An HTTP server on the loop of chapters 7 to 9 and the parser of
//! chapter 10.
//!
//! Read [`conversation`] first, from its `State` on: a server's side of one HTTP connection,
//! without a socket. (In its folder: `answering` queues answers, `waiting` sees to deadlines,
//! `parts` takes it apart.) [`response`] is what goes out, `heads` writes its head, [`queue`] is
//! what waits to be sent, [`settings`] are limits and times. [`connection`] moves the bytes
//! between a conversation and its `socket` (in its folder: `handling` calls handlers, `deadline`
//! sets timers), `send_buffer` measures what large files cost, and `shared` is what all
//! connections share. [`server`] accepts them, and ends. [`routes`] and [`answer`] are what a
//! program sees of it; [`files`] are answers that lie on a disk, with [`folder`], [`path`] and
//! [`conditions`] for what is hard about them. [`workers`] are several loops on one port. The
//! rest is small: [`listen`], `options` of sockets, [`mailbox`](mod@mailbox) for other threads' messages, [`events`]
//! that are pushed, [`log`], [`metrics`], [`live`], the book's [`page`] and its [`site`], and what a [`command_line`] gets that is wrong.
//!
//! Files use each other in one direction only, as the test `floors` sees to: so another way of
//! waiting can have the conversation, and needs nothing else of this.
//!
//! Where to add something: a field of every answer in `heads`; what becomes of a file, by its
//! name or its request, in [`files`]; a new kind of answer in [`routes`] or in a program's own
//! handler; an option in `main.rs`, from where it goes into [`Settings`]; a limit or a time in
//! [`settings`], with a `Wait` in the conversation if it's something new to wait for.
//!
//! A server of one page:
//!
//! ```no_run
//! use ch11_http_server::{Response, Routes, Settings, Workers};
//!
//! # fn main() -> std::io::Result<()> {
//! let workers = Workers::bind("127.0.0.1:7011".parse().unwrap(), 2)?;
//! workers.run(Settings::USUAL, None, |_| {
//!     let mut routes = Routes::new();
//!     routes.get("/hello/{name}", |_, request| {
//!         let name = request.parameter("name").unwrap_or_default();
//!         Response::made("text/plain; charset=utf-8", format!("Hello, {name}!"))
//!     });
//!     Ok(routes)
//! })
//! # }
//! ```
//!
//! The story is told on the book's pages `11-http-server` and `11-1-files`. Lines that can wait
//! say so, in a comment that begins `waits:`.

pub mod answer;
pub mod command_line;
pub mod conditions;
pub mod connection;
pub mod conversation;
pub mod events;
pub mod files;
pub mod folder;
mod heads;
pub mod listen;
pub mod live;
pub mod log;
pub mod mailbox;
pub mod metrics;
#[cfg(target_os = "linux")]
pub mod options;
pub mod page;
pub mod path;
pub mod queue;
pub mod response;
pub mod routes;
mod send_buffer;
pub mod server;
pub mod settings;
mod shared;
pub mod site;
mod socket;
pub mod workers;

pub use answer::{Answer, Body, Flow, Response, Ticket};
pub use conversation::Conversation;
pub use events::Events;
pub use files::Files;
pub use folder::Folder;
pub use log::Log;
pub use mailbox::mailbox;
pub use routes::{Context, Request, Routes};
pub use server::Server;
pub use settings::Settings;
pub use workers::Workers;
