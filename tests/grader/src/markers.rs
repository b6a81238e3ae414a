//! The worked answer is the only source of an exercise. The part that the learner writes stands in it
//! between two marks:
//!
//! ```text
//!     // your turn: what to do, in a line
//!     // hint: a first hint, which goes on
//!     //   in lines that are indented
//!     // hint: a second one
//!     …the worked answer…
//!     // end
//! ```
//!
//! From it come the starter (that part replaced by a `todo!`), the hints, and the wrong answers.

/// What begins the part that the learner writes.
const YOUR_TURN: &str = "// your turn: ";
/// What begins a hint, inside of that part.
const HINT: &str = "// hint: ";
/// What goes on with a hint. What stands deeper than this is code, and keeps its shape.
const HINT_GOES_ON: &str = "//   ";
/// What ends the part.
const END: &str = "// end";

/// The starter's first lines after its own documentation: without them half of it would be reported as unused.
const ALLOW: &str = "\
// Until you have written your part, much is unused here. Take these lines out when you have.
#![allow(clippy::ptr_arg, dead_code, unreachable_code)]
#![allow(unused_imports, unused_mut, unused_variables)]
";

/// What a worked answer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The title: what follows the first colon of the first line, `//! Exercise 01-head: …`.
    pub title: String,
    /// What the learner starts from.
    pub starter: String,
    /// The hints, from gentle to nearly the answer, each with its line breaks.
    pub hints: Vec<String>,
}

/// Takes a worked answer apart.
///
/// # Errors
/// What is wrong with its marks, with the line.
pub fn parse(answer: &str) -> Result<Source, String> {
    let mut starter = String::new();
    let mut hints: Vec<String> = Vec::new();
    let mut began: Option<usize> = None;
    let mut in_hint = false;
    let mut allowed = false;
    let mut turns = 0;

    for (number, line) in (1..).zip(answer.lines()) {
        let bare = line.trim_start();
        let indent = &line[..line.len() - bare.len()];
        if !allowed && !bare.starts_with("//!") {
            starter.push('\n');
            starter.push_str(ALLOW);
            allowed = true;
        }
        match began {
            None => {
                if bare == END {
                    return Err(format!("line {number}: `{END}` without `{YOUR_TURN}` before it"));
                }
                starter.push_str(line);
                starter.push('\n');
                if let Some(what) = bare.strip_prefix(YOUR_TURN) {
                    starter.push_str(&format!("{indent}todo!({what:?})\n"));
                    began = Some(number);
                    turns += 1;
                }
            }
            Some(_) if bare == END => {
                starter.push_str(line);
                starter.push('\n');
                began = None;
            }
            Some(_) if bare.starts_with(YOUR_TURN) => {
                return Err(format!("line {number}: `{YOUR_TURN}` inside of another"));
            }
            Some(_) => {
                if let Some(hint) = bare.strip_prefix(HINT) {
                    hints.push(hint.to_owned());
                    in_hint = true;
                } else if let (true, Some(more)) = (in_hint, bare.strip_prefix(HINT_GOES_ON)) {
                    let hint = hints.last_mut().expect("in_hint says that there is one");
                    hint.push('\n');
                    hint.push_str(more);
                } else {
                    in_hint = false;
                }
            }
        }
    }
    if let Some(number) = began {
        return Err(format!("line {number}: `{YOUR_TURN}` without `{END}` after it"));
    }
    if turns == 0 {
        return Err(format!("nothing is left to the learner: there is no `{YOUR_TURN}`"));
    }
    let first = answer.lines().next().unwrap_or_default();
    let title = first.strip_prefix("//! Exercise ").and_then(|rest| rest.split_once(": "));
    let Some((_, title)) = title else {
        return Err("line 1: must be `//! Exercise NN-name: title`".to_owned());
    };
    let title = title.trim_end_matches('.').to_owned();
    Ok(Source { title, starter, hints })
}

/// The worked answer without its hints: what a wrong answer is an edit of.
pub fn without_hints(answer: &str) -> String {
    let mut text = String::new();
    let mut in_hint = false;
    for line in answer.lines() {
        let bare = line.trim_start();
        in_hint = bare.starts_with(HINT) || (in_hint && bare.starts_with(HINT_GOES_ON));
        if !in_hint {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const ANSWER: &str = "\
//! Exercise 01-add: add.

fn add(a: i32, b: i32) -> i32 {
    // your turn: add them
    // hint: There is an operator.
    // hint: It is
    //   this:
    //       a + b
    a + b
    // end
}
";

    #[test]
    fn a_starter_keeps_all_but_the_answer_and_the_hints() {
        let source = parse(ANSWER).unwrap();
        assert_eq!(source.title, "add");
        let expected = format!(
            "//! Exercise 01-add: add.\n\n{ALLOW}\nfn add(a: i32, b: i32) -> i32 {{\n    \
             // your turn: add them\n    todo!(\"add them\")\n    // end\n}}\n"
        );
        assert_eq!(source.starter, expected);
    }

    #[test]
    fn hints_come_in_order_and_code_keeps_its_shape() {
        let source = parse(ANSWER).unwrap();
        assert_eq!(source.hints, ["There is an operator.", "It is\nthis:\n    a + b"]);
    }

    #[test]
    fn an_answer_can_be_had_without_its_hints() {
        let bare = "//! Exercise 01-add: add.\n\nfn add(a: i32, b: i32) -> i32 {\n    \
                    // your turn: add them\n    a + b\n    // end\n}\n";
        assert_eq!(without_hints(ANSWER), bare);
    }

    #[rstest]
    #[case::no_turn("//! Exercise 01-add: add.\nfn main() {}\n", "nothing is left")]
    #[case::no_end(
        "//! Exercise 01-add: add.\n// your turn: x\n",
        "line 2: `// your turn: ` without"
    )]
    #[case::end_alone("//! Exercise 01-add: add.\n// end\n", "line 2: `// end` without")]
    #[case::nested(
        "//! Exercise 01-add: add.\n// your turn: x\n// your turn: y\n// end\n",
        "line 3: `// your turn: ` inside"
    )]
    #[case::no_title("// your turn: x\n// end\n", "line 1: must be")]
    fn wrong_marks_are_refused_with_their_line(#[case] answer: &str, #[case] says: &str) {
        let error = parse(answer).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
}
