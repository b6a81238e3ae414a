//! Dates as mail writes them, always in UTC.

use std::time::SystemTime;

use ch10_http::Date;

/// Such as `Sun, 06 Nov 1994 08:49:37 +0000` (RFC 5322, section 3.3). An HTTP date is nearly
/// that: but `GMT` is what new messages may not say any more (section 4.3), and `-0000` would
/// say that nobody knows where the clock hangs.
pub fn of_a_field(at: SystemTime) -> String {
    Date::of(at).as_str().replace("GMT", "+0000")
}

/// Such as `Sun Nov  6 08:49:37 1994`: C's `asctime`, as the lines between the messages of an
/// mbox have it (RFC 4155, appendix A).
pub fn of_an_mbox(at: SystemTime) -> String {
    let date = Date::of(at);
    let mut words = date.as_str().split([',', ' ']).filter(|word| !word.is_empty());
    let [weekday, day, month, year, time] = [(); 5].map(|()| words.next().unwrap_or_default());
    let day = day.trim_start_matches('0');
    format!("{weekday} {month} {day:>2} {time} {year}")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::the_first(0, "Thu, 01 Jan 1970 00:00:00 +0000", "Thu Jan  1 00:00:00 1970")]
    #[case::two_digits(784_975_777, "Wed, 16 Nov 1994 08:49:37 +0000", "Wed Nov 16 08:49:37 1994")]
    #[case::a_leap_day(951_868_799, "Tue, 29 Feb 2000 23:59:59 +0000", "Tue Feb 29 23:59:59 2000")]
    #[case::a_tenth(1_791_590_400, "Sat, 10 Oct 2026 00:00:00 +0000", "Sat Oct 10 00:00:00 2026")]
    fn a_moment_has_two_spellings(#[case] at: u64, #[case] field: &str, #[case] mbox: &str) {
        let at = UNIX_EPOCH + Duration::from_secs(at);
        assert_eq!(of_a_field(at), field);
        assert_eq!(of_an_mbox(at), mbox);
    }
}
