//! How much slower the lens makes a chapter's server: what `book/figures/lens-cost.txt` says, which the
//! book and `cargo lens --help` show. `just cost` measures and writes it anew.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use visitors::chapters;

/// Requests in a round.
const REQUESTS: u32 = 1000;
/// Rounds. In each, every way has its turn: a busy moment of the machine meets all of them.
const ROUNDS: usize = 7;

fn main() -> Result<(), String> {
    let chapter = chapters::find(&chapters::root(), "2")?;
    let server = chapters::build(&chapter)?;
    let lens = lens_beside_us()?;
    let (lens, server) = (lens.display().to_string(), server.display().to_string());
    let ways: [(&str, Vec<&str>); 4] = [
        ("by itself", vec![]),
        ("under the lens", vec![&lens, "--quiet", "--"]),
        ("under the lens, with --every-call", vec![&lens, "--quiet", "--every-call", "--"]),
        ("under strace -f -T", vec!["strace", "-f", "-T", "-o", "/dev/null"]),
    ];
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        for ((name, way), times) in ways.iter().zip(&mut times) {
            let time = round(way, &server).map_err(|error| format!("{name}: {error}"))?;
            times.push(time);
        }
    }
    let mut text = format!(
        "Time for a request to chapter 2's server, one after the other, median of {ROUNDS}\n\
         rounds of {REQUESTS}:\n"
    );
    let medians = times.map(median);
    for ((name, _), time) in ways.iter().zip(medians) {
        let (ms, factor) =
            (time.as_secs_f64() * 1000.0, time.as_secs_f64() / medians[0].as_secs_f64());
        let _ = writeln!(text, "  {name:36} {ms:5.2} ms   {factor:4.1} times");
    }
    print!("{text}");
    let file = chapters::root().join("book/figures/lens-cost.txt");
    std::fs::write(&file, text).map_err(|error| format!("can't write {}: {error}", file.display()))
}

/// This program lies in `examples`, beside the lens.
fn lens_beside_us() -> Result<std::path::PathBuf, String> {
    let ourselves = std::env::current_exe().map_err(|error| error.to_string())?;
    let lens = ourselves.parent().and_then(Path::parent).map(|folder| folder.join("lens"));
    lens.filter(|lens| lens.exists())
        .ok_or_else(|| "build the lens first: cargo build -p lens".to_owned())
}

/// The time for a request.
fn round(way: &[&str], server: &str) -> io::Result<Duration> {
    let command = [way, &[server, "127.0.0.1:0"]].concat();
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let address = address(&mut child)?;
    // The first ones warm it up.
    (0..REQUESTS / 10).try_for_each(|_| request(address))?;
    let began = Instant::now();
    (0..REQUESTS).try_for_each(|_| request(address))?;
    let time = began.elapsed() / REQUESTS;
    // To the server itself as well: strace passes nothing on.
    killpg(Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX)), Signal::SIGTERM)?;
    child.wait()?;
    Ok(time)
}

fn address(child: &mut Child) -> io::Result<SocketAddr> {
    let mut line = String::new();
    if let Some(stdout) = &mut child.stdout {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    let address = line.trim().strip_prefix("listening on ").and_then(|text| text.parse().ok());
    address.ok_or_else(|| io::Error::other(format!("it says {line:?}, and no address")))
}

fn request(address: SocketAddr) -> io::Result<()> {
    let mut socket = TcpStream::connect(address)?;
    socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    if !answer.ends_with(b"Served by chapter 2.\n") {
        return Err(io::Error::other("the answer isn't whole"));
    }
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
