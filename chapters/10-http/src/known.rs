//! Fields that a head had a moment ago: as a rule a client's next request has the same ones again, byte for byte.

use crate::head::Head;
use crate::limits::Limits;
use crate::target::is_in_target;

// ANCHOR: known
/// How many different sets of fields are kept. With more clients than
/// that, each in its own words, one pushes another's out.
const MOST: usize = 64;
/// Fields that take more than this aren't kept, in bytes.
const LONGEST: usize = 1024;

/// Fields of heads that have been read, as they were sent, and what
/// follows from them: what a client has said before needn't be read
/// again.
///
/// What a client must keep to itself (`Cookie`, `Authorization`) isn't
/// kept: from how fast an answer comes, another could guess at it. Nor
/// is what belongs to a body.
#[derive(Debug, Default)]
pub struct KnownFields {
    all: Vec<Fields>,
    /// Which ones are given up next, when all places are taken.
    oldest: usize,
    /// Which were put in last.
    newest: usize,
}

#[derive(Debug, Default)]
struct Fields {
    /// From behind the request line up to the empty line.
    bytes: Vec<u8>,
    /// How many there are.
    number: usize,
    /// What the head with them said.
    keep_alive: bool,
    has_conditions: bool,
}
// ANCHOR_END: known

/// Which of the [`KnownFields`] a client had last. At first nobody knows, and the newest
/// are worth a try.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place(Option<u8>);

impl KnownFields {
    /// None, for now.
    pub const fn new() -> Self {
        Self { all: Vec::new(), oldest: 0, newest: 0 }
    }

    /// The whole request that `bytes` begin with, if its request line is
    /// as most are, and its fields are those at this place: so it has no
    /// body. None: a parser must read it.
    ///
    /// Its parser, which must be [untouched](crate::Parser::is_untouched),
    /// would give the same head, and then the end.
    #[inline]
    pub fn read<'b>(&self, place: Place, bytes: &'b [u8], limits: &Limits) -> Option<Head<'b>> {
        let known = self.all.get(place.0.map_or(self.newest, usize::from))?;
        let (method, path, line) = request_line(bytes)?;
        let length = line + known.bytes.len();
        let is_it = bytes[line..].starts_with(&known.bytes)
            && length <= limits.head
            && line - "\r\n".len() <= limits.line
            && known.number <= limits.fields;
        is_it.then(|| {
            let Fields { keep_alive, has_conditions, .. } = *known;
            Head::with_known_fields(
                method,
                path,
                &bytes[..length],
                line,
                keep_alive,
                has_conditions,
            )
        })
    }

    /// Keeps a head's fields, if they may be kept and aren't there already. Gives their place.
    #[inline(never)]
    pub fn note(&mut self, head: &Head<'_>) -> Place {
        let bytes = head.raw_fields();
        if !head.may_be_kept || bytes.len() > LONGEST {
            return Place(None);
        }
        let place = match self.all.iter().position(|known| known.bytes == bytes) {
            Some(place) => place,
            None => self.put(head),
        };
        self.newest = place;
        Place(u8::try_from(place).ok())
    }

    /// Memory that has been got once is used again.
    fn put(&mut self, head: &Head<'_>) -> usize {
        let place = if self.all.len() < MOST {
            self.all.push(Fields::default());
            self.all.len() - 1
        } else {
            let place = self.oldest;
            self.oldest = (place + 1) % MOST;
            place
        };
        let known = &mut self.all[place];
        known.bytes.clear();
        known.bytes.extend_from_slice(head.raw_fields());
        known.number = head.fields().count();
        known.keep_alive = head.keep_alive;
        known.has_conditions = head.has_conditions;
        place
    }
}

/// A method, a path and a length, if `bytes` begin with a request line of the usual kind:
/// `GET /PATH HTTP/1.1`, or HEAD. None for all others, be they right or wrong.
#[inline]
fn request_line(bytes: &[u8]) -> Option<(&'static str, &str, usize)> {
    let (method, rest) = match bytes {
        [b'G', b'E', b'T', b' ', rest @ ..] => ("GET", rest),
        [b'H', b'E', b'A', b'D', b' ', rest @ ..] => ("HEAD", rest),
        _ => return None,
    };
    let end = rest.iter().position(|byte| !is_in_target(*byte))?;
    let (path, behind) = rest.split_at(end);
    if !path.starts_with(b"/") || !behind.starts_with(BEHIND) {
        return None;
    }
    let line = method.len() + " ".len() + end + BEHIND.len();
    Some((method, std::str::from_utf8(path).ok()?, line))
}

const BEHIND: &[u8; 11] = b" HTTP/1.1\r\n";
