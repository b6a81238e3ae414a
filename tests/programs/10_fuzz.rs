//! The fuzzer of chapter 10's parser, for half a minute: `chapters/10-http/fuzz/fuzz_targets/parse.rs` tells how to run
//! it for longer. Whatever it finds is left in `chapters/10-http/fuzz/artifacts`.

use std::process::Command;

/// In seconds, besides what it takes to compile it.
const TIME: u32 = 30;

#[test]
fn finds_nothing() {
    let there = |tool: &[&str]| {
        let output = Command::new("rustup").args(["run", "nightly", "cargo"]).args(tool).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !there(&["fuzz", "--version"]) {
        return visitors::skipped("there is no nightly compiler here, or no cargo-fuzz");
    }
    let learned = tempfile::tempdir().expect("there is room for a folder");
    let output = Command::new("rustup")
        .args(["run", "nightly", "cargo", "fuzz", "run", "parse"])
        .arg(learned.path())
        .arg("fuzz/corpus/parse")
        .args(["--", &format!("-max_total_time={TIME}")])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        // It isn't compiled with the workspace.
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("Done "), "it has run: {said}");
}
