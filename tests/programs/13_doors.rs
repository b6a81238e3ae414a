//! Doors that somebody else has opened, and those that are closed while people stand at them.
#![cfg(target_os = "linux")]

mod upgrading;

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rstest::rstest;
use tempfile::TempDir;
use upgrading::{Client, Family, PATIENCE, address, answer_by_tcp, question, script, text};
use visitors::setup::until;

const UPGRADE: &str = env!("CARGO_BIN_EXE_ch13-upgrade");
const KERNEL: &str = env!("CARGO_BIN_EXE_ch13-kernel");
const TOOL: &str = "/usr/bin/systemd-socket-activate";
const NAME: &str = "www.example.test";

fn any_tcp() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn any_udp() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

/// An address that nobody has, neither for TCP nor for UDP.
fn free() -> SocketAddr {
    until("a port that is free for both", || {
        let at = any_tcp().local_addr().unwrap();
        UdpSocket::bind(at).is_ok().then_some(at)
    })
}

/// Each says a word: whoever is there is served.
#[track_caller]
fn all_are_served(http: SocketAddr, dns: SocketAddr, mail: SocketAddr, chat: SocketAddr) {
    assert!(Client::connect(http).ask("/hello").head.starts_with("HTTP/1.1 200 "));
    assert_eq!(Client::connect(mail).take(4), b"220 ");
    Client::connect(chat).until(b"What is your name?");
    let asks = any_udp();
    asks.set_read_timeout(Some(PATIENCE)).unwrap();
    asks.send_to(&question(7, NAME), dns).unwrap();
    let mut answer = [0; 600];
    asks.recv(&mut answer).unwrap();
    assert_eq!(answer[..2], [0, 7]);
    let mut asks = Client::connect(dns);
    assert_eq!(answer_by_tcp(&mut asks, 8, NAME)[..2], [0, 8]);
}

/// What is given to it, it has; and nothing of that is told to those who take its place.
#[test]
fn systemd_opens_all_doors() {
    if !Path::new(TOOL).exists() {
        return visitors::skipped("systemd-socket-activate isn't installed");
    }
    let folder = TempDir::new().unwrap();
    let mbox = folder.path().join("mbox");
    let [http, dns, mail, chat] = [free(), free(), free(), free()];
    // It opens doors of one kind. The other one's is passed on.
    let mut command = Command::new(TOOL);
    command.args(["--datagram", "--listen", &dns.to_string(), TOOL]);
    for at in [http, dns, mail, chat] {
        command.args(["--listen", &at.to_string()]);
    }
    command.args(["--fdname=dns:http:dns", "--fdname=mail:chat", KERNEL, "--mbox"]).arg(mbox);
    // It's started when somebody comes, and that one is answered.
    let first = thread::spawn(move || {
        let asks = any_udp();
        asks.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut answer = [0; 600];
        until("an answer", || {
            asks.send_to(&question(9, NAME), dns).unwrap();
            asks.recv(&mut answer).ok()
        });
        answer[..2].to_vec()
    });
    let mut family = Family::of(command);
    assert_eq!(first.join().unwrap(), [0, 9]);
    let expected = ["http", "dns", "mail", "chat"].map(|name| address(&family, name));
    assert_eq!(expected, [http, dns, mail, chat]);
    assert_eq!(family.printed().lines().count(), 4, "{}", family.printed());
    let mut stays = family.connect();
    let mut before = 0;
    for round in 0..3 {
        all_are_served(http, dns, mail, chat);
        stays.ask("/hello");
        family.upgrade();
        if round == 0 {
            before = family.descriptors();
        }
        let environment = fs::read(format!("/proc/{}/environ", family.pid())).unwrap();
        assert!(!text(&environment).contains("LISTEN_"), "{}", text(&environment));
    }
    all_are_served(http, dns, mail, chat);
    assert_eq!(family.descriptors(), before);
    assert_eq!(family.printed().lines().count(), 4, "they are no new ones: {}", family.printed());
}

/// A program that was given one door. (It waits, as systemd's do.)
fn with_one(program: &str, arguments: &str, names: &str, door: TcpListener) -> Family {
    let mut command = Command::new("sh");
    let told = format!("LISTEN_PID=$$ LISTEN_FDS=1 {names}");
    command.args(["-c", &format!("{told} exec {program} {arguments} 3<&0 </dev/null")]);
    Family::of_with_stdin(command, OwnedFd::from(door).into())
}

/// Without a name, or with none but its unit's, it's HTTP's.
#[rstest]
fn one_door_is_for_http(
    #[values(UPGRADE, KERNEL)] program: &str,
    #[values(
        "",
        "LISTEN_FDNAMES=",
        "LISTEN_FDNAMES=unknown",
        "LISTEN_FDNAMES=my.socket",
        "LISTEN_FDNAMES=http"
    )]
    names: &str,
) {
    let door = any_tcp();
    let at = door.local_addr().unwrap();
    let mut family = with_one(program, "127.0.0.1:1", names, door);
    assert_eq!(family.address, at);
    assert_eq!(family.printed().lines().count(), 1, "nothing else is started");
    family.upgrade();
    assert!(family.connect().ask("/hello").head.starts_with("HTTP/1.1 200 "));
}

/// It isn't the service's to close, whatever another version is told, and the one after that.
#[test]
fn a_door_that_was_given_stays() {
    let folder = TempDir::new().unwrap();
    let with = folder.path().join("with");
    let mbox = format!("--mbox {}", folder.path().join("mbox").display());
    script(
        &with,
        &format!("exec {KERNEL} --take-over --with {0} --chat 127.0.0.1:0", with.display()),
    );
    let door = any_tcp();
    let at = door.local_addr().unwrap();
    let arguments = format!("--with {} {mbox}", with.display());
    let mut family = with_one(KERNEL, &arguments, "LISTEN_FDNAMES=mail", door);
    assert_eq!(address(&family, "mail"), at);
    for _ in 0..3 {
        let mut writer = Client::connect(at);
        writer.until(b"220 ");
        family.upgrade();
        writer.send("NOOP\r\n");
        writer.until(b"250 2.0.0 OK\r\n");
        Client::connect(address(&family, "chat")).until(b"What is your name?");
    }
    let mut late = Client::connect(at);
    late.until(b"220 ");
    assert_eq!(family.printed().lines().count(), 2, "{}", family.printed());
}

/// Runs it with what it can't be started with. Its last words.
#[track_caller]
fn refuses(program: &str, doors: Vec<OwnedFd>, names: &str) -> String {
    let folder = TempDir::new().unwrap();
    let said = folder.path().join("said");
    let count = doors.len();
    let mut doors = doors.into_iter().map(Stdio::from);
    let mut next = || doors.next().unwrap_or_else(Stdio::null);
    let mut command = Command::new("timeout");
    let moved = "3<&0 4<&1 5<&2 </dev/null >/dev/null";
    let told = format!("LISTEN_PID=$$ LISTEN_FDS={count} {names}");
    let run = format!("{told} exec {program} {moved} 2>{}", said.display());
    command.args(["20", "sh", "-c", &run]);
    let status = command.stdin(next()).stdout(next()).stderr(next()).status().unwrap();
    let said = fs::read_to_string(said).unwrap();
    assert_eq!(status.code(), Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    said.split_once(": ").unwrap().1.trim_end().to_owned()
}

fn tcp() -> OwnedFd {
    any_tcp().into()
}

fn udp() -> OwnedFd {
    any_udp().into()
}

/// Somebody who has come in by a door.
fn visitor() -> OwnedFd {
    TcpStream::connect(any_tcp().local_addr().unwrap()).unwrap().into()
}

fn unix() -> OwnedFd {
    let folder = TempDir::new().unwrap();
    UnixListener::bind(folder.path().join("door")).unwrap().into()
}

fn file() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

type Make = fn() -> OwnedFd;

#[rstest]
#[case::unknown(&[tcp as Make], "ftp", "LISTEN_FDNAMES: no door is called \"ftp\" here; http, dns, mail and chat are")]
#[case::a_wrong_kind(&[udp as Make], "mail", "mail was given a door for UDP, and needs one for TCP")]
#[case::a_wrong_kind_without_a_name(&[udp as Make], "", "http was given a door for UDP, and needs one for TCP")]
#[case::twice(&[tcp as Make, tcp], "chat:chat", "chat was given two doors of the same kind")]
#[case::twice_without_names(&[tcp as Make, tcp], "", "http was given two doors of the same kind")]
#[case::once_without_a_name(&[tcp as Make, tcp], "http", "http was given two doors of the same kind")]
#[case::dns_twice(&[tcp as Make, udp, udp], "dns:dns:dns", "dns was given two doors of the same kind")]
#[case::no_udp(&[tcp as Make], "dns", "dns needs a door for UDP, too")]
#[case::no_tcp(&[tcp as Make, udp], "mail:dns", "dns needs a door for TCP, too")]
#[case::a_visitor(&[visitor as Make], "http", "LISTEN_FDS: number 1 is no door for TCP or UDP")]
#[case::a_unix_socket(&[tcp as Make, unix], "http:mail", "LISTEN_FDS: number 2 is no door for TCP or UDP")]
#[case::a_file(&[file as Make], "http", "LISTEN_FDS: number 1 is no door for TCP or UDP")]
fn what_is_no_door_of_ours_is_refused(
    #[case] doors: &[Make],
    #[case] names: &str,
    #[case] why: &str,
) {
    let doors = doors.iter().map(|make| make()).collect();
    assert_eq!(refuses(KERNEL, doors, &format!("LISTEN_FDNAMES={names}")), why);
}

#[test]
fn http_has_no_other_doors() {
    let why = "LISTEN_FDNAMES: no door is called \"mail\" here; http is";
    assert_eq!(refuses(UPGRADE, vec![tcp(), tcp()], "LISTEN_FDNAMES=http:mail"), why);
    let why = "http was given a door for UDP, and needs one for TCP";
    assert_eq!(refuses(UPGRADE, vec![udp()], ""), why);
}
