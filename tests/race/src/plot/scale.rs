//! Logarithmic scales. 0 has no place on one: it stands apart, and the axis is broken before it.

use std::ops::Range;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::sheet::{Drawn, INK, text};

/// How far 0 stands from the least that has a logarithm, in powers of ten.
pub const TO_ZERO: f64 = 0.6;
/// Where less than this is shown, in powers of ten, a power's double and its half have their lines too.
const FEW: f64 = 2.0;
/// A scale has room for so many numbers above each other.
const MOST_TICKS: i32 = 12;
/// What a character of a number takes up of the scale across.
const CHARACTER: f64 = 0.034;

/// A place on a scale and what is written there.
pub type Ticks = Vec<(f64, String)>;

pub type Chart<'c, 's> =
    ChartContext<'c, SVGBackend<'s>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// One axis. `low` and `high` are powers of ten.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    pub low: f64,
    pub high: f64,
    /// Whether there is a 0 too.
    pub zero: bool,
}

impl Scale {
    /// From the first size to the last.
    pub fn of_sizes(sizes: impl IntoIterator<Item = f64>) -> Self {
        let scale = Self::around(sizes);
        Self { high: if scale.high > scale.low { scale.high } else { scale.low + 1.0 }, ..scale }
    }

    /// From the line below the least figure on; `above` the greatest is so much room.
    pub fn of_figures(figures: impl IntoIterator<Item = f64>, above: f64) -> Self {
        let Self { low, high, zero } = Self::around(figures);
        let steps: &[f64] = if high - low < FEW { &HALVES } else { &[0.0] };
        let below = steps.iter().map(|step| low.floor() + step).rfind(|step| *step <= low);
        let low = below.unwrap_or(low.floor());
        // Less than from one power to the next wouldn't say how large anything is.
        Self { low, high: (high + above).max(low + 1.0), zero }
    }

    fn around(figures: impl IntoIterator<Item = f64>) -> Self {
        let (mut low, mut high, mut zero) = (f64::INFINITY, f64::NEG_INFINITY, false);
        for figure in figures {
            if figure > 0.0 {
                (low, high) = (low.min(figure.log10()), high.max(figure.log10()));
            } else {
                zero = true;
            }
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        Self { low, high, zero }
    }

    pub fn place(&self, figure: f64) -> f64 {
        if figure > 0.0 { figure.log10() } else { self.low - TO_ZERO }
    }

    pub fn range(&self) -> Range<f64> {
        if self.zero { self.low - TO_ZERO..self.high } else { self.low..self.high }
    }

    /// The first size, the powers of ten, and the last size, unless they are too close to one that is there.
    pub fn ticks_of_sizes(&self, label: impl Fn(f64) -> String) -> Ticks {
        let Range { start, end } = self.range();
        let is_apart = |ticks: &Ticks, at: f64, label: &str| {
            ticks.last().is_none_or(|(last, its_label)| {
                let characters = (its_label.chars().count() + label.chars().count()) as f64 / 2.0;
                let wide = (characters + 1.0) * CHARACTER * (end - start);
                at - last > wide.max(TO_ZERO - 0.1)
            })
        };
        let powers = (self.low.ceil() as i32..=self.high.floor() as i32).map(f64::from);
        let first = if self.zero { vec![] } else { vec![self.low] };
        let mut ticks = if self.zero { vec![(start, label(0.0))] } else { Ticks::new() };
        for at in first.into_iter().chain(powers).chain([self.high]) {
            // Sizes are whole numbers; what comes of a logarithm needn't be.
            let label = label(10_f64.powf(at).round());
            if is_apart(&ticks, at, &label) {
                ticks.push((at, label));
            }
        }
        ticks
    }

    /// 0, and the powers of ten; if they are few, their doubles and halves as well.
    pub fn ticks_of_figures(&self, label: impl Fn(f64) -> String) -> Ticks {
        let span = self.high - self.low;
        let steps: &[f64] = if span < FEW { &HALVES } else { &[0.0] };
        let every = (span as i32 / MOST_TICKS + 1) as usize;
        let mut ticks = if self.zero { vec![(self.range().start, label(0.0))] } else { vec![] };
        for power in (self.low.floor() as i32..=self.high.floor() as i32).step_by(every) {
            for (step, times) in steps.iter().zip([1.0, 2.0, 5.0]) {
                let at = f64::from(power) + step;
                if (self.low..=self.high).contains(&at) {
                    ticks.push((at, label(10_f64.powi(power) * times)));
                }
            }
        }
        ticks
    }
}

/// 1, 2, 5.
const HALVES: [f64; 3] = [0.0, std::f64::consts::LOG10_2, 1.0 - std::f64::consts::LOG10_2];

/// Draws the lines of both scales, and what is written at them.
pub fn draw(
    chart: &mut Chart<'_, '_>,
    (across, ticks_across): (&Scale, &Ticks),
    (up, ticks_up): (&Scale, &Ticks),
) -> Drawn {
    let (Range { start: left, end: right }, Range { start: low, end: high }) =
        (across.range(), up.range());
    let thin = INK.mix(0.18);
    for (x, label) in ticks_across {
        let label = Text::new(label.clone(), (0, 16), text(HPos::Center, FontStyle::Normal));
        chart.draw_series([PathElement::new([(*x, low), (*x, high)], thin)])?;
        chart.draw_series([EmptyElement::at((*x, low)) + label])?;
    }
    for (y, label) in ticks_up {
        let label = Text::new(label.clone(), (-10, 0), text(HPos::Right, FontStyle::Normal));
        chart.draw_series([PathElement::new([(left, *y), (right, *y)], thin)])?;
        chart.draw_series([EmptyElement::at((left, *y)) + label])?;
    }
    draw_axis(chart, across, |x| (x, low), [(-3, 6), (3, -6)])?;
    if up.zero {
        draw_axis(chart, up, |y| (left, y), [(-6, 3), (6, -3)])?;
    }
    Ok(())
}

/// Broken behind 0, with two `slash`es, if there is a 0.
fn draw_axis(
    chart: &mut Chart<'_, '_>,
    scale: &Scale,
    at: impl Fn(f64) -> (f64, f64),
    slash: [(i32, i32); 2],
) -> Drawn {
    let Range { start, end } = scale.range();
    let axis = |from, to| PathElement::new([at(from), at(to)], INK.stroke_width(2));
    if !scale.zero {
        chart.draw_series([axis(start, end)])?;
        return Ok(());
    }
    let ends = [0.42, 0.58].map(|part| start + part * TO_ZERO);
    chart.draw_series([axis(start, ends[0]), axis(ends[1], end)])?;
    let slash = || PathElement::new(slash, INK.stroke_width(2));
    chart.draw_series(ends.map(|end| EmptyElement::at(at(end)) + slash()))?;
    Ok(())
}
