//! A table as an SVG picture. What all curves have in common is in the race's `plot`.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use race::plot::labels::{Label, push_apart};
use race::plot::marks::{Mark, line};
use race::plot::scale::{self, Chart, Scale};
use race::plot::sheet::{ACCENT, At, Drawn, INK, ROW, Root, Sheet, WIDTH, text};
use race::plot::words::number;

use super::table::{Cell, Line, MOST_LINES, Table};

const HEIGHT: u32 = 330;
/// Above the lines, for what is measured; beside them, for the figures, and for the lines' names.
const ABOVE: u32 = 40;
const BELOW: u32 = 46;
const LEFT: u32 = 66;
const RIGHT: u32 = 72;
/// From a line's name to the next.
const GAP: i32 = 4;

/// What the lines' points are, in order, and how large.
const MARKS: [(Mark, i32); MOST_LINES] =
    [(Mark::Ring, 6), (Mark::Square, 4), (Mark::Triangle, 7), (Mark::Cross, 5)];

/// Draws the table `name`, which measures `what`.
pub fn draw(name: &str, what: &str, table: &Table) -> String {
    let (title, desc) = (&title(what, table), &in_words(what, table));
    Sheet { name, title, desc, height: HEIGHT }.draw(|root| plot(root, what, table))
}

fn plot(root: &Root<'_>, what: &str, table: &Table) -> Drawn {
    root.draw(&Text::new(what, (4, 12), text(HPos::Left, FontStyle::Bold)))?;
    let at = ((LEFT + WIDTH - RIGHT) as i32 / 2, HEIGHT as i32 - 10);
    root.draw(&Text::new(table.of.as_str(), at, text(HPos::Center, FontStyle::Normal)))?;

    let figures = table.lines.iter().flat_map(|line| line.cells.iter().filter_map(Cell::figure));
    let (sizes, figures) = (sizes(table), Scale::of_figures(figures, 0.05));
    let mut chart = ChartBuilder::on(root)
        .margin_top(ABOVE)
        .margin_right(RIGHT)
        .margin_bottom(BELOW)
        .margin_left(LEFT)
        .build_cartesian_2d(sizes.range(), figures.range())?;
    let with_unit = |figure| format!("{} {}", number(figure), table.unit);
    scale::draw(
        &mut chart,
        (&sizes, &sizes.ticks_of_sizes(number)),
        (&figures, &figures.ticks_of_figures(with_unit)),
    )?;
    for index in 0..table.lines.len() {
        draw_line(root, table, index, &points(&chart, table, index))?;
    }
    let mut names = names(&chart, table);
    push_apart(&mut names, GAP, ABOVE as i32 - ROW / 2, (HEIGHT - BELOW) as i32);
    names.iter().try_for_each(|name| name.draw(root))
}

fn draw_line(root: &Root<'_>, table: &Table, index: usize, points: &[Option<At>]) -> Drawn {
    for (pair, size) in points.windows(2).zip(&table.sizes) {
        // Where a figure is missing, the line is too.
        let [Some(from), Some(to)] = *pair else { continue };
        let dashed = (*size == 0).then_some((4, 4));
        line(root, [from, to], color(index).stroke_width(2), dashed)?;
    }
    // A line can be told by its marks where colors can't be.
    let (mark, radius) = MARKS[index];
    points.iter().flatten().try_for_each(|at| mark.draw(root, *at, radius, color(index)))
}

fn color(index: usize) -> RGBColor {
    if index.is_multiple_of(2) { INK } else { ACCENT }
}

/// Each line's name and its last figure, beside its end.
fn names(chart: &Chart<'_, '_>, table: &Table) -> Vec<Label> {
    let mut names = Vec::new();
    for (index, line) in table.lines.iter().enumerate() {
        let points = points(chart, table, index);
        let Some(column) = points.iter().rposition(Option::is_some) else { continue };
        let (Some((x, y)), Some(figure)) = (points[column], line.cells[column].figure()) else {
            continue;
        };
        // The other lines go on beside a line that ends early: its name has its place below.
        let y = if column + 1 == points.len() { y - ROW / 2 } else { y + ROW };
        let figure = format!("{} {}", number(figure), table.unit);
        names.push(Label { at: (x + 11, y), rows: vec![line.name.clone(), figure], bold: 1 });
    }
    names
}

fn points(chart: &Chart<'_, '_>, table: &Table, index: usize) -> Vec<Option<At>> {
    let sizes = sizes(table);
    let at = |(cell, size): (&Cell, &u32)| {
        Some(chart.backend_coord(&(sizes.place(f64::from(*size)), cell.figure()?.log10())))
    };
    table.lines[index].cells.iter().zip(&table.sizes).map(at).collect()
}

fn sizes(table: &Table) -> Scale {
    Scale::of_sizes(table.sizes.iter().map(|size| f64::from(*size)))
}

fn title(what: &str, table: &Table) -> String {
    let names: Vec<&str> = table.lines.iter().map(|line| line.name.as_str()).collect();
    format!("{what}, by the number of {}: {}", table.of, names.join(", "))
}

/// All figures, for those who don't see the picture.
fn in_words(what: &str, table: &Table) -> String {
    let marks = table.lines.iter().zip(MARKS);
    let marks: Vec<String> =
        marks.map(|(line, (mark, _))| format!("{} ({})", line.name, mark.name())).collect();
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
