//! What chapter 10's program must do.

use assert_cmd::Command;
use rstest::rstest;

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ch10-http"));
    command.args(arguments);
    command
}

#[rstest]
#[case::in_pieces(
    &["7"],
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "not yet    7 bytes so far
not yet    14 bytes so far
not yet    21 bytes so far
head       27 bytes: GET / HTTP/1.1, no body, stays
end        0 bytes
",
    0
)]
#[case::as_they_come(
    &[],
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.0\r\n\r\n",
    "head       51 bytes: POST /echo HTTP/1.1, 5 of body, stays
body       5 bytes: 5 of body, \"hello\"
end        0 bytes
head       19 bytes: GET /b HTTP/1.0, no body, closes
end        0 bytes
",
    0
)]
#[case::chunks(
    &["60"],
    "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n3;a\r\n\r\n\x1b\r\n0\r\nA: b\r\n\r\n",
    "not yet    60 bytes so far
head       77 bytes: PUT / HTTP/1.1, chunks, waits, stays
body       8 bytes: 3 of body, \"\\r\\n\\x1b\"
end        13 bytes
",
    0
)]
#[case::nothing(&[], "", "", 0)]
#[case::cut_off_in_a_head(&[], "G", "not yet    1 byte so far\ncut off    1 byte left\n", 1)]
#[case::cut_off_in_a_body(
    &[],
    "PUT / HTTP/1.0\r\nContent-Length: 2\r\n\r\na",
    "head       37 bytes: PUT / HTTP/1.0, 2 of body, closes
body       1 byte: 1 of body, \"a\"
not yet    0 bytes so far
cut off    0 bytes left
",
    1
)]
#[case::refused(
    &[],
    "GET / HTTP/1.1\r\n\r\nGET",
    "refused    400: no Host field; closes\n",
    1
)]
#[case::an_expectation(
    &[],
    "GET / HTTP/1.0\r\nExpect: tea\r\n\r\nGET / HTTP/1.0\r\n\r\n",
    "refused    417: it expects what we can't promise; goes on
end        31 bytes
head       18 bytes: GET / HTTP/1.0, no body, closes
end        0 bytes
",
    1
)]
fn says(#[case] arguments: &[&str], #[case] input: &str, #[case] output: &str, #[case] code: i32) {
    let run = program(arguments).write_stdin(input).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&run.stdout), output);
    assert_eq!(
        (String::from_utf8_lossy(&run.stderr).as_ref(), run.status.code()),
        ("", Some(code))
    );
}

#[test]
fn no_line_is_wide_and_no_byte_is_an_order_to_the_terminal() {
    let long = "\u{1b}[2J".repeat(100);
    let head = format!("PROPPATCH /{} HTTP/1.1\r\nHost: a\r\n", "a".repeat(3000));
    let ends = [
        format!("Content-Length: {}\r\n\r\n{long}", long.len()),
        "Content-Length: 1000000\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n".into(),
        format!("A: {long}\r\n\r\n"),
        format!("{}:\r\n\r\n", "A".repeat(20_000)),
    ];
    for end in ends {
        let run = program(&["100"]).write_stdin(format!("{head}{end}")).output().unwrap();
        let output = String::from_utf8(run.stdout).unwrap();
        assert!(output.lines().all(|line| line.len() <= 88), "{output}");
        assert!(!output.contains('\u{1b}'), "{output:?}");
    }
}

#[rstest]
fn bad_arguments_are_one_line_and_2(
    #[values(&["0"], &["x"], &["-7"], &["1", "2"], &[""])] arguments: &[&str],
) {
    let run = program(arguments).write_stdin("").output().unwrap();
    let said = String::from_utf8(run.stderr).unwrap();
    assert_eq!((run.status.code(), said.lines().count(), run.stdout.len()), (Some(2), 1, 0));
    assert!(said.starts_with("ch10-http: ") && said.ends_with("see --help\n"), "{said}");
}

#[test]
fn help_is_given() {
    let run = program(&["--help"]).output().unwrap();
    let said = String::from_utf8(run.stdout).unwrap();
    assert!(run.status.success() && said.starts_with("ch10-http [PIECE]\n"), "{said}");
    assert!(said.lines().all(|line| line.len() <= 88));
}

#[test]
#[cfg(target_os = "linux")]
fn a_closed_stdout_is_no_panic() {
    use std::process::{Command, Stdio};

    let mut child = Command::new(env!("CARGO_BIN_EXE_ch10-http"))
        .args(["1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    use std::io::Write;
    // It may be gone already.
    let _ = child.stdin.take().unwrap().write_all(&[b'A'; 1000]);
    let run = child.wait_with_output().unwrap();
    assert_eq!((run.status.code(), String::from_utf8_lossy(&run.stderr).as_ref()), (Some(1), ""));
}
