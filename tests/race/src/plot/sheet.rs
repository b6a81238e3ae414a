//! A picture as wide as a phone. plotters draws it; then its colors become the theme's, and its text the page's.

use std::io;
use std::sync::LazyLock;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use regex::Regex;

use super::words::escaped;

/// Like all pictures; shown larger where there is room.
pub const WIDTH: u32 = 360;
/// From a line of text to the next.
pub const ROW: i32 = 17;
/// Of text that is read after the picture.
pub const SMALL_ROW: i32 = 13;

/// The colors that the theme's take the place of.
pub const INK: RGBColor = RGBColor(0, 0, 0);
pub const ACCENT: RGBColor = RGBColor(0x20, 0x60, 0x9f);
pub const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);
/// Ink of a text that stands on lines: it has an edge of paper.
const ON_LINES: RGBColor = RGBColor(1, 1, 1);
const THEME: [(&str, &str); 4] = [
    ("\"#000000\"", "\"var(--fg, black)\""),
    ("\"#20609F\"", "\"var(--links, #20609f)\""),
    ("\"#FFFFFF\"", "\"var(--bg, white)\""),
    (
        "\"#010101\"",
        "\"var(--fg, black)\" stroke=\"var(--bg, white)\" stroke-width=\"3\" stroke-linejoin=\"round\" \
         paint-order=\"stroke\"",
    ),
];

const SIZE: f64 = 13.0;
const SMALL: f64 = 10.0;
/// plotters writes a smaller number than it's told.
const SHRINKS: f64 = 1.24;

/// What the picture as a whole says once, and what says nothing.
static NEEDLESS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#" font-family="[^"]*"| opacity="1"|</?svg[^>]*>\n"#)
        .expect("the expression for what is needless is right")
});

static TEXT_ALONE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\n([^<\n]+)\n</text>").expect("the expression for a text on its own line is right")
});

pub type Root<'s> = DrawingArea<SVGBackend<'s>, Shift>;
pub type Drawn = Result<(), DrawingAreaErrorKind<io::Error>>;
/// In pixels from the upper left.
pub type At = (i32, i32);

pub struct Sheet<'w> {
    /// What each of its ids begins with.
    pub name: &'w str,
    pub title: &'w str,
    /// All that it shows, for those who don't see it.
    pub desc: &'w str,
    pub height: u32,
}

impl Sheet<'_> {
    /// What `plot` draws, as SVG.
    pub fn draw(&self, plot: impl FnOnce(&Root<'_>) -> Drawn) -> String {
        let mut svg = String::new();
        let root = SVGBackend::with_string(&mut svg, (WIDTH, self.height)).into_drawing_area();
        plot(&root).and_then(|()| root.present()).expect("a string takes whatever is drawn");
        drop(root);
        let (name, height, drawn) = (self.name, self.height, of_the_theme(&svg));
        let (title, desc) = (escaped(self.title), escaped(self.desc));
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="{name}-title {name}-desc" viewBox="0 0 {WIDTH} {height}" width="430" font-size="13" fill="var(--fg, black)">
<title id="{name}-title">{title}</title>
<desc id="{name}-desc">{desc}</desc>
{drawn}</svg>
"#
        )
    }
}

fn of_the_theme(svg: &str) -> String {
    let mut drawn = NEEDLESS.replace_all(svg, "").into_owned();
    drawn = drawn.replace(&written(SIZE), "");
    drawn = drawn.replace(&written(SMALL), &format!(" font-size=\"{SMALL}\""));
    drawn = drawn.replace(" \"/>", "\"/>");
    drawn = TEXT_ALONE.replace_all(&drawn, "$1</text>").into_owned();
    for (color, of_the_theme) in THEME {
        drawn = drawn.replace(color, of_the_theme);
    }
    drawn
}

fn written(size: f64) -> String {
    format!(" font-size=\"{}\"", size / SHRINKS)
}

pub fn text(anchor: HPos, style: FontStyle) -> TextStyle<'static> {
    of_size(SIZE, anchor, style, INK)
}

/// For what is read after the picture.
pub fn small(anchor: HPos) -> TextStyle<'static> {
    of_size(SMALL, anchor, FontStyle::Normal, INK)
}

/// A word among the curves: it can be read though one of them runs behind it.
pub fn on_lines(anchor: HPos) -> TextStyle<'static> {
    of_size(SIZE, anchor, FontStyle::Normal, ON_LINES)
}

fn of_size(size: f64, anchor: HPos, style: FontStyle, color: RGBColor) -> TextStyle<'static> {
    FontDesc::new(FontFamily::SansSerif, size, style)
        .color(&color)
        .pos(Pos::new(anchor, VPos::Center))
}
