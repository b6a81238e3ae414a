//! What the things cost that a server can do, or leave: the causes of what `beside` shows.
//!
//! `just beside` writes the result into the book. Each figure is the middle one of nine, over some
//! thousand times each.

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    measure::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("calls: this asks epoll, and so needs Linux");
    std::process::exit(1);
}

#[cfg(target_os = "linux")]
mod measure {
    use std::hint::black_box;
    use std::io::{self, Read};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::time::{Duration, Instant, SystemTime};

    use ch09_timers::{Clock, Timers};
    use ch10_http::{Date, Exchange, Fields, Size, Status};
    use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
    use nix::sys::socket::{MsgFlags, recv, send};

    const TIMES: u32 = 4000;
    const FIGURES: usize = 9;

    pub fn main() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut visitor = TcpStream::connect(listener.local_addr()?)?;
        let (socket, _) = listener.accept()?;
        visitor.set_nodelay(true)?;
        socket.set_nodelay(true)?;
        listener.set_nonblocking(true)?;

        let list = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        list.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        let mut ready = [EpollEvent::empty(); 8];
        say("a wait that finds nobody", || {
            assert_eq!(list.wait(&mut ready, EpollTimeout::ZERO), Ok(0));
        });
        say("an accept that finds nobody", || assert!(listener.accept().is_err()));
        say("a socket told not to wait", || socket.set_nonblocking(true).unwrap());
        let mut piece = [0; 4096];
        say("a read that finds nothing", || {
            assert!(recv(socket.as_raw_fd(), &mut piece, MsgFlags::MSG_DONTWAIT).is_err());
        });
        println!();

        // In between, somebody takes it. That isn't counted.
        let [head, body] = [[b'x'; 120].as_slice(), [b'y'; 13].as_slice()];
        let both = [head, body].concat();
        let tell = |bytes: &[u8]| {
            let sent = send(socket.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT);
            assert_eq!(sent, Ok(bytes.len()));
        };
        let mut take = || visitor.read_exact(&mut piece[..both.len()]).unwrap();
        say_and("head and body sent in one call", || tell(&both), &mut take);
        say_and("in two", || (tell(head), tell(body)).0, &mut take);
        println!();

        let date = Date::of(SystemTime::now());
        let mut to = Vec::with_capacity(4096);
        let write = |to: &mut Vec<u8>| {
            // Else the compiler would do most of it beforehand.
            let exchange = black_box(Exchange { keep_alive: true, ..Exchange::UNKNOWN });
            let named = black_box(Some("text/plain; charset=utf-8"));
            let (status, size) = black_box((Status::OK, Size::Known(13)));
            ch10_http::head(to, exchange, status, &date, named, &Fields::NONE, size);
        };
        write(&mut to);
        let copy = to.clone();
        say("a head written", || {
            to.clear();
            write(black_box(&mut to));
        });
        say("a head copied", || {
            to.clear();
            to.extend_from_slice(black_box(&copy));
        });
        println!();

        let mut event_loop = ch08_epoll::event_loop()?;
        let timers = Timers::start(&mut event_loop, Clock::system());
        let in_a_minute = timers.now(&event_loop) + Duration::from_secs(60);
        let mut set = || timers.at(&mut event_loop, in_a_minute, |_| {});
        for _ in 0..10_000 {
            set();
        }
        let mut timer = set();
        say("a timer set anew, among 10,000", || {
            assert!(timers.cancel(&mut event_loop, timer));
            timer = timers.at(&mut event_loop, in_a_minute, |_| {});
        });
        Ok(())
    }

    fn say(what: &str, mut does: impl FnMut()) {
        show(what, || {
            let began = Instant::now();
            (0..TIMES).for_each(|_| does());
            began.elapsed()
        });
    }

    /// Measures what `does` takes, and not what `then` takes. The looks at the clock count.
    fn say_and(what: &str, mut does: impl FnMut(), mut then: impl FnMut()) {
        show(what, || {
            let mut took = Duration::ZERO;
            for _ in 0..TIMES {
                let began = Instant::now();
                does();
                took += began.elapsed();
                then();
            }
            took
        });
    }

    fn show(what: &str, took: impl FnMut() -> Duration) {
        let mut figures: Vec<Duration> = std::iter::repeat_with(took).take(FIGURES).collect();
        figures.sort();
        let nanoseconds = (figures[FIGURES / 2] / TIMES).as_nanos();
        println!("{what:<34}{:>9}", format!("{nanoseconds} ns"));
    }
}
