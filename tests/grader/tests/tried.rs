//! An author tries wrong answers that nothing is known of (`cargo grade try FILE`).

use std::fs;
use std::process::Command;

use rstest::rstest;
use tempfile::TempDir;

const GRADE: &str = env!("CARGO_BIN_EXE_grade");

/// A wrong answer of `exercise` that keeps so much more than the head.
fn with_more(exercise: &str, more: &str) -> String {
    format!(
        "[[wrong]]\nexercise = \"{exercise}\"\nname = \"more-{more}\"\n\
         edit = [{{ find = \"came.truncate(end)\", replace = \"came.truncate(end + {more})\" }}]\n"
    )
}

#[rstest]
#[case::one_is_caught_and_one_is_as_right_as_the_answer(
    with_more("head", "1") + &with_more("01-head", "0"),
    &["01-head:more-1 fails head::", "saw:", "01-head:more-0 passes all", "1 of 2 are caught"],
)]
#[case::its_panic_comes_first(
    with_more("head", "1").replace("(end + 1)", "(end); let _ = came[came.len()]") + &with_more("head", "0"),
    &["head:more-1 fails head::", "saw:", "your program panicked at ", " (index out of bounds: ", "1 of 2 are caught"],
)]
#[case::misspelled(with_more("heed", "1"), &["try.toml: there is no exercise heed; did you mean 01-head?"])]
#[case::not_to_be_compiled(with_more("head", "no"), &["head:more-no doesn't compile", "0 of 1 are caught"])]
#[case::no_edit_that_fits(
    with_more("head", "1").replace("(end)", "(nowhere)"),
    &["01-head: more-1: this stands 0 times in the answer", "came.truncate(nowhere)"],
)]
#[case::no_wrong_answers("[[wrong]]\n".to_owned(), &["try.toml: ", "missing field"])]
fn it_says_of_each_what_its_author_would_be_told(#[case] file: String, #[case] words: &[&str]) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("try.toml");
    fs::write(&path, file).unwrap();
    let output = Command::new(GRADE).arg("try").arg(&path).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in:\n{said}");
    }
}
