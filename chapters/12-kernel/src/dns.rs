//! DNS: names of our own answered at once, all others later.
//!
//! Read [`responder`] first: the server without its sockets, messages in, messages out. What
//! comes in is read by [`question`], what goes out is written by [`answer`]. [`zone`] are the
//! names that we know ourselves, from a `zone_file`. [`forwarder`] are the questions that the
//! upstream has been asked, [`believed`] is what is taken from its answers, [`cache`] keeps that,
//! and [`packets`] keeps whole messages, for speed; both in a [`bounded_map`].
//!
//! [`handover`] is all of it in plain data, for another process to go on with.
//!
//! The rest are sockets: [`service`] puts the server into the loop, `clients` are those who ask
//! by TCP, with `framing`, and `asking` asks the upstream. `shared` is what they share, and
//! `notice` keeps them from saying the same too often.

pub mod answer;
mod asking;
pub mod believed;
pub mod bounded_map;
pub mod cache;
mod clients;
pub mod forwarder;
mod framing;
pub mod handover;
mod notice;
pub mod packets;
pub mod question;
pub mod responder;
pub mod service;
mod shared;

pub mod zone;
mod zone_file;

pub use forwarder::Times;
pub use responder::Responder;
pub use service::{Dns, Options, serve};
pub use zone::Zone;
