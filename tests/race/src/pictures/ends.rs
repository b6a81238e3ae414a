//! The names beside the curves' ends, and the words at their crosses: none on another.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::picture::{Laid, RIGHT};
use crate::plot::labels::{Label, push_apart};
use crate::plot::sheet::{At, Drawn, INK, ROW, Root, on_lines};
use crate::plot::words::cut;

/// A character of a name takes up so much, at most, in pixels.
const CHARACTER: i32 = 8;
/// From a curve's end to its name.
const BESIDE: i32 = 12;
/// So many characters are in a row beside the curves.
const IN_A_ROW: usize = ((RIGHT - BESIDE) / CHARACTER) as usize;
/// Curves that end so near to each other share their names, in pixels.
const NEAR: i32 = 4;
/// With more curves there is no room for figures.
const FEW: usize = 3;

pub fn draw(root: &Root<'_>, laid: &Laid<'_>) -> Drawn {
    draw_names(root, laid)?;
    draw_words(root, laid)
}

/// Curves that end at the right, at about the same place.
struct Cluster {
    ends: Vec<At>,
    names: Vec<String>,
    figure: Option<String>,
}

impl Cluster {
    fn middle(&self) -> i32 {
        let sum: i64 = self.ends.iter().map(|end| i64::from(end.1)).sum();
        (sum / self.ends.len().max(1) as i64) as i32
    }

    fn label(&self, laid: &Laid<'_>) -> Label {
        let mut rows = in_rows(&together(&self.names));
        let bold = rows.len();
        rows.extend(self.figure.clone());
        let y = self.middle() - (rows.len() as i32 - 1) * ROW / 2;
        Label { at: (laid.right + BESIDE, y), rows, bold }
    }
}

/// Those of the curves that end at the right.
fn draw_names(root: &Root<'_>, laid: &Laid<'_>) -> Drawn {
    let clusters = clusters(laid);
    let mut labels: Vec<Label> = clusters.iter().map(|cluster| cluster.label(laid)).collect();
    push_apart(&mut labels, 0, laid.top, laid.bottom);
    // The order from below is kept.
    for (label, cluster) in labels.iter().zip(&clusters) {
        let middle = label.at.1 + (label.rows.len() as i32 - 1) * ROW / 2;
        for (x, y) in &cluster.ends {
            if (middle - y).abs() > ROW / 3 {
                let ends = [(x + 5, *y), (label.at.0 - 2, middle)];
                root.draw(&PathElement::new(ends, INK.mix(0.5)))?;
            }
        }
        label.draw(root)?;
    }
    Ok(())
}

/// From below; as many as there is room for.
fn clusters(laid: &Laid<'_>) -> Vec<Cluster> {
    let curves = &laid.picture.curves;
    let mut ends: Vec<(At, &str, Option<String>)> = Vec::new();
    for (curve, points) in curves.iter().zip(&laid.points) {
        // At its cross there is a word, with its name.
        let Some((Some(point), Some(Some(at)))) = Some((curve.points.last(), points.last())) else {
            continue;
        };
        if point.cross.is_none() {
            let figure = point.figure.map(|figure| laid.picture.unit.show(figure.median));
            ends.push((*at, &curve.name, figure));
        }
    }
    // Of those at the same height, the first is the uppermost.
    ends.reverse();
    ends.sort_by_key(|((_, y), ..)| -y);
    let has_figures = curves.len() <= FEW;
    // Each of few has a figure of its own, and so a place.
    let least = if has_figures { -1 } else { NEAR };
    for near in (least..).step_by(2) {
        let mut clusters: Vec<Cluster> = Vec::new();
        for (at, name, figure) in &ends {
            let figure = figure.clone().filter(|_| has_figures);
            match clusters.last_mut() {
                Some(last) if last.ends[last.ends.len() - 1].1 - at.1 <= near => {
                    last.ends.push(*at);
                    last.names.push((*name).to_owned());
                }
                _ => clusters.push(Cluster {
                    ends: vec![*at],
                    names: vec![(*name).to_owned()],
                    figure,
                }),
            }
        }
        let rows: usize = clusters.iter().map(|cluster| cluster.label(laid).rows.len()).sum();
        if rows as i32 * ROW <= laid.bottom - laid.top || clusters.len() <= 1 {
            for cluster in &mut clusters {
                cluster
                    .names
                    .sort_by_key(|name| curves.iter().position(|curve| curve.name == *name));
            }
            return clusters;
        }
    }
    Vec::new()
}

/// `4`, `5`, `6` and `9` are said as `4 to 6, 9`.
fn together(names: &[String]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut from = 0;
    while from < names.len() {
        let mut to = from;
        while to + 1 < names.len() && follows(&names[to], &names[to + 1]) {
            to += 1;
        }
        if to >= from + 2 {
            words.push(format!("{} to {}", names[from], names[to]));
        } else {
            words.extend_from_slice(&names[from..=to]);
        }
        from = to + 1;
    }
    words
}

fn follows(name: &str, next: &str) -> bool {
    match (name.parse::<u32>(), next.parse::<u32>()) {
        (Ok(number), Ok(next)) => number.checked_add(1) == Some(next),
        _ => false,
    }
}

/// So many rows are enough for any name.
const MOST_ROWS: usize = 4;

fn in_rows(names: &[String]) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let comma = if index + 1 < names.len() { "," } else { "" };
        let name = format!("{}{comma}", cut(name, IN_A_ROW - comma.len()));
        match rows.last_mut() {
            Some(row) if row.chars().count() + 1 + name.chars().count() <= IN_A_ROW => {
                *row = format!("{row} {name}");
            }
            _ => rows.push(name),
        }
    }
    if rows.len() > MOST_ROWS {
        rows.truncate(MOST_ROWS - 1);
        rows.push("…".to_owned());
    }
    rows
}

/// What is said where a curve fails, or ends before the others do.
fn draw_words(root: &Root<'_>, laid: &Laid<'_>) -> Drawn {
    let mut taken: Vec<[At; 2]> = laid.rulers_word().into_iter().collect();
    let words = words(laid);
    taken.extend(words.iter().map(|((x, y), _)| [(x - 6, y - 6), (x + 6, y + 6)]));
    for (at, word) in words {
        if word.is_empty() {
            continue;
        }
        if let Some((place, anchor)) = place(laid, at, &word, &mut taken) {
            root.draw(&Text::new(word, place, on_lines(anchor)))?;
        }
    }
    Ok(())
}

/// Those at the same place are said together.
fn words(laid: &Laid<'_>) -> Vec<(At, String)> {
    let mut said: Vec<(At, String, Vec<String>)> = Vec::new();
    for (curve, points) in laid.picture.curves.iter().zip(&laid.points) {
        let mut before = None;
        let last = points.iter().rposition(Option::is_some);
        for (index, (point, at)) in curve.points.iter().zip(points).enumerate() {
            let Some(at) = *at else { continue };
            let word = match &point.cross {
                // The same trouble is told once, where it begins.
                Some(cross) if before == Some(&cross.word) => continue,
                Some(cross) => &cross.word,
                None if Some(index) == last && index + 1 < points.len() => "",
                None => continue,
            };
            before = point.cross.as_ref().map(|cross| &cross.word);
            let is_here = |(there, its_word, _): &&mut (At, String, Vec<String>)| {
                its_word == word && (there.0 - at.0).abs() <= NEAR && (there.1 - at.1).abs() <= NEAR
            };
            match said.iter_mut().find(is_here) {
                Some((.., names)) => names.push(curve.name.clone()),
                None => said.push((at, word.to_owned(), vec![curve.name.clone()])),
            }
        }
    }
    let in_short = |(at, word, names): (At, String, Vec<String>)| {
        let names = cut(&together(&names).join(", "), 14);
        (at, if word.is_empty() { names } else { format!("{names}: {word}") })
    };
    said.into_iter().map(in_short).collect()
}

/// So many rows away from its cross, at the most, a word is set to keep it off the curves.
const NEARBY: i32 = 3;

/// The nearest place where it's on no other word, and on no curve; or on curves, if there's none nearby.
fn place(laid: &Laid<'_>, at: At, word: &str, taken: &mut Vec<[At; 2]>) -> Option<(At, HPos)> {
    let wide = word.chars().count() as i32 * CHARACTER;
    let free = |rows: i32, is_free: &dyn Fn(&[At; 2]) -> bool| {
        let steps = (0..=rows).flat_map(|step| [step * ROW, -step * ROW]);
        let sides = [(at.0 + 9, HPos::Left), (at.0 - 9, HPos::Right)];
        let places = steps.flat_map(|step| sides.map(|(x, anchor)| ((x, at.1 + step), anchor)));
        places
            .map(|((x, y), anchor)| {
                let left = if matches!(anchor, HPos::Left) { x } else { x - wide };
                (((x, y), anchor), [(left, y - ROW / 2), (left + wide, y + ROW / 2)])
            })
            .find(|(_, place)| {
                let [(left, top), (right, bottom)] = *place;
                // On the upper edge, there's as much room above it.
                let is_inside = left >= laid.left
                    && right <= laid.right + BESIDE - 2
                    && top >= laid.top - ROW / 2
                    && bottom <= laid.bottom;
                is_inside && !taken.iter().any(|other| meet(place, other)) && is_free(place)
            })
    };
    let is_off_curves =
        |place: &[At; 2]| !laid.points.iter().any(|points| goes_through(points, place));
    let nearby = free(NEARBY, &is_off_curves);
    let (found, place) = nearby.or_else(|| free((laid.bottom - laid.top) / ROW, &|_| true))?;
    taken.push(place);
    Some(found)
}

/// Whether a curve through these points, from left to right, goes through a place.
fn goes_through(points: &[Option<At>], [(left, top), (right, bottom)]: &[At; 2]) -> bool {
    let points: Vec<At> = points.iter().flatten().copied().collect();
    points.windows(2).any(|ends| {
        let [from, to] = [ends[0], ends[1]];
        let (first, last) = (from.0.max(*left), to.0.min(*right));
        if first > last || from.0 == to.0 {
            return false;
        }
        let height = |x: i32| from.1 + (to.1 - from.1) * (x - from.0) / (to.0 - from.0);
        let (one, other) = (height(first), height(last));
        one.min(other) < *bottom && one.max(other) > *top
    })
}

fn meet(one: &[At; 2], other: &[At; 2]) -> bool {
    one[0].0 < other[1].0 && other[0].0 < one[1].0 && one[0].1 < other[1].1 && other[0].1 < one[1].1
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::through_its_middle(&[Some((0, 50)), Some((100, 50))], true)]
    #[case::from_corner_to_corner(&[Some((0, 0)), Some((100, 100))], true)]
    #[case::it_ends_inside(&[Some((0, 50)), Some((50, 50))], true)]
    #[case::above(&[Some((0, 20)), Some((100, 20))], false)]
    #[case::it_falls_behind_it(&[Some((0, 20)), Some((70, 20)), Some((80, 80))], false)]
    #[case::it_ends_before(&[Some((0, 50)), Some((30, 50))], false)]
    #[case::with_a_gap(&[Some((0, 50)), None, Some((100, 50))], true)]
    #[case::one_point(&[Some((50, 50))], false)]
    fn a_curve_goes_through_a_place(#[case] points: &[Option<At>], #[case] expected: bool) {
        assert_eq!(goes_through(points, &[(40, 40), (60, 60)]), expected);
    }
}
