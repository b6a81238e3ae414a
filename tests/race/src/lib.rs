//! The race: what each way of waiting costs, measured side by side.

pub mod load;
pub mod plot;
pub mod result;
