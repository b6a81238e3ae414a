//! What the tests of mail are made of: a server in a loop of its own, the program, and a client who
//! reads replies to the byte.

#![allow(dead_code)]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use ch07_callbacks::EventLoop;
use ch09_timers::{Clock, Timers};
use ch11_http_server::mailbox::{Sender, mailbox};
use ch12_kernel::mail::{self, Mail, Options};
use ch12_kernel::mbox::Mbox;
use ch12_kernel::presence::Service;
use nix::sys::socket::{setsockopt, sockopt};
use tempfile::TempDir;
use visitors::program::{Program, Start};
use visitors::setup::until;

/// Nothing takes as long as that, on however busy a machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const HOST: &str = "mx.example";

type Task = Box<dyn FnOnce(&mut EventLoop, &Mail, &Clock) + Send>;

/// A mail server in a thread of its own, whose clock stands.
pub struct House {
    pub address: SocketAddr,
    folder: TempDir,
    to_loop: Mutex<Sender<Task>>,
    thread: Option<JoinHandle<()>>,
}

impl House {
    pub fn open() -> Self {
        Self::with(|_| ())
    }

    /// With other options.
    pub fn with(change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mut options =
            Options::new(Mbox::open(&folder.path().join("mbox")).unwrap(), HOST.to_owned());
        change(&mut options);
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
        let address = listener.local_addr().unwrap();
        let (tell, told) = channel();
        let thread = std::thread::spawn(move || {
            let mut event_loop = ch08_epoll::event_loop().unwrap();
            let clock = Clock::standing();
            let timers = Timers::start(&mut event_loop, clock.clone());
            let mail = mail::serve(&mut event_loop, timers, listener, options).unwrap();
            let (_, to_loop) = mailbox(&mut event_loop, move |event_loop, task: Task| {
                task(event_loop, &mail, &clock);
            })
            .unwrap();
            tell.send(to_loop).unwrap();
            event_loop.run().unwrap();
        });
        let to_loop = Mutex::new(told.recv().expect("it starts"));
        Self { address, folder, to_loop, thread: Some(thread) }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("mbox")
    }

    /// Has the loop do something.
    #[track_caller]
    pub fn ask<T: Send + 'static>(
        &self,
        task: impl FnOnce(&mut EventLoop, &Mail, &Clock) -> T + Send + 'static,
    ) -> T {
        let (tell, told) = channel();
        let task: Task = Box::new(move |event_loop, mail, clock| {
            tell.send(task(event_loop, mail, clock)).unwrap();
        });
        self.to_loop.lock().unwrap().send(task);
        told.recv_timeout(PATIENCE).expect("the loop answers")
    }

    /// What it waits for, client by client.
    #[track_caller]
    pub fn waits_for(&self) -> Vec<String> {
        self.ask(|event_loop, mail, _| {
            mail.rows(event_loop).into_iter().map(|row| row.waits_for.into_owned()).collect()
        })
    }

    #[track_caller]
    pub fn comes_to_wait_for(&self, what: &[&str]) {
        until(&format!("it waits for {what:?}"), || (self.waits_for() == what).then_some(()));
    }

    /// So much time passes.
    #[track_caller]
    pub fn passes(&self, time: Duration) {
        self.ask(move |_, _, clock| clock.turn(time));
    }

    /// Begins to stop. What is given tells when it has.
    #[track_caller]
    pub fn stop(&self) -> std::sync::mpsc::Receiver<()> {
        let (tell, told) = channel();
        self.ask(move |event_loop, mail, _| {
            mail.stop(event_loop, Box::new(move |_| tell.send(()).unwrap_or_default()));
        });
        told
    }

    #[track_caller]
    pub fn messages(&self) -> Vec<Kept> {
        messages(&self.path())
    }

    #[track_caller]
    pub fn client(&self) -> Client {
        Client::hello(self.address)
    }

    /// A message goes through.
    #[track_caller]
    pub fn works(&self) {
        let before = self.messages().len();
        self.client().sends("me@here", "It works.\r\n");
        assert_eq!(self.messages().len(), before + 1);
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let stop: Task = Box::new(|event_loop, _, _| event_loop.stop());
        if let Ok(to_loop) = self.to_loop.lock() {
            to_loop.send(stop);
        }
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            eprintln!("the server panicked");
        }
    }
}

/// The program by itself.
pub fn program(mbox: &Path) -> Program {
    let program = start(mbox).start().expect("it can be started");
    // It listens before it has looked at its mbox, and says hello when it has.
    Client::call(program.listening().expect("it says where"));
    program
}

pub fn start(mbox: &Path) -> Start {
    with_mail(Start::new(PROGRAM), mbox)
}

/// What makes the program a mail server.
pub fn with_mail(start: Start, mbox: &Path) -> Start {
    start.arg("--mail").arg("127.0.0.1:0").arg("--mbox").arg(mbox)
}

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_ch12-kernel");

/// A message as it's in the mbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The line in front of it.
    pub from: String,
    /// With its fields, and without the marks in front of lines that begin with `From `.
    pub text: String,
}

impl Kept {
    /// What is behind the fields that the server has put there.
    #[track_caller]
    pub fn sent(&self) -> &str {
        let (_, rest) = self.text.split_once(" +0000\n").expect("it has a Received field");
        rest
    }
}

/// All messages of an mbox, each of which is whole.
#[track_caller]
pub fn messages(path: &Path) -> Vec<Kept> {
    let bytes = fs::read(path).expect("there is an mbox");
    let text = String::from_utf8_lossy(&bytes);
    let mut all: Vec<Kept> = Vec::new();
    let mut before = "";
    for line in text.split_inclusive('\n') {
        let marks = line.len() - line.trim_start_matches('>').len();
        if line.starts_with("From ") {
            assert!(before.is_empty() || before == "\n", "behind {before:?}: {line:?}");
            all.push(Kept { from: line.trim_end().to_owned(), text: String::new() });
        } else {
            let last = all.last_mut().expect("it begins with a message");
            let is_marked = marks > 0 && line.trim_start_matches('>').starts_with("From ");
            last.text.push_str(if is_marked { &line[1..] } else { line });
        }
        before = line;
    }
    for kept in &mut all {
        assert!(kept.text.ends_with("\n\n"), "no empty line at its end: {kept:?}");
        kept.text.pop();
    }
    all
}

/// Somebody who speaks SMTP.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Client {
    /// Calls, and hears the greeting.
    #[track_caller]
    pub fn call(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self { stream, heard: Vec::new() };
        client.hears("220 ");
        client
    }

    /// Calls, and says hello.
    #[track_caller]
    pub fn hello(address: SocketAddr) -> Self {
        let mut client = Self::call(address);
        client.says("EHLO client.example", "250-");
        client
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("it's listened to");
    }

    /// Says a line, and hears a reply that begins so.
    #[track_caller]
    pub fn says(&mut self, line: &str, reply: &str) -> String {
        self.send(format!("{line}\r\n"));
        self.hears(reply)
    }

    /// Says the same again and again and reads nothing, until nobody listens.
    pub fn pours(&mut self, lines: &[u8]) {
        self.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        while self.stream.write(lines).is_ok() {}
    }

    #[track_caller]
    pub fn hears(&mut self, begins: &str) -> String {
        let reply = self.reply();
        assert!(reply.starts_with(begins), "{reply:?} instead of {begins:?}");
        reply
    }

    /// The next reply, whole.
    #[track_caller]
    pub fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let line = self.line();
            reply.push_str(&line);
            match line.as_bytes().get(3) {
                Some(b'-') => reply.push('\n'),
                Some(b' ') => return reply,
                _ => panic!("that's no reply: {line:?}"),
            }
        }
    }

    #[track_caller]
    fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.heard.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.heard.drain(..end + 2).collect();
                return String::from_utf8(line[..end].to_vec()).expect("replies are text");
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece) {
                Ok(0) => panic!("hung up on, after {:?}", String::from_utf8_lossy(&self.heard)),
                Ok(count) => self.heard.extend_from_slice(&piece[..count]),
                // With a time limit, a signal ends it.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{error}: no reply"),
            }
        }
    }

    /// Says from whom and for whom, and DATA.
    #[track_caller]
    pub fn begins(&mut self, sender: &str) {
        self.says(&format!("MAIL FROM:<{sender}>"), "250 2.1.0");
        self.says("RCPT TO:<you@there>", "250 2.1.5");
        self.says("DATA", "354 ");
    }

    /// Sends a message, which is kept.
    #[track_caller]
    pub fn sends(&mut self, sender: &str, text: &str) {
        self.begins(sender);
        self.send(text);
        self.says(".", "250 2.0.0");
    }

    pub fn finish_sending(&self) {
        self.stream.shutdown(Shutdown::Write).expect("it's here");
    }

    /// Nothing more comes, and the connection is closed.
    #[track_caller]
    pub fn is_hung_up_on(&mut self) {
        let mut rest = std::mem::take(&mut self.heard);
        match self.stream.read_to_end(&mut rest) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
            _ => assert_eq!(String::from_utf8_lossy(&rest), ""),
        }
    }

    /// Nothing comes for a moment. Proves nothing of a server that is slow.
    #[track_caller]
    pub fn hears_nothing(&mut self) {
        assert_eq!(String::from_utf8_lossy(&self.heard), "");
        self.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let read = self.stream.read(&mut [0; 64]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let error = read.expect_err("something has come");
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    }

    /// Hangs up as rudely as TCP allows.
    pub fn reset(self) {
        let now = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        let _ = setsockopt(&self.stream, sockopt::Linger, &now);
    }
}
