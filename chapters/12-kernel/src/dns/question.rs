//! What somebody asks, read from a message; and what is no question, with what it gets.

use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsCode;
use hickory_proto::rr::{DNSClass, Name, RecordType};

/// The fixed part of a message, in bytes (RFC 1035, section 4.1.1).
pub const HEADER: usize = 12;
/// What everybody can take in a datagram, in bytes (RFC 1035, section 2.3.4).
pub const SMALLEST_LIMIT: u16 = 512;
/// The longest datagram that we send, in bytes, whatever the other side can take: it fits into
/// one piece everywhere (RFC 9715, appendix A). Longer answers go by TCP.
pub const LARGEST_DATAGRAM: u16 = 1232;
/// The version of EDNS that there is (RFC 6891, section 6.1.3).
const EDNS_VERSION: u8 = 0;

/// How a question came, and so how its answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    Udp,
    Tcp,
}

/// What is asked for. Two who ask the same get the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    pub name: Name,
    pub kind: RecordType,
    /// The asker wants signatures too (RFC 3225), and so gets another answer.
    pub dnssec_ok: bool,
    /// The asker checks signatures itself (RFC 4035, section 3.2.2).
    pub checking_disabled: bool,
}

impl Question {
    /// The question as a key: small letters, since names that differ in nothing else are the
    /// same (RFC 4343).
    pub fn key(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.name.len() + 4);
        for label in self.name.iter() {
            // At most 63 (RFC 1035, section 2.3.4).
            key.push(label.len() as u8);
            key.extend(label.iter().map(u8::to_ascii_lowercase));
        }
        key.extend(u16::from(self.kind).to_be_bytes());
        key.push(u8::from(self.dnssec_ok) | u8::from(self.checking_disabled) << 1);
        key
    }

    /// The same about another name.
    pub fn about(&self, name: Name) -> Self {
        Self { name, ..self.clone() }
    }
}

/// A question, and how its asker wants the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub id: u16,
    pub question: Question,
    /// Whether we may ask others (RFC 1035, section 4.1.1, RD).
    pub recursion_desired: bool,
    /// Whether it speaks EDNS (RFC 6891): then so does the answer.
    pub edns: bool,
    /// Whether it asks which server answers (RFC 5001, NSID).
    pub asks_who: bool,
    pub transport: Transport,
    /// The longest answer it can take, in bytes.
    pub limit: u16,
    /// Whether the message says nothing but the question: others may ask with the same bytes.
    pub is_plain: bool,
}

/// What a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Question(Request),
    /// It gets a no at once.
    Refused(Refusal),
    /// It gets nothing: whoever answers answers begins a conversation without an end.
    Noise,
}

/// A no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub id: u16,
    pub op_code: u8,
    pub recursion_desired: bool,
    pub code: ResponseCode,
    /// What was asked, where that could be read, and whether EDNS was spoken.
    pub query: Option<Query>,
    pub edns: bool,
    pub asks_who: bool,
}

/// Reads a message. What RFC 8906 asks of servers when they are asked strange things is decided
/// here.
pub fn read(message: &[u8], transport: Transport) -> Heard {
    let Some(header) = message.first_chunk::<HEADER>() else { return Heard::Noise };
    let [id_high, id_low, flags, _, questions_high, questions_low, ..] = *header;
    let is_answer = flags & 0x80 != 0;
    if is_answer {
        return Heard::Noise;
    }
    let refusal = |code| Refusal {
        id: u16::from_be_bytes([id_high, id_low]),
        op_code: flags >> 3 & 0xf,
        recursion_desired: flags & 1 != 0,
        code,
        query: None,
        edns: false,
        asks_who: false,
    };
    if OpCode::from_u8(flags >> 3 & 0xf) != OpCode::Query {
        return Heard::Refused(refusal(ResponseCode::NotImp));
    }
    // Before it's read: room is made for as many as it claims to have.
    if u16::from_be_bytes([questions_high, questions_low]) != 1 {
        return Heard::Refused(refusal(ResponseCode::FormErr));
    }
    let Ok(mut read) = Message::from_vec(message) else {
        return Heard::Refused(refusal(ResponseCode::FormErr));
    };
    let Some(query) = read.queries.pop() else { return Heard::Noise };
    match objection(&query, read.edns.as_ref()) {
        Some(code) => {
            let (edns, asks_who) = (read.edns.is_some(), asks_who(read.edns.as_ref()));
            Heard::Refused(Refusal { query: Some(query), edns, asks_who, ..refusal(code) })
        }
        None => Heard::Question(request(&read, query, transport)),
    }
}

/// Why nobody gets an answer to it.
fn objection(query: &Query, edns: Option<&Edns>) -> Option<ResponseCode> {
    if edns.is_some_and(|edns| edns.version() != EDNS_VERSION) {
        return Some(ResponseCode::BADVERS);
    }
    if query.query_class() != DNSClass::IN {
        return Some(ResponseCode::Refused);
    }
    match u16::from(query.query_type()) {
        // Whole zones: to nobody (RFC 5936, RFC 1995).
        251 | 252 => Some(ResponseCode::Refused),
        // ANY.
        255 => None,
        // OPT belongs to the message; type 0 names nothing.
        0 | 41 => Some(ResponseCode::FormErr),
        // Things to do with a message or a zone, and no data (RFC 6895, section 3.1).
        128..=254 => Some(ResponseCode::NotImp),
        _ => None,
    }
}

fn asks_who(edns: Option<&Edns>) -> bool {
    edns.is_some_and(|edns| edns.option(EdnsCode::NSID).is_some())
}

fn request(message: &Message, query: Query, transport: Transport) -> Request {
    let edns = message.edns.as_ref();
    let offered = edns.map_or(SMALLEST_LIMIT, Edns::max_payload);
    let nothing_else = message.answers.is_empty()
        && message.authorities.is_empty()
        && message.additionals.is_empty()
        && message.signature.is_none();
    Request {
        id: message.metadata.id,
        recursion_desired: message.metadata.recursion_desired,
        edns: edns.is_some(),
        asks_who: asks_who(edns),
        transport,
        limit: match transport {
            Transport::Udp => offered.clamp(SMALLEST_LIMIT, LARGEST_DATAGRAM),
            Transport::Tcp => u16::MAX,
        },
        // Others are ignored (RFC 6891, section 6.1.2); a cookie is another one each time.
        is_plain: nothing_else && edns.is_none_or(|edns| edns.options().as_ref().is_empty()),
        question: Question {
            kind: query.query_type(),
            dnssec_ok: edns.is_some_and(|edns| edns.flags().dnssec_ok),
            checking_disabled: message.metadata.checking_disabled,
            name: query.name().clone(),
        },
    }
}
