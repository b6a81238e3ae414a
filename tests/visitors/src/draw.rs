//! The play in the terminal: a bar for each visitor that grows with time, and shows what it was
//! doing when.
//!
//! Only two things are asked of the terminal: that the cursor can be sent up, and that a line's
//! rest can be wiped. So it's sane at whatever moment this ends.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use terminal_size::terminal_size;

use visitors::play::{Play, Scene};
use visitors::visit::Doing;

/// So wide and high is a terminal that doesn't say.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// The longest word for what a visitor is doing has so many letters.
const WORD: usize = 10;

/// A bar shorter than this tells nothing: then there's none.
const SHORTEST_BAR: usize = 8;

/// Each doing that a bar shows: its glyph, its color (a number of ANSI's), its word. The shapes
/// differ by themselves, for eyes and terminals without colors.
const LEGEND: [(Doing, char, u8, &str); 6] = [
    (Doing::Connecting, '╌', 36, "connecting"),
    (Doing::Sending, '>', 34, "sending"),
    (Doing::Waiting, '░', 33, "waiting"),
    (Doing::Silent, '─', 90, "silent"),
    (Doing::Receiving, '█', 32, "receiving"),
    (Doing::Refused, 'x', 31, "refused"),
];

/// The terminal, and what stands in it.
#[derive(Debug)]
pub struct Screen {
    colors: bool,
    /// The lines of the last frame: the cursor goes up so many before the next.
    drawn: usize,
}

impl Screen {
    /// The terminal that stdout goes to, if it does and can be drawn in.
    pub fn of_stdout() -> Option<Self> {
        let stdout = io::stdout();
        let dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        (stdout.is_terminal() && !dumb).then(|| Self {
            // NO_COLOR and its kin are heard here. They forbid colors, not moving the cursor.
            colors: AutoStream::choice(&stdout) != ColorChoice::Never,
            drawn: 0,
        })
    }

    /// Draws the play as it is now, over the frame before, with a few lines on what the program does.
    pub fn draw(&mut self, play: &Play, program: &[String]) -> io::Result<()> {
        let (columns, rows) = terminal_size()
            .map_or(USUAL_SIZE, |(width, height)| (usize::from(width.0), usize::from(height.0)));
        // A line as wide as the terminal may wrap, and then the cursor would go up too little.
        let size = (columns.saturating_sub(1), rows.saturating_sub(1));
        let time = (play.age().min(play.limit()), play.limit());
        let lines = frame(&play.scenes(), time, size, self.colors, program);

        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\r\x1b[{}A", self.drawn));
        }
        for line in &lines {
            text.push_str(line);
            text.push_str("\x1b[K\n");
        }
        // A terminal that has grown narrower or lower leaves lines of the frame before.
        text.push_str("\x1b[J");
        self.drawn = lines.len();
        // In one piece, so that no half frame is ever seen.
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }
}

/// The lines of a frame: the visitors that fit, how many more there are, the program, the legend.
/// No line is wider than `size`'s columns, and there are no more than its rows.
fn frame(
    scenes: &[Scene],
    (age, limit): (Duration, Duration),
    (columns, rows): (usize, usize),
    colors: bool,
    program: &[String],
) -> Vec<String> {
    let label = scenes.iter().map(|scene| scene.who.to_string().len()).max();
    let label = label.unwrap_or(0);
    let bar = columns.saturating_sub(label + WORD + 2);
    let below = 1 + program.len();
    let room = rows.saturating_sub(below);
    // Where not all fit, one line says so.
    let shown = if scenes.len() > room { room.saturating_sub(1) } else { scenes.len() };

    let mut lines = Vec::new();
    for scene in &scenes[..shown] {
        let who = scene.who.to_string();
        let word = scene.track.last().map_or("to come", |(_, doing)| word(*doing));
        lines.push(if bar < SHORTEST_BAR {
            cut(&format!("{who:label$} {word}"), columns)
        } else {
            let cells = cells(&scene.track, age, limit, bar);
            format!("{who:label$} {} {word}", paint(&cells, colors))
        });
    }
    if shown < scenes.len() {
        let more = scenes.len() - shown;
        lines.push(cut(&format!("and {more} more"), columns));
    }
    lines.extend(program.iter().map(|line| cut(line, columns)));
    lines.push(legend(columns, colors));
    lines.truncate(rows);
    lines
}

/// What each cell of a bar shows: `None` where nothing is to be seen.
fn cells(
    track: &[(Duration, Doing)],
    age: Duration,
    limit: Duration,
    width: usize,
) -> Vec<Option<Doing>> {
    let moment = |cell: usize| limit.mul_f64(cell as f64 / width as f64);
    let cell = |index: usize| {
        let (from, to) = (moment(index), moment(index + 1));
        let mut shown = None;
        for (at, (since, doing)) in track.iter().enumerate() {
            let until = track.get(at + 1).map_or(age, |(next, _)| *next);
            if *since >= to || until < from || from > age {
                continue;
            }
            let over = at + 1 == track.len() && ends(*doing);
            let doing = match doing {
                // Whatever ended it badly is seen as a single mark, where it happened.
                Doing::Refused | Doing::CutOff if *since >= from => Doing::Refused,
                _ if over => continue,
                doing => *doing,
            };
            // An answer within a cell is what matters in it: a quick one takes less than a cell.
            if shown != Some(Doing::Receiving) {
                shown = Some(doing);
            }
        }
        shown
    };
    (0..width).map(cell).collect()
}

fn ends(doing: Doing) -> bool {
    use Doing::{Answered, CutOff, GaveUp, Left, Refused};
    matches!(doing, Answered | CutOff | GaveUp | Left | Refused)
}

fn word(doing: Doing) -> &'static str {
    match doing {
        Doing::Answered => "answered",
        Doing::CutOff => "cut off",
        Doing::GaveUp => "gave up",
        Doing::Left => "left",
        doing => entry(doing).3,
    }
}

fn entry(doing: Doing) -> (Doing, char, u8, &'static str) {
    let found = LEGEND.iter().find(|(known, ..)| *known == doing);
    *found.unwrap_or(&LEGEND[5])
}

/// A bar's cells as text; neighbors alike share a color.
fn paint(cells: &[Option<Doing>], colors: bool) -> String {
    let mut text = String::new();
    for group in cells.chunk_by(|one, next| one == next) {
        let Some(doing) = group[0] else {
            text.push_str(&" ".repeat(group.len()));
            continue;
        };
        let (_, glyph, color, _) = entry(doing);
        text.push_str(&colored(&glyph.to_string().repeat(group.len()), color, colors));
    }
    text
}

fn colored(text: &str, color: u8, colors: bool) -> String {
    if colors { format!("\x1b[{color}m{text}\x1b[0m") } else { text.to_owned() }
}

/// As many of the legend's entries as fit.
fn legend(columns: usize, colors: bool) -> String {
    let mut text = String::new();
    let mut width = 0;
    for (_, glyph, color, word) in LEGEND {
        let gap = if width == 0 { "" } else { "  " };
        let wider = width + gap.len() + 2 + word.len();
        if wider > columns {
            break;
        }
        width = wider;
        let glyph = colored(&glyph.to_string(), color, colors);
        text.push_str(&format!("{gap}{glyph} {word}"));
    }
    text
}

fn cut(text: &str, columns: usize) -> String {
    text.chars().take(columns).collect()
}

#[cfg(test)]
mod tests {
    use visitors::cast::Who;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    fn at(milliseconds: u64, doing: Doing) -> (Duration, Doing) {
        (Duration::from_millis(milliseconds), doing)
    }

    fn bar(track: &[(Duration, Doing)], age: u64, width: usize) -> String {
        paint(&cells(track, Duration::from_millis(age), LIMIT, width), false)
    }

    #[test]
    fn an_answer_that_takes_less_than_a_cell_is_seen() {
        let track = [
            at(0, Doing::Connecting),
            at(1, Doing::Sending),
            at(2, Doing::Waiting),
            at(3, Doing::Receiving),
            at(4, Doing::Answered),
        ];
        assert_eq!(bar(&track, 5000, 10), "█         ");
    }

    #[test]
    fn a_bar_grows_only_as_far_as_time_has_come() {
        let track = [at(0, Doing::Connecting), at(1, Doing::Waiting)];
        assert_eq!(bar(&track, 1100, 10), "░░░       ");
        assert_eq!(bar(&track, 5000, 10), "░░░░░░░░░░");
    }

    #[test]
    fn who_came_late_has_no_bar_before() {
        let track = [at(2000, Doing::Connecting), at(2600, Doing::Silent)];
        assert_eq!(bar(&track, 4900, 10), "    ╌─────");
    }

    #[test]
    fn a_refusal_is_one_mark_and_nothing_after_it() {
        let track = [at(0, Doing::Connecting), at(1600, Doing::Refused)];
        assert_eq!(bar(&track, 5000, 10), "╌╌╌x      ");
    }

    #[test]
    fn no_line_is_wider_and_no_frame_higher_than_the_terminal() {
        let scene =
            |who| Scene { who, track: vec![at(0, Doing::Connecting), at(10, Doing::Waiting)] };
        let mut scenes = vec![scene(Who::Quick); 30];
        scenes.push(scene(Who::Crowd(20_000)));
        let time = (Duration::from_secs(3), LIMIT);
        let program = ["is inside read(4): it waits for the silent visitor to send".to_owned()];
        for columns in [0, 5, 12, 39, 79, 119] {
            for rows in [0, 1, 2, 3, 23, 60] {
                let lines = frame(&scenes, time, (columns, rows), false, &program);
                assert!(lines.len() <= rows, "{rows} rows, {} lines", lines.len());
                let widest = lines.iter().map(|line| line.chars().count()).max();
                assert!(widest.unwrap_or(0) <= columns, "{columns} columns: {lines:#?}");
            }
        }
        let lines = frame(&scenes, time, (79, 23), false, &program);
        assert_eq!(lines[20], "and 11 more");
    }

    #[test]
    fn without_colors_nothing_but_text_is_drawn() {
        let scene = Scene {
            who: Who::Silent,
            track: vec![at(0, Doing::Connecting), at(10, Doing::Silent)],
        };
        let time = (Duration::from_secs(3), LIMIT);
        let plain = frame(std::slice::from_ref(&scene), time, (79, 23), false, &[]);
        assert!(!plain.concat().contains('\x1b'), "{plain:?}");
        let colored = frame(&[scene], time, (79, 23), true, &[]);
        assert!(colored[0].contains("\x1b[90m─"), "{colored:?}");
        assert!(colored[0].contains("─\x1b[0m"), "{colored:?}");
    }
}
