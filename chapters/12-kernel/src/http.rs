//! Chapter 11's server as one service of many.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use ch07_callbacks::{EventLoop, Token};
use ch09_timers::Timers;
use ch11_http_server::conversation::wait::Wait;
use ch11_http_server::metrics::{AllCounters, Counters};
use ch11_http_server::{Events, Files, Folder, Response, Routes, Server, Settings, live, page};

use crate::presence::{Row, Service, Stopped};

/// Whose page it is.
const CHAPTER: u32 = 12;
/// In which field an answer says which generation has given it.
const GENERATION: &str = "Generation";
/// Where the server's numbers are told.
const LIVE: &str = "/live";

/// A server of HTTP, in a loop that has others, too.
pub struct Http(Server);

impl Http {
    /// Serves `files`, or without them the page of this book, to all who come to `listener`;
    /// and GET /live, as chapter 11 does. With a generation, each answer says it.
    ///
    /// # Errors
    /// When the listener can't be told what it must know.
    pub fn start(
        event_loop: &mut EventLoop,
        timers: Timers,
        listener: TcpListener,
        files: Option<Files>,
        settings: Settings,
        generation: Option<u64>,
    ) -> io::Result<Self> {
        let counters: Arc<Counters> = Arc::default();
        let all: AllCounters = Arc::new([Arc::clone(&counters)]);
        let mut routes = Routes::new();
        live::live(&mut routes, LIVE, all, Events::named(LIVE));
        routes.get("/hello", |_, _| Response::text("Hello, World!"));
        if let Some(files) = files {
            routes.get("/{path...}", move |context, request| files.answer(context, request));
        } else {
            routes.get("/", |_, _| page::small(CHAPTER));
            routes.get("/large", |_, _| page::large());
        }
        if let Some(generation) = generation {
            routes = routes.marked(GENERATION, generation.to_string());
        }
        let server =
            Server::start_with(event_loop, timers, listener, settings, routes, counters, None)?;
        Ok(Self(server))
    }

    /// The server itself.
    pub fn server(&self) -> &Server {
        &self.0
    }
}

/// The files of a folder.
///
/// # Errors
/// When it isn't one, or can't be opened.
pub fn files(root: &Path) -> io::Result<Files> {
    Files::of(&Folder::new(root))
}

impl Service for Http {
    fn rows(&self, event_loop: &EventLoop) -> Vec<Row> {
        let row = |(token, from, wait): (Token, SocketAddr, Wait)| Row {
            token,
            protocol: "http",
            from,
            waits_for: words(wait).into(),
        };
        self.0.visitors(event_loop).into_iter().map(row).collect()
    }

    fn stop(&self, event_loop: &mut EventLoop, stopped: Stopped) {
        self.0.stop(event_loop, stopped);
    }
}

/// What completes "it waits for".
fn words(wait: Wait) -> &'static str {
    match wait {
        Wait::Idle => "a request",
        Wait::Head => "the rest of a request",
        Wait::Body => "more of a body",
        Wait::Handler => "an answer",
        Wait::Send => "it to read",
        Wait::Stream => "something to tell",
        Wait::Linger => "it to hang up",
        Wait::Nothing => "its turn",
    }
}
