//! Chapter 7, the first attempt: a map from descriptor to callback.
//!
//! It works until a callback closes its neighbor. Then it calls the wrong one.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

// ANCHOR: loop
type Callback = Box<dyn FnMut(&mut Naive, RawFd)>;

/// Sockets and callbacks by the number of the descriptor.
#[derive(Default)]
struct Naive {
    sockets: BTreeMap<RawFd, UnixStream>,
    callbacks: BTreeMap<RawFd, Callback>,
}

impl Naive {
    fn turn(&mut self) -> io::Result<()> {
        let mut list = Vec::new();
        for socket in self.sockets.values() {
            list.push(PollFd::new(socket.as_fd(), PollFlags::POLLIN));
        }
        poll(&mut list, PollTimeout::NONE)?; // waits: until one is ready
        let is_ready = |entry: &PollFd<'_>| entry.any() == Some(true);
        let flags: Vec<bool> = list.iter().map(is_ready).collect();
        let numbers: Vec<RawFd> = self.sockets.keys().copied().collect();

        for (number, _) in numbers.into_iter().zip(flags).filter(|(_, ready)| *ready) {
            // Out of the map while it runs, or it couldn't have the
            // map.
            let Some(mut callback) = self.callbacks.remove(&number) else { continue };
            callback(self, number);
            self.callbacks.insert(number, callback);
        }
        Ok(())
    }

    fn add(&mut self, socket: UnixStream, callback: Callback) -> RawFd {
        let number = socket.as_raw_fd();
        self.sockets.insert(number, socket);
        self.callbacks.insert(number, callback);
        number
    }

    fn close(&mut self, number: RawFd) {
        self.sockets.remove(&number); // dropped, and so closed
        self.callbacks.remove(&number);
    }
}
// ANCHOR_END: loop

/// Ann and Bob are in the loop, and both have something to say. Ann's callback closes
/// Bob, and lets in Cid, who says nothing.
fn main() -> io::Result<()> {
    let mut naive = Naive::default();
    let (mut ann, ann_in_the_loop) = UnixStream::pair()?;
    let (mut bob, bob_in_the_loop) = UnixStream::pair()?;
    let bobs_number = bob_in_the_loop.as_raw_fd();

    naive.add(
        ann_in_the_loop,
        Box::new(move |naive, me| {
            println!("Ann, descriptor {me}: {}", read(naive, me));
            println!("Ann closes Bob, and lets in Cid");
            naive.close(bobs_number);
            let (cid_in_the_loop, cid) = UnixStream::pair().expect("two descriptors");
            std::mem::forget(cid); // he stays, and says nothing
            let number = naive.add(
                cid_in_the_loop,
                Box::new(move |naive, me| {
                    println!("Cid, descriptor {me}: {}", read(naive, me));
                }),
            );
            println!("Cid has got descriptor {number}");
        }),
    );
    naive.add(
        bob_in_the_loop,
        Box::new(move |naive, me| {
            println!("Bob, descriptor {me}: {}", read(naive, me));
        }),
    );

    ann.write_all(b"hello from Ann")?;
    bob.write_all(b"hello from Bob")?;
    naive.turn()
}

/// What has come, as far as one read tells.
fn read(naive: &mut Naive, number: RawFd) -> String {
    let Some(socket) = naive.sockets.get_mut(&number) else { return "closed".to_owned() };
    // Chapter 6: a call that refuses to wait. Without that, this program would hang
    // here.
    let _ = socket.set_nonblocking(true);
    let mut piece = [0; 100];
    match socket.read(&mut piece) {
        Ok(count) => format!("{:?}", String::from_utf8_lossy(&piece[..count])),
        Err(error) => format!("is said to be ready, and isn't ({error})"),
    }
}
