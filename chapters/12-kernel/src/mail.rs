//! Mail: a server that takes messages by SMTP (RFC 5321), and keeps them.
//!
//! It takes mail for anybody and passes none on: every message goes into one file. So nobody can
//! use it to send mail to others, and there is no list of whom it takes mail for.
//!
//! Read [`session`] first, where the protocol is. [`server`] puts it on connections.

pub mod command;
pub mod message;
pub mod path;
pub mod server;
pub mod session;

pub use server::{Mail, Options, serve};
