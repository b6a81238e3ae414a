//! `cargo visit` and `cargo host` do their main job here: what `cargo test` asks of a setup.

use std::process::Command;

use visitors::program::Start;

#[test]
fn visitors_call_on_a_host() {
    let host = Start::new(env!("CARGO_BIN_EXE_host")).arg("quick").arg("127.0.0.1:0");
    let host = host.start().expect("it starts");
    let address = host.listening().expect("it listens").to_string();
    let visit =
        Command::new(env!("CARGO_BIN_EXE_visit")).args([&address, "quick", "slow"]).output();
    let visit = visit.expect("it starts");
    let said = String::from_utf8_lossy(&visit.stdout);
    assert!(visit.status.success(), "{visit:?}");
    assert_eq!(said.matches("answered 200 after ").count(), 2, "{said}");
    host.says(|line| line == "visitor 1 asked: GET / HTTP/1.1").expect("it says who has asked");
}
