//! Several races beside each other: do they come to the same?
//!
//! What can be told from one race should be so in another, on the same machine. Two servers count as told apart where they're
//! further apart than the noise, and their bars don't overlap ([`Gap`]).

use std::cmp::Ordering;

use crate::about;
use crate::figures::{Figure, Gap, crowds, twins};
use crate::plot::words::{number, plain};
use crate::result::{Race, Role, Server};
use crate::table::paragraph;

/// What is compared. Calls are counted once, and have no bars.
fn figures() -> impl Iterator<Item = Figure> {
    let is_timed = |figure: &Figure| !matches!(figure, Figure::Calls | Figure::Turns);
    Figure::ALL.into_iter().filter(is_timed)
}

/// So many of those that don't agree are listed.
const MOST_LISTED: usize = 20;

/// For each figure: how many pairs of servers are told apart, and which come out in another order elsewhere. `races` are more
/// than one, with their names.
pub fn print(races: &[(String, Race)]) -> String {
    let mut text = String::new();
    for (name, race) in races {
        let of = format!("{}: {}, {}", plain(name), plain(&race.date), about::plan(race));
        text += &paragraph(&of, "  ");
    }
    let titles = Figure::ALL.map(Figure::title);
    let width = titles.iter().map(|title| title.len()).max().unwrap_or(0);
    text += "\nPairs of servers, at each size of the crowd, that one of these tells apart\n";
    text += &format!("  {:width$}  pairs  another order elsewhere\n", "");
    let mut all = Vec::new();
    for figure in figures() {
        let pairs = pairs(figure, races);
        if pairs.is_empty() {
            continue;
        }
        let against: Vec<&Pair<'_>> = pairs.iter().filter(|pair| pair.against.is_some()).collect();
        let (count, differ) = (number(pairs.len() as f64), number(against.len() as f64));
        text += &format!("  {:width$}  {count:>5}  {differ:>23}\n", figure.title());
        all.extend(against.into_iter().map(|pair| pair.told(figure, races)));
    }
    if !all.is_empty() {
        text += "\nIn another order elsewhere\n";
        for line in all.iter().take(MOST_LISTED) {
            text += &paragraph(&format!("  {line}"), "    ");
        }
        if all.len() > MOST_LISTED {
            text += &format!("  and {} more\n", number((all.len() - MOST_LISTED) as f64));
        }
    }
    text
}

/// Two servers that some race tells apart.
struct Pair<'r> {
    crowd: usize,
    one: &'r str,
    other: &'r str,
    order: Ordering,
    /// The race that tells them apart.
    told_by: usize,
    /// The first that has them in another order.
    against: Option<usize>,
}

impl Pair<'_> {
    fn told(&self, figure: Figure, races: &[(String, Race)]) -> String {
        let name = |place: usize| races.get(place).map_or("", |(name, _)| name.as_str());
        let lower = if self.order == Ordering::Less { "lower" } else { "higher" };
        format!(
            "{}, with {}: {} is {lower} than {} in {}, and isn't in {}",
            figure.title(),
            number(self.crowd as f64),
            about::short(self.one),
            about::short(self.other),
            plain(name(self.told_by)),
            plain(self.against.map_or("", name)),
        )
    }
}

/// Those that all races have measured, and one of them tells apart.
fn pairs(figure: Figure, races: &[(String, Race)]) -> Vec<Pair<'_>> {
    let Some((_, first)) = races.first() else { return Vec::new() };
    let noises: Vec<Option<f64>> = races.iter().map(|(_, race)| floor(figure, race)).collect();
    let mut pairs = Vec::new();
    let measured: Vec<&Server> =
        first.servers.iter().filter(|server| server.role == Role::Measured).collect();
    for (place, one) in measured.iter().enumerate() {
        for other in &measured[place + 1..] {
            let both: Option<Vec<(&Server, &Server)>> = races
                .iter()
                .map(|(_, race)| Some((race.server(&one.name)?, race.server(&other.name)?)))
                .collect();
            let Some(both) = both else { continue };
            for crowd in crowds(first) {
                let gaps: Option<Vec<Gap>> = both
                    .iter()
                    .zip(&noises)
                    .map(|((one, other), noise)| gap(figure, *noise, crowd, one, other))
                    .collect();
                let Some(gaps) = gaps else { continue };
                let Some(told_by) = gaps.iter().position(|gap| gap.is_told) else { continue };
                let order = gaps[told_by].order;
                let against = gaps.iter().position(|gap| gap.order != order);
                let (one, other) = (one.name.as_str(), other.name.as_str());
                pairs.push(Pair { crowd, one, other, order, told_by, against });
            }
        }
    }
    pairs
}

/// A server that ran twice and had nothing both times has no noise.
fn floor(figure: Figure, race: &Race) -> Option<f64> {
    figure.noise(race).or_else(|| twins(race).next().map(|_| 1.0))
}

/// Nothing is told where both are limited by the load.
fn gap(
    figure: Figure,
    noise: Option<f64>,
    crowd: usize,
    one: &Server,
    other: &Server,
) -> Option<Gap> {
    let gap = Gap::of(figure, noise, crowd, one, other)?;
    let is_the_loads = [one, other].iter().all(|server| figure.is_the_loads(server, crowd));
    Some(Gap { is_told: gap.is_told && !is_the_loads, ..gap })
}
