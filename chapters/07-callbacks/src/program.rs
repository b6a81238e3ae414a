//! What the programs of these chapters have in common besides the loop: an address among their arguments,
//! a listener, a log.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::exit;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The one argument, an ADDRESS; `default` without it. Says what is wrong, or what `--help` should, and
/// ends the program.
pub fn address_from_args(program: &str, help: &str, default: &str) -> SocketAddr {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| default.to_owned());
    if address == "-h" || address == "--help" {
        println!("{help}");
        exit(0);
    }
    match address.parse() {
        Ok(address) if arguments.next().is_none() => address,
        _ => complain(program, 2, &format!("give one ADDRESS, such as {default}; see --help")),
    }
}

/// Listens, and says where; or says why not, and ends the program.
pub fn listen_or_exit(program: &str, address: SocketAddr) -> TcpListener {
    let listener = TcpListener::bind(address).and_then(|listener| {
        writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
        Ok(listener)
    });
    listener.unwrap_or_else(|error| {
        complain(program, 1, &format!("can't listen on {address}: {error}"))
    })
}

/// One line on stderr, and the end.
pub fn complain(program: &str, status: i32, message: &str) -> ! {
    let _ = writeln!(io::stderr(), "{program}: {message}");
    exit(status)
}

/// One line an event. A closed stderr ends no server.
pub fn log(number: u64, event: &str) {
    // In one piece: stderr keeps nothing back, and would write each part by itself.
    // waits: if nobody takes what we say (a terminal that was stopped, a full pipe)
    let _ = io::stderr().write_all(format!("visitor {number}: {event}\n").as_bytes());
}

/// Asks for as many descriptors as this process may have, and says how many that are. Most Linux systems
/// give it 1,024 at first.
pub fn raise_limit() -> u64 {
    let Ok((now, most)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 0 };
    // Where that is refused, what we have must do.
    setrlimit(Resource::RLIMIT_NOFILE, most, most).map_or(now, |()| most)
}
