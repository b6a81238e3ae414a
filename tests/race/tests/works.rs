//! The race does its main job: whoever listens somewhere is measured.

#![cfg(target_os = "linux")]

mod slow;

use std::fs;
use std::time::Duration;

use assert_cmd::Command;
use race::result::Race;
use slow::slow_server;
use visitors::setup::by_the_clock;

#[test]
fn any_address_can_be_measured_and_a_slow_one_is_slow() {
    by_the_clock(|| {
        let folder = tempfile::tempdir().unwrap();
        let json = folder.path().join("race.json");
        let (slow, quick) = (slow_server(Duration::from_millis(40)), slow_server(Duration::ZERO));
        let short = ["--unoptimized", "--rounds=1", "--window=50", "--rush=20", "--crowd=0,3"];
        let mut race = Command::new(env!("CARGO_BIN_EXE_race"));
        race.args(short).args([&slow, &quick]).arg("--json").arg(&json).assert().success();
        let race: Race = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
        let middle = |place: usize| {
            let cell = &race.servers[place].rounds[0].cells[0];
            assert_eq!(cell.window.answered, 25);
            // Nobody knows whose process it is.
            assert_eq!((cell.window.cpu, cell.memory, cell.threads), (None, None, None));
            cell.window.quantile(0.5).unwrap()
        };
        assert!(middle(0) >= 40_000_000 && middle(0) > middle(1), "{} {}", middle(0), middle(1));
    });
}
