//! Questions under way: asked of the upstream, and not answered yet.
//!
//! No socket, no clock and no chance in here: what has come and what time it is are told, and
//! what to do about it is given back.
//!
//! [`handover`] are questions that go on in another process.

pub mod handover;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use ch07_callbacks::Token;
use ch07_callbacks::slots::Slots;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::DNSClass;

use super::answer::{our_edns, whole};
use super::believed::Believed;
use super::question::{HEADER, Question, Request, Transport};

/// How many questions are under way at the most. Each has a socket, and so a port that whoever
/// wants to lie has to guess. With an upstream that is silent all of them wait.
pub const MOST_UNDER_WAY: usize = 256;
/// With all places taken, a new question takes the place of one that has been under way for longer
/// than this: most upstreams answer sooner. Or whoever asks for many names that nobody answers for
/// would keep all others from theirs.
pub const ENOUGH: Duration = Duration::from_millis(200);
/// How many wait for the answer to one question at the most.
pub const MOST_ASKERS: usize = 1024;
/// How many wait at the most, for whatever question.
pub const MOST_WAITING: usize = 4096;

/// How long an upstream may take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Until it's asked again: datagrams get lost. Each time twice as long.
    pub retry: Duration,
    /// After a refusal: until it's asked again. It may be starting.
    pub pause: Duration,
    /// Until we give up.
    pub deadline: Duration,
}

impl Times {
    /// Over before a resolver that asks us begins to ask again, which after five seconds most do
    /// (resolv.conf(5)).
    pub const USUAL: Self = Self {
        retry: Duration::from_millis(600),
        pause: Duration::from_millis(100),
        deadline: Duration::from_secs(4),
    };
}

/// Where an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whom {
    /// To where the datagram came from.
    Address(SocketAddr),
    /// To a connection.
    Connection(Token),
}

/// Somebody who waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    pub whom: Whom,
    pub request: Request,
}

// ANCHOR: under_way
/// A question that the upstream has been asked.
#[derive(Debug)]
struct UnderWay {
    question: Question,
    askers: Vec<Asker>,
    /// The number that its answer must have. Whoever doesn't see our
    /// question has to guess it.
    id: u16,
    /// How it's asked: by TCP, once an answer was too long for a
    /// datagram.
    by: Transport,
    /// Not every upstream knows EDNS (RFC 6891, section 7).
    edns: bool,
    /// It has been refused before.
    refused: bool,
    /// How long the next try is given.
    patience: Duration,
    /// When something is to be done about it.
    due: Duration,
    /// When we give up.
    deadline: Duration,
}
// ANCHOR_END: under_way

/// All questions under way.
#[derive(Debug)]
pub struct Forwarder {
    times: Times,
    /// How many may be under way.
    most: usize,
    under_way: Slots<UnderWay>,
    by_question: HashMap<Vec<u8>, Token>,
    waiting: usize,
}

/// What became of somebody's question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// It's to be asked now. The token names it. There may be one too many
    /// under way: see [`Forwarder::jostle`].
    First(Token),
    /// It has been asked already.
    Waits,
    /// There are too many.
    Full,
}

/// What is to be done about a question under way.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Nothing: the waiting goes on as before.
    Wait,
    /// That was no answer to it. It goes on all the same.
    Ignore,
    /// Nothing until it's [due](Forwarder::due) again.
    Pause,
    /// Ask again, with these bytes.
    Ask(Transport, Vec<u8>),
    /// It's over; these have waited for it.
    Over(Ended),
}

/// A question that isn't under way any more.
#[derive(Debug, PartialEq)]
pub struct Ended {
    pub question: Question,
    pub believed: Believed,
    pub askers: Vec<Asker>,
    /// There was no answer at all.
    pub silent: bool,
}

impl Forwarder {
    /// No question is under way yet.
    pub fn new(times: Times) -> Self {
        let (under_way, by_question) = (Slots::default(), HashMap::new());
        Self { times, most: MOST_UNDER_WAY, under_way, by_question, waiting: 0 }
    }

    /// From now on no more than so many are under way, and never more than [`MOST_UNDER_WAY`].
    pub fn allow(&mut self, most: usize) {
        self.most = most.min(MOST_UNDER_WAY);
    }

    /// How many questions are under way.
    pub fn len(&self) -> usize {
        self.by_question.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_question.is_empty()
    }

    /// How many wait for an answer.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    // ANCHOR: join
    /// Somebody waits for the answer to a question. The first one who asks
    /// has it asked; the others wait with him.
    pub fn join(&mut self, question: Question, asker: Asker, now: Duration) -> Joined {
        if self.waiting >= MOST_WAITING {
            return Joined::Full;
        }
        let key = question.key();
        if let Some(token) = self.by_question.get(&key) {
            let Some(under_way) = self.under_way.get_mut(*token) else { return Joined::Full };
            // A datagram that comes again, because we take so long, is the same one who waits. On a
            // connection nothing comes twice: each question there has its answer.
            let is_datagram = matches!(asker.whom, Whom::Address(_));
            if is_datagram && under_way.askers.contains(&asker) {
                return Joined::Waits;
            }
            if under_way.askers.len() >= MOST_ASKERS {
                return Joined::Full;
            }
            under_way.askers.push(asker);
            self.waiting += 1;
            return Joined::Waits;
        }
        if self.len() >= self.most && self.jostled(now).is_none() {
            return Joined::Full;
        }
        let token = self.under_way.insert(UnderWay {
            question,
            askers: vec![asker],
            id: 0,
            by: Transport::Udp,
            edns: true,
            refused: false,
            patience: self.times.retry,
            due: now,
            deadline: now.saturating_add(self.times.deadline),
        });
        self.by_question.insert(key, token);
        self.waiting += 1;
        Joined::First(token)
    }
    // ANCHOR_END: join

    /// With one too many under way, the oldest is over. To be called before a question that has just
    /// joined is asked.
    pub fn jostle(&mut self, now: Duration) -> Option<(Token, Step)> {
        if self.len() <= self.most {
            return None;
        }
        let oldest = self.jostled(now)?;
        // Not to be remembered: its answer may have been on the way.
        let believed = Believed { ttl: 0, ..Believed::failure() };
        Some((oldest, self.over(oldest, believed, false)))
    }

    /// Whose place a new question takes.
    fn jostled(&self, now: Duration) -> Option<Token> {
        // All have equally long: the oldest is the one that is given up first.
        let (token, oldest) = self.under_way.iter().min_by_key(|(_, one)| one.deadline)?;
        let left = oldest.deadline.saturating_sub(now);
        (self.times.deadline.saturating_sub(left) > ENOUGH).then_some(token)
    }

    /// The bytes that ask it for the first time, with a number that nobody can guess.
    pub fn ask(&mut self, token: Token, id: u16, now: Duration) -> Option<Vec<u8>> {
        let under_way = self.under_way.get_mut(token)?;
        under_way.id = id;
        under_way.wait_for_answer(now);
        Some(under_way.message())
    }

    /// When something is to be done about it, if nothing is heard till then.
    pub fn due(&self, token: Token) -> Option<Duration> {
        self.under_way.get(token).map(|under_way| under_way.due)
    }

    // ANCHOR: heard
    /// A message has come on the socket that asks this question.
    pub fn heard(
        &mut self,
        token: Token,
        message: &[u8],
        came_by: Transport,
        now: Duration,
    ) -> Step {
        let Some(under_way) = self.under_way.get_mut(token) else { return Step::Wait };
        // Of an earlier try, by the other way.
        if came_by != under_way.by {
            return Step::Wait;
        }
        let Some(answer) = under_way.answer(message) else { return Step::Ignore };
        if answer.metadata.truncation && came_by == Transport::Udp {
            under_way.by = Transport::Tcp;
            return under_way.again(now);
        }
        let knows_no_edns = answer.edns.is_none()
            && matches!(
                answer.metadata.response_code,
                ResponseCode::FormErr | ResponseCode::NotImp
            );
        if under_way.edns && knows_no_edns {
            under_way.edns = false;
            return under_way.again(now);
        }
        let believed = Believed::from_upstream(answer, &under_way.question);
        self.over(token, believed, false)
    }
    // ANCHOR_END: heard

    /// Nobody is there: the port is closed, or the connection was.
    pub fn refused(&mut self, token: Token, now: Duration) -> Step {
        let Some(under_way) = self.under_way.get_mut(token) else { return Step::Wait };
        if under_way.refused {
            return self.over(token, Believed::failure(), true);
        }
        under_way.refused = true;
        under_way.due = now.saturating_add(self.times.pause).min(under_way.deadline);
        Step::Pause
    }

    /// It's due: nothing has been heard.
    pub fn late(&mut self, token: Token, now: Duration) -> Step {
        let Some(under_way) = self.under_way.get_mut(token) else { return Step::Wait };
        if now < under_way.due {
            return Step::Pause;
        }
        if now >= under_way.deadline {
            return self.over(token, Believed::failure(), true);
        }
        under_way.again(now)
    }

    fn over(&mut self, token: Token, believed: Believed, silent: bool) -> Step {
        let Some(UnderWay { question, askers, .. }) = self.under_way.remove(token) else {
            return Step::Wait;
        };
        self.by_question.remove(&question.key());
        self.waiting -= askers.len();
        Step::Over(Ended { question, believed, askers, silent })
    }
}

impl UnderWay {
    /// What is asked of the upstream. It's the same each time: an answer to the first try is as
    /// good as one to the second.
    fn message(&self) -> Vec<u8> {
        let Question { name, kind, dnssec_ok, checking_disabled } = &self.question;
        let mut message = Message::new(self.id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.metadata.checking_disabled = *checking_disabled;
        message.add_query(Query::query(name.clone(), *kind));
        message.edns = self.edns.then(|| our_edns(*dnssec_ok));
        // One name always fits. If it didn't, nobody would answer, and that is seen to.
        whole(&message).unwrap_or_default()
    }

    fn again(&mut self, now: Duration) -> Step {
        self.wait_for_answer(now);
        Step::Ask(self.by, self.message())
    }

    fn wait_for_answer(&mut self, now: Duration) {
        // What is lost on a connection is sent again by the kernel.
        let due = match self.by {
            Transport::Udp => now.saturating_add(self.patience),
            Transport::Tcp => self.deadline,
        };
        self.patience = self.patience.saturating_mul(2);
        self.due = due.min(self.deadline);
    }

    // ANCHOR: answer
    /// The message, if it's an answer to this question: with its number,
    /// and with the very question in it. Anybody can send us anything.
    fn answer(&self, message: &[u8]) -> Option<Message> {
        let [high, low, flags, _, questions_high, questions_low, ..] =
            message.first_chunk::<HEADER>()?;
        let is_answer = flags & 0x80 != 0;
        let questions = u16::from_be_bytes([*questions_high, *questions_low]);
        if !is_answer || u16::from_be_bytes([*high, *low]) != self.id || questions != 1 {
            return None;
        }
        let answer = Message::from_vec(message).ok()?;
        let [query] = answer.queries.as_slice() else { return None };
        let is_it = *query.name() == self.question.name
            && query.query_type() == self.question.kind
            && query.query_class() == DNSClass::IN;
        is_it.then_some(answer)
    }
    // ANCHOR_END: answer
}
