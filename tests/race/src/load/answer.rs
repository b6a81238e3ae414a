//! Where an HTTP answer ends: as much as somebody must know who only counts answers.

use std::io;

/// A head with more fields than that is refused. Browsers and servers send some ten.
const MOST_FIELDS: usize = 64;

/// What a head says of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many bytes it takes up, those of interim answers before it among them.
    pub length: usize,
    pub status: u16,
    /// How many bytes the body has. `None`: it ends where the connection does (RFC 9112, section 6.3).
    pub body: Option<u64>,
    /// Whether another one may be asked for on the same connection.
    pub stays: bool,
}

/// The head at the beginning of `bytes`. `None`: not yet.
///
/// # Errors
/// When it's no answer, and when its body comes in chunks, which aren't counted here.
pub fn head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut interim = 0;
    loop {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut head = httparse::Response::new(&mut fields);
        let parsed = head.parse(&bytes[interim..]).map_err(io::Error::other)?;
        let (httparse::Status::Complete(length), Some(status)) = (parsed, head.code) else {
            return Ok(None);
        };
        let length = interim + length;
        // Heads alone, and the final answer follows (RFC 9110, section 15.2).
        if let 100 | 102..200 = status {
            interim = length;
            continue;
        }
        let mut stays = head.version == Some(1);
        // These two have no body, whatever they say (RFC 9112, section 6.3).
        let mut body = matches!(status, 204 | 304).then_some(0);
        for field in head.headers {
            if field.name.eq_ignore_ascii_case("content-length") {
                let text = str::from_utf8(field.value).ok();
                let number = text.and_then(|text| text.trim().parse().ok());
                let number = number.ok_or_else(|| io::Error::other("a length that is none"))?;
                body.get_or_insert(number);
            } else if field.name.eq_ignore_ascii_case("connection") {
                stays &= !field.value.eq_ignore_ascii_case(b"close");
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                return Err(io::Error::other("the answer comes in chunks, which aren't counted"));
            }
        }
        return Ok(Some(Head { length, status, body, stays: stays && body.is_some() }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", 200, Some(3), true)]
    #[case("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, Some(0), true)]
    #[case("HTTP/1.0 404 No\r\nContent-Length: 3\r\n\r\n", 404, Some(3), false)]
    #[case(
        "HTTP/1.1 503 No\r\nContent-length: 1\r\nconnection: Close\r\n\r\n",
        503,
        Some(1),
        false
    )]
    #[case("HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n", 304, Some(0), true)]
    #[case("HTTP/1.1 200 OK\r\n\r\n", 200, None, false)]
    #[case(
        "HTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n",
        200,
        Some(1),
        true
    )]
    fn a_head_where_its_last_byte_is_there_and_not_before(
        #[case] text: &str,
        #[case] status: u16,
        #[case] body: Option<u64>,
        #[case] stays: bool,
    ) {
        for cut in 0..text.len() {
            let found = head(&text.as_bytes()[..cut]).expect("it's the beginning of one");
            assert_eq!(found, None, "{cut} of {} bytes", text.len());
        }
        let found = head(format!("{text}HTTP/1.1 2").as_bytes()).expect("it is one");
        assert_eq!(found, Some(Head { length: text.len(), status, body, stays }));
    }

    #[rstest]
    #[case("SSH-2.0-OpenSSH\r\n", "")]
    #[case("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "length")]
    #[case("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n", "length")]
    #[case("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "chunks")]
    fn no_answer(#[case] text: &str, #[case] why: &str) {
        let error = head(text.as_bytes()).expect_err(text).to_string();
        assert!(error.contains(why), "{error}");
    }
}
