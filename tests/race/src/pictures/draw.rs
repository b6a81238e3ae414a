//! How a picture of some curves is drawn.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::ends;
use super::picture::{Edge, LEFT, Laid, Noise, Picture, RIGHT};
use super::prose;
use crate::plot::marks::{Mark, line};
use crate::plot::scale::{self, Chart, Scale};
use crate::plot::sheet::{At, Drawn, INK, ROW, Root, SMALL_ROW, Sheet, on_lines, small, text};
use crate::result::Spread;
use crate::units::Unit;

/// From one end of a scale to the other.
const HIGH: i32 = 250;
/// Below the curves, for the sizes and what they are sizes of.
const BELOW: i32 = 46;
/// How large a point is, and a cross.
const RADIUS: i32 = 3;
const CROSS: i32 = 5;
/// Room for crosses, in powers of ten: where a curve leaves the picture.
const FOR_CROSSES: f64 = 0.2;

/// How much higher a figure is drawn that is so many times as large.
fn pixels(chart: &Chart<'_, '_>, up: &Scale, ratio: f64) -> i32 {
    let y = |at| chart.backend_coord(&(0.0, at)).1;
    (y(up.low) - y(up.low + ratio.log10())).max(1)
}

impl Picture {
    pub fn draw(&self) -> String {
        let (title, desc) = (&prose::title(self), &prose::in_words(self));
        let height = (self.above() + HIGH + self.margin_below()) as u32;
        Sheet { name: &self.name, title, desc, height }.draw(|root| self.plot(root))
    }

    /// Where the curves' field begins.
    fn above(&self) -> i32 {
        12 + ROW + SMALL_ROW * self.under.len() as i32 + 6
    }

    fn margin_below(&self) -> i32 {
        BELOW + 6 + SMALL_ROW * self.below().len() as i32
    }

    /// What is read after the curves.
    fn below(&self) -> Vec<String> {
        let mut below = prose::key(self);
        below.extend_from_slice(&self.foot);
        below
    }

    fn plot(&self, root: &Root<'_>) -> Drawn {
        let bold = text(HPos::Left, FontStyle::Bold);
        root.draw(&Text::new(self.title.as_str(), (4, 12), bold))?;
        let mut y = 12 + ROW;
        for row in &self.under {
            root.draw(&Text::new(row.as_str(), (4, y), small(HPos::Left)))?;
            y += SMALL_ROW;
        }

        let up = self.up();
        let mut chart = ChartBuilder::on(root)
            .margin_top(self.above())
            .margin_right(RIGHT)
            .margin_bottom(self.margin_below())
            .margin_left(LEFT)
            .build_cartesian_2d(self.scale.range(), up.range())?;
        let ticks = up.ticks_of_figures(|figure| self.unit.show(figure));
        scale::draw(&mut chart, (&self.scale, &self.ticks), (&up, &ticks))?;
        let laid = self.laid(&chart, &up);
        laid.draw_noise(root, &chart, &up)?;
        for index in 0..self.curves.len() {
            laid.draw_spreads(root, &chart, &up, index)?;
            laid.draw_curve(root, index)?;
        }
        // What is hollow isn't covered by what isn't.
        for hollow in [false, true] {
            for index in 0..self.curves.len() {
                laid.draw_marks(root, index, hollow)?;
            }
        }
        ends::draw(root, &laid)?;
        if laid.points.iter().flatten().flatten().next().is_none() {
            let middle = ((laid.left + laid.right) / 2, (laid.top + laid.bottom) / 2);
            root.draw(&Text::new("nothing was measured", middle, on_lines(HPos::Center)))?;
        }

        let mut y = laid.bottom + 36;
        let at = ((laid.left + laid.right) / 2, y);
        root.draw(&Text::new(self.of.as_str(), at, text(HPos::Center, FontStyle::Normal)))?;
        y += ROW + 2;
        for row in self.below() {
            root.draw(&Text::new(row, (4, y), small(HPos::Left)))?;
            y += SMALL_ROW;
        }
        Ok(())
    }

    /// The scale upwards.
    fn up(&self) -> Scale {
        let points = self.curves.iter().flat_map(|curve| &curve.points);
        let spreads = points.clone().filter_map(|point| point.figure);
        let figures = spreads.flat_map(|spread| [spread.least, spread.median, spread.most]);
        let crosses =
            points.into_iter().any(|point| point.figure.is_none() && point.cross.is_some());
        let nothing = (crosses && self.nobody == Edge::Below).then_some(0.0);
        // Of failures, one in a hundred is few, and all are all: the same scale for all races.
        let parts =
            if self.unit == Unit::Percent { [Some(1.0), Some(100.0)] } else { [None, None] };
        let above = if crosses && self.nobody == Edge::Above { FOR_CROSSES } else { 0.05 };
        Scale::of_figures(figures.chain(nothing).chain(parts.into_iter().flatten()), above)
    }

    fn laid<'p>(&'p self, chart: &Chart<'_, '_>, up: &Scale) -> Laid<'p> {
        let (across, upwards) = (self.scale.range(), up.range());
        let (left, bottom) = chart.backend_coord(&(across.start, upwards.start));
        let (right, top) = chart.backend_coord(&(across.end, upwards.end));
        let points = self.curves.iter().map(|curve| {
            let mut last = bottom;
            let points = curve.points.iter().map(|point| {
                let x = chart.backend_coord(&(point.at, upwards.start)).0;
                let y = match (point.figure, &point.cross) {
                    (Some(figure), _) => {
                        chart.backend_coord(&(point.at, up.place(figure.median))).1
                    }
                    (None, None) => return None,
                    (None, Some(_)) => match self.nobody {
                        Edge::Above => top,
                        Edge::Below => bottom,
                        Edge::Last => last,
                    },
                };
                last = y;
                Some((x, y))
            });
            points.collect()
        });
        let ruler = match self.noise {
            Some(Noise::Ruler(ratio)) => {
                Some(self.ruler((left, top), bottom, pixels(chart, up, ratio)))
            }
            _ => None,
        };
        Laid { picture: self, left, right, top, bottom, points: points.collect(), ruler }
    }

    /// In the corner that curves have least to do with, below the words at its edge.
    fn ruler(&self, (left, top): At, bottom: i32, high: i32) -> [At; 2] {
        let y = if self.nobody == Edge::Below { bottom - ROW - high } else { top + ROW + 8 };
        // One that's higher than its corner begins at the upper edge.
        let y = y.min(bottom - high).max(top);
        [(left + 10, y), (left + 10, (y + high).min(bottom))]
    }
}

impl Laid<'_> {
    fn draw_noise(&self, root: &Root<'_>, chart: &Chart<'_, '_>, up: &Scale) -> Drawn {
        if let Some([from, to]) = self.ruler {
            root.draw(&PathElement::new([from, to], INK.stroke_width(2)))?;
            for (x, y) in [from, to] {
                root.draw(&PathElement::new([(x - 3, y), (x + 3, y)], INK))?;
            }
            let at = (from.0 + 8, i32::midpoint(from.1, to.1));
            root.draw(&Text::new("noise", at, on_lines(HPos::Left)))?;
        }
        match self.picture.noise {
            Some(Noise::Band(ratio)) => self.draw_band(root, pixels(chart, up, ratio)),
            _ => Ok(()),
        }
    }

    /// As far above the first curve as below it.
    fn draw_band(&self, root: &Root<'_>, high: i32) -> Drawn {
        let Some(points) = self.points.first() else { return Ok(()) };
        let inside = |y: i32| y.clamp(self.top, self.bottom);
        let upper = points.iter().flatten().map(|(x, y)| (*x, inside(y - high)));
        let lower = points.iter().rev().flatten().map(|(x, y)| (*x, inside(y + high)));
        let band: Vec<At> = upper.chain(lower).collect();
        // Two of one point are no area.
        if band.len() < 4 {
            return Ok(());
        }
        root.draw(&Polygon::new(band, INK.mix(0.12)))
    }

    /// From the least to the most of all rounds.
    fn draw_spreads(
        &self,
        root: &Root<'_>,
        chart: &Chart<'_, '_>,
        up: &Scale,
        index: usize,
    ) -> Drawn {
        let curve = &self.picture.curves[index];
        for point in &curve.points {
            let Some(Spread { least, most, .. }) = point.figure else { continue };
            let ends = [least, most].map(|end| chart.backend_coord(&(point.at, up.place(end))));
            if ends[0] != ends[1] {
                let style = curve.look.color.mix(0.5 * curve.look.strength).stroke_width(2);
                root.draw(&PathElement::new(ends, style))?;
            }
        }
        Ok(())
    }

    fn draw_curve(&self, root: &Root<'_>, index: usize) -> Drawn {
        let curve = &self.picture.curves[index];
        let style = curve.look.color.mix(curve.look.strength).stroke_width(2);
        for (ends, points) in self.points[index].windows(2).zip(curve.points.windows(2)) {
            // Where a figure is missing, the line is too.
            let [Some(from), Some(to)] = *ends else { continue };
            let from_zero = self.picture.scale.zero && points[0].at < self.picture.scale.low;
            let dashed = if points[1].figure.is_none() {
                Some((1, 4))
            } else if from_zero {
                Some((4, 4))
            } else {
                curve.look.dashed
            };
            line(root, [from, to], style, dashed)?;
        }
        Ok(())
    }

    fn draw_marks(&self, root: &Root<'_>, index: usize, hollow: bool) -> Drawn {
        let curve = &self.picture.curves[index];
        for (at, point) in self.points[index].iter().zip(&curve.points) {
            let Some(at) = at.filter(|_| point.hollow == hollow) else { continue };
            if let (Some(_), Some(mark)) = (point.figure, curve.look.mark) {
                if hollow {
                    mark.draw_hollow(root, at, RADIUS, curve.look.color)?;
                } else {
                    mark.draw(root, at, RADIUS, curve.look.color)?;
                }
            }
            if point.cross.is_some() {
                Mark::Cross.draw(root, at, CROSS, curve.look.color)?;
            }
        }
        Ok(())
    }
}
