//! What a server of this book answers.

use std::io;

use crate::answer::Response;
use crate::events::Events;
use crate::files::Files;
use crate::folder::Folder;
use crate::metrics::{self, AllCounters};
use crate::routes::Routes;
use crate::{live, page};

/// Where the server's numbers are told.
const LIVE: &str = "/live";

/// What a server of this book answers: a few things of its own, and a folder, or without one the
/// page of its chapter.
///
/// # Errors
/// When the folder can't be opened.
pub fn routes(chapter: u32, folder: Option<&Folder>, all: &AllCounters) -> io::Result<Routes> {
    // ANCHOR: routes
    let mut routes = Routes::new();
    routes.get("/hello", |_, _| Response::text("Hello, World!"));
    routes.post("/echo", |_, request| {
        let content_type = request.head.field("content-type").unwrap_or("application/octet-stream");
        Response::made(content_type.to_owned(), request.body)
    });
    // ANCHOR_END: routes
    let counters = AllCounters::clone(all);
    routes.get("/metrics", move |_, _| {
        Response::made("text/plain; version=0.0.4; charset=utf-8", metrics::text(&counters))
    });
    live::live(&mut routes, LIVE, AllCounters::clone(all), Events::named(LIVE));
    match folder {
        Some(folder) => {
            // ANCHOR: files
            let files = Files::of(folder)?.marked("Server-Timing", "live");
            routes.get("/{path...}", move |context, request| files.answer(context, request));
            // ANCHOR_END: files
        }
        None => {
            routes.get("/", move |_, _| page::small(chapter));
            routes.get("/large", |_, _| page::large());
        }
    }
    Ok(routes)
}
