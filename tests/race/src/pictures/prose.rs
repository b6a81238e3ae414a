//! What the pictures say in words.

use textwrap::Options;

use super::curve::Curve;
use super::picture::{Noise, Picture};
use crate::about;
use crate::figures::Figure;
use crate::plot::words::plain;
use crate::result::{Race, Server};

/// What is across where a server was timed in two ways.
pub const PARTS: &str = "of the answers took no longer";
/// So much of the small print is on a line.
const SMALL_WIDTH: usize = 62;
/// With more servers, who they are is left to the page.
const FEW: usize = 3;

/// Under the title.
pub fn under(race: &Race, figure: Figure, shown: &[&Server]) -> Vec<String> {
    let what = match figure {
        Figure::Slowest => "The 99th percentile.",
        Figure::Usual => "Half of all answers took no longer.",
        Figure::Rare => "The 99.9th percentile.",
        Figure::Longest => "The longest of each round.",
        Figure::Failures => "Of all requests, those without a right answer.",
        Figure::Cpu => "What the server used, with all of its threads.",
        Figure::Calls => "Visitors come one after the other; counted once.",
        Figure::Turns => "How often it asks who is ready; counted once.",
        Figure::Most => "Asked as fast as it answers.",
        Figure::Memory => "What the server had in memory, in all.",
        Figure::Visitor => "What was added since there was nobody.",
        Figure::Threads => "Of all of the server's processes.",
    };
    let how = match figure {
        Figure::Calls
        | Figure::Turns
        | Figure::Most
        | Figure::Memory
        | Figure::Visitor
        | Figure::Threads => String::new(),
        Figure::Cpu | Figure::Failures => format!(" {}.", about::asked(&race.plan)),
        Figure::Slowest | Figure::Usual | Figure::Rare | Figure::Longest => {
            format!(" {}.", about::pace(&race.plan))
        }
    };
    let mut under = small(&format!("{what}{how}"));
    if shown.len() <= FEW {
        under.extend(shown.iter().flat_map(|server| small(&who(server))));
    }
    under
}

/// Under the title of the picture with both ways.
pub fn under_two_ways(open: &Race, closed: &Race, name: &str, crowd: Option<usize>) -> Vec<String> {
    let mut under = Vec::new();
    if let Some(server) = open.server(name) {
        let with = match crowd {
            None => String::new(),
            Some(0) => ", without a crowd".to_owned(),
            Some(crowd) => format!(", with {}", about::counted(crowd, "silent visitor")),
        };
        under.extend(small(&format!("{}{with}", plain(&server.title))));
    }
    for (way, race) in [("open", open), ("closed", closed)] {
        under.extend(small(&format!("{way}: {}", about::pace(&race.plan))));
    }
    if let Some(who) = open.plan.meanwhile.as_ref().or(closed.plan.meanwhile.as_ref()) {
        under.extend(small(&format!("in the middle third of the time: {}", plain(who))));
    }
    under
}

/// On what it was measured, and when.
pub fn foot(race: &Race) -> Vec<String> {
    let mut words = format!("{}; {}", about::machine(&race.machine), plain(&race.date));
    if race.cut_short {
        words += "; cut short";
    }
    small(&words)
}

/// What the signs mean that are in this picture.
pub fn key(picture: &Picture) -> Vec<String> {
    let points = || picture.curves.iter().flat_map(|curve| &curve.points);
    let mut signs = Vec::new();
    if picture.is_spread {
        signs.push("Medians of the rounds; bars: from the least to the most.".to_owned());
    }
    if picture.curves.iter().any(|curve| curve.look.mark.is_none()) {
        signs.push("Gray: the load on its own.".to_owned());
    }
    if points().any(|point| point.hollow && point.figure.is_some()) {
        signs.push("Hollow: the load was the limit.".to_owned());
    }
    match picture.noise {
        Some(Noise::Ruler(ratio)) => {
            signs.push(format!("Noise: a server and itself differed by ×{ratio:.2}."));
        }
        Some(Noise::Band(ratio)) => {
            signs.push(format!("Band: noise; a server and itself differed by ×{ratio:.2}."));
        }
        None => {}
    }
    small(&signs.join(" "))
}

fn small(text: &str) -> Vec<String> {
    let rows = textwrap::wrap(text, Options::new(SMALL_WIDTH));
    rows.into_iter()
        .map(std::borrow::Cow::into_owned)
        .filter(|row| !row.trim().is_empty())
        .collect()
}

pub fn title(picture: &Picture) -> String {
    let names: Vec<&str> = picture.curves.iter().map(|curve| curve.name.as_str()).collect();
    format!("{} ({})", picture.title, names.join(", "))
}

/// All figures, for those who don't see the picture.
pub fn in_words(picture: &Picture) -> String {
    let mut words =
        format!("{}. {}.", picture.title, picture.under.join(" ").trim_end_matches('.'));
    let curves: Vec<String> = picture
        .curves
        .iter()
        .map(|curve| format!("{} ({})", curve.name, curve.look.in_words()))
        .collect();
    words += &format!(" Across: {}. Curves: {}.", picture.of, curves.join(", "));
    words += if picture.of == PARTS {
        " The upright scale is logarithmic."
    } else {
        " Both scales are logarithmic."
    };
    if picture.scale.zero {
        words += " 0 has no place on such a scale: it stands apart, left of a break.";
    }
    for (column, head) in picture.columns.iter().enumerate() {
        let cells: Vec<String> =
            picture.curves.iter().filter_map(|curve| cell(picture, curve, column)).collect();
        if !cells.is_empty() {
            words += &format!(" {head}: {}.", cells.join(", "));
        }
    }
    let rest: Vec<String> = key(picture).into_iter().chain(picture.foot.iter().cloned()).collect();
    words += &format!(" {}.", rest.join(" ").trim_end_matches('.'));
    words
}

fn cell(picture: &Picture, curve: &Curve, column: usize) -> Option<String> {
    let point = curve.points.get(column)?;
    let show = |figure| picture.unit.show(figure);
    let mut words = curve.name.clone();
    if let Some(spread) = point.figure {
        words += &format!(" {}", show(spread.median));
        if spread.least < spread.most {
            words += &format!(" (from {} to {})", show(spread.least), show(spread.most));
        }
        if point.hollow {
            words += " (the load was the limit)";
        }
    }
    if let Some(cross) = &point.cross {
        words += &match cross.altogether {
            true => format!(" failed: {}", cross.word),
            false => format!(" (not all inside: {})", cross.word),
        };
    }
    (point.figure.is_some() || point.cross.is_some()).then_some(words)
}

/// `8` and what it is: `8: chapter 8, epoll`.
fn who(server: &Server) -> String {
    format!("{}: {}", plain(&server.name), plain(&server.title))
}
