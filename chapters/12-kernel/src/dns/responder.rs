//! The server without its sockets: messages in, messages out, some of them later.

use std::time::Duration;

use ch07_callbacks::Token;
use hickory_proto::op::ResponseCode;

use super::answer::Answer;
use super::cache::Cache;
use super::forwarder::{Asker, Ended, Forwarder, Joined, Step, Times, Whom};
use super::packets::Packets;
use super::question::{self, Heard, Question, Request, Transport};
use super::zone::{Found, Zone};

/// A DNS server's state, and all that it decides.
#[derive(Debug)]
pub struct Responder {
    zone: Option<Zone>,
    /// Whether there is somebody whom we can ask what we don't know.
    has_upstream: bool,
    /// What answers say of who has given them.
    server: Option<String>,
    cache: Cache,
    packets: Packets,
    forwarder: Forwarder,
}

/// What a message gets.
#[derive(Debug, PartialEq)]
pub enum Said<'a> {
    /// This, now.
    Answer(&'a [u8]),
    /// Nothing, ever.
    Nothing,
    /// Its answer, later.
    Later,
    /// The same; and the question that this token names is to be asked now.
    Ask(Token),
}

/// An answer for somebody who has waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub whom: Whom,
    pub bytes: Vec<u8>,
}

/// What can be said to a question.
enum Resolved {
    /// This; until then in the same words.
    Known(Answer, Duration),
    /// Nothing before that has been asked.
    Unknown(Question),
}

impl Responder {
    /// A server that has answered nobody yet. `times` are for the upstream.
    pub fn new(zone: Option<Zone>, has_upstream: bool, times: Times) -> Self {
        Self {
            zone,
            has_upstream,
            server: None,
            cache: Cache::default(),
            packets: Packets::default(),
            forwarder: Forwarder::new(times),
        }
    }

    /// The same server, which says which generation it is.
    #[must_use]
    pub fn of_generation(self, generation: Option<u64>) -> Self {
        Self { server: generation.map(|number| format!("generation {number}")), ..self }
    }

    /// Another zone takes the place of the one before.
    pub fn set_zone(&mut self, zone: Option<Zone>) {
        self.zone = zone;
        self.packets.clear();
    }

    /// What upstreams have answered.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The questions under way.
    pub fn forwarder(&mut self) -> &mut Forwarder {
        &mut self.forwarder
    }

    /// Whether somebody waits for an answer.
    pub fn is_busy(&self) -> bool {
        !self.forwarder.is_empty()
    }

    // ANCHOR: hear
    /// A message has come from `whom`. What it gets.
    pub fn hear(
        &mut self,
        message: &[u8],
        transport: Transport,
        whom: Whom,
        now: Duration,
    ) -> Said<'_> {
        // Most have been asked before, in the same words.
        if transport == Transport::Udp && self.packets.look(message, now) {
            return Said::Answer(self.packets.answer());
        }
        let request = match question::read(message, transport) {
            Heard::Question(request) => request,
            Heard::Refused(refusal) => {
                return Said::Answer(
                    self.packets.put(refusal.write(self.has_upstream, self.server.as_deref())),
                );
            }
            Heard::Noise => return Said::Nothing,
        };
        let (answer, until) = match self.resolve(&request, now, None) {
            Resolved::Known(answer, until) => (answer, until),
            Resolved::Unknown(question) => {
                let asker = Asker { whom, request: request.clone() };
                match self.forwarder.join(question, asker, now) {
                    Joined::First(token) => return Said::Ask(token),
                    Joined::Waits => return Said::Later,
                    Joined::Full => (Answer::of_code(ResponseCode::ServFail), now),
                }
            }
        };
        let bytes = answer.write(&request, self.has_upstream, self.server.as_deref());
        if request.is_plain && transport == Transport::Udp {
            self.packets.remember(message, &bytes, now, until);
        }
        Said::Answer(self.packets.put(bytes))
    }
    // ANCHOR_END: hear

    // ANCHOR: over
    /// A question isn't under way any more. Whoever has waited for it asks
    /// again, so to speak, and this time it's known.
    pub fn over(&mut self, ended: &Ended, now: Duration) -> Vec<Delivery> {
        let Ended { question, believed, askers, .. } = ended;
        self.cache.insert(&question.key(), believed, now);
        let answer = |asker: &Asker| {
            let answer = match self.resolve(&asker.request, now, Some(ended)) {
                Resolved::Known(answer, _) => answer,
                Resolved::Unknown(_) => Answer::of_code(ResponseCode::ServFail),
            };
            let bytes = answer.write(&asker.request, true, self.server.as_deref());
            Delivery { whom: asker.whom, bytes }
        };
        askers.iter().map(answer).collect()
    }
    // ANCHOR_END: over

    // ANCHOR: resolve
    /// What is known: of our own zone all, of others what the cache has, or
    /// what has just come.
    fn resolve(&mut self, request: &Request, now: Duration, fresh: Option<&Ended>) -> Resolved {
        let question = &request.question;
        let zone = self.zone.as_ref().filter(|zone| zone.covers(&question.name));
        // Who has waited till now may have been promised it by another process, which could.
        let may_ask = (self.has_upstream || fresh.is_some()) && request.recursion_desired;
        let found = match zone {
            Some(zone) => zone.find(&question.name, question.kind),
            // A server that answers for nobody in particular isn't asked by those who mean it.
            None if !may_ask => return known(Answer::of_code(ResponseCode::Refused)),
            None => return self.elsewhere(None, question.clone(), now, fresh),
        };
        match found {
            Found::Elsewhere(so_far, name) if may_ask => {
                self.elsewhere(Some(so_far), question.about(name), now, fresh)
            }
            Found::Delegated(_) if may_ask => self.elsewhere(None, question.clone(), now, fresh),
            Found::Answer(answer) | Found::Elsewhere(answer, _) | Found::Delegated(answer) => {
                known(answer)
            }
        }
    }
    // ANCHOR_END: resolve

    fn elsewhere(
        &mut self,
        so_far: Option<Answer>,
        question: Question,
        now: Duration,
        fresh: Option<&Ended>,
    ) -> Resolved {
        // What mayn't be kept is still an answer for those who have waited for it.
        let (mut answer, until) = match fresh.filter(|ended| ended.question == question) {
            Some(ended) => (ended.believed.answer.clone(), now),
            None => match self.cache.get(&question.key(), now) {
                Some(cached) => (cached.answer, cached.until),
                None => return Resolved::Unknown(question),
            },
        };
        if let Some(so_far) = so_far {
            answer.answers.splice(0..0, so_far.answers);
            // The first name is ours (RFC 1035, section 4.1.1, AA).
            answer.authoritative = true;
        }
        Resolved::Known(answer, until)
    }

    /// A message has come on the socket that asks this question.
    pub fn heard(&mut self, token: Token, message: &[u8], by: Transport, now: Duration) -> Step {
        self.forwarder.heard(token, message, by, now)
    }
}

/// What our own zone says holds until there is another one.
fn known(answer: Answer) -> Resolved {
    Resolved::Known(answer, Duration::MAX)
}
