//! Chapter 10's program: shows what the parser says of the bytes on standard input.

use std::io::{self, ErrorKind, Read, Write};
use std::process::exit;

use ch10_http::{Event, Framing, Head, Limits, Parser, Refusal, Version};

const NAME: &str = "ch10-http";
/// How much is read at a time, in bytes, where nothing smaller is asked for.
const MOST: usize = 64 * 1024;
/// Longest line that is written, in characters. What somebody sent is cut to fit.
const WIDTH: usize = 88;

const HELP: &str = "ch10-http [PIECE]

Reads HTTP requests from standard input and says what the parser makes of them, a
line an event, with how many bytes it took; `not yet` whenever it needs more.
PIECE is how many bytes it gets at a time, at most; without it, as many as come.
Ends with 0 at a clean end, with 1 if a request was refused or cut off.

  printf 'GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n' | cargo run -p ch10-http -- 7";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "-h" || argument == "--help") {
        let _ = writeln!(io::stdout(), "{HELP}");
        exit(0);
    }
    let piece = match arguments.as_slice() {
        [] => MOST,
        [piece] => piece_from(piece),
        _ => complain(2, "give one PIECE, or none; see --help"),
    };
    match show(&mut io::stdin().lock(), piece) {
        Ok(all_well) => exit(if all_well { 0 } else { 1 }),
        // Nobody listens any more.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => exit(1),
        Err(error) => complain(1, &error.to_string()),
    }
}

// ANCHOR: show
/// Feeds the parser and says what it says. False: not all is well with
/// the bytes.
fn show(input: &mut impl Read, piece: usize) -> io::Result<bool> {
    let mut parser = Parser::new(Limits::USUAL);
    let mut all_well = true;
    let mut bytes = Vec::new();
    loop {
        let count = read(input, &mut bytes, piece)?;
        if count == 0 {
            break;
        }
        loop {
            match parser.next(&bytes) {
                Ok(None) => break,
                Ok(Some((event, took))) => {
                    say(&line(&event, took))?;
                    bytes.drain(..took);
                }
                Err(refusal) => {
                    say(&refused(&refusal))?;
                    all_well = false;
                    if refusal.close {
                        return Ok(false);
                    }
                }
            }
        }
        if !parser.is_between() || !bytes.is_empty() {
            say(&format!("not yet    {} so far", bytes_of(bytes.len())))?;
        }
    }
    if !parser.is_between() || !bytes.is_empty() {
        say(&format!("cut off    {} left", bytes_of(bytes.len())))?;
        return Ok(false);
    }
    Ok(all_well)
}
// ANCHOR_END: show

/// Reads at most so much, behind what is there. How much that was: none at the end.
fn read(input: &mut impl Read, bytes: &mut Vec<u8>, most: usize) -> io::Result<usize> {
    let before = bytes.len();
    bytes.resize(before + most, 0);
    let count = loop {
        match input.read(&mut bytes[before..]) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => break result,
        }
    };
    bytes.truncate(before + count.as_ref().map_or(0, |count| *count));
    count
}

fn line(event: &Event<'_>, took: usize) -> String {
    let took = bytes_of(took);
    match event {
        Event::Head(head) => {
            let (begin, end) = (format!("head       {took}: "), tail(head));
            let shown = shortened(request_line(head), WIDTH - begin.len() - end.len());
            format!("{begin}{shown}{end}")
        }
        Event::Body(piece) => {
            let begin = format!("body       {took}: {} of body, ", piece.len());
            let shown = shortened(piece, WIDTH - begin.len() - 2);
            format!("{begin}\"{shown}\"")
        }
        Event::End => format!("end        {took}"),
    }
}

/// As it was sent, without the version.
fn request_line<'b>(head: &Head<'b>) -> &'b [u8] {
    let line = head.raw().split(|byte| *byte == b'\r').next().unwrap_or_default();
    &line[..line.len() - " HTTP/1.1".len()]
}

fn tail(head: &Head<'_>) -> String {
    let version = match head.version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
    };
    let body = match head.body {
        Framing::None => "no body".to_owned(),
        Framing::Length(length) => format!("{length} of body"),
        Framing::Chunked => "chunks".to_owned(),
    };
    let waits = if head.expects_continue { ", waits" } else { "" };
    let then = if head.keep_alive { "stays" } else { "closes" };
    format!(" {version}, {body}{waits}, {then}")
}

fn refused(refusal: &Refusal) -> String {
    let then = if refusal.close { "closes" } else { "goes on" };
    format!("refused    {refusal}; {then}")
}

fn bytes_of(count: usize) -> String {
    match count {
        1 => "1 byte".to_owned(),
        _ => format!("{count} bytes"),
    }
}

/// Their beginning, readable: a visitor's bytes could be orders for the terminal.
fn shortened(bytes: &[u8], most: usize) -> String {
    let text = bytes[..bytes.len().min(most + 1)].escape_ascii().to_string();
    if text.len() <= most {
        return text;
    }
    format!("{}...", &text[..most - 3])
}

fn piece_from(word: &str) -> usize {
    match word.parse() {
        Ok(piece) if piece > 0 => MOST.min(piece),
        _ => complain(2, &format!("{word:?} is no PIECE such as 7; see --help")),
    }
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// One line on stderr, and the end.
fn complain(status: i32, message: &str) -> ! {
    let _ = writeln!(io::stderr(), "{NAME}: {message}");
    exit(status)
}
