//! What was sent, compared with what was asked for.

use std::borrow::Cow;

use ch10_http::{CONTINUE, Size, Status, Version};

use crate::property::asked::{Asked, What};
use crate::property::handlers::{Answer, Wanted, content};
use crate::property::session::{Begun, Session, To};
use crate::property::told::{self, Told};

/// What an answer must be.
struct Due {
    status: u16,
    is_head: bool,
    content_type: Option<String>,
    /// None: less than what was promised.
    body: Option<Vec<u8>>,
    closes: bool,
}

impl Due {
    fn new(begun: Begun, asked: Option<&Asked>) -> Self {
        let answer = answer(begun, asked);
        let is_head = match (begun.to, asked) {
            (To::Unfinished { is_head }, _) => is_head,
            (_, asked) => asked.is_some_and(|asked| asked.is_head),
        };
        let status = answer.status.code();
        let has_body = !is_head && !matches!(status, 204 | 205 | 304);
        // Only the connection's end can say where a stream ends, to those who don't know chunks.
        let is_old = asked.is_some_and(|asked| asked.version == Version::Http10);
        let ends_with_it = has_body && is_old && answer.body.size() == Size::Unknown;
        Self {
            status,
            is_head,
            body: if has_body { content(&answer) } else { Some(Vec::new()) },
            content_type: answer.content_type.map(Cow::into_owned),
            closes: begun.closes || asked.is_some_and(|asked| !asked.stays) || ends_with_it,
        }
    }
}

/// What must be said.
fn answer(begun: Begun, asked: Option<&Asked>) -> Answer {
    let what = asked.map(|asked| &asked.what);
    match (begun.to, what) {
        (To::Unfinished { .. }, _) => {
            Answer::error(Status::REQUEST_TIMEOUT, "The request didn't become whole in time.")
        }
        (To::AskedLate, _) => {
            Answer::error(Status::GATEWAY_TIMEOUT, "The answer wasn't there in time.")
        }
        (To::Asked, None) => panic!("nobody has asked"),
        (To::Asked, Some(What::Refused(code, why))) => {
            Answer::error(Status::of(*code).unwrap(), why)
        }
        (To::Asked, Some(What::Request { path, body })) => {
            let answer = Wanted::of(path).answer(body);
            if answer.status.code() >= 200 {
                return answer;
            }
            // Nobody may say that (RFC 9110, section 15.2).
            Answer::error(Status::INTERNAL_SERVER_ERROR, "Something went wrong here.")
        }
    }
}

impl Session {
    /// Reads what was sent, answer by answer. Gives it without the words in between, which come or
    /// not.
    ///
    /// # Panics
    /// When it isn't what it should be.
    pub fn judge(&self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut rest = &self.sent[..];
        let mut asked = self.asked.iter();
        for (place, begun) in self.begun.iter().enumerate() {
            let asked = if begun.is_to_a_request() { asked.next() } else { None };
            rest = self.without_a_word(rest, asked.or(self.asked.get(place)));
            let due = Due::new(*begun, asked);
            let Some(told) = told::read(rest, due.is_head) else {
                assert!(self.is_cut, "not whole: {}", rest.escape_ascii());
                all.extend_from_slice(rest);
                return all;
            };
            let Told { status, closes, content_type, body, raw, behind } = told;
            let is_last = place + 1 == self.begun.len() && behind.is_empty();
            assert_eq!((status, content_type), (due.status, due.content_type), "answer {place}");
            let due_body = due.body.expect("it can't be whole");
            // The connection's end looks like the end of a stream.
            let is_well = due_body == body || self.is_cut && is_last && due_body.starts_with(&body);
            assert!(is_well, "answer {place}: {}", body.escape_ascii());
            assert_eq!(closes, due.closes, "answer {place}");
            assert!(!closes || is_last, "behind the last: {}", behind.escape_ascii());
            if self.handed_over == 0 && !self.is_cut {
                let logged = self.logged.get(place).expect("each is logged");
                assert_eq!((logged.status.code(), logged.bytes), (status, body.len() as u64));
            }
            all.extend_from_slice(raw);
            rest = behind;
            if closes {
                return all;
            }
        }
        rest = self.without_a_word(rest, self.asked.get(self.begun.len()));
        assert!(rest.is_empty() || self.is_cut, "nobody has asked: {}", rest.escape_ascii());
        let due = self.stopped.map_or(self.asked.len(), |stopped| stopped.to_finish);
        let is_all = self.begun.len() >= due.min(self.asked.len());
        assert!(is_all || self.is_cut, "{} of {due} are answered", self.begun.len());
        all
    }

    /// Behind "go on", if the client may have waited for that. It's said once, and perhaps again
    /// by whoever the conversation is handed over to.
    fn without_a_word<'b>(&self, mut rest: &'b [u8], asked: Option<&Asked>) -> &'b [u8] {
        let mut words = 0;
        while let Some(behind) = rest.strip_prefix(CONTINUE) {
            (words, rest) = (words + 1, behind);
        }
        let is_waited_for = asked.is_none_or(|asked| asked.waits_at.is_some());
        let most = if is_waited_for { 1 + self.handed_over } else { 0 };
        assert!(words <= most, "{words} words that nobody waits for");
        rest
    }
}
