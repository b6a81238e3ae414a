//! Serves the book, with the server that the book ends with.
//!
//! Three threads. This one is the server's loop, and never waits for anything else than its
//! visitors: whatever takes time is done by another, which puts its result into a mailbox. One
//! thread hears of changes to files ([`changes`]), one builds the book again ([`builder`]).

mod builder;
mod changes;
mod door;
mod pages;

use std::cell::{OnceCell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use ch07_callbacks::EventLoop;
use ch07_callbacks::program::say;
use ch09_timers::{Clock, Timers, signals};
use ch11_http_server::metrics::{AllCounters, Counters};
use ch11_http_server::{Events, Routes, Server, Settings, live, mailbox};
use nix::sys::signal::Signal::{SIGHUP, SIGINT, SIGTERM};
use visitors::tell;

use self::builder::{Builder, Built};
use self::changes::Changes;
use self::pages::Pages;
use crate::open::open;
use crate::repo::Repo;

/// Enough for a browser or ten, and fewer than the descriptors that a process may have.
const CONNECTIONS: usize = 512;
/// For what was begun when it's told to end. Nobody at the keyboard waits longer for a prompt.
const GRACE: Duration = Duration::from_secs(2);

/// Serves the book until Ctrl-C or SIGTERM, and builds it again at each change. With `with_browser`,
/// opens it in the reader's.
///
/// # Errors
/// If it can't be built at first, or there is no address to serve it at.
pub fn serve(repo: &Repo, address: SocketAddr, with_browser: bool) -> Result<()> {
    let mut event_loop = ch08_epoll::event_loop()?;
    let stops: Rc<OnceCell<Server>> = Rc::default();
    // Before there are threads, and before there is anything to be put away.
    on_the_end(&mut event_loop, Rc::clone(&stops))?;

    let folder = tempfile::tempdir().context("there is no room for the book's pages")?;
    // Before the book is read: what changes meanwhile isn't missed.
    let watched = Changes::watch(repo);
    let mut builder = Builder::new(repo, folder.path());
    let pages = Rc::new(RefCell::new(Pages::of(&builder.build()?)?));

    let listener = door::listen(address)?;
    let url = format!("http://{}/", listener.local_addr()?);
    let events = Events::new();
    let counters: Arc<Counters> = Arc::default();
    let routes = routes(&pages, &events, AllCounters::from([Arc::clone(&counters)]));
    let settings =
        Settings { max_connections: CONNECTIONS, shutdown_timeout: GRACE, ..Settings::USUAL };
    let timers = Timers::start(&mut event_loop, Clock::system());
    let server =
        Server::start_with(&mut event_loop, timers, listener, settings, routes, counters, None)?;
    stops.get_or_init(|| server);

    // Whoever doesn't read this may have it open already.
    tell!("the book is at {url}");
    if with_browser {
        in_the_browser(url);
    }
    match watched {
        Ok((watcher, changes)) => {
            let build = build_again(&mut event_loop, builder, changes, pages, events)?;
            say("A change to it is shown at once. Ctrl-C ends it.");
            event_loop.run()?;
            // With it end the changes, and so the thread that waits for them.
            drop(watcher);
            // waits: until a build that is under way is done: its files are to be put away
            let _ = build.join();
        }
        Err(error) => {
            say(&format!("A change to it won't be shown: {error}. Ctrl-C ends it."));
            event_loop.run()?;
        }
    }
    Ok(())
}

fn on_the_end(event_loop: &mut EventLoop, server: Rc<OnceCell<Server>>) -> io::Result<()> {
    signals::on_signals(event_loop, &[SIGINT, SIGTERM, SIGHUP], move |event_loop, _| {
        if let Some(server) = server.get() {
            server.stop(event_loop, EventLoop::stop);
        }
    })?;
    Ok(())
}

fn routes(pages: &Rc<RefCell<Pages>>, events: &Events, all: AllCounters) -> Routes {
    let mut routes = Routes::new();
    live::live(&mut routes, "/live", all, events.clone());
    let pages = Rc::clone(pages);
    routes.get("/{path...}", move |context, request| pages.borrow().answer(context, request));
    routes
}

/// Starts the thread that builds. What it has built comes to the loop, which serves that from then
/// on, and tells whoever has a page open.
fn build_again(
    event_loop: &mut EventLoop,
    mut builder: Builder,
    changes: Changes,
    pages: Rc<RefCell<Pages>>,
    events: Events,
) -> Result<thread::JoinHandle<()>> {
    let (_, to_loop) =
        mailbox(event_loop, move |event_loop, built: Built| match Pages::of(&built) {
            Ok(new) => {
                *pages.borrow_mut() = new;
                events.send(event_loop, "reload", &built.mark);
            }
            Err(error) => say(&format!("{}: {error}", built.folder.display())),
        })?;
    let work = move || {
        // waits: until something changes
        while let Some(changed) = changes.next(|path| builder.reads(path)) {
            if let Some(built) = builder.build_after(&changed) {
                to_loop.send(built);
            }
        }
    };
    Ok(thread::Builder::new().name("builder".to_owned()).spawn(work)?)
}

fn in_the_browser(url: String) {
    thread::spawn(move || {
        if let Err(error) = open(&url) {
            say(&error.to_string());
        }
    });
}
