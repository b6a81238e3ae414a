//! Where an HTTP answer ends: as much as somebody must know who only counts answers.

use std::io;

use ch10_http::{Event, Limits, Parser};

/// A head with more fields than that is refused. Browsers and servers send some ten.
const MOST_FIELDS: usize = 64;

/// What a head says of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many bytes it takes up, those of interim answers before it among them.
    pub length: usize,
    pub status: u16,
    pub body: Framing,
    /// Whether another one may be asked for on the same connection.
    pub stays: bool,
}

/// Where the body ends (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Behind so many bytes.
    Length(u64),
    /// It says so itself, in pieces.
    Chunked,
    /// Where the connection does.
    TheEnd,
}

/// What is still to come of a body.
pub enum Body {
    Length(u64),
    Chunked(Box<Parser>),
    TheEnd,
}

impl Body {
    pub fn of(framing: Framing) -> io::Result<Self> {
        Ok(match framing {
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Box::new(chunks()?)),
            Framing::TheEnd => Self::TheEnd,
        })
    }

    /// Takes out what is there of it, and nothing behind it. `true`: that was all. `ended`: no more will come.
    ///
    /// # Errors
    /// When a chunk is broken.
    pub fn take(&mut self, bytes: &mut Vec<u8>, ended: bool) -> io::Result<bool> {
        match self {
            Self::Length(missing) => {
                let some = (*missing).min(bytes.len() as u64);
                bytes.drain(..usize::try_from(some).unwrap_or(usize::MAX));
                *missing -= some;
                Ok(*missing == 0)
            }
            Self::TheEnd => {
                bytes.clear();
                Ok(ended)
            }
            Self::Chunked(parser) => {
                let mut taken = 0;
                let is_whole = loop {
                    match parser.next(&bytes[taken..]).map_err(refused)? {
                        None => break false,
                        Some((Event::End, count)) => {
                            taken += count;
                            break true;
                        }
                        Some((_, count)) => taken += count,
                    }
                };
                bytes.drain(..taken);
                Ok(is_whole)
            }
        }
    }
}

/// Chapter 10's parser takes chunks apart. It reads requests: so it's told that one has begun.
fn chunks() -> io::Result<Parser> {
    let mut parser = Parser::new(Limits { body: u64::MAX, ..Limits::USUAL });
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    parser.next(head).map_err(refused)?;
    Ok(parser)
}

fn refused(refusal: ch10_http::Refusal) -> io::Error {
    io::Error::other(format!("the answer comes in broken chunks: {refusal}"))
}

/// The head at the beginning of `bytes`. `None`: not yet.
///
/// # Errors
/// When it's no answer.
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
        let (mut told, mut coded) = (None, None);
        for field in head.headers {
            if field.name.eq_ignore_ascii_case("content-length") {
                let text = str::from_utf8(field.value).ok();
                let number = text.and_then(|text| text.trim().parse().ok());
                let number = number.ok_or_else(|| io::Error::other("a length that is none"))?;
                told = Some(Framing::Length(number));
            } else if field.name.eq_ignore_ascii_case("connection") {
                stays &= !field.value.eq_ignore_ascii_case(b"close");
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                let last = field.value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
                let is_chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
                coded = Some(if is_chunked { Framing::Chunked } else { Framing::TheEnd });
            }
        }
        // In this order (RFC 9112, section 6.3). These two have no body, whatever they say.
        let none = matches!(status, 204 | 304).then_some(Framing::Length(0));
        let body = none.or(coded).or(told).unwrap_or(Framing::TheEnd);
        return Ok(Some(Head { length, status, body, stays: stays && body != Framing::TheEnd }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", 200, Framing::Length(3), true)]
    #[case("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, Framing::Length(0), true)]
    #[case("HTTP/1.0 404 No\r\nContent-Length: 3\r\n\r\n", 404, Framing::Length(3), false)]
    #[case(
        "HTTP/1.1 503 No\r\nContent-length: 1\r\nconnection: Close\r\n\r\n",
        503,
        Framing::Length(1),
        false
    )]
    #[case("HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n", 304, Framing::Length(0), true)]
    #[case("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, Framing::Chunked, true)]
    #[case(
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: gzip, Chunked\r\nContent-Length: 3\r\n\r\n",
        200,
        Framing::Chunked,
        true
    )]
    #[case("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", 200, Framing::TheEnd, false)]
    #[case("HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n", 304, Framing::Length(0), true)]
    #[case("HTTP/1.1 200 OK\r\n\r\n", 200, Framing::TheEnd, false)]
    #[case(
        "HTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n",
        200,
        Framing::Length(1),
        true
    )]
    fn a_head_where_its_last_byte_is_there_and_not_before(
        #[case] text: &str,
        #[case] status: u16,
        #[case] body: Framing,
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
    fn no_answer(#[case] text: &str, #[case] why: &str) {
        let error = head(text.as_bytes()).expect_err(text).to_string();
        assert!(error.contains(why), "{error}");
    }

    #[rstest]
    #[case::with_a_length(Framing::Length(5), "hello", "")]
    #[case::with_none_of_it(Framing::Length(0), "", "")]
    #[case::in_one_chunk(Framing::Chunked, "5\r\nhello\r\n0\r\n\r\n", "")]
    #[case::in_two(Framing::Chunked, "2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\nA: b\r\n\r\n", "")]
    #[case::and_another_answer(Framing::Chunked, "0\r\n\r\n", "HTTP/1.1")]
    #[case::and_another_answer(Framing::Length(2), "hi", "HTTP/1.1")]
    fn a_body_in_any_two_pieces(
        #[case] framing: Framing,
        #[case] text: &str,
        #[case] behind: &str,
    ) {
        for cut in 0..=text.len() {
            let mut body = Body::of(framing).expect("it can be had");
            let mut bytes = text.as_bytes()[..cut].to_vec();
            let is_whole = body.take(&mut bytes, false).expect("it's well");
            assert_eq!(is_whole, cut == text.len(), "{cut} of {} bytes", text.len());
            bytes.extend_from_slice(&text.as_bytes()[cut..]);
            bytes.extend_from_slice(behind.as_bytes());
            if !is_whole {
                assert!(body.take(&mut bytes, false).expect("it's well"), "{cut}");
            }
            assert_eq!(bytes, behind.as_bytes(), "{cut}");
        }
    }

    #[test]
    fn a_body_to_the_end() {
        let mut body = Body::of(Framing::TheEnd).expect("it can be had");
        assert!(!body.take(&mut b"some".to_vec(), false).expect("it's well"));
        assert!(body.take(&mut Vec::new(), true).expect("it's well"));
    }

    #[test]
    fn a_broken_chunk() {
        let mut body = Body::of(Framing::Chunked).expect("it can be had");
        let error = body.take(&mut b"x\r\n".to_vec(), false).expect_err("it's broken");
        assert!(error.to_string().starts_with("the answer comes in broken chunks: "), "{error}");
    }
}
