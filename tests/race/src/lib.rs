//! The race: what each way of waiting costs, measured side by side.

pub mod about;
pub mod figures;
pub mod load;
pub mod pictures;
pub mod plot;
pub mod result;
pub mod table;
pub mod units;
