//! A conversation without a socket: however its bytes are cut, however much of its output is taken at a time, whenever a late answer
//! comes, it says the same; and what it says can be read by whoever asked.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use ch10_http::{Fields, Status};
use ch11_http_server::Settings;
use ch11_http_server::conversation::{Common, Conversation, Next};
use ch11_http_server::response::{Body, Flow, Response};
use rstest::rstest;

/// Pieces of a stream that come one after the other.
type Pieces = VecDeque<(Vec<u8>, Flow)>;
type Answer = Response<Pieces>;

/// Longer than what is copied behind a head.
const LARGE: usize = 20_000;

/// What is done with a conversation at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// So many bytes come.
    Come(usize),
    /// So many are sent, at most.
    Send(u64),
    /// Whoever has an answer, or more of a stream, says so.
    Answer,
    /// It's taken apart, if it can be, and put together again.
    HandOver,
}

/// A conversation, and who is at its ends.
struct Session {
    conversation: Conversation,
    common: Rc<Common>,
    /// How often it was taken apart.
    handed_over: usize,
    file: Rc<File>,
    to_come: Vec<u8>,
    has_ended: bool,
    /// Something has come that nobody has looked at.
    is_busy: bool,
    /// An answer that comes later, and for which request.
    later: Option<(u64, Answer)>,
    stream: Option<(u64, Pieces)>,
    /// All that was sent.
    sent: Vec<u8>,
    refused: usize,
    now: Duration,
}

impl Session {
    fn new(bytes: &[u8]) -> Self {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![b'f'; LARGE]).unwrap();
        let common = Rc::new(Common::new(Settings::USUAL, UNIX_EPOCH));
        Self {
            conversation: Conversation::new(Rc::clone(&common), Duration::ZERO),
            common,
            handed_over: 0,
            file: Rc::new(file),
            to_come: bytes.to_vec(),
            has_ended: false,
            is_busy: false,
            later: None,
            stream: None,
            sent: Vec::new(),
            refused: 0,
            now: Duration::ZERO,
        }
    }

    /// What the handlers say to a request for `/KIND/STATUS`.
    fn answer(&self, path: &str, body: &[u8]) -> Answer {
        let mut words = path.split('/').skip(1);
        let (kind, code) = (words.next().unwrap_or(""), words.next().unwrap_or("200"));
        let status = Status::of(code.parse().unwrap()).unwrap();
        let pieces = |paused: Flow| -> Pieces {
            let piece = |number: usize| vec![b'a' + number as u8; 10 + number * 100];
            let all = (0..5)
                .map(|number| (piece(number), if number % 2 == 0 { Flow::More } else { paused }));
            all.chain([(b"end".to_vec(), Flow::End)]).collect()
        };
        let stream = |paused| pieces(paused);
        let length = |pieces: &Pieces| pieces.iter().map(|(piece, _)| piece.len() as u64).sum();
        let body = match kind {
            "static" => Body::Static(b"static"),
            "made" | "later" => Body::Made(b"made".to_vec()),
            "nothing" => Body::Static(b""),
            "large" => Body::Made(vec![b'l'; LARGE]),
            "shared" => Body::Shared(Rc::from(vec![b's'; LARGE]), 10..LARGE - 10),
            "file" => {
                Body::File { file: Rc::clone(&self.file), start: 5, length: LARGE as u64 - 10 }
            }
            "stream" => Body::Stream { stream: stream(Flow::Pause), length: None },
            "known" => {
                let stream = stream(Flow::More);
                let length = Some(length(&stream));
                Body::Stream { stream, length }
            }
            "echo" => Body::Made(body.to_vec()),
            other => panic!("{other}"),
        };
        Answer { status, content_type: Some("text/plain".into()), fields: Fields::NONE, body }
    }

    /// One turn, as chapter 11's connection takes it.
    fn step(&mut self, step: Step) {
        let mut came = Vec::new();
        match step {
            Step::Come(count) if self.conversation.wants_read() => {
                came = self.to_come.drain(..count.min(self.to_come.len())).collect();
                // A stream that pauses ends when nobody may be there any more.
                let under_way = self.is_busy || self.later.is_some() || self.stream.is_some();
                if came.is_empty() && !self.has_ended && !under_way {
                    self.has_ended = true;
                    self.conversation.receive_end();
                }
            }
            Step::Come(_) => {}
            Step::Send(most) => self.send(most),
            Step::HandOver => {
                if let Some(parts) = self.conversation.parts(self.now) {
                    let common = Rc::clone(&self.common);
                    self.conversation = Conversation::from_parts(common, parts, self.now);
                    self.handed_over += 1;
                }
            }
            Step::Answer => {
                if let Some((request, response)) = self.later.take() {
                    let stream = self.conversation.answer(request, response);
                    let stream = stream.expect("it is waited for");
                    self.stream = stream.map(|stream| (request, stream));
                } else if let Some((request, _)) = &self.stream {
                    self.conversation.resume(*request);
                }
            }
        }
        let mut input = self.conversation.receive(&came);
        if self.conversation.wants_stream() {
            self.conversation.pause();
            let (request, mut pieces) = self.stream.take().unwrap();
            let (piece, flow) = pieces.pop_front().unwrap();
            self.stream = (flow != Flow::End).then_some((request, pieces));
            self.conversation.stream(&piece, flow).unwrap();
        }
        let goes_on = loop {
            let (head, body) = match self.conversation.next(&mut input, |_| true) {
                Next::Request(head, body) => (head, body),
                Next::Refused => {
                    self.refused += 1;
                    continue;
                }
                Next::NotYet => break false,
                Next::Busy => break true,
            };
            let number = self.conversation.request();
            let response = self.answer(head.path(), body);
            if head.path().starts_with("/later") {
                self.later = Some((number, response));
                continue;
            }
            let stream = self.conversation.answer(number, response).unwrap();
            self.stream = stream.map(|stream| (number, stream));
        };
        self.conversation.keep(input);
        self.is_busy = goes_on;
        let again = goes_on && self.conversation.is_free() || self.conversation.wants_stream();
        self.conversation.finish_turn(self.now, again);
        if self.conversation.wants_shutdown() {
            self.conversation.shut_down(true);
        }
    }

    fn send(&mut self, most: u64) {
        let outgoing = self.conversation.outgoing();
        let mut taken = Vec::new();
        for bytes in &outgoing.bytes {
            taken.extend_from_slice(bytes);
        }
        if let Some(part) = outgoing.file {
            let mut bytes = vec![0; part.left as usize];
            part.file.read_exact_at(&mut bytes, part.at).unwrap();
            taken.append(&mut bytes);
        }
        taken.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        self.conversation.sent(taken.len() as u64);
        self.sent.append(&mut taken);
    }

    /// Until it's over. Everybody does what they can, in an order that `choose` chooses.
    fn run(mut self, mut choose: impl FnMut() -> Step) -> Self {
        for _ in 0..1_000_000 {
            if self.conversation.wants_close() {
                return self;
            }
            self.step(choose());
        }
        panic!("it isn't over: {} bytes are still to come", self.to_come.len());
    }

    /// All comes at once, and is sent at once.
    fn run_at_once(self) -> Self {
        let mut steps =
            [Step::Come(usize::MAX), Step::Send(u64::MAX), Step::Answer].into_iter().cycle();
        self.run(|| steps.next().unwrap())
    }

    /// By chance.
    fn run_by_chance(self, seed: u64, hands_over: bool) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let (most_come, most_sent) = ([1, 10, 100, 5000], [1, 50, 3000, 100_000]);
        let (come, sent) = (random.choice(most_come).unwrap(), random.choice(most_sent).unwrap());
        self.run(|| match random.u8(..if hands_over { 4 } else { 3 }) {
            0 => Step::Come(random.usize(1..=come)),
            1 => Step::Send(random.u64(0..=sent)),
            2 => Step::Answer,
            _ => Step::HandOver,
        })
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n")
}

const KINDS: [&str; 9] =
    ["static", "made", "nothing", "large", "shared", "file", "stream", "known", "later"];

/// Some of everything, and a last one that says so.
fn conversation(seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
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
        let at_once = Session::new(bytes.as_bytes()).run_at_once();
        let by_chance = Session::new(bytes.as_bytes()).run_by_chance(seed, hands_over);
        handed_over += by_chance.handed_over;
        let same = |(one, other): &(&u8, &u8)| one == other;
        let until = by_chance.sent.iter().zip(&at_once.sent).take_while(same).count();
        let [here, there] = [&by_chance, &at_once].map(|it| it.sent[until..].escape_ascii());
        assert!(
            by_chance.sent == at_once.sent,
            "seed {seed}: after {until} bytes\n{here:.200}\nis not\n{there:.200}"
        );
        assert_eq!(by_chance.refused, at_once.refused, "seed {seed}");
    }
    assert_eq!(handed_over > 1000, hands_over, "{handed_over}");
}

/// Reads an answer to a request of this method: its status, its body, and what is behind it.
fn read<'b>(bytes: &'b [u8], method: &str) -> (u16, Vec<u8>, &'b [u8]) {
    let mut fields = [httparse::EMPTY_HEADER; 20];
    let mut head = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(length)) = head.parse(bytes) else {
        panic!("no head: {}", bytes.escape_ascii());
    };
    let field = |name: &str| {
        let field = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        Some(std::str::from_utf8(field.value).unwrap())
    };
    let status = head.code.unwrap();
    let mut rest = &bytes[length..];
    if method == "HEAD" || matches!(status, 204 | 304) {
        return (status, Vec::new(), rest);
    }
    if let Some(length) = field("Content-Length") {
        let (body, rest) = rest.split_at(length.parse().unwrap());
        return (status, body.to_vec(), rest);
    }
    assert_eq!(field("Transfer-Encoding"), Some("chunked"));
    let mut body = Vec::new();
    loop {
        let Ok(httparse::Status::Complete((begin, size))) = httparse::parse_chunk_size(rest) else {
            panic!("no chunk: {}", rest.escape_ascii());
        };
        let end = begin + size as usize;
        body.extend_from_slice(&rest[begin..end]);
        assert_eq!(&rest[end..end + 2], b"\r\n");
        rest = &rest[end + 2..];
        if size == 0 {
            return (status, body, rest);
        }
    }
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
        let session = Session::new(both.as_bytes()).run_at_once();
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
    let session = Session::new(both.as_bytes()).run_at_once();
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
        let session = Session::new(request.as_bytes()).run_by_chance(seed, false);
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
    let mut session = Session::new(bytes.as_bytes());
    session.now = Duration::from_secs(1000);
    session.conversation = Conversation::new(Rc::clone(&session.common), session.now);
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

/// A body that comes a kilobyte at a time gets its time anew; one that comes a byte at a time doesn't.
#[test]
fn a_body_must_make_progress() {
    let head = "POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 9000\r\n\r\n";
    let mut session = Session::new((head.to_owned() + &"x".repeat(9000)).as_bytes());
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
    let mut session = Session::new(format!("{before}made").as_bytes());
    session.step(Step::Come(before.len()));
    assert!(session.conversation.wants_write());
    session.conversation.stop();
    session.step(Step::Send(0));
    let session = session.run_at_once();
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
    let mut session = Session::new(before.as_bytes());
    session.step(come(before));
    session.conversation.stop();
    session.step(Step::Send(0));
    assert_eq!(session.conversation.wants_close(), before.is_empty());
    if before.is_empty() {
        return;
    }
    session.to_come = after.as_bytes().to_vec();
    let session = session.run_at_once();
    let text = String::from_utf8_lossy(&session.sent).into_owned();
    assert!(text.contains("Connection: close\r\n"), "{text}");
    assert_eq!(read(&session.sent, "GET"), (200, b"made".to_vec(), &b""[..]));
}
