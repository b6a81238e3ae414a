//! What the book shows of its programs' output is what they say today.

use assert_cmd::Command;

#[test]
fn every_command_says_what_the_book_shows() {
    Command::new(env!("CARGO_BIN_EXE_book")).args(["transcripts", "--check"]).assert().success();
}
