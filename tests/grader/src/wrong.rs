//! `wrong.toml`: plausible wrong answers, as edits of the worked one, and the check that catches each.
//! A check that no wrong answer fails proves nothing.

use serde::Deserialize;

use crate::markers;

/// A chapter's wrong answers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrongAnswers {
    /// In the order of the file.
    #[serde(default)]
    pub wrong: Vec<Wrong>,
}

/// One wrong answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Wrong {
    /// The exercise, without its chapter's number: `head`.
    pub exercise: String,
    /// What is wrong, in a few words with hyphens: `reads-once-and-hopes`.
    pub name: String,
    /// What is wrong, for whoever wrote it: one of the chapter's causes, by its name.
    #[serde(default)]
    pub cause: String,
    /// The check that must fail, as the test runner names it: `head::in_pieces::case_2_two`.
    pub caught_by: String,
    /// A part of the message with which it must fail.
    pub says: String,
    /// What the learner wrote instead.
    pub edit: Vec<Edit>,
}

/// One replacement in the worked answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// A text that stands in the worked answer just once.
    pub find: String,
    /// What stands there instead.
    pub replace: String,
}

/// Reads a chapter's `wrong.toml`.
///
/// # Errors
/// What is wrong with the file, with its line.
pub fn parse(text: &str) -> Result<Vec<Wrong>, String> {
    let answers: WrongAnswers = toml::from_str(text).map_err(|error| error.to_string())?;
    Ok(answers.wrong)
}

/// The worked answer with the learner's mistake in it.
///
/// # Errors
/// When an edit finds its text not just once: it would change nothing, or something else.
pub fn apply(answer: &str, wrong: &Wrong) -> Result<String, String> {
    let mut text = markers::without_hints(answer);
    for Edit { find, replace } in &wrong.edit {
        match text.matches(find.as_str()).count() {
            1 => text = text.replacen(find.as_str(), replace, 1),
            count => {
                let name = &wrong.name;
                return Err(format!("{name}: this stands {count} times in the answer:\n{find}"));
            }
        }
    }
    Ok(text)
}
