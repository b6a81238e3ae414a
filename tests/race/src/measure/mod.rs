//! Measuring: servers run in turns, each with a growing crowd (Linux).
//!
//! - [`command`]: the command line.
//! - [`contestant`]: who runs. [`started`]: a server while it's measured.
//! - [`round`]: one server in one round. [`rounds`]: all of them. [`progress`]: how far it is.
//! - [`counted`]: how many system calls an answer takes.
//! - [`meanwhile`]: a visitor who is in the way. [`canned`]: a server that is none, to measure the load with.
//! - [`machine`]: where it's measured, and who else is busy there.

pub mod canned;
pub mod command;
pub mod contestant;
pub mod counted;
pub mod machine;
pub mod meanwhile;
pub mod progress;
pub mod round;
pub mod rounds;
pub mod started;
