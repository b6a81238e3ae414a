//! Lines of text as requests to an X server: the font, the colors, and nothing that waits.

use std::error::Error;

use x11rb::connection::Connection;
use x11rb::errors::ConnectionError;
use x11rb::protocol::xproto::{
    ConnectionExt, CreateGCAux, Gcontext, QueryFontReply, Rectangle, Screen, Window,
};
use x11rb::rust_connection::RustConnection;

use crate::screen::{Line, Room, Shade, latin1};
use crate::wire::Wire;

/// The fonts that are tried, best first. Not every server has them; each has one that is used when
/// none is named.
const FONTS: [&str; 2] = ["9x15", "fixed"];
/// Above and below a line's text, in pixels.
const PADDING: u16 = 2;

/// The paper and the ink of each shade, as red, green, blue.
const SHADES: [(Shade, u32, u32); 6] = [
    (Shade::Title, 0x2b_3a_4a, 0xff_ff_ff),
    (Shade::Heading, 0xd5_dc_e4, 0x3a_45_50),
    (Shade::Even, 0xff_ff_ff, 0x1b_1f_24),
    (Shade::Odd, 0xf0_f4_f8, 0x1b_1f_24),
    (Shade::Selected, 0xff_e0_9e, 0x1b_1f_24),
    (Shade::Note, 0xff_ff_ff, 0x6a_73_7d),
];
/// The color of a row's mark, by what its protocol begins with.
const MARKS: [(&str, u32); 5] = [
    ("http", 0x2f_6f_de),
    ("dns", 0x2e_9d_57),
    ("mail", 0xc8_44_3c),
    ("chat", 0x8a_4f_c7),
    ("", 0x8a_94_a0),
];

/// What lines are drawn with: made before the loop starts, because making it takes answers.
pub struct Paint {
    window: Window,
    shades: Vec<(Shade, Ink)>,
    marks: Vec<(&'static str, Gcontext)>,
    /// The size of a character, in pixels.
    cell: Cell,
}

/// The numbers of all that the X server keeps for it, and the size of a character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// For each shade in the table: paper and text.
    pub shades: Vec<[u32; 2]>,
    /// For each mark in the table.
    pub marks: Vec<u32>,
    /// Width, ascent and descent, in pixels.
    pub cell: [u16; 3],
}

#[derive(Clone, Copy)]
struct Ink {
    paper: Gcontext,
    text: Gcontext,
}

#[derive(Clone, Copy)]
struct Cell {
    width: u16,
    ascent: u16,
    descent: u16,
}

impl Paint {
    /// For this window of this screen.
    ///
    /// # Errors
    /// When the server refuses, or is gone.
    pub fn new(
        x: &RustConnection<Wire>,
        screen: &Screen,
        window: Window,
    ) -> Result<Self, Box<dyn Error>> {
        let color = |color: u32| {
            let [_, red, green, blue] = color.to_be_bytes().map(|part| u16::from(part) * 0x101);
            let wanted = x.alloc_color(screen.default_colormap, red, green, blue)?.reply();
            let dark = red / 3 + green / 3 + blue / 3 < 0x8000;
            // A screen with few colors may have none left for us.
            let instead = if dark { screen.black_pixel } else { screen.white_pixel };
            Ok::<u32, Box<dyn Error>>(wanted.map_or(instead, |color| color.pixel))
        };
        let font = first_font(x)?;
        let tool = |values: CreateGCAux| {
            let tool = x.generate_id()?;
            x.create_gc(tool, window, &CreateGCAux { font, ..values }.graphics_exposures(0))?;
            Ok::<Gcontext, Box<dyn Error>>(tool)
        };
        let mut shades = Vec::new();
        for (shade, paper, text) in SHADES {
            let (paper, text) = (color(paper)?, color(text)?);
            let paper_tool = tool(CreateGCAux::new().foreground(paper))?;
            let text_tool = tool(CreateGCAux::new().foreground(text).background(paper))?;
            shades.push((shade, Ink { paper: paper_tool, text: text_tool }));
        }
        let mut marks = Vec::new();
        for (protocol, mark) in MARKS {
            marks.push((protocol, tool(CreateGCAux::new().foreground(color(mark)?))?));
        }
        // A tool that draws text is asked for its font: it has one even where we have named none.
        let &(_, Ink { text, .. }) = shades.first().ok_or("no shades")?;
        let cell = Cell::of(&x.query_font(text)?.reply()?);
        Ok(Self { window, shades, marks, cell })
    }

    /// What it's made of, for another process.
    pub fn parts(&self) -> Parts {
        let Cell { width, ascent, descent } = self.cell;
        Parts {
            shades: self.shades.iter().map(|(_, ink)| [ink.paper, ink.text]).collect(),
            marks: self.marks.iter().map(|(_, mark)| *mark).collect(),
            cell: [width, ascent, descent],
        }
    }

    /// Goes on with what another process has made. None: its tables were others.
    pub fn from_parts(window: Window, parts: &Parts) -> Option<Self> {
        let Parts { shades, marks, cell: [width, ascent, descent] } = parts;
        if (shades.len(), marks.len()) != (SHADES.len(), MARKS.len()) {
            return None;
        }
        let ink = |((shade, ..), [paper, text]): (&(Shade, u32, u32), &[u32; 2])| {
            (*shade, Ink { paper: *paper, text: *text })
        };
        let mark = |((protocol, _), mark): (&(&'static str, u32), &u32)| (*protocol, *mark);
        Some(Self {
            window,
            shades: SHADES.iter().zip(shades).map(ink).collect(),
            marks: MARKS.iter().zip(marks).map(mark).collect(),
            cell: Cell { width: *width.max(&1), ascent: *ascent, descent: *descent },
        })
    }

    /// The height of a line, in pixels.
    pub fn line_height(&self) -> u16 {
        self.cell.ascent.saturating_add(self.cell.descent).saturating_add(2 * PADDING)
    }

    /// How much text there is room for, in a window of this size in pixels.
    pub fn room(&self, (width, height): (u16, u16)) -> Room {
        Room {
            lines: usize::from(height / self.line_height()),
            characters: usize::from(width.saturating_sub(self.margins()) / self.cell.width),
        }
    }

    /// How large a window must be for so much text, in pixels.
    pub fn size(&self, lines: u16, characters: u16) -> (u16, u16) {
        let width = self.cell.width.saturating_mul(characters).saturating_add(self.margins());
        (width, self.line_height().saturating_mul(lines))
    }

    /// Left of the text, where the mark is.
    fn margin(&self) -> u16 {
        self.cell.width.saturating_mul(2)
    }

    /// That, and as much as one character on the right.
    fn margins(&self) -> u16 {
        self.margin().saturating_add(self.cell.width)
    }

    /// Draws one line, so many lines from the top, over the whole width of the window.
    ///
    /// # Errors
    /// None that waiting would help.
    pub fn line(
        &self,
        x: &RustConnection<Wire>,
        line: &Line,
        number: usize,
        width: u16,
    ) -> Result<(), ConnectionError> {
        let Some(ink) = self.shades.iter().find(|(shade, _)| *shade == line.shade) else {
            return Ok(());
        };
        let height = self.line_height();
        let top = self.top(number);
        let paper = Rectangle { x: 0, y: top, width, height };
        x.poly_fill_rectangle(self.window, ink.1.paper, &[paper])?;
        let mark = line.shows.and_then(|shown| {
            self.marks.iter().find(|(protocol, _)| shown.protocol.starts_with(protocol))
        });
        if let Some((_, mark)) = mark {
            let side = self.cell.width.min(height);
            let middle = pixels((height - side) / 2);
            let left = pixels(self.cell.width / 2);
            let square =
                Rectangle { x: left, y: top.saturating_add(middle), width: side, height: side };
            x.poly_fill_rectangle(self.window, *mark, &[square])?;
        }
        let base = top.saturating_add(pixels(PADDING + self.cell.ascent));
        x.image_text8(self.window, ink.1.text, pixels(self.margin()), base, &latin1(&line.text))?;
        Ok(())
    }

    /// Clears everything from this line down.
    ///
    /// # Errors
    /// None that waiting would help.
    pub fn clear_from(
        &self,
        x: &RustConnection<Wire>,
        number: usize,
    ) -> Result<(), ConnectionError> {
        // No width and no height mean: as far as the window goes.
        x.clear_area(false, self.window, 0, self.top(number), 0, 0)?;
        Ok(())
    }

    fn top(&self, number: usize) -> i16 {
        let lines = u16::try_from(number).unwrap_or(u16::MAX);
        pixels(self.line_height().saturating_mul(lines))
    }
}

impl Cell {
    fn of(font: &QueryFontReply) -> Self {
        let positive = |pixels: i16| u16::try_from(pixels).unwrap_or(0);
        Self {
            // The widest: in a font whose characters are of different widths, no text becomes
            // longer than its place.
            width: positive(font.max_bounds.character_width).max(1),
            ascent: positive(font.font_ascent),
            descent: positive(font.font_descent),
        }
    }
}

/// The first of the fonts that the server has. `None`: none of them.
fn first_font(x: &RustConnection<Wire>) -> Result<Option<u32>, Box<dyn Error>> {
    for name in FONTS {
        let font = x.generate_id()?;
        if x.open_font(font, name.as_bytes())?.check().is_ok() {
            return Ok(Some(font));
        }
    }
    Ok(None)
}

/// Coordinates are signed, sizes aren't.
fn pixels(size: u16) -> i16 {
    i16::try_from(size).unwrap_or(i16::MAX)
}
