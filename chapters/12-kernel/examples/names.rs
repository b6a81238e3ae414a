//! What an answer costs this name server, beside nsd, if that is installed: the same zone, the same questions, in turns.
//!
//! `just names` writes the result into the book. Each figure is the middle one of three rounds of about a second,
//! A B A B A B. The CPU time is the server's own, as Linux counts it in /proc/PID/task; the load is made by one
//! thread here, on 16 sockets, each with so many questions under way. It may well be the one who is busy, so look at the
//! CPU time first.

#[path = "../../11-http-server/examples/measuring/mod.rs"]
mod measuring;

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use measuring::{Running, free, installed, middle};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;

const ROUND: Duration = Duration::from_secs(1);
const ROUNDS: usize = 3;
const SOCKETS: usize = 16;
const NAMES: usize = 100;
/// How many questions are under way on each socket.
const UNDER_WAY: [usize; 2] = [1, 100];

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.as_slice() {
        [_, address, zone] => serve(address, zone),
        _ => measure(),
    }
}

/// The server, in a process of its own: its CPU time is to be seen.
fn serve(address: &str, zone: &str) -> io::Result<()> {
    use ch12_kernel::dns::{Options, Times, Zone, serve};
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let zone = Zone::from_file(Path::new(zone)).map_err(io::Error::other)?;
    let mut event_loop = ch08_epoll::event_loop()?;
    let timers = ch09_timers::Timers::start(&mut event_loop, ch09_timers::Clock::system());
    let (tcp, udp) = (std::net::TcpListener::bind(address)?, UdpSocket::bind(address)?);
    let times = Times::USUAL;
    let options = Options { zone: Some(zone), upstream: None, times, generation: None };
    serve(&mut event_loop, timers, udp, tcp, options)?;
    event_loop.run()
}

fn measure() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let zone = folder.path().join("zone");
    let mut text =
        "$ORIGIN example.test.\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 300\n@ NS ns\n\
                    ns A 192.0.2.53\n"
            .to_owned();
    for number in 0..NAMES {
        text.push_str(&format!("host{number} A 192.0.2.{}\n", number + 1));
    }
    fs::write(&zone, text)?;
    let mut servers = vec![ours(&zone)?];
    match installed("nsd") {
        Some(program) => servers.push(nsd(&program, folder.path(), &zone)?),
        None => println!("There is no nsd here: this server alone.\n"),
    }
    print!("{:<22}", "under way on each");
    for server in &servers {
        print!("{:>9}{:>12}", server.name, "CPU");
    }
    println!("{}", if servers.len() > 1 { "     nsd's CPU" } else { "" });
    for under_way in UNDER_WAY {
        let mut rounds = vec![Vec::new(); servers.len()];
        for _ in 0..ROUNDS {
            for (server, rounds) in servers.iter().zip(&mut rounds) {
                rounds.push(round(server, under_way)?);
            }
        }
        print!("{under_way:<22}");
        let mut costs = Vec::new();
        for rounds in &rounds {
            let rate = middle(rounds.iter().map(|round| round.rate));
            let cost = middle(rounds.iter().map(|round| round.cost));
            print!("{:>9}{:>12}", format!("{:.0}k/s", rate / 1000.0), format!("{cost:.2} µs"));
            costs.push(cost);
        }
        match costs.as_slice() {
            [ours, others] => println!("{:>14}", format!("× {:.1}", others / ours)),
            _ => println!(),
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Round {
    /// Answers a second.
    rate: f64,
    /// The server's CPU time for each, in µs.
    cost: f64,
}

/// A second of questions.
fn round(server: &Running, under_way: usize) -> io::Result<Round> {
    let mut load = Load::new(server.address)?;
    load.ask(under_way)?;
    let before = server.cpu_time();
    let began = Instant::now();
    let mut count = 0;
    while began.elapsed() < ROUND {
        count += load.turn()?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let cpu = (server.cpu_time() - before).as_secs_f64();
    Ok(Round { rate: count as f64 / seconds, cost: cpu * 1e6 / count as f64 })
}

/// Who asks: each answer is followed by another question.
struct Load {
    sockets: Vec<UdpSocket>,
    questions: Vec<Vec<u8>>,
    next: usize,
}

impl Load {
    fn new(server: SocketAddr) -> io::Result<Self> {
        let socket = |_| -> io::Result<UdpSocket> {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(server)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let sockets = (0..SOCKETS).map(socket).collect::<io::Result<_>>()?;
        let questions =
            (0..NAMES).map(|number| question(&format!("host{number}.example.test"))).collect();
        Ok(Self { sockets, questions, next: 0 })
    }

    fn ask(&mut self, count: usize) -> io::Result<()> {
        for place in 0..self.sockets.len() {
            for _ in 0..count {
                self.send(place)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, place: usize) -> io::Result<()> {
        self.next = self.next.wrapping_add(1);
        let number = (self.next as u16).to_be_bytes();
        let question = &mut self.questions[self.next % NAMES];
        question[..2].copy_from_slice(&number);
        self.sockets[place].send(question).map(drop)
    }

    /// Takes all answers that are there, and asks anew for each. How many there were.
    fn turn(&mut self) -> io::Result<u64> {
        let mut list: Vec<PollFd<'_>> = self
            .sockets
            .iter()
            .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
            .collect();
        // waits: until there is an answer
        if poll(&mut list, PollTimeout::from(1000_u16))? == 0 {
            return Err(io::Error::other("an answer was lost"));
        }
        let ready: Vec<bool> = list.iter().map(|entry| entry.any() == Some(true)).collect();
        let mut count = 0;
        for (place, _) in ready.iter().enumerate().filter(|(_, ready)| **ready) {
            let mut answer = [0; 512];
            loop {
                match self.sockets[place].recv(&mut answer) {
                    Ok(_) if answer[3] & 15 == 0 => count += 1,
                    Ok(_) => return Err(io::Error::other("that is no answer")),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
                self.send(place)?;
            }
        }
        Ok(count)
    }
}

/// For the address of a name (RFC 1035, section 4).
fn question(name: &str) -> Vec<u8> {
    let mut message = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

fn ours(zone: &Path) -> io::Result<Running> {
    let address = free()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(address.to_string()).arg(zone);
    Running::start("ours", command, address, || answers(address))
}

fn nsd(program: &Path, folder: &Path, zone: &Path) -> io::Result<Running> {
    let address = free()?;
    let (folder, zone, port) = (folder.display(), zone.display(), address.port());
    let config = format!(
        "server:\n ip-address: 127.0.0.1@{port}\n server-count: 1\n username: \"\"\n\
         \x20chroot: \"\"\n zonesdir: \"{folder}\"\n pidfile: \"{folder}/pid\"\n xfrdfile: \"\"\n\
         \x20zonelistfile: \"{folder}/list\"\n rrl-ratelimit: 0\nremote-control:\n\
         \x20control-enable: no\nzone:\n name: example.test\n zonefile: {zone}\n"
    );
    let path = PathBuf::from(format!("{folder}/nsd.conf"));
    fs::write(&path, config)?;
    let mut command = Command::new(program);
    command.arg("-d").arg("-c").arg(path);
    Running::start("nsd", command, address, || answers(address))
}

/// Whether it gives the address of a name of its zone.
fn answers(server: SocketAddr) -> bool {
    let ask = || -> io::Result<bool> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        socket.connect(server)?;
        socket.send(&question("host0.example.test"))?;
        let mut answer = [0; 512];
        socket.recv(&mut answer)?;
        Ok(answer[3] & 15 == 0)
    };
    ask().unwrap_or(false)
}
