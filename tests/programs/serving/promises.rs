//! The promises that all these programs keep, as tests. Whoever has them says what its program is: its path,
//! its chapter, in which call it waits, and how many silent visitors it must be able to keep.

use rstest::rstest;

use crate::serving::{self, LARGE, Server};
use crate::{CHAPTER, PROGRAM, SILENT, WAITS_IN, start};

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
fn idle_visitors_cost_no_cpu_time() {
    serving::idle_visitors_cost_no_cpu_time(&start(), SILENT);
}

#[test]
fn many_at_the_same_moment() {
    serving::many_at_the_same_moment(&start(), 100);
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

/// From chapter 7 on, where programs share the code that reads them.
#[rstest]
#[case::a_port("0", "127.0.0.1")]
#[case::a_name("localhost:0", "127.0.0.1")]
#[case::all_of_this_machine(":0", "")]
fn addresses_may_be_short(#[case] word: &str, #[case] listens_at: &str) {
    if CHAPTER >= 7 {
        serving::addresses_may_be_short(PROGRAM, word, listens_at);
    }
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
fn who_can_not_say_where_it_listens_says_that() {
    serving::who_can_not_say_where_it_listens_says_that(PROGRAM);
}

#[test]
fn one_line_waits() {
    serving::one_line_waits(&start(), WAITS_IN);
}
