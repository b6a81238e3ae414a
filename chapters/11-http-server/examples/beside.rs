//! What this server costs beside nginx, if that is installed: one loop each, the same requests, in turns.
//!
//! `just beside` writes the result into the book. Each figure is the middle one of three rounds of about a
//! second, A B A B A B. The CPU time is the server's own, as Linux counts it in /proc/PID/task; the load is
//! made by one thread here, which asks on all connections before it reads the first answer. It may well be
//! the one who is busy, so look at the CPU time first: what a request costs says more than how many were made.

mod measuring;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ch11_http_server::{Files, Response, Routes, Settings, Workers};
use measuring::{PATIENCE, Running, free, installed, middle};

const ROUND: Duration = Duration::from_secs(1);
const ROUNDS: usize = 3;

/// What is asked.
struct Scenario {
    name: &'static str,
    path: &'static str,
    connections: usize,
    /// So many requests at once on each connection.
    deep: usize,
    /// A new connection for each request.
    anew: bool,
}

const SCENARIOS: [Scenario; 5] = [
    Scenario { name: "64 that stay", path: "/hello", connections: 64, deep: 1, anew: false },
    Scenario { name: "16 at once on each", path: "/hello", connections: 64, deep: 16, anew: false },
    Scenario { name: "a connection each", path: "/hello", connections: 64, deep: 1, anew: true },
    Scenario { name: "a file of 1 KiB", path: "/small", connections: 64, deep: 1, anew: false },
    Scenario { name: "a file of 10 MiB", path: "/large", connections: 4, deep: 1, anew: false },
];

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.as_slice() {
        [_, address, root] => serve(address, root),
        _ => measure(),
    }
}

/// The server, in a process of its own: its CPU time is to be seen.
fn serve(address: &str, root: &str) -> io::Result<()> {
    let address = address.parse().map_err(io::Error::other)?;
    Workers::bind(address, 1)?.run(Settings::USUAL, None, |_| {
        let mut routes = Routes::new();
        routes.get("/hello", |_, _| Response::text("Hello, World!"));
        let files = Files::new(root)?;
        routes.get("/{path...}", move |context, request| files.answer(context, request));
        Ok(routes)
    })
}

fn measure() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("root");
    fs::create_dir(&root)?;
    fs::write(root.join("small"), vec![b'x'; 1 << 10])?;
    fs::write(root.join("large"), vec![b'x'; 10 << 20])?;
    let mut servers = vec![ours(&root)?];
    match installed("nginx") {
        Some(program) => servers.push(nginx(&program, folder.path(), &root)?),
        None => println!("There is no nginx here: this server alone.\n"),
    }
    print!("{:<20}", "");
    for server in &servers {
        print!("{:>9}{:>12}", server.name, "CPU");
    }
    println!("{}", if servers.len() > 1 { "   nginx's CPU" } else { "" });
    for scenario in &SCENARIOS {
        let mut rounds = vec![Vec::new(); servers.len()];
        for _ in 0..ROUNDS {
            for (server, rounds) in servers.iter().zip(&mut rounds) {
                rounds.push(round(server, scenario)?);
            }
        }
        print!("{:<20}", scenario.name);
        let mut costs = Vec::new();
        for rounds in &rounds {
            let rate = middle(rounds.iter().map(|round| round.rate));
            let cost = middle(rounds.iter().map(|round| round.cost));
            print!("{:>9}{:>12}", short(rate), format!("{cost:.2} µs"));
            costs.push(cost);
        }
        match costs.as_slice() {
            [ours, others] => println!("{:>14}", format!("× {:.1}", others / ours)),
            _ => println!(),
        }
    }
    Ok(())
}

/// Such as `151k/s`: more of it would be another number each time.
fn short(rate: f64) -> String {
    if rate < 10_000.0 { format!("{rate:.0}/s") } else { format!("{:.0}k/s", rate / 1000.0) }
}

#[derive(Clone, Copy)]
struct Round {
    /// Requests a second.
    rate: f64,
    /// The server's CPU time for each, in µs.
    cost: f64,
}

/// A second of one scenario.
fn round(server: &Running, scenario: &Scenario) -> io::Result<Round> {
    let mut load = Load::new(server.address, scenario)?;
    // The first ones make what is kept.
    load.once()?;
    let before = server.cpu_time();
    let began = Instant::now();
    let mut count = 0;
    while began.elapsed() < ROUND {
        count += load.once()?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let cpu = (server.cpu_time() - before).as_secs_f64();
    Ok(Round { rate: count as f64 / seconds, cost: cpu * 1e6 / count as f64 })
}

/// Who asks.
struct Load<'s> {
    address: SocketAddr,
    scenario: &'s Scenario,
    connections: Vec<TcpStream>,
    request: Vec<u8>,
    /// How long the answers to `request` are, in bytes.
    length: usize,
    piece: Vec<u8>,
}

impl<'s> Load<'s> {
    fn new(address: SocketAddr, scenario: &'s Scenario) -> io::Result<Self> {
        let close = if scenario.anew { "Connection: close\r\n" } else { "" };
        let request = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n{close}\r\n", scenario.path);
        let one = length_of_answer(&mut connect(address)?, request.as_bytes())?;
        let count = if scenario.anew { 0 } else { scenario.connections };
        Ok(Self {
            address,
            scenario,
            connections: (0..count).map(|_| connect(address)).collect::<io::Result<_>>()?,
            request: request.repeat(scenario.deep).into_bytes(),
            length: one * scenario.deep,
            piece: vec![0; 256 * 1024],
        })
    }

    /// Asks on all connections, and reads all answers. How many they were.
    fn once(&mut self) -> io::Result<u64> {
        if self.scenario.anew {
            self.connections.clear();
            for _ in 0..self.scenario.connections {
                self.connections.push(connect(self.address)?);
            }
        }
        for connection in &mut self.connections {
            connection.write_all(&self.request)?;
        }
        for connection in &mut self.connections {
            let mut left = self.length;
            while left > 0 {
                let most = left.min(self.piece.len());
                match connection.read(&mut self.piece[..most])? {
                    0 => return Err(io::Error::other("the answer isn't whole")),
                    count => left -= count,
                }
            }
        }
        Ok((self.connections.len() * self.scenario.deep) as u64)
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Of one answer, head and body: all others are as long.
fn length_of_answer(stream: &mut TcpStream, request: &[u8]) -> io::Result<usize> {
    stream.write_all(request)?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = stream.read(&mut piece)?;
        answer.extend_from_slice(&piece[..count]);
        if let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.and_then(|length| length.parse::<usize>().ok());
            let is_well = head.starts_with("http/1.1 200 ");
            let length = length.filter(|_| is_well).ok_or_else(|| io::Error::other(head))?;
            return Ok(end + 4 + length);
        }
        if count == 0 {
            return Err(io::Error::other("the answer has no head"));
        }
    }
}

fn ours(root: &Path) -> io::Result<Running> {
    let address = free()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(address.to_string()).arg(root);
    Running::start("ours", command, address, || TcpStream::connect(address).is_ok())
}

fn nginx(program: &Path, folder: &Path, root: &Path) -> io::Result<Running> {
    let address = free()?;
    let (folder, root) = (folder.display(), root.display());
    let config = format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\npid {folder}/pid;\n\
         error_log {folder}/error.log;\nevents {{ worker_connections 1000; }}\n\
         http {{\n access_log off;\n sendfile on;\n tcp_nodelay on;\n\
         keepalive_requests 1000000000;\n open_file_cache max=100;\n\
         client_body_temp_path {folder}/1;\n proxy_temp_path {folder}/2;\n\
         fastcgi_temp_path {folder}/3;\n uwsgi_temp_path {folder}/4;\n\
         scgi_temp_path {folder}/5;\n server {{\n listen {address} backlog=4096;\n\
         root {root};\n location = /hello {{\n default_type text/plain;\n\
         return 200 \"Hello, World!\";\n }}\n }}\n}}\n"
    );
    let path = PathBuf::from(format!("{folder}/nginx.conf"));
    fs::write(&path, config)?;
    let mut command = Command::new(program);
    command.arg("-c").arg(path).arg("-e").arg(format!("{folder}/error.log"));
    Running::start("nginx", command, address, || TcpStream::connect(address).is_ok())
}
