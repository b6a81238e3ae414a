//! How visitors are asked for.

use rstest::rstest;

use visitors::cast::{CROWD, Cast, LARGEST_CROWD, WORDS, Who};
use visitors::crowd::make_room;

#[rstest]
#[case(&["quick"], &[Who::Quick])]
#[case(&["slow", "silent"], &[Who::Slow, Who::Silent])]
#[case(&["greedy", "rude"], &[Who::Greedy, Who::Rude])]
#[case(&["quick=3"], &[Who::Quick, Who::Quick, Who::Quick])]
#[case(&["crowd"], &[Who::Crowd(CROWD)])]
#[case(&["silent", "crowd=7", "silent=2"], &[Who::Silent, Who::Crowd(7), Who::Silent, Who::Silent])]
fn words_give_visitors_in_their_order(#[case] words: &[&str], #[case] expected: &[Who]) {
    let cast = Cast::from_words(words).expect("these are right");
    assert_eq!(cast.0, expected);
}

#[rstest]
#[case("quik", &WORDS)]
#[case("", &WORDS)]
#[case("Quick", &WORDS)]
#[case("quick=", &["quick=", "1", "20000"])]
#[case("quick=0", &["quick=0", "1", "20000"])]
#[case("quick=-1", &["quick=-1"])]
#[case("crowd=many", &["crowd=many"])]
#[case("crowd=20001", &["crowd=20001", "20000"])]
#[case("quick=501", &["502", "500"])]
fn a_wrong_word_is_told_with_what_is_right(#[case] word: &str, #[case] mentioned: &[&str]) {
    let error = Cast::from_words(&["quick", word]).expect_err("that is wrong");
    for mention in mentioned {
        assert!(error.contains(mention), "{mention:?} isn't in: {error}");
    }
    assert!(!error.contains('\n'), "one line: {error}");
}

#[test]
fn crowds_are_counted_together() {
    let error = Cast::from_words(&["crowd=15000", "crowd=15000"]).expect_err("too many");
    assert!(error.contains("30000"), "{error}");
    assert!(error.contains(&LARGEST_CROWD.to_string()), "{error}");
}

#[rstest]
#[case(&["quick", "slow", "silent", "quick"], "quick, slow, silent, quick")]
#[case(&["quick=3", "crowd=5", "crowd=5"], "quick=3, crowd=5, crowd=5")]
fn a_cast_is_shown_in_words_that_give_it_again(#[case] words: &[&str], #[case] shown: &str) {
    let cast = Cast::from_words(words).expect("these are right");
    assert_eq!(cast.to_string(), shown);
    let words: Vec<&str> = shown.split(", ").collect();
    assert_eq!(Cast::from_words(&words), Ok(cast));
}

#[test]
fn a_crowd_for_which_there_is_no_room_is_told_how_to_make_some() {
    // More than Linux allows anyone.
    let error = make_room(3_000_000_000).expect_err("nobody may have so many descriptors");
    assert!(error.contains("ulimit -n 3000000064"), "{error}");
    assert_eq!(make_room(100), Ok(()));
}
