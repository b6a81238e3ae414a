//! What an operator must know, and not more than once a minute.

use std::time::Duration;

/// How long the same is not said again.
const QUIET: Duration = Duration::from_secs(60);

/// Something that may happen a thousand times a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Notice {
    said: Option<Duration>,
    unsaid: u64,
}

impl Notice {
    /// It has happened. How often since it was last said, if it's to be said now.
    pub fn happened(&mut self, now: Duration) -> Option<u64> {
        self.unsaid += 1;
        if self.said.is_some_and(|said| now < said.saturating_add(QUIET)) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_at_once_and_then_once_a_minute_with_how_often() {
        let mut notice = Notice::default();
        let at = Duration::from_secs;
        let said: Vec<_> = [0, 1, 30, 59, 60, 61, 200]
            .into_iter()
            .map(|second| notice.happened(at(second)))
            .collect();
        assert_eq!(said, [Some(1), None, None, None, Some(4), None, Some(2)]);
    }
}
