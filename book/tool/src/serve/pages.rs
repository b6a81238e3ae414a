//! The pages of one build, as answers.

use std::io;

use ch11_http_server::{Context, Files, Request, Response};

use super::builder::Built;

/// The pages of one build. Each build has a folder of its own, and this holds it open: nobody is
/// ever sent a page that is being written.
pub struct Pages {
    files: Files,
    /// What a page's script knows its server by, and the build that the page is of.
    server_timing: String,
}

impl Pages {
    /// Those of `built`.
    ///
    /// # Errors
    /// If its folder can't be opened.
    pub fn of(built: &Built) -> io::Result<Self> {
        let server_timing = format!("live;desc={}", built.mark);
        Ok(Self { files: Files::new(&built.folder)?, server_timing })
    }

    /// The answer to a request for one of them, or for one that isn't there.
    pub fn answer(&self, context: &mut Context<'_>, request: &Request<'_>) -> Response {
        let mut response = self.files.answer(context, request);
        // On all of them, and not on the pages alone: a page's script asks for the head of its own
        // page, which may be gone by then.
        let ours = [
            ("Server-Timing", self.server_timing.as_str()),
            // Else a browser takes for good what it has for as long as it sees fit, and a link
            // leads to a page as it was before the last change.
            ("Cache-Control", "no-cache"),
        ];
        for (name, value) in ours {
            let added = response.fields.add(name, value);
            debug_assert!(added.is_ok(), "{name}: {value}");
        }
        response
    }
}
