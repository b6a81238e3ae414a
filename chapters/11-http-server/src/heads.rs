//! Heads of responses, written once where many are the same.

use std::time::SystemTime;

use ch10_http::{Date, Delivery, Exchange, Fields, Size, Status};

/// How many heads are remembered.
const REMEMBERED: usize = 16;

/// Writes heads, and remembers some. A small answer is sent again and again, and a file
/// too: then its head is copied, which is faster than to write it anew.
pub struct Heads {
    date: Date,
    /// Each head has one place, which another one may take from it.
    written: [Written; REMEMBERED],
}

type From = (Exchange, Status, Size);

/// A head, and what it was written from.
#[derive(Default)]
struct Written {
    /// And what came of it. None: nothing is remembered here.
    from: Option<(From, (Delivery, bool))>,
    content_type: String,
    fields: Fields,
    bytes: Vec<u8>,
}

impl Heads {
    /// With the date of this moment.
    pub fn new(time: SystemTime) -> Self {
        Self { date: Date::of(time), written: Default::default() }
    }

    /// From now on heads say this date. To be called once a second.
    pub fn set_date(&mut self, time: SystemTime) {
        self.date = Date::of(time);
        for head in &mut self.written {
            head.from = None;
        }
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
        let before = &self.written[place(status, size)];
        if let Some((from, how)) = before.from
            && from == (exchange, status, size)
            && before.fields.is_empty() == fields.is_empty()
            // Not asked of two empty ones: some processors take far longer to compare nothing
            // at no address than to compare a head.
            && (fields.is_empty() || before.fields == *fields)
            && before.content_type == content_type.unwrap_or_default()
        {
            to.extend_from_slice(&before.bytes);
            return how;
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
        let head = &mut self.written[place(status, size)];
        head.from = Some(((exchange, status, size), how));
        head.content_type.clear();
        head.content_type.push_str(content_type.unwrap_or_default());
        head.fields.clone_from(fields);
        head.bytes.clear();
        head.bytes.extend_from_slice(&to[begin..]);
        how
    }
}

fn place(status: Status, size: Size) -> usize {
    let length = match size {
        Size::Known(length) => length % REMEMBERED as u64,
        Size::Unknown => 0,
    };
    (usize::from(status.code()) + length as usize) % REMEMBERED
}
