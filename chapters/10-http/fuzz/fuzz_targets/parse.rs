//! Looks for bytes on which the parser breaks a promise:
//!
//! ```text
//! cargo install cargo-fuzz
//! cd chapters/10-http && mkdir -p fuzz/target/corpus
//! cargo +nightly fuzz run parse fuzz/target/corpus fuzz/corpus/parse -- -max_total_time=60
//! ```
//!
//! What it finds stands in `fuzz/artifacts`, and belongs into the table of
//! `tests/programs/10_http.rs`. What it learns stays in `fuzz/target`: the corpus here is
//! small, for people to read.

#![no_main]

#[path = "../property.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::check(bytes));
