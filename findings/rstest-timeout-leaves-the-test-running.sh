#!/usr/bin/env bash
# rstest 0.28.0 (crates.io), Rust 1.85 or newer.
#
# What one would guess: a test with #[timeout(…)] that takes too long is over when it's reported as failed.
# What happens: the test's body runs in a thread of its own, and the failed test leaves that thread behind. It goes on
#   beside the tests that come next, with all its effects, until it ends or the test program does.
# Source: rstest's documentation of `#[timeout]` says that the test fails with a panic after that time, and nothing of
#   the thread; a thread of Rust can't be ended from outside (std::thread).
# Seen with it:
#   the test has failed, and its thread worked on: true
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "shows"
version = "0.0.0"
edition = "2024"

[dev-dependencies]
rstest = { version = "=0.28.0", default-features = false }
TOML
cat >"$folder/src/lib.rs" <<'RUST'
#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    static WORKED_ON: AtomicBool = AtomicBool::new(false);

    #[rstest::rstest]
    #[timeout(Duration::from_millis(50))]
    fn a_takes_too_long() {
        thread::sleep(Duration::from_millis(500));
        WORKED_ON.store(true, Ordering::SeqCst);
    }

    #[test]
    fn b_comes_after_it() {
        thread::sleep(Duration::from_secs(1));
        let worked_on = WORKED_ON.load(Ordering::SeqCst);
        println!("the test has failed, and its thread worked on: {worked_on}");
    }
}
RUST
seen=$(cd "$folder" && { cargo test --quiet -- --test-threads=1 --nocapture 2>&1 || true; })
if ! grep -q 'a_takes_too_long' <<<"$seen" || ! grep -q '1 passed; 1 failed' <<<"$seen"; then
    printf 'the test was to fail by its timeout:\n%s\n' "$seen" >&2
    exit 1
fi
expected='the test has failed, and its thread worked on: true'
if ! grep -oF "$expected" <<<"$seen"; then
    printf 'this has changed: its thread used to work on\n%s\n' "$seen" >&2
    exit 1
fi
