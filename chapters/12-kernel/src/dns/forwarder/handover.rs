//! Questions under way in plain data: to be handed to another process, which goes on with them.
//!
//! What was asked, and by whom, is a message here, as it is on its way. So whoever takes it over
//! reads it with the eyes that read what strangers send, and trusts it as little.

use std::net::SocketAddr;
use std::time::Duration;

use ch07_callbacks::Token;
use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};

use super::super::answer::{our_edns, whole};
use super::super::question::{self, Heard, Question, Request, Transport};
use super::{Asker, Forwarder, UnderWay, Whom};

/// A question under way, besides the socket by which it's asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// What the upstream was asked, with its number; as it's said with EDNS, since without it a
    /// message can't say all that a question is.
    pub message: Vec<u8>,
    /// Whether it's asked with EDNS.
    pub edns: bool,
    pub by: Transport,
    /// It has been refused before.
    pub refused: bool,
    /// How long the next try is given.
    pub patience: Duration,
    /// Until something is to be done about it.
    pub due: Duration,
    /// Until we give up.
    pub time_left: Duration,
    pub waiting: Vec<Waiting>,
}

/// Somebody who waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub place: Place,
    /// What they have asked, with their number, in their spelling, and how long an answer they take.
    pub message: Vec<u8>,
    /// They have said nothing else: see [`Request::is_plain`].
    pub is_plain: bool,
}

/// Where an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// To where the datagram came from.
    Address(SocketAddr),
    /// To a connection: one of those that are handed over, by its number.
    Connection(usize),
}

impl Forwarder {
    /// All questions under way, as they are now; nothing changes. `number_of` numbers the
    /// connections. Who waits on another one is gone.
    pub fn parts(
        &self,
        now: Duration,
        number_of: impl Fn(Token) -> Option<usize>,
    ) -> Vec<(Token, Parts)> {
        let parts = |under_way: &UnderWay| under_way.parts(now, &number_of);
        self.under_way.iter().map(|(token, under_way)| (token, parts(under_way))).collect()
    }

    /// The message that asks a question.
    pub fn message(&self, token: Token) -> Option<Vec<u8>> {
        self.under_way.get(token).map(UnderWay::message)
    }

    /// Goes on with a question that was another process's. `token_of` are the connections by their
    /// numbers. Nobody may wait for longer than our own [times](super::Times) allow. `None`: it's no
    /// question, there is no such connection, or the question is under way already.
    pub fn adopt(
        &mut self,
        parts: &Parts,
        now: Duration,
        token_of: impl Fn(usize) -> Option<Token>,
    ) -> Option<Token> {
        let Request { id, question, .. } = read(&parts.message, Transport::Tcp)?;
        let key = question.key();
        if self.by_question.contains_key(&key) {
            return None;
        }
        let asker = |waiting: &Waiting| waiting.asker(&token_of);
        let askers = parts.waiting.iter().map(asker).collect::<Option<Vec<_>>>()?;
        let deadline = now.saturating_add(parts.time_left.min(self.times.deadline));
        self.waiting += askers.len();
        let token = self.under_way.insert(UnderWay {
            question,
            askers,
            id,
            by: parts.by,
            edns: parts.edns,
            refused: parts.refused,
            patience: parts.patience,
            due: now.saturating_add(parts.due).min(deadline),
            deadline,
        });
        self.by_question.insert(key, token);
        Some(token)
    }
}

impl UnderWay {
    fn parts(&self, now: Duration, number_of: &impl Fn(Token) -> Option<usize>) -> Parts {
        let asked = Request {
            id: self.id,
            question: self.question.clone(),
            recursion_desired: true,
            edns: true,
            asks_who: false,
            transport: Transport::Tcp,
            limit: u16::MAX,
            is_plain: true,
        };
        Parts {
            message: write(&asked),
            edns: self.edns,
            by: self.by,
            refused: self.refused,
            patience: self.patience,
            due: self.due.saturating_sub(now),
            time_left: self.deadline.saturating_sub(now),
            waiting: self.askers.iter().filter_map(|asker| asker.waiting(number_of)).collect(),
        }
    }
}

impl Asker {
    fn waiting(&self, number_of: &impl Fn(Token) -> Option<usize>) -> Option<Waiting> {
        let place = match self.whom {
            Whom::Address(address) => Place::Address(address),
            Whom::Connection(token) => Place::Connection(number_of(token)?),
        };
        let is_plain = self.request.is_plain;
        Some(Waiting { place, message: write(&self.request), is_plain })
    }
}

impl Waiting {
    fn asker(&self, token_of: &impl Fn(usize) -> Option<Token>) -> Option<Asker> {
        let (whom, transport) = match self.place {
            Place::Address(address) => (Whom::Address(address), Transport::Udp),
            Place::Connection(number) => (Whom::Connection(token_of(number)?), Transport::Tcp),
        };
        let request = read(&self.message, transport)?;
        // A datagram that comes again after this is known by all that is remembered of it.
        Some(Asker { whom, request: Request { is_plain: self.is_plain, ..request } })
    }
}

/// The message that is read as this request.
fn write(request: &Request) -> Vec<u8> {
    let Question { name, kind, dnssec_ok, checking_disabled } = &request.question;
    let mut message = Message::new(request.id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = request.recursion_desired;
    message.metadata.checking_disabled = *checking_disabled;
    message.add_query(Query::query(name.clone(), *kind));
    if request.edns {
        let mut edns = our_edns(*dnssec_ok);
        edns.set_max_payload(request.limit);
        if request.asks_who {
            edns.options_mut().insert(EdnsOption::Unknown(EdnsCode::NSID.into(), Vec::new()));
        }
        message.edns = Some(edns);
    }
    // One name always fits.
    whole(&message).unwrap_or_default()
}

fn read(message: &[u8], transport: Transport) -> Option<Request> {
    match question::read(message, transport) {
        Heard::Question(request) => Some(request),
        Heard::Refused(_) | Heard::Noise => None,
    }
}
