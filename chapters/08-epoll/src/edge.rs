//! Chapter 8: level and edge. What edge-triggered epoll tells, and what it doesn't.
//!
//! Three short plays. Ann and Bob talk to us over a pair of sockets each; we read four
//! bytes at a time. Lines that can wait say so, in a comment that begins `waits:`.

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    plays::level_and_edge()?;
    plays::the_greedy_reader()?;
    plays::one_read_a_turn()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("ch08-edge: this needs epoll, and so Linux");
    std::process::exit(1);
}

#[cfg(target_os = "linux")]
mod plays {
    use std::io::{self, Read, Write};
    use std::os::unix::net::UnixStream;

    use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

    /// What is read at a time, in bytes.
    const PIECE: usize = 4;
    /// Long enough to say that nothing is reported, in milliseconds.
    const A_WHILE: u8 = 100;
    /// How often Ann goes on talking.
    const PATIENCE: usize = 1000;

    // ANCHOR: level
    /// Ann sends ten bytes. Who is told so, and how often?
    pub fn level_and_edge() -> io::Result<()> {
        for (name, edge) in [("level", EpollFlags::empty()), ("edge", EpollFlags::EPOLLET)] {
            println!("{name}: Ann sends 10 bytes, and we read {PIECE} at a time");
            let (mut ann, mut ours) = pair()?;
            let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
            epoll.add(&ours, EpollEvent::new(EpollFlags::EPOLLIN | edge, 0))?;
            ann.write_all(b"0123456789")?;
            let mut read = 0;
            while who_is_ready(&epoll)? > 0 {
                let count = ours.read(&mut [0; PIECE])?;
                println!("  told: read {count}");
                read += count;
            }
            match 10 - read {
                0 => println!("  and then nothing more, because there is nothing"),
                left => println!("  and then nothing more, though {left} bytes lie there"),
            }
        }
        Ok(())
    }
    // ANCHOR_END: level

    // ANCHOR: greedy
    /// Told only once, we read until there is nothing. Ann says something
    /// more whenever she was read.
    pub fn the_greedy_reader() -> io::Result<()> {
        println!("edge: Ann and Bob send, and we read each until there is nothing");
        let (mut ann, mut to_ann) = pair()?;
        let (mut bob, mut to_bob) = pair()?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&to_ann, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0))?;
        epoll.add(&to_bob, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 1))?;
        ann.write_all(b"blah")?;
        bob.write_all(b"help")?;
        who_is_ready(&epoll)?;
        let mut reads = 0;
        while to_ann.read(&mut [0; PIECE]).is_ok_and(|count| count > 0) {
            reads += 1;
            if reads < PATIENCE {
                ann.write_all(b"blah")?;
            }
        }
        to_bob.read_exact(&mut [0; PIECE])?;
        println!("  Bob had to wait until Ann was read {reads} times, and fell silent");
        Ok(())
    }
    // ANCHOR_END: greedy

    /// The same on level: one read for each who is ready, and then the next turn.
    pub fn one_read_a_turn() -> io::Result<()> {
        println!("level: Ann and Bob send, and we read each once a turn");
        let (mut ann, to_ann) = pair()?;
        let (mut bob, to_bob) = pair()?;
        let mut ours = [to_ann, to_bob];
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for (socket, number) in ours.iter().zip(0..) {
            epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, number))?;
        }
        ann.write_all(b"blah")?;
        bob.write_all(b"help")?;
        let mut reads = [0, 0];
        while reads[1] == 0 {
            let mut events = [EpollEvent::empty(); 2];
            // waits: until somebody has something
            let count = epoll.wait(&mut events, EpollTimeout::NONE)?;
            for event in &events[..count] {
                let who = usize::try_from(event.data()).unwrap_or(0);
                ours[who].read_exact(&mut [0; PIECE])?;
                reads[who] += 1;
            }
            ann.write_all(b"blah")?;
        }
        println!("  Bob had to wait until Ann was read {} time", reads[0]);
        Ok(())
    }

    /// How many are ready. It doesn't wait for long: the point is that sometimes nobody
    /// is.
    fn who_is_ready(epoll: &Epoll) -> io::Result<usize> {
        let mut events = [EpollEvent::empty(); 8];
        // waits: until somebody has something, or a while is over
        Ok(epoll.wait(&mut events, A_WHILE)?)
    }

    fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (theirs, ours) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((theirs, ours))
    }
}
