#!/usr/bin/env bash
# hickory-proto 0.26.3 (crates.io), Rust 1.88 or newer.
#
# What one would guess: a name that stands in a DNS message for the second time takes two bytes, a pointer to the first,
#   however long the message is, as long as the first one stands within the 16,383 bytes that a pointer reaches.
# What happens: the encoder remembers the places of at most 64 names and ends of names. When these are used up, no further
#   place is remembered: from then on only what was among the first 64 is pointed at, and a name that comes for the second
#   time right behind the first is written out again. An answer that has many owners is larger than it need be, and may
#   be truncated where another server's fits.
# Source: RFC 1035, section 4.1.4 (message compression; it may be left out, so this is no error);
#   COMPRESSION_CANDIDATE_LIMIT in hickory-proto's src/serialize/binary/encoder.rs, which no documentation of the public
#   types mentions.
# Seen with it (each name has two addresses, and shares its last part with all others):
#   name 10 of a message adds 48 bytes
#   name 50 of a message adds 64 bytes
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
hickory-proto = { version = "=0.26.3", default-features = false, features = ["std"] }
TOML
cat >"$folder/src/main.rs" <<'RUST'
use std::net::Ipv4Addr;
use std::str::FromStr;

use hickory_proto::op::{Message, MessageType, OpCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record};

/// The length of a message with so many names, each of which has two addresses.
fn length(names: usize) -> usize {
    let mut message = Message::new(1, MessageType::Response, OpCode::Query);
    for number in 0..names {
        let name = Name::from_str(&format!("www.domain-{number:04}.example.")).unwrap();
        for last in [1, 2] {
            let address = RData::A(A(Ipv4Addr::new(192, 0, 2, last)));
            message.add_answer(Record::from_rdata(name.clone(), 300, address));
        }
    }
    message.to_vec().unwrap().len()
}

fn main() {
    for names in [10, 50] {
        println!("name {names} of a message adds {} bytes", length(names) - length(names - 1));
    }
}
RUST
seen=$(cd "$folder" && cargo run --quiet)
expected='name 10 of a message adds 48 bytes
name 50 of a message adds 64 bytes'
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
    printf 'changed; expected:\n%s\n' "$expected" >&2
    exit 1
fi
