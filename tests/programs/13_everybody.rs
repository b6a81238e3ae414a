//! Chapter 12's program is replaced a hundred times, and everybody is there: nobody loses a byte, or gets one twice.
#![cfg(target_os = "linux")]

mod screen;
mod upgrading;

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::RData;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use nix::sys::signal::Signal::SIGTERM;
use screen::Display;
use screen::glass::Glass;
use tempfile::TempDir;
use upgrading::{Client, Family, PATIENCE, address, framed, message, question_to_whom, text};
use visitors::setup::until;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ch13-kernel");
const UPGRADES: usize = 100;
/// The color of the marks of HTTP's visitors.
const HTTP: u32 = 0x2f_6f_de;

/// The answer to it: 192.0.2.9 (RFC 1035, section 4.1).
fn answer(question: &[u8]) -> Vec<u8> {
    let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let mut bytes = question[..end].to_vec();
    bytes[2] |= 0x80;
    bytes[3] = 0x80;
    bytes[4..12].copy_from_slice(&[0, 1, 0, 1, 0, 0, 0, 0]);
    bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 9]);
    bytes
}

struct Everybody {
    family: Family,
    folder: TempDir,
    upstream: UdpSocket,
    dns: SocketAddr,
    mail: SocketAddr,
    chat: SocketAddr,
}

impl Everybody {
    /// With a window, if there is a place for it.
    fn start(display: Option<&Display>) -> Self {
        let folder = TempDir::new().unwrap();
        let large: Vec<u8> = (0..3_000_000u32).map(|at| (at / 7) as u8).collect();
        fs::write(folder.path().join("large.bin"), large).unwrap();
        fs::write(folder.path().join("small.txt"), "abcdef").unwrap();
        let upstream = UdpSocket::bind("127.0.0.1:0").unwrap();
        upstream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (root, mbox) = (folder.path(), folder.path().join("mbox"));
        let any = "127.0.0.1:0";
        let mut command = Command::new(PROGRAM);
        command.args(["--http", any, "--dns", any, "--mail", any, "--chat", any]);
        command.args(["--upstream", &upstream.local_addr().unwrap().to_string()]);
        command.arg("--root").arg(root).arg("--mbox").arg(mbox);
        if let Some(display) = display {
            command.arg("--window").env("DISPLAY", &display.name);
        }
        let family = Family::of(command);
        let [dns, mail, chat] = ["dns", "mail", "chat"].map(|service| address(&family, service));
        Self { family, folder, upstream, dns, mail, chat }
    }

    fn mbox(&self) -> String {
        fs::read_to_string(self.folder.path().join("mbox")).unwrap_or_default()
    }
}

/// Who says that it's the one who answers (RFC 5001).
#[track_caller]
fn server(answer: &Message) -> String {
    let edns = answer.edns.as_ref().expect("it speaks EDNS too");
    let Some(EdnsOption::NSID(server)) = edns.option(EdnsCode::NSID) else { panic!("{answer}") };
    text(server.as_ref())
}

/// Somebody in the chat.
fn member(at: SocketAddr, name: &str) -> Client {
    let mut member = Client::connect(at);
    member.until(b"name");
    member.send(format!("{name}\r\n"));
    member.until(name.as_bytes());
    member
}

/// It's the same window, in the hundredth process that has it: it shows who is here, and hears what is done in it.
#[track_caller]
fn goes_on(display: &Display, first: &str, here: &mut [Client], family: &Family) {
    let glass = Glass::of(display, HTTP);
    assert_eq!(glass.id, first);
    let rows = glass.shows_rows(here.len());
    glass.click(rows[0]);
    glass.shows_rows(here.len() - 1);
    let ended = |client: &Client| client.stream.peek(&mut [0]).is_ok_and(|count| count == 0);
    for client in &*here {
        client.stream.set_nonblocking(true).unwrap();
    }
    until("one of them is hung up on", || here.iter().any(ended).then_some(()));
    assert_eq!(here.iter().filter(|client| ended(client)).count(), 1);
    let said = family.said();
    assert!(!said.contains("window"), "{said}");
}

#[test]
fn a_hundred_generations_of_everything() {
    let display = Display::start();
    let mut all = Everybody::start(display.as_ref());
    let window = display.as_ref().map(|display| Glass::of(display, HTTP).id);
    let family = &mut all.family;
    let mut web = family.connect();
    let mut downloading = family.connect();
    downloading.send("GET /large.bin HTTP/1.1\r\nHost: here\r\n\r\n");
    downloading.head();
    let mut got = downloading.take(1000);
    let mut listening = family.connect();
    listening.send("GET /live HTTP/1.1\r\nHost: here\r\n\r\n");
    listening.until(b"event: numbers");
    let mut ada = member(all.chat, "Ada");
    let mut bob = member(all.chat, "Bob");
    ada.until(b"Bob");
    let mut writer = Client::connect(all.mail);
    writer.until(b"220 ");
    writer.until(b"\r\n");
    writer.send("HELO me\r\nMAIL FROM:<a@example.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n");
    writer.until(b"354");
    writer.until(b"\r\n");
    writer.send("Subject: long\r\n\r\n");
    let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
    asker.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut patient = Client::connect(all.dns);
    let mut before = (0, 0);
    for number in 0..UPGRADES {
        // Everybody is in the middle of something …
        let id = u16::try_from(number).unwrap();
        let name = format!("name{number}.example.com");
        asker.send_to(&question_to_whom(id, &name), all.dns).unwrap();
        let (mut asked, mut piece) = (Vec::new(), [0; 600]);
        let (length, from) = all.upstream.recv_from(&mut piece).unwrap();
        asked.extend_from_slice(&piece[..length]);
        // … half of a question, of a line, of a line of a mail, of a request …
        let by_tcp = framed(&question_to_whom(id, "www.example.test"));
        patient.send(&by_tcp[..9]);
        ada.send(format!("line {number} of "));
        writer.send(format!("line {number}\r\n..").as_bytes());
        web.send("GET /small.txt HTTP/1.1\r\nHo");
        got.extend(downloading.take(1000));

        family.upgrade();

        // … and the other half.
        all.upstream.send_to(&answer(&asked), from).unwrap();
        let generation = family.generation();
        let length = asker.recv(&mut piece).unwrap();
        let heard = Message::from_vec(&piece[..length]).unwrap();
        assert_eq!(heard.metadata.id, id, "it's the answer to that question");
        let RData::A(address) = &heard.answers[0].data else { panic!("{heard}") };
        assert_eq!(address.octets(), [192, 0, 2, 9], "upgrade {number}");
        assert_eq!(server(&heard), format!("generation {generation}"));
        patient.send(&by_tcp[9..]);
        let heard = Message::from_vec(&message(&mut patient)).unwrap();
        assert_eq!((heard.metadata.id, server(&heard)), (id, format!("generation {generation}")));
        ada.send("Ada's\r\n");
        let heard = text(&bob.until(b"Ada's\r\n"));
        let expected = format!("line {number} of Ada's");
        assert!(heard.contains(&expected), "{heard:?} isn't {expected:?}");
        writer.send("dots\r\n");
        web.send("st: here\r\n\r\n");
        let answer = web.answer();
        assert_eq!((text(&answer.body), answer.generation()), ("abcdef".to_owned(), generation));
        // Whoever comes is told, too.
        let greeting = text(&Client::connect(all.mail).until(b"\r\n"));
        assert!(greeting.ends_with(&format!(", generation {generation}\r\n")), "{greeting:?}");
        let welcome = text(&Client::connect(all.chat).until(b"What is your name?"));
        assert!(welcome.contains(&format!(" generation {generation}.")), "{welcome:?}");
        // One that was opened anew each time would have the first one's number every second time.
        if let (Some(display), Some(first), 0..3) = (&display, &window, number) {
            assert_eq!(Glass::of(display, HTTP).id, *first);
        }
        if number == 3 {
            before = (family.descriptors(), family.memory());
        }
    }
    listening.until(b"event: numbers");
    writer.send(".\r\n");
    assert!(text(&writer.until(b"\r\n")).starts_with("250 "));
    got.extend(downloading.take(3_000_000 - got.len()));
    assert!(got == fs::read(all.folder.path().join("large.bin")).unwrap());
    // The file of the download is closed by now.
    assert_eq!(family.descriptors() + 1, before.0, "descriptors");
    let memory = family.memory();
    assert!(memory < before.1 + 1024, "{} KiB have become {memory}", before.1);
    if let (Some(display), Some(first)) = (&display, window) {
        let mut web = [web, downloading, listening];
        goes_on(display, &first, &mut web, family);
    }
    // What was said has been said once, and who has left has left once.
    ada.send("goodbye\r\n");
    bob.until(b"goodbye\r\n");
    let said = family.said();
    let left = |line: &str| ["chat 1: gone", "chat 2: gone", "mail 1: gone"].contains(&line);
    assert!(!said.lines().any(left), "{said}");
    drop(ada);
    bob.until(b"Ada has left.\r\n");
    family.signal(SIGTERM);
    family.has_ended();
    let mbox = all.mbox();
    let lines = |wanted: &str| mbox.lines().filter(|line| *line == wanted).count();
    assert_eq!(mbox.matches("Subject: long").count(), 1, "{mbox}");
    for number in 0..UPGRADES {
        assert_eq!(lines(&format!("line {number}")), 1, "line {number} of {mbox}");
    }
    assert_eq!(lines(".dots"), UPGRADES, "{mbox}");
}

/// A message that the disk is slow to take is written once, whoever says so.
#[test]
fn mail_is_kept_once() {
    let mut all = Everybody::start(None);
    let mail = all.mail;
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            thread::spawn(move || {
                for number in 0..25 {
                    let mut client = Client::connect(mail);
                    client.until(b"\r\n");
                    client.send(format!(
                        "HELO me\r\nMAIL FROM:<a@example.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n\
                         Subject: {writer}-{number}.\r\n\r\nx\r\n.\r\nQUIT\r\n"
                    ));
                    client.until(b"354");
                    client.until(b"\r\n");
                    assert!(text(&client.until(b"\r\n")).starts_with("250 "));
                    client.until(b"221");
                }
            })
        })
        .collect();
    while !writers.iter().all(thread::JoinHandle::is_finished) {
        all.family.upgrade();
        thread::sleep(Duration::from_millis(20));
    }
    for writer in writers {
        writer.join().expect("nobody was hung up on");
    }
    all.family.signal(SIGTERM);
    all.family.has_ended();
    let mbox = all.mbox();
    for writer in 0..4 {
        for number in 0..25 {
            let subject = format!("Subject: {writer}-{number}.");
            assert_eq!(mbox.matches(&subject).count(), 1, "{subject}");
        }
    }
}
