//! An exercise's contract is all that its page and its worked answer promise or ask, sentence by sentence. For each of them
//! `tests/contracts/NN_name.toml` says which check fails if it isn't so, or why there is nothing to check:
//!
//! ```toml
//! [[pool]]
//! says = "Who comes when the queue is full isn't accepted yet."
//! checks = ["the_queue_has_an_end"]
//!
//! [[pool]]
//! says = "A bug in the handler is a `panic!`."
//! why = "explains a word"
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;

/// What is said of one sentence.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Clause {
    /// The sentence, with single blanks.
    pub says: String,
    /// The checks that fail if it isn't done, by their functions' names.
    #[serde(default)]
    pub checks: Vec<String>,
    /// Why no check fails: it explains, it says how to run the program, it's about the chapter's own code.
    #[serde(default)]
    pub why: String,
}

/// A chapter's contracts by exercise.
pub type Contracts = BTreeMap<String, Vec<Clause>>;

/// The sentences of an exercise: those of its section on the page, those of the worked answer's first lines, and those that stand
/// above what the learner writes.
pub fn sentences(page: &str, id: &str, answer: &str) -> Vec<String> {
    let mut all = Vec::new();
    for text in
        section(page, id).into_iter().chain([opening(answer)]).chain(above_the_turns(answer))
    {
        for paragraph in paragraphs(&text) {
            for sentence in split(&paragraph) {
                if !all.contains(&sentence) {
                    all.push(sentence);
                }
            }
        }
    }
    all
}

/// The page's section on an exercise, without its heading.
fn section(page: &str, id: &str) -> Option<String> {
    let anchor = format!("{{#exercise-{id}}}");
    let begin = page.find(&anchor)? + anchor.len();
    let rest = &page[begin..];
    let end = ["\n### ", "\n## "].iter().filter_map(|heading| rest.find(heading)).min();
    Some(rest[..end.unwrap_or(rest.len())].to_owned())
}

/// The worked answer's own documentation, without its title and without how it's run.
fn opening(answer: &str) -> String {
    let lines = answer.lines().map_while(|line| line.strip_prefix("//!"));
    let lines = lines.skip(1).take_while(|line| !line.trim_start().starts_with("Run it:"));
    lines.map(str::trim_start).collect::<Vec<_>>().join("\n")
}

/// The documentation of each function or type in which the learner has a turn.
fn above_the_turns(answer: &str) -> Vec<String> {
    let lines: Vec<&str> = answer.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut blocks = Vec::new();
    for (turn, line) in lines.iter().enumerate() {
        if !line.trim_start().starts_with("// your turn: ") {
            continue;
        }
        let documented = |above: &usize| {
            lines[*above].trim_start().starts_with("///") && indent(lines[*above]) < indent(line)
        };
        let Some(last) = (0..turn).rev().find(documented) else { continue };
        let first = (0..=last).rev().take_while(documented).last().unwrap_or(last);
        let words = lines[first..=last]
            .iter()
            .map(|line| line.trim_start().trim_start_matches("///").trim_start());
        blocks.push(words.collect::<Vec<_>>().join("\n"));
    }
    blocks
}

/// Paragraphs and list items, each in one line. Code blocks and includes are no sentences.
fn paragraphs(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut paragraph = String::new();
    let mut in_code = false;
    let mut finish = |paragraph: &mut String| {
        let text = std::mem::take(paragraph);
        if !text.trim().is_empty() {
            all.push(text.trim().to_owned());
        }
    };
    for line in text.lines().map(str::trim) {
        if line.starts_with("```") {
            in_code = !in_code;
            finish(&mut paragraph);
            continue;
        }
        let numbered = line.split_once(". ").filter(|(number, _)| number.parse::<u32>().is_ok());
        let item =
            line.strip_prefix("- ").or(line.strip_prefix("* ")).or(numbered.map(|(_, item)| item));
        let is_row = line.starts_with('|');
        // `# Errors` in a documentation, `<details>` and includes on a page.
        let is_no_words =
            in_code || ["#", "<", "{{#", "|-", "| -"].iter().any(|mark| line.starts_with(mark));
        if line.is_empty() || is_no_words || item.is_some() || is_row {
            finish(&mut paragraph);
        }
        if is_no_words {
            continue;
        }
        paragraph.push_str(item.unwrap_or(line));
        paragraph.push(' ');
    }
    finish(&mut paragraph);
    all
}

/// The sentences of a paragraph: each ends with a mark behind which a blank stands, outside of code.
fn split(paragraph: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut sentence = String::new();
    let mut in_code = false;
    let mut characters = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    characters.push(' ');
    let mut ended = false;
    for character in characters.chars() {
        if character == ' ' && ended && !in_code {
            sentences.push(std::mem::take(&mut sentence));
        } else {
            sentence.push(character);
        }
        in_code ^= character == '`';
        // A bracket or a quote may close behind the mark.
        ended = matches!(character, '.' | '!' | '?')
            || (ended && matches!(character, ')' | '"' | '*' | '_'));
    }
    sentences.push(sentence);
    let trimmed = sentences.into_iter().map(|sentence| sentence.trim().to_owned());
    trimmed.filter(|sentence| !sentence.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
## Exercises

All of them.

### 01-add: add {#exercise-01-add}

Add `a` and `b. c`. It mustn't
overflow (or so).

- One rule. And more
  of it.
- Another

```text
Not this.
```

### 01-sub: subtract {#exercise-01-sub}

Nothing.
";

    const ANSWER: &str = "\
//! Exercise 01-add: add.
//!
//! Two numbers come in.
//!
//! Run it: cargo run

/// Something else. It isn't the learner's.
fn other() {}

/// Adds them.
///
/// # Errors
/// When there is none.
fn add() {
    let x = 1;
    // your turn: add
    // end
}
";

    #[test]
    fn a_contract_is_the_sections_and_the_answers_sentences() {
        let expected = [
            "Add `a` and `b. c`.",
            "It mustn't overflow (or so).",
            "One rule.",
            "And more of it.",
            "Another",
            "Two numbers come in.",
            "Adds them.",
            "When there is none.",
        ];
        assert_eq!(sentences(PAGE, "01-add", ANSWER), expected);
    }
}
