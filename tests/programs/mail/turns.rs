//! A server of lines, turned by hand.

use std::cell::Cell;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ch07_callbacks::EventLoop;
use ch09_timers::{Clock, Timers};
use ch12_kernel::line_server::{Event, LineServer, MOST_QUEUED, Options, Session, Talk, Waits};
use ch12_kernel::presence::Service;

use crate::house::PATIENCE;

/// As long as the answer to `more`, in bytes.
const MUCH: usize = 10_000;

/// Counts lines, and says nothing to most.
struct Counter(Rc<Cell<usize>>);

impl Session for Counter {
    fn receive(&mut self, event: Event<'_>, talk: &mut Talk<'_>) {
        match event {
            Event::Line(b"more") => talk.say(&[b'x'; MUCH]),
            Event::Line(_) => self.0.set(self.0.get() + 1),
            Event::Ended => talk.hang_up(),
            _ => {}
        }
    }

    fn waits(&self) -> Waits {
        Waits { what: "a line", at_most: Some(Duration::from_secs(60)) }
    }
}

/// A server in a loop, and somebody who is connected.
struct Hall {
    event_loop: EventLoop,
    timers: Timers,
    server: LineServer<Counter>,
    counted: Rc<Cell<usize>>,
    /// Until it hangs up.
    stream: Option<TcpStream>,
}

impl Hall {
    fn open() -> Self {
        let mut event_loop = ch08_epoll::event_loop().unwrap();
        let timers = Timers::start(&mut event_loop, Clock::standing());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let options = Options { protocol: "lines", longest_line: 80, most: 10, full: "no\r\n" };
        let counted = Rc::new(Cell::new(0));
        let counts = Rc::clone(&counted);
        let session = move |_| Counter(Rc::clone(&counts));
        let server =
            LineServer::start(&mut event_loop, timers, listener, options, session).unwrap();
        Self { event_loop, timers, server, counted, stream: Some(stream) }
    }

    fn say(&self, bytes: &[u8]) {
        let mut stream = self.stream.as_ref().expect("it's here");
        stream.write_all(bytes).unwrap();
    }

    /// Turns until that is so.
    #[track_caller]
    fn until(&mut self, mut is_so: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < PATIENCE, "{} lines were heard", self.counted.get());
            self.event_loop.turn(Some(Duration::from_millis(1))).unwrap();
        }
    }
}

/// However many lines somebody has sent, after some of them the others' turn comes.
#[test]
fn one_who_says_a_lot_is_heard_turn_by_turn() {
    let mut hall = Hall::open();
    hall.say(&b"x\r\n".repeat(4000));
    let (mut before, mut most_in_a_turn) = (0, 0);
    hall.until(|hall| {
        most_in_a_turn = most_in_a_turn.max(hall.counted.get() - before);
        before = hall.counted.get();
        before == 4000
    });
    // Called twice in a turn at the most: for what has come, and for what was left.
    assert!((256..=2 * 256).contains(&most_in_a_turn), "{most_in_a_turn} in one turn");
}

/// Whoever asks and asks and reads nothing isn't answered for ever.
#[test]
fn one_who_never_reads_is_not_heard_any_more() {
    let mut hall = Hall::open();
    hall.say(&b"more\r\n".repeat(4000));
    let mut most_queued = 0;
    for _ in 0..200 {
        hall.event_loop.turn(Some(Duration::from_millis(1))).unwrap();
        let rows = hall.server.rows(&hall.event_loop);
        let queued = rows.first().map_or(0, |row| hall.event_loop.queued(row.token));
        most_queued = most_queued.max(queued);
    }
    assert!((MOST_QUEUED..MOST_QUEUED + MUCH).contains(&most_queued), "{most_queued}");
}

/// One deadline for one connection, however much it has said; and none when it's gone.
#[test]
fn nothing_is_left_of_who_is_gone() {
    let mut hall = Hall::open();
    for line in 1..=20 {
        hall.say(b"x\r\n");
        hall.until(|hall| hall.counted.get() == line);
    }
    assert_eq!(hall.timers.count(&hall.event_loop), 1);
    hall.stream = None;
    hall.until(|hall| hall.server.rows(&hall.event_loop).is_empty());
    assert_eq!(hall.timers.count(&hall.event_loop), 0);
}
