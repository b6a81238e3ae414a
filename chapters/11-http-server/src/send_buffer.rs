//! How large the send buffer of a connection should be while a large file goes out. What is
//! cheap on one machine is dear on the next, so it's measured.

use std::cell::Cell;
use std::time::Duration;

/// What is tried besides leaving it to the kernel, in bytes.
pub const SIZE: usize = 256 * 1024;
/// A connection whose packets are confirmed later than that is left alone: on a long road a
/// fixed size is a speed limit.
const NEAR: Duration = Duration::from_millis(1);
/// So much must have gone out in one way before its cost counts, in bytes.
const ENOUGH: u64 = 8 << 20;
/// When so much has, half of it is forgotten: the machine may have other things to do by now.
const TOO_OLD: u64 = 256 << 20;
/// While one way is unknown, one call in so many tries it.
const FIRST_TRIAL: u32 = 8;
/// Later, one connection in so many is sent to in the way that costs more.
const TRIAL: u32 = 64;

// ANCHOR: ways
/// How a connection's send buffer is looked after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// By the kernel, and that may still change.
    #[default]
    Undecided,
    /// By the kernel, for good.
    LeftAlone,
    /// The same, since the road is long. What it costs says nothing of
    /// the others.
    Far,
    /// It has one [`SIZE`], for good: the kernel doesn't take it back.
    Fixed,
}

/// What both ways have cost so far, in one loop.
#[derive(Debug, Default)]
pub struct SendBuffers {
    left_alone: Cell<Cost>,
    fixed: Cell<Cost>,
    asked: Cell<u32>,
}

impl SendBuffers {
    /// What becomes of a connection that isn't decided. `round_trip` is
    /// how long a packet and its confirmation take.
    pub fn decide(&self, round_trip: Duration) -> Way {
        if round_trip >= NEAR {
            return Way::Far;
        }
        let asked = self.asked.get().wrapping_add(1);
        self.asked.set(asked);
        match (self.left_alone.get().of_a_byte(), self.fixed.get().of_a_byte()) {
            (None, _) => Way::Undecided,
            (Some(_), None) if asked.is_multiple_of(FIRST_TRIAL) => Way::Fixed,
            (Some(_), None) => Way::Undecided,
            (Some(left_alone), Some(fixed)) => {
                let is_trial = asked.is_multiple_of(TRIAL);
                if (fixed < left_alone) != is_trial { Way::Fixed } else { Way::LeftAlone }
            }
        }
    }
    // ANCHOR_END: ways

    /// So many bytes of a file have gone out, and that took so long.
    pub fn add(&self, way: Way, bytes: u64, time: Duration) {
        let cost = match way {
            Way::Undecided | Way::LeftAlone => &self.left_alone,
            Way::Fixed => &self.fixed,
            Way::Far => return,
        };
        cost.set(cost.get().plus(bytes, time));
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    bytes: u64,
    time: Duration,
}

impl Cost {
    fn plus(self, bytes: u64, time: Duration) -> Self {
        let sum = Self { bytes: self.bytes + bytes, time: self.time + time };
        match sum.bytes > TOO_OLD {
            true => Self { bytes: sum.bytes / 2, time: sum.time / 2 },
            false => sum,
        }
    }

    /// In seconds. None: it isn't known yet.
    fn of_a_byte(self) -> Option<f64> {
        (self.bytes >= ENOUGH).then(|| self.time.as_secs_f64() / self.bytes as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Duration = Duration::from_micros(50);

    /// Sends 1 MiB at a time on ten connections, where these are the costs. How many of the
    /// next thousand connections get a fixed size.
    fn fixed_of_a_thousand(buffers: &SendBuffers, left_alone: u64, fixed: u64) -> usize {
        let mut ways = [Way::Undecided; 10];
        for turn in 0..1000 {
            let way = &mut ways[turn % 10];
            if *way == Way::Undecided {
                *way = buffers.decide(HERE);
            }
            let cost = if *way == Way::Fixed { fixed } else { left_alone };
            buffers.add(*way, 1 << 20, Duration::from_micros(cost));
        }
        let next = (0..1000).map(|_| buffers.decide(HERE));
        next.filter(|way| *way == Way::Fixed).count()
    }

    #[test]
    fn what_costs_less_is_chosen_and_the_other_one_tried_now_and_then() {
        let fixed = fixed_of_a_thousand(&SendBuffers::default(), 200, 100);
        assert!((970..1000).contains(&fixed), "{fixed}");
        let fixed = fixed_of_a_thousand(&SendBuffers::default(), 100, 200);
        assert!((1..30).contains(&fixed), "{fixed}");
    }

    #[test]
    fn what_was_cheap_may_become_dear() {
        let buffers = SendBuffers::default();
        fixed_of_a_thousand(&buffers, 200, 100);
        let fixed = (0..3).map(|_| fixed_of_a_thousand(&buffers, 100, 200)).last();
        assert!(fixed.is_some_and(|fixed| fixed < 30), "{fixed:?}");
    }

    #[test]
    fn nothing_is_decided_before_enough_is_known() {
        let buffers = SendBuffers::default();
        assert!((0..1000).all(|_| buffers.decide(HERE) == Way::Undecided));
        buffers.add(Way::Undecided, ENOUGH - 1, Duration::from_secs(1));
        assert!((0..1000).all(|_| buffers.decide(HERE) == Way::Undecided));
        buffers.add(Way::Undecided, 1, Duration::from_secs(1));
        let ways: Vec<Way> = (0..1000).map(|_| buffers.decide(HERE)).collect();
        assert_eq!(ways.iter().filter(|way| **way == Way::Fixed).count(), 125);
        assert!(!ways.contains(&Way::LeftAlone));
    }

    #[test]
    fn who_is_far_away_is_left_alone() {
        let buffers = SendBuffers::default();
        fixed_of_a_thousand(&buffers, 200, 100);
        assert!((0..1000).all(|_| buffers.decide(NEAR) == Way::Far));
        // What they cost changes nothing for the others.
        buffers.add(Way::Far, TOO_OLD, Duration::from_nanos(1));
        assert!((0..10).any(|_| buffers.decide(HERE) == Way::Fixed));
    }
}
