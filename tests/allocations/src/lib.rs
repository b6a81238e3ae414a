//! What allocates nothing: see `tests/programs/10_allocations.rs` and `11_allocations.rs`.
