//! A play: several visitors, side by side, in an order that is certain.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::cast::{Cast, Who};
use crate::destination::Destination;
use crate::line::{Bounds, Curtain};
use crate::part::{Doing, Part};
use crate::visit::{Ending, Visit, Visitor};

/// How long a play lasts at the most, if nobody says otherwise: long beside what an answer takes,
/// short enough to watch twice.
pub const LIMIT: Duration = Duration::from_secs(5);

/// The longest play: so long nobody watches bars.
pub const LONGEST: Duration = Duration::from_secs(60);

/// How long a crowd stays at the least once it's there: only then can be seen what it costs.
const CROWD_STAYS: Duration = Duration::from_secs(1);

/// How long a visitor's connecting is waited for before the next one comes: with a full queue it
/// may take for ever, and then there's no order left to keep. Longer than a second, after which
/// whoever the kernel turned away tries again.
const ORDER_PATIENCE: Duration = Duration::from_millis(1500);

/// Those who wait for nothing leave when the others have ended; should that fail, this much later.
/// The other way round, they would make room for someone who is about to give up.
const GRACE: Duration = Duration::from_secs(1);

/// A play in which each visitor comes at its own moment, or, on a machine that is late, when the one before
/// stands in line; and all leave at the end. Two runs of it can be laid side by side.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// Who comes, and when, in milliseconds.
    pub entrances: &'static [(u64, Who)],
    /// When all leave.
    pub length: Duration,
    /// How many times shorter than usual the visitors' rests are.
    pub tempo: u32,
}

/// The half-second that every server of the book is drawn with: first somebody slow, then somebody
/// silent, then somebody greedy, each with a quick one behind.
pub const HALF_A_SECOND: Script = Script {
    entrances: &[
        (0, Who::Quick),
        (30, Who::Slow),
        (80, Who::Quick),
        (260, Who::Silent),
        (290, Who::Quick),
        (330, Who::Greedy),
        (380, Who::Quick),
    ],
    length: Duration::from_millis(500),
    tempo: 5,
};

/// The same, where clients of other protocols come as well.
pub const HALF_OF_THEM: Script = Script {
    entrances: &[(0, Who::Quick), (40, Who::Silent), (270, Who::Slow), (430, Who::Quick)],
    ..HALF_A_SECOND
};

/// The same, where the program is replaced by another one after 150 ms. Somebody slow is in the middle of a request
/// then, and somebody greedy in the middle of a download; and a quick one comes at that very moment.
pub const HALF_AND_HALF: Script = Script {
    entrances: &[
        (0, Who::Quick),
        (30, Who::Slow),
        (60, Who::Greedy),
        (90, Who::Silent),
        (155, Who::Quick),
        (300, Who::Quick),
    ],
    ..HALF_A_SECOND
};

impl Script {
    /// Who comes, in order.
    pub fn cast(&self) -> Cast {
        Cast(self.entrances.iter().map(|(_, who)| *who).collect())
    }

    /// Begins the play at `destination`.
    ///
    /// # Errors
    /// When there's no thread or no descriptor to be had.
    pub fn play(&self, destination: impl Into<Destination>) -> io::Result<Play> {
        let entrances = self.entrances.iter().map(|(moment, _)| Duration::from_millis(*moment));
        let entrances = Some(entrances.collect());
        begin(&self.cast(), destination.into(), self.length, entrances, self.tempo)
    }
}

impl Cast {
    /// Begins the play at `destination`, for at most `limit`.
    ///
    /// # Errors
    /// When there's no thread or no descriptor to be had.
    pub fn play(&self, destination: impl Into<Destination>, limit: Duration) -> io::Result<Play> {
        begin(self, destination.into(), limit, None, 1)
    }
}

fn begin(
    cast: &Cast,
    destination: Destination,
    limit: Duration,
    entrances: Option<Vec<Duration>>,
    tempo: u32,
) -> io::Result<Play> {
    let began = Instant::now();
    let stage = Arc::new(Stage {
        state: Mutex::new(State {
            parts: cast.0.iter().map(|who| (*who, None)).collect(),
            over: false,
        }),
        ended: Condvar::new(),
        curtain: Arc::new(Curtain::up()?),
    });
    let director = Director {
        stage: Arc::clone(&stage),
        cast: cast.clone(),
        destination: Arc::new(destination),
        began,
        limit,
        entrances,
        tempo,
    };
    let director =
        thread::Builder::new().name("director".to_owned()).spawn(move || director.direct())?;
    Ok(Play { stage, director, began, limit })
}

/// A play that has begun.
#[derive(Debug)]
pub struct Play {
    stage: Arc<Stage>,
    director: JoinHandle<Vec<Visit>>,
    began: Instant,
    limit: Duration,
}

/// What is to be seen of a visitor: empty before it has come.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Who it is.
    pub who: Who,
    /// What it has been doing, each with the time since the play began.
    pub track: Vec<(Duration, Doing)>,
}

impl Play {
    /// When it began.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// How long it has lasted.
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// How long it lasts at the most.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// What there is to see now, in the visitors' order.
    pub fn scenes(&self) -> Vec<Scene> {
        let state = self.stage.state();
        let since = |moment: Instant| moment.saturating_duration_since(self.began);
        let scene = |(who, part): &(Who, Option<Arc<Part>>)| {
            let track = part.as_ref().map_or_else(Vec::new, |part| part.track());
            let track = track.into_iter().map(|(moment, doing)| (since(moment), doing));
            Scene { who: *who, track: track.collect() }
        };
        state.parts.iter().map(scene).collect()
    }

    /// Waits until it is over, at the longest for `time`. True if it is.
    pub fn wait(&self, time: Duration) -> bool {
        let state = self.stage.state();
        let waited = self.stage.ended.wait_timeout_while(state, time, |state| !state.over);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.over
    }

    /// Ends it early: all leave now.
    pub fn call_off(&self) {
        self.stage.curtain.fall();
    }

    /// Waits until it is over, and gives each visitor's experience, in their order.
    pub fn end(self) -> Vec<Visit> {
        // Only a mistake in this crate makes the director panic; nobody has experienced anything then.
        self.director.join().unwrap_or_default()
    }
}

/// What the director and the spectators share.
#[derive(Debug)]
struct Stage {
    state: Mutex<State>,
    ended: Condvar,
    curtain: Arc<Curtain>,
}

#[derive(Debug)]
struct State {
    /// `None` for who hasn't come yet.
    parts: Vec<(Who, Option<Arc<Part>>)>,
    over: bool,
}

impl Stage {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends the visitors on, one after the other, and ends the play.
struct Director {
    stage: Arc<Stage>,
    cast: Cast,
    destination: Arc<Destination>,
    began: Instant,
    limit: Duration,
    /// When each comes, where that is fixed.
    entrances: Option<Vec<Duration>>,
    tempo: u32,
}

/// A visitor on stage, or the end of one who never got there.
type Sent = Result<Visitor, Ending>;

impl Director {
    fn direct(self) -> Vec<Visit> {
        let sent = self.send_all_on();
        self.wait_for_those_who_want_an_answer(&sent);
        self.stage.curtain.fall();
        let visits = self.hear_all(sent);
        self.stage.state().over = true;
        self.stage.ended.notify_all();
        visits
    }

    /// Each comes when the one before stands in line, so that who stands before whom is certain; or
    /// at its own moment.
    fn send_all_on(&self) -> Vec<Sent> {
        let mut all_sent = Vec::new();
        let mut in_order = true;
        for (index, (who, name)) in self.cast.0.iter().zip(self.cast.names()).enumerate() {
            if let Some(entrance) = self.entrances.as_ref().and_then(|all| all.get(index)) {
                // Called off meanwhile, it won't be sent on.
                let _ =
                    self.bounds(self.limit).pause(entrance.saturating_sub(self.began.elapsed()));
            }
            let sent = self.send_on(*who, name);
            if let Ok(visitor) = &sent {
                let part = Arc::clone(visitor.part());
                self.stage.state().parts[index].1 = Some(Arc::clone(&part));
                in_order = in_order && part.wait_in_line(ORDER_PATIENCE);
            }
            all_sent.push(sent);
        }
        all_sent
    }

    fn bounds(&self, time: Duration) -> Bounds {
        let curtain = Arc::clone(&self.stage.curtain);
        Bounds { deadline: self.began + time, curtain, tempo: self.tempo }
    }

    fn send_on(&self, who: Who, name: String) -> Sent {
        let time = if who.wants_an_answer() { self.limit } else { self.limit + GRACE };
        let bounds = self.bounds(time);
        if self.began.elapsed() >= self.limit || bounds.are_over() {
            return Err(Ending::Unstarted);
        }
        Visitor::start(who, name, Arc::clone(&self.destination), bounds)
            .map_err(|error| Ending::Failed(error.to_string()))
    }

    fn wait_for_those_who_want_an_answer(&self, sent: &[Sent]) {
        let visitors = || sent.iter().filter_map(|sent| sent.as_ref().ok());
        let wanting: Vec<_> = visitors().filter(|v| v.who().wants_an_answer()).collect();
        let crowds = visitors().any(|visitor| matches!(visitor.who(), Who::Crowd(_)));
        let stay = match (wanting.is_empty() || self.entrances.is_some(), crowds) {
            // Nobody to be waited for, or a script that says when they leave: they came to stay.
            (true, _) => self.limit,
            (false, true) => CROWD_STAYS,
            (false, false) => Duration::ZERO,
        };
        let stay_until = self.began + self.limit.min(self.began.elapsed() + stay);

        for visitor in wanting {
            // Its own bounds end it; the grace is for a machine that is too busy to let it.
            let left = (self.limit + GRACE).saturating_sub(self.began.elapsed());
            visitor.part().wait_over(left);
        }
        for visitor in visitors() {
            // Over earlier when the server has sent all of them away, or the play is called off.
            let left = stay_until.saturating_duration_since(Instant::now());
            visitor.part().wait_over(left);
        }
    }

    /// Gives each visitor's experience. Only when all have ended do those who gave up let go of their lines.
    fn hear_all(&self, sent: Vec<Sent>) -> Vec<Visit> {
        let mut lines = Vec::new();
        let mut visits = Vec::new();
        for (sent, who) in sent.into_iter().zip(&self.cast.0) {
            let visit = match sent {
                Ok(visitor) => {
                    let (visit, line) = visitor.end_holding();
                    lines.push(line);
                    visit
                }
                Err(ending) => Visit { ending, ..Visit::new(*who) },
            };
            visits.push(visit);
        }
        drop(lines);
        visits
    }
}
