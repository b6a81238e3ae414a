//! slowhttptest: hundreds who take their time.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use rstest::rstest;
use visitors::setup::by_the_clock;

use crate::house::House;
use crate::inside::Inside;
use crate::tools::{Said, alone, run, tool};

const SLOW: &str = "200";
/// So many of them are here together, and so many have to go because their time is over. It gives up with the
/// last few.
const MOST_OF_THEM: u64 = 150;
const FEW_OF_THEM: u64 = 50;

/// Runs it, and what a quick visitor does meanwhile. What it says has colors.
fn attack(tool: &PathBuf, arguments: &[&str], url: &str, mut meanwhile: impl FnMut()) -> Said {
    let usual = ["-c", SLOW, "-r", SLOW, "-l", "10", "-v", "1", "-p", "5", "-u", url];
    thread::scope(|scope| {
        let attack = scope.spawn(|| run(tool, arguments.iter().chain(&usual)));
        while !attack.is_finished() {
            meanwhile();
            thread::sleep(Duration::from_millis(50));
        }
        attack.join().expect("it ends")
    })
}

/// Heads that never end, and answers that are hardly read.
#[rstest]
#[case::slow_heads(&["-H", "-i", "1", "-x", "20"], "/")]
#[case::slow_readers(&["-X", "-w", "10", "-y", "20", "-n", "2", "-z", "5"], "/large")]
fn slow_ones_are_shown_the_door(#[case] arguments: &[&str], #[case] path: &str) {
    let Some(tool) = tool("slowhttptest") else { return };
    let _alone = alone();
    by_the_clock(|| slow_ones(&tool, arguments, path));
}

fn slow_ones(tool: &PathBuf, arguments: &[&str], path: &str) {
    let times = ["--idle", "2", "--head", "2", "--answer", "2"];
    let house = House::open(&[&times[..], &["--workers", "1"]].concat());
    house.sparse("large", 100 << 20);
    house.quick();
    let before = house.memory();
    let (mut most, mut open) = (0, Vec::new());
    let said = attack(tool, arguments, &house.url(path), || {
        let quick = house.quick();
        // It's served while they are here, and not when they have gone.
        assert!(quick.took < Duration::from_secs(8), "{:?} for a quick visitor", quick.took);
        most = most.max(house.memory().unwrap_or(0));
        open.push(house.count("connections_open"));
    });
    // They were here together, and then they weren't, long before the end of it.
    let all = open.iter().position(|count| *count > MOST_OF_THEM);
    let all = all.unwrap_or_else(|| panic!("{open:?}\n{}", said.text()));
    assert!(open[all..].iter().any(|count| *count < FEW_OF_THEM), "{open:?}\n{}", said.text());
    assert!(house.count("timeouts_total") >= MOST_OF_THEM);
    if let Some(before) = before {
        let grown = most.saturating_sub(before) / 1024;
        assert!(grown < 200 * 20, "{grown} KiB for {SLOW} slow ones");
    }
    house.is_empty();
    house.quick();
    assert_eq!(house.program.stderr(), [""; 0]);
}

/// Bodies that never end. The program has no option for their time: this server is in our own process.
#[test]
fn slow_bodies_are_shown_the_door() {
    let Some(tool) = tool("slowhttptest") else { return };
    let _alone = alone();
    by_the_clock(|| slow_bodies(&tool));
}

fn slow_bodies(tool: &PathBuf) {
    let mut settings = ch11_http_server::Settings::USUAL;
    settings.body_timeout = Duration::from_secs(2);
    let inside = Inside::open(settings, |routes, _| {
        routes.get("/", |_, _| ch11_http_server::Response::text("quick"));
        routes.post("/", |_, _| ch11_http_server::Response::text("slow"));
    });
    let url = format!("http://{}/", inside.address);
    let mut open = Vec::new();
    let said = attack(tool, &["-B", "-i", "1", "-s", "8192", "-x", "20"], &url, || {
        let mut quick = inside.visitor();
        quick.get("/", "");
        assert_eq!(quick.answer().text(), "quick");
        open.push(inside.counters.open.get());
    });
    let all = open.iter().position(|count| *count > MOST_OF_THEM);
    let all = all.unwrap_or_else(|| panic!("{open:?}\n{}", said.text()));
    assert!(open[all..].iter().any(|count| *count < FEW_OF_THEM), "{open:?}\n{}", said.text());
    assert!(inside.counters.late.get() >= MOST_OF_THEM);
    inside.is_empty();
}
