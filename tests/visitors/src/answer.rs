//! An HTTP answer as a visitor reads it: as much as is needed to say what came.

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code, such as 200.
    pub status: u16,
    /// The head, with its empty line.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The answer at the beginning of `bytes`, and how many bytes it takes up. `None`: not whole yet.
    ///
    /// `ended` says that nothing will come after `bytes`: an answer without `Content-Length` ends there.
    pub fn parse(bytes: &[u8], ended: bool) -> Option<(Self, usize)> {
        let start = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&bytes[..start]).into_owned();
        let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        let end = match length {
            Some(length) => start.checked_add(length)?,
            None if ended => bytes.len(),
            None => return None,
        };
        let body = bytes.get(start..end)?.to_vec();
        Some((Self { status, head, body }, end))
    }
}
