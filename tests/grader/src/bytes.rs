//! Checks byte for byte: what visitors of programs are made of that pass on what they are sent.
//!
//! Each of these fails the check where something else comes than was to come, and says where.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// What the lens has seen: a call, and what came of it.
pub use lens::record::{Call, Outcome};
use visitors::calls::{self, family};
use visitors::connection::{Connection, End, Received};
use visitors::doing::Snapshot;
use visitors::program::{LOOK_EVERY, PATIENCE, Program, Watch};
use visitors::tcp::{self, Socket};

use crate::check::{Check, Server, shown};

/// A socket's state in which its other end has finished sending (tcp_states.h).
const CLOSE_WAIT: u8 = 8;
/// The timer that runs while there's no room at the other end.
const WAITS_FOR_ROOM: u8 = 4;

/// Until all is still in the kernel. Delayed acknowledgments take 0.2 s, at the most.
const UNTIL_STILL: Duration = Duration::from_secs(5);

/// A visitor who has connected.
#[track_caller]
pub fn visitor(server: &Server<'_>, name: &str) -> Connection {
    server.visitor(name).connection
}

/// A visitor with little room in the kernel, on both sides: a few dozen KiB in place of several MiB.
/// Where that can't be had, it is one like all others.
#[track_caller]
pub fn narrow_visitor(server: &Server<'_>, name: &str) -> Connection {
    match connect_narrowly(server).map(|stream| Connection::new(stream, name)) {
        Some(Ok(connection)) => connection,
        _ => visitor(server, name),
    }
}

#[cfg(target_os = "linux")]
fn connect_narrowly(server: &Server<'_>) -> Option<TcpStream> {
    use std::net::SocketAddr;
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{
        AddressFamily, SockFlag, SockType, SockaddrIn, connect, setsockopt, socket, sockopt,
    };

    let SocketAddr::V4(address) = server.address else { return None };
    let stream = SockType::Stream;
    let socket = socket(AddressFamily::Inet, stream, SockFlag::SOCK_CLOEXEC, None).ok()?;
    setsockopt(&socket, sockopt::RcvBuf, &4096).ok()?;
    setsockopt(&socket, sockopt::SndBuf, &8192).ok()?;
    // The kernel of a sender reckons in segments: where they are small, so is the room for them.
    setsockopt(&socket, sockopt::TcpMaxSeg, &1400).ok()?;
    connect(socket.as_raw_fd(), &SockaddrIn::from(address)).ok()?;
    Some(socket.into())
}

#[cfg(not(target_os = "linux"))]
fn connect_narrowly(_: &Server<'_>) -> Option<TcpStream> {
    None
}

#[track_caller]
pub fn send(server: &Server<'_>, visitor: &mut Connection, bytes: &[u8]) {
    if let Err(error) = visitor.send_to(&server.program, bytes) {
        server.fail_seeing(&format!("the {} couldn't send: {error}", visitor.name()));
    }
}

/// The visitor has to get just these bytes next.
#[track_caller]
pub fn expect(server: &Server<'_>, visitor: &mut Connection, expected: &[u8], when: &str) {
    let (name, count) = (visitor.name().to_owned(), expected.len());
    let enough = |bytes: &[u8]| bytes.len() >= count;
    match visitor.receive_while_missing(&server.program, enough) {
        Ok(Ok(bytes)) => {
            compare(server.check, &name, &bytes[..count], expected, when);
            visitor.give_back(&bytes[count..]);
        }
        Ok(Err(Received { bytes, end })) => {
            compare(server.check, &name, &bytes, expected, when);
            let ended = match end {
                End::Closed => "was hung up on",
                End::Reset => "got a reset",
            };
            let so_far = bytes.len();
            server.fail_seeing(&format!(
                "{when}, the {name} {ended} after {so_far} of {count} bytes"
            ));
        }
        Err((trouble, bytes)) => {
            compare(server.check, &name, &bytes, expected, when);
            let so_far = bytes.len();
            let expected = format!("{when}, the {name} waits for {count} bytes, and got {so_far}");
            server.check.fail_for(&expected, &trouble);
        }
    }
}

/// The visitor has to get just these bytes next, and doesn't take one more: what comes behind them stays in the kernel.
#[track_caller]
pub fn read_exactly(server: &Server<'_>, visitor: &Connection, expected: &[u8], when: &str) {
    let mut came = vec![0; expected.len()];
    let mut stream = visitor.stream();
    // Fails only for what is no socket.
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let mut so_far = 0;
    while so_far < came.len() {
        match stream.read(&mut came[so_far..]) {
            Ok(count @ 1..) => so_far += count,
            result => {
                compare(server.check, visitor.name(), &came[..so_far], expected, when);
                let (name, count) = (visitor.name(), expected.len());
                let how = match result {
                    Ok(_) => "was hung up on".to_owned(),
                    Err(error) => format!("got no more ({error})"),
                };
                server.fail_seeing(&format!(
                    "{when}, the {name} {how} after {so_far} of {count} bytes"
                ));
            }
        }
    }
    let _ = stream.set_read_timeout(None);
    compare(server.check, visitor.name(), &came, expected, when);
}

/// How much is shown before and after a wrong byte, in bytes.
const AROUND: usize = 24;

/// Says where what came differs from what was to come.
#[track_caller]
pub fn compare(check: &Check, name: &str, came: &[u8], expected: &[u8], when: &str) {
    let Some(at) = came.iter().zip(expected).position(|(came, expected)| came != expected) else {
        return;
    };
    let next = &came[at..came.len().min(at + 16)];
    let belongs = expected.windows(next.len()).position(|window| window == next);
    let what = match belongs {
        Some(later) if later > at => {
            format!("what belongs {} bytes further back comes there", later - at)
        }
        Some(earlier) => format!("what was sent {} bytes before comes again", at - earlier),
        None => "something else comes there".to_owned(),
    };
    let from = at.saturating_sub(AROUND);
    let around = |bytes: &[u8]| shown(&bytes[from.min(bytes.len())..bytes.len().min(at + AROUND)]);
    check.fail(format!(
        "{when}, what the {name} got is wrong from byte {at} on: {what}\ncame:     {}\nexpected: {}",
        around(came),
        around(expected)
    ));
}

/// Nothing may have come that wasn't expected.
#[track_caller]
pub fn nothing_more(server: &Server<'_>, visitor: &Connection, when: &str) {
    if visitor.readable_within(Duration::ZERO) {
        server.fail_seeing(&format!("{when}, the {} got more, or a hang-up", visitor.name()));
    }
}

/// The visitor has to get just these bytes, and then to be hung up on.
#[track_caller]
pub fn expect_end(server: &Server<'_>, visitor: &mut Connection, expected: &[u8], when: &str) {
    expect(server, visitor, expected, when);
    let name = visitor.name().to_owned();
    match visitor.receive_all(&server.program) {
        Ok(Received { bytes, end: End::Closed }) if bytes.is_empty() => {}
        Ok(Received { bytes, end: End::Closed }) => {
            let count = bytes.len();
            server.check.fail(format!("{when}, the {name} got {count} bytes that nobody sent"));
        }
        Ok(_) => server.fail_seeing(&format!("{when}, the {name} got a reset")),
        Err((trouble, _)) => {
            let expected = format!("{when}, the {name} waits for the server to hang up");
            server.check.fail_for(&expected, &trouble);
        }
    }
}

/// Waits until the server has done all that it can do with the visitors that it has.
#[track_caller]
pub fn settle(server: &Server<'_>, when: &str) {
    if let Err(trouble) = server.program.settled() {
        server.check.fail_for(&format!("{when}, your program was to wait"), &trouble);
    }
}

/// Waits until so many have been let in.
#[track_caller]
pub fn all_are_in(server: &Server<'_>, count: usize) {
    let mut watch = Watch::new(&server.program);
    while tcp::accepted(server.address.port()).is_some_and(|accepted| accepted < count) {
        if let Some(trouble) = watch.trouble() {
            server.check.fail_for(&format!("{count} visitors were to be let in"), &trouble);
        }
        thread::sleep(LOOK_EVERY / 10);
    }
    if !cfg!(target_os = "linux") {
        settle(server, "after visitors had come");
    }
}

/// What lies in the kernel between the server and a visitor, in bytes.
#[derive(Clone, Copy)]
pub struct Between {
    /// Sent by the visitor, and not read by the program.
    pub to_server: usize,
    /// Taken from the program, and not read by the visitor.
    pub to_visitor: usize,
    /// Whether the program has its end of the connection still.
    pub open: bool,
    /// Whether nothing moved. Where something does, there is less in the kernel than it seems.
    pub still: bool,
}

/// Where the kernel doesn't tell, `None`.
pub fn between(server: &Server<'_>, visitor: &Connection) -> Option<Between> {
    // In this order: what arrives between the two looks is counted twice, and not overlooked.
    let (sent_there, sent_here) = both_ends(server, visitor)?;
    let (there, here) = both_ends(server, visitor)?;
    Some(Between {
        to_server: sent_here.under_way + there.unread,
        to_visitor: sent_there.under_way + here.unread,
        open: there.inode != 0,
        still: there.still && here.still && sent_there == there && sent_here == here,
    })
}

/// As soon as nothing moves. `None` as well if that doesn't come about.
pub fn between_when_still(server: &Server<'_>, visitor: &Connection) -> Option<Between> {
    let deadline = Instant::now() + UNTIL_STILL;
    while Instant::now() < deadline {
        let between = between(server, visitor)?;
        if between.still {
            return Some(between);
        }
    }
    None
}

/// One end of a connection, as the kernel knows it. All zero: it is closed.
#[derive(Default, PartialEq, Eq)]
pub struct Row {
    /// Sent from this end, and not yet acknowledged by the other, in bytes.
    pub under_way: usize,
    /// Received, and not read by this end's program, in bytes.
    pub unread: usize,
    /// The other end's last word has come: it has finished sending.
    pub heard_the_end: bool,
    inode: u64,
    /// Nothing is under way that has arrived, or is about to: it waits for room at the other end.
    still: bool,
}

/// The server's end and the visitor's; `None` where the kernel doesn't tell. (The visitor may also be a host, to whom the
/// judged program has connected.)
pub fn both_ends(server: &Server<'_>, visitor: &Connection) -> Option<(Row, Row)> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    // After a reset nobody is at the other end any more.
    let theirs = visitor.stream().peer_addr().unwrap_or(server.address);
    let ours = visitor.stream().local_addr().ok()?;
    // What isn't there is closed.
    let row = |here, there| tcp::find(here, there).map_or_else(Row::default, Row::of);
    Some((row(theirs, ours), row(ours, theirs)))
}

impl Row {
    fn of(socket: Socket) -> Self {
        let Socket { unread, under_way, state, timer, inode } = socket;
        Self {
            under_way: usize::try_from(under_way).unwrap_or(usize::MAX),
            unread: usize::try_from(unread).unwrap_or(usize::MAX),
            heard_the_end: state == CLOSE_WAIT,
            inode,
            still: under_way == 0 || timer == WAITS_FOR_ROOM,
        }
    }
}

/// How often to look where a program sleeps, and how long to wait in between. Who naps is seen elsewhere at least once.
const LOOKS_AT_SLEEP: usize = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// The program, one of a single thread, has to sleep in `read` now, and nothing may wake it: nobody sends anything.
#[track_caller]
pub fn sleeps_in_read(check: &Check, program: &Program, when: &str) {
    if let Err(trouble) = program.settled() {
        check.fail_for(&format!("{when}, your program was to sleep in `read`"), &trouble);
    }
    let pid = program.pid();
    let before = Snapshot::of(pid);
    for _ in 0..LOOKS_AT_SLEEP {
        // Who runs is in no call. (To describe it takes longer: the kernel's table of connections is read for that.)
        let inside = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
        let number = inside.split(' ').next().and_then(|number| number.parse().ok());
        if number.and_then(calls::find).is_some_and(|call| family(call.name) != "read") {
            let doing = program.doing();
            check.fail(format!("{when}, your program {doing}, and not in `read`"));
        }
        thread::sleep(BETWEEN_LOOKS);
    }
    if Snapshot::of(pid) != before {
        check.fail(format!(
            "{when}, your program is woken again and again although nothing has come, and not only asleep in `read`"
        ));
    }
}

/// How much of what came a report shows, in bytes: more is shown by its beginning and its end.
const MOST_IN_LINES: usize = 400;

/// Bytes as a report shows them: each line on a line of its own, with all that isn't plain text escaped, so that what
/// differs looks different.
pub fn in_lines(bytes: &[u8]) -> String {
    let lines = |bytes: &[u8]| {
        let lines = bytes.split_inclusive(|byte| *byte == b'\n');
        lines.map(|line| format!("\n  {}", line.escape_ascii())).collect::<String>()
    };
    match bytes.len() {
        0 => "\n  (nothing)".to_owned(),
        1..=MOST_IN_LINES => lines(bytes),
        count => {
            let (first, last) = (&bytes[..MOST_IN_LINES / 4], &bytes[count - MOST_IN_LINES / 4..]);
            format!("{}\n  … {count} bytes in all …{}", lines(first), lines(last))
        }
    }
}

/// The wait that a program sleeps in, and what it has called it with.
pub struct Wait {
    /// `epoll_wait`, or a relative.
    pub call: &'static str,
    /// For how many reports it has room.
    pub room: u64,
    /// How long it lasts at the most. `None`: for as long as it takes.
    pub time: Option<Duration>,
}

impl Wait {
    /// Where the system doesn't tell, or the program is elsewhere, `None`.
    pub fn of(server: &Server<'_>) -> Option<Self> {
        // The call's number, and what it was called with, in hexadecimal (proc_pid_syscall(5)).
        let inside = fs::read_to_string(format!("/proc/{}/syscall", server.program.pid())).ok()?;
        let mut fields = inside.split_whitespace();
        let call = fields.next()?.parse().ok().and_then(calls::find)?.name;
        if !["epoll_wait", "epoll_pwait"].contains(&call) {
            return None;
        }
        let mut fields =
            fields.map(|field| u64::from_str_radix(field.trim_start_matches("0x"), 16));
        // Each is an int, of which the upper half says nothing; -1 is for as long as it takes.
        let (room, time) = (fields.nth(2)?.ok()? & 0xffff_ffff, fields.next()?.ok()? & 0xffff_ffff);
        let time = Some(time).filter(|time| *time < 1 << 31).map(Duration::from_millis);
        Some(Self { call, room, time })
    }
}
