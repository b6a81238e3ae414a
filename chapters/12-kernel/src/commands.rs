//! What is typed at the console, without a console: bytes go in, lines come out, and a line is
//! looked up in a table of commands.

use crate::lines::{Lines, Piece};
use crate::table::cut;

/// Longest line, in bytes, without its end. A longer one is dropped as a whole: its rest would
/// be taken for a command.
pub const LONGEST: usize = 1024;
/// So much of a word that nobody knows is said again, in characters.
const QUOTED: usize = 40;

/// The bytes that were typed, on their way to being lines.
#[derive(Debug)]
pub struct Typed {
    bytes: Vec<u8>,
    lines: Lines,
    ended: bool,
}

impl Default for Typed {
    fn default() -> Self {
        Self { bytes: Vec::new(), lines: Lines::new(LONGEST), ended: false }
    }
}

/// What was typed and hasn't been used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    pub bytes: Vec<u8>,
    /// They begin in the middle of a line that is too long.
    pub is_dropping: bool,
    /// Nothing more will come.
    pub ended: bool,
}

/// A line, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Its text. What wasn't UTF-8 in it has become U+FFFD.
    Text(String),
    /// It was longer than [`LONGEST`].
    TooLong,
}

impl Typed {
    /// All of it, for another process.
    pub fn parts(&self) -> Parts {
        let (bytes, is_dropping) = (self.bytes.clone(), self.lines.is_dropping());
        Parts { bytes, is_dropping, ended: self.ended }
    }

    /// Goes on with what another process has had.
    pub fn from_parts(Parts { bytes, is_dropping, ended }: Parts) -> Self {
        let mut lines = Lines::new(LONGEST);
        if is_dropping {
            // The beginning of such a line: its rest is thrown away, too.
            lines.next(&mut [b' '; LONGEST + 2].as_slice());
        }
        Self { bytes, lines, ended }
    }

    /// Takes over what was read. Lines are to be taken out before more is read: then never more
    /// lies here than one read and one line.
    pub fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Nothing more will come. A last line counts without its end, too.
    pub fn end(&mut self) {
        if !self.ended && (!self.bytes.is_empty() || self.lines.is_dropping()) {
            self.bytes.push(b'\n');
        }
        self.ended = true;
    }

    /// Whether [`take`](Self::take) would give a line.
    pub fn has_line(&self) -> bool {
        self.bytes.contains(&b'\n')
    }

    /// Whether this was all.
    pub fn is_over(&self) -> bool {
        self.ended && !self.has_line()
    }

    /// Takes out the next line. `None`: it isn't whole yet.
    pub fn take(&mut self) -> Option<Line> {
        let mut rest = self.bytes.as_slice();
        let line = match self.lines.next(&mut rest) {
            Some(Piece::Line(line)) => Some(Line::Text(String::from_utf8_lossy(line).into_owned())),
            Some(Piece::TooLong) => Some(Line::TooLong),
            // Nobody here has asked for data.
            Some(Piece::Data(_) | Piece::EndOfData) | None => None,
        };
        let taken = self.bytes.len() - rest.len();
        self.bytes.drain(..taken);
        line
    }
}

/// A command, as `help` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub name: &'static str,
    /// What has to follow it, such as `TEXT`; nothing where it's empty.
    pub argument: &'static str,
    /// What it does, in words that complete "it": `ends the program`.
    pub does: &'static str,
}

/// Shows the others.
pub const HELP: Usage = Usage { name: "help", argument: "", does: "shows this" };

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// Nothing: the line is blank.
    Nothing,
    /// The table, as text.
    Help(String),
    /// The table's command of this number, with this argument.
    Command(usize, &'a str),
    /// Something that isn't there, and this is to be said about it.
    Unclear(String),
}

/// Looks a line up.
pub fn look_up<'a>(line: &'a str, table: &[Usage]) -> Asked<'a> {
    let line = line.trim();
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let argument = argument.trim_start();
    if name.is_empty() {
        return Asked::Nothing;
    }
    if name.eq_ignore_ascii_case(HELP.name) || name == "?" {
        return Asked::Help(help(table));
    }
    let named = table.iter().position(|usage| name.eq_ignore_ascii_case(usage.name));
    let Some((number, usage)) = named.and_then(|number| Some((number, table.get(number)?))) else {
        return Asked::Unclear(unknown(name, table));
    };
    match (usage.argument, argument) {
        ("", "") => Asked::Command(number, ""),
        ("", _) => Asked::Unclear(format!("{} takes nothing behind it\n", usage.name)),
        (missing, "") => {
            let name = usage.name;
            Asked::Unclear(format!("{name} needs a {missing} behind it: {name} {missing}\n"))
        }
        _ => Asked::Command(number, argument),
    }
}

fn help(table: &[Usage]) -> String {
    let all = table.iter().chain([&HELP]);
    let shown = all.map(|usage| (format!("{} {}", usage.name, usage.argument), usage.does));
    shown.map(|(command, does)| format!("  {command:12}{does}\n")).collect()
}

fn unknown(name: &str, table: &[Usage]) -> String {
    let names = || table.iter().chain([&HELP]).map(|usage| usage.name);
    let there_is: Vec<&str> = names().collect();
    let advice = nearest(name, names()).map(|near| format!(" Did you mean {near}?"));
    // Quoted and escaped: who types an arrow key sends an escape sequence.
    let typed = cut(name, QUOTED);
    let advice = advice.unwrap_or_default();
    format!("no command is called {typed:?}.{advice} There is {}.\n", there_is.join(", "))
}

/// The name that somebody meant: one that begins so, or one that a slip of the keyboard makes so.
fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    let begins_so = names.clone().find(|name| name.starts_with(&typed));
    begins_so.or_else(|| names.clone().find(|name| is_one_slip_from(&typed, name)))
}

/// Whether they differ by one letter that is missing, too many or wrong, or by two neighbors that
/// have changed places.
fn is_one_slip_from(typed: &str, name: &str) -> bool {
    let same = |(one, other): &(char, char)| one == other;
    let before = typed.chars().zip(name.chars()).take_while(same).count();
    let typed: Vec<char> = typed.chars().skip(before).collect();
    let name: Vec<char> = name.chars().skip(before).collect();
    let backwards = typed.iter().rev().copied().zip(name.iter().rev().copied());
    let behind = backwards.take_while(same).count();
    let differs = |word: &[char]| word.iter().rev().skip(behind).copied().collect::<Vec<char>>();
    match (differs(&typed).as_slice(), differs(&name).as_slice()) {
        ([] | [_], [] | [_]) => true,
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use rstest::rstest;

    use super::*;

    const TABLE: [Usage; 3] = [
        Usage { name: "who", argument: "", does: "shows who is here" },
        Usage { name: "say", argument: "TEXT", does: "says it to all" },
        Usage { name: "stop", argument: "", does: "ends the program" },
    ];

    /// All lines of `input`, which comes in pieces of so many bytes.
    fn lines_of(input: &[u8], piece: usize) -> Vec<Line> {
        let mut lines = Typed::default();
        let mut taken = Vec::new();
        for piece in input.chunks(piece) {
            lines.put(piece);
            while let Some(line) = lines.take() {
                taken.push(line);
            }
            assert!(lines.bytes.len() <= LONGEST + 1, "never more than a line is kept");
        }
        lines.end();
        while let Some(line) = lines.take() {
            taken.push(line);
        }
        assert!(lines.is_over());
        taken
    }

    fn text(line: &str) -> Line {
        Line::Text(line.to_owned())
    }

    #[rstest]
    #[case::lf(b"who\nstop\n", &["who", "stop"])]
    #[case::crlf(b"who\r\nstop\r\n", &["who", "stop"])]
    #[case::the_last_without_its_end(b"who\nstop", &["who", "stop"])]
    #[case::blank_ones(b"\n\r\n\n", &["", "", ""])]
    #[case::nothing(b"", &[])]
    #[case::a_cr_inside(b"a\rb\n", &["a\rb"])]
    #[case::not_utf_8(b"say \xff!\n", &["say \u{fffd}!"])]
    #[case::a_nul(b"say \0\n", &["say \0"])]
    fn bytes_become_lines(
        #[case] input: &[u8],
        #[case] expected: &[&str],
        #[values(1, 2, 3, 1000)] piece: usize,
    ) {
        let expected: Vec<Line> = expected.iter().map(|line| text(line)).collect();
        assert_eq!(lines_of(input, piece), expected);
    }

    #[rstest]
    fn a_line_that_is_too_long_is_dropped_as_a_whole(
        #[values(1, 7, 1024, 100_000)] piece: usize,
        #[values("\n", "\r\n")] end: &str,
        #[values(LONGEST + 1, LONGEST + 2, 5 * LONGEST)] length: usize,
    ) {
        let input = format!("{}{end}who{end}", "stop".repeat(length).split_at(length).0);
        assert_eq!(lines_of(input.as_bytes(), piece), [Line::TooLong, text("who")]);
        let longest = "x".repeat(LONGEST);
        let input = format!("{longest}{end}who{end}");
        assert_eq!(lines_of(input.as_bytes(), piece), [text(&longest), text("who")]);
    }

    /// Wherever it's handed over: also in the middle of a line that is too long.
    #[test]
    fn what_was_typed_can_be_handed_over_at_any_byte() {
        let input = format!("who\n{}\r\n\nsay hello\nst", "x".repeat(LONGEST + 10));
        let expected = lines_of(input.as_bytes(), 1);
        for cut in 0..=input.len() {
            let (before, behind) = input.as_bytes().split_at(cut);
            let (mut typed, mut taken) = (Typed::default(), Vec::new());
            // As in a turn: lines are left over that nobody has had the time for.
            typed.put(before);
            taken.extend(typed.take());
            let mut typed = Typed::from_parts(typed.parts());
            typed.put(behind);
            typed.end();
            let mut typed = Typed::from_parts(typed.parts());
            taken.extend(iter::from_fn(|| typed.take()));
            assert_eq!(taken, expected, "{cut}");
            assert!(typed.is_over());
        }
    }

    #[rstest]
    #[case::who("who", 0, "")]
    #[case::in_capitals("WHO", 0, "")]
    #[case::with_blanks("  who \t", 0, "")]
    #[case::say("say hello, world", 1, "hello, world")]
    #[case::say_with_blanks("Say\t  two  blanks  ", 1, "two  blanks")]
    #[case::stop("stop", 2, "")]
    fn a_command_is_found(#[case] line: &str, #[case] number: usize, #[case] argument: &str) {
        assert_eq!(look_up(line, &TABLE), Asked::Command(number, argument));
    }

    #[test]
    fn a_blank_line_asks_for_nothing() {
        assert_eq!(look_up(" \t ", &TABLE), Asked::Nothing);
    }

    #[rstest]
    #[case::a_letter_wrong("whi", Some("who"))]
    #[case::a_letter_missing("sop", Some("stop"))]
    #[case::a_letter_too_many("whoo", Some("who"))]
    #[case::two_swapped("hlep", Some("help"))]
    #[case::two_swapped_at_the_end("stpo", Some("stop"))]
    #[case::a_beginning("st", Some("stop"))]
    #[case::in_capitals("STIP", Some("stop"))]
    #[case::two_letters_wrong("slap", None)]
    #[case::something_else("quit", None)]
    #[case::an_arrow_key("\u{1b}[A", None)]
    fn an_unknown_one_gets_one_line_with_what_there_is(
        #[case] typed: &str,
        #[case] near: Option<&str>,
    ) {
        let Asked::Unclear(said) = look_up(typed, &TABLE) else { panic!("it's known") };
        assert!(said.ends_with("There is who, say, stop, help.\n"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(!said.trim_end().contains(char::is_control), "{said:?}");
        match near {
            Some(near) => assert!(said.contains(&format!("Did you mean {near}?")), "{said}"),
            None => assert!(!said.contains("Did you mean"), "{said}"),
        }
    }

    #[test]
    fn a_long_unknown_word_is_cut() {
        let Asked::Unclear(said) = look_up(&"x".repeat(LONGEST), &TABLE) else { panic!() };
        assert!(said.chars().count() < 120, "{said}");
    }

    #[rstest]
    #[case::something_behind_who("who there", "who takes nothing")]
    #[case::nothing_behind_say("say ", "say needs a TEXT")]
    fn what_a_command_takes_is_said(#[case] line: &str, #[case] expected: &str) {
        let Asked::Unclear(said) = look_up(line, &TABLE) else { panic!("it's accepted") };
        assert!(said.starts_with(expected), "{said}");
    }

    #[rstest]
    fn help_shows_the_table_and_itself(#[values("help", "HELP", "?", "help me")] line: &str) {
        let Asked::Help(shown) = look_up(line, &TABLE) else { panic!("that's no help") };
        let names: Vec<&str> =
            shown.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(names, ["who", "say", "stop", "help"]);
    }
}
