//! Where an HTTP answer ends: as much as somebody must know who only counts answers.

use std::io;

/// More fields than that in one head are refused.
const MOST_FIELDS: usize = 64;

/// A whole answer at the beginning of what has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// How many bytes it takes up, those of interim answers before it among them.
    pub length: usize,
    pub status: u16,
    /// Whether another one may be asked for on the same connection.
    pub stays: bool,
}

/// Looks for a whole answer. `None`: not yet. `ended`: nothing will come behind `bytes`, and an answer that doesn't
/// say how long it is ends there (RFC 9112, section 6.3).
///
/// # Errors
/// When it's no answer, when it came in chunks (no server that is measured here does that), and when the end is too
/// early.
pub fn whole(bytes: &[u8], ended: bool) -> io::Result<Option<Whole>> {
    let mut interim = 0;
    loop {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut head = httparse::Response::new(&mut fields);
        let parsed = head.parse(&bytes[interim..]).map_err(io::Error::other)?;
        let (httparse::Status::Complete(length), Some(status)) = (parsed, head.code) else {
            return not_yet(ended);
        };
        let body = interim + length;
        // Heads alone, and the final answer follows (RFC 9110, section 15.2).
        if let 100 | 102..200 = status {
            interim = body;
            continue;
        }
        let mut stays = head.version == Some(1);
        let mut said = None;
        for field in head.headers {
            if field.name.eq_ignore_ascii_case("content-length") {
                let text = str::from_utf8(field.value).ok();
                let number = text.and_then(|text| text.parse::<usize>().ok());
                said = Some(number.ok_or_else(|| io::Error::other("a length that is none"))?);
            } else if field.name.eq_ignore_ascii_case("connection") {
                stays &= !field.value.eq_ignore_ascii_case(b"close");
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                return Err(io::Error::other(
                    "the answer comes in chunks, which aren't counted here",
                ));
            }
        }
        let end = match said {
            Some(length) => body.saturating_add(length),
            None if ended => bytes.len(),
            None => return Ok(None),
        };
        if end > bytes.len() {
            return not_yet(ended);
        }
        return Ok(Some(Whole { length: end, status, stays: stays && said.is_some() && !ended }));
    }
}

fn not_yet(ended: bool) -> io::Result<Option<Whole>> {
    match ended {
        true => Err(io::ErrorKind::UnexpectedEof.into()),
        false => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 3, 200, true)]
    #[case("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, 200, true)]
    #[case("HTTP/1.0 404 No\r\nContent-Length: 3\r\n\r\nabc", 3, 404, false)]
    #[case("HTTP/1.1 503 No\r\nContent-length: 1\r\nconnection: Close\r\n\r\na", 1, 503, false)]
    #[case(
        "HTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
        1,
        200,
        true
    )]
    fn whole_where_its_last_byte_is_there_and_not_before(
        #[case] text: &str,
        #[case] body: usize,
        #[case] status: u16,
        #[case] stays: bool,
    ) {
        for cut in 0..text.len() {
            let found = whole(&text.as_bytes()[..cut], false).expect("it's the beginning of one");
            assert_eq!(found, None, "{cut} of {} bytes, {body} in the body", text.len());
            whole(&text.as_bytes()[..cut], true).expect_err("it's cut short");
        }
        let more = format!("{text}HTTP/1.1 2");
        let found = whole(more.as_bytes(), false).expect("it is one");
        assert_eq!(found, Some(Whole { length: text.len(), status, stays }));
    }

    #[test]
    fn without_a_length_it_ends_where_the_connection_does() {
        let text = b"HTTP/1.1 200 OK\r\n\r\nabc";
        assert_eq!(whole(text, false).expect("it's the beginning of one"), None);
        let length = text.len();
        let found = whole(text, true).expect("it is one");
        assert_eq!(found, Some(Whole { length, status: 200, stays: false }));
    }

    #[rstest]
    #[case("SSH-2.0-OpenSSH\r\n")]
    #[case("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")]
    #[case("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n")]
    #[case("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")]
    fn no_answer(#[case] text: &str) {
        whole(text.as_bytes(), false).expect_err(text);
    }
}
