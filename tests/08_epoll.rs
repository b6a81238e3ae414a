//! The graded checks of chapter 8. The judged program is the server; the check plays its visitors. Without epoll
//! there is nothing to be judged.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use grader::bytes::{
    self, Outcome, Wait, all_are_in, between, between_when_still, both_ends, expect, expect_end,
    narrow_visitor, nothing_more, read_exactly, send, visitor,
};
use grader::check;
use grader::check::{Check, Server};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use rstest::rstest;
use visitors::calls;
use visitors::connection::Connection;
use visitors::doing::Snapshot;
use visitors::program::{LOOK_EVERY, PATIENCE, Start, Trouble, Watch};

/// The most that the exercises keep for a visitor, in bytes.
const MOST: usize = 64 * 1024;

/// How often to look again at what a look at the kernel's table may have got wrong.
const LOOKS: usize = 10;

/// When nothing has come for so long, the kernels have nothing more.
const NOTHING_COMES: Duration = Duration::from_millis(300);

/// A program that uses so much CPU time before it comes to rest, with next to nothing to be done, turns in a loop.
const FOR_NOTHING: Duration = Duration::from_secs(1);

/// The length of a line, in bytes, with its end.
const LINE: usize = 64;

/// The bytes number `from` and following of a long text in which nothing comes twice: numbers of eight bytes
/// each, eight in a line.
fn words(from: usize, count: usize) -> Vec<u8> {
    let block = |number: usize| {
        let end = if number % 8 == 7 { '\n' } else { ' ' };
        format!("{number:07}{end}").into_bytes()
    };
    let blocks = from / 8..(from + count).div_ceil(8);
    let mut bytes: Vec<u8> = blocks.flat_map(block).collect();
    bytes.drain(..from % 8);
    bytes.truncate(count);
    bytes
}

/// Waits until the server has done all that it can do with the visitors that it has. The wait that it's in has no end of its own.
#[track_caller]
fn settle(server: &Server<'_>, when: &str) {
    comes_to_rest(server, when);
    bytes::settle(server, when);
    waits_without_a_time(server, when);
}

/// Whoever turns in a loop is never asleep, and that's said sooner than for one who only takes long.
#[track_caller]
fn comes_to_rest(server: &Server<'_>, when: &str) {
    let program = &server.program;
    let used = || program.usage().unwrap_or_default().cpu;
    let before = used();
    let deadline = Instant::now() + PATIENCE;
    let busy = || Snapshot::of(program.pid()).is_some_and(|now| !now.asleep());
    while busy() && Instant::now() < deadline && program.exit_status().is_none() {
        if used().saturating_sub(before) > FOR_NOTHING {
            let time = FOR_NOTHING.as_secs();
            server.check.fail(format!(
                "{when}, your program was to wait, but your program turns in a loop that never waits: {time} s of CPU time, for nothing"
            ));
        }
        thread::sleep(LOOK_EVERY / 4);
    }
    if Instant::now() >= deadline {
        let doing = program.doing();
        let expected = format!("{when}, your program was to wait");
        server.check.fail_for(&expected, &Trouble::TooLong { doing });
    }
}

/// Waits until all that a visitor has sent was read, or the program has come to rest without that.
#[track_caller]
fn is_read(server: &Server<'_>, visitor: &Connection) -> bool {
    if visitor.wait_until_read(LOOK_EVERY * 5) {
        return true;
    }
    (0..3).any(|_| {
        settle(server, &format!("after the {} had sent something", visitor.name()));
        visitor.wait_until_read(LOOK_EVERY)
    })
}

/// The program sleeps, and the call that it sleeps in has no end of its own: the kernel was given no time.
#[track_caller]
fn waits_without_a_time(server: &Server<'_>, when: &str) {
    if let Some(Wait { call, time: Some(time), .. }) = Wait::of(server) {
        let milliseconds = time.as_millis();
        server.check.suspect("waits-for-a-while-only");
        server.check.fail(format!(
            "{when}, your program waits in {call} for {milliseconds} ms at the most, and then it looks again, although nobody has any news"
        ));
    }
}

/// How many of the bytes that a visitor has sent to the server, or the server to it, lie in the kernel, not yet
/// read. Where that doesn't tell, `None`.
fn unread(server: &Server<'_>, visitor: &Connection) -> Option<usize> {
    let between = between(server, visitor)?;
    Some(between.to_server + between.to_visitor)
}

/// The kernels keep less for a visitor, on both sides: who can send more is read, and read, and read.
const ENDLESS: usize = 32 << 20;

/// A visitor who sends and doesn't read.
struct Greedy {
    connection: Connection,
    sent: usize,
}

impl Greedy {
    fn new(connection: Connection) -> Self {
        Self { connection, sent: 0 }
    }

    /// How much of what was sent the program has, while nothing has been read.
    fn queued(&self, server: &Server<'_>) -> Option<usize> {
        Some(self.sent.saturating_sub(unread(server, &self.connection)?))
    }

    /// Takes what lies in the kernel for it, until nothing more comes.
    fn takes_what_there_is(&mut self) {
        let mut stream = self.connection.stream();
        let (mut taken, mut piece) = (Vec::new(), [0; 64 * 1024]);
        while self.connection.readable_within(NOTHING_COMES)
            && let Ok(count @ 1..) = stream.read(&mut piece)
        {
            taken.extend_from_slice(&piece[..count]);
        }
        self.connection.give_back(&taken);
    }

    /// Whether its kernel takes more, now or soon.
    fn has_room(&self, time: Duration) -> bool {
        let mut list = [PollFd::new(self.connection.stream().as_fd(), PollFlags::POLLOUT)];
        let time = u16::try_from(time.as_millis()).unwrap_or(u16::MAX);
        matches!(poll(&mut list, PollTimeout::from(time)), Ok(count) if count > 0)
    }

    /// Sends as much as its kernel takes now, and at most so many bytes.
    #[track_caller]
    fn send_what_goes(&mut self, server: &Server<'_>, most: usize) {
        let mut stream = self.connection.stream();
        // Fails only for what is no socket.
        let _ = stream.set_nonblocking(true);
        let piece = words(self.sent, most);
        match stream.write(&piece) {
            Ok(count) => self.sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => {
                let name = self.connection.name();
                server.fail_seeing(&format!("the {name} couldn't send: {error}"));
            }
        }
        let _ = self.connection.stream().set_nonblocking(false);
    }
}

/// A greedy visitor, who sends until nobody takes any more from it.
#[track_caller]
fn stuck(server: &Server<'_>, connection: Connection) -> Greedy {
    let mut greedy = Greedy::new(connection);
    let mut rested = false;
    loop {
        let before = greedy.sent;
        while greedy.sent <= ENDLESS && greedy.has_room(Duration::from_millis(1)) {
            greedy.send_what_goes(server, 64 * 1024);
        }
        if greedy.sent > ENDLESS {
            let sent = greedy.sent;
            server.check.fail(format!(
                "the greedy visitor has sent {sent} bytes and read nothing, and your program reads on"
            ));
        }
        match (greedy.sent > before, rested) {
            (true, _) => rested = false,
            (false, true) => return greedy,
            (false, false) => {
                // The program may have been about to read some of it.
                settle(server, "with somebody there who sends and doesn't read");
                rested = true;
            }
        }
    }
}

/// A visitor for whom some bytes are queued, and who has sent none that the program hasn't read.
#[track_caller]
fn some_is_queued(server: &Server<'_>) -> Option<Greedy> {
    let mut greedy = Greedy::new(narrow_visitor(server, "greedy visitor"));
    // So much the program takes, whatever the kernel does. To look costs time: the fewer looks, the better.
    send(server, &mut greedy.connection, &words(0, MOST - 8 * 1024));
    greedy.sent = MOST - 8 * 1024;
    // Where it has been asked to, the kernel takes less than 200 KiB.
    for _ in 0..40 {
        let all_read = is_read(server, &greedy.connection);
        let queued = greedy.queued(server)?;
        if queued == 0 && !all_read {
            let sent = greedy.sent;
            server.check.fail(format!(
                "a visitor sent {sent} bytes, and your program has nothing to send, and hasn't read all of them"
            ));
        }
        // Less may be gone in a moment: the kernel's room grows, when it likes.
        if queued >= MOST / 2 {
            settle(server, "with a greedy visitor who hasn't read so far");
            if greedy.queued(server)? > 0 {
                return Some(greedy);
            }
        }
        send(server, &mut greedy.connection, &words(greedy.sent, 8 * 1024));
        greedy.sent += 8 * 1024;
    }
    None
}

/// So many visitors, who are all in.
#[track_caller]
fn crowd(server: &Server<'_>, count: usize) -> Vec<Connection> {
    let all = (1..=count).map(|number| visitor(server, &format!("visitor {number}"))).collect();
    all_are_in(server, count);
    all
}

/// So many who have connected, without a name.
#[track_caller]
fn crowd_of_strangers(server: &Server<'_>, count: usize) -> Vec<TcpStream> {
    let connect = |_| match TcpStream::connect_timeout(&server.address, PATIENCE) {
        Ok(stream) => stream,
        Err(error) => server.fail_seeing(&format!("a visitor couldn't connect: {error}")),
    };
    (0..count).map(connect).collect()
}

/// Leaves with a reset: no port is kept for it afterwards.
fn resets(visitor: &TcpStream) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    // Fails only for one who is gone already.
    let _ = setsockopt(visitor, sockopt::Linger, &linger);
}

/// Says a line, and leaves, without a look at what comes back.
#[track_caller]
fn leaves_a_line_unread(server: &Server<'_>, mut visitor: TcpStream, by_reset: bool) {
    if let Err(error) = visitor.write_all(&words(0, LINE)) {
        server.fail_seeing(&format!("a visitor couldn't send: {error}"));
    }
    if by_reset {
        resets(&visitor);
    }
}

/// All of them say a line at the same moment, and the last one is the first to look for what comes back.
#[track_caller]
fn all_at_the_same_moment(server: &Server<'_>, all: &mut [Connection], when: &str) {
    settle(server, "with visitors who have said nothing");
    server.program.stop();
    for (number, visitor) in all.iter_mut().enumerate() {
        send(server, visitor, &words(LINE * number, LINE));
    }
    server.program.go_on();
    for (number, visitor) in all.iter_mut().enumerate().rev() {
        expect(server, visitor, &words(LINE * number, LINE), when);
    }
}

/// Somebody comes, what it sends comes back, and it leaves.
#[track_caller]
fn still_serves(server: &Server<'_>, when: &str) {
    let mut quick = visitor(server, "quick visitor");
    says(server, &mut quick, when);
    quick.finish_sending();
    expect_end(server, &mut quick, b"", when);
}

/// A line that comes back.
#[track_caller]
fn says(server: &Server<'_>, visitor: &mut Connection, when: &str) {
    let line = words(0, LINE);
    send(server, visitor, &line);
    expect(server, visitor, &line, when);
}

/// What is sent comes back: three times ten lines, each in so many pieces. `restless` is what is likely wrong with
/// one that finds no rest after that.
#[track_caller]
fn comes_back(server: &Server<'_>, pieces: usize, restless: &'static str) {
    let mut visitor = visitor(server, "visitor");
    for round in 0..3 {
        let bytes = words(10 * LINE * round, 10 * LINE);
        if let Err(error) = visitor.send_in_pieces(&bytes, pieces, &server.program) {
            server.fail_seeing(&format!("the visitor couldn't send: {error}"));
        }
        expect(server, &mut visitor, &bytes, "after it sent ten lines");
    }
    server.check.suspect(restless);
    settle(server, "after thirty lines had come back");
    nothing_more(server, &visitor, "after thirty lines had come back");
}

/// So many bytes are there all at once, and come back.
#[track_caller]
fn comes_back_at_once(server: &Server<'_>, count: usize) {
    let mut visitor = visitor(server, "visitor");
    says(server, &mut visitor, "at the beginning");
    settle(server, "with a silent visitor");
    server.program.stop();
    let bytes = words(0, count);
    send(server, &mut visitor, &bytes);
    server.program.go_on();
    let when = format!("after it sent {count} bytes in one piece");
    expect(server, &mut visitor, &bytes, &when);
    settle(server, &when);
    nothing_more(server, &visitor, &when);
}

/// Nobody has any news, before and after somebody had.
#[track_caller]
fn idles(server: &Server<'_>) {
    settle(server, "with nobody there");
    let mut idle = visitor(server, "idle visitor");
    all_are_in(server, 1);
    settle(server, "with an idle visitor");
    says(server, &mut idle, "after a silence");
    settle(server, "with a visitor who got everything back");
    let lens = server.lens();
    server.takes_no_naps(lens.as_ref(), "with an idle visitor");
}

mod list {
    use super::*;

    /// For how many reports a wait is to have room.
    const AT_ONCE: u64 = 64;

    /// What a visitor may be waited for: as epoll_ctl(2) is told.
    const NOTHING: u32 = 0;
    const IN: u32 = nix::libc::EPOLLIN as u32;
    const OUT: u32 = nix::libc::EPOLLOUT as u32;
    const BOTH: u32 = IN | OUT;
    /// What comes unasked, and stands on the list of everybody.
    const UNASKED: u32 = (nix::libc::EPOLLERR | nix::libc::EPOLLHUP) as u32;
    /// Flags that aren't about what is asked, but about how often it's told.
    const HOW_OFTEN: u32 = (nix::libc::EPOLLET | nix::libc::EPOLLONESHOT) as u32;

    /// The kernel's list, as /proc shows it: what is asked, by the inode of the socket. `None` where it doesn't tell.
    fn kernels_list(server: &Server<'_>) -> Option<Vec<(u64, u32)>> {
        let process = format!("/proc/{}", server.program.pid());
        let is_epoll = |entry: &fs::DirEntry| {
            fs::read_link(entry.path()).is_ok_and(|link| link.ends_with("anon_inode:[eventpoll]"))
        };
        let epoll = fs::read_dir(format!("{process}/fd")).ok()?.flatten().find(is_epoll)?;
        let name = epoll.file_name().into_string().ok()?;
        let text = fs::read_to_string(format!("{process}/fdinfo/{name}")).ok()?;
        // `tfd: 5 events: 19 data: 7 pos:0 ino:a1b2 sdev:8`, a line for each (proc_pid_fdinfo(5)).
        let entry = |line: &str| {
            let (_, events) = line.split_once("events:")?;
            let events = u32::from_str_radix(events.split_whitespace().next()?, 16).ok()?;
            let (_, inode) = line.split_once("ino:")?;
            let inode = u64::from_str_radix(inode.split_whitespace().next()?, 16).ok()?;
            Some((inode, events & !UNASKED))
        };
        text.lines().filter(|line| line.starts_with("tfd:")).map(entry).collect()
    }

    /// The inode of the server's end, by the port of the visitor's; that of its listener is at port 0.
    fn inodes(server: &Server<'_>) -> BTreeMap<u16, u64> {
        let ends = visitors::tcp::of_port(server.address.port());
        let named = ends.iter().filter(|end| end.socket.inode != 0);
        named.map(|end| (end.remote.port(), end.socket.inode)).collect()
    }

    /// Flags in words: `EPOLLIN | EPOLLOUT`.
    fn in_words(flags: u32) -> String {
        let known = [
            (IN, "EPOLLIN"),
            (OUT, "EPOLLOUT"),
            (nix::libc::EPOLLPRI as u32, "EPOLLPRI"),
            (nix::libc::EPOLLRDHUP as u32, "EPOLLRDHUP"),
            (nix::libc::EPOLLET as u32, "EPOLLET"),
            (nix::libc::EPOLLONESHOT as u32, "EPOLLONESHOT"),
        ];
        let words = known.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, word)| *word);
        let mut words: Vec<String> = words.map(str::to_owned).collect();
        let unknown = known.iter().fold(flags, |rest, (flag, _)| rest & !flag);
        if unknown != 0 {
            words.push(format!("{unknown:#x}"));
        }
        if words.is_empty() { "no flags".to_owned() } else { words.join(" | ") }
    }

    /// The kernel's list must have just these visitors on it, asked about just this, and the listener where the door is
    /// `open`. Whoever is waited for nothing isn't on it.
    #[track_caller]
    fn kernel_knows(server: &Server<'_>, who: &[(&Connection, u32)], open: bool, when: &str) {
        settle(server, when);
        let mut look = 1;
        let fault = loop {
            let Some(list) = kernels_list(server) else { return };
            let inodes = inodes(server);
            let Some(fault) = fault(&list, &inodes, who, open) else { return };
            // While others come and go, a look at the kernel's table may miss a row.
            if look == LOOKS {
                break fault;
            }
            look += 1;
            thread::sleep(LOOK_EVERY / 10);
        };
        let (cause, saw) = fault;
        server.check.suspect(cause);
        server.check.fail(format!("{when}, {saw}"));
    }

    /// What is wrong with the kernel's list, and why.
    fn fault(
        list: &[(u64, u32)],
        inodes: &BTreeMap<u16, u64>,
        who: &[(&Connection, u32)],
        open: bool,
    ) -> Option<(&'static str, String)> {
        let mut rest = list.to_vec();
        let mut take = |inode: Option<&u64>| -> Option<u32> {
            let place = rest.iter().position(|(other, _)| Some(other) == inode)?;
            Some(rest.swap_remove(place).1)
        };
        let mut wanted =
            vec![("the listener".to_owned(), Some(0), if open { IN } else { NOTHING })];
        wanted.extend(who.iter().map(|(visitor, wanted)| {
            let port = visitor.stream().local_addr().ok().map(|address| address.port());
            (format!("the {}", visitor.name()), port, *wanted)
        }));
        for (name, port, wanted) in wanted {
            let asked = take(port.and_then(|port| inodes.get(&port)));
            let Some(flags) = asked else {
                if wanted == NOTHING {
                    continue;
                }
                let wanted = in_words(wanted);
                let cause =
                    if port == Some(0) { "door-is-like-all-others" } else { "change-not-told" };
                return Some((
                    cause,
                    format!("{name} isn't on the kernel's list: {wanted} was wanted"),
                ));
            };
            if flags == wanted && wanted != NOTHING {
                continue;
            }
            let cause = match flags {
                _ if flags & HOW_OFTEN != 0 => "told-once",
                _ if flags & !BOTH != 0 => "asks-about-more",
                0 => "asked-about-nothing",
                _ if port == Some(0) => "door-is-like-all-others",
                _ if wanted == NOTHING => "not-taken-off",
                _ if flags & OUT > wanted & OUT => "asks-for-room-always",
                _ if flags & IN > wanted & IN => "asks-to-read-always",
                _ => "change-not-told",
            };
            let (flags, wanted) = (in_words(flags), in_words(wanted));
            let wanted = if wanted == "no flags" { "nothing".to_owned() } else { wanted };
            return Some((
                cause,
                format!("{name} is on the kernel's list with {flags}: {wanted} was wanted"),
            ));
        }
        let (_, flags) = *rest.first()?;
        let flags = in_words(flags);
        let cause = if flags == "no flags" { "asked-about-nothing" } else { "left-to-close" };
        Some((cause, format!("somebody who has left is on the kernel's list still, with {flags}")))
    }

    /// What a visitor is doing.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum State {
        IsSilent,
        HasSpoken,
        Waits,
        WasCalled,
        IsStuck,
        HasSomeQueued,
        HasReadAll,
        WaitsAndIsOwed,
        WaitsAndGotAll,
        HasLeft,
        HasLeftWaiting,
        WasReset,
        WasResetStuck,
        WasResetOwed,
    }

    #[rstest]
    #[case::who_is_silent(State::IsSilent, IN)]
    #[case::who_has_spoken(State::HasSpoken, IN)]
    #[case::who_waits(State::Waits, NOTHING)]
    #[case::who_was_called(State::WasCalled, IN)]
    #[case::who_is_stuck(State::IsStuck, OUT)]
    #[case::who_has_some_queued(State::HasSomeQueued, BOTH)]
    #[case::who_has_read_all(State::HasReadAll, IN)]
    #[case::who_waits_and_is_owed(State::WaitsAndIsOwed, OUT)]
    #[case::who_waits_and_got_all(State::WaitsAndGotAll, NOTHING)]
    #[case::who_has_left(State::HasLeft, NOTHING)]
    #[case::who_has_left_the_waiting_room(State::HasLeftWaiting, NOTHING)]
    #[case::who_was_reset(State::WasReset, NOTHING)]
    #[case::who_was_reset_while_it_was_stuck(State::WasResetStuck, NOTHING)]
    #[case::who_was_reset_while_some_was_queued(State::WasResetOwed, NOTHING)]
    fn the_kernel_is_asked_what_is_wanted(#[case] state: State, #[case] wanted: u32) {
        use State::*;
        let check = check!("08-list");
        check.suspect("change-not-told");
        let server = check.server(&[]);
        let mut clerk = visitor(&server, "clerk");
        says(&server, &mut clerk, "at the beginning");
        let when = match state {
            IsSilent => "with a silent visitor",
            HasSpoken => "after a line had come back",
            Waits => "with a visitor in the waiting room",
            WasCalled => "after a visitor was called from the waiting room",
            IsStuck => "with a visitor who sent until it was stuck",
            HasSomeQueued => "with a visitor for whom something is queued",
            HasReadAll => "after a visitor who had been stuck had read everything",
            WaitsAndIsOwed => "with a visitor in the waiting room for whom something is queued",
            WaitsAndGotAll => "with a visitor in the waiting room who has read all that was queued",
            HasLeft => "after a visitor had left",
            HasLeftWaiting => "after a visitor had left who was called from the waiting room",
            WasReset => "after a visitor was reset",
            WasResetStuck => "after a visitor was reset who was stuck",
            WasResetOwed => "after a visitor was reset for whom something was queued",
        };
        let next = |clerk: &mut Connection| {
            send(&server, clerk, b"next\n");
            gets(&server, clerk, "called", "after it had called the next one");
        };
        let mut greedy = match state {
            IsStuck | HasReadAll | WasResetStuck => {
                Some(stuck(&server, narrow_visitor(&server, "visitor")))
            }
            HasSomeQueued | WaitsAndIsOwed | WaitsAndGotAll | WasResetOwed => {
                let Some(greedy) = some_is_queued(&server) else { return };
                // With a full queue, it's read no more.
                if !greedy.connection.wait_until_read(Duration::ZERO) {
                    return;
                }
                Some(greedy)
            }
            _ => None,
        };
        let sent = greedy.as_ref().map_or(0, |greedy| greedy.sent);
        let mut other = match greedy.take() {
            Some(greedy) => greedy.connection,
            None => visitor(&server, "visitor"),
        };
        all_are_in(&server, 2);
        match state {
            IsSilent | IsStuck | HasSomeQueued => {}
            HasSpoken => says(&server, &mut other, "at the beginning"),
            Waits | WaitsAndIsOwed => waits(&server, &mut other),
            WasCalled => {
                waits(&server, &mut other);
                next(&mut clerk);
                gets(&server, &mut other, "your turn", when);
            }
            HasReadAll => expect(&server, &mut other, &words(0, sent - sent % LINE), when),
            WaitsAndGotAll => {
                waits(&server, &mut other);
                expect(&server, &mut other, &words(0, sent), when);
            }
            HasLeft => {
                other.finish_sending();
                expect_end(&server, &mut other, b"", when);
            }
            HasLeftWaiting => {
                waits(&server, &mut other);
                other.finish_sending();
                settle(&server, "after a visitor in the waiting room had finished sending");
                next(&mut clerk);
                expect_end(&server, &mut other, b"your turn\n", when);
            }
            WasReset | WasResetStuck | WasResetOwed => {
                other.reset();
                return kernel_knows(&server, &[(&clerk, IN)], true, when);
            }
        }
        kernel_knows(&server, &[(&clerk, IN), (&other, wanted)], true, when);
        if state == WaitsAndGotAll {
            next(&mut clerk);
            gets(&server, &mut other, "your turn", "after it was called from the waiting room");
            says(&server, &mut other, "after it was called from the waiting room");
        }
    }

    #[test]
    fn several_at_the_door() {
        let check = check!("08-list");
        check.suspect("door-is-like-all-others");
        let server = check.server(&[]);
        for round in 0..3 {
            settle(&server, "with nobody who has anything to say");
            server.program.stop();
            let mut all: Vec<_> = (1..=5)
                .map(|number| visitor(&server, &format!("visitor {}", 5 * round + number)))
                .collect();
            for visitor in &mut all {
                send(&server, visitor, &words(0, LINE));
            }
            server.program.go_on();
            for visitor in all.iter_mut().rev() {
                expect(&server, visitor, &words(0, LINE), "after five had come at the same moment");
            }
        }
        settle(&server, "after five had come at the same moment");
    }

    #[test]
    fn the_door_is_shut_while_no_descriptor_is_left() {
        const LIMIT: usize = 14;
        let check = check!("08-list");
        check.suspect("door-is-like-all-others");
        let limit = "ulimit -n 14 && exec \"$0\" 127.0.0.1:0";
        let start = Start::new("/bin/sh").arg("-c").arg(limit).arg(check.program());
        let program = match start.env("RUST_BACKTRACE", "0").start() {
            Ok(program) => program,
            Err(error) => check.fail(format!("a shell can't be started: {error}")),
        };
        let address = match program.listening() {
            Ok(address) => address,
            Err(trouble) => check
                .fail_for("the first line on stdout was to be `listening on ADDRESS`", &trouble),
        };
        let server = Server { check: &check, program, address };
        settle(&server, "with nobody there");
        // Some are its own: the listener, the list, and what it was started with.
        let open = |number: &usize| {
            fs::read_link(format!("/proc/{}/fd/{number}", server.program.pid())).is_ok()
        };
        let most = LIMIT - (0..LIMIT).filter(open).count();
        let mut all: Vec<_> =
            (1..=most).map(|number| visitor(&server, &format!("visitor {number}"))).collect();
        for visitor in &mut all {
            says(&server, visitor, "with some visitors, and a limit of 14 descriptors");
        }
        let mut outside: Vec<_> =
            (1..=2).map(|number| visitor(&server, &format!("visitor outside {number}"))).collect();
        for _ in 0..2 {
            let when = "with two visitors at the door, and no descriptor left";
            let inside: Vec<_> = all.iter().map(|visitor| (visitor, IN)).collect();
            kernel_knows(&server, &inside, false, when);
            let mut leaves = all.remove(0);
            leaves.finish_sending();
            expect_end(&server, &mut leaves, b"", when);
            let when = "after somebody had left, and there was a descriptor again";
            let mut comes = outside.remove(0);
            says(&server, &mut comes, when);
            says(&server, &mut all[0], when);
            all.push(comes);
        }
        all.truncate(most - 2);
        let inside: Vec<_> = all.iter().map(|visitor| (visitor, IN)).collect();
        kernel_knows(&server, &inside, true, "after two more had left");
    }

    #[test]
    fn who_is_reported_has_a_turn() {
        // To look at many is slow: a few more than there is room for.
        const COUNT: usize = 70;
        let check = check!("08-list");
        check.suspect("gives-others-than-were-reported");
        let server = check.server(&[]);
        let mut all = crowd(&server, COUNT);
        settle(&server, "with visitors who have said nothing");
        if let Some(Wait { call, room, .. }) = Wait::of(&server)
            && room != AT_ONCE
        {
            check.suspect("room-for-another-number");
            check.fail(format!(
                "your program waits in {call} with room for {room}: AT_ONCE is {AT_ONCE}"
            ));
        }
        let Some(lens) = server.lens() else { return };
        all_at_the_same_moment(
            &server,
            &mut all,
            "after seventy had said something at the same moment",
        );
        // The first stays silent.
        for visitor in &mut all[1..4] {
            says(&server, visitor, "with many silent visitors");
        }
        settle(&server, "with many silent visitors");
        let mut reported: Option<Option<i64>> = None;
        let mut had_a_turn = Vec::new();
        for call in lens.calls() {
            match calls::family(&call.call) {
                "epoll_wait" => {
                    if let Some(count) = reported {
                        turn_of_all(&server, count, std::mem::take(&mut had_a_turn));
                    }
                    // Interrupted by a signal, it has reported nobody.
                    let Outcome::Result(count) = call.outcome else {
                        reported = Some(None);
                        continue;
                    };
                    reported = Some(Some(count));
                }
                "read" if reported.is_some() => had_a_turn.extend(call.descriptor),
                _ => {}
            }
        }
    }

    /// In one turn, so many were reported (none: a signal came), and those of these descriptors had a turn. (Names don't count them: they
    /// are known by their ports, and another server's visitor may come from the same one.)
    #[track_caller]
    fn turn_of_all(server: &Server<'_>, reported: Option<i64>, mut had_a_turn: Vec<i64>) {
        had_a_turn.sort();
        had_a_turn.dedup();
        let count = i64::try_from(had_a_turn.len()).unwrap_or(i64::MAX);
        let Some(reported) = reported else {
            if count > 0 {
                server.check.suspect("gives-others-than-were-reported");
                server.check.fail(format!(
                    "epoll_wait was interrupted by a signal, so it has reported nobody, and {count} visitors had a turn"
                ));
            }
            return;
        };
        if reported == 0 {
            server.check.suspect("waits-for-a-while-only");
            server.check.fail(
                "your program called epoll_wait, and it came back at once, with nobody: it was to wait",
            );
        }
        if reported != count {
            let few = if reported > count { "only " } else { "" };
            server.check.fail(format!(
                "epoll_wait reported {reported} visitors who had something to say, and {few}{count} visitors had a turn \
                 before the next wait"
            ));
        }
    }

    #[test]
    fn nothing_is_kept_of_who_has_left() {
        const EACH: usize = 2000;
        let check = check!("08-list");
        let server = check.server(&[]);
        let mut bystander = visitor(&server, "bystander");
        server.keeps_nothing(EACH, "visitors", |_| {
            for portion in 0..EACH / 100 {
                let all = crowd_of_strangers(&server, 100);
                // They leave in all ways.
                for (number, visitor) in all.into_iter().enumerate() {
                    if number < 2 {
                        leaves_a_line_unread(&server, visitor, portion % 2 == 0);
                    } else {
                        resets(&visitor);
                    }
                }
                says(&server, &mut bystander, "while visitors came and went");
            }
        });
    }

    /// How often epoll_ctl has been called, by what it was called for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Calls {
        added: usize,
        changed: usize,
        deleted: usize,
    }

    impl std::fmt::Display for Calls {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let Self { added, changed, deleted } = self;
            write!(f, "{added} added, {changed} changed, {deleted} deleted")
        }
    }

    /// Asks how many there were.
    #[track_caller]
    fn calls(server: &Server<'_>, clerk: &mut Connection, when: &str) -> Calls {
        send(server, clerk, b"calls\n");
        let line = a_line(server, clerk, when);
        let numbers: Vec<usize> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [added, changed, deleted] => Calls { added, changed, deleted },
            _ => server.check.fail(format!(
                "{when}, the {} asked for the calls, and got {line:?}",
                clerk.name()
            )),
        }
    }

    /// The next line that the visitor gets.
    #[track_caller]
    fn a_line(server: &Server<'_>, visitor: &mut Connection, when: &str) -> String {
        let name = visitor.name().to_owned();
        let whole = |bytes: &[u8]| bytes.contains(&b'\n');
        match visitor.receive_while_missing(&server.program, whole) {
            Ok(Ok(bytes)) => {
                let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
                visitor.give_back(&bytes[end + 1..]);
                String::from_utf8_lossy(&bytes[..end]).into_owned()
            }
            Ok(Err(_)) => server.fail_seeing(&format!("{when}, the {name} was hung up on")),
            Err((trouble, _)) => {
                server.check.fail_for(&format!("{when}, the {name} waits for a line"), &trouble);
            }
        }
    }

    /// Says something, and has to get this line.
    #[track_caller]
    fn gets(server: &Server<'_>, visitor: &mut Connection, expected: &str, when: &str) {
        let line = a_line(server, visitor, when);
        if line != expected {
            let name = visitor.name();
            server.check.fail(format!("{when}, the {name} got {line:?}, and not {expected:?}"));
        }
    }

    /// Takes a visitor into the waiting room.
    #[track_caller]
    fn waits(server: &Server<'_>, visitor: &mut Connection) {
        send(server, visitor, b"wait\n");
        is_read(server, visitor);
        settle(server, &format!("with the {} in the waiting room", visitor.name()));
    }

    #[rstest]
    #[case::in_one_piece(1)]
    #[case::in_seven_pieces(7)]
    #[case::byte_by_byte(usize::MAX)]
    fn lines_come_back(#[case] pieces: usize) {
        let check = check!("08-list");
        check.suspect("asks-about-the-wrong-thing");
        comes_back(&check.server(&[]), pieces, "asks-for-room-always");
    }

    #[test]
    fn a_signal_changes_nothing() {
        let check = check!("08-list");
        check.suspect("signal-is-an-error");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        says(&server, &mut visitor, "before a signal");
        settle(&server, "with a silent visitor");
        while server.program.handles_a_signal() {
            let when = "after a signal came while it waited";
            settle(&server, when);
            still_serves(&server, when);
            says(&server, &mut visitor, when);
        }
    }

    #[test]
    fn idle_visitors_cost_nothing() {
        let check = check!("08-list");
        check.suspect("asks-for-room-always");
        idles(&check.server(&[]));
    }

    #[test]
    fn many_lines_at_once() {
        let check = check!("08-list");
        check.suspect("told-once");
        comes_back_at_once(&check.server(&[]), 500 * LINE);
    }

    #[rstest]
    #[case::without_a_word(false, false)]
    #[case::after_a_line(true, false)]
    #[case::by_a_reset(true, true)]
    fn who_leaves_is_forgotten(#[case] speaks: bool, #[case] by_reset: bool) {
        let check = check!("08-list");
        check.suspect("left-to-close");
        let server = check.server(&[]);
        let mut bystander = visitor(&server, "bystander");
        let mut leaver = visitor(&server, "visitor");
        all_are_in(&server, 2);
        if speaks {
            says(&server, &mut leaver, "at the beginning");
        }
        settle(&server, "with two silent visitors");
        let when = if by_reset { "after a visitor was reset" } else { "after a visitor had left" };
        if by_reset {
            leaver.reset();
        } else {
            leaver.finish_sending();
            expect_end(&server, &mut leaver, b"", "after it had finished sending");
        }
        settle(&server, when);
        says(&server, &mut bystander, when);
        settle(&server, when);
    }

    #[rstest]
    #[case::while_it_is_heard(false)]
    #[case::while_nothing_is_read_from_it(true)]
    fn who_is_reset_with_bytes_unsent_is_forgotten(#[case] full: bool) {
        let check = check!("08-list");
        check.suspect("left-to-close");
        let server = check.server(&[]);
        let mut bystander = visitor(&server, "bystander");
        let greedy = match full {
            true => Some(stuck(&server, narrow_visitor(&server, "greedy visitor"))),
            false => some_is_queued(&server),
        };
        let Some(greedy) = greedy else { return };
        let when = "after a visitor who didn't read was reset";
        greedy.connection.reset();
        settle(&server, when);
        says(&server, &mut bystander, when);
        settle(&server, when);
    }

    #[test]
    fn visitors_come_and_go() {
        const TOGETHER: usize = 50;
        let check = check!("08-list");
        check.suspect("remembered-by-descriptor");
        let server = check.server(&[]);
        let mut bystander = visitor(&server, "bystander");
        for round in 0..20 {
            let when = format!("after {} visitors had come and gone", TOGETHER * round);
            let mut all: Vec<_> = (1..=TOGETHER)
                .map(|number| visitor(&server, &format!("visitor {}", TOGETHER * round + number)))
                .collect();
            for (number, visitor) in all.iter_mut().enumerate() {
                let line = words(LINE * (TOGETHER * round + number), LINE);
                send(&server, visitor, &line);
                expect(&server, visitor, &line, &when);
            }
            for (number, mut visitor) in all.into_iter().enumerate() {
                if number % 2 == 0 {
                    visitor.reset();
                } else {
                    visitor.finish_sending();
                    expect_end(&server, &mut visitor, b"", &when);
                }
            }
            // One that turns in a loop would take very long for the rest.
            if round == 0 {
                settle(&server, "after fifty visitors had come and gone");
            }
        }
        let when = "after a thousand visitors had come and gone";
        settle(&server, when);
        says(&server, &mut bystander, when);
    }

    #[test]
    fn who_waits_is_not_heard() {
        let check = check!("08-list");
        check.suspect("asked-about-nothing");
        let server = check.server(&[]);
        let mut patient = visitor(&server, "patient visitor");
        let mut rude = visitor(&server, "rude visitor");
        all_are_in(&server, 2);
        waits(&server, &mut patient);
        waits(&server, &mut rude);
        send(&server, &mut patient, &words(0, LINE));
        let when = "after a visitor in the waiting room had said something";
        settle(&server, when);
        nothing_more(&server, &patient, when);
        rude.reset();
        settle(&server, "after a visitor in the waiting room was reset");
        patient.finish_sending();
        settle(&server, "after a visitor in the waiting room had finished sending");
        still_serves(&server, "with two visitors in the waiting room who are gone");
        check.suspect("forgets-that-it-deleted");
        let mut clerk = visitor(&server, "clerk");
        for answer in ["called", "called", "nobody waits"] {
            let when = "after somebody had called the next one";
            send(&server, &mut clerk, b"next\n");
            gets(&server, &mut clerk, answer, when);
        }
        let last = [b"your turn\n", words(0, LINE).as_slice()].concat();
        expect_end(&server, &mut patient, &last, "after it was called from the waiting room");
        settle(&server, "after two visitors were called who had left");
    }

    #[test]
    fn who_is_called_is_heard_again() {
        let check = check!("08-list");
        check.suspect("forgets-that-it-deleted");
        let server = check.server(&[]);
        let mut clerk = visitor(&server, "clerk");
        let mut patient = visitor(&server, "patient visitor");
        all_are_in(&server, 2);
        for _ in 0..3 {
            says(&server, &mut patient, "before it went to the waiting room");
            waits(&server, &mut patient);
            let when = "after it was called from the waiting room";
            send(&server, &mut clerk, b"next\n");
            gets(&server, &mut clerk, "called", "after it had called the next one");
            gets(&server, &mut patient, "your turn", when);
            settle(&server, "after somebody was called from the waiting room");
            says(&server, &mut patient, when);
        }
    }

    /// When a visitor who doesn't read says that it has finished sending.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Finishes {
        Never,
        /// The word comes after all that it had to say has been read.
        Stuck,
        /// The word is there, and it isn't read from.
        Unread,
    }

    #[rstest]
    #[case::and_stays(Finishes::Never)]
    #[case::and_has_finished(Finishes::Stuck)]
    #[case::and_is_known_to_have_finished(Finishes::Unread)]
    fn a_slow_reader_gets_everything(#[case] finishes: Finishes) {
        let check = check!("08-list");
        check.suspect("change-not-told");
        let server = check.server(&[]);
        let connection = narrow_visitor(&server, "greedy visitor");
        let mut greedy = match finishes {
            Finishes::Unread => {
                let Some(greedy) = a_little_unread(&server, connection) else { return };
                greedy
            }
            _ => stuck(&server, connection),
        };
        settle(&server, "with a visitor who sends and doesn't read");
        still_serves(&server, "with a visitor who sends and doesn't read");
        let when = "after it had sent until it was stuck, and began to read";
        // Half a line doesn't come back, until it's a whole one.
        let whole = greedy.sent - greedy.sent % LINE;
        if finishes != Finishes::Never {
            greedy.connection.finish_sending();
        }
        if finishes == Finishes::Unread && the_end_is_there(&server, &greedy.connection) {
            check.suspect("asks-about-more");
            settle(&server, "with a visitor who doesn't read, and has finished sending");
            still_serves(&server, "with a visitor who doesn't read, and has finished sending");
        }
        if finishes != Finishes::Never {
            expect_end(&server, &mut greedy.connection, &words(0, whole), when);
        } else {
            expect(&server, &mut greedy.connection, &words(0, whole), when);
            check.suspect("asks-for-room-always");
            settle(&server, "after the greedy visitor had got everything back");
            let more = 2 * LINE - greedy.sent % LINE;
            send(&server, &mut greedy.connection, &words(greedy.sent, more));
            let when = "after it had been stuck, and sent more";
            expect(&server, &mut greedy.connection, &words(whole, 2 * LINE), when);
        }
        settle(&server, "after the greedy visitor had got everything back");
    }

    /// A visitor from whom the program reads no more, and who has nothing left that isn't there.
    #[track_caller]
    fn a_little_unread(server: &Server<'_>, connection: Connection) -> Option<Greedy> {
        let mut greedy = Greedy::new(connection);
        // So much the program takes, whatever the kernel does. Where it has been asked to, that takes less than 200 KiB.
        send(server, &mut greedy.connection, &words(0, MOST));
        greedy.sent = MOST;
        for _ in 0..60 {
            send(server, &mut greedy.connection, &words(greedy.sent, 8 * 1024));
            greedy.sent += 8 * 1024;
            if is_read(server, &greedy.connection) {
                continue;
            }
            let (there, here) = both_ends(server, &greedy.connection)?;
            if there.unread > 0 {
                return (here.under_way == 0).then_some(greedy);
            }
        }
        None
    }

    /// Whether the word that it has finished has come to the program, soon.
    fn the_end_is_there(server: &Server<'_>, visitor: &Connection) -> bool {
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline {
            match both_ends(server, visitor) {
                Some((there, _)) if there.heard_the_end => return true,
                Some(_) => {}
                None => return false,
            }
        }
        false
    }

    #[test]
    fn more_at_once_than_there_is_room_for() {
        let check = check!("08-list");
        check.suspect("asks-until-fewer-come");
        let server = check.server(&[]);
        let mut all = crowd(&server, 200);
        let when = "after two hundred had said something at the same moment";
        all_at_the_same_moment(&server, &mut all, when);
        settle(&server, when);
    }

    #[test]
    fn no_call_without_a_change() {
        let check = check!("08-list");
        check.suspect("told-though-nothing-is-new");
        let server = check.server(&[]);
        let mut clerk = visitor(&server, "clerk");
        let mut all = crowd(&server, 10);
        let when = "with eleven visitors";
        let before = calls(&server, &mut clerk, when);
        let expected = Calls { added: 12, changed: 0, deleted: 0 };
        if before != expected {
            check.fail(format!("{when} and a listener, epoll_ctl was called like this: {before}; {expected} will do"));
        }
        for visitor in &mut all {
            for _ in 0..10 {
                says(&server, visitor, when);
            }
        }
        let after = calls(&server, &mut clerk, when);
        if after != before {
            check.fail(format!(
                "after a hundred lines had come back, each at once, epoll_ctl had been called like this: {after}; before them: \
                 {before}. Nothing had changed"
            ));
        }
        let Some(mut greedy) = some_is_queued(&server) else { return };
        let all_read = |greedy: &Greedy| greedy.connection.wait_until_read(PATIENCE);
        all_read(&greedy);
        settle(&server, "with a visitor who reads nothing");
        let before = calls(&server, &mut clerk, when);
        for _ in 0..10 {
            send(&server, &mut greedy.connection, &words(greedy.sent, LINE));
            greedy.sent += LINE;
            all_read(&greedy);
        }
        let after = calls(&server, &mut clerk, when);
        // What goes on being queued is waited for as before: until the queue is full, or everything is sent.
        if after != before
            && greedy.queued(&server).is_some_and(|queued| (1..MOST).contains(&queued))
        {
            check.fail(format!(
                "a visitor who reads nothing, and for whom something is queued, said ten lines, and epoll_ctl had been called \
                 like this: {after}; before them: {before}. Nothing had changed"
            ));
        }
    }

    #[test]
    fn every_line_comes_back_as_it_is() {
        let check = check!("08-list");
        check.suspect("line-is-changed");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        let lines: [&[u8]; 12] = [
            b"\n",
            b" \n",
            b"\t \n",
            b"  blanks  \n",
            b"wait \n",
            b" wait\n",
            b"WAIT\n",
            b"next\r\n",
            b"calls\0\n",
            b"\0\n",
            b"caf\xe9 \xff\xfe\n",
            &[b'x'; 3000],
        ];
        for line in lines {
            let end: &[u8] = if line.ends_with(b"\n") { b"" } else { b"\n" };
            let line = [line, end].concat();
            send(&server, &mut visitor, &line);
            let shown = line.escape_ascii().to_string();
            let shown = if shown.len() > 40 { "a long line" } else { &shown };
            expect(&server, &mut visitor, &line, &format!("after it said `{shown}`"));
        }
        settle(&server, "after twelve lines had come back");
        nothing_more(&server, &visitor, "after twelve lines had come back");
    }

    #[test]
    fn who_waited_longest_is_called_first() {
        let check = check!("08-list");
        check.suspect("called-in-another-order");
        let server = check.server(&[]);
        let mut clerk = visitor(&server, "clerk");
        let mut all = crowd_of(&server, ["first", "second", "third"]);
        for visitor in &mut all {
            waits(&server, visitor);
        }
        let when = "with three in the waiting room, after somebody had called the next one";
        for number in 0..all.len() {
            send(&server, &mut clerk, b"next\n");
            gets(&server, &mut clerk, "called", when);
            settle(&server, when);
            for other in &all[number + 1..] {
                nothing_more(&server, other, when);
            }
            gets(&server, &mut all[number], "your turn", when);
        }
        send(&server, &mut clerk, b"next\n");
        gets(&server, &mut clerk, "nobody waits", "with nobody in the waiting room");
    }

    fn crowd_of(server: &Server<'_>, names: [&str; 3]) -> Vec<Connection> {
        names.iter().map(|name| visitor(server, &format!("{name} visitor"))).collect()
    }

    #[test]
    fn each_change_is_one_call() {
        let check = check!("08-list");
        check.suspect("two-calls-for-one-change");
        let server = check.server(&[]);
        let mut clerk = visitor(&server, "clerk");
        let mut expected = calls(&server, &mut clerk, "at the beginning");
        let expect_calls = |clerk: &mut Connection, expected: Calls, when: &str| {
            let seen = calls(&server, clerk, when);
            if seen != expected {
                check.fail(format!(
                    "{when}, epoll_ctl had been called like this: {seen}; {expected} will do"
                ));
            }
        };
        let mut other = visitor(&server, "visitor");
        says(&server, &mut other, "at the beginning");
        expected.added += 1;
        expect_calls(&mut clerk, expected, "after a visitor had come");
        waits(&server, &mut other);
        expected.deleted += 1;
        expect_calls(&mut clerk, expected, "after a visitor went into the waiting room");
        send(&server, &mut clerk, b"next\n");
        gets(&server, &mut clerk, "called", "after it had called the next one");
        gets(&server, &mut other, "your turn", "after it was called");
        settle(&server, "after a visitor was called");
        expected.added += 1;
        expect_calls(&mut clerk, expected, "after a visitor was called from the waiting room");
        other.finish_sending();
        expect_end(&server, &mut other, b"", "after it had finished sending");
        settle(&server, "after a visitor had left");
        expected.deleted += 1;
        expect_calls(&mut clerk, expected, "after a visitor had left");
        let connection = narrow_visitor(&server, "greedy visitor");
        let mut greedy = stuck(&server, connection);
        let stuck = calls(&server, &mut clerk, "with a visitor who doesn't read");
        expected.added += 1;
        expect_calls(
            &mut clerk,
            Calls { changed: stuck.changed, ..expected },
            "with a visitor who doesn't read",
        );
        let whole = words(0, greedy.sent - greedy.sent % LINE);
        let when = "after the greedy visitor had got everything back";
        expect(&server, &mut greedy.connection, &whole, when);
        settle(&server, when);
        let read = calls(&server, &mut clerk, when);
        expect_calls(&mut clerk, Calls { changed: read.changed, ..expected }, when);
    }

    #[test]
    fn one_line_waits() {
        let check = check!("08-list");
        check.suspect("naps-between-looks");
        let server = check.server(&[]);
        let silent = visitor(&server, "silent visitor");
        all_are_in(&server, 1);
        // Under a lens, one that turns in a loop takes much longer to be found out.
        settle(&server, "with a silent visitor");
        let lens = server.lens();
        let connection = narrow_visitor(&server, "greedy visitor");
        let mut greedy = stuck(&server, connection);
        let when = "with a silent visitor and one who doesn't read";
        still_serves(&server, when);
        let whole = words(0, greedy.sent - greedy.sent % LINE);
        expect(
            &server,
            &mut greedy.connection,
            &whole,
            "after it had been stuck, and began to read",
        );
        settle(&server, when);
        server.waits_only_in(lens.as_ref(), &["epoll_wait"], when);
        drop(silent);
    }
}

mod edge {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use visitors::calls::family;

    /// How often somebody may be read before everybody has had a turn. One would be right; a second is forgiven.
    const STEPS: usize = 2;
    /// The most that is read or written in one step, in bytes.
    const PIECE: usize = 4 * 1024;
    /// How often to look for a moment at which three visitors have sent something.
    const ROUNDS: usize = 10;
    /// In so many turns somebody was on the list, and somebody else had news: enough has been seen.
    const MIXED: usize = 20;
    /// Until what was sent lies before the program.
    const ALL_THERE: Duration = Duration::from_secs(2);
    /// More than comes back to others, in bytes, while somebody waits for its turn.
    const TOO_MUCH: usize = 32 << 20;

    #[rstest]
    #[case::in_one_piece(1)]
    #[case::in_seven_pieces(7)]
    #[case::byte_by_byte(usize::MAX)]
    fn what_is_sent_comes_back(#[case] pieces: usize) {
        let check = check!("08-edge");
        check.suspect("not-now-is-the-end");
        comes_back(&check.server(&[]), pieces, "keeps-who-cant-go-on");
    }

    #[test]
    fn every_byte_comes_back_as_it_is() {
        let check = check!("08-edge");
        check.suspect("bytes-are-changed");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        let all: Vec<u8> = (0..=255).collect();
        for bytes in [&b"\0"[..], b"\xff", b"\n", b" \t\r\n ", b"caf\xe9\n", &all, &all.repeat(100)]
        {
            send(&server, &mut visitor, bytes);
            let shown = bytes.escape_ascii().to_string();
            let shown = if shown.len() > 40 { "bytes of all kinds" } else { &shown };
            expect(&server, &mut visitor, bytes, &format!("after it sent `{shown}`"));
        }
        settle(&server, "after bytes of all kinds had come back");
        nothing_more(&server, &visitor, "after bytes of all kinds had come back");
    }

    #[test]
    fn bytes_in_a_hurry() {
        let check = check!("08-edge");
        check.suspect("sent-stays-queued");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "hurried visitor");
        // A byte may come at any moment: before a read, after it, between the last read and the wait.
        for round in 0..50 {
            let bytes = words(50 * round, 50);
            for byte in &bytes {
                send(&server, &mut visitor, &[*byte]);
            }
            expect(&server, &mut visitor, &bytes, "after it had sent fifty bytes, one by one");
        }
        settle(&server, "after 2500 bytes had come back");
        nothing_more(&server, &visitor, "after 2500 bytes had come back");
    }

    #[test]
    fn idle_visitors_cost_nothing() {
        let check = check!("08-edge");
        check.suspect("keeps-who-cant-go-on");
        idles(&check.server(&[]));
    }

    #[rstest]
    #[case::ten_kilobytes(10_000)]
    #[case::sixty_kilobytes(60_000)]
    #[case::more_than_the_queue_holds(200_000)]
    fn more_than_one_step_at_once(#[case] count: usize) {
        let check = check!("08-edge");
        check.suspect("sleeps-with-work-left");
        comes_back_at_once(&check.server(&[]), count);
    }

    #[rstest]
    #[case::after_nothing(0)]
    #[case::after_a_byte(1)]
    #[case::after_much(40_000)]
    fn the_end_came_with_the_bytes(#[case] count: usize) {
        let check = check!("08-edge");
        check.suspect("may-read-ends-too-soon");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        all_are_in(&server, 1);
        settle(&server, "with a silent visitor");
        let bytes = words(0, count);
        server.program.stop();
        send(&server, &mut visitor, &bytes);
        visitor.finish_sending();
        server.program.go_on();
        expect_end(&server, &mut visitor, &bytes, "after it had finished sending");
        settle(&server, "after it had left");
    }

    #[test]
    fn a_signal_changes_nothing() {
        let check = check!("08-edge");
        check.suspect("signal-is-an-error");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        says(&server, &mut visitor, "before a signal");
        settle(&server, "with a silent visitor");
        while server.program.handles_a_signal() {
            let when = "after a signal came while it waited";
            settle(&server, when);
            still_serves(&server, when);
            says(&server, &mut visitor, when);
        }
    }

    #[test]
    fn nothing_is_kept_of_who_has_left() {
        const EACH: usize = 600;
        let check = check!("08-edge");
        let server = check.server(&[]);
        let mut bystander = visitor(&server, "bystander");
        server.keeps_nothing(EACH, "visitors", |_| {
            for _ in 0..EACH / 50 {
                for (number, visitor) in crowd_of_strangers(&server, 50).into_iter().enumerate() {
                    match number {
                        0..10 => leaves_a_line_unread(&server, visitor, number % 5 > 0),
                        _ => resets(&visitor),
                    }
                }
                says(&server, &mut bystander, "while visitors came and went");
            }
        });
    }

    /// Who has been sent much, and is always a little behind, costs no more than its queue.
    #[test]
    fn nothing_is_kept_of_what_was_sent() {
        const EACH: usize = 128;
        let check = check!("08-edge");
        let server = check.server(&[]);
        let Some(mut behind) = some_is_queued(&server) else { return };
        let mut read = 0;
        let when = "with a visitor who is always a little behind";
        server.keeps_nothing(
            EACH,
            "pieces of 8 KiB for a visitor who is always a little behind",
            |_| {
                for _ in 0..EACH {
                    send(&server, &mut behind.connection, &words(behind.sent, 8 * 1024));
                    behind.sent += 8 * 1024;
                    expect(&server, &mut behind.connection, &words(read, 8 * 1024), when);
                    read += 8 * 1024;
                }
            },
        );
    }

    #[test]
    fn a_single_byte_is_sent_too() {
        /// What is written in a step, in bytes.
        const PIECE: usize = 4 * 1024;
        let check = check!("08-edge");
        check.suspect("cant-go-on-too-soon");
        let server = check.server(&[]);
        still_serves(&server, "at the beginning");
        let Some(mut greedy) = some_is_queued(&server) else { return };
        // A few whole pieces and a byte.
        let Some(between) = between_when_still(&server, &greedy.connection) else { return };
        let queued = greedy.sent.saturating_sub(between.to_server + between.to_visitor);
        let more = PIECE + 1 - queued % PIECE;
        send(&server, &mut greedy.connection, &words(greedy.sent, more));
        greedy.sent += more;
        is_read(&server, &greedy.connection);
        settle(&server, "with a visitor for whom some pieces and a byte are queued");
        // All of a sudden there is room.
        server.program.stop();
        greedy.takes_what_there_is();
        server.program.go_on();
        let all = words(0, greedy.sent);
        let when = "with some whole pieces and a single byte queued, and room for all of it";
        expect(&server, &mut greedy.connection, &all, when);
        settle(&server, when);
        nothing_more(&server, &greedy.connection, when);
    }

    #[test]
    fn whose_queue_is_never_empty() {
        /// How much is read and sent in a round, in bytes, and how many rounds there are between two looks.
        const ROUND: usize = 16 * 1024;
        const ROUNDS: usize = 5;
        /// How often it's looked until so much has gone through.
        const LOOKS: usize = 100;
        /// How much is to be queued, at least, when one looks. It's more than what is taken out in a round: so the queue
        /// has never been empty since the last look.
        const LEAST: usize = 32 * 1024;
        /// How much is to go through a queue that is never empty, in bytes, and how much more memory is nothing kept.
        const MUCH: usize = 400 * 1024;
        const LITTLE: u64 = 256 * 1024;
        /// With room in its queue it's read by then, or a little later: nothing depends on it.
        const SOON: Duration = Duration::from_millis(5);
        let check = check!("08-edge");
        check.suspect("part-taken-for-the-whole");
        let server = check.server(&[]);
        still_serves(&server, "at the beginning");
        let Some(mut greedy) = some_is_queued(&server) else { return };
        let when =
            "with a visitor who reads as much as it sends, and for whom something is always queued";
        let resident = || server.program.usage().map_or(0, |usage| usage.resident);
        let sends = |greedy: &mut Greedy| {
            // Where there is no room, the program may be waiting for a reader.
            greedy.send_what_goes(&server, ROUND);
            greedy.connection.wait_until_read(SOON);
        };
        let mut read = 0;
        let mut before = None;
        // So much has gone through before the queue was empty: room that a queue may have still.
        let mut longest = 0;
        // The kernel may have more room for somebody who reads, for a while.
        for _ in 0..LOOKS {
            let queued = |greedy: &Greedy| {
                let between = between_when_still(&server, &greedy.connection)?;
                Some((greedy.sent - read).saturating_sub(between.to_server + between.to_visitor))
            };
            let Some(found) = queued(&greedy) else { return };
            let mut now = Some(found);
            for _ in 0..2 * MOST / ROUND {
                if now.is_none_or(|now| now >= LEAST) {
                    break;
                }
                sends(&mut greedy);
                settle(&server, when);
                now = queued(&greedy);
            }
            let (since, kept) = match before {
                Some(before) if found >= LEAST => before,
                _ => {
                    longest = before.map_or(0, |(since, _)| read - since).max(longest);
                    *before.insert((read, resident()))
                }
            };
            if read - since >= longest + MUCH {
                let grown = resident().saturating_sub(kept);
                if grown > LITTLE {
                    check.suspect("keeps-what-was-sent");
                    check.fail(format!("{when}, your program takes {} KiB more", grown / 1024));
                }
                return;
            }
            for _ in 0..ROUNDS {
                let round = ROUND.min(greedy.sent - read);
                read_exactly(&server, &greedy.connection, &words(read, round), when);
                read += round;
                sends(&mut greedy);
            }
        }
        visitors::skipped("the kernel takes more and more here, and the queue doesn't stay filled");
    }

    #[test]
    fn hundreds_at_the_same_moment() {
        let check = check!("08-edge");
        check.suspect("loses-some-who-were-told-of");
        let server = check.server(&[]);
        let mut all = crowd(&server, 200);
        let when = "after two hundred had said something at the same moment";
        all_at_the_same_moment(&server, &mut all, when);
        settle(&server, when);
    }

    #[test]
    fn who_does_not_read_is_not_read() {
        let check = check!("08-edge");
        check.suspect("queue-without-a-limit");
        let server = check.server(&[]);
        let greedy = stuck(&server, narrow_visitor(&server, "greedy visitor"));
        settle(&server, "with a greedy visitor whose queue is full");
        still_serves(&server, "with a greedy visitor whose queue is full");
        // A look at the kernel's table may miss something; what isn't so for once isn't so.
        let looks = (0..LOOKS).map_while(|_| greedy.queued(&server));
        if let Some(queued) = looks.min().filter(|queued| *queued > MOST) {
            let sent = greedy.sent;
            check.fail(format!(
                "of {sent} bytes that the greedy visitor sent, your program keeps {queued}: {MOST} are allowed"
            ));
        }
        let finished = stuck(&server, narrow_visitor(&server, "greedy visitor"));
        finished.connection.finish_sending();
        settle(&server, "with two visitors who don't read, one of whom has finished sending");
    }

    /// How a visitor reads who hasn't read for a long time.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Reads {
        /// It has little room, and so it takes a little at a time.
        Slowly,
        /// It takes what there is.
        Quickly,
        /// It takes what there is while the program sleeps: suddenly there is room for more than is queued.
        Meanwhile,
    }

    #[rstest]
    #[case::a_little_at_a_time(Reads::Slowly, false)]
    #[case::what_there_is(Reads::Quickly, false)]
    #[case::all_of_a_sudden(Reads::Meanwhile, false)]
    #[case::and_has_finished(Reads::Slowly, true)]
    fn when_it_reads_all_comes_back(#[case] reads: Reads, #[case] finished: bool) {
        let check = check!("08-edge");
        check.suspect("may-write-ends-too-soon");
        let server = check.server(&[]);
        let name = "greedy visitor";
        let connection = match reads {
            Reads::Slowly => narrow_visitor(&server, name),
            _ => visitor(&server, name),
        };
        let mut greedy = stuck(&server, connection);
        let all = words(0, greedy.sent);
        let when = "after it had sent until it was stuck, and began to read";
        if finished {
            greedy.connection.finish_sending();
            expect_end(&server, &mut greedy.connection, &all, when);
            return;
        }
        if reads == Reads::Meanwhile {
            server.program.stop();
            greedy.takes_what_there_is();
            server.program.go_on();
        }
        expect(&server, &mut greedy.connection, &all, when);
        settle(&server, "after the greedy visitor had got everything back");
        let more = words(greedy.sent, 20_000);
        send(&server, &mut greedy.connection, &more);
        expect(&server, &mut greedy.connection, &more, "after it had been stuck, and sent more");
        settle(&server, "after the greedy visitor had got everything back");
        nothing_more(&server, &greedy.connection, "after everything had come back");
    }

    #[rstest]
    #[case::and_has_not_finished(false)]
    #[case::and_has_finished(true)]
    fn what_is_queued_is_sent(#[case] finished: bool) {
        let check = check!("08-edge");
        check.suspect("not-now-for-the-other");
        let server = check.server(&[]);
        let Some(mut greedy) = some_is_queued(&server) else { return };
        let all = words(0, greedy.sent);
        let when = "after it had sent something, and began to read";
        if finished {
            greedy.connection.finish_sending();
            settle(&server, "with a visitor who has finished sending, and reads nothing");
            expect_end(&server, &mut greedy.connection, &all, when);
        } else {
            expect(&server, &mut greedy.connection, &all, when);
        }
        settle(&server, "after the greedy visitor had got everything back");
    }

    #[test]
    fn everybody_gets_one_step() {
        let check = check!("08-edge");
        check.suspect("reads-until-nothing-is-left");
        let server = check.server(&[]);
        // In both orders: whoever is served first, one who has a lot comes before the quick one, or nobody does.
        let mut before = visitor(&server, "first greedy visitor");
        let mut quick = visitor(&server, "quick visitor");
        let mut behind = visitor(&server, "second greedy visitor");
        all_are_in(&server, 3);
        settle(&server, "with three silent visitors");
        let Some(lens) = server.lens() else { return };
        let reads = || -> Vec<String> {
            let calls = lens.calls().into_iter().filter(|call| family(&call.call) == "read");
            calls.filter_map(|call| call.what).collect()
        };
        let (much, little) = (words(0, 40_000), words(0, LINE));
        let when = "after three visitors had sent something at the same moment";
        for _ in 0..ROUNDS {
            settle(&server, "with three silent visitors");
            let earlier = reads().len();
            server.program.stop();
            send(&server, &mut before, &much);
            send(&server, &mut quick, &little);
            send(&server, &mut behind, &much);
            let together = [(&before, &much), (&quick, &little), (&behind, &much)];
            let together =
                together.iter().all(|(visitor, sent)| lie_unread(&server, visitor, sent.len()));
            server.program.go_on();
            expect(&server, &mut quick, &little, when);
            expect(&server, &mut before, &much, when);
            expect(&server, &mut behind, &much, when);
            settle(&server, when);
            // A busy kernel may deliver some of it late: then it wasn't the same moment.
            if !together {
                continue;
            }
            let reads = reads().split_off(earlier);
            let before_quick = reads.iter().take_while(|who| !who.contains("quick"));
            let before_quick: Vec<&String> = before_quick.collect();
            for greedy in ["the first greedy visitor", "the second greedy visitor"] {
                let reads = before_quick.iter().filter(|who| **who == greedy).count();
                if reads > STEPS {
                    check.fail(format!(
                        "{when}, {greedy} was read {reads} times before it was the quick visitor's turn"
                    ));
                }
            }
            return;
        }
    }

    /// A call that was seen by the lens.
    struct Seen {
        call: String,
        who: String,
        came: Came,
        waited: bool,
        ready: Vec<String>,
    }

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Came {
        /// So many: bytes, or visitors who had news.
        Count(usize),
        NotNow,
        /// An error.
        Nothing,
    }

    /// Looks at what the program does from now on. `None` where that can't be seen.
    fn look(server: &Server<'_>) -> Option<impl Fn() -> Vec<Seen>> {
        let lens = server.lens()?;
        Some(move || {
            let seen = lens.calls().into_iter().filter_map(|call| {
                let came = format!("{:?}", call.outcome);
                // Before one that isn't over, others may be missing.
                if came.starts_with("Unfinished") {
                    return None;
                }
                let count = came.strip_prefix("Result(").and_then(|rest| rest.strip_suffix(')'));
                let came = match count.and_then(|count| count.parse().ok()) {
                    Some(count) => Came::Count(count),
                    None if came.contains("EAGAIN") => Came::NotNow,
                    None => Came::Nothing,
                };
                let who = call.what.unwrap_or_default();
                let (waited, ready) = (call.waited, call.ready);
                Some(Seen { call: family(&call.call).to_owned(), who, came, waited, ready })
            });
            seen.collect()
        })
    }

    /// What is known of a visitor, from what the program has done with it.
    #[derive(Default)]
    struct Known {
        reads: usize,
        writes: usize,
        queued: usize,
        finished: bool,
        /// The last read has brought something.
        may_read: bool,
        /// The last write has taken all.
        may_write: bool,
        /// The last read said "not now", and there was no news since.
        no_read: bool,
        /// So did the last write.
        no_write: bool,
        /// It could go on when the turn began: it could be read.
        could_be_read: bool,
        /// Or something could be sent to it.
        could_be_sent: bool,
    }

    impl Known {
        fn could_go_on(&self) -> bool {
            self.could_be_read || self.could_be_sent
        }

        fn begins_a_turn(&mut self) {
            // The first calls may have been seen under another name, and then more is queued than is known.
            self.could_be_read = self.may_read && !self.finished && self.queued < MOST / 2;
            self.could_be_sent = self.may_write && self.queued > 0;
            (self.reads, self.writes) = (0, 0);
        }
    }

    /// Looks at turn after turn: from one `epoll_wait` to the next. Says in how many of them somebody had news, and
    /// somebody else, who had none, was on the list.
    #[track_caller]
    fn turn_by_turn(check: &Check, seen: &[Seen], visitors: &[&str]) -> usize {
        let mut all: BTreeMap<&str, Known> =
            visitors.iter().map(|name| (*name, Known::default())).collect();
        let (mut looks, mut waits, mut mixed) = (0, 0, 0);
        for Seen { call, who, came, waited, ready } in seen {
            if call == "epoll_wait" {
                for (name, known) in &mut all {
                    turn_is_over(check, name, known);
                }
                if all.values().any(Known::could_go_on) {
                    looks += 1;
                    waits += usize::from(*waited);
                }
                let has_news = |name| ready.iter().any(|ready| names(ready, name));
                let waits_for_its_turn =
                    all.iter().any(|(name, known)| known.could_go_on() && !has_news(name));
                mixed += usize::from(waits_for_its_turn && all.keys().any(|name| has_news(name)));
                // Where they can't be told apart, it may have been of anybody.
                let of_all = !matches!(came, Came::Count(count) if *count == ready.len());
                for (name, known) in &mut all {
                    if of_all || has_news(name) {
                        (known.no_read, known.no_write) = (false, false);
                    }
                }
                continue;
            }
            let Some((name, known)) = all.iter_mut().find(|(name, _)| names(who, name)) else {
                continue;
            };
            if matches!(came, Came::Count(count) if *count > PIECE) {
                let Came::Count(count) = came else { continue };
                check.suspect("step-without-a-limit");
                check.fail(format!("with the {name}, one {call} moved {count} bytes: in one step, {PIECE} are allowed"));
            }
            let in_vain = match call.as_str() {
                "read" => known.no_read,
                "write" => known.no_write,
                _ => continue,
            };
            if in_vain {
                check.suspect("tries-what-is-not-worth-it");
                check.fail(format!(
                    "a {call} with the {name} had said \"not now\", and without any news of it your program tried again"
                ));
            }
            if call == "read" {
                known.reads += 1;
                known.may_read = matches!(came, Came::Count(1..));
                known.no_read = *came == Came::NotNow;
                known.finished |= *came == Came::Count(0);
                known.queued += if let Came::Count(count) = came { *count } else { 0 };
            } else {
                let queued = known.queued;
                known.writes += 1;
                known.no_write = *came == Came::NotNow;
                known.queued -= if let Came::Count(count) = came { queued.min(*count) } else { 0 };
                // One that took only a part may say that there's no room; nothing is held against either.
                known.may_write =
                    matches!(came, Came::Count(_)) && *came == Came::Count(queued.min(PIECE));
            }
            if *came == Came::Nothing {
                *known = Known::default();
            }
        }
        // Those who look on may be mistaken once.
        if waits > 2 {
            check.suspect("waits-with-work-left");
            check.fail(format!(
                "with somebody on the list, your program looked for news {looks} times, and waited for some {waits} times"
            ));
        }
        mixed
    }

    /// Whether these are the lens's words for the visitor of this name.
    fn names(words: &str, name: &str) -> bool {
        words.strip_prefix("the ") == Some(name)
    }

    /// The next turn begins.
    #[track_caller]
    fn turn_is_over(check: &Check, name: &str, known: &mut Known) {
        let (reads, writes) = (known.reads, known.writes);
        if reads > 1 || writes > 1 {
            check.suspect("two-steps-in-a-turn");
            check.fail(format!(
                "in one turn, from one look for news to the next, the {name} was read {reads} times, and written to {writes} times"
            ));
        }
        if known.could_go_on() && reads + writes == 0 {
            check.suspect("only-news-is-served");
            check.fail(format!(
                "the {name} could go on, and there was a turn without a step with it, while others were served"
            ));
        }
        let missed = match () {
            () if known.could_be_read && reads == 0 => "read",
            () if known.could_be_sent && writes == 0 => "write",
            () => return known.begins_a_turn(),
        };
        check.suspect("half-a-step");
        check.fail(format!(
            "with the {name}, a {missed} was worth trying, and there was a step without it"
        ));
    }

    #[test]
    fn however_many_are_on_the_list() {
        // To look at many is slow: a few more than have news in one turn.
        const COUNT: usize = 70;
        let check = check!("08-edge");
        check.suspect("so-many-steps-a-turn");
        let server = check.server(&[]);
        let mut all = crowd(&server, COUNT);
        let when = "after seventy visitors had sent 5 KB each, at the same moment";
        settle(&server, "with visitors who have said nothing");
        let Some(seen) = look(&server) else { return };
        server.program.stop();
        let much = words(0, 5_000);
        for visitor in &mut all {
            send(&server, visitor, &much);
        }
        server.program.go_on();
        for visitor in &mut all {
            expect(&server, visitor, &much, when);
        }
        let names: Vec<String> = all.iter().map(|visitor| visitor.name().to_owned()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let seen = seen();
        // Where somebody is left out, it's said how many had a step: each turn has one with all who can go on.
        let mut steps: Vec<usize> = vec![0];
        for Seen { call, .. } in &seen {
            match call.as_str() {
                "epoll_wait" => steps.push(0),
                "read" => *steps.last_mut().unwrap_or(&mut 0) += 1,
                _ => {}
            }
        }
        let most = steps.iter().max().copied().unwrap_or(0);
        if most < COUNT {
            check.fail(format!(
                "{when}, your program took at most {most} steps in a turn: each turn has a step with everybody on the list"
            ));
        }
        turn_by_turn(&check, &seen, &names);
    }

    #[test]
    fn each_turn_is_one_step_for_each() {
        let check = check!("08-edge");
        check.suspect("two-steps-in-a-turn");
        let server = check.server(&[]);
        let mut busy = visitor(&server, "busy visitor");
        // Under a lens, one that turns in a loop takes much longer to be found out.
        says(&server, &mut busy, "at the beginning");
        settle(&server, "with a silent visitor");
        let first = stuck(&server, narrow_visitor(&server, "impatient visitor"));
        first.connection.reset();
        settle(&server, "with a silent visitor");
        let Some(seen) = look(&server) else { return };
        let much = words(0, 60_000);
        for _ in 0..3 {
            server.program.stop();
            send(&server, &mut busy, &much);
            server.program.go_on();
            expect(&server, &mut busy, &much, "after it had sent 60,000 bytes");
        }
        turn_by_turn(&check, &seen(), &["busy visitor"]);
        let mut greedy = stuck(&server, narrow_visitor(&server, "greedy visitor"));
        let all = words(0, greedy.sent);
        turn_by_turn(&check, &seen(), &["busy visitor", "greedy visitor"]);
        expect(
            &server,
            &mut greedy.connection,
            &all,
            "after it had sent until it was stuck, and began to read",
        );
        turn_by_turn(&check, &seen(), &["busy visitor", "greedy visitor"]);
        let floods =
            ["first", "second"].map(|name| Flood::begin(&server, &format!("{name} flood")));
        let everybody = ["busy visitor", "greedy visitor", "first flood", "second flood"];
        // The busy visitor has no more news, and the others have: it's served all the same.
        for _ in 0..ROUNDS {
            server.program.stop();
            send(&server, &mut busy, &much);
            server.program.go_on();
            wait_for_more(&server, &floods, 128 * 1024);
            let mixed = turn_by_turn(&check, &seen(), &everybody);
            let when = "with two visitors who send as fast as they can";
            expect(&server, &mut busy, &much, when);
            if mixed >= MIXED {
                break;
            }
        }
    }

    /// Waits until so much more has come back to those who send as fast as they can.
    #[track_caller]
    fn wait_for_more(server: &Server<'_>, floods: &[Flood], count: usize) {
        let back = || floods.iter().map(Flood::back).sum::<usize>();
        let enough = back() + count;
        let mut watch = Watch::new(&server.program);
        let deadline = Instant::now() + PATIENCE;
        while back() <= enough && Instant::now() < deadline {
            match watch.trouble() {
                None | Some(Trouble::Spinning) => thread::sleep(LOOK_EVERY / 10),
                Some(trouble) => {
                    let expected =
                        "two visitors send as fast as they can, and something was to come back";
                    server.check.fail_for(expected, &trouble);
                }
            }
        }
    }

    /// Whether all that a visitor has sent, so many bytes, lies there before the program, soon.
    fn lie_unread(server: &Server<'_>, visitor: &Connection, count: usize) -> bool {
        let deadline = Instant::now() + ALL_THERE;
        while Instant::now() < deadline {
            match both_ends(server, visitor) {
                Some((there, _)) if there.unread == count => return true,
                Some(_) => {}
                None => return false,
            }
        }
        false
    }

    /// A visitor who sends and reads as fast as it can, until this is dropped.
    struct Flood {
        stream: TcpStream,
        over: Arc<AtomicBool>,
        /// How many bytes have come back to it.
        back: Arc<AtomicUsize>,
    }

    impl Flood {
        #[track_caller]
        fn begin(server: &Server<'_>, name: &str) -> Self {
            let connection = visitor(server, name);
            let clone = || connection.stream().try_clone().expect("there are descriptors left");
            let (stream, mut reads, mut writes) = (clone(), clone(), clone());
            let (over, back) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
            let counts = Arc::clone(&back);
            thread::spawn(move || {
                let mut piece = [0; 64 * 1024];
                while let Ok(count @ 1..) = reads.read(&mut piece) {
                    counts.fetch_add(count, Ordering::Relaxed);
                }
            });
            let ends = Arc::clone(&over);
            thread::spawn(move || {
                let piece = words(0, 64 * 1024);
                while !ends.load(Ordering::Relaxed) && writes.write_all(&piece).is_ok() {}
            });
            Self { stream, over, back }
        }

        fn back(&self) -> usize {
            self.back.load(Ordering::Relaxed)
        }
    }

    impl Drop for Flood {
        fn drop(&mut self) {
            self.over.store(true, Ordering::Relaxed);
            // Its threads may be asleep in a read, or a write. Fails only where it is gone already.
            let _ = self.stream.shutdown(std::net::Shutdown::Both);
        }
    }

    #[test]
    fn a_flood_keeps_nobody_waiting() {
        let check = check!("08-edge");
        check.suspect("no-news-while-there-is-work");
        let server = check.server(&[]);
        let mut quick = visitor(&server, "quick visitor");
        says(&server, &mut quick, "at the beginning");
        // With somebody looking on, the program is slower than those who send: they always have more.
        let lens = server.lens();
        let floods =
            ["first", "second"].map(|name| Flood::begin(&server, &format!("{name} flood")));
        let back = || floods.iter().map(Flood::back).sum::<usize>();
        for _ in 0..3 {
            wait_for_more(&server, &floods, 256 * 1024);
            let line = words(0, LINE);
            let before = back();
            send(&server, &mut quick, &line);
            while !quick.readable_within(LOOK_EVERY / 10) {
                let meanwhile = back() - before;
                // In this order: it may have been answered long ago.
                if meanwhile > TOO_MUCH && !quick.readable_within(Duration::ZERO) {
                    server.fail_seeing(&format!(
                        "while {} MiB came back to two visitors who send as fast as they can, nothing came back to the quick visitor",
                        meanwhile >> 20
                    ));
                }
            }
            expect(&server, &mut quick, &line, "with two visitors who send as fast as they can");
        }
        drop((floods, lens));
    }

    #[test]
    fn put_on_the_list_once() {
        let check = check!("08-edge");
        check.suspect("asks-to-be-told-again");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        let bytes = words(0, 100_000);
        send(&server, &mut visitor, &bytes);
        visitor.finish_sending();
        expect_end(&server, &mut visitor, &bytes, "after it had sent 100,000 bytes");
        let ours = |line: &str| line.starts_with("visitor 1: got all back (");
        let line = match server.program.says(ours) {
            Ok(line) => line,
            Err(trouble) => {
                check.fail_for("a line on stderr was to say that it got all back", &trouble)
            }
        };
        let inside = line.split_once('(').and_then(|(_, inside)| inside.split_once(' '));
        let calls = inside.and_then(|(number, _)| number.parse::<usize>().ok());
        // The listener is added, and the visitor, and deleted in the end.
        if calls != Some(3) {
            check.fail(format!(
                "a visitor came, got 100,000 bytes back and left, and your program said {line:?}: three calls will do"
            ));
        }
    }

    #[test]
    fn one_line_waits() {
        let check = check!("08-edge");
        check.suspect("naps-between-looks");
        let server = check.server(&[]);
        let silent = visitor(&server, "silent visitor");
        all_are_in(&server, 1);
        // Under a lens, one that turns in a loop takes much longer to be found out.
        settle(&server, "with a silent visitor");
        let lens = server.lens();
        let mut greedy = stuck(&server, narrow_visitor(&server, "greedy visitor"));
        let when = "with a silent visitor and one who doesn't read";
        still_serves(&server, when);
        settle(&server, when);
        let all = words(0, greedy.sent);
        let began = "after it had sent until it was stuck, and began to read";
        expect(&server, &mut greedy.connection, &all, began);
        settle(&server, when);
        server.waits_only_in(lens.as_ref(), &["epoll_wait"], when);
        drop(silent);
    }

    #[test]
    fn readiness_is_a_hint() {
        let check = check!("08-edge");
        check.suspect("not-now-is-an-error");
        let server = check.server(&[]);
        let mut greedy = stuck(&server, narrow_visitor(&server, "greedy visitor"));
        let mut silent = visitor(&server, "silent visitor");
        all_are_in(&server, 2);
        let lens = server.lens_that_lies();
        let when = "when epoll says of everybody, stuck or silent, that they are ready";
        for _ in 0..30 {
            still_serves(&server, when);
            nothing_more(&server, &silent, when);
        }
        settle(&server, when);
        server.waits_only_in(lens.as_ref(), &["epoll_wait"], when);
        says(&server, &mut silent, when);
        let all = words(0, greedy.sent);
        expect(&server, &mut greedy.connection, &all, when);
        settle(&server, when);
    }

    #[test]
    fn a_reset_ends_one_visitor() {
        let check = check!("08-edge");
        check.suspect("lost-visitor-ends-all");
        let server = check.server(&[]);
        let mut bystander = visitor(&server, "bystander");
        let rude = visitor(&server, "rude visitor");
        all_are_in(&server, 2);
        rude.reset();
        still_serves(&server, "after a rude visitor");
        stuck(&server, narrow_visitor(&server, "greedy visitor")).connection.reset();
        still_serves(&server, "after a greedy visitor was gone");
        // These are gone before they are let in; or have sent something, and won't read the answer.
        for sent in [&b""[..], b"hello"] {
            server.program.stop();
            for by_reset in [true, false] {
                let mut gone = visitor(&server, "rude visitor");
                send(&server, &mut gone, sent);
                if by_reset {
                    gone.reset();
                }
            }
            server.program.go_on();
            still_serves(&server, "after rude visitors");
        }
        settle(&server, "after rude visitors");
        says(&server, &mut bystander, "after rude visitors");
    }
}
