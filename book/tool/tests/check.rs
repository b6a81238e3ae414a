//! The book that readers get has none of the faults that the checker knows.

use assert_cmd::Command;

#[test]
fn the_book_is_well() {
    Command::new(env!("CARGO_BIN_EXE_book")).arg("check").assert().success();
}
