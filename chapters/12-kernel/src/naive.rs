//! Chapter 12, the first attempt: a name server that asks another one, and waits.
//!
//! It works until the other one takes its time. Then everybody does.

use std::io;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

/// How long the upstream takes for a name that it has to ask others for.
const SLOW: Duration = Duration::from_millis(1500);
/// Longest message that is taken, in bytes (RFC 1035, section 2.3.4).
const LONGEST: usize = 512;

// ANCHOR: forward
/// Passes each question on, and each answer back.
fn forward(clients: &UdpSocket, upstream: &UdpSocket) -> io::Result<()> {
    let mut message = [0; LONGEST];
    loop {
        // waits: until somebody asks
        let (length, client) = clients.recv_from(&mut message)?;
        upstream.send(&message[..length])?;
        // waits: until the upstream answers
        let length = upstream.recv(&mut message)?;
        clients.send_to(&message[..length], client)?;
    }
}
// ANCHOR_END: forward

/// Ann asks for a name that takes a while, and then Bob for one that doesn't. (The names alone
/// are the messages here: the forwarder doesn't look into them.)
fn main() -> io::Result<()> {
    let upstream = UdpSocket::bind("127.0.0.1:0")?;
    let to_upstream = UdpSocket::bind("127.0.0.1:0")?;
    to_upstream.connect(upstream.local_addr()?)?;
    let clients = UdpSocket::bind("127.0.0.1:0")?;
    let forwarder = clients.local_addr()?;
    thread::spawn(move || answer(&upstream));
    thread::spawn(move || forward(&clients, &to_upstream));

    let began = Instant::now();
    let ask = move |who: &'static str, name: &'static str| -> io::Result<()> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.send_to(name.as_bytes(), forwarder)?;
        println!("{who} asks for {name}");
        // waits: until the forwarder answers
        socket.recv(&mut [0; LONGEST])?;
        println!("{who} has an answer after {:.1} s", began.elapsed().as_secs_f64());
        Ok(())
    };
    let ann = thread::spawn(move || ask("Ann", "far-away.example"));
    thread::sleep(Duration::from_millis(100)); // waits: so that Bob comes second
    ask("Bob", "next-door.example")?;
    ann.join().unwrap_or(Ok(()))
}

/// The upstream, which knows only names that are near.
fn answer(socket: &UdpSocket) -> io::Result<()> {
    let mut message = [0; LONGEST];
    loop {
        // waits: until the forwarder asks
        let (length, from) = socket.recv_from(&mut message)?;
        if message.starts_with(b"far-away") {
            thread::sleep(SLOW); // waits: for others, who take their time
        }
        socket.send_to(&message[..length], from)?;
    }
}
