//! Visitors with datagrams, and servers that are asked by them.

use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

use visitors::program::{LOOK_EVERY, Trouble, Watch};

use super::*;

/// More than a datagram holds.
const ROOM: usize = 66_000;

/// A socket for datagrams, with a name by which reports call it.
pub struct Peer {
    pub socket: UdpSocket,
    pub name: String,
}

impl Peer {
    pub fn new(name: &str) -> Self {
        Self::at("127.0.0.1:0", name).expect("a free port of this machine")
    }

    /// A client of this server: nobody else's datagrams come to it.
    #[track_caller]
    pub fn of(server: &Server<'_>, name: &str) -> Self {
        let peer = Self::new(name);
        peer.socket.connect(server.address).expect("an address of this machine");
        peer
    }

    /// At that address. `None` if it can't be had.
    pub fn at(address: &str, name: &str) -> Option<Self> {
        let socket = UdpSocket::bind(address).ok()?;
        Some(Self { socket, name: format!("the {name}") })
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("it's bound")
    }

    #[track_caller]
    pub fn send(&self, server: &Server<'_>, to: SocketAddr, bytes: &[u8]) {
        let sent = match self.socket.peer_addr() {
            Ok(_) => self.socket.send(bytes),
            Err(_) => self.socket.send_to(bytes, to),
        };
        if let Err(error) = sent {
            server.fail_seeing(&format!("{} couldn't send: {error}", self.name));
        }
    }

    /// What has come, if anything has, within so much time.
    fn within(&self, time: Duration) -> Option<(Vec<u8>, SocketAddr)> {
        let mut bytes = vec![0; ROOM];
        let received = if time.is_zero() {
            self.socket.set_nonblocking(true).expect("a socket takes it");
            let received = self.socket.recv_from(&mut bytes);
            self.socket.set_nonblocking(false).expect("a socket takes it");
            received
        } else {
            self.socket.set_read_timeout(Some(time)).expect("a socket takes it");
            self.socket.recv_from(&mut bytes)
        };
        let (length, from) = received.ok()?;
        bytes.truncate(length);
        Some((bytes, from))
    }

    /// What has come, if anything has.
    pub fn at_hand(&self) -> Option<(Vec<u8>, SocketAddr)> {
        self.within(Duration::ZERO)
    }

    /// The next datagram, which has to come. `what` says what it's to be.
    #[track_caller]
    pub fn receive(&self, server: &Server<'_>, what: &str) -> (Vec<u8>, SocketAddr) {
        self.receive_forgiving(server, what, |_| false)
    }

    /// The same. The program may have to sleep for so long first.
    #[track_caller]
    pub fn receive_after(
        &self,
        server: &Server<'_>,
        sleep: Duration,
        what: &str,
    ) -> (Vec<u8>, SocketAddr) {
        let began = Instant::now();
        self.receive_forgiving(server, what, |trouble| {
            matches!(trouble, Trouble::Asleep { .. }) && began.elapsed() < sleep
        })
    }

    /// The same. It may be a lot of work, and on some machines it takes long.
    #[track_caller]
    pub fn receive_worked_for(&self, server: &Server<'_>, what: &str) -> (Vec<u8>, SocketAddr) {
        let began = Instant::now();
        self.receive_forgiving(server, what, |trouble| {
            matches!(trouble, Trouble::Spinning) && began.elapsed() < PATIENCE
        })
    }

    #[track_caller]
    fn receive_forgiving(
        &self,
        server: &Server<'_>,
        what: &str,
        forgives: impl Fn(&Trouble) -> bool,
    ) -> (Vec<u8>, SocketAddr) {
        let mut watch = Watch::new(&server.program);
        loop {
            if let Some(came) = self.within(LOOK_EVERY) {
                return came;
            }
            let Some(trouble) = watch.trouble() else { continue };
            if forgives(&trouble) {
                watch = Watch::new(&server.program);
                continue;
            }
            // It may have come in the very last moment.
            if let Some(came) = self.at_hand() {
                return came;
            }
            if let Trouble::Ended { .. } = trouble {
                server.check.fail_for(what, &trouble);
            }
            let trouble = trouble.to_string();
            let trouble = trouble.strip_prefix("it ").unwrap_or(&trouble);
            server.fail_seeing(&format!("{what}, but your program {trouble}"));
        }
    }

    /// Nothing may have come, although the program has done all that it can do.
    #[track_caller]
    pub fn nothing_more(&self, server: &Server<'_>, when: &str) {
        settle(server, when);
        if let Some((bytes, _)) = self.at_hand() {
            let (name, came) = (&self.name, shown(&bytes));
            server
                .fail_seeing(&format!("{when}, nothing was to come to {name}, and it got {came}"));
        }
    }
}
