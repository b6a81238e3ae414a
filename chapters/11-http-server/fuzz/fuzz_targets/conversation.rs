//! Looks for bytes, and an order in which things happen, on which a conversation breaks a promise:
//!
//! ```text
//! cargo install cargo-fuzz
//! cd chapters/11-http-server && mkdir -p fuzz/target/corpus
//! cargo +nightly fuzz run conversation fuzz/target/corpus fuzz/corpus/conversation -- \
//!     -max_total_time=60
//! ```
//!
//! With `--sanitizer none` behind `run` it's faster: there is no unsafe code here to look after.
//!
//! What it finds stands in `fuzz/artifacts`. It belongs into the corpus, by a name that tells what
//! was wrong: so the tests try it each time. What it learns stays in `fuzz/target`: the corpus
//! here is small, for people to read. How a file of it is read stands at `Case::of`, in
//! `property.rs`.

#![no_main]

#[path = "../property.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::check(bytes));
