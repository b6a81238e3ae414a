//! What chapter 5's program must do, besides its exercises.

#[path = "serving/hangs_up.rs"]
mod hangs_up;
#[path = "serving/promises.rs"]
mod promises;
mod serving;

use serving::Server;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ch05-poll");
const CHAPTER: u32 = 5;
/// The one call in which it waits.
const WAITS_IN: &str = "poll";
/// So many silent visitors it must be able to keep.
const SILENT: usize = 5000;

fn start() -> Server {
    Server::start(PROGRAM, CHAPTER)
}

#[test]
fn a_greedy_visitor_stops_everybody() {
    serving::a_greedy_visitor_stops_everybody(&start());
}

#[test]
fn a_false_readiness_makes_it_wait() {
    // Readiness is a hint, and here it's taken for a promise. Chapter 6 mends it.
    let server = start();
    let Some((_lens, _silent)) = serving::under_a_lens_that_lies(&server) else { return };
    let mut quick = server.visitor("quick visitor");
    quick.send(serving::REQUEST).unwrap();
    server.settled();
    let doing = server.program.doing();
    assert!(doing.starts_with("is inside recvfrom("), "{doing}");
    assert!(!quick.readable_within(std::time::Duration::from_millis(100)), "nobody serves it");
}

#[test]
fn chapter_4_and_5_differ_in_the_idea_only() {
    // The page has the reader compare the two: what isn't about waiting must be the same, to the letter.
    let [four, five] = [
        include_str!("../../chapters/04-select/src/main.rs"),
        include_str!("../../chapters/05-poll/src/main.rs"),
    ];
    let part = |text: &'static str, name: &str| {
        let (_, rest) = text.split_once(&format!("// ANCHOR: {name}\n")).expect("it begins");
        rest.split_once(&format!("// ANCHOR_END: {name}\n")).expect("it ends").0
    };
    for name in ["state", "read", "answer_to"] {
        assert_eq!(part(four, name), part(five, name), "{name}");
    }
}
