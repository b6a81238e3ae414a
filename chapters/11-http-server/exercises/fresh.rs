//! Exercise 11-fresh: who has it already isn't sent it again.
//!
//! A browser keeps what it was sent, and next time asks only whether it's still the same: `If-None-Match` with
//! the page's tag, or `If-Modified-Since` with its date. If it is, the answer is 304, a head and nothing
//! behind it. Others want to be sure that nobody has changed it meanwhile, with `If-Match` or
//! `If-Unmodified-Since`; if somebody has, the answer is 412. Which of the four counts, and in which order, stands
//! at `judge`, and in RFC 9110, section 13.2.2. This server writes heads and bodies by hand: whoever sends a body behind the
//! head of a 304, or of any answer to HEAD, sends what will be read as the next answer.
//!
//! A tag is a name for the page's content: different content has a different tag, even if it's as long and was
//! written at the same moment; and the same page has the same tag at the next request, after the server was
//! started again, and after it was written again as it was, whatever its date is then.
//!
//! Run it:      cargo run -p ex11-http-server --bin ex11-fresh      and, in a second terminal,
//!              curl -i 127.0.0.1:7011      and again, with its tag:
//!              curl -i -H 'If-None-Match: "the tag"' 127.0.0.1:7011
//! Be graded:   cargo grade 11

// Until you have written your part, much is unused here. Take these lines out when you have.
#![allow(clippy::ptr_arg, dead_code, unreachable_code)]
#![allow(unused_imports, unused_mut, unused_variables)]

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ch07_callbacks::program::{self, say};
use ch07_callbacks::{EventLoop, Input, Token};
use ch10_http::{Date, Event, Head, Limits, Parser, Refusal, Status};

const NAME: &str = "ex11-fresh";
const HELP: &str = "ex11-fresh [ADDRESS [FILE]]

Serves FILE to those who haven't got it, whatever path they ask for.
ADDRESS is 127.0.0.1:7011 where not given; port 0 means any free one. FILE is README.md where not given.";

/// Longest file that is served, in bytes: it's read for each request.
const LONGEST: u64 = 1 << 20;
/// How much may be queued for a visitor, in bytes. Who asks for more without reading gets that, and is hung
/// up on.
const MOST_QUEUED: usize = 2 << 20;

/// The file as it is now.
struct Page {
    bytes: Vec<u8>,
    /// When it was changed, as exactly as the file system knows. A date in HTTP has whole seconds: see
    /// [`whole_seconds`].
    modified: SystemTime,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// 200: here it is.
    Send,
    /// 304: the visitor has it.
    NotModified,
    /// 412: it isn't what the visitor thinks it is.
    Failed,
}

/// The page's tag, a strong one, with the quotes. Between them there are no quotes, commas, blanks or control
/// characters.
fn tag(page: &Page) -> String {
    // your turn: name the content
    todo!("name the content")
    // end
}

/// Whether a list of tags has this one: `"one", W/"two"`, with blanks or tabs around the commas or without, or
/// `*` alone, which is every tag. `W/`, in a capital letter, marks a weak one, "about the same". With `weakly`,
/// weak ones count too. An empty list has none.
fn is_among(list: &str, tag: &str, weakly: bool) -> bool {
    // your turn: look for the tag in the list
    todo!("look for the tag in the list")
    // end
}

/// What becomes of a request with this head for this page. There are two questions. First: is it what the
/// visitor thinks it is? If-Match asks that with tags, and weak ones don't count; only where there is no If-Match,
/// If-Unmodified-Since asks it with a date. Then: does the visitor have it? If-None-Match asks that with tags,
/// weak or not; only where there is no If-None-Match, If-Modified-Since asks it with a date. A field with
/// tags may stand there in several lines, with others between them: all lines of its name are one list, in their
/// order, as if there were commas between them (RFC 9110, section 5.3). A page wasn't modified since a date if
/// its own, in whole seconds, is that one or an earlier one. What is no date is as if it weren't there.
fn judge(page: &Page, head: &Head<'_>) -> Verdict {
    // your turn: look at the four fields, in their order
    todo!("look at the four fields, in their order")
    // end
}

/// A moment without its part of a second.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// Writes an answer's head into `to`: the status line, Date, these fields, and the empty line. Nothing
/// is added: where a body follows, one of the fields is Content-Length.
fn write_head(to: &mut Vec<u8>, status: Status, fields: &[(&str, &str)]) {
    // Writing into memory doesn't fail.
    let _ = write!(to, "HTTP/1.1 {} {}\r\n", status.code(), status.reason());
    let _ = write!(to, "Date: {}\r\n", Date::of(SystemTime::now()).as_str());
    for (name, value) in fields {
        let _ = write!(to, "{name}: {value}\r\n");
    }
    to.extend_from_slice(b"\r\n");
}

/// Writes the answer to GET or HEAD into `to`, behind what is there: the answers to requests that came in the
/// same piece. 200 has an ETag, a Last-Modified, a Content-Length, and the page behind it. 304 has an ETag and
/// nothing behind it, and says nothing of a length. 412 has a Content-Length, be it 0. To HEAD it's the same
/// head as to GET, and nothing behind it. No field stands there twice.
fn answer(page: &Page, head: &Head<'_>, to: &mut Vec<u8>) {
    // your turn: write the head, and the body where there is one
    todo!("write the head, and the body where there is one")
    // end
}

impl Page {
    /// Reads the file.
    fn now(path: &Path) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let file = File::open(path)?;
        let modified = file.metadata()?.modified()?;
        file.take(LONGEST).read_to_end(&mut bytes)?; // waits: for the disk, at the most
        Ok(Self { bytes, modified })
    }
}

/// The read callback: answers all requests that are whole, and leaves the rest where it is.
fn data_available(
    event_loop: &mut EventLoop,
    me: Token,
    input: &mut Input,
    parser: &mut Parser,
    path: &Path,
) {
    let (mut used, mut answers) = (0, Vec::new());
    let mut goes_on = event_loop.queued(me) < MOST_QUEUED;
    while goes_on {
        match parser.next(&input.bytes[used..]) {
            Ok(None) => break,
            Ok(Some((event, count))) => {
                used += count;
                if let Event::Head(head) = event {
                    goes_on = head.keep_alive;
                    answer_one(path, &head, &mut answers);
                }
            }
            Err(Refusal { status, .. }) => {
                let fields = [("Content-Length", "0"), ("Connection", "close")];
                write_head(&mut answers, status, &fields);
                goes_on = false;
            }
        }
        goes_on &= answers.len() < MOST_QUEUED;
    }
    input.bytes.drain(..used);
    event_loop.send(me, &answers);
    if !goes_on || input.ended {
        event_loop.finish(me);
    }
}

fn answer_one(path: &Path, head: &Head<'_>, to: &mut Vec<u8>) {
    if !matches!(head.method, "GET" | "HEAD") {
        let fields = [("Content-Length", "0"), ("Allow", "GET, HEAD")];
        return write_head(to, Status::METHOD_NOT_ALLOWED, &fields);
    }
    match Page::now(path) {
        Ok(page) => answer(&page, head, to),
        Err(error) => {
            say(&format!("{}: {error}", path.display()));
            write_head(to, Status::INTERNAL_SERVER_ERROR, &[("Content-Length", "0")]);
        }
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
        Ok(metadata) if metadata.is_file() && metadata.len() <= LONGEST => {}
        Ok(_) => {
            program::complain(NAME, 1, &format!("can't serve {path}: no file of 1 MiB or less"))
        }
        Err(error) => program::complain(NAME, 1, &format!("can't serve {path}: {error}")),
    }
    let listener = program::listen_or_exit(NAME, address);
    if let Err(error) = serve(listener, Path::new(path).into()) {
        program::complain(NAME, 1, &format!("the loop failed: {error}"));
    }
}

fn serve(listener: TcpListener, path: Rc<Path>) -> io::Result<()> {
    let mut event_loop = ch08_epoll::event_loop()?;
    event_loop.listen(listener, move |event_loop, came| match came {
        Ok((visitor, _)) => {
            let path = Rc::clone(&path);
            let mut parser = Parser::new(Limits::USUAL);
            event_loop.set_read_callback(visitor, move |event_loop, me, input| {
                data_available(event_loop, me, input, &mut parser, &path);
            });
        }
        Err(error) => say(&format!("not accepted: {error}")),
    })?;
    event_loop.run() // waits: inside, for all of them
}
