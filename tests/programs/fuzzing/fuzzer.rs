//! A chapter's fuzzer, for half a minute. It needs a nightly compiler, and cargo-fuzz.

use std::process::Command;

/// In seconds, besides what it takes to compile it.
const TIME: u32 = 30;

/// Whatever it finds is left in the folder `fuzz/artifacts` of the chapter whose test this is.
///
/// # Panics
/// If it finds anything.
pub fn finds_nothing(target: &str) {
    let there = |tool: &[&str]| {
        let output = Command::new("rustup").args(["run", "nightly", "cargo"]).args(tool).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !there(&["fuzz", "--version"]) {
        return visitors::skipped("there is no nightly compiler here, or no cargo-fuzz");
    }
    let learned = tempfile::tempdir().expect("there is room for a folder");
    let output = Command::new("rustup")
        .args(["run", "nightly", "cargo", "fuzz", "run", target])
        .arg(learned.path())
        .arg(format!("fuzz/corpus/{target}"))
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
