//! What visitors notice while a server is replaced, ten times, half a second apart: this chapter's, others that can
//! do it, and one that is stopped and started anew.
//!
//! `just noticed` writes the result into the book. The visitors are threads here: some come, ask once and leave; some
//! stay, and ask every few milliseconds; some download 10 MiB slowly.

#[path = "../../11-http-server/examples/measuring/peers.rs"]
mod peers;
mod replaced;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::Pid;
use peers::{PATIENCE, free, installed};
use replaced::Server;

const UPGRADES: usize = 10;
const EVERY: Duration = Duration::from_millis(500);
const WHO_COME_AND_GO: usize = 6;
const WHO_STAY: usize = 24;
const WHO_DOWNLOAD: usize = 4;
/// Between two requests of one who stays.
const STAYS_SILENT: Duration = Duration::from_millis(3);
/// The file that is downloaded, in bytes, and how much of it fits into the receiver's kernel.
const FILE: usize = 10 << 20;
const RECEIVE_BUFFER: usize = 64 << 10;
/// After so much of it, a downloader looks at what it has.
const READS_SLOWLY: Duration = Duration::from_millis(10);
const LOOK: Duration = Duration::from_millis(5);

fn main() -> io::Result<()> {
    let ours = std::env::args().nth(1).ok_or_else(|| io::Error::other("give PROGRAM"))?;
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("film.bin"), vec![b'.'; FILE])?;
    fs::write(folder.path().join("hello.txt"), "Hello, World!")?;

    println!("server               answers  refused  lost  closed   downloads  cut short");
    row("this server", &mut ThisServer::start(&ours, folder.path())?)?;
    match installed("nginx") {
        Some(nginx) => row("nginx", &mut Nginx::start(nginx, folder.path())?)?,
        None => println!("(nginx isn't installed)"),
    }
    match installed("haproxy") {
        Some(haproxy) => row("HAProxy", &mut HaProxy::start(&haproxy, &ours, folder.path())?)?,
        None => println!("(HAProxy isn't installed)"),
    }
    row("stopped and started", &mut StoppedAndStarted::start(&ours, folder.path())?)
}

/// What can be replaced.
trait Replaced {
    fn address(&self) -> SocketAddr;
    /// Begins, and returns when the next one may be asked for.
    fn replace(&mut self) -> io::Result<()>;
}

fn row(name: &str, server: &mut dyn Replaced) -> io::Result<()> {
    let (address, seen, ends) = (server.address(), Seen::default(), AtomicBool::new(false));
    wait_for(name, || TcpStream::connect(address).is_ok())?;
    let outcome = thread::scope(|scope| {
        for _ in 0..WHO_COME_AND_GO {
            scope.spawn(|| comes_and_goes(address, &seen, &ends));
        }
        for _ in 0..WHO_STAY {
            scope.spawn(|| stays(address, &seen, &ends));
        }
        for _ in 0..WHO_DOWNLOAD {
            scope.spawn(|| downloads(address, &seen, &ends));
        }
        thread::sleep(EVERY);
        let outcome = (0..UPGRADES).try_for_each(|_| {
            server.replace()?;
            thread::sleep(EVERY);
            Ok(())
        });
        thread::sleep(EVERY);
        ends.store(true, Ordering::Relaxed);
        outcome
    });
    let [answers, refused, lost, closed, whole, cut] =
        [&seen.answers, &seen.refused, &seen.lost, &seen.closed, &seen.whole, &seen.cut]
            .map(|count| count.load(Ordering::Relaxed));
    println!("{name:<20}{answers:>8}{refused:>9}{lost:>6}{closed:>8}{whole:>12}{cut:>11}");
    outcome
}

/// What all visitors together have seen.
#[derive(Default)]
struct Seen {
    /// Whole and right.
    answers: AtomicUsize,
    /// Nobody had the port.
    refused: AtomicUsize,
    /// Asked, and not answered, or not wholly.
    lost: AtomicUsize,
    /// Hung up on while nothing was asked.
    closed: AtomicUsize,
    /// Downloads with all of their bytes, and those without.
    whole: AtomicUsize,
    cut: AtomicUsize,
}

fn count(what: &AtomicUsize) {
    what.fetch_add(1, Ordering::Relaxed);
}

fn comes_and_goes(address: SocketAddr, seen: &Seen, ends: &AtomicBool) {
    while !ends.load(Ordering::Relaxed) {
        let Some(mut stream) = arrive(address, seen) else { continue };
        match ask(&mut stream, "close") {
            Ok(_) => count(&seen.answers),
            Err(_) => count(&seen.lost),
        }
    }
}

fn stays(address: SocketAddr, seen: &Seen, ends: &AtomicBool) {
    let mut inside = None;
    while !ends.load(Ordering::Relaxed) {
        let Some(mut stream) = inside.take().or_else(|| arrive(address, seen)) else { continue };
        if has_ended(&stream) {
            count(&seen.closed);
            continue;
        }
        match ask(&mut stream, "keep-alive") {
            Ok(Answered { stays: true }) => {
                count(&seen.answers);
                inside = Some(stream);
            }
            Ok(Answered { stays: false }) => {
                count(&seen.answers);
                count(&seen.closed);
            }
            Err(_) => count(&seen.lost),
        }
        thread::sleep(STAYS_SILENT);
    }
}

fn downloads(address: SocketAddr, seen: &Seen, ends: &AtomicBool) {
    while !ends.load(Ordering::Relaxed) {
        let Some(mut stream) = arrive(address, seen) else { continue };
        match download(&mut stream) {
            Ok(bytes) if bytes > FILE => count(&seen.whole),
            _ => count(&seen.cut),
        }
    }
}

fn arrive(address: SocketAddr, seen: &Seen) -> Option<TcpStream> {
    let Ok(stream) = TcpStream::connect(address) else {
        count(&seen.refused);
        thread::sleep(Duration::from_millis(1));
        return None;
    };
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    Some(stream)
}

/// Whether the other side has hung up, or says something unasked: looked at without waiting.
fn has_ended(stream: &TcpStream) -> bool {
    let _ = stream.set_nonblocking(true);
    let nothing =
        matches!(stream.peek(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
    let _ = stream.set_nonblocking(false);
    !nothing
}

fn request(stream: &mut TcpStream, target: &str, connection: &str) -> io::Result<()> {
    // In one piece: a second one would wait until the first is acknowledged (Nagle's algorithm).
    let head = format!("GET {target} HTTP/1.1\r\nHost: here\r\nConnection: {connection}\r\n\r\n");
    stream.write_all(head.as_bytes())
}

struct Answered {
    stays: bool,
}

fn ask(stream: &mut TcpStream, connection: &str) -> io::Result<Answered> {
    request(stream, "/hello.txt", connection)?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nHello, World!") {
        let mut piece = [0; 1024];
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => answer.extend_from_slice(&piece[..count]),
        }
    }
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        return Err(io::Error::other("another answer"));
    }
    let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    Ok(Answered { stays: !head.contains("\r\nconnection: close\r\n") })
}

/// How many bytes there were until the end, the head's among them.
fn download(stream: &mut TcpStream) -> io::Result<usize> {
    setsockopt(&*stream, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
    request(stream, "/film.bin", "close")?;
    let mut piece = vec![0; RECEIVE_BUFFER];
    let mut got = 0;
    loop {
        match stream.read(&mut piece)? {
            0 => return Ok(got),
            bytes => got += bytes,
        }
        thread::sleep(READS_SLOWLY);
    }
}

fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) -> io::Result<()> {
    let began = Instant::now();
    while !is_there() {
        if began.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("{what}: it takes too long")));
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

/// This chapter's.
struct ThisServer(Server);

impl ThisServer {
    fn start(program: &str, root: &Path) -> io::Result<Self> {
        let root = root.to_string_lossy();
        Ok(Self(Server::start(program, &["127.0.0.1:0", "--root", &root])?))
    }
}

impl Replaced for ThisServer {
    fn address(&self) -> SocketAddr {
        self.0.address
    }

    fn replace(&mut self) -> io::Result<()> {
        self.0.replace().map(drop)
    }
}

/// The same program, not replaced but stopped, and started when it has ended.
struct StoppedAndStarted {
    address: SocketAddr,
    command: Command,
    child: Child,
}

impl StoppedAndStarted {
    fn start(program: &str, root: &Path) -> io::Result<Self> {
        let address = free()?;
        let mut command = Command::new(program);
        command.arg(address.to_string()).arg("--root").arg(root);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn()?;
        Ok(Self { address, command, child })
    }
}

impl Replaced for StoppedAndStarted {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn replace(&mut self) -> io::Result<()> {
        end(&mut self.child)?;
        self.child = self.command.spawn()?;
        Ok(())
    }
}

impl Drop for StoppedAndStarted {
    fn drop(&mut self) {
        let _ = end(&mut self.child);
    }
}

/// Asks it twice: once to stop when all are served, and then to stop.
fn end(child: &mut Child) -> io::Result<()> {
    let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    kill(pid, Signal::SIGTERM)?;
    thread::sleep(LOOK);
    let _ = kill(pid, Signal::SIGTERM);
    child.wait().map(drop)
}

/// USR2 to the old one, QUIT when the new one has written its number (nginx's "Upgrading
/// Executable on the Fly"). It does so only as a daemon.
struct Nginx {
    address: SocketAddr,
    number: PathBuf,
}

impl Nginx {
    fn start(program: PathBuf, root: &Path) -> io::Result<Self> {
        let address = free()?;
        let [number, errors, configuration] =
            ["nginx.pid", "nginx.errors", "nginx.conf"].map(|name| root.join(name));
        fs::write(
            &configuration,
            format!(
                "worker_processes 1; pid {number}; error_log {errors}; events {{ worker_connections 1024; }}
                 http {{ access_log off; keepalive_requests 1000000; sendfile on;
                 server {{ listen {address}; root {root}; }} }}",
                number = number.display(),
                errors = errors.display(),
                root = root.display()
            ),
        )?;
        // Its workers belong to nobody who may be kept out of the folder.
        fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let status = Command::new(program)
            .arg("-e")
            .arg(&errors)
            .arg("-c")
            .arg(&configuration)
            .stderr(Stdio::null())
            .status()?;
        if !status.success() {
            return Err(io::Error::other("nginx doesn't start"));
        }
        let nginx = Self { address, number };
        wait_for("nginx", || nginx.pid().is_some())?;
        Ok(nginx)
    }

    fn pid(&self) -> Option<Pid> {
        fs::read_to_string(&self.number).ok()?.trim().parse().ok().map(Pid::from_raw)
    }
}

impl Replaced for Nginx {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn replace(&mut self) -> io::Result<()> {
        let old = self.pid().ok_or_else(|| io::Error::other("nginx isn't there"))?;
        kill(old, Signal::SIGUSR2)?;
        wait_for("nginx's new process", || self.pid().is_some_and(|pid| pid != old))?;
        // The new one's workers are there a moment after its number.
        thread::sleep(Duration::from_millis(100));
        kill(old, Signal::SIGQUIT)?;
        // It takes no second upgrade before the old one has drained.
        wait_for("nginx's old process", || kill(old, None).is_err())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = kill(pid, Signal::SIGTERM);
            let _ = wait_for("nginx", || kill(pid, None).is_err());
        }
    }
}

/// A process that watches over those who serve, and replaces them at USR2; behind it is a server
/// that isn't replaced.
struct HaProxy {
    address: SocketAddr,
    child: Child,
    _behind: Server,
}

impl HaProxy {
    fn start(program: &Path, ours: &str, root: &Path) -> io::Result<Self> {
        let address = free()?;
        let behind = Server::start(ours, &["127.0.0.1:0", "--root", &root.to_string_lossy()])?;
        let configuration = root.join("haproxy.conf");
        fs::write(
            &configuration,
            format!(
                "global\n    stats socket {socket} mode 600 level admin expose-fd listeners\n\
                 defaults\n    mode http\n    timeout connect 5s\n    timeout client 30s\n    timeout server 30s\n\
                 listen all\n    bind {address}\n    server behind {behind}\n",
                socket = root.join("haproxy.socket").display(),
                behind = behind.address
            ),
        )?;
        let child = Command::new(program)
            .args(["-W", "-f"])
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { address, child, _behind: behind })
    }
}

impl Replaced for HaProxy {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn replace(&mut self) -> io::Result<()> {
        let pid = i32::try_from(self.child.id()).map_err(io::Error::other)?;
        kill(Pid::from_raw(pid), Signal::SIGUSR2)?;
        Ok(())
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = end(&mut self.child);
    }
}
