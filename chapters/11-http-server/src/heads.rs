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

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use ch10_http::Version;

    use super::*;

    /// An answer, as far as its head depends on it.
    type Answer = (Exchange, Status, Option<&'static str>, Fields, Size);

    fn all() -> Vec<Answer> {
        let plain = Exchange { is_head: false, version: Version::Http11, keep_alive: true };
        let exchanges = [
            plain,
            Exchange { is_head: true, ..plain },
            Exchange { version: Version::Http10, ..plain },
            Exchange { keep_alive: false, ..plain },
        ];
        let tagged = |tag| {
            let mut fields = Fields::default();
            fields.add("ETag", tag).expect("it's a field");
            fields
        };
        let mut all = Vec::new();
        for exchange in exchanges {
            // 200 and 408 have the same place, and so have 5 and 21 bytes.
            for status in [Status::OK, Status::REQUEST_TIMEOUT, Status::NOT_MODIFIED] {
                for content_type in [None, Some("text/css"), Some("text/xml")] {
                    for fields in [Fields::NONE, tagged("\"a\""), tagged("\"b\"")] {
                        for size in [Size::Known(5), Size::Known(21), Size::Unknown] {
                            all.push((exchange, status, content_type, fields.clone(), size));
                        }
                    }
                }
            }
        }
        all
    }

    fn write(heads: &mut Heads, answer: &Answer) -> (Vec<u8>, (Delivery, bool)) {
        let (exchange, status, content_type, fields, size) = answer;
        let mut to = Vec::new();
        let how = heads.write(&mut to, *exchange, *status, *content_type, fields, *size);
        (to, how)
    }

    /// Whatever it is that differs.
    #[test]
    fn a_head_is_never_that_of_another_answer() {
        let mut heads = Heads::new(UNIX_EPOCH);
        let all: Vec<_> = all()
            .into_iter()
            .map(|answer| {
                let anew = write(&mut Heads::new(UNIX_EPOCH), &answer);
                (answer, anew)
            })
            .collect();
        for (before, _) in &all {
            for (answer, anew) in &all {
                write(&mut heads, before);
                assert_eq!(write(&mut heads, answer), *anew, "{answer:?} behind {before:?}");
            }
        }
    }

    #[test]
    fn a_head_is_never_that_of_another_second() {
        let answer = &all()[0];
        let later = UNIX_EPOCH + Duration::from_secs(1);
        let mut heads = Heads::new(UNIX_EPOCH);
        write(&mut heads, answer);
        heads.set_date(later);
        assert_eq!(write(&mut heads, answer), write(&mut Heads::new(later), answer));
    }
}
