//! The pages that every server in this book gives: a small one and a large one.

use ch07_callbacks::page::{LARGE, LINE};

use crate::answer::{Flow, Response};

/// The small page, of that chapter.
pub fn small(chapter: u32) -> Response {
    Response::made("text/plain; charset=utf-8", format!("{LINE}Served by chapter {chapter}.\n"))
}

// ANCHOR: large
/// How many lines are made at a time: some 36 KiB.
const LINES_A_PIECE: usize = 1024;

/// The large one: a stream, made as it's taken.
pub fn large() -> Response {
    let mut left = LARGE;
    let length = (left * LINE.len()) as u64;
    Response::stream("text/plain; charset=utf-8", move |_, to| {
        let lines = left.min(LINES_A_PIECE);
        left -= lines;
        to.extend_from_slice(LINE.repeat(lines).as_bytes());
        if left == 0 { Flow::End } else { Flow::More }
    })
    .of_length(length)
}
// ANCHOR_END: large
