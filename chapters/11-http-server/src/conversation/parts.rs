//! A conversation in plain data: to be handed to another process, which goes on with it.

use std::rc::Rc;
use std::time::Duration;

use ch10_http::{Event, Framing, Head, Parser};

use super::wait::{Wait, Waits};
use super::{After, Answered, Common, Conversation, Length, State, Streaming, Upload};
use crate::queue::{FilePart, Queue};
use crate::response::Flow;

// ANCHOR: parts
/// A conversation in plain data.
#[derive(Clone, Debug)]
pub struct Parts {
    /// What has come of a request that isn't whole, and what comes
    /// behind it: as if nobody had looked at it.
    pub input: Vec<u8>,
    /// The client has finished sending.
    pub input_ended: bool,
    /// What is to be sent.
    pub output: Vec<u8>,
    /// And then this.
    pub file: Option<FilePart>,
    /// The number of the request that was given out last.
    pub request: u64,
    /// The last answer, if its line in the log isn't written.
    pub answered: Option<Answered>,
    pub place: Place,
    pub wait: Wait,
    /// How long it may take still.
    pub time_left: Option<Duration>,
}
// ANCHOR_END: parts

/// Where a conversation is that can be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A request is next, or the rest of its head.
    Reading,
    /// The rest of a body is next. The input begins with its head, and the client has been told
    /// to go on, if it waited for that.
    Receiving,
    /// More of an answer is next. `closes`: it's the last one, and whether we linger then.
    Streaming { length: Length, closes: Option<bool> },
    /// The last answer is to be sent.
    Closing { lingers: bool },
    /// All is said. `told`: the client knows.
    Lingering { told: bool },
}

impl Conversation {
    /// Takes it apart. None: a request is being answered later, by somebody who can't be handed
    /// over; or a body is being thrown away; or it's over. (Whether what makes a stream can be had
    /// elsewhere, the caller knows.)
    pub fn parts(&self, now: Duration) -> Option<Parts> {
        let mut input = Vec::new();
        let place = match &self.state {
            State::Reading if self.parser.is_between() => Place::Reading,
            State::Receiving(upload) => {
                input.extend_from_slice(&upload.head);
                let head = Head::of(&upload.head)?;
                if head.body == Framing::Chunked {
                    // One chunk of all that has come, and of what is to come of the last one.
                    let left = self.parser.left_of_chunk()?;
                    let size = upload.body.len() as u64 + left;
                    if size > 0 {
                        input.extend_from_slice(format!("{size:x}\r\n").as_bytes());
                    }
                }
                input.extend_from_slice(&upload.body);
                Place::Receiving
            }
            State::Closing { lingers } => Place::Closing { lingers: *lingers },
            State::Lingering { told } => Place::Lingering { told: *told },
            State::Streaming(Streaming { length, after, .. }) => {
                let closes = match after {
                    After::Next => None,
                    After::Close { lingers } => Some(*lingers),
                };
                Place::Streaming { length: *length, closes }
            }
            State::Reading | State::Handling(_) | State::Done => return None,
        };
        input.extend_from_slice(&self.input);
        let outgoing = self.queue.outgoing();
        Some(Parts {
            input,
            input_ended: self.input_ended,
            output: outgoing.bytes.concat(),
            file: outgoing.file.cloned(),
            request: self.request,
            answered: self.answered,
            place,
            wait: self.waits.what,
            time_left: self.waits.deadline.map(|deadline| deadline.saturating_sub(now)),
        })
    }

    /// Puts one together again. The caller looks at it at once, as if something had come. Of a
    /// stream, it asks for more.
    pub fn from_parts(common: Rc<Common>, parts: Parts, now: Duration) -> Self {
        let Parts { mut input, input_ended, output, file, request, answered, .. } = parts;
        let Parts { place, wait, time_left, .. } = parts;
        let mut parser = Parser::new(common.settings.limits);
        let state = match place {
            Place::Reading => State::Reading,
            // If it wouldn't be taken any more, that's found out as with any other.
            Place::Receiving => match Upload::begin(&mut parser, &input) {
                Some((upload, length)) => {
                    input.drain(..length);
                    State::Receiving(Box::new(upload))
                }
                None => State::Reading,
            },
            Place::Streaming { length, closes } => {
                let after = closes.map_or(After::Next, |lingers| After::Close { lingers });
                State::Streaming(Streaming { length, flow: Flow::More, after })
            }
            Place::Closing { lingers } => State::Closing { lingers },
            Place::Lingering { told } => State::Lingering { told },
        };
        let deadline = time_left.map(|left| now + left);
        Self {
            parser,
            input,
            input_ended,
            queue: Queue::of(output, file),
            request,
            answered,
            state,
            waits: Waits { what: wait, deadline, request, progress: false },
            ..Self::new(common, now)
        }
    }
}

impl Upload {
    /// One of which a parser has read the head, and how long that is.
    fn begin(parser: &mut Parser, input: &[u8]) -> Option<(Self, usize)> {
        let Ok(Some((Event::Head(head), length))) = parser.clone().next(input) else { return None };
        if !super::has_body(&head) {
            return None;
        }
        let _ = parser.next(input);
        let (exchange, head) = (head.exchange(), head.raw().to_vec());
        Some((Self { exchange, head, body: Vec::new(), seen: 0 }, length))
    }
}
