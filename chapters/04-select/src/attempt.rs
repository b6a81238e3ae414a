//! A first attempt at the loop of `two.rs`, which doesn't compile: the page shows why. Only built with
//! `--features shows-an-error`.

use std::io::{self, Read};
use std::net::TcpStream;
use std::os::fd::AsFd;

use nix::sys::select::{FdSet, select};

fn hear_all(mut sockets: Vec<TcpStream>) -> io::Result<()> {
    while !sockets.is_empty() {
        let mut readable = FdSet::new();
        for socket in &sockets {
            readable.insert(socket.as_fd());
        }
        select(None, &mut readable, None, None, None)?; // waits: until one of them has something
        sockets.retain_mut(|socket| !readable.contains(socket.as_fd()) || goes_on(socket));
    }
    Ok(())
}

fn goes_on(socket: &mut TcpStream) -> bool {
    socket.read(&mut [0; 4096]).is_ok_and(|count| count > 0)
}

fn main() -> io::Result<()> {
    hear_all(vec![TcpStream::connect("127.0.0.1:7001")?])
}
