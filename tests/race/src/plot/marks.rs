//! What a curve's points look like: it can be told by them where colors can't be told.

use plotters::element::DashedPathElement;
use plotters::prelude::*;

use super::sheet::{At, Drawn, PAPER, Root};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Where two curves meet, the other one's mark is seen in it.
    Ring,
    Disc,
    Square,
    Triangle,
    Diamond,
    Cross,
}

impl Mark {
    /// As it's called for those who don't see it.
    pub fn name(self) -> &'static str {
        match self {
            Mark::Ring => "circles",
            Mark::Disc => "dots",
            Mark::Square => "squares",
            Mark::Triangle => "triangles",
            Mark::Diamond => "diamonds",
            Mark::Cross => "crosses",
        }
    }

    /// Draws it as far around `at` as `radius` says.
    pub fn draw(self, root: &Root<'_>, at: At, radius: i32, color: RGBColor) -> Drawn {
        let (filled, stroke) = (color.filled(), color.stroke_width(2));
        match self {
            Mark::Ring => root.draw(&Circle::new(at, radius, stroke)),
            Mark::Disc => root.draw(&Circle::new(at, radius, filled)),
            Mark::Square => root.draw(&Rectangle::new(square(at, radius), filled)),
            Mark::Triangle | Mark::Diamond => {
                root.draw(&Polygon::new(self.corners(at, radius), filled))
            }
            Mark::Cross => {
                let [from, to] = square(at, radius);
                root.draw(&PathElement::new([from, to], stroke))?;
                root.draw(&PathElement::new([(from.0, to.1), (to.0, from.1)], stroke))
            }
        }
    }

    /// The same, with nothing in it.
    pub fn draw_hollow(self, root: &Root<'_>, at: At, radius: i32, color: RGBColor) -> Drawn {
        let stroke = color.stroke_width(2);
        match self {
            Mark::Ring | Mark::Disc => {
                root.draw(&Circle::new(at, radius, PAPER.filled()))?;
                root.draw(&Circle::new(at, radius, stroke))
            }
            Mark::Cross => self.draw(root, at, radius, color),
            Mark::Square | Mark::Triangle | Mark::Diamond => {
                let mut corners = self.corners(at, radius);
                root.draw(&Polygon::new(corners.clone(), PAPER.filled()))?;
                corners.extend_from_within(..1);
                root.draw(&PathElement::new(corners, stroke))
            }
        }
    }

    fn corners(self, (x, y): At, r: i32) -> Vec<At> {
        match self {
            Mark::Triangle => vec![(x, y - r), (x + r, y + r - 1), (x - r, y + r - 1)],
            Mark::Diamond => vec![(x, y - r - 1), (x + r + 1, y), (x, y + r + 1), (x - r - 1, y)],
            _ => vec![(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)],
        }
    }
}

fn square((x, y): At, radius: i32) -> [At; 2] {
    [(x - radius, y - radius), (x + radius, y + radius)]
}

/// A line, whole or `dashed`: how long its pieces and its gaps are, in pixels.
pub fn line(
    root: &Root<'_>,
    ends: [At; 2],
    style: ShapeStyle,
    dashed: Option<(i32, i32)>,
) -> Drawn {
    match dashed {
        // Between a point and itself is nothing to divide.
        Some((piece, gap)) if ends[0] != ends[1] => {
            root.draw(&DashedPathElement::new(ends, piece, gap, style))
        }
        _ => root.draw(&PathElement::new(ends, style)),
    }
}
