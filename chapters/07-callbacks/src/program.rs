//! What the programs of these chapters have in common besides the loop: an address
//! among their arguments, a listener, a log.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::exit;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::close;

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
    parse_address(word).unwrap_or_else(|advice| {
        complain(program, 2, &format!("{word:?} is no ADDRESS: {advice}; see --help"))
    })
}

/// The address that `word` is. It may be `127.0.0.1:7000` or `[::1]:7000`, in full;
/// `localhost:7000`, which is 127.0.0.1; `:7000`, which is all addresses of this machine;
/// or `7000`, a port of 127.0.0.1.
///
/// # Errors
/// What to give instead, with examples.
pub fn parse_address(word: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = word.parse() {
        return Ok(address);
    }
    let (host, port) =
        word.rsplit_once(':').map_or((None, word), |(host, port)| (Some(host), port));
    let host = match host {
        None => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        Some("") => Some(all_of_this_machine()),
        // No other name: whoever looks names up may have to wait.
        Some(name) if name.eq_ignore_ascii_case("localhost") => Some(Ipv4Addr::LOCALHOST.into()),
        Some(_) => None,
    };
    // Rust would take a sign, too.
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| is_number);
    host.zip(port).map(SocketAddr::from).ok_or_else(|| {
        "give one such as 127.0.0.1:7000, localhost:7000, 7000, or :7000 for all of this \
         machine's"
            .to_owned()
    })
}

/// `::` is all addresses of both versions; on a machine without the sixth, `0.0.0.0` is all.
fn all_of_this_machine() -> IpAddr {
    let both = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    match UdpSocket::bind((both, 0)) {
        Ok(_) => both,
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    }
}

/// Listens, and says where; or says why not, and ends the program.
pub fn listen_or_exit(program: &str, address: SocketAddr) -> TcpListener {
    let listener = bind_or_exit(program, address);
    announce_or_exit(program, listener.local_addr());
    listener
}

/// Listens, or says why not, and ends the program.
pub fn bind_or_exit(program: &str, address: SocketAddr) -> TcpListener {
    TcpListener::bind(address).unwrap_or_else(|error| {
        complain(program, 1, &format!("can't listen on {address}: {error}"))
    })
}

/// Says where it listens: when all is ready, for whoever reads it may come, or send a signal.
pub fn announce_or_exit(program: &str, address: io::Result<SocketAddr>) {
    let said = address.and_then(|address| writeln!(io::stdout(), "listening on {address}"));
    if let Err(error) = said {
        complain(program, 1, &format!("can't tell where it listens: {error}"));
    }
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

/// Has the kernel make room for so many descriptors at once. It enlarges a process's table
/// whenever a power of two is passed. Where several threads share the table, whoever needs that
/// one descriptor more is made to wait, for milliseconds, until none of the others looks at the
/// old one. To be called before there are threads.
pub fn make_room(count: u64) {
    let last = i32::try_from(count.min(MOST_ROOM)).unwrap_or(i32::MAX) - 1;
    // If it can't be had, it's had bit by bit, as ever.
    if let Ok(descriptor) = fcntl(io::stderr(), FcntlArg::F_DUPFD_CLOEXEC(last)) {
        let _ = close(descriptor);
    }
}

/// Eight bytes of the kernel's memory for each.
const MOST_ROOM: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::in_full("127.0.0.1:7000", "127.0.0.1:7000")]
    #[case::of_the_sixth_version("[::1]:7000", "[::1]:7000")]
    #[case::all_of_the_fourth("0.0.0.0:7000", "0.0.0.0:7000")]
    #[case::any_free_port("127.0.0.1:0", "127.0.0.1:0")]
    #[case::a_name("localhost:7000", "127.0.0.1:7000")]
    #[case::a_name_in_capitals("LocalHost:7000", "127.0.0.1:7000")]
    #[case::a_port("7000", "127.0.0.1:7000")]
    #[case::the_last_port("65535", "127.0.0.1:65535")]
    #[case::any_port("0", "127.0.0.1:0")]
    fn an_address_is_understood(#[case] word: &str, #[case] expected: &str) {
        assert_eq!(parse_address(word), Ok(expected.parse().unwrap()));
    }

    #[test]
    fn a_colon_and_a_port_is_all_of_this_machine() {
        let address = parse_address(":7000").unwrap();
        assert!(address.ip().is_unspecified() && address.port() == 7000, "{address}");
    }

    #[rstest]
    #[case::nothing("")]
    #[case::no_port("127.0.0.1")]
    #[case::no_port_behind_its_colon("127.0.0.1:")]
    #[case::a_colon(":")]
    #[case::a_name_without_a_port("localhost")]
    #[case::another_name("example.com:80")]
    #[case::a_port_that_is_too_large("70000")]
    #[case::a_large_port_of_a_name("localhost:65536")]
    #[case::a_port_with_a_sign("+7000")]
    #[case::a_port_with_a_sign_behind_its_colon(":+7000")]
    #[case::a_port_below_none("-1")]
    #[case::with_a_blank(" 7000")]
    #[case::a_url("http://localhost:7000/")]
    #[case::brackets_that_are_missing("::1:7000")]
    #[case::letters("localhost:http")]
    fn what_is_no_address_gets_an_example(#[case] word: &str) {
        let advice = parse_address(word).expect_err("it's none");
        assert!(advice.contains("127.0.0.1:7000") && !advice.contains('\n'), "{advice}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn room_is_made_at_once() {
        let room = || -> u64 {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
            line.trim().parse().unwrap()
        };
        let most = raise_limit().min(3000);
        assert!(room() < most, "the test's own process has few");
        make_room(most);
        assert!(room() >= most, "{} is less than {most}", room());
    }
}
