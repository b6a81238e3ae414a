//! A conversation without a socket: however its bytes are cut, however much of its output is taken at a time, whenever a
//! late answer comes, it says the same; and what it says can be read by whoever asked.

#[path = "fuzzing/corpus.rs"]
mod corpus;
#[path = "../../chapters/11-http-server/fuzz/property.rs"]
mod property;

use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use ch11_http_server::Settings;
use ch11_http_server::conversation::Common;
use fastrand::Rng;
use property::session::{Session, Step};
use property::{STEPS, told};
use rstest::rstest;

/// With a client that says this, from second 0 on.
fn session(bytes: impl AsRef<[u8]>) -> Session {
    session_at(bytes, Duration::ZERO)
}

fn session_at(bytes: impl AsRef<[u8]>, now: Duration) -> Session {
    let common = Rc::new(Common::new(Settings::USUAL, UNIX_EPOCH));
    Session::new(&common, bytes.as_ref(), now)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n")
}

const KINDS: [&str; 9] =
    ["static", "made", "nothing", "large", "shared", "file", "stream", "known", "later"];

/// Some of everything, and a last one that says so.
fn conversation(seed: u64) -> String {
    let mut random = Rng::with_seed(seed);
    let mut all = String::new();
    for _ in 0..random.usize(1..12) {
        let body = "x".repeat(random.usize(0..3000));
        let next = match random.u8(..5) {
            0 => format!(
                "POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
            1 => format!(
                "POST /echo HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}x\r\n3\r\nabc\r\n0\r\n\r\n",
                body.len() + 1
            ),
            2 => get(&format!("/{}", random.choice(KINDS).unwrap())).replacen("GET", "HEAD", 1),
            _ => get(&format!("/{}", random.choice(KINDS).unwrap())),
        };
        all.push_str(&next);
    }
    match random.u8(..4) {
        0 => all.push_str("GET /static HTTP/1.0\r\n\r\n"),
        1 => {
            all.push_str("GET /static HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\nand more");
        }
        2 => all.push_str("this isn't HTTP\r\n\r\n"),
        _ => all.push_str(&get("/large")),
    }
    all
}

#[rstest]
#[case::in_one_process(false)]
#[case::handed_over_again_and_again(true)]
fn however_it_is_cut_it_says_the_same(#[case] hands_over: bool) {
    let mut handed_over = 0;
    for seed in 0..200 {
        let bytes = conversation(seed);
        let at_once = session(&bytes).finish();
        let by_chance = session(&bytes).by_chance(seed, 20_000, hands_over);
        handed_over += by_chance.handed_over;
        let same = |(one, other): &(&u8, &u8)| one == other;
        let until = by_chance.sent.iter().zip(&at_once.sent).take_while(same).count();
        let [here, there] = [&by_chance, &at_once].map(|it| it.sent[until..].escape_ascii());
        assert!(
            by_chance.sent == at_once.sent,
            "seed {seed}: after {until} bytes\n{here:.200}\nis not\n{there:.200}"
        );
        assert_eq!(by_chance.begun, at_once.begun, "seed {seed}");
    }
    assert_eq!(handed_over > 1000, hands_over, "{handed_over}");
}

/// What the fuzzer does, without it: whole conversations, changed at random.
#[test]
fn the_corpus_changed_at_random() {
    let corpus = corpus::files("chapters/11-http-server/fuzz/corpus/conversation");
    for bytes in &corpus {
        println!("{}", bytes.escape_ascii());
        property::check(bytes);
    }
    for seed in 0..MUTATIONS {
        let mut random = Rng::with_seed(seed);
        let mut bytes = corpus::changed(&mut random, &corpus);
        if random.bool() {
            // Something else happens.
            let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
            let steps = (0..random.usize(1..20)).map(|_| *random.choice(STEPS).unwrap());
            bytes.splice(..line, steps.collect::<Vec<u8>>());
        }
        println!("seed {seed}: {}", bytes.escape_ascii());
        property::check(&bytes);
    }
}

/// As many as take a few seconds.
const MUTATIONS: u64 = 6000;

/// The answer that these bytes begin with, to a request of this method: its status, its body, and what is behind it.
#[track_caller]
fn read<'b>(bytes: &'b [u8], method: &str) -> (u16, Vec<u8>, &'b [u8]) {
    let told = told::read(bytes, method == "HEAD").expect("it's whole");
    (told.status, told.body, told.behind)
}

/// Whatever a handler gives, to whatever method: behind its answer the next one begins.
#[rstest]
fn head_and_body_agree(
    #[values("GET", "HEAD", "POST", "OPTIONS", "BREW")] method: &str,
    #[values(
        200, 201, 202, 204, 205, 206, 301, 304, 308, 400, 404, 405, 413, 416, 417, 500, 503, 599
    )]
    status: u16,
) {
    for kind in KINDS {
        let first = get(&format!("/{kind}/{status}")).replacen("GET", method, 1);
        let both = first + &get("/made");
        let session = session(&both).finish();
        session.judge();
        let (first, body, rest) = read(&session.sent, method);
        assert_eq!(first, status, "{kind}");
        if status == 205 {
            assert_eq!(body, b"", "{kind}");
        } else if method != "HEAD" && !matches!(status, 204 | 304) {
            assert_eq!(body.is_empty(), kind == "nothing", "{kind}");
        }
        assert_eq!(read(rest, "GET"), (200, b"made".to_vec(), &b""[..]), "{kind}");
    }
}

/// A status that isn't final would have the client wait for another one (RFC 9110, section 15.2).
#[rstest]
fn what_is_no_final_status_is_an_error(#[values(100, 101, 103, 199)] status: u16) {
    let both = get(&format!("/stream/{status}")) + &get("/made");
    let session = session(&both).finish();
    session.judge();
    let (told, _, rest) = read(&session.sent, "GET");
    assert_eq!(told, 500);
    assert_eq!(read(rest, "GET"), (200, b"made".to_vec(), &b""[..]));
}

/// What isn't taken, of a HEAD request, gets no body either.
#[rstest]
#[case::too_long("HEAD /static HTTP/1.1\r\nHost: here\r\nContent-Length: 9999999\r\n\r\n", 413)]
#[case::both(
    "HEAD /static HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    400
)]
#[case::no_host("HEAD /static HTTP/1.1\r\n\r\n", 400)]
#[case::an_expectation(
    "HEAD /static HTTP/1.1\r\nHost: here\r\nExpect: the-unexpected\r\n\r\n",
    417
)]
#[case::a_bad_chunk(
    "HEAD /static HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\nx",
    400
)]
#[case::a_bad_field("HEAD /static HTTP/1.1\r\nHost : here\r\n\r\n", 400)]
fn a_refusal_of_a_head_request_has_no_body(#[case] request: &str, #[case] status: u16) {
    for seed in 0..20 {
        let session = session(request).by_chance(seed, 1000, false);
        let (told, _, rest) = read(&session.sent, "HEAD");
        assert_eq!((told, rest), (status, &b""[..]), "{}", session.sent.escape_ascii());
    }
}

/// All of these come. (If there are none, that isn't the end.)
fn come(bytes: &str) -> Step {
    if bytes.is_empty() { Step::Send(0) } else { Step::Come(bytes.len()) }
}

/// Each wait has its own limit, and what follows from it.
#[rstest]
#[case::for_a_first_byte("", 0, Some(60), None)]
#[case::for_a_head("GET / HT", 0, Some(10), Some(408))]
#[case::for_a_body(
    "POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\nab",
    0,
    Some(20),
    Some(408)
)]
#[case::for_a_handler("GET /later HTTP/1.1\r\nHost: here\r\n\r\n", 0, Some(60), Some(504))]
#[case::to_be_read("GET /large HTTP/1.1\r\nHost: here\r\n\r\n", 0, Some(30), None)]
#[case::for_the_next_one("GET /large HTTP/1.1\r\nHost: here\r\n\r\n", u64::MAX, Some(60), None)]
#[case::to_hang_up("no HTTP\r\n\r\n", u64::MAX, Some(2), None)]
fn who_is_late_is_told_so_or_hung_up_on(
    #[case] bytes: &str,
    #[case] sent: u64,
    #[case] limit: Option<u64>,
    #[case] status: Option<u16>,
) {
    let mut session = session_at(bytes, Duration::from_secs(1000));
    session.step(come(bytes));
    session.step(Step::Send(sent));
    session.sent.clear();
    // What isn't news renews nothing.
    session.now += Duration::from_secs(1);
    session.step(Step::Send(0));
    let due = Duration::from_secs(1000 + limit.unwrap());
    assert_eq!(session.conversation.deadline(), Some(due));
    assert!(!session.conversation.check_deadline(due - Duration::from_millis(1)));
    assert!(session.conversation.check_deadline(due));
    assert_eq!(session.conversation.wants_close(), status.is_none());
    if let Some(status) = status {
        session.now = due;
        session.step(Step::Send(u64::MAX));
        assert_eq!(read(&session.sent, "GET").0, status);
    }
}

/// Its timer may ring before it has its turn.
#[test]
fn an_answer_at_the_last_moment_is_in_time() {
    let mut session = session(get("/later"));
    session.step(come(&get("/later")));
    session.step(Step::AnswerInTime);
    assert_eq!(session.now, Duration::from_secs(60));
    session.finish().judge();
}

/// Empty lines before a request are forgiven.
#[rstest]
#[case::at_once("HEAD /made HTTP/1.1\r\n")]
#[case::behind_an_empty_line("\r\nHEAD /made HTTP/1.1\r\n")]
#[case::in_its_body("HEAD /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\nab")]
fn a_head_request_that_is_late_gets_no_body(#[case] bytes: &str) {
    let mut session = session(bytes);
    session.step(come(bytes));
    session.step(Step::Late);
    session.step(Step::Send(u64::MAX));
    assert_eq!(read(&session.sent, "HEAD"), (408, Vec::new(), &b""[..]));
}

/// A body that comes a kilobyte at a time gets its time anew; one that comes a byte at a time doesn't.
#[test]
fn a_body_must_make_progress() {
    let head = "POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 9000\r\n\r\n";
    let mut session = session(head.to_owned() + &"x".repeat(9000));
    session.step(Step::Come(head.len()));
    assert_eq!(session.conversation.deadline(), Some(Duration::from_secs(20)));
    for (second, count, due) in
        [(5, 10, 20), (6, 1000, 20), (14, 14, 34), (14, 1023, 34), (15, 1, 35), (16, 1, 35)]
    {
        session.now = Duration::from_secs(second);
        session.step(Step::Come(count));
        let deadline = session.conversation.deadline();
        assert_eq!(deadline, Some(Duration::from_secs(due)), "after second {second}");
    }
}

/// An upload goes on, even if a word to it isn't sent yet.
#[test]
fn stopped_it_finishes_an_upload() {
    let before =
        "POST /echo HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    let mut session = session(format!("{before}made"));
    session.step(Step::Come(before.len()));
    assert!(session.conversation.wants_write());
    session.step(Step::Stop);
    let session = session.finish();
    let (between, _, rest) = read(&session.sent, "HEAD");
    assert_eq!(between, 100);
    assert_eq!(read(rest, "POST"), (200, b"made".to_vec(), &b""[..]));
    assert!(String::from_utf8_lossy(rest).contains("Connection: close\r\n"));
}

/// When the server is stopped, what was begun is finished, and nothing else.
#[rstest]
#[case::nothing("", "")]
#[case::half_a_head("GET /made HT", "TP/1.1\r\nHost: here\r\n\r\nGET /static HTTP/1.1\r\n")]
#[case::a_handler("GET /later HTTP/1.1\r\nHost: here\r\n\r\n", "")]
fn stopped_it_finishes(#[case] before: &str, #[case] after: &str) {
    let mut session = session(before);
    session.step(come(before));
    session.step(Step::Stop);
    assert_eq!(session.conversation.wants_close(), before.is_empty());
    if before.is_empty() {
        return;
    }
    session.say(after.as_bytes());
    let session = session.finish();
    session.judge();
    let text = String::from_utf8_lossy(&session.sent).into_owned();
    assert!(text.contains("Connection: close\r\n"), "{text}");
    assert_eq!(read(&session.sent, "GET"), (200, b"made".to_vec(), &b""[..]));
}
