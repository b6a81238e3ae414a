//! What chapter 1's program must do, besides its exercises.

use std::net::SocketAddr;

use assert_cmd::Command;
use lens::Lens;
use rstest::rstest;
use visitors::hosts::Host;
use visitors::program::{Program, Start};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ch01-blocking-read");

/// Runs the program with `host` as its first argument against a server that sends `pieces` and hangs up.
fn fetch(
    address: SocketAddr,
    named: impl Fn(SocketAddr) -> String,
    pieces: &[&[u8]],
) -> (Program, Vec<u8>) {
    let host = Host::bind_to(address).expect("a port of this machine is free");
    let program = Start::new(PROGRAM)
        .arg(named(host.address()))
        .arg("/page")
        .start()
        .expect("it can be started");
    let mut server = host.accept(&program, "server").expect("the program connects");
    let whole = |bytes: &[u8]| bytes.ends_with(b"\r\n\r\n");
    let request = server
        .receive_while_missing(&program, whole)
        .expect("no trouble")
        .expect("a whole request");
    for piece in pieces {
        server.send_in_pieces(piece, 1, &program).expect("the program reads");
    }
    server.finish_sending();
    let status = program.ended().expect("it ends when the server hangs up");
    assert!(status.success(), "{:?}", program.stderr());
    (program, request)
}

#[test]
fn reads_until_the_server_hangs_up_and_says_what_it_waited_for() {
    let pieces: [&[u8]; 3] = [b"HTTP/1.0 200 OK\r\n\r", b"\nhel", b"lo"];
    let (program, request) = fetch(([127, 0, 0, 1], 0).into(), |a| a.to_string(), &pieces);
    assert_eq!(program.stdout(), pieces.concat());
    let request = String::from_utf8(request).unwrap();
    assert!(request.starts_with("GET /page HTTP/1.0\r\nHost: 127.0.0.1:"), "{request}");

    let said = program.stderr();
    let returned = |call: &str| -> Vec<String> {
        let lines = said.iter().filter(|line| line.starts_with(call));
        let count = |line: &String| {
            line.split_whitespace().skip_while(|word| *word != "returned").nth(1).map(str::to_owned)
        };
        lines.filter_map(count).collect()
    };
    assert_eq!(returned("connect "), ["0"], "{said:#?}");
    assert_eq!(returned("write "), [request.len().to_string()], "{said:#?}");
    assert_eq!(returned("read "), ["18", "4", "2", "0"], "{said:#?}");
    assert!(said.iter().all(|line| line.ends_with(" ms")), "{said:#?}");
}

#[test]
fn speaks_ipv6() {
    let (program, _) = fetch("[::1]:0".parse().unwrap(), |a| a.to_string(), &[b"six"]);
    assert_eq!(program.stdout(), b"six");
}

#[test]
fn a_name_is_looked_up_and_each_of_its_addresses_tried() {
    // localhost may be ::1 first, where nobody listens: the next address must be tried then.
    let named = |address: SocketAddr| format!("localhost:{}", address.port());
    let (program, _) = fetch(([127, 0, 0, 1], 0).into(), named, &[b"by name"]);
    assert_eq!(program.stdout(), b"by name");
}

#[test]
fn a_server_that_resets_is_an_error_with_one_clear_line() {
    let host = Host::bind().expect("a port of this machine is free");
    let program =
        Start::new(PROGRAM).arg(host.address().to_string()).start().expect("it can be started");
    let server = host.accept(&program, "server").expect("the program connects");
    server.wait_until_read(std::time::Duration::ZERO);
    server.reset();
    assert_eq!(program.ended().expect("it ends").code(), Some(1));
    let last = program.stderr().pop().unwrap_or_default();
    assert!(last.starts_with("ch01-blocking-read: 127.0.0.1:"), "{last}");
}

#[test]
fn nobody_there_is_one_clear_line() {
    let address = {
        let host = Host::bind().expect("a port of this machine is free");
        host.address().to_string()
    };
    let output = Command::new(PROGRAM).arg(&address).assert().code(1);
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(said.contains(&format!("ch01-blocking-read: {address}: ")), "{said}");
    assert!(said.to_lowercase().contains("refused"), "{said}");
}

#[rstest]
#[case::an_option(&["--nonsense"])]
#[case::a_path_without_a_slash(&["localhost", "page"])]
#[case::too_many(&["localhost", "/", "more"])]
fn bad_arguments_get_one_line_and_status_2(#[case] arguments: &[&str]) {
    let output = Command::new(PROGRAM).args(arguments).assert().code(2);
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("--help"), "{said}");
}

#[test]
fn help_says_what_it_does() {
    let output = Command::new(PROGRAM).arg("--help").assert().success();
    let said = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
    assert!(said.starts_with("ch01-blocking-read [HOST[:PORT]] [PATH]\n"), "{said}");
}

#[test]
fn it_waits_where_its_comments_say_so() {
    // The contrary of what holds from chapter 4 on: this program waits in `read`, and nowhere in a call
    // that could wait for anybody else.
    let host = Host::bind().expect("a port of this machine is free");
    let program =
        Start::new(PROGRAM).arg(host.address().to_string()).start().expect("it can be started");
    let mut server = host.accept(&program, "slow host").expect("the program connects");
    let lens = match Lens::on(&program) {
        Ok(lens) => lens,
        Err(blind) => return visitors::skipped(blind),
    };
    for piece in [b"HTTP/1.0 ".as_slice(), b"200 OK\r\n", b"\r\n"] {
        program.settled().expect("it waits for more");
        server.send_in_pieces(piece, 1, &program).expect("the program reads");
    }
    server.finish_sending();
    assert!(program.ended().expect("it ends").success());
    assert_eq!(lens.waits_only_in(&["read"]), Ok(()));
    let elsewhere = lens.waits_only_in(&["select"]).expect_err("it knows nothing of select");
    assert!(elsewhere.contains("times in read on the slow host"), "{elsewhere}");
}
