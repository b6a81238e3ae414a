//! What the programs of these chapters have in common besides the loop: an address
//! among their arguments, a listener, a log.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::exit;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The program's arguments. Asked for help, it gives that, and ends.
pub fn arguments(help: &str) -> Vec<String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "-h" || argument == "--help") {
        let _ = writeln!(io::stdout(), "{help}");
        exit(0);
    }
    arguments
}

/// The one argument, an ADDRESS; `default` without it. Says what is wrong, or what
/// `--help` should, and ends the program.
pub fn address_from_args(program: &str, help: &str, default: &str) -> SocketAddr {
    match arguments(help).as_slice() {
        [] => address(program, default),
        [word] => address(program, word),
        _ => complain(program, 2, &format!("give one ADDRESS, such as {default}; see --help")),
    }
}

/// What `word` says; or says what is wrong with it, and ends the program.
pub fn address(program: &str, word: &str) -> SocketAddr {
    word.parse().unwrap_or_else(|_| {
        let message = format!("{word:?} is no ADDRESS such as 127.0.0.1:7000; see --help");
        complain(program, 2, &message)
    })
}

/// Listens, and says where; or says why not, and ends the program.
pub fn listen_or_exit(program: &str, address: SocketAddr) -> TcpListener {
    let listener = TcpListener::bind(address).unwrap_or_else(|error| {
        complain(program, 1, &format!("can't listen on {address}: {error}"))
    });
    let address = listener.local_addr();
    let said = address.and_then(|address| writeln!(io::stdout(), "listening on {address}"));
    if let Err(error) = said {
        complain(program, 1, &format!("can't tell where it listens: {error}"));
    }
    listener
}

/// One line on stderr, and the end.
pub fn complain(program: &str, status: i32, message: &str) -> ! {
    let _ = writeln!(io::stderr(), "{program}: {message}");
    exit(status)
}

/// One line an event, with the visitor's number.
pub fn log(number: u64, event: &str) {
    say(&format!("visitor {number}: {event}"));
}

/// A line on stderr. A closed one ends no server.
pub fn say(line: &str) {
    // In one piece: stderr keeps nothing back, and would write each part by itself.
    // waits: if nobody takes what we say (a terminal that was stopped, a full pipe)
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Asks for as many descriptors as this process may have, and says how many that are.
/// Most Linux systems give it 1,024 at first.
pub fn raise_limit() -> u64 {
    let Ok((now, most)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 0 };
    // Where that is refused, what we have must do.
    setrlimit(Resource::RLIMIT_NOFILE, most, most).map_or(now, |()| most)
}
