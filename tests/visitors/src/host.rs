//! `cargo host`: a server with manners, to try a program on that is a visitor itself.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use clap::Parser;

use visitors::hosts::{Manner, serve};
use visitors::{tell, warn};

/// Serves programs that are visitors themselves, such as chapter 1's, until Ctrl-C.
#[derive(Debug, Parser)]
#[command(
    name = "cargo host",
    bin_name = "cargo host",
    after_help = "The hosts. Each but the silent one waits for a request, up to its blank line, and:\n  \
        quick     answers at once, and closes\n  \
        slow      answers in pieces, over about two seconds, and closes\n  \
        silent    accepts, and says nothing\n  \
        holding   answers at once, and holds the connection open, as real servers do\n  \
        rude      hangs up in the middle of the body\n  \
        headless  hangs up in the middle of the head"
)]
struct Arguments {
    /// Which one
    #[arg(value_name = "WHO", default_value_t = Manner::Quick)]
    who: Manner,

    /// Where it listens; with port 0, on any that is free
    #[arg(value_name = "ADDRESS", default_value = "127.0.0.1:7001")]
    address: SocketAddr,
}

fn main() -> ExitCode {
    let Arguments { who, address } = Arguments::parse();
    let listener = match listen(address) {
        Ok(listener) => listener,
        Err(reason) => {
            warn!("cargo host: {reason}");
            return ExitCode::FAILURE;
        }
    };
    serve(&listener, who, |number, words| {
        // Whoever closes the terminal doesn't end the host in the middle of an answer.
        warn!("visitor {number} {words}");
    });
    ExitCode::SUCCESS
}

/// Listens, and says where.
fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    let listener = TcpListener::bind(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{address} is taken: another program listens there. End that one, or give another \
             address, such as `cargo host quick 127.0.0.1:0` for a port that is free"
        ),
        _ => format!("can't listen on {address}: {error}"),
    })?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    // A reader that has gone away is no reason not to serve.
    tell!("listening on {address}");
    Ok(listener)
}
