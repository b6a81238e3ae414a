//! A race as tables, for a terminal.

use textwrap::Options;
use textwrap::core::display_width;

use crate::about;
use crate::figures::{Fate, Figure, crowds, kinds, nobody_answered, twins};
use crate::plot::words::{number, plain};
use crate::result::{Cell, Pace, Race, Server};
use crate::units::Unit;

/// As wide as terminals are that nobody has made wider.
const WIDTH: usize = 80;
/// The head of the first column.
const CROWD: &str = "silent visitors";

/// The whole race. No line is longer than 80 columns.
pub fn print(race: &Race) -> String {
    let mut text = head(race);
    let mut marks = Marks::default();
    for figure in Figure::ALL {
        text += &table(race, figure, &mut marks);
    }
    text += &marks.told();
    text += &causes(race);
    text += &fewer_rounds(race);
    text += not_counted(race);
    text += &noise(race);
    text += &lateness(race);
    let others = about::others(race);
    if !others.is_empty() {
        text +=
            &paragraph(&format!("Other programs were busy meanwhile: {}.", others.join(", ")), "");
    }
    text
}

fn head(race: &Race) -> String {
    let cores = if race.machine.pinned {
        "server and load on a core of their own each"
    } else {
        "server and load on the same cores, so that the load may have been the limit anywhere"
    };
    let mut text = paragraph(&format!("The race of {}", plain(&race.date)), "");
    text += &paragraph(&format!("{}; {cores}", about::machine(&race.machine)), "");
    text += &paragraph(&about::plan(race), "");
    if race.cut_short {
        text += "It was cut short: the last round isn't whole.\n";
    }
    if race.servers.is_empty() {
        return text + "\nNo server ran.\n";
    }
    text += "\nWho ran\n";
    let width = names_width(race);
    for server in &race.servers {
        let row = format!("  {}  {}", padded(&name(server), width), plain(&server.title));
        text += &paragraph(&row, &" ".repeat(width + 4));
    }
    text
}

/// One figure: a row for each server, a column for each crowd.
fn table(race: &Race, figure: Figure, marks: &mut Marks) -> String {
    let crowds = crowds(race);
    let has_any = race
        .servers
        .iter()
        .any(|server| crowds.iter().any(|crowd| figure.of(server, *crowd).is_some()));
    if !has_any {
        return String::new();
    }
    let cells = |server: &Server, marks: &mut Marks| {
        crowds.iter().map(|crowd| cell(figure, server, *crowd, marks)).collect()
    };
    let rows: Vec<Vec<String>> = race.servers.iter().map(|server| cells(server, marks)).collect();
    let heads: Vec<String> = crowds.iter().map(|crowd| number(*crowd as f64)).collect();
    let names: Vec<String> = race.servers.iter().map(name).collect();
    format!("\n{}{}\n{}", figure.title(), note(figure), grid(&heads, &names, &rows))
}

fn note(figure: Figure) -> &'static str {
    match figure {
        Figure::Slowest => " (the 99th percentile)",
        Figure::Rare => " (the 99.9th percentile)",
        Figure::Longest => " (of each round)",
        Figure::Calls | Figure::Turns => " (to visitors who come one after the other)",
        Figure::Failures => " (of all requests)",
        Figure::Visitor => " (what was added since there was nobody)",
        _ => "",
    }
}

/// What the marks in cells mean is told below all tables.
#[derive(Default)]
struct Marks {
    failed: bool,
    not_all: bool,
    load: bool,
}

impl Marks {
    fn told(&self) -> String {
        let mut told = "\n".to_owned();
        if self.failed {
            told += "×: nobody was answered\n";
        }
        if self.not_all {
            told += "*: not all of the crowd were inside\n";
        }
        if self.load {
            told += "°: the load was the limit, not the server\n";
        }
        if told == "\n" { String::new() } else { told }
    }
}

fn cell(figure: Figure, server: &Server, crowd: usize, marks: &mut Marks) -> String {
    let fate = Fate::of(server, crowd);
    // Always as wide: the figures stand below each other.
    let mark = match fate {
        Fate::Altogether(_) => '×',
        Fate::NotAll(_) => '*',
        Fate::NotThere | Fate::Well if figure.is_the_loads(server, crowd) => '°',
        Fate::NotThere | Fate::Well => ' ',
    };
    marks.failed |= mark == '×';
    marks.not_all |= mark == '*';
    marks.load |= mark == '°';
    match figure.of(server, crowd) {
        Some(spread) => format!("{}{mark}", figure.unit().show(spread.median)),
        None if fate.is_altogether() => "× ".to_owned(),
        None => String::new(),
    }
}

/// As many columns beside each other as there is room for, the others below.
fn grid(heads: &[String], names: &[String], rows: &[Vec<String>]) -> String {
    let first = names.iter().map(|name| display_width(name)).chain([display_width(CROWD)]).max();
    let first = first.unwrap_or(0) + 2;
    let widths: Vec<usize> = (0..heads.len())
        .map(|column| {
            let cells = rows.iter().map(|row| display_width(&row[column]));
            cells.chain([display_width(&heads[column]) + 1]).max().unwrap_or(0) + 2
        })
        .collect();
    let (mut text, mut from) = (String::new(), 0);
    while from < heads.len() {
        let mut to = from + 1;
        while to < heads.len() && first + widths[from..=to].iter().sum::<usize>() <= WIDTH {
            to += 1;
        }
        let row = |name: &str, cells: &[String], after: &str| {
            let mut row = format!("  {}", padded(name, first - 2));
            for (cell, width) in cells[from..to].iter().zip(&widths[from..to]) {
                let cell = format!("{cell}{after}");
                row += &" ".repeat(width.saturating_sub(display_width(&cell)));
                row += &cell;
            }
            format!("{}\n", row.trim_end())
        };
        text += &row(CROWD, heads, " ");
        for (name, cells) in names.iter().zip(rows) {
            text += &row(name, cells, "");
        }
        from = to;
    }
    text
}

/// Why there are failures: for each server and crowd that has some.
fn causes(race: &Race) -> String {
    let mut text = String::new();
    for server in &race.servers {
        for crowd in crowds(race) {
            let cells: Vec<&Cell> = server.cells(crowd).collect();
            if let Some(cause) = cause(&cells) {
                let line = format!("  {}, with {}: {cause}", name(server), number(crowd as f64));
                text += &paragraph(&line, "    ");
            }
        }
    }
    if text.is_empty() { text } else { format!("\nWhat failed\n{text}") }
}

fn cause(cells: &[&Cell]) -> Option<String> {
    let first = cells.first()?;
    let mut causes = Vec::new();
    let rounds = cells.iter().filter(|cell| nobody_answered(&cell.window)).count();
    if rounds > 0 {
        causes.push(format!(
            "nobody was answered in {rounds} of {}",
            about::counted(cells.len(), "round")
        ));
    }
    for kind in 0..4 {
        let some = cells.iter().map(|cell| kinds(&cell.window)[kind].0);
        let (some, what) = (some.fold(0, u64::saturating_add), kinds(&first.window)[kind].1);
        if some > 0 {
            causes.push(format!("{} {what}", number(some as f64)));
        }
    }
    if let Some(fewest) =
        cells.iter().filter(|cell| cell.inside < cell.crowd).min_by_key(|cell| cell.inside)
    {
        let why = fewest.why.as_deref().map_or(String::new(), |why| format!(" ({})", plain(why)));
        causes.push(format!(
            "{} of {} inside{why}",
            number(fewest.inside as f64),
            number(fewest.crowd as f64)
        ));
    }
    // What became of the server, or of its answers, where nobody is missing.
    let why =
        cells.iter().filter(|cell| cell.inside >= cell.crowd).find_map(|cell| cell.why.as_ref());
    causes.extend(why.map(|why| plain(why)));
    (!causes.is_empty()).then(|| causes.join(", "))
}

/// Who didn't meet a crowd in each round, though it was there in the last one.
fn fewer_rounds(race: &Race) -> String {
    let mut text = String::new();
    for server in &race.servers {
        for crowd in crowds(race) {
            let (met, all) = (server.cells(crowd).count(), server.rounds.len());
            if met > 0 && met < all && !Fate::of(server, crowd).is_altogether() {
                let rounds = about::counted(all, "round");
                let (name, crowd) = (name(server), number(crowd as f64));
                text += &paragraph(&format!("  {name}, with {crowd}: {met} of {rounds}"), "    ");
            }
        }
    }
    if text.is_empty() { text } else { format!("\nIn some of the rounds only\n{text}") }
}

/// Where servers ran of which everything else is known.
fn not_counted(race: &Race) -> &'static str {
    let mut cells =
        race.servers.iter().flat_map(|server| &server.rounds).flat_map(|round| &round.cells);
    let is_ours = |cell: &Cell| cell.memory.is_some() && cell.window.answered > 0;
    if cells.clone().any(|cell| cell.counted.is_some()) || !cells.any(is_ours) {
        return "";
    }
    "\nSystem calls weren't counted where this was measured.\n"
}

/// The noise floor.
fn noise(race: &Race) -> String {
    let figures = Figure::ALL.iter().filter_map(|figure| Some((figure, figure.noise(race)?)));
    let figures: Vec<String> =
        figures.map(|(figure, ratio)| format!("×{ratio:.2} ({})", lower(figure.title()))).collect();
    let twins: Vec<String> =
        twins(race).map(|(twin, again)| format!("{} and {}", name(twin), name(again))).collect();
    if figures.is_empty() {
        return "\nNo server ran twice: how large the noise is isn't known.\n".to_owned();
    }
    format!(
        "\n{}",
        paragraph(
            &format!(
                "The noise floor: {} are the same program, and differ by up to {}. What differs by less is noise.",
                twins.join(", "),
                figures.join(", ")
            ),
            "",
        )
    )
}

/// How far the load was from what it had been told to do, where it was furthest.
fn lateness(race: &Race) -> String {
    if let Pace::Closed { .. } = race.plan.pace {
        // Nothing is due.
        return String::new();
    }
    let late = race.servers.iter().flat_map(|server| {
        let of = move |crowd| Some((server.spread(crowd, late)?.median, server, crowd));
        crowds(race).into_iter().filter_map(of)
    });
    let Some((late, server, crowd)) = late.max_by(|one, other| one.0.total_cmp(&other.0)) else {
        return String::new();
    };
    paragraph(
        &format!(
            "The load was late too: one request in a hundred was sent {} after it was due, or later (most with {}, \
             and {}).",
            Unit::Time.show(late),
            name(server),
            about::counted(crowd, "silent visitor")
        ),
        "",
    )
}

fn late(cell: &Cell) -> Option<f64> {
    (cell.window.due > 0).then_some(cell.window.late as f64)
}

/// As it stands within a sentence: `CPU` stays.
fn lower(title: &str) -> String {
    if title.starts_with("CPU") { title.to_owned() } else { title.to_lowercase() }
}

fn name(server: &Server) -> String {
    about::short(&server.name)
}

fn names_width(race: &Race) -> usize {
    race.servers.iter().map(|server| display_width(&name(server))).max().unwrap_or(0)
}

fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(display_width(text))))
}

/// `text` in lines that aren't too long, and a line's end.
pub fn paragraph(text: &str, behind: &str) -> String {
    format!("{}\n", textwrap::fill(text, Options::new(WIDTH).subsequent_indent(behind)))
}
