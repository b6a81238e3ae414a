//! What a request says that it has already, and which part it wants (RFC 9110, sections
//! 13 and 14).

use std::borrow::Cow;
use std::ops::Range;
use std::time::SystemTime;

use ch10_http::Head;

/// What a request says of what its client has already, and which part it wants. (Not what it
/// prefers: [`Head::has_conditions`] knows these fields alone.)
#[derive(Clone, Debug, Default)]
pub struct Conditions<'a> {
    /// A list of tags, or `*`. On several lines it's still one list (RFC 9110, section
    /// 5.3), and put together here.
    pub if_match: Option<Cow<'a, str>>,
    pub if_none_match: Option<Cow<'a, str>>,
    pub if_modified_since: Option<&'a str>,
    pub if_unmodified_since: Option<&'a str>,
    pub if_range: Option<&'a str>,
    pub range: Option<&'a str>,
}

// ANCHOR: verdict
/// What becomes of a request for something that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 200: the whole.
    Whole,
    /// 206: these bytes of it.
    Part(Range<u64>),
    /// 304: the visitor has it.
    NotModified,
    /// 412: it isn't what the visitor thinks it is.
    Failed,
    /// 416: it has no such part.
    NoSuchPart,
}

/// What it is at present.
#[derive(Clone, Copy, Debug)]
pub struct Present<'a> {
    /// Its ETag, a strong one, with the quotes.
    pub tag: &'a str,
    /// When it was modified, in whole seconds: a date in HTTP has no more.
    pub modified: SystemTime,
    /// In bytes.
    pub length: u64,
}
// ANCHOR_END: verdict

impl<'a> Conditions<'a> {
    /// Those in a request. Of a field that is no list, and stands there twice, the first
    /// counts.
    pub fn of(head: &Head<'a>) -> Self {
        let mut conditions = Self::default();
        if !head.has_conditions {
            return conditions; // as a rule
        }
        for (name, value) in head.fields() {
            // One that isn't text can't be meant.
            let Ok(value) = std::str::from_utf8(value) else { continue };
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            let first = |place: &mut Option<&'a str>| _ = place.get_or_insert(value);
            match name.len() {
                5 if is("range") => first(&mut conditions.range),
                8 if is("if-range") => first(&mut conditions.if_range),
                8 if is("if-match") => add_to(&mut conditions.if_match, value),
                13 if is("if-none-match") => add_to(&mut conditions.if_none_match, value),
                17 if is("if-modified-since") => first(&mut conditions.if_modified_since),
                19 if is("if-unmodified-since") => first(&mut conditions.if_unmodified_since),
                _ => {}
            }
        }
        conditions
    }

    // ANCHOR: order
    /// What they make of `present`, in the order of RFC 9110, section
    /// 13.2.2.
    pub fn judge(&self, present: Present<'_>) -> Verdict {
        match (&self.if_match, self.if_unmodified_since.and_then(date)) {
            // A weak tag says "about the same", which isn't enough to be
            // sure.
            (Some(tags), _) if !is_among(tags, present.tag, false) => return Verdict::Failed,
            (None, Some(since)) if present.modified > since => return Verdict::Failed,
            _ => {}
        }
        match (&self.if_none_match, self.if_modified_since.and_then(date)) {
            (Some(tags), _) if is_among(tags, present.tag, true) => return Verdict::NotModified,
            (None, Some(since)) if present.modified <= since => return Verdict::NotModified,
            _ => {}
        }
        match self.range {
            // The rest of something else would make garbage.
            Some(range) if self.is_still(present) => part(range, present.length),
            _ => Verdict::Whole,
        }
    }
    // ANCHOR_END: order

    // ANCHOR: is_still
    /// Whether what the visitor has a part of is still the same.
    fn is_still(&self, present: Present<'_>) -> bool {
        match self.if_range {
            None => true,
            Some(tag) if tag.starts_with('"') => tag == present.tag,
            // Exactly this date. An earlier one may be that of an older file
            // which has taken its place.
            Some(word) => date(word) == Some(present.modified),
        }
    }
    // ANCHOR_END: is_still
}

fn add_to<'a>(list: &mut Option<Cow<'a, str>>, more: &'a str) {
    *list = Some(match list.take() {
        Some(list) => Cow::Owned(format!("{list}, {more}")),
        None => Cow::Borrowed(more),
    });
}

fn date(word: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(word).ok()
}

/// Whether a list of tags has this one. `weakly`: what is marked as about the same
/// counts.
fn is_among(list: &str, tag: &str, weakly: bool) -> bool {
    if list.trim() == "*" {
        return true;
    }
    // A tag may have a comma in it.
    let mut rest = list;
    while let Some(start) = rest.find('"') {
        let is_weak = rest[..start].ends_with("W/");
        let Some(end) = rest[start + 1..].find('"').map(|end| start + 1 + end) else {
            return false;
        };
        if rest[start..=end] == *tag && (weakly || !is_weak) {
            return true;
        }
        rest = &rest[end + 1..];
    }
    false
}

/// Which part a `Range` asks for (RFC 9110, section 14.1.2). What can't be understood
/// is as if it weren't there; so are several parts at once, which a server may decline.
fn part(range: &str, length: u64) -> Verdict {
    let unit = range.split_at_checked(6).filter(|(unit, _)| unit.eq_ignore_ascii_case("bytes="));
    let Some((first, last)) = unit.and_then(|(_, part)| part.trim().split_once('-')) else {
        return Verdict::Whole;
    };
    // An empty file has no parts: all of it is nothing, and 200 is always right (section
    // 14.2).
    if length == 0 {
        return Verdict::Whole;
    }
    let number = |word: &str| {
        let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        // One that is too large is beyond any end.
        is_number.then(|| word.parse().unwrap_or(u64::MAX))
    };
    let (start, end) = match (number(first), number(last)) {
        // From here to there, both included.
        (Some(first), Some(last)) if first <= last => (first, last.saturating_add(1)),
        // From here on.
        (Some(first), None) if last.is_empty() => (first, u64::MAX),
        // The last so many.
        (None, Some(count)) if first.is_empty() => (length.saturating_sub(count), length),
        _ => return Verdict::Whole,
    };
    match start < length.min(end) {
        true => Verdict::Part(start..end.min(length)),
        false => Verdict::NoSuchPart,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use ch10_http::{Event, Limits, Parser};

    use super::*;

    fn judge(conditions: Conditions<'_>) -> Verdict {
        let modified = UNIX_EPOCH + Duration::from_secs(784_111_777);
        conditions.judge(Present { tag: "\"a,b\"", modified, length: 10 })
    }

    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    #[test]
    fn parts() {
        let part = |range| judge(Conditions { range: Some(range), ..Conditions::default() });
        assert_eq!(part("bytes=0-0"), Verdict::Part(0..1));
        assert_eq!(part("bytes=2-"), Verdict::Part(2..10));
        assert_eq!(part("bytes=2-99"), Verdict::Part(2..10));
        assert_eq!(part("bytes=-3"), Verdict::Part(7..10));
        assert_eq!(part("bytes=-99"), Verdict::Part(0..10));
        assert_eq!(part("BYTES=9-9"), Verdict::Part(9..10));
        assert_eq!(part("bytes=9-99999999999999999999999"), Verdict::Part(9..10));
        for none in ["bytes=10-", "bytes=-0", "bytes=10-12", "bytes=99999999999999999999999-"] {
            assert_eq!(part(none), Verdict::NoSuchPart, "{none}");
        }
        for odd in
            ["bytes=", "bytes=-", "bytes=3-2", "bytes=+1-2", "bytes=0-1,3-4", "lines=0-1", "bytes"]
        {
            assert_eq!(part(odd), Verdict::Whole, "{odd}");
        }
    }

    #[test]
    fn nothing_has_no_parts() {
        for range in ["bytes=0-", "bytes=0-0", "bytes=-5", "bytes=-0", "bytes=7-9", "bytes=3-2"] {
            assert_eq!(part(range, 0), Verdict::Whole, "{range}");
            let conditions = Conditions { range: Some(range), ..Conditions::default() };
            let present = Present { tag: "\"e\"", modified: UNIX_EPOCH, length: 0 };
            assert_eq!(conditions.judge(present), Verdict::Whole, "{range}");
        }
    }

    #[test]
    fn what_the_visitor_has_already() {
        let none_match = |tags| {
            judge(Conditions {
                if_none_match: Some(Cow::Borrowed(tags)),
                // Not even looked at, beside a tag.
                if_modified_since: Some(LATER),
                ..Conditions::default()
            })
        };
        for same in ["\"a,b\"", "W/\"a,b\"", "\"x\", W/\"a,b\"", "*"] {
            assert_eq!(none_match(same), Verdict::NotModified, "{same}");
        }
        for other in ["\"a\"", "a,b", "\"a,b", ""] {
            assert_eq!(none_match(other), Verdict::Whole, "{other}");
        }
        let since =
            |date| judge(Conditions { if_modified_since: Some(date), ..Conditions::default() });
        assert_eq!(since(EARLIER), Verdict::Whole);
        assert_eq!(since(THEN), Verdict::NotModified);
        assert_eq!(since("yesterday"), Verdict::Whole);
    }

    #[test]
    fn what_the_visitor_takes_it_for() {
        let matches = |tags| {
            judge(Conditions { if_match: Some(Cow::Borrowed(tags)), ..Conditions::default() })
        };
        assert_eq!(matches("\"a,b\""), Verdict::Whole);
        assert_eq!(matches("*"), Verdict::Whole);
        assert_eq!(matches("W/\"a,b\""), Verdict::Failed);
        assert_eq!(matches("\"b\""), Verdict::Failed);
        let unmodified =
            |date| judge(Conditions { if_unmodified_since: Some(date), ..Conditions::default() });
        assert_eq!(unmodified(EARLIER), Verdict::Failed);
        assert_eq!(unmodified(THEN), Verdict::Whole);
    }

    #[test]
    fn a_list_on_several_lines_is_one_list() {
        let mut parser = Parser::new(Limits::USUAL);
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\"\r\nRange: bytes=0-0\r\n\
                        if-none-match: W/\"a,b\"\r\nRange: bytes=1-1\r\n\r\n";
        let Ok(Some((Event::Head(head), _))) = parser.next(request) else { panic!("no head") };
        let conditions = Conditions::of(&head);
        assert_eq!(conditions.if_none_match.as_deref(), Some("\"x\", W/\"a,b\""));
        assert_eq!(conditions.range, Some("bytes=0-0"));
        assert_eq!(judge(conditions), Verdict::NotModified);
    }

    #[test]
    fn a_part_only_of_the_same() {
        let if_range = |word| {
            let range = Some("bytes=0-0");
            judge(Conditions { if_range: Some(word), range, ..Conditions::default() })
        };
        assert_eq!(if_range("\"a,b\""), Verdict::Part(0..1));
        assert_eq!(if_range(THEN), Verdict::Part(0..1));
        for other in ["\"b\"", "W/\"a,b\"", EARLIER, LATER, "soon"] {
            assert_eq!(if_range(other), Verdict::Whole, "{other}");
        }
    }
}
