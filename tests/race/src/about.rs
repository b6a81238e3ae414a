//! What a race was, in sentences: for the table's head, and for the small print of the pictures.

use textwrap::core::display_width;

use crate::plot::words::{cut, number, plain};
use crate::result::{Machine, Pace, Plan, Race};
use crate::units::Unit;

/// A longer name is cut, in tables and in the line of progress.
pub const LONGEST_NAME: usize = 14;

/// A server's name as it's printed: without what a terminal would obey, and not too wide.
pub fn short(name: &str) -> String {
    let name = cut(&plain(name), LONGEST_NAME);
    // One that's twice as wide as others, in a terminal.
    if display_width(&name) > LONGEST_NAME { cut(&name, LONGEST_NAME / 2) } else { name }
}

/// `5 rounds`, `1 visitor`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{} {what}{}", number(count as f64), if count == 1 { "" } else { "s" })
}

/// `AMD EPYC 7B13, 2 cores, Linux 6.12.1`.
pub fn machine(machine: &Machine) -> String {
    let processor = machine.processor.as_deref().unwrap_or("unknown processor");
    plain(&format!("{processor}, {}, {}", counted(machine.cores, "core"), machine.kernel))
}

/// How it was asked.
pub fn pace(plan: &Plan) -> String {
    let timed = match plan.pace {
        Pace::Open { .. } => "due",
        Pace::Closed { .. } => "sent",
    };
    format!("{}, each timed from when it was {timed}", asked(plan))
}

/// How often it was asked.
pub fn asked(plan: &Plan) -> String {
    match plan.pace {
        Pace::Open { a_second } => format!("{} requests a second", number(a_second.into())),
        Pace::Closed { at_once, a_second } => {
            let most = match a_second {
                Some(most) => format!(", at most {} a second", number(most.into())),
                None => String::new(),
            };
            format!("{at_once} at once{most}")
        }
    }
}

/// How many rounds there are. Somebody may have ended it before the last.
pub fn rounds(race: &Race) -> usize {
    race.servers.iter().map(|server| server.rounds.len()).max().unwrap_or(0)
}

/// All that was done.
pub fn plan(race: &Race) -> String {
    let plan = &race.plan;
    let mut words = format!(
        "{}; {}, for {} with each crowd",
        counted(rounds(race), "round"),
        pace(plan),
        Unit::Time.show(plan.window as f64)
    );
    if plan.rush > 0 {
        words +=
            &format!("; then as fast as answers came, for {}", Unit::Time.show(plan.rush as f64));
    }
    words += if plan.stays { "; visitors stayed" } else { "; a new connection for each request" };
    if let Some(who) = &plan.meanwhile {
        words += &format!("; in the middle third of the time there was {}", plain(who));
    }
    words
}

/// Programs that had nothing to do with the race, each once.
pub fn others(race: &Race) -> Vec<String> {
    let rounds = race.servers.iter().flat_map(|server| &server.rounds);
    let mut others: Vec<String> =
        rounds.flat_map(|round| round.others.iter().map(|other| plain(other))).collect();
    others.sort();
    others.dedup();
    others
}
