//! Chapter 12's mail server against strangers: mail programs that somebody else wrote. Each test that needs one
//! says so on stderr where it isn't installed, and is skipped.

#[path = "mail/house.rs"]
mod house;
#[allow(dead_code)]
#[path = "strangers/tools.rs"]
mod tools;

use std::fs;
use std::path::Path;
use std::process::Command;

use rstest::rstest;

use crate::house::{Client, House};
use crate::tools::{Said, run, run_with, tool};

/// Runs a script of Python's, which finds the server in `HOST` and `PORT`, and the mbox in `MBOX`. False: there is no
/// Python here.
#[track_caller]
fn python(house: &House, script: &str) -> bool {
    let Some(python) = tool("python3") else { return false };
    let before = format!(
        "import smtplib, socket, mailbox, email, email.policy\nHOST, PORT, MBOX = '{}', {}, {:?}\n",
        house.address.ip(),
        house.address.port(),
        house.path()
    );
    let said = run_with(Command::new(python).args(["-I", "-"]), (before + script).as_bytes());
    assert_eq!(said.well().text(), "good\n");
    true
}

#[track_caller]
fn swaks(house: &House, options: &[&str]) -> Option<Said> {
    let swaks = tool("swaks")?;
    let port = house.address.port().to_string();
    let usual = ["--server", "127.0.0.1", "--port", &port, "--from", "a@b.example"];
    Some(run(&swaks, usual.iter().chain(options)))
}

#[rstest]
#[case::one_after_the_other(&[])]
#[case::in_one_segment(&["--pipeline"])]
#[case::without_extensions(&["--protocol", "SMTP"])]
fn swaks_sends_a_message(#[case] options: &[&str]) {
    let house = House::open();
    let body = ["--to", "c@d.example", "--body", "one\\n.\\n..two\\n.three"];
    let Some(said) = swaks(&house, &[&body, options].concat()) else { return };
    let text = said.well().text();
    assert!(text.contains("<-  250 2.0.0 Kept"), "{text}");
    let [kept] = house.messages().try_into().expect("there is one");
    assert!(kept.text.starts_with("Return-Path: <a@b.example>\nReceived: from "), "{kept:?}");
    assert!(kept.sent().contains("\n\none\n.\n..two\n.three\n"), "{kept:?}");
}

#[test]
fn swaks_sends_to_many_and_quits_when_asked() {
    let house = House::open();
    let recipients: Vec<String> =
        (0..101).map(|number| format!("user{number}@d.example")).collect();
    // All but the last are taken.
    let Some(said) = swaks(&house, &["--pipeline", "--to", &recipients.join(",")]) else { return };
    let text = said.text();
    assert!(text.contains("<** 452 4.5.3 Too many recipients"), "{text}");
    assert_eq!(house.messages().len(), 1);
    for point in ["CONNECT", "EHLO", "MAIL", "RCPT"] {
        swaks(&house, &["--to", "c@d.example", "--quit-after", point]).expect("it's here").well();
    }
    assert_eq!(house.messages().len(), 1);
}

#[track_caller]
fn curl(house: &House, name: &str, body: &[u8], options: &[&str]) -> Option<Said> {
    let curl = tool("curl")?;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    fs::write(&file, body).unwrap();
    let url = format!("smtp://{}", house.address);
    let mut command = Command::new(curl);
    command.args([
        "-q",
        "-sS",
        "-v",
        &url,
        "--mail-from",
        "a@b.example",
        "--mail-rcpt",
        "c@d.example",
    ]);
    Some(run_with(command.args(options).arg("-T").arg(file), b""))
}

/// It greets with the file's name, announces its size, and sends it as it is, bare LFs and all.
#[test]
fn curl_uploads_a_file() {
    let house = House::open();
    let body = b"Subject: hello\n\none\n.\n..two\nFrom three\n";
    let Some(said) = curl(&house, "my_file.txt", body, &[]) else { return };
    said.well();
    let [kept] = house.messages().try_into().expect("there is one");
    assert!(kept.text.contains("Received: from my_file.txt ([127.0.0.1])\n"), "{kept:?}");
    assert_eq!(kept.sent(), format!("{}\n", str::from_utf8(body).unwrap()));
}

/// Its name may be anything.
#[rstest]
#[case("a b.txt", "a?b.txt")]
#[case("a (b); c.txt", "a??b???c.txt")]
#[case("\u{e4}.txt", "??.txt")]
fn curl_greets_with_any_name(#[case] name: &str, #[case] expected: &str) {
    let house = House::open();
    let Some(said) = curl(&house, name, b"x\r\n", &[]) else { return };
    said.well();
    let [kept] = house.messages().try_into().expect("there is one");
    assert!(kept.text.contains(&format!("Received: from {expected} (")), "{kept:?}");
}

#[test]
fn curl_uploads_a_file_with_whole_line_ends() {
    let house = House::open();
    let body = b"Subject: hello\r\n\r\none\r\n.\r\n..two\r\nFrom three\r\n";
    let Some(said) = curl(&house, "x", body, &[]) else { return };
    said.well();
    let [kept] = house.messages().try_into().expect("there is one");
    assert_eq!(kept.sent(), str::from_utf8(body).unwrap().replace("\r\n", "\n"));
}

#[test]
fn curl_hears_that_it_is_too_large() {
    let house = House::with(|options| options.largest = 10_000);
    let Some(said) = curl(&house, "x", &b"x\r\n".repeat(5000), &[]) else { return };
    assert_eq!(said.status.code(), Some(55), "{}", said.errors);
    assert!(said.errors.contains("< 552 5.3.4"), "{}", said.errors);
    assert!(house.messages().is_empty());
    house.works();
}

#[test]
fn curl_asks_for_a_name_and_for_help() {
    let house = House::open();
    let Some(curl) = tool("curl") else { return };
    let url = format!("smtp://{}/x", house.address);
    let said = run(&curl, ["-q", "-sS", &url, "--mail-rcpt", "user"]).well();
    assert!(said.text().starts_with("252 2.0.0"), "{said:?}");
    let said = run(&curl, ["-q", "-sS", &url, "-X", "HELP"]).well();
    assert!(said.text().starts_with("214 2.0.0"), "{said:?}");
}

#[test]
fn smtplib_sends_all_sorts_of_messages() {
    let house = House::open();
    python(
        &house,
        r#"
bodies = [b'', b'x', b'.', b'..\r\n.', b'a\r\n.\r\nb\r\n', b'From x\r\n>From y\r\n', b'x' * 100000, b'\xff\xfe\x00\r\n']
with smtplib.SMTP(HOST, PORT, timeout=40) as s:
    assert s.ehlo()[0] == 250 and s.has_extn('pipelining') and s.has_extn('8bitmime')
    assert int(s.esmtp_features['size']) == 16 << 20
    assert s.verify('x')[0] == 252 and s.expn('x')[0] == 502 and s.noop()[0] == 250
    for body in bodies:
        assert s.sendmail('a@b', ['c@d', 'e@f'], b'Subject: x\r\n\r\n' + body, ['BODY=8BITMIME']) == {}
    try:
        s.sendmail('a@b', ['nobody', ''], b'')
        assert False
    except smtplib.SMTPRecipientsRefused as e:
        assert all(code == 501 for code, _ in e.recipients.values()), e.recipients
    assert list(s.sendmail('', ['c@d', 'nobody'], b'')) == ['nobody']
    try:
        s.sendmail('nobody', ['c@d'], b'')
        assert False
    except smtplib.SMTPSenderRefused as e:
        assert e.smtp_code == 501 and e.smtp_error.startswith(b'5.1.7'), e
with smtplib.SMTP(HOST, PORT, local_hostname='localhost', timeout=40) as s:
    s.helo()
    s.sendmail('a@b', ['c@d'], b'Subject: x\r\n\r\nlast\r\n')

box = mailbox.mbox(MBOX)
assert len(box) == len(bodies) + 2, len(box)
for body, got in zip(bodies, box):
    raw = got.get_payload(decode=True)
    if body and not body.endswith(b'\r\n'):
        body += b'\r\n'
    # Python takes no marks away.
    want = body.replace(b'\r\n', b'\n').replace(b'From x', b'>From x').replace(b'>From y', b'>>From y')
    assert raw == want, (raw, want)
    assert got['Return-Path'] == '<a@b>' and 'with ESMTP' in got['Received']
    assert email.utils.parsedate_to_datetime(got['Received'].rsplit(';', 1)[1]).tzinfo is not None
    assert got.get_from().startswith('a@b '), got.get_from()
assert box[len(box) - 1].get_payload() == 'last\n'
assert box[len(box) - 2].get_from().startswith('MAILER-DAEMON ')
print('good')
"#,
    );
}

/// Its lock is respected, and ours by it.
#[test]
fn python_locks_the_mbox() {
    let house = House::open();
    python(
        &house,
        r#"
box = mailbox.mbox(MBOX)
s = smtplib.SMTP(HOST, PORT, timeout=40)
s.sendmail('a@b', ['c@d'], b'Subject: first\r\n\r\nx\r\n')
box.lock()
before = open(MBOX, 'rb').read()
s.mail('a@b'); s.rcpt('c@d'); s.docmd('DATA')
s.send(b'Subject: second\r\n\r\ny\r\n.\r\n')
s.sock.settimeout(0.3)
try:
    s.getreply()
    assert False
except smtplib.SMTPServerDisconnected:
    pass # that is what it calls a timeout, and hangs up
assert open(MBOX, 'rb').read() == before
box.unlock()
with smtplib.SMTP(HOST, PORT, timeout=40) as s:
    s.sendmail('a@b', ['c@d'], b'Subject: third\r\n\r\nz\r\n')
    box = mailbox.mbox(MBOX)
    assert [m['Subject'] for m in box] == ['first', 'second', 'third'], [m['Subject'] for m in box]
    # It takes one away, and writes the others anew.
    box.lock(); box.remove(1); box.flush(); box.unlock(); box.close()
    s.sendmail('a@b', ['c@d'], b'Subject: fourth\r\n\r\nz\r\n')
assert [m['Subject'] for m in mailbox.mbox(MBOX)] == ['first', 'third', 'fourth']
print('good')
"#,
    );
}

#[rstest]
#[case::with_bare_ends("Subject: x\n\none\n.\n..two\n.three\nFrom four\n")]
#[case::with_whole_ends("Subject: x\r\n\r\none\r\n.\r\n..two\r\n.three\r\nFrom four\r\n")]
fn msmtp_sends_a_message(#[case] text: &str) {
    let house = House::open();
    let Some(msmtp) = tool("msmtp") else { return };
    let port = format!("--port={}", house.address.port());
    let mut command = Command::new(msmtp);
    command.args([
        "--host=127.0.0.1",
        &port,
        "--from=a@b.example",
        "--",
        "c@d.example",
        "e@f.example",
    ]);
    run_with(&mut command, text.as_bytes()).well();
    let [kept] = house.messages().try_into().expect("there is one");
    let sent = kept.sent();
    let text = text.replace("\r\n", "\n");
    assert!(sent.ends_with(text.split_once("\n\n").unwrap().1), "{sent:?}");
}

#[rstest]
#[case::one_at_a_time(&["-m", "50"], 50)]
#[case::many_at_a_time(&["-s", "20", "-m", "400", "-l", "4000"], 400)]
#[case::over_connections_that_stay(&["-d", "-s", "10", "-m", "400"], 400)]
#[case::for_many(&["-r", "100", "-m", "20", "-s", "5"], 20)]
#[case::large(&["-l", "3000000", "-m", "8", "-s", "4"], 8)]
fn smtp_source_sends_many(#[case] options: &[&str], #[case] count: usize) {
    let house = House::open();
    let Some(smtp_source) = tool("smtp-source") else { return };
    let address = house.address.to_string();
    run(&smtp_source, options.iter().copied().chain(["-f", "a@b", "-t", "c@d", &address])).well();
    // The last one's client doesn't wait for goodbye.
    assert_eq!(house.messages().len(), count);
    house.works();
}

/// What was written, as one who isn't from here reads it.
#[test]
fn python_reads_what_was_written() {
    let house = House::open();
    let mut client = house.client();
    let texts = [
        "Subject: 0\r\n\r\n\n\nFrom a@b Thu Jan  1 00:00:00 1970\nSubject: forged\n\n\r\n",
        "Subject: 1\r\n\r\nx\r\n\r\nFrom a\r\n\r\n",
        "Subject: 2\r\n\r\n",
        "",
    ];
    for text in texts {
        client.sends("a@b", text);
    }
    client.sends("\"From \"@x", "Subject: 4\r\n\r\nx\r\n");
    python(
        &house,
        "
box = mailbox.mbox(MBOX)
assert [m['Subject'] for m in box] == ['0', '1', '2', None, '4'], [m['Subject'] for m in box]
print('good')
",
    );
}

/// A mail program with a lock file of its own beside the mbox.
#[test]
fn dotlockfile_locks_the_mbox() {
    let house = House::open();
    let Some(dotlockfile) = tool("dotlockfile") else { return };
    let lock = house.path().with_file_name("mbox.lock");
    let dotlockfile = |options: &[&str], lock: &Path| {
        run(&dotlockfile, options.iter().map(Path::new).chain([lock])).status.success()
    };
    assert!(dotlockfile(&["-r", "0"], &lock));
    let mut client: Client = house.client();
    client.begins("a@b");
    client.send("x\r\n.\r\n");
    house.comes_to_wait_for(&["the disk"]);
    assert!(house.messages().is_empty());
    assert!(dotlockfile(&["-u"], &lock));
    client.hears("250 2.0.0");
}
