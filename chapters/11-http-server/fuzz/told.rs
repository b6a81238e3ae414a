//! A client that is as plain as can be: it reads answers, and takes nothing that isn't exactly
//! right.

/// An answer, as a client reads it.
#[derive(Debug)]
pub struct Told<'b> {
    pub status: u16,
    /// It's the last one.
    pub closes: bool,
    pub content_type: Option<String>,
    pub body: Vec<u8>,
    /// All its bytes.
    pub raw: &'b [u8],
    /// What comes behind it.
    pub behind: &'b [u8],
}

/// The answer that `bytes` begin with; `is_head`: to a HEAD request. They are all that came, and
/// then the connection was closed. None: there are too few of them.
///
/// # Panics
/// When it's no answer.
pub fn read(bytes: &[u8], is_head: bool) -> Option<Told<'_>> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).expect("a head is text");
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap();
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.split_once(' '));
    let (status, _) = status.unwrap_or_else(|| panic!("no status line: {line:?}"));
    assert!(status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit()), "{line:?}");
    let status = status.parse().unwrap();
    let mut fields: Vec<(String, &str)> = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no field: {line:?}"));
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        assert!(!name.is_empty() && name.bytes().all(is_name), "{line:?}");
        assert!(!value.chars().any(char::is_control), "{line:?}");
        let name = name.to_ascii_lowercase();
        assert!(fields.iter().all(|(other, _)| *other != name), "twice: {line:?}");
        fields.push((name, value));
    }
    let field =
        |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value);
    let behind = &bytes[end + 4..];
    assert!(status >= 200 || fields.is_empty(), "{head}");
    assert!(status < 200 || field("date").is_some(), "{head}");
    let closes = field("connection") == Some("close");
    let told = |body: Vec<u8>, behind: &'_ [u8]| (body, bytes.len() - behind.len());
    let (length, chunked) = (field("content-length"), field("transfer-encoding"));
    assert!(length.is_none() || chunked.is_none(), "two ways to tell where it ends: {head}");
    let (body, took) = match (length, chunked) {
        _ if is_head || matches!(status, 100..200 | 204 | 304) => told(Vec::new(), behind),
        (Some(length), _) => {
            assert!(length.bytes().all(|byte| byte.is_ascii_digit()), "{head}");
            let (body, behind) = behind.split_at_checked(length.parse().unwrap())?;
            told(body.to_vec(), behind)
        }
        (None, Some("chunked")) => {
            let (body, behind) = read_chunks(behind)?;
            told(body, behind)
        }
        (None, Some(other)) => panic!("nobody knows {other:?}"),
        (None, None) => {
            assert!(closes, "nobody knows where it ends: {head}");
            told(behind.to_vec(), b"")
        }
    };
    let content_type = field("content-type").map(str::to_owned);
    Some(Told { status, closes, content_type, body, raw: &bytes[..took], behind: &bytes[took..] })
}

fn read_chunks(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let line = std::str::from_utf8(&rest[..end]).expect("a size is text");
        let size = usize::from_str_radix(line, 16);
        let size = size.unwrap_or_else(|_| panic!("no chunk: {line:?}"));
        let (chunk, behind) = rest[end + 2..].split_at_checked(size)?;
        let (ends, behind) = behind.split_at_checked(2)?;
        assert_eq!(ends, b"\r\n", "a chunk ends where it says");
        body.extend_from_slice(chunk);
        rest = behind;
        if size == 0 {
            return Some((body, rest));
        }
    }
}
