//! What the load says of servers whose manners are known.

#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ch07_callbacks::EventLoop;
use ch09_timers::{Clock, Timers};
use race::load::crowd::{AT_THE_DOOR, Crowd};
use race::load::visits::{Heard, Visits, visit};
use race::measure::started::{Cores, stay_on};
use race::result::{Pace, Spread};
use visitors::setup::by_the_clock;
use visitors::skipped;

const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const MILLISECOND: u64 = 1_000_000;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A server that does this with the first, the second … of its visitors, one after the other.
fn server(mut serve: impl FnMut(usize, TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (number, visitor) in listener.incoming().enumerate() {
            serve(number, visitor.unwrap());
        }
    });
    address
}

/// Reads a request, and says this.
fn answer(mut visitor: TcpStream, text: &str) {
    let mut piece = [0; 1024];
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match visitor.read(&mut piece) {
            Ok(count @ 1..) => request.extend_from_slice(&piece[..count]),
            _ => return,
        }
    }
    visitor.write_all(text.as_bytes()).unwrap();
}

fn visits(address: SocketAddr, pace: Pace, lasting: Duration) -> Visits {
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes().into();
    let (patience, ends) = (ms(20_000), Arc::default());
    Visits { address, request, pace, lasting, patience, stays: false, ends }
}

fn heard(visits: Visits) -> Heard {
    let mut event_loop = ch08_epoll::event_loop().unwrap();
    visit(&mut event_loop, visits).unwrap()
}

/// How many latencies were at least so long, in ms.
fn at_least(heard: &Heard, milliseconds: u64) -> u64 {
    heard.latency.count_between(milliseconds * MILLISECOND, u64::MAX)
}

#[test]
fn all_that_are_due_are_sent_and_counted_from_when_they_were_due() {
    // It stands still for 400 ms, in which 40 are due.
    let address = server(|number, visitor| {
        if number == 20 {
            thread::sleep(ms(400));
        }
        answer(visitor, PAGE);
    });
    let heard = heard(visits(address, Pace::Open { a_second: 100 }, ms(1000)));
    assert_eq!((heard.due, heard.answered, heard.failed()), (100, 100, 0));
    // Those of the first 300 ms have waited for 100 ms at least.
    let slow = at_least(&heard, 100);
    assert!(slow >= 25, "{slow} of 100 were slow");
}

#[test]
fn a_server_that_stands_still_is_seen_by_an_open_loop_and_not_by_a_closed_one() {
    let stalling = || {
        server(|number, visitor| {
            if number == 20 {
                thread::sleep(ms(400));
            }
            answer(visitor, PAGE);
        })
    };
    by_the_clock(|| {
        let open = heard(visits(stalling(), Pace::Open { a_second: 100 }, ms(1000)));
        // Those of the first 300 ms have waited for 100 ms at least: some thirty.
        let slow = at_least(&open, 100);
        assert!((25..=40).contains(&slow), "{slow} of 100 were slow in an open loop");

        let pace = Pace::Closed { at_once: 1, a_second: Some(100) };
        let closed = heard(visits(stalling(), pace, ms(1000)));
        assert_eq!(at_least(&closed, 100), 1, "in a closed one");
        // What it hasn't asked meanwhile it never asks.
        assert!((50..=75).contains(&closed.due), "{} were sent", closed.due);
    });
}

#[test]
fn a_slowed_server_is_as_slow_as_it_is() {
    let address = server(|_, visitor| {
        thread::sleep(ms(20));
        answer(visitor, PAGE);
    });
    by_the_clock(|| {
        let closed = Pace::Closed { at_once: 1, a_second: None };
        let heard = heard(visits(address, closed, ms(500)));
        let middle = heard.latency.value_at_quantile(0.5) / MILLISECOND;
        assert!((20..30).contains(&middle), "{middle} ms");
        assert!((15..=25).contains(&heard.answered), "{}", heard.answered);
    });
}

#[test]
fn a_load_that_sends_late_is_found_out_by_its_own_figures() {
    let address = server(|_, visitor| answer(visitor, PAGE));
    let mut event_loop = ch08_epoll::event_loop().unwrap();
    let timers = Timers::start(&mut event_loop, Clock::system());
    // Nobody is sent for 300 ms, in which 30 are due.
    timers.after(&mut event_loop, ms(200), |_| thread::sleep(ms(300)));
    let open = Pace::Open { a_second: 100 };
    let heard = visit(&mut event_loop, visits(address, open, ms(1000))).unwrap();
    assert_eq!((heard.due, heard.answered), (100, 100));
    let late = heard.late.count_between(100 * MILLISECOND, u64::MAX);
    assert!(late >= 15, "{late} were sent late");
    // It counts for the visitors, too.
    assert!(at_least(&heard, 100) >= late);
}

#[test]
fn each_kind_of_failure_is_counted_as_what_it_is() {
    let closed = |a_second| Pace::Closed { at_once: 1, a_second: Some(a_second) };
    let address = server(|number, visitor| match number % 3 {
        0 => answer(visitor, PAGE),
        1 => answer(visitor, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        _ => answer(visitor, &PAGE[..PAGE.len() - 1]),
    });
    let heard = heard(visits(address, closed(1000), ms(300)));
    let thirds = [heard.answered, heard.wrong, heard.hung_up];
    assert!(thirds.iter().all(|third| third.abs_diff(heard.due / 3) <= 1), "{thirds:?}");
    assert_eq!(thirds.iter().sum::<u64>(), heard.due);
    assert!(heard.due >= 3);
    assert_eq!(heard.latency.len(), heard.answered, "only answers have a latency");
}

#[test]
fn what_is_no_answer_is_wrong_and_it_is_known_why() {
    let broken = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n\r\n";
    let address = server(move |_, visitor| answer(visitor, broken));
    let heard = heard(visits(address, Pace::Open { a_second: 100 }, ms(50)));
    assert_eq!((heard.wrong, heard.failed()), (5, 5));
    let why = heard.why.unwrap();
    assert!(why.contains("chunks"), "{why}");
}

#[test]
fn chunks_are_an_answer_when_the_last_one_is_there() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    // The second visitor isn't told the end of the last chunk.
    let address = server(move |number, mut visitor| {
        let rest = if number == 1 { "0\r\n" } else { "0\r\n\r\n" };
        let _some = visitor.read(&mut [0; 1024]).unwrap();
        for piece in [head, "2\r", "\nhi\r\n", rest] {
            visitor.write_all(piece.as_bytes()).unwrap();
            thread::sleep(ms(1));
        }
    });
    let heard = heard(visits(address, Pace::Open { a_second: 100 }, ms(50)));
    assert_eq!((heard.answered, heard.hung_up, heard.failed()), (4, 1, 1), "{:?}", heard.why);
}

#[test]
fn an_answer_may_be_larger_than_what_a_connection_keeps() {
    let large =
        format!("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n{}", "x".repeat(3_000_000));
    let until_the_end = format!("HTTP/1.0 200 OK\r\n\r\n{}", "x".repeat(3_000_000));
    for text in [large, until_the_end] {
        let address = server(move |_, visitor| answer(visitor, &text));
        let heard = heard(visits(address, Pace::Open { a_second: 100 }, ms(30)));
        assert_eq!((heard.answered, heard.failed()), (3, 0));
    }
}

#[test]
fn several_at_a_rate_go_on_asking_however_they_are_answered() {
    // Every third one waits for 30 ms, so that they are answered in another order than they asked.
    let address = server(|number, visitor| {
        thread::spawn(move || {
            thread::sleep(ms(if number % 3 == 0 { 30 } else { 0 }));
            answer(visitor, PAGE);
        });
    });
    by_the_clock(|| {
        let pace = Pace::Closed { at_once: 3, a_second: Some(300) };
        let heard = heard(visits(address, pace, ms(1000)));
        assert_eq!(heard.failed(), 0);
        // Three times a hundred, and no more, though some wait longer.
        assert!((150..=300).contains(&heard.due), "{}", heard.due);
    });
}

#[test]
fn at_a_rate_they_do_not_all_come_at_once() {
    let address = server(|_, visitor| answer(visitor, PAGE));
    let pace = Pace::Closed { at_once: 1000, a_second: Some(100) };
    let heard = heard(visits(address, pace, ms(100)));
    // A load that is late itself asks less.
    assert!((1..=10).contains(&heard.due), "{}", heard.due);
    assert_eq!(heard.answered, heard.due);
}

#[test]
fn a_load_that_is_behind_still_hears_its_answers() {
    let address = server(|_, visitor| answer(visitor, PAGE));
    // More than anybody could send: some are answered long before all are sent.
    let heard = heard(visits(address, Pace::Open { a_second: 300_000 }, ms(10)));
    assert_eq!((heard.due, heard.answered), (3000, 3000));
    let soonest = heard.latency.value_at_quantile(0.01);
    assert!(soonest < heard.latency.max() / 2, "{soonest} and {}", heard.latency.max());
}

#[test]
fn it_ends_when_it_is_told_to() {
    let address = server(|_, visitor| answer(visitor, PAGE));
    let visits = visits(address, Pace::Open { a_second: 100 }, ms(600_000));
    let ends = Arc::clone(&visits.ends);
    thread::spawn(move || {
        thread::sleep(ms(100));
        ends.store(true, Ordering::Relaxed);
    });
    let heard = heard(visits);
    assert!(heard.due < 60_000 && heard.answered > 0, "{}", heard.due);
}

#[test]
fn nobody_listens() {
    // The port of a service that nobody has (RFC 1078).
    let nobody = "127.0.0.1:1".parse().unwrap();
    let heard = heard(visits(nobody, Pace::Open { a_second: 100 }, ms(100)));
    assert_eq!((heard.due, heard.refused, heard.failed()), (10, 10, 10));
}

#[test]
fn patience_ends() {
    let address = server(|_, visitor| std::mem::forget(visitor));
    let mut visits = visits(address, Pace::Open { a_second: 100 }, ms(50));
    visits.patience = ms(100);
    let heard = heard(visits);
    assert_eq!((heard.due, heard.unanswered, heard.failed()), (5, 5, 5));
    assert!((ms(50)..ms(100)).contains(&heard.lasted), "{:?}", heard.lasted);
}

#[test]
fn who_stays_asks_again_on_the_same_connection() {
    let came = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&came);
    let address = server(move |_, mut visitor| {
        counts.fetch_add(1, Ordering::Relaxed);
        thread::spawn(move || {
            let mut piece = [0; 1024];
            // A request fits into one piece here.
            while let Ok(1..) = visitor.read(&mut piece) {
                visitor.write_all(PAGE.as_bytes()).unwrap();
            }
        });
    });
    let closed = Pace::Closed { at_once: 3, a_second: None };
    let stay = Visits { stays: true, ..visits(address, closed, ms(200)) };
    let heard = heard(stay);
    assert_eq!((came.load(Ordering::Relaxed), heard.failed()), (3, 0));
    assert!(heard.answered > 3);
    // Who doesn't, doesn't.
    let first = self::heard(visits(address, closed, ms(50)));
    assert_eq!(came.load(Ordering::Relaxed) as u64, 3 + first.due);
}

#[test]
fn after_a_visit_nobody_is_left_in_the_loop() {
    let address = server(|_, visitor| std::mem::forget(visitor));
    let mut event_loop = ch08_epoll::event_loop().unwrap();
    for _ in 0..2 {
        let mut visits = visits(address, Pace::Open { a_second: 100 }, ms(20));
        visits.patience = ms(10);
        visit(&mut event_loop, visits).unwrap();
        assert!(!event_loop.turn(None).unwrap(), "there is somebody to wait for");
    }
}

fn crowd_of(size: usize, address: SocketAddr, event_loop: &mut EventLoop) -> Crowd {
    let mut crowd = Crowd::new(address);
    let asks = visits(address, Pace::Open { a_second: 1 }, ms(1));
    crowd.grow(event_loop, size, &asks, ms(20_000)).unwrap();
    crowd
}

#[test]
fn a_crowd_is_inside_or_it_is_known_why_not() {
    // Two places: whoever comes when both are taken is sent away.
    let mut inside = Vec::new();
    let address = server(move |_, mut visitor| {
        let mut byte = [0];
        visitor.set_read_timeout(Some(ms(300))).unwrap();
        if visitor.peek(&mut byte).is_ok() {
            answer(visitor, PAGE);
        } else if inside.len() < 2 {
            inside.push(visitor);
        } else {
            visitor.write_all(b"HTTP/1.1 503 Full\r\n\r\n").unwrap();
        }
    });
    let mut event_loop = ch08_epoll::event_loop().unwrap();
    let crowd = crowd_of(2, address, &mut event_loop);
    assert_eq!((crowd.inside(), crowd.why()), (2, None));
    let mut crowd = crowd;
    let asks = visits(address, Pace::Open { a_second: 1 }, ms(1));
    crowd.grow(&mut event_loop, 5, &asks, ms(2000)).unwrap();
    assert_eq!(crowd.inside(), 2);
    assert_eq!(crowd.why().as_deref(), Some("sent away: HTTP/1.1 503 Full"));
    crowd.leave(&mut event_loop).unwrap();
    assert!(!event_loop.turn(None).unwrap(), "somebody of the crowd is left");
}

#[test]
fn where_nobody_is_answered_any_more_no_more_of_the_crowd_come() {
    // It waits for the first one, for ever.
    let address = server(|_, visitor| answer(visitor, PAGE));
    let mut event_loop = ch08_epoll::event_loop().unwrap();
    let mut crowd = Crowd::new(address);
    let asks = visits(address, Pace::Open { a_second: 1 }, ms(1));
    crowd.grow(&mut event_loop, 1000, &asks, ms(2000)).unwrap();
    assert_eq!(crowd.why().as_deref(), Some("nobody is answered any more"));
    assert_eq!(crowd.inside(), AT_THE_DOOR);
}

/// The server that answers without a look.
fn canned() -> (visitors::program::Program, SocketAddr) {
    let start = visitors::program::Start::new(env!("CARGO_BIN_EXE_race")).arg("--canned");
    let program = start.start().unwrap();
    let address = program.listening().unwrap();
    (program, address)
}

#[test]
fn ten_thousand_silent_visitors_fit_into_20_mib() {
    let size = 10_000;
    let (_, most) =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    if most < size + 100 {
        return skipped(format!("this process may have {most} descriptors"));
    }
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, most, most).unwrap();
    by_the_clock(|| {
        let (server, address) = canned();
        let memory = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
            line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap()
        };
        let before = memory();
        let mut event_loop = ch08_epoll::event_loop().unwrap();
        let crowd = crowd_of(size as usize, address, &mut event_loop);
        assert_eq!(crowd.inside(), 10_000);
        let grown = memory().saturating_sub(before);
        drop(server);
        crowd.leave(&mut event_loop).unwrap();
        assert!(grown < 20 * 1024, "{grown} kB");
    });
}

/// `wrk`'s answers a second, and its CPU time for each.
fn wrk(address: SocketAddr) -> Option<(f64, f64)> {
    let mut command = Command::new("bash");
    let line = format!("TIMEFORMAT='%U %S'; time wrk -t1 -c64 -d2 http://{address}/");
    let output = command.args(["-c", &line]).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let count = text.lines().find_map(|line| line.trim().split_once(" requests in"))?.0;
    let count: f64 = count.parse().ok()?;
    let times = String::from_utf8_lossy(&output.stderr).into_owned();
    let cpu: f64 = times.split_whitespace().filter_map(|word| word.parse::<f64>().ok()).sum();
    Some((count / 2.0, cpu / count))
}

/// Ours: answers a second, and the load's CPU time for each.
fn ours(address: SocketAddr) -> (f64, f64) {
    let closed = Pace::Closed { at_once: 64, a_second: None };
    let heard = heard(Visits { stays: true, ..visits(address, closed, ms(2000)) });
    assert_eq!(heard.failed(), 0, "{heard:?}");
    let answered = heard.answered as f64;
    (answered / heard.lasted.as_secs_f64(), heard.cpu.as_secs_f64() / answered)
}

/// In release alone: what isn't compiled for speed isn't fast.
#[test]
#[cfg(not(debug_assertions))]
fn it_needs_at_most_1_3_times_wrks_time() {
    by_the_clock(|| {
        let (_server, address) = canned();
        let Some((_, wrks)) = wrk(address) else { return skipped("there is no wrk") };
        let (_, ours) = ours(address);
        eprintln!("CPU time for each request: wrk {:.2} µs, we {:.2} µs", wrks * 1e6, ours * 1e6);
        assert!(ours < 1.3 * wrks);
    });
}

/// A server that needs a core for so long for each answer, whoever asks: it's what limits those who ask.
fn hard_at_work(each: Duration, core: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        // And so do all threads that are begun here.
        stay_on(core).unwrap();
        let turn = Arc::new(Mutex::new(()));
        for visitor in listener.incoming() {
            let (mut visitor, turn) = (visitor.unwrap(), Arc::clone(&turn));
            thread::spawn(move || {
                while let Ok(1..) = visitor.read(&mut [0; 1024]) {
                    let _mine = turn.lock();
                    let began = Instant::now();
                    while began.elapsed() < each {}
                    let _ = visitor.write_all(PAGE.as_bytes());
                }
            });
        }
    });
    address
}

#[test]
fn it_agrees_with_wrk_within_a_tenth_where_the_server_is_the_limit() {
    let Some(Cores { server, load, .. }) = Cores::of_this_machine() else {
        return skipped("server and load have the same core");
    };
    by_the_clock(|| {
        let address = hard_at_work(Duration::from_micros(200), server);
        stay_on(load).unwrap();
        let mut rates = [Vec::new(), Vec::new()];
        // In turns: what changes on the machine meanwhile changes for both.
        for _ in 0..3 {
            let Some((rate, _)) = wrk(address) else { return skipped("there is no wrk") };
            rates[0].push(rate);
            rates[1].push(ours(address).0);
        }
        eprintln!("answers a second: wrk {:.0?}, we {:.0?}", rates[0], rates[1]);
        let [wrks, ours] = rates.map(|rates| Spread::of(rates).unwrap().median);
        assert!((0.9..1.1).contains(&(ours / wrks)), "{}", ours / wrks);
    });
}

/// The figures of a debug build say nothing; that `wrk` is understood does.
#[test]
#[cfg(debug_assertions)]
fn wrk_is_understood() {
    let (_server, address) = canned();
    let Some((rate, each)) = wrk(address) else { return skipped("there is no wrk") };
    assert!(rate > 10.0 && each > 0.0 && each < 0.1, "{rate} {each}");
}
