//! Where `cargo visit` goes: names, URLs, ports; and what it makes of what it finds there.

mod servers;

use std::io::{self, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rstest::rstest;
use servers::{PATIENCE, concurrent, good, nobody, read_request};
use visitors::cast::Who;
use visitors::visit::{Ending, visit};

const VISIT: &str = env!("CARGO_BIN_EXE_visit");

fn cargo_visit(arguments: &[&str]) -> (Option<i32>, String, String) {
    said(&Command::new(VISIT).args(arguments).output().expect("it starts"))
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A good server on `::1` alone; its port isn't taken in the fourth version of addresses. What it is asked comes
/// out of the channel. `None` on a machine without the sixth version.
fn in_the_sixth_version_alone() -> Option<(u16, Receiver<String>)> {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).ok()?;
    let port = listener.local_addr().expect("it is bound").port();
    let (asked, questions) = channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let asked = asked.clone();
            thread::spawn(move || {
                stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
                let (request, _) = read_request(&mut stream);
                if request.ends_with(b"\r\n\r\n") {
                    let _ = asked.send(String::from_utf8_lossy(&request).into_owned());
                    let _ = stream.write_all(servers::ANSWER);
                }
            });
        }
    });
    Some((port, questions))
}

#[rstest]
#[case::name("localhost:PORT", "GET / HTTP/1.1\r\nHost: localhost:PORT\r\n")]
#[case::port("PORT", "GET / HTTP/1.1\r\nHost: localhost:PORT\r\n")]
#[case::url(
    "http://localhost:PORT/path?a=b#c",
    "GET /path?a=b HTTP/1.1\r\nHost: localhost:PORT\r\n"
)]
#[case::literal("http://[::1]:PORT", "GET / HTTP/1.1\r\nHost: [::1]:PORT\r\n")]
fn each_address_of_a_name_is_tried(#[case] place: &str, #[case] asks: &str) {
    let Some((port, questions)) = in_the_sixth_version_alone() else {
        println!("skipped: this machine has no ::1");
        return;
    };
    let here = |text: &str| text.replace("PORT", &port.to_string());
    let (status, stdout, stderr) =
        cargo_visit(&[&here(place), "quick", "crowd=5", "--seconds", "2"]);
    assert_eq!(status, Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("quick    answered 200"), "{stdout}");
    assert!(stdout.contains("crowd=5  5 of 5 connected: 5 stayed"), "{stdout}");
    let question = questions.recv_timeout(PATIENCE).expect("somebody asks");
    assert!(question.starts_with(&here(asks)), "{question}");
}

#[test]
fn a_crowd_alone_tries_each_address_too() {
    let Some((port, _questions)) = in_the_sixth_version_alone() else {
        println!("skipped: this machine has no ::1");
        return;
    };
    let (status, stdout, _) = cargo_visit(&[&port.to_string(), "crowd=200", "--seconds", "2"]);
    assert_eq!(status, Some(0));
    assert!(stdout.contains("200 of 200 connected: 200 stayed"), "{stdout}");
}

#[test]
fn where_nobody_listens_each_address_that_was_tried_is_named() {
    let (address, _port) = nobody();
    let port = address.port();
    let (status, stdout, stderr) = cargo_visit(&[&format!("localhost:{port}"), "quick"]);
    assert_eq!(status, Some(1));
    assert!(stdout.contains("quick  refused after"), "{stdout}");
    let asked = format!("does anything listen on 127.0.0.1:{port} or [::1]:{port}?");
    assert!(stderr.contains(&asked), "{stderr}");
}

/// The chapters' own ports may be in use on this machine: then there is nothing to see.
#[rstest]
#[case(
    "7003",
    "127.0.0.1:7003",
    "Chapter 3's server does, when it's started with `cargo run -p ch03-threads`"
)]
#[case("127.0.0.1:7007", "127.0.0.1:7007", "`cargo run -p ch07-callbacks --bin ch07-server`")]
#[case("7001", "127.0.0.1:7001", "There `cargo host` listens")]
#[case("7010", "127.0.0.1:7010", "Start the server first")]
fn where_a_chapters_server_was_not_started_it_says_how(
    #[case] place: &str,
    #[case] address: &str,
    #[case] advice: &str,
) {
    if TcpStream::connect(address).is_ok() {
        println!("skipped: somebody listens on {address}");
        return;
    }
    let (status, _, stderr) = cargo_visit(&[place, "quick"]);
    assert_eq!(status, Some(1));
    assert!(stderr.contains(&format!("does anything listen on {address}")), "{stderr}");
    assert!(stderr.contains(advice), "{stderr}");
    assert!(!stderr.contains("ch02"), "{stderr}");
}

#[rstest]
#[case("https://localhost:8080", "TLS")]
#[case("04-selct", "did you mean 04-select?")]
#[case("selct", "did you mean 04-select?")]
fn what_cannot_be_visited(#[case] place: &str, #[case] words: &str) {
    let (status, stdout, stderr) = cargo_visit(&[place]);
    assert_eq!((status, &*stdout), (Some(2), ""));
    assert!(stderr.contains(words), "{stderr}");
}

#[rstest]
#[case::continue_(b"HTTP/1.1 100 Continue\r\n\r\n")]
#[case::hints(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")]
#[case::two(
    b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\n"
)]
fn an_interim_answer_is_not_the_answer(#[case] interim: &'static [u8]) {
    // In pieces, so that it's a moment alone.
    let address = concurrent(move |mut stream| {
        read_request(&mut stream);
        for piece in [interim, &servers::ANSWER[..20], &servers::ANSWER[20..]] {
            if stream.write_all(piece).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        // It is the length that ends the answer.
        drop(io::Read::read(&mut stream, &mut [0]));
    });
    let visit = visit(Who::Quick, address, PATIENCE).expect("a thread").end();
    assert_eq!(visit.ending, Ending::Answered { status: 200 });
    assert_eq!(visit.body(), b"from tests\n");

    let address = concurrent(move |mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(interim);
    });
    let cut = visitors::visit::visit(Who::Quick, address, PATIENCE).expect("a thread").end();
    assert_eq!(cut.ending, Ending::CutShort, "the final one never came");
}

/// A server whose system calls nobody connected before the first byte: as a full one does, at chance, to those who
/// knock at the moment when its queue has become full.
#[test]
#[cfg(target_os = "linux")]
fn who_is_connected_by_its_own_system_alone_stands_outside() {
    const SERVER: &str = "import socket, time\n\
        s = socket.socket()\n\
        s.bind(('127.0.0.1', 0))\n\
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 60)\n\
        s.listen(100)\n\
        print('listening on 127.0.0.1:%d' % s.getsockname()[1], flush=True)\n\
        time.sleep(60)\n";
    let Ok(server) = visitors::program::Start::new("python3").arg("-c").arg(SERVER).start() else {
        println!("skipped: there is no python3");
        return;
    };
    let address = server.listening().expect("it listens");
    let speaks = TcpStream::connect(address).and_then(|mut stream| {
        stream.write_all(b"x")?;
        Ok(stream)
    });
    let crowd = visit(Who::Crowd(7), address, Duration::from_secs(1)).expect("a thread").end();
    let fared = crowd.crowd.expect("it was one");
    assert_eq!((fared.connected, fared.stayed, fared.left_outside), (0, 0, 7));
    drop(speaks);

    let address = concurrent(good);
    let crowd = visit(Who::Crowd(7), address, Duration::from_secs(1)).expect("a thread").end();
    let fared = crowd.crowd.expect("it was one");
    assert_eq!((fared.connected, fared.stayed, fared.left_outside), (7, 7, 0));
}

#[test]
fn what_cannot_be_printed_ends_no_play() {
    let address = concurrent(good).to_string();
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let output = Command::new(VISIT).args([&*address, "quick"]).stdout(writer).output();
    let (status, _, stderr) = said(&output.expect("it starts"));
    assert_eq!((status, &*stderr), (Some(0), ""));

    if let Ok(full) = std::fs::File::options().write(true).open("/dev/full") {
        let output = Command::new(VISIT).args([&*address, "quick"]).stdout(full).output();
        let (status, _, stderr) = said(&output.expect("it starts"));
        assert_eq!(status, Some(1));
        assert!(stderr.starts_with("cargo visit: not all could be printed: "), "{stderr}");
    }
}
