//! What a client's line says (RFC 5321, section 4.1.1).

use crate::mail::path::{Path, path};

/// The longest name of a client, in bytes (RFC 5321, section 4.5.3.1.2).
const LONGEST_NAME: usize = 255;

/// A command that can be carried out, if it comes at the right time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// HELO or, `extended`, EHLO.
    Hello {
        name: String,
        extended: bool,
    },
    /// `size`: how many bytes the client says that it will be (RFC 1870).
    Mail {
        sender: Path,
        size: Option<u64>,
    },
    Rcpt(Path),
    Data,
    Rset,
    Noop,
    Vrfy,
    Help,
    Quit,
}

/// A reply to what is none, without its line's end.
pub type Refusal = &'static str;

const UNKNOWN: Refusal = "500 5.5.2 Unknown command";
const NO_LISTS: Refusal = "502 5.5.1 There are no lists here";
const NO_NAME: Refusal = "501 Give your name";
const NOTHING_TO_FIND: Refusal = "501 5.5.4 Give a name";
const TOO_MUCH: Refusal = "501 5.5.4 Nothing can stand behind that";
const NO_FROM: Refusal = "501 5.5.4 Say MAIL FROM:<user@example.com>";
const NO_TO: Refusal = "501 5.5.4 Say RCPT TO:<user@example.com>";
const BAD_SENDER: Refusal = "501 5.1.7 That is no address such as <user@example.com>";
const BAD_RECIPIENT: Refusal = "501 5.1.3 That is no address such as <user@example.com>";
const NOT_ASCII: Refusal = "553 5.6.7 Addresses are in ASCII here";
const BAD_PARAMETER: Refusal = "501 5.5.4 That is no parameter";
const UNKNOWN_PARAMETER: Refusal = "555 5.5.4 Unknown parameter";

// ANCHOR: parse
/// Reads a line. `Err`: what to reply.
///
/// # Errors
/// When it's no command, or one of those that this server doesn't have.
pub fn parse(line: &[u8]) -> Result<Command, Refusal> {
    // Blanks at the end are to be tolerated (section 4.1.1).
    let line = line.trim_ascii_end();
    let (verb, rest) = match line.iter().position(|&byte| byte == b' ') {
        Some(blank) => line.split_at(blank),
        None => (line, &b""[..]),
    };
    let rest = rest.trim_ascii_start();
    match verb.to_ascii_uppercase().as_slice() {
        b"HELO" => hello(rest, false),
        b"EHLO" => hello(rest, true),
        b"MAIL" => mail(rest),
        b"RCPT" => rcpt(rest),
        b"DATA" => alone(rest, Command::Data),
        b"RSET" => alone(rest, Command::Rset),
        b"QUIT" => alone(rest, Command::Quit),
        b"NOOP" => Ok(Command::Noop),
        b"HELP" => Ok(Command::Help),
        b"VRFY" if rest.is_empty() => Err(NOTHING_TO_FIND),
        b"VRFY" => Ok(Command::Vrfy),
        b"EXPN" => Err(NO_LISTS),
        _ => Err(UNKNOWN),
    }
}
// ANCHOR_END: parse

fn alone(rest: &[u8], command: Command) -> Result<Command, Refusal> {
    if rest.is_empty() { Ok(command) } else { Err(TOO_MUCH) }
}

/// Any name will do: curl gives a file's, blanks and all, and that is no reason to refuse its mail.
/// But it's written into a field, and mustn't end it, nor look like more than a name.
fn hello(name: &[u8], extended: bool) -> Result<Command, Refusal> {
    if !(1..=LONGEST_NAME).contains(&name.len()) {
        return Err(NO_NAME);
    }
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"()<>\\\";,".contains(&byte);
    let plain = |&byte| if is_plain(byte) { char::from(byte) } else { '?' };
    Ok(Command::Hello { name: name.iter().map(plain).collect(), extended })
}

fn mail(rest: &[u8]) -> Result<Command, Refusal> {
    let (sender, parameters) = addressed(rest, "FROM:", NO_FROM, BAD_SENDER)?;
    // Without a domain, even postmaster is nobody to whom one could answer.
    if !sender.is_null() && !sender.as_str().contains('@') {
        return Err(BAD_SENDER);
    }
    let (mut size, mut body) = (None, None);
    for parameter in parameters.split_ascii_whitespace() {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let before = match name.to_ascii_uppercase().as_str() {
            "SIZE" => size.replace(size_of(value).ok_or(BAD_PARAMETER)?).map(drop),
            "BODY" => body.replace(body_of(value).ok_or(BAD_PARAMETER)?),
            _ => return Err(UNKNOWN_PARAMETER),
        };
        if before.is_some() {
            return Err(BAD_PARAMETER);
        }
    }
    Ok(Command::Mail { sender, size })
}

fn rcpt(rest: &[u8]) -> Result<Command, Refusal> {
    let (recipient, parameters) = addressed(rest, "TO:", NO_TO, BAD_RECIPIENT)?;
    match (recipient.is_null(), parameters.is_empty()) {
        (true, _) => Err(BAD_RECIPIENT),
        (_, false) => Err(UNKNOWN_PARAMETER),
        _ => Ok(Command::Rcpt(recipient)),
    }
}

/// The path behind `word`, and the parameters behind that.
fn addressed<'a>(
    rest: &'a [u8],
    word: &str,
    no_word: Refusal,
    bad: Refusal,
) -> Result<(Path, &'a str), Refusal> {
    let (said, text) = rest.split_at_checked(word.len()).ok_or(no_word)?;
    if !said.eq_ignore_ascii_case(word.as_bytes()) {
        return Err(no_word);
    }
    if !text.is_ascii() {
        return Err(NOT_ASCII);
    }
    let text = std::str::from_utf8(text).map_err(|_| NOT_ASCII)?;
    // A blank isn't allowed there. But who types it means no harm.
    let (path, behind) = path(text.trim_start_matches(' ')).ok_or(bad)?;
    if !behind.is_empty() && !behind.starts_with(' ') {
        return Err(bad);
    }
    Ok((path, behind.trim_start_matches(' ')))
}

/// Up to twenty digits. With twenty it's more than anybody has.
fn size_of(value: &str) -> Option<u64> {
    let is_number = (1..=20).contains(&value.len()) && value.bytes().all(|it| it.is_ascii_digit());
    is_number.then(|| value.parse().unwrap_or(u64::MAX))
}

/// Either is fine: what comes is kept as it is (RFC 6152).
fn body_of(value: &str) -> Option<()> {
    let known = ["7BIT", "8BITMIME"];
    known.iter().any(|known| value.eq_ignore_ascii_case(known)).then_some(())
}
