//! Heads of responses, written once where many are the same.

use std::time::SystemTime;

use ch10_http::{Date, Delivery, Exchange, Fields, Size, Status};

// ANCHOR: heads
/// Writes heads, and remembers the last one. As a rule the next is the same, and copied:
/// in a long row of small answers, writing it anew shows.
pub struct Heads {
    date: Date,
    last: Option<Last>,
    content_type: String,
    bytes: Vec<u8>,
}

/// What the last head was written from, and what came of it.
struct Last {
    from: (Exchange, Status, Size),
    how: (Delivery, bool),
}

impl Heads {
    /// With the date of this moment.
    pub fn new(time: SystemTime) -> Self {
        Self { date: Date::of(time), last: None, content_type: String::new(), bytes: Vec::new() }
    }

    /// From now on heads say this date. To be called once a second.
    pub fn set_date(&mut self, time: SystemTime) {
        self.date = Date::of(time);
        self.last = None;
    }

    /// Writes a head: see [`ch10_http::head`].
    #[inline]
    pub fn write(
        &mut self,
        to: &mut Vec<u8>,
        exchange: Exchange,
        status: Status,
        content_type: Option<&str>,
        fields: &Fields,
        size: Size,
    ) -> (Delivery, bool) {
        let from = (exchange, status, size);
        let named = content_type.unwrap_or_default();
        if let Some(last) = &self.last
            && last.from == from
            && fields.is_empty()
            && self.content_type == named
        {
            to.extend_from_slice(&self.bytes);
            return last.how;
        }
        self.write_anew(to, exchange, status, content_type, fields, size)
    }

    #[inline(never)]
    fn write_anew(
        &mut self,
        to: &mut Vec<u8>,
        exchange: Exchange,
        status: Status,
        content_type: Option<&str>,
        fields: &Fields,
        size: Size,
    ) -> (Delivery, bool) {
        let begin = to.len();
        let how = ch10_http::head(to, exchange, status, &self.date, content_type, fields, size);
        if fields.is_empty() {
            self.last = Some(Last { from: (exchange, status, size), how });
            self.content_type.clear();
            self.content_type.push_str(content_type.unwrap_or_default());
            self.bytes.clear();
            self.bytes.extend_from_slice(&to[begin..]);
        }
        how
    }
}
// ANCHOR_END: heads
