//! A server's points, out of what was measured.

use plotters::prelude::RGBColor;

use crate::figures::{Fate, Figure};
use crate::plot::marks::Mark;
use crate::plot::scale::Scale;
use crate::plot::sheet::{ACCENT, INK};
use crate::plot::words::{cut, plain};
use crate::result::{Server, Spread};

/// A longer word at a cross is cut.
const LONGEST_WORD: usize = 18;

#[derive(Clone, Debug)]
pub struct Curve {
    /// Short.
    pub name: String,
    pub look: Look,
    /// One for each column of the picture.
    pub points: Vec<Point>,
}

#[derive(Clone, Debug)]
pub struct Point {
    /// On the scale across.
    pub at: f64,
    /// The median of the rounds, and how far they are apart.
    pub figure: Option<Spread>,
    /// The load was the limit.
    pub hollow: bool,
    /// It failed here, or turned visitors away: why.
    pub cross: Option<Cross>,
}

#[derive(Clone, Debug)]
pub struct Cross {
    pub word: String,
    /// Nobody was answered.
    pub altogether: bool,
}

/// How one curve is told from the others: by color, by its points, and, when there are many, by its line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    pub color: RGBColor,
    pub mark: Option<Mark>,
    pub dashed: Option<(i32, i32)>,
    /// What is seen of it: the load's own is gray.
    pub strength: f64,
}

impl Look {
    /// The load's own.
    pub const LIMIT: Self = Self { color: INK, mark: None, dashed: None, strength: 0.45 };

    pub fn of(index: usize) -> Self {
        const MARKS: [Mark; 4] = [Mark::Disc, Mark::Square, Mark::Triangle, Mark::Diamond];
        const DASHES: [Option<(i32, i32)>; 3] = [None, Some((6, 3)), Some((2, 3))];
        Self {
            color: if index.is_multiple_of(2) { INK } else { ACCENT },
            // Neighbors differ in both.
            mark: Some(MARKS[index % MARKS.len()]),
            dashed: DASHES[index / MARKS.len() % DASHES.len()],
            strength: 1.0,
        }
    }

    /// For those who don't see it.
    pub fn in_words(self) -> String {
        let color = match (self.mark, self.color == INK) {
            (None, _) => return "a gray line".to_owned(),
            (_, true) => "",
            (_, false) => "colored ",
        };
        let line = match self.dashed {
            None => "",
            Some((piece, _)) if piece > 2 => ", dashed",
            Some(_) => ", dotted",
        };
        format!("{color}{}{line}", self.mark.map_or("", Mark::name))
    }
}

/// What `figure` is of `server` with each of `crowds`.
pub fn curve(
    server: &Server,
    figure: Figure,
    crowds: &[usize],
    scale: &Scale,
    look: Look,
) -> Curve {
    let point = |crowd: &usize| Point {
        at: scale.place(*crowd as f64),
        figure: figure.of(server, *crowd),
        hollow: figure.is_the_loads(server, *crowd),
        cross: cross(Fate::of(server, *crowd)),
    };
    Curve { name: plain(&server.name), look, points: crowds.iter().map(point).collect() }
}

fn cross(fate: Fate) -> Option<Cross> {
    match fate {
        Fate::NotThere | Fate::Well => None,
        Fate::NotAll(why) => Some(Cross { word: in_short(&why), altogether: false }),
        Fate::Altogether(why) => Some(Cross { word: in_short(&why), altogether: true }),
    }
}

/// `Connection refused (os error 111)` is said as `Connection refused`, and `sent away: HTTP/1.1 503` as `sent away`.
fn in_short(why: &str) -> String {
    let why = plain(why);
    let first = why.split([':', '(']).next().unwrap_or_default().trim();
    cut(first, LONGEST_WORD)
}
