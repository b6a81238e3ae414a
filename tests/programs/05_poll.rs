//! What chapter 5's program must do, besides its exercises.

mod serving;

use rstest::rstest;
use serving::{LARGE, Server};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ch05-poll");
const CHAPTER: u32 = 5;
/// The one call in which it waits.
const WAITS_IN: &str = "poll";
/// So many silent visitors it must be able to keep.
const SILENT: usize = 5000;

fn start() -> Server {
    Server::start(PROGRAM, CHAPTER)
}

#[rstest]
#[case::one(1)]
#[case::two(2)]
#[case::byte_by_byte(usize::MAX)]
fn a_request_in_pieces_gets_the_same_answer(#[case] pieces: usize) {
    serving::a_request_in_pieces_gets_the_same_answer(&start(), pieces);
}

#[rstest]
#[case::ten(10)]
#[case::a_thousand(1000)]
fn visitors_are_served_in_reverse_order(#[case] count: usize) {
    serving::visitors_are_served_in_reverse_order(&start(), count);
}

#[test]
fn requests_are_not_mixed_up() {
    serving::requests_are_not_mixed_up(&start());
}

#[test]
fn who_has_finished_sending_is_answered() {
    serving::who_has_finished_sending_is_answered(&start());
}

#[test]
fn who_leaves_at_any_stage_leaves_alone() {
    serving::who_leaves_at_any_stage_leaves_alone(&start());
}

#[test]
fn who_stays_after_its_answer_is_no_burden() {
    serving::who_stays_after_its_answer_is_no_burden(&start());
}

#[test]
fn idle_visitors_cost_no_cpu_time() {
    serving::idle_visitors_cost_no_cpu_time(&start(), SILENT);
}

#[test]
fn many_at_the_same_moment() {
    serving::many_at_the_same_moment(&start(), 100);
}

#[test]
fn a_request_is_at_most_8_kib() {
    serving::a_request_is_at_most_8_kib(&start());
}

#[test]
fn the_large_page_arrives_whole() {
    let server = start();
    let mut greedy = server.visitor("greedy visitor");
    greedy.send(LARGE).unwrap();
    serving::expect_large_page(&server, &mut greedy);
}

#[test]
fn without_descriptors_it_waits() {
    serving::without_descriptors_it_waits(&Server::start_with_few_descriptors(
        PROGRAM, CHAPTER, 20,
    ));
}

#[test]
fn a_signal_changes_nothing() {
    serving::a_signal_changes_nothing(&start());
}

#[test]
fn bad_arguments_get_one_line_and_status_2() {
    serving::bad_arguments_get_one_line_and_status_2(PROGRAM);
}

#[test]
fn a_port_that_is_taken_gets_one_line_and_status_1() {
    serving::a_port_that_is_taken_gets_one_line_and_status_1(PROGRAM);
}

#[test]
fn one_line_waits() {
    serving::one_line_waits(&start(), WAITS_IN);
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
