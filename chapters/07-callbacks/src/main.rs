//! Chapter 7: a client that reads from many servers at once, in one thread.
//!
//! The part to read is `data_available`: it's called with the bytes when they are
//! there, takes out the lines that are whole, and returns when there isn't enough yet.

use std::cell::Cell;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use ch07_callbacks::{Ending, EventLoop, Input, Poll, program};

const NAME: &str = "ch07-callbacks";
const HELP: &str = "ch07-callbacks [ADDRESS]...

Fetches / from many servers at the same time, and prints each line as it comes.
Without arguments it asks 127.0.0.1:7001 and 127.0.0.1:7011.";

/// Longest line that is waited for, in bytes. What is longer is printed in pieces.
const LONGEST_LINE: usize = 4096;

fn main() -> ExitCode {
    let addresses = addresses_from_args();
    program::raise_limit();
    let began = Instant::now();
    let failures = Failures::default();
    let mut event_loop = EventLoop::new(Poll);
    for address in addresses {
        let fetch = Fetch { address, began, bytes: 0, reads: 0 };
        if let Err(error) = fetch.begin(&mut event_loop, &failures) {
            print(address, &error.to_string());
            failures.set(failures.get() + 1);
        }
    }
    if let Err(error) = event_loop.run() {
        program::complain(NAME, 1, &format!("the loop failed: {error}"));
    }
    if failures.get() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

// ANCHOR: failures
/// How many servers couldn't be heard to their end.
type Failures = Rc<Cell<u32>>;
// ANCHOR_END: failures

// ANCHOR: fetch
/// A server that is asked, and what it has said so far.
struct Fetch {
    address: SocketAddr,
    began: Instant,
    bytes: usize,
    reads: usize,
}

impl Fetch {
    /// Asks, and says what is to be done when something comes. It waits
    /// for nothing.
    fn begin(mut self, event_loop: &mut EventLoop, failures: &Failures) -> io::Result<()> {
        let address = self.address;
        let failures = Rc::clone(failures);
        let socket = event_loop.connect(address)?;
        let request = format!("GET / HTTP/1.0\r\nHost: {address}\r\n\r\n");
        event_loop.send(socket, request.as_bytes());
        event_loop.set_read_callback(socket, move |event_loop, socket, input| {
            self.data_available(input);
            if input.ended {
                event_loop.close(socket);
            }
        });
        event_loop.set_close_callback(socket, move |_, _, ending| {
            if let Ending::Failed(error) = ending {
                print(address, &error.to_string());
                failures.set(failures.get() + 1);
            }
        });
        Ok(())
    }

    /// Prints the lines that are whole. The rest stays until more has
    /// come.
    fn data_available(&mut self, input: &mut Input) {
        let Self { address, began, .. } = *self;
        while let Some(length) = line(&input.bytes, input.ended) {
            let line: Vec<u8> = input.bytes.drain(..length).collect();
            print(address, String::from_utf8_lossy(&line).trim_end());
            self.bytes += length;
        }
        if input.ended {
            let after = began.elapsed().as_secs_f64() * 1e3;
            let (bytes, reads) = (self.bytes, self.reads);
            print(address, &format!("the end after {after:.1} ms; {bytes} bytes, reads: {reads}"));
        }
        self.reads += 1;
    }
}
// ANCHOR_END: fetch

/// The length of the first line, when it's whole.
fn line(bytes: &[u8], ended: bool) -> Option<usize> {
    let end = bytes.iter().take(LONGEST_LINE).position(|&byte| byte == b'\n');
    let rest =
        || Some(bytes.len().min(LONGEST_LINE)).filter(|&n| n == LONGEST_LINE || ended && n > 0);
    end.map(|newline| newline + 1).or_else(rest)
}

fn print(address: SocketAddr, text: &str) {
    let line = format!("{address} {text}\n");
    // waits: if nobody takes what we say (a terminal that was stopped, a full pipe)
    if let Err(error) = io::stdout().write_all(line.as_bytes()) {
        program::complain(NAME, 1, &format!("can't print: {error}"));
    }
}

fn addresses_from_args() -> Vec<SocketAddr> {
    let mut words = program::arguments(HELP);
    if words.is_empty() {
        words = vec!["127.0.0.1:7001".to_owned(), "127.0.0.1:7011".to_owned()];
    }
    words.iter().map(|word| program::address(NAME, word)).collect()
}
