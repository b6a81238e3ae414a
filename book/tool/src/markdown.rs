//! What the checks need to know of a page's Markdown, read with mdBook's own parser.

use std::ops::Range;
use std::sync::LazyLock;

use mdbook_markdown::pulldown_cmark::{Event, Tag, TagEnd};
use mdbook_markdown::{MarkdownOptions, new_cmark_parser};
use regex::Regex;

use crate::html;

pub use mdbook_markdown::MarkdownOptions as Options;

/// mdBook's own expression for a link to a page.
static TO_A_PAGE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(.*)\.md(#.*)?").expect("the expression for a link to a page is right")
});

static TWO_BRACKETS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\[[^\[\]]+\]\[[^\[\]]*\]").expect("the expression for two brackets is right")
});

/// A link or an image of a page.
pub struct Link {
    /// As the author wrote it.
    pub written: String,
    /// As mdBook renders it: `.html` for `.md`.
    pub rendered: String,
    pub offset: usize,
}

/// What stands in a page.
pub struct Markdown {
    pub links: Vec<Link>,
    /// Pieces of raw HTML. A blank line ends a piece.
    pub html: Vec<Range<usize>>,
    /// `[text][name]` where no line says what the name stands for.
    pub undefined: Vec<(usize, String)>,
}

/// Reads `text`, a page in which everything is included.
pub fn read(text: &str, options: &MarkdownOptions) -> Markdown {
    let mut markdown = Markdown { links: Vec::new(), html: Vec::new(), undefined: Vec::new() };
    let mut prose = Prose::default();
    let mut in_code = false;
    for (event, range) in new_cmark_parser(text, options).into_offset_iter() {
        match event {
            Event::Start(Tag::Link { dest_url, .. }) => {
                markdown.links.push(link(&dest_url, range.start, true));
            }
            Event::Start(Tag::Image { dest_url, .. }) => {
                markdown.links.push(link(&dest_url, range.start, false));
            }
            Event::Start(Tag::HtmlBlock) | Event::InlineHtml(_) => markdown.html.push(range),
            Event::Start(Tag::CodeBlock(_)) => in_code = true,
            Event::End(TagEnd::CodeBlock) => in_code = false,
            Event::Text(_) if !in_code => prose.push(text, range),
            _ => {}
        }
    }
    markdown.undefined = prose.undefined_links(text);

    for piece in &markdown.html {
        for tag in html::tags(&text[piece.clone()]) {
            if let Some(target) = tag.target() {
                let is_link = tag.name.eq_ignore_ascii_case("a");
                markdown.links.push(link(&target, piece.start + tag.offset, is_link));
            }
        }
    }
    markdown
}

fn link(written: &str, offset: usize, is_link: bool) -> Link {
    let has_scheme = written
        .split_once(':')
        .is_some_and(|(scheme, _)| scheme.chars().all(|c| c.is_ascii_alphanumeric()));
    let rendered = match TO_A_PAGE.captures(written) {
        // mdBook leaves images and links to other places alone.
        Some(page) if is_link && !has_scheme && !written.starts_with('#') => {
            let fragment = page.get(2).map_or("", |fragment| fragment.as_str());
            format!("{}.html{fragment}", &page[1])
        }
        _ => written.to_string(),
    };
    Link { written: written.to_string(), rendered, offset }
}

/// Runs of plain text. The parser cuts text at brackets: only runs that touch belong together.
#[derive(Default)]
struct Prose {
    runs: Vec<Range<usize>>,
}

impl Prose {
    fn push(&mut self, text: &str, range: Range<usize>) {
        match self.runs.last_mut() {
            Some(run) if text[run.end..range.start].is_empty() => run.end = range.end,
            _ => self.runs.push(range),
        }
    }

    fn undefined_links(&self, text: &str) -> Vec<(usize, String)> {
        let mut undefined = Vec::new();
        for run in &self.runs {
            for found in TWO_BRACKETS.find_iter(&text[run.clone()]) {
                undefined.push((run.start + found.start(), found.as_str().to_string()));
            }
        }
        undefined
    }
}
