//! Addresses, as an envelope has them (RFC 5321, section 4.1.2).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The longest path, in bytes, with its brackets (RFC 5321, section 4.5.3.1.3).
pub const LONGEST_PATH: usize = 256;

/// An address: visible ASCII, and blanks inside of quotes. Nothing in it can end a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// One without brackets. None: that is none.
    pub fn of(address: &str) -> Option<Self> {
        let bracketed = format!("<{address}>");
        path(&bracketed).and_then(|(path, behind)| behind.is_empty().then_some(path))
    }

    /// Without its brackets. Empty: the null sender, to whom nobody answers.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_null(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.0)
    }
}

/// Takes a path off the front of `text`, and gives what is behind it too. None: there is none.
///
/// A source route is read and forgotten, as section 3.6.1 has it.
pub fn path(text: &str) -> Option<(Path, &str)> {
    let inside = text.strip_prefix('<')?;
    if let Some(behind) = inside.strip_prefix('>') {
        return Some((Path::default(), behind));
    }
    let mailbox = behind_route(inside)?;
    let behind_local = local_part(mailbox)?;
    let is_postmaster =
        mailbox.strip_suffix(behind_local).is_some_and(|it| it.eq_ignore_ascii_case("postmaster"));
    let end = match behind_local.strip_prefix('@') {
        Some(text) => domain(text)?,
        // The one who can be written to at any server there is (section 4.5.1).
        None if is_postmaster => behind_local,
        None => return None,
    };
    let behind = end.strip_prefix('>')?;
    let is_short = text.len() - behind.len() <= LONGEST_PATH;
    let mailbox = mailbox.strip_suffix(end).filter(|_| is_short)?;
    Some((Path(mailbox.to_owned()), behind))
}

/// What is behind `@one.example,@two.example:`.
fn behind_route(text: &str) -> Option<&str> {
    let Some(mut rest) = text.strip_prefix('@') else { return Some(text) };
    loop {
        rest = domain(rest)?;
        if let Some(mailbox) = rest.strip_prefix(':') {
            return Some(mailbox);
        }
        rest = rest.strip_prefix(",@")?;
    }
}

/// What is behind it: words with dots between them, or anything in quotes.
fn local_part(text: &str) -> Option<&str> {
    match text.strip_prefix('"') {
        Some(quoted) => behind_quotes(quoted),
        None => dotted(text, |word| behind_some(word, is_atext)),
    }
}

fn behind_quotes(text: &str) -> Option<&str> {
    let mut letters = text.chars();
    loop {
        match letters.next()? {
            '"' => return Some(letters.as_str()),
            '\\' => letters.next().filter(|letter| is_printable(*letter)).map(drop)?,
            letter if is_printable(letter) => {}
            _ => return None,
        }
    }
}

/// What is behind a name, or behind an address in brackets.
fn domain(text: &str) -> Option<&str> {
    let Some(literal) = text.strip_prefix('[') else { return dotted(text, behind_label) };
    let (address, behind) = literal.split_once(']')?;
    let is_address = match address.split_once(':') {
        Some((tag, six)) if tag.eq_ignore_ascii_case("IPv6") => six.parse::<Ipv6Addr>().is_ok(),
        _ => address.parse::<Ipv4Addr>().is_ok(),
    };
    is_address.then_some(behind)
}

fn behind_label(text: &str) -> Option<&str> {
    // Underscores aren't allowed. But many a container has one in its name, and mail.
    let behind =
        behind_some(text, |letter| letter.is_ascii_alphanumeric() || "-_".contains(letter))?;
    let label = text.strip_suffix(behind)?;
    (!label.starts_with('-') && !label.ends_with('-')).then_some(behind)
}

/// What is behind one or more words, with dots between them.
fn dotted(text: &str, behind_word: impl Fn(&str) -> Option<&str>) -> Option<&str> {
    let mut rest = behind_word(text)?;
    while let Some(more) = rest.strip_prefix('.') {
        rest = behind_word(more)?;
    }
    Some(rest)
}

/// What is behind one or more of these.
fn behind_some(text: &str, is_one: impl Fn(char) -> bool) -> Option<&str> {
    let behind = text.trim_start_matches(is_one);
    (behind.len() < text.len()).then_some(behind)
}

/// RFC 5322, section 3.2.3.
fn is_atext(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(letter)
}

fn is_printable(letter: char) -> bool {
    letter == ' ' || letter.is_ascii_graphic()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::usual("<a@b.example>", "a@b.example")]
    #[case::null("<>", "")]
    #[case::marks("<a+b/c=d!e@x>", "a+b/c=d!e@x")]
    #[case::dots("<a.b.c@x.y.z>", "a.b.c@x.y.z")]
    #[case::postmaster("<PostMaster>", "PostMaster")]
    #[case::route("<@one.example,@[127.0.0.1]:a@b>", "a@b")]
    #[case::routed_postmaster("<@one.example:postmaster>", "postmaster")]
    #[case::quoted(r#"<"a b"@c>"#, r#""a b"@c"#)]
    #[case::quoted_marks(r#"<"a>@\"<,:"@c>"#, r#""a>@\"<,:"@c"#)]
    #[case::nothing_in_quotes(r#"<""@c>"#, r#"""@c"#)]
    #[case::literal("<a@[192.0.2.1]>", "a@[192.0.2.1]")]
    #[case::literal_of_the_sixth_version("<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]")]
    #[case::underscore("<root@my_service>", "root@my_service")]
    #[case::a_local_part_of_65(
        "<aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@b>",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@b"
    )]
    fn a_path_is_read(#[case] text: &str, #[case] address: &str) {
        let with_more = format!("{text} SIZE=1");
        assert_eq!(path(&with_more), Some((Path(address.to_owned()), " SIZE=1")));
        // Written down without its brackets, it's the same one.
        assert_eq!(Path::of(address), Some(Path(address.to_owned())));
    }

    #[rstest]
    #[case::nothing("")]
    #[case::no_brackets("a@b")]
    #[case::one_bracket("<a@b")]
    #[case::a_name("<root>")]
    #[case::no_local_part("<@b>")]
    #[case::no_domain("<a@>")]
    #[case::dot_first("<.a@b>")]
    #[case::dot_last("<a.@b>")]
    #[case::two_dots("<a..b@c>")]
    #[case::two_dots_in_the_domain("<a@b..c>")]
    #[case::dot_behind_the_domain("<a@b.>")]
    #[case::hyphen_first("<a@-b>")]
    #[case::hyphen_last("<a@b-.c>")]
    #[case::blank("<a b@c>")]
    #[case::open_quotes(r#"<"a@b>"#)]
    #[case::backslash_at_the_end(r#"<"a\"#)]
    #[case::tab_in_quotes("<\"a\tb\"@c>")]
    #[case::no_address("<a@[300.0.0.1]>")]
    #[case::sixth_version_without_its_tag("<a@[::1]>")]
    #[case::open_literal("<a@[127.0.0.1>")]
    #[case::route_without_a_mailbox("<@one.example:>")]
    #[case::route_without_an_end("<@one.example,a@b>")]
    #[case::two("<a@b@c>")]
    #[case::other_letters("<\u{e9}@b>")]
    #[case::other_letters_in_the_domain("<a@\u{e9}>")]
    fn what_is_no_path_is_none(#[case] text: &str) {
        assert_eq!(path(text), None);
    }

    #[test]
    fn a_path_has_256_bytes_at_most() {
        let of = |length: usize| format!("<{}@b>", "a".repeat(length - 4));
        assert!(path(&of(LONGEST_PATH)).is_some());
        assert_eq!(path(&of(LONGEST_PATH + 1)), None);
    }
}
