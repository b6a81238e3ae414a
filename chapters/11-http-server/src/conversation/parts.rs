//! A conversation in plain data: to be handed to another process, which goes on with it.

use std::rc::Rc;
use std::time::Duration;

use super::wait::{Wait, Waits};
use super::{Common, Conversation, State};
use crate::queue::{FilePart, Queue};

/// A conversation in plain data.
#[derive(Clone, Debug)]
pub struct Parts {
    /// What has come of a request that isn't whole, and what comes behind it: as if nobody had
    /// looked at it.
    pub input: Vec<u8>,
    /// The client has finished sending.
    pub input_ended: bool,
    /// What is to be sent.
    pub output: Vec<u8>,
    /// And then this.
    pub file: Option<FilePart>,
    /// The number of the request that was given out last.
    pub request: u64,
    pub place: Place,
    pub wait: Wait,
    /// How long it may take still.
    pub time_left: Option<Duration>,
}

/// Where a conversation is that can be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A request is next, or the rest of one.
    Reading,
    /// The last answer is to be sent.
    Closing { lingers: bool },
    /// All is said. `told`: the client knows.
    Lingering { told: bool },
}

impl Conversation {
    /// Takes it apart. None: a request is being answered, bit by bit or later, by somebody who
    /// can't be handed over; or a body is being thrown away; or it's over.
    pub fn parts(&self, now: Duration) -> Option<Parts> {
        let mut input = Vec::new();
        let place = match &self.state {
            State::Reading if self.parser.is_between() => Place::Reading,
            State::Receiving(upload) => {
                input.extend_from_slice(&upload.head);
                let head = ch10_http::Head::of(&upload.head)?;
                if head.body == ch10_http::Framing::Chunked {
                    // One chunk of all that has come, and of what is to come of the last one.
                    let left = self.parser.left_of_chunk()?;
                    let size = upload.body.len() as u64 + left;
                    if size > 0 {
                        input.extend_from_slice(format!("{size:x}\r\n").as_bytes());
                    }
                }
                input.extend_from_slice(&upload.body);
                Place::Reading
            }
            State::Closing { lingers } => Place::Closing { lingers: *lingers },
            State::Lingering { told } => Place::Lingering { told: *told },
            State::Reading | State::Handling(_) | State::Streaming(_) | State::Done => return None,
        };
        input.extend_from_slice(&self.input);
        let outgoing = self.queue.outgoing();
        Some(Parts {
            input,
            input_ended: self.input_ended,
            output: outgoing.bytes.concat(),
            file: outgoing.file.cloned(),
            request: self.request,
            place,
            wait: self.waits.what,
            time_left: self.waits.deadline.map(|deadline| deadline.saturating_sub(now)),
        })
    }

    /// Puts one together again. The caller looks at it at once, as if something had come.
    pub fn from_parts(common: Rc<Common>, parts: Parts, now: Duration) -> Self {
        let Parts { input, input_ended, output, file, request, place, wait, time_left } = parts;
        let state = match place {
            Place::Reading => State::Reading,
            Place::Closing { lingers } => State::Closing { lingers },
            Place::Lingering { told } => State::Lingering { told },
        };
        let deadline = time_left.map(|left| now + left);
        Self {
            input,
            input_ended,
            queue: Queue::of(output, file),
            request,
            state,
            waits: Waits { what: wait, deadline, request, progress: false },
            ..Self::new(common, now)
        }
    }
}
