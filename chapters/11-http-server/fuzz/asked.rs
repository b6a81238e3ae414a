//! What a client has asked for: its bytes, read all at once by chapter 10's parser, which has a
//! fuzzer of its own.

use ch10_http::{Event, Limits, Parser, Version};

/// A request, as it would be answered by a server that has all the time in the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub what: What,
    pub is_head: bool,
    pub version: Version,
    /// Another one may follow.
    pub stays: bool,
    /// Where its head ends, if the client may wait there for a word.
    pub waits_at: Option<usize>,
    /// Where it ends.
    pub end: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Request {
        path: String,
        body: Vec<u8>,
    },
    /// It can't be taken, and why.
    Refused(u16, &'static str),
}

/// What these bytes hold.
pub struct AllAsked {
    /// The requests that are whole.
    pub whole: Vec<Asked>,
    /// The one behind them whose head is whole, and its body isn't.
    pub unfinished: Option<Asked>,
    /// One to HEAD has begun behind them.
    pub begins_head: bool,
}

/// All requests that these bytes hold.
pub fn asked(bytes: &[u8], limits: Limits) -> AllAsked {
    let mut parser = Parser::new(limits);
    let (mut all, mut used) = (Vec::new(), 0);
    let mut next: Option<Asked> = None;
    loop {
        let (event, took) = match parser.next(&bytes[used..]) {
            Ok(Some(next)) => next,
            Ok(None) => {
                let begun = bytes[used..].trim_ascii_start().starts_with(b"HEAD ");
                let begins_head = next.as_ref().map_or(begun, |next| next.is_head);
                return AllAsked { whole: all, unfinished: next, begins_head };
            }
            Err(refusal) => {
                let stays = !refusal.close && refusal.exchange.keep_alive;
                all.push(Asked {
                    what: What::Refused(refusal.status.code(), refusal.why),
                    is_head: refusal.exchange.is_head,
                    version: refusal.exchange.version,
                    stays,
                    waits_at: next.take().and_then(|next| next.waits_at),
                    // Its head and its body are still to be taken.
                    end: if stays { bytes.len() } else { used },
                });
                if refusal.close {
                    return AllAsked { whole: all, unfinished: None, begins_head: false };
                }
                continue;
            }
        };
        used += took;
        match event {
            Event::Head(head) => {
                next = Some(Asked {
                    what: What::Request { path: head.path().to_owned(), body: Vec::new() },
                    is_head: head.exchange().is_head,
                    version: head.version,
                    stays: head.keep_alive,
                    waits_at: head.expects_continue.then_some(used),
                    end: used,
                });
            }
            Event::Body(piece) => {
                if let Some(Asked { what: What::Request { body, .. }, .. }) = &mut next {
                    body.extend_from_slice(piece);
                }
            }
            Event::End => match (next.take(), all.last_mut()) {
                (Some(asked), _) => all.push(Asked { end: used, ..asked }),
                (None, Some(refused)) if refused.stays => refused.end = used,
                _ => {}
            },
        }
    }
}
