//! Chapter 11's server: files, and a few answers of its own.

use std::io::{self, Write};
use std::net::SocketAddr;

use ch07_callbacks::program::{complain, make_room, parse_address, raise_limit, say};
use ch11_http_server::command_line::{ServerOptions, no_options};
use ch11_http_server::log::Opened;
use ch11_http_server::{Files, Folder, Workers, site, workers};
use clap::Parser;

const NAME: &str = "ch11-http-server";
/// Whose page it is.
const CHAPTER: u32 = 11;
/// Descriptors that aren't connections: files, listeners, the kernel's lists.
const OTHERS: usize = 128;

/// Serves a folder over HTTP, from one loop on each core.
///
/// Besides the files it answers GET /hello, POST /echo, GET /metrics (for Prometheus) and
/// GET /live (server-sent events). SIGTERM or Ctrl-C stops it when what was begun is done,
/// a second one at once. With --log, SIGHUP opens the log and the folder anew; without it,
/// SIGHUP (the terminal is closed) stops the server, too.
#[derive(Parser)]
#[command(name = NAME, version, about, long_about)]
struct Options {
    /// Where to listen: such as 127.0.0.1:7011, localhost:7011, 7011 alone, or :7011 for all
    /// addresses of this machine; port 0 means any free one
    #[arg(default_value = "127.0.0.1:7011", value_parser = parse_address)]
    address: SocketAddr,

    #[command(flatten)]
    server: ServerOptions,
}

fn main() {
    let options = Options::try_parse().unwrap_or_else(|error| no_options(NAME, &error));
    let Options { address, server: options } = options;
    let count = options.workers.unwrap_or_else(workers::cores);
    let most = raise_limit();
    make_room(most);
    let descriptors = usize::try_from(most).unwrap_or(usize::MAX);
    let room = descriptors - OTHERS.min(descriptors / 2);
    let settings = options.settings(count, room);
    let mut workers = Workers::bind(address, count)
        .unwrap_or_else(|error| complain(NAME, 1, &format!("can't listen on {address}: {error}")));
    let folder = options.root.as_ref().map(|root| {
        let folder = Folder::new(root);
        // Each loop opens it for itself. Whether it can be opened is said before.
        if let Err(error) = Files::of(&folder) {
            complain(NAME, 1, &format!("can't serve {}: {error}", root.display()));
        }
        folder
    });
    if let Some(folder) = folder.clone() {
        workers = workers.renewing(move || folder.renew());
    }
    let log = options.log.as_deref().map(|path| {
        Opened::open(path).unwrap_or_else(|error| {
            complain(NAME, 1, &format!("can't log to {}: {error}", path.display()))
        })
    });
    let address = workers.address();
    workers = workers.announcing(|| {
        if let Err(error) = address.and_then(|at| writeln!(io::stdout(), "listening on {at}")) {
            complain(NAME, 1, &format!("can't tell where it listens: {error}"));
        }
    });
    if let Some(wanted) = options.connections.filter(|wanted| *wanted > room) {
        say(&format!("{wanted} connections won't fit: this process may have {room} (ulimit -n)"));
    }
    match workers.run(settings, log, |all| site::routes(CHAPTER, folder.as_ref(), all)) {
        Ok(()) => say("stopped"),
        Err(error) => complain(NAME, 1, &format!("a loop failed: {error}")),
    }
}
