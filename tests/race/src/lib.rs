//! The race: what each way of waiting costs, measured side by side on the reader's own machine.
//!
//! - [`load`]: the client, on chapter 9's loop. Its story is told on the book's page `race`.
//! - [`contestant`]: who runs. [`started`]: a server while it's measured.
//! - [`round`]: one server in one round. [`race`]: all rounds. [`progress`]: how far it is.
//! - [`meanwhile`]: a visitor who is in the way. [`canned`]: a server that is none, to measure the load with.
//! - [`machine`]: where it's measured, and who else is busy there.
//! - [`result`]: what was measured, as it's written down.

pub mod canned;
pub mod contestant;
pub mod load;
pub mod machine;
pub mod meanwhile;
pub mod pictures;
pub mod progress;
pub mod race;
pub mod result;
pub mod round;
pub mod started;
pub mod table;
