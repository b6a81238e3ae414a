//! Exercise 11-range: a part of a file.
//!
//! A visitor who has the first half of a film, or wants its end, asks for a part: `Range: bytes=500-` (RFC
//! 9110, section 14). The answer is 206, the part, and `Content-Range: bytes 500-999/1000`, so that it's
//! known where it belongs. One byte wrong, and what is put together from parts is garbage that nobody
//! notices. What can't be understood, several parts at once, and a Range that isn't GET's are as if they
//! weren't there: 200, and the whole. So is any Range of an empty file: it has no parts. (`bytes=` counts in
//! small letters alone, and without blanks.) A part that begins behind the end is 416 with `Content-Range:
//! bytes */1000`. And `If-Range` asks whether it's still the same file: only if it says word for word what
//! ETag or Last-Modified say now, a part is sent; otherwise the whole. Every answer with something of the
//! file in it has an ETag, a Last-Modified and `Accept-Ranges: bytes`. No more of the file is read than
//! is sent, and not before there is room for it: a film is larger than our memory.
//!
//! Run it:      cargo run -p ex11-http-server --bin ex11-range      and, in a second terminal,
//!              curl -i -H 'Range: bytes=0-9' 127.0.0.1:7011
//! Be graded:   cargo grade 11

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::UNIX_EPOCH;

use ch07_callbacks::program::{self, say};
use ch09_timers::{Clock, Timers};
use ch10_http::{BadField, Date, Head, Status};
use ch11_http_server::listen::listen_on;
use ch11_http_server::{Body, Response, Routes, Server, Settings};

const NAME: &str = "ex11-range";
const HELP: &str = "ex11-range [ADDRESS [FILE]]

Serves FILE as /, as a whole or in parts.
ADDRESS is 127.0.0.1:7011 where not given; port 0 means any free one. FILE is README.md where not given.";

/// What is to be sent of a file.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// All of it.
    Whole,
    /// From its start to before its end: `0..10` are the first ten bytes.
    Part(Range<u64>),
    /// Something that it hasn't got.
    Nothing,
}

/// What a Range field asks for, of a file of `length` bytes. There are three forms: `bytes=2-5` is from here
/// to there, both included; `bytes=2-` is from here on; `bytes=-5` is the last five. What goes beyond the end
/// is cut off there; what begins behind it is Nothing, and so are the last 0 bytes. What has another form, or ends
/// before it begins, wherever that is, is as if it weren't there: Whole. So is anything of an empty file, which has no
/// parts. A number that doesn't fit into 64 bits counts as the largest that does.
fn wanted(range: &str, length: u64) -> Wanted {
    // your turn: tell which part it is
    // hint: `"+5".parse::<u64>()` is 5: Rust takes a sign, and HTTP doesn't. Look at the digits yourself. And a number
    //   that is too large for 64 bits is a number all the same, beyond any end: take the largest one in its place.
    //   But adding 1 to that, or subtracting 500 from 10, ends in a panic: there are `saturating_add` and
    //   `saturating_sub`.
    // hint: Put into two numbers, start and end, all three look alike:
    //       let (start, end) = match (number(first), number(last)) {
    //           (Some(first), Some(last)) if first <= last => (first, last.saturating_add(1)),
    //           (Some(first), None) if last.is_empty() => …,
    //           (None, Some(count)) if first.is_empty() => …,
    //           _ => return Wanted::Whole,
    //       };
    //   and there is something of it if `start < end.min(length)`. Look first whether the file is empty.
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|it| it.split_once('-')) else {
        return Wanted::Whole;
    };
    if length == 0 {
        return Wanted::Whole;
    }
    let number = |word: &str| -> Option<u64> {
        let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| word.parse().unwrap_or(u64::MAX))
    };
    let (start, end) = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => (first, last.saturating_add(1)),
        (Some(first), None) if last.is_empty() => (first, length),
        (None, Some(count)) if first.is_empty() => (length.saturating_sub(count), length),
        _ => return Wanted::Whole,
    };
    match start < end.min(length) {
        true => Wanted::Part(start..end.min(length)),
        false => Wanted::Nothing,
    }
    // end
}

/// The file as it is now.
struct Served {
    file: Rc<File>,
    /// In bytes.
    length: u64,
    /// Another one for each version of it, with the quotes.
    tag: String,
    /// When it was changed, as Last-Modified says it.
    modified: Date,
}

/// The answer to GET, and to HEAD, for which the server sends the answer's head alone. A Range counts for GET
/// alone, and with an If-Range only if that is what ETag or Last-Modified say.
///
/// # Errors
/// When `Response::field` is given what can't be a field.
fn answer(served: Served, head: &Head<'_>) -> Result<Response, BadField> {
    // your turn: answer with the whole (200), with a part (206), or that there is no such part (416)
    // hint: `head.field("range")` is what the field says, if it's there; `head.method` is "GET" or "HEAD"; and
    //   `modified.as_str()` is the date as text. Which Range counts must be known before `wanted` is asked: where it
    //   doesn't count, there is no 416 either.
    // hint: `head.field` gives nothing for a field that isn't UTF-8, as if it weren't there. A Range is none then, and
    //   that's fine. But an If-Range is there, and isn't what it ought to be: look for it in `head.fields()`, which has
    //   the values as bytes.
    // hint: `Body::File { file, start, length }` is a part of a file of which the server reads as much as there is
    //   room for, when there is room. Whatever you read here stays in memory until the visitor has taken it.
    // hint: A 206 begins like this, and the others are no longer:
    //       Response::new(Status::PARTIAL_CONTENT)
    //           .field("Content-Range", &format!("bytes {}-{}/{length}", part.start, part.end - 1))?
    //           .with(Body::File { … })
    //   The 416 has no part in it, and no ETag: `Response::error(Status::RANGE_NOT_SATISFIABLE, "…")` with a
    //   Content-Range of `bytes */{length}`.
    let Served { file, length, tag, modified } = served;
    let if_range = head.fields().find(|(name, _)| name.eq_ignore_ascii_case("if-range"));
    let is_still = match if_range.map(|(_, value)| String::from_utf8_lossy(value)).as_deref() {
        Some(if_range) => if_range == tag || if_range == modified.as_str(),
        None => true,
    };
    let wanted = match head.field("range") {
        Some(range) if head.method == "GET" && is_still => wanted(range, length),
        _ => Wanted::Whole,
    };
    let response = match wanted {
        Wanted::Whole => Response::new(Status::OK).with(Body::File { file, start: 0, length }),
        Wanted::Part(Range { start, end }) => Response::new(Status::PARTIAL_CONTENT)
            .field("Content-Range", &format!("bytes {start}-{}/{length}", end - 1))?
            .with(Body::File { file, start, length: end - start }),
        Wanted::Nothing => {
            return Response::error(Status::RANGE_NOT_SATISFIABLE, "It has no such part.")
                .field("Content-Range", &format!("bytes */{length}"));
        }
    };
    response
        .field("ETag", &tag)?
        .field("Last-Modified", modified.as_str())?
        .field("Accept-Ranges", "bytes")
    // end
}

impl Served {
    /// Looks at the file.
    fn now(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?; // waits: for the disk, at the most
        let metadata = file.metadata()?;
        let (length, modified) = (metadata.len(), metadata.modified()?);
        let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        let tag = format!("\"{:x}.{:x}-{length:x}\"", since.as_secs(), since.subsec_nanos());
        Ok(Self { file: Rc::new(file), length, tag, modified: Date::of(modified) })
    }
}

fn main() {
    let arguments = program::arguments(HELP);
    let (address, path) = match arguments.as_slice() {
        [] => ("127.0.0.1:7011", "README.md"),
        [address] => (address.as_str(), "README.md"),
        [address, path] => (address.as_str(), path.as_str()),
        _ => program::complain(NAME, 2, "give an ADDRESS and a FILE; see --help"),
    };
    let address = program::address(NAME, address);
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => program::complain(NAME, 1, &format!("can't serve {path}: it's no file")),
        Err(error) => program::complain(NAME, 1, &format!("can't serve {path}: {error}")),
    }
    if let Err(error) = serve(address, path.into()) {
        program::complain(NAME, 1, &format!("can't serve on {address}: {error}"));
    }
}

fn serve(address: SocketAddr, path: PathBuf) -> io::Result<()> {
    let listener = listen_on(address, false)?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    let mut event_loop = ch08_epoll::event_loop()?;
    let timers = Timers::start(&mut event_loop, Clock::system());
    let mut routes = Routes::new();
    routes.get("/", move |_, request| {
        let response = match Served::now(&path) {
            Ok(served) => answer(served, request.head).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        response.unwrap_or_else(|error| {
            say(&format!("{}: {error}", path.display()));
            Response::error(Status::INTERNAL_SERVER_ERROR, "It can't be sent.")
        })
    });
    Server::start(&mut event_loop, timers, listener, Settings::USUAL, routes)?;
    event_loop.run() // waits: inside, for all of them
}
