//! Exercise 10-chunks: a body whose length nobody knows yet.
//!
//! Whoever sends a page that is still being made can't say how long it is, and sends it in chunks: the size
//! of one in hex, a line's end, the data, a line's end; then the next. One of size 0 is the last (RFC
//! 9112, section 7.1). This program decodes such a body as it comes. A chunk isn't a piece: a piece may
//! end anywhere, in a number too. What it has understood so far, it keeps in a state; no data is kept.
//!
//! Run it:      printf '5\r\nhello\r\n7;a=b\r\n, you!\n\r\n0\r\n\r\nGET' | cargo run -p ex10-http --bin ex10-chunks
//!                  hello, you!
//!                  chunks: 2, bytes: 12, following: 3
//!              and once more with `-- 1` behind it: in pieces of 1 byte. It tells the same.
//! Be graded:   cargo grade 10

// Until you have written your part, much is unused here. Take these lines out when you have.
#![allow(clippy::ptr_arg, dead_code, unreachable_code)]
#![allow(unused_imports, unused_mut, unused_variables)]

use std::io::{self, ErrorKind, Read, Write};
use std::process::{ExitCode, exit};

const NAME: &str = "ex10-chunks";
const HELP: &str = "ex10-chunks [PIECE]

Decodes a chunked body: from standard input to standard output. PIECE is how many bytes are
looked at at once, at the most: 65536 where not given.";

/// How many bytes may come in a row that are no data. Before a chunk's data that is the line's end behind the
/// data before, and the size's line with its extension. Behind all data it's the line's end, the last chunk's
/// line, all trailers and the empty line: one row, with one count. More are an error: else one could send for ever.
const MOST_BETWEEN: usize = 4 * 1024;
/// How much is read at once, at the most.
const PIECE: usize = 64 * 1024;

/// What the bytes so far were, and so what the next one is. The line's end is \r\n everywhere: a \r or \n
/// alone is an error, because others may take it for a line's end and read another body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a chunk's size. `None`: its first digit is to come.
    Size(Option<u64>),
    /// In an extension, which is skipped, from its `;` to the line's end.
    Extension(u64),
    /// The \r behind the size (or the extension) was there: the \n is to come.
    SizeEnd(u64),
    /// In a chunk's data. So many bytes are to come, 1 or more.
    Data(u64),
    /// All of a chunk's data was there: a \r is to come.
    DataEnd,
    /// And the \n.
    DataEndLf,
    /// Behind the last chunk, at the beginning of a line: of a trailer, or of the empty line.
    Line,
    /// In a trailer's line, which is skipped.
    Trailer,
    /// The \r of a trailer's line was there.
    TrailerEnd,
    /// The \r of the empty line was there.
    LastEnd,
    /// The body is over. What follows belongs to somebody else.
    Over,
}

/// What is wrong with a body that can't be decoded, in a few words.
type Broken = &'static str;

/// A body in chunks, as far as it has come.
struct Decoder {
    state: State,
    /// How many chunks have begun; the last one, which is empty, isn't counted. `after` counts them.
    chunks: u64,
    /// How many bytes came in a row that were no data. `decode` counts them.
    between: usize,
}

impl Decoder {
    /// Another piece has come. Adds the data in it to `data`, as much as there is: the chunk needn't be
    /// whole. Gives `None` when there's more of the body to come, or how many bytes of this piece belong
    /// to the body if it ends here. It isn't called again after that, nor after an error.
    ///
    /// # Errors
    /// The body is broken: as soon as the first wrong byte is there. What came before it is in `data`; what
    /// comes behind it isn't looked at.
    fn decode(&mut self, piece: &[u8], data: &mut Vec<u8>) -> Result<Option<usize>, Broken> {
        // your turn: go through the piece: take the data, and let `after` judge each other byte
        todo!("go through the piece: take the data, and let `after` judge each other byte")
        // end
    }

    /// The state after this `byte`, which is no data.
    ///
    /// # Errors
    /// That byte can't be there: what is wrong.
    fn after(&mut self, byte: u8) -> Result<State, Broken> {
        // your turn: say what comes next
        todo!("say what comes next")
        // end
    }
}

fn main() -> ExitCode {
    match pass_on(piece_from_args()) {
        Ok(code) => code,
        Err(error) => complain(1, &format!("can't go on: {error}")),
    }
}

/// Reads all that comes, at most so many bytes at once, and writes the data at once.
fn pass_on(at_once: usize) -> io::Result<ExitCode> {
    let mut output = io::stdout().lock();
    let mut decoder = Decoder { state: State::Size(None), chunks: 0, between: 0 };
    let mut buffer = vec![0; at_once];
    let (mut bytes, mut over, mut follow) = (0, false, 0);
    loop {
        // waits: until something comes, or nothing ever will
        let count = match io::stdin().read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        };
        if count == 0 {
            break;
        }
        if over {
            follow += count;
            continue;
        }
        let mut data = Vec::new();
        let result = decoder.decode(&buffer[..count], &mut data);
        output.write_all(&data)?;
        output.flush()?;
        bytes += data.len();
        match result {
            Ok(None) => {}
            Ok(Some(taken)) => (over, follow) = (true, count - taken),
            Err(why) => complain(1, &format!("broken: {why}")),
        }
    }
    if !over {
        complain(1, "the input ends in the middle of the body");
    }
    eprintln!("chunks: {}, bytes: {bytes}, following: {follow}", decoder.chunks);
    Ok(ExitCode::SUCCESS)
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
