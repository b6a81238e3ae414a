//! Several loops are handed over together; and if one of them has no time, none is.
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ch09_timers::{Clock, Timers};
use ch11_http_server::{Response, Routes, Settings};
use ch13_upgrade::fleet::{self, Fleet, Plan};
use ch13_upgrade::state::Outgoing;

/// How often it has slept.
static NAPS: AtomicUsize = AtomicUsize::new(0);
/// Longer than a loop has to answer.
const SLOW: Duration = Duration::from_millis(1500);
const PATIENCE: Duration = Duration::from_secs(60);

/// A loop that is in a long turn doesn't answer in time. When its turn is over it mustn't wait for somebody who has
/// given it up.
#[test]
fn a_loop_that_has_no_time_goes_on_afterwards() {
    let mut event_loop = ch08_epoll::event_loop().unwrap();
    let timers = Timers::start(&mut event_loop, Clock::system());
    let berths = fleet::open("127.0.0.1:0".parse().unwrap(), 2).unwrap();
    let address = berths[0].address().unwrap();
    let first = thread::current().id();
    let plan = Plan {
        settings: Settings::USUAL,
        log: None,
        routes: Box::new(move |_| {
            let mut routes = Routes::new();
            routes.get("/slow", move |_, _| {
                if thread::current().id() != first && NAPS.fetch_add(1, Ordering::Relaxed) < 3 {
                    thread::sleep(SLOW);
                }
                Response::text("late")
            });
            Ok(routes)
        }),
    };
    let fleet = Fleet::start(&mut event_loop, timers, berths, plan, || Ok(())).unwrap();
    // The kernel gives each of the loops some.
    let mut visitors: Vec<TcpStream> = (0..16)
        .map(|_| {
            let mut visitor = TcpStream::connect(address).unwrap();
            visitor.write_all(b"GET /slow HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
            visitor.set_nonblocking(true).unwrap();
            visitor
        })
        .collect();
    thread::sleep(Duration::from_millis(200));
    let gathered = fleet.gather(&mut event_loop, Outgoing::default(), &mut |_| {
        panic!("one of the loops has not been asked")
    });
    assert_eq!(gathered.unwrap_err().to_string(), "a loop has no time");
    fleet.tell(&mut event_loop, false);
    let began = Instant::now();
    while !visitors.is_empty() {
        assert!(began.elapsed() < PATIENCE, "{} were never answered", visitors.len());
        event_loop.turn(Some(Duration::from_millis(5))).unwrap();
        visitors.retain_mut(|visitor| {
            let mut piece = [0; 1000];
            let Ok(count) = visitor.read(&mut piece) else { return true };
            assert!(piece[..count].ends_with(b"late"), "it's the whole answer");
            false
        });
    }
    // And all of them can be handed over now.
    let mut given = 0;
    let done = fleet.gather(&mut event_loop, Outgoing::default(), &mut |state| {
        given = state.finish().1.len();
        Ok(())
    });
    done.unwrap();
    assert_eq!(given, 2, "two listeners: the visitors have left");
    fleet.tell(&mut event_loop, false);
}
