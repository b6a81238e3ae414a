//! Chapter 7's server: the book's page, on the loop.

use ch07_callbacks::{EventLoop, Poll, page, program};

const NAME: &str = "ch07-server";
const HELP: &str = "ch07-server [ADDRESS]

Answers many visitors at once, with callbacks on an event loop that waits in poll():
a small page (GET /large: 8 MiB).
ADDRESS is 127.0.0.1:7007 where not given. It may be 7007 for that, localhost:7007,
or :7007 for all addresses of this machine; port 0 means any free one.";

fn main() {
    let address = program::address_from_args(NAME, HELP, "127.0.0.1:7007");
    let listener = program::listen_or_exit(NAME, address);
    program::raise_limit();
    let mut event_loop = EventLoop::new(Poll);
    let ran = page::serve(&mut event_loop, listener, 7).and_then(|_| event_loop.run());
    if let Err(error) = ran {
        program::complain(NAME, 1, &format!("the loop failed: {error}"));
    }
}
