//! A chat in a thread of its own, and visitors who speak to it through sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ch07_callbacks::EventLoop;
use ch09_timers::{Clock, Timers};
use ch11_http_server::mailbox;
use ch11_http_server::mailbox::Sender;
use ch12_kernel::chat::{self, Chat};
use ch12_kernel::presence::Service;

/// Nothing takes as long as that, on however busy a machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

type Job = Box<dyn FnOnce(&mut EventLoop, &Chat) + Send>;

pub struct House {
    pub address: SocketAddr,
    jobs: Sender<Job>,
    thread: Option<JoinHandle<()>>,
}

impl House {
    pub fn open(key: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let options = chat::Options { key: key.map(str::to_owned), ..chat::Options::default() };
        let (gives, jobs) = channel();
        let thread = thread::spawn(move || {
            let mut event_loop = ch08_epoll::event_loop().unwrap();
            let timers = Timers::start(&mut event_loop, Clock::system());
            let chat = chat::serve(&mut event_loop, timers, listener, options).unwrap();
            let (_, sender) =
                mailbox(&mut event_loop, move |event_loop, job: Job| job(event_loop, &chat))
                    .unwrap();
            gives.send(sender).unwrap();
            event_loop.run().unwrap();
        });
        Self { address, jobs: jobs.recv().unwrap(), thread: Some(thread) }
    }

    /// Has the loop do something, and tells what came of it.
    pub fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut EventLoop, &Chat) -> T + Send + 'static,
    ) -> T {
        let (tell, told) = channel();
        self.jobs.send(Box::new(move |event_loop, chat| {
            let _ = tell.send(job(event_loop, chat));
        }));
        told.recv_timeout(PATIENCE).expect("the loop turns")
    }

    /// What the connections wait for, in the order of their slots.
    pub fn waits(&self) -> Vec<String> {
        let row = |row: ch12_kernel::presence::Row| row.waits_for.into_owned();
        self.ask(move |event_loop, chat| chat.rows(event_loop).into_iter().map(row).collect())
    }

    /// A member with this name.
    pub fn member(&self, name: &str) -> Visitor {
        let mut visitor = Visitor::at(self.address);
        visitor.expect("name? ");
        visitor.say(name.as_bytes());
        visitor.say(b"\n");
        visitor.expect("Here now: ");
        visitor.expect("\r\n");
        visitor
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.jobs.send(Box::new(|event_loop, _| event_loop.stop()));
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))), "the loop panicked");
    }
}

pub struct Visitor {
    pub socket: TcpStream,
    heard: Vec<u8>,
}

impl Visitor {
    pub fn at(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).unwrap())
    }

    pub fn of(socket: TcpStream) -> Self {
        socket.set_nodelay(true).unwrap();
        Self { socket, heard: Vec::new() }
    }

    pub fn say(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// Reads until that comes, and gives all up to its end.
    #[track_caller]
    pub fn expect(&mut self, what: &str) -> String {
        let bytes = self.expect_bytes(what.as_bytes());
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[track_caller]
    pub fn expect_bytes(&mut self, what: &[u8]) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.heard.windows(what.len()).position(|bytes| bytes == what);
            if let Some(start) = found {
                return self.heard.drain(..start + what.len()).collect();
            }
            let heard = self.heard.escape_ascii();
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "not heard: {}; but {heard}", what.escape_ascii());
            self.socket.set_read_timeout(Some(left)).unwrap();
            let mut piece = [0; 16 * 1024];
            match self.socket.read(&mut piece) {
                Ok(0) => panic!("the end, and not {}; but {heard}", what.escape_ascii()),
                Ok(count) => self.heard.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}, and not {}; but {heard}", what.escape_ascii()),
            }
        }
    }

    /// All that comes until the end.
    #[track_caller]
    pub fn rest(mut self) -> String {
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        self.socket.read_to_end(&mut self.heard).expect("it ends well");
        String::from_utf8_lossy(&self.heard).into_owned()
    }
}
