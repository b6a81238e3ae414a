//! What chapter 13's other program must do: all of chapter 12's, and be replaced meanwhile.

mod screen;

use std::cell::{Cell, RefCell};
use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ch07_callbacks::EventLoop;
use ch09_timers::{Clock, Timers};
use ch12_kernel::sequence::Count;
use ch12_kernel::{paint, window, wire};
use ch13_upgrade::channel::Channel;
use ch13_upgrade::message::Message;
use ch13_upgrade::peer::Peer;
use ch13_upgrade::state::{self, Outgoing};
use ch13_upgrade::upgrade::{Gather, Outcome, Program as Successor, Upgrade, Way};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rstest::rstest;
use screen::Display;
use screen::glass::Glass;
use tempfile::TempDir;
use visitors::family::Family;
use visitors::setup::{LOOKED_FOR as PATIENCE, until};
use visitors::skipped;
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    ClientMessageEvent, ConnectionExt, CreateGCAux, CreateWindowAux, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::x11_utils::Serialize;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ch13-kernel");
/// The color of the marks of HTTP's visitors.
const HTTP: u32 = 0x2f_6f_de;
/// A request that isn't whole. (Who says nothing isn't let in.)
const HALF: &[u8] = b"GET /hello HTTP/1.1\r\nHost: here\r\n";
/// How long a file is that is downloaded meanwhile, in bytes.
const LARGE: usize = 20 << 20;

#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    until(what, || is_so().then_some(()));
}

/// All generations of the program. What is left of them is killed when this is dropped.
struct Program {
    first: Child,
    all: Family,
    stdin: Option<ChildStdin>,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

impl Program {
    fn start(arguments: &[&str], display: Option<&Display>) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["--http", "127.0.0.1:0"]).args(arguments).env_remove("DISPLAY");
        if let Some(display) = display {
            command.env("DISPLAY", &display.name);
        }
        Self::start_as(&mut command)
    }

    fn start_as(command: &mut Command) -> Self {
        Self::start_with_input(command.stdin(Stdio::piped()))
    }

    fn start_with_input(command: &mut Command) -> Self {
        let all = Family::begin(command);
        let pipes = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut first = pipes.spawn().unwrap();
        let stdin = first.stdin.take();
        let stdout = keep(first.stdout.take().unwrap());
        let stderr = keep(first.stderr.take().unwrap());
        Self { first, all, stdin, stdout, stderr }
    }

    fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    #[track_caller]
    fn prints(&self, text: &str) {
        wait_until(&format!("{text:?} on stdout"), || self.stdout().contains(text));
    }

    #[track_caller]
    fn says(&self, text: &str) {
        wait_until(&format!("{text:?} on stderr"), || self.stderr().contains(text));
    }

    fn types(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[track_caller]
    fn address(&self) -> SocketAddr {
        self.prints(" (http)\n");
        let stdout = self.stdout();
        let line = stdout.lines().next().unwrap();
        line.split(' ').nth(2).and_then(|word| word.parse().ok()).unwrap()
    }

    /// Somebody who has said half of a request.
    #[track_caller]
    fn visitor(&self) -> TcpStream {
        let mut visitor = TcpStream::connect(self.address()).unwrap();
        visitor.set_read_timeout(Some(PATIENCE)).unwrap();
        visitor.write_all(HALF).unwrap();
        visitor
    }

    /// The pids of all generations.
    fn pids(&self) -> Vec<i32> {
        let said = self.stdout() + &self.stderr();
        let mut successors: Vec<(u64, i32)> = said
            .lines()
            .filter_map(|line| {
                line.split_once("is replaced by generation ")?.1.split_once(" (pid ")
            })
            .filter_map(|(generation, pid)| {
                Some((generation.parse().ok()?, pid.split_once(')')?.0.parse().ok()?))
            })
            .collect();
        successors.sort_unstable();
        let first = i32::try_from(self.first.id()).unwrap();
        std::iter::once(first).chain(successors.into_iter().map(|(_, pid)| pid)).collect()
    }

    #[track_caller]
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(*self.pids().last().unwrap()), signal).unwrap();
    }

    /// Has it replaced.
    #[track_caller]
    fn upgrade(&self) {
        let before = self.pids().len();
        self.signal(Signal::SIGUSR2);
        wait_until("another generation", || self.pids().len() > before);
        let old = self.pids()[before - 1];
        wait_until("the end of the old one", || has_ended(old));
    }
}

/// Nobody may have asked yet how it has ended.
fn has_ended(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|state| state.is_empty() || state.starts_with('Z'))
}

impl Drop for Program {
    fn drop(&mut self) {
        self.all.signal(Signal::SIGKILL);
        let _ = self.first.kill();
        let _ = self.first.wait();
    }
}

/// In the background, so that nobody waits for us.
fn keep(mut pipe: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let kept = Arc::new(Mutex::new(String::new()));
    let keeps = Arc::clone(&kept);
    thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut piece) {
            keeps.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..count]));
        }
    });
    kept
}

/// Reads one answer, and gives its body.
#[track_caller]
fn answer(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).expect("an answer"), 1, "cut off behind {head:?}");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.expect("its length").parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    body
}

#[track_caller]
fn asks(stream: &mut TcpStream) {
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
    assert_eq!(answer(stream), b"Hello, World!");
}

#[test]
fn three_upgrades_under_load_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let large: Vec<u8> = (0..LARGE).map(|number| (number / 7) as u8).collect();
    fs::write(folder.path().join("large"), &large).unwrap();
    let program = Program::start(&["--root", &folder.path().to_string_lossy()], None);
    let at = program.address();
    let connect = move || {
        let stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let mut half = program.visitor();
    let mut slow = connect();
    slow.write_all(b"GET /large HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
    let (over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let visitors: Vec<_> = (0..4)
        .map(|number| {
            let (over, asked) = (Arc::clone(&over), Arc::clone(&asked));
            thread::spawn(move || {
                let mut stream = connect();
                while !over.load(Ordering::Relaxed) {
                    asks(&mut stream);
                    asked.fetch_add(1, Ordering::Relaxed);
                    // Half of them stay, half of them come and go.
                    if number % 2 == 0 {
                        stream = connect();
                    }
                }
            })
        })
        .collect();
    for _ in 0..3 {
        let before = asked.load(Ordering::Relaxed);
        wait_until("visitors", || asked.load(Ordering::Relaxed) > before + 50);
        program.upgrade();
    }
    let before = asked.load(Ordering::Relaxed);
    wait_until("visitors", || asked.load(Ordering::Relaxed) > before + 50);
    over.store(true, Ordering::Relaxed);
    for visitor in visitors {
        visitor.join().unwrap();
    }
    half.write_all(b"\r\n").unwrap();
    assert_eq!(answer(&mut half), b"Hello, World!");
    assert!(answer(&mut slow) == large, "each byte has come, and once");
    assert_eq!(program.pids().len(), 4);
    program.signal(Signal::SIGTERM);
    program.says("stopped\n");
    let expected = ["replaced", "replaced", "replaced", "stopping", "stopped"];
    let said = program.stderr();
    assert_eq!(said.lines().count(), expected.len(), "{said}");
    assert!(said.lines().zip(expected).all(|(line, word)| line.contains(word)), "{said}");
}

/// The old generation has read half a line, and more than one command.
#[test]
fn what_is_typed_while_it_is_replaced_is_obeyed_once() {
    let mut program = Program::start(&["--console"], None);
    program.address();
    program.types("update\nwh");
    program.prints("generation 1 is replaced by generation 2 (pid ");
    program.types("o\nWHO\nupdate\nx");
    program.prints("generation 2 is replaced by generation 3 (pid ");
    program.types("yz\n");
    program.prints("no command is called \"xyz\"");
    let stdout = program.stdout();
    assert_eq!(stdout.matches("nobody is here\n").count(), 2, "{stdout}");
    assert_eq!(stdout.lines().count(), 6, "{stdout}");
    // The end of its input is handed over, too.
    drop(program.stdin.take());
    program.says("console: its input has ended; the rest goes on\n");
    program.upgrade();
    asks(&mut TcpStream::connect(program.address()).unwrap());
    let stderr = program.stderr();
    assert_eq!(stderr.matches("console:").count(), 1, "{stderr}");
}

#[test]
fn what_can_not_take_over_leaves_all_as_it_was() {
    let mut program = Program::start(&["--console", "--with", "/bin/false"], None);
    let mut visitor = program.visitor();
    program.types("update\nwh");
    program.prints("not replaced: it ended before it was ready (exit status: 1)");
    program.types("o\n");
    program.prints("\n1 here\n");
    visitor.write_all(b"\r\n").unwrap();
    assert_eq!(answer(&mut visitor), b"Hello, World!");
    assert_eq!(program.stderr(), "", "it's said where it was asked for");
}

#[test]
fn another_process_asks_for_it() {
    let program = Program::start(&[], None);
    let at = program.address();
    let pid = program.pids()[0].to_string();
    let asked = Command::new(PROGRAM).args(["--upgrade", &pid]).output().unwrap();
    assert!(asked.status.success(), "{asked:?}");
    assert_eq!((asked.stdout.len(), asked.stderr.len()), (0, 0), "{asked:?}");
    program.says("generation 1 is replaced by generation 2 (pid ");
    asks(&mut TcpStream::connect(at).unwrap());
}

/// Twice something is half done, and can't be handed over like that.
#[test]
fn what_can_not_be_handed_over_now_is_tried_again() {
    let mut event_loop = ch08_epoll::event_loop().unwrap();
    let timers = Timers::start(&mut event_loop, Clock::system());
    let tries = Rc::new(Cell::new(0));
    let counts = Rc::clone(&tries);
    let gather: Gather = Box::new(move |_, state, give| {
        counts.set(counts.get() + 1);
        if counts.get() < 3 { Err(ErrorKind::WouldBlock.into()) } else { give(state) }
    });
    let outcomes = Rc::new(RefCell::new(Vec::new()));
    let notes = Rc::clone(&outcomes);
    let program = Successor {
        file: PROGRAM.into(),
        arguments: vec!["--http".into(), "127.0.0.1:0".into()],
        way: Way::ByChild,
        is_watched: false,
    };
    let over = move |event_loop: &mut EventLoop, outcome| {
        notes.borrow_mut().push(outcome);
        if matches!(outcome, Outcome::Taken(_)) {
            event_loop.stop();
        }
    };
    let upgrade = Upgrade::new(timers, program, 1, gather, over);
    upgrade.begin(&mut event_loop, Rc::new(|_, _, _| {}));
    timers.after(&mut event_loop, PATIENCE, EventLoop::stop);
    event_loop.run().unwrap();
    let outcomes = outcomes.borrow();
    let [Outcome::Later, Outcome::Later, Outcome::Taken(pid)] = outcomes[..] else {
        panic!("{outcomes:?}")
    };
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
    assert_eq!(tries.get(), 3);
}

#[track_caller]
fn is_hung_up_on(visitor: &mut TcpStream) {
    let read = visitor.read(&mut [0; 100]);
    let over = matches!(&read, Ok(0))
        || read.as_ref().is_err_and(|e| e.kind() == ErrorKind::ConnectionReset);
    assert!(over, "{read:?}");
}

#[test]
fn the_window_stays_open_and_goes_on() {
    let Some(display) = Display::start() else { return };
    let program = Program::start(&["--window"], Some(&display));
    let first = Glass::of(&display, HTTP).id;
    let mut visitors = vec![program.visitor(), program.visitor()];
    for round in 0..3 {
        program.upgrade();
        let glass = Glass::of(&display, HTTP);
        assert_eq!(glass.id, first, "it's the same one");
        visitors.push(program.visitor());
        let rows = glass.shows_rows(3);
        glass.click(rows[1]);
        is_hung_up_on(&mut visitors.remove(1));
        glass.shows_rows(2);
        assert_eq!(program.pids().len(), round + 2);
    }
    for mut visitor in visitors {
        visitor.write_all(b"\r\n").unwrap();
        assert_eq!(answer(&mut visitor), b"Hello, World!");
    }
    // Closed, it stays closed.
    let glass = Glass::of(&display, HTTP);
    glass.keys("q");
    program.says("window: closed; the rest goes on\n");
    program.upgrade();
    asks(&mut TcpStream::connect(program.address()).unwrap());
    assert_eq!(display.tool("xdotool", &["search", "--name", "^who is here$"]), None);
    let said = program.stderr();
    assert!(
        said.lines().all(|line| !line.contains("lost") && !line.contains("no window")),
        "{said}"
    );
}

/// The mouse is pressed in one generation and released in the next.
#[test]
fn a_click_begins_before_the_upgrade_and_ends_behind_it() {
    let Some(display) = Display::start() else { return };
    let program = Program::start(&["--window"], Some(&display));
    let glass = Glass::of(&display, HTTP);
    let mut visitors = [program.visitor(), program.visitor(), program.visitor()];
    let rows = glass.shows_rows(3);
    glass.move_to(rows[1]);
    display.hand("mousedown 1");
    program.upgrade();
    display.hand("mouseup 1");
    is_hung_up_on(&mut visitors[1]);
    glass.shows_rows(2);
}

/// A picture is on its way, and stays there: the server takes nothing, and answers nothing.
#[test]
fn an_x_server_that_stands_still_holds_no_upgrade_up() {
    let Some(display) = Display::start() else { return };
    let program = Program::start(&["--window"], Some(&display));
    let glass = Glass::of(&display, HTTP);
    let mut visitors = vec![program.visitor()];
    glass.shows_rows(1);
    display.signal(Signal::SIGSTOP);
    for _ in 0..3 {
        visitors.push(program.visitor());
        // So long that it has looked.
        thread::sleep(Duration::from_millis(300));
        program.upgrade();
        asks(&mut TcpStream::connect(program.address()).unwrap());
    }
    display.signal(Signal::SIGCONT);
    let rows = glass.shows_rows(4);
    glass.click(rows[2]);
    is_hung_up_on(&mut visitors[2]);
    let said = program.stderr();
    assert!(said.lines().all(|line| line.contains("is replaced by")), "{said}");
}

/// Each has a request refused, and is told of which: after more of them than there are numbers,
/// too.
#[test]
fn whoever_has_the_connection_counts_as_the_x_server_does() {
    let Some(display) = Display::start() else { return };
    let (first, _) = RustConnection::connect(Some(&display.name)).unwrap();
    let setup = first.setup().clone();
    let requests = first.no_operation().unwrap().sequence_number();
    first.flush().unwrap();
    let socket = || {
        let descriptor = first.stream().as_fd();
        descriptor.try_clone_to_owned().unwrap()
    };
    let before = u16::try_from(requests).unwrap();
    let mut parts =
        wire::Parts { output: vec![], input: vec![], count: Count { before, last: before } };
    for others in [0, 1, 65_000, 500, 65_534, 65_535, 65_536, 65_537, 140_000] {
        let x = wire::resume(socket(), parts, setup.clone()).unwrap();
        let last = |count: u32| {
            (0..count).for_each(|_| drop(x.no_operation().unwrap()));
            x.no_operation().unwrap().sequence_number()
        };
        last(others);
        // No window has that number.
        let refused = x.destroy_window(1).unwrap();
        let wanted = refused.sequence_number();
        drop(refused);
        x.flush().unwrap();
        let (event, number) = until("the server's refusal", || {
            x.stream().begin_turn();
            x.stream().send().unwrap();
            x.poll_for_event_with_sequence().unwrap()
        });
        assert!(matches!(event, Event::Error(_)), "{event:?}");
        assert_eq!(number, wanted, "after {others} others");
        // What is still on its way when it's handed over isn't lost, and of before.
        let requests = last(3);
        x.flush().unwrap();
        parts = x.stream().parts(requests);
    }
}

/// A version of the program that is told something else: `arguments`, in a script in `folder`.
fn other_version(folder: &TempDir, arguments: &str) -> String {
    let path = folder.path().join("other");
    fs::write(&path, format!("#!/bin/sh\nexec {PROGRAM} --take-over {arguments}\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path.to_string_lossy().into_owned()
}

/// A port that nobody has.
fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn another_port_is_opened_and_the_old_one_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let to = free_port();
    let other = other_version(&folder, &format!("--http {to}"));
    let program = Program::start(&["--with", &other], None);
    let mut visitor = program.visitor();
    program.upgrade();
    program.prints(&format!("listening on {to} (http)\n"));
    visitor.write_all(b"\r\n").unwrap();
    assert_eq!(answer(&mut visitor), b"Hello, World!");
    asks(&mut TcpStream::connect(to).unwrap());
    let refused = TcpStream::connect(program.address()).expect_err("nobody listens there");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

/// All that are new are opened, or none.
#[test]
fn a_port_that_can_not_be_had_leaves_all_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (taken, free) = (TcpListener::bind("127.0.0.1:0").unwrap(), free_port());
    let at = taken.local_addr().unwrap();
    let other = other_version(&folder, &format!("--http {free} --mail {at} --chat {at}"));
    let program = Program::start(&["--with", &other], None);
    let mut visitor = program.visitor();
    program.signal(Signal::SIGUSR2);
    program.says("; generation 1 goes on\n");
    let said = program.stderr();
    assert!(said.starts_with(&format!("not replaced: mail: can't listen on {at}: ")), "{said}");
    assert!(said.contains(&format!("; chat: can't listen on {at}: ")), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    visitor.write_all(b"\r\n").unwrap();
    assert_eq!(answer(&mut visitor), b"Hello, World!");
    assert!(TcpStream::connect(free).is_err());
}

/// Whoever is in the middle of something gets the rest; and then the program goes on without.
#[test]
fn a_service_that_nobody_wants_any_more_ends_what_was_begun() {
    let folder = tempfile::tempdir().unwrap();
    let large = vec![7; LARGE];
    fs::write(folder.path().join("large"), &large).unwrap();
    let other = other_version(&folder, "--console");
    let root = folder.path().to_string_lossy();
    let mut program = Program::start(&["--root", &root, "--with", &other, "--console"], None);
    let mut slow = TcpStream::connect(program.address()).unwrap();
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    slow.write_all(b"GET /large HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
    let mut idle = TcpStream::connect(program.address()).unwrap();
    asks(&mut idle);
    program.upgrade();
    assert_eq!(idle.read(&mut [0]).unwrap(), 0, "nothing was begun");
    assert!(TcpStream::connect(program.address()).is_err());
    assert!(answer(&mut slow) == large, "each byte has come, and once");
    drop(slow);
    wait_until("nobody", || {
        program.types("who\n");
        program.stdout().contains("nobody is here\n")
    });
    // It's the last one that has had it.
    program.upgrade();
    program.types("stop\n");
    program.says("stopped\n");
}

/// A shell in a terminal (script(1)) that obeys what is typed.
fn in_a_terminal(command: &str) -> Option<Program> {
    for tool in ["script", "bash"] {
        if Command::new(tool).arg("--version").output().is_err() {
            skipped(format!("{tool} isn't installed"));
            return None;
        }
    }
    let mut script = Command::new("script");
    Some(Program::start_as(script.args(["-q", "-c", command, "/dev/null"])))
}

impl Program {
    /// Where it listens, among all that is on the screen.
    #[track_caller]
    fn address_on_screen(&self) -> SocketAddr {
        self.prints(" (http)\r\n");
        let stdout = self.stdout();
        let at = stdout.split_once("listening on ").unwrap().1.split(' ').next();
        at.and_then(|word| word.parse().ok()).unwrap()
    }

    #[track_caller]
    fn newest(&self, count: usize) -> i32 {
        wait_until("another generation", || self.pids().len() == count);
        *self.pids().last().unwrap()
    }
}

/// The shell waits for the first one to end, and takes its terminal back.
#[test]
fn a_shell_that_takes_its_terminal_back_neither_stops_nor_ends_it() {
    let Some(mut program) = in_a_terminal("bash --norc -i") else { return };
    program.types(&format!("{PROGRAM} --http 127.0.0.1:0 --console\n"));
    let at = program.address_on_screen();
    program.types("update\n");
    let newest = program.newest(2);
    program.prints("console: lost: the shell has its terminal back; the rest goes on\r\n");
    program.types("echo I am the $((1 + 1))nd one\n");
    program.prints("I am the 2nd one\r\n");
    asks(&mut TcpStream::connect(at).unwrap());
    kill(Pid::from_raw(newest), Signal::SIGUSR2).unwrap();
    program.newest(3);
    asks(&mut TcpStream::connect(at).unwrap());
    assert_eq!(program.stdout().matches("console:").count(), 1, "{}", program.stdout());
}

/// With the first one ends the session, and with that the terminal: all who are in it are hung up
/// on.
#[test]
fn a_terminal_that_ends_with_the_first_one_ends_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    let said = said.to_string_lossy();
    let command = format!("exec {PROGRAM} --http 127.0.0.1:0 --console 2>{said}");
    let Some(mut program) = in_a_terminal(&command) else { return };
    let at = program.address_on_screen();
    program.types("update\n");
    program.newest(2);
    wait_until("the end of the first one", || {
        program.first.try_wait().is_ok_and(|ended| ended.is_some())
    });
    let hears = || fs::read_to_string(&*said).unwrap();
    wait_until("the end of its console", || hears().contains("the rest goes on"));
    asks(&mut TcpStream::connect(at).unwrap());
}

/// The program, with a window that it has from us.
struct Heir {
    program: Program,
    peer: Peer,
}

impl Heir {
    /// It's been told all, and is ready.
    fn of(display: &Display, window: Outgoing<'_>) -> Self {
        let (ours, theirs) = Channel::pair().unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["--take-over", "--window"]).env("DISPLAY", &display.name);
        let command = command.stdin(Stdio::from(OwnedFd::from(theirs)));
        let program = Program::start_with_input(command);
        let peer = Peer::new(Rc::new(ours), PATIENCE).unwrap();
        let mut heir = Self { program, peer };
        assert!(matches!(heir.hears(), Message::Hello { .. }));
        let stdin = File::open("/dev/null").unwrap();
        let (bytes, descriptors) = window.finish();
        let mut outgoing = Outgoing::default();
        outgoing.descriptor(stdin.as_fd());
        outgoing.section("window", &bytes, &descriptors);
        let (bytes, descriptors) = outgoing.finish();
        let file = state::in_memory(&bytes).unwrap();
        let count = descriptors.len() as u64;
        let pid = std::process::id().into();
        let first =
            Message::State { pid, version: state::VERSION, generation: 6, descriptors: count };
        heir.peer.send(&first, &[file.as_fd()]).unwrap();
        heir.peer.send(&Message::Descriptors, &descriptors).unwrap();
        assert_eq!(heir.hears(), Message::Ready);
        heir
    }

    fn hears(&mut self) -> Message {
        self.peer.receive().unwrap().expect("it's there").0
    }

    fn go(&mut self) {
        self.peer.send(&Message::Go, &[]).unwrap();
        assert_eq!(self.hears(), Message::Serving);
    }
}

/// A window that it can't go on with: another one is opened while the old one is still there.
#[test]
fn a_window_that_can_not_be_gone_on_with_is_replaced_by_another() {
    let Some(display) = Display::start() else { return };
    let (x, _) = RustConnection::connect(Some(&display.name)).unwrap();
    let mut window = Outgoing::default();
    window.writer.flag(true);
    window.descriptor(x.stream().as_fd());
    window.writer.text("from the future");
    let mut heir = Heir::of(&display, window);
    heir.program.says("window: another one: the state can't be read\n");
    let search = ["search", "--name", "^who is here$"];
    wait_until("a window", || display.tool("xdotool", &search).is_some());
    heir.go();
    drop(x);
    Glass::of(&display, HTTP).shows_rows(0);
}

/// Where our wish to have the window closed is when it's handed over.
#[derive(Clone, Copy)]
enum Wish {
    /// Read, and not yet heard.
    Event,
    /// So many bytes of it have been read.
    Input(usize),
    /// So many bytes of the request that brings it have been sent.
    Output(usize),
}

#[rstest]
#[case::an_event(Wish::Event)]
#[case::none_of_a_packet(Wish::Input(0))]
#[case::a_part_of_a_packet(Wish::Input(10))]
#[case::all_of_a_packet(Wish::Input(32))]
#[case::none_of_a_request(Wish::Output(0))]
#[case::a_part_of_a_request(Wish::Output(10))]
fn nothing_on_its_way_to_or_from_the_x_server_is_lost(#[case] wish: Wish) {
    let Some(display) = Display::start() else { return };
    let (x, screen) = RustConnection::connect(Some(&display.name)).unwrap();
    let screen = &x.setup().roots[screen];
    let id = x.generate_id().unwrap();
    let values = CreateWindowAux::new().background_pixel(screen.white_pixel);
    let class = WindowClass::INPUT_OUTPUT;
    x.create_window(0, id, screen.root, 0, 0, 300, 200, 0, class, 0, &values).unwrap();
    let tool = || {
        let tool = x.generate_id().unwrap();
        x.create_gc(tool, id, &CreateGCAux::new()).unwrap();
        tool
    };
    let shades = (0..6).map(|_| [tool(), tool()]).collect();
    let marks = (0..5).map(|_| tool()).collect();
    let atom = |name: &str| x.intern_atom(false, name.as_bytes()).unwrap().reply().unwrap().atom;
    let atoms = ["WM_PROTOCOLS", "WM_DELETE_WINDOW", "_WAITING_GAME_DRAWN"].map(atom);
    // Nothing is under way.
    let focus = x.get_input_focus().unwrap();
    let requests = u16::try_from(focus.sequence_number()).unwrap();
    focus.reply().unwrap();
    assert!(x.poll_for_event().unwrap().is_none(), "nobody has asked for events");

    let event = ClientMessageEvent::new(32, id, atoms[0], [atoms[1], 0, 0, 0, 0]).serialize();
    // SendEvent, of 11 times 4 bytes, to the window, whoever wants it.
    let head = [&[25, 0][..], &11_u16.to_ne_bytes(), &id.to_ne_bytes(), &[0; 4]].concat();
    let request = [&head[..], &event].concat();
    let mut socket = UnixStream::from(x.stream().as_fd().try_clone_to_owned().unwrap());
    let count = Count { before: requests, last: requests };
    let mut wire = wire::Parts { output: vec![], input: vec![], count };
    let mut events = Vec::new();
    match wish {
        Wish::Event => events.push(event.to_vec()),
        Wish::Input(read) => {
            socket.write_all(&request).unwrap();
            wire.count.before += 1;
            wire.input = vec![0; read];
            socket.set_nonblocking(false).unwrap();
            socket.read_exact(&mut wire.input).unwrap();
            socket.set_nonblocking(true).unwrap();
        }
        Wish::Output(sent) => {
            socket.write_all(&request[..sent]).unwrap();
            wire.count.before += 1;
            wire.output = request[sent..].to_vec();
        }
    }
    let mut setup = x.setup().clone();
    setup.resource_id_base = x.generate_id().unwrap();
    let parts = window::Parts {
        wire,
        setup: setup.serialize(),
        id,
        atoms,
        keys: vec![],
        paint: paint::Parts { shades, marks, cell: [9, 12, 3] },
        size: (300, 200),
        is_mapped: true,
        is_covered: false,
        picture: vec![],
        under_way: None,
        pressed: None,
        selected: None,
        events,
    };
    let mut outgoing = Outgoing::default();
    let window = (x.stream().as_fd(), parts);
    ch13_upgrade::window::write(&mut outgoing, Some(&window));
    let mut heir = Heir::of(&display, outgoing);
    heir.go();
    heir.program.says("window: closed; the rest goes on\n");
    assert_eq!(heir.program.stderr().lines().count(), 1, "{}", heir.program.stderr());
}
