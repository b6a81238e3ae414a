//! What a second loop buys: `cargo run --release -p ch11-http-server --example workers`.
//!
//! A page that takes a tenth of a millisecond to make, asked for over and over by sixteen
//! visitors in this process, for which that is next to nothing. One loop, then two, in
//! turns.

use std::env;
use std::hint::black_box;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ch11_http_server::{Response, Routes, Settings, Workers};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const VISITORS: usize = 16;
const ROUNDS: usize = 3;
const EACH: Duration = Duration::from_secs(2);
const WORK: Duration = Duration::from_micros(100);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [word, count] = arguments.as_slice()
        && word == "serve"
    {
        return serve(count.parse().map_err(io::Error::other)?);
    }
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (loops, rates) in (1..).zip(&mut rates) {
            rates.push(rate_with(loops)?);
        }
    }
    let [one, two] = rates.map(median);
    println!("{VISITORS} visitors, a page of {WORK:?} of work, {ROUNDS} rounds of {EACH:?}");
    println!("cores          {:>8}", thread::available_parallelism()?);
    println!("one loop       {one:>8.0} requests a second");
    println!("two loops      {two:>8.0} requests a second");
    println!("two over one   {:>8.2}", two / one);
    Ok(())
}

/// The server, in a process of its own: signals and all.
fn serve(loops: usize) -> io::Result<()> {
    let workers = Workers::bind(SocketAddr::from(([127, 0, 0, 1], 0)), loops)?;
    println!("{}", workers.address()?);
    workers.run(Settings::USUAL, None, |_| {
        let mut routes = Routes::new();
        routes.get("/", |_, _| {
            let began = Instant::now();
            while began.elapsed() < WORK {
                black_box(());
            }
            Response::text("There you are.")
        });
        Ok(routes)
    })
}

/// Requests a second.
fn rate_with(loops: usize) -> io::Result<f64> {
    let mut server = Command::new(env::current_exe()?)
        .args(["serve", &loops.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut line = String::new();
    if let Some(stdout) = server.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    let address: SocketAddr = line.trim().parse().map_err(io::Error::other)?;
    let answers = AtomicU64::new(0);
    let began = Instant::now();
    let asked: io::Result<()> = thread::scope(|scope| {
        let visitors: Vec<_> =
            (0..VISITORS).map(|_| scope.spawn(|| ask(address, began + EACH, &answers))).collect();
        visitors.into_iter().try_for_each(|visitor| {
            visitor.join().unwrap_or_else(|_| Err(io::Error::other("a visitor panicked")))
        })
    });
    let rate = answers.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    let pid = i32::try_from(server.id()).map_err(io::Error::other)?;
    kill(Pid::from_raw(pid), Signal::SIGTERM)?;
    server.wait()?;
    asked.map(|()| rate)
}

/// One after the other, on one connection.
fn ask(address: SocketAddr, until: Instant, answers: &AtomicU64) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    while Instant::now() < until {
        stream.write_all(REQUEST)?;
        answer.clear();
        while !answer.ends_with(b"There you are.") {
            match stream.read(&mut piece)? {
                0 => return Err(io::Error::other("it hung up")),
                count => answer.extend_from_slice(&piece[..count]),
            }
        }
        answers.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[ROUNDS / 2]
}
