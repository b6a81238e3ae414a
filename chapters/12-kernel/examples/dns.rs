//! A DNS server by itself: `dns ADDRESS ZONE [UPSTREAM]`. ZONE is a file, or `-` for none.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use ch07_callbacks::{EventLoop, program};
use ch09_timers::{Clock, Timers, signals};
use ch12_kernel::dns::{self, Options, Times, Zone};
use ch12_kernel::presence::Service;
use nix::sys::signal::Signal::{SIGINT, SIGTERM};

const NAME: &str = "dns";

fn main() {
    let arguments = program::arguments("dns ADDRESS ZONE [UPSTREAM]");
    let (address, zone, upstream) = match arguments.as_slice() {
        [address, zone] => (address, zone, None),
        [address, zone, upstream] => (address, zone, Some(program::address(NAME, upstream))),
        _ => program::complain(NAME, 2, "give ADDRESS ZONE [UPSTREAM]"),
    };
    let zone = match zone.as_str() {
        "-" => None,
        path => Some(Zone::from_file(Path::new(path)).unwrap_or_else(|complaint| {
            program::complain(NAME, 1, &complaint);
        })),
    };
    let tcp = program::listen_or_exit(NAME, program::address(NAME, address));
    program::raise_limit();
    let options = Options { zone, upstream, times: Times::USUAL };
    if let Err(error) = run(tcp, options) {
        program::complain(NAME, 1, &error.to_string());
    }
}

fn run(tcp: TcpListener, options: Options) -> io::Result<()> {
    let address: SocketAddr = tcp.local_addr()?;
    let udp = UdpSocket::bind(address)?;
    let mut event_loop = ch08_epoll::event_loop()?;
    let timers = Timers::start(&mut event_loop, Clock::system());
    let dns = dns::serve(&mut event_loop, timers, udp, tcp, options)?;
    signals::on_signals(&mut event_loop, &[SIGTERM, SIGINT], move |event_loop, _| {
        dns.stop(event_loop, Box::new(EventLoop::stop));
    })?;
    event_loop.run()
}
