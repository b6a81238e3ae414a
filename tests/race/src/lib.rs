//! The race: what each way of waiting costs.
