//! When an answer was made.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::HttpDate;

/// The last moment that four digits of a year can name: 9999-12-31 23:59:59, in seconds
/// since 1970.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// A date as HTTP writes it, `Sun, 06 Nov 1994 08:49:37 GMT`, to the second (IMF-fixdate:
/// RFC 9110, section 5.6.7). Made once a second, it serves all answers of that second.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Date([u8; 29]);

impl Date {
    /// The date of a moment. One before 1970 is 1970, one after the year 9999 is its end:
    /// a clock that is wrong, or a file's time, ends no server.
    pub fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().min(LAST);
        let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
        // It can't fail: each date is 29 bytes long.
        let _ = write!(text.as_mut_slice(), "{}", HttpDate::from(UNIX_EPOCH + since));
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        // It's ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    pub(crate) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
