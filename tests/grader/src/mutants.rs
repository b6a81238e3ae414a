//! Mutants: a worked answer with one small change in what the learner writes, made mechanically. One that passes all checks
//! shows what no check looks at, or is as right as the answer itself; `tests/contracts/NN_name.mutants.toml` says why.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// The line of the answer, without its indentation.
    pub was: String,
    /// What stands there instead.
    pub is: String,
    /// The whole source.
    pub source: String,
}

/// Why a mutant that passes is no fault.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Excused {
    /// The line of the answer.
    pub was: String,
    /// What stands there instead.
    pub is: String,
    /// The reason.
    pub why: String,
}

/// Those of a chapter, by exercise.
pub type AllExcused = BTreeMap<String, Vec<Excused>>;

/// What is put in the place of what, wherever it stands between blanks or as it is.
const SWAPS: &[(&str, &str)] = &[
    (" == ", " != "),
    (" != ", " == "),
    (" <= ", " < "),
    (" >= ", " > "),
    (" < ", " <= "),
    (" > ", " >= "),
    (" < ", " > "),
    (" > ", " < "),
    (" && ", " || "),
    (" || ", " && "),
    (" + ", " - "),
    (" - ", " + "),
    (" += ", " -= "),
    (" -= ", " += "),
    ("if !", "if "),
    ("..=", ".."),
    ("true", "false"),
    ("false", "true"),
    ("break;", "continue;"),
    ("continue;", "break;"),
    ("push_back", "push_front"),
    ("pop_front", "pop_back"),
    (".first()", ".last()"),
    (".last()", ".first()"),
    ("min(", "max("),
    ("max(", "min("),
    (".any(", ".all("),
    (".all(", ".any("),
    (".is_empty()", ".len() == 1"),
    ("Some(0)", "Some(1)"),
    ("Ok(0)", "Ok(1)"),
];

/// All mutants of what stands between `// your turn` and `// end` in a worked answer without its hints.
pub fn of(answer: &str) -> Vec<Mutant> {
    let lines: Vec<&str> = answer.lines().collect();
    let mut mutants: Vec<Mutant> = Vec::new();
    let mut inside = false;
    for (place, line) in lines.iter().enumerate() {
        let bare = line.trim();
        if bare.starts_with("// your turn: ") {
            inside = true;
        } else if bare == "// end" {
            inside = false;
        } else if inside && !bare.starts_with("//") {
            for is in changes(line) {
                let mut changed = lines.clone();
                changed[place] = &is;
                let source = changed.join("\n") + "\n";
                let is = is.trim().to_owned();
                mutants.push(Mutant { was: bare.to_owned(), is, source });
            }
        }
    }
    mutants
}

/// What may stand in a line's place.
fn changes(line: &str) -> Vec<String> {
    let code = line.find("// ").map_or(line, |comment| &line[..comment]);
    let mut all = Vec::new();
    for (from, to) in SWAPS {
        for (at, _) in code.match_indices(from) {
            all.push(format!("{}{to}{}", &line[..at], &line[at + from.len()..]));
        }
    }
    for (at, number) in numbers(code) {
        for other in [number.saturating_sub(1), number + 1, 0] {
            if other != number {
                let end = at + number.to_string().len();
                all.push(format!("{}{other}{}", &line[..at], &line[end..]));
            }
        }
    }
    let bare = code.trim();
    if let Some(condition) = bare.strip_prefix("if ").and_then(|rest| rest.strip_suffix(" {"))
        && !condition.starts_with("let ")
    {
        let indent = &line[..line.len() - line.trim_start().len()];
        all.push(format!("{indent}if true {{"));
        all.push(format!("{indent}if false {{"));
    }
    // A statement that stands in one line, left out.
    let is_statement = bare.ends_with(';')
        && !["let ", "use ", "}", ")", "static ", "const ", ".", "]"]
            .iter()
            .any(|begin| bare.starts_with(begin));
    if is_statement {
        let indent = &line[..line.len() - line.trim_start().len()];
        all.push(format!("{indent};"));
    }
    all.sort();
    all.dedup();
    all.retain(|changed| changed.trim() != line.trim());
    all
}

/// Numbers that stand alone, not in names or in strings, with their places.
fn numbers(code: &str) -> Vec<(usize, u64)> {
    let mut found = Vec::new();
    let mut in_text = false;
    let bytes = code.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        in_text ^= byte == b'"';
        let before = at.checked_sub(1).map_or(b' ', |before| bytes[before]);
        let is_begin = byte.is_ascii_digit()
            && !before.is_ascii_alphanumeric()
            && before != b'_'
            && before != b'.';
        if !in_text && is_begin {
            let end = at + code[at..].bytes().take_while(u8::is_ascii_digit).count();
            let after = bytes.get(end).copied().unwrap_or(b' ');
            if let (Ok(number), false) =
                (code[at..end].parse(), after.is_ascii_alphanumeric() || after == b'_')
            {
                found.push((at, number));
            }
            at = end;
        } else {
            at += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_learner_writes_is_changed_and_no_comment() {
        let answer = "let a = 1;\n// your turn: add\n    if a < 2 { // 3 < 4\n        add(a);\n    }\n// end\nlet b = 1;\n";
        let mutants = of(answer);
        let changes: Vec<(&str, &str)> =
            mutants.iter().map(|m| (m.was.as_str(), m.is.as_str())).collect();
        assert!(changes.contains(&("if a < 2 { // 3 < 4", "if a <= 2 { // 3 < 4")), "{changes:?}");
        assert!(changes.contains(&("if a < 2 { // 3 < 4", "if a < 3 { // 3 < 4")), "{changes:?}");
        assert!(changes.contains(&("add(a);", ";")), "{changes:?}");
        assert!(
            changes.iter().all(|(was, is)| !was.starts_with("let") && !is.contains("4 <")),
            "{changes:?}"
        );
        assert!(mutants.iter().all(|mutant| mutant.source.ends_with("let b = 1;\n")));
    }
}
