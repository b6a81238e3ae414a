//! What the parser says of the bytes that came.

use crate::head::Head;

// ANCHOR: event
/// What bytes begin with: always a head, then pieces of a body if there
/// is one, then the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'b> {
    Head(Head<'b>),
    /// Some bytes of the body, as many as are there. Never none.
    Body(&'b [u8]),
    /// The request is whole. What follows is another one.
    End,
}
// ANCHOR_END: event
