//! A window that shows who is here, as others see it.

use visitors::setup::until;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{ConnectionExt, CreateWindowAux, WindowClass};
use x11rb::rust_connection::RustConnection;

use super::Display;

/// A column of pixels that goes through the marks, whatever the font.
const THROUGH_MARKS: usize = 6;

#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    until(what, || is_so().then_some(()));
}

/// The window, as others see it.
pub struct Glass<'a> {
    display: &'a Display,
    pub id: String,
    /// The color of the marks that are looked for.
    mark: u32,
}

impl<'a> Glass<'a> {
    #[track_caller]
    pub fn of(display: &'a Display, mark: u32) -> Self {
        let search = ["search", "--onlyvisible", "--name", "^who is here$"];
        let find = || display.tool("xdotool", &search).filter(|out| !out.is_empty());
        wait_until("a window", || find().is_some());
        let id = String::from_utf8(find().unwrap()).unwrap();
        let glass = Self { display, id: id.trim().to_owned(), mark };
        // Before it's drawn, it's white.
        wait_until("a picture", || {
            glass.picture().is_some_and(|picture| picture.at(0, 0) != WHITE)
        });
        glass
    }

    pub fn picture(&self) -> Option<Picture> {
        Some(Picture(self.display.tool("xwd", &["-silent", "-id", &self.id])?))
    }

    /// Where the rows are, from the top.
    pub fn rows(&self) -> Vec<usize> {
        let Some(picture) = self.picture() else { return Vec::new() };
        let is_mark = |y: &usize| picture.at(THROUGH_MARKS, *y) == self.mark;
        let begins = |y: &usize| is_mark(y) && !is_mark(&(y - 1));
        (1..picture.height()).filter(begins).collect()
    }

    #[track_caller]
    pub fn shows_rows(&self, count: usize) -> Vec<usize> {
        wait_until(&format!("{count} rows"), || self.rows().len() == count);
        self.rows()
    }

    pub fn move_to(&self, y: usize) {
        self.display.hand(&format!("mousemove --window {} 100 {y}", self.id));
    }

    pub fn click(&self, y: usize) {
        self.move_to(y);
        self.display.hand("click 1");
    }

    pub fn keys(&self, keys: &str) {
        self.display.hand(&format!("windowfocus {} key --delay 0 {keys}", self.id));
    }

    /// Something over the window's uppermost lines, for as long as it's kept.
    #[track_caller]
    pub fn cover(&self, height: u16) -> Cover {
        let (x, screen) = RustConnection::connect(Some(&self.display.name)).unwrap();
        let root = x.setup().roots[screen].root;
        let cover = x.generate_id().unwrap();
        let values = CreateWindowAux::new().override_redirect(1).background_pixel(0);
        let class = WindowClass::INPUT_OUTPUT;
        x.create_window(0, cover, root, 0, 0, 1600, height, 0, class, 0, &values).unwrap();
        x.map_window(cover).unwrap().check().unwrap();
        wait_until("a cover", || self.picture().is_some_and(|picture| picture.at(0, 0) == 0));
        Cover(x)
    }

    pub fn resize(&self, width: usize, height: usize) {
        self.display.hand(&format!("windowsize {} {width} {height}", self.id));
    }
}

/// Its window goes with the connection.
pub struct Cover(#[expect(dead_code, reason = "kept, so that it's open")] RustConnection);

pub const WHITE: u32 = 0xff_ff_ff;

/// What xwd writes (X11/XWDFile.h): a header of 32-bit numbers, colors, pixels of 32 bits.
pub struct Picture(Vec<u8>);

impl Picture {
    fn header(&self, field: usize) -> usize {
        let bytes: [u8; 4] = self.0[4 * field..4 * field + 4].try_into().unwrap();
        usize::try_from(u32::from_be_bytes(bytes)).unwrap()
    }

    pub fn height(&self) -> usize {
        self.header(5)
    }

    pub fn at(&self, x: usize, y: usize) -> u32 {
        let (header, line, colors) = (self.header(0), self.header(12), self.header(19));
        let place = header + colors * 12 + y * line + x * 4;
        let pixel = self.0.get(place..place + 4).and_then(|bytes| bytes.try_into().ok());
        u32::from_le_bytes(pixel.unwrap_or_default()) & WHITE
    }
}
