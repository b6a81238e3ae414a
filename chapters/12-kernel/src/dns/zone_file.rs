//! Reading a zone file (RFC 1035, section 5), and saying in which line it goes wrong.
//!
//! hickory's parser knows the types of records. What a file may look like around them it knows
//! only in part: it takes quotes between parentheses for letters, has no `@` but at the beginning
//! of a line, and tells no line. So it gets a plain file, one record a line, which is made here.

use hickory_proto::rr::{Name, Record};
use hickory_proto::serialize::txt::Parser;

/// Where relative names end up that stand before any `$ORIGIN`. The parser would take them for
/// whole ones. Nobody has this name (RFC 6761, section 6.4).
const NO_ORIGIN: &str = "no-origin-yet.invalid.";

/// A file's records.
///
/// # Errors
/// What is wrong with it, and in which line.
pub fn parse(text: &str) -> Result<Vec<Record>, String> {
    let entries = entries(text).map_err(|wrong| format!("line {}: {}", wrong.line, wrong.what))?;
    records(&entries).map_err(|what| {
        // The parser reads from the top: so the first entries are wrong as soon as the wrong one
        // is among them, and not before.
        let number = partition_point(entries.len(), |count| {
            entries.get(..count).is_some_and(|first| records(first).is_ok())
        });
        let line = number.checked_sub(1).and_then(|last| entries.get(last)).map(|entry| entry.line);
        line.map_or(what.clone(), |line| format!("line {line}: {what}"))
    })
}

/// The least count for which it's not fine, of those up to `most`.
fn partition_point(most: usize, is_fine: impl Fn(usize) -> bool) -> usize {
    let (mut fine, mut wrong) = (0, most);
    while wrong - fine > 1 {
        let middle = usize::midpoint(fine, wrong);
        if is_fine(middle) { fine = middle } else { wrong = middle }
    }
    wrong
}

fn records(entries: &[Entry]) -> Result<Vec<Record>, String> {
    let text: String = entries.iter().map(|entry| format!("{}\n", entry.text)).collect();
    let origin = Name::from_ascii(NO_ORIGIN).ok();
    let parsed = Parser::new(text, None, origin).parse();
    // Some of its complaints have several lines.
    let (_, sets) = parsed.map_err(|error| error.to_string().replace('\n', " "))?;
    let records: Vec<Record> = sets.into_values().flatten().collect();
    let is_lost = |record: &&Record| record.to_string().contains(NO_ORIGIN);
    match records.iter().find(is_lost) {
        Some(_) => Err("a name without a dot at its end, and no $ORIGIN line before it".to_owned()),
        None => Ok(records),
    }
}

/// One record or one `$` line, in one line.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    /// Where it begins, from 1 on.
    line: usize,
    text: String,
}

#[derive(Debug, PartialEq, Eq)]
struct Wrong {
    line: usize,
    what: String,
}

/// A file's entries, without comments and parentheses.
fn entries(text: &str) -> Result<Vec<Entry>, Wrong> {
    let mut entries = Vec::new();
    let mut origin = NO_ORIGIN.to_owned();
    let mut open: Option<Words> = None;
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        let mut words = open.take().unwrap_or_else(|| Words::new(number, line));
        let wrong = |what: &str| Wrong { line: number, what: what.to_owned() };
        words.read(line).map_err(wrong)?;
        if words.depth > 0 {
            open = Some(words);
        } else if !words.words.is_empty() {
            entries.push(words.entry(&mut origin).map_err(wrong)?);
        }
    }
    match open {
        Some(words) => {
            Err(Wrong { line: words.line, what: "a parenthesis is never closed".to_owned() })
        }
        None => Ok(entries),
    }
}

/// The words of an entry.
struct Words {
    line: usize,
    /// It begins with a blank, and so belongs to the last name.
    indented: bool,
    words: Vec<String>,
    /// How many parentheses are open: then it goes on in the next line.
    depth: usize,
}

impl Words {
    fn new(line: usize, text: &str) -> Self {
        let indented = text.starts_with([' ', '\t']);
        Self { line, indented, words: Vec::new(), depth: 0 }
    }

    fn read(&mut self, line: &str) -> Result<(), &'static str> {
        let mut rest = line;
        loop {
            rest = rest.trim_start();
            match rest.chars().next() {
                None | Some(';') => return Ok(()),
                Some('(') => self.depth += 1,
                Some(')') => {
                    self.depth = self.depth.checked_sub(1).ok_or("a ) that closes nothing")?;
                }
                Some('"') => {
                    let (word, behind) = quoted(rest)?;
                    self.words.push(word);
                    rest = behind;
                    continue;
                }
                Some(_) => {
                    let end = end_of_word(rest);
                    self.words.push(rest.get(..end).unwrap_or_default().to_owned());
                    rest = rest.get(end..).unwrap_or_default();
                    continue;
                }
            }
            rest = rest.get(1..).unwrap_or_default();
        }
    }

    fn entry(self, origin: &mut String) -> Result<Entry, &'static str> {
        let Self { line, indented, mut words, .. } = self;
        match words.as_mut_slice() {
            [word, name] if word.eq_ignore_ascii_case("$ORIGIN") => {
                if !name.ends_with('.') {
                    // It's relative to the one before.
                    *name = format!("{name}.{origin}");
                }
                origin.clone_from(name);
            }
            [word, ..] if word.eq_ignore_ascii_case("$INCLUDE") => {
                return Err("$INCLUDE: one file, please");
            }
            words => {
                for word in words.iter_mut().filter(|word| *word == "@") {
                    word.clone_from(origin);
                }
            }
        }
        let blank = if indented { " " } else { "" };
        Ok(Entry { line, text: format!("{blank}{}", words.join(" ")) })
    }
}

/// How long the word is: an escaped blank or parenthesis belongs to it.
fn end_of_word(text: &str) -> usize {
    let mut escaped = false;
    let ends = |&(_, letter): &(usize, char)| {
        let is_end =
            !escaped && (letter.is_whitespace() || matches!(letter, '(' | ')' | ';' | '"'));
        escaped = !escaped && letter == '\\';
        is_end
    };
    text.char_indices().find(ends).map_or(text.len(), |(at, _)| at)
}

/// The quoted word at the beginning, with its quotes, and what is behind it. `\DDD` in it is the
/// character with that number, which the parser gets wrong.
fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut word = "\"".to_owned();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => {
                word.push('"');
                return Ok((word, text.get(at + 1..).unwrap_or_default()));
            }
            '\\' => {
                let (_, mut meant) = letters.next().ok_or("a quote is never closed")?;
                if meant.is_ascii_digit() {
                    let digits = text.get(at + 1..at + 4).unwrap_or_default();
                    let number = digits.parse().ok().filter(u8::is_ascii);
                    meant = number.map(char::from).ok_or("\\DDD: only up to \\127, please")?;
                    letters.nth(1);
                }
                if matches!(meant, '"' | '\\') {
                    word.push('\\');
                }
                word.push(meant);
            }
            letter => word.push(letter),
        }
    }
    Err("a quote is never closed")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[track_caller]
    fn texts(file: &str) -> Vec<String> {
        let mut records: Vec<String> =
            parse(file).unwrap().iter().map(ToString::to_string).collect();
        records.sort();
        records
    }

    #[rstest]
    #[case::plain("$ORIGIN a.\nb 5 A 192.0.2.1\n", &["b.a. 5 IN A 192.0.2.1"])]
    #[case::whole_names("b.a. 5 IN A 192.0.2.1", &["b.a. 5 IN A 192.0.2.1"])]
    #[case::the_same_name_again(
        "$ORIGIN a.\nb 5 A 192.0.2.1\n  A 192.0.2.2",
        &["b.a. 5 IN A 192.0.2.1", "b.a. 5 IN A 192.0.2.2"]
    )]
    #[case::an_at_in_the_data("$ORIGIN a.\n@ 5 CNAME @\n", &["a. 5 IN CNAME a."])]
    #[case::parentheses("$ORIGIN a.\nb 5 (A ; why\n\n ) (192.0.2.1)\n", &["b.a. 5 IN A 192.0.2.1"])]
    #[case::quotes_in_parentheses(
        "b. 5 TXT ( \"c d\" ;\"\n \"(e;\" )\n",
        &["b. 5 IN TXT c d(e;"]
    )]
    #[case::numbers_in_quotes(r#"b. 5 TXT "\065\"\\\066""#, &[r#"b. 5 IN TXT A"\B"#])]
    #[case::an_origin_below("$ORIGIN a.\n$ORIGIN b\nc 5 NS d\n", &["c.b.a. 5 IN NS d.b.a."])]
    #[case::a_common_time("$TTL 1h\n$ORIGIN a.\nb A 192.0.2.1\n", &["b.a. 3600 IN A 192.0.2.1"])]
    #[case::ends_of_another_system("$ORIGIN a.\r\nb 5 A 192.0.2.1\r\n", &["b.a. 5 IN A 192.0.2.1"])]
    fn a_file_is_read(#[case] file: &str, #[case] expected: &[&str]) {
        assert_eq!(texts(file), expected);
    }

    #[rstest]
    #[case::a_bad_address("$ORIGIN a.\nb 5 A 192.0.2.1\nc 5 A 192.0.2\nd 5 A 192.0.2.1", 3)]
    #[case::an_unknown_type("$ORIGIN a.\nb 5 WHAT 192.0.2.1\n", 2)]
    #[case::in_the_last_line("$ORIGIN a.\n\n\nb 5 A", 4)]
    #[case::where_the_entry_begins("$ORIGIN a.\nb 5 A (\n\n 192.0.2\n )\nc 5 A 192.0.2.1\n", 2)]
    #[case::no_origin("b.a. 5 A 192.0.2.1\nc 5 A 192.0.2.1\n", 2)]
    #[case::no_origin_in_the_data("b.a. 5 A 192.0.2.1\nb.a. 5 MX 10 c\n", 2)]
    #[case::no_time("$ORIGIN a.\n; why\nb A 192.0.2.1\n", 3)]
    #[case::never_closed("$ORIGIN a.\nb 5 TXT (x)\nc 5 TXT (x\nd 5 A 192.0.2.1\n", 3)]
    #[case::closes_nothing("$ORIGIN a.\nb 5 TXT x)\n", 2)]
    #[case::a_quote_is_never_closed("$ORIGIN a.\nb 5 TXT \"x\nc 5 A 192.0.2.1\n", 2)]
    #[case::include("$ORIGIN a.\n$INCLUDE other\n", 2)]
    #[case::a_long_label(
        "$ORIGIN a.\nbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb 5 A 192.0.2.1",
        2
    )]
    fn a_mistake_has_its_line(#[case] file: &str, #[case] line: usize) {
        let complaint = parse(file).unwrap_err();
        assert!(complaint.starts_with(&format!("line {line}: ")), "{complaint}");
        assert!(!complaint.contains('\n'), "{complaint}");
    }

    /// Whatever there is in a file: it's read or it isn't.
    #[test]
    fn any_file_is_read_or_complained_of() {
        let mut random = fastrand::Rng::with_seed(12);
        let parts = [
            "a",
            "@",
            "\"",
            "(",
            ")",
            "\n",
            " ",
            "\\",
            "\\0",
            "5",
            "A",
            "TXT",
            "SOA",
            "MX",
            ".",
            ";",
            "$ORIGIN ",
            "$TTL ",
            "192.0.2.1",
            "b.",
            "\n ",
            "é",
            "\0",
            "*",
            "IN",
            "CAA",
            "SRV",
            "HINFO",
            "SVCB",
            "TLSA",
            "::1",
            "AAAA",
            "NAPTR",
            "1h",
            "=",
        ];
        for _ in 0..3000 {
            let length = random.usize(0..30);
            let file: String = (0..length)
                .map(|_| {
                    [*random.choice(&parts).unwrap(), *random.choice(&["", " "]).unwrap()].concat()
                })
                .collect();
            if let Err(complaint) = parse(&file) {
                assert!(!complaint.contains('\n'), "{complaint}");
            }
        }
    }
}
