//! The fuzzer of chapter 11's conversation: `chapters/11-http-server/fuzz/fuzz_targets/conversation.rs` tells how to run it for
//! longer.

#[path = "fuzzing/fuzzer.rs"]
mod fuzzer;

#[test]
fn finds_nothing() {
    fuzzer::finds_nothing("conversation");
}
