//! `cargo lens` does its main job here, or says why it can't: what `cargo test` asks of a setup.

use std::process::Command;

#[test]
fn it_shows_where_a_program_waits() {
    let lens = Command::new(env!("CARGO_BIN_EXE_lens")).args(["--", "sleep", "0.2"]).output();
    let lens = lens.expect("it starts");
    let said = String::from_utf8_lossy(&lens.stderr);
    if lens.status.code() == Some(2) {
        // On macOS, and where a program may not look at another one: most of the book doesn't need it.
        return visitors::skipped(said);
    }
    assert!(lens.status.success(), "{lens:?}");
    assert!(said.contains("time is over"), "{said}");
    assert!(said.contains("1 thread, blocked"), "{said}");
}
