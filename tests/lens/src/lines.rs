//! A call in words: a line in the terminal.

use std::time::Duration;

use visitors::calls::{Kind, family};

use crate::record::{Call, Line, Outcome, Signal};

/// The columns' names.
pub const HEADING: &str = "   time thread  call               waited  what came of it";

/// A call that is over.
pub fn call(call: &Call) -> String {
    let waited = if call.waited { time(call.took()) } else { "-".to_owned() };
    row(call.began(), call.thread, &name(&call.call, call.descriptor), &waited, &came_of(call))
}

/// A call that goes on. `what` is what its descriptor is, if it waits for one.
pub fn still(since: Duration, thread: u32, call: &str, kind: Kind, what: Option<&str>) -> String {
    let waits = match (kind, what) {
        (_, Some(what)) => format!("for {what}"),
        (Kind::Threads, _) => "for another of its threads".to_owned(),
        (kind, None) => kind.waits("its other end"),
    };
    row(since, thread, call, "waits …", &waits)
}

/// A signal that the program was given.
pub fn signal(signal: &Signal) -> String {
    let at = Duration::from_micros(signal.at_us);
    row(at, signal.thread, &format!("-- {} --", signal.signal), "", "")
}

/// What a program says to the one that takes its place, or the other way round. Nothing, where the line is another.
pub fn mark(line: &Line) -> Option<String> {
    let Line::Mark(mark) = line else { return None };
    let at = Duration::from_micros(mark.at_us);
    Some(format!("{:10.4} thread {} says {}", at.as_secs_f64(), mark.thread, mark.says))
}

fn row(at: Duration, thread: u32, call: &str, waited: &str, rest: &str) -> String {
    // A terminal of 80 columns has room for 37 letters of the rest.
    let row = format!("{:7.3} {thread:6}  {call:15} {waited:>9}  {rest}", at.as_secs_f64());
    row.trim_end().to_owned()
}

/// `read(4)`, as programmers write it; without the descriptor where there isn't one.
pub fn name(call: &str, descriptor: Option<i64>) -> String {
    match descriptor {
        Some(descriptor) => format!("{call}({descriptor})"),
        None => call.to_owned(),
    }
}

/// A time with three digits or so.
pub fn time(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1000.0;
    match milliseconds {
        ..10.0 => format!("{milliseconds:.2} ms"),
        ..1000.0 => format!("{milliseconds:.0} ms"),
        _ => format!("{:.2} s", time.as_secs_f64()),
    }
}

/// What came of a call.
pub fn came_of(call: &Call) -> String {
    let what = call.what.as_deref().unwrap_or("it");
    let bytes =
        |count: i64| if count == 1 { "1 byte".to_owned() } else { format!("{count} bytes") };
    let result = match &call.outcome {
        Outcome::Result(result) => *result,
        Outcome::Error(error) => return explain(error),
        Outcome::Interrupted(_) => return "a signal came in between".to_owned(),
        Outcome::Unfinished(why) => return format!("still in it when {why}"),
    };
    match (family(&call.call), result) {
        ("read", 0) => format!("the end, from {what}"),
        ("read", count) => format!("{} from {what}", bytes(count)),
        ("write", count) => format!("{} to {what}", bytes(count)),
        ("accept", new) => {
            format!("{}, as {new}", call.accepted.as_deref().unwrap_or("a connection"))
        }
        ("connect", _) => format!("connected to {what}"),
        ("select" | "poll" | "epoll_wait", 0) => "nobody was ready in time".to_owned(),
        ("select" | "poll" | "epoll_wait", count) if call.ready.is_empty() => {
            format!("{count} ready")
        }
        ("select" | "poll" | "epoll_wait", _) => {
            format!("{} ready: {}", call.ready.len(), call.ready.join(", "))
        }
        ("futex", _) if call.waited => "woken by another thread".to_owned(),
        ("futex", _) => "no need to wait".to_owned(),
        ("sleep", _) => "time is over".to_owned(),
        ("wait", 0) if call.call == "waitid" => "news of a child".to_owned(),
        ("wait", 0) => "no news of a child".to_owned(),
        ("wait", child) => format!("news of process {child}"),
        ("sendfile" | "splice" | "tee" | "vmsplice" | "copy_file_range", count) => bytes(count),
        ("vfork" | "clone" | "clone3", child) => format!("process {child} has begun"),
        ("close", 0) => format!("{what} is closed"),
        (
            "fsync" | "fdatasync" | "syncfs" | "sync_file_range" | "sync" | "msync" | "fallocate",
            0,
        ) => "the disk has it".to_owned(),
        (_, result) => result.to_string(),
    }
}

/// An error's name, and what it means for someone who waits.
fn explain(error: &str) -> String {
    let words = match error {
        "EAGAIN" => "not now",
        "EINTR" => "a signal came in between",
        "EINPROGRESS" => "it will be connected later",
        "ECONNREFUSED" => "nobody listens there",
        "ECONNRESET" => "the other end has reset the connection",
        "EPIPE" => "nobody reads at the other end",
        "ETIMEDOUT" => "the time was over",
        "ECHILD" => "there are no children",
        _ => return error.to_owned(),
    };
    format!("{error}: {words}")
}
