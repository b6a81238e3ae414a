//! Lines out of bytes, without a socket in sight; and data that ends with a dot.
//!
//! What most of the old protocols have in common: a line is a command, a line is a reply, and
//! now and then the rest is data until a line that is a dot (RFC 5321, section 4.5.2).

/// What stands at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A line, without its end: LF, or CR LF.
    Line(&'a [u8]),
    /// The end of a line that was longer than allowed. It was thrown away.
    TooLong,
    /// Some of the data: dots that were put in front of dots are gone.
    Data(&'a [u8]),
    /// The dot behind the data. What follows are lines again.
    EndOfData,
}

/// Cuts input into [`Piece`]s. It keeps none of it: what it can't use yet stays where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    longest: usize,
    reading: Reading,
}

// ANCHOR: reading
/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A line.
    Line,
    /// A line that is too long already.
    LongLine,
    /// Data: the first byte of a line of it, which may be a dot.
    LineOfData,
    /// Data, further on.
    Data,
}
// ANCHOR_END: reading

impl Lines {
    /// Lines of at most so many bytes, their ends not counted.
    pub fn new(longest: usize) -> Self {
        Self { longest, reading: Reading::Line }
    }

    /// The same, from within: what is next was left there by another one.
    pub fn within(longest: usize, reading: Reading) -> Self {
        Self { longest, reading }
    }

    /// What the next byte belongs to. There is no more to know: it keeps no bytes.
    pub fn reading(&self) -> Reading {
        self.reading
    }

    /// What follows is data, until a dot.
    pub fn expect_data(&mut self) {
        self.reading = Reading::LineOfData;
    }

    /// Whether what follows is data.
    pub fn expects_data(&self) -> bool {
        matches!(self.reading, Reading::LineOfData | Reading::Data)
    }

    /// Whether a line is being thrown away as it comes.
    pub fn is_dropping(&self) -> bool {
        self.reading == Reading::LongLine
    }

    // ANCHOR: next
    /// Takes the next piece off the front of `input`. None: it isn't
    /// there yet.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Piece<'a>> {
        match self.reading {
            Reading::Line | Reading::LongLine => self.line(input),
            Reading::LineOfData => self.line_of_data(input),
            Reading::Data => self.data(input),
        }
    }
    // ANCHOR_END: next

    fn line<'a>(&mut self, input: &mut &'a [u8]) -> Option<Piece<'a>> {
        let Some(end) = input.iter().position(|&byte| byte == b'\n') else {
            // One more than the longest, for its CR. With more than that it's thrown away as
            // it comes: a line that never ends must not fill our memory.
            if input.len() > self.longest + 1 || self.reading == Reading::LongLine {
                self.reading = Reading::LongLine;
                *input = &[];
            }
            return None;
        };
        let line = &input[..end];
        *input = &input[end + 1..];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let was_long = std::mem::replace(&mut self.reading, Reading::Line) == Reading::LongLine;
        match was_long || line.len() > self.longest {
            true => Some(Piece::TooLong),
            false => Some(Piece::Line(line)),
        }
    }

    // ANCHOR: data
    /// The beginning of a line of data. Its end is CR LF and nothing else:
    /// whoever takes a bare LF for one sees the end of a message where
    /// others see the middle of it.
    fn line_of_data<'a>(&mut self, input: &mut &'a [u8]) -> Option<Piece<'a>> {
        match **input {
            [b'.', b'\r', b'\n', ..] => {
                *input = &input[3..];
                self.reading = Reading::Line;
                Some(Piece::EndOfData)
            }
            // Not enough to tell.
            [] | [b'.'] | [b'.', b'\r'] => None,
            [b'.', ..] => {
                *input = &input[1..];
                self.data(input)
            }
            _ => self.data(input),
        }
    }

    /// As much as there is, up to the next line that begins with a dot.
    fn data<'a>(&mut self, input: &mut &'a [u8]) -> Option<Piece<'a>> {
        let all = *input;
        let dot = all.windows(3).position(|three| three == b"\r\n.");
        let end = match dot {
            Some(start) => start + 2,
            // A CR may be the first half of a line's end.
            None => all.strip_suffix(b"\r").unwrap_or(all).len(),
        };
        let (data, rest) = all.split_at(end);
        *input = rest;
        self.reading = match data.ends_with(b"\r\n") {
            true => Reading::LineOfData,
            // A CR that came last is still there, so this is never its LF.
            false => Reading::Data,
        };
        (!data.is_empty()).then_some(Piece::Data(data))
    }
    // ANCHOR_END: data
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// All pieces of `text`, which comes in two parts, in every way that there is. Pieces of
    /// data are put together.
    fn pieces(longest: usize, text: &[u8], data_after: &[u8]) -> Vec<String> {
        let whole = pieces_of(longest, &[text], data_after);
        for cut in 0..=text.len() {
            let (first, second) = text.split_at(cut);
            assert_eq!(pieces_of(longest, &[first, second], data_after), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(pieces_of(longest, &bytes, data_after), whole, "byte by byte");
        whole
    }

    fn pieces_of(longest: usize, parts: &[&[u8]], data_after: &[u8]) -> Vec<String> {
        let (mut lines, mut input, mut said) = (Lines::new(longest), Vec::new(), Vec::new());
        let mut data: Option<String> = None;
        for part in parts {
            input.extend_from_slice(part);
            let mut rest = input.as_slice();
            while let Some(piece) = lines.next(&mut rest) {
                match piece {
                    Piece::Line(line) if line == data_after => {
                        lines.expect_data();
                        data = Some(String::new());
                    }
                    Piece::Line(line) => said.push(format!("line {}", line.escape_ascii())),
                    Piece::TooLong => said.push("too long".to_owned()),
                    Piece::Data(piece) => {
                        let piece = piece.escape_ascii().to_string();
                        data.as_mut().expect("data comes when it's expected").push_str(&piece);
                    }
                    Piece::EndOfData => said.push(format!("data {}", data.take().unwrap())),
                }
            }
            input = rest.to_vec();
            assert!(input.len() <= longest + 1, "it's left with {} bytes", input.len());
        }
        said.extend(data.map(|data| format!("unfinished {data}")));
        said
    }

    #[rstest]
    #[case::two(b"one\r\ntwo\r\n", &["line one", "line two"])]
    #[case::ends_of_both_kinds(b"one\ntwo\r\n\n", &["line one", "line two", "line "])]
    #[case::not_yet(b"one\r\ntw", &["line one"])]
    #[case::a_bare_cr_is_part_of_it(b"a\rb\r\r\n", &["line a\\rb\\r"])]
    #[case::any_bytes(b"\xff\0\xfe\n", &["line \\xff\\x00\\xfe"])]
    #[case::as_long_as_allowed(b"12345678\r\n12345678\n", &["line 12345678", "line 12345678"])]
    #[case::one_too_long(b"123456789\nx\n", &["too long", "line x"])]
    #[case::one_too_long_with_a_cr(b"123456789\r\nx\n", &["too long", "line x"])]
    #[case::much_too_long(b"1234567890123456789012345678901234567890\r\nx\r\n", &["too long", "line x"])]
    fn lines_are_cut_out(#[case] text: &[u8], #[case] expected: &[&str]) {
        assert_eq!(pieces(8, text, b"DATA"), expected);
    }

    #[rstest]
    #[case::a_line(b"a\r\n.\r\nQUIT\r\n", &["data a\\r\\n", "line QUIT"])]
    #[case::nothing(b".\r\nQUIT\r\n", &["data ", "line QUIT"])]
    #[case::a_dot_in_front_of_a_dot(b"..\r\n...a\r\n.b\r\n.\r\n", &["data .\\r\\n..a\\r\\nb\\r\\n"])]
    #[case::a_dot_in_the_middle(b"a.\r\nb.c\r\n.\r\n", &["data a.\\r\\nb.c\\r\\n"])]
    #[case::a_bare_lf_ends_nothing(b"a\n.\nb\r\n.\r\n", &["data a\\n.\\nb\\r\\n"])]
    #[case::nor_half_a_bare_one(b"a\n.\r\nb\r\n.\r\n", &["data a\\n.\\r\\nb\\r\\n"])]
    #[case::nor_the_other_half(b"a\r\n.\nb\r\n.\r\n", &["data a\\r\\n\\nb\\r\\n"])]
    #[case::nor_a_bare_cr(b"a\r.\rb\r\n.\r\n", &["data a\\r.\\rb\\r\\n"])]
    #[case::nor_a_bare_cr_behind_the_dot(b"a\r\n.\rb\r\n.\r\n", &["data a\\r\\n\\rb\\r\\n"])]
    #[case::many_crs(b"a\r\r\r\n.\r\n", &["data a\\r\\r\\r\\n"])]
    #[case::not_yet(b"a\r\n.\r", &["unfinished a\\r\\n"])]
    #[case::data_has_no_lines_that_are_too_long(b"123456789012345\r\n.\r\nx\r\n", &["data 123456789012345\\r\\n", "line x"])]
    fn data_ends_with_a_dot(#[case] text: &[u8], #[case] expected: &[&str]) {
        let text = [b"DATA\r\n", text].concat();
        assert_eq!(pieces(8, &text, b"DATA"), expected);
    }
}
