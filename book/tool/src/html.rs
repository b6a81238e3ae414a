//! Finds the tags in a piece of HTML, with their attributes.
//!
//! This is no HTML parser: it sees tags where mdBook writes them, and where a page has them
//! written by hand. Text can't be taken for a tag, because its `<` is written `&lt;`.

use std::sync::LazyLock;

use regex::Regex;

/// A comment, script or style is matched as a whole, so that no tag is seen within it.
static TAG: LazyLock<Regex> = LazyLock::new(|| {
    let regex = r#"(?x)
        <!-- (?s:.*?) -->
        | <script\b (?s:.*?) </script>
        | <style\b (?s:.*?) </style>
        | < ([a-zA-Z][a-zA-Z0-9:-]*) ( (?: \s+ | "[^"]*" | '[^']*' | [^\s"'>] )* ) >
    "#;
    Regex::new(regex).expect("the expression for a tag is right")
});

static ATTRIBUTE: LazyLock<Regex> = LazyLock::new(|| {
    let regex = r#"([^\s"'=/]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))"#;
    Regex::new(regex).expect("the expression for an attribute is right")
});

/// An opening tag.
pub struct Tag<'t> {
    pub name: &'t str,
    /// Where its `<` stands.
    pub offset: usize,
    attributes: &'t str,
}

/// All opening tags of `html`, in order.
pub fn tags(html: &str) -> impl Iterator<Item = Tag<'_>> {
    TAG.captures_iter(html).filter_map(|found| {
        let name = found.get(1)?;
        Some(Tag {
            name: name.as_str(),
            offset: name.start() - 1,
            attributes: found.get(2)?.as_str(),
        })
    })
}

impl Tag<'_> {
    /// The value of the attribute `name`.
    pub fn attribute(&self, name: &str) -> Option<String> {
        ATTRIBUTE
            .captures_iter(self.attributes)
            .find(|found| found[1].eq_ignore_ascii_case(name))
            .map(|found| {
                let value = found.get(2).or(found.get(3)).or(found.get(4));
                unescape(value.map_or("", |value| value.as_str()))
            })
    }

    /// What the tag points to: a page, a file, or a place.
    pub fn target(&self) -> Option<String> {
        ["href", "src", "xlink:href", "poster"].iter().find_map(|name| self.attribute(name))
    }
}

/// `text` with the entities that mdBook writes taken back. `&amp;` comes last: before the
/// others, it would turn `&amp;lt;` into `<`.
fn unescape(text: &str) -> String {
    text.replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&#x27;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(html: &str) -> Vec<String> {
        tags(html).filter_map(|tag| tag.target()).collect()
    }

    #[test]
    fn a_tag_over_two_lines_with_either_quote() {
        let html = "<a class='x'\n  href='a.html'>A</a> <IMG alt=\"1 > 0\" SRC=\"b.svg\">";
        assert_eq!(targets(html), ["a.html", "b.svg"]);
    }

    #[test]
    fn a_slash_in_an_unquoted_value_and_a_closed_tag() {
        assert_eq!(targets("<a href=x/y.html><img src=\"b.svg\"/>"), ["x/y.html", "b.svg"]);
    }

    #[test]
    fn no_tag_in_a_comment_a_script_or_text() {
        let html =
            "<!-- <a href=\"a\"> --><script>x = '<a href=\"b\">'</script>&lt;a href=\"c\"&gt;";
        assert_eq!(targets(html), Vec::<String>::new());
    }

    #[test]
    fn data_href_is_no_link() {
        assert_eq!(targets("<p data-href=\"a.html\">"), Vec::<String>::new());
    }

    #[test]
    fn entities_are_taken_back_once() {
        assert_eq!(targets("<a href=\"a?b&amp;c&amp;lt;\">"), ["a?b&c&lt;"]);
    }
}
