//! How long each of chapter 12's protocols takes to answer, with and without somebody who disturbs one of them.

pub mod faults;
pub mod kernel;
pub mod probes;

use std::time::{Duration, Instant};

use kernel::Kernel;
use probes::Probe;

/// How often it's measured with the disturbance, and how often without: A B A B.
const ROUNDS: usize = 3;
/// How long each round lasts.
const ROUND: Duration = Duration::from_millis(700);
/// How long to let a disturbance begin, or a calm.
const SETTLE: Duration = Duration::from_millis(150);

/// What was measured of one protocol, in both states.
#[derive(Debug)]
pub struct Measured {
    pub protocol: &'static str,
    pub calm: Times,
    pub disturbed: Times,
}

/// How long answers took.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Half of them were there by then.
    pub median: Duration,
    pub count: usize,
}

/// Measures all protocols, in turns with the disturbance and without it.
pub fn measure(kernel: &mut Kernel, fault: &faults::Fault) -> Vec<Measured> {
    let mut probes = probes::all(kernel);
    let mut times: Vec<[Vec<Duration>; 2]> = probes.iter().map(|_| Default::default()).collect();
    for round in 0..2 * ROUNDS {
        let disturbs = round % 2 == 1;
        let disturbance = disturbs.then(|| (fault.begin)(kernel));
        std::thread::sleep(SETTLE);
        let until = Instant::now() + ROUND;
        while Instant::now() < until {
            for (probe, times) in probes.iter_mut().zip(&mut times) {
                times[usize::from(disturbs)].push(probe.ask(kernel));
            }
        }
        drop(disturbance);
    }
    let of = |probe: &Probe, [calm, disturbed]: [Vec<Duration>; 2]| Measured {
        protocol: probe.protocol,
        calm: Times::of(calm),
        disturbed: Times::of(disturbed),
    };
    probes.iter().zip(times).map(|(probe, times)| of(probe, times)).collect()
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self { median: times[times.len() / 2], count: times.len() }
    }
}
