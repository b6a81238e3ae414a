//! What a large file costs whoever sends it, and whoever reads it, by how much the kernel takes at a time.
//!
//! `just beside` writes the result into the book. A file of 10 MiB goes out by sendfile to four sockets, from which
//! another thread reads as fast as it can; each way has its turn, A B C A B C. The CPU time is that of each thread
//! (getrusage(2), RUSAGE_THREAD), and of each figure the round counts in which the two together had the least:
//! whatever else the machine does can only make it larger.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use ch11_http_server::options::NotSentLowat;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::sendfile::sendfile64;
use nix::sys::socket::{setsockopt, sockopt};

const LENGTH: usize = 10 << 20;
const READERS: usize = 4;
/// So many files to each reader make one figure.
const FILES: usize = 10;
const ROUNDS: usize = 5;

type Set = fn(&TcpStream) -> nix::Result<()>;

const WAYS: [(&str, Set); 5] = [
    ("left alone", |_| Ok(())),
    ("SO_SNDBUF 256 KiB", |socket| setsockopt(socket, sockopt::SndBuf, &(256 << 10))),
    ("SO_SNDBUF 1 MiB", |socket| setsockopt(socket, sockopt::SndBuf, &(1 << 20))),
    ("TCP_NOTSENT_LOWAT 128 KiB", |socket| setsockopt(socket, NotSentLowat, &(128 << 10))),
    ("TCP_NOTSENT_LOWAT 1 MiB", |socket| setsockopt(socket, NotSentLowat, &(1 << 20))),
];

fn main() -> io::Result<()> {
    let mut file = tempfile()?;
    file.write_all(&vec![b'a'; LENGTH])?;
    let mut least = [[Duration::MAX; 3]; WAYS.len()];
    for _ in 0..ROUNDS {
        for ((_, set), least) in WAYS.iter().zip(&mut least) {
            let new = cost(&file, *set)?;
            if new[2] < least[2] {
                *least = new;
            }
        }
    }
    let mut out = io::stdout();
    let columns = ["sender", "reader", "together"].map(|name| format!("{name:>10}")).concat();
    writeln!(out, "{:>28}{columns}{:>18}", "10 MiB by sendfile", "if nobody reads")?;
    for ((name, set), least) in WAYS.iter().zip(least) {
        let times = least.map(|time| format!("{:>7} µs", time.as_micros())).concat();
        writeln!(out, "{name:>28}{times}{:>14} KiB", kept(&file, *set)? >> 10)?;
    }
    Ok(())
}

fn tempfile() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!("buffers-{}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

/// The CPU time of one file.
fn cost(file: &File, set: Set) -> io::Result<[Duration; 3]> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let readers = thread::spawn(move || read_all(address));
    let sockets = (0..READERS).map(|_| {
        let socket = listener.accept()?.0;
        socket.set_nonblocking(true)?;
        set(&socket)?;
        Ok(socket)
    });
    let sockets: Vec<TcpStream> = sockets.collect::<io::Result<_>>()?;
    let before = cpu_time()?;
    send_all(file, &sockets)?;
    let used = cpu_time()? - before;
    drop(sockets);
    let reader = readers.join().map_err(|_| io::Error::other("the readers panicked"))??;
    Ok([used, reader, used + reader].map(|time| time / (READERS * FILES) as u32))
}

fn cpu_time() -> io::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    let sum = micros(usage.user_time()) + micros(usage.system_time());
    Ok(Duration::from_micros(u64::try_from(sum).unwrap_or(0)))
}

/// One file after the other to each, in turns, as far as there is room.
fn send_all(file: &File, sockets: &[TcpStream]) -> io::Result<()> {
    let mut left = vec![FILES * LENGTH; sockets.len()];
    while left.iter().any(|left| *left > 0) {
        let waiting = sockets.iter().zip(&left).filter(|(_, left)| **left > 0);
        let mut list: Vec<PollFd<'_>> =
            waiting.map(|(socket, _)| PollFd::new(socket.as_fd(), PollFlags::POLLOUT)).collect();
        poll(&mut list, PollTimeout::NONE)?; // waits: until any of them has room
        for (socket, left) in sockets.iter().zip(&mut left).filter(|(_, left)| **left > 0) {
            let mut at = ((FILES * LENGTH - *left) % LENGTH) as i64;
            let most = LENGTH - at as usize;
            let sent = sendfile64(socket, file, Some(&mut at), most.min(1 << 20));
            *left -= ch07_callbacks::now(sent.map_err(io::Error::from))?.unwrap_or(0);
        }
    }
    Ok(())
}

/// How much of the file the kernel keeps for one who doesn't read, in bytes.
fn kept(file: &File, set: Set) -> io::Result<u64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let reader = TcpStream::connect(listener.local_addr()?)?;
    let socket = listener.accept()?.0;
    socket.set_nonblocking(true)?;
    set(&socket)?;
    let mut at = 0;
    loop {
        let mut list = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
        // waits: until there is room, or has been none for a while
        if poll(&mut list, PollTimeout::from(100_u8))? == 0 {
            break;
        }
        ch07_callbacks::now(
            sendfile64(&socket, file, Some(&mut at), 1 << 20).map_err(io::Error::from),
        )?;
    }
    let queue = send_queue(socket.local_addr()?.port(), reader.local_addr()?.port())?;
    queue.ok_or_else(|| io::Error::other("the kernel doesn't tell"))
}

/// What isn't confirmed yet on the connection between these ports, in bytes (proc_net(5)).
fn send_queue(from: u16, to: u16) -> io::Result<Option<u64>> {
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    let ports = (format!(":{from:04X}"), format!(":{to:04X}"));
    let line = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|it| it.len() > 4 && it[1].ends_with(&ports.0) && it[2].ends_with(&ports.1));
    let queue = line.and_then(|it| u64::from_str_radix(it[4].split(':').next()?, 16).ok());
    Ok(queue)
}

/// Reads from all in turns, until each has ended.
fn read_all(address: std::net::SocketAddr) -> io::Result<Duration> {
    let before = cpu_time()?;
    let sockets = (0..READERS).map(|_| TcpStream::connect(address));
    let mut sockets: Vec<TcpStream> = sockets.collect::<io::Result<_>>()?;
    let mut room = vec![0; 256 << 10];
    while !sockets.is_empty() {
        let mut list: Vec<PollFd<'_>> =
            sockets.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
        poll(&mut list, PollTimeout::NONE)?; // waits: until any of them has sent something
        let ready: Vec<bool> = list.iter().map(|it| it.any().unwrap_or(false)).collect();
        let mut ready = ready.into_iter();
        let mut failed = None;
        sockets.retain_mut(|socket| {
            if !ready.next().unwrap_or(false) {
                return true;
            }
            match socket.read(&mut room) {
                Ok(count) => count > 0,
                Err(error) => {
                    failed = Some(error);
                    false
                }
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
    }
    Ok(cpu_time()? - before)
}
