//! Who is here, as lines of text: the console prints them, the window draws them.

use crate::presence::Row;

/// What stands where something was cut off.
pub const ELLIPSIS: char = '…';
/// What is between two columns.
const GAP: &str = "  ";
/// What stands over the columns.
const HEADING: [&str; 3] = ["protocol", "from", "waits for"];
/// How wide the first two columns are at least, in characters. An address of the fourth version has
/// room (`255.255.255.255:65535`): the columns don't move whenever somebody comes.
const LEAST: [usize; 2] = [8, 21];
/// The widest that they get. Most addresses of the sixth version are whole, too.
const WIDEST: [usize; 2] = [10, 30];

/// How wide the first two columns are, in characters. The third has the rest of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns([usize; 2]);

impl Columns {
    /// As wide as these rows need.
    pub fn of(rows: &[Row]) -> Self {
        let mut widths = LEAST;
        for row in rows {
            let [protocol, from] = &mut widths;
            *protocol = row.protocol.chars().count().max(*protocol);
            *from = row.from.to_string().len().max(*from);
        }
        let [protocol, from] = widths;
        let [most_protocol, most_from] = WIDEST;
        Self([protocol.min(most_protocol), from.min(most_from)])
    }

    /// What stands over the rows, in at most `width` characters.
    pub fn heading(self, width: usize) -> String {
        self.line(HEADING, width)
    }

    /// A row, in at most `width` characters.
    pub fn row(self, row: &Row, width: usize) -> String {
        self.line([row.protocol, &row.from.to_string(), &row.waits_for], width)
    }

    fn line(self, cells: [&str; 3], width: usize) -> String {
        let [protocol, from, waits_for] = cells.map(printable);
        let [protocol_width, from_width] = self.0;
        let protocol = cut(&protocol, protocol_width);
        // The port is what tells two visitors from one address apart.
        let from = cut_middle(&from, from_width);
        let line = format!("{protocol:protocol_width$}{GAP}{from:from_width$}{GAP}{waits_for}");
        cut(&line, width)
    }
}

/// As text for people: the rows under a heading, each in at most `width` characters, and how
/// many there are. Of more than `most` rows, the first.
pub fn text(rows: &[Row], width: usize, most: usize) -> String {
    if rows.is_empty() {
        return "nobody is here\n".to_owned();
    }
    let shown = rows.get(..most).unwrap_or(rows);
    let columns = Columns::of(shown);
    let lines = shown.iter().map(|row| columns.row(row, width));
    let count = match rows.len() - shown.len() {
        0 => format!("{} here", rows.len()),
        more => format!("and {more} more; {} here", rows.len()),
    };
    let all = std::iter::once(columns.heading(width)).chain(lines).chain([count]);
    all.map(|line| line + "\n").collect()
}

/// `text` in at most `width` characters.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept = text.chars().take(width.saturating_sub(1));
    kept.chain([ELLIPSIS]).take(width).collect()
}

/// The same, with what was cut off missing in the middle.
fn cut_middle(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let behind = width / 2;
    let before = width.saturating_sub(behind + 1);
    let start = text.chars().take(before).chain([ELLIPSIS]);
    start.chain(text.chars().skip(length - behind)).take(width).collect()
}

/// Without what would move a terminal's cursor, clear its screen or write from right to left:
/// some of it is what visitors said.
pub fn printable(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || turns(c) { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use ch07_callbacks::Token;
    use rstest::rstest;

    use super::*;

    fn row(protocol: &'static str, from: &str, waits_for: &str) -> Row {
        Row {
            token: Token::from_bits(0),
            protocol,
            from: from.parse().unwrap(),
            waits_for: waits_for.to_owned().into(),
        }
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [
            row("http", "127.0.0.1:40404", "a request"),
            row("chat", "[::1]:9", "a line"),
            row("dns", "255.255.255.255:65535", "the rest of a question"),
        ];
        let expected = "\
protocol  from                   waits for
http      127.0.0.1:40404        a request
chat      [::1]:9                a line
dns       255.255.255.255:65535  the rest of a question
3 here
";
        assert_eq!(text(&rows, 80, 100), expected);
    }

    #[test]
    fn nobody_is_here() {
        assert_eq!(text(&[], 80, 100), "nobody is here\n");
    }

    #[test]
    fn long_things_are_cut_and_the_port_stays() {
        let from = "[2001:db8:ffff:feed:beef:1111:2222:3333]:65000";
        let row = row("a-long-protocol", from, &"patience ".repeat(20));
        for width in [80, 60, 45, 20, 1, 0] {
            for line in text(std::slice::from_ref(&row), width, 100).lines().take(2) {
                assert!(line.chars().count() <= width, "{width}: {line:?}");
            }
        }
        let shown = text(&[row], 80, 100);
        let line = shown.lines().nth(1).unwrap();
        assert!(line.starts_with("a-long-pr…  [2001:db8:ffff…"), "{line}");
        assert!(line.contains(":3333]:65000  patience"), "{line}");
        assert!(line.ends_with('…') && line.chars().count() == 80, "{line}");
    }

    #[test]
    fn of_many_the_first_are_shown_and_all_are_counted() {
        let rows = vec![row("http", "127.0.0.1:1", "a request"); 200];
        let shown = text(&rows, 80, 100);
        assert_eq!(shown.lines().count(), 102);
        assert_eq!(shown.lines().last(), Some("and 100 more; 200 here"));
    }

    #[rstest]
    #[case::an_escape("a\u{1b}[2Jb", "a?[2Jb")]
    #[case::a_line_feed("a\nb", "a?b")]
    #[case::the_escape_of_the_upper_half("a\u{9b}2Jb", "a?2Jb")]
    #[case::right_to_left("a\u{202e}b", "a?b")]
    #[case::letters("Zoë ☺", "Zoë ☺")]
    fn what_a_visitor_said_moves_no_cursor(#[case] said: &str, #[case] shown: &str) {
        assert_eq!(printable(said), shown);
        let shown = text(&[row("chat", "[::1]:9", said)], 80, 100);
        assert!(!shown.replace('\n', "").contains(char::is_control), "{shown:?}");
        assert_eq!(shown.lines().count(), 3, "{shown:?}");
    }
}
