//! A request for a plain route allocates nothing.
//!
//! A program of its own, because its allocator counts; and one test, because it counts for all threads.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ch07_callbacks::EventLoop;
use ch09_timers::{Clock, Timers};
use ch11_http_server::{Response, Routes, Server, Settings, listen, mailbox};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const HELLO: &[u8] = b"GET /hello HTTP/1.1\r\nHost: localhost\r\nUser-Agent: a test\r\n\r\n";
const ANSWER_ENDS: &[u8] = b"\r\n\r\nHello, World!";
/// Some that come at once, and some one by one.
const REQUESTS: u64 = 1000;

#[test]
fn a_plain_request_allocates_nothing() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let (tell, told) = mpsc::channel();
    let server = thread::spawn(move || {
        let mut event_loop = ch08_epoll::event_loop().unwrap();
        let timers = Timers::start(&mut event_loop, Clock::system());
        let listener = listen::listen_on("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let address = listener.local_addr().unwrap();
        let mut routes = Routes::new();
        routes.get("/other", |_, _| Response::text("Other."));
        routes.get("/hello", |_, _| Response::text("Hello, World!"));
        Server::start(&mut event_loop, timers, listener, Settings::USUAL, routes).unwrap();
        let (_, stop) =
            mailbox(&mut event_loop, |event_loop: &mut EventLoop, ()| event_loop.stop()).unwrap();
        tell.send((address, stop)).unwrap();
        event_loop.run().unwrap();
    });
    let (address, stop) = told.recv().unwrap();
    let mut visitor = TcpStream::connect(address).unwrap();
    visitor.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut seen = [0; 16 * 1024];
    let sixteen = HELLO.repeat(16);
    // The first ones make what is kept.
    ask(&mut visitor, HELLO, 1, &mut seen);
    ask(&mut visitor, &sixteen, 16, &mut seen);

    let before = dhat::HeapStats::get().total_blocks;
    for _ in 0..REQUESTS {
        ask(&mut visitor, HELLO, 1, &mut seen);
    }
    let one_by_one = dhat::HeapStats::get().total_blocks - before;
    for _ in 0..REQUESTS / 16 {
        ask(&mut visitor, &sixteen, 16, &mut seen);
    }
    let all = dhat::HeapStats::get().total_blocks - before;
    assert_eq!(
        (one_by_one, all),
        (0, 0),
        "allocations for {REQUESTS} requests, and for as many more"
    );
    // It does count.
    drop(vec![0; 100]);
    assert_eq!(dhat::HeapStats::get().total_blocks - before, all + 1);
    stop.send(());
    server.join().unwrap();
}

/// Reads until so many answers are there. It allocates nothing itself.
fn ask(visitor: &mut TcpStream, requests: &[u8], count: usize, seen: &mut [u8]) {
    visitor.write_all(requests).unwrap();
    let mut length = 0;
    let ends =
        |bytes: &[u8]| bytes.windows(ANSWER_ENDS.len()).filter(|end| *end == ANSWER_ENDS).count();
    while ends(&seen[..length]) < count {
        let more = visitor.read(&mut seen[length..]).unwrap();
        assert!(more > 0, "it's hung up on");
        length += more;
    }
}
