//! What a turn of the loop costs: one visitor has something to say, and more and more others are silent.
//!
//! `just turns` writes the result into the book, and `just curves` draws it. A turn is the whole of chapter
//! 7's [`EventLoop::turn`]: who has changed is asked what they wait for; the list is made, where the backend
//! makes one; the kernel is asked; the one who is ready is looked up, one byte is read, and its callback is
//! called, which takes the byte out. Not in it: the visitor's sending, and any waiting. The byte is there
//! before the turn begins, and the one who talks comes first in the list, as in chapter 5's measurement. Both
//! are as cheap as it gets for poll, which needn't leave a note at each socket and take it back.

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    measure::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("turns: this needs epoll, and so Linux");
    std::process::exit(1);
}

#[cfg(target_os = "linux")]
mod measure {
    use std::cell::Cell;
    use std::io::{self, Write};
    use std::net::{TcpListener, TcpStream};
    use std::rc::Rc;
    use std::time::{Duration, Instant};

    use ch07_callbacks::backend::Asked;
    use ch07_callbacks::program::raise_limit;
    use ch07_callbacks::{Backend, EventLoop, Interest, Poll, Readiness, Token};
    use ch08_epoll::Epoll;

    const SILENT: [u64; 7] = [0, 10, 100, 300, 1000, 3000, 8000];
    /// So many turns make one figure, and of so many figures the middle one counts.
    const TURNS: u32 = 400;
    const FIGURES: usize = 25;
    /// Descriptors that this program needs for itself: the listener, the kernel's list, standard output.
    const OURS: u64 = 16;

    pub fn main() -> io::Result<()> {
        let most = raise_limit();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let waits_in = Rc::new(Cell::new(Call::Poll));
        let mut event_loop = EventLoop::new(Both {
            poll: Poll,
            epoll: Epoll::new()?,
            waits_in: Rc::clone(&waits_in),
        });
        let heard = Rc::new(Cell::new(0));
        let mut visitors = vec![let_in(&listener, &mut event_loop, &heard)?];

        println!("{:>16}{:>12}{:>12}", "silent visitors", "poll", "epoll");
        for silent in SILENT {
            // Both ends of each connection are in this process.
            if 2 * (silent + 1) + OURS > most {
                println!("(no descriptors for {silent}: the limit here is {most})");
                continue;
            }
            while visitors.len() as u64 <= silent {
                visitors.push(let_in(&listener, &mut event_loop, &heard)?);
            }
            let mut figure = |call| {
                waits_in.set(call);
                figure(&mut visitors[0], &mut event_loop, &heard)
            };
            // The first turn asks the newcomers too what they wait for: it doesn't count.
            figure(Call::Epoll)?;
            let (mut by_poll, mut by_epoll) = (Vec::new(), Vec::new());
            for _ in 0..FIGURES {
                // In turns, so that whatever slows the machine down slows both.
                by_poll.push(figure(Call::Poll)?);
                by_epoll.push(figure(Call::Epoll)?);
            }
            println!("{silent:>16}{:>12}{:>12}", middle(by_poll), middle(by_epoll));
        }
        Ok(())
    }

    /// One visitor more, and its end of the connection. Its callback takes what comes, and counts it.
    fn let_in(
        listener: &TcpListener,
        event_loop: &mut EventLoop,
        heard: &Rc<Cell<u32>>,
    ) -> io::Result<TcpStream> {
        let visitor = TcpStream::connect(listener.local_addr()?)?;
        let token = event_loop.add_socket(listener.accept()?.0)?;
        let heard = Rc::clone(heard);
        event_loop.set_read_callback(token, move |_, _, input| {
            heard.set(heard.get() + 1);
            input.bytes.clear();
        });
        Ok(visitor)
    }

    /// How long a turn takes, as the average of some.
    fn figure(
        talking: &mut TcpStream,
        event_loop: &mut EventLoop,
        heard: &Cell<u32>,
    ) -> io::Result<Duration> {
        heard.set(0);
        let mut took = Duration::ZERO;
        for _ in 0..TURNS {
            talking.write_all(b"x")?;
            let began = Instant::now();
            event_loop.turn(None)?;
            took += began.elapsed();
        }
        assert_eq!(heard.get(), TURNS, "one visitor talks, and is heard once a turn");
        Ok(took / TURNS)
    }

    fn middle(mut figures: Vec<Duration>) -> String {
        figures.sort();
        format!("{:.1} µs", figures[figures.len() / 2].as_secs_f64() * 1e6)
    }

    #[derive(Clone, Copy)]
    enum Call {
        Poll,
        Epoll,
    }

    /// Two backends, of which one waits: so both are measured on the same connections. Were there a loop for
    /// each, every visitor would need a descriptor more.
    struct Both {
        poll: Poll,
        epoll: Epoll,
        waits_in: Rc<Cell<Call>>,
    }

    impl Backend for Both {
        fn change(&mut self, asked: Asked<'_>, from: Interest) -> io::Result<()> {
            self.poll.change(asked, from)?;
            self.epoll.change(asked, from)
        }

        fn wait(
            &mut self,
            all: &mut dyn Iterator<Item = Asked<'_>>,
            at_most: Option<Duration>,
            ready: &mut Vec<(Token, Readiness)>,
        ) -> io::Result<()> {
            match self.waits_in.get() {
                Call::Poll => self.poll.wait(all, at_most, ready),
                Call::Epoll => self.epoll.wait(all, at_most, ready),
            }
        }
    }
}
