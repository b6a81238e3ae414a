//! What chapter 9's programs must do, besides its exercises.

#[path = "serving/hangs_up.rs"]
mod hangs_up;
#[path = "serving/never_waits.rs"]
mod never_waits;
#[path = "serving/promises.rs"]
mod promises;
mod scripts;
mod serving;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::{EventLoop, Poll};
use ch09_timers::{Clock, Timer, Timers};
use rstest::rstest;
use serving::Server;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ch09-timers");
const CHAPTER: u32 = 9;
/// The one call in which it waits.
const WAITS_IN: &str = if cfg!(target_os = "linux") { "epoll_wait" } else { "poll" };
/// So many silent visitors it must be able to keep.
const SILENT: usize = 10_000;

/// With deadlines that don't pass while the other promises are looked at.
fn start() -> Server {
    Server::start_with(PROGRAM, CHAPTER, &["600"])
}

/// The loop's timers, by a clock that the script turns.
struct ByHand {
    clock: Clock,
    timers: Timers,
    set: RefCell<Vec<Timer>>,
}

impl scripts::Time for ByHand {
    fn after(
        &self,
        event_loop: &mut EventLoop,
        delay: u64,
        callback: Box<dyn FnOnce(&mut EventLoop)>,
    ) {
        let timer = self.timers.after(event_loop, Duration::from_millis(delay), callback);
        self.set.borrow_mut().push(timer);
    }

    fn cancel(&self, event_loop: &mut EventLoop, number: usize) -> bool {
        self.timers.cancel(event_loop, self.set.borrow()[number])
    }

    fn turn(&self, milliseconds: u64) {
        self.clock.turn(Duration::from_millis(milliseconds));
    }

    fn count(&self, event_loop: &EventLoop) -> usize {
        self.timers.count(event_loop)
    }
}

#[rstest]
#[case::on_poll(|| EventLoop::new(Poll))]
#[case::on_the_systems_best(|| ch08_epoll::event_loop().unwrap())]
fn random_scripts_go_as_the_model_says(#[case] new: fn() -> EventLoop) {
    // Other seeds than in chapter 7.
    for seed in 1000..1000 + scripts::SCRIPTS {
        let mut event_loop = new();
        let clock = Clock::standing();
        let timers = Timers::start(&mut event_loop, clock.clone());
        let time = ByHand { clock, timers, set: RefCell::default() };
        scripts::play(seed, event_loop, Some(Rc::new(time)));
    }
}

mod deadlines {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use ch07_callbacks::EventLoop;
    use ch09_timers::server::{self, Server};
    use ch09_timers::{Clock, Deadlines, Timers};

    use crate::serving::{LARGE, REQUEST};

    const A_BIT: Duration = Duration::from_millis(10);
    /// A loop that is right gets there at once; so long it has on a machine that does other things.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// The chapter's server, in this process, with a clock that is turned by hand.
    struct House {
        event_loop: EventLoop,
        clock: Clock,
        timers: Timers,
        server: Server,
        address: SocketAddr,
    }

    impl House {
        fn open() -> Self {
            let mut event_loop = ch08_epoll::event_loop().unwrap();
            let clock = Clock::standing();
            let timers = Timers::start(&mut event_loop, clock.clone());
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let server =
                server::serve(&mut event_loop, timers, listener, Deadlines::USUAL).unwrap();
            Self { event_loop, clock, timers, server, address }
        }

        /// Somebody who has been let in.
        fn visitor(&mut self) -> Visitor {
            let before = self.timers.count(&self.event_loop);
            let stream = TcpStream::connect(self.address).unwrap();
            stream.set_nonblocking(true).unwrap();
            let let_in = |house: &Self| house.timers.count(&house.event_loop) > before;
            self.turn_until("it's let in", let_in);
            Visitor { stream, heard: Vec::new(), gone: false }
        }

        #[track_caller]
        fn turn_until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
            let began = Instant::now();
            while !done(self) {
                assert!(began.elapsed() < PATIENCE, "it never comes to that: {what}");
                self.event_loop.turn(Some(Duration::from_millis(1))).unwrap();
            }
        }

        /// What there is to do is done.
        fn settle(&mut self) {
            for _ in 0..5 {
                self.event_loop.turn(Some(Duration::from_millis(1))).unwrap();
            }
        }

        /// So much time passes, and everything that follows from it happens.
        fn pass(&mut self, time: Duration) {
            self.clock.turn(time);
            self.settle();
        }
    }

    struct Visitor {
        stream: TcpStream,
        heard: Vec<u8>,
        /// Hung up on.
        gone: bool,
    }

    impl Visitor {
        fn say(&mut self, house: &mut House, bytes: &[u8]) {
            self.stream.write_all(bytes).unwrap();
            house.settle();
        }

        /// Reads what is there, at most so much. How much that was.
        fn listen(&mut self, most: usize) -> usize {
            let before = self.heard.len();
            let mut piece = [0; 65536];
            while self.heard.len() < before + most && !self.gone {
                match self.stream.read(&mut piece) {
                    Ok(0) => self.gone = true,
                    Ok(count) => self.heard.extend_from_slice(&piece[..count]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(_) => self.gone = true,
                }
            }
            self.heard.len() - before
        }

        #[track_caller]
        fn is_hung_up_on(&mut self, house: &mut House) -> String {
            house.turn_until("it's hung up on", |_| {
                self.listen(usize::MAX);
                self.gone
            });
            String::from_utf8_lossy(&self.heard).into_owned()
        }

        #[track_caller]
        fn stays(&mut self) {
            self.listen(usize::MAX);
            assert!(!self.gone, "it's hung up on: {:?}", String::from_utf8_lossy(&self.heard));
        }
    }

    #[test]
    fn who_says_nothing_is_shown_the_door_at_its_time() {
        let mut house = House::open();
        let mut silent = house.visitor();
        house.pass(Deadlines::USUAL.idle - A_BIT);
        silent.stays();
        house.pass(A_BIT);
        assert_eq!(silent.is_hung_up_on(&mut house), "", "nothing was asked: nothing is answered");
        assert_eq!(house.timers.count(&house.event_loop), 0);
    }

    #[test]
    fn a_byte_now_and_then_buys_no_time() {
        let mut house = House::open();
        let mut slow = house.visitor();
        let step = Duration::from_millis(500);
        house.pass(step);
        slow.say(&mut house, &REQUEST[..1]);
        let mut passed = Duration::ZERO;
        for byte in &REQUEST[1..] {
            slow.stays();
            if passed + step >= Deadlines::USUAL.request {
                break;
            }
            house.pass(step);
            passed += step;
            slow.say(&mut house, &[*byte]);
        }
        assert_eq!(passed + step, Deadlines::USUAL.request, "it's still here just before");
        house.pass(step);
        let said = slow.is_hung_up_on(&mut house);
        assert!(said.starts_with("HTTP/1.0 408 Request Timeout\r\n"), "{said}");
    }

    #[test]
    fn the_slow_but_honest_one_is_served() {
        let mut house = House::open();
        let mut slow = house.visitor();
        // The cast's slow visitor takes about a second for it.
        for byte in REQUEST {
            house.pass(Duration::from_secs(1) / u32::try_from(REQUEST.len()).unwrap());
            slow.say(&mut house, &[*byte]);
        }
        let said = slow.is_hung_up_on(&mut house);
        assert!(said.ends_with("Served by chapter 9.\n"), "{said}");
    }

    #[test]
    fn who_reads_slowly_may_read_to_the_end() {
        let mut house = House::open();
        let mut greedy = house.visitor();
        greedy.say(&mut house, LARGE);
        let nearly = Deadlines::USUAL.answer - A_BIT;
        let mut passed = Duration::ZERO;
        while !greedy.gone {
            // A good piece, so that the kernel takes more from us; and then nearly too long nothing.
            house
                .turn_until("there is more to read", |_| greedy.gone || greedy.listen(1 << 20) > 0);
            house.settle();
            if greedy.heard.len() < 8 << 20 {
                house.pass(nearly);
                passed += nearly;
            }
        }
        assert!(greedy.heard.len() > 8 << 20, "{} bytes", greedy.heard.len());
        assert!(passed > Deadlines::USUAL.answer * 3, "it took {passed:?}");
    }

    #[test]
    fn who_does_not_read_is_shown_the_door() {
        let mut house = House::open();
        let mut stuck = house.visitor();
        stuck.say(&mut house, LARGE);
        house.settle();
        for _ in 0..3 {
            house.pass(Deadlines::USUAL.answer);
        }
        house.turn_until("nobody is here", |house| house.timers.count(&house.event_loop) == 0);
        stuck.is_hung_up_on(&mut house);
        assert!(stuck.heard.len() < 8 << 20);
    }

    #[test]
    fn who_does_not_leave_is_shown_the_door() {
        let mut house = House::open();
        let mut staying = house.visitor();
        staying.say(&mut house, REQUEST);
        let said = staying.is_hung_up_on(&mut house); // the end of what it's sent: it hasn't hung up itself
        assert!(said.ends_with("Served by chapter 9.\n"), "{said}");
        house.pass(Deadlines::USUAL.idle - A_BIT);
        assert_eq!(house.timers.count(&house.event_loop), 1, "it's here");
        // Talking on doesn't help.
        staying.say(&mut house, b"and another thing");
        house.pass(A_BIT);
        assert_eq!(house.timers.count(&house.event_loop), 0);
    }

    #[test]
    fn who_leaves_takes_the_deadline_along() {
        let mut house = House::open();
        for _ in 0..3 {
            let mut visitors = Vec::new();
            for said in [&b""[..], &REQUEST[..10], REQUEST, LARGE] {
                let mut visitor = house.visitor();
                visitor.say(&mut house, said);
                visitors.push(visitor);
            }
            drop(visitors);
            house.turn_until("all are gone", |house| house.timers.count(&house.event_loop) == 0);
        }
    }

    #[test]
    fn last_orders() {
        let mut house = House::open();
        let mut silent = house.visitor();
        let mut asking = house.visitor();
        let mut never = house.visitor();
        asking.say(&mut house, &REQUEST[..20]);
        never.say(&mut house, &REQUEST[..20]);
        house.server.stop(&mut house.event_loop);
        assert_eq!(silent.is_hung_up_on(&mut house), "");
        assert!(TcpStream::connect(house.address).is_err(), "nobody is let in any more");
        asking.say(&mut house, &REQUEST[20..]);
        let said = asking.is_hung_up_on(&mut house);
        assert!(said.ends_with("Served by chapter 9.\n"), "{said}");
        never.stays();
        house.clock.turn(Duration::from_secs(5));
        house.event_loop.run().unwrap(); // and it returns
    }
}

mod stopping {
    use std::net::TcpStream;
    use std::time::Duration;

    use nix::sys::signal::Signal::{SIGINT, SIGTERM};
    use rstest::rstest;

    use super::{CHAPTER, PROGRAM, start};
    use crate::serving::{REQUEST, Server};

    #[rstest]
    #[case::terminated(SIGTERM)]
    #[case::interrupted(SIGINT)]
    fn an_idle_server_stops_at_once(#[case] signal: nix::sys::signal::Signal) {
        let server = start();
        let silent = server.silent(3);
        server.settled();
        server.program.signal(signal);
        assert!(server.program.ended().unwrap().success());
        server.program.says(|line| line == "stopping; visitors here: 3").unwrap();
        server.program.says(|line| line == "stopped").unwrap();
        drop(silent);
    }

    #[test]
    fn who_is_being_served_is_served() {
        let server = start();
        let mut asking = server.visitor("asking visitor");
        asking.send_in_pieces(&REQUEST[..20], 1, &server.program).unwrap();
        server.program.signal(SIGTERM);
        server.program.says(|line| line.starts_with("stopping")).unwrap();
        server.settled();
        assert!(TcpStream::connect(server.address).is_err(), "nobody is let in any more");
        asking.send(&REQUEST[20..]).unwrap();
        server.expect_page(&mut asking);
        drop(asking);
        assert!(server.program.ended().unwrap().success());
    }

    #[test]
    fn a_second_signal_stops_it_at_once() {
        let server = start();
        let mut asking = server.visitor("asking visitor");
        asking.send_in_pieces(&REQUEST[..20], 1, &server.program).unwrap();
        server.program.signal(SIGTERM);
        server.program.says(|line| line.starts_with("stopping")).unwrap();
        server.settled();
        assert!(server.program.exit_status().is_none(), "somebody is being served");
        server.program.signal(SIGINT);
        assert!(server.program.ended().unwrap().success());
        drop(asking);
    }

    #[test]
    fn the_deadlines_pass_by_the_real_clock_too() {
        let server = Server::start_with(PROGRAM, CHAPTER, &["0.3"]);
        let mut silent = server.visitor("silent visitor");
        let began = std::time::Instant::now();
        let received = silent.receive_all(&server.program).expect("it's hung up on");
        // The visitor was let in before we looked at the clock; a tick of that is forgiven.
        assert!(began.elapsed() > Duration::from_millis(250), "{:?}", began.elapsed());
        assert_eq!(received.bytes, b"");
        let mut slow = server.visitor("slow visitor");
        slow.send(&REQUEST[..20]).unwrap();
        assert_eq!(server.answer(&mut slow).status, 408);
        server.program.says(|line| line.ends_with("it said nothing")).unwrap();
        server.program.says(|line| line.ends_with("its request didn't become whole")).unwrap();
        server.still_serves();
        server.does_nothing();
    }

    /// What has come goes before deadlines that have passed while the program was stopped (Ctrl-Z).
    #[test]
    fn who_asked_while_it_was_stopped_is_answered() {
        let server = Server::start_with(PROGRAM, CHAPTER, &["0.5"]);
        let mut asking = server.visitor("asking visitor");
        let mut silent = server.visitor("silent visitor");
        asking.send_in_pieces(&REQUEST[..20], 1, &server.program).unwrap();
        server.settled();
        server.program.stop();
        asking.send(&REQUEST[20..]).unwrap();
        silent.send(REQUEST).unwrap();
        std::thread::sleep(Duration::from_secs(1)); // both deadlines pass
        server.program.go_on();
        server.expect_page(&mut asking);
        server.expect_page(&mut silent);
    }
}

mod timers {
    use std::cell::{Cell, RefCell};
    use std::io;
    use std::rc::Rc;
    use std::time::{Duration, Instant};

    use ch07_callbacks::backend::{Asked, Backend};
    use ch07_callbacks::{EventLoop, Interest, Poll, Readiness, Token};
    use ch09_timers::{Clock, Timers};

    /// Counts how often it's asked to wait.
    struct Counting(Rc<Cell<u32>>);

    impl Backend for Counting {
        fn change(&mut self, asked: Asked<'_>, from: Interest) -> io::Result<()> {
            Poll.change(asked, from)
        }

        fn wait(
            &mut self,
            all: &mut dyn Iterator<Item = Asked<'_>>,
            at_most: Option<Duration>,
            ready: &mut Vec<(Token, Readiness)>,
        ) -> io::Result<()> {
            self.0.set(self.0.get() + 1);
            Poll.wait(all, at_most, ready)
        }
    }

    #[test]
    fn less_than_a_millisecond_is_no_spin_and_nothing_comes_early() {
        const TIMES: u32 = 100;
        let waits = Rc::new(Cell::new(0));
        let mut event_loop = EventLoop::new(Counting(Rc::clone(&waits)));
        let timers = Timers::start(&mut event_loop, Clock::system());
        for delay in (0..TIMES).map(|number| Duration::from_micros(u64::from(10 * number) + 5)) {
            let set = Instant::now();
            let early = Rc::new(Cell::new(None));
            let told = Rc::clone(&early);
            timers.after(&mut event_loop, delay, move |_| told.set(Some(set.elapsed() < delay)));
            event_loop.run().unwrap();
            assert_eq!(early.get(), Some(false), "after {delay:?}");
        }
        // One for each, and a few for a kernel that wakes a little early.
        assert!(waits.get() <= 2 * TIMES, "{} waits for {TIMES} timers", waits.get());
    }

    #[test]
    fn one_that_sets_another_for_a_moment_that_has_passed_lets_others_have_their_turns() {
        fn again(event_loop: &mut EventLoop, timers: Timers, called: &Rc<Cell<u32>>) {
            called.set(called.get() + 1);
            assert!(called.get() < 100, "one turn goes on for ever");
            let called = Rc::clone(called);
            timers.at(event_loop, Duration::ZERO, move |event_loop| {
                again(event_loop, timers, &called);
            });
        }
        let mut event_loop = EventLoop::new(Poll);
        let clock = Clock::standing();
        let timers = Timers::start(&mut event_loop, clock.clone());
        clock.turn(Duration::from_secs(5));
        let called = Rc::default();
        again(&mut event_loop, timers, &called);
        for turns in 2..10 {
            event_loop.turn(Some(Duration::ZERO)).unwrap();
            assert_eq!(called.get(), turns, "one in each turn");
        }
    }

    #[test]
    fn a_hundred_thousand_of_them_are_cheap() {
        const MANY: u64 = 100_000;
        const SOME: u64 = 2_000;
        let mut event_loop = EventLoop::new(Poll);
        let clock = Clock::standing();
        let timers = Timers::start(&mut event_loop, clock.clone());
        // Sets and cancels some, in no order of time.
        let set_and_cancel = |event_loop: &mut EventLoop| {
            let began = Instant::now();
            let far = |number: u64| Duration::from_secs(1 + number * 7919 % 1000);
            let set: Vec<_> =
                (0..SOME).map(|number| timers.after(event_loop, far(number), |_| {})).collect();
            for timer in set {
                assert!(timers.cancel(event_loop, timer));
            }
            began.elapsed()
        };
        let with_none = set_and_cancel(&mut event_loop);
        let called = Rc::new(RefCell::new(Vec::new()));
        for number in 0..MANY {
            let (called, due) = (Rc::clone(&called), number * 7919 % MANY);
            timers.after(&mut event_loop, Duration::from_millis(due), move |_| {
                called.borrow_mut().push(due);
            });
        }
        let with_many = set_and_cancel(&mut event_loop);
        // A list that is searched from its beginning would take thousands of times as long.
        assert!(with_many < 50 * with_none, "{with_none:?} with none, {with_many:?} with many");
        clock.turn(Duration::from_millis(MANY));
        event_loop.run().unwrap();
        assert_eq!(*called.borrow(), (0..MANY).collect::<Vec<_>>());
    }
}

/// Signals that come while the loop is busy aren't lost, and interrupt nothing.
#[test]
fn a_signal_is_an_event_like_any_other() {
    use ch09_timers::signals;
    use nix::sys::signal::{Signal, raise};
    let mut event_loop = ch08_epoll::event_loop().unwrap();
    let came = Rc::new(RefCell::new(Vec::new()));
    let told = Rc::clone(&came);
    signals::on_signals(
        &mut event_loop,
        &[Signal::SIGUSR1, Signal::SIGUSR2],
        move |event_loop, signal| {
            told.borrow_mut().push(signal);
            if told.borrow().len() == 2 {
                event_loop.stop();
            }
        },
    )
    .unwrap();
    raise(Signal::SIGUSR1).unwrap();
    raise(Signal::SIGUSR2).unwrap();
    assert!(came.borrow().is_empty(), "nobody was interrupted");
    event_loop.run().unwrap();
    assert_eq!(*came.borrow(), [Signal::SIGUSR1, Signal::SIGUSR2]);
}
