//! When each request is due: fixed beforehand, whatever becomes of those before it.

use std::time::Duration;

const NANOS: u128 = 1_000_000_000;

// ANCHOR: schedule
/// So many requests a second, at equal distances, for a while.
///
/// Each moment is counted from the beginning and not from the one before:
/// what is cut off in a division would add up otherwise.
#[derive(Clone, Debug)]
pub struct Schedule {
    begin: Duration,
    a_second: u32,
    count: u64,
    next: u64,
}

impl Schedule {
    /// From `begin` on, by the caller's clock. With 0 a second, there is none
    /// at all.
    pub fn new(begin: Duration, a_second: u32, lasting: Duration) -> Self {
        let count = lasting.as_nanos() * u128::from(a_second) / NANOS;
        Self { begin, a_second, count: u64::try_from(count).unwrap_or(u64::MAX), next: 0 }
    }

    /// When the next one is due. `None`: there is none.
    pub fn due(&self) -> Option<Duration> {
        if self.next == self.count {
            return None;
        }
        let nanos = u128::from(self.next) * NANOS / u128::from(self.a_second);
        // It's less than `lasting` was.
        Some(self.begin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// The next one, if it's due by now: the moment when it was. Whoever
    /// is late takes one after the other, and leaves none out.
    pub fn take(&mut self, now: Duration) -> Option<Duration> {
        let due = self.due().filter(|due| *due <= now)?;
        self.next += 1;
        Some(due)
    }
    // ANCHOR_END: schedule

    /// How many there are in all.
    pub fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn three_a_second_are_three_a_second_for_an_hour() {
        let mut schedule = Schedule::new(ms(5), 3, Duration::from_secs(3600));
        let mut all = Vec::new();
        while let Some(due) = schedule.take(Duration::MAX) {
            all.push(due);
        }
        assert_eq!((all.len(), schedule.count()), (10_800, 10_800));
        assert_eq!(all[0], ms(5));
        assert_eq!(all[9000], ms(3_000_005));
        assert_eq!(all[10_799], Duration::from_nanos(3_599_666_666_666) + ms(5));
    }

    #[test]
    fn who_is_late_takes_all_of_them_with_the_moment_at_which_they_were_due() {
        let mut schedule = Schedule::new(ms(0), 100, ms(50));
        assert_eq!(schedule.take(ms(0)), Some(ms(0)));
        assert_eq!(schedule.take(ms(9)), None);
        let late: Vec<_> = std::iter::from_fn(|| schedule.take(ms(35))).collect();
        assert_eq!(late, [ms(10), ms(20), ms(30)]);
        assert_eq!(schedule.due(), Some(ms(40)));
        assert_eq!(schedule.take(ms(1000)), Some(ms(40)));
        assert_eq!((schedule.take(ms(1000)), schedule.due()), (None, None));
    }

    #[test]
    fn nothing_a_second_is_nothing() {
        let mut schedule = Schedule::new(ms(0), 0, ms(50));
        assert_eq!((schedule.due(), schedule.take(ms(60)), schedule.count()), (None, None, 0));
    }
}
