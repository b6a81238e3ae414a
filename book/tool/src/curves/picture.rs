//! A table as an SVG picture. plotters draws it; then its colors become the theme's, and its text the page's.

use std::sync::LazyLock;

use anyhow::Result;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use regex::Regex;

use super::table::{Cell, Line, MOST_LINES, Table};

/// As wide as a phone, like all pictures; shown larger where there is room.
const SIZE: (u32, u32) = (360, 330);
/// Above the lines, for what is measured; beside them, for the figures, and for the lines' names.
const ABOVE: u32 = 40;
const BELOW: u32 = 46;
const LEFT: u32 = 66;
const RIGHT: u32 = 72;
/// From a line of text to the next.
const ROW: i32 = 17;
/// 0 has no place on a logarithmic scale. It stands so far left of the first that has, in powers of ten,
/// and the axis is broken between the two.
const TO_ZERO: f64 = 0.6;

/// The colors that the theme's take the place of.
const INK: RGBColor = RGBColor(0, 0, 0);
const ACCENT: RGBColor = RGBColor(0x20, 0x60, 0x9f);
const THEME: [(&str, &str); 2] =
    [("\"#000000\"", "\"var(--fg, black)\""), ("\"#20609F\"", "\"var(--links, #20609f)\"")];

/// What the lines' points are, in order.
const MARKS: [&str; MOST_LINES] = ["circles", "squares", "triangles", "crosses"];

/// What the picture as a whole says once, and what says nothing.
static NEEDLESS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#" font-(family|size)="[^"]*"| opacity="1"|</?svg[^>]*>\n"#)
        .expect("the expression for what is needless is right")
});

static TEXT_ALONE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\n([^<\n]+)\n</text>").expect("the expression for a text on its own line is right")
});

type At = (f64, f64);
type Chart<'c, 's> = ChartContext<'c, SVGBackend<'s>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws the table `name`, which measures `what`.
pub fn draw(name: &str, what: &str, table: &Table) -> Result<String> {
    let mut svg = String::new();
    plot(what, table, SVGBackend::with_string(&mut svg, SIZE))?;
    let mut drawn = NEEDLESS.replace_all(&svg, "").into_owned();
    drawn = drawn.replace(" \"/>", "\"/>");
    drawn = TEXT_ALONE.replace_all(&drawn, "$1</text>").into_owned();
    for (color, of_the_theme) in THEME {
        drawn = drawn.replace(color, of_the_theme);
    }
    let (title, desc) = (escaped(&title(what, table)), escaped(&in_words(what, table)));
    let (width, height) = SIZE;
    Ok(format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="{name}-title {name}-desc" viewBox="0 0 {width} {height}" width="430" font-size="13" fill="var(--fg, black)">
<title id="{name}-title">{title}</title>
<desc id="{name}-desc">{desc}</desc>
{drawn}</svg>
"#
    ))
}

fn plot(what: &str, table: &Table, backend: SVGBackend<'_>) -> Result<()> {
    let root = backend.into_drawing_area();
    root.draw(&Text::new(what, (4, 12), text(HPos::Left, FontStyle::Bold)))?;
    let middle = (LEFT + SIZE.0 - RIGHT) as i32 / 2;
    let below = SIZE.1 as i32 - 10;
    root.draw(&Text::new(
        table.of.as_str(),
        (middle, below),
        text(HPos::Center, FontStyle::Normal),
    ))?;

    let sizes = place(table, table.sizes[0])..place(table, table.sizes[table.sizes.len() - 1]);
    let (low, high) = extremes(table);
    let mut chart = ChartBuilder::on(&root)
        .margin_top(ABOVE)
        .margin_right(RIGHT)
        .margin_bottom(BELOW)
        .margin_left(LEFT)
        .build_cartesian_2d(sizes, low.log10().floor()..high.log10() + 0.05)?;
    draw_scales(&mut chart, table)?;
    for index in 0..table.lines.len() {
        draw_line(&mut chart, table, index)?;
    }
    for (at, name, figure) in names(&chart, table) {
        root.draw(&Text::new(name, at, text(HPos::Left, FontStyle::Bold)))?;
        let below = (at.0, at.1 + ROW);
        root.draw(&Text::new(figure, below, text(HPos::Left, FontStyle::Normal)))?;
    }
    root.present()?;
    Ok(())
}

fn draw_scales(chart: &mut Chart<'_, '_>, table: &Table) -> Result<()> {
    let (left, right, low, high) =
        (chart.x_range().start, chart.x_range().end, chart.y_range().start, chart.y_range().end);
    let thin = INK.mix(0.18);
    for (x, label) in ticks_of_sizes(table) {
        let label = Text::new(label, (0, 16), text(HPos::Center, FontStyle::Normal));
        chart.draw_series([PathElement::new([(x, low), (x, high)], thin)])?;
        chart.draw_series([EmptyElement::at((x, low)) + label])?;
    }
    for (y, label) in ticks_of_figures(table) {
        let label = Text::new(label, (-10, 0), text(HPos::Right, FontStyle::Normal));
        chart.draw_series([PathElement::new([(left, y), (right, y)], thin)])?;
        chart.draw_series([EmptyElement::at((left, y)) + label])?;
    }
    let axis = |from, to| PathElement::new([(from, low), (to, low)], INK.stroke_width(2));
    if table.sizes[0] > 0 {
        chart.draw_series([axis(left, right)])?;
        return Ok(());
    }
    // Broken behind 0.
    let ends = [0.42, 0.58].map(|part| left + part * TO_ZERO);
    chart.draw_series([axis(left, ends[0]), axis(ends[1], right)])?;
    let slash = || PathElement::new([(-3, 6), (3, -6)], INK.stroke_width(2));
    chart.draw_series(ends.map(|x| EmptyElement::at((x, low)) + slash()))?;
    Ok(())
}

fn draw_line(chart: &mut Chart<'_, '_>, table: &Table, index: usize) -> Result<()> {
    let stroke = color(index).stroke_width(2);
    let points = points(table, index);
    for (pair, size) in points.windows(2).zip(&table.sizes) {
        // Where a figure is missing, the line is too.
        let [Some(from), Some(to)] = *pair else { continue };
        if *size == 0 {
            chart.draw_series(DashedLineSeries::new([from, to], 4, 4, stroke))?;
        } else {
            chart.draw_series([PathElement::new([from, to], stroke)])?;
        }
    }
    draw_marks(chart, index, points.into_iter().flatten())
}

/// A line can be told by its marks where colors can't be.
fn draw_marks(
    chart: &mut Chart<'_, '_>,
    index: usize,
    points: impl Iterator<Item = At>,
) -> Result<()> {
    let (filled, stroke) = (color(index).filled(), color(index).stroke_width(2));
    let square = |at| EmptyElement::at(at) + Rectangle::new([(-4, -4), (4, 4)], filled);
    match MARKS[index] {
        // Not filled: where two lines meet, the other one's mark is seen in it.
        "circles" => _ = chart.draw_series(points.map(|at| Circle::new(at, 6, stroke)))?,
        "squares" => _ = chart.draw_series(points.map(square))?,
        "triangles" => {
            _ = chart.draw_series(points.map(|at| TriangleMarker::new(at, 7, filled)))?;
        }
        _ => _ = chart.draw_series(points.map(|at| Cross::new(at, 5, stroke)))?,
    }
    Ok(())
}

fn color(index: usize) -> RGBColor {
    if index.is_multiple_of(2) { INK } else { ACCENT }
}

/// Where each line's name stands, its name, and its last figure: beside its end, none on another.
fn names(chart: &Chart<'_, '_>, table: &Table) -> Vec<((i32, i32), String, String)> {
    let mut names = Vec::new();
    for (index, line) in table.lines.iter().enumerate() {
        let points = points(table, index);
        let Some(column) = points.iter().rposition(Option::is_some) else { continue };
        let (Some(end), Some(figure)) = (points[column], line.cells[column].figure()) else {
            continue;
        };
        let (x, y) = chart.backend_coord(&end);
        // The other lines go on beside a line that ends early: its name has its place below.
        let y = if column + 1 == points.len() { y - ROW / 2 } else { y + ROW };
        names.push(((x + 11, y), line.name.clone(), format!("{} {}", number(figure), table.unit)));
    }
    // From the lowest on, each makes room for itself above the last.
    names.sort_by_key(|((_, y), ..)| -y);
    for upper in 1..names.len() {
        let (x, y) = names[upper - 1].0;
        if names[upper].0.0 == x {
            names[upper].0.1 = names[upper].0.1.min(y - 2 * ROW - 4);
        }
    }
    names
}

fn points(table: &Table, index: usize) -> Vec<Option<At>> {
    let at = |(cell, size): (&Cell, &u32)| Some((place(table, *size), cell.figure()?.log10()));
    table.lines[index].cells.iter().zip(&table.sizes).map(at).collect()
}

/// Where a size is on its axis.
fn place(table: &Table, size: u32) -> f64 {
    match size {
        0 => f64::from(table.sizes[1]).log10() - TO_ZERO,
        _ => f64::from(size).log10(),
    }
}

fn extremes(table: &Table) -> (f64, f64) {
    let figures = table.lines.iter().flat_map(|line| line.cells.iter().filter_map(Cell::figure));
    figures.fold((f64::INFINITY, 0.0), |(low, high), figure| (figure.min(low), figure.max(high)))
}

type Ticks = Vec<(f64, String)>;

/// The first size, the powers of ten, and the last size, unless they are too close to one that is there.
fn ticks_of_sizes(table: &Table) -> Ticks {
    let (first, last) = (table.sizes[0], table.sizes[table.sizes.len() - 1]);
    let powers = (0..).map_while(|power| 10_u32.checked_pow(power));
    let mut ticks = Ticks::new();
    for size in [first].into_iter().chain(powers).chain([last]) {
        let at = place(table, size);
        let is_there = (first..=last).contains(&size);
        if is_there && ticks.last().is_none_or(|(last, _)| at - last > TO_ZERO - 0.1) {
            ticks.push((at, number(size.into())));
        }
    }
    ticks
}

fn ticks_of_figures(table: &Table) -> Ticks {
    let (low, high) = extremes(table);
    let powers = low.log10().floor() as i32..=high.log10().floor() as i32;
    let label = |power| format!("{} {}", number(10_f64.powi(power)), table.unit);
    powers.map(|power| (power.into(), label(power))).collect()
}

fn text(anchor: HPos, style: FontStyle) -> TextStyle<'static> {
    FontDesc::new(FontFamily::SansSerif, 13.0, style)
        .color(&INK)
        .pos(Pos::new(anchor, VPos::Center))
}

fn title(what: &str, table: &Table) -> String {
    let names: Vec<&str> = table.lines.iter().map(|line| line.name.as_str()).collect();
    format!("{what}, by the number of {}: {}", table.of, names.join(", "))
}

/// All figures, for those who don't see the picture.
fn in_words(what: &str, table: &Table) -> String {
    let marks = table.lines.iter().zip(MARKS).map(|(line, mark)| format!("{} ({mark})", line.name));
    let marks: Vec<String> = marks.collect();
    let mut words = format!(
        "{what}, in {}, over the number of {}, each in a line: {}. Both scales are logarithmic.",
        table.unit,
        table.of,
        marks.join(", ")
    );
    if table.sizes[0] == 0 {
        words += " 0 has no place on such a scale: it stands apart, left of a break.";
    }
    for (row, size) in table.sizes.iter().enumerate() {
        let cell = |line: &Line| match &line.cells[row] {
            Cell::Figure(figure) => format!("{} {} {}", line.name, number(*figure), table.unit),
            Cell::Word(word) => format!("{} {word}", line.name),
        };
        let cells: Vec<String> = table.lines.iter().map(cell).collect();
        words += &format!(" With {}: {}.", number((*size).into()), cells.join(", "));
    }
    words
}

/// As it is written: `4.3`, `97`, `1,046`. From a hundred on, nobody asks for a tenth.
fn number(figure: f64) -> String {
    if figure < 100.0 {
        return figure.to_string();
    }
    let digits = format!("{figure:.0}");
    let mut number = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            number.push(',');
        }
        number.push(digit);
    }
    number
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
