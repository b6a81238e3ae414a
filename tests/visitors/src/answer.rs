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
    pub fn parse(bytes: &[u8], ended: bool) -> Option<(Self, usize)> {
        let start = head_length(bytes)?;
        let end = match content_length(&bytes[..start]) {
            Some(length) => start.checked_add(usize::try_from(length).ok()?)?,
            None if ended => bytes.len(),
            None => return None,
        };
        let body = bytes.get(start..end)?.to_vec();
        Some((Self { status: status(bytes)?, body }, end))
    }
}

/// The status of an answer that begins like this.
pub fn status(answer: &[u8]) -> Option<u16> {
    // "HTTP/1.1 200 OK": the version is of no interest here.
    let digits = answer.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    str::from_utf8(digits).ok()?.parse().ok()
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
