//! Chapter 10: "not yet" is an answer. HTTP/1.1 and 1.0 without a socket in sight.
//!
//! Read [`request`] first: bytes go in, in whatever pieces they came; out comes a
//! request's head, a piece of its body, its end, or "not yet". From there on downwards, for
//! each of these files uses only what is named behind it. [`body`] takes the body apart,
//! into [`event`]s. [`head`](mod@head) is what a head says; [`framing`] is how it says where
//! its body ends, and what of that is refused since it could be read in two ways; and
//! [`target`] whom and what it asks for. [`lines`] finds where a line ends, and [`token`]
//! knows a name. [`limits`] are how long all this may be; a [`refusal`] is what a request
//! gets otherwise. [`known`] saves reading fields again that a client repeats.
//!
//! The other way, [`answer`] writes what goes back, with its [`status`] and its [`date`].
//! What it must know of the request is the [`exchange`].
//!
//! ```
//! use ch10_http::{Event, Limits, Parser};
//!
//! let mut parser = Parser::new(Limits::USUAL);
//! // Half of it has come.
//! let bytes = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Le";
//! assert!(parser.next(bytes).unwrap().is_none());
//!
//! // All of it, and a bit of the next one.
//! let bytes = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET";
//! let (event, head_took) = parser.next(bytes).unwrap().unwrap();
//! assert!(matches!(event, Event::Head(head) if head.path() == "/echo"));
//! let (event, body_took) = parser.next(&bytes[head_took..]).unwrap().unwrap();
//! assert!(matches!(event, Event::Body(b"hi")));
//! let (event, end_took) = parser.next(&bytes[head_took + body_took..]).unwrap().unwrap();
//! assert!(matches!(event, Event::End));
//! assert_eq!(&bytes[head_took + body_took + end_took..], b"GET");
//! ```
//!
//! The story is told on the book's page `10-http`. No line in here waits.

pub mod answer;
pub mod body;
pub mod date;
pub mod event;
pub mod exchange;
pub mod framing;
pub mod head;
pub mod known;
pub mod limits;
pub mod lines;
pub mod refusal;
pub mod request;
pub mod status;
pub mod target;
pub mod token;

pub use answer::{BadField, CONTINUE, Delivery, Fields, Size, chunk, head, last_chunk};
pub use date::Date;
pub use event::Event;
pub use exchange::{Exchange, Version};
pub use framing::Framing;
pub use head::Head;
pub use known::{KnownFields, Place};
pub use limits::Limits;
pub use refusal::Refusal;
pub use request::Parser;
pub use status::Status;
pub use target::Target;
