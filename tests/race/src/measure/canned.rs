//! A server that isn't one: whoever says anything gets the same answer, and only a look at whether that is to be the last
//! one. Nobody can be faster by much, so what is measured with it is the load.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 36\r\n\r\nGood things come to those who wait.\n";
/// How the load ends a request that is the last on its connection.
const LAST: &[u8] = b"Connection: close\r\n\r\n";
/// More than the load says at once, in bytes.
const PIECE: usize = 4096;
/// Events taken from the kernel in one call.
const AT_ONCE: usize = 256;

/// Answers on any free port, until it's killed. It keeps connections open: whoever asks again is answered again.
///
/// # Errors
/// When it can't listen or wait.
pub fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    println!("listening on {}", listener.local_addr()?);
    let list = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let event = |descriptor: RawFd| EpollEvent::new(EpollFlags::EPOLLIN, descriptor as u64);
    list.add(&listener, event(listener.as_raw_fd()))?;
    let mut visitors: HashMap<u64, TcpStream> = HashMap::new();
    let mut events = [EpollEvent::empty(); AT_ONCE];
    loop {
        // waits: until anybody comes or speaks
        let count = match list.wait(&mut events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            count => count?,
        };
        for ready in &events[..count] {
            if ready.data() == listener.as_raw_fd() as u64 {
                let Ok((visitor, _)) = listener.accept() else { continue };
                let number = visitor.as_raw_fd();
                let is_added = visitor.set_nonblocking(true).is_ok();
                if is_added && list.add(&visitor, event(number)).is_ok() {
                    visitors.insert(number as u64, visitor);
                }
                continue;
            }
            let Some(visitor) = visitors.get_mut(&ready.data()) else { continue };
            let mut piece = [0; PIECE];
            match visitor.read(&mut piece) {
                Ok(count @ 1..) => {
                    // It fits into the kernel's buffer; if it doesn't, the load finds that out.
                    let _ = visitor.write(ANSWER);
                    // Who hangs up first keeps the port for a minute (TIME_WAIT): the chapters' servers do, and the load
                    // is to have no more to do here than with them.
                    if piece[..count].ends_with(LAST) {
                        visitors.remove(&ready.data());
                    }
                }
                // Closed by being dropped: there is no other descriptor for it.
                Ok(0) => _ = visitors.remove(&ready.data()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => _ = visitors.remove(&ready.data()),
            }
        }
    }
}
