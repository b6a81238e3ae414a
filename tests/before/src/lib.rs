//! What must be there before anything else can be tested: see `tests/your_setup.rs`.
