//! How many system calls an answer takes: counted by the lens, which slows the server down, so nothing is timed meanwhile.

use std::io;
use std::time::Duration;

use ch07_callbacks::EventLoop;

use crate::load::visits::Visits;
use crate::measure::started::Started;
use crate::result::Counted;

/// How long it's asked.
pub const ONE_BY_ONE: Duration = Duration::from_millis(100);

/// So many a second: whoever comes finds the last one gone, also where a turn takes some milliseconds.
#[cfg(target_env = "gnu")]
const A_SECOND: u32 = 40;
/// With more threads it isn't done: to take hold of each of them takes longer than all the rest.
#[cfg(target_env = "gnu")]
const MOST_WATCHED: u64 = 1500;

/// What the server calls while some ask one after the other, with so much time between them that nobody meets another.
/// `None` where it can't be seen, and where not all are answered.
///
/// # Errors
/// When the load itself can't go on.
#[cfg(target_env = "gnu")]
pub fn count(
    event_loop: &mut EventLoop,
    server: &Started,
    visits: &Visits,
) -> io::Result<Option<Counted>> {
    use lens::count::{Counting, Counts};

    use crate::load::visits::visit;
    use crate::result::Pace;

    if server.threads().is_none_or(|count| count > MOST_WATCHED) {
        return Ok(None);
    }
    let Ok(counting) = Counting::on(server.processes()) else { return Ok(None) };
    let pace = Pace::Closed { at_once: 1, a_second: Some(A_SECOND) };
    let heard = visit(event_loop, Visits { pace, lasting: ONE_BY_ONE, ..visits.clone() });
    let counts = counting.counts();
    for (pid, status) in counting.finish() {
        server.has_ended_with(pid, status);
    }
    let (heard, Some(Counts { calls, turns })) = (heard?, counts) else { return Ok(None) };
    // Of those who weren't answered the calls would count, too.
    let is_well = heard.failed() == 0 && heard.answered > 0;
    Ok(is_well.then_some(Counted { answers: heard.answered, calls, turns }))
}

/// The lens needs glibc.
///
/// # Errors
/// None.
#[cfg(not(target_env = "gnu"))]
pub fn count(_: &mut EventLoop, _: &Started, _: &Visits) -> io::Result<Option<Counted>> {
    Ok(None)
}
