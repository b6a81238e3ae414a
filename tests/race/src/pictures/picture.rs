//! A picture of some curves: what is drawn, and where its points are.

use super::curve::Curve;
use crate::plot::scale::{Scale, Ticks};
use crate::plot::sheet::{At, ROW};
use crate::units::Unit;

/// Left of the curves, for the figures, and right of them, for the names.
pub const LEFT: i32 = 64;
pub const RIGHT: i32 = 80;

pub struct Picture {
    /// What its ids begin with.
    pub name: String,
    pub title: String,
    /// Small, under the title.
    pub under: Vec<String>,
    /// What the scale across is of.
    pub of: String,
    pub scale: Scale,
    pub ticks: Ticks,
    /// In words, for each point of a curve: `With 100`.
    pub columns: Vec<String>,
    pub curves: Vec<Curve>,
    pub unit: Unit,
    pub noise: Option<Noise>,
    /// Where a curve goes when nobody is answered.
    pub nobody: Edge,
    /// Small, below all: on what it was measured, and when.
    pub foot: Vec<String>,
    /// Whether there was more than one round.
    pub is_spread: bool,
}

/// The noise floor: the ratio between a server and itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Noise {
    /// As high as the noise is, on a logarithmic scale.
    Ruler(f64),
    /// Around the first curve.
    Band(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// It takes forever.
    Above,
    /// There is nothing.
    Below,
    /// As far as it had come.
    Last,
}

/// What a picture's points are in pixels.
pub struct Laid<'p> {
    pub picture: &'p Picture,
    /// Of the curves' field.
    pub left: i32,
    pub right: i32,
    pub top: i32,
    pub bottom: i32,
    /// For each curve, where its points are: those that have a figure or a cross.
    pub points: Vec<Vec<Option<At>>>,
    /// As high as the noise.
    pub ruler: Option<[At; 2]>,
}

impl Laid<'_> {
    /// Where nothing else may be written: the ruler's word.
    pub fn rulers_word(&self) -> Option<[At; 2]> {
        let [(x, from), (_, to)] = self.ruler?;
        let middle = i32::midpoint(from, to);
        Some([(x - 10, middle - ROW / 2), (x + 54, middle + ROW / 2)])
    }
}
