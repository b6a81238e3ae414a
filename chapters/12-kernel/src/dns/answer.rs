//! An answer, and how it's written for the one who asked.

use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::Record;
use hickory_proto::rr::rdata::opt::{EdnsOption, NSIDPayload};

use super::question::{LARGEST_DATAGRAM, Refusal, Request, Transport};

/// What there is to say to a question, whoever asked it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub code: ResponseCode,
    /// It comes from the zone that we serve (RFC 1035, section 4.1.1, AA).
    pub authoritative: bool,
    pub answers: Vec<Record>,
    pub authorities: Vec<Record>,
    /// What the asker might ask next. Left out where there is no room.
    pub additionals: Vec<Record>,
}

impl Answer {
    /// Without records.
    pub fn of_code(code: ResponseCode) -> Self {
        Self {
            code,
            authoritative: false,
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
        }
    }

    // ANCHOR: write
    /// The message for one asker: with its number, its spelling of the
    /// name, and no longer than it can take. `server`: what to say if it
    /// asks who answers.
    pub fn write(
        &self,
        request: &Request,
        recursion_available: bool,
        server: Option<&str>,
    ) -> Vec<u8> {
        let limit = usize::from(request.limit);
        let fits = |bytes: &Vec<u8>| bytes.len() <= limit;
        let mut message = self.message(request, recursion_available);
        message.edns = message.edns.map(|edns| signed(edns, request.asks_who, server));
        if let Some(bytes) = whole(&message).filter(fits) {
            return bytes;
        }
        // What is extra goes first, and nobody misses it (RFC 2181, section 9).
        message.additionals.clear();
        if let Some(bytes) = whole(&message).filter(fits) {
            return bytes;
        }
        // Half an answer would be taken for one: it asks again, by TCP.
        message.answers.clear();
        message.authorities.clear();
        match request.transport {
            Transport::Udp => message.metadata.truncation = true,
            // There is no way for more than 65,535 bytes.
            Transport::Tcp => message.metadata.response_code = ResponseCode::ServFail,
        }
        whole(&message).unwrap_or_default()
    }
    // ANCHOR_END: write

    fn message(&self, request: &Request, recursion_available: bool) -> Message {
        let question = &request.question;
        let mut message = Message::response(request.id, OpCode::Query);
        message.metadata.authoritative = self.authoritative;
        message.metadata.recursion_desired = request.recursion_desired;
        message.metadata.recursion_available = recursion_available;
        message.metadata.checking_disabled = question.checking_disabled;
        message.metadata.response_code = self.code;
        message.add_query(Query::query(question.name.clone(), question.kind));
        message.answers.clone_from(&self.answers);
        message.authorities.clone_from(&self.authorities);
        message.additionals.clone_from(&self.additionals);
        // Who has put capitals into the question looks for them in the answer
        // (draft-vixie-dnsext-dns0x20).
        for record in message.answers.iter_mut().filter(|record| record.name == question.name) {
            record.name.clone_from(&question.name);
        }
        message.edns = request.edns.then(|| our_edns(question.dnssec_ok));
        message
    }
}

impl Refusal {
    /// The message that says no.
    pub fn write(&self, recursion_available: bool, server: Option<&str>) -> Vec<u8> {
        let mut message = Message::response(self.id, OpCode::from_u8(self.op_code));
        message.metadata.recursion_desired = self.recursion_desired;
        message.metadata.recursion_available = recursion_available;
        message.metadata.response_code = self.code;
        message.queries.extend(self.query.clone());
        message.edns = self.edns.then(|| signed(our_edns(false), self.asks_who, server));
        whole(&message).unwrap_or_default()
    }
}

/// What we say of ourselves (RFC 6891, section 6.2.3): how long a datagram we take. Whether
/// signatures were wanted is repeated (RFC 3225, section 3).
pub fn our_edns(dnssec_ok: bool) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(LARGEST_DATAGRAM);
    edns.flags_mut().dnssec_ok = dnssec_ok;
    edns
}

/// The same; and who says it, if that is known, and asked for.
fn signed(mut edns: Edns, asks_who: bool, server: Option<&str>) -> Edns {
    let server = server.filter(|_| asks_who).and_then(|server| NSIDPayload::new(server).ok());
    if let Some(server) = server {
        edns.options_mut().insert(EdnsOption::NSID(server));
    }
    edns
}

/// The message's bytes; `None` when they aren't all that it has to say: with more than 65,535,
/// the encoder leaves some records out, says so in the header, and calls it a success.
pub fn whole(message: &Message) -> Option<Vec<u8>> {
    let bytes = message.to_vec().ok()?;
    let is_cut = bytes.get(2).is_some_and(|flags| flags & 2 != 0) && !message.metadata.truncation;
    (!is_cut).then_some(bytes)
}
