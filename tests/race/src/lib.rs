//! The race: what each way of waiting costs, measured side by side.

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
