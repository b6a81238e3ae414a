//! A table of figures: growing sizes in its first column, and a line of the picture in each other one.

use anyhow::{Result, bail, ensure};

/// How many lines can be told apart, each by its shape.
pub const MOST_LINES: usize = 4;

pub struct Table {
    /// What there is more and more of, from the head of the first column.
    pub of: String,
    pub sizes: Vec<u32>,
    pub lines: Vec<Line>,
    /// All figures have the same.
    pub unit: String,
}

pub struct Line {
    pub name: String,
    /// One for each size.
    pub cells: Vec<Cell>,
}

pub enum Cell {
    /// More than nothing, so that it has a logarithm.
    Figure(f64),
    /// Why there is none.
    Word(String),
}

impl Cell {
    pub fn figure(&self) -> Option<f64> {
        match self {
            Cell::Figure(figure) => Some(*figure),
            Cell::Word(_) => None,
        }
    }
}

impl Table {
    /// Reads `text`, which stands in `file`. At least two spaces are between two columns. A line in
    /// parentheses is a note.
    pub fn read(file: &str, text: &str) -> Result<Table> {
        let mut rows = text
            .lines()
            .zip(1..)
            .filter(|(row, _)| !row.trim().is_empty() && !row.starts_with('('))
            .map(|(row, number)| (columns(row), number));
        let Some((head, first)) = rows.next() else { bail!("{file}:1: there is no table") };
        ensure!(
            (2..=1 + MOST_LINES).contains(&head.len()),
            "{file}:{first}: a first column of sizes and one to {MOST_LINES} others are expected, with two \
             spaces between them, and not {}",
            head.len()
        );
        let line = |name: &&str| Line { name: (*name).to_owned(), cells: Vec::new() };
        let mut table = Table {
            of: head[0].to_owned(),
            sizes: Vec::new(),
            lines: head[1..].iter().map(line).collect(),
            unit: String::new(),
        };
        for (row, number) in rows {
            ensure!(
                row.len() == head.len(),
                "{file}:{number}: the table has {} columns, and this row {}",
                head.len(),
                row.len()
            );
            let Ok(size) = row[0].parse() else {
                bail!("{file}:{number}: `{}` is no size: a whole number is expected", row[0])
            };
            ensure!(
                table.sizes.last().is_none_or(|last| *last < size),
                "{file}:{number}: the sizes must grow, and {size} doesn't"
            );
            table.sizes.push(size);
            for (line, cell) in table.lines.iter_mut().zip(&row[1..]) {
                match read_cell(cell, &mut table.unit) {
                    Ok(cell) => line.cells.push(cell),
                    Err(why) => bail!("{file}:{number}: `{cell}` {why}"),
                }
            }
        }
        for line in &table.lines {
            let figures = line.cells.iter().filter_map(Cell::figure).count();
            ensure!(
                figures >= 2,
                "{file}:{first}: `{}` is no line: it takes two figures",
                line.name
            );
        }
        Ok(table)
    }
}

fn columns(row: &str) -> Vec<&str> {
    row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

/// The first figure says what the `unit` is.
fn read_cell(cell: &str, unit: &mut String) -> Result<Cell, String> {
    if !cell.contains(|c: char| c.is_ascii_digit()) {
        return Ok(Cell::Word(cell.to_owned()));
    }
    let read = cell.split_once(' ').and_then(|(number, unit)| Some((number.parse().ok()?, unit)));
    let Some((number, its_unit)) = read else {
        return Err("is neither a figure with its unit, such as `1.5 µs`, nor a word".to_owned());
    };
    if !f64::is_normal(number) || number < 0.0 {
        return Err("can't be on a logarithmic scale: it isn't more than 0".to_owned());
    }
    if unit.is_empty() {
        its_unit.clone_into(unit);
    }
    if unit != its_unit {
        return Err(format!("has another unit than the figures before it, {unit}"));
    }
    Ok(Cell::Figure(number))
}
