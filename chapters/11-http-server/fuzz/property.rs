//! What must hold for any bytes at all, and in whatever order things happen: one function, for
//! the fuzzer and for the tests.
//!
//! `session` holds a conversation, `handlers` answer in it. `asked` knows what was asked for,
//! `told` reads what is sent, and `judge` compares the two. What is looked at, and a conversation
//! that nothing else here would find wrong:
//!
//! - The same is said however the input is cut, whatever is taken, whenever answers come:
//!   one that begins the next answer before a large one is sent.
//! - What is sent is what was asked for, as a plain client reads it: one that forgets the last
//!   chunk, gives a HEAD request a body, drops what was pipelined when the input ends, or goes
//!   on behind `Connection: close`.
//! - What lies inside is bounded: one that always wants to read, or looks at the next request
//!   however much is queued.
//! - Something can still happen: one that loses a stream's wake-up, or lets who lingers stay.
//! - A deadline that has passed is over, and news renew it: one that answers a handler's request
//!   twice, or hangs up on a client that takes its answer slowly.
//! - A turn that wants another has done something: one that says "busy" for "not yet".
//! - Taken apart it's the same: one that forgets how much is to come of a chunk.
//! - Whoever was there before, the same is said: one that takes another's head, or fields, for
//!   this one's.

pub mod asked;
pub mod handlers;
pub mod judge;
pub mod session;
pub mod told;

use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use ch10_http::Limits;
use ch11_http_server::Settings;
use ch11_http_server::conversation::Common;

use session::{Session, Step};

/// So small that random bytes reach them.
pub const TIGHT: Limits = Limits { line: 60, head: 150, fields: 5, body: 40 };

/// What can happen, a byte for a step: see [`Case::of`].
pub const STEPS: &[u8] = b".,;:*0123456789abhslex";
/// No more steps than that are read.
const MOST_STEPS: usize = 200;
/// A client that says the same again and again stops here, in bytes: more than may lie in a
/// conversation.
const REPEATED: usize = 40_000;
/// Or here. More would take too long for a fuzzer.
const MOST_TIMES: usize = 250;

/// What some bytes mean.
struct Case {
    limits: Limits,
    steps: Vec<Step>,
    /// What the client says.
    input: Vec<u8>,
}

impl Case {
    /// The first line says what happens, a byte for a step. Behind it is what the client says.
    ///
    /// ```text
    /// . , ; : *     1, 10, 100, 2,000 bytes come, or all
    /// 0 to 9        the client takes 0, 1, 10, 50, 200, 1,000, 5,000, 20,000, 100,000, or all
    /// a  b          an answer comes, or more of a stream; at the last moment
    /// h             it's handed over
    /// s  l          a second passes; it's late
    /// e  x          the client hangs up; the server is being stopped
    /// T  R          limits are tight; the client says the same again and again
    /// ```
    ///
    /// Any other byte is one of the steps too.
    fn of(bytes: &[u8]) -> Self {
        let line = bytes.iter().position(|byte| *byte == b'\n');
        let (line, input) =
            line.map_or((&b""[..], bytes), |end| (&bytes[..end], &bytes[end + 1..]));
        let limits = if line.contains(&b'T') { TIGHT } else { Limits::USUAL };
        let times = match line.contains(&b'R') {
            true => REPEATED.div_ceil(input.len().max(1)).min(MOST_TIMES),
            false => 1,
        };
        let steps = line.iter().filter(|byte| !b"TR".contains(byte));
        let steps = steps.take(MOST_STEPS).map(|byte| step(*byte)).collect();
        Self { limits, steps, input: input.repeat(times) }
    }

    /// What all conversations here share. Time stands still: all heads have the same date.
    fn common(&self) -> Rc<Common> {
        let settings = Settings { limits: self.limits, ..Settings::USUAL };
        Rc::new(Common::new(settings, UNIX_EPOCH))
    }

    fn session(&self, common: &Rc<Common>) -> Session {
        Session::new(common, &self.input, Duration::from_secs(1000))
    }
}

fn step(byte: u8) -> Step {
    let letter = if STEPS.contains(&byte) { byte } else { STEPS[usize::from(byte) % STEPS.len()] };
    let taken = [0, 1, 10, 50, 200, 1000, 5000, 20_000, 100_000, u64::MAX];
    match letter {
        b'.' => Step::Come(1),
        b',' => Step::Come(10),
        b';' => Step::Come(100),
        b':' => Step::Come(2000),
        b'0'..=b'9' => Step::Send(taken[usize::from(letter - b'0')]),
        b'a' => Step::Answer,
        b'b' => Step::AnswerInTime,
        b'h' => Step::HandOver,
        b's' => Step::Second,
        b'l' => Step::Late,
        b'e' => Step::End,
        b'x' => Step::Stop,
        _ => Step::Come(usize::MAX),
    }
}

/// Panics if a conversation breaks a promise on these bytes.
pub fn check(bytes: &[u8]) {
    let case = Case::of(bytes);
    let first = case.session(&case.common()).finish();
    let told = first.judge();
    let common = case.common();
    let stepped = |is_wanted: fn(Step) -> bool| {
        let mut session = case.session(&common);
        for step in case.steps.iter().filter(|step| is_wanted(**step)) {
            session.step(*step);
        }
        session
    };
    // However it's cut, and whoever was there before: the same is said.
    let others = [
        case.session(&common).finish(),
        case.session(&common).finish(),
        stepped(Step::is_calm).finish(),
        case.session(&common).by_chance(bytes.len() as u64, 300, true),
    ];
    for other in others {
        let said = other.judge();
        // Whoever waits for a word may get an answer, and whoever doesn't wait another.
        if !first.is_unaccepted && !other.is_unaccepted {
            assert!(said == told, "{}\nisn't\n{}", said.escape_ascii(), told.escape_ascii());
        }
    }
    // Whatever happens: it ends, and what it has said till then can be read.
    stepped(|_| true).finish().judge();
    stepped(|_| true).abandon().judge();
}
