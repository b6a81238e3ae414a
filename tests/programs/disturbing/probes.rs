//! One who asks by each protocol, again and again, and looks at the clock.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::kernel::{Kernel, PATIENCE};

/// After that a question is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// Asks one thing.
pub struct Probe {
    pub protocol: &'static str,
    ask: Box<dyn FnMut(&mut Kernel)>,
}

impl Probe {
    /// How long the answer took.
    pub fn ask(&mut self, kernel: &mut Kernel) -> Duration {
        let began = Instant::now();
        (self.ask)(kernel);
        began.elapsed()
    }
}

/// All of them, connected.
pub fn all(kernel: &Kernel) -> Vec<Probe> {
    vec![
        http(kernel.address("http")),
        dns(kernel.address("dns")),
        mail(kernel.address("mail")),
        chat(kernel.address("chat")),
        console(),
    ]
}

/// Somebody types a word that is no command, and is told so.
fn console() -> Probe {
    let mut number = 0;
    let ask = move |kernel: &mut Kernel| {
        number += 1;
        let word = format!("word{number}");
        kernel.types(&format!("{word}\n"));
        while !kernel.line().contains(&word) {}
    };
    Probe { protocol: "console", ask: Box::new(ask) }
}

fn connect(address: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    BufReader::new(stream)
}

/// Reads lines until one contains `wanted`.
fn until(from: &mut BufReader<TcpStream>, wanted: &str) {
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = from.read_until(b'\n', &mut line).expect("it answers in time");
        assert!(count > 0, "it hung up before it said {wanted:?}");
        if String::from_utf8_lossy(&line).contains(wanted) {
            return;
        }
    }
}

fn http(address: SocketAddr) -> Probe {
    let mut connection = connect(address);
    let ask = move |_: &mut Kernel| {
        connection.get_mut().write_all(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        until(&mut connection, "200 OK");
        until(&mut connection, "13");
        let mut rest = Vec::new();
        while !rest.ends_with(b"Hello, World!") {
            let mut byte = [0];
            connection.read_exact(&mut byte).expect("it answers in time");
            rest.push(byte[0]);
        }
    };
    Probe { protocol: "http", ask: Box::new(ask) }
}

/// A question for the address of `name`, with that number.
pub fn question(number: u16, name: &str) -> Vec<u8> {
    let mut message = number.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

/// A name of the zone. Asked again after a while, as everybody does: datagrams get lost.
fn dns(address: SocketAddr) -> Probe {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(address).unwrap();
    socket.set_read_timeout(Some(AGAIN)).unwrap();
    let mut number: u16 = 0;
    let ask = move |_: &mut Kernel| {
        number = number.wrapping_add(1);
        let mut answer = [0; 512];
        let began = Instant::now();
        while answer[..2] != number.to_be_bytes() || answer[2] & 0x80 == 0 {
            assert!(began.elapsed() < PATIENCE, "it answers in time");
            socket.send(&question(number, "www.example.test")).unwrap();
            let _ = socket.recv(&mut answer);
        }
        assert_eq!(answer[3] & 15, 0, "it's a name of the zone");
    };
    Probe { protocol: "dns", ask: Box::new(ask) }
}

fn mail(address: SocketAddr) -> Probe {
    let mut connection = connect(address);
    until(&mut connection, "220");
    let ask = move |_: &mut Kernel| {
        connection.get_mut().write_all(b"NOOP\r\n").unwrap();
        until(&mut connection, "250");
    };
    Probe { protocol: "mail", ask: Box::new(ask) }
}

/// Enters the room, under that name.
pub fn enter(address: SocketAddr, name: &str) -> BufReader<TcpStream> {
    let mut member = connect(address);
    member.get_mut().write_all(format!("{name}\r\n/who\r\n").as_bytes()).unwrap();
    until(&mut member, name);
    member
}

/// One says something, and another hears it.
fn chat(address: SocketAddr) -> Probe {
    let mut hears = enter(address, "Ada");
    let mut says = enter(address, "Bob");
    let mut number = 0;
    let ask = move |_: &mut Kernel| {
        number += 1;
        let line = format!("this is line {number};");
        says.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
        until(&mut hears, &line);
    };
    Probe { protocol: "chat", ask: Box::new(ask) }
}
