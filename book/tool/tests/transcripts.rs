//! What the book shows of its programs' output is what they say today.

#[cfg(target_os = "linux")]
use assert_cmd::Command;

/// On Linux only: elsewhere less is known of a program, and less is said.
#[test]
#[cfg(target_os = "linux")]
fn every_command_says_what_the_book_shows() {
    Command::new(env!("CARGO_BIN_EXE_book")).args(["transcripts", "--check"]).assert().success();
}
