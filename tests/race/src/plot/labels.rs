//! Names beside the curves' ends, none on another.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::sheet::{At, Drawn, ROW, Root, text};

/// Some rows of text, one below the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The left end of its first row.
    pub at: At,
    pub rows: Vec<String>,
    /// So many of them are names, the others figures.
    pub bold: usize,
}

impl Label {
    fn height(&self) -> i32 {
        self.rows.len() as i32 * ROW
    }

    pub fn draw(&self, root: &Root<'_>) -> Drawn {
        let (x, mut y) = self.at;
        for (index, row) in self.rows.iter().enumerate() {
            let style = if index < self.bold { FontStyle::Bold } else { FontStyle::Normal };
            if !row.is_empty() {
                root.draw(&Text::new(row.as_str(), (x, y), text(HPos::Left, style)))?;
            }
            y += ROW;
        }
        Ok(())
    }
}

/// From the lowest on, each makes room for itself above the last, with a `gap`. What isn't between `top` and `bottom`
/// then is pushed back, and pushes the others.
pub fn push_apart(labels: &mut [Label], gap: i32, top: i32, bottom: i32) {
    labels.sort_by_key(|label| -label.at.1);
    if let Some(lowest) = labels.first_mut() {
        lowest.at.1 = lowest.at.1.min(bottom + ROW - lowest.height());
    }
    for upper in 1..labels.len() {
        let (x, y) = labels[upper - 1].at;
        let height = labels[upper].height();
        let at = &mut labels[upper].at;
        if at.0 == x {
            at.1 = at.1.min(y - height - gap);
        }
    }
    if let Some(topmost) = labels.last_mut() {
        topmost.at.1 = topmost.at.1.max(top);
    }
    for lower in (1..labels.len()).rev() {
        let ((x, y), height) = (labels[lower].at, labels[lower].height());
        let at = &mut labels[lower - 1].at;
        if at.0 == x {
            at.1 = at.1.max(y + height + gap);
        }
    }
}
