//! Chapter 8's server: chapter 7's, on a list that the kernel keeps.

use std::io;
use std::net::TcpListener;

use ch07_callbacks::{page, program};

const NAME: &str = "ch08-epoll";
const HELP: &str = "ch08-epoll [ADDRESS]

Answers thousands of visitors at once, with callbacks on an event loop that waits in
epoll_wait(), or in poll() where there is no epoll: a small page (GET /large: 8 MiB).
ADDRESS is 127.0.0.1:7008 where not given. It may be 7008 for that, localhost:7008,
or :7008 for all addresses of this machine; port 0 means any free one.";

fn main() {
    let address = program::address_from_args(NAME, HELP, "127.0.0.1:7008");
    let listener = program::listen_or_exit(NAME, address);
    let descriptors = program::raise_limit();
    program::say(&format!("at most {descriptors} descriptors: one for each visitor, and a few"));
    if let Err(error) = serve(listener) {
        program::complain(NAME, 1, &format!("the loop failed: {error}"));
    }
}

fn serve(listener: TcpListener) -> io::Result<()> {
    let mut event_loop = ch08_epoll::event_loop()?;
    page::serve(&mut event_loop, listener, 8)?;
    event_loop.run()
}
