//! Chapter 4, the first step: a client that hears two servers at once.
//!
//! Chapter 1's client could only hear one: while it waits for this one in `read`, the other may say
//! what it likes. Here `select` waits for both, and tells who may be read.
//! Lines that can wait say so, in a comment that begins `waits:`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::select::{FdSet, select};

const HELP: &str = "\
ch04-two [ADDRESS ADDRESS]

Fetches / from two servers at the same time, and says when each of them has finished.
Without arguments it asks 127.0.0.1:7001 and 127.0.0.1:7011.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["-h" | "--help"] => {
            let _ = writeln!(io::stdout(), "{HELP}");
            return ExitCode::SUCCESS;
        }
        [] => ["127.0.0.1:7001", "127.0.0.1:7011"],
        [one, other] => [one, other],
        _ => return complain(2, "give two ADDRESSes, such as 127.0.0.1:7001; see --help"),
    };
    let mut servers = Vec::new();
    for word in words {
        let Ok(address) = word.parse() else {
            return complain(2, &format!("{word:?} is no ADDRESS such as 127.0.0.1:7001"));
        };
        match Server::ask(address) {
            Ok(server) => servers.push(server),
            Err(error) => return complain(1, &format!("{address}: {error}")),
        }
    }
    match hear_all(servers) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(1, &error.to_string()),
    }
}

fn complain(status: u8, message: &str) -> ExitCode {
    eprintln!("ch04-two: {message}");
    ExitCode::from(status)
}

// ANCHOR: loop
/// Hears them all, in whatever order they speak, until each has
/// finished.
fn hear_all(mut servers: Vec<Server>) -> io::Result<()> {
    while !servers.is_empty() {
        let mut readable = FdSet::new();
        for server in &servers {
            readable.insert(server.socket.as_fd());
        }
        // waits: until one of them has something for us, or hangs up
        match select(None, &mut readable, None, None, None) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue, // a signal came: ask again
            Err(error) => return Err(error.into()),
        }
        let is_ready = |server: &Server| readable.contains(server.socket.as_fd());
        let ready: Vec<bool> = servers.iter().map(is_ready).collect();
        let mut ready = ready.into_iter();
        servers.retain_mut(|server| ready.next() != Some(true) || server.goes_on());
    }
    Ok(())
}
// ANCHOR_END: loop

/// A server that was asked, and what it has said so far.
struct Server {
    address: SocketAddr,
    socket: TcpStream,
    asked: Instant,
    reads: usize,
    bytes: usize,
}

impl Server {
    fn ask(address: SocketAddr) -> io::Result<Self> {
        let mut socket = TcpStream::connect(address)?; // waits: until its kernel has answered
        let request = format!("GET / HTTP/1.0\r\nHost: {address}\r\n\r\n");
        socket.write_all(request.as_bytes())?; // waits: until the kernel has room
        println!("{address}: asked");
        Ok(Self { address, socket, asked: Instant::now(), reads: 0, bytes: 0 })
    }

    // ANCHOR: read
    /// Reads once: it has something for us, so this won't wait. A second
    /// read might.
    fn goes_on(&mut self) -> bool {
        let mut piece = [0; 4096];
        let end = match self.socket.read(&mut piece) {
            Ok(0) => "the end".to_owned(),
            Ok(count) => {
                self.reads += 1;
                self.bytes += count;
                return true;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return true,
            Err(error) => error.to_string(),
        };
        let after = self.asked.elapsed().as_secs_f64() * 1e3;
        let (address, bytes, reads) = (self.address, self.bytes, self.reads);
        println!("{address}: {end} after {after:.1} ms; {bytes} bytes, reads: {reads}");
        false
    }
    // ANCHOR_END: read
}
