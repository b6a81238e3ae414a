//! What a turn costs: one visitor has something to say, and more and more others are silent.
//!
//! `just turns` writes the result into the book. A turn is what the chapters' loops do before they read:
//! make the set or the list, ask, and look who is ready.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::select::{FdSet, select};

const SILENT: [usize; 5] = [0, 10, 100, 1000, 8000];
/// More don't fit into a set, with what this program needs itself.
const MOST_FOR_SELECT: usize = 1000;
/// So many turns make one figure, and of so many figures the middle one counts.
const TURNS: u32 = 200;
const FIGURES: usize = 9;
/// The visitors' ends of the connections lie above this, so that the server's are as low as in a server.
const OUT_OF_THE_WAY: i32 = 9000;

fn main() -> io::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    // Where that is refused, what we have must do.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let let_in_a_silent_one = || -> io::Result<TcpStream> {
        let visitor = TcpStream::connect(listener.local_addr()?)?;
        // The copy stays open to the end of the program.
        fcntl(&visitor, FcntlArg::F_DUPFD_CLOEXEC(OUT_OF_THE_WAY))?;
        drop(visitor);
        Ok(listener.accept()?.0)
    };
    let mut talking = TcpStream::connect(listener.local_addr()?)?;
    let mut served = vec![listener.accept()?.0];

    println!("{:>16}{:>12}{:>12}", "silent visitors", "select", "poll");
    for silent in SILENT {
        while served.len() <= silent {
            let Ok(socket) = let_in_a_silent_one() else {
                println!("(no descriptors for {silent}: the limit here is {most})");
                return Ok(());
            };
            served.push(socket);
        }
        let by_poll = middle(&mut talking, &mut served, turn_of_poll)?;
        let by_select = match silent {
            ..=MOST_FOR_SELECT => in_words(middle(&mut talking, &mut served, turn_of_select)?),
            _ => "impossible".to_owned(),
        };
        println!("{silent:>16}{by_select:>12}{:>12}", in_words(by_poll));
    }
    Ok(())
}

/// The middle one of several figures for the length of a turn.
fn middle(
    talking: &mut TcpStream,
    served: &mut [TcpStream],
    turn: fn(&[TcpStream]) -> nix::Result<usize>,
) -> io::Result<Duration> {
    let mut figures = Vec::new();
    for _ in 0..FIGURES {
        let mut took = Duration::ZERO;
        for _ in 0..TURNS {
            talking.write_all(b"x")?;
            let began = Instant::now();
            let ready = turn(served)?;
            took += began.elapsed();
            assert_eq!(ready, 1, "one visitor talks, and the others are silent");
            served[0].read_exact(&mut [0])?;
        }
        figures.push(took / TURNS);
    }
    figures.sort();
    Ok(figures[FIGURES / 2])
}

/// One turn of chapter 4's loop: how many are ready.
fn turn_of_select(served: &[TcpStream]) -> nix::Result<usize> {
    let mut readable = FdSet::new();
    for socket in served {
        readable.insert(socket.as_fd());
    }
    select(None, &mut readable, None, None, None)?; // waits: until somebody has something for us
    Ok(served.iter().filter(|socket| readable.contains(socket.as_fd())).count())
}

/// One turn of chapter 5's loop.
fn turn_of_poll(served: &[TcpStream]) -> nix::Result<usize> {
    let entry = |socket| PollFd::new(AsFd::as_fd(socket), PollFlags::POLLIN);
    let mut list: Vec<PollFd<'_>> = served.iter().map(entry).collect();
    poll(&mut list, PollTimeout::NONE)?; // waits: until somebody has something for us
    Ok(list.iter().filter(|entry| entry.any().unwrap_or(true)).count())
}

fn in_words(time: Duration) -> String {
    format!("{:.1} µs", time.as_secs_f64() * 1e6)
}
