//! What chapter 12's program must do: the promises of all servers of this book, and some of its own.

#[path = "serving/never_waits.rs"]
mod never_waits;
#[path = "serving/promises.rs"]
mod promises;
mod serving;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use assert_cmd::Command;
use lens::Lens;
use nix::sys::signal::Signal;
use rstest::rstest;
use serving::Server;
use tempfile::TempDir;
use visitors::connection::Connection;
use visitors::program::{Program, Start};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ch12-kernel");
const CHAPTER: u32 = 12;
/// The one call in which it waits.
const WAITS_IN: &str = if cfg!(target_os = "linux") { "epoll_wait" } else { "poll" };
/// So many silent visitors it must be able to keep.
const SILENT: usize = 5_000;

fn start() -> Server {
    Server::start(PROGRAM, CHAPTER)
}

/// How long anything may take that takes no time.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program with these arguments. Each port is any that is free.
fn start_with(arguments: &[&str]) -> Program {
    arguments.iter().fold(Start::new(PROGRAM), Start::arg).start().expect("it can be started")
}

/// Where a service listens.
fn address(program: &Program, service: &str) -> SocketAddr {
    let end = format!("({service})");
    let line = program.prints(|line| line.ends_with(&end)).expect("it says where it listens");
    line.split_whitespace().nth(2).and_then(|word| word.parse().ok()).expect("an address")
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads until `wanted` has come, and gives all that has.
#[track_caller]
fn hears(stream: &mut TcpStream, wanted: &str) -> String {
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&all).into_owned();
        if text.contains(wanted) {
            return text;
        }
        let count = stream.read(&mut piece).unwrap_or(0);
        assert!(count > 0, "{wanted:?} was to come, and what came is {text:?}");
        all.extend_from_slice(&piece[..count]);
    }
}

const ALL: [&str; 8] = [
    "--http",
    "127.0.0.1:0",
    "--dns",
    "127.0.0.1:0",
    "--mail",
    "127.0.0.1:0",
    "--chat",
    "127.0.0.1:0",
];

/// All services, with their mailbox in `folder`.
fn start_all(folder: &TempDir, more: &[&str]) -> Program {
    let mbox = folder.path().join("mbox");
    let mbox = mbox.to_string_lossy();
    start_with(&[&ALL[..], &["--mbox", &mbox], more].concat())
}

#[test]
fn all_services_are_there_and_in_the_order_of_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let program = start_all(&folder, &[]);
    for service in ["http", "dns", "mail", "chat"] {
        address(&program, service);
    }
    let said = String::from_utf8(program.stdout()).unwrap();
    let names: Vec<&str> = said.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(names, ["(http)", "(dns)", "(mail)", "(chat)"]);
}

/// Two ports are taken: both are said, and none of the others is left listening.
#[test]
fn all_are_started_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let taken =
        [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
    let [http, chat] = taken.each_ref().map(|listener| listener.local_addr().unwrap().to_string());
    let mbox = folder.path().join("mbox");
    let output = Command::new(PROGRAM)
        .args(["--http", &http, "--mail", "127.0.0.1:0", "--mbox"])
        .arg(&mbox)
        .args(["--chat", &chat])
        .timeout(PATIENCE)
        .assert()
        .code(1);
    let output = output.get_output();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].contains("http: can't listen on") && lines[0].contains(&http), "{said}");
    assert!(lines[1].contains("chat: can't listen on") && lines[1].contains(&chat), "{said}");
    assert!(output.stdout.is_empty(), "nobody listens");
}

/// The two halves of DNS are one service: a port that only UDP has taken is taken.
#[test]
fn a_port_that_datagrams_have_taken_is_taken() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(PROGRAM).args(["--dns", &address]).timeout(PATIENCE).assert().code(1);
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(
        said.contains("dns: can't receive datagrams on") && said.lines().count() == 1,
        "{said}"
    );
}

#[rstest]
#[case::a_folder_that_is_not_there(&["--http", "127.0.0.1:0", "--root", "/nowhere/at/all"], "can't serve /nowhere/at/all")]
#[case::a_zone_that_is_not_there(&["--dns", "127.0.0.1:0", "--zone", "/nowhere/zone"], "/nowhere/zone")]
#[case::a_mailbox_in_no_folder(&["--mail", "127.0.0.1:0", "--mbox", "/nowhere/mbox"], "can't keep mail in /nowhere/mbox")]
#[case::a_mailbox_that_is_none(&["--mail", "127.0.0.1:0", "--mbox", "/dev/null"], "can't keep mail in /dev/null")]
fn what_can_not_be_had_is_said_before_anything_is_started(
    #[case] arguments: &[&str],
    #[case] says: &str,
) {
    let output = Command::new(PROGRAM).args(arguments).timeout(PATIENCE).assert().code(1);
    let output = output.get_output();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(says) && said.lines().count() == 1, "{said}");
    assert!(output.stdout.is_empty(), "nobody listens");
}

#[rstest]
#[case::a_root_without_http(&["--chat", "127.0.0.1:0", "--root", "/tmp"], "--root is of no use without --http")]
#[case::an_upstream_without_dns(&["--http", "127.0.0.1:0", "--upstream", "127.0.0.1:53"], "--upstream is of no use without --dns")]
#[case::two_addresses_for_http(&["127.0.0.1:0", "--http", "127.0.0.1:0"], "cannot be used with")]
#[case::an_upstream_that_is_nobody(&["--dns", "127.0.0.1:0", "--upstream", "127.0.0.1:0"], "give one such as 192.0.2.1:53")]
#[case::an_empty_key(&["--chat", "127.0.0.1:0", "--key", ""], "--key")]
#[case::no_connections(&["--connections", "0"], "give a number from 1")]
fn what_makes_no_sense_gets_one_line(#[case] arguments: &[&str], #[case] says: &str) {
    let output = Command::new(PROGRAM).args(arguments).timeout(PATIENCE).assert().code(2);
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(said.contains(says) && said.lines().count() == 1, "{said}");
}

/// Each is told, or served, and the program ends well before any deadline.
#[test]
fn it_stops_when_what_was_begun_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let program = start_all(&folder, &[]);
    let mut idle = connect(address(&program, "http"));
    let mut mail = connect(address(&program, "mail"));
    let mut chat = connect(address(&program, "chat"));
    hears(&mut mail, "220 ");
    mail.write_all(
        b"HELO x\r\nMAIL FROM:<a@example.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\nhalf\r\n",
    )
    .unwrap();
    hears(&mut mail, "354 ");
    chat.write_all(b"Ada\r\n").unwrap();
    hears(&mut chat, "Ada");
    program.signal(Signal::SIGTERM);
    program.says(|line| line.starts_with("stopping; visitors here: ")).unwrap();
    // The message that was begun is finished, and kept.
    mail.write_all(b"the rest\r\n.\r\n").unwrap();
    hears(&mut mail, "250 ");
    drop(mail);
    assert_eq!(idle.read(&mut [0; 16]).unwrap_or(0), 0, "who has asked nothing is sent home");
    drop(chat);
    let status = program.ended().expect("it ends");
    assert!(status.success(), "{status}");
    let kept = fs::read_to_string(folder.path().join("mbox")).unwrap();
    assert!(kept.contains("half\nthe rest\n"), "{kept}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let program = start_all(&folder, &[]);
    let mut mail = connect(address(&program, "mail"));
    hears(&mut mail, "220 ");
    mail.write_all(b"HELO x\r\nMAIL FROM:<a@example.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n")
        .unwrap();
    hears(&mut mail, "354 ");
    program.signal(Signal::SIGINT);
    program.says(|line| line.starts_with("stopping")).unwrap();
    program.signal(Signal::SIGINT);
    assert!(program.ended().expect("it ends").success());
}

/// Clients that are reset in the middle of whatever they do end their own visits.
#[test]
fn a_reset_in_any_protocol_ends_that_one() {
    let folder = tempfile::tempdir().unwrap();
    let program = start_all(&folder, &[]);
    let half = [
        ("http", &b"GET / HTTP/1.1\r\nHo"[..]),
        ("dns", b"\x00\x40half a question"),
        ("mail", b"HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nhalf"),
        ("chat", b"Ada\r\nhalf a line"),
    ];
    for (service, begun) in half {
        let rude = Connection::connect(address(&program, service), "rude visitor");
        let mut rude = rude.expect("it listens");
        rude.send(begun).unwrap();
        rude.reset();
    }
    let mut chat = connect(address(&program, "chat"));
    chat.write_all(b"Bob\r\n").unwrap();
    hears(&mut chat, "Bob");
    let mut http = connect(address(&program, "http"));
    http.write_all(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    hears(&mut http, "Hello, World!");
    assert!(program.exit_status().is_none(), "it goes on");
}

/// All services, with an upstream, and no more descriptors than that.
fn on_200_descriptors(folder: &TempDir, upstream: SocketAddr) -> Program {
    let script = format!(
        "ulimit -n 200 && exec {PROGRAM} --http 127.0.0.1:0 --dns 127.0.0.1:0 --upstream {upstream} \
         --mail 127.0.0.1:0 --mbox {} --chat 127.0.0.1:0",
        folder.path().join("mbox").display()
    );
    Start::new("/bin/sh").arg("-c").arg(script).start().unwrap()
}

/// So many visitors, each of whom begins to say something: at HTTP nobody is let in before that.
fn crowd_at(address: SocketAddr, count: usize, begun: &[u8]) -> Vec<TcpStream> {
    let visitor = |_| {
        let mut stream = connect(address);
        stream.write_all(begun).unwrap();
        stream
    };
    (0..count).map(visitor).collect()
}

/// A crowd at HTTP takes none of the descriptors that the others need.
#[test]
fn a_crowd_of_one_protocol_leaves_room_for_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = UdpSocket::bind("127.0.0.1:0").unwrap();
    let program = on_200_descriptors(&folder, upstream.local_addr().unwrap());
    let http = address(&program, "http");
    let _crowd = crowd_at(http, 100, b"GET /");
    hears(&mut connect(address(&program, "mail")), "220 ");
    let mut chat = connect(address(&program, "chat"));
    chat.write_all(b"Ada\r\n").unwrap();
    hears(&mut chat, "Ada");
    // DNS takes a new one for each question that it asks.
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03far\x04away\0\0\x01\0\x01";
    client.send_to(question, address(&program, "dns")).unwrap();
    upstream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (length, _) = upstream.recv_from(&mut [0; 512]).expect("the upstream is asked");
    assert!(length > 12);
}

/// HTTP has half of them.
#[test]
fn a_crowd_at_http_gets_its_share() {
    let folder = tempfile::tempdir().unwrap();
    let program = on_200_descriptors(&folder, "127.0.0.1:9".parse().unwrap());
    let mut crowd = crowd_at(address(&program, "http"), 70, b"GET /");
    for (number, answer) in [(67, "200 OK"), (68, "503 "), (69, "503 ")] {
        // Whoever is turned away is told before it has asked.
        let _ = crowd[number].write_all(b"hello HTTP/1.1\r\nHost: x\r\n\r\n");
        hears(&mut crowd[number], &format!("HTTP/1.1 {answer}"));
    }
}

/// Crowds at all of them together leave the descriptors that DNS needs to ask others: each has its share.
#[test]
fn crowds_of_all_protocols_leave_room_for_questions() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = UdpSocket::bind("127.0.0.1:0").unwrap();
    let program = on_200_descriptors(&folder, upstream.local_addr().unwrap());
    let crowd = |service, count, said| crowd_at(address(&program, service), count, said);
    let mut crowds = [
        crowd("mail", 100, b""),
        crowd("chat", 100, b""),
        crowd("dns", 100, b""),
        crowd("http", 68, b"GET /"),
    ];
    // Those who were first at each have been let in.
    hears(&mut crowds[0][0], "220 ");
    hears(&mut crowds[1][0], "name? ");
    let first = &mut crowds[3][0];
    first.write_all(b"hello HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    hears(first, "Hello, World!");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    upstream.set_read_timeout(Some(PATIENCE)).unwrap();
    for name in b'a'..=b'j' {
        let mut question =
            b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03far\x04away\0\0\x01\0\x01".to_vec();
        question[13] = name;
        client.send_to(&question, address(&program, "dns")).unwrap();
        let mut asked = [0; 512];
        let (length, from) = upstream.recv_from(&mut asked).expect("the upstream is asked");
        asked[2..4].copy_from_slice(&[0x81, 0x83]);
        upstream.send_to(&asked[..length], from).unwrap();
        client.recv(&mut [0; 512]).expect("it's answered");
    }
    let complaint = program.stderr().into_iter().find(|line| line.contains("Too many open files"));
    assert_eq!(complaint, None);
}

/// One line waits, through all protocols: with an upstream that takes its time, a message that the disk takes its time
/// for, a member of the chat who reads nothing, and somebody who is silent in each. (The thread that has the disk may
/// wait, and does.)
#[test]
fn one_line_waits_through_all_protocols() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = UdpSocket::bind("127.0.0.1:0").unwrap();
    let program = start_all(
        &folder,
        &["--upstream", &upstream.local_addr().unwrap().to_string(), "--console"],
    );
    let [http, dns, mail, chat] =
        ["http", "dns", "mail", "chat"].map(|name| address(&program, name));
    let lens = match Lens::on(&program) {
        Ok(lens) => lens,
        Err(blind) => return visitors::skipped(blind),
    };
    let _silent = [http, dns, mail, chat].map(connect);
    let mut quick = connect(http);
    quick.write_all(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    hears(&mut quick, "Hello, World!");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let far = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03far\x04away\0\0\x01\0\x01";
    client.send_to(far, dns).unwrap();
    let mut sender = connect(mail);
    hears(&mut sender, "220 ");
    sender
        .write_all(
            b"HELO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nhello\r\n.\r\n",
        )
        .unwrap();
    hears(&mut sender, "Kept");
    let [mut ada, deaf] = [connect(chat), connect(chat)];
    (&deaf).write_all(b"Deaf\r\n").unwrap();
    ada.write_all(b"Ada\r\n").unwrap();
    hears(&mut ada, "Ada");
    for _ in 0..50 {
        ada.write_all(&[b"all work and no play ".repeat(20), b"\r\n".to_vec()].concat()).unwrap();
    }
    // The upstream answers in the end: no such name.
    let mut asked = [0; 512];
    upstream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (length, from) = upstream.recv_from(&mut asked).expect("it's asked");
    asked[2..4].copy_from_slice(&[0x81, 0x83]);
    upstream.send_to(&asked[..length], from).unwrap();
    let mut answer = [0; 512];
    client.recv(&mut answer).expect("it's answered");
    assert_eq!((&answer[..2], answer[3] & 15), (&far[..2], 3));
    assert_eq!(lens.first_thread_waits_only_in(&[WAITS_IN]), Ok(()));
}

/// A panic in a session is the end of one connection: nobody else hears of it, of its protocol or of another.
#[test]
fn a_panic_in_a_session_ends_one_connection() {
    let start = Start::new(env!("CARGO_BIN_EXE_brittle12"));
    let program = start.arg("--http").arg("127.0.0.1:0").start().expect("it can be started");
    let [at_http, at_lines] = ["http", "brittle"].map(|service| address(&program, service));
    let [mut one, mut other, mut web] = [connect(at_lines), connect(at_lines), connect(at_http)];
    other.write_all(b"hello\r\n").unwrap();
    hears(&mut other, "fine");
    one.write_all(b"break\r\n").unwrap();
    assert_eq!(one.read(&mut [0; 16]).unwrap_or(0), 0, "it's hung up on");
    other.write_all(b"hello\r\n").unwrap();
    hears(&mut other, "fine");
    web.write_all(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    hears(&mut web, "Hello, World!");
    drop((other, web));
    program.signal(Signal::SIGTERM);
    assert!(program.ended().expect("it ends").success());
}

/// Mail that can't be kept, because another program has the mailbox, isn't a riddle.
#[test]
fn a_mailbox_that_is_locked_is_said_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mbox.lock"), "1\n").unwrap();
    let program = start_all(&folder, &[]);
    program.says(|line| line.starts_with("mail: another program has locked ")).unwrap();
}
