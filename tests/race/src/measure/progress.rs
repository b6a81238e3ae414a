//! How far the race is: one line on a terminal that is written over, and nothing elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use visitors::warn;

/// How wide the bar is.
const WIDTH: usize = 20;

pub struct Progress {
    began: Instant,
    /// How long it will take, as was thought beforehand.
    estimate: Duration,
    steps: usize,
    done: usize,
    is_shown: bool,
}

impl Progress {
    pub fn new(steps: usize, estimate: Duration) -> Self {
        let is_shown = io::stderr().is_terminal();
        Self { began: Instant::now(), estimate, steps: steps.max(1), done: 0, is_shown }
    }

    /// Another step is begun: so many are done.
    pub fn show(&mut self, done: usize, what: &str) {
        self.done = done;
        if self.is_shown {
            let line = line(done, self.steps, self.left(), what);
            let _ = write!(io::stderr(), "\r\x1b[K{line}");
        }
    }

    /// By what it has taken until now, as soon as that says anything.
    fn left(&self) -> Duration {
        let part = self.done as f64 / self.steps as f64;
        let elapsed = self.began.elapsed();
        let all = if part < 0.05 { self.estimate } else { elapsed.div_f64(part) };
        all.saturating_sub(elapsed)
    }

    /// Takes the line away.
    pub fn end(&self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    /// Says something, above the line.
    pub fn say(&self, words: &str) {
        self.end();
        warn!("{words}");
    }
}

fn line(done: usize, steps: usize, left: Duration, what: &str) -> String {
    let full = WIDTH * done.min(steps) / steps;
    let bar = format!("{}{}", "#".repeat(full), ".".repeat(WIDTH - full));
    let (minutes, seconds) = (left.as_secs() / 60, left.as_secs() % 60);
    format!("[{bar}] {minutes}:{seconds:02} left: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fits_into_a_terminal_of_80_columns() {
        let what = "round 5 of 5, chapter 11, 10,000 silent";
        let half = line(100, 200, Duration::from_secs(61), what);
        assert_eq!(half, format!("[##########..........] 1:01 left: {what}"));
        assert!(half.len() < 80, "{}", half.len());
        assert!(line(201, 200, Duration::ZERO, what).starts_with("[####################] 0:00"));
    }
}
