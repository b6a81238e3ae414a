//! What can go wrong with one protocol. Each begins, and ends when what it gives is dropped.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::kernel::Kernel;
use super::probes::{enter, question};

/// One of them.
pub struct Fault {
    pub name: &'static str,
    /// The protocol that it happens to.
    pub happens_to: &'static str,
    pub begin: Box<dyn Fn(&mut Kernel) -> Disturbance>,
}

/// Somebody who disturbs, until it's dropped.
pub struct Disturbance {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    at_the_end: Option<Box<dyn FnOnce()>>,
}

impl Disturbance {
    /// Does `act` again and again, with so much time in between.
    fn again(pause: Duration, mut act: impl FnMut() + Send + 'static) -> Self {
        let stop: Arc<AtomicBool> = Arc::default();
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                act();
                if !pause.is_zero() {
                    thread::sleep(pause);
                }
            }
        });
        Self { stop, thread: Some(thread), at_the_end: None }
    }

    /// Something that has been done already, and what undoes it.
    fn until(at_the_end: impl FnOnce() + 'static) -> Self {
        Self { stop: Arc::default(), thread: None, at_the_end: Some(Box::new(at_the_end)) }
    }
}

impl Drop for Disturbance {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Some(undo) = self.at_the_end.take() {
            undo();
        }
    }
}

/// Somebody whom DNS may ask.
pub struct Upstream {
    pub address: SocketAddr,
    lies: Arc<AtomicBool>,
}

impl Upstream {
    /// It's silent until it's told to lie. It lives as long as the test.
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let elsewhere = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let lies: Arc<AtomicBool> = Arc::default();
        let told = Arc::clone(&lies);
        thread::spawn(move || {
            let mut message = [0; 1500];
            while let Ok((count, from)) = socket.recv_from(&mut message) {
                if told.load(Ordering::Relaxed) {
                    lie(&socket, &elsewhere, &message[..count], from);
                }
            }
        });
        Self { address, lies }
    }
}

/// Answers that are to be believed by nobody: with other numbers, to another question, and one that would be
/// right if it came from where it should.
fn lie(socket: &UdpSocket, elsewhere: &UdpSocket, asked: &[u8], to: SocketAddr) {
    let mut answer = asked.to_vec();
    answer[2] |= 0x80;
    let _ = elsewhere.send_to(&answer, to);
    for guess in 0..20 {
        answer[0] = asked[0].wrapping_add(guess + 1);
        let _ = socket.send_to(&answer, to);
    }
    answer[..2].copy_from_slice(&asked[..2]);
    if let Some(letter) = answer.get_mut(13) {
        *letter = if *letter == b'x' { b'y' } else { b'x' };
    }
    let _ = socket.send_to(&answer, to);
}

/// All of them. `upstream` is the one that the program asks.
pub fn all(upstream: &Upstream) -> Vec<Fault> {
    let fault = |name, happens_to, begin: Box<dyn Fn(&mut Kernel) -> Disturbance>| Fault {
        name,
        happens_to,
        begin,
    };
    let lies = Arc::clone(&upstream.lies);
    vec![
        fault(
            "an upstream that says nothing",
            "dns",
            Box::new(|kernel| asks_for_others(kernel.address("dns"))),
        ),
        fault(
            "an upstream that lies",
            "dns",
            Box::new(move |kernel| {
                lies.store(true, Ordering::Relaxed);
                let mut asks = asks_for_others(kernel.address("dns"));
                let lies = Arc::clone(&lies);
                asks.at_the_end = Some(Box::new(move || lies.store(false, Ordering::Relaxed)));
                asks
            }),
        ),
        fault("a flood of datagrams", "dns", Box::new(|kernel| flood(kernel.address("dns")))),
        fault(
            "a mail of 10 MiB from a slow sender",
            "mail",
            Box::new(|kernel| slow_mail(kernel.address("mail"))),
        ),
        fault(
            "a member of the chat who never reads",
            "chat",
            Box::new(|kernel| never_reads(kernel.address("chat"))),
        ),
    ]
}

/// Asks for names that only the upstream would know: two hundred a second, each another one.
fn asks_for_others(dns: SocketAddr) -> Disturbance {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(dns).unwrap();
    let mut number = 0_u16;
    Disturbance::again(Duration::from_millis(5), move || {
        number = number.wrapping_add(1);
        let _ = socket.send(&question(number, &format!("name{number}.elsewhere.test")));
    })
}

/// As many as one thread can send.
fn flood(dns: SocketAddr) -> Disturbance {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(dns).unwrap();
    let asked = question(7, "www.example.test");
    Disturbance::again(Duration::ZERO, move || {
        for _ in 0..64 {
            let _ = socket.send(&asked);
        }
    })
}

fn slow_mail(mail: SocketAddr) -> Disturbance {
    let mut stream = TcpStream::connect(mail).unwrap();
    stream
        .write_all(
            b"HELO slow\r\nMAIL FROM:<slow@example.test>\r\nRCPT TO:<you@example.test>\r\nDATA\r\n",
        )
        .unwrap();
    let piece = b"This line is one of many in a large message.\r\n".repeat(200);
    let mut left = 10 << 20;
    Disturbance::again(Duration::from_millis(2), move || {
        if left > 0 && stream.write_all(&piece).is_ok() {
            left -= piece.len().min(left);
        }
    })
}

/// Hears all that is said, and reads none of it; and somebody says a lot.
fn never_reads(chat: SocketAddr) -> Disturbance {
    let deaf: BufReader<TcpStream> = enter(chat, "Deaf");
    let mut talks = enter(chat, "Talker");
    talks.get_ref().set_nonblocking(true).unwrap();
    let line =
        [b"I have a lot to say, and you may read it or not. ".repeat(4), b"\r\n".to_vec()].concat();
    Disturbance::again(Duration::from_millis(1), move || {
        let _keeps = &deaf;
        let _ = talks.get_mut().write(&line);
        let _ = talks.get_mut().read(&mut [0; 4096]);
    })
}

/// A handler panics, again and again: of the service `brittle`, which the program has besides.
pub fn panics() -> Fault {
    Fault {
        name: "a handler that panics",
        happens_to: "brittle",
        begin: Box::new(|kernel| {
            let address = kernel.address("brittle");
            Disturbance::again(Duration::from_millis(2), move || {
                let Ok(mut stream) = TcpStream::connect(address) else { return };
                let _ = stream.write_all(b"break\r\n");
                let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
                let said = stream.read(&mut [0; 16]);
                assert!(!matches!(said, Ok(1..)), "it hasn't panicked");
            })
        }),
    }
}

/// The window's server is stopped: nothing that is drawn is looked at.
pub fn stopped_screen(xvfb: u32) -> Fault {
    Fault {
        name: "a window that isn't drawn",
        happens_to: "window",
        begin: Box::new(move |_| {
            signal(xvfb, "STOP");
            Disturbance::until(move || signal(xvfb, "CONT"))
        }),
    }
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "it's there");
}

/// The disk under the mailbox is full: messages that it has no room for, one after the other.
pub fn full_disk() -> Fault {
    Fault {
        name: "a full disk under the mailbox",
        happens_to: "mail",
        begin: Box::new(|kernel| {
            let address = kernel.address("mail");
            Disturbance::again(Duration::from_millis(50), move || {
                let Ok(mut stream) = TcpStream::connect(address) else { return };
                let head =
                    b"HELO x\r\nMAIL FROM:<a@example.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n";
                let body = b"A line that there is no room for.\r\n".repeat(4_000);
                let _ = stream.write_all(head);
                let _ = stream.write_all(&body);
                let _ = stream.write_all(b".\r\nQUIT\r\n");
                let mut said = Vec::new();
                let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
                let _ = stream.read_to_end(&mut said);
                let said = String::from_utf8_lossy(&said);
                assert!(said.contains("\n452 "), "the disk isn't full: {said}");
            })
        }),
    }
}
