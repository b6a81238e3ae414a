//! Who answers: what they say to a request for `/KIND/STATUS`.

use std::collections::VecDeque;
use std::fs::File;
use std::rc::Rc;

use ch10_http::{Fields, Status};
use ch11_http_server::queue::COPIED;
use ch11_http_server::response::{Body, Flow, Response};

pub type Answer = Response<Pieces>;

/// Pieces of a stream, one after the other.
pub type Pieces = VecDeque<Piece>;

pub struct Piece {
    pub bytes: Vec<u8>,
    pub flow: Flow,
    /// Somebody says that there is more, while this one is being made.
    pub resumed: bool,
}

/// Longer than what is copied behind a head.
pub const LARGE: usize = COPIED + 1000;

/// A request's path, taken apart.
pub struct Wanted<'p> {
    /// The answer comes later.
    pub later: bool,
    kind: &'p str,
    status: Status,
}

impl<'p> Wanted<'p> {
    /// `/KIND`, or `/KIND/STATUS`; `/later-KIND` for one that comes later.
    pub fn of(path: &'p str) -> Self {
        let (kind, code) =
            path[path.len().min(1)..].split_once('/').unwrap_or((&path[path.len().min(1)..], ""));
        let status = code.parse().ok().and_then(Status::of).unwrap_or(Status::OK);
        match kind.strip_prefix("later") {
            Some(kind) => {
                let kind =
                    kind.strip_prefix('-').filter(|kind| *kind != "panics").unwrap_or("made");
                Self { later: true, kind, status }
            }
            None => Self { later: false, kind, status },
        }
    }

    /// The handler panics.
    pub fn panics(&self) -> bool {
        self.kind == "panics"
    }

    /// Its stream pauses, and somebody must wake it.
    pub fn pauses(&self) -> bool {
        self.kind == "stream"
    }

    /// There is a handler for it.
    pub fn is_known(&self) -> bool {
        let kinds = [
            "static", "made", "page", "nothing", "copied", "large", "shared", "file", "stream",
            "known", "empty", "long", "short", "echo", "panics",
        ];
        kinds.contains(&self.kind)
    }

    pub fn answer(&self, body: &[u8]) -> Answer {
        if !self.is_known() {
            return Answer::error(Status::NOT_FOUND, "Nobody is here.");
        }
        if self.panics() {
            return Answer::error(Status::INTERNAL_SERVER_ERROR, "Something went wrong here.");
        }
        let body = match self.kind {
            "static" => Body::Static(b"static"),
            "nothing" => Body::Static(b""),
            "copied" => Body::Made(vec![b'c'; COPIED]),
            "large" => Body::Made(large().to_vec()),
            "shared" => Body::Shared(large(), 10..LARGE - 10),
            "file" => Body::File { file: file(), start: 5, length: LARGE as u64 - 10 },
            "stream" => Body::Stream { stream: pieces(Flow::Pause), length: None },
            "known" => Body::Stream { stream: pieces(Flow::More), length: Some(PROMISED) },
            "long" => Body::Stream { stream: pieces(Flow::More), length: Some(PROMISED - 1) },
            "short" => Body::Stream { stream: pieces(Flow::More), length: Some(PROMISED + 1) },
            "empty" => Body::Stream { stream: pieces(Flow::More), length: Some(0) },
            "echo" => Body::Made(body.to_vec()),
            "page" => Body::Made(b"page".to_vec()),
            _ => Body::Made(b"made".to_vec()),
        };
        let content_type = match self.kind {
            "nothing" => None,
            // As long as another, and of another type.
            "page" => Some("text/html".into()),
            _ => Some("text/plain".into()),
        };
        Answer { status: self.status, content_type, fields: Fields::NONE, body }
    }
}

/// How long all pieces of a stream are.
const PROMISED: u64 = 10 + 110 + 210 + 310 + 410 + 3;

fn pieces(paused: Flow) -> Pieces {
    let piece = |number: usize| Piece {
        bytes: vec![b'a' + number as u8; 10 + number * 100],
        flow: if number.is_multiple_of(2) { Flow::More } else { paused },
        resumed: number == 3,
    };
    let end = Piece { bytes: b"end".to_vec(), flow: Flow::End, resumed: false };
    (0..5).map(piece).chain([end]).collect()
}

/// What the client should get of it. None: all that will be sent is less than what was promised.
pub fn content(answer: &Answer) -> Option<Vec<u8>> {
    match &answer.body {
        Body::Static(bytes) => Some(bytes.to_vec()),
        Body::Made(bytes) => Some(bytes.clone()),
        Body::Shared(bytes, part) => Some(bytes[part.clone()].to_vec()),
        Body::File { start, length, .. } => {
            let [start, length] = [*start, *length].map(|it| usize::try_from(it).unwrap());
            Some(large()[start..start + length].to_vec())
        }
        Body::Stream { stream, length } => {
            let mut all: Vec<u8> = stream.iter().flat_map(|piece| piece.bytes.clone()).collect();
            let length = length.map_or(all.len(), |length| usize::try_from(length).unwrap());
            (length <= all.len()).then(|| {
                all.truncate(length);
                all
            })
        }
    }
}

/// Bytes that tell where they stand. They are made once: there are thousands of conversations.
pub fn large() -> Rc<[u8]> {
    thread_local! {
        static LARGE_BYTES: Rc<[u8]> = (0..LARGE).map(|place| (place % 251) as u8).collect();
    }
    LARGE_BYTES.with(Rc::clone)
}

/// A file that has the same. No conversation looks into it.
fn file() -> Rc<File> {
    thread_local! {
        static FILE: Rc<File> = Rc::new(File::open("/dev/null").expect("it's everywhere"));
    }
    FILE.with(Rc::clone)
}
