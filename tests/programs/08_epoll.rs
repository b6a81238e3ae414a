//! What chapter 8's programs must do, besides its exercises.

#[path = "serving/hangs_up.rs"]
mod hangs_up;
#[path = "serving/never_waits.rs"]
mod never_waits;
#[path = "serving/promises.rs"]
mod promises;
mod serving;

use serving::Server;
use visitors::{crowd, setup};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ch08-epoll");
const CHAPTER: u32 = 8;
/// The one call in which it waits.
const WAITS_IN: &str = if cfg!(target_os = "linux") { "epoll_wait" } else { "poll" };
/// So many silent visitors it must be able to keep.
const SILENT: usize = 10_000;

fn start() -> Server {
    Server::start(PROGRAM, CHAPTER)
}

/// With ten thousand silent visitors, a quick one is served about as fast as with none. Two servers, the one
/// full and the other empty, are asked in turns: what else the machine does is the same for both.
#[test]
fn ten_thousand_silent_visitors_slow_nobody_down() {
    setup::by_the_clock(ten_thousand_silent_visitors);
}

fn ten_thousand_silent_visitors() {
    /// So many requests make one comparison. The middle ones count.
    const REQUESTS: usize = 101;
    /// Something else may have been going on in one of them.
    const COMPARISONS: usize = 5;
    if cfg!(not(target_os = "linux")) {
        return visitors::skipped("there is no epoll here");
    }
    if let Err(reason) = crowd::make_room(SILENT + 10) {
        return visitors::skipped(reason);
    }
    let _room = serving::room_for_a_crowd();
    let (empty, full) = (start(), start());
    let _silent = full.silent(SILENT);
    full.settled();
    let mut seen = Vec::new();
    for _ in 0..COMPARISONS {
        let (mut of_empty, mut of_full) = (Vec::new(), Vec::new());
        for _ in 0..REQUESTS {
            of_empty.push(serving::time_for_a_quick_one(&empty));
            of_full.push(serving::time_for_a_quick_one(&full));
        }
        of_empty.sort();
        of_full.sort();
        let (empty, full) = (of_empty[REQUESTS / 2], of_full[REQUESTS / 2]);
        if full <= 2 * empty {
            return;
        }
        seen.push((empty, full));
    }
    panic!("the middle one of {REQUESTS} requests took, without and with the crowd: {seen:?}");
}

/// The loop, with a backend that counts what it's told.
#[cfg(target_os = "linux")]
mod the_list {
    use std::cell::Cell;
    use std::io::{self, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::rc::Rc;
    use std::time::{Duration, Instant};

    use ch07_callbacks::backend::{Asked, Backend};
    use ch07_callbacks::{EventLoop, Interest, Readiness, Token};
    use ch08_epoll::Epoll;

    struct Counting {
        epoll: Epoll,
        changes: Rc<Cell<u32>>,
        waits: Rc<Cell<u32>>,
    }

    impl Backend for Counting {
        fn change(&mut self, asked: Asked<'_>, from: Interest) -> io::Result<()> {
            self.changes.set(self.changes.get() + 1);
            self.epoll.change(asked, from)
        }

        fn wait(
            &mut self,
            all: &mut dyn Iterator<Item = Asked<'_>>,
            at_most: Option<Duration>,
            ready: &mut Vec<(Token, Readiness)>,
        ) -> io::Result<()> {
            self.waits.set(self.waits.get() + 1);
            self.epoll.wait(all, at_most, ready)
        }
    }

    /// A loop with one connection, whose callback sends everything back; and the other side.
    struct Echo {
        event_loop: EventLoop,
        changes: Rc<Cell<u32>>,
        waits: Rc<Cell<u32>>,
        me: Token,
        peer: TcpStream,
        /// The same connection under another number.
        duplicate: TcpStream,
    }

    fn echo() -> Echo {
        let (changes, waits) = <(Rc<Cell<u32>>, Rc<Cell<u32>>)>::default();
        let epoll = Epoll::new().unwrap();
        let counting = Counting { epoll, changes: Rc::clone(&changes), waits: Rc::clone(&waits) };
        let mut event_loop = EventLoop::new(counting);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let ours = listener.accept().unwrap().0;
        let duplicate = ours.try_clone().unwrap();
        let me = event_loop.add_socket(ours).unwrap();
        event_loop.set_read_callback(me, |event_loop, me, input| {
            event_loop.send(me, &std::mem::take(&mut input.bytes));
        });
        Echo { event_loop, changes, waits, me, peer, duplicate }
    }

    impl Echo {
        fn look(&mut self) {
            self.event_loop.turn(Some(Duration::from_millis(1))).unwrap();
        }
    }

    #[test]
    fn no_call_is_made_when_nothing_has_changed() {
        let mut echo = echo();
        echo.look();
        assert_eq!(echo.changes.get(), 1, "it's on the list");
        for _ in 0..100 {
            echo.peer.write_all(b"hello").unwrap();
            let mut answer = Vec::new();
            while answer.len() < 5 {
                echo.look();
                let mut piece = [0; 5];
                echo.peer.set_nonblocking(true).unwrap();
                let count = echo.peer.read(&mut piece).unwrap_or(0);
                echo.peer.set_nonblocking(false).unwrap();
                answer.extend_from_slice(&piece[..count]);
            }
            assert_eq!(answer, b"hello");
        }
        assert_eq!(echo.changes.get(), 1, "a hundred answers, all of which fitted");
        echo.event_loop.close(echo.me);
        assert_eq!(echo.changes.get(), 2, "it's off the list");
    }

    #[test]
    fn write_interest_comes_and_goes_with_what_is_queued() {
        let mut echo = echo();
        echo.look();
        // More than the kernel takes.
        echo.event_loop.send(echo.me, &vec![b'x'; 16 << 20]);
        echo.look();
        assert_eq!(echo.changes.get(), 2);
        let began = Instant::now();
        echo.peer.set_nonblocking(true).unwrap();
        while echo.event_loop.queued(echo.me) > 0 {
            let _ = echo.peer.read(&mut [0; 65536]);
            echo.look();
            assert!(began.elapsed() < Duration::from_secs(30), "it doesn't go out");
        }
        assert_eq!(echo.changes.get(), 3);
    }

    #[test]
    fn a_duplicate_that_lives_on_is_reported_no_more() {
        let mut echo = echo();
        echo.look();
        let me = echo.me;
        echo.event_loop.close(me);
        // The descriptor is closed. What it meant isn't: the duplicate has something to read.
        echo.peer.write_all(b"anybody?").unwrap();
        let mut said = [0; 8];
        echo.duplicate.set_nonblocking(false).unwrap();
        echo.duplicate.read_exact(&mut said[..1]).unwrap();
        let (began, before) = (Instant::now(), echo.waits.get());
        let long = Duration::from_millis(50);
        echo.event_loop.turn(Some(long)).unwrap();
        assert!(began.elapsed() >= long, "a ghost wakes the loop");
        assert_eq!(echo.waits.get(), before + 1);
    }
}
