//! Exercise 10-ends: where does a request end?
//!
//! A connection is bytes without seams: one piece may hold half a request, or three and a bit. This
//! program takes such bytes from its standard input and tells where each request in them ends. Whoever
//! finds the wrong place takes a part of one request for the next one, and everything behind it is a
//! stranger's word (RFC 9112, section 6.3). Where two readers could find two places, it refuses.
//!
//! No Host is asked for here, and a lone LF is left to httparse, which takes it for a line's end. So are empty
//! lines before a request: it skips them, and counts them as a part of the head.
//!
//! Run it:      printf 'GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n' | cargo run -p ex10-http --bin ex10-ends
//!                  GET /a: head 19, body 0
//!                  GET /b: head 19, body 0
//!              and once more with `-- 3` behind it: in pieces of 3 bytes. It tells the same.
//! Be graded:   cargo grade 10

// Until you have written your part, much is unused here. Take these lines out when you have.
#![allow(clippy::ptr_arg, dead_code, unreachable_code)]
#![allow(unused_imports, unused_mut, unused_variables)]

use std::io::{self, ErrorKind, Read, Write};
use std::process::{ExitCode, exit};

use httparse::{EMPTY_HEADER, Error, Header, Status};

const NAME: &str = "ex10-ends";
const HELP: &str = "ex10-ends [PIECE]

Tells where each HTTP request on standard input ends. PIECE is how many bytes are looked at
at once, at the most: 65536 where not given.";

/// Longest accepted head, in bytes, with the empty line: it's kept until it's whole. Longer ones get 431.
const LONGEST_HEAD: usize = 8 * 1024;
/// How many fields a head may have: each costs a place in an array. More get 431.
const MOST_FIELDS: usize = 64;
/// Longest accepted body, in bytes: it's kept until it's whole, too. Longer ones get 413.
const LONGEST_BODY: usize = 64 * 1024;
/// How much is read at once, at the most.
const PIECE: usize = 64 * 1024;

/// The status with which bytes are refused: 400 where they make no request, or could be read in two
/// ways; 413, 431 where it's too long; 501 where we don't know how to read it.
type Refusal = u16;

/// A whole request.
struct Request {
    method: String,
    target: String,
    /// How long its head is, in bytes, with the empty line.
    head: usize,
    /// How long its body is, in bytes.
    body: usize,
}

/// One side of a connection: what has come.
#[derive(Default)]
struct Incoming {
    /// What has come and belongs to no whole request yet.
    bytes: Vec<u8>,
}

impl Incoming {
    /// Another piece has come. Adds the requests that are whole by now to `whole`, in their order; what
    /// is behind them stays in `self.bytes`. It doesn't matter how the bytes are cut into pieces.
    ///
    /// # Errors
    /// What comes next is refused. The requests before it are in `whole`; nothing behind it is looked at.
    fn came(&mut self, piece: &[u8], whole: &mut Vec<Request>) -> Result<(), Refusal> {
        // your turn: keep the piece, and take out every request that is whole now
        todo!("keep the piece, and take out every request that is whole now")
        // end
    }
}

/// The request with which `bytes` begins. `None`: it isn't whole yet, and may still become one.
///
/// # Errors
/// These bytes are refused, whatever comes behind them: as soon as that is sure. (For what the fields say
/// that's when the head ends.)
fn first(bytes: &[u8]) -> Result<Option<Request>, Refusal> {
    // your turn: find the head, ask `body_length`, and see whether all of it has come
    todo!("find the head, ask `body_length`, and see whether all of it has come")
    // end
}

/// How many bytes of body follow the head with these fields: as many as Content-Length says, none without
/// one, whatever the method is (RFC 9112, section 6.3).
///
/// # Errors
/// - 400: a Content-Length and a Transfer-Encoding, one or more of each, even an empty one; two Content-Lengths
///   or more, even equal ones. Count these fields before you read one: this is 400 even if a length is too long
///   as well,
/// - 400: a Content-Length that isn't one or more digits, and nothing else,
/// - 413: it's longer than [`LONGEST_BODY`], however many digits say so,
/// - 501: a Transfer-Encoding alone, whatever it says, in HTTP/1.0 too. What it means is the next exercise.
fn body_length(fields: &[Header<'_>]) -> Result<usize, Refusal> {
    // your turn: say how long the body is, or why nobody can tell
    todo!("say how long the body is, or why nobody can tell")
    // end
}

fn main() -> ExitCode {
    match tell(piece_from_args()) {
        Ok(code) => code,
        Err(error) => complain(1, &format!("can't go on: {error}")),
    }
}

/// Reads all that comes, at most so many bytes at once, and tells what it is.
fn tell(at_once: usize) -> io::Result<ExitCode> {
    let mut output = io::stdout().lock();
    let mut incoming = Incoming::default();
    let mut buffer = vec![0; at_once];
    loop {
        // waits: until something comes, or nothing ever will
        let count = match io::stdin().read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        };
        if count == 0 {
            break;
        }
        let mut whole = Vec::new();
        let refused = incoming.came(&buffer[..count], &mut whole).err();
        for Request { method, target, head, body } in whole {
            writeln!(output, "{method} {target}: head {head}, body {body}")?;
        }
        if let Some(status) = refused {
            writeln!(output, "refused: {status}")?;
            return Ok(ExitCode::FAILURE);
        }
    }
    match incoming.bytes.len() {
        0 => Ok(ExitCode::SUCCESS),
        count => complain(1, &format!("left over: {count}")),
    }
}

fn piece_from_args() -> usize {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let piece = match arguments.as_slice() {
        [] => Some(PIECE),
        [word] if word == "-h" || word == "--help" => {
            let _ = writeln!(io::stdout(), "{HELP}");
            exit(0);
        }
        [word] => word.parse().ok().filter(|count| (1..=PIECE).contains(count)),
        _ => None,
    };
    piece.unwrap_or_else(|| complain(2, &format!("give one PIECE, from 1 to {PIECE}; see --help")))
}

/// One line on stderr, and the end.
fn complain(status: i32, message: &str) -> ! {
    eprintln!("{NAME}: {message}");
    exit(status)
}
