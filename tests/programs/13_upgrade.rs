//! A server is replaced by another version of itself, and nobody notices. Or it isn't replaced, and nobody notices.
#![cfg(target_os = "linux")]

mod upgrading;

use std::fs;
use std::net::{Shutdown, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::thread::sleep;
use std::time::Duration;

use ch11_http_server::connection::handover::Visitor;
use ch11_http_server::conversation::parts::{Parts, Place};
use ch11_http_server::conversation::wait::Wait;
use ch11_http_server::server::HandedOver;
use ch13_upgrade::channel::Channel;
use ch13_upgrade::http;
use ch13_upgrade::message::Message;
use ch13_upgrade::peer::Peer;
use ch13_upgrade::state::{Outgoing, in_memory};
use lens::Lens;
use lens::record::Call;
use nix::sys::signal::Signal::{SIGKILL, SIGTERM, SIGUSR2};
use nix::sys::signal::{kill, killpg};
use nix::unistd::Pid;
use rstest::rstest;
use tempfile::TempDir;
use upgrading::{Bounded, Client, Family, PATIENCE, is_gone, script, site, text};
use visitors::calls::family;
use visitors::program::{Program, Start};
use visitors::setup::until;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ch13-upgrade");
const SUCCESSOR: &str = env!("CARGO_BIN_EXE_successor13");
/// One loop, and several: what is handed over comes from other threads then.
const LOOPS: [&str; 2] = ["1", "3"];

/// Enough that to hand them over takes a while.
const CROWD: usize = 400;
/// So many generations are looked at.
const LAST: u64 = 4;

/// Bytes of which each piece is another one.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 7 + at % 251) as u8).collect()
}

// ANCHOR: nobody_notices
/// Everybody is in the middle of something. Whatever it is, it's
/// finished three generations later, as if nothing had been.
#[rstest]
fn nobody_notices(#[values(LOOPS[0], LOOPS[1])] loops: &str) {
    let large = content(10 * 1024 * 1024);
    let site = site(&[("large.bin", &large)]);
    let root = site.path().to_str().unwrap();
    let log = site.path().join("log");
    let mut family = Family::start(
        PROGRAM,
        &["127.0.0.1:0", "--root", root, "--workers", loops, "--log", log.to_str().unwrap()],
    );
    // ANCHOR_END: nobody_notices
    let mut silent = family.connect();
    let mut idle = family.connect();
    assert_eq!(idle.ask("/hello").generation(), 1);
    let mut half_a_head = family.connect();
    half_a_head.send("GET /hello HTTP/1.1\r\nHo");
    let mut uploading = family.connect();
    uploading.send("POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\n012");
    let mut in_chunks = family.connect();
    let head = "POST /echo HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n";
    in_chunks.send(format!("{head}4\r\nabcd\r\n5\r\nef"));
    let mut told_to_go_on = family.connect();
    told_to_go_on.send(
        "POST /echo HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
    );
    told_to_go_on.until(b"HTTP/1.1 100 Continue\r\n\r\n");
    let mut downloading = family.connect();
    downloading.send("GET /large.bin HTTP/1.1\r\nHost: here\r\n\r\n");
    let head = downloading.head();
    assert_eq!((head.field("Content-Length"), head.generation()), (Some("10485760"), 1));
    let mut got = downloading.take(1000);
    // Its requests are with the server, which answers no more of them until it reads.
    let mut greedy = family.connect();
    greedy.send("GET /large.bin HTTP/1.1\r\nHost: here\r\n\r\n".repeat(3));
    greedy.send("GET /hello HTTP/1.1\r\nHost: here\r\n\r\n");
    let mut listening = family.connect();
    listening.send("GET /live HTTP/1.1\r\nHost: here\r\n\r\n");
    listening.until(b"event: numbers");
    let mut finished = family.connect();
    finished.send(
        "GET /hello HTTP/1.1\r\nHost: here\r\n\r\nGET /large.bin HTTP/1.1\r\nHost: here\r\n\r\n",
    );
    finished.stream.shutdown(Shutdown::Write).unwrap();
    let mut refused = family.connect();
    refused.send("nonsense\r\n\r\n");
    assert!(refused.answer().head.starts_with("HTTP/1.1 400 "));

    for _ in 0..3 {
        family.upgrade();
        got.extend(downloading.take(300_000));
        listening.until(b"event: numbers");
    }

    silent.has_heard_nothing();
    idle.has_heard_nothing();
    half_a_head.has_heard_nothing();
    assert_eq!(silent.ask("/hello").generation(), 4);
    assert_eq!(idle.ask("/hello").generation(), 4);
    half_a_head.send("st: here\r\n\r\n");
    assert_eq!(half_a_head.answer().generation(), 4);
    uploading.send("3456789");
    let answer = uploading.answer();
    assert_eq!((text(&answer.body), answer.generation()), ("0123456789".to_owned(), 4));
    in_chunks.send("ghi\r\n0\r\n\r\n");
    assert_eq!(text(&in_chunks.answer().body), "abcdefghi");
    told_to_go_on.has_heard_nothing();
    told_to_go_on.send("xyz");
    assert_eq!(text(&told_to_go_on.answer().body), "xyz");
    got.extend(downloading.take(large.len() - got.len()));
    assert!(got == large, "a byte of the download is another one");
    assert_eq!(downloading.ask("/hello").generation(), 4);
    for _ in 0..3 {
        assert!(greedy.answer().body == large, "a byte of a pipelined download is another one");
    }
    assert_eq!(text(&greedy.answer().body), "Hello, World!");
    assert_eq!(text(&finished.answer().body), "Hello, World!");
    assert!(finished.answer().body == large, "who has finished sending still gets all");
    finished.is_at_its_end();
    refused.is_at_its_end();
    family.signal(SIGTERM);
    family.has_ended();
    // Each answer has one line, whoever has written it.
    let log = fs::read_to_string(log).unwrap();
    let lines = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    assert_eq!(lines("GET /large.bin HTTP/1.1\" 200 10485760"), 5, "{log}");
    assert_eq!(lines("GET /hello HTTP/1.1\" 200 13"), 7, "{log}");
    assert_eq!(lines("POST /echo HTTP/1.1\" 200 "), 3, "{log}");
    assert_eq!(lines("\"-\" 400 "), 1, "{log}");
    assert_eq!(lines("GET /live HTTP/1.1\" 200 "), 1, "{log}");
    assert_eq!(log.lines().count(), 17, "{log}");
}

/// Nobody is refused either, and whoever is at the door is let in.
#[rstest]
fn who_comes_meanwhile_is_served(#[values(LOOPS[0], LOOPS[1])] loops: &str) {
    let mut family = Family::start(PROGRAM, &["127.0.0.1:0", "--workers", loops]);
    for _ in 0..5 {
        family.signal(SIGUSR2);
        let mut served = 0;
        while !family.said().contains(&format!("by generation {} ", family.generation() + 1)) {
            let mut client = family.connect();
            client.send("GET /hello HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
            assert_eq!(text(&client.answer().body), "Hello, World!");
            client.is_at_its_end();
            served += 1;
        }
        assert!(served > 0);
        family.has_been_replaced();
    }
}

/// A hundred generations on the same connection; in the end there is no more of anything than at the beginning.
#[rstest]
fn a_hundred_times(#[values(LOOPS[0], LOOPS[1])] loops: &str) {
    let mut family = Family::start(PROGRAM, &["127.0.0.1:0", "--workers", loops]);
    let mut stays = family.connect();
    let mut half = family.connect();
    half.send("POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\n");
    stays.ask("/hello");
    let mut before = (0, 0);
    for number in 1..=100 {
        family.upgrade();
        assert_eq!(stays.ask("/hello").generation(), number + 1);
        half.send("x");
        if number == 3 {
            before = (family.descriptors(), family.memory());
        }
    }
    assert_eq!(text(&half.answer().body), "x".repeat(100));
    let (descriptors, memory) = (family.descriptors(), family.memory());
    assert_eq!(descriptors, before.0, "descriptors");
    assert!(memory < before.1 + 512, "{} KiB have become {memory}", before.1);
}

/// The old program isn't there any more, and none of the others that tried.
#[test]
fn nobody_is_left_behind() {
    let mut family = Family::start(PROGRAM, &["127.0.0.1:0"]);
    let mut before = Vec::new();
    for _ in 0..3 {
        before.push(family.pid());
        family.upgrade();
    }
    until("the old ones end", || before.iter().all(|pid| is_gone(*pid)).then_some(()));
    assert!(family.connect().ask("/hello").generation() == 4);
}

/// What the program is replaced by lies here.
struct With {
    _folder: TempDir,
    program: PathBuf,
}

impl With {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let program = folder.path().join("program");
        Self { _folder: folder, program }
    }

    fn start(&self, more: &[&str]) -> Family {
        let with = self.program.to_str().unwrap();
        Family::start(PROGRAM, &[&["127.0.0.1:0", "--with", with], more].concat())
    }

    fn script(&self, text: &str) {
        script(&self.program, text);
    }

    fn successor(&self, how: &str) {
        self.script(&format!("exec {SUCCESSOR} {how} \"$@\""));
    }

    fn right(&self) {
        let _ = fs::remove_dir(&self.program);
        self.script(&format!("exec {PROGRAM} \"$@\""));
    }
}

/// Whatever the new program does: the old one goes on, says why in one line, and the next attempt succeeds.
#[rstest]
#[case::exits("exits", "it ended before it was ready (exit status: 3)")]
#[case::exits_later("exits-later", "it ended before it was ready (exit status: 4)")]
#[case::hangs_up("hangs-up", "it hung up before it was ready")]
#[case::nonsense("nonsense", "it doesn't say hello")]
#[case::reads_newer("reads-newer", "it reads the versions 2 to 3 of the state, and this is 1")]
#[case::reads_older("reads-older", "it reads the versions 0 to 0 of the state, and this is 1")]
#[case::exits_after_hello("hello-and-exits", "it ended before it was ready (exit status: 0)")]
#[case::hangs_after_hello("hello-and-hangs", "it took longer than 2 s until it was ready")]
#[case::refuses("hello-and-refuses", "there is no room")]
#[case::exits_when_ready("ready-and-exits", "it ended before it served (exit status: 0)")]
#[case::hangs_when_ready("ready-and-hangs", "it took longer than 2 s until it served")]
#[case::exits_when_told_to_go("gone-and-exits", "it ended before it served (exit status: 0)")]
#[case::hangs_when_told_to_go("gone-and-hangs", "it took longer than 2 s until it served")]
fn one_that_fails(#[case] how: &str, #[case] why: &str, #[values(LOOPS[0], LOOPS[1])] loops: &str) {
    let with = With::new();
    with.successor(how);
    fails(&with, why, loops);
}

#[rstest]
#[case::missing(|_: &With| {}, "No such file or directory")]
#[case::not_executable(|with: &With| fs::write(&with.program, "").unwrap(), "Permission denied")]
#[case::a_folder(|with: &With| fs::create_dir(&with.program).unwrap(), "Permission denied")]
#[case::of_another_machine(
    |with: &With| {
        // A program of 64 bits for a machine that nobody has (elf(5)).
        let mut head = b"\x7fELF\x02\x01\x01".to_vec();
        head.resize(64, 0);
        head[16..20].copy_from_slice(&[2, 0, 0xff, 0x7f]);
        with.script("");
        fs::write(&with.program, head).unwrap();
    },
    "Exec format error"
)]
#[case::by_a_script_that_stays(
    |with: &With| with.script(&format!("{PROGRAM} \"$@\"")),
    "isn't the one that was started: a script must exec it"
)]
#[case::no_descriptors(
    |with: &With| with.script(&format!("ulimit -n 12; exec {PROGRAM} \"$@\"")),
    "there was no room for all descriptors"
)]
fn one_that_cannot(#[case] make: fn(&With), #[case] why: &str) {
    let with = With::new();
    make(&with);
    fails(&with, why, LOOPS[0]);
}

fn fails(with: &With, why: &str, loops: &str) {
    let mut family = with.start(&["--workers", loops]);
    let mut stays: Vec<Client> = (0..10).map(|_| family.connect()).collect();
    for client in &mut stays {
        client.ask("/hello");
        client.send("POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\n\r\nab");
    }
    let descriptors = family.descriptors();
    family.signal(SIGUSR2);
    family.goes_on(why);
    for client in &mut stays {
        client.send("cd");
        let answer = client.answer();
        assert_eq!((text(&answer.body), answer.generation()), ("abcd".to_owned(), 1));
    }
    assert_eq!(family.connect().ask("/hello").generation(), 1);
    // Whatever it has opened for that is closed, and the other one isn't kept as a zombie.
    until("all is closed", || (family.descriptors() == descriptors).then_some(()));
    let children = format!("/proc/{0}/task/{0}/children", family.pid());
    until("nobody is left", || {
        fs::read_to_string(&children).unwrap().trim().is_empty().then_some(())
    });
    with.right();
    family.upgrade();
    for client in &mut stays {
        assert_eq!(client.ask("/hello").generation(), 2);
    }
}

/// One that says nothing at all is waited for, and nobody waits with us. Meanwhile there is no second one.
#[test]
fn one_that_is_silent_disturbs_nobody() {
    let with = With::new();
    with.successor("hangs");
    let family = with.start(&[]);
    let mut client = family.connect();
    family.signal(SIGUSR2);
    let children = format!("/proc/{0}/task/{0}/children", family.pid());
    until("it's started", || {
        (!fs::read_to_string(&children).unwrap().trim().is_empty()).then_some(())
    });
    family.signal(SIGUSR2);
    family.says("an upgrade is under way: ask again when it has ended");
    assert_eq!(client.ask("/hello").generation(), 1);
    family.goes_on("it said nothing for 10 s");
    assert_eq!(client.ask("/hello").generation(), 1);
}

/// Whoever is told to stop stops. So does what was to take its place.
#[test]
fn stopped_in_the_middle_of_it() {
    let with = With::new();
    with.successor("hangs");
    let family = with.start(&[]);
    family.signal(SIGUSR2);
    let children = format!("/proc/{0}/task/{0}/children", family.pid());
    let child: i32 =
        until("it's started", || fs::read_to_string(&children).ok()?.trim().parse().ok());
    family.signal(SIGTERM);
    family.goes_on("it's being stopped");
    family.says("stopped");
    family.has_ended();
    until("the other one ends", || is_gone(child).then_some(()));
}

#[test]
fn while_it_is_being_stopped_it_is_not_replaced() {
    let family = Family::start(PROGRAM, &["127.0.0.1:0"]);
    let mut client = family.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\na");
    client.send("b");
    client.answer();
    client.send("POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\na");
    // It has looked at that when it answers somebody else.
    sleep(Duration::from_millis(50));
    family.connect().ask("/hello");
    family.signal(SIGTERM);
    family.says("stopping; visitors here: ");
    family.signal(SIGUSR2);
    family.says("not replaced: it's being stopped");
    client.send("b");
    assert_eq!(text(&client.answer().body), "ab");
    family.has_ended();
}

/// Who is here hears of it, and it says that it has ended.
#[test]
fn the_last_one_of_all_stops_as_any_does() {
    let mut family = Family::start(PROGRAM, &["127.0.0.1:0"]);
    let mut client = family.connect();
    client.ask("/hello");
    family.upgrade();
    family.upgrade();
    family.signal(SIGTERM);
    family.has_ended();
    client.is_at_its_end();
}

/// Until the new one is told to go, the old one's death is its own affair; then it's the new one's.
#[test]
fn the_old_one_is_killed() {
    let with = With::new();
    with.successor("old-one-dies");
    let family = with.start(&[]);
    let _client = family.connect();
    family.signal(SIGUSR2);
    family.says("took over from one that died");
    family.has_ended();
    // Before it has handed over anything: nobody is left who would wait for ever.
    let with = With::new();
    let gate = with.program.with_extension("gate");
    let pid = with.program.with_extension("pid");
    with.script(&format!(
        "echo $$ > {0}.new; mv {0}.new {0}; while ! test -e {1}; do sleep 0.05; done; exec {PROGRAM} \"$@\"",
        pid.display(),
        gate.display()
    ));
    let family = with.start(&[]);
    family.signal(SIGUSR2);
    let child: i32 = until("it's started", || fs::read_to_string(&pid).ok()?.trim().parse().ok());
    family.signal(SIGKILL);
    fs::write(gate, "").unwrap();
    until("the new one ends", || is_gone(child).then_some(()));
    family.says("ch13-upgrade: the old program is gone");
}

/// The new one lasts as long as any.
#[test]
fn the_new_one_is_killed_when_it_serves() {
    let mut family = Family::start(PROGRAM, &["127.0.0.1:0"]);
    family.upgrade();
    family.signal(SIGKILL);
    family.has_ended();
    // Nothing of the old one holds the port.
    let again = Family::start(PROGRAM, &[&family.address.to_string()]);
    assert_eq!(again.connect().ask("/hello").generation(), 1);
}

/// Its configuration is the new program's affair: another port is opened before the old one's is closed.
#[test]
fn it_may_listen_somewhere_else() {
    let with = With::new();
    // In place of the address it was started with.
    with.script(&format!(
        "for last; do :; done; exec {PROGRAM} --take-over 127.0.0.1:$(cat {}.port) --with \"$last\"",
        with.program.display()
    ));
    let mut family = with.start(&[]);
    let port = with.program.with_extension("port");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    fs::write(&port, taken.local_addr().unwrap().port().to_string()).unwrap();
    let mut client = family.connect();
    client.ask("/hello");
    family.signal(SIGUSR2);
    family.goes_on(&format!(
        "can't listen on {}: Address already in use",
        taken.local_addr().unwrap()
    ));
    assert_eq!(client.ask("/hello").generation(), 1);
    let there = taken.local_addr().unwrap();
    drop(taken);
    family.upgrade();
    assert_eq!(client.ask("/hello").generation(), 2);
    assert_eq!(Client::connect(there).ask("/hello").generation(), 2);
    until("the old port is closed", || std::net::TcpStream::connect(family.address).err());
}

/// One loop becomes three, and three become one.
#[test]
fn it_may_have_another_number_of_loops() {
    let with = With::new();
    let mut family = with.start(&["--workers", "3"]);
    let mut clients: Vec<Client> = (0..12).map(|_| family.connect()).collect();
    for (number, loops) in [1, 3, 2, 1, 4].into_iter().enumerate() {
        let stripped = "n=$(echo \"$@\" | sed 's/--workers [0-9]*//')";
        with.script(&format!("{stripped}; exec {PROGRAM} $n --workers {loops}"));
        family.upgrade();
        let generation = number as u64 + 2;
        for client in &mut clients {
            assert_eq!(client.ask("/hello").generation(), generation);
        }
        clients.push(family.connect());
    }
}

/// It's replaced by what lies there now, and not by what it was.
#[test]
fn its_file_may_have_been_replaced() {
    let folder = TempDir::new().unwrap();
    let program = folder.path().join("program");
    symlink(PROGRAM, &program).unwrap();
    let copy = folder.path().join("copy");
    fs::copy(PROGRAM, &copy).unwrap();
    let mut family = Family::start(copy.to_str().unwrap(), &["127.0.0.1:0"]);
    let new = folder.path().join("new");
    script(&new, &format!("echo the new one >&2; exec {PROGRAM} \"$@\""));
    fs::rename(&new, &copy).unwrap();
    family.upgrade();
    family.says("the new one");
    assert_eq!(family.connect().ask("/hello").generation(), 2);
}

/// Started without one, it says what it needs.
#[test]
fn to_take_over_it_must_be_started_by_one_that_has_something() {
    let run = Command::new(PROGRAM).arg("--take-over").stdin(Stdio::null()).output();
    let run = run.unwrap();
    assert_eq!(run.status.code(), Some(1));
    let said = text(&run.stderr);
    assert!(said.starts_with("ch13-upgrade: ") && said.lines().count() == 1, "{said}");
    assert!(said.contains("--take-over"), "{said}");
}

/// An idle connection is handed over in no time, and ten thousand in little.
#[test]
fn many_are_handed_over() {
    let mut family = Family::start(PROGRAM, &["127.0.0.1:0", "--workers", "2"]);
    let count = 2000;
    visitors::crowd::make_room(count).unwrap();
    let mut clients: Vec<Client> = (0..count).map(|_| family.connect()).collect();
    for client in &mut clients {
        client.send("GET /hello HTTP/1.1\r\nHost: here\r\n\r\n");
    }
    for client in &mut clients {
        client.answer();
    }
    family.upgrade();
    for client in &mut clients {
        client.has_heard_nothing();
        client.send("GET /hello HTTP/1.1\r\nHost: here\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.answer().generation(), 2);
    }
}

/// The short way: the process stays, and everybody in it.
#[rstest]
fn in_place(#[values(LOOPS[0], LOOPS[1])] loops: &str) {
    let site = site(&[("large.bin", &content(3_000_000))]);
    let log = site.path().join("log");
    let root = site.path().to_str().unwrap();
    let family = Family::start(
        PROGRAM,
        &[
            "127.0.0.1:0",
            "--in-place",
            "--workers",
            loops,
            "--root",
            root,
            "--log",
            log.to_str().unwrap(),
        ],
    );
    let mut client = family.connect();
    let mut downloading = family.connect();
    downloading.send("GET /large.bin HTTP/1.1\r\nHost: here\r\n\r\n");
    assert_eq!(downloading.head().generation(), 1);
    let mut got = downloading.take(1000);
    let mut descriptors = 0;
    for generation in 1..=10 {
        assert_eq!(client.ask("/hello").generation(), generation);
        client.send("POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\n\r\nab");
        family.signal(SIGUSR2);
        family.says(&format!("generation {generation} has become generation {}", generation + 1));
        client.send("cd");
        let answer = client.answer();
        assert_eq!((text(&answer.body), answer.generation()), ("abcd".to_owned(), generation + 1));
        got.extend(downloading.take(10_000));
        if generation == 2 {
            descriptors = family.descriptors();
        }
    }
    assert_eq!(family.descriptors(), descriptors);
    got.extend(downloading.take(3_000_000 - got.len()));
    assert!(got == content(3_000_000));
    family.signal(SIGTERM);
    family.has_ended();
    let log = fs::read_to_string(log).unwrap();
    assert_eq!(log.lines().count(), 21, "{log}");
}

/// What can't be run is no danger. What fails when it runs is the end.
#[test]
fn in_place_there_is_no_way_back() {
    let with = With::new();
    let family = with.start(&["--in-place"]);
    let mut client = family.connect();
    client.ask("/hello");
    family.signal(SIGUSR2);
    family.goes_on("No such file or directory");
    assert_eq!(client.ask("/hello").generation(), 1);
    with.script("exit 3");
    family.signal(SIGUSR2);
    client.is_at_its_end();
    family.has_ended();
}

/// Whoever replaces the file need do nothing else.
#[test]
fn watched_it_is_replaced_by_itself() {
    let with = With::new();
    with.right();
    let mut family = with.start(&["--watch"]);
    let mut client = family.connect();
    for generation in 1..4 {
        assert_eq!(client.ask("/hello").generation(), generation);
        // Another file beside it is none of its business.
        fs::write(with.program.with_extension("else"), "x").unwrap();
        with.right();
        family.has_been_replaced();
    }
    assert_eq!(client.ask("/hello").generation(), 4);
}

#[test]
fn another_process_asks_for_it() {
    let mut family = Family::start(PROGRAM, &["127.0.0.1:0"]);
    let ask = |pid: String| Command::new(PROGRAM).args(["--upgrade", &pid]).output().unwrap();
    let asked = ask(family.pid().to_string());
    assert!(asked.status.success(), "{}", text(&asked.stderr));
    family.has_been_replaced();
    assert_eq!(family.connect().ask("/hello").generation(), 2);
    // One that knows nothing of it would be ended by the signal.
    let mut other = Bounded(Command::new("sleep").arg("60").spawn().unwrap());
    let asked = ask(other.0.id().to_string());
    assert_eq!(asked.status.code(), Some(1));
    let said = text(&asked.stderr);
    let expected =
        format!("ch13-upgrade: process {} isn't one that can be replaced\n", other.0.id());
    assert_eq!(said, expected);
    assert!(other.0.try_wait().unwrap().is_none(), "it has been ended");
    drop(other);
    assert_eq!(
        text(&ask("999999999".to_owned()).stderr),
        "ch13-upgrade: there is no process 999999999\n"
    );
}

/// The door may have been opened by whoever has started it (sd_listen_fds(3)): it's never closed, whatever address is
/// asked for.
#[test]
fn its_door_may_be_given() {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = door.local_addr().unwrap();
    let mut command = Command::new("sh");
    let script = format!("LISTEN_PID=$$ LISTEN_FDS=1 exec {PROGRAM} 127.0.0.1:1 3<&0 </dev/null");
    command.args(["-c", &script]);
    let mut family = Family::of_with_stdin(command, OwnedFd::from(door).into());
    assert_eq!(family.address, address);
    let mut clients = Vec::new();
    for generation in 1..4 {
        clients.push(family.connect());
        for client in &mut clients {
            assert_eq!(client.ask("/hello").generation(), generation);
        }
        family.upgrade();
    }
    let descriptors = family.descriptors();
    family.upgrade();
    assert_eq!(clients[0].ask("/hello").generation(), 5);
    assert_eq!(family.descriptors(), descriptors);
}

/// The same with the tool that systemd has for it.
#[test]
fn systemd_opens_its_door() {
    let tool = "/usr/bin/systemd-socket-activate";
    if !std::path::Path::new(tool).exists() {
        return visitors::skipped("systemd-socket-activate isn't installed");
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new(tool);
    command.args(["--listen", &free.to_string(), PROGRAM]);
    // It's started when somebody comes.
    let first = std::thread::spawn(move || {
        until("somebody listens", || std::net::TcpStream::connect(free).ok())
    });
    let mut family = Family::of(command);
    assert_eq!(family.address, free);
    drop(first.join());
    let mut client = family.connect();
    assert_eq!(client.ask("/hello").generation(), 1);
    family.upgrade();
    assert_eq!(client.ask("/hello").generation(), 2);
}

/// Until it's told to go, the new one touches nobody: what a visitor has sent is still the old one's to read. If it
/// isn't told, because the old one has died, it's its own.
#[rstest]
fn before_it_is_told_to_go_it_touches_nobody(
    #[values(LOOPS[0], LOOPS[1])] loops: &str,
    #[values(true, false)] is_told: bool,
) {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = door.local_addr().unwrap();
    let mut inside = Client::connect(address);
    let (socket, from) = door.accept().unwrap();
    inside.send("GET /hello HTTP/1.1\r\nHost: here\r\n\r\n");
    let mut outside = Client::connect(address);
    outside.send("GET /hello HTTP/1.1\r\nHost: here\r\n\r\n");
    let (ours, theirs) = Channel::pair().unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["--take-over", &address.to_string(), "--workers", loops]);
    let _child = Bounded(command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn().unwrap());
    let mut old = Peer::new(Rc::new(ours), PATIENCE).unwrap();
    assert!(matches!(old.receive().unwrap(), Some((Message::Hello { .. }, _))));
    let parts = Parts {
        input: Vec::new(),
        input_ended: false,
        output: Vec::new(),
        file: None,
        request: 0,
        answered: None,
        place: Place::Reading,
        wait: Wait::Idle,
        time_left: Some(PATIENCE),
    };
    let visitor = Visitor { from, parts, line: None, stream: None };
    let visitors = vec![(socket.as_fd(), visitor)];
    let server = HandedOver { listener: Some(door.as_fd()), visitors, staying: 0 };
    let mut section = Outgoing::default();
    http::write(&mut section, &server);
    let (bytes, descriptors) = section.finish();
    let stdin = fs::File::open("/dev/null").unwrap();
    let mut state = Outgoing::default();
    state.descriptor(stdin.as_fd());
    state.section("http", &bytes, &descriptors);
    let (bytes, descriptors) = state.finish();
    let file = in_memory(&bytes).unwrap();
    old.send(&Message::state(6, descriptors.len()), &[file.as_fd()]).unwrap();
    old.send(&Message::Descriptors, &descriptors).unwrap();
    assert_eq!(old.receive().unwrap().map(|(message, _)| message), Some(Message::Ready));
    // Long enough for one that wouldn't wait.
    sleep(Duration::from_millis(300));
    inside.has_heard_nothing();
    outside.has_heard_nothing();
    if is_told {
        old.send(&Message::Go, &[]).unwrap();
        assert_eq!(old.receive().unwrap().map(|(message, _)| message), Some(Message::Serving));
    }
    drop(old);
    for client in [&mut inside, &mut outside] {
        assert_eq!(client.answer().generation(), 7);
    }
}

/// Who can't be handed over stays with the old one until it's served. Meanwhile the old one's signals are meant for
/// the server, and that is the new one.
#[rstest]
fn who_stays_is_served_and_signals_are_passed_on(#[values(LOOPS[0], LOOPS[1])] loops: &str) {
    let mut family = Family::start(PROGRAM, &["127.0.0.1:0", "--workers", loops, "--grace", "60"]);
    let mut stays = family.connect();
    // A stream that nobody else can go on with.
    stays.send("GET /large HTTP/1.1\r\nHost: here\r\n\r\n");
    let length: usize = stays.head().field("Content-Length").unwrap().parse().unwrap();
    let mut got = stays.take(1000).len();
    let mut moves = family.connect();
    assert_eq!(moves.ask("/hello").generation(), 1);
    let old = family.pid();
    family.upgrade();
    assert_eq!(moves.ask("/hello").generation(), 2);
    assert!(!is_gone(old), "somebody is still here");
    kill(Pid::from_raw(old), SIGTERM).unwrap();
    family.says("stopping; visitors here: ");
    moves.is_at_its_end();
    family.has_ended();
    assert!(!is_gone(old), "somebody is still here");
    while got < length {
        got += stays.take(length.min(got + 100_000) - got).len();
    }
    stays.is_at_its_end();
    until("the old one ends", || is_gone(old).then_some(()));
}

/// A program under the lens, and whatever it has started: they end with the test.
struct Watched(Program);

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.0.pid()), SIGKILL);
    }
}

/// One line waits, in both programs, through an upgrade: in the old one to its end, and in the new one from its first
/// instruction to its last. So much is handed over that each of the two would have to wait for the other elsewhere, if
/// it did. (Who starts a process waits until that one runs its own program: there's no other way.)
#[rstest]
fn one_line_waits_in_both_programs(#[values(LOOPS[0], LOOPS[1])] loops: &str) {
    let large = content(10 * 1024 * 1024);
    let site = site(&[("large.bin", &large)]);
    let start = Start::new(PROGRAM).apart().arg("127.0.0.1:0").arg("--workers").arg(loops);
    let watched = Watched(start.arg("--root").arg(site.path()).start().unwrap());
    let address = watched.0.listening().unwrap();
    let lens = match Lens::on(&watched.0) {
        Ok(lens) => lens,
        Err(blind) => return visitors::skipped(blind),
    };
    visitors::crowd::make_room(CROWD).unwrap();
    let mut crowd: Vec<Client> = (0..CROWD).map(|_| Client::connect(address)).collect();
    let mut downloading = Client::connect(address);
    downloading.send("GET /large.bin HTTP/1.1\r\nHost: here\r\n\r\n");
    assert_eq!(downloading.head().generation(), 1);
    let mut pid = watched.0.pid();
    for generation in 2..=LAST {
        for client in &mut crowd {
            client.send("POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\n\r\nab");
        }
        kill(Pid::from_raw(pid), SIGUSR2).unwrap();
        let line =
            watched.0.says(|line| line.contains(&format!("by generation {generation} (pid")));
        pid = line.unwrap().split(['(', ')']).nth(1).unwrap()[4..].parse().unwrap();
        for client in &mut crowd {
            client.send("cd");
            let answer = client.answer();
            assert_eq!((text(&answer.body), answer.generation()), ("abcd".to_owned(), generation));
        }
    }
    assert!(downloading.take(large.len()) == large, "a byte of the download is another one");
    let first = watched.0.ended().unwrap();
    assert!(first.success(), "{first}");
    kill(Pid::from_raw(pid), SIGTERM).unwrap();
    until("the last one ends", || is_gone(pid).then_some(()));

    let calls = lens.calls();
    let of_the_first: u32 = loops.parse().unwrap();
    for is_first in [true, false] {
        let mut its = calls.iter().filter(|call| (call.thread <= of_the_first) == is_first);
        assert!(its.any(|call| call.call == "epoll_wait"), "it hasn't been seen");
    }
    // The two may be quick to answer each other, or slow: no wait for that is too short to count.
    let for_each_other = calls.iter().filter(|call| {
        let is_their_channel = call.what.as_deref() == Some("a socket");
        call.waited && (is_their_channel || ["poll", "select"].contains(&family(&call.call)))
    });
    assert_eq!(for_each_other.collect::<Vec<_>>(), Vec::<&Call>::new());
    // Several loops have mailboxes, each with a lock. Whoever holds one may be stopped by the lens just then.
    let of_several: &[&str] = if loops == LOOPS[0] { &[] } else { &["futex"] };
    let allowed = [&["epoll_wait", "vfork", "clone", "clone3"], of_several].concat();
    assert_eq!(lens.waits_only_in(&allowed), Ok(()));
}
