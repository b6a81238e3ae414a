#!/usr/bin/env bash
# nix 0.31.3 (crates.io), Rust 1.85 or newer, Linux.
#
# What one would guess: a wait of half a millisecond, made from a Duration, waits for at least half a millisecond, as
#   std::thread::sleep and the timeouts of std's sockets do; whatever the kernel can't express is rounded up.
# What happens: PollTimeout and EpollTimeout hold whole milliseconds, and `try_from(Duration)` cuts. 999 microseconds become
#   0, which poll(2) and epoll_wait(2) take for "don't wait": a loop that waits for its next timer that way turns without
#   a pause until the last millisecond is over.
# Source: poll(2), epoll_wait(2) (the timeout is in milliseconds; 0 returns at once); the documentation of nix's
#   `PollTimeout` says that it's a number of milliseconds, and nothing of what becomes of the rest.
# Seen with it:
#   999 us become a timeout of 0 ms for poll and of 0 ms for epoll; 1999 us become 1 ms
#   ten waits of 999 us took less than 5 ms together
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "shows"
version = "0.0.0"
edition = "2024"

[dependencies]
nix = { version = "=0.31.3", features = ["event", "poll"] }
TOML
cat >"$folder/src/main.rs" <<'RUST'
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::EpollTimeout;

fn main() {
    let poll_ms = |us| PollTimeout::try_from(Duration::from_micros(us)).unwrap().as_millis().unwrap();
    let epoll_ms = |us| i32::from(EpollTimeout::try_from(Duration::from_micros(us)).unwrap());
    println!(
        "999 us become a timeout of {} ms for poll and of {} ms for epoll; 1999 us become {} ms",
        poll_ms(999),
        epoll_ms(999),
        poll_ms(1999)
    );
    // A socket to which nobody sends anything.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let began = Instant::now();
    for _ in 0..10 {
        let mut one = [PollFd::new(silent.as_fd(), PollFlags::POLLIN)];
        poll(&mut one, PollTimeout::try_from(Duration::from_micros(999)).unwrap()).unwrap();
    }
    let together = began.elapsed();
    let words = if together < Duration::from_millis(5) { "less than 5 ms" } else { "5 ms or more" };
    println!("ten waits of 999 us took {words} together");
}
RUST
seen=$(cd "$folder" && cargo run --quiet)
expected='999 us become a timeout of 0 ms for poll and of 0 ms for epoll; 1999 us become 1 ms
ten waits of 999 us took less than 5 ms together'
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
    echo "this has changed: it used to be" >&2
    printf '%s\n' "$expected" >&2
    exit 1
fi
