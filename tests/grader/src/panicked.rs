//! A program's panic, as a check has seen it in the program's last words. A callback or a program that panics ends there. Many
//! checks may fail for that alone, and what each of them suspects is something else.

use crate::run::Outcome;

/// What Rust says of a panic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panic {
    /// File, line and column. That may be in the standard library.
    place: String,
    /// The line behind that.
    words: String,
}

impl Panic {
    /// The one that a check has seen. None: it has seen none, or came upon a `todo!`.
    pub fn seen(outcome: &Outcome) -> Option<Self> {
        let Outcome::Failed(message) = outcome else { return None };
        // A message that begins otherwise is of a check that has panicked itself.
        let saw = message.strip_prefix("saw:")?.split("\ncause:").next()?;
        let (_, said) = saw.split_once(" panicked at ")?;
        let mut lines = said.lines();
        let place = lines.next()?.trim_end().trim_end_matches(':').to_owned();
        let words = lines.next().unwrap_or_default().trim().to_owned();
        let is_written = !words.starts_with("not yet implemented");
        is_written.then_some(Self { place, words })
    }

    /// It's a bug that stands in the exercise, and in the worked answer, for checks to come upon.
    pub fn is_meant(&self, answer: &str) -> bool {
        !self.words.is_empty() && answer.contains(&format!("\"{}\"", self.words))
    }

    /// A sentence for whoever wrote the program, without a full stop.
    pub fn likely(&self) -> String {
        let words = match self.words.as_str() {
            "" => String::new(),
            words => format!(" ({words})"),
        };
        let place = match self.place.starts_with("/rustc/") {
            true => "in the standard library",
            false => &format!("at {}", self.place),
        };
        format!(
            "your program panicked {place}{words}: what it was to do then isn't done, and other checks may fail for that \
             alone. Mend this first"
        )
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const BORROWED: &str = "saw:      it was to say\n            \"a\"\n          your program's last words: thread 'main' (7) \
                            panicked at exercises/rollback.rs:140:46:\n          RefCell already borrowed\ncause:    slow\nlikely:   \
                            it's slow\nbook:     book/build/x";

    #[rstest]
    #[case::last_words(BORROWED, Some(("exercises/rollback.rs:140:46", "RefCell already borrowed")))]
    #[case::without_words(
        "saw:      thread 'main' (7) panicked at a.rs:1:2:\ncause:    slow",
        Some(("a.rs:1:2", ""))
    )]
    #[case::none("saw:      nothing came\ncause:    panicked at\n", None)]
    #[case::not_written_yet(
        "saw:      it panicked at a.rs:1:2:\n          not yet implemented: read\ncause:    x",
        None
    )]
    #[case::of_the_check_itself("thread 'x' panicked at tests/13.rs:9:9:\nthere is room: Os", None)]
    fn it_is_found_in_what_a_check_saw(
        #[case] message: &str,
        #[case] expected: Option<(&str, &str)>,
    ) {
        let seen = Panic::seen(&Outcome::Failed(message.to_owned()));
        let seen = seen.as_ref().map(|panic| (panic.place.as_str(), panic.words.as_str()));
        assert_eq!(seen, expected);
    }

    #[rstest]
    #[case("a.rs:1:2", "oh", "your program panicked at a.rs:1:2 (oh): what")]
    #[case(
        "/rustc/5980/library/core/src/cell.rs:1:2",
        "",
        "your program panicked in the standard library: what"
    )]
    fn it_says_where(#[case] place: &str, #[case] words: &str, #[case] expected: &str) {
        let panic = Panic { place: place.to_owned(), words: words.to_owned() };
        assert!(panic.likely().starts_with(expected), "{}", panic.likely());
    }

    #[test]
    fn a_bug_that_stands_in_the_worked_answer_is_meant() {
        let panic = Panic::seen(&Outcome::Failed(BORROWED.to_owned())).unwrap();
        assert!(!panic.is_meant("// RefCell already borrowed"));
        let silent = Panic { words: String::new(), ..panic.clone() };
        assert!(!silent.is_meant("let mut line = \"\";"), "without words it's nobody's");
        assert!(panic.is_meant("assert!(line != b\"x\", \"RefCell already borrowed\");"));
    }
}
