//! The graded checks of chapter 11. The judged programs are servers; the checks play visitors who ask for what
//! they mustn't have, for parts, for what they have already, and for more than they read.
//!
//! Each exercise's checks are a file beside this one. What they share stands here.

mod fresh;
mod path;
mod range;
mod stream;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use grader::bytes as whole;
use grader::check;
use grader::check::{Check, Server, so_far};
use rstest::rstest;
use tempfile::TempDir;
use visitors::answer::{content_length, head_length, status};
use visitors::connection::{Connection, End, Received};
use visitors::program::{LOOK_EVERY, Trouble};

/// An answer, taken apart.
#[derive(Default)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = fields.find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        Some(value.trim())
    }

    /// How often it has a field of that name.
    fn times(&self, name: &str) -> usize {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).count()
    }
}

/// Takes the answer at the beginning of `bytes` apart. `None`: it isn't whole yet.
fn parse(bytes: &[u8], is_head: bool) -> Option<(Answer, usize)> {
    let start = head_length(bytes)?;
    let head = String::from_utf8_lossy(&bytes[..start]).into_owned();
    let mut answer = Answer { status: status(bytes)?, head, body: Vec::new() };
    if is_head || matches!(answer.status, 204 | 304) {
        return Some((answer, start));
    }
    if answer.field("transfer-encoding") == Some("chunked") {
        let mut chunks = Chunks::default();
        let used = chunks.take(&bytes[start..], &mut answer.body);
        return chunks.ended.then_some((answer, start + used));
    }
    let end = start + usize::try_from(content_length(&bytes[..start])?).ok()?;
    answer.body = bytes.get(start..end)?.to_vec();
    Some((answer, end))
}

/// A body that comes in chunks.
#[derive(Default)]
struct Chunks {
    /// How many lines end in each.
    lines: Vec<usize>,
    ended: bool,
}

impl Chunks {
    /// Takes the chunks that are whole, and says how many bytes that took.
    fn take(&mut self, bytes: &[u8], to: &mut Vec<u8>) -> usize {
        let mut used = 0;
        while !self.ended {
            let rest = &bytes[used..];
            let Some(line) = rest.windows(2).take(20).position(|two| two == b"\r\n") else { break };
            let size = String::from_utf8_lossy(&rest[..line]);
            let Ok(size) = usize::from_str_radix(&size, 16) else { break };
            let Some(data) = rest.get(line + 2..line + 2 + size) else { break };
            if rest.len() < line + size + 4 {
                break;
            }
            to.extend_from_slice(data);
            used += line + size + 4;
            match size {
                0 => self.ended = true,
                _ => self.lines.push(data.iter().filter(|byte| **byte == b'\n').count()),
            }
        }
        used
    }
}

/// Whether an answer has begun that doesn't say where it ends.
fn says_no_length(bytes: &[u8], is_head: bool) -> Option<u16> {
    let head = &bytes[..head_length(bytes)?];
    let status = status(bytes)?;
    let is_chunked =
        String::from_utf8_lossy(head).to_ascii_lowercase().contains("transfer-encoding: chunked");
    let has_body = !is_head && !matches!(status, 204 | 304);
    (has_body && !is_chunked && content_length(head).is_none()).then_some(status)
}

/// Whether what has come can't be the beginning of an answer.
fn is_no_answer(bytes: &[u8]) -> bool {
    let begin = b"HTTP/1.1 ";
    let count = bytes.len().min(begin.len());
    bytes[..count] != begin[..count]
}

/// A text as it's sent. `\u{ff}` is the byte 0xff, which is no UTF-8.
fn bytes(text: &str) -> Vec<u8> {
    let byte = |character: char| match u8::try_from(character) {
        Ok(byte) => vec![byte],
        Err(_) => character.to_string().into_bytes(),
    };
    text.chars().flat_map(byte).collect()
}

#[track_caller]
fn send(server: &Server<'_>, visitor: &mut Connection, text: &str) {
    if let Err(error) = visitor.send(&bytes(text)) {
        server.fail_seeing(&format!("the {} couldn't send: {error}", visitor.name()));
    }
}

/// The next whole answer that a visitor gets. `is_head`: the request was one for the head alone.
#[track_caller]
fn answer(server: &Server<'_>, visitor: &mut Connection, is_head: bool, when: &str) -> Answer {
    let name = visitor.name().to_owned();
    let enough = |bytes: &[u8]| {
        let is_whole = parse(bytes, is_head).is_some();
        is_no_answer(bytes) || is_whole || says_no_length(bytes, is_head).is_some()
    };
    let bytes = match visitor.receive_while_missing(&server.program, enough) {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(Received { bytes, end })) => {
            let ended = match end {
                End::Closed => "was hung up on",
                End::Reset => "got a reset",
            };
            let so_far = so_far(&bytes);
            server.fail_seeing(&format!(
                "{when}, the {name} {ended} without a whole answer ({so_far})"
            ))
        }
        Err((trouble, bytes)) => {
            let so_far = so_far(&bytes);
            let expected = format!("{when}, the {name} waits for a whole answer ({so_far})");
            server.fail_for(&expected, &trouble)
        }
    };
    if let Some(status) = says_no_length(&bytes, is_head) {
        if server.check.exercise() == "11-fresh" {
            server.check.suspect("no-length");
        }
        server.fail_seeing(&format!(
            "{when}, the {name}'s {status} has no Content-Length: nobody can tell where it ends"
        ));
    }
    match parse(&bytes, is_head) {
        Some((answer, length)) if !is_no_answer(&bytes) => {
            visitor.give_back(&bytes[length..]);
            answer
        }
        _ => {
            let so_far = so_far(&bytes);
            server.fail_seeing(&format!(
                "{when}, the {name} got what belongs to no answer ({so_far})"
            ));
        }
    }
}

/// Asks, and gives the answer. `fields` are whole lines.
#[track_caller]
fn ask(
    server: &Server<'_>,
    visitor: &mut Connection,
    method: &str,
    target: &str,
    fields: &str,
) -> Answer {
    send(server, visitor, &request(method, target, fields));
    let when = format!("after {}", called(method, target, fields));
    answer(server, visitor, method == "HEAD", &when)
}

/// A request. `fields` are whole lines.
fn request(method: &str, target: &str, fields: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

/// A request, as reports call it.
fn called(method: &str, target: &str, fields: &str) -> String {
    match lines(fields, "`, `") {
        None => format!("`{method} {target}`"),
        Some(lines) => format!("`{method} {target}` with `{lines}`"),
    }
}

/// The fields of a request, as reports call them.
fn with(fields: &str) -> String {
    match lines(fields, "` and `") {
        None => "with no field of that kind".to_owned(),
        Some(lines) => format!("with `{lines}`"),
    }
}

/// The lines of a request's fields, with this between two. A tab isn't to be taken for blanks.
fn lines(fields: &str, between: &str) -> Option<String> {
    let fields = fields.strip_suffix("\r\n").unwrap_or(fields);
    let shown = fields.replace("\r\n", between).replace('\t', "\\t");
    (!fields.is_empty()).then_some(shown)
}

/// Waits until the program has done all that it can do for now. It mustn't use CPU time then.
#[track_caller]
fn settle(server: &Server<'_>, when: &str) {
    if let Err(trouble) = server.program.settled() {
        server.fail_for(&format!("{when}, your program was to wait"), &trouble);
    }
}

/// A folder of the check's own, which goes with it. Its name has no dot in it.
#[track_caller]
fn folder(check: &Check) -> TempDir {
    let made = tempfile::Builder::new().prefix("waiting-game-").tempdir();
    made.unwrap_or_else(|error| check.fail(format!("no folder could be made: {error}")))
}

/// Fails if a file of the check's own can't be made.
#[track_caller]
fn made<T>(check: &Check, result: std::io::Result<T>, path: &Path) -> T {
    result
        .unwrap_or_else(|error| check.fail(format!("{} couldn't be made: {error}", path.display())))
}

/// A word in capitals, or another word if it has no small letters.
fn in_capitals(word: &str) -> String {
    let capitals = word.to_uppercase();
    if capitals == word { format!("{word}X") } else { capitals }
}

/// What there is of a body, for a report.
fn shown(body: &[u8]) -> String {
    let text = body[..body.len().min(40)].escape_ascii();
    let more = if body.len() > 40 { " …" } else { "" };
    format!("{} bytes, \"{text}\"{more}", body.len())
}
