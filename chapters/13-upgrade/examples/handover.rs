//! How long nobody is served while a server is replaced, with so many visitors who do nothing.
//!
//! `just handover` writes the result into the book. Each figure is the middle one of five upgrades. Beside the idle
//! visitors there is one who asks all the time: the last column is the longest that it has had to wait for an answer.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

const UPGRADES: usize = 5;
const VISITORS: [usize; 4] = [10, 100, 1000, 9000];
const REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nHost: here\r\n\r\n";

fn main() -> io::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let program = std::env::args().nth(1).ok_or_else(|| io::Error::other("give PROGRAM"))?;
    println!("visitors    nobody is served for    the longest wait");
    for count in VISITORS {
        if count as u64 + 100 > most {
            println!("{count:<12}more than this process may have (ulimit -n)");
            continue;
        }
        let mut server = Server::start(&program)?;
        let _idle: Vec<TcpStream> =
            (0..count).map(|_| visitor(server.address)).collect::<io::Result<_>>()?;
        let mut rounds = Vec::new();
        for _ in 0..UPGRADES {
            rounds.push(server.upgrade()?);
        }
        let [frozen, wait] = [0, 1].map(|column| {
            let mut all: Vec<f64> = rounds.iter().map(|round| [round.0, round.1][column]).collect();
            all.sort_unstable_by(f64::total_cmp);
            all[all.len() / 2]
        });
        println!("{count:<12}{:>13}{:>24}", format!("{frozen:.1} ms"), format!("{wait:.1} ms"));
    }
    Ok(())
}

/// One who has asked once, and stays.
fn visitor(address: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    ask(&mut stream)?;
    Ok(stream)
}

fn ask(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(REQUEST)?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"Hello, World!") {
        let mut piece = [0; 1024];
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Err(io::Error::other("it has hung up"));
        }
        answer.extend_from_slice(&piece[..count]);
    }
    Ok(())
}

struct Server {
    first: Child,
    address: SocketAddr,
    pid: i32,
    said: BufReader<File>,
}

impl Server {
    fn start(program: &str) -> io::Result<Self> {
        let (said, stderr) = io::pipe()?;
        let mut first = Command::new(program)
            .args(["127.0.0.1:0", "--idle", "600"])
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = first.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line.split_whitespace().nth(2).and_then(|word| word.parse().ok());
        let address = address.ok_or_else(|| io::Error::other("it doesn't listen"))?;
        let pid = i32::try_from(first.id()).map_err(io::Error::other)?;
        let said = BufReader::new(File::from(std::os::fd::OwnedFd::from(said)));
        Ok(Self { first, address, pid, said })
    }

    /// For how long nobody was served, and how long somebody had to wait, in ms.
    fn upgrade(&mut self) -> io::Result<(f64, f64)> {
        let ends = Arc::new(AtomicBool::new(false));
        let (told, address) = (Arc::clone(&ends), self.address);
        let asks = thread::spawn(move || -> io::Result<Duration> {
            let mut stream = visitor(address)?;
            let mut longest = Duration::ZERO;
            while !told.load(Ordering::Relaxed) {
                let began = Instant::now();
                ask(&mut stream)?;
                longest = longest.max(began.elapsed());
            }
            Ok(longest)
        });
        thread::sleep(Duration::from_millis(200));
        kill(Pid::from_raw(self.pid), Signal::SIGUSR2)?;
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        thread::sleep(Duration::from_millis(300));
        ends.store(true, Ordering::Relaxed);
        let longest = asks.join().map_err(|_| io::Error::other("it panicked"))??;
        let words: Vec<&str> = line.split([' ', '(', ')', '\n']).collect();
        let behind = |word| {
            let at = words.iter().rposition(|it| *it == word)?;
            words.get(at + 1)?.parse::<f64>().ok()
        };
        let (pid, frozen) = (behind("pid"), behind("in"));
        let (Some(pid), Some(frozen)) = (pid, frozen) else {
            return Err(io::Error::other(format!("it says {line:?}")));
        };
        self.pid = pid as i32;
        Ok((frozen, longest.as_secs_f64() * 1000.0))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // All generations are in the first one's group.
        if let Ok(group) = i32::try_from(self.first.id()) {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        let _ = self.first.wait();
    }
}
