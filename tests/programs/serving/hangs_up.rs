//! Promises of the programs that answer one request, and hang up: those before chapter 11.

use crate::serving;
use crate::start;

#[test]
fn who_stays_after_its_answer_is_no_burden() {
    serving::who_stays_after_its_answer_is_no_burden(&start());
}

#[test]
fn a_request_is_at_most_8_kib() {
    serving::a_request_is_at_most_8_kib(&start());
}
