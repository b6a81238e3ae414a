//! An HTTP answer as a visitor reads it: as much as is needed to say what came.

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code, such as 200.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The answer at the beginning of `bytes`, and how many bytes it takes up. `None`: not whole yet.
    ///
    /// `ended` says that nothing will come after `bytes`: an answer without `Content-Length` ends there.
    /// Interim answers before it are passed over, and counted among its bytes.
    pub fn parse(bytes: &[u8], ended: bool) -> Option<(Self, usize)> {
        let interim = interim_length(bytes);
        let (status, head) = (status(&bytes[interim..])?, head_length(&bytes[interim..])?);
        let start = interim + head;
        let end = match content_length(&bytes[interim..start]) {
            Some(length) => start.checked_add(usize::try_from(length).ok()?)?,
            None if ended => bytes.len(),
            None => return None,
        };
        let body = bytes.get(start..end)?.to_vec();
        Some((Self { status, body }, end))
    }
}

/// The status of an answer that begins like this.
pub fn status(answer: &[u8]) -> Option<u16> {
    // "HTTP/1.1 200 OK": the version is of no interest here.
    let digits = answer.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    str::from_utf8(digits).ok()?.parse().ok()
}

/// How many bytes are taken up by the interim answers before the final one: 100 Continue, 103 Early Hints, and
/// whatever else begins with 1 (RFC 9110, section 15.2). They are heads alone. The one that ends a conversation
/// in HTTP, 101 Switching Protocols, is a final answer.
pub fn interim_length(answer: &[u8]) -> usize {
    let mut length = 0;
    while let Some(100 | 102..200) = status(&answer[length..])
        && let Some(head) = head_length(&answer[length..])
    {
        length += head;
    }
    length
}

/// How many bytes the head takes up, with its empty line. `None`: not whole yet.
pub fn head_length(answer: &[u8]) -> Option<usize> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(end + 4)
}

/// How long the body is, in bytes, if the head says so.
pub fn content_length(head: &[u8]) -> Option<u64> {
    let head = String::from_utf8_lossy(head);
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interim_answers_are_passed_over() {
        let interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nContent-Length: 9\r\n\r\n";
        let whole =
            [&interim[..], b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno and more"]
                .concat();
        assert_eq!(interim_length(&whole), interim.len());
        let (answer, length) = Answer::parse(&whole, false).expect("it's whole");
        assert_eq!((answer.status, answer.body.as_slice()), (404, &b"no"[..]));
        assert_eq!(length, whole.len() - " and more".len());
        assert_eq!(Answer::parse(interim, true), None, "the final one hasn't come");
        // Of the second one a part has come.
        assert_eq!(interim_length(&whole[..40]), 25);
    }

    #[test]
    fn what_ends_the_conversation_in_http_is_final() {
        let switching = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n";
        assert_eq!(interim_length(switching), 0);
    }
}
