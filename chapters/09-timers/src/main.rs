//! Chapter 9's server: nobody stays for ever, and it stops when it's asked to.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use ch07_callbacks::program;
use ch09_timers::{Clock, Deadlines, Timers, server, signals};
use nix::sys::signal::Signal::{SIGINT, SIGTERM};

const NAME: &str = "ch09-timers";
const DEFAULT: &str = "127.0.0.1:7009";

fn main() {
    let arguments = program::arguments(&help());
    let (address, deadlines) = match arguments.as_slice() {
        [] => (DEFAULT, Deadlines::USUAL),
        [address] => (address.as_str(), Deadlines::USUAL),
        [address, seconds] => (address.as_str(), deadlines(seconds)),
        _ => program::complain(NAME, 2, "give one ADDRESS, and SECONDS; see --help"),
    };
    let listener = program::bind_or_exit(NAME, program::address(NAME, address));
    program::raise_limit();
    if let Err(error) = serve(listener, deadlines) {
        program::complain(NAME, 1, &format!("the loop failed: {error}"));
    }
}

fn help() -> String {
    let Deadlines { idle, request, answer } = Deadlines::USUAL;
    format!(
        "ch09-timers [ADDRESS [SECONDS]]

Answers thousands of visitors at once: a small page (GET /large: 8 MiB), and gives
nobody more time than they need. SIGTERM or Ctrl-C stops it when all are served,
a second one at once.
ADDRESS is {DEFAULT} where not given. It may be 7009 for that, localhost:7009,
or :7009 for all addresses of this machine; port 0 means any free one.
SECONDS takes the place of each deadline: {} to say something or to leave, {} for the
rest of a request, {} to take some more of an answer.",
        idle.as_secs(),
        request.as_secs(),
        answer.as_secs()
    )
}

fn serve(listener: TcpListener, deadlines: Deadlines) -> io::Result<()> {
    let mut event_loop = ch08_epoll::event_loop()?;
    let timers = Timers::start(&mut event_loop, Clock::system());
    let address = listener.local_addr();
    let server = server::serve(&mut event_loop, timers, listener, deadlines)?;
    signals::on_signals(&mut event_loop, &[SIGTERM, SIGINT], move |event_loop, _| {
        server.stop(event_loop);
    })?;
    program::announce_or_exit(NAME, address);
    event_loop.run()?;
    program::say("stopped");
    Ok(())
}

fn deadlines(seconds: &str) -> Deadlines {
    let length = seconds.parse().ok().filter(|seconds| *seconds > 0.0);
    let Some(each) = length.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) else {
        let message = format!("{seconds:?} is no number of SECONDS such as 10 or 0.5; see --help");
        program::complain(NAME, 2, &message);
    };
    Deadlines { idle: each, request: each, answer: each }
}
