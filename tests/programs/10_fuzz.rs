//! The fuzzer of chapter 10's parser: `chapters/10-http/fuzz/fuzz_targets/parse.rs` tells how to run it for longer.

#[path = "fuzzing/fuzzer.rs"]
mod fuzzer;

#[test]
fn finds_nothing() {
    fuzzer::finds_nothing("parse");
}
