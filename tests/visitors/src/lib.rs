//! The visitors: the same cast calls on every server in the book, so that chapters can be compared.
//!
//! - [`cast`]: who the visitors are, and how they are asked for in words.
//! - [`visit`]: what each of them does, and what it experienced; [`crowd`] is for the very many.
//! - [`play`]: several of them side by side, in an order that is certain.
//! - [`destination`]: where they go.
//! - [`hosts`]: the counterpart: servers with manners, for programs that are visitors themselves.
//! - [`chapters`]: where the chapters lie.
//! - [`program`]: a program that is visited: started, watched from outside, ended.
//! - [`family`]: a program, and whoever takes its place.
//! - [`doing`]: what a process is doing at this moment, in words.
//! - [`tcp`]: what the kernel knows of connections.
//! - [`calls`]: the system calls that can wait.
//! - [`answer`]: an HTTP answer as a visitor reads it.
//! - [`printing`], [`files`], [`names`]: what all tools share: lines that nobody may read, files that stay whole,
//!   names that were misspelled.
//! - [`setup`]: what a machine must have for tests, and what a test says that can't show anything there.
//! - [`connection`]: one end of a connection, driven step by step: what the graded checks use.

pub mod answer;
pub mod calls;
pub mod cast;
pub mod chapters;
pub mod connection;
pub mod crowd;
pub mod destination;
pub mod doing;
pub mod family;
pub mod files;
pub mod hosts;
mod line;
pub mod names;
mod part;
pub mod play;
pub mod printing;
pub mod program;
pub mod setup;
pub mod tcp;
pub mod visit;

pub use setup::skipped;
