//! What the window shows, without a window: from the rows of who is here to lines of text, and
//! from a place on the glass to the connection that is shown there.

use ch07_callbacks::Token;

use crate::presence::Row;
use crate::table::{Columns, ELLIPSIS, cut};

/// How many lines are shown at most, and how many characters of each. A window may be larger;
/// what is sent for one picture may not: some 26 KB.
pub const MOST_LINES: usize = 100;
/// An X request draws no more than 255 characters (X Window System Protocol, ImageText8).
pub const MOST_CHARACTERS: usize = 200;
/// What stands over the rows: a title, and the heading of the columns.
const ABOVE: usize = 2;

/// What the window can do for you.
const HINT: &str = "a click or Delete closes one, q the window";

/// A line of the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    pub shade: Shade,
    /// Whom it shows.
    pub shows: Option<Shown>,
}

/// A connection that is shown in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    pub token: Token,
    /// By which the line's mark has its color.
    pub protocol: &'static str,
}

impl Line {
    /// One of which is known only whom it shows.
    pub fn of(row: Option<&Row>) -> Self {
        let shows = row.map(|row| Shown { token: row.token, protocol: row.protocol });
        Self { text: String::new(), shade: Shade::Note, shows }
    }
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shade {
    Title,
    Heading,
    Even,
    Odd,
    /// The keyboard means this one.
    Selected,
    /// A note below the rows.
    Note,
}

/// How much text there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub lines: usize,
    pub characters: usize,
}

// ANCHOR: lay_out
/// The lines of the window, from the top. With more rows than there is room for, those around the
/// selected one are shown, and the last line says how many more there are.
pub fn lay_out(rows: &[Row], selected: Option<Token>, room: Room) -> Vec<Line> {
    let lines = room.lines.min(MOST_LINES);
    let width = room.characters.min(MOST_CHARACTERS);
    let fit = lines.saturating_sub(ABOVE);
    let shown = if rows.len() <= fit { rows.len() } else { fit.saturating_sub(1) };
    let first = first_shown(rows, selected, shown);
    let window = rows.iter().skip(first).take(shown);
    let columns = Columns::of(rows.get(first..first + shown).unwrap_or_default());

    let title = title(rows.len(), width);
    let plain = |text: String, shade| Line { text: cut(&text, width), shade, shows: None };
    let mut picture = vec![plain(title, Shade::Title)];
    picture.push(plain(columns.heading(width), Shade::Heading));
    picture.extend(window.zip(first..).map(|(row, number)| Line {
        text: columns.row(row, width),
        shade: match number % 2 {
            _ if selected == Some(row.token) => Shade::Selected,
            0 => Shade::Even,
            _ => Shade::Odd,
        },
        shows: Some(Shown { token: row.token, protocol: row.protocol }),
    }));
    if shown < rows.len() {
        picture.push(plain(format!("and {} more", rows.len() - shown), Shade::Note));
    }
    picture.truncate(lines);
    picture
}
// ANCHOR_END: lay_out

/// How many are here; and, where there is room, what can be done.
fn title(count: usize, width: usize) -> String {
    let title = match count {
        0 => "nobody is here".to_owned(),
        count => format!("{count} here"),
    };
    let left = width.saturating_sub(title.len());
    if left < HINT.len() + 2 { title } else { format!("{title}{HINT:>left$}") }
}

/// Far enough down that the selected row is shown.
fn first_shown(rows: &[Row], selected: Option<Token>, shown: usize) -> usize {
    let place = selected.and_then(|token| place_of(rows, token)).unwrap_or(0);
    (place + 1).saturating_sub(shown).min(rows.len() - shown.min(rows.len()))
}

fn place_of(rows: &[Row], token: Token) -> Option<usize> {
    rows.iter().position(|row| row.token == token)
}

/// Which way the selection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Up,
    Down,
}

/// The row above or below the selected one. Without one (or when it has left), from the bottom or
/// from the top.
pub fn step(rows: &[Row], selected: Option<Token>, step: Step) -> Option<Token> {
    let place = selected.and_then(|token| place_of(rows, token));
    let last = rows.len().checked_sub(1)?;
    let place = match (place, step) {
        (None, Step::Up) => last,
        (None, Step::Down) => 0,
        (Some(place), Step::Up) => place.saturating_sub(1),
        (Some(place), Step::Down) => (place + 1).min(last),
    };
    rows.get(place).map(|row| row.token)
}

/// Who is shown in the line that is so many pixels from the top.
pub fn at(picture: &[Line], y: i16, line_height: u16) -> Option<Token> {
    let number = u16::try_from(y).ok()?.checked_div(line_height)?;
    picture.get(usize::from(number))?.shows.map(|shown| shown.token)
}

/// In the characters that the fonts of every X server have: ISO 8859-1. Others become `?`.
pub fn latin1(text: &str) -> Vec<u8> {
    let byte = |c: char| match (c, u8::try_from(u32::from(c))) {
        (ELLIPSIS, _) => 0xbb, // », which reads as "goes on"
        (_, Ok(byte @ (b' '..=b'~' | 0xa0..))) => byte,
        _ => b'?',
    };
    text.chars().take(MOST_CHARACTERS).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn rows(count: u64) -> Vec<Row> {
        let row = |number: u64| Row {
            token: Token::from_bits(number),
            protocol: "http",
            from: ([127, 0, 0, 1], 1000).into(),
            waits_for: format!("request {number}").into(),
        };
        (0..count).map(row).collect()
    }

    fn room(lines: usize, characters: usize) -> Room {
        Room { lines, characters }
    }

    /// The numbers of the rows that are shown.
    fn shown(picture: &[Line]) -> Vec<u64> {
        picture.iter().filter_map(|line| Some(line.shows?.token.to_bits())).collect()
    }

    #[test]
    fn a_title_a_heading_and_the_rows() {
        let picture = lay_out(&rows(3), None, room(20, 80));
        let shades: Vec<Shade> = picture.iter().map(|line| line.shade).collect();
        assert_eq!(shades, [Shade::Title, Shade::Heading, Shade::Even, Shade::Odd, Shade::Even]);
        assert!(picture[0].text.starts_with("3 here"), "{picture:?}");
        assert_eq!(shown(&picture), [0, 1, 2]);
    }

    #[rstest]
    #[case::they_fit(5, 7, 5, None)]
    #[case::one_too_many(6, 7, 4, Some("and 2 more"))]
    #[case::two_hundred(200, 22, 19, Some("and 181 more"))]
    #[case::more_than_are_ever_drawn(1000, 1000, 97, Some("and 903 more"))]
    #[case::only_room_for_the_note(3, 3, 0, Some("and 3 more"))]
    fn what_does_not_fit_is_counted(
        #[case] here: u64,
        #[case] lines: usize,
        #[case] fit: usize,
        #[case] note: Option<&str>,
    ) {
        let picture = lay_out(&rows(here), None, room(lines, 80));
        assert_eq!(shown(&picture).len(), fit);
        let last = picture.last().unwrap();
        assert_eq!((last.shade == Shade::Note).then_some(&*last.text), note);
    }

    #[rstest]
    fn nothing_is_larger_than_its_room(
        #[values(0, 1, 2, 3, 20, 5000)] lines: usize,
        #[values(0, 1, 3, 200)] here: u64,
    ) {
        for characters in [0, 1, 7, 50, 80, 5000] {
            for selected in [None, Some(0), Some(2), Some(150), Some(999)] {
                let selected = selected.map(Token::from_bits);
                let picture = lay_out(&rows(here), selected, room(lines, characters));
                assert!(picture.len() <= lines.min(MOST_LINES));
                for line in &picture {
                    let length = line.text.chars().count();
                    assert!(length <= characters.min(MOST_CHARACTERS), "{line:?}");
                }
            }
        }
    }

    #[test]
    fn the_selected_row_is_always_shown() {
        let rows = rows(200);
        for number in 0..200 {
            let picture = lay_out(&rows, Some(Token::from_bits(number)), room(12, 80));
            assert_eq!(shown(&picture).len(), 9);
            let selected: Vec<&Line> =
                picture.iter().filter(|line| line.shade == Shade::Selected).collect();
            assert_eq!(selected.len(), 1, "{number}");
            assert_eq!(selected[0].shows.unwrap().token.to_bits(), number);
        }
    }

    #[test]
    fn stepping_ends_at_the_ends_and_begins_anew_when_the_selected_one_has_left() {
        let rows = rows(3);
        let bits = |token: Option<Token>| token.map(Token::to_bits);
        let mut selected = None;
        let mut visited = Vec::new();
        for way in [Step::Down, Step::Down, Step::Down, Step::Down, Step::Up, Step::Up, Step::Up] {
            selected = step(&rows, selected, way);
            visited.push(bits(selected).unwrap());
        }
        assert_eq!(visited, [0, 1, 2, 2, 1, 0, 0]);
        assert_eq!(bits(step(&rows, None, Step::Up)), Some(2));
        assert_eq!(bits(step(&rows, Some(Token::from_bits(99)), Step::Down)), Some(0));
        assert_eq!(step(&[], Some(Token::from_bits(0)), Step::Down), None);
    }

    #[rstest]
    #[case::above(-1, None)]
    #[case::the_title(0, None)]
    #[case::the_heading(19, None)]
    #[case::the_first_row(20, Some(0))]
    #[case::its_last_pixel(29, Some(0))]
    #[case::the_second_row(30, Some(1))]
    #[case::the_note(40, None)]
    #[case::below(50, None)]
    #[case::far_below(i16::MAX, None)]
    fn a_place_on_the_glass_means_whom_it_shows(#[case] y: i16, #[case] number: Option<u64>) {
        let picture = lay_out(&rows(9), None, room(5, 80));
        assert_eq!(at(&picture, y, 10).map(Token::to_bits), number);
        assert_eq!(at(&picture, y, 0), None);
    }

    #[rstest]
    #[case::ascii("GET /~me", b"GET /~me")]
    #[case::latin("Zo\u{eb} \u{a0}", b"Zo\xeb \xa0")]
    #[case::other("\u{263a}\u{4f60}", b"??")]
    #[case::controls("\u{1b}\n\u{7f}\u{85}", b"????")]
    #[case::an_ellipsis("a\u{2026}", b"a\xbb")]
    fn text_becomes_what_the_font_has(#[case] text: &str, #[case] expected: &[u8]) {
        assert_eq!(latin1(text), expected);
    }
}
