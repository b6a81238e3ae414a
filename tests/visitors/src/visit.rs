//! One visitor: what it does, what it is doing at this moment, and what it experienced.
//!
//! Each plays in a thread of its own. Whoever started it may watch it meanwhile ([`Visitor::track`]),
//! and asks in the end how it was ([`Visitor::end`]).

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::answer::{content_length, head_length, interim_length, status};
use crate::cast::Who;
use crate::crowd::{self, Fared};
use crate::destination::Destination;
use crate::line::{Bounds, Curtain, Failure, Line, is_hang_up};
use crate::part::{OverAtLast, Part};

pub use crate::part::Doing;

/// How much of an answer is kept: more than any page in the book, and no server that sends for
/// ever fills the memory.
pub const MOST_KEPT: usize = 64 * 1024;

/// How long a slow visitor takes to send its request.
pub const SLOW_REQUEST: Duration = Duration::from_secs(1);

/// How much a greedy visitor reads at a time, and how long it rests then: at most 80 KiB a second.
pub const GREEDY_BITE: usize = 4096;
/// See [`GREEDY_BITE`].
pub const GREEDY_REST: Duration = Duration::from_millis(50);

/// How long a rude visitor gives the server to begin reading, before it hangs up in the middle.
/// It's no harm if the server hasn't: then it finds the hang-up later.
const RUDE_PAUSE: Duration = Duration::from_millis(50);

/// A visitor's thread needs little, and there may be hundreds.
const STACK: usize = 256 * 1024;

/// How a visit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The whole answer came: its Content-Length was met, or, without one, the connection was
    /// closed properly.
    Answered {
        /// The answer's status, such as 200.
        status: u16,
    },
    /// The connection was closed in the middle of the answer.
    CutShort,
    /// The connection was closed after something that is no HTTP answer.
    Nonsense,
    /// Nobody listens there.
    Refused,
    /// The connection was reset, before the answer was whole.
    Reset,
    /// The connection was closed without a word.
    Closed,
    /// Its time was over, and what it waits for hadn't come.
    GaveUp,
    /// It left on purpose: the silent and the crowd at the end of the play, the rude before.
    Left,
    /// It never called: the play was over before its turn came.
    Unstarted,
    /// The visitor's own machine let it down: no descriptors left, no way to that address, …
    Failed(String),
}

/// What a visitor experienced. Times are counted from its own beginning.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Who it was.
    pub who: Who,
    /// When it was connected. The rude call twice: the first time counts.
    pub connected: Option<Duration>,
    /// When it had sent its whole request.
    pub sent: Option<Duration>,
    /// When the first byte of the answer came.
    pub first_byte: Option<Duration>,
    /// When the last byte came that did come.
    pub last_byte: Option<Duration>,
    /// When it ended.
    pub took: Duration,
    /// How.
    pub ending: Ending,
    /// The answer, or its first [`MOST_KEPT`] bytes.
    pub answer: Vec<u8>,
    /// How many bytes came in all.
    pub received: u64,
    /// How often a rude visitor has hung up in the middle of something: twice, if it could.
    pub rude_hang_ups: u32,
    /// How each of a crowd fared.
    pub crowd: Option<Fared>,
}

impl Visit {
    pub(crate) fn new(who: Who) -> Self {
        Self {
            who,
            connected: None,
            sent: None,
            first_byte: None,
            last_byte: None,
            took: Duration::ZERO,
            ending: Ending::Unstarted,
            answer: Vec::new(),
            received: 0,
            rude_hang_ups: 0,
            crowd: None,
        }
    }

    /// The status of the final answer, if it's HTTP's.
    pub fn status(&self) -> Option<u16> {
        status(self.final_answer())
    }

    /// The answer without the interim ones before it.
    fn final_answer(&self) -> &[u8] {
        &self.answer[interim_length(&self.answer)..]
    }

    /// The answer's body, as far as it was kept. Empty while the head isn't whole.
    pub fn body(&self) -> &[u8] {
        let answer = self.final_answer();
        head_length(answer).map_or(&[], |length| &answer[length..])
    }

    /// How many bytes the answer has in all, heads and body, if it says so.
    pub fn expected(&self) -> Option<u64> {
        let answer = self.final_answer();
        let length = head_length(answer)?;
        let body = content_length(&answer[..length])?;
        let before = self.answer.len() - answer.len();
        Some(body.saturating_add((before + length) as u64))
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = MOST_KEPT - self.answer.len();
        self.answer.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.received += bytes.len() as u64;
    }
}

/// A visitor at work.
#[derive(Debug)]
pub struct Visitor {
    who: Who,
    part: Arc<Part>,
    curtain: Arc<Curtain>,
    thread: Option<JoinHandle<(Visit, Option<Line>)>>,
}

/// Plays one visitor, for at most `limit`.
///
/// # Errors
/// When there's no thread or no descriptor to be had.
pub fn visit(
    who: Who,
    destination: impl Into<Destination>,
    limit: Duration,
) -> io::Result<Visitor> {
    let curtain = Arc::new(Curtain::up()?);
    let bounds = Bounds { deadline: Instant::now() + limit, curtain, tempo: 1 };
    Visitor::start(who, who.word().to_owned(), Arc::new(destination.into()), bounds)
}

impl Visitor {
    /// In reports it is called `name`, and that it is a visitor.
    pub(crate) fn start(
        who: Who,
        name: String,
        destination: Arc<Destination>,
        bounds: Bounds,
    ) -> io::Result<Self> {
        let part = Arc::new(Part::new());
        let played = Arc::clone(&part);
        let curtain = Arc::clone(&bounds.curtain);
        let thread =
            thread::Builder::new().name(who.to_string()).stack_size(STACK).spawn(move || {
                let mut actor = Actor::new(who, name, &destination, &bounds, &played);
                let ending = actor.play();
                actor.finish(ending)
            })?;
        Ok(Self { who, part, curtain, thread: Some(thread) })
    }

    /// Who it is.
    pub fn who(&self) -> Who {
        self.who
    }

    /// What it has been doing, each with the moment since when. Never empty.
    pub fn track(&self) -> Vec<(Instant, Doing)> {
        self.part.track()
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.part.is_over()
    }

    /// Waits until it is doing (or has done) something of which `wanted` says yes. False when its
    /// visit ended without that.
    pub fn wait_until(&self, wanted: impl Fn(Doing) -> bool) -> bool {
        self.part.wait_until(wanted)
    }

    /// Lets it go: its time is over now.
    pub fn leave(&self) {
        self.curtain.fall();
    }

    /// Waits until it ends, and gives what it experienced.
    pub fn end(self) -> Visit {
        self.end_holding().0
    }

    /// As [`Visitor::end`], and gives the line of one who gave up: it is still in the server's queue.
    pub(crate) fn end_holding(mut self) -> (Visit, Option<Line>) {
        let ended = self.thread.take().map(JoinHandle::join);
        let Some(Ok(visit)) = ended else {
            // A visitor that panics is a mistake in this crate; the others' visits still count.
            let mut visit = Visit::new(self.who);
            visit.ending = Ending::Failed("it panicked".to_owned());
            return (visit, None);
        };
        visit
    }

    pub(crate) fn part(&self) -> &Arc<Part> {
        &self.part
    }
}

/// Plays a part.
struct Actor<'a> {
    name: String,
    destination: &'a Destination,
    bounds: &'a Bounds,
    part: &'a Part,
    over: OverAtLast<'a>,
    began: Instant,
    visit: Visit,
    line: Option<Line>,
}

/// An early end of a visit is its result as well: `?` ends a part where it can't go on.
type Played<T = Ending> = Result<T, Ending>;

impl<'a> Actor<'a> {
    fn new(
        who: Who,
        name: String,
        destination: &'a Destination,
        bounds: &'a Bounds,
        part: &'a Part,
    ) -> Self {
        Self {
            name,
            destination,
            bounds,
            part,
            over: OverAtLast(part),
            began: Instant::now(),
            visit: Visit::new(who),
            line: None,
        }
    }

    fn play(&mut self) -> Ending {
        let played = match self.visit.who {
            Who::Quick => self.quick(),
            Who::Slow => self.slow(),
            Who::Silent => self.silent(),
            Who::Greedy => self.greedy(),
            Who::Rude => self.rude(),
            Who::Crowd(size) => Ok(self.crowd(size)),
        };
        played.unwrap_or_else(|ending| ending)
    }

    fn quick(&mut self) -> Played {
        self.connect(false)?;
        self.send(&request("/", self.destination))?;
        self.receive_answer()
    }

    fn slow(&mut self) -> Played {
        self.connect(false)?;
        let request = request("/", self.destination);
        let rest =
            self.bounds.hurried(SLOW_REQUEST) / u32::try_from(request.len()).unwrap_or(u32::MAX);
        // Each byte is due at its own moment: rests added up would make a busy machine's visitor slower yet.
        let mut due = Instant::now();
        for byte in request.chunks(1) {
            if !self.send_part(byte)? {
                // The server has hung up; perhaps it said why.
                return self.receive_answer();
            }
            due += rest;
            self.pause(due.saturating_duration_since(Instant::now()))?;
        }
        self.has_sent_all();
        self.receive_answer()
    }

    fn silent(&mut self) -> Played {
        self.connect(false)?;
        self.part.now(Doing::Silent);
        match self.receive_answer() {
            Err(Ending::GaveUp) => Ok(Ending::Left),
            ending => ending,
        }
    }

    fn greedy(&mut self) -> Played {
        self.connect(true)?;
        self.send(&request("/large", self.destination))?;
        self.receive(GREEDY_BITE, self.bounds.hurried(GREEDY_REST))
    }

    fn rude(&mut self) -> Played {
        let request = request("/large", self.destination);
        self.connect(false)?;
        self.part.now(Doing::Sending);
        if self.send_part(&request[..request.len() / 2])? {
            self.pause(self.bounds.hurried(RUDE_PAUSE))?;
        }
        self.hang_up_rudely();

        self.connect(false)?;
        self.send(&request)?;
        let mut first_byte = [0];
        if self.receive_some(&mut first_byte)? == 0 {
            return Ok(Ending::Closed);
        }
        self.visit.keep(&first_byte);
        self.hang_up_rudely();
        Ok(Ending::Left)
    }

    fn crowd(&mut self, size: usize) -> Ending {
        let fared = crowd::stay(size, self.destination, self.bounds, self.part);
        if fared.connected > 0 {
            self.visit.connected = Some(fared.all_called);
        }
        let ending = if fared.connected > 0 {
            Ending::Left
        } else if fared.refused > 0 {
            Ending::Refused
        } else if let Some(error) = &fared.error {
            Ending::Failed(error.clone())
        } else {
            Ending::GaveUp
        };
        self.visit.crowd = Some(fared);
        ending
    }

    fn connect(&mut self, small_window: bool) -> Played<()> {
        self.part.now(Doing::Connecting);
        let name = match self.name.split_once(' ') {
            Some((word, number)) => format!("{word} visitor {number}"),
            None => format!("{} visitor", self.name),
        };
        let line = loop {
            let (number, address) = self.destination.current();
            match Line::connect(address, small_window, &name, self.bounds) {
                Err(Failure::Io(error)) => match self.destination.next_after(number, error) {
                    Ok(()) => {}
                    Err(error) => break Err(Failure::Io(error)),
                },
                connected => break connected,
            }
        };
        if let Err(Failure::Io(error)) = &line
            && is_hang_up(error)
        {
            // Connected, and reset before we looked: who isn't let in is refused, not reset.
            self.visit.connected.get_or_insert(self.began.elapsed());
        }
        let line = line.map_err(|failure| self.explain(failure))?;
        self.line = Some(line);
        self.visit.connected.get_or_insert(self.began.elapsed());
        self.part.is_in_line();
        Ok(())
    }

    /// Sends the whole request. Should the server hang up meanwhile, the answer is still looked
    /// for: it may have said why.
    fn send(&mut self, request: &[u8]) -> Played<()> {
        if self.send_part(request)? {
            self.has_sent_all();
        }
        Ok(())
    }

    /// False when the server has hung up.
    fn send_part(&mut self, bytes: &[u8]) -> Played<bool> {
        self.part.now(Doing::Sending);
        let Some(line) = &mut self.line else {
            return Ok(false);
        };
        match line.send(bytes, self.bounds) {
            Ok(()) => Ok(true),
            Err(Failure::Io(error)) if is_hang_up(&error) => Ok(false),
            Err(failure) => Err(self.explain(failure)),
        }
    }

    fn has_sent_all(&mut self) {
        self.visit.sent = Some(self.began.elapsed());
        self.part.now(Doing::Waiting);
    }

    fn receive_answer(&mut self) -> Played {
        self.receive(16 * 1024, Duration::ZERO)
    }

    /// Receives until the answer is whole or won't ever be, `bite` bytes at a time, with a `rest` between.
    fn receive(&mut self, bite: usize, rest: Duration) -> Played {
        let mut buffer = vec![0; bite];
        let mut expected = None;
        loop {
            let count = self.receive_some(&mut buffer)?;
            if count == 0 {
                return Ok(self.judge_closed());
            }
            self.visit.keep(&buffer[..count]);
            // Once known, the length isn't looked for again: the search takes time, and there may be much to come.
            expected = expected.or_else(|| self.visit.expected());
            if expected.is_some_and(|expected| self.visit.received >= expected) {
                return Ok(self.judge_closed());
            }
            self.pause(rest)?;
        }
    }

    /// Receives a part of the answer. 0: the server has finished.
    fn receive_some(&mut self, buffer: &mut [u8]) -> Played<usize> {
        let Some(line) = &mut self.line else {
            return Ok(0);
        };
        let received = line.receive(buffer, self.bounds);
        let count = received.map_err(|failure| self.explain(failure))?;
        if count > 0 {
            let now = self.began.elapsed();
            self.visit.first_byte.get_or_insert(now);
            self.visit.last_byte = Some(now);
            self.part.now(Doing::Receiving);
        }
        Ok(count)
    }

    /// What to make of all that has come, when nothing more will.
    fn judge_closed(&self) -> Ending {
        let visit = &self.visit;
        match visit.status() {
            _ if visit.received == 0 => Ending::Closed,
            // After an interim answer the final one was to come.
            None if visit.final_answer().len() < visit.answer.len() => Ending::CutShort,
            None => Ending::Nonsense,
            Some(_) if head_length(visit.final_answer()).is_none() => Ending::CutShort,
            Some(_) if visit.expected().is_some_and(|all| visit.received < all) => Ending::CutShort,
            Some(status) => Ending::Answered { status },
        }
    }

    fn hang_up_rudely(&mut self) {
        if let Some(line) = self.line.take() {
            line.reset();
            self.visit.rude_hang_ups += 1;
        }
    }

    fn pause(&mut self, time: Duration) -> Played<()> {
        let paused = self.bounds.pause(time);
        paused.map_err(|failure| self.explain(failure))
    }

    fn explain(&self, failure: Failure) -> Ending {
        match failure {
            Failure::Over => Ending::GaveUp,
            Failure::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Ending::Refused
            }
            Failure::Io(error) if is_hang_up(&error) => Ending::Reset,
            Failure::Io(error) => Ending::Failed(error.to_string()),
        }
    }

    /// Gives the visit. Whoever gave up doesn't let go of its line: the next one in the server's
    /// queue would be served at that very moment, or just not, as chance has it.
    fn finish(mut self, ending: Ending) -> (Visit, Option<Line>) {
        self.visit.took = self.began.elapsed();
        self.visit.ending = ending;
        self.part.now(match self.visit.ending {
            Ending::Answered { .. } => Doing::Answered,
            Ending::Refused | Ending::Failed(_) => Doing::Refused,
            Ending::Reset | Ending::Closed | Ending::CutShort | Ending::Nonsense => Doing::CutOff,
            Ending::GaveUp | Ending::Unstarted => Doing::GaveUp,
            Ending::Left => Doing::Left,
        });
        let line = self.line.take();
        drop(self.over);
        let gave_up = self.visit.ending == Ending::GaveUp;
        (self.visit, line.filter(|_| gave_up))
    }
}

/// The plain request: every server in the book answers it.
fn request(usual: &str, destination: &Destination) -> Vec<u8> {
    let (path, host) = (destination.path(usual), destination.host());
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").into_bytes()
}
