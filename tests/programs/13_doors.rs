//! Doors that somebody else has opened, and those that are closed while people stand at them.
#![cfg(target_os = "linux")]

mod upgrading;

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use ch11_http_server::server;
use ch12_kernel::line_server::handover::HandedOver;
use ch12_kernel::options::listen_twice;
use ch12_kernel::{datagrams, dns, mail};
use ch13_upgrade::channel::Channel;
use ch13_upgrade::message::Message;
use ch13_upgrade::peer::Peer;
use ch13_upgrade::state::{Outgoing, in_memory};
use rstest::rstest;
use tempfile::TempDir;
use upgrading::{
    Bounded, Client, Family, PATIENCE, address, answer_by_tcp, framed, message, question, script,
    text,
};
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

/// An address that nobody has, neither for TCP nor for UDP: where no other test is, nor anybody's visitors.
fn free() -> SocketAddr {
    let (tcp, _udp) = listen_twice("127.0.0.3:0".parse().unwrap()).unwrap();
    tcp.local_addr().unwrap()
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

/// How a program goes on that has had a door.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// It has the service, somewhere else.
    Moved,
    /// It doesn't have it any more.
    Gone,
}

/// A service's door, at which nobody has been let in.
struct Shut {
    tcp: TcpListener,
    /// A name server's other one.
    udp: UdpSocket,
}

impl Shut {
    /// What a program that has nobody says of it.
    fn state(&self, service: &str) -> (Vec<u8>, Vec<BorrowedFd<'_>>) {
        let (tcp, udp) = (self.tcp.as_fd(), self.udp.as_fd());
        let listener = Some(tcp);
        let mut state = Outgoing::default();
        match service {
            "http" => {
                let server = server::HandedOver { listener, visitors: Vec::new(), staying: 0 };
                let mut state = Outgoing::default();
                ch13_upgrade::http::write(&mut state, &server);
                return (state.finish().0, vec![tcp]);
            }
            "dns" => {
                let udp = (udp, datagrams::Parts::default());
                let (clients, questions) = (Vec::new(), Vec::new());
                let server = dns::handover::HandedOver { udp, listener: tcp, clients, questions };
                ch13_upgrade::dns::write(&mut state, &server);
            }
            "mail" => {
                let lines = HandedOver { listener, last: 0, visitors: Vec::new() };
                let server = mail::server::handover::HandedOver { lines, left_behind: Vec::new() };
                ch13_upgrade::mail::write(&mut state, &server);
            }
            _ => {
                let server = HandedOver { listener, last: 0, visitors: Vec::new() };
                ch13_upgrade::chat::write(&mut state, &server);
            }
        }
        state.finish()
    }
}

/// The program, which takes over from us.
struct Heir {
    program: Bounded,
    peer: Peer,
}

impl Heir {
    /// It has been told all, and is ready.
    fn of(service: &str, door: &Shut, arguments: &[&str], folder: &Path) -> Self {
        let (ours, theirs) = Channel::pair().unwrap();
        let said = folder.join("said");
        let mut command = Command::new(KERNEL);
        command.arg("--take-over").args(arguments).stderr(File::create(&said).unwrap());
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null());
        let program = Bounded(command.spawn().unwrap());
        let mut peer = Peer::new(Rc::new(ours), PATIENCE).unwrap();
        assert!(matches!(peer.receive().unwrap(), Some((Message::Hello { .. }, _))));
        let stdin = File::open("/dev/null").unwrap();
        let mut state = Outgoing::default();
        state.descriptor(stdin.as_fd());
        let (bytes, descriptors) = door.state(service);
        state.section(service, &bytes, &descriptors);
        let (bytes, descriptors) = state.finish();
        let file = in_memory(&bytes).unwrap();
        peer.send(&Message::state(1, descriptors.len()), &[file.as_fd()]).unwrap();
        peer.send(&Message::Descriptors, &descriptors).unwrap();
        let heard = peer.receive().unwrap().map(|(message, _)| message);
        assert_eq!(heard, Some(Message::Ready), "{}", fs::read_to_string(&said).unwrap());
        Self { program, peer }
    }

    fn go(&mut self) {
        self.peer.send(&Message::Go, &[]).unwrap();
        let heard = self.peer.receive().unwrap().map(|(message, _)| message);
        assert_eq!(heard, Some(Message::Serving));
    }
}

/// More than are let in during one turn of the loop.
const AT_THE_DOOR: usize = 100;

/// Whoever has knocked has been told by the kernel that they're in: they are served before the door is closed.
#[rstest]
fn who_is_at_a_door_that_is_closed_is_served(
    #[values("http", "dns", "mail", "chat")] service: &str,
    #[values(Then::Moved, Then::Gone)] then: Then,
) {
    let (tcp, udp) = listen_twice("127.0.0.1:0".parse().unwrap()).unwrap();
    let at = tcp.local_addr().unwrap();
    let door = Shut { tcp, udp };
    let mut clients: Vec<Client> = (0..AT_THE_DOOR).map(|_| Client::connect(at)).collect();
    let by_udp = any_udp();
    by_udp.set_read_timeout(Some(PATIENCE)).unwrap();
    for (number, client) in clients.iter_mut().enumerate() {
        let number = u16::try_from(number).unwrap();
        match service {
            "http" => client.send("GET /hello HTTP/1.1\r\nHost: here\r\n\r\n"),
            "dns" => client.send(framed(&question(number, NAME))),
            _ => {}
        }
    }
    if service == "dns" {
        by_udp.send_to(&question(500, NAME), at).unwrap();
    }
    let folder = TempDir::new().unwrap();
    let mbox = folder.path().join("mbox");
    let option = format!("--{service}");
    let other = if service == "chat" { "--http" } else { "--chat" };
    let mut arguments = vec![other, "127.0.0.1:0"];
    if then == Then::Moved {
        // Any port of another address.
        arguments.extend([option.as_str(), "127.0.0.2:0"]);
        if service == "mail" {
            arguments.extend(["--mbox", mbox.to_str().unwrap()]);
        }
    }
    let mut heir = Heir::of(service, &door, &arguments, folder.path());
    // None of them is served before it's ours.
    clients[0].has_heard_nothing();
    heir.go();
    drop(door);
    until("the door is closed", || TcpStream::connect(at).err());
    if service == "dns" {
        let mut answer = [0; 600];
        by_udp.recv(&mut answer).unwrap();
        assert_eq!(answer[..2], 500_u16.to_be_bytes());
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let number = u16::try_from(number).unwrap();
        match (service, then) {
            ("http", _) => assert_eq!(client.answer().generation(), 2),
            ("dns", _) => assert_eq!(message(client)[..2], number.to_be_bytes()),
            ("mail", Then::Moved) => {
                client.until(b", generation 2\r\n");
                client.send("NOOP\r\n");
                client.until(b"250 2.0.0 OK\r\n");
            }
            ("mail", Then::Gone) => {
                client.until(b", generation 2\r\n");
                client.until(b"421 4.3.2 The server is being stopped\r\n");
            }
            (_, Then::Moved) => {
                client.until(b"What is your name?");
                client.send(format!("Member{number}\r\n"));
                client.until(format!("Member{number}").as_bytes());
            }
            (_, Then::Gone) => {
                client.until(b"What is your name?");
                client.until(b"The room is closed. Goodbye.\r\n");
            }
        }
        if then == Then::Gone {
            client.is_at_its_end();
        }
    }
    assert!(heir.program.0.try_wait().unwrap().is_none(), "the rest goes on");
}
