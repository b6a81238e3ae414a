//! The book's pictures: SVG that stands in the page itself, and so can follow the theme.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

use crate::fault::Fault;
use crate::html;
use crate::includes::Page;
use crate::markdown::Markdown;

static OPENING: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"<svg[\s>]").expect("the expression for <svg> is right"));

static TITLE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"<title[^>]*>\s*[^<\s]").expect("the expression for <title> is right")
});

static DESCRIPTION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"<desc[^>]*>\s*[^<\s]").expect("the expression for <desc> is right")
});

/// Where each id of a picture stands. They must be unique in the whole book: on the page that is
/// made for printing all pictures stand together, and `url(#id)` takes the first.
pub type Ids = HashMap<String, String>;

/// Checks the pictures of one page.
pub fn check(page: &Page, markdown: &Markdown, ids: &mut Ids, faults: &mut Vec<Fault>) {
    let mut checked = 0;
    for piece in &markdown.html {
        for opening in OPENING.find_iter(&page.text[piece.clone()]) {
            let start = piece.start + opening.start();
            if start < checked {
                continue; // a picture within the picture
            }
            let Some(length) = page.text[start..].find("</svg>") else {
                faults.push(page.fault(start, "this <svg> has no end: write </svg>"));
                return;
            };
            checked = start + length;
            check_one(page, start, checked, ids, faults);
        }
    }
}

fn check_one(page: &Page, start: usize, end: usize, ids: &mut Ids, faults: &mut Vec<Fault>) {
    let picture = &page.text[start..end];
    if !TITLE.is_match(picture) {
        let message = "this picture has no <title>: say in a few words what it shows";
        faults.push(page.fault(start, message));
    }
    if !DESCRIPTION.is_match(picture) {
        let message = "this picture has no <desc>: tell what it shows to who can't see it";
        faults.push(page.fault(start, message));
    }

    let mut offset = start;
    for line in picture.split_inclusive('\n') {
        if line.trim().is_empty() {
            let message = "a blank line in a picture ends it: the rest is taken for Markdown. \
                           Take the line out";
            faults.push(page.fault(offset, message));
        }
        offset += line.len();
    }

    for tag in html::tags(picture) {
        let Some(id) = tag.attribute("id") else {
            continue;
        };
        let offset = start + tag.offset;
        // The same file included twice stands at two lines of pages, so it's seen as well.
        let fault = page.fault(offset, "");
        let here = format!("{}:{}", fault.file, fault.line);
        if let Some(there) = ids.get(&id) {
            let message = format!(
                "the id `{id}` is in another picture too, at {there}: begin each id with its picture's name"
            );
            faults.push(page.fault(offset, &message));
        } else {
            ids.insert(id, here);
        }
    }
}
