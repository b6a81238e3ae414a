//! A conversation, and who is at its ends: a client, those who answer, and a clock. Each step
//! looks at what must hold at any moment; `judge` looks at what was sent.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ch10_http::CONTINUE;
use ch11_http_server::Settings;
use ch11_http_server::conversation::parts::Parts;
use ch11_http_server::conversation::{Answered, Common, Conversation, EndedTooEarly, Next};
use ch11_http_server::response::Flow;

use crate::property::asked::{self, Asked, What};
use crate::property::handlers::{self, Answer, LARGE, Pieces, Wanted};

/// So much may lie in a conversation, not looked at, and then more of it comes (`MOST_AHEAD`).
const MOST_AHEAD: usize = 32 * 1024;
/// So much may be queued, and then one more answer (`MOST_QUEUED`).
const MOST_QUEUED: usize = 64 * 1024;
/// Longer than any head of an answer.
const HEAD: usize = 500;
/// How long anything may take.
const LIMITS: [Duration; 6] = [
    Settings::USUAL.idle_timeout,
    Settings::USUAL.head_timeout,
    Settings::USUAL.body_timeout,
    Settings::USUAL.handler_timeout,
    Settings::USUAL.send_timeout,
    Settings::USUAL.linger_timeout,
];
/// In one turn.
const ANSWERS: usize = 8;

/// What happens to a conversation at one moment. Then it has its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many bytes come, or the end of all.
    Come(usize),
    /// The client takes so many, at most.
    Send(u64),
    /// Whoever has an answer, or more of a stream, says so.
    Answer,
    /// The same, and the clock, at its deadline, is quicker than its turn.
    AnswerInTime,
    /// It's taken apart, if it can be, and put together again.
    HandOver,
    /// A second passes.
    Second,
    /// It waits until its deadline.
    Late,
    /// The client sends nothing more.
    End,
    /// The server is being stopped.
    Stop,
}

impl Step {
    /// It changes when something is sent, and nothing else.
    pub fn is_calm(self) -> bool {
        !matches!(self, Self::Second | Self::Late | Self::End | Self::Stop)
    }
}

/// An answer that the conversation has begun, or will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    pub to: To,
    /// It must say that it's the last one, whatever was asked for.
    pub closes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// To the next that was asked for.
    Asked,
    /// To that, and it says that nobody knew one in time.
    AskedLate,
    /// To one that didn't become whole.
    Unfinished { is_head: bool },
}

impl Begun {
    /// It isn't to something that didn't become one.
    pub fn is_to_a_request(&self) -> bool {
        !matches!(self.to, To::Unfinished { .. })
    }
}

pub struct Session {
    pub conversation: Conversation,
    pub now: Duration,
    common: Rc<Common>,
    /// All that the client says,
    input: Vec<u8>,
    /// how much of it has come,
    came: usize,
    /// and that no more will.
    has_ended: bool,
    /// What the client asks for with it.
    pub asked: Vec<Asked>,
    /// The one behind them whose head is whole, and its body isn't.
    unfinished: Option<Asked>,
    /// One of them has a stream that pauses. That would end with what the client says: so the
    /// client ends late.
    ends_late: bool,
    /// What is answered, in order.
    pub begun: Vec<Begun>,
    /// All that was sent,
    pub sent: Vec<u8>,
    /// and how the log tells it.
    pub logged: Vec<Answered>,
    is_logged: bool,
    /// An answer that comes later, and for which request.
    later: Option<(u64, Answer)>,
    stream: Option<(u64, Pieces)>,
    /// Somebody must say that there is more.
    is_paused: bool,
    /// Something has come that wasn't looked at.
    is_busy: bool,
    again: bool,
    /// So many turns have done nothing, and it wants another.
    vain: usize,
    /// Since then so much has come.
    ahead: usize,
    buffer: Vec<u8>,
    /// How often it was taken apart.
    pub handed_over: usize,
    pub stopped: Option<Stopped>,
    /// A client that waits for a word, and gets an answer.
    pub is_unaccepted: bool,
    /// It's over in the middle of an answer, and may be: somebody has waited for too long.
    pub is_cut: bool,
    /// A stream didn't keep its promise.
    is_broken: bool,
    /// The client has been told that all is said, and may go on for a while.
    lingers: bool,
}

/// When the server was stopped.
#[derive(Clone, Copy, Debug)]
pub struct Stopped {
    /// So many answers are begun at most. None: by now it's another's, who isn't being stopped,
    most: Option<usize>,
    /// and so many are finished.
    pub to_finish: usize,
}

impl Session {
    pub fn new(common: &Rc<Common>, bytes: &[u8], now: Duration) -> Self {
        let mut session = Self {
            conversation: Conversation::new(Rc::clone(common), now),
            now,
            common: Rc::clone(common),
            input: Vec::new(),
            came: 0,
            has_ended: false,
            asked: Vec::new(),
            unfinished: None,
            ends_late: false,
            begun: Vec::new(),
            sent: Vec::new(),
            logged: Vec::new(),
            is_logged: true,
            later: None,
            stream: None,
            is_paused: false,
            is_busy: false,
            again: false,
            vain: 0,
            ahead: 0,
            buffer: Vec::with_capacity(HEAD),
            handed_over: 0,
            stopped: None,
            is_unaccepted: false,
            is_cut: false,
            is_broken: false,
            lingers: false,
        };
        session.say(bytes);
        session
    }

    /// The client will say this too.
    pub fn say(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.know_asked();
    }

    /// The client says nothing that hasn't come yet.
    fn hang_up(&mut self) {
        self.input.truncate(self.came);
        self.know_asked();
        self.ends_late = false;
    }

    fn know_asked(&mut self) {
        let all = asked::asked(&self.input, self.common.settings.limits);
        let before = std::mem::replace(&mut self.asked, all.whole);
        // One that wasn't accepted may be answered before its body has come, which may never be
        // whole. It was asked for.
        let answered = self.begun.iter().filter(|begun| begun.is_to_a_request()).count();
        self.asked.extend(before.into_iter().take(answered).skip(self.asked.len()));
        self.unfinished = all.unfinished;
        let pauses = |asked: &Asked| match &asked.what {
            What::Request { path, .. } => Wanted::of(path).pauses(),
            What::Refused(..) => false,
        };
        self.ends_late = self.asked.iter().any(pauses);
    }

    /// Nothing more will happen.
    pub fn is_over(&self) -> bool {
        self.conversation.wants_close() || self.is_broken
    }

    /// Somebody has an answer, or the rest of one.
    fn is_under_way(&self) -> bool {
        self.later.is_some() || self.stream.is_some()
    }

    pub fn step(&mut self, step: Step) {
        if self.is_over() {
            return;
        }
        let (mut came, mut room) = (0, 0);
        match step {
            Step::Come(most) => came = self.come(most),
            Step::Send(most) => room = most,
            Step::Answer => self.give(),
            Step::AnswerInTime => {
                let is_later = self.later.is_some() && !self.conversation.wants_write();
                self.give();
                if let (true, Some(due)) = (is_later, self.conversation.deadline()) {
                    self.now = self.now.max(due);
                    assert!(!self.conversation.check_deadline(self.now), "the answer is there");
                }
            }
            Step::HandOver => self.hand_over(),
            Step::Second => {
                self.now += Duration::from_secs(1);
                if self.conversation.deadline().is_some_and(|due| due <= self.now) {
                    self.is_late();
                }
            }
            Step::Late => self.wait_too_long(),
            Step::End => self.hang_up(),
            Step::Stop => return self.stop(),
        }
        if !self.is_over() {
            self.turn(came, room);
        }
    }

    /// So many bytes come, or the end.
    fn come(&mut self, most: usize) -> usize {
        if !self.conversation.wants_read() || self.has_ended {
            return 0;
        }
        let count = most.min(self.input.len() - self.came);
        let may_end = !self.ends_late || !(self.is_busy || self.is_under_way());
        if self.came == self.input.len() && may_end {
            self.has_ended = true;
            self.vain = 0;
            self.conversation.receive_end();
        }
        if self.is_busy || self.is_under_way() {
            let most = MOST_AHEAD.max(self.common.settings.limits.head);
            assert!(self.ahead <= most, "{} bytes lie here, and it wants more", self.ahead);
            self.ahead += count;
        }
        count
    }

    /// Somebody gives an answer, or says that a stream has more.
    fn give(&mut self) {
        let number = self.conversation.request();
        let current = (!self.is_under_way()).then_some(number);
        for old in [number.checked_sub(1), current].into_iter().flatten() {
            let other = Wanted::of("/made").answer(b"");
            assert!(self.conversation.answer(old, other).is_err(), "nobody waits for it");
            assert!(!self.conversation.resume(old), "it's gone");
        }
        self.vain = 0;
        if let Some((request, response)) = self.later.take() {
            let stream = self.conversation.answer(request, response);
            let stream = stream.expect("it is waited for");
            self.stream = stream.map(|stream| (request, stream));
            self.log();
        } else if let (Some((request, _)), true) = (&self.stream, self.is_paused) {
            assert!(self.conversation.resume(*request), "it's waited for");
            self.is_paused = false;
        }
    }

    /// A turn, as chapter 11's connection takes it.
    fn turn(&mut self, count: usize, mut room: u64) {
        let deadline = self.conversation.deadline();
        let before = (self.begun.len(), self.sent.len());
        let mut moved = count > 0;
        let came = self.input[self.came..self.came + count].to_vec();
        self.came += count;
        let mut input = self.conversation.receive(&came);
        self.conversation.lend(&mut self.buffer);
        self.send(&mut room);
        if self.conversation.wants_stream() {
            moved = true;
            self.pull(&mut room);
            if self.is_broken {
                return;
            }
        }
        let mut answers = 0;
        let goes_on = loop {
            if answers == ANSWERS {
                break true;
            }
            let is_unaccepted = Cell::new(false);
            let next = self.conversation.next(&mut input, |head| {
                is_unaccepted.set(!Wanted::of(head.path()).is_known());
                !is_unaccepted.get()
            });
            let (head, body) = match next {
                Next::Request(head, body) => (head, body),
                Next::Refused => {
                    self.begin(false);
                    self.log();
                    continue;
                }
                Next::NotYet => break false,
                Next::Busy => break true,
            };
            answers += 1;
            if is_unaccepted.get() && self.asked.len() == self.begun.len() {
                self.asked.extend(self.unfinished.take());
            }
            let asked = self.asked.get(self.begun.len());
            let Some(Asked { what: What::Request { path, body: whole }, .. }) = asked else {
                panic!("{} isn't what is asked for next, but {asked:?}", head.path());
            };
            assert_eq!(head.path(), path);
            assert!(body == whole || is_unaccepted.get(), "{}", body.escape_ascii());
            let wanted = Wanted::of(head.path());
            let response = wanted.answer(body);
            self.is_unaccepted |= is_unaccepted.get();
            let number = self.conversation.request();
            let closes = is_unaccepted.get() || wanted.panics();
            if wanted.panics() {
                self.conversation.closes();
            }
            let is_later = wanted.later;
            self.begin(closes);
            if is_later {
                self.later = Some((number, response));
                continue;
            }
            let stream = self.conversation.answer(number, response).expect("it is waited for");
            self.stream = stream.map(|stream| (number, stream));
            self.log();
        };
        self.conversation.keep(input);
        self.send(&mut room);
        self.conversation.give_back(&mut self.buffer);
        self.is_busy = goes_on;
        self.finish_turn();
        moved |= before != (self.begun.len(), self.sent.len());
        self.look(moved, before.1 < self.sent.len(), deadline);
    }

    fn finish_turn(&mut self) {
        let conversation = &mut self.conversation;
        self.again = !conversation.wants_write()
            && (self.is_busy && conversation.is_free() || conversation.wants_stream());
        conversation.finish_turn(self.now, self.again);
        if conversation.wants_shutdown() {
            conversation.shut_down(true);
            self.lingers = true;
            self.ahead = 0; // it's thrown away
        }
    }

    /// What must hold behind each turn.
    fn look(&mut self, moved: bool, has_sent: bool, before: Option<Duration>) {
        let conversation = &self.conversation;
        let most = MOST_QUEUED + HEAD + LARGE.max(self.input.len());
        assert!(conversation.queued() <= most as u64, "{} bytes lie here", conversation.queued());
        if !self.is_busy && !self.is_under_way() {
            self.ahead = 0;
        }
        if self.is_over() {
            assert!(self.later.is_none(), "nobody gets this answer");
            let may_be_cut = self.has_ended || self.stopped.is_some();
            assert!(self.stream.is_none() || may_be_cut, "nobody gets the rest of it");
            self.is_cut |= self.stream.is_some();
            let end = self.begun.len().checked_sub(1).and_then(|last| self.asked.get(last));
            // A close would be a reset, which can eat the answer.
            let is_read = end.is_none_or(|asked| self.came <= asked.end);
            assert!(is_read || self.lingers || may_be_cut, "it's closed, and something has come");
            return;
        }
        let is_waited_for = conversation.wants_write() || self.is_under_way() || self.again;
        assert!(is_waited_for || !self.has_ended, "nobody is there, and it isn't over");
        assert_eq!(self.stream.is_some(), conversation.is_streaming());
        let sleeps = self.stream.is_some() && self.is_paused;
        let deadline = conversation.deadline();
        assert!(self.again || deadline.is_some() || sleeps, "it waits for nothing");
        if deadline != before || has_sent {
            let is_well =
                deadline.is_none_or(|due| LIMITS.iter().any(|limit| self.now + *limit == due));
            assert!(is_well, "at {:?} its time begins anew, until {deadline:?}", self.now);
        }
        self.vain = if moved || !self.again { 0 } else { self.vain + 1 };
        // What had to wait was the beginning of something: so much is seen by looking.
        assert!(self.vain <= 1, "it spins");
        self.look_for_a_word();
    }

    /// A client that waits for a word before it sends its body gets one.
    fn look_for_a_word(&self) {
        let place = self.begun.len();
        let Some(Asked { what: What::Request { path, .. }, waits_at: Some(waits_at), .. }) =
            self.asked.get(place)
        else {
            return;
        };
        let goes_on = self
            .begun
            .iter()
            .zip(&self.asked)
            .all(|(begun, asked)| begun.to == To::Asked && !begun.closes && asked.stays);
        if *waits_at == self.came
            && goes_on
            && Wanted::of(path).is_known()
            && !(self.is_busy || self.is_under_way() || self.has_ended || self.stopped.is_some())
        {
            let [queued, _] = self.conversation.outgoing().bytes;
            let sent = &self.sent[self.sent.len().saturating_sub(CONTINUE.len())..];
            assert!([sent, queued].concat().ends_with(CONTINUE), "it waits for a word");
        }
    }

    /// An answer is begun.
    fn begin(&mut self, closes: bool) {
        let most = self.stopped.and_then(|stopped| stopped.most);
        self.begun.push(Begun { to: To::Asked, closes: closes || most.is_some() });
        let is_well = most.is_none_or(|most| self.begun.len() <= most);
        assert!(is_well, "the server is being stopped");
        self.ahead = 0;
        self.is_logged = false;
    }

    /// As much as there is room for.
    fn send(&mut self, room: &mut u64) {
        while *room > 0 && self.conversation.wants_write() {
            let outgoing = self.conversation.outgoing();
            let mut taken = outgoing.bytes.concat();
            // A call sends the one or the other.
            if let (Some(part), true) = (outgoing.file, taken.is_empty()) {
                let [at, left] = [part.at, part.left].map(|it| usize::try_from(it).unwrap());
                taken = handlers::large()[at..at + left].to_vec();
            }
            taken.truncate(usize::try_from(*room).unwrap_or(usize::MAX));
            *room -= taken.len() as u64;
            self.conversation.sent(taken.len() as u64);
            self.sent.append(&mut taken);
        }
        self.log();
    }

    /// A line is written when an answer is sent, or as good as sent.
    fn log(&mut self) {
        if !self.is_logged
            && let Some(answered) = self.conversation.finished()
        {
            let queued = self.conversation.outgoing();
            assert!(queued.bytes[1].is_empty() && queued.file.is_none(), "it isn't sent yet");
            self.logged.push(answered);
            self.is_logged = true;
        }
    }

    /// The next piece of a stream.
    fn pull(&mut self, room: &mut u64) {
        let (request, mut pieces) = self.stream.take().expect("there is a stream");
        let piece = pieces.pop_front().expect("it hasn't ended");
        self.conversation.pause();
        if piece.resumed {
            assert!(self.conversation.resume(request));
        }
        self.is_paused = piece.flow == Flow::Pause && !piece.resumed;
        match self.conversation.stream(&piece.bytes, piece.flow) {
            Ok(()) => {}
            // The connection is closed.
            Err(EndedTooEarly) => (self.is_cut, self.is_broken) = (true, true),
        }
        if self.conversation.is_streaming() {
            self.stream = Some((request, pieces));
        }
        self.send(room);
    }

    fn hand_over(&mut self) {
        let Some(parts) = self.conversation.parts(self.now) else {
            // It's under way, or a body is being thrown away: behind a refusal.
            let last = self.begun.len().checked_sub(1).and_then(|last| self.asked.get(last));
            let is_refused = last.is_some_and(|asked| matches!(asked.what, What::Refused(..)));
            assert!(self.is_under_way() || is_refused, "it could be handed over");
            return;
        };
        let is_elsewhere = self.is_under_way() && !self.conversation.is_streaming();
        assert!(!is_elsewhere, "somebody here has the answer");
        let copy = parts.clone();
        self.conversation = Conversation::from_parts(Rc::clone(&self.common), parts, self.now);
        self.handed_over += 1;
        // Whoever goes on with a stream is asked for more.
        self.is_paused = false;
        if let Some(stopped) = &mut self.stopped {
            stopped.most = None;
        }
        let again = self.conversation.parts(self.now).expect("it was in parts");
        assert!(are_equal(&copy, &again), "{copy:?}\nis, taken apart again, {again:?}");
        self.vain = 0;
    }

    fn wait_too_long(&mut self) {
        let Some(due) = self.conversation.deadline() else {
            self.now += Duration::from_secs(1000);
            return assert!(!self.conversation.check_deadline(self.now), "it has none");
        };
        if due > self.now {
            let before = due - Duration::from_millis(1);
            assert!(!self.conversation.check_deadline(before), "it isn't late yet");
            self.now = due;
        }
        self.is_late();
    }

    /// As when its timer rings.
    fn is_late(&mut self) {
        let had_queued = self.conversation.wants_write();
        assert!(self.conversation.check_deadline(self.now), "it's late");
        assert!(self.conversation.deadline().is_none_or(|due| due > self.now));
        self.vain = 0;
        if self.conversation.wants_close() {
            self.is_cut |= had_queued;
            return self.hang_up();
        }
        assert!(self.conversation.wants_write(), "somebody hears of it");
        self.is_logged = false;
        match (self.later.take(), self.begun.last_mut()) {
            (Some(_), Some(begun)) => begun.to = To::AskedLate,
            _ => {
                let come = &self.input[..self.came];
                let is_head = asked::asked(come, self.common.settings.limits).begins_head;
                self.begun.push(Begun { to: To::Unfinished { is_head }, closes: true });
            }
        }
        self.log();
    }

    /// As chapter 11's connection does it.
    fn stop(&mut self) {
        // It may have asked already.
        if self.conversation.is_idle() {
            self.turn(0, 0);
        }
        let is_new = self.stopped.is_none_or(|stopped| stopped.most.is_none());
        if self.is_over() || !is_new {
            return;
        }
        let place = self.begun.len();
        let behind = place.checked_sub(1).and_then(|last| self.asked.get(last));
        let has_begun = self.came > behind.map_or(0, |asked| asked.end);
        let is_idle = self.conversation.is_idle();
        let to_finish = place + usize::from(is_idle && has_begun);
        let most = place + usize::from(is_idle || has_begun && !self.is_busy);
        self.stopped = Some(Stopped { most: Some(most), to_finish });
        if let (Some(_), Some(begun)) = (&self.later, self.begun.last_mut()) {
            begun.closes = true;
        }
        let deadline = self.conversation.deadline();
        self.conversation.stop();
        self.finish_turn();
        self.look(true, false, deadline);
    }

    /// From now on everybody does at once what they can, until it's over.
    pub fn finish(mut self) -> Self {
        let most = 30 + 10 * self.asked.len();
        for _ in 0..most {
            for step in [Step::Come(usize::MAX), Step::Send(u64::MAX), Step::Answer] {
                if self.is_over() {
                    return self;
                }
                self.step(step);
            }
        }
        panic!("it isn't over: {} of {} bytes have come", self.came, self.input.len());
    }

    /// From now on nobody does anything any more, but the clock goes on, until it's over.
    pub fn abandon(mut self) -> Self {
        let most = 30 + 10 * self.asked.len();
        for _ in 0..most {
            if self.is_over() {
                return self;
            }
            match self.again {
                true => self.step(Step::Send(0)),
                false if self.conversation.deadline().is_some() => self.step(Step::Late),
                // A stream may be silent for as long as it likes: until the server is stopped.
                false => self.step(Step::Stop),
            }
        }
        panic!("nobody is there, and it isn't over");
    }

    /// By chance, and then all that is left.
    pub fn by_chance(mut self, seed: u64, most: usize, hands_over: bool) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let (most_come, most_sent) = ([1, 10, 100, 5000], [1, 50, 3000, 100_000]);
        let (come, sent) = (random.choice(most_come).unwrap(), random.choice(most_sent).unwrap());
        for _ in 0..most {
            if self.is_over() {
                return self;
            }
            self.step(match random.u8(..if hands_over { 4 } else { 3 }) {
                0 => Step::Come(random.usize(1..=come)),
                1 => Step::Send(random.u64(0..=sent)),
                2 => Step::Answer,
                _ => Step::HandOver,
            });
        }
        self.finish()
    }
}

/// Files can't be compared, but for their parts.
fn are_equal(one: &Parts, other: &Parts) -> bool {
    let [one, other] = [one, other].map(|parts| {
        let file = parts.file.as_ref().map(|part| (part.at, part.left));
        let Parts { input, input_ended, output, request, answered, .. } = parts;
        let Parts { place, wait, time_left, .. } = parts;
        (file, input, input_ended, output, request, answered, place, wait, time_left)
    });
    one == other
}
