//! How each visitor fared, in a line. The wording is fixed, and apart from the times nothing in
//! it is left to chance: transcripts are compared with it.

use std::fmt::Write;
use std::time::Duration;

use visitors::crowd::Fared;
use visitors::visit::{Ending, Visit};

/// The longest last line of an answer that is quoted, in characters.
const LONGEST_QUOTE: usize = 60;

/// An answer of so many bytes and more is told by its size, not quoted.
const LARGE: u64 = 4096;

/// One line for each visit, in order, aligned.
pub fn lines(visits: &[Visit]) -> Vec<String> {
    let labels: Vec<String> = visits.iter().map(|visit| visit.who.to_string()).collect();
    let width = labels.iter().map(String::len).max().unwrap_or(0);
    let line = |(visit, label)| format!("{label:width$}  {}", fared(visit));
    visits.iter().zip(labels).map(line).collect()
}

/// How one fared: `answered 200 after 1.2 ms: chapter 2`.
fn fared(visit: &Visit) -> String {
    let took = time(visit.took);
    match &visit.ending {
        Ending::Unstarted => "never called: the play was over before its turn came".to_owned(),
        Ending::Failed(error) => format!("failed by itself after {took}: {error}"),
        Ending::Refused => format!("refused after {took}"),
        _ if visit.connected.is_none() && visit.crowd.is_none() => {
            format!("not connected after {took}: gave up")
        }
        ending => match visit.who.word() {
            "crowd" => visit.crowd.as_ref().map_or_else(String::new, |f| crowd(f, visit.took)),
            "silent" => silent(visit, ending),
            "rude" => rude(visit, ending),
            _ => asked(visit, ending),
        },
    }
}

/// One who wanted the whole answer.
fn asked(visit: &Visit, ending: &Ending) -> String {
    let took = time(visit.took);
    match ending {
        Ending::Answered { status } => {
            let mut text = format!("answered {status} after {took}");
            if visit.received >= LARGE {
                let _ = write!(text, ": {}", size(visit.received));
            } else if let Some(line) = last_line(visit.body()) {
                let _ = write!(text, ": {line}");
            }
            text
        }
        Ending::GaveUp if visit.received > 0 => {
            format!("answer not whole after {took}, {} so far: gave up", size(visit.received))
        }
        Ending::GaveUp if visit.sent.is_none() => {
            format!("request not sent whole after {took}: gave up")
        }
        Ending::GaveUp => format!("no answer after {took}: gave up"),
        Ending::Reset if visit.received > 0 => {
            format!("answer broken off by a reset after {took}, at {}", size(visit.received))
        }
        Ending::Reset => format!("no answer: reset after {took}"),
        Ending::CutShort => format!("answer broken off after {took}, at {}", size(visit.received)),
        Ending::Nonsense => {
            format!("no HTTP answer, but {} of something else", size(visit.received))
        }
        _ => format!("no answer: hung up on after {took}"),
    }
}

fn silent(visit: &Visit, ending: &Ending) -> String {
    let took = time(visit.took);
    match ending {
        Ending::Left => format!("said nothing for {took}, and was left alone"),
        Ending::Answered { status } => {
            format!("said nothing, and was sent away with {status} after {took}")
        }
        Ending::Reset => format!("said nothing, and was reset after {took}"),
        _ => format!("said nothing, and was hung up on after {took}"),
    }
}

fn rude(visit: &Visit, ending: &Ending) -> String {
    match (visit.rude_hang_ups, ending) {
        (2, Ending::Left) => "hung up in its request, then in the answer".to_owned(),
        (1, ending) => format!("hung up in its request; then {}", asked(visit, ending)),
        (_, ending) => asked(visit, ending),
    }
}

/// `1000 connected; 936 stayed for 5.0 s, 64 sent away with 503`.
fn crowd(fared: &Fared, took: Duration) -> String {
    let mut text = format!("{} of {} connected", fared.connected, fared.size);
    let mut parts = Vec::new();
    let mut part = |count: usize, words: &str| {
        if count > 0 {
            parts.push(format!("{count} {words}"));
        }
    };
    part(fared.stayed, &format!("stayed for {}", time(took)));
    for (status, count) in &fared.sent_away {
        part(*count, &format!("sent away with {status}"));
    }
    part(fared.hung_up_on, "hung up on");
    part(fared.refused, "refused");
    part(fared.left_outside, "left outside");
    if !parts.is_empty() {
        let _ = write!(text, ": {}", parts.join(", "));
    }
    if let Some(error) = &fared.error {
        let _ = write!(text, " (the last: {error})");
    }
    text
}

/// The last line of a body, if it's short. A server's control characters don't reach the terminal.
fn last_line(body: &[u8]) -> Option<String> {
    let text = str::from_utf8(body).ok()?;
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    let short = line.chars().count() <= LONGEST_QUOTE;
    (short && !line.contains(char::is_control)).then(|| line.to_owned())
}

/// `1.2 ms`, or `5.0 s`.
pub fn time(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1000.0;
    // What would be rounded to 1000.0 ms is a second.
    if milliseconds < 999.95 {
        format!("{milliseconds:.1} ms")
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

/// `512 bytes`, `1.5 KiB`, `2.3 MiB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        1 => "1 byte".to_owned(),
        0..1024 => format!("{bytes} bytes"),
        1024..0x10_0000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0)),
    }
}
