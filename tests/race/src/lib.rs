//! The race: what each way of waiting costs, measured side by side.
//!
//! - `load` asks, and takes the times (Linux).
//! - [`result`] is what was measured, as it's written down. Everything else is made of it.
//! - [`figures`] works out what is shown: the median of the rounds, the noise, who failed.
//! - [`table`] prints it, and [`pictures`] draws it. [`about`] and [`units`] have the words for both.
//! - [`plot`] is what all curves of the book are drawn with.

pub mod about;
pub mod figures;
// Its alarm is Linux's. What a race looks like is the same everywhere: the book draws with it.
#[cfg(target_os = "linux")]
pub mod load;
pub mod pictures;
pub mod plot;
pub mod result;
pub mod table;
pub mod units;
