//! How long nobody is served while a server is replaced, with so many visitors who do nothing.
//!
//! `just handover` writes the result into the book. Each figure is the middle one of five upgrades. Beside the idle
//! visitors there is one who asks all the time: the last column is the longest that it has had to wait for an answer.

mod replaced;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use replaced::Server;

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
        let mut server = Server::start(&program, &["127.0.0.1:0", "--idle", "600"])?;
        let _idle: Vec<TcpStream> =
            (0..count).map(|_| visitor(server.address)).collect::<io::Result<_>>()?;
        let mut rounds = Vec::new();
        for _ in 0..UPGRADES {
            rounds.push(upgrade(&mut server)?);
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

/// For how long nobody was served, and how long somebody had to wait, in ms.
fn upgrade(server: &mut Server) -> io::Result<(f64, f64)> {
    let ends = Arc::new(AtomicBool::new(false));
    let (told, address) = (Arc::clone(&ends), server.address);
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
    let frozen = server.replace()?;
    thread::sleep(Duration::from_millis(300));
    ends.store(true, Ordering::Relaxed);
    let longest = asks.join().map_err(|_| io::Error::other("it panicked"))??;
    Ok((frozen, longest.as_secs_f64() * 1000.0))
}
