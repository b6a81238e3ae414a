//! The window of chapter 12, on an X server of the test's own (Xvfb), with somebody else's hand on
//! the mouse (xdotool) and somebody else's eyes (xwd).

mod front;
mod screen;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::iter;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use front::{PATH, Program, wait_until};
use nix::sys::signal::Signal;
use screen::glass::{Glass, WHITE};
use screen::{Display, signal_to};
use visitors::setup::LOOKED_FOR as PATIENCE;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{ClientMessageEvent, ConnectionExt, EventMask};
use x11rb::rust_connection::RustConnection;

/// What nobody should do in it, nobody does.
const A_WHILE: Duration = Duration::from_secs(2);
/// The color of the marks of the visitors that the stand-in lets in.
const MARK: u32 = 0x8a_4f_c7;

impl Program {
    fn start(display: Option<&str>, arguments: &[&str]) -> Self {
        let mut command = Command::new(PATH);
        command.arg("--window").args(arguments).env_remove("DISPLAY");
        if let Some(display) = display {
            command.env("DISPLAY", display);
        }
        Self::start_as(command.stdin(Stdio::piped()))
    }

    /// Somebody comes, and is here when it's over.
    #[track_caller]
    fn visitor(&mut self) -> TcpStream {
        wait_until("an address", || self.stdout().contains('\n'));
        let stdout = self.stdout();
        let address = stdout.lines().next().unwrap().trim_start_matches("listening on ");
        let visitor = TcpStream::connect(address).unwrap();
        visitor.set_read_timeout(Some(PATIENCE)).unwrap();
        let from = visitor.local_addr().unwrap().to_string();
        wait_until("the visitor in the list", || self.asks("who", " here\n").contains(&from));
        visitor
    }

    /// What the console answers, up to a line that ends like this.
    #[track_caller]
    fn asks(&mut self, command: &str, end: &str) -> String {
        let before = self.stdout().len();
        self.types(format!("{command}\n"));
        wait_until("an answer of the console", || {
            let stdout = self.stdout();
            stdout[before..].ends_with(end) || stdout[before..].ends_with("is here\n")
        });
        self.stdout()[before..].to_owned()
    }

    #[track_caller]
    fn turns(&mut self) -> u64 {
        self.asks("turns", " turns\n").trim_end_matches(" turns\n").parse().unwrap()
    }

    #[track_caller]
    fn still_serves(&mut self) {
        let mut visitor = self.visitor();
        self.asks("say still here", "\n");
        let mut line = [0; 12];
        visitor.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"still here\r\n");
    }
}

#[track_caller]
fn is_hung_up_on(visitor: &mut TcpStream) {
    let read = visitor.read(&mut [0; 100]);
    let over = matches!(&read, Ok(0))
        || read.as_ref().is_err_and(|e| e.kind() == ErrorKind::ConnectionReset);
    assert!(over, "{read:?}");
}

#[track_caller]
fn is_here(program: &mut Program, visitor: &TcpStream) {
    let from = visitor.local_addr().unwrap().to_string();
    let here = program.asks("who", " here\n");
    assert!(here.contains(&from), "{from} isn't among\n{here}");
}

#[test]
fn it_shows_who_is_here_as_they_come_and_go() {
    let Some(display) = Display::start() else { return };
    let mut program = Program::start(Some(&display.name), &[]);
    let glass = Glass::of(&display, MARK);
    glass.shows_rows(0);
    let first = program.visitor();
    glass.shows_rows(1);
    let _second = program.visitor();
    let both = glass.shows_rows(2);
    drop(first);
    let one = glass.shows_rows(1);
    assert_eq!(one[0], both[0], "the second has moved up");
}

#[test]
fn a_click_on_a_row_closes_that_connection() {
    let Some(display) = Display::start() else { return };
    let mut program = Program::start(Some(&display.name), &[]);
    let glass = Glass::of(&display, MARK);
    let (first, mut second, third) = (program.visitor(), program.visitor(), program.visitor());
    let rows = glass.shows_rows(3);
    glass.click(rows[1]);
    is_hung_up_on(&mut second);
    glass.shows_rows(2);
    is_here(&mut program, &first);
    is_here(&mut program, &third);
    // Neither the title nor what is below means anybody.
    glass.click(3);
    glass.click(rows[2] + 100);
    program.still_serves();
    is_here(&mut program, &first);
    is_here(&mut program, &third);
}

#[test]
fn pressed_here_and_released_there_the_mouse_closes_nobody() {
    let Some(display) = Display::start() else { return };
    let mut program = Program::start(Some(&display.name), &[]);
    let glass = Glass::of(&display, MARK);
    let (first, second, mut third) = (program.visitor(), program.visitor(), program.visitor());
    let rows = glass.shows_rows(3);
    glass.move_to(rows[0]);
    display.hand("mousedown 1");
    // The other buttons mean nothing.
    display.hand("click 3");
    glass.move_to(rows[1]);
    display.hand("mouseup 1");
    glass.click(rows[2]);
    is_hung_up_on(&mut third);
    is_here(&mut program, &first);
    is_here(&mut program, &second);
}

#[test]
fn a_row_that_has_moved_under_the_pressed_mouse_is_not_closed() {
    let Some(display) = Display::start() else { return };
    let mut program = Program::start(Some(&display.name), &[]);
    let glass = Glass::of(&display, MARK);
    let (first, second, mut third) = (program.visitor(), program.visitor(), program.visitor());
    let rows = glass.shows_rows(3);
    glass.move_to(rows[1]);
    display.hand("mousedown 1");
    drop(first);
    glass.shows_rows(2);
    display.hand("mouseup 1"); // on the third
    glass.click(rows[1]);
    is_hung_up_on(&mut third);
    is_here(&mut program, &second);
    program.still_serves();
}

#[test]
fn the_keyboard_selects_closes_and_ends() {
    let Some(display) = Display::start() else { return };
    let mut program = Program::start(Some(&display.name), &[]);
    let glass = Glass::of(&display, MARK);
    let (first, mut second, third) = (program.visitor(), program.visitor(), program.visitor());
    glass.shows_rows(3);
    glass.keys("Delete"); // nobody is selected
    glass.keys("Down Down Down Down Up");
    glass.keys("Delete");
    is_hung_up_on(&mut second);
    is_here(&mut program, &first);
    is_here(&mut program, &third);
    glass.keys("q");
    program.says("window: closed; the rest goes on\n");
    program.still_serves();
    assert_eq!(program.stderr().lines().count(), 1, "{}", program.stderr());
}

/// More events at once than are heard in a turn. They lie in the library's memory, and the kernel
/// doesn't know of them; nor does a timer run for a window that is covered.
#[test]
fn many_keys_at_once_are_all_heard() {
    let Some(display) = Display::start() else { return };
    let mut program = Program::start(Some(&display.name), &[]);
    let glass = Glass::of(&display, MARK);
    let mut visitors: Vec<TcpStream> = (0..12).map(|_| program.visitor()).collect();
    glass.shows_rows(12);
    let cover = glass.cover(1200);
    signal_to(&program.child, Signal::SIGSTOP);
    glass.keys(&"Down ".repeat(10));
    glass.keys(&"Up Down ".repeat(100));
    glass.keys("Delete");
    signal_to(&program.child, Signal::SIGCONT);
    is_hung_up_on(&mut visitors[9]);
    drop(cover);
    glass.shows_rows(11);
}

#[test]
fn the_window_manager_closes_the_window_and_nothing_else() {
    let Some(display) = Display::start() else { return };
    let mut program = Program::start(Some(&display.name), &[]);
    let glass = Glass::of(&display, MARK);
    let (x, _) = RustConnection::connect(Some(&display.name)).unwrap();
    let atom = |name: &str| x.intern_atom(true, name.as_bytes()).unwrap().reply().unwrap().atom;
    let id: u32 = glass.id.parse().unwrap();
    let data = [atom("WM_DELETE_WINDOW"), 0, 0, 0, 0];
    let close = ClientMessageEvent::new(32, id, atom("WM_PROTOCOLS"), data);
    x.send_event(false, id, EventMask::NO_EVENT, close).unwrap();
    x.flush().unwrap();
    program.says("window: closed; the rest goes on\n");
    program.still_serves();
}

#[test]
fn a_window_that_somebody_else_destroys_ends_only_the_window() {
    let Some(display) = Display::start() else { return };
    let mut program = Program::start(Some(&display.name), &[]);
    let glass = Glass::of(&display, MARK);
    let (x, _) = RustConnection::connect(Some(&display.name)).unwrap();
    x.destroy_window(glass.id.parse().unwrap()).unwrap().check().unwrap();
    program.says("the rest goes on\n");
    program.still_serves();
}

#[test]
fn an_x_server_that_is_killed_ends_only_the_window() {
    let Some(mut display) = Display::start() else { return };
    let mut program = Program::start(Some(&display.name), &[]);
    let _ = Glass::of(&display, MARK).id;
    display.server.kill().unwrap();
    display.server.wait().unwrap();
    program.says("window: lost: ");
    program.still_serves();
    let stderr = program.stderr();
    assert!(stderr.ends_with("; the rest goes on\n") && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn without_a_display_there_is_one_line_and_the_rest_goes_on() {
    let displays = [None, Some(""), Some(":9999"), Some("nonsense"), Some("unix:/tmp/nothing:0")];
    for display in displays {
        let mut program = Program::start(display, &[]);
        program.still_serves();
        let stderr = program.stderr();
        assert!(stderr.starts_with("no window: "), "{display:?}: {stderr}");
        assert!(stderr.ends_with("; the rest goes on\n"), "{display:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{display:?}: {stderr}");
    }
}

/// It accepts connections, and says nothing.
#[test]
fn an_x_server_that_stands_still_at_the_start_is_given_up() {
    let Some(display) = Display::start() else { return };
    display.signal(Signal::SIGSTOP);
    let mut program = Program::start(Some(&display.name), &[]);
    program.says("no window: the X server doesn't answer; the rest goes on\n");
    program.still_serves();
}

/// Nor does what it says little by little, or says nothing at all, hold up the start.
#[test]
fn an_x_server_that_answers_without_end_is_given_up() {
    for pause in [Duration::from_millis(300), Duration::MAX] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // Display 0 is port 6000.
        let number = listener.local_addr().unwrap().port() - 6000;
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut greeting = [0; 12]; // is there, and wants an answer
            stream.read_exact(&mut greeting).unwrap();
            // Yes: in version 11.0, and 4 * 65,535 bytes more.
            let answer = [1, 0, 11, 0, 0, 0, 0xff, 0xff].into_iter().chain(iter::repeat(0));
            // A pause that is too long is one until the program hangs up.
            for byte in answer.take_while(|_| pause < PATIENCE) {
                if stream.write_all(&[byte]).is_err() {
                    return;
                }
                thread::sleep(pause);
            }
            let _ = stream.read(&mut [0; 1000]);
        });
        let mut program = Program::start(Some(&format!("127.0.0.1:{number}")), &[]);
        program.says("no window: the X server doesn't answer; the rest goes on\n");
        program.still_serves();
        assert_eq!(program.stderr().lines().count(), 1, "{}", program.stderr());
        server.join().unwrap();
    }
}

/// It takes what its socket holds, and no more. x11rb would wait for it.
#[test]
fn an_x_server_that_stands_still_holds_nobody_up() {
    let Some(display) = Display::start() else { return };
    let mut program = Program::start(Some(&display.name), &["--rows", "200"]);
    let glass = Glass::of(&display, MARK);
    glass.resize(1590, 1190);
    // A fifth of the made-up ones have marks of that color.
    wait_until("a large picture", || glass.rows().len() > 12);
    let first = glass.rows();
    display.signal(Signal::SIGSTOP);
    let before = resident(&program.child);
    // Each of them changes every line of the picture.
    let mut visitors = Vec::new();
    for _ in 0..60 {
        visitors.push(program.visitor());
    }
    let began = program.turns();
    thread::sleep(A_WHILE);
    let turns = program.turns() - began;
    assert!(turns < 10, "{turns} turns for a picture that doesn't get there");
    program.still_serves();
    let grown = resident(&program.child).saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes more, for a picture that nobody takes");
    visitors.truncate(20);
    display.signal(Signal::SIGCONT);
    wait_until("the newest picture", || glass.rows().len() > first.len());
    drop(visitors);
    wait_until("the newest picture", || glass.rows().len() == first.len());
    program.still_serves();
}

fn resident(child: &Child) -> usize {
    let statm = fs::read_to_string(format!("/proc/{}/statm", child.id())).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn a_window_that_nobody_sees_costs_no_turns() {
    let Some(display) = Display::start() else { return };
    let mut program = Program::start(Some(&display.name), &[]);
    let glass = Glass::of(&display, MARK);
    let mut in_a_while = || {
        let before = program.turns();
        thread::sleep(A_WHILE);
        program.turns() - before
    };
    let seen = in_a_while();
    assert!((5..40).contains(&seen), "{seen} turns in {A_WHILE:?}: ten looks a second");
    display.hand(&format!("windowunmap --sync {}", glass.id));
    thread::sleep(A_WHILE);
    let unseen = in_a_while();
    assert!(unseen < 5, "{unseen} turns in {A_WHILE:?}, and nobody looks");
    let _visitor = program.visitor();
    display.hand(&format!("windowmap --sync {}", glass.id));
    glass.shows_rows(1);
}

#[test]
fn what_was_covered_is_drawn_again() {
    let Some(display) = Display::start() else { return };
    let mut program = Program::start(Some(&display.name), &[]);
    let glass = Glass::of(&display, MARK);
    let _visitors = [program.visitor(), program.visitor(), program.visitor()];
    glass.shows_rows(3);
    // Over a part of it, and over all of it.
    for height in [30, 1200] {
        drop(glass.cover(height));
        glass.shows_rows(3);
        let is_title = |picture: screen::glass::Picture| ![0, WHITE].contains(&picture.at(0, 0));
        wait_until("its title", || glass.picture().is_some_and(is_title));
    }
}

#[test]
fn any_size_will_do() {
    let Some(display) = Display::start() else { return };
    let mut program = Program::start(Some(&display.name), &["--rows", "200"]);
    let glass = Glass::of(&display, MARK);
    for (width, height) in [(1, 1), (1590, 1190), (10, 1000), (1000, 10), (200, 80), (1590, 1190)] {
        glass.resize(width, height);
        wait_until("that size", || glass.picture().is_some_and(|now| now.height() == height));
    }
    // The made-up rows are of five protocols.
    wait_until("a picture of that size", || glass.rows().len() > 12);
    assert_eq!(program.stderr(), "");
    program.still_serves();
}
