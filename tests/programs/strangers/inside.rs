//! Servers in the test's own process, for handlers that the program hasn't got: that answer later, that panic,
//! that stream.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ch07_callbacks::EventLoop;
use ch09_timers::{Clock, Timers};
use ch10_http::Status;
use ch11_http_server::listen::listen_on;
use ch11_http_server::log::{Opened, Writer};
use ch11_http_server::mailbox::Sender as Letters;
use ch11_http_server::metrics::Counters;
use ch11_http_server::{Answer, Body, Flow, Response, Routes, Server, Settings, Ticket, mailbox};
use rstest::rstest;

use crate::house::{End, MIB, Visitor, log_of};
use crate::tools::PATIENCE;
use visitors::setup::until;

/// Something that the loop does.
type Job = Box<dyn FnOnce(&mut EventLoop, &Server) + Send>;
/// A handler hands its ticket out.
type Asked = (String, Ticket);

/// A server in a thread of its own.
pub struct Inside {
    pub address: SocketAddr,
    pub counters: Arc<Counters>,
    jobs: Letters<Job>,
    asked: Receiver<Asked>,
    thread: Option<JoinHandle<()>>,
}

impl Inside {
    /// With these routes. What is sent to the sender, [`Inside::next`] gives.
    pub fn open(
        settings: Settings,
        routes: impl FnOnce(&mut Routes, &Sender<Asked>) + Send + 'static,
    ) -> Self {
        Self::open_with(settings, None, routes)
    }

    fn open_with(
        settings: Settings,
        log: Option<&Path>,
        routes: impl FnOnce(&mut Routes, &Sender<Asked>) + Send + 'static,
    ) -> Self {
        let listener = listen_on("127.0.0.1:0".parse().unwrap(), false).unwrap();
        Self::open_at(listener, settings, log, routes)
    }

    fn open_at(
        listener: TcpListener,
        settings: Settings,
        log: Option<&Path>,
        routes: impl FnOnce(&mut Routes, &Sender<Asked>) + Send + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let counters = Arc::<Counters>::default();
        let counts = Arc::clone(&counters);
        let writer = log.map(|path| Opened::open(path).unwrap().start().unwrap());
        let (tells, asked) = channel();
        let (gives, jobs) = channel();
        let thread = thread::spawn(move || {
            let mut event_loop = ch08_epoll::event_loop().unwrap();
            let timers = Timers::start(&mut event_loop, Clock::system());
            let mut all = Routes::new();
            all.get("/hello", |_, _| Response::text("Hello, World!"));
            let tell = tells.clone();
            all.get("/later/{name}", move |context, request| {
                let name = request.parameter("name").unwrap_or_default().into_owned();
                tell.send((name, context.ticket)).unwrap();
                Answer::Later
            });
            routes(&mut all, &tells);
            let log = writer.as_ref().map(Writer::log);
            let server =
                Server::start_with(&mut event_loop, timers, listener, settings, all, counts, log)
                    .unwrap();
            let (_, jobs) = mailbox(&mut event_loop, move |event_loop, job: Job| {
                job(event_loop, &server);
            })
            .unwrap();
            gives.send(jobs).unwrap();
            event_loop.run().unwrap();
            drop(event_loop);
            if let Some(writer) = writer {
                writer.finish();
            }
        });
        let jobs = jobs.recv_timeout(PATIENCE).expect("it starts");
        Self { address, counters, jobs, asked, thread: Some(thread) }
    }

    #[track_caller]
    pub fn visitor(&self) -> Visitor {
        Visitor::call(self.address)
    }

    /// Whoever has asked next for something that comes later.
    #[track_caller]
    fn next(&self) -> Asked {
        self.asked.recv_timeout(PATIENCE).expect("somebody asks")
    }

    /// Somebody asks for the one that is called so.
    #[track_caller]
    fn next_is(&self, name: &str) -> Ticket {
        let (asked, ticket) = self.next();
        assert_eq!(asked, name);
        ticket
    }

    /// Has something done in the loop.
    #[track_caller]
    fn does<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut EventLoop, &Server) -> T + Send + 'static,
    ) -> T {
        let (gives, done) = channel();
        self.jobs.send(Box::new(move |event_loop, server| {
            // We may have stopped waiting for it.
            let _ = gives.send(job(event_loop, server));
        }));
        done.recv_timeout(PATIENCE).expect("the loop lives")
    }

    /// Gives a text for a ticket. Whether somebody was waiting for it.
    #[track_caller]
    fn give(&self, ticket: Ticket, text: &str) -> bool {
        let text = text.to_owned();
        self.does(move |event_loop, _| {
            ticket.answer(event_loop, Response::made("text/plain", text))
        })
    }

    #[track_caller]
    pub fn is_empty(&self) {
        until("all visitors are gone", || (self.counters.open.get() == 0).then_some(()));
    }

    #[track_caller]
    fn still_serves(&self) {
        let mut quick = self.visitor();
        quick.get("/hello", "");
        assert_eq!(quick.answer().text(), "Hello, World!");
    }

    /// Ends it at once, and waits for that: its log is whole then.
    #[track_caller]
    fn ends(mut self) {
        self.jobs.send(Box::new(|event_loop, _| event_loop.stop()));
        let ended = self.thread.take().expect("once").join();
        assert!(ended.is_ok(), "its thread panicked");
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.jobs.send(Box::new(|event_loop, _| event_loop.stop()));
    }
}

#[test]
fn a_panic_is_500_and_ends_that_connection_alone() {
    let inside = Inside::open(Settings::USUAL, |routes, _| {
        routes.get("/panic", |_, _| -> Response { panic!("as the test wants") });
        routes.post("/panic", |context, _| -> Response {
            context.ticket.answer(context.event_loop, Response::text("too early"));
            panic!("as the test wants")
        });
    });
    let mut bystander = inside.visitor();
    let mut late = inside.visitor();
    late.get("/later/a", "");
    let ticket = inside.next_is("a");
    for (times, method) in ["GET", "POST"].into_iter().enumerate() {
        bystander.get("/hello", "");
        bystander.answer();
        let mut visitor = inside.visitor();
        visitor.say(format!(
            "GET /hello HTTP/1.1\r\nHost: here\r\n\r\n{method} /panic HTTP/1.1\r\nHost: here\r\n\r\n\
             GET /later/never HTTP/1.1\r\nHost: here\r\n\r\n"
        ));
        assert_eq!(visitor.answer().text(), "Hello, World!");
        let answer = visitor.answer();
        assert_eq!((answer.status, answer.field("Connection")), (500, Some("close")));
        assert!(!answer.text().contains("test"), "what went wrong is nobody's business");
        assert!(visitor.rest().0.is_empty());
        assert_eq!(inside.counters.panics.get(), times as u64 + 1);
    }
    bystander.get("/hello", "");
    assert_eq!(bystander.answer().text(), "Hello, World!");
    assert!(inside.give(ticket, "late"));
    assert_eq!(late.answer().text(), "late");
    drop((bystander, late));
    inside.is_empty();
    assert!(inside.asked.try_recv().is_err(), "what was behind the panic was looked at");
}

/// Its answer has begun: it can't be 500 any more. It can be seen not to be whole.
#[rstest]
#[case::at_once(0)]
#[case::after_three_pieces(3)]
fn a_stream_that_panics_is_seen_to_be_cut_off(#[case] pieces: usize) {
    let inside = Inside::open(Settings::USUAL, move |routes, _| {
        routes.get("/stream", move |_, _| {
            let mut left = pieces;
            Response::stream("text/plain", move |_, to| {
                assert!(left > 0, "as the test wants");
                left -= 1;
                to.extend_from_slice(b"piece");
                Flow::More
            })
        });
    });
    let mut bystander = inside.visitor();
    bystander.get("/hello", "");
    bystander.answer();
    let mut visitor = inside.visitor();
    visitor.get("/stream", "");
    visitor.get("/hello", "");
    let text = String::from_utf8(visitor.rest().0).unwrap();
    assert!(
        text.starts_with("HTTP/1.1 200 OK\r\n") && text.matches("piece").count() <= pieces,
        "{text}"
    );
    assert!(!text.contains("\r\n0\r\n") && !text.contains("Hello"), "{text}");
    bystander.get("/hello", "");
    assert_eq!(bystander.answer().text(), "Hello, World!");
    drop(bystander);
    inside.is_empty();
}

#[test]
fn late_answers_reach_who_asked() {
    const MANY: usize = 50;
    let inside = Inside::open(Settings::USUAL, |_, _| ());
    let mut visitors: Vec<Visitor> = (0..MANY).map(|_| inside.visitor()).collect();
    for turn in 0..3 {
        let mut asked = Vec::new();
        for (number, visitor) in visitors.iter_mut().enumerate() {
            visitor.get(&format!("/later/{turn}-{number}"), "");
            asked.push(inside.next());
        }
        // Last come, first served.
        for (name, ticket) in asked.into_iter().rev() {
            assert!(inside.give(ticket, &name));
            assert!(!inside.give(ticket, "twice"), "it has been answered");
        }
        for (number, visitor) in visitors.iter_mut().enumerate() {
            assert_eq!(visitor.answer().text(), format!("{turn}-{number}"));
        }
    }
    // Nothing else has come.
    for visitor in &mut visitors {
        visitor.get("/hello", "");
        assert_eq!(visitor.answer().text(), "Hello, World!");
    }
}

/// Another thread works it out. Its result finds the way.
#[test]
fn other_threads_results_reach_who_asked() {
    const MANY: usize = 40;
    let inside = Inside::open(Settings::USUAL, |_, _| ());
    let mut visitors: Vec<Visitor> = (0..MANY).map(|_| inside.visitor()).collect();
    for (number, visitor) in visitors.iter_mut().enumerate() {
        visitor.get(&format!("/later/{number}"), "");
    }
    let asked: Vec<Asked> = (0..MANY).map(|_| inside.next()).collect();
    thread::scope(|scope| {
        for part in asked.chunks(7) {
            let jobs = inside.jobs.clone();
            scope.spawn(move || {
                for (name, ticket) in part {
                    let (ticket, result) = (*ticket, format!("the result of {name}"));
                    jobs.send(Box::new(move |event_loop, _| {
                        assert!(ticket.answer(event_loop, Response::made("text/plain", result)));
                    }));
                }
            });
        }
    });
    for (number, visitor) in visitors.iter_mut().enumerate() {
        assert_eq!(visitor.answer().text(), format!("the result of {number}"));
    }
}

#[rstest]
#[case::politely(false)]
#[case::by_reset(true)]
fn a_ticket_whose_visitor_left_does_no_harm(#[case] by_reset: bool) {
    let inside = Inside::open(Settings::USUAL, |_, _| ());
    let mut tickets = Vec::new();
    for turn in 0..20 {
        let mut leaving = inside.visitor();
        leaving.get("/later/left", "");
        tickets.push(inside.next_is("left"));
        match by_reset {
            true => leaving.reset(),
            false => drop(leaving),
        }
        if by_reset {
            inside.is_empty();
        } else {
            // Whoever has finished sending may still listen: nobody knows before the answer.
            inside.give(tickets[turn], "for nobody");
            inside.is_empty();
        }
        // Whoever comes next sits in the same place.
        let mut next = inside.visitor();
        next.get("/later/next", "");
        let ticket = inside.next_is("next");
        for old in &tickets {
            assert!(!inside.give(*old, "for somebody else"));
            assert!(!inside.does({
                let old = *old;
                move |event_loop, _| old.resume(event_loop)
            }));
        }
        assert!(inside.give(ticket, "right"));
        assert_eq!(next.answer().text(), "right");
        next.get("/hello", "");
        assert_eq!(next.answer().text(), "Hello, World!");
        drop(next);
        inside.is_empty();
    }
}

/// One who doesn't wait for one answer before it asks for the next.
#[test]
fn what_comes_behind_a_late_answer_waits_its_turn() {
    let inside = Inside::open(Settings::USUAL, |_, _| ());
    let mut visitor = inside.visitor();
    for path in ["/hello", "/later/a", "/hello?1", "/later/b", "/later/c", "/hello?2"] {
        visitor.get(path, "");
    }
    assert_eq!(visitor.answer().text(), "Hello, World!", "what was before it doesn't");
    let a = inside.next_is("a");
    inside.still_serves();
    visitor.hears_nothing();
    assert!(inside.asked.try_recv().is_err(), "b was looked at before a was answered");
    assert!(inside.give(a, "a"));
    assert_eq!(visitor.answer().text(), "a");
    assert_eq!(visitor.answer().text(), "Hello, World!");
    let b = inside.next_is("b");
    assert!(!inside.give(a, "a again"));
    visitor.finish_sending();
    assert!(inside.give(b, "b"));
    assert_eq!(visitor.answer().text(), "b");
    assert!(inside.give(inside.next_is("c"), "c"));
    assert_eq!(visitor.answer().text(), "c");
    assert_eq!(visitor.answer().text(), "Hello, World!");
    visitor.is_hung_up_on();
}

/// The answers before it find no room. It has to wait behind them, and mustn't be lost.
#[test]
fn a_late_answer_behind_others_that_find_no_room_is_not_lost() {
    const EACH: usize = 60;
    let text: &'static [u8] = Box::leak(vec![b'x'; 1000].into_boxed_slice());
    let inside = Inside::open(Settings::USUAL, move |routes, _| {
        routes.get("/text", move |_, _| Response::new(Status::OK).with(Body::Static(text)));
    });
    let mut visitor = Visitor::with_little_room(inside.address, 8 * 1024);
    let mut rounds = 0;
    // Each round's answers are sent together, up to the one that comes later. Sooner or later there is no room
    // for all of them.
    loop {
        let round = "GET /text HTTP/1.1\r\nHost: here\r\n\r\n".repeat(EACH);
        visitor.say(format!("{round}GET /later/{rounds} HTTP/1.1\r\nHost: here\r\n\r\n"));
        let Ok((name, ticket)) = inside.asked.recv_timeout(Duration::from_secs(1)) else { break };
        assert_eq!(name, rounds.to_string());
        assert!(inside.give(ticket, &name), "nobody waits for answer {name}");
        rounds += 1;
        assert!(rounds < 500, "there is room for everything");
    }
    let mut seen = 0;
    let mut given = rounds;
    for round in 0..=rounds {
        for _ in 0..EACH {
            assert_eq!(visitor.answer().body, text, "round {round}");
        }
        if round == given {
            let (name, ticket) = inside.next();
            assert!(inside.give(ticket, &name));
            given += 1;
        }
        assert_eq!(visitor.answer().text(), round.to_string());
        seen += 1;
    }
    assert_eq!(seen, rounds + 1);
    visitor.get("/hello", "");
    assert_eq!(visitor.answer().text(), "Hello, World!");
}

#[test]
fn an_answer_that_does_not_come_in_time_is_504() {
    let mut settings = Settings::USUAL;
    settings.handler_timeout = Duration::from_secs(3);
    let inside = Inside::open(settings, |_, _| ());
    let mut visitor = inside.visitor();
    visitor.get("/later/a", "");
    visitor.get("/hello", "");
    let old = inside.next_is("a");
    let answer = visitor.answer();
    assert_eq!(answer.status, 504);
    if answer.field("Connection").is_none() {
        assert_eq!(visitor.answer().text(), "Hello, World!");
        assert!(!inside.give(old, "too late"));
        // The next one's time is its own, and so is its answer.
        visitor.get("/later/b", "");
        let new = inside.next_is("b");
        assert!(!inside.give(old, "much too late"));
        assert!(inside.give(new, "in time"));
        assert_eq!(visitor.answer().text(), "in time");
    }
    assert!(inside.counters.late.get() >= 1);
    inside.still_serves();
}

/// What a handler gives twice is given once.
#[test]
fn an_answer_given_and_returned_is_one() {
    let inside = Inside::open(Settings::USUAL, |routes, _| {
        routes.get("/both", |context, _| {
            context.ticket.answer(context.event_loop, Response::text("one of both"));
            Response::text("one of both")
        });
        routes.get("/at-once", |context, _| {
            context.ticket.answer(context.event_loop, Response::text("at once"));
            Answer::Later
        });
    });
    let mut visitor = inside.visitor();
    for _ in 0..3 {
        visitor.get("/both", "");
        assert_eq!(visitor.answer().text(), "one of both");
        visitor.get("/at-once", "");
        assert_eq!(visitor.answer().text(), "at once");
        // By then whatever was left to be said has been.
        inside.still_serves();
    }
    visitor.get("/both", "");
    visitor.get("/hello", "Connection: close\r\n");
    assert_eq!(visitor.answer().text(), "one of both");
    assert_eq!(visitor.answer().text(), "Hello, World!");
    visitor.is_hung_up_on();
}

/// HEAD is answered late, too, and without a body.
#[test]
fn late_answers_to_head_have_no_body() {
    let inside = Inside::open(Settings::USUAL, |_, _| ());
    let mut visitor = inside.visitor();
    visitor.say(
        "HEAD /later/a HTTP/1.1\r\nHost: here\r\n\r\nGET /hello HTTP/1.1\r\nHost: here\r\n\r\n",
    );
    assert!(inside.give(inside.next_is("a"), "four"));
    assert_eq!(visitor.answer_to_head().field("Content-Length"), Some("4"));
    assert_eq!(visitor.answer().text(), "Hello, World!");
}

/// When the server is stopped, somebody waits for an answer.
#[test]
fn a_late_answer_is_waited_for_when_the_server_stops() {
    let inside = Inside::open(Settings::USUAL, |_, _| ());
    let mut visitor = inside.visitor();
    visitor.get("/later/a", "");
    visitor.get("/hello", "");
    let ticket = inside.next_is("a");
    inside.does(|event_loop, server| server.stop(event_loop, EventLoop::stop));
    until("nobody is let in", || Visitor::try_call(inside.address).is_err().then_some(()));
    assert!(inside.give(ticket, "a"));
    let answer = visitor.answer();
    assert_eq!((answer.text().as_str(), answer.field("Connection")), ("a", Some("close")));
    assert!(visitor.rest().0.is_empty());
    until("it ends", || inside.thread.as_ref().unwrap().is_finished().then_some(()));
}

/// Two servers in one loop. Stopping one of them is nothing to the other's visitors.
#[test]
fn a_server_that_stops_leaves_others_alone() {
    let inside = Inside::open(Settings::USUAL, |_, _| ());
    let listener = listen_on("127.0.0.1:0".parse().unwrap(), false).unwrap();
    let other = listener.local_addr().unwrap();
    inside.does(move |event_loop, _| {
        let timers = Timers::start(event_loop, Clock::system());
        let mut routes = Routes::new();
        routes.get("/", |_, _| Response::text("the other"));
        Server::start(event_loop, timers, listener, Settings::USUAL, routes).map(drop).unwrap();
    });
    let mut ours = inside.visitor();
    let mut theirs = Visitor::call(other);
    ours.get("/hello", "");
    theirs.get("/", "");
    assert_eq!(
        (ours.answer().text(), theirs.answer().text()),
        ("Hello, World!".into(), "the other".into())
    );
    inside.does(|event_loop, server| server.stop(event_loop, |_| ()));
    ours.is_hung_up_on();
    // At once, and again when all is over.
    inside.does(|event_loop, server| server.stop(event_loop, |_| ()));
    theirs.get("/", "");
    let answer = theirs.answer();
    assert_eq!((answer.text().as_str(), answer.field("Connection")), ("the other", None));
}

/// Counts how many of it there are.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that says something when it's told to, for each of its visitors; and says nothing in between.
#[test]
fn a_stream_that_pauses_goes_on() {
    let streams = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&streams);
    let inside = Inside::open(Settings::USUAL, move |routes, tells| {
        let tells = tells.clone();
        routes.get("/stream/{name}", move |context, request| {
            let name = request.parameter("name").unwrap_or_default().into_owned();
            tells.send((name.clone(), context.ticket)).unwrap();
            let (counted, mut called) = (Counted::new(&count), 0);
            Response::stream("text/plain", move |_, to| {
                let _ = &counted;
                called += 1;
                // The first time there is nothing at all to say: that isn't the end.
                if called > 1 {
                    to.extend_from_slice(format!("{name}{called} ").as_bytes());
                }
                if called > 4 { Flow::End } else { Flow::Pause }
            })
        });
    });
    let mut visitors = [inside.visitor(), inside.visitor(), inside.visitor()];
    let mut tickets = Vec::new();
    for (visitor, name) in visitors.iter_mut().zip(["a", "b", "c"]) {
        visitor.get(&format!("/stream/{name}"), "");
        visitor.get("/hello", "");
        tickets.push(inside.next_is(name));
    }
    let [leaving, mut b, mut c] = visitors;
    let resume = |ticket: Ticket| inside.does(move |event_loop, _| ticket.resume(event_loop));
    leaving.stream.peek(&mut [0]).expect("it has begun");
    drop(leaving);
    // Its end may be found when something is sent; then it's gone.
    until("the first is gone", || (!resume(tickets[0])).then_some(()));
    assert!(until("its stream is gone", || (streams.load(Ordering::Relaxed) == 2).then_some(true)));
    for _ in 0..4 {
        for ticket in &tickets[1..] {
            assert!(resume(*ticket));
            // Asked twice before it's been called, it's called once or twice: the text tells.
            inside.still_serves();
        }
    }
    assert_eq!(b.answer().text(), "b2 b3 b4 b5 ");
    assert_eq!(c.answer().text(), "c2 c3 c4 c5 ");
    for visitor in [&mut b, &mut c] {
        assert_eq!(visitor.answer().text(), "Hello, World!");
    }
    assert_eq!(streams.load(Ordering::Relaxed), 0);
}

/// It's told to say something, and in the same moment the server is told to stop. Then it pauses: it would pause
/// for ever, or until the server's time is over.
#[test]
fn a_stream_that_pauses_after_last_orders_is_no_reason_to_stay() {
    let inside = Inside::open(
        Settings { shutdown_timeout: PATIENCE * 10, ..Settings::USUAL },
        |routes, tells| {
            let tells = tells.clone();
            routes.get("/stream", move |context, _| {
                tells.send(("stream".to_owned(), context.ticket)).unwrap();
                Response::stream("text/plain", |_, to| {
                    to.extend_from_slice(b"once more");
                    Flow::Pause
                })
            });
        },
    );
    let mut visitor = inside.visitor();
    visitor.get("/stream", "");
    let ticket = inside.next_is("stream");
    inside.does(move |event_loop, server| {
        assert!(ticket.resume(event_loop));
        server.stop(event_loop, EventLoop::stop);
    });
    let (text, end) = visitor.rest();
    assert_eq!(end, End::Closed);
    assert!(text.starts_with(b"HTTP/1.1 200 OK\r\n"));
    until("it ends", || inside.thread.as_ref().unwrap().is_finished().then_some(()));
}

/// So many pieces a stream has, of so many bytes each: more than a send buffer holds.
const PIECES: usize = 300;
const PIECE: usize = 10_000;

/// `/stream` gives all its pieces, and then says this.
fn with_a_stream(then: Flow) -> Inside {
    Inside::open(Settings::USUAL, move |routes, _| {
        routes.get("/stream", move |_, _| {
            let mut left = PIECES;
            Response::stream("text/plain", move |_, to| {
                left -= 1;
                to.extend_from_slice(&[b'x'; PIECE]);
                if left == 0 { then } else { Flow::More }
            })
        });
    })
}

/// Somebody asks for it all, has nothing more to say, and listens to the end.
#[rstest]
#[case::read_fast(usize::MAX)]
#[case::read_slowly(16 * 1024)]
fn who_has_finished_sending_gets_the_whole_stream(#[case] room: usize) {
    let inside = with_a_stream(Flow::End);
    for _ in 0..10 {
        let mut visitor = match room {
            usize::MAX => inside.visitor(),
            room => Visitor::with_little_room(inside.address, room),
        };
        visitor.get("/stream", "");
        visitor.finish_sending();
        assert_eq!(visitor.answer().body.len(), PIECES * PIECE);
        visitor.is_hung_up_on();
    }
    inside.is_empty();
}

/// It goes on for a while, and then pauses. By then its visitor has finished sending: nobody would ever tell whether
/// they still listen.
#[test]
fn a_stream_that_pauses_for_one_who_has_finished_sending_is_over() {
    let inside = with_a_stream(Flow::Pause);
    let mut visitor = Visitor::with_little_room(inside.address, 16 * 1024);
    visitor.get("/stream", "");
    visitor.finish_sending();
    let (text, end) = visitor.rest();
    assert_eq!(end, End::Closed);
    let sent = text.iter().filter(|byte| **byte == b'x').count();
    // One is in the head.
    assert_eq!(sent, PIECES * PIECE + 1, "all that was said came first");
    inside.is_empty();
}

/// Bytes of a body have to come, and not only now and then.
#[test]
fn a_body_that_trickles_is_408_and_one_that_comes_is_taken() {
    let mut settings = Settings::USUAL;
    settings.body_timeout = Duration::from_secs(6);
    let inside = Inside::open(settings, |routes, _| {
        routes.post("/length", |_, request| {
            Response::made("text/plain", request.body.len().to_string())
        });
    });
    let head = "POST /length HTTP/1.1\r\nHost: here\r\nContent-Length: 10000\r\n\r\n";
    let mut honest = inside.visitor();
    honest.say(head);
    let address = inside.address;
    let trickling = thread::scope(|scope| {
        let trickles = scope.spawn(move || {
            let mut visitor = Visitor::call(address);
            visitor.say(head);
            let mut said = 0;
            // When it has been hung up on, it hears of it.
            while said < 300 && std::io::Write::write_all(&mut visitor.stream, b"x").is_ok() {
                thread::sleep(Duration::from_millis(100));
                said += 1;
            }
            assert!(said < 300, "it's listened to for ever");
            visitor.rest().0
        });
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(1800));
            honest.say([b'x'; 2000]);
        }
        trickles.join().unwrap()
    });
    assert_eq!(honest.answer().text(), "10000");
    let said = String::from_utf8_lossy(&trickling);
    // Its answer may be lost to it, who doesn't listen but talk.
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{said}");
    assert_eq!(inside.counters.late.get().min(1), 1);
    assert_eq!(inside.counters.answers[4].get(), 1);
}

/// Whatever becomes of an answer, its line in the log is one.
#[test]
fn what_nobody_waited_for_is_logged_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let inside = Inside::open_with(Settings::USUAL, Some(&path), |routes, _| {
        routes.get("/panic", |_, _| -> Response { panic!("as the test wants") });
        routes.get("/large", |_, _| Response::made("text/plain", vec![b'x'; 20 * MIB]));
    });
    let mut visitor = inside.visitor();
    visitor.get("/later/a", "");
    assert!(inside.give(inside.next_is("a"), "four"));
    visitor.answer();
    visitor.get("/later/gone", "");
    inside.next_is("gone");
    visitor.reset();
    inside.is_empty();
    let mut visitor = inside.visitor();
    visitor.get("/panic", "");
    assert_eq!(visitor.rest().1, End::Closed);
    let mut visitor = Visitor::with_little_room(inside.address, 16 * 1024);
    visitor.get("/large", "");
    visitor.skip(1000);
    visitor.reset();
    inside.is_empty();
    inside.ends();
    let log = log_of(&path);
    let said: Vec<_> =
        log.iter().map(|line| (line.request.split(' ').nth(1).unwrap(), line.status)).collect();
    assert_eq!(said.len(), 4, "{said:?}");
    assert_eq!(
        (said[0], said[1].0, said[2], said[3]),
        (("/later/a", 200), "/later/gone", ("/panic", 500), ("/large", 200))
    );
    assert_eq!(log[0].bytes, 4);
    assert!(log[3].bytes < 20 * MIB as u64, "{:?}", log[3]);
}

/// A method that nobody here knows is 501, whatever the path (RFC 9110, section 9.1); one that HTTP defines is 405
/// where the path hasn't got it. A route may have a method that HTTP doesn't define: then it's known.
#[rstest]
#[case::defined("PUT /hello", 405)]
#[case::defined_elsewhere("PATCH /hello", 405)]
#[case::defined_and_used_by_no_route("DELETE /hello", 405)]
#[case::defined_and_the_path_is_not("DELETE /nowhere", 404)]
#[case::unknown("COFFEE /hello", 501)]
#[case::unknown_and_so_is_the_path("COFFEE /nowhere", 501)]
#[case::in_small_letters("get /hello", 501)]
#[case::nearly_one("GETS /hello", 501)]
#[case::a_route_has_it("BREW /pot", 200)]
#[case::a_route_has_it_elsewhere("BREW /hello", 405)]
#[case::a_route_has_it_and_the_path_is_not("BREW /nowhere", 404)]
fn a_method_that_nobody_knows_is_501(#[case] line: &str, #[case] status: u16) {
    let inside = Inside::open(Settings::USUAL, |routes, _| {
        routes.on("BREW", "/pot", |_, _| Response::text("coffee"));
    });
    let mut visitor = inside.visitor();
    visitor.say(format!("{line} HTTP/1.1\r\nHost: here\r\n\r\n"));
    let answer = visitor.answer();
    assert_eq!(answer.status, status, "{line}");
    let allowed = answer.field("Allow").is_some();
    assert_eq!(allowed, status == 405, "405 says what is allowed: {}", answer.head);
    visitor.get("/hello", "");
    assert_eq!(visitor.answer().text(), "Hello, World!", "the connection goes on");
}

/// Who comes by IPv4 has an IPv4 address, whatever kind of listener it is.
#[rstest]
#[case::by_ipv4("127.0.0.1")]
#[case::by_ipv6("::1")]
fn a_listener_of_both_kinds_tells_them_apart(#[case] comes_to: &str) {
    let listener = match listen_on("[::]:0".parse().unwrap(), false) {
        Ok(listener) => listener,
        Err(error) => return visitors::skipped(format!("no IPv6 here: {error}")),
    };
    let address = SocketAddr::new(comes_to.parse().unwrap(), listener.local_addr().unwrap().port());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let inside = Inside::open_at(listener, Settings::USUAL, Some(&path), |routes, _| {
        routes
            .get("/from", |_, request| Response::made("text/plain", request.from.ip().to_string()));
    });
    let Ok(mut visitor) = Visitor::try_call(address) else {
        return visitors::skipped(format!("{address} can't be reached here"));
    };
    visitor.get("/from", "Connection: close\r\n");
    assert_eq!(visitor.answer().text(), comes_to);
    inside.is_empty();
    inside.ends();
    let log = std::fs::read_to_string(&path).unwrap();
    assert!(log.starts_with(&format!("{comes_to} - - ")), "{log}");
}
