//! A race as pictures: SVG in the theme's colors, as wide as a phone.
//!
//! - [`mod@curve`]: a server's points, out of what was measured.
//! - [`picture`]: a picture of some curves. [`draw`]: how it's drawn.
//! - [`ends`]: the names beside the curves' ends, and the words at their crosses.
//! - [`prose`]: what the pictures say in words.

pub mod curve;
pub mod draw;
pub mod ends;
pub mod picture;
pub mod prose;

use crate::about;
use crate::figures::{Figure, crowds};
use crate::plot::scale::Scale;
use crate::plot::words::number;
use crate::result::{Race, Role, Server, Spread};
use crate::units::Unit;
use curve::{Curve, Look, Point, curve};
use picture::{Edge, Noise, Picture};

/// The pictures of a whole race, by their names.
pub const PICTURES: [(&str, Figure); 5] = [
    ("latency", Figure::Slowest),
    ("cpu", Figure::Cpu),
    ("most", Figure::Most),
    ("memory", Figure::Memory),
    ("failures", Figure::Failures),
];

/// All of them, with a curve for each server: names, and SVG. What ran twice has one curve; how far it was from
/// itself is drawn as a ruler.
pub fn all(race: &Race) -> Vec<(String, String)> {
    let draw = |(name, figure): (&str, Figure)| {
        let shown: Vec<&Server> =
            race.servers.iter().filter(|server| server.role == Role::Measured).collect();
        let picture = over_crowds(race, figure, &format!("race-{name}"), &shown, Noise::Ruler);
        (name.to_owned(), picture.draw())
    };
    PICTURES.map(draw).into()
}

/// One chapter's server against the one `before`, both by their short names. A server that isn't in the race has no
/// curve.
pub fn of_chapter(race: &Race, figure: Figure, name: &str, before: &str) -> String {
    let shown: Vec<&Server> = [before, name].iter().filter_map(|name| race.server(name)).collect();
    over_crowds(race, figure, &chapters_name(name), &shown, Noise::Band).draw()
}

/// What [`of_chapter`]'s ids begin with, and what its file is called: `race-5`.
pub fn chapters_name(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    format!("race-{}", name.chars().map(allowed).collect::<String>())
}

fn over_crowds<'r>(
    race: &'r Race,
    figure: Figure,
    name: &str,
    shown: &[&'r Server],
    noise: fn(f64) -> Noise,
) -> Picture {
    let crowds = crowds(race);
    let scale = Scale::of_sizes(crowds.iter().map(|crowd| *crowd as f64));
    let looks = (0..).map(Look::of);
    let mut curves: Vec<Curve> = shown
        .iter()
        .zip(looks)
        .map(|(server, look)| curve(server, figure, &crowds, &scale, look))
        .collect();
    let limits = race.servers.iter().filter(|server| server.role == Role::Limit);
    if matches!(figure, Figure::Slowest | Figure::Usual | Figure::Most) {
        curves.extend(limits.map(|limit| curve(limit, figure, &crowds, &scale, Look::LIMIT)));
    }
    let ticks = scale.ticks_of_sizes(|size| Unit::Count.show(size));
    Picture {
        name: name.to_owned(),
        title: figure.title().to_owned(),
        under: prose::under(race, figure, shown),
        of: "silent visitors".to_owned(),
        scale,
        ticks,
        columns: crowds.iter().map(|crowd| format!("With {}", number(*crowd as f64))).collect(),
        curves,
        unit: figure.unit(),
        noise: figure.noise(race).map(noise),
        nobody: match figure {
            Figure::Slowest | Figure::Usual => Edge::Above,
            Figure::Most => Edge::Below,
            _ => Edge::Last,
        },
        foot: prose::foot(race),
        is_spread: about::rounds(race) > 1,
    }
}

/// Where latencies are compared: how rare it is that an answer takes longer, in powers of ten. Who is slower than all
/// stands behind the rarest.
const RARE: [(f64, f64, &str); 5] = [
    (0.5, 0.0, "50 %"),
    (0.9, 1.0, "90 %"),
    (0.99, 2.0, "99 %"),
    (0.999, 3.0, "99.9 %"),
    (1.0, 4.0, "all"),
];

/// The latencies of the server `name`, asked at fixed times and asked as it answers, with the largest crowd that was
/// answered both times.
pub fn two_ways(open: &Race, closed: &Race, name: &str) -> String {
    let (asked_openly, asked_closedly) = (open.server(name), closed.server(name));
    let has_answers = |server: Option<&Server>, crowd| {
        server.is_some_and(|server| Figure::Usual.of(server, crowd).is_some())
    };
    let crowd = crowds(open)
        .into_iter()
        .rfind(|crowd| has_answers(asked_openly, *crowd) && has_answers(asked_closedly, *crowd));
    let ways = [(asked_openly, "open", 0), (asked_closedly, "closed", 1)];
    let mut curves = Vec::new();
    for (server, way, look) in ways {
        if let (Some(server), Some(crowd)) = (server, crowd) {
            let points = RARE.iter().map(|(quantile, at, _)| Point {
                at: *at,
                figure: latency(server, crowd, *quantile),
                hollow: Figure::Usual.is_the_loads(server, crowd),
                cross: None,
            });
            curves.push(Curve {
                name: way.to_owned(),
                look: Look::of(look),
                points: points.collect(),
            });
        }
    }
    Picture {
        name: "race-two-ways".to_owned(),
        title: "One server, timed in two ways".to_owned(),
        under: prose::under_two_ways(open, closed, name, crowd),
        of: prose::PARTS.to_owned(),
        scale: Scale { low: 0.0, high: 4.0, zero: false },
        ticks: RARE.iter().map(|(_, at, label)| (*at, (*label).to_owned())).collect(),
        columns: RARE.iter().map(|(_, _, label)| format!("Of {label}")).collect(),
        curves,
        unit: Unit::Time,
        noise: None,
        nobody: Edge::Above,
        foot: prose::foot(open),
        is_spread: about::rounds(open).max(about::rounds(closed)) > 1,
    }
    .draw()
}

fn latency(server: &Server, crowd: usize, quantile: f64) -> Option<Spread> {
    server.spread(crowd, |cell| cell.window.quantile(quantile).map(|latency| latency as f64))
}
